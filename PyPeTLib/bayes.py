"""Bayesian estimate of blood flow, volume, transit time and delay from a dictionary of tissue curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib.chunks import in_chunks, share
from PyPeTLib.dictionary import (
    DELAYS_S,
    MTTS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    components_without_mean,
    joined,
    log_weights,
    misfit,
    mixed_dictionary,
    sample_of,
    seen,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.records import Curves, FloatArray, Progress, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: Voxels that are compared with all atoms at a time: small enough for the cache, and that libraries of linear algebra
#: leave each product to one thread, as blocks run in parallel already (128: twice the time, `deconvolve` from Python).
ROWS = 64


def bayesian(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress
) -> Response:
    """Return posterior means and standard deviations over delay, mean transit time and volume.

    Every voxel's curve is compared with those of tissue of all delays and transit times, made from the patient's own
    arterial input (`kinetics.tissue_curves`) and sampled when the scan was. With normal noise of known size, a flat
    prior of the volume and of the delay, and a wide log-normal one of the transit time (or flat in its logarithm,
    ``mtt_prior``), sums over the dictionary are the posterior. The shape of the residue function, which single voxels
    cannot tell, is given (`residue.likeliest_residue` finds it). Flow is volume over transit time, both
    posterior means: the mean of their ratio would be too large where the transit time is uncertain. Tmax, the time of
    the maximum of the response, is the delay, or the middle of a box. Where curves miss their best fits by more than
    the noise, it is taken as that much larger; nor is it taken as less than what neighbours on the grid differ by.
    A voxel may be of two tissues, usual and late (``voxel_tissues``, `dictionary.mixed_dictionary`).
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
        ``residue`` (not automatic), ``mtt_prior`` and ``voxel_tissues``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Mouridsen 2006, doi:10.1016/j.neuroimage.2006.06.015; Boutelier 2012, doi:10.1109/TMI.2012.2189890
    """
    assert curves.sd is not None, "the noise is known after smoothing"
    rotation, _ = components_without_mean(curves.basis)

    def scaled(rows: Float32Array) -> Float32Array:
        """Return curves in components of equal noise, in units of its SD."""
        return np.asarray((rows[:, :-1] @ rotation) / rows[:, -1:])

    rows = np.column_stack([curves.coefficients, curves.sd])
    sample, free = sample_of(curves)
    name, shape = settings.residue, SHAPES[settings.residue]
    delays_s = usual_delay_s(sample, aif_hu, times_s, free) + DELAYS_S
    single = tissue_dictionary(aif_hu, times_s, free, delays_s=delays_s, shape=shape, settings=settings)
    excess, coarseness = misfit(sample, single), _coarseness(single)
    dictionary = seen(single, excess * float(np.median(curves.sd)))
    if settings.voxel_tissues == "two":
        mixed = mixed_dictionary(single, sample, aif_hu, times_s, free, shape=shape, settings=settings)
        dictionary = joined(dictionary, mixed)
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
    weight, _ = log_weights(height, log_prior)
    np.exp(weight, out=weight)
    found = [weight @ tables[0]]
    weight *= height
    found.append(weight @ tables[1])
    weight *= height
    found.append(weight @ tables[2])
    return np.concatenate(found, axis=1)
