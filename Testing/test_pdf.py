"""What prints the report is found where it is installed, and refused before the work where it cannot print."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from PyPeTLib import pdf
from PyPeTLib.errors import InputError


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ())
    monkeypatch.setattr(pdf, "APPLICATIONS", ())
    for name in pdf.FOLDERS:
        monkeypatch.delenv(name, raising=False)


def broken(name):
    if name == "weasyprint":
        raise OSError("cannot load library 'libpango-1.0-0'")


def test_a_weasyprint_without_its_libraries_is_refused_before_the_work(no_browser, monkeypatch):
    monkeypatch.setattr("PyPeTLib.packages.import_module", broken)
    message = r"found no browser, and weasyprint does not load \(cannot load library 'libpango-1\.0-0'\)\. Install"
    with pytest.raises(InputError, match=message):
        pdf.require_printer()


def test_a_weasyprint_that_fails_says_so_in_words(no_browser, monkeypatch, tmp_path):
    def fail(**_):
        raise KeyError("glyf")

    monkeypatch.setitem(sys.modules, "weasyprint", SimpleNamespace(HTML=fail))
    with pytest.raises(InputError, match="PDF: WeasyPrint did not print: 'glyf'"):
        pdf.write_pdf(tmp_path / "a.html", tmp_path / "a.pdf")


@pytest.mark.parametrize("folder", pdf.FOLDERS)
@pytest.mark.parametrize("program", pdf.PROGRAMS)
def test_browsers_of_windows_are_found_where_they_are_installed(no_browser, monkeypatch, tmp_path, folder, program):
    monkeypatch.setenv(folder, str(tmp_path))
    file = tmp_path / program
    file.parent.mkdir(parents=True)
    file.touch()
    assert pdf.printer() == str(file)


def test_browsers_of_macos_are_found_where_they_are_installed(no_browser, monkeypatch, tmp_path):
    (tmp_path / "Chromium").touch()
    monkeypatch.setattr(pdf, "APPLICATIONS", (str(tmp_path / "Google Chrome"), str(tmp_path / "Chromium")))
    assert pdf.printer() == str(tmp_path / "Chromium")
