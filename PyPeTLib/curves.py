"""Mathematics of sampled curves that several steps share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves
from PyPeTLib.scan import Series

if TYPE_CHECKING:
    from scipy.interpolate import CubicHermiteSpline

#: Beyond the last frame curves are continued by an exponential that falls to 1/e in this share of the scan.
#: Arterial and tissue curves, near equilibrium there, fall together, so the share hardly matters (0.1 to 0.4 do);
#: zeros instead would be a step that the convolution model does not have.
TAIL_SHARE = 0.25
#: The level of that tail is the mean of the last samples: this share of the scan.
TAIL_LEVEL_SHARE = 0.05
#: Noise of neighbouring frames that is less alike is each frame's own: curves, drift and motion pass for some.
LEAST_CORRELATION = 0.25
#: Intervals that differ by more than this share of their mean are uneven.
UNEVEN_SHARE = 0.01
#: Fewer seconds of scan than this after the arrival do not hold first pass and transit.
LEAST_AFTER_ARRIVAL_S = 25.0
#: Frames further apart than this do not resolve a first pass, in s.
LONG_INTERVAL_S = 4.0
#: How much frames differ is measured up to this many frames apart; the median of the last so many of these distances
#: stands for frames that have each their own noise.
FURTHEST_FRAMES, INDEPENDENT = 6, 3
#: It is measured in about so many voxels; changes count as no larger than one SD, which leaves this share of the
#: variance of normal noise.
CORRELATION_SAMPLE, CLIPPED_VARIANCE = 2000, 0.516


def peaks(curves: FloatArray) -> FloatArray:
    """Return height and place (in samples, between them by a parabola) of each row's maximum.

    Parameters
    ----------
    curves : ndarray, shape (voxel, sample)

    Returns
    -------
    ndarray, shape (voxel, 2)
        Columns: height and fractional index; the sample itself at either end.

    Examples
    --------
    >>> peaks(np.array([[0.0, 3.0, 4.0, 3.0], [4.0, 3.0, 2.0, 1.0]]))
    array([[4., 2.],
           [4., 0.]])
    """
    last = curves.shape[1] - 1
    index = curves.argmax(axis=1)
    rows = np.arange(len(curves))
    left, top, right = (curves[rows, np.clip(index + step, 0, last)] for step in (-1, 0, 1))
    bend = left - 2.0 * top + right
    inner = (index > 0) & (index < last) & (bend < 0)
    offset = np.where(inner, 0.5 * (left - right) / np.where(inner, bend, 1.0), 0.0)
    return np.stack([top - 0.25 * (left - right) * offset, index + offset], axis=1)


def peak_time_s(curve_hu: FloatArray, times_s: FloatArray) -> float:
    """Return when a curve is highest, between frames as `peaks` has it.

    Parameters
    ----------
    curve_hu : ndarray, shape (time,)
        HU.
    times_s : ndarray, shape (time,)
        When the frames were taken, in s.

    Returns
    -------
    float
        Time in s on the scan's axis.

    Examples
    --------
    >>> peak_time_s(np.array([0.0, 3.0, 4.0, 4.0, 3.0]), np.array([0.0, 2.0, 4.0, 6.0, 8.0]))
    5.0
    """
    return float(np.interp(peaks(curve_hu[np.newaxis])[0, 1], np.arange(times_s.size), times_s))


def robust_sd(values: FloatArray) -> float:
    """Return the standard deviation of normal noise from the median of its magnitude.

    Examples
    --------
    >>> robust_sd(np.array([-0.6745, 0.6745, 0.6745]))
    1.0
    """
    return float(np.median(np.abs(values)) / 0.6745)


def own_noise(hu: npt.NDArray[Any]) -> float:
    """Return the standard deviation of noise of which every frame has its own, from second differences in time.

    Parameters
    ----------
    hu : ndarray, shape (t, ...)
        One curve or several; their slow course hardly contributes. Of fewer than three frames the noise is 0.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0.0, 2.0, 4000)
    >>> round(own_noise(0.1 * np.arange(4000.0) + noise), 1), own_noise(noise[:2])
    (2.0, 0.0)
    """
    return robust_sd(np.diff(hu, n=2, axis=0)) / float(np.sqrt(6.0)) if len(hu) > 2 else 0.0


def noise_level(hu: npt.NDArray[Any]) -> float:
    """Return the standard deviation in HU of the noise of single voxels, from second differences in time.

    Where noise of neighbouring frames is alike (`noise_correlation`) these hold little of it. Then it is that of
    independent frames which in a slow curve would be as much.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU; the slow course of contrast hardly contributes to second differences.

    Examples
    --------
    >>> quiet = np.random.default_rng(0).normal(30.0, 6.0, (40, 2000))
    >>> bool(5.8 < noise_level(quiet) < 6.2)
    True
    """
    variance, correlation = _noise_in_time(hu)
    if correlation.any():
        return float(np.sqrt(variance * max(0.0, 1.0 + 2.0 * correlation.sum())))
    sample = hu[:, :: max(1, hu.shape[1] // 20000)].astype(np.float32)
    return own_noise(sample)


def noise_correlation(hu: npt.NDArray[Any]) -> FloatArray:
    """Return the correlation of noise between all frames: the identity where each has its own.

    Many scans come interpolated to other times than they were taken at, or averaged over some frames; then neighbours
    share their noise. That is sought between frames before, after and between which contrast hardly changes.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the brain.

    Returns
    -------
    ndarray, shape (t, t)
        A function of the distance of two frames alone.

    Examples
    --------
    >>> own = np.random.default_rng(0).normal(30.0, 6.0, (41, 2000))
    >>> bool((noise_correlation(own) == np.eye(41)).all())
    True
    >>> between = np.repeat(own[:21], 2, axis=0)[:41]
    >>> between[1::2] = 0.5 * (between[:-1:2] + between[2::2])  # two thirds and a sixth are alike
    >>> noise_correlation(between)[0, :3].round(1).tolist()
    [1.0, 0.7, 0.2]
    """
    _, correlation = _noise_in_time(hu)
    apart = np.abs(np.subtract.outer(np.arange(len(hu)), np.arange(len(hu))))
    return np.append(np.insert(correlation, 0, 1.0), 0.0)[np.minimum(apart, correlation.size + 1)]


def _noise_in_time(hu: npt.NDArray[Any]) -> tuple[float, FloatArray]:
    """Return the variance of noise, and its correlation with that of the next frames; 0 for all where frames differ.

    From how much frames differ by their distance (the variogram), which the unknown baseline of a voxel is not in.
    """
    furthest = min(FURTHEST_FRAMES, len(hu) - 1)
    if furthest <= INDEPENDENT:
        return 0.0, np.zeros(max(0, furthest - 1))
    sample = hu[:, :: max(1, hu.shape[1] // CORRELATION_SAMPLE)].astype(np.float32)
    mean = np.median(sample, axis=1)
    variogram = np.array([_half_of_change(sample, mean, apart) for apart in range(1, furthest + 1)])
    variance = float(np.median(variogram[-INDEPENDENT:]))
    correlation = np.maximum(1.0 - variogram[:-1] / max(variance, 1e-9), 0.0)
    if correlation[0] < LEAST_CORRELATION:
        correlation[:] = 0.0
    return variance, correlation


def _half_of_change(sample: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], apart: int) -> float:
    """Return half the variance of what voxels change, beyond the median one, in frames while that hardly changes."""
    common = mean[apart:] - mean[:-apart]
    size = np.abs(common)
    quiet = size <= np.median(size)
    change = sample[apart:][quiet] - sample[:-apart][quiet] - common[quiet, None]
    most = np.median(np.abs(change), axis=1, keepdims=True) / 0.6745
    return 0.5 * float(np.mean(np.minimum(np.abs(change), most) ** 2)) / CLIPPED_VARIANCE


def noise_levels(hu: npt.NDArray[Any]) -> FloatArray:
    """Return the standard deviation in HU of the noise of each voxel, as if every frame had its own.

    Noise is stronger in the middle of a head, and between its thickest bones. Like `noise_level` it is from second
    differences in time, but what neighbouring frames share is not sought.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU.

    Returns
    -------
    ndarray, shape (voxel,)

    Examples
    --------
    >>> uneven = np.random.default_rng(0).normal(30.0, [[3.0], [9.0]], (2, 6000)).T
    >>> noise_levels(uneven).round(1).tolist()
    [3.0, 9.0]
    """
    bends = np.ascontiguousarray(np.abs(np.diff(hu.astype(np.float32), n=2, axis=0)).T)
    middle = bends.shape[1] // 2  # the median but for half a place; np.median takes five times as long
    return np.partition(bends, middle, axis=1)[:, middle].astype(float) / (0.6745 * float(np.sqrt(6.0)))


def end_share(curve_hu: FloatArray) -> float:
    """Return the mean of the last tenth of a curve as a share of its peak.

    0 where contrast has left, 1 where none has come.

    Examples
    --------
    >>> end_share(np.array([0.0, 4.0, 2.0, 1.0])), end_share(np.zeros(4))
    (0.25, 1.0)
    """
    last, peak = max(1, len(curve_hu) // 10), float(np.max(curve_hu))
    return float(np.mean(curve_hu[-last:])) / peak if peak > 0.0 else 1.0


def uniform_grid(times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return an even time axis and the matrix that interpolates curves onto it linearly.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        Strictly increasing times in s.

    Returns
    -------
    grid : ndarray, shape (n,)
        From the first to the last time in steps of about the shortest interval.
    resample : ndarray, shape (n, t)
        The identity where the times are even already.

    Examples
    --------
    >>> grid, resample = uniform_grid(np.array([0.0, 1.0, 3.0]))
    >>> resample @ np.array([0.0, 1.0, 3.0])
    array([0., 1., 2., 3.])
    """
    times = np.asarray(times_s, dtype=float)
    steps = np.diff(times)
    if np.ptp(steps) <= UNEVEN_SHARE * steps.mean():
        return times, np.eye(times.size)
    count = int(np.ceil((times[-1] - times[0]) / np.quantile(steps, 0.1) - 1e-6)) + 1
    grid = np.linspace(times[0], times[-1], count)
    right = np.clip(np.searchsorted(times, grid, side="left"), 1, times.size - 1)
    share = (grid - times[right - 1]) / steps[right - 1]
    resample = np.zeros((count, times.size))
    resample[np.arange(count), right] = share
    resample[np.arange(count), right - 1] += 1.0 - share
    return grid, resample


