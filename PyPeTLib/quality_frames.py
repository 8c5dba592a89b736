"""Checks of the frames of a scan: motion, drift, jumps and noise, and what was done about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from PyPeTLib.checks import Check, Status
from PyPeTLib.curves import robust_sd
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Curves, Drift, Jumps, Motion, VascularCurve
from PyPeTLib.scan import Series
from PyPeTLib.settings import Settings
from PyPeTLib.typeset import typeset

#: Noise above this, in HU a voxel and frame, makes maps of single voxels doubtful, ...
HIGH_NOISE_HU = 12.0
#: ... where denoising leaves more than this of it, as of 12 HU in pixels of 1.25 mm: of small ones more are averaged.
LEFT_NOISE_HU = 1.8
#: A frame whose level is further off, in HU, is another kind of frame; jumps of a larger SD leave doubts.
LARGE_JUMP_HU, LARGE_JUMPS_HU = 5.0, 0.4
#: A frame whose noise is so many times that of the quietest quarter of the frames is too unlike them; noise below
#: 1 HU is rounding. Of heads without such frames, moved ones included, it is 1.4 at most. So many frames are named.
UNLIKE_NOISE, LEAST_NOISE_HU, NAMED_FRAMES = 2.0, 1.0, 5
#: Bone has more than this, in HU. A scan that ends below was cut there if so many values, and this share of them, in so
#: many frames are its largest: chance makes it one or two, and a peak without noise is in one frame.
BONE_HU, MANY_VALUES, MANY_SHARE, CUT_FRAMES = 500.0, 100, 2e-5, 3
#: Blood with contrast agent has more than this, in HU.
BLOOD_HU = 150.0


def judge_motion(motion: Motion, *, settings: Settings) -> tuple[Check, ...]:
    """Return what is to be known of motion: frames that were resampled, and those that moved too far for it."""
    moved, beyond = motion.displacement_mm, motion.displacement_mm > settings.motion_limit_mm
    corrected = Check("motion", "pass", f"The head moved by {moved.max():.1f} mm at most.", float(moved.max()))
    if motion.corrected.any() and moved.max() <= settings.motion_tolerance_mm:
        text = f"{corrected.text[:-1]}, as little as motion=auto leaves as it is; motion=on resampled its frames."
        corrected = replace(corrected, text=text)
    elif motion.corrected.any():
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


def motion_unknown(status: Status, reason: str) -> tuple[Check, ...]:
    """Return the checks of motion that was not measured, with the reason."""
    return Check("motion", status, reason), Check("motion limit", "not applicable", "Motion was not measured.")


def judge_range(series: Series, artery: VascularCurve, vein: VascularCurve | None) -> Check:
    """Return whether values are as they were: an export of what a window shows cuts all that is brighter.

    Where bone is cut there mostly is no brain mask (`stripped.is_cut`). This sees what that cannot: cut vessels of a
    brain alone or inside the user's own mask, and heads whose frames were put back, whose values end anywhere.

    Parameters
    ----------
    series : Series
        The scan as it was read.
    artery, vein : VascularCurve
        Where blood with contrast agent is.
    """
    if any((frame > BONE_HU).any() for frame in series.values):
        return Check("HU range", "pass", f"Values reach more than {BONE_HU:.0f} HU, as bone has.")
    top = float(series.values.max())
    there = np.array([np.count_nonzero(frame >= top) for frame in series.values])
    cut = there.sum() >= max(MANY_VALUES, MANY_SHARE * series.values.size)
    if not cut or np.count_nonzero(there) < CUT_FRAMES:
        return Check("HU range", "pass", f"Values reach {top:.0f} HU, and are not cut there.", top)
    inside = artery.mask.values if vein is None else artery.mask.values | vein.mask.values
    spoilt = top < BLOOD_HU or bool((series.values[:, inside] >= top).any())
    brighter = "Blood with contrast agent is" if spoilt else "Where blood with contrast agent was"
    text = f"Values are cut at {top:.0f} HU, as in an export of what a window shows: {there.sum():,} are just that, "
    text += f"none is more. {brighter} brighter: flow is wrong. Export the scan uncut."
    return Check("HU range", "fail" if spoilt else "warn", text, top)


def judge_drift(drift: Drift | None) -> Check:
    """Return whether the scanner drifts, and what was done about it.

    Of phantoms 2 HU a minute that nothing is done about make volumes a fifth too large and flow as much too small
    (`Testing/benchmarks/accuracy.py --set drift=off`).
    """
    if drift is None:
        text = "Whether the scanner drifts is not known: neither frames before the bolus nor all frames tell."
        return Check("drift", "not applicable", text)
    slope, sd = typeset(f"{drift.hu_per_minute:+.1f}"), f"{drift.sd_hu_per_minute:.1f}"
    when, frames = "Before the bolus", f"{drift.frames} frames"
    if not drift.before_bolus:
        when, frames = "Beside contrast agent", f"told by all {frames}, for they hide less than those before the bolus"
    text = f"{when} the HU of the brain change by {slope} ± {sd} a minute ({frames})"
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
    frame = jumps.largest
    return _judged_level("frame", jumps, jumps.hu[frame], f"frame {frame + 1} of {len(jumps.hu)}")


def judge_slice_jumps(jumps: Jumps) -> Check:
    """Return whether the HU of slices jump from frame to frame beyond what all do, and what was done about it."""
    frame = jumps.largest
    index = int(np.abs(jumps.hu[frame]).argmax())
    place = f"slice {index + 1} of {jumps.hu.shape[1]} in frame {frame + 1} of {len(jumps.hu)}"
    return _judged_level("slice", jumps, jumps.hu[frame, index], place)


def _judged_level(kind: str, jumps: Jumps, largest_hu: float, place: str) -> Check:
    """Return the check of the levels of frames or slices; where they differ most is said."""
    name, sd = f"{kind} level", jumps.sd_hu
    if not jumps.certain:
        return Check(name, "pass", f"{kind.capitalize()}s differ in level by no more than contrast agent explains.", sd)
    whose = "the brain" if kind == "frame" else "slices"
    text = (
        f"HU of {whose} differ from frame to frame by {sd:.2f} HU (SD) more than contrast agent explains, most in "
        f"{place} ({typeset(f'{largest_hu:+.1f}')} HU)"
    )
    if not jumps.corrected:
        return Check(name, "warn", f"{text}. Nothing was taken off (drift=off): lesions are doubtful.", sd)
    text += f"; that was taken off every {kind}."
    if abs(largest_hu) > LARGE_JUMP_HU:
        return Check(name, "warn", f"{text} Look at that {kind} (step 1).", sd)
    if sd > LARGE_JUMPS_HU:
        doubt = "What of it happens to look like a curve of tissue stays in: flow and lesions are doubtful."
        return Check(name, "warn", f"{text} {doubt}", sd)
    return Check(name, "pass", text, sd)


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
