"""Nonlinear stochastic regularisation: smooth, non-negative, dying responses as stable splines of evidence's choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_chunks, in_parallel, share
from PyPeTLib.dictionary import DELAYS_S, Float32Array, components_without_mean, sample_of, usual_delay_s
from PyPeTLib.geometry import FloatArray
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.progress import Progress
from PyPeTLib.records import Curves, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: The response is linear between these times in s after the delay, and 0 after the last.
KNOTS_S = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50], dtype=float)
#: It is convolved as so short boxes, in s.
STEP_S = 0.25
#: What evidence chooses from, beside the delay: times in s in which a response dies (its SD falls to exp(-1.5) of
#: itself; a transit time of 2 s or more), ...
DECAYS_S = np.geomspace(3.0, 36.0, 6)
#: ... and SD of its beginning in 1/s, in a voxel of median noise; where there is more noise, it is as much larger.
STRENGTHS = 0.01 * np.geomspace(0.02, 6.0, 7)
#: Voxels that are compared with all hypotheses at a time: small enough for the cache, and for one thread each.
ROWS = 128
#: Steps towards the best response without negative values; more change the height by about a percent at most.
STEPS = 30
#: Added to the variance of knots, as a share of that of the first: a late knot of a short response has none.
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Prior:
    """What is tried: responses of every decay, delay and strength, as curves in components of unit noise.

    Parameters
    ----------
    knots_to_curve : ndarray, shape (delay, knot, component)
        HU of a response that is 1/s at one knot.
    covariances : ndarray, shape (decay, knot, knot)
        Of the response at its knots, 1 at the beginning.
    variances : ndarray, shape (strength,)
        What a covariance is multiplied by, over the square of the voxel's noise.
    delays_s : ndarray, shape (delay,)
    """

    knots_to_curve: FloatArray
    covariances: FloatArray
    variances: FloatArray
    delays_s: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of decays, delays and strengths."""
        return len(self.covariances), self.delays_s.size, self.variances.size


def stable_spline(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress
) -> Response:
    """Return height, area and delay of the likeliest smooth and non-negative response that dies out.

    The response k is a Gaussian process that begins at the delay and whose covariance is that of a stable spline,
    ``s²·3·(exp(−(u + v + max(u, v))/τ)/2 − exp(−3·max(u, v)/τ)/6)`` at the times u and v after the delay: an integrated
    random walk on a clock that runs down. Each voxel's delay, decay τ and strength s are those of greatest evidence
    (the probability of its curve when k is integrated out) among those of a grid that all voxels share; the delay is
    then the mean over the grid, weighted by evidence. With these k is the most probable response without negative
    values, found by alternating directions, for the two delays of the grid around that mean, and between them. Volume
    is its area and Tmax the delay and the time of its maximum after it.
    No shape of the residue is assumed, but that it dies: of a box, which does not until its end, flow is too large.
    Curves are those of the arterial input between the frames (`kinetics.tissue_curves`), sampled when the scan was.
    Voxels whose response is 0 have no times.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU, with the noise that is left (1 HU where it is not known).
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
    Zanderigo 2009, IEEE Trans Biomed Eng 56:1287–1297 (nonlinear stochastic regularisation);
    Peruzzo 2017, doi:10.1002/mrm.26582 (stable spline)
    """
    rotation, _ = components_without_mean(curves.basis)
    noise = np.ones(len(curves.coefficients), dtype=np.float32) if curves.sd is None else curves.sd
    rows = (curves.coefficients @ rotation) / noise[:, None]
    sample, free = sample_of(curves)
    usual_s = usual_delay_s(sample, aif_hu, times_s, free)
    prior = _prior(aif_hu, times_s, usual_s + DELAYS_S, free, float(np.median(noise)))
    best, delay = likeliest(rows, prior, share(progress, 0.0, 0.6)).T
    response = _between_delays(rows, best.astype(np.intp), delay, prior, share(progress, 0.6, 1.0)) * noise[:, None]
    height = response.max(axis=1)
    tmax = delay + KNOTS_S[response.argmax(axis=1)]
    some = height > 0
    return Response(
        height, np.where(some, tmax, np.nan), np.where(some, delay, np.nan), response @ _between_knots().sum(axis=0)
    )


def covariance(decay_s: float) -> FloatArray:
    """Return the covariance of a stable spline at its knots, 1 at the beginning, shape (knot, knot).

    Examples
    --------
    >>> made = covariance(6.0)
    >>> round(float(made[0, 0]), 3), bool(made[-1, -1] < 1e-5), bool(np.linalg.eigvalsh(made).min() > 0)
    (1.0, True, True)
    """
    left = np.exp(-KNOTS_S / decay_s)
    earlier, later = np.maximum.outer(left, left), np.minimum.outer(left, left)
    return np.asarray(1.5 * later**2 * earlier - 0.5 * later**3 + LEAST_VARIANCE * np.eye(left.size))


def _between_knots() -> FloatArray:
    """Return the area in s of every step under a response that is 1 at one knot, shape (step, knot)."""
    middle = np.arange(0.5 * STEP_S, KNOTS_S[-1], STEP_S)
    return STEP_S * np.stack([np.interp(middle, KNOTS_S, knot) for knot in np.eye(KNOTS_S.size)], axis=1)


