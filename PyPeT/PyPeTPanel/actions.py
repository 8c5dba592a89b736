"""What the buttons of the panel do, on nodes and parameters; no dialogs, no layouts."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from PyPeTLib.analysis import Analysis, Prepared
from PyPeTLib.brain import brain_mask
from PyPeTLib.checks import invalid_why
from PyPeTLib.chunks import mean_frame, share
from PyPeTLib.errors import InputError
from PyPeTLib.frames import with_head
from PyPeTLib.geometry import Image, MaskArray
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Candidate
from PyPeTLib.report import NEEDED, report_available
from PyPeTLib.result_files import former_results, result_names
from PyPeTLib.results import write_analysis
from PyPeTLib.scan import Series
from PyPeTLib.typeset import typeset
from PyPeTLib.write import remove_files, staged_output, without_successor
from PyPeTPanel import inputs, packages, views
from PyPeTPanel.parameters import (
    AUTOMATIC,
    CROSSHAIR,
    SEGMENT,
    SEGMENTS_OF,
    PyPeTParameterNode,
    brain_settings_of,
    interval_of,
    segment_of,
    settings_of,
    use_segment,
)
from PyPeTScene import reference, study
from PyPeTScene.curves import (
    brain_regions,
    joined_regions,
    segment_regions,
    show_tissue_curves,
    show_voxel_curve,
    stale_plots,
    voxel_region,
)
from PyPeTScene.maps import FLOW_TABLE, colour_table, style_display
from PyPeTScene.masks import SEGMENTS, find_segment, is_edited, mask_from_segment, set_edited_aside, show_mask
from PyPeTScene.nodes import ROLE, find_node, own_nodes, remove_node
from PyPeTScene.numbers import (
    CANDIDATES,
    MADE_OF,
    MEDIANS,
    candidate_columns,
    fingerprint,
    map_settings,
    rows_of,
    show_candidates,
    show_checks,
)
from PyPeTScene.series import FRAME_LABELS, FRAME_UNITS, scan_of, scan_volume, shown_volume


def nodes_of(shown: study.SceneNodes) -> dict[str, Any]:
    """Return the nodes of a run by name."""
    names = [entry.name for entry in fields(shown) if entry.name not in ("scan", "folder", "maps")]
    identities = {**shown.maps, **{name: getattr(shown, name) for name in names if getattr(shown, name)}}
    return {name: slicer.mrmlScene.GetNodeByID(identity) for name, identity in identities.items()}


def scan_or_none(node: Any) -> Any:
    """Return the scan that a node stands for, None where it stands for none."""
    try:
        return scan_of(node)
    except InputError:
        return None


def map_volume(scan: Any, name: str) -> Any:
    """Return the volume of a map, None where there is none."""
    return find_node(f"map.{name}", scan)


def request_of(parameters: PyPeTParameterNode) -> study.Request:
    """Return what the parameter node asks for; errors as `inputs.vessel_of`."""
    return study.Request(
        parameters.scan,
        settings_of(parameters),
        interval_s=interval_of(parameters),
        brain=segment_of(parameters, "brain"),
        aif=inputs.vessel_of(parameters, "aif"),
        vof=inputs.vessel_of(parameters, "vof"),
        force=parameters.force,
    )


def state_of(parameters: PyPeTParameterNode) -> tuple[Any, ...] | None:
    """Return what the curves of a run depend on: while it is the same, so are they; None where something is gone."""
    try:
        request, scan = request_of(parameters), scan_of(parameters.scan)
    except InputError:
        return None
    given = [_state(one) for one in (request.brain, request.aif, request.vof)]
    return scan.GetID(), _content(scan), request.interval_s, tuple(map_settings(request.settings).items()), *given


def _content(scan: Any) -> tuple[Any, ...]:
    """Return what changes with the times and the voxels of a scan."""
    told = scan.GetAttribute(FRAME_LABELS), scan.GetAttribute(FRAME_UNITS)
    if not scan.IsA("vtkMRMLSequenceNode"):
        return *told, scan.GetImageData() and scan.GetImageData().GetMTime()
    frames = range(scan.GetNumberOfDataNodes())
    images = [getattr(scan.GetNthDataNode(k), "GetImageData", lambda: None)() for k in frames]
    changed = tuple(image and image.GetMTime() for image in images)
    return *told, scan.GetIndexUnit(), tuple(scan.GetNthIndexValue(k) for k in frames), changed


def _state(given: Any) -> tuple[Any, ...] | None:
    """Return what changes with a segment, a list of points or a table."""
    if isinstance(given, tuple):
        segmentation, identity = given
        segment = segmentation.GetSegmentation().GetSegment(identity)
        voxels = segment.GetRepresentation(segmentation.GetSegmentation().GetSourceRepresentationName())
        # painting changes these, and not the segmentation that holds them
        return segmentation.GetID(), identity, segment.GetMTime(), voxels and voxels.GetMTime()
    return given and (given.GetID(), given.GetMTime())


def brain_of(parameters: PyPeTParameterNode, series: Series, progress: Progress = silent) -> Image:
    """Return the brain mask: the user's segment, or the automatic one."""
    segment = segment_of(parameters, "brain")
    if segment is not None:
        return mask_from_segment(*segment, scan_volume(scan_of(parameters.scan)))
    return _automatic_brain(parameters, series, progress)


