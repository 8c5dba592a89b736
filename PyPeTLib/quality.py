"""Quality checks of scan and result: each has a name, passes, warns or fails, and says so with its number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import get_args

import numpy as np

from PyPeTLib.candidates import side_of
from PyPeTLib.curves import LEAST_AFTER_ARRIVAL_S, UNEVEN_SHARE, area_weights, end_share, own_noise, peaks, robust_sd
from PyPeTLib.orientation import radiological, slice_labels
from PyPeTLib.records import (
    Bolus,
    Check,
    Curves,
    Drift,
    FloatArray,
    Geometry,
    Image,
    Jumps,
    Maps,
    MaskArray,
    Motion,
    ResidueFit,
    Series,
    Skull,
    Status,
    Transit,
    VascularCurve,
)
from PyPeTLib.residue import CERTAIN, LONGER_TAIL
from PyPeTLib.settings import LINEAR, DeconvolutionMethod, Settings
from PyPeTLib.transit import WORST_ERROR, fit_transit
from PyPeTLib.typeset import percent, typeset
from PyPeTLib.vessels import middle_of

#: Where half of the tissue has a more uncertain delay than this, in s, late tissue is missed.
LARGEST_DELAY_SD_S = 0.6
#: The time that has to follow the arrival is that for a first pass of this full width at half maximum in s. With a
#: wider one peak and fall of slow tissue come later by so many times what it is wider.
USUAL_WIDTH_S, LATER_WIDTHS = 9.0, 0.7
#: Shapes of the residue function are possible whose odds against that of the maps are no less than this; where flow
#: with one of them differs by more than this share, it is doubtful (with gamma of shape 2 for an exponential: 0.25).
LEAST_ODDS, LARGEST_FLOW_CHANGE = 0.01, 0.27
#: Fewer baseline frames than this cannot be averaged: the bolus was there from the start.
FEWEST_BASELINE_FRAMES = 2
#: A baseline this short, in frames, still leaves its noise in every curve.
SHORT_BASELINE_FRAMES = 4
#: In a scan that begins before the bolus no vessel is brighter in the first frame than at the end; some leeway.
FALLING_SHARE = 0.05
#: A slab thinner than this in mm is told; one thinner than the second may hold neither artery nor vein.
FULL_COVERAGE_MM, THIN_SLAB_MM = 80.0, 40.0
#: Blood that is not diluted enhances by more than this, in HU, after a usual injection.
WEAK_BOLUS_HU = 80.0
#: Confidence in the arterial input below which it is doubted.
LOW_CONFIDENCE = 0.3
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
#: Medians of a whole brain lie within these, the ill and the old included; in mL/100 g/min and mL/100 g.
PLAUSIBLE = {"CBF": (5.0, 150.0), "CBV": (0.5, 12.0)}
#: A vein of less than this share of the arterial area is diluted more than the artery.
SMALL_VEIN = 0.9
#: A vein that fills less of its voxels than this has no middle of pure blood: of round ones that are full there to 0.97
#: the fall to their neighbours tells as much, and of 9 mm in pixels of 3.2 mm 0.94.
LEAST_FILLED = 0.88
#: Frames further apart than this do not resolve a first pass, in s.
LONG_INTERVAL_S = 4.0
#: What becomes of uneven times: only a matrix needs even ones; ...
UNEVEN: dict[DeconvolutionMethod, str] = {
    **dict.fromkeys(LINEAR, "curves are interpolated linearly to the shortest interval for deconvolution"),
    "max-slope": "slopes are those of curves interpolated by cubic splines",
}
#: ... a model of tissue has a value at any time.
MODELLED = "the model of tissue is sampled when the scan was"
#: Frames so far apart, in s, leave the simulated bias of a linear method wrong: of a head with frames every 3 s flow
#: comes out 0.8 (sSVD) to 1.2 times (bSVD, oSVD, tikhonov) the truth.
UNCORRECTED_S = 3.0
#: A brain mask is at least this share tissue; CSF is a fifth of it, a third where the brain is atrophic.
LEAST_TISSUE = 0.5
#: With less than this nothing that is said of tissue holds: HU are not on their scale, or it is no brain.
NO_TISSUE = 0.2
#: Noise above this, in HU a voxel and frame, makes maps of single voxels doubtful, ...
HIGH_NOISE_HU = 12.0
#: ... where denoising leaves more than this of it, as of 12 HU in pixels of 1.25 mm: of small ones more are averaged.
LEFT_NOISE_HU = 1.8
#: A frame whose level is further off, in HU, is another kind of frame; jumps of a larger SD leave doubts.
LARGE_JUMP_HU, LARGE_JUMPS_HU = 5.0, 0.4
#: A frame whose noise is so many times that of the quietest quarter of the frames is too unlike them; noise below
#: 1 HU is rounding. Of heads without such frames, moved ones included, it is 1.4 at most. So many frames are named.
UNLIKE_NOISE, LEAST_NOISE_HU, NAMED_FRAMES = 2.0, 1.0, 5
#: What a vein without enough area means.
UNSCALED = "nothing was scaled to it, and CBF and CBV may be too high"
#: Checks that need a vein beside that of its quality.
OF_VEIN = ("VOF tail", "bolus strength", "partial volume")


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
    weights, steps_s = area_weights(series.times_s), np.diff(series.times_s)
    return (
        _arrival(bolus),
        _baseline(bolus),
        _after_arrival(series, bolus, artery),
        _sampling(steps_s, settings.method),
        _interval(steps_s),
        _coverage(series, curves),
        _artery_signal(artery, weights, settings.minimum_enhancement_hu),
        _artery_quality(artery),
        _artery_height(artery),
        _artery_tail(artery),
        _artery_fit(artery),
        _artery_order(artery, curves, series.times_s),
        *_on_vein(artery, vein, series.times_s),
        _method(steps_s, settings),
    )


def judge_noise(curves: Curves) -> Check:
    """Return whether noise leaves single voxels doubtful; of denoised curves, for what is left of it counts."""
    noise, alike = robust_sd(curves.noise), ""
    if curves.frames_alike:
        alike = (
            f" Neighbouring frames share it (correlation {curves.frames_alike:.2f}), as they do after interpolation or "
            "averaging in time: it is that of frames of their own that would disturb slow curves as much."
        )
    left = noise if curves.sd is None else float(np.median(curves.sd))
    told = f"Noise of {noise:.1f} HU, {left:.1f} HU after denoising"
    if noise > HIGH_NOISE_HU and left > LEFT_NOISE_HU:
        text = f"{told} (usual: 4 to 9, and 1): maps of single voxels are doubtful.{alike}"
        return Check("noise", "warn", text, noise)
    return Check("noise", "pass", f"{told}.{alike}", noise)


def judge_motion(motion: Motion, *, settings: Settings) -> tuple[Check, ...]:
    """Return what is to be known of motion: frames that were resampled, and those that moved too far for it."""
    moved, beyond = motion.displacement_mm, motion.displacement_mm > settings.motion_limit_mm
    corrected = Check("motion", "pass", f"The head moved by {moved.max():.1f} mm at most.", float(moved.max()))
    if motion.corrected.any():
        text = (
            f"The head moved by up to {moved.max():.1f} mm and {motion.largest_turn_degrees:.1f}°: "
            f"{motion.corrected.sum()} of {moved.size} frames were resampled to the position of the first; brain "
            "beside bone or at the ends of the scan that not every frame shows is left out of the mask. Between "
            "slices it is interpolated: flow and MTT may be off by up to a fourth, beyond their standard deviations."
        )
        corrected = replace(corrected, status="warn", text=text)
    within = Check("motion limit", "pass", f"No frame moved by more than {settings.motion_limit_mm:g} mm.", 0.0)
    if beyond.any():
        done = "left out" if motion.left_out.any() else "kept (motion_beyond=leave-out does without them)"
        text = f"{beyond.sum()} of {moved.size} frames moved by more than {settings.motion_limit_mm:g} mm: {done}."
        within = replace(within, status="warn", text=text, value=float(beyond.sum()))
    return corrected, within


def judge_skull(skull: Skull | None, geometry: Geometry) -> Check:
    """Return whether bone encloses the automatic mask (None: the mask is the user's) in all slices that hold brain."""
    if skull is None:
        return Check("skull", "not applicable", "The brain mask is the user's.")
    if skull.stripped:
        text = "The skull was taken off before: the brain mask is what the scan shows. Look at it (step 3)."
        return Check("skull", "not applicable", text)
    doubts = []
    if skull.left_out.any():
        doubts.append(
            f"{_slices(skull.left_out, geometry)} lie in the head and have no mask: brain is missing from maps and "
            "volumes. Draw it in the mask, or give one (--mask)."
        )
    if skull.opened.any():
        doubts.append(
            f"The skull is open in {_slices(skull.opened, geometry)}; the mask was closed there as the bone beside the "
            "gap continues, and may hold scalp or miss brain. Look at it (step 3), correct it, or give one (--mask)."
        )
    if doubts:
        return Check("skull", "warn", " ".join(doubts), float((skull.opened | skull.left_out).sum()))
    return Check("skull", "pass", "Bone encloses the brain in all slices.", 0.0)


def _slices(chosen: MaskArray, geometry: Geometry) -> str:
    """Return how many displayed slices are chosen, and between which heights they lie."""
    labels = [label for label, one in zip(slice_labels(geometry), chosen, strict=True) if one]
    between = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
    return f"{len(labels)} of {chosen.size} slices ({between})"


def judge_tissue(brain: Image, csf: Image, vessels: Image, bone: Image, *, settings: Settings) -> Check:
    """Return whether CSF, vessels and bone leave enough tissue: otherwise its HU or CBV are not those of a brain."""
    left = 1.0 - (csf.volume_ml + vessels.volume_ml + bone.volume_ml) / brain.volume_ml
    if left >= LEAST_TISSUE:
        text = f"{percent(left)} of the brain mask is neither CSF nor large vessels nor shares bone."
        return Check("tissue", "pass", text, left)
    text = (
        f"Only {percent(left)} of the brain mask is tissue, at least {percent(LEAST_TISSUE)} is expected: CSF (below "
        f"{settings.csf_hu:g} HU) takes {csf.volume_ml:,.0f} mL, large vessels {vessels.volume_ml:,.0f} mL, what "
        f"shares bone (above {settings.bone_rim_hu:g} HU) {bone.volume_ml:,.0f} mL; medians are doubtful. Check the "
        "HU of the scan, csf_hu, bone_rim_hu and the arterial input."
    )
    return Check("tissue", "warn" if left >= NO_TISSUE else "fail", text, left)


def judge_hyperdense(dense: Image, brain: Image) -> Check:
    """Return whether part of the brain is as dense as clotted blood, how much it is and where."""
    if not dense.values.any():
        return Check("hyperdensity", "pass", "No thick part of the brain is as dense as clotted blood.", 0.0)
    text = (
        f"{dense.volume_ml:.1f} mL of the brain are without contrast as dense as clotted blood, "
        f"{_place(dense, brain)}: a haematoma, calcification, or contrast agent from before. They count as tissue, but "
        "flow, volume and times mean nothing there, and lesions may include them. Look at the scan (step 1); leave "
        "them out of the mask (--mask)."
    )
    return Check("hyperdensity", "warn", text, dense.volume_ml)


def _place(part: Image, brain: Image) -> str:
    """Return on which side of the brain a part of it lies, and in which slices."""
    geometry = part.geometry
    side = side_of(middle_of(part.values), middle_of(brain.values), geometry)
    held = radiological(part.values, geometry).any(axis=(1, 2))
    where = f"around the {side}" if side == "midline" else f"on the patient's {side}"
    return f"{where}, in {_slices(np.asarray(held), geometry)}"


def judge_leakage(leak: Image, brain: Image) -> Check:
    """Return whether contrast agent leaves the vessels (`leakage.without_leak`), of how much of the brain and where."""
    if not leak.values.any():
        return Check("leakage", "pass", "No part of the brain takes up contrast agent that stays.", 0.0)
    text = (
        f"{leak.volume_ml:.1f} mL of the brain, {_place(leak, brain)}, take up contrast agent that stays, as where the "
        "barrier between blood and brain is open: tumour, infarct of some days, inflammation. What stays was taken off "
        "the curves there, so that volume and transit time are those of blood; they are less certain than elsewhere, "
        "and thresholds for strokes mean little there."
    )
    return Check("leakage", "warn", text, leak.volume_ml)


def motion_unknown(status: Status, reason: str) -> tuple[Check, ...]:
    """Return the checks of motion that was not measured, with the reason."""
    return Check("motion", status, reason), Check("motion limit", "not applicable", "Motion was not measured.")


def judge_maps(maps: Maps, brain: Image) -> tuple[Check, ...]:
    """Return the checks of the maps as a whole: flow and volume of a brain are positive, and not out of all bounds."""
    return _plausible("CBF", maps.cbf, brain), _plausible("CBV", maps.cbv, brain)


def judge_drift(drift: Drift | None) -> Check:
    """Return whether the scanner drifts before the bolus, and what was done about it.

    Of phantoms 2 HU a minute that nothing is done about make volumes a fifth too large and flow as much too small
    (`Testing/benchmarks/accuracy.py --set drift=off`).
    """
    if drift is None:
        return Check("drift", "not applicable", "Too few frames before the bolus show whether the scanner drifts.")
    slope, sd = typeset(f"{drift.hu_per_minute:+.1f}"), f"{drift.sd_hu_per_minute:.1f}"
    text = f"Before the bolus the HU of the brain change by {slope} ± {sd} a minute ({drift.frames} frames)"
    if not drift.certain:
        chance = f"no more than chance, which hides drifts below {drift.visible_hu_per_minute:.1f}"
        return Check("drift", "pass", f"{text}: {chance}.", drift.hu_per_minute)
    wrong = "volumes and transit times are"
    if drift.corrected:
        done = f"A line of that slope was taken off all frames. If the drift bends later, {wrong} wrong"
        done = f"{done}; the setting drift=off shows what the line does."
    else:
        done = f"Nothing was taken off (drift=off): {wrong} too {'large' if drift.hu_per_minute > 0 else 'small'}."
    return Check("drift", "warn", f"{text}. {done}", drift.hu_per_minute)


def judge_jumps(jumps: Jumps) -> Check:
    """Return whether the HU of the brain jump from frame to frame, and what was done about it.

    What of them happens to look like a curve of tissue stays in: with jumps of 0.3 HU (SD) the core is as near as asked
    for in two of six heads, in three where nothing is taken off and in five without jumps
    (`Testing/benchmarks/lesions.py --jitter-hu 0.3 --noise-texture backprojection`, and ``--set drift=off``).
    """
    sd, frame = jumps.sd_hu, jumps.largest
    if not jumps.certain:
        return Check("frame level", "pass", "Frames differ in level by no more than contrast agent explains.", sd)
    text = (
        f"HU of the brain differ from frame to frame by {sd:.2f} HU (SD) more than contrast agent explains, most in "
        f"frame {frame + 1} of {jumps.hu.size} ({typeset(f'{jumps.hu[frame]:+.1f}')} HU)"
    )
    if jumps.corrected:
        text += "; that was taken off every frame."
        if abs(jumps.hu[frame]) > LARGE_JUMP_HU:
            return Check("frame level", "warn", f"{text} Look at that frame (step 1).", sd)
        if sd > LARGE_JUMPS_HU:
            doubt = "What of it happens to look like a curve of tissue stays in: flow and lesions are doubtful."
            return Check("frame level", "warn", f"{text} {doubt}", sd)
        return Check("frame level", "pass", text, sd)
    return Check("frame level", "warn", f"{text}. Nothing was taken off (drift=off): lesions are doubtful.", sd)


def judge_frame_noise(noise_hu: FloatArray | None, times_s: FloatArray) -> Check:
    """Return whether some frames are much noisier than others (`frame_noise.frame_noise_hu`), and when they were taken.

    Every frame of a curve counts as much. Compared are the quietest quarter: where the current of the tube was changed,
    half of the frames or more may be the noisy ones.
    """
    if noise_hu is None:
        text = "The noise of single frames is not known: neighbouring frames share it, as after interpolation, or the "
        return Check("frame noise", "not applicable", f"{text}brain mask is too small.")
    times = noise_hu / max(float(np.quantile(noise_hu, 0.25)), LEAST_NOISE_HU)
    noisy, most = times_s[times > UNLIKE_NOISE], float(times.max())
    if not noisy.size:
        return Check("frame noise", "pass", "Frames are about equally noisy.", most)
    several = noisy.size > 1
    named = ", ".join(f"{one:.4g}" for one in noisy[:NAMED_FRAMES]) + " ..." * (noisy.size > NAMED_FRAMES)
    text = (
        f"{noisy.size} of {noise_hu.size} frames, at {named} s, {'have' if several else 'has'} up to {most:.1f} times "
        "the noise of the quietest quarter. Curves count as equally certain in all frames: flow may be too low, and "
        "small lesions may be missed. Look at step 1; where such frames are few, take them out of the scan and give "
        "the times of the others (--times)."
    )
    return Check("frame noise", "warn", text, most)


def judge_timing(maps: Maps, tissue: Image) -> tuple[Check, ...]:
    """Return whether delays are known well enough to find late tissue, where the method gives their SD.

    With weaker boluses and more noise the volume of Tmax > 6 s in phantoms was 85 % of the truth where the median SD
    was 0.7 s, and 59 % where it was 1.1 s (`Testing/benchmarks/lesions.py --peak-hu 180`, and ``--peak-hu 150
    --noise-hu 10``); 98 % where it was 0.43 s. With pixels of 2.1 mm, of which few are averaged, it is 66 to 82 % at
    0.75 s.
    """
    sd = maps.sd.get("delay")
    known = np.empty(0) if sd is None else sd.values[tissue.values & np.isfinite(sd.values)]
    if not known.size:
        return ()
    median_s = float(np.median(known))
    text = f"The delay of a voxel of tissue is uncertain by {median_s:.1f} s (median SD)"
    if median_s > LARGEST_DELAY_SD_S:
        found = f"{text}, more than {LARGEST_DELAY_SD_S:g} s: the signal is weak or noisy, and late tissue is missed."
        more = "Volumes of lesions are too small (at 0.7 s by a sixth to a third, at 1 s by half), as bounds may be."
        return (Check("timing", "warn", f"{found} {more}", median_s),)
    return (Check("timing", "pass", f"{text}.", median_s),)


def judge_residue(fit: ResidueFit | None) -> tuple[Check, ...]:
    """Return how well the shape of the residue function is known, where it was sought: flow depends on it.

    Only shapes that were tried can be told.
    """
    if fit is None:
        return ()
    told = _two_shapes(fit) or _longer_tail(fit)
    if told is not None:
        return (told,)
    flows = fit.flows(LEAST_ODDS)
    if not flows:
        text = f"{fit.shape}; no other shape that was tried has odds of 1:100 or more."
        return (Check("residue shape", "pass", text, 0.0),)
    far = max(flows, key=lambda name: abs(np.log(flows[name])))
    change = abs(flows[far] - 1.0)
    others = "is another possible shape" if len(flows) == 1 else f"is one of {len(flows)} other possible shapes"
    text = f"{fit.shape}; {far} {others}, with which flow would be {flows[far]:.2f} times as large"
    if change <= LARGEST_FLOW_CHANGE:
        return (Check("residue shape", "pass", f"{text}.", change),)
    doubt = "Flow and MTT are uncertain by as much, beyond their standard deviations (the setting residue fixes it)."
    return (Check("residue shape", "warn", f"{text}. {doubt}", change),)


def _two_shapes(fit: ResidueFit) -> Check | None:
    """Return the doubt that one shape does not hold for all of the brain, if there is one."""
    bright, dark, odds = fit.of_two
    if bright == dark or odds <= CERTAIN:
        return None
    flows = {name: fit.mtt_s[fit.shape] / fit.mtt_s[name] for name in (bright, dark)}
    text = (
        f"{fit.shape} for all of the brain, but one shape does not suit it: what is bright without contrast (gray "
        f"matter) asks for {bright}, with which its flow would be {flows[bright]:.2f} times as large, and what is dark "
        f"(white matter) for {dark}, with {flows[dark]:.2f} times. Two shapes are more than {np.exp(CERTAIN):,.0f} "
        "times as probable as one: flow and MTT of one kind of tissue are wrong."
    )
    return Check("residue shape", "warn", text, max(abs(flow - 1.0) for flow in flows.values()))


def _longer_tail(fit: ResidueFit) -> Check | None:
    """Return the doubt that the residue has a longer tail than any that maps are made with, if there is one."""
    flows = {name: flow for name, flow in fit.flows(np.exp(CERTAIN)).items() if name in LONGER_TAIL}
    if not flows:
        return None
    (longer, flow), *_ = flows.items()
    text = (
        f"{fit.shape}, the longest tail that maps are made with; the curves ask for a longer one: {longer} is more "
        f"than {np.exp(CERTAIN):,.0f} times as probable, with which flow would be {flow:.2f} times as large and MTT "
        "as much shorter. CBF is too low by about as much, more with still longer tails."
    )
    return Check("residue shape", "warn", text, abs(flow - 1.0))


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """Return checks in the order of their status, those of one status in the order they have."""
    order = get_args(Status)
    return sorted(checks, key=lambda check: order.index(check.status))


def _plausible(name: str, image: Image, brain: Image) -> Check:
    median = float(np.nanmedian(image.values[brain.values]))
    low, high = PLAUSIBLE[name]
    text = f"The median {name} of the brain is {typeset(f'{median:.3g}')} {image.unit}"
    if median <= 0:
        return Check(f"plausible {name}", "fail", f"{text}; it must be positive. Check AIF and VOF.", median)
    if not low <= median <= high:
        need = f"{low:g} to {high:g} are those of a brain. Check AIF and VOF, and the HU of the scan"
        return Check(f"plausible {name}", "warn", f"{text}; {need}.", median)
    return Check(f"plausible {name}", "pass", f"{text}.", median)


def _arrival(bolus: Bolus) -> Check:
    """Return whether the scan begins before the contrast agent arrives."""
    if bolus.baseline_frames < FEWEST_BASELINE_FRAMES or bolus.falling_share > FALLING_SHARE:
        return Check(
            "bolus arrival",
            "fail",
            f"Contrast agent is there from the start of the scan: at least {FEWEST_BASELINE_FRAMES} frames before its "
            f"arrival are needed; found {bolus.baseline_frames}, and {percent(bolus.falling_share)} of the vessels are "
            "brighter in the first frame than at the end (or the head has moved).",
            bolus.baseline_frames,
        )
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
        late = "comes late" if after_s < LEAST_AFTER_ARRIVAL_S else f"is wide ({width_s:.0f} s) and the scan short"
        text = f"The bolus {late}: {after_s:.0f} s of scan follow its arrival at {bolus.arrival_s:.0f} s, at least "
        text += f"{needed_s:.0f} s are needed; volumes, late and slow tissue are doubtful."
        return Check("time after arrival", "warn", text, after_s)
    return Check("time after arrival", "pass", f"{after_s:.0f} s of scan follow the arrival.", after_s)


def _width_s(times_s: FloatArray, hu: FloatArray) -> float:
    """Return for how long a curve is above half of its peak, in s; frames are joined by straight lines."""
    fine_s = 0.1
    between = np.arange(times_s[0], times_s[-1], fine_s)
    return fine_s * int(np.count_nonzero(np.interp(between, times_s, hu) >= 0.5 * hu.max()))


def _sampling(steps_s: FloatArray, method: DeconvolutionMethod) -> Check:
    longest = float(steps_s.max())
    if np.ptp(steps_s) > UNEVEN_SHARE * steps_s.mean():
        text = f"Uneven sampling, {steps_s.min():.3g} to {longest:.3g} s: {UNEVEN.get(method, MODELLED)}."
        return Check("sampling", "warn", text, longest)
    return Check("sampling", "pass", "Frames are evenly spaced.", longest)


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
    text = f"Confidence in the arterial input {best.confidence:.2f} of 1 ({best.reason})."
    return Check("AIF quality", "pass", text, best.confidence)


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
    places = peaks(np.stack([artery.measured_hu, tissue]))[:, 1]
    artery_s, tissue_s = (float(one) for one in np.interp(places, np.arange(times_s.size), times_s))
    text = f"The arterial curve peaks at {artery_s:.3g} s, the mean of the brain at {tissue_s:.3g} s"
    if tissue_s - artery_s < LEAST_LEAD_S:
        text += f": an artery comes first, by {LEAST_LEAD_S:g} s or more. Check the AIF {_kind(artery)}."
        return Check("AIF before tissue", "warn", text, artery_s - tissue_s)
    return Check("AIF before tissue", "pass", f"{text}.", artery_s - tissue_s)


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


def _on_vein(artery: VascularCurve, vein: VascularCurve | None, times_s: FloatArray) -> Iterator[Check]:
    """Yield the checks of the vein, and of the bolus and the partial volume that only a vein tells."""
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
        return Check("VOF tail", "warn", f"{text}.", end)
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
