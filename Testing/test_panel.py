"""The panel on the test double: controls, Apply, cancel, errors, scene close, save and load."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from slicer_double.fixtures import dialogs, load, scene, slicer_app  # noqa: F401 (fixtures)

from PyPeTLib.map_facts import map_sds

MODULE = Path(__file__).parents[1] / "PyPeT" / "PyPeT.py"
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


@pytest.fixture
def panel(load, monkeypatch):  # noqa: F811
    """The panel; its progress dialog moves at every call, however fast the machine."""
    widget = load(MODULE).widget
    monkeypatch.setattr("PyPeTPanel.running.INTERVAL_S", 0.0)
    return widget


@pytest.fixture
def code(load):  # noqa: F811
    return load(MODULE).code


@pytest.fixture
def scan(panel, tiny_head):
    from PyPeTScene.series import sequence_from_series

    sequence = sequence_from_series(tiny_head.series, "scan")[0]
    panel.parameters.scan = sequence
    return sequence


@pytest.fixture(scope="module")
def computed():
    """What the library made of the head with all defaults, by the function that made it: records never change."""
    return {}


@pytest.fixture
def applied(panel, scan, dialogs, computed, monkeypatch):  # noqa: F811
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


def cancel_at(percent: int, dialogs):  # noqa: F811
    import qt

    def watch(dialog):
        bar = dialog.findChild(qt.QProgressBar)
        bar.connect("valueChanged(int)", lambda value: value >= percent and dialog.cancel())

    dialogs.on_progress.append(watch)


def at_percent(percent: int, dialogs, action):  # noqa: F811
    """Do something, once, while the dialog takes clicks and stands at this or more."""
    import qt

    done = []

    def act(value):
        if value >= percent and not done:
            done.append(value)
            action()

    dialogs.on_progress.append(lambda dialog: dialog.findChild(qt.QProgressBar).connect("valueChanged(int)", act))


# Controls


def other_value(info):
    if info.choices:
        return info.choices[-1]
    return type(info.default)(info.low + (info.high - info.low) // 2 if isinstance(info.default, int) else info.high)


def test_every_control_reaches_the_parameter_node_and_back(panel):
    from PyPeTLib.settings import describe_settings
    from PyPeTPanel.parameters import settings_of

    for info in describe_settings():
        if info.name == "partial_volume":
            continue
        control, wanted = getattr(panel.ui, info.name), other_value(info)
        assert getattr(panel.parameters, info.name) == info.default
        if info.choices:
            control.currentIndex = info.choices.index(wanted)
        else:
            control.value = wanted
        assert getattr(panel.parameters, info.name) == wanted
        assert getattr(settings_of(panel.parameters), info.name) == wanted
        setattr(panel.parameters, info.name, info.default)
        shown = control.currentText if info.choices else control.value
        assert shown == info.default, info.name


@pytest.mark.parametrize("name", ["scale_to_vein", "force"])
def test_check_boxes_reach_the_parameter_node_and_back(panel, name):
    box = getattr(panel.ui, name)
    box.checked = not box.checked
    assert getattr(panel.parameters, name) == box.checked
    setattr(panel.parameters, name, not box.checked)
    assert box.checked == getattr(panel.parameters, name)


def test_partial_volume_can_be_switched_off(panel):
    from PyPeTLib import Settings
    from PyPeTPanel.parameters import settings_of

    assert settings_of(panel.parameters) == Settings()
    panel.ui.scale_to_vein.checked = False
    assert settings_of(panel.parameters).partial_volume == "none"


def test_parameters_of_another_version_become_the_defaults_and_are_named(panel, dialogs):  # noqa: F811
    from PyPeTLib import Settings

    node = panel.parameters.parameterNode
    panel.parameters.core_rcbf = 25.0
    panel.disconnect_parameters()
    for name, value in (("method", "fancy"), ("aif_source", "guess"), ("csf_hu", "1e9"), ("bone_hu", "dense")):
        node.SetParameter(name, value)
    node.SetParameter("interval_s", "abc")
    panel.connect_parameters()
    assert panel.parameters.interval_s == 0.0
    for name in ("method", "csf_hu", "bone_hu"):
        assert getattr(panel.parameters, name) == getattr(Settings(), name)
    assert panel.parameters.aif_source == "automatic" and panel.parameters.core_rcbf == 25.0
    (warning,) = dialogs.messages
    assert warning.level == "WARNING" and "another version" in warning.text
    assert all(word in warning.text for word in ("method", "bayesian", "fancy", "guess", "1e9", "dense", "abc"))
    panel.connect_parameters()
    assert len(dialogs.messages) == 1, "said once"


def test_every_setting_shows_unit_and_meaning(panel):
    from PyPeTLib.settings import describe_settings

    for info in describe_settings():
        if info.name != "partial_volume":
            control = getattr(panel.ui, info.name)
            assert info.meaning in control.toolTip
            assert info.choices or control.suffix.strip() == info.unit


def test_a_control_keeps_the_digits_of_its_default(panel):
    from PyPeTLib.settings import describe_settings

    for info in describe_settings():
        if not info.choices:
            assert getattr(panel.ui, info.name).value == info.default, "connecting the panel changed it"


@pytest.mark.parametrize(
    ("field", "word", "shown", "hidden"),
    [
        ("denoise", "gaussian", ["gaussian_sigma_mm"], ["bilateral_sigma_mm", "curvature_flow_step"]),
        ("denoise", "none", [], ["gaussian_sigma_mm", "bilateral_similarity"]),
        ("method", "oSVD", ["oscillation_index"], ["bsvd_cutoff", "tikhonov_strength"]),
        ("method", "tikhonov", ["tikhonov_choice"], ["tikhonov_strength", "residue", "late_probability"]),
        ("lesion_rule", "own", ["core_rcbf", "hypoperfusion_tmax_s"], ["core_cbv", "hypoperfusion_rmtt"]),
        ("brain", "fast-marching", ["bone_hu", "brain_opening_mm"], []),
        ("brain_source", "segment", ["brainSegment"], ["brain", "bone_hu"]),
        ("aif_source", "automatic", [], ["aifSegment", "aif_points", "aif_curve"]),
        ("aif_source", "segment", ["aifSegment"], ["vofSegment", "aif_points", "aif_curve"]),
        ("aif_source", "points", ["aif_points", "aifPlaceButton"], ["aifSegment", "aif_curve", "vof_points"]),
        ("aif_source", "curve", ["aif_curve", "aifLoadButton"], ["aifSegment", "aif_points", "vof_curve"]),
        ("vof_source", "points", ["vof_points", "vofPlaceButton"], ["vofSegment", "vof_curve", "aif_points"]),
        ("vof_source", "curve", ["vof_curve", "vofLoadButton"], ["vofSegment", "vof_points", "aif_curve"]),
    ],
)
def test_only_the_controls_of_the_chosen_method_are_shown(panel, field, word, shown, hidden):
    setattr(panel.parameters, field, word)
    assert not any(getattr(panel.ui, name).isHidden() for name in shown)
    assert all(getattr(panel.ui, name).isHidden() and getattr(panel.ui, f"{name}Label").isHidden() for name in hidden)


@pytest.mark.parametrize("key", ["brain", "aif", "vof"])
def test_segment_selectors_reach_the_parameter_node_and_back(panel, key):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for name in ("one", "two"):
        node.GetSegmentation().AddEmptySegment(name, name)
    selector = getattr(panel.ui, f"{key}Segment")
    selector.setCurrentNode(node)
    selector.setCurrentSegmentID("two")
    assert getattr(panel.parameters, f"{key}_segmentation") is node
    assert getattr(panel.parameters, f"{key}_segment") == "two"
    setattr(panel.parameters, f"{key}_segment", "one")
    assert selector.currentSegmentID() == "one"
    slicer.mrmlScene.RemoveNode(node)
    assert getattr(panel.parameters, f"{key}_segmentation") is None


# Apply: when


def test_apply_needs_a_scan_and_says_so(panel):
    assert not panel.ui.applyButton.enabled
    assert "Load a 4D scan" in panel.ui.applyButton.toolTip


def test_nothing_can_be_done_without_a_scan(panel):
    names = ["createMaskButton", "correctMaskButton", "exportButton", "cbfButton"]
    buttons = [getattr(panel.ui, name) for name in [*names, *(f"stage{k}Button" for k in range(1, 7))]]
    assert not any(button.enabled for button in buttons)


def test_apply_is_possible_with_a_scan_whose_times_are_known(panel, scan):
    assert panel.ui.applyButton.enabled
    assert panel.ui.timeAxis.text == "45 frames, 0–44 s, every 1 s, from the sequence's index (s)."


def test_a_single_volume_is_refused(panel, dialogs):  # noqa: F811
    import slicer

    panel.parameters.scan = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.float32))
    assert not panel.ui.applyButton.enabled
    assert "a single 3D volume" in panel.ui.applyButton.toolTip


def test_unknown_times_ask_for_the_interval(panel, scan):
    scan.SetIndexUnit("")
    scan.SetIndexName("frame")
    panel.refresh()
    assert not panel.ui.applyButton.enabled
    assert "Type the time between frames" in panel.ui.timeAxis.text
    panel.ui.interval_s.value = 1.5
    assert panel.ui.applyButton.enabled
    assert "0–66 s, every 1.5 s, from the interval typed" in panel.ui.timeAxis.text


def test_an_interval_beside_times_that_are_known_is_said_to_be_unused(panel, scan):
    panel.ui.interval_s.value = 1.5
    assert panel.ui.timeAxis.text.endswith("every 1 s, from the sequence's index (s). The interval typed is not used.")
    scan.SetIndexUnit("")
    panel.refresh()
    assert panel.ui.timeAxis.text.endswith("from the interval typed, 1.5 s.")


def test_inputs_that_are_no_more_chosen_are_no_more_followed(panel, scan):
    import slicer

    before = len(panel.Observations)
    for _ in range(3):
        panel.parameters.aif_curve = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    assert len(panel.Observations) == before + 1
    slicer.mrmlScene.RemoveNode(panel.parameters.aif_curve)
    assert len(panel.Observations) == before


def test_what_pypet_made_of_a_scan_is_no_scan(panel, scan, dialogs):  # noqa: F811
    stage_note(panel, 1)
    panel.parameters.scan = own("stage.projection", scan)
    assert not panel.ui.applyButton.enabled and not dialogs.errors()
    assert "found what PyPeT made of one. Select the scan itself" in panel.ui.timeAxis.text


def test_a_missing_segment_disables_apply(panel, scan):
    panel.parameters.brain_source = "segment"
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip.startswith("Brain mask: a segment is needed")
    panel.parameters.brain_source = "automatic"
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (("method", "bSVD"), ("lesion_rule", "MIStar-like"), "a method that gives the delay is needed"),
        (("aif_minimum_volume_ml", 0.9), ("aif_maximum_volume_ml", 0.5), "a minimum below its maximum is needed"),
    ],
)
def test_settings_that_do_not_go_together_disable_apply(panel, scan, one, other, words):
    before = getattr(panel.parameters, other[0])
    setattr(panel.parameters, *one)
    assert panel.ui.applyButton.enabled
    setattr(panel.parameters, *other)
    assert not panel.ui.applyButton.enabled and words in panel.ui.applyButton.toolTip
    setattr(panel.parameters, other[0], before)
    assert panel.ui.applyButton.enabled


def test_scan_removed_from_the_scene(applied, scan):
    import slicer

    assert applied.ui.exportButton.enabled
    slicer.mrmlScene.RemoveNode(scan)
    assert not applied.ui.applyButton.enabled
    assert not applied.ui.exportButton.enabled
    assert applied.logic.analysis is None, "the last run does not outlive its scan"


# Apply: what


def test_apply_shows_maps_numbers_and_curves(applied, scan, tiny_analysis):
    np.testing.assert_array_equal(voxels(own("map.cbf", scan)), tiny_analysis.maps.cbf.values)
    table = applied.ui.medians
    assert [table.item(r, 0).text() for r in range(5)] == ["CBF", "CBV", "MTT", "Tmax", "TTP"]
    assert [table.item(0, c).text() for c in (2, 3)] == [f"± {map_sds(tiny_analysis)['cbf']:.2g}", "mL/100 g/min"]
    assert table.item(3, 2).text() == "", "no SD of Tmax"
    assert applied.ui.candidates.rowCount == len(tiny_analysis.aif.candidates)
    assert f"{tiny_analysis.aif.partial_volume_factor:.2f}" in applied.ui.partialVolume.text
    assert applied.ui.applyButton.enabled


def test_settings_of_the_panel_are_those_of_the_run(panel, scan, dialogs):  # noqa: F811
    panel.ui.method.currentIndex = 2
    panel.ui.ssvd_cutoff.value = 0.3
    panel.ui.applyButton.click()
    settings = panel.logic.analysis.settings
    assert (settings.method, settings.ssvd_cutoff) == ("sSVD", 0.3)


def test_the_interval_typed_is_that_of_the_run(panel, scan, dialogs):  # noqa: F811
    scan.SetIndexUnit("")
    panel.ui.interval_s.value = 1.0
    panel.ui.applyButton.click()
    assert not dialogs.errors()
    np.testing.assert_array_equal(panel.logic.analysis.series.times_s, np.arange(45.0))


def test_a_doubtful_result_needs_consent(panel, scan, dialogs, tiny_head):  # noqa: F811
    from PyPeTScene.series import fill_sequence

    late = tiny_head.series.values[16:]  # begins after the bolus
    fill_sequence(scan, late, np.arange(float(len(late))), tiny_head.series.geometry)
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    panel.ui.force.checked = True
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert shown_checks(panel)[0][0] == "fail"


def shown_checks(panel) -> list[tuple[str, ...]]:
    table = panel.ui.checks
    return [tuple(table.item(r, c).text() for c in range(table.columnCount)) for r in range(table.rowCount)]


def test_checks_are_listed_worst_first_with_colour_and_value(applied):
    from PyPeTLib.quality import worst_first

    checks, table = worst_first(applied.logic.analysis.checks), applied.ui.checks
    assert shown_checks(applied) == [(check.status, check.name, check.text) for check in checks]
    doubts = sum(check.status == "warn" for check in checks)
    assert f"{len(checks)} quality checks: {doubts} warn, {len(checks) - doubts} pass." == applied.ui.checksNote.text
    colours = {table.item(r, 0).text(): table.item(r, 0).foreground().color().name() for r in range(table.rowCount)}
    assert colours == {"warn": "#b86e00", "pass": "#2e8b57"}
    row = [check.name for check in checks].index("coverage")
    assert f"coverage: {checks[row].value:.4g}" in table.item(row, 2).toolTip()
    assert "nan" not in "".join(table.item(r, 2).toolTip() for r in range(table.rowCount)).split()


def test_what_does_not_apply_is_grey(panel, scan, dialogs):  # noqa: F811
    panel.parameters.motion = "off"
    panel.ui.applyButton.click()
    row = [name for _, name, _ in shown_checks(panel)].index("motion")
    assert shown_checks(panel)[row][0] == "n/a"
    assert panel.ui.checks.item(row, 0).foreground().color().name() == "#808080"


def test_rows_of_the_checks_follow_the_width(applied):
    import slicer

    table = applied.ui.checks
    applied.parent.resize(900, 900)
    applied.parent.show()
    slicer.app.processEvents()
    wide = table.rowHeight(0)
    applied.parent.resize(380, 900)
    slicer.app.processEvents()
    assert table.rowHeight(0) > wide


@pytest.mark.parametrize("number", [2, 5])
def test_steps_show_the_checks_before_there_are_maps(panel, scan, dialogs, tiny_analysis, number):  # noqa: F811
    assert not panel.ui.checks.visible and "No result yet" in panel.ui.checksNote.text
    getattr(panel.ui, f"stage{number}Button").click()
    names = [name for _, name, _ in shown_checks(panel)]
    of_maps = {"plausible CBF", "plausible CBV", "timing", "residue shape", "midplane", "healthy side"}
    of_curves = {check.name for check in tiny_analysis.checks} - of_maps
    assert set(names) == of_curves | {"HU scale", "missing values"}
    assert panel.ui.medians.rowCount == 0


def test_lesions_are_shown_with_what_they_are_not_for(applied, tiny_analysis):
    table, lesions = applied.ui.lesions, tiny_analysis.lesions
    assert not table.isHidden() and not applied.ui.criteria.isHidden()
    assert table.item(0, 0).text() == "Core" and table.item(0, 3).text() == "mL"
    assert table.item(0, 1).text() == f"{lesions.volumes_ml['core'].ml:.1f}"
    assert applied.ui.criteria.item(0, 0).text() == "DEFUSE 3"
    assert "Research use only" in applied.ui.lesionsNote.text and "Tmax above 6 s" in applied.ui.lesionsNote.text
    assert "less than 1 mL are left out" in applied.ui.lesionsNote.text
    constants = " ".join(applied.ui.mediansNote.text.split())
    assert "κ = 0.733" in constants and "ρ = 1.05 g/mL" in constants


def test_own_thresholds_are_shown_only_where_they_count(panel):
    assert panel.ui.core_rcbf.isHidden()
    panel.parameters.lesion_rule = "own"
    assert not panel.ui.core_rcbf.isHidden() and not panel.ui.hypoperfusion_tmax_sLabel.isHidden()


def test_apply_again_makes_no_new_nodes(applied, scan):
    before = ids()
    applied.ui.applyButton.click()
    assert ids() == before


def test_progress_moves_and_is_closed(applied, dialogs):  # noqa: F811
    values = [value for value in dialogs.progress_values if value >= 0]
    assert len(set(values)) > 5
    assert values == sorted(values)
    assert not dialogs.progress[0].isVisible()


def test_apply_during_apply_does_nothing(panel, scan, dialogs):  # noqa: F811
    import qt

    def watch(dialog):
        dialog.findChild(qt.QProgressBar).connect("valueChanged(int)", lambda _value: panel.apply())

    dialogs.on_progress.append(watch)
    panel.ui.applyButton.click()
    assert len(dialogs.progress) == 1
    assert panel.logic.analysis is not None


@pytest.mark.parametrize("percent", [1, 30, 60, 95])
def test_cancel_leaves_the_scene_as_before(panel, scan, dialogs, percent):  # noqa: F811
    before = ids()
    cancel_at(percent, dialogs)
    panel.ui.applyButton.click()
    assert ids() == before
    assert panel.logic.analysis is None
    assert not dialogs.messages
    assert panel.ui.applyButton.enabled


def test_cancelled_before_anything_is_read(panel, scan, dialogs):  # noqa: F811
    before = ids()
    dialogs.on_progress.append(lambda dialog: dialog.cancel())
    panel.ui.applyButton.click()
    assert ids() == before and not dialogs.messages
    assert panel.ui.applyButton.enabled


def test_an_error_is_shown_once_and_the_scene_is_as_before(panel, scan, dialogs):  # noqa: F811
    from PyPeTScene.series import fill_sequence, node_geometry

    geometry = node_geometry(scan.GetNthDataNode(0))
    water = np.random.default_rng(0).normal(0.0, 5.0, (45, *geometry.shape)).astype(np.int16)
    fill_sequence(scan, water, np.arange(45.0), geometry)
    before = ids()
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert "Brain mask: a skull" in dialogs.errors()[0]
    assert ids() == before
    assert panel.ui.applyButton.enabled


def test_a_run_without_memory_says_what_it_needs(panel, scan, dialogs, monkeypatch):  # noqa: F811
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(panel.logic, "process_parameters", full)
    panel.ui.applyButton.click()
    assert "More memory is needed" in dialogs.errors()[0] and "Close other programs" in dialogs.errors()[0]
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize("percent", [2, 30, 85, 98])
def test_scene_closed_during_apply(panel, scan, dialogs, percent, monkeypatch):  # noqa: F811
    import slicer

    said = []
    monkeypatch.setattr(slicer.util, "showStatusMessage", lambda text, *_: said.append(text))
    at_percent(percent, dialogs, lambda: slicer.mrmlScene.Clear(False))
    panel.ui.applyButton.click()
    assert not dialogs.errors()
    assert said == ["The scene was closed; PyPeT was stopped."]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 0
    assert panel.parameters.scan is None
    assert not panel.ui.applyButton.enabled


@pytest.mark.parametrize("percent", [2, 40])
def test_segmentation_deleted_during_apply(applied, scan, dialogs, percent):  # noqa: F811
    import slicer

    from PyPeTPanel.parameters import use_segment

    segmentation = own("segmentation", scan)
    use_segment(applied.parameters, "brain", segmentation, "PyPeT_brain")
    at_percent(percent, dialogs, lambda: slicer.mrmlScene.RemoveNode(segmentation))
    applied.ui.applyButton.click()
    assert len(dialogs.errors()) == (percent < 10)
    if dialogs.errors():
        assert "Mask: a segmentation of the scene is needed; it was deleted" in dialogs.errors()[0]
    else:
        assert own("segmentation", scan) is not None, "the result brings its own"


@pytest.mark.parametrize("role", ["segmentation", "map.cbf"])
def test_result_deleted_while_it_is_shown(applied, scan, dialogs, role):  # noqa: F811
    import slicer

    before, former = ids(), voxels(own("map.tmax", scan))
    applied.ui.bsvd_cutoff.value = 0.3
    at_percent(90, dialogs, lambda: slicer.mrmlScene.RemoveNode(own(role, scan)))
    applied.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert "must stay in the scene while they are filled; found 1 removed. Apply again." in dialogs.errors()[0]
    assert ids() < before, "nothing new"
    np.testing.assert_array_equal(voxels(own("map.tmax", scan)), former)
    applied.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert own(role, scan) is not None


@pytest.mark.parametrize("percent", [2, 40, 85, 98])
def test_scan_removed_during_apply(panel, scan, dialogs, percent):  # noqa: F811
    import slicer

    before = ids()
    at_percent(percent, dialogs, lambda: slicer.mrmlScene.RemoveNode(scan))
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert "it was removed" in dialogs.errors()[0]
    assert ids() < before, "nothing new"
    assert not panel.ui.applyButton.enabled


def test_hundreds_of_calls_move_the_dialog_only_now_and_then(slicer_app, dialogs, monkeypatch):  # noqa: F811
    from types import SimpleNamespace

    from PyPeTPanel import running

    now = [10.0]
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with running.cancellable(None, lambda: False) as progress:
        for k in range(400):
            now[0] += 0.001
            progress(k / 400, "Working")
    moved = [value for value in dialogs.progress_values if value > 0]
    assert 5 <= len(moved) <= 8
    assert moved[-1] > 80


def test_cancel_is_seen_at_the_next_call_even_between_two_moves(slicer_app, dialogs, monkeypatch):  # noqa: F811
    from PyPeTPanel import running

    monkeypatch.setattr(running, "INTERVAL_S", 1.0e6)
    with running.cancellable(None, lambda: False) as progress:
        progress(0.1, "Working")
        dialogs.progress[0].cancel()
        with pytest.raises(running.Cancelled, match="the scene is as it was"):
            progress(0.2, "Working")


def test_segmentation_deleted_before_apply(applied, scan):
    import slicer

    from PyPeTPanel.parameters import use_segment

    use_segment(applied.parameters, "brain", own("segmentation", scan), "PyPeT_brain")
    assert applied.ui.applyButton.enabled
    slicer.mrmlScene.RemoveNode(own("segmentation", scan))
    assert not applied.ui.applyButton.enabled
    applied.parameters.brain_source = "automatic"
    assert applied.ui.applyButton.enabled


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("aif_points", "vtkMRMLMarkupsFiducialNode"),
        ("vof_curve", "vtkMRMLTableNode"),
        ("reference_map", "vtkMRMLScalarVolumeNode"),
        ("compared_map", "vtkMRMLScalarVolumeNode"),
        ("tissue_segmentation", "vtkMRMLSegmentationNode"),
        ("scan", "vtkMRMLSequenceNode"),
        ("brain_segmentation", "vtkMRMLSegmentationNode"),
    ],
)
def test_a_chosen_node_that_is_deleted_is_not_replaced_by_another(panel, scan, field, kind):
    """Slicer's selectors take the next of their list, which nobody chose: points in a vein for an artery."""
    import slicer

    chosen = scan if field == "scan" else slicer.mrmlScene.AddNewNodeByClass(kind, "chosen")
    other = slicer.mrmlScene.AddNewNodeByClass(kind, "other")
    for node in (chosen, other) if kind == "vtkMRMLSegmentationNode" else ():
        node.GetSegmentation().AddEmptySegment("brain", "brain")
    setattr(panel.parameters, field, chosen)
    assert getattr(panel.parameters, field) is chosen
    slicer.mrmlScene.RemoveNode(chosen)
    assert getattr(panel.parameters, field) is None
    assert panel.ui.scan.currentNode() is panel.parameters.scan
    assert panel.ui.brainSegment.currentNode() is None and panel.parameters.brain_segment == ""
    setattr(panel.parameters, field, other)
    assert getattr(panel.parameters, field) is other


