"""Tables of a comparison and the statistics over the cases: digits, names, CSV and spreadsheet."""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path

import compare_cases
import numpy as np
import pytest
from compare_cases import LABELS, MAPS, compared, maps_in, put_run

from PyPeTLib.cli import main
from PyPeTLib.cohort import Cohort, criterion_agreement, side_agreement, spread, volume_agreement, volumes_of
from PyPeTLib.compare_tables import markdown, tables_of, write_tables
from PyPeTLib.geometry import Image
from PyPeTLib.lesion_facts import MET, RESEARCH_USE
from PyPeTLib.outputs import read_run

comparison, data_set, isles, written = (
    compare_cases.comparison,
    compare_cases.data_set,
    compare_cases.isles,
    compare_cases.written,
)


def test_names_are_neither_tags_nor_rows_of_the_text(comparison):
    named = replace(comparison, name="a|b\n| c |\n<script>alert(1)</script>")
    text = markdown(Cohort((named, comparison), {"d\n# e": "x < 3\n* f"}, ("g\nh",)))
    assert "<script" not in text and "x < 3" in text
    assert not {"| c |", "# e: x < 3", "* f", "h"} & set(text.splitlines())


def test_what_no_sheet_can_hold_is_left_out_of_texts(comparison, tmp_path):
    """A remark on a unit of control characters ended in a traceback."""
    openpyxl = pytest.importorskip("openpyxl")
    write_tables(Cohort((replace(comparison, remarks=("unit \x1b[31ms",)),), {}), tmp_path)
    book = openpyxl.load_workbook(tmp_path / "comparison.xlsx")
    assert "unit ?[31ms" in [cell.value for sheet in book for row in sheet for cell in row]


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_have_every_case_and_the_spread_over_them(written):
    out, _ = written
    metrics = table(out / "metrics.csv")
    assert [(row["case"], row["map"]) for row in metrics] == [(f"sub-0{k}_ses-01", m) for k in (1, 2) for m in LABELS]
    first, second = (float(row["NCC"]) for row in metrics if row["map"] == "CBF")
    assert second == 1.0, "the second is its own reference"
    summary = {(row["what"], row["metric"]): row for row in table(out / "summary.csv")}
    row = summary["CBF", "NCC"]
    assert (row["n"], float(row["mean"])) == ("2", pytest.approx((first + second) / 2, rel=1e-4))
    assert float(row["sd"]) == pytest.approx(abs(first - second) / np.sqrt(2), rel=1e-4)
    assert summary["CBF", "MAE"]["unit"] == "mL/100 g/min"
    assert [row["case"] for row in table(out / "failed.csv")] == ["sub-03_ses-01"]
    assert {row["what"] for row in table(out / "agreement.csv")} >= {"Core", "Tmax > 6 s", "DEFUSE 3", "EXTEND"}
    assert {row["reference"] for row in table(out / "findings.csv") if row["finding"] == "EXTEND"} <= set(MET.values())


def test_large_vessels_decide_no_number_over_the_tissue(runs, tmp_path):
    """Flow of vessels is many times that of tissue: over the brain mask they hide how alike the tissue is."""
    run = read_run(runs / "ours" / "sub-01_ses-01_summary.json", MAPS)
    elsewhere = run.brain.values & ~run.tissue
    assert elsewhere.sum() > 20

    def with_other_vessels(image):
        wrong = np.random.default_rng(0).permutation(image.values[elsewhere]) + 1000.0
        values = image.values.copy()
        values[elsewhere] = np.where(np.arange(wrong.size) % 2, wrong, 0.1)
        return Image(values, image.geometry, image.unit)

    (case,) = compared(runs / "ours", maps_in(tmp_path / "them", source=runs / "ours", cbf=with_other_vessels)).cases
    brain, tissue = case.maps["cbf"], case.tissue["cbf"]
    assert brain.ncc < 0.5 and tissue.ncc == pytest.approx(1.0) and tissue.physical.mae == 0.0
    alone = run.tissue & np.isfinite(run.maps["cbf"].values)
    assert tissue.voxels == alone.sum() < brain.voxels
    assert tissue.mean == pytest.approx(run.maps["cbf"].values[alone].mean(dtype=float), rel=1e-5)
    assert tissue.coverage == pytest.approx(brain.coverage * tissue.voxels / brain.voxels)
    text = markdown(compared(runs / "ours", tmp_path / "them"))
    table = text.partition("**Over the tissue, without CSF, large vessels and bone**")[2].partition("**")[0]
    assert "| Normalized cross-correlation (NCC) | 1.000 " in table and "CBF, mL/100 g/min" in table
    assert "SSIM" not in table


