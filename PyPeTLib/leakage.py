"""Contrast agent that leaves the vessels, as in tumours: found, told and taken off the curves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_chunks, product, share
from PyPeTLib.curves import between_frames
from PyPeTLib.dictionary import (
    MTTS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    by_rows,
    components_without_mean,
    misfit,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.morphology import large_parts, opened
from PyPeTLib.orientation import displayed_spacing_mm, radiological
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves
from PyPeTLib.settings import Settings
from PyPeTLib.smoothing import bounding_box

#: Delays in s, about the usual one, of tissue beside which leakage is sought.
NEAR_S = np.arange(-4.0, 12.1, 0.5)
#: Where to look closely is told by one voxel in about so many mm, by every second of these delays and of `MTTS_S`.
STEP_MM = 3.5
#: Agent leaves the vessels where that is so much more probable, in the logarithm (ten thousand times), and around that
#: where it is still ten times as probable.
CERTAIN, AROUND = float(np.log(1e4)), float(np.log(1e1))
#: What leaks is no less than this share of the curve: of tissue that is known better the input is not known so well.
LEAST_SHARE = 0.05
#: So much certain tissue, in mL, in parts wider than twice this radius in mm: vessels differ from any model of tissue.
LEAST_ML, THIN_RADIUS_MM = 1.0, 4.0
#: Where more than this share of a brain seems to leak it is the arterial input, or the residue, that does not fit.
MOST_SHARE = 0.25
#: Step of the running integral of the arterial input in s.
INTEGRAL_STEP_S = 0.1

Index = npt.NDArray[np.intp]


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
    thousand times as probable and has left a twentieth of the curve, in parts of 1 mL or more, wider than vessels, and
    around these; its uncertainty is added to ``sd``. Where a quarter of the brain or more seems to leak nothing is
    taken off: then the input does not fit.

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
    search = _Search(curves, aif_hu, times_s, settings)
    some, places = _some(curves.mask, geometry)
    if not some.size:  # a mask so thin that none of it lies on the coarse grid has no part that counts
        return curves, nowhere
    gain = search.coarsely(some, progress=share(progress, 0.0, 0.5))
    around = _worth_a_look(gain, curves.mask, places, slice_axis=2 - geometry.slice_axis)
    if not around.size:
        return curves, nowhere
    gain, leaked, sd = search.closely(around, progress=share(progress, 0.5, 1.0))
    grid = np.zeros(geometry.shape)
    grid[curves.mask] = np.bincount(around, gain, len(curves.sd))
    leaking = _parts(grid, geometry)
    if leaking.sum() > MOST_SHARE * curves.mask.sum():
        return curves, nowhere
    chosen = leaking[curves.mask][around]
    coefficients, of_curves = curves.coefficients.copy(), curves.sd.copy()
    coefficients[around[chosen]] -= leaked[chosen].astype(np.float32)
    of_curves[around[chosen]] = np.hypot(of_curves[around[chosen]], sd[chosen])
    return replace(curves, coefficients=coefficients, sd=of_curves), Image(leaking, geometry)


class _Search:
    """Fits of tissue alone and of tissue that leaks, for some of the voxels.

    Parameters
    ----------
    curves, aif_hu, times_s, settings
        As in `without_leak`.
    """

    def __init__(self, curves: Curves, aif_hu: FloatArray, times_s: FloatArray, settings: Settings) -> None:
        assert curves.sd is not None, "the noise is known after smoothing"
        rotation, _ = components_without_mean(curves.basis)
        self._sample, self._free = sample_of(curves)
        self._usual_s = usual_delay_s(self._sample, aif_hu, times_s, self._free)
        self._rows: Float32Array = product(curves.coefficients, rotation)
        self._sd = curves.sd
        self._coefficients = curves.coefficients
        self._signal = curves.basis - curves.basis.mean(axis=1, keepdims=True)
        self._input, self._settings = (aif_hu, times_s), settings

    def coarsely(self, voxels: Index, *, progress: Progress) -> FloatArray:
        """Return about by how much leakage is more probable, in the logarithm, shape (voxel,)."""
        tissue, leaks = self._possible(2)
        return self._found(voxels, self._sd, tissue, leaks, progress)[:, 0]

    def closely(self, voxels: Index, *, progress: Progress) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return by how much leakage is more probable, in the logarithm, what has leaked, and the SD of that in HU.

        What has leaked is in the coefficients of the curves, shape (voxel, component); its SD is that of one of them.
        Where it is too small a share of a curve it is not more probable.
        """
        tissue, leaks = self._possible(1)
        noise = self._sd * np.float32(misfit(self._sample, tissue))
        gain, height, sd, delay = self._found(voxels, noise, tissue, leaks, progress).T
        rate = (leaks @ self._signal.T)[delay.astype(np.intp)] * noise[voxels, None]
        leaked = height[:, None] * rate
        size, whole = (np.linalg.norm(one @ self._signal, axis=1) for one in (leaked, self._coefficients[voxels]))
        return np.where(size < LEAST_SHARE * whole, 0.0, gain), leaked, sd * np.sqrt((rate**2).mean(axis=1))

    def _possible(self, step: int) -> tuple[Dictionary, FloatArray]:
        """Return the tissue that is looked for, every so many delays and transit times, and what would have leaked."""
        delays_s = self._usual_s + NEAR_S[::step]
        chosen: dict[str, Any] = {"mtts_s": MTTS_S[::step], "delays_s": delays_s, "shape": SHAPES["exponential"]}
        tissue = tissue_dictionary(*self._input, self._free, **chosen, settings=self._settings)
        return tissue, _leaked(*self._input, delays_s)

    def _found(
        self, voxels: Index, noise: Float32Array, tissue: Dictionary, leaks: FloatArray, progress: Progress
    ) -> FloatArray:
        """Return what `_compared` does, of some voxels."""
        projected = leaks @ self._free.T

        def of(block: Index) -> FloatArray:
            return by_rows(lambda rows: _compared(rows, tissue, projected), self._rows[block] / noise[block, None])

        return in_chunks(of, voxels, progress=progress)


