"""All voxels that show the artery's curve are its input; those that show another are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib.alike import EARLIEST_S, LATEST_S, TALL_SHARE, _compared, mean_curve, same_curve
from PyPeTLib.arteries import find_artery
from PyPeTLib.curves import between_frames
from PyPeTLib.geometry import Geometry
from PyPeTLib.phantom_curves import bolus_curve
from PyPeTLib.settings import Settings
from PyPeTLib.vessels import VesselVoxels, likely_vessels, vessel_voxels

TIMES, ARRIVAL_S = np.arange(55.0), 10.0
NOISE = 3.0


def blood(times=TIMES, onset=10.0, width=9.0):
    return bolus_curve(times, arrival_s=onset, width_s=width, peak_hu=300.0, recirculation=0.15)


def tissue(times=TIMES):
    return 0.05 * bolus_curve(times, arrival_s=12.0, width_s=14.0, peak_hu=300.0, recirculation=0.15)


def vessels_of(curves, noise=NOISE, baseline=40.0, seed=0):
    """Voxels with these curves and noise of their own."""
    noisy = np.asarray(curves) + np.random.default_rng(seed).normal(0.0, noise, np.shape(curves))
    count = len(noisy)
    peak = noisy.argmax(axis=1).astype(float)
    middle = np.array([0.0, 0.0, 0.0])
    before = np.broadcast_to(baseline, count).astype(float)
    features = (noisy.max(axis=1), peak, noisy.sum(axis=1), before, np.zeros(count, bool), np.full(count, noise))
    return VesselVoxels(np.arange(count), noisy, *features, middle)


def chosen(curves, curve=None, times=TIMES, curve_noise=0.0, **options):
    return same_curve(vessels_of(curves, **options), blood(times) if curve is None else curve, curve_noise, times)


@pytest.mark.parametrize("height", [0.9, 1.0])
def test_branches_as_high_or_a_little_lower_are_taken(height):
    assert chosen(np.tile(height * blood(), (200, 1))).mean() > 0.95


def test_voxels_much_lower_than_the_curve_are_left_out():
    assert not chosen(np.tile((TALL_SHARE - 0.1) * blood(), (50, 1))).any()


@pytest.mark.parametrize("lag", [EARLIEST_S, LATEST_S - 0.1])
def test_branches_that_are_reached_a_little_earlier_or_no_later_are_taken(lag):
    assert chosen(np.tile(blood(onset=10.0 + lag), (200, 1)), noise=1.0).mean() > 0.5


@pytest.mark.parametrize("lag", [-1.0, 0.5, 1.0, 4.0])
def test_branches_that_are_reached_at_another_time_are_left_out(lag):
    assert chosen(np.tile(blood(onset=10.0 + lag), (200, 1))).mean() < 0.05


@pytest.mark.parametrize(("lag", "same"), [(-0.6, False), (-0.5, True), (0.1, True), (0.2, False)])
def test_branches_are_taken_from_half_a_second_earlier_to_a_tenth_later(lag, same):
    times = np.arange(0.0, 55.0, 0.5)
    curves = np.tile(blood(times, onset=10.0 + lag), (200, 1))
    assert (chosen(curves, times=times, noise=2.0).mean() > 0.5) == same


@pytest.mark.parametrize(("times_noise", "same"), [(1.42, True), (1.58, False)])
def test_a_curve_may_differ_by_one_and_a_half_times_its_noise(times_noise, same):
    """Its own noise, and so much of a ripple that no time and no height explains."""
    ripple = NOISE * np.sqrt(2.0 * (times_noise**2 - 1.0)) * np.sin(0.7 * np.pi * TIMES)
    assert (chosen(np.tile(blood() + ripple, (400, 1))).mean() > 0.5) == same


def test_what_is_left_of_a_curve_that_fits_is_its_noise():
    """Height takes one of the 55 degrees of freedom, and the lag another, but for its steps."""
    curves = vessels_of(np.tile(0.9 * blood(), (4000, 1))).curves_hu
    _, left_hu = _compared(curves, blood(), TIMES)
    assert np.mean(left_hu**2) == pytest.approx(NOISE**2, rel=0.025)


def test_noise_of_a_mean_curve_is_that_of_independent_voxels():
    """Variances of 9 and 16 add up to that of the sum, and a quarter of it is that of the mean."""
    vessels = replace(vessels_of(np.zeros((3, TIMES.size))), noise_hu=np.array([3.0, 9.0, 4.0]))
    curve, noise_hu = mean_curve(vessels, np.array([True, False, True]))
    assert noise_hu == pytest.approx(2.5)
    np.testing.assert_allclose(curve, 0.5 * (vessels.curves_hu[0] + vessels.curves_hu[2]))


def test_time_decides_where_noise_would_allow_a_later_curve():
    assert chosen(np.tile(blood(onset=11.0), (200, 1)), noise=15.0).mean() < 0.05
    assert chosen(np.tile(blood(), (200, 1)), noise=15.0).mean() > 0.5


def test_curves_of_the_same_time_that_differ_later_are_left_out():
    later = 25.0 * np.exp(-0.5 * ((TIMES - 33.0) / 4.0) ** 2)
    assert not chosen(np.tile(blood() + later, (50, 1))).any()


def test_wider_curves_and_mixtures_with_tissue_are_left_out():
    wider, mixed = 0.9 * blood(width=11.0), 0.75 * blood() + 6.0 * tissue()
    assert not chosen(np.tile(wider, (50, 1))).any()
    assert not chosen(np.tile(mixed, (50, 1))).any()


def test_voxels_beside_bone_are_left_out():
    baseline = np.append(np.full(20, 120.0), np.full(180, 40.0))
    same = chosen(np.tile(blood(), (200, 1)), baseline=baseline)
    assert not same[:20].any() and same[20:].mean() > 0.95


def test_noise_of_the_first_curve_does_not_decide():
    """A first curve with twice the noise of a voxel finds nearly as many as the true one; a false one none."""
    curves = np.tile(blood(), (300, 1))
    first = blood() + np.random.default_rng(1).normal(0.0, 2.0 * NOISE, TIMES.size)
    assert chosen(curves, first, curve_noise=2.0 * NOISE).sum() > 0.9 * chosen(curves).sum()
    assert not chosen(curves, blood(width=13.0), curve_noise=2.0 * NOISE).any()


def test_uneven_frames_are_compared_when_they_were_taken():
    times = np.append(np.arange(0.0, 30.0, 1.5), np.arange(30.0, 66.0, 3.0))
    assert chosen(np.tile(blood(times), (100, 1)), times=times).mean() > 0.95
    assert chosen(np.tile(blood(times, onset=11.0), (100, 1)), times=times).mean() < 0.05


def test_nothing_is_alike_where_there_are_no_vessels():
    assert chosen(np.zeros((0, TIMES.size))).size == 0


def test_the_input_has_less_noise_and_offset_than_its_cluster():
    """Twelve scans of an artery in few voxels and a tree of its branches."""
    grid, at, branches = Geometry((40, 40, 4), (1.5, 1.5, 6.0)), np.s_[1, 10:12, 10:12], np.s_[2, 20:36:2, 4:36:2]
    cluster_error, error = [], []
    for seed in range(12):
        hu = 35.0 + np.random.default_rng(seed).normal(0.0, 6.0, (TIMES.size, *grid.shape))
        for place, share in ((at, 1.0), (branches, 0.92)):
            hu[(slice(None), *place)] += 5.0 + share * blood()[:, None, None]
        mask = np.ones(grid.shape, dtype=bool)
        vessels = vessel_voxels(likely_vessels(hu.reshape(TIMES.size, -1)), 9, mask, TIMES)
        found = find_artery(vessels, grid, TIMES, arrival_s=ARRIVAL_S, settings=Settings())
        allowed = np.zeros(grid.shape, dtype=bool)
        allowed[at], allowed[branches] = True, True
        assert not (found.mask.values & ~allowed).any()
        assert found.mask.values.sum() > 2 * found.candidates[0].mask.sum()
        truth = blood() / blood().sum()
        cluster_error.append(found.candidates[0].curve_hu / found.candidates[0].curve_hu.sum() - truth)
        error.append(found.measured_hu / found.measured_hu.sum() - truth)
        height = found.measured_hu @ blood() / (found.candidates[0].curve_hu @ blood())
        assert height == pytest.approx(1.0, abs=0.02), "as high as in the artery found"
    assert np.std(error) < 0.6 * np.std(cluster_error)


def test_curve_between_frames_finds_a_peak_that_no_frame_shows():
    fine = np.arange(0.0, 50.0, 0.05)
    for interval, worst in ((1.0, 0.01), (2.0, 0.03), (3.0, 0.06)):
        times = np.arange(0.0, 55.0, interval)
        found = between_frames(blood(times), times)(fine)
        assert np.abs(found - blood(fine)).max() < worst * 300.0
        assert found.max() == pytest.approx(blood(fine).max(), rel=worst)


def test_curve_between_frames_does_not_swing_across_a_gap():
    """The gap begins in the rise, where a spline goes on rising."""
    times = np.append(np.arange(0.0, 14.0), np.arange(30.0, 60.0))
    gap = between_frames(blood(times), times)(np.linspace(13.0, 30.0, 200))
    assert gap.min() > 0.0 and gap.max() < 1.2 * blood(np.array([13.0]))[0]
