"""Steps: what the views show of each, before Apply and after."""

from __future__ import annotations

import numpy as np
import panel_cases
import pytest
from panel_cases import cancel_at, ids, own, shown_charts, shown_volumes, stage_note, voxels
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, other_scan, panel, reloaded, scan = (
    panel_cases.applied,
    panel_cases.other_scan,
    panel_cases.panel,
    panel_cases.reloaded,
    panel_cases.scan,
)
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5

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
def test_every_stage_can_be_seen_before_apply_and_after(panel, scan, dialogs, stage, before):
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


def test_a_scan_without_baseline_can_be_looked_at(panel, scan, dialogs, tiny_head):
    from PyPeTScene.series import fill_sequence

    late = tiny_head.series.values[16:]
    fill_sequence(scan, late, np.arange(float(len(late))), tiny_head.series.geometry)
    assert "Contrast agent is there from the start" in stage_note(panel, 4)
    assert not dialogs.errors()


def test_cancelling_a_stage_leaves_the_scene_as_before(panel, scan, dialogs):
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


def test_a_scan_that_was_taken_off_its_browser_is_shown_again(panel, scan, dialogs):
    """Its playback was switched off in the Sequences module, and its volume deleted."""
    import slicer

    from PyPeTScene.series import scan_volume, sequence_browser

    browser = sequence_browser(scan)
    browser.SetPlayback(scan, False)
    slicer.mrmlScene.RemoveNode(scan_volume(scan))
    panel.ui.stage1Button.click()
    assert not dialogs.errors() and shown_volumes(2)[0] == "scan"
    assert slicer.mrmlScene.IsNodePresent(scan_volume(scan)) and sequence_browser(scan) is browser


def test_views_are_found_whatever_the_user_calls_them(applied, scan, dialogs):
    """The layout manager knows them by the names of their nodes, the layout by tags that stay."""
    import slicer

    views = {view.GetLayoutName(): view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
    for tag in ("PyPeT1", "Red"):
        views[tag].SetName("my view")
    applied.ui.stage6Button.click()
    applied.ui.applyButton.click()
    shown = slicer.app.applicationLogic().GetSliceLogicByLayoutName("PyPeT1").GetSliceCompositeNode()
    assert shown.GetBackgroundVolumeID() == own("map.cbf", scan).GetID()
    applied.ui.tmaxButton.click()
    assert shown.GetBackgroundVolumeID() == own("map.tmax", scan).GetID() and not dialogs.errors()


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


def test_steps_of_a_dicom_import_scroll_and_keep_the_frame(panel, dialogs, tiny_head):
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
    slicer.app.processEvents()
    assert not applied.ui.ttpButton.enabled


def test_apply_shows_the_maps_and_keeps_the_view_that_the_user_chose_of_ours(panel, scan):
    panel.ui.applyButton.click()
    assert shown_volumes(6)[0] == "scan CBF"
    panel.ui.stage5Button.click()
    panel.ui.applyButton.click()
    assert shown_volumes(1) == ["scan"]


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
    slicer.app.processEvents()
    assert not applied.ui.frame.enabled, "no results, nothing to scroll"


def test_slider_follows_whoever_scrolls_the_scan_that_is_selected(applied, scan, other_scan):
    """Slicer's toolbar and its playback scroll the browser, too."""
    import slicer

    from PyPeTScene.series import sequence_browser

    browser = sequence_browser(scan)
    applied.ui.frame.value = 3
    browser.SetSelectedItemNumber(17)
    assert (applied.ui.frame.value, applied.ui.frameTime.text) == (17, "17.0 s")
    assert browser.GetSelectedItemNumber() == 17
    applied.parameters.scan = other = other_scan()
    stage_note(applied, 1)
    sequence_browser(other).SetSelectedItemNumber(5)
    browser.SetSelectedItemNumber(30)
    assert (applied.ui.frame.value, applied.ui.frameTime.text) == (5, "5.0 s")
    slicer.mrmlScene.Clear(False)
    browser.SetSelectedItemNumber(12)
    assert (applied.ui.frame.value, applied.ui.frameTime.text) == (5, "")


@pytest.mark.parametrize(
    ("button", "percent"),
    [("stage1", 1), ("stage1", 40), ("stage3", 60), ("createMask", 1), ("createMask", 60), ("correctMask", 60)],
)
def test_what_needs_no_curves_can_be_stopped(panel, scan, dialogs, button, percent):
    before = ids()
    cancel_at(percent, dialogs)
    getattr(panel.ui, f"{button}Button").click()
    assert ids() == before and not dialogs.messages
    assert panel.parameters.brain_source == "automatic" and panel.ui.applyButton.enabled


def test_a_scan_is_copied_once_whatever_is_looked_at(panel, scan, dialogs, monkeypatch):
    from PyPeTScene import series

    read, copies = series._sequence_values, []
    monkeypatch.setattr(series, "_sequence_values", lambda *given: copies.append(1) or read(*given))
    for button in ("stage1", "stage1", "stage3", "createMask", "stage2", "stage1"):
        getattr(panel.ui, f"{button}Button").click()
    assert len(copies) == 1 and not dialogs.errors()


def test_masks_of_another_scan_are_not_drawn_on_this_one(applied, scan, other_scan, dialogs):
    """Two scans of one head lie in one place, and outlines say nothing of their scan."""
    first = own("segmentation", scan).GetDisplayNode()
    assert first.GetVisibility()
    applied.parameters.scan = other = other_scan()
    stage_note(applied, 1)
    assert not first.GetVisibility()
    applied.ui.createMaskButton.click()
    second = own("segmentation", other).GetDisplayNode()
    assert second.GetVisibility() and not first.GetVisibility()
    applied.parameters.scan = scan
    applied.ui.cbfButton.click()
    assert first.GetVisibility() and not second.GetVisibility()
    first.SetVisibility(False)
    applied.parameters.scan = other
    applied.ui.correctMaskButton.click()
    assert second.GetVisibility(), "to be painted on"
    applied.parameters.scan = scan
    stage_note(applied, 6)
    assert not first.GetVisibility(), "the user hid them"
    assert not second.GetVisibility() and not dialogs.errors()


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
