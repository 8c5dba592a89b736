"""Nodes that PyPeT owns: found again by role and scan, so that the next Apply updates them; and volumes as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from vtk.util import numpy_support

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry

#: A node of the scene; slicer and vtk carry no types.
Node = Any

#: Node attribute that says what PyPeT uses a node for, and node reference that says for which scan.
ROLE, SCAN = "PyPeT.Role", "PyPeT.Scan"
#: Reference of a node to itself. The user's copy of a map keeps role, scan and this reference, which then leads to the
#: original: the copy is the user's. Slicer keeps references right when scenes are added; it would not an attribute.
SELF = "PyPeT.Self"
#: Reference of a node to the transform of the scan that it followed last.
FOLLOWED = "PyPeT.Transform"


def own_node(class_name: str, name: str, role: str, scan: Node) -> Node:
    """Return the node that plays a role for a scan; it is made where the scene has none.

    Parameters
    ----------
    class_name : str
        e.g. "vtkMRMLScalarVolumeNode".
    name : str
        Name of a new node; an existing one keeps its own.
    role : str
        What it is for, e.g. "map.cbf".
    scan : vtkMRMLNode
        The scan it belongs to.
    """
    found = find_node(role, scan)
    if found is not None and found.IsA(class_name):
        return found
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    node.SetAttribute(ROLE, role)
    node.SetNodeReferenceID(SCAN, scan.GetID())
    node.SetNodeReferenceID(SELF, node.GetID())
    return node


def find_node(role: str, scan: Node) -> Node | None:
    """Return the node that plays a role for a scan, or None."""
    playing = (node for node in scene_nodes() if node.GetAttribute(ROLE) == role)
    return next((node for node in playing if _is_of(node, scan)), None)


def own_nodes(scan: Node) -> Iterator[Node]:
    """Yield every node that PyPeT made for a scan, no copy that the user made of one."""
    for node in scene_nodes():
        if node.GetAttribute(ROLE) and _is_of(node, scan):
            yield node


def _is_of(node: Node, scan: Node) -> bool:
    return is_own(node) and node.GetNodeReferenceID(SCAN) == scan.GetID()


def is_own(node: Node) -> bool:
    """Tell whether PyPeT made a node."""
    return bool(node.GetAttribute(ROLE)) and node.GetNodeReferenceID(SELF) == node.GetID()


def follow_transform(node: Node, transform_id: str | None) -> None:
    """Put a node under the transform of its scan, unless the user put it under another one, or took it out."""
    if node.GetTransformNodeID() in (node.GetNodeReferenceID(FOLLOWED), transform_id):
        put_under(node, transform_id)
        node.SetNodeReferenceID(FOLLOWED, transform_id)


def put_under(node: Node, transform_id: str | None) -> None:
    """Put a node under a transform, or under none."""
    if node.GetTransformNodeID() != transform_id:
        node.SetAndObserveTransformNodeID(transform_id)


def scene_nodes() -> Iterator[Node]:
    """Yield every node that the scene has now; an item by its number would be looked for from the first on."""
    return iter(list(slicer.mrmlScene.GetNodes()))


@contextmanager
def leaving_no_nodes() -> Iterator[None]:
    """Remove whatever was added to the scene meanwhile: slicer.util leaves display nodes of its temporary volumes."""
    known = {node.GetID() for node in scene_nodes()}
    try:
        yield
    finally:
        for node in [node for node in scene_nodes() if node.GetID() not in known]:
            slicer.mrmlScene.RemoveNode(node)


def remove_node(node: Node) -> None:
    """Remove a node with its subject hierarchy item, its display and storage nodes, and its place in any browser."""
    if node.IsA("vtkMRMLSequenceNode"):
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode"):
            if browser.IsSynchronizedSequenceNode(node, True):
                browser.RemoveSynchronizedSequenceNode(node.GetID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.RemoveItem(item, False, False)
    displays = [node.GetNthDisplayNode(k) for k in range(node.GetNumberOfDisplayNodes())] if _displayable(node) else []
    storages = [node.GetStorageNode()] if node.IsA("vtkMRMLStorableNode") else []
    for one in (node, *displays, *storages):
        if one is not None:
            slicer.mrmlScene.RemoveNode(one)


def node_name(node: Node) -> str:
    """Return a node's name, "scan" where it has none."""
    return str(node.GetName() or "scan")


def node_geometry(volume: Node) -> Geometry:
    """Return the grid of a volume node in LPS: signs change, no digit does.

    Raises
    ------
    InputError
        If the volume holds no voxels.
    """
    image = volume.GetImageData()
    if image is None or min(image.GetDimensions()) < 1:
        raise InputError(f"Volume {node_name(volume)}: voxels are needed; found none. Load it again.")
    directions = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(directions)
    to_lps = (-1.0, -1.0, 1.0)
    axes = tuple(to_lps[row] * directions.GetElement(row, column) + 0.0 for row in range(3) for column in range(3))
    x, y, z = volume.GetOrigin()
    return Geometry(tuple(image.GetDimensions()), tuple(volume.GetSpacing()), (0.0 - x, 0.0 - y, z), axes)


def place(volume: Node, geometry: Geometry) -> None:
    """Put a volume node where an LPS grid lies."""
    x, y, z = geometry.origin_mm
    volume.SetOrigin(0.0 - x, 0.0 - y, z)
    volume.SetSpacing(*geometry.spacing_mm)
    to_ras = np.diag((-1.0, -1.0, 1.0)) @ geometry.axes + 0.0
    volume.SetIJKToRASDirections(*(float(value) for value in to_ras.ravel()))


def new_image(shape: tuple[int, ...], dtype: npt.DTypeLike, components: int = 1) -> tuple[Any, npt.NDArray[Any]]:
    """Return a new vtkImageData, and its voxels as a writable array as `image_values` does."""
    image = vtk.vtkImageData()
    image.SetDimensions(*shape[::-1])
    image.AllocateScalars(numpy_support.get_vtk_array_type(np.dtype(dtype)), components)
    return image, image_values(image)


def image_values(image: Any) -> npt.NDArray[Any]:
    """Return the voxels of a vtkImageData as a view, shape (z, y, x), or (z, y, x, component) where there are more."""
    values: npt.NDArray[Any] = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    components = image.GetNumberOfScalarComponents()
    shape = image.GetDimensions()[::-1]
    return values.reshape(shape if components == 1 else (*shape, components))


def put_values(volume: Node, values: npt.NDArray[Any], geometry: Geometry) -> None:
    """Give a volume node new voxels (one copy) and their grid; the former image data stay as they were."""
    image, voxels = new_image(values.shape, values.dtype)
    voxels[...] = values
    place(volume, geometry)
    volume.SetAndObserveImageData(image)


def _displayable(node: Node) -> bool:
    return bool(node.IsA("vtkMRMLDisplayableNode"))
