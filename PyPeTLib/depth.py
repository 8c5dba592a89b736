"""How thick something is in the plane of a slice: what a disc fits into, and what lies near it."""

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
