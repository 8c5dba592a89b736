"""Arterial input and venous output, the gamma-variate fit, and partial volume."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.optimize
from scipy.ndimage import gaussian_filter

from PyPeTLib import QualityError, Settings
from PyPeTLib.arteries import _against, _artery, _followed, _no_artery, _scored_artery, arterial_candidates, find_artery
from PyPeTLib.candidates import _arterial_share, clusters, ranked, side_of, traits_of
from PyPeTLib.gamma import _first_pass_end, fit_gamma_variate
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.given import measured_curve
from PyPeTLib.phantom import bolus_curve
from PyPeTLib.quality_vessels import LEAST_FILLED
from PyPeTLib.records import Candidate, GammaVariate, Traits, VascularCurve
from PyPeTLib.scan import Series
from PyPeTLib.typeset import percent
from PyPeTLib.veins import (
    _blood,
    _full,
    _scored_vein,
    filled,
    find_vein,
    partial_volume_factor,
    scaled_to_vein,
    venous_candidates,
)
from PyPeTLib.vessels import (
    LikelyVessels,
    VesselVoxels,
    beyond_motion,
    kept_components,
    likely_vessels,
    middle_of,
    vessel_voxels,
)

TIMES, ARRIVAL_S = np.arange(60.0), 10.0
GRID = Geometry((40, 40, 4), (1.5, 1.5, 6.0))
ARTERY_AT, THIN_AT, VEIN_AT = np.s_[1, 10:13, 10:13], np.s_[2, 30, 30:32], np.s_[:, 20:25, 34:38]


def artery_curve(times=TIMES, onset=10.0):
    return bolus_curve(times, arrival_s=onset, width_s=9.0, peak_hu=350.0, recirculation=0.15)


def vein_curve(times=TIMES, onset=10.0):
    return 0.95 * bolus_curve(times, arrival_s=onset + 4.0, width_s=12.0, peak_hu=300.0, recirculation=0.15)


def scan_hu(noise=5.0, artery=1.0, thin=0.4, vein=1.0, seed=0):
    """HU over time of tissue with a thick and a thin artery and a sinus, shape (t, z, y, x)."""
    tissue = 0.04 * bolus_curve(TIMES, arrival_s=12.0, width_s=11.0, peak_hu=300.0, recirculation=0.15)
    hu = 35.0 + np.broadcast_to(tissue[:, None, None, None], (TIMES.size, *GRID.shape)).copy()
    bloods = ((ARTERY_AT, artery * artery_curve()), (THIN_AT, thin * artery_curve()), (VEIN_AT, vein * vein_curve()))
    for place, curve in bloods:
        if curve.any():
            hu[(slice(None), *place)] = 40.0 + curve.reshape(-1, *(1,) * np.ndim(hu[0][place]))
    return hu + np.random.default_rng(seed).normal(0.0, noise, hu.shape)


def voxels_of(hu, baseline=9):
    mask = np.ones(GRID.shape, dtype=bool)
    return vessel_voxels(likely_vessels(hu.reshape(TIMES.size, -1)), baseline, mask, TIMES)


def inside(mask, *places):
    allowed = np.zeros(GRID.shape, dtype=bool)
    for place in places:
        allowed[place] = True
    return mask.any() and not (mask & ~allowed).any()


def curve_of(values, factor=1.0):
    fit = fit_gamma_variate(values, TIMES)
    mask = Image(np.ones((1, 1, 1), dtype=bool), Geometry((1, 1, 1), (1.0, 1.0, 1.0)))
    return VascularCurve(mask, values, factor * values, fit, factor, (), "automatic")


# --- gamma-variate --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("onset", [2.0, 10.0, 30.0])
@pytest.mark.parametrize("rise", [4.0, 8.0])
@pytest.mark.parametrize("shape", [1.5, 3.0, 10.0])
def test_fit_returns_the_gamma_variate_it_is_given(onset, rise, shape):
    truth = GammaVariate(onset, rise, shape, 300.0, 0.0)
    fit = fit_gamma_variate(truth(TIMES), TIMES)
    assert (fit.peak_s, fit.peak_hu) == (pytest.approx(truth.peak_s, abs=0.02), pytest.approx(300.0, rel=1e-3))
    assert fit.onset_s == pytest.approx(onset, abs=0.2) and fit.error < 1e-3
    assert fit.width_s == pytest.approx(truth.width_s, rel=0.02)


@pytest.mark.parametrize("onset", [5.0, 30.0])
def test_recirculation_does_not_spoil_the_first_pass(onset):
    times = np.arange(0.0, onset + 40.0)
    fit = fit_gamma_variate(bolus_curve(times, arrival_s=onset, width_s=9.0, peak_hu=300.0, recirculation=0.3), times)
    first = bolus_curve(times, arrival_s=onset, width_s=9.0, peak_hu=300.0, recirculation=0.0)
    assert fit.peak_hu == pytest.approx(300.0, rel=0.02)
    assert fit.onset_s == pytest.approx(onset, abs=0.7)
    np.testing.assert_allclose(fit(times), first, atol=0.05 * 300.0)


@pytest.mark.parametrize("noise_hu", [0.0, 4.0])
def test_a_second_pass_that_comes_before_the_first_has_gone_ends_the_fit(noise_hu):
    """As measured in people: the curve does not fall below 0.4 of its peak between the passes."""
    first, second = (h * np.exp(-0.5 * ((TIMES - at) / sd) ** 2) for h, at, sd in ((240, 17, 2.6), (90, 30, 6)))
    curve = first + second + 75.0 * np.exp(-TIMES / 160.0) / (1.0 + np.exp(22.0 - TIMES))
    assert curve[17:31].min() > 0.4 * curve.max() and curve[30] > 1.2 * curve[17:31].min()
    fit = fit_gamma_variate(curve + np.random.default_rng(0).normal(0.0, noise_hu, TIMES.size), TIMES)
    assert fit.peak_s == pytest.approx(17.0, abs=0.5) and fit.error < 0.04


@pytest.mark.parametrize(
    ("after", "samples"),
    [
        ([100, 80, 60, 41, 39, 20], 5),  # below 0.4 of the peak
        ([100, 80, 60, 67, 50, 30], 6),  # a rise of less than 0.08 is none
        ([100, 80, 60, 69, 50, 30], 3),  # one of more ends the pass where it was lowest
        ([100, 80, 60, 50, 45, 41], 6),  # all of a curve that does not fall
    ],
)
def test_the_first_pass_ends_at_its_last_sample(after, samples):
    assert _first_pass_end(np.append(np.zeros(30), after)) == 30 + samples


@pytest.mark.parametrize(("rise", "samples"), [(15.0, 6), (25.0, 3)])
def test_a_rise_within_four_sds_of_the_noise_is_no_second_pass(rise, samples):
    noise = np.random.default_rng(0).normal(0.0, 5.0, 400)
    after = [100.0, 70.0, 45.0, 45.0 + rise, 42.0, 30.0]
    assert _first_pass_end(np.append(noise, after)) == 400 + samples


def test_fit_of_uneven_times_is_in_seconds():
    times = np.concatenate([np.arange(0.0, 30.0, 1.5), np.arange(30.0, 75.0, 3.0)])
    truth = GammaVariate(12.0, 7.0, 3.0, 250.0, 0.0)
    fit = fit_gamma_variate(truth(times), times)
    assert (fit.onset_s, fit.rise_s) == (pytest.approx(12.0, abs=0.1), pytest.approx(7.0, abs=0.1))


def test_fit_moves_with_time_zero_and_scales_with_height():
    curve = artery_curve() + np.random.default_rng(0).normal(0.0, 3.0, TIMES.size)
    base = fit_gamma_variate(curve, TIMES)
    later, taller = fit_gamma_variate(curve, TIMES + 500.0), fit_gamma_variate(2.0 * curve, TIMES)
    assert later.onset_s == pytest.approx(base.onset_s + 500.0, abs=0.02)
    assert taller.peak_hu == pytest.approx(2.0 * base.peak_hu, rel=1e-3)
    assert taller.error == pytest.approx(base.error, rel=0.01)


def test_error_is_the_rms_residual_as_a_share_of_the_peak():
    noise = np.random.default_rng(0).normal(0.0, 9.0, TIMES.size)
    fit = fit_gamma_variate(GammaVariate(10.0, 6.0, 3.0, 300.0, 0.0)(TIMES) + noise, TIMES)
    assert fit.error == pytest.approx(9.0 / 300.0, rel=0.35)  # some 25 samples


def test_onset_may_lie_before_the_first_frame():
    truth = GammaVariate(-3.0, 9.0, 3.0, 300.0, 0.0)
    assert fit_gamma_variate(truth(TIMES), TIMES).onset_s == pytest.approx(-3.0, abs=0.5)


@pytest.mark.parametrize(("onset", "rise", "shape"), [(-8.0, 25.0, 3.0), (5.0, 9.0, 0.7), (-10.0, 35.0, 45.0)])
def test_slow_boluses_long_washouts_and_symmetric_peaks_are_found(onset, rise, shape):
    truth = GammaVariate(onset, rise, shape, 300.0, 0.0)
    fit = fit_gamma_variate(truth(TIMES), TIMES)
    assert fit.peak_s == pytest.approx(truth.peak_s, abs=0.1) and fit.error < 1e-3
    assert fit.width_s == pytest.approx(truth.width_s, rel=0.02)


def test_six_frames_of_a_narrow_bolus_tell_the_peak_between_them():
    """Which is a seventh higher than the highest of them."""
    times, truth = np.arange(0.0, 60.0, 4.0), GammaVariate(4.0, 6.0, 3.0, 300.0, 0.0)
    seen = truth(times)
    assert _first_pass_end(seen) == 6 and seen.max() < 300.0 / 1.14
    fit = fit_gamma_variate(seen, times)
    assert (fit.peak_s, fit.peak_hu) == (pytest.approx(10.0, abs=0.05), pytest.approx(300.0, rel=0.01))


def test_a_fit_that_does_not_converge_is_none_not_the_initial_guess(monkeypatch):
    monkeypatch.setattr(scipy.optimize, "least_squares", partial(scipy.optimize.least_squares, max_nfev=1))
    assert fit_gamma_variate(artery_curve(), TIMES) is None


@pytest.mark.parametrize("curve", [np.zeros(60), -artery_curve(), artery_curve()[::-1][:4], np.exp(-TIMES / 10.0)])
def test_nothing_is_returned_where_nothing_can_be_fitted(curve):
    """No signal, negative, too few samples, peak in the first frame: None, never the initial guess."""
    assert fit_gamma_variate(curve, TIMES[: curve.size]) is None


def test_gamma_variate_peaks_where_and_as_high_as_it_says():
    curve = GammaVariate(12.0, 6.0, 3.0, 300.0, 0.0)
    fine = np.arange(0.0, 80.0, 0.01)
    values = curve(fine)
    assert fine[values.argmax()] == pytest.approx(curve.peak_s) and values.max() == pytest.approx(300.0)
    assert not values[fine <= 12.0].any()
    mean = (values * fine).sum() / values.sum()
    assert curve.width_s == pytest.approx(np.sqrt((values * (fine - mean) ** 2).sum() / values.sum()), rel=1e-3)


# --- arteries and veins ---------------------------------------------------------------------------------------------


def test_artery_is_found_in_the_artery_and_its_curve_is_the_arterys(settings):
    found = find_artery(voxels_of(scan_hu()), GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    assert inside(found.mask.values, ARTERY_AT)
    np.testing.assert_allclose(found.curve_hu, artery_curve(), atol=0.06 * 350.0)
    assert found.source == "automatic" and found.partial_volume_factor == 1.0
    assert found.candidates[0].score == max(c.score for c in found.candidates if not c.refused)


def test_a_thin_artery_is_taken_where_there_is_no_other(settings):
    found = find_artery(voxels_of(scan_hu(artery=0.0)), GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    assert inside(found.mask.values, THIN_AT)


def test_vein_is_found_in_the_sinus(settings):
    vessels = voxels_of(scan_hu())
    artery = find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    vein = find_vein(vessels, artery, GRID, TIMES)
    assert inside(vein.mask.values, VEIN_AT)
    np.testing.assert_allclose(vein.curve_hu, vein_curve(), atol=0.05 * 300.0)


@pytest.mark.parametrize(("area", "refused"), [(0.7, True), (0.8, False)])
def test_a_vein_of_less_than_three_quarters_of_the_arterial_area_is_refused_with_both_numbers(area, refused):
    whole = partial_volume_factor(artery_curve(), vein_curve(), TIMES)
    vessels = voxels_of(scan_hu(noise=1.0, vein=area / whole))
    best, *_ = venous_candidates(vessels, GRID, TIMES, artery_peak_s=17.0, artery_hu=artery_curve())
    assert best.area_ratio == pytest.approx(area, abs=0.02) and best.refused == refused
    assert ("times the area of the artery; at least 0.75 is needed" in best.reason) == refused


def test_no_vein_is_found_where_nothing_enhances_later(settings):
    hu = scan_hu()[:, :, :, :20]
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[ARTERY_AT] = True
    vessels = vessel_voxels(likely_vessels(hu[:, mask[:, :, :20]]), 9, mask, TIMES)
    assert find_vein(vessels, curve_of(artery_curve()), GRID, TIMES) is None


def test_clusters_are_never_grown(settings):
    """Every voxel of every candidate is itself among the vessel voxels."""
    vessels = voxels_of(scan_hu())
    found = find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    among = np.zeros(GRID.shape, dtype=bool)
    among.ravel()[vessels.index] = True
    for candidate in found.candidates:
        assert not (candidate.mask & ~among).any()
        assert candidate.volume_ml == pytest.approx(candidate.mask.sum() * GRID.voxel_volume_ml, abs=1e-9)


def test_edges_of_an_artery_are_left_out(settings):
    """Along an artery that fills less and less of its voxels, none below 60 % of the tallest is taken."""
    shares = np.append([1.0, 0.9, 0.65, 0.55, 0.5], np.full(95, 0.1))
    line, specks = 1600 + np.arange(5), 3200 + 2 * np.arange(95)  # places in the flattened grid: a row, single voxels
    curves = shares[:, None] * artery_curve()
    features = (curves.max(axis=1), np.full(100, 16.0), curves.sum(axis=1), np.full(100, 40.0), np.zeros(100, bool))
    made = VesselVoxels(np.append(line, specks), curves, *features, np.ones(len(curves)), np.array([20.0, 20.0, 1.5]))
    best = find_artery(made, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    assert np.flatnonzero(best.mask.values).tolist() == line[:3].tolist()
    assert sum(one.mask.ravel()[line[0]] for one in best.candidates) == 1, "no other thresholds find it again"
    np.testing.assert_allclose(best.curve_hu, 0.85 * artery_curve())


def test_refused_candidates_have_a_reason_and_come_last(settings):
    tight = settings.changed({"aif_minimum_volume_ml": 0.02})
    found = find_artery(voxels_of(scan_hu()), GRID, TIMES, arrival_s=ARRIVAL_S, settings=tight)
    refused = [candidate.refused for candidate in found.candidates]
    assert refused == sorted(refused)
    assert all(candidate.reason for candidate in found.candidates)


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"aif_minimum_volume_ml": 1.0}, "less than 1 mL"),
        ({"aif_maximum_volume_ml": 0.05, "aif_minimum_volume_ml": 0.045}, "mL"),
    ],
)
def test_arteries_outside_the_volume_limits_are_refused_with_the_reason(chosen, reason):
    message = rf"Arterial input: .* needed; \d+ looked at, none accepted.*{reason}.*--aif-mask"
    with pytest.raises(QualityError, match=message):
        find_artery(voxels_of(scan_hu(thin=0.0)), GRID, TIMES, arrival_s=ARRIVAL_S, settings=Settings(**chosen))


@pytest.mark.parametrize("frames", [16, 20])
def test_a_scan_that_ends_before_arteries_fall_is_said_to_be_too_short(settings, frames):
    """A mark of the user would show no more; of a long scan it may."""
    vessels = voxels_of(scan_hu())
    short = replace(vessels, curves_hu=vessels.curves_hu[:, :frames])
    message = f"the scan are needed; it ends {frames - 11} s after the bolus arrives.*Give a longer scan, at least 25 s"
    with pytest.raises(QualityError, match=message) as error:
        find_artery(short, GRID, TIMES[:frames], arrival_s=ARRIVAL_S, settings=settings)
    assert "Mark" not in str(error.value)
    with pytest.raises(QualityError, match=r"Mark the artery yourself \(.*--aif-mask.*in 3D Slicer"):
        find_artery(short, GRID, TIMES[:frames], arrival_s=-10.0, settings=settings)


def test_a_peak_narrower_than_any_bolus_is_refused(settings):
    """Noise in one voxel, where arteries hardly show: early and narrow, it would outrank them."""
    hu = scan_hu(noise=0.0)
    place = tuple(np.argwhere(np.ptp(hu, axis=0) < 30.0)[0])  # tissue
    hu[(slice(None), *place)] += GammaVariate(10.0, 1.2, 3.0, 300.0, 0.0)(TIMES)
    candidates = arterial_candidates(voxels_of(hu), GRID, TIMES, settings=settings)
    spike = next(one for one in candidates if one.mask[place])
    assert spike.refused and "narrower than any bolus" in spike.reason
    assert not candidates[0].refused


def judged_core(curve, **chosen):
    """What is said of five voxels, 0.0675 mL, that show a curve."""
    vessels = two_arteries()
    vessels.curves_hu[:5] = curve
    return _artery(vessels, np.arange(5), GRID, TIMES, Settings(**chosen))


@pytest.mark.parametrize(("rise_s", "refused"), [(2.5, True), (2.9, False)])
def test_a_first_pass_is_refused_below_a_spread_of_one_and_a_half_seconds(rise_s, refused):
    """Of shape 4 it is 0.56 of the rise: 1.4 and 1.6 s."""
    found = judged_core(GammaVariate(10.0, rise_s, 4.0, 300.0, 0.0)(TIMES))
    assert found.reason == ("its peak of 1.4 s (SD) is narrower than any bolus, at least 1.5 s" if refused else "")


@pytest.mark.parametrize(("share", "reason"), [(0.55, ""), (0.65, f"ends at {percent(0.65)} of its peak")])
def test_a_curve_that_ends_above_three_fifths_of_its_peak_is_refused(share, reason):
    curve = artery_curve()
    after = slice(int(curve.argmax()), None)
    curve[after] = np.maximum(curve[after], share * curve.max())
    assert judged_core(curve).reason == reason


@pytest.mark.parametrize(("error", "told"), [(0.19, None), (0.21, " (error 0.21)"), (None, "")])
def test_a_first_pass_that_no_gamma_variate_fits_is_refused_with_the_error(monkeypatch, error, told):
    fit = None if error is None else GammaVariate(9.0, 5.0, 4.0, 350.0, error)
    monkeypatch.setattr("PyPeTLib.arteries.fit_gamma_variate", lambda curve, times_s: fit)
    reason = judged_core(artery_curve()).reason
    assert reason == ("" if told is None else f"no gamma-variate fits its first pass{told}")


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"aif_maximum_volume_ml": 0.06}, "0.0675 mL is more than 0.06 mL"),
        ({"aif_maximum_volume_ml": 0.07}, ""),
        ({"aif_minimum_volume_ml": 0.065}, ""),
        ({"aif_minimum_volume_ml": 0.07}, "0.0675 mL is less than 0.07 mL"),
    ],
)
def test_the_volume_of_an_artery_is_told_with_the_limit_that_it_passes(chosen, reason):
    assert judged_core(artery_curve(), **chosen).reason == reason


def test_an_artery_all_beside_bone_is_judged_whatever_volume_is_wished():
    vessels = two_arteries(baseline=(120.0,) * 5)
    found = _artery(vessels, np.arange(5), GRID, TIMES, Settings(aif_minimum_volume_ml=0.0))
    assert found.mask.sum() == 5 and not found.refused


def without_artery(*ends, after_s):
    """What is said of candidates that were refused, whose curves end at these shares of their peak."""
    one = judged_core(artery_curve())
    curves = [np.where(TIMES < 30.0, 1.0, end) for end in ends]
    candidates = [replace(one, curve_hu=curve, reason=f"reason {k}") for k, curve in enumerate(curves)]
    return _no_artery(tuple(candidates), after_s)


@pytest.mark.parametrize("after_s", [5.0, 24.0])
def test_a_scan_is_too_short_where_most_arteries_end_high(after_s):
    told = without_artery(0.1, 0.7, 0.9, after_s=after_s)
    assert f"it ends {after_s:.0f} s after the bolus arrives, arteries at {percent(0.7)} of their peak" in told
    low = without_artery(0.1, 0.55, 0.9, after_s=after_s)
    assert "none accepted (reason 0; reason 1; reason 2). Mark the artery yourself" in low


def test_no_more_than_three_reasons_are_told_of_all_that_were_looked_at():
    assert "; 5 looked at, none accepted (reason 0; reason 1; reason 2)." in without_artery(*[0.1] * 5, after_s=40.0)


@pytest.mark.parametrize("arrival_s", [ARRIVAL_S, 50.0])
def test_where_nothing_enhances_that_is_said(settings, arrival_s):
    some = two_arteries()
    per_voxel = ("index", "curves_hu", "height_hu", "peak_s", "area_hu_s", "baseline_hu", "edge", "noise_hu")
    none = replace(some, **{name: getattr(some, name)[:0] for name in per_voxel})
    with pytest.raises(QualityError, match=r"0 looked at, none accepted \(no voxel enhances above the noise\)"):
        find_artery(none, GRID, TIMES, arrival_s=arrival_s, settings=settings, force=True)


def test_a_refused_artery_is_taken_by_force_and_stays_refused():
    wished = Settings(aif_minimum_volume_ml=1.0)
    found = find_artery(two_arteries(), GRID, TIMES, arrival_s=ARRIVAL_S, settings=wished, force=True)
    assert found.candidates[0].refused and "less than 1 mL" in found.candidates[0].reason
    assert found.mask.values.ravel()[FIRST_LINE].all()


def test_an_artery_keeps_its_own_voxels_beside_bone():
    """Others there are not taken, however alike."""
    vessels = two_arteries()
    vessels.baseline_hu[:10] = 120.0
    found = find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=Settings())
    assert np.flatnonzero(found.mask.values).tolist() == FIRST_LINE.tolist()


def test_curve_and_fit_of_an_artery_are_those_of_all_its_voxels():
    vessels = two_arteries()
    vessels.curves_hu[:] += np.random.default_rng(0).normal(0.0, 1.0, vessels.curves_hu.shape)
    found = find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=Settings())
    assert found.mask.values.sum() == 10
    np.testing.assert_array_equal(found.curve_hu, found.measured_hu)
    assert found.fit == fit_gamma_variate(found.measured_hu, TIMES) != found.candidates[0].fit


def test_arteries_are_tall_among_early_vessels_however_large_the_veins_are(settings):
    vessels = two_arteries()
    vessels.area_hu_s[10:] = 2.0 * vessels.area_hu_s[0]
    found = arterial_candidates(vessels, GRID, TIMES, settings=settings)
    assert any(one.mask.ravel()[FIRST_LINE].all() for one in found)


def test_an_artery_later_than_a_third_of_what_enhances_is_found_in_the_end(settings):
    """As where noise peaks early in single voxels of much of the tissue, each too small."""
    shares = np.append(np.ones(5), np.full(395, 0.1))
    curves = shares[:, None] * artery_curve()
    peak_s = np.concatenate([np.full(5, 18.0), np.full(160, 16.0), np.full(235, 20.0)])
    features = (curves.max(axis=1), peak_s, curves.sum(axis=1), np.full(400, 40.0), np.zeros(400, bool))
    index = np.append(FIRST_LINE, 4800 + 80 * (np.arange(395) // 20) + 2 * (np.arange(395) % 20))
    vessels = VesselVoxels(index, curves, *features, np.ones(400), np.array([20.0, 20.0, 1.5]))
    found = arterial_candidates(vessels, GRID, TIMES, settings=settings.changed({"aif_minimum_volume_ml": 0.02}))
    assert found[0].mask.ravel()[FIRST_LINE].all()


def test_what_was_refused_does_not_lower_the_score_of_others():
    """A peak of noise would be the tallest, the earliest and the narrowest."""
    fair = judged_core(artery_curve())
    refused = replace(fair, reason="too narrow")
    found = ranked([refused, fair], lambda one, others: replace(one, score=1.0 / len(others)))
    assert found[0].score == 1.0 and found[1] is refused


def test_progress_of_the_search_is_a_share(settings):
    told = []
    arterial_candidates(
        voxels_of(scan_hu()), GRID, TIMES, settings=settings, progress=lambda share, _: told.append(share)
    )
    assert told == sorted(told) and told[0] == 0.0 and 0.0 < max(told) < 1.0


def test_features_of_vessel_voxels_are_those_of_their_curves():
    hu = scan_hu(noise=0.5)
    vessels = voxels_of(hu)
    artery = np.ravel_multi_index((1, 11, 11), GRID.shape)
    row = int(np.flatnonzero(vessels.index == artery)[0])
    assert vessels.height_hu[row] == pytest.approx(350.0, rel=0.02)
    fine = np.arange(0.0, 60.0, 0.01)
    assert vessels.peak_s[row] == pytest.approx(fine[artery_curve(fine).argmax()], abs=0.2)
    np.testing.assert_allclose(vessels.curves_hu[row], artery_curve(), atol=3.0)


def test_peak_and_area_of_vessel_voxels_are_in_seconds_however_frames_are_spaced():
    times = np.concatenate([np.arange(0.0, 30.0, 1.5), np.arange(30.0, 90.0, 3.0)])
    hu = 40.0 + np.outer(artery_curve(times), [1.0, 0.5])
    found = vessel_voxels(LikelyVessels(np.arange(2), hu, np.ones(2)), 6, np.ones((1, 1, 2), dtype=bool), times)
    fine = np.arange(0.0, 90.0, 0.01)
    np.testing.assert_allclose(found.peak_s, fine[artery_curve(fine).argmax()], atol=0.3)
    assert found.area_hu_s[0] == pytest.approx(2.0 * found.area_hu_s[1])
    long = np.arange(0.0, 600.0, 0.1)
    assert 0.9 * np.trapezoid(artery_curve(fine), fine) < found.area_hu_s[0] < np.trapezoid(artery_curve(long), long)


def test_what_enhances_by_no_more_than_five_sds_of_its_noise_is_no_vessel():
    course, mask = np.exp(-0.5 * ((TIMES - 20.0) / 4.0) ** 2), np.ones((1, 1, 4), dtype=bool)
    heights, noise_hu = np.array([9.8, 10.2, 4.9, 5.1]), np.array([2.0, 2.0, 1.0, 1.0])
    level = np.array([30.0, -20.0, 40.0, 100.0])  # HU before the bolus do not matter
    ripple = np.where(TIMES < 4.0, 3.0 * (-1.0) ** TIMES, 0.0)  # nor does what they are in a single frame
    hu = level + heights * course[:, None] + ripple[:, None]
    found = vessel_voxels(LikelyVessels(np.arange(4), hu, noise_hu), 5, mask, TIMES)
    assert found.index.tolist() == [1, 3]
    np.testing.assert_allclose(found.baseline_hu, level[[1, 3]], atol=1e-2)
    np.testing.assert_allclose(found.height_hu, heights[[1, 3]], rtol=2e-3)


def test_likely_vessels_are_those_that_vary_about_their_mean_not_about_the_first_frame():
    """The first frame may be another kind of scan: voxels that it shows darker than they are do not vary for that."""
    hu = np.random.default_rng(2).normal(30.0, 3.0, (60, 1000)).astype(np.float32)
    vessels = np.arange(0, 1000, 20)
    hu[:, vessels] += 0.1 * artery_curve()[:, None].astype(np.float32)
    hu[0, 500:] -= 40.0
    assert likely_vessels(hu).columns.tolist() == vessels.tolist()


def test_middle_of_a_mask_is_an_index_along_x_y_and_z():
    mask = np.zeros((3, 10, 20), dtype=bool)
    mask[1:, 2:5, 12:19] = True
    assert middle_of(mask).tolist() == [15.0, 3.0, 1.5]


def test_a_quiet_voxel_is_taken_to_have_the_noise_that_is_usual():
    """What the projection leaves of it; eight components are kept, of few frames a half."""
    hu = np.random.default_rng(5).normal(30.0, 6.0, (60, 2000))
    hu[:, 7] = 30.0 + artery_curve()
    found = likely_vessels(hu)
    left = 6.0 * np.sqrt(8 / 60)
    assert found.noise_hu[found.columns == 7].item() == pytest.approx(left, rel=0.03)
    assert found.noise_hu.min() > 0.97 * left
    assert [kept_components(frames) for frames in (10, 16, 60)] == [5, 8, 8]


def test_vessels_outside_the_mask_do_not_count(settings):
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[:, :, 20:] = True
    hu = scan_hu()
    vessels = vessel_voxels(likely_vessels(hu[:, mask]), 9, mask, TIMES)
    found = find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    assert inside(found.mask.values, THIN_AT)


#: Places of two lines of five voxels on the grid, left and right of its middle.
FIRST_LINE, OTHER_LINE = 1600 + 40 * 10 + 5 + np.arange(5), 1600 + 40 * 10 + 30 + np.arange(5)


def two_arteries(baseline=(40.0,) * 5, other=0.9):
    """Vessels of two lines, the first taller and with the HU before the bolus given, among specks of tissue."""
    shares = np.concatenate([np.ones(5), np.full(5, other), np.full(95, 0.1)])
    curves = shares[:, None] * artery_curve()
    index = np.concatenate([FIRST_LINE, OTHER_LINE, 3200 + 2 * np.arange(95)])
    peak_s = np.concatenate([np.full(10, 16.0), np.full(95, 20.0)])
    before = np.append(baseline, np.full(100, 40.0))
    edge = np.zeros(105, dtype=bool)
    middle = np.array([19.5, 19.5, 1.5])
    noise = np.ones(len(curves))
    return VesselVoxels(index, curves, curves.max(axis=1), peak_s, curves.sum(axis=1), before, edge, noise, middle)


def candidate_at(vessels, place, grid=GRID):
    found = find_artery(vessels, grid, TIMES, arrival_s=ARRIVAL_S, settings=Settings())
    return next(candidate for candidate in found.candidates if candidate.mask.ravel()[place])


def judged(fit, **changed):
    """An artery of 0.01 mL, with its score and confidence beside one that is the best in everything."""
    traits = {"signal_to_noise": 8.0, "beside_bone": 0.4, "at_edge": 0.5, "lead_s": 3.0, "arterial_share": 0.9}
    chosen = Traits("left", baseline_hu=40.0, **{**traits, **changed})
    one = Candidate(np.ones((1, 1, 10), dtype=bool), fit(TIMES), fit, 0.01, float("nan"), "", chosen, venous_error=0.06)
    best = GammaVariate(9.0, 5.0, 4.0, 350.0, 0.0)
    return _scored_artery(one, [one, replace(one, fit=best)]), best


def test_score_and_confidence_are_products_of_what_they_are_said_to_be_made_of():
    """1.5 s late, 0.8 as high, wider, fitted to 5 %; a fifth of the volume that is enough; the veins miss 6 of 15 %."""
    fit = GammaVariate(10.0, 5.5, 3.0, 280.0, 0.05)
    found, best = judged(fit)
    late, fitted, free, inside = np.exp(-1.5 / 2.0), 1.0 - 0.05 / 0.2, 1.0 - 0.7 * 0.4, 1.0 - 0.3 * 0.5
    width = best.width_s / fit.width_s
    score = 0.8**1.5 * late * width * fitted * 0.2**0.25 * free * inside * 0.9**2 * (1.0 - 0.06 / 0.15)
    assert width < 0.9 and found.score == pytest.approx(score)
    clear = (1.0 - np.exp(-8.0 / 10.0)) * (1.0 - np.exp(-3.0 / 2.0))
    assert found.confidence == pytest.approx(clear * late * fitted * free * inside * 0.9)
    assert judged(fit, lead_s=-1.0)[0].confidence == 0.0, "veins that are earlier do not follow"


def test_what_is_against_an_artery_is_said_with_its_number_the_worst_first():
    found, _ = judged(GammaVariate(10.0, 5.5, 3.0, 280.0, 0.05))
    words = [
        "1.5 s after the earliest",
        f"the veins differ by {percent(0.06)} from what would follow it",
        "only 0.01 mL",
        f"{percent(0.8)} of the tallest",
        "4 of 10 voxels beside bone or air",
        f"its fit is off by {percent(0.05)}",
        "1.31 times as wide as the narrowest",
        f"about {percent(0.1)} of its area is tissue",
        "5 of 10 voxels at the edge of brain or slab",
    ]
    assert found.reason == "left, peak 8 times the noise; against it: " + ", ".join(words)


def test_what_lowers_a_score_by_less_than_a_tenth_is_not_against_an_artery():
    assert _against([(0.91, "small"), (0.89, "low"), (1.0, "late")]) == "against it: low"
    assert _against([(0.91, "small")]) == "nothing against it"


@pytest.mark.parametrize(("error", "share"), [(0.06, 0.6), (0.3, 0.0), (float("nan"), 1.0)])
def test_veins_that_miss_by_more_than_any_do_leave_no_score_and_none_that_were_compared_all(error, share):
    found, _ = judged(GammaVariate(10.0, 5.5, 3.0, 280.0, 0.05))
    assert _followed(replace(found, venous_error=error)) == pytest.approx(share)


def test_the_curve_of_all_voxels_that_are_alike_is_as_high_as_the_artery_chosen():
    """A branch nine tenths as full shows the same course: it takes noise away, and no height."""
    found = find_artery(two_arteries(other=0.9), GRID, TIMES, arrival_s=ARRIVAL_S, settings=Settings())
    assert np.flatnonzero(found.mask.values).tolist() == [*FIRST_LINE, *OTHER_LINE]
    np.testing.assert_allclose(found.measured_hu, artery_curve(), atol=1e-6)
    assert found.fit.peak_hu == pytest.approx(350.0, rel=0.02)


def test_traits_of_a_cluster_are_those_of_its_mean_and_of_the_latest_quarter_of_vessels():
    """The noise of a mean of four voxels is half of theirs; they peak at 16 s on average, a quarter from 24 s on."""
    curves = np.ones((40, 1)) * artery_curve()
    peak_s = np.concatenate([[14.0, 16.0, 16.0, 18.0], np.full(24, 20.0), np.full(10, 24.0), np.full(2, 30.0)])
    noise = np.append([0.2, 0.2, 0.4, 0.4], np.full(36, 9.0))
    before, area = np.append([30.0, 36.0, 42.0, 36.0], np.full(36, 40.0)), curves.sum(axis=1)
    area[:4] *= (0.1, 0.2, 0.1, 0.2)
    features = (curves.max(axis=1), peak_s, area, before, np.arange(40) < 1, noise)
    vessels = VesselVoxels(FIRST_LINE[0] + np.arange(40), curves, *features, np.array([19.5, 19.5, 1.5]))
    found = traits_of(vessels, np.arange(4), curves[0], GRID)
    assert found.signal_to_noise == pytest.approx(curves[0].max() / (0.3 / 2.0))
    assert (found.lead_s, found.baseline_hu, found.at_edge) == (24.0 - 16.0, 36.0, 0.25)
    assert found.arterial_share == pytest.approx(_arterial_share(vessels, 36.0, 0.15 * area[-1])) != 1.0
    still = replace(vessels, noise_hu=np.zeros(40))
    assert 1e6 < traits_of(still, np.arange(4), curves[0], GRID).signal_to_noise < np.inf


def test_clusters_touch_at_corners_and_the_one_with_the_tallest_voxel_is_first():
    shares = np.array([0.9, 0.8, 1.0, 0.2])
    curves = shares[:, None] * artery_curve()
    index = np.ravel_multi_index(([0, 1, 2, 3], [5, 6, 20, 21], [5, 6, 20, 21]), GRID.shape)
    features = (curves.max(axis=1), np.full(4, 16.0), curves.sum(axis=1), np.full(4, 40.0), np.zeros(4, bool))
    vessels = VesselVoxels(index, curves, *features, np.ones(4), np.zeros(3))
    found = clusters(vessels, np.ones(4, dtype=bool), GRID)
    assert [rows.tolist() for rows in found] == [[2, 3], [0, 1]]


def test_of_many_clusters_the_eight_tallest_are_looked_at():
    curves = np.linspace(0.5, 1.0, 10)[:, None] * artery_curve()
    features = (curves.max(axis=1), np.full(10, 16.0), curves.sum(axis=1), np.full(10, 40.0), np.zeros(10, bool))
    vessels = VesselVoxels(1600 + 2 * np.arange(10), curves, *features, np.ones(10), np.zeros(3))
    found = clusters(vessels, np.ones(10, dtype=bool), GRID)
    assert [rows.tolist() for rows in found] == [[row] for row in range(9, 1, -1)]


@pytest.mark.parametrize(("voxels", "side"), [(3.0, "midline"), (3.4, "left"), (-3.0, "midline"), (-3.4, "right")])
def test_a_vessel_is_on_a_side_from_5_mm_beside_the_middle_on(voxels, side):
    """Pixels of 1.5 mm: three are 4.5 mm, 3.4 are 5.1 mm."""
    middle = np.array([19.5, 19.5, 1.5])
    assert side_of(middle + np.array([voxels, 9.0, 1.0]), middle, GRID) == side


def test_the_side_in_a_turned_scan_is_the_patients():
    """Its rows run to the right as well as to the back, by 40°."""
    c, s = np.cos(np.radians(40.0)), np.sin(np.radians(40.0))
    grid = replace(GRID, direction=(c, -s, 0, s, c, 0, 0, 0, 1))
    assert side_of(np.array([0.0, 10.0, 0.0]), np.zeros(3), grid) == "right"
    assert side_of(np.array([10.0, 0.0, 0.0]), np.zeros(3), grid) == "left"


def test_an_artery_beside_bone_loses_to_one_of_similar_height_in_the_brain():
    plain = two_arteries()
    assert candidate_at(plain, FIRST_LINE[0]).score > candidate_at(plain, OTHER_LINE[0]).score
    bony = two_arteries(baseline=(120.0,) * 5)
    first, other = candidate_at(bony, FIRST_LINE[0]), candidate_at(bony, OTHER_LINE[0])
    assert first.score < other.score and first.confidence < other.confidence
    assert "5 of 5 voxels beside bone or air" in first.reason and first.traits.baseline_hu == 120.0


def test_what_is_tall_and_late_is_no_candidate(settings):
    vessels = two_arteries(other=1.2)
    peak_s = np.where(np.isin(vessels.index, OTHER_LINE), 25.0, vessels.peak_s)
    found = arterial_candidates(replace(vessels, peak_s=peak_s), GRID, TIMES, settings=settings)
    assert found[0].mask.ravel()[FIRST_LINE].all()
    assert not any(one.mask.ravel()[OTHER_LINE].any() for one in found)


def test_thresholds_are_relaxed_until_five_arteries_are_found(settings):
    """Of four the search goes on, and finds one of 0.3 of their blood; a voxel that is too small is none of five."""
    settings = settings.changed({"aif_minimum_volume_ml": 0.02})
    lines = (1600 + 160 * np.arange(1, 7)[:, None] + np.arange(5)).ravel()
    weak, specks = lines[-1], 4800 + 2 * np.arange(370)
    for full, relaxed in ((25, False), (20, True)):
        shares = np.concatenate([np.ones(full), np.full(30 - full, 0.3), [1.0], np.full(369, 0.1)])
        curves = shares[:, None] * artery_curve()
        features = (curves.max(axis=1), np.full(400, 16.0), curves.sum(axis=1), np.full(400, 40.0), np.zeros(400, bool))
        vessels = VesselVoxels(np.append(lines, specks), curves, *features, np.ones(400), np.array([20.0, 20.0, 1.5]))
        found = arterial_candidates(vessels, GRID, TIMES, settings=settings)
        assert any(one.mask.ravel()[weak] for one in found) == relaxed


def test_voxels_beside_bone_are_left_out_where_enough_others_remain():
    candidate = candidate_at(two_arteries(baseline=(120.0, 90.0, 40.0, 40.0, 40.0)), FIRST_LINE[2])
    assert np.flatnonzero(candidate.mask).tolist() == FIRST_LINE[2:].tolist()
    assert candidate.traits.beside_bone == 0.0


@pytest.mark.parametrize(("least_ml", "kept"), [(0.04, 3), (0.042, 5)])
def test_voxels_beside_bone_stay_where_the_others_are_less_than_an_artery_has(least_ml, kept):
    """Three voxels of 13.5 µL are 0.0405 mL."""
    vessels, settings = two_arteries(baseline=(120.0, 90.0, 40.0, 40.0, 40.0)), Settings(aif_minimum_volume_ml=least_ml)
    found = arterial_candidates(vessels, GRID, TIMES, settings=settings)
    (candidate,) = (one for one in found if one.mask.ravel()[FIRST_LINE[2]])
    assert candidate.mask.sum() == kept and not candidate.refused
    assert candidate.traits.beside_bone == (0.0 if kept == 3 else 2 / 5)


def test_blood_that_is_bright_before_the_bolus_everywhere_is_no_bone():
    """Contrast agent of an injection before."""
    assert not voxels_of(scan_hu() + 60.0).foreign.any()


#: Shares of blood as they are in vessels of a head, most filled in part; HU that contrast agent of an earlier
#: injection adds to blood.
SHARES = np.concatenate([np.ones(40), np.linspace(0.4, 1.0, 50), np.linspace(0.05, 0.4, 160)])
LEFT_HU = (0.0, 40.0, 60.0, 80.0, 120.0)


def vessels_of(shares, left_hu, bone=()):
    """Vessels in tissue of 30 HU with contrast agent left in their blood, some of them beside bone."""
    curves = shares[:, None] * artery_curve()
    before = 30.0 + shares * (10.0 + left_hu)
    before[list(bone)] += 50.0
    nothing = np.zeros(shares.size, dtype=bool)
    features = (curves.max(axis=1), np.full(shares.size, 16.0), curves.sum(axis=1), before, nothing)
    return VesselVoxels(np.arange(shares.size), curves, *features, np.ones(shares.size), np.zeros(3))


@pytest.mark.parametrize("left_hu", LEFT_HU)
def test_contrast_of_an_injection_before_is_no_bone_and_bone_stays_bone(left_hu):
    bone = (0, 1, 2, 41, 60, 89, 90, 120, 249)
    vessels = vessels_of(SHARES, left_hu, bone)
    assert np.flatnonzero(vessels.foreign).tolist() == list(bone)
    assert vessels.blood_hu == pytest.approx(40.0 + left_hu, abs=0.1 * (10.0 + left_hu))


@pytest.mark.parametrize(("off_hu", "foreign"), [(-31.0, True), (-29.0, False), (29.0, False), (31.0, True)])
def test_what_is_30_hu_from_the_usual_mixture_is_foreign(off_hu, foreign):
    usual = vessels_of(SHARES, 0.0, bone=())
    before = usual.baseline_hu.copy()
    before[[0, 120]] += off_hu
    assert replace(usual, baseline_hu=before).foreign[[0, 120]].tolist() == [foreign, foreign]


def test_blood_before_the_bolus_is_told_by_voxels_that_it_fills_in_part():
    shares = np.concatenate([np.ones(30), np.full(120, 0.6), np.linspace(0.05, 0.4, 100)])
    assert vessels_of(shares, 60.0).blood_hu == pytest.approx(100.0, abs=1.0)


def test_blood_before_the_bolus_is_told_where_most_of_the_fullest_voxels_lie_beside_bone():
    """As in the head of a newborn, whose vessels are thin and near the skull."""
    vessels = vessels_of(SHARES, 0.0, bone=range(30))
    assert vessels.foreign[:30].all() and not vessels.foreign[30:].any()


def test_an_artery_at_the_edge_loses_to_one_inside():
    vessels = two_arteries()
    vessels.edge[:5] = True
    first, other = candidate_at(vessels, FIRST_LINE[0]), candidate_at(vessels, OTHER_LINE[0])
    assert first.score < other.score and "5 of 5 voxels at the edge of brain or slab" in first.reason


def test_edge_voxels_touch_the_border_of_mask_or_slab():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1:, 5:38, 5:36] = True
    hu = scan_hu(noise=0.5).reshape(TIMES.size, *GRID.shape)
    vessels = vessel_voxels(likely_vessels(hu[:, mask]), 9, mask, TIMES)
    z, y, x = np.unravel_index(vessels.index, GRID.shape)
    border = (z == 1) | (z == 3) | (y == 5) | (y == 37) | (x == 5) | (x == 35)
    np.testing.assert_array_equal(vessels.edge, border)
    assert border.any() and not border.all()


@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_side_is_the_patients_however_the_scan_is_stored(flip):
    grid = Geometry(GRID.size, GRID.spacing_mm, direction=(flip, 0, 0, 0, 1, 0, 0, 0, 1))
    sides = [candidate_at(two_arteries(), line[0], grid).traits.side for line in (FIRST_LINE, OTHER_LINE)]
    assert sides == (["right", "left"] if flip > 0 else ["left", "right"])
    assert candidate_at(two_arteries(), FIRST_LINE[0], grid).reason.startswith(sides[0])


def test_arterial_share_tells_an_artery_in_cortex_from_one_in_fluid():
    """Of a voxel with a tenth of blood cortex adds 0.05·0.9/0.1 of the arterial area, CSF nothing."""
    curves = np.ones((40, 1)) * artery_curve()
    features = (curves.max(axis=1), np.full(40, 16.0), curves.sum(axis=1), np.full(40, 40.0), np.zeros(40, bool))
    vessels = VesselVoxels(np.arange(40), curves, *features, np.ones(40), np.zeros(3))
    shares = [_arterial_share(vessels, 0.1 * 40.0 + 0.9 * rest, 0.1 * curves[0].sum()) for rest in (12.0, 23.5, 35.0)]
    assert shares == pytest.approx([1.0, 1.0 - 0.05 * 0.45 / 0.1, 1.0 - 0.05 * 0.9 / 0.1])
    in_cortex = [
        _arterial_share(vessels, blood * 40.0 + (1.0 - blood) * rest, blood * curves[0].sum())
        for blood, rest in ((0.06, 35.0), (0.8, 35.0), (0.06, 60.0), (0.06, 0.0), (0.03, 35.0))
    ]
    full = 1.0 - 0.05 * 0.94 / 0.06
    assert in_cortex == pytest.approx([full, 1.0 - 0.05 * 0.2 / 0.8, full, 1.0, 0.0])
    assert _arterial_share(vessels, 40.0, 1.5 * curves[0].sum()) == pytest.approx(1.0, abs=0.01)


def test_confidence_falls_with_noise_and_lies_between_0_and_1():
    values = [
        find_artery(voxels_of(scan_hu(noise=noise)), GRID, TIMES, arrival_s=ARRIVAL_S, settings=Settings())
        .candidates[0]
        .confidence
        for noise in (1.0, 10.0, 40.0)
    ]
    assert 1.0 >= values[0] > values[1] > values[2] >= 0.0


def test_confidence_falls_where_the_veins_do_not_follow():
    """A vein that is taken for want of an artery is as late as the others."""
    vessels = two_arteries()
    alone = replace(vessels, peak_s=np.full(105, 16.0))
    there, late = (candidate_at(one, FIRST_LINE[0]) for one in (vessels, alone))
    assert (there.traits.lead_s, late.traits.lead_s) == (4.0, 0.0)
    assert late.confidence == 0.0 < there.confidence


@pytest.mark.parametrize(("onset", "follows"), [(10.0, True), (0.0, False)])
def test_an_artery_is_judged_by_whether_the_latest_vessels_follow_from_it(onset, follows):
    """Their bolus arrives after the artery's, or 6 s before it, which no way through the brain explains."""
    vessels = two_arteries()
    late = vessels.peak_s == 20.0
    curves = np.where(late[:, None], 0.1 * vein_curve(onset=onset), vessels.curves_hu)
    found = candidate_at(replace(vessels, curves_hu=curves), FIRST_LINE[0])
    assert (found.venous_error < 0.06) == follows and np.isfinite(found.venous_error)


