"""One pass of an average over neighbours that look alike: weights of pairs of voxels, and sums over these.

Voxels are counted along the rows of the grid, so that the neighbours at one offset of a row of voxels are a row, too.
Such rows may be long, while those of a box within the grid are short, and numbers that are next to each other are
summed several times as fast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from PyPeTLib.chunks import in_parallel, share
from PyPeTLib.geometry import MaskArray
from PyPeTLib.progress import Progress
from PyPeTLib.smoothing import Float32Array

#: So many bytes of weights are calculated at a time, and kept where they are all: they grow with voxels and neighbours.
MOST_KEPT = 64e6
#: They take this share of the time that sums take with them.
WEIGHING = 0.3
#: So many voxels are averaged in one task: few enough for the cache of a processor, so many that threads, which begin
#: one array operation at a time, hardly wait for one another. Weights have fewer numbers a voxel.
SPAN, WEIGHED_SPAN = 2**16, 2**18

#: A voxel outside the mask is so far from all others in the guide that it is like none of them.
OUTSIDE = np.float32(1e9)

#: Steps (z, y, x) in voxels, the first that is not 0 being positive, and the Gaussian weight of a neighbour there.
Shift = tuple[int, int, int]
Offset = tuple[Shift, float]


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

    def weights(self, offsets: list[Offset], *, progress: Progress) -> dict[Shift, Float32Array]:
        """Return the weights of voxels and their neighbours for each other, by offset; 0 where one of them is none.

        Examples
        --------
        >>> three = Pairs(np.zeros((1, 1, 2, 3), dtype=np.float32), np.ones((1, 2, 3), dtype=bool))
        >>> found = three.weights([((0, 0, 1), 0.5)], progress=lambda fraction, text: None)
        >>> found[0, 0, 1]  # a row's last voxel and the next row's first are no pair
        array([0.5, 0.5, 0. , 0.5, 0.5], dtype=float32)
        """
        size, shape = self.mask.size, self.mask.shape
        whole = {shift: np.empty(shape, dtype=np.float32) for shift, _ in offsets}
        found = {shift: images.ravel()[: size - _step(shape, shift)] for shift, images in whole.items()}
        tasks = [(offset, part) for offset in offsets for part in _spans(slice(0, found[offset[0]].size), WEIGHED_SPAN)]

        for _ in in_parallel(lambda task: self._weigh(*task, found[task[0][0]][task[1]]), tasks, progress=progress):
            pass
        for shift, weight in whole.items():
            _unpair(weight, shift)
        return found

    def _weigh(self, offset: Offset, part: slice, weight: Float32Array) -> None:
        """Write the weights of a part of the voxels and what follows at an offset, beyond the ends of rows as well."""
        shift, nearness = offset
        there = _moved(part, _step(self.mask.shape, shift))
        distance = _squared_distance([one[part] for one in self._apart], [one[there] for one in self._apart])
        distance *= distance
        np.exp(np.subtract(np.float32(np.log(nearness)), distance, out=distance), out=weight)

    @cached_property
    def _apart(self) -> list[Float32Array]:
        """Components of the guide along the rows, where nothing inside the mask is like what is outside."""
        first, *others = (one.ravel() for one in self.guide)
        return [np.where(self.mask.ravel(), first, OUTSIDE), *others]


def averaged(
    values: Float32Array,
    variance: Float32Array | None,
    pairs: Pairs,
    offsets: list[Offset],
    *,
    kept: dict[Shift, Float32Array] | None = None,
    progress: Progress,
) -> tuple[Float32Array, Float32Array]:
    """Return the means over voxels and their neighbours, and the variances of these.

    Parameters
    ----------
    values : ndarray, shape (component, z, y, x)
        float32, 0 outside the mask.
    variance : ndarray, shape (z, y, x), or None
        That of the values; the variance of their means is 0 where it is None.
    pairs : Pairs
    offsets : list of Offset
        One of each pair of opposite offsets; each leads from some voxel of the grid to another (`within`).
    kept : dict, optional
        Weights by offset, put in here for another pass, or taken from here; none where they are too many.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    mask, images = pairs.mask, values.reshape(len(values), -1)
    of_one = np.zeros(mask.size, dtype=np.float32) if variance is None else variance.ravel()
    total, spread, weight = images.copy(), of_one.copy(), mask.ravel().astype(np.float32)
    parts = [part for run in _runs(mask) for part in _spans(run, SPAN)]

    def add(weights: dict[Shift, Float32Array], part: slice) -> None:
        product = np.empty((len(images), SPAN), dtype=np.float32)
        for shift, of_pairs in weights.items():
            for here, pair, there in _ways(part, _step(mask.shape, shift), mask.size):
                alike = of_pairs[pair]
                weight[here] += alike
                total[:, here] += np.multiply(alike, images[:, there], out=product[:, : alike.size])
                if variance is not None:
                    spread[here] += alike * alike * of_one[there]

    for weights, part_of in _weights(pairs, offsets, kept, progress):
        for _ in in_parallel(partial(add, weights), parts, progress=part_of):
            pass
    np.maximum(weight, np.float32(1.0), out=weight)
    total /= weight
    spread /= weight * weight
    return total.reshape(values.shape), spread.reshape(mask.shape)


