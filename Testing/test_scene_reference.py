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

from PyPeTLib.analysis import Analysis
from PyPeTLib.cohort import compare_folders
from PyPeTLib.compare import compare_findings
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.lesion_facts import RESEARCH_USE
from PyPeTLib.lesions import find_lesions
from PyPeTLib.progress import silent
from PyPeTLib.results import write_analysis
from PyPeTLib.settings import Settings
from PyPeTLib.similarity import similarity, similarity_entries
from PyPeTLib.write import write_image
from PyPeTScene import reference
from PyPeTScene.nodes import find_node, node_geometry, put_values
from PyPeTScene.reference import NO_VESSELS, SIMILARITY, compare, map_image, show_similarity
from PyPeTScene.series import scan_volume, sequence_from_series
from PyPeTScene.study import FOLDER, show_analysis

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def scan(scene, tiny_analysis):  # noqa: F811
    return sequence_from_series(tiny_analysis.series, "scan")[0]


def shown(analysis, scan, name):
    """A map of a run in the scene, with all others of the run beside it."""
    return slicer.mrmlScene.GetNodeByID(show_analysis(analysis, scan).maps[name])


@pytest.fixture
def cbf(tiny_analysis, scan):
    return shown(tiny_analysis, scan, "cbf")


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


@pytest.fixture
def tmax(tiny_analysis, scan):
    """With the standard deviation of its delay beside it."""
    return shown(tiny_analysis, scan, "tmax")


@pytest.fixture
def same(tiny_analysis):
    """The same Tmax as another program writes it: 0 outside the brain, no standard deviation."""
    image = tiny_analysis.maps.tmax
    return volume(np.where(np.isfinite(image.values), image.values, 0.0), image.geometry, "same")


def with_regions(tmax, other, analysis, scan):
    return compare(tmax, other, analysis.brain, scan, tissue=analysis.tissue, vessels=analysis.vessels)


def by_value(analysis):
    """The lesions of a run whose delay has no standard deviation."""
    maps, plane = replace(analysis.maps, sd={}), analysis.lesions.midplane
    vessels, grid = analysis.vessels.values, analysis.brain.geometry
    return find_lesions(maps, analysis.tissue.values, vessels, plane, grid, settings=Settings())


def test_regions_of_tmax_are_those_of_the_run_and_of_the_library(tiny_analysis, scan, tmax, same):
    alone = by_value(tiny_analysis)
    result, table = with_regions(tmax, same, tiny_analysis, scan)
    assert [region.name for region in result.regions] == [f"Tmax > {s} s" for s in (4, 6, 8, 10)]
    for region, key in zip(result.regions, (f"tmax_over_{s}s" for s in (4, 6, 8, 10)), strict=True):
        assert region.ml == pytest.approx(tiny_analysis.lesions.volumes_ml[key].ml), "as the run says itself"
        assert region.reference_ml == pytest.approx(alone.volumes_ml[key].ml)
        ours, theirs = (one.regions[key] for one in (tiny_analysis.lesions, alone))
        overlap = 2.0 * (ours & theirs).sum() / max(1, ours.sum() + theirs.sum())
        assert region.dice == pytest.approx(overlap) or (region.ml == 0.0 and np.isnan(region.dice))
    assert result.regions[1].ml > 1.0
    assert any(region.ml != region.reference_ml for region in result.regions), "standard deviations count"
    assert "Regions of the map rest on the standard deviation of the delay" in table.GetDescription()
    cell = {metric: value for metric, value, _ in cells(table)}["Tmax > 6 s: Dice"]
    assert cell == result.regions[1].dice > 0.5
    whole, _ = compare(tmax, same, tiny_analysis.brain, scan)
    assert whole.regions[0].ml > result.regions[0].ml, "CSF and vessels are in the brain, not in the tissue"


