"""Vessels grown from points: what belongs to them, what does not, and how well it does on heads with a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import InputError, Settings
from PyPeTLib.curves import area_weights
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.phantom import HeadOptions, bolus_curve, head_phantom
from PyPeTLib.pipeline import prepare
from PyPeTLib.scan import Points, Series
from PyPeTLib.seeds import CORE_SHARE, GROWTH_MM, LEAST_CORRELATION, SNAP_MM, grow_seeds

TIMES = np.arange(50.0)
GRID = Geometry((32, 32, 3), (1.0, 1.0, 8.0), (-16.0, 5.0, 30.0))
TURN = np.deg2rad(25.0)
OBLIQUE = Geometry(
    (32, 32, 3),
    (0.8, 1.2, 7.0),
    (10.0, -20.0, 3.0),
    (np.cos(TURN), 0.0, np.sin(TURN), 0.0, 1.0, 0.0, -np.sin(TURN), 0.0, np.cos(TURN)),
)
ARTERY = bolus_curve(TIMES, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.15)
VEIN = bolus_curve(TIMES, arrival_s=14.0, width_s=11.0, peak_hu=300.0, recirculation=0.15)


def scan(*places, geometry=GRID, noise=6.0, seed=0):
    """A scan of 35 HU with curves: (index, curve) each."""
    hu = np.full((TIMES.size, *geometry.shape), 35.0)
    for place, curve in places:
        hu[(slice(None), *place)] += curve.reshape(-1, *(1,) * (hu[(0, *place)].ndim))
    return Series(hu + np.random.default_rng(seed).normal(0.0, noise, hu.shape), TIMES, geometry)


def at(x, y, z, geometry=GRID):
    """Position in mm of a place in voxels."""
    return tuple(geometry.origin_mm + geometry.axes @ (np.array([x, y, z]) * geometry.spacing_mm))


def grown(series, *points, brain=None, **settings):
    return grow_seeds(series, points, brain, settings=Settings(**settings)).values


def only(*places, geometry=GRID):
    mask = np.zeros(geometry.shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


LUMEN = np.s_[1, 14:17, 14:17]


@pytest.mark.parametrize("geometry", [GRID, OBLIQUE])
@pytest.mark.parametrize("missed", [(0.0, 0.0, 0.0), (3.0, 0.0, 0.0), (-2.0, 2.0, 0.3), (0.0, -2.5, -0.45)])
def test_a_click_beside_the_vessel_finds_it(geometry, missed):
    series = scan((LUMEN, ARTERY), geometry=geometry)
    np.testing.assert_array_equal(
        grown(series, at(*np.add((15, 15, 1), missed), geometry=geometry)), only(LUMEN, geometry=geometry)
    )


def test_the_reach_of_a_click_is_in_mm():
    series = scan((np.s_[1, 15, 15], ARTERY))
    assert grown(series, at(15.5 + SNAP_MM - 0.1, 15, 1)).any()
    with pytest.raises(InputError, match="needed; found at most"):
        grown(series, at(15.5 + SNAP_MM + 0.1, 15, 1))
    with pytest.raises(InputError, match="needed; found at most"):
        grown(series, at(15, 15, 1.5 + (SNAP_MM + 0.1) / 8.0))


def test_the_rise_that_is_needed_is_never_said_to_be_that_found():
    """Rounded, both were "23 HU": found is 4.9, needed 5."""
    series = scan((LUMEN, 4.9 / ARTERY.max() * ARTERY), noise=0.01)
    with pytest.raises(InputError, match="at least 5 HU is needed; found at most 4 HU"):
        grown(series, at(15, 15, 1))


def test_in_a_thick_slice_the_click_may_be_anywhere_in_it():
    series = scan((LUMEN, ARTERY))
    np.testing.assert_array_equal(grown(series, at(15, 15, 1.45)), only(LUMEN))


def test_edge_voxels_of_the_same_shape_are_left_out():
    """Partial volume scales a curve: only the tall core is taken."""
    edge = np.s_[1, 14:17, 17]
    series = scan((LUMEN, ARTERY), (edge, (CORE_SHARE - 0.1) * ARTERY), noise=2.0)
    np.testing.assert_array_equal(grown(series, at(15, 15, 1)), only(LUMEN))
    series = scan((LUMEN, ARTERY), (edge, (CORE_SHARE + 0.1) * ARTERY), noise=2.0)
    np.testing.assert_array_equal(grown(series, at(15, 15, 1)), only(LUMEN, edge))


def test_a_vein_that_touches_is_left_out_and_found_by_its_own_point():
    vein = np.s_[1, 14:17, 17:20]
    series = scan((LUMEN, ARTERY), (vein, VEIN))
    np.testing.assert_array_equal(grown(series, at(14, 15, 1)), only(LUMEN))
    np.testing.assert_array_equal(grown(series, at(19, 15, 1)), only(vein))


def test_voxels_that_mix_artery_and_vein_are_left_out():
    mixed = np.s_[1, 14:17, 17]
    series = scan((LUMEN, ARTERY), (mixed, 0.5 * ARTERY + 0.5 * VEIN))
    np.testing.assert_array_equal(grown(series, at(14, 15, 1)), only(LUMEN))


def test_a_late_copy_of_a_wide_curve_is_left_out():
    """A slow bolus a little later correlates well: only the time of its peak tells it apart."""
    wide = bolus_curve(TIMES, arrival_s=8.0, width_s=20.0, peak_hu=300.0, recirculation=0.0)
    late = np.interp(TIMES - 1.5, TIMES, wide)
    assert np.corrcoef(wide, late)[0, 1] > LEAST_CORRELATION
    series = scan((LUMEN, wide), (np.s_[1, 14:17, 17:20], late), noise=0.5)
    np.testing.assert_array_equal(grown(series, at(14, 15, 1)), only(LUMEN))


def test_voxels_with_the_same_peak_and_another_shape_are_left_out():
    wide = bolus_curve(TIMES, arrival_s=10.0, width_s=16.0, peak_hu=300.0, recirculation=0.3)
    wide = np.roll(wide, int(ARTERY.argmax() - wide.argmax()))
    series = scan((LUMEN, ARTERY), (np.s_[1, 14:17, 17], wide))
    np.testing.assert_array_equal(grown(series, at(14, 15, 1)), only(LUMEN))


def test_a_branch_is_followed_across_slices_and_no_further_than_the_limit():
    vessel = np.s_[1, 15, 4:32]
    series = scan((vessel, ARTERY), (np.s_[2, 15, 4], ARTERY), noise=1.0)
    found = grown(series, at(4, 15, 1))
    assert found[2, 15, 4], "the next slice"
    along = np.flatnonzero(found[1, 15])
    assert (along.min(), along.max()) == (4, 4 + GROWTH_MM)


def test_what_does_not_hang_together_is_left_out():
    series = scan((LUMEN, ARTERY), (np.s_[1, 15, 19:21], ARTERY))
    np.testing.assert_array_equal(grown(series, at(15, 15, 1)), only(LUMEN))


def test_several_points_make_one_mask():
    series = scan((LUMEN, ARTERY), (np.s_[2, 4, 4], ARTERY))
    one, two = at(15, 15, 1), at(4, 4, 2)
    np.testing.assert_array_equal(grown(series, one, two), grown(series, one) | grown(series, two))


def test_only_voxels_of_the_brain_mask_are_taken():
    series, brain = scan((LUMEN, ARTERY)), only(np.s_[:, :, :16])
    found = grown(series, at(15, 15, 1), brain=Image(brain, GRID))
    np.testing.assert_array_equal(found, only(LUMEN) & brain)
    with pytest.raises(InputError, match=r"Point 1: a voxel of the brain mask within 3 mm of .* needed; found none"):
        grown(series, at(25, 15, 1), brain=Image(brain, GRID))
    with pytest.raises(InputError, match="found none"):
        grown(series, at(25, 15, 1), brain=Image(only(np.s_[0, 0, 0]), GRID))


def test_the_scan_and_the_mask_are_left_alone():
    series = scan((LUMEN, ARTERY))
    before = series.values.copy()
    grown(series, at(15, 15, 1))
    np.testing.assert_array_equal(series.values, before)


@pytest.mark.parametrize("noise", [0.0, 6.0, 12.0])
def test_a_point_where_nothing_enhances_is_refused_with_what_was_found(noise):
    series = scan((LUMEN, ARTERY), noise=noise)
    message = r"Point 2: a voxel within 3 mm of .* that enhances by at least \d+ HU is needed; found at most \d+ HU"
    with pytest.raises(InputError, match=message):
        grown(series, at(15, 15, 1), at(4, 4, 0))


@pytest.mark.parametrize("place", [(-1, 15, 1), (15, 32, 1), (15, 15, 3)])
def test_a_point_outside_the_scan_is_refused_with_its_extent(place):
    message = r"Point 1: a place in the scan, −16…15 × 5…36 × 30…46 mm LPS, is needed; found \("
    with pytest.raises(InputError, match=message):
        grown(scan((LUMEN, ARTERY)), at(*place))


@pytest.mark.parametrize("place", [(1.0, 2.0), (1.0, 2.0, float("nan"))])
def test_a_point_that_is_not_three_numbers_is_refused(place):
    with pytest.raises(InputError, match="x, y, z in mm of each are needed; found"):
        Points(((0.0, 0.0, 0.0), place))


def test_no_point_is_refused():
    with pytest.raises(InputError, match="Points: at least one is needed"):
        grown(scan((LUMEN, ARTERY)))


# --- heads with a known truth ---------------------------------------------------------------------------------------


def clicks(phantom, kind, count, seed):
    """Points within 3 mm of voxels that are all artery or all vein, as a user would see them: tall."""
    share = phantom.truth["arterial_share"].values
    true = share >= 0.95 if kind == "arteries" else share <= 0.05
    height = np.sort(phantom.series.values, axis=0)[-3] - phantom.series.values[:6].mean(axis=0)
    peak_hu = (phantom.aif_hu if kind == "arteries" else phantom.vof_hu).max()
    seen = phantom.masks[kind].values & phantom.masks["brain"].values & true & (height > 0.35 * peak_hu)
    random = np.random.default_rng(seed)
    z, y, x = random.permutation(np.argwhere(seen))[:count].T
    grid = phantom.series.geometry
    places = np.asarray(grid.origin_mm) + (np.stack([x, y, z], axis=1) * grid.spacing_mm) @ grid.axes.T
    offsets = random.normal(size=places.shape)
    return places + offsets * (3.0 * random.uniform(size=(len(places), 1)) ** (1 / 3)) / np.linalg.norm(
        offsets, axis=1, keepdims=True
    )


@pytest.fixture(scope="module", params=[{}, {"noise_hu": 12.0, "seed": 1}, {"artery_scale": 0.7, "seed": 2}])
def fine_head(request):
    typical = HeadOptions(size=(200, 200, 6), spacing_mm=(1.0, 1.0, 8.0))
    return head_phantom(replace(typical, **request.param))


@pytest.mark.parametrize("kind", ["arteries", "veins"])
def test_clicks_within_3_mm_of_a_vessel_give_that_vessel_in_nine_of_ten(fine_head, kind):
    share = fine_head.truth["arterial_share"].values
    pure = []
    for point in clicks(fine_head, kind, 20, seed=5):
        found = share[grown(fine_head.series, point)]
        pure.append((found >= 0.9).mean() if kind == "arteries" else (found <= 0.1).mean())
    assert np.mean(np.array(pure) >= 0.95) >= 0.9
    assert np.mean(pure) >= 0.95


def test_area_of_a_grown_artery_is_the_true_one_after_venous_scaling(fine_head):
    weights = area_weights(fine_head.series.times_s)
    for point in clicks(fine_head, "arteries", 2, seed=6):
        mask = grow_seeds(fine_head.series, [point], settings=Settings())
        aif = prepare(fine_head.series, Settings(denoise="gaussian", residue="exponential"), aif=mask).aif
        assert aif.curve_hu @ weights == pytest.approx(fine_head.aif_hu @ weights, rel=0.1)
