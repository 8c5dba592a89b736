"""Step by step: which nodes each stage shows, and the layouts to show them in; nodes only where there is no window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from PyPeTLib.analysis import Prepared
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.scan import Series
from PyPeTScene import stages
from PyPeTScene.nodes import ROLE, SCAN, find_node
from PyPeTScene.series import scan_of, scan_volume
from PyPeTScene.study import in_study

#: Layout numbers from here on are PyPeT's: 10 for each slice view, and 1 for each chart.
FIRST_LAYOUT = 77300
#: Field of view in mm around the arterial input, which is a few voxels.
INPUT_FIELD_MM = 80.0
#: No stage shows more charts than this.
MOST_CHARTS = 2
#: Views side by side in one row.
ROW = 3
COLOUR = "#7A4EAB"
SLICE_VIEW = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
    '<property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">P{number}</property>'
    f'<property name="viewcolor" action="default">{COLOUR}</property></view></item>'
)
CHART_VIEW = (
    '<item><view class="vtkMRMLPlotViewNode" singletontag="{tag}">'
    '<property name="viewlabel" action="default">C{number}</property></view></item>'
)


@dataclass(frozen=True)
class Stage:
    """What a stage shows.

    Parameters
    ----------
    volumes, charts : sequence of vtkMRMLNode
        Volumes side by side, and charts after them.
    place_ras_mm : tuple of float, optional
        Where the slice views look, in mm.
    note : str
        What the panel says of it.
    frame : int, optional
        Where the slider goes.
    field_mm : float, optional
        What the shorter side of a slice view shows, in mm; all of the volume otherwise.
    """

    volumes: Sequence[Any]
    charts: Sequence[Any] = ()
    place_ras_mm: tuple[float, float, float] | None = None
    note: str = ""
    frame: int | None = None
    field_mm: float | None = None


def raw_stage(series: Series, scan: Any) -> Stage:
    """1: the scan beside its projection."""
    with in_study(scan, series.name) as node:
        volumes = [stages.show_seconds(series, node)[1], stages.show_projection(series, node)[1]]
    motion = find_node("motion.chart", scan)
    note = _("Raw scan; maximum of the middle third of the slices.")
    if motion:
        note = _("Raw scan; maximum of the middle third of the slices; motion as measured in the last run.")
    return Stage(volumes, [motion] if motion else (), note=note)


def denoised_stage(prepared: Prepared, scan: Any) -> Stage:
    """2: the same after denoising."""
    with in_study(scan, prepared.series.name) as node:
        volumes = [stages.show_denoised(prepared, node)[1], stages.show_denoised_projection(prepared, node)[1]]
    note = _("Denoised ({method}); maximum of the middle third of the slices.")
    return Stage(volumes, note=note.format(method=prepared.settings.denoise))


def mask_stage(image: Image, brain: Image, series: Series, scan: Any) -> Stage:
    """3: mask, scan and masked image."""
    name = series.name
    with in_study(scan, name) as node:
        mask, masked = stages.show_mask_volume(brain, name, node), stages.show_masked_image(image, brain, name, node)
        volumes = [mask, stages.show_seconds(series, node)[1], masked]
    volume_ml = float(np.asarray(brain.values).sum()) * brain.geometry.voxel_volume_ml
    note = _("Brain mask of {volume} mL; the scan; its mean inside the mask.")
    return Stage(volumes, note=note.format(volume=f"{volume_ml:.0f}"))


def signal_stage(prepared: Prepared, scan: Any) -> Stage:
    """4: the enhancement over time beside the bolus curve with its arrival, and the tissue curves."""
    enhancement = _needed("stage.enhancement", scan)
    charts = [_needed("bolus.chart", scan), _needed("tissue.chart", scan)]
    frame = int(prepared.curves.mean(np.asarray(prepared.brain.values)).argmax())
    arrival, peak = prepared.bolus.arrival_s, prepared.series.times_s[frame]
    before = prepared.bolus.baseline_frames
    note = _("The bolus arrives at {arrival} s, after {before} frames; the brain enhances most at {peak} s.")
    note = note.format(arrival=f"{arrival:.1f}", before=before, peak=f"{peak:.1f}")
    return Stage([scan_volume(enhancement)], charts, note=note, frame=frame)


def input_stage(prepared: Prepared, scan: Any) -> Stage:
    """5: the slice with most arterial voxels beside measured curve and fit, at the arterial peak."""
    found = np.asarray(prepared.aif.mask.values)
    mask = found if found.any() else np.asarray(prepared.brain.values)  # the user's curve has no voxels
    chart, frame = _needed("curves.chart", scan), int(prepared.aif.measured_hu.argmax())
    k = int(mask.sum(axis=(1, 2)).argmax())
    middle = (k, *np.argwhere(mask[k]).mean(axis=0))
    x, y, z = prepared.series.geometry.places_mm(middle).tolist()
    where = [-x, -y, z]
    scan_volume(scan).TransformPointToWorld([-x, -y, z], where)
    with in_study(scan, prepared.series.name) as node:
        shown = stages.show_seconds(frames_of(prepared), node)[1]
    note = _("Arterial input: {source}.")
    if found.any():
        note = _("Arterial input: {count} voxels, {here} of them in this slice; {source}.")
    note = note.format(count=int(found.sum()), here=int(found[k].sum()), source=prepared.aif.source)
    return Stage([shown], [chart], tuple(where), note, frame, INPUT_FIELD_MM if found.any() else None)


def frames_of(prepared: Prepared) -> Series:
    """Return the scan as it was read, or, where frames were left out, those that the curves are of."""
    return prepared.raw if prepared.raw.frames == prepared.series.frames else prepared.series


def maps_stage(scan: Any) -> Stage:
    """6: all maps side by side."""
    volumes = maps_of(scan)
    if not volumes:
        raise InputError(_("Maps: a result in the scene is needed; found none of this scan. Apply first."))
    made = volumes[0].GetDescription().partition("; ")[2]
    return Stage(volumes, note=_("Maps by {made} The views are linked.").format(made=made))


def maps_and_curves(scan: Any) -> Stage:
    """All maps, and the charts of vessels and tissue."""
    shown = maps_stage(scan)
    return Stage(shown.volumes, [_needed("curves.chart", scan), _needed("tissue.chart", scan)], note=shown.note)


def tissue_stage(volume: Any, scan: Any) -> Stage:
    """Return one volume beside the tissue curves."""
    return Stage([volume], [_needed("tissue.chart", scan)], note=_("Mean enhancement of the tissue over time."))


def maps_of(scan: Any) -> list[Any]:
    """Return the map volumes of a scan that are in the scene."""
    volumes = [find_node(f"map.{name}", scan) for name in MAP_LABELS]
    return [volume for volume in volumes if volume is not None]


def arrange(stage: Stage) -> None:
    """Show the layout of a stage; its new views have their size once the application has processed its events."""
    manager = slicer.app.layoutManager()
    if manager is not None and stage.volumes:
        node = manager.layoutLogic().GetLayoutNode()
        _switch(node, _layout(node, len(stage.volumes), len(stage.charts)))


def fill(stage: Stage) -> None:
    """Show a stage in its layout; without a main window there is nothing to be done."""
    manager = slicer.app.layoutManager()
    if manager is None or not stage.volumes:
        return
    logics = [_slice_logic(k) for k in range(len(stage.volumes))]
    for logic, volume in zip(logics, stage.volumes, strict=True):
        composite, view = logic.GetSliceCompositeNode(), logic.GetSliceNode()
        composite.SetLinkedControl(False)
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
        view.RotateToVolumePlane(volume)
        logic.FitSliceToBackground()
        if stage.place_ras_mm:
            view.JumpSliceByCentering(*stage.place_ras_mm)
        if stage.field_mm:
            _zoom(view, stage.field_mm)
        _tell_legend(logic)
    for logic in logics:
        logic.GetSliceCompositeNode().SetLinkedControl(True)
    for k, chart in enumerate(stage.charts):
        slicer.mrmlScene.GetSingletonNode(_chart_tag(k), "vtkMRMLPlotViewNode").SetPlotChartNodeID(chart.GetID())


def show_four_views() -> None:
    """Return to Slicer's own layout of three slices and a 3D view."""
    manager = slicer.app.layoutManager()
    if manager is not None:
        _switch(manager.layoutLogic().GetLayoutNode(), slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def _switch(node: Any, number: int) -> None:
    """Show all of a layout, of which a view that was maximized hides the rest, also if it was described just now."""
    node.RemoveAllMaximizedViewNodes()
    node.SetViewArrangement(number)


def in_own_layout() -> bool:
    """Tell whether one of PyPeT's layouts is shown; True where there is no window to show one in."""
    manager = slicer.app.layoutManager()
    last = FIRST_LAYOUT + 10 * len(MAP_LABELS) + MOST_CHARTS
    return manager is None or FIRST_LAYOUT <= manager.layout <= last


def wants_maps(scan: Any, former: Sequence[Any]) -> bool:
    """Tell whether Apply is to show the maps: it keeps a view of PyPeT's that the user chose, as long as it is true.

    It is not where another scan is shown, or where other maps than before belong side by side.

    Parameters
    ----------
    scan : vtkMRMLNode
        What Apply ran on.
    former : sequence of vtkMRMLScalarVolumeNode
        The maps that it had before.
    """
    manager = slicer.app.layoutManager()
    if manager is None or not in_own_layout():
        return manager is not None
    own = (manager.layout - FIRST_LAYOUT) // 10  # there are views of other layouts, too
    composites = [_slice_logic(k).GetSliceCompositeNode() for k in range(own)]
    shown = [slicer.mrmlScene.GetNodeByID(one.GetBackgroundVolumeID() or "") for one in composites]
    first = next((volume for volume in shown if volume is not None), None)
    if first is None or _scan_id(first) not in ("", scan.GetID()):
        return True
    of_maps = any(volume is None or (volume.GetAttribute(ROLE) or "").startswith("map.") for volume in shown)
    return of_maps and maps_of(scan) != list(former)


def _scan_id(volume: Any) -> str:
    """Return the ID of the scan that a volume is, or that PyPeT made it of; "" where it is neither."""
    try:
        node = scan_of(volume)
        itself = node.GetID()
    except InputError:
        node, itself = volume, ""
    return str(node.GetNodeReferenceID(SCAN) or itself)


def show_volume(volume: Any) -> None:
    """Show one volume in every slice view."""
    window = slicer.app.layoutManager() is not None
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=window)
    if window:
        for logic in slicer.app.applicationLogic().GetSliceLogics():
            _tell_legend(logic)


