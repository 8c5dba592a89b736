"""What of the mean HU of a brain, or a part of it, is neither contrast agent nor noise."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import robust_sd
from PyPeTLib.geometry import FloatArray
from PyPeTLib.kinetics import tissue_curves

#: Tissue of these delays and mean transit times, in s, makes up the mean of any brain, whatever its residue function.
DELAYS_S, MTTS_S = np.arange(-3.0, 12.1, 1.0), np.geomspace(1.5, 24.0, 9)
#: Frames that miss its fit by more than so many SDs count less, in so many rounds (Huber's weights).
HUBER, ROUNDS = 1.5, 8
#: What differs less from frame to frame, against noise, is no jumps but a curve that the fit misses.
LEAST_ROUGHNESS = 0.25
#: How well a drift shows beside tissue curves is told by one of the first size, in HU per s. The second is taken for
#: the SD of a slope without noise: curves of a brain are not quite those of the fit.
TRIED_HU_PER_S, MODEL_HU_PER_S = 1.0 / 60.0, 0.3 / 60.0


def unexplained(means_hu: FloatArray, artery_hu: FloatArray, times_s: FloatArray) -> FloatArray:
    """Return what the best non-negative sum of tissue curves, and a constant, leaves of means; jumps do not disturb it.

    Parameters
    ----------
    means_hu : ndarray, shape (mean, t)
        Mean HU of tissue.
    artery_hu : ndarray, shape (t,)
        Arterial enhancement, in any unit.
    times_s : ndarray, shape (t,)
        Acquisition times in s.

    Returns
    -------
    ndarray, shape (mean, t)
        In HU.

    References
    ----------
    Lawson and Hanson 1974, doi:10.1137/1.9781611971217 (non-negative least squares)

    Examples
    --------
    >>> times = np.arange(40.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> mean = 35.0 + 0.04 * tissue_curves(aif, times, delays_s=np.array([1.0]), mtts_s=np.array([4.0]), shape=1.0)[0]
    >>> bool(np.abs(unexplained(mean, aif, times)).max() < 0.01)  # HU
    True
    """
    columns = _of_tissue(artery_hu, times_s)
    return np.stack([_fitted(mean_hu, columns)[1] for mean_hu in means_hu])


def line_beside(mean_hu: FloatArray, artery_hu: FloatArray, times_s: FloatArray) -> tuple[float, float]:
    """Return the slope of a line that a mean holds beside the best non-negative sum of tissue curves, and its SD.

    Tissue curves rise and fall with the bolus, whatever the tissue: hardly anything of a line looks like a sum of them.
    The SD is what the fit leaves, against what tissue curves alone leave of a drift of 1 HU a minute. Where what is
    left differs from frame to frame it is noise, every frame counts, and a slope is no more certain than
    `MODEL_HU_PER_S`. Where it does not, it is a slow curve that the fit misses: all of it may be drift.

    Parameters
    ----------
    mean_hu : ndarray, shape (t,)
        Mean HU of tissue.
    artery_hu : ndarray, shape (t,)
        Arterial enhancement, in any unit.
    times_s : ndarray, shape (t,)
        Acquisition times in s.

    Returns
    -------
    slope, sd : float
        In HU per s; an infinite SD where no fit is found.

    Examples
    --------
    >>> times = np.arange(40.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> tissue = tissue_curves(aif, times, delays_s=np.array([1.0]), mtts_s=np.array([4.0]), shape=1.0)[0, 0]
    >>> slope, sd = line_beside(35.0 + 0.04 * tissue - 0.05 * times, aif, times)
    >>> round(slope, 3), sd <= MODEL_HU_PER_S
    (-0.05, True)
    """
    tissue, line = _of_tissue(artery_hu, times_s), times_s - times_s.mean()
    unit = float(np.linalg.norm(line))
    share, left_hu = _fitted(mean_hu, np.column_stack([tissue, line / unit, -line / unit]))
    slope = float(share[-2] - share[-1]) / unit
    drifting_hu = tissue @ share[:-2] + np.copysign(TRIED_HU_PER_S, slope) * line
    _, seen_hu = _fitted(drifting_hu, tissue)
    seen = float(np.sqrt(np.mean(seen_hu**2))) / TRIED_HU_PER_S
    if not share.any() or seen == 0.0:
        return slope, np.inf
    free = max(1, times_s.size - int(np.count_nonzero(share)))
    sd = float(np.sqrt(np.sum(left_hu**2) / free)) / seen
    return slope, float(np.hypot(sd / np.sqrt(free), MODEL_HU_PER_S)) if rough(left_hu) else sd


def rough(left_hu: FloatArray) -> bool:
    """Tell whether what is left differs from frame to frame, as jumps and noise do.

    Parameters
    ----------
    left_hu : ndarray, shape (..., t)

    Examples
    --------
    >>> rough(np.array([1.0, -1.0, 1.0, -1.0])), rough(np.sin(np.arange(40) / 8))
    (True, False)
    """
    return bool(np.diff(left_hu).var() > 2.0 * LEAST_ROUGHNESS * left_hu.var())


def noise_between(parts_hu: FloatArray) -> float:
    """Return the SD of the noise of the mean of some parts, from how differently they bend in time.

    Parameters
    ----------
    parts_hu : ndarray, shape (part, t)
        Mean HU of parts that should bend alike.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0.0, 1.0, (4, 2000))
    >>> round(noise_between(noise + np.linspace(0.0, 9.0, 2000)), 1)  # 1 HU over the root of 4
    0.5
    """
    bends = np.diff(parts_hu - parts_hu.mean(axis=0), n=2)
    return robust_sd(bends) / float(np.sqrt(6.0 * max(1, len(parts_hu) - 1)))


def _of_tissue(artery_hu: FloatArray, times_s: FloatArray) -> FloatArray:
    """Return the tissue curves that make up a mean, and a constant of both signs, shape (t, column)."""
    curves = tissue_curves(artery_hu, times_s, delays_s=DELAYS_S, mtts_s=MTTS_S, shape=1.0).reshape(-1, times_s.size)
    lengths = np.linalg.norm(curves, axis=1)
    ones = np.ones((1, times_s.size))
    return np.concatenate([curves[lengths > 0.0] / lengths[lengths > 0.0, None], ones, -ones]).T


def _fitted(mean_hu: FloatArray, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return how much of each column the best non-negative sum has, and what it leaves; nothing where none is found."""
    from scipy.optimize import nnls

    found, weight, left = np.zeros(columns.shape[1]), np.ones(mean_hu.size), mean_hu
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        try:
            found, _ = nnls(columns * root[:, None], (mean_hu - mean_hu.mean()) * root, maxiter=10 * columns.shape[1])
        except RuntimeError:  # it finds no end: nothing is known
            return np.zeros(columns.shape[1]), np.zeros_like(mean_hu)
        left = mean_hu - mean_hu.mean() - columns @ found
        weight = np.minimum(1.0, HUBER * max(robust_sd(left), 1e-6) / np.maximum(np.abs(left), 1e-9))
    return found, left
