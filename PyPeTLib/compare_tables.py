"""The numbers of a comparison as tables: CSV, Markdown and, where openpyxl is installed, Excel."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PyPeTLib.cohort import (
    Cohort,
    Spread,
    criterion_agreement,
    metrics_of,
    side_agreement,
    spread,
    volume_agreement,
    volumes_of,
)
from PyPeTLib.compare import Comparison, no_ratio
from PyPeTLib.comparison_files import NOTICE, TABLES, TEXT, WORKBOOK
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.lesion_facts import MET, MISMATCH_RATIO, RESEARCH_USE
from PyPeTLib.outputs import Provenance
from PyPeTLib.packages import usable
from PyPeTLib.similarity import Region, Similarity, comparable_entries, metric_digits
from PyPeTLib.typeset import counted, harmless, one_line, typeset
from PyPeTLib.write import write_bytes, write_csv, write_text

#: Columns by name, all of one length.
Table = Mapping[str, Sequence[Any]]

#: What a page made of Markdown would take for the beginning of a tag.
TAG = re.compile(r"<(?=[A-Za-z/!?])")

#: Rows of the published table, after division of each map by its own mean, and of the same in physical units.
PUBLISHED = ("NCC", "SSIM, relative", "MAE, relative", "MSE, relative", "RMSE, relative")
MORE = ("Spearman", "ICC(A,1), relative", "Lower limit of agreement, relative", "Upper limit of agreement, relative")
PHYSICAL = (
    "Mean", "Mean of the reference", "SSIM", "MAE", "MSE", "RMSE", "Bias", "Lower limit of agreement",
    "Upper limit of agreement", "ICC(A,1)", "Voxels", "Coverage",
)  # fmt: skip
#: Rows of the table over the tissue, in physical units.
TISSUE = (
    "NCC", "Spearman", "Mean", "Mean of the reference", "MAE", "RMSE", "Bias", "Lower limit of agreement",
    "Upper limit of agreement", "ICC(A,1)", "Voxels",
)  # fmt: skip
#: What the side of the hypoperfusion is called.
SIDE = "Side of the lesion"
#: Rows of a sheet above its numbers: what they may be used for, and the names of the columns.
HEAD_ROWS = 2
#: Date that an Excel file bears, so that the same numbers give the same bytes.
DATE = (1980, 1, 1, 0, 0, 0)


def write_tables(cohort: Cohort, folder: Path) -> None:
    """Write the tables of `tables_of` as CSV, ``comparison.md`` and ``comparison.xlsx`` into a folder that exists.

    They are ``cases``, ``metrics``, ``tissue``, ``regions`` and ``findings``; of several cases ``summary`` and
    ``agreement``, too, and ``failed`` where some could not be compared. Without openpyxl there is no Excel file. That
    all this is for research only stands in `NOTICE`, in the Markdown and in the first row of every sheet.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    tables = tables_of(cohort)
    for name, table in tables.items():
        write_csv(table, folder / f"{name}.csv")
    write_text(f"{RESEARCH_USE}\n\nThis is true of every file in this folder.\n", folder / NOTICE)
    write_text(markdown(cohort), folder / TEXT)
    if excel_available():
        write_bytes(_excel({**tables, "remarks": _remark_table(cohort)}), folder / WORKBOOK)


def excel_available() -> bool:
    """Tell whether openpyxl, which the workbook needs, can be used."""
    return usable("openpyxl")


def tables_of(cohort: Cohort) -> dict[str, Table]:
    """Return the tables of a data set, or of one case, by name."""
    cases, failed = cohort.cases, cohort.failed
    several = len(cases) > 1 or bool(failed)
    tables: tuple[Table, ...] = (
        _case_table(cohort),
        _metric_table({case.name: case.maps for case in cases}),
        _metric_table({case.name: case.tissue for case in cases}),
        _region_table(cases),
        _finding_table(cases),
        _summary_table(cohort) if several else {},
        _agreement_table(cohort) if several else {},
        {"case": list(failed), "reason": list(failed.values())},
    )
    return {name: table for name, table in zip(TABLES, tables, strict=True) if any(table.values())}


