"""One image file, read by ITK: voxels and grid exactly as stored, and certainty that all of it was read."""

from __future__ import annotations

import math
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.errors import InputError
from PyPeTLib.file_contents import GZIP_MAGIC, first_bytes
from PyPeTLib.geometry import Geometry
from PyPeTLib.image_faults import itk_reason, refuse_odd_grid
from PyPeTLib.nifti_headers import (
    RAS_TO_LPS,
    complete_nifti,
    nifti_frames,
    qform,
    refuse_exchanged_sides,
    refuse_odd_header,
)
from PyPeTLib.nrrd_headers import (
    nrrd_frames,
    nrrd_header,
    refuse_damaged_nrrd,
    refuse_other_data,
    refuse_other_decimal_point,
)

#: ITK reader of each file extension, longest extension first.
READERS = {".nii.gz": "NiftiImageIO", ".nii": "NiftiImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO"}
#: NRRD ``kinds`` of the axes of a grid; the values along the one axis of another kind are those of a voxel for ITK.
NRRD_GRID_KINDS = ("domain", "space", "time", "none", "???")
#: How the names of NRRD spaces begin whose axes are the patient's; others are those of a scanner, or of nothing.
PATIENT_SPACES = ("left-", "right-")
#: Names of lengths other than mm in NRRD files, which ITK takes for mm.
LENGTHS = ("m", "cm", "dm", "um", "µm", "nm", "in", "meter", "metre", "centimeter", "centimetre", "micron", "inch")
#: Grid axes are perpendicular when no cosine between two of them is larger: beyond, ITK straightens on writing.
AXES_TOLERANCE = 1e-4
#: Where the sform puts a corner further than this share of a voxel from the grid that ITK chose, the user is told.
SFORM_TOLERANCE_VOXELS = 0.1


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
        values = complete_nifti(path, about, values, volumes)
    else:
        refuse_damaged_nrrd(path, values.nbytes, values.nbytes // volumes)
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


def natural_order(name: str) -> list[str | int]:
    """Return a sort key that puts frame2 before frame10.

    Examples
    --------
    >>> sorted(["frame10", "frame2"], key=natural_order)
    ['frame2', 'frame10']
    """
    parts = re.split(r"([0-9]+)", name.lower())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]  # every second one is a number


def extension(path: Path) -> str:
    """Return the extension that tells the format, "" for a file that is no image."""
    return next((e for e in READERS if path.name.lower().endswith(e)), "")


def frames_told(path: Path) -> int:
    """Return how many frames the header of an image file tells of, 1 of a 3D image or where it cannot be read."""
    with suppress(OSError, EOFError, zlib.error, InputError, ValueError, IndexError, struct.error):
        return nifti_frames(path) if extension(path).startswith(".nii") else nrrd_frames(path)
    return 1


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM, by its magic word or its name; one that cannot be opened is not."""
    try:
        return path.is_file() and (path.suffix.lower() in (".dcm", ".ima") or first_bytes(path, 132)[128:] == b"DICM")
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
        refuse_odd_header(path)
    else:
        refuse_other_decimal_point(path)
        refuse_other_data(path)
        _refuse_other_lengths(path)
    with quiet():
        try:
            return reader.Execute()
        except RuntimeError as error:
            raise InputError(f"File {path}: {itk_reason(path, str(error))}") from error


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
        first_bytes(path, 1)
    except OSError as error:
        raise InputError(f"File {path}: cannot be opened: {error.strerror}. Check path and permissions.") from error
    if not extension(path):
        other = f"{path.suffix or 'no extension'}. Convert it to NIfTI"
        found = "one DICOM file: give the folder of the scan" if is_dicom(path) else other
        raise InputError(f"File {path}: {', '.join(READERS)} can be read; found {found}.")
    if extension(path) == ".nii" and first_bytes(path, 2) == GZIP_MAGIC:
        raise InputError(f"File {path}: a name that ends with .nii.gz is needed for gzip; found .nii. Rename it.")
    return READERS[extension(path)]


def _refuse_other_lengths(path: Path) -> None:
    """Refuse NRRD whose lengths are not in mm, as ITK takes them to be: voxels would be ten times too small."""
    fields, _ = nrrd_header(path)
    units = re.findall(r'"([^"]*)"', " ".join(fields.get(name, "") for name in ("units", "space units")))
    found = next((unit for unit in units if unit.strip().lower() in LENGTHS), None)
    if found is not None:
        raise InputError(f"File {path}: lengths in mm are needed; found {found}. Convert it again, in mm.")


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
        place = geometry.describe().partition("origin ")[2] if any(geometry.origin_mm) else "0 mm"
        return Check("orientation", "warn", f"{text}to the back and upwards, and its first voxel to lie at {place}.")
    in_mm = int(about.get("xyzt_units", 0)) & 7 in (0, 2)
    if int(about.get("sform_code", 0)) == 0 or not in_mm:
        return Check("orientation", "not applicable", "The file has no sform in mm.")
    corners, size = geometry.corners_mm(), geometry.size
    sform = np.array([about[f"srow_{row}"].split() for row in "xyz"], dtype=float) * RAS_TO_LPS
    forms = {"sform": sform} | ({"qform": qform(path, about)} if int(about.get("qform_code", 0)) else {})
    if len(forms) > 1:
        refuse_exchanged_sides(path, forms)
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
    """Tell whether a file says where it lies in the patient: ITK takes one that does not to lie along their axes."""
    if extension(path).startswith(".nii"):
        return any(int(about.get(f"{form}_code", 0)) for form in ("sform", "qform"))
    return about.get("NRRD_space", "").startswith(PATIENT_SPACES)
