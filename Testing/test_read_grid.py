"""Where a file says that its voxels lie: two orientations, none, sheared ones, and axes in another order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from read_cases import (
    DIRECTIONS,
    FRAMES,
    GRIDS,
    LIST_LAST,
    SHAPE,
    SPACE,
    UPRIGHT,
    doubts,
    head,
    nrrd,
    rotation,
    save,
    tilted,
)

from PyPeTLib.errors import InputError
from PyPeTLib.read import inspect_series, read_oriented, read_series


def test_sheared_sform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="perpendicular axes are needed; found a sheared sform"):
        read_series(tilted(tmp_path / "a.nii.gz", qform_code=0))


def test_sheared_sform_beside_a_qform_is_a_warning(tmp_path: Path) -> None:
    series = read_series(tilted(tmp_path / "a.nii.gz"))
    assert doubts(series)["orientation"].value == pytest.approx(1.5 * (SHAPE[0] - 1), rel=1e-4)
    assert "the qform was used" in doubts(series)["orientation"].text


def of_two_forms(path: Path, sform: npt.NDArray[Any], qform: npt.NDArray[Any]) -> Path:
    save(path, head())
    image = nib.load(path)
    image.set_qform(qform, 1)
    image.set_sform(sform, 1)
    image.header["pixdim"][4] = 1.5
    nib.save(nib.Nifti1Image(head().T, None, image.header), path)
    return path


def turned(degrees: float) -> npt.NDArray[Any]:
    """The upright grid, turned about the axis of the body."""
    turn = np.eye(4)
    turn[:3, :3] = rotation(np.radians(degrees), 0.0)
    return np.asarray(turn @ UPRIGHT)


@pytest.mark.parametrize("mirror", [np.diag([-1, 1, 1, 1]), np.diag([1, 1, -1, 1]), np.diag([-1, -1, 1, 1])])
@pytest.mark.parametrize("swapped", [False, True])
def test_two_orientations_that_exchange_the_sides_are_refused(
    tmp_path: Path, mirror: npt.NDArray[Any], swapped: bool
) -> None:
    """Whichever of them is right, one of them puts a lesion on the wrong side, or the head on its vertex."""
    forms = [mirror @ UPRIGHT, UPRIGHT][:: -1 if swapped else 1]
    with pytest.raises(InputError, match="sform and qform that agree on the patient's left are needed; found that one"):
        read_series(of_two_forms(tmp_path / "a.nii.gz", *forms))


def test_a_file_that_does_not_say_where_it_lies_is_told(tmp_path: Path) -> None:
    """ITK takes it to lie along the patient's axes at 0 mm."""
    save(tmp_path / "a.nii.gz", head())
    image = nib.load(tmp_path / "a.nii.gz")
    image.set_qform(UPRIGHT, 0)
    image.set_sform(UPRIGHT, 0)
    image.header["pixdim"][4] = 1.5
    nib.save(nib.Nifti1Image(head().T, None, image.header), tmp_path / "a.nii.gz")
    assert "a.nii.gz does not say where it lies" in doubts(read_series(tmp_path / "a.nii.gz"))["orientation"].text
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    placed = "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n"
    scanner = placed.replace("left-posterior-superior", "scanner-xyz")
    for space, doubtful in (("spacings: 1 1 2\n", True), (placed, False), (scanner, True)):
        (tmp_path / "b.nrrd").write_bytes(f"{header}{space}\n".encode() + bytes(8))
        assert read_oriented(tmp_path / "b.nrrd")[1].doubtful == doubtful
    moved = "space dimension: 3\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (-7.5,4,30)\n"
    for space, place in (("spacings: 1 1 2\n", "0 mm"), (moved, r"\(−7\.5, 4, 30\) mm")):
        (tmp_path / "b.nrrd").write_bytes(f"{header}{space}\n".encode() + bytes(8))
        assert re.search(rf"and its first voxel to lie at {place}\.$", read_oriented(tmp_path / "b.nrrd")[1].text)


def test_two_orientations_that_differ_a_little_are_told_and_which_was_used(tmp_path: Path) -> None:
    series = read_series(of_two_forms(tmp_path / "a.nii.gz", turned(10.0), UPRIGHT))
    assert doubts(series)["orientation"].status == "warn"
    assert "the sform was used" in doubts(series)["orientation"].text
    assert abs(series.geometry.axes[0, 1]) == pytest.approx(np.sin(np.radians(10.0)), abs=1e-3)
    for degrees in (0.0, 30.0, 180.0):
        same = read_series(of_two_forms(tmp_path / f"{degrees:g}.nii.gz", turned(degrees), turned(degrees)))
        check = next(one for one in same.checks if one.name == "orientation")
        assert (check.status, check.text) == ("pass", "sform and qform of the file agree with the grid.")


@pytest.mark.parametrize(
    ("directions", "origin"),
    [
        ("(1e-30,0,0) (0,1e-30,0) (0,0,1e-30)", "(0,0,0)"),
        ("(1e9,0,0) (0,1e9,0) (0,0,1e9)", "(0,0,0)"),
        (DIRECTIONS, "(1e300,0,0)"),
    ],
)
def test_voxels_that_no_patient_has_are_refused(tmp_path: Path, directions: str, origin: str) -> None:
    fields = f"{SPACE.replace('(1,2,3)', origin)}\nspace directions: {directions} none\nkinds: {'domain ' * 3}list"
    with pytest.raises(InputError, match=r"a\.nrrd: voxels of 0\.01 to 200 mm, .* are needed; found .*1e"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields), interval_s=1.0)


def test_sheared_nrrd_is_refused(tmp_path: Path) -> None:
    fields = LIST_LAST.replace("(0,0,5)", "(0,1,5)")
    with pytest.raises(InputError, match="three perpendicular axes are needed"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields))


@pytest.mark.parametrize(("place", "axis"), [(3, "x"), (2, "y"), (1, "z")])
@pytest.mark.parametrize("kept", [True, False])
def test_time_on_another_axis_is_told_with_what_was_found(tmp_path: Path, place: int, axis: str, kept: bool) -> None:
    """It ended as no skull, as too few frames, or as a brain that not every frame shows."""
    slices = head()
    for z in range(SHAPE[0]):
        slices[:, z] = np.roll(slices[:, z], 5 * z, axis=-1)
    # space turned round too, as where an array (t, z, y, x) is written as (x, y, z, t)
    values = np.moveaxis(slices, 0, place) if kept else np.moveaxis(slices.T, 3, place)
    path = save(tmp_path / "a.nii.gz", np.ascontiguousarray(values))
    frames, *size = values.shape
    grid = "×".join(str(n) for n in reversed(size))
    found = f"{grid} voxels of .* in {frames} frames, of which axis {axis}, {FRAMES} long, is like time"
    with pytest.raises(InputError, match=f"axes in the order x, y, z, time are needed; found {found}. Save it"):
        read_series(path)
    assert "axes in the order" in inspect_series(path).problems[0]


@pytest.mark.parametrize("grid", GRIDS)
def test_axes_of_a_scan_in_any_orientation_are_in_order(tmp_path: Path, grid: str) -> None:
    values = head()
    values[:, :, :, 5:] = values[:, :, :, :-5]  # and where it moved, or a frame shows no head
    values[3] = -1000
    assert inspect_series(save(tmp_path / "a.nii.gz", values, GRIDS[grid])).problems == ()
