"""Arterial input and venous output: clusters of vessel voxels, fitted, scored and ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import share
from PyPeTLib.curves import area_weights, end_share, noise_level, peaks
from PyPeTLib.errors import InputError, QualityError
from PyPeTLib.gamma import fit_gamma_variate
from PyPeTLib.records import (
    Candidate,
    FloatArray,
    Geometry,
    Image,
    MaskArray,
    Progress,
    Series,
    TimeCurve,
    Traits,
    VascularCurve,
    silent,
)
from PyPeTLib.settings import Settings
from PyPeTLib.transit import WORST_ERROR, fit_transit

#: Vessels are sought among the voxels whose peak exceeds this many standard deviations of the noise ...
VESSEL_NOISE_FACTOR = 5.0
#: ... and among this share of the brain, those that vary most over time; and how many they are at least.
VESSEL_SHARE = 0.05
FEWEST_VESSELS = 50
#: Their curves are reduced to this many principal components.
VESSEL_COMPONENTS = 8
#: Thresholds of the arterial search, from strict to relaxed: percentile of area above and of time to peak below.
RELAXATION = ((95.0, 5.0), (90.0, 10.0), (80.0, 20.0), (60.0, 30.0), (30.0, 50.0))
#: The search stops relaxing once so many clusters are acceptable.
ENOUGH_CANDIDATES = 5
#: Voxels of a cluster below this share of its tallest voxel are edge, not lumen, and are left out.
CORE_SHARE = 0.6
#: A first pass fitted worse than this (root mean square over peak) is no artery.
WORST_FIT = 0.2
#: Heart and lungs spread every bolus by more than this (SD of the first pass, in s); a narrower peak is noise.
NARROWEST_S = 1.5
#: The last tenth of an arterial curve lies below this share of its peak.
HIGHEST_END = 0.6
#: Only so many clusters of each relaxation, the tallest, are looked at.
MOST_CLUSTERS = 8
#: A vein is made of voxels with at least this share of the blood of the fullest ones (their number is given below).
VEIN_SHARE = 0.85
VEIN_VOXELS = 30
#: Of a vein only the voxels are measured that lie deeper inside it than this share of the greatest depth.
CORE_DEPTH = 0.5
#: Of the voxels deep in a vein those count with at least this share of the blood of the fullest ones (percentile):
#: where a vein is thin, or was resampled across thick slices, even its middle is diluted.
FULL_SHARE, FULL_PERCENTILE = 0.95, 90.0
#: By so many SDs noise lifts that percentile, and the few fullest voxels of all veins.
FULL_NOISE, TOP_NOISE = 1.28, 2.0
#: Blood keeps its iodine, so a vein has the area of the artery, or more where that is diluted; some leeway.
LEAST_VENOUS_AREA = 0.75
#: A venous peak below this share of the tallest vessel is tissue or noise.
SMALLEST_VEIN = 0.15
#: Time constants of the score: how late, and how much wider than the narrowest, a curve may be.
LATE_S = 2.0
#: A cluster of this volume in mL has earned its full volume score.
FULL_VOLUME_ML = 0.05
#: The venous curve peaks at least this much later than the arterial one, in s.
VENOUS_DELAY_S = 1.5
#: Before the bolus no mixture of blood, tissue and CSF differs from blood by more than this, in HU; one with bone does.
FOREIGN_HU = 30.0
#: HU of CSF and of cortex, and the area of a voxel full of cortex as a share of that of blood (CBV 4 to 5 mL/100 g).
CSF_HU, CORTEX_HU, CORTEX_AREA = 12.0, 35.0, 0.05
#: What a candidate keeps of its score where all of its voxels lie beside bone, or at the edge of mask or slab.
ALL_BESIDE_BONE, ALL_AT_EDGE = 0.3, 0.7
#: The confidence in an artery rises with its signal-to-noise ratio to 1 − 1/e of its limit here.
GOOD_SIGNAL = 10.0
#: It rises likewise with the time between artery and veins, in s; veins are the latest vessels: this percentile.
GOOD_LEAD_S = 2.0
VENOUS_PERCENTILE = 75.0
#: Nearer to the middle of the brain than this, in mm, a vessel is on neither side.
MIDLINE_MM = 5.0


@dataclass(frozen=True)
class LikelyVessels:
    """The voxels that vary most over time.

    Parameters
    ----------
    columns : ndarray of int, shape (voxel,)
        Their columns in the HU array of the brain.
    hu : ndarray, shape (t, voxel)
        Their HU, projected on the principal temporal components of these voxels alone: in those of all tissue
        thin arteries do not show.
    noise_hu : float
        Standard deviation of the noise that the projection leaves, in HU.
    """

    columns: npt.NDArray[np.intp]
    hu: FloatArray
    noise_hu: float


@dataclass(frozen=True)
class VesselVoxels:
    """The voxels that may be vessels, each array of shape (voxel,) or (voxel, t).

    Parameters
    ----------
    index : ndarray of int
        Their places in the flattened grid.
    curves_hu : ndarray, shape (voxel, t)
        Enhancement in HU, not smoothed in space.
    height_hu, peak_s, area_hu_s : ndarray
        Height and time of the peak, and area.
    baseline_hu : ndarray
        HU before the bolus.
    edge : ndarray of bool
        Whether a neighbour lies outside the mask or the slab.
    noise_hu : float
        Standard deviation of the noise of ``curves_hu`` in HU.
    middle : ndarray, shape (3,)
        Centre of the mask, as an index (x, y, z).
    """

    index: npt.NDArray[np.intp]
    curves_hu: FloatArray
    height_hu: FloatArray
    peak_s: FloatArray
    area_hu_s: FloatArray
    baseline_hu: FloatArray
    edge: npt.NDArray[np.bool_]
    noise_hu: float
    middle: FloatArray

    @cached_property
    def blood_hu(self) -> float:
        """HU of blood before the bolus: the median, which a few voxels beside bone do not move."""
        return float(np.median(self.baseline_hu))

    @cached_property
    def full_area_hu_s(self) -> float:
        """Area of a voxel that is all blood, in HU·s: that of the core of the sinuses."""
        return float(np.sort(self.area_hu_s)[-VEIN_VOXELS:][0])

    @cached_property
    def foreign(self) -> npt.NDArray[np.bool_]:
        """Whether bone, calcification or air shares the voxel."""
        return np.asarray(np.abs(self.baseline_hu - self.blood_hu) > FOREIGN_HU)


def likely_vessels(hu: npt.NDArray[Any], *, progress: Progress = silent) -> LikelyVessels:
    """Return the most variable voxels of the brain with their curves.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the voxels inside the skull.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    variance = _temporal_variance(hu, share(progress, 0.0, 0.6))
    count = min(hu.shape[1], max(FEWEST_VESSELS, round(VESSEL_SHARE * hu.shape[1])))
    columns = np.sort(np.argpartition(variance, -count)[-count:])
    progress(0.7, "")
    curves = hu[:, columns].astype(float)
    level = curves.mean(axis=0)
    curves -= level
    progress(0.8, "")
    _, components = np.linalg.eigh(curves @ curves.T)
    progress(0.85, "")
    kept = components[:, -_kept(len(hu)) :]
    projected = level + kept @ (kept.T @ curves)
    progress(0.9, "")
    noise = noise_level(hu) * float(np.sqrt(kept.shape[1] / len(hu)))
    progress(1.0, "")
    return LikelyVessels(columns, projected, noise)


