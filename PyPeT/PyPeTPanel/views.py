"""Step by step: which nodes each stage shows, and the layouts to show them in; nodes only where there is no window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError
from PyPeTLib.records import Analysis, Image, Series
from PyPeTScene import stages
from PyPeTScene.nodes import find_node
from PyPeTScene.series import scan_volume
from PyPeTScene.study import in_study

#: Layout numbers from here on are PyPeT's: 10 for each slice view, and 1 for a chart.
FIRST_LAYOUT = 77300
#: Slice views side by side in one row.
ROW = 3
COLOUR = "#7A4EAB"
SLICE_VIEW = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
    '<property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">P{number}</property>'
    f'<property name="viewcolor" action="default">{COLOUR}</property></view></item>'
)
CHART_TAG = "PyPeTChart"
CHART_VIEW = (
    f'<item><view class="vtkMRMLPlotViewNode" singletontag="{CHART_TAG}">'
    '<property name="viewlabel" action="default">C</property></view></item>'
)


@dataclass(frozen=True)
class Stage:
    """What a stage shows: volumes side by side, a chart beside them, where to look, and what to say."""

    volumes: Sequence[Any]
    chart: Any = None
    place_ras_mm: tuple[float, float, float] | None = None
    note: str = ""
    frame: int | None = None


def raw_stage(series: Series, scan: Any) -> Stage:
    """1: the scan beside its projection."""
    with in_study(scan, series.name) as node:
        volumes = [stages.show_seconds(series, node)[1], stages.show_projection(series, node)[1]]
    return Stage(volumes, note="Raw scan; maximum of the middle third of the slices.")


def denoised_stage(analysis: Analysis, scan: Any) -> Stage:
    """2: the same after denoising."""
    with in_study(scan, analysis.series.name) as node:
        volumes = [stages.show_denoised(analysis, node)[1], stages.show_denoised_projection(analysis, node)[1]]
    return Stage(volumes, note=f"Denoised ({analysis.settings.denoise}); maximum of the middle third of the slices.")


def mask_stage(image: Image, brain: Image, name: str, scan: Any) -> Stage:
    """3: the image with the mask's outline beside the masked image."""
    with in_study(scan, name) as node:
        volumes = [scan_volume(node), stages.show_masked_image(image, brain, name, node)]
    volume_ml = float(np.asarray(brain.values).sum()) * brain.geometry.voxel_volume_ml
    return Stage(volumes, note=f"Brain mask of {volume_ml:.0f} mL; image before the bolus inside it.")


def signal_stage(analysis: Analysis, scan: Any) -> Stage:
    """4: the enhancement over time beside the tissue curves, at the bolus' arrival."""
    enhancement, chart = find_node("stage.enhancement", scan), find_node("tissue.chart", scan)
    if enhancement is None or chart is None:
        raise InputError("Contrast signal: the result in the scene is needed; it was removed. Apply again.")
    arrival = analysis.bolus.arrival_s
    frame = int(np.searchsorted(analysis.series.times_s, arrival))
    return Stage([scan_volume(enhancement)], chart, note=f"The bolus arrives at {arrival:.1f} s.", frame=frame)


def input_stage(analysis: Analysis, scan: Any) -> Stage:
    """5: the slice with most arterial voxels beside measured curve and fit."""
    found = np.asarray(analysis.aif.mask.values)
    mask = found if found.any() else np.asarray(analysis.brain.values)  # the user's curve has no voxels
    k = int(mask.sum(axis=(1, 2)).argmax())
    index = np.array([*np.argwhere(mask[k]).mean(axis=0)[::-1], k])
    place = analysis.series.geometry
    x, y, z = np.asarray(place.origin_mm) + place.axes @ (index * place.spacing_mm)
    voxels = f"{int(found.sum())} voxels, {int(found[k].sum())} of them in this slice; " if found.any() else ""
    chart = find_node("curves.chart", scan)
    note = f"Arterial input: {voxels}{analysis.aif.source}."
    return Stage([scan_volume(scan)], chart, (float(-x), float(-y), float(z)), note)


def maps_stage(analysis: Analysis, scan: Any) -> Stage:
    """6: all maps side by side."""
    volumes = [find_node(f"map.{name}", scan) for name in MAP_LABELS]
    note = f"Maps by {analysis.settings.method} deconvolution; the views are linked."
    return Stage([volume for volume in volumes if volume is not None], note=note)


def show_stage(stage: Stage) -> None:
    """Show a stage in its layout; without a main window there is nothing to be done."""
    manager = slicer.app.layoutManager()
    if manager is None or not stage.volumes:
        return
    manager.setLayout(_layout(manager, len(stage.volumes), stage.chart is not None))
    for k, volume in enumerate(stage.volumes):
        widget = manager.sliceWidget(_tag(k))
        composite = widget.mrmlSliceCompositeNode()
        composite.SetLinkedControl(False)
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
        widget.mrmlSliceNode().RotateToVolumePlane(volume)
        widget.sliceLogic().FitSliceToBackground()
        if stage.place_ras_mm:
            widget.mrmlSliceNode().JumpSliceByOffsetting(*stage.place_ras_mm)
    for k in range(len(stage.volumes)):
        manager.sliceWidget(_tag(k)).mrmlSliceCompositeNode().SetLinkedControl(True)
    if stage.chart is not None:
        view = slicer.mrmlScene.GetSingletonNode(CHART_TAG, "vtkMRMLPlotViewNode")
        view.SetPlotChartNodeID(stage.chart.GetID())


def show_volume(volume: Any) -> None:
    """Show one volume in every slice view."""
    window = slicer.app.layoutManager() is not None
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, label=None, fit=window)


def _tag(k: int) -> str:
    return f"PyPeT{k + 1}"


def _layout(manager: Any, slices: int, chart: bool) -> int:
    """Return the number of a layout, described to Slicer when it is first wanted."""
    number = FIRST_LAYOUT + 10 * slices + chart
    node = manager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(number):
        node.AddLayoutDescription(number, _description(slices, chart))
    return number


def _description(slices: int, chart: bool) -> str:
    """Return a layout: rows of slice views, and a chart at the end of the last row."""
    items = [SLICE_VIEW.format(tag=_tag(k), number=k + 1) for k in range(slices)] + [CHART_VIEW] * chart
    rows = ["".join(items[first : first + ROW]) for first in range(0, len(items), ROW)]
    inner = "".join(f'<item><layout type="horizontal">{row}</layout></item>' for row in rows)
    return f'<layout type="vertical" split="true">{inner}</layout>'
