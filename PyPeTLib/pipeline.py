"""The whole analysis, read as the abstract of a paper: this file alone knows the order of the steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from PyPeTLib.analysis import Analysis, Lesions, Maps, Prepared
from PyPeTLib.arteries import find_artery
from PyPeTLib.bolus import before_artery, find_bolus
from PyPeTLib.brain import brain_in_skull
from PyPeTLib.checks import Check
from PyPeTLib.chunks import in_parallel, mean_frame, share, stopping
from PyPeTLib.deconvolve import check_signal, deconvolve
from PyPeTLib.denoise import enhancement, masked_hu, smooth
from PyPeTLib.derive import derived_maps
from PyPeTLib.drift import find_drift, find_jumps, taken_off
from PyPeTLib.errors import QualityError
from PyPeTLib.frame_noise import frame_noise_hu
from PyPeTLib.frames import check_values, in_all_frames, with_head
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.given import Given, Measured, Vessel, check_kinds, check_mask, checked, users_curve
from PyPeTLib.input_noise import input_noise_hu
from PyPeTLib.leakage import without_leak
from PyPeTLib.lesions import find_lesions, judge_lesions
from PyPeTLib.maps import perfusion_maps
from PyPeTLib.methods import methods_text
from PyPeTLib.midsagittal import find_midplane
from PyPeTLib.mixtures import without_mixtures
from PyPeTLib.motion import between_slices, corrected, measure_motion, unseen_mm
from PyPeTLib.progress import Progress, silent
from PyPeTLib.quality import judge
from PyPeTLib.quality_frames import (
    judge_drift,
    judge_frame_noise,
    judge_jumps,
    judge_motion,
    judge_noise,
    judge_range,
    judge_slice_jumps,
    motion_unknown,
)
from PyPeTLib.quality_maps import (
    judge_fit,
    judge_hyperdense,
    judge_leakage,
    judge_maps,
    judge_metal,
    judge_residue,
    judge_skull,
    judge_timing,
    judge_tissue,
)
from PyPeTLib.records import Bolus, Curves, Drift, Jumps, Midplane, Motion, ResidueFit, Skull, VascularCurve
from PyPeTLib.residue import likeliest_residue
from PyPeTLib.scan import Points, Series
from PyPeTLib.seeds import grow_seeds
from PyPeTLib.settings import Settings
from PyPeTLib.slice_levels import find_slice_jumps, without_slice_jumps
from PyPeTLib.times import MINIMUM_FRAMES
from PyPeTLib.tissue import hyperdense, not_tissue
from PyPeTLib.veins import find_vein, scaled_to_vein
from PyPeTLib.vessels import FEWEST_VESSELS, VesselVoxels, beyond_motion, likely_vessels, vessel_voxels

#: Share of a run that comes before deconvolution.
PREPARED = 0.75
#: Opens a timed step: its name, and where it begins and ends on the way from 0 to 1.
Step = Callable[[str, float, float], AbstractContextManager[Progress]]
#: Of fewer all might be vessels, and none would be left that tells the level of the frames.
FEWEST_BRAIN_VOXELS = 2 * FEWEST_VESSELS


def analyze(
    series: Series,
    settings: Settings | None = None,
    *,
    brain: Image | None = None,
    aif: Vessel | None = None,
    vof: Vessel | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Analysis:
    """Compute perfusion maps from a CT perfusion scan.

    Motion, brain mask, bolus arrival, arterial and venous curve, enhancement, denoising, CSF and large vessels,
    shape of the residue, mid-sagittal plane, deconvolution, maps, lesions.

    Parameters
    ----------
    series : Series
        The scan in HU.
    settings : Settings, optional
        What to do; the defaults otherwise.
    brain : Image, optional
        Brain mask on the scan's grid to be used instead of the automatic one.
    aif, vof : Image, Points or TimeCurve, optional
        Mask on the scan's grid, points in the vessel, or the curve itself, to be used instead of what is found
        automatically. Around points the mask is grown in the scan whose motion was corrected.
    force : bool
        Return a result even where the data allow no trustworthy one; some of its checks fail then.
        Without a brain, a bolus or anything that enhances there is nothing to force.
    progress : callable
        ``progress(fraction, text)`` with a fraction from 0 to 1; raising from it cancels.

    Raises
    ------
    InputError
        If an argument is of another kind, such as a bare array, the scan has too few frames, less than 0.1 or more than
        30 s between two, or voxels that are no numbers, a mask lies on another grid or has too few
        voxels, a curve does not cover the scan, or points are in no vessel.
    QualityError
        If the data allow no trustworthy result: no brain, no bolus, nothing that enhances (even with ``force``); no
        artery, contrast agent in the first frames, or another check that fails (without it).

    Examples
    --------
    >>> from PyPeTLib import analyze
    >>> from PyPeTLib.phantom import HeadOptions, head_phantom
    >>> head = head_phantom(HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45))
    >>> analysis = analyze(head.series)
    >>> analysis.maps.cbf.unit
    'mL/100 g/min'
    """
    before = share(progress, 0.0, PREPARED)
    prepared = prepare(series, settings, brain=brain, aif=aif, vof=vof, force=force, progress=before)
    return finish(prepared, force=force, progress=share(progress, PREPARED, 1.0))


def prepare(
    series: Series,
    settings: Settings | None = None,
    *,
    brain: Image | None = None,
    aif: Vessel | None = None,
    vof: Vessel | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """Do the first half of `analyze`, up to the denoised curves; parameters and errors are the same."""
    check_kinds(series, settings, brain, aif, vof)
    settings = settings or Settings()
    kept, frames = _with_head(series, brain)
    given = checked(kept, aif, "Arterial curve", "AIF mask"), checked(kept, vof, "Venous curve", "VOF mask")
    step, seconds = _stepper(progress, {})
    with step("Motion", 0.0, 0.2) as inner:
        still = _enough_frames(_steadied(kept, settings, inner), series)
    own_aif, own_vof = (_in(still, one, brain, settings) for one in given)
    with step("Brain mask", 0.2, 0.3) as inner:
        mask, inside, skull, shown = _brain(still, kept, brain, settings, inner)
    with step("Reading curves", 0.3, 0.4) as inner:
        hu = masked_hu(still.series, mask.values, settings=settings, progress=inner)
    with step("Arterial input", 0.4, 0.55) as inner:
        found = _as_given(_vascular_curves(still, hu, mask, settings, own_aif, own_vof, force, inner), *given)
    with step("Temporal components", 0.55, 0.7) as inner:
        curves = _enhancement(still.series, hu, mask, found, settings, inner)
        noise_hu = frame_noise_hu(hu, mask.values, still.series.times_s)
        del hu
    checks = (*kept.checks, frames, shown, *_judged(still, kept, skull, found, curves, noise_hu, settings))
    _refuse_failed(checks, force)
    with step("Denoising", 0.7, 0.95) as inner:
        smoothed, leak = _smoothed(curves, still, mask, found.aif, settings, inner)
    shaped = _shaped(still, mask, found, settings, step)
    with step("CSF and large vessels", 0.97, 1.0):
        csf, vessels, bone, told = _not_tissue(smoothed, found.aif, mask, still.series, settings)
    return Prepared(
        series=still.series,
        raw=series,
        settings=settings,
        motion=still.motion,
        brain=mask,
        inside=inside,
        brain_source=_source(skull),
        **vars(found),
        curves=smoothed,
        shaped=shaped,
        csf=csf,
        vessels=vessels,
        bone=bone,
        checks=(*checks, judge_noise(smoothed), judge_leakage(leak, mask), *told),
        seconds=seconds,
    )


def finish(prepared: Prepared, *, force: bool = False, progress: Progress = silent) -> Analysis:
    """Do the second half of `analyze`: deconvolution, maps and lesions.

    Raises
    ------
    QualityError
        If the maps cannot be those of a brain, without ``force``.
    """
    step, seconds = _stepper(progress, prepared.seconds)
    with step("Shape of the residue and mid-sagittal plane", 0.0, 0.1) as inner:
        told, still = stopping(inner)
        found = in_parallel(lambda find: find(prepared, still), [_residue, _midplane], progress=told)
        residue, plane = cast("tuple[ResidueFit | None, Midplane | None]", tuple(found))
    maps = _maps(prepared, residue, step)
    of_maps = *judge_maps(maps, prepared.brain), *judge_timing(maps, prepared.tissue)
    checks = (*prepared.checks, *of_maps, *judge_fit(residue), *judge_residue(residue))
    _refuse_failed(checks, force)
    lesions = _lesions(prepared, maps, plane, step)
    checks = (*checks, *judge_lesions(lesions))
    known = {entry.name: getattr(prepared, entry.name) for entry in fields(prepared)}
    return Analysis(
        **{**known, "checks": checks, "seconds": seconds},
        maps=maps,
        lesions=lesions,
        derived=derived_maps(maps, prepared.brain, settings=prepared.settings),
        methods_text=methods_text(prepared, residue=maps.residue, strength=maps.strength, lesions=lesions),
    )


@dataclass(frozen=True)
class _Vascular:
    """What the vessels tell, by its names in `Prepared`."""

    bolus: Bolus
    drift: Drift | None
    jumps: Jumps
    slice_jumps: Jumps
    aif: VascularCurve
    vof: VascularCurve | None


@dataclass(frozen=True)
class _Still:
    """A scan of a head that is still: what motion correction returns, or the scan itself."""

    series: Series
    motion: Motion | None
    restored: MaskArray | None = None
    checks: tuple[Check, ...] = ()


def _with_head(series: Series, brain: Image | None) -> tuple[Series, Check]:
    """Return the frames that show a head, and what is to be known of the others; the brain is the user's mask."""
    check_values(series)
    kept, frames = with_head(series)
    check_mask(kept, brain, "Brain mask", FEWEST_BRAIN_VOXELS)
    return kept, frames


