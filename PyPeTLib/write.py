"""Images, tables and texts to files: each appears whole or not at all, and a run's files appear together."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError, cure_of
from PyPeTLib.file_contents import leading_bytes
from PyPeTLib.files import AXES_TOLERANCE, scan_name, utf8_name
from PyPeTLib.geometry import Geometry, Image, itk_image
from PyPeTLib.scan import Series
from PyPeTLib.typeset import FEW_LETTERS, counted_names, harmless

#: Digits of a number in a table.
TABLE_DIGITS = 6

#: How a text begins that programs for tables take for a formula, and would compute.
FORMULA = ("=", "+", "-", "@", "\t")

#: What the system says where somebody may not write or, on Windows, another program holds a file open, and what to do.
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EBUSY)
MAY_WRITE = "choose a folder that you may write to"
#: What to do where a file was not written in full and nothing says why.
FULL = "it could not be written in full, as on a full disk"

#: Bytes before the voxels of a NIfTI-1 file that has no extension.
NIFTI_HEADER_BYTES = 352


def write_image(
    image: Image, path: str | Path, *, metadata: Mapping[str, object] | None = None, missing: float = 0.0
) -> None:
    """Write an image as NIfTI on exactly its grid, and what its values mean as JSON beside it.

    Parameters
    ----------
    image : Image
        The image. Booleans become uint8, other values but uint8 float32.
    path : str or Path
        A .nii.gz or .nii file; replaced, with the JSON file beside it, where it exists. The same image gives the same
        bytes.
    metadata : mapping, optional
        More entries for the JSON file, which holds ``{"Unit": image.unit, ...}`` and is written where there is a unit
        or metadata.
    missing : float
        What is written for NaN.

    Raises
    ------
    InputError
        If the file cannot be written in full, or the axes are not perpendicular, which NIfTI through ITK cannot keep.
    """
    target = Path(path)
    if not target.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"Image {target}: images are written as .nii.gz or .nii; found {target.suffix!r}. Rename it.")
    _refuse_sheared(image.geometry, f"Image {target}")
    with _replacing(target) as temporary:
        _write_nifti(_stored(image.values, missing), image.geometry, temporary)
    _write_sidecar({"Unit": image.unit, **(metadata or {})} if image.unit or metadata else {}, target)


def write_series(series: Series, path: str | Path) -> None:
    """Write a scan as 4D NIfTI, uneven times as ``VolumeTiming`` in a JSON sidecar.

    Parameters
    ----------
    series : Series
        The scan; written in its own type, or the next that NIfTI knows.
    path : str or Path
        A .nii.gz or .nii file; replaced, with its sidecar, where it exists.

    Raises
    ------
    InputError
        If the file cannot be written, or the axes are not perpendicular.
    """
    import SimpleITK as sitk

    _refuse_sheared(series.geometry, f"Scan {path}")
    image = sitk.GetImageFromArray(_known_to_itk(series.values), isVector=False)
    image.SetSpacing((*series.geometry.spacing_mm, series.interval_s))
    image.SetOrigin((*series.geometry.origin_mm, float(series.times_s[0])))
    direction = np.eye(4)
    direction[:3, :3] = series.geometry.axes
    image.SetDirection(direction.ravel().tolist())
    target = Path(path)
    with _replacing(target) as temporary:
        try:
            sitk.WriteImage(image, utf8_name(temporary))
        except RuntimeError as error:
            raise OSError(errno.ENOSPC, FULL) from error
    uneven = np.ptp(np.diff(series.times_s)) > 1e-6 * series.interval_s
    _write_sidecar({"VolumeTiming": series.times_s} if uneven else {}, target)


def _refuse_sheared(geometry: Geometry, what: str) -> None:
    """Refuse axes that NIfTI through ITK cannot keep: it would straighten them, and voxels would lie elsewhere."""
    if not np.allclose(geometry.axes.T @ geometry.axes, np.eye(3), atol=AXES_TOLERANCE):
        raise InputError(
            f"{what}: perpendicular axes are needed; found {geometry.direction}. Resample it to a grid that has them."
        )


def write_json(data: object, path: str | Path) -> None:
    """Write strict JSON; records become objects, arrays lists, NaN and infinity null, sets sorted lists.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_text(json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def write_csv(columns: Mapping[str, npt.ArrayLike], path: str | Path) -> None:
    """Write a table with a header line; numbers have six significant digits, NaN is an empty cell.

    Parameters
    ----------
    columns : mapping of str to array-like, shape (row,)
        Columns by name, in order; all of one length. A column may hold numbers and text; a text that would be a formula
        in a program for tables has an apostrophe before it.
    path : str or Path
        The file.

    Raises
    ------
    InputError
        If the columns differ in length, or the file cannot be written.
    """
    # as objects, for beside a text numpy would make a text with all digits of a number, and "nan" of a missing one
    rows = {name: np.asarray(column, dtype=object).tolist() for name, column in columns.items()}
    cells = {name: [_cell(value) for value in column] for name, column in rows.items()}
    lengths = {name: len(column) for name, column in cells.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"Table {path}: columns of one length are needed; found {lengths}.")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cells)
    writer.writerows(zip(*cells.values(), strict=True))
    write_text(text.getvalue(), path)


