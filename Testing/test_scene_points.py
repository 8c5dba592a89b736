"""Points of the scene: where they are seen, in the library's frame."""

from __future__ import annotations

import pytest
import slicer
import vtk
from scene_cases import scene  # noqa: F401 (a fixture)

from PyPeTLib.errors import InputError
from PyPeTScene.points import points_mm

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def points(scene):  # noqa: F811
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    node.AddControlPoint(1.5, -2.0, 7.0)
    node.AddControlPoint(0.0, 3.0, -1.0)
    return node


def test_points_are_in_lps(points):
    assert points_mm(points) == [(-1.5, 2.0, 7.0), (0.0, -3.0, -1.0)]


def test_points_follow_the_transforms_above_them(points):
    for shift in ((10.0, 0.0, 0.0), (0.0, 5.0, 1.0)):
        matrix = vtk.vtkMatrix4x4()
        for row, value in enumerate(shift):
            matrix.SetElement(row, 3, value)
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(matrix)
        (points.GetParentTransformNode() or points).SetAndObserveTransformNodeID(transform.GetID())
    assert points_mm(points) == [(-11.5, -3.0, 8.0), (-10.0, -8.0, 0.0)]


def test_points_that_are_not_placed_do_not_count(points):
    points.UnsetNthControlPointPosition(0)
    assert points_mm(points) == [(0.0, -3.0, -1.0)]
    points.UnsetNthControlPointPosition(1)
    with pytest.raises(InputError, match="Points F: at least one placed point is needed; found none"):
        points_mm(points)


def test_other_markups_have_points_too(scene):  # noqa: F811
    line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode")
    line.AddControlPoint(1.0, 2.0, 3.0)
    assert points_mm(line) == [(-1.0, -2.0, 3.0)]


def test_a_deleted_list_is_refused(points):
    slicer.mrmlScene.RemoveNode(points)
    for gone in (points, None):
        with pytest.raises(InputError, match="a list of points of the scene is needed; it was deleted"):
            points_mm(gone)
