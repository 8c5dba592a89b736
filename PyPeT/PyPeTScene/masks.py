"""Masks into the scene and back: one segmentation with brain, vessels, what is no tissue, and lesions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk

from PyPeTLib.analysis import Lesions, Prepared
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.progress import Progress, silent
from PyPeTScene.nodes import (
    ROLE,
    SCAN,
    Node,
    find_node,
    image_values,
    is_own,
    leaving_no_nodes,
    node_geometry,
    node_name,
    own_node,
    put_under,
    scene_nodes,
)
from PyPeTScene.series import scan_volume

#: Identity, name and colour (RGB from 0 to 1) of the segments; the arterial input is purple wherever it is shown.
#: "choice" is a candidate that the user prefers to the automatic one: the next run does not write over it.
SEGMENTS = {
    "brain": ("PyPeT_brain", "Brain", (0.55, 0.60, 0.66)),
    "aif": ("PyPeT_aif", "AIF", (0.694, 0.302, 1.0)),
    "vof": ("PyPeT_vof", "VOF", (0.310, 0.765, 0.851)),
    "csf": ("PyPeT_csf", "CSF", (0.30, 0.55, 1.0)),
    "vessels": ("PyPeT_vessels", "Large vessels", (0.93, 0.45, 0.35)),
    "bone": ("PyPeT_bone", "Bone rim", (0.95, 0.84, 0.57)),
    "choice": ("PyPeT_aif_choice", "AIF, chosen", (0.85, 0.55, 1.0)),
    "core": ("PyPeT_core", "Core", (1.0, 0.290, 0.322)),
    "hypoperfusion": ("PyPeT_hypoperfusion", "Hypoperfusion", (1.0, 1.0, 1.0)),  # yellow is the colour of late tissue
    "mismatch": ("PyPeT_mismatch", "Mismatch", (0.30, 0.75, 0.35)),
}
#: Terminology entry of each segment: category, type and modifier in the form that Slicer keeps as a segment's tag.
TERMINOLOGY = {
    "brain": "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~"
    "SCT^12738006^Brain~^^~Anatomic codes - DICOM master list~^^~^^",
    "aif": "Segmentation category and type - DICOM master list~SCT^85756007^Tissue~SCT^51114001^Artery~^^~"
    "Anatomic codes - DICOM master list~^^~^^",
    "vof": "Segmentation category and type - DICOM master list~SCT^85756007^Tissue~SCT^29092000^Vein~^^~"
    "Anatomic codes - DICOM master list~^^~^^",
    "csf": "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~"
    "SCT^65216001^Cerebrospinal Fluid~^^~Anatomic codes - DICOM master list~^^~^^",
    "vessels": "Segmentation category and type - DICOM master list~SCT^85756007^Tissue~SCT^59820001^Blood vessel~^^~"
    "Anatomic codes - DICOM master list~^^~^^",
    "bone": "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~"
    "SCT^272673000^Bone~^^~Anatomic codes - DICOM master list~^^~^^",
}
TERMINOLOGY["choice"] = TERMINOLOGY["aif"]
for _lesion in ("core", "hypoperfusion", "mismatch"):
    TERMINOLOGY[_lesion] = (
        "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure~"
        "SCT^52674009^Ischemia~^^~Anatomic codes - DICOM master list~^^~^^"
    )
#: Opacity of the filling in slice views: brain and lesions are outlines, for colours of a map are its values.
FILLING = {"brain": 0.0, "aif": 0.7, "vof": 0.3, "csf": 0.3, "vessels": 0.3, "bone": 0.3, "choice": 0.0}
FILLING.update({"core": 0.0, "hypoperfusion": 0.0, "mismatch": 0.3})
#: What is not shown until the user switches it on: it would cover the maps, and mismatch is between two outlines.
HIDDEN = frozenset({"csf", "vessels", "bone", "mismatch"})
#: Tags of a segment: its key, and what tells whether it still holds what PyPeT wrote.
MASK, WRITTEN = "PyPeT.Mask", "PyPeT.Written"
#: Attribute of the display of a segmentation that PyPeT hid while another scan is looked at.
ASIDE = "PyPeT.Aside"
#: What a segment may consist of.
LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


def show_masks(
    analysis: Prepared, scan: Node, reference: Node, *, kept: Collection[str] = (), progress: Progress = silent
) -> Node:
    """Put the masks of a run into the scan's segmentation; a segment without voxels (no vein, a curve) is removed.

    CSF, large vessels and bone are there to be looked at: they are found anew in every run.

    Parameters
    ----------
    analysis : Prepared
        The run.
    scan : vtkMRMLNode
        The scan it is of.
    reference : vtkMRMLScalarVolumeNode
        A volume of the scene on the scan's grid: it gives the segmentation its geometry.
    kept : collection of str
        Identities of segments that stay as they are: those that the user gave the run are the user's.
    progress : callable
        ``progress(fraction, text)`` between segments; raising from it cancels.
    """
    vof = None if analysis.vof is None else analysis.vof.mask
    masks = {"brain": analysis.brain, "aif": analysis.aif.mask, "vof": vof, "csf": analysis.csf}
    masks.update({"vessels": analysis.vessels, "bone": analysis.bone})
    segmentation = _segmentation(scan, reference, analysis.series.name)
    for done, (key, mask) in enumerate(masks.items()):
        if done:
            progress(done / len(masks), "")
        if SEGMENTS[key][0] not in kept or find_segment(segmentation, key) is None:
            _put_or_remove(segmentation, key, mask, reference)
    return segmentation


def show_lesions(lesions: Lesions, segmentation: Node, reference: Node) -> None:
    """Put core, hypoperfusion and mismatch into a scan's segmentation; those without voxels, or not known, go."""
    known = dict(lesions.masks())
    for key in ("core", "hypoperfusion", "mismatch"):
        _put_or_remove(segmentation, key, known.get(key), reference)


