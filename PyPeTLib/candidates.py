"""Clusters of vessel voxels, what they tell beside their curve, and how they are ranked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.records import Candidate, Traits, VascularCurve
from PyPeTLib.vessels import VesselVoxels

#: A first pass fitted worse than this (root mean square over peak) is no artery.
WORST_FIT = 0.2
#: Only so many clusters of each relaxation, the tallest, are looked at.
MOST_CLUSTERS = 8
#: A cluster of this volume in mL has earned its full volume score.
FULL_VOLUME_ML = 0.05
#: HU of CSF and of cortex, and the area of a voxel full of cortex as a share of that of blood (CBV 4 to 5 mL/100 g).
CSF_HU, CORTEX_HU, CORTEX_AREA = 12.0, 35.0, 0.05
#: Veins are the latest vessels: this percentile of the times to peak.
VENOUS_PERCENTILE = 75.0
#: Nearer to the middle of the brain than this, in mm, a vessel is on neither side.
MIDLINE_MM = 5.0


def clusters(vessels: VesselVoxels, chosen: npt.NDArray[np.bool_], geometry: Geometry) -> list[npt.NDArray[np.intp]]:
    """Return the voxels (rows of ``vessels``) of each connected cluster, tallest cluster first."""
    from scipy import ndimage

    grid = np.zeros(geometry.shape, dtype=bool)
    grid.ravel()[vessels.index[chosen]] = True
    labels, count = ndimage.label(grid, np.ones((3, 3, 3)))
    of_row = np.where(chosen, labels.ravel()[vessels.index], 0)
    members = [np.flatnonzero(of_row == label) for label in range(1, count + 1)]
    members.sort(key=lambda rows: -vessels.height_hu[rows].max())
    return members[:MOST_CLUSTERS]


def mask_of(vessels: VesselVoxels, rows: npt.NDArray[np.intp], geometry: Geometry) -> MaskArray:
    """Return where the voxels of a cluster lie in the grid."""
    mask = np.zeros(geometry.shape, dtype=bool)
    mask.ravel()[vessels.index[rows]] = True
    return mask


def side_of(index: FloatArray, middle: FloatArray, geometry: Geometry) -> str:
    """Return on which side of the middle of the brain a place lies; both are (x, y, z) in voxels."""
    to_left_mm = float(geometry.axes[0] @ ((index - middle) * geometry.spacing_mm))
    return "midline" if abs(to_left_mm) < MIDLINE_MM else "left" if to_left_mm > 0 else "right"


def traits_of(vessels: VesselVoxels, rows: npt.NDArray[np.intp], curve: FloatArray, geometry: Geometry) -> Traits:
    """Return what the voxels of a cluster tell beside its curve."""
    index = np.array(np.unravel_index(vessels.index[rows], geometry.shape))[::-1].mean(axis=1)
    baseline = float(vessels.baseline_hu[rows].mean())
    return Traits(
        side=side_of(index, vessels.middle, geometry),
        signal_to_noise=float(curve.max() / max(vessels.noise_hu[rows].mean() / np.sqrt(rows.size), 1e-6)),
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


def ranked(
    candidates: list[Candidate], scored: Callable[[Candidate, list[Candidate]], Candidate]
) -> tuple[Candidate, ...]:
    """Score the candidates that were not refused against each other; best first, refused ones last."""
    fair = [candidate for candidate in candidates if not candidate.refused]
    best_first = sorted((scored(candidate, fair) for candidate in fair), key=lambda candidate: -candidate.score)
    return (*best_first, *(candidate for candidate in candidates if candidate.refused))


def as_curve(candidates: tuple[Candidate, ...], geometry: Geometry) -> VascularCurve:
    """Return the first of the ranked candidates as the chosen curve."""
    best = candidates[0]
    mask = Image(best.mask, geometry)
    return VascularCurve(mask, best.curve_hu, best.curve_hu, best.fit, 1.0, candidates, "automatic")
