"""The noise of the arterial input, lessened by what the curves of all tissue say of it."""

from __future__ import annotations

import numpy as np

from PyPeTLib.dictionary import (
    DELAYS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    log_weights,
    mean_log_evidence,
    misfit,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.kinetics import residue_area
from PyPeTLib.records import Curves, FloatArray
from PyPeTLib.settings import Settings

#: Step in s with which the response of tissue to a pulse is integrated: short against a frame.
STEP_S = 0.05


def refined_input(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, noise_hu: float, settings: Settings
) -> FloatArray:
    """Return the arterial input that is most probable given what was measured and the curves of tissue.

    An arterial input is the mean of a few voxels, so it is noisy, and its noise is in the curves of a dictionary alike
    for all voxels: it makes every transit time too long or too short and decides which shape of the residue suits best.
    The true input is in the curves of thousands of voxels. Every voxel of a sample is explained by its best tissue,
    once for each shape of the residue; what the voxels then miss in common is a change of the input, found by linear
    least squares against the input's own noise (one Gauss-Newton step). The change of that shape is taken under which
    sample and change are most probable together. It is of the size of the noise, whatever tissue says, and leaves the
    area as it is: the scale of an input cannot be told from tissue.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU with the noise that is left.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU as measured and scaled.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    noise_hu : float
        SD of the noise of ``aif_hu`` in every frame in HU; 0 leaves it as it is.
    settings : Settings
        ``residue``, ``mtt_prior``.

    Examples
    --------
    >>> times = np.arange(0.0, 40.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> basis, mask = np.eye(40, dtype=np.float32), np.ones((1, 1, 20), dtype=bool)
    >>> rows = np.outer(np.linspace(0.02, 0.05, 20), aif).astype(np.float32)
    >>> curves = Curves(rows, basis, rows[:, 0], mask)
    >>> bool((refined_input(curves, aif, times, noise_hu=0.0, settings=Settings()) == aif).all())
    True
    """
    if noise_hu <= 0.0:
        return aif_hu
    sample, free = sample_of(curves)
    delays_s = usual_delay_s(sample, aif_hu, times_s, free) + DELAYS_S
    names = list(SHAPES) if settings.residue == "automatic" else [settings.residue]

    def dictionary(name: str, input_hu: FloatArray) -> Dictionary:
        return tissue_dictionary(input_hu, times_s, free, delays_s=delays_s, shape=SHAPES[name], settings=settings)

    tried = {name: dictionary(name, aif_hu) for name in names}
    sample = sample / np.float32(min(misfit(sample, one) for one in tried.values()))
    best_hu, most = aif_hu, -np.inf
    for name, single in tried.items():
        change_hu = _common_change(sample, single, times_s, free, SHAPES[name], noise_hu)
        after = dictionary(name, aif_hu + change_hu)
        probable = len(sample) * mean_log_evidence(sample, after.directions, after.log_prior)
        probable -= 0.5 * float(np.sum(change_hu**2)) / noise_hu**2
        if probable > most:
            best_hu, most = aif_hu + change_hu, probable
    return best_hu


def _common_change(
    sample: Float32Array, single: Dictionary, times_s: FloatArray, free: FloatArray, shape: float, noise_hu: float
) -> FloatArray:
    """Return the change of the input, in HU, that all voxels together ask for, each with its best atom."""
    height = sample @ single.directions
    weight, _ = log_weights(height, single.log_prior.astype(np.float32))
    atom = weight.argmax(axis=1)
    height = height[np.arange(len(atom)), atom].astype(float)
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
    since = times_s[:, None] - delay_s - ends
    fine = np.arange(0.0, max(since.max(), 0.0) + 2.0 * STEP_S, STEP_S)
    area = residue_area(fine / mtt_s, shape)
    twice = np.concatenate([[0.0], np.cumsum(0.5 * STEP_S * (area[1:] + area[:-1]))])
    ramps = np.interp(since, fine, twice)
    slopes = (ramps[:, :-1] - ramps[:, 1:]) / np.diff(ends)
    return np.asarray(slopes[:, :-1] - slopes[:, 1:])
