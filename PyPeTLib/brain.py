"""Brain mask: everything inside the skull (tissue, CSF, vessels), from the time-mean image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import execute, share
from PyPeTLib.errors import QualityError
from PyPeTLib.orientation import displayed_spacing_mm, radiological
from PyPeTLib.records import FloatArray, Geometry, Image, MaskArray, Progress, silent
from PyPeTLib.settings import BrainMethod, Settings

#: The mask is searched on pixels of about this size in mm; its border is then set on the scan's own pixels.
SEARCH_PIXEL_MM = 1.5
#: Everything denser than this belongs to the head, in HU.
HEAD_HU = -300.0
#: The smallest brain worth a map, in mL.
MINIMUM_BRAIN_ML = 20.0
#: Share of a region that must lie under (or over) the brain of the neighbouring slice.
CONTINUITY = 0.5
#: A search pixel denser than this on average holds some bone, in HU; vessels in the mean image hardly are.
PURE_HU = 150.0
#: The skull is at most this thick, in mm: its densest part lies within this distance of the brain.
BONE_REACH_MM = 6.0
#: Holes in one slice up to this area are vessels or calcifications, in mm².
SMALL_HOLE_MM2 = 20.0
#: Denser than any bone, in HU: metal, whose streaks hide the brain around it.
METAL_HU = 2500.0
#: Neighbours in the same slice.
IN_SLICE = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))])

Float32Array = npt.NDArray[np.float32]


def brain_mask(mean_hu: Float32Array, geometry: Geometry, *, settings: Settings, progress: Progress = silent) -> Image:
    """Return the mask of everything inside the skull, bool.

    Parameters
    ----------
    mean_hu : ndarray, shape (z, y, x)
        Mean of the frames in HU.
    geometry : Geometry
        Its grid; all lengths are taken in mm.
    settings : Settings
        ``brain`` names the method; thresholds in HU and mm.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Raises
    ------
    QualityError
        If there is no skull with a brain in it.
    """
    mask = np.zeros(mean_hu.shape, dtype=bool)
    slices = radiological(mean_hu, geometry)  # a view: the scan may be stored with any axis first
    spacing_mm = displayed_spacing_mm(geometry)
    radiological(mask, geometry)[:] = METHODS[settings.brain](slices, spacing_mm, settings, progress)
    found = float(mask.sum()) * geometry.voxel_volume_ml
    if found < MINIMUM_BRAIN_ML:
        raise QualityError(
            f"Brain mask: a skull with at least {MINIMUM_BRAIN_ML:g} mL inside is needed; found {found:.3g} mL "
            f"(image from {mean_hu.min():.0f} to {mean_hu.max():.0f} HU). Give a mask (--mask FILE), "
            "or check that the scan is a head in HU."
        )
    return Image(mask, geometry)


def inside_skull(
    mean_hu: Float32Array, spacing_mm: tuple[float, float, float], settings: Settings, progress: Progress
) -> MaskArray:
    """Find the region that the skull encloses in each slice and that continues from slice to slice.

    The bone of each slice is closed over gaps of twice ``brain_opening_mm`` and filled; soft tissue that remains
    after an opening is kept where it continues the brain of the neighbouring slice, starting from the largest.
    From there the mask reaches to where voxels are half brain, half bone.
    """
    factors = tuple(max(1, round(SEARCH_PIXEL_MM / spacing)) for spacing in spacing_mm[1:])
    blocks = _blocks(mean_hu, factors)
    coarse: Float32Array = blocks.mean(axis=(2, 4))
    pixel_mm = tuple(spacing * factor for spacing, factor in zip(spacing_mm[1:], factors, strict=True))
    closed = _slice_by_slice(lambda frame: _closed(frame, pixel_mm, settings), coarse, progress=share(progress, 0, 0.4))


    soft = _filled(closed & (coarse > settings.tissue_low_hu) & (coarse < min(PURE_HU, settings.tissue_high_hu)), pixel_mm)
    enclosed = _slice_by_slice(
        lambda frame: _opened(frame, settings.brain_opening_mm, pixel_mm), soft, progress=share(progress, 0.4, 0.7)
    )
    brain = _continuous(enclosed)
    if not brain.any():
        return np.zeros(mean_hu.shape, dtype=bool)
    low, high = _bounds(brain, closed, coarse, blocks.max(axis=(2, 4)), pixel_mm, spacing_mm, settings)
    progress(0.8, "")
    return _refined(brain, low, high, mean_hu, factors, spacing_mm[1:], settings)


def from_fast_marching(
    mean_hu: Float32Array, spacing_mm: tuple[float, float, float], settings: Settings, progress: Progress
) -> MaskArray:
    """Grow a front from the middle of the skull and stop it at bone, as published.

    Sethian 1996, doi:10.1073/pnas.93.4.1591.
    Known weakness: in the lowest slices the front leaves through the openings of the skull base.
    """
    import SimpleITK as sitk

    bone = _largest(mean_hu > settings.bone_hu)
    tissue = (mean_hu > settings.tissue_low_hu) & (mean_hu < settings.tissue_high_hu) & ~bone
    if not (bone.any() and tissue.any()):
        return np.zeros(mean_hu.shape, dtype=bool)
    progress(0.1, "")
    seed = _middle(bone, tissue)
    progress(0.2, "")
    speed = sitk.GetImageFromArray(tissue.astype(np.float32))
    speed.SetSpacing(spacing_mm[::-1])
    extent = float(max(np.multiply(mean_hu.shape, spacing_mm)))
    marching = sitk.FastMarchingImageFilter()
    marching.SetTrialPoints([tuple(int(i) for i in seed[::-1])])
    marching.SetStoppingValue(extent)
    arrival = execute(marching, speed, progress=share(progress, 0.2, 0.9))
    reached = sitk.GetArrayViewFromImage(arrival) < 0.75 * extent
    return _filled(reached & tissue, spacing_mm[1:])


def _middle(bone: MaskArray, tissue: MaskArray) -> FloatArray:
    """Return the index of the soft tissue voxel nearest to the centre of the skull."""
    inside = np.argwhere(tissue)
    return np.asarray(inside[np.linalg.norm(inside - np.argwhere(bone).mean(axis=0), axis=1).argmin()])


METHODS: dict[BrainMethod, Callable[[Float32Array, tuple[float, float, float], Settings, Progress], MaskArray]] = {
    "skull": inside_skull,
    "fast-marching": from_fast_marching,
}


def _slice_by_slice(
    function: Callable[[npt.NDArray[Any]], MaskArray], slices: npt.NDArray[Any], *, progress: Progress
) -> MaskArray:
    """Apply a function to each slice, which can be cancelled in between."""
    mask = np.zeros(slices.shape, dtype=bool)
    for index, frame in enumerate(slices):
        mask[index] = function(frame)
        progress((index + 1) / len(slices), "")
    return mask


def _closed(frame: Float32Array, pixel_mm: tuple[float, ...], settings: Settings) -> MaskArray:
    """Return the bone of one slice and what it encloses, gaps closed."""
    radius = settings.brain_opening_mm
    bone = frame > settings.bone_hu
    if not bone.any():
        return bone
    return ~_dilated(~_without_holes(_dilated(bone, radius, pixel_mm)), radius, pixel_mm)


def _continuous(enclosed: MaskArray) -> MaskArray:
    """Keep, from the slice with the largest region up and down, the regions that continue one another."""
    from scipy import ndimage

    kept = np.zeros_like(enclosed)
    start = int(enclosed.sum(axis=(1, 2)).argmax())
    kept[start] = _largest(enclosed[start])
    for step, last in ((1, len(enclosed)), (-1, -1)):
        for index in range(start + step, last, step):
            labels, count = ndimage.label(enclosed[index])
            if count:
                overlap = np.append(0.0, ndimage.mean(kept[index - step], labels, np.arange(1, count + 1)))
                kept[index] = (overlap >= CONTINUITY)[labels]
    return kept


def _bounds(
    brain: MaskArray,
    closed: MaskArray,
    coarse: Float32Array,
    densest: Float32Array,
    pixel_mm: tuple[float, ...],
    spacing_mm: tuple[float, float, float],
    settings: Settings,
) -> tuple[Float32Array, Float32Array]:
    """Return between which HU a voxel of each search pixel belongs to the brain, -inf and inf being nowhere.

    A voxel that is half bone has the mean of the HU of brain and of the bone beside it.
    """
    from scipy import ndimage

    around = (1, *(2 * round(BONE_REACH_MM / pixel) + 1 for pixel in pixel_mm))
    beside = ndimage.maximum_filter(densest, around)
    near_mm = max(pixel_mm) + max(spacing_mm[1:])
    away = np.stack([_distance(frame, pixel_mm) for frame in brain])
    typical = np.median(beside[(away > 0) & (away <= near_mm)])
    half = (np.median(coarse[brain]) + np.minimum(beside, typical)) / 2
    low = np.where(away <= near_mm, settings.tissue_low_hu, PURE_HU)
    high = np.where(closed & (away <= near_mm + spacing_mm[0] / 2), np.maximum(half, settings.tissue_high_hu), -np.inf)
    return low.astype(np.float32), high.astype(np.float32)


def _refined(
    brain: MaskArray,
    low: Float32Array,
    high: Float32Array,
    mean_hu: Float32Array,
    factors: tuple[int, ...],
    pixel_mm: tuple[float, ...],
    settings: Settings,
) -> MaskArray:
    """Set the border on the scan's pixels: what is within the bounds and touches the brain in its slice."""
    from scipy import ndimage

    box = _box(high > -np.inf)
    fine = tuple(slice(f * b.start, min(f * b.stop, n)) for f, b, n in zip((1, *factors), box, mean_hu.shape))
    frame = mean_hu[fine]
    wide = lambda a: a[box].repeat(factors[0], axis=1).repeat(factors[1], axis=2)[:, :frame.shape[1], :frame.shape[2]]
    within = (frame > wide(low)) & (frame < wide(high))
    labels, count = ndimage.label(within, IN_SLICE)
    touching = np.zeros(count + 1, dtype=bool)
    touching[labels[wide(brain) & within]] = True
    touching[0] = False
    mask = np.zeros(mean_hu.shape, dtype=bool)
    mask[fine] = touching[labels]
    mask[fine] = _filled(_bridged(mask[fine], frame, settings), pixel_mm)
    return mask


