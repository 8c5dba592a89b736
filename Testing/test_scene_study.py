"""A whole analysis in the scene: all nodes, all or nothing, saved and loaded; and the same without Slicer."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import traceback
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import slicer
import vtk
from scene_cases import (
    dicom_sequence,
    ids,
    items,
    multivolume,
    scene,  # noqa: F401 (a fixture)
)

from PyPeTLib import cli
from PyPeTLib.display import baseline_hu
from PyPeTLib.errors import Cancelled, InputError
from PyPeTLib.geometry import Image
from PyPeTLib.lesion_facts import criterion_rows, lesion_rows
from PyPeTLib.phantom_files import write_phantom
from PyPeTLib.quality import worst_first
from PyPeTLib.result_tables import curve_table
from PyPeTLib.seeds import grow_seeds
from PyPeTLib.settings import Settings
from PyPeTLib.vessel_facts import candidate_facts
from PyPeTScene import stages, study
from PyPeTScene.bootstrap import boot_scene
from PyPeTScene.curves import brain_regions, put_columns, show_tissue_curves
from PyPeTScene.maps import map_label
from PyPeTScene.masks import SEGMENTS, SURFACE, is_edited, mask_from_segment, put_mask
from PyPeTScene.nodes import find_node, image_values, node_geometry, scene_nodes
from PyPeTScene.numbers import CANDIDATES, CHECKS, CRITERIA, LESIONS, candidate_columns, rows_of
from PyPeTScene.points import points_mm
from PyPeTScene.series import fill_sequence, scan_volume, sequence_from_series, series_from_node
from PyPeTScene.study import Request, gather, in_study, process, save_scene, show_analysis, show_brain

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def scan(scene, tiny_analysis):  # noqa: F811
    return sequence_from_series(tiny_analysis.series, "scan")[0]


def node(identity):
    return slicer.mrmlScene.GetNodeByID(identity)


def hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def contents() -> dict[str, object]:
    """Everything a user could see change: voxels, frames, columns, segments, plots, names, attributes, places."""
    found: dict[str, object] = {"places": places()}
    for one in scene_nodes():
        key = one.GetID()
        attributes = {name: one.GetAttribute(name) for name in one.GetAttributeNames()}
        found[f"{key} attributes"] = (one.GetName(), one.GetDescription(), attributes)
        found[key] = (one.GetName(), one.GetDescription())
        if one.IsA("vtkMRMLVolumeNode") and one.GetImageData():
            found[key] = (*found[key], slicer.util.arrayFromVolume(one).tobytes(), node_geometry(one))
        elif one.IsA("vtkMRMLSequenceNode"):
            frames = [one.GetNthDataNode(k) for k in range(one.GetNumberOfDataNodes())]
            indices = [one.GetNthIndexValue(k) for k in range(len(frames))]
            found[key] = (indices, [slicer.util.arrayFromVolume(frame).tobytes() for frame in frames])
        elif one.IsA("vtkMRMLTableNode"):
            names = [one.GetColumnName(k) for k in range(one.GetNumberOfColumns())]
            cells = [[one.GetCellText(r, c) for r in range(one.GetNumberOfRows())] for c in range(len(names))]
            found[key] = dict(zip(names, cells, strict=True))
        elif one.IsA("vtkMRMLPlotChartNode"):
            found[key] = [one.GetNthPlotSeriesNodeID(k) for k in range(one.GetNumberOfPlotSeriesNodes())]
        elif one.IsA("vtkMRMLSegmentationNode"):
            found[key] = [(segment, where(one, segment)) for segment in one.GetSegmentation().GetSegmentIDs()]
    return found


def where(segmentation, identity: str) -> tuple[bytes, list[float]]:
    """The voxels of a segment, and where they lie, without a resampling to the grid of a volume."""
    image = segmentation.GetBinaryLabelmapInternalRepresentation(identity)
    inside = image_values(image) == segmentation.GetSegmentation().GetSegment(identity).GetLabelValue()
    to_world = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(to_world)
    grid = [to_world.GetElement(row, column) for row in range(4) for column in range(4)]
    return (np.argwhere(inside) + image.GetExtent()[4::-2]).tobytes(), grid


def places() -> list[tuple[str, str]]:
    """The items of the subject hierarchy with their parents."""
    inside = vtk.vtkIdList()
    hierarchy().GetItemChildren(hierarchy().GetSceneItemID(), inside, True)
    found = [inside.GetId(k) for k in range(inside.GetNumberOfIds())]
    return [(hierarchy().GetItemName(item), hierarchy().GetItemName(hierarchy().GetItemParent(item))) for item in found]


def changed(analysis):
    """The analysis with other numbers everywhere."""
    maps = {name: replace(image, values=2 * image.values) for name, image in analysis.maps.items()}
    brain = analysis.brain.values.copy()
    brain[0] = False
    curves = replace(analysis.curves, coefficients=3 * analysis.curves.coefficients)
    return replace(
        analysis,
        maps=replace(analysis.maps, **maps),
        brain=replace(analysis.brain, values=brain),
        curves=curves,
        vof=None,
    )


def test_everything_is_in_the_scene(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    assert list(shown.maps)[:6] == ["cbf", "cbv", "mtt", "tmax", "ttp", "delay"]
    for value in [*shown.maps.values(), *(v for k, v in asdict(shown).items() if k not in ("maps", "folder"))]:
        assert node(value) is not None
    inside = items()[items().index("PyPeT phantom_ctp") :]
    assert {"phantom_ctp CBF", "phantom_ctp masks", "phantom_ctp enhancement", "phantom_ctp AIF and VOF"} < set(inside)


def test_tables_tell_of_candidates_and_checks_in_numbers(tiny_analysis, scan):
    show_analysis(tiny_analysis, scan)
    best = dict(zip(candidate_columns(()), rows_of(CANDIDATES, scan)[0], strict=True))
    facts = candidate_facts(tiny_analysis.aif.candidates[0])
    assert best["Side"] == facts["side"] and best["Remark"] == facts["reason"]
    for column, name in (("Confidence", "confidence"), ("Arrival [s]", "arrival_s"), ("Width [s]", "width_s")):
        assert best[column] == pytest.approx(facts[name])
    told = {name: (status, text, value) for name, status, text, value in rows_of(CHECKS, scan)}
    assert list(told) == [check.name for check in worst_first(tiny_analysis.checks)]
    for check in tiny_analysis.checks:
        status, text, value = told[check.name]
        assert (status, text) == (check.status, check.text)
        assert np.isnan(value) if check.value is None else value == pytest.approx(check.value)


def test_lesions_are_segments_and_tables(tiny_analysis, scan):
    shown, lesions = show_analysis(tiny_analysis, scan), tiny_analysis.lesions
    for name, mask in lesions.masks():
        segment = node(shown.segmentation).GetSegmentation().GetSegment(SEGMENTS[name][0])
        assert (segment is not None) == bool(mask.values.any())
        if segment is not None:
            found = mask_from_segment(node(shown.segmentation), SEGMENTS[name][0], scan_volume(scan))
            np.testing.assert_array_equal(found.values, mask.values)
    rows = rows_of(LESIONS, scan)
    assert [row[0] for row in rows] == [row[0] for row in lesion_rows(lesions)]
    np.testing.assert_allclose([row[1] for row in rows], [row[1] for row in lesion_rows(lesions)])
    assert rows_of(CRITERIA, scan) == criterion_rows(lesions)
    assert "Research use only" in find_node(LESIONS, scan).GetDescription()
    none = replace(tiny_analysis, lesions=replace(lesions, core=None, hypoperfusion=None, mismatch=None))
    again = show_analysis(none, scan)
    assert node(again.segmentation).GetSegmentation().GetSegment(SEGMENTS["hypoperfusion"][0]) is None


def test_enhancement_scrolls_with_the_scan_over_its_times(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    enhancement, browser = node(shown.enhancement), node(shown.browser)
    assert (enhancement.GetIndexName(), enhancement.GetIndexUnit()) == ("time", "s")
    times = [float(enhancement.GetNthIndexValue(k)) for k in range(enhancement.GetNumberOfDataNodes())]
    np.testing.assert_array_equal(times, tiny_analysis.series.times_s)
    assert browser.GetMasterSequenceNode() is scan
    for item in (5, 30):
        browser.SetSelectedItemNumber(item)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        curves = tiny_analysis.curves
        found = slicer.util.arrayFromVolume(node(shown.enhancement_volume))[curves.mask]
        np.testing.assert_allclose(found, curves.coefficients @ curves.basis[:, item], rtol=1e-6)
        raw = slicer.util.arrayFromVolume(scan_volume(scan))
        np.testing.assert_array_equal(raw, tiny_analysis.series.values[item])


def test_stages_of_a_dicom_import_scroll_in_seconds_too(tiny_analysis):
    scan = dicom_sequence(tiny_analysis.series)
    series = series_from_node(scan)
    analysis = replace(tiny_analysis, series=series)
    shown = show_analysis(analysis, scan)
    raw, raw_volume = stages.show_seconds(series, scan)
    enhancement = node(shown.enhancement)
    assert raw is not scan
    for one in (raw, enhancement):
        assert float(one.GetNthIndexValue(44)) == pytest.approx(series.times_s[44])
        assert node(shown.browser).IsSynchronizedSequenceNode(one, True)
    before = ids()
    assert show_analysis(analysis, scan) == shown
    assert stages.show_seconds(series, scan) == (raw, raw_volume)
    assert ids() == before


def test_raw_stage_of_a_dicom_import_shares_the_voxels_of_the_scan_and_is_made_once(tiny_analysis, monkeypatch):
    scan = dicom_sequence(tiny_analysis.series)
    series = series_from_node(scan)
    raw, proxy = stages.show_seconds(series, scan)
    images = [scan.GetNthDataNode(k).GetImageData() for k in range(series.frames)]
    assert all(raw.GetNthDataNode(k).GetImageData() is image for k, image in enumerate(images))
    with monkeypatch.context() as patched:
        patched.setattr(stages, "fill_sequence", lambda *_, **__: pytest.fail("filled again"))
        assert stages.show_seconds(series, scan) == (raw, proxy)
    values = np.array(series.values)
    values[3] += 1  # in HU a scan may have other values than its node
    stages.show_seconds(replace(series, values=values), scan)
    for k in (3, 4):
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(raw.GetNthDataNode(k)), values[k])
    assert raw.GetNthDataNode(3).GetImageData() is not images[3] and raw.GetNthDataNode(4).GetImageData() is images[4]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(scan.GetNthDataNode(3)), series.values[3])


def test_index_in_seconds_that_are_not_the_times_does_not_drive_the_stages(tiny_analysis):
    scan = dicom_sequence(replace(tiny_analysis.series, times_s=2.0 * tiny_analysis.series.times_s))
    scan.SetIndexUnit("s")
    series = series_from_node(scan)
    assert series.interval_s == pytest.approx(2.0)
    shown = show_analysis(replace(tiny_analysis, series=series), scan)
    assert not node(shown.browser).IsSynchronizedSequenceNode(scan, True)


def test_a_scan_that_scrolls_with_one_of_other_times_does_not_drive_the_stages(tiny_analysis):
    series = tiny_analysis.series
    other = replace(series, values=series.values[:20], times_s=2.0 * series.times_s[:20])
    browser = sequence_from_series(other, "first of the browser")[1]
    scan = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "scan")
    fill_sequence(scan, series.values, series.times_s, series.geometry)
    browser.AddSynchronizedSequenceNode(scan)
    shown = show_analysis(tiny_analysis, scan)
    steps = node(shown.browser)
    assert steps is not browser and steps.GetNumberOfItems() == series.frames
    with in_study(scan, "scan"):
        raw = stages.show_seconds(series, scan)[1]
    for frame in (17, 44):
        steps.SetSelectedItemNumber(frame)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(steps)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(raw), series.values[frame])


def test_results_of_a_multivolume(tiny_analysis):
    scan = multivolume(tiny_analysis.series)
    shown = show_analysis(tiny_analysis, scan)
    before = ids()
    assert show_analysis(tiny_analysis, scan) == shown
    assert ids() == before


def test_stages_are_made_on_demand_and_reused(tiny_analysis, scan):
    def show():
        series = tiny_analysis.series
        mean = Image(baseline_hu(tiny_analysis), series.geometry, "HU")
        return (
            *stages.show_projection(series, scan),
            *stages.show_denoised(tiny_analysis, scan),
            *stages.show_denoised_projection(tiny_analysis, scan),
            stages.show_masked_image(mean, tiny_analysis.brain, series.name, scan),
            *stages.show_seconds(series, scan),
        )

    first = show()
    before = ids()
    assert show() == first
    assert ids() == before
    values = tiny_analysis.series.values
    projection = slicer.util.arrayFromVolume(first[0].GetNthDataNode(20))
    np.testing.assert_array_equal(projection[0], values[20, 1:3].max(axis=0))
    masked = slicer.util.arrayFromVolume(first[6])
    np.testing.assert_array_equal(np.isfinite(masked), tiny_analysis.brain.values)
    assert first[7] is scan, "an index in seconds needs no copy"


def test_stages_lie_in_the_folder_or_not_in_the_scene(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    series = tiny_analysis.series
    with in_study(scan_volume(scan), series.name) as same:
        assert same is scan
        _, proxy = stages.show_projection(series, scan)
    assert hierarchy().GetItemParent(hierarchy().GetItemByDataNode(proxy)) == shown.folder
    before = contents()
    with pytest.raises(Cancelled), in_study(scan, series.name):
        stages.show_denoised(tiny_analysis, scan)
        raise Cancelled
    assert contents() == before


def test_projection_lies_in_the_middle_of_its_slices(tiny_analysis, scan):
    volume = stages.show_projection(tiny_analysis.series, scan)[0].GetNthDataNode(0)
    one, all_of_them = node_geometry(volume), tiny_analysis.series.geometry
    assert one.spacing_mm[2] == 2 * all_of_them.spacing_mm[2]
    np.testing.assert_allclose(one.corners_mm().mean(axis=0), all_of_them.corners_mm().mean(axis=0))


def test_stages_give_what_the_report_draws(tiny_analysis):
    from PyPeTLib.display import BRAIN_HU, ENHANCEMENT_HU, PURPLE, VESSELS_HU, enhancement_volume

    before = baseline_hu(tiny_analysis)
    frame = list(stages.denoised_frames(tiny_analysis))[20]
    np.testing.assert_array_equal(frame, before + enhancement_volume(tiny_analysis.curves, 20))
    assert (BRAIN_HU, VESSELS_HU, ENHANCEMENT_HU) == (stages.BRAIN_HU, stages.VESSELS_HU, stages.ENHANCEMENT_HU)
    purple = [int(PURPLE[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    np.testing.assert_allclose(SEGMENTS["aif"][2], purple, atol=0.002)


def test_next_apply_makes_no_new_nodes(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    before, tree = ids(), items()
    assert show_analysis(tiny_analysis, scan_volume(scan)) == shown, "proxy and sequence are one scan"
    assert ids() == before
    assert items() == tree


def test_what_the_user_edited_is_kept_beside_what_is_written(tiny_analysis, scan, tmp_path, monkeypatch):
    """Without a panel that asks; also in a scene from a file, and whatever is written."""
    show_analysis(tiny_analysis, scan)
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "case.mrb"), None, None)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True, None)
    scan = slicer.mrmlScene.GetFirstNode("scan", "vtkMRMLSequenceNode")
    segmentation = find_node("segmentation", scan)
    segments, volume = segmentation.GetSegmentation(), scan_volume(scan)
    known = list(segments.GetSegmentIDs())
    assert not any(is_edited(segmentation, key) for key in SEGMENTS)
    show_analysis(tiny_analysis, scan)
    assert list(segments.GetSegmentIDs()) == known
    for key in ("brain", "vof"):
        voxels = mask_from_segment(segmentation, SEGMENTS[key][0], volume).values.astype(np.uint8)
        voxels[2] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, segmentation, SEGMENTS[key][0], volume)
    assert [key for key in SEGMENTS if is_edited(segmentation, key)] == ["brain", "vof"]
    edited = [mask_from_segment(segmentation, SEGMENTS[key][0], volume).values for key in ("brain", "vof")]
    before = contents()
    with monkeypatch.context() as patched, pytest.raises(Cancelled):
        patched.setattr(study, "gather", lambda *arguments: stop())
        show_analysis(tiny_analysis, scan)
    assert contents() == before
    assert [key for key in SEGMENTS if is_edited(segmentation, key)] == ["brain", "vof"]
    show_analysis(replace(tiny_analysis, vof=None), scan)
    for name, values in zip(("Brain", "VOF"), edited, strict=True):
        np.testing.assert_array_equal(mask_from_segment(segmentation, f"{name}, edited", volume).values, values)
    written = mask_from_segment(segmentation, SEGMENTS["brain"][0], volume).values
    np.testing.assert_array_equal(written, tiny_analysis.brain.values)
    assert len(segments.GetSegmentIDs()) == len(known) + 1, "no vein, but the edited one"
    show_analysis(tiny_analysis, scan)
    assert len(segments.GetSegmentIDs()) == len(known) + 2, "kept once"


def test_segments_that_are_shown_in_3d_stay_so(tiny_analysis, scan, monkeypatch):
    segmentation = node(show_analysis(tiny_analysis, scan).segmentation)

    def points(key):
        surface = segmentation.GetSegmentation().GetSegment(SEGMENTS[key][0]).GetRepresentation(SURFACE)
        return surface and surface.GetNumberOfPoints()

    show_analysis(tiny_analysis, scan)
    assert points("brain") is None, "made where the user asks for it only"
    segmentation.CreateClosedSurfaceRepresentation()
    before = points("brain"), points("aif")
    with monkeypatch.context() as patched, pytest.raises(Cancelled):
        patched.setattr(study, "gather", lambda *arguments: stop())
        show_analysis(changed(tiny_analysis), scan)
    assert (points("brain"), points("aif")) == before
    show_analysis(changed(tiny_analysis), scan)
    assert 0 < points("brain") < before[0], "of the new mask"
    assert points("aif") == before[1]
    show_brain(tiny_analysis.brain, tiny_analysis.series, scan)
    assert (points("brain"), points("aif")) == before


def test_copies_of_results_are_the_users(tiny_analysis, scan, tmp_path):
    shown = show_analysis(tiny_analysis, scan)
    copies = []
    for name in ("cbf", "delay", "cbf_sd"):
        original = node(shown.maps[name])
        copies.append(slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, original, f"my {name}"))
    kept = [slicer.util.arrayFromVolume(one).copy() for one in copies]
    maps = replace(changed(tiny_analysis).maps, delay=None, sd={})
    slicer.mrmlScene.RemoveNode(node(shown.maps["cbf"]))  # its copy takes no place of it
    again = show_analysis(replace(tiny_analysis, maps=maps), scan)
    assert {"delay", "cbf_sd"} <= set(shown.maps) - set(again.maps)
    assert again.maps["cbf"] != copies[0].GetID()
    # the same where copies came from a file, beside scenes with the same names
    for empty in (True, False):
        assert slicer.mrmlScene.WriteToMRB(str(tmp_path / f"{empty}.mrb"), None, None)
        assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / f"{empty}.mrb"), empty, None)
    for scan in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        if scan.GetName() == "scan":
            before = ids()
            show_analysis(replace(tiny_analysis, maps=maps), scan)
            assert ids() == before, "results are PyPeT's in every scene"
    for name, values in zip(("cbf", "delay", "cbf_sd"), kept, strict=True):
        found = [one for one in scene_nodes() if one.GetName() == f"my {name}"]
        assert len(found) == 2
        for one in found:
            np.testing.assert_array_equal(slicer.util.arrayFromVolume(one), values)


def test_folder_lies_under_the_scans_study_and_moved_nodes_stay(tiny_analysis, scan):
    tree = hierarchy()
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    day = tree.CreateStudyItem(patient, "study")
    item = tree.GetItemByDataNode(scan_volume(scan)) or tree.CreateItem(day, scan_volume(scan))
    tree.SetItemParent(item, day)
    shown = show_analysis(tiny_analysis, scan)
    assert tree.GetItemParent(shown.folder) == day
    moved = tree.GetItemByDataNode(node(shown.maps["cbf"]))
    tree.SetItemParent(moved, patient)
    assert show_analysis(tiny_analysis, scan).folder == shown.folder
    assert tree.GetItemParent(moved) == patient


def test_results_follow_the_transform_of_the_scan(tiny_analysis, scan):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    scan_volume(scan).SetAndObserveTransformNodeID(transform.GetID())
    shown = show_analysis(tiny_analysis, scan)
    for one in (*shown.maps.values(), shown.segmentation, shown.enhancement_volume):
        assert node(one).GetTransformNodeID() == transform.GetID()
    back = mask_from_segment(node(shown.segmentation), SEGMENTS["brain"][0], scan_volume(scan))
    np.testing.assert_array_equal(back.values, tiny_analysis.brain.values)


def new_transform(*translation_mm: float):
    """A node that moves what is under it."""
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    for row, value in enumerate(translation_mm):
        matrix.SetElement(row, 3, value)
    transform.SetMatrixTransformToParent(matrix)
    return transform


def test_a_transform_that_the_user_gave_a_result_stays(tiny_analysis, scan):
    registered, first, second = (new_transform(k) for k in (1.0, 2.0, 3.0))
    shown = show_analysis(tiny_analysis, scan)
    users = [node(shown.maps["cbf"]), node(shown.segmentation), node(shown.enhancement_volume)]
    for one in users:
        one.SetAndObserveTransformNodeID(registered.GetID())
    for moved_by in (first, second, None):
        identity = moved_by and moved_by.GetID()
        scan_volume(scan).SetAndObserveTransformNodeID(identity)
        show_analysis(tiny_analysis, scan)
        assert {one.GetTransformNodeID() for one in users} == {registered.GetID()}
        assert node(shown.maps["cbv"]).GetTransformNodeID() == identity
    cbv = node(shown.maps["cbv"])
    scan_volume(scan).SetAndObserveTransformNodeID(first.GetID())
    show_analysis(tiny_analysis, scan)
    cbv.SetAndObserveTransformNodeID(None)
    show_analysis(tiny_analysis, scan)
    assert cbv.GetTransformNodeID() is None, "taken out by the user"
    users[0].SetAndObserveTransformNodeID(first.GetID())
    show_analysis(tiny_analysis, scan)
    scan_volume(scan).SetAndObserveTransformNodeID(second.GetID())
    show_analysis(tiny_analysis, scan)
    assert users[0].GetTransformNodeID() == second.GetID(), "put back to the scan by the user, it follows again"


@pytest.mark.parametrize("moved", ["scan", "masks"])
def test_masks_of_a_moved_scan_are_where_it_is(tiny_analysis, scan, moved):
    segmentation = node(show_analysis(tiny_analysis, scan).segmentation)
    under = scan_volume(scan) if moved == "scan" else segmentation
    under.SetAndObserveTransformNodeID(new_transform(20.0, 0.0, -10.0).GetID())
    before = segmentation.GetTransformNodeID()
    brain, aif = ((segmentation, SEGMENTS[key][0]) for key in ("brain", "aif"))
    prepared = study.prepare_scan(Request(scan, brain=brain, aif=aif))
    np.testing.assert_array_equal(prepared.brain.values, tiny_analysis.brain.values)
    np.testing.assert_array_equal(prepared.aif.mask.values, tiny_analysis.aif.mask.values)
    assert segmentation.GetTransformNodeID() == before, "reading moves nothing"
    show_analysis(tiny_analysis, scan)
    np.testing.assert_array_equal(mask_from_segment(*brain, scan_volume(scan)).values, tiny_analysis.brain.values)


def test_after_an_error_colours_units_and_transforms_are_as_before(tiny_analysis, scan, monkeypatch):
    shown = show_analysis(tiny_analysis, scan)
    scan_volume(scan).SetAndObserveTransformNodeID(new_transform(5.0).GetID())
    cbf, placed = node(shown.maps["cbf"]), (shown.maps["cbf"], shown.segmentation, shown.enhancement_volume)
    colours = cbf.GetDisplayNode().GetColorNode()
    monkeypatch.setattr(study, "gather", lambda *arguments: gather(*arguments) and stop())
    maps = replace(tiny_analysis.maps, cbf=replace(tiny_analysis.maps.cbf, unit="s"))
    other = replace(tiny_analysis, maps=maps, settings=replace(tiny_analysis.settings, colours="ASIST-like"))
    with pytest.raises(Cancelled):
        show_analysis(other, scan)
    assert cbf.GetDisplayNode().GetColorNode() is colours is not None
    assert cbf.GetAttribute("PyPeT.Unit") == tiny_analysis.maps.cbf.unit
    assert [node(one).GetTransformNodeID() for one in placed] == [None] * 3
    monkeypatch.undo()
    show_analysis(tiny_analysis, scan)
    assert all(node(one).GetTransformNodeID() for one in placed), "they follow the scan all the same"


@pytest.mark.parametrize("late", ["show_masks", "show_enhancement", "show_tissue_curves", "gather"])
def test_after_an_error_at_first_apply_no_node_remains(tiny_analysis, scan, monkeypatch, late):
    before, tree = contents(), items()
    real = getattr(study, late)

    def fail(*arguments, **keywords):
        real(*arguments, **keywords)
        raise MemoryError

    monkeypatch.setattr(study, late, fail)
    with pytest.raises(MemoryError):
        show_analysis(tiny_analysis, scan)
    assert contents() == before
    assert items() == tree
    assert not slicer.mrmlScene.IsBatchProcessing()


@pytest.mark.parametrize("late", ["show_maps", "show_masks", "show_enhancement", "show_vessel_curves", "gather"])
def test_after_an_error_at_next_apply_the_last_results_remain(tiny_analysis, scan, monkeypatch, late):
    show_analysis(tiny_analysis, scan)
    before, tree = contents(), items()
    real = getattr(study, late)

    def fail(*arguments, **keywords):
        real(*arguments, **keywords)
        raise Cancelled

    monkeypatch.setattr(study, late, fail)
    with pytest.raises(Cancelled):
        show_analysis(changed(tiny_analysis), scan)
    after = contents()
    assert {key for key in before if after.get(key) != before[key]} == set()
    assert set(after) == set(before)
    assert items() == tree


class Told:
    """A progress callback that keeps what it is told and does something at one of its calls."""

    def __init__(self, at=None, action=None):
        self.calls, self.at, self.action = [], at, action

    def __call__(self, fraction, text):
        self.calls.append((fraction, text))
        if self.action and (self.at == len(self.calls) or self.at == text):
            self.action()


def stop():
    raise Cancelled("by the test")


@pytest.fixture(scope="module")
def calls_of_showing(tiny_analysis):
    boot_scene()
    told = Told()
    show_analysis(tiny_analysis, sequence_from_series(tiny_analysis.series, "scan")[0], progress=told)
    slicer.mrmlScene.Clear(False)
    return told.calls


def test_showing_tells_every_map_segment_and_frame(calls_of_showing, tiny_analysis):
    fractions = [fraction for fraction, _ in calls_of_showing]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    texts = [text for _, text in calls_of_showing]
    assert texts.count("Showing the maps") == 6 + 4
    assert texts.count("Showing the masks") == 5
    assert texts.count("Showing the enhancement over time") == tiny_analysis.series.frames
    assert texts.count("Showing the curves") == 3


@pytest.mark.parametrize("again", [False, True])
def test_cancelling_at_any_call_while_showing_leaves_all_as_before(tiny_analysis, scan, calls_of_showing, again):
    if again:
        show_analysis(tiny_analysis, scan)
    before = contents()
    for at in range(1, len(calls_of_showing) + 1):
        with pytest.raises(Cancelled, match="by the test"):
            show_analysis(changed(tiny_analysis), scan, progress=Told(at, stop))
        assert contents() == before, f"call {at}, {calls_of_showing[at - 1]}"
        assert not slicer.mrmlScene.IsBatchProcessing()


def test_a_run_tells_where_it_is_from_reading_to_the_end(scan):
    told = Told()
    process(Request(scan), told)
    fractions, texts = zip(*told.calls, strict=True)
    assert list(fractions) == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    assert texts.count("Reading the scan") >= 45, "each frame"
    assert texts.count("Checking the values of the scan") >= 45
    assert texts.count("Brain mask") >= 45 + 4, "each frame of the mean, each slice"
    assert {"Arterial input", "Denoising", "Deconvolution", "Maps", "Showing the masks"} < set(texts)


def keeping(function, made, told):
    """Return a function that also keeps what it made, and how many calls of the progress there were by then."""

    def keep(*given, **named):
        result = function(*given, **named)
        made[function.__name__] = result, len(told.calls)
        return result

    return keep


def test_cancelling_in_any_step_leaves_all_as_before(scan, monkeypatch):
    """A half of the run that is over when the step begins was computed once, and is taken as it was."""
    request, told, made = Request(scan, Settings(denoise="gaussian")), Told(), {}
    with monkeypatch.context() as patched:
        for name in ("prepare", "finish"):
            patched.setattr(study, name, keeping(getattr(study, name), made, told))
        process(request, told)
    before, texts = contents(), [text for _, text in told.calls]
    for text in dict.fromkeys(texts):
        with monkeypatch.context() as patched, pytest.raises(Cancelled, match="by the test"):
            for name, (result, calls) in made.items():
                if calls <= texts.index(text):
                    patched.setattr(study, name, lambda *_, result=result, **__: result)
            process(request, Told(text, stop))
        assert contents() == before, text


@pytest.mark.parametrize(
    ("functions", "settings"),
    [
        (["inside_skull"], Settings(brain="skull")),
        (["from_fast_marching", "tell"], Settings(brain="fast-marching")),
        (["_curvature_flow", "tell"], Settings(denoise="curvature-flow", curvature_flow_iterations=1)),
        (["_gaussian"], Settings(denoise="gaussian")),
        (["bilateral"], Settings()),
    ],
)
def test_cancelling_amid_masks_and_denoisings_leaves_all_as_before(tiny_analysis, scan, functions, settings):
    """Those that are SimpleITK's are called from it when they tell how far they are."""

    def stop_inside(fraction, text):
        if {frame.name for frame in traceback.extract_stack()} >= {*functions}:
            stop()

    show_analysis(tiny_analysis, scan)
    before = contents()
    with pytest.raises(Cancelled, match="by the test"):
        process(Request(scan, settings), stop_inside)
    assert contents() == before