def _put_or_remove(segmentation: Node, key: str, mask: Image | None, reference: Node) -> None:
    """Write a mask; without voxels (the user's curve was measured in none) its segment goes."""
    if mask is not None and mask.values.any():
        put_mask(segmentation, key, mask, reference)
    else:
        set_edited_aside(segmentation, key)
        segmentation.GetSegmentation().RemoveSegment(SEGMENTS[key][0])


@contextmanager
def keeping_surfaces(scan: Node) -> Iterator[None]:
    """Make the surfaces of the scan's segments anew at the end, where the user shows them in 3D: writing drops them."""
    segmentation = find_node("segmentation", scan)
    shown = segmentation is not None and segmentation.GetSegmentation().ContainsRepresentation(SURFACE)
    yield
    written = find_node("segmentation", scan)
    if shown and written is not None:
        written.CreateClosedSurfaceRepresentation()


def show_mask(key: str, mask: Image, scan: Node, reference: Node, name: str) -> Node:
    """Put one mask, by its key in `SEGMENTS`, into the scan's segmentation, which is made where there is none."""
    segmentation = _segmentation(scan, reference, name)
    put_mask(segmentation, key, mask, reference)
    return segmentation


def show_only_masks_of(scan: Node) -> None:
    """Hide PyPeT's masks of other scans, which would be drawn on this one; show this one's where PyPeT hid them."""
    for node in scene_nodes():
        if node.GetAttribute(ROLE) != "segmentation" or not is_own(node) or node.GetDisplayNode() is None:
            continue
        looks, mine = node.GetDisplayNode(), node.GetNodeReferenceID(SCAN) == scan.GetID()
        if mine and looks.GetAttribute(ASIDE):
            looks.SetAttribute(ASIDE, None)
            looks.SetVisibility(True)
        elif not mine and looks.GetVisibility():
            looks.SetAttribute(ASIDE, "1")
            looks.SetVisibility(False)