def _bridged(mask: MaskArray, mean_hu: Float32Array, settings: Settings) -> MaskArray:
    """Add to slices that metal spoils what the next clean slices below and above both hold."""
    from scipy import ndimage

    runs, _ = ndimage.label(mean_hu.max(axis=(1, 2)) > METAL_HU)
    for (run,) in ndimage.find_objects(runs):
        if 0 < run.start and run.stop < len(mask):
            mask[run] |= mask[run.start - 1] & mask[run.stop] & (mean_hu[run] < settings.bone_hu)
    return mask


def _box(mask):
    from scipy import ndimage
    return ndimage.find_objects(mask.astype(np.uint8))[0]


def _blocks(image: Float32Array, factors: tuple[int, ...]) -> Float32Array:
    """Average pixels in plane over blocks; the last block repeats the border."""
    sizes = zip(image.shape[1:], factors, strict=True)
    padded = np.pad(image, [(0, 0)] + [(0, -length % factor) for length, factor in sizes], mode="edge")
    depth, height, width = padded.shape
    return padded.reshape(depth, height // factors[0], factors[0], width // factors[1], factors[1])


def _distance(mask: MaskArray, pixel_mm: tuple[float, ...]) -> FloatArray:
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=pixel_mm))


def _dilated(mask: MaskArray, radius_mm: float, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Dilate one slice by a disc."""
    from scipy import ndimage

    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=pixel_mm) <= radius_mm)


def _opened(mask: MaskArray, radius_mm: float, pixel_mm: tuple[float, ...]) -> MaskArray:
    return _dilated(~_dilated(~mask, radius_mm, pixel_mm), radius_mm, pixel_mm)


def _without_holes(mask):
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(mask))


def _filled(mask: MaskArray, pixel_mm) -> MaskArray:
    """Fill what the mask encloses in its slice if it is small, or enclosed above and below as well."""
    from scipy import ndimage

    labels, count = ndimage.label(~mask, IN_SLICE)
    edge = np.zeros(count + 1, dtype=bool)
    for side in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        edge[side] = True
    edge[0] = True
    hole = ~edge
    if not hole.any():
        return mask
    small = hole & (np.bincount(labels.ravel(), minlength=count + 1) * pixel_mm[0] * pixel_mm[1] <= SMALL_HOLE_MM2)
    holes = hole[labels]
    whole, number = ndimage.label(holes)
    open_ = np.zeros(number + 1, dtype=bool)
    outside = edge[labels] & ~mask
    open_[whole[0]] = True
    open_[whole[-1]] = True
    open_[whole[1:][outside[:-1]]] = True
    open_[whole[:-1][outside[1:]]] = True
    open_[0] = True
    return mask | ~open_[whole] | small[labels]


def _largest(mask: MaskArray) -> MaskArray:
    """Keep the largest connected component."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())
