"""Curves into the scene: tables and charts of vessels and of tissue; and a vessel's curve out of a user's table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from vtk.util import numpy_support

from PyPeTLib.analysis import Prepared
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.inputs import TIME_COLUMN, curve_of_columns
from PyPeTLib.result_tables import curve_table, motion_table
from PyPeTLib.scan import TimeCurve
from PyPeTLib.typeset import typeset
from PyPeTScene.masks import mask_from_segment
from PyPeTScene.nodes import ROLE, Node, find_node, node_geometry, node_name, own_node, own_nodes

#: Values of one column of a table.
Column = Sequence[str] | Sequence[float] | npt.NDArray[np.floating[Any]]
#: A point in mm, right, anterior, superior.
Point = tuple[float, float, float]
#: Curves of the vessel chart: column, label, colour (RGB from 0 to 1), and whether it is a dashed line.
VESSEL_CURVES = (
    ("aif_measured_hu", "AIF, measured", (0.80, 0.60, 1.00), False),
    ("aif_hu", "AIF, deconvolved", (0.694, 0.302, 1.00), False),
    ("aif_fit_hu", "AIF, gamma-variate fit", (0.45, 0.45, 0.48), True),
    ("vof_hu", "VOF", (0.043, 0.447, 0.522), False),
)
#: Colours of the bolus chart.
BOLUS_COLOUR, ARRIVAL_COLOUR = (0.85, 0.33, 0.10), (0.45, 0.45, 0.48)
#: Curves of the motion chart: column, label and colour.
MOTION_CURVES = (
    ("displacement_mm", "Skull, largest", (0.35, 0.38, 0.43)),
    ("shift_x_mm", "Centre, to the left", (0.85, 0.33, 0.10)),
    ("shift_y_mm", "Centre, backward", (0.00, 0.45, 0.74)),
    ("shift_z_mm", "Centre, upward", (0.47, 0.67, 0.19)),
)
MOTION_TITLE = "Motion of the head"
#: The axis of the motion chart reaches at least so far, in mm: that of a head at rest would be full of its rest.
LEAST_MOTION_MM = 1.0
#: Attribute of the motion chart whose axis PyPeT set.
AXIS_SET = "PyPeT.AxisSet"
#: Colours of the tissue curves, in order, repeated where there are more.
TISSUE_COLOURS = (
    (0.35, 0.38, 0.43),
    (0.85, 0.33, 0.10),
    (0.00, 0.45, 0.74),
    (0.47, 0.67, 0.19),
    (0.93, 0.69, 0.13),
    (0.49, 0.18, 0.56),
)
#: Attribute of the table of vessel curves: by how much the arterial one was scaled for partial volume.
PARTIAL_VOLUME = "PyPeT.PartialVolumeFactor"
#: Attribute of a chart: the title that PyPeT gave it.
TITLE = "PyPeT.Title"
#: Name of the tissue curve at the point that the user picked.
VOXEL = "Voxel"


def show_vessel_curves(analysis: Prepared, scan: Node) -> tuple[Node, Node]:
    """Show arterial input, its gamma-variate fit and venous output: return the table and its chart."""
    name = analysis.series.name
    table = own_node("vtkMRMLTableNode", f"{name} curves", "curves.table", scan)
    columns = curve_table(analysis)
    put_columns(table, columns)
    table.SetAttribute(PARTIAL_VOLUME, f"{analysis.aif.partial_volume_factor:.3f}")
    chart = _chart(f"{name} AIF and VOF", "curves.chart", "Arterial input and venous output", scan)
    shown = [
        _plot(table, column, label, colour, dashed, "curves.plot.", scan)
        for column, label, colour, dashed in VESSEL_CURVES
        if np.isfinite(columns[column]).any()
    ]
    _fill_chart(chart, shown)
    return table, chart


def show_tissue_curves(analysis: Prepared, scan: Node, regions: Mapping[str, MaskArray]) -> tuple[Node, Node]:
    """Show the mean enhancement of regions: return the table and its chart.

    Parameters
    ----------
    analysis : Prepared
        The run.
    scan : vtkMRMLNode
        The scan it is of.
    regions : mapping of str to ndarray of bool, shape (z, y, x)
        Name and voxels; those outside the brain mask do not count.

    Raises
    ------
    InputError
        If a region has no voxel in the brain mask.
    """
    columns = {TIME_COLUMN: np.asarray(analysis.series.times_s)}
    for label, mask in regions.items():
        _check_inside(label, mask, analysis)
        columns[label] = analysis.curves.mean(mask)
    name = analysis.series.name
    table = own_node("vtkMRMLTableNode", f"{name} tissue curves", "tissue.table", scan)
    put_columns(table, columns)
    chart = _chart(f"{name} tissue", "tissue.chart", "Tissue enhancement", scan)
    shown = [
        _plot(table, label, label, TISSUE_COLOURS[k % len(TISSUE_COLOURS)], False, "tissue.plot.", scan)
        for k, label in enumerate(regions)
    ]
    _fill_chart(chart, shown)
    return table, chart


def show_voxel_curve(analysis: Prepared, scan: Node, ras_mm: Point) -> None:
    """Replace the curve of the picked voxel alone, many times a second; the chart of tissue curves shows it already.

    Parameters
    ----------
    analysis : Prepared
        The run.
    scan : vtkMRMLNode
        The scan it is of.
    ras_mm : tuple of float
        The point in mm, as crosshair and markups have it.

    Raises
    ------
    InputError
        If the point lies outside the grid, or its voxel outside the brain mask.
    """
    place, curves = _voxel_at(analysis.series.geometry, ras_mm), analysis.curves
    table = find_node("tissue.table", scan)
    if table is None or table.GetTable().GetColumnByName(VOXEL) is None:
        return
    if not curves.mask[place]:
        raise _outside(VOXEL, 1)
    column = table.GetTable().GetColumnByName(VOXEL)
    numpy_support.vtk_to_numpy(column)[:] = curves.coefficients[_row(curves.mask, place)].astype(float) @ curves.basis
    column.Modified()
    table.GetTable().Modified()
    table.Modified()


def _row(mask: MaskArray, place: tuple[int, int, int]) -> int:
    """Return which of the mask's voxels one is, counted without an array as large as the scan."""
    k, j, i = place
    return int(sum(np.count_nonzero(before) for before in (mask[:k], mask[k, :j], mask[k, j, :i])))


