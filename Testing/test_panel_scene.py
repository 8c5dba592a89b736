"""The scene: closed, saved, loaded, and what of the panel comes back with it."""

from __future__ import annotations

import numpy as np
import panel_cases
import pytest
from panel_cases import MODULE, ids, own, shown_charts, shown_checks, shown_volumes, stage_note, voxels
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, panel, reloaded, scan = (
    panel_cases.applied,
    panel_cases.panel,
    panel_cases.reloaded,
    panel_cases.scan,
)
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


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
    assert scan in offered(panel) and other not in offered(panel)


def test_maps_and_masks_are_not_offered_as_scans_and_proxy_volumes_are(panel, scan):
    import slicer

    from PyPeTScene.series import scan_volume, sequence_browser

    for kind in ("ScalarVolume", "LabelMapVolume", "VectorVolume"):
        slicer.mrmlScene.AddNewNodeByClass(f"vtkMRML{kind}Node", kind)
    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "labels")
    labels.SetDataNodeAtValue(slicer.vtkMRMLLabelMapVolumeNode(), "0")
    assert sequence_browser(labels).GetProxyNode(labels).GetAttribute("Sequences.BaseName")
    assert offered(panel) == {scan, scan_volume(scan)}


def test_what_pypet_made_of_a_scan_is_not_offered_as_one(reloaded):
    from PyPeTScene.nodes import own_nodes
    from PyPeTScene.series import scan_volume

    scan = reloaded.parameters.scan
    stage_note(reloaded, 1)
    made = [node for node in own_nodes(scan) if node.IsA("vtkMRMLSequenceNode")]
    assert len(made) == 2, "enhancement and projection"
    assert offered(reloaded) == {scan, scan_volume(scan)}
    assert reloaded.ui.scan.currentNode() is scan


def test_what_is_chosen_already_is_not_left_out(applied, scan):
    """The selector would take its neighbour for it."""
    made = own("stage.enhancement", scan)
    applied.ui.scan.sortFilterProxyModel().hiddenNodeIDs = []  # as in a scene that is just loaded
    applied.ui.scan.setCurrentNode(made)
    assert applied.parameters.scan is made and "found what PyPeT made of one" in applied.ui.timeAxis.text
    applied.parameters.scan = scan
    assert made not in offered(applied)


def test_multivolumes_are_offered(panel, scan):
    """They are scalar volumes that are no proxies; their class comes with another module, and is the first named."""
    import slicer

    class MultiVolume(slicer.vtkMRMLScalarVolumeNode):
        def IsA(self, name):  # noqa: N802
            return name == "vtkMRMLMultiVolumeNode" or super().IsA(name)

    multi = MultiVolume()
    slicer.mrmlScene.AddNode(multi)
    assert multi not in offered(panel)
    panel.ui.scan.nodeTypes = ["vtkMRMLMultiVolumeNode", *panel.ui.scan.nodeTypes]
    assert multi in offered(panel)


def offered(panel) -> set:
    return {panel.ui.scan.nodeFromIndex(k) for k in range(panel.ui.scan.nodeCount())}


def test_without_a_main_window(load, tiny_head, dialogs):
    from PyPeTScene.series import sequence_from_series

    panel = load(MODULE, main_window=False).widget
    panel.parameters.scan = sequence_from_series(tiny_head.series, "scan")[0]
    for button in (panel.ui.applyButton, panel.ui.correctMaskButton, panel.ui.cbfButton):
        button.click()
    for k in range(1, 7):
        getattr(panel.ui, f"stage{k}Button").click()
    assert not dialogs.errors()
    assert own("map.cbf", panel.parameters.scan) is not None


def test_nodes_that_go_are_shown_once_however_many_and_not_under_another_module(panel, scan, monkeypatch):
    """A refresh for each of 500 nodes took 20 s."""
    import slicer

    from PyPeTPanel import tables

    shown, show = [], tables.show_results
    monkeypatch.setattr(tables, "show_results", lambda *given: shown.append(show(*given)))

    def remove(count: int) -> int:
        nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode") for _ in range(count)]
        shown.clear()
        for node in nodes:
            slicer.mrmlScene.RemoveNode(node)
        slicer.app.processEvents()
        return len(shown)

    assert remove(20) == 1
    panel.exit()
    assert remove(20) == 0
    panel.enter()
    assert len(shown) == 1 and remove(1) == 1


# A scene that comes from a file


def test_numbers_come_back_with_the_scene(panel, scan, dialogs, tmp_path):
    from slicer_double.scene import reload_scene

    panel.ui.applyButton.click()
    before = shown_numbers(panel)
    assert before[0] and before[1]
    reload_scene(tmp_path / "scene.mrb")
    assert shown_numbers(panel) == before
    assert panel.logic.analysis is None


def test_tables_that_the_user_edited_or_another_version_wrote_do_not_stop_the_panel(reloaded, dialogs, monkeypatch):
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


def test_stages_work_in_a_scene_from_a_file(reloaded, dialogs):
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


def test_a_candidate_can_be_chosen_in_a_scene_from_a_file(reloaded, dialogs, tiny_analysis):
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
