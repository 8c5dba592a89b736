"""A CT perfusion scan as it leaves the scanner: DICOM images, put in order by what their headers say.

Of the patient nothing but the image is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
from PyPeTLib.dicom_times import RECONSTRUCTED, seconds_of, trust
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry
from PyPeTLib.image_faults import refuse_odd_grid
from PyPeTLib.times import MAXIMUM_INTERVAL_S, MINIMUM_FRAMES
from PyPeTLib.typeset import counted

#: Steps between slices may differ from the usual one by this share.
STEP_TOLERANCE = 0.1
#: Where slices are shifted against each other by more than this share of a voxel in all, the user is told.
TILT_VOXELS = 0.1
#: At least this share of the frames has to be complete.
LEAST_COMPLETE = 0.8
#: Slices have the same times within every frame, or every second one: a table that moves to and fro scans both ways.
WAYS = (1, 2)


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
        The same for each slice, of which the times of the frames are the means; None where they are those at which
        images were made, one after the other, whenever they were acquired.
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
    images, damage = images_of_scan(files, name=name, series_number=series_number)
    heights = np.array([image.height_mm for image in images])
    places = _distinct(heights)
    geometry, upright = _geometry(images, places, heights, name)
    number = np.searchsorted(places, heights + 0.5 * SAME_MM) - 1
    seconds, source, timed = seconds_of(images, number, name)
    members = [np.flatnonzero(number == place) for place in range(places.size)]
    columns = [sorted(zip(seconds[one].tolist(), one.tolist(), strict=True)) for one in members]
    table, complete = _frames(columns, name, timed=timed, damage=damage)
    table, complete = _without_pauses(table, seconds, complete) if timed else (table, complete)
    values = voxels([[images[index] for index in row] for row in table], geometry.shape)
    checks: tuple[Check, ...] = (upright, complete)
    if not timed:
        return DicomScan(values, geometry, None, None, f"DICOM images, which tell no times ({source})", checks)
    slices_s = seconds[table]
    slices_s -= slices_s[0].mean()
    times_s, checks = slices_s.mean(axis=1), (*checks, trust(source, slices_s))
    return DicomScan(
        values, geometry, times_s, None if source == RECONSTRUCTED else slices_s, f"DICOM ({source})", checks
    )


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


# --- frames ---------------------------------------------------------------------------------------------------------


def _frames(
    columns: list[list[tuple[float, int]]], name: str, *, timed: bool, damage: str
) -> tuple[npt.NDArray[np.intp], Check]:
    """Return which image each frame shows at each place, shape (t, z), and whether all are there.

    Parameters
    ----------
    columns : list
        For every place its images in order: time and index.
    damage : str
        What is to be said of damaged files.
    """
    counts = [len(column) for column in columns]
    most = max(counts)
    if min(counts) == most and (not timed or any(_in_step(columns, way) for way in WAYS)):
        table = np.array([[index for _, index in column] for column in columns]).T
        text = f"Each of {most} frames has its {len(columns)} slices.{damage}"
        return table, Check("frames complete", "warn" if damage else "pass", text, 0.0)
    if not timed:
        found = f"{min(counts)} to {most}, and no times that tell which are missing"
        raise InputError(f"Scan {name}: as many images of every slice are needed; found {found}. {CURE}.{damage}")
    placed = max((_all_placed(columns, way) for way in WAYS), key=lambda found: len(_full(found)))
    full = _full(placed)
    if len(full) < LEAST_COMPLETE * most:
        found = f"{len(full)} of {most} frames with all {len(columns)} slices"
        raise InputError(f"Scan {name}: complete frames are needed; found {found}. {CURE}, all its images.{damage}")
    table = np.array([[one[frame] for one in placed] for frame in full])
    left_out = sum(counts) - table.size
    text = (
        f"{most - len(full)} of {most} frames lack slices; {left_out} images, theirs or of no frame, were left out. "
        f"{CURE} if there should be more.{damage}"
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


def _in_step(columns: list[list[tuple[float, int]]], way: int) -> bool:
    """Tell whether the images of all places, in order, belong to the same frames: places may lack different ones."""
    own_s = np.array([[time for time, _ in column] for column in columns]).T
    if len(own_s) < 2:
        return True
    apart_s = own_s - np.median(own_s, axis=1, keepdims=True)
    for first in range(way):
        apart_s[first::way] -= np.median(apart_s[first::way], axis=0)
    return bool(np.abs(apart_s).max() <= 0.25 * np.median(np.diff(own_s, axis=0)))


def _all_placed(columns: list[list[tuple[float, int]]], way: int) -> list[dict[int, int]]:
    """Return for every place which image each frame shows; frames are those of the most regular of the full places."""
    most = max(map(len, columns))
    full = (np.array([time for time, _ in column]) for column in columns if len(column) == most)
    frames_s = min(full, key=lambda own_s: float(np.abs(np.diff(own_s, 2)).sum()))
    return [_placed(column, frames_s, way) for column in columns]


def _full(placed: list[dict[int, int]]) -> list[int]:
    """Return the frames that have an image at every place."""
    return sorted(set(placed[0]).intersection(*placed[1:]))


def _placed(column: list[tuple[float, int]], frames_s: FloatArray, way: int) -> dict[int, int]:
    """Return which image of a place each frame shows: the nearest in time, no further than half a step.

    Slices may all be earlier or later than those whose times are the frames'; that is taken off first, for each of
    ``way`` turns of the table.
    """
    half_s = 0.5 * float(np.median(np.diff(frames_s))) if frames_s.size > 1 else np.inf
    own_s = np.array([time for time, _ in column])
    apart_s = own_s[:, None] - frames_s
    first = np.abs(apart_s).argmin(axis=1)
    for turn in range(way):
        if (mine := first % way == turn).any():
            apart_s[:, turn::way] -= np.median(apart_s[mine, first[mine]])
    nearest: dict[int, tuple[float, int]] = {}
    for (_, index), apart in zip(column, np.abs(apart_s), strict=True):
        frame = int(apart.argmin())
        if apart[frame] <= half_s and apart[frame] < nearest.get(frame, (np.inf, 0))[0]:
            nearest[frame] = float(apart[frame]), index
    return {frame: index for frame, (_, index) in nearest.items()}
