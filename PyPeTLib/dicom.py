"""A CT perfusion scan as it leaves the scanner: DICOM images, put in order by what their headers say.

Of the patient nothing but the image is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.dicom_headers import (
    ACQUISITION,
    BEGIN,
    CONTENT_DATE,
    CONTENT_TIME,
    CURE,
    DATE,
    DATE_TIME,
    FRAME,
    INSTANCE,
    KERNEL,
    KIND,
    MIDDLE,
    OFFSET_S,
    PIXEL_MM,
    PLACE,
    SERIES_NAME,
    SERIES_NUMBER,
    SERIES_UID,
    SOP_UID,
    STUDY_UID,
    THICKNESS_MM,
    TIME,
    TRIGGER_MS,
    TUBE_KV,
    DicomImage,
    ManyImagesError,
    images_of,
    is_damaged,
    voxels,
)
from PyPeTLib.errors import InputError
from PyPeTLib.files import natural_order
from PyPeTLib.geometry import FloatArray, Geometry
from PyPeTLib.image_faults import refuse_odd_grid
from PyPeTLib.times import MAXIMUM_INTERVAL_S, MINIMUM_FRAMES
from PyPeTLib.typeset import counted

#: Slices whose places along the normal differ by less than this, in mm, are one.
SAME_MM = 0.01
#: Steps between slices may differ from the usual one by this share.
STEP_TOLERANCE = 0.1
#: Where slices are shifted against each other by more than this share of a voxel in all, the user is told.
TILT_VOXELS = 0.1
#: At least this share of the frames has to be complete.
LEAST_COMPLETE = 0.8
#: What copies of an image have in common, whose names may have been taken out or be one for all.
OWN = (PLACE, DATE_TIME, TIME, CONTENT_TIME, TRIGGER_MS, FRAME, ACQUISITION, INSTANCE, SERIES_NUMBER)
#: So many numbers of series, or names of files, are listed.
SHOWN = 5
DAY_S = 86_400.0
#: Steps in s that differ from whole ones by less than this are whole.
WHOLE_S = 1e-4
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
    images, doubt, damage = _images(files)
    images = _dynamic(images, name, series_number, doubt, damage)
    heights = np.array([image.height_mm for image in images])
    places = _distinct(heights)
    geometry, upright = _geometry(images, places, heights, name)
    number = np.searchsorted(places, heights + 0.5 * SAME_MM) - 1
    seconds, source, timed = _seconds(images, number, name)
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
    times_s, checks = slices_s.mean(axis=1), (*checks, _trust(source, slices_s))
    return DicomScan(
        values, geometry, times_s, None if source == RECONSTRUCTED else slices_s, f"DICOM ({source})", checks
    )


# --- which images ---------------------------------------------------------------------------------------------------


def _images(files: Iterable[Path]) -> tuple[list[DicomImage], ManyImagesError | None, str]:
    """Return the CT images with a place, each once, what keeps others from being read, and which files are damaged."""
    found: dict[tuple[Any, ...], DicomImage] = {}
    doubt, damaged = None, []
    for path in sorted(files, key=lambda path: [natural_order(part) for part in path.parts]):
        try:
            images = images_of(path)
        except ManyImagesError as error:
            doubt = error
            continue
        if not images and is_damaged(path):
            damaged.append(path.name)
        for image in images:
            name = image.about.get(SOP_UID) or str(path)
            found.setdefault((name, image.index, *map(image.about.get, OWN)), image)
    return list(found.values()), doubt, f" Truncated or damaged: {_listed(damaged)}." if damaged else ""


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:SHOWN]) + (f" ... ({len(texts)} in all)" if len(texts) > SHOWN else "")


def _dynamic(
    images: list[DicomImage], name: str, series_number: int | None, doubt: ManyImagesError | None, damage: str
) -> list[DicomImage]:
    """Return the images of the one series that shows its places over and over, on its most frequent grid.

    Where there is none, ``doubt`` is raised: it is about files that may have been the scan.
    """
    wanted = "" if series_number is None else f" with number {series_number}"
    chosen = [image for image in images if series_number is None or _number(image) == series_number]
    dynamic = _over_time(images, series_number)
    if len(dynamic) == 1:
        return dynamic[0]
    if doubt is not None and not dynamic:
        raise doubt
    if dynamic:
        found = f"{len(dynamic)}: {'; '.join(map(_described, dynamic))}. {_choice(dynamic)}"
    elif chosen:
        found = f"{len(_by_series(chosen))} that show every place once. {CURE}, all its images"
    elif images:
        found = f"{_offered(images)}. Give one of them"
    else:
        found = f"no CT image. {CURE}, or convert it to NIfTI"
    need = f"one DICOM series{wanted} that shows the head over time is needed"
    raise InputError(f"Scan {name}: {need}; found {found}.{damage}")


def _number(image: DicomImage) -> int | None:
    return next((int(one) for one in image.numbers(SERIES_NUMBER)), None)


def _by_series(images: list[DicomImage]) -> list[list[DicomImage]]:
    series: dict[tuple[str, int | None], list[DicomImage]] = {}
    for image in images:  # numbers tell apart those that have lost their names
        series.setdefault((image.about.get(SERIES_UID, ""), _number(image)), []).append(image)
    return list(series.values())


def _over_time(images: list[DicomImage], series_number: int | None = None) -> list[list[DicomImage]]:
    """Return the series that show their places as often as a run needs, else those that show them more than once.

    Series that show places once are one scan together, where no series is a scan of itself: those of one study, or, of
    images whose studies are not told alike, all. One place alone, such as that where the bolus is awaited, is a scan
    where there is no other. With a number, what has a series of that number is returned.
    """
    series = _continued([_on_one_grid(members) for members in _by_series(images)])
    once = [members for members in series if _repeats(members) <= 1]
    asked = [
        [members for members in found if series_number is None or series_number in map(_number, members)]
        for found in (series, _together(once, STUDY_UID), _together(once))
    ]
    for fewer, least in product((MINIMUM_FRAMES - 1, 1), (2, 1)):
        for found in asked:
            if dynamic := [one for one in found if _repeats(one) > fewer and len({*_rounded_places(one)}) >= least]:
                return dynamic
    return []


def _continued(series: list[list[DicomImage]]) -> list[list[DicomImage]]:
    """Return series, as one those that go on where another over time ends: arterial and venous phase of one scan.

    They are of one study, made alike, at the same places, and follow each other within what frames do.
    """
    groups: dict[tuple[Any, ...], list[list[DicomImage]]] = {}
    for members in series:
        key = (*_made(members[0]), members[0].about.get(STUDY_UID), frozenset(_rounded_places(members)))
        groups.setdefault(key, []).append(members)
    found: list[list[DicomImage]] = []
    for group in groups.values():
        if len(group) == 1 or max(map(_repeats, group)) <= 1:
            found += group
            continue
        last_s = np.inf
        for begin_s, end_s, place in sorted((*_span(members), place) for place, members in enumerate(group)):
            if 0.0 < begin_s - last_s <= MAXIMUM_INTERVAL_S:
                found[-1] = found[-1] + group[place]
            else:
                found.append(group[place])
            last_s = end_s
    return found


def _span(images: list[DicomImage]) -> tuple[float, float]:
    """Return when the first and the last image were acquired in s; infinite where that is not told."""
    for source in CLOCKS:
        seconds = np.array([SOURCES[source](image) for image in images])
        if np.isfinite(seconds).all():
            return float(seconds.min()), float(seconds.max())
    return np.inf, np.inf


def _together(series: list[list[DicomImage]], *same: str) -> list[list[DicomImage]]:
    """Return series that show places once as scans: those that were made alike, where tags are the same."""
    groups: dict[tuple[Any, ...], list[list[DicomImage]]] = {}
    for members in series:
        groups.setdefault((*_made(members[0]), *map(members[0].about.get, same)), []).append(members)
    return [_of_usual_places(group) for group in groups.values()]


def _made(image: DicomImage) -> tuple[Any, ...]:
    """Return what frames of a scan have in common: grid, thickness, voltage, kernel, and whether derived (maps)."""
    kind = image.about.get(KIND, "").partition("\\")[0]
    return image.grid, kind, *map(image.about.get, (THICKNESS_MM, TUBE_KV, KERNEL))


def _of_usual_places(series: list[list[DicomImage]]) -> list[DicomImage]:
    """Return the images of series of whose places most are shown by many: no single volume of another part."""
    shown = Counter(place for members in series for place in set(_rounded_places(members)))
    many = 0.5 * max(shown.values())
    usual = [
        members for members in series if np.mean([shown[place] >= many for place in _rounded_places(members)]) >= 0.5
    ]
    return [image for members in usual for image in members]


def _choice(dynamic: list[list[DicomImage]]) -> str:
    """Return how one of several series can be chosen: not by a number that they share."""
    numbers = [set(map(_number, members)) for members in dynamic]
    if sum(map(len, numbers)) == len(set().union(*numbers)):
        return "Give --series NUMBER, or the files of one"
    studies = len({members[0].about.get(STUDY_UID, "") for members in dynamic})
    return f"They are of {studies} studies: give the folder of one" if studies > 1 else "Give the files of one"


def _offered(images: list[DicomImage]) -> str:
    """Return the series that could be chosen: those over time, or the numbers of all."""
    numbers = sorted({number for image in images if (number := _number(image)) is not None})
    several = f"number {_listed(list(map(str, numbers)))}" if numbers else "series without numbers"
    return "; ".join(map(_described, _over_time(images))) or several


def _on_one_grid(images: list[DicomImage]) -> list[DicomImage]:
    """Return the images that have the grid of most: no localiser."""
    grids = Counter(image.grid for image in images)
    most = max(grids, key=lambda grid: grids[grid], default=None)
    return [image for image in images if image.grid == most]


def _repeats(images: list[DicomImage]) -> float:
    """Return how often a place is usually shown."""
    if not images:
        return 0.0
    return float(np.median([*Counter(_rounded_places(images)).values()]))


def _rounded_places(images: list[DicomImage]) -> list[int]:
    """Return where images lie along the normal, in steps within which places are one."""
    return [round(image.height_mm / SAME_MM) for image in images]


def _described(images: list[DicomImage]) -> str:
    about = images[0].about
    number, title = about.get(SERIES_NUMBER, "without number"), about.get(SERIES_NAME, "")
    return f"number {number}{f' ({title})' if title else ''}, {counted(len(images), 'image')}"


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


def _seconds(images: list[DicomImage], number: npt.NDArray[np.intp], name: str) -> tuple[FloatArray, str, bool]:
    """Return when each image was acquired in s, what says so, and True; where nothing does what orders them, and why.

    What is the same for two images of a place is no time of acquisition; times of whole seconds, of frames that follow
    each other faster, are such.
    """
    every = {source: np.array([when(image) for image in images]) for source, when in SOURCES.items()}
    found = {source: _past_midnight(seconds) for source, seconds in every.items() if np.isfinite(seconds).all()}
    orders = [_numbered(images, tag) for tag in (FRAME, ACQUISITION, INSTANCE, SERIES_NUMBER)]
    acquired = any(_tells_apart(order, number) for order in orders[:2])
    order = next((order for order in orders if _tells_apart(order, number)), None)
    source = next((one for one, seconds in found.items() if _tells_apart(seconds, number)), None)
    if source in (RECONSTRUCTED, None) and not acquired:
        for seconds in found.values():
            _refuse_copies(seconds, number, name)
    if source == RECONSTRUCTED and order is not None and _disagree(found[source], order, number):
        return order, f"{source} has the images in another order than their numbers", False
    if source is not None:
        return found[source], source, True
    return np.arange(float(len(images))) if order is None else order, _untimed(every, number), False


def _disagree(seconds: FloatArray, order: FloatArray, number: npt.NDArray[np.intp]) -> bool:
    """Tell whether times put the images of a place in another order than numbers: images made side by side."""
    return bool((np.lexsort((seconds, number)) != np.lexsort((order, number))).any())


def _untimed(every: dict[str, FloatArray], number: npt.NDArray[np.intp]) -> str:
    """Return in words why none of the sources has times of acquisition."""
    for source, seconds in every.items():
        there = np.isfinite(seconds)
        if there.all():
            shared = seconds.size - len(_pairs(seconds, number))
            return f"{source} is that of another image of the place in {shared} of {seconds.size} images"
        if there.any():
            return f"{source} is there in {np.count_nonzero(there)} of {seconds.size} images"
    return "no image has one"


def _numbered(images: list[DicomImage], tag: str) -> FloatArray:
    """Return a number of each image, NaN where one has none."""
    return np.array([next(iter(image.numbers(tag)), np.nan) for image in images])


def _refuse_copies(seconds: FloatArray, number: npt.NDArray[np.intp], name: str) -> None:
    """Refuse a series that holds every slice of every time several times: other reconstructions of one scan."""
    _, copies = np.unique(np.stack([number, seconds], axis=1), axis=0, return_counts=True)
    several, times = int(np.median(copies)), copies.size / (number.max() + 1.0)
    if several > 1 and times > several and (copies == several).all():
        need = "one image of every slice at every time is needed"
        raise InputError(f"Scan {name}: {need}; found {several}, as of several reconstructions. {CURE}, one of them.")


def _tells_apart(found: FloatArray, number: npt.NDArray[np.intp]) -> bool:
    """Tell whether all images have a number, and those of a place different ones."""
    return bool(np.isfinite(found).all()) and len(_pairs(found, number)) == found.size


def _pairs(found: FloatArray, number: npt.NDArray[np.intp]) -> set[tuple[int, float]]:
    return {*zip(number.tolist(), found.tolist(), strict=True)}


def _moment(date: str, time: str) -> float:
    """Return a date and a time of day in s since an arbitrary day; NaN where there is no time.

    What is no date, as where dates were taken out, is passed over: times of a day tell a scan's frames apart.

    Examples
    --------
    >>> _moment("20240101", "101502.5") - _moment("20231231", "101500")
    86402.5
    >>> _moment("00000000", "101502") - _moment("removed", "101500")
    2.0
    >>> _moment("", "") != _moment("", "")
    True
    """
    clock, _, fraction = time.partition(".")
    day = 0
    with suppress(ValueError):
        day = datetime.strptime(date, "%Y%m%d").toordinal()
    try:
        at = datetime.strptime(clock.replace(":", "").ljust(6, "0"), "%H%M%S") if clock else None
        part = float(f"0.{fraction or 0}")
    except ValueError:
        return float("nan")
    return float("nan") if at is None else day * DAY_S + at.hour * 3600.0 + at.minute * 60.0 + at.second + part


def _on(date_time: str) -> Callable[[DicomImage], float]:
    def when(image: DicomImage) -> float:
        both = image.about.get(date_time, "").partition("+")[0].partition("-")[0]
        return _moment(both[:8], both[8:])

    return when


def _after(seconds: str, unit_s: float) -> Callable[[DicomImage], float]:
    return lambda image: unit_s * float(next(iter(image.numbers(seconds)), np.nan))


def _at(date: str, time: str) -> Callable[[DicomImage], float]:
    return lambda image: _moment(image.about.get(date, ""), image.about.get(time, ""))


#: What may tell when an image was acquired, the surest first; the last may be when it was reconstructed.
SOURCES: dict[str, Callable[[DicomImage], float]] = {
    "FrameReferenceDateTime": _on(MIDDLE),
    "FrameAcquisitionDateTime": _on(BEGIN),
    "AcquisitionDateTime": _on(DATE_TIME),
    "AcquisitionTime": _at(DATE, TIME),
    "TemporalPositionTimeOffset": _after(OFFSET_S, 1.0),
    "TriggerTime": _after(TRIGGER_MS, 1e-3),
    "ContentTime": _at(CONTENT_DATE, CONTENT_TIME),
}
RECONSTRUCTED = "ContentTime"
#: Those that one clock tells, of all series.
CLOCKS = ("FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime")


def _trust(source: str, slices_s: FloatArray) -> Check:
    """Tell whether times are those of acquisition, to a fraction of a second."""
    if source == RECONSTRUCTED:
        text = (
            f"Times are those at which the images were made ({source}), for no time of acquisition tells the frames "
            "apart: compare them with the protocol, or give --interval SECONDS. All slices of a frame count as "
            "acquired at once."
        )
        return Check("DICOM times", "warn", text)
    if _cut_to_seconds(slices_s):
        text = f"Times are whole seconds ({source}), up to 1 s early: if frames are regular give --interval SECONDS."
        return Check("DICOM times", "warn", text)
    return Check("DICOM times", "pass", f"Times are those of acquisition ({source}).")


def _cut_to_seconds(slices_s: FloatArray) -> bool:
    """Tell whether steps of whole seconds change by one more often than a protocol does: their fractions were cut off.

    Examples
    --------
    >>> _cut_to_seconds(np.array([[0.0], [1.0], [3.0], [4.0], [6.0]]))
    True
    >>> _cut_to_seconds(np.array([[0.0], [2.0], [4.0], [7.0], [10.0]]))
    False
    """
    steps = np.diff(slices_s, axis=0)
    whole = bool(np.abs(steps - np.rint(steps)).max(initial=0.0) < WHOLE_S)
    return whole and int((np.abs(np.diff(np.rint(steps[:, :1]), axis=0)) == 1.0).sum()) > 2


def _past_midnight(seconds: FloatArray) -> FloatArray:
    """Return times in one row where the clock began anew and the date did not.

    Examples
    --------
    >>> _past_midnight(np.array([86398.0, 86399.0, 0.0, 1.0])).tolist()
    [86398.0, 86399.0, 86400.0, 86401.0]
    """
    late = seconds >= seconds.min() + 0.5 * DAY_S
    return seconds if late.all() or not late.any() else np.where(late, seconds, seconds + DAY_S)


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
