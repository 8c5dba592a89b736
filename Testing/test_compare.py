"""Runs against reference maps: what is found, what is measured, what is said, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_pictures import coded, palette, with_bar

from PyPeTLib import Settings, analyze
from PyPeTLib.beside import read_beside
from PyPeTLib.cli import main
from PyPeTLib.cohort import (
    Cohort,
    compare_folders,
    criterion_agreement,
    side_agreement,
    spread,
    volume_agreement,
    volumes_of,
)
from PyPeTLib.compare import compare_findings
from PyPeTLib.compare_drawing import FigureWriter
from PyPeTLib.compare_tables import markdown, tables_of, write_tables
from PyPeTLib.comparison_files import comparison_files
from PyPeTLib.errors import InputError, PyPeTError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.lesion_facts import MET, RESEARCH_USE
from PyPeTLib.lesions import find_lesions
from PyPeTLib.outputs import find_runs, read_run
from PyPeTLib.pairing import Pair, pair_up, resampled
from PyPeTLib.progress import silent
from PyPeTLib.read import read_image
from PyPeTLib.records import Midplane
from PyPeTLib.reference_maps import (
    case_of,
    doubts_of_choice,
    find_references,
    provenance_of,
    reference_of,
)
from PyPeTLib.results import write_analysis
from PyPeTLib.similarity import Differences
from PyPeTLib.units import in_unit
from PyPeTLib.write import write_image, write_json

MAPS = ("cbf", "cbv", "mtt", "tmax")
LABELS = ("CBF", "CBV", "MTT", "Tmax")


@pytest.fixture(scope="module")
def runs(tiny_head, tiny_analysis, tmp_path_factory):
    """Folders of the same scan: the default method, and bSVD with other smoothing; named sub-01_ses-01."""
    folder = tmp_path_factory.mktemp("runs")
    other = analyze(tiny_head.series, Settings(method="bSVD", denoise="gaussian"))
    for name, analysis in (("ours", tiny_analysis), ("other", other)):
        named = replace(analysis, series=replace(analysis.series, name="sub-01_ses-01_ctp"))
        (folder / name).mkdir()
        write_analysis(named, folder / name, report=False)
    return folder


@pytest.fixture(scope="module")
def isles(runs, tmp_path_factory):
    """The other maps as a case of ISLES 2024: no sidecars, no masks, in its folders."""
    return put_isles(tmp_path_factory.mktemp("isles"), runs / "other", "sub-01", "ses-01")


@pytest.fixture(scope="module")
def comparison(runs):
    return compared(runs / "ours", runs / "other").cases[0]


def put_isles(root: Path, source: Path, subject: str, session: str) -> Path:
    folder = root / subject / session / "perfusion-maps"
    folder.mkdir(parents=True)
    for name in MAPS:
        shutil.copy(source / f"sub-01_ses-01_{name}.nii.gz", folder / f"{subject}_{session}_{name}.nii.gz")
    return root


def put_run(root: Path, source: Path, prefix: str) -> Path:
    """Copy a run under another name."""
    folder = root / prefix
    folder.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copy(file, folder / file.name.replace("sub-01_ses-01", prefix))
    return folder


def compared(results, *references, **options):
    return compare_folders(Path(results), [Path(one) for one in references], progress=silent, **options)


def maps_in(folder: Path, **changed) -> Path:
    """Write maps alone into a folder, some of them changed: a function of the image, or None to leave it out."""
    folder.mkdir()
    source = changed.pop("source")
    for name in MAPS:
        image = read_image(source / f"sub-01_ses-01_{name}.nii.gz")
        image = changed[name](image) if changed.get(name, 0) else image
        if name not in changed or changed[name] is not None:
            write_image(image, folder / f"x_{name}.nii.gz", missing=float("nan"))
    return folder


def refused(arguments, capsys, code=2):
    assert main(["compare", *map(str, arguments)]) == code
    message = capsys.readouterr().err
    assert message.startswith("pypet: ")
    assert "Traceback" not in message
    return message


# One case


def test_maps_are_compared_over_the_common_brain_mask(runs, comparison):
    brains = [read_image(runs / name / "sub-01_ses-01_brain_mask.nii.gz").values != 0 for name in ("ours", "other")]
    ours, theirs = (read_image(runs / name / "sub-01_ses-01_cbf.nii.gz").values for name in ("ours", "other"))
    common = brains[0] & brains[1] & np.isfinite(ours) & np.isfinite(theirs)
    found = comparison.maps["cbf"]
    assert found.voxels == common.sum()
    apart = ours[common].astype(float) - theirs[common]
    assert found.physical.mae == pytest.approx(np.abs(apart).mean(), rel=1e-5)
    assert found.physical.limits.low == pytest.approx(apart.mean() - 1.96 * apart.std(ddof=1), rel=1e-5)
    assert found.physical.unit == "mL/100 g/min"
    assert found.ncc == pytest.approx(np.corrcoef(ours[common], theirs[common])[0, 1], rel=1e-5)


def test_zeros_outside_the_references_own_brain_mask_are_no_values(runs, tmp_path):
    """Its maps have NaN inside, so zeros would count; its mask says that they do not."""
    other = put_run(tmp_path, runs / "other", "sub-01_ses-01")
    brain = read_image(other / "sub-01_ses-01_brain_mask.nii.gz")
    half = brain.values != 0
    half[..., half.shape[-1] // 2 :] = False
    write_image(Image(half, brain.geometry), other / "sub-01_ses-01_brain_mask.nii.gz")
    cbf = read_image(other / "sub-01_ses-01_cbf.nii.gz")
    inside = np.where(half, cbf.values, 0.0)
    inside[np.nonzero(half)[0][:5], np.nonzero(half)[1][:5], np.nonzero(half)[2][:5]] = np.nan
    write_image(Image(inside, cbf.geometry, cbf.unit), other / "sub-01_ses-01_cbf.nii.gz", missing=float("nan"))
    ours = read_image(runs / "ours" / "sub-01_ses-01_cbf.nii.gz").values != 0
    assert compared(runs / "ours", other).cases[0].maps["cbf"].voxels == (half & ours).sum() - 5


def test_the_runs_own_maps_end_at_its_brain_in_a_wider_mask_too(runs, tmp_path):
    """Their background is 0, as a Tmax may be; in MTT, which has NaN inside, it counted."""
    brain = read_image(runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz")
    write_image(Image(np.ones(brain.values.shape, dtype=bool), brain.geometry), tmp_path / "all.nii.gz")
    wide = maps_in(
        tmp_path / "wide", source=runs / "other", **dict.fromkeys(MAPS, lambda im: replace(im, values=im.values + 1))
    )
    found = compared(runs / "ours", wide, mask=tmp_path / "all.nii.gz").cases[0]
    for name in MAPS:
        ours, theirs = (
            read_image(file).values
            for file in (runs / "ours" / f"sub-01_ses-01_{name}.nii.gz", wide / f"x_{name}.nii.gz")
        )
        both = (brain.values != 0) & np.isfinite(ours) & np.isfinite(theirs)
        assert found.maps[name].voxels == both.sum()
        assert found.maps[name].mean == pytest.approx(ours[both].mean(dtype=float), rel=1e-5)
        assert found.maps[name].coverage == pytest.approx(both.mean())
    assert any(f"Compared within the mask {tmp_path / 'all.nii.gz'}, not" in one for one in found.remarks)


def with_zeros(folder):
    """Set Tmax of a run to 0 in half of the brain, up to its edge, as sSVD does; the brain."""
    brain = read_image(folder / "sub-01_ses-01_brain_mask.nii.gz").values != 0
    tmax = read_image(folder / "sub-01_ses-01_tmax.nii.gz")
    values = tmax.values.copy()
    values[..., : values.shape[-1] // 2] = 0.0
    about = json.loads((folder / "sub-01_ses-01_tmax.json").read_text())
    write_image(replace(tmax, values=values), folder / "sub-01_ses-01_tmax.nii.gz", metadata=about)
    return brain


def test_zeros_within_the_runs_brain_are_values(runs, tmp_path, comparison):
    ours = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    with_zeros(ours)
    found = compared(ours, runs / "other").cases[0].maps["tmax"]
    assert found.voxels == comparison.maps["tmax"].voxels
    assert found.mean < 0.8 * comparison.maps["tmax"].mean


def test_zeros_of_a_reference_without_its_mask_are_a_background_which_is_said(runs, tmp_path, comparison):
    """With the mask beside it they are values."""
    other = put_run(tmp_path, runs / "other", "sub-01_ses-01")
    brain = with_zeros(other)
    case = compared(runs / "ours", other).cases[0]
    assert case.maps["tmax"].voxels == comparison.maps["tmax"].voxels
    assert not any("as a background is" in remark for remark in case.remarks)
    (other / "sub-01_ses-01_brain_mask.nii.gz").unlink()
    case = compared(runs / "ours", other).cases[0]
    lost = brain[..., : brain.shape[-1] // 2].sum() / brain.sum()
    assert case.maps["tmax"].coverage == pytest.approx(1.0 - lost, abs=0.01)
    said = f"Tmax: The reference has no value in {100 * lost:.0f} % of the voxels to compare: it is 0 there, up to the"
    assert any(remark.startswith(said) for remark in case.remarks)


def ring(inside, background=0.0):
    """A map of two slices: a background, and what is inside."""
    values = np.full((2, 8, 8), background)
    values[:, 2:6, 2:6] = inside
    return Image(values, Geometry((8, 8, 2), (1.0, 1.0, 5.0)))


def changed(image, *places, **about):
    """Give voxels other values: pairs of an index and a value."""
    values = image.values.copy()
    for place, value in places:
        values[place] = value
    return replace(image, values=values, **about)


@pytest.mark.parametrize("place", [(0, 3, 3), (0, 0, 0)])
def test_a_single_missing_value_makes_no_values_of_a_background_of_zeros(place):
    theirs = changed(ring(5.0), (place, np.nan))
    assert pair_up(ring(1.0, 9.0), theirs).compared.sum() == 32 - (place == (0, 3, 3))
    assert pair_up(theirs, ring(1.0, 9.0)).compared.sum() == 32 - (place == (0, 3, 3))


def test_zeros_beside_a_background_of_nan_are_values_and_slices_of_zeros_none():
    theirs = changed(ring(5.0, np.nan), ((0, 2, slice(2, 6)), 0.0), ((0, slice(0, 3), 3), 0.0), (1, 0.0))
    pair = pair_up(ring(1.0, 9.0), theirs)
    assert (pair.compared[0].sum(), pair.compared[1].sum()) == (18, 0)


def test_what_is_known_to_be_outside_the_mask_decides_what_has_no_value(tmp_path):
    """As the JSON file beside a map says; not by what most of the edge is."""
    theirs = changed(ring(5.0, np.nan), ((0, slice(0, 3), 3), 0.0))
    assert pair_up(ring(1.0, 9.0), replace(theirs, outside=0.0)).compared.sum() == 31
    write_image(ring(5.0), tmp_path / "x_cbf.nii.gz", metadata={"OutsideMask": 0})
    assert read_image(tmp_path / "x_cbf.nii.gz").outside == 0.0
    full = replace(ring(0.0), outside=float("nan"))
    assert pair_up(ring(1.0, 9.0), full).compared.all()


def test_a_run_against_itself_elsewhere_agrees_in_everything(runs, tmp_path):
    found = compared(runs / "ours", put_run(tmp_path, runs / "ours", "sub-01_ses-01")).cases[0]
    for one in found.maps.values():
        assert (one.ncc, one.relative.icc) == (pytest.approx(1.0), pytest.approx(1.0))
        assert one.physical.rmse == 0.0
    assert all(region.difference_ml == 0.0 for region in found.findings.regions)
    assert {region.dice for region in found.findings.regions if region.ml > 0} == {1.0}
    assert all(ours == theirs for ours, theirs in found.findings.criteria.values())


def test_regions_are_the_lesions_of_the_run(comparison, tiny_analysis):
    volumes = tiny_analysis.lesions.volumes_ml
    found = {region.name: region for region in comparison.findings.regions}
    assert found["Hypoperfusion"].ml == pytest.approx(volumes["hypoperfusion"].ml, rel=0.05)
    assert found["Tmax > 6 s"].reference_ml > 0
    assert 0.0 < found["Tmax > 6 s"].dice < 1.0
    assert set(comparison.findings.criteria) == {"DEFUSE 3", "EXTEND"}


def test_reference_volumes_are_those_of_its_own_run(runs, comparison):
    about = json.loads((runs / "other" / "sub-01_ses-01_summary.json").read_text())["volumes_ml"]
    found = {region.name: region.reference_ml for region in comparison.findings.regions}
    assert found["Tmax > 6 s"] == pytest.approx(about["tmax_over_6s"], rel=0.05)


def test_files_of_isles_have_no_unit_which_is_said(runs, isles, capsys):
    assert main(["compare", str(runs / "ours"), str(isles)]) == 0
    text = capsys.readouterr().out
    assert "CBF: The reference does not tell its unit; mL/100 g/min is assumed." in text
    assert "MTT, Tmax: The reference does not tell its unit; s is assumed." in text
    assert "Research use only" in text
    assert "| Normalized cross-correlation (NCC)" in text


def test_a_mask_of_the_user_takes_the_place_of_the_brain_mask(runs, tmp_path, comparison):
    brain = read_image(runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz")
    half = brain.values.copy()
    half[..., half.shape[-1] // 2 :] = 0
    write_image(Image(half != 0, brain.geometry), tmp_path / "half.nii.gz")
    found = compared(runs / "ours", runs / "other", mask=tmp_path / "half.nii.gz").cases[0]
    assert 0.3 < found.maps["cbf"].voxels / comparison.maps["cbf"].voxels < 0.7
    told = [remark for remark in found.remarks if str(tmp_path / "half.nii.gz") in remark]
    assert told[0] == f"Compared within the mask {tmp_path / 'half.nii.gz'}, not within the run's brain mask."
    assert re.fullmatch(r"Regions are over \d\d % of the tissue: it is within the mask .*, and there the .*", told[1])
    assert f"* {told[0]}" in markdown(Cohort((found,), {}))
    assert not any("within the mask" in remark for remark in comparison.remarks)


@pytest.mark.parametrize(("value", "found"), [(np.nan, "a number in every voxel is needed"), (0.3, "values from 0.3")])
def test_a_mask_that_pypet_run_refuses_is_refused(runs, tmp_path, capsys, value, found):
    """NaN is not 0, so everything was inside."""
    brain = read_image(runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz")
    mask = np.where(brain.values != 0, 1.0, value)
    write_image(Image(mask, brain.geometry), tmp_path / "m.nii.gz", missing=float("nan"))
    message = refused([runs / "ours", runs / "other", "--mask", tmp_path / "m.nii.gz"], capsys)
    assert f"Mask {tmp_path / 'm.nii.gz'}: " in message and found in message
    ours = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    shutil.copy(tmp_path / "m.nii.gz", ours / "sub-01_ses-01_csf_mask.nii.gz")
    assert found in refused([ours, runs / "other"], capsys)


def test_within_a_mask_without_tissue_nothing_is_known_of_regions_and_criteria(runs):
    """0 mL and "not met" would say that there is no lesion."""
    mask = runs / "ours" / "sub-01_ses-01_csf_mask.nii.gz"
    case = compared(runs / "ours", runs / "other", mask=mask).cases[0]
    assert case.findings.regions[0].name == "Core"
    assert np.isnan([(one.ml, one.reference_ml, one.dice) for one in case.findings.regions]).all()
    assert case.findings.criteria == {"DEFUSE 3": (None, None), "EXTEND": (None, None)}
    assert np.isnan(list(case.findings.ratios.values())).all()
    assert case.findings.sides == ("unknown", "unknown")
    said = f"Regions, ratios and criteria are not known: no tissue within the mask {mask} has values in the maps of bo"
    assert any(remark.startswith(said) for remark in case.remarks)
    text = markdown(Cohort((case,), {}))
    assert re.search(r"\| Core +\| not defined +\| not defined", text)
    assert re.search(r"\| EXTEND +\| not known +\| not known", text)


def test_a_mask_outside_the_brain_is_refused_as_such(runs, tmp_path, capsys):
    brain = read_image(runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz")
    write_image(Image(brain.values == 0, brain.geometry), tmp_path / "air.nii.gz")
    message = refused([runs / "ours", runs / "other", "--mask", tmp_path / "air.nii.gz"], capsys)
    assert "Map: values in voxels of the mask are needed; found none" in message
    assert "Choose another map or mask." in message


def test_an_empty_mask_is_refused(runs, tmp_path, capsys):
    brain = read_image(runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz")
    write_image(Image(np.zeros(brain.values.shape, dtype=bool), brain.geometry), tmp_path / "none.nii.gz")
    message = refused([runs / "ours", runs / "other", "--mask", tmp_path / "none.nii.gz"], capsys)
    assert "a mask with voxels is needed; found none in it" in message


def test_files_may_be_given_one_by_one_under_any_name(runs, tmp_path):
    shutil.copy(runs / "other" / "sub-01_ses-01_cbf.nii.gz", tmp_path / "flow.nii.gz")
    found = compared(runs / "ours", f"cbf={tmp_path / 'flow.nii.gz'}", runs / "other" / "sub-01_ses-01_tmax.nii.gz")
    assert list(found.cases[0].maps) == ["cbf", "tmax"]
    assert "Not compared, only in the results: CBV, MTT, TTP, Delay." in found.cases[0].remarks


def test_prefixes_differ_and_the_one_case_is_compared_all_the_same(runs, tmp_path):
    folder = tmp_path / "vendor"
    folder.mkdir()
    for name in MAPS:
        shutil.copy(runs / "other" / f"sub-01_ses-01_{name}.nii.gz", folder / f"series-{len(name)}_{name}.nii.gz")
    assert list(compared(runs / "ours", folder).cases[0].maps) == list(MAPS)


# Grids


def moved(image, **changes):
    return Image(image.values, replace(image.geometry, **changes), image.unit)


def test_a_reference_on_a_finer_grid_is_averaged_and_that_is_said(runs, tmp_path, comparison):
    def finer(image):
        grid = image.geometry
        spacing = np.asarray(grid.spacing_mm) / (2, 2, 1)
        origin = np.asarray(grid.origin_mm) - grid.axes @ (spacing * (0.5, 0.5, 0))
        size = (2 * grid.size[0], 2 * grid.size[1], grid.size[2])
        fine = Geometry(size, tuple(spacing.tolist()), tuple(origin.tolist()), grid.direction)
        return Image(image.values.repeat(2, axis=1).repeat(2, axis=2), fine, image.unit)

    found = compared(runs / "ours", maps_in(tmp_path / "fine", source=runs / "other", **dict.fromkeys(MAPS, finer)))
    for name in MAPS:
        assert found.cases[0].maps[name].ncc == pytest.approx(comparison.maps[name].ncc, abs=0.002)
    assert any("128×128×4 voxels of 1.6×1.6×10 mm: averaged over voxels" in remark for remark in found.cases[0].remarks)


def test_a_reference_on_a_coarser_grid_is_interpolated_and_that_is_said(runs, tmp_path, comparison):
    def coarser(image):
        grid = image.geometry
        size, spacing = (grid.size[0] // 2, grid.size[1] // 2, grid.size[2]), np.asarray(grid.spacing_mm) * (2, 2, 1)
        origin = np.asarray(grid.origin_mm) + grid.axes @ (np.asarray(grid.spacing_mm) * (0.5, 0.5, 0))
        coarse = Geometry(size, tuple(spacing.tolist()), tuple(origin.tolist()), grid.direction)
        z, y, x = image.values.shape
        means = np.nan_to_num(image.values).reshape(z, y // 2, 2, x // 2, 2).mean(axis=(2, 4))
        return Image(means.astype(np.float32), coarse, image.unit)

    found = compared(runs / "ours", maps_in(tmp_path / "coarse", source=runs / "other", **dict.fromkeys(MAPS, coarser)))
    case = found.cases[0]
    assert case.maps["tmax"].coverage > 0.95
    assert case.maps["tmax"].ncc == pytest.approx(comparison.maps["tmax"].ncc, abs=0.1)
    said = "Reference on another grid, 32×32×4 voxels of 6.4×6.4×10 mm: interpolated linearly."
    assert any(remark.endswith(said) for remark in case.remarks)


def test_averaging_keeps_the_mean_of_noise_and_lowers_its_spread():
    coarse = Geometry((10, 10, 4), (2.0, 2.0, 8.0), (1.0, 1.0, 4.0))
    fine = Geometry((40, 40, 16), (0.5, 0.5, 2.0), (0.25, 0.25, 1.0))
    noise = np.random.default_rng(0).normal(5.0, 1.0, fine.shape)
    found = resampled(Image(noise, fine), coarse).values
    blocks = noise.reshape(4, 4, 10, 4, 10, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(found, blocks, rtol=1e-6)


@pytest.mark.parametrize("turn", [np.eye(3), np.diag((-1.0, 1.0, 1.0)), np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])])
def test_averaging_does_not_shift(turn):
    coarse = Geometry((12, 9, 3), (3.0, 3.0, 6.0), (-17.0, -12.0, -6.0))
    size, spacing = (60, 60, 20), (0.75, 0.75, 1.5)
    origin = -turn @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    fine = Geometry(size, spacing, tuple(origin.tolist()), tuple(turn.ravel().tolist()))

    def linear(grid):
        index = np.moveaxis(np.indices(grid.shape), 0, -1)[..., ::-1]
        return 100.0 + (np.asarray(grid.origin_mm) + (index * grid.spacing_mm) @ grid.axes.T) @ (0.7, -0.4, 0.2)

    found = resampled(Image(linear(fine), fine), coarse).values
    inside = np.isfinite(found)
    assert inside.mean() > 0.6
    np.testing.assert_allclose(found[inside], linear(coarse)[inside], atol=0.5)
    inner = found[1, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, linear(coarse)[1, 2:-2, 2:-2], atol=1e-6)


def test_a_reference_somewhere_else_is_refused(runs, tmp_path, capsys):
    far = maps_in(
        tmp_path / "far", source=runs / "other", **dict.fromkeys(MAPS, lambda im: moved(im, origin_mm=(9e3, 0, 0)))
    )
    message = refused([runs / "ours", far, "-o", tmp_path / "out"], capsys)
    assert (
        "Case sub-01_ses-01, CBF: Comparison: a map and a reference that share voxels of the mask are needed" in message
    )
    assert not (tmp_path / "out").exists()


def test_a_reference_that_does_not_say_where_it_lies_is_doubted(runs, tmp_path):
    """Neither sform nor qform: ITK puts its first voxel at 0 mm, in the middle of this brain."""
    import nibabel

    everywhere = dict.fromkeys(MAPS, lambda im: replace(im, values=np.nan_to_num(im.values) + 1))
    away = maps_in(tmp_path / "x", source=runs / "other", **everywhere)
    for file in away.glob("*.nii.gz"):
        image = nibabel.load(file)
        image.header.set_sform(None, 0)
        image.header.set_qform(None, 0)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), file)
    case = compared(runs / "ours", away).cases[0]
    assert case.maps["cbf"].coverage < 0.5
    assert any(
        one.startswith("CBF, CBV, MTT, Tmax: Reference does not say where it lies: its axes") for one in case.remarks
    )
    covered = re.compile(
        r"CBF.*: The reference has values in \d\d? % of the voxels to compare: does it lie where the map does\?"
    )
    assert any(map(covered.fullmatch, case.remarks))
    assert any("does not say where it lies" in one for one in read_beside(away, "x").remarks)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_references_without_values_are_refused_by_name_not_for_their_place(runs, tmp_path, capsys, value):
    """They lie on the same grid, so to speak of places would mislead."""
    nothing = maps_in(
        tmp_path / "x", source=runs / "other", **dict.fromkeys(MAPS, lambda im: replace(im, values=0 * im.values))
    )
    for file in nothing.glob("*.nii.gz"):
        image = read_image(file)
        write_image(replace(image, values=np.full_like(image.values, value)), file, missing=float("nan"))
    message = refused([runs / "ours", nothing, "-o", tmp_path / "out"], capsys)
    assert "Case sub-01_ses-01, CBF: Reference: values in voxels of the mask are needed; found none" in message
    assert "Export this map again, or leave it out." in message
    assert "in common" not in message
    assert not (tmp_path / "out").exists()


def test_one_reference_without_values_does_not_refuse_the_others(runs, tmp_path, comparison):
    empty = maps_in(
        tmp_path / "x", source=runs / "other", cbv=lambda im: replace(im, values=np.full_like(im.values, np.nan))
    )
    case = compared(runs / "ours", empty).cases[0]
    assert list(case.maps) == ["cbf", "mtt", "tmax"]
    assert "CBV: Not compared: the reference has no value where the run has" in "".join(case.remarks)
    assert case.maps["cbf"].ncc == pytest.approx(comparison.maps["cbf"].ncc, rel=0.01)
    assert any("need CBV in both; only Tmax is compared" in one for one in case.findings.remarks)


def test_a_map_without_values_is_refused_as_such():
    grid = Geometry((8, 8, 2), (1.0, 1.0, 5.0))
    some, none = Image(np.ones(grid.shape), grid), Image(np.full(grid.shape, np.nan), grid)
    with pytest.raises(InputError, match=r"^Map: values in voxels are needed; found none.*Choose another map\."):
        pair_up(none, some)


# What is not defined


def test_a_constant_map_has_no_metrics_and_that_is_said(runs, tmp_path):
    flat = maps_in(
        tmp_path / "flat", source=runs / "other", cbf=lambda im: Image(np.full_like(im.values, 7.0), im.geometry)
    )
    found = compared(runs / "ours", flat).cases[0]
    cbf = found.maps["cbf"]
    assert all(np.isnan(one) for one in (cbf.ncc, cbf.spearman, cbf.physical.icc, cbf.relative.icc))
    assert cbf.physical.mae > 0
    assert "CBF: NCC and Spearman need maps that vary; constant: reference." in found.remarks
    assert "CBF: For the same reason ICC(A,1) is not defined." in found.remarks


def test_without_a_lesion_volumes_are_0_and_ratios_not_defined(runs, tmp_path):
    def healthy(image):
        return Image(np.clip(image.values, None, 3.0), image.geometry, image.unit)

    same = maps_in(tmp_path / "healthy", source=runs / "ours", tmax=healthy)
    other = put_run(tmp_path, runs / "ours", "sub-01_ses-01")
    tmax = other / "sub-01_ses-01_tmax.nii.gz"
    write_image(healthy(read_image(tmax)), tmax, missing=float("nan"))
    found = compared(other, same).cases[0].findings
    assert {(region.ml, region.reference_ml) for region in found.regions} == {(0.0, 0.0)}
    assert all(np.isnan(region.dice) for region in found.regions)
    assert all(np.isnan(both).all() for both in found.ratios.values())
    assert any(remark.startswith("Dice is not defined where neither has a voxel: Core, ") for remark in found.remarks)
    assert any(
        "for want of a lesion or of normal tissue: Mismatch ratio, HIR, CBV index." in one for one in found.remarks
    )
    assert set(found.criteria.values()) == {(False, False)}


GRID = Geometry((60, 40, 12), (2.0, 2.0, 5.0), (-59.0, -39.0, -27.5))
PLANE = Midplane((1.0, 0.0, 0.0), 0.0, 1.0)


def pairs_of(ours, theirs):
    """Pairs of maps made by hand, with a lesion on each of the sides named: Tmax 8 s, CBF 10 of 50."""
    images = []
    for sides in (ours, theirs):
        cbf, cbv, tmax = (np.full(GRID.shape, value) for value in (50.0, 4.0, 1.0))
        for side in sides:
            place = (slice(2, 10), slice(10, 30), slice(38, 54) if side == "left" else slice(6, 22))
            cbf[place], tmax[place] = 10.0, 8.0
        images.append({"cbf": cbf, "cbv": cbv, "tmax": tmax})
    everywhere = np.ones(GRID.shape, dtype=bool)
    return {
        name: Pair(Image(images[0][name], GRID), Image(images[1][name], GRID), everywhere, 1.0) for name in images[0]
    }


def findings(ours, theirs, names=("cbf", "cbv", "tmax"), plane=PLANE, delay_sd=None, **changes):
    pairs = {name: pair for name, pair in pairs_of(ours, theirs).items() if name in names}
    return compare_findings(
        pairs,
        np.ones(GRID.shape, dtype=bool),
        plane,
        sds=({} if delay_sd is None else {"delay": delay_sd}, {}),
        settings=Settings(**changes),
    )


def test_where_both_hemispheres_are_ill_relative_values_are_withheld_and_that_is_said():
    found = findings(["left"], ["left", "right"])
    regions = {region.name: region for region in found.regions}
    volume = 8 * 20 * 16 * GRID.voxel_volume_ml
    assert (regions["Tmax > 6 s"].ml, regions["Tmax > 6 s"].reference_ml) == pytest.approx((volume, 2 * volume))
    assert regions["Tmax > 6 s"].dice == pytest.approx(2 / 3)
    assert regions["Core"].ml == pytest.approx(volume)
    assert np.isnan(regions["Core"].reference_ml)
    assert np.isnan(regions["Core"].dice)
    assert found.criteria["DEFUSE 3"] == (False, None)
    assert any(
        one.startswith("Reference: Both hemispheres are hypoperfused: no side is normal.") for one in found.remarks
    )
    assert not any(one.startswith("Results:") for one in found.remarks)


def test_the_runs_lesions_rest_on_its_own_standard_deviations_as_in_the_run():
    """Late tissue of which nothing is known (7 s later than the median, SD 8 s) is no lesion of the run."""
    unknown = Image(np.full(GRID.shape, 8.0, np.float32), GRID, "s")
    regions = {one.name: one for one in findings(["left"], ["left"], delay_sd=unknown).regions}
    assert regions["Tmax > 6 s"].ml == 0.0 < regions["Tmax > 6 s"].reference_ml


def test_tissue_that_no_blood_reaches_belongs_to_the_hypoperfusion_in_both_as_in_a_run():
    """The middle of the lesion has no flow and no delay; the standard deviation of the reference's is per 100 mL."""
    pairs = pairs_of(["left"], ["left"])
    middle = (slice(4, 8), slice(16, 24), slice(42, 50))
    for name, value in (("cbf", 1.0), ("tmax", 4.0)):
        values = pairs[name].image.values.copy()
        values[middle] = value
        unit = "mL/100 g/min" if name == "cbf" else "s"
        pairs[name] = replace(pairs[name], image=Image(values, GRID, unit), reference=Image(values, GRID, unit))
    delay = np.full(GRID.shape, 0.3)
    delay[middle] = 3.0
    known = {"delay": Image(delay, GRID, "s")}

    def late_ml(*flow_sds):
        sds = tuple(known | {"cbf": Image(np.full(GRID.shape, value), GRID, unit)} for value, unit in flow_sds)
        found = compare_findings(pairs, np.ones(GRID.shape, dtype=bool), PLANE, sds=sds, settings=Settings())
        region = {one.name: one for one in found.regions}["Hypoperfusion"]
        return np.round(np.array([region.ml, region.reference_ml]) / GRID.voxel_volume_ml)

    whole, without = 8 * 20 * 16, 8 * 20 * 16 - 4 * 8 * 8
    per_100_g, per_100_ml = "mL/100 g/min", "mL/100 mL/min"
    certain = 14.0 / 3.0  # the core's threshold is 30 % of a flow of 50
    np.testing.assert_array_equal(late_ml((4.0, per_100_g), (4.0, per_100_ml)), whole)
    np.testing.assert_array_equal(late_ml((1.01 * certain, per_100_g), (1.04 * certain, per_100_ml)), [without, whole])
    np.testing.assert_array_equal(late_ml((4.0, "counts"), (5.0, per_100_g)), without)


