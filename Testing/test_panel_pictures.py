"""What the views show, looked at pixel by pixel: colours, sides, segments, charts; no stored pictures."""

from __future__ import annotations

import os
from xml.etree import ElementTree

import numpy as np
import panel_cases
import pytest
import slice_views
from slicer_double import fixtures

dialogs, load, scene, slicer_app = fixtures.dialogs, fixtures.load, fixtures.scene, fixtures.slicer_app
applied, panel, scan = panel_cases.applied, panel_cases.panel, panel_cases.scan
pytestmark = pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")  # VTK with numpy 2.5
#: Views are this many pixels wide and high, without their bars.
SIDE = 300


@pytest.fixture
def screen(applied, dialogs):
    import slicer

    reason = slice_views.missing()
    if reason:
        (pytest.fail if os.environ.get("PYPET_NO_SKIP") else pytest.skip)(reason)
    drawn = slice_views.Screen(slicer.app.layoutManager(), (SIDE, SIDE))
    yield drawn
    drawn.close()
    assert not dialogs.errors()


def show(applied, screen, step: int, columns: int, rows: int = 1) -> None:
    """Press the button of a step on a screen with room for so many views."""
    gaps = slice_views.GAP * (columns - 1), slice_views.GAP * (rows - 1)
    screen.resize((columns * SIDE + gaps[0], rows * (SIDE + slice_views.BAR) + gaps[1]))
    getattr(applied.ui, f"stage{step}Button").click()


def seen(mask, view: str) -> np.ndarray:
    """Return which pixels of a slice view show voxels of a mask (an Image), shape (row, column)."""
    import slicer

    node = slicer.app.layoutManager().sliceWidget(view).mrmlSliceNode()
    matrix = node.GetXYToRAS()
    to_ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    width, height, _ = node.GetDimensions()
    y, x = np.mgrid[height - 1 : -1 : -1, 0:width]
    ras = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1) @ to_ras.T
    place = mask.geometry
    offset = ras[..., :3] * (-1, -1, 1) - place.origin_mm
    i, j, k = np.moveaxis(np.rint(offset @ place.axes / place.spacing_mm).astype(int), -1, 0)
    inside = (i >= 0) & (j >= 0) & (k >= 0) & (i < place.size[0]) & (j < place.size[1]) & (k < place.size[2])
    shown = np.zeros(inside.shape, dtype=bool)
    shown[inside] = np.asarray(mask.values)[k[inside], j[inside], i[inside]]
    return shown


def saturation(picture) -> np.ndarray:
    return np.ptp(picture.astype(int), axis=-1)


def middle(picture: np.ndarray) -> np.ndarray:
    """Return the part of a view in which neither letters nor names nor legends stand."""
    return picture[int(0.15 * SIDE) : int(0.9 * SIDE), int(0.1 * SIDE) : int(0.78 * SIDE)]


@pytest.mark.parametrize("view", ["PyPeT1", "PyPeT2", "PyPeT3", "PyPeT4", "PyPeT5"])
def test_maps_are_coloured_in_the_brain_and_black_outside(applied, screen, view):
    from scipy.ndimage import binary_dilation, binary_erosion

    show(applied, screen, 6, 3, 2)
    picture, brain = screen.slice_picture(view), seen(applied.logic.analysis.brain, view)
    inside, outside = binary_erosion(brain, iterations=4), ~binary_dilation(brain, iterations=6)
    assert brain.mean() > 0.1
    assert (middle(saturation(picture))[middle(inside)] > 30).mean() > 0.9
    assert middle(outside).sum() > 1000
    assert not middle(picture)[middle(outside)].any()


def test_stroke_on_the_patients_left_is_on_the_right_of_the_picture(applied, screen, tiny_head):
    show(applied, screen, 6, 3, 2)
    picture = screen.slice_picture("PyPeT4").astype(int)
    late = (picture[..., 0] > 150) & (picture[..., 1] > 190) & (picture[..., 2] < 90)
    late[:, int(0.85 * picture.shape[1]) :] = False  # the legend
    columns = np.nonzero(late)[1] / picture.shape[1]
    assert tiny_head.options.lesion_side == "left"
    assert len(columns) > 50
    assert (columns > 0.5).mean() > 0.9


def test_arterial_input_is_purple_where_it_lies_and_nowhere_else(applied, screen):
    import slicer

    show(applied, screen, 5, 2)
    arteries = seen(applied.logic.analysis.aif.mask, "PyPeT1")
    assert arteries.any()
    assert (purple(screen.slice_picture("PyPeT1"))[arteries]).mean() > 0.6
    assert not purple(screen.slice_picture("PyPeT1"))[~grown(arteries)].any()
    slicer.mrmlScene.GetNodeByID(applied.logic.shown.segmentation).GetDisplayNode().SetVisibility(False)
    assert not purple(screen.slice_picture("PyPeT1")).any()


