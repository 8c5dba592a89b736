"""Figures and report: right side, fixed colours, one safe page that needs nothing else."""

from __future__ import annotations

import html
import pickle
import re
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from PyPeTLib import InputError, Settings, report
from PyPeTLib.display import MAP_LABELS, MAP_WINDOWS, brain_crop, printable, spread_slices
from PyPeTLib.figures import (
    artery_figure,
    curves_figure,
    highlighted,
    maps_figure,
    png,
    uncertainty_figure,
)
from PyPeTLib.orientation import pixel_aspect, radiological, slice_labels
from PyPeTLib.records import Check, Geometry, Maps
from PyPeTLib.report import MAP_NAMES, candidate_rows, key_numbers, report_html, volume_rows
from PyPeTLib.results import candidate_facts, criterion_rows

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


# Figures


def test_windows_names_and_labels_exist_for_every_map():
    names = {entry.name for entry in fields(Maps)} - {"sd", "residue", "strength", "uncorrected"}
    assert set(MAP_WINDOWS) == set(MAP_LABELS) == set(MAP_NAMES) == names


def test_windows_do_not_depend_on_the_data(tiny_analysis):
    scaled = replace(tiny_analysis.maps.cbf, values=tiny_analysis.maps.cbf.values * 3)
    for analysis in (tiny_analysis, replace(tiny_analysis, maps=replace(tiny_analysis.maps, cbf=scaled))):
        images = [axes.images[0] for axes in maps_figure(analysis).axes if axes.images]
        assert [image.get_clim() for image in images] == [MAP_WINDOWS[name] for name, _ in analysis.maps.items()]


def test_standard_deviations_are_pictures_where_the_method_states_them(tiny_analysis):
    figure = uncertainty_figure(tiny_analysis)
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert [image.get_clim() for image in images] == [(0.0, 30.0), (0.0, 3.0), (0.0, 7.5), (0.0, 6.0)]
    bare = replace(tiny_analysis, maps=replace(tiny_analysis.maps, sd={}))
    assert ["Uncertainty</h2>" in report_html(run) for run in (tiny_analysis, bare)] == [True, False]


def test_outside_of_the_brain_is_black(tiny_analysis):
    image = next(axes.images[0] for axes in maps_figure(tiny_analysis).axes if axes.images)
    assert image.get_cmap()(np.ma.masked_invalid([np.nan]))[0].tolist() == [0, 0, 0, 1]


def test_maps_montage_marks_sides_and_method(tiny_analysis):
    figure = maps_figure(tiny_analysis)
    tiles = len(spread_slices(tiny_analysis.brain.values))
    marks = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert marks.count("R") == marks.count("L") == tiles * len(list(tiny_analysis.maps.items()))
    assert any("Bayesian, weak prior of MTT" in text.get_text() for text in figure.texts)


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
    assert len(png(artery_figure(bare))) > 5000