def test_regions_are_those_of_pypet_compare(tiny_analysis, scan, tmax, same, tmp_path):
    """The same two maps as files: the same volumes and Dice to the last digit that a file keeps."""
    (tmp_path / "run").mkdir()
    write_analysis(tiny_analysis, tmp_path / "run", report=False)
    write_image(map_image(same), tmp_path / "x_tmax.nii.gz", missing=float("nan"))
    cohort = compare_folders(tmp_path / "run", [tmp_path / "x_tmax.nii.gz"], progress=silent)
    expected = {one.name: one for one in cohort.cases[0].findings.regions}
    result, _ = with_regions(tmax, same, tiny_analysis, scan)
    assert {one.name for one in result.regions} == set(expected)
    for one in result.regions:
        other = expected[one.name]
        assert (one.ml, one.reference_ml) == pytest.approx((other.ml, other.reference_ml), rel=1e-3)
        assert one.dice == pytest.approx(other.dice, rel=1e-3, nan_ok=True)


def test_without_standard_deviations_regions_are_by_value_and_that_is_said(tiny_analysis, scan, tmax, same):
    alone = by_value(tiny_analysis)
    slicer.mrmlScene.RemoveNode(find_node("map.delay_sd", scan))
    result, table = with_regions(tmax, same, tiny_analysis, scan)
    for region, key in zip(result.regions, (f"tmax_over_{s}s" for s in (4, 6, 8, 10)), strict=True):
        assert region.ml == region.reference_ml == pytest.approx(alone.volumes_ml[key].ml)
        assert region.dice == 1.0 or (region.ml == 0.0 and np.isnan(region.dice))
    assert "Regions are by the values of Tmax alone" in table.GetDescription()
    assert "Tissue that hardly any blood reaches" in table.GetDescription()
    assert {metric: value for metric, value, _ in cells(table)}["Tmax > 6 s: Dice"] == 1.0


def test_large_vessels_of_the_scene_are_handed_on(tiny_analysis, scan, tmax, same, monkeypatch):
    """Voxels of this head are too wide to show what they change; `find_lesions` has the tests of that."""
    handed = []

    def noted(pairs, tissue, midplane, **named):
        handed.append((tissue, named["vessels"]))
        return compare_findings(pairs, tissue, midplane, **named)

    monkeypatch.setattr(reference, "compare_findings", noted)
    with_regions(tmax, same, tiny_analysis, scan)
    np.testing.assert_array_equal(handed[0], (tiny_analysis.tissue.values, tiny_analysis.vessels.values))
    assert tiny_analysis.vessels.values.any()


def test_without_vessels_that_is_said(tiny_analysis, scan, tmax, same):
    known = with_regions(tmax, same, tiny_analysis, scan)[1].GetDescription()
    unknown = compare(tmax, same, tiny_analysis.brain, scan, tissue=tiny_analysis.tissue)[1].GetDescription()
    assert NO_VESSELS in unknown
    assert NO_VESSELS not in known


def test_a_reference_of_another_run_in_the_scene_has_its_own_standard_deviations(tiny_analysis, scan, tmax):
    other_scan = sequence_from_series(tiny_analysis.series, "other scan")[0]
    other = slicer.mrmlScene.GetNodeByID(show_analysis(tiny_analysis, other_scan).maps["tmax"])
    result, table = with_regions(tmax, other, tiny_analysis, scan)
    for region, key in zip(result.regions, (f"tmax_over_{s}s" for s in (4, 6, 8, 10)), strict=True):
        assert region.ml == region.reference_ml == pytest.approx(tiny_analysis.lesions.volumes_ml[key].ml)
    assert "standard deviation of the delay, too, in both maps" in table.GetDescription()


def test_a_copy_of_a_map_has_not_the_standard_deviations_beside_the_original(tiny_analysis, scan, tmax):
    """The user keeps a copy, and applies again: what is in the scene then is of the later run."""
    copy = volume(map_image(tmax).values, tiny_analysis.brain.geometry, "copy", "s")
    copy.SetAttribute("PyPeT.Role", "map.tmax")
    copy.SetNodeReferenceID("PyPeT.Scan", scan.GetID())
    _, table = with_regions(tmax, copy, tiny_analysis, scan)
    assert "those of the reference are by the values of Tmax alone" in table.GetDescription()


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
