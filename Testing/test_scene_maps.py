"""Maps in the scene, on real nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from scene_cases import (
    ids,
    scene,  # noqa: F401 (a fixture)
)

from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import Check
from PyPeTLib.derive import derived_maps
from PyPeTLib.display import MAP_WINDOWS
from PyPeTLib.geometry import Image
from PyPeTScene.maps import FLOW_TABLE, RAINBOW_TABLE, TIME_TABLE, colour_table, map_label, map_window, show_maps
from PyPeTScene.nodes import image_values, node_geometry
from PyPeTScene.series import sequence_from_series
from PyPeTScene.study import show_analysis

pytestmark = pytest.mark.usefixtures("scene")


@pytest.fixture
def scan(scene, tiny_analysis):  # noqa: F811
    return sequence_from_series(tiny_analysis.series, "scan")[0]


def legend(volume):
    displays = [volume.GetNthDisplayNode(k) for k in range(volume.GetNumberOfDisplayNodes())]
    return next(node for node in displays if node.IsA("vtkMRMLColorLegendDisplayNode"))


def shown_rgba(volume):
    """What a slice view gets: RGBA after window, colours and threshold."""
    producer = volume.GetDisplayNode().GetImageDataConnection().GetProducer()
    producer.Update()
    return image_values(producer.GetOutputDataObject(0))


def test_maps_are_volumes_on_the_scans_grid(tiny_analysis: Analysis, scan):
    shown = show_maps(tiny_analysis, scan)
    images = {**dict(tiny_analysis.maps.items()), **dict(tiny_analysis.maps.companions())}
    assert list(shown) == [*MAP_WINDOWS, "cbf_sd", "cbv_sd", "mtt_sd", "delay_sd"]
    for name, image in images.items():
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(shown[name]), image.values.astype(np.float32))
        assert node_geometry(shown[name]) == image.geometry


@pytest.mark.parametrize(("name", "colours"), [(FLOW_TABLE, "inferno"), (TIME_TABLE, "viridis")])
@pytest.mark.usefixtures("scene")
def test_colour_tables_are_those_of_the_report(name, colours):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    table = colour_table(name)
    found = np.zeros((256, 4))
    for k in range(256):
        rgba = [0.0] * 4
        table.GetColor(k, rgba)
        found[k] = rgba
    np.testing.assert_allclose(found, matplotlib.colormaps[colours](np.arange(256)), atol=6 / 255)


def test_colours_of_choice_are_those_of_the_report():
    figures = pytest.importorskip("PyPeTLib.figures", reason="matplotlib is not installed")
    table, wanted = colour_table(RAINBOW_TABLE), figures.colour_map("ASIST-like")(np.arange(256))
    rgba = [0.0] * 4
    for k in range(256):
        table.GetColor(k, rgba)
        np.testing.assert_allclose(rgba, wanted[k], atol=1.5 / 255)


def test_a_choice_of_colours_reaches_maps_that_are_shown_but_not_a_table_of_the_users_own(tiny_analysis, scan):
    shown = show_maps(tiny_analysis, scan)
    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "mine")
    shown["cbv"].GetDisplayNode().SetAndObserveColorNodeID(own.GetID())
    chosen = replace(tiny_analysis, settings=tiny_analysis.settings.changed({"colours": "ASIST-like"}))
    used = {name: node.GetDisplayNode().GetColorNode().GetName() for name, node in show_maps(chosen, scan).items()}
    assert used == {name: "mine" if name == "cbv" else RAINBOW_TABLE for name in shown}


def test_a_table_that_was_deleted_is_made_again(tiny_analysis, scan):
    slicer.mrmlScene.RemoveNode(show_maps(tiny_analysis, scan)["cbf"].GetDisplayNode().GetColorNode())
    assert show_maps(tiny_analysis, scan)["cbf"].GetDisplayNode().GetColorNode() is not None


def test_two_colour_tables_serve_all_maps_and_are_found_by_name(tiny_analysis, scan):
    shown = show_maps(tiny_analysis, scan)
    used = {name: node.GetDisplayNode().GetColorNode().GetName() for name, node in shown.items()}
    assert used == {name: FLOW_TABLE if name.startswith("cb") else TIME_TABLE for name in shown}
    assert slicer.mrmlScene.GetNodesByClassByName("vtkMRMLColorTableNode", FLOW_TABLE).GetNumberOfItems() == 1
    assert not colour_table(FLOW_TABLE).GetHideFromEditors()


def test_a_display_that_was_deleted_is_made_again_and_its_legend_stays(tiny_analysis, scan):
    volume = show_maps(tiny_analysis, scan)["cbf"]
    former = legend(volume)
    slicer.mrmlScene.RemoveNode(volume.GetVolumeDisplayNode())
    assert volume.GetDisplayNode() is former, "which Slicer takes for the display of the volume"
    show_maps(tiny_analysis, scan)
    assert volume.GetVolumeDisplayNode().GetColorNode().GetName() == FLOW_TABLE
    assert volume.GetVolumeDisplayNode().GetWindowLevelMax() == map_window("cbf")[1]
    assert legend(volume) is former and former.GetPrimaryDisplayNode() is volume.GetVolumeDisplayNode()
    assert volume.GetNumberOfDisplayNodes() == 2


def test_window_is_fixed(tiny_analysis, scan):
    for name, node in show_maps(tiny_analysis, scan).items():
        display = node.GetDisplayNode()
        low, high = MAP_WINDOWS[name.removesuffix("_sd")]
        expected = (0.0, 0.5 * high) if name.endswith("_sd") else (low, high)
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == expected
        assert not display.GetAutoWindowLevel()


def test_no_value_is_hidden_and_only_nan_is_transparent(tiny_analysis, scan):
    for node in show_maps(tiny_analysis, scan).values():
        alpha = shown_rgba(node)[..., 3]
        missing = np.isnan(slicer.util.arrayFromVolume(node))
        np.testing.assert_array_equal(alpha, np.where(missing, 0, 255))


def test_low_and_high_values_get_first_and_last_colour(tiny_analysis, scan):
    node = show_maps(tiny_analysis, scan)["tmax"]
    values, colours = slicer.util.arrayFromVolume(node), shown_rgba(node)
    assert (values <= 0).any()
    assert (values >= 12).any()
    for chosen, place in ((values <= 0, 0), (values >= 12, 255)):
        rgba = [0.0] * 4
        colour_table(TIME_TABLE).GetColor(place, rgba)
        assert np.abs(colours[chosen][:, :3] / 255.0 - rgba[:3]).max() < 0.01


def test_legend_names_the_unit(tiny_analysis, scan):
    shown = show_maps(tiny_analysis, scan)
    assert legend(shown["cbf"]).GetTitleText() == "CBF [mL/100 g/min]"
    assert legend(shown["tmax"]).GetTitleText() == "Tmax [s]"


def test_description_names_method_and_cut_off(tiny_analysis, scan):
    invalid = Check("bolus arrival", "fail", "Contrast in the first frame.")
    analysis = replace(tiny_analysis, checks=(invalid,))
    text = show_maps(analysis, scan)["cbf"].GetDescription()
    assert "cerebral blood flow in mL/100 g/min; deconvolution bayesian, mtt_prior weak" in text
    assert text.endswith("INVALID: Contrast in the first frame.")


def test_description_states_the_resolution(tiny_analysis, scan):
    blurred = replace(
        tiny_analysis,
        curves=replace(tiny_analysis.curves, resolution_mm=6.0),
        settings=tiny_analysis.settings.changed({"map_smoothing_mm": 8.0 / np.sqrt(8.0 * np.log(2.0))}),
        derived={"cbf_smooth": tiny_analysis.maps.cbf},
    )
    shown = show_maps(blurred, scan)
    assert "; resolution 6.0 mm (FWHM). Research use only." in shown["cbf"].GetDescription()
    assert "; resolution 10.0 mm (FWHM). Research use only." in shown["cbf_smooth"].GetDescription()
    unknown = replace(blurred, curves=replace(blurred.curves, resolution_mm=None))
    assert "; resolution not known. Research use only." in show_maps(unknown, scan)["cbf"].GetDescription()


def test_next_apply_updates_the_same_volumes(tiny_analysis, scan):
    first, before = show_maps(tiny_analysis, scan), ids()
    doubled = replace(tiny_analysis.maps, cbf=replace(tiny_analysis.maps.cbf, values=2 * tiny_analysis.maps.cbf.values))
    first["cbf"].GetDisplayNode().SetWindowLevelMinMax(0, 200)
    again = show_maps(replace(tiny_analysis, maps=doubled), scan)
    assert again == first
    assert ids() == before
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again["cbf"]), doubled.cbf.values.astype(np.float32))
    assert again["cbf"].GetDisplayNode().GetWindowLevelMax() == 200, "the user's window is kept"


def test_another_scan_gets_maps_of_its_own(tiny_analysis, scan):
    other = sequence_from_series(tiny_analysis.series, "other")[0]
    one, two = show_maps(tiny_analysis, scan), show_maps(tiny_analysis, other)
    assert not set(one.values()) & set(two.values())


def test_derived_maps_are_shown_and_removed_when_they_are_no_more(tiny_analysis, scan):
    show_analysis(tiny_analysis, scan)
    before = ids()
    settings = tiny_analysis.settings.changed({"map_smoothing_mm": 5.0, "normalise": "brain-mean"})
    derived = derived_maps(tiny_analysis.maps, tiny_analysis.brain, settings=settings)
    delay = Image(tiny_analysis.maps.tmax.values, tiny_analysis.brain.geometry, "s")
    more = replace(tiny_analysis, derived=derived, maps=replace(tiny_analysis.maps, delay=delay))
    assert set(show_analysis(more, scan).maps) == {*dict(more.maps.items()), *dict(more.maps.companions()), *derived}
    assert {map_label(name) for name in derived} >= {"CBF smooth", "CBF relative"}
    show_analysis(tiny_analysis, scan)
    assert ids() == before