def test_standard_deviations_beside_the_maps_of_run_and_reference_are_read_and_handed_on(runs, tmp_path, monkeypatch):
    shutil.copytree(runs / "ours", tmp_path / "copy")
    (tmp_path / "copy" / "sub-01_ses-01_delay.nii.gz").unlink()  # that of Tmax is sought beside Tmax
    handed = []

    def noted(maps, *others, **named):
        handed.append({name: (image.unit, float(np.nanmean(image.values))) for name, image in maps.sd.items()})
        return find_lesions(maps, *others, **named)

    monkeypatch.setattr("PyPeTLib.compare.find_lesions", noted)
    compared(runs / "ours", tmp_path / "copy")
    assert handed[0] == handed[1] and set(handed[0]) == {"cbf", "delay"}
    flow = read_image(runs / "ours" / "sub-01_ses-01_cbf_sd.nii.gz")
    assert handed[0]["cbf"] == (flow.unit, pytest.approx(float(np.nanmean(flow.values))))
    for name in ("cbf_sd", "delay_sd"):
        (tmp_path / "copy" / f"sub-01_ses-01_{name}.nii.gz").unlink()
    compared(runs / "ours", tmp_path / "copy")
    assert [set(sds) for sds in handed[2:]] == [{"cbf", "delay"}, set()]


