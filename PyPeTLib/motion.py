"""Motion of the head: a rigid pose for every frame, measured on bone, and frames resampled once to the first one's.

Bone neither enhances nor deforms, so the passing bolus does not disturb its registration as it does that of tissue.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import share
from PyPeTLib.errors import QualityError
from PyPeTLib.records import FloatArray, Geometry, Motion, Progress, Series
from PyPeTLib.settings import Settings

#: HU between which the image counts: below lies tissue that enhances, above metal.
BONE_HU = (50.0, 2000.0)
#: Edges of the blocks in mm over which frames are averaged, from coarse to fine.
BLOCKS_MM = (4.0, 2.0)
#: Slices thicker than the blocks are smoothed across by this many slices (SD): interpolation between them blurs them
#: by up to half a slice, and a reference as blurred as the moved frame does not pull the pose towards whole slices.
SMOOTHING_BLOCKS = 0.8
#: Blocks whose gradient exceeds this share of the steepest one are edges of bone; so many of them are used.
EDGE_SHARE = 0.15
MOST_EDGES = 30_000
FEWEST_EDGES = 500
#: Tukey's biweight: residuals beyond this many robust standard deviations do not count.
TUKEY = 4.685
#: Residuals below this, in HU, are noise: the weights do not sharpen further.
LEAST_RESIDUAL_HU = 20.0
#: Steps of each level at most, and the step in mm at which it ends.
MOST_STEPS = 12
LAST_STEP_MM = 0.01

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Edges:
    """Edges of bone in the first frame at one level.

    Parameters
    ----------
    places_mm : ndarray, shape (edge, 3)
        Their places along the grid's axes x, y, z from voxel (0, 0, 0), in mm.
    values_hu : ndarray, shape (edge,)
    normal : ndarray, shape (edge, 6)
        Change in HU for a shift by 1 mm along each axis, and for a turn by 1 rad about it through ``centre_mm``.
    block_mm, offset_mm : ndarray, shape (3,)
        Size of a block, and place of the first one's centre.
    """

    places_mm: FloatArray
    values_hu: FloatArray
    normal: FloatArray
    block_mm: FloatArray
    offset_mm: FloatArray
    factors: tuple[int, int, int]
    centre_mm: FloatArray


def measure_motion(series: Series, *, settings: Settings, progress: Progress) -> Motion:
    """Return where the head is in every frame, against the first.

    Iterated least squares with Tukey's weights on edges of bone (inverse compositional registration), from coarse to
    fine; each frame begins at the pose of the one before. With ``motion="auto"`` the fine level is left out where the
    coarse one finds less than ``motion_tolerance_mm`` in every frame.

    Parameters
    ----------
    series : Series
        The scan in HU.
    settings : Settings
        ``motion``, ``motion_tolerance_mm``.
    progress : callable
        ``progress(fraction, text)``.

    Raises
    ------
    QualityError
        If the first frame shows too little bone.

    References
    ----------
    Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd
    """
    coarse, fine = (_edges(series, block_mm) for block_mm in BLOCKS_MM)
    motion = _measure(series, [coarse], share(progress, 0.0, 0.3, "Measuring motion"))
    if settings.motion == "auto" and motion.displacement_mm.max() <= settings.motion_tolerance_mm:
        return motion
    return _measure(series, [coarse, fine], share(progress, 0.3, 1.0, "Measuring motion"))


def corrected(series: Series, motion: Motion, *, settings: Settings, progress: Progress) -> Series:
    """Return the scan with every frame that moved beyond the tolerance resampled once to the first frame's position.

    Parameters
    ----------
    series : Series
    motion : Motion
    settings : Settings
        ``motion_tolerance_mm``: frames that moved less stay as they were acquired.
    progress : callable
        ``progress(fraction, text)``.
    """
    moved = np.flatnonzero(motion.displacement_mm > settings.motion_tolerance_mm)
    if not moved.size:
        return series
    values = np.array(series.values)
    with ThreadPoolExecutor(2) as pool:
        frames = pool.map(lambda k: _resampled(series, motion, int(k)), moved)
        for done, (k, frame) in enumerate(zip(moved, frames, strict=True)):
            values[k] = frame
            progress((done + 1) / moved.size, "Correcting motion")
    return replace(series, values=values)


def _resampled(series: Series, motion: Motion, k: int) -> npt.NDArray[Any]:
    """Return one frame in the position of the first; where it does not reach, its nearest slice."""
    import SimpleITK

    sitk: Any = SimpleITK
    place = series.geometry
    image = sitk.GetImageFromArray(np.asarray(series.values[k], dtype=np.float32))
    image.SetSpacing(place.spacing_mm)
    image.SetOrigin(place.origin_mm)
    image.SetDirection(place.direction)
    pose = sitk.AffineTransform(3)
    pose.SetMatrix(motion.turns[k].ravel().tolist())
    pose.SetCenter(motion.centre_mm.tolist())
    pose.SetTranslation(motion.shifts_mm[k].tolist())
    moved = sitk.Resample(image, image, pose, INTERPOLATION or sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
    frame = sitk.GetArrayFromImage(moved)
    return np.rint(frame).astype(series.values.dtype) if series.values.dtype.kind in "iu" else frame


INTERPOLATION = None


def _edges(series: Series, block_mm: float) -> _Edges:
    """Find edges of bone in the first frame."""
    spacing = np.asarray(series.geometry.spacing_mm)
    factors = tuple(int(max(1, round(block_mm / s))) for s in spacing)
    block, offset = spacing * factors, (np.asarray(factors) - 1) / 2 * spacing
    image = _blocks(series.values[0], series.geometry, factors)
    gradient = np.stack([_slope(image, axis) / block[2 - axis] for axis in (2, 1, 0)], axis=-1)
    steepness = np.linalg.norm(gradient, axis=-1).ravel()
    chosen = np.flatnonzero(steepness > EDGE_SHARE * steepness.max())
    if chosen.size < FEWEST_EDGES or steepness.max() <= 0:
        raise QualityError(
            f"Motion: at least {FEWEST_EDGES} edges of bone in the first frame are needed; found {chosen.size}. "
            "Switch motion correction off (motion=off)."
        )
    chosen = chosen[:: max(1, chosen.size // MOST_EDGES)]
    places = np.stack(np.unravel_index(chosen, image.shape)[::-1], axis=-1) * block + offset
    centre = places.mean(axis=0)
    slope = gradient.reshape(-1, 3)[chosen].astype(float)
    normal = np.concatenate([slope, np.cross(places - centre, slope)], axis=1)
    return _Edges(places, image.ravel()[chosen].astype(float), normal, block, offset, factors, centre)


def _slope(image: Float32, axis: int) -> Float32:
    return np.gradient(image, axis=axis) if image.shape[axis] > 1 else np.zeros_like(image)


def _blocks(frame: npt.NDArray[Any], geometry: Geometry, factors: tuple[int, int, int]) -> Float32:
    """Return the means of a frame's bone over blocks, thick slices smoothed across."""
    from scipy import ndimage

    x, y, z = factors
    shape = tuple(n // f for n, f in zip(geometry.shape, (z, y, x), strict=True))
    whole = frame[: shape[0] * z, : shape[1] * y, : shape[2] * x]
    bone = np.clip(whole, *BONE_HU).astype(np.float32)
    means = bone.reshape(shape[0], z, shape[1], y, shape[2], x).mean(axis=(1, 3, 5))
    sigma = [SMOOTHING_BLOCKS if n > 1 else 0.0 for n in shape]
    return ndimage.gaussian_filter(means, sigma, mode="nearest", truncate=3.0)


def _measure(series: Series, levels: list[_Edges], progress: Progress) -> Motion:
    """Follow the head from frame to frame."""
    turn, shift, centre = np.eye(3), np.zeros(3), levels[-1].centre_mm
    turns, shifts = [turn], [shift]
    for k, frame in enumerate(series.values[1:], start=1):
        for edges in levels:
            image = _blocks(frame, series.geometry, edges.factors)
            turn, shift = _register(image, edges, turn, shift)
        turns.append(turn)
        shifts.append(shift)
        progress(k / (series.frames - 1), "")
    return _in_patient(series.geometry, np.stack(turns), np.stack(shifts), levels[0])


def _register(image: Float32, edges: _Edges, turn: FloatArray, shift_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the pose, along the grid's axes, at which an image agrees with the first frame on its edges of bone."""
    from scipy import ndimage
    from scipy.spatial.transform import Rotation

    reach_mm = float(np.abs(edges.places_mm - edges.centre_mm).max())
    last = np.asarray(image.shape) - 1
    for _ in range(MOST_STEPS):
        places = (edges.places_mm - edges.centre_mm) @ turn.T + edges.centre_mm + shift_mm
        index = ((places - edges.offset_mm) / edges.block_mm)[:, ::-1]
        seen = ((index >= 0) & (index <= last)).all(axis=1)
        residual = ndimage.map_coordinates(image, index.T, order=1, mode="nearest") - edges.values_hu
        weight = np.where(seen, _tukey(residual, seen), 0.0)
        weighted = edges.normal * weight[:, None]
        step, *_ = np.linalg.lstsq(weighted.T @ edges.normal, weighted.T @ residual, rcond=1e-9)
        turn = turn @ Rotation.from_rotvec(step[3:]).as_matrix().T
        shift_mm = shift_mm - turn @ step[:3]
        if np.abs(step[:3]).max() + np.abs(step[3:]).max() * reach_mm < LAST_STEP_MM:
            break
    return turn, shift_mm


def _tukey(residual: FloatArray, seen: npt.NDArray[np.bool_]) -> FloatArray:
    """Return Tukey's weights for residuals in HU."""
    spread = np.median(np.abs(residual[seen])) / 0.6745 if seen.any() else 0.0
    scaled = residual / (TUKEY * max(spread, LEAST_RESIDUAL_HU))
    return np.where(np.abs(scaled) < 1.0, (1.0 - scaled**2) ** 2, 0.0)


def _in_patient(geometry: Geometry, turns: FloatArray, shifts_mm: FloatArray, edges: _Edges) -> Motion:
    """Return poses along the grid's axes as poses of the patient, and how far the skull has moved."""
    axes = geometry.axes
    centre = np.asarray(geometry.origin_mm) + axes @ edges.centre_mm
    apart = edges.places_mm - edges.centre_mm
    displaced = [
        np.linalg.norm(apart @ turn.T - apart + shift, axis=1).max()
        for turn, shift in zip(turns, shifts_mm, strict=True)
    ]
    return Motion(axes @ turns @ np.linalg.inv(axes), shifts_mm @ axes.T, centre, np.array(displaced))
