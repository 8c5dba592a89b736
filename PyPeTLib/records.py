"""Frozen records that travel between the steps: values never leave their geometry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError
from PyPeTLib.typeset import typeset

if TYPE_CHECKING:
    from PyPeTLib.settings import ResidueShape, Settings

FloatArray = npt.NDArray[np.floating[Any]]
MaskArray = npt.NDArray[np.bool_]
Progress = Callable[[float, str], None]
#: Results of a check, the worst first.
Status = Literal["fail", "warn", "pass", "not applicable"]

#: The patient's side of a lesion.
Side = Literal["left", "right", "both", "none", "unknown"]

#: Units of the maps; mass basis (per 100 g of tissue).
MAP_UNITS = {"cbf": "mL/100 g/min", "cbv": "mL/100 g", "mtt": "s", "tmax": "s", "ttp": "s", "delay": "s"}
#: Fewest points of a curve that a user gives: a baseline, a rise, a peak and a fall.
FEWEST_POINTS = 5
#: No CT shows more HU, nor a curve of a vessel: what is larger is no number of HU.
LARGEST_HU = 1e5
#: Times in files are rounded by up to this, in s.
TIMES_ROUNDED_S = 1e-3
#: Two grids are the same when no corner is further apart than this share of a voxel.
GRID_TOLERANCE_VOXELS = 0.01


def silent(fraction: float, text: str) -> None:
    """Ignore progress: the default of every ``progress`` parameter."""


def read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view that cannot be written through; the data are not copied."""
    view = values.view()
    view.flags.writeable = False
    return view


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
        If a spacing is not above 0, a number is NaN or infinite, or the axes are not independent.

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
        if not all(0.0 < mm < np.inf for mm in self.spacing_mm):  # NaN is neither
            raise InputError(f"Voxel spacing must be positive and finite in mm; found {self.spacing_mm}.")
        finite = np.isfinite([*self.origin_mm, *self.direction]).all()
        if not finite or len(self.direction) != 9 or abs(np.linalg.det(self.axes)) < 1e-6:
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
        last = np.asarray(self.size, dtype=float) - 1
        index = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * last
        return np.asarray(np.asarray(self.origin_mm) + (index * self.spacing_mm) @ self.axes.T)

    def matches(self, other: Geometry) -> bool:
        """Tell whether both grids put every voxel at the same place."""
        if self.size != other.size:
            return False
        apart = np.abs(self.corners_mm() - other.corners_mm()).max()
        return bool(apart <= GRID_TOLERANCE_VOXELS * min(self.spacing_mm))

    def describe(self) -> str:
        """Return size, spacing and origin in one line."""
        size = "×".join(str(n) for n in self.size)
        spacing = "×".join(f"{s:.4g}" for s in self.spacing_mm)
        origin = ", ".join(typeset(f"{o:.4g}") for o in self.origin_mm)
        return f"{size} voxels of {spacing} mm, origin ({origin}) mm"


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
        If shape and grid differ.
    """

    values: npt.NDArray[Any]
    geometry: Geometry
    unit: str = ""
    outside: float | None = None

    def __post_init__(self) -> None:
        if self.values.shape != self.geometry.shape:
            raise InputError(f"Image of shape {self.values.shape} does not fit its grid {self.geometry.shape}.")
        object.__setattr__(self, "values", read_only(self.values))

    @property
    def volume_ml(self) -> float:
        """Volume of the voxels that are not 0 in mL: that of a mask."""
        return np.count_nonzero(self.values) * self.geometry.voxel_volume_ml


@dataclass(frozen=True)
class Check:
    """One thing that was looked at in data or result, and what was found.

    Parameters
    ----------
    name : str
        What was looked at, e.g. "baseline".
    status : str
        "pass"; "warn": a doubt, the result is to be taken with caution; "fail": the data allow no trustworthy result;
        "not applicable": it could not be looked at.
    text : str
        What was found, in words and with units.
    value : float, optional
        The number that decided.
    """

    name: str
    status: Status
    text: str
    value: float | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the user has to know: it warns or fails."""
        return self.status in ("warn", "fail")


