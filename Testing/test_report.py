"""Figures and report: right side, fixed colours, one safe page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import pickle
import re
import subprocess
import sys
from dataclasses import fields, replace
from importlib import resources

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from matplotlib.colors import to_hex, to_rgba

from PyPeTLib import InputError, Settings, report
from PyPeTLib.analysis import Maps, Volume
from PyPeTLib.beside import Reference
from PyPeTLib.checks import Check
from PyPeTLib.curves import peaks
from PyPeTLib.display import (
    CORE_COLOUR,
    HYPOPERFUSION_COLOUR,
    INVALID,
    MAP_LABELS,
    MAP_WINDOWS,
    brain_crop,
    printable,
    spread_slices,
)
from PyPeTLib.figures import (
    THEMES,
    Strip,
    colour_map,
    maps_figure,
    mark_invalid,
    png,
    reference_figure,
    sheet,
    svg,
    uncertainty_figure,
    webp,
)
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.lesion_facts import criterion_rows, lesion_conditions
from PyPeTLib.map_facts import LONG_NAMES
from PyPeTLib.methods import PUBLISHED
from PyPeTLib.orientation import pixel_aspect, radiological, slice_labels
from PyPeTLib.overlays import LESION_MAPS, highlighted, lesions_figure, vessels_figure
from PyPeTLib.plots import LEAST_MOTION, bolus_figure, curves_figure, motion_figure
from PyPeTLib.references import REFERENCES, references
from PyPeTLib.report import render, report_html
from PyPeTLib.report_facts import candidate_rows, key_numbers, lesion_note, vessel_rows, volume_rows
from PyPeTLib.report_pictures import FIGURES, drawings, former_figures, write_figures
from PyPeTLib.report_sections import Report, Section, Table, Text, report_sections
from PyPeTLib.report_viewer import viewer_data
from PyPeTLib.stages import aif_figure
from PyPeTLib.vessel_facts import candidate_facts, curve_facts

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=y> $x_{1$ \u202e\u05d0\u05d1\u05d2 \x07" + "n" * 300


@pytest.fixture(scope="module")
def page(tiny_analysis):
    return report_html(tiny_analysis)


@pytest.fixture(scope="module")
def hostile_page(tiny_analysis):
    checks = (
        Check("<u>fine</u>", "pass", "<b>a note</b>"),
        Check("one", "fail", "<i>bad</i>"),
        Check("two", "warn", "doubt & more"),
        Check("three", "not applicable", "none"),
    )
    settings = tiny_analysis.settings.changed({"bilateral_sigma_mm": Settings().bilateral_sigma_mm / 2})
    series = replace(tiny_analysis.series, name=HOSTILE, time_source="<u>times</u>")
    return report_html(replace(tiny_analysis, series=series, checks=checks, settings=settings, vof=None))


# Orientation


def test_left_lesion_is_on_the_right_side_of_the_picture(tiny_head):
    tmax = radiological(tiny_head.truth["tmax"].values, tiny_head.series.geometry)
    columns = np.nonzero(tmax > 8)[2]
    assert columns.min() > tmax.shape[2] / 2


def _turned(values, geometry, order, signs):
    """Store the same image with other grid axes: ``order[k]`` is the old axis that becomes axis k (x, y, z)."""
    arrays = np.transpose(values, [2 - order[2 - k] for k in range(3)])
    arrays = np.flip(arrays, [2 - k for k in range(3) if signs[k] < 0])
    axes = geometry.axes[:, order] * np.asarray(signs)
    size = tuple(geometry.size[k] for k in order)
    spacing = tuple(geometry.spacing_mm[k] for k in order)
    first = np.array([size[k] - 1 if signs[k] < 0 else 0 for k in range(3)]) * spacing
    origin = np.asarray(geometry.origin_mm) - axes @ first
    return arrays, Geometry(size, spacing, tuple(origin), tuple(axes.ravel()))


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)])
def test_picture_does_not_depend_on_how_the_grid_is_stored(order, signs):
    values = np.arange(24.0).reshape(2, 3, 4)
    geometry = Geometry((4, 3, 2), (0.9, 1.1, 8.0), (-3.0, 5.0, 20.0))
    turned, other = _turned(values, geometry, order, signs)
    np.testing.assert_array_equal(radiological(turned, other), values)
    assert pixel_aspect(other) == pytest.approx(1.1 / 0.9)
    assert slice_labels(other) == ["S 20 mm", "S 28 mm"]


def test_oblique_grid_is_shown_along_its_dominant_axes():
    angle = np.radians(25.0)
    tilt = (1.0, 0.0, 0.0, 0.0, np.cos(angle), -np.sin(angle), 0.0, np.sin(angle), np.cos(angle))
    values = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(radiological(values, Geometry((4, 3, 2), (1.0, 1.0, 5.0), direction=tilt)), values)


def test_radiological_keeps_leading_axes_and_copies_nothing(tiny_analysis):
    series = tiny_analysis.series
    shown = radiological(series.values, series.geometry)
    assert shown.shape[0] == series.frames
    assert np.shares_memory(shown, series.values)


def test_left_lesion_is_marked_on_the_right_side_of_every_picture(tiny_analysis):
    assert tiny_analysis.lesions.side == "left"
    tinted, *outlined = [axes for axes in lesions_figure(tiny_analysis).axes if axes.images]
    tiles = len([text for text in tinted.texts if text.get_text() == "L"])
    colours = [np.asarray(to_rgba(colour)) for colour in (HYPOPERFUSION_COLOUR, CORE_COLOUR)]
    late, core = (image.get_array() for image in tinted.images[1:])
    width = (late.shape[1] + 3) / tiles
    for layer, colour in ((late, colours[0]), (core, colours[1])):
        columns = np.nonzero(layer[..., 3])[1] % width
        assert columns.size and columns.min() > width / 2
        np.testing.assert_allclose(layer[layer[..., 3] > 0][0, :3], colour[:3])
    lines = [path for axes in outlined for found in axes.collections for path in found.get_paths()]
    corners = np.concatenate([path.vertices for path in lines])[:, 0] % width
    assert np.median(corners) > width / 2


# Figures


def test_windows_names_and_labels_exist_for_every_map():
    names = {entry.name for entry in fields(Maps)} - {"sd", "residue", "strength", "uncorrected"}
    assert set(MAP_WINDOWS) == set(MAP_LABELS) == set(LONG_NAMES) == names


def test_windows_do_not_depend_on_the_data(tiny_analysis):
    scaled = replace(tiny_analysis.maps.cbf, values=tiny_analysis.maps.cbf.values * 3)
    for analysis in (tiny_analysis, replace(tiny_analysis, maps=replace(tiny_analysis.maps, cbf=scaled))):
        images = [axes.images[0] for axes in maps_figure(analysis).axes if axes.images]
        assert [image.get_clim() for image in images] == [MAP_WINDOWS[name] for name, _ in analysis.maps.items()]


def test_standard_deviations_are_pictures_where_the_method_states_them(page, tiny_analysis):
    figure = uncertainty_figure(tiny_analysis)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert [image.get_clim() for image in images] == [(0.0, 30.0), (0.0, 3.0), (0.0, 7.5), (0.0, 6.0)]
    bare = replace(tiny_analysis, maps=replace(tiny_analysis.maps, sd={}))
    assert ["Uncertainty</h2>" in text for text in (page, report_html(bare))] == [True, False]


def test_outside_of_the_brain_is_black(tiny_analysis):
    image = next(axes.images[0] for axes in maps_figure(tiny_analysis).axes if axes.images)
    assert image.get_cmap()(np.ma.masked_invalid([np.nan]))[0].tolist() == [0, 0, 0, 1]


def test_maps_montage_marks_sides_and_method(tiny_analysis):
    figure = maps_figure(tiny_analysis)
    tiles = len(spread_slices(tiny_analysis.brain.values))
    marks = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert marks.count("R") == marks.count("L") == tiles * len(list(tiny_analysis.maps.items()))
    assert any("Bayesian, weak prior of MTT" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_what_is_written_above_pictures_stays_inside_them(tiny_analysis, tiles):
    strip = Strip("CBF", "s", [np.zeros((20, 20))] * tiles, (0.0, 1.0))
    note = "Perfusion maps · Bayesian, weak prior of MTT"
    figure = sheet("sub-01_ses-01_ctp", note, ["S 0 mm"] * tiles, [strip], 1.0)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert boxes[1].y0 > boxes[2].y1, "the note is above the heads"


def test_spread_slices_are_distinct_sorted_and_within_the_brain():
    brain = np.zeros((40, 4, 4), bool)
    brain[5:33] = True
    brain[4, 0, 0] = True
    chosen = spread_slices(brain, 8)
    assert len(set(chosen)) == 8
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (5, 32)
    assert spread_slices(brain[:6], 8) == [5]


def test_crop_holds_the_brain():
    brain = np.zeros((2, 20, 30), bool)
    brain[1, 0:5, 10:25] = True
    assert brain[(slice(None), *brain_crop(brain))].sum() == brain.sum()


def test_arterial_voxels_are_purple():
    grey = np.full((2, 2, 3), 0.5)
    red, green, blue = highlighted(grey, np.array([[True, False], [False, False]]))[0, 0]
    assert blue > red > green
    assert (grey == 0.5).all()


def test_curves_figure_shows_measured_scaled_and_fitted_curves(tiny_analysis):
    vessels, brain = curves_figure(tiny_analysis).axes
    labels = [line.get_label() for line in vessels.lines]
    lines = {label.split(",")[0]: line for label, line in zip(labels, vessels.lines, strict=True)}
    np.testing.assert_allclose(lines["AIF"].get_ydata(), tiny_analysis.aif.measured_hu)
    np.testing.assert_allclose(lines["VOF"].get_ydata(), tiny_analysis.vof.measured_hu)
    assert "gamma-variate fit" in lines
    assert f"bolus arrival {tiny_analysis.bolus.arrival_s:.1f} s" in [text.get_text() for text in vessels.texts]
    assert "HU" in vessels.get_ylabel()
    assert brain.get_xlabel() == "time in s"


def test_figures_manage_without_vein_fit_and_scaling(tiny_analysis):
    aif = replace(tiny_analysis.aif, fit=None, partial_volume_factor=1.0)
    bare = replace(tiny_analysis, vof=None, aif=aif)
    assert len(curves_figure(bare).axes[0].lines) == 2
    assert len(vessels_figure(bare).axes) == 3 < len(vessels_figure(tiny_analysis).axes)


def test_every_figure_bears_the_name_of_the_scan_and_what_it_is_for(tiny_analysis):
    """A picture is passed on without its page."""
    for name, one in drawings(tiny_analysis, Reference({"cbf": tiny_analysis.maps.cbf})).items():
        for theme in THEMES:
            figure = one.draw(theme)
            texts = [" ".join(text.get_text().split()) for text in figure.texts]
            assert texts[0] == tiny_analysis.series.name, name
            assert texts[1].endswith("research use only"), name
            paper, ink = figure.get_facecolor(), to_rgba(figure.texts[0].get_color())
            assert abs(sum(ink[:3]) - sum(paper[:3])) > 2, (name, theme)


def test_everything_of_an_invalid_run_says_so(tiny_analysis):
    """Pictures are passed on without their page, and pages of a print without the first."""
    run = replace(tiny_analysis, checks=(Check("one", "fail", "bad"),))
    for name, one in drawings(run, Reference({"cbf": run.maps.cbf})).items():
        for theme in THEMES if one.themed else ("light",):
            figure = one.draw(theme)
            title, paper = figure.texts[0], to_hex(figure.get_facecolor())
            assert title.get_text() == f"INVALID · {run.series.name}", name
            (fail,) = (colours["fail"] for colours in THEMES.values() if colours["paper"] == paper)  # maps are on black
            assert title.get_color() == fail, (name, theme)
            assert paper == THEMES[theme]["paper"] or not one.themed
    text, valid = (render(report_sections(one, {}, {"note": ""})) for one in (run, tiny_analysis))
    assert f"<title>INVALID: {run.series.name}" in text and '@bottom-left { content: "INVALID\\000020' in text
    assert "INVALID" not in valid
    assert [viewer_data(one, {})["invalid"] for one in (run, tiny_analysis)] == [INVALID, ""]


@pytest.mark.parametrize("tiles", [1, 2, 8])
def test_a_long_name_ends_before_its_figure(tiles):
    strip = Strip("CBF", "s", [np.zeros((20, 20))] * tiles, (0.0, 1.0))
    figure = sheet("sub-WMWM_" * 40, "note", ["S 0 mm"] * tiles, [strip], 1.0)
    for change in (lambda figure: figure, lambda figure: mark_invalid(figure)):
        title = change(figure).texts[0]
        figure.canvas.draw()
        assert title.get_window_extent().x1 <= figure.bbox.x1 and title.get_text().endswith("…")


def test_titles_of_files_hold_no_characters_that_are_none():
    figure = sheet("a\x00b", "c\x0bd \ud800", ["S 0 mm"], [Strip("CBF", "s", [np.zeros((20, 20))], (0.0, 1.0))], 1.0)
    for text in figure.texts[1:]:
        text.set_text("")  # what is drawn is another matter
    assert b"a?b: c d ? " in png(figure) and b"<title>a?b: c d ? " in svg(figure)


def test_lines_differ_by_more_than_their_colour(tiny_analysis):
    scaled = replace(tiny_analysis.aif, partial_volume_factor=1.1)
    figures = curves_figure(replace(tiny_analysis, aif=scaled)), motion_figure("scan", tiny_analysis.motion)
    for axes in (axes for figure in figures for axes in figure.axes):
        named = [line for line in axes.lines if not line.get_label().startswith("_")]
        looks = [(line.get_marker(), line._unscaled_dash_pattern) for line in named]
        assert len(looks) == len(set(map(str, looks))), [line.get_label() for line in named]
    assert max(len(figure.axes[0].lines) for figure in figures) >= 4


def test_letters_of_the_sides_have_a_rim(tiny_analysis):
    """Below those of a close-up there may be bone, as light as they are."""
    for figure in (vessels_figure(tiny_analysis), maps_figure(tiny_analysis)):
        letters = [text for axes in figure.axes for text in axes.texts if text.get_text() in ("R", "L")]
        assert letters and all(text.get_path_effects() for text in letters)


def test_names_of_curves_lie_above_them(tiny_analysis):
    """A scan that ends at the peak has curves in the corner where names usually are."""
    for figure in (
        curves_figure(tiny_analysis),
        aif_figure(tiny_analysis),
        motion_figure("scan", tiny_analysis.motion),
    ):
        figure.canvas.draw()
        legends = [(axes, axes.get_legend()) for axes in figure.axes if axes.get_legend()]
        assert legends
        for axes, legend in legends:
            box, names = axes.get_window_extent(), [text.get_window_extent() for text in legend.get_texts()]
            assert all(name.y0 > box.y1 and name.x1 < figure.bbox.x1 for name in names), figure.get_label()
            others = [text.get_window_extent() for text in figure.texts]
            others += [text.get_window_extent() for one in figure.axes if one is not axes for text in one.texts]
            assert not any(name.overlaps(other) for name in names for other in others), figure.get_label()


def test_no_picture_calls_maximum_slope_a_deconvolution(tiny_analysis):
    chosen = replace(tiny_analysis, settings=replace(tiny_analysis.settings, method="max-slope"))
    note = maps_figure(chosen).texts[1].get_text()
    assert note.startswith("Perfusion maps · Maximum slope over 4 s ·") and "deconvolution" not in note


def test_tiles_say_in_words_that_a_volume_is_not_known_and_keep_bounds_on_one_line(tiny_analysis):
    lesions, unknown = tiny_analysis.lesions, replace(tiny_analysis.lesions.volumes_ml["core"], ml=float("nan"))
    run = replace(tiny_analysis, lesions=replace(lesions, volumes_ml=dict(lesions.volumes_ml) | {"core": unknown}))
    tiles = report_sections(run, {}, {"note": ""}).sections[0].blocks[0].tiles
    assert (tiles[0].value, tiles[0].unit) == ("not known", "") and tiles[1].unit == "mL"
    shares = (Check("noise", "warn", "It ends at 39 % of it."),)
    page = render(report_sections(replace(tiny_analysis, checks=shares), {}, {"note": ""}))
    assert 'at <span class="whole">39 %</span> of' in page
    assert re.search(r'bounds <span class="whole">[\d.]+ – [\d.]+ mL</span></dd>', page)


def test_keys_name_as_many_maps_as_there_are(page, tiny_analysis):
    assert f"<kbd>1</kbd>–<kbd>{len(dict(tiny_analysis.maps.items()))}</kbd> map" in page


def test_outlines_of_lesions_differ_by_their_lines_and_have_a_rim(tiny_analysis):
    outlined = [axes for axes in lesions_figure(tiny_analysis).axes if len(axes.collections) > 1]
    assert len(outlined) == len(LESION_MAPS)
    for axes in outlined:
        looks = {
            to_hex(c.get_edgecolor()[0]): c.get_linestyle()[0][1] for c in axes.collections if len(c.get_edgecolor())
        }
        assert looks[HYPOPERFUSION_COLOUR] and looks[CORE_COLOUR] is None and looks["#000000"] is None


def test_places_of_vessels_have_a_scale_in_hu(tiny_analysis):
    axes = vessels_figure(tiny_analysis).axes
    peaks = [curve.measured_hu.max() for curve in (tiny_analysis.aif, tiny_analysis.vof)]
    scales = [[text.get_text() for text in one.texts if text.get_text() not in "RL"] for one in axes]
    rise = [["0", f"{peak:.0f} HU"] for peak in peaks]
    assert scales == [["0", "80 HU"], rise[0], [], ["0", "80 HU"], rise[1], []]
    for one in axes[:2]:
        (bar,) = one.child_axes
        assert bar.images[0].get_cmap().name == "gray"


def test_figures_do_not_touch_pyplot(tiny_analysis):
    code = (
        "import pickle, sys; from PyPeTLib.report import report_html; run = pickle.load(sys.stdin.buffer);"
        "assert 'matplotlib' not in sys.modules; report_html(run); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(tiny_analysis), check=True, timeout=60)


def test_same_figure_gives_the_same_bytes(tiny_analysis):
    assert png(curves_figure(tiny_analysis)) == png(curves_figure(tiny_analysis))


def test_figures_are_written_as_png_and_svg_of_the_same_bytes(tiny_analysis, tmp_path):
    names = sorted(drawings(tiny_analysis, None))
    assert names == sorted(["maps", "lesions", "uncertainty", "vessels", "curves", "bolus", "motion"])
    assert sorted(drawings(tiny_analysis, Reference(dict(tiny_analysis.maps.items())))) == sorted(FIGURES)
    write_figures(tiny_analysis, tmp_path, reference=None)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
    again = lesions_figure(tiny_analysis)
    assert png(again) == (tmp_path / "lesions.png").read_bytes()
    assert svg(again) == (tmp_path / "lesions.svg").read_bytes()
    assert former_figures(tmp_path) == set(files)
    title = f"{tiny_analysis.series.name}: Core red, solid line; hypoperfusion yellow, dashed"
    assert f"<title>{title}" in (tmp_path / "lesions.svg").read_text(encoding="utf-8")
    assert title.encode() in (tmp_path / "lesions.png").read_bytes()


def test_pictures_of_the_page_show_what_the_png_shows(tiny_analysis):
    from io import BytesIO

    from PIL import Image as Pillow

    figure = curves_figure(tiny_analysis)
    one, two = (np.asarray(Pillow.open(BytesIO(c)).convert("RGB")) for c in (png(figure), webp(figure, lossless=True)))
    np.testing.assert_array_equal(one, two)
    assert webp(figure, lossless=True) == webp(figure, lossless=True)
    assert svg(figure) == svg(figure)


def test_colours_of_choice_go_from_black_over_blue_and_green_to_red(tiny_analysis):
    red, green, blue = (colour_map("ASIST-like")(np.linspace(0, 1, 256))[:, k] for k in range(3))
    assert (red[0], green[0], blue[0]) == (0, 0, 0)
    assert np.argmax(blue) < np.argmax(green) < np.argmax(red)
    assert red[-1] > 0.7 and max(green[-1], blue[-1]) < 0.1
    chosen = replace(tiny_analysis, settings=Settings(colours="ASIST-like"))
    maps = [axes.images[0].get_cmap().name for axes in maps_figure(chosen).axes if axes.images]
    assert set(maps) == {"ASIST-like"}
    even = [axes.images[0].get_cmap().name for axes in maps_figure(tiny_analysis).axes if axes.images]
    assert set(even) == {"inferno", "viridis"}


def test_reference_maps_are_shown_inside_the_brain_in_the_same_window(tiny_analysis):
    cbf = tiny_analysis.maps.cbf
    figure = reference_figure(tiny_analysis, {"cbf": Image(np.full(cbf.values.shape, 30.0), cbf.geometry)})
    (image,) = [axes.images[0] for axes in figure.axes if axes.images]
    assert image.get_clim() == MAP_WINDOWS["cbf"]
    assert set(np.unique(image.get_array().compressed())) == {30.0} and image.get_array().mask.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "s"}, "mL/100 g/min are needed; found s"),
        ({"geometry": Geometry((64, 64, 4), (1.0, 1.0, 10.0))}, "the grid of the scan is needed"),
    ],
)
def test_reference_of_another_unit_or_grid_is_refused(tiny_analysis, change, message):
    with pytest.raises(InputError, match=message):
        report_html(tiny_analysis, reference=Reference({"cbf": replace(tiny_analysis.maps.cbf, **change)}))


def test_reference_of_an_unknown_name_is_refused(tiny_analysis):
    with pytest.raises(InputError, match="names among cbf, cbv, mtt, tmax, ttp, delay are needed; found x"):
        report_html(tiny_analysis, reference=Reference({"x": tiny_analysis.maps.cbf}))


def test_bolus_figure_shows_measure_threshold_and_arrival(tiny_analysis):
    (axes,) = bolus_figure(tiny_analysis).axes
    curves = [np.asarray(line.get_ydata()) for line in axes.lines]
    assert any(np.array_equal(curve, tiny_analysis.bolus.signal) for curve in curves)
    assert any(set(curve) == {tiny_analysis.bolus.threshold} for curve in curves)
    assert f"bolus arrival {tiny_analysis.bolus.arrival_s:.1f} s" in [text.get_text() for text in axes.texts]


def test_motion_of_a_still_head_is_not_blown_up(tiny_analysis):
    for axes in motion_figure("scan", tiny_analysis.motion).axes:
        low, high = axes.get_ylim()
        assert low <= -LEAST_MOTION and high >= LEAST_MOTION


def test_the_largest_motion_of_the_skull_is_inside_the_figure(tiny_analysis):
    still = tiny_analysis.motion
    moved = replace(still, displacement_mm=np.linspace(0.0, 22.6, still.times_s.size))
    shift, _ = motion_figure("scan", moved).axes
    assert shift.get_ylim()[1] > 22.6


def test_what_published_thresholds_and_bounds_are_is_said_where_there_are_any(tiny_analysis):
    lesions, default = tiny_analysis.lesions, Settings()
    assert "truncated deconvolution" in lesion_note(lesions, default) and "within 6" in lesion_note(lesions, default)
    assert "truncated deconvolution" not in lesion_note(lesions, Settings(method="bSVD"))
    assert "truncated deconvolution" not in lesion_note(lesions, Settings(lesion_rule="own"))
    plain = replace(lesions, volumes_ml={name: Volume(one.ml) for name, one in lesions.volumes_ml.items()})
    assert "Bounds" not in lesion_note(plain, default) and "Research use only" in lesion_note(plain, default)


def test_printable_names_are_short_and_known_to_the_font():
    assert printable("sub-01_ses-01_ctp") == "sub-01_ses-01_ctp"
    assert printable("a\nb\u05d0") == "a?b?"
    assert len(printable("n" * 300)) == 60


# Page


def test_hostile_names_are_escaped(hostile_page):
    assert re.findall(r"<script[^>]*>", hostile_page) == [
        '<script type="application/json" id="viewer-data">',
        "<script>",
    ]
    assert "<img src=x" not in hostile_page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile_page
    assert "&lt;b&gt;a note&lt;/b&gt;" in hostile_page
    assert "&lt;u&gt;times&lt;/u&gt;" in hostile_page


def test_page_loads_nothing_and_runs_nothing_but_its_own_script(page):
    bare = re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(
        r"https?://|javascript:|\bon\w+=|url\(|@import|<iframe|<link(?! rel=\"icon\" href=\"data:)| style=|\beval\b",
        bare,
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html.unescape(bare))[1].split("; ")
    for kind in ("style", "script"):
        (source,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert {"default-src 'none'", "img-src data:", "connect-src 'none'"} < set(policy)
    assert "unsafe" not in "".join(policy)


def test_every_place_of_the_page_has_a_name_of_its_own(page):
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names)) > 20


def test_script_has_fewer_lines_than_were_allowed():
    script = resources.files("PyPeTLib") / "templates" / "viewer.js"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 300 and max(map(len, lines)) <= 150


def test_page_is_small(page):
    assert len(page.encode()) < 3_000_000


def test_page_is_the_same_every_time(page, tiny_analysis):
    assert report_html(tiny_analysis) == page


def test_alternative_texts_say_what_pictures_show(page, tiny_analysis):
    texts = dict(re.findall(r'<img src="[^"]+" alt="([^".]+)\. ([^"]*)"', html.unescape(page)))
    lesions, curves = tiny_analysis.lesions, (tiny_analysis.aif, tiny_analysis.vof)
    volumes = [f"{name} {lesions.volumes_ml[name.lower()].ml:.1f} mL" for name in ("Core", "Hypoperfusion")]
    lesion = f"{volumes[0]}, {volumes[1].lower().replace('ml', 'mL')}, on the patient's left"
    assert lesion in texts["Perfusion maps"] and lesion in texts["Core and hypoperfusion"]
    for row in key_numbers(tiny_analysis.maps, tiny_analysis.tissue):
        assert f"{row.short} {row.median} ({row.quartiles}) {row.unit}" in texts["Perfusion maps"]
        assert f"{row.short} {row.voxel_sd}" in texts["Uncertainty"] or not row.voxel_sd
    for name, curve in zip(("AIF", "VOF"), curves, strict=True):
        peak_s = tiny_analysis.series.times_s[curve.measured_hu.argmax()]
        assert f"{name}, measured, rises to {curve.measured_hu.max():.3g} HU at {peak_s:.1f} s" in texts["Curves"]
        assert f"of {curve.mask.values.sum()} voxels in slice" in texts["Place of the vessels"]
    assert f"{tiny_analysis.bolus.rise_hu:.0f} HU" in texts["Bolus"]
    assert f"{tiny_analysis.motion.displacement_mm.max():.1f} mm at most" in texts["Motion"]
    little = replace(tiny_analysis, lesions=replace(lesions, hypoperfusion=None))
    assert "Core and hypoperfusion are not known" in drawings(little, None)["maps"].shows()
    given = drawings(tiny_analysis, Reference({"cbf": tiny_analysis.maps.cbf}))["reference"].shows()
    assert f"CBF {key_numbers(tiny_analysis.maps, tiny_analysis.tissue)[0].median} mL/100 g/min" in given


def test_reference_maps_are_in_the_order_of_ours(tiny_analysis):
    maps = tiny_analysis.maps
    given = Reference({name: getattr(maps, name) for name in ("tmax", "mtt", "cbf")})  # files come by their names
    said = drawings(tiny_analysis, given)["reference"].shows()
    assert said.index("CBF") < said.index("MTT") < said.index("Tmax")


def test_tables_have_captions_and_every_head_a_name(page):
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    tables = re.findall(r"<table.*?</table>", bare, re.S)
    assert len(tables) > 8 and all(re.search(r"<caption[^>]*>[^<]+</caption>", table) for table in tables)
    assert all('<th scope="row"' in table for table in tables if 'id="values"' not in table)
    assert not re.search(r"<th[^>]*></th>", bare)


def test_checks_come_first_worst_first_and_in_words(hostile_page):
    labels = re.findall(r'class="check (\w+)"><b>(\w+)</b> <span><i>(\w+)</i>', hostile_page)
    assert labels == [("fail", "Fail", "one"), ("warn", "Warning", "two")]
    assert "1 of 4 checks passed" in hostile_page
    everything = re.findall(r'<span class="[a-z-]+">([\w ]+)</span></td><td class="text">([^<]*)</td>', hostile_page)
    found = ["&lt;i&gt;bad&lt;/i&gt;", "doubt &amp; more", "&lt;b&gt;a note&lt;/b&gt;", "none"]
    assert everything == list(zip(("Fail", "Warning", "Pass", "Not applicable"), found, strict=True))
    headings = re.findall(r"<h2[^>]*>([^<]+)", hostile_page)
    assert headings[:4] == ["Volumes, criteria and findings", "Key numbers", "Step by step", "Perfusion maps"]


def test_volumes_and_criteria_are_shown_with_what_they_are_not_for(page, tiny_analysis):
    section = html.unescape(page[page.index('id="title-result"') : page.index('id="title-numbers"')])
    assert "Research use only" in section and "Tmax above 6 s" in section
    for row in (*volume_rows(tiny_analysis.lesions), *criterion_rows(tiny_analysis.lesions)):
        assert all(cell in section for cell in row)


def test_a_page_without_doubts_says_so(page, tiny_analysis):
    good = tuple(check for check in tiny_analysis.checks if check.status == "pass")
    assert len(good) < len(tiny_analysis.checks) and "raised no doubt" not in page
    assert "raised no doubt" in report_html(replace(tiny_analysis, checks=good))


def test_candidates_are_listed_with_confidence_side_and_measures(page, hostile_page, tiny_analysis):
    arterial, venous = candidate_rows(tiny_analysis)
    assert len(arterial.rows) == len(tiny_analysis.aif.candidates) > 1 < len(venous.rows)
    best, facts = arterial.rows[0], candidate_facts(tiny_analysis.aif.candidates[0])
    assert best[1:4] == (f"{facts['confidence']:.2f}", facts["side"], f"{facts['peak_hu']:.0f}")
    assert float(venous.rows[0][1]) == pytest.approx(tiny_analysis.vof.candidates[0].area_ratio, abs=0.005)
    assert all(
        row[0] == "refused" for row, one in zip(arterial.rows, tiny_analysis.aif.candidates, strict=True) if one.refused
    )
    for row in (*arterial.rows, *venous.rows):
        assert "".join(f'<td class="text">{cell}</td>' for cell in row) in page
    assert "Venous candidates" not in hostile_page


def test_what_a_candidate_lacks_is_a_dash(tiny_analysis):
    bare = replace(tiny_analysis.aif.candidates[0], fit=None, traits=None, confidence=float("nan"))
    artery = replace(tiny_analysis.aif, candidates=(bare,))
    (row,) = candidate_rows(replace(tiny_analysis, aif=artery))[0].rows
    assert row[1:3] == ("–", "–") and row[4:9] == ("–",) * 5


def joined(page):
    """Return a page without what keeps a browser from beginning a new line within a name."""
    return re.sub('<span class="whole">(.*?)</span>', r"\1", page)


def test_page_holds_methods(page, tiny_analysis):
    from markupsafe import escape

    paragraphs = tiny_analysis.methods_text.split("\n\n")
    assert [one.split()[0] for one in paragraphs[1:]] == ["The", "Core:"], "curves, maps and lesions"
    for paragraph in paragraphs:
        assert f'<p class="prose">{escape(paragraph)}</p>' in joined(page)


def test_no_line_of_the_page_ends_within_a_name(page):
    """As "RAPID-" and "like": a hyphen and a slash let a browser begin a new line."""
    texts = re.sub(r"<(script|style|details|table).*?</\1>|<[^>]*(alt|aria-label)=[^>]*>", "", page, flags=re.DOTALL)
    for name in ("RAPID-like", "κ/ρ"):
        assert texts.count(f'<span class="whole">{name}</span>') == texts.count(name) > 0
    assert ".whole { white-space: nowrap; }" in page


def test_a_name_that_holds_together_is_escaped():
    from PyPeTLib.report import _unbroken

    assert str(_unbroken("<b>X-like & κ/ρ")) == (
        '&lt;b&gt;<span class="whole">X-like</span> &amp; <span class="whole">κ/ρ</span>'
    )


def test_the_page_holds_version_and_research_use(page):
    from PyPeTLib import __version__

    assert f"PyPeT {__version__}" in page
    assert "Research use only" in page


def test_page_states_versions_and_the_hash_of_the_voxels(page, tiny_analysis):
    import scipy

    values = tiny_analysis.raw.values
    digest = hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()
    assert digest == tiny_analysis.raw.sha256
    assert digest in page and f"scipy {scipy.__version__}" in page
    other = values.copy()
    other[-1, -1, -1, -1] += 1
    assert replace(tiny_analysis.raw, values=other).sha256 != digest


def test_hash_does_not_depend_on_how_voxels_lie_in_memory(tiny_analysis):
    raw = tiny_analysis.raw
    turned = np.asfortranarray(raw.values).astype(raw.values.dtype.newbyteorder(">"))
    assert replace(raw, values=turned).sha256 == raw.sha256


def test_methods_cite_what_ran_and_nothing_else(page, tiny_analysis):
    from markupsafe import escape

    cited = references(tiny_analysis.methods_text)
    for name in ("Baker and Matthews 2004", "Mendrik 2011", "Mouridsen 2006", "Boutelier 2012", "Albers 2018"):
        assert REFERENCES[name] in cited and f"<li>{escape(REFERENCES[name])}</li>" in page
    assert REFERENCES["Wu 2003"] not in cited


def test_everything_that_methods_may_cite_has_a_reference():
    from PyPeTLib import methods

    texts = [*methods.DENOISING.values(), *methods.DECONVOLUTION.values(), *methods.BRAIN.values(), *PUBLISHED.values()]
    cited = {name for text in texts for name in re.findall(r"[A-ZÖ]\w+ \d{4}", text)}
    assert cited and cited <= set(REFERENCES)


def test_sections_of_any_report_share_the_template():
    table = Table((("Scan", "name"), ("Core", "number")), (("<one>", "3"), ("two", "–")), name="All")
    page = render(Report("a set", "1", (Section("all", "Everything", (table, Text("why", ("because",)))),)))
    assert '<th scope="row">&lt;one&gt;</th><td class="number">3</td>' in page
    assert '<h2 id="title-all">Everything</h2>' in page and "<li>because</li>" in page


def test_volumes_have_one_decimal_and_ratios_two(tiny_analysis):
    for name, value, bounds, unit in volume_rows(tiny_analysis.lesions):
        digits = 1 if unit == "mL" else 2
        for number in (value, *bounds.split(" – ")):
            assert number in ("", "–") or len(number.partition(".")[2]) == digits, name


def test_changed_settings_are_listed_with_their_default(page, hostile_page):
    assert "All settings have their default." in page
    default = Settings().bilateral_sigma_mm
    changed = hostile_page.split("<summary>All settings")[0]
    cells = f'<td class="text">{default / 2} mm</td><td class="text">{default} mm</td>'
    assert f"<code>bilateral_sigma_mm</code></th>{cells}" in changed


def test_a_changed_setting_without_effect_is_told(tiny_analysis):
    run = replace(tiny_analysis, settings=Settings(bsvd_cutoff=0.2, bilateral_sigma_mm=5.0))
    changed = report_html(run).split("<summary>All settings")[0]
    assert "are cut; no effect with method=bayesian</td>" in changed and changed.count("no effect with") == 1


def test_key_numbers_are_medians_over_the_brain(tiny_analysis):
    maps, brain = tiny_analysis.maps, tiny_analysis.brain
    row = key_numbers(maps, brain)[0]
    assert float(row.median) == pytest.approx(np.nanmedian(maps.cbf.values[brain.values]), rel=5e-3)
    assert (row.short, row.unit) == ("CBF", "mL/100 g/min")
    sd = np.nanmedian(maps.sd["cbf"].values[brain.values])
    assert float(row.voxel_sd.removeprefix("± ")) == pytest.approx(sd, rel=0.05)
    assert key_numbers(maps, brain)[3].voxel_sd == ""


def test_numbers_of_the_page_have_minus_signs_and_no_negative_zero(page, tiny_analysis):
    """Settings stay as they are typed."""
    shape = tiny_analysis.brain.values.shape
    early, none = (Image(np.full(shape, s, np.float32), tiny_analysis.brain.geometry, "s") for s in (-1.26, -0.04))
    other = report_html(replace(tiny_analysis, maps=replace(tiny_analysis.maps, delay=early, tmax=none)))
    for text in (page, other):
        shown = re.sub(r"<(script|style)\b.*?</\1>|<section id=.section-settings.*?</section>", "", text, flags=re.S)
        assert not re.search(r"(?<=[>\s(])-\d", re.sub(r"<[^>]*", "<", shown))
    assert "−1.3 – −1.3" in other
    assert "0.0 – 0.0" in other and "−0.0" not in other


def test_what_numbers_depend_on_stands_beside_them(tiny_analysis):
    changes = {"tissue_density_g_ml": 1.1, "hematocrit_large": 0.4, "hematocrit_small": 0.2, "normal_tmax_s": 3.5}
    changes |= {"smallest_lesion_ml": 2.5, "vessel_margin_mm": 1.5, "both_sides_share": 0.25, "both_sides_ml": 12.0}
    settings = tiny_analysis.settings.changed({**changes, "late_probability": 0.85})
    text = joined(report_html(replace(tiny_analysis, settings=settings)))
    sections = {
        key: " ".join(text.split(f'id="section-{key}"')[1].split("</section>")[0].split())
        for key in ("result", "numbers")
    }
    assert "κ/ρ = 0.682 mL/g: hematocrit factor κ = 0.750 (hematocrit 0.4 in large" in sections["numbers"]
    assert "0.2 in small ones), density of tissue ρ = 1.1 g/mL." in sections["numbers"]
    for part in ("less than 2.5 mL", "at least 0.85", "within 1.5 mm", "at most 3.5 s", "has 25 % of", "and 12 mL."):
        assert part in sections["result"], part
    assert "probability" not in lesion_conditions(Settings(method="bSVD"))


def test_map_without_values_has_a_dash(tiny_analysis):
    empty = replace(tiny_analysis.maps.mtt, values=np.full_like(tiny_analysis.maps.mtt.values, np.nan))
    row = key_numbers(replace(tiny_analysis.maps, mtt=empty), tiny_analysis.brain)[2]
    assert (row.short, row.median) == ("MTT", "–")


def test_missing_packages_are_named(monkeypatch, tiny_analysis):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert not report.report_available()
    with pytest.raises(InputError, match=r"missing: jinja2\. Run: python -m pip install jinja2\."):
        report_html(tiny_analysis)


PAIRS = [(ink, paper) for ink in ("ink", "quiet", "accent") for paper in ("paper", "card")]
PAIRS += [(ink, f"{word}-card") for word in ("fail", "warn", "pass") for ink in ("ink", word)]
PAIRS += [(word, "paper") for word in ("fail", "warn", "pass")]


@pytest.mark.parametrize("theme", [0, 1, 2])
@pytest.mark.parametrize(("ink", "paper"), PAIRS)
def test_text_has_the_contrast_of_wcag_aa(page, theme, ink, paper):
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", re.findall(r":root \{(.*?)\}", page, re.DOTALL)[theme]))
    light, dark = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize(("ink", "paper"), [("#eceef0", "#181b1f"), ("#a3abb4", "#000000")])
def test_text_in_the_viewer_has_the_contrast_of_wcag_aa(page, ink, paper):
    assert ink in page and (paper in page or "background: #000;" in page)
    assert (_luminance(ink) + 0.05) / (_luminance(paper) + 0.05) >= 4.5


def _luminance(colour):
    channels = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_the_name_on_printed_pages_is_text_whatever_it_holds():
    page = render(Report('a"; } </style><script>x()</script>\\ é', "1.0", ()))
    style = page[page.index("<style>") : page.index("</style>")]
    assert r'content: "a\000022\00003b\000020\00007d\000020\00003c\00002fstyle' in style and "0000e9" in style
    assert "<script>x()" not in page and r"Research\000020use" in style


def test_peaks_of_the_vessels_are_at_one_time_on_page_in_summary_and_in_checks(tiny_analysis):
    """Between frames, as TTP has it: the page had that of the highest frame, the summary that of the fit."""
    rows = {name: values for name, *values in vessel_rows(tiny_analysis)}
    for text, curve in zip(rows["Time to peak"], (tiny_analysis.aif, tiny_analysis.vof), strict=True):
        facts = curve_facts(curve, tiny_analysis)
        assert text == f"{facts['peak_s']:.1f} s ({facts['time_to_peak_s']:.1f} s after arrival)"
        place = peaks(curve.measured_hu[np.newaxis])[0, 1]
        assert facts["peak_s"] == pytest.approx(place, abs=1e-9), "a frame every second, from 0 s"
    check = next(one for one in tiny_analysis.checks if one.name == "AIF before tissue")
    artery_s = curve_facts(tiny_analysis.aif, tiny_analysis)["peak_s"]
    assert check.text.startswith(f"The arterial curve peaks at {artery_s:.3g} s")