def test_beside_large_vessels_both_have_the_lesions_of_the_tissue_around():
    """Voxels next to a vessel seem early in the run and in the reference; in both they count as late."""
    pairs, vessels = pairs_of(["left"], ["left"]), np.zeros(GRID.shape, dtype=bool)
    vessels[2:10, 20, 46] = True
    early = np.where(np.roll(vessels, -1, axis=2), 1.0, pairs["tmax"].image.values)
    pairs["tmax"] = replace(pairs["tmax"], image=Image(early, GRID), reference=Image(early, GRID))
    tissue, settings = ~vessels, Settings()
    volumes = {}
    for name, known in (("known", vessels), ("unknown", None)):
        found = compare_findings(pairs, tissue, PLANE, sds=({}, {}), settings=settings, vessels=known)
        region = {one.name: one for one in found.regions}["Tmax > 6 s"]
        volumes[name] = np.array([region.ml, region.reference_ml]) / GRID.voxel_volume_ml
    np.testing.assert_allclose(volumes["known"], 8 * 20 * 16 - 8)
    np.testing.assert_allclose(volumes["unknown"], 8 * 20 * 16 - 16)


def test_large_vessels_of_a_run_are_read_and_handed_on(runs, monkeypatch):
    folder, handed = runs / "ours", []
    run = read_run(folder / "sub-01_ses-01_summary.json", MAPS)
    mask = read_image(folder / "sub-01_ses-01_vessel_mask.nii.gz").values != 0
    np.testing.assert_array_equal(run.vessels, mask)
    assert mask.any() and not (run.tissue & mask).any()

    def noted(maps, tissue, vessels, *others, **named):
        handed.append(vessels)
        return find_lesions(maps, tissue, vessels, *others, **named)

    monkeypatch.setattr("PyPeTLib.compare.find_lesions", noted)
    compared(folder, runs / "other")
    assert len(handed) == 2
    for one in handed:
        np.testing.assert_array_equal(one, mask)


