"""Reading a scan: types, dimensions and values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import read_cases
from read_cases import FRAMES, GRIDS, LIST_FIRST, LIST_LAST, SHAPE, UPRIGHT, doubts, head, nrrd, save

from PyPeTLib.errors import InputError
from PyPeTLib.read import inspect_series, read_series

scan = read_cases.scan


def test_integers_keep_their_type_and_values(scan: Path) -> None:
    series = read_series(scan)
    assert series.values.dtype == np.int16
    np.testing.assert_array_equal(series.values, head())
    assert (series.name, series.time_source) == ("sub-01_ctp", "NIfTI header (pixdim[4], s)")
    np.testing.assert_array_equal(series.times_s, np.arange(FRAMES) * 1.5)
    assert doubts(series) == {}


def test_the_view_keeps_the_memory_of_itk_alive(scan: Path) -> None:
    series = read_series(scan)
    total = int(series.values.sum(dtype=int))
    for _ in range(5):
        read_series(scan)
        np.full(series.values.shape, 7, np.int16)
    assert int(series.values.sum(dtype=int)) == total
    assert not series.values.flags.owndata


@pytest.mark.parametrize("stored", [np.float32, np.float64])
def test_floats_become_float32(tmp_path: Path, stored: npt.DTypeLike) -> None:
    series = read_series(save(tmp_path / "a.nii.gz", head(stored)))
    assert series.values.dtype == np.float32
    np.testing.assert_array_equal(series.values, head(np.float32))


@pytest.mark.parametrize("grid", GRIDS)
def test_geometry_is_that_of_the_file(tmp_path: Path, grid: str) -> None:
    path = save(tmp_path / "a.nii.gz", head(), GRIDS[grid])
    geometry = read_series(path).geometry
    index = np.array([[i, j, k] for i in (0, SHAPE[2] - 1) for j in (0, SHAPE[1] - 1) for k in (0, SHAPE[0] - 1)])
    expected = nib.affines.apply_affine(nib.load(path).affine, index) * [-1, -1, 1]
    np.testing.assert_allclose(geometry.corners_mm(), expected, atol=1e-4)
    np.testing.assert_array_equal(read_series(path).values, head())


def test_spacing_is_the_decimal_that_single_precision_stands_for(tmp_path: Path) -> None:
    geometry = read_series(save(tmp_path / "a.nii.gz", head())).geometry
    assert geometry.spacing_mm == (0.9, 0.8, 5.0)


def test_importing_does_not_import_simpleitk_or_scipy() -> None:
    code = "import sys, PyPeTLib.read, PyPeTLib.write; sys.exit(bool({'SimpleITK', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


# Number of dimensions and frames


def test_3d_file_is_no_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a 4D scan is needed; found 3D 20×24×4\. Is this a map or a single frame\?"):
        read_series(save(tmp_path / "a.nii.gz", head()[0]))


def test_5d_file_is_no_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a 4D scan is needed; found 5D 20×24×4×1×12"):
        read_series(save(tmp_path / "a.nii.gz", head()[:, None]))


def test_vector_image_is_no_scan(tmp_path: Path) -> None:
    fields = LIST_FIRST.replace("list", "vector")
    with pytest.raises(InputError, match="found 3D 20×24×4 with 12 values a voxel"):
        read_series(nrrd(tmp_path / "a.nrrd", np.ascontiguousarray(np.moveaxis(head(), 0, -1)), fields))


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="real numbers are needed; found complex"):
        read_series(save(tmp_path / "a.nii.gz", head(np.complex64)))


@pytest.mark.parametrize("frames", [2, 9])
def test_few_frames_are_refused(tmp_path: Path, frames: int) -> None:
    with pytest.raises(InputError, match=f"at least 10 frames are needed; found {frames}"):
        read_series(save(tmp_path / "a.nii.gz", head()[:frames]))


@pytest.mark.parametrize("value", [0, 40])
def test_constant_scan_is_refused(tmp_path: Path, value: int) -> None:
    with pytest.raises(InputError, match=f"found {value} in every voxel"):
        read_series(save(tmp_path / "a.nii.gz", np.full_like(head(), value)))


# Values


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_offset_of_1024_is_subtracted_and_told(tmp_path: Path, dtype: npt.DTypeLike) -> None:
    stored = np.maximum(head(int) + 1024, 0).astype(dtype)
    series = read_series(save(tmp_path / "a.nii.gz", stored))
    np.testing.assert_array_equal(series.values, np.maximum(head(int), -1024))
    (scale,) = doubts(series).values()
    assert (scale.name, scale.status) == ("HU scale", "warn") and "1024 was subtracted" in scale.text


def test_offset_with_values_beyond_int16_is_subtracted(tmp_path: Path) -> None:
    stored = np.maximum(head(int) + 1024, 0).astype(np.uint16)
    stored[3, 2, 12, 10] = 65535
    series = read_series(save(tmp_path / "a.nii.gz", stored))
    assert series.values.max() == 65535 - 1024


def test_skull_stripped_scan_has_no_offset(tmp_path: Path) -> None:
    stripped = np.where((head() > -200) & (head() < 500), np.maximum(head(), 0), 0).astype(np.int16)
    series = read_series(save(tmp_path / "a.nii.gz", stripped))
    np.testing.assert_array_equal(series.values, stripped)
    assert doubts(series) == {}


def test_scan_cut_at_0_hu_has_no_offset(tmp_path: Path) -> None:
    values = np.maximum(head(), 0)
    bone = values > 500
    bone[:, :2] = head()[:, :2] > 0  # the skull base
    values[bone] = np.random.default_rng(1).integers(300, 1200, bone.sum())
    series = read_series(save(tmp_path / "a.nii.gz", values))
    np.testing.assert_array_equal(series.values, values)


@pytest.mark.parametrize(("extension", "dtype"), [(".nii.gz", np.float32), (".nii", ">f4"), (".nii.gz", np.float64)])
def test_missing_values_outside_the_head_are_air(tmp_path: Path, extension: str, dtype: npt.DTypeLike) -> None:
    """ITK reads NaN and infinity in a NIfTI file as 0."""
    values = head(dtype)
    values[:, :, 0, :] = np.nan
    values[2, 0, 1, 0] = np.inf
    image = nib.Nifti1Image(values.T, UPRIGHT, nib.Nifti1Header(endianness=values.dtype.str[0]))
    nib.save(image, tmp_path / f"a{extension}")
    series = read_series(tmp_path / f"a{extension}", interval_s=1.0)
    assert series.values.dtype == np.dtype("=f4")
    assert (series.values[:, :, 0] == -1024).all()
    assert doubts(series)["missing values"].value == FRAMES * SHAPE[0] * SHAPE[2] + 1
    np.testing.assert_array_equal(series.values[:, :, 2:], values[:, :, 2:])


def test_missing_values_outside_a_head_with_offset_are_air(tmp_path: Path) -> None:
    values = head(np.float32) + 1024
    values[:, :, 0, :] = np.nan
    series = read_series(save(tmp_path / "a.nii.gz", np.where(values < 0, 0, values)))
    assert (series.values[:, :, 0] == -1024).all()
    assert set(doubts(series)) == {"HU scale", "missing values"}


def test_a_slice_without_values_between_others_of_the_head_is_told(tmp_path: Path) -> None:
    values = head(np.float32)
    values[:, [0, 2]] = np.nan
    check = doubts(read_series(save(tmp_path / "a.nii.gz", values)))["missing values"]
    assert "found none in 1 of 4 slices (number 3) between others of the head" in check.text
    values[:, 1] = np.nan  # what is left is at one end
    assert "between" not in doubts(read_series(save(tmp_path / "a.nii.gz", values)))["missing values"].text


@pytest.mark.parametrize("frames", [slice(3, 4), slice(None)])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_missing_values_inside_the_head_are_refused(tmp_path: Path, frames: slice, value: float) -> None:
    values = head(np.float32)
    values[frames, :2, 10:12, 8:11] = value  # the lowest slice is no way out of the head
    with pytest.raises(InputError, match="every voxel of the head is needed; found 12 with NaN or infinite"):
        read_series(save(tmp_path / "a.nii.gz", values))


def test_missing_values_in_nrrd_are_refused(tmp_path: Path) -> None:
    values = head(np.float32)
    values[3, 2, 12, 10] = np.nan
    with pytest.raises(InputError, match="every voxel of the head is needed; found 1 with NaN"):
        read_series(nrrd(tmp_path / "a.nrrd", values, LIST_LAST), interval_s=1.0)


def test_scan_of_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in every voxel"):
        read_series(save(tmp_path / "a.nii.gz", np.full_like(head(np.float32), np.nan)))


# What info is told


def test_inspect_describes_a_scan_that_would_be_refused(tmp_path: Path) -> None:
    info = inspect_series(save(tmp_path / "a.nii.gz", head()[:5], interval=0))
    assert (info.frames, info.stored_type, info.times_s, info.time_source) == (5, "int16", None, "")
    assert info.geometry.size == (20, 24, 4)
    assert len(info.problems) == 2
    with pytest.raises(InputError) as error:
        read_series(tmp_path / "a.nii.gz")
    assert str(error.value) == info.problems[0]


def test_inspect_finds_no_problem_in_a_good_scan(scan: Path) -> None:
    info = inspect_series(scan)
    assert info.problems == ()
    assert info.times_s is not None
