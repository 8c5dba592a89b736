"""The plane between the halves of the brain: where it mirrors itself best, then where its fissure is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from PyPeTLib.chunks import share
from PyPeTLib.geometry import FloatArray, Geometry, MaskArray
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Midplane
from PyPeTLib.settings import Settings

#: What lies outside the brain mask counts as so bright, in HU: it is bone, and sets off the edge of the brain.
OUTSIDE_HU = 80.0
#: Sides that differ by more than this, in HU, differ: by how much does not matter, as in an infarct or a bleeding.
LARGEST_HU = 40.0
#: Distances between the points of the whole brain that are compared with their mirror images, in mm.
STEPS_MM = (8.0, 4.0)
#: First guesses are tried on one in so many of the first.
THINNED = 4
#: First guesses: angles in degrees against the patient's left-right axis, of a head that leans to a shoulder (about the
#: axis to the back) and of one that is turned (about the axis of the body), and shifts in mm from the brain's centre.
LEANING_DEGREES, TURNED_DEGREES = np.arange(-27.0, 28.0, 9.0), np.arange(-45.0, 46.0, 9.0)
FIRST_MM = (-10.0, 0.0, 10.0)
#: At least this share of the brain needs a mirror image inside the scan.
LEAST_MIRRORED = 0.4
#: The plane is known where others, turned by 6 degrees or shifted by 6 mm, mirror worse by at least this share and by
#: so many HU: along rows or diagonals of the grid a ball mirrors exactly, and hardly worse beside them.
STEP_DEGREES, STEP_MM, LEAST_WORSE, LEAST_WORSE_HU = 6.0, 6.0, 0.3, 0.25
#: Local middles: so many mm on both sides are compared, with shifts up to these, at places so far apart, each with a
#: neighbourhood of this SD. Fissure, falx and the slits of the ventricles lie that near; halves differ further out.
HALF_MM, SHIFT_MM, PLACE_MM, PATCH_MM = 10, 6, 4.0, 12.0
#: A plane has as many numbers: fewer local middles do not tell them.
LEAST_MIDDLES = 3
#: The sheet of places reaches so far from the brain's centre, in mm.
REACH_MM = 92.0
ROUNDS, REWEIGHTINGS = 3, 20


def find_midplane(
    native_hu: FloatArray, brain: MaskArray, geometry: Geometry, *, settings: Settings, progress: Progress = silent
) -> Midplane | None:
    """Return the mid-sagittal plane; None where no plane mirrors the brain clearly better than its neighbours do.

    First the whole brain, without contrast (which a stroke changes by a few HU only), is compared with its mirror image
    in a plane, edge of the mask included. The measure is the mean absolute difference, each difference limited: what is
    on one side only, however large or bright, counts little. Then the middle is measured at many places near that plane
    and a plane fitted to them, places that deviate counting less: halves differ in shape, and the middle of the skull
    is not that of the brain. Where hardly a place near the plane lies in the mask, as in a small one, there is no plane
    either. All is done in mm, so thick slices and tilted grids do not matter, up to ``midplane_limit_degrees`` from the
    patient's left-right axis.

    Parameters
    ----------
    native_hu : ndarray, shape (voxel,)
        HU without contrast of the voxels of ``brain``.
    brain : ndarray of bool, shape (z, y, x)
        Everything inside the skull.
    geometry : Geometry
        Its grid.
    settings : Settings
        ``midplane_limit_degrees``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Liu 2001, IEEE Trans Med Imaging 20:175–192 (robust fit to local axes); Prima 2002, IEEE Trans Med Imaging 21(2)
    (mirroring in mm)
    """
    volume = np.full(brain.shape, OUTSIDE_HU, dtype=np.float32)
    volume[brain] = np.clip(native_hu, 0.0, OUTSIDE_HU)
    coarse, fine = (_points(volume, brain, geometry, step_mm) for step_mm in STEPS_MM)
    guesses = np.array(list(product(LEANING_DEGREES, TURNED_DEGREES, FIRST_MM)))
    best = _best(guesses, coarse.every(THINNED), share(progress, 0.1, 0.3))
    for points, step, ends in ((coarse, STEPS_MM[0], (0.3, 0.4)), (fine, STEPS_MM[1], (0.4, 0.7))):
        best = _improved(best, points, step, share(progress, *ends))
    too_far = np.abs(best[:2]).max() > settings.midplane_limit_degrees
    if too_far or _flat(best, coarse):
        return None
    normal, shift_mm = _normal(best), float(best[2])
    for done in range(ROUNDS):
        progress(0.7 + 0.3 * done / ROUNDS, "")
        fitted = _fitted_to_middles(volume, brain, geometry, coarse.centre_mm, normal, shift_mm)
        if fitted is None:
            return None
        normal, shift_mm = fitted
    x, y, z = (float(value) for value in normal)
    return Midplane((x, y, z), float(shift_mm + normal @ coarse.centre_mm), asymmetry_hu=_asymmetry(best, fine)[0])


@dataclass(frozen=True)
class _Points:
    """A blurred image, and points of the brain, with their values, that are compared with their mirror images.

    Points are indices in the order z, y, x, shape (3, point).
    """

    image: FloatArray
    points: FloatArray
    values: FloatArray
    centre_mm: FloatArray
    geometry: Geometry

    def every(self, count: int) -> _Points:
        """Return one in so many of the points."""
        return replace(self, points=self.points[:, ::count], values=self.values[::count])


def _points(volume: FloatArray, brain: MaskArray, geometry: Geometry, step_mm: float) -> _Points:
    """Blur, and take points ``step_mm`` apart in every direction, so that between slices as well.

    Points and mirror images are then interpolated alike; points on slices would draw the plane towards the grid.
    """
    from scipy.ndimage import binary_dilation, gaussian_filter

    spacing = np.asarray(geometry.spacing_zyx_mm)
    image = gaussian_filter(volume, 0.5 * np.maximum(step_mm, spacing) / spacing, mode="nearest", truncate=3.0)
    places = [np.arange(0.0, n - 1 + 1e-6, step_mm / mm) for n, mm in zip(brain.shape, spacing, strict=True)]
    near = binary_dilation(brain, iterations=2)[np.ix_(*(np.rint(one).astype(int) for one in places))]
    points = np.stack([one[k] for one, k in zip(places, np.nonzero(near), strict=True)])
    centre = geometry.places_mm(np.argwhere(brain).mean(axis=0))
    return _Points(image, points, _sampled(image, points.T), centre, geometry)


def _best(guesses: FloatArray, points: _Points, progress: Progress) -> FloatArray:
    """Return the best of some planes."""
    cost = np.empty(len(guesses))
    for done, guess in enumerate(guesses):
        progress(done / len(guesses), "")
        cost[done] = _cost(guess, points)
    return np.asarray(guesses[cost.argmin()])


def _improved(plane: FloatArray, points: _Points, step: float, progress: Progress) -> FloatArray:
    """Return the best plane near one; the first steps are of so many degrees and mm."""
    from scipy.optimize import minimize

    start: Any = plane
    options: Any = {"initial_simplex": plane + np.vstack([np.zeros(3), step * np.eye(3)]), "xatol": 0.05, "fatol": 1e-3}

    def cost(changed: FloatArray) -> float:
        progress(0.5, "")  # how many steps it takes is not known
        return _cost(changed, points)

    return np.asarray(minimize(cost, start, method="Nelder-Mead", options=options).x)


def _cost(plane: FloatArray, points: _Points) -> float:
    """Return what is least for the plane sought: the asymmetry, dearer the fewer points have their image in the scan.

    In a slab a plane that leans mirrors next to nothing but what is beside it, and that mirrors itself.
    """
    asymmetry, mirrored = _asymmetry(plane, points)
    return asymmetry / max(mirrored, LEAST_MIRRORED) ** 2


def _asymmetry(plane: FloatArray, points: _Points) -> tuple[float, float]:
    """Return the mean limited difference in HU of points and their mirror images, and the share that has them."""
    index, inside = _mirrored(plane, points)
    mirrored = float(inside.mean())
    if mirrored < LEAST_MIRRORED:
        return LARGEST_HU, mirrored
    difference = np.abs(_sampled(points.image, index.T) - points.values)
    return float(np.minimum(difference, LARGEST_HU).mean(where=inside)), mirrored


def _mirrored(plane: FloatArray, points: _Points) -> tuple[FloatArray, MaskArray]:
    """Return where the mirror images lie, as index (z, y, x), shape (3, point), and which of them are in the scan."""
    normal = _normal(plane)
    ends = points.geometry.places_mm(np.vstack([np.zeros(3), np.eye(3)]))
    distance = (ends - points.centre_mm) @ normal - plane[2]
    first, *others = points.geometry.indices(ends - 2.0 * distance[:, None] * normal)
    index = (np.stack(others, axis=1) - first[:, None]) @ points.points + first[:, None]
    return index, _in_scan(index, points.image.shape)


def _normal(plane: FloatArray) -> FloatArray:
    """Return the unit normal, towards the patient's left, of angles in degrees about y and about z (LPS)."""
    about_y, about_z = np.deg2rad(plane[:2])
    return np.array([np.cos(about_y) * np.cos(about_z), np.cos(about_y) * np.sin(about_z), -np.sin(about_y)])


