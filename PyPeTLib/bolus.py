"""Bolus arrival and baseline, found from the vessels that enhance first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.curves import robust_sd
from PyPeTLib.errors import QualityError
from PyPeTLib.records import Bolus, FloatArray
from PyPeTLib.settings import Settings

#: Share of the voxels, those that vary most over time, that are taken for vessels; and how many at least.
VESSEL_SHARE = 0.01
MINIMUM_VESSELS = 20
#: Share of the vessel voxels, the earliest, that define arrival: arteries, not veins.
EARLY_SHARE = 0.15
#: A vessel is early when it reaches this share of its rise early.
RISE_SHARE = 0.3
#: A rise counts from this many standard deviations of the contrast measure's own noise.
NOISE_FACTOR = 4.0
#: Baseline frames lie below this share of the maximal rise.
BASELINE_RISE = 0.01


def find_bolus(hu: npt.NDArray[Any], times_s: FloatArray, *, settings: Settings) -> Bolus:
    """Return when contrast arrives and which frames come before it.

    The contrast measure is the mean HU of the earliest of the most variable voxels. Arrival is the time at
    which it has risen for good by ``arrival_rise`` of its maximal rise (and by four standard deviations of its noise).

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the voxels inside the skull.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``arrival_rise`` and ``minimum_enhancement_hu``.

    Raises
    ------
    QualityError
        If no vessel enhances.
    """
    noise = noise_level(hu)
    vessels = _most_variable(hu)
    measure, voxels = _early_mean(vessels, noise)
    peak = int(measure.argmax())
    rise = float(measure[peak] - np.min(measure[: peak + 1]))
    if rise < settings.minimum_enhancement_hu:
        raise QualityError(
            f"Bolus: vessels that enhance by at least {settings.minimum_enhancement_hu:g} HU are needed; the most "
            f"variable ones rise by {rise:.1f} HU. Check that the scan is a perfusion scan with contrast agent."
        )
    floor = NOISE_FACTOR * noise / np.sqrt(voxels)
    first = _last_crossing(measure[: peak + 1], max(settings.arrival_rise * rise, floor))
    baseline = _last_crossing(measure[: first + 1], max(BASELINE_RISE * rise, 0.75 * floor))
    signal = (measure - measure[:baseline].mean()) / (measure[peak] - measure[:baseline].mean())
    threshold = max(settings.arrival_rise, floor / rise)
    return Bolus(
        arrival_s=_crossing_time(signal, np.asarray(times_s), first, threshold),
        baseline_frames=baseline,
        signal=signal,
        threshold=threshold,
        rise_hu=rise,
    )


def noise_level(hu: npt.NDArray[Any]) -> float:
    """Return the standard deviation in HU of the noise of single voxels, from second differences in time.

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU; the slow course of contrast hardly contributes to second differences.

    Examples
    --------
    >>> quiet = np.random.default_rng(0).normal(30.0, 6.0, (40, 2000))
    >>> bool(5.8 < noise_level(quiet) < 6.2)
    True
    """
    sample = hu[:, :: max(1, hu.shape[1] // 20000)].astype(np.float32)
    return robust_sd(np.diff(sample, n=2, axis=0)) / float(np.sqrt(6.0))


def _most_variable(hu: npt.NDArray[Any]) -> FloatArray:
    """Return the curves of the voxels that vary most over time, shape (t, vessel)."""
    total = np.zeros(hu.shape[1], dtype=np.float32)
    squares = np.zeros(hu.shape[1], dtype=np.float32)
    start = hu[0].astype(np.float32)
    for frame in hu:
        change = frame - start
        total += change
        squares += change * change
    variance = squares - total * total / len(hu)
    count = min(hu.shape[1], max(MINIMUM_VESSELS, round(VESSEL_SHARE * hu.shape[1])))
    return hu[:, np.sort(np.argpartition(variance, -count)[-count:])].astype(float)


def _early_mean(vessels: FloatArray, noise: float) -> tuple[FloatArray, int]:
    """Return the mean curve of the earliest vessels that rise well above the noise, and how many they are."""
    smooth = np.apply_along_axis(np.convolve, 0, vessels, np.full(3, 1 / 3), mode="valid")
    peak = smooth.argmax(axis=0)
    before = np.where(np.arange(len(smooth))[:, None] <= peak, smooth, np.inf)
    low, high = before.min(axis=0), smooth.max(axis=0)
    rising = (smooth >= low + RISE_SHARE * (high - low)).argmax(axis=0).astype(float)
    rising[high - low < 5.0 * noise] = np.inf
    count = max(1, round(EARLY_SHARE * np.isfinite(rising).sum())) if np.isfinite(rising).any() else rising.size
    early = np.argsort(rising, kind="stable")[:count]
    return vessels[:, early].mean(axis=1), count


def _last_crossing(measure: FloatArray, rise: float) -> int:
    """Return the first frame from which the measure stays above the mean of all frames before it by ``rise``; >= 1."""
    frame = measure.size - 1
    while frame > 1 and measure[frame - 1 :].min() > measure[: frame - 1].mean() + rise:
        frame -= 1
    return max(frame, 1)


def _crossing_time(signal: FloatArray, times_s: FloatArray, first: int, threshold: float) -> float:
    """Return the time, between two frames, at which the signal reaches the threshold."""
    low, high = signal[first - 1], signal[first]
    share = (threshold - low) / (high - low) if high > low else 1.0
    return float(times_s[first - 1] + np.clip(share, 0.0, 1.0) * (times_s[first] - times_s[first - 1]))
