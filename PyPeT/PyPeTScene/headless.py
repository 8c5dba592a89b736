"""The scene of an analysis as a .mrb file, without 3D Slicer: what ``pypet scene`` does on the slicer-core wheel."""

from __future__ import annotations

from pathlib import Path

from PyPeTLib.analysis import Analysis
from PyPeTScene.bootstrap import boot_scene


def write_scene(analysis: Analysis, path: str | Path) -> None:
    """Write scan and results of a run as a Slicer scene.

    Parameters
    ----------
    analysis : Analysis
        The run.
    path : str or Path
        A .mrb file; replaced where it exists.

    Raises
    ------
    InputError
        If slicer-core is missing or the file cannot be written.
    """
    boot_scene()
    from PyPeTScene.series import sequence_from_series
    from PyPeTScene.stages import style_scan
    from PyPeTScene.study import save_scene, show_analysis

    scan, _, _ = sequence_from_series(analysis.raw, analysis.raw.name)
    style_scan(scan)
    show_analysis(analysis, scan)
    save_scene(path)
