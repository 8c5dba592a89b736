"""How well a run found the truth of a digital phantom: the figures of demo and benchmark."""

from __future__ import annotations

import numpy as np

from PyPeTLib.curves import area_weights
from PyPeTLib.phantom_options import Phantom
from PyPeTLib.records import Analysis, FloatArray, MaskArray

#: Tmax above this, in s, is the delayed territory.
DELAYED_S = 6.0
#: A voxel is arterial when this share of its enhancement is.
ARTERIAL = 0.9


def compare_with_truth(analysis: Analysis, phantom: Phantom) -> dict[str, float]:
    """Return the figures of merit of a run on a phantom.

    Tissue means pure gray and white matter away from vessels, inside both brain masks.

    Returns
    -------
    dict of str to float
        ``brain_dice``, ``outside_share`` (of the mask, outside the skull), ``aif_arterial_share`` (of its voxels),
        ``aif_area_ratio`` (scaled over true area), ``cbv_slope``, ``cbf_slope``, ``cbv_r``, ``cbf_r``, ``mtt_r``,
        ``tmax_r``, ``tmax_bias_s`` (median), ``tmax_dice`` (of Tmax > 6 s), all against the true Tmax.
    """
    truth = {name: image.values for name, image in phantom.truth.items()}
    maps = {name: image.values for name, image in analysis.maps.items()}
    brain, true_brain = analysis.brain.values, phantom.masks["brain"].values
    tissue = brain & phantom.masks["pure_tissue"].values & ~phantom.masks["near_vessel"].values
    timed = tissue & np.isfinite(truth["tmax"]) & np.isfinite(maps["tmax"])
    transit = tissue & np.isfinite(maps["mtt"]) & np.isfinite(truth["mtt"])
    weights = area_weights(analysis.series.times_s)
    arterial = truth["arterial_share"][analysis.aif.mask.values]  # none of a curve that the user gave
    return {
        "brain_dice": dice(brain, true_brain),
        "outside_share": float((brain & ~true_brain).sum() / brain.sum()),
        "aif_arterial_share": float((arterial >= ARTERIAL).mean()) if arterial.size else float("nan"),
        "aif_area_ratio": float((analysis.aif.curve_hu @ weights) / (phantom.aif_hu @ weights)),
        "cbv_slope": slope(truth["cbv"][tissue], maps["cbv"][tissue]),
        "cbf_slope": slope(truth["cbf"][tissue], maps["cbf"][tissue]),
        "cbv_r": correlation(truth["cbv"][tissue], maps["cbv"][tissue]),
        "cbf_r": correlation(truth["cbf"][tissue], maps["cbf"][tissue]),
        "mtt_r": correlation(truth["mtt"][transit], maps["mtt"][transit]),
        "tmax_r": correlation(truth["tmax"][timed], maps["tmax"][timed]),
        "tmax_bias_s": float(np.median((maps["tmax"] - truth["tmax"])[timed])),
        "tmax_dice": dice(timed & (maps["tmax"] > DELAYED_S), timed & (truth["tmax"] > DELAYED_S)),
    }


def dice(one: MaskArray, other: MaskArray) -> float:
    """Return twice the common volume over the sum of volumes; NaN where both are empty.

    Examples
    --------
    >>> dice(np.array([True, True]), np.array([True, False])) == 2 / 3
    True
    """
    total = one.sum() + other.sum()
    return float(2.0 * (one & other).sum() / total) if total else float("nan")


def slope(truth: FloatArray, found: FloatArray) -> float:
    """Return the slope of the regression through the origin, found = slope · truth.

    Examples
    --------
    >>> slope(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    2.0
    """
    return float(np.sum(truth * found, dtype=float) / np.sum(truth * truth, dtype=float))


def correlation(truth: FloatArray, found: FloatArray) -> float:
    """Return Pearson's correlation; NaN where either does not vary."""
    if truth.size < 2 or np.ptp(truth) == 0 or np.ptp(found) == 0:
        return float("nan")
    return float(np.corrcoef(truth, found)[0, 1])
