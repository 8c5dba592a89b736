"""The files of a run: maps, masks, curves, summary and report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from PyPeTLib import __version__
from PyPeTLib.curves import area_weights, end_share
from PyPeTLib.errors import InputError, reason_of
from PyPeTLib.records import (
    Analysis,
    Candidate,
    Check,
    Drift,
    FloatArray,
    Image,
    Jumps,
    Lesions,
    Motion,
    Prepared,
    VascularCurve,
)
from PyPeTLib.settings import DeconvolutionMethod, Settings, Value, describe_settings, is_read, without_effect
from PyPeTLib.typeset import typeset
from PyPeTLib.write import prefix_of, write_csv, write_image, write_json, write_text

if TYPE_CHECKING:
    from PyPeTLib.beside import Reference

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
#: How the name of the file ends by which a run is known.
SUMMARY = "_summary.json"
#: Masks that a run may write.
MASK_NAMES = ("brain", "csf", "bone", "aif", "vof", "vessel", "core", "hypoperfusion", "mismatch")
#: Stands wherever numbers about lesions are shown.
RESEARCH_USE = "Research use only: not for diagnosis or treatment."
#: What the volumes of a lesion are called.
VOLUME_NAMES = {
    "core": "Core",
    "hypoperfusion": "Hypoperfusion",
    "mismatch": "Mismatch",
    **{f"tmax_over_{s}s": f"Tmax > {s} s" for s in (4, 6, 8, 10)},
    **{f"rcbf_below_{p}": f"CBF < {p} % of normal" for p in (20, 30, 38)},
}
#: What the ratio of hypoperfusion over core is called.
MISMATCH_RATIO = "Mismatch ratio"
#: Stands where there is no core to have a ratio to; criteria take the ratio to be as large as they need.
NO_CORE = "no core"
MET = {True: "met", False: "not met", None: "not known"}
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


def write_analysis(
    analysis: Analysis,
    folder: str | Path,
    *,
    source: str = "",
    report: bool = True,
    reference: Reference | None = None,
) -> None:
    """Write everything a run found out into a folder that exists.

    Files are ``PREFIX_{cbf,cbv,mtt,tmax,ttp,...}.nii.gz`` with a JSON sidecar each,
    ``PREFIX_{brain,csf,bone,aif,vof,vessel,core,hypoperfusion,mismatch}_mask.nii.gz``, ``PREFIX_curves.csv``,
    ``PREFIX_motion.csv`` (where motion was measured), ``PREFIX_summary.json`` and ``PREFIX_report.html``; PREFIX is the
    name of the scan without a trailing ``_ctp``. Existing files of these names are replaced.

    Parameters
    ----------
    analysis : Analysis
        The result.
    folder : str or Path
        Where to; must exist.
    source : str
        The scan's path, for the summary.
    report : bool
        Write the report too; it needs the extra ``report``.
    reference : beside.Reference, optional
        Maps that the report shows beside those of the run, on its grid.

    Raises
    ------
    InputError
        If a file cannot be written, or the packages of the report are missing.
    """
    stem = str(Path(folder) / prefix_of(analysis.series.name))
    about = partial(summary, analysis, source=source, reference=reference)
    tasks: list[Callable[[], None]] = [lambda: write_json(about(), f"{stem}_summary.json")]
    tasks += [
        partial(_write_map, image, f"{stem}_{name}.nii.gz", analysis, _sidecar(name, analysis))
        for name, image in (*analysis.maps.items(), *analysis.maps.companions(), *analysis.derived.items())
    ]
    tasks += [partial(write_image, mask, f"{stem}_{name}_mask.nii.gz") for name, mask in _masks(analysis)]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()
    write_csv(curve_table(analysis), f"{stem}_curves.csv")
    if analysis.motion is not None:
        write_csv(motion_table(analysis.motion), f"{stem}_motion.csv")
    if report:
        from PyPeTLib.report import report_html

        write_text(report_html(analysis, reference=reference), f"{stem}_report.html")


def _write_map(image: Image, path: str, analysis: Analysis, sidecar: dict[str, object]) -> None:
    """Write a map with 0 outside the brain mask and NaN where it is not defined inside."""
    inside = np.where(analysis.brain.values, image.values, np.float32(0.0))
    write_image(Image(inside, image.geometry, image.unit), path, metadata=sidecar, missing=float("nan"))


def result_names(analysis: Analysis) -> set[str]:
    """Return the names of all files that runs on this scan may have written, with any settings."""
    return _names_of(prefix_of(analysis.series.name))


def holds_other_runs_only(folder: str | Path, prefix: str) -> bool:
    """Tell whether a folder holds results of other scans and nothing else, so that a run may add its own to them.

    Parameters
    ----------
    folder : str or Path
        May be missing.
    prefix : str
        What the names of the run's files begin with. Another that differs in case only is no other: Windows and macOS
        take their files for the same.
    """
    if not Path(folder).is_dir():
        return False
    present = {entry.name for entry in Path(folder).iterdir() if not entry.name.startswith(".")}
    others = {name.removesuffix(SUMMARY) for name in present if name.endswith(SUMMARY)}
    known: set[str] = set().union(*(_names_of(other) for other in others))
    return prefix.casefold() not in {other.casefold() for other in others} and bool(present) and present <= known


def require_names(name: str, folder: Path) -> None:
    """Refuse, before the work, a scan whose name is too long for the names of its results.

    Parameters
    ----------
    name : str
        Of the scan.
    folder : Path
        Where the results will be written; it exists.

    Raises
    ------
    InputError
        If the longest name cannot be given to a file there.
    """
    prefix = prefix_of(name)
    file = folder / max(_names_of(prefix), key=len)
    try:
        file.touch()
        file.unlink()
    except OSError as error:
        need = f"a name is needed that '{file.name.removeprefix(prefix)}' can be added to"
        cure = "Rename the scan, or choose a folder with a shorter path"
        raise InputError(f"Scan {name}: {need}; found {reason_of(error)}. {cure}.") from error


def _names_of(prefix: str) -> set[str]:
    """Return the names of all files that runs of a prefix may have written."""
    maps = [f"{name}{kind}" for name in LONG_NAMES for kind in ("", *(f"_{kind}" for kind in KINDS))]
    names = [f"{name}{end}" for name in maps for end in (".nii.gz", ".json")]
    names += [f"{name}_mask.nii.gz" for name in MASK_NAMES]
    names += ["curves.csv", "motion.csv", "summary.json", "report.html", "report.pdf", "scene.mrb"]
    return {f"{prefix}_{name}" for name in names}


def former_results(analysis: Analysis, folder: str | Path) -> set[str]:
    """Return the names of the files that an earlier run on this scan left in a folder: one that has its summary."""
    former = Path(folder) / f"{prefix_of(analysis.series.name)}_summary.json"
    return {name for name in result_names(analysis) if former.with_name(name).is_file()} if former.is_file() else set()


def curve_table(analysis: Prepared) -> dict[str, FloatArray]:
    """Return the columns of the curve table: time in s, enhancement in HU; NaN where there is no curve.

    ``aif_measured_hu`` is the mean of the AIF mask, ``aif_hu`` the same after partial-volume scaling (the curve that is
    deconvolved), ``aif_fit_hu`` its gamma-variate, ``brain_hu`` the mean of the brain mask after denoising.
    """
    times = np.asarray(analysis.series.times_s)
    missing = np.full(times.shape, np.nan)
    fit = analysis.aif.fit
    return {
        "time_s": times,
        "aif_measured_hu": analysis.aif.measured_hu,
        "aif_hu": analysis.aif.curve_hu,
        "aif_fit_hu": missing if fit is None else fit(times),
        "vof_hu": missing if analysis.vof is None else analysis.vof.curve_hu,
        "brain_hu": analysis.curves.mean(analysis.brain.values),
    }


def motion_table(motion: Motion) -> dict[str, FloatArray]:
    """Return the columns of the motion table, a row for every frame that was acquired.

    ``shift_{x,y,z}_mm`` is the displacement of the grid's centre and ``turn_{x,y,z}_degrees`` the rotation vector,
    both LPS, against the first frame; ``displacement_mm`` the largest displacement of any point of the skull;
    ``corrected`` and ``left_out`` are 0 or 1.
    """
    shifts = {f"shift_{axis}_mm": column for axis, column in zip("xyz", motion.shifts_mm.T, strict=True)}
    turns = {f"turn_{axis}_degrees": column for axis, column in zip("xyz", motion.rotations_degrees.T, strict=True)}
    return {
        "time_s": motion.times_s,
        **shifts,
        **turns,
        "displacement_mm": motion.displacement_mm,
        "corrected": motion.corrected.astype(float),
        "left_out": motion.left_out.astype(float),
    }


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


def map_medians(analysis: Analysis) -> dict[str, float]:
    """Return the median of each map over the tissue, in the map's unit; NaN where there is none."""
    tissue = analysis.tissue.values
    return {name: _median(image.values[tissue]) for name, image in analysis.maps.items()}


