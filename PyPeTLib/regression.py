"""Nonlinear regression of delay, transit time and volume for a residue function that is a box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_chunks, product, share
from PyPeTLib.dictionary import (
    DELAYS_S,
    MOST_VOLUME,
    Float32Array,
    components_without_mean,
    curve_lengths,
    sample_of,
    usual_delay_s,
)
from PyPeTLib.geometry import FloatArray
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.progress import Progress
from PyPeTLib.records import Curves, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: The nodes: mean transit times in s (shorter ones leave no trace between frames a second apart, only noise), ...
MTTS_S = np.geomspace(2.0, 30.0, 40)
LOG_MTT_STEP = float(np.log(MTTS_S[1] / MTTS_S[0]))
#: ... and steps of the middle of the box in s.
MIDDLE_STEP_S = 0.5
#: Voxels that are compared with all atoms at a time: small enough for the cache, and for one thread each.
ROWS = 64
#: A node and its eight neighbours, in steps of (log MTT, middle), and from their values to the quadratic through them:
#: value, slopes and second derivatives (MTT, middle, mixed).
STENCIL = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
QUADRATIC = np.array(
    [
        [0, 0, 0, 0, 1, 0, 0, 0, 0],
        [0, -0.5, 0, 0, 0, 0, 0, 0.5, 0],
        [0, 0, 0, -0.5, 0, 0.5, 0, 0, 0],
        [0, 1, 0, 0, -2, 0, 0, 1, 0],
        [0, 0, 0, 1, -2, 1, 0, 0, 0],
        [0.25, 0, -0.25, 0, 0, 0, -0.25, 0, 0.25],
    ]
).T


@dataclass(frozen=True)
class Grid:
    """Tissue curves of a box residue and unit volume, in the components of the data, and who is whose neighbour.

    Over the middle of the box and the logarithm of its length the sum of squares is nearly free of mixed terms:
    a longer box that begins earlier looks much the same.

    Parameters
    ----------
    directions : ndarray, shape (component, atom)
        float32 unit vectors; the first ``len(neighbours)`` atoms are the nodes, the others only surround them.
    log_length : ndarray, shape (atom,)
        Logarithm of what they were divided by, in HU.
    log_mtt, middle_s : ndarray, shape (node,)
    neighbours : ndarray of int, shape (node, 9)
        The atoms of `STENCIL` about each node.
    """

    directions: Float32Array
    log_length: FloatArray
    log_mtt: FloatArray
    middle_s: FloatArray
    neighbours: npt.NDArray[np.intp]


def nlr(curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress) -> Response:
    """Return delay, transit time and volume of least squares, with all blood of a voxel passing in the same time.

    The residue is a box: ``C_t(t) = CBF·(ρ/κ)·[A(t − delay) − A(t − delay − MTT)]`` with A the running integral of the
    arterial input, so that Tmax, the middle of the plateau, is delay + MTT/2. Every voxel's curve is compared with
    those of a grid of delays (about that which is usual in the patient) and transit times of 2 to 30 s, sampled when
    the scan was; the minimum of the quadratic through the best and its neighbours lies between them. Only the data
    speak, no prior: where noise leaves the transit time open, flow scatters. Where tissue passes blood at different
    speeds flow is too small, by about half for an exponential residue. Voxels that no positive volume explains have
    volume and flow 0 and no times.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    settings : Settings
        Nothing is chosen.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Bennink 2016, "Fast nonlinear regression method for CT brain perfusion analysis" (box residue)
    """
    rotation, _ = components_without_mean(curves.basis)
    sample, free = sample_of(curves)
    noise_hu = 0.0 if curves.sd is None else float(np.median(curves.sd))
    grid = _grid(aif_hu, times_s, usual_delay_s(sample, aif_hu, times_s, free), free, noise_hu)
    progress(0.1, "")

    def block(rows: Float32Array) -> FloatArray:
        pieces = [_fit(product(rows[start : start + ROWS], rotation), grid) for start in range(0, len(rows), ROWS)]
        best, heights = zip(*pieces, strict=True)
        return _refined(np.concatenate(best), np.concatenate(heights), grid)

    volume, mtt, middle = in_chunks(block, curves.coefficients, progress=share(progress, 0.1, 1.0)).T
    height = np.where(volume > 0, volume / mtt, 0.0)
    return Response(height, middle, middle - 0.5 * mtt, volume, residue="box")


def _grid(aif_hu: FloatArray, times_s: FloatArray, usual_s: float, free: FloatArray, noise_hu: float) -> Grid:
    """Return the nodes of all possible delays and transit times, and the atoms that surround them.

    Nothing is like tissue so late that the scan could not show it (`dictionary.seen`).
    """
    log_mtt = np.log(MTTS_S[0]) + LOG_MTT_STEP * np.arange(-1, MTTS_S.size + 1)
    first, last = usual_s + DELAYS_S[[0, -1]]
    middle = np.arange(first, last + 0.5 * MTTS_S[-1] + 3.0 * MIDDLE_STEP_S, MIDDLE_STEP_S)
    delay = middle - 0.5 * np.exp(log_mtt)[:, None]
    inner = (delay >= first) & (delay <= last)
    inner[[0, -1]] = False
    place = np.argwhere(inner)[:, None] + STENCIL
    around = np.zeros_like(inner)
    around[place[..., 0], place[..., 1]] = True
    order = np.concatenate([np.flatnonzero(inner), np.flatnonzero(around & ~inner)])
    number = np.zeros(inner.size, dtype=np.intp)
    number[order] = np.arange(order.size)
    made = [
        tissue_curves(aif_hu, times_s, delays_s=row, mtts_s=np.exp(one[None]), shape=BOX)[0]
        for row, one in zip(delay, log_mtt, strict=True)
    ]
    directions = np.concatenate(made)[order] @ free.T
    lengths = curve_lengths(directions)
    shown = MOST_VOLUME * lengths > noise_hu
    if shown.any():
        directions[~shown] = 0.0
    return Grid(
        np.ascontiguousarray((directions / lengths[:, None]).T, dtype=np.float32),
        np.log(lengths),
        log_mtt[np.nonzero(inner)[0]],
        middle[np.nonzero(inner)[1]],
        number[np.ravel_multi_index((place[..., 0], place[..., 1]), inner.shape)],
    )


def _fit(rows: Float32Array, grid: Grid) -> tuple[npt.NDArray[np.intp], Float32Array]:
    """Return each voxel's best node, and the heights of the node and its neighbours in HU."""
    heights = product(rows, grid.directions)
    best = heights[:, : len(grid.neighbours)].argmax(axis=1)
    return best, np.take_along_axis(heights, grid.neighbours[best], axis=1)


