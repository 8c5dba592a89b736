"""Brain mask: everything inside the skull (tissue, CSF, vessels), from the time-mean image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import execute, share
from PyPeTLib.errors import QualityError
from PyPeTLib.field_of_view import cut_slices, walled
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.morphology import largest_part, near, outside
from PyPeTLib.orientation import displayed_spacing_mm, radiological
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Skull
from PyPeTLib.settings import BrainMethod, Settings
from PyPeTLib.skull import inside_open_skull
from PyPeTLib.stripped import is_cut, stripped_brain
from PyPeTLib.typeset import typeset

#: The mask is searched on pixels of about this size in mm; its border is then set on the scan's own pixels.
SEARCH_PIXEL_MM = 1.5
#: The smallest brain worth a map, in mL.
MINIMUM_BRAIN_ML = 20.0
#: Share of a region that must lie under (or over) the brain of the neighbouring slice.
CONTINUITY = 0.5
#: A search pixel denser than this share of the lower of ``bone_hu`` and ``tissue_high_hu`` holds some bone.
PURE_SHARE = 0.5
#: Bone is densest within this distance of the brain, in mm: about the thickness of the skull.
BONE_REACH_MM = 6.0
#: An opening rounds off right-angled corners up to this share of its radius, √2 − 1.
CORNER_SHARE = 0.41
#: A hole in one slice up to this area is a vessel or a calcification, in mm²; the bones of the base are larger.
SMALL_HOLE_MM2 = 20.0
#: Denser than any bone, in HU: metal, whose streaks hide the brain around it.
METAL_HU = 2500.0
#: A slice without a mask lies in the head where soft tissue fills this share of the brain of the slice next to it, ...
FILLED_SHARE = 0.85
#: ... if that is at least this share of the largest: at vertex and foramen the brain ends. A mask of less than the
#: second share of that brain is none.
LARGE_SHARE, HARDLY_ANY = 0.25, 0.1
#: No window ends below this, in HU; of one that ends at the second or above the share tells bone from vessels.
LEAST_CUT_HU, TOLD_BY_HU, CUT_BONE_SHARE = 50.0, 225.0, 0.67
#: Of a scan without skull smaller pieces than this share of the largest are none of the brain.
SMALLEST_PIECE = 0.01
#: Voxels of a CT scan are no smaller and no larger than this in any direction, in mm.
LEAST_VOXEL_MM, LARGEST_VOXEL_MM = 0.1, 30.0
#: Neighbours in the same slice.
IN_SLICE = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))])

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Search:
    """The mean image on search pixels: mean and greatest HU of each, their size in mm and in the scan's pixels."""

    mean: Float32Array
    densest: Float32Array
    pixel_mm: tuple[float, ...]
    factors: tuple[int, ...]


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
        If there is no skull with a brain in it, or no scan has voxels of this size.
    """
    return brain_in_skull(mean_hu, geometry, settings=settings, progress=progress)[0]


def brain_in_skull(
    mean_hu: Float32Array, geometry: Geometry, *, settings: Settings, progress: Progress = silent
) -> tuple[Image, Skull]:
    """Return what `brain_mask` returns, and what is to be known of the skull; parameters and errors are the same.

    Where the skull was taken off before (`stripped.stripped_brain`) the mask is what the scan shows. Where the head
    goes on beyond the image, its edge closes the skull (`field_of_view.walled`).
    """
    if _impossible(geometry):  # before anything is as large as its grid in mm
        raise QualityError(_no_brain(mean_hu, geometry, 0.0, settings))
    mask = np.zeros(mean_hu.shape, dtype=bool)
    slices = radiological(mean_hu, geometry)  # a view: the scan may be stored with any axis first
    spacing_mm = displayed_spacing_mm(geometry)
    shown = stripped_brain(slices, spacing_mm)
    if shown is None:
        wide, window = walled(slices, spacing_mm, _factors(spacing_mm[1:]))
        found, opened = METHODS[settings.brain](wide, spacing_mm, settings, progress)
        brain = found[window]
    else:
        brain, opened = _without_skull(slices, shown, spacing_mm, settings), np.zeros(len(slices), dtype=bool)
    radiological(mask, geometry)[:] = brain
    found_ml = float(mask.sum()) * geometry.voxel_volume_ml
    if found_ml < MINIMUM_BRAIN_ML:
        raise QualityError(_no_brain(mean_hu, geometry, found_ml, settings))
    left_out = _left_out(slices, brain, settings) if shown is None else np.zeros_like(opened)
    held = brain.any(axis=(1, 2))
    metal, cut = _metal(slices) & held, cut_slices(brain, spacing_mm)
    return Image(mask, geometry), Skull(opened & held, left_out, metal, cut, stripped=shown is not None)


def _no_brain(mean_hu: Float32Array, geometry: Geometry, found_ml: float, settings: Settings) -> str:
    """Return why there is no mask, and what to do."""
    if _impossible(geometry):
        size = "×".join(f"{one:g}" for one in geometry.spacing_mm)
        need = f"Brain mask: voxels of {LEAST_VOXEL_MM:g} to {LARGEST_VOXEL_MM:g} mm are needed"
        return f"{need}; found {size} mm. Put the size of the scan's, in mm, into its header."
    lowest, highest = (typeset(f"{end:.0f}") for end in (mean_hu.min(), mean_hu.max()))
    text = (
        f"Brain mask: a skull with at least {MINIMUM_BRAIN_ML:g} mL inside is needed; found {found_ml:.3g} mL "
        f"(image from {lowest} to {highest} HU). "
    )
    if LEAST_CUT_HU <= mean_hu.max() <= settings.bone_hu and is_cut(mean_hu):
        text += f"Values seem to be cut at {highest} HU, and more than {settings.bone_hu:g} HU is bone (bone_hu): "
        lower = f", or set bone_hu to {CUT_BONE_SHARE * mean_hu.max():.0f}" if mean_hu.max() >= TOLD_BY_HU else ""
        text += f"export the scan uncut{lower}. "
    return text + "Give a mask (--mask FILE, in 3D Slicer a segment), or check that the scan is a head in HU."


def _impossible(geometry: Geometry) -> bool:
    """Tell whether voxels are of a size that no CT scan has: of another unit than mm, or none that was set."""
    return min(geometry.spacing_mm) < LEAST_VOXEL_MM or max(geometry.spacing_mm) > LARGEST_VOXEL_MM


def _without_skull(
    mean_hu: Float32Array, shown: MaskArray, spacing_mm: tuple[float, float, float], settings: Settings
) -> MaskArray:
    """Return what a scan without skull shows, but for left-over bone, fat and small pieces."""
    from scipy import ndimage

    soft = shown & (mean_hu > settings.tissue_low_hu) & (mean_hu < settings.tissue_high_hu)
    labels, _ = ndimage.label(soft)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return _filled((sizes >= max(1.0, SMALLEST_PIECE * sizes.max()))[labels], spacing_mm[1:])


def inside_skull(
    mean_hu: Float32Array, spacing_mm: tuple[float, float, float], settings: Settings, progress: Progress
) -> tuple[MaskArray, MaskArray]:
    """Find the region that the skull encloses in each slice and that continues from slice to slice.

    The bone of each slice is closed over gaps of twice ``brain_opening_mm``, or as `inside_open_skull` does where they
    are wider, and filled; soft tissue that remains after an opening is kept where it continues the brain of the
    neighbouring slice, starting from the largest. Which skulls were open is returned too.
    Its border is then set where voxels are half brain, half bone; what else the skull base and thick slices mix
    with bone is left out.
    """
    search = _search_pixels(mean_hu, spacing_mm[1:])
    closed, opened = _all_closed(search, settings, share(progress, 0.0, 0.3))
    pure = _pure(search.mean, settings)
    soft = _filled(closed & pure, search.pixel_mm)
    wide = _slice_by_slice(
        lambda frame: _opened(frame, settings.brain_opening_mm, search.pixel_mm),
        soft,
        progress=share(progress, 0.3, 0.6),
    )
    brain = _continuous(wide)
    if not brain.any():
        return np.zeros(mean_hu.shape, dtype=bool), opened
    bounds = _bounds(brain, closed, search, spacing_mm, settings)
    found = _refined(brain, bounds, mean_hu, search.factors, share(progress, 0.7, 0.9))
    return _filled(_bridged(found, mean_hu, settings), spacing_mm[1:]), opened


def from_fast_marching(
    mean_hu: Float32Array, spacing_mm: tuple[float, float, float], settings: Settings, progress: Progress
) -> tuple[MaskArray, MaskArray]:
    """Grow a front from the middle of the skull and stop it at bone, as published.

    Unlike as published it stays within what the bone of each slice encloses, gaps closed as in `inside_skull`:
    otherwise it leaves through those of the skull base, and then grows around the skull.

    References
    ----------
    Sethian 1996, doi:10.1073/pnas.93.4.1591
    """
    import SimpleITK as sitk

    enclosed, opened = _enclosed(mean_hu, spacing_mm, settings, share(progress, 0.0, 0.2))
    bone = largest_part(mean_hu > settings.bone_hu)
    tissue = (mean_hu > settings.tissue_low_hu) & (mean_hu < settings.tissue_high_hu) & ~bone & enclosed
    if not (bone.any() and tissue.any()):
        return np.zeros(mean_hu.shape, dtype=bool), opened
    seed = _middle(bone, tissue)
    progress(0.25, "")
    speed = sitk.GetImageFromArray(tissue.astype(np.float32))
    speed.SetSpacing(spacing_mm[::-1])
    extent = float(max(np.multiply(mean_hu.shape, spacing_mm)))
    marching = sitk.FastMarchingImageFilter()
    marching.SetTrialPoints([tuple(int(i) for i in seed[::-1])])
    marching.SetStoppingValue(extent)
    arrival = execute(marching, speed, progress=share(progress, 0.25, 0.9))
    reached = sitk.GetArrayViewFromImage(arrival) < 0.75 * extent
    return _filled(reached & tissue, spacing_mm[1:]), opened


def _middle(bone: MaskArray, tissue: MaskArray) -> FloatArray:
    """Return the index of the soft tissue voxel nearest to the centre of the skull."""
    inside = np.argwhere(tissue)
    return np.asarray(inside[np.linalg.norm(inside - np.argwhere(bone).mean(axis=0), axis=1).argmin()])


Method = Callable[[Float32Array, tuple[float, float, float], Settings, Progress], tuple[MaskArray, MaskArray]]
METHODS: dict[BrainMethod, Method] = {
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


def _left_out(mean_hu: Float32Array, mask: MaskArray, settings: Settings) -> MaskArray:
    """Return the slices without a mask in which soft tissue fills the place of the brain nearest to them.

    A slice of one value shows nothing: others fill with it what they have not scanned, with 0 as well.
    """
    left_out, areas = np.zeros(len(mask), dtype=bool), mask.sum(axis=(1, 2))
    for order in (range(len(mask)), range(len(mask))[::-1]):
        brain = np.zeros_like(mask[0])
        for index in order:
            if areas[index] > HARDLY_ANY * brain.sum():
                brain = mask[index]
            elif brain.sum() < max(1.0, LARGE_SHARE * areas.max()):
                continue
            elif np.ptp(mean_hu[index]) > 0.0 and _pure(mean_hu[index][brain], settings).mean() >= FILLED_SHARE:
                left_out[index] = True
            else:
                brain = np.zeros_like(brain)
    return left_out


def _all_closed(search: _Search, settings: Settings, progress: Progress) -> tuple[MaskArray, MaskArray]:
    """Return the bone of every slice and what it encloses, on search pixels, and in which slices it was open."""
    closed = _slice_by_slice(lambda frame: _closed(frame, search.pixel_mm, settings), search.mean, progress=progress)
    held = np.stack(
        [
            inside_open_skull(frame, frame > settings.bone_hu, enclosed, search.pixel_mm, soft=_pure(frame, settings))
            for frame, enclosed in zip(search.mean, closed, strict=True)
        ]
    )
    return closed | held, np.asarray(held.any(axis=(1, 2)))


def _enclosed(
    mean_hu: Float32Array, spacing_mm: tuple[float, float, float], settings: Settings, progress: Progress
) -> tuple[MaskArray, MaskArray]:
    """Return the bone of every slice and what it encloses, on the scan's pixels, and in which slices it was open."""
    search = _search_pixels(mean_hu, spacing_mm[1:])
    closed, opened = _all_closed(search, settings, progress)
    return np.stack([_on_pixels(frame, search.factors, mean_hu.shape[1:]) for frame in closed]), opened


