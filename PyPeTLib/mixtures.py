"""What is left in curves of a head that moved: contents of the next slice, told from contrast by their course."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import robust_sd
from PyPeTLib.records import Curves, FloatArray, MaskArray

Float32Array = npt.NDArray[np.float32]


def without_mixtures(curves: Curves, blurs: Iterable[Float32Array]) -> Curves:
    """Return smoothed curves less what moved frames most likely show of the slices below and above.

    A slice at a place between two that were acquired can only be interpolated. The contents of neighbouring slices
    being independent, the best linear estimate is the linear one, and its error has the variance ``2·f·(1 − f)·v``, f
    being the place between the two slices and v the variance of their contents: what differs in HU without contrast
    makes a step where the head moves, a vessel in the next slice adds some of its bolus. Both have a known course over
    time, and a size that the slices themselves tell: v is half the squared difference to the slices below and above.
    With noise of known size and the covariance of all the brain's curves, that error has a posterior mean (normal
    distributions), which is taken off; its standard deviation is added to ``sd``. Where neighbours are alike nothing
    changes; beside a vessel the frames in which the head lies between its slices hardly count.

    Parameters
    ----------
    curves : Curves
        Smoothed, with ``sd`` and ``anatomy_hu``. Where no frame was projected (`basis` is square) nothing is known of
        the brain's courses, and they are returned as they are.
    blurs : iterable of ndarray, shape (voxel,)
        f·(1 − f) of every frame (`motion.between_slices`).

    References
    ----------
    Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, chapter 2 (Gaussian conditioning).
    """
    if len(curves.basis) == curves.basis.shape[1]:
        return curves
    assert curves.sd is not None, "the noise is known after smoothing"
    signal = curves.basis - curves.basis.mean(axis=1, keepdims=True)
    course = _mean_course(curves)
    varied = _slice_variances(curves, signal @ course)
    modes = [np.sqrt(size)[:, None] * mode for size, mode in zip(varied, _modes(signal, course, blurs), strict=True)]
    mean = curves.coefficients.mean(axis=0, dtype=float)
    power, axes = np.linalg.eigh(np.cov(curves.coefficients.T.astype(float)))
    precision = 1.0 / (curves.sd.astype(float)[:, None] ** 2 + np.maximum(power, 0.0))
    error, variance = _posterior([mode @ axes for mode in modes], (curves.coefficients - mean) @ axes, precision)
    coefficients = (curves.coefficients - error @ axes.T).astype(np.float32)
    sd = np.sqrt(curves.sd**2 + variance / len(signal)).astype(np.float32)
    return replace(curves, coefficients=coefficients, sd=sd)


def _mean_course(curves: Curves) -> FloatArray:
    """Return the mean curve of the brain, its largest value 1, shape (t,)."""
    mean = curves.coefficients.mean(axis=0, dtype=float) @ curves.basis
    return np.asarray(mean / max(float(np.abs(mean).max()), 1e-6))


def _slice_variances(curves: Curves, along: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the variances across slices, beyond the noise, of HU without contrast and of the bolus' height (HU²)."""
    assert curves.sd is not None
    power = max(float(along @ along), 1e-6)
    height = np.asarray(curves.coefficients @ along / power)
    plain = _variance(curves.native_hu, curves.mask) - robust_sd(curves.noise) ** 2 / curves.basis.shape[1]
    return np.maximum(plain, 0.0), np.maximum(_variance(height, curves.mask) - curves.sd**2 / power, 0.0)


def _variance(values: FloatArray, mask: MaskArray) -> FloatArray:
    """Return half the mean squared difference to the voxels below and above that are in the mask, 0 without."""
    image = np.zeros(mask.shape)
    image[mask] = values
    both = mask[1:] & mask[:-1]
    squares = np.where(both, 0.5 * np.diff(image, axis=0) ** 2, 0.0)
    total, count = np.zeros(mask.shape), np.zeros(mask.shape)
    for part in (np.s_[1:], np.s_[:-1]):
        total[part] += squares
        count[part] += both
    return np.asarray(total[mask] / np.maximum(count[mask], 1.0))


def _modes(signal: Float32Array, course: FloatArray, blurs: Iterable[Float32Array]) -> list[FloatArray]:
    """Return what an error of 1 HU between the slices leaves in the components: without contrast, and of the bolus."""
    step, bolus = (np.float32(0.0), np.float32(0.0))
    for of_component, height, blur in zip(signal.T, course, blurs, strict=True):
        if blur.any():
            error = np.multiply.outer(np.sqrt(2.0 * blur), of_component)
            step, bolus = step + error, bolus + np.float32(height) * error
    return [np.asarray(step, dtype=float), np.asarray(bolus, dtype=float)]


def _posterior(modes: list[FloatArray], rows: FloatArray, precision: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the posterior mean of an error along two modes, shape (voxel, component), and its total variance.

    Everything is along the principal axes of the curves, whose precision (of signal and noise) is diagonal there.
    """
    first, second = modes
    a, b, c = (
        np.einsum("vk,vk,vk->v", one, other, precision)
        for one, other in ((first, first), (first, second), (second, second))
    )
    toward = [np.einsum("vk,vk,vk->v", mode, rows, precision) for mode in modes]
    determinant = (1.0 + a) * (1.0 + c) - b * b
    inverse = np.array([[1.0 + c, -b], [-b, 1.0 + a]]) / determinant
    sizes = np.einsum("ijv,jv->iv", inverse, np.stack(toward))
    squares = [[np.einsum("vk,vk->v", one, other) for other in modes] for one in modes]
    variance = np.einsum("ijv,ijv->v", inverse, np.array(squares))
    return sizes[0][:, None] * first + sizes[1][:, None] * second, variance
