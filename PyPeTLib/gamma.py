"""The gamma-variate fit of a first pass."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import own_noise
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import GammaVariate

#: The fit ends where the curve, after its peak, first falls below this share of it: recirculation comes later ...
FIRST_PASS_END = 0.4
#: ... or at the lowest place from which it rises again, by this share of the peak and so many SDs of its noise.
RISE_AGAIN, RISE_NOISE = 0.08, 4.0
#: Bounds of shape: 0.5 is nearly an exponential washout, 60 a narrow symmetric peak.
SHAPE_BOUNDS = (0.5, 60.0)
#: A fit needs at least this many samples in the first pass.
MINIMUM_SAMPLES = 5


def fit_gamma_variate(curve_hu: FloatArray, times_s: FloatArray) -> GammaVariate | None:
    """Fit a gamma-variate to the first pass of a curve; onset, rise, shape and height are free.

    Parameters
    ----------
    curve_hu : ndarray, shape (t,)
        Enhancement in HU.
    times_s : ndarray, shape (t,)
        Times in s; need not be even. The onset may lie anywhere before the peak; a second pass may follow before the
        first has gone.

    Returns
    -------
    GammaVariate or None
        None where there are too few samples or the fit did not converge.

    References
    ----------
    Thompson 1964, doi:10.1161/01.RES.14.6.502; Madsen 1992, doi:10.1088/0031-9155/37/7/010

    Examples
    --------
    >>> times = np.arange(0.0, 60.0)
    >>> truth = GammaVariate(onset_s=30.0, rise_s=6.0, shape=3.0, peak_hu=300.0, error=0.0)
    >>> fit = fit_gamma_variate(truth(times), times)
    >>> round(fit.onset_s, 2), round(fit.peak_s, 2), round(fit.peak_hu)
    (30.0, 36.0, 300)
    """
    from scipy.optimize import least_squares

    times = np.asarray(times_s, dtype=float)
    end = _first_pass_end(curve_hu)
    peak = int(np.argmax(curve_hu))
    height = float(curve_hu[peak])
    if height <= 0 or end < MINIMUM_SAMPLES or peak == 0:
        return None
    first_times, first_curve = times[:end], curve_hu[:end]
    start = np.array([*_start(curve_hu, times, peak), 3.0, height])
    low = np.array([times[0] - 60.0, 0.2, SHAPE_BOUNDS[0], 0.2 * height])
    high = np.array([times[peak], 60.0 + times[-1] - times[0], SHAPE_BOUNDS[1], 3.0 * height])

    def residual(parameters: FloatArray) -> FloatArray:
        onset, rise, shape, scale = (float(value) for value in parameters)
        return np.asarray(GammaVariate(onset, rise, shape, scale, 0.0)(first_times) - first_curve)

    def slopes(parameters: FloatArray) -> FloatArray:
        return _slopes(parameters, first_times)

    start, scales = np.clip(start, low, high), [1.0, 1.0, 1.0, height]
    found = least_squares(residual, start, jac=slopes, bounds=(low, high), x_scale=scales)
    if not found.success:
        return None
    onset, rise, shape, scale = (float(value) for value in found.x)
    error = float(np.sqrt(np.mean(found.fun**2)) / scale)
    return GammaVariate(onset, rise, shape, scale, error)


def _slopes(parameters: FloatArray, times_s: FloatArray) -> FloatArray:
    """Return the derivatives of a gamma-variate by onset, rise, shape and height, shape (t, 4); 0 before the onset.

    Examples
    --------
    >>> times, at = np.arange(0.0, 60.0), np.array([20.0, 6.0, 3.0, 300.0])
    >>> ends = [GammaVariate(*(at + step), 0.0)(times) for sign in (1, -1) for step in 1e-5 * sign * np.eye(4)]
    >>> np.allclose(_slopes(at, times), (np.array(ends[:4]) - ends[4:]).T / 2e-5, atol=1e-3)
    True
    """
    onset, rise, shape, height = parameters
    s = (times_s - onset) / rise
    after = s > 0.0
    s = np.where(after, s, 1.0)
    curve = np.where(after, height * (s * np.exp(1.0 - s)) ** shape, 0.0)
    by_s = curve * shape * (1.0 / s - 1.0)
    return np.stack([-by_s / rise, -by_s * s / rise, curve * (np.log(s) + 1.0 - s), curve / height], axis=1)


def _first_pass_end(curve_hu: FloatArray) -> int:
    """Return the number of leading samples that belong to baseline and first pass."""
    peak = int(np.argmax(curve_hu))
    after, height = curve_hu[peak:], float(curve_hu[peak])
    again = after > np.minimum.accumulate(after) + max(RISE_AGAIN * height, RISE_NOISE * own_noise(curve_hu))
    beyond = np.flatnonzero((after < FIRST_PASS_END * height) | again)
    return peak + int(np.argmin(after[: beyond[0] + 1])) + 1 if beyond.size else curve_hu.size


def _start(curve_hu: FloatArray, times_s: FloatArray, peak: int) -> tuple[float, float]:
    """Return a first guess of onset and rise in s: where the curve leaves a tenth of its peak."""
    below = np.flatnonzero(curve_hu[:peak] < 0.1 * curve_hu[peak])
    onset = times_s[below[-1]] if below.size else times_s[0] - 1.0
    return float(onset), float(max(times_s[peak] - onset, 0.5))