def _some(mask: MaskArray, geometry: Geometry) -> tuple[Index, tuple[slice, ...]]:
    """Return which voxels of a mask lie on a coarse grid, and the places of this along the axes of the image.

    It begins where the mask does: of a mask of one thin slice, too, some lie on it.
    """
    steps = (max(1, round(STEP_MM / mm)) for mm in geometry.spacing_zyx_mm)
    places = tuple(slice(one.start, None, step) for one, step in zip(bounding_box(mask), steps, strict=True))
    number = np.cumsum(mask).reshape(mask.shape) - 1
    return number[places][mask[places]], places


def _worth_a_look(gain: FloatArray, mask: MaskArray, places: tuple[slice, ...], *, slice_axis: int) -> Index:
    """Return the voxels of a mask around which enough of a coarse grid may leak to be a part that counts.

    A part that is wider than vessels holds a square of four places of the grid, in the plane of the slices, all of
    which leak for certain: here half as certain, for the grid of tissue is coarse, too.
    """
    from scipy import ndimage

    coarse = np.zeros(mask[places].shape)
    coarse[mask[places]] = gain
    square = np.ones([1 if axis == slice_axis else 2 for axis in range(3)], dtype=bool)
    sure = ndimage.binary_opening(coarse > 0.5 * CERTAIN, square)
    labels, count = ndimage.label(sure | (coarse > AROUND))
    kept = np.zeros(count + 1, dtype=bool)
    kept[labels[sure]] = True
    near = ndimage.binary_dilation(kept[labels], np.ones((3, 3, 3), dtype=bool))
    z, y, x = ((axis - one.start) // one.step for axis, one in zip(np.nonzero(mask), places, strict=True))
    return np.flatnonzero(near[z, y, x])


def _leaked(aif_hu: FloatArray, times_s: FloatArray, delays_s: FloatArray) -> FloatArray:
    """Return the running integral of the arterial input after each delay, in HU·s, shape (delay, t)."""
    fine = np.arange(times_s[0], times_s[-1] + INTEGRAL_STEP_S, INTEGRAL_STEP_S)
    area = INTEGRAL_STEP_S * np.cumsum(between_frames(aif_hu, times_s)(np.minimum(fine, times_s[-1])))
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
    certain = np.zeros(gain.shape, dtype=bool)
    certain[:] = gain > CERTAIN
    pixel_mm = displayed_spacing_mm(geometry)[1:]
    for frame in radiological(certain, geometry):  # a view of one slice
        frame &= opened(frame, THIN_RADIUS_MM, pixel_mm)
    return large_parts(gain > AROUND, LEAST_ML, geometry.voxel_volume_ml, certain)