def test_a_scan_chosen_by_its_proxy_volume_goes_with_its_sequence(panel, scan):
    """To ask of a proxy volume while its sequence leaves ended the process, in Slicer's own code."""
    import slicer

    from PyPeTScene.series import scan_volume

    panel.parameters.scan = scan_volume(scan)
    slicer.mrmlScene.RemoveNode(scan)
    assert panel.parameters.scan is None
    assert not panel.ui.applyButton.enabled


# Scene


def test_scene_close_starts_afresh(applied):
    import slicer

    applied.parameters.method = "tikhonov"
    slicer.mrmlScene.Clear(False)
    assert applied.parameters.method == "bayesian"
    assert applied.ui.method.currentText == "bayesian"
    assert applied.ui.medians.rowCount == 0
    applied.ui.method.currentIndex = 3
    assert applied.parameters.method == "oSVD", "the panel follows the new parameter node"


def test_parameters_are_saved_in_the_scene_and_come_back(applied, scan, tmp_path):
    from slicer_double.scene import reload_scene

    applied.ui.tikhonov_strength.value = 0.25
    applied.ui.denoise.currentIndex = 1
    applied.ui.applyButton.click()
    cbf = voxels(own("map.cbf", scan))
    reload_scene(tmp_path / "scene.mrb")
    assert applied.parameters.tikhonov_strength == 0.25
    assert applied.ui.denoise.currentText == "gaussian"
    assert applied.parameters.scan.GetName() == "scan"
    np.testing.assert_array_equal(voxels(own("map.cbf", applied.parameters.scan)), cbf)
    before = ids()
    applied.ui.applyButton.click()
    assert ids() == before


