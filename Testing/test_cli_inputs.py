"""What a user gives to a run: scan, masks, curves, points, times and settings; each is used, or refused."""

import json

import cli_cases
import numpy as np
import pytest
from cli_cases import refused, with_values

from PyPeTLib.cli import main
from PyPeTLib.geometry import Image
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.read import read_image
from PyPeTLib.seeds import grow_seeds
from PyPeTLib.settings import Settings
from PyPeTLib.write import write_image, write_series

phantom, result, scan = cli_cases.phantom, cli_cases.result, cli_cases.scan


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


@pytest.mark.parametrize(
    ("word", "told"), [("1,5", "found '1,5'. A decimal point is needed: write 1.5."), ("fast", "found 'fast'.")]
)
def test_an_interval_that_is_no_number_says_what_is_needed(word, told, scan, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["info", str(scan), "--interval", word])
    assert stopped.value.code == 2
    assert f"--interval: a number is needed; {told}\n" in capsys.readouterr().err


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


def test_stray_image_in_a_folder_of_frames_is_refused(phantom, tmp_path, capsys):
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(phantom.series.values[:12]):
        image = Image(frame.astype(np.float32), phantom.series.geometry)
        write_image(image, tmp_path / "frames" / f"f{index}.nii.gz")
    write_image(phantom.masks["brain"], tmp_path / "frames" / "mask.nii.gz")
    assert "mask.nii.gz" in refused(["run", tmp_path / "frames", "-o", tmp_path / "out", "--interval", "1"], capsys)
