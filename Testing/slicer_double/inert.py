"""qMRML widgets that keep their nodes and show nothing."""
# ruff: noqa: N801, N802, N815 - the names are those of the real classes

from __future__ import annotations

import slicer
from PySide6 import QtWidgets

from .selectors import qMRMLWidget
from .widgets import Signal, stored


class qMRMLTableView(QtWidgets.QTableView):
    """A table node as rows: qMRMLTableView; inert, it only keeps its node."""

    _scene = _table = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene

    def mrmlTableNode(self):
        return self._table

    def setMRMLTableNode(self, node):
        self._table = node


class qMRMLPlotView(QtWidgets.QWidget):
    """A plot: qMRMLPlotView; inert."""

    def setMRMLScene(self, scene):
        self._scene = scene

    def setMRMLPlotViewNode(self, node):
        self._view_node = node

    def fitToContent(self):
        """Nothing is drawn here."""


class qSlicerSimpleMarkupsWidget(qMRMLWidget):
    """Points the user drops: qSlicerSimpleMarkupsWidget; keeps its node, places nothing."""

    markupsNodeChanged = Signal()
    _node = None
    nodeSelectorVisible = stored(bool, "nodeSelectorVisible", True)
    optionsVisible = stored(bool, "optionsVisible", True)
    jumpToSliceEnabled = stored(bool, "jumpToSliceEnabled", False)
    enterPlaceModeOnNodeChange = stored(bool, "enterPlaceModeOnNodeChange", True)

    def currentNode(self):
        return self._node

    def setCurrentNode(self, node):
        if node is not self._node:
            self._node = node
            self.markupsNodeChanged.emit()


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """What "Correct in Segment Editor" reaches: qMRMLSegmentEditorWidget without effects."""

    _segmentation = _volume = _segment = _node = None

    def mrmlSegmentEditorNode(self):
        self._node = self._node or slicer.vtkMRMLSegmentEditorNode()
        return self._node

    def setSegmentationNode(self, node):
        self._segmentation = node

    def segmentationNode(self):
        return self._segmentation

    def setSourceVolumeNode(self, node):
        self._volume = node

    def sourceVolumeNode(self):
        return self._volume

    def setCurrentSegmentID(self, segment_id):
        self._segment = segment_id

    def currentSegmentID(self):
        return self._segment


WIDGETS = (qMRMLTableView, qMRMLPlotView, qSlicerSimpleMarkupsWidget, qMRMLSegmentEditorWidget)
