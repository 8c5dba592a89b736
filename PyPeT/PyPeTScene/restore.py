"""All or nothing: when anything raises, the scene is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import slicer
import vtk

from PyPeTScene.nodes import FOLLOWED, Node, node_geometry, own_nodes, place, put_under, remove_node, scene_nodes
from PyPeTScene.series import scan_volume

#: Puts one node back into the state in which it was.
Undo = Callable[[], None]


@contextmanager
def unchanged_on_error(scan: Node) -> Iterator[None]:
    """Change the scene in one batch; when anything raises, remove what is new and restore PyPeT's nodes of a scan.

    Voxels are not copied for it: whoever writes gives a node new image data and leaves the former as they were.
    """
    scene = slicer.mrmlScene
    known = {node.GetID() for node in scene_nodes()}
    folders = set(_items())
    own = list(own_nodes(scan))
    undo = [_undo(node) for node in own]
    undo += [_undo_transform(node) for node in map(_placed, own) if node.IsA("vtkMRMLTransformableNode")]
    scene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    try:
        yield
    except BaseException:
        for node in [node for node in scene_nodes() if node.GetID() not in known]:
            if scene.IsNodePresent(node):
                remove_node(node)
        for restore in undo:
            restore()
        _remove_folders(folders)
        raise
    finally:
        scene.EndState(slicer.vtkMRMLScene.BatchProcessState)


def _undo(node: Node) -> Undo:
    """Return what restores a node as it is now."""
    if node.IsA("vtkMRMLSequenceNode"):
        return _undo_sequence(node)
    if node.IsA("vtkMRMLPlotChartNode"):
        return _undo_chart(node)
    if node.IsA("vtkMRMLVolumeNode"):
        return _undo_volume(node)
    if node.IsA("vtkMRMLSequenceBrowserNode"):
        return lambda: None  # it loses the new sequences when they are removed
    copy = node.CreateNodeInstance()
    copy.CopyContent(node)
    return lambda: node.CopyContent(copy)


def _undo_volume(volume: Node) -> Undo:
    image, description = volume.GetImageData(), volume.GetDescription()
    attributes = {name: volume.GetAttribute(name) for name in volume.GetAttributeNames()}
    geometry = None if image is None else node_geometry(volume)
    display = volume.GetVolumeDisplayNode()
    colours = None if display is None else display.GetColorNodeID()

    def restore() -> None:
        volume.SetAndObserveImageData(image)
        volume.SetDescription(description)
        for name, value in attributes.items():
            volume.SetAttribute(name, value)
        if geometry is not None:
            place(volume, geometry)
        if display is not None:
            display.SetAndObserveColorNodeID(colours)

    return restore


def _placed(node: Node) -> Node:
    """Return what lies in space for a node: itself, or the proxy volume of a sequence."""
    return scan_volume(node) if node.IsA("vtkMRMLSequenceNode") else node


def _undo_transform(node: Node) -> Undo:
    transform_id, followed = node.GetTransformNodeID(), node.GetNodeReferenceID(FOLLOWED)

    def restore() -> None:
        put_under(node, transform_id)
        node.SetNodeReferenceID(FOLLOWED, followed)

    return restore


def _undo_sequence(sequence: Node) -> Undo:
    """Keep the frames' image data, which whoever refills the sequence replaces and does not overwrite."""
    scratch = slicer.vtkMRMLSequenceNode()
    for k in range(sequence.GetNumberOfDataNodes()):
        frame = sequence.GetNthDataNode(k)
        _share_frame(frame, scratch, sequence.GetNthIndexValue(k))

    def restore() -> None:
        sequence.RemoveAllDataNodes()
        for k in range(scratch.GetNumberOfDataNodes()):
            _share_frame(scratch.GetNthDataNode(k), sequence, scratch.GetNthIndexValue(k))

    return restore


def _share_frame(frame: Node, sequence: Node, index: str) -> None:
    """Add a frame to a sequence without copying its voxels."""
    empty = frame.CreateNodeInstance()
    empty.SetName(frame.GetName())
    added = sequence.SetDataNodeAtValue(empty, index)
    added.SetAndObserveImageData(frame.GetImageData())
    place(added, node_geometry(frame))


def _undo_chart(chart: Node) -> Undo:
    copy = chart.CreateNodeInstance()
    copy.CopyContent(chart)
    series = [chart.GetNthPlotSeriesNodeID(k) for k in range(chart.GetNumberOfPlotSeriesNodes())]

    def restore() -> None:
        chart.CopyContent(copy)
        chart.RemoveAllPlotSeriesNodeIDs()
        for one in series:
            chart.AddAndObservePlotSeriesNodeID(one)

    return restore


def _hierarchy() -> Node:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def _items() -> list[int]:
    """Return the subject hierarchy items without a node: folders, studies, subjects."""
    found = vtk.vtkIdList()
    hierarchy = _hierarchy()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    items = [found.GetId(k) for k in range(found.GetNumberOfIds())]
    return [item for item in items if hierarchy.GetItemDataNode(item) is None]


def _remove_folders(known: set[int]) -> None:
    for item in _items():
        if item not in known:
            _hierarchy().RemoveItem(item, False, False)
