"""Masks and single images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import read_cases
from read_cases import SHAPE, UPRIGHT, head, save

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry
from PyPeTLib.read import read_image, read_mask, read_series

scan = read_cases.scan


def test_mask_is_read_as_bool(scan: Path, tmp_path: Path) -> None:
    inside = (head()[0] > 500).astype(np.float32) * 3
    mask = read_mask(save(tmp_path / "m.nii.gz", inside), read_series(scan).geometry, what="AIF mask")
    assert mask.values.dtype == bool
    np.testing.assert_array_equal(mask.values, inside > 0)


def test_mask_on_another_grid_is_refused_with_both_grids(scan: Path, tmp_path: Path) -> None:
    geometry = read_series(scan).geometry
    path = save(tmp_path / "m.nii.gz", head()[0, :, :, 1:])
    with pytest.raises(InputError, match=r"AIF mask .*needed, 20×24×4 voxels.*found 19×24×4 voxels.*Resample"):
        read_mask(path, geometry, what="AIF mask")


def test_mask_with_other_axes_is_refused_with_both_axes(scan: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii.gz", head()[0], UPRIGHT @ np.diag([-1.0, -1.0, 1.0, 1.0]))
    match = r"axes to the left, to the back, upwards; found .*axes to the right, to the front, upwards\. Resample"
    with pytest.raises(InputError, match=match):
        read_mask(path, read_series(scan).geometry, what="AIF mask")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spacing_mm": (2.0001, 2.0, 8.0)}, ("2×2×8 mm", "2.0001×2×8 mm")),
        ({"direction": (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)}, ("upwards", "upwards, turned by up to 37°")),
        (
            {"direction": (1.0, -1e-4, 0.0, 1e-4, 1.0, 0.0, 0.0, 0.0, 1.0)},
            ("axes (1.000000, 0.000", "(1.000000, −0.000"),
        ),
    ],
)
def test_what_differs_between_two_grids_is_to_be_seen(change: dict[str, Any], told: tuple[str, str]) -> None:
    """Both were "2×2×8 mm", or stood there with nine numbers of 17 digits."""
    grid = Geometry((200, 200, 9), (2.0, 2.0, 8.0))
    said = grid.told_apart(replace(grid, **change))
    assert told[0] in said[0] and told[1] in said[1] and said[0] != said[1]


def test_empty_mask_is_refused(scan: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii.gz", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"VOF mask .*at least one voxel is needed; found 0"):
        read_mask(path, read_series(scan).geometry, what="VOF mask")


def test_mask_with_nan_is_refused(scan: Path, tmp_path: Path) -> None:
    values = np.ones(SHAPE, np.float32)
    values[0, 0, :2] = np.nan
    with pytest.raises(InputError, match="a number in every voxel is needed; found 2 without"):
        read_mask(save(tmp_path / "m.nii.gz", values), read_series(scan).geometry, what="AIF mask")


@pytest.mark.parametrize("low", [0.2, -1.0])
def test_values_that_are_no_labels_are_refused(scan: Path, tmp_path: Path, low: float) -> None:
    """Of probabilities every one above 0 would be inside."""
    values = np.zeros(SHAPE, np.float32)
    values[0, 0, :2] = low, 1.0
    match = rf"0 outside and a label inside are needed; found values from {low:g} to 1\. Set a threshold first"
    with pytest.raises(InputError, match=match):
        read_mask(save(tmp_path / "m.nii.gz", values), read_series(scan).geometry, what="AIF mask")


@pytest.mark.parametrize("rest", [5e-4, -5e-4])
def test_rounding_around_a_mask_is_not_inside(scan: Path, tmp_path: Path, rest: float) -> None:
    """As resampling leaves it: it made the whole grid the mask."""
    inside = head()[0] > 500
    geometry = read_series(scan).geometry
    mask = read_mask(save(tmp_path / "m.nii.gz", np.where(inside, 1.0 - rest, rest)), geometry, what="AIF mask")
    np.testing.assert_array_equal(mask.values, inside)
    with pytest.raises(InputError, match="at least one voxel is needed; found 0"):
        read_mask(save(tmp_path / "m.nii.gz", np.full(SHAPE, rest)), geometry, what="AIF mask")


@pytest.mark.parametrize(("text", "outside"), [("1" + "0" * 400, None), ("true", None), ("0", 0.0)])
def test_what_is_outside_the_mask_is_a_number_or_not_known(tmp_path: Path, text: str, outside: float | None) -> None:
    save(tmp_path / "a.nii", head()[0])
    (tmp_path / "a.json").write_text(f'{{"OutsideMask": {text}}}')
    assert read_image(tmp_path / "a.nii").outside == outside


def test_what_float32_does_not_hold_is_infinite_without_a_warning(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full(SHAPE[::-1], 1e300), UPRIGHT), tmp_path / "a.nii")
    assert np.isinf(read_image(tmp_path / "a.nii").values).all()


def test_probabilities_below_a_half_are_no_empty_mask(scan: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii.gz", np.where(head()[0] > 500, 0.4, 0.0))
    with pytest.raises(InputError, match=r"found values from 0\.4 to 0\.4\. Set a threshold first"):
        read_mask(path, read_series(scan).geometry, what="AIF mask")


def test_4d_mask_is_refused(scan: Path) -> None:
    with pytest.raises(InputError, match=r"AIF mask sub-01_ctp\.nii\.gz: a 3D image is needed; found 4D"):
        read_mask(scan, read_series(scan).geometry, what="AIF mask")


def test_image_is_float32_with_the_unit_beside_it(tmp_path: Path) -> None:
    path = save(tmp_path / "cbf.nii.gz", head()[0])
    assert read_image(path).unit == ""
    (tmp_path / "cbf.json").write_text('{"Unit": "mL/100 g/min"}')
    image = read_image(str(path))
    assert (image.values.dtype, image.unit) == (np.dtype(np.float32), "mL/100 g/min")
    np.testing.assert_array_equal(image.values, head()[0])
