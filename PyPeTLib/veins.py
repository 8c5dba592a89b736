"""Venous output: clusters of late curves with the most blood, and what they tell of the arterial input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from PyPeTLib.candidates import FULL_VOLUME_ML, WORST_FIT, as_curve, clusters, mask_of, ranked, traits_of
from PyPeTLib.curves import area_weights
from PyPeTLib.gamma import fit_gamma_variate
from PyPeTLib.geometry import FloatArray, Geometry, MaskArray
from PyPeTLib.records import Candidate, VascularCurve
from PyPeTLib.settings import Settings
from PyPeTLib.transit import WORST_ERROR, fit_transit
from PyPeTLib.vessels import VEIN_VOXELS, VesselVoxels, kept_components

#: A vein is made of voxels with at least this share of the blood of the fullest ones.
VEIN_SHARE = 0.85
#: Of a vein only the voxels are measured that lie deeper inside it than this share of the greatest depth.
CORE_DEPTH = 0.5
#: Of the voxels deep in a vein those count with at least this share of the blood of the fullest ones (percentile):
#: where a vein is thin, or was resampled across thick slices, even its middle is diluted.
FULL_SHARE, FULL_PERCENTILE = 0.95, 90.0
#: By so many SDs noise lifts that percentile, and the few fullest voxels of all veins.
FULL_NOISE, TOP_NOISE = 1.28, 2.0
#: Blood keeps its iodine, so a vein has the area of the artery, or more where that is diluted; some leeway.
LEAST_VENOUS_AREA = 0.75
#: Soft-tissue kernels of CT show half of the contrast of 4 line pairs a cm: a spread of this width at half height, mm.
SPREAD_MM = 1.1
#: A width at half height in standard deviations of a Gaussian.
FWHM_SD = 2.355
#: A vein and what lies beside it are told to hold no less blood than this share, that of cortex.
LEAST_BLOOD = 0.05
#: A venous peak below this share of the tallest vessel is tissue or noise.
SMALLEST_VEIN = 0.15
#: The venous curve peaks at least this much later than the arterial one, in s.
VENOUS_DELAY_S = 1.5


def find_vein(
    vessels: VesselVoxels, artery: VascularCurve, geometry: Geometry, times_s: FloatArray
) -> VascularCurve | None:
    """Return the best venous candidate, or None where nothing enhances later than the artery."""
    artery_peak_s = float(times_s[np.argmax(artery.curve_hu)]) if artery.fit is None else artery.fit.peak_s
    candidates = venous_candidates(
        vessels, geometry, times_s, artery_peak_s=artery_peak_s, artery_hu=artery.measured_hu
    )
    return as_curve(candidates, geometry) if candidates and not candidates[0].refused else None


def scaled_to_vein(
    artery: VascularCurve, vein: VascularCurve | None, times_s: FloatArray, *, settings: Settings
) -> VascularCurve:
    """Return the arterial curve scaled to undiluted blood, where the vein shows more and the settings ask for it."""
    if vein is None or settings.partial_volume == "none":
        return artery
    factor = max(1.0, partial_volume_factor(artery.measured_hu, vein.measured_hu, times_s))
    fit = None if artery.fit is None else replace(artery.fit, peak_hu=factor * artery.fit.peak_hu)
    return replace(artery, curve_hu=factor * artery.measured_hu, fit=fit, partial_volume_factor=factor)


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
    rich = late & (blood >= VEIN_SHARE * full - TOP_NOISE * noise)
    full_ones = (_full(vessels, rows, blood, noise, geometry) for rows in clusters(vessels, rich, geometry))
    found = []
    for rows in full_ones:
        vein = _vein(vessels, rows, geometry, times_s, artery_hu)
        found.append(replace(vein, filled=filled(vessels, rows, blood, geometry)))
    return ranked(found, _scored_vein)


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
    area_hu_s = float(aif_hu @ weights)
    return float(vof_hu @ weights) / area_hu_s if area_hu_s else 1.0


def filled(vessels: VesselVoxels, rows: npt.NDArray[np.intp], blood: FloatArray, geometry: Geometry) -> float:
    """Return how much of its voxels a vein fills, 0..1, as the fall of its blood to their neighbours in plane tells.

    Pixels and the spread of the scanner widen a vessel and lower its middle. With Gaussian profiles the middle holds
    √(1 − σ²/s²) of the blood along each direction, σ² being the variance of pixel and spread, s² that of what is seen:
    neighbours at distance d hold exp(−d²/2s²) of the middle. Of wide vessels, flat in the middle, that is a little low:
    it is 0.88 of a round one whose middle is full to 0.97. Of a thin one between pixels it is too high, and what a
    thick slice holds above and below the vein is not seen.

    Parameters
    ----------
    vessels : VesselVoxels
    rows : ndarray of int
        The voxels of the vein that are measured.
    blood : ndarray, shape (voxel,)
        How much blood each of ``vessels`` holds, in any unit.
    geometry : Geometry

    Examples
    --------
    >>> times = np.arange(9.0)
    >>> place = np.arange(9)  # a row of pixels of 2 mm, across a vein without end in the other directions
    >>> seen = np.exp(-0.5 * (2.0 * (place - 4)) ** 2 / 2.2**2)
    >>> none = np.zeros(9)
    >>> vessels = VesselVoxels(place, seen[:, None] * times, none, none, none, none, none > 0, none, none)
    >>> round(filled(vessels, np.array([4]), seen, Geometry((9, 1, 1), (2.0, 2.0, 8.0))), 2)
    0.94
    """
    value = np.zeros(geometry.shape)
    value.ravel()[vessels.index] = np.maximum(blood, 0.0)
    known = np.ones(geometry.shape, dtype=bool) if vessels.mask is None else vessels.mask
    place = np.array(np.unravel_index(vessels.index[rows], geometry.shape))
    across = int(np.argmax(geometry.spacing_zyx_mm))
    share = 1.0
    for axis in {0, 1, 2} - {across}:
        spacing_mm = geometry.spacing_zyx_mm[axis]
        beside = np.clip(_beside(value, known, place, axis) / max(float(blood[rows].mean()), 1e-6), LEAST_BLOOD, 1.0)
        blurred_mm2 = spacing_mm**2 / 12.0 + (SPREAD_MM / FWHM_SD) ** 2
        share *= max(LEAST_BLOOD, 1.0 - 2.0 * blurred_mm2 / spacing_mm**2 * float(np.log(1.0 / beside)))
    return float(np.sqrt(share))


def _beside(values: FloatArray, known: MaskArray, place: npt.NDArray[np.intp], axis: int) -> float:
    """Return the mean of the neighbours of some places along an axis; one outside the mask is taken as the other.

    Where no place has a neighbour inside it is that of the places themselves.
    """
    pairs, inside = [], []
    for step in (-1, 1):
        near = place.copy()
        near[axis] = np.clip(place[axis] + step, 0, values.shape[axis] - 1)
        pairs.append(values[tuple(near)])
        inside.append(known[tuple(near)] & (near[axis] != place[axis]))
    weight = np.stack(inside) / np.maximum(np.sum(inside, axis=0), 1)
    total = float(weight.sum())
    return float((weight * pairs).sum()) / total if total else float(values[tuple(place)].mean())


def _blood(vessels: VesselVoxels, late: npt.NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Return how much blood fills each voxel, against the mean of the late ones, and the SD of its noise.

    Veins differ in amplitude, hardly in course: the amplitude of their mean course in a voxel, with a baseline of its
    own, has less noise than the voxel's area, to which the noise of baseline and tail adds up.
    """
    course = vessels.curves_hu[late].mean(axis=0)
    course -= course.mean()
    power = float(course @ course)
    single = np.median(vessels.noise_hu[late]) * np.sqrt(
        course.size / kept_components(course.size)
    )  # along a course that the projection keeps
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
    traits = traits_of(vessels, core, curve, geometry)
    volume = core.size * geometry.voxel_volume_ml
    found = Candidate(mask_of(vessels, core, geometry), curve, fit, volume, float("nan"), reason, traits)
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


def _scored_vein(candidate: Candidate, all_of_them: list[Candidate]) -> Candidate:
    """Return a vein with its score: area times the root of the volume, as a share of the best (1 is best)."""

    def worth(one: Candidate) -> float:
        return float(one.area_ratio * min(1.0, one.volume_ml / FULL_VOLUME_ML) ** 0.5)

    assert candidate.traits is not None
    score = worth(candidate) / max(worth(other) for other in all_of_them)
    reason = f"{candidate.traits.side}, {candidate.volume_ml:.2g} mL; {candidate.area_ratio:.2f} times the AIF area"
    return replace(candidate, score=score, reason=reason)
