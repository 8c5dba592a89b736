"""Noise removal: few temporal components instead of all frames, smoothed in space inside the mask only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import execute, in_parallel, share
from PyPeTLib.curves import robust_sd
from PyPeTLib.records import Curves, FloatArray, Geometry, MaskArray, Progress, Series, silent
from PyPeTLib.settings import DenoiseMethod, Settings
from PyPeTLib.smoothing import KERNEL_REACH, Float32Array, bounding_box, gaussian_in_mask, on_grid

#: Curves are averaged over blocks of about this edge before their components are sought, in mm:
#: small enough for a 10 mm lesion to fill a block, large enough to lift it out of the noise.
BLOCK_MM = 5.0
#: A component carries signal when its variance exceeds this many times that of the noise.
SIGNAL_FACTOR = 1.5
FEWEST_COMPONENTS, MOST_COMPONENTS = 3, 14
#: So many components are added for territories that are late and too small for the principal ones;
#: they come from the mean curve delayed in steps up to this share of the scan.
LATE_COMPONENTS = 2
LATE_SHARES = np.linspace(0.0, 0.3, 8)
#: Voxels that are converted to float32 at a time.
BLOCK_VOXELS = 65536
#: Bilateral: the first guide is smoothed by this share of the kernel, far neighbours are this share of it apart, ...
GUIDE_SHARE, STRIDE_SHARE = 0.4, 0.75
#: ... and the second guide, with less noise, tells curves apart by this share of what the first does.
NARROWED = 0.45
#: A component that is all noise still counts as this share of one without, when curves are compared.
LEAST_SIGNAL = 0.05
#: Shares of the time at which the guide and each of the two averages end.
BILATERAL_TIMES = (0.0, 0.06, 0.53, 1.0)
#: Differences within what is averaged are sought over this distance, in mm.
UNLIKE_MM = 3.0
#: ... and the scan's noise varies over no less than this.
NOISE_MM = 12.0
#: So many pairs of neighbours are summed in one task: fixed, so that rounding does not depend on the machine.
KERNEL_PART = 6

Offset = tuple[tuple[int, int, int], float]


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
    settings : Settings
        ``denoise``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    signal, noise = temporal_components(hu, mask, geometry, progress=share(progress, 0.0, 0.4))
    mean = np.full_like(noise, 1.0 / len(hu))
    images = weights(np.stack([noise, mean]), hu, progress=share(progress, 0.4, 0.6))
    noise_image, anatomy_hu = np.ascontiguousarray(images.T)
    last = share(progress, 0.6, 1.0)
    if settings.denoise in ("none", "curvature-flow"):
        signal = np.eye(len(hu), dtype=np.float32)
        rows, basis = _above_baseline(hu, baseline_frames, last), signal
    else:
        basis = signal - signal[:, :baseline_frames].mean(axis=1, keepdims=True)
        rows = weights(signal, hu, progress=last)
    return Curves(rows, basis, noise_image, mask, anatomy_hu, spacing_zyx_mm=geometry.spacing_zyx_mm)


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
    hu: npt.NDArray[Any], mask: MaskArray, geometry: Geometry, *, progress: Progress = silent
) -> tuple[Float32Array, Float32Array]:
    """Return the orthonormal temporal components above the noise, and one without signal; all sum to 0.

    Returns
    -------
    signal : ndarray, shape (component, t)
        Strongest first.
    noise : ndarray, shape (t,)
        A component from the lower half of the spectrum: what the scan's noise leaves in any component.
    """
    means = _block_means(hu, mask, geometry, progress)
    free = _without_mean(len(hu))
    variance, rotations = np.linalg.eigh(free @ (means.T @ means) @ free.T)
    variance, components = variance[::-1], (rotations.T[::-1] @ free).astype(np.float32)
    most = min(MOST_COMPONENTS, len(variance) // 2)
    count = int(np.clip((variance > SIGNAL_FACTOR * np.median(variance)).sum(), min(FEWEST_COMPONENTS, most), most))
    late = _late_components(means.mean(axis=0), components[:count])
    noise = components[(2 * len(variance)) // 3]
    noise = noise - (noise @ late.T) @ late
    return np.concatenate([components[:count], late]), noise / np.linalg.norm(noise)


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
        found[block] = hu[:, block].astype(np.float32).T @ components.T
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
    resolution_mm = max(geometry.spacing_mm[:2]) if settings.denoise == "none" else None
    return replace(curves, resolution_mm=resolution_mm, sd=np.full_like(curves.noise, robust_sd(curves.noise)))


def _gaussian(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Curves:
    """Smooth with a Gaussian, normalised by the part of the kernel that lies inside the mask."""
    both = np.column_stack([curves.coefficients, curves.noise])
    sigma_mm = settings.gaussian_sigma_mm
    smoothed = gaussian_in_mask(both, curves.mask, geometry.spacing_zyx_mm, sigma_mm, progress=progress)
    coefficients = np.ascontiguousarray(smoothed[:, :-1])
    sd = np.full_like(curves.noise, robust_sd(smoothed[:, -1]))
    width_mm = max(np.sqrt(8.0 * np.log(2.0)) * sigma_mm, *geometry.spacing_mm[:2])
    return replace(curves, coefficients=coefficients, sd=sd, resolution_mm=float(width_mm))


def _bilateral(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Curves:
    """Average neighbours whose time courses and mean HU agree within the noise: edges stay.

    Tomasi 1998, doi:10.1109/ICCV.1998.710815, with the time course as the guide (Mendrik 2011,
    doi:10.1088/0031-9155/56/13/008), and the anatomy: gray matter, white matter and CSF differ by many times the noise
    of a mean over all frames, so a cortex two pixels wide keeps its blood to itself. It is done twice: first with
    curves smoothed over all tissue as the guide, then with the first result, whose noise is several times less and
    which no longer mixes the two sides of a lesion's edge. Components count in a guide as far as they are not noise,
    which is measured, so the widths fit any scanner and kernel.
    Neighbours are taken in two passes, all that are close and then every few pixels, which costs a fraction of all.
    The noise that is left follows from the squares of the weights and, as noise of neighbours is alike, from one
    component without signal that is smoothed along; the error also counts how much neighbours differ.
    """
    mask = curves.mask[bounding_box(curves.mask)]
    shares = [share(progress, *ends) for ends in itertools.pairwise(BILATERAL_TIMES)]
    values = on_grid(np.column_stack([curves.coefficients, curves.noise]), mask)
    anatomy = _anatomy(curves, settings)
    smoothed = _plain_guide(curves, geometry, settings, shares[0])
    width = settings.bilateral_similarity * robust_sd(smoothed[:, -1])
    for narrowed, part in zip((1.0, NARROWED), shares[1:], strict=True):
        share_of_signal = _share_of_signal(smoothed)
        scale = np.sqrt(0.5 * share_of_signal / share_of_signal.sum()) / max(narrowed * width, 1e-3)
        courses = smoothed[:, :-1] * scale.astype(np.float32)
        guide = on_grid(np.column_stack([courses, *anatomy]), mask)
        near, far, variances = _near_and_far(values, guide, mask, geometry, settings.bilateral_sigma_mm, part)
        smoothed = np.ascontiguousarray(far[:, mask].T)
    of_near, variance = (np.maximum(one[mask], np.float32(1e-9)) for one in variances)
    resolution_mm = averaged_width_mm(1.0 / float(np.median(variance)), geometry)
    across, mixing = _unlike(near[:, mask] - far[:, mask], of_near - variance, smoothed, curves.mask, geometry)
    variance *= np.float32(robust_sd(smoothed[:, -1] / np.sqrt(variance)) ** 2)
    coefficients = np.ascontiguousarray(smoothed[:, :-1])
    sd = np.sqrt(variance + across)
    return replace(curves, coefficients=coefficients, sd=sd, mixing=mixing, resolution_mm=resolution_mm)


def averaged_width_mm(voxels: float, geometry: Geometry) -> float:
    """Return the full width at half maximum in mm of the Gaussian that averages as many voxels, at least a pixel.

    It is as wide in every direction, but never thinner than a slice.

    Examples
    --------
    >>> thick, thin = Geometry((9, 9, 9), (1.0, 1.0, 50.0)), Geometry((9, 9, 9), (1.0, 1.0, 1.0))
    >>> round(averaged_width_mm(4 * np.pi * 3.0**2, thick), 2)  # of a Gaussian with an SD of 3 mm
    7.06
    >>> round(averaged_width_mm((4 * np.pi * 3.0**2) ** 1.5, thin), 2)
    7.06
    """
    *_, thickness_mm = geometry.spacing_mm
    volume_mm3 = voxels * float(np.prod(geometry.spacing_mm))
    sd_mm = np.sqrt(volume_mm3 / (4.0 * np.pi * thickness_mm))  # the squares of a Gaussian's weights sum to 1/(4πs²)
    if 2.0 * np.sqrt(np.pi) * sd_mm > thickness_mm:
        sd_mm = np.cbrt(volume_mm3) / (2.0 * np.sqrt(np.pi))
    return float(max(np.sqrt(8.0 * np.log(2.0)) * sd_mm, *geometry.spacing_mm[:2]))


def _plain_guide(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Float32Array:
    """Return the curves and the image of their noise (last) smoothed over all tissue, shape (voxel, component + 1)."""
    both = np.column_stack([curves.coefficients, curves.noise])
    return gaussian_in_mask(
        both, curves.mask, geometry.spacing_zyx_mm, GUIDE_SHARE * settings.bilateral_sigma_mm, progress=progress
    )


def _share_of_signal(smoothed: Float32Array) -> FloatArray:
    """Return how much of the variance of each component is not noise (that of the last column), 0..1."""
    variance = smoothed.var(axis=0, dtype=float)
    return np.asarray(np.maximum(1.0 - variance[-1] / np.maximum(variance[:-1], variance[-1] + 1e-9), LEAST_SIGNAL))


def _anatomy(curves: Curves, settings: Settings) -> list[Float32Array]:
    """Return the mean HU, scaled so that likeness is ``exp(−distance⁴)``, in a list; without them an empty one."""
    if curves.anatomy_hu is None:
        return []
    width = settings.bilateral_anatomy * robust_sd(curves.noise) / np.sqrt(curves.basis.shape[1])
    return [curves.anatomy_hu * np.float32(np.sqrt(0.5) / max(width, 1e-3))]


def _near_and_far(
    values: Float32Array,
    guide: Float32Array,
    mask: MaskArray,
    geometry: Geometry,
    sigma_mm: float,
    progress: Progress,
) -> tuple[Float32Array, Float32Array, tuple[Float32Array, Float32Array]]:
    """Return the means over close neighbours, the means of these over the whole kernel, and the variances of both."""
    strides = _strides(geometry, sigma_mm)
    near = _half_kernel(geometry, sigma_mm, [stride // 2 for stride in strides], [1, 1, 1])
    far = _half_kernel(geometry, sigma_mm, _reach(geometry, sigma_mm), strides)
    halves = len(near) / (len(near) + len(far))
    first, of_first = _averaged(values, mask.astype(np.float32), guide, mask, near, share(progress, 0.0, halves))
    second, of_second = _averaged(first, of_first, guide, mask, far, share(progress, halves, 1.0))
    return first, second, (of_first, of_second)


def _unlike(
    changes: Float32Array, lessened: Float32Array, smoothed: Float32Array, mask: MaskArray, geometry: Geometry
) -> tuple[Float32Array, Float32Array]:
    """Return by how much tissue differs from the neighbours it was averaged with, each of shape (voxel,).

    It is what the far neighbours changed beyond the noise, as the local mean of the change, for tissue differs over
    millimetres and noise does not: the variance across the curve, which changes its timing, and the SD along it as a
    share of its height. The noise of a change goes with the variance that the averaging took away, as much as that of
    the component without signal (the last row) does about there.
    """
    spacing = geometry.spacing_zyx_mm
    signal, silence = np.split(gaussian_in_mask(changes.T, mask, spacing, UNLIKE_MM), [-1], axis=1)
    power = gaussian_in_mask(np.column_stack([silence**2, lessened]), mask, spacing, NOISE_MM)
    noise = lessened * power[:, 0] / np.maximum(power[:, 1], np.float32(1e-9))
    height = np.maximum((smoothed[:, :-1] ** 2).sum(axis=1), np.float32(1e-9))
    along = np.einsum("vk,vk->v", signal, smoothed[:, :-1]) ** 2 / height
    across = ((signal**2).sum(axis=1) - along) / max(1, signal.shape[1] - 1)
    local = gaussian_in_mask(np.column_stack([across - noise, along - noise, height]), mask, spacing, UNLIKE_MM)
    across, along, height = np.maximum(local, np.float32(0.0)).T
    return across, np.sqrt(along / np.maximum(height, np.float32(1e-9)))


def _averaged(
    values: Float32Array,
    variance: Float32Array,
    guide: Float32Array,
    mask: MaskArray,
    offsets: list[Offset],
    progress: Progress,
) -> tuple[Float32Array, Float32Array]:
    """Return mean and variance over a voxel and its neighbours, weighted by nearness and by likeness of the guide."""
    total, weight, spread = values.copy(), mask.astype(np.float32), variance.copy()
    parts = [offsets[start : start + KERNEL_PART] for start in range(0, len(offsets), KERNEL_PART)]
    sums = in_parallel(lambda part: _neighbour_sums(values, variance, guide, mask, part), parts, progress=progress)
    for part_total, part_weight, part_spread in sums:
        total += part_total
        weight += part_weight
        spread += part_spread
    np.maximum(weight, np.float32(1.0), out=weight)
    total /= weight
    spread /= weight * weight
    return total, spread


def _neighbour_sums(
    values: Float32Array, variance: Float32Array, guide: Float32Array, mask: MaskArray, offsets: list[Offset]
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return weighted sum of values, sum of weights and variance of the first, over offsets and their opposites."""
    total, weight, spread = np.zeros_like(values), np.zeros_like(variance), np.zeros_like(variance)
    for offset, nearness in offsets:
        here, there = _overlap(mask.shape, offset)
        likeness = _squared_distance(guide[(slice(None), *here)], guide[(slice(None), *there)])
        likeness *= likeness  # flat within the noise, steep beyond
        np.subtract(np.float32(np.log(nearness)), likeness, out=likeness)
        np.exp(likeness, out=likeness)
        likeness *= mask[here]
        likeness *= mask[there]
        weight[here] += likeness
        weight[there] += likeness
        product = np.empty_like(likeness)
        for target, source in zip(total, values, strict=True):
            target[here] += np.multiply(likeness, source[there], out=product)
            target[there] += np.multiply(likeness, source[here], out=product)
        likeness *= likeness
        spread[here] += np.multiply(likeness, variance[there], out=product)
        spread[there] += np.multiply(likeness, variance[here], out=product)
    return total, weight, spread


