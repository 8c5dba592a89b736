"""What the buttons of the panel do, on nodes and parameters; no dialogs, no layouts."""

from pathlib import Path
from typing import Any

import numpy as np
import slicer

from PyPeTLib.brain import brain_mask
from PyPeTLib.errors import InputError
from PyPeTLib.records import Analysis, Image, Progress, Series, silent
from PyPeTLib.report import report_available
from PyPeTLib.results import write_analysis
from PyPeTLib.settings import Settings
from PyPeTLib.write import staged_output
from PyPeTPanel import views
from PyPeTPanel.parameters import (
    AUTOMATIC,
    SEGMENT,
    PyPeTParameterNode,
    interval_of,
    segment_of,
    settings_of,
    use_segment,
)
from PyPeTScene import stages, study
from PyPeTScene.masks import SEGMENTS, find_segment, mask_from_segment, show_mask
from PyPeTScene.nodes import find_node
from PyPeTScene.series import describe_time_axis, scan_of, scan_volume, series_from_node


def process(
    scan_node: Any,
    settings: Settings | None,
    *,
    interval_s: float | None,
    brain: study.Segment | None,
    aif: study.Vessel | None,
    vof: study.Vessel | None,
    force: bool,
    progress: Progress | None,
) -> tuple[Analysis, study.SceneNodes]:
    """Analyse a scan of the scene and show the result, as ``PyPeTScene.study.process``."""
    return study.process(
        scan_node,
        settings,
        interval_s=interval_s,
        brain=brain,
        aif=aif,
        vof=vof,
        force=force,
        progress=progress or silent,
    )


def nodes_of(shown: study.SceneNodes) -> dict[str, Any]:
    """Return the nodes of a run by name."""
    names = ("segmentation", "enhancement", "enhancement_volume", "browser", "curves", "curves_chart", "tissue")
    identities = {**shown.maps, **{name: getattr(shown, name) for name in (*names, "tissue_chart")}}
    return {name: slicer.mrmlScene.GetNodeByID(identity) for name, identity in identities.items()}


def scan_or_none(node: Any) -> Any:
    """Return the scan that a node stands for, None where it stands for none."""
    try:
        return scan_of(node)
    except InputError:
        return None


def times_known(parameters: PyPeTParameterNode) -> bool:
    """Tell whether the scan is one and its times are known."""
    try:
        describe_time_axis(parameters.scan, interval_of(parameters))
    except InputError:
        return False
    return True


def map_volume(scan: Any, name: str) -> Any:
    """Return the volume of a map, None where there is none."""
    return find_node(f"map.{name}", scan)


def series_of(parameters: PyPeTParameterNode, analysis: Analysis | None) -> Series:
    """Return the scan: that of the last run where there is one, without copying it again."""
    return series_from_node(parameters.scan, interval_of(parameters)) if analysis is None else analysis.series


def brain_of(parameters: PyPeTParameterNode, series: Series) -> tuple[Image, Image]:
    """Return the mean image in HU and the brain mask: the user's segment, or the automatic one."""
    mean = Image(series.values.mean(axis=0, dtype=np.float32), series.geometry, "HU")
    segment = segment_of(parameters, "brain")
    if segment is not None:
        return mean, mask_from_segment(*segment, scan_volume(scan_of(parameters.scan)))
    return mean, brain_mask(np.asarray(mean.values), series.geometry, settings=settings_of(parameters))


def create_brain(parameters: PyPeTParameterNode) -> None:
    """Make the automatic brain mask as a segment, which the next Apply will use."""
    series = series_of(parameters, None)
    mean = series.values.mean(axis=0, dtype=np.float32)
    mask = brain_mask(mean, series.geometry, settings=settings_of(parameters))
    identity = study.show_brain(mask, series, parameters.scan)
    use_segment(parameters, "brain", slicer.mrmlScene.GetNodeByID(identity), SEGMENTS["brain"][0])


def correct_brain(parameters: PyPeTParameterNode) -> None:
    """Open the brain mask in the Segment Editor; it is made where there is none, and the next Apply uses it."""
    if parameters.brain_source != SEGMENT or parameters.brain_segmentation is None:
        found = find_node("segmentation", scan_of(parameters.scan))
        if find_segment(found, "brain"):
            use_segment(parameters, "brain", found, SEGMENTS["brain"][0])
        else:
            create_brain(parameters)
    segmentation, segment = segment_of(parameters, "brain")
    if slicer.util.mainWindow() is None:
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(scan_volume(scan_of(parameters.scan)))
    editor.setCurrentSegmentID(segment)


def choose_candidate(parameters: PyPeTParameterNode, logic: Any, row: int) -> None:
    """Put an arterial candidate into the segmentation and use it; the first one returns to automatic."""
    if row == 0:
        parameters.aif_source = AUTOMATIC
        return
    scan, series = scan_of(parameters.scan), logic.analysis.series
    mask = Image(logic.candidates[row].mask, series.geometry)
    with study.in_study(scan, series.name):
        segmentation = show_mask("aif", mask, scan, scan_volume(scan), series.name)
    use_segment(parameters, "aif", segmentation, SEGMENTS["aif"][0])


def stage(number: int, parameters: PyPeTParameterNode, logic: Any) -> tuple[views.Stage, Any]:
    """Return what a stage shows, and the browser that scrolls it; stages 1 and 3 need no run."""
    scan = scan_of(parameters.scan)
    analysis = logic.analysis_of(scan)
    series = series_of(parameters, analysis)
    if number == 1:
        shown = views.raw_stage(series, scan)
    elif number == 3 and analysis is None:
        shown = views.mask_stage(*brain_of(parameters, series), series.name, scan)
    elif analysis is None:
        raise InputError("This step shows a result; there is none of this scan. Apply first.")
    elif number == 3:
        shown = views.mask_stage(stages.baseline_image(analysis), analysis.brain, series.name, scan)
    else:
        of_result = {2: views.denoised_stage, 4: views.signal_stage, 5: views.input_stage, 6: views.maps_stage}
        shown = of_result[number](analysis, scan)
    return shown, stages.stage_browser(series, scan)


def go_to_frame(browser: Any, frame: int) -> str:
    """Scroll to a frame and return its time as text."""
    browser.SetSelectedItemNumber(frame)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    sequence = browser.GetMasterSequenceNode()
    if sequence is None or not 0 <= frame < sequence.GetNumberOfDataNodes():
        return ""
    value, unit = sequence.GetNthIndexValue(frame), sequence.GetIndexUnit()
    return f"{float(value):.1f} {unit}" if unit else f"frame {frame + 1}"


def export(analysis: Analysis, folder: str) -> str:
    """Write the files of a run into a folder and say what was written."""
    report = report_available()
    with staged_output(Path(folder), overwrite=True) as stage_folder:
        write_analysis(analysis, stage_folder, source=analysis.series.name, report=report)
    return f"Written into {folder}." + ("" if report else " Without the report, which needs matplotlib and jinja2.")
