"""What NRRD files say of themselves, and what ITK does not check of it."""

from __future__ import annotations

import glob
import locale
import re
from pathlib import Path

from PyPeTLib.errors import InputError, reason_of
from PyPeTLib.file_contents import first_bytes, open_file, unpacked_size
from PyPeTLib.image_faults import refuse_left_over

#: So many letters of a name in a header are shown.
SHOWN_NAME = 60
#: How an NRRD file begins, and the longest header of one, in bytes.
NRRD_MAGIC, LONGEST_HEADER = b"NRRD", 2**24


def nrrd_header(path: Path) -> tuple[dict[str, str], int]:
    """Return fields and key/value pairs of an NRRD header, names in lower case, and where the data begin."""
    fields: dict[str, str] = {}
    with open_file(path) as file:
        while line := file.readline(LONGEST_HEADER).decode("utf-8", errors="replace").strip():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.removeprefix("=").strip()
            if file.tell() > LONGEST_HEADER:
                need = f"a header of at most {LONGEST_HEADER} bytes is needed; found a longer one"
                raise InputError(f"File {path}: {need}. Is it an NRRD file? Convert it again.")
        return fields, file.tell()


def nrrd_frames(path: Path) -> int:
    """Return the length of the fourth axis that an NRRD header tells, of a sequence its list; 1 where there is none."""
    fields, _ = nrrd_header(path)
    sizes, kinds = fields.get("sizes", "").split(), fields.get("kinds", "").lower().split()
    axis = next((k for k, kind in enumerate(kinds) if kind in ("list", "time")), 3)
    return int(sizes[axis]) if len(sizes) == 4 else 1


def refuse_other_decimal_point(path: Path) -> None:
    """Refuse NRRD in a process that writes numbers with a comma: there ITK reads 1.8 mm as 1 and says nothing.

    Raises
    ------
    InputError
        If the process does.
    """
    found = locale.localeconv()["decimal_point"]
    if found != ".":
        raise InputError(
            f"File {path}: a process with decimal points is needed to read NRRD; found '{found}' between the digits of "
            "its numbers, as in the language of the system. Call locale.setlocale(locale.LC_NUMERIC, 'C') before, or "
            "convert the file to NIfTI."
        )


def refuse_other_data(path: Path) -> None:
    """Refuse an NRRD file whose voxels are in what is no file: ITK waits for a pipe, and a device never ends.

    Raises
    ------
    InputError
        If a file of voxels that its header names cannot be opened.
    """
    if first_bytes(path, len(NRRD_MAGIC)) != NRRD_MAGIC:
        return  # ITK refuses it
    for name in _data_files(path):
        try:
            open_file(path.parent / name).close()
        except (OSError, ValueError) as error:
            need = "the file of voxels that its header names is needed"
            found = f"{name[:SHOWN_NAME]!r}: {reason_of(error)}"
            raise InputError(f"File {path}: {need}; found {found}. Copy it beside, or correct the header.") from error


def refuse_damaged_nrrd(path: Path, needed: int, volume: int) -> None:
    """Refuse gzip data of an NRRD file that were altered, which ITK checks only in part, and data too many.

    Parameters
    ----------
    path : Path
        .nrrd or .nhdr.
    needed, volume : int
        Bytes of all voxels, and of those of one volume.

    Raises
    ------
    InputError
        If the data are truncated or damaged, or hold a volume more.
    """
    fields, start = nrrd_header(path)
    names = _data_files(path)
    encoding = fields.get("encoding", "").lower()
    skipped = any(fields.get(name, "0") != "0" for name in ("line skip", "lineskip", "byte skip", "byteskip"))
    if len(names) > 1 or encoding not in ("gzip", "gz", "raw"):
        return
    data, start = (path.parent / names[0], 0) if names else (path, start)
    found = unpacked_size(data, start, most=needed + volume) if encoding != "raw" else data.stat().st_size - start
    if not skipped:
        refuse_left_over(path, needed, found, volume)


def _data_files(path: Path) -> list[str]:
    """Return the names of the files beside an NRRD header that hold its voxels; of numbered ones those there are."""
    fields, _ = nrrd_header(path)
    named = fields.get("data file", fields.get("datafile", ""))
    if named.upper().startswith("LIST"):
        lines = first_bytes(path, LONGEST_HEADER).decode("utf-8", errors="replace").splitlines()
        after = next(k for k, line in enumerate(lines) if re.match(r"data ?file:\s*LIST", line, re.IGNORECASE))
        return [line.strip() for line in lines[after + 1 :] if line.strip()]
    if "%" in named:
        numbered = path.parent / named.split()[0]
        pattern = re.sub(r"(%[0-9]*[a-z])+", "*", glob.escape(numbered.name))
        return [str(file) for file in numbered.parent.glob(pattern)]
    return [named] if named else []
