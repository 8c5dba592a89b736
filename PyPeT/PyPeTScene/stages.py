"""The step-by-step views as nodes, made when they are asked for: what each step saw, scrolling in time or in slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer

from PyPeTLib.analysis import Prepared
from PyPeTLib.display import BRAIN_HU, ENHANCEMENT_HU, VESSELS_HU, baseline_hu, middle_third
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves
from PyPeTLib.scan import Series
from PyPeTScene.maps import FLOW_TABLE, add_legend, colour_table, new_display, style_display
from PyPeTScene.nodes import Node, find_node, own_node, put_values
from PyPeTScene.series import Frame, fill_sequence, holds, images_of, scan_volume, sequence_browser

Array = npt.NDArray[Any]
#: Built-in grey colours.
GREY_ID = "vtkMRMLColorTableNodeGrey"
#: Attribute of a display node that PyPeT has styled.
STYLED = "PyPeT.Styled"
#: Index values closer than this in s are the same time (Slicer's own tolerance).
SAME_TIME_S = 1e-3


def show_enhancement(analysis: Prepared, scan: Node, *, progress: Progress = silent) -> tuple[Node, Node]:
    """Show the denoised enhancement above baseline over time, NaN outside the brain: return sequence and proxy."""
    frames = enhancement_frames(analysis.curves, np.nan)
    window = ENHANCEMENT_HU
    shown = _show("enhancement", "enhancement", frames, analysis.series, scan, window, FLOW_TABLE, progress=progress)
    add_legend(shown[1], "Enhancement [HU]", ENHANCEMENT_HU[1])
    return shown


def show_denoised(analysis: Prepared, scan: Node) -> tuple[Node, Node]:
    """Show what is analysed, the baseline's mean plus the denoised enhancement: return sequence and proxy."""
    return _show("denoised", "denoised", denoised_frames(analysis), analysis.series, scan, BRAIN_HU, GREY_ID)


def show_projection(series: Series, scan: Node) -> tuple[Node, Node]:
    """Show the maximum intensity projection of the middle third of the slices over time: return sequence and proxy."""
    return _show_projection("raw projection", "projection", series.values, series, scan)


def show_denoised_projection(analysis: Prepared, scan: Node) -> tuple[Node, Node]:
    """Show the same projection of what is analysed: return sequence and proxy."""
    frames = denoised_frames(analysis)
    return _show_projection("denoised projection", "denoised_projection", frames, analysis.series, scan)


def show_mask_volume(brain: Image, name: str, scan: Node) -> Node:
    """Show a brain mask as a picture of its own, 1 inside and 0 outside: return the volume."""
    volume = own_node("vtkMRMLScalarVolumeNode", f"{name} mask", "stage.mask", scan)
    put_values(volume, brain.values.astype(np.uint8), brain.geometry)
    _style_once(volume, (0.0, 1.0), GREY_ID)
    return volume


def show_masked_image(image: Image, brain: Image, name: str, scan: Node) -> Node:
    """Show an image inside the brain mask, NaN outside: return the volume.

    Parameters
    ----------
    image : Image
        CT in HU.
    brain : Image
        The mask, on the same grid.
    name : str
        Name of the scan.
    scan : vtkMRMLNode
        The scan it is of.
    """
    volume = own_node("vtkMRMLScalarVolumeNode", f"{name} masked", "stage.masked", scan)
    values = np.where(brain.values, image.values, np.nan).astype(np.float32)
    put_values(volume, values, image.geometry)
    _style_once(volume, BRAIN_HU, GREY_ID)
    return volume


def show_seconds(series: Series, scan: Node) -> tuple[Node, Node]:
    """Return a sequence and proxy of the raw scan whose index is time in s, so that it scrolls with the other stages.

    A sequence with such an index is returned as it is; of any other scan (frame numbers, MultiVolume, one that scrolls
    with a sequence of other times) one is made, which shares the voxels of the scan's frames where these hold the
    series' values.
    """
    if _scrolls_in_seconds(scan, series):
        return scan, _synchronised(scan, series, scan)
    made = find_node("stage.raw", scan)
    if made is None or not (_counts_seconds(made, series) and holds(made, series)):
        return _show("raw", "raw", images_of(series, scan), series, scan, BRAIN_HU, GREY_ID)
    proxy = _synchronised(made, series, scan)
    _style_once(proxy, BRAIN_HU, GREY_ID)
    return made, proxy


def style_scan(scan: Node) -> None:
    """Show a scan that PyPeT loaded in the brain window, not from air to bone; once, then it is the user's."""
    _style_once(scan_volume(scan), BRAIN_HU, GREY_ID)


