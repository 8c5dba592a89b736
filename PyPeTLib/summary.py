"""The summary of a run, as ``PREFIX_summary.json`` holds it: input, what each step found, settings and software."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from PyPeTLib import __version__
from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import invalid_why
from PyPeTLib.lesion_facts import lesion_facts
from PyPeTLib.map_facts import map_medians, map_sds
from PyPeTLib.records import Drift, Jumps, Motion
from PyPeTLib.settings import without_effect
from PyPeTLib.vessel_facts import curve_facts

if TYPE_CHECKING:
    from PyPeTLib.beside import Reference


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
        "slice_jumps": _slice_jumps(analysis.slice_jumps),
        "brain": {"source": analysis.brain_source, "volume_ml": analysis.brain.volume_ml},
        "csf": {"volume_ml": analysis.csf.volume_ml},
        "vessels": {"volume_ml": analysis.vessels.volume_ml},
        "bone": {"volume_ml": analysis.bone.volume_ml},
        "tissue": {"volume_ml": analysis.tissue.volume_ml},
        "aif": curve_facts(analysis.aif, analysis),
        "vof": None if analysis.vof is None else curve_facts(analysis.vof, analysis),
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


def _motion(motion: Motion) -> dict[str, Any]:
    """Return the facts of the head's motion."""
    return {
        "largest_displacement_mm": float(motion.displacement_mm.max()),
        "largest_turn_degrees": motion.largest_turn_degrees,
        "frames_corrected": int(motion.corrected.sum()),
        "frames_left_out": int(motion.left_out.sum()),
    }


def _drift(drift: Drift) -> dict[str, Any]:
    """Return the drift of the scanner."""
    return {
        "hu_per_minute": drift.hu_per_minute,
        "sd_hu_per_minute": drift.sd_hu_per_minute,
        "visible_hu_per_minute": drift.visible_hu_per_minute,
        "frames": drift.frames,
        "before_bolus": drift.before_bolus,
        "corrected": drift.corrected,
    }


def _jumps(jumps: Jumps) -> dict[str, Any]:
    """Return by how much the level of frames jumps."""
    return {"sd_hu": jumps.sd_hu, "hu": jumps.hu, "corrected": jumps.corrected}


def _slice_jumps(jumps: Jumps) -> dict[str, Any]:
    """Return by how much the level of slices jumps; all numbers only where it does."""
    all_hu = {"hu": jumps.hu} if jumps.certain else {}
    return {"sd_hu": jumps.sd_hu, **all_hu, "corrected": jumps.corrected}
