"""One pass of an average over neighbours that look alike: weights of pairs of voxels, and sums over these.

Voxels are counted along the rows of the grid, so that the neighbours at one offset of a row of voxels are a row, too.
Such rows may be long, while those of a box within the grid are short, and numbers that are next to each other are
summed several times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_parallel
from PyPeTLib.geometry import MaskArray
from PyPeTLib.progress import Progress
from PyPeTLib.smoothing import Float32Array

#: Weights of a pass are kept if all of them take no more than this, in bytes: they grow with voxels and neighbours.
MOST_KEPT = 64e6
#: So many voxels are averaged in one task: what they and their neighbours hold stays in the cache of a processor.
SPAN = 16384

#: Steps (z, y, x) in voxels, the first that is not 0 being positive, and the Gaussian weight of a neighbour there.
Shift = tuple[int, int, int]
Offset = tuple[Shift, float]
#: Weights of pairs at an offset, the first voxels of which are those of a slice.
WeightOf = Callable[[Offset, slice], Float32Array]


@dataclass(frozen=True)
class Pairs:
    """Pairs of neighbours inside a mask, which count as far as their guide agrees.

    Parameters
    ----------
    guide : ndarray, shape (component, z, y, x)
        float32; voxels at a squared distance d in it are alike by ``exp(−d²)``: flat within the noise, steep beyond.
    mask : ndarray of bool, shape (z, y, x)
    """

    guide: Float32Array
    mask: MaskArray

    def weight(self, offset: Offset, part: slice) -> Float32Array:
        """Return the weights of voxels and their neighbours at an offset for each other, 0 where one of them is none.

        Examples
        --------
        >>> three = Pairs(np.zeros((1, 1, 2, 3), dtype=np.float32), np.ones((1, 2, 3), dtype=bool))
        >>> three.weight(((0, 0, 1), 0.5), slice(0, 5))  # a row's last voxel and the next row's first are no pair
        array([0.5, 0.5, 0. , 0.5, 0.5], dtype=float32)
        """
        (shift, nearness), shape = offset, self.mask.shape
        there = moved(part, step(shape, shift))
        guide, inside = self.guide.reshape(len(self.guide), -1), self.mask.ravel()
        weight = _squared_distance(guide[:, part], guide[:, there])
        weight *= weight
        np.subtract(np.float32(np.log(nearness)), weight, out=weight)
        np.exp(weight, out=weight)
        weight *= inside[part]
        weight *= inside[there]
        weight *= self._roomy[there] - self._roomy[part] == step(_room(shape), shift)
        return weight

    def weights(self, offsets: list[Offset], *, progress: Progress) -> dict[Shift, Float32Array]:
        """Return all weights by offset, or none where they are too many to be kept."""
        if len(offsets) * self.mask.size * self.guide.itemsize > MOST_KEPT:
            return {}

        def all_of(offset: Offset) -> Float32Array:
            parts = _spans(self.mask.size - step(self.mask.shape, offset[0]))
            return np.concatenate([self.weight(offset, part) for part in parts])

        found = in_parallel(all_of, offsets, progress=progress)
        return dict(zip((shift for shift, _ in offsets), found, strict=True))

    def weight_of(self, kept: dict[Shift, Float32Array]) -> WeightOf:
        """Return what gives weights: as kept, or calculated anew."""
        return (lambda offset, part: kept[offset[0]][part]) if kept else self.weight

    @cached_property
    def _roomy(self) -> npt.NDArray[np.int32]:
        """The number of each voxel in a grid twice as large, where no row ends between a voxel and its neighbour."""
        numbers = np.ravel_multi_index(np.ix_(*map(range, self.mask.shape)), _room(self.mask.shape))
        return numbers.ravel().astype(np.int32)


def averaged(
    values: Float32Array,
    variance: Float32Array | None,
    mask: MaskArray,
    offsets: list[Offset],
    weight_of: WeightOf,
    *,
    progress: Progress,
) -> tuple[Float32Array, Float32Array]:
    """Return the means over voxels and their neighbours, and the variances of these.

    Parameters
    ----------
    values : ndarray, shape (component, z, y, x)
        float32, 0 outside the mask.
    variance : ndarray, shape (z, y, x), or None
        That of the values; the variance of their means is 0 where it is None.
    mask : ndarray of bool, shape (z, y, x)
    offsets : list of Offset
        One of each pair of opposite offsets; each leads from some voxel of the grid to another (`within`).
    weight_of : callable
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    images, inside = values.reshape(len(values), -1), mask.ravel()
    of_one = np.zeros(mask.size, dtype=np.float32) if variance is None else variance.ravel()

    def average(part: slice) -> tuple[Float32Array, Float32Array]:
        total, spread, weight = images[:, part].copy(), of_one[part].copy(), inside[part].astype(np.float32)
        product = np.empty_like(total)
        for offset in offsets:
            for here, pairs, there in _ways(part, step(mask.shape, offset[0]), mask.size):
                alike = weight_of(offset, pairs)
                weight[here] += alike
                total[:, here] += np.multiply(alike, images[:, there], out=product[:, : alike.size])
                if variance is not None:
                    spread[here] += alike * alike * of_one[there]
        np.maximum(weight, np.float32(1.0), out=weight)
        total /= weight
        spread /= weight * weight
        return total, spread

    means, of_means, parts = np.empty_like(images), np.empty_like(of_one), list(_spans(mask.size))
    for part, found in zip(parts, in_parallel(average, parts, progress=progress), strict=True):
        means[:, part], of_means[part] = found
    return means.reshape(values.shape), of_means.reshape(mask.shape)