def markdown(cohort: Cohort) -> str:
    """Return the comparison as a text of tables: those of the published form first, then what it does not show."""
    one, wanted = len(cohort.cases) == 1, len(cohort.cases) + len(cohort.failed)
    only = f"{one_line(cohort.cases[0].name)}{f' (1 of {wanted} cases)' if cohort.failed else ''}"
    title = only if one else f"{len(cohort.cases)} cases, mean ± SD (median)"
    parts = [f"# Comparison with reference maps: {title}", RESEARCH_USE]
    groups = (
        ("Each map divided by its own mean over the voxels compared", (*PUBLISHED, *MORE)),
        ("In physical units", PHYSICAL),
    )
    parts += _source_markdown(cohort)
    maps, tissue = [case.maps for case in cohort.cases], [case.tissue for case in cohort.cases]
    parts += [f"**{title}**\n\n{_metric_markdown(maps, metrics)}" for title, metrics in groups]
    if any(tissue):
        parts.append(f"**Over the tissue, without CSF, large vessels and bone**\n\n{_metric_markdown(tissue, TISSUE)}")
    parts += _finding_markdown(cohort, one=one)
    if cohort.failed:
        listed = [f"* {one_line(f'{name}: {reason}')}" for name, reason in cohort.failed.items()]
        parts.append("\n".join([f"**Not compared** ({counted(len(listed), 'case')})", "", *listed]))
    if cohort.unused:
        listed = [one_line(name) or "maps without a prefix" for name in cohort.unused]
        parts.append(f"**References without results** ({counted(len(listed), 'case')})\n\n{', '.join(listed)}")
    remarks = _remark_lines(cohort, one=one)
    if remarks:
        parts.append("\n".join(["**Remarks**", "", *remarks]))
    return TAG.sub("&lt;", "\n\n".join(parts)) + "\n"


def _case_table(cohort: Cohort) -> Table:
    """Return every case, those that were not compared too: where its maps are from, and why they are marked invalid."""
    rows: list[dict[str, str]] = []
    for case in cohort.cases:
        sources = {"results": case.results, "reference": case.reference}
        cells = {"case": case.name, "status": "compared"}
        for which, source in sources.items():
            cells[which] = source.place
            cells |= {f"{which}_method": source.method, f"{which}_invalid": " ".join(source.invalid)}
        rows.append(cells)
    rows += [{"case": name, "status": "not compared"} for name in cohort.failed]
    rows += [{"case": name, "status": "no results"} for name in cohort.unused]
    return _columns(rows)


def _source_markdown(cohort: Cohort) -> list[str]:
    """Return where the maps of both are from, by which method, and which of them are marked invalid."""
    rows = [
        ["Results", *_source_cells([case.results for case in cohort.cases])],
        ["Reference", *_source_cells([case.reference for case in cohort.cases])],
    ]
    marked = {
        case.name: ["results"] * bool(case.results.invalid) + ["reference"] * bool(case.reference.invalid)
        for case in cohort.cases
    }
    listed = ", ".join(f"{name} ({' and '.join(whose)})" for name, whose in marked.items() if whose)
    warning = f"**Marked INVALID (see Remarks), and in the numbers all the same:** {listed}."
    return [markdown_table(["Maps", "From", "Method"], rows), *([warning] if listed else [])]


def _source_cells(sources: Sequence[Provenance]) -> list[str]:
    """Return place and method, of several cases the folder that holds all and how many there are of each method."""
    places = {source.place for source in sources}
    place = places.pop() if len(places) == 1 else os.path.commonpath(places) or "."
    count = Counter(source.method or "not known" for source in sources)
    if len(count) == 1:
        return [place, *count]
    return [place, ", ".join(f"{method} ({counted(number, 'case')})" for method, number in sorted(count.items()))]


def _metric_table(cases: Mapping[str, Mapping[str, Similarity]]) -> Table:
    """Return one row a case and map."""
    rows = []
    for case, maps in cases.items():
        for name, found in maps.items():
            values = {f"{metric}{', %' * (unit == '%')}": value for metric, value, unit in comparable_entries(found)}
            rows.append({"case": case, "map": MAP_LABELS[name], "unit": found.physical.unit, **values})
    return _columns(rows)


