"""Quality checks: each warns or fails where it is due, with its number, and passes elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.analysis import Maps
from PyPeTLib.checks import Check
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.phantom import bolus_curve
from PyPeTLib.quality import judge, worst_first
from PyPeTLib.quality_frames import judge_motion, judge_noise, judge_range, motion_unknown
from PyPeTLib.quality_maps import (
    judge_fit,
    judge_hyperdense,
    judge_maps,
    judge_metal,
    judge_residue,
    judge_skull,
    judge_timing,
    judge_tissue,
)
from PyPeTLib.records import Bolus, Candidate, Curves, GammaVariate, Motion, ResidueFit, Skull, Traits, VascularCurve
from PyPeTLib.scan import Series
from PyPeTLib.settings import LINEAR, DeconvolutionMethod
from PyPeTLib.transit import fit_transit

GRID = Geometry((2, 2, 10), (1.0, 1.0, 9.0))
MASK = np.ones(GRID.shape, dtype=bool)


def good(times=None):
    """Series, bolus, curves, artery and vein of a scan without any fault."""
    times = np.arange(70.0) if times is None else times
    artery = bolus_curve(times, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.1)
    vein = bolus_curve(times, arrival_s=14.0, width_s=12.0, peak_hu=250.0, recirculation=0.1)
    tissue = 0.05 * bolus_curve(times, arrival_s=12.0, width_s=11.0, peak_hu=300.0, recirculation=0.1)
    fit = GammaVariate(10.0, 6.0, 3.0, 300.0, 0.01)
    noise = np.random.default_rng(0).normal(0.0, 6.0, 40).astype(np.float32)
    curves = Curves(np.ones((40, 1), np.float32), tissue[None].astype(np.float32), noise, MASK)
    vascular = [VascularCurve(Image(MASK, GRID), c, c, fit, 1.0, (), "automatic") for c in (artery, vein)]
    series = Series(np.zeros((times.size, *GRID.shape), np.int16), times, GRID)
    return [series, Bolus(10.5, 10, artery / artery.max(), 0.05, 300.0, 0.0), curves, *vascular]


def checks(**changes):
    """Judge the good scan after replacing some of its parts by name."""
    names = ["series", "bolus", "curves", "artery", "vein"]
    settings = changes.pop("settings", Settings())
    parts = dict(zip(names, good(changes.pop("times", None)), strict=True))
    for name, change in changes.items():
        parts[name] = change(parts[name]) if callable(change) else change
    return *judge(*parts.values(), settings=settings), judge_noise(parts["curves"])


def doubts(**changes):
    return [check for check in checks(**changes) if check.doubtful]


def only(**changes):
    found = doubts(**changes)
    assert len(found) == 1, found
    return found[0]


def with_confidence(confidence):
    """Change an artery into one that was found with a confidence."""

    def changed(artery):
        best = Candidate(MASK, artery.curve_hu, artery.fit, 1.0, 0.5, "left; beside bone", confidence=confidence)
        return replace(artery, candidates=(best,))

    return changed


def beside_a_later_artery(narrower=1.3, later_s=2.0, signal_to_noise=100.0, error=0.01):
    """Change an artery into the best of two candidates, the other so many times as narrow and so much later."""

    def changed(artery):
        own = artery.fit
        fit = replace(own, rise_s=own.rise_s / narrower, error=error)
        fit = replace(fit, onset_s=own.peak_s + later_s - fit.rise_s)
        traits = Traits("left", signal_to_noise, 40.0, 0.0, 0.0, 5.0, 1.0)
        one, other = (Candidate(MASK, artery.curve_hu, of, 1.0, 0.5, "left", traits, 0.8) for of in (own, fit))
        return replace(artery, candidates=(one, other))

    return changed


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({}, "warn"),
        ({"narrower": 1.13, "later_s": 1.1}, "warn"),
        ({"narrower": 1.1}, "pass"),  # as wide as noise makes it
        ({"later_s": 0.9}, "pass"),  # as much later as noise makes it
        ({"later_s": -3.0}, "pass"),  # it is the input that has been on its way
        ({"signal_to_noise": 20.0}, "pass"),
        ({"error": 0.02}, "pass"),
    ],
)
def test_an_input_that_is_wider_than_a_later_artery_is_doubted(other, status):
    """A bolus only becomes wider on its way: such an input is a mixture."""
    found = {check.name: check for check in checks(artery=beside_a_later_artery(**other))}["AIF quality"]
    assert found.status == status
    if not other:
        assert "1.30 times as wide as an artery that peaks 2.0 s later" in found.text and found.value > 1.29


def measured(change):
    """Change what was measured of a curve."""
    return lambda curve: replace(curve, measured_hu=change(curve.measured_hu))


def scaled(factor):
    """Scale a curve, measured and deconvolved."""
    return lambda curve: replace(curve, measured_hu=factor * curve.measured_hu, curve_hu=factor * curve.curve_hu)


UNEVEN = np.concatenate([np.arange(0.0, 40.0, 1.5), np.arange(40.5, 90.0, 3.0)])
#: What makes each check doubtful, and how much; on the good scan with a confident artery all pass.
DOUBTFUL = {
    "bolus arrival": ("fail", {"bolus": lambda bolus: replace(bolus, baseline_frames=1)}),
    "baseline": ("warn", {"bolus": lambda bolus: replace(bolus, baseline_frames=3)}),
    "time after arrival": ("warn", {"bolus": lambda bolus: replace(bolus, arrival_s=45.0)}),
    "sampling": ("warn", {"times": UNEVEN}),
    "frame interval": ("warn", {"times": np.arange(0.0, 100.0, 5.0)}),
    "noise": ("warn", {"curves": lambda curves: replace(curves, noise=np.full(40, 20.0, np.float32))}),
    "coverage": ("warn", {"curves": lambda curves: replace(curves, mask=MASK & (np.arange(10) < 5)[:, None, None])}),
    "AIF signal": ("fail", {"artery": measured(lambda hu: 0.1 * hu + np.resize((20.0, -20.0), hu.size))}),
    "AIF quality": ("warn", {"artery": with_confidence(0.2)}),
    "AIF height": ("warn", {"artery": measured(lambda hu: 0.1 * hu)}),
    "AIF tail": ("warn", {"times": np.arange(24.0)}),
    "AIF fit": ("warn", {"artery": lambda artery: replace(artery, fit=None)}),
    "AIF before tissue": ("warn", {"artery": measured(lambda hu: np.roll(hu, 12))}),
    "VOF found": ("warn", {"vein": None}),
    "VOF quality": ("fail", {"vein": measured(lambda hu: -hu)}),
    "VOF tail": ("warn", {"times": np.arange(24.0)}),
    "bolus strength": ("warn", {"artery": scaled(0.2), "vein": scaled(0.2)}),
    "partial volume": ("warn", {"artery": lambda artery: replace(artery, partial_volume_factor=8.0)}),
    "method": ("warn", {"settings": Settings(method="sSVD")}),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_each_check_is_doubtful_where_it_is_due_and_passes_on_a_good_scan(name):
    status, changes = DOUBTFUL[name]
    assert {check.name: check.status for check in checks(**changes)}[name] == status
    passed = {check.name: check for check in checks(artery=with_confidence(0.8))}[name]
    assert passed.status == "pass"
    assert passed.text.endswith(".") and not passed.text[0].islower()


def later(curve, delay_s):
    """Return a curve so many s later."""
    return measured(lambda hu: np.interp(np.arange(hu.size) - delay_s, np.arange(hu.size), hu))(curve)


def tissue_before(time_s):
    """Return an artery whose curve is the mean of tissue, so many s earlier."""
    _, _, curves, artery, _ = good()
    tissue = curves.coefficients.mean(axis=0) @ curves.basis
    return later(replace(artery, measured_hu=20.0 * tissue), -time_s)


def ending_at(share):
    """Change a curve into one that falls no further than to a share of its peak."""
    return measured(lambda hu: np.where(np.arange(hu.size) < hu.argmax(), hu, np.maximum(hu, share * hu.max())))


def with_peak(peak_hu):
    return lambda curve: scaled(peak_hu / curve.measured_hu.max())(curve)


def with_gain(gain):
    """A vein of so many times the area of the artery."""
    artery, vein = good()[3:]
    return measured(lambda hu: gain / fit_transit(artery.measured_hu, vein.measured_hu, np.arange(70.0)).gain * hu)


def with_filled(filled):
    """Change a vein into one that fills so much of its voxels."""
    return lambda vein: replace(
        vein, candidates=(Candidate(MASK, vein.curve_hu, vein.fit, 1.0, 0.5, "midline", filled=filled),)
    )


def noisy(sd_hu, left_hu):
    """Change curves into such of so much noise, and of so much after denoising."""
    noise, sd = (np.full(40, one, np.float32) for one in (0.6745 * sd_hu, left_hu))
    return lambda curves: replace(curves, noise=noise, sd=sd)


#: Name of a check, what is just good enough for it, and what is not any more.
JUST = [
    ("bolus arrival", {"bolus": (lambda bolus, one: replace(bolus, falling_share=one), 0.049, 0.051)}),
    ("bolus arrival", {"bolus": (lambda bolus, one: replace(bolus, baseline_frames=one), 2, 1)}),
    ("baseline", {"bolus": (lambda bolus, one: replace(bolus, baseline_frames=one), 4, 3)}),
    ("noise", {"curves": (lambda curves, one: noisy(one, 9.0)(curves), 11.9, 12.1)}),
    ("noise", {"curves": (lambda curves, one: noisy(20.0, one)(curves), 1.79, 1.81)}),
    ("AIF quality", {"artery": (lambda artery, one: with_confidence(one)(artery), 0.31, 0.29)}),
    ("AIF height", {"artery": (lambda artery, one: with_peak(one)(artery), 40.5, 39.5)}),
    ("AIF signal", {"artery": (lambda artery, one: with_peak(one)(artery), 990.0, 1010.0)}),
    ("AIF tail", {"artery": (lambda artery, one: ending_at(one)(artery), 0.39, 0.41)}),
    ("AIF before tissue", {"artery": (lambda _, one: tissue_before(one), 1.1, 0.9)}),
    ("VOF quality", {"vein": (lambda _, one: later(good()[3], one), 1.0, 0.5)}),
    ("VOF quality", {"vein": (lambda vein, one: with_gain(one)(vein), 0.91, 0.89)}),
    ("VOF tail", {"vein": (lambda vein, one: ending_at(one)(vein), 0.34, 0.36)}),
    ("partial volume", {"vein": (lambda vein, one: with_filled(one)(vein), 0.89, 0.87)}),
    ("partial volume", {"artery": (lambda artery, one: replace(artery, partial_volume_factor=one), 5.8, 6.01)}),
]


@pytest.mark.parametrize(("name", "changed"), JUST, ids=[f"{name}-{one[next(iter(one))][2]}" for name, one in JUST])
def test_each_check_begins_to_doubt_at_its_number(name, changed):
    ((part, (change, enough, too_little)),) = changed.items()
    for value, doubtful in ((enough, False), (too_little, True)):
        found = {check.name: check for check in checks(**{part: lambda old, one=value: change(old, one)})}[name]
        assert found.doubtful == doubtful, found


@pytest.mark.parametrize(("artery_hu", "vein_hu", "status"), [(79, 78, "warn"), (81, 60, "pass"), (60, 81, "pass")])
def test_a_bolus_is_weak_where_neither_artery_nor_vein_reaches_80_hu(artery_hu, vein_hu, status):
    found = {check.name: check for check in checks(artery=with_peak(artery_hu), vein=with_peak(vein_hu))}
    assert found["bolus strength"].status == status


@pytest.mark.parametrize("name", DOUBTFUL)
def test_every_run_tells_of_every_check_once(name):
    assert sorted(check.name for check in checks(**DOUBTFUL[name][1])) == sorted(DOUBTFUL)


def test_what_could_not_be_looked_at_is_not_applicable_with_the_reason():
    without = {check.name: check for check in checks(vein=None)}
    unknown = {name for name, check in without.items() if check.status == "not applicable"}
    assert unknown == {"AIF quality", "VOF quality", "VOF tail", "bolus strength", "partial volume"}
    assert without["VOF tail"].text == "No vein was found."
    early = {check.name: check for check in checks(bolus=lambda bolus: replace(bolus, falling_share=0.2))}
    assert early["baseline"].status == "not applicable"
    assert {check.status for check in motion_unknown("not applicable", "It is off.")} == {"not applicable"}


def test_worst_first_keeps_the_order_within_a_status():
    mixed = [Check(str(k), status, "") for k, status in enumerate(("pass", "warn", "not applicable", "fail", "warn"))]
    assert [check.name for check in worst_first(mixed)] == ["3", "1", "4", "0", "2"]


def moved(*displacements_mm, corrected=(), left_out=()):
    """Motion of frames by so many mm along z."""
    index = np.arange(len(displacements_mm))
    shifts = np.outer(displacements_mm, (0.0, 0.0, 1.0))
    turns = np.tile(np.eye(3), (index.size, 1, 1))
    told = (np.isin(index, corrected), np.isin(index, left_out))
    return Motion(index.astype(float), turns, shifts, np.zeros(3), np.array(displacements_mm, dtype=float), *told)


@pytest.mark.parametrize(
    ("motion", "statuses"),
    [
        (moved(0.0, 0.4), ["pass", "pass"]),
        (moved(0.0, 3.0, corrected=[1]), ["warn", "pass"]),
        (moved(0.0, 40.0, left_out=[1]), ["pass", "warn"]),
        (moved(0.0, 40.0, corrected=[1]), ["warn", "warn"]),
    ],
)
def test_motion_warns_where_frames_were_moved_or_moved_too_far(motion, statuses):
    found = judge_motion(motion, settings=Settings())
    assert [check.name for check in found] == ["motion", "motion limit"]
    assert [check.status for check in found] == statuses


@pytest.mark.parametrize(("moved_mm", "status"), [(0.2, "pass"), (0.5, "warn")])
def test_a_still_head_whose_frames_were_resampled_by_wish_is_none_that_moved(moved_mm, status):
    found = judge_motion(moved(0.0, moved_mm, corrected=[1]), settings=Settings(motion="on"))[0]
    assert found.status == status and ("may be off" in found.text) == (status == "warn")
    assert status == "warn" or "motion=on" in found.text


@pytest.mark.parametrize(("share", "statuses"), [(0.99, ["pass", "pass"]), (1.01, ["pass", "warn"])])
def test_frames_beyond_the_limit_of_the_settings_are_counted(share, statuses):
    chosen = Settings(motion_limit_mm=8.0)
    found = judge_motion(moved(0.0, 8.0 * share, 8.0 * share), settings=chosen)
    assert [check.status for check in found] == statuses
    assert share < 1.0 or "2 of 3 frames moved by more than 8 mm: kept" in found[1].text


def test_standard_svd_is_a_warning():
    assert "sSVD depends on delay" in only(settings=Settings(method="sSVD")).text


def test_noise_instead_of_an_artery_is_invalid():
    noise = np.abs(np.random.default_rng(0).normal(0.0, 20.0, 70))
    found = doubts(artery=lambda artery: replace(artery, measured_hu=noise))
    assert any(finding.status == "fail" and "no bolus" in finding.text for finding in found)


def test_a_vein_with_less_area_than_the_artery_is_told_and_one_without_area_is_invalid():
    assert "diluted itself" in only(vein=lambda vein: replace(vein, measured_hu=0.3 * vein.measured_hu)).text
    found = doubts(vein=lambda vein: replace(vein, measured_hu=-vein.measured_hu))
    assert "fail" in {finding.status for finding in found}


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_maps_without_positive_flow_and_volume_are_invalid(value):
    image = Image(np.full(GRID.shape, value, dtype=np.float32), GRID, "mL/100 g")
    good = Image(np.full(GRID.shape, 6.0, dtype=np.float32), GRID, "mL/100 g")
    brain = Image(MASK, GRID)
    assert [check.status for check in judge_maps(Maps(good, good, good, good, good), brain)] == ["pass", "pass"]
    for name, maps in (("CBF", Maps(image, good, good, good, good)), ("CBV", Maps(good, image, good, good, good))):
        (failed,) = (check for check in judge_maps(maps, brain) if check.status == "fail")
        assert failed.name == f"plausible {name}" and name in failed.text


@pytest.mark.parametrize(
    ("cbf", "cbv", "doubted"),
    [
        (45, 3, []),
        (4, 3, ["CBF"]),
        (5.1, 0.51, []),
        (4.9, 0.49, ["CBF", "CBV"]),
        (149, 11.9, []),
        (151, 12.1, ["CBF", "CBV"]),
    ],
)
def test_flow_and_volume_of_no_brain_are_doubted(cbf, cbv, doubted):
    """A curve in tenths of a HU, or of another scan, makes them ten times too large or small."""
    flow, volume = (Image(np.full(GRID.shape, value, dtype=np.float32), GRID, "mL/100 g") for value in (cbf, cbv))
    found = judge_maps(Maps(flow, volume, flow, flow, flow), Image(MASK, GRID))
    assert [check.name for check in found if check.status == "warn"] == [f"plausible {name}" for name in doubted]
    assert all("Check AIF and VOF, and the HU" in check.text for check in found if check.status == "warn")


def test_a_flow_of_thousands_is_written_in_full():
    flow = Image(np.full(GRID.shape, 5872.3, dtype=np.float32), GRID, "mL/100 g/min")
    found, _ = judge_maps(Maps(flow, flow, flow, flow, flow), Image(MASK, GRID))
    assert "is 5,872 mL/100 g/min; 5 to 150" in found.text


@pytest.mark.parametrize(("factor", "status"), [(0.01, "fail"), (1.0, None), (10.0, "warn")])
def test_arterial_curves_lower_or_higher_than_blood_can_be_are_told(factor, status):
    """Without noise, as an average or a table in another unit is."""
    found = {check.name: check for check in doubts(artery=scaled(factor))}
    assert (found["AIF signal"].status if status else found.get("AIF signal")) == status


def test_a_vein_that_nothing_was_scaled_to_is_not_said_to_have_been():
    """Whether its shape fits or not, and where it ends in mid-bolus."""
    short = {"times": np.arange(24.0)}
    for change in (lambda hu: 0.3 * hu, lambda hu: 0.02 * np.roll(hu, -7)):
        found = {check.name: check for check in checks(vein=measured(change), **short)}
        assert "nothing was scaled to it, and CBF and CBV may be too high" in found["VOF quality"].text
        assert found["partial volume"].status == "not applicable"
        tail = found["VOF tail"]
        assert "factor" not in tail.text and ("; nothing was scaled to it" in tail.text) == (tail.status == "warn")


@pytest.mark.parametrize(
    ("width_s", "frames", "needed"), [(9.0, 37, None), (4.0, 37, None), (15.0, 41, None), (15.0, 39, "29")]
)
def test_a_wide_bolus_needs_more_scan_after_its_arrival(width_s, frames, needed):
    times = np.arange(float(frames))
    hu = bolus_curve(times, arrival_s=10.0, width_s=width_s, peak_hu=300.0, recirculation=0.0)
    found = checks(times=times, artery=lambda artery: replace(artery, curve_hu=hu))
    (check,) = [one for one in found if one.name == "time after arrival"]
    assert check.status == ("warn" if needed else "pass")
    assert needed is None or "is wide (15 s) and the scan short: 28 s of scan" in check.text
    assert needed is None or f"at least {needed} s are needed" in check.text


@pytest.mark.parametrize(("frames", "status"), [(37, "pass"), (35, "warn")])
def test_a_narrow_bolus_needs_25_s_after_its_arrival_as_well(frames, status):
    times = np.arange(float(frames))
    hu = bolus_curve(times, arrival_s=10.0, width_s=4.0, peak_hu=300.0, recirculation=0.0)
    found = checks(times=times, artery=lambda artery: replace(artery, curve_hu=hu))
    assert {check.name: check.status for check in found}["time after arrival"] == status


@pytest.mark.parametrize(("sd_s", "status"), [(0.55, "pass"), (0.62, "warn"), (0.65, "warn")])
def test_delays_too_uncertain_to_find_late_tissue_are_told(sd_s, status):
    """Of tissue alone: fluid hardly enhances."""
    image = Image(np.ones(GRID.shape, dtype=np.float32), GRID, "s")
    inside = np.zeros(GRID.shape, dtype=bool)
    inside[:2] = True
    sd = np.where(inside, sd_s, 5.0).astype(np.float32)
    maps = Maps(image, image, image, image, image, sd={"delay": Image(sd, GRID, "s")})
    (check,) = judge_timing(maps, Image(inside, GRID))
    assert check.name == "timing" and check.status == status and check.value == pytest.approx(sd_s)
    assert f"uncertain by {sd_s:.2f} s" in check.text  # not "0.6 s, more than 0.6 s"
    assert judge_timing(replace(maps, sd={}), Image(inside, GRID)) == ()


@pytest.mark.parametrize(
    ("odds", "mtt_s", "status", "change"),
    [(-4.7, 6.0, "pass", 0.0), (-4.5, 5.4, "pass", 1 - 4.0 / 5.4), (-4.5, 5.6, "warn", 1 - 4.0 / 5.6)],
)
def test_shapes_of_the_residue_that_are_possible_too_are_told(odds, mtt_s, status, change):
    """At odds of 1:100; with another transit time flow is another, and the farthest is told, not the likeliest."""
    shapes = {"exponential": (0.0, 4.0), "gamma-1.5": (2.0, 4.1), "gamma-2": (odds, mtt_s), "box": (-9.0, 8.0)}
    fit = ResidueFit("exponential", {n: o for n, (o, _) in shapes.items()}, {n: m for n, (_, m) in shapes.items()})
    (check,) = judge_residue(fit)
    assert check.name == "residue shape" and check.status == status
    assert check.value == pytest.approx(max(change, 1 - 4.0 / 4.1))
    assert ("gamma-2 is one of 2 other" in check.text) == (change > 0.0) and "box" not in check.text
    assert f"{1.0 - check.value:.2f} times as large" in check.text
    assert judge_residue(None) == ()
    (alone,) = judge_residue(replace(fit, log_odds=dict.fromkeys(shapes, -9.0)))
    assert alone.status == "pass" and alone.value == 0.0
    assert all(one.text.startswith("Exponential; ") for one in (check, alone))


def test_the_shape_that_changes_flow_most_is_told_whichever_way():
    """0.735 is farther in the logarithm, 1.33 is more than 27 % off."""
    fit = ResidueFit("gamma-2", dict.fromkeys(("gamma-2", "gamma-5", "exponential"), 0.0),
                     {"gamma-2": 4.0, "gamma-5": 4.0 / 0.735, "exponential": 4.0 / 1.33})  # fmt: skip
    (check,) = judge_residue(fit)
    assert check.status == "warn" and "exponential is one of 2 other" in check.text


@pytest.mark.parametrize(("odds", "status"), [(9.1, "pass"), (9.3, "warn")])
def test_a_longer_tail_than_that_of_the_maps_is_doubt_where_it_is_ten_thousand_times_more_probable(odds, status):
    """Whatever it does to flow, for it may be still longer."""
    fit = ResidueFit("exponential", {"exponential": 0.0, "gamma-0.7": odds}, {"exponential": 4.8, "gamma-0.7": 4.0})
    (check,) = judge_residue(fit)
    assert check.status == status and check.value == pytest.approx(0.2) and "1.20 times as large" in check.text


def test_a_good_scan_raises_no_doubt():
    assert doubts() == []


def test_contrast_in_the_first_frames_is_invalid():
    finding = only(bolus=lambda bolus: replace(bolus, baseline_frames=1))
    assert (finding.status, finding.value) == ("fail", 1)
    assert "at least 2 frames before its arrival are needed; found 1." in finding.text


def test_vessels_that_are_brighter_at_the_start_than_at_the_end_are_invalid():
    """The "baseline" was contrast already."""
    finding = only(bolus=lambda bolus: replace(bolus, falling_share=0.2))
    assert finding.status == "fail" and "20 % of the vessels" in finding.text
    assert "at least 2 frames" not in finding.text  # there are ten


def test_a_short_baseline_is_a_warning():
    finding = only(bolus=lambda bolus: replace(bolus, baseline_frames=3))
    assert (finding.status, finding.value) == ("warn", 3)


def test_uneven_times_are_told():
    finding = only(times=UNEVEN)
    assert finding.status == "warn" and "1.5 to 3 s" in finding.text and finding.value == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        ((10, 14), "Between 10 and 14 s, in the arterial first pass"),
        ((7, 11), "Between 7 and 11 s"),
        ((19, 24), "Between 19 and 24 s"),
        ((10, 13), ""),
        ((6, 10), ""),
        ((30, 40), ""),
    ],
)
def test_a_gap_in_the_arterial_first_pass_is_told_with_its_place(gap, told):
    """Which arrives at 10.5 s and has fallen to its half at 20 s: with 5 s flow is two thirds of the truth."""
    times = np.arange(70.0)
    times = times[(times <= gap[0]) | (times >= gap[1])]
    text = next(one.text for one in checks(times=times) if one.name == "sampling")
    assert (told in text) if told else "first pass" not in text


@pytest.mark.parametrize("method", get_args(DeconvolutionMethod))
def test_uneven_times_are_interpolated_by_methods_that_need_even_ones_alone(method):
    text = next(one.text for one in checks(times=UNEVEN, settings=Settings(method=method)) if one.name == "sampling")
    assert ("interpolated linearly to the shortest interval" in text) == (method in LINEAR)
    assert ("model of tissue is sampled when the scan was" in text) == (method not in (*LINEAR, "max-slope"))
    assert "1.5 to 3 s" in text


@pytest.mark.parametrize("method", LINEAR)
def test_a_bias_removed_from_frames_three_seconds_apart_is_doubted(method):
    corrected = Settings(method=method, correction="simulation")
    for step_s, chosen, told in (
        (3.0, corrected, True),
        (2.9, corrected, False),
        (3.0, Settings(method=method), False),
    ):
        times = np.arange(0.0, 90.0, step_s)
        found = {check.name: check for check in checks(times=times, settings=chosen)}["method"]
        assert ("is not removed rightly from frames every 3 s" in found.text) == told
        assert (found.status == "warn") == (told or method == "sSVD")
        assert ("depends on delay" in found.text) == (method == "sSVD") or found.status == "pass"


def test_long_intervals_are_a_warning():
    found = doubts(times=np.arange(0.0, 100.0, 5.0))
    assert [(f.status, f.value) for f in found] == [("warn", 5.0)]
    assert "Frames every 5 s" in found[0].text and "4 s" in found[0].text


def test_high_noise_is_a_warning():
    finding = only(curves=lambda curves: replace(curves, noise=np.full(40, 20.0, np.float32)))
    assert finding.status == "warn" and "Noise of 29.7 HU" in finding.text
    assert "share it" not in finding.text


@pytest.mark.parametrize(("left", "status"), [(1.0, "pass"), (2.2, "warn")])
def test_noise_of_small_pixels_that_denoising_takes_is_no_doubt(left, status):
    """They are noisier, and more of them are averaged."""
    noise, sd = np.full(40, 20.0, np.float32), np.full(40, left, np.float32)
    found = checks(curves=lambda curves: replace(curves, noise=noise, sd=sd))
    (told,) = (check for check in found if check.name == "noise")
    assert told.status == status
    assert f"Noise of 29.7 HU, {left:.1f} HU after denoising" in told.text


def test_noise_that_frames_share_is_told_with_its_cause():
    found = checks(curves=lambda curves: replace(curves, frames_alike=0.67))
    (told,) = (check for check in found if check.name == "noise")
    assert told.status == "pass" and "share it (correlation 0.67)" in told.text and "interpolation" in told.text


def test_a_large_partial_volume_factor_is_told_where_noise_may_hide_it():
    """A factor of 5.5 is below the limit of 6, but not within the noise of an artery of 50 HU."""
    noise = np.random.default_rng(0).normal(0.0, 6.0, 70)
    for added, status in ((0.0, "pass"), (noise, "warn")):
        small = replace(good()[3], measured_hu=good()[3].measured_hu / 6.0 + added, partial_volume_factor=5.5)
        assert {check.name: check.status for check in checks(artery=small)}["partial volume"] == status


def test_a_vein_without_a_middle_of_blood_is_a_warning_with_consequence_and_cure():
    """Both vessels are diluted alike, so their ratio, in the factor, tells nothing."""
    told = only(vein=with_filled(0.75), artery=lambda artery: replace(artery, partial_volume_factor=1.5))
    assert (told.name, told.status) == ("partial volume", "warn")
    for words in ("1.50 ± 0.50", "75 % of the middle", "CBF and CBV may be too large by 33 %", "a wider vein"):
        assert words in told.text
    wide = {check.name: check for check in checks(vein=with_filled(0.98))}["partial volume"]
    assert wide.status == "pass" and "1.00 ± 0.02" in wide.text
    assert not doubts(vein=with_filled(float("nan")))


def test_a_weak_artery_is_a_warning():
    finding = only(artery=lambda artery: replace(artery, measured_hu=0.1 * artery.measured_hu))
    assert finding.status == "warn" and finding.value == pytest.approx(30.0, rel=0.01)


def test_a_scan_that_stops_too_early_is_a_warning():
    found = doubts(times=np.arange(24.0))
    assert [f.status for f in found] == ["warn", "warn", "warn"]
    assert "The scan ends soon after the bolus: 12 s of scan follow its arrival at 10 s" in found[0].text
    assert "arterial curve ends at" in found[1].text and "late tissue may look ischemic" in found[1].text
    assert "venous curve ends at" in found[2].text and "with extrapolated areas" in found[2].text


@pytest.mark.parametrize(("last", "told"), [(27, True), (28, False)])
def test_a_scan_that_shows_hardly_the_first_pass_is_told_to_make_healthy_tissue_wrong(last, told):
    """With 16.5 s after the arrival, and with 17.5 s."""
    text = next(one.text for one in checks(times=np.arange(last + 1.0)) if one.name == "time after arrival")
    assert "late and slow tissue are doubtful" in text
    assert ("CBF and CBV of healthy tissue may be 1.7 times the truth" in text) == told


@pytest.mark.parametrize(("arrival_s", "status"), [(60.5, "fail"), (59.5, "warn")])
def test_a_scan_that_ends_before_a_usual_first_pass_is_over_is_refused(arrival_s, status):
    """With 8.5 s after the arrival, and with 9.5 s."""
    found = checks(bolus=lambda bolus: replace(bolus, arrival_s=arrival_s))
    assert {check.name: check.status for check in found}["time after arrival"] == status


def test_a_bolus_that_comes_late_is_a_warning_and_one_with_time_to_pass_is_none():
    finding = only(bolus=lambda bolus: replace(bolus, arrival_s=45.0))
    assert finding.status == "warn" and finding.value == 24.0 and "at least 25 s are needed" in finding.text
    assert doubts(bolus=lambda bolus: replace(bolus, arrival_s=44.0)) == []


@pytest.mark.parametrize(("slices", "severity"), [(3, "warn"), (5, "warn"), (9, None)])
def test_thin_slabs_are_told_with_their_thickness(slices, severity):
    """Of 10 slices of 9 mm so many hold brain."""
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1 : 1 + slices] = True
    found = doubts(curves=lambda curves: replace(curves, mask=mask))
    assert [finding.status for finding in found] == ([severity] if severity else [])
    assert all(finding.text.startswith(f"{9 * slices} mm of brain") for finding in found)


@pytest.mark.parametrize(("slices", "status", "thin"), [(10, "pass", False), (9, "warn", False), (4, "warn", True)])
def test_eighty_mm_of_brain_are_asked_for_and_forty_may_hold_no_artery(slices, status, thin):
    grid = Geometry((20, 20, 10), (5.0, 5.0, 8.0))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[:slices] = True
    series = Series(np.zeros((70, *grid.shape), np.int16), np.arange(70.0), grid)
    found = {check.name: check for check in checks(series=series, curves=lambda one: replace(one, mask=mask))}[
        "coverage"
    ]
    assert found.status == status and ("no feeding artery" in found.text) == thin
    assert found.text.startswith(f"{8 * slices} mm of brain, {80 * slices} mL, are covered")


def test_forty_mm_of_brain_are_no_slab_without_an_artery():
    grid = Geometry((2, 2, 10), (1.0, 1.0, 4.0))
    series = Series(np.zeros((70, *grid.shape), np.int16), np.arange(70.0), grid)
    assert "artery" not in only(series=series).text


@pytest.mark.parametrize(("missed", "status"), [(0.049, "pass"), (0.051, "warn")])
def test_curves_that_miss_those_of_tissue_by_more_than_a_twentieth_are_told(missed, status):
    (check,) = judge_fit(ResidueFit("exponential", {"exponential": 0.0}, {"exponential": 4.0}, missed=missed))
    assert (check.name, check.status, check.value) == ("curve fit", status, missed)
    assert judge_fit(None) == ()


def test_coverage_is_from_feet_to_head_however_the_scan_is_stored():
    upright = Geometry((10, 2, 2), (9.0, 1.0, 1.0), direction=(0, 1, 0, 0, 0, 1, 1, 0, 0))
    series = Series(np.zeros((70, *upright.shape), np.int16), np.arange(70.0), upright)
    mask = np.zeros(upright.shape, dtype=bool)
    mask[..., :3] = True
    (finding,) = doubts(series=series, curves=lambda curves: replace(curves, mask=mask))
    assert finding.value == 27.0


def test_an_arterial_curve_that_peaks_after_the_tissue_is_a_warning():
    vein = good()[4].measured_hu
    late = np.roll(vein, 6)
    found = doubts(artery=lambda artery: replace(artery, measured_hu=late, curve_hu=late))
    assert any("an artery comes first" in finding.text for finding in found)


def test_an_arterial_curve_that_peaks_with_the_tissue_is_a_warning():
    curves = good()[2]
    tissue = curves.coefficients.mean(axis=0) @ curves.basis
    (found,) = (
        check for check in checks(artery=measured(lambda hu: 3.0 * tissue)) if check.name == "AIF before tissue"
    )
    assert found.status == "warn" and found.value == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(("confidence", "doubted"), [(0.2, True), (0.4, False)])
def test_an_artery_of_low_confidence_is_a_warning_with_the_reason(confidence, doubted):
    found = doubts(artery=with_confidence(confidence))
    assert bool(found) == doubted
    assert all(f.status == "warn" and "confidence 0.20 of 1 (left; beside bone)" in f.text for f in found)


def test_a_weak_bolus_is_told_from_partial_volume():
    """Where the vein, which is wider than a voxel, is weak too, the injection was weak."""
    assert only(artery=scaled(0.2), vein=scaled(0.2)).text.startswith("Weak bolus: blood enhances by 60 HU")


def test_a_vein_that_is_the_artery_and_one_that_is_another_curve_are_warnings():
    assert "it may be an artery" in only(vein=good()[3]).text
    other = np.sin(np.arange(70.0)) ** 2 * 200.0
    found = doubts(vein=lambda vein: replace(vein, measured_hu=other))
    assert any("not the arterial one after its way" in finding.text for finding in found)


def test_an_artery_without_a_fit_is_a_warning():
    assert "AIF mask" in only(artery=lambda artery: replace(artery, fit=None)).text


def test_a_missing_vein_is_a_warning():
    finding = only(vein=None)
    assert finding.status == "warn" and "partial volume of the arterial input is not corrected" in finding.text


def test_a_large_partial_volume_factor_is_a_warning():
    finding = only(artery=lambda artery: replace(artery, partial_volume_factor=8.0))
    assert finding.status == "warn" and finding.value == 8.0


def test_units_stand_with_their_numbers():
    found = doubts(
        bolus=lambda bolus: replace(bolus, baseline_frames=1),
        curves=lambda curves: replace(curves, noise=np.full(40, 20.0, np.float32)),
        artery=lambda artery: replace(
            artery, measured_hu=0.1 * artery.measured_hu, fit=None, partial_volume_factor=8.0
        ),
    )
    told = {"bolus arrival": "2 frames", "noise": "29.7 HU", "AIF height": "30 HU (usual: above 40)"}
    texts = {check.name: check.text for check in found}
    assert set(texts) == {*told, "AIF fit", "partial volume"}
    assert [name for name, words in told.items() if words not in texts[name]] == []
    for text in texts.values():
        assert text.endswith(".") and text[0].isupper()


@pytest.mark.parametrize(("voxels", "expected"), [(5, False), (6, True), (9, True)])
def test_too_little_tissue_is_a_warning_and_hardly_any_invalid(voxels, expected):
    grid = Geometry((10, 1, 1), (10.0, 10.0, 10.0))
    brain = np.ones((1, 1, 10), bool)
    csf, vessels, bone = np.zeros((3, 1, 1, 10), bool)
    csf[..., : voxels - 2] = vessels[..., -1] = bone[..., -2] = True
    masks = [Image(values, grid) for values in (brain, csf, vessels, bone)]
    found = judge_tissue(*masks, settings=Settings())
    assert found.doubtful == expected
    assert (found.status == "fail") == (voxels == 9)
    if voxels == 6:
        assert "Only 40 % of the brain mask is tissue, at least 50 % is expected" in found.text
        assert "takes 4 mL, large vessels 1 mL, what shares bone (above 100 HU) 1 mL" in found.text


@pytest.mark.parametrize(("left", "status"), [(51, "pass"), (49, "warn"), (21, "warn"), (19, "fail")])
def test_half_of_a_brain_is_tissue_and_with_less_than_a_fifth_nothing_holds(left, status):
    grid = Geometry((100, 1, 1), (10.0, 10.0, 10.0))
    nothing, csf = np.zeros((1, 1, 100), bool), np.arange(100)[None, None] >= left
    masks = [Image(values, grid) for values in (~nothing, csf, nothing, nothing)]
    assert judge_tissue(*masks, settings=Settings()).status == status


def skull(opened=(), left_out=(), metal=(), cut=()):
    return Skull(*(np.isin(np.arange(10), chosen) for chosen in (opened, left_out, metal, cut)))


def test_a_skull_that_was_open_is_told_with_its_slices_and_what_to_do():
    found = judge_skull(skull(opened=(3, 4, 5)), GRID)
    assert (found.name, found.status, found.value) == ("skull", "warn", 3.0)
    assert "open in 3 of 10 slices (S 27 mm to S 45 mm)" in found.text
    for advice in ("step 3", "correct it", "--mask"):
        assert advice in found.text


def test_slices_of_the_head_without_a_mask_are_told_before_those_that_were_closed():
    found = judge_skull(skull(opened=(3,), left_out=(4, 5)), GRID)
    assert (found.status, found.value) == ("warn", 3.0)
    assert found.text.startswith("2 of 10 slices (S 36 mm to S 45 mm) lie in the head and have no mask")
    assert "The skull is open in 1 of 10 slices (S 27 mm);" in found.text


def test_slices_in_which_the_image_ends_in_the_brain_are_told_first():
    found = judge_skull(skull(opened=(3,), cut=(5, 6)), GRID)
    assert (found.status, found.value) == ("warn", 3.0)
    assert found.text.startswith("The image ends in the brain in 2 of 10 slices (S 45 mm to S 54 mm)")
    assert "wider field of view" in found.text and "The skull is open in 1 of 10 slices" in found.text


def test_a_whole_skull_passes_and_that_around_the_users_mask_is_not_looked_at():
    assert judge_skull(skull(), GRID).status == "pass"
    assert judge_skull(None, GRID).status == "not applicable"


def test_metal_is_told_with_its_slices_and_what_its_streaks_do():
    found = judge_metal(skull(metal=(3, 4, 5)), GRID)
    assert (found.name, found.status, found.value) == ("metal", "warn", 3.0)
    assert "metal in 3 of 10 slices (S 27 mm to S 45 mm)" in found.text and "CSF, bone or clotted blood" in found.text
    assert (judge_metal(skull(), GRID).status, judge_metal(None, GRID).status) == ("pass", "not applicable")


def test_a_skull_that_was_taken_off_before_is_told():
    found = judge_skull(replace(skull(), stripped=True), GRID)
    assert (found.name, found.status) == ("skull", "not applicable")
    assert "taken off before" in found.text and "step 3" in found.text


def test_an_image_that_ends_in_a_brain_without_its_skull_is_told_too():
    found = judge_skull(replace(skull(cut=(5, 6)), stripped=True), GRID)
    assert found.status == "warn" and "taken off before" in found.text
    assert found.text.startswith("The image ends in the brain in 2 of 10 slices (S 45 mm to S 54 mm)")


@pytest.mark.parametrize(("columns", "side"), [((0, 3), "on the patient's right"), ((7, 10), "on the patient's left")])
def test_hyperdense_parts_are_told_with_volume_side_slices_and_what_they_mean(columns, side):
    grid = Geometry((10, 10, 10), (10.0, 10.0, 5.0))
    brain, dense = np.ones((2, *grid.shape), dtype=bool)
    dense[:] = False
    dense[4:6, 4, slice(*columns)] = True
    found = judge_hyperdense(Image(dense, grid), Image(brain, grid))
    assert (found.name, found.status, found.value) == ("hyperdensity", "warn", 3.0)
    for part in ("3.0 mL", side, "2 of 10 slices (S 20 mm to S 25 mm)", "mean nothing", "lesions may include them"):
        assert part in found.text
    nothing = judge_hyperdense(Image(np.zeros_like(dense), grid), Image(brain, grid))
    assert (nothing.status, nothing.value) == ("pass", 0.0)


def ranged(hu, grid=GRID, dtype=np.int16):
    """Judge the range of a scan whose first voxel has some HU, and of whose vessels the first few voxels are."""
    times = np.arange(70.0)
    values = np.random.default_rng(0).normal(40.0, 6.0, (times.size, *grid.shape)).astype(dtype)
    values[:, 1, 0, 0] = 40 + bolus_curve(times, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.0)
    values[:, 0] = 1000  # bone
    vessel = np.zeros(grid.shape, dtype=bool)
    vessel[1, 0, 0] = True
    artery = replace(good()[3], mask=Image(vessel, grid))
    return judge_range(Series(np.minimum(values, hu), times, grid), artery, None)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize(
    ("hu", "status", "words"),
    [
        (2000, "pass", "more than 500 HU"),
        (600, "pass", "more than 500 HU"),
        (400, "warn", "Where blood with contrast agent was brighter: flow is wrong"),
        (300, "fail", "Values are cut at 300 HU"),
        (80, "fail", "Blood with contrast agent is brighter: flow is wrong. Export the scan uncut."),
    ],
)
def test_values_that_a_window_cut_are_told(hu, status, words, dtype):
    """What brain and vessels were in an export of 0 to 80 HU no other check said."""
    check = ranged(hu, dtype=dtype)
    assert (check.name, check.status) == ("HU range", status) and words in check.text
    if status != "pass":
        assert check.value == hu and re.search(r"shows: [0-9,]{3,} are just that, none is more", check.text)


def test_the_peak_of_a_scan_without_bone_and_noise_is_not_cut():
    times = np.arange(70.0)
    grid = Geometry((20, 20, 1), (1.0, 1.0, 5.0))
    bolus = bolus_curve(times, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.0)
    values = np.broadcast_to(bolus[:, None, None, None], (times.size, *grid.shape)).astype(np.float32)
    artery = replace(good()[3], mask=Image(np.ones(grid.shape, dtype=bool), grid))
    check = judge_range(Series(values, times, grid), artery, None)
    assert check.status == "pass" and "298 HU, and are not cut" in check.text


@pytest.mark.parametrize(("end_hu", "status"), [(90, "fail"), (145, "fail"), (155, "warn")])
def test_blood_is_brighter_than_a_low_end_wherever_it_is(end_hu, status):
    """Cut voxels are no bolus, so that the artery is sought among diluted ones, which are below the end."""
    vessel = Image(np.zeros(GRID.shape, dtype=bool), GRID)
    series = replace(good()[0], values=np.full((70, *GRID.shape), end_hu, np.int16))
    assert judge_range(series, replace(good()[3], mask=vessel), None).status == status


def test_a_vein_that_is_cut_makes_flow_wrong_as_an_artery_does():
    values = np.random.default_rng(0).normal(40.0, 6.0, (70, *GRID.shape)).astype(np.int16)
    values[:, 1:, :, :1] = 200
    masks = [np.zeros(GRID.shape, dtype=bool), np.zeros(GRID.shape, dtype=bool)]
    masks[0][0], masks[1][5, 0, 0] = True, True
    artery, vein = (replace(one, mask=Image(mask, GRID)) for one, mask in zip(good()[3:], masks, strict=True))
    series = replace(good()[0], values=values)
    assert [judge_range(series, artery, one).status for one in (None, vein)] == ["warn", "fail"]


@pytest.mark.parametrize(
    ("shape", "values", "frames", "status"),
    [
        ((10, 2, 20, 20), 99, 3, "pass"),
        ((10, 2, 20, 20), 101, 3, "warn"),
        ((10, 2, 20, 20), 101, 2, "pass"),
        ((20, 4, 300, 300), 140, 3, "pass"),  # two in 100,000 are 144
        ((20, 4, 300, 300), 150, 3, "warn"),
    ],
)
def test_values_are_cut_where_so_many_in_so_many_frames_are_the_largest(shape, values, frames, status):
    hu, grid = np.full(shape, 40, np.int16), Geometry(shape[:0:-1], (1.0, 1.0, 5.0))
    for frame in range(frames):
        hu[frame].ravel()[frame:values:frames] = 200
    vessel = Image(np.zeros(grid.shape, dtype=bool), grid)
    check = judge_range(Series(hu, np.arange(float(len(hu))), grid), replace(good()[3], mask=vessel), None)
    assert np.count_nonzero(hu == 200) == values and check.status == status