def _flat(plane: FloatArray, points: _Points) -> bool:
    """Tell whether neighbours of a plane mirror about as well: a ball has no middle.

    How a plane leans is asked for as far as sides hang on it: in a slab, whose ends hardly know, not to a few degrees.
    """
    ends = np.array(list(product(*((-0.5, count - 0.5) for count in points.image.shape))))
    high_mm = 0.5 * np.ptp(points.geometry.places_mm(ends)[:, 2])
    leaning = max(STEP_DEGREES, float(np.rad2deg(np.arctan2(STEP_MM, high_mm))))
    steps = np.diag([leaning, STEP_DEGREES, STEP_MM])
    worse = min(_asymmetry(plane + sign * step, points)[0] for step in steps for sign in (-1, 1))
    best, _ = _asymmetry(plane, points)
    return worse < best + max(LEAST_WORSE * best, LEAST_WORSE_HU)


def _fitted_to_middles(
    volume: FloatArray, brain: MaskArray, geometry: Geometry, centre_mm: FloatArray, normal: FloatArray, shift_mm: float
) -> tuple[FloatArray, float] | None:
    """Return normal and shift of the plane through the local middles near a plane, least squares with Cauchy's weights.

    The middle at a place weighs as the square root of how much better it mirrors than the other shifts do. None where
    middles are fewer than a plane has numbers: so little brain supports none.
    """
    back = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
    back /= np.linalg.norm(back)
    up = np.cross(normal, back)
    places = np.arange(-REACH_MM, REACH_MM + PLACE_MM, PLACE_MM)
    across = np.arange(-HALF_MM - SHIFT_MM, HALF_MM + SHIFT_MM + 1.0)
    start = centre_mm + shift_mm * normal
    sheet = start + places[:, None, None] * back + places[:, None] * up
    index = geometry.indices(sheet + across[:, None, None, None] * normal)
    inside = _sampled(brain.astype(np.float32), index[across.size // 2], outside=0.0) > 0.5
    middle, weight = _local_middles(_sampled(volume, index, outside=np.nan), inside)
    known = weight > 0
    if np.count_nonzero(known) < LEAST_MIDDLES:
        return None
    away, along, above = middle[known], *(places[k] for k in np.nonzero(known))
    terms, least = np.stack([np.ones(away.size), along, above], axis=1), np.sqrt(weight[known])
    factor = np.ones(away.size)
    for _ in range(REWEIGHTINGS):
        scale = np.sqrt(least * factor)
        fit = np.linalg.lstsq(terms * scale[:, None], away * scale, rcond=None)[0]
        rest = np.abs(away - terms @ fit)
        factor = 1.0 / (1.0 + (rest / (2.0 * 1.4826 * np.median(rest) + 1e-3)) ** 2)
    turned = normal - fit[1] * back - fit[2] * up
    turned /= np.linalg.norm(turned)
    return turned, float(turned @ (start + fit[0] * normal - centre_mm))


def _local_middles(values: FloatArray, inside: MaskArray) -> tuple[FloatArray, FloatArray]:
    """Return, for every place of a sheet, the shift in mm about which its surroundings mirror best, and a weight.

    The weight is how much worse the mean shift mirrors, as a share; 0 outside the brain and where the best shift is the
    largest one.
    """
    from scipy.ndimage import gaussian_filter

    shifts = np.arange(-SHIFT_MM, SHIFT_MM + 1)
    worse = np.empty((shifts.size, *inside.shape))
    sd = (PATCH_MM / PLACE_MM, PATCH_MM / PLACE_MM)
    for row, shift in zip(worse, shifts, strict=True):
        at = HALF_MM + SHIFT_MM + shift
        difference = np.abs(values[at + 1 : at + HALF_MM + 1] - values[at - HALF_MM : at][::-1])
        known = np.isfinite(difference) & inside
        limited = np.where(known, np.minimum(difference, LARGEST_HU), 0.0)
        total, count = (gaussian_filter(one.sum(axis=0, dtype=float), sd, mode="constant") for one in (limited, known))
        row[:] = total / np.maximum(count, 1e-9)
    best = worse.argmin(axis=0)
    k = np.clip(best, 1, shifts.size - 2)
    before, least, after = (np.take_along_axis(worse, (k + step)[None], axis=0)[0] for step in (-1, 0, 1))
    curved = np.maximum(before - 2.0 * least + after, 1e-6)
    middle = shifts[k] + np.clip(0.5 * (before - after) / curved, -1.0, 1.0)
    share = (worse.mean(axis=0) - least) / np.maximum(least, 1e-6)
    return middle, np.where(inside & (best == k), np.maximum(share, 0.0), 0.0)


def _sampled(image: FloatArray, index: FloatArray, outside: float | None = None) -> FloatArray:
    """Return an image at fractional indices (..., 3), between voxels by interpolation."""
    from scipy.ndimage import map_coordinates

    places = np.moveaxis(index, -1, 0)
    values = np.asarray(map_coordinates(image, places, order=1, mode="nearest"))
    return values if outside is None else np.where(_in_scan(places, image.shape), values, np.float32(outside))


def _in_scan(index: FloatArray, shape: tuple[int, ...]) -> MaskArray:
    """Tell which indices, shape (3, ...), lie in the voxels of an image, which reach beyond their middles."""
    inside = np.ones(index.shape[1:], dtype=bool)
    for along, last in zip(index, np.asarray(shape) - 1, strict=True):
        inside &= (along >= -0.5) & (along <= last + 0.5)
    return inside
