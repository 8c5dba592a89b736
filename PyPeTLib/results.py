"""Write a run into a folder: maps with their sidecars, masks, tables, summary and report."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib import __version__
from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import invalid_why
from PyPeTLib.geometry import Image
from PyPeTLib.map_facts import KINDS, LONG_NAMES, map_resolution_mm
from PyPeTLib.result_files import SUMMARY
from PyPeTLib.result_tables import curve_table, motion_table
from PyPeTLib.settings import describe_settings, is_read
from PyPeTLib.summary import summary
from PyPeTLib.write import prefix_of, write_csv, write_image, write_json, write_text

if TYPE_CHECKING:
    from PyPeTLib.beside import Reference


def write_analysis(
    analysis: Analysis,
    folder: str | Path,
    *,
    source: str = "",
    report: bool = True,
    reference: Reference | None = None,
) -> None:
    """Write everything a run found out into a folder that exists.

    Files are ``PREFIX_{cbf,cbv,mtt,tmax,ttp,...}.nii.gz`` with a JSON sidecar each,
    ``PREFIX_{brain,csf,bone,aif,vof,vessel,core,hypoperfusion,mismatch}_mask.nii.gz``, ``PREFIX_curves.csv``,
    ``PREFIX_motion.csv`` (where motion was measured), ``PREFIX_summary.json`` and ``PREFIX_report.html``; PREFIX is the
    name of the scan without a trailing ``_ctp``. Existing files of these names are replaced.

    Parameters
    ----------
    analysis : Analysis
        The result.
    folder : str or Path
        Where to; must exist.
    source : str
        The scan's path, for the summary.
    report : bool
        Write the report too; it needs the extra ``report``.
    reference : beside.Reference, optional
        Maps that the report shows beside those of the run, on its grid.

    Raises
    ------
    InputError
        If a file cannot be written, or the packages of the report are missing.
    """
    stem = str(Path(folder) / prefix_of(analysis.series.name))
    about = partial(summary, analysis, source=source, reference=reference)
    tasks: list[Callable[[], None]] = [lambda: write_json(about(), f"{stem}{SUMMARY}")]
    tasks += [
        partial(_write_map, image, f"{stem}_{name}.nii.gz", analysis, _sidecar(name, analysis))
        for name, image in (*analysis.maps.items(), *analysis.maps.companions(), *analysis.derived.items())
    ]
    tasks += [partial(write_image, mask, f"{stem}_{name}_mask.nii.gz") for name, mask in _masks(analysis)]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()
    write_csv(curve_table(analysis), f"{stem}_curves.csv")
    if analysis.motion is not None:
        write_csv(motion_table(analysis.motion), f"{stem}_motion.csv")
    if report:
        from PyPeTLib.report import report_html

        write_text(report_html(analysis, reference=reference), f"{stem}_report.html")


def _write_map(image: Image, path: str, analysis: Analysis, sidecar: dict[str, object]) -> None:
    """Write a map with 0 outside the brain mask and NaN where it is not defined inside."""
    inside = np.where(analysis.brain.values, image.values, np.float32(0.0))
    write_image(Image(inside, image.geometry, image.unit), path, metadata=sidecar, missing=float("nan"))


def _masks(analysis: Analysis) -> list[tuple[str, Image]]:
    nothing = Image(np.zeros(analysis.brain.values.shape, dtype=bool), analysis.brain.geometry)
    vof = nothing if analysis.vof is None else analysis.vof.mask
    vessels = [("aif", analysis.aif.mask), ("vof", vof), ("vessel", analysis.vessels)]
    rest = [("csf", analysis.csf), ("bone", analysis.bone)]
    return [("brain", analysis.brain), *rest, *vessels, *analysis.lesions.masks()]


def _sidecar(name: str, analysis: Analysis) -> dict[str, object]:
    """Return what a map's sidecar says beside its unit."""
    base, _, kind = name.partition("_")
    invalid, chosen = invalid_why(analysis.checks), analysis.settings
    width_mm = map_resolution_mm(name, analysis)
    return {
        "LongName": LONG_NAMES[base] + (KINDS[kind] if kind else ""),
        "OutsideMask": 0,
        "UndefinedInsideMask": "NaN",
        "DeconvolutionMethod": chosen.method,
        **({} if analysis.maps.strength is None else {"Strength": analysis.maps.strength}),
        **({"Correction": chosen.correction} if chosen.bias_removed else {}),
        **({} if width_mm is None else {"ResolutionMm": round(width_mm, 2)}),
        **({"Residue": analysis.maps.residue} if analysis.maps.residue else {}),
        "Software": f"PyPeT {__version__}",
        "Settings": {one.name: getattr(chosen, one.name) for one in describe_settings() if is_read(one.name, chosen)},
        **({"Invalid": invalid} if invalid else {}),
    }
