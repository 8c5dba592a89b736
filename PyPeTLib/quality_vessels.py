"""Checks of artery and vein: is each what it is taken for, seen to its end, and undiluted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from PyPeTLib.checks import Check
from PyPeTLib.curves import area_weights, end_share, own_noise, peak_time_s
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Curves, Transit, VascularCurve
from PyPeTLib.settings import Settings
from PyPeTLib.transit import WORST_ERROR, fit_transit
from PyPeTLib.typeset import percent, typeset

#: Blood that is not diluted enhances by more than this, in HU, after a usual injection.
WEAK_BOLUS_HU = 80.0
#: Confidence in the arterial input below which it is doubted.
LOW_CONFIDENCE = 0.3
#: A bolus only becomes wider on its way: an input so many times as wide as an artery that peaks so many s later, that
#: fits as well and of so much signal, holds the blood of several. No head of Testing/benchmarks/inputs.py has such one.
WIDER, LATER_S, GOOD_SIGNAL = 1.12, 1.0, 30.0
#: Blood needs at least so long from artery to vein, in s.
LEAST_TRANSIT_S = 1.0
#: An artery peaks at least so long before the tissue that it feeds, in s: blood takes longer through the tissue.
LEAST_LEAD_S = 1.0
#: Venous and arterial curves should have fallen below these shares of their peaks at the end of the scan.
COMPLETE_VEIN, COMPLETE_ARTERY = 0.35, 0.4
#: A measured arterial peak below this, in HU, is mostly partial volume and noise.
WEAK_ARTERY_HU = 40.0
#: Partial-volume factors beyond this rest on very little artery; so many SDs of its noise below it is likely beyond.
LARGE_FACTOR = 6.0
LIKELY = 2.0
#: A peak below this many standard deviations of the curve's own noise is no bolus.
LEAST_SIGNAL = 5.0
#: Blood enhances by no more than this, in HU.
MOST_PEAK_HU = 1000.0
#: A vein of less than this share of the arterial area is diluted more than the artery.
SMALL_VEIN = 0.9
#: A vein that fills less of its voxels than this has no middle of pure blood: of round ones that are full there to 0.97
#: the fall to their neighbours tells as much, and of 9 mm in pixels of 3.2 mm 0.94.
LEAST_FILLED = 0.88
#: What a vein without enough area means.
UNSCALED = "nothing was scaled to it, and CBF and CBV may be too high"
#: Checks that need a vein beside that of its quality.
OF_VEIN = ("VOF tail", "bolus strength", "partial volume")


def judge_artery(
    artery: VascularCurve, curves: Curves, times_s: FloatArray, *, settings: Settings
) -> tuple[Check, ...]:
    """Return the checks of the arterial input: a bolus of blood that comes before the tissue that it feeds.

    Parameters
    ----------
    artery : VascularCurve
        The arterial input, its fit and its candidates.
    curves : Curves
        Those of the brain; their mean says when tissue peaks.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``minimum_enhancement_hu``.

    Returns
    -------
    tuple of Check
        Signal, quality, height, tail, fit and order, one of each name.
    """
    return (
        _artery_signal(artery, area_weights(times_s), settings.minimum_enhancement_hu),
        _artery_quality(artery),
        _artery_height(artery),
        _artery_tail(artery),
        _artery_fit(artery),
        _artery_order(artery, curves, times_s),
    )


def judge_vein(artery: VascularCurve, vein: VascularCurve | None, times_s: FloatArray) -> Iterator[Check]:
    """Yield the checks of the vein, and of the bolus and the partial volume that only a vein tells.

    Parameters
    ----------
    artery, vein : VascularCurve
        A vein of None: none was found, which is a doubt of its own.
    times_s : ndarray, shape (t,)
        Acquisition times in s.

    Yields
    ------
    Check
        Every check of the vein once, "not applicable" with the reason where the curve does not allow it.
    """
    if vein is None:
        text = "No vein found: partial volume of the arterial input is not corrected, CBF and CBV may be too high."
        yield Check("VOF found", "warn", text)
        yield from _without_vein(("VOF quality", *OF_VEIN), "No vein was found.")
        return
    yield Check("VOF found", "pass", f"The venous output peaks at {vein.measured_hu.max():.0f} HU.")
    weights = area_weights(times_s)
    areas = float((vein.measured_hu @ weights) / (artery.measured_hu @ weights))
    transit = fit_transit(artery.measured_hu, vein.measured_hu, times_s)
    if areas <= 0 or transit is None:
        text = f"The venous area is {typeset(f'{areas:.2g}')} times the arterial one. Check the VOF {_kind(vein)}."
        yield Check("VOF quality", "fail", text, areas)
        yield from _without_vein(OF_VEIN, "The venous curve is that of no vein.")
        return
    small = (transit.gain if transit.error <= WORST_ERROR else areas) < SMALL_VEIN
    yield _vein_quality(vein, transit, areas)
    yield _vein_tail(vein, transit, areas, small=small)
    yield _strength(artery, vein)
    yield _partial_volume(artery, vein, small=small)


def _artery_signal(artery: VascularCurve, weights: FloatArray, least_hu: float) -> Check:
    peak, noise = _peak_and_noise(artery)
    high_hu = max(least_hu, LEAST_SIGNAL * noise)
    if artery.measured_hu @ weights <= 0 or peak < high_hu:
        found = f"its peak of {peak:.3g} HU is below {high_hu:.3g}" if peak < high_hu else "its area is negative"
        text = f"The arterial curve is no bolus: {found} (noise {noise:.1f} HU). Check the AIF {_kind(artery)}."
        return Check("AIF signal", "fail", text, peak)
    if peak > MOST_PEAK_HU:
        text = f"Blood with contrast agent enhances by less than {MOST_PEAK_HU:,.0f} HU; found an arterial peak of "
        return Check("AIF signal", "warn", f"{text}{peak:,.0f} HU. Check the unit of the AIF {_kind(artery)}.", peak)
    return Check("AIF signal", "pass", f"The arterial peak of {peak:.0f} HU rises above {noise:.1f} HU of noise.", peak)


def _artery_quality(artery: VascularCurve) -> Check:
    """Return the confidence in an artery that was found automatically."""
    if not artery.candidates:
        return Check("AIF quality", "not applicable", f"The arterial input is that of the {artery.source}.")
    best = artery.candidates[0]
    if best.refused:
        text = f"The arterial input is a cluster that was refused: {best.reason}. Mark an artery."
        return Check("AIF quality", "fail", text)
    if best.confidence < LOW_CONFIDENCE:
        text = f"Doubtful arterial input, confidence {best.confidence:.2f} of 1 ({best.reason}). Look at it; mark a "
        return Check("AIF quality", "warn", text + "better artery if there is one.", best.confidence)
    narrower = _narrower_later(artery)
    if narrower is not None:
        times, later_s = narrower
        text = f"The arterial input is {times:.2f} times as wide as an artery that peaks {later_s:.1f} s later, and a "
        text += "bolus only becomes wider on its way: it holds blood of several arteries, and flow may be too high."
        return Check("AIF quality", "warn", f"{text} Mark a single artery.", times)
    text = f"Confidence in the arterial input {best.confidence:.2f} of 1 ({best.reason})."
    return Check("AIF quality", "pass", text, best.confidence)


def _narrower_later(artery: VascularCurve) -> tuple[float, float] | None:
    """Return how many times as wide as a later artery the input is, and by how many s that peaks later.

    Of several such arteries the narrowest counts; None where none is clearly narrower and later, as it should be.
    """
    best = artery.candidates[0].fit
    if artery.fit is None or best is None:
        return None
    found = [
        (artery.fit.width_s / one.fit.width_s, one.fit.peak_s - artery.fit.peak_s)
        for one in artery.candidates[1:]
        if not one.refused
        and one.fit is not None
        and one.fit.error <= best.error
        and one.traits is not None
        and one.traits.signal_to_noise >= GOOD_SIGNAL
    ]
    return max((one for one in found if one[0] >= WIDER and one[1] >= LATER_S), default=None)


def _artery_height(artery: VascularCurve) -> Check:
    peak = float(artery.measured_hu.max())
    if peak < WEAK_ARTERY_HU:
        text = f"Weak arterial input: a measured peak of {peak:.0f} HU (usual: above {WEAK_ARTERY_HU:g}), partial "
        return Check("AIF height", "warn", text + "volume.", peak)
    return Check("AIF height", "pass", f"Measured arterial peak of {peak:.0f} HU.", peak)


def _artery_tail(artery: VascularCurve) -> Check:
    end = end_share(artery.measured_hu)
    text = f"The arterial curve ends at {percent(end)} of its peak"
    if end > COMPLETE_ARTERY:
        return Check("AIF tail", "warn", f"{text}: late tissue may look ischemic.", end)
    return Check("AIF tail", "pass", f"{text}.", end)


def _artery_fit(artery: VascularCurve) -> Check:
    if artery.fit is None:
        text = f"No gamma-variate fits the arterial curve: check the AIF {_kind(artery)}."
        return Check("AIF fit", "warn", text)
    error = artery.fit.error
    text = f"A gamma-variate fits the arterial first pass to {percent(error, 1)} of its peak."
    return Check("AIF fit", "pass", text, error)


def _artery_order(artery: VascularCurve, curves: Curves, times_s: FloatArray) -> Check:
    """Return whether the arterial input comes before the tissue that it feeds."""
    tissue = curves.coefficients.mean(axis=0, dtype=float) @ curves.basis
    if not tissue.max() > 0:
        return Check("AIF before tissue", "not applicable", "The mean of the brain does not enhance.")
    artery_s, tissue_s = (peak_time_s(curve, times_s) for curve in (artery.measured_hu, tissue))
    text = f"The arterial curve peaks at {artery_s:.3g} s, the mean of the brain at {tissue_s:.3g} s"
    if tissue_s - artery_s < LEAST_LEAD_S:
        text += f": an artery comes first, by {LEAST_LEAD_S:g} s or more. Check the AIF {_kind(artery)}."
        return Check("AIF before tissue", "warn", text, artery_s - tissue_s)
    return Check("AIF before tissue", "pass", f"{text}.", artery_s - tissue_s)


def _without_vein(names: Iterable[str], reason: str) -> Iterator[Check]:
    for name in names:
        yield Check(name, "not applicable", reason)


def _vein_quality(vein: VascularCurve, transit: Transit, areas: float) -> Check:
    """Return whether the vein is the artery after its way through the brain."""
    later_s = transit.delay_s + transit.mtt_s
    later = typeset(f"{later_s:.1f}")
    if transit.error > WORST_ERROR:
        rests = f"partial volume rests on the ratio of areas, {areas:.2f}"
        rests += f": {UNSCALED}" if areas < SMALL_VEIN else ""
        text = "The venous curve is not the arterial one after its way through the brain "
        text += f"({percent(transit.error)} of its peak unexplained): {rests}. Check the VOF {_kind(vein)}."
        return Check("VOF quality", "warn", text, transit.error)
    if later_s < LEAST_TRANSIT_S:
        text = f"The venous curve follows the arterial one by {later} s only: it may be an artery. Check the VOF "
        return Check("VOF quality", "warn", f"{text}{_kind(vein)}.", later_s)
    if transit.gain < SMALL_VEIN:
        text = f"The vein has {transit.gain:.2f} times the area of the artery: it is diluted itself, {UNSCALED}."
        return Check("VOF quality", "warn", text, transit.gain)
    text = f"The venous curve follows the arterial one by {later} s, {percent(transit.error)} of its peak unexplained."
    return Check("VOF quality", "pass", text, transit.error)


def _vein_tail(vein: VascularCurve, transit: Transit, areas: float, *, small: bool) -> Check:
    end = end_share(vein.measured_hu)
    text = f"The venous curve ends at {percent(end)} of its peak"
    if end > COMPLETE_VEIN and small:
        return Check("VOF tail", "warn", f"{text}; {UNSCALED}.", end)
    if end > COMPLETE_VEIN:
        text += ": partial volume rests on what was seen of it and a model of its way through the brain "
        text += f"(factor {transit.gain:.2f}; with extrapolated areas: {areas:.2f})."
        return Check("VOF tail", "warn", text, end)
    return Check("VOF tail", "pass", f"{text}.", end)


def _strength(artery: VascularCurve, vein: VascularCurve) -> Check:
    full = max(float(artery.curve_hu.max()), float(vein.measured_hu.max()))
    if full < WEAK_BOLUS_HU:
        text = f"Weak bolus: blood enhances by {full:.0f} HU (usual: above {WEAK_BOLUS_HU:g}); noise weighs more."
        return Check("bolus strength", "warn", text, full)
    return Check("bolus strength", "pass", f"Blood enhances by {full:.0f} HU.", full)


def _partial_volume(artery: VascularCurve, vein: VascularCurve, *, small: bool) -> Check:
    """Return whether the artery fills enough of its voxels, and the vein, to which it is scaled, its own.

    The factor is as uncertain as the arterial peak, and as what the vein is diluted by. A ``small`` vein, of less area
    than the artery, tells nothing of it.
    """
    factor = artery.partial_volume_factor
    if small:
        text = "The vein has less area than the artery: it tells nothing of the artery's partial volume."
        return Check("partial volume", "not applicable", text)
    peak, noise = _peak_and_noise(artery)
    uncertain = factor * noise / peak if peak > 0 else 0.0
    filled = vein.candidates[0].filled if vein.candidates else float("nan")
    lost = 1.0 / filled - 1.0 if np.isfinite(filled) else 0.0
    text = f"Partial-volume factor of {factor:.2f} ± {np.hypot(uncertain, factor * lost):.2f}"
    if filled < LEAST_FILLED:
        text += f": the vein is narrow for the pixels, about {percent(filled)} of the middle is blood, and CBF and CBV "
        text += f"may be too large by {percent(lost)}. Give mask or curve of a wider vein, as where the sinuses meet."
        return Check("partial volume", "warn", text, factor)
    if factor + LIKELY * uncertain > LARGE_FACTOR:
        text += f" (usual: below {LARGE_FACTOR:g}): the artery fills little of its voxels."
        return Check("partial volume", "warn", text, factor)
    return Check("partial volume", "pass", f"{text}.", factor)


def _peak_and_noise(artery: VascularCurve) -> tuple[float, float]:
    """Return the measured peak and the SD of the curve's own noise, in HU."""
    return float(artery.measured_hu.max()), own_noise(artery.measured_hu)


def _kind(curve: VascularCurve) -> str:
    """Return what the user would check: the mask, the points it was grown from, or the curve itself."""
    return {"user's curve": "curve", "user's points": "points"}.get(curve.source, "mask")
