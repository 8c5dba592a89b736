"""Units: converted, doubted, or not compared."""

from __future__ import annotations

from dataclasses import replace

import compare_cases
import numpy as np
import pytest
from compare_cases import LABELS, MAPS, compared, maps_in

from PyPeTLib.cohort import Cohort
from PyPeTLib.compare_tables import markdown, tables_of
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.units import in_unit

comparison = compare_cases.comparison


def test_values_per_100_ml_are_converted_by_the_density_of_the_run_and_that_is_said(runs, tmp_path, comparison):
    reference = maps_in(
        tmp_path / "volume", source=runs / "other", cbf=lambda im: Image(im.values * 1.05, im.geometry, "ml/100ml/min")
    )
    found = compared(runs / "ours", reference).cases[0]
    assert found.maps["cbf"].physical.rmse == pytest.approx(comparison.maps["cbf"].physical.rmse, rel=1e-4)
    assert "CBF: Reference: mL/100 mL/min divided by a density of 1.05 g/mL." in found.remarks


def test_units_that_have_nothing_in_common_are_not_compared(runs, tmp_path):
    reference = maps_in(tmp_path / "odd", source=runs / "other", cbf=lambda im: Image(im.values, im.geometry, "counts"))
    found = compared(runs / "ours", reference).cases[0]
    assert np.isnan(found.maps["cbf"].physical.mae)
    assert np.isfinite(found.maps["cbf"].relative.mae)
    assert any("need one unit; found mL/100 g/min and, for the reference, counts." in one for one in found.remarks)


def in_other_unit(folder, source, unit, factor, name="tmax"):
    return maps_in(folder, source=source, **{name: lambda im: Image(im.values * np.float32(factor), im.geometry, unit)})


def test_times_in_minutes_are_converted_and_that_is_said(runs, tmp_path):
    same = compared(runs / "ours", maps_in(tmp_path / "s", source=runs / "other")).cases[0]
    case = compared(runs / "ours", in_other_unit(tmp_path / "min", runs / "other", "min", 1 / 60)).cases[0]
    assert case.maps["tmax"].reference_mean == pytest.approx(same.maps["tmax"].reference_mean, rel=1e-4)
    for found, expected in zip(case.findings.regions, same.findings.regions, strict=True):
        assert found.reference_ml == pytest.approx(expected.reference_ml, rel=0.01, nan_ok=True)
    assert "Tmax: Reference: min multiplied by 60." in case.remarks


@pytest.mark.parametrize(("name", "unit"), [("tmax", "frames"), ("cbf", "counts"), ("cbf", "of the brain mean")])
def test_numbers_of_a_unit_that_does_not_convert_are_in_no_region_and_no_mean(runs, tmp_path, name, unit):
    """Thresholds, criteria and the mean of the reference would be of other things."""
    case = compared(runs / "ours", in_other_unit(tmp_path / "odd", runs / "other", unit, 1 / 60, name)).cases[0]
    kept = [] if name == "tmax" else [f"Tmax > {s} s" for s in (4, 6, 8, 10)]
    assert [region.name for region in case.findings.regions] == kept
    assert case.findings.criteria == {} == case.findings.ratios
    ours, label = case.maps[name].unit, LABELS[MAPS.index(name)]
    left_out = f"{label}: In no region, ratio or criterion: the unit of the reference, '{unit}', does not convert into"
    assert f"{left_out} '{ours}'." in case.remarks
    assert not any("does the reference have this unit?" in one for one in case.remarks if label in one)
    cohort = Cohort((case, replace(case, name="2")), {})
    rows = [line for line in markdown(Cohort((case,), {})).splitlines() if line.startswith("| Mean of the reference")]
    assert len(rows) == 2, "over the brain and over the tissue"
    for row in rows:
        cells = [cell.strip() == "not defined" for cell in row.strip("| ").split("|")[1:]]
        assert cells == [one == name for one in MAPS]
    tables = tables_of(cohort)
    means = dict(zip(tables["metrics"]["map"], tables["metrics"]["Mean of the reference"], strict=True))
    assert [np.isnan(means[one]) for one in LABELS] == [one == label for one in LABELS]
    rows = zip(*(tables["summary"][column] for column in ("what", "metric", "unit", "n")), strict=True)
    assert (label, "Mean of the reference", ours, 0) in rows
    assert unit not in tables["summary"]["unit"]