def _zoom(node: Any, field_mm: float) -> None:
    """Let the shorter side of a slice view show so many millimetres."""
    width, height, depth = node.GetFieldOfView()
    share = field_mm / min(width, height)
    node.SetFieldOfView(share * width, share * height, depth)


def _tell_legend(logic: Any) -> None:
    """Let a view draw the colour legend of its new volume: it looks at changes that are marked as the user's only."""
    composite = logic.GetSliceCompositeNode()
    logic.StartSliceCompositeNodeInteraction(composite.BackgroundVolumeFlag)
    composite.Modified()
    logic.EndSliceCompositeNodeInteraction()


def _needed(role: str, scan: Any) -> Any:
    """Return a node of the result; refuse where it was removed."""
    node = find_node(role, scan)
    if node is None:
        what = role.partition(".")[0] if role.endswith("chart") else role.partition(".")[2]
        text = _("This step shows the {what} of a run; found none in the scene. Apply again.")
        raise InputError(text.format(what=what))
    return node


def _slice_logic(k: int) -> Any:
    """Return the logic of a slice view of PyPeT's: the layout manager finds views by their names, which may change."""
    return slicer.app.applicationLogic().GetSliceLogicByLayoutName(_slice_tag(k))


def _slice_tag(k: int) -> str:
    return f"PyPeT{k + 1}"