def invalid_why(checks: Iterable[Check]) -> list[str]:
    """Return why a result is marked invalid: every failed check; nothing where it is not."""
    return [check.text for check in checks if check.status == "fail"]


@dataclass(frozen=True)
class Series:
    """A CT perfusion scan: HU over time on one grid.

    Parameters
    ----------
    values : ndarray, shape (t, z, y, x)
        HU, any real type; kept as a read-only view, never copied.
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
        If the values are not 4D or do not fit the grid, or there is not one time a frame, each later than the last.
    """

    values: npt.NDArray[Any]
    times_s: FloatArray
    geometry: Geometry
    name: str = "scan"
    time_source: str = "given by the caller"
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 4:
            raise InputError(f"Scan {self.name}: 4 dimensions (t, z, y, x) are needed; found {self.values.ndim}.")
        if self.values.shape[1:] != self.geometry.shape:
            raise InputError(
                f"Scan {self.name}: frames of shape {self.values.shape[1:]} do not fit the grid {self.geometry.shape}."
            )
        times = np.array(self.times_s, dtype=float)
        if times.shape != self.values.shape[:1]:
            raise InputError(
                f"Scan {self.name}: one time a frame is needed, {len(self.values)} in all; found {times.size}."
            )
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
class Motion:
    """Where the head is in every frame: a point x of the first frame lies at ``turn @ (x - centre) + centre + shift``.

    Every frame that was acquired has its entry, also one that was left out.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    turns : ndarray, shape (t, 3, 3)
        Rotations; the identity in the first frame.
    shifts_mm : ndarray, shape (t, 3)
        Displacements of the centre in mm, LPS.
    centre_mm : ndarray, shape (3,)
        Centre of rotation, LPS: the centre of the grid.
    displacement_mm : ndarray, shape (t,)
        Largest displacement of any point of the skull in mm.
    corrected, left_out : ndarray of bool, shape (t,)
        Frames that were resampled to the position of the first, and those that the analysis does without.
    """

    times_s: FloatArray
    turns: FloatArray
    shifts_mm: FloatArray
    centre_mm: FloatArray
    displacement_mm: FloatArray
    corrected: MaskArray
    left_out: MaskArray

    @property
    def rotations_degrees(self) -> FloatArray:
        """Rotation vectors in degrees about x, y, z (LPS), shape (t, 3)."""
        from scipy.spatial.transform import Rotation

        return np.asarray(np.degrees(Rotation.from_matrix(self.turns).as_rotvec()))

    @property
    def mattered(self) -> bool:
        """Whether any frame was corrected or left out."""
        return bool(self.corrected.any() or self.left_out.any())

    @property
    def largest_turn_degrees(self) -> float:
        """Largest angle against the first frame in degrees."""
        return float(np.linalg.norm(self.rotations_degrees, axis=1).max())


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
        If the shapes differ, a value is missing, or the times do not increase.

    Examples
    --------
    >>> TimeCurve(np.arange(5.0), np.array([0.0, 1.0, 90.0, 200.0, 50.0])).hu.tolist()
    [0.0, 1.0, 90.0, 200.0, 50.0]
    """

    times_s: FloatArray
    hu: FloatArray

    def __post_init__(self) -> None:
        times, hu = (np.array(values, dtype=float) for values in (self.times_s, self.hu))
        if times.ndim != 1 or times.shape != hu.shape or times.size < FEWEST_POINTS:
            need = f"at least {FEWEST_POINTS} points are needed, each a time in s and HU"
            raise InputError(f"Curve: {need}; found times of shape {times.shape} and HU of shape {hu.shape}.")
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
            if len(place) != 3 or not np.isfinite(place).all():
                raise InputError(f"Points: x, y, z in mm of each are needed; found {place}. Give all three, LPS.")


@dataclass(frozen=True)
class Bolus:
    """When the contrast agent reaches the head.

    Parameters
    ----------
    arrival_s : float
        Bolus arrival (CAPLEX Q.BA1.001) in s on the scan's time axis.
    baseline_frames : int
        Number of leading frames before any voxel enhances, >= 1.
    signal : ndarray, shape (t,)
        The contrast measure as a share of its own maximum (1 at the maximum).
    threshold : float
        Value of ``signal`` that counts as arrival.
    rise_hu : float
        Maximal rise of the contrast measure in HU.
    falling_share : float
        Share of the vessels that are brighter in the first frame than at the end of the scan: about 0
        where the scan begins before the bolus.
    """

    arrival_s: float
    baseline_frames: int
    signal: FloatArray
    threshold: float
    rise_hu: float
    falling_share: float


@dataclass(frozen=True)
class Drift:
    """How the HU of the brain change before the contrast agent arrives.

    Parameters
    ----------
    hu_per_minute, sd_hu_per_minute : float
        Slope of the mean of the brain, and its standard deviation by how the frames scatter about the line.
    visible_hu_per_minute : float
        Slopes smaller than this may be chance.
    frames : int
        Number of frames it was seen in.
    line_hu : ndarray, shape (t,)
        What was taken off each frame, in HU: a straight line that is 0 on average over the baseline, or zeros.
    """

    hu_per_minute: float
    sd_hu_per_minute: float
    visible_hu_per_minute: float
    frames: int
    line_hu: FloatArray

    @property
    def certain(self) -> bool:
        """Whether the slope is more than chance."""
        return abs(self.hu_per_minute) > self.visible_hu_per_minute

    @property
    def corrected(self) -> bool:
        """Whether anything was taken off."""
        return bool(self.line_hu.any())


@dataclass(frozen=True)
class Jumps:
    """By how much the HU of frames are higher or lower than contrast agent makes them, in the whole brain alike.

    Parameters
    ----------
    hu : ndarray, shape (t,)
        For each frame, in HU; noise of the brain's mean where there are no jumps.
    certain : bool
        Whether they are jumps: larger than that noise, and not from one frame to the next alike.
    corrected : bool
        Whether they were taken off.
    """

    hu: FloatArray
    certain: bool
    corrected: bool

    @property
    def sd_hu(self) -> float:
        """Standard deviation in HU."""
        return float(np.std(self.hu))

    @property
    def largest(self) -> int:
        """Index of the frame that differs most."""
        return int(np.abs(self.hu).argmax())


@dataclass(frozen=True)
class Curves:
    """Enhancement of the voxels of a mask, as a sum of few temporal components.

    The curve of voxel v is ``coefficients[v] @ basis``, in HU above baseline, signed.

    Parameters
    ----------
    coefficients : ndarray, shape (voxel, component)
        float32 weights in HU.
    basis : ndarray, shape (component, t)
        float32 temporal components; the identity where nothing was projected.
    noise : ndarray, shape (voxel,)
        The curves' weight of a normalised temporal component without signal, before spatial smoothing:
        an image of the noise, in HU of one frame.
    mask : ndarray of bool, shape (z, y, x)
        The voxels, in the order of ``coefficients``.
    anatomy_hu : ndarray, shape (voxel,), or None
        Mean HU of each voxel over all frames, in which gray matter, white matter and CSF differ; None: not known.
    sd : ndarray, shape (voxel,), or None
        Standard deviation in HU of the error of a normalised component's coefficient: the noise that smoothing left,
        and how much the timing of the averaged tissue differs; None before smoothing.
    mixing : ndarray, shape (voxel,), or None
        Standard deviation of the error of a curve's height, as a share of it, beyond ``sd``: from averaging tissue of
        more or less blood, and of the noise that comes with giving it back; None where nothing was averaged.
    resolution_mm : float or None
        Full width at half maximum in mm, in the plane of the slices, of the Gaussian that averages as much; where edges
        are kept, the median over the voxels. None before smoothing, or not known.
    spacing_zyx_mm : tuple of float or None
        Of the grid of ``mask``; None: not known, so that no voxel has neighbours.
    frames_alike : float
        Correlation of the noise of neighbouring frames: 0 where each has its own, more where a scan was interpolated to
        other times or averaged over some frames.
    """

    coefficients: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float32]
    mask: MaskArray
    anatomy_hu: npt.NDArray[np.float32] | None = None
    sd: npt.NDArray[np.float32] | None = None
    mixing: npt.NDArray[np.float32] | None = None
    resolution_mm: float | None = None
    spacing_zyx_mm: tuple[float, float, float] | None = None
    frames_alike: float = 0.0

    @property
    def native_hu(self) -> FloatArray:
        """HU of each voxel without contrast: the mean over time less the mean enhancement, so all frames count."""
        assert self.anatomy_hu is not None, "the mean HU are those of a scan"
        return np.asarray(self.anatomy_hu - self.coefficients @ self.basis.mean(axis=1))

    def mean(self, mask: MaskArray) -> FloatArray:
        """Return the mean curve in HU of the voxels that lie in ``mask`` too, shape (t,)."""
        return np.asarray(self.coefficients[mask[self.mask]].mean(axis=0, dtype=float) @ self.basis)


@dataclass(frozen=True)
class GammaVariate:
    """A fitted first pass: ``peak_hu · (s·e^(1−s))^shape``, ``s = (t − onset_s) / rise_s``, 0 before the onset.

    Parameters
    ----------
    onset_s, rise_s : float
        Onset on the scan's time axis and time from onset to peak, in s.
    shape : float
        Exponent, > 0: the larger, the narrower and the more symmetric.
    peak_hu : float
        Height of the first pass in HU.
    error : float
        Root mean square residual over the fitted samples as a share of ``peak_hu``.

    References
    ----------
    Madsen 1992, doi:10.1088/0031-9155/37/7/010
    """

    onset_s: float
    rise_s: float
    shape: float
    peak_hu: float
    error: float

    @property
    def peak_s(self) -> float:
        """Time of the peak in s on the scan's time axis."""
        return self.onset_s + self.rise_s

    @property
    def width_s(self) -> float:
        """Spread of the first pass in s: standard deviation of a gamma density of this shape."""
        return self.rise_s * float(np.sqrt(self.shape + 1.0)) / self.shape

    def __call__(self, times_s: FloatArray) -> FloatArray:
        """Return the curve in HU at ``times_s``."""
        s = np.maximum((np.asarray(times_s, dtype=float) - self.onset_s) / self.rise_s, 0.0)
        return np.asarray(self.peak_hu * (s * np.exp(1.0 - s)) ** self.shape)


