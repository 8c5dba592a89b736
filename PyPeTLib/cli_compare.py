"""The command ``pypet compare``: arguments in, tables and figures out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyPeTLib.cli_print import print_tables
from PyPeTLib.errors import InputError
from PyPeTLib.packages import mending
from PyPeTLib.typeset import one_line

if TYPE_CHECKING:
    from PyPeTLib.cohort import Cohort
    from PyPeTLib.compare import Comparison
    from PyPeTLib.compare_drawing import FigureWriter
    from PyPeTLib.pairing import Pair
    from PyPeTLib.pictures import Scale
    from PyPeTLib.progress import Progress

#: Exit codes: done, and done but for what is listed, such as some cases of a data set.
OK, PARTLY = 0, 4


def add_compare(commands: Any, progress: Callable[[bool], AbstractContextManager[Progress]]) -> None:
    """Add the command to a parser; ``progress(quiet)`` gives the callback that shows how far it is."""
    compare = commands.add_parser(
        "compare",
        help="compare the maps of runs with reference maps",
        description="Measure how alike the maps of a run and reference maps are, of one case or of a data set: "
        "similarity, limits of agreement, volumes and criteria. Exit code 4: some cases could not be compared.",
    )
    compare.add_argument("results", metavar="OUT", type=named, help="folder of 'pypet run', or of many of them")
    compare.add_argument(
        "reference",
        metavar="REFERENCE",
        type=named,
        nargs="+",
        help="folder of reference maps (PREFIX_cbf.nii.gz, ...; ISLES 2024), or files, also as MAP=FILE",
    )
    compare.add_argument("--mask", metavar="FILE", type=named, help="where to compare, instead of the brain mask")
    compare.add_argument(
        "--colour-bar",
        metavar="MAP=LOW:HIGH:UNIT[@BOX|@FILE]",
        action="append",
        default=[],
        help="values at the ends of a colour-coded picture's bar (repeatable); where it stands, LEFT,TOP,WIDTH,HEIGHT "
        "in pixels, or a file of its colours, if it is not found",
    )
    compare.add_argument("-o", "--output", metavar="RESULT", type=named, help="folder for tables and figures")
    compare.add_argument("--no-figures", action="store_true", help="write tables only")
    compare.add_argument("--overwrite", action="store_true", help="replace the files in a folder that holds some")
    compare.add_argument("--quiet", action="store_true", help="print nothing but errors")
    compare.set_defaults(command=lambda options: _compare(options, progress))


def named(text: str) -> Path:
    """Return the path in an argument; an empty one, of a shell variable that is not set, would be this folder."""
    if not text:
        raise argparse.ArgumentTypeError("a name is needed; found '' (a shell variable that is not set?). Give one.")
    return Path(text)


def _compare(options: argparse.Namespace, progress: Callable[[bool], AbstractContextManager[Progress]]) -> int:
    """Compare, write where asked to, print, and say by the exit code whether every case is there."""
    from PyPeTLib.comparison_files import comparison_files
    from PyPeTLib.write import remove_files, staged_output, without_successor

    _check_wishes(options)
    scales, output = _scales(options.colour_bar), options.output
    pictures = False
    if output is None:
        cohort, text, _ = _compared(options, scales, progress, None)
    else:
        with staged_output(output, overwrite=options.overwrite) as folder:
            cohort, text, pictures = _compared(options, scales, progress, folder)
            former = without_successor(comparison_files(output), folder)
        remove_files(output, former)
    if not options.quiet:
        print_tables(text)
        if output is not None:
            print(f"\nTables{' and figures' * pictures} in {output}.")
    return _code(cohort)


def _check_wishes(options: argparse.Namespace) -> None:
    """Refuse what is about files where none are to be written."""
    for wish in ("--no-figures", "--overwrite"):
        if options.output is None and getattr(options, wish.removeprefix("--").replace("-", "_")):
            need = f"{wish} is about the files that are written: -o RESULT is needed"
            raise InputError(f"{need}; found none. Give it, or leave {wish} out.")


def _compared(
    options: argparse.Namespace,
    scales: Mapping[str, Scale],
    progress: Callable[[bool], AbstractContextManager[Progress]],
    folder: Path | None,
) -> tuple[Cohort, str, bool]:
    """Compare, write tables and, where wanted, figures into a folder, and return what was found, as a text too.

    And whether figures were drawn.
    """
    from PyPeTLib.compare_drawing import FigureWriter

    with FigureWriter(folder) if folder is not None and not options.no_figures else nullcontext() as writer:
        # only now, for this takes as long as it takes the processes that draw to get ready
        from PyPeTLib.cohort import compare_folders, volumes_of
        from PyPeTLib.compare_tables import excel_available, markdown, write_tables

        show = _nothing if writer is None else writer.case
        with progress(options.quiet) as report:
            cohort = compare_folders(
                options.results, options.reference, mask=options.mask, scales=scales, show=show, progress=report
            )
        if writer is not None:
            writer.volumes(volumes_of(cohort.cases))
        if folder is not None:
            write_tables(cohort, folder)
            if not excel_available() and not options.quiet:
                print(f"pypet: left out: Excel needs openpyxl: {mending('openpyxl')}", file=sys.stderr)
        drawn = writer is not None and _drawn(writer, options.quiet)
    return cohort, markdown(cohort), drawn


def _code(cohort: Cohort) -> int:
    """Return the exit code, and say which cases are missing and why."""
    for name, reason in cohort.failed.items():
        print(one_line(f"pypet: not compared: {name}: {reason}"), file=sys.stderr)
    return PARTLY if cohort.failed else OK


def _scales(texts: list[str]) -> dict[str, Scale]:
    if not texts:
        return {}
    from PyPeTLib.pictures import parse_scale

    scales: dict[str, Scale] = {}
    for name, scale in map(parse_scale, texts):
        if name in scales:
            given = " and ".join(f"'{text}'" for text in texts if parse_scale(text)[0] == name)
            raise InputError(f"Colour bar: one a map is needed; found {given}. Leave one out.")
        scales[name] = scale
    return scales


def _drawn(writer: FigureWriter, quiet: bool) -> bool:
    """Tell whether figures were drawn, and say what is left out; this process imports nothing that draws."""
    if not writer.why_not():
        return True
    if not quiet:
        print(f"pypet: left out: figures need matplotlib: {mending('matplotlib')}", file=sys.stderr)
    return False


def _nothing(comparison: Comparison, pairs: Mapping[str, Pair]) -> None:
    """Draw nothing."""