def _steadied(series: Series, settings: Settings, progress: Progress) -> _Still:
    """Measure motion and correct it where the settings ask for it."""
    if settings.motion == "off":
        return _Still(series, None, checks=motion_unknown("not applicable", "Motion correction is switched off."))
    try:
        measured = measure_motion(series, settings=settings, progress=share(progress, 0.0, 0.5))
    except QualityError as error:
        if settings.motion == "on":
            raise
        return _Still(series, None, checks=motion_unknown("warn", str(error)))
    still, motion, restored = corrected(series, measured, settings=settings, progress=share(progress, 0.5, 1.0))
    return _Still(still, motion, restored, judge_motion(motion, settings=settings))


def _enough_frames(still: _Still, read: Series) -> _Still:
    """Return a scan of which frames were left out; refuse it where too few remain."""
    if still.series.frames < MINIMUM_FRAMES:
        raise QualityError(
            f"Frames: at least {MINIMUM_FRAMES} that show the head and are not left out for motion are needed; found "
            f"{still.series.frames} of {read.frames}. Keep those that moved (motion_beyond=keep), or give a whole scan."
        )
    return still


def _source(skull: Skull | None) -> str:
    """Return where a brain mask comes from, by what is known of the skull around it."""
    if skull is None:
        return "user's mask"
    return "scan without its skull" if skull.stripped else "automatic"


