"""What inside the skull is no brain tissue: CSF, bone, clots by HU without contrast, large vessels by their blood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import area_share
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.morphology import depth_mm, large_parts, near, opened
from PyPeTLib.orientation import displayed_spacing_mm, radiological
from PyPeTLib.records import Curves
from PyPeTLib.settings import Settings

#: Smaller connected parts, in mL, are noise.
SMALLEST_ML = 0.02
#: A large vessel has at least so many times the blood of the median voxel, whatever the scale of the arterial input:
#: gray matter has less than twice as much.
LEAST_OVER_MEDIAN = 3.0
#: What lies so deep in it, in mm, is all blood where it is a vessel. With less than this share of blood, and 1 mL or
#: more, it is tissue of much blood, as a tumour; the nidus of a malformation holds more.
DEEP_MM, LEAST_FILLED, TISSUE_ML = 5.0, 0.4, 1.0
#: Clotted blood has 50 to 90 HU, flowing blood and gray matter 35 to 45.
HYPERDENSE_HU = 50.0
#: Smallest hyperdense part, in mL: a ball of 12 mm; vessels, falx and tentorium are thinner than twice this radius, mm.
HYPERDENSE_ML, THIN_RADIUS_MM = 1.0, 3.0
#: So near the border of the mask, in mm, bone brightens what lies beside it, and sinuses run.
RIM_MM = 4.0


def not_tissue(
    curves: Curves,
    aif_hu: FloatArray,
    times_s: FloatArray,
    geometry: Geometry,
    *,
    settings: Settings,
) -> tuple[Image, Image, Image]:
    """Return the masks of CSF, of large vessels, and of what shares a voxel with bone, bool; no voxel is in two.

    CSF is darker than ``csf_hu`` without contrast. That HU is the mean over time less the mean enhancement: it rests on
    all frames, not on the few before the bolus, whose noise would hide the difference of about 20 HU to tissue.
    A voxel of several things counts as CSF where most of it is: at 20 HU, half CSF and half white matter (12 and
    29 HU), or two thirds CSF and one third gray matter (35 HU). Enhancement does not matter: sulci hold pial vessels.
    A large vessel holds more blood than ``vessel_cbv``, and than three times the median of the brain; but what is wider
    than 10 mm (more where Gaussian smoothing widens vessels) and has less than 0.4 of its middle filled with blood is
    tissue, as a tumour may be. What is brighter than ``bone_rim_hu`` without contrast shares bone, or is calcified: no
    tissue and no clotted blood is as bright.

    Parameters
    ----------
    curves : Curves
        Denoised enhancement in HU, with the mean HU of each voxel.
    aif_hu : ndarray, shape (t,)
        Arterial input in HU, partial volume corrected.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    geometry : Geometry
        Grid of ``curves.mask``.
    settings : Settings
        ``csf_hu``, ``bone_rim_hu``, ``vessel_cbv``, and the constants of CBV.

    References
    ----------
    Kudo 2003, AJNR Am J Neuroradiol 24:419–426 (vessels by their CBV)
    """
    filled = area_share(curves, aif_hu, times_s)
    cbv = 100.0 * settings.hematocrit_factor / settings.tissue_density_g_ml * filled
    limit = max(settings.vessel_cbv, LEAST_OVER_MEDIAN * float(np.median(cbv)))
    vessels = _connected(cbv > limit, curves.mask, geometry)
    wider_mm = curves.resolution_mm if settings.denoise == "gaussian" else None  # others keep edges
    vessels &= ~_much_blood(vessels, filled, curves.mask, geometry, DEEP_MM + (wider_mm or 0.0))
    native_hu, others = curves.native_hu, ~vessels[curves.mask]
    csf = _connected((native_hu < settings.csf_hu) & others, curves.mask, geometry)
    bone = _connected((native_hu > settings.bone_rim_hu) & others, curves.mask, geometry)
    return Image(csf, geometry), Image(vessels, geometry), Image(bone, geometry)


def _much_blood(
    vessels: MaskArray, filled: FloatArray, mask: MaskArray, geometry: Geometry, deep_mm: float
) -> MaskArray:
    """Return what of seeming vessels is thick, and not filled with blood even so deep in it."""
    little = np.zeros(mask.shape, dtype=bool)
    little[mask] = filled < LEAST_FILLED
    thick = np.zeros(mask.shape, dtype=bool)
    pixel_mm = displayed_spacing_mm(geometry)[1:]
    slices, counts, frames = (radiological(one, geometry) for one in (vessels, little, thick))
    for index in np.flatnonzero(slices.any(axis=(1, 2))):
        deep = (depth_mm(slices[index], pixel_mm) > deep_mm) & counts[index]
        frames[index] = slices[index] & counts[index] & near(deep, deep_mm + max(pixel_mm), pixel_mm)
    return _connected(thick[mask], mask, geometry, least_ml=TISSUE_ML)


def hyperdense(curves: Curves, vessels: Image, bone: Image, *, settings: Settings) -> Image:
    """Return what of the brain is denser than blood-free tissue without contrast, bool: as clotted blood is.

    It has 50 HU or more and no more than ``bone_rim_hu`` (beyond is calcification), enhances less than a large vessel,
    and is thick: what is narrower than 6 mm in its slice is a vessel, falx or tentorium. Of a part at least 1 mL has to
    lie 4 mm or more from the border of the brain mask. HU without contrast are those of `not_tissue`.

    Parameters
    ----------
    curves : Curves
        Denoised enhancement in HU, with the mean HU of each voxel.
    vessels, bone : Image
        Masks that `not_tissue` returned.
    settings : Settings
        ``bone_rim_hu``.

    References
    ----------
    New 1976, doi:10.1148/121.3.635 (HU of blood and clots)
    """
    geometry, mask = vessels.geometry, curves.mask
    native_hu, others = curves.native_hu, ~(vessels.values | bone.values)[mask]
    chosen = (native_hu >= HYPERDENSE_HU) & (native_hu <= settings.bone_rim_hu) & others
    dense = _connected(chosen, mask, geometry, least_ml=HYPERDENSE_ML)
    frames, inner = (radiological(values, geometry) for values in (dense, mask))  # views: slices come first
    counts = np.zeros(dense.shape, dtype=bool)
    for index in np.flatnonzero(frames.any(axis=(1, 2))):
        pixel_mm = displayed_spacing_mm(geometry)[1:]
        frames[index] = opened(frames[index], THIN_RADIUS_MM, pixel_mm)
        radiological(counts, geometry)[index] = frames[index] & (depth_mm(inner[index], pixel_mm) >= RIM_MM)
    return Image(large_parts(dense, HYPERDENSE_ML, geometry.voxel_volume_ml, counts), geometry)


def _connected(
    chosen: npt.NDArray[np.bool_], mask: MaskArray, geometry: Geometry, *, least_ml: float = SMALLEST_ML
) -> MaskArray:
    """Put chosen voxels of a mask on the grid, those of too small connected parts (touching at corners) left out."""
    grid = np.zeros(mask.shape, dtype=bool)
    grid[mask] = chosen
    return large_parts(grid, least_ml, geometry.voxel_volume_ml)
