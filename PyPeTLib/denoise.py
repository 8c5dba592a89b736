"""Noise removal: few temporal components instead of all frames, smoothed in space inside the mask only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.bilateral import bilateral
from PyPeTLib.chunks import execute, product, share
from PyPeTLib.curves import noise_correlation, robust_sd
from PyPeTLib.geometry import FloatArray, Geometry, MaskArray
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves
from PyPeTLib.scan import Series
from PyPeTLib.settings import DenoiseMethod, Settings
from PyPeTLib.smoothing import Float32Array, gaussian_in_mask

#: Curves are averaged over blocks of about this edge before their components are sought, in mm:
#: small enough for a 10 mm lesion to fill a block, large enough to lift it out of the noise.
BLOCK_MM = 5.0
#: A component carries signal when its variance exceeds this many times that of the noise.
SIGNAL_FACTOR = 1.5
#: Noise is measured in components that hold at least this share of the noise that those with signal hold: frames that
#: were interpolated or averaged have noise in slow components alone.
LEAST_NOISE = 0.5
FEWEST_COMPONENTS, MOST_COMPONENTS = 3, 14
#: So many components are added for territories that are late and too small for the principal ones;
#: they come from the mean curve delayed in steps up to this share of the scan.
LATE_COMPONENTS = 2
LATE_SHARES = np.linspace(0.0, 0.3, 8)
#: Voxels that are converted to float32 at a time.
BLOCK_VOXELS = 65536


def masked_hu(series: Series, mask: MaskArray, *, settings: Settings, progress: Progress) -> npt.NDArray[Any]:
    """Return the HU of the voxels of a mask, after curvature flow where that is the denoising method.

    Curvature flow works on whole frames, as published (SimpleITK; Sethian 1996); it does not know the mask.

    Returns
    -------
    ndarray, shape (t, voxel)
        In the scan's own type, or float32 after curvature flow.
    """
    flow = settings.denoise == "curvature-flow"
    hu = np.empty((series.frames, np.count_nonzero(mask)), dtype=np.float32 if flow else series.values.dtype)
    for index, frame in enumerate(series.values):
        inner = share(progress, index / series.frames, (index + 1) / series.frames)
        hu[index] = _curvature_flow(frame, series.geometry, settings, inner)[mask] if flow else frame[mask]
        inner(1.0, "")
    return hu


def enhancement(
    hu: npt.NDArray[Any],
    baseline_frames: int,
    mask: MaskArray,
    geometry: Geometry,
    *,
    drift_hu: FloatArray,
    settings: Settings,
    progress: Progress = silent,
) -> Curves:
    """Return signed enhancement above baseline, as weights of the few temporal components that carry signal.

    The components are the principal ones of this patient's block-averaged curves about their own time means, so the
    unknown baseline of a voxel, anatomy and noise alike, is in none of them. Each is then shifted to be 0 on average
    over the baseline frames. This leaves far less baseline noise in volume and tail than subtracting the mean of the
    few baseline frames from every curve, which is what `none` and `curvature-flow` do; they keep all frames.
    Spatial smoothing and deconvolution are linear and need be done on the components alone.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the voxels of ``mask``.
    baseline_frames : int
        Number of leading frames before the bolus.
    mask : ndarray of bool, shape (z, y, x)
    geometry : Geometry
        Grid of ``mask``.
    drift_hu : ndarray, shape (t,)
        Drift and jumps of the scanner in HU (`drift.taken_off`), taken off all voxels.
    settings : Settings
        ``denoise``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    line, first = drift_hu.astype(np.float32), share(progress, 0.0, 0.4)
    correlation = noise_correlation(hu)
    signal, noise = temporal_components(hu, mask, geometry, drift_hu=drift_hu, correlation=correlation, progress=first)
    mean = np.full_like(noise, 1.0 / len(hu))
    images = weights(np.stack([noise, mean]), hu, progress=share(progress, 0.4, 0.6))
    images -= np.stack([noise, mean]) @ line
    noise_image, anatomy_hu = np.ascontiguousarray(images.T)
    last = share(progress, 0.6, 1.0)
    if settings.denoise in ("none", "curvature-flow"):
        signal = np.eye(len(hu), dtype=np.float32)
        rows, basis = _above_baseline(hu, baseline_frames, last), signal
        rows -= line - line[:baseline_frames].mean()
    else:
        basis = signal - signal[:, :baseline_frames].mean(axis=1, keepdims=True)
        rows = weights(signal, hu, progress=last)
        rows -= signal @ line
    alike = float(correlation[0, 1])
    return Curves(
        rows, basis, noise_image, mask, anatomy_hu, spacing_zyx_mm=geometry.spacing_zyx_mm, frames_alike=alike
    )


