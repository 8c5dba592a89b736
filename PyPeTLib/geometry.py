"""Values and where they lie in the patient: arrays, grids and images; values never leave their geometry."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError
from PyPeTLib.typeset import typeset

FloatArray = npt.NDArray[np.floating[Any]]
MaskArray = npt.NDArray[np.bool_]
#: Two grids are the same when no corner is further apart than this share of a voxel.
GRID_TOLERANCE_VOXELS = 0.01
#: Both ways along each patient axis L, P, S, in words.
WAYS = (("to the left", "to the right"), ("to the back", "to the front"), ("upwards", "downwards"))
#: Degrees that are told: what is less is rounding of a header.
LEAST_TOLD_DEGREES = 0.1


@dataclass(frozen=True)
class Geometry:
    """Where a voxel grid lies in the patient, in the LPS frame of DICOM and ITK.

    Parameters
    ----------
    size : tuple of int
        Voxels along x, y, z (an array on this grid has shape ``size[::-1]``).
    spacing_mm : tuple of float
        Distance between voxel centres along x, y, z in mm, > 0.
    origin_mm : tuple of float
        Position of the centre of voxel (0, 0, 0) in mm.
    direction : tuple of float
        Direction cosines, nine numbers in row-major order; columns are the grid axes.

    Raises
    ------
    InputError
        If size, spacing or origin are not three numbers or the direction not nine, a size is not a whole number above
        0, a spacing not above 0, a number NaN or infinite, or the axes are not independent.

    Notes
    -----
    Lists and arrays become tuples, so that grids can be compared; a direction of shape (3, 3) is read row by row.

    Examples
    --------
    >>> grid = Geometry((4, 3, 2), (1.0, 1.0, 5.0))
    >>> grid.shape, grid.voxel_volume_ml
    ((2, 3, 4), 0.005)
    """

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        for name, count in (("size", 3), ("spacing_mm", 3), ("origin_mm", 3), ("direction", 9)):
            object.__setattr__(self, name, _numbers(getattr(self, name), name, count))
        if not all(1 <= voxels < np.inf and voxels == int(voxels) for voxels in self.size):
            found = ", ".join(f"{voxels:g}" for voxels in self.size)
            raise InputError(f"Grid: whole numbers of voxels along x, y, z are needed, 1 or more; found {found}.")
        object.__setattr__(self, "size", tuple(map(int, self.size)))
        if not all(0.0 < mm < np.inf for mm in self.spacing_mm):  # NaN is neither
            raise InputError(f"Voxel spacing must be positive and finite in mm; found {self.spacing_mm}.")
        finite = np.isfinite([*self.origin_mm, *self.direction]).all()
        if not finite or abs(np.linalg.det(self.axes)) < 1e-6:
            raise InputError(
                "Origin in mm and direction, nine cosines of three independent axes, are needed; found "
                f"{self.origin_mm} and {self.direction}."
            )

    @property
    def axes(self) -> FloatArray:
        """Direction cosines as a 3×3 array, one column for each grid axis."""
        return np.asarray(self.direction, dtype=float).reshape(3, 3)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (z, y, x) of an array on this grid."""
        return self.size[2], self.size[1], self.size[0]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Spacing in the order of the array axes, in mm."""
        return self.spacing_mm[2], self.spacing_mm[1], self.spacing_mm[0]

    @property
    def patient_axes(self) -> tuple[int, ...]:
        """Grid axis (0 is x) that runs along each patient axis L, P, S: the most parallel assignment."""
        parallel = np.abs(self.axes)
        return max(permutations(range(3)), key=lambda order: sum(parallel[k, order[k]] for k in range(3)))

    @property
    def slice_axis(self) -> int:
        """Grid axis (0 is x) across the slices, which may be stored along any: that from feet to head."""
        return self.patient_axes[2]

    @property
    def pixel_mm(self) -> float:
        """Larger side of a pixel in mm."""
        return max(mm for axis, mm in enumerate(self.spacing_mm) if axis != self.slice_axis)

    def corners_mm(self) -> FloatArray:
        """Return the eight outermost voxel centres in mm, shape (8, 3)."""
        return self.places_mm(np.array(list(product((0, 1), repeat=3)))[:, ::-1] * (np.asarray(self.shape) - 1))

    def places_mm(self, index: npt.ArrayLike) -> FloatArray:
        """Return where indices (..., 3) in the order z, y, x lie in mm; they may be between voxels.

        Examples
        --------
        >>> grid = Geometry((4, 3, 2), (1.0, 1.0, 5.0), (10.0, 0.0, 0.0))
        >>> grid.places_mm((1, 0, 2)).tolist(), grid.indices((12.0, 0.0, 5.0)).tolist()
        ([12.0, 0.0, 5.0], [1.0, 0.0, 2.0])
        """
        along = np.asarray(index, dtype=float)[..., ::-1]
        return np.asarray(along @ (self.axes * self.spacing_mm).T + np.asarray(self.origin_mm))

    def indices(self, places_mm: npt.ArrayLike) -> FloatArray:
        """Return the indices (..., 3), in the order z, y, x and between voxels, of places in mm."""
        from_origin = np.asarray(places_mm, dtype=float) - np.asarray(self.origin_mm)
        return np.asarray((from_origin @ np.linalg.inv(self.axes * self.spacing_mm).T)[..., ::-1])

    def matches(self, other: Geometry) -> bool:
        """Tell whether both grids put every voxel at the same place."""
        if self.size != other.size:
            return False
        apart = np.abs(self.corners_mm() - other.corners_mm()).max()
        return bool(apart <= GRID_TOLERANCE_VOXELS * min(self.spacing_mm))

    def describe(self, digits: int = 4) -> str:
        """Return size, spacing and origin in one line."""
        size = "×".join(str(n) for n in self.size)
        spacing = "×".join(f"{s:.{digits}g}" for s in self.spacing_mm)
        origin = ", ".join(typeset(f"{o:.{digits}g}") for o in self.origin_mm)
        return f"{size} voxels of {spacing} mm, origin ({origin}) mm"

    def describe_axes(self) -> str:
        """Return where in the patient the axes x, y, z run, in words, and by how much they are turned from there.

        Examples
        --------
        >>> Geometry((2, 2, 2), (1.0, 1.0, 5.0)).describe_axes()
        'to the left, to the back, upwards'
        >>> turned = (0.0, 0.8, 0.6, 0.0, -0.6, 0.8, 1.0, 0.0, 0.0)
        >>> Geometry((2, 2, 2), (1.0, 1.0, 5.0), direction=turned).describe_axes()
        'upwards, to the left, to the back, turned by up to 37°'
        """
        cosines = self.axes / np.linalg.norm(self.axes, axis=0)
        along = [cosines[self.patient_axes.index(axis), axis] for axis in range(3)]
        words = [WAYS[self.patient_axes.index(axis)][int(cosine < 0.0)] for axis, cosine in enumerate(along)]
        turned = float(np.degrees(np.arccos(min(1.0, np.abs(along).min()))))
        return ", ".join(words) + (f", turned by up to {turned:.2g}°" if turned >= LEAST_TOLD_DEGREES else "")

    def told_apart(self, other: Geometry) -> tuple[str, str]:
        """Return this grid and another in one line each, with as much as shows that they differ.

        Examples
        --------
        >>> Geometry((9, 9, 2), (2.0, 2.0, 8.0)).told_apart(Geometry((9, 9, 2), (2.0001, 2.0, 8.0)))[1]
        '9×9×2 voxels of 2.0001×2×8 mm, origin (0, 0, 0) mm'
        """
        mine, theirs = self.describe(), other.describe()
        if mine == theirs:
            mine, theirs = (f"{one.describe()}, axes {one.describe_axes()}" for one in (self, other))
        if mine == theirs:
            mine, theirs = self.describe(9), other.describe(9)
        if mine == theirs:
            cosines = (", ".join(typeset(f"{cosine:.6f}") for cosine in one.direction) for one in (self, other))
            mine, theirs = (f"{self.describe()}, axes ({one})" for one in cosines)
        return mine, theirs


@dataclass(frozen=True)
class Image:
    """A 3D array with its geometry and unit.

    Parameters
    ----------
    values : ndarray, shape (z, y, x)
        Voxel values; kept as a read-only view.
    geometry : Geometry
        The grid; its shape equals that of ``values``.
    unit : str
        Unit of the values, "" for masks.
    outside : float or None
        What stands outside the mask that a map was made in, NaN or a number; None where that is not known.

    Raises
    ------
    InputError
        If the values are no array of real numbers, or shape and grid differ.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    unit: str = ""
    outside: float | None = None

    def __post_init__(self) -> None:
        require_array(self.values, "Image")
        if self.values.shape != self.geometry.shape:
            raise InputError(f"Image of shape {self.values.shape} does not fit its grid {self.geometry.shape}.")
        object.__setattr__(self, "values", read_only(self.values))

    @property
    def volume_ml(self) -> float:
        """Volume of the voxels that are not 0 in mL: that of a mask."""
        return np.count_nonzero(self.values) * self.geometry.voxel_volume_ml


