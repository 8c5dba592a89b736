"""The figures of merit are what they say, on results whose error is known, and the bound is that of real estimates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import truth
from PyPeTLib.analysis import Maps
from PyPeTLib.bound import Bound, cramer_rao
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.kinetics import residue_area, tissue_curves
from PyPeTLib.phantom import TilesOptions, head_phantom, tiles_phantom
from PyPeTLib.phantom_curves import residue_area as area_of_phantom
from PyPeTLib.phantom_head import build_head
from PyPeTLib.records import Midplane
from PyPeTLib.settings import Settings
from PyPeTLib.truth import (
    chance_above,
    compare_by_class,
    compare_midplanes,
    compare_tiles,
    compare_with_truth,
    tissue_classes,
    true_midplane,
    true_volumes,
)

ERRORS = {"cbf": 1.5, "cbv": 0.08, "mtt": 0.7, "delay": 0.4}


def invented(phantom, analysis, change=lambda name, truth, noise: truth, sd=1.0):
    """The analysis with maps that are the truth changed, which state the given SDs times `sd`."""
    rng = np.random.default_rng(0)
    inside = analysis.brain.values
    made, spread = {}, {}
    for name in ("cbf", "cbv", "mtt", "delay", "tmax"):
        truth = phantom.truth[name].values
        noise = ERRORS.get(name, 0.0) * rng.standard_normal(truth.shape)
        made[name] = replace(phantom.truth[name], values=np.where(inside, change(name, truth, noise), np.nan))
        if name in ERRORS:
            spread[name] = Image(np.full(truth.shape, sd * ERRORS[name]), analysis.brain.geometry)
    ttp = replace(analysis.maps.ttp, values=np.where(inside, 0.0, np.nan))
    return replace(analysis, maps=Maps(**made, ttp=ttp, sd=spread))


def test_the_truth_has_no_error(tiny_head, tiny_analysis):
    figures = compare_by_class(invented(tiny_head, tiny_analysis), tiny_head)
    for name, one in figures.items():
        assert one["voxels"] > 0, name
        assert [one["cbv_slope"], one["cbf_slope"]] == pytest.approx([1.0, 1.0]), name
        assert [one[key] for key in ("cbf_bias", "cbf_error", "mtt_bias_s", "tmax_bias_s", "delay_bias_s")] == [0.0] * 5
        assert [one[f"{key}_held"] for key in ERRORS] == [1.0] * 4, name
    both = figures["pure tissue inside"]
    assert both["tmax_dice"] == 1.0 and both["auc"] == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(figures["gray matter"]["auc"])


def test_known_errors_are_found(tiny_head, tiny_analysis):
    shift = {"cbf": 0.8, "cbv": 1.1, "mtt": 1.0, "delay": 1.0, "tmax": 1.0}
    late = {"mtt": 2.0, "tmax": 2.5, "delay": -0.5}
    run = invented(tiny_head, tiny_analysis, lambda name, truth, noise: shift[name] * truth + late.get(name, 0.0))
    for one in compare_by_class(run, tiny_head).values():
        assert one["cbf_slope"] == pytest.approx(0.8) and one["cbv_slope"] == pytest.approx(1.1)
        assert one["cbf_bias"] == pytest.approx(-0.2) and one["cbf_error"] == pytest.approx(0.2)
        assert one["mtt_bias_s"] == pytest.approx(2.0, abs=1e-5)
        assert one["tmax_bias_s"] == pytest.approx(2.5, abs=1e-5)
        assert one["delay_bias_s"] == pytest.approx(-0.5, abs=1e-5)


def test_figures_of_a_run_are_those_of_pure_tissue_away_from_vessels(tiny_head, tiny_analysis):
    """Whatever stands elsewhere; errors are found minus true."""
    masks = {name: image.values for name, image in tiny_head.masks.items()}
    tissue = masks["pure_tissue"] & ~masks["near_vessel"] & tiny_analysis.brain.values
    shift = {"cbf": 0.8, "cbv": 1.1, "mtt": 1.0, "delay": 1.0, "tmax": 1.0}

    def changed(name, truth, noise):
        return np.where(tissue, shift[name] * truth + (name == "tmax") * 1.2 + noise, 99.0)

    run = invented(tiny_head, tiny_analysis, changed)
    figures, both = compare_with_truth(run, tiny_head), (tiny_head.truth, dict(run.maps.items()))
    true, made = ({name: one[name].values[tissue] for name in shift} for one in both)
    for name in ("cbf", "cbv", "mtt", "tmax"):
        assert figures[f"{name}_r"] == pytest.approx(np.corrcoef(true[name], made[name])[0, 1], abs=1e-6), name
    assert figures["cbf_slope"] == pytest.approx(0.8, abs=0.01)
    assert figures["cbv_slope"] == pytest.approx(1.1, abs=0.01)
    assert figures["tmax_bias_s"] == pytest.approx(1.2, abs=1e-4)
    late, true_late = made["tmax"] > 6.0, true["tmax"] > 6.0
    assert 0 < true_late.sum() < late.sum()
    assert figures["tmax_dice"] == pytest.approx(2.0 * true_late.sum() / (true_late.sum() + late.sum()))


def test_figures_of_masks_and_input_are_shares_of_what_was_found(tiny_head, tiny_analysis):
    true, share = tiny_head.masks["brain"].values, tiny_head.truth["arterial_share"].values.ravel()
    brain = true.copy()
    brain[:, :2] = True  # rows of air
    extra = brain.sum() - true.sum()
    chosen = np.concatenate([np.flatnonzero(share >= 0.9)[:6], np.flatnonzero((share > 0.82) & (share < 0.88))[:2]])
    artery = np.zeros(true.shape, dtype=bool)
    artery.ravel()[chosen] = True
    run = replace(
        tiny_analysis,
        brain=replace(tiny_analysis.brain, values=brain),
        aif=replace(
            tiny_analysis.aif,
            mask=replace(tiny_analysis.aif.mask, values=artery),
            measured_hu=0.4 * tiny_head.aif_hu,
            curve_hu=0.7 * tiny_head.aif_hu,
        ),
    )
    figures = compare_with_truth(run, tiny_head)
    assert figures["brain_dice"] == pytest.approx(2.0 * true.sum() / (2.0 * true.sum() + extra))
    assert figures["outside_share"] == pytest.approx(extra / brain.sum())
    assert figures["aif_arterial_share"] == pytest.approx(6 / 8)
    assert figures["aif_area_ratio"] == pytest.approx(0.7)


def test_a_voxel_is_inside_where_no_tissue_beyond_an_edge_of_core_or_penumbra_lies_within_3_mm(tiny_head):
    """Voxels of 1.5 mm in a row: the first three lie 1.5, 3 and 4.5 mm from the last one on the other side."""
    row = Geometry((40, 1, 1), (1.5, 1.5, 5.0))
    x = np.arange(40).reshape(1, 1, 40)
    where = {"core": x < 10, "hypoperfused": x < 25, "penumbra": (x >= 10) & (x < 25)}
    where |= {name: np.ones_like(x, dtype=bool) for name in ("pure_tissue", "gray_matter")}
    where |= {name: np.zeros_like(x, dtype=bool) for name in ("near_vessel", "white_matter")}
    made = replace(
        tiny_head,
        series=replace(tiny_head.series, values=np.zeros((45, 1, 1, 40), np.int16), geometry=row),
        truth={"cbf": Image(np.where(x < 38, 30.0, np.nan), row)},
        masks={name: Image(values, row) for name, values in where.items()},
    )
    classes = {name: np.flatnonzero(values).tolist() for name, values in tissue_classes(made).items()}
    assert classes["core inside"] == list(range(8))
    assert classes["penumbra inside"] == list(range(12, 23))
    assert classes["pure tissue inside"] == [*range(8), *range(12, 23), *range(27, 38)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_true_volumes_are_those_of_the_thresholds_with_normal_tissue_of_the_other_side(tiny_head, monkeypatch, side):
    """Flow is twice as high on the side of the lesion, and hardly any where tissue is late on the other side."""
    options = replace(tiny_head.options, lesion_side=side)
    grid = tiny_head.series.geometry
    plane = Midplane((0.8, 0.6, 0.0), 5.0, 0.0)
    monkeypatch.setattr(truth, "true_midplane", lambda options: plane)
    away_mm = (1 if side == "left" else -1) * plane.distance_mm(grid)
    known = np.isfinite(tiny_head.truth["cbf"].values)
    cbf, tmax = np.where(known, np.where(away_mm > 0, 100.0, 50.0), np.nan), np.where(known, 1.0, np.nan)
    other, own = (np.flatnonzero(where & known) for where in (away_mm < -20, away_mm > 20))
    cbf.ravel()[other], tmax.ravel()[other] = 5.0, 5.0
    for k, (share, late_s) in enumerate([(0.15, 11.0), (0.25, 9.0), (0.35, 7.0), (0.45, 7.0), (0.1, 5.0)]):
        some = own[100 * k : 100 * (k + 1)]
        cbf.ravel()[some], tmax.ravel()[some] = 50.0 * share, late_s
    maps = {"cbf": Image(cbf, grid), "tmax": Image(tmax, grid)}
    found = true_volumes(replace(tiny_head, truth=maps, options=options), Settings())
    expected = {"core": 2, "hypoperfusion": 4, "mismatch": 2, "tmax_over_6s": 4}
    expected |= {
        "tmax_over_4s": 5 + 0.01 * other.size,
        "tmax_over_8s": 2,
        "tmax_over_10s": 1,
        "rcbf_below_20": 1,
        "rcbf_below_30": 2,
        "rcbf_below_38": 3,
    }
    assert {name: one / (100 * grid.voxel_volume_ml) for name, one in found.items()} == pytest.approx(expected)


def test_planes_are_compared_by_their_angle_and_at_the_centre_of_the_brain(tiny_head):
    grid, brain = tiny_head.series.geometry, np.zeros(tiny_head.series.geometry.shape, dtype=bool)
    brain[1:3, 34:48, 44:54] = True  # the planes cross in it
    turn, shift_mm = np.deg2rad(10.0), 3.0
    true = Midplane((1.0, 0.0, 0.0), 0.0, 0.0)
    found = Midplane((float(np.cos(turn)), float(np.sin(turn)), 0.0), shift_mm, 0.0)
    z, y, x = np.argwhere(brain).mean(axis=0)
    place = grid.axes @ (np.array([x, y, z]) * grid.spacing_mm) + grid.origin_mm
    apart = place @ found.normal - shift_mm - place[0]
    assert compare_midplanes(found, true, Image(brain, grid)) == pytest.approx((10.0, abs(apart)), abs=1e-3)


def test_the_true_plane_lies_where_the_midline_does(tiny_head, monkeypatch):
    """Of a head whose midline is drawn 4 mm further to the left."""
    own, plain = build_head(seed=0, lesion_sign=1), true_midplane(tiny_head.options)
    moved = replace(own, fields={**own.fields, "midline": own.fields["midline"] - 4.0})
    monkeypatch.setattr(truth, "build_head", lambda **chosen: moved)
    found = true_midplane(tiny_head.options)
    shift_mm = np.linalg.inv(own.to_head) @ [4.0, 0.0, 0.0]
    assert found.offset_mm - plain.offset_mm == pytest.approx(shift_mm @ plain.normal, abs=0.3)


@pytest.mark.parametrize(("sd", "held"), [(1.0, 0.9), (0.5, 0.589)])
def test_intervals_hold_the_share_that_their_width_says(tiny_head, tiny_analysis, sd, held):
    run = invented(tiny_head, tiny_analysis, lambda name, truth, noise: truth + noise, sd)
    figures = compare_by_class(run, tiny_head)["pure tissue"]
    for name in ERRORS:
        assert figures[f"{name}_held"] == pytest.approx(held, abs=0.03), name
        spread = figures[f"{name}_width"] / figures[f"{name}_to_bound"]
        assert spread == pytest.approx(sd, rel=0.1), name


def test_the_bound_is_asked_for_with_the_volume_times_and_noise_of_each_voxel(tiny_head, tiny_analysis, monkeypatch):
    """Blood as that of the artery fills CBV·ρ/κ of a voxel; errors of flow and volume are shares of the true ones."""
    asked = []

    def bound(aif_hu, times_s, basis, **tissue):
        asked.append(tissue)
        return Bound(*(share * np.ones(tissue["volumes"].size) for share in (0.1, 0.2, 3.0, 4.0)))

    monkeypatch.setattr(truth, "cramer_rao", bound)
    monkeypatch.setattr(truth, "SAMPLE", 10**6)
    mask = tiny_analysis.curves.mask
    noise_hu = np.zeros(mask.shape, dtype=np.float32)
    noise_hu[mask] = np.arange(np.count_nonzero(mask))
    run = invented(tiny_head, tiny_analysis, lambda name, truth, noise: truth + noise)
    figures = compare_by_class(replace(run, curves=replace(run.curves, sd=noise_hu[mask])), tiny_head)["gray matter"]
    where = tissue_classes(tiny_head)["gray matter"] & run.brain.values
    true = {name: tiny_head.truth[name].values[where] for name in ERRORS}
    kappa, rho_g_ml = (1 - 0.45) / (1 - 0.25), 1.05
    np.testing.assert_allclose(asked[0]["volumes"], true["cbv"] * rho_g_ml / kappa / 100.0, rtol=1e-5)
    np.testing.assert_allclose(asked[0]["mtts_s"], true["mtt"], rtol=1e-6)
    np.testing.assert_allclose(asked[0]["delays_s"], true["delay"], atol=1e-6)
    np.testing.assert_array_equal(asked[0]["noise_hu"], noise_hu[where])
    for name, least in zip(ERRORS, (0.1, 0.2, 3.0, 4.0), strict=True):
        apart = np.abs(dict(run.maps.items())[name].values[where] - true[name])
        error = np.median(apart / true[name] if name in ("cbf", "cbv") else apart)
        assert figures[f"{name}_to_bound"] == pytest.approx(error / 0.6745 / least, rel=1e-4), name


def test_the_bound_is_that_of_the_residue_of_the_phantom(tiny_head, tiny_analysis, monkeypatch):
    """Of each that has one; the mixed residue is of no shape."""
    asked = []
    run = invented(tiny_head, tiny_analysis)
    bound = Bound(*np.ones((4, 1)))
    monkeypatch.setattr(truth, "cramer_rao", lambda *seen, shape, **tissue: asked.append(shape) or bound)
    times, residues = np.linspace(0.0, 12.0, 121), ("exponential", "box", "linear", "gamma")
    for residue in (*residues, "mixed"):
        made = replace(tiny_head, options=replace(tiny_head.options, residue=residue))
        least = compare_by_class(run, made)["white matter"]["cbf_bound"]
        assert np.isfinite(least) == (residue in residues), residue
    assert len(set(asked)) == 4
    for residue, shape in zip(residues, list(dict.fromkeys(asked)), strict=True):
        expected = area_of_phantom(times, mtt_s=1.0, residue=residue)
        np.testing.assert_allclose(residue_area(times, shape), expected, atol=1e-9)


def test_the_bound_is_asked_for_voxels_spread_evenly_over_a_class(tiny_head, tiny_analysis, monkeypatch):
    asked = []
    bound = Bound(*np.ones((4, 1)))
    monkeypatch.setattr(truth, "cramer_rao", lambda *seen, volumes, **tissue: asked.append(volumes) or bound)
    monkeypatch.setattr(truth, "SAMPLE", 12)
    compare_by_class(invented(tiny_head, tiny_analysis), tiny_head)
    where = tissue_classes(tiny_head)["white matter"] & tiny_analysis.brain.values
    every = tiny_head.truth["cbv"].values[where]
    shares = asked[1] / asked[1][0]
    evenly = [every[::step] / every[0] for step in range(1, every.size) if every[::step].size == shares.size]
    assert every.size > 100 and 6 <= shares.size <= 12
    assert any(np.allclose(one, shares, rtol=1e-5) for one in evenly)


def test_a_voxel_without_a_value_is_counted_and_left_out(tiny_head, tiny_analysis):
    where = tissue_classes(tiny_head)["white matter"]
    gone = where & (np.arange(where.size).reshape(where.shape) % 2 == 0)
    run = invented(tiny_head, tiny_analysis, lambda name, truth, noise: np.where(gone, np.nan, truth))
    figures = compare_by_class(run, tiny_head)["white matter"]
    assert figures["valued"] == pytest.approx(1.0 - gone.sum() / where.sum(), abs=0.02)
    assert figures["cbf_slope"] == pytest.approx(1.0)


def test_a_method_without_standard_deviations_or_delay_has_no_figure_of_them(tiny_head, tiny_analysis):
    run = invented(tiny_head, tiny_analysis)
    figures = compare_by_class(replace(run, maps=replace(run.maps, delay=None, sd={})), tiny_head)["pure tissue"]
    for key in ("cbf_held", "cbf_width", "delay_held", "delay_bias_s", "delay_to_bound"):
        assert np.isnan(figures[key]), key
    assert figures["cbf_to_bound"] == 0.0


def test_classes_are_pure_tissue_of_one_kind(head):
    classes = tissue_classes(head)
    masks = {name: image.values for name, image in head.masks.items()}
    assert not (classes["gray matter"] | classes["white matter"])[masks["hypoperfused"]].any()
    assert not (classes["penumbra"] & classes["core"]).any()
    for name, where in classes.items():
        assert not where[masks["near_vessel"]].any(), name
        if name != "all tissue":
            assert masks["pure_tissue"][where].all(), name
    for name in ("penumbra", "core", "pure tissue"):
        inside = classes[f"{name} inside"]
        assert 0 < inside.sum() < classes[name].sum() and classes[name][inside].all(), name


def test_a_head_without_a_lesion_has_no_figures_of_one(tiny_head, tiny_analysis):
    healthy = head_phantom(replace(tiny_head.options, lesion_side="none"))
    figures = compare_by_class(invented(healthy, tiny_analysis), healthy)
    assert figures["core"]["voxels"] == 0 and np.isnan(figures["core"]["cbf_bias"])
    assert figures["gray matter"]["cbf_slope"] == pytest.approx(1.0)


def test_chance_above_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    ill, healthy = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 60).astype(float)
    pairs = (ill[:, None] > healthy).mean() + 0.5 * (ill[:, None] == healthy).mean()
    assert chance_above(ill, healthy) == pytest.approx(pairs)


# --- tiles ----------------------------------------------------------------------------------------------------------


def test_tiles_are_compared_by_their_means(tiny_analysis):
    board = tiles_phantom(TilesOptions(cbv=(2.0, 4.0)))
    rng = np.random.default_rng(2)
    noisy = {}
    for name in ("cbf", "cbv", "mtt"):
        truth = board.truth[name].values
        noisy[name] = replace(board.truth[name], values=truth + 5.0 * rng.standard_normal(truth.shape))
    run = replace(tiny_analysis, maps=replace(tiny_analysis.maps, **noisy))
    assert list(compare_tiles(run, board).values()) == pytest.approx([1.0] * 6, abs=0.02)
    flipped = replace(noisy["cbf"], values=-noisy["cbf"].values)
    run = replace(run, maps=replace(run.maps, cbf=flipped))
    figures = compare_tiles(run, board)
    assert [figures["cbf_r"], figures["cbf_slope"]] == pytest.approx([-1.0, -1.0], abs=0.02)


# --- bound ----------------------------------------------------------------------------------------------------------


def test_the_bound_is_the_spread_of_a_least_squares_fit(bolus):
    """Fitted again and again with new noise, small enough for the fit to be linear."""
    from scipy.optimize import least_squares

    times, noise_hu = np.arange(0.0, 60.0), 0.05
    aif = bolus.aif(times)

    def curve(parameters):
        volume, mtt, delay = parameters
        made = tissue_curves(aif, times, delays_s=np.array([delay]), mtts_s=np.array([mtt]), shape=1.0)[0, 0]
        return volume * (made - made.mean())

    true = np.array([0.04, 5.0, 2.2])
    rng = np.random.default_rng(3)
    clean = curve(true)
    found = np.array(
        [
            least_squares(lambda p, seen=clean + noise: curve(p) - (seen - seen.mean()), true, diff_step=0.02).x
            for noise in noise_hu * rng.standard_normal((300, times.size))
        ]
    )
    one = np.ones(1)
    bound = cramer_rao(
        aif,
        times,
        np.eye(times.size),
        volumes=true[0] * one,
        mtts_s=true[1] * one,
        delays_s=true[2] * one,
        noise_hu=noise_hu * one,
        shape=1.0,
    )
    spread = [bound.cbv[0] * true[0], bound.mtt[0], bound.delay[0], bound.cbf[0] * true[0] / true[1]]
    measured = [*found.std(axis=0), (found[:, 0] / found[:, 1]).std()]
    assert measured == pytest.approx(spread, rel=0.12)


def test_fewer_components_never_tell_more(bolus):
    times, one = np.arange(0.0, 60.0), np.ones(1)
    tissue = {"volumes": 0.04 * one, "mtts_s": 5.0 * one, "delays_s": one, "noise_hu": one, "shape": 1.0}
    lags = np.linspace(0.0, 8.0, 6)
    basis = tissue_curves(bolus.aif(times), times, delays_s=lags, mtts_s=np.array([5.0]), shape=1.0)[0]
    few, every = (cramer_rao(bolus.aif(times), times, base, **tissue) for base in (basis, np.eye(60)))
    for name in ERRORS:
        assert getattr(few, name)[0] >= getattr(every, name)[0] * (1 - 1e-6), name
    raised = cramer_rao(bolus.aif(times), times, basis + np.arange(1.0, 7.0)[:, None], **tissue)
    for name in ERRORS:
        assert getattr(raised, name)[0] == pytest.approx(getattr(few, name)[0], rel=1e-6), "no baseline is known"