def _automatic_brain(parameters: PyPeTParameterNode, series: Series, progress: Progress) -> Image:
    found = share(progress, 0.0, 1.0, _("Finding the brain"))
    return brain_mask(_head(series).values, series.geometry, settings=brain_settings_of(parameters), progress=found)


def create_brain(parameters: PyPeTParameterNode, logic: Any, progress: Progress = silent) -> None:
    """Make the automatic brain mask as a segment, which the next Apply will use."""
    series = logic.series_of(parameters, share(progress, 0.0, 0.5))
    mask = _automatic_brain(parameters, series, share(progress, 0.5, 1.0))
    identity = study.show_brain(mask, series, parameters.scan)
    use_segment(parameters, "brain", slicer.mrmlScene.GetNodeByID(identity), SEGMENTS["brain"][0])


def edited_brain(parameters: PyPeTParameterNode) -> bool:
    """Tell whether the user edited the brain mask that PyPeT made, which a new one would replace."""
    return is_edited(_masks(parameters), "brain")


def edited_inputs(parameters: PyPeTParameterNode) -> list[str]:
    """Return which of "brain", "aif" and "vof" the user edited and yet leaves to be found automatically."""
    segmentation = _masks(parameters)
    automatic = [key for key in ("brain", "aif", "vof") if getattr(parameters, f"{key}_source") == AUTOMATIC]
    return [key for key in automatic if is_edited(segmentation, key)]


def settle_edited(parameters: PyPeTParameterNode, key: str, use: bool) -> None:
    """Let the next run use what the user edited, or keep it as a segment of the user's."""
    segmentation = _masks(parameters)
    if use:
        use_segment(parameters, key, segmentation, SEGMENTS[key][0])
    else:
        set_edited_aside(segmentation, key)


def _masks(parameters: PyPeTParameterNode) -> Any:
    """Return the segmentation of the chosen scan, None where there is none."""
    scan = scan_or_none(parameters.scan)
    return None if scan is None else find_node("segmentation", scan)


def has_brain(parameters: PyPeTParameterNode) -> bool:
    """Tell whether there is a brain mask to be corrected: the segment that was chosen, or the one that PyPeT made."""
    return _chose_brain(parameters) or find_segment(_masks(parameters), "brain") is not None


def _chose_brain(parameters: PyPeTParameterNode) -> bool:
    return parameters.brain_source == SEGMENT and parameters.brain_segmentation is not None


def correct_brain(parameters: PyPeTParameterNode) -> None:
    """Open the brain mask, which is there, in the Segment Editor; the next Apply uses it."""
    if not _chose_brain(parameters):
        use_segment(parameters, "brain", _masks(parameters), SEGMENTS["brain"][0])
    segmentation, segment = segment_of(parameters, "brain")
    if slicer.util.mainWindow() is None:
        return
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    nothing = slicer.vtkMRMLSegmentEditorNode.OverwriteNone  # vessels lie inside the brain: painting would erase them
    editor.mrmlSegmentEditorNode().SetOverwriteMode(nothing)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(shown_volume(scan_of(parameters.scan)))
    editor.setCurrentSegmentID(segment)