def _restored(brain: Image, restored: MaskArray | None) -> Image:
    """Return the part of a mask where every frame could be put into the position of the first."""
    if restored is None:
        return brain
    if not (brain.values & restored).any():
        raise QualityError(
            "Motion: brain that every frame shows is needed; found none. Leave frames out "
            "(motion_beyond=leave-out, motion_limit_mm) or switch the correction off (motion=off)."
        )
    return replace(brain, values=brain.values & restored)


def _in(still: _Still, given: Given, brain: Image | None, settings: Settings) -> Measured:
    """Return what the user gave for a vessel, in a still head: points grown to a mask, of a curve the frames left."""
    if isinstance(given, Points):
        return grow_seeds(still.series, given.places_mm, brain, settings=settings)
    if given is None or isinstance(given, Image) or still.motion is None:
        return given
    return given[~still.motion.left_out]


def _brain(
    still: _Still, raw: Series, given: Image | None, settings: Settings, progress: Progress
) -> tuple[Image, Image, Skull | None, Check]:
    """Return the brain mask, the user's or an automatic one, as far as all frames show it, and with what motion hides.

    And what is to be known of the skull around an automatic one, and of brain that some frames do not show.
    """
    whole, skull = given, None
    if whole is None:
        mean_hu = mean_frame(still.series.values, progress=share(progress, 0.0, 0.4))
        middle = share(progress, 0.4, 0.8)
        whole, skull = brain_in_skull(mean_hu, still.series.geometry, settings=settings, progress=middle)
    inside, check = in_all_frames(whole, raw, progress=share(progress, 0.8, 1.0))
    shown = _restored(inside, still.restored)
    if np.count_nonzero(shown.values) < FEWEST_BRAIN_VOXELS:
        raise QualityError(
            f"Brain mask: at least {FEWEST_BRAIN_VOXELS} voxels that every frame shows are needed; found "
            f"{np.count_nonzero(shown.values)} of {np.count_nonzero(whole.values)}. Leave out frames that show less."
        )
    return shown, inside, skull, check