def denoised_frames(analysis: Prepared) -> Iterator[Array]:
    """Yield the frames of what is analysed in HU: the baseline's mean plus the denoised enhancement."""
    before = baseline_hu(analysis)
    for frame in enhancement_frames(analysis.curves, 0.0):
        yield before + frame


def enhancement_frames(curves: Curves, outside: float) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the frames of the denoised enhancement in HU: each time the same array, whose content changes."""
    volume = np.full(curves.mask.shape, outside, dtype=np.float32)
    inside = np.flatnonzero(curves.mask)
    for weights in curves.basis.T:
        volume.ravel()[inside] = curves.coefficients @ weights
        yield volume


def _show_projection(label: str, role: str, frames: Iterable[Array], series: Series, scan: Node) -> tuple[Node, Node]:
    """Show the maximum over the middle third of the slices, as one slice of that thickness in its middle."""
    third = middle_third(series.geometry.size[2])
    flat = (frame[third].max(axis=0)[None] for frame in frames)
    slab = replace(series, values=series.values[:, :1], geometry=_slab(series.geometry, third))
    return _show(label, role, flat, slab, scan, VESSELS_HU, GREY_ID)


def _slab(geometry: Geometry, part: slice) -> Geometry:
    """Return the grid of one slice that takes the place of several."""
    x, y, z = geometry.places_mm((0.5 * (part.start + part.stop - 1), 0, 0)).tolist()
    thickness = (part.stop - part.start) * geometry.spacing_mm[2]
    return Geometry((*geometry.size[:2], 1), (*geometry.spacing_mm[:2], thickness), (x, y, z), geometry.direction)


def _show(
    label: str,
    role: str,
    frames: Iterable[Frame],
    series: Series,
    scan: Node,
    window: tuple[float, float],
    colours: str,
    *,
    progress: Progress = silent,
) -> tuple[Node, Node]:
    """Fill the sequence of one stage and return it with its proxy volume."""
    sequence = own_node("vtkMRMLSequenceNode", f"{series.name} {label}", f"stage.{role}", scan)
    browser = stage_browser(series, scan)
    frame = browser.GetSelectedItemNumber()  # lost where this sequence is the browser's first
    fill_sequence(sequence, frames, series.times_s, series.geometry, progress=progress)
    if browser.GetSelectedItemNumber() != frame < browser.GetNumberOfItems():
        browser.SetSelectedItemNumber(frame)
    proxy = _synchronised(sequence, series, scan)
    _style_once(proxy, window, colours)
    return sequence, proxy


def _synchronised(sequence: Node, series: Series, scan: Node) -> Node:
    """Let a sequence scroll with the scan, or, where the scan's index is another, with the other stages."""
    browser = stage_browser(series, scan)
    if not browser.IsSynchronizedSequenceNode(sequence, True):
        browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence)


def stage_browser(series: Series, scan: Node) -> Node:
    """Return the sequence browser that all stages of a scan share: the scan's own where that scrolls in its times."""
    if _scrolls_in_seconds(scan, series):
        return sequence_browser(scan)
    return own_node("vtkMRMLSequenceBrowserNode", f"{series.name} stages", "stage.browser", scan)


def _scrolls_in_seconds(scan: Node, series: Series) -> bool:
    """Tell whether scrolling a scan goes through the series' times in s, frame by frame.

    A browser counts in the index of its first sequence, which is another one where the user lets scans scroll together.
    """
    if not _counts_seconds(scan, series):
        return False
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(scan)
    return browser is None or _counts_seconds(browser.GetMasterSequenceNode(), series)


def _counts_seconds(scan: Node, series: Series) -> bool:
    """Tell whether the scan is a sequence whose index is the series' time in s."""
    if not scan.IsA("vtkMRMLSequenceNode") or scan.GetIndexUnit() != "s":
        return False
    index = [float(scan.GetNthIndexValue(k)) for k in range(scan.GetNumberOfDataNodes())]
    return len(index) == series.frames and bool(np.allclose(index, series.times_s, rtol=0.0, atol=SAME_TIME_S))


def _style_once(volume: Node, window: tuple[float, float], colours: str) -> None:
    """Give a new volume a display; one that PyPeT styled before keeps what the user made of it."""
    display = volume.GetVolumeDisplayNode()  # a colour legend is a display node, too
    if display is not None and display.GetAttribute(STYLED):  # a proxy volume takes its own attributes from each frame
        return
    table = slicer.mrmlScene.GetNodeByID(colours) or colour_table(colours)
    if display is None:
        display = new_display(volume, window, table)
    else:
        style_display(display, window, table)
    display.SetAttribute(STYLED, "1")
