"""What is left in curves of a head that moved: contents of the next slice, told from contrast by their course."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import robust_sd
from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.records import Curves

Float32Array = npt.NDArray[np.float32]


def without_mixtures(curves: Curves, blurs: Iterable[Float32Array], *, slice_axis: int) -> Curves:
    """Return smoothed curves less what moved frames most likely show of the slices below and above.

    A slice at a place between two that were acquired can only be interpolated. The contents of neighbouring slices
    being independent, the best linear estimate is the linear one, and its error has the variance ``2·f·(1 − f)·v``, f
    being the place between the two slices and v the variance of their contents. Size and course of that error are
    known: v is half the squared difference to the slices below and above; what differs in HU without contrast makes a
    step where the head moves, a vessel in the next slice adds some of its own bolus. With noise of known size and the
    covariance of all the brain's curves, the error has a posterior mean (normal distributions), which is taken off;
    its variance is added to that of ``sd``. Where neighbours are alike nothing changes; beside a vessel the frames in
    which the head lies between its slices hardly count.

    Parameters
    ----------
    curves : Curves
        Smoothed, with ``sd`` and ``anatomy_hu``. Where no frame was projected (`basis` is square) nothing is known of
        the brain's courses, and they are returned as they are.
    blurs : iterable of ndarray, shape (voxel,)
        f·(1 − f) of every frame (`motion.between_slices`).
    slice_axis : int
        Axis (0 is z) of the curves' mask across the slices.

    References
    ----------
    Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, appendix A.2 (conditioning).
    """
    if len(curves.basis) == curves.basis.shape[1]:
        return curves
    assert curves.sd is not None, "the noise is known after smoothing"
    mean = curves.coefficients.mean(axis=0, dtype=float)
    power, axes = np.linalg.eigh(np.cov(curves.coefficients.T.astype(float)))
    precision = 1.0 / (curves.sd.astype(float)[:, None] ** 2 + np.maximum(power, 0.0))
    modes = np.stack([mode @ axes for mode in _modes(curves, blurs, slice_axis)], axis=1)
    error, variance = _posterior(modes, (curves.coefficients - mean) @ axes, precision)
    coefficients = (curves.coefficients - error @ axes.T).astype(np.float32)
    sd = np.sqrt(curves.sd**2 + variance / len(axes)).astype(np.float32)
    return replace(curves, coefficients=coefficients, sd=sd)


def _modes(curves: Curves, blurs: Iterable[Float32Array], slice_axis: int) -> list[FloatArray]:
    """Return one SD of the error in the components: without contrast, and of the slices below and above.

    Each has the shape (voxel, component); the contents of neighbouring slices differ by what noise does not explain.
    """
    assert curves.sd is not None
    count, frames = curves.basis.shape
    signal = curves.basis - curves.basis.mean(axis=1, keepdims=True)
    noise_hu2 = 2.0 * robust_sd(curves.noise) ** 2 / frames
    parts = (curves.native_hu[:, None], noise_hu2), (curves.coefficients, 2.0 * count * curves.sd**2)
    native, bolus = (_differences(rows, variance, curves.mask, slice_axis) for rows, variance in parts)
    step_hu = np.hypot(*native)[:, 0]
    modes: list[FloatArray] = [np.zeros((len(step_hu), count)) for _ in range(1 + len(bolus))]
    for of_component, of_curve, blur in zip(signal.T, curves.basis.T, blurs, strict=True):
        if blur.any():
            share = np.sqrt(blur)
            for mode, height in zip(modes, (step_hu, *(one @ of_curve for one in bolus)), strict=True):
                mode += np.multiply.outer(share * height, of_component)
    return modes


def _differences(
    rows: npt.NDArray[np.floating], variance: FloatArray | float, mask: MaskArray, slice_axis: int
) -> list[FloatArray]:
    """Return what the voxels below and above in the mask have more, over the root of how many of the two there are.

    What noise of given total variance makes a difference of two voxels is no part of it.
    """
    number = np.full(mask.shape, -1, dtype=np.int32)
    number[mask] = np.arange(len(rows))
    wide = np.pad(number, [(int(axis == slice_axis),) * 2 for axis in range(3)], constant_values=-1)
    slices = np.arange(mask.shape[slice_axis])
    below, above = (wide.take(slices + step, axis=slice_axis)[mask] for step in (0, 2))
    scale = np.sqrt(np.maximum((below >= 0).astype(int) + (above >= 0), 1))[:, None]
    own = rows.astype(float)
    more = (np.where(beside[:, None] >= 0, own[beside] - own, 0.0) for beside in (below, above))
    return [_beyond(one, variance) / scale for one in more]


def _beyond(rows: FloatArray, variance: FloatArray | float) -> FloatArray:
    """Return differences lessened so that their squares are those beyond the noise's, of given total variance."""
    squares = (rows**2).sum(axis=1)
    kept = np.sqrt(np.maximum(1.0 - variance / np.maximum(squares, 1e-9), 0.0))
    return np.asarray(rows * kept[:, None])


def _posterior(modes: FloatArray, rows: FloatArray, precision: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the posterior mean of an error of given modes, shape (voxel, component), and its total variance.

    Everything is along the principal axes of the curves, whose precision (of signal and noise) is diagonal there.

    Parameters
    ----------
    modes : ndarray, shape (voxel, mode, component)
    rows, precision : ndarray, shape (voxel, component)
    """
    weighted = modes * precision[:, None, :]
    known = np.eye(modes.shape[1]) + weighted @ modes.transpose(0, 2, 1)
    sizes = np.linalg.solve(known, weighted @ rows[:, :, None])
    variance = np.trace(np.linalg.solve(known, modes @ modes.transpose(0, 2, 1)), axis1=1, axis2=2)
    return (sizes * modes).sum(axis=1), variance
