"""Numbers into the scene as tables: medians of the maps, arterial candidates, checks, lesions; and read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from PyPeTLib.analysis import Analysis, Lesions, Prepared
from PyPeTLib.checks import Check
from PyPeTLib.lesion_facts import RESEARCH_USE, criterion_rows, lesion_conditions, lesion_rows
from PyPeTLib.map_facts import conversion_note, map_medians, map_sds
from PyPeTLib.quality import worst_first
from PyPeTLib.records import Candidate
from PyPeTLib.settings import Settings, Value, is_read
from PyPeTLib.typeset import begins
from PyPeTLib.vessel_facts import candidate_facts
from PyPeTScene.curves import Column, put_columns
from PyPeTScene.maps import map_label
from PyPeTScene.nodes import Node, find_node, own_node

#: Roles of the tables; that of similarity compares the maps of one run with a reference.
MEDIANS, CANDIDATES, CHECKS, SIMILARITY = "medians.table", "candidates.table", "checks.table", "similarity.table"
LESIONS, CRITERIA = "lesions.table", "criteria.table"
#: Attribute of the table of medians: what the maps were made of.
MADE_OF = "PyPeT.MadeOf"
#: Columns that are read again: numbers, and text. The user may add some, and another version may lack some.
COLUMNS: Mapping[str, Mapping[str, type]] = {
    MEDIANS: {"Map": str, "Median": float, "SD of a voxel": float, "Unit": str},
    CANDIDATES: {
        **{"Score": float, "Confidence": float, "Side": str, "Peak [HU]": float, "Arrival [s]": float},
        **{"Peak [s]": float, "Width [s]": float, "Signal/noise": float, "Tissue share": float, "Voxels": float},
        "Remark": str,
    },
    CHECKS: {"Check": str, "Status": str, "Finding": str, "Value": float},
    SIMILARITY: {"Metric": str, "Value": float, "Unit": str},
    LESIONS: {"Lesion": str, "Value": float, "From": float, "To": float, "Unit": str},
    CRITERIA: {"Criterion": str, "Met": str, "Conditions": str},
}


def show_numbers(analysis: Analysis, scan: Node) -> Node:
    """Show the median of each map over the tissue, the candidates and the checks: return the table of medians."""
    show_candidates(analysis, scan)
    show_checks(analysis, scan)
    table = _show(MEDIANS, "medians", median_columns(analysis), analysis, scan)
    table.SetDescription(conversion_note(analysis.settings))
    table.SetAttribute(MADE_OF, fingerprint(analysis))
    return table


def map_settings(settings: Settings) -> dict[str, Value]:
    """Return the settings that the maps depend on: no colours, none of the lesions, none that is not read."""
    names = [name for name, _ in settings.items()]
    of_maps = names[: names.index("lesion_rule")]  # from there on they are of the lesions
    return {name: getattr(settings, name) for name in of_maps if name != "colours" and is_read(name, settings)}


def fingerprint(prepared: Prepared) -> str:
    """Return what two runs share only if their maps are the same, also in a scene that was closed meanwhile.

    It is made of what the maps are made of: settings, times, voxels, masks, and curves that the user gave. Every fourth
    row and column of voxels will do, for who changes a scan changes more.
    """
    raw, vessels = prepared.raw, [one for one in (prepared.aif, prepared.vof) if one is not None]
    given = [one.measured_hu for one in vessels if not np.asarray(one.mask.values).any()]
    masks = [np.packbits(np.asarray(image.values)) for image in (prepared.brain, *(one.mask for one in vessels))]
    # rounded, for what is computed differs in its last digits from machine to machine
    numbers = [np.round(raw.times_s, 3), raw.values[:, :, ::4, ::4], *(np.round(curve, 1) for curve in given)]
    found = blake2b(repr(map_settings(prepared.settings)).encode(), digest_size=16)
    for values in (*numbers, *masks):
        found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


def show_candidates(prepared: Prepared, scan: Node) -> Node | None:
    """Show the arterial candidates; a run with the user's own input has none and leaves those of the last search."""
    candidates = prepared.aif.candidates
    if not candidates:
        return find_node(CANDIDATES, scan)
    return _show(CANDIDATES, "AIF candidates", candidate_columns(candidates), prepared, scan)


def show_checks(prepared: Prepared, scan: Node) -> Node:
    """Show the quality checks of a run, or of its first half, the worst first."""
    return _show(CHECKS, "checks", check_columns(worst_first(prepared.checks)), prepared, scan)