def _vascular_curves(
    still: _Still,
    hu: npt.NDArray[Any],
    mask: Image,
    settings: Settings,
    aif: Measured,
    vof: Measured,
    force: bool,
    progress: Progress,
) -> _Vascular:
    """Return bolus, drift, jumps of frames and slices, arterial input and venous output, the user's if given.

    The input is scaled for partial volume. Where the arterial curve begins before the end of the baseline, both are
    found again with the shorter baseline; and without drift and jumps of frames, where there are any. What slices jump
    by is little against the contrast of a vessel.
    """
    series = still.series
    times_s, geometry = series.times_s, series.geometry
    likely = likely_vessels(hu, progress=share(progress, 0.0, 0.5))
    beyond = beyond_motion(likely, series.values[0], mask.values, geometry.spacing_zyx_mm, unseen_mm(still.motion))

    def measured(bolus: Bolus, taken_hu: FloatArray, progress: Progress) -> tuple[VesselVoxels, VascularCurve]:
        steady = replace(beyond, hu=beyond.hu - taken_hu[:, None]) if taken_hu.any() else beyond
        vessels = vessel_voxels(steady, bolus.baseline_frames, mask.values, times_s)
        if aif is not None:
            return vessels, users_curve(series, aif, bolus, drift_hu=taken_hu, progress=progress)
        arrival_s = bolus.arrival_s
        return vessels, find_artery(
            vessels, geometry, times_s, arrival_s=arrival_s, settings=settings, force=force, progress=progress
        )

    found = find_bolus(beyond.hu, beyond.noise_hu, times_s, settings=settings)
    vessels, artery = measured(found, np.zeros_like(times_s), share(progress, 0.5, 0.7))
    bolus = before_artery(found, artery.fit, times_s, settings=settings)
    drift = find_drift(hu, likely.columns, bolus.baseline_frames, artery.curve_hu, times_s, settings=settings)
    jumps = find_jumps(hu, likely.columns, artery.curve_hu, drift, times_s, settings=settings)
    taken_hu = taken_off(drift, jumps)
    if bolus is not found or taken_hu.any():
        vessels, artery = measured(bolus, taken_hu, share(progress, 0.7, 0.9))
    check_signal(artery.measured_hu)  # whatever is forced, with none there is nothing to look at
    last = share(progress, 0.9, 1.0)
    if vof is None:
        vein = find_vein(vessels, artery, geometry, times_s)
    else:
        vein = users_curve(series, vof, bolus, drift_hu=taken_hu, progress=last)
    slice_jumps = find_slice_jumps(hu, likely.columns, mask, artery.curve_hu, taken_hu, times_s, settings=settings)
    scaled = scaled_to_vein(artery, vein, times_s, settings=settings)
    return _Vascular(bolus, drift, jumps, slice_jumps, scaled, vein)