def itk_image(values: npt.NDArray[Any], geometry: Geometry) -> Any:
    """Return a copy of an array (z, y, x) as an image of SimpleITK that lies where it does in the patient."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    return image


def _numbers(values: Any, name: str, count: int) -> tuple[float, ...]:
    """Return numbers as a tuple; refuse more, fewer and what is none."""
    try:
        numbers = np.asarray(values, dtype=float).ravel().tolist()
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count:
        raise InputError(f"Grid: {count} numbers are needed as {name}; found {values!r}.")
    return tuple(numbers)


def require_array(values: object, what: str) -> None:
    """Refuse values that are no array of real numbers, or that hide some behind a mask of their own.

    Parameters
    ----------
    values : ndarray
        Booleans, whole numbers or floats.
    what : str
        What they are, for the message.

    Raises
    ------
    InputError
        If they are a list, complex, texts or objects, or a masked array.

    Examples
    --------
    >>> require_array(np.zeros(3), "Scan")
    >>> require_array([0.0], "Scan")
    Traceback (most recent call last):
    PyPeTLib.errors.InputError: Scan: a numpy array of real numbers is needed; found list. Convert it.
    """
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        found = f"values of type {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise InputError(f"{what}: a numpy array of real numbers is needed; found {found}. Convert it.")
    if isinstance(values, np.ma.MaskedArray):
        need = "a plain numpy array is needed, for values behind a mask would count"
        raise InputError(f"{what}: {need}; found a masked one. Fill it (.filled).")


def read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written through; the data are not copied."""
    view = values.view()
    view.flags.writeable = False
    return view
