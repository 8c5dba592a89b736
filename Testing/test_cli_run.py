"""`pypet run`: the files it writes, what is in them, and scans that are odd but read."""

import csv
import json
import os
import subprocess
import sys

import cli_cases
import nibabel
import numpy as np
import pytest
from cli_cases import refused, with_values

from PyPeTLib.cli import main
from PyPeTLib.dictionary import SHAPES
from PyPeTLib.geometry import Image
from PyPeTLib.result_files import result_names
from PyPeTLib.scan import Series
from PyPeTLib.settings import Settings
from PyPeTLib.write import write_image, write_series

phantom, result, scan = cli_cases.phantom, cli_cases.result, cli_cases.scan

MAPS = ("cbf", "cbv", "mtt", "tmax", "ttp", "delay")
UNITS = ("mL/100 g/min", "mL/100 g", "s", "s", "s", "s")
SDS = ("cbf_sd", "cbv_sd", "mtt_sd", "delay_sd")


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


def test_unsigned_scan_is_converted_and_said(phantom, result, tmp_path):
    values = (np.array(phantom.series.values) + 1024).astype(np.uint16)
    path = tmp_path / "phantom_ctp.nii.gz"
    write_series(Series(values, phantom.series.times_s, phantom.series.geometry, name="phantom_ctp"), path)
    assert main(["run", str(path), "-o", str(tmp_path / "out"), "--no-report", "--quiet"]) == 0
    summary = json.loads((tmp_path / "out/phantom_summary.json").read_text())
    assert any("1024" in check["text"] for check in summary["checks"])
    assert (tmp_path / "out/phantom_cbf.nii.gz").read_bytes() == (result / "phantom_cbf.nii.gz").read_bytes()


def test_a_frame_without_values_is_left_out_and_told(phantom, result, tmp_path, capsys):
    """As one of zeros is."""
    values = np.array(phantom.series.values, dtype=np.float32)
    values[20] = np.nan
    write_series(with_values(phantom, values), tmp_path / "a.nii.gz")
    assert main(["run", str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "out"), "--no-report"]) == 0
    assert "(frames): Of 45 frames number 21 shows no head: left out." in capsys.readouterr().out


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


def test_stages_are_written_as_pictures_and_it_is_said_where(scan, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    words = ["--stages", str(tmp_path / "stages"), "--figures", str(tmp_path / "figures"), "--no-report"]
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), *words]) == 0
    assert len(list((tmp_path / "stages").glob("*.png"))) == 6
    said = f"Pictures of the steps in {tmp_path / 'stages'}.\nFigures in {tmp_path / 'figures'}.\n"
    assert capsys.readouterr().out.endswith(said)
