"""What the test_panel_* files share: the panel on the test double, with a scan, after Apply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

MODULE = Path(__file__).parents[1] / "PyPeT" / "PyPeT.py"


@pytest.fixture
def panel(load, monkeypatch):
    """The panel; its progress dialog moves at every call, however fast the machine."""
    widget = load(MODULE).widget
    monkeypatch.setattr("PyPeTPanel.running.INTERVAL_S", 0.0)
    return widget


@pytest.fixture
def scan(panel, tiny_head):
    from PyPeTScene.series import sequence_from_series

    sequence = sequence_from_series(tiny_head.series, "scan")[0]
    panel.parameters.scan = sequence
    return sequence


@pytest.fixture(scope="session")
def computed():
    """What the library made of the head with all defaults, by the function that made it: records never change."""
    return {}


@pytest.fixture
def applied(panel, scan, dialogs, computed, monkeypatch):
    """The panel after Apply; the library computes in the first test that asks for it, and not again for the same."""
    with monkeypatch.context() as patched:
        for name in ("prepare", "finish"):
            patched.setattr(f"PyPeTScene.study.{name}", once(name, computed))
        panel.ui.applyButton.click()
    assert not dialogs.errors()
    return panel


def once(name: str, computed: dict):
    from PyPeTScene import study

    function = getattr(study, name)

    def run(given, *settings, progress, **rest):
        if name not in computed:
            computed[name] = function(given, *settings, progress=progress, **rest)
        elif name == "prepare":
            np.testing.assert_array_equal(given.values, computed[name].raw.values)
        progress(1.0, "")
        return computed[name]

    return run


def ids() -> set[str]:
    from PyPeTScene.nodes import scene_nodes

    return {node.GetID() for node in scene_nodes()}


def own(role: str, scan):
    from PyPeTScene.nodes import find_node

    return find_node(role, scan)


def voxels(node) -> np.ndarray:
    import slicer

    return np.array(slicer.util.arrayFromVolume(node))


def cancel_at(percent: int, dialogs):
    import qt

    def watch(dialog):
        bar = dialog.findChild(qt.QProgressBar)
        bar.connect("valueChanged(int)", lambda value: value >= percent and dialog.cancel())

    dialogs.on_progress.append(watch)


def shown_checks(panel) -> list[tuple[str, ...]]:
    table = panel.ui.checks
    return [tuple(table.item(r, c).text() for c in range(table.columnCount)) for r in range(table.rowCount)]


def shown_volumes(count: int) -> list[str]:
    import slicer

    manager = slicer.app.layoutManager()
    views = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    assert {view.GetName() for view in views if view.IsMappedInLayout()} == {f"PyPeT{k + 1}" for k in range(count)}
    composites = [manager.sliceWidget(f"PyPeT{k + 1}").mrmlSliceCompositeNode() for k in range(count)]
    return [slicer.mrmlScene.GetNodeByID(one.GetBackgroundVolumeID()).GetName() for one in composites]


def shown_charts() -> list:
    import slicer

    views = [slicer.mrmlScene.GetSingletonNode(f"PyPeTChart{k + 1}", "vtkMRMLPlotViewNode") for k in range(2)]
    return [view.GetPlotChartNode() for view in views if view is not None and view.IsMappedInLayout()]


def stage_note(panel, number: int) -> str:
    getattr(panel.ui, f"stage{number}Button").click()
    return panel.ui.stageNote.text


@pytest.fixture
def other_scan(tiny_head):
    from PyPeTScene.series import sequence_from_series

    return lambda: sequence_from_series(tiny_head.series, "other")[0]


@pytest.fixture
def reloaded(applied, scan, tmp_path):
    from slicer_double.scene import reload_scene

    reload_scene(tmp_path / "scene.mrb")
    return applied
