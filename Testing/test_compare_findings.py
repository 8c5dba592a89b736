"""Lesions of run and reference: volumes, ratios, sides and criteria, and where they are not defined."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import compare_cases
import numpy as np
import pytest
from compare_cases import MAPS, compared, maps_in, put_run

from PyPeTLib import Settings
from PyPeTLib.cohort import Cohort
from PyPeTLib.compare import _empty, _undefined, compare_findings
from PyPeTLib.compare_tables import markdown, tables_of
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.lesions import find_lesions
from PyPeTLib.outputs import read_run
from PyPeTLib.pairing import Pair
from PyPeTLib.read import read_image
from PyPeTLib.records import Midplane
from PyPeTLib.similarity import Region
from PyPeTLib.write import write_image

comparison = compare_cases.comparison


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
    both = compared(runs / "ours", tmp_path / "copy").cases[0]
    assert not any("rest on standard deviations" in remark for remark in both.remarks)
    assert handed[0] == handed[1] and set(handed[0]) == {"cbf", "delay"}
    flow = read_image(runs / "ours" / "sub-01_ses-01_cbf_sd.nii.gz")
    assert handed[0]["cbf"] == (flow.unit, pytest.approx(float(np.nanmean(flow.values))))
    for name in ("cbf_sd", "delay_sd"):
        (tmp_path / "copy" / f"sub-01_ses-01_{name}.nii.gz").unlink()
    case = compared(runs / "ours", tmp_path / "copy").cases[0]
    assert [set(sds) for sds in handed[2:]] == [{"cbf", "delay"}, set()]
    said = "those of the reference are by the values alone, for there are none: of the same maps they would differ."
    assert any(remark.endswith(said) for remark in case.remarks)
    swapped = compared(tmp_path / "copy", runs / "ours").cases[0]
    assert any(remark.startswith("Regions of the reference rest on") for remark in swapped.remarks)


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


def test_dice_of_a_region_that_one_has_is_defined_and_a_ratio_that_one_has_is_not_for_both():
    nan = float("nan")
    regions = [Region("Core", 0.0, 0.0, nan), Region("Hypoperfusion", 0.0, 3.0, 0.0), Region("Mismatch", nan, nan, nan)]
    assert _empty(regions) == ["Dice is not defined where neither has a voxel: Core."]
    (said,) = _undefined({"HIR": (0.4, nan), "Mismatch ratio": (1.8, 2.0), "CBV index": (nan, nan)})
    assert said.endswith(": HIR, CBV index.")
