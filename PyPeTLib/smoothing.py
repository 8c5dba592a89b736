"""Smoothing of voxel values inside a mask, and how much it averages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_parallel
from PyPeTLib.curves import robust_sd
from PyPeTLib.geometry import Geometry, MaskArray
from PyPeTLib.progress import Progress, silent

#: Kernels end at this many standard deviations.
KERNEL_REACH = 2.5
#: Noise of voxels further apart than this along an axis of the grid is each voxel's own.
FAR_VOXELS = 8
#: What is beyond this many standard deviations is not noise.
OUTLIER = 4.0
#: Of more voxels than this an even sample is looked at: what more of them would leave is less.
MOST_PLACES = 500

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

    images = [inside.astype(np.float32), *on_grid(rows, inside)]
    weight, *columns = in_parallel(lambda image: filtered(image)[inside], images, progress=progress)
    return np.stack([column / weight for column in columns], axis=1)


def averaged_width_mm(voxels: float, geometry: Geometry) -> float:
    """Return the full width at half maximum in mm of the Gaussian that averages as many voxels, at least a pixel.

    It is as wide in every direction, but never thinner than a slice.

    Examples
    --------
    >>> thick, thin = Geometry((9, 9, 9), (1.0, 1.0, 50.0)), Geometry((9, 9, 9), (1.0, 1.0, 1.0))
    >>> round(averaged_width_mm(4 * np.pi * 3.0**2, thick), 2)  # of a Gaussian with an SD of 3 mm
    7.06
    >>> round(averaged_width_mm((4 * np.pi * 3.0**2) ** 1.5, thin), 2)
    7.06
    >>> averaged_width_mm(1.0, thick)
    1.0
    """
    thickness_mm = geometry.spacing_mm[geometry.slice_axis]
    volume_mm3 = voxels * float(np.prod(geometry.spacing_mm))
    sd_mm = np.sqrt(volume_mm3 / (4.0 * np.pi * thickness_mm))  # the squares of a Gaussian's weights sum to 1/(4πs²)
    if 2.0 * np.sqrt(np.pi) * sd_mm > thickness_mm:
        sd_mm = np.cbrt(volume_mm3) / (2.0 * np.sqrt(np.pi))
    return float(max(np.sqrt(8.0 * np.log(2.0)) * sd_mm, geometry.pixel_mm))


def averaged_voxels(width_mm: float, spacing_zyx_mm: Sequence[float]) -> float:
    """Return how many voxels the Gaussian of a full width at half maximum in mm averages (`averaged_width_mm`).

    Slices, which may be stored along any axis, are what voxels are longest across; where they are not, the Gaussian is
    wider than a slice anyway.

    Examples
    --------
    >>> grid = Geometry((9, 9, 9), (1.0, 1.0, 5.0))
    >>> [round(averaged_voxels(averaged_width_mm(count, grid), grid.spacing_zyx_mm), 2) for count in (3.0, 60.0, 300.0)]
    [3.0, 60.0, 300.0]
    """
    thickness_mm = max(spacing_zyx_mm)
    across_mm = 2.0 * np.sqrt(np.pi / (8.0 * np.log(2.0))) * width_mm  # a cube so wide holds the average
    volume_mm3 = across_mm**2 * max(across_mm, thickness_mm)
    return float(max(1.0, volume_mm3 / np.prod(spacing_zyx_mm)))


def noise_of_mean(noise: Float32Array, mask: MaskArray, chosen: MaskArray) -> float:
    """Return the standard deviation of the mean of some voxels whose noise is that of an image.

    Noise of neighbours is alike, so that their mean holds more of it than as many voxels far apart: how much is seen at
    each distance of two of them all over the image. Of many voxels it is an upper bound, of a sample of them.

    Parameters
    ----------
    noise : ndarray, shape (voxel,)
        One value of the noise in each voxel of ``mask``.
    mask, chosen : ndarray of bool, shape (z, y, x)
        Where the noise is known; the voxels whose mean is asked for, inside or outside.

    Examples
    --------
    >>> noise = np.repeat(np.random.default_rng(0).normal(0.0, 5.0, 500), 2).astype(np.float32)  # pairs are alike
    >>> line, two = np.ones((1, 1, 1000), dtype=bool), np.zeros((1, 1, 1000), dtype=bool)
    >>> two[..., [10, 11]] = True
    >>> round(noise_of_mean(noise, line, two) / 5.0, 1)  # a half of neighbours are a pair
    0.9
    """
    sd = robust_sd(noise)
    if sd <= 0.0:
        return 0.0
    places = np.argwhere(chosen)
    places = places[:: -(-len(places) // MOST_PLACES)]
    steps, pairs = np.unique((places[:, None] - places).reshape(-1, 3), axis=0, return_counts=True)
    near = (np.abs(steps) <= FAR_VOXELS).all(axis=1) & (np.einsum("ij,j->i", steps, [1e6, 1e3, 1.0]) > 0)
    box = bounding_box(mask)
    inside = mask[box]
    image = on_grid(np.clip(noise, -OUTLIER * sd, OUTLIER * sd)[:, None], mask)[0][box]
    variance = np.mean(image[inside] ** 2)
    alike = 0.0
    for step, count in zip(steps[near], pairs[near], strict=True):
        ahead, back = (
            tuple(slice(max(0, one), None if one > 0 else one or None) for one in way) for way in (step, -step)
        )
        both = np.count_nonzero(inside[ahead] & inside[back])
        if both:
            alike += 2.0 * count * float(np.vdot(image[ahead], image[back])) / both / variance
    return float(sd * np.sqrt(max(len(places) + alike, len(places))) / len(places))


def bounding_box(mask: MaskArray) -> tuple[slice, ...]:
    """Return the smallest box around a mask."""
    extents = (np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3))
    return tuple(slice(int(extent[0]), int(extent[-1]) + 1) for extent in extents)


def on_grid(rows: Float32Array, mask: MaskArray) -> Float32Array:
    """Return voxel values as images of shape (component, z, y, x), 0 outside the mask."""
    grid = np.zeros((rows.shape[1], *mask.shape), dtype=np.float32)
    grid[:, mask] = rows.T
    return grid
