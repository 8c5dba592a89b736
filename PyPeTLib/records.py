"""Frozen records that travel between the steps: what each has found, from motion to the mid-sagittal plane.

Maps, lesions and the whole of a run are in `analysis`, the scan is in `scan`, grids and images are in `geometry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray

if TYPE_CHECKING:
    from PyPeTLib.settings import ResidueShape


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
    def uncorrected_mm(self) -> float:
        """Largest displacement of a frame that is analysed where it was acquired, in mm."""
        return float(self.displacement_mm[~(self.corrected | self.left_out)].max(initial=0.0))

    @property
    def largest_turn_degrees(self) -> float:
        """Largest angle against the first frame in degrees."""
        return float(np.linalg.norm(self.rotations_degrees, axis=1).max())


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
class Skull:
    """What is to be known of the skull around an automatic brain mask, slice by slice from feet to head.

    Parameters
    ----------
    opened : ndarray of bool, shape (slice,)
        Bone does not enclose the brain; the mask was closed across the gap.
    left_out : ndarray of bool, shape (slice,)
        There is no mask, though soft tissue fills the place of the brain next to it.
    metal : ndarray of bool, shape (slice,)
        There is a mask, and somewhere something denser than any bone.
    cut : ndarray of bool, shape (slice,)
        The mask reaches the edge of the image: brain lies beyond it.
    stripped : bool
        There is no skull: it was taken off before, and the mask is what the scan shows.
    """

    opened: MaskArray
    left_out: MaskArray
    metal: MaskArray
    cut: MaskArray
    stripped: bool = False


@dataclass(frozen=True)
class Drift:
    """How the HU of the brain change without contrast agent.

    Parameters
    ----------
    hu_per_minute, sd_hu_per_minute : float
        Slope of the mean of the brain, and its standard deviation by how the frames scatter about the line.
    visible_hu_per_minute : float
        Slopes smaller than this may be chance.
    frames : int
        Number of frames it was seen in.
    before_bolus : bool
        Whether these are the frames before the bolus; else the line was told beside tissue curves, in all frames.
    line_hu : ndarray, shape (t,)
        What was taken off each frame, in HU: a straight line that is 0 on average over the baseline, or zeros.
    """

    hu_per_minute: float
    sd_hu_per_minute: float
    visible_hu_per_minute: float
    frames: int
    before_bolus: bool
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
    """By how much the HU of frames are higher or lower than contrast agent makes them, in brain or slice alike.

    Parameters
    ----------
    hu : ndarray, shape (t,) or (t, slice)
        For each frame, or each slice of each frame, in HU; noise of the mean where there are no jumps.
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
        """Index of the frame that differs most, or of the frame with such a slice."""
        return int(np.unravel_index(np.abs(self.hu).argmax(), self.hu.shape)[0])


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
    left : ndarray, shape (voxel,), or None
        What of ``noise`` is left, smoothed as the curves were; None before smoothing, or not known.
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
    left: npt.NDArray[np.float32] | None = None

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
    missed : float
        What curves miss of those of tissue that fit them best, of the shape that does so most closely, beyond noise: as
        a share of their length, the median of the brain.
    """

    shape: ResidueShape
    log_odds: Mapping[str, float]
    mtt_s: Mapping[str, float]
    bright: Mapping[str, float] = field(default_factory=dict)
    dark: Mapping[str, float] = field(default_factory=dict)
    missed: float = 0.0

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