def test_what_was_chosen_survives_another_scene_that_is_added(panel, scan, tmp_path):
    """Slicer's selectors forget their nodes meanwhile, and would write that into the parameters."""
    import slicer

    from PyPeTPanel.parameters import use_segment

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    segmentation.GetSegmentation().AddEmptySegment("head", "head")
    use_segment(panel.parameters, "brain", segmentation, "head")
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "curve")
    panel.parameters.aif_curve = table
    other = slicer.vtkMRMLScene()
    other.AddNewNodeByClass("vtkMRMLTextNode", "of another scene")
    other.SetURL(str(tmp_path / "other.mrml"))
    other.Commit()
    slicer.mrmlScene.SetURL(str(tmp_path / "other.mrml"))
    slicer.mrmlScene.Import()
    found = panel.parameters
    assert (found.scan, found.brain_segmentation, found.brain_segment) == (scan, segmentation, "head")
    assert found.aif_curve is table and panel.ui.aif_curve.currentNode() is table
    assert panel.ui.brainSegment.currentSegmentID() == "head"


def test_a_segment_that_is_removed_is_not_replaced_by_another(panel, scan):
    """Slicer's selector takes the first of those that are left: a whole brain would be the artery."""
    import slicer

    from PyPeTPanel.parameters import use_segment

    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    for name in ("brain", "artery"):
        segmentation.GetSegmentation().AddEmptySegment(name, name)
    use_segment(panel.parameters, "aif", segmentation, "artery")
    segmentation.GetSegmentation().RemoveSegment("artery")
    assert (panel.parameters.aif_segmentation, panel.parameters.aif_segment) == (segmentation, "")
    assert not panel.ui.applyButton.enabled
    panel.ui.aifSegment.setCurrentSegmentID("brain")  # what the user chooses counts
    assert panel.parameters.aif_segment == "brain"


def test_a_layout_whose_number_alone_came_with_a_scene_is_shown(applied, scan):
    """Slicer keeps the number of a layout in a scene, not what it means."""
    import slicer

    from PyPeTPanel import views

    stage = views.maps_and_curves(scan)
    number = views.FIRST_LAYOUT + 10 * len(stage.volumes) + len(stage.charts)
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    assert node.IsLayoutDescription(number)  # since Slicer started
    node.SetLayoutDescription(number, "")
    node.SetViewArrangement(number)
    node.SetLayoutDescription(number, views._description(len(stage.volumes), len(stage.charts)))
    views.arrange(stage)
    assert "PyPeTChart2" in node.GetCurrentLayoutDescription()


def test_only_scans_are_offered(panel, scan):
    """A sequence of segmentations or transforms is none."""
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "of transforms")
    other.SetDataNodeAtValue(slicer.vtkMRMLLinearTransformNode(), "0")
    offered = {panel.ui.scan.nodeFromIndex(k) for k in range(panel.ui.scan.nodeCount())}
    assert scan in offered and other not in offered


def test_without_a_main_window(load, tiny_head, dialogs):  # noqa: F811
    from PyPeTScene.series import sequence_from_series

    panel = load(MODULE, main_window=False).widget
    panel.parameters.scan = sequence_from_series(tiny_head.series, "scan")[0]
    for button in (panel.ui.applyButton, panel.ui.correctMaskButton, panel.ui.cbfButton):
        button.click()
    for k in range(1, 7):
        getattr(panel.ui, f"stage{k}Button").click()
    assert not dialogs.errors()
    assert own("map.cbf", panel.parameters.scan) is not None


# Correcting


def test_created_mask_is_used_by_apply(panel, scan):
    panel.ui.createMaskButton.click()
    assert (panel.parameters.brain_source, panel.parameters.brain_segment) == ("segment", "PyPeT_brain")
    panel.ui.applyButton.click()
    assert panel.logic.analysis.brain_source == "user's mask"


def test_a_mask_that_is_made_before_apply_is_of_the_frames_that_apply_takes(panel, tiny_head, dialogs):  # noqa: F811
    from PyPeTLib import prepare
    from PyPeTScene.series import sequence_from_series

    values = np.array(tiny_head.series.values)
    values[[2, 30, 31]] = -1024
    series = replace(tiny_head.series, values=values)
    panel.parameters.scan = scan = sequence_from_series(series, "frames without a head")[0]
    panel.ui.stage3Button.click()
    panel.ui.createMaskButton.click()
    assert not dialogs.errors()
    expected = prepare(series).brain.values
    np.testing.assert_array_equal(segment_voxels(scan, "PyPeT_brain"), expected)
    np.testing.assert_array_equal(voxels(own("stage.mask", scan)), expected)
    masked = voxels(own("stage.masked", scan))
    assert np.nanmedian(masked) > 20.0, "frames without a head are not in the mean"


