"""Smoothing that keeps edges: neighbours are averaged as far as their time courses and their anatomy agree."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib.chunks import share
from PyPeTLib.curves import robust_sd
from PyPeTLib.geometry import FloatArray, Geometry, MaskArray
from PyPeTLib.likeness import Neighbours, neighbours
from PyPeTLib.progress import Progress
from PyPeTLib.records import Curves
from PyPeTLib.smoothing import Float32Array, averaged_width_mm, bounding_box, gaussian_in_mask, on_grid

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: The first guide is smoothed by this share of the kernel, ...
GUIDE_SHARE = 0.45
#: ... no curve counting as higher than so many times the median one, as a vessel would outshine what is around, ...
BRIGHTEST = 2.0
#: The first guide tells curves apart that differ by ``bilateral_similarity`` times its noise, the second those that
#: differ by this share of as many times its own, ...
NARROWED = 0.65
#: ... and, where hardly any noise is left of it, by no less than this share of the first width: tissue varies, too.
NARROWEST = 0.45
#: Curves are not compared in components of which less than this share is signal, ...
COMPARED_SIGNAL = 0.2
#: ... and in the others as if it were no less than this.
LEAST_SIGNAL = 0.05
#: Shares of the time at which the guide, each of the two averages and the return of blood end.
TIMES = (0.0, 0.06, 0.42, 0.78, 1.0)
#: Differences within what is averaged are sought over this distance, in mm, ...
UNLIKE_MM = 3.0
#: ... and the scan's noise varies over no less than this.
NOISE_MM = 12.0
#: Noise is compared with what is expected of it in so many classes of voxels, each of so many at least.
NOISE_CLASSES, LEAST_CLASS = 16, 500
#: ... among about so many.
NOISE_SAMPLE = 50_000
#: Blood that averaging took is given back by this factor: it is measured by averaging once more and is averaged twice
#: itself, so of what an average that keeps seven tenths has taken one returns a third, and this all.
RETURNED = 3.25
#: It is measured in so many components, those with most signal.
RETURNED_COMPONENTS = 3
#: A curve without noise that is lower than this, in HU, is none.
LEAST_HU = np.float32(1e-3)
#: By no more than this share is a curve made higher or lower, which is uncertain by this share of that.
MOST_RETURNED, UNCERTAIN = 0.5, 0.6


def bilateral(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Curves:
    """Average neighbours whose time courses and mean HU agree within the noise: edges stay.

    Tomasi 1998, doi:10.1109/ICCV.1998.710815, with the time course as the guide (Mendrik 2011,
    doi:10.1088/0031-9155/56/13/008), and the anatomy: gray matter, white matter and CSF differ by many times the noise
    of a mean over all frames, so a cortex two pixels wide keeps its blood to itself. It is done twice: first with
    curves smoothed over all tissue as the guide, then with the first result, which no longer mixes the two sides of a
    lesion's edge. Components count in a guide as far as they are not noise, and a guide tells curves apart by the noise
    that is left of it; both are measured, so the widths fit any scanner and kernel: noise of filtered backprojection
    averages out faster than noise that is as strong and smooth.
    What the average still took from tissue of much blood, or brought to tissue of little, is given back
    (`_back`): curves become higher or lower and keep their timing.
    The noise that is left follows from the squares of the weights and, as noise of neighbours is alike, from one
    component without signal that is smoothed along; the error also counts how much neighbours differ.
    """
    parts = [share(progress, *ends) for ends in itertools.pairwise(TIMES)]
    alike, near, far, variances = _averaged(curves, geometry, settings, parts)
    mask = alike.mask
    smoothed = np.ascontiguousarray(far[:, mask].T)
    of_near, variance = (np.maximum(one[mask], np.float32(1e-9)) for one in variances)
    across, mixing = _unlike(near[:, mask] - far[:, mask], of_near - variance, smoothed, curves.mask, geometry)
    sd = _noise_sd(variance, smoothed[:, -1])
    change, uncertain = _given_back(curves, smoothed, variance, sd, alike, parts[3])
    return replace(
        curves,
        coefficients=smoothed[:, :-1] * (1.0 + change[:, None]),
        left=smoothed[:, -1],
        sd=np.sqrt(sd**2 + across),
        mixing=np.hypot(mixing, uncertain),
        resolution_mm=averaged_width_mm(1.0 / float(np.median(variance)), geometry),
    )


def _averaged(
    curves: Curves, geometry: Geometry, settings: Settings, parts: list[Progress]
) -> tuple[Neighbours, Float32Array, Float32Array, tuple[Float32Array, Float32Array]]:
    """Return the neighbours that the second guide tells, and what their `both` makes of curves and noise (last)."""
    mask = curves.mask[bounding_box(curves.mask)]
    values = on_grid(np.column_stack([curves.coefficients, curves.noise]), mask)
    native = _anatomy(curves, settings)
    smoothed = _plain_guide(curves, geometry, settings, parts[0])
    width = 0.0
    for share_of_noise, last, part in zip((1.0, NARROWED), (False, True), parts[1:3], strict=True):
        of_noise = share_of_noise * settings.bilateral_similarity * robust_sd(smoothed[:, -1])
        width = max(of_noise, NARROWEST * width)
        signal = share_of_signal(smoothed.var(axis=0, dtype=float))
        compared = np.flatnonzero(signal >= min(COMPARED_SIGNAL, signal.max()))
        courses = smoothed[:, compared] * scale_of_courses(signal[compared], width)
        guide = on_grid(np.column_stack([courses, *native]), mask)
        alike = neighbours(guide, mask, geometry, settings.bilateral_sigma_mm)
        near, far, variances = alike.both(values, variances=last, progress=part)
        smoothed = far[:, mask].T
    return alike, near, far, variances


def _given_back(
    curves: Curves,
    smoothed: Float32Array,
    variance: Float32Array,
    sd: Float32Array,
    alike: Neighbours,
    progress: Progress,
) -> tuple[Float32Array, Float32Array]:
    """Return by which share each voxel's curve becomes higher, and the SD of that share beyond the curve's noise.

    Parameters
    ----------
    curves : Curves
        Before smoothing.
    smoothed : ndarray, shape (voxel, component + 1)
        Averages of the curves and, last, of the image of their noise.
    variance : ndarray, shape (voxel,)
        Sums of the squares of their weights.
    sd : ndarray, shape (voxel,)
        SD of their noise.
    alike : Neighbours
        Who was averaged.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.
    """
    noise = smoothed[:, -1]
    signal = share_of_signal(np.mean(smoothed**2, axis=0, dtype=float)).astype(np.float32)
    strong = np.argsort(-signal)[:RETURNED_COMPONENTS]
    back = _back(np.column_stack([smoothed[:, strong], noise]), alike, progress)
    height = _height(smoothed[:, strong], (signal * curves.basis.mean(axis=1))[strong], sd)
    change = np.clip((height * back[:, :-1]).sum(axis=1), -MOST_RETURNED, MOST_RETURNED)
    added = np.maximum(_noise_sd(variance, noise + back[:, -1]) ** 2 - sd**2, np.float32(0.0))
    return change, np.sqrt((UNCERTAIN * change) ** 2 + added * (height**2).sum(axis=1))


def _noise_sd(variance: Float32Array, noise: Float32Array) -> Float32Array:
    """Return the SD of the noise of averages, shape (voxel,).

    Noise of neighbours is alike, so an average over many leaves more than its weights say, and one over a voxel alone
    does not. By how much is measured, as it depends on the scanner's kernel: in classes of voxels that were averaged
    alike, by their image of the noise, and between these on the logarithm of the variance.

    Parameters
    ----------
    variance : ndarray, shape (voxel,)
        Sums of the squares of the weights.
    noise : ndarray, shape (voxel,)
        A component without signal, averaged alike.
    """
    expected = np.sqrt(variance)
    some = slice(None, None, max(1, noise.size // NOISE_SAMPLE))
    seen, ratio = expected[some], noise[some] / expected[some]
    parts = np.array_split(np.argsort(seen, kind="stable"), int(np.clip(seen.size // LEAST_CLASS, 1, NOISE_CLASSES)))
    measured = [robust_sd(ratio[part]) for part in parts]
    middles = [float(np.log(np.median(seen[part]))) for part in parts]
    return np.asarray(expected * np.interp(np.log(expected), middles, measured), dtype=np.float32)


def _back(smoothed: Float32Array, alike: Neighbours, progress: Progress) -> Float32Array:
    """Return what averaging took from each voxel, shape (voxel, component).

    What averaging once more takes tells what it took before (twicing, Tukey 1977). Given back as it is it would
    bring noise back as well; so it is averaged itself first, twice: what whole regions lost returns, noise hardly.
    """
    first, second, third = (share(progress, *ends) for ends in itertools.pairwise((0.0, 1 / 3, 2 / 3, 1.0)))
    images = on_grid(smoothed, alike.mask)
    lost = images - alike.wide(images, progress=first)
    back = alike.wide(alike.wide(lost, progress=second), progress=third)
    return np.asarray(np.float32(RETURNED) * back[:, alike.mask].T)


def _height(rows: Float32Array, blood: Float32Array, sd: Float32Array) -> Float32Array:
    """Return what to multiply rows by for their share of a voxel's height, shape (voxel, component).

    Halfway between two measures: blood, whenever it comes, but the tail of a curve is noise; and how much there is of
    the voxel's own curve, which has the least noise, but misses blood that comes at another time.

    Parameters
    ----------
    rows : ndarray, shape (voxel, component)
    blood : ndarray, shape (component,)
        What takes rows to blood.
    sd : ndarray, shape (voxel,)
        SD of the noise: nothing counts as less.
    """
    of_blood = blood / np.maximum(rows @ blood, np.linalg.norm(blood) * sd + LEAST_HU)[:, None]
    of_curve = rows / np.maximum((rows**2).sum(axis=1), sd**2 + LEAST_HU**2)[:, None]
    return np.asarray(np.float32(0.5) * (of_blood + of_curve))


def _plain_guide(curves: Curves, geometry: Geometry, settings: Settings, progress: Progress) -> Float32Array:
    """Return the curves and the image of their noise (last) smoothed over all tissue, shape (voxel, component + 1).

    The bolus of an artery is a hundred times that of ischaemic tissue. Smoothed, it would make all that is around look
    alike, and that would be averaged; so curves higher than most count as less (Huber 1964,
    doi:10.1214/aoms/1177703732).
    """
    height = np.sqrt(np.einsum("vk,vk->v", curves.coefficients, curves.coefficients))
    most = np.float32(BRIGHTEST * np.median(height))
    kept = np.divide(most, height, out=np.ones_like(height), where=height > most)  # both may be 0
    both = np.column_stack([curves.coefficients * kept[:, None], curves.noise])
    return gaussian_in_mask(
        both, curves.mask, geometry.spacing_zyx_mm, GUIDE_SHARE * settings.bilateral_sigma_mm, progress=progress
    )


def share_of_signal(power: FloatArray) -> FloatArray:
    """Return how much of the power of each component is not noise (that of the last one), `LEAST_SIGNAL` to 1."""
    *of_rows, of_noise = power
    return np.asarray(np.maximum(1.0 - of_noise / np.maximum(of_rows, of_noise + 1e-9), LEAST_SIGNAL))


def _anatomy(curves: Curves, settings: Settings) -> list[Float32Array]:
    """Return the mean HU, scaled so that likeness is ``exp(−distance⁴)``, in a list; without them an empty one."""
    if curves.anatomy_hu is None:
        return []
    return [curves.anatomy_hu * scale_of_anatomy(curves, settings.bilateral_anatomy)]


def scale_of_anatomy(curves: Curves, similarity: float) -> np.float32:
    """Return by what to multiply mean HU, so that voxels are alike by ``exp(−distance⁴)``."""
    width = similarity * robust_sd(curves.noise) / np.sqrt(curves.basis.shape[1])
    return np.float32(np.sqrt(0.5) / max(width, 1e-3))


def scale_of_courses(signal: FloatArray, width: float) -> Float32Array:
    """Return the same for components of which a share is signal, and differences of so many HU."""
    return np.asarray(np.sqrt(0.5 * signal / signal.sum()) / max(width, 1e-3), dtype=np.float32)


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
