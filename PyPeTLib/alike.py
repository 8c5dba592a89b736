"""Which vessels show one and the same curve: together they have far less noise than the few voxels of a cluster."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import between_frames
from PyPeTLib.geometry import FloatArray
from PyPeTLib.vessels import VesselVoxels

#: Voxels below this share of the curve's peak hold so much else that their curve is another.
TALL_SHARE = 0.8
#: Voxels that are reached so much earlier or later in s may belong to it; hardly later, for tissue is timed by the
#: artery that was found. Lags are tried in these steps.
EARLIEST_S, LATEST_S, LAG_STEP_S = -0.5, 0.1, 0.1
#: What a curve differs by may be so many times the noise of its voxel.
NOISE_FACTOR = 1.5


def same_curve(
    vessels: VesselVoxels, curve_hu: FloatArray, noise_hu: float, times_s: FloatArray
) -> npt.NDArray[np.bool_]:
    """Tell which voxels show a curve, of another height and a little apart in time, as far as noise lets one tell.

    Parameters
    ----------
    vessels : VesselVoxels
    curve_hu : ndarray, shape (t,)
        Enhancement in HU of some of them.
    noise_hu : float
        Standard deviation of its noise in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s; need not be even.

    Returns
    -------
    ndarray of bool, shape (voxel,)
        Of those that are tall enough and that neither bone nor air shares.

    Examples
    --------
    >>> times = np.arange(40.0)
    >>> blood = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> curves = np.stack([0.9 * blood, 0.5 * blood, np.roll(blood, 2)])
    >>> height, none = curves.max(axis=1), np.zeros(3)
    >>> vessels = VesselVoxels(np.arange(3), curves, height, none, none, none, none, np.full(3, 2.0), none)
    >>> same_curve(vessels, blood, 1.0, times).tolist()  # smaller; too small, other tissue in it; 2 s later
    [True, False, False]
    """
    same = np.zeros(vessels.index.size, dtype=bool)
    if not same.size:
        return same
    tall = np.flatnonzero((vessels.height_hu > TALL_SHARE * curve_hu.max()) & ~vessels.foreign)
    lag_s, error_hu = _compared(vessels.curves_hu[tall], curve_hu, times_s)
    in_time = np.abs(lag_s - 0.5 * (EARLIEST_S + LATEST_S)) < 0.5 * (LATEST_S - EARLIEST_S + LAG_STEP_S)
    same[tall] = in_time & (error_hu < NOISE_FACTOR * np.hypot(vessels.noise_hu[tall], noise_hu))
    return same


def mean_curve(vessels: VesselVoxels, chosen: npt.NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Return the mean curve of some voxels and the standard deviation of its noise, both in HU."""
    noise_hu = float(np.sqrt(np.mean(vessels.noise_hu[chosen] ** 2) / np.count_nonzero(chosen)))
    return vessels.curves_hu[chosen].mean(axis=0), noise_hu


def _compared(curves_hu: FloatArray, curve_hu: FloatArray, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return after which lag in s a curve comes nearest to each, times a factor, and the RMS in HU that is left."""
    lags_s = np.arange(EARLIEST_S - LAG_STEP_S, LATEST_S + 1.5 * LAG_STEP_S, LAG_STEP_S)  # one beyond each end
    places = times_s - lags_s[:, None]
    lagged = np.where(places < times_s[0], 0.0, between_frames(curve_hu, times_s)(np.minimum(places, times_s[-1])))
    alike = np.maximum(curves_hu @ lagged.T, 0.0) / np.sqrt(np.sum(lagged**2, axis=1))
    best = alike.argmax(axis=1)
    left = np.sum(curves_hu**2, axis=1) - alike[np.arange(len(best)), best] ** 2
    return lags_s[best], np.sqrt(np.maximum(left, 0.0) / (times_s.size - 2))
