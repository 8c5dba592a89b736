"""A whole analysis in the scene: a folder under the scan's study; the next Apply updates the same nodes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import slicer

from PyPeTLib.analysis import Analysis, Prepared
from PyPeTLib.chunks import share
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.pipeline import PREPARED, finish, prepare
from PyPeTLib.progress import Progress, silent
from PyPeTLib.scan import Points, Series, TimeCurve
from PyPeTLib.settings import Settings
from PyPeTScene.bootstrap import check_target
from PyPeTScene.curves import (
    brain_regions,
    curve_from_table,
    show_bolus,
    show_motion,
    show_tissue_curves,
    show_vessel_curves,
    stale_plots,
)
from PyPeTScene.maps import show_maps, stale_maps
from PyPeTScene.masks import keeping_surfaces, mask_from_segment, segment_identity, show_lesions, show_mask, show_masks
from PyPeTScene.nodes import Node, find_node, follow_transform, node_name, own_nodes, remove_node
from PyPeTScene.numbers import SIMILARITY, show_candidates, show_checks, show_numbers, show_volumes
from PyPeTScene.points import points_mm
from PyPeTScene.restore import unchanged_on_error
from PyPeTScene.series import scan_of, scan_volume, series_from_node, shown_volume
from PyPeTScene.stages import show_enhancement, stage_browser

#: What is done where nothing else is asked for.
DEFAULTS = Settings()
#: A segment: its segmentation node and its identity.
Segment = tuple[Node, str]
#: What a vessel may be given as: a segment, a list of points in it, or a table with its curve.
Vessel = Segment | Node
#: Attribute of the subject hierarchy folders that hold PyPeT's nodes.
FOLDER = "PyPeT.Folder"
#: Where, on the way from 0 to 1, the scan is read and the analysis done: about their shares of the time.
READ, ANALYSED = 0.06, 0.77


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
        Brain, arterial input, venous output, CSF, large vessels, bone rim, lesions; their identities are in
        ``masks.SEGMENTS``.
    enhancement, enhancement_volume, browser : str
        Enhancement over time: sequence, proxy volume, and the browser to scroll it with.
    curves, curves_chart, bolus_chart, motion_chart, tissue, tissue_chart : str
        Table and chart of vessels, chart of the bolus with its arrival, of the head's motion ("" where it was not
        measured), table and chart of tissue.
    medians : str
        Table of the maps' medians over the tissue.
    lesions : str
        Table of the lesions' volumes and ratios.
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
    motion_chart: str = ""
    tissue: str = ""
    tissue_chart: str = ""
    medians: str = ""
    lesions: str = ""


@dataclass(frozen=True)
class Request:
    """What a run on a scan of the scene is told.

    Parameters
    ----------
    scan : vtkMRMLSequenceNode, its proxy volume, or vtkMRMLMultiVolumeNode
        The scan in HU.
    settings : Settings
        What to do.
    interval_s : float, optional
        Time between frames in s, where the scan does not tell.
    brain : tuple of segmentation node and segment identity, optional
        Segment to be used instead of the automatic mask.
    aif, vof : tuple of segmentation node and segment identity, vtkMRMLMarkupsNode or vtkMRMLTableNode, optional
        Segment, points in the vessel, or table of its curve, to be used instead of what is found automatically.
    force : bool
        As for ``PyPeTLib.analyze``.
    former : Series, optional
        What the last run read: an unchanged scan is not copied again.
    """

    scan: Node
    settings: Settings = DEFAULTS
    interval_s: float | None = None
    brain: Segment | None = None
    aif: Vessel | None = None
    vof: Vessel | None = None
    force: bool = False
    former: Series | None = None


def process(request: Request, progress: Progress = silent) -> tuple[Analysis, SceneNodes]:
    """Analyse a scan of the scene and show the result; the scene changes only at the end, and as a whole.

    Raises
    ------
    InputError, QualityError, Cancelled
        The scene is then as it was.
    """
    scan = scan_of(request.scan)
    progress = _while_present(scan, progress)
    prepared = prepare_scan(request, share(progress, 0.0, PREPARED * ANALYSED))
    last = share(progress, PREPARED * ANALYSED, ANALYSED)
    analysis = finish(prepared, force=request.force, progress=last)
    return analysis, show_analysis(analysis, scan, kept=own_segments(request), progress=share(progress, ANALYSED, 1.0))


def own_segments(request: Request) -> frozenset[str]:
    """Return which of PyPeT's own segments a run takes as its input: showing the run shall not write over them."""
    own = find_node("segmentation", scan_of(request.scan))
    given = [one for one in (request.brain, request.aif, request.vof) if isinstance(one, tuple)]
    return frozenset(segment_identity(*one) for one in given if own is not None and one[0] is own)


