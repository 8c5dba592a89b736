"""What the test_panel_* files share: the panel on the test double, with a scan, after Apply."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

MODULE = Path(__file__).parents[1] / "PyPeT" / "PyPeT.py"


#: What the library made, by function and all that it was given: records never change, and a session has one of each.
COMPUTED: dict = {}


@pytest.fixture
def panel(load, dialogs, monkeypatch):
    """The panel; its progress dialog moves at every call, however fast the machine.

    The library computes in the first test that asks for it, and not again for the same.
    """
    widget = load(MODULE).widget
    monkeypatch.setattr("PyPeTPanel.running.INTERVAL_S", 0.0)
    for name in ("prepare", "finish"):
        monkeypatch.setattr(f"PyPeTScene.study.{name}", once(name, dialogs))
    return widget


@pytest.fixture
def scan(panel, tiny_head):
    from PyPeTScene.series import sequence_from_series

    sequence = sequence_from_series(tiny_head.series, "scan")[0]
    panel.parameters.scan = sequence
    return sequence


@pytest.fixture
def applied(panel, scan, dialogs):
    """The panel after Apply."""
    panel.ui.applyButton.click()
    assert not dialogs.errors()
    return panel


def once(name: str, dialogs):
    """Return a function of the library that is computed once for the same; always where its progress is watched."""
    from PyPeTScene import study

    function, end = getattr(study, name), study.ANALYSED * (study.PREPARED if name == "prepare" else 1.0)

    def run(given, *settings, progress, **rest):
        if any(getattr(watch, "percent", 0) <= 100.0 * end for watch in dialogs.on_progress):
            return function(given, *settings, progress=progress, **rest)
        # what the second half is given is the first, which is kept here: its number is that of no other
        what = id(given) if name == "finish" else content(given)
        key = name, what, *map(content, settings), *((word, content(rest[word])) for word in sorted(rest))
        if key not in COMPUTED:
            COMPUTED[key] = function(given, *settings, progress=progress, **rest), given
        progress(1.0, "")
        return COMPUTED[key][0]

    return run


def content(what):
    """Return what equals only that of the same content, down to the type and the bytes of arrays."""
    if is_dataclass(what):
        return type(what), *(content(getattr(what, field.name)) for field in fields(what))
    if isinstance(what, np.ndarray):
        return what.shape, what.dtype.str, hashlib.sha256(np.ascontiguousarray(what)).digest()
    return what


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

    watch.percent = percent
    dialogs.on_progress.append(watch)


def at_percent(percent: int, dialogs, action):
    """Do something, once, while the dialog takes clicks and stands at this or more."""
    import qt

    done = []

    def act(value):
        if value >= percent and not done:
            done.append(value)
            action()

    def watch(dialog):
        dialog.findChild(qt.QProgressBar).connect("valueChanged(int)", act)

    watch.percent = percent
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
