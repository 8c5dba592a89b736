"""A whole analysis in the scene: a folder under the scan's study; the next Apply updates the same nodes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import slicer

from PyPeTLib.errors import InputError
from PyPeTLib.pipeline import analyze
from PyPeTLib.records import Analysis, Image, Progress, silent
from PyPeTLib.settings import Settings
from PyPeTScene.bootstrap import check_target
from PyPeTScene.curves import brain_regions, show_tissue_curves, show_vessel_curves
from PyPeTScene.maps import show_maps
from PyPeTScene.masks import mask_from_segment, show_masks
from PyPeTScene.nodes import Node, node_name, own_nodes
from PyPeTScene.restore import unchanged_on_error
from PyPeTScene.series import scan_of, scan_volume, series_from_node
from PyPeTScene.stages import show_enhancement, stage_browser

#: A segment: its segmentation node and its identity.
Segment = tuple[Node, str]
#: Attribute of the subject hierarchy folder that holds the nodes of one scan: the scan's node ID.
FOLDER = "PyPeT.Folder"


@dataclass(frozen=True)
class SceneNodes:
    """The nodes of one analysis, by ID (``slicer.mrmlScene.GetNodeByID``).

    Parameters
    ----------
    scan : str
        The scan.
    folder : int
        Subject hierarchy item of the folder.
    maps : mapping of str to str
        Map volumes by name.
    segmentation : str
        Brain, arterial input and venous output; segment identities are in ``masks.SEGMENTS``.
    enhancement, enhancement_volume, browser : str
        Enhancement over time: sequence, proxy volume, and the browser to scroll it with.
    curves, curves_chart, tissue, tissue_chart : str
        Table and chart of vessels, table and chart of tissue.
    """

    scan: str
    folder: int
    maps: Mapping[str, str] = field(default_factory=dict)
    segmentation: str = ""
    enhancement: str = ""
    enhancement_volume: str = ""
    browser: str = ""
    curves: str = ""
    curves_chart: str = ""
    tissue: str = ""
    tissue_chart: str = ""


def process(
    scan_node: Node,
    settings: Settings | None = None,
    *,
    interval_s: float | None = None,
    brain: Segment | None = None,
    aif: Segment | None = None,
    vof: Segment | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[Analysis, SceneNodes]:
    """Analyse a scan of the scene and show the result; the scene changes only at the end, and as a whole.

    Parameters
    ----------
    scan_node : vtkMRMLSequenceNode, its proxy volume, or vtkMRMLMultiVolumeNode
        The scan in HU.
    settings : Settings, optional
        What to do.
    interval_s : float, optional
        Time between frames in s, where the scan does not tell.
    brain, aif, vof : tuple of segmentation node and segment identity, optional
        Segments to be used instead of what is found automatically.
    force, progress
        As for ``PyPeTLib.analyze``.

    Raises
    ------
    InputError, QualityError, Cancelled
        The scene is then as it was.
    """
    series = series_from_node(scan_node, interval_s)
    scan = scan_of(scan_node)
    masks = {name: _mask(segment, scan) for name, segment in (("brain", brain), ("aif", aif), ("vof", vof))}
    analysis = analyze(series, settings, **masks, force=force, progress=progress)
    return analysis, show_analysis(analysis, scan)


def show_analysis(analysis: Analysis, scan_node: Node) -> SceneNodes:
    """Show maps, masks, enhancement and curves of a run; when anything raises, the scene is as before.

    Parameters
    ----------
    analysis : Analysis
        The run.
    scan_node : vtkMRMLNode
        The scan it is of, in the scene.

    Raises
    ------
    InputError
        If the scan is no longer in the scene.
    """
    _check_present(scan_node)
    scan = scan_of(scan_node)
    _check_present(scan)
    with unchanged_on_error(scan):
        maps = show_maps(analysis, scan)
        segmentation = show_masks(analysis, scan, maps["cbf"])
        enhancement, volume = show_enhancement(analysis, scan)
        table, chart = show_vessel_curves(analysis, scan)
        tissue, tissue_chart = show_tissue_curves(analysis, scan, brain_regions(analysis.brain))
        _follow_transform([*maps.values(), segmentation, volume], scan)
        folder = gather(scan, analysis.series.name, [volume])
    return SceneNodes(
        scan=scan.GetID(),
        folder=folder,
        maps={name: node.GetID() for name, node in maps.items()},
        segmentation=segmentation.GetID(),
        enhancement=enhancement.GetID(),
        enhancement_volume=volume.GetID(),
        browser=stage_browser(analysis.series, scan).GetID(),
        curves=table.GetID(),
        curves_chart=chart.GetID(),
        tissue=tissue.GetID(),
        tissue_chart=tissue_chart.GetID(),
    )


def gather(scan: Node, name: str, more: list[Node]) -> int:
    """Put PyPeT's nodes of a scan, and some more, into its folder, except those that the user moved elsewhere.

    Sequences and browsers have no place in the subject hierarchy; their proxy volumes do.

    Returns
    -------
    int
        The folder's item.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    top = hierarchy.GetSceneItemID()
    nodes = [node for node in [*own_nodes(scan), *more] if not node.IsA("vtkMRMLSequenceNode")]
    nodes = [node for node in nodes if not node.IsA("vtkMRMLSequenceBrowserNode")]
    parents = [hierarchy.GetItemParent(item) for item in map(hierarchy.GetItemByDataNode, nodes) if item]
    known = [parent for parent in parents if hierarchy.GetItemAttribute(parent, FOLDER)]
    if known:
        folder = known[0]
    else:
        item = hierarchy.GetItemByDataNode(scan_volume(scan))
        folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(item) if item else top, f"PyPeT {name}")
        hierarchy.SetItemAttribute(folder, FOLDER, scan.GetID())
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if not item:
            hierarchy.CreateItem(folder, node)
        elif hierarchy.GetItemParent(item) == top:
            hierarchy.SetItemParent(item, folder)
    return int(folder)


def save_scene(path: str | Path) -> None:
    """Write the whole scene as one .mrb file, which appears whole or not at all.

    Raises
    ------
    InputError
        If the name does not end in .mrb or the file cannot be written.
    """
    target = Path(path)
    check_target(target, overwrite=True)
    messages = slicer.vtkMRMLMessageCollection()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pypet-") as folder:
        temporary = Path(folder) / target.name  # the name inside the bundle is that of the file
        if not slicer.mrmlScene.WriteToMRB(str(temporary), None, messages) or not temporary.is_file():
            found = messages.GetAllMessagesAsString() or "no reason given"
            raise InputError(f"Scene {target} cannot be written: {found}. Check space and permissions.")
        shutil.move(temporary, target)


def _mask(segment: Segment | None, scan: Node) -> Image | None:
    return None if segment is None else mask_from_segment(*segment, scan_volume(scan))


def _check_present(node: Node) -> None:
    if node is None or not node.GetID() or slicer.mrmlScene.GetNodeByID(node.GetID()) is not node:
        name = "none" if node is None else node_name(node)
        raise InputError(f"Scan {name}: it must be in the scene; it was removed. Load it again and apply.")


def _follow_transform(nodes: list[Node], scan: Node) -> None:
    """Put results under the transform that moves the scan."""
    parent = scan_volume(scan).GetTransformNodeID()
    for node in nodes:
        if node.GetTransformNodeID() != parent:
            node.SetAndObserveTransformNodeID(parent)