def _closed(frame: Float32Array, pixel_mm: tuple[float, ...], settings: Settings) -> MaskArray:
    """Return the bone of one slice and what it encloses, gaps closed."""
    radius = settings.brain_opening_mm
    bone = frame > settings.bone_hu
    if not bone.any():
        return bone
    return ~near(outside(near(bone, radius, pixel_mm)), radius, pixel_mm)


def _continuous(enclosed: MaskArray) -> MaskArray:
    """Keep, from the slice with the largest region up and down, the regions that continue one another."""
    from scipy import ndimage

    kept = np.zeros_like(enclosed)
    start = int(enclosed.sum(axis=(1, 2)).argmax())
    kept[start] = largest_part(enclosed[start])
    for step, last in ((1, len(enclosed)), (-1, -1)):
        for index in range(start + step, last, step):
            labels, count = ndimage.label(enclosed[index])
            if count:
                overlap = np.append(0.0, ndimage.mean(kept[index - step], labels, np.arange(1, count + 1)))
                kept[index] = (overlap >= CONTINUITY)[labels]
    return kept


def _pure(hu: Float32Array, settings: Settings) -> MaskArray:
    """Return what is soft and holds no bone."""
    return np.asarray((hu > settings.tissue_low_hu) & (hu < _pure_hu(settings)))


