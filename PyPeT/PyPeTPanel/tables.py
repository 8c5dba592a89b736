"""The tables of the panel: arterial candidates, medians of the maps; and the findings as text."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import qt

from PyPeTLib.records import Analysis, Candidate
from PyPeTLib.results import map_medians
from PyPeTScene.maps import map_label

CANDIDATE_COLUMNS = ("Score", "Peak [HU]", "At [s]", "Voxels", "Remark")
MEDIAN_COLUMNS = ("Map", "Median", "Unit")
#: Tables grow up to this height in pixels and scroll beyond it.
TALLEST = 160


def set_up_table(table: Any, columns: Sequence[str]) -> None:
    """Make a table of whole rows that cannot be edited."""
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setStretchLastSection(True)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    fill_table(table, [])


def fill_table(table: Any, rows: Iterable[Sequence[str]]) -> None:
    """Replace the rows of a table; a long last cell is a tooltip, too."""
    content = list(rows)
    table.setRowCount(len(content))
    for r, cells in enumerate(content):
        for c, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(r, c, item)
    table.resizeColumnsToContents()
    table.resizeRowsToContents()
    height = table.horizontalHeader().height + sum(table.rowHeight(r) for r in range(len(content))) + 6
    table.setFixedHeight(min(max(height, 48), TALLEST))


def candidate_row(candidate: Candidate) -> tuple[str, ...]:
    """Return the cells of one candidate."""
    score = "refused" if math.isnan(candidate.score) else f"{candidate.score:.2f}"
    peak_s = "" if candidate.fit is None else f"{candidate.fit.peak_s:.1f}"
    return score, f"{candidate.curve_hu.max():.0f}", peak_s, f"{int(candidate.mask.sum())}", candidate.reason


def median_rows(analysis: Analysis) -> list[tuple[str, ...]]:
    """Return map, median over the brain and unit of every map."""
    units = {name: image.unit for name, image in analysis.maps.items()}
    return [(map_label(name), f"{value:.3g}", units[name]) for name, value in map_medians(analysis).items()]


def findings_text(analysis: Analysis) -> str:
    """Return the findings, one a line, doubts by their severity."""
    lines = [f"{finding.severity}: {finding.text}" for finding in analysis.findings]
    return "\n".join(lines) or "Nothing speaks against the result."


def show_analysis(ui: Any, analysis: Analysis | None, candidates: Sequence[Candidate]) -> None:
    """Show the numbers of a run, or that there is none."""
    fill_table(ui.candidates, [candidate_row(candidate) for candidate in candidates])
    fill_table(ui.medians, [] if analysis is None else median_rows(analysis))
    ui.findings.text = "No result yet: select a scan and press Apply." if analysis is None else findings_text(analysis)
    factor = "" if analysis is None else f"Factor {analysis.aif.partial_volume_factor:.2f} in the last run."
    ui.partialVolume.text = factor or "The factor is shown after Apply."
    for table, rows in ((ui.candidates, bool(candidates)), (ui.medians, analysis is not None)):
        table.visible = rows
    ui.candidatesLabel.visible = bool(candidates)
