"""PySide6 with the manners of PythonQt, the binding that Slicer's Python sees as the module ``qt``.

* Qt properties are attributes: ``button.text = "Apply"``; ``button.text()`` fails as it does in Slicer.
* ``button.connect("clicked(bool)", f)``: the signal is named by its full signature and must exist.
* A C++ object takes no new attributes: ``button.tooltip = …`` raises instead of being lost.
* A list of strings comes back as a tuple. ``name`` stands for ``objectName``.
* Exceptions raised in slots and VTK observers, which Qt and VTK only print, are kept in ``slot_errors``.

The PySide6 classes are changed in place, for the whole process: what Qt itself hands back must behave the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import re
import sys
import types
from typing import ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

slot_errors: list[BaseException] = []
_POINTER = re.compile(r"\w+\s*\*")
_set_generically = ctypes.pythonapi.PyObject_GenericSetAttr
_set_generically.argtypes = [ctypes.py_object] * 3
_loading: list[bool] = []


def install() -> types.ModuleType:
    """Change the PySide6 classes, once, and return the module ``qt``; also importable by that name."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    qt = types.ModuleType("qt")
    for module in (QtCore, QtGui, QtWidgets):
        for name in dir(module):
            if not name.startswith("_"):
                setattr(qt, name, getattr(module, name))
    for member in {member for member in vars(qt).values() if isinstance(member, type)}:
        if issubclass(member, QtCore.QObject):
            _adapt(member)
    _adapt_connections()
    QtCore.QObject.name = property(lambda self: self.objectName, lambda self, name: self.setObjectName(name))
    QtCore.QObject.className = lambda self: self.metaObject().className()
    sys.excepthook = _record_error
    sys.modules["qt"] = qt
    return qt


@contextlib.contextmanager
def loading():
    """Ignore that PySide6's loader of .ui files sets children as attributes of their parent."""
    _loading.append(True)
    try:
        yield
    finally:
        _loading.pop()


class _QtProperty:
    """One Qt property as an attribute of its objects; the class keeps what it had under that name."""

    _reading: ClassVar[set[tuple[int, str]]] = set()

    def __init__(self, name, on_class):
        self.name, self.on_class = name, on_class

    def __get__(self, target, owner=None):
        if target is None:
            return self.on_class
        key = (id(target), self.name)
        if key in self._reading:
            return None  # C++ looks for a Python override of a virtual getter: there is none
        self._reading.add(key)
        try:
            value = target.property(self.name)
        finally:
            self._reading.discard(key)
        return tuple(value) if isinstance(value, list) else value

    def __set__(self, target, value):
        _set_property(target, self.name, value)


def _adapt(qt_class: type) -> None:
    meta = qt_class.staticMetaObject
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        if index >= meta.propertyOffset() or name in vars(qt_class):  # inherited, but hidden by a method
            setattr(qt_class, name, _QtProperty(name, getattr(qt_class, name, None)))
    qt_class.__setattr__ = _set_attribute
    if issubclass(qt_class, QtWidgets.QDialog):
        qt_class.exec_ = lambda self: self.exec()


def _set_attribute(target, name, value) -> None:
    """Set an attribute that exists; Python classes outside Qt and this package may have new ones, as in PythonQt."""
    known = getattr(type(target), name, None)
    if isinstance(known, QtCore.Property):
        _set_property(target, name, value)
        return
    if not hasattr(type(target), name) and _is_closed(type(target), name):
        if _loading:
            return
        raise AttributeError(f"{type(target).__name__} has no property {name!r} and takes no new attributes")
    _set_generically(target, name, value)


def _set_property(target, name, value) -> None:
    if not target.setProperty(name, list(value) if isinstance(value, tuple) else value):
        raise AttributeError(f"{type(target).__name__}.{name} is read-only or cannot be {value!r}")


def _is_closed(cls: type, name: str) -> bool:
    if cls.__module__.startswith("PySide6."):
        return name != "_connections"
    return cls.__module__.startswith(__package__) and not name.startswith("_")


def _adapt_connections() -> None:
    """Put ``connect`` and ``disconnect`` before the static methods that PySide6 wires into attribute access."""
    original = QtCore.QObject.__getattribute__
    ours = {"connect": _connect, "disconnect": _disconnect}

    def get_attribute(self, name):
        function = ours.get(name)
        return types.MethodType(function, self) if function else original(self, name)

    QtCore.QObject.__getattribute__ = get_attribute


def _connect(self, signature: str, *target) -> bool:
    """``connect("signal(type)", function)`` or ``connect("signal(type)", receiver, "slot(type)")``."""
    function = target[0] if len(target) == 1 else getattr(target[0], target[1].split("(")[0])
    signal, arguments = _find_signal(self, signature)
    slot = _TAKING[arguments](_with_at_most(arguments, function))
    signal.connect(slot)
    if not hasattr(self, "_connections"):
        self._connections = []
    self._connections.append((signature, function, signal, slot))
    return True


def _disconnect(self, signature: str, function) -> bool:
    """Undo a ``connect`` of the same signature and function; raises if there was none."""
    for known in getattr(self, "_connections", []):
        if known[0] == signature and known[1] == function:
            known[2].disconnect(known[3])
            self._connections.remove(known)
            return True
    raise ValueError(f"{type(self).__name__}: {signature!r} is not connected to {function!r}")


def _find_signal(sender, signature: str):
    """Return the bound signal and its number of arguments. MRML pointers are Python objects to PySide6."""
    match = re.fullmatch(r"(\w+)\((.*)\)", signature)
    if not match:
        raise ValueError(f"{signature!r} is no signature of a signal, e.g. 'clicked(bool)'")
    normal = QtCore.QMetaObject.normalizedSignature(_POINTER.sub("PyObject", signature)).data().decode()
    if sender.metaObject().indexOfSignal(normal) < 0:
        raise ValueError(f"{sender.metaObject().className()} has no signal {signature!r}")
    name, arguments = match.groups()
    signal = getattr(sender, name)
    if _is_overloaded(sender.metaObject(), name):
        signal = signal[normal[len(name) + 1 : -1]]
    return signal, len([part for part in arguments.split(",") if part.strip()])


def _is_overloaded(meta, name: str) -> bool:
    """Whether signals of this name differ by more than arguments left out at the end, which defaults make."""
    methods = [meta.method(index) for index in range(meta.methodCount())]
    lists = [method.parameterTypes() for method in methods if method.name().data().decode() == name]
    longest = max(lists, key=len)
    return any(types != longest[: len(types)] for types in lists)


def _with_at_most(count: int, function):
    """Call ``function`` with no more arguments than the signature has and the function takes."""
    with contextlib.suppress(TypeError, ValueError):  # built-in functions have no signature
        parameters = inspect.signature(function).parameters.values()
        if not any(parameter.kind == parameter.VAR_POSITIONAL for parameter in parameters):
            positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            count = min(count, sum(parameter.kind in positional for parameter in parameters))
    return lambda arguments: function(*arguments[:count])


# PySide6 reads from a slot how many arguments it wants: one slot for each number.
_TAKING = {
    0: lambda call: lambda: call(()),
    1: lambda call: lambda a: call((a,)),
    2: lambda call: lambda a, b: call((a, b)),
    3: lambda call: lambda a, b, c: call((a, b, c)),
    4: lambda call: lambda a, b, c, d: call((a, b, c, d)),
}


def _record_error(kind, error, traceback) -> None:
    """Keep an error that Qt or VTK would only have printed."""
    slot_errors.append(error)
    sys.__excepthook__(kind, error, traceback)
