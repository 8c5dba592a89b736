"""Data sets: many cases, cases that only one side has, and the files of a comparison."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import compare_cases
import numpy as np
import pytest
from compare_cases import MAPS, compared, put_isles, put_run, refused

from PyPeTLib.beside import read_beside
from PyPeTLib.cli import main
from PyPeTLib.cohort import Cohort
from PyPeTLib.compare_tables import markdown, tables_of, write_tables
from PyPeTLib.comparison_files import comparison_files
from PyPeTLib.errors import InputError
from PyPeTLib.outputs import find_runs
from PyPeTLib.pairing import pair_up
from PyPeTLib.read import read_image
from PyPeTLib.reference_maps import case_of, find_references

comparison, data_set, isles, written = (
    compare_cases.comparison,
    compare_cases.data_set,
    compare_cases.isles,
    compare_cases.written,
)


def test_figures_of_a_case_whose_name_would_be_a_formula_are_known(comparison, tmp_path):
    write_tables(Cohort((replace(comparison, name="=1"),), {}), tmp_path)
    (tmp_path / "=1_cbf.png").touch()
    assert "=1_cbf.png" in comparison_files(tmp_path)


def test_a_broken_case_is_listed_and_the_rest_is_done(written):
    _, found = written
    assert found.returncode == 4
    assert "pypet: not compared: sub-03_ses-01: File " in found.stderr
    assert "truncated or damaged" in found.stderr
    assert "# Comparison with reference maps: 2 cases" in found.stdout
    assert "**Not compared** (1 case)\n\n* sub-03_ses-01: File" in found.stdout


def test_cases_that_only_one_side_has_are_named(data_set, runs, tmp_path, capsys):
    """A reference whose run was refused may be the hard case: it does not vanish. Neither does a run without one."""
    references = Path(shutil.copytree(data_set / "isles", tmp_path / "isles"))
    put_isles(references, runs / "other", "sub-04", "ses-01")
    put_isles(references, runs / "other", "sub-05", "ses-02")
    results = Path(shutil.copytree(data_set / "results", tmp_path / "results"))
    put_run(results, runs / "ours", "sub-09_ses-01")
    found = compared(results, references)
    assert found.unused == ("sub-04_ses-01", "sub-05_ses-02")
    assert set(found.failed) == {"sub-03_ses-01", "sub-09_ses-01"}
    assert found.failed["sub-09_ses-01"].startswith("reference maps of this case are needed")  # its name stands before
    assert "**References without results** (2 cases)\n\nsub-04_ses-01, sub-05_ses-02\n" in markdown(found)
    cases = tables_of(found)["cases"]
    assert dict(zip(cases["case"], cases["status"], strict=True)) == {
        **dict.fromkeys(("sub-01_ses-01", "sub-02_ses-01"), "compared"),
        **dict.fromkeys(("sub-03_ses-01", "sub-09_ses-01"), "not compared"),
        **dict.fromkeys(("sub-04_ses-01", "sub-05_ses-02"), "no results"),
    }
    assert main(["compare", str(runs / "ours"), str(references)]) == 0
    assert "**References without results** (4 cases)" in capsys.readouterr().out
    assert compared(data_set / "results", data_set / "isles").unused == ()


def test_the_same_input_gives_the_same_bytes(written, data_set, monkeypatch):
    monkeypatch.chdir(data_set)
    assert main(["compare", "results", "isles", "-o", "again", "--quiet"]) == 4
    names = {path.name for path in written[0].iterdir()}
    assert names == {path.name for path in (data_set / "again").iterdir()}
    for name in names:
        assert (written[0] / name).read_bytes() == (data_set / "again" / name).read_bytes(), name


def test_results_may_lie_among_the_reference_maps(runs, tmp_path):
    """As in BIDS, whose results are derivatives: each case had two maps of one kind, its own and the reference's."""
    for subject in ("sub-01", "sub-02"):
        put_isles(tmp_path, runs / "other", subject, "ses-01")
        put_run(tmp_path / "derivatives", runs / "ours", f"{subject}_ses-01")
    found = compared(tmp_path / "derivatives", tmp_path)
    assert [case.name for case in found.cases] == ["sub-01_ses-01", "sub-02_ses-01"] and not found.failed
    assert all("perfusion-maps" in case.reference.place for case in found.cases)
    assert not any("passed over" in remark for case in found.cases for remark in case.remarks)
    earlier = tmp_path / "derivatives" / "sub-01_ses-01"  # where the run's page is to show the reference, too
    assert "perfusion-maps" in read_beside(tmp_path, "sub-01_ses-01", earlier).source.place


def test_one_mask_does_not_serve_many(data_set, runs, capsys):
    mask = runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz"
    message = refused([data_set / "results", data_set / "isles", "--mask", mask], capsys)
    assert "a mask is of one case; found 3 runs" in message


def test_a_data_set_without_any_case_is_refused(data_set, runs, tmp_path, capsys):
    put_isles(tmp_path, runs / "other", "sub-09", "ses-01")
    message = refused([data_set / "results", tmp_path, "-o", tmp_path / "out"], capsys)
    assert "none of 3 cases can be compared; sub-01_ses-01: reference maps of this case" in message
    assert not (tmp_path / "out").exists()