def _region_table(cases: Sequence[Comparison]) -> Table:
    rows = [
        {
            "case": case.name,
            "region": region.name,
            "volume_ml": region.ml,
            "reference_ml": region.reference_ml,
            "difference_ml": region.difference_ml,
            "dice": region.dice,
        }
        for case in cases
        for region in case.findings.regions
    ]
    return _columns(rows)


def _finding_table(cases: Sequence[Comparison]) -> Table:
    """Return ratios, criteria and sides, one row a case and finding."""
    rows = [
        {"case": case.name, "finding": name, "results": ours, "reference": theirs}
        for case in cases
        for name, (ours, theirs) in _finding_cells(case).items()
    ]
    return _columns(rows)


def _finding_cells(case: Comparison) -> dict[str, tuple[float | str, float | str]]:
    """Return ratios as numbers, NaN where not defined, and the rest as words, of the results and of the reference."""
    verdicts = {name: (MET[ours], MET[theirs]) for name, (ours, theirs) in case.findings.criteria.items()}
    sides = case.findings.sides and [MET[None] if side == "unknown" else side for side in case.findings.sides]
    return {**case.findings.ratios, **verdicts, **({SIDE: (sides[0], sides[1])} if sides else {})}


def _finding_words(case: Comparison) -> dict[str, list[str]]:
    """Return ratios, criteria and sides as text, of the results and of the reference."""
    why = {MISMATCH_RATIO: no_ratio(case.findings.regions)}
    return {
        name: [
            value if isinstance(value, str) else missing or _number(value, "{:.2f}")
            for value, missing in zip(both, why.get(name, ("", "")), strict=True)
        ]
        for name, both in _finding_cells(case).items()
    }


def _region_cells(region: Region) -> list[str]:
    volumes = [_number(ml, "{:.1f}") for ml in (region.ml, region.reference_ml, region.difference_ml)]
    return [*volumes, _number(region.dice, "{:.2f}")]


def _summary_table(cohort: Cohort) -> Table:
    """Return count, mean, median and standard deviation of every metric over the cases."""
    rows = [
        {"what": MAP_LABELS[name], "metric": metric, "unit": unit, **_spread_cells(values)}
        for (name, metric, unit), values in metrics_of(cohort.cases).items()
    ]
    for name in dict.fromkeys(region.name for case in cohort.cases for region in case.findings.regions):
        found = [region for case in cohort.cases for region in case.findings.regions if region.name == name]
        for metric, unit, value in _REGION_METRICS:
            values = [value(region) for region in found]
            rows.append({"what": name, "metric": metric, "unit": unit, **_spread_cells(values)})
    return _columns(rows)


_REGION_METRICS: tuple[tuple[str, str, Callable[[Any], float]], ...] = (
    ("Volume", "mL", lambda region: float(region.ml)),
    ("Volume in the reference", "mL", lambda region: float(region.reference_ml)),
    ("Difference of volumes", "mL", lambda region: float(region.difference_ml)),
    ("Dice", "", lambda region: float(region.dice)),
)


def _spread_cells(values: Sequence[float]) -> dict[str, float]:
    found = spread(values)
    return {"n": found.count, "mean": found.mean, "median": found.median, "sd": found.sd}


def _agreement_table(cohort: Cohort) -> Table:
    """Return agreement over the cases: of volumes, of criteria and of sides."""
    rows = []
    for name, volumes in volumes_of(cohort.cases).items():
        limits, icc = volume_agreement(volumes)
        numbers = {"bias_ml": limits.bias, "lower_limit_ml": limits.low, "upper_limit_ml": limits.high, "icc_a1": icc}
        rows.append({"what": name, "n": len(volumes), **numbers, "agreed": float("nan"), "kappa": float("nan")})
    nothing = dict.fromkeys(("bias_ml", "lower_limit_ml", "upper_limit_ml", "icc_a1"), float("nan"))
    for name, (count, agreed, kappa) in _verdict_agreement(cohort.cases).items():
        rows.append({"what": name, "n": count, **nothing, "agreed": float(agreed), "kappa": kappa})
    return _columns(rows)


