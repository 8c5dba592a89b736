"""The demonstration: a phantom, the whole run on its files, and the comparison with the truth."""

from __future__ import annotations

from pathlib import Path

from PyPeTLib.chunks import share
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.phantom_files import write_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.progress import Progress
from PyPeTLib.read import read_series
from PyPeTLib.results import write_analysis
from PyPeTLib.truth import compare_with_truth
from PyPeTLib.write import staged_output, write_json

#: The file by which a folder is known to hold a demonstration.
COMPARISON = "phantom_comparison.json"


def run_demo(output: str | Path, *, overwrite: bool, report: bool, progress: Progress) -> tuple[dict[str, float], Path]:
    """Write phantom, maps and their comparison into a folder; an earlier demonstration there is replaced.

    Parameters
    ----------
    output : str or Path
        The folder.
    overwrite : bool
        Write into a folder that holds other files than those of a demonstration.
    report : bool
        Write the page with pictures; it needs the extra ``report``.
    progress : callable
        ``progress(fraction, text)``.

    Returns
    -------
    figures : dict of str to float
        See :func:`PyPeTLib.truth.compare_with_truth`.
    page : Path
        The report, or the folder where there is none.
    """
    again = (Path(output) / COMPARISON).exists()
    with staged_output(output, overwrite=overwrite or again) as folder:
        progress(0.0, "Making the phantom")
        phantom = head_phantom(HeadOptions())
        scan = write_phantom(phantom, folder)
        analysis = analyze(read_series(scan), progress=share(progress, 0.5, 0.9))
        progress(0.9, "Writing")
        write_analysis(analysis, folder, source=scan.name, report=report)
        figures = compare_with_truth(analysis, phantom)
        write_json(figures, folder / COMPARISON)
    page = Path(output) / "phantom_report.html"
    return figures, page if report else Path(output)
