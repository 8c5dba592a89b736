"""Masks, points, curves and candidates that the user corrects or gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import panel_cases
import pytest
from panel_cases import MODULE, cancel_at, ids, own, voxels
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, panel, scan = panel_cases.applied, panel_cases.panel, panel_cases.scan
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


def test_created_mask_is_used_by_apply(panel, scan):
    panel.ui.createMaskButton.click()
    assert (panel.parameters.brain_source, panel.parameters.brain_segment) == ("segment", "PyPeT_brain")
    panel.ui.applyButton.click()
    assert panel.logic.analysis.brain_source == "user's mask"


def test_a_mask_is_made_whatever_does_not_go_together_of_other_settings(panel, scan, dialogs, tiny_analysis):
    panel.parameters.method, panel.parameters.lesion_rule = "bSVD", "MIStar-like"
    assert panel.ui.createMaskButton.enabled and not panel.ui.applyButton.enabled
    panel.ui.createMaskButton.click()
    assert not dialogs.errors()
    np.testing.assert_array_equal(segment_voxels(scan, "PyPeT_brain"), tiny_analysis.brain.values)


def test_a_mask_that_is_made_before_apply_is_of_the_frames_that_apply_takes(panel, tiny_head, dialogs):
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


def test_the_mask_is_corrected_over_the_scan_also_where_its_browser_was_deleted(panel, dialogs, tiny_head):
    import slicer

    from PyPeTScene.series import scan_volume, sequence_from_series

    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")  # its ID is that of a frame in the sequence
    panel.parameters.scan = scan = sequence_from_series(tiny_head.series, "scan")[0]
    panel.ui.createMaskButton.click()
    slicer.mrmlScene.RemoveNode(slicer.modules.sequences.logic().GetFirstBrowserNodeForSequenceNode(scan))
    panel.ui.correctMaskButton.click()
    source = slicer.modules.segmenteditor.widgetRepresentation().self().editor.sourceVolumeNode()
    assert source is scan_volume(scan) and slicer.mrmlScene.IsNodePresent(source)
    assert not dialogs.errors()


def test_a_painted_mask_is_seen_by_the_steps_and_stays(panel, scan, dialogs):
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


def test_edited_segments_that_are_not_chosen_are_asked_about_and_never_lost(applied, scan, dialogs):
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


def test_without_a_main_window_the_list_is_made_and_nothing_is_placed(load):
    import slicer

    panel = load(MODULE, main_window=False).widget
    panel.ui.aifPlaceButton.click()
    assert panel.parameters.aif_points is not None
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() != interaction.Place


@pytest.mark.parametrize("key", ["aif", "vof"])
def test_loaded_curve_is_used(panel, scan, tiny_analysis, tmp_path, dialogs, key):
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


def test_a_curve_that_cannot_be_read_is_shown_once_and_changes_nothing(panel, tmp_path, dialogs, slicer_app):
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


def test_a_double_click_on_a_candidate_chooses_once(applied, scan, dialogs, monkeypatch):
    """Qt tells of it as a click, an activation and a second click; the same row later is a choice again."""
    table, made = applied.ui.candidates, len(dialogs.progress)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    for signal in (table.cellClicked, table.cellActivated, table.cellClicked):
        signal.emit(1, 0)
    assert len(dialogs.progress) == made + 1 and applied.parameters.aif_segment == "PyPeT_aif_choice"
    table.cellClicked.emit(0, 0)
    assert applied.parameters.aif_source == "automatic", "another row is no second click"
    table.cellClicked.emit(1, 0)
    assert applied.parameters.aif_source == "segment"
    applied.parameters.aif_source = "automatic"
    monkeypatch.setattr("time.monotonic", lambda: 110.0)
    table.cellClicked.emit(1, 0)
    assert applied.parameters.aif_source == "segment"


def test_a_candidate_is_the_one_of_its_row_or_is_asked_for_again(applied, scan, dialogs):
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
