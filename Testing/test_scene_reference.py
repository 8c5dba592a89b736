"""A map beside a reference map, on real nodes."""

from __future__ import annotations

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
from PyPeTLib.lesions import find_lesions
from PyPeTLib.records import Analysis, Geometry, Image
from PyPeTLib.results import RESEARCH_USE
from PyPeTLib.settings import Settings
from PyPeTLib.similarity import similarity, similarity_entries
from PyPeTScene import reference
from PyPeTScene.nodes import find_node, node_geometry, put_values
from PyPeTScene.reference import SIMILARITY, compare, map_image, show_similarity
from PyPeTScene.series import scan_volume, sequence_from_series
from PyPeTScene.study import FOLDER, show_analysis

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def scan(scene, tiny_analysis):  # noqa: F811
    return sequence_from_series(tiny_analysis.series, "scan")[0]


@pytest.fixture
def cbf(tiny_analysis, scan):
    """The map of a run in the scene."""
    return slicer.mrmlScene.GetNodeByID(show_analysis(tiny_analysis, scan).maps["cbf"])


@pytest.fixture
def vendor(tiny_analysis):
    """Another program's map of the same brain: a third higher, 0 outside its mask, on a grid without a margin."""
    image = tiny_analysis.maps.cbf
    return volume(np.where(np.isfinite(image.values), image.values * 4 / 3, 0.0), image.geometry, "vendor")


def volume(values, geometry=OBLIQUE, name="a map", unit="", class_name="vtkMRMLScalarVolumeNode"):
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, name)
    put_values(node, np.asarray(values), geometry)
    if unit:
        node.SetAttribute("PyPeT.Unit", unit)
    return node


def some_values(geometry=OBLIQUE):
    return np.random.default_rng(0).uniform(10.0, 90.0, geometry.shape)


def moving(*nodes, degrees=20.0, shift=(5.0, -3.0, 2.0), scale=1.0):
    """Put volumes under a linear transform; return it."""
    movement = vtk.vtkTransform()
    movement.Translate(*shift)
    movement.RotateWXYZ(degrees, 0.3, 0.2, 0.9)
    movement.Scale(scale, 1.0, 1.0)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "movement")
    transform.SetMatrixTransformToParent(movement.GetMatrix())
    for node in nodes:
        node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def bending(node):
    spline = vtk.vtkThinPlateSplineTransform()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def cells(table):
    content = table.GetTable()
    columns = [content.GetColumn(c) for c in range(content.GetNumberOfColumns())]
    return [tuple(column.GetValue(r) for column in columns) for r in range(content.GetNumberOfRows())]


def without_nan(rows):
    return [tuple("missing" if cell != cell else cell for cell in row) for row in rows]


# Volumes


def test_a_map_keeps_values_grid_and_unit():
    node = volume(some_values(), unit="s")
    found = map_image(node)
    np.testing.assert_array_equal(found.values, some_values())
    assert (found.geometry, found.unit) == (OBLIQUE, "s")
    assert map_image(volume(some_values())).unit == ""


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_a_linear_transform_moves_the_grid_as_hardening_does(scale):
    node, hardened = volume(some_values()), volume(some_values())
    moving(node, hardened, scale=scale)
    hardened.HardenTransform()
    assert hardened.GetParentTransformNode() is None
    assert map_image(node).geometry.matches(node_geometry(hardened))
    assert not map_image(node).geometry.matches(OBLIQUE)
    assert node_geometry(node) == OBLIQUE, "the node itself stays"


def test_transforms_above_the_transform_count():
    node, hardened = volume(some_values()), volume(some_values())
    above = moving(degrees=-35.0)
    for one in (node, hardened):
        moving(one).SetAndObserveTransformNodeID(above.GetID())
    hardened.HardenTransform()
    assert map_image(node).geometry.matches(node_geometry(hardened))


def test_a_volume_under_a_bending_transform_is_refused():
    node = volume(some_values(), name="bent")
    bending(node)
    with pytest.raises(InputError, match=r"Reference bent: .*linear.* is needed; found bend.*Harden the transform"):
        map_image(node, "Reference")


def test_labels_are_refused():
    node = volume(np.ones(OBLIQUE.shape, np.uint8), name="labels", class_name="vtkMRMLLabelMapVolumeNode")
    with pytest.raises(InputError, match=r"Map labels: .* one measured number a voxel is needed; found labels"):
        map_image(node)


@pytest.mark.parametrize("class_name", ["vtkMRMLVectorVolumeNode", "vtkMRMLScalarVolumeNode"])
def test_pictures_in_colour_are_refused(class_name):
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, "picture")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    with pytest.raises(InputError, match=r"Map picture: .* is needed; found 3 numbers a voxel.*Select the map itself"):
        map_image(node)


