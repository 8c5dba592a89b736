"""The files of a comparison: those in a folder that it may be about, and its own, which it is not about."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError
from PyPeTLib.file_contents import read_text
from PyPeTLib.pictures import tells_place

#: Tables, each a CSV file and a sheet; the first lists the cases.
TABLES = ("cases", "metrics", "tissue", "regions", "findings", "summary", "agreement", "failed")
#: A file beside the CSV files, which hold numbers alone for programs: its name says what they may be used for.
NOTICE = "RESEARCH_USE_ONLY.txt"
#: All tables in one text, all in one workbook, and the figure of all cases.
TEXT, WORKBOOK, VOLUMES = "comparison.md", "comparison.xlsx", "volumes.png"


def figure_name(case: str, name: str) -> str:
    """Return the name of the file of the figure of a case's map."""
    return f"{case}_{name}.png"


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and in all folders below it, the nearest first.

    Linked folders are searched as well, each once. Names that begin with a dot are passed over: they are of programs.
    """
    found, seen = [], {os.path.realpath(folder)}
    for place, below, names in os.walk(folder, followlinks=True):
        found += [Path(place, name) for name in names if not name.startswith(".")]
        folders = sorted(name for name in below if not name.startswith("."))
        below.clear()
        for name in folders:
            target = os.path.realpath(Path(place, name))
            if target not in seen:
                seen.add(target)
                below.append(name)
    return sorted(found, key=lambda file: (len(file.parts), file))


def comparison_files(folder: Path) -> set[str]:
    """Return the names of the files that an earlier comparison left in a folder; nothing where there was none.

    It is known by its notice and by its list of cases, which tells which figures are its own; a picture of such a name
    that tells where it lies in the patient is a map.
    """
    if not (folder / NOTICE).is_file():
        return set()
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(folder / f"{TABLES[0]}.csv", "Table"))))
    except (InputError, csv.Error):
        return set()
    if not rows or not rows[0].keys() >= {"case", "status"}:
        return set()
    present = {file.name for file in folder.iterdir() if file.is_file()}
    cases = [re.sub(r"^'(?=[=+@\t-])", "", row["case"]) for row in rows]  # as `write_csv` writes what is no formula
    figures = {figure_name(case, name) for case in cases for name in MAP_LABELS}
    others = {NOTICE, TEXT, WORKBOOK, VOLUMES, *(f"{name}.csv" for name in TABLES)}
    return present & others | {name for name in present & figures if not tells_place(folder / name)}