@dataclass(frozen=True)
class Transit:
    """The way from artery to vein: ``vein = gain · (artery ⊗ h)(t − delay)``, h exponential with unit area.

    Parameters
    ----------
    gain : float
        How many times the arterial area the venous one is.
    delay_s, mtt_s : float
        Delay and mean transit time in s.
    error : float
        Root mean square residual as a share of the venous peak.
    """

    gain: float
    delay_s: float
    mtt_s: float
    error: float


@dataclass(frozen=True)
class Traits:
    """What the voxels of a cluster tell about it beside its curve.

    Parameters
    ----------
    side : str
        "left", "right" (the patient's) or "midline".
    signal_to_noise : float
        Peak of the mean curve over its noise.
    baseline_hu : float
        Mean HU before the bolus: about 40 in blood, less where CSF shares the voxels, more beside bone.
    beside_bone : float
        Share of the voxels whose HU before the bolus is that of no mixture of blood, tissue and CSF: bone,
        calcification or air is in them.
    at_edge : float
        Share of the voxels that touch the border of the brain mask or of the slab.
    lead_s : float
        By how much its voxels peak before the latest quarter of all vessels, the veins, in s.
    arterial_share : float
        Share of the enhancement that is not that of brain tissue in the same voxels, estimated from the HU before the
        bolus: an artery in CSF enhances alone, one in cortex does not.
    """

    side: str
    signal_to_noise: float
    baseline_hu: float
    beside_bone: float
    at_edge: float
    lead_s: float
    arterial_share: float