def within(offsets: list[Offset], shape: tuple[int, ...]) -> list[Offset]:
    """Return the offsets that lead from some voxel of a grid to another one.

    Examples
    --------
    >>> within([((0, 0, 1), 0.9), ((0, 2, -1), 0.4), ((1, 0, 0), 0.2)], (2, 2, 2))
    [((0, 0, 1), 0.9), ((1, 0, 0), 0.2)]
    """
    return [(shift, near) for shift, near in offsets if all(map(int.__lt__, map(abs, shift), shape))]


def step(shape: tuple[int, ...], shift: Shift) -> int:
    """Return how many voxels along the rows of a grid an offset leads on, at least one if it is `within` the grid.

    Examples
    --------
    >>> step((4, 10, 20), (0, 0, 3)), step((4, 10, 20), (1, -9, -19))
    (3, 1)
    """
    slices, rows, columns = shift
    return (slices * shape[1] + rows) * shape[2] + columns


def moved(part: slice, by: int) -> slice:
    """Return a slice moved by a number of voxels."""
    return slice(part.start + by, part.stop + by)


def _room(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(2 * size for size in shape)


def _spans(size: int) -> Iterator[slice]:
    """Yield the parts of so many voxels that are averaged in one task."""
    for start in range(0, size, SPAN):
        yield slice(start, min(start + SPAN, size))


def _ways(part: slice, by: int, size: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield voxels of a part, counted within it, their pairs and their neighbours: those on from them, those before."""
    ahead, back = slice(part.start, min(part.stop, size - by)), slice(max(part.start, by), part.stop)
    if ahead.start < ahead.stop:
        yield moved(ahead, -part.start), ahead, moved(ahead, by)
    if back.start < back.stop:
        yield moved(back, -part.start), moved(back, -by), moved(back, -by)


def _squared_distance(one: Float32Array, other: Float32Array) -> Float32Array:
    """Return the squared distance of two stacks of components, one by one to spare memory."""
    distance = np.zeros(one.shape[1:], dtype=np.float32)
    for first, second in zip(one, other, strict=True):
        difference = first - second
        difference *= difference
        distance += difference
    return distance
