"""Maximum slope: the identity it rests on, its biases, invariances and contracts."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.deconvolve import deconvolve
from PyPeTLib.errors import Cancelled
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.progress import silent

EVEN = np.arange(0.0, 70.0)
UNEVEN = np.concatenate([np.arange(0.0, 40.0, 1.5), np.arange(40.0, 71.0, 3.0)])
DELAYS_S = np.array([-1.3, 0.0, 0.4, 2.5, 6.0])
FLOW = 0.008


def found(bolus, as_curves, times, mtt_s, *, window_s=4.0, shape=BOX, progress=silent):
    aif = bolus.aif(times)
    rows = FLOW * mtt_s * tissue_curves(aif, times, delays_s=DELAYS_S, mtts_s=np.array([mtt_s]), shape=shape)[0]
    chosen = Settings(method="max-slope", slope_window_s=window_s)
    return deconvolve(as_curves(rows), aif, times, settings=chosen, progress=progress)


@pytest.mark.parametrize("window_s", [1.0, 4.0, 8.0])
@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_without_outflow_flow_and_delay_are_exact_whatever_the_window(bolus, as_curves, times, window_s):
    response = found(bolus, as_curves, times, 40.0, window_s=window_s)
    np.testing.assert_allclose(response.height, FLOW, rtol=0.03)  # of the arterial curve between the frames
    np.testing.assert_allclose(response.tmax_s, DELAYS_S, atol=0.3)


@pytest.mark.parametrize("shape", [1.0, BOX])
def test_outflow_makes_flow_too_small_and_tmax_too_early_the_more_the_sooner(bolus, as_curves, shape):
    made = [found(bolus, as_curves, EVEN, mtt_s, shape=shape) for mtt_s in (2.0, 4.0, 6.0, 60.0)]
    share = np.array([response.height for response in made]) / FLOW
    early = np.array([response.tmax_s for response in made]) - DELAYS_S
    assert (np.diff(share, axis=0) > 0).all() and (share[0] < 0.6).all() and (share <= 1.01).all()
    assert (np.diff(early, axis=0) > -0.1).all() and (early[0] < -1.0).all()


def test_flow_does_not_depend_on_the_delay(bolus, as_curves):
    height = found(bolus, as_curves, EVEN, 5.0).height
    np.testing.assert_allclose(height, height[1], rtol=0.01)


def test_volume_is_left_to_the_area_of_the_curve(bolus, as_curves):
    response = found(bolus, as_curves, EVEN, 5.0)
    assert response.volume is None and response.delay_s is None and response.residue == ""


def test_voxels_do_not_know_of_each_other(as_curves, bolus):
    rng = np.random.default_rng(1)
    rows, order = rng.normal(0.0, 3.0, (70, EVEN.size)), rng.permutation(70)
    aif, chosen = bolus.aif(EVEN), Settings(method="max-slope")
    plain, mixed = (deconvolve(as_curves(one), aif, EVEN, settings=chosen) for one in (rows, rows[order]))
    np.testing.assert_allclose(mixed.height, plain.height[order], rtol=1e-4)
    np.testing.assert_allclose(mixed.tmax_s, plain.tmax_s[order], atol=1e-3)


@pytest.mark.parametrize(("rise_s", "middle_s"), [((0.0, 4.0), 2.0), ((65.0, 69.0), 67.0)])
def test_a_rise_in_the_first_or_the_last_window_is_seen(bolus, as_curves, rise_s, middle_s):
    """By 1 HU/s; the arterial curve is averaged over the window of 4 s in which it is highest."""
    row, fine = np.clip(EVEN - rise_s[0], 0.0, 4.0), np.arange(12.0, 40.0, 0.01)
    chosen = Settings(method="max-slope", slope_window_s=4.0)
    response = deconvolve(as_curves(row), bolus.aif(EVEN), EVEN, settings=chosen)
    aif = np.convolve(bolus.aif(fine), np.full(400, 1.0 / 400.0), mode="same")
    assert response.height[0] == pytest.approx(1.0 / aif.max(), rel=0.01)
    assert response.tmax_s[0] == pytest.approx(middle_s - fine[aif.argmax()], abs=0.05)


def test_time_zero_does_not_matter(bolus, as_curves):
    rows, chosen = np.random.default_rng(2).normal(0.0, 3.0, (20, EVEN.size)), Settings(method="max-slope")
    base, later = (
        deconvolve(as_curves(rows), bolus.aif(EVEN), EVEN + start_s, settings=chosen) for start_s in (0.0, 1000.0)
    )
    np.testing.assert_allclose(later.height, base.height, rtol=1e-5)
    np.testing.assert_allclose(later.tmax_s, base.tmax_s, atol=1e-3)


def test_a_scan_shorter_than_the_window_is_not_refused_and_half_of_it_is_taken(bolus, as_curves):
    times = np.arange(8.0)
    curves, aif = as_curves(np.outer([0.5, 1.0], times)), bolus.aif(times, onset_s=0.0)
    response, half = (
        deconvolve(curves, aif, times, settings=Settings(method="max-slope", slope_window_s=window_s))
        for window_s in (10.0, 3.5)
    )
    np.testing.assert_allclose(response.height[1], 2.0 * response.height[0], rtol=1e-4)
    np.testing.assert_array_equal([response.height, response.tmax_s], [half.height, half.tmax_s])


def test_progress_reaches_the_end_and_cancels(bolus, as_curves):
    told = []
    found(bolus, as_curves, EVEN, 5.0, progress=lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1.0

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        found(bolus, as_curves, EVEN, 5.0, progress=cancel)
