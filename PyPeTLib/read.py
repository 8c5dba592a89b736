"""Scans, masks and images from files: values in HU on the grid that is stored, or a refusal that says why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.axis_order import axis_like_time
from PyPeTLib.checks import Check
from PyPeTLib.dicom import read_dicom
from PyPeTLib.dicom_headers import holds_many
from PyPeTLib.dicom_times import moment_s, past_midnight
from PyPeTLib.errors import InputError
from PyPeTLib.files import Stored, extension, frames_told, full_path, is_dicom, load, natural_order, scan_name
from PyPeTLib.geometry import FloatArray, Geometry, Image
from PyPeTLib.hounsfield import in_hu
from PyPeTLib.scan import Series
from PyPeTLib.slice_times import take_together
from PyPeTLib.times import MINIMUM_FRAMES, Clue, read_sidecar, read_times, resolve_times, slice_offsets
from PyPeTLib.typeset import counted

__all__ = ["SeriesInfo", "inspect_series", "read_image", "read_mask", "read_series", "read_times"]

#: A file, a folder of frames, or the frames.
ScanPath = str | Path | Sequence[str | Path]

#: Labels of a mask are whole numbers but for rounding.
LABEL_TOLERANCE = 1e-3
#: What to do about 4D files where each file should be a frame.
ONE_SCAN = "A 4D file is a scan of its own: give one scan a call, that file alone, or one 3D file a frame"

#: Entry of a frame's own sidecar that tells when it was acquired, as a time of day.
CLOCK = "AcquisitionTime"
#: So many of the scans in a folder are named.
SHOWN_SCANS = 3
#: Between two files a frame is missing where their numbers are further apart than so many usual steps; numbers may be
#: times, which jitter. So many of these places are named.
GAP, SHOWN_JUMPS = 1.5, 3


@dataclass(frozen=True)
class _Opened:
    """A scan as it is stored: file or folder that names it, voxels, grid, checks, and times if it tells them.

    ``slices_s`` has when each slice of each frame was acquired in s, shape (t, z).
    """

    scan: Path
    values: npt.NDArray[Any]
    geometry: Geometry
    checks: tuple[Check, ...]
    times: Clue | None = None
    slices_s: FloatArray | None = None


@dataclass(frozen=True)
class SeriesInfo:
    """What a scan is, and every reason for which ``read_series`` would refuse it.

    Parameters
    ----------
    name : str
        Name of the scan without extension.
    values : ndarray, shape (t, z, y, x)
        Voxel values, in HU unless ``problems`` says otherwise.
    geometry : Geometry
        Grid of one frame.
    stored_type : str
        Type of the voxels as read, e.g. "int16".
    times_s : ndarray, shape (t,), or None
        Time of each frame in s, None where it is not known.
    time_source : str
        Where the times come from, "" where they are not known.
    checks : tuple of Check
        What reading it brought to light.
    problems : tuple of str
        Why the scan cannot be analysed; empty where it can.
    """

    name: str
    values: npt.NDArray[Any]
    geometry: Geometry
    stored_type: str
    times_s: FloatArray | None
    time_source: str
    checks: tuple[Check, ...]
    problems: tuple[str, ...]

    @property
    def frames(self) -> int:
        """Number of time points."""
        return len(self.values)


def read_series(
    path: ScanPath,
    *,
    times_s: npt.ArrayLike | None = None,
    interval_s: float | None = None,
    series_number: int | None = None,
) -> Series:
    """Read a CT perfusion scan.

    Parameters
    ----------
    path : str, Path or sequence of them
        A 4D NIfTI (.nii, .nii.gz) or NRRD (.nrrd, .nhdr, .seq.nrrd) file; or a folder, or the paths, of one 3D file a
        frame, or of DICOM images, in folders within as well (`dicom.read_dicom`); or a folder that holds one 4D file,
        or the one DICOM file that holds all images. Frames are put in natural order of their names, frame2 before
        frame10; DICOM images by their times.
    times_s : array-like, shape (t,), optional
        Time of each frame in s; ``PyPeTLib.times.resolve_times`` says what is used where it is not given.
    interval_s : float, optional
        Time between frames in s, instead of ``times_s``.
    series_number : int, optional
        Which DICOM series to read, where there are several over time.

    Returns
    -------
    Series
        Values in HU: integers keep the file's type, floats become float32. Grid and orientation are the file's.

    Raises
    ------
    InputError
        If the file is missing, damaged, no 4D scan of at least 10 frames, has its axes in another order, lacks values
        inside the head, or has no trustworthy time axis.
    """
    info = inspect_series(path, times_s=times_s, interval_s=interval_s, series_number=series_number)
    if info.problems or info.times_s is None:
        raise InputError(info.problems[0])
    return Series(info.values, info.times_s, info.geometry, info.name, info.time_source, info.checks)


def inspect_series(
    path: ScanPath,
    *,
    times_s: npt.ArrayLike | None = None,
    interval_s: float | None = None,
    series_number: int | None = None,
) -> SeriesInfo:
    """Read a scan and list what speaks against analysing it; parameters as for ``read_series``.

    Raises
    ------
    InputError
        If nothing can be said about it: the file is missing, damaged or holds no 4D scan.
    """
    opened = _open_scan(path, series_number)
    scan, values = opened.scan, opened.values
    problems = [*_other_axes(opened), *_few_frames(scan, len(values))]
    checks, times, source = opened.checks, None, ""
    try:
        axis = resolve_times(scan, len(values), times_s=times_s, interval_s=interval_s, stored=opened.times)
        times, source, checks = axis.times_s, axis.source, (*checks, axis.check)
    except InputError as error:
        problems.append(str(error))
    try:
        values, notes = in_hu(values, scan_name(scan))
        values, slices = (values, ()) if times is None else _together(opened, values, times)
        checks = (*checks, *notes, *slices)
    except InputError as error:
        problems.append(str(error))
    stored_type, name = str(opened.values.dtype), scan_name(scan)
    return SeriesInfo(name, values, opened.geometry, stored_type, times, source, checks, tuple(problems))


def _together(
    opened: _Opened, values: npt.NDArray[Any], times_s: FloatArray
) -> tuple[npt.NDArray[Any], tuple[Check, ...]]:
    """Return the values with all slices of a frame at one time, where sidecar or images say that they were not."""
    interval_s, slices_s = float(np.diff(times_s).max(initial=0.0)), opened.slices_s
    offsets_s = slice_offsets(opened.scan, values.shape[1], interval_s=interval_s)
    if offsets_s is not None:
        slices_s = times_s[:, None] + offsets_s
    if slices_s is None:
        return values, ()
    values, check = take_together(values, slices_s, slices_s.mean(axis=1))
    return values, (check,)


def read_mask(path: str | Path, geometry: Geometry | None = None, *, what: str) -> Image:
    """Read a mask; every label but 0 is inside.

    Parameters
    ----------
    path : str or Path
        A 3D NIfTI or NRRD file.
    geometry : Geometry, optional
        The grid it must lie on, with at least one voxel inside; without it any grid will do, and the mask may be empty.
    what : str
        What it is a mask of, for messages, e.g. "AIF mask".

    Returns
    -------
    Image
        The mask (bool).

    Raises
    ------
    InputError
        If it lies on another grid, is empty, is not 3D or holds values that are no labels: NaN, fractions, as of a
        probability, or less than 0.
    """
    stored = _load_frame(Path(path).absolute(), what)
    if geometry is not None:
        _refuse_other_grid(f"{what} {path}", stored.geometry, geometry)
    missing = np.count_nonzero(~np.isfinite(stored.values)) if stored.values.dtype.kind == "f" else 0
    if missing:
        raise InputError(f"{what} {path}: a number in every voxel is needed; found {missing} without. Set them to 0.")
    labels = np.rint(stored.values)
    if labels.min() < 0 or np.abs(stored.values - labels).max() > LABEL_TOLERANCE:
        some = stored.values[stored.values != 0]
        found = f"values from {some.min():g} to {some.max():g}"
        raise InputError(
            f"{what} {path}: 0 outside and a label inside are needed; found {found}. Set a threshold first."
        )
    if geometry is not None and not labels.any():
        raise InputError(f"{what} {path}: at least one voxel is needed; found 0. Draw it again.")
    return Image(labels != 0, stored.geometry)


def read_image(path: str | Path) -> Image:
    """Read a 3D image as float32.

    Parameters
    ----------
    path : str or Path
        A 3D NIfTI or NRRD file. Its unit is "Unit", or, as in BIDS, "Units", in the JSON file beside it, "" where there
        is none, and what stands outside its mask "OutsideMask".

    Raises
    ------
    InputError
        If the file is missing, damaged or not 3D.
    """
    return read_oriented(path)[0]


def read_oriented(path: str | Path) -> tuple[Image, Check]:
    """Read a 3D image as `read_image` does, and whether the file says one thing about where it lies."""
    file = Path(path).absolute()
    stored, about = _load_frame(file, "Image"), read_sidecar(file)
    outside = about.get("OutsideMask")
    try:
        known = float(outside) if isinstance(outside, int | float) and not isinstance(outside, bool) else None
    except OverflowError:  # a whole number of hundreds of digits is none of float32
        known = None
    image = Image(
        stored.values.astype(np.float32, copy=False),
        stored.geometry,
        str(about.get("Unit") or about.get("Units") or ""),
        known,
    )
    return image, stored.orientation


def _other_axes(opened: _Opened) -> list[str]:
    found = axis_like_time(opened.values, opened.geometry)
    need = f"Scan {opened.scan.name}: axes in the order x, y, z, time are needed"
    return [f"{need}; found {found}. Save it with its axes in that order."] if found else []


def _few_frames(scan: Path, frames: int) -> list[str]:
    if frames >= MINIMUM_FRAMES:
        return []
    return [f"Scan {scan.name}: at least {MINIMUM_FRAMES} frames are needed; found {frames}. Give the complete scan."]


def _open_scan(path: ScanPath, series_number: int | None) -> _Opened:
    """Read what a file, a folder or a list of files holds."""
    scan, files, images = _files_of(path)
    if images:
        return _of_images(images, scan, series_number)
    if not files:
        raise InputError(_nothing_in(scan))
    if series_number is not None:
        found = "NIfTI or NRRD, which have none"
        raise InputError(f"Scan {scan.name}: DICOM series have numbers; found {found}. Leave --series out.")
    return _one_file(files[0]) if len(files) == 1 else _stack(files)


def _files_of(path: ScanPath) -> tuple[Path, list[Path], list[Path]]:
    """Return what names a scan, its files, and those of them that are DICOM images."""
    if not isinstance(path, str | Path):
        listed = list(path) if isinstance(path, Iterable) else [path]
        if not all(isinstance(one, str | Path) for one in listed):
            need = "the path of a file or folder, or a list of such paths, is needed"
            raise InputError(f"Scan: {need}; found {type(path).__name__}. For an array give Series to analyze.")
        files = [full_path(one) for one in listed]
        if not files:
            raise InputError("Scan: one 3D file a frame is needed; found an empty list. Give files or their folder.")
        return files[0].parent, files, _dicom_among(files)
    scan = full_path(path)
    if scan.is_dir():
        frames = _frames_in(scan)
        return scan, frames, [] if frames else list(_dicom_in(scan))
    many = not extension(scan) and is_dicom(scan) and holds_many(scan)
    return scan, [scan], [scan] if many else []


def _dicom_in(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if is_dicom(file))


def _dicom_among(files: list[Path]) -> list[Path]:
    """Return a list's DICOM images; refuse other files beside them, which might be the scan as well."""
    images = [file for file in files if not extension(file) and is_dicom(file)]
    known = set(images)
    others = [file.name for file in files if file not in known]
    if images and others:
        need = f"Scan {files[0].parent.name}: DICOM images only, or one 3D file a frame, are needed"
        found = f"{others[0]}{f' and {len(others) - 1} more' if others[1:] else ''} beside {len(images)} DICOM images"
        raise InputError(f"{need}; found {found}. Leave them out of the list, or give the folder of the images.")
    return images


