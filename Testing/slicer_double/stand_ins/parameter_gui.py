"""Joints between a field of the parameter node and the widget that shows it, for the pairs Slicer knows.

The class of the widget must be exactly the one named, as in Slicer. Ranges, decimals and choices come from the
annotations of the field and replace what the .ui file says.
"""

from __future__ import annotations

import enum
import pathlib

import ctk
import qt
import slicer

from .parameters import Choice, Decimals, Field, SingleStep, WithinRange


class Joint:
    """Shows the field in the widget, and writes the field when the widget says that it changed."""

    def __init__(self, wrapped, field: Field, widget, *, signal, get, put):
        self.wrapped, self.field, self.signal, self.get, self.put = wrapped, field, signal, get, put
        self.showing = False
        if signal is not None:
            self.show()
            signal.connect(self.changed)

    def show(self) -> None:
        if not self.showing:
            self.showing = True
            try:
                self.put(self.wrapped.getValue(self.field.name))
            finally:
                self.showing = False

    def changed(self, *_) -> None:
        if not self.showing:
            with slicer.util.NodeModify(self.wrapped):
                self.wrapped.setValue(self.field.name, self.get())

    def stop(self) -> None:
        if self.signal is not None:
            self.signal.disconnect(self.changed)


def join(wrapped, field: Field, widget) -> Joint:
    """Return the joint for this field and widget; RuntimeError for a pair Slicer does not know."""
    for classes, fits, make in JOINTS:
        if type(widget) in classes and fits(field):
            return Joint(wrapped, field, widget, **make(field, widget))
    raise RuntimeError(f"Unable to create GUI connector from datatype '{field.hint}' to widget type '{type(widget)}'")


def _attribute(widget, name: str, signal, convert=lambda value: value) -> dict:
    """Get and put a value that is a property of the widget."""
    return {
        "signal": signal,
        "get": lambda: convert(getattr(widget, name)),
        "put": lambda value: setattr(widget, name, value),
    }


def _check_box(field, widget):
    return _attribute(widget, "checked", widget.stateChanged)


def _push_button(field, widget):
    widget.checkable = True
    return _attribute(widget, "checked", widget.toggled)


def _number(field, widget):
    limits = field.annotation(WithinRange) or WithinRange(float("-inf"), float("inf"))
    if isinstance(widget, (ctk.ctkSliderWidget, qt.QSlider)) and limits.maximum - limits.minimum == float("inf"):
        raise RuntimeError(f"{field.name}: a slider needs a range, e.g. Annotated[float, WithinRange(0, 1)]")
    if field.kind is int and isinstance(widget, (ctk.ctkDoubleSpinBox, qt.QDoubleSpinBox)):
        widget.decimals = 0
    elif field.annotation(Decimals):
        widget.decimals = field.annotation(Decimals).value
    if field.annotation(SingleStep):
        widget.singleStep = field.annotation(SingleStep).value
    whole = isinstance(widget, (qt.QSpinBox, qt.QSlider))
    widget.minimum = int(max(limits.minimum, -(2**31))) if whole else limits.minimum
    widget.maximum = int(min(limits.maximum, 2**31 - 1)) if whole else limits.maximum
    return _attribute(widget, "value", widget.valueChanged, field.kind)


def _combo_box(field, widget):
    """Enumerations show ``label(member)`` if they have it, else their name; choices show ``str``."""
    if issubclass(field.kind, enum.Enum):
        values = list(field.kind)
        labels = [getattr(field.kind, "label", lambda member: member.name)(value) for value in values]
    elif field.annotation(Choice):
        values = list(field.annotation(Choice).choices)
        labels = [str(value) for value in values]
    else:
        raise RuntimeError(f"{field.name}: a combo box needs the Choice annotation")
    widget.clear()
    for label in labels:
        widget.addItem(label)
    return {
        "signal": widget.currentIndexChanged,
        "get": lambda: values[widget.currentIndex],
        "put": lambda value: setattr(widget, "currentIndex", values.index(value)),
    }


def _line_edit(field, widget):
    joint = _attribute(widget, "text", widget.textChanged)
    put = joint["put"]
    return {**joint, "put": lambda value: value == widget.text or put(value)}  # keeps the cursor


def _label(field, widget):
    return {"signal": None, "get": None, "put": lambda value: setattr(widget, "text", value)}


def _text(field, widget):
    return {"signal": widget.textChanged, "get": widget.toPlainText, "put": widget.setPlainText}


def _path(field, widget):
    joint = _attribute(widget, "currentPath", widget.currentPathChanged, field.kind)
    return {**joint, "put": lambda value: setattr(widget, "currentPath", str(value))}


def _node(field, widget):
    widget.nodeTypes = [node_class.__name__ for node_class in field.classes]
    return {"signal": widget.currentNodeChanged, "get": widget.currentNode, "put": widget.setCurrentNode}


def _is(*kinds):
    return lambda field: issubclass(field.kind, kinds)


def _is_real_number(field) -> bool:
    return field.kind in (int, float)


_COMBO_BOXES = (qt.QComboBox, ctk.ctkComboBox)
JOINTS = (
    ((qt.QCheckBox, ctk.ctkCheckBox), _is(bool), _check_box),
    ((qt.QPushButton,), _is(bool), _push_button),
    ((qt.QSlider, qt.QSpinBox), lambda field: field.kind is int, _number),
    ((qt.QDoubleSpinBox, ctk.ctkSliderWidget, ctk.ctkDoubleSpinBox), _is_real_number, _number),
    (_COMBO_BOXES, _is(int, float, str, bool, enum.Enum), _combo_box),
    ((qt.QLineEdit,), _is(str), _line_edit),
    ((qt.QLabel,), _is(str), _label),
    ((qt.QTextEdit,), _is(str), _text),
    ((ctk.ctkPathLineEdit,), _is(pathlib.PurePath), _path),
    ((slicer.qMRMLNodeComboBox,), _is(slicer.vtkMRMLNode), _node),
)
