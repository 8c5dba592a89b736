"""CSF, large vessels and bone: thresholds, noise, disjoint masks, and what statistics leave out."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from conftest import HEAD
from scipy import ndimage

from PyPeTLib import Settings, prepare
from PyPeTLib.curves import area_share
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.map_facts import map_medians
from PyPeTLib.morphology import depth_mm
from PyPeTLib.phantom import head_phantom
from PyPeTLib.pipeline import _lesions
from PyPeTLib.report_facts import key_numbers
from PyPeTLib.summary import summary
from PyPeTLib.tissue import hyperdense, not_tissue

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


@pytest.mark.parametrize(
    ("share", "wide_mm", "slices", "is_vessel"),
    [
        (0.15, 20.0, 3, False),
        (0.39, 20.0, 3, False),
        (0.41, 20.0, 3, True),
        (0.9, 20.0, 3, True),
        (0.15, 9.5, 3, True),
        (0.15, 12.5, 3, False),
        (0.15, 15.0, 1, True),  # 0.9 mL
        (0.15, 17.0, 1, False),  # 1.1 mL
    ],
)
def test_what_is_wide_and_not_full_of_blood_is_tissue(bolus, as_curves, settings, share, wide_mm, slices, is_vessel):
    """A tumour of 10 to 20 mL/100 g was taken for a large vessel, and left out of all that is said of tissue."""
    grid = Geometry((40, 40, slices), (1.0, 1.0, 5.0))
    row, column = np.mgrid[:40, :40] - 19.5
    part = np.broadcast_to(np.hypot(row, column) < 0.5 * wide_mm, grid.shape)
    curves = as_curves(np.where(part.reshape(-1, 1), share, GRAY[1]) * bolus.aif(TIMES))
    hu = np.full(part.size, GRAY[0]) + curves.coefficients.mean(axis=1)
    curves = replace(curves, mask=np.ones(grid.shape, dtype=bool), anatomy_hu=hu.astype(np.float32))
    _, vessels, _ = not_tissue(curves, bolus.aif(TIMES), TIMES, grid, settings=settings)
    assert vessels.values[part].mean() == float(is_vessel) and not vessels.values[~part].any()


def test_area_share_is_that_of_blood(bolus, as_curves):
    aif = bolus.aif(TIMES)
    np.testing.assert_allclose(area_share(as_curves([0.04 * aif, 0.5 * aif]), aif, TIMES), [0.04, 0.5], rtol=1e-5)


# --- hyperdense parts -----------------------------------------------------------------------------------------------

#: A brain of 100 mm in 8 slices of 5 mm, on pixels of 1 mm.
SLAB = Geometry((112, 112, 8), (1.0, 1.0, 5.0))
Z, Y, X = np.indices(SLAB.shape) * 1.0 - np.array([3.5, 55.5, 55.5])[:, None, None, None]
BRAIN = np.hypot(Y, X) < 50.0
#: Balls of 4 mL and of 0.5 mL, away from the border.
CLOT, SMALL = (np.hypot(np.hypot(Y - 10.0, X - 20.0), 5.0 * (Z - 0.5)) < radius for radius in (9.8, 4.9))


@pytest.fixture
def dense(bolus, as_curves, settings):
    """Return what is hyperdense where a part of a brain of 35 HU has other HU, or other blood."""

    def make(part, hu, blood=0.04, vessels=None, bone=None, grid=SLAB, turn=lambda values: values):
        share_of_blood = turn(np.where(part, blood, 0.04))[turn(BRAIN)]
        aif = bolus.aif(TIMES)
        native = turn(np.where(part, hu, 35.0))[turn(BRAIN)]
        curves = as_curves(share_of_blood[:, None], basis=aif[None])
        curves = replace(
            curves,
            basis=aif[None].astype(np.float32),
            mask=turn(BRAIN),
            anatomy_hu=(native + share_of_blood * aif.mean()).astype(np.float32),
        )
        nothing = np.zeros(SLAB.shape, dtype=bool)
        others = (Image(turn(nothing if one is None else one), grid) for one in (vessels, bone))
        return hyperdense(curves, *others, settings=settings)

    return make


def test_a_clot_is_hyperdense_and_its_volume_is_known(dense):
    found = dense(CLOT, 70.0)
    assert not (found.values & ~CLOT).any()
    assert found.volume_ml == pytest.approx(0.005 * CLOT.sum(), rel=0.05)


@pytest.mark.parametrize(("hu", "expected"), [(45.0, False), (49.0, False), (51.0, True), (90.0, True), (120.0, False)])
def test_clots_have_50_hu_or_more_and_calcifications_more_than_they(dense, hu, expected):
    assert dense(CLOT, hu).values.any() == expected


def test_contrast_makes_nothing_hyperdense(dense):
    """HU are those without contrast: tissue whose mean over time is 60 HU enhances, a clot does not."""
    mean_blood = 25.0 / 66.7  # the mean of the arterial curve is 4000 HU·s in 60 s
    assert not dense(CLOT, 35.0, blood=mean_blood).values.any()
    assert dense(CLOT, 60.0, blood=0.0).values.any()


THIN = {
    "falx": np.abs(X) < 2.0,
    "vessel": np.hypot(Y - 10.0, X - 20.0) < 2.5,
    "small": SMALL,
    "around": np.hypot(Y, X) > 46.0,
    "beside bone": (np.hypot(Y, X) > 43.0) & (np.abs(Y) < 10.0) & (X > 0.0) & (np.abs(Z) < 1.0),
}


@pytest.mark.parametrize("name", THIN)
def test_what_is_thin_small_or_beside_bone_is_not_hyperdense(dense, name):
    assert not dense(THIN[name], 65.0).values.any()


def test_a_haematoma_under_the_skull_is_hyperdense_where_it_is_thick(dense):
    found = dense((np.hypot(Y, X) > 36.0) & (X > 10.0), 65.0)
    assert found.values.any() and (X[found.values] > 9.0).all()


def test_what_lies_four_mm_from_the_border_counts(dense):
    """A layer of 7.5 mm under the skull."""
    assert dense((np.hypot(Y, X) > 42.5) & (X > 10.0), 65.0).values.any()


def test_dense_parts_that_touch_at_an_edge_are_one(dense):
    """Two squares of 0.7 mL in neighbouring slices, side by side."""
    one, other = np.zeros_like(BRAIN), np.zeros_like(BRAIN)
    one[3, 44:56, 65:77] = other[4, 56:68, 65:77] = True
    assert not dense(one, 65.0).values.any() and dense(one | other, 65.0).values.any()


def test_depth_is_the_distance_to_what_lies_outside_the_mask_or_the_grid():
    y, x = np.indices((5, 7))
    expected = np.minimum(1.0 * np.minimum(y + 1, 5 - y), 2.0 * np.minimum(x + 1, 7 - x))
    np.testing.assert_allclose(depth_mm(np.ones((5, 7), dtype=bool), (1.0, 2.0)), expected)


def test_large_vessels_and_bone_are_not_hyperdense(dense):
    assert not dense(CLOT, 65.0, vessels=CLOT).values.any() and not dense(CLOT, 65.0, bone=CLOT).values.any()


def test_hyperdense_parts_do_not_depend_on_the_order_of_the_axes(dense):
    grid = Geometry((8, 112, 112), (5.0, 1.0, 1.0), direction=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0))
    turned = dense(CLOT, 70.0, grid=grid, turn=lambda values: np.ascontiguousarray(values.transpose(2, 1, 0)))
    np.testing.assert_array_equal(turned.values.transpose(2, 1, 0), dense(CLOT, 70.0).values)


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


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_head_without_haematoma_has_nothing_hyperdense(seed):
    phantom = head_phantom(replace(HEAD, seed=seed, noise_hu=12.0))
    found = {check.name: check for check in prepare(phantom.series, force=True).checks}["hyperdensity"]
    assert (found.status, found.value) == ("pass", 0.0)


def test_a_haematoma_is_told_with_its_volume_and_place(head):
    """A ball in the patient's right hemisphere that does not enhance."""
    series, grid = head.series, head.series.geometry
    z, y, x = np.indices(grid.shape) * np.array(grid.spacing_mm[::-1])[:, None, None, None]
    ball = np.hypot(np.hypot(y - 100.0, x - 72.0), z - 28.0) < 13.0
    assert ball[head.masks["brain"].values].sum() == ball.sum()
    values = series.values.copy()
    noise = np.random.default_rng(5).normal(0.0, 6.0, (len(values), int(ball.sum())))
    values[:, ball] = np.round(70.0 + noise).astype(values.dtype)
    found = {check.name: check for check in prepare(replace(series, values=values)).checks}["hyperdensity"]
    assert found.status == "warn" and "on the patient's right, in 4 of 6 slices" in found.text
    assert found.value == pytest.approx(ball.sum() * grid.voxel_volume_ml, rel=0.2)


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