@pytest.fixture
def computed(tiny_analysis, monkeypatch):
    """The library has what it would compute: what is looked at comes later."""
    for name in ("prepare", "finish"):
        monkeypatch.setattr(study, name, lambda *_, **__: tiny_analysis)


IN_THE_LIBRARY = ["Reading the scan", "Brain mask", "Denoising"]
WHILE_SHOWING = ["Showing the maps", "Showing the curves"]


@pytest.mark.parametrize("at", IN_THE_LIBRARY)
def test_scan_removed_in_any_step_is_refused(scan, at):
    refused_without(scan, at)


@pytest.mark.parametrize("at", WHILE_SHOWING)
def test_scan_removed_while_its_results_are_shown_is_refused(scan, computed, at):
    refused_without(scan, at)


def refused_without(scan, at):
    before = ids()
    with pytest.raises(InputError, match="Scan scan: it must be in the scene; it was removed"):
        process(Request(scan), Told(at, lambda: slicer.mrmlScene.RemoveNode(scan)))
    assert ids() <= before


@pytest.mark.parametrize("at", IN_THE_LIBRARY)
def test_scene_closed_in_any_step_stays_empty(scan, at):
    empty_after_closing(scan, at)


@pytest.mark.parametrize("at", WHILE_SHOWING)
def test_scene_closed_while_results_are_shown_stays_empty(scan, computed, at):
    empty_after_closing(scan, at)


