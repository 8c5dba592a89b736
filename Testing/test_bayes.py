"""Bayesian estimate: truth without noise, sums against explicit ones, intervals, shape of the residue, contracts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.bayes import _coarseness, bayesian
from PyPeTLib.dictionary import (
    DELAYS_S,
    LATE_MTTS_S,
    MTT_LOG_SD,
    MTT_MEDIAN_S,
    MTTS_S,
    SHAPES,
    Dictionary,
    Grid,
    joined,
    mixed_dictionary,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
    usual_tissue,
)
from PyPeTLib.errors import Cancelled
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.methods import MIXED
from PyPeTLib.progress import silent

TIMES = np.arange(0.0, 60.0)
FLAT = Settings(residue="exponential", mtt_prior="flat", timing_prior="none", voxel_tissues="one")


def curves_of(as_curves, rows, sd):
    """Curves of all frames with noise of known size."""
    curves = as_curves(rows)
    return replace(curves, sd=np.full(len(curves.coefficients), sd, np.float32))


def tissue(aif, volume, delay, mtt, shape=1.0, times=TIMES):
    return volume * tissue_curves(aif, times, delays_s=np.array([delay]), mtts_s=np.array([mtt]), shape=shape)[0, 0]


def found(curves, aif, times=TIMES, chosen=FLAT, progress=silent):
    return bayesian(curves, aif, times, settings=chosen, progress=progress)


def many(aif, count, noise, shape=1.0, times=TIMES, seed=0):
    """Rows of tissue drawn from a wide range, with noise; and what they were made of."""
    rng = np.random.default_rng(seed)
    volume, delay = rng.uniform(0.01, 0.05, count), rng.uniform(-1.0, 6.0, count)
    mtt = np.exp(rng.normal(np.log(MTT_MEDIAN_S), 0.4, count))
    rows = np.stack([tissue(aif, *one, shape, times) for one in zip(volume, delay, mtt, strict=True)])
    return rows + rng.normal(0.0, noise, rows.shape), volume, delay, mtt


@pytest.mark.parametrize("times", [TIMES, np.append(np.arange(0.0, 36.0, 1.5), np.arange(36.0, 61.0, 3.0))])
@pytest.mark.parametrize("name", SHAPES)
def test_truth_is_found_where_there_is_hardly_noise(bolus, as_curves, name, times):
    aif, shape = bolus.aif(times), SHAPES[name]
    rows, volume, delay, mtt = many(aif, 40, 0.02, shape, times)
    curves = curves_of(as_curves, rows, 0.1)
    response = found(curves, aif, times, replace(FLAT, residue=name))
    transit = response.volume / response.height
    widest = 0.15 if shape == BOX else 0.05  # of a box, delay and transit time replace each other
    for value, truth, usual, worst in ((response.volume, volume, 0.02, 0.06), (transit, mtt, widest, 0.3)):
        error = np.abs(value / truth - 1.0)
        assert np.median(error) < usual and error.max() < worst  # between the atoms of the grid
    np.testing.assert_allclose(response.delay_s, delay, atol=0.5 if shape == BOX else 0.35)
    expected = response.delay_s + (0.5 * transit if shape == BOX else 0.0)
    np.testing.assert_allclose(response.tmax_s, expected, rtol=1e-5)


def explicit_moments(row, aif, sd_hu, delays_s):
    """The posterior written out over the grid and over volumes, the baseline left free; seven moments."""
    atoms = tissue_curves(aif, TIMES, delays_s=delays_s, mtts_s=MTTS_S, shape=1.0)
    atoms -= atoms.mean(axis=-1, keepdims=True)
    y, volume = row - row.mean(), np.linspace(-0.05, 0.15, 801)[:, None, None]
    chi = (y @ y - 2.0 * volume * (atoms @ y) + volume**2 * (atoms**2).sum(axis=-1)) / sd_hu**2
    mtt, delay = MTTS_S[:, None], delays_s[None]
    log = -0.5 * chi - 0.5 * (np.log(mtt / MTT_MEDIAN_S) / MTT_LOG_SD) ** 2
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    means = [float((weight * one).sum()) for one in (volume, mtt, delay)]
    pairs = ((volume / mtt, None), (volume, means[0]), (mtt, means[1]), (delay, means[2]))
    middles = [(weight * one).sum() if middle is None else middle for one, middle in pairs]
    sds = [np.sqrt((weight * (one - middle) ** 2).sum()) for (one, _), middle in zip(pairs, middles, strict=True)]
    return np.array([*means, *sds])


def test_moments_are_those_of_an_explicit_sum(bolus, as_curves):
    """Means of volume, transit time and delay, and standard deviations of these and of flow, voxel by voxel.

    The noise stated is a little more than there is, so that it is taken as stated, and hides the grid; blood enough
    shows through it that no tissue of negative volume is likely.
    """
    aif, stated, chosen = bolus.aif(TIMES), 2.5, replace(FLAT, mtt_prior="weak")
    rows, volume, *_ = many(aif, 30, 2.1, seed=3)
    rows = rows[volume > 0.025]
    curves = curves_of(as_curves, rows, stated)
    response = found(curves, aif, chosen=chosen)
    sample, free = sample_of(curves)
    delays_s = usual_delay_s(sample, aif, TIMES, free) + DELAYS_S
    assert abs(delays_s[0] - DELAYS_S[0] - np.median(response.delay_s)) <= 2.0
    expected = np.stack([explicit_moments(row, aif, stated, delays_s) for row in rows])
    times = [response.volume / response.height, response.delay_s]
    given = [response.volume, *times, *(response.sd[name] for name in ("cbf", "cbv", "mtt", "delay"))]
    assert len(expected) > 12
    np.testing.assert_allclose(np.stack(given, axis=1), expected, rtol=1e-3)


def test_what_smoothing_mixed_adds_to_the_deviations_of_flow_and_volume_alone(bolus, as_curves):
    aif = bolus.aif(TIMES)
    rows, *_ = many(aif, 30, 1.5)
    plain = curves_of(as_curves, rows, 1.5)
    mixing = np.linspace(0.0, 0.6, 30, dtype=np.float32)
    before, after = found(plain, aif), found(replace(plain, mixing=mixing), aif)
    for name, value in (("cbf", before.height), ("cbv", before.volume)):
        np.testing.assert_allclose(after.sd[name], np.sqrt(before.sd[name] ** 2 + (mixing * value) ** 2), rtol=1e-6)
    for name in ("mtt", "delay"):
        np.testing.assert_array_equal(after.sd[name], before.sd[name])
    np.testing.assert_array_equal(after.height, before.height)


def test_intervals_hold_what_they_say(bolus, as_curves):
    """Ninety of a hundred intervals hold the truth where truth is drawn from what is assumed and the noise is known."""
    aif = bolus.aif(TIMES)
    rows, volume, delay, mtt = many(aif, 2000, 1.5)
    response = found(curves_of(as_curves, rows, 1.5), aif, chosen=Settings(residue="exponential"))
    values = {"cbv": (response.volume, volume), "delay": (response.delay_s, delay)}
    values |= {"mtt": (response.volume / response.height, mtt), "cbf": (response.height, volume / mtt)}
    for name, (value, truth) in values.items():
        assert 0.85 < (np.abs(value - truth) < 1.645 * response.sd[name]).mean() < 0.96, name


def test_standard_deviations_grow_with_the_noise(bolus, as_curves):
    aif = bolus.aif(TIMES)
    quiet, loud = (
        found(curves_of(as_curves, many(aif, 300, noise)[0], noise), aif, chosen=Settings(residue="exponential"))
        for noise in (0.5, 2.0)
    )
    for name in ("cbf", "cbv", "mtt", "delay"):
        assert np.median(loud.sd[name]) > 1.3 * np.median(quiet.sd[name])


def test_noise_that_is_larger_than_stated_is_noticed(bolus, as_curves):
    aif = bolus.aif(TIMES)
    rows, volume, *_ = many(aif, 1500, 3.0)
    response = found(curves_of(as_curves, rows, 1.0), aif, chosen=Settings(residue="exponential"))
    scatter = np.median(np.abs(response.volume - volume)) / 0.6745
    assert np.median(response.sd["cbv"]) == pytest.approx(scatter, rel=0.3)


def test_what_noise_hides_is_told_by_the_noise_that_there_is_not_by_that_stated(bolus, as_curves, monkeypatch):
    told = []
    monkeypatch.setattr("PyPeTLib.bayes.seen", lambda dictionary, noise_hu: told.append(noise_hu) or dictionary)
    aif = bolus.aif(TIMES)
    found(curves_of(as_curves, many(aif, 200, 3.0)[0], 1.0), aif)
    assert told == [pytest.approx(3.0, rel=0.05)]


def test_neighbours_on_the_grid_are_two_sds_apart_with_the_noise_of_its_coarseness():
    """Unit vectors a fifth of a radian apart: their distance is the sine, as a share of a curve."""
    angles = 0.2 * np.arange(5)
    directions = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    ones = np.ones(5)
    made = Dictionary(directions, ones, ones, angles, ones, (Grid((1, 1, 5), 1.0, tuple(angles)),))
    assert 2.0 * _coarseness(made) == pytest.approx(np.sin(0.2), rel=1e-4)


def test_volume_of_tissue_whose_contrast_has_not_left_is_found(bolus, as_curves):
    """The frames there are hold less than four fifths of the area; the model knows the rest."""
    times = np.arange(0.0, 36.0)
    aif = bolus.aif(times)
    row = tissue(aif, 0.03, 4.0, 10.0, times=times)
    assert row.sum() / (0.03 * aif.sum()) < 0.8
    response = found(curves_of(as_curves, [row], 0.1), aif, times)
    assert response.volume[0] == pytest.approx(0.03, rel=0.1)


def test_what_does_not_enhance_is_unbiased_and_signed(bolus, as_curves):
    aif = bolus.aif(TIMES)
    noise = np.random.default_rng(0).normal(0.0, 1.0, (3000, TIMES.size))
    response = found(curves_of(as_curves, noise, 1.0), aif, chosen=Settings(residue="exponential"))
    assert (response.volume < 0).mean() > 0.1
    assert abs(response.volume.mean()) < np.median(response.sd["cbv"])


def test_weak_prior_keeps_noisy_transit_times_from_running_away(bolus, as_curves):
    aif = bolus.aif(TIMES)
    rows, *_ = many(aif, 800, 6.0)
    curves = curves_of(as_curves, rows, 6.0)
    spreads = []
    for prior in ("weak", "flat"):
        response = found(curves, aif, chosen=Settings(residue="exponential", mtt_prior=prior))
        spreads.append(np.abs(np.log(response.volume / response.height / MTT_MEDIAN_S)).mean())
    assert spreads[0] < spreads[1]


@pytest.mark.parametrize("by_s", [-2.0, 5.0, 9.0, 12.0])
def test_grid_of_delays_follows_the_patients_usual_delay(bolus, as_curves, by_s):
    aif = bolus.aif(TIMES)
    rows, volume, delay, _ = many(aif, 200, 0.2)
    later = np.interp(TIMES - by_s, TIMES, aif)
    response = found(curves_of(as_curves, rows, 0.2), later)
    np.testing.assert_allclose(np.median(response.delay_s - delay), -by_s, atol=0.3)
    assert np.median(response.volume / volume) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("early", [3, 7])
def test_tissue_that_is_not_late_is_found_where_most_of_the_brain_is(bolus, as_curves, early):
    """All but a third, or a seventh, come 7 s later: a grid around their delay would begin after the others."""
    aif = bolus.aif(TIMES)
    mtts, volume, late = np.linspace(3.0, 6.0, 240), 0.04, np.arange(240) % early > 0
    delays = 0.5 + 7.0 * late
    rows = np.stack([bolus.washout(TIMES, volume / m, m, d) for m, d in zip(mtts, delays, strict=True)])
    rows += np.random.default_rng(0).normal(0.0, 0.2, rows.shape)
    response = found(curves_of(as_curves, rows, 0.2), aif)
    for part in (late, ~late):
        assert np.median(response.delay_s[part] - delays[part]) == pytest.approx(0.0, abs=0.3)
        assert np.median((response.height * mtts / volume)[part]) == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("later_s", [-3.5, 15.5])
def test_tissue_is_found_four_seconds_before_to_sixteen_after_the_usual(bolus, as_curves, later_s):
    aif, delays = bolus.aif(TIMES), 0.5 + later_s * (np.arange(240) % 12 == 0)
    rows = np.stack([bolus.washout(TIMES, 0.01, 4.0, one) for one in delays])
    rows += np.random.default_rng(0).normal(0.0, 0.2, rows.shape)
    response = found(curves_of(as_curves, rows, 0.2), aif)
    np.testing.assert_allclose(response.delay_s, delays, atol=0.3)


def test_voxels_are_found_in_their_order_and_progress_can_cancel(bolus, as_curves):
    aif, order = bolus.aif(TIMES), np.random.default_rng(1).permutation(300)
    rows, *_ = many(aif, 300, 1.0)
    whole, shuffled = (found(curves_of(as_curves, one, 1.0), aif) for one in (rows, rows[order]))
    np.testing.assert_allclose(shuffled.volume, whole.volume[order], rtol=1e-3)

    def cancel(fraction, text):
        raise Cancelled("by the test")

    with pytest.raises(Cancelled):
        found(curves_of(as_curves, rows, 1.0), aif, progress=cancel)


def shared(aif, share, late_s, late_mtt_s, count, noise, seed=0):
    """Voxels that usual and late tissue share, the brain around them, and their flow, MTT and mean delay by flow."""
    usual = tissue(aif, 0.03, 0.5, 4.0)
    late = tissue(aif, 0.03, late_s, late_mtt_s)
    rows = np.concatenate([np.tile(usual, (600, 1)), np.tile((1.0 - share) * usual + share * late, (count, 1))])
    flows = 0.03 * (1.0 - share) / 4.0, 0.03 * share / late_mtt_s
    delay = (0.5 * flows[0] + late_s * flows[1]) / sum(flows)
    return rows + np.random.default_rng(seed).normal(0.0, noise, rows.shape), sum(flows), delay


@pytest.mark.parametrize(("share", "late_mtt"), [(0.5, 9.0), (0.7, 14.0), (0.4, 6.0)])
def test_a_voxel_of_two_tissues_has_the_flow_of_both_and_their_mean_delay(bolus, as_curves, share, late_mtt):
    aif = bolus.aif(TIMES)
    rows, flow, delay = shared(aif, share, 8.0, late_mtt, 200, 0.5)
    errors = {}
    for tissues in ("two", "one"):
        chosen = Settings(residue="exponential", voxel_tissues=tissues)
        response = found(curves_of(as_curves, rows, 0.5), aif, chosen=chosen)
        mixed = slice(600, None)
        errors[tissues] = (
            abs(np.median(response.height[mixed]) / flow - 1.0),
            abs(np.median(response.delay_s[mixed]) - delay),
        )
    assert errors["two"][0] < min(0.08, 0.5 * errors["one"][0])
    assert errors["two"][1] < min(0.5, 0.5 * errors["one"][1])


def test_a_voxel_of_one_tissue_is_hardly_taken_for_two(bolus, as_curves):
    aif = bolus.aif(TIMES)
    rows, volume, delay, mtt = many(aif, 1500, 1.5)
    for value in ("height", "volume", "delay_s"):
        one, two = (
            getattr(
                found(
                    curves_of(as_curves, rows, 1.5), aif, chosen=Settings(residue="exponential", voxel_tissues=tissues)
                ),
                value,
            )
            for tissues in ("one", "two")
        )
        truth = {"height": volume / mtt, "volume": volume, "delay_s": delay}[value]
        assert abs(np.median(two - one)) < 0.2 * np.median(np.abs(one - truth)), value


def test_late_part_comes_four_to_fourteen_seconds_after_usual_tissue(bolus):
    """As it is stated, and in a voxel whose late half is 13 s later."""
    aif, free = bolus.aif(TIMES), np.eye(TIMES.size) - 1.0 / TIMES.size
    chosen = {"shape": 1.0, "settings": Settings()}
    single = tissue_dictionary(aif, TIMES, free, mtts_s=MTTS_S, delays_s=DELAYS_S, **chosen)
    usual = (tissue(aif, 0.03, 0.5, 4.0) @ free.T)[None].astype(np.float32)
    (grid,) = mixed_dictionary(single, usual, aif, TIMES, free, **chosen).grids
    np.testing.assert_allclose(np.subtract(grid.delays_s, grid.usual_s), np.arange(4.0, 15.0))
    assert "mixtures of usual tissue and tissue that is 4 to 14 s later" in MIXED
    rows, _, delay = shared(aif, 0.5, 13.5, LATE_MTTS_S[2], 1, 0.0)
    mixed = mixed_dictionary(single, usual, aif, TIMES, free, **chosen)
    best = (rows[-1] @ free.T @ mixed.directions).argmax()
    assert mixed.delay_s[best] == pytest.approx(delay, abs=0.3)


def test_usual_tissue_has_the_transit_time_of_what_comes_at_the_usual_time(bolus):
    """Two fifths come at 0.5 s in 4 s; what comes before or after takes 12 s, and together is more."""
    aif, free = bolus.aif(TIMES), np.eye(TIMES.size) - 1.0 / TIMES.size
    single = tissue_dictionary(aif, TIMES, free, mtts_s=MTTS_S, delays_s=DELAYS_S, shape=1.0, settings=Settings())
    kinds = [(0.5, 4.0)] * 40 + [(-3.0, 12.0)] * 30 + [(6.0, 12.0)] * 30
    rows = np.stack([tissue(aif, 0.03, *one) for one in kinds]) @ free.T / 0.2
    mtt_s, delay_s = usual_tissue(rows.astype(np.float32), single)
    assert mtt_s == pytest.approx(4.0, rel=0.1) and delay_s == pytest.approx(0.5, abs=0.3)


def test_of_two_equal_halves_the_earlier_one_is_usual(bolus):
    """The mean of both delays is that of no tissue, which then had no transit time, and no voxel had maps."""
    aif, free = bolus.aif(TIMES), np.eye(TIMES.size) - 1.0 / TIMES.size
    single = tissue_dictionary(aif, TIMES, free, mtts_s=MTTS_S, delays_s=DELAYS_S, shape=1.0, settings=Settings())
    rows = np.stack([tissue(aif, 0.03, *one) for one in [(0.5, 4.0), (6.0, 9.0)] * 20]) @ free.T / 0.2
    mtt_s, delay_s = usual_tissue(rows.astype(np.float32), single)
    assert mtt_s == pytest.approx(4.0, rel=0.1) and delay_s == pytest.approx(0.5, abs=0.3)


def test_late_part_holds_a_fifth_of_what_single_tissue_does_beforehand(bolus):
    """The prior that is stated: all mixtures together against all single tissues."""
    aif, free = bolus.aif(TIMES), np.eye(TIMES.size) - 1.0 / TIMES.size
    chosen = {"shape": 1.0, "settings": Settings()}
    single = tissue_dictionary(aif, TIMES, free, mtts_s=MTTS_S, delays_s=DELAYS_S, **chosen)
    sample = (tissue(aif, 0.03, 0.5, 4.0) @ free.T)[None].astype(np.float32)
    mixed = mixed_dictionary(single, sample, aif, TIMES, free, **chosen)
    prior = [np.exp(one.log_prior + np.log(one.lengths)) for one in (single, mixed)]
    assert prior[1].sum() == pytest.approx(0.2 * prior[0].sum())
    assert joined(single, mixed).mtt_s.size == single.mtt_s.size + mixed.mtt_s.size


def test_transit_times_are_learned_from_the_patient_unless_that_is_off(bolus, as_curves):
    """A brain of 12 s in noise that hides it: with the stated prior alone times are drawn to 5 s."""
    aif = bolus.aif(TIMES)
    row = tissue(aif, 0.03, 0.5, 12.0)
    rows = row + np.random.default_rng(8).normal(0.0, 4.0, (2000, TIMES.size))
    transit = {}
    for prior in ("none", "patient"):
        chosen = Settings(residue="exponential", timing_prior=prior, voxel_tissues="one")
        response = found(curves_of(as_curves, rows, 4.0), aif, chosen=chosen)
        transit[prior] = np.median(response.volume / response.height)
    assert abs(transit["patient"] - 12.0) < 0.7 * abs(transit["none"] - 12.0)


def test_transit_times_are_learned_from_voxels_spread_over_the_brain(bolus, as_curves, monkeypatch):
    aif, seen = bolus.aif(TIMES), []
    small, large = (tissue(aif, volume, 0.5, 4.0) for volume in (0.02, 0.05))
    rows = np.concatenate([np.tile(small, (300, 1)), np.tile(large, (310, 1))])

    def noted(dictionary, sample):
        seen.append(np.linalg.norm(sample, axis=1))
        return dictionary

    monkeypatch.setattr("PyPeTLib.bayes.with_patients_times", noted)
    monkeypatch.setattr("PyPeTLib.bayes.SAMPLE", 60)
    found(curves_of(as_curves, rows, 1.0), aif, chosen=Settings(residue="exponential", timing_prior="patient"))
    (norms,) = seen
    assert 50 <= norms.size <= 60
    assert (norms > norms.mean()).mean() == pytest.approx(0.5, abs=0.05)


def test_what_does_not_enhance_is_not_taken_for_much_blood_that_comes_after_the_scan(bolus, as_curves):
    """A scan of 30 s: very late tissue hardly enhances in it, whatever its volume."""
    times = np.arange(0.0, 30.0)
    aif = bolus.aif(times)
    rows = np.concatenate([np.tile(tissue(aif, 0.03, 0.5, 4.0, times=times), (300, 1)), np.zeros((200, times.size))])
    rows += np.random.default_rng(1).normal(0.0, 1.0, rows.shape)
    chosen = Settings(residue="exponential", timing_prior="none", voxel_tissues="one")
    response = found(curves_of(as_curves, rows, 1.0), aif, times, chosen)
    assert np.median(response.sd["cbv"][300:]) < 0.1
