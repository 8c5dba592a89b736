"""``slicer.app``, the main window, and the modules a panel opens: enough for a scripted module, nothing by default."""
# ruff: noqa: N801, N802, N815 - the names are those of the real classes

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import slicer
import slicer.util
from PySide6 import QtCore, QtWidgets

from . import dialogs, inert, layouts, pythonqt, selectors, ui_loader, widgets
from .scene import application_logic, boot_scene
from .stand_ins import packaging as stand_in_packaging

STAND_INS = {
    "slicer.i18n": "i18n",
    "slicer.packaging": "packaging",
    "slicer.ScriptedLoadableModule": "scripted",
    "slicer.parameterNodeWrapper": "parameters",
}


class qSlicerModuleManager(QtCore.QObject):
    """``slicer.app.moduleManager()``: qSlicerModuleManager."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def module(self, name):
        return getattr(slicer.modules, name.lower(), None)

    def factoryManager(self):
        return SimpleNamespace(loadedModuleNames=lambda: tuple(module.name for module in vars(slicer.modules).values()))


class qSlicerApplication(QtWidgets.QApplication):
    """``slicer.app``: qSlicerApplication, as Slicer 5.12 reports itself."""

    startupCompleted = QtCore.Signal()
    majorVersion, minorVersion = 5, 12
    documentationBaseUrl = "https://slicer.readthedocs.io/en/latest/"

    def __init__(self):
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self._temporary = tempfile.mkdtemp(prefix="slicer-double-")
        atexit.register(shutil.rmtree, self._temporary, ignore_errors=True)
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        QtCore.QSettings.setPath(
            QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, self._temporary
        )  # never the settings of the person who runs the tests
        self._modules = qSlicerModuleManager()
        self._window = self._layouts = None

    temporaryPath = QtCore.Property(str, lambda self: self._temporary)

    def applicationLogic(self):
        return application_logic()

    def mrmlScene(self):
        return slicer.mrmlScene

    def moduleManager(self):
        return self._modules

    def layoutManager(self):
        """None without a main window, as in Slicer."""
        return self._layouts

    def testingEnabled(self):
        return False

    def userSettings(self):
        return QtCore.QSettings()

    def settings(self):
        return QtCore.QSettings()

    def moduleDocumentationUrl(self, name):
        return self.documentationBaseUrl + name

    def translate(self, context, text):
        return text

    def pauseRender(self):
        """Nothing is drawn here."""

    def resumeRender(self):
        """Nothing is drawn here."""


class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """The list of modules in the main window: qSlicerModuleSelectorToolBar."""

    def __init__(self):
        super().__init__()
        self._selected = "Welcome"
        self.setObjectName("ModuleSelectorToolBar")

    selectedModule = QtCore.Property(str, lambda self: self._selected)

    def selectModule(self, name):
        if slicer.app.moduleManager().module(name) is None:
            raise ValueError(f"there is no module {name!r} in the test double")
        self._selected = name


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """The main window: qSlicerMainWindow."""

    def __init__(self):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelectorToolBar()

    def moduleSelector(self):
        return self._selector


def boot_application() -> qSlicerApplication:
    """Make ``slicer.app``, ``qt``, ``ctk`` and Slicer's Python packages once; without a main window."""
    if hasattr(slicer, "app"):
        return slicer.app
    qt = pythonqt.install()
    ctk = widgets.install()
    boot_scene()
    slicer.app = qSlicerApplication()
    named = {widget.__name__: widget for widget in (*widgets.WIDGETS, *selectors.WIDGETS, *inert.WIDGETS)}
    qt.QUiLoader = ui_loader.make_loader(named)
    for name, widget in named.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, widget)
    for name in selectors.ABSENT:
        setattr(slicer, name, widgets.absent(name))
    dialogs.install(qt)
    _register_segment_editor()
    _install_python(os.environ.get("SLICER_SOURCE"))
    return slicer.app


def open_main_window() -> qSlicerMainWindow:
    """What starting without ``--no-main-window`` adds: the window and the layout manager."""
    app = boot_application()
    if app._window is None:
        app._window = qSlicerMainWindow()
        app._layouts = layouts.qSlicerLayoutManager()
    return app._window


def close_main_window() -> None:
    """Back to what ``--no-main-window`` gives."""
    app = boot_application()
    if app._window is not None:
        app._window.setObjectName("")  # deleted only when Qt gets to it: slicer.util must not find it until then
        app._window.deleteLater()
        app.applicationLogic().GetSliceLogics().RemoveAllItems()
        views, app._window, app._layouts = app._layouts, None, None
        views._slices.clear()
        views._logic.SetMRMLScene(None)  # it would make its nodes again
        views._remove_nodes()


def _register_segment_editor() -> None:
    editor = SimpleNamespace(editor=inert.qMRMLSegmentEditorWidget())
    slicer.modules.segmenteditor = SimpleNamespace(
        name="SegmentEditor", widgetRepresentation=lambda: SimpleNamespace(self=lambda: editor)
    )


def _install_python(source: str | None) -> None:
    """Take Slicer's own Python packages from a source tree if there is one, else the stand-ins."""
    if source:
        folder = Path(source) / "Base" / "Python" / "slicer"
        if not (folder / "ScriptedLoadableModule.py").is_file():
            raise FileNotFoundError(f"SLICER_SOURCE={source} is no Slicer source tree: {folder} is missing")
        slicer.__path__.append(str(folder))
        for name in STAND_INS:
            if name != "slicer.packaging" or (folder / "packaging.py").is_file():  # since Slicer 5.12
                importlib.import_module(name)
        if hasattr(slicer, "packaging"):  # never into the environment of the tests
            slicer.packaging.pip_install = stand_in_packaging.pip_install
        return
    for name, stand_in in STAND_INS.items():
        module = importlib.import_module(f"{__package__}.stand_ins.{stand_in}")
        sys.modules[name] = module
        setattr(slicer, name.split(".")[1], module)