@dataclass(frozen=True)
class Candidate:
    """A cluster of voxels that may be a feeding artery or a draining vein.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x)
        The voxels of the cluster.
    curve_hu : ndarray, shape (t,)
        Mean enhancement in HU.
    fit : GammaVariate or None
        Its first pass; None where no fit converged.
    volume_ml : float
        Volume of the cluster in mL.
    score : float
        Rank from 0 to 1, higher is better; NaN where the candidate was refused.
    reason : str
        Why it was refused, or how the score came about, in words.
    traits : Traits or None
        What its voxels tell.
    confidence : float
        From 0 to 1, how far curve and place are those of an artery, whatever the other candidates are like: falls with
        noise, error of the fit, lateness against the earliest candidate, too little lead before the veins, tissue,
        bone and edge. An order, no probability. NaN for veins and where the candidate was refused.
    area_ratio : float
        How many times the area of the measured arterial curve a vein has; NaN for arteries.
    venous_error : float
        What the veins' mean curve has that an artery's does not become on its way through the brain (root mean square,
        as a share of the peak); NaN for veins and where nothing follows.
    filled : float
        How much of its voxels a vein fills, 0..1, as its fall to their neighbours tells (`PyPeTLib.veins.filled`); NaN
        for arteries.
    """

    mask: MaskArray
    curve_hu: FloatArray
    fit: GammaVariate | None
    volume_ml: float
    score: float
    reason: str
    traits: Traits | None = None
    confidence: float = float("nan")
    area_ratio: float = float("nan")
    venous_error: float = float("nan")
    filled: float = float("nan")

    @property
    def refused(self) -> bool:
        """Whether it was refused: it has a reason but no score."""
        return bool(self.reason) and not np.isfinite(self.score)


