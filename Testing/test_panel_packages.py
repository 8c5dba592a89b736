"""Packages are installed after a question only: with Slicer's packaging, or as before Slicer 5.12."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest
from slicer_double.fixtures import dialogs, scene, slicer_app  # noqa: F401 (fixtures)

pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


class Installer:
    """What pip would do: it records what was wanted, and then the package is there, or it fails."""

    def __init__(self, folder):
        self.folder, self.calls, self.error = folder, [], None

    def __call__(self, requirements, **options):
        self.calls.append((requirements, options))
        if self.error is not None:
            raise self.error
        (self.folder / "skimage").mkdir()
        (self.folder / "skimage" / "__init__.py").write_text("")


@pytest.fixture
def window(slicer_app):  # noqa: F811
    from slicer_double.application import open_main_window

    return open_main_window()


@pytest.fixture
def installer(window, monkeypatch, tmp_path):
    """An interpreter without scikit-image, with an empty folder for packages; Slicer's means of installing record."""
    import slicer.packaging

    find, folder = importlib.util.find_spec, tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    known = {"skimage": lambda: importlib.machinery.PathFinder.find_spec("skimage", [str(folder)])}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: known.get(name, lambda: find(name, *rest))())

    def imported(name):
        if importlib.util.find_spec("skimage") is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name="skimage")
        return SimpleNamespace(structural_similarity=None)

    monkeypatch.setattr("PyPeTLib.packages.import_module", imported)
    made = Installer(folder)
    assert importlib.util.find_spec("skimage") is None  # and remembers that the folder is empty
    monkeypatch.setattr(slicer.packaging, "pip_ensure", made)
    monkeypatch.setattr(slicer.util, "pip_install", refuse)
    return made


@pytest.fixture
def before_5_12(installer, monkeypatch):
    """The same in a Slicer that has no slicer.packaging."""
    import slicer

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.delattr(slicer, "packaging")
    monkeypatch.setattr(slicer.util, "pip_install", installer)
    return installer


def refuse(*_, **__):
    raise AssertionError("the other way to install was to be used")


def ensure() -> bool:
    from PyPeTPanel.packages import ensure_skimage

    return ensure_skimage()


def questions(dialogs):  # noqa: F811
    return [message.text for message in dialogs.messages if message.level == "INFO"]


def test_what_is_there_is_not_asked_for(installer, dialogs):  # noqa: F811
    installer("as another module did")
    importlib.invalidate_caches()
    assert ensure()
    assert not dialogs.messages
    assert len(installer.calls) == 1


def test_after_a_yes_it_is_installed_and_found_at_once(installer, dialogs, monkeypatch):  # noqa: F811
    order = []
    monkeypatch.setattr(importlib, "invalidate_caches", lambda: order.append(len(installer.calls)))
    dialogs.answers.append(True)
    assert ensure()
    assert order == [1], "Python looks again after the installation, not before"
    assert installer.calls == [("scikit-image", {"prompt_install": False, "requester": "PyPeT"})]
    assert len(dialogs.messages) == 1


def test_the_question_says_what_why_and_where(installer, dialogs):  # noqa: F811
    dialogs.answers.append(False)
    ensure()
    (text,) = questions(dialogs)
    for part in ("SSIM", "scikit-image", "open-source", "internet", sys.prefix, "All other metrics do without"):
        assert part in text


def test_after_a_no_nothing_is_installed_and_the_next_call_asks_again(installer, dialogs):  # noqa: F811
    dialogs.answers += [False, True]
    assert not ensure()
    assert not installer.calls
    assert ensure()
    assert len(questions(dialogs)) == 2


def test_slicer_before_5_12_installs_with_its_own_pip(before_5_12, dialogs):  # noqa: F811
    dialogs.answers.append(True)
    assert ensure()
    assert before_5_12.calls == [("scikit-image", {})]


def test_without_a_main_window_nobody_is_asked(installer, dialogs):  # noqa: F811
    from slicer_double.application import close_main_window

    close_main_window()
    assert not ensure()
    assert not installer.calls
    assert not dialogs.messages


def test_in_testing_mode_nobody_is_asked(installer, dialogs, monkeypatch):  # noqa: F811
    import slicer

    monkeypatch.setattr(type(slicer.app), "testingEnabled", lambda self: True)
    assert not ensure()
    assert not installer.calls
    assert not dialogs.messages


@pytest.mark.parametrize("error", [RuntimeError("PythonSlicer executable not found"), OSError("disk full")])
def test_a_failure_is_shown_once(installer, dialogs, error):  # noqa: F811
    installer.error = error
    dialogs.answers.append(True)
    assert not ensure()
    (text,) = dialogs.errors()
    assert text.startswith(f"scikit-image could not be installed: {error}. Check the connection")


def test_a_failure_of_pip_before_5_12_is_shown_once(before_5_12, dialogs):  # noqa: F811
    before_5_12.error = subprocess.CalledProcessError(1, "pip install")
    dialogs.answers.append(True)
    assert not ensure()
    assert len(dialogs.errors()) == 1


def test_a_failure_of_pip_that_slicer_has_shown_is_not_shown_again(installer, dialogs):  # noqa: F811
    installer.error = subprocess.CalledProcessError(1, "pip install")
    dialogs.answers.append(True)
    assert not ensure()
    assert not dialogs.errors()


def test_an_installation_that_brings_nothing_is_no_success(installer, dialogs, monkeypatch):  # noqa: F811
    import slicer.packaging

    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda *_, **__: None)
    dialogs.answers.append(True)
    assert not ensure()


def test_pip_ensure_takes_what_it_is_given(slicer_app):  # noqa: F811
    """The signature of the stand-in is that of Slicer 5.12; with SLICER_SOURCE it is Slicer's own."""
    import inspect

    import slicer.packaging

    names = inspect.signature(slicer.packaging.pip_ensure).parameters
    assert {"requirements", "prompt_install", "requester"} <= set(names)


def test_the_report_asks_for_both_packages_at_once(installer, dialogs, monkeypatch):  # noqa: F811
    """It says what needs them; after a yes both are installed and the report is written."""
    import slicer.packaging

    from PyPeTPanel import packages

    wanted = []
    monkeypatch.setattr(packages, "report_available", lambda: len(wanted) == 2)
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda name, **_: wanted.append(name))
    dialogs.answers += [False, True]
    assert not packages.ensure_report() and wanted == []
    assert packages.ensure_report() and wanted == ["matplotlib", "jinja2"]
    text = questions(dialogs)[0]
    for part in ("The report needs matplotlib and jinja2", "All other files do without", "internet", sys.prefix):
        assert part in text


def test_a_report_that_cannot_be_had_is_said(installer, dialogs, monkeypatch):  # noqa: F811
    from PyPeTPanel import packages

    monkeypatch.setattr(packages, "report_available", lambda: False)
    installer.error = OSError("disk full")
    dialogs.answers.append(True)
    assert not packages.ensure_report()
    (text,) = dialogs.errors()
    assert text.startswith("matplotlib and jinja2 could not be installed: disk full.")
    assert text.endswith("the other files do without.")
