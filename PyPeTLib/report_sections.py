"""What a report says, as data: sections of figures, tables, findings, pictures and text, for any template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from PyPeTLib import __version__
from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import Check, Status, invalid_why
from PyPeTLib.lesion_facts import MISMATCH_RATIO, criterion_rows, lesion_conditions
from PyPeTLib.map_facts import conversion_note
from PyPeTLib.quality import worst_first
from PyPeTLib.references import references
from PyPeTLib.report_facts import (
    candidate_rows,
    key_numbers,
    lesion_note,
    scan_facts,
    setting_rows,
    software_facts,
    vessel_rows,
    volume_rows,
)
from PyPeTLib.settings import without_effect
from PyPeTLib.typeset import begins

#: What the status of a check is called on the page.
STATUSES: dict[Status, str] = {"fail": "Fail", "warn": "Warning", "pass": "Pass", "not applicable": "Not applicable"}
#: What stands where no setting was changed.
ALL_DEFAULT = "All settings have their default."
#: What the cells of a column are: the row's name, a number (the one that matters), its unit, text, code, or a status.
Kind = Literal["name", "number", "key", "unit", "text", "code", "status"]


@dataclass(frozen=True)
class Tile:
    """One large figure: what it is of, its value, unit and a remark."""

    label: str
    value: str
    unit: str
    note: str
    colour: str = ""


@dataclass(frozen=True)
class Tiles:
    """Large figures in a row."""

    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Findings:
    """Checks that the reader has to know of, the worst first."""

    kind: ClassVar[str] = "findings"
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text under heads; ``folded`` is the line that opens it, empty where it is open."""

    kind: ClassVar[str] = "table"
    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[str, ...], ...]
    folded: str = ""
    name: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture as data address, with another for dark pages where there is one; ``shows`` says it in words."""

    kind: ClassVar[str] = "picture"
    title: str
    caption: str
    shows: str
    light: str
    dark: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph, and a list below it."""

    kind: ClassVar[str] = "text"
    paragraph: str
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class Viewer:
    """What the script shows, of `report_viewer.viewer_data`."""

    kind: ClassVar[str] = "viewer"
    data: Mapping[str, Any]


Block = Tiles | Findings | Table | Picture | Text | Viewer