def test_nothing_and_other_nodes_are_refused():
    with pytest.raises(InputError, match=r"Map: a volume .* is needed; found none"):
        map_image(None)
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    with pytest.raises(InputError, match="found numbers, a Table"):
        map_image(table)
    with pytest.raises(InputError, match="voxels are needed; found none"):
        map_image(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


# Comparison


def test_a_map_of_the_scene_is_compared_with_a_vendors(tiny_analysis: Analysis, cbf, vendor, scan):
    result, table = compare(cbf, vendor, tiny_analysis.brain, scan)
    expected = similarity(
        tiny_analysis.maps.cbf, Image(slicer.util.arrayFromVolume(vendor), tiny_analysis.brain.geometry)
    )
    assert result.voxels == expected.voxels == np.isfinite(tiny_analysis.maps.cbf.values).sum()
    assert result.ncc == pytest.approx(1.0)
    assert result.relative.mae == pytest.approx(0.0, abs=1e-6)
    assert result.physical.unit == "mL/100 g/min"
    assert result.physical.bias == pytest.approx(-result.mean / 3, rel=1e-5)
    assert find_node(SIMILARITY, scan) is table


def test_the_table_has_text_and_numbers(cbf, vendor, tiny_analysis, scan):
    result, table = compare(cbf, vendor, tiny_analysis.brain, scan)
    assert without_nan(cells(table)) == without_nan(similarity_entries(result))
    assert [table.GetTable().GetColumnName(c) for c in range(3)] == ["Metric", "Value", "Unit"]
    assert table.GetTable().GetColumn(1).IsA("vtkDoubleArray")
    assert table.GetName() == "scan similarity"
    assert table.GetDescription().startswith(f"{cbf.GetName()} compared with vendor. ")
    assert "The reference does not tell its unit; mL/100 g/min is assumed." in table.GetDescription()


def test_regions_of_tmax_are_those_of_the_library(tiny_analysis, scan):
    tmax = slicer.mrmlScene.GetNodeByID(show_analysis(tiny_analysis, scan).maps["tmax"])
    image, by_value = tiny_analysis.maps.tmax, replace(tiny_analysis.maps, sd={})
    tissue, plane = tiny_analysis.tissue.values, tiny_analysis.lesions.midplane
    lesions = find_lesions(by_value, tissue, None, plane, image.geometry, settings=Settings())
    same = volume(np.where(np.isfinite(image.values), image.values, 0.0), image.geometry, "same")
    result, table = compare(tmax, same, tiny_analysis.brain, scan, tissue=tiny_analysis.tissue)
    assert [region.name for region in result.regions] == [f"Tmax > {s} s" for s in (4, 6, 8, 10)]
    for region, key in zip(result.regions, (f"tmax_over_{s}s" for s in (4, 6, 8, 10)), strict=True):
        assert region.ml == region.reference_ml == pytest.approx(lesions.volumes_ml[key].ml)
        assert region.dice == 1.0 or (region.ml == 0.0 and np.isnan(region.dice))
    assert result.regions[1].ml > 1.0
    assert "Regions are by the values of Tmax alone" in table.GetDescription()
    assert {metric: value for metric, value, _ in cells(table)}["Tmax > 6 s: Dice"] == 1.0
    whole, _ = compare(tmax, same, tiny_analysis.brain, scan)
    assert whole.regions[0].ml > result.regions[0].ml, "CSF and vessels are in the brain, not in the tissue"


def test_other_maps_have_no_regions(cbf, vendor, tiny_analysis, scan):
    assert compare(cbf, vendor, tiny_analysis.brain, scan)[0].regions == ()


def test_the_table_says_that_the_reference_was_resampled(cbf, tiny_analysis, scan):
    image = tiny_analysis.maps.cbf
    grid, (x, y, z) = image.geometry, image.geometry.size
    mm = (*grid.spacing_mm[:2], grid.spacing_mm[2] / 2)
    other = volume(np.repeat(np.nan_to_num(image.values), 2, axis=0), Geometry((x, y, 2 * z), mm, grid.origin_mm))
    _, table = compare(cbf, other, tiny_analysis.brain, scan)
    assert f"The reference is on another grid, {x}×{y}×{2 * z} voxels" in table.GetDescription()
    assert "averaged over voxels" in table.GetDescription()


def test_the_table_lies_in_the_scans_folder(cbf, vendor, tiny_analysis, scan):
    _, table = compare(cbf, vendor, tiny_analysis.brain, scan)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folders = [hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (table, cbf)]
    assert folders[0] == folders[1]
    assert hierarchy.GetItemAttribute(folders[0], FOLDER) == "1"


def test_what_is_not_defined_is_nan_in_the_table_and_explained(scan):
    grid = Geometry((4, 4, 1), (1.0, 1.0, 5.0))
    flat = Image(np.full(grid.shape, 3.0), grid)
    table = show_similarity(similarity(flat, flat), scan)
    values = {metric: value for metric, value, _ in cells(table)}
    assert np.isnan(values["NCC"])
    assert values["MAE"] == 0.0
    assert "NCC and Spearman need maps that vary; constant: image and reference." in table.GetDescription()


def test_only_the_brain_is_compared(cbf, vendor, tiny_analysis, scan):
    half = tiny_analysis.brain.values.copy()
    half[..., half.shape[-1] // 2 :] = False
    result, _ = compare(cbf, vendor, Image(half, tiny_analysis.brain.geometry), scan)
    assert result.voxels == (half & np.isfinite(tiny_analysis.maps.cbf.values)).sum()


def test_without_a_brain_mask_the_maps_say_where_they_are(cbf, vendor, tiny_analysis, scan):
    result, _ = compare(cbf, vendor, None, scan)
    assert result.voxels == np.isfinite(tiny_analysis.maps.cbf.values).sum()
    assert result.coverage == 1.0


def test_the_table_is_for_research_only(cbf, vendor, tiny_analysis, scan):
    result, table = compare(cbf, vendor, tiny_analysis.brain, scan)
    assert RESEARCH_USE in table.GetDescription()
    assert RESEARCH_USE in show_similarity(result, scan).GetDescription()


def test_next_comparison_updates_the_same_table(cbf, vendor, tiny_analysis, scan):
    _, table = compare(cbf, vendor, tiny_analysis.brain, scan)
    before = ids()
    again, same = compare(vendor, cbf, tiny_analysis.brain, scan)
    assert same is table
    assert ids() == before
    assert without_nan(cells(table)) == without_nan(similarity_entries(again))


def test_a_transform_of_the_scan_moves_map_and_brain_alike(cbf, vendor, tiny_analysis, scan):
    expected, _ = compare(cbf, vendor, tiny_analysis.brain, scan)
    moving(scan_volume(scan), cbf, vendor)
    found, _ = compare(cbf, vendor, tiny_analysis.brain, scan)
    assert found.voxels == expected.voxels
    assert found.coverage == pytest.approx(expected.coverage)
    assert found.physical.mae == pytest.approx(expected.physical.mae, rel=1e-5)


def test_a_reference_is_compared_where_it_lies(cbf, vendor, tiny_analysis, scan):
    """The head in the reference lay elsewhere, and a registration brings it back."""
    expected, _ = compare(cbf, vendor, tiny_analysis.brain, scan)
    back = moving(vendor)
    vendor.HardenTransform()
    moved, _ = compare(cbf, vendor, tiny_analysis.brain, scan)
    assert moved.ncc < 0.9
    back.Inverse()
    vendor.SetAndObserveTransformNodeID(back.GetID())
    found, _ = compare(cbf, vendor, tiny_analysis.brain, scan)
    assert found.physical.rmse == pytest.approx(expected.physical.rmse, rel=1e-3)


def test_the_proxy_volume_stands_for_the_scan(cbf, vendor, tiny_analysis, scan):
    _, table = compare(cbf, vendor, tiny_analysis.brain, scan_volume(scan))
    assert find_node(SIMILARITY, scan) is table


# All or nothing


def test_a_map_is_not_compared_with_itself(cbf, tiny_analysis, scan):
    before = ids()
    with pytest.raises(InputError, match=r"two volumes are needed; found .* twice"):
        compare(cbf, cbf, tiny_analysis.brain, scan)
    assert ids() == before


def test_a_comparison_that_fails_leaves_no_table(cbf, tiny_analysis, scan):
    far = volume(some_values(), name="far")
    far.SetOrigin(1e4, 0.0, 0.0)
    before = ids()
    with pytest.raises(InputError, match="found none in common"):
        compare(cbf, far, tiny_analysis.brain, scan)
    with pytest.raises(InputError, match=r"Reference: a volume .* is needed; found none"):
        compare(cbf, None, tiny_analysis.brain, scan)
    assert ids() == before


def test_an_error_while_showing_restores_the_table(cbf, vendor, tiny_analysis, scan, monkeypatch):
    _, table = compare(cbf, vendor, tiny_analysis.brain, scan)
    rows, description, before = without_nan(cells(table)), table.GetDescription(), ids()

    def failing(result, node):
        show_similarity(result, node)
        raise RuntimeError("broken")

    monkeypatch.setattr(reference, "show_similarity", failing)
    with pytest.raises(RuntimeError, match="broken"):
        compare(vendor, cbf, tiny_analysis.brain, scan)
    assert (without_nan(cells(table)), table.GetDescription(), ids()) == (rows, description, before)


def test_a_scan_that_was_removed_is_refused(cbf, vendor, tiny_analysis, scan):
    slicer.mrmlScene.RemoveNode(scan)
    before = ids()
    with pytest.raises(InputError, match="it must be in the scene"):
        compare(cbf, vendor, tiny_analysis.brain, scan)
    assert ids() == before