def prepare_scan(request: Request, progress: Progress = silent) -> Prepared:
    """Do the first half of `process`, up to the denoised curves, and show nothing.

    What is read from a node is read at once: nodes may change or go while the library works.
    """
    scan = scan_of(request.scan)
    progress = _while_present(scan, progress)
    series = series_from_node(scan, request.interval_s, former=request.former, progress=share(progress, 0.0, READ))
    brain = None if request.brain is None else mask_from_segment(*request.brain, scan_volume(scan))
    aif, vof = (_given(vessel, key, scan) for key, vessel in (("aif", request.aif), ("vof", request.vof)))
    rest = share(progress, READ, 1.0)
    return prepare(series, request.settings, brain=brain, aif=aif, vof=vof, force=request.force, progress=rest)


def show_analysis(
    analysis: Analysis, scan_node: Node, *, kept: Collection[str] = (), progress: Progress = silent
) -> SceneNodes:
    """Show maps, masks, enhancement, curves and numbers of a run; when anything raises, the scene is as before.

    Parameters
    ----------
    analysis : Analysis
        The run.
    scan_node : vtkMRMLNode
        The scan it is of, in the scene.
    kept : collection of str
        Identities of PyPeT's segments that stay as they are, as `own_segments` returns them.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Raises
    ------
    InputError
        If the scan is no longer in the scene, or PyPeT's nodes are removed meanwhile.
    """
    scan = _present_scan(scan_node)
    progress = _while_whole(scan, progress)
    with unchanged_on_error(scan), keeping_surfaces(scan):
        maps = show_maps(analysis, scan, progress=share(progress, 0.0, 0.2, "Showing the maps"))
        shown = _show_curves(analysis, scan, kept, share(progress, 0.2, 0.95))
        segmentation, volume = (slicer.mrmlScene.GetNodeByID(n) for n in (shown.segmentation, shown.enhancement_volume))
        show_lesions(analysis.lesions, segmentation, volume)
        medians, volumes = show_numbers(analysis, scan), show_volumes(analysis, scan)
        folder = gather(scan, analysis.series.name)
        progress(1.0, "Done")
        old = () if shown.motion_chart else ("motion.chart", "motion.table")
        stale = [find_node(role, scan) for role in (SIMILARITY, *old)]  # of another run
        for node in [*stale_maps(scan, maps), *filter(None, stale)]:
            remove_node(node)  # last, because it cannot be undone
        for node in stale_plots(scan):
            remove_node(node)
    return replace(
        shown,
        maps={name: node.GetID() for name, node in maps.items()},
        medians=medians.GetID(),
        lesions=volumes.GetID(),
        folder=folder,
    )


def show_prepared(
    prepared: Prepared, scan_node: Node, *, kept: Collection[str] = (), progress: Progress = silent
) -> None:
    """Show what is known before the maps, as `show_analysis` does: masks, enhancement, curves and tables."""
    with in_study(scan_node, prepared.series.name) as scan:
        _show_curves(prepared, scan, kept, _while_whole(scan, progress))
        show_candidates(prepared, scan)
        show_checks(prepared, scan)


def _show_curves(prepared: Prepared, scan: Node, kept: Collection[str], progress: Progress) -> SceneNodes:
    """Show enhancement, masks and curves."""
    frames_shown = share(progress, 0.0, 0.7, "Showing the enhancement over time")
    enhancement, volume = show_enhancement(prepared, scan, progress=frames_shown)
    masks_shown = share(progress, 0.7, 0.9, "Showing the masks")
    segmentation = show_masks(prepared, scan, volume, kept=kept, progress=masks_shown)
    progress(0.9, "Showing the curves")
    table, chart = show_vessel_curves(prepared, scan)
    regions = brain_regions(prepared.brain)
    progress(0.95, "Showing the curves")
    tissue, tissue_chart = show_tissue_curves(prepared, scan, regions)
    motion = show_motion(prepared, scan)
    progress(1.0, "Showing the curves")
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
        motion_chart="" if motion is None else motion.GetID(),
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
        segmentation = show_mask("brain", brain, scan, shown_volume(scan), series.name)
    return str(segmentation.GetID())