def test_corrected_mask_is_used_by_apply(applied, scan):
    import slicer

    from PyPeTScene.series import scan_volume

    applied.ui.correctMaskButton.click()
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "SegmentEditor"
    assert editor.segmentationNode() is own("segmentation", scan)
    assert editor.sourceVolumeNode() is scan_volume(scan)
    assert editor.currentSegmentID() == "PyPeT_brain"
    # vessels lie inside the brain: painting it must not erase them
    assert editor.mrmlSegmentEditorNode().GetOverwriteMode() == slicer.vtkMRMLSegmentEditorNode.OverwriteNone
    mask = applied.logic.analysis.brain.values.astype(np.uint8)
    mask[0] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, editor.segmentationNode(), "PyPeT_brain", scan_volume(scan))
    applied.ui.applyButton.click()
    np.testing.assert_array_equal(np.isfinite(voxels(own("map.cbf", scan))), mask.astype(bool))


def erase_slice(segmentation, identity: str, scan, k: int):
    """Erase one slice as the effects of the Segment Editor do: the segment's labelmap is changed where it lies."""
    import slicer

    from PyPeTScene.nodes import image_values
    from PyPeTScene.series import scan_volume

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor = slicer.vtkSlicerSegmentEditorLogic()
    editor.SetMRMLScene(slicer.mrmlScene)
    editor.SetSegmentEditorNode(node)
    node.SetAndObserveSegmentationNode(segmentation)
    node.SetAndObserveSourceVolumeNode(scan_volume(scan))
    node.SetSelectedSegmentID(identity)
    editor.UpdateReferenceGeometryImage()
    editor.ResetModifierLabelmapToDefault()
    brush = editor.GetModifierLabelmap()
    image_values(brush)[...] = np.arange(brush.GetDimensions()[2])[:, None, None] == k
    brush.Modified()
    editor.ModifySegmentByLabelmap(segmentation, identity, brush, editor.ModificationModeRemove, False, False)
    slicer.mrmlScene.RemoveNode(node)


def segment_voxels(scan, identity: str) -> np.ndarray:
    import slicer

    from PyPeTScene.series import scan_volume

    segmentation = own("segmentation", scan)
    return np.array(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identity, scan_volume(scan))) > 0


def test_a_painted_mask_is_seen_by_the_steps_and_stays(panel, scan, dialogs):  # noqa: F811
    panel.ui.createMaskButton.click()
    panel.ui.stage2Button.click()
    for k, button in enumerate((panel.ui.stage4Button, panel.ui.stage5Button, panel.ui.showTissueButton)):
        erase_slice(own("segmentation", scan), "PyPeT_brain", scan, k)
        painted = segment_voxels(scan, "PyPeT_brain")
        assert not painted[k].any() and painted[3].any()
        button.click()
        np.testing.assert_array_equal(segment_voxels(scan, "PyPeT_brain"), painted)
        np.testing.assert_array_equal(panel.logic.prepared.brain.values, painted)
        assert panel.logic.is_prepared_for(panel.parameters), "looking changes nothing that it looks at"
    assert not dialogs.errors()


def segments_of(scan) -> dict[str, int]:
    """Voxels of the segments by name."""
    segments = own("segmentation", scan).GetSegmentation()
    names = {segments.GetSegment(one).GetName(): one for one in segments.GetSegmentIDs()}
    return {name: int(segment_voxels(scan, one).sum()) for name, one in names.items()}


def test_edited_segments_that_are_not_chosen_are_asked_about_and_never_lost(applied, scan, dialogs):  # noqa: F811
    before = segments_of(scan)
    erase_slice(own("segmentation", scan), "PyPeT_brain", scan, 0)
    edited = segments_of(scan)["Brain"]
    assert edited < before["Brain"]
    dialogs.answers.append(False)
    applied.ui.stage2Button.click()
    assert "The segment Brain was edited" in dialogs.messages[-1].text
    applied.ui.stage4Button.click()
    applied.ui.applyButton.click()
    assert not dialogs.answers and len(dialogs.messages) == 1, "asked once"
    assert segments_of(scan) == {**before, "Brain, edited": edited}
    erase_slice(own("segmentation", scan), "PyPeT_brain", scan, 1)
    again = segments_of(scan)["Brain"]
    dialogs.answers.append(True)
    applied.ui.applyButton.click()
    assert applied.logic.analysis.brain_source == "user's mask"
    assert applied.logic.analysis.brain.values.sum() == again == segments_of(scan)["Brain"]
    for agreed in (False, True):
        dialogs.answers.append(agreed)
        applied.ui.createMaskButton.click()
        assert "The brain mask was edited" in dialogs.messages[-1].text
        assert segments_of(scan)["Brain"] == (before["Brain"] if agreed else again)
    brains = {name: count for name, count in segments_of(scan).items() if name.startswith("Brain")}
    assert brains == {"Brain": before["Brain"], "Brain, edited": edited, "Brain, edited 2": again}
    applied.ui.createMaskButton.click()
    assert not dialogs.answers and not dialogs.errors()


@pytest.mark.parametrize("key", ["aif", "vof"])
def test_segments_of_vessels_are_used(applied, scan, key):
    from PyPeTPanel.parameters import use_segment

    use_segment(applied.parameters, key, own("segmentation", scan), f"PyPeT_{key}")
    wanted = np.array(getattr(applied.logic.analysis, key).mask.values)
    applied.ui.applyButton.click()
    found = getattr(applied.logic.analysis, key)
    assert found.source == "user's mask"
    np.testing.assert_array_equal(found.mask.values, wanted)


def place(points, curve, series):
    """Drop a point into the first voxel of a vessel, as a click does."""
    z, y, x = np.argwhere(curve.mask.values)[0]
    grid = series.geometry
    lps = np.asarray(grid.origin_mm) + grid.axes @ (np.array([x, y, z]) * grid.spacing_mm)
    points.AddControlPoint(-lps[0], -lps[1], lps[2])


@pytest.mark.parametrize("key", ["aif", "vof"])
def test_placed_points_are_used_and_the_grown_voxels_shown(panel, scan, tiny_analysis, key):
    import slicer

    from PyPeTLib.seeds import grow_seeds
    from PyPeTPanel.parameters import settings_of
    from PyPeTScene.masks import mask_from_segment
    from PyPeTScene.points import points_mm
    from PyPeTScene.series import scan_volume

    getattr(panel.ui, f"{key}PlaceButton").click()
    points = getattr(panel.parameters, f"{key}_points")
    assert points.GetName() == f"{key.upper()} points"
    assert getattr(panel.parameters, f"{key}_source") == "points"
    assert getattr(panel.ui, f"{key}_points").currentNode() is points
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert interaction.GetPlaceModePersistence()
    assert slicer.modules.markups.logic().GetActiveListID() == points.GetID()
    assert not panel.ui.applyButton.enabled
    assert "at least one placed point is needed" in panel.ui.applyButton.toolTip
    place(points, getattr(tiny_analysis, key), tiny_analysis.series)
    assert panel.ui.applyButton.enabled, "the panel follows the points"
    panel.ui.applyButton.click()
    found = getattr(panel.logic.analysis, key)
    expected = grow_seeds(tiny_analysis.series, points_mm(points), settings=settings_of(panel.parameters))
    np.testing.assert_array_equal(found.mask.values, expected.values)
    back = mask_from_segment(own("segmentation", scan), f"PyPeT_{key}", scan_volume(scan))
    np.testing.assert_array_equal(back.values, expected.values)


def test_place_points_goes_on_with_the_chosen_list(panel, scan):
    import slicer

    panel.ui.aifPlaceButton.click()
    first = panel.parameters.aif_points
    panel.ui.aifPlaceButton.click()
    assert panel.parameters.aif_points is first
    panel.ui.vofPlaceButton.click()
    assert panel.parameters.vof_points is not first
    panel.ui.aifPlaceButton.click()
    assert slicer.modules.markups.logic().GetActiveListID() == first.GetID(), "clicks go into the list of the button"
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")) == 2


def test_without_a_main_window_the_list_is_made_and_nothing_is_placed(load):  # noqa: F811
    import slicer

    panel = load(MODULE, main_window=False).widget
    panel.ui.aifPlaceButton.click()
    assert panel.parameters.aif_points is not None
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() != interaction.Place


@pytest.mark.parametrize("key", ["aif", "vof"])
def test_loaded_curve_is_used(panel, scan, tiny_analysis, tmp_path, dialogs, key):  # noqa: F811
    from PyPeTLib.result_tables import curve_table
    from PyPeTLib.write import write_csv

    write_csv(curve_table(tiny_analysis), tmp_path / "mine.csv")
    dialogs.paths.append(str(tmp_path / "mine.csv"))
    getattr(panel.ui, f"{key}LoadButton").click()
    table = getattr(panel.parameters, f"{key}_curve")
    assert (table.GetName(), getattr(panel.parameters, f"{key}_source")) == ("mine", "curve")
    panel.ui.applyButton.click()
    found = getattr(panel.logic.analysis, key)
    assert found.source == "user's curve"
    np.testing.assert_allclose(found.curve_hu, getattr(tiny_analysis, key).curve_hu, atol=0.1)
    panel.ui.stage5Button.click()
    assert not dialogs.errors()
    assert "user's curve" in panel.ui.stageNote.text or key == "vof"
    assert "nan" not in panel.ui.stageNote.text


def test_a_curve_that_cannot_be_read_is_shown_once_and_changes_nothing(panel, tmp_path, dialogs, slicer_app):  # noqa: F811
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    before = ids()
    dialogs.paths += [str(tmp_path / "bad.csv"), ""]
    panel.ui.aifLoadButton.click()
    panel.ui.aifLoadButton.click()
    assert len(dialogs.errors()) == 1
    assert "at least 5 points are needed" in dialogs.errors()[0]
    assert ids() == before
    assert (panel.parameters.aif_source, panel.parameters.aif_curve) == ("automatic", None)


