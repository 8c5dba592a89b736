"""A CT perfusion scan as it leaves the scanner: DICOM images, put in order by what their headers say.

Of the patient nothing but the image is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.dicom_headers import (
    CURE,
    PIXEL_MM,
    PLACE,
    SAME_MM,
    THICKNESS_MM,
    DicomImage,
    voxels,
)
from PyPeTLib.dicom_series import images_of_scan
from PyPeTLib.dicom_times import RECONSTRUCTED, REGULAR, seconds_of, trust
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry
from PyPeTLib.image_faults import refuse_odd_grid
from PyPeTLib.times import MAXIMUM_INTERVAL_S, MINIMUM_FRAMES
from PyPeTLib.typeset import counted

#: Steps between slices may differ from the usual one by this share.
STEP_TOLERANCE = 0.1
#: Where slices are shifted against each other by more than this share of a voxel in all, the user is told.
TILT_VOXELS = 0.1
#: Images of one slice may lie beside each other by this share of a voxel.
MOVED_VOXELS = 0.5
#: At least this share of the frames has to be complete.
LEAST_COMPLETE = 0.8
#: Places that are shown so many times as often as usual are those where slabs of a table that jumps overlap.
CROWDED = 1.5
#: Slices of one frame are no further apart in time than this share of the time between frames.
WITHIN_STEP = 0.95


@dataclass(frozen=True)
class DicomScan:
    """A scan that DICOM images make.

    Parameters
    ----------
    values : ndarray, shape (t, z, y, x)
        HU, int16; float32 where the rescale slope is no whole number.
    geometry : Geometry
        Grid of one frame.
    times_s : ndarray, shape (t,), or None
        Time of each frame in s, the first at 0; None where the images do not tell.
    slices_s : ndarray, shape (t, z), or None
        The same for each slice, of which the times of the frames are the means; None where no time of acquisition is
        told: images are made one after the other, whenever they were acquired.
    time_source : str
        Where the times come from, or what was found instead.
    checks : tuple of Check
        What putting them in order brought to light.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    times_s: FloatArray | None
    slices_s: FloatArray | None
    time_source: str
    checks: tuple[Check, ...]


def read_dicom(files: Iterable[Path], *, name: str, series_number: int | None = None) -> DicomScan:
    """Read a dynamic scan from DICOM images, one or many in a file.

    The series that shows places over and over is taken: one of enough frames for a run before shorter ones, such as a
    localiser taken twice; where every frame is a series of its own, all of them, but no volume of another part, kind
    or study. The images of a place are put in order by their times. A frame that lacks images, or an image of
    no frame, is left out and told, and damaged files are.

    Parameters
    ----------
    files : iterable of Path
        Other DICOM files among them (reports, localisers, single volumes) are passed over.
    name : str
        What to call the scan in messages.
    series_number : int, optional
        Which series to take, of several that are dynamic; that of any frame where each is a series of its own.

    Raises
    ------
    InputError
        If no series or several are dynamic, images are missing, or slices are unevenly spaced.
    """
    images, others = images_of_scan(files, name=name, series_number=series_number)
    heights = np.array([image.height_mm for image in images])
    places = _distinct(heights)
    geometry, upright = _geometry(images, places, heights, name)
    number = np.searchsorted(places, heights + 0.5 * SAME_MM) - 1
    seconds, source, timed = seconds_of(images, number, name)
    members = [np.flatnonzero(number == place) for place in range(places.size)]
    columns = [sorted(zip(seconds[one].tolist(), one.tolist(), strict=True)) for one in members]
    in_order = not timed or (source == RECONSTRUCTED and _in_step(columns))
    if not in_order and source != RECONSTRUCTED:
        _refuse_slabs_of_other_times(columns, name)
    table, complete = _frames(columns, name, in_order=in_order, others=others)
    table, complete = _without_pauses(table, seconds, complete) if timed else (table, complete)
    shown = [[images[index] for index in row] for row in table]
    _refuse_moved(shown, geometry, name)
    values = voxels(shown, geometry.shape)
    checks: tuple[Check, ...] = (upright, complete)
    if not timed:
        return DicomScan(values, geometry, None, None, f"DICOM images, which tell no times ({source})", checks)
    slices_s = seconds[table]
    slices_s -= slices_s[0].mean()
    times_s, checks = slices_s.mean(axis=1), (*checks, trust(source, slices_s))
    own = None if source in (RECONSTRUCTED, REGULAR) else slices_s
    return DicomScan(values, geometry, times_s, own, f"DICOM ({source})", checks)


# --- where and when -------------------------------------------------------------------------------------------------


def _distinct(heights: FloatArray) -> FloatArray:
    """Return the places along the normal, ascending."""
    ordered = np.sort(heights)
    first = np.append(True, np.diff(ordered) >= SAME_MM)
    return np.asarray(ordered[first])