def test_volumes_of_a_comparison_are_those_of_the_run(runs, comparison, tiny_analysis):
    """Over the voxels that both have; the reference has one almost everywhere."""
    regions = {one.name: one.ml for one in comparison.findings.regions}
    for name, key in (("Tmax > 4 s", "tmax_over_4s"), ("Hypoperfusion", "hypoperfusion")):
        assert regions[name] == pytest.approx(tiny_analysis.lesions.volumes_ml[key].ml, rel=0.05, abs=1.0)


def test_sides_of_the_lesions_are_compared():
    assert findings(["left"], ["right"]).sides == ("left", "right")
    assert findings(["left", "right"], []).sides == ("both", "none")
    assert findings(["left"], ["left"], plane=None).sides == ("unknown", "unknown")
    assert findings(["left"], ["left"], names=("tmax",)).sides is None


def test_lesions_on_opposite_sides_do_not_overlap():
    regions = {region.name: region for region in findings(["left"], ["right"]).regions}
    assert regions["Core"].ml == regions["Core"].reference_ml > 0
    assert regions["Core"].dice == 0.0


def test_without_flow_and_volume_only_tmax_is_compared_and_that_is_said():
    found = findings(["left"], ["left"], names=("tmax",))
    assert [region.name for region in found.regions] == [f"Tmax > {s} s" for s in (4, 6, 8, 10)]
    assert found.criteria == {}
    assert (
        "Core, hypoperfusion, relative CBF and criteria need CBF, CBV in both; only Tmax is compared." in found.remarks
    )
    assert findings([], [], names=("cbf", "cbv")).remarks == ("Thresholded regions and criteria need Tmax in both.",)