def between_frames(curve_hu: FloatArray, times_s: FloatArray) -> CubicHermiteSpline:
    """Return a curve as a function of the time in s, from the first frame to the last.

    A cubic spline, which finds a peak between frames, but at no frame steeper than three times the flatter of its two
    sides, so that it does not swing where frames are far apart.

    Parameters
    ----------
    curve_hu : ndarray, shape (t,)
        Values in HU at the frames.
    times_s : ndarray, shape (t,)
        Acquisition times in s, strictly increasing; need not be even.

    Examples
    --------
    >>> float(between_frames(np.array([0.0, 20.0, 40.0, 30.0, 10.0]), np.arange(5.0))(2.25).round(1))
    40.2
    >>> float(between_frames(np.array([0.0, 0.0, 0.0, 9.0]), np.arange(4.0))(1.5))
    0.0
    """
    from scipy.interpolate import CubicHermiteSpline, CubicSpline

    sides = np.abs(np.diff(curve_hu) / np.diff(times_s))
    steepest = 3.0 * np.minimum(np.append(sides[:1], sides), np.append(sides, sides[-1:]))
    slopes = CubicSpline(times_s, curve_hu)(times_s, 1)
    return CubicHermiteSpline(times_s, curve_hu, np.clip(slopes, -steepest, steepest))


