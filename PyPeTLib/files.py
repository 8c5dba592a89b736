"""One image file, read by ITK: voxels and grid exactly as stored, and certainty that all of it was read."""

from __future__ import annotations

import codecs
import errno
import glob
import gzip
import json
import locale
import math
import os
import re
import stat
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError, reason_of
from PyPeTLib.records import Check, FloatArray, Geometry

#: There ITK opens NIfTI and NRRD by names in the code page of the process: in 3D Slicer UTF-8, in Python another.
WINDOWS = sys.platform == "win32"

#: ITK reader of each file extension, longest extension first.
READERS = {".nii.gz": "NiftiImageIO", ".nii": "NiftiImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO"}

#: Text of a user, with the mark before it that some programs for tables and text write, or without.
ENCODING = "utf-8-sig"

#: Largest text that is read, in bytes: tables and sidecars have thousands.
LARGEST_TEXT = 2**26

#: First two bytes of a gzip file.
GZIP_MAGIC = b"\x1f\x8b"

#: ``sizeof_hdr`` of a NIfTI-2 file, in either byte order.
NIFTI_2 = (b"\x1c\x02\0\0", b"\0\0\x02\x1c")

#: NRRD ``kinds`` of the axes of a grid; the values along the one axis of another kind are those of a voxel for ITK.
NRRD_GRID_KINDS = ("domain", "space", "time", "none", "???")

#: NIfTI ``datatype`` of float32 and float64.
NIFTI_FLOATS = ("16", "64")

#: Values a voxel of NIfTI's ``datatype`` RGB24 and RGBA32, which count as one.
NIFTI_COLOURS = {"128": 3, "2304": 4}

#: Grid axes are perpendicular when no cosine between two of them is larger: beyond, ITK straightens on writing.
AXES_TOLERANCE = 1e-4

#: Where the sform puts a corner further than this share of a voxel from the grid that ITK chose, the user is told.
SFORM_TOLERANCE_VOXELS = 0.1
#: Two orientations of one file that are turned against each other by more than this, in rad, are not of one patient.
LARGEST_TURN = np.pi / 4.0
#: NIfTI keeps places in RAS, ITK in LPS.
RAS_TO_LPS = np.array([[-1.0], [-1.0], [1.0]])
#: Sizes of voxels, and distances from the patient's origin, in mm, that an image can have; far beyond what scanners do.
VOXEL_MM, FURTHEST_MM = (0.01, 200.0), 1e6
#: Size of a NIfTI header, in its first four bytes, and where the numbers of its voxels, their type, the bits of one,
#: the sizes of voxels, the place of the first one, whether it has a qform and a sform, and these stand.
NIFTI_SIZE, NIFTI_DIM, NIFTI_DATATYPE, NIFTI_BITPIX, NIFTI_PIXDIM = 348, 40, 70, 72, 76
NIFTI_OFFSET, NIFTI_CODES, NIFTI_FORMS = 108, 252, 256
#: NIfTI ``datatype`` of every type there is.
NIFTI_DATATYPES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
#: What to do about a header.
MEND = "Correct the header, or convert the image again"
#: So many letters of a name in a header are shown.
SHOWN_NAME = 60
#: Gzip makes at most so many bytes of one.
GZIP_RATIO = 1032
#: How an NRRD file begins, and the longest header of one, in bytes.
NRRD_MAGIC, LONGEST_HEADER = b"NRRD", 2**24


@dataclass(frozen=True)
class Stored:
    """What an image file holds.

    Parameters
    ----------
    values : ndarray, shape (z, y, x), (t, z, y, x) or (z, y, x, component)
        Voxel values in the file's type, floats as float32; read-only.
    geometry : Geometry
        The grid of the three spatial axes.
    components : str
        What several values in a voxel are: "list" for the frames of an NRRD sequence; "" for one value a voxel.
    orientation : Check
        Whether the file says one thing about where its grid lies.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    components: str
    orientation: Check

    def describe(self) -> str:
        """Return dimensions in the file's order, e.g. "3D 220×220×16"."""
        grid = self.values.shape[:-1] if self.components else self.values.shape
        text = f"{len(grid)}D " + "×".join(str(n) for n in reversed(grid))
        return text + (f" with {self.values.shape[-1]} values a voxel" if self.components else "")


