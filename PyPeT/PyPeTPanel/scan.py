"""Scans into the scene: files and folders by the library's reader, and the phantom as sample data."""

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from PyPeTLib.errors import InputError
from PyPeTLib.phantom_options import HeadOptions
from PyPeTLib.read import inspect_series
from PyPeTLib.scan import Series
from PyPeTPanel import views
from PyPeTPanel.parameters import NOTES
from PyPeTScene.nodes import ROLE, scene_nodes
from PyPeTScene.series import scan_volume, sequence_from_series
from PyPeTScene.stages import style_scan

FILES = _("CT perfusion scans") + " (*.nii *.nii.gz *.nrrd *.nhdr)"
SAMPLE = "CTPerfusionHeadPhantom"


def load_scan(path: str | Path) -> Any:
    """Load a 4D file, or a folder of volumes or DICOM images, as a sequence; it is returned.

    Where the times are not known the sequence is indexed by frame number, and the panel asks for the interval.

    Raises
    ------
    InputError
        If it cannot be read or is no scan.
    """
    info = inspect_series(Path(path))
    unknown = info.times_s is None
    if len(info.problems) > unknown:
        raise InputError(" ".join(info.problems))
    times = np.arange(float(info.frames)) if unknown else info.times_s
    series = Series(info.values, times, info.geometry, info.name, info.time_source, info.checks)
    sequence = sequence_from_series(series, info.name)[0]
    sequence.SetAttribute(NOTES, " ".join(check.text for check in info.checks if check.doubtful))
    style_scan(sequence)
    if unknown:
        sequence.SetIndexName("frame")
        sequence.SetIndexUnit("")
    return sequence


def load_phantom(options: HeadOptions | None = None) -> Any:
    """Make the digital head phantom on the spot and return its sequence."""
    from PyPeTLib.phantom import head_phantom

    series = head_phantom(options or HeadOptions()).series
    sequence = sequence_from_series(series, "CT perfusion phantom")[0]
    style_scan(sequence)
    return sequence


def made_of_scans(chosen: Any) -> list[str]:
    """Return the IDs of sequences, and of their proxy volumes, that PyPeT made, without what is chosen.

    The selector of scans leaves them out. In place of a chosen one it would take its neighbour, which nobody chose.
    """
    made = [node for node in scene_nodes() if node.IsA("vtkMRMLSequenceNode") and node.GetAttribute(ROLE)]
    browsers = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode") if made else []
    proxies = [browser.GetProxyNode(sequence) for browser in browsers for sequence in made]
    return [node.GetID() for node in (*made, *proxies) if node is not None and node is not chosen]


def show_scan(sequence: Any) -> Any:
    """Show a scan that was just loaded in the slice views, as Slicer's own readers do; it is returned."""
    views.show_volume(scan_volume(sequence))
    return sequence


def show_phantom(source: Any = None) -> Any:
    """Make and show the phantom, which takes some seconds, as the SampleData module has it done; it is returned."""
    with slicer.util.tryWithErrorDisplay(_("The phantom could not be made."), waitCursor=True):
        return show_scan(load_phantom())


def offer_phantom(icon: str) -> None:
    """Register the phantom with the SampleData module, where that is there."""
    try:
        import SampleData
    except ImportError:  # a Slicer built without it
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="PyPeT",
        sampleName=SAMPLE,
        uris=[],  # nothing is downloaded; without lists of files it raises
        fileNames=[],
        thumbnailFileName=icon,
        customDownloader=show_phantom,
    )
