"""What the user gives: results, reference maps and colour bars that are found, passed over, named or refused."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from pathlib import Path

import compare_cases
import numpy as np
import pytest
from colour_pictures import coded, palette, with_bar
from compare_cases import MAPS, compared, moved, put_isles, put_run, refused

from PyPeTLib.beside import read_beside
from PyPeTLib.cli import main
from PyPeTLib.cohort import Cohort
from PyPeTLib.compare_tables import markdown, write_tables
from PyPeTLib.errors import InputError
from PyPeTLib.outputs import find_runs, read_run
from PyPeTLib.read import read_image
from PyPeTLib.reference_maps import case_of, doubts_of_choice, find_references, provenance_of, reference_of
from PyPeTLib.write import write_image, write_json

comparison, isles = compare_cases.comparison, compare_cases.isles


# Pictures in colour


def colour_coded(path, image, low, high, *, bar=True):
    """Write a map as a vendor does: in colour, with a bar in every slice, on a grid without its margin."""
    import SimpleITK as sitk

    colours = palette()
    values = np.where(image.values == 0, np.nan, image.values)
    picture = coded(values, low, high, colours)
    picture = with_bar(picture, colours, (56, 6, 6, 50)) if bar else picture
    itk = sitk.GetImageFromArray(picture, isVector=True)
    itk.SetSpacing(image.geometry.spacing_mm)
    itk.SetOrigin(image.geometry.origin_mm)
    itk.SetDirection(image.geometry.direction)
    sitk.WriteImage(itk, str(path))


def test_a_colour_coded_map_is_read_by_its_bar(runs, tmp_path, comparison):
    from PyPeTLib.pictures import Scale

    colour_coded(tmp_path / "x_tmax.nii.gz", read_image(runs / "other" / "sub-01_ses-01_tmax.nii.gz"), -2.0, 16.0)
    found = compared(runs / "ours", tmp_path, scales={"tmax": Scale(-2.0, 16.0, "s")}).cases[0]
    assert found.maps["tmax"].coverage > 0.9
    assert found.maps["tmax"].ncc == pytest.approx(comparison.maps["tmax"].ncc, abs=0.02)
    assert found.maps["tmax"].physical.bias == pytest.approx(comparison.maps["tmax"].physical.bias, abs=0.1)
    assert any("−2 to 16 s as typed, in steps of 0.3" in one for one in found.remarks), found.remarks


def test_a_colour_coded_map_without_range_or_without_bar_is_refused(runs, tmp_path, capsys):
    image = read_image(runs / "other" / "sub-01_ses-01_tmax.nii.gz")
    colour_coded(tmp_path / "x_tmax.nii.gz", image, -2.0, 16.0, bar=False)
    message = refused([runs / "ours", tmp_path], capsys)
    assert "x_tmax.nii.gz: one number a voxel is needed" in message
    assert "found a picture in colour without them" in message
    assert "--colour-bar tmax=LOW:HIGH:UNIT" in message
    message = refused([runs / "ours", tmp_path, "--colour-bar", "tmax=-2:16:s"], capsys)
    assert "needs its colour bar; found none in it. Say where it stands" in message


def test_a_colour_bar_of_a_map_of_numbers_is_refused(runs, capsys):
    message = refused([runs / "ours", runs / "other", "--colour-bar", "tmax=0:12:s"], capsys)
    assert "a picture in colour is needed for a colour bar; found one number a voxel" in message


def test_two_colour_bars_of_one_map_are_refused(runs, capsys):
    bars = ["--colour-bar", "tmax=0:12:s", "--colour-bar", "cbf=0:60:x", "--colour-bar", "Tmax=0:10:s"]
    message = refused([runs / "ours", runs / "other", *bars], capsys)
    assert "one a map is needed; found 'tmax=0:12:s' and 'Tmax=0:10:s'. Leave one out." in message


def test_a_colour_bar_of_a_map_that_is_not_compared_is_refused(runs, isles, capsys):
    message = refused([runs / "ours", isles, "--colour-bar", "delay=0:12:s"], capsys)
    assert "Colour bar: a reference map it belongs to is needed; found none of Delay. Leave this bar out" in message


# What the user gives


def test_swapped_arguments_are_recognised(runs, isles, capsys):
    message = refused([isles, runs / "ours"], capsys)
    assert "with PREFIX_summary.json, is needed" in message
    assert "The reference is such a folder: exchange the two." in message


def test_folders_that_hold_nothing_of_use(runs, tmp_path, capsys):
    message = refused([tmp_path / "gone", runs / "other"], capsys)
    assert "is needed; found nothing. Give the folder of 'pypet run -o'." in message
    assert "found an empty folder" in refused([tmp_path, runs / "other"], capsys)
    (tmp_path / "letter.txt").touch()
    message = refused([runs / "ours", tmp_path], capsys)
    assert "files named PREFIX_{cbf,cbv,mtt,tmax,ttp,delay}.nii.gz" in message
    assert "found 1 other file, letter.txt" in message
    assert "a file or one folder is needed; found none" in refused([runs / "ours", tmp_path / "gone_cbf.nii"], capsys)
    assert "Give it as MAP=FILE" in refused([runs / "ours", tmp_path / "letter.txt", tmp_path / "x"], capsys)


def test_results_and_references_are_found_however_deep_they_lie(runs, tmp_path):
    results = tmp_path / "results/of/all/years"
    put_run(results, runs / "ours", "sub-01_ses-01")
    assert list(find_runs(tmp_path / "results")) == ["sub-01_ses-01"]
    put_isles(tmp_path / "I/train/raw_data/of/all/sites", runs / "other", "sub-01", "ses-01")
    found = find_references([tmp_path / "I"])
    assert sorted(found["sub-01_ses-01"]) == sorted(MAPS)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "one").symlink_to(tmp_path / "I", target_is_directory=True)
    (tmp_path / "linked" / "two").symlink_to(tmp_path / "I", target_is_directory=True)
    (tmp_path / "I" / "round").symlink_to(tmp_path / "I", target_is_directory=True)
    linked = find_references([tmp_path / "linked"])
    assert {name: len(files) for name, files in linked["sub-01_ses-01"].items()} == dict.fromkeys(MAPS, 1)
    shutil.move(tmp_path / "I/train", tmp_path / "I/.train")
    with pytest.raises(InputError, match="are needed; found no files"):
        find_references([tmp_path / "I"])


def test_folders_of_other_files_are_called_so_however_deep_these_lie(runs, tmp_path, capsys):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "letter.txt").touch()
    assert "found 1 other file, letter.txt" in refused([tmp_path, runs / "other"], capsys)
    assert "found 1 other file, letter.txt" in refused([runs / "ours", tmp_path], capsys)


def test_a_path_that_is_not_there_is_called_so_whatever_its_name(runs, tmp_path, capsys):
    for words in (["nonexist"], [f"cbf={tmp_path / 'gone.nii'}"]):
        message = refused([runs / "ours", *words], capsys)
        assert "a file or one folder is needed; found none: this path does not exist. Check the path." in message
    message = refused([runs / "ours", runs / "other", tmp_path], capsys)
    assert "found a folder where a file was meant. Give it alone, or the files in it." in message


@pytest.mark.parametrize("word", ["jpg_tmax.jpg", "x_tmax.JPEG", "tmax=any.bmp"])
def test_pictures_of_other_formats_are_called_so(runs, tmp_path, capsys, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    name = word.removeprefix("tmax=")
    Path(name).touch()
    message = refused([runs / "ours", word], capsys)
    assert f"Reference {name}: pictures have to be PNG; found {Path(name).suffix}. Export it again as PNG" in message


@pytest.mark.parametrize(
    ("shape", "named"), [((3,), "4D 64×64×4×3"), ((1, 3), "5D 64×64×4×1×3"), ((4,), "4D 64×64×4×4")]
)
@pytest.mark.parametrize("bar", [(), ("--colour-bar", "tmax=0:12:s")])
def test_colours_that_are_volumes_are_called_so(runs, tmp_path, capsys, shape, named, bar):
    """Not "one number a voxel", nor a scan over time."""
    import nibabel

    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 4, *shape)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "x_tmax.nii.gz")
    message = refused([runs / "ours", tmp_path, *bar], capsys)
    assert f"found {named} of type uint8, perhaps its colours one by one. Save them as NIfTI of type RGB24" in message


def test_a_colour_bar_of_a_series_is_refused_as_a_series(runs, tmp_path, capsys):
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.zeros((64, 64, 4, 9), np.float32), np.eye(4)), tmp_path / "x_tmax.nii.gz")
    message = refused([runs / "ours", tmp_path, "--colour-bar", "tmax=0:12:s"], capsys)
    assert "a 3D image is needed; found 4D 64×64×4×9. Give a single volume." in message


def test_maps_that_only_one_has(runs, tmp_path, capsys):
    shutil.copy(runs / "other" / "sub-01_ses-01_cbf.nii.gz", tmp_path / "x_delay.nii.gz")
    other = put_run(tmp_path / "runs", runs / "other", "sub-01_ses-01")
    message = refused([other, tmp_path / "x_delay.nii.gz"], capsys)
    assert (
        "a map that both have is needed; found CBF, CBV, MTT, Tmax, TTP in the results and Delay in the ref" in message
    )
    assert "Give a reference of one of the maps in the results, as MAP=FILE" in message


def test_its_own_maps_are_no_reference(runs, capsys):
    message = refused([runs / "ours", runs / "ours"], capsys)
    assert "maps of another run or program are needed as reference; found its own" in message
    assert "Give another folder as reference." in message


def test_another_subject_is_no_reference(runs, tmp_path, capsys):
    put_isles(tmp_path, runs / "other", "sub-02", "ses-01")
    message = refused([runs / "ours", tmp_path], capsys)
    assert "reference maps of this case are needed" in message
    assert "found sub-02_ses-01" in message


def test_maps_of_a_case_that_are_passed_over_are_named(runs, isles, tmp_path):
    """ISLES 2024 has raw_data and derivatives: the same maps on two grids."""
    for name in MAPS:
        raw = tmp_path / "raw_data/sub-01/ses-01/perfusion-maps"
        derived = tmp_path / "derivatives/sub-01/ses-01/perfusion-maps"
        for folder, space in ((raw, ""), (derived, "_space-ncct")):
            folder.mkdir(parents=True, exist_ok=True)
            source = runs / "other" / f"sub-01_ses-01_{name}.nii.gz"
            shutil.copy(source, folder / f"sub-01_ses-01{space}_{name}.nii.gz")
    case = compared(runs / "ours", tmp_path).cases[0]
    assert case.reference.place == str(raw / "sub-01_ses-01_*")
    other = derived / "sub-01_ses-01_space-ncct_cbf.nii.gz"
    (remark,) = [one for one in case.remarks if "passed over" in one]
    assert remark.startswith(
        f"This case has other reference maps, too, which were passed over: {other} and 3 more. Those whose names begin"
    )
    assert any("passed over" in one for one in read_beside(tmp_path, "sub-01_ses-01").remarks)
    assert not any("passed over" in one for one in compared(runs / "ours", isles).cases[0].remarks)


def test_maps_named_as_relative_ones_are_passed_over_and_said_to_be(runs, tmp_path):
    """As those of a program that writes rCBF beside Tmax: it was missing without a word."""
    for name, file in {"cbf": "RAPID_rCBF", "mtt": "RAPID_rMTT", "cbv": "other_rCBV", "tmax": "RAPID_Tmax"}.items():
        shutil.copy(runs / "other" / f"sub-01_ses-01_{name}.nii.gz", tmp_path / f"{file}.nii.gz")
    found = find_references([tmp_path])
    taken = reference_of("sub-01_ses-01", found, alone=True)
    assert set(taken) == {"tmax"}
    first, second = doubts_of_choice("sub-01_ses-01", found, taken)
    assert first.startswith("RAPID_rCBF.nii.gz was passed over: by its name it may be relative. If it holds CBF in")
    assert first.endswith("give 'pypet compare' the files one by one, this one as cbf=FILE.")
    assert second.startswith("RAPID_rMTT.nii.gz")
    assert doubts_of_choice("sub-01_ses-01", found, taken | {"cbf": tmp_path / "RAPID_cbf.nii.gz"}) == [second]


def test_a_reference_of_another_space_or_of_several_runs_is_doubted(runs, tmp_path):
    """Where a case has no maps named as the run."""
    results, reference = tmp_path / "results", tmp_path / "isles"
    for run in ("run-1", "run-2"):
        put_run(results, runs / "ours", f"sub-01_ses-01_{run}")
    reference.mkdir()
    shutil.copy(runs / "other" / "sub-01_ses-01_cbf.nii.gz", reference / "sub-01_ses-01_space-ncct_cbf.nii.gz")
    for case, other in zip(compared(results, reference).cases, ("run-2", "run-1"), strict=True):
        assert (
            f"The same reference maps are compared with other runs, sub-01_ses-01_{other}: were they made of this scan?"
            in case.remarks
        )
        assert (
            f"The reference was brought into another space before, ncct, as its name says: maps named as the run, "
            f"{case.name}_, were not found." in case.remarks
        )
    own = reference / "sub-01_ses-01_run-1_cbf.nii.gz"
    shutil.copy(reference / "sub-01_ses-01_space-ncct_cbf.nii.gz", own)
    first, second = (" ".join(case.remarks) for case in compared(results, own.parent).cases[:1] * 2)
    assert "other runs" not in first + second and "another space" not in first


def test_two_files_of_one_map_given_one_by_one_are_refused_with_what_helps(runs, tmp_path, capsys):
    """Not with the advice to give them one by one."""
    files = [runs / name / "sub-01_ses-01_cbf.nii.gz" for name in ("ours", "other")]
    message = refused([runs / "ours", *[files[0]] * 30, f"cbf={files[1]}"], capsys)
    assert f"found {files[0]} and {files[0]} and 29 others. Leave one out." in message, "thirty would be no sentence"
    message = refused([runs / "ours", files[0], f"cbf={files[1]}"], capsys)
    assert f"one CBF map a case is needed; found {files[0]} and {files[1]}. Leave one out." in message
    assert "one by one" not in message


def test_a_word_that_is_no_map_is_called_so(runs, tmp_path, capsys, monkeypatch):
    file = runs / "other" / "sub-01_ses-01_cbf.nii.gz"
    message = refused([runs / "ours", f"fooo={file}"], capsys)
    assert "MAP one of cbf, cbv, mtt, tmax, ttp, delay," in message
    assert "found 'fooo', which is no map, and no file of this whole name." in message
    monkeypatch.chdir(tmp_path)
    shutil.copy(file, "a=b_cbf.nii.gz")
    assert list(compared(runs / "ours", "a=b_cbf.nii.gz").cases[0].maps) == ["cbf"]
    assert "this path does not exist" in refused([runs / "ours", tmp_path / "c=d_cbf.nii.gz"], capsys)


def test_a_map_without_its_file_is_no_folder(runs, capsys):
    message = refused([runs / "ours", "cbf="], capsys)
    assert "Reference cbf=: a file is needed behind the sign; found none (a shell variable that is not set?)" in message


def test_a_unit_of_null_is_none(runs, tmp_path):
    shutil.copy(runs / "other" / "sub-01_ses-01_cbf.nii.gz", tmp_path / "x_cbf.nii.gz")
    (tmp_path / "x_cbf.json").write_text('{"Unit": null}')
    assert read_image(tmp_path / "x_cbf.nii.gz").unit == ""


def test_letters_of_a_name_may_be_written_as_macos_does(tmp_path):
    """As a letter and its dots: the maps of a run are found beside those of others."""
    one, two = (unicodedata.normalize(form, "Mü") for form in ("NFC", "NFD"))
    assert one != two
    for run, reference in ((one, two), (two, one)):
        folder = tmp_path / ascii(run + reference).replace("\\", "")
        folder.mkdir()
        for prefix in (reference, "other"):
            (folder / f"{prefix}_cbf.nii.gz").write_bytes(b"")
        found = find_references([folder])
        taken = reference_of(run, found, alone=True)
        assert taken == {"cbf": folder / f"{reference}_cbf.nii.gz"}
        assert case_of(run) == case_of(reference) and not doubts_of_choice(run, found, taken)


def test_two_maps_of_one_kind_are_refused(runs, tmp_path, capsys):
    for name in ("x_cbf.nii.gz", "x_cbf.nii"):
        write_image(read_image(runs / "other" / "sub-01_ses-01_cbf.nii.gz"), tmp_path / name)
    assert "one CBF map a case is needed; found " in refused([runs / "ours", tmp_path], capsys)
    (tmp_path / "x_cbf.nii").rename(tmp_path / "y_cbf.nii")
    message = refused([runs / "ours", tmp_path], capsys)
    assert "one set of reference maps is needed" in message
    assert "found x, y. Give a folder that holds one set, or 'pypet compare' the files one by one." in message


def test_damaged_results_are_refused(runs, tmp_path, capsys):
    other = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    path = other / "sub-01_ses-01_summary.json"
    about = json.loads(path.read_text())
    write_json({**about, "lesions": {"midplane": {"normal": [1.0]}}}, path)
    assert "plane and checks of 'pypet run' are needed; found others" in refused([other, runs / "other"], capsys)
    write_json({**about, "settings": {**about["settings"], "method": "magic"}}, path)
    assert "Setting method: one of" in refused([other, runs / "other"], capsys)
    write_json(about, path)
    (other / "sub-01_ses-01_brain_mask.nii.gz").unlink()
    assert "sub-01_ses-01_brain_mask.nii.gz is needed; found none" in refused([other, runs / "other"], capsys)
    (other / "sub-01_ses-01_summary.json").write_text("[]")
    assert "what 'pypet run' writes is needed" in refused([other, runs / "other"], capsys)
    (other / "sub-01_ses-01_summary.json").write_text("{")
    assert "a JSON file is needed" in refused([other, runs / "other"], capsys)


def test_by_which_rule_and_method_a_run_is_is_said(runs, tmp_path):
    """So that runs of several methods in one data set are told apart."""
    for folder in (runs / "ours", put_run(tmp_path, runs / "other", "sub-01_ses-01")):
        (summary,) = folder.glob("*_summary.json")
        about = json.loads(summary.read_text())
        remark = f"The run has {about['lesions']['rule']}."
        assert f"maps by {about['settings']['method']}" in remark
        assert remark in compared(folder, runs / "other").cases[0].remarks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[" * 200_000, "a JSON file is needed; found too many brackets within each other. Run again"),
        ('{"settings": {}, "lesions": {"midplane": [1]}}', "plane and checks .* are needed"),
        (f'{{"settings": {{}}, "lesions": {{"midplane": {{"normal": [1{"0" * 400}, 0, 0]}}}}}}', "plane and checks"),
        (
            '{"settings": {}, "lesions": {"midplane": {"normal": [NaN, 0, 0], "offset_mm": 0, "asymmetry_hu": 1}}}',
            "plane and checks",
        ),
    ],
    ids=["nested", "list", "huge", "nan"],
)
def test_a_summary_of_another_hand_is_refused_in_words(runs, tmp_path, capsys, text, found):
    broken = shutil.copytree(runs / "ours", tmp_path / "broken")
    (broken / "sub-01_ses-01_summary.json").write_text(text)
    assert re.search(f"Summary .*sub-01_ses-01_summary.json: .*{found}", refused([broken, runs / "other"], capsys))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_reference_that_is_a_link_to_itself_is_refused_in_words(runs, tmp_path, capsys):
    (tmp_path / "sub-01_ses-01_tmax.nii.gz").symlink_to("sub-01_ses-01_tmax.nii.gz")
    assert "tmax.nii.gz: cannot be opened" in refused([runs / "ours", tmp_path], capsys)


@pytest.mark.parametrize("why", [{"invalid": [5]}, {"checks": [{"status": "fail", "text": {"a": 1}}]}])
def test_a_reason_for_being_invalid_is_a_text_whatever_it_was(runs, tmp_path, why):
    odd = shutil.copytree(runs / "ours", tmp_path / "odd")
    path = odd / "sub-01_ses-01_summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "invalid": [], "checks": [], **why}))
    (case,) = compared(odd, runs / "other").cases
    write_tables(Cohort((case,), {}), tmp_path)
    assert case.results.invalid in (("5",), ("{'a': 1}",))


def test_results_on_two_grids_are_refused_and_both_are_named(runs, tmp_path, capsys):
    other = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    cbf = other / "sub-01_ses-01_cbf.nii.gz"
    image = read_image(cbf)
    write_image(moved(image, origin_mm=(1.0, 2.0, 3.0)), cbf, missing=float("nan"))
    message = refused([other, runs / "other"], capsys)
    assert f"is needed; found another in cbf of sub-01_ses-01, {read_image(cbf).geometry.describe()}. Run" in message
    assert f"one grid, that of the brain mask, {image.geometry.describe()}, is" in message


def test_a_run_that_is_marked_invalid_is_said_to_be(runs, tmp_path):
    other = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    path = other / "sub-01_ses-01_summary.json"
    about = json.loads(path.read_text())
    about["checks"].append({"name": "bolus", "status": "fail", "text": "No bolus.", "value": None})
    write_json(about, path)
    assert "The run is marked invalid: No bolus." in compared(other, runs / "other").cases[0].remarks


def test_a_summary_that_an_editor_saved_with_a_mark_is_read(runs, tmp_path):
    path = put_run(tmp_path, runs / "other", "sub-01_ses-01") / "sub-01_ses-01_summary.json"
    path.write_text("\ufeff" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert read_run(path, ["cbf"]).settings.method == "bSVD"


def test_a_reference_that_is_marked_invalid_is_said_to_be(runs, tmp_path, capsys):
    """By its summary, or, where its maps came without one, by their sidecars."""
    other = put_run(tmp_path, runs / "other", "sub-01_ses-01")
    path = other / "sub-01_ses-01_summary.json"
    write_json({**json.loads(path.read_text()), "invalid": ["No bolus."]}, path)
    case = compared(runs / "ours", other).cases[0]
    assert (case.results.invalid, case.reference.invalid) == ((), ("No bolus.",))
    assert "The reference is marked invalid: No bolus." in case.remarks
    path.unlink()
    sidecar = other / "sub-01_ses-01_tmax.json"
    write_json({**json.loads(sidecar.read_text()), "Invalid": ["No vein."]}, sidecar)
    assert main(["compare", str(runs / "ours"), str(other)]) == 0
    told = capsys.readouterr().out
    assert "**Marked INVALID (see Remarks), and in the numbers all the same:** sub-01_ses-01 (reference)." in told
    assert "* The reference is marked invalid: No vein." in told


def test_from_where_and_by_which_method_both_are_is_said(runs, isles, tmp_path):
    case = compared(runs / "ours", runs / "other").cases[0]
    assert case.reference.place == str(runs / "other" / "sub-01_ses-01_*")
    assert (case.results.method, case.reference.method) == ("Bayesian, weak prior of MTT", "bSVD, cut-off 0.1")
    text = markdown(Cohort((case,), {}))
    for source in (case.results, case.reference):
        assert f"{source.place} | {source.method}" in " ".join(text.split())
    one = compared(runs / "ours", f"cbf={runs / 'other' / 'sub-01_ses-01_cbf.nii.gz'}").cases[0].reference
    assert one.place == str(runs / "other" / "sub-01_ses-01_cbf.nii.gz")
    bare = put_run(tmp_path, runs / "other", "sub-01_ses-01")
    (bare / "sub-01_ses-01_summary.json").write_text("[]")
    assert compared(runs / "ours", bare).cases[0].reference.method == "bSVD, cut-off 0.1", "as the sidecars say"
    assert compared(runs / "ours", isles).cases[0].reference.method == ""
    assert "not known" in markdown(compared(runs / "ours", isles))


def test_the_methods_of_maps_from_several_places_are_all_named_and_each_by_one_name(runs, tmp_path):
    """By the summary beside each map, else by its own sidecar."""
    cbf, cbv = (runs / name / f"sub-01_ses-01_{one}.nii.gz" for name, one in (("ours", "cbf"), ("other", "cbv")))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name, source in (("mtt", "ours"), ("tmax", "other")):
        for kind in ("nii.gz", "json"):
            shutil.copy(runs / source / f"sub-01_ses-01_{name}.{kind}", bare / f"x_{name}.{kind}")
    bayesian, svd = "Bayesian, weak prior of MTT", "bSVD, cut-off 0.1"
    mtt, tmax = bare / "x_mtt.nii.gz", bare / "x_tmax.nii.gz"
    assert provenance_of({"cbf": cbf, "mtt": mtt}).method == bayesian
    assert provenance_of({"cbf": cbf, "tmax": tmax}).method == f"{bayesian} and {svd}"
    assert provenance_of({"cbv": cbv, "mtt": mtt, "tmax": tmax}).method == f"{svd} and {bayesian}"
    sidecar = mtt.with_name("x_mtt.json")
    about = json.loads(sidecar.read_text())
    for settings in (None, {}, {"method": "magic"}, {**about["Settings"], "method": 3}):
        write_json({**about, "Settings": settings, "DeconvolutionMethod": "SVD+"}, sidecar)
        assert provenance_of({"mtt": mtt}).method == "SVD+"
    sidecar.unlink()
    assert provenance_of({"mtt": mtt}).method == ""
    assert provenance_of({"mtt": mtt, "tmax": tmax}).method == svd


def test_settings_of_the_run_decide_the_rule(runs, tmp_path):
    other = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    path = other / "sub-01_ses-01_summary.json"
    about = json.loads(path.read_text())
    about["settings"] |= {"lesion_rule": "own", "hypoperfusion_tmax_s": 4.0, "of_a_later_version": 1}
    write_json(about, path)
    found = {region.name: region for region in compared(other, runs / "other").cases[0].findings.regions}
    assert found["Hypoperfusion"].ml == found["Tmax > 4 s"].ml
    assert read_run(path, ()).settings.hypoperfusion_tmax_s == 4.0
