"""The self-test that runs inside the real application: phantom, Apply, truth, mask correction, re-Apply."""

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from PyPeTLib.phantom_options import HeadOptions
from PyPeTLib.scan import Series
from PyPeTLib.truth import compare_with_truth
from PyPeTScene.masks import SEGMENTS, mask_from_segment
from PyPeTScene.nodes import new_image, place, scene_nodes
from PyPeTScene.series import FRAME_LABELS, FRAME_UNITS, scan_volume, sequence_from_series

#: A head without noise, so that what is found differs from the truth by the method alone.
SMALL = HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45, noise_hu=0.0)
#: What a run on it reaches at least.
AT_LEAST = {"brain_dice": 0.95, "aif_arterial_share": 1.0, "cbv_r": 0.9, "cbf_r": 0.95, "tmax_dice": 0.9}


def check_phantom(logic: Any, say: Callable[[str], Any]) -> None:
    """Run everything once; raises AssertionError where something is wrong."""
    from PyPeTLib.phantom import head_phantom

    say(_("Making the phantom"))
    phantom = head_phantom(SMALL)
    scan = sequence_from_series(phantom.series, "PyPeT self-test")[0]
    say(_("Apply"))
    nodes = logic.process(scan)
    figures = compare_with_truth(logic.analysis, phantom)
    for name, low in AT_LEAST.items():
        assert figures[name] >= low, f"{name} is {figures[name]:.2f}, below {low}"
    say(_("Correcting the mask, and Apply again"))
    _check_correction(logic, scan, nodes)
    if hasattr(slicer, "vtkMRMLMultiVolumeNode"):
        say(_("The same scan as a MultiVolume"))
        _check_multivolume(logic, phantom.series, nodes)
    say(_("PyPeT passed"))


def _check_correction(logic: Any, scan: Any, nodes: dict[str, Any]) -> None:
    """Take the lowest slice out of the mask as the Segment Editor would, and see that the maps follow."""
    segment, volume = SEGMENTS["brain"][0], scan_volume(scan)
    corrected = np.array(mask_from_segment(nodes["segmentation"], segment, volume).values, dtype=np.uint8)
    corrected[0] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(corrected, nodes["segmentation"], segment, volume)
    before = {node.GetID() for node in scene_nodes()}
    again = logic.process(scan, brain=(nodes["segmentation"], segment))
    assert again == nodes, "Apply made other nodes"
    assert {node.GetID() for node in scene_nodes()} == before, "Apply left nodes behind"
    cbf = slicer.util.arrayFromVolume(nodes["cbf"])
    assert np.isnan(cbf[0]).all(), "the map does not follow the corrected mask"
    assert np.array_equal(np.isfinite(cbf), corrected.astype(bool)), "the map has values outside the corrected mask"


def _check_multivolume(logic: Any, series: Series, nodes: dict[str, Any]) -> None:
    """Give the same scan as Slicer's MultiVolume import keeps it, and see that the maps are the same."""
    scan = slicer.vtkMRMLMultiVolumeNode()
    scan.SetName("PyPeT self-test MultiVolume")
    image, voxels = new_image(series.geometry.shape, series.values.dtype, components=series.frames)
    voxels[...] = np.moveaxis(series.values, 0, -1)
    scan.SetNumberOfFrames(series.frames)
    scan.SetAndObserveImageData(image)
    place(scan, series.geometry)
    scan.SetAttribute(FRAME_LABELS, ",".join(repr(1000.0 * float(time_s)) for time_s in series.times_s))
    scan.SetAttribute(FRAME_UNITS, "ms")
    slicer.mrmlScene.AddNode(scan)
    segment = SEGMENTS["brain"][0]
    again = logic.process(scan, brain=(nodes["segmentation"], segment))
    same = np.array_equal(*(slicer.util.arrayFromVolume(one["cbf"]) for one in (again, nodes)), equal_nan=True)
    assert same, "the maps of the MultiVolume are not those of the sequence"
