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
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

# One thread for each matrix product: PyPeT divides the voxels among the processors itself. Set before numpy starts.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from PyPeTLib import __version__
from PyPeTLib.cli_compare import OK, PARTLY, add_compare, named
from PyPeTLib.errors import Cancelled, InputError, PyPeTError, QualityError, reason_of
from PyPeTLib.packages import mending, usable
from PyPeTLib.settings import (
    WITH_DELAY,
    DeconvolutionMethod,
    Settings,
    describe_settings,
    parse_assignment,
    settings_from_toml,
    settings_to_toml,
    without_effect,
)
from PyPeTLib.typeset import FEW_LETTERS, harmless, one_line, typeset

if TYPE_CHECKING:
    from PyPeTLib.beside import Reference
    from PyPeTLib.phantom_options import OptionInfo
    from PyPeTLib.read import SeriesInfo
    from PyPeTLib.records import Analysis, Check, Geometry, Image, Lesions, Points, Progress, Series, TimeCurve

#: Exit codes beside those of `cli_compare`.
USER_ERROR, NO_RESULT, STOPPED = 2, 3, 130
#: What writing to a pipe that nobody reads any more says: everywhere, and on Windows.
READER_GONE = (errno.EPIPE, errno.EINVAL)
#: Set once the user wants to stop: what is raised in a callback of the garbage collector, Python drops.
_STOP = threading.Event()
#: Packages that the steps of a run load when they need them, a third of a second together.
NEEDED = ("scipy.ndimage", "scipy.spatial.transform", "scipy.special", "scipy.optimize", "scipy.interpolate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    That is 0: done; 2: the user's error; 3: no trustworthy result; 4: done but for what is listed, some cases of a data
    set or the PDF; 130: stopped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=FEW_LETTERS)
    options = _parser().parse_args(arguments)
    _STOP.clear()
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

    @contextmanager
    def _quietly(self) -> Iterator[TextIO | None]:
        """Yield the output, and let it lead nowhere once its reader has gone, when Python ends too."""
        try:
            yield self.output
        except OSError as error:
            if self.output is None or error.errno not in READER_GONE:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.output.fileno())
            os.close(nowhere)


def _stop(number: int, frame: object) -> None:
    """Turn the request to end into an exception, so that everything unfinished is removed."""
    _STOP.set()
    raise KeyboardInterrupt


