"""Contrast agent that leaves the vessels, as in tumours: found, told and taken off the curves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_chunks, share
from PyPeTLib.curves import between_frames
from PyPeTLib.dictionary import (
    MTTS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    components_without_mean,
    misfit,
    product,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.orientation import displayed_spacing_mm, radiological
from PyPeTLib.records import Curves, FloatArray, Geometry, Image, MaskArray, Progress, silent
from PyPeTLib.settings import Settings

#: Delays in s, about the usual one, of tissue beside which leakage is sought; every second of them and of `MTTS_S` is
#: enough to see that a voxel needs no closer look.
NEAR_S = np.arange(-4.0, 12.1, 0.5)
#: Agent leaves the vessels where that is so much more probable, in the logarithm (ten thousand times), and around that
#: where it is still ten times as probable.
CERTAIN, AROUND = float(np.log(1e4)), float(np.log(1e1))
#: So much certain tissue, in mL, in parts wider than twice this radius in mm: vessels differ from any model of tissue.
LEAST_ML, THIN_RADIUS_MM = 1.0, 4.0
#: Where more than this share of a brain seems to leak it is the arterial input, or the residue, that does not fit.
MOST_SHARE = 0.25
#: Step of the running integral of the arterial input in s.
STEP_S = 0.1


def without_leak(
    curves: Curves,
    aif_hu: FloatArray,
    times_s: FloatArray,
    geometry: Geometry,
    *,
    settings: Settings,
    progress: Progress = silent,
) -> tuple[Curves, Image]:
    """Return smoothed curves less what has left the vessels, and where that is certain, bool.

    Where the barrier between blood and brain is open, agent stays behind: the curve is that of tissue plus the running
    integral of the arterial input, in proportion to the leakage (Patlak 1983). Taken for blood that has not left yet,
    it makes volumes and transit times several times too large. So every curve is fitted twice, by the best tissue alone
    and with such an integral beside it, of the same delay. The residue is an exponential, the one with the longest
    tail, so that a slow outflow passes for leakage least. What has leaked is taken off where the second fit is ten
    thousand times as probable in parts of 1 mL or more, wider than vessels, and around these; its uncertainty is added
    to ``sd``. Where a quarter of the brain or more seems to leak nothing is taken off: then the input does not fit.

    Parameters
    ----------
    curves : Curves
        Smoothed, with ``sd``. Where no frame was projected (`basis` is square) nothing is sought.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    geometry : Geometry
        Grid of ``curves.mask``.
    settings : Settings
        Handed to the dictionary of tissue.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Patlak 1983, doi:10.1038/jcbfm.1983.1
    """
    nowhere = Image(np.zeros(geometry.shape, dtype=bool), geometry)
    if curves.sd is None or len(curves.basis) == curves.basis.shape[1]:
        return curves, nowhere
    gain, height, sd, leaked = _fits(curves, aif_hu, times_s, settings, progress)
    grid = np.zeros(geometry.shape)
    grid[curves.mask] = gain
    leaking = _parts(grid, geometry)
    if leaking.sum() > MOST_SHARE * curves.mask.sum():
        return curves, nowhere
    chosen = leaking[curves.mask]
    taken = np.where(chosen, height, 0.0)[:, None] * leaked
    spread = np.where(chosen, sd, 0.0) ** 2 * (leaked**2).sum(axis=1) / leaked.shape[1]
    coefficients = (curves.coefficients - taken).astype(np.float32)
    of_curves = np.sqrt(curves.sd**2 + spread).astype(np.float32)
    return replace(curves, coefficients=coefficients, sd=of_curves), Image(leaking, geometry)


def _fits(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, settings: Settings, progress: Progress
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return of each voxel how much more probable leakage is, in the logarithm, its rate in 1/s and the SD of that.

    And what has leaked at a rate of 1/s, in the coefficients of the curves, shape (voxel, component).
    """
    assert curves.sd is not None, "the noise is known after smoothing"
    rotation, _ = components_without_mean(curves.basis)
    sample, free = sample_of(curves)
    usual_s, rows = usual_delay_s(sample, aif_hu, times_s, free), curves.coefficients @ rotation
    shape, noise = SHAPES["exponential"], curves.sd
    found, around, told = np.zeros((len(rows), 4)), np.arange(len(rows)), share(progress, 0.0, 0.5)
    for step in (2, 1):
        delays_s, mtts_s = usual_s + NEAR_S[::step], MTTS_S[::step]
        tissue = tissue_dictionary(
            aif_hu, times_s, free, mtts_s=mtts_s, delays_s=delays_s, shape=shape, settings=settings
        )
        leaks = _leaked(aif_hu, times_s, delays_s)
        if step == 1:
            noise = curves.sd * np.float32(misfit(sample, tissue))
        block = partial(_block, rows=rows, noise=noise, tissue=tissue, leaks=leaks @ free.T)
        found[:, 0] = 0.0
        if around.size:
            found[around] = in_chunks(block, around, progress=told)
        around, told = np.flatnonzero(found[:, 0] > AROUND), share(progress, 0.5, 1.0)
    gain, height, sd, delay = found.T
    signal = curves.basis - curves.basis.mean(axis=1, keepdims=True)
    return gain, height * noise, sd * noise, (leaks @ signal.T)[delay.astype(np.intp)]


