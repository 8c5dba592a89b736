# ruff: noqa: N801, N802, N815 - the names are those of the real classes
"""qMRML widgets that choose nodes and segments, live on the real scene."""

from __future__ import annotations

import weakref

import shiboken6
import slicer
from PySide6 import QtCore, QtWidgets
from vtkmodules import vtkCommonCore
from vtkmodules.util.misc import calldata_type

from .widgets import Property, Signal, row, stored


class qMRMLWidget(QtWidgets.QWidget):
    """A widget with a scene: qMRMLWidget, the top of every module panel."""

    mrmlSceneChanged = Signal(object)
    _scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class SceneObserver:
    """Calls ``widget._refresh()`` whenever nodes that it may list come, go or change; lives as long as the widget."""

    EVENTS = ("EndImportEvent", "EndCloseEvent", "EndBatchProcessEvent")
    NODE_EVENTS = ("NodeAddedEvent", "NodeRemovedEvent")
    LATE = -10.0  # Slicer's model hears of a node that goes after observers of usual priority

    def __init__(self, widget, scene):
        self.reference, self.scene = weakref.ref(widget), scene
        self.tags = [scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, self._forget)]
        self.tags += [scene.AddObserver(getattr(slicer.vtkMRMLScene, event), self._refresh) for event in self.EVENTS]
        self.tags += [scene.AddObserver(getattr(slicer.vtkMRMLScene, event), self._node) for event in self.NODE_EVENTS]
        self.tags.append(scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._goes, self.LATE))
        self.nodes: dict = {}
        self.shown: dict = {}
        widget.destroyed.connect(lambda *_: self.stop())  # else every event of the scene goes to all there ever were

    def watch(self, nodes) -> None:
        """Follow names and attributes of these nodes, too."""
        for node in nodes:
            if node not in self.nodes:
                self.nodes[node] = node.AddObserver("ModifiedEvent", self._changed)
            self.shown[node] = self._alive()._what_shows(node)

    def stop(self) -> None:
        for tag in self.tags:
            self.scene.RemoveObserver(tag)
        for node, tag in self.nodes.items():
            node.RemoveObserver(tag)
        self.tags.clear()
        self.nodes.clear()

    def _alive(self):
        widget = self.reference()
        return widget if widget is not None and shiboken6.isValid(widget) else None

    def _refresh(self, *_) -> None:
        widget = self._alive()
        if widget is not None and not self.scene.IsClosing() and not self.scene.IsImporting():
            widget._refresh()

    @calldata_type(vtkCommonCore.VTK_OBJECT)
    def _node(self, scene, event, node) -> None:
        widget = self._alive()
        if widget is not None and widget._may_list(node):
            self._refresh()

    @calldata_type(vtkCommonCore.VTK_OBJECT)
    def _goes(self, scene, event, node) -> None:
        widget = self._alive()
        if widget is not None and not scene.IsClosing():
            widget._part_from(node)

    def _changed(self, node, event) -> None:
        widget = self._alive()
        if widget is not None and widget._what_shows(node) != self.shown.get(node):
            self._refresh()

    def _forget(self, *_) -> None:
        widget = self._alive()
        if widget is not None:
            widget._forget()


class qMRMLSortFilterProxyModel(QtCore.QObject):
    """What leaves nodes out of a selector by their IDs: qMRMLSortFilterProxyModel, of which nothing else is here."""

    def __init__(self, owner):
        super().__init__(owner)
        self._owner, self._hidden = owner, []

    def _hide(self, ids):
        if list(ids) != self._hidden:
            self._hidden = list(ids)
            self._owner._refresh()

    hiddenNodeIDs = Property("QStringList", lambda self: self._hidden, _hide)