def load(path: Path) -> Stored:
    """Read a NIfTI or NRRD file.

    Parameters
    ----------
    path : Path
        .nii, .nii.gz, .nrrd or .nhdr.

    Returns
    -------
    Stored
        Voxels, not copied where their type stays, and grid.

    Raises
    ------
    InputError
        If the file is missing, of another format, truncated or damaged, or has no perpendicular axes.
    """
    import SimpleITK as sitk

    image = _execute(path)
    values = np.asarray(_Pixels(image, sitk.GetArrayViewFromImage(image)))
    if values.dtype.kind not in "iuf":
        raise InputError(f"File {path}: real numbers are needed; found {image.GetPixelIDTypeAsString()}. Convert it.")
    about = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.isascii()}  # others it cannot find
    volumes = values.size // math.prod(image.GetSize()[:3])
    if extension(path).startswith(".nii"):  # an NRRD file may carry the keys of the NIfTI it was made from
        values = _complete(path, about, values, volumes)
    else:
        _refuse_damaged_nrrd(path, values.nbytes, values.nbytes // volumes)
    geometry = _geometry(path, image)
    components = _kind_of_values(path) if image.GetNumberOfComponentsPerPixel() > 1 else ""
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and told as such
        values = values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values
    return Stored(values, geometry, components, _orientation(path, about, geometry))


def scan_name(path: Path) -> str:
    """Return the name of a file or folder without the extension of an image.

    Examples
    --------
    >>> scan_name(Path("data/sub-01_ctp.seq.nrrd"))
    'sub-01_ctp'
    """
    return re.sub(r"(\.seq)?\.(nii\.gz|nii|nrrd|nhdr|dcm|ima)$", "", path.name, flags=re.IGNORECASE)


def full_path(path: str | Path) -> Path:
    """Return an absolute path without "..", which names nothing; a link keeps its own name.

    Examples
    --------
    >>> full_path("/") == full_path("/..")
    True
    """
    parts = Path(path).absolute().parts
    up = max((place for place, part in enumerate(parts, 1) if part == ".."), default=0)
    # above a link is the folder above what it points to, as for the operating system
    return Path(*parts[:up]).resolve().joinpath(*parts[up:]) if up else Path(*parts)


def extension(path: Path) -> str:
    """Return the extension that tells the format, "" for a file that is no image."""
    return next((e for e in READERS if path.name.lower().endswith(e)), "")


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM, by its magic word or its name; one that cannot be opened is not."""
    try:
        return path.is_file() and (path.suffix.lower() in (".dcm", ".ima") or _head(path, 132)[128:] == b"DICM")
    except OSError:
        return False


def utf8_name(path: Path) -> str:
    """Return a path for ITK, which ends the process where its bytes are no UTF-8.

    Raises
    ------
    InputError
        If they are in another character set.
    """
    name = os.fsencode(path)
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        shown, found = name.decode("utf-8", "replace"), f"the byte 0x{name[error.start]:02x} of another character set"
        raise InputError(f"{shown}: a name in UTF-8 is needed; found {found}. Rename file or folder.") from error


def read_text(path: str | Path, what: str, *, need: str = "a text file") -> str:
    """Return the text of a file that a user gives; ``what`` it is and what is needed are for the message.

    Editors and shells save UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises
    ------
    InputError
        If it cannot be read, or is no such text.
    """
    try:
        with open_file(Path(path)) as file:
            content = file.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise OSError(errno.EFBIG, f"more than {LARGEST_TEXT} bytes")
        marked = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        text = content.decode("utf-16" if marked else ENCODING)
    except (OSError, UnicodeDecodeError) as error:
        found = f"{reason_of(error)}. Check the path, or save it as text in UTF-8"
        raise InputError(f"{what} {path}: {need} is needed; found {found}.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path, what: str, cure: str) -> Any:
    """Return what a JSON file holds; ``what`` it is and what to do about a faulty one are for the message.

    Raises
    ------
    InputError
        If it cannot be read, is no JSON, or has one entry twice with two values.
    """
    text = read_text(path, what, need="a JSON file")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} {path}: a JSON file is needed; found {reason_of(error)}. {cure}.") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the entries of a JSON object; refuse one that is there twice with two values."""
    entries = dict(pairs)
    for name, value in pairs:
        if value is not entries[name] and value != entries[name]:
            raise ValueError(f"{name!r:.60} twice, with two values")
    return entries


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which may never end or never begin, raises OSError as well."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "a pipe or a device, and no file")
    return path.open("rb")


def leading_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a file's content, unpacked where it is gzip."""
    if _head(path, 2) != GZIP_MAGIC:
        return _head(path, count)
    with gzip.open(path) as file:
        return file.read(count)


def nrrd_header(path: Path) -> tuple[dict[str, str], int]:
    """Return fields and key/value pairs of an NRRD header, names in lower case, and where the data begin."""
    fields: dict[str, str] = {}
    with open_file(path) as file:
        while line := file.readline(LONGEST_HEADER).decode("utf-8", errors="replace").strip():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.removeprefix("=").strip()
            if file.tell() > LONGEST_HEADER:
                need = f"a header of at most {LONGEST_HEADER} bytes is needed; found a longer one"
                raise InputError(f"File {path}: {need}. Is it an NRRD file? Convert it again.")
        return fields, file.tell()


def _head(path: Path, count: int) -> bytes:
    with open_file(path) as file:
        return file.read(count)


class _Pixels:
    """The voxels of an ITK image; as the base of an array it keeps the image's memory alive."""

    def __init__(self, image: Any, view: npt.NDArray[Any]) -> None:
        self.image = image
        self.__array_interface__ = view.__array_interface__


def _execute(path: Path) -> Any:
    """Let ITK read the file, its warnings kept from the terminal."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(_reader(path))
    reader.SetFileName(utf8_name(path))
    if extension(path).startswith(".nii"):
        _refuse_odd_header(path)
    else:
        _refuse_other_decimal_point(path)
        _refuse_other_data(path)
    with quiet():
        try:
            return reader.Execute()
        except RuntimeError as error:
            raise InputError(f"File {path}: {_reason(path, str(error))}") from error


def _refuse_other_decimal_point(path: Path) -> None:
    """Refuse NRRD in a process that writes numbers with a comma: there ITK reads 1.8 mm as 1 and says nothing."""
    found = locale.localeconv()["decimal_point"]
    if found != ".":
        raise InputError(
            f"File {path}: a process with decimal points is needed to read NRRD; found '{found}' between the digits of "
            "its numbers, as in the language of the system. Call locale.setlocale(locale.LC_NUMERIC, 'C') before, or "
            "convert the file to NIfTI."
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's warnings from the terminal meanwhile."""
    import SimpleITK as sitk

    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)


