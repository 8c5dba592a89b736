"""Motion of the head: a rigid pose for every frame, measured on bone, and frames resampled once to the first one's.

Bone neither enhances nor deforms, so the passing bolus does not disturb its registration as it does that of tissue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_parallel, share
from PyPeTLib.errors import QualityError
from PyPeTLib.geometry import FloatArray, Geometry, MaskArray, itk_image
from PyPeTLib.orientation import displayed_spacing_mm, radiological
from PyPeTLib.progress import Progress
from PyPeTLib.records import Motion
from PyPeTLib.scan import Series
from PyPeTLib.settings import Settings
from PyPeTLib.stripped import stripped_brain

#: HU between which the image counts: below lies tissue that enhances, above metal.
BONE_HU = (50.0, 2000.0)
#: Edges of the blocks in mm over which frames are averaged, from coarse to fine.
BLOCKS_MM = (4.0, 2.0)
#: Blocks, which across slices are no thinner than a slice, are smoothed by so many of them (SD) along every axis:
#: interpolation between them blurs by up to half of one, and a reference as blurred as the moved frame does not pull
#: the pose towards whole ones.
SMOOTHING_BLOCKS = 0.8
#: Blocks whose gradient exceeds this share of the steepest one are edges of bone; of twice the second number and more
#: every n-th is used, so that about so many are. Fewer than the third tell no pose.
EDGE_SHARE = 0.15
MOST_EDGES = 30_000
FEWEST_EDGES = 500
#: Tukey's biweight: residuals beyond this many robust standard deviations do not count.
TUKEY = 4.685
#: Residuals below this, in HU, are noise: the weights do not sharpen further.
LEAST_RESIDUAL_HU = 20.0
#: A slice shows this much, in slices, beyond its middle: so far the image is continued by its slope. Without it edges
#: of the first and last slice would count in one direction only, and a slab of two slices has no others.
BEYOND = 0.25
#: Steps of each level at most, and the step in mm at which it ends.
MOST_STEPS = 12
LAST_STEP_MM = 0.01
#: So many mm between the poses of two frames are none: a head at rest seems to move by them. It may move by half.
AT_REST_MM = 0.2
#: What lies outside this range of HU is bone or air and would spill into the tissue beside it; the first frame is
#: smoothed by this SD in plane before, against noise and for the scanner's blur.
SOFT_HU = (-100.0, 100.0)
SPREAD_MM = 0.9
#: From this share on, bone spills.
LEAST_SPILL = 0.02
#: Soft tissue needs this share of the weights of interpolation.
LEAST_WEIGHT = 0.5

Float32 = npt.NDArray[np.float32]
#: A turn, shape (3, 3), and a shift in mm, shape (3,), along the axes of the grid.
_Pose = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class _Edges:
    """Edges of bone in the first frame at one level.

    Parameters
    ----------
    places_mm : ndarray, shape (3, edge)
        Their places along the grid's axes x, y, z from voxel (0, 0, 0), in mm.
    values_hu : ndarray, shape (edge,)
    normal : ndarray, shape (edge, 6)
        Change in HU for a shift by 1 mm along each axis, and for a turn by 1 rad about it through ``centre_mm``.
    block_mm, offset_mm : ndarray, shape (3, 1)
        Size of a block, and place of the first one's centre.
    factors : tuple of three int
        Voxels along x, y, z in a block.
    centre_mm : ndarray, shape (3, 1)
        What the head turns about.
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
    fine. A frame begins at the pose of the one before, then at its own of the coarse level. With ``motion="auto"`` the
    fine level is left out where the coarse one finds that the head was at rest.

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
        If the first frame shows too little bone, or none because the skull was taken off before.

    References
    ----------
    Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd
    """
    first = radiological(series.values[0], series.geometry)
    if stripped_brain(first, displayed_spacing_mm(series.geometry)) is not None:
        raise QualityError(
            "Motion: bone, by which it is measured, is needed; found a scan without its skull. Take motion out before "
            "the skull, and switch the correction off (motion=off)."
        )
    coarse, fine = (share(progress, *part, "Measuring motion") for part in ((0.0, 0.4), (0.4, 1.0)))
    edges = _edges(series, BLOCKS_MM[0])
    poses = _poses(series, edges, coarse)
    motion = _in_patient(series, poses, edges)
    if settings.motion == "auto" and motion.displacement_mm.max() <= min(settings.motion_tolerance_mm, AT_REST_MM):
        return motion
    return _in_patient(series, _poses(series, _edges(series, BLOCKS_MM[1]), fine, poses), edges)


def corrected(
    series: Series, motion: Motion, *, settings: Settings, progress: Progress
) -> tuple[Series, Motion, MaskArray | None]:
    """Return the scan with every frame that moved resampled once to the first frame's position.

    A step of brightness where the head moves would be taken for contrast agent. So the linear interpolation minds two
    things. Bone and air get no weight, for their thousand HU would spill into the brain in the slice beside them; the
    weights of the rest are made up to 1. Where bone and air are is known from the first frame, which no contrast agent
    reached, moved along with the head. And all frames are equally sharp: a place at a share f of the way between two
    voxels is averaged over both, a blur of variance f·(1 − f) in voxels². In plane that is taken off again. Slices are
    too thick for that (an artery that one slice alone shows would rise where the head moves): where any frame is
    blurred across them the others, the first one too, are smoothed to the same variance.

    Parameters
    ----------
    series : Series
    motion : Motion
        As measured on it.
    settings : Settings
        ``motion`` and ``motion_tolerance_mm``: with "auto", frames that moved less, or by less than a fifth of
        a pixel, stay where they are.
        ``motion_beyond`` and ``motion_limit_mm``: frames that moved further are left out; the times of the others
        keep the gap.
    progress : callable
        ``progress(fraction, text)``.

    Returns
    -------
    series : Series
        The very same where nothing moved.
    motion : Motion
        With the frames that were corrected and left out.
    restored : ndarray of bool, shape (z, y, x), or None
        Soft tissue of which every frame saw enough; None where nothing was resampled.
    """
    left_out = motion.displacement_mm > settings.motion_limit_mm
    left_out &= settings.motion_beyond == "leave-out"
    moved = (motion.displacement_mm > settings.tolerated_motion_mm(series.geometry)) & ~left_out
    known = replace(motion, corrected=moved, left_out=left_out)
    if left_out.any():
        series = replace(series, values=series.values[~left_out], times_s=series.times_s[~left_out])
    if not moved.any():
        return series, known, None
    still, restored = _resampled(series, _kept(known), progress)
    return still, known, restored


def unseen_mm(motion: Motion | None) -> float:
    """Return by how much the head may have moved in frames that are analysed where they were acquired.

    The same for all heads at rest, whether their motion was measured or not.

    Examples
    --------
    >>> unseen_mm(None)
    0.1
    """
    seen = 0.0 if motion is None else motion.uncorrected_mm
    return seen if seen > AT_REST_MM else 0.5 * AT_REST_MM


def between_slices(motion: Motion, geometry: Geometry, mask: MaskArray) -> Iterator[Float32]:
    """Yield, for every frame that was kept, where between two of its slices the voxels of a mask lie.

    Yields
    ------
    ndarray, shape (voxel,)
        f·(1 − f), f being the place from one slice to the next: 0 to 0.25, 0 in frames that were not resampled.
    """
    poses = _kept(motion)
    for k in range(len(poses.moved)):
        yield np.broadcast_to(poses.blur(k, geometry.slice_axis, geometry), geometry.shape)[mask]


def _kept(motion: Motion) -> _Poses:
    """Return the poses of the frames that are not left out."""
    kept = ~motion.left_out
    return _Poses(motion.turns[kept], motion.shifts_mm[kept], motion.centre_mm, motion.corrected[kept])


@dataclass(frozen=True)
class _Poses:
    """The poses of the frames that are kept, and which of them are to be moved back."""

    turns: FloatArray
    shifts_mm: FloatArray
    centre_mm: FloatArray
    moved: MaskArray

    def transform(self, k: int) -> Any:
        """Return one frame's pose as a transform: from a place in the first frame to where it is then."""
        import SimpleITK as sitk

        pose = sitk.AffineTransform(3)
        if not self.moved[k]:
            return pose
        pose.SetMatrix(self.turns[k].ravel().tolist())
        pose.SetCenter(self.centre_mm.tolist())
        pose.SetTranslation(self.shifts_mm[k].tolist())
        return pose

    def blur(self, k: int, axis: int, geometry: Geometry) -> Float32:
        """Return the second moment along an axis, in voxels², that linear interpolation adds at each voxel."""
        if not self.moved[k]:
            return np.zeros((1, 1, 1), dtype=np.float32)
        along = geometry.axes[:, axis] / geometry.spacing_mm[axis]
        origin = np.asarray(geometry.origin_mm)
        there = self.turns[k] @ (origin - self.centre_mm) + self.centre_mm + self.shifts_mm[k] - origin
        slopes = along @ self.turns[k] @ geometry.axes * geometry.spacing_mm
        x, y, z = (slope * np.arange(n) for slope, n in zip(slopes, geometry.size, strict=True))
        place = (along @ there + z[:, None, None] + y[:, None] + x).astype(np.float32)
        place -= np.floor(place)
        return np.asarray(place * (1 - place))


