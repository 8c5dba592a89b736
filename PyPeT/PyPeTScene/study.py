"""A whole analysis in the scene: a folder under the scan's study; the next Apply updates the same nodes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import slicer

from PyPeTLib.chunks import share
from PyPeTLib.errors import InputError
from PyPeTLib.pipeline import PREPARED, finish, prepare
from PyPeTLib.records import Analysis, Image, Prepared, Progress, Series, silent
from PyPeTLib.settings import Settings
from PyPeTScene.bootstrap import check_target
from PyPeTScene.curves import brain_regions, show_bolus, show_tissue_curves, show_vessel_curves, stale_plots
from PyPeTScene.maps import show_maps, stale_maps
from PyPeTScene.masks import mask_from_segment, show_mask, show_masks
from PyPeTScene.nodes import Node, node_name, own_nodes, remove_node
from PyPeTScene.numbers import show_candidates, show_numbers
from PyPeTScene.restore import unchanged_on_error
from PyPeTScene.series import scan_of, scan_volume, sequence_browser, series_from_node
from PyPeTScene.stages import show_enhancement, stage_browser

#: A segment: its segmentation node and its identity.
Segment = tuple[Node, str]
#: Attribute of the subject hierarchy folders that hold PyPeT's nodes.
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
    curves, curves_chart, bolus_chart, tissue, tissue_chart : str
        Table and chart of vessels, chart of the bolus with its arrival, table and chart of tissue.
    medians : str
        Table of the maps' medians over the brain.
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
    bolus_chart: str = ""
    tissue: str = ""
    tissue_chart: str = ""
    medians: str = ""


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
    before, after = share(progress, 0.0, PREPARED), share(progress, PREPARED, 1.0)
    prepared = prepare_scan(
        scan_node, settings, interval_s=interval_s, brain=brain, aif=aif, vof=vof, force=force, progress=before
    )
    analysis = finish(prepared, force=force, progress=after)
    return analysis, show_analysis(analysis, scan_node)


def prepare_scan(
    scan_node: Node,
    settings: Settings | None = None,
    *,
    interval_s: float | None = None,
    brain: Segment | None = None,
    aif: Segment | None = None,
    vof: Segment | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Prepared:
    """Do the first half of `process`, up to the denoised curves, and show nothing; parameters and errors are the same.

    What is read from a node is read here: nodes may change or go while the library works.
    """
    series = series_from_node(scan_node, interval_s)
    scan = scan_of(scan_node)
    masks = {name: _mask(segment, scan) for name, segment in (("brain", brain), ("aif", aif), ("vof", vof))}
    return prepare(series, settings, **masks, force=force, progress=progress)


def show_analysis(analysis: Analysis, scan_node: Node) -> SceneNodes:
    """Show maps, masks, enhancement, curves and numbers of a run; when anything raises, the scene is as before.

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
    scan = _present_scan(scan_node)
    with unchanged_on_error(scan):
        maps = show_maps(analysis, scan)
        shown = _show_curves(analysis, scan)
        medians = show_numbers(analysis, scan)
        folder = gather(scan, analysis.series.name)
        for node in [*stale_maps(scan, maps), *stale_plots(scan)]:
            remove_node(node)  # last, because it cannot be undone
    return replace(
        shown, maps={name: node.GetID() for name, node in maps.items()}, medians=medians.GetID(), folder=folder
    )


def show_prepared(prepared: Prepared, scan_node: Node) -> SceneNodes:
    """Show what is known before the maps, as `show_analysis` does: masks, enhancement, curves and candidates."""
    with in_study(scan_node, prepared.series.name) as scan:
        shown = _show_curves(prepared, scan)
        show_candidates(prepared, scan)
    return replace(shown, folder=gather(scan, prepared.series.name))


