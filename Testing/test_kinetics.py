"""Tissue curves from the arterial input: closed forms, delay, sampling, and the residue's shape."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib.kinetics import BOX, LINEAR, residue_area, tissue_curves
from PyPeTLib.phantom_curves import residue_area as area_of_phantom

SHAPES = {"exponential": 1.0, "gamma": 3.0, "linear": LINEAR, "box": BOX}


def one(aif, times, delay=0.0, mtt=5.0, shape=1.0):
    return tissue_curves(aif, times, delays_s=np.array([delay]), mtts_s=np.array([mtt]), shape=shape)[0, 0]


@pytest.mark.parametrize(("residue", "shape"), SHAPES.items())
def test_area_of_the_residue_is_that_of_an_independent_formula(residue, shape):
    times = np.linspace(0.0, 8.0, 81)
    expected = area_of_phantom(2.5 * times, mtt_s=2.5, residue=residue) / 2.5
    np.testing.assert_allclose(residue_area(times, shape), expected, atol=1e-9)


@pytest.mark.parametrize("interval", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("delay", [0.0, 3.0])
def test_exponential_residue_gives_the_closed_form(bolus, interval, delay):
    times = np.arange(0.0, 70.0, interval)
    exact = bolus.washout(times, flow=1 / 6.0, mtt_s=6.0, delay_s=delay)
    found = one(bolus.aif(times), times, delay=delay, mtt=6.0)
    error = {0.5: 5e-4, 1.0: 0.01, 2.0: 0.03}[interval]  # of what lies between frames; the steps of the sum make 2e-4
    np.testing.assert_allclose(found, exact, atol=error * exact.max())


def test_box_is_the_difference_of_two_running_integrals(bolus):
    times = np.arange(0.0, 60.0, 0.1)
    integral = np.append(0.0, np.cumsum(bolus.aif(times))[:-1]) * 0.1
    expected = (integral - np.interp(times - 8.0, times, integral, left=0.0)) / 8.0
    np.testing.assert_allclose(one(bolus.aif(times), times, mtt=8.0, shape=BOX), expected, atol=0.01 * expected.max())


@pytest.mark.parametrize("shape", SHAPES.values())
def test_tissue_holds_as_much_blood_as_the_artery(bolus, shape):
    times = np.arange(0.0, 150.0)
    areas = [curve.sum() for curve in (one(bolus.aif(times), times, shape=shape), bolus.aif(times))]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


def test_centre_of_gravity_is_later_by_delay_and_mean_age_of_the_residue(bolus):
    """The mean of R/MTT is that of the remaining transit: half the MTT, times one plus its relative variance."""
    times = np.arange(0.0, 150.0)
    aif = bolus.aif(times)
    for shape in SHAPES.values():
        variance = 1.0 / 3.0 if shape == LINEAR else 1.0 / shape  # transit times spread evenly from 0 to 2 MTT
        tissue = one(aif, times, delay=2.0, mtt=5.0, shape=shape)
        later = tissue @ times / tissue.sum() - aif @ times / aif.sum()
        assert later == pytest.approx(2.0 + 2.5 * (1.0 + variance), abs=0.02)


def test_uneven_frames_show_the_curve_when_they_were_taken(bolus):
    even = np.arange(0.0, 60.5, 0.5)
    taken = np.sort(np.random.default_rng(0).choice(even.size, 70, replace=False))
    dense, sparse = one(bolus.aif(even), even), one(bolus.aif(even[taken]), even[taken])
    np.testing.assert_allclose(sparse, dense[taken], atol=0.02 * dense.max())


def test_time_zero_does_not_matter(bolus):
    times = np.arange(0.0, 60.0)
    aif = bolus.aif(times)
    for delay in (2.5, -2.5):  # early tissue shows what comes after the last frame
        later, usual = (one(aif + 20.0, start + times, delay=delay) for start in (1000.0, 0.0))
        np.testing.assert_allclose(later, usual, atol=1e-9 * aif.max())


def test_tissue_before_the_artery_is_earlier(bolus):
    times = np.arange(0.0, 60.0)
    early, usual = one(bolus.aif(times), times, delay=-3.0), one(bolus.aif(times), times)
    np.testing.assert_allclose(early[:-3], usual[3:], atol=1e-6 * usual.max())
    assert (one(bolus.aif(times), times, delay=4.0)[:4] == 0.0).all()


def test_tissue_that_is_early_shows_what_the_input_does_after_the_scan():
    """The input decays beyond the last frame; one that does so in truth gives the same curves in a longer scan."""
    long = np.arange(0.0, 101.0)
    rise = np.clip(long / 10.0, 0.0, 1.0) * np.exp(-np.maximum(long - 10.0, 0.0) / 15.0)
    short = long[:61]  # whose quarter is the time constant
    tissue = {"delays_s": np.array([-6.0]), "mtts_s": np.array([4.0]), "shape": 1.0}
    expected = tissue_curves(300.0 * rise, long, **tissue)[0, 0, :61]
    np.testing.assert_allclose(tissue_curves(300.0 * rise[:61], short, **tissue)[0, 0], expected, atol=0.05)


@pytest.mark.parametrize("shape", [1.0, 3.0, BOX])
def test_transit_times_may_have_delays_of_their_own(bolus, shape):
    times, mtts, delays = (
        np.arange(0.0, 60.0, 1.5),
        np.array([2.0, 5.0, 11.0]),
        np.array([[0.0, 3.2], [-2.0, 0.7], [8.0, 1.0]]),
    )
    found = tissue_curves(bolus.aif(times), times, delays_s=delays, mtts_s=mtts, shape=shape)
    assert found.shape == (3, 2, times.size)
    for own, delay, mtt in zip(found, delays, mtts, strict=True):
        alone = tissue_curves(bolus.aif(times), times, delays_s=delay, mtts_s=np.array([mtt]), shape=shape)[0]
        np.testing.assert_allclose(own, alone, atol=1e-9 * alone.max())
