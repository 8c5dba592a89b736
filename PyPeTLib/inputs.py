"""What a user gives instead of a mask, from files: curves as tables, points as 3D Slicer's markups."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PyPeTLib.errors import InputError, reason_of
from PyPeTLib.file_contents import read_text
from PyPeTLib.geometry import FloatArray
from PyPeTLib.scan import TimeCurve

#: Column of the times in s in PyPeT's own curve tables.
TIME_COLUMN = "time_s"
#: Separators of a table, in the order in which they are looked for: a comma may be a decimal one beside the others, and
#: beside blanks.
SEPARATORS = ("\t", ";", ",")
#: Factors that turn the coordinates of a markup file into LPS. Old files have numbers instead of names.
TO_LPS = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}
OLD_NAMES = {"0": "RAS", "1": "LPS"}
#: Most points of a vessel: of each its surroundings are looked at.
MOST_POINTS = 1000
#: A point of the user: x, y, z in mm, LPS.
Point = tuple[float, float, float]


def read_curve(path: str | Path, *, column: str) -> TimeCurve:
    """Read a curve from a table: time in s and HU.

    Parameters
    ----------
    path : str or Path
        Text, UTF-8: columns separated by tab, semicolon, comma or blanks (decimal commas beside others than commas are
        read), a line of names or none; lines that begin with ``#`` and empty ones are skipped.
    column : str
        The column of HU in a table that has the column ``time_s``, such as ``PREFIX_curves.csv``: "aif_hu", "vof_hu".
        Otherwise the first two columns of numbers are taken.

    Raises
    ------
    InputError
        If the file cannot be read or holds no such curve.
    """
    rows = _rows(path)
    for name in (TIME_COLUMN, column):
        several = rows[0].count(name) if rows else 0
        if several > 1:
            found = f"found {several}. Rename or delete the others"
            raise InputError(f"Curve {path}: one column {name} is needed; {found}.")
    return curve_of_columns(_number_columns(rows), column=column, name=str(path))


def curve_of_columns(columns: Mapping[str, FloatArray], *, column: str, name: str) -> TimeCurve:
    """Return the curve in a table's columns of numbers, chosen as by `read_curve`.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (row,)
        Columns of numbers in order; NaN where a cell is empty.
    column : str
        The column of HU beside ``time_s``.
    name : str
        What the table is called, for messages.

    Raises
    ------
    InputError
        If there are fewer than two columns, no such column beside ``time_s``, or they make no curve.

    Examples
    --------
    >>> table = {"a": np.arange(5.0), "b": np.array([0.0, 1.0, 9.0, 5.0, 2.0])}
    >>> curve_of_columns(table, column="aif_hu", name="pasted").hu.tolist()
    [0.0, 1.0, 9.0, 5.0, 2.0]
    """
    found = ", ".join(columns) or "none"
    if TIME_COLUMN in columns and (column in columns or len(columns) > 2):
        if column not in columns:
            need = f"numbers in column {column} beside {TIME_COLUMN} are needed"
            raise InputError(f"Curve {name}: {need}; found {found}. Rename the column of HU, or delete the others.")
        chosen = [columns[TIME_COLUMN], columns[column]]
    elif len(columns) < 2:
        found = f"one ({found})" if columns else found
        raise InputError(
            f"Curve {name}: two columns of numbers are needed, time in s and HU; found {found}. Put tabs, semicolons, "
            "commas or blanks between them."
        )
    else:
        chosen = list(columns.values())[:2]
    try:
        return TimeCurve(*chosen)
    except InputError as error:
        raise InputError(str(error).replace("Curve:", f"Curve {name}:", 1)) from None


def read_points(path: str | Path) -> list[Point]:
    """Read points that were dropped in 3D Slicer, all of them where there are several lists.

    Parameters
    ----------
    path : str or Path
        A markup file, .mrk.json or .json, or its older form .fcsv; RAS and LPS files are told apart.

    Returns
    -------
    list of tuple of float
        x, y, z in mm, LPS.

    Raises
    ------
    InputError
        If the file is no such file or holds no point with a position.
    """
    path = Path(path)
    if path.suffix.lower() not in (".json", ".fcsv"):
        need = "a markup file of 3D Slicer (.mrk.json or .fcsv) is needed"
        raise InputError(f"Points {path}: {need}; found '{path.suffix}'. Save the points from its Markups module.")
    text = read_text(path, "Points")
    points = _markup_points(text, path) if path.suffix.lower() == ".json" else _fcsv_points(text, path)
    if len(points) > MOST_POINTS:
        need = f"at most {MOST_POINTS} points are needed; found {len(points)}"
        raise InputError(f"Points {path}: {need}. Save those in the vessel alone.")
    if not points:
        raise InputError(f"Points {path}: at least one point with a position is needed; found none. Drop one.")
    return points


def _rows(path: str | Path) -> list[list[str]]:
    """Return the cells of a table; with another separator than a comma between columns a decimal comma is a point."""
    lines = [line for line in read_text(path, "Curve").splitlines() if line.strip() and not line.startswith("#")]
    separator = _separator(lines[-1]) if lines else ","
    if separator is None:
        rows = [line.split() for line in lines]
    else:
        rows = [[cell.strip() for cell in row] for row in _cells(lines, separator, f"Curve {path}")]
    return rows if separator == "," else [[_with_point(cell) for cell in row] for row in rows]


def _cells(lines: Iterable[str], separator: str, what: str) -> Iterable[list[str]]:
    """Yield the cells of each line of a table."""
    try:
        yield from csv.reader(lines, delimiter=separator)
    except csv.Error as error:  # such as a cell of more characters than any number has
        raise InputError(f"{what}: a table of numbers is needed; found: {error}. Export it again.") from error


def _separator(line: str) -> str | None:
    """Return what is between the columns of a line; None for blanks, beside which commas may be decimal ones."""
    found = next((mark for mark in SEPARATORS if mark in line), None)
    cells = line.split()
    return None if found == "," and len(cells) > 1 and all(_is_number(_with_point(cell)) for cell in cells) else found


def _with_point(cell: str) -> str:
    return re.sub(r"^([-+]?\d*),(\d)", r"\1.\2", cell)


def _number_columns(rows: Sequence[Sequence[str]]) -> dict[str, FloatArray]:
    """Return the columns that hold numbers, by name, NaN for empty cells; the first row may hold the names."""
    named = bool(rows) and not any(_is_number(cell) for cell in rows[0])
    body, width = rows[named:], max((len(row) for row in rows), default=0)
    columns: dict[str, FloatArray] = {}
    for k in range(width):
        cells = [row[k] if k < len(row) else "" for row in body]
        name = rows[0][k] if named and k < len(rows[0]) and rows[0][k] else f"column {k + 1}"
        if any(cells) and all(_is_number(cell) for cell in cells if cell):
            name = f"{name} in column {k + 1}" if name in columns else name
            columns[name] = np.array([float(cell or "nan") for cell in cells])
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _markup_points(text: str, path: Path) -> list[Point]:
    """Return the points with a position of all lists of a markup file; without a system it is LPS, as in 3D Slicer."""
    try:
        lists = json.loads(text)["markups"]
        _refuse_other_units([markup.get("coordinateUnits", "mm") for markup in lists], path)
        return [
            _to_lps(point["position"], str(markup.get("coordinateSystem", "LPS")), path)
            for markup in lists
            for point in markup.get("controlPoints", [])
            if point.get("positionStatus", "defined") == "defined" and "position" in point
        ]
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        need = "3D Slicer's markups, with the position of every control point, are needed"
        found = reason_of(error) if isinstance(error, ValueError | RecursionError) else "none"
        raise InputError(f"Points {path}: {need}; found {found}. Save them again.") from error


def _refuse_other_units(units: list[Any], path: Path) -> None:
    """Refuse coordinates that are not in mm; a markup file names one unit, or one an axis."""
    odd = next((unit for unit in units if unit not in ("mm", ["mm"] * 3)), None)
    if odd is not None:
        raise InputError(
            f"Points {path}: coordinates in mm are needed; found the unit {odd!s:.60}. Save the points in mm."
        )


def _fcsv_points(text: str, path: Path) -> list[Point]:
    """Return the points of the older form: a comment that names the system, then id, x, y, z and more a line."""
    system = re.search(r"^#\s*CoordinateSystem\s*=\s*(\S+)", text, re.MULTILINE)
    if system is None:
        need = "a line '# CoordinateSystem = RAS' or LPS is needed"
        raise InputError(f"Points {path}: {need}; found none. Save the points again from 3D Slicer.")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = _cells(lines, ",", f"Points {path}")
    return [_to_lps(row[1:4], system.group(1), path) for row in rows]


def _to_lps(position: Any, system: str, path: Path) -> Point:
    """Return a point in LPS; refuse what is no point or in a system that is not known."""
    factors = TO_LPS.get(OLD_NAMES.get(system, system))
    if factors is None:
        need = f"coordinates in {' or '.join(TO_LPS)} are needed"
        raise InputError(f"Points {path}: {need}; found '{system}'. Save the points again from 3D Slicer.")
    try:
        x, y, z = (factor * float(value) for factor, value in zip(factors, position, strict=True))
        if isinstance(position, list) and np.isfinite([x, y, z]).all():
            return x, y, z
    except (TypeError, ValueError, OverflowError):  # told below, as what is not finite
        pass
    found = f"{position!s:.60}"
    raise InputError(f"Points {path}: three numbers in mm a point are needed; found {found}.")