def test_a_rule_whose_map_is_missing_is_not_replaced():
    found = findings(["left"], ["left"], lesion_rule="MIStar-like")
    assert [region.name for region in found.regions] == [f"Tmax > {s} s" for s in (4, 6, 8, 10)]
    assert any("need Delay in both" in remark for remark in found.remarks)


def test_without_a_plane_relative_values_are_withheld():
    found = findings(["left"], ["left"], plane=None)
    assert np.isnan({region.name: region for region in found.regions}["Core"].ml)
    assert any("none mirrors the brain clearly better" in remark for remark in found.remarks)


def test_regions_are_over_the_voxels_of_both():
    pairs = pairs_of(["left"], ["left"])
    half = np.ones(GRID.shape, dtype=bool)
    half[:6] = False
    pairs["tmax"] = replace(pairs["tmax"], compared=half)
    found = compare_findings(pairs, np.ones(GRID.shape, dtype=bool), PLANE, sds=({}, {}), settings=Settings())
    assert found.regions[0].ml == pytest.approx(4 * 20 * 16 * GRID.voxel_volume_ml)
    assert "Regions are over 50 % of the tissue: there the maps of both have values." in found.remarks


def test_without_tissue_in_common_nothing_is_known():
    nowhere = np.zeros(GRID.shape, dtype=bool)
    found = compare_findings(pairs_of(["left"], []), nowhere, PLANE, sds=({}, {}), settings=Settings())
    assert np.isnan([(one.ml, one.reference_ml) for one in found.regions]).all()
    said = "Regions, ratios and criteria are not known: no tissue has values in the maps of both."
    assert found.remarks == (said,)
    tmax = {"tmax": pairs_of([], [])["tmax"]}
    alone = compare_findings(tmax, nowhere, None, sds=({}, {}), settings=Settings())
    assert (len(alone.regions), alone.criteria, alone.sides) == (4, {}, None)


