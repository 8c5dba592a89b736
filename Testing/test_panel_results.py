"""Results: a reference map beside a map, tissue curves, numbers, and what is exported."""

from __future__ import annotations

import numpy as np
import panel_cases
import pytest
from panel_cases import ids, own, shown_charts, shown_volumes, stage_note, voxels
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, other_scan, panel, scan = (
    panel_cases.applied,
    panel_cases.other_scan,
    panel_cases.panel,
    panel_cases.scan,
)
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5


# A reference map


@pytest.fixture
def other_map(applied, scan):
    import slicer

    volume = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, own("map.tmax", scan), "reference")
    slicer.util.updateVolumeFromArray(volume, 2.0 * voxels(volume))
    return volume


def test_a_map_stands_beside_its_reference_with_metrics(applied, scan, other_map, dialogs, monkeypatch):
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


def test_a_reference_that_is_the_map_itself_is_refused(applied, scan, dialogs, monkeypatch):
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
    dialogs,
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


def test_a_map_of_whose_display_the_legend_alone_is_left_is_compared(applied, scan, other_map, dialogs, monkeypatch):
    import slicer

    monkeypatch.setattr("PyPeTPanel.packages.ensure_skimage", lambda: False)
    cbf = own("map.cbf", scan)
    slicer.mrmlScene.RemoveNode(cbf.GetVolumeDisplayNode())
    assert cbf.GetDisplayNode().IsA("vtkMRMLColorLegendDisplayNode")
    applied.parameters.reference_map, applied.parameters.compared_map = other_map, cbf
    applied.ui.stage7Button.click()
    assert not dialogs.errors() and cbf.GetVolumeDisplayNode().GetColorNode() is not None


def test_curves_that_were_deleted_are_shown_again(applied, scan, dialogs):
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


def test_tissue_curves_of_each_segment(applied, scan, dialogs):
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


def test_a_segment_named_as_a_curve_of_pypets_own_has_its_own_curve(applied, scan):
    import slicer

    from PyPeTScene.series import scan_volume

    segments = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    brain = np.array(applied.logic.analysis.brain.values)
    part = brain.copy()
    part[0] = False
    for name, mask in (("Brain", part), ("Voxel", part), ("Left half", brain)):
        segments.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segments, name, scan_volume(scan))
    applied.ui.showTissueButton.click()
    table = own("tissue.table", scan)
    whole = np.array(slicer.util.arrayFromTableColumn(table, "Brain"))
    applied.parameters.tissue_source, applied.parameters.tissue_segmentation = "segments", segments
    applied.ui.showTissueButton.click()
    assert tissue_names(scan) == [*HALVES, "Brain 2", "Voxel 2", "Left half 2"]
    np.testing.assert_array_equal(slicer.util.arrayFromTableColumn(table, "Brain"), whole)
    assert not np.array_equal(slicer.util.arrayFromTableColumn(table, "Brain 2"), whole)


def test_segments_without_a_voxel_of_the_brain_are_left_out_of_the_curves_and_named(applied, scan, dialogs):
    import slicer

    from PyPeTScene.series import scan_volume

    segments = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    for name in ("tissue", "just added", "air"):
        segments.GetSegmentation().AddEmptySegment(name, name)
    brain = applied.logic.analysis.brain.values
    for name, mask in (("tissue", brain), ("air", ~brain)):
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), segments, name, scan_volume(scan))
    applied.parameters.tissue_source, applied.parameters.tissue_segmentation = "segments", segments
    applied.ui.showTissueButton.click()
    assert not dialogs.errors() and tissue_names(scan) == [*HALVES, "tissue"]
    assert "without a voxel of the brain mask: just added, air." in applied.ui.stageNote.text
    segments.GetSegmentation().RemoveSegment("tissue")
    applied.ui.showTissueButton.click()
    assert "found none in mine" in dialogs.errors()[0]


def test_the_curve_of_a_voxel_follows_the_crosshair(applied, scan, dialogs):
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


# Export


def test_export_asks_before_it_replaces(applied, dialogs, tmp_path, monkeypatch):
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    (tmp_path / "scan_cbf.nii.gz").write_text("the user's")
    for agreed in (False, True):
        dialogs.paths.append(str(tmp_path))
        dialogs.answers.append(agreed)
        applied.ui.exportButton.click()
        assert "scan_cbf.nii.gz" in dialogs.messages[-1].text
        assert ((tmp_path / "scan_cbf.nii.gz").read_bytes() != b"the user's") == agreed


def test_a_scan_whose_name_no_file_can_have_is_exported(applied, scan, dialogs, tmp_path, monkeypatch):
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    scan.SetName("Müller/Å: CBF?")
    applied.ui.applyButton.click()
    for _ in range(2):  # found again, too
        dialogs.paths.append(str(tmp_path))
        dialogs.answers = [True]
        applied.ui.exportButton.click()
    assert not dialogs.errors() and "Müller_Å_ CBF__cbf.nii.gz" in dialogs.messages[-1].text
    assert {path.name[:14] for path in tmp_path.iterdir()} == {"Müller_Å_ CBF_"}


def test_export_removes_what_an_earlier_run_wrote_and_this_one_does_not(applied, dialogs, tmp_path, monkeypatch):
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    for name in ("scan_summary.json", "scan_report.html", "scan_notes.txt"):
        (tmp_path / name).write_text("of an earlier run")
    dialogs.paths.append(str(tmp_path))
    dialogs.answers.append(True)
    applied.ui.exportButton.click()
    assert "scan_report.html" in dialogs.messages[-1].text
    assert not (tmp_path / "scan_report.html").exists() and (tmp_path / "scan_notes.txt").exists()


def test_export_writes_the_files_of_a_run(applied, dialogs, tmp_path, monkeypatch):
    monkeypatch.setattr("PyPeTPanel.actions.report_available", lambda: False)
    dialogs.paths.append(str(tmp_path))
    applied.ui.exportButton.click()
    assert {"scan_cbf.nii.gz", "scan_summary.json", "scan_curves.csv"} <= {path.name for path in tmp_path.iterdir()}
    dialogs.paths.append("")
    applied.ui.exportButton.click()
    assert not dialogs.errors()


# Numbers


def test_the_panel_says_that_there_is_no_core_to_have_a_ratio_to(panel):
    from PyPeTLib.lesion_facts import lesion_cells

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


def test_numbers_of_the_panel_have_minus_signs_no_negative_zero_and_the_digits_of_the_report(panel):
    from PyPeTLib.lesion_facts import lesion_cells
    from PyPeTPanel.tables import candidate_row, median_row

    nan = float("nan")
    assert median_row("Tmax", -0.0, nan, "s") == ("Tmax", "0.0", "", "s")
    assert median_row("Delay", -0.51, 0.4, "s") == ("Delay", "−0.5", "± 0.4", "s")
    assert median_row("CBF", 30.76, 9.62, "mL/100 g/min") == ("CBF", "30.8", "± 9.6", "mL/100 g/min")
    assert median_row("CBV", 2.268, 0.38, "mL/100 g") == ("CBV", "2.27", "± 0.38", "mL/100 g")
    assert lesion_cells([("Mismatch", -0.04, nan, nan, "mL")])[0][1] == "0.0"
    row = candidate_row((-0.2, 0.5, "left", 200.0, 1.0, -0.04, 2.0, 9.0, -0.02, 3.0, ""))
    assert (row[0], row[4], row[7]) == ("−0.20", "0.0", "−2 %")
