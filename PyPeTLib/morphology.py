"""Shapes of masks: what a slice of one encloses, how thick it is, what lies near it, and its connected parts."""

from __future__ import annotations

import numpy as np

from PyPeTLib.geometry import FloatArray, MaskArray


def depth_mm(frame: MaskArray, pixel_mm: tuple[float, ...]) -> FloatArray:
    """Return how deep in the mask of one slice each pixel lies, in mm."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(np.pad(frame, 1), sampling=pixel_mm)[1:-1, 1:-1])


def near(chosen: MaskArray, radius_mm: float, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Return the pixels of one slice that lie so near chosen ones; none where none is chosen."""
    from scipy import ndimage

    if not chosen.any():
        return chosen
    return np.asarray(ndimage.distance_transform_edt(~chosen, sampling=pixel_mm) <= radius_mm)


def opened(frame: MaskArray, radius_mm: float, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Return what of one slice lies in discs of a radius that fit into it: thin structures are left out.

    Examples
    --------
    >>> frame = np.zeros((9, 20), dtype=bool)
    >>> frame[:, :9], frame[4, 9:] = True, True
    >>> int(opened(frame, 2.0, (1.0, 1.0)).any(axis=0).sum())  # nine, and where the thin part begins
    10
    """
    return frame & near(depth_mm(frame, pixel_mm) > radius_mm, radius_mm, pixel_mm)


def outside(frame: MaskArray) -> MaskArray:
    """Return what the mask of one slice does not enclose: what `scipy.ndimage.binary_fill_holes` leaves out, faster.

    Examples
    --------
    >>> outside(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1], [0, 0, 1]], dtype=bool)).astype(int).tolist()
    [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]]
    """
    from scipy import ndimage

    labels, _ = ndimage.label(np.pad(~frame, 1, constant_values=True))
    return np.asarray(labels == labels[0, 0])[1:-1, 1:-1]


def large_parts(mask: MaskArray, least: float, voxel: float, counted: MaskArray | None = None) -> MaskArray:
    """Keep the connected parts of a mask, touching at corners, that are large enough.

    Parameters
    ----------
    mask : ndarray of bool
        A volume or a slice.
    least : float
        Smallest size of a part.
    voxel : float
        Size of a voxel, or of a pixel, in the same unit.
    counted : ndarray of bool, optional
        What of the mask counts for the size of a part; all of it by default.

    Examples
    --------
    >>> large_parts(np.array([[1, 0, 0, 1], [0, 1, 0, 0]], dtype=bool), 4.0, 2.0).astype(int).tolist()
    [[1, 0, 0, 0], [0, 1, 0, 0]]
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    large = np.bincount(labels[mask if counted is None else counted], minlength=count + 1) * voxel >= least
    large[0] = False
    return np.asarray(large[labels])


def largest_part(mask: MaskArray) -> MaskArray:
    """Keep the largest connected part of a mask; parts that touch at edges or corners only are not connected."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())
