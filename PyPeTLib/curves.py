"""Mathematics of sampled curves that several steps share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.records import Curves, FloatArray

#: Beyond the last frame curves are continued by an exponential that falls to 1/e in this share of the scan.
#: Arterial and tissue curves, near equilibrium there, fall together, so the share hardly matters (0.1 to 0.4 do);
#: zeros instead would be a step that the convolution model does not have.
TAIL_SHARE = 0.25
#: The level of that tail is the mean of the last samples: this share of the scan.
TAIL_LEVEL_SHARE = 0.05


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


def robust_sd(values: FloatArray) -> float:
    """Return the standard deviation of normal noise from the median of its magnitude.

    Examples
    --------
    >>> robust_sd(np.array([-0.6745, 0.6745, 0.6745]))
    1.0
    """
    return float(np.median(np.abs(values)) / 0.6745)


def noise_level(hu: npt.NDArray[Any]) -> float:
    """Return the standard deviation in HU of the noise of single voxels, from second differences in time.

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
    sample = hu[:, :: max(1, hu.shape[1] // 20000)].astype(np.float32)
    return robust_sd(np.diff(sample, n=2, axis=0)) / float(np.sqrt(6.0))


def noise_levels(hu: npt.NDArray[Any]) -> FloatArray:
    """Return the same for each voxel: noise is stronger in the middle of a head, and between its thickest bones.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU.

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
    """Return the mean of the last tenth of a curve as a share of its peak: 0 where contrast has left.

    Examples
    --------
    >>> end_share(np.array([0.0, 4.0, 2.0, 1.0]))
    0.25
    """
    last = max(1, len(curve_hu) // 10)
    return float(np.mean(curve_hu[-last:]) / np.max(curve_hu))


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
    if np.ptp(steps) <= 0.01 * steps.mean():
        return times, np.eye(times.size)
    count = int(np.ceil((times[-1] - times[0]) / np.quantile(steps, 0.1) - 1e-6)) + 1
    grid = np.linspace(times[0], times[-1], count)
    right = np.clip(np.searchsorted(times, grid, side="left"), 1, times.size - 1)
    share = (grid - times[right - 1]) / steps[right - 1]
    resample = np.zeros((count, times.size))
    resample[np.arange(count), right] = share
    resample[np.arange(count), right - 1] += 1.0 - share
    return grid, resample


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
