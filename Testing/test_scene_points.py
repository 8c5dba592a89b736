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


def moved(node, *shift, turn=False):
    """Put a node under a transform: a shift in mm, and a quarter turn from x to y."""
    matrix = vtk.vtkMatrix4x4()
    if turn:
        matrix.DeepCopy((0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1))
    for row, value in enumerate(shift):
        matrix.SetElement(row, 3, value)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def test_points_follow_the_transforms_above_them(points):
    moved(moved(points, 10.0, 0.0, 0.0), 0.0, 5.0, 1.0)
    assert points_mm(points) == [(-11.5, -3.0, 8.0), (-10.0, -8.0, 0.0)]
    moved(points, 0.0, 0.0, 0.0, turn=True)
    assert points_mm(points) == [(-2.0, -1.5, 7.0), (3.0, 0.0, -1.0)]


def test_points_in_a_moved_volume_are_brought_onto_its_grid(points):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert points_mm(points, volume) == points_mm(points)
    moved(volume, 10.0, 20.0, 30.0, turn=True)
    (x, y, z), _ = points_mm(points, volume)
    assert (x, y, z) == pytest.approx((22.0, -8.5, -23.0))
    points.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    assert points_mm(points, volume) == [pytest.approx((-1.5, 2.0, 7.0)), pytest.approx((0.0, -3.0, -1.0))]


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