def _complain(what: str, error: BaseException | str, code: int) -> int:
    print(one_line(f"pypet: {what}: {error}" if str(error) else f"pypet: {what}"), file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pypet", description="Quantitative maps of brain perfusion from CT. Research use only."
    )
    parser.add_argument("--version", action="version", version=f"PyPeT {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    add_compare(commands, _progress)
    _add_scene(commands)
    _add_info(commands)
    _add_phantom(commands)
    _add_demo(commands)
    _add_settings(commands)
    return parser


def _add_run(commands: Any) -> None:
    run = commands.add_parser("run", help="compute perfusion maps of a scan")
    _add_scan(run)
    run.add_argument("-o", "--output", metavar="OUT", type=named, required=True, help="folder for the results")
    _add_analysis(run)
    run.add_argument("--stages", metavar="FOLDER", type=named, help="write a picture of every step into this folder")
    run.add_argument(
        "--figures", metavar="FOLDER", type=named, help="write every figure of the report into this folder, PNG and SVG"
    )
    run.add_argument(
        "--reference", metavar="FOLDER", type=named, help="maps (..._cbf.nii.gz, ...) that the report shows beside ours"
    )
    run.add_argument("--pdf", action="store_true", help="write the report as PDF as well (by Chromium or WeasyPrint)")
    run.add_argument("--scene", action="store_true", help="write a scene for 3D Slicer (PREFIX_scene.mrb) as well")
    run.add_argument("--overwrite", action="store_true", help="replace the results in a folder that holds some")
    run.add_argument("--no-report", action="store_true", help="skip the report")
    run.set_defaults(command=_run)


def _add_scene(commands: Any) -> None:
    scene = commands.add_parser("scene", help="compute perfusion maps and write them as a scene for 3D Slicer (.mrb)")
    _add_scan(scene)
    scene.add_argument("-o", "--output", metavar="OUT.mrb", type=named, required=True, help="the scene")
    _add_analysis(scene)
    scene.add_argument("--overwrite", action="store_true", help="replace a scene that exists")
    scene.set_defaults(command=_scene)


def _add_analysis(parser: argparse.ArgumentParser) -> None:
    """Add what an analysis can be told."""
    parser.add_argument("--mask", metavar="FILE", type=named, help="brain mask on the scan's grid")
    for key, what in (("aif", "arterial input"), ("vof", "venous output")):
        given = parser.add_mutually_exclusive_group()
        given.add_argument(f"--{key}-mask", metavar="FILE", type=named, help=f"voxels of the {what}")
        given.add_argument(
            f"--{key}-points",
            metavar="FILE",
            type=named,
            help=f"markups of 3D Slicer (.mrk.json, .fcsv) in the {what}; grown to the voxels that behave alike",
        )
        given.add_argument(
            f"--{key}-curve", metavar="FILE", type=named, help=f"table with the curve of the {what}: time in s, HU"
        )
    parser.add_argument("--method", metavar="NAME", help=f"deconvolution: {', '.join(get_args(DeconvolutionMethod))}")
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="change a setting (repeatable)"
    )
    parser.add_argument("--settings", metavar="FILE.toml", type=named, help="settings file ('pypet settings --toml')")
    parser.add_argument("--force", action="store_true", help="write maps even where the data allow no trustworthy ones")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scan",
        metavar="SCAN",
        nargs="+",
        type=named,
        help="4D NIfTI or NRRD, one 3D file for each frame, or DICOM images; or a folder of these",
    )
    parser.add_argument("--series", metavar="NUMBER", type=int, help="DICOM series to read, where there are several")
    times = parser.add_mutually_exclusive_group()
    times.add_argument("--times", metavar="FILE", type=named, help="acquisition times in s, one number a line")
    times.add_argument("--interval", metavar="SECONDS", type=float, help="time between frames in s")


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="say what a scan is, and what would stop a run")
    _add_scan(info)
    info.set_defaults(command=_info)


def _add_phantom(commands: Any) -> None:
    phantom = commands.add_parser("phantom", help="write a digital phantom with known truth")
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


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="phantom, run, and comparison with the truth")
    demo.add_argument("output", metavar="OUT", type=named, nargs="?", default=Path("pypet-demo"))
    demo.add_argument("--overwrite", action="store_true", help="write into a folder that holds other files")
    demo.set_defaults(command=_demo)


def _add_settings(commands: Any) -> None:
    settings = commands.add_parser("settings", help="list every setting with default, unit, range and meaning")
    settings.add_argument("--toml", action="store_true", help="as a file to edit, for 'pypet run --settings FILE'")
    settings.add_argument("--phantom", choices=("head", "tiles"), help="the options of 'pypet phantom --set' instead")
    settings.set_defaults(command=_settings)


def _run(options: argparse.Namespace) -> int:
    from contextlib import ExitStack

    from PyPeTLib.results import former_results, holds_other_runs_only
    from PyPeTLib.write import remove_files, staged_output, without_successor

    settings = _settings_of(options)
    _check_wishes(options)
    reference = _reference(options)
    # frames in several folders: only once they are read is it known which folder names the results
    one_folder = len({path.absolute().parent for path in options.scan}) == 1
    beside = one_folder and holds_other_runs_only(options.output, _prefix(options))
    with ExitStack() as folders:
        folder = folders.enter_context(staged_output(options.output, overwrite=options.overwrite or beside))
        stages, figures = (
            wanted and folders.enter_context(staged_output(wanted, overwrite=options.overwrite))
            for wanted in (options.stages, options.figures)
        )
        with _progress(options.quiet) as progress:
            analysis = _analysis(options, settings, progress, reference, folder)
        if reference is not None:
            reference = _like_ours(reference, dict(analysis.maps.items()), settings)
        complete = _write_run(options, analysis, reference, folder)
        if stages is not None:
            from PyPeTLib.stages import write_stages

            write_stages(analysis, stages)
        stale = [(options.output, without_successor(former_results(analysis, options.output), folder))]
        if figures is not None:
            from PyPeTLib.report_pictures import former_figures, write_figures

            write_figures(analysis, figures, reference=reference)
            stale.append((options.figures, without_successor(former_figures(options.figures), figures)))
    for former, names in stale:  # of an earlier run with other settings
        remove_files(former, names)
    if not options.quiet:
        _print_result(analysis, options.output, reference)
    return OK if complete else PARTLY


