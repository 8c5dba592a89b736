"""Why an image file is refused, in words, and what is refused of any format."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from PyPeTLib.errors import InputError
from PyPeTLib.file_contents import GZIP_MAGIC, first_bytes, leading_bytes

#: There ITK opens NIfTI and NRRD by names in the code page of the process: in 3D Slicer UTF-8, in Python another.
WINDOWS = sys.platform == "win32"
#: ``sizeof_hdr`` of a NIfTI-2 file, in either byte order.
NIFTI_2 = (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
#: Sizes of voxels, and distances from the patient's origin, in mm, that an image can have; far beyond what scanners do.
VOXEL_MM, FURTHEST_MM = (0.01, 200.0), 1e6
#: What to do about a header.
MEND = "Correct the header, or convert the image again"


def itk_reason(path: Path, text: str) -> str:
    """Return in words why ITK refused a file.

    Parameters
    ----------
    path : Path
        The file, which can be opened.
    text : str
        What ITK said.
    """
    if "orthonormal" in text:
        return "perpendicular axes are needed; found a sheared sform (gantry tilt?). Resample it to an upright grid."
    if "dimension of space in which orientation is defined" in text:
        return 'the time axis of an NRRD file must be of kind "list"; found another. Save it as .seq.nrrd.'
    if first_bytes(path, 4) in NIFTI_2 or (first_bytes(path, 2) == GZIP_MAGIC and _unpacked_head(path) in NIFTI_2):
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


def refuse_left_over(path: Path, needed: int, found: int, volume: int) -> None:
    """Refuse a file that holds a whole volume more than its header tells: that would leave out frames, or mix them.

    Parameters
    ----------
    path : Path
        The file, for the message.
    needed, found, volume : int
        Bytes that the header tells of, that there are, and of one volume.

    Raises
    ------
    InputError
        If there is a volume more.
    """
    if found >= needed + volume:
        need = f"{needed} bytes are needed, as its header says; found at least {needed + volume}"
        raise InputError(f"File {path}: {need}. {MEND}.")