def _reader(path: Path) -> str:
    """Return the name of the ITK reader for a file that can be opened."""
    try:
        _head(path, 1)
    except OSError as error:
        raise InputError(f"File {path}: cannot be opened: {error.strerror}. Check path and permissions.") from error
    if not extension(path):
        found = "one DICOM file: give the folder of the scan" if is_dicom(path) else path.suffix or "no extension"
        raise InputError(f"File {path}: {', '.join(READERS)} can be read; found {found}.")
    return READERS[extension(path)]


def _reason(path: Path, text: str) -> str:
    """Return in words why ITK refused a file."""
    if "orthonormal" in text:
        return "perpendicular axes are needed; found a sheared sform (gantry tilt?). Resample it to an upright grid."
    if "dimension of space in which orientation is defined" in text:
        return 'the time axis of an NRRD file must be of kind "list"; found another. Save it as .seq.nrrd.'
    if _head(path, 4) in NIFTI_2 or (_head(path, 2) == GZIP_MAGIC and _unpacked_head(path) in NIFTI_2):
        return "NIfTI-1 can be read; found NIfTI-2. Convert it."
    if WINDOWS and not str(path).isascii():
        letters = "".join(dict.fromkeys(letter for letter in str(path) if not letter.isascii()))
        return (
            f"cannot be read: names of file and folders in ASCII are needed by Python on Windows; found '{letters}'. "
            "Copy it to such a folder, or use 3D Slicer; if that does not help, the file is truncated or damaged."
        )
    return "cannot be read: truncated, damaged or not of the format its name says. Copy or convert it again."