def _pure_hu(settings: Settings) -> float:
    """Return the HU below which a search pixel holds no bone."""
    return PURE_SHARE * min(settings.bone_hu, settings.tissue_high_hu)


def _bounds(
    brain: MaskArray,
    closed: MaskArray,
    search: _Search,
    spacing_mm: tuple[float, float, float],
    settings: Settings,
) -> tuple[Float32Array, Float32Array]:
    """Return above and below which HU a voxel of each search pixel belongs to the brain; below -inf none does.

    A voxel that is half bone has the mean of the HU of brain and of the bone beside it. Where bone is thin, or metal,
    a larger share of it counts as bone. Slanting bone leaves half-filled voxels as far from the brain as a slice is
    thick. Fluid fills the narrow corners that the opening has rounded off.
    """
    from scipy import ndimage

    window = (1, *(2 * round(BONE_REACH_MM / pixel) + 1 for pixel in search.pixel_mm))
    bone = ndimage.maximum_filter(search.densest, window)
    away = np.stack([_distance(frame, search.pixel_mm) for frame in brain])
    near_mm = max(search.pixel_mm) + max(spacing_mm[1:])
    usual = np.median(bone[(away > 0.0) & (away <= near_mm)])
    half = 0.5 * (np.median(search.mean[brain]) + np.minimum(bone, usual))
    within_reach = closed & (away <= near_mm + 0.5 * spacing_mm[0])
    corner_mm = CORNER_SHARE * settings.brain_opening_mm
    low = np.where(away <= near_mm + corner_mm, settings.tissue_low_hu, _pure_hu(settings))
    high = np.where(within_reach, np.maximum(half, settings.tissue_high_hu), -np.inf)
    return low.astype(np.float32), high.astype(np.float32)


