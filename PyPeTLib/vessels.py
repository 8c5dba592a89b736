"""The voxels that may be vessels, with the features of their curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import share
from PyPeTLib.curves import area_weights, noise_level, noise_levels, peaks
from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.progress import Progress, silent

#: Vessels are sought among the voxels whose peak exceeds this many standard deviations of the noise ...
VESSEL_NOISE_FACTOR = 5.0
#: ... and among this share of the brain, those that vary most over time; and how many they are at least.
VESSEL_SHARE = 0.05
FEWEST_VESSELS = 50
#: Their curves are reduced to this many principal components.
VESSEL_COMPONENTS = 8
#: So many voxels, those with the most blood, show what undiluted blood is.
VEIN_VOXELS = 30
#: A voxel of this share of blood tells what blood is before the bolus, one of less what lies beside it.
RICH_SHARE = 0.5
#: The two are found in turns; each turn leaves about a tenth of the error of the one before.
TURNS = 4
#: Motion is known, and edges are as steep as neighbours tell, but for such a factor; neighbours that differ by fewer
#: standard deviations of a voxel's noise do not.
SURELY, APART_SDS = 2.0, 3.0
#: Before the bolus no mixture of blood, tissue and CSF differs by more than this, in HU, from what is usual for its
#: share of blood; one with bone does.
FOREIGN_HU = 30.0


@dataclass(frozen=True)
class LikelyVessels:
    """The voxels that vary most over time.

    Parameters
    ----------
    columns : ndarray of int, shape (voxel,)
        Their columns in the HU array of the brain.
    hu : ndarray, shape (t, voxel)
        Their HU, projected on the principal temporal components of these voxels alone: in those of all tissue
        thin arteries do not show.
    noise_hu : ndarray, shape (voxel,)
        Standard deviation of the noise that the projection leaves in each, in HU: its own, but no less than usual in
        the brain. Where noise is stronger, chance would pass for vessels that are there from the first frame.
    """

    columns: npt.NDArray[np.intp]
    hu: FloatArray
    noise_hu: FloatArray


@dataclass(frozen=True)
class VesselVoxels:
    """The voxels that may be vessels, each array of shape (voxel,) or (voxel, t).

    Parameters
    ----------
    index : ndarray of int
        Their places in the flattened grid.
    curves_hu : ndarray, shape (voxel, t)
        Enhancement in HU, not smoothed in space.
    height_hu, peak_s, area_hu_s : ndarray
        Height and time of the peak, and area.
    baseline_hu : ndarray
        HU before the bolus.
    edge : ndarray of bool
        Whether a neighbour lies outside the mask or the slab.
    noise_hu : ndarray
        Standard deviation of the noise of ``curves_hu`` in HU.
    middle : ndarray, shape (3,)
        Centre of the mask, as an index (x, y, z).
    mask : ndarray of bool, shape (z, y, x), or None
        Brain mask that they were taken from; None where it is the whole grid.
    """

    index: npt.NDArray[np.intp]
    curves_hu: FloatArray
    height_hu: FloatArray
    peak_s: FloatArray
    area_hu_s: FloatArray
    baseline_hu: FloatArray
    edge: npt.NDArray[np.bool_]
    noise_hu: FloatArray
    middle: FloatArray
    mask: MaskArray | None = None

    @property
    def blood_hu(self) -> float:
        """HU of blood before the bolus; higher than usual where an earlier injection left contrast agent."""
        return self._before_hu[0]

    @cached_property
    def full_area_hu_s(self) -> float:
        """Area of a voxel that is all blood, in HU·s: that of the core of the sinuses."""
        return float(np.sort(self.area_hu_s)[-VEIN_VOXELS:][0])

    @cached_property
    def foreign(self) -> npt.NDArray[np.bool_]:
        """Whether bone, calcification or air shares the voxel.

        Contrast agent of an earlier injection is no foreign matter: what it adds before the bolus is proportional to
        the share of blood.
        """
        blood_hu, rest_hu = self._before_hu
        usual_hu = rest_hu + self._share * (blood_hu - rest_hu)
        return np.asarray(np.abs(self.baseline_hu - usual_hu) > FOREIGN_HU)

    @cached_property
    def _share(self) -> FloatArray:
        """How much of each voxel is blood, as its area tells, 0..1."""
        full = self.full_area_hu_s
        return np.clip(self.area_hu_s / full, 0.0, 1.0) if full > 0 else np.ones_like(self.area_hu_s)

    @cached_property
    def _before_hu(self) -> tuple[float, float]:
        """HU of blood and of what lies beside it before the bolus: medians, which voxels beside bone do not move.

        Many voxels tell, not the fullest alone: in a small head most of those may lie beside bone.
        """
        share, baseline = self._share, self.baseline_hu
        rich = (share >= RICH_SHARE) | (self.area_hu_s >= self.full_area_hu_s)
        of_rich = np.maximum(share[rich], 1e-3)
        blood = rest = float(np.median(baseline))
        for _ in range(TURNS):
            blood = float(np.median(rest + (baseline[rich] - rest) / of_rich))
            if not rich.all():
                rest = float(np.median((baseline - share * blood)[~rich] / (1.0 - share[~rich])))
        return blood, rest


def likely_vessels(hu: npt.NDArray[Any], *, progress: Progress = silent) -> LikelyVessels:
    """Return the most variable voxels of the brain with their curves.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the voxels inside the skull.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    variance = _temporal_variance(hu, share(progress, 0.0, 0.6))
    count = min(hu.shape[1], max(FEWEST_VESSELS, round(VESSEL_SHARE * hu.shape[1])))
    columns = np.sort(np.argpartition(variance, -count)[-count:])
    progress(0.7, "")
    curves = hu[:, columns].astype(float)
    level = curves.mean(axis=0)
    curves -= level
    progress(0.8, "")
    _, components = np.linalg.eigh(curves @ curves.T)
    progress(0.85, "")
    kept = components[:, -kept_components(len(hu)) :]
    projected = level + kept @ (kept.T @ curves)
    progress(0.9, "")
    noise = np.maximum(noise_levels(hu[:, columns]), noise_level(hu)) * np.sqrt(kept.shape[1] / len(hu))
    progress(1.0, "")
    return LikelyVessels(columns, projected, noise)