def map_sds(analysis: Analysis) -> dict[str, float]:
    """Return the median over the tissue of a single voxel's standard deviation, of the maps that have one."""
    tissue = analysis.tissue.values
    return {name: _median(image.values[tissue]) for name, image in analysis.maps.sd.items()}


def _median(values: FloatArray) -> float:
    """Return the median of what is known."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def summary(analysis: Analysis, *, source: str = "", reference: Reference | None = None) -> dict[str, Any]:
    """Return what ``PREFIX_summary.json`` holds.

    Parameters
    ----------
    analysis : Analysis
        The run.
    source : str
        The scan's path.
    reference : beside.Reference, optional
        Maps that the report shows beside those of the run.
    """
    series = analysis.series
    return {
        "input": {
            "name": series.name,
            "path": source,
            "grid": asdict(series.geometry),
            "frames": series.frames,
            "voxel_type": analysis.raw.values.dtype.name,
            "sha256": analysis.raw.sha256,
        },
        "times_s": series.times_s,
        "time_source": series.time_source,
        "motion": None if analysis.motion is None else _motion(analysis.motion),
        "bolus_arrival_s": analysis.bolus.arrival_s,
        "baseline_frames": analysis.bolus.baseline_frames,
        "drift": None if analysis.drift is None else _drift(analysis.drift),
        "jumps": _jumps(analysis.jumps),
        "brain": {"source": analysis.brain_source, "volume_ml": analysis.brain.volume_ml},
        "csf": {"volume_ml": analysis.csf.volume_ml},
        "vessels": {"volume_ml": analysis.vessels.volume_ml},
        "bone": {"volume_ml": analysis.bone.volume_ml},
        "tissue": {"volume_ml": analysis.tissue.volume_ml},
        "aif": _vascular(analysis.aif, analysis),
        "vof": None if analysis.vof is None else _vascular(analysis.vof, analysis),
        "map_medians": map_medians(analysis),
        "map_voxel_sds": map_sds(analysis),
        "resolution_mm": analysis.curves.resolution_mm,
        "residue": analysis.maps.residue or None,
        "strength": analysis.maps.strength,
        **lesion_facts(analysis.lesions),
        "map_units": {name: image.unit for name, image in analysis.maps.items()},
        "reference": None if reference is None else _reference(reference),
        "conversion": {
            "hematocrit_factor": analysis.settings.hematocrit_factor,
            "tissue_density_g_ml": analysis.settings.tissue_density_g_ml,
        },
        "invalid": invalid_why(analysis.checks),
        "checks": [asdict(check) for check in analysis.checks],
        "settings": dict(analysis.settings.items()),
        "settings_without_effect": without_effect(analysis.settings),
        "methods_text": analysis.methods_text,
        "software": {"name": "PyPeT", "version": __version__},
        "seconds": dict(analysis.seconds),
    }


def _reference(reference: Reference) -> dict[str, Any]:
    """Return which maps the report shows beside those of the run, where they are from, and what is said of them."""
    source = {} if reference.source is None else asdict(reference.source)
    return {"maps": list(reference.maps), **source, "remarks": list(reference.remarks)}


def lesion_facts(lesions: Lesions) -> dict[str, Any]:
    """Return what the summary holds of the lesions: volumes with their bounds in mL, ratios and criteria."""
    plane = lesions.midplane
    return {
        "lesions": {
            "note": RESEARCH_USE,
            "rule": lesions.rule,
            "side": lesions.side,
            "normal_tissue": dict(lesions.normal),
            "midplane": None if plane is None else {**asdict(plane), "tilt_degrees": plane.tilt_degrees},
        },
        "volumes_ml": {name: volume.ml for name, volume in lesions.volumes_ml.items()},
        "volume_bounds_ml": {
            name: [volume.low_ml, volume.high_ml]
            for name, volume in lesions.volumes_ml.items()
            if np.isfinite(volume.low_ml)
        },
        "mismatch_ratio": lesions.mismatch_ratio,
        "hir": lesions.hir,
        "cbv_index": lesions.cbv_index,
        "criteria": {one.name: {"met": one.met, "conditions": dict(one.conditions)} for one in lesions.criteria},
    }


#: Name, value, bounds and unit of a volume or ratio.
LesionRow = tuple[str, float, float, float, str]


def lesion_rows(lesions: Lesions) -> list[LesionRow]:
    """Return name, value, bounds (NaN where not known) and unit of every volume and ratio."""
    volumes = [
        (VOLUME_NAMES[name], volume.ml, volume.low_ml, volume.high_ml, "mL")
        for name, volume in lesions.volumes_ml.items()
    ]
    ratios = {
        MISMATCH_RATIO: lesions.mismatch_ratio,
        "HIR (Tmax > 10 s over Tmax > 6 s)": lesions.hir,
        "CBV index": lesions.cbv_index,
    }
    return volumes + [(name, value, float("nan"), float("nan"), "") for name, value in ratios.items()]


def lesion_values(rows: Sequence[LesionRow], *, unknown: str) -> list[str]:
    """Return the values of `lesion_rows` as text: without a core the ratio is not unknown, for it has none.

    Parameters
    ----------
    rows : sequence of tuple
        All rows.
    unknown : str
        What stands where a value is not known.

    Examples
    --------
    >>> nan = float("nan")
    >>> volumes = [("Core", 0.0, nan, nan, "mL"), ("Hypoperfusion", 61.24, nan, nan, "mL")]
    >>> lesion_values([*volumes, ("Mismatch ratio", nan, nan, nan, ""), ("HIR", nan, nan, nan, "")], unknown="–")
    ['0.0', '61.2', 'no core', '–']
    """
    volumes = {name: value for name, value, *_ in rows}
    core_ml, late_ml = (volumes.get(VOLUME_NAMES[name], float("nan")) for name in ("core", "hypoperfusion"))
    missing = {MISMATCH_RATIO: why_no_ratio(core_ml, late_ml)}
    return [
        typeset(f"{value:.1f}" if unit else f"{value:.2f}") if np.isfinite(value) else missing.get(name) or unknown
        for name, value, _, _, unit in rows
    ]


def why_no_ratio(core_ml: float, hypoperfusion_ml: float) -> str:
    """Return why known volumes have no mismatch ratio; "" where they have one, or are not known.

    Examples
    --------
    >>> why_no_ratio(0.0, 61.2), why_no_ratio(0.0, 0.0), why_no_ratio(3.0, 61.2), why_no_ratio(float("nan"), 61.2)
    ('no core', 'no hypoperfusion', '', '')
    """
    if core_ml != 0.0 or not np.isfinite(hypoperfusion_ml):
        return ""
    return NO_CORE if hypoperfusion_ml > 0.0 else "no hypoperfusion"


def criterion_rows(lesions: Lesions) -> list[tuple[str, str, str]]:
    """Return each criterion, whether it is met, and the conditions that are not, or that are not known."""
    volumes = lesions.volumes_ml
    no_core = why_no_ratio(volumes["core"].ml, volumes["hypoperfusion"].ml) == NO_CORE
    note = f" ({NO_CORE}: the ratio is not defined and counts as met)" if no_core else ""
    rows = []
    for one in lesions.criteria:
        failed = [text for text, met in one.conditions.items() if met is False]
        unknown = [text for text, met in one.conditions.items() if met is None]
        conditions = [text + note * text.startswith("mismatch ratio") for text in one.conditions]
        why = [f"not met: {', '.join(failed)}"] * bool(failed) + [f"not known: {', '.join(unknown)}"] * bool(unknown)
        rows.append((one.name, MET[one.met], "; ".join(why) or ", ".join(conditions)))
    return rows


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


def lesion_conditions(settings: Settings) -> str:
    """Return on which settings volumes of lesions depend beside the thresholds of their rule."""
    late = f"late means so with a probability of at least {settings.late_probability:.3g}; "
    return (
        f"Parts of less than {settings.smallest_lesion_ml:g} mL are left out; "
        + late * (settings.method == "bayesian")
        + f"within {settings.vessel_margin_mm:g} mm of large vessels tissue counts as the nearest other; normal tissue "
        f"has a Tmax of at most {settings.normal_tmax_s:g} s; both sides are ill where the smaller hypoperfusion has "
        f"{100.0 * settings.both_sides_share:.3g} % of the larger and {settings.both_sides_ml:g} mL."
    )


def _drift(drift: Drift) -> dict[str, Any]:
    """Return the drift of the scanner before the bolus."""
    return {
        "hu_per_minute": drift.hu_per_minute,
        "sd_hu_per_minute": drift.sd_hu_per_minute,
        "visible_hu_per_minute": drift.visible_hu_per_minute,
        "frames": drift.frames,
        "corrected": drift.corrected,
    }


def _jumps(jumps: Jumps) -> dict[str, Any]:
    """Return by how much the level of frames jumps."""
    return {"sd_hu": jumps.sd_hu, "hu": jumps.hu, "corrected": jumps.corrected}


def _motion(motion: Motion) -> dict[str, Any]:
    """Return the facts of the head's motion."""
    return {
        "largest_displacement_mm": float(motion.displacement_mm.max()),
        "largest_turn_degrees": motion.largest_turn_degrees,
        "frames_corrected": int(motion.corrected.sum()),
        "frames_left_out": int(motion.left_out.sum()),
    }


