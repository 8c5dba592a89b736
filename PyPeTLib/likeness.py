"""Averages over neighbours that look alike: a voxel counts as far as its guide agrees with that of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest

import numpy as np

from PyPeTLib.chunks import in_parallel, share
from PyPeTLib.geometry import Geometry, MaskArray
from PyPeTLib.progress import Progress, silent
from PyPeTLib.smoothing import KERNEL_REACH, Float32Array

#: Far neighbours are this share of the kernel's SD apart.
STRIDE_SHARE = 0.85
#: Close neighbours are averaged in one pass if these are no more pairs, ...
MOST_PAIRS = 75
#: ... else in passes of at most so many voxels in a row, which average so many.
MOST_IN_PASS, IN_PASSES = 7, np.array([1, 3, 5, 7, 9, 15, 25, 27, 45, 75, 81, 125])
#: Weights are kept if all of them take no more than this, in bytes: they grow with voxels and neighbours.
MOST_KEPT = 64e6
#: So many pairs of neighbours are summed in one task: fixed, so that rounding does not depend on the machine.
KERNEL_PART = 6
#: So many voxels in a row are summed at a time: their values and sums stay in the cache of a processor.
SPAN = 32768

Shift = tuple[int, int, int]
Offset = tuple[Shift, float]


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
        self, values: Float32Array, *, progress: Progress = silent
    ) -> tuple[Float32Array, Float32Array, tuple[Float32Array, Float32Array]]:
        """Return the means over close neighbours, the means of these over far ones, and the variances of both.

        Parameters
        ----------
        values : ndarray, shape (component, z, y, x)
            float32, 0 outside the mask.
        """
        pairs = np.cumsum([len(offsets) for offsets in (*self.close, self.far)])
        ends = np.append(0.0, pairs / max(1, pairs[-1]))
        *close, far = [share(progress, *part) for part in pairwise(ends.tolist())]
        first, of_first, seen = values, self.mask.astype(np.float32), self
        for index, (offsets, part) in enumerate(zip(self.close, close, strict=True), start=1):
            several = index < len(self.close)  # the next pass compares what this one made of the guide
            stack = np.concatenate([first, seen.guide]) if several else first
            stack, of_first = _averaged(stack, of_first, self.mask, offsets, seen.weight, part)
            first, guide = np.split(stack, [len(values)])
            seen = replace(self, guide=guide)
        second, of_second = _averaged(first, of_first, self.mask, self.far, self.kept_weight, far)
        return first, second, (of_first, of_second)

    def wide(self, values: Float32Array, *, progress: Progress = silent) -> Float32Array:
        """Return the means over far neighbours alone, of what hardly differs from close ones."""
        return _averaged(values, None, self.mask, self.far, self.kept_weight, progress)[0]

    def weight(self, offset: Offset) -> Float32Array:
        """Return the weight of each voxel and its neighbour at an offset for each other, 0 where one of them is none.

        Voxels are counted along the rows of the grid, as far as there is one `_step` voxels on.
        """
        shift, nearness = offset
        step, guide = _step(self.mask.shape, shift), self.guide.reshape(len(self.guide), -1)
        weight = np.empty(self.mask.size - step, dtype=np.float32)
        for part in _spans(weight.size):
            distance = _squared_distance(guide[:, part], guide[:, _moved(part, step)])
            distance *= distance
            np.exp(np.subtract(np.float32(np.log(nearness)), distance, out=distance), out=weight[part])
        weight *= self._pairs(shift).ravel()[: weight.size]
        return weight

    def _pairs(self, shift: Shift) -> MaskArray:
        """Tell which voxels of the mask have a neighbour in it, none being beyond the end of a row or a slice."""
        here, there = _overlap(self.mask.shape, shift)
        pairs = np.zeros_like(self.mask)
        np.logical_and(self.mask[here], self.mask[there], out=pairs[here])
        return pairs

    def kept_weight(self, offset: Offset) -> Float32Array:
        """Return the same, calculated once where the weights of all far neighbours are not too many."""
        shift, _ = offset
        if shift in self.kept:
            return self.kept[shift]
        found = self.weight(offset)
        if len(self.far) * self.mask.size * found.itemsize <= MOST_KEPT:
            self.kept[shift] = found
        return found


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
    return Neighbours(guide, mask, [_within(mask, offsets) for offsets in close], _within(mask, far))


def _within(mask: MaskArray, offsets: list[Offset]) -> list[Offset]:
    """Return the offsets that lead from some voxel of the grid to another one."""
    return [
        offset for offset in offsets if all(abs(step) < size for step, size in zip(offset[0], mask.shape, strict=True))
    ]


def _averaged(
    values: Float32Array,
    variance: Float32Array | None,
    mask: MaskArray,
    offsets: list[Offset],
    weight_of: Callable[[Offset], Float32Array],
    progress: Progress,
) -> tuple[Float32Array, Float32Array]:
    """Return mean and variance over a voxel and its neighbours; the variance is 0 where that of the values is None."""
    total, weight, spread = values.copy(), mask.astype(np.float32), np.zeros(mask.shape, dtype=np.float32)
    if variance is not None:
        spread += variance
    parts = [offsets[start : start + KERNEL_PART] for start in range(0, len(offsets), KERNEL_PART)]
    sums = in_parallel(lambda part: _neighbour_sums(values, variance, part, weight_of), parts, progress=progress)
    for part_total, part_weight, part_spread in sums:
        total += part_total
        weight += part_weight
        spread += part_spread
    np.maximum(weight, np.float32(1.0), out=weight)
    total /= weight
    spread /= weight * weight
    return total, spread


def _neighbour_sums(
    values: Float32Array,
    variance: Float32Array | None,
    offsets: list[Offset],
    weight_of: Callable[[Offset], Float32Array],
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return weighted sum of values, sum of weights and variance of the first, over offsets and their opposites."""
    images = values.reshape(len(values), -1)
    total, of_first = np.zeros_like(images), None if variance is None else variance.ravel()
    weight, spread = np.zeros((2, images.shape[1]), dtype=np.float32)
    for offset in offsets:
        likeness = weight_of(offset)
        for part, target, source in _ways(likeness.size, _step(values.shape[1:], offset[0])):
            alike = likeness[part]
            weight[target] += alike
            product = np.empty_like(alike)
            for sums, image in zip(total, images, strict=True):
                sums[target] += np.multiply(alike, image[source], out=product)
            if of_first is not None:
                spread[target] += np.multiply(alike * alike, of_first[source], out=product)
    shape = values.shape[1:]
    return total.reshape(values.shape), weight.reshape(shape), spread.reshape(shape)