def smooth(curves: Curves, geometry: Geometry, *, settings: Settings, progress: Progress) -> Curves:
    """Return the curves smoothed in space by the method of ``settings.denoise``, inside the mask only.

    Parameters
    ----------
    curves : Curves
        Projected curves.
    geometry : Geometry
        Their grid; the kernel is round in mm.
    settings : Settings
        The method and its own parameters.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    return METHODS[settings.denoise](curves, geometry, settings, progress)


def temporal_components(
    hu: npt.NDArray[Any],
    mask: MaskArray,
    geometry: Geometry,
    *,
    drift_hu: FloatArray,
    correlation: FloatArray,
    progress: Progress = silent,
) -> tuple[Float32Array, Float32Array]:
    """Return the orthonormal temporal components above the noise, and one without signal; all sum to 0.

    They are those of the scan without drift and jumps, or curves without these would lie between them. Of a scan that
    was interpolated or averaged in time the noise is in slow components alone: each is judged against its own, and the
    one without signal is made to hold as much as those with signal (`curves.noise_correlation`).

    Returns
    -------
    signal : ndarray, shape (component, t)
        Strongest first; last those that late territories add.
    noise : ndarray, shape (t,)
        A component from the lower half of the spectrum: what the scan's noise leaves in any component with signal.
    """
    means = _block_means(hu, mask, geometry, drift_hu, progress)
    free = _without_mean(len(hu))
    variance, rotations = np.linalg.eigh(free @ (means.T @ means) @ free.T)
    variance, components = variance[::-1], (rotations.T[::-1] @ free).astype(np.float32)
    of_noise = np.maximum(np.einsum("kt,kt->k", components @ correlation, components).round(5), 1e-5)
    held = np.flatnonzero(of_noise >= LEAST_NOISE * np.median(of_noise[: -(-len(of_noise) // 4)]))
    ratio, most = variance[held] / of_noise[held], min(MOST_COMPONENTS, held.size // 2)
    above = np.count_nonzero(ratio > SIGNAL_FACTOR * np.median(ratio))
    count = int(np.clip(above, min(FEWEST_COMPONENTS, most), most))
    late = _late_components(means.mean(axis=0), components[:count])
    chosen = held[(2 * held.size) // 3]
    noise = components[chosen] - (components[chosen] @ late.T) @ late
    as_much = np.float32(np.sqrt(of_noise[:count].mean() / of_noise[chosen]))
    return np.concatenate([components[:count], late]), as_much * (noise / np.linalg.norm(noise))


def _late_components(mean_curve: FloatArray, known: Float32Array) -> Float32Array:
    """Return what the mean curve, delayed, adds to the known components.

    A small territory that is late hardly shows among the principal components; its curve is not lost this way.
    """
    frames = np.arange(mean_curve.size)
    delayed = np.stack([np.interp(frames - delay, frames, mean_curve) for delay in LATE_SHARES * mean_curve.size])
    delayed -= delayed.mean(axis=1, keepdims=True)
    rest = delayed - (delayed @ known.T) @ known
    return np.linalg.svd(rest, full_matrices=False)[2][:LATE_COMPONENTS].astype(np.float32)


def _without_mean(frames: int) -> FloatArray:
    """Return an orthonormal basis of the curves whose mean is 0, shape (t − 1, t)."""
    basis = np.eye(frames) - 1.0 / frames
    return np.asarray(np.linalg.svd(basis)[2][:-1])


def weights(components: Float32Array, hu: npt.NDArray[Any], *, progress: Progress = silent) -> Float32Array:
    """Return the weight of each component in each curve, shape (voxel, component), float32.

    Examples
    --------
    >>> weights(np.array([[1.0, -1.0]], dtype=np.float32), np.array([[40, 50], [30, 50]], dtype=np.int16)).ravel()
    array([10.,  0.], dtype=float32)
    """
    found = np.zeros((hu.shape[1], len(components)), dtype=np.float32)
    for block in _blocks(hu.shape[1], progress):
        found[block] = product(hu[:, block].astype(np.float32).T, components.T)
    return found


def _above_baseline(hu: npt.NDArray[Any], baseline_frames: int, progress: Progress) -> Float32Array:
    """Return each voxel's curve less the mean of its leading frames, shape (voxel, t)."""
    above = np.empty(hu.shape[::-1], dtype=np.float32)
    for block in _blocks(hu.shape[1], progress):
        values = hu[:, block]
        above[block] = (values - values[:baseline_frames].mean(axis=0, dtype=np.float32)).T
    return above


