"""Optional packages that are not there, and that are there and broken: both are left out, in words."""

from __future__ import annotations

import sys
from argparse import Namespace
from importlib import import_module

import pytest

from PyPeTLib import cli_print, cli_run
from PyPeTLib.compare_tables import excel_available
from PyPeTLib.errors import InputError
from PyPeTLib.packages import PARTS, mending, usable, why_not
from PyPeTLib.report import report_available
from PyPeTLib.similarity import ssim_available


@pytest.fixture
def broken(monkeypatch):
    """Have the import of a module raise an error, as a library it is linked with does where that is another or none."""

    def break_it(module, error):
        def imported(name):
            if name == module:
                raise error
            return import_module(name)

        monkeypatch.setattr("PyPeTLib.packages.import_module", imported)

    return break_it


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImportError("DLL load failed while importing ft2font\nmore"), "DLL load failed while importing ft2font"),
        (ModuleNotFoundError("No module named 'kiwisolver'", name="kiwisolver"), "No module named 'kiwisolver'"),
        (OSError("cannot load library 'libpango'"), "cannot load library 'libpango'"),
        (ValueError("numpy.dtype size changed"), "numpy.dtype size changed"),
        (AttributeError(), "AttributeError"),
    ],
)
def test_a_package_that_is_there_and_broken_says_why(broken, error, reason):
    broken("matplotlib.backends.backend_agg", error)
    assert why_not("matplotlib") == f"does not load ({reason})"
    command = "python -m pip install --force-reinstall matplotlib"
    assert mending("matplotlib") == f"matplotlib does not load ({reason}): {command}"
    assert not report_available()


def test_what_is_not_there_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert why_not("jinja2") == "is not installed"
    assert mending("jinja2") == "python -m pip install jinja2"
    assert not usable("jinja2")


def test_another_package_of_the_same_name_cannot_be_used(monkeypatch):
    monkeypatch.setitem(PARTS, "slicer-core", "json:vtkMRMLScene")
    assert "has no attribute 'vtkMRMLScene'" in why_not("slicer-core")


@pytest.mark.parametrize(
    ("module", "available"),
    [("skimage.metrics", ssim_available), ("openpyxl", excel_available), ("jinja2", report_available)],
)
def test_what_needs_a_broken_package_is_left_out(broken, module, available):
    broken(module, ImportError("DLL load failed"))
    assert not available()


def test_pictures_that_are_left_out_are_told_with_the_reason(broken, capsys):
    broken("matplotlib", ValueError("numpy.dtype size changed"))
    assert not cli_print.can_report(quiet=False)
    told = "matplotlib does not load (numpy.dtype size changed): python -m pip install --force-reinstall matplotlib"
    assert capsys.readouterr().err == f"pypet: left out: the report needs matplotlib and jinja2: {told} jinja2\n"
    options = Namespace(scene=False, no_report=False, stages=None, figures=None, pdf=True, reference=None)
    with pytest.raises(InputError, match=r"^--pdf needs matplotlib and jinja2: matplotlib does not load"):
        cli_run._check_wishes(options)
