"""A field of view that ends within the head: where the skull cannot be seen the image ends, and so does the brain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import MaskArray

#: Denser than this, in HU, a head touches the edge of the image; table, foam and clothes are not.
HEAD_HU = -200.0
#: So much of the edge of a slice, in mm, where the head goes on beyond it; of no more than this share, or air is not
#: told from the head, for its values were cut.
LEAST_MM, LARGEST_SHARE = 20.0, 0.5
#: The wall around the image: its HU, denser than any ``bone_hu`` and less dense than metal, and its thickness in mm.
WALL_HU, WALL_MM = 1500.0, 6.0

Float32Array = npt.NDArray[np.float32]
#: Slices, rows and columns of an image within a wall.
Window = tuple[slice, slice, slice]


def walled(
    mean_hu: Float32Array, spacing_mm: tuple[float, float, float], multiples: tuple[int, int]
) -> tuple[Float32Array, Window]:
    """Return an image with a wall of bone where the head goes on beyond its edges in plane, and where the image lies.

    Elsewhere it goes on as it is at its edge. An image whose edges the head does not reach is returned itself.

    Parameters
    ----------
    mean_hu : ndarray, shape (z, y, x)
        HU; not changed.
    spacing_mm : tuple of float
        Of slices, rows and columns.
    multiples : tuple of int
        The wall is a multiple of so many rows and columns thick.

    Examples
    --------
    >>> image = np.full((1, 40, 40), -1000.0, dtype=np.float32)
    >>> image[:, :30, 5:35] = 30.0
    >>> wide, window = walled(image, (5.0, 1.0, 1.0), (1, 1))
    >>> wide.shape, bool((wide[window] == image).all()), float(wide[0, 0, 20]), float(wide[0, 51, 20])
    ((1, 52, 52), True, 1500.0, -1000.0)
    """
    reached_mm = _reached_mm(mean_hu > HEAD_HU, spacing_mm)
    whole_mm = _reached_mm(np.ones((1, *mean_hu.shape[1:]), dtype=bool), spacing_mm)
    reached = (reached_mm >= LEAST_MM) & (reached_mm <= LARGEST_SHARE * whole_mm)
    if not reached.any():
        return mean_hu, (slice(None), slice(None), slice(None))
    _, height, width = mean_hu.shape
    top, left = (one * int(np.ceil(WALL_MM / (one * mm))) for one, mm in zip(multiples, spacing_mm[1:], strict=True))
    window = slice(None), slice(top, top + height), slice(left, left + width)
    wide = np.pad(mean_hu, [(0, 0), (top, top), (left, left)], mode="edge")
    wall = reached[:, None, None] & (wide > HEAD_HU)
    wall[window] = False
    wide[wall] = WALL_HU
    return wide, window


def cut_slices(brain: MaskArray, spacing_mm: tuple[float, float, float]) -> MaskArray:
    """Return which slices of a mask reach the edge of the image in plane, so that brain lies beyond it, shape (z,)."""
    return np.asarray(_reached_mm(brain, spacing_mm) >= LEAST_MM)


def _reached_mm(mask: MaskArray, spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return how much of the edge of each slice, in mm, lies in a mask."""
    _, row_mm, column_mm = spacing_mm
    across, along = mask[:, [0, -1]].sum(axis=(1, 2)), mask[:, :, [0, -1]].sum(axis=(1, 2))
    return np.asarray(column_mm * across + row_mm * along)