def _blocks(voxels: int, progress: Progress) -> Iterator[slice]:
    """Yield slices of voxels, and call progress after each."""
    for start in range(0, voxels, BLOCK_VOXELS):
        stop = min(start + BLOCK_VOXELS, voxels)
        yield slice(start, stop)
        progress(stop / voxels, "")


def _keep(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Curves:
    """Leave the curves as they are."""
    resolution_mm = geometry.pixel_mm if settings.denoise == "none" else None
    return replace(curves, resolution_mm=resolution_mm, sd=np.full_like(curves.noise, robust_sd(curves.noise)))


def _gaussian(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Curves:
    """Smooth with a Gaussian, normalised by the part of the kernel that lies inside the mask."""
    both = np.column_stack([curves.coefficients, curves.noise])
    sigma_mm = settings.gaussian_sigma_mm
    smoothed = gaussian_in_mask(both, curves.mask, geometry.spacing_zyx_mm, sigma_mm, progress=progress)
    coefficients = np.ascontiguousarray(smoothed[:, :-1])
    sd = np.full_like(curves.noise, robust_sd(smoothed[:, -1]))
    width_mm = max(np.sqrt(8.0 * np.log(2.0)) * sigma_mm, geometry.pixel_mm)
    return replace(curves, coefficients=coefficients, sd=sd, resolution_mm=float(width_mm))


METHODS: dict[DenoiseMethod, Callable[[Curves, Geometry, Settings, Progress], Curves]] = {
    "bilateral": bilateral,
    "gaussian": _gaussian,
    "curvature-flow": _keep,
    "none": _keep,
}


def _curvature_flow(
    frame: npt.NDArray[Any], geometry: Geometry, settings: Settings, progress: Progress
) -> Float32Array:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(frame.astype(np.float32))
    image.SetSpacing(geometry.spacing_mm)
    flow = sitk.CurvatureFlowImageFilter()
    flow.SetTimeStep(settings.curvature_flow_step)
    flow.SetNumberOfIterations(settings.curvature_flow_iterations)
    flowed = execute(flow, image, progress=progress)
    copied: Float32Array = sitk.GetArrayFromImage(flowed)  # a view would outlive the image it looks at
    return copied


def _block_means(
    hu: npt.NDArray[Any], mask: MaskArray, geometry: Geometry, drift_hu: FloatArray, progress: Progress
) -> FloatArray:
    """Return mean curves of blocks about their time means, times the root of the voxel count (equal noise)."""
    steps = [max(1, round(BLOCK_MM / spacing)) for spacing in geometry.spacing_zyx_mm]
    index = [axis // step for axis, step in zip(np.nonzero(mask), steps, strict=True)]
    counts = [length // step + 1 for length, step in zip(mask.shape, steps, strict=True)]
    block = np.ravel_multi_index(index, counts)
    voxels = np.bincount(block)
    sums = np.empty((voxels.size, len(hu)))
    for done, frame in enumerate(hu):
        sums[:, done] = np.bincount(block, weights=frame) - drift_hu[done] * voxels
        progress((done + 1) / len(hu), "")
    sums, voxels = sums[voxels > 0], voxels[voxels > 0]
    return np.asarray((sums - sums.mean(axis=1, keepdims=True)) / np.sqrt(voxels)[:, None])
