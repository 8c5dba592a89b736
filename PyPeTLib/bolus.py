"""Bolus arrival and baseline, found from the vessels that enhance first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import QualityError
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Bolus, GammaVariate
from PyPeTLib.settings import Settings

#: Arrival is sought in this share of the likely vessels, the earliest (thin arteries are few beside veins) ...
EARLY_SHARE = 0.1
FEWEST_EARLY = 60
#: ... and of these in the tallest.
TALL_SHARE = 1 / 3
#: Likely vessels rise by at least this many standard deviations of their noise.
RISE_NOISE_FACTOR = 12.0
#: A vessel falls when its first frame exceeds its end by this many standard deviations of the noise.
FALL_NOISE_FACTOR = 6.0
#: Fewer voxels than this that rise so far are chance.
FEWEST_RISING = 5
#: A vessel is early when it reaches this share of its rise early, for good.
RISE_SHARE = 0.3
#: A rise counts from this many standard deviations of the contrast measure's own noise.
NOISE_FACTOR = 4.0
#: Baseline frames lie below this share of the maximal rise.
BASELINE_RISE = 0.01


def find_bolus(vessels_hu: FloatArray, noise_hu: FloatArray, times_s: FloatArray, *, settings: Settings) -> Bolus:
    """Return when contrast arrives and which frames come before it.

    The contrast measure is the mean HU of the vessels that rise first. Arrival is the time at which it has risen for
    good by ``arrival_rise`` of its maximal rise (and by four standard deviations of its noise).

    Parameters
    ----------
    vessels_hu : ndarray, shape (t, voxel)
        HU of the likely vessels.
    noise_hu : ndarray, shape (voxel,)
        Standard deviation of their noise in HU.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``arrival_rise`` and ``minimum_enhancement_hu``.

    Raises
    ------
    QualityError
        If no vessel enhances.
    """
    usual_hu = float(np.median(noise_hu))
    rising = np.ptp(vessels_hu, axis=0) >= RISE_NOISE_FACTOR * noise_hu
    rising_hu, noise_hu = vessels_hu[:, rising], noise_hu[rising]
    if rising_hu.shape[1] < FEWEST_RISING:
        raise QualityError(
            f"Bolus: at least {FEWEST_RISING} voxels that change by {RISE_NOISE_FACTOR * usual_hu:.0f} HU "
            f"({RISE_NOISE_FACTOR:g} times the noise) are needed; found {rising_hu.shape[1]}. Check that the scan is a "
            "perfusion scan with contrast agent and that the brain mask holds vessels."
        )
    measure, floor = _early_mean(rising_hu, noise_hu)
    if np.ptp(measure) < settings.minimum_enhancement_hu:
        raise QualityError(
            f"Bolus: vessels that enhance by at least {settings.minimum_enhancement_hu:g} HU are needed; the most "
            f"variable ones rise by {np.ptp(measure):.1f} HU. "
            "Check that the scan is a perfusion scan with contrast agent."
        )
    falling = _falling_share(rising_hu, noise_hu)
    peak = int(measure.argmax())
    rise = float(measure[peak] - np.min(measure[: peak + 1]))
    if rise < settings.minimum_enhancement_hu:  # it only falls: the contrast agent was there before the scan
        level = (measure - measure.min()) / np.ptp(measure)
        return Bolus(float(times_s[0]), 1, level, settings.arrival_rise, float(np.ptp(measure)), falling)
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
        falling_share=falling,
    )


def before_artery(bolus: Bolus, artery: GammaVariate | None, times_s: FloatArray, *, settings: Settings) -> Bolus:
    """Return the bolus with arrival and baseline no later than the arterial curve itself allows.

    Where arteries are thin or noise is high the earliest vessels may be veins; the fit of the artery that is
    found with them then shows that the baseline holds contrast agent.

    Parameters
    ----------
    bolus : Bolus
        As found from the vessels.
    artery : GammaVariate or None
        First pass of the arterial input.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    settings : Settings
        ``arrival_rise``.
    """
    if artery is None:
        return bolus
    fine = np.arange(times_s[0], artery.peak_s, 0.1)
    rise = artery(fine) / artery.peak_hu
    arrival = float(np.interp(settings.arrival_rise, rise, fine)) if fine.size else float(times_s[0])
    clean = int((artery(times_s[times_s < artery.peak_s]) < 2.0 * BASELINE_RISE * artery.peak_hu).sum())
    if clean >= bolus.baseline_frames:
        return bolus
    return replace(bolus, arrival_s=min(arrival, bolus.arrival_s), baseline_frames=max(1, clean))


def _early_mean(rising_hu: FloatArray, noise_hu: FloatArray) -> tuple[FloatArray, float]:
    """Return the mean curve of the tallest of the earliest vessels, and from what on a rise of it is none of noise."""
    start, rise_hu = _first_rise(rising_hu)
    count = min(start.size, max(FEWEST_EARLY, round(EARLY_SHARE * start.size)))
    early = np.lexsort((-rise_hu, start))[:count]  # of those that start in the same frame the taller first
    tall = early[np.argsort(-rise_hu[early], kind="stable")[: max(FEWEST_RISING, round(TALL_SHARE * count))]]
    return rising_hu[:, tall].mean(axis=1), NOISE_FACTOR * float(noise_hu[tall].mean() / np.sqrt(tall.size))


def _first_rise(rising_hu: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Return in which frame each vessel has risen for good by `RISE_SHARE` on its way to the peak, and its rise in HU.

    Before the bolus noise lifts low vessels so far now and then: by the first frame above they would be the earliest.
    What only falls rises in the first frame.
    """
    frames, peak = np.arange(len(rising_hu))[:, None], rising_hu.argmax(axis=0)
    low, high = np.where(frames <= peak, rising_hu, np.inf).min(axis=0), rising_hu.max(axis=0)
    below = (frames < peak) & (rising_hu < low + RISE_SHARE * (high - low))
    return np.where(below, frames + 1, 0).max(axis=0), high - low


def _falling_share(rising_hu: FloatArray, noise_hu: FloatArray) -> float:
    """Return the share of vessels that are brighter in the first frame than in the last tenth, beyond the noise."""
    end = rising_hu[-max(1, len(rising_hu) // 10) :].mean(axis=0)
    return float((rising_hu[0] - end > FALL_NOISE_FACTOR * noise_hu).mean())


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