def test_without_core_the_ratio_is_none_and_its_condition_met_which_is_said(comparison):
    pairs = pairs_of(["left"], ["left"])
    flat = Image(np.full(GRID.shape, 50.0), GRID)
    pairs["cbf"] = replace(pairs["cbf"], reference=flat)
    everywhere = np.ones(GRID.shape, dtype=bool)
    found = compare_findings(pairs, everywhere, PLANE, sds=({}, {}), settings=Settings())
    assert found.criteria["DEFUSE 3"] == (False, True) and np.isnan(found.ratios["Mismatch ratio"][1])
    said = "Mismatch ratio: no core in the reference: it is not defined and counts as met."
    assert said in found.remarks
    text = markdown(Cohort((replace(comparison, findings=found, remarks=found.remarks),), {}))
    assert re.search(r"\| Mismatch ratio +\| 1\.00 +\| no core +\|", text)
    assert f"* {said}" in text
    rows = tables_of(Cohort((replace(comparison, findings=found),), {}))["findings"]
    assert np.isnan(rows["reference"][rows["finding"].index("Mismatch ratio")])


# Units


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
    (row,) = [line for line in markdown(Cohort((case,), {})).splitlines() if line.startswith("| Mean of the reference")]
    assert [cell.strip() == "not defined" for cell in row.strip("| ").split("|")[1:]] == [one == name for one in MAPS]
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
    assert "found 1 other files, such as letter.txt" in message
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
    assert "found 1 other files, such as letter.txt" in refused([tmp_path, runs / "other"], capsys)
    assert "found 1 other files, such as letter.txt" in refused([runs / "ours", tmp_path], capsys)


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


