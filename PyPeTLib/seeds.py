"""Vessels from points that a user drops: the voxels around each point whose curves behave alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import noise_level, peaks
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.scan import Series
from PyPeTLib.settings import Settings
from PyPeTLib.typeset import typeset

#: A click misses the vessel by a little: the seed is a voxel that some part of is this close to it, in mm ...
SNAP_MM = 3.0
#: ... and there it must be taller by this factor than a voxel under the click: a click on a vein stays on the vein.
SNAP_FACTOR = 2.0
#: A vessel is followed no further from its seed than this, in mm: further on it is narrower and later, but the
#: neighbours of slices of up to 10 mm are within reach.
GROWTH_MM = 10.0
#: Partial volume scales a curve and keeps its shape: below this correlation with the seed, blood of another vessel
#: is in the voxel.
LEAST_CORRELATION = 0.97
#: Voxels that rise by less than this share of the seed are edge, not lumen: of its shape, but lost in noise.
CORE_SHARE = 0.7
#: A peak is no further than this from that of the seed, in s: veins follow arteries by more.
SAME_PEAK_S = 1.0
#: The curves around a point are reduced to so many principal components ...
COMPONENTS = 8
#: ... of this share of them, the most variable, but of so many at least: vessels are few.
VARIABLE_SHARE = 0.1
FEWEST_VARIABLE = 50
#: A vessel rises and falls by at least this many standard deviations of the noise that the components leave.
RISE_NOISE_FACTOR = 12.0


@dataclass(frozen=True)
class Surroundings:
    """The voxels around a point.

    Parameters
    ----------
    voxels : ndarray of int, shape (voxel, 3)
        Their places in the grid: z, y, x.
    place_mm : ndarray, shape (voxel, 3)
        Their centres in mm, LPS.
    curves_hu : ndarray, shape (voxel, t)
        Their HU about the mean over time, on few temporal components.
    noise_hu : float
        Standard deviation of the noise that these leave, in HU.
    """

    voxels: npt.NDArray[np.intp]
    place_mm: FloatArray
    curves_hu: FloatArray
    noise_hu: float


def grow_seeds(
    series: Series, points_mm: Iterable[Sequence[float]], brain: Image | None = None, *, settings: Settings
) -> Image:
    """Return the vessels at some points as one mask.

    Each point is moved to the voxel near it whose curve varies most (at the edge of the search twice as much is
    needed as at the point). Its mask is what is connected with that voxel, is not far away and has its curve: a high
    correlation, most of its height and the time of its peak.

    Parameters
    ----------
    series : Series
        The scan in HU.
    points_mm : iterable of three float each
        x, y, z in mm, LPS; a click need not be exact.
    brain : Image, optional
        Voxels to choose from (bool, on the scan's grid); all where it is None.
    settings : Settings
        ``minimum_enhancement_hu``.

    Raises
    ------
    InputError
        If there is no point, a point lies outside the scan, or nothing near it enhances above the noise.
    """
    mask = np.zeros(series.geometry.shape, dtype=bool)
    count = 0
    for count, point in enumerate(points_mm, start=1):
        mask |= _vessel_at(series, np.asarray(point, dtype=float), brain, f"Point {count}", settings)
    if not count:
        raise InputError("Points: at least one is needed; found none. Drop a point into the vessel.")
    return Image(mask, series.geometry)


def _vessel_at(series: Series, point_mm: FloatArray, brain: Image | None, name: str, settings: Settings) -> MaskArray:
    """Return the vessel at one point."""
    _check_inside(point_mm, series.geometry, name)
    around = _surroundings(series, point_mm, brain)
    apart_mm = _apart_mm(around.voxels, point_mm, series.geometry)
    seed = _seed(around, apart_mm, f"within {SNAP_MM:g} mm of {_text(point_mm)}", name, settings)
    alike = _alike(around.curves_hu, seed, series.times_s)
    alike &= np.linalg.norm(around.place_mm - around.place_mm[seed], axis=1) <= GROWTH_MM
    return _connected(around.voxels[alike], around.voxels[seed], series.geometry)


def _check_inside(point_mm: FloatArray, geometry: Geometry, name: str) -> None:
    """Refuse a point that is further than half a voxel outside the grid."""
    index = geometry.indices(point_mm)
    if not ((index >= -0.5) & (index <= np.asarray(geometry.shape) - 0.5)).all():
        corners = geometry.corners_mm()
        ends = [[typeset(f"{one:.4g}") for one in corner] for corner in (corners.min(axis=0), corners.max(axis=0))]
        extent = " × ".join(map("…".join, zip(*ends, strict=True)))
        raise InputError(
            f"{name}: a place in the scan, {extent} mm LPS, is needed; found {_text(point_mm)}. Drop it on this scan."
        )


def _surroundings(series: Series, point_mm: FloatArray, brain: Image | None) -> Surroundings:
    """Return the voxels from which the seed and its vessel are taken, with curves of few temporal components."""
    voxels, place_mm = _reach(series.geometry, point_mm, SNAP_MM + GROWTH_MM)
    if brain is not None:
        inside = brain.values[tuple(voxels.T)]
        voxels, place_mm = voxels[inside], place_mm[inside]
    if not len(voxels):
        return Surroundings(voxels, place_mm, np.zeros((0, series.frames)), 0.0)
    hu = series.values[(slice(None), *voxels.T)].astype(float)
    change = hu - hu.mean(axis=0)
    count = max(FEWEST_VARIABLE, round(VARIABLE_SHARE * len(voxels)))
    variable = change[:, np.argsort(change.var(axis=0))[-count:]]
    _, components = np.linalg.eigh(variable @ variable.T)
    kept = components[:, -min(COMPONENTS, series.frames // 2) :]
    noise = noise_level(hu) * float(np.sqrt(kept.shape[1] / series.frames))
    return Surroundings(voxels, place_mm, (kept @ (kept.T @ change)).T, noise)


def _reach(geometry: Geometry, point_mm: FloatArray, radius_mm: float) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return the voxels (z, y, x) that some part of is within a distance of a point, and their centres in mm."""
    reach = radius_mm / np.asarray(geometry.spacing_zyx_mm) + 0.5
    middle = geometry.indices(point_mm)
    low = np.maximum(np.ceil(middle - reach), 0).astype(int)
    high = np.minimum(np.floor(middle + reach) + 1, geometry.shape).astype(int)
    ranges = (np.arange(first, last) for first, last in zip(low, high, strict=True))
    voxels = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = voxels[_apart_mm(voxels, point_mm, geometry) <= radius_mm]
    return voxels, geometry.places_mm(voxels)


def _apart_mm(voxels: npt.NDArray[np.intp], point_mm: FloatArray, geometry: Geometry) -> FloatArray:
    """Return the distance in mm of a point from the nearest part of each voxel, 0 from that it lies in."""
    beyond = np.maximum(np.abs(voxels - geometry.indices(point_mm)) - 0.5, 0.0)
    return np.asarray(np.linalg.norm(beyond * geometry.spacing_zyx_mm, axis=1))


def _seed(around: Surroundings, apart_mm: FloatArray, where: str, name: str, settings: Settings) -> int:
    """Return that of the voxels near the point whose curve varies most, weighted by how near it is."""
    near = np.flatnonzero(apart_mm <= SNAP_MM)
    if not near.size:
        raise InputError(f"{name}: a voxel of the brain mask {where} is needed; found none. Move the point.")
    change_hu = np.ptp(around.curves_hu[near], axis=1)
    least_hu = max(RISE_NOISE_FACTOR * around.noise_hu, settings.minimum_enhancement_hu)
    if change_hu.max() < least_hu:
        raise InputError(
            f"{name}: a voxel {where} that enhances by at least {np.ceil(least_hu):.0f} HU is needed; found at most "
            f"{np.floor(change_hu.max()):.0f} HU. Move the point onto the vessel."
        )
    nearness = np.interp(apart_mm[near], (0.0, SNAP_MM), (1.0, 1.0 / SNAP_FACTOR))
    return int(near[(change_hu * nearness).argmax()])


def _alike(curves_hu: FloatArray, seed: int, times_s: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which curves have the shape of the seed's, most of its height, and its peak."""
    model = curves_hu[seed]
    product, power = curves_hu @ model, (curves_hu**2).sum(axis=1)
    peak_s = np.interp(peaks(curves_hu)[:, 1], np.arange(times_s.size), times_s)
    similar = product >= LEAST_CORRELATION * np.sqrt(power * power[seed])
    tall = product >= CORE_SHARE * power[seed]
    return np.asarray(similar & tall & (np.abs(peak_s - peak_s[seed]) <= SAME_PEAK_S))


def _connected(voxels: npt.NDArray[np.intp], seed: npt.NDArray[np.intp], geometry: Geometry) -> MaskArray:
    """Return those of some voxels that are connected with the seed, by faces, edges or corners."""
    from scipy import ndimage

    grid = np.zeros(geometry.shape, dtype=bool)
    grid[tuple(voxels.T)] = True
    labels, _ = ndimage.label(grid, np.ones((3, 3, 3)))
    return np.asarray(labels == labels[tuple(seed)])


def _text(point_mm: FloatArray) -> str:
    return "(" + ", ".join(typeset(f"{value:.4g}") for value in point_mm) + ") mm"