def test_vein_is_measured_in_its_core_not_at_its_rim(settings):
    """The rim of the sinus is diluted by a tenth, which its threshold of area lets pass."""
    hu = scan_hu(noise=0.0)
    rim = np.ones((5, 4), dtype=bool)
    rim[1:-1, 1:-1] = False
    hu[:, :, 20:25, 34:38] -= 0.1 * rim * vein_curve()[:, None, None, None]
    vessels = voxels_of(hu)
    vein = find_vein(vessels, find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings), GRID, TIMES)
    assert inside(vein.mask.values, np.s_[:, 21:24, 35:37])
    np.testing.assert_allclose(vein.curve_hu, vein_curve(), atol=0.02 * 300.0)


def test_deep_voxels_that_are_diluted_all_the_same_do_not_count(settings):
    """Resampling across thick slices dilutes whole sections of a vein, their middle too."""
    hu = scan_hu(noise=0.0)
    hu[:, 0, 20:25, 34:38] -= 0.08 * vein_curve()[:, None, None]
    vessels = voxels_of(hu)
    vein = find_vein(vessels, find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings), GRID, TIMES)
    assert vein.mask.values.any() and not vein.mask.values[0].any()
    np.testing.assert_allclose(vein.curve_hu.max(), vein_curve().max(), rtol=0.01)


