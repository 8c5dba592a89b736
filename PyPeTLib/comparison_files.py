"""The files that a comparison may be about: those in a folder and in all folders below."""

from __future__ import annotations

import os
from pathlib import Path


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