def _verdict_agreement(cases: Sequence[Comparison]) -> dict[str, tuple[int, int, float]]:
    """Return the agreement of criteria and, where both sides are known of any case, of these."""
    sides = side_agreement(cases)
    return {**criterion_agreement(cases), **({SIDE: sides} if sides[0] else {})}


def _remark_table(cohort: Cohort) -> dict[str, list[str]]:
    both = [(case.name, remark) for case in cohort.cases for remark in case.remarks]
    return {"case": [name for name, _ in both], "remark": [remark for _, remark in both]}


def _remark_lines(cohort: Cohort, *, one: bool) -> list[str]:
    """Return each remark once, of several cases with those that it is about."""
    about: dict[str, list[str]] = {}
    for case in cohort.cases:
        for remark in case.remarks:
            about.setdefault(remark, []).append(case.name)
    everyone = len(cohort.cases)
    return [
        one_line(f"* {'' if one else 'all: ' if len(names) == everyone else ', '.join(names) + ': '}{remark}")
        for remark, names in about.items()
    ]


def _metric_markdown(cases: Sequence[Mapping[str, Similarity]], metrics: Sequence[str]) -> str:
    """Return metrics as rows and maps as columns, as the published table; a map in two units has two columns."""
    columns: dict[tuple[str, str], list[dict[str, float]]] = {}
    for maps in cases:
        for name, found in maps.items():
            unit = found.physical.unit if set(metrics) & set(PHYSICAL) else ""
            entries = {metric: value for metric, value, _ in comparable_entries(found)}
            columns.setdefault((name, unit), []).append(entries)
    order = sorted(columns, key=lambda column: list(MAP_LABELS).index(column[0]))
    heads = [f"{MAP_LABELS[name]}{f', {unit}' * bool(unit)}" for name, unit in order]
    rows = [
        [_long(metric), *(_cell(metric, [one[metric] for one in columns[head]], len(cases)) for head in order)]
        for metric in metrics
    ]
    return markdown_table(["Metric", *heads], rows)


def _long(metric: str) -> str:
    """Return a metric's name as the published table has it; what is relative stands in the title."""
    short = metric.removesuffix(", relative")
    names = {
        "NCC": "Normalized cross-correlation (NCC)",
        "SSIM": "Structural similarity index (SSIM)",
        "MAE": "Mean absolute error (MAE)",
        "MSE": "Mean squared error (MSE), unit²",
        "RMSE": "Root mean squared error (RMSE)",
        "Coverage": "Coverage of the mask, %",
        "Spearman": "Spearman's rank correlation",
    }
    return names.get(short, short).removesuffix(", unit²" if metric != short else "")


def _cell(metric: str, values: Sequence[float], cases: int) -> str:
    """Return one case's number, or how it is spread over the cases and, where not all have one, over how many."""
    if cases == 1:
        return metric_digits(metric, values[0])
    found = spread(values)
    if not found.count:
        return "not defined"
    mean, sd, median = (_rounded(value, found) for value in (found.mean, found.sd, found.median))
    missing = f", N = {found.count}" * (found.count < cases)
    return f"{mean} ± {sd} ({median}{missing})"


def _rounded(value: float, found: Spread) -> str:
    """Return a number with the decimals that three digits of the mean have, or of a larger deviation."""
    if not np.isfinite(value):
        return "–"
    largest = max(abs(found.mean), found.sd if found.count > 1 else 0.0, 1e-9)
    return typeset(f"{value:.{int(np.clip(2 - np.floor(np.log10(largest)), 0, 3))}f}")


def _finding_markdown(cohort: Cohort, *, one: bool) -> list[str]:
    """Return regions, ratios, criteria and side: of one case its numbers, of several how they agree."""
    if not one:
        return _agreement_markdown(cohort)
    findings, parts = cohort.cases[0].findings, []
    if findings.regions:
        rows = [[region.name, *_region_cells(region)] for region in findings.regions]
        heads = ["Region", "Results, mL", "Reference, mL", "Difference, mL", "Dice"]
        parts.append(f"**Thresholded regions**\n\n{markdown_table(heads, rows)}")
    rows = [[name, *both] for name, both in _finding_words(cohort.cases[0]).items()]
    if rows:
        table = markdown_table(["Finding", "Results", "Reference"], rows)
        parts.append(f"**Ratios, criteria and side**\n\n{table}")
    return parts