def _unpacked_head(path: Path) -> bytes:
    try:
        return leading_bytes(path, 4)
    except (OSError, EOFError, zlib.error):
        return b""


def _complete(path: Path, about: dict[str, str], values: npt.NDArray[Any], volumes: int) -> npt.NDArray[Any]:
    """Refuse a NIfTI file that lacks bytes or was altered: ITK puts zeros in their place and says nothing."""
    start = int(float(about["vox_offset"]))
    stored = values.size * int(about["bitpix"]) // 8 // NIFTI_COLOURS.get(about["datatype"], 1)
    needed, volume = start + stored, stored // volumes
    if _head(path, 2) != GZIP_MAGIC:
        found = path.stat().st_size
    elif _checksum_agrees(path, start, values):
        return values
    else:
        found = _unpacked_size(path, most=needed + volume)
    if found < needed:
        need = f"{needed} bytes are needed; found {found}"
        raise InputError(f"File {path}: truncated or damaged: {need}. Copy or convert it again.")
    _refuse_left_over(path, needed, found, volume)
    return _with_non_finite(values, leading_bytes(path, needed), start) if about["datatype"] in NIFTI_FLOATS else values


def _with_non_finite(values: npt.NDArray[Any], content: bytes, start: int) -> npt.NDArray[Any]:
    """Put NaN and infinity back, which ITK reads from NIfTI as 0: in a head that looks like water."""
    order = "<" if struct.unpack_from("<i", content)[0] == NIFTI_SIZE else ">"
    stored_type = f"{order}f{(len(content) - start) // values.size}"
    stored = np.frombuffer(content, stored_type, values.size, start).reshape(values.shape)
    finite = np.isfinite(stored)
    return values if finite.all() else np.where(finite, values, stored)


def _checksum_agrees(path: Path, start: int, values: npt.NDArray[Any]) -> bool:
    """Tell whether header and voxels have the checksum that ends a gzip file: sure, and cheaper than unpacking again.

    Files of several gzip members, and voxels that ITK scaled or swapped, do not agree although they are whole.
    """
    with path.open("rb") as file:
        file.seek(-8, 2)
        checksum, size = struct.unpack("<II", file.read(8))
    if (start + values.nbytes) % 2**32 != size:
        return False
    return zlib.crc32(values.data, zlib.crc32(leading_bytes(path, start))) == int(checksum)


def _refuse_odd_header(path: Path) -> None:
    """Refuse a NIfTI header that ITK would mend or believe in silence: sizes that are none, voxels that are not there.

    ITK takes 1 mm for a size of a voxel that is none, and makes room for all voxels before it looks for them.
    """
    with suppress(OSError, EOFError, zlib.error):  # ITK refuses the file
        head = leading_bytes(path, NIFTI_SIZE)
        orders = [order for order in "<>" if head[:4] == struct.pack(f"{order}i", NIFTI_SIZE)]
        if not orders or len(head) < NIFTI_SIZE:
            raise InputError(f"File {path}: {_reason(path, 'no header')}")
        axes, *numbers = struct.unpack_from(f"{orders[0]}8h", head, NIFTI_DIM)
        sizes = struct.unpack_from(f"{orders[0]}3f", head, NIFTI_PIXDIM + 4)
        (kind,) = struct.unpack_from(f"{orders[0]}h", head, NIFTI_DATATYPE)
        if kind not in NIFTI_DATATYPES:
            need = "a datatype of NIfTI is needed"
            raise InputError(f"File {path}: {need}; found {kind}. {MEND}.")
        if not 1 <= axes <= 7 or min(numbers[:axes]) < 1:
            found = f"{axes} of {', '.join(map(str, numbers))}"
            raise InputError(f"File {path}: 1 to 7 axes of 1 or more voxels are needed; found {found}. {MEND}.")
        if not all(np.isfinite(mm) and mm for mm in sizes[:axes]):
            found = ", ".join(f"{mm:.4g}" for mm in sizes)
            raise InputError(f"File {path}: sizes of voxels other than 0 are needed; found {found}. {MEND}.")
        _refuse_odd_forms(path, head, orders[0])
        _refuse_empty_claims(path, head, orders[0], math.prod(numbers[:axes]))


