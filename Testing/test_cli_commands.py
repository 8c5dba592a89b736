"""The other commands: info, settings, phantom, demo."""

import json
from dataclasses import fields

import cli_cases
import nibabel
import numpy as np
import pytest
from cli_cases import refused, with_values

from PyPeTLib.cli import main
from PyPeTLib.errors import InputError
from PyPeTLib.phantom import HeadOptions, TilesOptions
from PyPeTLib.phantom_files import options_from_text
from PyPeTLib.settings import Settings
from PyPeTLib.write import write_series

phantom, scan = cli_cases.phantom, cli_cases.scan


def test_info_says_what_the_scan_is_and_what_would_stop_a_run(phantom, scan, tmp_path, capsys):
    assert main(["info", str(scan)]) == 0
    said = capsys.readouterr().out
    assert "45 frames, 0–44 s, every 1 s; from: NIfTI header" in said
    assert "Axes    to the left, to the back, upwards\n" in said
    image = nibabel.load(scan)
    image.header["pixdim"][4] = 0
    nibabel.save(
        nibabel.Nifti1Image(image.get_fdata().astype(np.int16), image.affine, image.header), tmp_path / "a.nii.gz"
    )
    assert main(["info", str(tmp_path / "a.nii.gz")]) == 2
    said = capsys.readouterr().out
    assert "64×64×4" in said
    assert "--interval" in said


def test_info_of_a_scan_without_numbers_says_so_and_nothing_else(phantom, tmp_path, capsys):
    """No warning of numpy, and no "nan to nan HU"."""
    values = np.full(phantom.series.values.shape, np.nan, dtype=np.float32)
    write_series(with_values(phantom, values), tmp_path / "a.nii.gz")
    assert main(["info", str(tmp_path / "a.nii.gz")]) == 2
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "Values  read as float32, no number" in printed.out
    assert "Stops   Scan a: CT values are needed; found NaN or infinity in every voxel" in printed.out


def test_settings_list_and_file_round_trip(capsys, tmp_path, scan):
    assert main(["settings"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name, _ in Settings().items())
    assert main(["settings", "--toml"]) == 0
    file = tmp_path / "settings.toml"
    file.write_text(capsys.readouterr().out)
    words = ["--settings", str(file), "--no-report", "--quiet"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), *words]) == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_settings_files_are_read_as_shells_and_editors_save_them(tmp_path, capsys, encoding):
    """PowerShell writes UTF-16, Notepad a byte order mark, both other line ends; what is no UTF-8 is told so."""
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    text = f'{mark}# 0 … 5\nmethod = "fSVD"\n'
    (tmp_path / "a.toml").write_text(text, encoding=encoding, newline="\r\n")
    message = refused(["run", "none.nii.gz", "-o", tmp_path / "out", "--settings", tmp_path / "a.toml"], capsys)
    told = "a.toml: a text file is needed; found bytes that are no text in UTF-8."
    told += " Check the path, or save it as text in UTF-8."
    assert (told if encoding == "cp1252" else "one of bayesian") in message


def test_phantom_command_takes_options_and_refuses_unknown_ones(tmp_path, capsys):
    words = ["--set", "size=64,64,3", "--set", "spacing_mm=3.2,3.2,10", "--set", "frames=12", "--set", "residue=box"]
    assert main(["phantom", str(tmp_path / "head"), "--seed", "3", *words]) == 0
    options = json.loads((tmp_path / "head/phantom_options.json").read_text())
    assert (options["seed"], options["size"], options["residue"]) == (3, [64, 64, 3], "box")
    capsys.readouterr()
    assert "residue" in refused(["phantom", tmp_path / "b", "--set", "residu=box"], capsys)
    assert "whole numbers" in refused(["phantom", tmp_path / "b", "--set", "size=a,b"], capsys)
    assert "whole numbers" in refused(["phantom", tmp_path / "b", "--set", "size={[]: 1}"], capsys)
    assert "write 1.5." in refused(["phantom", tmp_path / "b", "--set", "noise_hu=1,5"], capsys)
    assert "finite numbers" in refused(["phantom", tmp_path / "b", "--set", "times_s=0,1e999"], capsys)
    assert "within 100000 s" in refused(["phantom", tmp_path / "b", "--set", "times_s=0,1e300"], capsys)
    assert main(["phantom", str(tmp_path / "tiles"), "--kind", "tiles", "--set", "frames=12"]) == 0


@pytest.mark.parametrize(("kind", "options"), [("head", HeadOptions), ("tiles", TilesOptions)])
def test_phantom_options_are_listed_and_what_is_listed_is_taken(kind, options, capsys):
    assert main(["settings", "--phantom", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    defaults = dict(line.split(" = ") for line in lines[::2])
    assert list(defaults) == [entry.name for entry in fields(options)]
    words = {name: text.split()[0] for name, text in defaults.items()}
    assert options_from_text(options, words) == options()
    assert all(line.strip().count("; ") >= 1 for line in lines[1::2])
    assert "noise_hu = 6.0 HU" in lines or kind == "tiles"
    assert f"--phantom {kind}' lists all" in refused(["phantom", "a", "--kind", kind, "--set", "x=1"], capsys)
    assert "found --phantom" in refused(["settings", "--toml", "--phantom", kind], capsys)


@pytest.mark.parametrize("word", ["{[]: 1}", "-" * 100_000 + "1", "[" * 100_000], ids=["set", "signs", "lists"])
def test_options_of_a_phantom_that_python_cannot_read_are_refused(word):
    with pytest.raises(InputError, match="Phantom option size: comma-separated whole numbers are needed; found '"):
        options_from_text(HeadOptions, {"size": word})


def test_demo_keeps_its_hands_off_a_folder_with_other_files(tmp_path, capsys):
    (tmp_path / "phantom_ctp.nii.gz").write_text("mine")
    assert "--overwrite" in refused(["demo", tmp_path], capsys)
    assert (tmp_path / "phantom_ctp.nii.gz").read_text() == "mine"


def test_the_figures_of_a_demonstration_are_for_research_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("PyPeTLib.demo.run_demo", lambda *_, **__: ({"tmax_bias_s": -1.0}, tmp_path))
    assert main(["demo", str(tmp_path)]) == 0
    before, after = capsys.readouterr().out.split("median error of Tmax in s")
    assert "Research use only" in before and after.split()[:2] == ["−1.00", "0"]


def test_a_demonstration_says_beforehand_what_it_does_and_how_long_it_takes(tmp_path, monkeypatch, capsys):
    said = []
    monkeypatch.setattr(
        "PyPeTLib.demo.run_demo", lambda *_, **__: (said.append(capsys.readouterr().out), ({}, tmp_path))[1]
    )
    assert main(["demo", str(tmp_path / "here")]) == 0
    (before,) = said
    size = "×".join(str(n) for n in (HeadOptions().size[2], *HeadOptions().size[:2]))
    assert f"{size} voxels, {HeadOptions().frames} frames" in before
    assert "about half a minute" in before and str(tmp_path / "here") in before


def test_help_of_the_demonstration_explains_its_folder(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "OUT folder (default: pypet-demo) for scan, truth, results and report" in words and "half a minute" in words


@pytest.mark.parametrize("command", ["run", "compare", "scene", "info", "phantom", "demo", "settings"])
def test_help_of_every_command_begins_with_what_it_does(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    described = capsys.readouterr().out.split("\n\n")[1]
    assert stop.value.code == 0 and described[0].isupper() and "arguments:" not in described
