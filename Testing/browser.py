"""A real browser for tests and benchmarks: Debian's Chromium through playwright; what is missing is said."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from PyPeTLib.pdf import BROWSERS

#: What the browser needs of a Debian machine; .ci/run installs it.
DEBIAN_PACKAGE = "chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Return the path of the browser, "" where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), "")


@functools.cache
def missing() -> str:
    """Return what this machine lacks for the tests in a browser, "" if nothing."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed: pip install playwright"
    return "" if chromium() else f"Chromium is not installed; Debian: {DEBIAN_PACKAGE}"


@contextmanager
def browser() -> Iterator:
    """Yield one headless browser with a fresh profile; its contexts share nothing."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield started
        started.close()
