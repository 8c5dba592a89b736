"""``slicer.parameterNodeWrapper``: typed fields kept in a parameter node, and so in the scene.

Supported: ``str``, ``int``, ``float``, ``bool``, ``pathlib.Path``, enumerations, MRML nodes, a union of nodes and
None; ``Annotated`` with Default, Choice, WithinRange, Minimum, Maximum, Decimals, SingleStep. Values are written as
Slicer writes them. Everything else Slicer offers (lists, packs, ranges, colours …) raises TypeError here.
"""
# ruff: noqa: N802, N803, N815 - the names are those of the real package

from __future__ import annotations

import enum
import pathlib
import types
import typing
import weakref
from dataclasses import dataclass
from typing import Any

import slicer
import slicer.util
import vtk

SlicerParameterNamePropertyName = "SlicerParameterName"


class Default:
    """Value of a field that was never set."""

    def __init__(self, value=None, *, generator=None):
        self._make = generator or (lambda: value)

    @property
    def value(self):
        return self._make()


@dataclass
class Choice:
    """The values a field may have."""

    choices: Any

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


@dataclass
class WithinRange:
    """The smallest and the largest value."""

    minimum: float
    maximum: float

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(WithinRange):
    """The smallest value."""

    def __init__(self, minimum):
        super().__init__(minimum, float("inf"))


class Maximum(WithinRange):
    """The largest value."""

    def __init__(self, maximum):
        super().__init__(float("-inf"), maximum)


@dataclass
class Decimals:
    """Digits that a spin box or slider shows."""

    value: int


@dataclass
class SingleStep:
    """Step of a spin box or slider."""

    value: float


@dataclass(frozen=True)
class Field:
    """One field of a wrapped parameter node."""

    name: str
    hint: Any  # as annotated
    kind: type  # one of str, int, float, bool, Path, Enum subclass, vtkMRMLNode
    classes: tuple[type, ...]  # what a value may be an instance of
    annotations: tuple
    default: Default

    def check(self, value) -> None:
        if not isinstance(value, self.classes) and not (value is None and self.is_node):
            raise TypeError(f"Value must be of type '{self.classes}', is type '{type(value)}' value '{value}'")
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)

    @property
    def is_node(self) -> bool:
        return self.kind is slicer.vtkMRMLNode

    def annotation(self, kind: type):
        return next((annotation for annotation in self.annotations if isinstance(annotation, kind)), None)

    def write(self, node, value) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            if self.is_node:
                node.SetParameter(self.name, "")  # says that the field was set, also to None
                node.SetNodeReferenceID(self.name, value.GetID() if value else None)
            else:
                node.SetParameter(self.name, value.name if issubclass(self.kind, enum.Enum) else str(value))

    def read(self, node):
        if not node.HasParameter(self.name):
            self.write(node, self.default.value)  # closing the scene takes parameters away
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)


def make_field(owner: type, name: str, hint) -> Field:
    """Read one annotation of the class; raises TypeError for a type the stand-in does not know."""
    bare, *annotations = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
    parts = typing.get_args(bare) if typing.get_origin(bare) in (typing.Union, types.UnionType) else (bare,)
    classes = tuple(part for part in parts if part is not type(None))
    kind = _kind(classes, optional=len(classes) < len(parts), where=f"{owner.__name__}.{name}")
    given = next((annotation for annotation in annotations if isinstance(annotation, Default)), None)
    if hasattr(owner, name):
        given = Default(getattr(owner, name))
    allowed = (int, float) if kind is float else classes
    return Field(name, hint, kind, allowed, tuple(annotations), given or Default(_plain_default(kind)))


def _kind(classes: tuple, *, optional: bool, where: str) -> type:
    if all(isinstance(part, type) and issubclass(part, slicer.vtkMRMLNode) for part in classes):
        return slicer.vtkMRMLNode
    known = len(classes) == 1 and not optional and isinstance(classes[0], type)
    if known and (classes[0] in (str, int, float, bool) or issubclass(classes[0], enum.Enum | pathlib.PurePath)):
        return classes[0]
    raise TypeError(f"{where}: the test double has no parameter of type {classes}")


def _plain_default(kind: type):
    if issubclass(kind, slicer.vtkMRMLNode):
        return None
    return next(iter(kind)) if issubclass(kind, enum.Enum) else kind()


def parameterNodeWrapper(classtype=None):
    """Class decorator: each annotated name becomes a property that reads and writes the parameter node."""
    if classtype is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(classtype, include_extras=True)
    fields = {name: make_field(classtype, name, hint) for name, hint in hints.items()}
    reserved = sorted(set(vars(Wrapped)) & set(fields))
    if reserved:
        raise ValueError(f"Cannot use reserved name '{reserved[0]}' in a parameterNodeWrapper")
    properties = {name: _property(field) for name, field in fields.items()}
    body = {name: value for name, value in vars(classtype).items() if name not in ("__dict__", "__weakref__")}
    return type(classtype.__name__, (Wrapped,), {**body, **properties, "allParameters": fields})


def _property(field: Field) -> property:
    return property(
        lambda self: field.read(self.parameterNode), lambda self, value: field.write(self.parameterNode, value)
    )


class Wrapped:
    """What every wrapped parameter node can do."""

    allParameters: typing.ClassVar[dict[str, Field]]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode, prefix=None):
        if prefix:
            raise NotImplementedError("the test double has no prefix")
        self.parameterNode = parameterNode
        self._guis: dict[int, tuple[int, list]] = {}
        for field in self.allParameters.values():
            field.read(parameterNode)  # writes the default where nothing was set
        self._caches = [self._cache(field) for field in self.allParameters.values()]

    def _cache(self, field) -> int:
        """Read the field whenever the node changes, as long as the wrapper lives: so does Slicer's cache of it."""
        me = weakref.ref(self)
        return self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: me() and field.read(me().parameterNode))

    def __del__(self):
        for tag in getattr(self, "_caches", ()):
            self.RemoveObserver(tag)

    def getValue(self, name):
        return self._field(name).read(self.parameterNode)

    def setValue(self, name, value):
        self._field(name).write(self.parameterNode, value)

    def default(self, name):
        return self._field(name).default

    @classmethod
    def dataType(cls, name):
        return cls._field(name).hint

    @classmethod
    def _field(cls, name) -> Field:
        if name not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        return cls.allParameters[name]

    def connectGui(self, gui):
        """Join every widget whose property SlicerParameterName names a field with it; returns a tag."""
        import qt

        is_widget = hasattr(gui, "isWidgetType")
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping):
        """Join the widgets with the fields they are listed under; returns a tag for disconnectGui."""
        from .parameter_gui import join

        for name in mapping:
            self._field(name)
        joints = [join(self, self._field(name), widget) for name, widget in mapping.items()]

        def show(*_):
            for joint in joints:
                joint.show()

        show()
        tag = len(self._guis)
        self._guis[tag] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, show), joints
        return tag

    def disconnectGui(self, tag):
        if tag in self._guis:
            observer, joints = self._guis[tag]
            self.RemoveObserver(observer)
            for joint in joints:
                joint.stop()
            self._guis[tag] = (0, [])

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def Modified(self):
        self.parameterNode.Modified()