def show_bolus(analysis: Prepared, scan: Node) -> tuple[Node, Node]:
    """Show the contrast signal of the earliest vessels, the bolus arrival marked: return the table and its chart."""
    name, bolus = analysis.series.name, analysis.bolus
    signal = np.asarray(bolus.rise_hu * bolus.signal)
    table = own_node("vtkMRMLTableNode", f"{name} bolus", "bolus.table", scan)
    put_columns(table, {TIME_COLUMN: np.asarray(analysis.series.times_s), "bolus_hu": signal})
    marks = own_node("vtkMRMLTableNode", f"{name} bolus arrival", "bolus.marks", scan)
    height = np.array([min(0.0, float(signal.min())), float(signal.max())])
    put_columns(marks, {TIME_COLUMN: np.full(2, bolus.arrival_s), "arrival_hu": height})
    chart = _chart(f"{name} bolus", "bolus.chart", f"Bolus, arriving at {bolus.arrival_s:.1f} s", scan)
    curve = _plot(table, "bolus_hu", "Earliest vessels", BOLUS_COLOUR, False, "bolus.plot.", scan)
    arrival = _plot(marks, "arrival_hu", "Arrival", ARRIVAL_COLOUR, True, "bolus.plot.", scan)
    _fill_chart(chart, [curve, arrival])
    return table, chart


def show_motion(analysis: Prepared, scan: Node) -> Node | None:
    """Show how far the head moved: return the chart, None where it was not measured."""
    if analysis.motion is None:
        return None
    name = analysis.series.name
    table = own_node("vtkMRMLTableNode", f"{name} motion", "motion.table", scan)
    columns = motion_table(analysis.motion)
    put_columns(table, columns)
    chart = _chart(f"{name} motion", "motion.chart", MOTION_TITLE, scan, "displacement from the first frame in mm")
    shown = [
        _plot(table, column, label, colour, False, "motion.plot.", scan) for column, label, colour in MOTION_CURVES
    ]
    _widen_axis(chart, np.stack([columns[column] for column, _, _ in MOTION_CURVES]))
    _fill_chart(chart, shown)
    return chart


def stale_plots(scan: Node) -> list[Node]:
    """Return the curves that no chart shows any more."""
    nodes = list(own_nodes(scan))
    charts = [node for node in nodes if node.IsA("vtkMRMLPlotChartNode")]
    shown = {chart.GetNthPlotSeriesNodeID(k) for chart in charts for k in range(chart.GetNumberOfPlotSeriesNodes())}
    return [node for node in nodes if node.IsA("vtkMRMLPlotSeriesNode") and node.GetID() not in shown]