def late_vessels(index, shares, noise_hu=1.0):
    """Voxels with so much of a vein's blood."""
    curves = np.asarray(shares)[:, None] * vein_curve()
    features = (curves.max(axis=1), np.full(len(curves), 25.0), curves.sum(axis=1), np.full(len(curves), 40.0))
    noise = np.full(len(curves), noise_hu)
    return VesselVoxels(np.asarray(index), curves, *features, np.zeros(len(curves), bool), noise, np.zeros(3))


def test_blood_is_the_amplitude_of_the_course_of_veins_whatever_the_baseline_of_a_voxel():
    """Its noise is that of all of the frames' along the course: the projection left 8 of 60 components of it."""
    shares = np.linspace(0.4, 1.0, 20)
    vessels = late_vessels(np.arange(20), shares, noise_hu=2.0)
    raised = replace(vessels, curves_hu=vessels.curves_hu + np.linspace(-30.0, 30.0, 20)[:, None])
    blood, noise = _blood(raised, np.ones(20, dtype=bool))
    np.testing.assert_allclose(blood, shares / shares.mean())
    assert noise == pytest.approx(2.0 * np.sqrt(60 / 8) / (shares.mean() * vein_curve().std() * np.sqrt(60)))


def test_sinuses_that_a_thin_vein_joins_are_two():
    """Of half their blood; each is sixteen voxels, of which the four in the middle are measured."""
    blocks, bridge = np.zeros(GRID.shape, dtype=bool), np.zeros(GRID.shape, dtype=bool)
    blocks[1, 10:14, 10:14] = blocks[1, 10:14, 18:22] = bridge[1, 11, 14:18] = True
    index = np.flatnonzero(blocks | bridge)
    vessels = late_vessels(index, np.where(bridge.ravel()[index], 0.5, 1.0))
    found = venous_candidates(vessels, GRID, TIMES, artery_peak_s=16.0, artery_hu=artery_curve())
    assert [int(one.mask.sum()) for one in found] == [4, 4]
    assert found[0].mask[1, 11:13, 11:13].all() != found[0].mask[1, 11:13, 19:21].all()


