"""What the commands show on a terminal: progress, the result, and what is left out."""

from __future__ import annotations

import shutil
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PyPeTLib.packages import mending, usable

if TYPE_CHECKING:
    from PyPeTLib.analysis import Analysis, Lesions
    from PyPeTLib.beside import Reference
    from PyPeTLib.checks import Check
    from PyPeTLib.progress import Progress

#: A terminal of no more columns than these has its lines as they are.
NARROW = 20
#: Set once the user wants to stop: what is raised in a callback of the garbage collector, Python drops.
STOP = threading.Event()


def print_result(analysis: Analysis, output: Path, reference: Reference | None = None) -> None:
    """Say what was found, doubts first.

    Parameters
    ----------
    analysis : Analysis
        The run.
    output : Path
        Where its results are.
    reference : beside.Reference, optional
        Maps that the report shows beside those of the run.
    """
    from PyPeTLib.checks import invalid_why
    from PyPeTLib.quality import worst_first
    from PyPeTLib.report_facts import key_numbers

    _print_checks(worst_first(analysis.checks))
    if invalid_why(analysis.checks):
        _say("All that follows, and the files, are marked INVALID.")
    numbers = key_numbers(analysis.maps, analysis.tissue)  # with the digits of the report
    medians = [" ".join(filter(None, (one.short, one.median, one.voxel_sd, one.unit))) for one in numbers]
    spread = " ± SD of a voxel" if any(one.voxel_sd for one in numbers) else ""
    _say(f"Tissue medians{spread}: {', '.join(medians)}")
    if analysis.curves.resolution_mm is not None:
        _say(
            f"Tissue of one kind is averaged over {analysis.curves.resolution_mm:.1f} mm (full width at half maximum)."
        )
    _print_lesions(analysis.lesions)
    for text in [] if reference is None else reference.sentences():
        _say(f"Reference maps in the report: {text}")
    print(f"Results in {output}. Research use only.")


def print_tables(text: str) -> None:
    """Print a text of tables; on a terminal its sentences have lines of the terminal's width, rows stay whole.

    Parameters
    ----------
    text : str
        Markdown.
    """
    for line in text.splitlines():
        if line.startswith("|"):
            print(line)
        else:
            _say(line)


def _say(text: str, indent: str = "") -> None:
    """Print a sentence, on a terminal in lines of its width; in a pipe it stays one line, for programs to search."""
    columns = shutil.get_terminal_size().columns
    if columns <= NARROW or sys.stdout is None or not sys.stdout.isatty():
        print(f"{indent}{text}")
        return
    print(
        textwrap.fill(
            text,
            columns - 1,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _print_lesions(lesions: Lesions) -> None:
    """Print volumes with their bounds, ratios and criteria."""
    import math

    from PyPeTLib.lesion_facts import RESEARCH_USE, criterion_rows, lesion_rows, lesion_values

    _say(f"Lesions: {lesions.rule}. Side: {lesions.side}. {RESEARCH_USE}")
    rows = lesion_rows(lesions)
    for (name, value, low, high, unit), text in zip(rows, lesion_values(rows, unknown="not known"), strict=True):
        interval = "" if math.isnan(low) else f" ({low:.1f} to {high:.1f})"
        _say(f"{name}: {text}" + ("" if math.isnan(value) else f"{interval} {unit}".rstrip()), "  ")
    for name, met, why in criterion_rows(lesions):
        _say(f"{name}: {met} ({why})", "  ")


def _print_checks(checks: Sequence[Check]) -> None:
    """Print every doubt, and the names of what passed or could not be looked at."""
    for check in checks:
        if check.doubtful:
            _say(f"{check.status} ({check.name}): {check.text}")
    for status in ("pass", "not applicable"):
        names = ", ".join(check.name for check in checks if check.status == status)
        if names:
            _say(f"{status}: {names}")


def can_report(*, quiet: bool) -> bool:
    """Tell whether the packages of the report are there, and say where it is left out.

    Parameters
    ----------
    quiet : bool
        Say nothing.
    """
    needed = needed_for_pictures()
    if needed and not quiet:
        print(f"pypet: left out: the report needs {needed}", file=sys.stderr)
    return not needed


def needed_for_pictures() -> str:
    """Return which packages report and pictures need and how to get them; "" where they are there."""
    from PyPeTLib.report import NEEDED as PACKAGES
    from PyPeTLib.report import report_available

    return "" if report_available() else f"{' and '.join(PACKAGES)}: {mending(*PACKAGES)}"


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """Yield a progress callback: a bar on a terminal, silence in a pipe or without tqdm; both stop when asked to.

    Parameters
    ----------
    quiet : bool
        Show no bar.

    Yields
    ------
    callable
        Takes the fraction that is done, 0 to 1, and a text; raises KeyboardInterrupt once `STOP` is set.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty() or not usable("tqdm"):
        yield lambda fraction, text: _go_on()
        return
    from tqdm import tqdm

    with tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:

        def show(fraction: float, text: str) -> None:
            _go_on()
            bar.set_description_str(text, refresh=False)
            bar.update(max(0.0, 100.0 * fraction - bar.n))

        yield show


def _go_on() -> None:
    """Raise if the user wants to stop."""
    if STOP.is_set():
        raise KeyboardInterrupt