def _squared_distance(one: Float32Array, other: Float32Array) -> Float32Array:
    """Return the squared distance of two stacks of components, one by one to spare memory."""
    distance = np.zeros(one.shape[1:], dtype=np.float32)
    for first, second in zip(one, other, strict=True):
        difference = first - second
        difference *= difference
        distance += difference
    return distance


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


def _step(shape: tuple[int, ...], shift: Shift) -> int:
    """Return how many voxels along the rows of a grid an offset leads on, at least one.

    Examples
    --------
    >>> _step((4, 10, 20), (0, 0, 3)), _step((4, 10, 20), (1, -9, -19))
    (3, 1)
    """
    slices, rows, columns = shift
    return (slices * shape[1] + rows) * shape[2] + columns


def _spans(size: int) -> Iterator[slice]:
    """Yield the parts of a row of voxels that fit into the cache."""
    for start in range(0, size, SPAN):
        yield slice(start, min(start + SPAN, size))


def _moved(part: slice, step: int) -> slice:
    return slice(part.start + step, part.stop + step)


def _ways(size: int, step: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield parts of pairs, what they are added to and what is added: the second to the first, then the reverse."""
    yield from ((part, part, _moved(part, step)) for part in _spans(size))
    yield from ((part, _moved(part, step), part) for part in _spans(size))


def _overlap(shape: tuple[int, ...], offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of a grid and of its copy shifted by an offset, where both exist."""
    pairs = [(length, max(0, step), max(0, -step)) for length, step in zip(shape, offset, strict=True)]
    here = tuple(slice(back, max(0, length - ahead)) for length, ahead, back in pairs)
    there = tuple(slice(ahead, max(0, length - back)) for length, ahead, back in pairs)
    return here, there