def _chart_tag(k: int) -> str:
    return f"PyPeTChart{k + 1}"


def describe_layouts() -> None:
    """Describe every layout to Slicer: a scene that was saved with one knows its number alone."""
    manager = slicer.app.layoutManager()
    if manager is not None:
        for slices in range(1, len(MAP_LABELS) + 1):
            for charts in range(MOST_CHARTS + 1):
                _layout(manager.layoutLogic().GetLayoutNode(), slices, charts)


def _layout(node: Any, slices: int, charts: int) -> int:
    """Return the number of a layout, which is described to Slicer where it does not know it."""
    number = FIRST_LAYOUT + 10 * slices + charts
    if not node.IsLayoutDescription(number):
        node.AddLayoutDescription(number, _description(slices, charts))
    return number


def _description(slices: int, charts: int) -> str:
    """Return a layout: rows of slice views, charts after them."""
    items = [SLICE_VIEW.format(tag=_slice_tag(k), number=k + 1) for k in range(slices)]
    items += [CHART_VIEW.format(tag=_chart_tag(k), number=k + 1) for k in range(charts)]
    rows = ["".join(items[first : first + ROW]) for first in range(0, len(items), ROW)]
    inner = "".join(f'<item><layout type="horizontal">{row}</layout></item>' for row in rows)
    return f'<layout type="vertical" split="true">{inner}</layout>'