def empty_after_closing(scan, at):
    with pytest.raises(InputError, match="it was removed"):
        process(Request(scan), Told(at, lambda: slicer.mrmlScene.Clear(False)))
    assert not [one for one in scene_nodes() if one.GetAttribute("PyPeT.Role") or one.IsA("vtkMRMLVolumeNode")]
    assert not slicer.mrmlScene.IsBatchProcessing()


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("role", ["map.cbf", "segmentation", "stage.enhancement", "curves.table", "tissue.chart"])
def test_result_removed_while_it_is_shown_is_refused(tiny_analysis, scene, calls_of_showing, role, again):  # noqa: F811
    refused = []
    for text in dict.fromkeys(text for _, text in calls_of_showing):
        scene.Clear(False)
        scan = sequence_from_series(tiny_analysis.series, "scan")[0]
        if again:
            show_analysis(tiny_analysis, scan)
        before, gone = ids(), []

        def remove(gone=gone, scan=scan):
            if not gone and (one := find_node(role, scan)) is not None:
                gone.append(one.GetID())
                slicer.mrmlScene.RemoveNode(one)

        try:
            show_analysis(tiny_analysis, scan, progress=Told(text, remove))
        except InputError as error:
            assert "must stay in the scene while they are filled; found 1 removed" in str(error)
            assert ids() <= before | {"vtkMRMLSubjectHierarchyNode1"}
            refused.append(text)
        assert bool(gone) == (text in refused)
    assert refused