def _refuse_odd_forms(path: Path, head: bytes, order: str) -> None:
    """Refuse an orientation of NaN, infinity or axes without length: ITK takes the other one, or makes one of it."""
    codes = struct.unpack_from(f"{order}2h", head, NIFTI_CODES)
    numbers = np.array(struct.unpack_from(f"{order}18f", head, NIFTI_FORMS))
    for name, code, form in zip(("qform", "sform"), codes, (numbers[:6], numbers[6:]), strict=True):
        flat = name == "sform" and not form.reshape(3, 4)[:, :3].any(axis=0).all()
        if code > 0 and (flat or not np.isfinite(form).all()):
            found = ", ".join(f"{number:.4g}" for number in form)
            raise InputError(f"File {path}: a {name} that says where the axes point is needed; found {found}. {MEND}.")


def _refuse_empty_claims(path: Path, head: bytes, order: str, voxels: int) -> None:
    """Refuse a NIfTI file that cannot hold the voxels that its header tells of."""
    (bits,), (offset,) = (
        struct.unpack_from(f"{order}{kind}", head, place) for kind, place in (("h", NIFTI_BITPIX), ("f", NIFTI_OFFSET))
    )
    needed = (int(offset) if 0 <= offset < 2**31 else 0) + voxels * bits // 8
    packed = _head(path, 2) == GZIP_MAGIC
    found = path.stat().st_size * (GZIP_RATIO if packed else 1)
    if needed > found:
        need = f"{needed} bytes are needed; found {'at most ' if packed else ''}{found}"
        raise InputError(f"File {path}: truncated or damaged: {need}. Copy or convert it again.")


def _refuse_left_over(path: Path, needed: int, found: int, volume: int) -> None:
    """Refuse a file that holds a whole volume more than its header tells: that would leave out frames, or mix them."""
    if found >= needed + volume:
        need = f"{needed} bytes are needed, as its header says; found at least {needed + volume}"
        raise InputError(f"File {path}: {need}. {MEND}.")


def _refuse_other_data(path: Path) -> None:
    """Refuse an NRRD file whose voxels are in what is no file: ITK waits for a pipe, and a device never ends."""
    if _head(path, len(NRRD_MAGIC)) != NRRD_MAGIC:
        return  # ITK refuses it
    for name in _data_files(path):
        try:
            open_file(path.parent / name).close()
        except (OSError, ValueError) as error:
            need = "the file of voxels that its header names is needed"
            found = f"{name[:SHOWN_NAME]!r}: {reason_of(error)}"
            raise InputError(f"File {path}: {need}; found {found}. Copy it beside, or correct the header.") from error


def _data_files(path: Path) -> list[str]:
    """Return the names of the files beside an NRRD header that hold its voxels; of numbered ones those there are."""
    fields, _ = nrrd_header(path)
    named = fields.get("data file", fields.get("datafile", ""))
    if named.upper().startswith("LIST"):
        lines = _head(path, LONGEST_HEADER).decode("utf-8", errors="replace").splitlines()
        after = next(k for k, line in enumerate(lines) if re.match(r"data ?file:\s*LIST", line, re.IGNORECASE))
        return [line.strip() for line in lines[after + 1 :] if line.strip()]
    if "%" in named:
        numbered = path.parent / named.split()[0]
        pattern = re.sub(r"(%[0-9]*[a-z])+", "*", glob.escape(numbered.name))
        return [str(file) for file in numbered.parent.glob(pattern)]
    return [named] if named else []


