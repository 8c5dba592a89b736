"""Smoothing of voxel values inside a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_parallel
from PyPeTLib.records import MaskArray, Progress, silent

#: Kernels end at this many standard deviations.
KERNEL_REACH = 2.5

Float32Array = npt.NDArray[np.float32]


def gaussian_in_mask(
    rows: Float32Array,
    mask: MaskArray,
    spacing_zyx_mm: Sequence[float],
    sigma_mm: float,
    *,
    progress: Progress = silent,
) -> Float32Array:
    """Smooth voxel values by normalised convolution: nothing enters from outside the mask.

    Parameters
    ----------
    rows : ndarray, shape (voxel, component)
        Values of the voxels of ``mask``.
    mask : ndarray of bool, shape (z, y, x)
    spacing_zyx_mm : sequence of float
        Of the grid of ``mask``.
    sigma_mm : float
        Standard deviation of the kernel in mm.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    from scipy.ndimage import gaussian_filter

    box = bounding_box(mask)
    inside = mask[box]
    sigma = [sigma_mm / spacing for spacing in spacing_zyx_mm]

    def filtered(image: Float32Array) -> Float32Array:
        smoothed: Float32Array = gaussian_filter(image, sigma, mode="constant", truncate=KERNEL_REACH)
        return smoothed

    weight = filtered(inside.astype(np.float32))[inside]
    images = list(on_grid(rows, inside))
    columns = in_parallel(lambda image: filtered(image)[inside] / weight, images, progress=progress)
    return np.stack(list(columns), axis=1)


def bounding_box(mask: MaskArray) -> tuple[slice, ...]:
    """Return the smallest box around a mask."""
    extents = (np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3))
    return tuple(slice(int(extent[0]), int(extent[-1]) + 1) for extent in extents)


def on_grid(rows: Float32Array, mask: MaskArray) -> Float32Array:
    """Return voxel values as images of shape (component, z, y, x), 0 outside the mask."""
    grid = np.zeros((rows.shape[1], *mask.shape), dtype=np.float32)
    grid[:, mask] = rows.T
    return grid
