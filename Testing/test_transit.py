"""The way from artery to vein: conservation of iodine against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib.phantom_curves import tissue_curves
from PyPeTLib.transit import DELAYS_S, TRANSIT_TIMES_S, _delayed, fit_transit

TIMES = np.arange(0.0, 80.0)


def vein_of(bolus, times, *, residue="exponential", mtt_s=6.0, delay_s=4.0):
    """The arterial curve after a way through the brain of mean transit time ``mtt_s``, beginning at ``delay_s``."""
    one = np.ones(1)
    return tissue_curves(
        times,
        bolus.aif,
        start_s=0.0,
        height_per_s=one / mtt_s,
        mtt_s=one * mtt_s,
        delay_s=one * delay_s,
        residue=residue,
    )[0]


@pytest.mark.parametrize("mtt_s", [2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0])
@pytest.mark.parametrize("delay_s", [-4.0, 0.0, 3.0, 6.5, 12.0])
def test_fit_returns_the_transit_it_is_given(bolus, mtt_s, delay_s):
    fit = fit_transit(bolus.aif(TIMES), bolus.washout(TIMES, flow=1.0 / mtt_s, mtt_s=mtt_s, delay_s=delay_s), TIMES)
    assert fit.gain == pytest.approx(1.0, abs=0.015) and fit.error < 0.01
    assert (fit.delay_s, fit.mtt_s) == (delay_s, mtt_s)
    assert delay_s in DELAYS_S and mtt_s in TRANSIT_TIMES_S, "what is tried"


@pytest.mark.parametrize("residue", ["exponential", "gamma", "linear", "box"])
def test_gain_is_one_whatever_the_distribution_of_transit_times(bolus, residue):
    """Iodine is kept on any way, although the model is exponential."""
    fit = fit_transit(bolus.aif(TIMES), vein_of(bolus, TIMES, residue=residue), TIMES)
    assert fit.gain == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("last_s", [30.0, 36.0, 45.0])
def test_gain_needs_no_tail(bolus, last_s):
    """The scan ends before the vein has fallen: the area that was seen is too small, the gain is not."""
    times = np.arange(0.0, last_s)
    artery, vein = bolus.aif(times), vein_of(bolus, times, mtt_s=10.0)
    assert np.trapezoid(vein, times) < 0.9 * np.trapezoid(artery, times)
    assert fit_transit(artery, vein, times).gain == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 2.0, 3.0])
def test_gain_does_not_depend_on_sampling(bolus, interval_s):
    times = np.arange(0.0, 80.0, interval_s)
    assert fit_transit(bolus.aif(times), vein_of(bolus, times), times).gain == pytest.approx(1.0, abs=0.02)


def test_uneven_times_are_seconds(bolus):
    times = np.concatenate([np.arange(0.0, 36.0, 1.5), np.arange(36.0, 80.0, 3.0)])
    fit = fit_transit(bolus.aif(times), vein_of(bolus, times), times)
    assert fit.gain == pytest.approx(1.0, abs=0.02)
    assert fit.delay_s + fit.mtt_s == pytest.approx(10.0, abs=1.0)


def test_gain_is_the_ratio_of_heights_of_equal_curves_and_scales_with_either(bolus):
    artery, vein = bolus.aif(TIMES), vein_of(bolus, TIMES)
    assert fit_transit(artery, artery, TIMES).gain == pytest.approx(1.0)
    base = fit_transit(artery, vein, TIMES).gain
    assert fit_transit(0.25 * artery, vein, TIMES).gain == pytest.approx(4.0 * base)
    assert fit_transit(artery, 0.5 * vein, TIMES).gain == pytest.approx(0.5 * base)


def test_an_artery_that_is_later_than_the_vein_has_a_negative_delay(bolus):
    fit = fit_transit(bolus.aif(TIMES, onset_s=14.0), bolus.aif(TIMES, onset_s=12.0), TIMES)
    assert (fit.delay_s, fit.gain) == (-2.0, pytest.approx(1.0, abs=0.01))


def test_a_delayed_curve_is_0_before_the_scan_and_its_last_value_after():
    found = _delayed(np.array([[5.0, 4.0, 3.0, 2.0]]), np.arange(4.0))[0]
    for delay_s, expected in ((2.0, [0, 0, 5, 4]), (0.5, [2.5, 4.5, 3.5, 2.5]), (-2.0, [3, 2, 2, 2])):
        np.testing.assert_allclose(found[delay_s == DELAYS_S], [expected])


def test_error_is_the_share_of_the_venous_peak_that_is_not_explained(bolus):
    vein = vein_of(bolus, TIMES)
    noise = 0.05 * vein.max() * np.random.default_rng(0).standard_normal(TIMES.size)
    assert fit_transit(bolus.aif(TIMES), vein + noise, TIMES).error == pytest.approx(0.05, rel=0.25)


@pytest.mark.parametrize("vein", [np.zeros(80), -np.hanning(80)])
def test_nothing_is_returned_where_no_gain_explains_the_vein(bolus, vein):
    assert fit_transit(bolus.aif(TIMES), vein, TIMES) is None