@dataclass(frozen=True)
class VascularCurve:
    """The arterial input or the venous output.

    Parameters
    ----------
    mask : Image
        The voxels it was measured in; none where the user gave the curve itself.
    measured_hu : ndarray, shape (t,)
        Mean enhancement of the mask, or the user's curve, in HU above baseline; of an artery found automatically as
        high as in the best candidate, for branches hold less blood.
    curve_hu : ndarray, shape (t,)
        ``measured_hu`` times ``partial_volume_factor``: what is deconvolved.
    fit : GammaVariate or None
        First pass of ``curve_hu``.
    partial_volume_factor : float
        Scaling for partial volume, 1 where none was applied.
    candidates : tuple of Candidate
        All clusters looked at, best first; empty where the user gave mask, points or curve.
    source : str
        "automatic", "user's mask", "user's points" (from which the mask was grown) or "user's curve".
    """

    mask: Image
    measured_hu: FloatArray
    curve_hu: FloatArray
    fit: GammaVariate | None
    partial_volume_factor: float
    candidates: tuple[Candidate, ...]
    source: str


@dataclass(frozen=True)
class Response:
    """What a deconvolution knows of each voxel's impulse response ``k = CBF·(ρ/κ)·R`` (CAPLEX Q.IC1.005).

    Parameters
    ----------
    height : ndarray, shape (voxel,)
        Maximum of k in 1/s.
    tmax_s : ndarray, shape (voxel,)
        Time of that maximum in s after the arterial input, between samples; negative where tissue is earlier.
    delay_s : ndarray, shape (voxel,), or None
        Arrival after the arterial input in s, where the method knows it.
    volume : ndarray, shape (voxel,), or None
        Area of k, where the method's model gives one; otherwise it is measured as the area of the curve.
    sd : mapping of str to ndarray, shape (voxel,)
        Standard deviations of ``height`` (under "cbf"), ``volume`` ("cbv"), their ratio in s ("mtt") and ``delay_s``
        ("delay"), where the method knows them.
    residue : str
        Shape of the residue function that the method's model or its correction found or was told; empty without one.
    strength : float or None
        Of the regularisation, where the method chose it or was told, as a share of the largest singular value.
    tmax_uncorrected_s : ndarray, shape (voxel,), or None
        ``tmax_s`` before the method's bias was removed; None where nothing was removed.
    """

    height: FloatArray
    tmax_s: FloatArray
    delay_s: FloatArray | None = None
    volume: FloatArray | None = None
    sd: Mapping[str, FloatArray] = field(default_factory=dict)
    residue: str = ""
    strength: float | None = None
    tmax_uncorrected_s: FloatArray | None = None


