"""What a user gives beside the scan: masks, points and curves, checked against it before anything is computed."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import mean_enhancement
from PyPeTLib.errors import InputError
from PyPeTLib.gamma import fit_gamma_variate
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Bolus, VascularCurve
from PyPeTLib.scan import FEWEST_POINTS, TIMES_ROUNDED_S, Points, Series, TimeCurve
from PyPeTLib.settings import Settings

#: What may be given for a vessel.
Vessel = Image | Points | TimeCurve
#: What a vessel is measured by: a mask, HU at the scan's times, or nothing; and what the user gave for it.
Measured = Image | FloatArray | None
Given = Measured | Points


def check_kinds(series: object, settings: object, brain: object, aif: object, vof: object) -> None:
    """Refuse an argument of `pipeline.analyze` that is of another kind: an array does not tell where it lies.

    Raises
    ------
    InputError
        With the argument's name, the kinds that are needed and the one found.
    """
    mask = "For a mask give Image(values, series.geometry), or read it with read_mask"
    arguments = (
        ("series", series, (Series,), "Read it with read_series, or give Series(values, times_s, geometry)"),
        ("settings", settings, (Settings, type(None)), "Give Settings(NAME=VALUE)"),
        ("brain", brain, (Image, type(None)), mask),
        ("aif", aif, (Image, Points, TimeCurve, type(None)), mask),
        ("vof", vof, (Image, Points, TimeCurve, type(None)), mask),
    )
    for name, given, kinds, cure in arguments:
        if not isinstance(given, kinds):
            *others, last = [kind.__name__ for kind in kinds if kind is not type(None)]
            need = f"{', '.join(others)} or {last}" if others else last
            raise InputError(f"Argument {name}: {need} is needed; found {type(given).__name__}. {cure}.")


def check_mask(series: Series, mask: Image | None, name: str, fewest: int = 1) -> None:
    """Refuse a mask that is empty, has too few voxels or lies on another grid; none at all is fine.

    Parameters
    ----------
    series : Series
        The scan, on whose grid it has to lie.
    mask : Image or None
    name : str
        What the mask is, for messages, e.g. "Brain mask".
    fewest : int
        Voxels that are needed inside.

    Raises
    ------
    InputError
        If it is no mask of booleans, or one of these.
    """
    if mask is None:
        return
    if not mask.geometry.matches(series.geometry):
        need, have = series.geometry.told_apart(mask.geometry)
        raise InputError(
            f"{name}: the grid of the scan is needed, {need}; found {have}. Resample the mask to the scan."
        )
    if mask.values.dtype != bool or not mask.values.any():
        found = f"values of type {mask.values.dtype}" if mask.values.dtype != bool else "none inside"
        cure = "Compare them with a number (values > 0)" if mask.values.dtype != bool else "Check it"
        raise InputError(f"{name}: booleans with at least one voxel inside are needed; found {found}. {cure}.")
    if np.count_nonzero(mask.values) < fewest:
        found = f"{np.count_nonzero(mask.values)} voxels"
        raise InputError(f"{name}: at least {fewest} voxels are needed; found {found}. Give all of the brain.")


def checked(series: Series, what: Vessel | None, curve: str, mask: str) -> Given:
    """Return what was given for a vessel, checked: points, a mask, or the HU of a curve at the scan's times.

    Parameters
    ----------
    series : Series
        The scan.
    what : Image, Points, TimeCurve or None
    curve, mask : str
        What a curve and a mask would be, for messages, e.g. "Arterial curve".

    Raises
    ------
    InputError
        See `check_mask` and `at_scan_times`.
    """
    if isinstance(what, TimeCurve):
        return at_scan_times(what, series.times_s, what=curve)
    if isinstance(what, Points):
        return what
    check_mask(series, what, mask)
    return what


def users_curve(
    series: Series, given: Image | FloatArray, bolus: Bolus, *, drift_hu: FloatArray, progress: Progress
) -> VascularCurve:
    """Return the curve, above the baseline, of a mask that the user drew, without drift and jumps, or the one given."""
    frames = bolus.baseline_frames
    if isinstance(given, Image):
        return measured_curve(series, given, baseline_frames=frames, drift_hu=drift_hu, progress=progress)
    return _given_curve(series, given, frames)


def measured_curve(
    series: Series, mask: Image, *, baseline_frames: int, drift_hu: FloatArray, progress: Progress = silent
) -> VascularCurve:
    """Return the curve of a mask that the user drew, which may leave the brain mask."""
    curve = mean_enhancement(series, mask, baseline_frames=baseline_frames, drift_hu=drift_hu, progress=progress)
    fit = fit_gamma_variate(curve, series.times_s)
    return VascularCurve(mask, curve, curve, fit, 1.0, (), "user's mask")


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


def _given_curve(series: Series, hu: FloatArray, baseline_frames: int) -> VascularCurve:
    """Return a curve that the user gave, at the scan's times (see `at_scan_times`), above its own baseline.

    It was measured in no voxel of this scan, so its mask is empty.
    """
    curve = hu - hu[:baseline_frames].mean()
    fit = fit_gamma_variate(curve, series.times_s)
    nowhere = Image(np.zeros(series.geometry.shape, dtype=bool), series.geometry)
    return VascularCurve(nowhere, curve, curve, fit, 1.0, (), "user's curve")
