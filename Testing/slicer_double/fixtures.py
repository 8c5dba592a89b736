"""What a test of the Slicer module asks for: in a test file ``from slicer_double.fixtures import …  # noqa: F401``.

``scene`` needs slicer-core only; ``slicer_app``, ``dialogs`` and ``load`` need PySide6 and its graphics libraries,
too. Where something is missing the test is skipped and says what.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys

import pytest

# A library that Qt lacks can end the process instead of raising: looked at from another one. So can a PySide6 that
# loses a reference to None with each call, where None is counted (before Python 3.12).
PROBE = """
import sys
from PySide6 import QtUiTools, QtWidgets
application = QtWidgets.QApplication([])
before = sys.getrefcount(None)
for _ in range(100):
    application.processEvents()
if sys.getrefcount(None) < before - 50:
    sys.exit("this PySide6 loses references to None")
"""
#: What Qt needs of a Debian machine; .ci/run installs them.
DEBIAN_PACKAGES = "libegl1 libgl1 libxkbcommon0 libdbus-1-3 libfontconfig1 libglib2.0-0"


@functools.cache
def missing(qt: bool = True) -> str:
    """Return what this machine lacks for the tests of the Slicer module, "" if nothing."""
    for package, name in (("slicer_core", "slicer-core"), ("PySide6", "PySide6-Essentials"))[: 1 + qt]:
        if importlib.util.find_spec(package) is None:
            return f"{name} is not installed: pip install {name}"
    if not qt:
        return ""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    probe = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, env=environment, check=False)
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        return f"Qt does not work here ({last}); take a PySide6 that pyproject.toml allows, and {DEBIAN_PACKAGES}"
    return ""


def require(qt: bool = True) -> None:
    """Skip the test if something is missing."""
    if missing(qt):
        pytest.skip(missing(qt))


@pytest.fixture
def scene():
    """A real, empty MRML scene as ``slicer.mrmlScene``, closed after the test."""
    require(qt=False)
    from .scene import boot_scene, clear_scene

    booted = boot_scene()
    clear_scene()
    yield booted
    clear_scene()


@pytest.fixture
def slicer_app(request):
    """``slicer.app`` with an empty scene, no main window; the test fails if a slot or an observer raised.

    What ``slicer.util.tryWithErrorDisplay`` showed does not count: it shows the error and raises it again.
    """
    require()
    from . import dialogs, pythonqt
    from .application import boot_application, close_main_window

    app = boot_application()
    scene = request.getfixturevalue("scene")
    dialogs.dialogs.clear()
    pythonqt.slot_errors.clear()
    yield app
    app.processEvents()
    close_main_window()
    scene.Clear(False)
    unseen = [error for error in pythonqt.slot_errors if error not in dialogs.dialogs.shown]
    errors = [f"{type(error).__name__}: {error}" for error in unseen]
    pythonqt.slot_errors.clear()
    if errors:
        pytest.fail("raised in a slot or observer: " + "; ".join(errors))


@pytest.fixture
def dialogs(slicer_app):
    """Messages, answers, paths and progress dialogs of this test: ``slicer_double.dialogs.Dialogs``."""
    from .dialogs import dialogs as recorder

    return recorder


@pytest.fixture
def load(slicer_app):
    """``load(path, main_window=True)`` gives (code, module, widget, logic); the panel is closed after the test."""
    from . import loader

    opened = []

    def load_and_keep(path, *, main_window: bool = True):
        opened.append(loader.load_module(path, main_window=main_window))
        return opened[-1]

    yield load_and_keep
    for loaded in opened:
        loader.close_panel(loaded)