def test_a_run_without_masks_of_what_is_no_tissue_has_no_numbers_over_it(runs, tmp_path):
    folder = Path(shutil.copytree(runs / "ours", tmp_path / "ours"))
    for name in ("csf", "vessel", "bone"):
        (folder / f"sub-01_ses-01_{name}_mask.nii.gz").unlink()
    found = compared(folder, runs / "other")
    assert found.cases[0].tissue == {} and "tissue" not in tables_of(found)
    assert "Over the tissue" not in markdown(found)


def test_tables_over_the_tissue_have_every_case(written):
    out, _ = written
    rows = table(out / "tissue.csv")
    assert [(row["case"], row["map"]) for row in rows] == [(f"sub-0{k}_ses-01", m) for k in (1, 2) for m in LABELS]
    whole = table(out / "metrics.csv")
    assert rows[0].keys() == whole[0].keys()
    assert all(int(part["Voxels"]) < int(all_of["Voxels"]) for part, all_of in zip(rows, whole, strict=True))


def test_numbers_to_read_have_minus_signs_and_no_negative_zero_those_for_programs_plain_digits(comparison, tmp_path):
    core = replace(comparison.findings.regions[0], ml=10.0, reference_ml=10.04)
    late = replace(comparison.findings.regions[1], ml=10.0, reference_ml=12.5)
    case = replace(comparison, findings=replace(comparison.findings, regions=(core, late)))
    one, more = markdown(Cohort((case,), {})), markdown(Cohort((case, replace(case, name="2")), {}))
    for text in (one, more):
        assert not re.search(r"(?<=[\s(])-\d|−0\.0+\b", text)
        assert "−2.5 " in text
    assert "| 0.0 " in one and "| 0.0 " in more
    write_tables(Cohort((case,), {}), tmp_path)
    assert [row["difference_ml"] for row in table(tmp_path / "regions.csv")] == ["-0.04", "-2.5"]


def test_one_case_has_the_digits_of_several(comparison):
    """Zeros at the end are digits: "0.78" beside "0.242" looks like another precision."""
    relative = replace(comparison.maps["cbf"].relative, mae=0.78, rmse=0.242, mse=1.0)
    maps = {**comparison.maps, "cbf": replace(comparison.maps["cbf"], relative=relative)}
    case = replace(comparison, maps=maps)
    one, more = (markdown(Cohort(cases, {})) for cases in ((case,), (case, replace(case, name="2"))))
    for metric, text in (("MAE", "0.780"), ("RMSE", "0.242"), ("MSE", "1.00")):
        rows = [next(line for line in table.splitlines() if f"({metric})" in line) for table in (one, more)]
        cells = [row.strip("| ").split("|")[1].split()[0] for row in rows]
        assert cells == [text, text]