def _block(
    voxels: npt.NDArray[np.intp], *, rows: Float32Array, noise: Float32Array, tissue: Dictionary, leaks: FloatArray
) -> FloatArray:
    """Return what `_compared` does, of some voxels."""
    return _compared(rows[voxels] / noise[voxels, None], tissue, leaks)


def _leaked(aif_hu: FloatArray, times_s: FloatArray, delays_s: FloatArray) -> FloatArray:
    """Return the running integral of the arterial input after each delay, in HU·s, shape (delay, t)."""
    fine = np.arange(times_s[0], times_s[-1] + STEP_S, STEP_S)
    area = STEP_S * np.cumsum(between_frames(aif_hu, times_s)(np.minimum(fine, times_s[-1])))
    return np.stack([np.interp(times_s - delay_s, fine, area, left=0.0) for delay_s in delays_s])


def _compared(scaled: Float32Array, tissue: Dictionary, leaks: FloatArray) -> FloatArray:
    """Return gain in log-likelihood, height of the leak and its SD in units of the noise, and the place of its delay.

    Of two directions that are fitted together, each adds what of it is not along the other.
    """
    _, mtts, delays = tissue.grids[0].shape
    height = product(scaled, tissue.directions).reshape(-1, mtts, delays)
    along = np.einsum("dk,kmd->md", leaks, tissue.directions.reshape(-1, mtts, delays)).astype(np.float32)
    across = np.maximum(np.sum(leaks**2, axis=1) - along**2, 1e-6 * np.sum(leaks**2, axis=1)).astype(np.float32)
    leak = (product(scaled, leaks.T.astype(np.float32))[:, None] - height * along) / across
    alone = np.maximum(height, np.float32(0.0)) ** 2
    possible = (leak > 0.0) & (height - leak * along > 0.0)
    both = np.where(possible, height**2 + leak**2 * across, alone).reshape(len(scaled), -1)
    best, every = both.argmax(axis=1), np.arange(len(scaled))
    gain = 0.5 * (both[every, best] - alone.reshape(len(scaled), -1).max(axis=1))
    size = np.where(possible, leak, np.float32(0.0)).reshape(len(scaled), -1)[every, best]
    return np.stack([gain, size, across.ravel()[best] ** -0.5, best % delays], axis=1).astype(float)


def _parts(gain: FloatArray, geometry: Geometry) -> MaskArray:
    """Return the connected parts that hold enough certain leakage, wider than vessels, touching at corners."""
    from scipy import ndimage

    certain = np.zeros(gain.shape, dtype=bool)
    certain[:] = gain > CERTAIN
    pixel_mm = displayed_spacing_mm(geometry)[1:]
    for frame in radiological(certain, geometry):  # a view of one slice
        deep = ndimage.distance_transform_edt(np.pad(frame, 1), sampling=pixel_mm)[1:-1, 1:-1] > THIN_RADIUS_MM
        frame &= deep.any() & (ndimage.distance_transform_edt(~deep, sampling=pixel_mm) <= THIN_RADIUS_MM)
    labels, count = ndimage.label(gain > AROUND, np.ones((3, 3, 3)))
    large = np.bincount(labels[certain], minlength=count + 1) * geometry.voxel_volume_ml >= LEAST_ML
    large[0] = False
    return np.asarray(large[labels])
