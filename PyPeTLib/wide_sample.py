"""A sample of the brain's curves with less noise than those of the maps: averaged over more of what looks alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from PyPeTLib.bilateral import scale_of_anatomy, scale_of_courses, share_of_signal
from PyPeTLib.curves import robust_sd
from PyPeTLib.likeness import STRIDE_SHARE
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves
from PyPeTLib.smoothing import KERNEL_REACH, Float32Array

Places = npt.NDArray[np.intp]
#: Standard deviation of the kernel in mm; curves that differ by so many times the noise that is left are averaged, as
#: are voxels whose mean HU do by so many times theirs.
SIGMA_MM, SIMILARITY, ANATOMY = 10.0, 5.0, 4.0
#: Noise without noise, and the least share of it.
LEAST_HU = 1e-3


def wide_sample(curves: Curves, chosen: Places, *, progress: Progress = silent) -> tuple[Float32Array, float]:
    """Return the curves of some voxels averaged over neighbours that look alike, and the share of noise that is left.

    What is asked of all the brain together, such as the shape of the residue, needs no fine detail, and is told the
    worse the more noise single curves have. The neighbours, a stride apart, were smoothed themselves.

    Parameters
    ----------
    curves : Curves
        Smoothed.
    chosen : ndarray of int, shape (sample,)
        Places of voxels.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Returns
    -------
    coefficients : ndarray, shape (sample, component)
    share : float
        SD of their noise over that of the voxels themselves; 1 where neighbours or noise are not known.
    """
    own = curves.coefficients[chosen]
    if curves.spacing_zyx_mm is None or curves.left is None:
        return own, 1.0
    number = np.full(curves.mask.shape, -1, dtype=np.int32)
    number[curves.mask] = np.arange(len(curves.coefficients), dtype=np.int32)
    places = np.stack(np.unravel_index(np.flatnonzero(curves.mask)[chosen], curves.mask.shape), axis=1)
    likeness = _likeness(curves, chosen)
    total, noise, weight = own.copy(), curves.left[chosen], np.ones(chosen.size, dtype=np.float32)
    offsets = _offsets(curves.spacing_zyx_mm)
    for done, (offset, nearness) in enumerate(offsets, start=1):
        there = places + offset
        inside = np.all((there >= 0) & (there < curves.mask.shape), axis=1)
        other = number[tuple(np.where(inside[:, None], there, 0).T)]
        alike = likeness(other) * nearness * (inside & (other >= 0))
        total += alike[:, None] * curves.coefficients[other]
        noise = noise + alike * curves.left[other]
        weight += alike
        progress(done / len(offsets), "")
    left = robust_sd(noise / weight) / max(robust_sd(curves.left[chosen]), LEAST_HU)
    return total / weight[:, None], float(np.clip(left, LEAST_HU, 1.0))


def _likeness(curves: Curves, chosen: Places) -> Callable[[Places], Float32Array]:
    """Return a function of places of other voxels, one for each that is chosen: how alike they are, 0 to 1."""
    assert curves.left is not None
    own = curves.coefficients[chosen]
    signal = share_of_signal(np.append(own.var(axis=0, dtype=float), curves.left[chosen].var(dtype=float)))
    scale = scale_of_courses(signal, SIMILARITY * robust_sd(curves.left[chosen]))
    scale_native = 0.0 if curves.anatomy_hu is None else scale_of_anatomy(curves, ANATOMY)

    def likeness(other: Places) -> Float32Array:
        apart = (((curves.coefficients[other] - own) * scale) ** 2).sum(axis=1)
        if curves.anatomy_hu is not None:
            native = curves.anatomy_hu[other] - curves.anatomy_hu[chosen]
            apart += (native * scale_native) ** 2
        return np.asarray(np.exp(-(apart**2)))

    return likeness


def _offsets(spacing_zyx_mm: tuple[float, float, float]) -> list[tuple[Places, np.float32]]:
    """Return the offsets (z, y, x) of neighbours in voxels with their Gaussian weight, without the voxel itself.

    Examples
    --------
    >>> found = _offsets((8.0, 2.0, 2.0))
    >>> len(found), found[0][0].tolist(), round(float(found[0][1]), 2)
    (122, [-3, 0, 0], 0.06)
    """
    steps = [max(1, round(STRIDE_SHARE * SIGMA_MM / spacing)) for spacing in spacing_zyx_mm]
    reach = [int(KERNEL_REACH * SIGMA_MM / (step * mm)) for step, mm in zip(steps, spacing_zyx_mm, strict=True)]
    axes = [step * np.arange(-count, count + 1) for step, count in zip(steps, reach, strict=True)]
    offsets = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    radius = np.linalg.norm(offsets * spacing_zyx_mm, axis=1)
    kept = (radius > 0.0) & (radius <= KERNEL_REACH * SIGMA_MM)
    nearness = np.exp(-0.5 * (radius[kept] / SIGMA_MM) ** 2).astype(np.float32)
    return list(zip(offsets[kept], nearness, strict=True))