@dataclass(frozen=True)
class Section:
    """One part of a report; ``short`` is its title in the line of contents, empty where that is the same."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""
    short: str = ""


@dataclass(frozen=True)
class Report:
    """Everything one page says: of one scan here; a page about many scans takes a sequence of them.

    ``invalid`` has the reasons why nothing on it is to be trusted.
    """

    name: str
    version: str
    sections: tuple[Section, ...]
    invalid: tuple[str, ...] = ()


def report_sections(analysis: Analysis, pictures: Mapping[str, Picture], viewer: Mapping[str, Any]) -> Report:
    """Return everything the report of a run says, in order.

    Parameters
    ----------
    analysis : Analysis
        The run.
    pictures : mapping of str to Picture
        By the keys of `report_pictures.FIGURES`; what is missing is left out.
    viewer : mapping
        Of `report_viewer.viewer_data`.
    """

    def shown(*keys: str) -> tuple[Picture, ...]:
        return tuple(pictures[key] for key in keys if key in pictures)

    sections = [
        _result(analysis),
        _numbers(analysis),
        Section("viewer", "Step by step", (Viewer(viewer),)),
        Section("maps", "Perfusion maps", shown("maps", "reference"), short="Maps"),
        Section("lesions", "Core and hypoperfusion", shown("lesions"), short="Lesions"),
        Section("uncertainty", "Uncertainty", shown("uncertainty")),
        _vessels(analysis, shown("vessels", "curves")),
        Section("bolus", "Bolus arrival", shown("bolus"), short="Bolus"),
        Section("motion", "Motion of the head", shown("motion"), short="Motion"),
        _quality(analysis.checks),
        Section("methods", "Methods", (Text(analysis.methods_text, tuple(references(analysis.methods_text))),)),
        _settings(analysis),
        _software(analysis),
    ]
    filled = tuple(section for section in sections if section.blocks)
    return Report(analysis.series.name, __version__, filled, tuple(invalid_why(analysis.checks)))


def _result(analysis: Analysis) -> Section:
    """Return volumes, criteria and findings."""
    rows = {name: rest for name, *rest in volume_rows(analysis.lesions)}
    colours = {"Core": "core", "Hypoperfusion": "hypoperfusion", "Mismatch": "", MISMATCH_RATIO: ""}
    tiles = []
    for name, colour in colours.items():
        value, bounds, unit = rows[name]
        note = f"bounds {bounds} {unit}" if bounds else ""
        if value == "–":
            value, unit = "not known", ""
        tiles.append(Tile(name, value, unit, note, colour))
    criteria = Table(
        (("Criterion", "name"), ("Met", "text"), ("Conditions", "text")),
        tuple(criterion_rows(analysis.lesions)),
        name="Criteria",
    )
    doubts = tuple(check for check in worst_first(analysis.checks) if check.doubtful)
    columns: tuple[tuple[str, Kind], ...]
    columns = (("Volume or ratio", "name"), ("Value", "key"), ("Bounds", "number"), ("Unit", "unit"))
    volumes = Table(columns, tuple(volume_rows(analysis.lesions)), folded="All volumes and ratios")
    conditions = Text(lesion_conditions(analysis.settings))
    blocks = (Tiles(tuple(tiles)), Findings(doubts), criteria, volumes, conditions)
    lead = lesion_note(analysis.lesions, analysis.settings)
    return Section("result", "Volumes, criteria and findings", blocks, lead, "Volumes")


def _numbers(analysis: Analysis) -> Section:
    """Return medians and quartiles of the maps."""
    found = key_numbers(analysis.maps, analysis.tissue)
    known = any(row.voxel_sd for row in found)  # not by every method
    spread: tuple[tuple[str, Kind], ...] = (("SD of a voxel", "number"),) * known
    heads: tuple[tuple[str, Kind], ...] = (
        ("Map", "name"),
        ("In full", "text"),
        ("Median", "key"),
        ("Quartiles", "number"),
        *spread,
        ("Unit", "unit"),
    )
    rows = tuple((row.short, row.name, row.median, row.quartiles, *(row.voxel_sd,) * known, row.unit) for row in found)
    lead = "Over the brain mask without CSF, large vessels and bone, lesions included. "
    lead += conversion_note(analysis.settings)
    return Section("numbers", "Key numbers", (Table(heads, rows, name="Key numbers"),), lead=lead)


def _vessels(analysis: Analysis, pictures: tuple[Picture, ...]) -> Section:
    """Return pictures, what is known of the vascular curves, and the candidates."""
    columns: tuple[tuple[str, Kind], ...] = (("Measure", "name"), ("AIF", "text"), ("VOF", "text"))
    title = "Arterial input and venous output"
    blocks: list[Block] = [*pictures, Table(columns, tuple(vessel_rows(analysis)), name=title)]
    titles = "Side", "Peak, HU", "Arrival, s", "Peak, s", "Width, s", "Signal / noise", "Tissue", "Voxels", "Remark"
    for group in candidate_rows(analysis):
        heads = (("Rank", "name"), *((head, "text") for head in ("Score", group.second, *titles)))
        rows = tuple((f"{place}", *cells) for place, cells in enumerate(group.rows, start=1))
        folded = f"{group.title}: {len(group.rows)}, the first was chosen"
        if group.rows:
            blocks.append(Table(heads, rows, folded=folded))  # type: ignore[arg-type]
    return Section("vessels", title, tuple(blocks), short="AIF and VOF")


def _quality(checks: Sequence[Check]) -> Section:
    """Return every check, the worst first."""
    ordered = worst_first(checks)
    rows = tuple((check.name, STATUSES[check.status], check.text) for check in ordered)
    passed = sum(check.status == "pass" for check in checks)
    lead = f"{passed} of {len(checks)} checks passed."
    heads: tuple[tuple[str, Kind], ...] = (("Check", "name"), ("Result", "status"), ("What was found", "text"))
    return Section("quality", "Quality", (Table(heads, rows, name="Quality checks"),), lead=lead)


def _settings(analysis: Analysis) -> Section:
    """Return the settings that differ from their defaults, and all of them, folded."""
    rows = [
        (info.name, _with_unit(value, info.unit), _with_unit(info.default, info.unit), info.allowed, info.meaning)
        for info, value in setting_rows(analysis.settings)
    ]
    vain = {name: f"; no effect with {why}" for name, why in without_effect(analysis.settings).items()}
    changed = tuple(
        (name, value, default, f"{meaning}{vain.get(name, '')}")
        for name, value, default, _, meaning in rows
        if value != default
    )
    short: tuple[tuple[str, Kind], ...] = (
        ("Changed", "code"),
        ("Value", "text"),
        ("Default", "text"),
        ("Meaning", "text"),
    )
    long: tuple[tuple[str, Kind], ...] = (("Name", "code"), ("Value", "text"), ("Allowed", "text"), ("Meaning", "text"))
    first: Block = Table(short, changed, name="Changed settings") if changed else Text(ALL_DEFAULT)
    cells = tuple((name, value, allowed, text) for name, value, _, allowed, text in rows)
    everything = Table(long, cells, folded="All settings")
    return Section("settings", "Settings", (first, everything))


def _software(analysis: Analysis) -> Section:
    """Return scan, software, versions, hash and computing time."""
    columns: tuple[tuple[str, Kind], ...] = (("", "name"), ("", "text"))
    seconds = tuple((begins(step), f"{time:.2f} s") for step, time in analysis.seconds.items())
    total = f"Computing time: {sum(analysis.seconds.values()):.1f} s"
    blocks = (
        Table(columns, (*scan_facts(analysis), *software_facts(analysis)), name="Scan and software"),
        Table(columns, seconds, folded=total),
    )
    return Section("software", "Scan and software", blocks, short="Scan")


def _with_unit(value: object, unit: str) -> str:
    return f"{value} {unit}".rstrip()
