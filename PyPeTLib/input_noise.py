"""The noise of the arterial input, which all curves that it explains have in common."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import mean_enhancement
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Curves, VascularCurve
from PyPeTLib.scan import Series
from PyPeTLib.smoothing import noise_of_mean
from PyPeTLib.vessels import kept_components

#: The noise of a given curve is the largest that its baseline allows with this probability.
NOISE_ALLOWED = 0.9


def input_noise_hu(
    artery: VascularCurve, series: Series, curves: Curves, *, baseline_frames: int, taken_hu: FloatArray
) -> float:
    """Return the standard deviation of the noise of the arterial input in HU, in each frame.

    That of the mean of its voxels is known from the noise of the image. The curve is that mean as high as
    `arteries.find_artery` and `veins.scaled_to_vein` make it, and its noise grows likewise. The projection on few
    components (`vessels.likely_vessels`) takes some of it away. What it took, r, is seen: the mean less the curve.
    What is left of a projection is independent of what it took, so ``var(left) = var(noise) − var(r)``. At least as
    much is left as of noise that these components know nothing of: their share of all components. Where the projection
    took more than all noise but that, it took contrast as well: arteries are few among the vessels, and in noise or
    with a weak bolus no component is theirs. The curve is wrong by what was taken beyond noise.

    A curve that the user gave has the noise of its baseline. That has few frames; the largest SD that it allows with a
    probability of 90 % is taken, so that no shape is told from another by noise that happened to be small there.

    Parameters
    ----------
    artery : VascularCurve
        ``curve_hu`` and the mask that it was measured in, if any.
    series : Series
        The scan that the mask is on.
    curves : Curves
        ``noise`` and ``mask`` are read.
    baseline_frames : int
        Frames before the bolus.
    taken_hu : ndarray, shape (t,)
        Drift and jumps in HU that the curve is without.
    """
    curve = artery.curve_hu
    if not artery.mask.values.any():
        return _most_of_baseline(curve[:baseline_frames])
    noise_hu = noise_of_mean(curves.noise, curves.mask, artery.mask.values)
    measured = mean_enhancement(series, artery.mask, baseline_frames=baseline_frames, drift_hu=taken_hu)
    scale = float(curve @ measured) / max(float(measured @ measured), 1e-9)
    taken = float(np.mean((curve - scale * measured) ** 2))
    noise = (scale * noise_hu) ** 2
    least = noise * kept_components(curve.size) / curve.size
    return float(np.sqrt(least + abs(noise - least - taken)))


def _most_of_baseline(baseline: FloatArray) -> float:
    if baseline.size < 2:
        return 0.0
    from scipy.special import chdtri

    return float(np.sqrt(np.sum((baseline - baseline.mean()) ** 2) / chdtri(baseline.size - 1, NOISE_ALLOWED)))