def naming_path(path: ScanPath) -> Path:
    """Return the file or folder that a scan has its name from, before it is read: what its results will be called.

    Parameters
    ----------
    path : str, Path or sequence of them
        As for `read_series`; files in several folders are named by that of the first.
    """
    if isinstance(path, str | Path):
        scan = full_path(path)
        frames = _frames_in(scan) if scan.is_dir() else []
        return frames[0] if len(frames) == 1 else scan
    files = [full_path(one) for one in path]
    return files[0] if len(files) == 1 and extension(files[0]) else files[0].parent


def _nothing_in(folder: Path) -> str:
    """Return in words why a folder is no scan."""
    within = sorted(path for path in folder.rglob("*") if path.is_file())
    image = next((path for path in within if extension(path)), None)
    others, folders = sum(path.parent == folder for path in within), sum(path.is_dir() for path in folder.iterdir())
    found = counted(others, "other file")
    found += f" and {counted(folders, 'folder')} without DICOM images" if folders else ""
    cure = "Give the folder of the scan"
    if image is not None:
        found, cure = f"one in a folder within, {image.relative_to(folder)}", "Give that file, or its folder"
    need = "one 3D NIfTI or NRRD file a frame, one 4D file, or DICOM images, are needed"
    return f"Folder {folder}: {need}; found {found}. {cure}."