def test_two_results_of_one_scan_are_refused(runs, tmp_path):
    for name in ("a", "b"):
        put_run(tmp_path / name, runs / "ours", "sub-01_ses-01")
    with pytest.raises(InputError, match="one result a scan is needed; found two of sub-01_ses-01"):
        find_runs(tmp_path)


def test_cases_are_known_by_subject_and_session(data_set):
    assert case_of("sub-01_ses-02_space-ncct") == "sub-01_ses-02"
    assert case_of("sub-01_cbf") == "sub-01"
    found = find_references([data_set / "isles"])
    assert sorted(found) == [f"sub-0{k}_ses-01" for k in (1, 2, 3)]
    assert sorted(found["sub-01_ses-01"]) == sorted(MAPS)


def test_nothing_is_written_where_nothing_is_asked_for_nor_over_other_files(runs, isles, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(runs / "ours"), str(isles), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "notes.txt").touch()
    assert "an empty folder is needed" in refused([runs / "ours", isles, "-o", tmp_path], capsys)
    assert (
        main(["compare", str(runs / "ours"), str(isles), "-o", str(tmp_path), "--overwrite", "--no-figures", "--quiet"])
        == 0
    )
    assert {path.suffix for path in tmp_path.iterdir()} <= {".txt", ".csv", ".md", ".xlsx"}


@pytest.mark.parametrize("wish", ["--overwrite", "--no-figures"])
def test_what_is_about_files_is_refused_where_none_are_written(runs, isles, capsys, wish):
    told = refused([runs / "ours", isles, wish], capsys)
    assert f"{wish} is about the files that are written: -o RESULT is needed; found none" in told


@pytest.fixture
def overwritten(written, tmp_path):
    """The tables of a data set, with files of others beside them and a map that is named as a figure."""
    pytest.importorskip("matplotlib")
    out = Path(shutil.copytree(written[0], tmp_path / "out"))
    others = {"notes.txt", "summary.txt", "sub-09_ses-01_cbf.png", "sub-02_ses-01_mtt.json", "sub-02_ses-01_mtt.png"}
    for name in others:
        (out / name).write_text('{"SpacingMm": [1, 1, 5], "OriginMm": [0, 0, 0]}')
    return out, others


def test_overwriting_leaves_nothing_of_the_comparison_before_and_all_of_others(overwritten, runs):
    """Its tables would contradict the new ones: a case not compared that was, figures of cases that are not there."""
    out, others = overwritten
    before = {path.name for path in out.iterdir()}
    words = ["compare", str(runs / "ours"), str(runs / "other"), "--quiet", "-o", str(out), "--overwrite"]
    assert main(words) == 0
    kept = {path.name for path in out.iterdir()}
    gone = {"summary.csv", "agreement.csv", "failed.csv", "volumes.png"}
    assert before - kept == gone | {f"sub-02_ses-01_{name}.png" for name in MAPS if name != "mtt"}
    assert others <= kept
    assert main([*words, "--no-figures"]) == 0
    assert {path.name for path in out.glob("*.png")} == {name for name in others if name.endswith(".png")}


def test_a_comparison_that_fails_removes_nothing(overwritten, runs, capsys):
    out, _ = overwritten
    before = {path.name for path in out.iterdir()}
    refused([runs / "ours", runs / "ours", "-o", out, "--overwrite"], capsys)
    assert {path.name for path in out.iterdir()} == before


def test_files_are_of_a_comparison_only_where_there_was_one(overwritten):
    out, others = overwritten
    assert comparison_files(out) == {path.name for path in out.iterdir()} - others
    cases = out / "cases.csv"
    cases.write_text("\ufeff" + cases.read_text(encoding="utf-8"), encoding="utf-8")  # as spreadsheets save it
    assert comparison_files(out) == {path.name for path in out.iterdir()} - others
    (out / "cases.csv").write_text("name,age\nx,3\n")
    assert comparison_files(out) == set()
    (out / "cases.csv").unlink()
    assert comparison_files(out) == comparison_files(out / "gone") == set()


def test_figures_among_reference_maps_are_no_maps(written, runs, tmp_path, comparison):
    """Tables may be written into the folder of the reference or of the results: the next call finds what it found."""
    pytest.importorskip("matplotlib")
    ours, other = (Path(shutil.copytree(runs / name, tmp_path / name)) for name in ("ours", "other"))
    for out in (other, other / "comparison", ours):
        shutil.copytree(written[0], out, dirs_exist_ok=True)
        assert (out / "sub-01_ses-01_cbf.png").is_file()
    assert compared(ours, other).cases[0].maps == comparison.maps
    assert list(compared(other, ours).cases[0].maps) == list(comparison.maps)


def test_importing_the_command_is_light():
    code = "import sys, PyPeTLib.cli_compare; print(*{'numpy', 'scipy', 'SimpleITK', 'matplotlib'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []


def test_a_comparison_does_without_scipy_stats(runs, isles):
    """Its import would take longer than the comparison."""
    arguments = ["compare", str(runs / "ours"), str(isles), "--quiet"]
    code = f"import sys; from PyPeTLib.cli import main; main({arguments}); print('scipy.stats' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == ["False"]


def test_pairs_keep_their_inputs(runs):
    image = read_image(runs / "ours" / "sub-01_ses-01_cbf.nii.gz")
    before = image.values.copy()
    pair_up(image, image)
    np.testing.assert_array_equal(image.values, before)
