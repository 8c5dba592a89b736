"""Nonlinear regression: recovery of what made the curves, invariances, and contracts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.deconvolve import deconvolve
from PyPeTLib.errors import Cancelled
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.progress import silent
from PyPeTLib.regression import MTTS_S as NODES_S
from PyPeTLib.regression import QUADRATIC, STENCIL, Grid, _grid, _refined, _top, _value

NLR = Settings(method="nlr")
EVEN = np.arange(0.0, 90.0)
UNEVEN = np.concatenate([np.arange(0.0, 40.0, 1.5), np.arange(40.0, 91.0, 3.0)])
DELAYS_S = np.array([-1.7, 0.0, 0.3, 2.2, 6.1])
MTTS_S = np.array([2.3, 3.9, 7.1, 13.3])
VOLUME = 0.04


def truth():
    """Transit times and delays of the tissue curves, in their order."""
    return (grid.ravel() for grid in np.meshgrid(MTTS_S, DELAYS_S, indexing="ij"))


def found(bolus, as_curves, times, *, volume=VOLUME, shape=BOX, rows=None, progress=silent):
    aif = bolus.aif(times)
    if rows is None:
        made = tissue_curves(aif, times, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=shape)
        rows = volume * made.reshape(-1, times.size)
    return deconvolve(as_curves(rows), aif, times, settings=NLR, progress=progress)


@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_truth_between_the_nodes_is_found_from_curves_without_noise(bolus, as_curves, times):
    mtt, delay = truth()
    response = found(bolus, as_curves, times)
    np.testing.assert_allclose(response.volume, VOLUME, rtol=0.02)
    np.testing.assert_allclose(response.volume / response.height, mtt, atol=0.2)  # a fifth of an interval
    np.testing.assert_allclose(response.delay_s, delay, atol=0.15)
    np.testing.assert_allclose(response.tmax_s, delay + 0.5 * mtt, atol=0.05)


def test_a_box_of_nearly_thirty_seconds_is_found_among_usual_ones(bolus, as_curves):
    long = np.arange(0.0, 120.0)
    mtts = np.array([4.0] * 30 + [28.0])
    rows = tissue_curves(bolus.aif(long), long, delays_s=np.array([1.2]), mtts_s=mtts, shape=BOX)[:, 0]
    response = found(bolus, as_curves, long, rows=VOLUME * rows)
    np.testing.assert_allclose(response.volume / response.height, mtts, rtol=0.02)
    np.testing.assert_allclose(response.delay_s, 1.2, atol=0.2)


def test_the_quadratic_beats_the_grid(bolus, as_curves):
    mtt, delay = truth()
    middle = found(bolus, as_curves, EVEN).tmax_s
    assert np.abs(middle - (delay + 0.5 * mtt)).max() < 0.05 < np.abs(middle - np.round(2.0 * middle) / 2.0).max()


def test_what_is_known_of_the_quadratic_is_exact_for_a_quadratic():
    one, two = STENCIL.T.astype(float)
    values = 5.0 - (one - 0.3) ** 2 - 2.0 * (two + 0.4) ** 2 + 0.5 * (one - 0.3) * (two + 0.4)
    fit = (values @ QUADRATIC)[None]
    np.testing.assert_allclose(_top(fit), [[0.3, -0.4]])
    np.testing.assert_allclose(_value(fit, _top(fit)), [5.0])


def refined(heights):
    """Volume, transit time and middle from the heights of one node, of 6 s at 4 s, and its eight neighbours."""
    one, two = STENCIL.T.astype(float)
    log_length = 0.5 + 0.1 * one - 0.2 * two + 0.05 * one**2
    around, nothing = np.arange(9)[None], np.zeros((1, 9), np.float32)
    grid = Grid(nothing, log_length, np.full(1, np.log(6.0)), np.full(1, 4.0), around)
    return _refined(np.zeros(len(heights), dtype=np.intp), np.asarray(heights, np.float32), grid)


def test_volume_and_times_between_the_nodes_are_those_of_the_quadratics():
    """The square of the height and the logarithm of the length are quadratics whose values are known."""
    one, two = STENCIL.T.astype(float)
    (found,) = refined([np.sqrt(9.0 - (one - 0.3) ** 2 - 2.0 * (two + 0.4) ** 2)])
    volume = 3.0 * np.exp(-(0.5 + 0.1 * 0.3 + 0.2 * 0.4 + 0.05 * 0.3**2))
    mtt = 6.0 * (NODES_S[1] / NODES_S[0]) ** 0.3
    np.testing.assert_allclose(found, [volume, mtt, 4.0 - 0.4 * 0.5], rtol=1e-5)


def test_a_curve_against_a_neighbour_has_nothing_of_it():
    heights = np.array([[0.5, 1.0, 0.5, 1.0, 2.0, 1.3, 0.0, 1.2, 0.5]] * 2)
    heights[1, 6] = -1.5
    one, other = refined(heights)
    np.testing.assert_array_equal(other, one)


def test_a_saddle_is_no_top_and_a_far_top_is_not_believed():
    one, two = STENCIL.T.astype(float)
    saddle, far = one**2 - two**2, -((one - 7.0) ** 2) - two**2
    np.testing.assert_array_equal(_top(np.stack([saddle, far]) @ QUADRATIC), [[0.0, 0.0], [1.0, 0.0]])


def test_a_box_on_an_exponential_residue_makes_flow_too_small(bolus, as_curves):
    mtt, _ = truth()
    response = found(bolus, as_curves, EVEN, shape=1.0)
    ratio = response.height * mtt / VOLUME
    assert (ratio > 0.35).all() and (ratio < 0.8).all()


def test_volume_and_flow_are_proportional_to_the_curve_and_times_are_not(bolus, as_curves):
    one, two = found(bolus, as_curves, EVEN), found(bolus, as_curves, EVEN, volume=2.0 * VOLUME)
    np.testing.assert_allclose(two.height, 2.0 * one.height, rtol=1e-4)
    np.testing.assert_allclose(two.volume, 2.0 * one.volume, rtol=1e-4)
    np.testing.assert_allclose(two.delay_s, one.delay_s, atol=1e-3)


def test_an_offset_of_the_baseline_changes_nothing(bolus, as_curves):
    aif = bolus.aif(EVEN)
    rows = tissue_curves(aif, EVEN, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=BOX).reshape(-1, EVEN.size)
    plain, shifted = (found(bolus, as_curves, EVEN, rows=0.04 * rows + offset) for offset in (0.0, 2.0))
    np.testing.assert_allclose(shifted.height, plain.height, rtol=1e-3)


def test_voxels_do_not_know_of_each_other(bolus, as_curves):
    """In few components, as denoised curves are: products of more round by the place of a row."""
    rng = np.random.default_rng(3)
    aif = bolus.aif(EVEN)
    rows = np.repeat(0.04 * tissue_curves(aif, EVEN, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=BOX)[2], 60, axis=0)
    rows += rng.normal(0.0, 0.5, rows.shape)
    order, basis = rng.permutation(len(rows)), np.linalg.svd(rows, full_matrices=False)[2][:6].astype(np.float32)
    plain, mixed = (
        deconvolve(as_curves(some @ basis.T, basis), aif, EVEN, settings=NLR, progress=silent)
        for some in (rows, rows[order])
    )
    for name in ("height", "volume", "tmax_s", "delay_s"):
        np.testing.assert_allclose(getattr(mixed, name), getattr(plain, name)[order], rtol=1e-4, atol=1e-4)


def test_a_voxel_that_no_blood_explains_has_none_and_no_times(bolus, as_curves):
    aif = bolus.aif(EVEN)
    rows = 0.04 * tissue_curves(aif, EVEN, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=BOX).reshape(-1, EVEN.size)
    rows[3] = 0.0
    response = found(bolus, as_curves, EVEN, rows=rows)
    assert (response.height[3], response.volume[3]) == (0.0, 0.0)
    assert np.isnan(response.tmax_s[3]) and np.isnan(response.delay_s[3])
    assert np.isfinite(np.delete(response.tmax_s, 3)).all()


def test_what_does_not_enhance_is_not_taken_for_much_blood_that_comes_after_the_scan(bolus, as_curves):
    """A tenth of volume of what is compared shows by an SD of the noise at least: four SDs are 0.4."""
    times = np.arange(30.0)
    rows = np.concatenate([np.tile(bolus.washout(times), (300, 1)), np.zeros((200, times.size))])
    rows += np.random.default_rng(1).normal(0.0, 1.0, rows.shape)
    curves = replace(as_curves(rows), sd=np.ones(500, dtype=np.float32))
    volume = deconvolve(curves, bolus.aif(times), times, settings=NLR).volume
    assert volume[300:].max() < 0.4 and np.median(volume[:300]) == pytest.approx(0.04, rel=0.15)


def test_tissue_of_which_a_tenth_of_volume_would_not_show_is_like_nothing(bolus):
    times = np.arange(30.0)
    grid = _grid(bolus.aif(times), times, 0.5, np.eye(30) - 1.0 / 30.0, 2.0)
    shown = 0.1 * np.exp(grid.log_length) > 2.0
    assert 0.2 < shown.mean() < 0.99
    np.testing.assert_array_equal(grid.directions.any(axis=0), shown)


def test_the_residue_is_told_and_no_standard_deviation_is(bolus, as_curves):
    response = found(bolus, as_curves, EVEN)
    assert (response.residue, dict(response.sd)) == ("box", {})


def test_progress_reaches_the_end_and_cancels(bolus, as_curves):
    told = []
    found(bolus, as_curves, EVEN, progress=lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1.0

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        found(bolus, as_curves, EVEN, progress=cancel)