@pytest.mark.parametrize("key", ["aif", "vof"])
@pytest.mark.parametrize(
    ("source", "kind", "missing"),
    [
        ("points", "vtkMRMLMarkupsFiducialNode", "a list of points is needed; none is chosen, or it was deleted"),
        ("curve", "vtkMRMLTableNode", "a table of its curve is needed; none is chosen, or it was deleted"),
    ],
)
def test_apply_says_what_is_missing_of_a_vessel(panel, scan, key, source, kind, missing):
    import slicer

    what = {"aif": "Arterial input: ", "vof": "Venous output: "}[key]
    setattr(panel.parameters, f"{key}_source", source)
    assert panel.ui.applyButton.toolTip.startswith(what + missing)
    node = slicer.mrmlScene.AddNewNodeByClass(kind)
    getattr(panel.ui, f"{key}_{source}").setCurrentNode(node)
    assert getattr(panel.parameters, f"{key}_{source}") is node
    assert panel.ui.applyButton.toolTip.startswith(what)
    assert missing not in panel.ui.applyButton.toolTip
    assert not panel.ui.applyButton.enabled
    slicer.mrmlScene.RemoveNode(node)
    assert panel.ui.applyButton.toolTip.startswith(what + missing)
    setattr(panel.parameters, f"{key}_source", "automatic")
    assert panel.ui.applyButton.enabled


def test_apply_can_run_again_once_a_table_is_filled(panel, scan):
    import slicer

    from PyPeTScene.curves import put_columns

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    panel.parameters.aif_curve, panel.parameters.aif_source = table, "curve"
    assert not panel.ui.applyButton.enabled
    put_columns(table, {"t": np.arange(5.0), "hu": np.array([0.0, 1.0, 9.0, 5.0, 1.0])})
    assert panel.ui.applyButton.enabled


def test_inputs_of_the_user_are_saved_in_the_scene_and_come_back(panel, scan, tmp_path):
    import slicer
    from slicer_double.scene import reload_scene

    panel.ui.aifPlaceButton.click()
    panel.parameters.aif_points.AddControlPoint(1.0, 2.0, 3.0)
    panel.parameters.vof_curve = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "mine")
    panel.parameters.vof_source = "curve"
    reload_scene(tmp_path / "scene.mrb")
    assert (panel.parameters.aif_source, panel.parameters.vof_source) == ("points", "curve")
    assert panel.parameters.aif_points.GetNumberOfControlPoints() == 1
    assert panel.parameters.vof_curve.GetName() == "mine"
    assert panel.ui.aif_points.currentNode() is panel.parameters.aif_points
    assert panel.ui.vof_curve.currentNode() is panel.parameters.vof_curve


def test_another_candidate_is_used_and_the_first_returns_to_automatic(applied, scan):
    from PyPeTScene.masks import mask_from_segment
    from PyPeTScene.series import scan_volume

    best, wanted = (applied.logic.candidates_of(scan)[k].mask for k in (0, 1))
    automatic = applied.logic.analysis.aif.mask.values
    assert automatic[best].all(), "the input is the best candidate with all voxels that show its curve"
    applied.ui.candidates.cellClicked.emit(1, 0)
    assert (applied.parameters.aif_source, applied.parameters.aif_segment) == ("segment", "PyPeT_aif_choice")
    kept = mask_from_segment(own("segmentation", scan), "PyPeT_aif", scan_volume(scan))
    np.testing.assert_array_equal(kept.values, automatic, "the result on the screen stays until Apply")
    applied.ui.applyButton.click()
    np.testing.assert_array_equal(applied.logic.analysis.aif.mask.values, wanted)
    assert applied.ui.candidates.rowCount > 1, "the candidates stay for another choice"
    applied.ui.candidates.cellClicked.emit(0, 0)
    assert applied.parameters.aif_source == "automatic"


def test_a_candidate_is_the_one_of_its_row_or_is_asked_for_again(applied, scan, dialogs):  # noqa: F811
    from PyPeTPanel.parameters import use_segment

    rows, wanted = applied.ui.candidates.rowCount, applied.logic.candidates_of(scan)[1].mask
    use_segment(applied.parameters, "aif", own("segmentation", scan), "PyPeT_aif")
    applied.logic.forget()  # as after a run on another scan
    cancel_at(10, dialogs)
    applied.ui.candidates.cellClicked.emit(1, 0)
    assert (applied.parameters.aif_source, applied.parameters.aif_segment) == ("segment", "PyPeT_aif")
    dialogs.on_progress.clear()
    applied.ui.candidates.cellClicked.emit(1, 0)
    assert applied.parameters.aif_segment == "PyPeT_aif_choice"
    np.testing.assert_array_equal(segment_voxels(scan, "PyPeT_aif_choice"), wanted)
    settings = {"denoise": "none", "motion": "off", "aif_minimum_volume_ml": 0.5}
    usual = {name: getattr(applied.parameters, name) for name in settings}
    for name, value in settings.items():
        setattr(applied.parameters, name, value)
    applied.parameters.aif_source = "automatic"
    applied.ui.stage2Button.click()  # a search of its own, whose candidates no table shows
    assert len(applied.logic.candidates_of(scan)) > rows == applied.ui.candidates.rowCount
    applied.ui.candidates.cellClicked.emit(rows - 1, 0)
    assert "Choose again." in dialogs.errors()[-1] and applied.parameters.aif_source == "automatic"
    more = applied.ui.candidates.rowCount
    assert more == len(applied.logic.candidates_of(scan))
    for name, value in usual.items():
        setattr(applied.parameters, name, value)
    applied.logic.forget()
    applied.ui.candidates.cellClicked.emit(more - 1, 0)
    assert f"shows the {rows} of a new search" in dialogs.errors()[-1]
    assert applied.ui.candidates.rowCount == rows and len(dialogs.errors()) == 2


# Steps and results


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