def _resampled(series: Series, poses: _Poses, progress: Progress) -> tuple[Series, MaskArray]:
    """Return all frames in the position of the first, equally blurred, and the soft tissue that all of them saw."""
    geometry, frames = series.geometry, range(series.frames)
    restored = ~_spilling(series)
    bone = _with_border(itk_image((~restored).astype(np.float32), geometry), geometry.slice_axis)
    thick = np.zeros(geometry.shape, dtype=np.float32)
    for k in frames:
        np.maximum(thick, poses.blur(k, geometry.slice_axis, geometry), out=thick)
    values = np.empty_like(series.values)
    work = in_parallel(lambda k: _seen_again(series.values[k], geometry, poses, k, bone, thick), frames)
    for k, (frame, enough) in zip(frames, work, strict=True):
        values[k] = frame
        restored &= enough
        progress((k + 1) / series.frames, "Correcting motion")
    return replace(series, values=values), restored


def _seen_again(
    frame: npt.NDArray[Any], geometry: Geometry, poses: _Poses, k: int, bone: Any, thick: Float32
) -> tuple[npt.NDArray[Any], MaskArray]:
    """Return a frame in the position of the first, and where soft tissue had enough of the weights.

    Where it had too little all weights count: bone stays bone.
    """
    pose, values = poses.transform(k), frame.astype(np.float32)
    soft = (_read(bone, pose.GetInverse(), grid=itk_image(values, geometry)) < LEAST_SPILL).astype(np.float32)

    def there(image: Float32) -> Float32:
        return _read(itk_image(image, geometry), pose) if poses.moved[k] else image

    weight, weighted = there(soft), there(soft * values)
    for axis in range(3):
        wanted = thick if axis == geometry.slice_axis else np.float32(0.0)
        missing = 0.5 * (wanted - poses.blur(k, axis, geometry))
        if missing.any():
            weight = weight + missing * there(_bend(soft, axis))
            weighted = weighted + missing * there(_bend(soft * values, axis))
    enough = weight >= LEAST_WEIGHT
    whole = _read(itk_image(values, geometry), pose, extrapolate=True) if poses.moved[k] else values
    found = np.where(enough, weighted / np.where(enough, weight, 1.0), whole)
    if frame.dtype.kind in "iu":  # what is taken off in plane may go below what the scan's type holds
        limits = np.iinfo(frame.dtype)
        found = np.clip(np.rint(found), limits.min, limits.max)
    return found, enough