def test_means_far_apart_raise_the_question_of_the_unit(runs, tmp_path):
    reference = maps_in(tmp_path / "ms", source=runs / "other", mtt=lambda im: Image(im.values * 1e3, im.geometry))
    found = compared(runs / "ours", reference).cases[0]
    assert any(
        one.startswith("MTT: The means are ") and "does the reference have this unit?" in one for one in found.remarks
    )


def test_a_unit_under_the_name_that_bids_has_is_read(runs, tmp_path):
    """It was passed over, and ours assumed: times in ms passed for seconds."""
    reference = maps_in(tmp_path / "bids", source=runs / "other", tmax=lambda im: replace(im, values=im.values * 1e3))
    (reference / "x_tmax.json").write_text('{"Units": "ms"}')
    case = compared(runs / "ours", reference).cases[0]
    assert "Tmax: Reference: ms divided by 1000." in case.remarks
    assert case.maps["tmax"].reference_unit == "s"


@pytest.mark.parametrize(
    ("unit", "wanted", "factor"),
    [
        ("mL/100 mL", "mL/100 g", 1 / 1.05),
        ("mL/100 g", "mL/100 mL", 1.05),
        ("ms", "s", 1e-3),
        ("min", "s", 60.0),
        ("ml/100ml/s", "mL/100 g/min", 60.0 / 1.05),
        ("mL/100 g/s", "mL/100 g/min", 60.0),
        ("mL/g/min", "mL/100 g/min", 100.0),
        ("mL/mL/min", "mL/100 g/min", 100.0 / 1.05),
        ("mL/mL/s", "mL/100 g/min", 6000.0 / 1.05),
        ("ml/s/ml", "mL/100 mL/min", 6000.0),
        ("1/s", "mL/100 g/min", 6000.0 / 1.05),
        ("1/min", "mL/100 mL/min", 100.0),
        ("ml/g/s", "mL/100 g/min", 6000.0),
        ("mL/mL", "mL/100 g", 100.0 / 1.05),
        ("mL/g", "mL/100 mL", 100.0 * 1.05),
        ("ml/min/100cc", "mL/100 g/min", 1 / 1.05),
        ("ml / 100g / min", "mL/100 g/min", 1.0),
        ("cc/100g/min", "mL/100 g/min", 1.0),
        ("cc/100g", "mL/100 mL", 1.05),
        ("%", "mL/100 g", 1 / 1.05),
        ("", "s", 1.0),
        ("ms", "", 1.0),
    ],
)
def test_known_units_are_converted(unit, wanted, factor):
    image = Image(np.full((1, 2, 2), 3.0), Geometry((2, 2, 1), (1.0, 1.0, 1.0)), unit)
    found, remark = in_unit(image, wanted, density_g_ml=1.05)
    np.testing.assert_allclose(found.values, 3.0 * factor)
    assert bool(remark) == (factor != 1.0)
    assert found.unit == (wanted if unit and wanted else unit)


def test_a_reference_that_ends_at_a_number_is_doubted(runs, tmp_path):
    """As exports that hold what a display shows: of Tmax up to 6 s no tissue is later, and nothing was said."""
    cut = maps_in(tmp_path / "cut", source=runs / "other", tmax=lambda im: replace(im, values=im.values.clip(max=6.0)))
    case = compared(runs / "ours", cut).cases[0]
    assert {one.name: one.reference_ml for one in case.findings.regions}["Tmax > 6 s"] == 0.0
    said = [
        remark for remark in case.remarks if remark.endswith("its largest, 6 s: larger ones may have been cut off.")
    ]
    assert len(said) == 1 and said[0].startswith("Tmax: ")