def _one_file(scan: Path) -> _Opened:
    """Read a 4D file."""
    stored = load(scan)
    values = stored.values
    if stored.components == "list":
        values = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    elif stored.components or values.ndim != 4:
        hint = "Is this a map or a single frame?" if values.ndim == 3 else "Convert it to 4D: x, y, z, time."
        raise InputError(f"Scan {scan.name}: a 4D scan is needed; found {stored.describe()}. {hint}")
    return _Opened(scan, values, stored.geometry, (stored.orientation,))


def _of_images(images: list[Path], scan: Path, series_number: int | None) -> _Opened:
    """Read DICOM images; their folder, or the one file that holds them, names the scan."""
    found = read_dicom(images, name=scan.name, series_number=series_number)
    times = Clue(found.times_s, found.time_source)
    return _Opened(scan, found.values, found.geometry, found.checks, times, found.slices_s)


def _frames_in(folder: Path) -> list[Path]:
    """Return the image files of a folder; hidden files and sidecars are left out, and masks and maps beside DICOM."""
    frames = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and extension(p)]
    patterns = Counter(re.sub(r"[0-9]+", "#", p.name.lower()) for p in frames)
    few = 0 < max(patterns.values(), default=0) < MINIMUM_FRAMES and max(map(frames_told, frames)) == 1
    if few and any(_dicom_in(folder)):
        return []
    if len(patterns) > 1:
        odd = min(patterns, key=lambda pattern: patterns[pattern])
        name = next(p.name for p in frames if re.sub(r"[0-9]+", "#", p.name.lower()) == odd)
        raise InputError(
            f"Folder {folder}: files whose names differ only by their numbers are needed; found {name} among "
            f"{len(frames)}. {_scans_among(frames) or 'Move it elsewhere, or list the frames one by one'}."
        )
    return frames


