"""Files that tests of reading and writing share: a head on grids, as NIfTI and as NRRD."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from PyPeTLib.checks import Check
from PyPeTLib.scan import Series

FRAMES, SHAPE = 12, (4, 24, 20)
UPRIGHT = np.diag([-0.9, -0.8, 5.0, 1.0])


def rotation(about_z: float, about_x: float) -> npt.NDArray[Any]:
    c, s, d, e = np.cos(about_z), np.sin(about_z), np.cos(about_x), np.sin(about_x)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, d, -e], [0, e, d]])


def affine(axes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    out = np.eye(4)
    out[:3, :3] = axes @ np.diag([0.9, 0.8, 5.0])
    out[:3, 3] = 10.0, -20.0, 30.0
    return out


GRIDS = {
    "upright": affine(np.diag([-1.0, -1.0, 1.0])),
    "oblique": affine(rotation(0.3, 0.2)),
    "flipped": affine(rotation(0.3, 0.2) @ np.diag([1.0, 1.0, -1.0])),
    "sagittal": affine(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
}


def head(dtype: npt.DTypeLike = np.int16) -> npt.NDArray[Any]:
    """A brain in a skull in air, with noise, shape (t, z, y, x)."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    radius = np.hypot((y - 11.5) / 11, (x - 9.5) / 9)
    frame = np.select([radius < 0.85, radius < 1.0], [35.0, 900.0], -1000.0)
    noise = np.random.default_rng(0).normal(0, 5, (FRAMES, *SHAPE))
    return np.asarray(np.round(frame + noise).astype(dtype))


def save(path: Path, values: npt.NDArray[Any], grid: npt.NDArray[Any] = UPRIGHT, **header: Any) -> Path:
    """Write (t, z, y, x) as NIfTI; ``interval`` and ``unit`` fill the time axis of the header."""
    image = nib.Nifti1Image(values.T, grid)
    if values.ndim == 4:
        image.header["pixdim"][4] = header.pop("interval", 1.5)
    image.header.set_xyzt_units("mm", header.pop("unit", "sec"))
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def nrrd(path: Path, values: npt.NDArray[Any], fields: str, encoding: str = "raw") -> Path:
    """Write bytes in the array's order with the given header fields."""
    sizes = " ".join(str(n) for n in reversed(values.shape))
    kind = {"i": "short", "f": "float"}[values.dtype.kind]
    text = f"NRRD0005\ntype: {kind}\ndimension: {values.ndim}\nsizes: {sizes}\n{fields}\nendian: little\n"
    data = gzip.compress(values.tobytes()) if encoding == "gzip" else values.tobytes()
    path.write_bytes(f"{text}encoding: {encoding}\n\n".encode() + data)
    return path


DIRECTIONS = "(0.9,0,0) (0,0.8,0) (0,0,5)"
INDEX = " ".join(f"{1.5 * i:g}" for i in range(FRAMES))
SPACE = "space: left-posterior-superior\nspace origin: (1,2,3)"
LIST_LAST = f"{SPACE}\nspace directions: {DIRECTIONS} none\nkinds: domain domain domain list"
LIST_FIRST = f"{SPACE}\nspace directions: none {DIRECTIONS}\nkinds: list domain domain domain"


def doubts(series: Series) -> dict[str, Check]:
    """Return by name what reading a scan found doubtful."""
    return {check.name: check for check in series.checks if check.doubtful}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save(tmp_path / "sub-01_ctp.nii.gz", head())


def tilted(path: Path, qform_code: int = 1) -> Path:
    """A scan whose sform is sheared by a gantry tilt, with an upright qform."""
    shear = UPRIGHT.copy()
    shear[1, 2] = 1.5
    save(path, head())
    image = nib.load(path)
    image.set_qform(UPRIGHT, qform_code)
    image.set_sform(shear, 1)
    image.header["pixdim"][4] = 1.5
    nib.save(nib.Nifti1Image(head().T, None, image.header), path)
    return path