def _segmentation(scan: Node, reference: Node, name: str) -> Node:
    """Return the scan's segmentation with the geometry of a volume; it is made where there is none."""
    segmentation = own_node("vtkMRMLSegmentationNode", f"{name} masks", "segmentation", scan)
    if segmentation.GetDisplayNode() is None:
        segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    return segmentation


def put_mask(segmentation: Node, key: str, mask: Image, reference: Node) -> None:
    """Write a mask into its segment, found by its identity; its looks and tags are given when it is made.

    What the user made of the segment since it was written last stays, as a segment of its own.
    """
    identity, name, colour = SEGMENTS[key]
    _check_grid(mask, reference)
    set_edited_aside(segmentation, key)
    if segmentation.GetSegmentation().GetSegment(identity) is None:
        segmentation.GetSegmentation().AddEmptySegment(identity, name, colour)
        segment = segmentation.GetSegmentation().GetSegment(identity)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY[key])
        segment.SetTag(MASK, key)
        segmentation.GetDisplayNode().SetSegmentOpacity2DFill(identity, FILLING[key])
        segmentation.GetDisplayNode().SetSegmentVisibility(identity, key not in HIDDEN)
    voxels = np.ascontiguousarray(mask.values, dtype=np.uint8)
    with leaving_no_nodes(), _under(segmentation, reference.GetTransformNodeID()):  # its grid is the volume's
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, identity, reference)
    _sign(segmentation.GetSegmentation().GetSegment(identity))


def is_edited(segmentation: Node | None, key: str) -> bool:
    """Tell whether a segment of PyPeT's holds other voxels than those that PyPeT wrote; an empty one holds nothing."""
    if find_segment(segmentation, key) is None:
        return False
    assert segmentation is not None
    segment, written = segmentation.GetSegmentation().GetSegment(SEGMENTS[key][0]), vtk.reference("")
    segment.GetTag(WRITTEN, written)
    return str(written) != _fingerprint(segment)


def set_edited_aside(segmentation: Node, key: str) -> None:
    """Copy a segment of PyPeT's that the user edited into one of the user's, so that it can be written again."""
    if not is_edited(segmentation, key):
        return
    segments, identity = segmentation.GetSegmentation(), SEGMENTS[key][0]
    segment, copy = segments.GetSegment(identity), slicer.vtkSegment()
    copy.DeepCopy(segment)
    name = f"{segment.GetName()}, edited"
    others = sum(segments.GetSegment(one).GetName().startswith(name) for one in segments.GetSegmentIDs())
    copy.SetName(f"{name} {others + 1}" if others else name)
    copy.RemoveTag(WRITTEN)
    copy.RemoveTag(MASK)
    new = segments.GenerateUniqueSegmentID(f"{identity}_edited")
    segments.AddSegment(copy, new)
    segmentation.GetDisplayNode().SetSegmentOpacity2DFill(new, FILLING[key])
    _sign(segment)


def _sign(segment: Node) -> None:
    """Remember what a segment holds, also in a scene that is saved."""
    segment.SetTag(WRITTEN, _fingerprint(segment))


def _fingerprint(segment: Node) -> str:
    """Return what changes with the voxels of a segment, and neither with its file nor with what shares its labelmap."""
    image = segment.GetRepresentation(LABELMAP)
    if not _has_voxels(segment) or image is None:
        return ""
    inside = image_values(image) == segment.GetLabelValue()
    for axis in range(3):  # the labelmap's extent may be any that holds the segment
        others = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(inside.any(axis=others))
        inside = inside.take(range(found[0], found[-1] + 1), axis)
    return hashlib.blake2b(repr(inside.shape).encode() + np.packbits(inside).tobytes(), digest_size=8).hexdigest()