def choose_candidate(parameters: PyPeTParameterNode, logic: Any, row: int, progress: Progress = silent) -> None:
    """Put an arterial candidate into a segment of its own and use it; the first one returns to automatic.

    Raises
    ------
    InputError
        If the row in the table is no candidate of the present settings: then those are shown, to choose again.
    """
    if row == 0:
        parameters.aif_source = AUTOMATIC
        return
    scan = scan_of(parameters.scan)
    if not _is_shown(logic.candidates_of(scan), row, scan):  # the table came with the scene, or is of another run
        prepared = _search(parameters, logic, progress)
        if not _is_shown(prepared.aif.candidates, row, scan):
            with study.in_study(scan, prepared.series.name):
                show_candidates(prepared, scan)
            text = _(
                "Arterial input: a candidate of the present settings is needed; found one of other settings in the "
                "table, which now shows the {count} of a new search. Choose again."
            )
            raise InputError(text.format(count=len(prepared.aif.candidates)))
    series, mask = logic.prepared.series, logic.candidates_of(scan)[row].mask
    with study.in_study(scan, series.name):
        segmentation = show_mask("choice", Image(mask, series.geometry), scan, shown_volume(scan), series.name)
    use_segment(parameters, "aif", segmentation, SEGMENTS["choice"][0])


def _is_shown(candidates: Sequence[Candidate], row: int, scan: Any) -> bool:
    """Tell whether a row of the table in the scene is the candidate of that number, by all that was measured of it."""
    shown = rows_of(CANDIDATES, scan)
    if row >= min(len(shown), len(candidates)):
        return False
    facts = zip(shown[row], (values[row] for values in candidate_columns(candidates).values()), strict=False)
    return all(a == b if isinstance(a, str) else np.isclose(a, b, rtol=1e-4, equal_nan=True) for a, b in facts)


def _search(parameters: PyPeTParameterNode, logic: Any, progress: Progress) -> Prepared:
    """Search the artery with the present settings, whatever was chosen instead; the choice stays."""
    source = parameters.aif_source
    try:
        parameters.aif_source = AUTOMATIC
        prepared: Prepared = logic.prepared_for(parameters, progress)
    finally:
        parameters.aif_source = source
    return prepared


def stage(number: int, parameters: PyPeTParameterNode, logic: Any, progress: Progress) -> views.Stage:
    """Return what a stage shows; none but the sixth needs a run."""
    scan = scan_of(parameters.scan)
    if number == 6:
        return views.maps_stage(scan)
    if number == 1 or (number == 3 and not logic.is_prepared_for(parameters)):
        return _early_stage(number, parameters, logic, progress)
    prepared = logic.prepared_for(parameters, share(progress, 0.0, 0.8))
    if number in (4, 5):
        logic.show_curves_of(parameters, share(progress, 0.8, 1.0))
    with study.in_study(scan, prepared.series.name):
        show_checks(prepared, scan)
    of_curves = {2: views.denoised_stage, 3: _mask_stage, 4: views.signal_stage, 5: views.input_stage}
    shown = of_curves[number](prepared, scan)
    return replace(shown, note=f"{shown.note}{_doubts(prepared, scan)}")


def _early_stage(number: int, parameters: PyPeTParameterNode, logic: Any, progress: Progress) -> views.Stage:
    """Return the raw scan or the mask, which need no curves."""
    scan, series = scan_of(parameters.scan), logic.series_of(parameters, share(progress, 0.0, 0.5))
    if number == 1:
        return views.raw_stage(series, scan)
    brain = brain_of(parameters, series, share(progress, 0.5, 1.0))
    return views.mask_stage(_head(series), brain, series, scan)


def _mask_stage(prepared: Prepared, scan: Any) -> views.Stage:
    return views.mask_stage(_mean(prepared.series), prepared.brain, views.frames_of(prepared), scan)


