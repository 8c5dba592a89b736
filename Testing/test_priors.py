"""Priors learned from the scan: transit times at each delay, delays around a voxel, what stays of the stated one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from PyPeTLib import Settings
from PyPeTLib.bayes import bayesian
from PyPeTLib.dictionary import (
    DELAYS_S,
    MTTS_S,
    Dictionary,
    Grid,
    components_without_mean,
    log_weights,
    misfit,
    missed_share,
    mixed_dictionary,
    seen,
    tissue_dictionary,
)
from PyPeTLib.dictionary import joined as both
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.priors import UNLIKE, _smoothed, surroundings, with_patients_times
from PyPeTLib.progress import silent
from PyPeTLib.records import Curves

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
    single = tissue_dictionary(aif, TIMES, FREE, mtts_s=MTTS_S, delays_s=DELAYS_S, shape=1.0, settings=CHOSEN)
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


def around_of(dictionary, near):
    """The distribution of delays of single tissue that the neighbours tell of, without what was stated before."""
    before = dictionary.by_delay(dictionary.mass[None])[0, : DELAYS_S.size]
    before = before / before.sum()
    expected = before * np.exp(near.log_change[:, : DELAYS_S.size])
    return (expected - UNLIKE * before) / (1.0 - UNLIKE)


def told_by(dictionary, rows, mask, noise):
    """What is around each block of voxels of these curves."""
    noisy = rows + np.random.default_rng(7).normal(0.0, noise, (mask.sum(), TIMES.size))
    curves = (noisy @ FREE.T / noise).astype(np.float32)
    return around_of(dictionary, surroundings(dictionary, lambda at: curves[at], mask, SPACING, progress=silent))


def test_neighbours_are_weighed_by_a_gaussian_of_three_mm(aif, dictionary):
    """Blocks are 3 mm apart, the edge lies between the tenth and the eleventh: 0.5, 1.5 and 2.5 SDs away."""
    *_, near = two_sides(aif, dictionary, 0.5)
    assert near.log_change.shape[0] == 2 * 15 * 20
    late = around_of(dictionary, near)[:, DELAYS_S > 4.5].sum(axis=1).reshape(-1, 20)
    expected = ndtr(np.arange(20) - 9.5)
    np.testing.assert_allclose(late.mean(axis=0)[6:14], expected[6:14], atol=0.04)


def test_a_delay_that_no_neighbour_has_keeps_three_tenths(aif, dictionary):
    *_, near = two_sides(aif, dictionary, 0.5)
    assert np.exp(near.log_change.min()) == pytest.approx(0.3, abs=1e-3)


def test_delays_of_neighbours_are_alike_within_a_second(aif, dictionary):
    around = told_by(dictionary, tissue(aif, 0.05, 2.0, 5.0), np.ones((2, 12, 12), dtype=bool), 0.1).mean(axis=0)
    mean = around @ DELAYS_S
    assert mean == pytest.approx(2.0, abs=0.2)
    assert np.sqrt(around @ (DELAYS_S - mean) ** 2) == pytest.approx(1.0, rel=0.2)


def test_around_tissue_of_the_first_delay_the_first_delays_are_expected(aif, dictionary):
    """With probabilities that sum to one; nothing of it is expected at the other end of the grid."""
    around = told_by(dictionary, tissue(aif, 0.05, -4.0, 5.0), np.ones((2, 12, 12), dtype=bool), 0.1)
    np.testing.assert_allclose(around.sum(axis=1), 1.0, rtol=1e-3)
    assert (around.argmax(axis=1) == 0).all()
    assert around[:, DELAYS_S <= -2.0].sum(axis=1).min() > 0.9


def test_a_curve_that_tells_nothing_counts_no_more_than_one_that_tells_clearly(aif, dictionary):
    """Half of the blocks are 12 s late, half do not enhance and could be of any delay."""
    mask = np.ones((2, 24, 24), dtype=bool)
    place = np.argwhere(mask)
    clear = (place[:, 0] + place[:, 1] // 2 + place[:, 2] // 2) % 2 == 0
    around = told_by(dictionary, clear[:, None] * tissue(aif, 0.05, 12.0, 5.0), mask, 0.3).mean(axis=0)
    near = np.abs(DELAYS_S - 12.0) <= 3.0
    assert around[near].sum() > 0.5 + 0.5 * 0.8 * near.mean()


def test_both_tissues_of_a_shared_voxel_count_half(aif, dictionary):
    row = 0.5 * tissue(aif, 0.04, 0.5, 4.0) + 0.5 * tissue(aif, 0.04, 9.5, 8.0)
    around = told_by(dictionary, row, np.ones((2, 12, 12), dtype=bool), 0.1).mean(axis=0)
    assert around[DELAYS_S < 4.0].sum() == pytest.approx(0.5, abs=0.06)


def test_what_lies_outside_the_mask_tells_nothing(aif, dictionary):
    """Two parts with a gap between them: each expects its own delay up to its border."""
    mask = np.ones((2, 12, 40), dtype=bool)
    mask[..., 14:26] = False
    right = np.nonzero(mask)[2] >= 20
    rows = np.where(right[:, None], tissue(aif, 0.03, 8.0, 8.0), tissue(aif, 0.03, 0.5, 4.0))
    around = told_by(dictionary, rows, mask, 0.3)
    np.testing.assert_allclose(around.sum(axis=1), 1.0, rtol=1e-3)
    late = around[:, DELAYS_S > 4.5].sum(axis=1).reshape(-1, 14)
    np.testing.assert_allclose(late.mean(axis=0), np.arange(14) >= 7, atol=0.06)


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


# --- written out by hand --------------------------------------------------------------------------------------------


def by_hand(shape=(1, 4, 2), log_mtt_step=10.0, delays_s=(0.0, 20.0)):
    """Atoms at right angles, so far apart that hardly anything is smoothed from one to the next."""
    atoms = int(np.prod(shape))
    ones, grid = np.ones(atoms), Grid(shape, log_mtt_step, delays_s)
    return Dictionary(np.eye(atoms, dtype=np.float32), ones, ones, ones, np.zeros(atoms), (grid,))


def test_what_was_stated_counts_a_quarter_of_the_sample():
    """Of eight atoms two are seen, one at each delay: the others keep a fifth, 0.25 against 1."""
    rows = np.tile(20.0 * np.eye(8, dtype=np.float32)[:2], (2000, 1))
    change = with_patients_times(by_hand(), rows).log_prior
    np.testing.assert_allclose(change[2:], np.log(0.2), atol=1e-3)
    np.testing.assert_allclose(change[:2], np.log(4 * (1.0 - 0.2 * 3 / 4)), atol=1e-3)


def test_mass_learned_is_smoothed_over_a_quarter_of_log_mtt_and_half_a_second():
    small = by_hand((1, 41, 31), 0.05, tuple(np.arange(31) * 0.25))
    mass = np.zeros((41, 31))
    mass[20, 15] = 1.0
    found = _smoothed(mass.ravel(), small).reshape(41, 31)
    apart = 0.05 * (np.arange(41) - 20), 0.25 * (np.arange(31) - 15)
    assert np.sqrt(found.sum(axis=1) @ apart[0] ** 2) == pytest.approx(0.25, rel=0.02)
    assert np.sqrt(found.sum(axis=0) @ apart[1] ** 2) == pytest.approx(0.5, rel=0.02)


def test_rounds_sharpen_what_is_learned_from_noisy_curves():
    """Two of eight atoms, at an SD and a half: one round gives them half of the mass, the six rounds three quarters."""
    rows = np.random.default_rng(6).normal(0.0, 1.0, (4000, 8)).astype(np.float32)
    rows[:, :2] += 1.5
    learned = with_patients_times(by_hand(), rows).mass
    assert learned[:2].sum() > 0.73


def test_stated_transit_times_are_log_normal_about_five_seconds_and_flat_ones_lie_anywhere(aif):
    """Of an SD of 0.8 in the logarithm; either as far as it is on the grid, from 1 to 30 s: percentiles of both."""
    chosen = {"mtts_s": MTTS_S, "delays_s": DELAYS_S, "shape": 1.0}
    half_step = 0.5 * np.log(MTTS_S[1] / MTTS_S[0])
    ends, shares = np.array([-half_step, np.log(30.0) + half_step]), np.array([0.05, 0.5, 0.95])
    low, high = ndtr((ends - np.log(5.0)) / 0.8)
    log_normal = np.log(5.0) + 0.8 * ndtri(low + shares * (high - low))
    for prior, expected in (("weak", log_normal), ("flat", ends[0] + shares * np.ptp(ends))):
        made = tissue_dictionary(aif, TIMES, FREE, **chosen, settings=Settings(mtt_prior=prior))
        mass = made.mass.reshape(MTTS_S.size, -1).sum(axis=1)
        found = np.interp(shares, np.cumsum(mass) - 0.5 * mass, np.log(MTTS_S))
        np.testing.assert_allclose(found, expected, atol=0.03)


def test_mass_holds_the_lengths_over_which_the_prior_was_divided():
    small = replace(by_hand((1, 1, 2)), lengths=np.array([1.0, 3.0]))
    np.testing.assert_allclose(small.mass, [0.25, 0.75])


def test_curves_against_an_atom_have_the_weight_of_those_that_hold_nothing_of_it():
    weight, top = log_weights(np.array([[-3.0, 0.0, 2.0, 1.0]], np.float32), by_hand((1, 2, 2)))
    np.testing.assert_allclose(weight + top, [[0.0, 0.0, 2.0, 0.5]])


@pytest.mark.parametrize(("missed", "expected"), [(4.0 * 4.3515, 2.0), (1.0, 1.0)])
def test_misfit_is_against_what_noise_leaves_of_components_but_for_the_three_that_a_fit_adapts(missed, expected):
    """Of eight five: half of all chi-squared are above 4.3515; less is no misfit."""
    rows = np.tile(np.array([20.0, np.sqrt(missed), *np.zeros(6)], np.float32), (9, 1))
    assert misfit(rows, by_hand()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("noise", "share"), [(1.0, 0.5), (0.1, 0.5), (9.0, 0.0)])
def test_what_is_missed_beyond_noise_is_a_share_of_the_curves_whatever_the_noise(noise, share):
    """Curves of 40 HU miss their fits by 20 HU, and by noise, of which half of all chi-squared are above 4.3515."""
    missed = np.sqrt((share * 40.0 / noise) ** 2 + 4.3515 * (share > 0.0))
    rows = np.tile(np.array([40.0 / noise, missed, *np.zeros(6)], np.float32), (9, 1))
    assert missed_share(rows, by_hand()) == pytest.approx(share, abs=1e-3)


def test_what_a_tenth_of_volume_would_not_show_is_barred():
    small = replace(by_hand((1, 1, 2)), lengths=np.array([9.0, 11.0]))
    np.testing.assert_array_equal(seen(small, 1.0).log_prior, [-np.inf, 0.0])


def test_components_without_mean_hold_the_curves_but_for_their_baseline():
    """Whatever the lengths and angles of the components that curves are given in; noise is alike in all of them."""
    rng = np.random.default_rng(3)
    basis, coefficients = rng.normal(size=(5, 40)) * np.arange(1.0, 6.0)[:, None], rng.normal(size=(30, 5))
    rotation, free = components_without_mean(basis.astype(np.float32))
    curves = coefficients @ basis
    np.testing.assert_allclose(coefficients @ rotation @ free, curves - curves.mean(axis=1, keepdims=True), atol=1e-4)
    np.testing.assert_allclose(free @ free.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(free.sum(axis=1), 0.0, atol=1e-5)