def _refuse_damaged_nrrd(path: Path, needed: int, volume: int) -> None:
    """Refuse gzip data of an NRRD file that were altered, which ITK checks only in part, and data too many."""
    fields, start = nrrd_header(path)
    names = _data_files(path)
    encoding = fields.get("encoding", "").lower()
    skipped = any(fields.get(name, "0") != "0" for name in ("line skip", "lineskip", "byte skip", "byteskip"))
    if len(names) > 1 or encoding not in ("gzip", "gz", "raw"):
        return
    data, start = (path.parent / names[0], 0) if names else (path, start)
    found = _unpacked_size(data, start, most=needed + volume) if encoding != "raw" else data.stat().st_size - start
    if not skipped:
        _refuse_left_over(path, needed, found, volume)


def _unpacked_size(path: Path, start: int = 0, *, most: int) -> int:
    """Return the bytes in gzip data that begin at ``start``; unpacking checks every checksum.

    It ends where there are ``most``: a few kilobytes may hold a hundred gigabytes.
    """
    size = 0
    try:
        with path.open("rb") as file:
            file.seek(start)
            with gzip.GzipFile(fileobj=file) as unpacked:
                while size < most and (part := unpacked.read(2**20)):
                    size += len(part)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"File {path}: truncated or damaged: {error}. Copy or convert it again.") from error
    return size


def _kind_of_values(path: Path) -> str:
    """Return what several values in a voxel are, by the file's own header: SimpleITK tells it from 2.5.6 on only."""
    kinds = [] if extension(path).startswith(".nii") else nrrd_header(path)[0].get("kinds", "").lower().split()
    return next((kind for kind in kinds if kind not in NRRD_GRID_KINDS), "vector")


def _geometry(path: Path, image: Any) -> Geometry:
    """Return the grid of the first three axes; refuse axes that are not perpendicular."""
    axes = np.reshape(image.GetDirection(), (image.GetDimension(), -1))[:3, :3]
    if image.GetDimension() < 3 or not np.allclose(axes.T @ axes, np.eye(3), atol=AXES_TOLERANCE):
        found = f"{image.GetDimension()} axes with cosines {np.round(axes, 4).tolist()}"
        raise InputError(f"File {path}: three perpendicular axes are needed; found {found}. Resample it.")
    refuse_odd_grid(f"File {path}", image.GetSpacing()[:3], image.GetOrigin()[:3])
    spacing, origin = _meant(image.GetSpacing()), _meant(image.GetOrigin())
    return Geometry(image.GetSize()[:3], spacing, origin, tuple(axes.ravel().tolist()))


def refuse_odd_grid(what: str, spacing_mm: Sequence[float], origin_mm: Sequence[float]) -> None:
    """Refuse voxels of a size, or at a place, that no image of a patient has, as a damaged header tells them.

    Raises
    ------
    InputError
        If a size is not 0.01 to 200 mm, or the first voxel further than 1 km from the origin; NaN is neither.
    """
    low, high = VOXEL_MM
    if all(low <= mm <= high for mm in spacing_mm) and all(abs(mm) <= FURTHEST_MM for mm in origin_mm):
        return
    spacing, origin = (", ".join(f"{mm:.4g}" for mm in both) for both in (spacing_mm, origin_mm))
    raise InputError(
        f"{what}: voxels of {low:g} to {high:g} mm, the first at most {FURTHEST_MM:g} mm from the origin, are needed; "
        f"found {spacing} mm at ({origin}) mm. {MEND}."
    )


