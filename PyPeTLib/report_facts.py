"""What a report says in words and numbers: rows of text about maps, lesions, vessels, scan and settings."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

from PyPeTLib import __version__
from PyPeTLib.analysis import Analysis, Lesions, Maps
from PyPeTLib.curves import end_share, peak_time_s
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.lesion_facts import RESEARCH_USE, lesion_cells, lesion_rows
from PyPeTLib.map_facts import LONG_NAMES, median_known
from PyPeTLib.records import Candidate, VascularCurve
from PyPeTLib.scan import describe_times
from PyPeTLib.settings import LINEAR, SettingInfo, Settings, Value, describe_settings
from PyPeTLib.typeset import begins, percent, rounded, typeset
from PyPeTLib.vessel_facts import candidate_facts

Places = npt.NDArray[np.intp]
#: What published thresholds are from.
ON_THRESHOLDS = "Published thresholds are those of truncated deconvolution: with maps by {} {}. "
#: What bounds of volumes are.
ON_BOUNDS = (
    "Bounds are of what noise does: all voxels of a lesion and within 6\u00a0mm of it are off by 1 to 1.6\u00a0SD, the "
    "more the fewer lie clear of the threshold. "
)
#: Where the hypoperfusion is, in words.
SIDES = {
    "left": "on the patient's left",
    "right": "on the patient's right",
    "none": "no hypoperfusion",
    "both": "on both sides",
    "unknown": "side unknown",
}
#: Packages whose versions are stated.
PACKAGES = ("numpy", "scipy", "SimpleITK", "matplotlib", "Jinja2", "pillow")


@dataclass(frozen=True)
class KeyNumber:
    """Median and quartiles of one map over the tissue, and the SD of a voxel ("" if unknown), as text with a unit."""

    short: str
    name: str
    median: str
    quartiles: str
    voxel_sd: str
    unit: str


@dataclass(frozen=True)
class Candidates:
    """What was looked at for one vessel: title, what the second column is, and the cells of each row."""

    title: str
    second: str
    rows: list[tuple[str, ...]]


def key_numbers(maps: Maps, tissue: Image) -> list[KeyNumber]:
    """Return median and quartiles of every map over the tissue, and the median SD of its voxels.

    Parameters
    ----------
    maps : Maps
        The maps; voxels without a value do not count.
    tissue : Image
        Mask of the voxels that count.
    """
    inside = np.flatnonzero(tissue.values)
    return [_key_number(name, image, maps.sd.get(name), inside) for name, image in maps.items()]


def volume_rows(lesions: Lesions) -> list[tuple[str, str, str, str]]:
    """Return name, value, bounds and unit of the volumes and ratios, as text; a dash where not known."""
    return lesion_cells(lesion_rows(lesions))


def lesion_note(lesions: Lesions, settings: Settings) -> str:
    """Return what the volumes are of, what their thresholds are from, and what they are not for."""
    bounded = any(volume.high_ml > 0.0 for volume in lesions.volumes_ml.values())
    own = settings.lesion_rule == "own" or (settings.method in LINEAR and settings.correction == "none")
    other = "those of Tmax mark less tissue, those of CBF more" if settings.method == "bayesian" else "they mark others"
    thresholds = "" if own else ON_THRESHOLDS.format(settings.method, other)
    found = f"{begins(lesions.rule)}. Found: {SIDES[lesions.side]}."
    return f"{found} {thresholds}{ON_BOUNDS if bounded else ''}{RESEARCH_USE}"


def vessel_rows(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Return name, arterial and venous value of what is known of the vascular curves, as text; a dash if unknown."""
    times_s, arrival_s = analysis.series.times_s, analysis.bolus.arrival_s
    artery = _curve_facts(analysis.aif, times_s, arrival_s)
    vein = _curve_facts(analysis.vof, times_s, arrival_s) if analysis.vof else {"Chosen": "none found"}
    return [(name, text, vein.get(name, "–")) for name, text in artery.items()]


def candidate_rows(analysis: Analysis) -> list[Candidates]:
    """Return the arterial and the venous candidates, best first, as text."""
    vein = () if analysis.vof is None else analysis.vof.candidates
    return [
        Candidates(
            "Arterial candidates",
            "Confidence",
            [_candidate_cells(one, "confidence") for one in analysis.aif.candidates],
        ),
        Candidates("Venous candidates", "Area / AIF", [_candidate_cells(one, "area_ratio") for one in vein]),
    ]


