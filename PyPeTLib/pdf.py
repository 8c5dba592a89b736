"""The report as PDF, printed by Chromium or WeasyPrint, whichever this machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from PyPeTLib.errors import InputError, installing

#: Names of the browser, in the order in which they are looked for.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
#: What keeps the browser from the network, from asking, and from writing anything but the file.
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
    "--no-pdf-header-footer",
)
#: Longest time that printing may take, in s.
PATIENCE_S = 120.0


def printer() -> str:
    """Return what prints here: the path of a browser, "weasyprint", or "" for nothing."""
    found = next(filter(None, map(shutil.which, BROWSERS)), "")
    return found or ("weasyprint" if find_spec("weasyprint") else "")


def require_printer() -> None:
    """Refuse where nothing can print.

    Raises
    ------
    InputError
        If neither Chromium nor WeasyPrint is installed.
    """
    if not printer():
        raise InputError(
            f"PDF: Chromium or WeasyPrint is needed; found neither. Install chromium, run {installing('weasyprint')}, "
            "or print the report from any browser."
        )


def write_pdf(page: Path, target: Path) -> None:
    """Print a page of HTML; the same page and printer give the same bytes.

    Parameters
    ----------
    page : Path
        The page.
    target : Path
        The PDF; replaced where it exists.

    Raises
    ------
    InputError
        If nothing can print, or what prints fails.
    """
    require_printer()
    if printer() == "weasyprint":
        import weasyprint

        weasyprint.HTML(filename=str(page)).write_pdf(str(target))
    else:
        _browse(printer(), page, target)
    target.write_bytes(_undated(target.read_bytes()))


def _browse(browser: str, page: Path, target: Path) -> None:
    """Let a browser print, with a profile of its own that is thrown away."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        alone = [f"--user-data-dir={profile}", f"--print-to-pdf={target.absolute()}"]
        rights = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # the sandbox refuses root
        command = [browser, *FLAGS, *rights, *alone, page.absolute().as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"PDF: {browser} did not print: {error}. Print the report from any browser.") from error
    if done.returncode or not target.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"PDF: {browser} did not print: {last}. Print the report from any browser.")


def _undated(content: bytes) -> bytes:
    """Return a PDF with every date of its making set to one day; nothing moves."""
    return re.sub(rb"(/(?:Creation|Mod)Date ?\(D:)(\d{14})", lambda found: found[1] + b"20000101000000", content)
