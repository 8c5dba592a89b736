"""Curves in tables and charts, on real nodes."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from scene_cases import (
    OBLIQUE,
    ids,
    scene,  # noqa: F401 (a fixture)
)

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.records import Curves
from PyPeTLib.result_tables import curve_table
from PyPeTScene.curves import (
    brain_regions,
    curve_from_table,
    segment_regions,
    show_bolus,
    show_motion,
    show_tissue_curves,
    show_vessel_curves,
    show_voxel_curve,
    stale_plots,
    voxel_region,
)
from PyPeTScene.masks import show_masks
from PyPeTScene.restore import unchanged_on_error
from PyPeTScene.series import scan_volume, sequence_from_series

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def scan(scene, tiny_analysis):  # noqa: F811
    return sequence_from_series(tiny_analysis.series, "scan")[0]


def column(table, name):
    return np.array(slicer.util.arrayFromTableColumn(table, name))


def plotted(chart) -> list[str]:
    return [chart.GetNthPlotSeriesNode(k).GetName() for k in range(chart.GetNumberOfPlotSeriesNodes())]


def pasted(*columns):
    """A table of text, as one gets it by pasting."""
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "pasted")
    for k, words in enumerate(columns):
        array = vtk.vtkStringArray()
        array.SetName(f"Column {k + 1}")
        for word in words:
            array.InsertNextValue(word)
        table.AddColumn(array)
    return table


def test_table_holds_the_columns_of_the_curve_file(tiny_analysis, scan):
    table, _ = show_vessel_curves(tiny_analysis, scan)
    expected = curve_table(tiny_analysis)
    assert [table.GetColumnName(k) for k in range(table.GetNumberOfColumns())] == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(column(table, name), values)


def test_chart_shows_artery_with_fit_and_vein_over_seconds(tiny_analysis, scan):
    table, chart = show_vessel_curves(tiny_analysis, scan)
    assert plotted(chart) == ["AIF, measured", "AIF, deconvolved", "AIF, gamma-variate fit", "VOF"]
    assert (chart.GetXAxisTitle(), chart.GetYAxisTitle()) == ("time in s", "enhancement in HU")
    for k in range(4):
        plot = chart.GetNthPlotSeriesNode(k)
        assert plot.GetTableNode() is table
        assert plot.GetXColumnName() == "time_s"
    red, green, blue = chart.GetNthPlotSeriesNode(1).GetColor()
    assert blue > red > green, "the arterial input is purple"


def test_curves_that_are_no_more_leave_the_chart(tiny_analysis, scan):
    show_vessel_curves(tiny_analysis, scan)
    bare = replace(tiny_analysis, vof=None, aif=replace(tiny_analysis.aif, fit=None))
    _, chart = show_vessel_curves(bare, scan)
    assert plotted(chart) == ["AIF, measured", "AIF, deconvolved"]
    assert [node.GetName() for node in stale_plots(scan)] == ["AIF, gamma-variate fit", "VOF"]
    _, chart = show_vessel_curves(tiny_analysis, scan)
    assert len(plotted(chart)) == 4
    assert not stale_plots(scan)


def test_what_the_user_made_of_a_chart_stays(tiny_analysis, scan):
    _, chart = show_vessel_curves(tiny_analysis, scan)
    plot, mine = chart.GetNthPlotSeriesNode(0), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "mine")
    chart.AddAndObservePlotSeriesNodeID(mine.GetID())
    chart.SetTitle("My title")
    chart.SetYAxisTitle("HU")
    plot.SetColor(0.0, 1.0, 0.0)
    plot.SetMarkerStyle(plot.MarkerStyleCircle)
    bare = replace(tiny_analysis, vof=None)
    show_vessel_curves(bare, scan)
    assert plotted(chart) == ["AIF, measured", "AIF, deconvolved", "AIF, gamma-variate fit", "mine"]
    assert (chart.GetTitle(), chart.GetYAxisTitle()) == ("My title", "HU")
    assert plot.GetColor() == (0.0, 1.0, 0.0) and plot.GetMarkerStyle() == plot.MarkerStyleCircle


def test_the_title_of_the_bolus_follows_its_arrival(tiny_analysis, scan):
    _, chart = show_bolus(tiny_analysis, scan)
    later = replace(tiny_analysis, bolus=replace(tiny_analysis.bolus, arrival_s=21.0))
    with pytest.raises(ZeroDivisionError), unchanged_on_error(scan):
        show_bolus(later, scan)
        raise ZeroDivisionError
    assert "21.0" not in chart.GetTitle()
    show_bolus(later, scan)
    assert chart.GetTitle() == "Bolus, arriving at 21.0 s", "also after a run that was stopped"


def moving(analysis, largest_mm: float):
    """The same head, moved along x by so much in its second half."""
    motion = analysis.motion
    there = largest_mm * (np.arange(motion.times_s.size) >= motion.times_s.size / 2)
    shifts = np.stack([-there, 0.0 * there, 0.0 * there], axis=1)
    return replace(analysis, motion=replace(motion, shifts_mm=shifts, displacement_mm=there))


def test_a_head_at_rest_does_not_fill_the_axis_of_the_motion_chart(tiny_analysis, scan):
    chart = show_motion(moving(tiny_analysis, 0.1), scan)
    assert not chart.GetYAxisRangeAuto() and chart.GetYAxisRange() == (-0.1, 1.0)
    assert show_motion(moving(tiny_analysis, 0.3), scan) is chart
    assert chart.GetYAxisRange() == (-0.3, 1.0)
    show_motion(moving(tiny_analysis, 3.0), scan)
    assert chart.GetYAxisRangeAuto(), "all of a large motion is seen"
    show_motion(moving(tiny_analysis, 0.1), scan)
    assert not chart.GetYAxisRangeAuto()


def test_the_axis_of_the_motion_chart_stays_as_the_user_set_it(tiny_analysis, scan):
    chart = show_motion(moving(tiny_analysis, 0.1), scan)
    chart.SetYAxisRangeAuto(True)
    show_motion(moving(tiny_analysis, 0.1), scan)
    assert chart.GetYAxisRangeAuto()
    other_scan = sequence_from_series(tiny_analysis.series, "other")[0]
    other = show_motion(moving(tiny_analysis, 3.0), other_scan)
    other.SetYAxisRange(0.0, 10.0)
    other.SetYAxisRangeAuto(False)
    show_motion(moving(tiny_analysis, 0.1), other_scan)
    assert other.GetYAxisRange() == (0.0, 10.0) and not other.GetYAxisRangeAuto()


def test_next_apply_updates_the_same_nodes_and_tells_the_chart(tiny_analysis, scan):
    regions = brain_regions(tiny_analysis.brain)
    first = (*show_vessel_curves(tiny_analysis, scan), *show_tissue_curves(tiny_analysis, scan, regions))
    before, told = ids(), []
    first[1].AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: told.append(1))
    doubled = replace(tiny_analysis, aif=replace(tiny_analysis.aif, curve_hu=2 * tiny_analysis.aif.curve_hu))
    again = (*show_vessel_curves(doubled, scan), *show_tissue_curves(doubled, scan, regions))
    assert again == first
    assert ids() == before
    assert told
    np.testing.assert_array_equal(column(first[0], "aif_hu"), doubled.aif.curve_hu)


def test_tissue_curves_are_the_means_of_their_regions(tiny_analysis, scan):
    regions = brain_regions(tiny_analysis.brain)
    table, chart = show_tissue_curves(tiny_analysis, scan, regions)
    assert plotted(chart) == ["Brain", "Right half", "Left half"]
    for name, mask in regions.items():
        np.testing.assert_allclose(column(table, name), tiny_analysis.curves.mean(mask), rtol=1e-12)


def test_halves_are_the_patients_right_and_left(tiny_analysis):
    regions = brain_regions(tiny_analysis.brain)
    assert (regions["Right half"] | regions["Left half"]).sum() == regions["Brain"].sum()
    assert not (regions["Right half"] & regions["Left half"]).any()
    grid = tiny_analysis.brain.geometry
    x = [
        grid.origin_mm[0] + grid.axes[0, 0] * grid.spacing_mm[0] * np.nonzero(regions[name])[2].mean()
        for name in ("Right half", "Left half")
    ]
    assert x[0] < x[1], "x of LPS grows to the left"


def test_halves_follow_the_patient_on_a_turned_grid():
    turned = Geometry((4, 6, 2), (1.0, 1.0, 1.0), direction=(0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    left = brain_regions(Image(np.ones(turned.shape, dtype=bool), turned))["Left half"]
    assert left[:, :3].all()
    assert not left[:, 3:].any()


def test_voxel_at_a_point_in_ras():
    i, j, k = 4, 3, 2
    lps = OBLIQUE.origin_mm + OBLIQUE.axes @ (np.array([i, j, k]) * OBLIQUE.spacing_mm)
    mask = voxel_region(OBLIQUE, (-lps[0], -lps[1], lps[2]))["Voxel"]
    assert np.argwhere(mask).tolist() == [[k, j, i]]
    with pytest.raises(InputError, match=r"a voxel of .* is needed; found \(9000, 0, 0\) mm RAS"):
        voxel_region(OBLIQUE, (9000.0, 0.0, 0.0))


def test_curve_of_a_voxel_is_its_own_and_needs_no_array_as_large_as_the_scan(tiny_analysis, scan):
    """It follows the mouse: a mask of the whole volume for each move took 0.4 s of 320 slices."""
    grid = Geometry((256, 256, 64), (1.0, 1.0, 1.0))
    inside = np.random.default_rng(3).random(grid.shape) > 0.999
    places = np.argwhere(inside)
    weights = np.random.default_rng(4).normal(size=(len(places), tiny_analysis.curves.basis.shape[0]))
    rows, noise = weights.astype(np.float32), np.ones(len(places), np.float32)
    frames = np.broadcast_to(np.int16(40), (tiny_analysis.series.frames, *grid.shape))
    large = replace(
        tiny_analysis,
        series=replace(tiny_analysis.series, values=frames, geometry=grid),
        curves=Curves(rows, tiny_analysis.curves.basis, noise, inside),
    )
    table, _ = show_tissue_curves(large, scan, {"Voxel": inside})
    for row in (0, len(places) // 2, len(places) - 1):
        k, j, i = (float(value) for value in places[row])
        tracemalloc.start()
        show_voxel_curve(large, scan, (-i, -j, k))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 0.1 * inside.size
        np.testing.assert_allclose(column(table, "Voxel"), rows[row] @ large.curves.basis, rtol=1e-5, atol=1e-5)
    k, j, i = (float(value) for value in np.argwhere(~inside)[0])
    with pytest.raises(InputError, match="found none among 1"):
        show_voxel_curve(large, scan, (-i, -j, k))


def test_curve_of_a_voxel_outside_the_brain_is_refused(tiny_analysis, scan):
    outside = np.zeros(tiny_analysis.brain.values.shape, dtype=bool)
    outside[0, 0, 0] = True
    before = ids()
    with pytest.raises(InputError, match="Tissue curve 'Voxel': a voxel of the brain mask is needed; found none"):
        show_tissue_curves(tiny_analysis, scan, {"Voxel": outside})
    assert ids() == before


def test_segments_of_a_segmentation_are_regions(tiny_analysis, scan):
    segmentation = show_masks(tiny_analysis, scan, scan_volume(scan))
    regions = segment_regions(segmentation, scan_volume(scan))
    assert list(regions) == ["Brain", "AIF", "VOF", "CSF", "Large vessels", "Bone rim"]
    _, chart = show_tissue_curves(tiny_analysis, scan, regions)
    assert plotted(chart) == ["Brain", "AIF", "VOF", "CSF", "Large vessels", "Bone rim"]


def test_every_segment_has_a_curve_whatever_the_segments_are_called(tiny_analysis, scan):
    segmentation = show_masks(tiny_analysis, scan, scan_volume(scan))
    for identity, name in (("aif", "Vessel"), ("vof", "Vessel"), ("csf", "time_s")):
        segmentation.GetSegmentation().GetSegment(f"PyPeT_{identity}").SetName(name)
    regions = segment_regions(segmentation, scan_volume(scan))
    assert list(regions) == ["Brain", "Vessel", "Vessel 2", "time_s 2", "Large vessels", "Bone rim"]
    np.testing.assert_array_equal(regions["Vessel"], tiny_analysis.aif.mask.values)
    np.testing.assert_array_equal(regions["Vessel 2"], tiny_analysis.vof.mask.values)
    table, chart = show_tissue_curves(tiny_analysis, scan, regions)
    assert plotted(chart) == list(regions)
    np.testing.assert_array_equal(column(table, "time_s"), tiny_analysis.series.times_s)


def test_users_curve_is_read_from_numbers_by_name(tiny_analysis, scan):
    table, _ = show_vessel_curves(tiny_analysis, scan)
    curve = curve_from_table(table)
    np.testing.assert_array_equal(curve.times_s, tiny_analysis.series.times_s)
    np.testing.assert_array_equal(curve.hu, tiny_analysis.aif.curve_hu)
    np.testing.assert_array_equal(curve_from_table(table, "vof_hu").hu, tiny_analysis.vof.curve_hu)


def test_users_curve_is_read_from_pasted_text():
    table = pasted(["a", "b", "c", "d", "e"], ["0", "1.5", "3", "4.5", "6"], ["0", "1e1", "200", "30", "4"])
    curve = curve_from_table(table)
    assert (curve.times_s.tolist(), curve.hu.tolist()) == ([0, 1.5, 3, 4.5, 6], [0, 10, 200, 30, 4])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([["0", "1", "2", "3", "4"]], "two columns of numbers are needed.*found one \\(Column 1\\)"),
        ([["x"] * 5, ["y"] * 5], "found none"),
        ([["0", "1"], ["0", "1"]], "at least 5 points .* found 2\\. Give all points"),
        ([["0", "1", "2", "", "4"], ["0", "1", "2", "3", "4"]], "found 1 of 5 incomplete"),
        ([["0", "1", "1", "3", "4"], ["0", "1", "2", "3", "4"]], "must increase; found 1 s after 1 s in row 3"),
    ],
)
def test_users_curve_that_is_none_is_refused(columns, message):
    with pytest.raises(InputError, match=message):
        curve_from_table(pasted(*columns))


def test_a_deleted_table_is_refused():
    table = pasted(["0", "1", "2", "3", "4"], ["0", "1", "9", "3", "2"])
    slicer.mrmlScene.RemoveNode(table)
    for gone in (table, None):
        with pytest.raises(InputError, match="a table of the scene is needed; it was deleted"):
            curve_from_table(gone)


def test_no_table_is_refused():
    with pytest.raises(InputError, match="two columns"):
        curve_from_table(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode"))
