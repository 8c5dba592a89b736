"""NRRD: sequences, spaces and their headers."""

from __future__ import annotations

import locale
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from read_cases import FRAMES, INDEX, LIST_FIRST, LIST_LAST, head, nrrd, save

from PyPeTLib import files, image_faults
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry
from PyPeTLib.read import read_series


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_slicer_sequence_with_the_list_axis_last_is_read(tmp_path: Path, encoding: str) -> None:
    fields = f'{LIST_LAST}\nunits: "" "" "" "s"\naxis 3 index type:=numeric\naxis 3 index values:={INDEX}'
    series = read_series(nrrd(tmp_path / "scan_ctp.seq.nrrd", head(), fields, encoding))
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)
    assert series.geometry == Geometry((20, 24, 4), (0.9, 0.8, 5.0), (1.0, 2.0, 3.0))
    assert (series.name, series.time_source) == ("scan_ctp", "NRRD header (index values, s)")


def test_slicer_sequence_with_the_list_axis_first_is_read(tmp_path: Path) -> None:
    values = np.ascontiguousarray(np.moveaxis(head(), 0, -1))
    fields = f"{LIST_FIRST}\naxis 0 index unit:=s\naxis 0 index values:={INDEX}"
    series = read_series(nrrd(tmp_path / "a.seq.nrrd", values, fields))
    np.testing.assert_array_equal(series.values, head())
    assert series.values.flags.c_contiguous
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)


@pytest.mark.parametrize("fields", [LIST_LAST, LIST_FIRST])
def test_a_sequence_is_known_by_its_own_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str) -> None:
    """SimpleITK before 2.5.6, which 3D Slicer has, does not tell the kinds of axes."""
    execute = files._execute

    def untold(path: Path) -> Any:
        image = execute(path)
        for key in image.GetMetaDataKeys():
            if key.startswith("NRRD_kinds"):
                image.EraseMetaData(key)
        return image

    values = head() if fields == LIST_LAST else np.ascontiguousarray(np.moveaxis(head(), 0, -1))
    path = nrrd(tmp_path / "a.seq.nrrd", values, fields)
    monkeypatch.setattr(files, "_execute", untold)
    np.testing.assert_array_equal(read_series(path, interval_s=1.0).values, head())
    path = nrrd(path, values, fields.replace("list", "vector"))
    with pytest.raises(InputError, match="found 3D 20×24×4 with 12 values a voxel"):
        read_series(path, interval_s=1.0)


def test_nrrd_is_refused_where_numbers_have_a_comma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process in German, such as one of Qt, ITK reads voxels of 1.8 mm as 1 mm; NIfTI has no numbers in text."""
    path, nifti = nrrd(tmp_path / "a.seq.nrrd", head(), LIST_LAST), save(tmp_path / "a.nii.gz", head())
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ","})
    with pytest.raises(InputError, match=r"decimal points is needed to read NRRD; found ','.*LC_NUMERIC, 'C'"):
        read_series(path, interval_s=1.0)
    assert read_series(nifti).geometry.spacing_mm == (0.9, 0.8, 5.0)


def test_right_anterior_superior_nrrd_is_turned_into_lps(tmp_path: Path) -> None:
    fields = LIST_LAST.replace("left-posterior", "right-anterior")
    geometry = read_series(nrrd(tmp_path / "a.nrrd", head(), fields), interval_s=1.0).geometry
    assert geometry.origin_mm == (-1.0, -2.0, 3.0)
    np.testing.assert_array_equal(geometry.axes, np.diag([-1.0, -1.0, 1.0]))


def test_nrrd_with_a_time_axis_in_3d_space_is_refused(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", head(), LIST_LAST.replace("list", "time"))
    with pytest.raises(InputError, match='must be of kind "list"'):
        read_series(path)
    before = "nrrd's #independent axes (4) doesn't match dimension of space in which orientation is defined (3)"
    assert 'must be of kind "list"' in image_faults.itk_reason(path, before), "as SimpleITK before 2.5.6 says it"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ('spacings: 0.09 0.08 0.5 1.5\nunits: "cm" "cm" "cm" "s"', "cm"),
        (f'{LIST_LAST}\nspace units: "m" "m" "m"\naxis 3 index values:={INDEX}', "m"),
    ],
)
def test_nrrd_in_other_lengths_than_mm_is_refused(tmp_path: Path, fields: str, found: str) -> None:
    """Their numbers were taken for mm: voxels ten times too small."""
    with pytest.raises(InputError, match=rf"lengths in mm are needed; found {found}\. Convert it again"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields))