@pytest.mark.parametrize("why", [{"invalid": [5]}, {"checks": [{"status": "fail", "text": {"a": 1}}]}])
def test_a_reason_for_being_invalid_is_a_text_whatever_it_was(runs, tmp_path, why):
    odd = shutil.copytree(runs / "ours", tmp_path / "odd")
    path = odd / "sub-01_ses-01_summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "invalid": [], "checks": [], **why}))
    (case,) = compared(odd, runs / "other").cases
    write_tables(Cohort((case,), {}), tmp_path)
    assert case.results.invalid in (("5",), ("{'a': 1}",))


def test_figures_of_a_case_whose_name_would_be_a_formula_are_known(comparison, tmp_path):
    write_tables(Cohort((replace(comparison, name="=1"),), {}), tmp_path)
    (tmp_path / "=1_cbf.png").touch()
    assert "=1_cbf.png" in comparison_files(tmp_path)


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


# Data sets


@pytest.fixture(scope="module")
def data_set(runs, tmp_path_factory):
    """Three subjects: results in folders of their own, references in the layout of ISLES; the third is damaged."""
    root = tmp_path_factory.mktemp("set")
    for subject, source in (("sub-01", "ours"), ("sub-02", "other"), ("sub-03", "ours")):
        put_run(root / "results", runs / source, f"{subject}_ses-01")
        put_isles(root / "isles", runs / "other", subject, "ses-01")
    cbf = root / "isles/sub-03/ses-01/perfusion-maps/sub-03_ses-01_cbf.nii.gz"
    cbf.write_bytes(cbf.read_bytes()[:500])
    return root


@pytest.fixture(scope="module")
def written(data_set):
    """The command on a data set with a broken case: output, exit code and both streams."""
    command = [sys.executable, "-m", "PyPeTLib", "compare", "results", "isles", "-o", "out"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=data_set, check=False)
    return data_set / "out", found


def test_a_broken_case_is_listed_and_the_rest_is_done(written):
    _, found = written
    assert found.returncode == 4
    assert "pypet: not compared: sub-03_ses-01: File " in found.stderr
    assert "truncated or damaged" in found.stderr
    assert "# Comparison with reference maps: 2 cases" in found.stdout
    assert "**Not compared** (1 cases)\n\n* sub-03_ses-01: File" in found.stdout


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


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


def test_every_case_and_map_has_its_picture(written):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    out, _ = written
    names = {f"sub-0{k}_ses-01_{name}.png" for k in (1, 2) for name in MAPS}
    assert {path.name for path in out.glob("*.png")} == names | {"volumes.png"}
    for name in ("sub-01_ses-01_tmax.png", "volumes.png"):
        picture = imread(out / name)[..., :3]
        assert min(picture.shape[:2]) > 300
        assert (picture.max(axis=-1) > 0.3).mean() > 0.02


def test_a_picture_says_which_methods_and_what_is_invalid(runs, comparison):
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    ours, theirs = (read_image(runs / name / "sub-01_ses-01_tmax.nii.gz") for name in ("ours", "other"))
    marked = replace(comparison, reference=replace(comparison.reference, invalid=("No bolus.",)))
    for case, said in ((comparison, False), (marked, True)):
        texts = " ".join(
            " ".join(text.get_text().split()) for text in pair_figure(case, "tmax", pair_up(ours, theirs)).texts
        )
        assert "results: Bayesian, weak prior of MTT · reference: bSVD, cut-off 0.1 ·" in texts
        assert ("reference marked INVALID" in texts) == said
    bars = pair_figure(comparison, "tmax", pair_up(ours, theirs)).axes[:6]
    ticks = [label.get_text() for axes in bars for label in axes.get_yticklabels()]
    assert "−6" in ticks and "-6" not in ticks


def test_a_picture_of_relative_values_has_no_bias_for_it_is_0_by_definition(runs, comparison):
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    pair = pair_up(*(read_image(runs / name / "sub-01_ses-01_cbf.nii.gz") for name in ("ours", "other")))
    found = comparison.maps["cbf"]
    other = replace(found, physical=Differences("counts"))
    for measured, drawn in ((found, True), (other, False)):
        figure = pair_figure(replace(comparison, maps={"cbf": measured}), "cbf", pair)
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert any(text.startswith("bias: ") for text in texts) == drawn
        assert sum(" SD: " in text for text in texts) == 2


def written_extents(figure):
    """Return the boxes of everything that is written into a figure, ticks and hidden texts left out."""
    figure.canvas.draw()
    texts = [
        *figure.texts,
        *(text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes._left_title)),
    ]
    return {text: text.get_window_extent() for text in texts if text.get_text().strip()}


