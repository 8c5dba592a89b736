"""From the stored order of voxels to the patient's axes, as radiologists look at them; nothing is resampled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Geometry

Array = npt.NDArray[Any]


def radiological(values: Array, geometry: Geometry) -> Array:
    """Return a view with axes (..., slice, row, column): from feet to head, to posterior, to the patient's left.

    So the patient's left is on the right of the picture and the nose is on top. Each grid axis is taken for the patient
    axis it runs along most; nothing is resampled.

    Parameters
    ----------
    values : ndarray, shape (..., z, y, x)
        Voxels on the grid of ``geometry``.
    geometry : Geometry
        Grid in LPS.

    Examples
    --------
    >>> flipped = Geometry((2, 1, 1), (1.0, 1.0, 1.0), direction=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    >>> radiological(np.array([[["left", "right"]]]), flipped).tolist()
    [[['right', 'left']]]
    """
    lead = values.ndim - 3
    along = geometry.patient_axes
    turned = np.transpose(values, (*range(lead), *(lead + 2 - along[k] for k in (2, 1, 0))))
    backwards = [geometry.axes[k, along[k]] < 0 for k in (2, 1, 0)]
    flipped: Array = np.flip(turned, tuple(lead + k for k in range(3) if backwards[k]))
    return flipped


def displayed_shape(geometry: Geometry) -> tuple[int, int]:
    """Return rows and columns of a displayed slice."""
    along = geometry.patient_axes
    return geometry.size[along[1]], geometry.size[along[0]]


def displayed_spacing_mm(geometry: Geometry) -> tuple[float, float, float]:
    """Return the spacing of slices, rows and columns of the displayed grid in mm."""
    along = geometry.patient_axes
    return geometry.spacing_mm[along[2]], geometry.spacing_mm[along[1]], geometry.spacing_mm[along[0]]


def pixel_aspect(geometry: Geometry) -> float:
    """Return height over width of a displayed pixel in mm."""
    along = geometry.patient_axes
    return geometry.spacing_mm[along[1]] / geometry.spacing_mm[along[0]]


def slice_labels(geometry: Geometry) -> list[str]:
    """Return where each displayed slice lies: mm superior (S) or inferior (I) of the scan's origin.

    Examples
    --------
    >>> slice_labels(Geometry((4, 4, 3), (1.0, 1.0, 5.0), (0.0, 0.0, -5.0)))
    ['I 5 mm', 'S 0 mm', 'S 5 mm']
    """
    return [f"{'I' if round(height) < 0 else 'S'} {abs(round(height))} mm" for height in _heights_mm(geometry)]


def _heights_mm(geometry: Geometry) -> FloatArray:
    """Return the height of the middle of each displayed slice in mm, rising."""
    axis = geometry.patient_axes[2]
    middle = geometry.corners_mm()[:, 2].mean()
    steps = np.arange(geometry.size[axis]) - (geometry.size[axis] - 1) / 2
    return np.asarray(middle + steps * geometry.spacing_mm[axis] * abs(geometry.axes[2, axis]))
