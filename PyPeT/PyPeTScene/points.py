"""Points of the scene, as the library takes them."""

from __future__ import annotations

import slicer
import vtk

from PyPeTLib.errors import InputError
from PyPeTLib.inputs import Point
from PyPeTScene.nodes import Node, node_name


def points_mm(markups: Node, volume: Node | None = None) -> list[Point]:
    """Return the points of a list of markups in LPS, where they are seen: under the transforms above the list.

    Parameters
    ----------
    markups : vtkMRMLMarkupsNode
        A list of points, in the scene; points that are not placed yet do not count.
    volume : vtkMRMLVolumeNode, optional
        The volume in which they were placed: where a transform moves it, they are moved back onto its grid.

    Returns
    -------
    list of tuple of float
        x, y, z in mm, LPS.

    Raises
    ------
    InputError
        If the list was deleted or has no placed point.
    """
    if markups is None or slicer.mrmlScene.GetNodeByID(markups.GetID() or "") is None:
        raise InputError("Points: a list of points of the scene is needed; it was deleted. Select another one.")
    defined = slicer.vtkMRMLMarkupsNode.PositionDefined
    count = markups.GetNumberOfControlPoints()
    placed = [k for k in range(count) if markups.GetNthControlPointPositionStatus(k) == defined]
    if not placed:
        need = "at least one placed point is needed"
        raise InputError(f"Points {node_name(markups)}: {need}; found none. Place a point in the vessel.")
    to_volume = vtk.vtkGeneralTransform()
    above = None if volume is None else volume.GetParentTransformNode()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, above, to_volume)
    return [_to_lps(to_volume.TransformPoint(*markups.GetNthControlPointPositionWorld(k))) for k in placed]


def _to_lps(ras_mm: tuple[float, float, float]) -> Point:
    x, y, z = ras_mm
    return 0.0 - x, 0.0 - y, z
