"""Bayesian estimate of blood flow, volume, transit time and delay from a dictionary of tissue curves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_chunks, share
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.records import Curves, FloatArray, Progress, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: The grid of what is possible: mean transit times in s, and delays in s after that which is usual in the patient, ...
MTTS_S = np.geomspace(1.0, 30.0, 24)
DELAYS_S = np.arange(-4.0, 16.01, 0.5)
#: ... which is sought here first: the arterial input may be that of a late branch.
USUAL_DELAYS_S = np.arange(-12.0, 12.01, 1.0)
#: Prior of the mean transit time: log-normal about this median in s, with this SD of the logarithm (90 %: 1.4 to 18 s).
MTT_MEDIAN_S, MTT_LOG_SD = 5.0, 0.8
#: Shapes of the residue among which a patient's own is sought.
SHAPES = {"exponential": 1.0, "gamma-1.5": 1.5, "gamma-2": 2.0, "gamma-3": 3.0, "gamma-5": 5.0, "box": BOX}
#: It is sought in so many voxels, of middling enhancement: neither CSF nor vessels.
SAMPLE, SAMPLE_PERCENTILES = 3000, (30.0, 90.0)
#: Weights that are smaller than this are rounded up, for tiny numbers are slow.
LEAST_LOG_WEIGHT = np.float32(-40.0)
#: Tissue without large vessels holds less blood than this share of its volume.
MOST_VOLUME = 0.1
#: Components smaller than this share of the largest are rounding.
SMALLEST_SIZE = 1e-4
#: What a fit adapts: delay, transit time and volume.
FITTED = 3
#: Voxels that are compared with all atoms at a time: small enough for the cache, and for one thread each.
ROWS = 128

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Dictionary:
    """Tissue curves of unit volume for every delay and mean transit time of the grid, in the components of the data.

    Parameters
    ----------
    directions : ndarray, shape (component, atom)
        float32 unit vectors: the curves without their time means.
    lengths : ndarray, shape (atom,)
        What they were divided by, in HU.
    mtt_s, delay_s : ndarray, shape (atom,)
    log_prior : ndarray, shape (atom,)
        Logarithm of the prior over the lengths: what is left of the integral over the volume.
    """

    directions: Float32Array
    lengths: FloatArray
    mtt_s: FloatArray
    delay_s: FloatArray
    log_prior: FloatArray


def bayesian(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress
) -> Response:
    """Return posterior means and standard deviations over delay, mean transit time and volume.

    Every voxel's curve is compared with those of tissue of all delays and transit times, made from the patient's own
    arterial input (`kinetics.tissue_curves`) and sampled when the scan was. With normal noise of known size, a flat
    prior of the volume and of the delay, and a wide log-normal one of the transit time (or flat in its logarithm,
    ``mtt_prior``), sums over the dictionary are the posterior. The shape of the residue function, which single voxels
    cannot tell, is that of greatest evidence over the patient's whole brain. Flow is volume over transit time, both
    posterior means: the mean of their ratio would be too large where the transit time is uncertain. Tmax, the time of
    the maximum of the response, is the delay, or the middle of a box. Where curves miss their best fits by more than
    the noise, it is taken as that much larger; nor is it taken as less than what neighbours on the grid differ by.
    What smoothing mixed into the height of a curve adds to the standard deviations of volume and flow.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU with the noise that is left.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    settings : Settings
        ``residue`` and ``mtt_prior``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Mouridsen 2006, doi:10.1016/j.neuroimage.2006.06.015; Boutelier 2012, doi:10.1109/TMI.2012.2189890
    """
    assert curves.sd is not None, "the noise is known after smoothing"
    rotation, free = components_without_mean(curves.basis)

    def scaled(rows: Float32Array) -> Float32Array:
        """Return curves in components of equal noise, in units of its SD."""
        return np.asarray((rows[:, :-1] @ rotation) / rows[:, -1:])

    rows = np.column_stack([curves.coefficients, curves.sd])
    sample = scaled(rows[middling(curves.coefficients)])
    names = list(SHAPES) if settings.residue == "automatic" else [settings.residue]
    delays_s = usual_delay_s(sample, aif_hu, times_s, free) + DELAYS_S
    tried = {
        name: _dictionary(
            tissue_curves(aif_hu, times_s, delays_s=delays_s, mtts_s=MTTS_S, shape=SHAPES[name]),
            delays_s,
            free,
            settings,
        )
        for name in names
    }
    name = max(names, key=lambda one: mean_log_evidence(sample, tried[one].directions, tried[one].log_prior))
    excess = _excess(sample, tried[name])
    dictionary = _seen(tried[name], excess * float(np.median(curves.sd)))
    coarseness = _coarseness(tried[name])
    progress(0.1, "")

    def block(rows: Float32Array) -> FloatArray:
        curves = scaled(rows)
        noise = np.maximum(excess, coarseness * np.linalg.norm(curves, axis=1)).astype(np.float32)
        return _moments(curves / noise[:, None], noise * rows[:, -1], dictionary)

    found = in_chunks(block, rows, progress=share(progress, 0.1, 1.0))
    volume, mtt, delay, *sds = found.T
    if curves.mixing is not None:
        sds[0], sds[1] = np.hypot(sds[0], curves.mixing * volume / mtt), np.hypot(sds[1], curves.mixing * volume)
    sd = dict(zip(("cbf", "cbv", "mtt", "delay"), sds, strict=True))
    tmax = delay + 0.5 * mtt if name == "box" else delay
    return Response(volume / mtt, tmax, delay, volume, sd, name)


def components_without_mean(basis: Float32Array) -> tuple[Float32Array, FloatArray]:
    """Return what takes coefficients to components of equal noise, and these, orthonormal and free of the mean.

    The baseline of a curve is not known; without its time mean a curve holds nothing of it.
    """
    about_mean = basis - basis.mean(axis=1, keepdims=True)
    left, sizes, right = np.linalg.svd(about_mean.astype(float), full_matrices=False)
    kept = sizes > SMALLEST_SIZE * sizes[0]
    return (left * sizes)[:, kept].astype(np.float32), right[kept]


def usual_delay_s(sample: Float32Array, aif_hu: FloatArray, times_s: FloatArray, free: FloatArray) -> float:
    """Return the median of the delays that explain the sample best, to the half second."""
    mtts_s = np.array([MTT_MEDIAN_S])
    curves = tissue_curves(aif_hu, times_s, delays_s=USUAL_DELAYS_S, mtts_s=mtts_s, shape=SHAPES["exponential"])[0]
    directions = curves @ free.T
    heights = sample @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T
    return float(np.round(2.0 * np.median(USUAL_DELAYS_S[heights.argmax(axis=1)])) / 2.0)


def _dictionary(curves: FloatArray, delays_s: FloatArray, free: FloatArray, settings: Settings) -> Dictionary:
    """Return tissue curves, shape (mtt, delay, t), as atoms with their prior."""
    directions = curves.reshape(-1, curves.shape[-1]) @ free.T
    lengths = np.linalg.norm(directions, axis=1)
    mtt_s, delay_s = (grid.ravel() for grid in np.meshgrid(MTTS_S, delays_s, indexing="ij"))
    log_prior = -np.log(lengths)
    if settings.mtt_prior == "weak":
        log_prior -= 0.5 * (np.log(mtt_s / MTT_MEDIAN_S) / MTT_LOG_SD) ** 2
    unit = np.ascontiguousarray((directions / lengths[:, None]).T, dtype=np.float32)
    return Dictionary(unit, lengths, mtt_s, delay_s, log_prior)


def middling(coefficients: Float32Array) -> npt.NDArray[np.intp]:
    """Return the places of voxels of middling enhancement, spread evenly over the brain."""
    size = np.linalg.norm(coefficients, axis=1)
    low, high = np.percentile(size, SAMPLE_PERCENTILES)
    chosen = np.flatnonzero((size >= low) & (size <= high))
    return chosen[:: max(1, chosen.size // SAMPLE)]


def mean_log_evidence(sample: Float32Array, directions: Float32Array, log_prior: FloatArray) -> float:
    """Return the mean logarithm of the integral of likelihood times prior over all atoms, but for a constant."""
    weight, top = _log_weights(sample @ directions, log_prior.astype(np.float32))
    np.exp(weight, out=weight)
    return float(np.mean(np.log(weight.sum(axis=1, dtype=float)) + top[:, 0]))


def _log_weights(height: Float32Array, log_prior: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return logarithms of posterior weights below the largest, and that one; heights are in noise SDs."""
    weight = np.maximum(height, np.float32(0.0))
    weight *= weight
    weight *= np.float32(0.5)
    weight += log_prior
    top = weight.max(axis=1, keepdims=True)
    weight -= top
    np.maximum(weight, LEAST_LOG_WEIGHT, out=weight)
    return weight, top


