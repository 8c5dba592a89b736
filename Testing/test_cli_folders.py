"""Where results go: folders of other files, earlier results, disks that are full."""

from pathlib import Path

import cli_cases
import pytest
from cli_cases import refused

from PyPeTLib.cli import main
from PyPeTLib.read import read_series
from PyPeTLib.result_files import holds_other_runs_only

phantom, result, scan = cli_cases.phantom, cli_cases.result, cli_cases.scan


def test_existing_results_are_kept_without_overwrite_and_replaced_with_it(scan, result, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "phantom_cbf.nii.gz").write_text("old")
    assert "--overwrite" in refused(["run", scan, "-o", out, "--no-report"], capsys)
    assert (out / "phantom_cbf.nii.gz").read_text() == "old"
    assert main(["run", str(scan), "-o", str(out), "--no-report", "--quiet", "--overwrite"]) == 0
    assert (out / "phantom_cbf.nii.gz").read_bytes() == (result / "phantom_cbf.nii.gz").read_bytes()
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "", "-o", "out"],
        ["run", "scan.nii.gz", "-o", ""],
        ["run", "scan.nii.gz", "-o", "out", "--stages", ""],
        ["info", ""],
        ["phantom", ""],
        ["demo", ""],
        ["compare", "", "reference"],
        ["compare", "out", "reference", "-o", ""],
    ],
)
def test_an_empty_name_is_not_this_folder(words, tmp_path, monkeypatch, capsys):
    """As of a shell variable that is not set."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "a name is needed; found ''" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_unwritable_output_is_refused_before_the_work(scan, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    refused(["run", scan, "-o", file], capsys)
    refused(["run", scan, "-o", file / "below"], capsys)
    told = "x cannot be written: File name too long. Choose a shorter name.\n"
    for long in (tmp_path / ("x" * 300), tmp_path / "new" / ("x" * 300)):
        assert refused(["run", scan, "-o", long], capsys).endswith(told)


def test_disk_full_leaves_nothing_behind(scan, tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in refused(["run", scan, "-o", tmp_path / "out", "--no-report"], capsys)
    assert not list(tmp_path.iterdir())


def test_overwriting_leaves_no_results_of_an_earlier_run(scan, tmp_path):
    words = ["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", "--overwrite"]
    assert main([*words, "--set", "normalise=brain-mean"]) == 0
    assert (tmp_path / "out/phantom_cbf_relative.nii.gz").exists()
    assert main(words) == 0
    assert not list((tmp_path / "out").glob("*_relative*"))


def test_overwriting_removes_what_another_method_does_not_write_and_nothing_else(scan, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    out, figures = tmp_path / "out", tmp_path / "figures"
    words = ["run", str(scan), "-o", str(out), "--figures", str(figures), "--quiet", "--overwrite"]
    assert main([*words, "--set", "denoise=gaussian"]) == 0
    foreign = [out / "phantom_notes.txt", out / "other_cbf_sd.nii.gz", figures / "reference.png"]
    for path in (*foreign, out / "phantom_scene.mrb"):
        path.write_text("a file")
    assert {"uncertainty.png", "uncertainty.svg", "motion.svg"} <= {path.name for path in figures.iterdir()}
    assert main([*words, "--method", "oSVD", "--set", "motion=off", "--no-report"]) == 0
    kept = {path.name for folder in (out, figures) for path in folder.iterdir()}
    gone = ("phantom_cbf_sd.json", "phantom_delay.nii.gz", "phantom_scene.mrb", "phantom_motion.csv")
    assert not kept & {*gone, "phantom_report.html", "uncertainty.png", "uncertainty.svg", "motion.png", "motion.svg"}
    assert [path.read_text() for path in foreign] == ["a file"] * 3


def test_results_of_many_scans_may_be_in_one_folder(scan, tmp_path, capsys):
    """As `pypet compare` takes them; what else a folder holds, and the scan's own results, are kept as before."""
    other = tmp_path / "sub-02_ctp.nii.gz"
    other.write_bytes(scan.read_bytes())
    out = tmp_path / "out"
    words = ["-o", str(out), "--no-report", "--quiet", "--method", "oSVD", "--interval", "1"]
    assert main(["run", str(scan), *words]) == 0
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(["run", str(other), *words]) == 0
    assert {name: (out / name).read_bytes() for name in first} == first
    assert {path.name for path in out.iterdir()} == {*first, *(name.replace("phantom", "sub-02") for name in first)}
    assert "an empty folder is needed" in refused(["run", other, *words], capsys)
    (out / "sub-02_summary.json").unlink()
    assert "an empty folder is needed" in refused(["run", other, *words], capsys), "maps of nobody"


