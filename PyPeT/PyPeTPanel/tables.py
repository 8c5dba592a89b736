"""The tables of the panel: arterial candidates, medians of the maps, similarity, quality checks, lesions."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from PyPeTLib.lesion_facts import lesion_cells
from PyPeTLib.similarity import similarity_rows
from PyPeTLib.typeset import rounded, typeset
from PyPeTPanel.running import soon
from PyPeTScene.curves import PARTIAL_VOLUME
from PyPeTScene.nodes import find_node
from PyPeTScene.numbers import CANDIDATES, CHECKS, CRITERIA, LESIONS, MEDIANS, SIMILARITY, rows_of

#: Short, for a narrow panel; the table in the scene says more.
CANDIDATE_COLUMNS = (
    _("Score"), _("Confidence"), _("Side"), _("HU"), _("At s"), _("Width s"), _("SNR"), _("Tissue"), _("Remark"),
)  # fmt: skip
MEDIAN_COLUMNS = (_("Map"), _("Median"), _("SD of a voxel"), _("Unit"))
LESION_COLUMNS = (_("Lesion"), _("Value"), _("Bounds"), _("Unit"))
CRITERION_COLUMNS = (_("Criterion"), _("Met"), _("Conditions"))
SIMILARITY_COLUMNS = (_("Metric"), _("Value"), _("Unit"))
CHECK_COLUMNS = (_("Result"), _("Check"), _("Finding"))
#: Colour of each status, on light and on dark panels; the word says the same.
STATUS_COLOURS = {"fail": "#d13438", "warn": "#b86e00", "pass": "#2e8b57", "not applicable": "#808080"}
#: Colour of a status that the user typed, or that another version of PyPeT knows.
OTHER_COLOUR = "#808080"
#: Tables grow up to this height in pixels and scroll beyond it; that of the checks has rows of several lines.
TALLEST, TALLEST_CHECKS = 160, 240


def set_up_table(table: Any, columns: Sequence[str]) -> None:
    """Make a table of whole rows that cannot be edited."""
    table.setColumnCount(len(columns))
    table.setHorizontalHeaderLabels(list(columns))
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setStretchLastSection(True)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.tabKeyNavigation = False  # the tab key goes on to the next field, not from cell to cell
    fill_table(table, [])


def fill_table(table: Any, rows: Iterable[Sequence[str]]) -> None:
    """Replace the rows of a table; the text of a cell, which may be cut off, is its tooltip, too."""
    content = list(rows)
    table.setRowCount(len(content))
    for r, cells in enumerate(content):
        for c, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(r, c, item)
    table.resizeColumnsToContents()
    _fit_height(table, TALLEST)


def set_up_wrapped(table: Any, columns: Sequence[str], tallest: int = TALLEST) -> None:
    """Make a table with sentences, which are wrapped: its rows follow its width, also when it gets its first."""
    set_up_table(table, columns)
    table.setWordWrap(True)
    fit = soon(table, lambda: _fit_height(table, tallest))  # a column being resized has its former width
    table.horizontalHeader().connect("sectionResized(int,int,int)", lambda _index, _old, _new: fit.start(0))


def fill_checks(table: Any, checks: Sequence[Sequence[Any]]) -> None:
    """Show name, status, text and value of each check: the status in its colour, the value as tooltip."""
    fill_table(
        table,
        [(_("n/a") if status == "not applicable" else status, name, text) for name, status, text, _value in checks],
    )
    for r, (name, status, text, value) in enumerate(checks):
        tip = text if math.isnan(value) else f"{text}\n{name}: {typeset(f'{value:.4g}')}"
        for c in range(len(CHECK_COLUMNS)):
            table.item(r, c).setToolTip(tip)
        table.item(r, 0).setForeground(qt.QBrush(qt.QColor(STATUS_COLOURS.get(status, OTHER_COLOUR))))
    _fit_height(table, TALLEST_CHECKS)


def _fit_height(table: Any, tallest: int) -> None:
    """Give rows the height of their text, and the table that of its rows."""
    table.resizeRowsToContents()
    height = table.horizontalHeader().height + sum(table.rowHeight(r) for r in range(table.rowCount)) + 6
    table.setFixedHeight(min(max(height, 48), tallest))


def candidate_row(row: Sequence[float | str]) -> tuple[str, ...]:
    """Return the cells of one candidate, from a row of the table in the scene; empty where it is not known."""
    score, confidence, side, peak_hu, _arrival_s, peak_s, width_s, signal, tissue, _voxels, remark = row
    percent = 100.0 * float(tissue)
    known = ((peak_hu, "{:.0f}"), (peak_s, "{:.1f}"), (width_s, "{:.1f}"), (signal, "{:.0f}"), (percent, "{:.0f} %"))
    cells = (_text(value, form) for value, form in known)
    return _text(score, "{:.2f}") or _("refused"), _text(confidence, "{:.2f}"), str(side), *cells, str(remark)


def _text(value: float | str, form: str) -> str:
    return "" if math.isnan(float(value)) else typeset(form.format(value))


def median_row(name: str, median: float, sd: float, unit: str) -> tuple[str, str, str, str]:
    """Return one line of the medians, with the digits of the report; empty where an uncertainty is not known."""
    return name, rounded(median, unit), "" if math.isnan(sd) else f"± {rounded(sd, unit)}", unit


def show_lesions(ui: Any, scan: Any) -> None:
    """Show volumes, ratios and criteria of the lesions, or that there are none."""
    volumes, criteria = rows_of(LESIONS, scan), rows_of(CRITERIA, scan)
    fill_table(ui.lesions, lesion_cells(volumes))
    fill_table(ui.criteria, criteria)
    ui.lesionsNote.text = find_node(LESIONS, scan).GetDescription() if volumes else _("No result yet.")
    ui.lesions.visible, ui.criteria.visible = bool(volumes), bool(criteria)


def show_results(ui: Any, scan: Any) -> None:
    """Show the numbers that the scene holds of a scan, or that there are none."""
    candidates, medians = rows_of(CANDIDATES, scan), rows_of(MEDIANS, scan)
    fill_table(ui.candidates, [candidate_row(row) for row in candidates])
    fill_table(ui.medians, [median_row(*row) for row in medians])
    checks = rows_of(CHECKS, scan)
    fill_checks(ui.checks, checks)
    ui.checksNote.text = _checks_text(checks)
    ui.partialVolume.text = _partial_volume_text(scan)
    similarity = rows_of(SIMILARITY, scan)
    fill_table(ui.similarity, similarity_rows(similarity))
    ui.mediansNote.text = find_node(MEDIANS, scan).GetDescription() if medians else ""
    ui.mediansNote.visible = bool(medians)
    ui.similarityNote.text = find_node(SIMILARITY, scan).GetDescription() if similarity else ""
    shown = ((ui.candidates, candidates), (ui.medians, medians), (ui.checks, checks), (ui.similarity, similarity))
    for table, rows in shown:
        table.visible = bool(rows)
    ui.candidatesLabel.visible = bool(candidates)
    show_lesions(ui, scan)


def _checks_text(checks: Sequence[Sequence[Any]]) -> str:
    """Return how many checks there are of each status."""
    if not checks:
        return _("No result yet: select a scan and press Apply.")
    counts = Counter(status for _name, status, _text, _value in checks)
    known = {status: counts.pop(status) for status in STATUS_COLOURS if status in counts}
    found = ", ".join(f"{n} {s}" for s, n in {**known, **counts}.items())
    return _("{count} quality checks: {found}.").format(count=len(checks), found=found)


def _partial_volume_text(scan: Any) -> str:
    table = None if scan is None else find_node("curves.table", scan)
    factor = None if table is None else table.GetAttribute(PARTIAL_VOLUME)
    if not factor:
        return _("The factor is shown after Apply.")
    return _("Factor {factor} in the last run.").format(factor=f"{float(factor):.2f}")
