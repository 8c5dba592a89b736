"""Quality checks of scan and result: each has a name, and passes, warns or fails, and says so with its number.

Here are those of bolus, sampling, coverage and method, `quality_vessels` has those of artery and vein,
`quality_frames` those of motion, values, drift and noise, `quality_maps` those of maps and brain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import numpy as np

from PyPeTLib.checks import Check, Status
from PyPeTLib.curves import LEAST_AFTER_ARRIVAL_S, LONG_INTERVAL_S, UNEVEN_SHARE
from PyPeTLib.geometry import FloatArray
from PyPeTLib.quality_vessels import judge_artery, judge_vein
from PyPeTLib.records import Bolus, Curves, VascularCurve
from PyPeTLib.scan import Series
from PyPeTLib.settings import LINEAR, DeconvolutionMethod, Settings
from PyPeTLib.typeset import percent

#: The time that has to follow the arrival is that for a first pass of this full width at half maximum in s. With a
#: wider one peak and fall of slow tissue come later by so many times what it is wider.
USUAL_WIDTH_S, LATER_WIDTHS = 9.0, 0.7
#: With less scan than this after the arrival, in s, not only late tissue suffers (`Testing/benchmarks/patients.py`,
#: "scan of 22 s", "scan of 26 s"): with 13 s healthy tissue has 1.2 to 1.4 times the true flow and 1.7 times the blood,
#: with 17 s about the true ones. A scan that is over before a usual first pass would be (`USUAL_WIDTH_S`) has no maps.
HARDLY_ANY_S = 17.0
#: Fewer baseline frames than this cannot be averaged: the bolus was there from the start.
FEWEST_BASELINE_FRAMES = 2
#: A baseline this short, in frames, still leaves its noise in every curve.
SHORT_BASELINE_FRAMES = 4
#: In a scan that begins before the bolus no vessel is brighter in the first frame than at the end; some leeway.
FALLING_SHARE = 0.05
#: A slab thinner than this in mm is told; one thinner than the second may hold neither artery nor vein.
FULL_COVERAGE_MM, THIN_SLAB_MM = 80.0, 40.0
#: What becomes of uneven times: only a matrix needs even ones; ...
UNEVEN: dict[DeconvolutionMethod, str] = {
    **dict.fromkeys(LINEAR, "curves are interpolated linearly to the shortest interval for deconvolution"),
    "max-slope": "slopes are those of curves interpolated by cubic splines",
}
#: ... a model of tissue has a value at any time.
MODELLED = "the model of tissue is sampled when the scan was"
#: A gap as long as this in s may hide height or onset of a first pass: with 5 s about the peak flow of healthy tissue
#: is 6 to 13 % lower or higher than without (`Testing/benchmarks/patients.py`, "no frame between ...").
GAP_S = 3.5
#: Frames so far apart, in s, leave the simulated bias of a linear method wrong: of a head with frames every 3 s flow
#: comes out 0.8 (sSVD) to 1.2 times (bSVD, oSVD, tikhonov) the truth.
UNCORRECTED_S = 3.0


def judge(
    series: Series,
    bolus: Bolus,
    curves: Curves,
    artery: VascularCurve,
    vein: VascularCurve | None,
    *,
    settings: Settings,
) -> tuple[Check, ...]:
    """Return the checks of bolus, sampling, coverage, vascular curves and method, one of each name.

    Status "fail" means that the data allow no trustworthy result, "warn" doubt.
    """
    steps_s = np.diff(series.times_s)
    return (
        _arrival(bolus),
        _baseline(bolus),
        _after_arrival(series, bolus, artery),
        _sampling(series.times_s, bolus, artery, settings.method),
        _interval(steps_s),
        _coverage(series, curves),
        *judge_artery(artery, curves, series.times_s, settings=settings),
        *judge_vein(artery, vein, series.times_s),
        _method(steps_s, settings),
    )


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Return checks in the order of their status, those of one status in the order they have."""
    order = get_args(Status)
    return sorted(checks, key=lambda check: order.index(check.status))


def _arrival(bolus: Bolus) -> Check:
    """Return whether the scan begins before the contrast agent arrives."""
    faults = []
    if bolus.baseline_frames < FEWEST_BASELINE_FRAMES:
        faults.append(
            f"at least {FEWEST_BASELINE_FRAMES} frames before its arrival are needed; found {bolus.baseline_frames}"
        )
    if bolus.falling_share > FALLING_SHARE:
        faults.append(
            "vessels must not be brighter in the first frame than at the end; found "
            f"{percent(bolus.falling_share)} of the vessels that are (frames may be out of order, or the head moved)"
        )
    if faults:
        text = f"Contrast agent is there from the start of the scan: {', and '.join(faults)}."
        return Check("bolus arrival", "fail", text, bolus.baseline_frames)
    text = f"The scan begins before the bolus, which arrives at {bolus.arrival_s:.1f} s."
    return Check("bolus arrival", "pass", text, bolus.baseline_frames)


def _baseline(bolus: Bolus) -> Check:
    frames = bolus.baseline_frames
    if _arrival(bolus).status == "fail":
        return Check("baseline", "not applicable", "Contrast agent is there from the start of the scan.", frames)
    if frames < SHORT_BASELINE_FRAMES:
        text = f"Short baseline: {frames} frames before the bolus; their noise is in every curve."
        return Check("baseline", "warn", text, frames)
    return Check("baseline", "pass", f"{frames} frames before the bolus.", frames)