@contextmanager
def in_study(scan_node: Node, name: str) -> Iterator[Node]:
    """Yield the scan; what is shown of it meanwhile goes into its folder, or, when anything raises, not into the scene.

    The stages are to be shown in it::

        with in_study(scan_node, series.name) as scan:
            stages.show_projection(series, scan)
    """
    scan = _present_scan(scan_node)
    with unchanged_on_error(scan), keeping_surfaces(scan):
        yield scan
        gather(scan, name)


def gather(scan: Node, name: str) -> int:
    """Put PyPeT's nodes of a scan into its folder, except those that the user moved elsewhere; return its item.

    A transform that moves the scan moves them, too, except those that the user put under another one. Sequences and
    browsers have no place in the subject hierarchy; their proxy volumes do.
    """
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    top, nodes = hierarchy.GetSceneItemID(), _visible_nodes(scan)
    moved_by = scan_volume(scan).GetTransformNodeID()
    for node in nodes:
        if node.IsA("vtkMRMLTransformableNode"):
            follow_transform(node, moved_by)
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
    target = Path(path).absolute()  # Slicer takes no other
    check_target(target, overwrite=True)
    messages = slicer.vtkMRMLMessageCollection()
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pypet-") as folder:
        temporary = Path(folder) / target.name  # the name inside the bundle is that of the file
        if not slicer.mrmlScene.WriteToMRB(str(temporary), None, messages) or not temporary.is_file():
            found = messages.GetAllMessagesAsString() or "no reason given"
            raise InputError(f"Scene {target} cannot be written: {found}. Check space and permissions.")
        shutil.move(temporary, target)


def _given(vessel: Vessel | None, key: str, scan: Node) -> Image | Points | TimeCurve | None:
    """Return mask, points or curve of what was given for "aif" or "vof"."""
    if vessel is None:
        return None
    if isinstance(vessel, tuple):
        segmentation, segment = vessel
        return mask_from_segment(segmentation, segment, scan_volume(scan))
    if vessel.IsA("vtkMRMLMarkupsNode"):
        return Points(tuple(points_mm(vessel, scan_volume(scan))))
    if vessel.IsA("vtkMRMLTableNode"):
        return curve_from_table(vessel, f"{key}_hu")
    need = "a segment, a list of points or a table is needed"
    raise InputError(f"{key.upper()}: {need}; found a {vessel.GetNodeTagName()}. Select one of these.")


def _present_scan(node: Node) -> Node:
    """Return the scan that a node stands for; refuse where it was removed from the scene."""
    if node is None or not node.GetID() or slicer.mrmlScene.GetNodeByID(node.GetID()) is not node:
        name = "none" if node is None else node_name(node)
        raise InputError(f"Scan {name}: it must be in the scene; it was removed. Load it again and apply.")
    return scan_of(node)


def _while_present(scan: Node, progress: Progress) -> Progress:
    """Return a callback that raises, too, where the scan was removed meanwhile, or the scene closed."""

    def checked(fraction: float, text: str) -> None:
        progress(fraction, text)
        _present_scan(scan)

    return checked


def _while_whole(scan: Node, progress: Progress) -> Progress:
    """Return a callback that raises also where one of PyPeT's nodes of the scan was removed meanwhile."""
    watched = _while_present(scan, progress)

    def checked(fraction: float, text: str) -> None:
        before = list(own_nodes(scan))
        watched(fraction, text)
        gone = [node for node in before if not slicer.mrmlScene.IsNodePresent(node)]
        if gone:
            need = "PyPeT's nodes must stay in the scene while they are filled"
            raise InputError(f"Results of {node_name(scan)}: {need}; found {len(gone)} removed. Apply again.")

    return checked