@dataclass(frozen=True)
class ResidueFit:
    """How well shapes of the residue function fit a brain.

    Parameters
    ----------
    shape : str
        The one that is taken.
    log_odds : mapping of str to float
        Logarithm of how much more probable each shape is than that one, with what is known beforehand of transit times;
        of an exponential also of one with a longer tail, which is never taken.
    mtt_s : mapping of str to float
        Mean transit time in s that is usual in the brain with each shape.
    bright, dark : mapping of str to float
        The part of ``log_odds`` that is of curves alone, in the third of the voxels that is brightest without contrast,
        much of it gray matter, and in the darkest, much of it white matter; empty where that is not known.
    """

    shape: ResidueShape
    log_odds: Mapping[str, float]
    mtt_s: Mapping[str, float]
    bright: Mapping[str, float] = field(default_factory=dict)
    dark: Mapping[str, float] = field(default_factory=dict)

    @property
    def of_two(self) -> tuple[str, str, float]:
        """The shapes that bright and dark brain ask for, and the log odds of these two over the one that is taken.

        Examples
        --------
        >>> bright, dark = {"gamma-2": 0.0, "exponential": 11.0}, {"gamma-2": 0.0, "exponential": -20.0}
        >>> ResidueFit("gamma-2", {}, {}, bright, dark).of_two
        ('exponential', 'gamma-2', 11.0)
        """
        if not self.bright or not self.dark:
            return self.shape, self.shape, 0.0
        one, other = (max(part, key=part.__getitem__) for part in (self.bright, self.dark))
        return one, other, float(self.bright[one] + self.dark[other])

    def flows(self, least_odds: float) -> dict[str, float]:
        """Return flow with other shapes over that of the maps, of those whose odds are no less than a number.

        Examples
        --------
        >>> odds, mtts = {"gamma-2": 0.0, "gamma-3": -1.0, "box": -9.0}, {"gamma-2": 4.0, "gamma-3": 5.0, "box": 8.0}
        >>> fit = ResidueFit("gamma-2", odds, mtts)
        >>> fit.flows(0.01)
        {'gamma-3': 0.8}
        """
        likely = [name for name, odds in self.log_odds.items() if name != self.shape and odds >= np.log(least_odds)]
        return {name: float(self.mtt_s[self.shape] / self.mtt_s[name]) for name in likely}


@dataclass(frozen=True)
class Maps:
    """Perfusion maps on the scan's grid; NaN outside the brain mask.

    Parameters
    ----------
    cbf : Image
        Cerebral blood flow (CAPLEX Q.PH1.003) in mL/100 g/min.
    cbv : Image
        Cerebral blood volume (Q.PH1.001) in mL/100 g.
    mtt : Image
        Mean transit time (Q.PH1.006) in s.
    tmax : Image
        Time of the maximum of the impulse response in s, negative where tissue is earlier than the AIF.
    ttp : Image
        Time from bolus arrival to the peak of the tissue curve (Q.CD1.010) in s.
    delay : Image or None
        Arrival after the arterial input (Q.PH1.007) in s, where the method gives one.
    sd : mapping of str to Image
        Standard deviations of ``cbf``, ``cbv``, ``mtt`` and ``delay`` under their names, where the method gives them.
    residue : str
        Shape of the residue function that the maps assume; empty where they assume none.
    strength : float or None
        Of the regularisation that made the maps, as a share of the largest singular value, where it is Tikhonov's.
    uncorrected : mapping of str to Image
        ``tmax`` as it was before the bias of a linear deconvolution was removed, under its name; for thresholds that
        were found with it. Empty where nothing was removed.
    """

    cbf: Image
    cbv: Image
    mtt: Image
    tmax: Image
    ttp: Image
    delay: Image | None = None
    sd: Mapping[str, Image] = field(default_factory=dict)
    residue: str = ""
    strength: float | None = None
    uncorrected: Mapping[str, Image] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, Image]]:
        """Yield name and image of every map that there is, without what accompanies them."""
        for entry in fields(self):
            image = getattr(self, entry.name)
            if isinstance(image, Image):
                yield entry.name, image

    def companions(self) -> Iterator[tuple[str, Image]]:
        """Yield name and image of the standard deviations, as "cbf_sd", and of what was corrected, as it was before."""
        for name, image in self.sd.items():
            yield f"{name}_sd", image
        for name, image in self.uncorrected.items():
            yield f"{name}_uncorrected", image