def test_scan_removed_during_the_run_is_refused(tiny_analysis, scan):
    slicer.mrmlScene.RemoveNode(scan)
    before = ids()
    with pytest.raises(InputError, match="Scan scan: it must be in the scene; it was removed"):
        show_analysis(tiny_analysis, scan)
    assert ids() == before


def test_scene_closed_during_the_run_is_refused(tiny_analysis, scan):
    slicer.mrmlScene.Clear(False)
    before = ids()
    with pytest.raises(InputError, match="removed"):
        show_analysis(tiny_analysis, scan)
    with pytest.raises(InputError, match="Scan none"):
        show_analysis(tiny_analysis, None)
    assert ids() == before


def test_process_reads_analyses_and_shows(tiny_analysis, scan):
    analysis, shown = process(Request(scan))
    np.testing.assert_array_equal(analysis.maps.cbf.values, tiny_analysis.maps.cbf.values)
    assert node(shown.maps["cbf"]) is not None


def test_process_uses_the_corrected_mask(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    segmentation = node(shown.segmentation)
    corrected = tiny_analysis.brain.values.copy()
    corrected[:, 32:40, 28:36] = False
    put_mask(segmentation, "brain", replace(tiny_analysis.brain, values=corrected), node(shown.maps["cbf"]))
    brain, aif = ((segmentation, SEGMENTS[key][0]) for key in ("brain", "aif"))
    analysis, again = process(Request(scan, brain=brain, aif=aif))
    np.testing.assert_array_equal(analysis.brain.values, corrected)
    np.testing.assert_array_equal(analysis.aif.mask.values, tiny_analysis.aif.mask.values)
    assert (analysis.brain_source, analysis.aif.source) == ("user's mask", "user's mask")
    assert again == shown


def markups(mask, geometry, *, count=1):
    """A list of points in some voxels of a mask."""
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    for z, y, x in np.argwhere(mask)[:count]:
        lps = np.asarray(geometry.origin_mm) + geometry.axes @ (np.array([x, y, z]) * geometry.spacing_mm)
        points.AddControlPoint(-lps[0], -lps[1], lps[2])
    return points


def test_process_grows_points_and_shows_the_voxels(tiny_analysis, scan):
    series = tiny_analysis.series
    points = {key: markups(getattr(tiny_analysis, key).mask.values, series.geometry) for key in ("aif", "vof")}
    analysis, shown = process(Request(scan, Settings(denoise="gaussian"), **points))
    for key, node_of_points in points.items():
        found = getattr(analysis, key)
        expected = grow_seeds(series, points_mm(node_of_points), settings=Settings())
        np.testing.assert_array_equal(found.mask.values, expected.values)
        back = mask_from_segment(node(shown.segmentation), SEGMENTS[key][0], scan_volume(scan))
        np.testing.assert_array_equal(back.values, expected.values)


def test_points_outside_the_users_brain_mask_are_refused(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    segmentation = node(shown.segmentation)
    away = np.abs(np.arange(64) - np.nonzero(tiny_analysis.aif.mask.values)[2][0]) > 5
    apart = tiny_analysis.brain.values & away
    put_mask(segmentation, "brain", replace(tiny_analysis.brain, values=apart), node(shown.maps["cbf"]))
    points = markups(tiny_analysis.aif.mask.values, tiny_analysis.series.geometry)
    before = contents()
    with pytest.raises(InputError, match=r"Point 1: a voxel of the brain mask .* needed; found none"):
        process(Request(scan, brain=(segmentation, SEGMENTS["brain"][0]), aif=points))
    assert contents() == before


def test_process_takes_curves_of_a_table_and_shows_no_voxels(tiny_analysis, scan):
    first = show_analysis(tiny_analysis, scan)
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "mine")
    put_columns(table, curve_table(tiny_analysis))
    analysis, again = process(Request(scan, Settings(denoise="gaussian"), aif=table, vof=table))
    assert again == first
    assert (analysis.aif.source, analysis.vof.source) == ("user's curve", "user's curve")
    np.testing.assert_allclose(analysis.aif.curve_hu, tiny_analysis.aif.curve_hu, atol=0.1)
    np.testing.assert_allclose(analysis.vof.curve_hu, tiny_analysis.vof.curve_hu, atol=0.1)
    keys = ("brain", "csf", "vessels", "bone", "core", "hypoperfusion", "mismatch")
    shown = [SEGMENTS[key][0] for key in keys]
    assert list(node(again.segmentation).GetSegmentation().GetSegmentIDs()) == shown
    _, third = process(Request(scan, Settings(denoise="gaussian")))
    assert set(node(third.segmentation).GetSegmentation().GetSegmentIDs()) == {
        SEGMENTS[key][0] for key in (*keys, "aif", "vof")
    }


def test_what_is_no_vessel_is_refused(scan):
    text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "words")
    with pytest.raises(InputError, match=r"VOF: a segment, a list of points or a table is needed; found a Text"):
        process(Request(scan, vof=text))