def brain_regions(brain: Image) -> dict[str, MaskArray]:
    """Return the whole brain and its right and left half, on either side of the mask's mid-plane.

    The mid-plane is the sagittal plane of the patient through the mask's centre.
    """
    geometry, inside = brain.geometry, np.asarray(brain.values)
    k, j, i = (axis.astype(float) for axis in np.nonzero(inside))
    to_left_mm = (np.stack([i, j, k], axis=1) * geometry.spacing_mm) @ geometry.axes[0]
    left = np.zeros(inside.shape, dtype=bool)
    left[inside] = to_left_mm > to_left_mm.mean()
    return {"Brain": inside, "Right half": inside & ~left, "Left half": left}


def segment_regions(segmentation: Node, reference: Node) -> dict[str, MaskArray]:
    """Return every segment of a segmentation on the grid of a volume, by name; some may have no voxel on it.

    Of segments of one name, which Slicer allows, the later ones are numbered; so is one that is called as the column of
    the times.
    """
    segments, regions = segmentation.GetSegmentation(), dict[str, MaskArray]()
    for identity in segments.GetSegmentIDs():
        name = _free_name(segments.GetSegment(identity).GetName(), {TIME_COLUMN, *regions})
        try:
            regions[name] = np.asarray(mask_from_segment(segmentation, identity, reference).values)
        except InputError:  # empty, as the Segment Editor adds them, or elsewhere
            regions[name] = np.zeros(node_geometry(reference).shape, dtype=bool)
    return regions


def joined_regions(regions: Mapping[str, MaskArray], segments: Mapping[str, MaskArray]) -> dict[str, MaskArray]:
    """Return regions of the brain and segments of the user's; a segment whose name is taken is numbered.

    Taken is that of the picked voxel, too, whose curve is written over. A segment that is a region of that name is
    there already.
    """
    joined = dict(regions)
    for name, mask in segments.items():
        if name not in regions or not np.array_equal(regions[name], mask):
            joined[_free_name(name, {VOXEL, *joined})] = mask
    return joined


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken: the one given, or with the first number that makes it another."""
    names = (f"{name} {k}" if k > 1 else name for k in count(1))
    return next(one for one in names if one not in taken)


def voxel_region(geometry: Geometry, ras_mm: Point) -> dict[str, MaskArray]:
    """Return the voxel at a point of the scene as a region; parameters and errors as of `show_voxel_curve`."""
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[_voxel_at(geometry, ras_mm)] = True
    return {VOXEL: mask}


def _voxel_at(geometry: Geometry, ras_mm: Point) -> tuple[int, int, int]:
    """Return the index (z, y, x) of the voxel at a point; refuse one outside the grid."""
    x, y, z = ras_mm
    k, j, i = (round(value) for value in geometry.indices((-x, -y, z)).tolist())
    if min(i, j, k) < 0 or i >= geometry.size[0] or j >= geometry.size[1] or k >= geometry.size[2]:
        point = ", ".join(typeset(f"{value:.4g}") for value in ras_mm)
        raise InputError(f"Curve at a point: a voxel of {geometry.describe()} is needed; found ({point}) mm RAS.")
    return k, j, i


def curve_from_table(table: Node, column: str = "aif_hu") -> TimeCurve:
    """Return a curve that the user pasted or loaded as a table: columns time in s and HU.

    The columns ``time_s`` and ``column`` are taken where they exist, the first two columns of numbers otherwise.

    Raises
    ------
    InputError
        If the table was deleted, there are no such columns, fewer than five points, missing values or times that do
        not increase.
    """
    if table is None or slicer.mrmlScene.GetNodeByID(table.GetID() or "") is None:
        raise InputError("Curve: a table of the scene is needed; it was deleted. Select another one.")
    return curve_of_columns(_number_columns(table), column=column, name=node_name(table))


def put_columns(table: Node, columns: Mapping[str, Column]) -> None:
    """Give a table node new columns of numbers or of text; its former table stays as it was."""
    content = vtk.vtkTable()
    for name, values in columns.items():
        if len(values) and isinstance(values[0], str):
            column = vtk.vtkStringArray()
            for value in values:
                column.InsertNextValue(value)
        else:
            column = numpy_support.numpy_to_vtk(np.ascontiguousarray(values, dtype=float), deep=True)
        column.SetName(name)
        content.AddColumn(column)
    table.SetAndObserveTable(content)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.Modified()


def _number_columns(table: Node) -> dict[str, FloatArray]:
    """Return the columns that are numbers, or text that reads as numbers (what is pasted is text)."""
    found: dict[str, FloatArray] = {}
    if table.GetTable() is None:
        return found
    content = table.GetTable()
    for c in range(content.GetNumberOfColumns()):
        try:
            values = np.array([_number(content.GetValue(r, c)) for r in range(content.GetNumberOfRows())])
        except ValueError:
            continue
        if np.isfinite(values).any():
            found[content.GetColumnName(c) or f"column {c + 1}"] = values
    return found


def _number(cell: Any) -> float:
    """Return a cell's number, NaN where it is empty; ValueError where it is a word."""
    if cell.IsNumeric():
        return float(cell.ToDouble())
    return float(cell.ToString()) if cell.ToString().strip() else float("nan")