def _kept(frames: int) -> int:
    """Return how many principal components of the likely vessels are kept."""
    return min(VESSEL_COMPONENTS, frames // 2)


def vessel_voxels(likely: LikelyVessels, baseline_frames: int, mask: MaskArray, times_s: FloatArray) -> VesselVoxels:
    """Return the likely vessels that enhance well above the noise, with the features of their curves.

    Parameters
    ----------
    likely : LikelyVessels
    baseline_frames : int
        Number of leading frames before the bolus.
    mask : ndarray of bool, shape (z, y, x)
        Brain mask that ``likely`` was taken from.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    """
    baseline = likely.hu[:baseline_frames].mean(axis=0)
    values = (likely.hu - baseline).T
    found = peaks(values)
    strong = found[:, 0] > VESSEL_NOISE_FACTOR * likely.noise_hu
    peak_s = np.interp(found[:, 1], np.arange(times_s.size), times_s)
    area = values @ area_weights(times_s)
    index = np.flatnonzero(mask)[likely.columns]
    edge = _at_edge(index, mask)
    return VesselVoxels(
        index[strong],
        values[strong],
        found[strong, 0],
        peak_s[strong],
        area[strong],
        baseline[strong],
        edge[strong],
        likely.noise_hu,
        _middle(mask),
    )


def _at_edge(index: npt.NDArray[np.intp], mask: MaskArray) -> npt.NDArray[np.bool_]:
    """Tell which places in the flattened grid have a neighbour outside the mask or the grid."""
    place = np.array(np.unravel_index(index, mask.shape))
    inner = np.ones(index.size, dtype=bool)
    for axis, size in enumerate(mask.shape):
        for step in (-1, 1):
            near = place.copy()
            near[axis] = np.clip(place[axis] + step, 0, size - 1)
            inner &= (near[axis] != place[axis]) & mask[tuple(near)]
    return ~inner


def _middle(mask: MaskArray) -> FloatArray:
    """Return the centre of the mask as an index (x, y, z)."""
    counts = [np.count_nonzero(mask, axis=axes) for axes in ((0, 1), (0, 2), (1, 2))]
    return np.array([np.arange(count.size) @ count / count.sum() for count in counts])


def _temporal_variance(hu: npt.NDArray[Any], progress: Progress) -> npt.NDArray[np.float32]:
    """Return the variance of each curve times the number of frames, frame by frame to spare memory."""
    total = np.zeros(hu.shape[1], dtype=np.float32)
    squares = np.zeros(hu.shape[1], dtype=np.float32)
    start = hu[0].astype(np.float32)
    for done, frame in enumerate(hu):
        change = frame - start
        total += change
        change *= change
        squares += change
        progress((done + 1) / len(hu), "")
    return squares - total * total / np.float32(len(hu))


def find_artery(
    vessels: VesselVoxels,
    geometry: Geometry,
    times_s: FloatArray,
    *,
    settings: Settings,
    force: bool = False,
    progress: Progress = silent,
) -> VascularCurve:
    """Return the best arterial candidate as measured, not yet scaled for partial volume.

    With ``force`` a refused candidate is better than none; it stays marked as refused.

    Raises
    ------
    QualityError
        If no cluster passes for an artery.
    """
    candidates = arterial_candidates(vessels, geometry, times_s, settings=settings, progress=progress)
    if not candidates or (candidates[0].refused and not force):
        reasons = "; ".join(candidate.reason for candidate in candidates[:3]) or "no voxel enhances above the noise"
        raise QualityError(
            f"Arterial input: a cluster of early, tall curves is needed; {len(candidates)} looked at, none accepted "
            f"({reasons}). Mark the artery yourself (--aif-mask FILE)."
        )
    return _as_curve(candidates, geometry)


def find_vein(
    vessels: VesselVoxels, artery: VascularCurve, geometry: Geometry, times_s: FloatArray
) -> VascularCurve | None:
    """Return the best venous candidate, or None where nothing enhances later than the artery."""
    artery_peak_s = float(times_s[np.argmax(artery.curve_hu)]) if artery.fit is None else artery.fit.peak_s
    candidates = venous_candidates(
        vessels, geometry, times_s, artery_peak_s=artery_peak_s, artery_hu=artery.measured_hu
    )
    return _as_curve(candidates, geometry) if candidates and not candidates[0].refused else None


def measured_curve(series: Series, mask: Image, *, baseline_frames: int, progress: Progress = silent) -> VascularCurve:
    """Return the mean enhancement of a mask that the user drew, which may leave the brain mask."""
    hu = np.empty(series.frames)
    for done, frame in enumerate(series.values):
        hu[done] = frame[mask.values].mean(dtype=float)
        progress((done + 1) / series.frames, "")
    curve = hu - hu[:baseline_frames].mean()
    fit = fit_gamma_variate(curve, series.times_s)
    return VascularCurve(mask, curve, curve, fit, 1.0, (), "user's mask")


def given_curve(series: Series, hu: FloatArray, *, baseline_frames: int) -> VascularCurve:
    """Return a curve that the user gave, at the scan's times (see `at_scan_times`), above its own baseline.

    It was measured in no voxel of this scan, so its mask is empty.
    """
    curve = hu - hu[:baseline_frames].mean()
    fit = fit_gamma_variate(curve, series.times_s)
    nowhere = Image(np.zeros(series.geometry.shape, dtype=bool), series.geometry)
    return VascularCurve(nowhere, curve, curve, fit, 1.0, (), "user's curve")


def at_scan_times(given: TimeCurve, times_s: FloatArray, *, what: str) -> FloatArray:
    """Return the HU of a user's curve at the times of the scan, between its points by straight lines.

    Parameters
    ----------
    given : TimeCurve
        Must cover the scan to within one of its intervals at either end, where the outermost value is kept.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    what : str
        What the curve is, for messages, e.g. "Arterial curve".

    Raises
    ------
    InputError
        If the curve begins too late, ends too early, or has no rise.

    Examples
    --------
    >>> given = TimeCurve(np.arange(0.0, 10.0, 2.0), np.array([0.0, 0.0, 100.0, 50.0, 10.0]))
    >>> at_scan_times(given, np.arange(2.0, 8.0), what="Arterial curve")
    array([  0.,  50., 100.,  75.,  50.,  30.])
    """
    late, early = given.times_s[0] - times_s[0], times_s[-1] - given.times_s[-1]
    slack_s = 1e-3  # times in tables are rounded
    if late > times_s[1] - times_s[0] + slack_s or early > times_s[-1] - times_s[-2] + slack_s:
        raise InputError(
            f"{what}: times that cover the scan, {times_s[0]:g} to {times_s[-1]:g} s, to within one frame are needed; "
            f"found {given.times_s[0]:g} to {given.times_s[-1]:g} s. Give all of it, in s on the scan's time axis."
        )
    hu = np.interp(times_s, given.times_s, given.hu)
    if not hu[1:].max() > hu[0]:
        need = "HU that rise above the first value are needed"
        raise InputError(
            f"{what}: {need}; found {hu[0]:g} HU at first and at most {hu[1:].max():g} HU later. Check the column."
        )
    return hu


def scaled_to_vein(
    artery: VascularCurve, vein: VascularCurve | None, times_s: FloatArray, *, settings: Settings
) -> VascularCurve:
    """Return the arterial curve scaled to undiluted blood, where the vein shows more and the settings ask for it."""
    if vein is None or settings.partial_volume == "none":
        return artery
    factor = max(1.0, partial_volume_factor(artery.measured_hu, vein.measured_hu, times_s))
    fit = None if artery.fit is None else replace(artery.fit, peak_hu=factor * artery.fit.peak_hu)
    return replace(artery, curve_hu=factor * artery.measured_hu, fit=fit, partial_volume_factor=factor)


def arterial_candidates(
    vessels: VesselVoxels, geometry: Geometry, times_s: FloatArray, *, settings: Settings, progress: Progress = silent
) -> tuple[Candidate, ...]:
    """Return clusters of early, tall voxels, best first; refused ones last, with the reason.

    Thresholds on area and time to peak start strict and are relaxed until enough clusters are acceptable.
    Clusters are connected in 3D and never grown; the voxels of one below 60 % of its tallest are left out, and
    those beside bone or air where enough others remain. Noise or motion may bend the curve of a small cluster upwards
    and make it narrow: the veins, many voxels, would not follow from it.

    Parameters
    ----------
    vessels : VesselVoxels
    geometry : Geometry
    times_s : ndarray, shape (t,)
    settings : Settings
        Volume limits in mL.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    found: list[Candidate] = []
    veins_hu = _venous_course(vessels)
    seen = np.zeros(vessels.index.size, dtype=bool)
    for done, (area_percentile, time_percentile) in enumerate(RELAXATION):
        progress(done / len(RELAXATION), "")
        if vessels.index.size == 0:
            break
        early = vessels.peak_s <= np.percentile(vessels.peak_s, time_percentile)
        tall = vessels.area_hu_s >= np.percentile(vessels.area_hu_s[early], area_percentile)
        for rows in _clusters(vessels, early & tall, geometry):
            progress(done / len(RELAXATION), "")
            if not seen[rows[vessels.height_hu[rows].argmax()]]:
                core = rows[vessels.height_hu[rows] >= CORE_SHARE * vessels.height_hu[rows].max()]
                seen[core] = True
                artery = _artery(vessels, core, geometry, times_s, settings)
                found.append(replace(artery, venous_error=_venous_error(artery.curve_hu, veins_hu, times_s)))
        if sum(not candidate.refused for candidate in found) >= ENOUGH_CANDIDATES:
            break
    return _ranked(found, _scored_artery)


def venous_candidates(
    vessels: VesselVoxels, geometry: Geometry, times_s: FloatArray, *, artery_peak_s: float, artery_hu: FloatArray
) -> tuple[Candidate, ...]:
    """Return clusters of late voxels with the largest areas, best first; refused ones last, with the reason.

    A sinus is wider than a voxel, so its core shows undiluted blood: the largest area wins. What is measured is the
    core by place, and of it the voxels of about the full area: taking the largest alone would favour noise upwards.

    Parameters
    ----------
    vessels : VesselVoxels
    geometry : Geometry
    times_s : ndarray, shape (t,)
    artery_peak_s : float
        Time of the arterial peak in s.
    artery_hu : ndarray, shape (t,)
        Arterial curve as measured; what has much less area than that is no vein.
    """
    late = vessels.peak_s >= artery_peak_s + VENOUS_DELAY_S
    late &= vessels.height_hu >= SMALLEST_VEIN * max(vessels.height_hu, default=0.0)
    if not late.any():
        return ()
    blood, noise = _blood(vessels, late)
    full = np.sort(blood[late])[-VEIN_VOXELS:][0] - TOP_NOISE * noise
    clusters = _clusters(vessels, late & (blood >= VEIN_SHARE * full - TOP_NOISE * noise), geometry)
    found = [
        _vein(vessels, _full(vessels, rows, blood, noise, geometry), geometry, times_s, artery_hu) for rows in clusters
    ]
    return _ranked(found, _scored_vein)


def partial_volume_factor(aif_hu: FloatArray, vof_hu: FloatArray, times_s: FloatArray) -> float:
    """Return the ratio of venous to arterial area: by how much partial volume diminishes the arterial curve.

    Blood keeps its iodine on the way through the brain, so both areas are equal where a voxel is all vessel. The
    ratio is that of `PyPeTLib.transit.fit_transit`, which needs no tail beyond the scan; where its model does not
    fit, that of the areas with extrapolated tails.

    Examples
    --------
    >>> times = np.arange(80.0)
    >>> curve = times**3 * np.exp(-times / 2.0)
    >>> round(partial_volume_factor(0.5 * curve, curve, times), 3)
    2.0
    """
    transit = fit_transit(aif_hu, vof_hu, times_s)
    if transit is not None and transit.error <= WORST_ERROR:
        return transit.gain
    weights = area_weights(times_s)
    return float((vof_hu @ weights) / (aif_hu @ weights))


def _as_curve(candidates: tuple[Candidate, ...], geometry: Geometry) -> VascularCurve:
    """Return the first of the ranked candidates as the chosen curve."""
    best = candidates[0]
    mask = Image(best.mask, geometry)
    return VascularCurve(mask, best.curve_hu, best.curve_hu, best.fit, 1.0, candidates, "automatic")


def _clusters(vessels: VesselVoxels, chosen: npt.NDArray[np.bool_], geometry: Geometry) -> list[npt.NDArray[np.intp]]:
    """Return the voxels (rows of ``vessels``) of each connected cluster, tallest cluster first."""
    from scipy import ndimage

    grid = np.zeros(geometry.shape, dtype=bool)
    grid.ravel()[vessels.index[chosen]] = True
    labels, count = ndimage.label(grid, np.ones((3, 3, 3)))
    of_row = np.where(chosen, labels.ravel()[vessels.index], 0)
    members = [np.flatnonzero(of_row == label) for label in range(1, count + 1)]
    members.sort(key=lambda rows: -vessels.height_hu[rows].max())
    return members[:MOST_CLUSTERS]


def _artery(
    vessels: VesselVoxels, core: npt.NDArray[np.intp], geometry: Geometry, times_s: FloatArray, settings: Settings
) -> Candidate:
    """Judge the core of one early cluster: its first pass, volume and end."""
    clean = core[~vessels.foreign[core]]
    if clean.size and clean.size * geometry.voxel_volume_ml >= settings.aif_minimum_volume_ml:
        core = clean
    curve = vessels.curves_hu[core].mean(axis=0)
    fit = fit_gamma_variate(curve, times_s)
    volume = core.size * geometry.voxel_volume_ml
    reason = ""
    if volume < settings.aif_minimum_volume_ml:
        reason = f"{volume:.3g} mL is less than {settings.aif_minimum_volume_ml:g} mL"
    elif volume > settings.aif_maximum_volume_ml:
        reason = f"{volume:.3g} mL is more than {settings.aif_maximum_volume_ml:g} mL"
    elif fit is None or fit.error > WORST_FIT:
        reason = "no gamma-variate fits its first pass" + ("" if fit is None else f" (error {fit.error:.2f})")
    elif fit.width_s < NARROWEST_S:
        reason = f"its peak of {fit.width_s:.2g} s (SD) is narrower than any bolus, at least {NARROWEST_S:g} s"
    elif end_share(curve) > HIGHEST_END:
        reason = f"ends at {end_share(curve):.0%} of its peak"
    traits = _traits(vessels, core, curve, geometry)
    return Candidate(_mask(vessels, core, geometry), curve, fit, volume, float("nan"), reason, traits)


def _venous_course(vessels: VesselVoxels) -> FloatArray:
    """Return the mean curve of the latest quarter of the vessels, the veins; 0 where there are no vessels."""
    if vessels.index.size == 0:
        return np.zeros(vessels.curves_hu.shape[1])
    return np.asarray(
        vessels.curves_hu[vessels.peak_s >= np.percentile(vessels.peak_s, VENOUS_PERCENTILE)].mean(axis=0)
    )


def _venous_error(artery_hu: FloatArray, veins_hu: FloatArray, times_s: FloatArray) -> float:
    """Return what of the veins' curve does not follow from an artery's, as a share of its peak; NaN if nothing does."""
    transit = fit_transit(artery_hu, veins_hu, times_s)
    return float("nan") if transit is None else transit.error


def _blood(vessels: VesselVoxels, late: npt.NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Return how much blood fills each voxel, against the mean of the late ones, and the SD of its noise.

    Veins differ in amplitude, hardly in course: the amplitude of their mean course in a voxel, with a baseline of its
    own, has less noise than the voxel's area, to which the noise of baseline and tail adds up.
    """
    course = vessels.curves_hu[late].mean(axis=0)
    course -= course.mean()
    power = float(course @ course)
    single = vessels.noise_hu * np.sqrt(course.size / _kept(course.size))  # along a course that the projection keeps
    return np.asarray(vessels.curves_hu @ course / power), float(single / np.sqrt(power))


def _full(
    vessels: VesselVoxels, rows: npt.NDArray[np.intp], blood: FloatArray, noise: float, geometry: Geometry
) -> npt.NDArray[np.intp]:
    """Return the voxels of a late cluster that nothing dilutes: deep ones, with as much blood as the fullest.

    What noise adds to the fullest is taken off, and what it takes from others allowed for: where a bolus is weak the
    largest values are those of noise.
    """
    clean = rows[~vessels.foreign[rows]]
    deep = _deep(vessels, clean if clean.size else rows, geometry)
    full = np.percentile(blood[deep], FULL_PERCENTILE) - FULL_NOISE * noise
    return np.asarray(deep[blood[deep] >= FULL_SHARE * full - FULL_NOISE * noise])


def _vein(
    vessels: VesselVoxels, core: npt.NDArray[np.intp], geometry: Geometry, times_s: FloatArray, artery_hu: FloatArray
) -> Candidate:
    """Judge the core of one late cluster: its first pass and its area."""
    curve = vessels.curves_hu[core].mean(axis=0)
    fit = fit_gamma_variate(curve, times_s)
    share = partial_volume_factor(artery_hu, curve, times_s)
    reason = ""
    if fit is None or fit.error > WORST_FIT:
        reason = "no gamma-variate fits its first pass"
    elif share < LEAST_VENOUS_AREA:
        reason = f"it has {share:.2f} times the area of the artery; at least {LEAST_VENOUS_AREA:g} is needed"
    traits = _traits(vessels, core, curve, geometry)
    volume = core.size * geometry.voxel_volume_ml
    found = Candidate(_mask(vessels, core, geometry), curve, fit, volume, float("nan"), reason, traits)
    return replace(found, area_ratio=share)


def _deep(vessels: VesselVoxels, rows: npt.NDArray[np.intp], geometry: Geometry) -> npt.NDArray[np.intp]:
    """Return the voxels that lie deep inside their cluster, where no neighbour dilutes them."""
    from scipy import ndimage

    place = np.array(np.unravel_index(vessels.index[rows], geometry.shape))
    place -= place.min(axis=1, keepdims=True) - 1
    box = np.zeros(place.max(axis=1) + 2, dtype=bool)
    box[tuple(place)] = True
    depth = ndimage.distance_transform_edt(box, geometry.spacing_zyx_mm)[tuple(place)]
    return np.asarray(rows[depth > CORE_DEPTH * depth.max()])


def _traits(vessels: VesselVoxels, rows: npt.NDArray[np.intp], curve: FloatArray, geometry: Geometry) -> Traits:
    """Return what the voxels of a cluster tell beside its curve."""
    index = np.array(np.unravel_index(vessels.index[rows], geometry.shape))[::-1].mean(axis=1)
    to_left_mm = float(geometry.axes[0] @ ((index - vessels.middle) * geometry.spacing_mm))
    baseline = float(vessels.baseline_hu[rows].mean())
    return Traits(
        side="midline" if abs(to_left_mm) < MIDLINE_MM else "left" if to_left_mm > 0 else "right",
        signal_to_noise=float(curve.max() / max(vessels.noise_hu / np.sqrt(rows.size), 1e-6)),
        baseline_hu=baseline,
        beside_bone=float(vessels.foreign[rows].mean()),
        at_edge=float(vessels.edge[rows].mean()),
        lead_s=float(np.percentile(vessels.peak_s, VENOUS_PERCENTILE) - vessels.peak_s[rows].mean()),
        arterial_share=_arterial_share(vessels, baseline, float(vessels.area_hu_s[rows].mean())),
    )


def _arterial_share(vessels: VesselVoxels, baseline_hu: float, area_hu_s: float) -> float:
    """Estimate which share of the enhancement is blood's, not that of cortex in the same voxels.

    A voxel holds blood (as much as its area says) and, as the HU of the rest before the bolus tell, CSF or cortex.
    """
    blood = float(np.clip(area_hu_s / vessels.full_area_hu_s, 0.01, 0.95))
    rest_hu = (baseline_hu - blood * vessels.blood_hu) / (1.0 - blood)
    cortex = (1.0 - blood) * float(np.clip((rest_hu - CSF_HU) / (CORTEX_HU - CSF_HU), 0.0, 1.0))
    return float(np.clip(1.0 - CORTEX_AREA * cortex / blood, 0.0, 1.0))


def _mask(vessels: VesselVoxels, rows: npt.NDArray[np.intp], geometry: Geometry) -> MaskArray:
    mask = np.zeros(geometry.shape, dtype=bool)
    mask.ravel()[vessels.index[rows]] = True
    return mask


def _ranked(
    candidates: list[Candidate], scored: Callable[[Candidate, list[Candidate]], Candidate]
) -> tuple[Candidate, ...]:
    """Score the candidates that were not refused against each other; best first, refused ones last."""
    fair = [candidate for candidate in candidates if not candidate.refused]
    best_first = sorted((scored(candidate, fair) for candidate in fair), key=lambda candidate: -candidate.score)
    return (*best_first, *(candidate for candidate in candidates if candidate.refused))


def _scored_artery(candidate: Candidate, all_of_them: list[Candidate]) -> Candidate:
    """Return an artery with its score, the product of shares that are 1 at best, its confidence and both in words."""
    fits = [other.fit for other in all_of_them if other.fit is not None]
    fit, traits = candidate.fit, candidate.traits
    assert fit is not None and traits is not None
    height = fit.peak_hu / max(one.peak_hu for one in fits)
    late_s = fit.peak_s - min(one.peak_s for one in fits)
    width = fit.width_s / min(one.width_s for one in fits)
    early, fitted = float(np.exp(-late_s / LATE_S)), 1.0 - fit.error / WORST_FIT
    free = 1.0 - (1.0 - ALL_BESIDE_BONE) * traits.beside_bone
    inside = 1.0 - (1.0 - ALL_AT_EDGE) * traits.at_edge
    count = int(candidate.mask.sum())
    shares = [
        (height**1.5, f"{height:.0%} of the tallest"),
        (early, f"{late_s:.1f} s after the earliest"),
        (1.0 / width, f"{width:.2f} times as wide as the narrowest"),
        (fitted, f"its fit is off by {fit.error:.0%}"),
        (min(1.0, candidate.volume_ml / FULL_VOLUME_ML) ** 0.25, f"only {candidate.volume_ml:.2g} mL"),
        (free, f"{traits.beside_bone * count:.0f} of {count} voxels beside bone or air"),
        (inside, f"{traits.at_edge * count:.0f} of {count} voxels at the edge of brain or slab"),
        (traits.arterial_share**2, f"about {1.0 - traits.arterial_share:.0%} of its area is tissue"),
        (_followed(candidate), f"the veins differ by {candidate.venous_error:.0%} from what would follow it"),
    ]
    clear = 1.0 - float(np.exp(-traits.signal_to_noise / GOOD_SIGNAL))
    leading = 1.0 - float(np.exp(-max(0.0, traits.lead_s) / GOOD_LEAD_S))
    return replace(
        candidate,
        score=float(np.prod([share for share, _ in shares])),
        reason=f"{traits.side}, peak {traits.signal_to_noise:.0f} times the noise; {_against(shares)}",
        confidence=clear * leading * fitted * early * free * inside * traits.arterial_share,
    )


def _followed(artery: Candidate) -> float:
    """Return how far the veins follow from an artery's curve, 0..1; 1 where nothing follows any."""
    return 1.0 if np.isnan(artery.venous_error) else max(0.0, 1.0 - artery.venous_error / WORST_ERROR)


def _against(shares: list[tuple[float, str]]) -> str:
    """Return in words what lowers a score by more than a tenth, the worst first."""
    doubts = [words for share, words in sorted(shares) if share < 0.9]
    return "against it: " + ", ".join(doubts) if doubts else "nothing against it"


def _scored_vein(candidate: Candidate, all_of_them: list[Candidate]) -> Candidate:
    """Return a vein with its score: area times the root of the volume, as a share of the best (1 is best)."""

    def worth(one: Candidate) -> float:
        return float(one.area_ratio * min(1.0, one.volume_ml / FULL_VOLUME_ML) ** 0.5)

    assert candidate.traits is not None
    score = worth(candidate) / max(worth(other) for other in all_of_them)
    reason = f"{candidate.traits.side}, {candidate.volume_ml:.2g} mL; {candidate.area_ratio:.2f} times the AIF area"
    return replace(candidate, score=score, reason=reason)
