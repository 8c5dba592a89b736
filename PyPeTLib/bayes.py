"""Bayesian estimate of blood flow, volume, transit time and delay from a dictionary of tissue curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib.chunks import in_chunks, product, share
from PyPeTLib.dictionary import (
    DELAYS_S,
    MTTS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    by_rows,
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
from PyPeTLib.geometry import FloatArray
from PyPeTLib.priors import SAMPLE, Index, surroundings, with_patients_times
from PyPeTLib.progress import Progress
from PyPeTLib.records import Curves, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings


def bayesian(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress
) -> Response:
    """Return posterior means and standard deviations over delay, mean transit time and volume.

    Every voxel's curve is compared with those of tissue of all delays and transit times, made from the patient's own
    arterial input (`kinetics.tissue_curves`) and sampled when the scan was. With normal noise of known size, a flat
    prior of the volume and of the delay, and a wide log-normal one of the transit time (or flat in its logarithm,
    ``mtt_prior``), sums over the dictionary are the posterior. The shape of the residue function, which single voxels
    cannot tell, is given (`residue.likeliest_residue` finds it). Flow is volume over transit time, both
    posterior means: the mean of their ratio would be too large where the transit time is uncertain. The standard
    deviation of flow is that of the ratio about its own mean, not about the flow of the map. Tmax, the time of
    the maximum of the response, is the delay, or the middle of a box. Where curves miss their best fits by more than
    the noise, it is taken as that much larger; nor is it taken as less than what neighbours on the grid differ by.
    A voxel may be of two tissues, usual and late (``voxel_tissues``, `dictionary.mixed_dictionary`).
    The transit times that are expected at each delay are learned from the patient, and the delays that are expected in
    a voxel from those around it (``timing_prior``, `priors`): what hardly enhances has the delay of its surroundings.
    What smoothing mixed into the height of a curve adds to the standard deviations of volume and flow.

    The flat prior of the volume is that of positive ones, approximately. With h the curve along an atom in SDs of its
    noise, its likelihood integrated over all volumes goes as ``exp(h²/2)``, over positive ones as ``exp(h²/2)·Φ(h)``,
    Φ the normal distribution function. The weight is ``exp(max(h, 0)²/2)``: the same where tissue is seen (h of 2 or
    more), up to twice as much where it hardly is, and 1 where the curve is the opposite of the tissue's. The volume of
    an atom is h over its length all the same, of either sign, so that what does not enhance is 0 in the mean.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU with the noise that is left. Without the spacing of its grid no voxel has neighbours.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    settings : Settings
        ``residue`` (not automatic), ``mtt_prior``, ``timing_prior`` and ``voxel_tissues``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Mouridsen 2006, doi:10.1016/j.neuroimage.2006.06.015; Boutelier 2012, doi:10.1109/TMI.2012.2189890
    """
    assert curves.sd is not None, "the noise is known after smoothing"
    rotation, _ = components_without_mean(curves.basis)
    rows = np.column_stack([curves.coefficients, curves.sd])
    sample, free = sample_of(curves)
    name, shape = settings.residue, SHAPES[settings.residue]
    delays_s = usual_delay_s(sample, aif_hu, times_s, free) + DELAYS_S
    single = tissue_dictionary(aif_hu, times_s, free, mtts_s=MTTS_S, delays_s=delays_s, shape=shape, settings=settings)
    excess, coarseness = misfit(sample, single), _coarseness(single)
    dictionary = seen(single, excess * float(np.median(curves.sd)))

    def scaled(voxels: Index) -> tuple[Float32Array, Float32Array]:
        """Return curves in components of equal noise, in units of its SD, and these units in HU."""
        own = rows[voxels]
        curves = product(own[:, :-1], rotation) / own[:, -1:]
        noise = np.maximum(excess, coarseness * np.linalg.norm(curves, axis=1)).astype(np.float32)
        return curves / noise[:, None], noise * own[:, -1]

    everywhere = np.arange(len(rows))
    if settings.timing_prior != "none":
        dictionary = with_patients_times(dictionary, scaled(everywhere[:: -(-len(rows) // SAMPLE)])[0])
    if settings.voxel_tissues == "two":
        mixed = mixed_dictionary(single, sample, aif_hu, times_s, free, shape=shape, settings=settings)
        dictionary = joined(dictionary, mixed)
    progress(0.1, "")
    around = None
    if settings.timing_prior == "neighbours" and curves.spacing_zyx_mm is not None:
        near = share(progress, 0.1, 0.4)
        around = surroundings(
            dictionary, lambda voxels: scaled(voxels)[0], curves.mask, curves.spacing_zyx_mm, progress=near
        )

    def block(voxels: Index) -> FloatArray:
        return _moments(*scaled(voxels), dictionary, None if around is None else around.of(voxels))

    found = in_chunks(block, everywhere, progress=share(progress, 0.4, 1.0))
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
    grid = next(dictionary.on_grids(dictionary.directions))[:, 0]
    alike = np.einsum("kmd,kmd->md", grid[:, :, 1:], grid[:, :, :-1])
    return 0.5 * float(np.sqrt(np.median(1.0 - np.minimum(alike, 1.0) ** 2)))


def _moments(
    scaled: Float32Array, units: Float32Array, dictionary: Dictionary, change: Float32Array | None
) -> FloatArray:
    """Return posterior means of volume, MTT and delay in s, then SDs of flow in 1/s and of these, shape (voxel, 7)."""
    inverse = 1.0 / dictionary.lengths
    rates = inverse / dictionary.mtt_s
    mtt_s, delay_s = dictionary.mtt_s, dictionary.delay_s
    plain = np.stack([np.ones_like(mtt_s), mtt_s, delay_s, mtt_s**2, delay_s**2, rates**2, inverse**2], axis=1)
    linear, square = np.stack([rates, inverse], axis=1), np.stack([rates**2, inverse**2], axis=1)
    tables = [table.astype(np.float32) for table in (plain, linear, square)]
    rows = (scaled,) if change is None else (scaled, change)
    sums = by_rows(lambda *some: _sums(dictionary, tables, *some), *rows).astype(float)
    sums[:, 1:] /= sums[:, :1]
    units = units.astype(float)[:, None]
    timing, amplitude = sums[:, 1:3], units * sums[:, 7:9]
    timing_sd = np.sqrt(np.maximum(sums[:, 3:5] - timing**2, 0.0))
    amplitude_sd = np.sqrt(np.maximum(units**2 * (sums[:, 9:] + sums[:, 5:7]) - amplitude**2, 0.0))
    return np.concatenate([amplitude[:, 1:], timing, amplitude_sd, timing_sd], axis=1)


def _sums(
    dictionary: Dictionary, tables: list[Float32Array], scaled: Float32Array, change: Float32Array | None = None
) -> Float32Array:
    """Return the sums over the dictionary of the posterior times each table, and times height and its square."""
    height = product(scaled, dictionary.directions)
    weight, _ = log_weights(height, dictionary, change)
    np.exp(weight, out=weight)
    found = [product(weight, tables[0])]
    for table in tables[1:]:
        weight *= height
        found.append(product(weight, table))
    return np.concatenate(found, axis=1)
