"""Averages over neighbours that look alike: a voxel counts as far as its guide agrees with that of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

import numpy as np

from PyPeTLib.chunks import share
from PyPeTLib.geometry import Geometry, MaskArray
from PyPeTLib.likeness_pass import Offset, Pairs, Shift, averaged, within
from PyPeTLib.progress import Progress, silent
from PyPeTLib.smoothing import KERNEL_REACH, Float32Array

#: Far neighbours are this share of the kernel's SD apart.
STRIDE_SHARE = 0.85
#: Close neighbours are averaged in one pass if these are no more pairs, ...
MOST_PAIRS = 75
#: ... else in passes of at most so many voxels in a row, which average so many.
MOST_IN_PASS, IN_PASSES = 7, np.array([1, 3, 5, 7, 9, 15, 25, 27, 45, 75, 81, 125])


@dataclass(frozen=True)
class Neighbours:
    """Which voxels are averaged, and with what weight: nearness times likeness.

    Neighbours are taken in passes, all that are close and then every few pixels, which costs a fraction of all. Where
    many are close, for pixels are small or slices thin, they are taken in several passes: across slices, and in the
    plane. A kernel that does not reach the next voxel has none, and nothing is averaged.

    Parameters
    ----------
    guide : ndarray, shape (component, z, y, x)
        float32; voxels at a squared distance d in it are alike by ``exp(−d²)``: flat within the noise, steep beyond.
    mask : ndarray of bool, shape (z, y, x)
    close : list of list of offsets
        A list a pass; one of each pair of opposite offsets (z, y, x) in voxels, with its Gaussian weight.
    far : list of offsets
        The last pass.
    kept : dict
        Weights of pairs of far neighbours, by offset, once they were needed, for they are needed again; of large grids
        none.
    """

    guide: Float32Array
    mask: MaskArray
    close: list[list[Offset]]
    far: list[Offset]
    kept: dict[Shift, Float32Array] = field(default_factory=dict)

    def both(
        self, values: Float32Array, *, variances: bool = True, progress: Progress = silent
    ) -> tuple[Float32Array, Float32Array, tuple[Float32Array, Float32Array]]:
        """Return the means over close neighbours, the means of these over far ones, and the variances of both.

        Parameters
        ----------
        values : ndarray, shape (component, z, y, x)
            float32, 0 outside the mask.
        variances : bool
            Whether the variances are asked for; they are 0 otherwise.
        progress : callable
            ``progress(fraction, text)``; raising from it cancels.
        """
        pairs = np.cumsum([len(offsets) for offsets in (*self.close, self.far)])
        ends = np.append(0.0, pairs / max(1, pairs[-1]))
        *close, far = [share(progress, *part) for part in pairwise(ends.tolist())]
        first, of_first, guide = values, self.mask.astype(np.float32), self.guide
        for index, (offsets, part) in enumerate(zip(self.close, close, strict=True), start=1):
            several = index < len(self.close)  # the next pass compares what this one made of the guide
            stack = np.concatenate([first, guide]) if several else first
            stack, of_first = averaged(
                stack, of_first if variances else None, Pairs(guide, self.mask), offsets, progress=part
            )
            first, guide = np.split(stack, [len(values)])
        alike, known = Pairs(self.guide, self.mask), of_first if variances else None
        second, of_second = averaged(first, known, alike, self.far, kept=self.kept, progress=far)
        return first, second, (of_first, of_second)

    def wide(self, values: Float32Array, *, progress: Progress = silent) -> Float32Array:
        """Return the means over far neighbours alone, of what hardly differs from close ones."""
        return averaged(values, None, Pairs(self.guide, self.mask), self.far, kept=self.kept, progress=progress)[0]


def neighbours(guide: Float32Array, mask: MaskArray, geometry: Geometry, sigma_mm: float) -> Neighbours:
    """Return the neighbours of a kernel that is round in mm and cut at 2.5 SD.

    Examples
    --------
    >>> grid = Geometry((21, 21, 5), (2.0, 2.0, 8.0))
    >>> found = neighbours(np.zeros((1, *grid.shape), np.float32), np.ones(grid.shape, bool), grid, 8.0)
    >>> [len(offsets) for offsets in found.close], len(found.far)
    ([4], 60)
    """
    strides = [STRIDE_SHARE * sigma_mm / spacing for spacing in geometry.spacing_zyx_mm]
    odd = [1 + 2 * max(0, round(0.5 * (stride - 1.0))) for stride in strides]  # close ones fill what is between
    close = [_half_kernel(geometry, sigma_mm, [stride // 2 for stride in odd], [1, 1, 1])]
    if len(close[0]) > MOST_PAIRS:
        odd = [_nearest(stride) for stride in strides]
        close = _in_passes(geometry, sigma_mm, odd)
    far = _half_kernel(geometry, sigma_mm, _reach(geometry, sigma_mm), odd)
    return Neighbours(guide, mask, [within(offsets, mask.shape) for offsets in close], within(far, mask.shape))


def _nearest(voxels: float) -> int:
    """Return how many voxels in a row to average that passes can, nearest to a wish.

    Examples
    --------
    >>> [_nearest(voxels) for voxels in (0.4, 2.5, 8.5, 11.9, 14.0, 1e3)]
    [1, 3, 9, 15, 15, 125]
    """
    return int(IN_PASSES[np.abs(np.log(IN_PASSES / voxels)).argmin()])


def _in_passes(geometry: Geometry, sigma_mm: float, strides: Sequence[int]) -> list[list[Offset]]:
    """Return the close neighbours of each pass, each every so many voxels as those before average: across slices first.

    Parameters
    ----------
    geometry : Geometry
    sigma_mm : float
    strides : sequence of int
        How many voxels (z, y, x) in a row are averaged by all.
    """
    across, *plane = (_factors(stride) for stride in strides)
    counts = [(count, 1, 1) for count in across] + [(1, *count) for count in zip_longest(*plane, fillvalue=1)]
    steps, passes = np.ones(3, dtype=int), []
    for count in counts:
        reach = [int(step) * (several // 2) for step, several in zip(steps, count, strict=True)]
        passes.append(_half_kernel(geometry, sigma_mm, reach, steps.tolist()))
        steps *= count
    return passes


def _factors(stride: int) -> list[int]:
    """Return how many voxels in a row each pass averages; their product is the stride.

    Examples
    --------
    >>> [_factors(stride) for stride in (1, 7, 9, 15, 125)]
    [[], [7], [3, 3], [3, 5], [5, 5, 5]]
    """
    if stride <= MOST_IN_PASS:
        return [stride] if stride > 1 else []
    factor = 3 if stride % 3 == 0 else 5
    return [factor, *_factors(stride // factor)]


def _reach(geometry: Geometry, sigma_mm: float) -> list[int]:
    """Return how many voxels (z, y, x) the kernel extends."""
    return [int(KERNEL_REACH * sigma_mm / spacing) for spacing in geometry.spacing_zyx_mm]


def _half_kernel(geometry: Geometry, sigma_mm: float, reach: list[int], strides: list[int]) -> list[Offset]:
    """Return one of each pair of opposite offsets (z, y, x) in reach, with its Gaussian weight."""
    counts = [length // stride for length, stride in zip(reach, strides, strict=True)]
    axes = [stride * np.arange(-count, count + 1) for stride, count in zip(strides, counts, strict=True)]
    offsets = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    radius = np.linalg.norm(offsets * geometry.spacing_zyx_mm, axis=1)
    second_half = np.arange(len(offsets)) > len(offsets) // 2
    chosen = second_half & (radius <= KERNEL_REACH * sigma_mm)
    nearness = np.exp(-0.5 * (radius[chosen] / sigma_mm) ** 2)
    return [
        ((int(z), int(y), int(x)), float(weight)) for (z, y, x), weight in zip(offsets[chosen], nearness, strict=True)
    ]