def test_the_spreadsheet_has_the_tables_and_no_formulas(runs, isles, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    assert (
        main(["compare", str(runs / "ours"), str(isles), "-o", str(tmp_path / "out"), "--no-figures", "--quiet"]) == 0
    )
    book = openpyxl.load_workbook(tmp_path / "out" / "comparison.xlsx")
    assert book.sheetnames == ["cases", "metrics", "tissue", "regions", "findings", "remarks"]
    sheet = book["metrics"]
    heads = [cell.value for cell in sheet[2]]
    rows = table(tmp_path / "out" / "metrics.csv")
    assert heads == list(rows[0])
    assert sheet.cell(3, heads.index("NCC") + 1).value == pytest.approx(float(rows[0]["NCC"]), rel=1e-5)
    assert book.properties.modified.year == book.properties.created.year == 1980


def test_every_file_of_numbers_says_that_it_is_for_research_only(written):
    """Sheets in their first row, which stays on the screen; CSV by a file beside it, for programs read every row."""
    out, _ = written
    assert {"regions.csv", "findings.csv", "agreement.csv", "summary.csv"} <= {path.name for path in out.iterdir()}
    assert (out / "RESEARCH_USE_ONLY.txt").read_text(encoding="utf-8").startswith(RESEARCH_USE)
    assert RESEARCH_USE in (out / "comparison.md").read_text(encoding="utf-8")
    openpyxl = pytest.importorskip("openpyxl")
    for sheet in openpyxl.load_workbook(out / "comparison.xlsx"):
        assert [cell.value for cell in sheet[1] if cell.value is not None] == [RESEARCH_USE], sheet.title
        assert (sheet.freeze_panes, sheet.print_title_rows) == ("A3", "$1:$2")


def test_ratios_in_tables_are_numbers_and_empty_where_not_defined(comparison, tmp_path):
    """Programs read them: no words, and not rounded to the two decimals that are printed."""
    ratios = {"HIR": (1 / 3, float("nan")), "CBV index": (float("nan"), 0.75)}
    findings = replace(comparison.findings, ratios=ratios, criteria={"DEFUSE 3": (True, None)})
    write_tables(Cohort((replace(comparison, findings=findings),), {}), tmp_path)
    rows = [(row["finding"], row["results"], row["reference"]) for row in table(tmp_path / "findings.csv")]
    assert rows[:-1] == [("HIR", "0.333333", ""), ("CBV index", "", "0.75"), ("DEFUSE 3", "met", "not known")]
    assert rows[-1] == ("Side of the lesion", *comparison.findings.sides)
    lines = [line.replace(" ", "") for line in (tmp_path / "comparison.md").read_text(encoding="utf-8").splitlines()]
    assert {"|HIR|0.33|notdefined|", "|CBVindex|notdefined|0.75|"} <= set(lines)
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.load_workbook(tmp_path / "comparison.xlsx")["findings"]
    assert [cell.value for cell in sheet[3]][2:] == [pytest.approx(1 / 3), None]


def test_without_openpyxl_it_is_said_what_is_left_out(runs, isles, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("PyPeTLib.compare_tables.excel_available", lambda: False)
    assert main(["compare", str(runs / "ours"), str(isles), "-o", str(tmp_path / "out"), "--no-figures"]) == 0
    assert "left out: Excel needs openpyxl: python -m pip install openpyxl" in capsys.readouterr().err
    assert not (tmp_path / "out" / "comparison.xlsx").exists()


# Statistics over the cases


def metric_row(text, start):
    """Cells of the first row of a table that begins so, by the heads of its columns."""
    lines = text.splitlines()
    place = next(k for k, line in enumerate(lines) if line.startswith(f"| {start}"))
    head = next(line for line in reversed(lines[:place]) if line.startswith("| Metric"))
    heads, cells = ([cell.strip() for cell in line.strip("| ").split("|")] for line in (head, lines[place]))
    return dict(zip(heads, cells, strict=True))


def test_means_over_fewer_cases_than_there_are_say_so(comparison):
    """A case without a map is no case of the mean: neither are all, nor is it one case's number."""
    without = [
        replace(comparison, maps={one: found for one, found in comparison.maps.items() if one not in left_out})
        for left_out in ((), ("cbf",), ("cbf", "cbv"))
    ]
    row = metric_row(markdown(Cohort((without[2], without[1], without[0]), {})), "Normalized")
    assert list(row)[1:] == ["CBF", "CBV", "MTT", "Tmax", "TTP"]
    assert [re.findall(r", N = (\d)", row[label]) for label in LABELS] == [["1"], ["2"], [], []]
    assert all("±" in row[label] for label in LABELS)


def test_no_case_is_left_out_of_a_table_because_of_its_unit(comparison):
    other = replace(comparison.maps["cbf"].physical, unit="counts")
    odd = replace(comparison, maps={**comparison.maps, "cbf": replace(comparison.maps["cbf"], physical=other)})
    text = markdown(Cohort((comparison, odd, comparison), {}))
    row = metric_row(text, "Mean absolute error (MAE)  ")
    assert ", N" not in row["CBF"]
    row = metric_row(text.partition("physical units")[2], "Mean absolute error")
    assert list(row)[1:3] == ["CBF, mL/100 g/min", "CBF, counts"]
    assert ", N = 2)" in row["CBF, mL/100 g/min"] and ", N = 1)" in row["CBF, counts"]
    assert ", N" not in row["CBV, mL/100 g"]


def test_a_run_whose_sidecars_are_lost_has_its_units_and_that_is_said(runs, isles, tmp_path, comparison):
    bare = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    for name in ("cbf", "tmax"):
        (bare / f"sub-01_ses-01_{name}.json").unlink()
    case = compared(bare, isles).cases[0]
    assert case.maps["cbf"].unit == case.maps["cbf"].physical.unit == comparison.maps["cbf"].unit
    said = "no JSON file beside the map tells its unit; that of 'pypet run' is assumed: CBF in mL/100 g/min, Tmax in s."
    assert f"Results: {said}" in case.remarks
    assert not any("is assumed: CBF" in one for one in comparison.remarks)


def test_one_case_of_several_is_told_as_one(comparison):
    failed = {"2": "No reference.", "3": "No reference."}
    one, alone = (markdown(Cohort((comparison,), why)) for why in (failed, {}))
    first, _, rest = one.partition("\n")
    assert first == "# Comparison with reference maps: sub-01_ses-01 (1 of 3 cases)"
    assert rest.startswith(alone.partition("\n")[2].partition("**Remarks**")[0])
    assert "**Ratios, criteria and side**" in one
    assert one.endswith("**Remarks**" + alone.partition("**Remarks**")[2])


def test_limits_of_a_region_of_one_case_are_not_defined_once(comparison):
    """A second case has regions of its own name only."""
    region = replace(comparison.findings.regions[0], name="Other")
    other = replace(comparison, name="2", findings=replace(comparison.findings, regions=(region,)))
    (row,) = (line for line in markdown(Cohort((comparison, other), {})).splitlines() if line.startswith("| Other"))
    assert row.split("|")[6].strip() == "not defined"


def test_spread_and_agreement_of_a_made_up_set(comparison):
    cases = []
    for k, (ours, theirs, met) in enumerate(
        [(10.0, 12.0, (True, True)), (30.0, 30.0, (False, True)), (50.0, 48.0, (False, False))]
    ):
        region = replace(comparison.findings.regions[0], ml=ours, reference_ml=theirs)
        found = replace(comparison.findings, regions=(region,), criteria={"EXTEND": met, "DEFUSE 3": (None, True)})
        cases.append(replace(comparison, name=str(k), findings=found))
    volumes = volumes_of(cases)
    np.testing.assert_array_equal(volumes["Core"], [[10, 12], [30, 30], [50, 48]])
    limits, icc = volume_agreement(volumes["Core"])
    assert (limits.bias, limits.sd) == (0.0, 2.0)
    assert 0.99 < icc < 1.0
    assert criterion_agreement(cases) == {"EXTEND": (3, 2, pytest.approx(0.4))}
    sides = [("left", "left"), ("right", "left"), ("right", "right"), ("left", "unknown"), None]
    sided = [replace(cases[0], findings=replace(cases[0].findings, sides=both)) for both in sides]
    assert side_agreement(sided) == (3, 2, pytest.approx(0.4))
    assert "| Side of the lesion | 3 | 2 of 3       | 0.40          |" in markdown(Cohort(tuple(sided), {}))
    rows = tables_of(Cohort(tuple(sided), {}))["agreement"]
    assert (rows["what"][-1], rows["n"][-1], rows["agreed"][-1]) == ("Side of the lesion", 3, 2.0)
    assert spread([float("nan")]).count == 0
    assert spread([12.3] * 3).sd == 0.0
    assert np.isnan(spread([3.0]).sd)
