"""Two maps on one grid, where they lie in the patient, and the voxels that both have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray, itk_image
from PyPeTLib.typeset import counted, percent, typeset

#: An interpolated voxel has a value where this share of the weights lies on values; below one half, so that a voxel
#: midway between a value and none does not hang on rounding.
LEAST_WEIGHT = 0.49
#: Where more than this share of a slice's edge is missing, NaN is its background: zeros beside it are values.
MISSING_EDGE = 0.2
#: A background of zeros that takes more than this share of the voxels to compare may be values, which is said.
TOLD_BACKGROUND = 0.01
#: Where less than this share of a map's voxels has a value in the reference, the two may not lie in one place.
DOUBTFUL_COVERAGE = 0.5


class EmptyReferenceError(InputError):
    """A reference that lies where the map does and has no value there: a case of several maps can do without it."""


@dataclass(frozen=True)
class Pair:
    """A map and its reference on the map's grid.

    Parameters
    ----------
    image, reference : Image
        Both maps; NaN where one has no value.
    compared : ndarray of bool, shape (z, y, x)
        Voxels in which mask and both maps have a value; at least one.
    coverage : float
        Their share of the mask's voxels; without a mask, of the image's voxels that have a value.
    remarks : tuple of str
        What makes it doubtful that these are the voxels to compare.
    """

    image: Image
    reference: Image
    compared: MaskArray
    coverage: float
    remarks: tuple[str, ...] = ()


def pair_up(image: Image, reference: Image, mask: Image | None = None) -> Pair:
    """Bring a reference onto the grid of a map, and find the voxels that can be compared.

    A map has no value where it is NaN or infinite. Nor has it one in a background of zeros: those that reach the edge
    of their slice, unless NaN is the background there, as most of the edge tells. Zeros that do not reach it (a Tmax of
    0) are values, and so are all in a map that is known to be NaN outside its mask. Of a map that is known to have a
    number outside its mask, that number takes the place of zero. Of another map a number below 0 that much of the edge
    of its slices has (-1, -1024) is no value, wherever it is.

    Parameters
    ----------
    image, reference : Image
        Two maps; the reference is `resampled` where it is on another grid.
    mask : Image, optional
        Where to compare; brought onto the grid as well.

    Raises
    ------
    InputError
        If an image is a single line of voxels, the mask is empty or no voxel can be compared; `EmptyReferenceError` if
        that is because the reference has no value.
    """
    _check_sizes(image, reference)
    ours, theirs = _without_background(image), _without_background(reference)
    theirs = resampled(Image(theirs, reference.geometry), image.geometry).values
    where = np.ones(ours.shape, dtype=bool) if mask is None else mask_on(mask, image.geometry)
    compared = where & np.isfinite(ours) & np.isfinite(theirs)
    if not compared.any():
        _refuse(ours, theirs, where, (image.geometry, reference.geometry), "" if mask is None else " of the mask")
    wanted = np.isfinite(ours) if mask is None else where
    units = image.unit, reference.unit
    one, other = (Image(values, image.geometry, unit) for values, unit in zip((ours, theirs), units, strict=True))
    told = _doubts(reference, other, where & np.isfinite(ours), compared)
    return Pair(one, other, compared, float(compared.sum() / wanted.sum()), told)


def _refuse(
    ours: FloatArray, theirs: FloatArray, where: MaskArray, grids: tuple[Geometry, Geometry], of: str
) -> NoReturn:
    """Say why no voxel can be compared: one has no value, or they lie in different places."""
    grid, other = grids
    covered = where & np.isfinite(resampled(Image(np.ones(other.shape, dtype=np.float32), other), grid).values)
    nothing = "every voxel is NaN, or 0 as the background is"
    if not np.isfinite(ours[where]).any():
        cure = f"Choose another map{' or mask' * bool(of)}."
        raise InputError(f"Map: values in voxels{of} are needed; found none, {nothing}. {cure}")
    if covered.any() and not np.isfinite(theirs[covered]).any():
        raise EmptyReferenceError(
            f"Reference: values in voxels{of} are needed; found none, {nothing}. Export this map again, or leave it "
            "out."
        )
    raise InputError(
        f"Comparison: a map and a reference that share voxels{of} are needed; found none in common between "
        f"{grid.describe()} and {other.describe()}. Choose a reference of the same patient, in the same place."
    )


def resampled(image: Image, geometry: Geometry) -> Image:
    """Return an image on another grid, by linear interpolation where it lies in the patient.

    Voxels outside its extent are NaN. Interpolation is normalised: missing values (NaN, infinite) do not enter, and a
    voxel has a value where about half of the weights or more lie on values. A voxel that is at least 1.5 times as long
    as those of the image, along any axis, gets the mean of evenly spread points in it: a finer image is averaged.

    Parameters
    ----------
    image : Image
        What to resample, real values.
    geometry : Geometry
        The grid wanted; an image on that grid already is returned with its values as they are.
    """
    if image.geometry.matches(geometry):
        return Image(image.values, geometry, image.unit)
    known = np.isfinite(image.values)
    weight = _averaged(Image(known.astype(np.float32), image.geometry), geometry)
    total = _averaged(Image(np.where(known, image.values, 0), image.geometry), geometry)
    enough = weight >= LEAST_WEIGHT
    values = np.full(geometry.shape, np.nan, dtype=total.dtype)
    values[enough] = total[enough] / weight[enough]
    return Image(values, geometry, image.unit)


def mask_on(mask: Image, geometry: Geometry) -> MaskArray:
    """Return a mask on a grid; refuse an empty one."""
    if not mask.values.any():
        raise InputError("Comparison: a mask with voxels is needed; found none in it. Choose another mask.")
    return np.asarray(resampled(Image((mask.values != 0).astype(np.float32), mask.geometry), geometry).values >= 0.5)


def limited(image: Image, inside: MaskArray) -> Image:
    """Return a map with NaN outside its mask, so that zeros inside are known to be values."""
    return replace(image, values=np.where(inside, image.values, np.nan), outside=float("nan"))


def describe_resampling(source: Geometry, target: Geometry) -> str:
    """Return in words how an image is brought onto another grid; "" where it lies on it.

    Examples
    --------
    >>> describe_resampling(Geometry((8, 8, 2), (0.5, 0.5, 5.0)), Geometry((4, 4, 2), (1.0, 1.0, 5.0)))
    'on another grid, 8×8×2 voxels of 0.5×0.5×5 mm: averaged over voxels of 1×1×5 mm'
    """
    if source.matches(target):
        return ""
    size, spacing = ("×".join(f"{one:.4g}" for one in of) for of in (source.size, source.spacing_mm))
    where = f"on another grid, {size} voxels of {spacing} mm"
    finer = max(_points_a_voxel(source, target)) > 1
    voxels = "×".join(f"{one:.4g}" for one in target.spacing_mm)
    return f"{where}: averaged over voxels of {voxels} mm" if finer else f"{where}: interpolated linearly"


def _points_a_voxel(source: Geometry, target: Geometry) -> tuple[int, int, int]:
    """Return how many points along x, y, z of a target's voxel stand for the source's voxels in it."""
    edges = np.linalg.solve(source.axes * source.spacing_mm, target.axes * target.spacing_mm)
    x, y, z = (max(1, int(np.floor(length + 0.5))) for length in np.abs(edges).max(axis=0))
    return x, y, z


def _averaged(image: Image, target: Geometry) -> FloatArray:
    """Return the mean over each voxel of a grid of an image interpolated linearly; 0 outside the image's extent."""
    source, points = itk_image(image.values, image.geometry), _points_a_voxel(image.geometry, target)
    if points == (1, 1, 1):
        return _interpolated(source, target)
    x, y, z = points
    spacing = (target.spacing_mm[0] / x, target.spacing_mm[1] / y, target.spacing_mm[2] / z)
    first = target.axes @ (-0.5 * np.subtract(points, 1) * np.asarray(spacing)) + target.origin_mm
    size = (target.size[0] * x, target.size[1] * y, z)
    planes = []
    for k in range(target.size[2]):  # slice by slice: the fine grid as a whole may be large
        origin = first + k * target.spacing_mm[2] * target.axes[:, 2]
        fine = replace(target, size=size, spacing_mm=spacing, origin_mm=tuple(origin.tolist()))
        planes.append(_interpolated(source, fine).reshape(z, target.size[1], y, target.size[0], x).mean(axis=(0, 2, 4)))
    return np.stack(planes)


