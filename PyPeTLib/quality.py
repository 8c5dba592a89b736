"""What the user should know about scan and result: each doubt a finding, with its number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from PyPeTLib.curves import area_weights, end_share, robust_sd
from PyPeTLib.records import Bolus, Curves, Finding, FloatArray, Image, Maps, Motion, Series, VascularCurve
from PyPeTLib.settings import Settings
from PyPeTLib.transit import WORST_ERROR, fit_transit

#: Fewer baseline frames than this cannot be averaged: the bolus was there from the start.
FEWEST_BASELINE_FRAMES = 2
#: A baseline this short, in frames, still leaves its noise in every curve.
SHORT_BASELINE_FRAMES = 4
#: In a scan that begins before the bolus no vessel is brighter in the first frame than at the end; some leeway.
FALLING_SHARE = 0.05
#: Fewer seconds of scan than this after the arrival do not hold first pass and transit.
LEAST_AFTER_ARRIVAL_S = 25.0
#: A slab thinner than this in mm is told; one thinner than the second may hold neither artery nor vein.
FULL_COVERAGE_MM, THIN_SLAB_MM = 80.0, 40.0
#: Blood that is not diluted enhances by more than this, in HU, after a usual injection.
WEAK_BOLUS_HU = 80.0
#: Confidence in the arterial input below which it is doubted.
LOW_CONFIDENCE = 0.3
#: Blood needs at least so long from artery to vein, in s.
LEAST_TRANSIT_S = 1.0
#: Venous and arterial curves should have fallen below these shares of their peaks at the end of the scan.
COMPLETE_VEIN, COMPLETE_ARTERY = 0.35, 0.4
#: A measured arterial peak below this, in HU, is mostly partial volume and noise.
WEAK_ARTERY_HU = 40.0
#: Partial-volume factors beyond this rest on very little artery.
LARGE_FACTOR = 6.0
#: A peak below this many standard deviations of the curve's own noise is no bolus.
LEAST_SIGNAL = 5.0
#: A vein of less than this share of the arterial area is diluted more than the artery.
SMALL_VEIN = 0.9
#: Frames further apart than this do not resolve a first pass, in s.
LONG_INTERVAL_S = 4.0
#: A brain mask is at least this share tissue; CSF is a fifth of it, a third where the brain is atrophic.
LEAST_TISSUE = 0.5
#: Noise above this, in HU a voxel and frame, makes maps of single voxels doubtful.
HIGH_NOISE_HU = 12.0


def judge(
    series: Series,
    bolus: Bolus,
    curves: Curves,
    artery: VascularCurve,
    vein: VascularCurve | None,
    *,
    settings: Settings,
) -> tuple[Finding, ...]:
    """Return the findings on sampling, baseline, bolus, noise, coverage, vascular curves and method.

    Severity "invalid" means that the data allow no trustworthy result, "warning" doubt, "info" a fact to know.
    """
    weights = area_weights(series.times_s)
    return (
        *_on_time(series, bolus),
        *_on_noise(curves),
        *_on_coverage(series, curves),
        *_on_artery(artery, weights),
        *_on_order(artery, curves, series.times_s),
        *_on_vein(artery, vein, series.times_s),
        *_on_method(settings),
    )


def judge_motion(motion: Motion, *, settings: Settings) -> tuple[Finding, ...]:
    """Return what is to be known of motion: nothing where none was corrected or left out."""
    moved, largest = motion.displacement_mm, float(motion.displacement_mm.max())
    found = []
    if motion.corrected.any():
        text = (
            f"The head moved by up to {largest:.1f} mm and {motion.largest_turn_degrees:.1f}°: "
            f"{motion.corrected.sum()} of {moved.size} frames were resampled to the position of the first; brain "
            "beside bone or at the ends of the scan that not every frame shows is left out of the mask."
        )
        found.append(Finding("info", text, largest))
    beyond = moved > settings.motion_limit_mm
    if beyond.any():
        done = "left out" if motion.left_out.any() else "kept (motion_beyond=leave-out does without them)"
        text = f"{beyond.sum()} of {moved.size} frames moved by more than {settings.motion_limit_mm:g} mm: {done}."
        found.append(Finding("warning", text, float(beyond.sum())))
    return tuple(found)


def judge_tissue(brain: Image, csf: Image, vessels: Image, *, settings: Settings) -> tuple[Finding, ...]:
    """Return a warning where CSF and large vessels leave too little tissue: its HU or CBV are not those of a brain."""
    left = 1.0 - (csf.volume_ml + vessels.volume_ml) / brain.volume_ml
    if left >= LEAST_TISSUE:
        return ()
    text = (
        f"Only {left:.0%} of the brain mask is tissue, at least {LEAST_TISSUE:.0%} is expected: CSF (below "
        f"{settings.csf_hu:g} HU) takes {csf.volume_ml:,.0f} mL, large vessels {vessels.volume_ml:,.0f} mL; medians "
        "are doubtful. Check the HU of the scan, csf_hu and the arterial input."
    )
    return (Finding("warning", text, left),)


def judge_maps(maps: Maps, brain: Image) -> tuple[Finding, ...]:
    """Return what is wrong with the maps as a whole: flow and volume of a brain are positive."""
    found = []
    for name, image in (("CBF", maps.cbf), ("CBV", maps.cbv)):
        median = float(np.nanmedian(image.values[brain.values]))
        if not median > 0:
            text = (
                f"The median {name} of the brain is {median:.3g} {image.unit}; it must be positive. Check AIF and VOF."
            )
            found.append(Finding("invalid", text, median))
    return tuple(found)


def _on_time(series: Series, bolus: Bolus) -> Iterator[Finding]:
    if bolus.baseline_frames < FEWEST_BASELINE_FRAMES or bolus.falling_share > FALLING_SHARE:
        yield Finding(
            "invalid",
            f"Contrast agent is there from the start of the scan: at least {FEWEST_BASELINE_FRAMES} frames before its "
            f"arrival are needed; found {bolus.baseline_frames}, and {bolus.falling_share:.0%} of the vessels are "
            "brighter in the first frame than at the end (or the head has moved).",
            bolus.baseline_frames,
        )
    elif bolus.baseline_frames < SHORT_BASELINE_FRAMES:
        text = f"Short baseline: {bolus.baseline_frames} frames before the bolus; their noise is in every curve."
        yield Finding("warning", text, bolus.baseline_frames)
    after_s = float(series.times_s[-1]) - bolus.arrival_s
    if after_s < LEAST_AFTER_ARRIVAL_S:
        text = f"The bolus comes late: {after_s:.0f} s of scan follow its arrival at {bolus.arrival_s:.0f} s, at least "
        text += f"{LEAST_AFTER_ARRIVAL_S:g} s are needed; volumes and late tissue are doubtful."
        yield Finding("warning", text, after_s)
    steps = np.diff(series.times_s)
    if np.ptp(steps) > 0.01 * steps.mean():
        text = f"Uneven sampling, {steps.min():.3g} to {steps.max():.3g} s: curves are interpolated for deconvolution."
        yield Finding("info", text, float(steps.max()))
    if np.median(steps) > LONG_INTERVAL_S:
        text = f"Frames every {np.median(steps):.3g} s do not resolve the first pass: {LONG_INTERVAL_S:g} s are needed."
        yield Finding("warning", text, float(np.median(steps)))


def _on_noise(curves: Curves) -> Iterator[Finding]:
    noise = robust_sd(curves.noise)
    if noise > HIGH_NOISE_HU:
        yield Finding("warning", f"Noise of {noise:.1f} HU (usual: 4 to 9): maps of single voxels are doubtful.", noise)


def _on_coverage(series: Series, curves: Curves) -> Iterator[Finding]:
    """Yield how thick the slab of brain is, along the grid axis that runs most from feet to head."""
    axis = int(np.argmax(np.abs(series.geometry.axes[2])))
    others = tuple(k for k in range(3) if k != 2 - axis)
    covered = float(curves.mask.any(axis=others).sum() * series.geometry.spacing_mm[axis])
    if covered < FULL_COVERAGE_MM:
        volume = float(curves.mask.sum()) * series.geometry.voxel_volume_ml
        text = f"Coverage: {covered:.0f} mm of brain, {volume:.0f} mL, from feet to head ({FULL_COVERAGE_MM:g} mm are "
        text += "usual): what lies above and below is not seen"
        thin = covered < THIN_SLAB_MM
        text += ", and so thin a slab may hold no feeding artery." if thin else "."
        yield Finding("warning" if thin else "info", text, covered)


def _on_order(artery: VascularCurve, curves: Curves, times_s: FloatArray) -> Iterator[Finding]:
    """Yield a doubt where the arterial input does not come before the tissue that it feeds."""
    tissue = curves.coefficients.mean(axis=0, dtype=float) @ curves.basis
    if not tissue.max() > 0:
        return
    artery_s, tissue_s = (float(times_s[np.argmax(curve)]) for curve in (artery.measured_hu, tissue))
    if artery_s > tissue_s:
        text = f"The arterial curve peaks at {artery_s:.3g} s, the mean of the brain at {tissue_s:.3g} s: an artery "
        text += f"comes first. Check the AIF {_kind(artery)}."
        yield Finding("warning", text, artery_s - tissue_s)


def _on_artery(artery: VascularCurve, weights: FloatArray) -> Iterator[Finding]:
    peak = float(artery.measured_hu.max())
    noise = robust_sd(np.diff(artery.measured_hu, n=2)) / float(np.sqrt(6.0))
    if artery.measured_hu @ weights <= 0 or peak < LEAST_SIGNAL * noise:
        text = f"The arterial curve is no bolus: its peak is {peak:.0f} HU, its noise {noise:.1f} HU. "
        text += f"Check the AIF {_kind(artery)}."
        yield Finding("invalid", text, peak)
    if artery.candidates and artery.candidates[0].refused:
        text = f"The arterial input is a cluster that was refused: {artery.candidates[0].reason}. Mark an artery."
        yield Finding("invalid", text, None)
    elif artery.candidates and artery.candidates[0].confidence < LOW_CONFIDENCE:
        best = artery.candidates[0]
        text = f"Doubtful arterial input, confidence {best.confidence:.2f} of 1 ({best.reason}). Look at it; mark a "
        text += "better artery if there is one."
        yield Finding("warning", text, best.confidence)
    if peak < WEAK_ARTERY_HU:
        text = (
            f"Weak arterial input: a measured peak of {peak:.0f} HU (usual: above {WEAK_ARTERY_HU:g}), partial volume."
        )
        yield Finding("warning", text, peak)
    end = end_share(artery.measured_hu)
    if end > COMPLETE_ARTERY:
        text = f"The arterial curve ends at {end:.0%} of its peak: late tissue may look ischemic."
        yield Finding("warning", text, end)
    if artery.fit is None:
        yield Finding("warning", f"No gamma-variate fits the arterial curve: check the AIF {_kind(artery)}.", None)


def _on_method(settings: Settings) -> Iterator[Finding]:
    if settings.method == "sSVD":
        text = "sSVD depends on delay: its Tmax is no delay-insensitive one and late tissue has too low a CBF."
        yield Finding("warning", text, None)


def _on_vein(artery: VascularCurve, vein: VascularCurve | None, times_s: FloatArray) -> Iterator[Finding]:
    if vein is None:
        text = "No vein found: partial volume of the arterial input is not corrected, CBF and CBV may be too high."
        yield Finding("warning", text, None)
        return
    weights = area_weights(times_s)
    areas = float((vein.measured_hu @ weights) / (artery.measured_hu @ weights))
    transit = fit_transit(artery.measured_hu, vein.measured_hu, times_s)
    if areas <= 0 or transit is None:
        text = f"The venous area is {areas:.2g} times the arterial one. Check the VOF {_kind(vein)}."
        yield Finding("invalid", text, areas)
        return
    full = max(float(artery.curve_hu.max()), float(vein.measured_hu.max()))
    if full < WEAK_BOLUS_HU:
        text = f"Weak bolus: blood enhances by {full:.0f} HU (usual: above {WEAK_BOLUS_HU:g}); noise weighs more."
        yield Finding("warning", text, full)
    if transit.error > WORST_ERROR:
        text = f"The venous curve is not the arterial one after its way through the brain ({transit.error:.0%} of its "
        text += f"peak unexplained): partial volume rests on the ratio of areas. Check the VOF {_kind(vein)}."
        yield Finding("warning", text, transit.error)
    elif transit.delay_s + transit.mtt_s < LEAST_TRANSIT_S:
        text = f"The venous curve follows the arterial one by {transit.delay_s + transit.mtt_s:.1f} s only: it may be "
        text += f"an artery. Check the VOF {_kind(vein)}."
        yield Finding("warning", text, transit.delay_s + transit.mtt_s)
    elif transit.gain < SMALL_VEIN:
        text = f"The vein has {transit.gain:.2f} times the area of the artery: it is diluted itself, nothing was "
        yield Finding("warning", text + "scaled to it.", transit.gain)
    end = end_share(vein.measured_hu)
    if end > COMPLETE_VEIN:
        text = f"The venous curve ends at {end:.0%} of its peak: partial volume rests on what was seen of it and a "
        text += f"model of its way through the brain (factor {transit.gain:.2f}; with extrapolated areas: {areas:.2f})."
        yield Finding("warning", text, end)
    if artery.partial_volume_factor > LARGE_FACTOR:
        text = f"Partial-volume factor of {artery.partial_volume_factor:.1f}: the artery fills little of its voxels."
        yield Finding("warning", text, artery.partial_volume_factor)


def _kind(curve: VascularCurve) -> str:
    """Return what the user would check: the mask, or the curve itself."""
    return "curve" if curve.source == "user's curve" else "mask"
