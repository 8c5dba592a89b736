"""What comes with the report: figures, a reference, PDF, and packages that are missing."""

import json
import sys
from dataclasses import replace

import cli_cases
import numpy as np
import pytest
from cli_cases import refused

from PyPeTLib.beside import Reference, like_ours
from PyPeTLib.cli import main
from PyPeTLib.cli_scan import _maps_to_come
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.outputs import Provenance
from PyPeTLib.pipeline import analyze
from PyPeTLib.read import read_image
from PyPeTLib.settings import Settings
from PyPeTLib.write import write_image

phantom, result, scan = cli_cases.phantom, cli_cases.result, cli_cases.scan


def test_figures_reference_and_pdf_are_written_with_the_report(scan, result, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    printed = []
    monkeypatch.setattr("PyPeTLib.pdf.printer", lambda: "a browser")
    monkeypatch.setattr("PyPeTLib.pdf.write_pdf", lambda page, target: printed.append((page.name, target.name)))
    words = ["--figures", str(tmp_path / "figures"), "--reference", str(result), "--pdf", "--quiet"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), *words]) == 0
    names = ["maps", "reference", "lesions", "uncertainty", "vessels", "curves", "bolus", "motion"]
    wanted = sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == wanted
    assert "Reference CBF" in (tmp_path / "out" / "phantom_report.html").read_text(encoding="utf-8")
    assert printed == [("phantom_report.html", "phantom_report.pdf")]


def test_reference_of_the_report_is_brought_to_our_grid_and_unit(tiny_analysis):
    """A reference on a grid twice as fine and per 100 mL; read as `pypet compare` reads it."""
    ours = tiny_analysis.maps.cbv
    fine = replace(
        ours.geometry,
        size=tuple(2 * n for n in ours.geometry.size[:2]) + ours.geometry.size[2:],
        spacing_mm=tuple(0.5 * mm for mm in ours.geometry.spacing_mm[:2]) + ours.geometry.spacing_mm[2:],
        origin_mm=tuple(
            o - 0.25 * mm for o, mm in zip(ours.geometry.origin_mm[:2], ours.geometry.spacing_mm[:2], strict=True)
        )
        + ours.geometry.origin_mm[2:],
    )
    doubled = ours.values.repeat(2, axis=1).repeat(2, axis=2) * tiny_analysis.settings.tissue_density_g_ml
    ours_all, density = dict(tiny_analysis.maps.items()), tiny_analysis.settings.tissue_density_g_ml
    brought = like_ours(Reference({"cbv": Image(doubled, fine, "mL/100 mL")}), ours_all, density_g_ml=density)
    like = brought.maps["cbv"]
    assert like.unit == ours.unit and like.geometry.matches(ours.geometry)
    inside = np.isfinite(ours.values) & np.isfinite(like.values)
    assert np.median(np.abs(like.values - ours.values)[inside]) < 0.02 * np.nanmedian(ours.values)
    with pytest.raises(InputError, match=r"at least one of the run's maps is needed .* found x"):
        like_ours(Reference({"x": ours}), ours_all, density_g_ml=density)
    assert [remark.split(" voxels")[0] for remark in brought.remarks] == [
        "CBV: Reference on another grid, 128×128×4",
        "CBV: Reference: mL/100 mL divided by a density of 1.05 g/mL.",
    ]