def test_noise_chooses_no_voxels_of_a_full_vein():
    """Those of 0.95 of what is full are taken, noise allowed for: 1.78 SDs below, but for four in a hundred."""
    noise = 0.1
    blood = 1.0 + np.random.default_rng(3).normal(0.0, noise, 20_000)
    vessels = late_vessels(np.arange(blood.size), np.ones(blood.size))
    grid = Geometry((blood.size, 1, 1), (1.0, 1.0, 1.0))
    taken = _full(vessels, np.arange(blood.size), blood, noise, grid)
    assert taken.size / blood.size == pytest.approx(0.9625, abs=0.01)
    assert blood[taken].mean() == pytest.approx(1.0, abs=0.01)


def section(radius_mm, pixel_mm, off=(0.0, 0.0), spread_mm=1.1):
    """Share of blood in 11 × 11 pixels across a round vein beside their middle, as a scanner shows it."""
    fine = 20
    place = (np.arange(11 * fine) + 0.5) * pixel_mm / fine - 5.5 * pixel_mm
    apart = np.hypot(place[:, None] - off[0] * pixel_mm, place - off[1] * pixel_mm)
    blurred = gaussian_filter((apart < radius_mm).astype(float), spread_mm / 2.355 * fine / pixel_mm)
    return blurred.reshape(11, fine, 11, fine).mean(axis=(1, 3))