def _excess(sample: Float32Array, dictionary: Dictionary) -> float:
    """Return by how much curves miss their best fits beyond the noise, at least 1."""
    from scipy.special import gammaincinv

    freedom = len(dictionary.directions) - FITTED
    if freedom < 1:
        return 1.0
    best = np.maximum((sample @ dictionary.directions).max(axis=1), 0.0)
    usual = 2.0 * gammaincinv(0.5 * freedom, 0.5)  # median of chi-squared; scipy.stats takes long to import
    missed = np.median(np.sum(sample**2, axis=1) - best**2)
    return float(np.sqrt(max(1.0, missed / usual)))


def _seen(dictionary: Dictionary, noise_hu: float) -> Dictionary:
    """Return the dictionary without what the scan could not show: tissue so late that its contrast hardly arrives.

    Any volume of it agrees with a curve that does not enhance.
    """
    shown = MOST_VOLUME * dictionary.lengths > noise_hu
    return replace(dictionary, log_prior=np.where(shown, dictionary.log_prior, -np.inf))


def _coarseness(dictionary: Dictionary) -> float:
    """Return the noise, as a share of a curve, at which neighbours on the grid of delays are two SD apart.

    With less noise the posterior would be a single atom; with as much, sums over atoms still are its integrals.
    """
    grid = dictionary.directions.reshape(len(dictionary.directions), MTTS_S.size, -1)
    alike = np.einsum("kmd,kmd->md", grid[:, :, 1:], grid[:, :, :-1])
    return 0.5 * float(np.sqrt(np.median(1.0 - np.minimum(alike, 1.0) ** 2)))