@dataclass(frozen=True)
class Skull:
    """What is to be known of the skull around an automatic brain mask, slice by slice from feet to head.

    Parameters
    ----------
    opened : ndarray of bool, shape (slice,)
        Bone does not enclose the brain; the mask was closed across the gap.
    left_out : ndarray of bool, shape (slice,)
        There is no mask, though soft tissue fills the place of the brain next to it.
    stripped : bool
        There is no skull: it was taken off before, and the mask is what the scan shows.
    """

    opened: MaskArray
    left_out: MaskArray
    stripped: bool = False


@dataclass(frozen=True)
class Midplane:
    """The mid-sagittal plane: the points p, in mm LPS, with ``normal · p = offset_mm``.

    Parameters
    ----------
    normal : tuple of float
        Unit vector towards the patient's left.
    offset_mm : float
        Distance from the origin of the patient frame, along the normal.
    asymmetry_hu : float
        Mean absolute difference in HU between the brain without contrast and its mirror image, each difference limited.
    """

    normal: tuple[float, float, float]
    offset_mm: float
    asymmetry_hu: float

    def distance_mm(self, geometry: Geometry) -> FloatArray:
        """Return how far every voxel of a grid lies to the left of the plane, in mm, shape (z, y, x)."""
        along = np.asarray(self.normal) @ (geometry.axes * geometry.spacing_mm)
        x, y, z = (weight * np.arange(n) for weight, n in zip(along, geometry.size, strict=True))
        start = float(np.dot(self.normal, geometry.origin_mm)) - self.offset_mm
        return np.asarray(start + z[:, None, None] + y[:, None] + x)

    @property
    def tilt_degrees(self) -> float:
        """Angle between the normal and the patient's left-right axis."""
        return float(np.degrees(np.arccos(min(1.0, self.normal[0]))))


@dataclass(frozen=True)
class Volume:
    """A volume in mL, with bounds of what noise does to it; NaN where they are not known.

    `lesions.find_lesions` states what the bounds assume.
    """

    ml: float
    low_ml: float = float("nan")
    high_ml: float = float("nan")


@dataclass(frozen=True)
class Criterion:
    """Whether the volumes meet a published criterion: a fact about numbers, no advice.

    Parameters
    ----------
    name : str
        The trial.
    met : bool or None
        Whether all conditions are met; None where one is not known and none is failed.
    conditions : mapping of str to bool or None
        Each condition in words, and whether it is met.
    """

    name: str
    met: bool | None
    conditions: Mapping[str, bool | None]


