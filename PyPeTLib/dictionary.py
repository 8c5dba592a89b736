"""A dictionary of tissue curves: every delay and transit time with the patient's own arterial input, and mixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import product
from PyPeTLib.geometry import FloatArray
from PyPeTLib.kinetics import BOX, LINEAR, tissue_curves
from PyPeTLib.records import Curves

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings, TransitPrior

#: The grid of what is possible: mean transit times in s, and delays in s after that which is usual in the patient, ...
MTTS_S = np.geomspace(1.0, 30.0, 24)
DELAYS_S = np.arange(-4.0, 16.01, 0.5)
#: ... which is sought here first: the arterial input may be that of a late branch.
USUAL_DELAYS_S = np.arange(-12.0, 12.01, 1.0)
#: Most of a brain may be late; usual is no more than so many s after what this percentage of the sample precedes.
EARLY_PERCENTAGE, AFTER_EARLY_S = 10.0, 2.0
#: Prior of the mean transit time: log-normal about this median in s, with this SD of the logarithm (90 %: 1.3 to 19 s).
MTT_MEDIAN_S, MTT_LOG_SD = 5.0, 0.8
#: Shapes of the residue among which a patient's own is sought.
SHAPES = {
    "exponential": 1.0,
    "gamma-1.5": 1.5,
    "gamma-2": 2.0,
    "gamma-3": 3.0,
    "gamma-5": 5.0,
    "gamma-10": 10.0,
    "linear": LINEAR,
    "box": BOX,
}
#: Late tissue that shares a voxel with the usual one: its share of the blood, delay in s after that, and mean transit
#: time in s.
LATE_SHARES = np.array([0.3, 0.5, 0.7])
LATE_DELAYS_S = np.arange(4.0, 14.01, 1.0)
LATE_MTTS_S = np.geomspace(3.0, 24.0, 6)
#: Such a voxel is so probable beforehand, against one of a single tissue.
MIXED_TO_SINGLE = 0.2
#: Tissue whose delay is this close to the median delay, in s, is usual.
USUAL_WITHIN_S = 1.5
#: Shape and usual tissue are sought in so many voxels, of middling enhancement: neither CSF nor vessels.
SAMPLE, SAMPLE_PERCENTILES = 3000, (30.0, 90.0)
#: Voxels that are compared with all atoms at a time: their weights fit in the cache.
ROWS = 256
#: Weights that are smaller than this are rounded up, for tiny numbers are slow.
LEAST_LOG_WEIGHT = np.float32(-40.0)
#: Tissue without large vessels holds less blood than this share of its volume.
MOST_VOLUME = 0.1
#: What a fit adapts: delay, transit time and volume.
FITTED = 3
#: Components smaller than this share of the largest are rounding.
SMALLEST_SIZE = 1e-4
#: So are curves of this share of the largest: tissue that contrast does not reach before the scan ends.
SHORTEST_CURVE = 1e-6

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """How atoms are laid out: for every share of late tissue, every transit time, every delay.

    Parameters
    ----------
    shape : tuple of int
        Number of shares (1: a single tissue), transit times and delays.
    log_mtt_step : float
        Step of the logarithm of the transit time.
    delays_s : tuple of float
        Delays in s, evenly spaced; of the late part where there is one.
    usual_s : float or None
        Delay in s of the usual tissue with which late tissue shares the voxel; None: a single tissue.
    """

    shape: tuple[int, int, int]
    log_mtt_step: float
    delays_s: tuple[float, ...]
    usual_s: float | None = None

    @property
    def delay_step_s(self) -> float:
        """Step of the delay in s."""
        return self.delays_s[1] - self.delays_s[0]

    def nearest(self, delays_s: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Return which of the delays are nearest to others."""
        return np.asarray(np.abs(np.subtract.outer(delays_s, self.delays_s)).argmin(axis=-1))