class qMRMLNodeComboBox(qMRMLWidget):
    """A node selector: qMRMLNodeComboBox. Without ``noneEnabled`` it takes the first node that fits by itself.

    As in Slicer it is disabled until it has a scene, one attribute per node type filters, and a node chosen before
    the scene is set is chosen when it is.
    """

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeEdited = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._box = QtWidgets.QComboBox()
        self._box.activated.connect(self._activated)
        self._current = self._wanted = ""
        self._attributes: dict[str, tuple[str, str | None]] = {}
        self._types: list[str] = []
        self._items: list[tuple[str, str]] = []
        self._proxy_model = qMRMLSortFilterProxyModel(self)
        self._none_enabled = False
        self._observer: SceneObserver | None = None
        row(self, self._box)
        self.setEnabled(False)

    def _set_types(self, types):
        self._types = list(types)
        self._refresh()

    def _set_none_enabled(self, enabled):
        self._none_enabled = enabled
        self._refresh()

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    noneEnabled = Property(bool, lambda self: self._none_enabled, _set_none_enabled)
    currentNodeID = Property(str, lambda self: self._current, lambda self, node_id: self.setCurrentNodeID(node_id))
    showHidden = stored(bool, "showHidden", False)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True)
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [])
    baseName = stored(str, "baseName", "")
    noneDisplay = stored(str, "noneDisplay", "None")
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)

    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        if self._observer:
            self._observer.stop()
        self._observer = SceneObserver(self, scene) if scene else None
        self._scene = scene
        self.setEnabled(scene is not None)
        self._current, wanted = "", self._wanted or self._current
        self._refresh()
        if wanted:
            self.setCurrentNodeID(wanted)
        self.mrmlSceneChanged.emit(scene)

    def addAttribute(self, node_type, name, value=None):
        if node_type in self._types:  # else Slicer passes over it without a word
            self._attributes[node_type] = (name, None if value is None else str(value))
            self._refresh()

    def removeAttribute(self, node_type, name):
        if self._attributes.get(node_type, ("",))[0] == name:
            del self._attributes[node_type]
        self._refresh()

    def sortFilterProxyModel(self):
        return self._proxy_model

    def currentNode(self):
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node):
        self.setCurrentNodeID(node.GetID() if node else "")

    def setCurrentNodeID(self, node_id):
        """Choose the node; one that the filter does not show leaves nothing chosen, as in Slicer."""
        self._wanted = node_id if self._scene is None else ""
        self._choose(node_id if self._box.findData(node_id) >= 0 else "")

    def setCurrentNodeIndex(self, index):
        self.setCurrentNode(self.nodeFromIndex(index))

    def nodeCount(self):
        return len(self._nodes())

    def nodeFromIndex(self, index):
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addNode(self, node_type=None):
        """What "Create new …" does."""
        node_type = node_type or self._types[0]
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(self.baseName or "Node"))
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self):
        self._scene.RemoveNode(self.currentNode())

    def _nodes(self) -> list:
        return [node for node in self._all_nodes() if self._fits(node)]

    def _all_nodes(self) -> list:
        """Return the nodes of the scene that a change may bring into the list."""
        types = self._types
        kind = types[0] if len(types) == 1 else "vtkMRMLNode"  # the scene's own filter is fast
        nodes = slicer.util.getNodesByClass(kind, self._scene) if self._scene and types else []
        return nodes if len(types) == 1 else [node for node in nodes if any(node.IsA(kind) for kind in types)]

    def _may_list(self, node) -> bool:
        return any(node.IsA(kind) for kind in self._types)

    def _what_shows(self, node) -> tuple:
        """Return what of a node decides whether and how it is listed."""
        wanted = [node.GetAttribute(name) for name, _ in self._attributes.values()]
        return node.GetName(), node.GetHideFromEditors(), wanted

    def _fits(self, node) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if node.GetID() in self._proxy_model._hidden:
            return False
        kind = next((kind for kind in self._types if self._is_kind(node, kind)), None)
        if kind is None or any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
            return False
        name, value = self._attributes.get(kind, (None, None))
        found = name and node.GetAttribute(name)
        return name is None or (found is not None and value in (None, found))

    def _is_kind(self, node, kind: str) -> bool:
        return node.IsA(kind) and (self.showChildNodeTypes or node.GetClassName() == kind)

    def _refresh(self) -> None:
        """List the nodes again, keeping the choice if it still fits."""
        known = self._all_nodes()
        nodes = [node for node in known if self._fits(node)]
        if self._observer:
            self._observer.watch(known)
        shown = [node.GetID() for node in nodes]
        self._list([(self.noneDisplay, "")] * self._none_enabled + [(node.GetName(), node.GetID()) for node in nodes])
        first = "" if self._none_enabled or not shown else shown[0]
        self._choose(self._current if self._current in shown else first)

    def _list(self, items: list[tuple[str, str]]) -> None:
        """Let the box hold these names and IDs; most of what happens in a scene changes none."""
        if items == self._items:
            return
        self._items = items
        self._box.blockSignals(True)
        self._box.clear()
        for name, node_id in items:
            self._box.addItem(name, node_id)
        self._box.blockSignals(False)

    def _part_from(self, node) -> None:
        """Choose the next node, or the last, when the chosen one goes: so does Qt's combo box, also with "none"."""
        if node.GetID() == self._current and node in (nodes := self._nodes()):
            others = [other for other in nodes if other is not node]
            self._choose(others[min(nodes.index(node), len(others) - 1)].GetID() if others else "")

    def _forget(self) -> None:
        """Choose nothing: after an import Slicer's model takes all nodes out and lists them anew."""
        if self._none_enabled:
            self._choose("")

    def _choose(self, node_id: str) -> None:
        self._box.setCurrentIndex(self._box.findData(node_id))
        if node_id != self._current:
            self._current = node_id
            node = self.currentNode()
            self.currentNodeChanged.emit(node)
            self.currentNodeChanged[bool].emit(node is not None)
            self.currentNodeIDChanged.emit(node_id)

    def _activated(self, index: int) -> None:
        self._choose(self._box.itemData(index))
        self.nodeActivated.emit(self.currentNode())


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation and one segment of it: qMRMLSegmentSelectorWidget, single selection only."""

    currentNodeChanged = Signal((object,), (bool,))
    currentSegmentChanged = Signal(str)
    SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._nodes = qMRMLNodeComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._segments = QtWidgets.QComboBox()
        self._segments.currentIndexChanged.connect(self._segment_changed)
        self._current, self._observed = "", None
        row(self, self._nodes, self._segments)
        self._nodes.currentNodeChanged.connect(self._node_changed)

    noneEnabled = Property(
        bool, lambda self: self._nodes.noneEnabled, lambda self, value: self._set_none_enabled(value)
    )
    segmentationNodeSelectorVisible = Property(
        bool, lambda self: not self._nodes.isHidden(), lambda self, visible: self._nodes.setVisible(visible)
    )

    def setMRMLScene(self, scene):
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def currentNode(self):
        return self._nodes.currentNode()

    def currentNodeID(self):
        return self._nodes.currentNodeID

    def setCurrentNode(self, node):
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, node_id):
        self._nodes.setCurrentNodeID(node_id)

    def segmentIDs(self):
        """Return nothing: Slicer's own asks the list for several segments, which is empty where one is chosen."""
        return ()

    def _identities(self):
        node = self.currentNode()
        return tuple(node.GetSegmentation().GetSegmentIDs()) if node else ()

    def currentSegmentID(self):
        """Return the segment that was chosen last, also when its segmentation is no more chosen, as Slicer does."""
        return self._current

    def setCurrentSegmentID(self, segment_id):
        index = self._segments.findData(segment_id)
        if index >= 0:
            self._segments.setCurrentIndex(index)

    def _set_none_enabled(self, enabled):
        self._nodes.noneEnabled = enabled
        self._list_segments()

    def _node_changed(self, node) -> None:
        if self._observed:
            for tag in self._observed[1]:
                self._observed[0].RemoveObserver(tag)
        self._observed = None
        if node:
            events = [getattr(slicer.vtkSegmentation, event) for event in self.SEGMENT_EVENTS]
            self._observed = node, [node.AddObserver(event, self._list_segments) for event in events]
        self._list_segments()
        self.currentNodeChanged.emit(node)
        self.currentNodeChanged[bool].emit(node is not None)

    def _list_segments(self, *_) -> None:
        """List the segments again; the first, after "none", is chosen when the old choice is gone."""
        identities = self._identities()
        self._segments.blockSignals(True)
        self._segments.clear()
        if identities and self._nodes.noneEnabled:
            self._segments.addItem("None", "")
        for segment_id in identities:
            name = self.currentNode().GetSegmentation().GetSegment(segment_id).GetName()
            self._segments.addItem(name, segment_id)
        index = self._segments.findData(self._current)
        self._segments.setCurrentIndex(index)
        self._segments.blockSignals(False)
        if identities and index < 0:
            self._segments.setCurrentIndex(int(self._nodes.noneEnabled))

    def _segment_changed(self, index: int) -> None:
        if self.currentNode():
            self._current = self._segments.itemData(index) or ""
            self.currentSegmentChanged.emit(self._current)


WIDGETS = (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentSelectorWidget)
ABSENT = ("qMRMLRangeWidget", "qMRMLSliderWidget", "qMRMLSpinBox", "qSlicerWidget")
