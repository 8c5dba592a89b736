"""Slices of a frame that were acquired one after the other: taken to one time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.curves import LONG_INTERVAL_S
from PyPeTLib.geometry import FloatArray

#: Where slices of a frame are further than this from its time, in s, all are taken to it.
TOGETHER_S = 0.2
#: Variance of noise, over that of a frame, that splines may leave; ...
MOST_NOISE = 1.0
#: ... the strengths of smoothing, in s³, are sought between these powers of ten.
POWERS = (-12.0, 9.0)


def take_together(values: npt.NDArray[Any], own_s: FloatArray, times_s: FloatArray) -> tuple[npt.NDArray[Any], Check]:
    """Return the slices of all frames at the times of the frames, if they were acquired at others.

    A table that moves to and fro, or a spiral, shows one end of the head a second or two before the other: by about as
    much would delays there be wrong.

    Parameters
    ----------
    values : ndarray, shape (t, z, y, x)
        HU. Where they have to change they are changed in place, or in a copy if they are read-only.
    own_s : ndarray, shape (t, z)
        When each slice was acquired.
    times_s : ndarray, shape (t,)
        Their mean over the slices.

    Returns
    -------
    values : ndarray, shape (t, z, y, x)
    check : Check
        *slice times*: the largest distance from the frame's time in s, and what was done.
    """
    apart_s = float(np.abs(own_s - times_s[:, None]).max())
    if apart_s <= TOGETHER_S:
        text = f"The slices of a frame were acquired within {apart_s:.2g} s of its time."
        return values, Check("slice times", "pass", text, apart_s)
    values = values if values.flags.writeable else values.copy()
    for index, slice_s in enumerate(own_s.T):
        values[:, index] = at_times(values[:, index], slice_s, times_s)
    text = (
        f"Slices of a frame were acquired up to {apart_s:.2g} s from its time (a table that moves to and fro, or a "
        "spiral): their curves were taken to common times by cubic splines, smoothed where noise would grow."
    )
    longest_s = float(np.diff(own_s, axis=0).max(initial=0.0))
    if longest_s > LONG_INTERVAL_S:
        text += (
            f" Some slices were not seen for up to {longest_s:.2g} s, which does not resolve the first pass "
            f"({LONG_INTERVAL_S:g} s are needed): flow and times are doubtful."
        )
    return values, Check("slice times", "warn", text, apart_s)


def at_times(frames: npt.NDArray[Any], own_s: FloatArray, times_s: FloatArray) -> npt.NDArray[Any]:
    """Return frames at other times, between those at which they were acquired by cubic splines, beyond as the nearest.

    The splines are smoothed as far as keeps noise from growing. At the ends of a table's way frames come in pairs, one
    soon after the other: a spline through both continues what noise makes them differ by, up to 2.8 times as much noise
    where it has to bridge 2.7 s between pairs of 0.3 s.

    Parameters
    ----------
    frames : ndarray, shape (t, ...)
    own_s, times_s : ndarray, shape (t,)
        Strictly increasing times in s.

    Returns
    -------
    ndarray, shape (t, ...)
        In the type of ``frames``.

    References
    ----------
    Reinsch 1967, doi:10.1007/BF02162161 (smoothing splines)

    Examples
    --------
    >>> at_times(np.array([[0], [10], [20], [30]], dtype=np.int16), np.arange(4.0), np.arange(4.0) + 0.5).ravel()
    array([ 5, 15, 25, 30], dtype=int16)
    """
    spline = _quiet_spline(own_s, np.clip(times_s, own_s[0], own_s[-1]))
    flat = spline.astype(np.float32) @ frames.reshape(len(frames), -1).astype(np.float32)
    if frames.dtype.kind in "iu":
        limits = np.iinfo(frames.dtype)
        np.clip(np.rint(flat, out=flat), limits.min, limits.max, out=flat)
    return np.asarray(flat.astype(frames.dtype).reshape(frames.shape))


def _quiet_spline(own_s: FloatArray, times_s: FloatArray) -> FloatArray:
    """Return the matrix of cubic splines that leave no more noise than a frame has, on average over the times.

    They go through frames that are as near to the acquired ones, and bend as little, as the least strength of smoothing
    makes them that does so; of strength 0, through the frames themselves, where noise does not grow.
    """
    from scipy.interpolate import CubicSpline
    from scipy.optimize import brentq

    spline = CubicSpline(own_s, np.eye(own_s.size))(times_s)
    steps_s = np.diff(own_s)
    apart_s = 0.5 * (steps_s[:-1] + steps_s[1:])[:, None]
    bend = np.diff(np.diff(np.eye(own_s.size), axis=0) / steps_s[:, None], axis=0) / apart_s
    stiffness, course = np.linalg.eigh(bend.T @ (apart_s * bend))
    noise = np.sum((spline @ course) ** 2, axis=0) / len(times_s)

    def left(power: float) -> FloatArray:
        return np.asarray(1.0 / (1.0 + 10.0**power * np.maximum(stiffness, 0.0)))

    if noise @ left(POWERS[0]) ** 2 <= MOST_NOISE:  # the sum itself may be above by rounding
        return np.asarray(spline)
    strength = brentq(lambda power: float(noise @ left(power) ** 2) - MOST_NOISE, *POWERS)
    return np.asarray((spline @ course) * left(strength) @ course.T)