#: Stage: names of the volumes and roles of the charts that it shows.
STAGES = {
    1: (["scan", "scan raw projection"], []),
    2: (["scan denoised", "scan denoised projection"], []),
    3: (["scan mask", "scan", "scan masked"], []),
    4: (["scan enhancement"], ["bolus.chart", "tissue.chart"]),
    5: (["scan"], ["curves.chart"]),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("before", [True, False])
def test_every_stage_can_be_seen_before_apply_and_after(panel, scan, dialogs, stage, before):  # noqa: F811
    if not before:
        panel.ui.applyButton.click()
    button = getattr(panel.ui, f"stage{stage}Button")
    assert button.enabled
    button.click()
    assert not dialogs.errors()
    volumes, charts = STAGES[stage]
    charts = charts if before or stage != 1 else ["motion.chart"]
    assert shown_volumes(len(volumes)) == volumes
    assert shown_charts() == [own(role, scan) for role in charts]
    assert (own("map.cbf", scan) is None) == before
    nodes = ids()
    button.click()
    assert ids() == nodes, "looking again makes nothing new"


def test_motion_is_a_chart_while_it_is_measured(applied, scan):
    import slicer

    chart = own("motion.chart", scan)
    plots = [chart.GetNthPlotSeriesNode(k) for k in range(chart.GetNumberOfPlotSeriesNodes())]
    found = slicer.util.arrayFromTableColumn(own("motion.table", scan), plots[0].GetYColumnName())
    np.testing.assert_allclose(found, applied.logic.analysis.motion.displacement_mm)
    applied.parameters.motion = "off"
    applied.ui.applyButton.click()
    assert own("motion.chart", scan) is None
    assert own("motion.table", scan) is None
    assert not any("motion" in plot.GetName() for plot in slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode"))


def test_maps_cannot_be_seen_before_apply(panel, scan):
    assert not any(button.enabled for button in (panel.ui.stage6Button, panel.ui.mapsButton, panel.ui.curvesButton))


def test_stages_show_what_the_parameters_say_now(applied, scan):
    assert "denoised (bilateral)" in stage_note(applied, 2).lower()
    applied.ui.denoise.currentIndex = 1
    note = stage_note(applied, 2)
    assert "denoised (gaussian)" in note.lower()
    assert "still those of the last Apply" in note
    assert applied.logic.analysis.settings.denoise == "bilateral"
    applied.ui.denoise.currentIndex = 0
    assert OLDER not in stage_note(applied, 2), "put back"


OLDER = "The maps are still those of the last Apply."


def test_steps_say_whether_the_maps_are_of_what_they_show(reloaded, other_scan):
    scan = reloaded.parameters.scan
    assert OLDER not in stage_note(reloaded, 5)
    reloaded.parameters.scan = other_scan()
    assert OLDER not in stage_note(reloaded, 5), "this scan has no maps"
    reloaded.parameters.scan = scan
    reloaded.ui.brain_opening_mm.value = 8.0
    assert OLDER in stage_note(reloaded, 5), "of a scene from a file, too"


def test_curves_are_computed_again_where_scan_or_times_changed_and_not_for_lesions(applied, scan):
    from PyPeTScene.series import fill_sequence

    logic, raw = applied.logic, applied.logic.analysis.raw
    prepared = logic.prepared
    applied.ui.frame.value = 20
    applied.parameters.lesion_rule = "own"
    assert OLDER not in stage_note(applied, 2) and logic.prepared is prepared
    fill_sequence(scan, raw.values, 1.5 * raw.times_s, raw.geometry)
    assert not logic.is_prepared_for(applied.parameters)
    assert OLDER in stage_note(applied, 2) and logic.prepared.raw.times_s[-1] == 1.5 * raw.times_s[-1]
    scan.GetNthDataNode(3).GetImageData().GetPointData().GetScalars().Modified()  # as whoever writes voxels says
    assert not logic.is_prepared_for(applied.parameters)


def stage_note(panel, number: int) -> str:
    getattr(panel.ui, f"stage{number}Button").click()
    return panel.ui.stageNote.text


def test_looking_twice_computes_once(panel, scan, monkeypatch):
    from PyPeTScene import study

    runs = []
    real = study.prepare
    monkeypatch.setattr(study, "prepare", lambda *given, **named: runs.append(1) or real(*given, **named))
    for number in (2, 4, 5, 3):
        stage_note(panel, number)
    assert len(runs) == 1
    panel.ui.brain_opening_mm.value = 8.0
    stage_note(panel, 5)
    assert len(runs) == 2


def test_a_scan_without_baseline_can_be_looked_at(panel, scan, dialogs, tiny_head):  # noqa: F811
    from PyPeTScene.series import fill_sequence

    late = tiny_head.series.values[16:]
    fill_sequence(scan, late, np.arange(float(len(late))), tiny_head.series.geometry)
    assert "Contrast agent is there from the start" in stage_note(panel, 4)
    assert not dialogs.errors()


def test_cancelling_a_stage_leaves_the_scene_as_before(panel, scan, dialogs):  # noqa: F811
    before = ids()
    cancel_at(30, dialogs)
    panel.ui.stage5Button.click()
    assert ids() == before
    assert not dialogs.errors()
    assert panel.ui.stage5Button.enabled


@pytest.mark.parametrize("stage", [4, 5])
def test_the_slider_stands_at_the_peak_of_brain_or_artery(applied, scan, stage):
    stage_note(applied, stage)
    analysis = applied.logic.analysis
    curve = analysis.curves.mean(analysis.brain.values) if stage == 4 else analysis.aif.measured_hu
    wanted = int(curve.argmax())
    assert applied.ui.frame.value == wanted


def test_maps_stand_side_by_side_linked(applied, scan):
    import slicer

    applied.ui.stage6Button.click()
    manager = slicer.app.layoutManager()
    composites = [manager.sliceWidget(f"PyPeT{k + 1}").mrmlSliceCompositeNode() for k in range(6)]
    assert [node.GetBackgroundVolumeID() for node in composites] == [
        applied.logic.shown.maps[name] for name in ("cbf", "cbv", "mtt", "tmax", "ttp", "delay")
    ]
    assert all(node.GetLinkedControl() for node in composites)


def test_time_slider_scrolls_scan_and_enhancement(applied, scan, tiny_head):
    from PyPeTScene.series import scan_volume

    assert applied.ui.frame.maximum == 44
    applied.ui.frame.value = 20
    assert applied.ui.frameTime.text == "20.0 s"
    np.testing.assert_array_equal(voxels(scan_volume(scan)), tiny_head.series.values[20])


def test_input_stage_looks_at_the_slice_with_most_arterial_voxels(applied, scan):
    import slicer

    applied.ui.stage5Button.click()
    logic = slicer.app.layoutManager().sliceWidget("PyPeT1").sliceLogic()
    mask = applied.logic.analysis.aif.mask
    k = int(mask.values.sum(axis=(1, 2)).argmax())
    assert logic.GetSliceOffset() == pytest.approx(mask.geometry.origin_mm[2] + k * mask.geometry.spacing_mm[2])


def test_steps_of_a_dicom_import_scroll_and_keep_the_frame(panel, dialogs, tiny_head):  # noqa: F811
    import slicer
    from scene_cases import dicom_sequence

    from PyPeTScene.series import sequence_browser

    panel.parameters.scan = scan = dicom_sequence(tiny_head.series)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(sequence_browser(scan))
    for number in (3, 5):
        stage_note(panel, number)
        peak = panel.ui.frame.value
        for frame in (peak, 30):
            panel.ui.frame.value = frame
            np.testing.assert_array_equal(shown_voxels(0 if number == 5 else 1), tiny_head.series.values[frame])
    assert peak == int(panel.logic.prepared.aif.measured_hu.argmax())
    assert panel.ui.frameTime.text == "30.0 s"
    panel.ui.applyButton.click()
    assert panel.ui.frame.value == 30 and not dialogs.errors()


def shown_voxels(view: int) -> np.ndarray:
    import slicer

    composite = slicer.app.layoutManager().sliceWidget(f"PyPeT{view + 1}").mrmlSliceCompositeNode()
    return voxels(slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID()))


def test_the_input_stage_follows_the_transform_of_the_scan(applied, scan):
    import slicer
    import vtk

    from PyPeTScene.series import scan_volume

    moved, matrix = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode"), vtk.vtkMatrix4x4()
    stage_note(applied, 5)
    logic = slicer.app.layoutManager().sliceWidget("PyPeT1").sliceLogic()
    before = logic.GetSliceOffset()
    matrix.SetElement(2, 3, 100.0)
    moved.SetMatrixTransformToParent(matrix)
    scan_volume(scan).SetAndObserveTransformNodeID(moved.GetID())
    stage_note(applied, 5)
    assert logic.GetSliceOffset() == pytest.approx(before + 100.0)


def test_map_buttons_show_the_map(applied, scan):
    import slicer

    applied.ui.fourViewsButton.click()
    applied.ui.tmaxButton.click()
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == own("map.tmax", scan).GetID()


def test_a_map_that_was_removed_has_no_button(applied, scan):
    import slicer

    assert applied.ui.ttpButton.enabled
    slicer.mrmlScene.RemoveNode(own("map.ttp", scan))
    assert not applied.ui.ttpButton.enabled


def test_apply_shows_the_maps_and_keeps_the_view_that_the_user_chose_of_ours(panel, scan):
    panel.ui.applyButton.click()
    assert shown_volumes(6)[0] == "scan CBF"
    panel.ui.stage5Button.click()
    panel.ui.applyButton.click()
    assert shown_volumes(1) == ["scan"]


@pytest.fixture
def other_scan(tiny_head):
    from PyPeTScene.series import sequence_from_series

    return lambda: sequence_from_series(tiny_head.series, "other")[0]


def test_views_and_slider_are_those_of_the_scan_that_is_selected(applied, scan, other_scan, tiny_head):
    import slicer

    from PyPeTScene.nodes import own_nodes
    from PyPeTScene.series import scan_volume, sequence_browser

    applied.ui.frame.value = 20
    applied.parameters.scan = other = other_scan()
    assert not applied.ui.frame.enabled and applied.ui.frameTime.text == "", "nothing is shown of it yet"
    applied.ui.frame.value = 13
    np.testing.assert_array_equal(voxels(scan_volume(scan)), tiny_head.series.values[20])
    applied.ui.applyButton.click()
    assert shown_volumes(6)[0] == "other CBF" and applied.ui.frame.enabled
    applied.ui.frame.value = 7
    assert [sequence_browser(one).GetSelectedItemNumber() for one in (scan, other)] == [20, 7]
    applied.parameters.scan = scan
    assert (applied.ui.frame.value, applied.ui.frameTime.text) == (20, "20.0 s")
    applied.ui.applyButton.click()
    assert shown_volumes(6)[0] == "scan CBF"
    for node in [node for node in own_nodes(scan) if slicer.mrmlScene.IsNodePresent(node)]:
        slicer.mrmlScene.RemoveNode(node)
    assert not applied.ui.frame.enabled, "no results, nothing to scroll"


def test_apply_shows_the_maps_again_where_there_are_others(applied, scan):
    names = [f"scan {name}" for name in ("CBF", "CBV", "MTT", "Tmax", "TTP")]
    applied.parameters.method = "bSVD"
    applied.ui.applyButton.click()
    assert shown_volumes(5) == names
    applied.parameters.method = "bayesian"
    applied.ui.applyButton.click()
    assert shown_volumes(6) == [*names, "scan Delay"]


def test_apply_keeps_a_step_whatever_the_views_hold_that_are_hidden(applied, scan):
    """Slicer goes on naming views of other layouts, which still hold the maps."""
    applied.ui.stage6Button.click()
    applied.ui.stage1Button.click()
    applied.parameters.method = "bSVD"
    applied.ui.applyButton.click()
    assert shown_volumes(2) == ["scan", "scan raw projection"]


def test_apply_shows_the_maps_where_a_layout_of_another_extension_is_shown(applied):
    import slicer

    view = '<layout type="vertical"><item><view class="vtkMRMLSliceNode" singletontag="Theirs"/></item></layout>'
    manager = slicer.app.layoutManager()
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(90001, view)
    manager.setLayout(90001)
    applied.ui.applyButton.click()
    assert shown_volumes(6)[0] == "scan CBF"


@pytest.mark.parametrize("button", ["stage6Button", "fourViewsButton"])
def test_a_view_that_was_maximized_does_not_hide_the_others(applied, button):
    import slicer

    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    node.AddMaximizedViewNode(slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode())
    getattr(applied.ui, button).click()
    assert node.GetNumberOfMaximizedViewNodes() == 0


def test_layouts(applied, scan):
    import slicer

    applied.ui.curvesButton.click()
    assert len(shown_volumes(6)) == 6
    assert shown_charts() == [own("curves.chart", scan), own("tissue.chart", scan)]
    applied.ui.fourViewsButton.click()
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


# A reference map


@pytest.fixture
def other_map(applied, scan):
    import slicer

    volume = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, own("map.tmax", scan), "reference")
    slicer.util.updateVolumeFromArray(volume, 2.0 * voxels(volume))
    return volume


def test_a_map_stands_beside_its_reference_with_metrics(applied, scan, other_map, dialogs, monkeypatch):  # noqa: F811
    asked = []
    monkeypatch.setattr("PyPeTPanel.packages.ensure_skimage", lambda: asked.append(1))
    assert not applied.ui.stage7Button.enabled
    applied.parameters.reference_map = other_map
    applied.parameters.compared_map = own("map.tmax", scan)
    assert not asked, "nobody is asked before the button is pressed"
    applied.ui.stage7Button.click()
    assert not dialogs.errors()
    assert shown_volumes(2) == ["scan Tmax", "reference"]
    displays = [node.GetDisplayNode() for node in (own("map.tmax", scan), other_map)]
    assert displays[0].GetColorNodeID() == displays[1].GetColorNodeID()
    assert displays[0].GetWindowLevelMax() == displays[1].GetWindowLevelMax()
    assert similarity_cell(applied, "NCC") == pytest.approx(1.0)
    mean = np.nanmean(voxels(own("map.tmax", scan)))
    assert similarity_cell(applied, "Mean") == pytest.approx(mean, rel=0.01)
    assert 0.0 < similarity_cell(applied, "Tmax > 6 s: Dice") < 1.0
    assert similarity_cell(applied, "ICC(A,1), relative") == pytest.approx(1.0)
    note = applied.ui.similarityNote.text
    assert "compared with reference" in note and "Research use only" in note
    assert "Regions of the map rest on the standard deviation of the delay" in note
    assert "No large vessels" not in note, "they are in the scene"
    applied.ui.applyButton.click()
    assert applied.ui.similarity.rowCount == 0, "the metrics are not those of the new maps"


def similarity_cell(panel, metric: str) -> float:
    table = panel.ui.similarity
    cells = {table.item(r, 0).text(): table.item(r, 1).text() for r in range(table.rowCount)}
    return float(cells[metric])


