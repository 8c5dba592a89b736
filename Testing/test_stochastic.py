"""Nonlinear stochastic regularisation: the prior, the evidence, and what comes back of known tissue."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import HEAD
from scipy.optimize import nnls

from PyPeTLib import Settings, analyze
from PyPeTLib.deconvolve import deconvolve
from PyPeTLib.errors import Cancelled
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.phantom import head_phantom
from PyPeTLib.progress import silent
from PyPeTLib.stochastic import (
    DECAYS_S,
    KNOTS_S,
    LEAST_VARIANCE,
    STRENGTHS,
    _between_knots,
    _prior,
    covariance,
    likeliest,
    non_negative,
)
from PyPeTLib.truth import compare_with_truth

CHOSEN = Settings(method="stable-spline")
EVEN = np.arange(0.0, 90.0)
UNEVEN = np.concatenate([np.arange(0.0, 40.0, 1.5), np.arange(40.0, 91.0, 3.0)])
DELAYS_S = np.array([-1.7, 0.0, 0.3, 2.2, 6.1])
MTTS_S = np.array([3.1, 3.9, 7.1, 13.3])
VOLUME = 0.04
#: A thirtieth of the curves' height, in HU: the curves themselves have no noise, what differs is the method's.
QUIET_HU = 0.5


def truth():
    """Transit times and delays of the tissue curves, in their order."""
    return (grid.ravel() for grid in np.meshgrid(MTTS_S, DELAYS_S, indexing="ij"))


def rows_of(bolus, times, shape=1.0):
    made = tissue_curves(bolus.aif(times), times, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=shape)
    return VOLUME * made.reshape(-1, times.size)


def found(bolus, as_curves, times, rows, noise_hu=QUIET_HU, progress=silent):
    curves = replace(as_curves(rows), sd=np.full(len(rows), noise_hu, dtype=np.float32))
    return deconvolve(curves, bolus.aif(times), times, settings=CHOSEN, progress=progress)


@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_flow_volume_and_delay_come_back_from_curves_without_noise(bolus, as_curves, times):
    mtt, delay = truth()
    response = found(bolus, as_curves, times, rows_of(bolus, times))
    np.testing.assert_allclose(response.volume, VOLUME, rtol=0.06)  # the slowest have not left after 50 s
    np.testing.assert_allclose(response.height * mtt, VOLUME, rtol=0.16)  # the prior smooths the jump
    np.testing.assert_allclose(np.median(response.height * mtt), VOLUME, rtol=0.08)
    np.testing.assert_allclose(response.delay_s, delay, atol=0.25)  # half the grid's step
    np.testing.assert_allclose(response.tmax_s, delay, atol=0.25)


def test_of_a_box_volume_is_right_flow_too_large_and_the_delay_none_too_late(bolus, as_curves):
    mtt, delay = truth()
    response = found(bolus, as_curves, EVEN, rows_of(bolus, EVEN, BOX), 0.5)
    np.testing.assert_allclose(response.volume, VOLUME, rtol=0.05)
    ratio = response.height * mtt / VOLUME
    assert (ratio > 0.9).all() and np.median(ratio) < 2.5
    np.testing.assert_allclose(response.delay_s, delay, atol=1.5)


def test_tissue_earlier_and_later_than_the_artery_differs_in_nothing_but_time(bolus, as_curves):
    rows = np.stack([bolus.washout(EVEN, delay_s=delay) for delay in (-3.0, -1.0, 0.0, 2.0, 6.0)])
    response = found(bolus, as_curves, EVEN, rows)
    np.testing.assert_allclose(response.height, response.height[2], rtol=0.03)
    np.testing.assert_allclose(response.delay_s - response.delay_s[2], [-3.0, -1.0, 0.0, 2.0, 6.0], atol=0.05)


def test_a_response_that_rises_slowly_has_its_maximum_later_than_its_beginning(bolus, as_curves):
    delays = np.array([-1.0, 0.0, 0.0, 1.0, 2.0, 3.0])
    rows = np.stack([bolus.tissue(EVEN, delay_s=delay) for delay in delays])
    response = found(bolus, as_curves, EVEN, rows, 0.02)
    np.testing.assert_allclose(response.tmax_s, delays + 2.0 * bolus.scale_s, atol=0.75)
    assert (response.tmax_s - response.delay_s > 2.0).all()


def test_the_covariance_is_that_of_an_integrated_walk_on_a_clock_that_runs_down():
    decay = 7.0
    clock = np.exp(-KNOTS_S / decay)
    fine = (np.arange(20000) + 0.5) / 20000  # cov(u, v) = ∫ (u − x)₊(v − x)₊ dx, 1/3 at the beginning
    ramps = np.maximum(clock[:, None] - fine, 0.0)
    by_hand = 3.0 * (ramps @ ramps.T) / fine.size
    np.testing.assert_allclose(covariance(decay), by_hand + LEAST_VARIANCE * np.eye(clock.size), atol=1e-6)


def test_area_and_curve_of_a_response_are_exact_where_it_is_linear(bolus):
    response = np.interp(KNOTS_S, [0.0, 10.0], [0.01, 0.0])
    assert _between_knots().sum(axis=0) @ response == pytest.approx(0.05, rel=1e-9)
    times = np.arange(0.0, 90.0, 0.5)
    prior = _prior(bolus.aif(times), times, np.array([0.0, 2.0]), np.eye(times.size), 1.0)
    lags = np.arange(0.0, 90.0, 0.05)
    fine = np.interp(lags, [0.0, 10.0], [0.01, 0.0])
    exact = 0.05 * np.convolve(bolus.aif(lags), fine)[: lags.size]
    for delay, made in zip(prior.delays_s, prior.knots_to_curve, strict=True):
        expected = np.interp(times - delay, lags, exact, left=0.0)
        np.testing.assert_allclose(response @ made, expected, atol=0.01 * exact.max())


def test_the_likeliest_hypothesis_is_that_of_greatest_density(bolus):
    rng = np.random.default_rng(1)
    times = np.arange(0.0, 60.0, 2.0)
    free = np.linalg.qr(rng.normal(size=(times.size, 4)))[0].T
    delays = np.arange(-4.0, 5.0, 1.0)
    prior = _prior(bolus.aif(times), times, delays, free, 1.0)
    rows = np.stack([bolus.washout(times, mtt_s=mtt) @ free.T for mtt in (2.0, 6.0, 15.0)]) + rng.normal(size=(3, 4))
    density = np.empty((3, DECAYS_S.size, delays.size, STRENGTHS.size))
    for i, j, k in np.ndindex(*density.shape[1:]):
        made = prior.knots_to_curve[j]
        spread = np.eye(4) + prior.variances[k] * made.T @ covariance(DECAYS_S[i]) @ made
        density[:, i, j, k] = -0.5 * np.linalg.slogdet(spread)[1] - 0.5 * np.sum(
            rows * np.linalg.solve(spread, rows.T).T, axis=1
        )
    best, delay = likeliest(rows.astype(np.float32), prior, silent).T
    np.testing.assert_array_equal(best, density.reshape(3, -1).argmax(axis=1))
    for voxel in range(3):
        i, _, k = np.unravel_index(int(best[voxel]), prior.shape)
        chance = np.exp(density[voxel, i, :, k] - density[voxel].max())
        assert delay[voxel] == pytest.approx(chance @ delays / chance.sum(), abs=1e-3)


def test_the_response_is_the_best_without_negative_values():
    rng = np.random.default_rng(4)
    factor = rng.normal(size=(8, 8)) + 2.0 * np.eye(8)
    rows = rng.normal(size=(40, 8))
    told = non_negative(factor.T @ factor, rows @ factor)
    exact = np.stack([nnls(factor, row)[0] for row in rows])
    assert (told >= 0).all() and (exact == 0).mean() > 0.2
    np.testing.assert_allclose(told, exact, atol=0.02 * exact.max())


def test_no_response_is_negative_or_rises_late_under_noise(bolus, as_curves):
    rng = np.random.default_rng(5)
    rows = np.repeat(rows_of(bolus, EVEN), 20, axis=0) + rng.normal(0.0, 1.0, (400, EVEN.size))
    response = found(bolus, as_curves, EVEN, rows, 1.0)
    assert (response.height >= 0).all() and (response.volume >= 0).all()
    np.testing.assert_allclose(np.median(response.volume), VOLUME, rtol=0.1)
    assert np.nanmean(response.tmax_s - response.delay_s < 1.0) > 0.9


def test_a_curve_that_falls_below_the_baseline_has_less_flow_and_nothing_has_none(bolus, as_curves):
    rows = np.concatenate([rows_of(bolus, EVEN), -rows_of(bolus, EVEN)[:1], np.zeros((1, EVEN.size))])
    response = found(bolus, as_curves, EVEN, rows, 1.0)
    assert response.height[-2] < 0.2 * response.height[0]
    assert response.height[-1] == response.volume[-1] == 0.0
    assert np.isnan(response.tmax_s[-1]) and np.isnan(response.delay_s[-1])


def test_flow_is_proportional_to_the_curve_and_its_noise_and_times_are_not(bolus, as_curves):
    rows = rows_of(bolus, EVEN)
    one, two = found(bolus, as_curves, EVEN, rows, 1.0), found(bolus, as_curves, EVEN, 2.0 * rows, 2.0)
    np.testing.assert_allclose(np.median(two.height / one.height), 2.0, rtol=0.1)  # the strengths have a scale
    np.testing.assert_allclose(two.delay_s, one.delay_s, atol=0.3)


def test_an_offset_of_the_baseline_changes_nothing(bolus, as_curves):
    rows = rows_of(bolus, EVEN)
    plain, shifted = (found(bolus, as_curves, EVEN, rows + offset, 0.5) for offset in (0.0, 2.0))
    np.testing.assert_allclose(shifted.height, plain.height, rtol=1e-3)


def test_voxels_do_not_know_of_each_other(bolus, as_curves):
    rng = np.random.default_rng(3)
    rows = np.repeat(rows_of(bolus, EVEN), 20, axis=0)
    rows += rng.normal(0.0, 0.5, rows.shape)
    order = rng.permutation(len(rows))
    plain, mixed = (found(bolus, as_curves, EVEN, one, 0.5) for one in (rows, rows[order]))
    for name in ("height", "volume", "tmax_s", "delay_s"):
        np.testing.assert_allclose(getattr(mixed, name), getattr(plain, name)[order], rtol=2e-3, atol=2e-3)


def test_progress_reaches_the_end_and_cancels(bolus, as_curves):
    told = []
    found(bolus, as_curves, EVEN, rows_of(bolus, EVEN), progress=lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1.0

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        found(bolus, as_curves, EVEN, rows_of(bolus, EVEN), progress=cancel)


def test_a_head_that_was_not_looked_at():
    phantom = head_phantom(replace(HEAD, seed=1005))
    run = analyze(phantom.series, CHOSEN)
    figures = compare_with_truth(run, phantom)
    assert 0.8 < figures["cbf_slope"] < 1.25 and 0.9 < figures["cbv_slope"] < 1.1
    assert figures["cbf_r"] > 0.5 and abs(figures["tmax_bias_s"]) < 0.75
    assert "stable spline (Peruzzo 2017)" in run.methods_text and run.maps.residue == ""
