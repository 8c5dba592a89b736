"""Scans whose skull was taken off before they came here, as in many public data sets: they show the brain alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import MaskArray

#: Soft is what lies between these HU: fluid and vessels, noise included.
SOFT_HU = (-50.0, 200.0)
#: Of a brain alone at least this share is soft (of a head three quarters at most), ...
LEAST_SOFT = 0.8
#: ... and further than this from its surface, in mm, nearly all; there a head has its skull.
DEPTH_MM, LEAST_SOFT_WITHIN = 8.0, 0.97
#: Where more voxels than this share have the greatest value, values were cut there and bone may look soft.
MOST_CUT = 0.005


def stripped_brain(hu: npt.NDArray[Any], spacing_mm: tuple[float, float, float]) -> MaskArray | None:
    """Return what a skull-stripped scan shows, bool, shape (slice, row, column); None for a scan with its skull.

    Outside the brain such a scan has one value, which is in its corners; what has another is soft but for a rim. The
    background of a head is noise, or its rim is followed by bone.

    Parameters
    ----------
    hu : ndarray, shape (slice, row, column)
        A frame, or the mean of all.
    spacing_mm : tuple of float
        Of slices, rows and columns.

    Examples
    --------
    >>> y, x = np.mgrid[-20:21, -20:21]
    >>> ball = np.hypot(y, x)[None] < 15
    >>> brain = np.where(ball, 35.0 + 0.1 * x + 0.01 * y, 0.0)
    >>> bool((stripped_brain(brain, (5.0, 4.0, 4.0)) == ball).all())
    True
    >>> skull = ball & (np.hypot(y, x) > 11)
    >>> stripped_brain(np.where(skull, 800.0 + x + 0.1 * y, brain), (5.0, 4.0, 4.0)) is None
    True
    """
    from scipy import ndimage

    corners = hu[np.ix_(*([0, -1] for _ in range(3)))]
    if (corners != corners[0, 0, 0]).any():
        return None
    shown = np.asarray(hu != corners[0, 0, 0])
    soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
    if not shown.any() or soft[shown].mean() < LEAST_SOFT or is_cut(hu[shown]):
        return None
    beyond = np.pad(shown, [(0, 0), (1, 1), (1, 1)])
    depth = np.stack([ndimage.distance_transform_edt(one, sampling=spacing_mm[1:]) for one in beyond])[:, 1:-1, 1:-1]
    within = depth > DEPTH_MM
    return shown if within.any() and soft[within].mean() >= LEAST_SOFT_WITHIN else None


def is_cut(hu: npt.NDArray[Any]) -> bool:
    """Tell whether values were cut at their upper end, as by a window.

    Examples
    --------
    >>> scan = np.arange(1000.0)
    >>> is_cut(scan), is_cut(np.minimum(scan, 900.0))
    (False, True)
    """
    return bool(np.mean(hu >= hu.max()) > MOST_CUT)
