"""A scan on the command line, what can be said with it, and its analysis."""

from __future__ import annotations

import argparse
import gc
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from PyPeTLib.cli_compare import named
from PyPeTLib.errors import decimal_comma
from PyPeTLib.settings import (
    WITH_DELAY,
    DeconvolutionMethod,
    Settings,
    parse_assignment,
    settings_from_toml,
    without_effect,
)

if TYPE_CHECKING:
    from PyPeTLib.analysis import Analysis
    from PyPeTLib.beside import Reference
    from PyPeTLib.geometry import Geometry, Image
    from PyPeTLib.progress import Progress
    from PyPeTLib.scan import Points, Series, TimeCurve

#: What the steps of a run consist of, and packages that they load when they need them: nearly half a second together.
NEEDED = (
    "PyPeTLib.pipeline",
    *(f"scipy.{name}" for name in ("ndimage", "spatial.transform", "special", "optimize", "interpolate")),
)


def add_scan(parser: argparse.ArgumentParser) -> None:
    """Add the scan and what says when its frames were taken.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a command about a scan.
    """
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
    times.add_argument("--interval", metavar="SECONDS", type=_number, help="time between frames in s")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number is needed; found '{text}'.{decimal_comma(text)}") from None


def add_analysis(parser: argparse.ArgumentParser) -> None:
    """Add what an analysis can be told.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a command that analyses a scan.
    """
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
    parser.add_argument(
        "--settings", metavar="FILE.toml", type=named, help="made by 'pypet settings --toml > FILE.toml'"
    )
    parser.add_argument("--force", action="store_true", help="write maps even where the data allow no trustworthy ones")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def scan_paths(options: argparse.Namespace) -> Path | list[Path]:
    """Return the scan that was given: one file or folder, or the files of its frames.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_scan` adds.
    """
    scan: list[Path] = options.scan
    return scan[0] if len(scan) == 1 else scan


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings: defaults, then the file, then --set, then --method; say which have no effect.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_analysis` adds.

    Raises
    ------
    InputError
        If the file cannot be read, or a setting is unknown or out of its range.
    """
    from PyPeTLib.file_contents import read_text

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


def analysis_of(
    options: argparse.Namespace,
    settings: Settings,
    progress: Progress,
    reference: Reference | None = None,
    folder: Path | None = None,
) -> Analysis:
    """Read scan and what the user gave with it and analyse them; the time of reading is added to the steps'.

    Reference maps that the run's could not be shown beside, and names that no file of its results in a folder could
    have, are refused before the analysis.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_scan` and `add_analysis` add.
    settings : Settings
        Those of the analysis.
    progress : callable
        Takes the fraction that is done, 0 to 1, and a text.
    reference : beside.Reference, optional
        Maps to be shown beside those of the run.
    folder : Path, optional
        Where the results will be written; it exists.

    Raises
    ------
    InputError
        If scan, masks, points, curves, reference or name have to change.
    QualityError
        If the data allow no trustworthy result, without ``--force``.
    """
    import time
    from dataclasses import replace

    from PyPeTLib.read import read_mask
    from PyPeTLib.result_files import require_names

    start = time.perf_counter()
    progress(0.0, "Reading")
    threading.Thread(target=_load, args=(NEEDED,)).start()
    series = _read(options)
    if folder is not None:
        require_names(series.name, folder)
    if reference is not None:
        reference_like_ours(reference, _maps_to_come(series.geometry, settings), settings)
    brain = read_mask(options.mask, series.geometry, what="Brain mask") if options.mask else None
    aif, vof = (_vessel(options, key, series) for key in ("aif", "vof"))
    reading = time.perf_counter() - start
    from PyPeTLib.pipeline import analyze

    analysis = analyze(series, settings, brain=brain, aif=aif, vof=vof, force=options.force, progress=progress)
    return replace(analysis, seconds={"reading": reading, **analysis.seconds})


def _load(packages: Sequence[str]) -> None:
    """Load what the steps need later: while a scan is read a processor is free, afterwards none is."""
    for name in packages:
        import_module(name)
    gc.freeze()  # what is loaded stays: nobody need look through it for garbage, at the end of the process either


def _read(options: argparse.Namespace) -> Series:
    from PyPeTLib.read import read_series, read_times

    times = read_times(options.times) if options.times else None
    return read_series(scan_paths(options), times_s=times, interval_s=options.interval, series_number=options.series)


def _vessel(options: argparse.Namespace, key: str, series: Series) -> Image | Points | TimeCurve | None:
    """Return what the user gave for "aif" or "vof": mask, points or curve; None where it is to be found."""
    from PyPeTLib.inputs import read_curve, read_points
    from PyPeTLib.read import read_mask
    from PyPeTLib.scan import Points

    mask, points, curve = (getattr(options, f"{key}_{what}") for what in ("mask", "points", "curve"))
    if mask:
        return read_mask(mask, series.geometry, what=f"{key.upper()} mask")
    if points:
        return Points(tuple(read_points(points)))
    return read_curve(curve, column=f"{key}_hu") if curve else None


def _maps_to_come(geometry: Geometry, settings: Settings) -> dict[str, Image]:
    """Return maps of a run that has not begun: its names, grid and units, and a value in every voxel."""
    import numpy as np

    from PyPeTLib.analysis import MAP_UNITS
    from PyPeTLib.geometry import Image

    somewhere = np.ones(geometry.shape, dtype=np.float32)
    names = [name for name in MAP_UNITS if name != "delay" or settings.method in WITH_DELAY]
    return {name: Image(somewhere, geometry, MAP_UNITS[name]) for name in names}


def reference_like_ours(reference: Reference, ours: dict[str, Image], settings: Settings) -> Reference:
    """Return reference maps on the grid and in the units of ours.

    Parameters
    ----------
    reference : beside.Reference
        As read.
    ours : dict of str to Image
        Maps of the run, or such as it will have.
    settings : Settings
        Of these the density of tissue, in g/mL, is read.

    Raises
    ------
    InputError
        If none of them can be shown beside ours.
    """
    from PyPeTLib.beside import like_ours

    return like_ours(reference, ours, density_g_ml=settings.tissue_density_g_ml)
