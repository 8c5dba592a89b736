"""Facts of the maps: names, medians, resolution, regularisation and constants."""

from __future__ import annotations

import numpy as np

from PyPeTLib.analysis import Analysis
from PyPeTLib.geometry import FloatArray
from PyPeTLib.settings import DeconvolutionMethod, Settings, Value

LONG_NAMES = {
    "cbf": "cerebral blood flow",
    "cbv": "cerebral blood volume",
    "mtt": "mean transit time",
    "tmax": "time of the maximum of the impulse response",
    "ttp": "time from bolus arrival to peak",
    "delay": "arrival after the arterial input",
}
#: What the ending of a map's name means.
KINDS = {
    "sd": ", standard deviation",
    "uncorrected": ", before its bias was removed",
    "smooth": ", smoothed",
    "relative": " over its brain mean",
}
#: The setting that regularises each method; printed with every map. Fitting a box needs none, and the stable spline
#: finds its strength in each voxel's curve.
REGULARISATION: dict[DeconvolutionMethod, str | None] = {
    "bayesian": "mtt_prior",
    "nlr": None,
    "stable-spline": None,
    "bSVD": "bsvd_cutoff",
    "sSVD": "ssvd_cutoff",
    "oSVD": "oscillation_index",
    "tikhonov": "tikhonov_choice",
    "max-slope": "slope_window_s",
}


def map_medians(analysis: Analysis) -> dict[str, float]:
    """Return the median of each map over the tissue, in the map's unit; NaN where there is none."""
    tissue = analysis.tissue.values
    return {name: median_known(image.values[tissue]) for name, image in analysis.maps.items()}


def map_sds(analysis: Analysis) -> dict[str, float]:
    """Return the median over the tissue of a single voxel's standard deviation, of the maps that have one."""
    tissue = analysis.tissue.values
    return {name: median_known(image.values[tissue]) for name, image in analysis.maps.sd.items()}


def median_known(values: FloatArray) -> float:
    """Return the median of what is known, NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def map_resolution_mm(name: str, analysis: Analysis) -> float | None:
    """Return the full width at half maximum in mm of the Gaussian that a map averages like; None where not known.

    It is that of the curves. A smoothed map is wider: squares of widths add up.
    """
    of_curves_mm = analysis.curves.resolution_mm
    if of_curves_mm is None or not name.endswith("_smooth"):
        return of_curves_mm
    return float(np.hypot(of_curves_mm, np.sqrt(8.0 * np.log(2.0)) * analysis.settings.map_smoothing_mm))


def regularisation(settings: Settings) -> dict[str, Value]:
    """Return name and value of the setting that regularises the chosen method, if one does."""
    name = REGULARISATION.get(settings.method)
    return {} if name is None else {name: getattr(settings, name)}


def conversion_note(settings: Settings) -> str:
    """Return by which constants curves become flow and volume.

    Examples
    --------
    >>> " ".join(conversion_note(Settings()).partition(":")[0].split())
    'CBF and CBV are scaled by κ/ρ = 0.698 mL/g'
    """
    kappa, rho = settings.hematocrit_factor, settings.tissue_density_g_ml
    large, small = settings.hematocrit_large, settings.hematocrit_small
    return (
        f"CBF and CBV are scaled by κ/ρ\u00a0=\u00a0{kappa / rho:.3f}\u00a0mL/g: hematocrit factor "
        f"κ\u00a0=\u00a0{kappa:.3f} (hematocrit {large:g} in large vessels, {small:g} in small ones), density of "
        f"tissue ρ\u00a0=\u00a0{rho:g}\u00a0g/mL."
    )