def _judged(
    still: _Still,
    read: Series,
    skull: Skull | None,
    found: _Vascular,
    curves: Curves,
    noise_hu: FloatArray | None,
    settings: Settings,
) -> tuple[Check, ...]:
    """Return the checks of what the curves rest on."""
    series = still.series
    head = judge_skull(skull, series.geometry), judge_metal(skull, series.geometry)
    levels = judge_drift(found.drift), judge_jumps(found.jumps), judge_slice_jumps(found.slice_jumps)
    return (
        *still.checks,
        *head,
        judge_range(read, found.aif, found.vof),
        *levels,
        judge_frame_noise(noise_hu, series.times_s),
        *judge(series, found.bolus, curves, found.aif, found.vof, settings=settings),
    )


def _enhancement(
    series: Series, hu: npt.NDArray[Any], mask: Image, found: _Vascular, settings: Settings, progress: Progress
) -> Curves:
    """Return the enhancement of the brain above the baseline, without drift and jumps."""
    taken_hu, baseline = taken_off(found.drift, found.jumps), found.bolus.baseline_frames
    steady = without_slice_jumps(hu, mask, found.slice_jumps)
    return enhancement(
        steady, baseline, mask.values, series.geometry, drift_hu=taken_hu, settings=settings, progress=progress
    )


def _shaped(still: _Still, mask: Image, found: _Vascular, settings: Settings, step: Step) -> Curves | None:
    """Return the curves of the default denoising, where the residue's shape is sought and the denoising is another.

    The shape is the patient's, whatever the denoising. The best tissue of a noisy voxel fits its noise, too, and the
    better the sharper the residue is, so the shape is told by curves that the default denoising leaves little noise.
    """
    usual = settings.with_usual_denoising
    if not settings.residue_sought or settings == usual:
        return None
    with step("Denoising for the shape of the residue", 0.95, 0.97) as inner:
        hu = masked_hu(still.series, mask.values, settings=usual, progress=share(inner, 0.0, 0.1))
        curves = _enhancement(still.series, hu, mask, found, usual, share(inner, 0.1, 0.4))
        return _smoothed(curves, still, mask, found.aif, usual, share(inner, 0.4, 1.0))[0]


def _smoothed(
    curves: Curves, still: _Still, mask: Image, artery: VascularCurve, settings: Settings, progress: Progress
) -> tuple[Curves, Image]:
    """Return the denoised curves, and where agent leaves the vessels.

    Without what motion mixed into them from neighbouring slices, and without what has left the vessels.
    """
    geometry = mask.geometry
    smoothed = smooth(curves, geometry, settings=settings, progress=share(progress, 0.0, 0.9))
    if still.motion is not None and still.restored is not None:
        blurs = between_slices(still.motion, geometry, mask.values)
        smoothed = without_mixtures(smoothed, blurs, slice_axis=2 - geometry.slice_axis)
    last, times_s = share(progress, 0.9, 1.0), still.series.times_s
    return without_leak(smoothed, artery.curve_hu, times_s, geometry, settings=settings, progress=last)


def _not_tissue(
    curves: Curves, artery: VascularCurve, mask: Image, series: Series, settings: Settings
) -> tuple[Image, Image, Image, tuple[Check, Check]]:
    """Return CSF, large vessels and what shares bone, and what is to be known of the tissue that is left."""
    csf, vessels, bone = not_tissue(curves, artery.curve_hu, series.times_s, series.geometry, settings=settings)
    dense = hyperdense(curves, vessels, bone, settings=settings)
    told = judge_tissue(mask, csf, vessels, bone, settings=settings), judge_hyperdense(dense, mask)
    return csf, vessels, bone, told


