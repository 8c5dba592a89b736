"""The commands ``pypet run`` and ``pypet scene``: what is asked of them, and what they write."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyPeTLib.cli_compare import OK, PARTLY, named
from PyPeTLib.cli_print import can_report, needed_for_pictures, print_result, progress_bar
from PyPeTLib.cli_scan import add_analysis, add_scan, analysis_of, reference_like_ours, scan_paths, settings_of
from PyPeTLib.errors import InputError
from PyPeTLib.typeset import one_line

if TYPE_CHECKING:
    from PyPeTLib.analysis import Analysis
    from PyPeTLib.beside import Reference


def add_run(commands: Any) -> None:
    """Add the command ``run`` to a parser.

    Parameters
    ----------
    commands : argparse's subparsers
        Where the commands of ``pypet`` are added.
    """
    run = commands.add_parser(
        "run",
        help="compute perfusion maps of a scan",
        description="Compute the maps of a scan, with masks, curves, lesions, quality checks and a report. Exit codes: "
        "0 done, 2 the call or the input has to change, 3 the data allow no trustworthy result (--force writes it all "
        "the same), 4 the PDF was not printed, 130 stopped.",
    )
    add_scan(run)
    run.add_argument("-o", "--output", metavar="OUT", type=named, required=True, help="folder for the results")
    add_analysis(run)
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


def add_scene(commands: Any) -> None:
    """Add the command ``scene`` to a parser.

    Parameters
    ----------
    commands : argparse's subparsers
        Where the commands of ``pypet`` are added.
    """
    scene = commands.add_parser(
        "scene",
        help="compute perfusion maps and write them as a scene for 3D Slicer (.mrb)",
        description="Compute the maps of a scan and write all of it as one scene, which 3D Slicer opens.",
    )
    add_scan(scene)
    scene.add_argument("-o", "--output", metavar="OUT.mrb", type=named, required=True, help="the scene")
    add_analysis(scene)
    scene.add_argument("--overwrite", action="store_true", help="replace a scene that exists")
    scene.set_defaults(command=_scene)


def _run(options: argparse.Namespace) -> int:
    from contextlib import ExitStack

    from PyPeTLib.result_files import former_results, holds_other_runs_only
    from PyPeTLib.write import remove_files, staged_output, without_successor

    settings = settings_of(options)
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
        with progress_bar(options.quiet) as progress:
            analysis = analysis_of(options, settings, progress, reference, folder)
        if reference is not None:
            reference = reference_like_ours(reference, dict(analysis.maps.items()), settings)
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
        print_result(analysis, options.output, reference)
        for what, where in (("Pictures of the steps", options.stages), ("Figures", options.figures)):
            if where:
                print(f"{what} in {where}.")
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
        if getattr(options, wish) and (needed := needed_for_pictures()):
            raise InputError(f"--{wish} needs {needed}.")
    if options.pdf:
        from PyPeTLib.pdf import require_printer

        require_printer()


def _reference(options: argparse.Namespace) -> Reference | None:
    """Read the maps that the report is to show beside ours."""
    if not options.reference:
        return None
    from PyPeTLib.beside import read_beside

    return read_beside(options.reference, _prefix(options), options.output)


def _prefix(options: argparse.Namespace) -> str:
    """Return what the names of the results will begin with: the scan, or the folder of its frames, names them."""
    from PyPeTLib.files import scan_name
    from PyPeTLib.read import naming_path
    from PyPeTLib.write import prefix_of

    return prefix_of(scan_name(naming_path(scan_paths(options))))


def _write_run(options: argparse.Namespace, analysis: Analysis, reference: Reference | None, folder: Path) -> bool:
    """Write maps, summary and report, and, where they are wanted, PDF and scene; tell whether all of it is there."""
    from PyPeTLib.results import write_analysis
    from PyPeTLib.write import prefix_of

    stem = prefix_of(analysis.series.name)
    report = not options.no_report and can_report(quiet=options.quiet)
    source = " ".join(str(path) for path in options.scan)
    write_analysis(analysis, folder, source=source, report=report, reference=reference)
    complete = not options.pdf or _print_page(folder / f"{stem}_report.html", options.output)
    if options.scene:
        from PyPeTScene.headless import write_scene

        write_scene(analysis, folder / f"{stem}_scene.mrb")
    return complete


def _print_page(page: Path, output: Path) -> bool:
    """Write a PDF beside the report, which will be in a folder of another name.

    What does not print after all is told, and costs the run none of its other files.
    """
    from PyPeTLib.pdf import write_pdf

    target = page.with_suffix(".pdf")
    try:
        write_pdf(page, target)
    except (InputError, OSError) as error:
        target.unlink(missing_ok=True)
        print(one_line(f"pypet: left out: {error}".replace(str(page.parent), str(output))), file=sys.stderr)
        return False
    return True


def _scene(options: argparse.Namespace) -> int:
    """Analyse, then write the scene; what would stop the writing is found out before."""
    from PyPeTScene.bootstrap import check_target, require_slicer
    from PyPeTScene.headless import write_scene

    settings = settings_of(options)
    require_slicer()
    check_target(options.output, overwrite=options.overwrite)
    with progress_bar(options.quiet) as progress:
        analysis = analysis_of(options, settings, progress)
    write_scene(analysis, options.output)
    if not options.quiet:
        print_result(analysis, options.output)
    return OK