def test_mask_is_shown_before_there_are_maps_and_updated_by_apply(tiny_analysis, scan):
    first = show_brain(tiny_analysis.brain, tiny_analysis.series, scan)
    back = mask_from_segment(node(first), SEGMENTS["brain"][0], scan_volume(scan))
    np.testing.assert_array_equal(back.values, tiny_analysis.brain.values)
    assert show_analysis(tiny_analysis, scan).segmentation == first
    assert items().count("PyPeT phantom_ctp") == 1


def test_mask_of_a_sequence_without_a_browser(tiny_analysis):
    scan = dicom_sequence(tiny_analysis.series)
    segmentation = node(show_brain(tiny_analysis.brain, tiny_analysis.series, scan))
    assert scan_volume(scan).GetID() in ids()
    back = mask_from_segment(segmentation, SEGMENTS["brain"][0], scan_volume(scan))
    np.testing.assert_array_equal(back.values, tiny_analysis.brain.values)


def test_cancel_leaves_the_scene_alone(scan):
    before = ids()

    def cancel(fraction, text):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        process(Request(scan), cancel)
    assert ids() == before


def test_scene_comes_back_from_a_bundle_with_results_and_charts(tiny_analysis, scan, tmp_path):
    shown = show_analysis(tiny_analysis, scan)
    save_scene(tmp_path / "case.mrb")
    assert [path.name for path in tmp_path.iterdir()] == ["case.mrb"]
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
    scan = slicer.mrmlScene.GetFirstNode("scan", "vtkMRMLSequenceNode")
    back = series_from_node(scan)
    np.testing.assert_array_equal(back.values, tiny_analysis.series.values)
    np.testing.assert_array_equal(back.times_s, tiny_analysis.series.times_s)
    for name, image in tiny_analysis.maps.items():
        volume = slicer.mrmlScene.GetFirstNode(f"phantom_ctp {map_label(name)}")
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), image.values.astype(np.float32))
        assert volume.GetDisplayNode().GetColorNode().GetName().startswith("PyPeT")
        assert volume.GetDescription().endswith("Research use only.")
    chart = slicer.mrmlScene.GetFirstNode("phantom_ctp AIF and VOF", "vtkMRMLPlotChartNode")
    assert chart.GetNumberOfPlotSeriesNodes() == 4
    table = chart.GetNthPlotSeriesNode(0).GetTableNode()
    stored = np.array(slicer.util.arrayFromTableColumn(table, "aif_hu"))
    np.testing.assert_allclose(stored, tiny_analysis.aif.curve_hu, rtol=1e-5)
    before, tree = ids(), items()
    again = show_analysis(tiny_analysis, scan)
    assert ids() == before, "the nodes of the bundle are updated"
    assert items() == tree
    assert set(again.maps) == set(shown.maps)


