"""Phantoms and curves that several test files share; made once a session."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

# Before NumPy: each of several workers has a core, and threads of its linear algebra would only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from scipy.special import gammainc
from scipy.stats import gamma
from slicer_double import fixtures

from PyPeTLib import Settings, analyze
from PyPeTLib.analysis import Analysis
from PyPeTLib.geometry import Geometry
from PyPeTLib.phantom import HeadOptions, Phantom, head_phantom
from PyPeTLib.records import Curves
from PyPeTLib.results import write_analysis

# A failure in what test files share shows both values, as in a test.
pytest.register_assert_rewrite("cli_cases", "compare_cases", "panel_cases")

HEAD = HeadOptions(size=(96, 96, 6), spacing_mm=(2.1, 2.1, 8.0), frames=50)
TINY = HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45)

#: Set where everything has to run, as in .ci/run: a skip is a failure then.
NO_SKIP = bool(os.environ.get("PYPET_NO_SKIP"))
#: Without slicer-core these cannot even be imported.
NEED_SLICER = ["test_scene_*.py", "scene_cases.py", "test_slicer_double.py", "test_panel_packages.py"]
NEED_SLICER += ["test_panel_apply.py", "test_panel_controls.py", "test_panel_inputs.py", "test_panel_loading.py"]
NEED_SLICER += ["test_panel_results.py", "test_panel_scene.py", "test_panel_scripts.py", "test_panel_steps.py"]
LEFT_OUT = "" if NO_SKIP else fixtures.missing(qt=False)
collect_ignore_glob = ["slicer_double/*", "make_panel_picture.py", *(NEED_SLICER if LEFT_OUT else [])]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what is left out or skipped, and why."""
    reasons = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}
    for reason in [*([f"{', '.join(NEED_SLICER)}: {LEFT_OUT}"] if LEFT_OUT else []), *sorted(reasons)]:
        terminalreporter.write_line(f"not run: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail what was skipped in a test."""
    return without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """Fail what was skipped in the collection of a file."""
    return without_skip((yield))


def without_skip(report):
    if NO_SKIP and report.skipped:
        report.outcome, report.longrepr = "failed", f"PYPET_NO_SKIP forbids this. {report.longrepr[2]}"
    return report


@pytest.fixture(scope="session")
def head() -> Phantom:
    return head_phantom(HEAD)


@pytest.fixture(scope="session")
def quiet_head() -> Phantom:
    return head_phantom(replace(HEAD, noise_hu=0.0))


@pytest.fixture(scope="session")
def tiny_head() -> Phantom:
    return head_phantom(TINY)


@pytest.fixture(scope="session")
def analysis(head: Phantom) -> Analysis:
    return analyze(head.series)


@pytest.fixture(scope="session")
def tiny_analysis(tiny_head: Phantom) -> Analysis:
    return analyze(tiny_head.series)


@pytest.fixture(scope="session")
def runs(tiny_head: Phantom, tiny_analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the same scan: the default method, and bSVD with other smoothing; named sub-01_ses-01."""
    folder = tmp_path_factory.mktemp("runs")
    other = analyze(tiny_head.series, Settings(method="bSVD", denoise="gaussian"))
    for name, analysis in (("ours", tiny_analysis), ("other", other)):
        named = replace(analysis, series=replace(analysis.series, name="sub-01_ses-01_ctp"))
        (folder / name).mkdir()
        write_analysis(named, folder / name, report=False)
    return folder


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings()


class Bolus:
    """A bolus and what exact mathematics makes of it: every density is a gamma density of one scale, in s."""

    scale_s, area_hu_s = 1.5, 4000.0

    def aif(self, times_s, onset_s=12.0):
        return self.area_hu_s * gamma.pdf(times_s, 4, onset_s, self.scale_s)

    def response(self, times_s, volume=0.04, delay_s=0.0):
        """k in 1/s of area ``volume``; its maximum lies at ``delay_s`` + 2 scales."""
        return volume * gamma.pdf(times_s, 3, delay_s, self.scale_s)

    def tissue(self, times_s, volume=0.04, delay_s=0.0, onset_s=12.0):
        """``aif ⊗ response``: the shapes of gamma densities of one scale add up."""
        return volume * self.area_hu_s * gamma.pdf(times_s, 7, onset_s + delay_s, self.scale_s)

    def washout(self, times_s, flow=0.01, mtt_s=4.0, delay_s=0.0, onset_s=12.0):
        """``aif ⊗ flow·exp(−t/mtt_s)``."""
        since = np.maximum(times_s - onset_s - delay_s, 0.0)
        rate = 1.0 / self.scale_s - 1.0 / mtt_s
        height = self.area_hu_s / (self.scale_s * rate) ** 4
        return flow * height * np.exp(-since / mtt_s) * gammainc(4, rate * since)


@pytest.fixture(scope="session")
def bolus() -> Bolus:
    return Bolus()


@pytest.fixture(scope="session")
def as_curves():
    """Turn rows of enhancement, shape (voxel, t), into Curves of a one-slice grid."""

    def make(rows, basis=None) -> Curves:
        rows = np.atleast_2d(np.asarray(rows, dtype=np.float32))
        basis = np.eye(rows.shape[1], dtype=np.float32) if basis is None else basis
        noise = np.zeros(len(rows), dtype=np.float32)
        return Curves(rows, basis, noise, np.ones((1, 1, len(rows)), dtype=bool))

    return make


@pytest.fixture(scope="session")
def row_grid():
    """Return the grid of such Curves."""
    return lambda voxels: Geometry((voxels, 1, 1), (1.0, 1.0, 1.0))