@dataclass(frozen=True)
class Dictionary:
    """Tissue curves of unit volume, in the components of the data.

    Parameters
    ----------
    directions : ndarray, shape (component, atom)
        float32 unit vectors: the curves without their time means.
    lengths : ndarray, shape (atom,)
        What they were divided by, in HU.
    mtt_s, delay_s : ndarray, shape (atom,)
        Volume over flow, and the delay, its mean by flow where an atom is of two tissues.
    log_prior : ndarray, shape (atom,)
        Logarithm of the prior over the lengths: what is left of the integral over the volume.
    grids : tuple of Grid
        How the atoms are laid out, one grid after the other.
    """

    directions: Float32Array
    lengths: FloatArray
    mtt_s: FloatArray
    delay_s: FloatArray
    log_prior: FloatArray
    grids: tuple[Grid, ...]

    @property
    def mass(self) -> FloatArray:
        """Prior probability of each atom, shape (atom,)."""
        prior = np.exp(self.log_prior) * self.lengths
        return np.asarray(prior / prior.sum())

    def on_grids(self, rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Yield views of rows of atoms, shape (row, share, transit time, delay), a grid each."""
        start = 0
        for grid in self.grids:
            stop = start + int(np.prod(grid.shape))
            yield rows[:, start:stop].reshape(-1, *grid.shape)
            start = stop

    def by_delay(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return rows of atoms summed over all but the delay, grid after grid, shape (row, delay)."""
        return np.concatenate([part.sum(axis=(1, 2)) for part in self.on_grids(rows)], axis=1)

    def for_each_atom(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return for every atom what is of its delay, shape (row, atom); the delays are those of `by_delay`."""
        parts = zip(self.each_delay(rows), self.grids, strict=True)
        return np.concatenate([np.tile(part, grid.shape[0] * grid.shape[1]) for part, grid in parts], axis=1)

    def each_delay(self, rows: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Yield views of what `by_delay` gives, a grid each."""
        start = 0
        for grid in self.grids:
            stop = start + grid.shape[-1]
            yield rows[:, start:stop]
            start = stop


def tissue_dictionary(
    aif_hu: FloatArray,
    times_s: FloatArray,
    free: FloatArray,
    *,
    mtts_s: FloatArray,
    delays_s: FloatArray,
    shape: float,
    settings: Settings,
) -> Dictionary:
    """Return tissue of every mean transit time and every delay, in this order.

    Parameters
    ----------
    aif_hu, times_s : ndarray, shape (t,)
        Arterial enhancement in HU, and when it was seen in s.
    free : ndarray, shape (component, t)
        Components of the data, orthonormal and free of the mean.
    mtts_s : ndarray, shape (mtt,)
        Mean transit times in s, evenly spaced in the logarithm.
    delays_s : ndarray, shape (delay,)
        Delays in s, evenly spaced.
    shape : float
        Of the gamma distribution of transit times.
    settings : Settings
        ``mtt_prior``.
    """
    curves = tissue_curves(aif_hu, times_s, delays_s=delays_s, mtts_s=mtts_s, shape=shape)
    mtt_s, delay_s = (grid.ravel() for grid in np.meshgrid(mtts_s, delays_s, indexing="ij"))
    grid = Grid((1, mtts_s.size, delays_s.size), _log_step(mtts_s), tuple(delays_s.tolist()))
    return _dictionary(curves @ free.T, mtt_s, delay_s, _log_prior(mtt_s, settings.mtt_prior), grid)


def mixed_dictionary(
    single: Dictionary,
    sample: Float32Array,
    aif_hu: FloatArray,
    times_s: FloatArray,
    free: FloatArray,
    *,
    shape: float,
    settings: Settings,
) -> Dictionary:
    """Return voxels that late tissue shares with the usual tissue of this patient, as one dictionary.

    At the edge of an ischaemic territory a voxel is partly healthy: its curve is the sum of an early one and a late one
    and is not that of any single tissue. Taken for one, it follows the part with more flow, the healthy one, and its
    transit time becomes too long. Usual tissue is that of median delay and, near it, median transit time. The late part
    comes 4 to 14 s after it and holds 30 to 70 % of the blood. All together are as probable beforehand as 0.2 of
    ``single``. Delay is the mean by flow; transit time is volume over flow.

    Parameters
    ----------
    single : Dictionary
        Voxels of one tissue.
    sample : ndarray, shape (voxel, component)
        Curves of the brain in units of their noise.
    aif_hu, times_s, free, shape, settings
        As in `tissue_dictionary`.
    """
    early_mtt_s, early_s = usual_tissue(sample, single)
    late_s = early_s + LATE_DELAYS_S
    early = {"delays_s": np.array([early_s]), "mtts_s": np.array([early_mtt_s])}
    usual = tissue_curves(aif_hu, times_s, **early, shape=shape)[0, 0]
    late = tissue_curves(aif_hu, times_s, delays_s=late_s, mtts_s=LATE_MTTS_S, shape=shape)
    share, mtt_s, delay_s = np.meshgrid(LATE_SHARES, LATE_MTTS_S, late_s, indexing="ij")
    curves = (1.0 - share[..., None]) * usual + share[..., None] * late
    flows = (1.0 - share) / early_mtt_s, share / mtt_s
    flow = flows[0] + flows[1]
    mean_delay_s = (flows[0] * early_s + flows[1] * delay_s) / flow
    prior = np.exp(_log_prior(mtt_s.ravel(), settings.mtt_prior))
    prior *= MIXED_TO_SINGLE * np.exp(_log_prior(single.mtt_s, settings.mtt_prior)).sum() / prior.sum()
    grid = Grid(share.shape, _log_step(LATE_MTTS_S), tuple(late_s.tolist()), early_s)
    return _dictionary(curves @ free.T, 1.0 / flow.ravel(), mean_delay_s.ravel(), np.log(prior), grid)


def joined(one: Dictionary, other: Dictionary) -> Dictionary:
    """Return the atoms of both."""
    return Dictionary(
        np.concatenate([one.directions, other.directions], axis=1),
        np.concatenate([one.lengths, other.lengths]),
        np.concatenate([one.mtt_s, other.mtt_s]),
        np.concatenate([one.delay_s, other.delay_s]),
        np.concatenate([one.log_prior, other.log_prior]),
        one.grids + other.grids,
    )


def seen(dictionary: Dictionary, noise_hu: float) -> Dictionary:
    """Return the dictionary without what the scan could not show: tissue so late that its contrast hardly arrives.

    Any volume of it agrees with a curve that does not enhance. Where noise hides all tissue nothing is left out.
    """
    shown = MOST_VOLUME * dictionary.lengths > noise_hu
    if not shown.any():
        return dictionary
    return replace(dictionary, log_prior=np.where(shown, dictionary.log_prior, -np.inf))


def sample_of(curves: Curves) -> tuple[Float32Array, FloatArray]:
    """Return curves of middling enhancement in units of their noise (1 HU where it is not known), and their components.

    Returns
    -------
    sample : ndarray, shape (voxel, component)
    free : ndarray, shape (component, t)
        Orthonormal and free of the mean.
    """
    rotation, free = components_without_mean(curves.basis)
    chosen = middling(curves.coefficients)
    noise_hu = np.ones(chosen.size, dtype=np.float32) if curves.sd is None else curves.sd[chosen]
    sample: Float32Array = product(curves.coefficients[chosen], rotation)
    return sample / noise_hu[:, None], free


def components_without_mean(basis: Float32Array) -> tuple[Float32Array, FloatArray]:
    """Return what takes coefficients to components of equal noise, and these, orthonormal and free of the mean.

    The baseline of a curve is not known; without its time mean a curve holds nothing of it.
    """
    about_mean = basis - basis.mean(axis=1, keepdims=True)
    left, sizes, right = np.linalg.svd(about_mean.astype(float), full_matrices=False)
    kept = sizes > SMALLEST_SIZE * sizes[0]
    return (left * sizes)[:, kept].astype(np.float32), right[kept]


def usual_delay_s(sample: Float32Array, aif_hu: FloatArray, times_s: FloatArray, free: FloatArray) -> float:
    """Return the median of the delays that explain the sample best, to the half second.

    Where more than half of the brain is late, as behind a narrow carotid artery on both sides, the median is that of
    late tissue, and the grid around it would begin after the tissue that is not: early tissue then draws it back.
    """
    mtts_s = np.array([MTT_MEDIAN_S])
    curves = tissue_curves(aif_hu, times_s, delays_s=USUAL_DELAYS_S, mtts_s=mtts_s, shape=SHAPES["exponential"])[0]
    directions = curves @ free.T
    heights = sample @ (directions / curve_lengths(directions)[:, None]).T
    early_s, median_s = np.percentile(USUAL_DELAYS_S[heights.argmax(axis=1)], [EARLY_PERCENTAGE, 50.0])
    return float(np.round(2.0 * min(median_s, early_s + AFTER_EARLY_S)) / 2.0)


def usual_tissue(sample: Float32Array, single: Dictionary) -> tuple[float, float]:
    """Return mean transit time and delay in s that are usual in a patient: medians of posterior means.

    To the millisecond: the last digits of sums in float32 depend on the processor.
    """
    weight, _ = log_weights(product(sample, single.directions), single)
    np.exp(weight, out=weight)
    grid = np.column_stack([np.ones_like(single.mtt_s), np.log(single.mtt_s), single.delay_s]).astype(np.float32)
    total, log_mtt, delay_s = product(weight, grid).T
    log_mtt, delay_s = log_mtt / total, delay_s / total
    usual = float(np.percentile(delay_s, 50.0, method="lower"))  # that of a voxel: between two halves there may be none
    near = np.abs(delay_s - usual) <= USUAL_WITHIN_S
    return round(float(np.exp(np.median(log_mtt[near]))), 3), round(usual, 3)


def log_weights(
    height: Float32Array, dictionary: Dictionary, change: Float32Array | None = None
) -> tuple[Float32Array, Float32Array]:
    """Return logarithms of posterior weights below the largest, and that one.

    Parameters
    ----------
    height : ndarray, shape (voxel, atom)
        Curves along the atoms, in SDs of their noise.
    dictionary : Dictionary
    change : ndarray, shape (voxel, delay), or None
        What is added to the logarithm of the prior in each voxel, in the order of `Dictionary.by_delay`.
    """
    weight = np.maximum(height, np.float32(0.0))
    weight *= weight
    weight *= np.float32(0.5)
    weight += dictionary.log_prior.astype(np.float32)
    if change is not None:
        weight += dictionary.for_each_atom(change)
    top = weight.max(axis=1, keepdims=True)
    weight -= top
    np.maximum(weight, LEAST_LOG_WEIGHT, out=weight)
    return weight, top


def by_rows(function: Callable[..., npt.NDArray[Any]], *rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Apply a function to a few rows at a time and join the results."""
    parts = range(0, len(rows[0]), ROWS)
    return np.concatenate([function(*(one[start : start + ROWS] for one in rows)) for start in parts])


def misfit(sample: Float32Array, dictionary: Dictionary) -> float:
    """Return by how much curves miss their best fits beyond the noise, at least 1."""
    missed, usual, _ = _missed(sample, dictionary)
    return float(np.sqrt(max(1.0, missed / usual))) if usual else 1.0


def missed_share(sample: Float32Array, dictionary: Dictionary) -> float:
    """Return what curves miss of their best fits beyond the noise, as a share of the length of these, at least 0.

    Unlike `misfit` it does not depend on the noise, which hides what is no curve of tissue.
    """
    missed, usual, length = _missed(sample, dictionary)
    return float(np.sqrt(max(0.0, missed - usual))) / length if usual and length else 0.0


def _missed(sample: Float32Array, dictionary: Dictionary) -> tuple[float, float, float]:
    """Return the square of what curves miss of their best fits, that of noise alone, and the length of these fits.

    Medians of the sample, in units of the noise; that of noise is 0 where fits adapt as much as there is.
    """
    from scipy.special import gammaincinv

    freedom = len(dictionary.directions) - FITTED
    if freedom < 1:
        return 0.0, 0.0, 0.0
    best = np.maximum(product(sample, dictionary.directions).max(axis=1), 0.0)
    usual = 2.0 * gammaincinv(0.5 * freedom, 0.5)  # median of chi-squared; scipy.stats takes long to import
    return float(np.median(np.sum(sample**2, axis=1) - best**2)), float(usual), float(np.median(best))


def _dictionary(
    projected: FloatArray, mtt_s: FloatArray, delay_s: FloatArray, log_prior: FloatArray, grid: Grid
) -> Dictionary:
    """Return curves in the components of the data, shape (..., component), as atoms."""
    directions = projected.reshape(-1, projected.shape[-1])
    lengths = curve_lengths(directions)
    unit = np.ascontiguousarray((directions / lengths[:, None]).T, dtype=np.float32)
    return Dictionary(unit, lengths, mtt_s, delay_s, log_prior - np.log(lengths), (grid,))


def curve_lengths(directions: FloatArray) -> FloatArray:
    """Return the lengths of curves in components; rounding, which is no direction, counts as longer than it is.

    Examples
    --------
    >>> curve_lengths(np.array([[3.0, 4.0], [0.0, 1e-13]])).round(9).tolist()
    [5.0, 5e-06]
    """
    lengths = np.linalg.norm(directions, axis=1)
    return np.asarray(np.maximum(lengths, SHORTEST_CURVE * lengths.max()))


def _log_step(mtts_s: FloatArray) -> float:
    """Return the step of the logarithm."""
    return float(np.log(mtts_s[1] / mtts_s[0]))


def _log_prior(mtt_s: FloatArray, kind: TransitPrior) -> FloatArray:
    """Return the logarithm of the prior of mean transit times that are evenly spaced in the logarithm."""
    if kind == "flat":
        return np.zeros_like(mtt_s)
    return np.asarray(-0.5 * (np.log(mtt_s / MTT_MEDIAN_S) / MTT_LOG_SD) ** 2)


def middling(coefficients: Float32Array) -> npt.NDArray[np.intp]:
    """Return the places of voxels of middling enhancement, spread evenly over the brain."""
    size = np.linalg.norm(coefficients, axis=1)
    low, high = np.percentile(size, SAMPLE_PERCENTILES)
    chosen = np.flatnonzero((size >= low) & (size <= high))
    return chosen[:: max(1, chosen.size // SAMPLE)]
