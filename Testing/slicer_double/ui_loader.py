"""``qt.QUiLoader`` that makes the double's widgets and refuses what the real loader would drop in silence."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import pythonqt

DYNAMIC = {"SlicerParameterName", "SlicerPackParameterName"}  # properties that Slicer reads from any widget
#: The form builder takes these for a layout's margins, though no layout has them as properties.
MARGINS = {"leftMargin", "topMargin", "rightMargin", "bottomMargin"}


def make_loader(widgets: dict[str, type]) -> type:
    """Return the class ``QUiLoader`` that knows these widget classes by name."""

    class QUiLoader(QtUiTools.QUiLoader):
        def createWidget(self, class_name, parent=None, name=""):  # noqa: N802
            if class_name not in widgets:
                return super().createWidget(class_name, parent, name)
            widget = widgets[class_name](parent)
            widget.setObjectName(name)
            return widget

        def load(self, file, parent=None):
            root = ElementTree.fromstring(file.readAll().data())
            _refuse_unknown(root, widgets)
            links = _take_connections(root)
            buffer = QtCore.QBuffer()
            buffer.setData(ElementTree.tostring(root))
            buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
            with pythonqt.loading():
                panel = super().load(buffer, parent)
            _refuse_undeclared(panel)
            _connect(panel, links)
            return panel

    return QUiLoader


def _refuse_unknown(root, widgets) -> None:
    for element in root.iter("widget"):
        name = element.get("class")
        if name.startswith(("ctk", "qMRML", "qSlicer")) and name not in widgets:
            raise NotImplementedError(f"the .ui file uses {name}, which the test double lacks: Testing/slicer_double")


def _take_connections(root) -> list[list[str]]:
    """Cut the connections out: Qt cannot make those with MRML types, which are Python objects here."""
    connections = root.find("connections")
    if connections is None:
        return []
    root.remove(connections)
    return [[link.findtext(part) for part in ("sender", "signal", "receiver", "slot")] for link in connections]


def _refuse_undeclared(panel) -> None:
    """A property the class does not have becomes a dynamic one, which nobody reads."""
    for item in [panel, *panel.findChildren(QtCore.QObject)]:
        dynamic = {bytes(name.data()).decode() for name in item.dynamicPropertyNames()}
        known = DYNAMIC | (MARGINS if isinstance(item, QtWidgets.QLayout) else set())
        unknown = {name for name in dynamic - known if not name.startswith("_")}  # Qt's and PySide's own
        if unknown:
            raise AttributeError(f"{item.metaObject().className()} {item.objectName!r} has no property {unknown}")


def _connect(panel, links) -> None:
    for sender, signal, receiver, slot in links:
        _named(panel, sender).connect(signal, _named(panel, receiver), slot)


def _named(panel, name: str):
    found = panel if panel.objectName == name else panel.findChild(QtCore.QObject, name)
    if found is None:
        raise LookupError(f"a connection of the .ui file names {name!r}, which is not in it")
    return found