@pytest.mark.parametrize("name", ["case.mrml", "case", "no/such/folder/case.mrb"])
def test_scene_that_cannot_be_written_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="is needed"):
        save_scene(tmp_path / name)


def test_scene_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    """As on a file system that is read only."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("PyPeTLib.pipeline.analyze", lambda *_, **__: pytest.fail("it must not begin"))
    words = ["scene", "scan.nii.gz", "-o"]
    assert cli.main([*words, str(tmp_path / f"{'x' * 300}.mrb")]) == cli.USER_ERROR
    assert ".mrb cannot be written: file name too long. Choose" in capsys.readouterr().err
    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert cli.main([*words, str(tmp_path / "out.mrb")]) == cli.USER_ERROR
    assert "out.mrb cannot be written: read-only file system. Choose a folder on a disk that" in capsys.readouterr().err


def test_tissue_chart_takes_a_segment_more(tiny_analysis, scan):
    shown = show_analysis(tiny_analysis, scan)
    regions = {**brain_regions(tiny_analysis.brain), "AIF": np.asarray(tiny_analysis.aif.mask.values)}
    _, chart = show_tissue_curves(tiny_analysis, scan, regions)
    assert chart.GetID() == shown.tissue_chart
    assert chart.GetNumberOfPlotSeriesNodes() == 4


def test_command_writes_a_scene_without_slicer(tiny_head, tiny_analysis, tmp_path, capsys):
    path = write_phantom(tiny_head, tmp_path)
    target = tmp_path / "out.mrb"
    assert cli.main(["scene", str(path), "-o", str(target), "--quiet"]) == cli.OK
    assert cli.main(["scene", str(path), "-o", str(target), "--quiet"]) == cli.USER_ERROR
    assert "--overwrite" in capsys.readouterr().err
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.ReadFromMRB(str(target), True)
    volume = slicer.mrmlScene.GetFirstNode("phantom_ctp CBF", "vtkMRMLScalarVolumeNode")
    np.testing.assert_allclose(slicer.util.arrayFromVolume(volume), tiny_analysis.maps.cbf.values, rtol=1e-5)


def test_command_needs_nothing_but_slicer_core(tiny_head, tmp_path):
    path = write_phantom(tiny_head, tmp_path)
    root = Path(study.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "PyPeT")])}
    command = [sys.executable, "-m", "PyPeTLib", "scene", str(path), "-o", "out.mrb"]  # Slicer takes no relative path
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "out.mrb"), True)
    tree = hierarchy()
    folder = tree.GetItemByName("PyPeT phantom_ctp")
    volume = slicer.mrmlScene.GetFirstNode("phantom_ctp CBF", "vtkMRMLScalarVolumeNode")
    assert tree.GetItemParent(tree.GetItemByDataNode(volume)) == folder


def test_command_without_slicer_core_names_the_cure(tiny_head, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "slicer", None)
    assert cli.main(["scene", "scan.nii.gz", "-o", str(tmp_path / "out.mrb")]) == cli.USER_ERROR
    assert "python -m pip install slicer-core" in capsys.readouterr().err