def _scans_among(files: list[Path]) -> str:
    """Return what to do where files that are no frames of one scan have 4D scans among them, or ""."""
    scans = sorted(file.name for file in files if frames_told(file) >= MINIMUM_FRAMES)
    if not scans:
        return ""
    if len(scans) == 1:
        return f"{scans[0]} is a 4D scan: give that file itself"
    others = ", ".join(scans[:SHOWN_SCANS]) + " ..." * (len(scans) > SHOWN_SCANS)
    return f"There are {len(scans)} 4D scans, {others}: give one of these files itself"


def _numbering(files: list[Path]) -> Iterator[Check]:
    """Yield whether the numbers of the frames' files go on without a gap, where one file is missing."""
    if not files:
        return
    numbers = np.array(_frame_numbers(files), dtype=float)
    steps = np.diff(numbers)
    if not steps.size or steps.min() <= 0:
        yield Check("frame numbers", "not applicable", "No number counts the files of the frames.")
        return
    usual = float(np.median(steps))
    wide = np.flatnonzero(steps > GAP * usual)
    if not wide.size:
        yield Check("frame numbers", "pass", "The numbers of the files go on without a gap.", 0.0)
        return
    jumps = ", ".join(f"{files[k].name} to {files[k + 1].name}" for k in wide[:SHOWN_JUMPS])
    text = (
        f"The numbers of the files go on by {usual:g}, but further from {jumps}{' ...' * (wide.size > SHOWN_JUMPS)}: "
        "is a frame missing? With an interval all later ones count as too early. Add it, or give --times FILE."
    )
    yield Check("frame numbers", "warn", text, float(wide.size))


def _frame_numbers(files: list[Path]) -> list[int]:
    """Return the first number in which the names of files in natural order differ; nothing where there is none."""
    parts = [[int(part) for part in re.findall(r"[0-9]+", file.name)] for file in files]
    if len({len(numbers) for numbers in parts}) > 1:
        return []
    return next((list(column) for column in zip(*parts, strict=True) if len(set(column)) > 1), [])


def _stack(files: list[Path]) -> _Opened:
    """Read one 3D file a frame, in natural order of the names; their folder names the scan."""
    files = sorted(files, key=lambda file: natural_order(file.name))
    frames = [_load_frame(file, "Frame", cure=ONE_SCAN) for file in files]
    first = frames[0]
    for file, frame in zip(files, frames, strict=True):
        _refuse_other_grid(f"Frame {file.name}", frame.geometry, first.geometry)
    checks = (first.orientation, *_numbering(files))
    return _Opened(files[0].parent, np.stack([f.values for f in frames]), first.geometry, checks, _told_by_each(files))


def _told_by_each(files: list[Path]) -> Clue | None:
    """Return the times of frames that each have a sidecar with the time of day, as converters of DICOM write them."""
    try:
        told = [str(read_sidecar(file).get(CLOCK, "")) for file in files]
    except InputError:  # one that cannot be read
        return None
    seconds = np.array([moment_s("", time) for time in told])
    if not np.isfinite(seconds).all():
        return None
    seconds = past_midnight(seconds)
    source = f"sidecars of the frames ({CLOCK})"
    if np.unique(seconds).size < seconds.size:
        return Clue(None, f"{source} with one time for several")
    return Clue(seconds - seconds[0], source)


def _load_frame(path: Path, what: str, *, cure: str = "Give a single volume") -> Stored:
    stored = load(path)
    if stored.components or stored.values.ndim != 3:
        raise InputError(f"{what} {path.name}: a 3D image is needed; found {stored.describe()}. {cure}.")
    return stored


def _refuse_other_grid(what: str, found: Geometry, needed: Geometry) -> None:
    if not found.matches(needed):
        need, have = needed.told_apart(found)
        raise InputError(f"{what}: the scan's grid is needed, {need}; found {have}. Resample it to the scan.")
