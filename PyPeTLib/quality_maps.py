"""Checks of the maps, of how well they are known, and of the brain that they show."""

from __future__ import annotations

import numpy as np

from PyPeTLib.analysis import Maps
from PyPeTLib.candidates import side_of
from PyPeTLib.checks import Check
from PyPeTLib.geometry import Geometry, Image, MaskArray
from PyPeTLib.orientation import radiological, slice_labels
from PyPeTLib.records import ResidueFit, Skull
from PyPeTLib.residue import CERTAIN, LONGER_TAIL
from PyPeTLib.settings import Settings
from PyPeTLib.typeset import begins, percent, typeset
from PyPeTLib.vessels import middle_of

#: Where half of the tissue has a more uncertain delay than this, in s, late tissue is missed.
LARGEST_DELAY_SD_S = 0.6
#: Shapes of the residue function are possible whose odds against that of the maps are no less than this; where flow
#: with one of them differs by more than this share, it is doubtful (with gamma of shape 2 for an exponential: 0.25).
LEAST_ODDS, LARGEST_FLOW_CHANGE = 0.01, 0.27
#: Curves miss those of tissue by less than this share, beyond noise: by 0.03 at most in nine variants of
#: `Testing/benchmarks/accuracy.py` (seed 1000), by 0.02 in the usual patient of `Testing/benchmarks/patients.py`.
MOST_MISSED = 0.05
#: Medians of a whole brain lie within these, the ill and the old included; in mL/100 g/min and mL/100 g.
PLAUSIBLE = {"CBF": (5.0, 150.0), "CBV": (0.5, 12.0)}
#: A brain mask is at least this share tissue; CSF is a fifth of it, a third where the brain is atrophic.
LEAST_TISSUE = 0.5
#: With less than this nothing that is said of tissue holds: HU are not on their scale, or it is no brain.
NO_TISSUE = 0.2


def judge_maps(maps: Maps, brain: Image) -> tuple[Check, ...]:
    """Return the checks of the maps as a whole: flow and volume of a brain are positive, and not out of all bounds."""
    return _plausible("CBF", maps.cbf, brain), _plausible("CBV", maps.cbv, brain)


def _plausible(name: str, image: Image, brain: Image) -> Check:
    median = float(np.nanmedian(image.values[brain.values]))
    low, high = PLAUSIBLE[name]
    digits = f"{median:,.0f}" if abs(median) >= 100 else f"{median:.3g}"
    text = f"The median {name} of the brain is {typeset(digits)} {image.unit}"
    if median <= 0:
        return Check(f"plausible {name}", "fail", f"{text}; it must be positive. Check AIF and VOF.", median)
    if not low <= median <= high:
        need = f"{low:g} to {high:g} are those of a brain. Check AIF and VOF, and the HU of the scan"
        return Check(f"plausible {name}", "warn", f"{text}; {need}.", median)
    return Check(f"plausible {name}", "pass", f"{text}.", median)


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
    text = f"The delay of a voxel of tissue is uncertain by {median_s:.2f} s (median SD)"
    if median_s > LARGEST_DELAY_SD_S:
        found = f"{text}, more than {LARGEST_DELAY_SD_S:g} s: the signal is weak or noisy, and late tissue is missed."
        more = "Volumes of lesions are too small (at 0.7 s by a sixth to a third, at 1 s by half), as bounds may be."
        return (Check("timing", "warn", f"{found} {more}", median_s),)
    return (Check("timing", "pass", f"{text}.", median_s),)