def test_a_reference_that_is_the_map_itself_is_refused(applied, scan, dialogs, monkeypatch):  # noqa: F811
    monkeypatch.setattr("PyPeTPanel.packages.ensure_skimage", lambda: False)
    applied.parameters.reference_map = own("map.cbf", scan)
    before = ids()
    applied.ui.stage7Button.click()
    assert "two volumes are needed" in dialogs.errors()[0]
    assert ids() == before


def test_a_map_of_another_scan_is_refused_and_one_without_display_compared(
    applied,
    scan,
    other_map,
    other_scan,
    dialogs,  # noqa: F811
    monkeypatch,
):
    import slicer
    import vtk

    from PyPeTScene.series import scan_volume

    monkeypatch.setattr("PyPeTPanel.packages.ensure_skimage", lambda: False)
    foreign = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, own("map.tmax", scan), "theirs")
    foreign.SetNodeReferenceID("PyPeT.Scan", other_scan().GetID())
    applied.parameters.reference_map, applied.parameters.compared_map = other_map, foreign
    before = ids()
    applied.ui.stage7Button.click()
    assert "found theirs, which is of other. Select a map of this scan" in dialogs.errors()[0] and ids() == before
    applied.parameters.compared_map = own("map.tmax", scan)
    slicer.mrmlScene.RemoveNode(own("map.tmax", scan).GetDisplayNode())
    applied.ui.stage7Button.click()
    assert len(dialogs.errors()) == 1 and similarity_cell(applied, "NCC") == pytest.approx(1.0)
    assert other_map.GetDisplayNode().GetColorNode() is not None
    bent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    scan_volume(scan).SetAndObserveTransformNodeID(bent.GetID())
    applied.ui.stage7Button.click()
    assert dialogs.errors()[1].startswith("The maps could not be compared.") and "Scan scan" in dialogs.errors()[1]
    assert "copy" not in dialogs.errors()[1]


# Tissue curves


def test_curves_that_were_deleted_are_shown_again(applied, scan, dialogs):  # noqa: F811
    import slicer

    applied.ui.stage6Button.click()
    assert "Maps by deconvolution bayesian, mtt_prior weak; resolution" in applied.ui.stageNote.text
    for role in ("map.cbf", "map.cbv", "map.mtt", "map.tmax", "map.ttp", "map.delay", "stage.enhancement"):
        slicer.mrmlScene.RemoveNode(own(role, scan))
    applied.ui.showTissueButton.click()
    assert shown_volumes(1) == ["scan enhancement"] and not dialogs.errors()
    slicer.mrmlScene.RemoveNode(own("bolus.chart", scan))
    stage_note(applied, 4)
    assert shown_charts() == [own("bolus.chart", scan), own("tissue.chart", scan)] and not dialogs.errors()


def tissue_names(scan) -> list[str]:
    chart = own("tissue.chart", scan)
    return [chart.GetNthPlotSeriesNode(k).GetName() for k in range(chart.GetNumberOfPlotSeriesNodes())]


def tissue_column(scan, name: str) -> np.ndarray:
    import slicer

    return np.array(slicer.util.arrayFromTableColumn(own("tissue.table", scan), name))


HALVES = ["Brain", "Right half", "Left half"]


def test_tissue_curves_of_each_segment(applied, scan, dialogs):  # noqa: F811
    assert applied.ui.tissue_segmentation.isHidden()
    applied.ui.tissue_source.currentIndex = 1
    assert not applied.ui.tissue_segmentation.isHidden()
    applied.ui.showTissueButton.click()
    assert "a segmentation is needed" in dialogs.errors()[0]
    applied.parameters.tissue_segmentation = own("segmentation", scan)
    applied.ui.showTissueButton.click()
    assert len(dialogs.errors()) == 1
    lesions = ["Core", "Hypoperfusion", "Mismatch"]
    assert tissue_names(scan) == [*HALVES, "AIF", "VOF", "CSF", "Large vessels", "Bone rim", *lesions]
    before = ids()
    applied.ui.tissue_source.currentIndex = 0
    applied.ui.showTissueButton.click()
    assert tissue_names(scan) == HALVES
    assert ids() < before, "the curves no longer shown are gone"


