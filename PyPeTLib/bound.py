"""How precisely flow, volume, transit time and delay can be known at all from curves with noise: Cramér-Rao."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from PyPeTLib.dictionary import components_without_mean
from PyPeTLib.geometry import FloatArray
from PyPeTLib.kinetics import tissue_curves

#: Steps of the central differences: in the logarithm of the mean transit time, and in s of delay.
LOG_STEP, DELAY_STEP_S = 0.05, 0.25
#: Voxels whose curves are made at a time.
VOXELS = 128


@dataclass(frozen=True)
class Bound:
    """Smallest standard deviations of an unbiased estimate, each of shape (voxel,).

    Parameters
    ----------
    cbf, cbv : ndarray
        As shares of the true value.
    mtt, delay : ndarray
        In s.
    """

    cbf: FloatArray
    cbv: FloatArray
    mtt: FloatArray
    delay: FloatArray


def cramer_rao(
    aif_hu: FloatArray,
    times_s: FloatArray,
    basis: FloatArray,
    *,
    volumes: FloatArray,
    mtts_s: FloatArray,
    delays_s: FloatArray,
    noise_hu: FloatArray,
    shape: float,
) -> Bound:
    """Return the Cramér-Rao bound of each voxel, where volume, transit time and delay are sought together.

    The curves are those of `kinetics.tissue_curves`, seen in the temporal components of a basis without their time
    means (the baseline is not known), with normal noise of one SD in every component. Nothing else is known
    beforehand; an estimate with a prior may miss the truth by less.

    Parameters
    ----------
    aif_hu : ndarray, shape (t,)
        True arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    basis : ndarray, shape (component, t)
        Temporal components that the curves are made of; the identity for all frames.
    volumes : ndarray, shape (voxel,)
        Share 0..1 of a voxel that is blood as that of the artery: CBV·(ρ/κ)/100.
    mtts_s, delays_s : ndarray, shape (voxel,)
        Mean transit times and delays in s.
    noise_hu : ndarray, shape (voxel,)
        SD of the noise in a normalised component in HU.
    shape : float
        Of the gamma distribution of transit times.

    Examples
    --------
    >>> times, one = np.arange(60.0), np.ones(1)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> tissue = {"volumes": 0.04 * one, "mtts_s": 5 * one, "delays_s": 2 * one, "shape": 1.0}
    >>> few, much = (cramer_rao(aif, times, np.eye(60), noise_hu=hu * one, **tissue) for hu in (1.0, 2.0))
    >>> bool(np.isclose(much.mtt[0], 2 * few.mtt[0])), bool(few.cbv[0] < few.cbf[0])
    (True, True)
    """
    _, free = components_without_mean(basis)
    derivatives = np.empty((len(volumes), 3, len(free)))
    for start in range(0, len(volumes), VOXELS):
        some = np.s_[start : start + VOXELS]
        derivatives[some] = _derivatives(aif_hu, times_s, mtts_s[some], delays_s[some], shape) @ free.T
    covariance = np.linalg.pinv(derivatives @ derivatives.transpose(0, 2, 1), hermitian=True)
    covariance *= (noise_hu / volumes)[:, None, None] ** 2
    flow = covariance[:, 0, 0] + covariance[:, 1, 1] - 2.0 * covariance[:, 0, 1]
    return Bound(
        np.sqrt(flow),
        np.sqrt(covariance[:, 0, 0]),
        np.asarray(mtts_s) * np.sqrt(covariance[:, 1, 1]),
        np.sqrt(covariance[:, 2, 2]),
    )


def _derivatives(
    aif_hu: FloatArray, times_s: FloatArray, mtts_s: FloatArray, delays_s: FloatArray, shape: float
) -> FloatArray:
    """Return how curves of unit volume change with the logarithms of volume and MTT and with delay, (voxel, 3, t)."""
    steps = np.array([-1.0, 0.0, 1.0])
    mtts = np.asarray(mtts_s)[:, None] * np.exp(LOG_STEP * steps)
    delays = np.repeat(np.asarray(delays_s)[:, None] + DELAY_STEP_S * steps, steps.size, axis=0)
    curves = tissue_curves(aif_hu, times_s, delays_s=delays, mtts_s=mtts.ravel(), shape=shape)
    curves = curves.reshape(-1, steps.size, steps.size, times_s.size)
    by_mtt = (curves[:, 2, 1] - curves[:, 0, 1]) / (2.0 * LOG_STEP)
    by_delay = (curves[:, 1, 2] - curves[:, 1, 0]) / (2.0 * DELAY_STEP_S)
    return np.stack([curves[:, 1, 1], by_mtt, by_delay], axis=1)
