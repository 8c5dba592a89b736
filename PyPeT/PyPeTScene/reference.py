"""A map of the scene beside a reference map that the user picks: volumes to images, and the metrics as a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import slicer
import vtk

from PyPeTLib.compare import Findings, compare_findings
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.lesion_facts import RESEARCH_USE
from PyPeTLib.pairing import Pair, describe_resampling, mask_on, pair_up
from PyPeTLib.settings import Settings
from PyPeTLib.similarity import Similarity, pair_similarity, similarity_entries
from PyPeTScene.curves import put_columns
from PyPeTScene.maps import UNIT
from PyPeTScene.nodes import ROLE, SCAN, Node, find_node, image_values, node_geometry, node_name, own_node
from PyPeTScene.numbers import SIMILARITY
from PyPeTScene.series import scan_of, scan_volume
from PyPeTScene.study import in_study

#: Roles of the maps that regions rest on: Tmax, and the standard deviation of the delay where the method gives one.
TMAX, DELAY_SD = "map.tmax", "map.delay_sd"
#: What regions rest on, by whether the scene has that standard deviation of the map's run and of the reference's: in a
#: run tissue whose delay is hardly known is left out.
BASES = {
    (True, True): "Regions rest on the standard deviation of the delay, too, in both maps.",
    (True, False): "Regions of the map rest on the standard deviation of the delay, too; those of the reference are by "
    "the values of Tmax alone, for the scene has no such map of its run.",
    (False, True): "Regions of the reference rest on the standard deviation of the delay, too; those of the map are by "
    "the values of Tmax alone, for the scene has no such map of its run.",
    (False, False): "Regions are by the values of Tmax alone, in both maps: the scene has no standard deviation of the "
    "delay of either run.",
}
#: What is to be done about a transform that is not linear: of a map or reference, and of the scan, which has the masks.
CURES = {
    "Scan": "Take the scan and its maps out of it and compare there.",
    "": "Harden the transform on a copy of the volume, and select that.",
}
#: What is said of regions: a run has the flow to join it by, a comparison of Tmax alone has not.
NO_FLOW = "Tissue that hardly any blood reaches, which a run joins to its hypoperfusion, counts by its own Tmax."
#: What is said of regions where the scene has no segment of large vessels.
NO_VESSELS = "No large vessels are in the scene: tissue beside them counts by its own values."


def compare(
    map_volume: Node,
    reference_volume: Node,
    brain: Image | None,
    scan_node: Node,
    *,
    tissue: Image | None = None,
    vessels: Image | None = None,
    settings: Settings | None = None,
) -> tuple[Similarity, Node]:
    """Compare a map with a reference and show the metrics; when anything raises, the scene is as before.

    Parameters
    ----------
    map_volume, reference_volume : vtkMRMLScalarVolumeNode
        Two maps of the same quantity, on any grids; `map_image` says what is refused.
    brain : Image or None
        Brain mask on the scan's grid; it is moved with the scan by the transform that the scan is under.
    scan_node : vtkMRMLNode
        The scan that the map is of, or its proxy volume.
    tissue : Image, optional
        The brain without CSF, large vessels and bone, on the scan's grid: where regions of Tmax are measured. Without
        it, the brain.
    vessels : Image, optional
        Large vessels, on the scan's grid: beside them regions are those of the tissue around.
    settings : Settings, optional
        Those of the run, for ``smallest_lesion_ml``.

    Returns
    -------
    Similarity, vtkMRMLTableNode
        The metrics, and the table of `show_similarity`. Where the map is a Tmax map of PyPeT's they have the regions of
        Tmax > 4, 6, 8 and 10 s, as ``pypet compare`` finds them: by the standard deviation of the delay as well where
        the scene has that of the map's run, or of the reference's. Other thresholds need more maps than one.

    Raises
    ------
    InputError
        If a volume cannot be taken, the map is of another scan, both are the same, they share no voxel of the mask, or
        the scan is gone.
    """
    scan = scan_of(scan_node)
    owner = None if map_volume is None else map_volume.GetNodeReference(SCAN)
    if owner is not None and owner is not scan:
        raise InputError(
            f"Comparison: a map of the selected scan {node_name(scan)} is needed; found {node_name(map_volume)}, which "
            f"is of {node_name(owner)}. Select a map of this scan, or that scan; as the reference any map will do."
        )
    if map_volume is not None and map_volume is reference_volume:
        name = node_name(map_volume)
        raise InputError(f"Comparison: two volumes are needed; found {name} twice. Select another reference.")
    masks = (brain, tissue or brain, vessels)
    mask, part, beside = (None if one is None else _moved(one, scan_volume(scan), "Scan") for one in masks)
    image, other = map_image(map_volume), map_image(reference_volume, "Reference")
    pair = pair_up(image, other, mask)
    result = pair_similarity(pair)
    if map_volume.GetAttribute(ROLE) == TMAX:
        sds = _sds(map_volume), _sds(reference_volume)
        found = _findings(pair, part, beside, sds, settings or Settings())
        result = replace(result, regions=found.regions, remarks=(*result.remarks, *found.remarks))
    with in_study(scan_node, node_name(scan)):
        table = show_similarity(result, scan)
        about = f"{node_name(map_volume)} compared with {node_name(reference_volume)}."
        moved = describe_resampling(other.geometry, image.geometry)
        resampling = [f"The reference is {moved}."] * bool(moved)
        table.SetDescription(" ".join([about, RESEARCH_USE, *resampling, *result.remarks]))
    return result, table


def map_image(volume: Node, what: str = "Map") -> Image:
    """Return the voxels of a scalar volume where they lie in the scene: a linear transform is applied to the grid.

    Parameters
    ----------
    volume : vtkMRMLScalarVolumeNode
        A map; its unit is the node attribute "PyPeT.Unit", "" where there is none.
    what : str
        What error messages call it.

    Raises
    ------
    InputError
        If there is no volume, it holds no voxels, labels or several numbers a voxel (colour, time, vectors), or is
        under a transform that is not linear.
    """
    if volume is None or not volume.IsA("vtkMRMLScalarVolumeNode"):
        found = "none" if volume is None else f"{node_name(volume)}, a {volume.GetNodeTagName()}"
        raise InputError(f"{what}: a volume with one number a voxel is needed; found {found}. Select a map.")
    geometry, components = node_geometry(volume), volume.GetImageData().GetNumberOfScalarComponents()
    if volume.IsA("vtkMRMLLabelMapVolumeNode") or components != 1:
        found = f"{components} numbers a voxel" if components != 1 else "labels"
        raise InputError(
            f"{what} {node_name(volume)}: a volume with one measured number a voxel is needed; found {found}. "
            "Select the map itself, not a picture or a segmentation of it."
        )
    image = Image(image_values(volume.GetImageData()), geometry, volume.GetAttribute(UNIT) or "")
    return _moved(image, volume, what)


def show_similarity(result: Similarity, scan: Node) -> Node:
    """Return the table of a scan's comparison, with its new content: metric, value and unit, a row each.

    Values have every digit; what is not defined is NaN, and the table's description says why, and that all is for
    research only.
    """
    table = own_node("vtkMRMLTableNode", f"{node_name(scan)} similarity", SIMILARITY, scan)
    metrics, values, units = zip(*similarity_entries(result), strict=True)
    put_columns(table, {"Metric": metrics, "Value": values, "Unit": units})
    table.SetDescription(" ".join([RESEARCH_USE, *result.remarks]))
    return table


def _findings(
    pair: Pair,
    tissue: Image | None,
    vessels: Image | None,
    sds: tuple[dict[str, Image], dict[str, Image]],
    settings: Settings,
) -> Findings:
    """Return what lies beyond the thresholds of Tmax in both maps, and what that rests on.

    No plane is handed on, for the scene has none: relative values need it, and thresholds of Tmax do not.
    """
    within, beside = (None if one is None else mask_on(one, pair.image.geometry) for one in (tissue, vessels))
    within = pair.compared if within is None else within
    found = compare_findings({"tmax": pair}, within, None, sds=sds, settings=settings, vessels=beside)
    basis = BASES[bool(sds[0]), bool(sds[1])]
    return replace(found, remarks=(basis, NO_FLOW, *[NO_VESSELS] * (vessels is None), *found.remarks))


def _sds(tmax: Node) -> dict[str, Image]:
    """Return the standard deviation of the delay in s of the run that a Tmax map is of, where the scene has it.

    A copy of a map keeps role and scan; what is beside the original may by now be of a later run.
    """
    scan = tmax.GetNodeReference(SCAN)
    if scan is None or find_node(TMAX, scan) is not tmax:
        return {}
    volume = find_node(DELAY_SD, scan)
    return {} if volume is None else {"delay": map_image(volume, "Standard deviation")}


def _moved(image: Image, volume: Node, what: str = "Map") -> Image:
    """Return an image where the transform that a volume is under puts it."""
    transform = volume.GetParentTransformNode()
    if transform is None:
        return image
    if not transform.IsTransformToWorldLinear():
        raise InputError(
            f"{what} {node_name(volume)}: no transform, or a linear one, is needed; found {node_name(transform)}, "
            f"which is not linear. {CURES.get(what, CURES[''])}"
        )
    to_world = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(to_world)
    return Image(image.values, _transformed(image.geometry, slicer.util.arrayFromVTKMatrix(to_world)), image.unit)


def _transformed(geometry: Geometry, ras: np.ndarray) -> Geometry:
    """Return a grid after a linear transform of RAS coordinates, shape (4, 4)."""
    to_lps = np.diag((-1.0, -1.0, 1.0, 1.0))
    lps = to_lps @ ras @ to_lps
    steps = lps[:3, :3] @ geometry.axes * geometry.spacing_mm
    spacing = np.linalg.norm(steps, axis=0)
    origin = lps[:3, :3] @ geometry.origin_mm + lps[:3, 3]
    axes = steps / np.where(spacing > 0, spacing, 1.0)
    return Geometry(geometry.size, tuple(spacing.tolist()), tuple(origin.tolist()), tuple(axes.ravel().tolist()))