def regularisation(settings: Settings) -> dict[str, Value]:
    """Return name and value of the setting that regularises the chosen method, if one does."""
    name = REGULARISATION.get(settings.method)
    return {} if name is None else {name: getattr(settings, name)}


def map_resolution_mm(name: str, analysis: Analysis) -> float | None:
    """Return the full width at half maximum in mm of the Gaussian that a map averages like; None where not known.

    It is that of the curves. A smoothed map is wider: squares of widths add up.
    """
    of_curves_mm = analysis.curves.resolution_mm
    if of_curves_mm is None or not name.endswith("_smooth"):
        return of_curves_mm
    return float(np.hypot(of_curves_mm, np.sqrt(8.0 * np.log(2.0)) * analysis.settings.map_smoothing_mm))


def invalid_why(checks: Iterable[Check]) -> list[str]:
    """Return why a result is marked invalid: every failed check; nothing where it is not."""
    return [check.text for check in checks if check.status == "fail"]


def _sidecar(name: str, analysis: Analysis) -> dict[str, object]:
    """Return what a map's sidecar says beside its unit."""
    base, _, kind = name.partition("_")
    invalid, chosen = invalid_why(analysis.checks), analysis.settings
    width_mm = map_resolution_mm(name, analysis)
    return {
        "LongName": LONG_NAMES[base] + (KINDS[kind] if kind else ""),
        "OutsideMask": 0,
        "UndefinedInsideMask": "NaN",
        "DeconvolutionMethod": chosen.method,
        **({} if analysis.maps.strength is None else {"Strength": analysis.maps.strength}),
        **({"Correction": chosen.correction} if chosen.bias_removed else {}),
        **({} if width_mm is None else {"ResolutionMm": round(width_mm, 2)}),
        **({"Residue": analysis.maps.residue} if analysis.maps.residue else {}),
        "Software": f"PyPeT {__version__}",
        "Settings": {one.name: getattr(chosen, one.name) for one in describe_settings() if is_read(one.name, chosen)},
        **({"Invalid": invalid} if invalid else {}),
    }


def _masks(analysis: Analysis) -> list[tuple[str, Image]]:
    nothing = Image(np.zeros(analysis.brain.values.shape, dtype=bool), analysis.brain.geometry)
    vof = nothing if analysis.vof is None else analysis.vof.mask
    vessels = [("aif", analysis.aif.mask), ("vof", vof), ("vessel", analysis.vessels)]
    rest = [("csf", analysis.csf), ("bone", analysis.bone)]
    return [("brain", analysis.brain), *rest, *vessels, *analysis.lesions.masks()]


def _vascular(curve: VascularCurve, analysis: Analysis) -> dict[str, Any]:
    """Return the facts of an arterial or venous curve; times are on the scan's axis, but for the time to peak."""
    times = analysis.series.times_s
    peak_s = float(times[np.argmax(curve.measured_hu)]) if curve.fit is None else curve.fit.peak_s
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
