"""Curves of tissue from the arterial input: delay, mean transit time and the shape of the residue function."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import TAIL_SHARE, between_frames
from PyPeTLib.geometry import FloatArray

#: Step of the convolution in s: short against a bolus.
STEP_S = 0.1
#: Stand for residues that are none of the gamma distribution with a shape of 1 or more: no spread of transit times,
#: and a residue that falls linearly (transit times spread evenly between 0 and twice their mean).
BOX, LINEAR = float("inf"), 0.0


def tissue_curves(
    aif_hu: FloatArray, times_s: FloatArray, *, delays_s: FloatArray, mtts_s: FloatArray, shape: float
) -> FloatArray:
    """Return the curves of tissue that holds as much blood as the artery, sampled when the scan was.

    ``C(t) = (C_a ⊗ h)(t − delay)``, where transit times are gamma-distributed and ``h = R / MTT`` has unit area, so
    that scaling a curve is scaling its blood volume. The arterial input is interpolated between the frames, whatever
    their intervals (`curves.between_frames`); before the first it is 0.

    Parameters
    ----------
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s, strictly increasing; need not be even.
    delays_s : ndarray, shape (delay,) or (mtt, delay)
        Arrival after the arterial input in s, the same for every transit time or its own; negative where tissue is
        earlier (CAPLEX Q.PH1.007). Such tissue shows what the input does after the last frame: from its last value on
        it decays as fast as in `curves.continuation`.
    mtts_s : ndarray, shape (mtt,)
        Mean transit times in s, > 0 (Q.PH1.006).
    shape : float
        Of the gamma distribution of transit times, >= 1: 1 makes the residue (Q.IC1.002) an exponential,
        infinity (`BOX`) a box; 0 (`LINEAR`) stands for one that falls linearly.

    Returns
    -------
    ndarray, shape (mtt, delay, t)
        Enhancement in HU.

    References
    ----------
    Ostergaard 1999, doi:10.1097/00004647-199906000-00013 (gamma-distributed transit times)

    Examples
    --------
    >>> times = np.arange(0.0, 60.0, 2.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> curves = tissue_curves(aif, times, delays_s=np.array([0.0, 4.0]), mtts_s=np.array([5.0]), shape=1.0)
    >>> bool(np.allclose(curves[0, 0, :-2], curves[0, 1, 2:], atol=0.02))
    True
    """
    end_s = float(times_s[-1])
    fine = np.arange(times_s[0], end_s + max(0.0, -float(np.min(delays_s))) + STEP_S, STEP_S)
    tail = np.exp((end_s - np.maximum(fine, end_s)) / (TAIL_SHARE * (end_s - times_s[0])))
    inflow = tail * between_frames(aif_hu, times_s)(np.minimum(fine, end_s))
    edges = np.append(0.0, STEP_S * (np.arange(fine.size) + 0.5))
    steps = np.diff(residue_area(edges / np.asarray(mtts_s)[:, None], shape), axis=1)
    length = 2 * fine.size
    spectra = np.fft.rfft(steps, length, axis=1) * np.fft.rfft(inflow, length)
    outflow = np.fft.irfft(spectra, length, axis=1)[:, : fine.size]
    return _at(outflow, (times_s - times_s[0] - np.asarray(delays_s)[..., None]) / STEP_S)


def residue_area(times: FloatArray, shape: float) -> FloatArray:
    """Return the running integral of the residue function of unit mean transit time; 1 at the end.

    Examples
    --------
    >>> residue_area(np.array([0.5, 1.0, 50.0]), BOX).tolist()
    [0.5, 1.0, 1.0]
    >>> residue_area(np.array([0.0, 1.0, 2.0, 50.0]), LINEAR).tolist()
    [0.0, 0.75, 1.0, 1.0]
    >>> bool(np.isclose(residue_area(np.array([1.0]), 1.0)[0], 1.0 - np.exp(-1.0)))
    True
    """
    from scipy.special import gammainc, gammaincc

    times = np.asarray(times, dtype=float)
    if shape == BOX:
        return np.minimum(times, 1.0)
    if shape == LINEAR:
        left = np.maximum(1.0 - 0.5 * times, 0.0)
        return np.asarray(1.0 - left * left)
    return np.asarray(times * gammaincc(shape, shape * times) + gammainc(shape + 1.0, shape * times))


def _at(curves: FloatArray, place: FloatArray) -> FloatArray:
    """Return curves, shape (curve, sample), between their samples: 0 before the first, the last after the end.

    Places are the same for all, shape (row, t), or each curve's own, shape (curve, row, t).
    """
    padded = np.concatenate([np.zeros((len(curves), 1)), curves], axis=1)
    place = np.clip(place + 1.0, 0.0, padded.shape[1] - 1.0)
    left = np.minimum(place.astype(np.intp), padded.shape[1] - 2)
    share = place - left
    each = np.s_[:] if place.ndim == 2 else np.arange(len(curves))[:, None, None]
    return np.asarray((1.0 - share) * padded[each, left] + share * padded[each, left + 1])