def filled_share(seen, pixel_mm, mask=None, spacing_zyx_mm=None):
    """How much of its fullest pixel, and of those about as full, a vein is told to fill, and does."""
    shown = np.flatnonzero(seen > 0.1)
    blood = 7.0 * seen.ravel()[shown]
    nothing = np.zeros(shown.size)
    features = (nothing, nothing, nothing, nothing, nothing > 0, nothing, np.zeros(3))
    vessels = VesselVoxels(shown, blood[:, None] * artery_curve(), *features, mask)
    rows = np.flatnonzero(blood >= 0.95 * blood.max())
    shape = seen.shape if seen.ndim == 3 else (1, *seen.shape)
    spacing_mm = (8.0, pixel_mm, pixel_mm) if spacing_zyx_mm is None else spacing_zyx_mm
    told = filled(vessels, rows, blood, Geometry(shape[::-1], tuple(map(float, spacing_mm[::-1]))))
    return told, float(seen.ravel()[shown[rows]].mean())


@pytest.mark.parametrize("off", [(0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.2, 0.4)])
@pytest.mark.parametrize("pixel_mm", [0.6, 1.25, 2.1, 3.2])
def test_a_vein_without_a_middle_of_blood_is_told_from_one_that_has_it(pixel_mm, off):
    """And of a vein three times as wide as pixel and spread hardly any is missing; off is its middle in pixels."""
    seen_mm = np.hypot(1.1, pixel_mm)
    for width in (0.8, 1.2, 1.6):
        told, true = filled_share(section(0.5 * width * seen_mm, pixel_mm, off), pixel_mm)
        if off == (0.0, 0.0):  # between pixels several are equally full, and what dilutes them is seen in part
            assert told < true + 0.1
        if true < 0.75:
            assert told < LEAST_FILLED
    told, true = filled_share(section(1.5 * seen_mm, pixel_mm, off), pixel_mm)
    assert true > 0.95 and told > LEAST_FILLED


