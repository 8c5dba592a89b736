"""The names of the files of a run: which there may be, whose a folder holds, and which an earlier run left."""

from __future__ import annotations

from pathlib import Path

from PyPeTLib.analysis import Analysis
from PyPeTLib.errors import InputError, reason_of
from PyPeTLib.map_facts import KINDS, LONG_NAMES
from PyPeTLib.write import prefix_of

#: How the name of the file ends by which a run is known.
SUMMARY = "_summary.json"
#: Masks that a run may write.
MASK_NAMES = ("brain", "csf", "bone", "aif", "vof", "vessel", "core", "hypoperfusion", "mismatch")


def result_names(analysis: Analysis) -> set[str]:
    """Return the names of all files that runs on this scan may have written, with any settings."""
    return _names_of(prefix_of(analysis.series.name))


def former_results(analysis: Analysis, folder: str | Path) -> set[str]:
    """Return the names of the files that an earlier run on this scan left in a folder: one that has its summary."""
    former = Path(folder) / f"{prefix_of(analysis.series.name)}{SUMMARY}"
    return {name for name in result_names(analysis) if former.with_name(name).is_file()} if former.is_file() else set()


def holds_other_runs_only(folder: str | Path, prefix: str) -> bool:
    """Tell whether a folder holds results of other scans and nothing else, so that a run may add its own to them.

    Parameters
    ----------
    folder : str or Path
        May be missing.
    prefix : str
        What the names of the run's files begin with. Another that differs in case only is no other: Windows and macOS
        take their files for the same.
    """
    try:
        there = Path(folder).is_dir()
    except OSError:  # as of a name that is too long: told where the folder is made
        there = False
    if not there:
        return False
    present = {entry.name for entry in Path(folder).iterdir() if not entry.name.startswith(".")}
    others = {name.removesuffix(SUMMARY) for name in present if name.endswith(SUMMARY)}
    known: set[str] = set().union(*(_names_of(other) for other in others))
    return prefix.casefold() not in {other.casefold() for other in others} and bool(present) and present <= known


def require_names(name: str, folder: Path) -> None:
    """Refuse, before the work, a scan whose name is too long for the names of its results.

    Parameters
    ----------
    name : str
        Of the scan.
    folder : Path
        Where the results will be written; it exists.

    Raises
    ------
    InputError
        If the longest name cannot be given to a file there.
    """
    prefix = prefix_of(name)
    file = folder / max(_names_of(prefix), key=len)
    try:
        file.touch()
        file.unlink()
    except OSError as error:
        need = f"a name is needed that '{file.name.removeprefix(prefix)}' can be added to"
        cure = "Rename the scan, or choose a folder with a shorter path"
        raise InputError(f"Scan {name}: {need}; found {reason_of(error)}. {cure}.") from error


def _names_of(prefix: str) -> set[str]:
    """Return the names of all files that runs of a prefix may have written."""
    maps = [f"{name}{kind}" for name in LONG_NAMES for kind in ("", *(f"_{kind}" for kind in KINDS))]
    names = [f"{name}{end}" for name in maps for end in (".nii.gz", ".json")]
    names += [f"{name}_mask.nii.gz" for name in MASK_NAMES]
    names += ["curves.csv", "motion.csv", "summary.json", "report.html", "report.pdf", "scene.mrb"]
    return {f"{prefix}_{name}" for name in names}