def _agreement_markdown(cohort: Cohort) -> list[str]:
    """Return how volumes, criteria and sides agree over the cases."""
    parts, rows = [], []
    for name, volumes in volumes_of(cohort.cases).items():
        limits, icc = volume_agreement(volumes)
        overlap = spread([r.dice for case in cohort.cases for r in case.findings.regions if r.name == name])
        means = [f"{value:.1f}" for value in volumes.mean(axis=0)]
        ends = [_number(limit, "{:.1f}") for limit in (limits.low, limits.high)]
        interval = " to ".join(ends) if np.isfinite(limits.low) else ends[0]
        cells = [*means, _number(limits.bias, "{:.1f}"), interval, _number(icc, "{:.2f}")]
        rows.append([name, str(len(volumes)), *cells, f"{_number(overlap.mean, '{:.2f}')} (N = {overlap.count})"])
    heads = ["Region", "N", "Results, mL", "Reference, mL", "Bias, mL", "Limits of agreement, mL", "ICC(A,1)", "Dice"]
    if rows:
        parts.append(f"**Volumes over the cases** (means)\n\n{markdown_table(heads, rows)}")
    criteria = [
        [name, str(count), f"{agreed} of {count}", _number(value, "{:.2f}")]
        for name, (count, agreed, value) in _verdict_agreement(cohort.cases).items()
    ]
    if criteria:
        table = markdown_table(["Finding", "N", "Same verdict", "Cohen's kappa"], criteria)
        parts.append(f"**Criteria and side over the cases**\n\n{table}")
    return parts


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that reads as a table in a terminal, too.

    Examples
    --------
    >>> print(markdown_table(["Metric", "CBF"], [["NCC", "0.64"]]))
    | Metric | CBF  |
    |--------|------|
    | NCC    | 0.64 |
    """
    lines = [[one_line(cell).replace("|", "\\|") for cell in line] for line in (heads, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]])


def _number(value: float, form: str) -> str:
    return typeset(form.format(value)) if np.isfinite(value) else "not defined"


def _columns(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Turn rows into columns; what one row lacks is missing."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name, float("nan")) for row in rows] for name in names}


def _excel(tables: Mapping[str, Table]) -> bytes:
    """Return a workbook with one sheet a table; missing numbers are empty cells."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    for name, table in tables.items():
        _fill_sheet(book.create_sheet(name), table)
    buffer = io.BytesIO()
    book.save(buffer)
    return _undated(buffer.getvalue())


def _fill_sheet(sheet: Any, table: Table) -> None:
    """Write a table below what it may be used for; both rows stay where they are, on the screen and on paper."""
    from openpyxl.styles import Font

    sheet.cell(1, 1, RESEARCH_USE).font = Font(italic=True)
    for column, (head, values) in enumerate(table.items(), start=1):
        for row, value in enumerate([head, *values], start=HEAD_ROWS):
            if isinstance(value, str):
                cell = sheet.cell(row, column, harmless(value))  # control characters raise an error
                cell.data_type = "s"  # a text that begins with "=" is no formula
            else:
                sheet.cell(row, column, None if isinstance(value, float) and not np.isfinite(value) else value)
        sheet.cell(HEAD_ROWS, column).font = Font(bold=True)
        longest = max(len(str(head)), *(len(str(value)) for value in values if isinstance(value, str)), 9)
        sheet.column_dimensions[sheet.cell(HEAD_ROWS, column).column_letter].width = min(longest + 2, 60)
    sheet.freeze_panes = f"A{HEAD_ROWS + 1}"
    sheet.print_title_rows = f"1:{HEAD_ROWS}"


def _undated(content: bytes) -> bytes:
    """Return a workbook without the time at which it was written: openpyxl has no setting for it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            part = source.read(name)
            if name == "docProps/core.xml":
                part = re.sub(rb">\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ<", b">%04d-%02d-%02dT%02d:%02d:%02dZ<" % DATE, part)
            target.writestr(zipfile.ZipInfo(name, DATE), part, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