def area_weights(times_s: FloatArray) -> FloatArray:
    """Return w so that ``w @ curve`` is the area of the curve and of its decaying tail, in unit × s.

    A scan ends before the contrast agent has left; the area beyond it is that of :func:`continuation`,
    so that volume and deconvolution rest on the same curve.

    Examples
    --------
    >>> washed_out = np.array([0.0, 1.0, 2.0, 1.0, *np.zeros(16)])
    >>> float(area_weights(np.arange(20.0)) @ washed_out), float(area_weights(np.arange(0.0, 40.0, 2.0)) @ washed_out)
    (4.0, 8.0)
    """
    grid, resample = uniform_grid(times_s)
    interval = float(grid[1] - grid[0])
    return np.asarray(interval * continuation(grid.size).sum(axis=0) @ resample)


def area_share(curves: Curves, aif_hu: FloatArray, times_s: FloatArray) -> FloatArray:
    """Return the area of each curve over that of the arterial input: the share of a voxel that blood fills.

    Parameters
    ----------
    curves : Curves
        Enhancement in HU.
    aif_hu : ndarray, shape (t,)
        Arterial input in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s.

    Returns
    -------
    ndarray, shape (voxel,)
    """
    weights = area_weights(times_s)
    return np.asarray((curves.coefficients @ (curves.basis @ weights)) / (aif_hu @ weights))


def continuation(count: int) -> FloatArray:
    """Return the matrix that continues a curve of N samples to 2N, as the block-circulant model needs it.

    Parameters
    ----------
    count : int
        Number of samples N on an even grid.

    Returns
    -------
    ndarray, shape (2N, N)
        The identity above, a decaying tail that starts at the level of the last samples below.

    Examples
    --------
    >>> longer = continuation(40) @ np.ones(40)
    >>> bool(longer[39] == 1), bool(longer[79] < 0.02)
    (True, True)
    """
    level = max(1, round(TAIL_LEVEL_SHARE * count))
    tail = np.zeros((count, count))
    tail[:, count - level :] = np.exp(-(np.arange(count)[:, None] + 1.0) / (TAIL_SHARE * count)) / level
    return np.vstack([np.eye(count), tail])


def mean_enhancement(
    series: Series, mask: Image, *, baseline_frames: int, drift_hu: FloatArray, progress: Progress = silent
) -> FloatArray:
    """Return the mean enhancement of a mask above its baseline, without drift and jumps (``drift_hu``), shape (t,)."""
    places = np.nonzero(mask.values)
    hu = np.empty(series.frames)
    for done, frame in enumerate(series.values):
        hu[done] = frame[places].mean(dtype=float)
        progress((done + 1) / series.frames, "")
    hu -= drift_hu
    return np.asarray(hu - hu[:baseline_frames].mean())