def _geometry(images: list[DicomImage], places: FloatArray, heights: FloatArray, name: str) -> tuple[Geometry, Check]:
    """Return the grid of the slices, and whether they lie straight above each other."""
    first, last = images[int(heights.argmin())], images[int(heights.argmax())]
    row_mm, column_mm = (float(one) for one in first.numbers(PIXEL_MM))
    steps = np.diff(places)
    if steps.size:
        step_mm = float(np.median(steps))
        odd = np.flatnonzero(np.abs(steps - step_mm) > STEP_TOLERANCE * step_mm)
        if odd.size:
            between = f"{places[odd[0]]:g} and {places[odd[0] + 1]:g} mm"
            found = f"steps of {step_mm:g} mm, but {steps[odd[0]]:g} mm between {between}"
            raise InputError(f"Scan {name}: slices at even steps are needed; found {found}. {CURE}, all its slices.")
        step_mm = float(places[-1] - places[0]) / steps.size
    else:
        step_mm = float(next(iter(first.numbers(THICKNESS_MM)), 0.0)) or max(row_mm, column_mm)
    axes, origin = first.axes, first.numbers(PLACE)
    across = last.numbers(PLACE) - origin
    shifted_mm = float(np.linalg.norm(across - (across @ axes[:, 2]) * axes[:, 2]))
    size = (*first.size, places.size)
    x, y, z = (float(one) for one in origin)
    refuse_odd_grid(f"Scan {name}", (column_mm, row_mm, step_mm), (x, y, z))
    geometry = Geometry(size, (column_mm, row_mm, step_mm), (x, y, z), tuple(axes.ravel().tolist()))
    if shifted_mm <= TILT_VOXELS * min(row_mm, column_mm):
        return geometry, Check("orientation", "pass", "Slices lie straight above each other.", shifted_mm)
    text = (
        f"The gantry was tilted: the last slice is shifted by {shifted_mm:.3g} mm against the first; maps lie as if it "
        "were not."
    )
    return geometry, Check("orientation", "warn", text, shifted_mm)


def _refuse_moved(frames: list[list[DicomImage]], geometry: Geometry, name: str) -> None:
    """Refuse images of one place whose pixels do not lie above each other: fields of view of several centres."""
    across_mm = np.array([[image.numbers(PLACE) for image in row] for row in frames]) @ geometry.axes[:, :2]
    moved_mm = np.abs(across_mm - across_mm[0]).max(axis=(0, 1))
    if (moved_mm > MOVED_VOXELS * np.array(geometry.spacing_mm[:2])).any():
        need = "images of a slice that lie above each other are needed"
        found = f"some {moved_mm.max():.3g} mm beside the first, as of fields of view of several centres"
        raise InputError(f"Scan {name}: {need}; found {found}. {CURE}, reconstructed on one field of view.")


# --- frames ---------------------------------------------------------------------------------------------------------


def _frames(
    columns: list[list[tuple[float, int]]], name: str, *, in_order: bool, others: str
) -> tuple[npt.NDArray[np.intp], Check]:
    """Return which image each frame shows at each place, shape (t, z), and whether all are there.

    Parameters
    ----------
    columns : list
        For every place its images in order: time and index.
    in_order : bool
        Whether the frames are told by this order alone, not by the times.
    others : str
        What is to be said of damaged files, and of images on another grid.
    """
    counts = [len(column) for column in columns]
    if in_order and min(counts) < max(counts):
        found = f"{min(counts)} to {max(counts)}, and no times that tell which are missing"
        raise InputError(f"Scan {name}: as many images of every slice are needed; found {found}. {CURE}.{others}")
    crowded = CROWDED * float(np.median(counts))
    most = max(count for count in counts if count < crowded)
    table = np.array([[one for _, one in column] for column in columns]).T if in_order else _in_frames(columns, crowded)
    if len(table) < LEAST_COMPLETE * most:
        found = f"{len(table)} of {most} frames with all {len(columns)} slices"
        raise InputError(f"Scan {name}: complete frames are needed; found {found}. {CURE}, all its images.{others}")
    left_out = sum(counts) - table.size
    if not left_out:
        text = f"Each of {most} frames has its {counted(len(columns), 'slice')}.{others}"
        return table, Check("frames complete", "warn" if others else "pass", text, 0.0)
    whose = "theirs or of no frame" if max(counts) < crowded else "theirs, of no frame or where slabs overlap"
    text = (
        f"{most - len(table)} of {most} frames lack slices; {left_out} images, {whose}, were left out. "
        f"{CURE} if there should be more.{others}"
    )
    return table, Check("frames complete", "warn", text, float(left_out))