@dataclass(frozen=True)
class Lesions:
    """What the maps say about ischaemia. Research use only.

    Parameters
    ----------
    rule : str
        What core and hypoperfusion are, in words and numbers.
    midplane : Midplane or None
        The plane between the halves of the brain; None where it was not found.
    side : str
        Of the hypoperfusion (the patient's): "left", "right", "both", "none" where there is none, "unknown" where there
        is no plane.
    core, hypoperfusion, mismatch : Image or None
        Masks (bool); mismatch is hypoperfusion without core. None where they rest on relative values that are withheld.
    volumes_ml : mapping of str to Volume
        ``core``, ``hypoperfusion``, ``mismatch``, ``tmax_over_4s`` ... ``tmax_over_10s``, ``rcbf_below_20`` ...
        ``rcbf_below_38``.
    mismatch_ratio : float
        Hypoperfusion over core; NaN where there is no core, or it is not known.
    hir : float
        Hypoperfusion intensity ratio: volume of Tmax > 10 s over that of Tmax > 6 s; NaN where there is none.
    cbv_index : float
        Mean CBV where Tmax > 6 s over that of normal tissue; NaN where there is none.
    normal : mapping of str to float
        Mean ``cbf``, ``cbv`` and ``mtt`` of normal tissue, in the unit of the maps, against which relative values are;
        empty where these are withheld.
    criteria : tuple of Criterion
        Published criteria, met or not.
    regions : mapping of str to ndarray of bool, shape (z, y, x)
        What was measured for ``volumes_ml``, under the same names; those that are not known are left out.
    """

    rule: str
    midplane: Midplane | None
    side: Side
    core: Image | None
    hypoperfusion: Image | None
    mismatch: Image | None
    volumes_ml: Mapping[str, Volume]
    mismatch_ratio: float
    hir: float
    cbv_index: float
    normal: Mapping[str, float]
    criteria: tuple[Criterion, ...]
    regions: Mapping[str, MaskArray] = field(default_factory=dict)

    def masks(self) -> Iterator[tuple[str, Image]]:
        """Yield name and mask of core, hypoperfusion and mismatch, where they are known."""
        for name in ("core", "hypoperfusion", "mismatch"):
            mask = getattr(self, name)
            if mask is not None:
                yield name, mask


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run up to the curves that are deconvolved.

    Parameters
    ----------
    series : Series
        The scan the curves were measured on: as read, but for frames that were left out, or, where the head moved, in
        the position of the first frame.
    raw : Series
        The scan as it was read; the same where no frame moved or was left out.
    settings : Settings
        What the run was told.
    motion : Motion or None
        Where the head is in every frame; None where it was not measured.
    brain : Image
        Brain mask (bool): everything inside the skull.
    brain_source : str
        "automatic", "scan without its skull" or "user's mask".
    bolus : Bolus
        Arrival and baseline.
    drift : Drift or None
        How the HU change before the bolus; None where it could not be judged.
    jumps : Jumps
        How the HU of the brain jump from frame to frame.
    curves : Curves
        Denoised enhancement of the brain.
    aif, vof : VascularCurve
        Arterial input and venous output; None where no vein was found.
    csf, vessels, bone : Image
        CSF, large vessels, and what shares bone, inside the brain mask (bool); no voxel is in two of them.
    checks : tuple of Check
        What was looked at, in the order of the analysis, and whether it passed.
    seconds : mapping of str to float
        Time spent in each step.
    """

    series: Series
    raw: Series
    settings: Settings
    motion: Motion | None = None
    brain: Image
    brain_source: str
    bolus: Bolus
    drift: Drift | None = None
    jumps: Jumps
    curves: Curves
    aif: VascularCurve
    vof: VascularCurve | None
    csf: Image
    vessels: Image
    bone: Image
    checks: tuple[Check, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def tissue(self) -> Image:
        """The brain mask without CSF, large vessels and bone (bool): what statistics are about."""
        no_tissue = self.csf.values | self.vessels.values | self.bone.values
        return Image(self.brain.values & ~no_tissue, self.brain.geometry)


@dataclass(frozen=True, kw_only=True)
class Analysis(Prepared):
    """Everything one run found out: what `Prepared` holds, and the maps.

    Parameters
    ----------
    maps : Maps
        The perfusion maps.
    lesions : Lesions
        Core, hypoperfusion and mismatch.
    derived : mapping of str to Image
        Optional smoothed or normalised maps, by file name.
    methods_text : str
        A Methods paragraph made of the steps that ran.
    """

    maps: Maps
    lesions: Lesions
    derived: Mapping[str, Image] = field(default_factory=dict)
    methods_text: str = ""