METHODS: dict[DenoiseMethod, Callable[[Curves, Geometry, Settings, Progress], Curves]] = {
    "bilateral": _bilateral,
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


def _block_means(hu: npt.NDArray[Any], mask: MaskArray, geometry: Geometry, progress: Progress) -> FloatArray:
    """Return mean curves of blocks about their time means, times the root of the voxel count (equal noise)."""
    steps = [max(1, round(BLOCK_MM / spacing)) for spacing in geometry.spacing_zyx_mm]
    index = [axis // step for axis, step in zip(np.nonzero(mask), steps, strict=True)]
    counts = [length // step + 1 for length, step in zip(mask.shape, steps, strict=True)]
    block = np.ravel_multi_index(index, counts)
    voxels = np.bincount(block)
    sums = np.empty((voxels.size, len(hu)))
    for done, frame in enumerate(hu):
        sums[:, done] = np.bincount(block, weights=frame)
        progress((done + 1) / len(hu), "")
    sums, voxels = sums[voxels > 0], voxels[voxels > 0]
    return np.asarray((sums - sums.mean(axis=1, keepdims=True)) / np.sqrt(voxels)[:, None])


def _squared_distance(one: Float32Array, other: Float32Array) -> Float32Array:
    """Return the squared distance of two stacks of components, one by one to spare memory."""
    distance = np.zeros(one.shape[1:], dtype=np.float32)
    for first, second in zip(one, other, strict=True):
        difference = first - second
        difference *= difference
        distance += difference
    return distance


def _strides(geometry: Geometry, sigma_mm: float) -> list[int]:
    """Return the steps (z, y, x) of the far neighbours in voxels: odd, so that the close ones fill what is between."""
    return [1 + 2 * max(0, round(0.5 * (STRIDE_SHARE * sigma_mm / step - 1.0))) for step in geometry.spacing_zyx_mm]


def _reach(geometry: Geometry, sigma_mm: float) -> list[int]:
    """Return how many voxels (z, y, x) the kernel extends."""
    return [int(KERNEL_REACH * sigma_mm / spacing) for spacing in geometry.spacing_zyx_mm]


def _half_kernel(geometry: Geometry, sigma_mm: float, reach: list[int], strides: list[int]) -> list[Offset]:
    """Return one of each pair of opposite offsets (z, y, x) in reach, with its Gaussian weight."""
    counts = [length // stride for length, stride in zip(reach, strides, strict=True)]
    axes = [stride * np.arange(-count, count + 1) for stride, count in zip(strides, counts, strict=True)]
    offsets = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    radius = np.linalg.norm(offsets * geometry.spacing_zyx_mm, axis=1)
    second_half = np.arange(len(offsets)) > len(offsets) // 2
    chosen = second_half & (radius <= KERNEL_REACH * sigma_mm)
    nearness = np.exp(-0.5 * (radius[chosen] / sigma_mm) ** 2)
    return [
        ((int(z), int(y), int(x)), float(weight)) for (z, y, x), weight in zip(offsets[chosen], nearness, strict=True)
    ]


def _overlap(shape: tuple[int, ...], offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of a grid and of its copy shifted by an offset, where both exist."""
    here = tuple(slice(max(0, -step), length - max(0, step)) for length, step in zip(shape, offset, strict=True))
    there = tuple(slice(max(0, step), length - max(0, -step)) for length, step in zip(shape, offset, strict=True))
    return here, there
