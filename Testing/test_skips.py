"""What a machine lacks is named; where everything has to run it is a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import DEBIAN_PACKAGE, missing
from slicer_double.fixtures import DEBIAN_PACKAGES

TESTING = Path(__file__).parent
INSIDE = "import pytest\n\ndef test_one():\n    pytest.skip('no such library')\n"
OUTSIDE = "import pytest\n\npytest.importorskip('no_such_module')\n"


def run_pytest(folder: Path, no_skip: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYPET_NO_SKIP": no_skip, "PYTHONPATH": f"{TESTING}{os.pathsep}{TESTING.parent}"}
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", os.devnull, "--rootdir", folder, folder]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(("text", "reason"), [(INSIDE, "no such library"), (OUTSIDE, "no_such_module")])
def test_a_skip_says_why_and_fails_where_everything_has_to_run(tmp_path, text, reason):
    (tmp_path / "test_it.py").write_text(text + "\ndef test_two():\n    pass\n")
    allowed, forbidden = run_pytest(tmp_path, ""), run_pytest(tmp_path, "1")
    assert allowed.returncode in (0, 5), "5: nothing left to run"
    assert re.search(f"^not run: .*{reason}", allowed.stdout, re.MULTILINE)
    assert forbidden.returncode in (1, 2), "2: a file that cannot be collected"
    assert re.search(f"PYPET_NO_SKIP forbids this.*{reason}", forbidden.stdout)


def test_a_submission_installs_what_qt_needs():
    assert f'libraries="{DEBIAN_PACKAGES}"' in (TESTING.parent / ".ci" / "run").read_text()


def test_a_submission_installs_a_browser():
    assert f'browser="{DEBIAN_PACKAGE}"' in (TESTING.parent / ".ci" / "run").read_text()


@pytest.mark.parametrize(
    ("packages", "browser", "reason"),
    [
        (None, "/bin/chromium", "playwright is not installed"),
        ("playwright", "", "Chromium is not installed; Debian: chromium"),
        ("playwright", "/bin/chromium", ""),
    ],
)
def test_what_the_tests_in_a_browser_lack_is_named(monkeypatch, packages, browser, reason):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: packages)
    monkeypatch.setattr("browser.chromium", lambda: browser)
    missing.cache_clear()
    assert missing().startswith(reason) and bool(missing()) == bool(reason)
    missing.cache_clear()
