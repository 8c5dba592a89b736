"""CSF, large vessels and bone: thresholds, noise, disjoint masks, and what statistics leave out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from PyPeTLib import Settings
from PyPeTLib.curves import area_share
from PyPeTLib.pipeline import _lesions
from PyPeTLib.records import Geometry, Image
from PyPeTLib.report_facts import key_numbers
from PyPeTLib.results import map_medians, summary
from PyPeTLib.tissue import not_tissue

TIMES = np.arange(60.0)
CBV = 100.0 * 0.55 / 0.75 / 1.05
#: HU without contrast and share of blood of CSF, white and gray matter, and blood.
CSF, WHITE, GRAY, BLOOD = (12.0, 0.0), (29.0, 0.027), (35.0, 0.047), (40.0, 1.0)


@pytest.fixture
def found(bolus, as_curves, settings):
    """Return CSF and vessels, one row of voxels each, of (HU without contrast, share of blood) of each voxel."""

    def make(voxels, chosen=settings, aif_scale=1.0, voxel_mm=5.0):
        native, blood = np.array(voxels, dtype=float).T
        aif = bolus.aif(TIMES)
        mean_hu = (native + blood * aif.mean()).astype(np.float32)
        curves = replace(as_curves(blood[:, None] * aif), anatomy_hu=mean_hu)
        grid = Geometry((len(voxels), 1, 1), (voxel_mm, voxel_mm, voxel_mm))
        masks = not_tissue(curves, aif_scale * aif, TIMES, grid, settings=chosen)
        return [mask.values[0, 0].tolist() for mask in masks]

    return make


def share_of(one, two, share):
    """A voxel that holds a share of one thing and the rest of another."""
    return tuple(share * a + (1.0 - share) * b for a, b in zip(one, two, strict=True))


# --- what they are --------------------------------------------------------------------------------------------------


def test_csf_is_dark_and_vessels_are_full_of_blood(found):
    csf, vessels, _ = found([CSF, WHITE, GRAY, GRAY, BLOOD])
    assert csf == [True, False, False, False, False]
    assert vessels == [False, False, False, False, True]


def test_contrast_does_not_hide_csf(found):
    """A pial vessel in it enhances by more than the difference to tissue."""
    mixed = share_of(BLOOD, CSF, 0.1)
    csf, vessels, _ = found([mixed, WHITE, GRAY, GRAY])
    assert (csf[0], vessels[0]) == (True, False)


def test_no_voxel_is_in_both(found):
    csf, vessels, _ = found([share_of(BLOOD, CSF, 0.2), WHITE, GRAY, GRAY])
    assert share_of(BLOOD, CSF, 0.2)[0] < Settings().csf_hu
    assert (csf[0], vessels[0]) == (False, True)


@pytest.mark.parametrize(("tissue", "least"), [(WHITE, 0.53), (GRAY, 0.66)])
def test_a_voxel_counts_as_csf_where_most_of_it_is(found, tissue, least):
    csf, *_ = found([share_of(CSF, tissue, share) for share in (least - 0.02, least + 0.02)] + [WHITE] * 3)
    assert csf[:2] == [False, True]


def test_vessels_hold_more_blood_than_vessel_cbv(found):
    blood = np.array([7.9, 8.1]) / CBV
    voxels = [(36.0, blood[0]), (36.0, blood[1]), GRAY, *[WHITE] * 5]
    assert found(voxels)[1][:2] == [False, True]
    assert found(voxels, Settings(vessel_cbv=7.8))[1][:2] == [True, True]


def test_an_arterial_input_that_is_too_small_makes_no_vessels_of_tissue(found):
    """Without a vein CBV is everywhere too large; a vessel still has three times the blood of the median voxel."""
    csf, vessels, _ = found([CSF, WHITE, WHITE, GRAY, GRAY, BLOOD], aif_scale=0.2)
    assert vessels == [False] * 5 + [True]
    assert csf == [True] + [False] * 5


def test_ischaemic_core_and_oedema_stay(found):
    """What no blood reaches is no CSF: 3 % of water more takes 8 HU away."""
    csf, vessels, _ = found([(35.0 - 8.0, 0.005), (29.0 - 8.0, 0.0), WHITE, GRAY])
    assert not any(csf) and not any(vessels)


def test_what_is_brighter_than_tissue_shares_bone(found):
    """A twelfth of a voxel of bone (1000 HU) is enough; fresh blood (80 HU) and a vessel beside bone are none."""
    skull = (1000.0, 0.0)
    voxels = [
        share_of(skull, CSF, 1.0 / 8.0),
        share_of(skull, GRAY, 1.0 / 16.0),
        (80.0, 0.0),
        (150.0, 0.5),
        *[WHITE] * 5,
    ]
    csf, vessels, bone = found(voxels)
    assert bone == [True] + [False] * 8 and not any(csf) and vessels[3]
    assert found(voxels, Settings(bone_rim_hu=90.0))[2][:3] == [True, True, False]


def test_bone_is_brighter_than_a_hundred_hu_and_csf_darker_than_twenty(found):
    csf, _, bone = found([(101.0, 0.0), (99.0, 0.0), (21.0, 0.0), (19.0, 0.0), *[WHITE] * 3])
    assert bone[:2] == [True, False] and csf[2:4] == [False, True]


def test_connected_parts_that_are_too_small_are_noise(found):
    """A voxel of 1 µL alone is left; 20 µL together are not."""
    voxels = [GRAY] * 60
    voxels[3], voxels[20:41] = CSF, [CSF] * 21
    voxels[10], voxels[45:] = BLOOD, [share_of(BLOOD, GRAY, 0.1)] * 15
    csf, vessels, _ = found(voxels, voxel_mm=1.0)
    assert np.flatnonzero(csf).tolist() == list(range(20, 41))
    assert not any(vessels)


def test_parts_continue_across_slices(bolus, as_curves, settings):
    """Two voxels that touch at an edge, a slice apart, are one part."""
    mask = np.ones((2, 2, 3), dtype=bool)
    native = np.full(mask.shape, 35.0, dtype=np.float32)
    native[0, 0, 0] = native[1, 1, 0] = 12.0
    curves = replace(as_curves(np.zeros((mask.size, TIMES.size))), mask=mask, anatomy_hu=native[mask])
    grid = Geometry((3, 2, 2), (1.0, 1.0, 10.0))
    csf, *_ = not_tissue(curves, bolus.aif(TIMES), TIMES, grid, settings=settings)
    assert csf.values.sum() == 2 and csf.geometry is grid


def test_area_share_is_that_of_blood(bolus, as_curves):
    aif = bolus.aif(TIMES)
    np.testing.assert_allclose(area_share(as_curves([0.04 * aif, 0.5 * aif]), aif, TIMES), [0.04, 0.5], rtol=1e-5)


# --- phantoms -------------------------------------------------------------------------------------------------------


def lost(head, analysis, name="pure_tissue"):
    """Share of the pure tissue of a region that is left out."""
    there = head.masks[name].values & head.masks["pure_tissue"].values & analysis.brain.values
    return (there & ~analysis.tissue.values).sum() / there.sum()


def test_masks_hold_csf_and_vessels_of_a_head_and_hardly_any_tissue(head, analysis):
    csf, vessels = analysis.csf.values, analysis.vessels.values
    truth = head.masks["csf"].values & analysis.brain.values
    assert (truth & csf).sum() / csf.sum() > 0.9
    assert (truth & csf).sum() / truth.sum() > 0.3  # most of a sulcus shares its voxels with cortex or bone
    blood = head.masks["arteries"].values | head.masks["veins"].values
    assert (blood & vessels).sum() / vessels.sum() > 0.95
    assert lost(head, analysis) < 0.01 and lost(head, analysis, "core") < 0.02


def test_masks_lie_in_the_brain_and_leave_the_tissue(analysis):
    brain, *parts = (getattr(analysis, name).values for name in ("brain", "csf", "vessels", "bone"))
    assert all(part.any() for part in parts) and np.add.reduce(parts, dtype=int).max() == 1
    assert not (np.logical_or.reduce(parts) & ~brain).any()
    np.testing.assert_array_equal(analysis.tissue.values, brain & ~np.logical_or.reduce(parts))
    volumes = (analysis.tissue, analysis.csf, analysis.vessels, analysis.bone)
    assert sum(one.volume_ml for one in volumes) == pytest.approx(analysis.brain.volume_ml)


def test_bone_is_at_the_border_of_the_mask_and_holds_no_pure_tissue(head, analysis):
    bone = analysis.bone.values
    assert not (bone & head.masks["pure_tissue"].values).any()
    border = analysis.brain.values & ~ndimage.binary_erosion(analysis.brain.values, np.ones((1, 7, 7)))
    assert (bone & border).sum() > 0.95 * bone.sum()


def test_statistics_leave_out_csf_vessels_and_bone(tiny_analysis):
    left_out = tiny_analysis.csf.values | tiny_analysis.vessels.values | tiny_analysis.bone.values
    values = np.where(left_out, np.float32(1e6), tiny_analysis.maps.cbf.values)
    spoilt = replace(tiny_analysis.maps, cbf=replace(tiny_analysis.maps.cbf, values=values))
    other = replace(tiny_analysis, maps=spoilt)
    assert map_medians(other) == map_medians(tiny_analysis)
    assert key_numbers(spoilt, other.tissue) == key_numbers(tiny_analysis.maps, tiny_analysis.tissue)
    expected = np.nanmedian(tiny_analysis.maps.mtt.values[tiny_analysis.brain.values & ~left_out])
    assert map_medians(tiny_analysis)["mtt"] == pytest.approx(expected)


def test_maps_keep_their_values_in_csf_and_vessels(tiny_analysis):
    assert np.isfinite(tiny_analysis.maps.cbv.values[tiny_analysis.brain.values]).all()


def test_summary_tells_the_volumes(tiny_analysis):
    told = summary(tiny_analysis)
    parts = [told[name]["volume_ml"] for name in ("tissue", "csf", "vessels", "bone")]
    assert sum(parts) == pytest.approx(told["brain"]["volume_ml"]) and min(parts) > 0


def test_medians_of_no_tissue_are_missing(tiny_analysis):
    everything = Image(tiny_analysis.brain.values, tiny_analysis.brain.geometry)
    assert np.isnan(list(map_medians(replace(tiny_analysis, csf=everything)).values())).all()


def test_lesions_know_tissue_and_large_vessels_of_the_run(tiny_analysis, monkeypatch):
    handed = {}

    def noted(maps, tissue, vessels, *others, **named):
        handed.update(tissue=tissue, vessels=vessels)

    monkeypatch.setattr("PyPeTLib.pipeline.find_lesions", noted)
    _lesions(tiny_analysis, tiny_analysis.maps, None, lambda *about: nullcontext())
    assert tiny_analysis.vessels.values.any()
    np.testing.assert_array_equal(handed["vessels"], tiny_analysis.vessels.values)
    np.testing.assert_array_equal(handed["tissue"], tiny_analysis.tissue.values)
