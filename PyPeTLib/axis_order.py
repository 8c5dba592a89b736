"""Whether the frames of a file are frames: axes in another order than x, y, z, time make heads of slices over time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import Geometry
from PyPeTLib.times import MINIMUM_FRAMES

#: Frames of a head are alike, whatever contrast agent and motion change. Where they correlate less than this, and what
#: lies along another axis more than that, the other axis is time: across half of a head nothing correlates so much.
UNLIKE, ALIKE = 0.9, 0.98
#: So many pairs of frames are compared, in so many voxels along each axis at most.
PAIRS, ALONG = 7, 32


def axis_like_time(values: npt.NDArray[np.number], geometry: Geometry) -> str:
    """Return in words which other axis of a scan is time, where the frames show that they are none; "" elsewhere.

    Values half of an axis apart are compared: along time they show the same head.

    Parameters
    ----------
    values : ndarray, shape (t, z, y, x)
        The scan, with axes in the order that its file tells.
    geometry : Geometry
        Its grid.

    Examples
    --------
    >>> head = np.random.default_rng(0).normal(0.0, 300.0, (4, 30, 30))
    >>> scan = head + np.random.default_rng(1).normal(0.0, 6.0, (40, 4, 30, 30))
    >>> axis_like_time(scan, Geometry((30, 30, 4), (6.0, 6.0, 8.0)))
    ''
    >>> axis_like_time(np.moveaxis(scan, 0, 1), Geometry((30, 30, 40), (6.0, 6.0, 1.0)))
    '30×30×40 voxels of 6×6×1 mm in 4 frames, of which axis z, 40 long, is like time'
    """
    if not _likeness(values, 0) <= UNLIKE:
        return ""
    for axis, name in ((3, "x"), (2, "y"), (1, "z")):
        long = values.shape[axis]
        if long >= MINIMUM_FRAMES and _likeness(values, axis) >= ALIKE:
            grid, _, _ = geometry.describe().partition(", origin")
            return f"{grid} in {len(values)} frames, of which axis {name}, {long} long, is like time"
    return ""


def _likeness(values: npt.NDArray[np.number], axis: int) -> float:
    """Return the median correlation of what lies half of an axis apart; NaN where nothing varies."""
    half = values.shape[axis] // 2
    if half == 0:
        return float("nan")
    every = tuple(slice(None, None, -(-long // ALONG)) for k, long in enumerate(values.shape) if k != axis)
    first = np.unique(np.linspace(0, half - 1, PAIRS).astype(int))
    along = np.moveaxis(values, axis, 0)
    one, other = (along[places][(slice(None), *every)].reshape(first.size, -1) for places in (first, first + half))
    return float(np.median([_correlation(*pair) for pair in zip(one, other, strict=True)]))


def _correlation(one: npt.NDArray[np.number], other: npt.NDArray[np.number]) -> float:
    """Return the correlation of two lists of numbers; NaN where one of them is constant or has other than numbers."""
    with np.errstate(invalid="ignore", over="ignore"):
        a, b = (values.astype(float) - values.mean(dtype=float) for values in (one, other))
        size = np.sqrt(np.sum(a * a) * np.sum(b * b))
        return float(np.sum(a * b) / size) if size > 0 else float("nan")