def test_what_lies_outside_the_brain_is_not_taken_for_an_edge_of_the_vein():
    seen = section(2.0, 1.25)
    cut = np.where(np.arange(11)[:, None] > 5, 0.0, seen)
    mask = np.broadcast_to(np.arange(11)[:, None] <= 5, (11, 11))[None]
    assert filled_share(cut, 1.25, mask)[0] == pytest.approx(filled_share(seen, 1.25)[0], abs=0.03)
    assert filled_share(cut, 1.25)[0] < filled_share(seen, 1.25)[0] - 0.1


def test_a_vein_at_the_edge_of_the_image_is_not_taken_to_end_there():
    seen = section(1.0, 1.25)
    assert filled_share(seen[:6], 1.25)[0] == pytest.approx(filled_share(seen, 1.25)[0], abs=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_how_much_of_its_voxels_a_vein_fills_is_seen_in_plane_however_the_scan_is_stored(axis):
    """Slices of 8 mm, the longest side of a voxel, may come along any axis."""
    seen = section(1.0, 1.25)
    turned = np.moveaxis(seen[None], 0, axis)
    told = filled_share(turned, 1.25, spacing_zyx_mm=np.where(np.arange(3) == axis, 8.0, 1.25))[0]
    assert told == pytest.approx(filled_share(seen, 1.25)[0], rel=1e-6)


def test_the_best_vein_has_the_largest_area_times_the_root_of_its_volume_up_to_what_is_enough():
    """0.05 mL are enough."""
    traits = Traits("left", 9.0, 40.0, 0.0, 0.0, 3.0, 0.9)
    blank = Candidate(np.ones((1, 1, 1), dtype=bool), TIMES, None, 0.05, float("nan"), "", traits)
    veins = [
        replace(blank, area_ratio=ratio, volume_ml=ml)
        for ratio, ml in ((1.2, 0.05), (1.2, 9.0), (0.9, 1.0), (1.5, 0.0125))
    ]
    scores = [_scored_vein(one, veins).score for one in veins]
    assert scores == pytest.approx([1.0, 1.0, 0.9 / 1.2, 0.5 * 1.5 / 1.2])


@pytest.mark.parametrize(("thin", "least", "most"), [(False, LEAST_FILLED, 1.0), (True, 0.5, LEAST_FILLED)])
def test_how_much_of_its_voxels_the_vein_fills_is_found_in_the_scan(settings, thin, least, most):
    """A sinus of 3 mm in pixels of 1.5 mm, three quarters of which are blood."""
    hu = scan_hu(noise=3.0)
    if thin:
        curve = vein_curve()[:, None, None, None]
        lost = np.clip(1.0 - section(1.5, 1.5, (0.5, 0.0))[3:8, 4:8], 0.25, 1.0)
        hu[:, :, 20:25, 34:38] -= lost * curve
    vessels = voxels_of(hu)
    artery = find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings)
    assert least < find_vein(vessels, artery, GRID, TIMES).candidates[0].filled <= most