def _doubts(prepared: Prepared, scan: Any) -> str:
    """Return why there can be no maps, or that those in the scene are of other parameters."""
    invalid = "".join(f" {text}" for text in invalid_why(prepared.checks))
    medians = find_node(MEDIANS, scan)
    made_of = medians.GetAttribute(MADE_OF) if medians is not None and views.maps_of(scan) else None
    older = made_of is not None and made_of != fingerprint(prepared)
    return invalid + (" " + _("The maps are still those of the last Apply.") if older else "")


def compare(parameters: PyPeTParameterNode) -> views.Stage:
    """7: show a map beside a reference in the same window and colours; their metrics become a table of the scene."""
    scan = scan_of(parameters.scan)
    ours, other = parameters.compared_map or map_volume(scan, "cbf"), parameters.reference_map
    tissue = brain = _mask_of(scan, "brain")
    vessels = _mask_of(scan, "vessels")
    for part in (_mask_of(scan, "csf"), vessels, _mask_of(scan, "bone")):
        if tissue is not None and part is not None:
            tissue = replace(tissue, values=tissue.values & ~part.values)
    reference.compare(ours, other, brain, scan, tissue=tissue, vessels=vessels, settings=settings_of(parameters))
    for volume in (ours, other):
        if volume.GetVolumeDisplayNode() is None:  # never shown, or deleted; a colour legend may be left of it
            volume.CreateDefaultDisplayNodes()
    shown, beside = ours.GetVolumeDisplayNode(), other.GetVolumeDisplayNode()
    window = shown.GetWindowLevelMin(), shown.GetWindowLevelMax()
    style_display(beside, window, shown.GetColorNode() or colour_table(FLOW_TABLE))
    note = _("{ours} beside {other}; the views are linked.").format(ours=ours.GetName(), other=other.GetName())
    return views.Stage([ours, other], note=note)


def _mask_of(scan: Any, key: str) -> Image | None:
    """Return one of the masks of a scan; None where it has no voxels."""
    segmentation = find_node("segmentation", scan)
    identity = find_segment(segmentation, key)
    return None if identity is None else mask_from_segment(segmentation, identity, scan_volume(scan))


def show_tissue(parameters: PyPeTParameterNode, logic: Any, progress: Progress = silent) -> views.Stage:
    """Show the curves of the brain's halves, and of the segments or of the voxel that the user chose."""
    scan = scan_of(parameters.scan)
    prepared = logic.prepared_for(parameters, share(progress, 0.0, 0.8))
    logic.show_curves_of(parameters, share(progress, 0.8, 1.0))
    regions, outside = brain_regions(prepared.brain), list[str]()
    if parameters.tissue_source == SEGMENTS_OF:
        found, outside = _segments_of_tissue(parameters, prepared)
        regions = joined_regions(regions, found)
    elif parameters.tissue_source == CROSSHAIR:
        regions.update(voxel_region(prepared.series.geometry, crosshair_ras_mm(scan)))
    with study.in_study(scan, prepared.series.name):
        show_tissue_curves(prepared, scan, regions)
        for node in stale_plots(scan):
            remove_node(node)
    shown = next(iter(views.maps_of(scan)), None) or scan_volume(find_node("stage.enhancement", scan))
    told = views.tissue_stage(shown, scan)
    without = " " + _("Left out, without a voxel of the brain mask: {names}.").format(names=", ".join(outside))
    return replace(told, note=told.note + without) if outside else told


def _segments_of_tissue(parameters: PyPeTParameterNode, prepared: Prepared) -> tuple[dict[str, MaskArray], list[str]]:
    """Return the segments that the user chose, by name, and the names of those without a voxel in the brain mask."""
    segmentation = parameters.tissue_segmentation
    if segmentation is None:
        raise InputError(_("Tissue curves: a segmentation is needed; found none. Select one below."))
    regions = segment_regions(segmentation, scan_volume(scan_of(parameters.scan)))
    inside = {name: mask for name, mask in regions.items() if (mask & prepared.curves.mask).any()}
    if not inside:
        text = _(
            "Tissue curves: a segment with voxels in the brain mask is needed; found none in {name}. Paint one there, "
            "or select another segmentation."
        )
        raise InputError(text.format(name=segmentation.GetName()))
    return inside, [name for name in regions if name not in inside]