def _interpolated(source: Any, target: Geometry) -> FloatArray:
    """Interpolate finite values linearly; 0 outside the extent of the voxels."""
    import SimpleITK as sitk

    grid = (target.size, sitk.Transform(), sitk.sitkLinear, target.origin_mm, target.spacing_mm)
    moved = sitk.Resample(source, *grid, target.direction, 0.0, source.GetPixelID())
    return np.asarray(sitk.GetArrayFromImage(moved))


def _without_background(image: Image) -> FloatArray:
    """Return a map's values, with NaN where it has none."""
    values = image.values.astype(np.result_type(image.values.dtype, np.float32))
    missing = ~np.isfinite(values)
    values[missing | _background(values, missing, image.outside)] = np.nan
    return values


def _background(values: FloatArray, missing: MaskArray, outside: float | None) -> MaskArray:
    """Return where a map has zeros, or the number known to be outside its mask, up to the edge of their slice.

    Where nothing is known and `MISSING_EDGE` of a slice's edge is missing, its background is what is missing. What has
    the number that `_filling` finds is missing, too.
    """
    from scipy.ndimage import generate_binary_structure, label

    alike = values == (0.0 if outside is None else outside)  # nothing is equal to NaN
    edge, filled = _edge(values), np.zeros(values.shape, dtype=bool)
    if outside is None:
        filled = values == _filling(values)
        alike[(missing | filled)[:, edge].mean(axis=1) > MISSING_EDGE] = False
    in_slice = generate_binary_structure(3, 1)
    in_slice[[0, 2]] = False
    regions, _ = label(alike, structure=in_slice)
    return np.asarray(filled | (alike & np.isin(regions, np.unique(regions[:, edge]))))


