# ruff: noqa: N801, N802, N815 - the names are those of the real classes
"""ctk widgets as far as a perfusion panel needs them: real names, the properties that matter, nothing else.

Each setter that in CTK is no slot is missing here, too: PythonQt offers slots and properties only. What CTK has and
this file lacks raises; add it here, with its real name, when the panel needs it.
"""

from __future__ import annotations

import sys
import types

from PySide6 import QtCore, QtWidgets

Property, Signal = QtCore.Property, QtCore.Signal


def stored(kind, name: str, default) -> Property:
    """Make a Qt property that is only kept, without effect on what is shown."""
    field = f"_{name}"
    return Property(kind, lambda self: getattr(self, field, default), lambda self, value: setattr(self, field, value))


def delegated(kind, inner: str, name: str) -> Property:
    """Make a Qt property that is the property ``name`` of the child widget kept in the field ``inner``."""
    return Property(
        kind,
        lambda self: getattr(self, inner).property(name),
        lambda self, value: getattr(self, inner).setProperty(name, value),
    )


def row(parent, *children) -> None:
    """Lay children out in one row without margins."""
    layout = QtWidgets.QHBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    for child in children:
        layout.addWidget(child)


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A titled section: ctkCollapsibleButton with ``collapsed`` and contentsCollapsed(bool)."""

    contentsCollapsed = Signal(bool)
    _title_height = 24

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(2, self._title_height, 2, 2)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Fixed)
        self.toggled.connect(self._show_contents)

    collapsed = Property(
        bool, lambda self: not self.property("checked"), lambda self, collapsed: self.setChecked(not collapsed)
    )

    def _show_contents(self, shown: bool) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(shown)
        self.updateGeometry()
        self.contentsCollapsed.emit(not shown)

    def sizeHint(self):
        title = QtCore.QSize(120, self._title_height)
        return self.layout().totalSizeHint().expandedTo(title) if self.layout() and self.property("checked") else title

    def minimumSizeHint(self):
        return self.sizeHint()

    def paintEvent(self, event):
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.property("width"), self._title_height - 4)
        option.text = ("▾ " if self.property("checked") else "▸ ") + self.property("text")
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButton, option)


class ctkDoubleSpinBox(QtWidgets.QWidget):
    """A number: ctkDoubleSpinBox, which is a widget with a spin box inside, not a QDoubleSpinBox."""

    valueChanged = Signal(float)
    editingFinished = Signal()

    def __init__(self, parent=None):
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox()
        self._spin.valueChanged.connect(self.valueChanged)
        self._spin.editingFinished.connect(self.editingFinished)
        row(self, self._spin)

    value = delegated(float, "_spin", "value")
    minimum = delegated(float, "_spin", "minimum")
    maximum = delegated(float, "_spin", "maximum")
    singleStep = delegated(float, "_spin", "singleStep")
    decimals = delegated(int, "_spin", "decimals")
    prefix = delegated(str, "_spin", "prefix")
    suffix = delegated(str, "_spin", "suffix")
    readOnly = delegated(bool, "_spin", "readOnly")
    cleanText = Property(str, lambda self: self._spin.property("cleanText"))

    def setValue(self, value):
        self._spin.setValue(value)


class ctkSliderWidget(ctkDoubleSpinBox):
    """A slider with a spin box: ctkSliderWidget; 0 to 99 in steps of 1 until told otherwise."""

    valueIsChanging = Signal(float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self._slider.setRange(0, 1000)
        self.layout().insertWidget(0, self._slider)
        self._spin.setDecimals(0)
        self._spin.setMaximum(99)
        self._spin.valueChanged.connect(self._move_slider)
        self._slider.sliderMoved.connect(self._slider_moved)

    tracking = stored(bool, "tracking", True)
    pageStep = stored(float, "pageStep", 10.0)
    spinBoxVisible = Property(
        bool, lambda self: not self._spin.isHidden(), lambda self, visible: self._spin.setVisible(visible)
    )

    def _move_slider(self, value: float) -> None:
        low, high = self.property("minimum"), self.property("maximum")
        self._slider.setValue(round(1000 * (value - low) / (high - low)) if high > low else 0)

    def _slider_moved(self, position: int) -> None:
        low, high = self.property("minimum"), self.property("maximum")
        self._spin.setValue(low + position / 1000 * (high - low))
        self.valueIsChanging.emit(self._spin.property("value"))


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for "nothing chosen": ctkComboBox."""

    defaultText = stored(str, "defaultText", "")


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box with an icon as indicator: ctkCheckBox; the icon is not drawn."""


class ctkMessageBox(QtWidgets.QMessageBox):
    """A message with "don't show again": ctkMessageBox."""

    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)


class ctkPathLineEdit(QtWidgets.QWidget):
    """A file or folder: ctkPathLineEdit with ``currentPath`` and currentPathChanged(QString)."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Dirs, Files, Readable, Writable, Executable = 0x1, 0x2, 0x10, 0x20, 0x40

    def __init__(self, parent=None):
        super().__init__(parent)
        self._line = QtWidgets.QLineEdit()
        self._line.textChanged.connect(self.currentPathChanged)
        row(self, self._line)

    currentPath = delegated(str, "_line", "text")
    label = stored(str, "label", "")
    filters = stored(int, "filters", 0)
    nameFilters = stored("QStringList", "nameFilters", [])
    settingKey = stored(str, "settingKey", "")
    showHistoryButton = stored(bool, "showHistoryButton", True)

    def setCurrentPath(self, path):
        self._line.setText(path)

    def addCurrentPathToHistory(self):
        """Kept in the settings by the real widget; here there is no history."""


def absent(name: str) -> type:
    """Make a class that only has a name: Slicer's own Python compares widgets with it. Its use raises."""

    def refuse(self, *_):
        raise NotImplementedError(f"the test double has no {name}: add it to Testing/slicer_double")

    return type(name, (QtWidgets.QWidget,), {"__init__": refuse, "__module__": __name__})


WIDGETS = (
    ctkCollapsibleButton, ctkDoubleSpinBox, ctkSliderWidget, ctkComboBox, ctkCheckBox, ctkMessageBox, ctkPathLineEdit
)  # fmt: skip
ABSENT = (
    "ctkCheckablePushButton", "ctkColorPickerButton", "ctkDirectoryButton", "ctkDoubleRangeSlider", "ctkDoubleSlider",
    "ctkRangeWidget",
)  # fmt: skip


def install() -> types.ModuleType:
    """Return the module ``ctk``, importable by that name."""
    ctk = types.ModuleType("ctk")
    for widget in (*WIDGETS, *map(absent, ABSENT)):
        setattr(ctk, widget.__name__, widget)
    sys.modules["ctk"] = ctk
    return ctk
