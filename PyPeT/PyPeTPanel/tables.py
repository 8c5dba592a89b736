"""The tables of the panel: arterial candidates, medians of the maps; and the checks as text."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import qt

from PyPeTLib.similarity import similarity_rows
from PyPeTScene.curves import PARTIAL_VOLUME
from PyPeTScene.nodes import find_node
from PyPeTScene.numbers import CANDIDATES, CHECKS, MEDIANS, SIMILARITY, rows_of

#: Short, for a narrow panel; the table in the scene says the same in full.
CANDIDATE_COLUMNS = ("Score", "Conf.", "Side", "HU", "From s", "Peak s", "Width", "SNR", "Tissue", "Vox.", "Remark")
MEDIAN_COLUMNS = ("Map", "Median", "Unit")
SIMILARITY_COLUMNS = ("Metric", "Value", "Unit")
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


def candidate_row(score: float, confidence: float, side: str, *rest: float | str) -> tuple[str, ...]:
    """Return the cells of one candidate, from the columns of the table in the scene; nothing where it is not known."""
    *numbers, remark = rest
    formats = ("{:.0f}", "{:.1f}", "{:.1f}", "{:.1f}", "{:.0f}", "{:.0%}", "{:.0f}")
    known = [_text(value, form) for value, form in zip(numbers, formats, strict=True)]
    return _text(score, "{:.2f}") or "refused", _text(confidence, "{:.2f}"), side, *known, str(remark)


def _text(value: float | str, form: str) -> str:
    return "" if math.isnan(float(value)) else form.format(value)


def show_results(ui: Any, scan: Any) -> None:
    """Show the numbers that the scene holds of a scan, or that there are none."""
    candidates, medians = rows_of(CANDIDATES, scan), rows_of(MEDIANS, scan)
    fill_table(ui.candidates, [candidate_row(*row) for row in candidates])
    fill_table(ui.medians, [(name, f"{median:.3g}", unit) for name, median, unit in medians])
    ui.findings.text = _findings_text(scan) if medians else "No result yet: select a scan and press Apply."
    ui.partialVolume.text = _partial_volume_text(scan)
    similarity = rows_of(SIMILARITY, scan)
    fill_table(ui.similarity, similarity_rows(similarity))
    ui.similarityNote.text = find_node(SIMILARITY, scan).GetDescription() if similarity else ""
    for table, rows in ((ui.candidates, candidates), (ui.medians, medians), (ui.similarity, similarity)):
        table.visible = bool(rows)
    ui.candidatesLabel.visible = bool(candidates)


def _findings_text(scan: Any) -> str:
    """Return the doubts, one a line."""
    lines = [f"{status}: {text}" for _, status, text, _ in rows_of(CHECKS, scan) if status in ("fail", "warn")]
    return "\n".join(lines) or "Nothing speaks against the result."


def _partial_volume_text(scan: Any) -> str:
    table = None if scan is None else find_node("curves.table", scan)
    factor = None if table is None else table.GetAttribute(PARTIAL_VOLUME)
    return f"Factor {float(factor):.2f} in the last run." if factor else "The factor is shown after Apply."
