"""A scan from the scene and back: sequence, proxy volume or MultiVolume ↔ Series; times in seconds or a refusal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer

from PyPeTLib.chunks import share
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Geometry
from PyPeTLib.hounsfield import in_hu
from PyPeTLib.progress import Progress, silent
from PyPeTLib.scan import Series, describe_times
from PyPeTLib.times import MINIMUM_FRAMES, NEEDED_STEPS, SECONDS, odd_step
from PyPeTScene.nodes import ROLE, Node, image_values, new_image, node_geometry, node_name, place

#: Attributes in which Slicer's DICOM import keeps the times, as a comma list, and their unit.
FRAME_LABELS, FRAME_UNITS = "MultiVolume.FrameLabels", "MultiVolume.FrameIdentifyingDICOMTagUnits"
#: What a scan may be, for error messages.
KINDS = "a volume sequence, its proxy volume or a MultiVolume"
CURE = "Type the time between frames"
#: Voxels of one frame, shape (z, y, x); or a vtkImageData, which is shared and not copied.
Frame = Any


@dataclass(frozen=True)
class _Clue:
    """Times in s, or None, and where they come from or what was found there instead."""

    times_s: FloatArray | None
    text: str


def series_from_node(
    node: Node, interval_s: float | None = None, *, former: Series | None = None, progress: Progress = silent
) -> Series:
    """Return the scan that a node holds; its voxels are copied once, in their own type (float64 becomes float32).

    Parameters
    ----------
    node : vtkMRMLSequenceNode, vtkMRMLMultiVolumeNode, or the proxy volume of a sequence
        The scan in HU.
    interval_s : float, optional
        What the user typed: time between frames in s, used where neither the DICOM times nor the index tell.
    former : Series, optional
        What was read from a node before: where the node still holds the same, its voxels are not copied again.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Raises
    ------
    InputError
        If the node is no scan, a frame is no scalar volume on the grid of the first, there are too few frames, the
        time of each frame is not known or not strictly increasing, or the values are no HU, as for a scan from a file.
    """
    scan = scan_of(node)
    axis = _time_axis(scan, interval_s)
    assert axis.times_s is not None
    name = node_name(scan)
    if former is not None and holds(scan, former, share(progress, 0.0, 1.0, "Reading the scan")):
        return Series(former.values, axis.times_s, former.geometry, name, axis.text, former.checks)
    copying = share(progress, 0.0, 0.6, "Reading the scan")
    if scan.IsA("vtkMRMLSequenceNode"):
        values, geometry = _sequence_values(scan, copying)
    else:
        values, geometry = _multivolume_values(scan, copying), node_geometry(scan)
    values, checks = in_hu(values, name, progress=share(progress, 0.6, 1.0, "Checking the values of the scan"))
    return Series(values, axis.times_s, geometry, name, axis.text, checks)


def describe_time_axis(node: Node, interval_s: float | None = None) -> str:
    """Return frames, times and where they come from in one line; errors as for `series_from_node`, without copying."""
    axis = _time_axis(scan_of(node), interval_s)
    assert axis.times_s is not None
    return f"{describe_times(axis.times_s)}, from {axis.text}"


def scan_of(node: Node) -> Node:
    """Return the sequence behind a proxy volume; a sequence or MultiVolume is returned as it is.

    Raises
    ------
    InputError
        If the node holds no frames over time.
    """
    if node is None:
        raise InputError(f"Scan: {KINDS} is needed; found none. Load a 4D scan and select it.")
    if node.IsA("vtkMRMLSequenceNode") or node.IsA("vtkMRMLMultiVolumeNode"):
        return node
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(node)
    sequence = None if browser is None else browser.GetSequenceNode(node)
    if sequence is None:
        what = "a single 3D volume" if node.IsA("vtkMRMLVolumeNode") else f"a {node.GetNodeTagName()}"
        raise InputError(
            f"Scan {node_name(node)}: {KINDS} is needed; found {what}. Load the whole series as a sequence."
        )
    return sequence


def scan_volume(scan: Node) -> Node:
    """Return a volume node on the scan's grid: proxy of the sequence where there is one, else its first frame."""
    if not scan.IsA("vtkMRMLSequenceNode"):
        return scan
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(scan)
    proxy = None if browser is None else browser.GetProxyNode(scan)
    return scan.GetNthDataNode(0) if proxy is None else proxy


def shown_volume(scan: Node) -> Node:
    """Return what `scan_volume` does, in the scene: browser and proxy volume are made where there are none, or no more.

    Slicer refers to nodes by their IDs, and a frame inside a sequence may have that of another node of the scene.
    """
    if scan.IsA("vtkMRMLSequenceNode"):
        sequence_browser(scan)
    return scan_volume(scan)


