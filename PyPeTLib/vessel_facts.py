"""Facts of artery and vein: what was measured of their curves and of the candidates for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from PyPeTLib.analysis import Analysis
from PyPeTLib.curves import area_weights, end_share, peak_time_s
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Candidate, VascularCurve


def candidate_facts(candidate: Candidate) -> dict[str, Any]:
    """Return what was measured of a candidate for artery or vein, by name; None where it is not known.

    Times are on the scan's axis: ``arrival_s`` is the onset of the fitted first pass, ``width_s`` its spread.
    ``tissue_share`` is the share of the area that is tissue's; ``area_ratio`` that of a vein to the measured artery.
    """
    fit, traits = candidate.fit, candidate.traits
    return {
        "score": candidate.score,
        "confidence": candidate.confidence,
        "side": None if traits is None else traits.side,
        "peak_hu": float(candidate.curve_hu.max()),
        "arrival_s": None if fit is None else fit.onset_s,
        "peak_s": None if fit is None else fit.peak_s,
        "width_s": None if fit is None else fit.width_s,
        "signal_to_noise": None if traits is None else traits.signal_to_noise,
        "tissue_share": None if traits is None else 1.0 - traits.arterial_share,
        "area_ratio": candidate.area_ratio,
        "voxels": int(candidate.mask.sum()),
        "volume_ml": candidate.volume_ml,
        "refused": candidate.refused,
        "reason": candidate.reason,
    }


def curve_facts(curve: VascularCurve, analysis: Analysis) -> dict[str, Any]:
    """Return the facts of an arterial or venous curve.

    ``peak_s``, on the scan's axis, and ``time_to_peak_s``, after the bolus' arrival, are those of the fitted first pass
    (of the measured curve without a fit); both heights are those of the samples.
    """
    times = analysis.series.times_s
    peak_s = peak_time_s(curve.measured_hu, times)
    return {
        "source": curve.source,
        "voxels": int(curve.mask.values.sum()),
        "measured_peak_hu": float(curve.measured_hu.max()),
        "peak_hu": float(curve.curve_hu.max()),
        "peak_s": peak_s,
        "time_to_peak_s": peak_s - analysis.bolus.arrival_s,
        "end_share": end_share(curve.measured_hu),
        "extrapolated_area_share": _extrapolated_share(curve.curve_hu, times),
        "partial_volume_factor": curve.partial_volume_factor,
        "gamma_variate": None if curve.fit is None else asdict(curve.fit),
        "candidates": [candidate_facts(candidate) for candidate in curve.candidates],
    }


def _extrapolated_share(curve_hu: FloatArray, times_s: FloatArray) -> float:
    """Return the share of a curve's area that lies beyond the last frame, where it is extrapolated."""
    return 1.0 - float(np.trapezoid(curve_hu, times_s) / (curve_hu @ area_weights(times_s)))