def _refined(
    brain: MaskArray,
    bounds: tuple[Float32Array, Float32Array],
    mean_hu: Float32Array,
    factors: tuple[int, ...],
    progress: Progress,
) -> MaskArray:
    """Return the voxels within the bounds that are connected to the brain in their slice."""
    mask = np.zeros(mean_hu.shape, dtype=bool)
    rows, columns = (_ends(bounds[1] > -np.inf, axes) for axes in ((0, 2), (0, 1)))
    top, left = rows.start * factors[0], columns.start * factors[1]
    for index, frame in enumerate(mean_hu[:, top : rows.stop * factors[0], left : columns.stop * factors[1]]):
        start, low, high = (
            _on_pixels(values[index, rows, columns], factors, frame.shape) for values in (brain, *bounds)
        )
        found = _connected((frame > low) & (frame < high), start)
        mask[index, top : top + frame.shape[0], left : left + frame.shape[1]] = found
        progress((index + 1) / len(mask), "")
    return mask


def _ends(wanted: MaskArray, across: tuple[int, ...]) -> slice:
    """Return where a mask begins and ends along the axis that is not ``across``."""
    held = np.flatnonzero(wanted.any(axis=across))
    return slice(int(held[0]), int(held[-1]) + 1)


def _on_pixels(values: npt.NDArray[Any], factors: tuple[int, ...], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Repeat the search pixels of one slice on the scan's pixels."""
    return values.repeat(factors[0], axis=0).repeat(factors[1], axis=1)[: shape[0], : shape[1]]


def _connected(mask: MaskArray, start: MaskArray) -> MaskArray:
    """Keep the components of a mask that hold part of ``start``."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    kept = np.zeros(count + 1, dtype=bool)
    kept[labels[start & mask]] = True
    return np.asarray(kept[labels])


def _bridged(mask: MaskArray, mean_hu: Float32Array, settings: Settings) -> MaskArray:
    """Add to slices that metal spoils the soft voxels between the brain of the next clean slices below and above."""
    from scipy import ndimage

    bridged = mask.copy()
    runs, _ = ndimage.label(_metal(mean_hu))
    for (run,) in ndimage.find_objects(runs):
        if run.start > 0 and run.stop < len(mask):
            bridged[run] |= mask[run.start - 1] & mask[run.stop] & (mean_hu[run] < settings.bone_hu)
    return bridged


def _metal(mean_hu: Float32Array) -> MaskArray:
    """Tell which slices show metal."""
    return np.asarray(mean_hu.max(axis=(1, 2)) > METAL_HU)


def _search_pixels(mean_hu: Float32Array, spacing_mm: tuple[float, ...]) -> _Search:
    """Put pixels together in plane over blocks; the last block repeats the border."""
    factors = _factors(spacing_mm)
    sizes = zip(mean_hu.shape[1:], factors, strict=True)
    padded = np.pad(mean_hu, [(0, 0)] + [(0, -length % factor) for length, factor in sizes], mode="edge")
    depth, height, width = padded.shape
    blocks = padded.reshape(depth, height // factors[0], factors[0], width // factors[1], factors[1])
    pixel_mm = tuple(spacing * factor for spacing, factor in zip(spacing_mm, factors, strict=True))
    return _Search(blocks.mean(axis=(2, 4)), blocks.max(axis=(2, 4)), pixel_mm, factors)


def _factors(spacing_mm: tuple[float, ...]) -> tuple[int, int]:
    """Return how many rows and columns make a search pixel."""
    rows, columns = (max(1, round(SEARCH_PIXEL_MM / spacing)) for spacing in spacing_mm)
    return rows, columns


def _distance(mask: MaskArray, pixel_mm: tuple[float, ...]) -> FloatArray:
    """Return how far each pixel of one slice lies from the mask, in mm; infinitely far from none."""
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=pixel_mm))


def _opened(mask: MaskArray, radius_mm: float, pixel_mm: tuple[float, ...]) -> MaskArray:
    return near(~near(~mask, radius_mm, pixel_mm), radius_mm, pixel_mm)


def _filled(mask: MaskArray, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Fill the holes of each slice that are small, or that the mask covers below and above as well.

    Vessels, calcifications and clips lie in the brain; a large hole that reaches the outside below or above, or the end
    of the slab, is bone of the skull base.
    """
    outer = np.stack([outside(frame) for frame in mask])
    holes = ~(mask | outer)
    if not holes.any():
        return mask
    return mask | _small(holes, pixel_mm) | _covered(holes, outer)


def _small(holes: MaskArray, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Return the holes whose area in their slice is small."""
    from scipy import ndimage

    labels, _ = ndimage.label(holes, IN_SLICE)
    owner = labels[holes]
    small = np.zeros_like(holes)
    small[holes] = (np.bincount(owner) * float(np.prod(pixel_mm)) <= SMALL_HOLE_MM2)[owner]
    return small


def _covered(holes: MaskArray, outer: MaskArray) -> MaskArray:
    """Return the holes that touch nothing outside in the slices below and above; beyond the slab all is outside."""
    from scipy import ndimage

    labels, _ = ndimage.label(holes)
    beyond = np.pad(outer, [(1, 1), (0, 0), (0, 0)], constant_values=True)
    leaving = labels[holes & (beyond[:-2] | beyond[2:])]
    covered = np.zeros_like(holes)
    covered[holes] = ~np.isin(labels[holes], leaving)
    return covered
