"""Priors learned from the scan: transit times at each delay, delays around a voxel, what stays of the stated one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.bayes import bayesian
from PyPeTLib.dictionary import DELAYS_S, Dictionary, Grid, log_weights, mixed_dictionary, tissue_dictionary
from PyPeTLib.dictionary import joined as both
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.priors import UNLIKE, surroundings, with_patients_times
from PyPeTLib.records import Curves, silent

TIMES = np.arange(0.0, 60.0)
FREE = np.eye(TIMES.size) - 1.0 / TIMES.size
CHOSEN = Settings(residue="exponential")
SPACING = (5.0, 1.5, 1.5)


@pytest.fixture(scope="module")
def aif(bolus):
    return bolus.aif(TIMES)


@pytest.fixture(scope="module")
def dictionary(aif):
    """Single tissue, and mixtures with the usual one."""
    single = tissue_dictionary(aif, TIMES, FREE, delays_s=DELAYS_S, shape=1.0, settings=CHOSEN)
    sample = (tissue(aif, 0.03, 0.5, 4.0) @ FREE.T)[None].astype(np.float32)
    return both(single, mixed_dictionary(single, sample, aif, TIMES, FREE, shape=1.0, settings=CHOSEN))


def tissue(aif, volume, delay, mtt):
    return volume * tissue_curves(aif, TIMES, delays_s=np.array([delay]), mtts_s=np.array([mtt]), shape=1.0)[0, 0]


def mean_mtt(dictionary, delay_s, width=0.3):
    """Geometric mean of the transit times expected at a delay, of single tissue."""
    near = np.zeros(dictionary.mtt_s.size, dtype=bool)
    near[: np.prod(dictionary.grids[0].shape)] = True
    near &= np.abs(dictionary.delay_s - delay_s) < width
    return np.exp(np.average(np.log(dictionary.mtt_s[near]), weights=dictionary.mass[near]))


# --- transit times --------------------------------------------------------------------------------------------------


def test_transit_times_are_learned_at_the_delays_that_have_them(aif, dictionary):
    """A brain of 4 s, and a late part of 12 s: each is expected where it is, and what was stated elsewhere."""
    rng = np.random.default_rng(0)
    usual, late = (tissue(aif, 0.03, *one) for one in ((0.5, 4.0), (8.0, 12.0)))
    rows = np.concatenate([np.tile(usual, (5000, 1)), np.tile(late, (1000, 1))]) + rng.normal(0.0, 0.5, (6000, 60))
    learned = with_patients_times(dictionary, (rows @ FREE.T / 0.5).astype(np.float32))
    assert mean_mtt(learned, 0.5) == pytest.approx(4.0, rel=0.12)
    assert mean_mtt(learned, 8.0) > 1.5 * mean_mtt(dictionary, 8.0)
    assert mean_mtt(learned, 14.0) == pytest.approx(mean_mtt(dictionary, 14.0), rel=0.1)


def test_how_frequent_a_delay_is_tells_nothing(aif, dictionary):
    rows = np.tile(tissue(aif, 0.03, 0.5, 4.0), (3000, 1))
    rows += np.random.default_rng(1).normal(0.0, 1.0, rows.shape)
    learned = with_patients_times(dictionary, (rows @ FREE.T).astype(np.float32))
    before, after = (one.by_delay(one.mass[None])[0] for one in (dictionary, learned))
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_few_voxels_hardly_change_what_was_stated(aif, dictionary):
    few = (np.tile(tissue(aif, 0.03, 0.5, 12.0), (5, 1)) @ FREE.T).astype(np.float32)
    assert mean_mtt(with_patients_times(dictionary, few), 0.5) == pytest.approx(mean_mtt(dictionary, 0.5), rel=0.15)


def test_what_was_impossible_stays_so(aif, dictionary):
    barred = replace(dictionary, log_prior=np.where(dictionary.delay_s > 6.0, -np.inf, dictionary.log_prior))
    late = (np.tile(tissue(aif, 0.03, 9.0, 5.0), (800, 1)) @ FREE.T).astype(np.float32)
    assert with_patients_times(barred, late).mass[barred.mass == 0.0].max() == 0.0


# --- surroundings ---------------------------------------------------------------------------------------------------


def two_sides(aif, dictionary, noise):
    """A slab whose right half is 8 s late; curves in SDs of their noise, and where they lie."""
    mask = np.ones((2, 30, 40), dtype=bool)
    right = np.broadcast_to(np.arange(40) >= 20, mask.shape)
    early, late = (tissue(aif, 0.03, *one) for one in ((0.5, 4.0), (8.0, 8.0)))
    rows = np.where(right[mask][:, None], late, early)
    rows = rows + np.random.default_rng(2).normal(0.0, noise, rows.shape)
    curves = (rows @ FREE.T / noise).astype(np.float32)
    near = surroundings(dictionary, lambda voxels: curves[voxels], mask, SPACING, progress=silent)
    return mask, right[mask], curves, near


def expected_delay(dictionary, change):
    """Mean delay of single tissue that is expected, from the changes of its prior."""
    count = dictionary.grids[0].shape[-1]
    mass = dictionary.by_delay(dictionary.mass[None])[0, :count] * np.exp(change[:, :count])
    return mass @ DELAYS_S / mass.sum(axis=1)


def test_expected_is_the_delay_of_the_neighbours(aif, dictionary):
    mask, _, _, near = two_sides(aif, dictionary, 0.5)
    x = np.broadcast_to(np.arange(40), mask.shape)[mask]
    found = expected_delay(dictionary, near.of(np.arange(mask.sum())))
    stated = expected_delay(dictionary, np.zeros((1, near.log_change.shape[1])))[0]
    for side, truth in ((x < 12, 0.5), (x > 28, 8.0)):
        np.testing.assert_allclose(found[side], (1.0 - UNLIKE) * truth + UNLIKE * stated, atol=0.4)


def test_no_delay_becomes_much_less_probable(aif, dictionary):
    *_, near = two_sides(aif, dictionary, 0.5)
    assert near.log_change.min() >= np.log(UNLIKE) - 1e-4
    count = dictionary.grids[0].shape[-1]
    single = dictionary.by_delay(dictionary.mass[None])[:, :count]
    masses = single / single.sum() * np.exp(near.log_change[:, :count])
    np.testing.assert_allclose(masses.sum(axis=1), 1.0, rtol=1e-4)


def test_mixtures_are_as_probable_as_the_rarer_of_what_they_are_made_of(aif, dictionary):
    """Deep in the early half late tissue is rare, deep in the late half the usual one is; the edge has both."""
    mask, _, _, near = two_sides(aif, dictionary, 0.5)
    single, mixed = dictionary.grids
    change, x = near.of(np.arange(mask.sum())), np.broadcast_to(np.arange(40), mask.shape)[mask]
    usual = change[:, single.nearest(mixed.usual_s)]
    for late, column in zip(mixed.delays_s, change[:, single.shape[-1] :].T, strict=True):
        np.testing.assert_array_equal(column, np.minimum(usual, change[:, single.nearest(late)]))
    of_eight = change[:, single.shape[-1] + mixed.nearest(8.0)]
    assert of_eight[np.abs(x - 20) <= 1].min() > 0.0 > of_eight[np.abs(x - 20) >= 14].max()


def test_a_shared_voxel_tells_of_both_its_tissues(aif, dictionary):
    """Where every voxel is half usual and half 9 s late, both delays are expected and none between."""
    row = 0.5 * tissue(aif, 0.04, 0.5, 4.0) + 0.5 * tissue(aif, 0.04, 9.5, 8.0)
    mask = np.ones((2, 12, 12), dtype=bool)
    rows = row + np.random.default_rng(5).normal(0.0, 0.2, (mask.sum(), TIMES.size))
    curves = (rows @ FREE.T / 0.2).astype(np.float32)
    near = surroundings(dictionary, lambda voxels: curves[voxels], mask, SPACING, progress=silent)
    change, single = near.log_change[:, : DELAYS_S.size].mean(axis=0), dictionary.grids[0]
    between = change[single.nearest(5.0)]
    assert change[single.nearest(0.5)] > between + 1.0 and change[single.nearest(9.5)] > between + 0.5


def test_a_voxel_whose_curve_speaks_clearly_is_heard(aif, dictionary):
    """Both sides of the edge keep their own delay, however near the other side is."""
    _, right, curves, near = two_sides(aif, dictionary, 0.5)
    voxels = np.arange(len(curves))
    weight = np.exp(log_weights(curves @ dictionary.directions, dictionary, near.of(voxels))[0])
    delay = weight @ dictionary.delay_s / weight.sum(axis=1)
    np.testing.assert_allclose(delay, np.where(right, 8.0, 0.5), atol=1.0)


def test_change_is_added_to_each_atom_of_its_delay():
    """Three atoms of two delays, a grid of shares, transit times and delays each: written out by hand."""
    grids = (Grid((1, 2, 2), 0.3, (0.0, 0.5)), Grid((1, 1, 2), 0.4, (4.0, 5.0), 0.0))
    ones = np.ones(6)
    small = Dictionary(np.eye(3, 6, dtype=np.float32), ones, ones, ones, np.zeros(6), grids)
    change = np.log(np.array([[1.0, 2.0, 3.0, 4.0]], dtype=np.float32))
    weight, top = log_weights(np.zeros((1, 6), np.float32), small, change)
    np.testing.assert_allclose(np.exp(weight + top)[0], [1.0, 2.0, 1.0, 2.0, 3.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(small.by_delay(np.arange(6.0)[None])[0], [2.0, 4.0, 4.0, 5.0])


# --- in the estimate ------------------------------------------------------------------------------------------------


def test_what_hardly_enhances_has_the_delay_of_its_surroundings(aif):
    """Voxels without contrast inside the late half: with neighbours late, without them in the middle of the prior."""
    mask = np.ones((1, 30, 40), dtype=bool)
    late = np.broadcast_to(np.arange(40) >= 20, mask.shape)
    weak = np.zeros_like(mask)
    weak[0, 10:20:5, 28:34:5] = True
    early_row, late_row = (tissue(aif, 0.03, *one) for one in ((0.5, 4.0), (9.0, 8.0)))
    rows = np.where(late[mask][:, None], late_row, early_row)
    rows[weak[mask]] *= 0.05
    rows = (rows + np.random.default_rng(4).normal(0.0, 1.0, rows.shape)).astype(np.float32)
    curves = Curves(rows, np.eye(60, dtype=np.float32), np.zeros(len(rows), np.float32), mask)
    curves = replace(curves, sd=np.ones(len(rows), np.float32), spacing_zyx_mm=SPACING)
    delays = {
        prior: bayesian(curves, aif, TIMES, settings=replace(CHOSEN, timing_prior=prior), progress=silent).delay_s[
            weak[mask]
        ]
        for prior in ("none", "patient", "neighbours")
    }
    assert np.abs(delays["neighbours"] - 9.0).mean() < 0.6 * np.abs(delays["none"] - 9.0).mean()
    unknown = replace(curves, spacing_zyx_mm=None)
    without = bayesian(unknown, aif, TIMES, settings=CHOSEN, progress=silent).delay_s[weak[mask]]
    np.testing.assert_array_equal(without, delays["patient"])
