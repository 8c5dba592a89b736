"""What controls have in common: unit and tooltip from the library, rows that come and go, segments of the user."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from PyPeTLib.settings import READ_WITH, is_read
from PyPeTPanel.parameters import (
    AUTOMATIC,
    CURVE,
    INFO,
    OF_BRAIN,
    POINTS,
    SEGMENT,
    SEGMENTS_OF,
    VESSELS,
    PyPeTParameterNode,
    digits_and_step,
)

#: Tooltips of the controls that are no settings of the library.
TIPS = {
    "interval_s": _("Time between frames in s; used only where the scan does not tell its times."),
    "brain_source": _("Find the brain automatically, or use a segment."),
    "tissue_source": _(
        "Which curves the chart shows: always the brain and its halves; with them those of each segment, "
        "or of the voxel under the crosshair (hold Shift and move the mouse over a slice)."
    ),
    "tissue_segmentation": _("The segmentation whose segments get a curve each."),
    "compared_map": _("The map to be compared with a reference; CBF of the last run where none is chosen."),
    "reference_map": _(
        "Another volume of the same quantity, e.g. a map of another program or of another run; it is "
        "shown beside the map in the same window and colours, and resampled to it for the metrics."
    ),
    "aif_source": _(
        "Find the arterial input automatically, take the mean curve of a segment or of the voxels around "
        "points that behave alike, or take a curve from a table."
    ),
    "vof_source": _(
        "Find the venous output automatically, take the mean curve of a segment or of the voxels around "
        "points that behave alike, or take a curve from a table."
    ),
    "brainSegment": _("Segmentation and segment that is the brain mask."),
    "aifSegment": _("Segmentation and segment that is the arterial input."),
    "vofSegment": _("Segmentation and segment that is the venous output."),
    "aif_points": _(
        "Points in the artery; each is moved to the brightest voxel within 3 mm, and its neighbours within "
        "10 mm with the same curve are taken."
    ),
    "vof_points": _(
        "Points in the vein; each is moved to the brightest voxel within 3 mm, and its neighbours within "
        "10 mm with the same curve are taken."
    ),
    "aif_curve": _("Table of the arterial curve: columns time_s and aif_hu, or time in s and HU as the first two."),
    "vof_curve": _("Table of the venous curve: columns time_s and vof_hu, or time in s and HU as the first two."),
}


def describe_controls(ui: Any) -> None:
    """Give every setting's control its unit and its tooltip, and the label beside it the same tooltip."""
    for name, info in INFO.items():
        if name != "partial_volume":
            unit = f" [{info.unit}]" if info.unit else ""
            default = _("default {value}").format(value=info.default)
            _explain(ui, name, f"{info.meaning}{unit}; {info.allowed}; {default}")
            if not info.choices and info.unit:
                getattr(ui, name).suffix = f" {info.unit}"
            if isinstance(info.default, float):
                getattr(ui, name).decimals, getattr(ui, name).singleStep = digits_and_step(info)
    _explain(ui, "scale_to_vein", INFO["partial_volume"].meaning)
    for name, text in TIPS.items():
        _explain(ui, name, text)
    ui.interval_s.suffix = " s"
    ui.interval_s.decimals, ui.interval_s.singleStep = 3, 0.1
    ui.interval_s.specialValueText = _("from the scan")


def show_own_controls(ui: Any, parameters: PyPeTParameterNode) -> None:
    """Show the controls that matter for the chosen methods and sources, and only those."""
    for name in (name for words in READ_WITH.values() for own in words.values() for name in own):
        show_row(ui, name, is_read(name, parameters))
    for name in OF_BRAIN:
        show_row(ui, name, parameters.brain_source == AUTOMATIC)
    show_row(ui, "tissue_segmentation", parameters.tissue_source == SEGMENTS_OF)
    for key in ("brain", "aif", "vof"):
        show_row(ui, f"{key}Segment", getattr(parameters, f"{key}_source") == SEGMENT)
    for key in VESSELS:
        source = getattr(parameters, f"{key}_source")
        for kind, button in ((POINTS, "PlaceButton"), (CURVE, "LoadButton")):
            show_row(ui, f"{key}_{kind}", source == kind)
            for name in (f"{key}{button}", f"{key}_{kind}Row"):  # an empty row would leave a gap
                getattr(ui, name).visible = source == kind


def show_row(ui: Any, name: str, shown: bool) -> None:
    """Show or hide a control with its label."""
    getattr(ui, name).visible = shown
    getattr(ui, f"{name}Label").visible = shown


def _explain(ui: Any, name: str, text: str) -> None:
    getattr(ui, name).toolTip = text
    getattr(ui, f"{name}Label").toolTip = text


class SegmentChoice:
    """Joins a segment selector with the two fields of the parameter node that name segmentation and segment.

    Parameters
    ----------
    selector : qMRMLSegmentSelectorWidget
        The control.
    key : str
        "brain", "aif" or "vof".
    """

    def __init__(self, selector: Any, key: str):
        self.selector, self.key = selector, key
        self.parameters: PyPeTParameterNode | None = None
        self._showing = False
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self.choose)
        selector.connect("currentSegmentChanged(QString)", self.choose)

    def show(self, parameters: PyPeTParameterNode | None) -> None:
        """Show what the parameter node says."""
        self.parameters = parameters
        if parameters is None or self._showing:
            return
        self._showing = True
        try:
            segmentation = getattr(parameters, f"{self.key}_segmentation")
            self.selector.setCurrentNode(segmentation)
            self.selector.setCurrentSegmentID(getattr(parameters, f"{self.key}_segment"))
        finally:
            self._showing = False

    def choose(self, *_given: Any) -> None:
        """Write what the user chose."""
        if self.parameters is None or self._showing:
            return
        segmentation, segment = self.selector.currentNode(), self.selector.currentSegmentID()
        if segmentation is getattr(self.parameters, f"{self.key}_segmentation") and self._is_gone(segmentation):
            segment = ""  # the selector has taken the first of the others, which nobody chose
        with slicer.util.NodeModify(self.parameters):
            setattr(self.parameters, f"{self.key}_segmentation", segmentation)
            setattr(self.parameters, f"{self.key}_segment", segment)

    def _is_gone(self, segmentation: Any) -> bool:
        """Tell whether the segment that was chosen is no more in its segmentation."""
        chosen = getattr(self.parameters, f"{self.key}_segment")
        return bool(segmentation and chosen and segmentation.GetSegmentation().GetSegment(chosen) is None)