def _edge(values: FloatArray) -> MaskArray:
    """Return the edge of a map's slices, shape (y, x)."""
    edge = np.ones(values.shape[1:], dtype=bool)
    edge[1:-1, 1:-1] = False
    return edge


def _filling(values: FloatArray) -> float:
    """Return the number below 0 that `MISSING_EDGE` of the edge of a map's slices has; NaN where there is none.

    No flow, volume or time is one such number over so much of what lies around the head.
    """
    around = values[:, _edge(values)]
    numbers, count = np.unique(around[np.isfinite(around) & (around < 0)], return_counts=True)
    often = count.size and count.max() > max(1.0, MISSING_EDGE * around.size)
    return float(numbers[count.argmax()]) if often else float("nan")


def _doubts(reference: Image, moved: Image, wanted: MaskArray, compared: MaskArray) -> tuple[str, ...]:
    """Return what makes the voxels compared doubtful, where they are few of those ``wanted``, which the map has."""
    told, count = [], float(wanted.sum())
    infinite = Image(np.isinf(reference.values).astype(np.float32), reference.geometry)
    if infinite.values.any() and (lost := int((wanted & (resampled(infinite, moved.geometry).values > 0)).sum())):
        told.append(
            f"The reference is infinite in {counted(lost, 'voxel')} of those to compare: no values. If times were not "
            "found there or flow divided by 0, regions lack these voxels."
        )
    covered = float(compared.sum()) / count
    if 1.0 - covered > TOLD_BACKGROUND:
        missing = ~np.isfinite(reference.values)
        zeros = _background(reference.values, missing, reference.outside).astype(np.float32)
        there = resampled(Image(zeros, reference.geometry), moved.geometry).values >= 0.5
        share = float((wanted & there & ~compared).sum()) / count
        if share > TOLD_BACKGROUND:
            told.append(
                f"The reference has no value in {percent(share)} of the voxels to compare: it is "
                f"{_background_in_words(reference)}, as a background is. If these are values, put its brain mask "
                "beside it, PREFIX_brain_mask.nii.gz, or set its background to NaN."
            )
    if covered < DOUBTFUL_COVERAGE:
        told.append(
            f"The reference has values in {percent(covered)} of the voxels to compare: does it lie where the map does?"
        )
    return tuple(told)


def _background_in_words(reference: Image) -> str:
    """Return what a reference is where it has no value."""
    filling = _filling(reference.values) if reference.outside is None else np.nan
    if np.isfinite(filling):
        return f"{typeset(f'{filling:g}')} there and along the edge of its slices"
    return f"{typeset(f'{reference.outside or 0.0:g}')} there, up to the edge of the slice"


def _check_sizes(image: Image, reference: Image) -> None:
    for name, one in (("Map", image), ("Reference", reference)):
        if sorted(one.geometry.size)[1] < 2:
            raise InputError(
                f"{name}: a slice or a volume is needed for a comparison; found a single line of voxels, "
                f"{one.geometry.describe()}. Choose a whole map."
            )