def _bend(image: Float32, axis: int) -> Float32:
    """Return the second difference along x, y or z (0, 1, 2); beyond the last voxel it repeats."""
    beyond = [(int(one == 2 - axis),) * 2 for one in range(3)]
    return np.diff(np.pad(image, beyond, mode="edge"), n=2, axis=2 - axis)


def _spilling(series: Series) -> MaskArray:
    """Return bone and air of the first frame, what is within its reach in plane included."""
    from scipy import ndimage

    geometry = series.geometry
    sigma = [SPREAD_MM / mm for mm in geometry.spacing_zyx_mm]
    sigma[2 - geometry.slice_axis] = 0.0
    hu = ndimage.gaussian_filter(series.values[0].astype(np.float32), sigma, mode="nearest", truncate=3.0)
    return (hu < SOFT_HU[0]) | (hu > SOFT_HU[1])


def _with_border(bone: Any, slice_axis: int) -> Any:
    """Return bone with a slice more at either end: what the first frame did not show may be bone."""
    import SimpleITK as sitk

    ends = [int(axis == slice_axis) for axis in range(3)]
    return sitk.ConstantPad(bone, ends, ends, 1.0)


def _read(image: Any, pose: Any, *, grid: Any = None, extrapolate: bool = False) -> npt.NDArray[np.float32]:
    """Return an image's values where a pose puts each voxel, linear between voxels; outside 0 or its border."""
    import SimpleITK as sitk

    read = sitk.Resample(image, grid or image, pose, sitk.sitkLinear, 0.0, sitk.sitkFloat32, extrapolate)
    return np.asarray(sitk.GetArrayFromImage(read), dtype=np.float32)


def _edges(series: Series, block_mm: float) -> _Edges:
    """Find edges of bone in the first frame."""
    spacing = np.asarray(series.geometry.spacing_mm)
    x, y, z = (int(min(n, max(1, round(block_mm / s)))) for n, s in zip(series.geometry.size, spacing, strict=True))
    factors = (x, y, z)
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
    block, offset = block[:, None], offset[:, None]
    places = np.stack(np.unravel_index(chosen, image.shape)[::-1]) * block + offset
    centre = (np.asarray(series.geometry.size)[:, None] - 1) / 2 * spacing[:, None]  # one for all levels of poses
    slope = gradient.reshape(-1, 3)[chosen].astype(float)
    normal = np.concatenate([slope, np.cross((places - centre).T, slope)], axis=1)
    return _Edges(places, image.ravel()[chosen].astype(float), normal, block, offset, factors, centre)


