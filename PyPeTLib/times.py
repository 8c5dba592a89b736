"""When each frame was acquired: found in what is known about a scan, and refused where it is not known."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.errors import InputError, decimal_comma
from PyPeTLib.file_contents import leading_bytes, read_json, read_text
from PyPeTLib.files import scan_name
from PyPeTLib.geometry import FloatArray
from PyPeTLib.nrrd_headers import nrrd_header
from PyPeTLib.scan import TIMES_ROUNDED_S
from PyPeTLib.typeset import typeset

#: Fewest frames that can hold a baseline, a first pass and a washout.
MINIMUM_FRAMES = 10

#: Shortest and longest time between frames in s that a CT perfusion scan can have: below lies one turn of the
#: fastest gantry (0.2 s), above no bolus is followed any more.
MINIMUM_INTERVAL_S = 0.1
MAXIMUM_INTERVAL_S = 30.0
#: The same in words, for messages.
NEEDED_STEPS = f"times must increase by {MINIMUM_INTERVAL_S:g} to {MAXIMUM_INTERVAL_S:g} s from frame to frame"

#: Header and sidecar may differ by this share of the interval before it is worth a doubt.
INTERVAL_TOLERANCE = 0.01

#: Times are of one interval where the steps between them differ by no more than this share of it.
EVEN_SHARE = 0.1

#: Times are others where a frame is off by more than this share of the interval, and by more than its tolerance adds
#: up to.
OFF_SHARE = 0.5

#: Sidecar entries that list the time of every frame in s, in the order they are looked for (BIDS names).
TIME_LISTS = ("VolumeTiming", "FrameTimesStart", "FrameTimes")

#: Sidecar entry that holds one interval in s (BIDS name).
TIME_INTERVAL = "RepetitionTime"

#: Sidecar entry that lists when each slice of a frame was acquired, in s after the frame's time (BIDS name).
SLICE_TIMES = "SliceTiming"

#: Sidecar entry that tells along which axis of the file, and from which of its ends, those slices are counted (BIDS
#: name), and its values for slices along the third axis, from the first one and from the last one.
SLICE_AXIS, FIRST_ONE, LAST_ONE = "SliceEncodingDirection", "k", "k-"

#: Time units of the NIfTI header, bits 3–5 of ``xyzt_units``: name and seconds.
NIFTI_TIME_UNITS = {8: ("s", 1.0), 16: ("ms", 1e-3), 24: ("µs", 1e-6)}

#: Names of time units in NRRD files, in s.
SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3}

#: Where a multi-volume of 3D Slicer keeps what it was sorted by, the times of its frames most often, and their unit.
MULTI_LABELS, MULTI_UNIT = "multivolume.framelabels", "multivolume.frameidentifyingdicomtagunits"

#: Letters of what was given that a message repeats.
LONGEST_FOUND = 40

CURE = "Give --interval SECONDS or --times FILE"


@dataclass(frozen=True)
class TimeAxis:
    """Time of each frame in s, where it comes from in words, and whether its sources agree."""

    times_s: FloatArray
    source: str
    check: Check = Check("frame times", "not applicable", "The times were given.")


@dataclass(frozen=True)
class Clue:
    """One place that may hold the times: the times, or None, and what was found there."""

    times_s: FloatArray | None
    text: str


def read_times(path: str | Path) -> FloatArray:
    """Read a time axis from a text file: one number a line, in s; blank lines and ``#`` comments are skipped.

    Parameters
    ----------
    path : str or Path
        The text file, UTF-8.

    Returns
    -------
    ndarray, shape (t,)
        Times in s, as written.

    Raises
    ------
    InputError
        If the file is missing, empty or holds a line that is no number.
    """
    lines = read_text(path, "Times", need="a text file with one time in s a line").splitlines()
    times = [_number(path, i, line.split("#")[0]) for i, line in enumerate(lines, 1) if line.split("#")[0].strip()]
    if not times:
        raise InputError(f"Times {path}: one time in s a line is needed; found no number.")
    return np.array(times)


def resolve_times(
    scan: Path,
    frames: int,
    *,
    times_s: npt.ArrayLike | None = None,
    interval_s: float | None = None,
    stored: Clue | None = None,
) -> TimeAxis:
    """Return the time axis of a scan from the first of these sources that has one.

    1. ``times_s`` or ``interval_s``, what the user gives;
    2. a sidecar (same name, ``.json``) that lists every frame: VolumeTiming, FrameTimesStart or FrameTimes, in s;
    3. ``stored``, or the file: NIfTI ``pixdim[4]`` > 0 with a time unit; NRRD index values or spacing of the time axis
       with a unit, or the labels of a multi-volume's frames;
    4. the sidecar's RepetitionTime, in s.

    An offset of the whole axis in the header (NIfTI ``toffset``) is left out: no result depends on it.

    Parameters
    ----------
    scan : Path
        The file, or the folder of the frames.
    frames : int
        Number of frames.
    times_s : array-like, shape (t,), optional
        Time of each frame in s.
    interval_s : float, optional
        Time between frames in s; the first frame is at 0 s.
    stored : Clue, optional
        What the scan itself says, where whoever read it knows: DICOM, or a sidecar beside each frame.

    Returns
    -------
    TimeAxis
        Strictly increasing times in s.

    Raises
    ------
    InputError
        If there is no source, or its times are not one a frame with 0.1–30 s between frames.
    """
    if times_s is not None and interval_s is not None:
        raise InputError("Times: either an interval or a list of times is needed; found both. Leave one out.")
    if times_s is not None:
        listed = _numbers_given(times_s, "a list of times")
        return _beside_known(TimeAxis(listed, f"given: {listed.size} times"), scan, frames, stored)
    if interval_s is not None:
        interval = float(_numbers_given(interval_s, "one number", dimensions=0))
        given = TimeAxis(_regular(frames, interval), f"given: interval {interval:g} s")
        return _beside_known(given, scan, frames, stored)
    return _checked(_known_times(scan, frames, stored), scan, frames)


def _numbers_given(given: npt.ArrayLike, need: str, *, dimensions: int = 1) -> FloatArray:
    """Return what a caller gave as numbers, of so many dimensions; it may be none, or of others."""
    try:
        numbers = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        numbers = None
    if numbers is None or numbers.ndim != dimensions:
        raise InputError(f"Times: {need} in s is needed; found {str(given)[:LONGEST_FOUND]!r}. {CURE}.")
    return numbers


def _regular(frames: int, interval_s: float) -> FloatArray:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.arange(frames) * float(interval_s)


def _number(path: str | Path, line_number: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        found = f"{text.strip()!r}.{decimal_comma(text)}"
        raise InputError(f"Times {path}, line {line_number}: one time in s a line is needed; found {found}") from None


def _beside_known(given: TimeAxis, scan: Path, frames: int, stored: Clue | None) -> TimeAxis:
    """Return a given axis; tell where file or sidecar say another interval. One that cannot be read is not needed."""
    axis = _checked(given, scan, frames)
    try:
        clues = _clues(scan, frames, stored)
    except InputError:
        return axis
    known = [(clue.times_s, clue.text) for clue in clues if clue.times_s is not None]
    agreement = _agreement([(axis.times_s, axis.source), *known])
    return replace(axis, check=agreement) if agreement.doubtful else axis


def _known_times(scan: Path, frames: int, stored: Clue | None) -> TimeAxis:
    """Take the most specific of sidecar list, header and sidecar interval; tell where they disagree."""
    clues = _clues(scan, frames, stored)
    known = [(clue.times_s, clue.text) for clue in clues if clue.times_s is not None]
    if not known:
        listed, header, regular = (clue.text for clue in clues)
        found = "; ".join(dict.fromkeys((header, listed, regular)))
        raise InputError(
            f"Scan {scan.name}: the time of each frame is needed; found {found}. "
            f"{CURE}, or write {sidecar_path(scan).name} with VolumeTiming."
        )
    times, source = known[0]
    return TimeAxis(times, source, _agreement(known))


def _clues(scan: Path, frames: int, stored: Clue | None) -> tuple[Clue, Clue, Clue]:
    """Return sidecar list, header and sidecar interval: what may hold the times, the most specific first."""
    listed, regular = _sidecar_clues(scan, frames)
    return listed, stored or _header_clue(scan, frames), regular


def _agreement(known: list[tuple[FloatArray, str]]) -> Check:
    """Return whether the sources of the times say the same."""
    (times, source), *others = known
    with np.errstate(invalid="ignore", over="ignore"):  # infinite ones are refused by the user of the times
        odd = [(other, text) for other, text in others if _contradict(other, times)]
        if not odd:
            return Check("frame times", "pass", f"Times come from: {source}.", _usual_step(times))
        said = "; ".join(f"{text} says {_steps(other)}" for other, text in odd)
        used = f"{source}: {_steps(times)} between frames was used; {said}."
        return Check("frame times", "warn", used, _usual_step(times))


def _usual_step(times_s: FloatArray) -> float:
    return float(np.median(np.diff(times_s))) if times_s.size > 1 else 0.0


def _uneven(times_s: FloatArray) -> bool:
    return times_s.size > 1 and bool(np.ptp(np.diff(times_s)) > EVEN_SHARE * abs(_usual_step(times_s)))


def _contradict(other_s: FloatArray, times_s: FloatArray) -> bool:
    """Tell whether a source has another interval than the times used, or uneven times that are others."""
    interval = _usual_step(times_s)
    if abs(interval - _usual_step(other_s)) > INTERVAL_TOLERANCE * abs(interval):
        return True
    if other_s.shape != times_s.shape or not _uneven(other_s):  # a header cannot hold other than even ones
        return False
    off = np.abs((other_s - other_s[0]) - (times_s - times_s[0])).max()
    return bool(off > max(OFF_SHARE * abs(interval), INTERVAL_TOLERANCE * abs(times_s[-1] - times_s[0])))


def _steps(times_s: FloatArray) -> str:
    """Return the interval between times in words, or the range of uneven ones."""
    if not _uneven(times_s):
        return f"{_usual_step(times_s):g} s"
    steps = np.diff(times_s)
    return f"{steps.min():.4g} to {steps.max():.4g} s"


def _checked(axis: TimeAxis, scan: Path, frames: int) -> TimeAxis:
    """Return the axis unless it has another number of frames or an interval that no scan has."""
    times = axis.times_s
    if times.shape != (frames,):
        need = f"one time a frame is needed, {frames} in all"
        raise InputError(f"Scan {scan.name}: {need}; found {times.size} ({axis.source}). {CURE} that fits the scan.")
    require_steps(times, f"Scan {scan.name}", axis.source)
    return axis


def require_steps(times_s: FloatArray, what: str, source: str) -> None:
    """Refuse times, shape (t,), in s, between which lies an interval that no scan has.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        Times of the frames in s.
    what : str
        What has them, for the message.
    source : str
        Where they are from, likewise.

    Raises
    ------
    InputError
        If they do not increase by 0.1 to 30 s from each frame to the next, as those in milliseconds or minutes.

    Examples
    --------
    >>> require_steps(np.arange(3) * 1000.0, "Scan a", "given by the caller")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    PyPeTLib.errors.InputError: Scan a: times must increase by 0.1 to 30 s from frame to frame; found 1000 s ...
    """
    found = odd_step(times_s)
    if found is None:
        return
    step, where = found
    with np.errstate(invalid="ignore", over="ignore"):
        usual = np.median(np.diff(times_s))
    if step > MAXIMUM_INTERVAL_S >= usual:
        cure = "Give the frames before or after that pause"
    elif step <= 0.0 != usual:
        cure = "Put the frames in the order of their times, or correct these"
    else:
        cure = f"{CURE}, in seconds and not milliseconds"
    raise InputError(f"{what}: {NEEDED_STEPS}; found {where} ({source}). {cure}.")


def odd_step(times_s: FloatArray) -> tuple[float, str] | None:
    """Return the first interval between times in s that no scan has, in s, and where it is; None: all are possible.

    Examples
    --------
    >>> odd_step(np.array([0.0, 1.0, 2.0, 2.0])), odd_step(np.arange(4.0))
    ((0.0, '0 s from frame 3 to 4'), None)
    """
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.diff(times_s)
    slack = 1e-6 * MINIMUM_INTERVAL_S
    odd = ~((steps >= MINIMUM_INTERVAL_S - slack) & (steps <= MAXIMUM_INTERVAL_S + slack))  # NaN is odd, too
    if not odd.any():
        return None
    first = int(np.argmax(odd))
    return float(steps[first]), f"{typeset(f'{steps[first]:g}')} s from frame {first + 1} to {first + 2}"


def sidecar_path(scan: Path) -> Path:
    """Return the JSON file that belongs to a scan.

    Examples
    --------
    >>> sidecar_path(Path("sub-01_ctp.nii.gz")).name
    'sub-01_ctp.json'
    """
    return scan.with_name(scan_name(scan) + ".json")


def read_sidecar(scan: Path) -> dict[str, Any]:
    """Return what the JSON file beside a scan says, {} where there is none."""
    path = sidecar_path(scan)
    if not path.is_file():
        return {}
    content = read_json(path, "Sidecar", "Mend or remove it")
    if not isinstance(content, dict):
        found = type(content).__name__
        raise InputError(f"Sidecar {path}: a JSON object is needed; found a {found}. Mend or remove it.")
    return content


def slice_offsets(scan: Path, slices: int, *, interval_s: float) -> FloatArray | None:
    """Return when each slice of a frame was acquired after the frame's time in s, shape (z,); None where none is told.

    Raises
    ------
    InputError
        If the sidecar lists other than one finite time a slice, times further apart than the frames, or slices along
        another axis.
    """
    try:
        content = read_sidecar(scan)
    except InputError:  # refused where its times are needed
        return None
    if SLICE_TIMES not in content:
        return None
    name = sidecar_path(scan).name
    listed = _numbers(name, SLICE_TIMES, content[SLICE_TIMES])
    if listed.shape != (slices,) or not np.isfinite(listed).all():
        need = f"{SLICE_TIMES} needs one time a slice, {slices} in all"
        raise InputError(f"Sidecar {name}: {need}; found {listed.size}. Mend or remove it.")
    if listed.max() > listed.min() + interval_s + TIMES_ROUNDED_S:
        need = (
            f"{SLICE_TIMES} needs times in s that belong to one frame, no further apart than frames, {interval_s:g} s"
        )
        raise InputError(f"Sidecar {name}: {need}; found {listed.min():g} to {listed.max():g}. Mend or remove it.")
    axis = content.get(SLICE_AXIS, FIRST_ONE)
    if axis not in (FIRST_ONE, LAST_ONE):
        need = f"{SLICE_TIMES} needs slices along the third axis, {SLICE_AXIS} {FIRST_ONE} or {LAST_ONE}"
        raise InputError(f"Sidecar {name}: {need}; found {axis!r:.60}. Mend or remove it.")
    return listed[::-1] if axis == LAST_ONE else listed


def _sidecar_clues(scan: Path, frames: int) -> tuple[Clue, Clue]:
    """Return the listed times and the regular times of the sidecar."""
    name, content = sidecar_path(scan).name, read_sidecar(scan)
    there = sidecar_path(scan).is_file()
    nothing = Clue(None, f"sidecar {name} without times" if there else f"no sidecar {name}")
    listed = regular = nothing
    for key in reversed(TIME_LISTS):
        if key in content:
            listed = Clue(_numbers(name, key, content[key]), f"sidecar {name} ({key})")
    if TIME_INTERVAL in content:
        interval = _numbers(name, TIME_INTERVAL, [content[TIME_INTERVAL]])[0]
        regular = Clue(_regular(frames, interval), f"sidecar {name} ({TIME_INTERVAL})")
    return listed, regular


def _numbers(name: str, key: str, values: object) -> FloatArray:
    with suppress(OverflowError):  # a whole number of hundreds of digits
        if isinstance(values, list) and all(type(v) in (int, float) for v in values):
            return np.array(values, dtype=float)
    need = "one number in s for the interval" if key == TIME_INTERVAL else "a list of times in s"
    raise InputError(f"Sidecar {name}: {key} needs {need}; found {values!r:.60}. Mend the file.")


def _header_clue(scan: Path, frames: int) -> Clue:
    if scan.is_dir():
        return Clue(None, "one file a frame, which holds no time")
    if scan.name.lower().endswith((".nii", ".nii.gz")):
        return _nifti_clue(scan, frames)
    return _nrrd_clue(scan, frames)


def _nifti_clue(scan: Path, frames: int) -> Clue:
    """Look at the header itself: ITK reports an interval of 1 where it says 0."""
    header = leading_bytes(scan, 348)
    order = "<" if struct.unpack_from("<i", header)[0] == 348 else ">"
    stored = struct.unpack_from(f"{order}f", header, 92)[0]
    interval = float(f"{stored:.7g}")  # the float32 of 1.41 means 1.41
    unit, seconds = NIFTI_TIME_UNITS.get(header[123] & 0x38, ("no time unit", 0.0))
    if not (seconds and interval > 0):
        return Clue(None, f"NIfTI header with pixdim[4] = {interval:g}, {unit}")
    return Clue(_regular(frames, interval * seconds), f"NIfTI header (pixdim[4], {unit})")


def _nrrd_clue(scan: Path, frames: int) -> Clue:
    """Look at the header's text: ITK hands on neither the units of a space nor the spacing of a list axis."""
    fields, _ = nrrd_header(scan)
    kinds = fields.get("kinds", "").lower().split()
    axis = next((i for i, kind in enumerate(kinds) if kind in ("list", "time")), 3)
    unit = _nrrd_unit(fields, axis)
    listed, spacing = fields.get(f"axis {axis} index values", "").split(), _nrrd_spacing(fields, axis)
    what = "index values" if listed else "spacing"
    if MULTI_LABELS in fields and unit not in SECONDS:
        listed, unit, what = fields[MULTI_LABELS].split(","), fields.get(MULTI_UNIT, "").lower(), "frame labels"
    if not listed and spacing is None:
        return Clue(None, f"NRRD header without index values or spacing of axis {axis}")
    if unit not in SECONDS:
        return Clue(None, f"NRRD header with {what} of axis {axis} in {unit or 'no unit'}")
    try:
        times = np.array(listed, dtype=float) if listed else _regular(frames, spacing or 0.0)
    except ValueError:
        return Clue(None, f"NRRD header with {what} that are no numbers, such as {listed[0]!r}")
    return Clue(times * SECONDS[unit], f"NRRD header ({what}, {unit})")


def _nrrd_unit(fields: dict[str, str], axis: int) -> str:
    """Return the unit of an axis in lower case, "" where there is none."""
    for name in ("units", "space units"):
        units = re.findall(r'"([^"]*)"', fields.get(name, ""))
        if len(units) > axis and units[axis]:
            return str(units[axis]).strip().lower()
    return fields.get(f"axis {axis} index unit", "").lower()


def _nrrd_spacing(fields: dict[str, str], axis: int) -> float | None:
    """Return the spacing of an axis, None where there is none."""
    vectors = re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    numbers = fields.get("spacings", "").split()
    try:
        if len(vectors) > axis and vectors[axis] != "none":
            return float(np.linalg.norm([float(v) for v in vectors[axis][1:-1].split(",")]))
        spacing = float(numbers[axis]) if len(numbers) > axis else np.nan
    except ValueError:
        return None
    return spacing if np.isfinite(spacing) else None