def write_text(text: str, path: str | Path) -> None:
    """Write a text as UTF-8; "?" for what a path holds that is no letter here or that a terminal would obey.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_bytes(harmless(text).encode("utf-8", FEW_LETTERS), path)


def write_bytes(content: bytes, path: str | Path) -> None:
    """Write bytes, such as a picture.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with _replacing(Path(path)) as temporary:
        temporary.write_bytes(content)


@contextmanager
def staged_output(out: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder whose files appear in ``out`` when the block ends without an error, and only then.

    A new ``out`` is the staged folder under its final name, so that all files appear at once. Into a folder that exists
    (it may be a mount point, which cannot be replaced) files are moved one by one, and back if one cannot be: Windows
    lets nobody replace a table that is open in Excel. The staged folder is made first, which finds out before the work
    begins whether there can be any output.

    Parameters
    ----------
    out : str or Path
        The folder. Parents are made.
    overwrite : bool
        Allow a folder that holds files: those of the same names are replaced, others stay.

    Yields
    ------
    Path
        The staged folder.

    Raises
    ------
    InputError
        If ``out`` is a file, holds files although ``overwrite`` is false, cannot be written or has a name that is not
        in UTF-8.
    """
    target = Path(out).absolute()
    utf8_name(target)
    with _explained(target):
        _refuse_occupied(target, overwrite)
        made = [parent for parent in target.parents if not parent.exists()]
    stage = _hidden(target if target.is_dir() else target.parent)
    published = False
    try:
        with _explained(target):
            stage.mkdir(parents=True)
            target.exists()  # raises where the name is too long
        yield stage
        _publish(stage, target)
        published = True
    except InputError as error:  # the user knows no other folder than the one that was asked for
        if str(stage) not in str(error):
            raise
        raise InputError(str(error).replace(str(stage), str(target))) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if not published:
            with suppress(OSError):
                for parent in made:
                    parent.rmdir()


def without_successor(former: Iterable[str], stage: Path) -> set[str]:
    """Return the names of files that none of a staged folder replaces; names that differ in case only are one.

    They are on the file systems of Windows and macOS, where removing the one would remove the other.
    """
    new = {path.name.casefold() for path in stage.iterdir()}
    return {name for name in former if name.casefold() not in new}


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files that an earlier run left in a folder; those that are not there do not matter.

    Raises
    ------
    InputError
        If one cannot be removed.
    """
    for name in names:
        with _explained(folder / name, "removed"):
            (folder / name).unlink(missing_ok=True)


def prefix_of(name: str) -> str:
    """Return what the names of a scan's results begin with: no character that a file's name cannot have.

    Examples
    --------
    >>> prefix_of("sub-01_ses-01_ctp"), prefix_of("Müller/Å: CBF?")
    ('sub-01_ses-01', 'Müller_Å_ CBF_')
    """
    allowed = re.sub(r'^\.|[/\\:*?"<>|\x00-\x1f\x7f]', "_", name)
    return allowed.removesuffix("_ctp") or allowed


def _refuse_occupied(out: Path, overwrite: bool) -> None:
    """Refuse a file, and a folder that holds anything visible unless it may be overwritten."""
    if out.exists() and not out.is_dir():
        raise InputError(f"Output {out}: a folder is needed; found a file. Choose another name.")
    if overwrite or not out.exists():
        return
    present = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if present:
        found = counted_names(present, "file")
        raise InputError(f"Output {out}: an empty folder is needed; found {found}. Choose another or give --overwrite.")


def _publish(stage: Path, out: Path) -> None:
    """Move what is staged to where it belongs; where that fails, the folder is as it was before."""
    if not out.exists():
        with _explained(out):
            stage.rename(out)
        return
    former = _hidden(out)  # not in the stage: what could not be moved back must not be removed with it
    files = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    with ExitStack() as undo:
        for file in files:
            if (out / file).is_file() or (out / file).is_symlink():
                with _explained(out / file, "replaced"):
                    _move(out / file, former / file, undo)
        for file in files:
            with _explained(out / file):
                _move(stage / file, out / file, undo)
        undo.pop_all()
    shutil.rmtree(former, ignore_errors=True)


def _move(source: Path, target: Path, undo: ExitStack) -> None:
    """Move a file into a folder, which is made where it is missing, and let all of it be undone."""
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir()
            undo.callback(folder.rmdir)
    source.replace(target)
    undo.callback(target.replace, source)


def _hidden(folder: Path, ending: str = "") -> Path:
    """Return a new name in a folder for what nobody is to see."""
    return folder / f".pypet-{uuid4().hex[:8]}{ending}"


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the same folder that takes the name ``path`` when the block ends without an error."""
    # ITK takes the format from the ending; the name itself would make one that is long too long
    temporary = _hidden(path.parent, path.name.removeprefix(scan_name(path)))
    try:
        with _explained(path):
            temporary.touch()
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path, done: str = "written") -> Iterator[None]:
    """Turn an error of the operating system into one that names file, reason and cure."""
    try:
        yield
    except OSError as error:
        permitted = MAY_WRITE.capitalize() if done == "written" else f"Close it in other programs, or {MAY_WRITE}"
        cure = permitted if error.errno in FORBIDDEN else cure_of(error, "Choose another folder")
        raise InputError(f"{path} cannot be {done}: {error.strerror or error}. {cure}.") from error


def _write_nifti(stored: npt.NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Let ITK write, and make sure that it did: on a full disk it says nothing."""
    import SimpleITK as sitk

    image = itk_image(stored, geometry)
    try:
        sitk.WriteImage(image, utf8_name(path))
        content = leading_bytes(path, NIFTI_HEADER_BYTES + stored.nbytes + 1)  # one more: up to the checksum
    except (RuntimeError, EOFError, zlib.error) as error:
        raise OSError(errno.ENOSPC, FULL) from error
    if content[NIFTI_HEADER_BYTES:] != stored.tobytes():
        raise OSError(errno.ENOSPC, FULL)


def _write_sidecar(content: Mapping[str, object], image: Path) -> None:
    """Write what belongs to an image as JSON beside it; of nothing, remove what belonged to the image of before."""
    name = scan_name(image) + ".json"
    if content:
        write_json(content, image.with_name(name))
    else:
        remove_files(image.parent, [name])


def _known_to_itk(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values in a type that ITK knows and that holds them: not of the other byte order, nor half a float."""
    native = values.dtype.newbyteorder("=")
    if native.kind == "f":
        native = np.dtype(np.float32 if native.itemsize <= 4 else np.float64)
    return values.astype(np.uint8 if native.kind == "b" else native, copy=False)


def _stored(values: npt.NDArray[Any], missing: float) -> npt.NDArray[Any]:
    """Return values in the type they are written in."""
    if values.dtype in (np.bool_, np.uint8):
        return values.astype(np.uint8)
    return np.where(np.isnan(values), missing, values).astype(np.float32)


def _cell(value: object) -> str:
    """Return a value as the text of a table cell."""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else f"{value:.{TABLE_DIGITS}g}"
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else text


def _plain(value: object) -> object:
    """Return a value made of what JSON knows."""
    if is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, set | frozenset):
        return sorted((_plain(entry) for entry in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