def test_leaving_out_diluted_voxels_does_not_favour_noise(settings):
    areas = []
    for seed in range(5):
        vessels = voxels_of(scan_hu(noise=5.0, seed=seed))
        vein = find_vein(
            vessels, find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings), GRID, TIMES
        )
        areas.append(vein.curve_hu.sum() / vein_curve().sum())
    assert np.mean(areas) == pytest.approx(1.0, abs=0.01)


def test_the_vein_of_a_weak_bolus_is_not_its_noise(settings):
    """A fifth of the contrast agent: choosing the largest of 80 noisy voxels would find a quarter more of it."""
    areas = []
    for seed in range(5):
        vessels = voxels_of(
            35.0 + 0.2 * (scan_hu(noise=0.0) - 35.0) + scan_hu(noise=6.0, seed=seed) - scan_hu(noise=0.0)
        )
        vein = find_vein(
            vessels, find_artery(vessels, GRID, TIMES, arrival_s=ARRIVAL_S, settings=settings), GRID, TIMES
        )
        areas.append(vein.curve_hu.sum() / (0.2 * vein_curve().sum()))
    assert np.mean(areas) == pytest.approx(1.0, abs=0.05)


# --- the user's mask and partial volume -----------------------------------------------------------------------------


def test_curve_of_a_users_mask_is_its_mean_enhancement():
    hu = scan_hu(noise=0.0)
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[ARTERY_AT] = True
    series = Series(np.round(hu).astype(np.int16), TIMES, GRID)
    found = measured_curve(series, Image(mask, GRID), baseline_frames=9, drift_hu=np.zeros(TIMES.size))
    np.testing.assert_allclose(found.curve_hu, artery_curve(), atol=1.0)
    assert (found.source, found.candidates, found.partial_volume_factor) == ("user's mask", (), 1.0)
    assert found.mask.values is not mask and (found.mask.values == mask).all()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_thin_artery_is_scaled_to_the_venous_area(settings, share):
    artery, vein = curve_of(share * artery_curve()), curve_of(vein_curve())
    scaled = scaled_to_vein(artery, vein, TIMES, settings=settings)
    areas = [np.trapezoid(curve, TIMES) for curve in (scaled.curve_hu, vein_curve())]
    assert areas[0] == pytest.approx(areas[1], rel=0.02)  # the tails beyond the scan count too
    np.testing.assert_array_equal(scaled.measured_hu, artery.measured_hu)
    np.testing.assert_array_equal(
        scaled_to_vein(replace(artery, curve_hu=3.0 * artery.measured_hu), vein, TIMES, settings=settings).curve_hu,
        scaled.curve_hu,
    )
    assert scaled.fit.peak_hu == pytest.approx(artery.fit.peak_hu * scaled.partial_volume_factor)