def _show_curves(prepared: Prepared, scan: Node) -> SceneNodes:
    """Show enhancement, masks and curves."""
    enhancement, volume = show_enhancement(prepared, scan)
    segmentation = show_masks(prepared, scan, volume)
    table, chart = show_vessel_curves(prepared, scan)
    tissue, tissue_chart = show_tissue_curves(prepared, scan, brain_regions(prepared.brain))
    return SceneNodes(
        scan=scan.GetID(),
        folder=0,
        segmentation=segmentation.GetID(),
        enhancement=enhancement.GetID(),
        enhancement_volume=volume.GetID(),
        browser=stage_browser(prepared.series, scan).GetID(),
        curves=table.GetID(),
        curves_chart=chart.GetID(),
        bolus_chart=show_bolus(prepared, scan)[1].GetID(),
        tissue=tissue.GetID(),
        tissue_chart=tissue_chart.GetID(),
    )


def show_brain(brain: Image, series: Series, scan_node: Node) -> str:
    """Show a brain mask before there are maps: return the ID of the segmentation, which Apply will update.

    Parameters
    ----------
    brain : Image
        The mask, on the scan's grid.
    series : Series
        The scan.
    scan_node : vtkMRMLNode
        Its node, or its proxy volume.
    """
    with in_study(scan_node, series.name) as scan:
        if scan.IsA("vtkMRMLSequenceNode"):
            sequence_browser(scan)
        segmentation = show_mask("brain", brain, scan, scan_volume(scan), series.name)
    return str(segmentation.GetID())


@contextmanager
def in_study(scan_node: Node, name: str) -> Iterator[Node]:
    """Yield the scan; what is shown of it meanwhile goes into its folder, or, when anything raises, not into the scene.

    The stages are to be shown in it::

        with in_study(scan_node, series.name) as scan:
            stages.show_projection(series, scan)
    """
    scan = _present_scan(scan_node)
    with unchanged_on_error(scan):
        yield scan
        gather(scan, name)


def gather(scan: Node, name: str) -> int:
    """Put PyPeT's nodes of a scan into its folder, except those that the user moved elsewhere; return its item.

    A transform that moves the scan moves them, too. Sequences and browsers have no place in the subject hierarchy;
    their proxy volumes do.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    top, nodes = hierarchy.GetSceneItemID(), _visible_nodes(scan)
    _follow_transform([node for node in nodes if node.IsA("vtkMRMLTransformableNode")], scan)
    parents = [hierarchy.GetItemParent(item) for item in map(hierarchy.GetItemByDataNode, nodes) if item]
    folder = next((parent for parent in parents if hierarchy.GetItemAttribute(parent, FOLDER)), 0)
    if not folder:
        item = hierarchy.GetItemByDataNode(scan_volume(scan))
        folder = hierarchy.CreateFolderItem(hierarchy.GetItemParent(item) if item else top, f"PyPeT {name}")
        hierarchy.SetItemAttribute(folder, FOLDER, "1")
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if not item:
            hierarchy.CreateItem(folder, node)
        elif hierarchy.GetItemParent(item) == top:
            hierarchy.SetItemParent(item, folder)
    return int(folder)


def _visible_nodes(scan: Node) -> list[Node]:
    """Return PyPeT's nodes of a scan that have a place in the subject hierarchy."""
    nodes = [scan_volume(node) if node.IsA("vtkMRMLSequenceNode") else node for node in own_nodes(scan)]
    return [node for node in nodes if not node.IsA("vtkMRMLSequenceBrowserNode")]


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


def _present_scan(node: Node) -> Node:
    """Return the scan that a node stands for; refuse where it was removed from the scene."""
    if node is None or not node.GetID() or slicer.mrmlScene.GetNodeByID(node.GetID()) is not node:
        name = "none" if node is None else node_name(node)
        raise InputError(f"Scan {name}: it must be in the scene; it was removed. Load it again and apply.")
    return scan_of(node)


def _follow_transform(nodes: list[Node], scan: Node) -> None:
    """Put results under the transform that moves the scan."""
    parent = scan_volume(scan).GetTransformNodeID()
    for node in nodes:
        if node.GetTransformNodeID() != parent:
            node.SetAndObserveTransformNodeID(parent)