def _slope(image: Float32, axis: int) -> Float32:
    return np.gradient(image, axis=axis) if image.shape[axis] > 1 else np.zeros_like(image)


def _blocks(frame: npt.NDArray[Any], geometry: Geometry, factors: tuple[int, int, int]) -> Float32:
    """Return the means of a frame's bone over blocks, smoothed."""
    from scipy import ndimage

    x, y, z = factors
    shape = tuple(n // f for n, f in zip(geometry.shape, (z, y, x), strict=True))
    whole = frame[: shape[0] * z, : shape[1] * y, : shape[2] * x]
    bone = np.clip(whole, *BONE_HU).astype(np.float32)
    rows = bone.reshape(shape[0], z, shape[1], y, -1).mean(axis=(1, 3))  # whole rows first: their sums are fast
    means = rows.reshape(*shape, x) @ np.full(x, 1.0 / x, dtype=np.float32)
    sigma = [SMOOTHING_BLOCKS if n > 1 else 0.0 for n in shape]
    return ndimage.gaussian_filter(means, sigma, mode="nearest", truncate=3.0)


def _poses(series: Series, edges: _Edges, progress: Progress, starts: list[_Pose] | None = None) -> list[_Pose]:
    """Return turn and shift of every frame along the grid's axes, begun at the pose before or at a coarser one."""
    poses: list[_Pose] = [(np.eye(3), np.zeros(3))]
    images = in_parallel(lambda frame: _blocks(frame, series.geometry, edges.factors), list(series.values[1:]))
    for k, image in enumerate(images, start=1):
        poses.append(_register(image, edges, *(starts[k] if starts else poses[-1])))
        progress(k / (series.frames - 1), "")
    return poses


def _register(image: Float32, edges: _Edges, turn: FloatArray, shift_mm: FloatArray) -> _Pose:
    """Return the pose, along the grid's axes, at which an image agrees with the first frame on its edges of bone."""
    from scipy import ndimage
    from scipy.spatial.transform import Rotation

    apart_mm = edges.places_mm - edges.centre_mm
    reach_mm = float(np.abs(apart_mm).max())
    last = np.asarray(image.shape)[:, None] - 1
    wide = np.pad(image, 1, mode="reflect", reflect_type="odd")
    for _ in range(MOST_STEPS):
        places = turn @ apart_mm + (edges.centre_mm - edges.offset_mm + shift_mm[:, None])
        index = (places / edges.block_mm)[::-1]
        seen = _seen(index, last)
        residual = ndimage.map_coordinates(wide, index + 1.0, order=1, mode="nearest") - edges.values_hu
        weight = seen * _tukey(residual, seen > 0)
        weighted = edges.normal * weight[:, None]
        step, *_ = np.linalg.lstsq(weighted.T @ edges.normal, weighted.T @ residual, rcond=1e-9)
        turn = turn @ Rotation.from_rotvec(step[3:]).as_matrix().T
        shift_mm = shift_mm - turn @ step[:3]
        if np.abs(step[:3]).max() + np.abs(step[3:]).max() * reach_mm < LAST_STEP_MM:
            break
    return turn, shift_mm


def _seen(index: FloatArray, last: npt.NDArray[Any]) -> FloatArray:
    """Return the weight of places inside a frame: 1 up to the middle of the last slice, 0 from `BEYOND` on."""
    beyond = np.maximum(-index, index - last).max(axis=0)
    return np.asarray(np.clip(1.0 - beyond / BEYOND, 0.0, 1.0))


def _tukey(residual: FloatArray, seen: npt.NDArray[np.bool_]) -> FloatArray:
    """Return Tukey's weights for residuals in HU."""
    spread = np.median(np.abs(residual[seen])) / 0.6745 if seen.any() else 0.0
    scaled = residual / (TUKEY * max(spread, LEAST_RESIDUAL_HU))
    return np.where(np.abs(scaled) < 1.0, (1.0 - scaled**2) ** 2, 0.0)


def _in_patient(series: Series, poses: list[_Pose], edges: _Edges) -> Motion:
    """Return poses along the grid's axes as poses of the patient, and how far the skull has moved."""
    axes = series.geometry.axes
    centre = np.asarray(series.geometry.origin_mm) + axes @ edges.centre_mm[:, 0]
    apart = (edges.places_mm - edges.centre_mm).T
    displaced = [np.linalg.norm(apart @ turn.T - apart + shift, axis=1).max() for turn, shift in poses]
    turns, shifts_mm = (np.stack(part) for part in zip(*poses, strict=True))
    nothing = np.zeros(len(poses), dtype=bool)
    turns = axes @ turns @ np.linalg.inv(axes)
    return Motion(series.times_s, turns, shifts_mm @ axes.T, centre, np.array(displaced), nothing, nothing)
