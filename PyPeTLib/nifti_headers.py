"""What NIfTI files say of themselves that ITK mends or believes in silence."""

from __future__ import annotations

import math
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError
from PyPeTLib.file_contents import GZIP_MAGIC, first_bytes, leading_bytes, unpacked_size
from PyPeTLib.geometry import FloatArray
from PyPeTLib.image_faults import MEND, itk_reason, refuse_left_over

#: NIfTI ``datatype`` of float32 and float64.
NIFTI_FLOATS = ("16", "64")
#: Values a voxel of NIfTI's ``datatype`` RGB24 and RGBA32, which count as one.
NIFTI_COLOURS = {"128": 3, "2304": 4}
#: Two orientations of one file that are turned against each other by more than this, in rad, are not of one patient.
LARGEST_TURN = np.pi / 4.0
#: NIfTI keeps places in RAS, ITK in LPS.
RAS_TO_LPS = np.array([[-1.0], [-1.0], [1.0]])
#: Size of a NIfTI header, in its first four bytes, and where the numbers of its voxels, their type, the bits of one,
#: the sizes of voxels, the place of the first one, whether it has a qform and a sform, and these stand.
NIFTI_SIZE, NIFTI_DIM, NIFTI_DATATYPE, NIFTI_BITPIX, NIFTI_PIXDIM = 348, 40, 70, 72, 76
NIFTI_OFFSET, NIFTI_CODES, NIFTI_FORMS = 108, 252, 256
#: NIfTI ``datatype`` of every type there is.
NIFTI_DATATYPES = (2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304)
#: Gzip makes at most so many bytes of one.
GZIP_RATIO = 1032


def refuse_odd_header(path: Path) -> None:
    """Refuse a NIfTI header that ITK would mend or believe in silence: sizes that are none, voxels that are not there.

    ITK takes 1 mm for a size of a voxel that is none, and makes room for all voxels before it looks for them.

    Raises
    ------
    InputError
        If there is no header, or type, axes, sizes of voxels or orientation are none, or voxels are missing.
    """
    with suppress(OSError, EOFError, zlib.error):  # ITK refuses the file
        head = leading_bytes(path, NIFTI_SIZE)
        orders = [order for order in "<>" if head[:4] == struct.pack(f"{order}i", NIFTI_SIZE)]
        if not orders or len(head) < NIFTI_SIZE:
            raise InputError(f"File {path}: {itk_reason(path, 'no header')}")
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


def nifti_frames(path: Path) -> int:
    """Return the length of the fourth axis that a NIfTI header tells, 1 where there is none."""
    head = leading_bytes(path, NIFTI_SIZE)
    order = "<" if head[:4] == struct.pack("<i", NIFTI_SIZE) else ">"
    axes, *numbers = struct.unpack_from(f"{order}8h", head, NIFTI_DIM)
    return int(numbers[3]) if axes == 4 else 1


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
    packed = first_bytes(path, 2) == GZIP_MAGIC
    found = path.stat().st_size * (GZIP_RATIO if packed else 1)
    if needed > found:
        need = f"{needed} bytes are needed; found {'at most ' if packed else ''}{found}"
        raise InputError(f"File {path}: truncated or damaged: {need}. Copy or convert it again.")


def complete_nifti(path: Path, about: dict[str, str], values: npt.NDArray[Any], volumes: int) -> npt.NDArray[Any]:
    """Refuse a NIfTI file that lacks bytes or was altered: ITK puts zeros in their place and says nothing.

    Parameters
    ----------
    path : Path
        .nii or .nii.gz.
    about : dict of str to str
        What ITK tells of the header.
    values : ndarray, shape (z, y, x), (t, z, y, x) or (z, y, x, component)
        What ITK read.
    volumes : int
        How many of the size of the first three axes they are.

    Returns
    -------
    ndarray
        The values, with the NaN and infinity of the file that ITK reads as 0.

    Raises
    ------
    InputError
        If the file is truncated, damaged, or holds a volume more.
    """
    start = int(float(about["vox_offset"]))
    stored = values.size * int(about["bitpix"]) // 8 // NIFTI_COLOURS.get(about["datatype"], 1)
    needed, volume = start + stored, stored // volumes
    if first_bytes(path, 2) != GZIP_MAGIC:
        found = path.stat().st_size
    elif _checksum_agrees(path, start, values):
        return values
    else:
        found = unpacked_size(path, most=needed + volume)
    if found < needed:
        need = f"{needed} bytes are needed; found {found}"
        raise InputError(f"File {path}: truncated or damaged: {need}. Copy or convert it again.")
    refuse_left_over(path, needed, found, volume)
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


def qform(path: Path, about: dict[str, str]) -> FloatArray:
    """Return the qform of a NIfTI file in LPS, shape (3, 4), in mm a voxel and mm.

    Parameters
    ----------
    path : Path
        .nii or .nii.gz.
    about : dict of str to str
        What ITK tells of the header.
    """
    from scipy.spatial.transform import Rotation

    head = leading_bytes(path, NIFTI_PIXDIM + 4)
    order = "<" if struct.unpack_from("<i", head)[0] == NIFTI_SIZE else ">"
    flip = -1.0 if struct.unpack_from(f"{order}f", head, NIFTI_PIXDIM)[0] < 0.0 else 1.0  # ITK does not tell it
    vector = np.array([float(about[f"quatern_{letter}"]) for letter in "bcd"])
    turn = Rotation.from_quat([*vector, np.sqrt(max(0.0, 1.0 - vector @ vector))]).as_matrix()
    scale = [float(about[f"pixdim[{axis}]"]) for axis in (1, 2, 3)]
    offset = np.array([float(about[f"qoffset_{axis}"]) for axis in "xyz"])
    return np.asarray(np.column_stack([turn * scale * [1.0, 1.0, flip], offset]) * RAS_TO_LPS)


def refuse_exchanged_sides(path: Path, forms: dict[str, FloatArray]) -> None:
    """Refuse a file whose two orientations mirror each other, or turn the head over: a lesion would change sides.

    Parameters
    ----------
    path : Path
        The file, for the message.
    forms : dict of str to ndarray, shape (3, 4)
        Its sform and qform, in LPS.

    Raises
    ------
    InputError
        If they do not agree on the patient's left.
    """
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
