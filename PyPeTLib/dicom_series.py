"""Which DICOM images make a scan: those of the series that shows its places over and over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from PyPeTLib.dicom_headers import (
    ACQUISITION,
    CONTENT_TIME,
    CURE,
    DATE_TIME,
    FRAME,
    INSTANCE,
    KERNEL,
    KIND,
    PIXEL_MM,
    PLACE,
    SAME_MM,
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
)
from PyPeTLib.dicom_times import span_s
from PyPeTLib.errors import InputError
from PyPeTLib.files import natural_order
from PyPeTLib.times import MAXIMUM_INTERVAL_S, MINIMUM_FRAMES
from PyPeTLib.typeset import counted

#: What copies of an image have in common, whose names may have been taken out or be one for all.
OWN = (PLACE, DATE_TIME, TIME, CONTENT_TIME, TRIGGER_MS, FRAME, ACQUISITION, INSTANCE, SERIES_NUMBER)
#: So many numbers of series, or names of files, are listed.
SHOWN = 5
#: Images are seen from one side where the cosine between their normals is more than this.
SAME_VIEW = 0.9


def images_of_scan(
    files: Iterable[Path], *, name: str, series_number: int | None = None
) -> tuple[list[DicomImage], str]:
    """Return the images of the one dynamic scan among DICOM files, and what is to be said of others.

    Parameters
    ----------
    files, name, series_number
        As for `PyPeTLib.dicom.read_dicom`.

    Raises
    ------
    InputError
        If no series or several are dynamic.
    """
    images, doubt, damage = _images(files)
    scan = _dynamic(images, name, series_number, doubt, damage)
    return scan, damage + _on_other_grids(images, scan)


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
    return _alike(list(found.values())), doubt, f" Truncated or damaged: {_listed(damaged)}." if damaged else ""


def _alike(images: list[DicomImage]) -> list[DicomImage]:
    """Return images of which those on one grid, but for the last digits of their headers, say the same about it."""
    grids: list[DicomImage] = []
    found = []
    for image in images:
        first = next((one for one in grids if one.size == image.size and one.on_grid_of(image)), None)
        if first is None:
            grids.append(image)
        found.append(image if first is None else replace(image, about={**image.about, **first.of_grid}))
    return found


def _on_other_grids(images: list[DicomImage], scan: list[DicomImage]) -> str:
    """Return in words what of the scan's series lies on another grid, but for views from another side (localisers)."""
    series, grid, normal = set(map(_series, scan)), scan[0].grid, scan[0].axes[:, 2]
    others = [image for image in images if image.grid != grid and _series(image) in series]
    others = [image for image in others if image.axes[:, 2] @ normal > SAME_VIEW]
    if not others:
        return ""
    (width, height), (row_mm, column_mm) = others[0].size, others[0].numbers(PIXEL_MM)
    text = f"{width}×{height} pixels of {column_mm:g}×{row_mm:g} mm"
    return f" {counted(len(others), 'image')} of the series on another grid ({text}) left out: {CURE.lower()} on one."


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
        found = f"no CT image. {CURE}, or convert it to NIfTI: images need place, orientation and size of pixels"
    need = f"one DICOM series{wanted} that shows the head over time is needed"
    raise InputError(f"Scan {name}: {need}; found {found}.{damage}")


def _number(image: DicomImage) -> int | None:
    return next((int(one) for one in image.numbers(SERIES_NUMBER)), None)


def _by_series(images: list[DicomImage]) -> list[list[DicomImage]]:
    series: dict[tuple[str, int | None], list[DicomImage]] = {}
    for image in images:
        series.setdefault(_series(image), []).append(image)
    return list(series.values())


def _series(image: DicomImage) -> tuple[str, int | None]:
    """Return name and number of the series: numbers tell apart those that have lost their names."""
    return image.about.get(SERIES_UID, ""), _number(image)


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
        key = (*_made(members), members[0].about.get(STUDY_UID), frozenset(_rounded_places(members)))
        groups.setdefault(key, []).append(members)
    found: list[list[DicomImage]] = []
    for group in groups.values():
        if len(group) == 1 or max(map(_repeats, group)) <= 1:
            found += group
            continue
        last_s = np.inf
        for begin_s, end_s, place in sorted((*span_s(members), place) for place, members in enumerate(group)):
            if 0.0 < begin_s - last_s <= MAXIMUM_INTERVAL_S:
                found[-1] = found[-1] + group[place]
            else:
                found.append(group[place])
            last_s = end_s
    return found


def _together(series: list[list[DicomImage]], *same: str) -> list[list[DicomImage]]:
    """Return series that show places once as scans: those that were made alike, where tags are the same."""
    groups: dict[tuple[Any, ...], list[list[DicomImage]]] = {}
    for members in series:
        groups.setdefault((*_made(members), *map(members[0].about.get, same)), []).append(members)
    return [_of_usual_places(group) for group in groups.values()]


def _made(images: list[DicomImage]) -> tuple[Any, ...]:
    """Return what frames of a scan have in common.

    These are grid and centre of the pixels, thickness, voltage, kernel, and whether they are derived (maps).
    """
    lowest = min(images, key=lambda image: image.height_mm)
    centre_mm = tuple((lowest.numbers(PLACE) @ lowest.axes[:, :2]).round(1))
    kind = lowest.about.get(KIND, "").partition("\\")[0]
    return lowest.grid, centre_mm, kind, *map(lowest.about.get, (THICKNESS_MM, TUBE_KV, KERNEL))


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
