"""Bodies as signed distances, negative inside, on the coarse grid of head coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK
from scipy import ndimage

from PyPeTLib.geometry import FloatArray, Geometry

sitk: Any = SimpleITK
Space = tuple[FloatArray, FloatArray, FloatArray]

#: Grid of the distance fields in head coordinates.
GRID_MM = 2.5
GRID_LOW_MM = (-95.0, -115.0, -95.0)
GRID_SIZE = (77, 93, 77)


def head_space(rng: np.random.Generator) -> Space:
    """Return the coordinates of the coarse grid, warped by up to a few mm so that no two sides are equal."""
    low, size = GRID_LOW_MM, GRID_SIZE
    axes = [np.float32(low[i]) + np.float32(GRID_MM) * np.arange(size[i], dtype=np.float32) for i in range(3)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return (x + 1.3 * noise(rng, 16.0), y + 1.5 * noise(rng, 16.0), z + 1.5 * noise(rng, 16.0))


def noise(rng: np.random.Generator, sigma_mm: float) -> FloatArray:
    """Return a smooth random field with mean about 0 and standard deviation 1."""
    white = rng.standard_normal(GRID_SIZE[::-1], dtype=np.float32)
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(white), sigma_mm / GRID_MM))
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def smooth(values: FloatArray, sigma_mm: float) -> FloatArray:
    """Return a field after a Gaussian of SD ``sigma_mm``."""
    image = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(values), sigma_mm / GRID_MM)
    return np.asarray(sitk.GetArrayFromImage(image), dtype=np.float32)


def ball(space: Space, centre: Sequence[float] | FloatArray, radii: tuple[float, float, float]) -> FloatArray:
    """Signed distance to an ellipsoid, first order."""
    x, y, z = ((p - float(c)) / r for p, c, r in zip(space, centre, radii, strict=True))
    level = np.sqrt(x * x + y * y + z * z)
    slope = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2 + (z / radii[2]) ** 2)
    return np.asarray(np.where(level > 1e-3, level * (level - 1) / np.maximum(slope, 1e-6), -min(radii)), np.float32)


def rod(space: Space, start: tuple[float, ...], end: tuple[float, ...], radii: tuple[float, float]) -> FloatArray:
    """Signed distance to a rod with round ends whose radius changes linearly."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = b - a
    offset = [p - c for p, c in zip(space, a, strict=True)]
    share = np.clip(sum(o * n for o, n in zip(offset, along, strict=True)) / float(along @ along), 0, 1)
    squared = sum((o - share * n) ** 2 for o, n in zip(offset, along, strict=True))
    return np.asarray(np.sqrt(squared) - (radii[0] + share * (radii[1] - radii[0])), np.float32)


def chain(space: Space, points: tuple[tuple[float, float, float], ...], radii: tuple[float, ...]) -> FloatArray:
    """Signed distance to rods joined end to end."""
    rods = [rod(space, points[i], points[i + 1], (radii[i], radii[i + 1])) for i in range(len(points) - 1)]
    return np.asarray(np.minimum.reduce(rods), np.float32)


def join(first: FloatArray, second: FloatArray, blend_mm: float) -> FloatArray:
    """Union of two bodies with a rounded seam."""
    share = np.maximum(blend_mm - np.abs(first - second), 0) / blend_mm
    return np.asarray(np.minimum(first, second) - share * share * (blend_mm / 4), np.float32)


def mirrored(space: Space) -> Space:
    """Return coordinates in which both sides are the left side."""
    return np.abs(space[0]), space[1], space[2]


def distance_to_zero(values: FloatArray) -> FloatArray:
    """Return the first-order distance in mm to the surface where ``values`` is 0, signed."""
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(values, GRID_MM)))
    return np.asarray(values / np.sqrt(slope**2 + (0.35 * slope.mean()) ** 2), np.float32)


def sample(field: FloatArray, index: FloatArray) -> FloatArray:
    """Sample a field at fractional array indices, shape (3, ...), trilinear."""
    return np.asarray(ndimage.map_coordinates(field, index, order=1, mode="nearest", output=np.float32))


def resample(field: FloatArray, to_head: FloatArray, geometry: Geometry) -> FloatArray:
    """Return a field on a grid in patient coordinates, trilinear."""
    image = sitk.GetImageFromArray(field)
    image.SetSpacing((GRID_MM,) * 3)
    image.SetOrigin(GRID_LOW_MM)
    move = sitk.AffineTransform(3)
    move.SetMatrix(to_head.ravel().tolist())
    grid = (geometry.size, move, sitk.sitkLinear, geometry.origin_mm, geometry.spacing_mm, geometry.direction)
    return np.asarray(
        sitk.GetArrayFromImage(sitk.Resample(image, *grid, 0.0, sitk.sitkFloat32, True)), dtype=np.float32
    )
