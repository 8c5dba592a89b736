"""What comes in: the scan, and points and curves of vessels that a user gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry, read_only, require_array

#: Fewest points of a curve that a user gives: a baseline, a rise, a peak and a fall.
FEWEST_POINTS = 5
#: No CT shows more HU, nor a curve of a vessel: what is larger is no number of HU.
LARGEST_HU = 1e5
#: Times in files are rounded by up to this, in s.
TIMES_ROUNDED_S = 1e-3


@dataclass(frozen=True)
class Series:
    """A CT perfusion scan: HU over time on one grid.

    Parameters
    ----------
    values : ndarray, shape (t, z, y, x)
        HU, any real type (to analyse them, of at most 64 bits); kept as a read-only view, never copied.
    times_s : ndarray, shape (t,)
        Acquisition time of each frame in s, strictly increasing.
    geometry : Geometry
        Grid of one frame.
    name : str
        Name of the scan without extension, e.g. ``sub-01_ses-01_ctp``.
    time_source : str
        Where the times come from, in words.
    checks : tuple of Check
        What reading it brought to light.

    Raises
    ------
    InputError
        If the values are no array of real numbers, not 4D or do not fit the grid, or there is not one time a frame,
        each later than the last.
    """

    values: npt.NDArray[Any]
    times_s: FloatArray
    geometry: Geometry
    name: str = "scan"
    time_source: str = "given by the caller"
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        require_array(self.values, f"Scan {self.name}")
        if self.values.ndim != 4:
            raise InputError(f"Scan {self.name}: 4 dimensions (t, z, y, x) are needed; found {self.values.ndim}.")
        if self.values.shape[1:] != self.geometry.shape:
            raise InputError(
                f"Scan {self.name}: frames of shape {self.values.shape[1:]} do not fit the grid {self.geometry.shape}."
            )
        times = np.array(self.times_s, dtype=float)
        if times.shape != self.values.shape[:1]:
            found = times.size if times.ndim == 1 else f"times of shape {times.shape}"
            raise InputError(f"Scan {self.name}: one time a frame is needed, {len(self.values)} in all; found {found}.")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise InputError(
                f"Scan {self.name}: times must be finite and strictly increasing; found {describe_times(times)}."
            )
        object.__setattr__(self, "values", read_only(self.values))
        object.__setattr__(self, "times_s", read_only(times))

    @property
    def frames(self) -> int:
        """Number of time points."""
        return len(self.times_s)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the voxel values: frame by frame (z, y, x), in the type that they have here, little-endian."""
        digest = hashlib.sha256()
        for frame in self.values:
            digest.update(np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    @property
    def interval_s(self) -> float:
        """Median time between frames in s."""
        return float(np.median(np.diff(self.times_s)))


def describe_times(times_s: FloatArray) -> str:
    """Return the time axis in one line.

    Examples
    --------
    >>> describe_times(np.arange(4) * 1.5)
    '4 frames, 0–4.5 s, every 1.5 s'
    """
    times = np.asarray(times_s, dtype=float)
    text = f"{times.size} frames"
    if times.size:
        text += f", {times[0]:.4g}–{times[-1]:.4g} s"
    if times.size > 1:
        steps = np.diff(times)
        even = np.ptp(steps) <= 0.01 * abs(np.median(steps))
        text += f", every {np.median(steps):.4g} s" if even else f", steps {steps.min():.4g} to {steps.max():.4g} s"
    return text


@dataclass(frozen=True)
class TimeCurve:
    """A curve that the user gives instead of a mask: HU over time, at times of its own.

    Parameters
    ----------
    times_s : ndarray, shape (point,)
        Times in s on the scan's axis, strictly increasing, at least five; need not be those of the scan.
    hu : ndarray, shape (point,)
        HU, with or without the baseline.

    Raises
    ------
    InputError
        If something is no number, the shapes differ, a value is missing, or the times do not increase.

    Examples
    --------
    >>> TimeCurve(np.arange(5.0), np.array([0.0, 1.0, 90.0, 200.0, 50.0])).hu.tolist()
    [0.0, 1.0, 90.0, 200.0, 50.0]
    """

    times_s: FloatArray
    hu: FloatArray

    def __post_init__(self) -> None:
        try:
            times, hu = (np.array(values, dtype=float) for values in (self.times_s, self.hu))
        except (TypeError, ValueError) as error:
            raise InputError(f"Curve: numbers are needed, times in s and HU; found {error}. Give two lists.") from error
        if times.ndim != 1 or times.shape != hu.shape or times.size < FEWEST_POINTS:
            need = f"at least {FEWEST_POINTS} points are needed, each a time in s and HU"
            found = f"times of shape {times.shape} and HU of shape {hu.shape}"
            if times.ndim == 1 and times.shape == hu.shape:
                found = f"{times.size}. Give all points of the curve"
            raise InputError(f"Curve: {need}; found {found}.")
        missing = int((~np.isfinite(times) | ~np.isfinite(hu)).sum())
        if missing:
            need = "a time and a value in every point are needed"
            raise InputError(f"Curve: {need}; found {missing} of {times.size} incomplete. Delete empty rows.")
        if np.abs(hu).max() > LARGEST_HU:
            need = f"HU of at most {LARGEST_HU:g} are needed"
            raise InputError(f"Curve: {need}; found {hu[np.abs(hu).argmax()]:g}. Check the column and its unit.")
        late = np.diff(times) <= 0
        if late.any():
            row = int(np.argmax(late)) + 2
            raise InputError(
                f"Curve: times in s must increase; found {times[row - 1]:g} s after {times[row - 2]:g} s in row {row}. "
                "Sort the rows by time."
            )
        object.__setattr__(self, "times_s", read_only(times))
        object.__setattr__(self, "hu", read_only(hu))


@dataclass(frozen=True)
class Points:
    """Points that the user dropped into a vessel, from which its mask is grown.

    Parameters
    ----------
    places_mm : tuple of tuple of float
        x, y, z of each in mm, LPS, where the vessel is in the first frame.

    Raises
    ------
    InputError
        If a point is not three numbers.
    """

    places_mm: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        for place in self.places_mm:
            if np.shape(place) != (3,) or not np.isfinite(place).all():
                raise InputError(f"Points: x, y, z in mm of each are needed; found {place}. Give all three, LPS.")
