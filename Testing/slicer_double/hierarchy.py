"""Subject hierarchy items of data nodes: in the application Qt plug-ins make them, in slicer-core nobody does.

As in the application: volumes, segmentations, models, markups, transforms, tables, texts, plot charts and plot series
get an item below the scene when they are added, unless hidden from editors or imported with a hierarchy of their own.
**Sequences and sequence browsers get none**; the proxy volume of a sequence does.
"""

from __future__ import annotations

import slicer
import vtk

# Node class: name of the plug-in that owns its item. Labelmaps before the scalar volumes they derive from.
OWNERS = {
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
}


def observe_hierarchy(scene: slicer.vtkMRMLScene) -> None:
    """Keep the subject hierarchy of ``scene`` complete from now on."""
    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, _node_added)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, _node_about_to_be_removed)
    for event in ("EndImportEvent", "EndBatchProcessEvent", "EndCloseEvent", "EndRestoreEvent"):
        scene.AddObserver(getattr(slicer.vtkMRMLScene, event), _complete)
    _hierarchy(scene)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _node_added(scene, _event, node) -> None:
    if node.IsA("vtkMRMLSubjectHierarchyNode"):
        _hierarchy(scene)
    elif not scene.IsImporting():
        _add(_hierarchy(scene), node)


@vtk.calldata_type(vtk.VTK_OBJECT)
def _node_about_to_be_removed(scene, _event, node) -> None:
    if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
        return
    hierarchy = _hierarchy(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.RemoveItem(item, False, False)


def _complete(scene, _event) -> None:
    """After an import, a batch or a close: merge hierarchies, then add what is missing."""
    hierarchy = _hierarchy(scene)
    for node in slicer.util.getNodesByClass("vtkMRMLNode", scene):
        if not hierarchy.GetItemByDataNode(node):
            _add(hierarchy, node)


def _add(hierarchy: slicer.vtkMRMLSubjectHierarchyNode, node: slicer.vtkMRMLNode) -> None:
    owner = next((owner for name, owner in OWNERS.items() if node.IsA(name)), None)
    if owner and not node.GetHideFromEditors():
        hierarchy.CreateItem(hierarchy.GetSceneItemID(), node, owner)


def _hierarchy(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSubjectHierarchyNode:
    """Return the one hierarchy of the scene; made, or merged with an imported one, if needed."""
    return slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