def purple(picture) -> np.ndarray:
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (blue > green + 40) & (red > green + 15) & (blue > red)


def grown(mask) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, iterations=4)


@pytest.mark.parametrize("view", ["PyPeT1", "PyPeT2", "PyPeT3", "PyPeT4", "PyPeT5"])
def test_every_map_has_its_legend(applied, screen, view):
    show(applied, screen, 6, 3, 2)
    assert len(legend_colours(applied, screen, view)) > 30


def test_enhancement_has_its_legend(applied, screen):
    show(applied, screen, 4, 3)
    assert len(legend_colours(applied, screen, "PyPeT1")) > 30


def test_legend_changes_with_the_map_that_is_shown(applied, screen):
    import slicer

    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    applied.ui.cbfButton.click()
    flow = legend_colours(applied, screen, "Red")
    applied.ui.tmaxButton.click()
    time = legend_colours(applied, screen, "Red")
    applied.ui.cbfButton.click()
    assert legend_colours(applied, screen, "Red") == flow
    assert len(flow) > 12
    assert len(time) > 12
    assert len(flow & time) < 0.2 * len(flow)


def legend_colours(applied, screen, view: str) -> set[tuple[int, int, int]]:
    """Return the colours that stand to the right of the brain."""
    picture, brain = screen.slice_picture(view), seen(applied.logic.analysis.brain, view)
    beside = np.arange(picture.shape[1]) > np.flatnonzero(brain.any(axis=0)).max() + 3
    return {tuple(map(int, colour)) for colour in picture[:, beside].reshape(-1, 3) if np.ptp(colour.astype(int)) > 25}


def test_raw_scan_follows_the_time_slider(applied, screen):
    import slicer

    for segmentation in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        segmentation.GetDisplayNode().SetVisibility(False)
    show(applied, screen, 1, 2)
    arteries = int(applied.logic.analysis.aif.measured_hu.argmax())
    applied.ui.frame.value = 0
    before = [screen.slice_picture(view).astype(int) for view in ("PyPeT1", "PyPeT2")]
    applied.ui.frame.value = arteries
    during = [screen.slice_picture(view).astype(int) for view in ("PyPeT1", "PyPeT2")]
    assert saturation(before[1]).max() < 120, "grey"
    assert (during[1] - before[1]).max() > 60


def test_chart_shows_every_curve_in_its_colour(applied, screen):
    import slicer

    show(applied, screen, 5, 2)
    chart = slicer.mrmlScene.GetNodeByID(applied.logic.shown.curves_chart)
    picture = slice_views.chart_picture(chart, (SIDE, SIDE))
    series = [chart.GetNthPlotSeriesNode(k) for k in range(chart.GetNumberOfPlotSeriesNodes())]
    colours = [tuple(round(255 * share) for share in node.GetColor()) for node in series]
    assert len(colours) == 4
    assert all(has_colour(picture, colour) for colour in colours)
    chart.RemovePlotSeriesNodeID(series[-1].GetID())
    assert not has_colour(slice_views.chart_picture(chart, (SIDE, SIDE)), colours[-1])


def has_colour(picture, colour) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(axis=-1) < 12).sum() > 20)


def test_layout_is_drawn_whole_with_its_chart(applied, screen):
    show(applied, screen, 5, 2)
    picture = screen.picture()
    assert picture.shape == (SIDE + slice_views.BAR, 2 * SIDE + slice_views.GAP, 3)
    assert (picture[slice_views.BAR :, SIDE + slice_views.GAP :] == slice_views.CHART_PAPER).all(axis=-1).mean() > 0.5
    np.testing.assert_array_equal(picture[slice_views.BAR :, :SIDE], screen.slice_picture("PyPeT1"))


def test_views_share_the_screen_evenly():
    rows = [["a", "b", "c"], ["d", "e"]]
    views = ["".join(f'<item><view class="v" singletontag="{name}"/></item>' for name in row) for row in rows]
    inner = "".join(f'<item><layout type="horizontal">{row}</layout></item>' for row in views)
    description = ElementTree.fromstring(f'<layout type="vertical" split="true">{inner}</layout>')
    places = [(place.name, place.left, place.top) for place in slice_views._places(description, (0, 0, 606, 406))]
    assert places == [("a", 0, 0), ("b", 204, 0), ("c", 408, 0), ("d", 0, 206), ("e", 306, 206)]


@pytest.mark.parametrize(("name", "letters"), [("Axial", "RL"), ("Sagittal", "AP"), ("Coronal", "RL")])
def test_letters_say_which_side_is_where(scene, name, letters):
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode")
    node.SetOrientation(name)
    node.UpdateMatrices()
    assert slice_views.edge_letters(node) == tuple(letters)
    node.GetSliceToRAS().SetElement(0, 0, 1.0)  # the letters follow the view, whatever its orientation
    node.UpdateMatrices()
    assert name != "Axial" or slice_views.edge_letters(node) == ("L", "R")