def _without_pauses(
    table: npt.NDArray[np.intp], seconds: FloatArray, complete: Check
) -> tuple[npt.NDArray[np.intp], Check]:
    """Return the frames without those before or after a pause that no scan has: another volume, or a scan broken off.

    Where both sides of a pause are long enough for a scan, all are returned: which is meant, nobody knows.
    """
    pauses = np.flatnonzero(np.diff(seconds[table].mean(axis=1)) > MAXIMUM_INTERVAL_S)
    parts = sorted(np.split(table, pauses + 1), key=len)
    if not pauses.size or len(parts[-1]) < MINIMUM_FRAMES or len(parts[-2]) >= MINIMUM_FRAMES:
        return table, complete
    kept = parts[-1]
    text = (
        f" {counted(len(table) - len(kept), 'frame')}, more than {MAXIMUM_INTERVAL_S:g} s before or after the others, "
        "were left out: another volume, or a scan that was broken off."
    )
    return kept, replace(complete, status="warn", text=complete.text + text)


def _in_step(columns: list[list[tuple[float, int]]]) -> bool:
    """Tell whether images of all places, in order, are equally far apart in all frames, however long they took."""
    if len({len(column) for column in columns}) > 1:
        return False
    own_s = np.array([[time for time, _ in column] for column in columns]).T
    apart_s = own_s - np.median(own_s, axis=1, keepdims=True)
    return bool(np.ptp(apart_s, axis=0).max() <= 0.5 * np.median(np.diff(own_s, axis=0)))


def _refuse_slabs_of_other_times(columns: list[list[tuple[float, int]]], name: str) -> None:
    """Refuse slices of which some were scanned when others had been: each saw a bolus of its own."""
    often = 0.5 * max(map(len, columns))
    spans = [(column[0][0], column[-1][0]) for column in columns if len(column) > often]
    first, last = min(spans, key=lambda span: span[1]), max(spans)
    if last[0] <= first[1]:
        return
    need = "slices that were scanned together are needed"
    found = f"some within {first[1] - first[0]:.3g} s, and others from {last[0] - first[0]:.3g} s after these began"
    raise InputError(f"Scan {name}: {need}; found {found}, as of an injection a slab. Give the files of one slab.")


def _in_frames(columns: list[list[tuple[float, int]]], crowded: float) -> npt.NDArray[np.intp]:
    """Return which image each frame that has all shows at each place, shape (t, z).

    Places beside each other were scanned soon after each other, or all at once, whatever way the table moves, so frames
    are followed from place to place. A place with ``crowded`` images or more, as where slabs of a table that jumps
    overlap, is left to the end: of its images those nearest in time are taken.
    """
    own_s = [np.array([time for time, _ in column]) for column in columns]
    rounded_s = 1.0 if all((times == np.rint(times)).all() for times in own_s) else 0.0
    usual = [place for place, times in enumerate(own_s) if times.size < crowded]
    rows = {usual[0]: np.arange(own_s[usual[0]].size)}
    for before, place in pairwise(usual):
        mine, theirs = _paired(own_s[before], own_s[place], rounded_s=rounded_s)
        there = np.isin(rows[before], mine)
        rows = {other: frames[there] for other, frames in rows.items()}
        rows[place] = theirs[np.searchsorted(mine, rows[before])]
    for place in sorted(set(range(len(columns))) - set(usual)):
        beside = min(usual, key=lambda other: abs(other - place))
        rows[place] = np.abs(own_s[place] - own_s[beside][rows[beside], None]).argmin(axis=1)
    once = np.all([np.diff(rows[place], prepend=-1) > 0 for place in rows], axis=0)
    return np.array([[columns[place][one][1] for one in rows[place][once]] for place in range(len(columns))]).T


def _paired(
    first_s: FloatArray, second_s: FloatArray, *, rounded_s: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return which images of two places, in order, are of one frame.

    These are all of them where they are equally far apart, and else the nearest in time; not those further apart than
    usual by half a step or more, but for what ``rounded_s`` took off their times: one that is missing must not shift
    the others.

    Examples
    --------
    >>> _paired(np.array([0.0, 3.0, 6.0]), np.array([1.5, 7.4]), rounded_s=0.0)
    (array([0, 2]), array([0, 1]))
    """
    from scipy.optimize import linear_sum_assignment

    steps_s = np.minimum(np.diff(first_s, prepend=-np.inf), np.diff(first_s, append=np.inf))
    half_s = 0.5 * np.minimum(steps_s, MAXIMUM_INTERVAL_S) + rounded_s
    if first_s.size == second_s.size:
        away_s = np.abs(second_s - first_s)
        if np.ptp(away_s) < half_s.min() and (away_s < WITHIN_STEP * steps_s).all():
            return np.arange(away_s.size), np.arange(away_s.size)
    apart_s = np.abs(second_s - first_s[:, None])
    gain_s = np.maximum((np.median(apart_s.min(axis=1)) + half_s)[:, None] - apart_s, 0.0)
    first, second = linear_sum_assignment(gain_s, maximize=True)
    near = gain_s[first, second] > 0.0
    return first[near], np.sort(second[near])