def test_the_curve_of_a_voxel_follows_the_crosshair(applied, scan, dialogs):  # noqa: F811
    from PyPeTPanel.actions import crosshair

    analysis = applied.logic.analysis
    inside = np.argwhere(analysis.curves.mask)
    voxels_zyx = inside[len(inside) // 3], inside[len(inside) // 2]
    crosshair().SetCrosshairRAS(*ras(analysis.series.geometry, voxels_zyx[1]))
    applied.ui.tissue_source.currentIndex = 2
    applied.ui.showTissueButton.click()
    assert tissue_names(scan) == [*HALVES, "Voxel"]
    for place in voxels_zyx:
        crosshair().SetCrosshairRAS(*ras(analysis.series.geometry, place))
        row = int(np.flatnonzero((inside == place).all(axis=1))[0])
        wanted = analysis.curves.coefficients[row] @ analysis.curves.basis
        np.testing.assert_allclose(tissue_column(scan, "Voxel"), wanted, rtol=1e-5, atol=1e-4)
        assert "mm RAS" in applied.ui.tissueNote.text
    crosshair().SetCrosshairRAS(*ras(analysis.series.geometry, (0, 0, 0)))
    assert "found none among 1" in applied.ui.tissueNote.text
    np.testing.assert_allclose(tissue_column(scan, "Voxel"), wanted, rtol=1e-5, atol=1e-4)
    assert not dialogs.errors()


def ras(geometry, place_zyx):
    x, y, z = np.asarray(geometry.origin_mm) + geometry.axes @ (np.array(place_zyx[::-1]) * geometry.spacing_mm)
    return -x, -y, z


# A scene that comes from a file


@pytest.fixture
def reloaded(applied, scan, tmp_path):
    from slicer_double.scene import reload_scene

    reload_scene(tmp_path / "scene.mrb")
    return applied


def test_numbers_come_back_with_the_scene(panel, scan, dialogs, tmp_path):  # noqa: F811
    from slicer_double.scene import reload_scene

    panel.ui.applyButton.click()
    before = shown_numbers(panel)
    assert before[0] and before[1]
    reload_scene(tmp_path / "scene.mrb")
    assert shown_numbers(panel) == before
    assert panel.logic.analysis is None


def test_tables_that_the_user_edited_or_another_version_wrote_do_not_stop_the_panel(reloaded, dialogs, monkeypatch):  # noqa: F811
    from PyPeTPanel import tables

    scan = reloaded.parameters.scan
    roles = [f"{name}.table" for name in ("checks", "candidates", "medians", "lesions", "criteria")]
    for table in (own(role, scan) for role in roles):
        table.AddColumn().SetName("my notes")
    own("checks.table", scan).SetCellText(0, 1, "ok")
    reloaded.disconnect_parameters()
    before = [getattr(reloaded.ui, role.partition(".")[0]).rowCount for role in roles]
    reloaded.connect_parameters()
    assert [getattr(reloaded.ui, role.partition(".")[0]).rowCount for role in roles] == before
    assert shown_checks(reloaded)[0][0] == "ok" and ", 1 ok." in reloaded.ui.checksNote.text
    for role in roles:
        own(role, scan).RemoveColumn(2)
        reloaded.refresh()
        assert getattr(reloaded.ui, role.partition(".")[0]).rowCount == 0, role
    with monkeypatch.context() as broken:
        broken.setattr(tables, "show_results", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reloaded.apply()
    reloaded.ui.applyButton.click()
    assert not dialogs.errors()[1:] and reloaded.ui.checks.rowCount == before[0], "a run goes on as ever"


def shown_numbers(panel) -> list:
    tables = [panel.ui.medians, panel.ui.candidates, panel.ui.checks]
    cells = [[[t.item(r, c).text() for c in range(t.columnCount)] for r in range(t.rowCount)] for t in tables]
    return [*cells, panel.ui.checksNote.text, panel.ui.partialVolume.text]


def test_stages_work_in_a_scene_from_a_file(reloaded, dialogs):  # noqa: F811
    scan = reloaded.parameters.scan
    reloaded.ui.stage6Button.click()
    assert shown_volumes(6)[0] == "scan CBF"
    assert reloaded.logic.prepared is None, "nothing was computed for it"
    nodes = ids()
    reloaded.ui.stage4Button.click()
    reloaded.ui.stage5Button.click()
    assert shown_charts() == [own("curves.chart", scan)]
    new = ids() - nodes
    assert all("PlotView" in identity for identity in new), "the nodes of the scene are used"
    assert not reloaded.ui.exportButton.enabled
    assert "Apply first" in reloaded.ui.exportButton.toolTip
    assert not dialogs.errors()


def test_a_candidate_can_be_chosen_in_a_scene_from_a_file(reloaded, dialogs, tiny_analysis):  # noqa: F811
    reloaded.ui.candidates.cellClicked.emit(1, 0)
    reloaded.ui.applyButton.click()
    assert not dialogs.errors()
    np.testing.assert_array_equal(reloaded.logic.analysis.aif.mask.values, tiny_analysis.aif.candidates[1].mask)


def test_charts_come_back_with_the_scene(reloaded):
    import slicer

    chart = own("curves.chart", reloaded.parameters.scan)
    for k in range(chart.GetNumberOfPlotSeriesNodes()):
        plot = chart.GetNthPlotSeriesNode(k)
        values = slicer.util.arrayFromTableColumn(plot.GetTableNode(), plot.GetYColumnName())
        assert values.dtype == float
        assert np.isfinite(values).any()


def test_export_asks_before_it_replaces(applied, dialogs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    (tmp_path / "scan_cbf.nii.gz").write_text("the user's")
    for agreed in (False, True):
        dialogs.paths.append(str(tmp_path))
        dialogs.answers.append(agreed)
        applied.ui.exportButton.click()
        assert "scan_cbf.nii.gz" in dialogs.messages[-1].text
        assert ((tmp_path / "scan_cbf.nii.gz").read_bytes() != b"the user's") == agreed


def test_a_scan_whose_name_no_file_can_have_is_exported(applied, scan, dialogs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    scan.SetName("Müller/Å: CBF?")
    applied.ui.applyButton.click()
    for _ in range(2):  # found again, too
        dialogs.paths.append(str(tmp_path))
        dialogs.answers = [True]
        applied.ui.exportButton.click()
    assert not dialogs.errors() and "Müller_Å_ CBF__cbf.nii.gz" in dialogs.messages[-1].text
    assert {path.name[:14] for path in tmp_path.iterdir()} == {"Müller_Å_ CBF_"}


def test_export_removes_what_an_earlier_run_wrote_and_this_one_does_not(applied, dialogs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    for name in ("scan_summary.json", "scan_report.html", "scan_notes.txt"):
        (tmp_path / name).write_text("of an earlier run")
    dialogs.paths.append(str(tmp_path))
    dialogs.answers.append(True)
    applied.ui.exportButton.click()
    assert "scan_report.html" in dialogs.messages[-1].text
    assert not (tmp_path / "scan_report.html").exists() and (tmp_path / "scan_notes.txt").exists()


def test_export_writes_the_files_of_a_run(applied, dialogs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    dialogs.paths.append(str(tmp_path))
    applied.ui.exportButton.click()
    assert {"scan_cbf.nii.gz", "scan_summary.json", "scan_curves.csv"} <= {path.name for path in tmp_path.iterdir()}
    dialogs.paths.append("")
    applied.ui.exportButton.click()
    assert not dialogs.errors()


# Loading


@pytest.fixture
def files(tiny_head, tmp_path):
    from PyPeTLib.write import write_series

    write_series(tiny_head.series, tmp_path / "scan_ctp.nii.gz")
    return tmp_path


def test_load_a_4d_file(panel, files, dialogs, tiny_head):  # noqa: F811
    dialogs.paths.append(str(files / "scan_ctp.nii.gz"))
    panel.ui.loadFileButton.click()
    assert panel.parameters.scan.GetNumberOfDataNodes() == tiny_head.series.frames
    assert panel.ui.applyButton.enabled
    dialogs.paths.append("")
    panel.ui.loadFileButton.click()
    assert not dialogs.errors()


def test_load_a_folder_whose_times_are_unknown(panel, dialogs, tmp_path, tiny_head):  # noqa: F811
    from PyPeTLib.geometry import Image
    from PyPeTLib.write import write_image

    for k in range(12):
        write_image(Image(tiny_head.series.values[k], tiny_head.series.geometry), tmp_path / f"frame{k}.nii.gz")
    dialogs.paths.append(str(tmp_path))
    panel.ui.loadFolderButton.click()
    assert not dialogs.errors()
    assert panel.parameters.scan.GetNumberOfDataNodes() == 12
    assert not panel.ui.applyButton.enabled
    panel.ui.interval_s.value = 2.0
    assert panel.ui.applyButton.enabled


def test_load_a_folder_of_dicom_images(panel, dialogs, tmp_path):  # noqa: F811
    """Times come with them, and what is doubtful about the images is told."""
    import slicer
    from dicom_images import FRAMES, scan

    from PyPeTScene.series import scan_volume

    dialogs.paths.append(str(scan(tmp_path / "a", left_out={(3, 1)})))
    panel.ui.loadFolderButton.click()
    assert not dialogs.errors()
    assert panel.parameters.scan.GetNumberOfDataNodes() == FRAMES - 1
    shown = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID()
    assert shown == scan_volume(panel.parameters.scan).GetID()
    assert panel.ui.applyButton.enabled
    assert "1 of 12 frames lack slices" in panel.parameters.scan.GetAttribute("PyPeT.Notes")


def test_a_file_with_too_few_frames_is_refused(panel, dialogs, tmp_path, tiny_head):  # noqa: F811
    from PyPeTLib.write import write_series

    series = tiny_head.series
    write_series(replace(series, values=series.values[:5], times_s=series.times_s[:5]), tmp_path / "short_ctp.nii.gz")
    before = ids()
    dialogs.paths.append(str(tmp_path / "short_ctp.nii.gz"))
    panel.ui.loadFileButton.click()
    assert "at least 10 frames" in dialogs.errors()[0]
    assert ids() == before


def test_a_file_that_is_no_scan_is_refused_once(panel, dialogs, tmp_path):  # noqa: F811
    (tmp_path / "no.nii").write_bytes(b"nothing")
    before = ids()
    dialogs.paths.append(str(tmp_path / "no.nii"))
    panel.ui.loadFileButton.click()
    assert len(dialogs.errors()) == 1
    assert ids() == before


def test_an_interval_left_over_does_not_overrule_the_times_of_a_file(panel, files, dialogs):  # noqa: F811
    panel.ui.interval_s.value = 3.0
    dialogs.paths.append(str(files / "scan_ctp.nii.gz"))
    panel.ui.loadFileButton.click()
    assert panel.ui.timeAxis.text.startswith("45 frames, 0–44 s, every 1 s")


def test_what_reading_brought_to_light_is_shown(panel, scan):
    from PyPeTPanel.parameters import NOTES

    scan.SetAttribute(NOTES, "Values were shifted.")
    panel.refresh()
    assert panel.ui.timeAxis.text.endswith("Values were shifted.")


def test_phantom_is_offered_as_sample_data(panel, tiny_head, monkeypatch):
    from slicer_double.sample_data import registered

    offered = registered[-1]
    assert (offered["category"], offered["sampleName"]) == ("PyPeT", "CTPerfusionHeadPhantom")
    assert Path(offered["thumbnailFileName"]).is_file()
    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", lambda options: tiny_head)
    sequence = offered["customDownloader"](None)
    assert sequence.GetNumberOfDataNodes() == tiny_head.series.frames


def test_scan_that_pypet_loads_has_the_brain_window_and_keeps_what_the_user_sets(panel, tiny_head, monkeypatch):
    from PyPeTPanel.scan import load_phantom
    from PyPeTScene.series import scan_volume

    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", lambda options: tiny_head)
    panel.parameters.scan = load_phantom()
    display = scan_volume(panel.parameters.scan).GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 80.0)
    display.SetWindowLevelMinMax(-100.0, 300.0)
    panel.ui.stage1Button.click()
    panel.ui.frame.value = 20
    assert display.GetWindowLevelMax() == 300.0


# Scripts, self-test, reload


def test_process_with_plain_nodes_returns_the_nodes_it_made(code, tiny_head, tiny_analysis):
    from PyPeTScene.series import sequence_from_series

    scan = sequence_from_series(tiny_head.series, "scan")[0]
    nodes = code.PyPeTLogic().process(scan)
    np.testing.assert_array_equal(voxels(nodes["cbv"]), tiny_analysis.maps.cbv.values)
    assert nodes["segmentation"].IsA("vtkMRMLSegmentationNode")
    assert nodes["curves_chart"].IsA("vtkMRMLPlotChartNode")


def test_the_script_of_the_readme_runs(load, tiny_head, monkeypatch, capsys):  # noqa: F811
    import slicer

    module = load(MODULE)
    text = (MODULE.parents[1] / "README.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "import PyPeT\n" in block)
    monkeypatch.setitem(sys.modules, "PyPeT", module.code)
    monkeypatch.setattr("PyPeTLib.phantom.head_phantom", lambda options: tiny_head)
    names = {"slicer": slicer}
    exec(compile(code, "README.md", "exec"), names)
    assert names["nodes"]["tmax"].IsA("vtkMRMLScalarVolumeNode")
    assert len(capsys.readouterr().out.split()) >= 5, "five medians"


@pytest.mark.parametrize("main_window", [True, False])
def test_self_test(load, main_window):  # noqa: F811
    load(MODULE, main_window=main_window).code.PyPeTTest().runTest()


def test_self_test_with_multivolumes(load, monkeypatch):  # noqa: F811
    import slicer
    from scene_cases import MultiVolume

    monkeypatch.setattr(slicer, "vtkMRMLMultiVolumeNode", MultiVolume, raising=False)
    load(MODULE).code.PyPeTTest().runTest()
    found = slicer.util.getNode("PyPeT self-test MultiVolume")
    assert found.GetNumberOfFrames() == 45
    assert own("map.cbf", found) is not None


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("analyze", MODULE.parent / "Scripts" / "analyze.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_headless_script_does_what_pypet_run_does_and_writes_a_scene(scene, script, tiny_head, tmp_path):  # noqa: F811
    from PyPeTLib.write import write_series

    write_series(tiny_head.series, tmp_path / "small_ctp.nii.gz")
    arguments = script.own_arguments(["--", str(tmp_path / "small_ctp.nii.gz"), "-o", str(tmp_path / "out")])
    assert script.analyze([*arguments, "--no-report", "--quiet"]) == 0
    assert {"small_cbf.nii.gz", "small_scene.mrb"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_headless_script_has_the_exit_codes_of_pypet_run(script, tmp_path, capsys):
    arguments = script.own_arguments([str(tmp_path / "missing.nii.gz"), "-o", str(tmp_path / "out")])
    assert script.analyze(arguments) == 2
    assert "missing.nii.gz" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_reload_reads_the_packages_again(code):
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in code.OWN_PACKAGES}
    try:
        code.forget_own_packages()
        assert not any(name in sys.modules for name in before)
        import PyPeTLib

        assert PyPeTLib is not before["PyPeTLib"]
    finally:
        code.forget_own_packages()
        sys.modules.update(before)


def test_the_panel_says_that_there_is_no_core_to_have_a_ratio_to(panel):
    from PyPeTPanel.tables import lesion_cells

    nan = float("nan")
    rows = [
        ("Core", 0.0, 0.0, 1.2, "mL"),
        ("Hypoperfusion", 61.24, nan, nan, "mL"),
        ("Mismatch ratio", nan, nan, nan, ""),
    ]
    assert lesion_cells(rows) == [
        ("Core", "0.0", "0.0 – 1.2", "mL"),
        ("Hypoperfusion", "61.2", "", "mL"),
        ("Mismatch ratio", "no core", "", ""),
    ]
    assert lesion_cells([]) == []


def test_numbers_of_the_panel_have_minus_signs_and_no_negative_zero(panel):
    from PyPeTPanel.tables import candidate_row, lesion_cells, median_row

    nan = float("nan")
    assert median_row("Tmax", -0.0, nan, "s") == ("Tmax", "0", "", "s")
    assert median_row("Delay", -0.51, 0.4, "s") == ("Delay", "−0.51", "± 0.4", "s")
    assert lesion_cells([("Mismatch", -0.04, nan, nan, "mL")])[0][1] == "0.0"
    row = candidate_row((-0.2, 0.5, "left", 200.0, 1.0, -0.04, 2.0, 9.0, -0.02, 3.0, ""))
    assert (row[0], row[4], row[7]) == ("−0.20", "0.0", "−2 %")