def scan_facts(analysis: Analysis) -> list[tuple[str, str]]:
    """Return name and text of what is known of the scan."""
    series, bolus, resolution = analysis.series, analysis.bolus, analysis.curves.resolution_mm
    return [
        ("Grid", series.geometry.describe()),
        ("Frames", describe_times(series.times_s)),
        ("Source of the times", series.time_source),
        ("Brain mask", f"{analysis.brain.volume_ml:,.0f} mL, {analysis.brain_source}"),
        (
            "Left out of statistics",
            f"CSF {analysis.csf.volume_ml:,.0f} mL, large vessels {analysis.vessels.volume_ml:,.0f} mL, "
            f"voxels that share bone {analysis.bone.volume_ml:,.0f} mL",
        ),
        ("Bolus arrival", f"{bolus.arrival_s:.1f} s, after {bolus.baseline_frames} frames without contrast"),
        ("Rise of the contrast measure", f"{bolus.rise_hu:.0f} HU"),
        ("Averaging of like tissue", "not known" if resolution is None else f"over {resolution:.1f} mm (FWHM)"),
    ]


def software_facts(analysis: Analysis) -> list[tuple[str, str]]:
    """Return what made the report and from what: versions, and the hash of the voxels."""
    raw = analysis.raw
    return [
        ("Software", f"PyPeT {__version__}, Python {platform.python_version()}"),
        ("Packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ("SHA-256 of the voxels", raw.sha256),
        ("What it is of", f"the {raw.frames} frames as read, {raw.values.dtype.name}, (t, z, y, x), little-endian"),
    ]


def setting_rows(settings: Settings) -> list[tuple[SettingInfo, Value]]:
    """Return what is known of every setting, with its value."""
    return [(info, getattr(settings, info.name)) for info in describe_settings()]


def _key_number(name: str, image: Image, sd: Image | None, inside: Places) -> KeyNumber:
    """Summarise one map over the voxels ``inside``."""
    low, median, high = _quartiles(np.take(image.values, inside))
    spread = "" if sd is None else f"± {rounded(median_known(np.take(sd.values, inside)), image.unit)}"
    middle, *ends = (rounded(value, image.unit) for value in (median, low, high))
    return KeyNumber(MAP_LABELS[name], LONG_NAMES[name], middle, " – ".join(ends), spread, image.unit)


def _quartiles(values: FloatArray) -> FloatArray:
    """Return the quartiles of what is known."""
    known = values[np.isfinite(values)]
    return np.percentile(known, (25, 50, 75)) if known.size else np.full(3, np.nan)


def _curve_facts(curve: VascularCurve, times_s: FloatArray, arrival_s: float) -> dict[str, str]:
    """Return what is known of one vascular curve, by name."""
    fit, peak_s = curve.fit, peak_time_s(curve.measured_hu, times_s)
    voxels = int(curve.mask.values.sum())
    return {
        "Measured peak": f"{curve.measured_hu.max():.0f} HU",
        "Peak after scaling": f"{curve.curve_hu.max():.0f} HU",
        "Time to peak": f"{peak_s:.1f} s ({typeset(f'{peak_s - arrival_s:.1f}')} s after arrival)",
        "End of the curve": f"{percent(end_share(curve.measured_hu))} of the peak",
        "Voxels": f"{voxels} ({voxels * curve.mask.geometry.voxel_volume_ml:.2g} mL)" if voxels else "none",
        "Partial-volume factor": f"{curve.partial_volume_factor:.2f}",
        "Onset of the fit": f"{typeset(f'{fit.onset_s:.1f}')} s" if fit else "no fit",
        "Peak of the fit": f"{fit.peak_hu:.0f} HU at {fit.peak_s:.1f} s" if fit else "–",
        "Error of the fit": f"{percent(fit.error, 1)} of the peak" if fit else "–",
        "Chosen": curve.source,
    }


def _candidate_cells(candidate: Candidate, second: str) -> tuple[str, ...]:
    """Return the cells of one candidate; the second is of the figure that is named."""
    facts = candidate_facts(candidate)
    values = {name: float("nan") if value is None else value for name, value in facts.items()}
    share = values["tissue_share"]
    return (
        "refused" if candidate.refused else typeset(f"{values['score']:.2f}"),
        "–" if np.isnan(values[second]) else typeset(f"{values[second]:.2f}"),
        facts["side"] or "–",
        f"{values['peak_hu']:.0f}",
        *(number_text(values[name]) for name in ("arrival_s", "peak_s", "width_s", "signal_to_noise")),
        "–" if np.isnan(share) else percent(share),
        f"{facts['voxels']}",
        facts["reason"],
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(version not known)"


def number_text(value: float) -> str:
    """Return a number with three significant digits, a dash for none.

    Examples
    --------
    >>> number_text(3.14159), number_text(2718.28), number_text(float("nan"))
    ('3.14', '2718', '–')
    """
    if not np.isfinite(value):
        return "–"
    return typeset(f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip("."))