def _after_arrival(series: Series, bolus: Bolus, artery: VascularCurve) -> Check:
    """Return whether enough of the scan follows the arrival: a wide bolus takes longer to pass."""
    after_s = float(series.times_s[-1]) - bolus.arrival_s
    width_s = _width_s(series.times_s, artery.curve_hu)
    needed_s = LEAST_AFTER_ARRIVAL_S + LATER_WIDTHS * max(width_s - USUAL_WIDTH_S, 0.0)
    if after_s < needed_s:
        why = "The scan ends soon after the bolus"
        if after_s >= LEAST_AFTER_ARRIVAL_S:
            why = f"The bolus is wide ({width_s:.0f} s) and the scan short"
        text = f"{why}: {after_s:.0f} s of scan follow its arrival at {bolus.arrival_s:.0f} s, at least "
        text += f"{needed_s:.0f} s are needed; volumes, late and slow tissue are doubtful"
        text += ", and CBF and CBV of healthy tissue may be 1.7 times the truth." if after_s < HARDLY_ANY_S else "."
        return Check("time after arrival", "fail" if after_s < USUAL_WIDTH_S else "warn", text, after_s)
    return Check("time after arrival", "pass", f"{after_s:.0f} s of scan follow the arrival.", after_s)


def _width_s(times_s: FloatArray, hu: FloatArray) -> float:
    """Return for how long a curve is above half of its peak, in s; frames are joined by straight lines."""
    fine_s = 0.1
    between = np.arange(times_s[0], times_s[-1], fine_s)
    return fine_s * int(np.count_nonzero(np.interp(between, times_s, hu) >= 0.5 * hu.max()))


def _sampling(times_s: FloatArray, bolus: Bolus, artery: VascularCurve, method: DeconvolutionMethod) -> Check:
    """Return whether frames are evenly spaced, and where not, whether the arterial first pass lies in a gap."""
    steps_s = np.diff(times_s)
    longest = float(steps_s.max())
    if np.ptp(steps_s) <= UNEVEN_SHARE * steps_s.mean():
        return Check("sampling", "pass", "Frames are evenly spaced.", longest)
    text = f"Uneven sampling, {steps_s.min():.3g} to {longest:.3g} s: {UNEVEN.get(method, MODELLED)}."
    peak = int(artery.curve_hu.argmax())
    fallen = artery.curve_hu[peak:] < 0.5 * artery.curve_hu[peak]
    end_s = times_s[peak + int(fallen.argmax())] if fallen.any() else times_s[-1]
    gaps = (steps_s > GAP_S) & (times_s[1:] > bolus.arrival_s) & (times_s[:-1] < end_s)
    if gaps.any():
        first = int(gaps.argmax())
        text += (
            f" Between {times_s[first]:.3g} and {times_s[first + 1]:.3g} s, in the arterial first pass, there is no "
            "frame: height and onset of the input are not known, and flow, times and lesions are doubtful."
        )
    return Check("sampling", "warn", text, longest)


def _interval(steps_s: FloatArray) -> Check:
    usual = float(np.median(steps_s))
    if usual > LONG_INTERVAL_S:
        text = f"Frames every {usual:.3g} s do not resolve the first pass: {LONG_INTERVAL_S:g} s are needed."
        return Check("frame interval", "warn", text, usual)
    return Check("frame interval", "pass", f"Frames every {usual:.3g} s.", usual)


def _coverage(series: Series, curves: Curves) -> Check:
    """Return how thick the slab of brain is, from feet to head."""
    axis = series.geometry.slice_axis
    others = tuple(k for k in range(3) if k != 2 - axis)
    covered = float(curves.mask.any(axis=others).sum() * series.geometry.spacing_mm[axis])
    volume = float(curves.mask.sum()) * series.geometry.voxel_volume_ml
    text = f"{covered:.0f} mm of brain, {volume:.0f} mL, are covered from feet to head"
    if covered >= FULL_COVERAGE_MM:
        return Check("coverage", "pass", f"{text}.", covered)
    text += f" ({FULL_COVERAGE_MM:g} mm are usual): what lies above and below is not seen"
    text += ", and so thin a slab may hold no feeding artery." if covered < THIN_SLAB_MM else "."
    return Check("coverage", "warn", text, covered)


def _method(steps_s: FloatArray, settings: Settings) -> Check:
    usual, doubts = float(np.median(steps_s)), []
    if settings.method == "sSVD":
        doubts.append("sSVD depends on delay: its Tmax is no delay-insensitive one and late tissue has too low a CBF.")
    if settings.bias_removed and usual >= UNCORRECTED_S:
        doubts.append(
            f"The bias of {settings.method} is not removed rightly from frames every {usual:.3g} s (less than "
            f"{UNCORRECTED_S:g} s are needed): flow and times are doubtful. Take correction=none or method=bayesian."
        )
    if doubts:
        return Check("method", "warn", " ".join(doubts))
    return Check("method", "pass", f"The method, {settings.method}, does not depend on delay.")