def _check_inside(label: str, mask: MaskArray, analysis: Prepared) -> None:
    if mask.shape != analysis.curves.mask.shape or not (mask & analysis.curves.mask).any():
        raise _outside(label, int(mask.sum()))


def _outside(label: str, voxels: int) -> InputError:
    """Return the error of a curve without a voxel in the brain mask."""
    return InputError(
        f"Tissue curve '{label}': a voxel of the brain mask is needed; found none among {voxels}. "
        "Choose a place inside the brain."
    )


def _chart(name: str, role: str, title: str, scan: Node, vertical: str = "enhancement in HU") -> Node:
    """Return a chart; once it is made its titles are the user's, but for one that PyPeT wrote and nobody changed."""
    new = find_node(role, scan) is None
    chart = own_node("vtkMRMLPlotChartNode", name, role, scan)
    if new:
        chart.SetXAxisTitle("time in s")
        chart.SetYAxisTitle(vertical)
    if chart.GetAttribute(TITLE) in (None, chart.GetTitle()):
        chart.SetTitle(title)
        chart.SetAttribute(TITLE, title)
    return chart


def _widen_axis(chart: Node, drawn_mm: FloatArray) -> None:
    """Let the axis of the motion chart show `LEAST_MOTION_MM`, unless its range is the user's."""
    automatic, ours = bool(chart.GetYAxisRangeAuto()), chart.GetAttribute(AXIS_SET) is not None
    if automatic == ours:
        return
    at_rest = bool(drawn_mm.max() < LEAST_MOTION_MM)
    if at_rest:
        chart.SetYAxisRange(min(0.0, float(drawn_mm.min())), LEAST_MOTION_MM)
    chart.SetYAxisRangeAuto(not at_rest)
    chart.SetAttribute(AXIS_SET, "at rest" if at_rest else None)


def _plot(
    table: Node, column: str, label: str, colour: tuple[float, float, float], dashed: bool, prefix: str, scan: Node
) -> Node:
    """Return the plot series node of one column; once it is made its looks are the user's."""
    kind, role = slicer.vtkMRMLPlotSeriesNode, f"{prefix}{column}"
    new = find_node(role, scan) is None
    plot = own_node("vtkMRMLPlotSeriesNode", label, role, scan)
    plot.SetAndObserveTableNodeID(table.GetID())
    plot.SetXColumnName(TIME_COLUMN)
    plot.SetYColumnName(column)
    if new:
        plot.SetPlotType(kind.PlotTypeScatter)
        plot.SetMarkerStyle(kind.MarkerStyleNone)
        plot.SetLineStyle(kind.LineStyleDash if dashed else kind.LineStyleSolid)
        plot.SetLineWidth(2.0)
        plot.SetColor(*colour)
    return plot


def _fill_chart(chart: Node, shown: list[Node]) -> None:
    """Let a chart show these curves in this order, and those that the user added as before."""
    wanted = [plot.GetID() for plot in shown]
    present = [chart.GetNthPlotSeriesNodeID(k) for k in range(chart.GetNumberOfPlotSeriesNodes())]
    nodes = {identity: slicer.mrmlScene.GetNodeByID(identity) for identity in present}
    ours = [identity for identity in present if nodes[identity] is None or nodes[identity].GetAttribute(ROLE)]
    if ours != wanted:
        theirs = [identity for identity in present if identity not in ours]
        chart.RemoveAllPlotSeriesNodeIDs()
        for identity in (*wanted, *theirs):
            chart.AddAndObservePlotSeriesNodeID(identity)
    chart.Modified()