def beyond_motion(
    likely: LikelyVessels, frame: npt.NDArray[Any], mask: MaskArray, spacing_zyx_mm: tuple[float, ...], shift_mm: float
) -> LikelyVessels:
    """Return the likely vessels that change by more than the head's motion would make them.

    A head is never quite at rest. Bone that moves by a tenth of a millimetre changes what lies beside it by as much as
    contrast agent changes a thin artery: it would pass for vessels that are there, or have gone, from the first frame,
    for an artery or a vein. A shift changes a voxel by a part of its difference to the neighbours.

    Parameters
    ----------
    likely : LikelyVessels
    frame : ndarray, shape (z, y, x)
        The first frame in HU.
    mask : ndarray of bool, shape (z, y, x)
        Brain mask that ``likely`` was taken from.
    spacing_zyx_mm : tuple of float
    shift_mm : float
        As far as the head has moved, uncorrected; with 0 all are returned, as where hardly any would be left.
    """
    place = np.array(np.unravel_index(np.flatnonzero(mask)[likely.columns], mask.shape))
    here, squares = frame[tuple(place)].astype(float), np.zeros(likely.columns.size)
    of_noise_hu = APART_SDS * likely.noise_hu * np.sqrt(len(likely.hu) / kept_components(len(likely.hu)))
    for axis, spacing_mm in enumerate(spacing_zyx_mm):
        apart_hu = np.zeros_like(here)
        for step in (-1, 1):
            near = place.copy()
            near[axis] = np.clip(place[axis] + step, 0, mask.shape[axis] - 1)
            apart_hu = np.maximum(apart_hu, np.abs(frame[tuple(near)] - here))
        squares += np.maximum(apart_hu**2 - of_noise_hu**2, 0.0) / spacing_mm**2
    found = np.ptp(likely.hu, axis=0) > SURELY * shift_mm * np.sqrt(squares)
    if np.count_nonzero(found) < FEWEST_VESSELS:
        return likely
    return LikelyVessels(likely.columns[found], likely.hu[:, found], likely.noise_hu[found])


def kept_components(frames: int) -> int:
    """Return how many principal components of the likely vessels are kept."""
    return min(VESSEL_COMPONENTS, frames // 2)


def vessel_voxels(likely: LikelyVessels, baseline_frames: int, mask: MaskArray, times_s: FloatArray) -> VesselVoxels:
    """Return the likely vessels that enhance well above the noise, with the features of their curves.

    Parameters
    ----------
    likely : LikelyVessels
    baseline_frames : int
        Number of leading frames before the bolus.
    mask : ndarray of bool, shape (z, y, x)
        Brain mask that ``likely`` was taken from.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    """
    baseline = likely.hu[:baseline_frames].mean(axis=0)
    values = (likely.hu - baseline).T
    found = peaks(values)
    strong = found[:, 0] > VESSEL_NOISE_FACTOR * likely.noise_hu
    peak_s = np.interp(found[:, 1], np.arange(times_s.size), times_s)
    area = values @ area_weights(times_s)
    index = np.flatnonzero(mask)[likely.columns]
    edge = _at_edge(index, mask)
    return VesselVoxels(
        index[strong],
        values[strong],
        found[strong, 0],
        peak_s[strong],
        area[strong],
        baseline[strong],
        edge[strong],
        likely.noise_hu[strong],
        middle_of(mask),
        mask,
    )


def _at_edge(index: npt.NDArray[np.intp], mask: MaskArray) -> npt.NDArray[np.bool_]:
    """Tell which places in the flattened grid have a neighbour outside the mask or the grid."""
    place = np.array(np.unravel_index(index, mask.shape))
    inner = np.ones(index.size, dtype=bool)
    for axis, size in enumerate(mask.shape):
        for step in (-1, 1):
            near = place.copy()
            near[axis] = np.clip(place[axis] + step, 0, size - 1)
            inner &= (near[axis] != place[axis]) & mask[tuple(near)]
    return ~inner


def middle_of(mask: MaskArray) -> FloatArray:
    """Return the centre of the mask as an index (x, y, z)."""
    counts = [np.count_nonzero(mask, axis=axes) for axes in ((0, 1), (0, 2), (1, 2))]
    return np.array([np.arange(count.size) @ count / count.sum() for count in counts])


def _temporal_variance(hu: npt.NDArray[Any], progress: Progress) -> npt.NDArray[np.float32]:
    """Return the variance of each curve times the number of frames, frame by frame to spare memory."""
    total = np.zeros(hu.shape[1], dtype=np.float32)
    squares = np.zeros(hu.shape[1], dtype=np.float32)
    start = hu[0].astype(np.float32)
    for done, frame in enumerate(hu):
        change = frame - start
        total += change
        change *= change
        squares += change
        progress((done + 1) / len(hu), "")
    return squares - total * total / np.float32(len(hu))
