"""How the arterial curve becomes the venous one: gain, delay and transit time of the way through the brain."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import uniform_grid
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Transit

#: What is tried: mean transit times from none (a vein that is the artery, only smaller) ...
TRANSIT_TIMES_S = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0])
#: ... and delays, the artery being allowed to be a late branch.
DELAYS_S = np.arange(-4.0, 12.1, 0.5)
#: A fit that leaves more than this share of the venous peak unexplained is not used, and the user is told.
WORST_ERROR = 0.15


def fit_transit(aif_hu: FloatArray, vof_hu: FloatArray, times_s: FloatArray) -> Transit | None:
    """Fit ``vof = gain · (aif ⊗ h)(t − delay)``, h exponential with unit area, to the frames that there are.

    Blood keeps its iodine, so the gain is 1 where both curves show undiluted blood. Unlike a ratio of areas it
    needs no tail beyond the scan, and counts recirculation in both curves alike.

    Parameters
    ----------
    aif_hu, vof_hu : ndarray, shape (t,)
        Enhancement in HU above baseline.
    times_s : ndarray, shape (t,)
        Acquisition times in s; need not be even.

    Returns
    -------
    Transit or None
        None where no positive gain explains the venous curve.

    References
    ----------
    Meier and Zierler 1954, doi:10.1152/jappl.1954.6.12.731

    Examples
    --------
    >>> times = np.arange(60.0)
    >>> artery = np.maximum(times - 10.0, 0.0) ** 3 * np.exp(-np.maximum(times - 10.0, 0.0) / 2.0)
    >>> fit = fit_transit(0.5 * artery, artery, times)
    >>> round(fit.gain, 3), fit.delay_s, fit.mtt_s
    (2.0, 0.0, 0.0)
    """
    grid, resample = uniform_grid(times_s)
    artery, vein = resample @ aif_hu, resample @ vof_hu
    models = _delayed(_convolved(artery, grid), grid)
    power = np.einsum("mdt,mdt->md", models, models)
    shared = models @ vein
    gain = shared / np.where(power > 0, power, np.inf)
    explained = np.where(gain > 0, gain * shared, 0.0)
    best = np.unravel_index(int(explained.argmax()), explained.shape)
    if not explained[best] > 0:
        return None
    left = vein - gain[best] * models[best]
    error = float(np.sqrt(np.mean(left**2)) / vein.max())
    return Transit(float(gain[best]), float(DELAYS_S[best[1]]), float(TRANSIT_TIMES_S[best[0]]), error)


def _convolved(artery: FloatArray, grid: FloatArray) -> FloatArray:
    """Return the curve after each transit time, shape (transit, sample); each step of h carries its exact area."""
    interval, count = float(grid[1] - grid[0]), grid.size
    edges = np.append(0.0, np.arange(count) + 0.5) * interval
    left = np.exp(-edges[None, :] / np.maximum(TRANSIT_TIMES_S, 1e-6)[:, None])
    weights = left[:, :-1] - left[:, 1:]
    length = 2 * count
    spectra = np.fft.rfft(weights, length, axis=1) * np.fft.rfft(artery, length)
    return np.asarray(np.fft.irfft(spectra, length, axis=1)[:, :count])


def _delayed(curves: FloatArray, grid: FloatArray) -> FloatArray:
    """Return every curve after each delay, shape (transit, delay, sample); 0 before the scan, its last value after."""
    place = (np.arange(grid.size) - DELAYS_S[:, None] / (grid[1] - grid[0])).clip(-1.0, grid.size - 1.0)
    padded = np.concatenate([np.zeros((len(curves), 1)), curves, curves[:, -1:]], axis=1)
    left = np.floor(place).astype(np.intp)
    share = place - left
    return np.asarray((1.0 - share) * padded[:, left + 1] + share * padded[:, left + 2])
