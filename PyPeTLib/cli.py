"""The command ``pypet``: arguments in, files and exit code out."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

# One thread for each matrix product: PyPeT divides the voxels among the processors itself. Set before numpy starts.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from PyPeTLib import __version__
from PyPeTLib.cli_compare import OK, add_compare, named
from PyPeTLib.cli_print import STOP, can_report, progress_bar
from PyPeTLib.cli_run import add_run, add_scene
from PyPeTLib.cli_scan import add_scan, scan_paths
from PyPeTLib.errors import Cancelled, InputError, PyPeTError, QualityError, reason_of
from PyPeTLib.settings import Settings, describe_settings, settings_to_toml
from PyPeTLib.typeset import FEW_LETTERS, harmless, one_line, typeset

if TYPE_CHECKING:
    from PyPeTLib.phantom_options import OptionInfo
    from PyPeTLib.read import SeriesInfo

#: Exit codes beside those of `cli_compare`.
USER_ERROR, NO_RESULT, STOPPED = 2, 3, 130
#: What writing to a pipe that nobody reads any more says: everywhere, and on Windows.
READER_GONE = (errno.EPIPE, errno.EINVAL)
#: What the demonstration does.
DEMONSTRATION = (
    "Makes a digital head (16×220×220 voxels, 55 frames), computes its maps and a report, and compares them with the "
    "known truth: about half a minute and 60 MB"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    That is 0: done; 2: the user's error; 3: no trustworthy result; 4: done but for what is listed, some cases of a data
    set or the PDF; 130: stopped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=FEW_LETTERS)
    options = _parser().parse_args(arguments)
    STOP.clear()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started us wants it otherwise
            signal.signal(signal.SIGINT, _stop)
    try:
        with redirect_stdout(_UntilClosed()):
            code: int = options.command(options)
            print(end="", flush=True)
        return code
    except QualityError as error:
        return _complain("no trustworthy result", error, NO_RESULT)
    except (Cancelled, KeyboardInterrupt) as error:
        return _complain("stopped", error, STOPPED)
    except PyPeTError as error:
        return _complain("error", error, USER_ERROR)
    except OSError as error:
        told = f"{error.filename}: {reason_of(error)}. Check path and permissions." if error.filename else error
        return _complain("error", told, USER_ERROR)
    except MemoryError as error:
        return _complain("error: not enough memory", error, USER_ERROR)


class _UntilClosed(io.TextIOBase):
    """The output, until nobody reads it any more (``pypet run ... | head``): what comes then is dropped, no error.

    So is everything where there is no output from the start (``pypet run ... >&-``, a program without a console).
    """

    def __init__(self) -> None:
        self.output: TextIO | None = sys.stdout

    def write(self, text: str) -> int:
        """Write a text to the output."""
        with self._quietly() as output:
            if output is not None:
                output.write(harmless(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        with self._quietly() as output:
            if output is not None:
                output.flush()

    def isatty(self) -> bool:
        """Tell whether the output is a terminal."""
        return self.output is not None and self.output.isatty()

    @contextmanager
    def _quietly(self) -> Iterator[TextIO | None]:
        """Yield the output, and let it lead nowhere once its reader has gone, when Python ends too."""
        try:
            yield self.output
        except OSError as error:
            if self.output is None or error.errno not in READER_GONE:
                raise OSError(error.errno, error.strerror, "What is printed") from error  # a full disk, by its name
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.output.fileno())
            os.close(nowhere)


def _stop(number: int, frame: object) -> None:
    """Turn the request to end into an exception, so that everything unfinished is removed."""
    STOP.set()
    raise KeyboardInterrupt


def _complain(what: str, error: BaseException | str, code: int) -> int:
    with suppress(OSError):  # a full disk: the exit code remains
        print(one_line(f"pypet: {what}: {error}" if str(error) else f"pypet: {what}"), file=sys.stderr, flush=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pypet", description="Quantitative maps of brain perfusion from CT. Research use only."
    )
    parser.add_argument("--version", action="version", version=f"PyPeT {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands)
    add_compare(commands, progress_bar)
    add_scene(commands)
    _add_info(commands)
    _add_phantom(commands)
    _add_demo(commands)
    _add_settings(commands)
    return parser


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info",
        help="say what a scan is, and what would stop a run",
        description="Say what a scan is: grid, times and where they are from, HU; and what would stop a run on it.",
    )
    add_scan(info)
    info.set_defaults(command=_info)


def _info(options: argparse.Namespace) -> int:
    import math

    from PyPeTLib.hounsfield import finite_extremes
    from PyPeTLib.read import inspect_series, read_times
    from PyPeTLib.scan import describe_times

    times = read_times(options.times) if options.times else None
    info = inspect_series(scan_paths(options), times_s=times, interval_s=options.interval, series_number=options.series)
    print(f"Scan    {one_line(info.name)}")
    print(f"Grid    {info.geometry.describe()}")
    print(f"Axes    {info.geometry.describe_axes()}")
    low, high = finite_extremes(info.values)
    values = "no number" if math.isnan(low) else f"{typeset(f'{low:g}')} to {typeset(f'{high:g}')} HU"
    print(f"Values  read as {info.stored_type}, {values}")
    if info.times_s is None:
        print(f"Times   {info.frames} frames, times unknown")
    else:
        print(f"Times   {describe_times(info.times_s)}; from: {info.time_source}")
    for check in info.checks:
        if check.doubtful:
            print(f"Note    {one_line(check.text)}")
    problems = info.problems or _what_stops(info)
    for problem in problems:
        print(f"Stops   {one_line(problem)}")
    return OK if not problems else USER_ERROR if info.problems else NO_RESULT


def _what_stops(info: SeriesInfo) -> tuple[str, ...]:
    """Return why a run of a readable scan would end without a result, by a run with a quicker denoising."""
    from PyPeTLib.pipeline import analyze
    from PyPeTLib.scan import Series

    assert info.times_s is not None
    try:
        analyze(Series(info.values, info.times_s, info.geometry, info.name), Settings(denoise="gaussian"))
    except QualityError as error:
        return (str(error),)
    return ()


def _add_phantom(commands: Any) -> None:
    phantom = commands.add_parser(
        "phantom",
        help="write a digital phantom with known truth",
        description="Write a digital phantom: the scan, its true maps with their units, and masks of its tissues.",
    )
    phantom.add_argument("output", metavar="OUT", type=named, help="folder for scan and truth")
    phantom.add_argument("--kind", choices=("head", "tiles"), default="head", help="anatomical head, or uniform tiles")
    phantom.add_argument("--seed", type=int, default=0, help="draws anatomy and noise")
    phantom.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="change an option (repeatable); 'pypet settings --phantom head' (or tiles) lists them",
    )
    phantom.add_argument("--overwrite", action="store_true", help="replace the files in a folder that holds some")
    phantom.set_defaults(command=_phantom)


def _phantom(options: argparse.Namespace) -> int:
    from PyPeTLib.phantom import head_phantom, tiles_phantom
    from PyPeTLib.phantom_files import former_phantom, options_from_text, write_phantom
    from PyPeTLib.phantom_options import HeadOptions, TilesOptions
    from PyPeTLib.write import remove_files, staged_output, without_successor

    kind = HeadOptions if options.kind == "head" else TilesOptions
    wanted = options_from_text(kind, {"seed": str(options.seed), **dict(_pair(text) for text in options.set)})
    with staged_output(options.output, overwrite=options.overwrite) as folder:
        phantom = head_phantom(wanted) if isinstance(wanted, HeadOptions) else tiles_phantom(wanted)
        scan = write_phantom(phantom, folder)
        stale = without_successor(former_phantom(phantom, options.output), folder)
    remove_files(options.output, stale)
    print(options.output / scan.name)
    return OK


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"An option is given as NAME=VALUE; found '{text}'.")
    return name.strip(), value.strip()


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo", help="phantom, run, and comparison with the truth", description=f"{DEMONSTRATION}."
    )
    demo.add_argument(
        "output",
        metavar="OUT",
        type=named,
        nargs="?",
        default=Path("pypet-demo"),
        help="folder (default: %(default)s) for scan, truth, results and report; a demonstration there is replaced",
    )
    demo.add_argument("--overwrite", action="store_true", help="write into a folder that holds other files")
    demo.set_defaults(command=_demo)


def _demo(options: argparse.Namespace) -> int:
    from PyPeTLib.demo import run_demo
    from PyPeTLib.lesion_facts import RESEARCH_USE
    from PyPeTLib.truth import FIGURES

    print(f"{DEMONSTRATION}. Everything goes to {options.output}.", flush=True)
    with progress_bar(False) as progress:
        figures, page = run_demo(
            options.output, overwrite=options.overwrite, report=can_report(quiet=False), progress=progress
        )
    print(f"Found against the known truth of the phantom, maps in tissue away from vessels. {RESEARCH_USE}")
    print(f"  {'':<52} {'found':>6}  best")
    for name, value in figures.items():
        words, best = FIGURES[name]
        print(f"  {words:<52} {typeset(f'{value:6.2f}')}  {best:g}")
    print(f"Results: {page}")
    return OK


def _add_settings(commands: Any) -> None:
    settings = commands.add_parser(
        "settings",
        help="list every setting with default, unit, range and meaning",
        description="List every setting with default, unit, range and meaning, or write them as a file to edit.",
    )
    told = "as a file to edit ('pypet settings --toml > FILE.toml'), for 'pypet run --settings FILE.toml'"
    settings.add_argument("--toml", action="store_true", help=told)
    settings.add_argument("--phantom", choices=("head", "tiles"), help="the options of 'pypet phantom --set' instead")
    settings.set_defaults(command=_settings)


def _settings(options: argparse.Namespace) -> int:
    if options.toml and options.phantom:
        raise InputError("--toml is of the settings of a run: it is needed alone; found --phantom. Leave one out.")
    if options.toml:
        print(settings_to_toml(Settings()), end="")
        return OK
    for info in _phantom_options(options.phantom) if options.phantom else describe_settings():
        unit = f" {info.unit}" if info.unit else ""
        print(f"{info.name} = {info.default}{unit}\n    {info.meaning}; {info.allowed}")
    return OK


def _phantom_options(kind: str) -> tuple[OptionInfo, ...]:
    from PyPeTLib.phantom_options import HeadOptions, TilesOptions, describe_options

    return describe_options(HeadOptions if kind == "head" else TilesOptions)
