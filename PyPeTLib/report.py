"""One self-contained HTML page about an analysis: checks first, pictures embedded, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib.curves import end_share
from PyPeTLib.errors import InputError
from PyPeTLib.quality import worst_first
from PyPeTLib.records import (
    Analysis,
    Candidate,
    FloatArray,
    Image,
    Lesions,
    Maps,
    MaskArray,
    Motion,
    Status,
    VascularCurve,
    describe_times,
)
from PyPeTLib.results import RESEARCH_USE, candidate_facts, criterion_rows, lesion_rows
from PyPeTLib.settings import SettingInfo, Settings, Value, describe_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What the status of a check is called on the page.
STATUSES: dict[Status, str] = {"fail": "Fail", "warn": "Warning", "pass": "Pass", "not applicable": "Not applicable"}
#: Names of the maps, short and in full.
MAP_NAMES = {
    "cbf": ("CBF", "cerebral blood flow"),
    "cbv": ("CBV", "cerebral blood volume"),
    "mtt": ("MTT", "mean transit time"),
    "tmax": ("Tmax", "time to the maximum of the response"),
    "ttp": ("TTP", "time from bolus arrival to peak"),
    "delay": ("Delay", "arrival after the arterial input"),
}
#: Optional packages that the report needs.
NEEDED = ("matplotlib", "jinja2")


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


@dataclass(frozen=True)
class Picture:
    """A PNG as data address, with another for dark pages where there is one."""

    title: str
    caption: str
    light: str
    dark: str = ""


def report_available() -> bool:
    """Tell whether the optional packages of the report are installed; nothing is imported."""
    return all(find_spec(name) is not None for name in NEEDED)


def report_html(analysis: Analysis) -> str:
    """Return the report as one HTML page without scripts or links to other files.

    Parameters
    ----------
    analysis : Analysis
        The run.

    Raises
    ------
    InputError
        If matplotlib or jinja2 is not installed.
    """
    if not report_available():
        missing = ", ".join(name for name in NEEDED if find_spec(name) is None)
        needed = "Report: matplotlib and jinja2 are needed"
        raise InputError(f"{needed}; missing: {missing}. Run: pip install 'PyPeTLib[report]'.")
    import jinja2

    from PyPeTLib import __version__

    loader = jinja2.PackageLoader("PyPeTLib", "templates")
    pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    rows, checks = setting_rows(analysis.settings), worst_first(analysis.checks)
    return pages.get_template("report.html").render(
        name=analysis.series.name,
        version=__version__,
        doubts=[check for check in checks if check.doubtful],
        others=[check for check in checks if not check.doubtful],
        statuses=STATUSES,
        numbers=key_numbers(analysis.maps, analysis.tissue),
        lesions=volume_rows(analysis.lesions),
        criteria=criterion_rows(analysis.lesions),
        lesion_note=lesion_note(analysis.lesions),
        vessels=vessel_facts(analysis),
        candidates=[rows for rows in candidate_rows(analysis) if rows.rows],
        pictures=_pictures(analysis),
        methods=analysis.methods_text,
        facts=scan_facts(analysis),
        changed=[(info, value) for info, value in rows if value != info.default],
        settings=rows,
        seconds=analysis.seconds,
    )


def key_numbers(maps: Maps, tissue: Image) -> list[KeyNumber]:
    """Return median and quartiles of every map over the tissue, and the median SD of its voxels.

    Parameters
    ----------
    maps : Maps
        The maps; voxels without a value do not count.
    tissue : Image
        Mask of the voxels that count.
    """
    return [_key_number(name, image, maps.sd.get(name), tissue.values) for name, image in maps.items()]


def volume_rows(lesions: Lesions) -> list[tuple[str, str, str, str]]:
    """Return name, value, bounds and unit of the volumes and ratios, as text; a dash where not known."""
    return [
        (name, _number(value), "" if np.isnan(low) else f"{_number(low)} – {_number(high)}", unit)
        for name, value, low, high, unit in lesion_rows(lesions)
    ]


def lesion_note(lesions: Lesions) -> str:
    """Return what the volumes are of, and what they are not for."""
    side = {"none": "no hypoperfusion", "both": "on both sides", "unknown": "side unknown"}.get(
        lesions.side, f"on the patient's {lesions.side}"
    )
    rule = f"{lesions.rule[0].upper()}{lesions.rule[1:]}"
    bounds = "Bounds are of what noise does: what lies beyond the threshold with a probability of 95 %, and of 5 %."
    return f"{rule}; {side}. {bounds} {RESEARCH_USE}"


def vessel_facts(analysis: Analysis) -> list[tuple[str, str, str]]:
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
            f"CSF {analysis.csf.volume_ml:,.0f} mL, large vessels {analysis.vessels.volume_ml:,.0f} mL",
        ),
        ("Bolus arrival", f"{bolus.arrival_s:.1f} s, after {bolus.baseline_frames} frames without contrast"),
        ("Rise of the contrast measure", f"{bolus.rise_hu:.0f} HU"),
        ("Averaging of like tissue", "not known" if resolution is None else f"over {resolution:.1f} mm (FWHM)"),
    ]


def setting_rows(settings: Settings) -> list[tuple[SettingInfo, Value]]:
    """Return what is known of every setting, with its value."""
    return [(info, getattr(settings, info.name)) for info in describe_settings()]


def _key_number(name: str, image: Image, sd: Image | None, tissue: MaskArray) -> KeyNumber:
    """Summarise one map."""
    low, median, high = _quartiles(image.values[tissue])
    spread = "" if sd is None else f"± {_number(_quartiles(sd.values[tissue])[1])}"
    return KeyNumber(*MAP_NAMES[name], _number(median), f"{_number(low)} – {_number(high)}", spread, image.unit)


def _quartiles(values: FloatArray) -> FloatArray:
    """Return the quartiles of what is known."""
    known = values[np.isfinite(values)]
    return np.percentile(known, (25, 50, 75)) if known.size else np.full(3, np.nan)


def _curve_facts(curve: VascularCurve, times_s: FloatArray, arrival_s: float) -> dict[str, str]:
    """Return what is known of one vascular curve, by name."""
    fit, peak_s = curve.fit, float(times_s[curve.measured_hu.argmax()])
    voxels = int(curve.mask.values.sum())
    return {
        "Measured peak": f"{curve.measured_hu.max():.0f} HU",
        "Peak after scaling": f"{curve.curve_hu.max():.0f} HU",
        "Time to peak": f"{peak_s:.1f} s ({peak_s - arrival_s:.1f} s after arrival)",
        "End of the curve": f"{end_share(curve.measured_hu):.0%} of the peak",
        "Voxels": f"{voxels} ({_number(voxels * curve.mask.geometry.voxel_volume_ml)} mL)" if voxels else "none",
        "Partial-volume factor": f"{curve.partial_volume_factor:.2f}",
        "Onset of the fit": f"{fit.onset_s:.1f} s" if fit else "no fit",
        "Peak of the fit": f"{fit.peak_hu:.0f} HU at {fit.peak_s:.1f} s" if fit else "–",
        "Error of the fit": f"{fit.error:.1%} of the peak" if fit else "–",
        "Chosen": curve.source,
    }


def _candidate_cells(candidate: Candidate, second: str) -> tuple[str, ...]:
    """Return the cells of one candidate; the second is of the figure that is named."""
    facts = candidate_facts(candidate)
    values = {name: float("nan") if value is None else value for name, value in facts.items()}
    share = values["tissue_share"]
    return (
        "refused" if candidate.refused else f"{values['score']:.2f}",
        "–" if np.isnan(values[second]) else f"{values[second]:.2f}",
        facts["side"] or "–",
        f"{values['peak_hu']:.0f}",
        *(_number(values[name]) for name in ("arrival_s", "peak_s", "width_s", "signal_to_noise")),
        "–" if np.isnan(share) else f"{share:.0%}",
        f"{facts['voxels']}",
        facts["reason"],
    )


def _pictures(analysis: Analysis) -> list[Picture]:
    """Draw and encode the pictures."""
    from PyPeTLib import figures

    def drawn(draw: Callable[[Analysis], Figure]) -> str:
        return "data:image/png;base64," + base64.b64encode(figures.png(draw(analysis))).decode("ascii")

    windows = "Colours have the same range in every report. The patient's left (L) is on the right."
    return [
        Picture("Perfusion maps", windows, drawn(figures.maps_figure)),
        *([_uncertainty(drawn)] if analysis.maps.sd else []),
        Picture(
            "Curves",
            "Arterial input (AIF), venous output (VOF) and mean of the brain, as enhancement above the baseline.",
            drawn(figures.curves_figure),
            drawn(lambda run: figures.curves_figure(run, "dark")),
        ),
        *([_place_of_artery(drawn)] if analysis.aif.mask.values.any() else []),
        *([_motion(analysis.motion, drawn)] if analysis.motion is not None and analysis.motion.mattered else []),
    ]


def _uncertainty(drawn: Callable[[Callable[[Analysis], Figure]], str]) -> Picture:
    """Return the picture of the standard deviations."""
    from PyPeTLib import figures

    text = (
        "Standard deviation of the value of a single voxel, in half the range of its map; the mean of a region is "
        "known better. 1.645 times as much on both sides is the 90 % interval."
    )
    return Picture("Uncertainty", text, drawn(figures.uncertainty_figure))


def _place_of_artery(drawn: Callable[[Callable[[Analysis], Figure]], str]) -> Picture:
    """Return the picture of the AIF voxels; a curve that the user gave has none."""
    from PyPeTLib import figures

    text = "The slice with most AIF voxels, AIF in purple. The square is the close-up."
    return Picture("Place of the arterial input", text, drawn(figures.artery_figure))


def _motion(motion: Motion, drawn: Callable[[Callable[[Analysis], Figure]], str]) -> Picture:
    """Return the picture of the head's motion."""
    from PyPeTLib import figures

    return Picture(
        "Motion of the head",
        "Shift of the scan's centre and turn against the first frame, and the largest displacement of the skull.",
        drawn(lambda _: figures.motion_figure(motion)),
        drawn(lambda _: figures.motion_figure(motion, "dark")),
    )


def _number(value: float) -> str:
    """Return a number with three significant digits, a dash for none."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