def test_figures_do_not_touch_pyplot(tiny_analysis):
    code = (
        "import pickle, sys; from PyPeTLib.report import report_html; run = pickle.load(sys.stdin.buffer);"
        "assert 'matplotlib' not in sys.modules; report_html(run); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(tiny_analysis), check=True, timeout=60)


def test_same_figure_gives_the_same_bytes(tiny_analysis):
    assert png(curves_figure(tiny_analysis)) == png(curves_figure(tiny_analysis))


def test_printable_names_are_short_and_known_to_the_font():
    assert printable("sub-01_ses-01_ctp") == "sub-01_ses-01_ctp"
    assert printable("a\nb\u05d0") == "a?b?"
    assert len(printable("n" * 300)) == 60


# Page


def test_hostile_names_are_escaped(hostile_page):
    assert "<script" not in hostile_page
    assert "<img src=x" not in hostile_page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile_page
    assert "&lt;b&gt;a note&lt;/b&gt;" in hostile_page
    assert "&lt;u&gt;times&lt;/u&gt;" in hostile_page


def test_page_loads_nothing_and_runs_nothing(page):
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(
        r"https?://|<script|javascript:|\bon\w+=|url\(|@import|<iframe|<link(?! rel=\"icon\" href=\"data:)", bare
    )
    assert "default-src 'none'" in bare


def test_page_is_small(page):
    assert len(page.encode()) < 3_000_000


def test_page_is_the_same_every_time(page, tiny_analysis):
    assert report_html(tiny_analysis) == page


def test_checks_come_first_worst_first_and_in_words(hostile_page):
    labels = re.findall(r'class="check (\w+)"><b>(\w+)</b> <span><i>(\w+)</i>', hostile_page)
    assert labels == [("fail", "Fail", "one"), ("warn", "Warning", "two")]
    assert "1 of 4 checks passed" in hostile_page
    others = re.findall(r'<td class="[a-z-]+">([\w ]+)</td><td>([^<]*)</td>', hostile_page)
    assert others[:2] == [("Pass", "&lt;b&gt;a note&lt;/b&gt;"), ("Not applicable", "none")]
    headings = re.findall(r"<h2[^>]*>([^<]+)", hostile_page)
    assert headings[:4] == ["Quality checks", "Key numbers", "Lesions", "Perfusion maps"]


def test_volumes_and_criteria_are_shown_with_what_they_are_not_for(page, tiny_analysis):
    section = html.unescape(page[page.index('id="lesions"') : page.index('id="picture-1"')])
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
        assert "".join(f"<td>{cell}</td>" for cell in row) in page
    assert "Venous candidates" not in hostile_page


def test_what_a_candidate_lacks_is_a_dash(tiny_analysis):
    bare = replace(tiny_analysis.aif.candidates[0], fit=None, traits=None, confidence=float("nan"))
    artery = replace(tiny_analysis.aif, candidates=(bare,))
    (row,) = candidate_rows(replace(tiny_analysis, aif=artery))[0].rows
    assert row[1:3] == ("–", "–") and row[4:9] == ("–",) * 5


def test_page_holds_methods_version_and_research_use(page, tiny_analysis):
    from markupsafe import escape

    from PyPeTLib import __version__

    assert str(escape(tiny_analysis.methods_text)) in page
    assert f"PyPeT {__version__}" in page
    assert "Research use only" in page


def test_changed_settings_are_listed_with_their_default(page, hostile_page):
    assert "All settings have their default." in page
    default = Settings().bilateral_sigma_mm
    changed = hostile_page.split("<summary>All settings")[0]
    assert f"<code>bilateral_sigma_mm</code></th><td>{default / 2} <" in changed
    assert f"<td>{default} <" in changed


def test_key_numbers_are_medians_over_the_brain(tiny_analysis):
    maps, brain = tiny_analysis.maps, tiny_analysis.brain
    row = key_numbers(maps, brain)[0]
    assert float(row.median) == pytest.approx(np.nanmedian(maps.cbf.values[brain.values]), rel=5e-3)
    assert (row.short, row.unit) == ("CBF", "mL/100 g/min")
    sd = np.nanmedian(maps.sd["cbf"].values[brain.values])
    assert float(row.voxel_sd.removeprefix("± ")) == pytest.approx(sd, rel=0.05)
    assert key_numbers(maps, brain)[3].voxel_sd == ""


def test_map_without_values_has_a_dash(tiny_analysis):
    empty = replace(tiny_analysis.maps.mtt, values=np.full_like(tiny_analysis.maps.mtt.values, np.nan))
    row = key_numbers(replace(tiny_analysis.maps, mtt=empty), tiny_analysis.brain)[2]
    assert (row.short, row.median) == ("MTT", "–")


def test_missing_packages_are_named(monkeypatch, tiny_analysis):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert not report.report_available()
    with pytest.raises(InputError, match=r"missing: jinja2.*pip install 'PyPeTLib\[report\]'"):
        report_html(tiny_analysis)


PAIRS = [("ink", "paper"), ("quiet", "paper"), ("accent", "paper")] + [
    (ink, f"{word}-card") for word in ("fail", "warn", "pass") for ink in ("ink", word)
]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(("ink", "paper"), PAIRS)
def test_text_has_the_contrast_of_wcag_aa(page, theme, ink, paper):
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", re.findall(r":root \{(.*?)\}", page, re.DOTALL)[theme]))
    light, dark = sorted((_luminance(colours[ink]), _luminance(colours[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(colour):
    channels = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