def _maps(prepared: Prepared, residue: ResidueFit | None, step: Step) -> Maps:
    """Deconvolve the curves and turn the responses into maps."""
    curves, aif_hu, times_s = prepared.curves, prepared.aif.curve_hu, prepared.series.times_s
    settings = prepared.settings if residue is None else prepared.settings.changed({"residue": residue.shape})
    with step("Deconvolution", 0.1, 0.5) as inner:
        response = deconvolve(curves, aif_hu, times_s, settings=settings, progress=inner)
    with step("Maps", 0.5, 0.8) as inner:
        return perfusion_maps(
            curves,
            response,
            aif_hu,
            times_s,
            arrival_s=prepared.bolus.arrival_s,
            geometry=prepared.series.geometry,
            settings=prepared.settings,
            progress=inner,
        )


def _residue(prepared: Prepared, progress: Progress) -> ResidueFit | None:
    """Return the shape of the residue that suits the brain best, where the method asks for one."""
    if not prepared.settings.residue_sought:
        return None
    noise_hu = input_noise_hu(
        prepared.aif,
        prepared.series,
        prepared.curves,
        baseline_frames=prepared.bolus.baseline_frames,
        taken_hu=taken_off(prepared.drift, prepared.jumps),
    )
    return likeliest_residue(
        prepared.curves if prepared.shaped is None else prepared.shaped,
        prepared.aif.curve_hu,
        prepared.series.times_s,
        aif_noise_hu=noise_hu,
        settings=prepared.settings,
        progress=progress,
    )


def _midplane(prepared: Prepared, progress: Progress) -> Midplane | None:
    """Return the plane between the halves of the brain.

    What some frames do not show is cut from one side more than from the other, so all that is inside the skull counts.
    """
    curves, inside, geometry = prepared.curves, prepared.inside.values, prepared.series.geometry
    native_hu = prepared.series.values[0][inside].astype(float)
    native_hu[curves.mask[inside]] = curves.native_hu
    return find_midplane(native_hu, inside, geometry, settings=prepared.settings, progress=progress)


def _lesions(prepared: Prepared, maps: Maps, plane: Midplane | None, step: Step) -> Lesions:
    """Find what is ill."""
    geometry, settings = prepared.series.geometry, prepared.settings
    with step("Lesions", 0.8, 1.0) as inner:
        tissue, vessels = prepared.tissue.values, prepared.vessels.values
        return find_lesions(maps, tissue, vessels, plane, geometry, settings=settings, progress=inner)


def _as_given(found: _Vascular, aif: Given, vof: Given) -> _Vascular:
    """Return the curves so that they say where their mask was grown from the user's points."""
    artery, vein = found.aif, found.vof
    if isinstance(aif, Points):
        artery = replace(artery, source="user's points")
    if vein is not None and isinstance(vof, Points):
        vein = replace(vein, source="user's points")
    return replace(found, aif=artery, vof=vein)


def _refuse_failed(checks: tuple[Check, ...], force: bool) -> None:
    """Raise what makes a result untrustworthy, unless the user wants it all the same."""
    failed = [check.text for check in checks if check.status == "fail"]
    if failed and not force:
        how = "Use --force (in Python force=True, in 3D Slicer 'Compute maps all the same') to have maps all the same."
        raise QualityError(" ".join([*failed, how]))


def _stepper(progress: Progress, before: Mapping[str, float]) -> tuple[Step, dict[str, float]]:
    """Return a context manager that times a step and reports where it begins; and its seconds, with those before."""
    seconds = dict(before)

    @contextmanager
    def step(name: str, low: float, high: float) -> Iterator[Progress]:
        progress(low, name)
        start = time.perf_counter()
        yield share(progress, low, high, name)
        short = name if name[:2].isupper() else f"{name[0].lower()}{name[1:]}"
        seconds[short] = time.perf_counter() - start
        progress(high, name)

    return step, seconds