def follow_crosshair(logic: Any, scan: Any) -> str:
    """Update the curve of the voxel under the crosshair, whose chart is there already; say which voxel, or why none."""
    prepared = logic.prepared
    try:
        place = crosshair_ras_mm(scan)
        show_voxel_curve(prepared, scan, place)
    except InputError as error:
        return str(error)
    return _("Voxel at ({place}) mm RAS.").format(place=", ".join(typeset(f"{value:.0f}") for value in place))


def crosshair_ras_mm(scan: Any) -> tuple[float, float, float]:
    """Return where the crosshair is, in the frame of the scan before any transform."""
    place = [0.0, 0.0, 0.0]
    scan_volume(scan).TransformPointFromWorld(crosshair().GetCrosshairRAS(), place)
    return place[0], place[1], place[2]


def crosshair() -> Any:
    """Return the crosshair of the slice views."""
    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")


def _head(series: Series) -> Image:
    """Return the mean in HU of the frames that a run takes, which leaves out those that show no head."""
    return _mean(with_head(series)[0])


def _mean(series: Series) -> Image:
    """Return the mean of all frames in HU."""
    return Image(mean_frame(series.values), series.geometry, "HU")


def browser_of(scan: Any, volumes: Sequence[Any] = (), current: Any = None) -> Any:
    """Return the browser that scrolls what is shown of a scan, None where nothing is.

    There are two where frames were left out: the scan's own, and that of the steps.

    Parameters
    ----------
    scan : vtkMRMLNode or None
        The scan.
    volumes : sequence of vtkMRMLScalarVolumeNode
        The browser of one of these is taken first.
    current : vtkMRMLSequenceBrowserNode, optional
        Then this one, if it is one of the scan's.
    """
    made = [] if scan is None else [node for node in own_nodes(scan) if node.GetAttribute(ROLE).startswith("stage.")]
    shown = [node for node in made if not node.IsA("vtkMRMLSequenceBrowserNode")]
    sequences = [node for node in (*shown, *[scan] * bool(shown)) if node.IsA("vtkMRMLSequenceNode")]
    logic = slicer.modules.sequences.logic()
    browsers = [logic.GetFirstBrowserNodeForSequenceNode(sequence) for sequence in sequences]
    found = [browser for browser in browsers if browser and browser.GetNumberOfItems() > 0]
    wanted = (*(logic.GetFirstBrowserNodeForProxyNode(volume) for volume in volumes), current)
    return next((browser for browser in (*wanted, *found) if browser in found), None)


def go_to_frame(browser: Any, frame: int) -> None:
    """Scroll to a frame."""
    browser.SetSelectedItemNumber(frame)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)


def time_of_frame(browser: Any, frame: int) -> str:
    """Return the time of a frame as text, "" where it is not known."""
    sequence = browser.GetMasterSequenceNode()
    if sequence is None or not 0 <= frame < sequence.GetNumberOfDataNodes():
        return ""
    value, unit = sequence.GetNthIndexValue(frame), sequence.GetIndexUnit()
    return f"{float(value):.1f} {unit}" if unit else _("frame {number}").format(number=frame + 1)


def in_the_way(analysis: Analysis, folder: str) -> list[str]:
    """Return the files of a folder that an export would replace or remove, by name."""
    return sorted(name for name in result_names(analysis) if (Path(folder) / name).exists())


def export(analysis: Analysis, folder: str) -> str:
    """Write the files of a run into a folder and say what was written."""
    report = report_available()
    with staged_output(Path(folder), overwrite=True) as stage_folder:
        write_analysis(analysis, stage_folder, source=analysis.series.name, report=report)
        stale = without_successor(former_results(analysis, folder), stage_folder)
    remove_files(Path(folder), stale)
    if report:
        return _("Written into {folder}.").format(folder=folder)
    needed = packages.listed(NEEDED)
    return _("Written into {folder}. Without the report, which needs {needed}.").format(folder=folder, needed=needed)
