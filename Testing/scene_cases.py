"""What the test_scene_* files share."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer_double import fixtures

from PyPeTLib.geometry import Geometry
from PyPeTLib.scan import Series
from PyPeTScene.nodes import new_image, place, put_values, scene_nodes
from PyPeTScene.series import FRAME_LABELS, FRAME_UNITS

scene = fixtures.scene

OBLIQUE = Geometry(
    (6, 5, 4),
    (0.7, 0.8, 5.1),
    (-12.345678901234, 0.1, 77.7),
    tuple(float(v) for v in np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0].ravel()),
)
UNEVEN_S = np.cumsum(np.random.default_rng(1).uniform(0.9, 2.1, 12))


def small_series(dtype=np.int16, geometry=OBLIQUE, times_s=UNEVEN_S) -> Series:
    values = np.random.default_rng(2).integers(-1000, 1000, (len(times_s), *geometry.shape)).astype(dtype)
    return Series(values, times_s, geometry, name="small")


def sequence(frames, index=None, name="scan", **attributes):
    """A sequence of nodes as somebody else made it; keywords: name and unit of the index, labels and their unit."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    node.SetIndexName(attributes.get("index_name", ""))
    node.SetIndexUnit(attributes.get("unit", ""))
    for k, frame in enumerate(frames):
        node.SetDataNodeAtValue(frame, str(k if index is None else index[k]))
    if "labels" in attributes:
        node.SetAttribute(FRAME_LABELS, attributes["labels"])
        node.SetAttribute(FRAME_UNITS, attributes.get("label_unit", "ms"))
    return node


def volumes(count=12, geometry=OBLIQUE, dtype=np.int16):
    frames = []
    for k in range(count):
        frames.append(slicer.vtkMRMLScalarVolumeNode())
        put_values(frames[-1], np.full(geometry.shape, k, dtype), geometry)
    return frames


def dicom_sequence(series: Series, unit="ms", scale=1000.0, start=35000.0, name="dicom"):
    """As Slicer's DICOM import makes it: frame numbers as index, times in the labels, no name, no unit."""
    frames = []
    for values in series.values:
        frames.append(slicer.vtkMRMLScalarVolumeNode())
        put_values(frames[-1], np.asarray(values), series.geometry)
    labels = ",".join(f"{start + scale * t:.6f}" for t in series.times_s)
    return sequence(frames, name=name, labels=labels, label_unit=unit)


class MultiVolume(slicer.vtkMRMLVectorVolumeNode):
    """A strict stand-in for vtkMRMLMultiVolumeNode, whose class only the application has: one component a frame."""

    frames = 0

    def IsA(self, name):  # noqa: N802
        return name == "vtkMRMLMultiVolumeNode" or (name != "vtkMRMLSequenceNode" and super().IsA(name))

    def SetNumberOfFrames(self, frames):  # noqa: N802
        self.frames = frames

    def GetNumberOfFrames(self):  # noqa: N802
        return self.frames


def multivolume(series: Series):
    """A scan as Slicer's MultiVolume import keeps it."""
    node = MultiVolume()
    node.SetName("multi")
    node.SetNumberOfFrames(series.frames)
    image, voxels = new_image(series.geometry.shape, series.values.dtype, components=series.frames)
    voxels[...] = np.moveaxis(series.values, 0, -1)
    node.SetAndObserveImageData(image)
    place(node, series.geometry)
    node.SetAttribute(FRAME_LABELS, ",".join(repr(float(1000.0 * t)) for t in series.times_s))
    node.SetAttribute(FRAME_UNITS, "ms")
    slicer.mrmlScene.AddNode(node)
    return node


def ids() -> set[str]:
    return {node.GetID() for node in scene_nodes()}


def items() -> list[str]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    return [hierarchy.GetItemName(found.GetId(k)) for k in range(found.GetNumberOfIds())]
