"""When DICOM images were acquired, and what says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

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
    MIDDLE,
    OFFSET_S,
    SERIES_NUMBER,
    STEP_MS,
    TIME,
    TRIGGER_MS,
    DicomImage,
)
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray
from PyPeTLib.times import MAXIMUM_INTERVAL_S, MINIMUM_INTERVAL_S

DAY_S = 86_400.0
#: Steps in s that differ from whole ones by less than this are whole.
WHOLE_S = 1e-4


def seconds_of(images: list[DicomImage], number: npt.NDArray[np.intp], name: str) -> tuple[FloatArray, str, bool]:
    """Return when each image was acquired in s, what says so, and True.

    Where nothing tells the times: what orders the images instead, why, and False. An entry that is the same for two
    images of one place is no time of acquisition; so it is with whole seconds where frames follow each other faster.

    Parameters
    ----------
    images : list of DicomImage
    number : ndarray, shape (image,)
        Number of the place that each image shows.
    name : str
        What to call the scan in messages.

    Raises
    ------
    InputError
        If every slice of every time is there several times.
    """
    every = {source: np.array([when(image) for image in images]) for source, when in SOURCES.items()}
    if len({image.about.get(STEP_MS) for image in images}) > 1:  # frames are not equally far apart
        del every[REGULAR]
    found = {source: past_midnight(seconds) for source, seconds in every.items() if np.isfinite(seconds).all()}
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


def trust(source: str, slices_s: FloatArray) -> Check:
    """Tell whether times are those of acquisition, to a fraction of a second.

    Parameters
    ----------
    source : str
        What says them, from `seconds_of`.
    slices_s : ndarray, shape (t, z)
        Time of each slice of each frame in s.
    """
    if source == RECONSTRUCTED:
        text = (
            f"Times are those at which the images were made ({source}), for no time of acquisition tells the frames "
            "apart: compare them with the protocol, or give --interval SECONDS. All slices of a frame count as "
            "acquired at once."
        )
        return Check("DICOM times", "warn", text)
    if source == REGULAR:
        text = (
            f"Frames count as equally far apart, {np.diff(slices_s.mean(axis=1)).min():g} s ({source}), for no time of "
            "acquisition tells them apart: compare that with the protocol, or give --interval SECONDS or --times FILE."
        )
        return Check("DICOM times", "warn", text)
    if _cut_to_seconds(slices_s):
        text = f"Times are whole seconds ({source}), up to 1 s early: if frames are regular give --interval SECONDS."
        return Check("DICOM times", "warn", text)
    return Check("DICOM times", "pass", f"Times are those of acquisition ({source}).")


def span_s(images: list[DicomImage]) -> tuple[float, float]:
    """Return when the first and the last image were acquired in s; infinite where that is not told."""
    for source in CLOCKS:
        seconds = np.array([SOURCES[source](image) for image in images])
        if np.isfinite(seconds).all():
            return float(seconds.min()), float(seconds.max())
    return np.inf, np.inf


def moment_s(date: str, time: str) -> float:
    """Return a date and a time of day in s since an arbitrary day; NaN where there is no time.

    What is no date, as where dates were taken out, is passed over: times of a day tell a scan's frames apart.

    Examples
    --------
    >>> moment_s("20240101", "101502.5") - moment_s("20231231", "101500")
    86402.5
    >>> moment_s("00000000", "101502") - moment_s("removed", "101500")
    2.0
    >>> moment_s("", "") != moment_s("", "")
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


def past_midnight(seconds: FloatArray) -> FloatArray:
    """Return times in one row where the clock began anew and the date did not.

    Examples
    --------
    >>> past_midnight(np.array([86398.0, 86399.0, 0.0, 1.0])).tolist()
    [86398.0, 86399.0, 86400.0, 86401.0]
    """
    late = seconds >= seconds.min() + 0.5 * DAY_S
    return seconds if late.all() or not late.any() else np.where(late, seconds, seconds + DAY_S)


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


def _on(date_time: str) -> Callable[[DicomImage], float]:
    def when(image: DicomImage) -> float:
        both = image.about.get(date_time, "").partition("+")[0].partition("-")[0]
        return moment_s(both[:8], both[8:])

    return when


def _after(seconds: str, unit_s: float) -> Callable[[DicomImage], float]:
    return lambda image: unit_s * float(next(iter(image.numbers(seconds)), np.nan))


def _regular(image: DicomImage) -> float:
    """Return the time of the image's temporal position; NaN where the step is none of frames, as of a single image."""
    position, step_ms = (next(iter(image.numbers(tag)), np.nan) for tag in (FRAME, STEP_MS))
    fits = MINIMUM_INTERVAL_S <= 1e-3 * step_ms <= MAXIMUM_INTERVAL_S
    return float(1e-3 * step_ms * position) if fits else float("nan")


def _at(date: str, time: str) -> Callable[[DicomImage], float]:
    return lambda image: moment_s(image.about.get(date, ""), image.about.get(time, ""))


#: What may tell when an image was acquired, the surest first; the last may be when it was reconstructed.
SOURCES: dict[str, Callable[[DicomImage], float]] = {
    "FrameReferenceDateTime": _on(MIDDLE),
    "FrameAcquisitionDateTime": _on(BEGIN),
    "AcquisitionDateTime": _on(DATE_TIME),
    "AcquisitionTime": _at(DATE, TIME),
    "TemporalPositionTimeOffset": _after(OFFSET_S, 1.0),
    "TriggerTime": _after(TRIGGER_MS, 1e-3),
    "TemporalResolution": _regular,
    "ContentTime": _at(CONTENT_DATE, CONTENT_TIME),
}
RECONSTRUCTED, REGULAR = "ContentTime", "TemporalResolution"
#: Those that one clock tells, of all series.
CLOCKS = ("FrameReferenceDateTime", "FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime")


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
