"""Vascular curves that a user gives: by a mask, or as HU over time."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import mean_enhancement
from PyPeTLib.errors import InputError
from PyPeTLib.gamma import fit_gamma_variate
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import VascularCurve
from PyPeTLib.scan import FEWEST_POINTS, TIMES_ROUNDED_S, Series, TimeCurve


def measured_curve(
    series: Series, mask: Image, *, baseline_frames: int, drift_hu: FloatArray, progress: Progress = silent
) -> VascularCurve:
    """Return the curve of a mask that the user drew, which may leave the brain mask."""
    curve = mean_enhancement(series, mask, baseline_frames=baseline_frames, drift_hu=drift_hu, progress=progress)
    fit = fit_gamma_variate(curve, series.times_s)
    return VascularCurve(mask, curve, curve, fit, 1.0, (), "user's mask")


def given_curve(series: Series, hu: FloatArray, *, baseline_frames: int) -> VascularCurve:
    """Return a curve that the user gave, at the scan's times (see `at_scan_times`), above its own baseline.

    It was measured in no voxel of this scan, so its mask is empty.
    """
    curve = hu - hu[:baseline_frames].mean()
    fit = fit_gamma_variate(curve, series.times_s)
    nowhere = Image(np.zeros(series.geometry.shape, dtype=bool), series.geometry)
    return VascularCurve(nowhere, curve, curve, fit, 1.0, (), "user's curve")


def at_scan_times(given: TimeCurve, times_s: FloatArray, *, what: str) -> FloatArray:
    """Return the HU of a user's curve at the times of the scan, between its points by straight lines.

    Parameters
    ----------
    given : TimeCurve
        Must cover the scan to within one of its intervals at either end, where the outermost value is kept.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    what : str
        What the curve is, for messages, e.g. "Arterial curve".

    Raises
    ------
    InputError
        If the curve begins too late, ends too early, has hardly a point within the scan, or no rise.

    Examples
    --------
    >>> given = TimeCurve(np.arange(0.0, 12.0, 2.0), np.array([0.0, 0.0, 100.0, 50.0, 10.0, 0.0]))
    >>> at_scan_times(given, np.arange(2.0, 11.0), what="Arterial curve")
    array([  0.,  50., 100.,  75.,  50.,  30.,  10.,   5.,   0.])
    """
    late, early = given.times_s[0] - times_s[0], times_s[-1] - given.times_s[-1]
    if late > times_s[1] - times_s[0] + TIMES_ROUNDED_S or early > times_s[-1] - times_s[-2] + TIMES_ROUNDED_S:
        raise InputError(
            f"{what}: times that cover the scan, {times_s[0]:g} to {times_s[-1]:g} s, to within one frame are needed; "
            f"found {given.times_s[0]:g} to {given.times_s[-1]:g} s. Give all of it, in s on the scan's time axis."
        )
    after, before = given.times_s >= times_s[0] - TIMES_ROUNDED_S, given.times_s <= times_s[-1] + TIMES_ROUNDED_S
    within = int(np.count_nonzero(after & before))
    if within < FEWEST_POINTS:  # times in ms, or those of another scan
        need = f"at least {FEWEST_POINTS} points within the scan, {times_s[0]:g} to {times_s[-1]:g} s, are needed"
        raise InputError(
            f"{what}: {need}; found {within} of {given.times_s.size}, from {given.times_s[0]:g} to "
            f"{given.times_s[-1]:g} s. Give its times in s on the scan's time axis."
        )
    hu = np.interp(times_s, given.times_s, given.hu)
    if not hu[1:].max() > hu[0]:
        need = "HU that rise above the first value are needed"
        raise InputError(
            f"{what}: {need}; found {hu[0]:g} HU at first and at most {hu[1:].max():g} HU later. Check the column."
        )
    return hu