def test_artery_is_never_scaled_down(settings):
    scaled = scaled_to_vein(curve_of(2.0 * artery_curve()), curve_of(vein_curve()), TIMES, settings=settings)
    assert scaled.partial_volume_factor == 1.0
    np.testing.assert_array_equal(scaled.curve_hu, 2.0 * artery_curve())


def test_artery_is_left_alone_without_vein_or_on_request(settings):
    artery = curve_of(0.5 * artery_curve())
    assert scaled_to_vein(artery, None, TIMES, settings=settings) is artery
    none = settings.changed({"partial_volume": "none"})
    assert scaled_to_vein(artery, curve_of(vein_curve()), TIMES, settings=none) is artery


def test_factor_is_the_ratio_of_areas_and_does_not_depend_on_sampling(bolus):
    factors = []
    for interval in (0.5, 1.0, 2.0, 3.0):
        times = np.arange(0.0, 90.0, interval)
        vein = bolus.washout(times, flow=1 / 6, mtt_s=6.0)
        factors.append(partial_volume_factor(0.4 * bolus.aif(times), vein, times))
    np.testing.assert_allclose(factors, 1.0 / 0.4, rtol=0.01)


def test_factor_of_a_scan_that_ends_early_counts_the_tails(bolus):
    times = np.arange(0.0, 40.0)
    factor = partial_volume_factor(bolus.aif(times), bolus.washout(times, flow=1 / 10, mtt_s=10.0), times)
    assert np.trapezoid(bolus.washout(times, flow=1 / 10, mtt_s=10.0), times) < 0.9 * bolus.area_hu_s
    assert factor == pytest.approx(1.0, abs=0.03)


def test_factor_of_a_vein_that_does_not_follow_the_artery_is_the_ratio_of_areas(bolus):
    times = np.arange(0.0, 90.0)
    two = np.sum([100.0 * np.exp(-0.5 * ((times - at) / 2.0) ** 2) for at in (10.0, 50.0)], axis=0)
    factor = partial_volume_factor(bolus.aif(times), two, times)
    assert factor == pytest.approx(two.sum() / bolus.area_hu_s, rel=0.01)


def test_a_candidate_is_refused_when_it_has_a_reason_but_no_score():
    candidate = Candidate(np.ones((1, 1, 1), dtype=bool), np.ones(3), None, 1.0, float("nan"), "too small")
    assert candidate.refused and not replace(candidate, score=0.5).refused and not replace(candidate, reason="").refused


@pytest.mark.parametrize(("shift_mm", "left"), [(0.0, 60), (0.1, 50), (9.0, 50)])
def test_what_the_heads_motion_explains_is_no_vessel(shift_mm, left):
    """Ten voxels beside bone, 300 HU/mm steep, change by 30 HU; fifty that no bone is near, by 60 HU."""
    frame, mask = np.full((1, 10, 12), 35.0), np.ones((1, 10, 12), dtype=bool)
    frame[..., 9] = 335.0
    mask[..., 9:] = False
    columns = np.flatnonzero((np.indices(mask.shape)[2] > 2)[mask])
    beside = columns % 9 == 8
    likely = LikelyVessels(columns, np.where(beside, 30.0, 60.0) * np.linspace(0.0, 1.0, 8)[:, None], np.ones(60))
    found = beyond_motion(likely, frame, mask, (5.0, 1.0, 1.0), shift_mm)
    assert found.columns.size == found.hu.shape[1] == found.noise_hu.size == left
    assert np.isin(columns[beside], found.columns).all() == (shift_mm == 0.0)
    steep = frame + 300.0 * np.arange(12.0)
    assert beyond_motion(likely, steep, mask, (5.0, 1.0, 1.0), 9.0) is likely  # none would be left


@pytest.mark.parametrize(
    ("step_hu", "pixel_mm", "change_hu", "noise_hu", "explained"),
    [
        (300.0, 1.0, 55.0, 1.0, True),  # twice 0.1 mm in 300 HU/mm
        (300.0, 1.0, 65.0, 1.0, False),
        (300.0, 4.0, 16.0, 1.0, False),  # in 75 HU/mm
        (40.0, 1.0, 7.0, 1.0, True),
        (40.0, 1.0, 7.0, 10.0, False),  # neighbours differ by no more than three SDs of a voxel's noise
    ],
)
def test_what_motion_explains_goes_with_the_steepness_in_mm_beyond_noise(
    step_hu, pixel_mm, change_hu, noise_hu, explained
):
    frame, mask = np.full((1, 10, 12), 35.0), np.ones((1, 10, 12), dtype=bool)
    frame[..., 9:] += step_hu
    mask[..., 9:] = False
    columns = np.flatnonzero((np.indices(mask.shape)[2] > 2)[mask])
    changes = np.where(columns % 9 == 8, change_hu, 100.0) * np.linspace(0.0, 1.0, 8)[:, None]
    likely = LikelyVessels(columns, changes, np.full(60, noise_hu))
    found = beyond_motion(likely, frame, mask, (5.0, pixel_mm, pixel_mm), 0.1)
    assert found.columns.size == (50 if explained else 60)