def _prior(
    aif_hu: FloatArray, times_s: FloatArray, delays_s: FloatArray, free: FloatArray, usual_noise_hu: float
) -> Prior:
    """Return all that is tried, as curves in the components ``free``."""
    steps = _between_knots()
    span = np.arange(delays_s[0], delays_s[-1] + KNOTS_S[-1], STEP_S)
    boxes = tissue_curves(aif_hu, times_s, delays_s=span, mtts_s=np.array([STEP_S]), shape=BOX)[0] @ free.T
    starts = np.round((delays_s - delays_s[0]) / STEP_S).astype(np.intp)
    return Prior(
        np.stack([steps.T @ boxes[start : start + len(steps)] for start in starts]),
        np.stack([covariance(decay) for decay in DECAYS_S]),
        (STRENGTHS / usual_noise_hu) ** 2,
        delays_s,
    )


def likeliest(rows: Float32Array, prior: Prior, progress: Progress) -> FloatArray:
    """Return the place of each voxel's hypothesis of greatest evidence, and its delay in s, shape (voxel, 2).

    Under a hypothesis a curve is normal with covariance ``1 + s²·G K Gᵀ``. In the eigenvectors of ``G K Gᵀ``, the same
    for all strengths, that is diagonal.
    """
    made, (decays, delays, strengths) = prior.knots_to_curve, prior.shape
    signal = np.einsum("dka,ekl,dlb->edab", made, prior.covariances, made, optimize=True)
    sizes, vectors = np.linalg.eigh(signal.reshape(decays * delays, *signal.shape[2:]))
    precision = 1.0 / (1.0 + np.maximum(sizes, 0.0)[..., None] * prior.variances)
    turned = np.moveaxis(vectors, 1, 0).reshape(rows.shape[1], -1).astype(np.float32)
    weights, constant = (-0.5 * precision).astype(np.float32), 0.5 * np.log(precision).sum(axis=1, keepdims=True)
    constant = constant.astype(np.float32)

    def piece(rows: Float32Array) -> FloatArray:
        squares = (rows @ turned) ** 2
        evidence = squares.reshape(len(rows), *sizes.shape).swapaxes(0, 1) @ weights + constant
        evidence = evidence.swapaxes(0, 1).reshape(len(rows), decays, delays, strengths)
        best = evidence.reshape(len(rows), -1).argmax(axis=1)
        decay, _, strength = np.unravel_index(best, prior.shape)
        along = evidence[np.arange(len(rows)), decay, :, strength]
        chance = np.exp(along - along.max(axis=1, keepdims=True))
        return np.stack([best, (chance @ prior.delays_s) / chance.sum(axis=1)], axis=1)

    def block(rows: Float32Array) -> FloatArray:
        return np.concatenate([piece(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)])

    return in_chunks(block, rows, progress=progress)


def _between_delays(
    rows: Float32Array, best: npt.NDArray[np.intp], delay: FloatArray, prior: Prior, progress: Progress
) -> Float32Array:
    """Return the mean of the responses after the two delays of the grid that a voxel's own is between, weighted."""
    decay, _, strength = np.unravel_index(best, prior.shape)
    place = np.interp(delay, prior.delays_s, np.arange(prior.delays_s.size))
    before = np.minimum(place.astype(np.intp), prior.delays_s.size - 2)
    weight = (place - before).astype(np.float32)[:, None]
    one, other = (
        _responses(rows, np.ravel_multi_index((decay, before + step, strength), prior.shape), prior, part)
        for step, part in ((0, share(progress, 0.0, 0.5)), (1, share(progress, 0.5, 1.0)))
    )
    return np.asarray((1.0 - weight) * one + weight * other)


def _responses(rows: Float32Array, best: npt.NDArray[np.intp], prior: Prior, progress: Progress) -> Float32Array:
    """Return each voxel's response at the knots, over its noise; voxels of one hypothesis together."""
    order = np.argsort(best, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(best[order])) + 1)

    def solved(group: npt.NDArray[np.intp]) -> Float32Array:
        decay, delay, strength = np.unravel_index(best[group[0]], prior.shape)
        made = prior.knots_to_curve[delay]
        precision = np.linalg.inv(prior.covariances[decay]) / prior.variances[strength]
        return non_negative(made @ made.T + precision, rows[group] @ made.T).astype(np.float32)

    found = np.empty((len(rows), KNOTS_S.size), dtype=np.float32)
    found[order] = np.concatenate(list(in_parallel(solved, groups, progress=progress)))
    return found


def non_negative(matrix: FloatArray, rows: FloatArray) -> FloatArray:
    """Return for each row b the x >= 0 that minimises ``x·A x/2 − b·x``, by alternating directions.

    Parameters
    ----------
    matrix : ndarray, shape (n, n)
        A, positive definite.
    rows : ndarray, shape (row, n)

    References
    ----------
    Boyd 2011, doi:10.1561/2200000016

    Examples
    --------
    >>> non_negative(np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[1.0, -1.0], [3.0, 3.0]])).round(6)
    array([[0.5, 0. ],
           [1. , 1. ]])
    """
    scale = 1.0 / np.sqrt(np.diag(matrix))
    even, target = scale[:, None] * matrix * scale, rows * scale
    sizes = np.linalg.eigvalsh(even)
    weight = float(np.sqrt(max(sizes[0], 1e-6 * sizes[-1]) * sizes[-1]))
    inverse = np.linalg.inv(even + weight * np.eye(len(even)))
    positive = np.maximum(np.linalg.solve(even, target.T).T, 0.0)
    missed = np.zeros_like(positive)
    for _ in range(STEPS):
        free = (target + weight * (positive - missed)) @ inverse
        positive = np.maximum(free + missed, 0.0)
        missed += free - positive
    return np.asarray(positive * scale)
