"""The shape of the residue function that suits a patient best, whatever the noise of the arterial input."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from PyPeTLib.chunks import in_parallel, share
from PyPeTLib.dictionary import (
    DELAYS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    by_rows,
    log_weights,
    mean_log_evidence,
    misfit,
    product,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.kinetics import residue_area
from PyPeTLib.records import Curves, FloatArray, Progress, read_only, silent
from PyPeTLib.smoothing import averaged_voxels

if TYPE_CHECKING:
    from PyPeTLib.settings import ResidueShape, Settings

#: Times over mean transit time at which the running integral of the residue is integrated again; after the last one
#: every residue has gone, and its integral is 1.
FINE = np.arange(0.0, 40.0, 0.005)
#: By so much a sharper shape has to be more probable, in the logarithm for every voxel and step of sharpness: arteries
#: are chosen for narrow curves, and a narrow input lets a sharper residue fit. By this in all it is certain.
SHARPER_COSTS, CERTAIN = 0.01, 16.0


def likeliest_residue(
    curves: Curves,
    aif_hu: FloatArray,
    times_s: FloatArray,
    *,
    aif_noise_hu: float,
    settings: Settings,
    progress: Progress = silent,
) -> ResidueShape:
    """Return the shape of the residue function under which the curves of the brain are most probable.

    Single voxels cannot tell it; a sample of the brain can: its curves are compared with tissue of every delay and
    transit time, made from the arterial input (`dictionary.tissue_dictionary`). That input is the mean of some voxels,
    and its noise is in all these curves alike: an input that is 2 % too narrow by chance lets a sharper residue fit
    better, whose flow is 15 % less. So each shape is judged with the input that is most probable under it: every voxel
    is explained by its best tissue, what the voxels then miss in common is a change of the input, found by linear least
    squares against the input's own noise (one Gauss-Newton step), and the change counts against the shape as far as
    such noise is improbable. As arteries are chosen for their narrow curves, of two shapes that are about as probable
    the blunter one is taken. Smoothing gives neighbours the same noise, so a sample counts as no more voxels than
    averages fit into the brain. The maps are made with the input as it was measured.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU with the noise that is left.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    aif_noise_hu : float
        SD of the noise of ``aif_hu`` in every frame in HU; 0 for an input that is known.
    settings : Settings
        ``mtt_prior``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Examples
    --------
    >>> from PyPeTLib import Settings
    >>> from PyPeTLib.kinetics import tissue_curves
    >>> times = np.arange(0.0, 50.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> mtts = np.linspace(3.0, 6.0, 20)
    >>> rows = 0.04 * tissue_curves(aif, times, delays_s=np.array([1.0]), mtts_s=mtts, shape=SHAPES["box"])[:, 0]
    >>> grid = np.ones((1, 1, 20), dtype=bool)
    >>> curves = Curves(rows.astype(np.float32), np.eye(50, dtype=np.float32), np.zeros(20, np.float32), grid)
    >>> likeliest_residue(curves, aif, times, aif_noise_hu=0.0, settings=Settings())
    'box'
    """
    sample, free = sample_of(curves)
    delays_s = usual_delay_s(sample, aif_hu, times_s, free) + DELAYS_S

    def dictionary(name: str, input_hu: FloatArray) -> Dictionary:
        return tissue_dictionary(input_hu, times_s, free, delays_s=delays_s, shape=SHAPES[name], settings=settings)

    def with_measured(single: Dictionary) -> float:
        return counted * _evidence(sample, single)

    def with_changed(name: str) -> float:
        change_hu = _common_change(scaled, tried[name], times_s, free, SHAPES[name], aif_noise_hu * np.sqrt(counted))
        cost = 0.5 * float(np.sum(change_hu**2)) / aif_noise_hu**2
        return counted * _evidence(scaled, dictionary(name, aif_hu + change_hu)) - cost

    counted = _independent(curves, len(sample)) / len(sample)
    tried = {name: dictionary(name, aif_hu) for name in SHAPES}
    if aif_noise_hu <= 0.0:
        evidence = list(in_parallel(with_measured, list(tried.values()), progress=progress))
    else:
        scaled = sample / np.float32(min(misfit(sample, single) for single in tried.values()))
        evidence = list(in_parallel(with_changed, list(tried), progress=share(progress, 0.3, 1.0)))
    margin = min(SHARPER_COSTS * len(sample), CERTAIN) * np.arange(len(tried))
    return cast("ResidueShape", list(tried)[int(np.argmax(np.array(evidence) - margin))])


def _independent(curves: Curves, sampled: int) -> float:
    """Return how many voxels of a sample have noise of their own: as many as averages fit into the brain, or all.

    Counted one by one, voxels with noise in common would be sure of what is chance.
    """
    if curves.resolution_mm is None or curves.spacing_zyx_mm is None:
        return float(sampled)
    averaged = averaged_voxels(curves.resolution_mm, curves.spacing_zyx_mm)
    return min(float(sampled), float(np.count_nonzero(curves.mask)) / averaged)


def _evidence(sample: Float32Array, single: Dictionary) -> float:
    """Return the logarithm of the probability of all curves of a sample, but for a constant."""
    return len(sample) * mean_log_evidence(sample, single)


def _common_change(
    sample: Float32Array, single: Dictionary, times_s: FloatArray, free: FloatArray, shape: float, noise_hu: float
) -> FloatArray:
    """Return the change of the input, in HU, that all voxels together ask for, each with its best atom."""
    atom = by_rows(lambda rows: log_weights(product(rows, single.directions), single)[0].argmax(axis=1), sample)
    height = np.einsum("vk,kv->v", sample, single.directions[:, atom]).astype(float)
    rest = sample - height[:, None] * single.directions[:, atom].T
    volume = height / single.lengths[atom]
    number, place = np.unique(atom, return_inverse=True)
    power = np.bincount(place, weights=volume**2)
    asked = np.stack([np.bincount(place, weights=volume * column) for column in rest.T], axis=1)
    normal = np.eye(times_s.size) / noise_hu**2
    wanted = np.zeros(times_s.size)
    for one, squares, sums in zip(number, power, asked, strict=True):
        own = single.directions[:, one].astype(float)
        seen = free @ pulse_responses(times_s, float(single.delay_s[one]), float(single.mtt_s[one]), shape)
        seen -= np.outer(own, own @ seen)  # the voxel's own volume adapts
        normal += squares * (seen.T @ seen)
        wanted += seen.T @ sums
    return np.asarray(np.linalg.solve(normal, wanted))


def pulse_responses(times_s: FloatArray, delay_s: float, mtt_s: float, shape: float) -> FloatArray:
    """Return the curves of tissue of unit volume after an input that is 1 in one frame and 0 in the others.

    The input is linear between frames; the tissue is that of `kinetics.tissue_curves`.

    Returns
    -------
    ndarray, shape (t, t)
        Column j is the curve after frame j.

    Examples
    --------
    >>> times = np.arange(30.0)
    >>> curves = pulse_responses(times, 0.0, 4.0, 1.0)
    >>> float(np.round(curves[:, 3].sum(), 2)), float(np.abs(curves[:3, 4]).max())
    (1.0, 0.0)
    """
    ends = np.concatenate([[2 * times_s[0] - times_s[1]], times_s, [2 * times_s[-1] - times_s[-2]]])
    since = (times_s[:, None] - delay_s - ends) / mtt_s
    ramps = mtt_s * (np.interp(since, FINE, _twice_integrated(shape)) + np.maximum(since - FINE[-1], 0.0))
    slopes = (ramps[:, :-1] - ramps[:, 1:]) / np.diff(ends)
    return np.asarray(slopes[:, :-1] - slopes[:, 1:])


@lru_cache
def _twice_integrated(shape: float) -> FloatArray:
    """Return the integral of the running integral of the residue of unit mean transit time, at `FINE`."""
    area = residue_area(FINE, shape)
    return read_only(np.concatenate([[0.0], np.cumsum(0.5 * FINE[1] * (area[1:] + area[:-1]))]))