def _check_wishes(options: argparse.Namespace) -> None:
    """Refuse before the work begins what could not be written after it."""
    if options.scene:
        from PyPeTScene.bootstrap import require_slicer

        require_slicer()
    if options.no_report and (options.pdf or options.reference):
        wish = "--pdf" if options.pdf else "--reference"
        raise InputError(f"{wish} is about the report: it is needed; found --no-report. Leave one of them out.")
    for wish in ("stages", "figures", "pdf", "reference"):
        if getattr(options, wish) and (needed := _needed_for_pictures()):
            raise InputError(f"--{wish} needs {needed}.")
    if options.pdf:
        from PyPeTLib.pdf import require_printer

        require_printer()


def _reference(options: argparse.Namespace) -> Reference | None:
    """Read the maps that the report is to show beside ours."""
    if not options.reference:
        return None
    from PyPeTLib.beside import read_beside

    return read_beside(options.reference, _prefix(options))


def _prefix(options: argparse.Namespace) -> str:
    """Return what the names of the results will begin with: the scan, or the folder of its frames, names them."""
    from PyPeTLib.files import scan_name
    from PyPeTLib.read import naming_path
    from PyPeTLib.write import prefix_of

    return prefix_of(scan_name(naming_path(_scan(options))))


def _maps_to_come(geometry: Geometry, settings: Settings) -> dict[str, Image]:
    """Return maps of a run that has not begun: its names, grid and units, and a value in every voxel."""
    import numpy as np

    from PyPeTLib.records import MAP_UNITS, Image

    somewhere = np.ones(geometry.shape, dtype=np.float32)
    names = [name for name in MAP_UNITS if name != "delay" or settings.method in WITH_DELAY]
    return {name: Image(somewhere, geometry, MAP_UNITS[name]) for name in names}


def _like_ours(reference: Reference, ours: dict[str, Image], settings: Settings) -> Reference:
    from PyPeTLib.beside import like_ours

    return like_ours(reference, ours, density_g_ml=settings.tissue_density_g_ml)


def _write_run(options: argparse.Namespace, analysis: Analysis, reference: Reference | None, folder: Path) -> bool:
    """Write maps, summary and report, and, where they are wanted, PDF and scene; tell whether all of it is there."""
    from PyPeTLib.results import write_analysis
    from PyPeTLib.write import prefix_of

    stem = prefix_of(analysis.series.name)
    report = not options.no_report and _can_report(quiet=options.quiet)
    source = " ".join(str(path) for path in options.scan)
    write_analysis(analysis, folder, source=source, report=report, reference=reference)
    complete = not options.pdf or _print_page(folder / f"{stem}_report.html", folder / f"{stem}_report.pdf")
    if options.scene:
        from PyPeTScene.headless import write_scene

        write_scene(analysis, folder / f"{stem}_scene.mrb")
    return complete


def _print_page(page: Path, target: Path) -> bool:
    """Write the report as PDF; what does not print after all is told, and costs the run none of its other files."""
    from PyPeTLib.pdf import write_pdf

    try:
        write_pdf(page, target)
    except (InputError, OSError) as error:
        target.unlink(missing_ok=True)
        print(one_line(f"pypet: left out: {error}"), file=sys.stderr)
        return False
    return True


def _scene(options: argparse.Namespace) -> int:
    """Analyse, then write the scene; what would stop the writing is found out before."""
    from PyPeTScene.bootstrap import check_target, require_slicer
    from PyPeTScene.headless import write_scene

    settings = _settings_of(options)
    require_slicer()
    check_target(options.output, overwrite=options.overwrite)
    with _progress(options.quiet) as progress:
        analysis = _analysis(options, settings, progress)
    write_scene(analysis, options.output)
    if not options.quiet:
        _print_result(analysis, options.output)
    return OK