def sequence_from_series(series: Series, name: str, node: Node | None = None) -> tuple[Node, Node, Node]:
    """Put a scan into the scene as a sequence over time in s, with browser and proxy volume.

    Parameters
    ----------
    series : Series
        The scan.
    name : str
        Name of a new sequence.
    node : vtkMRMLSequenceNode, optional
        A sequence to fill instead of a new one; its browser and proxy are kept.

    Returns
    -------
    sequence, browser, proxy : vtkMRMLNode
    """
    sequence = node or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    fill_sequence(sequence, series.values, series.times_s, series.geometry)
    browser = sequence_browser(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return sequence, browser, browser.GetProxyNode(sequence)


def sequence_browser(sequence: Node) -> Node:
    """Return the browser of a sequence; it is made, and so is the proxy volume, where there is none."""
    logic = slicer.modules.sequences.logic()
    browser = logic.GetFirstBrowserNodeForSequenceNode(sequence)
    if browser is None:
        name = f"{node_name(sequence)} browser"
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", name)
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    if browser.GetProxyNode(sequence) is None:
        browser.SetPlayback(sequence, True)  # without which none is made; the user may have switched it off
        logic.UpdateProxyNodesFromSequences(browser)
    return browser


def fill_sequence(
    sequence: Node,
    frames: Iterable[Frame],
    times_s: FloatArray,
    geometry: Geometry,
    *,
    progress: Progress = silent,
) -> None:
    """Replace the frames of a sequence: one copy of each array, made when it comes; the index is time in s.

    Parameters
    ----------
    sequence : vtkMRMLSequenceNode
        What to fill; its former frames are dropped once all new ones are there.
    frames : iterable of ndarray, shape (z, y, x), or of vtkImageData
        One a time; image data are shared.
    times_s : ndarray, shape (t,)
        Times in s, written with every digit.
    geometry : Geometry
        Grid of each frame.
    progress : callable
        ``progress(fraction, text)`` after each frame is copied; raising from it leaves the sequence as it was.
    """
    images = []
    for frame in frames:
        images.append(_image_of(frame) if isinstance(frame, np.ndarray) else frame)
        progress(len(images) / len(times_s), "")
    sequence.RemoveAllDataNodes()
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    empty = slicer.vtkMRMLScalarVolumeNode()
    empty.SetName(node_name(sequence))
    for image, time_s in zip(images, times_s, strict=True):
        frame = sequence.SetDataNodeAtValue(empty, repr(float(time_s)))
        place(frame, geometry)  # on the frame itself: copying a node's content rounds its directions
        frame.SetAndObserveImageData(image)


def images_of(series: Series, scan: Node) -> Iterator[Frame]:
    """Yield the frames of a series: image data of the scan's own frame where that holds the values, else the values."""
    whole = scan.IsA("vtkMRMLSequenceNode") and scan.GetNumberOfDataNodes() == series.frames
    for k, values in enumerate(series.values):
        image = scan.GetNthDataNode(k).GetImageData() if whole else None
        yield image if image is not None and np.array_equal(image_values(image), values) else values


def _image_of(values: npt.NDArray[Any]) -> Any:
    image, voxels = new_image(values.shape, values.dtype)
    voxels[...] = values
    return image


def _time_axis(scan: Node, interval_s: float | None) -> _Clue:
    """Take the first source that knows the times, and check them."""
    if scan.GetAttribute(ROLE):
        need = "a scan as it was measured is needed"
        raise InputError(f"Scan {node_name(scan)}: {need}; found what PyPeT made of one. Select the scan itself.")
    frames = _frame_count(scan)
    if frames < MINIMUM_FRAMES:
        need = f"at least {MINIMUM_FRAMES} frames are needed"
        raise InputError(f"Scan {node_name(scan)}: {need}; found {frames}. Select the whole perfusion series.")
    clues = [_dicom_clue(scan, frames), _index_clue(scan, frames)]
    if interval_s is not None:
        clues.append(_Clue(np.arange(frames) * float(interval_s), f"the interval typed, {interval_s:g} s"))
    known = next((clue for clue in clues if clue.times_s is not None), None)
    if known is None:
        found = "; ".join(clue.text for clue in clues)
        raise InputError(f"Scan {node_name(scan)}: the time of each frame is needed; found {found}. {CURE}.")
    return _checked(known, scan)


def _checked(clue: _Clue, scan: Node) -> _Clue:
    """Refuse times that do not increase by what a perfusion scan can have."""
    found = odd_step(np.asarray(clue.times_s))
    if found is not None:
        raise InputError(
            f"Scan {node_name(scan)}: {NEEDED_STEPS}; found {found[1]} (from {clue.text}). "
            "Load the series in the order of its acquisition, with times in seconds."
        )
    return clue


def _dicom_clue(scan: Node, frames: int) -> _Clue:
    """Look at the frame labels of Slicer's DICOM import; the first frame is at 0 s."""
    words = [word for word in (scan.GetAttribute(FRAME_LABELS) or "").split(",") if word.strip()]
    unit = (scan.GetAttribute(FRAME_UNITS) or "").strip().lower()
    if not words:
        return _Clue(None, "no DICOM times")
    if unit not in SECONDS:
        return _Clue(None, f"DICOM frame labels in {unit or 'no unit'}")
    labels = _numbers(words)
    if labels is None or labels.size != frames:
        return _Clue(None, f"{len(words)} DICOM frame labels for {frames} frames, the first {words[0]!r}")
    return _Clue((labels - labels[0]) * SECONDS[unit], "the DICOM times")


def _index_clue(scan: Node, frames: int) -> _Clue:
    """Look at the index of a sequence; it counts only with a unit of time."""
    if not scan.IsA("vtkMRMLSequenceNode"):
        return _Clue(None, "no index")
    name, unit = scan.GetIndexName() or "without a name", (scan.GetIndexUnit() or "").strip().lower()
    if unit not in SECONDS:
        return _Clue(None, f"an index ({name}) in {unit or 'no unit'}")
    index = _numbers([scan.GetNthIndexValue(k) for k in range(frames)])
    if index is None:
        return _Clue(None, f"an index ({name}) that is no number")
    return _Clue(index * SECONDS[unit], f"the sequence's index ({unit})")


def _numbers(words: list[str]) -> FloatArray | None:
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        return None


def _frame_count(scan: Node) -> int:
    count = scan.GetNumberOfDataNodes() if scan.IsA("vtkMRMLSequenceNode") else scan.GetNumberOfFrames()
    return int(count)


def _sequence_values(sequence: Node, progress: Progress) -> tuple[npt.NDArray[Any], Geometry]:
    """Copy all frames into one array of their type."""
    name, count = node_name(sequence), sequence.GetNumberOfDataNodes()
    first = _scalar_frame(sequence, 0)
    geometry, dtype = node_geometry(sequence.GetNthDataNode(0)), first.dtype
    values = np.empty((count, *first.shape), dtype=np.float32 if dtype == np.float64 else dtype)
    for k in range(count):
        frame = _scalar_frame(sequence, k)
        found = node_geometry(sequence.GetNthDataNode(k))
        if frame.dtype != dtype or not found.matches(geometry):
            raise InputError(
                f"Scan {name}: all frames on one grid are needed, {geometry.describe()}, {dtype}; found frame {k + 1} "
                f"with {found.describe()}, {frame.dtype}. Load the series again, without its localisers."
            )
        values[k] = frame
        progress((k + 1) / count, "")
    return values, geometry


def holds(scan: Node, former: Series, progress: Progress = silent) -> bool:
    """Tell whether a node holds what was read before, grid and voxels."""
    frames, sequence = _frame_count(scan), scan.IsA("vtkMRMLSequenceNode")
    if frames != former.frames:
        return False
    for k in range(frames):
        volume = scan.GetNthDataNode(k) if sequence else scan
        voxels = _scalar_frame(scan, k) if sequence else image_values(scan.GetImageData())[..., k]
        if not node_geometry(volume).matches(former.geometry) or not np.array_equal(voxels, former.values[k]):
            return False
        progress((k + 1) / frames, "")
    return True


def _scalar_frame(sequence: Node, k: int) -> npt.NDArray[Any]:
    """Return the voxels of one frame as a view."""
    node, name = sequence.GetNthDataNode(k), node_name(sequence)
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
        what = "nothing" if node is None else f"a {node.GetNodeTagName()}"
        raise InputError(f"Scan {name}: a sequence of volumes is needed; found {what} as frame {k + 1}. Select a scan.")
    image = node.GetImageData()
    if image is None or min(image.GetDimensions()) < 1:
        need = "voxels are needed in every frame"
        raise InputError(f"Scan {name}: {need}; found none in frame {k + 1}. Load the series again.")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f"Scan {name}: one number (HU) a voxel is needed; found {components} in frame {k + 1} (colour). "
            "Select the original CT series."
        )
    return image_values(image)


def _multivolume_values(scan: Node, progress: Progress) -> npt.NDArray[Any]:
    """Copy the components of a MultiVolume, one a frame."""
    node_geometry(scan)
    frames = scan.GetNumberOfFrames()
    voxels = image_values(scan.GetImageData())
    if voxels.shape[3:] != (frames,):
        found = voxels.shape[3] if voxels.ndim == 4 else 1
        raise InputError(f"Scan {node_name(scan)}: {frames} values a voxel are needed; found {found}. Load it again.")
    kind = np.float32 if voxels.dtype == np.float64 else voxels.dtype
    values = np.empty((frames, *voxels.shape[:3]), dtype=kind)
    for k, voxels_of_slice in enumerate(voxels):
        values[:, k] = np.moveaxis(voxels_of_slice, -1, 0)
        progress((k + 1) / len(voxels), "")
    return values