def test_maps_of_a_reference_without_values_are_left_out_of_a_report_as_of_a_comparison(tiny_analysis):
    """Only where none has a value the run is refused, and it is said which map it is of."""
    ours, density = dict(tiny_analysis.maps.items()), tiny_analysis.settings.tissue_density_g_ml
    nothing = replace(ours["cbf"], values=np.zeros_like(ours["cbf"].values))
    both = Reference({"cbf": nothing, "cbv": ours["cbv"]}, Provenance("theirs/x_*"))
    brought = like_ours(both, ours, density_g_ml=density)
    assert list(brought.maps) == ["cbv"]
    said = "CBF: Not shown: the reference has no value where the run has, only NaN or the 0 of a background."
    assert said in brought.remarks
    with pytest.raises(InputError, match=r"^From theirs/x_\*, CBF: Reference: values in voxels are needed; found none"):
        like_ours(replace(both, maps={"cbf": nothing}), ours, density_g_ml=density)
    elsewhere = replace(nothing, geometry=replace(nothing.geometry, origin_mm=(900.0, 0.0, 0.0)))
    with pytest.raises(InputError, match=r"^From theirs/x_\*, CBF: Comparison: a map and a reference that share"):
        like_ours(replace(both, maps={**both.maps, "cbf": elsewhere}), ours, density_g_ml=density)


def test_where_a_reference_is_from_and_what_is_doubtful_about_it_is_told(scan, result, tmp_path, capsys):
    """On the terminal, below its pictures and in the summary, as `pypet compare` tells it."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    folder = tmp_path / "reference"
    folder.mkdir()
    tmax = read_image(result / "phantom_tmax.nii.gz")
    write_image(Image(1e3 * tmax.values, tmax.geometry), folder / "phantom_tmax.nii.gz", missing=float("nan"))
    write_image(read_image(result / "phantom_cbf.nii.gz"), folder / "phantom_cbf.nii.gz")
    about = {"Unit": "mL/100 g/min", "DeconvolutionMethod": "sSVD", "Invalid": ["No bolus."]}
    (folder / "phantom_cbf.json").write_text(json.dumps(about))
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--reference", str(folder)]) == 0
    place = str(folder / "phantom_*")
    told = [
        f"From {place}, by sSVD.",
        "Marked INVALID: No bolus.",
        "Tmax: The reference does not tell its unit; s is assumed.",
    ]
    printed = capsys.readouterr().out
    page = (tmp_path / "out" / "phantom_report.html").read_text(encoding="utf-8")
    for text in told:
        assert f"Reference maps in the report: {text}\n" in printed
        assert text in page
    assert "does the reference have this unit?" in printed and "does the reference have this unit?" in page
    found = json.loads((tmp_path / "out" / "phantom_summary.json").read_text())["reference"]
    assert (found["place"], found["method"], found["invalid"]) == (place, "sSVD", ["No bolus."])
    assert set(found["maps"]) == {"cbf", "tmax"}
    assert told[2] in found["remarks"] and any(one.startswith("Tmax: The means are ") for one in found["remarks"])


def test_what_a_reference_of_a_run_is_refused_for_can_be_mended(scan, result, tmp_path, capsys):
    """`pypet run --reference` takes one folder: no MAP=FILE, no files one by one, no colour bars."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    (tmp_path / "letter.txt").touch()
    words = ["run", scan, "-o", tmp_path / "out", "--reference", tmp_path]
    assert "Name the files so; 'pypet compare' also takes MAP=FILE." in refused(words, capsys)
    for name in ("x_cbf.nii.gz", "x_cbf.nii"):
        write_image(read_image(result / "phantom_cbf.nii.gz"), tmp_path / name)
    assert "Leave one in the folder, or give 'pypet compare' the files one by one." in refused(words, capsys)
    (tmp_path / "x_cbf.nii").rename(tmp_path / "y_cbf.nii")
    assert "Give a folder that holds one set, or 'pypet compare' the files one by one." in refused(words, capsys)


def test_a_run_without_reference_says_so_in_its_summary(result):
    assert json.loads((result / "phantom_summary.json").read_text())["reference"] is None


def test_a_run_has_the_maps_that_its_reference_is_checked_against(tiny_analysis, phantom):
    for run in (tiny_analysis, analyze(phantom.series, Settings(method="oSVD", denoise="gaussian"))):
        expected = _maps_to_come(run.series.geometry, run.settings)
        assert {name: image.unit for name, image in run.maps.items()} == {n: one.unit for n, one in expected.items()}