def _settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings: defaults, then the file, then --set, then --method; say which have no effect."""
    from PyPeTLib.files import read_text

    changes: dict[str, Any] = {}
    if options.settings:
        text = read_text(options.settings, "Settings file")
        changes.update(settings_from_toml(text, source=str(options.settings)))
    changes.update(parse_assignment(text) for text in options.set)
    if options.method:
        changes["method"] = options.method
    settings = Settings().changed(changes)
    if not options.quiet:
        for name, why in without_effect(settings).items():
            found = f"{name}={getattr(settings, name)} has no effect with {why}"
            print(f"pypet: setting {found}; leave it out, or choose otherwise there", file=sys.stderr)
    return settings


def _read(options: argparse.Namespace) -> Series:
    from PyPeTLib.read import read_series, read_times

    times = read_times(options.times) if options.times else None
    return read_series(_scan(options), times_s=times, interval_s=options.interval, series_number=options.series)


def _scan(options: argparse.Namespace) -> Path | list[Path]:
    scan: list[Path] = options.scan
    return scan[0] if len(scan) == 1 else scan


def _analysis(
    options: argparse.Namespace,
    settings: Settings,
    progress: Progress,
    reference: Reference | None = None,
    folder: Path | None = None,
) -> Analysis:
    """Read scan and what the user gave with it and analyse them; the time of reading is added to the steps'.

    Reference maps that the run's could not be shown beside, and names that no file of its results in a folder could
    have, are refused before the analysis.
    """
    import time
    from dataclasses import replace

    from PyPeTLib.pipeline import analyze
    from PyPeTLib.read import read_mask
    from PyPeTLib.results import require_names

    start = time.perf_counter()
    progress(0.0, "Reading")
    threading.Thread(target=_load, args=(NEEDED,)).start()
    series = _read(options)
    if folder is not None:
        require_names(series.name, folder)
    if reference is not None:
        _like_ours(reference, _maps_to_come(series.geometry, settings), settings)
    brain = read_mask(options.mask, series.geometry, what="Brain mask") if options.mask else None
    aif, vof = (_vessel(options, key, series) for key in ("aif", "vof"))
    reading = time.perf_counter() - start
    analysis = analyze(series, settings, brain=brain, aif=aif, vof=vof, force=options.force, progress=progress)
    return replace(analysis, seconds={"reading": reading, **analysis.seconds})


def _load(packages: Sequence[str]) -> None:
    """Load packages that the steps need later: while a scan is read a processor is free, afterwards none is."""
    for name in packages:
        import_module(name)


def _vessel(options: argparse.Namespace, key: str, series: Series) -> Image | Points | TimeCurve | None:
    """Return what the user gave for "aif" or "vof": mask, points or curve; None where it is to be found."""
    from PyPeTLib.inputs import read_curve, read_points
    from PyPeTLib.read import read_mask
    from PyPeTLib.records import Points

    mask, points, curve = (getattr(options, f"{key}_{what}") for what in ("mask", "points", "curve"))
    if mask:
        return read_mask(mask, series.geometry, what=f"{key.upper()} mask")
    if points:
        return Points(tuple(read_points(points)))
    return read_curve(curve, column=f"{key}_hu") if curve else None


def _info(options: argparse.Namespace) -> int:
    import math

    from PyPeTLib.hounsfield import finite_extremes
    from PyPeTLib.read import inspect_series, read_times
    from PyPeTLib.records import describe_times

    times = read_times(options.times) if options.times else None
    info = inspect_series(_scan(options), times_s=times, interval_s=options.interval, series_number=options.series)
    print(f"Scan    {one_line(info.name)}")
    print(f"Grid    {info.geometry.describe()}")
    low, high = finite_extremes(info.values)
    values = "no number" if math.isnan(low) else f"{typeset(f'{low:g}')} to {typeset(f'{high:g}')} HU"
    print(f"Values  stored as {info.stored_type}, {values}")
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
    from PyPeTLib.records import Series

    assert info.times_s is not None
    try:
        analyze(Series(info.values, info.times_s, info.geometry, info.name), Settings(denoise="gaussian"))
    except QualityError as error:
        return (str(error),)
    return ()


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


def _demo(options: argparse.Namespace) -> int:
    from PyPeTLib.demo import run_demo
    from PyPeTLib.results import RESEARCH_USE
    from PyPeTLib.truth import FIGURES

    with _progress(False) as progress:
        figures, page = run_demo(
            options.output, overwrite=options.overwrite, report=_can_report(quiet=False), progress=progress
        )
    print(f"Found against the known truth of the phantom. {RESEARCH_USE}")
    print(f"  {'':<52} {'found':>6}  best")
    for name, value in figures.items():
        words, best = FIGURES[name]
        print(f"  {words:<52} {typeset(f'{value:6.2f}')}  {best:g}")
    print(f"Results: {page}")
    return OK


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


def _print_result(analysis: Analysis, output: Path, reference: Reference | None = None) -> None:
    """Say what was found, doubts first."""
    from PyPeTLib.display import MAP_LABELS
    from PyPeTLib.quality import worst_first
    from PyPeTLib.results import invalid_why, map_medians, map_sds

    _print_checks(worst_first(analysis.checks))
    if invalid_why(analysis.checks):
        print("All that follows, and the files, are marked INVALID.")
    units, sds = {name: image.unit for name, image in analysis.maps.items()}, map_sds(analysis)
    medians = [
        f"{MAP_LABELS[name]} {typeset(f'{value:.3g}')}{f' ± {sds[name]:.2g}' if name in sds else ''} {units[name]}"
        for name, value in map_medians(analysis).items()
    ]
    print(f"Tissue medians{' ± SD of a voxel' if sds else ''}: {', '.join(medians)}")
    if analysis.curves.resolution_mm is not None:
        print(
            f"Tissue of one kind is averaged over {analysis.curves.resolution_mm:.1f} mm (full width at half maximum)."
        )
    _print_lesions(analysis.lesions)
    for text in [] if reference is None else reference.sentences():
        print(f"Reference maps in the report: {text}")
    print(f"Results in {output}. Research use only.")


def _print_lesions(lesions: Lesions) -> None:
    """Print volumes with their bounds, ratios and criteria."""
    import math

    from PyPeTLib.results import RESEARCH_USE, criterion_rows, lesion_rows, lesion_values

    print(f"Lesions ({lesions.rule}); side: {lesions.side}. {RESEARCH_USE}")
    rows = lesion_rows(lesions)
    for (name, value, low, high, unit), text in zip(rows, lesion_values(rows, unknown="not known"), strict=True):
        interval = "" if math.isnan(low) else f" ({low:.1f} to {high:.1f})"
        print(f"  {name}: {text}" + ("" if math.isnan(value) else f"{interval} {unit}".rstrip()))
    for name, met, why in criterion_rows(lesions):
        print(f"  {name}: {met} ({why})")


def _print_checks(checks: Sequence[Check]) -> None:
    """Print every doubt, and the names of what passed or could not be looked at."""
    for check in checks:
        if check.doubtful:
            print(f"{check.status} ({check.name}): {check.text}")
    for status in ("pass", "not applicable"):
        names = ", ".join(check.name for check in checks if check.status == status)
        if names:
            print(f"{status}: {names}")


def _can_report(*, quiet: bool) -> bool:
    """Tell whether the packages of the report are there, and say where it is left out."""
    needed = _needed_for_pictures()
    if needed and not quiet:
        print(f"pypet: left out: the report needs {needed}", file=sys.stderr)
    return not needed


def _needed_for_pictures() -> str:
    """Return which packages report and pictures need and how to get them; "" where they are there."""
    from PyPeTLib.report import NEEDED as PACKAGES
    from PyPeTLib.report import report_available

    return "" if report_available() else f"{' and '.join(PACKAGES)}: {mending(*PACKAGES)}"


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """Yield a progress callback: a bar on a terminal, silence in a pipe or without tqdm; both stop when asked to."""
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
    if _STOP.is_set():
        raise KeyboardInterrupt