def show_volumes(analysis: Analysis, scan: Node) -> Node:
    """Show volumes and ratios of the lesions, and the criteria they meet: return the table of volumes."""
    criteria = _show(CRITERIA, "criteria", criterion_columns(analysis.lesions), analysis, scan)
    table = _show(LESIONS, "lesions", volume_columns(analysis.lesions), analysis, scan)
    for node in (criteria, table):
        rule, conditions = analysis.lesions.rule, lesion_conditions(analysis.settings)
        node.SetDescription(f"{begins(rule)}. Side: {analysis.lesions.side}. {conditions} {RESEARCH_USE}")
    return table


def rows_of(role: str, scan: Node | None) -> list[tuple[Any, ...]]:
    """Return the rows of one of the tables, its columns as `COLUMNS` has them.

    There are none where there is no table, or where it lacks a column, as one of another version may.
    """
    table = None if scan is None else find_node(role, scan)
    content, columns = None if table is None else table.GetTable(), COLUMNS[role]
    if content is None or any(content.GetColumnByName(name) is None for name in columns):
        return []
    return [
        tuple(_cell(content.GetValueByName(row, name), kind) for name, kind in columns.items())
        for row in range(content.GetNumberOfRows())
    ]


def median_columns(analysis: Analysis) -> dict[str, Column]:
    """Return map, median, the median standard deviation of a voxel (NaN where it is not known), and unit."""
    medians, units = map_medians(analysis), {name: image.unit for name, image in analysis.maps.items()}
    sds = map_sds(analysis)
    return {
        "Map": [map_label(name) for name in medians],
        "Median": list(medians.values()),
        "SD of a voxel": [sds.get(name, float("nan")) for name in medians],
        "Unit": [units[name] for name in medians],
    }


def volume_columns(lesions: Lesions) -> dict[str, Column]:
    """Return name, value, bounds (NaN where they are not known), and unit."""
    rows = lesion_rows(lesions)
    return {
        "Lesion": [row[0] for row in rows],
        "Value": [row[1] for row in rows],
        "From": [row[2] for row in rows],
        "To": [row[3] for row in rows],
        "Unit": [row[4] for row in rows],
    }


def criterion_columns(lesions: Lesions) -> dict[str, Column]:
    """Return each criterion, whether it is met, and which conditions are not."""
    rows = criterion_rows(lesions)
    return {name: [row[k] for row in rows] for k, name in enumerate(("Criterion", "Met", "Conditions"))}


def candidate_columns(candidates: Sequence[Candidate]) -> dict[str, Column]:
    """Return what was measured of each candidate, NaN where it is not known (the score of a refused one), and why."""
    facts = [candidate_facts(one) for one in candidates]

    def numbers(name: str) -> list[float]:
        return [float("nan") if one[name] is None else float(one[name]) for one in facts]

    return {
        "Score": numbers("score"),
        "Confidence": numbers("confidence"),
        "Side": [one["side"] or "" for one in facts],
        "Peak [HU]": numbers("peak_hu"),
        "Arrival [s]": numbers("arrival_s"),
        "Peak [s]": numbers("peak_s"),
        "Width [s]": numbers("width_s"),
        "Signal/noise": numbers("signal_to_noise"),
        "Tissue share": numbers("tissue_share"),
        "Voxels": numbers("voxels"),
        "Remark": [one["reason"] for one in facts],
    }


def check_columns(checks: Sequence[Check]) -> dict[str, Column]:
    """Return name, status, text and value (NaN where there is none)."""
    return {
        "Check": [one.name for one in checks],
        "Status": [one.status for one in checks],
        "Finding": [one.text for one in checks],
        "Value": [float("nan") if one.value is None else float(one.value) for one in checks],
    }


def _show(role: str, label: str, columns: Mapping[str, Column], prepared: Prepared, scan: Node) -> Node:
    table = own_node("vtkMRMLTableNode", f"{prepared.series.name} {label}", role, scan)
    put_columns(table, columns)
    return table


def _cell(value: Any, kind: type) -> float | str:
    """Return a cell as text, or as a number: NaN where what stands there is none."""
    if kind is str or value.IsNumeric():
        return str(value.ToString()) if kind is str else float(value.ToDouble())
    try:
        return float(value.ToString())
    except ValueError:
        return float("nan")