def _weights(
    pairs: Pairs, offsets: list[Offset], kept: dict[Shift, Float32Array] | None, progress: Progress
) -> Iterator[tuple[dict[Shift, Float32Array], Progress]]:
    """Yield weights by offset, of as many offsets as memory allows, and progress of what is done with them."""
    if kept:
        yield kept, progress
        return
    many = max(1, int(MOST_KEPT // (pairs.mask.size * pairs.guide.itemsize)))
    for start in range(0, len(offsets), many):
        some = offsets[start : start + many]
        of_some = share(progress, start / len(offsets), (start + len(some)) / len(offsets))
        weights = pairs.weights(some, progress=share(of_some, 0.0, WEIGHING))
        if kept is not None and len(some) == len(offsets):
            kept.update(weights)
        yield weights, share(of_some, WEIGHING, 1.0)


def within(offsets: list[Offset], shape: tuple[int, ...]) -> list[Offset]:
    """Return the offsets that lead from some voxel of a grid to another one.

    Examples
    --------
    >>> within([((0, 0, 1), 0.9), ((0, 2, -1), 0.4), ((1, 0, 0), 0.2)], (2, 2, 2))
    [((0, 0, 1), 0.9), ((1, 0, 0), 0.2)]
    """
    return [(shift, near) for shift, near in offsets if all(map(int.__lt__, map(abs, shift), shape))]


def _step(shape: tuple[int, ...], shift: Shift) -> int:
    """Return how many voxels along the rows of a grid an offset leads on, at least one if it is `within` the grid.

    Examples
    --------
    >>> _step((4, 10, 20), (0, 0, 3)), _step((4, 10, 20), (1, -9, -19))
    (3, 1)
    """
    slices, rows, columns = shift
    return (slices * shape[1] + rows) * shape[2] + columns


def _unpair(weight: Float32Array, shift: Shift) -> None:
    """Take away the weights, in place, of voxels that have no neighbour at an offset, for their row or slice ends.

    Examples
    --------
    >>> two_rows = np.ones((1, 2, 3), dtype=np.float32)
    >>> _unpair(two_rows, (0, 1, -1))
    >>> two_rows[0].tolist()
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    for axis, by in enumerate(shift):
        if by:
            np.moveaxis(weight, axis, 0)[-by if by > 0 else 0 : None if by > 0 else -by] = 0.0


def _moved(part: slice, by: int) -> slice:
    """Return a slice moved by a number of voxels."""
    return slice(part.start + by, part.stop + by)


def _runs(mask: MaskArray) -> list[slice]:
    """Return where voxels of a mask are along the rows of the grid, without the wide gaps, as between two slices.

    Examples
    --------
    >>> wide = np.zeros((1, 1, 20_000), dtype=bool)
    >>> wide[..., [5, 7, 18_000]] = True
    >>> _runs(wide)
    [slice(5, 8, None), slice(18000, 18001, None)]
    """
    places = np.flatnonzero(mask)
    last = np.append(np.flatnonzero(np.diff(places) > max(1, SPAN // 16)), places.size - 1)
    first = np.append(0, last[:-1] + 1)
    return [slice(start, stop + 1) for start, stop in zip(places[first].tolist(), places[last].tolist(), strict=True)]


def _spans(run: slice, most: int) -> Iterator[slice]:
    """Yield equal parts of a run of voxels, each of no more than ``most``.

    Examples
    --------
    >>> list(_spans(slice(2, 12), 4))
    [slice(2, 5, None), slice(5, 9, None), slice(9, 12, None)]
    """
    count = max(1, -(-(run.stop - run.start) // most))
    ends = [run.start + round((run.stop - run.start) * part / count) for part in range(count + 1)]
    for start, stop in pairwise(ends):
        yield slice(start, stop)


def _ways(part: slice, by: int, size: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield voxels of a part, their pairs and their neighbours: those on from them, those before."""
    ahead, back = slice(part.start, min(part.stop, size - by)), slice(max(part.start, by), part.stop)
    if ahead.start < ahead.stop:
        yield ahead, ahead, _moved(ahead, by)
    if back.start < back.stop:
        yield back, _moved(back, -by), _moved(back, -by)


def _squared_distance(one: list[Float32Array], other: list[Float32Array]) -> Float32Array:
    """Return the squared distance of two lists of components, one by one to spare memory."""
    distance = np.zeros(one[0].shape, dtype=np.float32)
    for first, second in zip(one, other, strict=True):
        difference = first - second
        difference *= difference
        distance += difference
    return distance
