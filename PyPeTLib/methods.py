"""Methods paragraphs made of the steps that ran, ready for a paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from PyPeTLib.analysis import Lesions, Prepared
from PyPeTLib.checks import Check
from PyPeTLib.records import Drift, Jumps, VascularCurve
from PyPeTLib.settings import LINEAR, LesionRule, Settings
from PyPeTLib.typeset import begins, percent, typeset

DENOISING = {
    "bilateral": "projected on {components} principal temporal components and smoothed twice by a bilateral filter "
    "(Mendrik 2011) guided by time course and mean HU, the second time by those of the first (spatial SD "
    "{s.bilateral_sigma_mm:g} mm, similarity {s.bilateral_similarity:g} and {s.bilateral_anatomy:g} noise SD), after "
    "which heights got back what averaging took (averaged twicing, Tukey 1977)",
    "gaussian": "projected on {components} principal temporal components and smoothed inside the mask by a Gaussian "
    "(SD {s.gaussian_sigma_mm:g} mm)",
    "curvature-flow": "smoothed frame by frame by curvature flow ({s.curvature_flow_iterations} iterations of step "
    "{s.curvature_flow_step:g})",
    "none": "used without spatial smoothing",
}
DECONVOLUTION = {
    "bayesian": "Bayesian comparison (Mouridsen 2006, Boutelier 2012) with tissue curves of every delay (−4 to 16 s "
    "about the usual one) and mean transit time (1 to 30 s, {s.mtt_prior} prior), made from the arterial curve with "
    "{residue}{tissues}{times}",
    "nlr": "nonlinear regression of delay, mean transit time (2 to 30 s) and volume (Bennink 2016) with {residue}",
    "stable-spline": "nonlinear stochastic regularisation (Zanderigo 2009) with a stable spline (Peruzzo 2017) as "
    "prior of a non-negative response, its delay, decay and size by the evidence of each voxel",
    "bSVD": "delay-insensitive block-circulant singular value decomposition (Wu 2003) truncated at {cutoff} "
    "of the largest singular value",
    "sSVD": "standard singular value decomposition (Østergaard 1996) truncated at {cutoff} of the largest "
    "singular value",
    "oSVD": "block-circulant singular value decomposition with an oscillation index of at most "
    "{s.oscillation_index:g} (Wu 2003)",
    "tikhonov": "block-circulant Tikhonov regularisation with a strength of {strength} times the largest "
    "singular value{how}",
    "max-slope": "the maximum slope of each curve over the maximum of the arterial curve, both means over "
    "{s.slope_window_s:g} s",
}
#: Added where a voxel may be of two tissues.
MIXED = ", and with mixtures of usual tissue and tissue that is 4 to 14 s later"
#: Added where what is expected is learned from the scan.
LEARNED = {
    "neighbours": "; the distribution of both times was learned from the brain (Laird 1978), that of the delay from "
    "the surroundings of each voxel as well (Sanjay-Gopal 1998)",
    "patient": "; the distribution of both times was learned from the brain (Laird 1978)",
    "none": "",
}
#: What is said where the bias of a linear method was removed.
CORRECTED = (
    "The bias of the regularised deconvolution was found by the same method on noise-free tissue curves of every delay "
    "(−4 to 16 s about the usual one) and mean transit time (2 to 30 s), made from the arterial curve with {residue}, "
    "and removed from CBF, CBV, MTT and Tmax; Tmax before it is given as well (tmax_uncorrected)."
)
BRAIN = {
    "skull": "The region inside the skull was segmented by closing the bone slice by slice.",
    "fast-marching": "The region inside the skull was segmented by fast marching (Sethian 1996).",
}
#: The same where the mask came about otherwise, by its source.
BRAIN_OTHERWISE = {
    "user's mask": "The brain mask was supplied.",
    "scan without its skull": "The scan came without its skull; the brain mask is what it shows.",
}
#: How an arterial input came about, by its source, where it is no mask that was supplied.
HOW_FOUND = {
    "automatic": "found automatically (all voxels that show the curve of the best-scoring artery)",
    "user's points": "grown from supplied points",
    "user's curve": "supplied as a curve",
}
#: Where the thresholds of each rule were published.
PUBLISHED: dict[LesionRule, str] = {
    "RAPID-like": "Albers 2018",
    "Cereda": "Cereda 2016",
    "MIStar-like": "Bivard 2014",
    "Philips-like": "Wintermark 2006",
}


def methods_text(prepared: Prepared, *, residue: str, strength: float | None, lesions: Lesions) -> str:
    """Return three paragraphs, empty lines between them: up to the curves, from there to the maps, and lesions.

    ``residue`` and ``strength`` are what `Maps` says the maps rest on.
    """
    settings, bolus, components = prepared.settings, prepared.bolus, len(prepared.curves.basis)
    to_curves = [
        *_on_slice_times(prepared.series.checks),
        *_on_motion(prepared, settings),
        BRAIN_OTHERWISE.get(prepared.brain_source, BRAIN[settings.brain]),
        f"Enhancement was measured above the mean of {bolus.baseline_frames} frames before bolus arrival "
        f"({bolus.arrival_s:.1f} s) and {DENOISING[settings.denoise]}.".format(s=settings, components=components),
        *_on_drift(prepared.drift),
        *_on_jumps(prepared.jumps, "frame to frame", "the brain's mean"),
        *_on_jumps(prepared.slice_jumps, "slice to slice of each frame", "a slice's mean"),
        *_on_resolution(prepared.curves.resolution_mm),
        *_on_leakage(prepared.checks),
    ]
    to_maps = [
        _arterial_sentence(prepared.aif, prepared.vof),
        _on_deconvolution(settings, residue, strength),
        _on_units(settings, residue),
        f"Statistics leave out CSF (below {settings.csf_hu:g} HU without contrast), what shares bone (above "
        f"{settings.bone_rim_hu:g} HU) and large vessels (CBV above {settings.vessel_cbv:g} mL/100 g and three times "
        "the median).",
    ]
    return "\n\n".join(" ".join(part) for part in (to_curves, to_maps, [*_on_lesions(lesions, settings)]))


def _on_slice_times(checks: Sequence[Check]) -> Iterator[str]:
    """Yield that slices were taken to common times; nothing where they were not."""
    for check in checks:
        if check.name == "slice times" and check.doubtful:
            yield (
                f"Slices, acquired up to {check.value:.1f} s from the time of their frame, were taken to it by cubic "
                "splines, smoothed where noise would grow."
            )


def _on_leakage(checks: Sequence[Check]) -> Iterator[str]:
    """Yield that what has left the vessels was taken off; nothing where nothing was."""
    for check in checks:
        if check.name == "leakage" and check.doubtful:
            yield (
                f"In {check.value:.1f} mL where contrast agent leaves the vessels the running integral of the arterial "
                "curve (Patlak 1983) was taken off, as high as fits beside the best tissue."
            )


def _on_drift(drift: Drift | None) -> Iterator[str]:
    """Yield what was taken off for the drift of the scanner; nothing where nothing was."""
    if drift is not None and drift.corrected:
        seen = f"seen in the brain over {drift.frames} frames before the bolus"
        if not drift.before_bolus:
            seen = "told beside the best non-negative sum of tissue curves by the mean curve of the brain"
        slope = f"{typeset(f'{drift.hu_per_minute:+.1f}')} ± {drift.sd_hu_per_minute:.1f} HU per minute"
        yield f"A drift of {slope}, {seen}, was taken off all frames as a straight line."


def _on_jumps(jumps: Jumps, between: str, mean: str) -> Iterator[str]:
    """Yield what was taken off for frames or slices that are brighter or darker; nothing where nothing was."""
    if jumps.corrected:
        yield (
            f"Jumps of all HU from {between} (SD {jumps.sd_hu:.1f} HU), which a non-negative sum of tissue curves "
            f"does not explain of {mean}, were taken off."
        )


def _on_resolution(resolution_mm: float | None) -> Iterator[str]:
    """Yield how much was averaged; nothing where it is not known."""
    if resolution_mm is not None:
        yield (
            "In the plane of the slices all maps average tissue of one kind as much as a Gaussian of "
            f"{resolution_mm:.1f} mm (full width at half maximum, median over the brain)."
        )


def _on_deconvolution(settings: Settings, residue: str, strength: float | None) -> str:
    """Say how flow, volume and times were found."""
    what = "Flow was" if settings.method == "max-slope" else "Impulse responses were"  # it has none
    text = f"{what} computed by {DECONVOLUTION.get(settings.method, f'the method {settings.method}')}."
    shape = f"{_with_article(residue)} residue{_chosen_how(settings)}" if residue else ""
    if settings.method == "max-slope":
        return text.format(s=settings) + (
            " Tmax is the time from the arterial peak to the steepest rise. Where blood leaves tissue before the "
            "arterial peak, CBF is too small and Tmax too early."
        )
    if settings.method not in LINEAR:
        tissues = MIXED if settings.voxel_tissues == "two" else ""
        return text.format(s=settings, residue=shape, tissues=tissues, times=LEARNED[settings.timing_prior])
    how = ", found by generalised cross-validation (Golub 1979)" if settings.tikhonov_choice == "gcv" else ""
    bias = (
        CORRECTED.format(residue=shape)
        if settings.bias_removed
        else "CBF and Tmax carry the bias of the regularised deconvolution."
    )
    cutoff = percent(settings.ssvd_cutoff if settings.method == "sSVD" else settings.bsvd_cutoff)
    strength_text = "" if strength is None else typeset(f"{strength:.3g}")
    return text.format(s=settings, cutoff=cutoff, strength=strength_text, how=how) + (
        " Beyond the last frame curves were continued by an exponential decay (time constant a quarter of the scan), "
        f"for areas and block-circulant methods alike. {bias}"
    )


def _on_units(settings: Settings, residue: str) -> str:
    """Say what flow and volume are per, and what the times are; of the maximum slope `_on_deconvolution` says it."""
    top = "middle" if residue == "box" else "maximum"  # a box is as high everywhere
    tmax = "" if settings.method == "max-slope" else f" Tmax the time of the {top} of the response,"
    return (
        f"Flow and volume are per mass of tissue of density {settings.tissue_density_g_ml:g} g/mL, with hematocrits of "
        f"{settings.hematocrit_large:g} (large vessels) and {settings.hematocrit_small:g} (small vessels); "
        f"MTT is CBV/CBF,{tmax} TTP counts from bolus arrival."
    )


_NORMAL = {
    "none": "of both sides, as no lesion was found,",
    **dict.fromkeys(("left", "right", "both", "unknown"), "of the side without the lesion"),
}


def _on_late_tissue(settings: Settings) -> Iterator[str]:
    """Yield what tissue of uncertain timing, and beside vessels, counts as."""
    if settings.method == "bayesian":
        yield (
            "By Tmax or delay, tissue counted as late if it was later than the median (or than "
            f"{settings.normal_tmax_s:g} s, if that is less) with a probability of at least "
            f"{settings.late_probability:.3g}, by the standard deviation of its delay."
        )
    if settings.vessel_margin_mm > 0.0:
        yield f"Within {settings.vessel_margin_mm:g} mm of large vessels tissue counted as the nearest other."


def _on_lesions(lesions: Lesions, settings: Settings) -> Iterator[str]:
    """Yield what core and hypoperfusion are, and what they are compared with."""
    share, least_ml = settings.both_sides_share, settings.both_sides_ml
    rule = begins(lesions.rule)
    source = PUBLISHED.get(settings.lesion_rule)
    rule += f" (thresholds of {source})" if source else ""
    yield f"{rule}; connected parts of less than {settings.smallest_lesion_ml:g} mL were left out."
    yield from _on_late_tissue(settings)
    normal = (
        f"Normal tissue is that {_NORMAL[lesions.side]} with Tmax of at most {settings.normal_tmax_s:g} s, CSF, bone, "
        "large vessels and what lies beside these left out"
    )
    if lesions.midplane is None:
        found = f"was found. {normal}." if lesions.normal else "was found and relative values were withheld."
        yield f"No mid-sagittal plane {found}"
        return
    withheld = ", as here: relative values were withheld" if lesions.side == "both" else ""
    yield (
        "The mid-sagittal plane was found by mirroring the brain without contrast "
        f"(within {settings.midplane_limit_degrees:g}° of the scan's axis) and a robust fit to local middles "
        f"({lesions.midplane.tilt_degrees:.1f}° from the left-right axis). {normal}; "
        f"both sides count as ill where the smaller hypoperfusion has at least "
        f"{percent(share)} of the larger and {least_ml:g} mL{withheld}."
    )


def _chosen_how(settings: Settings) -> str:
    """Say where the shape of the residue is from, if there was a choice."""
    if settings.method == "nlr":
        return ""
    return " (the shape that fits this brain best)" if settings.residue == "automatic" else " (chosen)"


def _with_article(shape: str) -> str:
    return f"an {shape}" if shape[0] in "aeiou" else f"a {shape}"


def _on_motion(prepared: Prepared, settings: Settings) -> Iterator[str]:
    """Yield what was done about motion; nothing where it was not measured."""
    motion = prepared.motion
    if motion is None:
        return
    yield (
        "Motion of the head was measured by rigid registration of the edges of bone in every frame to the first "
        f"(inverse compositional, Baker and Matthews 2004; largest displacement {motion.displacement_mm.max():.1f} mm)."
    )
    if motion.corrected.any():
        tolerated = settings.tolerated_motion_mm(prepared.series.geometry)
        beyond = f" that moved by more than {tolerated:.2g} mm" if tolerated else ""
        yield (
            f"{motion.corrected.sum()} of {motion.times_s.size} frames{beyond} were resampled once, linearly and "
            "without bone and air, to the position of the first; all frames were given the same blur across slices."
        )
    if motion.left_out.any():
        yield (
            f"{motion.left_out.sum()} frames that moved by more than {settings.motion_limit_mm:g} mm were left out; "
            "the time axis keeps their gap."
        )


def _arterial_sentence(artery: VascularCurve, vein: VascularCurve | None) -> str:
    how = HOW_FOUND.get(artery.source, "supplied")
    voxels = int(artery.mask.values.sum())
    text = f"The arterial input ({voxels} voxels) was {how}" if voxels else f"The arterial input was {how}"
    if vein is not None and artery.partial_volume_factor > 1.0:
        supplied = "supplied " if vein.source == "user's curve" else ""
        text += f" and scaled by {artery.partial_volume_factor:.2f} to the blood of the {supplied}venous curve"
    return text + "."
