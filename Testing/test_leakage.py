"""Contrast agent that leaves the vessels: found in parts large enough, taken off, told; nothing else passes for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings, leakage
from PyPeTLib.curves import area_share
from PyPeTLib.dictionary import tissue_dictionary
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.leakage import _compared, _leaked, without_leak
from PyPeTLib.methods import _on_leakage
from PyPeTLib.quality_maps import judge_leakage
from PyPeTLib.records import Curves

TIMES = np.arange(50.0)
GRID = Geometry((24, 24, 4), (2.0, 2.0, 5.0))
NOISE_HU, STEP_S = 0.2, 0.05
#: Where agent leaves the vessels: 16 mm wide.
BALL = np.zeros(GRID.shape, dtype=bool)
BALL[1:3, 8:16, 8:16] = True


def convolved(aif, mtt_s, delay_s, fine):
    """Tissue of as much blood as the artery, by sums over a fine grid."""
    response = np.exp(-fine / mtt_s)
    curve = np.convolve(aif, response / response.sum())[: fine.size]
    return np.interp(fine - delay_s, fine, curve, left=0.0)


def brain(bolus, rate, *, mtt_s=4.0, where=BALL, scale=1.0, noise_hu=NOISE_HU):
    """Curves of tissue of 4 % blood; ``where`` leaks at a rate in 1/s; and the input that is measured."""
    rng, fine = np.random.default_rng(3), np.arange(0.0, 60.0, STEP_S)
    aif = bolus.aif(fine)
    usual, other = (0.04 * np.interp(TIMES, fine, convolved(aif, m, 1.0, fine)) for m in (4.0, mtt_s))
    left = rate * np.interp(TIMES, fine, np.interp(fine - 1.0, fine, STEP_S * np.cumsum(aif), left=0.0))
    rows = np.where(where.reshape(-1, 1), other + left, usual) * rng.uniform(0.7, 1.3, (where.size, 1))
    rows = scale * rows + rng.normal(0.0, noise_hu, rows.shape)
    rows -= rows.mean(axis=1, keepdims=True)
    basis = np.linalg.svd(rows, full_matrices=False)[2][:6].astype(np.float32)
    coefficients = (rows @ basis.T).astype(np.float32)
    sd = np.full(where.size, noise_hu, dtype=np.float32)
    above = basis - basis[:, :8].mean(axis=1, keepdims=True)
    noise, inside = np.zeros(where.size, np.float32), np.ones(GRID.shape, dtype=bool)
    curves = Curves(coefficients, above, noise, inside, sd=sd, spacing_zyx_mm=GRID.spacing_zyx_mm)
    return curves, np.interp(TIMES, fine, aif)


def taken_off(curves, aif):
    return without_leak(curves, aif, TIMES, GRID, settings=Settings())


def test_what_has_left_the_vessels_is_found_and_its_volume_is_that_of_blood(bolus):
    """10 mL/100 g/min of plasma: the volume seemed to be more than twice as large."""
    curves, aif = brain(bolus, 10.0 / 6000.0 * 1.9)
    corrected, leak = taken_off(curves, aif)
    assert leak.values[BALL].mean() > 0.95 and leak.values[~BALL].mean() < 0.01
    seen, blood = (float(np.median(area_share(one, aif, TIMES)[BALL.ravel()])) for one in (curves, corrected))
    assert seen > 0.08 and blood == pytest.approx(0.04, abs=0.006)
    assert (corrected.sd[BALL.ravel()] > 1.05 * curves.sd[BALL.ravel()]).mean() > 0.9


@pytest.mark.parametrize("mtt_s", [4.0, 2.0, 12.0])
def test_slow_and_fast_tissue_is_no_leakage_and_stays_as_it_is(bolus, mtt_s):
    curves, aif = brain(bolus, 0.0, mtt_s=mtt_s)
    corrected, leak = taken_off(curves, aif)
    assert not leak.values.any()
    assert np.array_equal(corrected.coefficients, curves.coefficients) and np.array_equal(corrected.sd, curves.sd)


def test_agent_that_seems_to_come_back_is_no_leakage(bolus):
    curves, aif = brain(bolus, -0.002)
    corrected, leak = taken_off(curves, aif)
    assert not leak.values.any() and np.array_equal(corrected.coefficients, curves.coefficients)


def test_what_was_taken_off_is_as_uncertain_as_it_is_wrong(bolus):
    """Standard deviations of curves that leak are those of what is left of them less the curves of blood alone."""
    (curves, aif), (blood, _) = brain(bolus, 0.003), brain(bolus, 0.0)
    corrected, leak = taken_off(curves, aif)
    inside = leak.values.ravel() & BALL.ravel()
    left, true = (one.coefficients[inside] @ one.basis for one in (corrected, blood))
    missed = (left - left.mean(axis=1, keepdims=True)) - (true - true.mean(axis=1, keepdims=True))
    stated = corrected.sd[inside] * np.sqrt(np.linalg.matrix_rank(curves.basis))
    ratio = np.sqrt(np.mean(np.sum(missed**2, axis=1))) / np.sqrt(np.mean(stated**2))
    assert 0.5 < ratio < 2.0


def test_gain_height_and_uncertainty_of_a_leak_are_those_of_least_squares_with_both(bolus):
    """Written out for every tissue: where tissue and leak are both positive they are fitted, otherwise tissue alone."""
    aif, free = bolus.aif(TIMES), np.linalg.svd(np.eye(TIMES.size) - 1.0 / TIMES.size)[2][:-1]
    chosen = {"mtts_s": np.array([3.0, 6.0]), "delays_s": np.array([0.0, 1.0, 2.0]), "shape": 1.0}
    tissue = tissue_dictionary(aif, TIMES, free, **chosen, settings=Settings())
    leaks = _leaked(aif, TIMES, chosen["delays_s"]) @ free.T
    rng = np.random.default_rng(0)
    heights = rng.uniform(-20.0, 60.0, (40, 1)) * tissue.directions.T[rng.integers(0, 6, 40)]
    rows = heights + rng.uniform(-0.01, 0.02, (40, 1)) * leaks[rng.integers(0, 3, 40)] + rng.normal(size=heights.shape)
    for row, found in zip(rows, _compared(rows.astype(np.float32), tissue, leaks), strict=True):
        alone, both = [], []
        for atom, direction in enumerate(tissue.directions.T):
            columns = np.stack([direction, leaks[atom % 3]], axis=1)
            fit, left, *_ = np.linalg.lstsq(columns, row)
            alone.append(max(float(direction @ row), 0.0) ** 2)
            sd = np.sqrt(np.linalg.inv(columns.T @ columns)[1, 1])
            explained = float(row @ row - left[0]) if fit.min() > 0.0 else alone[-1]
            both.append((explained, float(fit[1]) if fit.min() > 0.0 else 0.0, sd, atom % 3))
        best = max(both)
        np.testing.assert_allclose(found[0], 0.5 * (best[0] - max(alone)), atol=0.02)
        if found[0] > 0.1:
            np.testing.assert_allclose(found[1:], best[1:], rtol=2e-3)


def test_what_is_as_thin_as_a_vessel_is_left_alone(bolus):
    thin = np.zeros(GRID.shape, dtype=bool)
    thin[:, 2:22, 10:13] = True  # 6 mm
    curves, aif = brain(bolus, 0.006, where=thin)
    assert not taken_off(curves, aif)[1].values.any()


def test_where_much_of_the_brain_seems_to_leak_the_input_is_wrong_and_nothing_is_taken_off(bolus):
    third = np.zeros(GRID.shape, dtype=bool)
    third[:, :, :8] = True
    curves, aif = brain(bolus, 0.006, where=third)
    corrected, leak = taken_off(curves, aif)
    assert corrected is curves and not leak.values.any()


@pytest.mark.parametrize("z", [0, 5])
def test_leakage_is_sought_in_a_mask_of_one_thin_slice(bolus, z):
    """Wherever it lies: the coarse look begins in it."""
    thin = Geometry((24, 24, 9), (2.0, 2.0, 1.0))
    where = np.zeros(GRID.shape, dtype=bool)
    where[:, 8:16, 8:16] = True
    curves, aif = brain(bolus, 0.006, where=where)
    mask = np.zeros(thin.shape, dtype=bool)
    mask[z] = True
    voxels = mask.sum()
    one = replace(curves, coefficients=curves.coefficients[:voxels], sd=curves.sd[:voxels], mask=mask)
    leaking = without_leak(one, aif, TIMES, thin, settings=Settings())[1].values
    assert not leaking.any(), "0.3 mL are too little to be told"
    mask[:] = np.arange(9)[:, None, None] == z
    thick = replace(thin, spacing_mm=(2.0, 2.0, 5.0))
    leaking = without_leak(replace(one, mask=mask), aif, TIMES, thick, settings=Settings())[1].values
    assert leaking[z, 8:16, 8:16].mean() > 0.9 and leaking[z].mean() < 0.2


def test_a_mask_that_lies_on_no_coarse_place_leaks_nowhere(bolus):
    """A diagonal of single voxels, none of which is where its box begins."""
    curves, aif = brain(bolus, 0.006)
    mask = np.zeros((1, 24, 24), dtype=bool)
    mask[0, np.arange(20), 19 - np.arange(20)] = True
    kept = replace(curves, coefficients=curves.coefficients[:20], sd=curves.sd[:20], mask=mask)
    fine = Geometry((24, 24, 1), (0.15, 0.15, 1.0))
    found, leak = without_leak(kept, aif, TIMES, fine, settings=Settings())
    assert found is kept and not leak.values.any()


def test_curves_of_all_frames_and_without_known_noise_are_left_as_they_are(bolus):
    curves, aif = brain(bolus, 0.006)
    assert taken_off(replace(curves, sd=None), aif)[0].sd is None
    rows = (curves.coefficients @ curves.basis).astype(np.float32)
    every = replace(curves, coefficients=rows, basis=np.eye(TIMES.size, dtype=np.float32))
    assert taken_off(every, aif)[0] is every


def test_leakage_is_a_warning_with_volume_and_place():
    everywhere = Image(np.ones(GRID.shape, dtype=bool), GRID)
    found = judge_leakage(Image(BALL, GRID), everywhere)
    assert (found.name, found.status, found.value) == ("leakage", "warn", pytest.approx(2.56))
    assert "2.6 mL of the brain, around the midline, in 2 of 4 slices" in found.text
    assert judge_leakage(Image(~everywhere.values, GRID), everywhere).status == "pass"


def test_the_methods_paragraph_says_what_was_taken_off():
    everywhere, nowhere = (Image(np.full(GRID.shape, one), GRID) for one in (True, False))
    (told,) = _on_leakage([judge_leakage(Image(BALL, GRID), everywhere)])
    assert told.startswith("In 2.6 mL where contrast agent leaves") and "(Patlak 1983)" in told
    assert not list(_on_leakage([judge_leakage(nowhere, everywhere)]))


def test_a_coarse_look_first_finds_what_a_look_at_every_voxel_does(bolus, monkeypatch):
    curves, aif = brain(bolus, 0.004)
    corrected, leak = taken_off(curves, aif)
    looked = []

    def everywhere(gain, mask, places, *, slice_axis):
        looked.append((gain.size, [one.step for one in places]))
        return np.arange(np.count_nonzero(mask))

    monkeypatch.setattr(leakage, "_worth_a_look", everywhere)
    of_all, everywhere_leak = taken_off(curves, aif)
    assert looked == [(12 * 12 * 4, [1, 2, 2])] and leak.values.any()
    assert np.array_equal(leak.values, everywhere_leak.values)
    assert corrected.coefficients == pytest.approx(of_all.coefficients, abs=1e-4)


@pytest.mark.parametrize(("least", "found"), [(0.2, True), (0.25, False)])
def test_what_is_too_small_a_share_of_a_curve_is_an_error_of_the_input_however_certain(
    bolus, monkeypatch, least, found
):
    """The board of tiles has hardly any noise left: a hundredth of the curve passed for leakage. Here it is 0.22."""
    curves, aif = brain(bolus, 0.0006, noise_hu=0.01)
    monkeypatch.setattr(leakage, "LEAST_SHARE", least)
    assert (taken_off(curves, aif)[1].values[BALL].mean() > 0.95) == found
