"""Drift of the scanner: HU of the brain that change before contrast agent arrives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import LEAST_CORRELATION, noise_correlation, robust_sd
from PyPeTLib.records import Drift, FloatArray
from PyPeTLib.settings import Settings

#: Fewer frames before the bolus tell no slope from chance.
FEWEST_FRAMES = 5
#: Chance alone has a slope that counts as drift with this probability.
CHANCE = 0.01
#: Few frames before the bolus may lie on a line by chance: their noise is at least that of this share of the scan, its
#: last frames, in which contrast agent changes the mean smoothly.
LATE_SHARE = 0.4


def find_drift(
    hu: npt.NDArray[Any],
    vessels: npt.NDArray[np.intp],
    baseline_frames: int,
    times_s: FloatArray,
    *,
    settings: Settings,
) -> Drift | None:
    """Return how the mean HU of the brain change before the bolus, and a straight line to take off for it.

    Nothing but the scanner changes the mean of so many voxels then. What it does later contrast agent hides; tissue
    curves would take it for blood that does not leave, or was never there: with 2 HU a minute volumes are 1.21 times
    and flow 0.77 times the truth (`Testing/benchmarks/accuracy.py --set drift=off`). So the line is continued to the
    end.

    Large vessels are left out, and the last frame of the baseline: contrast agent may be in them.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the brain.
    vessels : ndarray of int
        Columns of what may be vessels.
    baseline_frames : int
        Number of leading frames before the bolus.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``drift``.

    Returns
    -------
    Drift or None
        None: too few frames before the bolus to judge.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(35.0, 1.0, (40, 4000))
    >>> times = np.arange(40.0)
    >>> found = find_drift(noise + 0.05 * times[:, None], np.arange(9), 10, times, settings=Settings())
    >>> round(found.hu_per_minute), float(found.line_hu[-1].round(0))
    (3, 2.0)
    """
    from scipy.special import stdtrit

    frames, asked = baseline_frames - 1, settings.drift == "auto"
    if frames < FEWEST_FRAMES:
        return None
    mean_hu = _mean_hu(hu[:frames], vessels)
    coefficients, covariance = np.polyfit(times_s[:frames], mean_hu, 1, cov=True)
    slope, sd = float(coefficients[0]), float(np.sqrt(covariance[0, 0]))
    late, alike = len(hu) - round(LATE_SHARE * len(hu)), noise_correlation(hu)[0]
    noise_hu = _noise_of_mean(_mean_hu(hu[late:], vessels), times_s[late:], int((alike >= LEAST_CORRELATION).sum()))
    noise_hu *= float(np.sqrt(2.0 * alike.sum() - 1.0))  # in a slow curve, where neighbours share their noise
    sd = max(sd, noise_hu / float(np.sqrt(np.sum((times_s[:frames] - times_s[:frames].mean()) ** 2))))
    visible = float(stdtrit(frames - 2, 1.0 - 0.5 * CHANCE)) * sd
    taken = slope if asked and abs(slope) > visible else 0.0
    line_hu = taken * (times_s - times_s[:baseline_frames].mean())
    return Drift(60.0 * slope, 60.0 * sd, 60.0 * visible, frames, line_hu)


def _mean_hu(hu: npt.NDArray[Any], vessels: npt.NDArray[np.intp]) -> FloatArray:
    """Return the mean of each frame over all voxels but some."""
    total = hu.sum(axis=1, dtype=float) - hu[:, vessels].sum(axis=1, dtype=float)
    return np.asarray(total / (hu.shape[1] - vessels.size))


def _noise_of_mean(mean_hu: FloatArray, times_s: FloatArray, apart: int) -> float:
    """Return the SD of the noise of a mean that changes smoothly: how it differs from frames so far before and after.

    Nearer ones would share its noise.
    """
    if mean_hu.size < max(FEWEST_FRAMES, 2 * apart + 1):
        return 0.0
    (before, now, after), (first, middle, last) = (
        (one[: -2 * apart], one[apart:-apart], one[2 * apart :]) for one in (times_s, mean_hu)
    )
    share = (now - before) / (after - before)
    bends = middle - (1.0 - share) * first - share * last
    return robust_sd(bends / np.sqrt(1.0 + share**2 + (1.0 - share) ** 2))