def _meant(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the decimals that a single-precision header stands for: NIfTI keeps 3.2 mm as 3.2000000477."""
    x, y, z = (float(str(np.float32(one))) if float(np.float32(one)) == one else one for one in values[:3])
    return x, y, z


def _orientation(path: Path, about: dict[str, str], geometry: Geometry) -> Check:
    """Tell where sform and qform put the grid in different places; refuse where they exchange the patient's sides.

    ITK takes the sform, and where that is sheared the qform.
    """
    if not _placed(path, about):
        text = f"{path.name} does not say where it lies: its axes were taken for those of the patient, to the left, "
        return Check("orientation", "warn", f"{text}to the back and upwards, and its first voxel to lie at 0 mm.")
    in_mm = int(about.get("xyzt_units", 0)) & 7 in (0, 2)
    if int(about.get("sform_code", 0)) == 0 or not in_mm:
        return Check("orientation", "not applicable", "The file has no sform in mm.")
    corners, size = geometry.corners_mm(), geometry.size
    sform = np.array([about[f"srow_{row}"].split() for row in "xyz"], dtype=float) * RAS_TO_LPS
    forms = {"sform": sform} | ({"qform": _qform(path, about)} if int(about.get("qform_code", 0)) else {})
    if len(forms) > 1:
        _refuse_exchanged_sides(path, forms)
    upright = Geometry(size, (1.0, 1.0, 1.0)).corners_mm()
    places = [upright @ form[:, :3].T + form[:, 3] for form in forms.values()]
    off_grid = [float(np.abs(place - corners).max()) for place in places]
    apart = max(off_grid)
    if apart <= SFORM_TOLERANCE_VOXELS * min(geometry.spacing_mm):
        return Check("orientation", "pass", f"{' and '.join(forms)} of the file agree with the grid.", apart)
    used = list(forms)[int(np.argmin(off_grid))]
    tilted = " (gantry tilt?)" if used == "qform" else ""
    text = f"{path.name}: sform and qform differ by up to {apart:.3g} mm{tilted}; the {used} was used."
    return Check("orientation", "warn", text, apart)


def _placed(path: Path, about: dict[str, str]) -> bool:
    """Tell whether a file says where it lies: ITK takes one that does not to lie along the patient's axes at 0 mm."""
    if extension(path).startswith(".nii"):
        return any(int(about.get(f"{form}_code", 0)) for form in ("sform", "qform"))
    return "NRRD_space" in about


def _qform(path: Path, about: dict[str, str]) -> FloatArray:
    """Return the qform of a NIfTI file in LPS, shape (3, 4)."""
    from scipy.spatial.transform import Rotation

    head = leading_bytes(path, NIFTI_PIXDIM + 4)
    order = "<" if struct.unpack_from("<i", head)[0] == NIFTI_SIZE else ">"
    flip = -1.0 if struct.unpack_from(f"{order}f", head, NIFTI_PIXDIM)[0] < 0.0 else 1.0  # ITK does not tell it
    vector = np.array([float(about[f"quatern_{letter}"]) for letter in "bcd"])
    turn = Rotation.from_quat([*vector, np.sqrt(max(0.0, 1.0 - vector @ vector))]).as_matrix()
    scale = [float(about[f"pixdim[{axis}]"]) for axis in (1, 2, 3)]
    offset = np.array([float(about[f"qoffset_{axis}"]) for axis in "xyz"])
    return np.asarray(np.column_stack([turn * scale * [1.0, 1.0, flip], offset]) * RAS_TO_LPS)


def _refuse_exchanged_sides(path: Path, forms: dict[str, FloatArray]) -> None:
    """Refuse a file whose two orientations mirror each other, or turn the head over: a lesion would change sides."""
    sform, qform = (form[:, :3] / np.linalg.norm(form[:, :3], axis=0) for form in forms.values())
    between = sform @ np.linalg.inv(qform)
    mirrored = np.linalg.det(between) < 0.0
    if not mirrored and np.trace(between) >= 1.0 + 2.0 * np.cos(LARGEST_TURN):
        return
    found = "one mirrors the other" if mirrored else "one turns the head against the other"
    raise InputError(
        f"File {path}: sform and qform that agree on the patient's left are needed; found that {found}. Correct the "
        "header, or convert the scan again from DICOM."
    )
