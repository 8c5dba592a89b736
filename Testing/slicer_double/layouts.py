"""The layout manager on the real layout logic: layouts, slice widgets, views; nothing is drawn."""
# ruff: noqa: N801, N802, N815 - the names are those of the real classes

from __future__ import annotations

import hashlib

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

VIEW_CLASSES = (
    "vtkMRMLLayoutNode", "vtkMRMLAbstractViewNode", "vtkMRMLSliceCompositeNode", "vtkMRMLSliceDisplayNode"
)  # fmt: skip


class qMRMLSliceView(QtCore.QObject):
    """The part of a slice widget that draws: qMRMLSliceView."""

    def scheduleRender(self):
        """Nothing is drawn here."""

    def forceRender(self):
        """Nothing is drawn here."""


class qMRMLSliceControllerWidget(QtWidgets.QWidget):
    """The bar above a slice: qMRMLSliceControllerWidget."""

    def __init__(self, logic):
        super().__init__()
        self._logic = logic

    def setSliceOffsetValue(self, offset):
        self._logic.SetSliceOffset(offset)

    def fitSliceToBackground(self):
        self._logic.FitSliceToBackground()

    def setSliceLink(self, linked):
        self._logic.GetSliceCompositeNode().SetLinkedControl(linked)


class qMRMLSliceWidget(QtWidgets.QWidget):
    """One slice of the layout on a real vtkMRMLSliceLogic: qMRMLSliceWidget."""

    def __init__(self, node):
        super().__init__()
        application_logic = slicer.app.applicationLogic()
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(node)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._view = qMRMLSliceView()
        self._controller = qMRMLSliceControllerWidget(self._logic)

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def sliceView(self):
        return self._view

    def sliceController(self):
        return self._controller

    def fitSliceToBackground(self):
        self._logic.FitSliceToBackground()


class qSlicerLayoutManager(QtCore.QObject):
    """``slicer.app.layoutManager()``: qSlicerLayoutManager; exists with a main window only."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self):
        super().__init__()
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._slices: dict[slicer.vtkMRMLSliceNode, qMRMLSliceWidget] = {}
        self._shown = None
        self._logic.GetLayoutNode().AddObserver("ModifiedEvent", self._arrange)
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._arrange()

    def layoutLogic(self):
        return self._logic

    def setLayout(self, layout):
        """Refuse a layout that is not in the layout node, where Slicer would show an empty window."""
        node = self._logic.GetLayoutNode()
        if layout == node.GetViewArrangement():
            return  # whether it is described or not, and whatever is maximized, as in Slicer
        if not node.IsLayoutDescription(layout):
            raise ValueError(f"layout {layout} is not described in the layout node")
        node.RemoveAllMaximizedViewNodes()
        node.SetViewArrangement(layout)

    def _arrange(self, *_):
        """Follow the layout node."""
        node = self._logic.GetLayoutNode()
        shown = node.GetViewArrangement(), node.GetCurrentLayoutDescription()
        if shown == self._shown:
            return
        self._shown = shown
        views = self._logic.GetViewNodes()
        mapped = [views.GetItemAsObject(index) for index in range(views.GetNumberOfItems())]
        for view in slicer.util.getNodesByClass("vtkMRMLAbstractViewNode"):
            view.SetMappedInLayout(view in mapped)
            if view.IsA("vtkMRMLSliceNode") and view not in self._slices:
                self._slices[view] = qMRMLSliceWidget(view)
        self.layoutChanged.emit(shown[0])

    layout = QtCore.Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)

    def sliceViewNames(self):
        """Return the slices of all layouts there ever were, in no order that means anything, as Slicer does."""
        names = [view.GetName() for view in self._slices]
        return tuple(sorted(names, key=lambda name: hashlib.md5(name.encode()).digest()))

    def sliceWidget(self, name):
        """Return the slice whose node has this name, in the current layout or not; None where there is none."""
        return next((widget for view, widget in self._slices.items() if view.GetName() == name), None)

    def mrmlSliceLogics(self):
        return slicer.app.applicationLogic().GetSliceLogics()

    threeDViewCount = QtCore.Property(int, lambda self: _count("vtkMRMLViewNode"))
    plotViewCount = QtCore.Property(int, lambda self: _count("vtkMRMLPlotViewNode"))
    tableViewCount = QtCore.Property(int, lambda self: _count("vtkMRMLTableViewNode"))

    def resetSliceViews(self):
        for name in self.sliceViewNames():
            self.sliceWidget(name).fitSliceToBackground()

    def resetThreeDViews(self):
        """Nothing is drawn here."""

    def _remove_nodes(self) -> None:
        """Take the views out of the scene with the window, as if it had never been there."""
        for class_name in VIEW_CLASSES:
            for node in slicer.util.getNodesByClass(class_name):
                slicer.mrmlScene.RemoveNode(node)


def _count(class_name: str) -> int:
    """Return how many views of a kind there are, shown or not: Slicer counts all."""
    return slicer.mrmlScene.GetNumberOfNodesByClass(class_name)
