"""The report as PDF, printed by Chromium or WeasyPrint, whichever this machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PyPeTLib.errors import InputError, installing
from PyPeTLib.packages import usable, why_not
from PyPeTLib.write import write_bytes

#: Names of the browser, in the order in which they are looked for.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
#: Where it lies on Windows, below the folders of these variables, and on macOS: there it is not found by its name.
FOLDERS = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
PROGRAMS = ("Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe")
APPLICATIONS = tuple(
    f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium", "Microsoft Edge")
)
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
    "--generate-pdf-document-outline",
)
#: Longest time that printing may take, in s.
PATIENCE_S = 120.0


def printer() -> str:
    """Return what prints here: the path of a browser, "weasyprint", or "" for nothing."""
    found = next(filter(None, map(shutil.which, BROWSERS)), "") or next(filter(os.path.isfile, _installed()), "")
    return found or ("weasyprint" if usable("weasyprint") else "")


def require_printer() -> None:
    """Refuse where nothing can print.

    Raises
    ------
    InputError
        If there is neither Chromium nor a WeasyPrint that loads.
    """
    if not printer():
        raise InputError(
            f"PDF: Chromium or WeasyPrint is needed; found no browser, and weasyprint {why_not('weasyprint')}. Install "
            f"chromium, run {installing('weasyprint')}, or print the report from any browser."
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
        If nothing can print, what prints fails, or the file cannot be written.
    """
    require_printer()
    if printer() == "weasyprint":
        _weave(page, target)
    else:
        _browse(printer(), page, target)
    write_bytes(_undated(target.read_bytes()), target)


def _installed() -> list[str]:
    """Return where a browser may lie beside the places in which programs are found by name."""
    roots = [Path(os.environ[name]) for name in FOLDERS if os.environ.get(name)]
    return [str(root / program) for program in PROGRAMS for root in roots] + list(APPLICATIONS)


def _weave(page: Path, target: Path) -> None:
    """Let WeasyPrint print."""
    import weasyprint

    try:
        weasyprint.HTML(filename=str(page)).write_pdf(str(target))
    except Exception as error:  # it has no error of its own
        raise InputError(f"PDF: WeasyPrint did not print: {error}. Print the report from any browser.") from error


def _browse(browser: str, page: Path, target: Path) -> None:
    """Let a browser print, with a profile of its own that is thrown away."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        alone = [f"--user-data-dir={profile}", f"--print-to-pdf={target.absolute()}"]
        rights = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # the sandbox refuses root
        command = [browser, *FLAGS, *rights, *alone, page.absolute().as_uri()]
        try:  # what it says may be in any character set
            done = subprocess.run(command, capture_output=True, errors="replace", timeout=PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"PDF: {browser} did not print: {error}. Print the report from any browser.") from error
    if done.returncode or not target.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"PDF: {browser} did not print: {last}. Print the report from any browser.")


def _undated(content: bytes) -> bytes:
    """Return a PDF with every date of its making set to one day; nothing moves."""
    return re.sub(rb"(/(?:Creation|Mod)Date ?\(D:)(\d{14})", lambda found: found[1] + b"20000101000000", content)