def test_a_picture_of_one_slice_is_wide_enough_for_what_is_written(runs, comparison):
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    pair = pair_up(*(read_image(runs / name / "sub-01_ses-01_cbf.nii.gz") for name in ("ours", "other")))
    kept = np.zeros_like(pair.compared)
    kept[2] = pair.compared[2]
    figure = pair_figure(comparison, "cbf", replace(pair, compared=kept))
    extents = written_extents(figure)
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in extents.values())
    note, head = (extents[text] for text in figure.texts[1:3])
    assert note.y0 > head.y1, "the note ends above the slice's name"


def test_limits_of_agreement_can_be_read_however_near_they_are():
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import volumes_figure

    figure = volumes_figure({"Core": np.array([[14.9, 13.1], [14.8, 13.0]])})
    boxes = [box for text, box in written_extents(figure).items() if text in figure.axes[1].texts]
    assert len(boxes) == 3
    assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


def test_a_single_voxel_of_a_density_can_be_told_from_black(runs, comparison):
    """WCAG asks for 3 : 1 of what is not text; what the colours are is written."""
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import pair_figure

    pair = pair_up(*(read_image(runs / name / "sub-01_ses-01_cbf.nii.gz") for name in ("ours", "other")))
    for axes in pair_figure(comparison, "cbf", pair).axes[6:]:
        (image,) = axes.images
        linear = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in image.cmap(0.0)[:3]])
        assert (linear @ (0.2126, 0.7152, 0.0722) + 0.05) / 0.05 >= 3.0
        assert axes.get_title(loc="left") == f"blue to yellow: 1 to {image.norm.vmax:.0f} voxels a square"


def test_the_picture_of_volumes_says_how_many_cases_each_region_is_of():
    pytest.importorskip("matplotlib")
    from PyPeTLib.compare_figures import volumes_figure

    both = np.array([[10.0, 12.0], [30.0, 31.0], [50.0, 47.0]])
    figure = volumes_figure({"Core": both[:2], "Hypoperfusion": both})
    assert figure.texts[0].get_text() == "Volumes of core and hypoperfusion"
    assert [axes.get_title(loc="left")[:7] for axes in figure.axes[::2]] == ["2 cases", "3 cases"]


def test_the_same_input_gives_the_same_bytes(written, data_set, monkeypatch):
    monkeypatch.chdir(data_set)
    assert main(["compare", "results", "isles", "-o", "again", "--quiet"]) == 4
    names = {path.name for path in written[0].iterdir()}
    assert names == {path.name for path in (data_set / "again").iterdir()}
    for name in names:
        assert (written[0] / name).read_bytes() == (data_set / "again" / name).read_bytes(), name


def test_what_cannot_be_drawn_stops_the_whole(data_set):
    """A full disk is no fault of a case."""

    def full(comparison, pairs):
        raise InputError("x.png cannot be written")

    with pytest.raises(InputError, match=r"^x\.png cannot be written$"):
        compared(data_set / "results", data_set / "isles", show=full)


def test_a_picture_that_cannot_be_written_stops_the_whole(tmp_path):
    pytest.importorskip("matplotlib")
    writer = FigureWriter(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"volumes\.png cannot be written: No such file or directory"), writer:
        writer.volumes({"Core": np.array([[1.0, 2.0], [3.0, 4.0]])})


def test_a_process_that_draws_and_is_ended_is_no_crash(tmp_path):
    pytest.importorskip("matplotlib")
    writer = FigureWriter(tmp_path)
    with pytest.raises(PyPeTError, match="a process that draws ended too soon"), writer:
        writer._pending.append(writer._pool.submit(os._exit, 1))


def test_the_process_that_measures_leaves_drawing_to_others(data_set):
    """Importing matplotlib and drawing take longer than reading and measuring."""
    pytest.importorskip("matplotlib")
    arguments = ["compare", "results", "isles", "-o", "drawn", "--quiet"]
    code = f"import sys; from PyPeTLib.cli import main; print(main({arguments}), 'matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=data_set, check=True)
    assert found.stdout.split() == ["4", "False"]
    assert (data_set / "drawn" / "volumes.png").is_file()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are sought in /proc")
def test_processes_that_draw_end_with_a_command_that_is_killed(tmp_path):
    pytest.importorskip("matplotlib")
    code = (
        "import os, signal, sys; from pathlib import Path; from PyPeTLib.compare_drawing import FigureWriter\n"
        "writer = FigureWriter(Path(sys.argv[1])); writer.volumes({})\n"
        "writer._finish(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], start_new_session=True)
    assert killed.wait() == -signal.SIGKILL
    end = time.monotonic() + 10.0
    while alive_in_session(killed.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert alive_in_session(killed.pid) == []


def alive_in_session(leader):
    """Processes of a session that still run: neither ended nor waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == leader and state != "Z":
            found.append(path.parent.name)
    return found


def test_one_mask_does_not_serve_many(data_set, runs, capsys):
    mask = runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz"
    message = refused([data_set / "results", data_set / "isles", "--mask", mask], capsys)
    assert "a mask is of one case; found 3 runs" in message


def test_a_data_set_without_any_case_is_refused(data_set, runs, tmp_path, capsys):
    put_isles(tmp_path, runs / "other", "sub-09", "ses-01")
    message = refused([data_set / "results", tmp_path, "-o", tmp_path / "out"], capsys)
    assert "none of 3 cases can be compared; sub-01_ses-01: Case sub-01_ses-01: reference maps of this case" in message
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
    assert book.sheetnames == ["cases", "metrics", "regions", "findings", "remarks"]
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


def test_with_a_broken_matplotlib_it_is_said_what_is_left_out(runs, isles, tmp_path):
    """The process that measures does not import it: those that draw tell."""
    (tmp_path / "matplotlib").mkdir()
    (tmp_path / "matplotlib" / "__init__.py").write_text("raise ValueError('numpy.dtype size changed')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = ["compare", str(runs / "ours"), str(isles), "-o", str(tmp_path / "out")]
    command = [sys.executable, "-m", "PyPeTLib", *words]
    found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    told = "matplotlib does not load (numpy.dtype size changed): python -m pip install --force-reinstall matplotlib"
    assert (found.returncode, found.stderr) == (0, f"pypet: left out: figures need matplotlib: {told}\n")
    assert found.stdout.endswith(f"\nTables in {tmp_path / 'out'}.\n")
    assert not list((tmp_path / "out").glob("*.png"))


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