def _refined(best: npt.NDArray[np.intp], heights: Float32Array, grid: Grid) -> FloatArray:
    """Return volume, MTT and middle in s at the top of the quadratic, shape (voxel, 3)."""
    positive = heights[:, 4] > 0
    relative = heights / np.where(positive, heights[:, 4], 1.0)[:, None]
    fit = (np.maximum(relative, 0.0) ** 2).astype(float) @ QUADRATIC
    step = _top(fit)
    log_length = _value(grid.log_length[grid.neighbours[best]] @ QUADRATIC, step)
    height = heights[:, 4] * np.sqrt(np.maximum(_value(fit, step), 0.0))
    volume = np.where(positive, height * np.exp(-log_length), 0.0)
    mtt = np.exp(grid.log_mtt[best] + LOG_MTT_STEP * step[:, 0])
    middle = grid.middle_s[best] + MIDDLE_STEP_S * step[:, 1]
    return np.stack([volume, mtt, np.where(positive, middle, np.nan)], axis=1)


def _top(fit: FloatArray) -> FloatArray:
    """Return where each quadratic is largest, in steps and at most one; where it has no top, the node itself."""
    _, one, two, one_one, two_two, mixed = fit.T
    curvature = one_one * two_two - mixed**2
    top = (one_one < 0) & (two_two < 0) & (curvature > 0)
    safe = np.where(top, curvature, 1.0)
    step = np.stack([mixed * two - two_two * one, mixed * one - one_one * two], axis=1) / safe[:, None]
    return np.where(top[:, None], np.clip(step, -1.0, 1.0), 0.0)


def _value(fit: FloatArray, step: FloatArray) -> FloatArray:
    """Return the quadratics there."""
    one, two = step.T
    terms = np.stack([np.ones_like(one), one, two, 0.5 * one**2, 0.5 * two**2, one * two], axis=1)
    return np.asarray(np.sum(fit * terms, axis=1))