REFERENCES = {
    "elsewhere": (
        "cbf",
        {"origin_mm": (900.0, 0.0, 0.0)},
        "mL/100 g/min",
        "share voxels are needed; found none in com",
    ),
    "unit": ("cbf", {}, "counts", "mL/100 g/min are needed; found counts. Convert the map."),
    "map": ("delay", {}, "s", "at least one of the run's maps is needed (cbf, cbv, mtt, tmax, ttp); found delay."),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_a_reference_that_cannot_be_shown_is_refused_before_the_analysis(
    phantom, scan, tmp_path, capsys, case, monkeypatch
):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    name, grid, unit, message = REFERENCES[case]
    image = phantom.truth[name]
    write_image(Image(image.values, replace(image.geometry, **grid), unit), tmp_path / f"{name}.nii.gz")
    monkeypatch.setattr("PyPeTLib.pipeline.analyze", lambda *_, **__: pytest.fail("it must not begin"))
    words = ["run", scan, "-o", tmp_path / "out", "--reference", tmp_path, "--method", "oSVD"]
    assert message in refused(words, capsys)
    assert not (tmp_path / "out").exists()


def test_the_reference_of_single_frames_is_that_of_their_folder(result, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    frames = [tmp_path / "sub-01_ctp" / f"{k}.nii.gz" for k in range(12)]
    (tmp_path / "sub-02_cbf.nii.gz").write_bytes((result / "phantom_cbf.nii.gz").read_bytes())
    words = ["run", *frames, "-o", tmp_path / "out", "--reference", tmp_path]
    assert "Case sub-01: reference maps of this case are needed" in refused(words, capsys)


@pytest.mark.parametrize("words", [["--pdf"], ["--reference", "folder"]])
def test_wishes_about_the_report_need_the_report(scan, tmp_path, capsys, words):
    message = refused(["run", scan, "-o", tmp_path / "out", "--no-report", *words], capsys)
    assert f"{words[0]} is about the report: it is needed; found --no-report" in message
    assert not (tmp_path / "out").exists()


def test_pdf_without_a_printer_is_refused_before_the_work(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("PyPeTLib.pdf.BROWSERS", ())
    monkeypatch.setattr("PyPeTLib.pdf._installed", list)
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    assert "Chromium or WeasyPrint is needed" in refused(["run", scan, "-o", tmp_path / "out", "--pdf"], capsys)
    assert not (tmp_path / "out").exists()


def test_a_page_that_does_not_print_costs_the_run_none_of_its_other_files(scan, tmp_path, capsys, monkeypatch):
    """The browser crashed, and what it said last was not in UTF-8; the exit code tells that something is lacking."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    browser = tmp_path / "browser"
    begun = "for word; do case $word in --print-to-pdf=*) : > ${word#*=};; esac; done"
    browser.write_text(f"#!/bin/sh\n{begun}\nprintf 'no caf\\351\\n' >&2\nexit 1\n")
    browser.chmod(0o755)
    monkeypatch.setattr("PyPeTLib.pdf.printer", lambda: str(browser))
    out = tmp_path / "out"
    assert main(["run", str(scan), "-o", str(out), "--pdf", "--quiet", "--method", "oSVD"]) == 4
    told = f"pypet: left out: PDF: {browser} did not print: no caf\ufffd. Print the report from any browser.\n"
    assert capsys.readouterr().err == told
    names = {path.name for path in out.iterdir()}
    assert {"phantom_report.html", "phantom_summary.json"} <= names and "phantom_report.pdf" not in names


def test_without_the_extra_packages_a_run_completes_and_says_what_is_left_out(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("PyPeTLib.report.report_available", lambda: False)
    assert main(["run", str(scan), "-o", str(tmp_path / "out")]) == 0
    assert "needs matplotlib and jinja2: python -m pip install matplotlib jinja2" in capsys.readouterr().err
    assert main(["run", str(scan), "-o", str(tmp_path / "quiet"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert not list((tmp_path / "out").glob("*.html"))
