"""Arterial input: clusters of early, tall curves, fitted, scored and ranked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from PyPeTLib.alike import mean_curve, same_curve
from PyPeTLib.candidates import (
    FULL_VOLUME_ML,
    VENOUS_PERCENTILE,
    WORST_FIT,
    as_curve,
    clusters,
    mask_of,
    ranked,
    traits_of,
)
from PyPeTLib.curves import LEAST_AFTER_ARRIVAL_S, end_share
from PyPeTLib.errors import QualityError
from PyPeTLib.gamma import fit_gamma_variate
from PyPeTLib.geometry import FloatArray, Geometry, Image
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Candidate, VascularCurve
from PyPeTLib.settings import Settings
from PyPeTLib.transit import WORST_ERROR, fit_transit
from PyPeTLib.typeset import percent
from PyPeTLib.vessels import VesselVoxels

#: Thresholds of the arterial search, from strict to relaxed: percentile of area above and of time to peak below.
RELAXATION = ((95.0, 5.0), (90.0, 10.0), (80.0, 20.0), (60.0, 30.0), (30.0, 50.0))
#: The search stops relaxing once so many clusters are acceptable.
ENOUGH_CANDIDATES = 5
#: Voxels of a cluster below this share of its tallest voxel are edge, not lumen, and are left out.
CORE_SHARE = 0.6
#: Heart and lungs spread every bolus by more than this (SD of the first pass, in s); a narrower peak is noise.
NARROWEST_S = 1.5
#: The last tenth of an arterial curve lies below this share of its peak.
HIGHEST_END = 0.6
#: Time constants of the score: how late, and how much wider than the narrowest, a curve may be.
LATE_S = 2.0
#: What a candidate keeps of its score where all of its voxels lie beside bone, or at the edge of mask or slab.
ALL_BESIDE_BONE, ALL_AT_EDGE = 0.3, 0.7
#: The confidence in an artery rises with its signal-to-noise ratio to 1 − 1/e of its limit here.
GOOD_SIGNAL = 10.0
#: It rises likewise with the time between artery and veins, in s.
GOOD_LEAD_S = 2.0


def find_artery(
    vessels: VesselVoxels,
    geometry: Geometry,
    times_s: FloatArray,
    *,
    arrival_s: float,
    settings: Settings,
    force: bool = False,
    progress: Progress = silent,
) -> VascularCurve:
    """Return the best arterial candidate, with all voxels that show its curve, not yet scaled for partial volume.

    Where there is none, ``arrival_s``, the arrival of the bolus in s, tells whether the scan is too short for any. With
    ``force`` a refused candidate is better than none; it stays marked as refused.

    Raises
    ------
    QualityError
        If no cluster passes for an artery.
    """
    candidates = arterial_candidates(vessels, geometry, times_s, settings=settings, progress=progress)
    if not candidates or (candidates[0].refused and not force):
        raise QualityError(_no_artery(candidates, float(times_s[-1]) - arrival_s))
    return _with_all_alike(as_curve(candidates, geometry), vessels, times_s)


def _no_artery(candidates: tuple[Candidate, ...], after_s: float) -> str:
    """Return why none was accepted, and what to do: of a scan that ends before arteries fall a mark shows no more."""
    if after_s < LEAST_AFTER_ARRIVAL_S and candidates:
        height = float(np.median([end_share(candidate.curve_hu) for candidate in candidates]))
        if height > HIGHEST_END:
            return (
                f"Arterial input: first passes that are over by the end of the scan are needed; it ends {after_s:.0f} "
                f"s after the bolus arrives, arteries at {percent(height)} of their peak. Give a longer scan, at "
                f"least {LEAST_AFTER_ARRIVAL_S:g} s from the arrival on."
            )
    reasons = "; ".join(candidate.reason for candidate in candidates[:3]) or "no voxel enhances above the noise"
    return (
        f"Arterial input: a cluster of early, tall curves is needed; {len(candidates)} looked at, none accepted "
        f"({reasons}). Mark the artery yourself (an AIF mask: --aif-mask FILE, in 3D Slicer a segment or points)."
    )


def _with_all_alike(artery: VascularCurve, vessels: VesselVoxels, times_s: FloatArray) -> VascularCurve:
    """Return the mean curve of all voxels that show the same as the artery found, and as high as it is there."""
    geometry, own = artery.mask.geometry, artery.mask.values.ravel()[vessels.index]
    same = own | same_curve(vessels, *mean_curve(vessels, own), times_s)
    mean, _ = mean_curve(vessels, same)
    curve = mean * (mean @ artery.measured_hu) / (mean @ mean)
    mask = Image(mask_of(vessels, np.flatnonzero(same), geometry), geometry)
    return replace(artery, mask=mask, measured_hu=curve, curve_hu=curve, fit=fit_gamma_variate(curve, times_s))


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
        for rows in clusters(vessels, early & tall, geometry):
            progress(done / len(RELAXATION), "")
            if not seen[rows[vessels.height_hu[rows].argmax()]]:
                core = rows[vessels.height_hu[rows] >= CORE_SHARE * vessels.height_hu[rows].max()]
                seen[core] = True
                artery = _artery(vessels, core, geometry, times_s, settings)
                found.append(replace(artery, venous_error=_venous_error(artery.curve_hu, veins_hu, times_s)))
        if sum(not candidate.refused for candidate in found) >= ENOUGH_CANDIDATES:
            break
    return ranked(found, _scored_artery)


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
        reason = f"ends at {percent(end_share(curve))} of its peak"
    traits = traits_of(vessels, core, curve, geometry)
    return Candidate(mask_of(vessels, core, geometry), curve, fit, volume, float("nan"), reason, traits)


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
        (height**1.5, f"{percent(height)} of the tallest"),
        (early, f"{late_s:.1f} s after the earliest"),
        (1.0 / width, f"{width:.2f} times as wide as the narrowest"),
        (fitted, f"its fit is off by {percent(fit.error)}"),
        (min(1.0, candidate.volume_ml / FULL_VOLUME_ML) ** 0.25, f"only {candidate.volume_ml:.2g} mL"),
        (free, f"{traits.beside_bone * count:.0f} of {count} voxels beside bone or air"),
        (inside, f"{traits.at_edge * count:.0f} of {count} voxels at the edge of brain or slab"),
        (traits.arterial_share**2, f"about {percent(1.0 - traits.arterial_share)} of its area is tissue"),
        (_followed(candidate), f"the veins differ by {percent(candidate.venous_error)} from what would follow it"),
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
    """Return how well the veins are explained by an artery's curve, 0 to 1; 1 where no vein was compared."""
    return 1.0 if np.isnan(artery.venous_error) else max(0.0, 1.0 - artery.venous_error / WORST_ERROR)


def _against(shares: list[tuple[float, str]]) -> str:
    """Return in words what lowers a score by more than a tenth, the worst first."""
    doubts = [words for share, words in sorted(shares) if share < 0.9]
    return "against it: " + ", ".join(doubts) if doubts else "nothing against it"
