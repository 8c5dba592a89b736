"""The command as a user meets it: files, messages and exit codes."""

import contextlib
import csv
import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from PyPeTLib import read
from PyPeTLib.beside import Reference, like_ours
from PyPeTLib.cli import main
from PyPeTLib.cli_print import print_result, progress_bar
from PyPeTLib.cli_scan import _maps_to_come
from PyPeTLib.dictionary import SHAPES
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.lesion_facts import criterion_rows
from PyPeTLib.outputs import Provenance
from PyPeTLib.phantom import HeadOptions, TilesOptions, head_phantom
from PyPeTLib.phantom_files import options_from_text, write_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.read import read_image, read_series
from PyPeTLib.report_facts import key_numbers
from PyPeTLib.result_files import holds_other_runs_only, result_names
from PyPeTLib.scan import Series
from PyPeTLib.seeds import grow_seeds
from PyPeTLib.settings import Settings
from PyPeTLib.write import write_image, write_series

SMALL = HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45)
MAPS = ("cbf", "cbv", "mtt", "tmax", "ttp", "delay")
UNITS = ("mL/100 g/min", "mL/100 g", "s", "s", "s", "s")
SDS = ("cbf_sd", "cbv_sd", "mtt_sd", "delay_sd")


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(SMALL)


@pytest.fixture(scope="module")
def scan(phantom, tmp_path_factory):
    return write_phantom(phantom, tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def result(scan, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    assert main(["run", str(scan), "-o", str(out), "--no-report", "--quiet"]) == 0
    return out


def with_values(phantom, values, times=None):
    times = phantom.series.times_s if times is None else times
    return Series(values, times, phantom.series.geometry, name="scan_ctp")


def refused(arguments, capsys, code=2):
    """Run a command that must fail without a traceback, and return its message."""
    assert main([str(argument) for argument in arguments]) == code
    message = capsys.readouterr().err
    assert message.startswith("pypet: ")
    assert "Traceback" not in message
    return message


def test_a_result_beside_its_phantom_overwrites_no_truth(scan, result):
    made = {path.name for path in result.iterdir()}
    assert not made & {path.name for path in scan.parent.iterdir()}


def test_run_writes_the_promised_files(result):
    names = {path.name for path in result.iterdir()}
    made = ("brain", "aif", "vof", "csf", "vessel", "bone", "core", "hypoperfusion", "mismatch")
    masks = {f"phantom_{name}_mask.nii.gz" for name in made}
    maps = {f"phantom_{name}{suffix}" for name in (*MAPS, *SDS) for suffix in (".nii.gz", ".json")}
    assert names == masks | maps | {"phantom_curves.csv", "phantom_motion.csv", "phantom_summary.json"}


def test_names_of_results_are_all_that_a_run_writes(scan, result, tiny_analysis, tmp_path):
    """So that a run with other settings leaves none of them behind, and the panel asks before it replaces one."""
    words = ["correction=simulation", "map_smoothing_mm=3", "normalise=brain-mean"]
    given = [word for one in words for word in ("--set", one)]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--quiet", "--method", "bSVD", *given]) == 0
    written = {path.name for folder in (result, tmp_path / "out") for path in folder.iterdir()}
    names = result_names(tiny_analysis)
    assert written <= names
    assert {name for name in names if "_mask" in name} == {name for name in written if "_mask" in name}


def test_maps_lie_on_the_grid_of_the_scan_with_their_unit(result, scan):
    affine = nibabel.load(scan).affine
    for name, unit in zip((*MAPS, *SDS), (*UNITS, *UNITS[:3], "s"), strict=True):
        image = nibabel.load(result / f"phantom_{name}.nii.gz")
        np.testing.assert_array_equal(image.affine, affine)
        assert image.get_data_dtype() == np.float32
        sidecar = json.loads((result / f"phantom_{name}.json").read_text())
        chosen = sidecar["Settings"]
        assert (sidecar["Unit"], sidecar["DeconvolutionMethod"], chosen["mtt_prior"]) == (unit, "bayesian", "weak")
        assert {"denoise", "residue", "timing_prior"} <= set(chosen) and "bsvd_cutoff" not in chosen
        assert sidecar["Residue"] in SHAPES and sidecar["LongName"].endswith("deviation") == name.endswith("sd")


def test_summary_and_masks_tell_the_lesions(result):
    summary = json.loads((result / "phantom_summary.json").read_text())
    volumes, bounds = summary["volumes_ml"], summary["volume_bounds_ml"]
    assert summary["lesions"]["side"] == "left" and "Research use only" in summary["lesions"]["note"]
    for name in ("core", "hypoperfusion", "mismatch"):
        image = nibabel.load(result / f"phantom_{name}_mask.nii.gz")
        found = image.get_fdata().sum() * np.prod(image.header.get_zooms()) / 1000.0
        assert found == pytest.approx(volumes[name], rel=1e-4)
    assert volumes["core"] + volumes["mismatch"] == pytest.approx(volumes["hypoperfusion"])
    assert all(bounds[name][0] <= volumes[name] <= bounds[name][1] for name in bounds)
    assert summary["mismatch_ratio"] == pytest.approx(volumes["hypoperfusion"] / volumes["core"])
    assert 0.0 <= summary["hir"] < 1.0 and 0.0 < summary["cbv_index"] < 1.0
    assert set(summary["criteria"]) == {"DEFUSE 3", "EXTEND"}
    assert summary["lesions"]["rule"][1:] in summary["methods_text"]


def test_maps_are_zero_outside_the_mask_and_only_there(result):
    inside = nibabel.load(result / "phantom_brain_mask.nii.gz").get_fdata() > 0
    cbv = nibabel.load(result / "phantom_cbv.nii.gz").get_fdata()
    assert (cbv[~inside] == 0).all()
    assert (cbv[inside] != 0).mean() > 0.99


def test_summary_holds_what_it_promises(result):
    summary = json.loads((result / "phantom_summary.json").read_text())
    promised = (
        "input times_s time_source bolus_arrival_s aif vof map_medians checks settings methods_text software seconds"
    )
    assert set(promised.split()) <= set(summary)
    aif = "peak_hu time_to_peak_s voxels gamma_variate partial_volume_factor"
    assert set(aif.split()) <= set(summary["aif"])
    told = "score confidence side peak_hu arrival_s peak_s width_s signal_to_noise tissue_share area_ratio reason"
    assert set(told.split()) <= set(summary["aif"]["candidates"][0])
    assert summary["aif"]["candidates"][0]["confidence"] > 0.3 < summary["vof"]["candidates"][0]["area_ratio"]
    assert all(set(check) == {"name", "status", "text", "value"} for check in summary["checks"])
    assert len({check["name"] for check in summary["checks"]}) == len(summary["checks"]) > 20
    assert set(summary["map_medians"]) == set(MAPS)
    assert min(summary["map_voxel_sds"][name] for name in ("cbf", "cbv", "mtt", "delay")) > 0
    assert summary["software"]["name"] == "PyPeT"
    assert summary["times_s"] == [float(time) for time in range(45)]
    assert summary["conversion"] == {"hematocrit_factor": pytest.approx(0.55 / 0.75), "tissue_density_g_ml": 1.05}
    assert set(summary["settings"]) == dict(Settings().items()).keys()
    assert {"reading", "denoising", "deconvolution"} <= set(summary["seconds"])


def test_curves_have_the_promised_columns_and_scale(result):
    with (result / "phantom_curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time_s", "aif_measured_hu", "aif_hu", "aif_fit_hu", "vof_hu", "brain_hu"]
    summary = json.loads((result / "phantom_summary.json").read_text())
    measured, scaled = (np.array([float(row[name]) for row in rows]) for name in ("aif_measured_hu", "aif_hu"))
    np.testing.assert_allclose(scaled, summary["aif"]["partial_volume_factor"] * measured, rtol=1e-4)


@pytest.mark.parametrize("threads", ["1", "4"])
def test_same_input_gives_the_same_bytes_for_any_number_of_threads(scan, result, tmp_path, threads):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(tmp_path / "out"), "--no-report"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    for path in result.glob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


def test_run_is_silent_in_a_pipe_but_for_the_result(scan, tmp_path):
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(tmp_path / "out"), "--no-report"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert "Tissue medians ± SD of a voxel: CBF" in done.stdout
    assert ", Tmax " in done.stdout and ", Delay " in done.stdout  # as in report and messages
    assert "Research use only" in done.stdout


def test_numbers_have_the_digits_of_the_report_and_no_verdict_stands_twice(tiny_analysis, capsys):
    print_result(tiny_analysis, Path("out"))
    said = capsys.readouterr().out
    for one in key_numbers(tiny_analysis.maps, tiny_analysis.tissue):
        assert f"{one.short} {one.median} {one.voxel_sd}".rstrip() + f" {one.unit}" in said
    for name, met, why in criterion_rows(tiny_analysis.lesions):
        assert f"{name}: {met} ({why.removeprefix('not met: ')})" in said
    assert "not met (not met" not in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_gone_is_no_error(scan, tmp_path, unbuffered):
    """As with ``pypet run ... | head -1``; here nothing is read at all."""
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(tmp_path / "out"), "--no-report"]
    read, write = os.pipe()
    os.close(read)
    try:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/phantom_summary.json").exists()


def test_a_reader_that_has_gone_is_no_error_on_windows_either(scan, tmp_path, monkeypatch):
    """There writing to its pipe is an invalid argument; an output on a full disk is still an error."""
    with (tmp_path / "out").open("w") as output:
        for number, code in ((errno.EINVAL, 0), (errno.ENOSPC, 2)):

            def gone(_, number=number):
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(sys, "stdout", SimpleNamespace(write=gone, flush=output.flush, fileno=output.fileno))
            assert main(["settings"]) == code


def test_a_run_needs_neither_output_nor_terminal(scan, monkeypatch):
    """As with ``pypet ... >&-`` or in a program without a console."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["info", str(scan)]) == 0
    with progress_bar(False) as progress:
        progress(0.5, "Working")


def test_users_masks_are_used(scan, tmp_path, phantom):
    folder = scan.parent
    masks = {"--mask": "brain", "--aif-mask": "arteries", "--vof-mask": "veins"}
    arguments = [
        str(word) for option, name in masks.items() for word in (option, folder / f"phantom_truth_{name}_mask.nii.gz")
    ]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", *arguments]) == 0
    summary = json.loads((tmp_path / "out/phantom_summary.json").read_text())
    assert summary["brain"]["source"] == summary["aif"]["source"] == summary["vof"]["source"] == "user's mask"
    assert summary["aif"]["voxels"] == int(phantom.masks["arteries"].values.sum())


def test_users_curves_are_used(scan, result, tmp_path):
    table = str(result / "phantom_curves.csv")
    words = ["--aif-curve", table, "--vof-curve", table, "--set", "denoise=gaussian"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", *words]) == 0
    summary = json.loads((tmp_path / "out/phantom_summary.json").read_text())
    former = json.loads((result / "phantom_summary.json").read_text())
    assert summary["aif"]["source"] == summary["vof"]["source"] == "user's curve"
    assert summary["aif"]["peak_hu"] == pytest.approx(former["aif"]["peak_hu"], rel=1e-3)
    assert summary["vof"]["peak_hu"] == pytest.approx(former["vof"]["peak_hu"], rel=1e-3)
    assert "supplied as a curve" in summary["methods_text"]


@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_users_points_are_grown(scan, phantom, analysis_points, tmp_path, system):
    sign = 1.0 if system == "LPS" else -1.0
    words = []
    for key, point in analysis_points.items():
        controls = [{"position": [sign * point[0], sign * point[1], point[2]]}]
        content = {"markups": [{"coordinateSystem": system, "controlPoints": controls}]}
        (tmp_path / f"{key}.mrk.json").write_text(json.dumps(content))
        words += [f"--{key}-points", str(tmp_path / f"{key}.mrk.json")]
    words += ["--set", "denoise=gaussian"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", *words]) == 0
    summary = json.loads((tmp_path / "out/phantom_summary.json").read_text())
    for key, point in analysis_points.items():
        assert summary[key]["source"] == "user's points"
        expected = grow_seeds(phantom.series, [point], settings=Settings()).values
        assert (read_image(tmp_path / f"out/phantom_{key}_mask.nii.gz").values > 0).tolist() == expected.tolist()
    assert "voxels) was grown from supplied points" in summary["methods_text"]
    texts = {check["name"]: check["text"] for check in summary["checks"]}
    assert texts["AIF quality"] == "The arterial input is that of the user's points."


@pytest.fixture(scope="module")
def analysis_points(result, phantom):
    """A point in each vessel that the automatic run found, in mm LPS."""
    points = {}
    for key in ("aif", "vof"):
        z, y, x = np.argwhere(read_image(result / f"phantom_{key}_mask.nii.gz").values > 0)[0]
        grid = phantom.series.geometry
        points[key] = tuple(grid.origin_mm + grid.axes @ (np.array([x, y, z]) * grid.spacing_mm))
    return points


@pytest.mark.parametrize("key", ["aif", "vof"])
def test_a_vessel_is_given_in_one_way_only(scan, tmp_path, key, capsys):
    for one, other in (("mask", "curve"), ("mask", "points"), ("points", "curve")):
        with pytest.raises(SystemExit) as stopped:
            main(["run", str(scan), "-o", str(tmp_path / "out"), f"--{key}-{one}", "a", f"--{key}-{other}", "b"])
        assert stopped.value.code == 2
        assert "not allowed with" in capsys.readouterr().err


def test_bad_curves_and_points_are_refused(scan, tmp_path, capsys):
    (tmp_path / "short.csv").write_text("0,0\n1,0\n2,90\n3,40\n4,9\n")
    (tmp_path / "air.fcsv").write_text("# CoordinateSystem = LPS\nF,0,0,0\nG,9000,0,0\n")
    run = ["run", scan, "-o", tmp_path / "out"]
    assert "Arterial curve: times that cover the scan" in refused([*run, "--aif-curve", tmp_path / "short.csv"], capsys)
    assert "Curve" in refused([*run, "--vof-curve", tmp_path / "none.csv"], capsys)
    assert "Point" in refused([*run, "--aif-points", tmp_path / "air.fcsv"], capsys)
    assert "markup file" in refused([*run, "--vof-points", tmp_path / "short.csv"], capsys)
    assert not (tmp_path / "out").exists()


def test_settings_come_from_file_then_set_then_method(scan, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('method = "sSVD"\nbsvd_cutoff = 0.2\nssvd_cutoff = 0.3\n')
    words = ["--settings", str(file), "--set", "bsvd_cutoff=0.15", "--method", "tikhonov"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", *words]) == 0
    settings = json.loads((tmp_path / "out/phantom_summary.json").read_text())["settings"]
    assert (settings["method"], settings["bsvd_cutoff"], settings["ssvd_cutoff"]) == ("tikhonov", 0.15, 0.3)


def test_a_setting_without_effect_is_remarked(scan, tmp_path, capsys):
    words = ["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--set", "bsvd_cutoff=0.2"]
    assert main(words) == 0
    assert "pypet: setting bsvd_cutoff=0.2 has no effect with method=bayesian; leave it out" in capsys.readouterr().err
    summary = json.loads((tmp_path / "out/phantom_summary.json").read_text())
    assert summary["settings_without_effect"] == {"bsvd_cutoff": "method=bayesian"}
    assert main([*words, "--method", "bSVD", "--overwrite"]) == 0
    assert capsys.readouterr().err == ""


def test_smoothed_and_normalised_maps_are_extra_files(scan, tmp_path):
    words = ["--set", "map_smoothing_mm=3", "--set", "normalise=brain-mean"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", *words]) == 0
    relative = nibabel.load(tmp_path / "out/phantom_cbf_relative.nii.gz").get_fdata()
    inside = nibabel.load(tmp_path / "out/phantom_brain_mask.nii.gz").get_fdata() > 0
    assert relative[inside].mean() == pytest.approx(1.0, abs=1e-4)
    sidecars = (tmp_path / f"out/phantom_cbf{kind}.json" for kind in ("", "_relative", "_sd", "_smooth"))
    plain, *same, smooth = (json.loads(path.read_text()) for path in sidecars)
    assert smooth["Unit"] == "mL/100 g/min"
    assert [one["ResolutionMm"] for one in same] == [plain["ResolutionMm"]] * 2
    width_mm = np.sqrt(8.0 * np.log(2.0)) * 3.0  # of a Gaussian of this SD
    assert smooth["ResolutionMm"] == pytest.approx(np.sqrt(plain["ResolutionMm"] ** 2 + width_mm**2), abs=0.01)


def test_a_resolution_that_is_not_known_is_not_written(scan, tmp_path):
    words = ["--set", "denoise=curvature-flow", "--set", "map_smoothing_mm=3"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--no-report", "--quiet", *words]) == 0
    for kind in ("", "_smooth"):
        assert "ResolutionMm" not in json.loads((tmp_path / f"out/phantom_cbf{kind}.json").read_text())


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


def test_times_and_interval_from_the_command_line(scan, tmp_path):
    times = tmp_path / "times.txt"
    times.write_text("\n".join(str(1.5 * frame) for frame in range(45)))
    assert main(["run", str(scan), "-o", str(tmp_path / "a"), "--no-report", "--quiet", "--times", str(times)]) == 0
    assert main(["run", str(scan), "-o", str(tmp_path / "b"), "--no-report", "--quiet", "--interval", "1.5"]) == 0
    first, second = (json.loads((tmp_path / name / "phantom_summary.json").read_text()) for name in "ab")
    assert first["times_s"] == second["times_s"] == [1.5 * frame for frame in range(45)]
    assert first["time_source"] != second["time_source"]


BAD_SCANS = {
    "all_zeros": (lambda values: np.zeros_like(values), 2, "constant|0"),
    "no_skull_and_no_brain": (lambda values: np.clip(values, -1024, -900), 3, "skull"),
    "bolus_in_the_first_frame": (lambda values: values[14:], 3, "start of the scan"),
}


@pytest.mark.parametrize("name", BAD_SCANS)
def test_bad_scan_is_refused_and_nothing_is_written(name, phantom, tmp_path, capsys):
    change, code, words = BAD_SCANS[name]
    values = np.ascontiguousarray(change(np.array(phantom.series.values)).astype(np.int16))
    path = tmp_path / "scan_ctp.nii.gz"
    write_series(with_values(phantom, values, np.arange(len(values), dtype=float)), path)
    message = refused(["run", path, "-o", tmp_path / "out"], capsys, code)
    assert any(word in message for word in words.split("|")), message
    assert {entry.name for entry in tmp_path.iterdir()} == {"scan_ctp.nii.gz"}


def test_scan_that_ends_before_the_bolus_is_refused(tmp_path, capsys):
    waiting = head_phantom(HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=12, interval_s=0.8))
    write_series(waiting.series, tmp_path / "scan_ctp.nii.gz")
    assert "Bolus" in refused(["run", tmp_path / "scan_ctp.nii.gz", "-o", tmp_path / "out"], capsys, 3)
    assert not (tmp_path / "out").exists()


def test_a_wish_to_stop_that_python_dropped_is_kept(phantom, tmp_path, capsys, monkeypatch):
    """What is raised while the garbage collector calls back is printed and forgotten; the run went on."""
    path = tmp_path / "scan_ctp.nii.gz"
    write_series(phantom.series, path)

    def interrupted(*given, **chosen):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return read_series(*given, **chosen)

    monkeypatch.setattr(read, "read_series", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["run", str(path), "-o", str(tmp_path / "out")]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "stopped" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_forced_result_says_that_it_is_invalid(phantom, tmp_path, capsys):
    values = np.ascontiguousarray(phantom.series.values[14:])
    path = tmp_path / "scan_ctp.nii.gz"
    write_series(with_values(phantom, values, np.arange(len(values), dtype=float)), path)
    assert main(["run", str(path), "-o", str(tmp_path / "out"), "--force"]) == 0
    assert "marked INVALID" in capsys.readouterr().out
    page = (tmp_path / "out/scan_report.html").read_text()
    assert page.index("<main>") > page.index("Marked INVALID") > 0 and '<body class="invalid">' in page
    summary = json.loads((tmp_path / "out/scan_summary.json").read_text())
    assert "fail" in {check["status"] for check in summary["checks"]}
    why = json.loads((tmp_path / "out/scan_cbf.json").read_text())["Invalid"]
    assert why and json.loads((tmp_path / "out/scan_summary.json").read_text())["invalid"] == why


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--method", "bSVDD"], "bSVD"),
        (["--set", "bsvd_cutof=0.1"], "bsvd_cutoff"),
        (["--set", "bsvd_cutoff=2"], "0.001 … 0.9"),
        (["--set", "nonsense"], "NAME=VALUE"),
        (["--interval", "0"], "0.1"),
        (["--interval", "0.001"], "0.001"),
        (["--interval", "100"], "100"),
        (["--mask", "missing.nii.gz"], "missing.nii.gz"),
        (
            ["--settings", "none.toml"],
            "Settings file none.toml: a text file is needed; found no such file or directory.",
        ),
        (["--times", "none.txt"], "a line is needed; found no such file or directory."),
        (["--aif-points", "none.fcsv"], "a text file is needed; found no such file or directory."),
    ],
)
def test_bad_option_is_refused_with_what_was_needed(words, expected, scan, tmp_path, capsys):
    assert expected in refused(["run", scan, "-o", tmp_path / "out", *words], capsys)
    assert not list(tmp_path.iterdir())


def test_errors_of_the_system_name_the_path_and_a_cure(tmp_path, capsys):
    message = refused(["info", tmp_path / ("x" * 300)], capsys)
    assert message.endswith("xxx: file name too long. Check path and permissions.\n") and str(tmp_path) in message


def test_a_message_is_one_line_that_no_terminal_obeys(tmp_path, capsys):
    """Names of files, and what is in them, may be commands: to erase the screen, or lines that seem to be ours."""
    assert "scan?[2J?pypet: done.nii" in refused(["info", tmp_path / "scan\x1b[2J\npypet: done.nii"], capsys)
    message = refused(["run", "x.nii", "-o", tmp_path / "out", "--set", "x" * 100_000 + "=1"], capsys)
    assert message.count("\n") == 1 and len(message) < 3000 and message.endswith("lists all).\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_what_is_printed_of_a_scan_is_nothing_that_a_terminal_obeys(scan, tmp_path, capsys):
    named = tmp_path / "a\x1b[2J\nStops   nothing.nii.gz"
    named.symlink_to(scan)
    assert main(["info", str(named)]) == 0
    assert "Scan    a?[2J?Stops   nothing\n" in capsys.readouterr().out


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


def test_mask_of_another_grid_and_empty_mask_are_refused(phantom, scan, tmp_path, capsys):
    geometry = phantom.series.geometry
    empty, other = tmp_path / "empty.nii.gz", tmp_path / "other.nii.gz"
    write_image(Image(np.zeros(geometry.shape, dtype=bool), geometry), empty)
    small = head_phantom(HeadOptions(size=(60, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=10)).masks["brain"]
    write_image(small, other)
    assert "empty" in refused(["run", scan, "-o", tmp_path / "out", "--mask", empty], capsys)
    message = refused(["run", scan, "-o", tmp_path / "out", "--aif-mask", other], capsys)
    assert "64×64×4" in message
    assert "60×64×4" in message


def test_unwritable_output_is_refused_before_the_work(scan, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    refused(["run", scan, "-o", file], capsys)
    refused(["run", scan, "-o", file / "below"], capsys)


def test_disk_full_leaves_nothing_behind(scan, tmp_path, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in refused(["run", scan, "-o", tmp_path / "out", "--no-report"], capsys)
    assert not list(tmp_path.iterdir())


def test_unsigned_scan_is_converted_and_said(phantom, result, tmp_path):
    values = (np.array(phantom.series.values) + 1024).astype(np.uint16)
    path = tmp_path / "phantom_ctp.nii.gz"
    write_series(Series(values, phantom.series.times_s, phantom.series.geometry, name="phantom_ctp"), path)
    assert main(["run", str(path), "-o", str(tmp_path / "out"), "--no-report", "--quiet"]) == 0
    summary = json.loads((tmp_path / "out/phantom_summary.json").read_text())
    assert any("1024" in check["text"] for check in summary["checks"])
    assert (tmp_path / "out/phantom_cbf.nii.gz").read_bytes() == (result / "phantom_cbf.nii.gz").read_bytes()


def test_info_says_what_the_scan_is_and_what_would_stop_a_run(phantom, scan, tmp_path, capsys):
    assert main(["info", str(scan)]) == 0
    assert "45 frames, 0–44 s, every 1 s; from: NIfTI header" in capsys.readouterr().out
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
    assert "Values  stored as float32, no number" in printed.out
    assert "Stops   Scan a: CT values are needed; found NaN or infinity in every voxel" in printed.out


def test_a_frame_without_values_is_left_out_and_told(phantom, result, tmp_path, capsys):
    """As one of zeros is."""
    values = np.array(phantom.series.values, dtype=np.float32)
    values[20] = np.nan
    write_series(with_values(phantom, values), tmp_path / "a.nii.gz")
    assert main(["run", str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "out"), "--no-report"]) == 0
    assert "(frames): Of 45 frames number 21 shows no head: left out." in capsys.readouterr().out


@pytest.mark.parametrize(("encoding", "minus"), [("utf-8", "−"), ("latin-1", "-")])
def test_a_terminal_without_a_minus_sign_has_a_hyphen(scan, encoding, minus):
    command = [sys.executable, "-m", "PyPeTLib", "info", str(scan)]
    found = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert f"origin ({minus}" in found.stdout.decode(encoding)


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
    with pytest.raises(InputError, match="Phantom option size: comma-separated whole numbers needed; found '"):
        options_from_text(HeadOptions, {"size": word})


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


def test_demo_keeps_its_hands_off_a_folder_with_other_files(tmp_path, capsys):
    (tmp_path / "phantom_ctp.nii.gz").write_text("mine")
    assert "--overwrite" in refused(["demo", tmp_path], capsys)
    assert (tmp_path / "phantom_ctp.nii.gz").read_text() == "mine"


def test_the_figures_of_a_demonstration_are_for_research_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("PyPeTLib.demo.run_demo", lambda *_, **__: ({"tmax_bias_s": -1.0}, tmp_path))
    assert main(["demo", str(tmp_path)]) == 0
    before, after = capsys.readouterr().out.split("median error of Tmax in s")
    assert "Research use only" in before and after.split()[:2] == ["−1.00", "0"]


def test_one_voxel_of_air_is_no_artery(phantom, scan, tmp_path, capsys):
    air = np.zeros(phantom.series.geometry.shape, dtype=bool)
    air[0, 0, 0] = True
    write_image(Image(air, phantom.series.geometry), tmp_path / "air.nii.gz")
    message = refused(["run", scan, "-o", tmp_path / "out", "--aif-mask", tmp_path / "air.nii.gz"], capsys, 3)
    assert "AIF mask" in message


def test_nrrd_made_from_nifti_is_read(scan, result, tmp_path):
    import SimpleITK as sitk

    sitk.WriteImage(sitk.ReadImage(str(scan)), str(tmp_path / "phantom_ctp.nrrd"))
    words = ["--interval", "1", "--no-report", "--quiet"]
    assert main(["run", str(tmp_path / "phantom_ctp.nrrd"), "-o", str(tmp_path / "out"), *words]) == 0
    one, other = (nibabel.load(folder / "phantom_cbv.nii.gz").get_fdata() for folder in (tmp_path / "out", result))
    np.testing.assert_array_equal(one, other)


def test_stray_image_in_a_folder_of_frames_is_refused(phantom, tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(phantom.series.values[:12]):
        image = Image(frame.astype(np.float32), phantom.series.geometry)
        write_image(image, tmp_path / "frames" / f"f{index}.nii.gz")
    write_image(phantom.masks["brain"], tmp_path / "frames" / "mask.nii.gz")
    assert "mask.nii.gz" in refused(["run", tmp_path / "frames", "-o", tmp_path / "out", "--interval", "1"], capsys)


def test_stages_are_written_as_pictures(scan, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    words = ["--stages", str(tmp_path / "stages"), "--no-report", "--quiet"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), *words]) == 0
    assert len(list((tmp_path / "stages").glob("*.png"))) == 6


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
