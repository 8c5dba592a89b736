"""HU of single slices that jump from frame to frame, as where a table goes to and fro."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.levels import noise_between, rough, unexplained
from PyPeTLib.records import Jumps
from PyPeTLib.settings import Settings
from PyPeTLib.smoothing import Float32Array

#: What parts of a slice, so many, do not share is noise. Slices whose parts are smaller, in voxels, tell nothing.
PARTS, LEAST_PART = 4, 100
#: About so many voxels of the brain are looked at.
SAMPLE = 60_000
#: Slices jump if what tissue curves leave of their means is so many times its noise, and larger than this SD in HU.
LEAST_OF_NOISE, LEAST_HU = 1.5, 0.2
#: Slices that bend in time as all do, but for so many times the noise of their means, are not looked at further.
LEAST_BENDS = 1.2
#: Fewer frames tell no curve from jumps.
FEWEST_FRAMES = 5


def find_slice_jumps(
    hu: npt.NDArray[Any],
    vessels: npt.NDArray[np.intp],
    mask: Image,
    artery_hu: FloatArray,
    taken_hu: FloatArray,
    times_s: FloatArray,
    *,
    settings: Settings,
) -> Jumps:
    """Return by how much all HU of a slice are higher or lower than contrast agent makes them, frame by frame.

    Where slices are not acquired at once (a table that goes to and fro, a spiral) each group has levels of its own. As
    for whole frames (`drift.find_jumps`), what the best non-negative sum of tissue curves leaves of a slice's mean is
    noise and jumps. It is decided for all slices at once: a single one has more noise than jumps that do harm.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the brain.
    vessels : ndarray of int
        Columns of what may be vessels.
    mask : Image
        The brain (bool); its voxels in the order of ``hu``.
    artery_hu : ndarray, shape (t,)
        Arterial enhancement, in any unit.
    taken_hu : ndarray, shape (t,)
        Drift and jumps that are taken off all slices anyway, in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``drift``.

    Returns
    -------
    Jumps
        ``hu`` of shape (t, slice), 0 in slices of hardly any brain, and where slices bend no more than their noise.

    Examples
    --------
    >>> from PyPeTLib.geometry import Geometry
    >>> times, mask = np.arange(40.0), Image(np.ones((2, 30, 30), bool), Geometry((30, 30, 2), (1.0, 1.0, 8.0)))
    >>> hu = np.random.default_rng(0).normal(35.0, 2.0, (40, 1800))
    >>> hu[7, :900] += 9.0  # a slice of the eighth frame
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> nothing = np.arange(0)
    >>> found = find_slice_jumps(hu, nothing, mask, aif, np.zeros(40), times, settings=Settings())
    >>> found.corrected, found.largest, float(found.hu[7, 0].round())
    (True, 7, 9.0)
    >>> float(without_slice_jumps(hu, mask, found)[7, :900].mean().round())
    35.0
    """
    slices = _slice_of(mask)
    count = mask.values.shape[2 - mask.geometry.slice_axis]
    nothing = Jumps(np.zeros((times_s.size, count)), False, False)
    if times_s.size < FEWEST_FRAMES or count < 2:  # of one slice the jumps are those of the frames
        return nothing
    parts_hu, sizes = _part_means(hu, vessels, slices, count)
    known = (sizes >= LEAST_PART).all(axis=1)
    if np.count_nonzero(known) < 2:
        return nothing
    parts_hu = parts_hu[known]
    means_hu, noise = parts_hu.mean(axis=1) - taken_hu, _noise_of_mean(parts_hu)
    if _bends(means_hu) < LEAST_BENDS * noise:
        return nothing
    left_hu = unexplained(means_hu, artery_hu, times_s)
    size = float(np.sqrt(np.mean(left_hu.var(axis=1))))
    certain = bool(size > max(LEAST_HU, LEAST_OF_NOISE * noise) and rough(left_hu))
    found = np.zeros_like(nothing.hu)
    found[:, known] = left_hu.T
    return Jumps(found, certain, certain and settings.drift == "auto")


def without_slice_jumps(hu: npt.NDArray[Any], mask: Image, jumps: Jumps) -> npt.NDArray[Any]:
    """Return the HU of the brain, shape (t, voxel), without what slices jump by, where that is taken off.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
    mask : Image
        The brain (bool).
    jumps : Jumps
        As `find_slice_jumps` returns them.
    """
    if not jumps.corrected:
        return hu
    slices = _slice_of(mask)
    steady: Float32Array = np.empty(hu.shape, dtype=np.float32)
    for target, frame, level in zip(steady, hu, jumps.hu.astype(np.float32), strict=True):
        np.subtract(frame, level[slices], out=target)
    return steady


def _slice_of(mask: Image) -> npt.NDArray[np.intp]:
    """Return in which slice each voxel of a mask lies."""
    return np.asarray(np.nonzero(mask.values)[2 - mask.geometry.slice_axis])


def _part_means(
    hu: npt.NDArray[Any], vessels: npt.NDArray[np.intp], slices: npt.NDArray[np.intp], count: int
) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Return the mean of each frame over parts of each slice, shape (slice, part, t), and how many voxels each has.

    Parts are rows that follow each other, so hardly any voxels of two of them share their noise.
    """
    tissue = np.ones(slices.size, dtype=bool)
    tissue[vessels] = False
    some = slice(None, None, max(1, slices.size // SAMPLE))
    chosen = np.flatnonzero(tissue[some])
    own = slices[some][chosen]
    order = np.argsort(own, kind="stable")
    within = np.bincount(own, minlength=count)
    place = np.empty(own.size, dtype=np.intp)
    place[order] = np.arange(own.size) - np.repeat(np.cumsum(within) - within, within)
    key = own * PARTS + place * PARTS // within[own]
    sizes = np.bincount(key, minlength=count * PARTS)
    sums = np.stack([np.bincount(key, weights=frame[some][chosen], minlength=count * PARTS) for frame in hu], axis=1)
    means = sums / np.maximum(sizes, 1)[:, None]
    return means.reshape(count, PARTS, -1), sizes.reshape(count, PARTS)


def _bends(means_hu: FloatArray) -> float:
    """Return the RMS of how slices bend in time beyond what all do, as the SD of noise that would bend them so."""
    bends = np.diff(means_hu - means_hu.mean(axis=0), n=2)
    return float(np.sqrt(np.mean(bends**2) / (6.0 * (1.0 - 1.0 / len(means_hu)))))


def _noise_of_mean(parts_hu: FloatArray) -> float:
    """Return the SD of the noise of a slice's mean, the RMS over slices."""
    return float(np.sqrt(np.mean([noise_between(parts) ** 2 for parts in parts_hu])))
