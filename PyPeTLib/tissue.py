"""What inside the skull is no brain tissue: CSF and bone by HU without contrast, large vessels by their blood."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import area_share
from PyPeTLib.records import Curves, FloatArray, Geometry, Image, MaskArray
from PyPeTLib.settings import Settings

#: Smaller connected parts, in mL, are noise.
SMALLEST_ML = 0.02
#: A large vessel has at least so many times the blood of the median voxel, whatever the scale of the arterial input:
#: gray matter has less than twice as much.
LEAST_OVER_MEDIAN = 3.0


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
    A large vessel holds more blood than ``vessel_cbv``, and than three times the median of the brain. What is brighter
    than ``bone_rim_hu`` without contrast shares bone, or is calcified: no tissue and no clotted blood is as bright.

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
    cbv = 100.0 * settings.hematocrit_factor / settings.tissue_density_g_ml * area_share(curves, aif_hu, times_s)
    limit = max(settings.vessel_cbv, LEAST_OVER_MEDIAN * float(np.median(cbv)))
    vessels = _connected(cbv > limit, curves.mask, geometry)
    native_hu, others = curves.native_hu, ~vessels[curves.mask]
    csf = _connected((native_hu < settings.csf_hu) & others, curves.mask, geometry)
    bone = _connected((native_hu > settings.bone_rim_hu) & others, curves.mask, geometry)
    return Image(csf, geometry), Image(vessels, geometry), Image(bone, geometry)


def _connected(chosen: npt.NDArray[np.bool_], mask: MaskArray, geometry: Geometry) -> MaskArray:
    """Put chosen voxels of a mask on the grid, those of too small connected parts (touching at corners) left out."""
    from scipy import ndimage

    grid = np.zeros(mask.shape, dtype=bool)
    grid[mask] = chosen
    labels, _ = ndimage.label(grid, np.ones((3, 3, 3)))
    large = np.bincount(labels.ravel()) * geometry.voxel_volume_ml >= SMALLEST_ML
    large[0] = False
    return np.asarray(large[labels])