def _moments(scaled: Float32Array, units: Float32Array, dictionary: Dictionary) -> FloatArray:
    """Return posterior means of volume, MTT and delay in s, then SDs of flow in 1/s and of these, shape (voxel, 7)."""
    inverse = 1.0 / dictionary.lengths
    rates = inverse / dictionary.mtt_s
    mtt_s, delay_s = dictionary.mtt_s, dictionary.delay_s
    plain = np.stack([np.ones_like(mtt_s), mtt_s, delay_s, mtt_s**2, delay_s**2, rates**2, inverse**2], axis=1)
    linear, square = np.stack([rates, inverse], axis=1), np.stack([rates**2, inverse**2], axis=1)
    tables = [table.astype(np.float32) for table in (plain, linear, square)]
    log_prior = dictionary.log_prior.astype(np.float32)
    parts = [
        _sums(scaled[start : start + ROWS], dictionary.directions, log_prior, tables)
        for start in range(0, len(scaled), ROWS)
    ]
    sums = np.concatenate(parts).astype(float)
    sums[:, 1:] /= sums[:, :1]
    units = units.astype(float)[:, None]
    timing, amplitude = sums[:, 1:3], units * sums[:, 7:9]
    timing_sd = np.sqrt(np.maximum(sums[:, 3:5] - timing**2, 0.0))
    amplitude_sd = np.sqrt(np.maximum(units**2 * (sums[:, 9:] + sums[:, 5:7]) - amplitude**2, 0.0))
    return np.concatenate([amplitude[:, 1:], timing, amplitude_sd, timing_sd], axis=1)


def _sums(
    scaled: Float32Array, directions: Float32Array, log_prior: Float32Array, tables: list[Float32Array]
) -> Float32Array:
    """Return the sums over the dictionary of the posterior times each table, and times height and its square."""
    height = scaled @ directions
    weight, _ = _log_weights(height, log_prior)
    np.exp(weight, out=weight)
    found = [weight @ tables[0]]
    weight *= height
    found.append(weight @ tables[1])
    weight *= height
    found.append(weight @ tables[2])
    return np.concatenate(found, axis=1)
