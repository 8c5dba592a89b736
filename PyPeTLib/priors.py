"""What is to be expected in a voxel, learned from the scan: transit times at each delay, and delays that are around."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_chunks, product
from PyPeTLib.dictionary import Dictionary, Float32Array, Grid, by_rows, log_weights
from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.progress import Progress
from PyPeTLib.smoothing import gaussian_in_mask

#: Transit times are learned from so many voxels, in so many rounds, ...
SAMPLE, PATIENT_ROUNDS = 6000, 6
#: ... smoothed over this distance in the logarithm of the transit time and in s of delay.
LOG_MTT_SD, DELAY_SD_S = 0.25, 0.5
#: What was stated beforehand counts as this share of the sample, and as so many voxels at least.
STATED_SHARE, STATED_VOXELS = 0.25, 500.0
#: Neighbours are seen this far apart in mm, weighed by a Gaussian of this SD in mm.
STEP_MM, NEIGHBOURS_MM = 3.0, 3.0
#: Delays of neighbours are alike within this SD in s, ...
ALIKE_S = 1.0
#: ... and a voxel is like none of its neighbours with this probability.
UNLIKE = 0.3

Index = npt.NDArray[np.intp]


def with_patients_times(dictionary: Dictionary, sample: Float32Array) -> Dictionary:
    """Return the dictionary with the transit times that a sample of the brain has at each delay.

    Expectation and maximisation: the new prior is the mean posterior of the sample, smoothed over neighbouring atoms,
    with what was stated before mixed in; of it only how transit times are distributed at a delay is kept. So long ones
    are expected in late tissue if that is so in this patient. How frequent a delay is in the brain tells nothing about
    a voxel: most of a brain is healthy, and a small lesion would be lost.

    Parameters
    ----------
    dictionary : Dictionary
        Single tissue with the stated prior: mixtures would take over what looks like them, more with every round.
    sample : ndarray, shape (voxel, component)
        Curves in SDs of their noise.

    References
    ----------
    Laird 1978, doi:10.1080/01621459.1978.10480103 (prior by maximum likelihood)
    """
    stated = dictionary.mass
    weight = by_rows(lambda rows: np.exp(log_weights(product(rows, dictionary.directions), dictionary)[0]), sample)
    voxels = len(sample)
    before = max(STATED_SHARE * voxels, STATED_VOXELS)
    mass = stated
    for _ in range(PATIENT_ROUNDS):
        ratio = _over(mass, stated)
        evidence = np.einsum("va,a->v", weight, ratio.astype(np.float32))  # on one thread: the sum is always the same
        learned = _smoothed(ratio * np.einsum("v,va->a", 1.0 / evidence, weight), dictionary) * (stated > 0.0)
        mass = voxels * learned / learned.sum() + before * stated
        mass /= mass.sum()
    delays = (dictionary.by_delay(one[None]) for one in (stated, mass))
    ratio = _over(mass, stated) * dictionary.for_each_atom(_over(*delays))[0]
    return replace(dictionary, log_prior=dictionary.log_prior + np.log(ratio))


@dataclass(frozen=True)
class Surroundings:
    """How the delays around each voxel change its prior.

    Parameters
    ----------
    block : ndarray, shape (voxel,)
        In which block of the grid each voxel lies.
    log_change : ndarray, shape (block, delay)
        float32, what is added to the logarithm of the prior of each delay, in the order of `Dictionary.by_delay`.
    """

    block: Index
    log_change: Float32Array

    def of(self, voxels: Index) -> Float32Array:
        """Return the change for some voxels, shape (voxel, delay)."""
        return np.asarray(self.log_change[self.block[voxels]])


def surroundings(
    dictionary: Dictionary,
    curves_of: Callable[[Index], Float32Array],
    mask: MaskArray,
    spacing_zyx_mm: Sequence[float],
    *,
    progress: Progress,
) -> Surroundings:
    """Return the delays that are to be expected around each voxel: those of its neighbours.

    Arteries supply territories, so the delay of a voxel is mostly that of some of its neighbours. In each block of
    about 3 mm one voxel is looked at. The prior of the delay there is the mean of the posteriors of its
    surroundings; both sides of an edge are in it, so edges stay where the voxel's own curve tells them. A voxel of
    two tissues tells of both, and is as probable as the rarer of the two is. What was expected before counts as
    three tenths: no delay is ever less than three tenths as probable as it was, and a voxel whose curve speaks
    clearly is heard, however it differs. With less, or with more rounds in which each posterior is found with its
    own prior, large lesions would be sharper and small ones of little blood would take the delay of what is around.

    Parameters
    ----------
    dictionary : Dictionary
        First single tissue, then mixtures with the usual one if there are any.
    curves_of : callable
        Gives the curves of some voxels in SDs of their noise.
    mask : ndarray of bool, shape (z, y, x)
        Where the voxels lie.
    spacing_zyx_mm : sequence of float
        Of its grid.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Sanjay-Gopal 1998, doi:10.1109/83.701161 (mixtures whose shares vary in space)
    """
    from scipy.ndimage import gaussian_filter1d

    steps = [max(1, round(STEP_MM / mm)) for mm in spacing_zyx_mm]
    counts = [-(-length // step) for length, step in zip(mask.shape, steps, strict=True)]
    place = [axis // step for axis, step in zip(np.nonzero(mask), steps, strict=True)]
    known, first, block = np.unique(np.ravel_multi_index(place, counts), return_index=True, return_inverse=True)
    inside = np.zeros(counts, dtype=bool)
    inside.ravel()[known] = True
    spacing = [mm * step for mm, step in zip(spacing_zyx_mm, steps, strict=True)]

    def told(voxels: Index) -> Float32Array:
        return by_rows(lambda rows: _by_delay(rows, dictionary), curves_of(voxels))

    posterior = in_chunks(told, first, progress=progress)
    posterior /= posterior.sum(axis=1, keepdims=True)
    single, *mixed = dictionary.grids
    present, *late = (part.copy() for part in dictionary.each_delay(posterior))
    places = [_places(single, grid) for grid in mixed]
    for (usual, delays), part in zip(places, late, strict=True):
        present[:, usual] += 0.5 * part.sum(axis=1)
        np.add.at(present.T, delays, 0.5 * part.T)
    around = gaussian_in_mask(present, inside, spacing, NEIGHBOURS_MM)
    around = gaussian_filter1d(around, ALIKE_S / single.delay_step_s, axis=1, mode="nearest")
    before, *_ = dictionary.each_delay(dictionary.by_delay(dictionary.mass[None]).astype(np.float32))
    before /= before.sum()
    likely = _over((1.0 - UNLIKE) * around / around.sum(axis=1, keepdims=True) + UNLIKE * before, before)
    both = [np.minimum(likely[:, [usual]], likely[:, delays]) for usual, delays in places]
    return Surroundings(block, np.log(np.concatenate([likely, *both], axis=1)))


def _places(single: Grid, mixed: Grid) -> tuple[int, Index]:
    """Return which delays of single tissue the two tissues of mixtures have: the usual one, and each late one."""
    assert mixed.usual_s is not None, "late tissue shares a voxel with the usual one"
    return int(single.nearest(mixed.usual_s)), single.nearest(mixed.delays_s)


def _over(mass: npt.NDArray[Any], before: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return by how many times something became more probable; 1 for what was impossible."""
    return np.asarray(np.divide(mass, before, out=np.ones_like(mass), where=before > 0.0))


def _by_delay(rows: Float32Array, dictionary: Dictionary) -> Float32Array:
    """Return the posterior of each delay, but for a factor."""
    weight, _ = log_weights(product(rows, dictionary.directions), dictionary)
    return np.asarray(dictionary.by_delay(np.exp(weight, out=weight)))


def _smoothed(mass: FloatArray, dictionary: Dictionary) -> FloatArray:
    """Return the mass of the atoms smoothed over transit time and delay."""
    from scipy.ndimage import gaussian_filter

    parts = [
        gaussian_filter(part[0], (0.0, LOG_MTT_SD / grid.log_mtt_step, DELAY_SD_S / grid.delay_step_s), mode="nearest")
        for part, grid in zip(dictionary.on_grids(mass[None]), dictionary.grids, strict=True)
    ]
    return np.concatenate([part.ravel() for part in parts])