def test_results_of_a_scan_whose_name_differs_in_case_only_are_its_own(tmp_path):
    """On the file systems of Windows and macOS a second run replaced those of another patient without --overwrite."""
    (tmp_path / "Sub-01_summary.json").touch()
    assert holds_other_runs_only(tmp_path, "sub-02")
    assert not holds_other_runs_only(tmp_path, "sub-01")


def test_results_of_a_lone_file_of_a_folder_are_not_replaced_unasked(scan, tmp_path, capsys):
    """They have the name of the file, not that of the folder: a second run took them for those of another scan."""
    folder, out = tmp_path / "ctp", tmp_path / "out"
    folder.mkdir()
    (folder / "sub-03_ctp.nii.gz").write_bytes(scan.read_bytes())
    words = ["run", str(folder), "-o", str(out), "--no-report", "--quiet", "--method", "oSVD", "--interval", "1"]
    assert main(words) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "sub-03_summary.json" in before
    assert "an empty folder is needed" in refused(words, capsys)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_name_that_is_too_long_for_results_is_refused_before_the_work(scan, tmp_path, capsys, monkeypatch):
    """The one that just fits is not too long: no longer name is made on the way."""
    with monkeypatch.context() as patch:
        patch.setattr("PyPeTLib.pipeline.analyze", lambda *_, **__: pytest.fail("it must not begin"))
        long = tmp_path / f"{'x' * 232}.nii.gz"
        long.write_bytes(scan.read_bytes())
        message = refused(["run", long, "-o", tmp_path / "out", "--interval", "1"], capsys)
        assert "a name is needed that '_hypoperfusion_mask.nii.gz' can be added to; found file name too long" in message
        assert not (tmp_path / "out").exists()
    fits = long.rename(tmp_path / f"{'x' * 229}.nii.gz")
    words = ["-o", str(tmp_path / "out"), "--interval", "1", "--method", "oSVD", "--no-report", "--quiet"]
    assert main(["run", str(fits), *words]) == 0


def test_a_folder_with_more_than_results_is_refused(scan, tmp_path, capsys):
    for name in ("sub-02_summary.json", "notes.txt"):
        (tmp_path / name).touch()
    message = refused(["run", scan, "-o", tmp_path, "--no-report"], capsys)
    assert "an empty folder is needed; found 2 files, such as notes.txt" in message


def test_a_failed_run_removes_nothing(scan, tmp_path, monkeypatch):
    words = ["run", str(scan), "-o", str(tmp_path), "--no-report", "--quiet", "--overwrite"]
    assert main([*words, "--set", "denoise=gaussian"]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert main([*words, "--method", "oSVD"]) == 2
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_of_a_folder_without_a_former_run_are_not_its_results(scan, tmp_path):
    """Maps of another program may have the names of ours."""
    (tmp_path / "phantom_delay.nii.gz").write_text("of another program")
    words = ["run", str(scan), "-o", str(tmp_path), "--no-report", "--quiet", "--overwrite", "--method", "oSVD"]
    assert main(words) == 0
    assert (tmp_path / "phantom_delay.nii.gz").read_text() == "of another program"


def test_an_overwritten_phantom_is_not_read_with_the_times_of_the_former(tmp_path):
    words = ["phantom", str(tmp_path), "--overwrite", "--set", "size=64,64,1", "--set", "spacing_mm=3.2,3.2,10"]
    assert main([*words, "--set", f"times_s={','.join(str(2 * k + k % 2) for k in range(12))}"]) == 0
    assert read_series(tmp_path / "phantom_ctp.nii.gz").times_s[1] == 3.0
    assert main([*words, "--set", "frames=12"]) == 0
    assert read_series(tmp_path / "phantom_ctp.nii.gz").times_s[1] == 1.0
