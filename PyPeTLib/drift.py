"""HU of the whole brain that drift, or jump from frame to frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import LEAST_CORRELATION, noise_correlation, robust_sd
from PyPeTLib.geometry import FloatArray
from PyPeTLib.levels import line_beside, noise_between, rough, unexplained
from PyPeTLib.records import Drift, Jumps
from PyPeTLib.settings import Settings

#: Fewer frames before the bolus tell no slope from chance.
FEWEST_FRAMES = 5
#: The whole scan tells nothing where fewer frames are before the bolus: curves then begin with contrast agent.
LEAST_BASELINE = 2
#: Chance alone has a slope that counts as drift with this probability.
CHANCE = 0.01
#: Few frames before the bolus may lie on a line by chance: their noise is at least that of this share of the scan, its
#: last frames, in which contrast agent changes the mean smoothly.
LATE_SHARE = 0.4
#: Jumps of a smaller SD than this, in HU, do no harm; nor are they told from noise of the mean where they are not so
#: many times larger. What parts of the brain, so many, do not share of it is noise.
LEAST_JUMPS_HU, LEAST_OF_NOISE, PARTS = 0.15, 3.0, 8


def find_drift(
    hu: npt.NDArray[Any],
    vessels: npt.NDArray[np.intp],
    baseline_frames: int,
    artery_hu: FloatArray,
    times_s: FloatArray,
    *,
    settings: Settings,
) -> Drift | None:
    """Return how the mean HU of the brain change without contrast agent, and a straight line to take off for it.

    Tissue curves would take it for blood that does not leave, or was never there: with 2 HU a minute volumes are 1.21
    times and flow 0.77 times the truth (`Testing/benchmarks/accuracy.py --set drift=off`). Two things tell the line,
    and that one is asked which hides less from chance:

    * the frames before the bolus, in which nothing but the scanner changes the mean of so many voxels. Where they are
      many they need no model; where few, slow noise of the mean looks like drift, or hides it;
    * the mean of the whole scan, beside the best sum of tissue curves (`levels.line_beside`).

    Large vessels are left out, and of the frames before the bolus the last one: contrast agent may be in them.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the brain.
    vessels : ndarray of int
        Columns of what may be vessels.
    baseline_frames : int
        Number of leading frames before the bolus.
    artery_hu : ndarray, shape (t,)
        Arterial enhancement, in any unit.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``drift``.

    Returns
    -------
    Drift or None
        None: neither tells it, or no frame is before the bolus.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(35.0, 1.0, (40, 4000))
    >>> times = np.arange(40.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> found = find_drift(noise + 0.05 * times[:, None], np.arange(9), 10, aif, times, settings=Settings())
    >>> round(found.hu_per_minute), float(found.line_hu[-1].round(0))
    (3, 2.0)
    """
    if baseline_frames < LEAST_BASELINE:
        return None
    frames, whole = baseline_frames - 1, _in_whole_scan(hu, vessels, artery_hu, times_s)
    before = _before_bolus(hu, vessels, frames, times_s) if frames >= FEWEST_FRAMES else None
    told = [one for one in (before, whole) if one is not None]
    if not told:
        return None
    slope, sd, visible = best = min(told, key=lambda one: one[2])
    taken = slope if settings.drift == "auto" and abs(slope) > visible else 0.0
    line_hu = taken * (times_s - times_s[:baseline_frames].mean())
    seen = frames if best is before else len(hu)
    return Drift(60.0 * slope, 60.0 * sd, 60.0 * visible, seen, best is before, line_hu)


def _before_bolus(
    hu: npt.NDArray[Any], vessels: npt.NDArray[np.intp], frames: int, times_s: FloatArray
) -> tuple[float, float, float]:
    """Return the slope of the mean over the first frames, its SD, and below what it may be chance, in HU per s."""
    from scipy.special import stdtrit

    mean_hu = _mean_hu(hu[:frames], vessels)
    coefficients, covariance = np.polyfit(times_s[:frames], mean_hu, 1, cov=True)
    slope, sd = float(coefficients[0]), float(np.sqrt(covariance[0, 0]))
    late, alike = len(hu) - round(LATE_SHARE * len(hu)), noise_correlation(hu)[0]
    noise_hu = _noise_of_mean(_mean_hu(hu[late:], vessels), times_s[late:], int((alike >= LEAST_CORRELATION).sum()))
    noise_hu *= float(np.sqrt(2.0 * alike.sum() - 1.0))  # in a slow curve, where neighbours share their noise
    sd = max(sd, noise_hu / float(np.sqrt(np.sum((times_s[:frames] - times_s[:frames].mean()) ** 2))))
    return slope, sd, float(stdtrit(frames - 2, 1.0 - 0.5 * CHANCE)) * sd


def _in_whole_scan(
    hu: npt.NDArray[Any], vessels: npt.NDArray[np.intp], artery_hu: FloatArray, times_s: FloatArray
) -> tuple[float, float, float] | None:
    """Return slope, SD and what may be chance likewise, of a line in all frames beside tissue curves.

    None where no fit is found.
    """
    from scipy.special import ndtri

    slope, sd = line_beside(_mean_hu(hu, vessels), artery_hu, times_s)
    return (slope, sd, float(ndtri(1.0 - 0.5 * CHANCE)) * sd) if np.isfinite(sd) else None


def find_jumps(
    hu: npt.NDArray[Any],
    vessels: npt.NDArray[np.intp],
    artery_hu: FloatArray,
    drift: Drift | None,
    times_s: FloatArray,
    *,
    settings: Settings,
) -> Jumps:
    """Return by how much all HU of a frame are higher or lower than contrast agent makes them.

    A tube is not equally bright in all frames; the first one may be another kind of scan. The mean curve of a brain is
    a sum of tissue curves, whatever the tissue; what their best sum (non-negative least squares, the arterial input
    given) leaves of it is noise of so many voxels that it is nearly none, and the jumps of the frames.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the brain.
    vessels : ndarray of int
        Columns of what may be vessels.
    artery_hu : ndarray, shape (t,)
        Arterial enhancement, in any unit.
    drift : Drift or None
        What is taken off anyway.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``drift``.

    Examples
    --------
    >>> from PyPeTLib.kinetics import tissue_curves
    >>> times = np.arange(40.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> tissue = tissue_curves(aif, times, delays_s=np.array([1.0]), mtts_s=np.array([4.0]), shape=1.0)[0, 0]
    >>> hu = np.repeat(35.0 + 0.04 * tissue[:, None], 50, axis=1)
    >>> hu[7] += 2.0
    >>> found = find_jumps(hu, np.arange(0), aif, None, times, settings=Settings())
    >>> bool(found.corrected), float(found.hu[7].round(1)), float(abs(found.hu[8:]).max().round(1))
    (True, 2.0, 0.0)
    """
    if times_s.size < FEWEST_FRAMES:
        return Jumps(np.zeros_like(times_s), False, False)
    parts_hu = _part_means(hu, vessels)
    mean_hu = parts_hu.mean(axis=0) - (0.0 if drift is None else drift.line_hu)
    least_hu = max(LEAST_JUMPS_HU, LEAST_OF_NOISE * noise_between(parts_hu))
    (left_hu,) = unexplained(mean_hu[None], artery_hu, times_s)
    certain = bool(np.std(left_hu) > least_hu and rough(left_hu))
    return Jumps(left_hu, certain, certain and settings.drift == "auto")


def taken_off(drift: Drift | None, jumps: Jumps) -> FloatArray:
    """Return what is taken off each frame for both, in HU, shape (t,)."""
    line_hu = np.zeros_like(jumps.hu) if drift is None else drift.line_hu
    return line_hu + jumps.hu if jumps.corrected else line_hu


def _part_means(hu: npt.NDArray[Any], vessels: npt.NDArray[np.intp]) -> FloatArray:
    """Return the mean of each frame over parts of the brain, without some voxels, shape (part, t)."""
    ends, known = np.linspace(0, hu.shape[1], PARTS + 1).astype(int), np.sort(vessels)
    inside = np.split(known, np.searchsorted(known, ends[1:-1]))
    parts = zip(ends[:-1], ends[1:], inside, strict=True)
    return np.stack([_mean_hu(hu[:, a:b], some - a) for a, b, some in parts if b - a > some.size])


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