def mask_from_segment(segmentation: Node, segment_id: str, reference: Node) -> Image:
    """Return a segment as a mask on the grid of a volume, bool.

    Parameters
    ----------
    segmentation : vtkMRMLSegmentationNode
        Where to look.
    segment_id : str
        Identity of the segment; a name is taken as well.
    reference : vtkMRMLVolumeNode
        The volume whose grid the mask shall have; need not be in the scene.

    Raises
    ------
    InputError
        If segmentation or segment are gone, or the segment has no voxel on that grid.
    """
    if segmentation is None or slicer.mrmlScene.GetNodeByID(segmentation.GetID() or "") is None:
        raise InputError("Mask: a segmentation of the scene is needed; it was deleted. Select another one.")
    segments, name = segmentation.GetSegmentation(), node_name(segmentation)
    identity = segment_identity(segmentation, segment_id)
    if not identity:
        have = ", ".join(segments.GetSegmentIDs()) or "none"
        raise InputError(f"Mask: segment '{segment_id}' of {name} is needed; found {have}. Select one of these.")
    geometry, segment = node_geometry(reference), segments.GetSegment(identity)
    seen = segment.GetName() or identity  # identities are made of letters by chance, and shown nowhere
    if not _has_voxels(segment):
        raise InputError(f"Mask: segment '{seen}' of {name} with voxels is needed; it is empty. Paint it.")
    values = _values(segmentation, identity, reference)
    if values.shape != geometry.shape or not values.any():
        raise InputError(
            f"Mask: segment '{seen}' of {name} must overlap the scan, {geometry.describe()}; "
            "found no voxel in it. Draw the segment on this scan."
        )
    return Image(values, geometry)


def segment_identity(segmentation: Node, segment_id: str) -> str:
    """Return the identity of a segment given by identity or name, "" where there is none."""
    segments = segmentation.GetSegmentation()
    known = segment_id in segments.GetSegmentIDs()
    return str(segment_id if known else segments.GetSegmentIdBySegmentName(segment_id or ""))


def find_segment(segmentation: Node | None, key: str) -> str | None:
    """Return the identity of the segment of a key in `SEGMENTS`; None where there is none with voxels."""
    if segmentation is None:
        return None
    segment = segmentation.GetSegmentation().GetSegment(SEGMENTS[key][0])
    return SEGMENTS[key][0] if segment is not None and _has_voxels(segment) else None


def _values(segmentation: Node, identity: str, reference: Node) -> Any:
    """Return the voxels of a segment; an array of any other shape where it does not reach the grid."""
    try:
        with leaving_no_nodes(), _under(segmentation, _place_of(segmentation)):
            return slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identity, reference) > 0
    except (RuntimeError, AttributeError, ValueError):
        return np.zeros((0, 0, 0), dtype=bool)


def _place_of(segmentation: Node) -> str | None:
    """Return the transform under which a segmentation is read: PyPeT's own masks are on their scan, wherever it is.

    They follow a scan that was moved only when something is shown of it; or the user registered them with the maps.
    """
    scan = segmentation.GetNodeReference(SCAN) if is_own(segmentation) else None
    identity = (segmentation if scan is None else scan_volume(scan)).GetTransformNodeID()
    return None if identity is None else str(identity)


@contextmanager
def _under(segmentation: Node, transform_id: str | None) -> Iterator[None]:
    """Put a segmentation under a transform for a while."""
    former = segmentation.GetTransformNodeID()
    put_under(segmentation, transform_id)
    try:
        yield
    finally:
        put_under(segmentation, former)


def _has_voxels(segment: Node) -> bool:
    """Tell whether any representation of a segment holds something."""
    image = segment.GetRepresentation(LABELMAP)
    if image is None:
        names: list[str] = []
        segment.GetContainedRepresentationNames(names)
        return bool(names)
    if not image.GetNumberOfPoints():
        return False
    return bool((image_values(image) == segment.GetLabelValue()).any())  # segments may share a labelmap


def _check_grid(mask: Image, reference: Node) -> None:
    grid = node_geometry(reference)
    if not mask.geometry.matches(grid):
        need, found = grid.told_apart(mask.geometry)
        raise InputError(f"Mask: the scan's grid is needed, {need}; found {found}. Draw it on the scan.")
