"""One case: over which voxels maps of a run and of a reference are compared."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import compare_cases
import numpy as np
import pytest
from compare_cases import MAPS, compared, maps_in, put_run, refused

from PyPeTLib.cli import main
from PyPeTLib.cohort import Cohort
from PyPeTLib.compare_tables import markdown
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.pairing import EmptyReferenceError, limited, pair_up
from PyPeTLib.read import read_image
from PyPeTLib.typeset import percent, typeset
from PyPeTLib.write import write_image

comparison, isles = compare_cases.comparison, compare_cases.isles


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


@pytest.mark.parametrize("number", [-1.0, -1024.0])
def test_a_number_below_0_around_the_head_is_no_value_which_is_said(number):
    """As other programs fill what they leave out: it counted as flow, and nothing was said."""
    theirs = changed(ring(np.linspace(1, 5, 16).reshape(4, 4), number), ((0, 2, slice(2, 6)), number), ((1, 4, 4), 0.0))
    pair = pair_up(ring(1.0, 9.0), theirs)
    assert pair.compared.sum() == 28, "a zero beside it is a value, as beside NaN"
    assert np.nanmin(pair.reference.values) == 0.0
    said = f"it is {typeset(f'{number:g}')} there and along the edge of its slices, as a background is"
    assert said in pair.remarks[0]
    known = replace(theirs, outside=0.0)
    assert pair_up(ring(1.0, 9.0), known).compared.all(), "its JSON file says otherwise"


def test_numbers_below_0_that_differ_are_values_up_to_the_edge():
    values = np.random.default_rng(0).normal(0.0, 1.0, (2, 8, 8))
    assert pair_up(ring(1.0, 9.0), replace(ring(1.0), values=values)).compared.all()


@pytest.mark.parametrize(("missing", "values"), [(5, 16), (6, 64 - 6)])
def test_zeros_are_values_from_a_fifth_of_the_slices_edge_missing_on(missing, values):
    """Six of 28 voxels."""
    theirs = changed(ring(5.0), ((0, 0, slice(missing)), np.nan))
    assert pair_up(ring(1.0, 9.0), theirs).compared.sum(axis=(1, 2)).tolist() == [values, 16]


@pytest.mark.parametrize(("filled", "left_out"), [(11, 0), (12, 12)])
def test_a_number_below_0_is_no_value_from_a_fifth_of_the_edge_on(filled, left_out):
    """Twelve of 56 voxels, both slices together; another number in one of them is a value."""
    theirs = changed(ring(5.0, 1.0), ((0, 0, slice(8)), -1.0), ((0, 7, slice(filled - 8)), -1.0), ((1, 7, 7), -2.0))
    assert (~pair_up(ring(1.0, 9.0), theirs).compared).sum() == left_out


def test_one_voxel_of_a_tiny_map_is_no_background():
    tiny = Image(np.array([[[-1.0, 2.0], [3.0, 4.0]]]), Geometry((2, 2, 1), (1.0, 1.0, 5.0)))
    assert pair_up(tiny, tiny).compared.all()


def test_a_number_below_0_and_nan_are_one_background_beside_which_zeros_are_values():
    theirs = changed(ring(5.0, -1.0), ((slice(None), 0, slice(3)), np.nan), ((1, slice(8), 4), 0.0))
    assert pair_up(ring(1.0, 9.0), theirs).compared.sum(axis=(1, 2)).tolist() == [16, 16 + 4]


def test_zeros_that_a_background_touches_at_a_corner_or_in_another_slice_are_values():
    corner = changed(ring(5.0), ((0, (1, 2), (2, 1)), 5.0), ((0, 2, 2), 0.0))
    assert pair_up(ring(1.0, 9.0), corner).compared[0, 2, 2]
    other_slice = changed(ring(5.0), (0, 0.0), ((1, 3, 3), 0.0))
    assert pair_up(ring(1.0, 9.0), other_slice).compared.sum(axis=(1, 2)).tolist() == [0, 16]


def test_infinite_values_of_either_are_none():
    theirs, ours = changed(ring(5.0), ((0, 3, 3), -np.inf)), changed(ring(1.0, 9.0), ((1, 3, 3), np.inf))
    pair = pair_up(ours, theirs)
    assert pair.compared.sum() == 30
    assert np.isnan([pair.reference.values[0, 3, 3], pair.image.values[1, 3, 3]]).all()


def test_maps_of_whole_numbers_have_a_background_too():
    whole = [replace(one, values=one.values.astype(np.int16)) for one in (ring(1.0, 9.0), ring(5.0))]
    assert pair_up(*whole).compared.sum() == 32


@pytest.mark.parametrize(("zeros", "told"), [(1, False), (3, True)])
def test_a_background_within_what_is_compared_is_told_of_from_a_hundredth_on(zeros, told):
    grid = Geometry((10, 10, 2), (1.0, 1.0, 5.0))
    image = Image(np.full(grid.shape, 5.0), grid)
    theirs = changed(image, ((0, 0, slice(zeros)), 0.0), ((1, 5, slice(2, 6)), np.nan))
    remarks = pair_up(Image(np.ones(grid.shape), grid), theirs).remarks
    assert any("as a background is" in remark for remark in remarks) == told and len(remarks) == told


@pytest.mark.parametrize(("columns", "told"), [(9, True), (11, False)])
def test_a_reference_with_values_in_less_than_half_is_doubted(columns, told):
    grid = Geometry((20, 8, 2), (1.0, 1.0, 5.0))
    theirs = changed(Image(np.full(grid.shape, 5.0), grid), ((..., slice(columns, 20)), np.nan))
    pair = pair_up(Image(np.ones(grid.shape), grid), theirs)
    assert pair.coverage == pytest.approx(columns / 20)
    assert any("does it lie where the map does?" in remark for remark in pair.remarks) == told


@pytest.mark.parametrize(("outside", "said"), [(0.0, "0"), (-5.0, "−5")])
def test_the_number_known_to_be_outside_the_mask_is_named_as_the_background(outside, said):
    """Whatever else fills the edge."""
    theirs = changed(ring(5.0, -1.0), ((slice(None), 0), outside), outside=outside)
    (remark,) = pair_up(ring(1.0, 9.0), theirs).remarks
    assert f"in {percent(16 / 128)} of the voxels to compare: it is {said} there, up to the edge of the sli" in remark


def test_what_a_reference_lacks_outside_the_mask_is_not_held_against_it():
    theirs = ring(5.0, np.nan)
    within = Image(np.isfinite(theirs.values), theirs.geometry)
    pair = pair_up(ring(1.0, 9.0), theirs, within)
    assert (pair.coverage, pair.remarks) == (1.0, ())
    endless = changed(ring(5.0), ((0, 0, 0), np.inf))
    assert pair_up(ring(1.0, 9.0), endless, within).remarks == ()


def test_coverage_without_a_mask_is_of_the_voxels_that_the_map_has():
    assert pair_up(ring(1.0, np.nan), ring(5.0, 7.0)).coverage == 1.0


def test_a_reference_with_values_outside_the_mask_only_has_none_to_compare():
    around = ring(np.nan, 5.0)
    within = Image(np.isnan(around.values), around.geometry)
    with pytest.raises(EmptyReferenceError, match=r"^Reference: values in voxels of the mask are needed; found none"):
        pair_up(ring(1.0, 9.0), around, within)


def test_zeros_of_a_brain_that_reaches_the_edge_of_its_slice_are_values():
    """As where the slab cuts a head: little of the edge is outside."""
    brain = np.ones((2, 8, 8), dtype=bool)
    brain[:, 0, :3] = False
    theirs = limited(changed(ring(5.0, 5.0), ((0, 7), 0.0)), brain)
    np.testing.assert_array_equal(pair_up(ring(1.0, 9.0), theirs).compared, brain)


@pytest.mark.parametrize(("name", "flat"), [("Map", 0), ("Reference", 1)])
def test_a_single_line_of_voxels_is_no_map(name, flat):
    images = [Image(np.ones((1, 2, 8)), Geometry((8, 2, 1), (1.0, 1.0, 5.0)))] * 2
    assert pair_up(*images).compared.all()
    images[flat] = Image(np.ones((1, 1, 8)), Geometry((8, 1, 1), (1.0, 1.0, 5.0)))
    with pytest.raises(InputError, match=f"^{name}: a slice or a volume is needed .* a single line of voxels, 8×1×1"):
        pair_up(*images)


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
