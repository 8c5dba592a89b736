"""Apply: what it shows, what it asks, and what cancelling, an error or a deleted node leaves behind."""

from __future__ import annotations

import numpy as np
import panel_cases
import pytest
from panel_cases import at_percent, cancel_at, ids, own, shown_checks, voxels
from slicer_double import fixtures

from PyPeTLib.map_facts import map_sds

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, panel, scan = panel_cases.applied, panel_cases.panel, panel_cases.scan
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


def test_apply_shows_maps_numbers_and_curves(applied, scan, tiny_analysis):
    np.testing.assert_array_equal(voxels(own("map.cbf", scan)), tiny_analysis.maps.cbf.values)
    table = applied.ui.medians
    assert [table.item(r, 0).text() for r in range(5)] == ["CBF", "CBV", "MTT", "Tmax", "TTP"]
    assert [table.item(0, c).text() for c in (2, 3)] == [f"± {map_sds(tiny_analysis)['cbf']:.1f}", "mL/100 g/min"]
    assert table.item(3, 2).text() == "", "no SD of Tmax"
    assert applied.ui.candidates.rowCount == len(tiny_analysis.aif.candidates)
    assert f"{tiny_analysis.aif.partial_volume_factor:.2f}" in applied.ui.partialVolume.text
    assert applied.ui.applyButton.enabled


def test_settings_of_the_panel_are_those_of_the_run(panel, scan, dialogs):
    panel.ui.method.currentIndex = 2
    panel.ui.ssvd_cutoff.value = 0.3
    panel.ui.applyButton.click()
    settings = panel.logic.analysis.settings
    assert (settings.method, settings.ssvd_cutoff) == ("sSVD", 0.3)


def test_the_interval_typed_is_that_of_the_run(panel, scan, dialogs):
    scan.SetIndexUnit("")
    panel.ui.interval_s.value = 1.0
    panel.ui.applyButton.click()
    assert not dialogs.errors()
    np.testing.assert_array_equal(panel.logic.analysis.series.times_s, np.arange(45.0))


def test_a_doubtful_result_needs_consent(panel, scan, dialogs, tiny_head):
    from PyPeTScene.series import fill_sequence

    late = tiny_head.series.values[16:]  # begins after the bolus
    fill_sequence(scan, late, np.arange(float(len(late))), tiny_head.series.geometry)
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    panel.ui.force.checked = True
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert shown_checks(panel)[0][0] == "fail"


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


def test_what_does_not_apply_is_grey(panel, scan, dialogs):
    panel.parameters.motion = "off"
    panel.ui.applyButton.click()
    row = [name for _, name, _ in shown_checks(panel)].index("motion")
    assert shown_checks(panel)[row][0] == "n/a"
    assert panel.ui.checks.item(row, 0).foreground().color().name() == "#808080"


@pytest.mark.parametrize("name", ["checks", "criteria"])
def test_rows_of_tables_with_sentences_follow_the_width(applied, name):
    import slicer

    table = getattr(applied.ui, name)
    applied.parent.resize(900, 900)
    applied.parent.show()
    slicer.app.processEvents()
    wide = table.rowHeight(0)
    applied.parent.resize(380, 900)
    slicer.app.processEvents()
    assert table.rowHeight(0) > wide


def test_candidates_have_a_line_each_and_the_whole_remark_as_tooltip(applied):
    table, last = applied.ui.candidates, applied.ui.candidates.columnCount - 1
    assert len({table.rowHeight(row) for row in range(table.rowCount)}) == 1
    assert all(table.item(row, last).toolTip() == table.item(row, last).text() for row in range(table.rowCount))


@pytest.mark.parametrize("number", [2, 5])
def test_steps_show_the_checks_before_there_are_maps(panel, scan, dialogs, tiny_analysis, number):
    assert not panel.ui.checks.visible and "No result yet" in panel.ui.checksNote.text
    getattr(panel.ui, f"stage{number}Button").click()
    names = [name for _, name, _ in shown_checks(panel)]
    of_maps = {"plausible CBF", "plausible CBV", "timing", "curve fit", "residue shape", "midplane", "healthy side"}
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


def test_progress_moves_and_is_closed(applied, dialogs):
    values = [value for value in dialogs.progress_values if value >= 0]
    assert len(set(values)) > 5
    assert values == sorted(values)
    assert not dialogs.progress[0].isVisible()


def test_apply_during_apply_does_nothing(panel, scan, dialogs):
    import qt

    def watch(dialog):
        dialog.findChild(qt.QProgressBar).connect("valueChanged(int)", lambda _value: panel.apply())

    dialogs.on_progress.append(watch)
    panel.ui.applyButton.click()
    assert len(dialogs.progress) == 1
    assert panel.logic.analysis is not None


@pytest.mark.parametrize("percent", [1, 30, 60, 95])
def test_cancel_leaves_the_scene_as_before(panel, scan, dialogs, percent):
    before = ids()
    cancel_at(percent, dialogs)
    panel.ui.applyButton.click()
    assert ids() == before
    assert panel.logic.analysis is None
    assert not dialogs.messages
    assert panel.ui.applyButton.enabled


def test_cancelled_before_anything_is_read(panel, scan, dialogs):
    before = ids()
    dialogs.on_progress.append(lambda dialog: dialog.cancel())
    panel.ui.applyButton.click()
    assert ids() == before and not dialogs.messages
    assert panel.ui.applyButton.enabled


def test_an_error_is_shown_once_and_the_scene_is_as_before(panel, scan, dialogs):
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


@pytest.mark.parametrize("button", ["applyButton", "stage2Button", "showTissueButton"])
def test_an_error_while_edited_segments_are_looked_for_is_shown(panel, scan, dialogs, monkeypatch, button):
    monkeypatch.setattr("PyPeTPanel.actions.edited_inputs", lambda _: 1 / 0)
    getattr(panel.ui, button).click()
    assert len(dialogs.errors()) == 1 and "division by zero" in dialogs.errors()[0]
    assert panel.ui.applyButton.enabled


def test_a_run_without_memory_says_what_it_needs(panel, scan, dialogs, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(panel.logic, "process_parameters", full)
    panel.ui.applyButton.click()
    assert "More memory is needed" in dialogs.errors()[0] and "Close other programs" in dialogs.errors()[0]
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize("percent", [2, 30, 85, 98])
def test_scene_closed_during_apply(panel, scan, dialogs, percent, monkeypatch):
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
def test_segmentation_deleted_during_apply(applied, scan, dialogs, percent):
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
def test_result_deleted_while_it_is_shown(applied, scan, dialogs, role):
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
def test_scan_removed_during_apply(panel, scan, dialogs, percent):
    import slicer

    before = ids()
    at_percent(percent, dialogs, lambda: slicer.mrmlScene.RemoveNode(scan))
    panel.ui.applyButton.click()
    assert len(dialogs.errors()) == 1
    assert "it was removed" in dialogs.errors()[0]
    assert ids() < before, "nothing new"
    assert not panel.ui.applyButton.enabled


def test_hundreds_of_calls_move_the_dialog_only_now_and_then(slicer_app, dialogs, monkeypatch):
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


def test_cancel_is_seen_at_the_next_call_even_between_two_moves(slicer_app, dialogs, monkeypatch):
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
