"""Loads a scripted module as the application does: file, module object, panel, logic."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import slicer
from PySide6 import QtCore, QtWidgets

from . import sample_data
from .application import boot_application, close_main_window, open_main_window
from .selectors import qMRMLWidget


class ModuleParent:
    """What a module object fills in: the properties of qSlicerScriptedLoadableModule, no others."""

    __slots__ = (
        "acknowledgementText", "associatedNodeTypes", "categories", "contributors", "dependencies", "helpText",
        "hidden", "icon", "index", "name", "path", "title", "widgetRepresentationCreationEnabled",
    )  # fmt: skip

    def __init__(self, name: str, path: str):
        self.name, self.path = name, path


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):  # noqa: N801 (the real class's name)
    """What a panel is built on: ``self()`` is the Python object, ``reload()`` makes a new one of the new class."""

    def __init__(self, name: str):
        super().__init__()
        self._name, self._panel = name, None
        self.setLayout(QtWidgets.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)

    def self(self):
        return self._panel

    def reload(self):
        self._panel = getattr(sys.modules[self._name], f"{self._name}Widget")(self)
        setattr(slicer.modules, f"{self._name}Widget", self._panel)
        self._panel.setup()


class Loaded(NamedTuple):
    """A loaded module: the Python module, the module object, its panel and its logic."""

    code: Any
    module: Any
    widget: Any
    logic: Any


def load_module(path, *, main_window: bool = True) -> Loaded:
    """Load the scripted module in the file ``path``, e.g. ``PyPeT/PyPeT.py``, and open its panel.

    The folder of the file is put on ``sys.path``, the panel is set up and entered, ``startupCompleted()`` is emitted.
    """
    app = boot_application()
    sample_data.install()
    open_main_window() if main_window else close_main_window()
    path = Path(path).resolve()
    name = path.stem
    code = _run(name, path)
    parent = ModuleParent(name, str(path))
    module = getattr(code, name)(parent)
    known = SimpleNamespace(name=name, path=str(path), title=parent.title, logic=lambda: None)
    setattr(slicer.modules, name.lower(), known)
    setattr(slicer.modules, f"{name}Instance", module)
    app.startupCompleted.emit()
    parent = qSlicerScriptedLoadableModuleWidget(name)
    known.widgetRepresentation = lambda: parent
    widget = open_panel(parent)
    return Loaded(code, module, widget, getattr(widget, "logic", None))


def open_panel(parent: qSlicerScriptedLoadableModuleWidget):
    """Make the panel, set it up and enter it."""
    parent.reload()
    if hasattr(parent.self(), "enter"):
        parent.self().enter()
    return parent.self()


def close_panel(loaded: Loaded) -> None:
    """What unloading the module does: leave, clean up, delete; after Reload that of the new panel."""
    widget = loaded.widget.parent.self()
    if hasattr(widget, "exit"):
        widget.exit()
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(loaded.code.__name__)
    widget.parent.deleteLater()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)  # no event loop does it here
    for attribute in (loaded.code.__name__.lower(), f"{loaded.code.__name__}Instance", f"{loaded.code.__name__}Widget"):
        delattr(slicer.modules, attribute)


def _run(name: str, path: Path):
    """Import the file under its own name, the way Slicer does, afresh each time."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    spec.loader.exec_module(code)
    return code