def judge_fit(fit: ResidueFit | None) -> tuple[Check, ...]:
    """Return whether the curves of the brain are those of tissue that the arterial input feeds, where that was sought.

    In a head whose frames come every 5 and 10 s after 40 s, read as if they came every second, they miss them by 0.09,
    and flow of gray matter is 0.74 of the truth ("1, 5 and 10 s, read as 1 s" of `Testing/benchmarks/patients.py`).
    """
    if fit is None:
        return ()
    text = f"Curves of the brain miss those of tissue by {percent(fit.missed, 1)} of their size, beyond noise (median)"
    if fit.missed <= MOST_MISSED:
        return (Check("curve fit", "pass", f"{text}.", fit.missed),)
    doubt = (
        f"{text}, more than {percent(MOST_MISSED)}: what the arterial input feeds has other curves, and flow, times "
        "and lesions are doubtful. Frame times that are not those of the scan do that, agent of an earlier injection "
        "that is leaving the blood, compression with loss, or the input of another scan. Check the times and the AIF."
    )
    return (Check("curve fit", "warn", doubt, fit.missed),)


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
        text = f"{begins(fit.shape)}; no other shape that was tried has odds of 1:100 or more."
        return (Check("residue shape", "pass", text, 0.0),)
    far = max(flows, key=lambda name: abs(flows[name] - 1.0))
    change = abs(flows[far] - 1.0)
    others = "is another possible shape" if len(flows) == 1 else f"is one of {len(flows)} other possible shapes"
    text = f"{begins(fit.shape)}; {far} {others}, with which flow would be {flows[far]:.2f} times as large"
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
        f"{begins(fit.shape)} for all of the brain, but one shape does not suit it: what is bright without contrast "
        f"(gray matter) asks for {bright}, with which its flow would be {flows[bright]:.2f} times as large, and what "
        f"is dark (white matter) for {dark}, with {flows[dark]:.2f} times. Two shapes are more than "
        f"{np.exp(CERTAIN):,.0f} times as probable as one: flow and MTT of one kind of tissue are wrong."
    )
    return Check("residue shape", "warn", text, max(abs(flow - 1.0) for flow in flows.values()))


def _longer_tail(fit: ResidueFit) -> Check | None:
    """Return the doubt that the residue has a longer tail than any that maps are made with, if there is one."""
    flows = {name: flow for name, flow in fit.flows(np.exp(CERTAIN)).items() if name in LONGER_TAIL}
    if not flows:
        return None
    (longer, flow), *_ = flows.items()
    text = (
        f"{begins(fit.shape)}, the longest tail that maps are made with; the curves ask for a longer one: {longer} "
        f"is more than {np.exp(CERTAIN):,.0f} times as probable, with which flow would be {flow:.2f} times as large "
        "and MTT as much shorter. CBF is too low by about as much, more with still longer tails."
    )
    return Check("residue shape", "warn", text, abs(flow - 1.0))


def judge_skull(skull: Skull | None, geometry: Geometry) -> Check:
    """Return whether bone encloses the automatic mask (None: the mask is the user's) in all slices that hold brain."""
    if skull is None:
        return Check("skull", "not applicable", "The brain mask is the user's.")
    doubts = []
    if skull.cut.any():
        doubts.append(
            f"The image ends in the brain in {_slices(skull.cut, geometry)}: what lies beyond is in no map and no "
            "volume. Reconstruct the scan with a wider field of view."
        )
    if skull.stripped:
        doubts.append("The skull was taken off before: the brain mask is what the scan shows. Look at it (step 3).")
        return Check("skull", "warn" if skull.cut.any() else "not applicable", " ".join(doubts))
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
        return Check("skull", "warn", " ".join(doubts), float((skull.opened | skull.left_out | skull.cut).sum()))
    return Check("skull", "pass", "Bone encloses the brain in all slices.", 0.0)


def judge_metal(skull: Skull | None, geometry: Geometry) -> Check:
    """Return whether slices of the automatic mask (None: the mask is the user's) show metal: it throws streaks."""
    if skull is None:
        return Check("metal", "not applicable", "The brain mask is the user's.")
    if not skull.metal.any():
        return Check("metal", "pass", "No slice of the brain shows metal.", 0.0)
    text = (
        f"There is metal in {_slices(skull.metal, geometry)}: a clip, coil, electrode or implant. Its streaks darken "
        "and brighten tissue, which then may count as CSF, bone or clotted blood, and where they change from frame to "
        "frame curves are wrong. Look at these slices (step 1); leave what is spoilt out of the mask (--mask)."
    )
    return Check("metal", "warn", text, float(skull.metal.sum()))


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


def _place(part: Image, brain: Image) -> str:
    """Return on which side of the brain a part of it lies, and in which slices."""
    geometry = part.geometry
    side = side_of(middle_of(part.values), middle_of(brain.values), geometry)
    held = radiological(part.values, geometry).any(axis=(1, 2))
    where = f"around the {side}" if side == "midline" else f"on the patient's {side}"
    return f"{where}, in {_slices(np.asarray(held), geometry)}"


def _slices(chosen: MaskArray, geometry: Geometry) -> str:
    """Return how many displayed slices are chosen, and between which heights they lie."""
    labels = [label for label, one in zip(slice_labels(geometry), chosen, strict=True) if one]
    between = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
    return f"{len(labels)} of {chosen.size} slices ({between})"
