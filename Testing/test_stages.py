"""The pictures of the steps: all there, none empty, and what they show is what was computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.image import imread
from PIL import Image as Pillow

from PyPeTLib import InputError
from PyPeTLib.checks import Check
from PyPeTLib.display import enhancement_volume
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.records import Curves
from PyPeTLib.stages import STAGES, contrast_figure, raw_figure, shown_frames, write_stages

NAMES = ["1_raw.png", "2_denoised.png", "3_mask.png", "4_contrast.png", "5_aif.png", "6_maps.png"]


@pytest.fixture(scope="module")
def folder(tiny_analysis, tmp_path_factory):
    out = tmp_path_factory.mktemp("stages")
    write_stages(tiny_analysis, out)
    return out


def test_every_stage_has_its_picture_and_nothing_else_is_left(folder):
    assert sorted(path.name for path in folder.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_not_empty(folder, name):
    picture = imread(folder / name)[..., :3]
    assert min(picture.shape[:2]) > 300
    assert (picture.max(axis=-1) > 0.3).mean() > 0.02
    assert len(np.unique(np.round(255 * picture) @ (1, 256, 65536))) > 40


def test_the_raw_picture_shows_the_scan_as_it_was_read_also_where_frames_were_left_out(tiny_analysis):
    raw, kept = tiny_analysis.raw, np.delete(np.arange(tiny_analysis.raw.frames), 3)
    numbered = np.broadcast_to(np.arange(raw.frames)[:, None, None, None], raw.values.shape)
    series = replace(raw, values=np.zeros_like(raw.values[kept]), times_s=raw.times_s[kept])
    aif = replace(tiny_analysis.aif, measured_hu=tiny_analysis.aif.measured_hu[kept])
    moved = replace(tiny_analysis, raw=replace(raw, values=numbered), series=series, aif=aif, vof=None)
    pictures = [np.ma.getdata(image.get_array()) for axes in raw_figure(moved).axes for image in axes.get_images()]
    seen = {float(value) for picture in pictures for value in np.unique(picture[np.isfinite(picture)])}
    assert seen == {float(kept[k]) for k in shown_frames(moved)}


def test_arterial_input_is_purple_in_its_picture(folder):
    red, green, blue = np.moveaxis(imread(folder / "5_aif.png")[..., :3], -1, 0)
    assert ((blue > 0.8) & (green < 0.5) & (red > 0.5)).sum() > 50


def test_pictures_of_an_invalid_run_say_so(tiny_analysis, tmp_path, folder):
    """They are passed on alone: nothing else tells that their maps are not to be trusted."""
    write_stages(replace(tiny_analysis, checks=(Check("one", "fail", "bad"),)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    for name in NAMES:
        titles = [Pillow.open(place / name).text["Title"] for place in (tmp_path, folder)]
        assert titles[0] == f"INVALID · {titles[1]}", name
        pixels = [imread(place / name)[..., :3] for place in (tmp_path, folder)]
        red = [((one[..., 0] > 0.8) & (one[..., 1] < 0.75))[: one.shape[0] // 20].sum() for one in pixels]
        assert red[0] > 100 > red[1], name


def test_a_folder_that_cannot_be_written_is_named(tiny_analysis, tmp_path, monkeypatch):
    monkeypatch.setattr("PyPeTLib.stages.STAGES", {"1_raw": raw_figure})
    with pytest.raises(InputError, match="1_raw"):
        write_stages(tiny_analysis, tmp_path / "absent")


def test_shown_times_name_arrival_and_peaks_in_order(tiny_analysis):
    frames, times = shown_frames(tiny_analysis), tiny_analysis.series.times_s
    assert list(frames) == sorted(frames)
    assert frames[int(tiny_analysis.aif.measured_hu.argmax())].endswith("arterial peak")
    assert frames[int(tiny_analysis.vof.measured_hu.argmax())].endswith("venous peak")
    arrival = next(frame for frame, text in frames.items() if text.endswith("arrival"))
    assert abs(times[arrival] - tiny_analysis.bolus.arrival_s) <= tiny_analysis.series.interval_s / 2


def test_shown_times_do_without_a_vein(tiny_analysis):
    assert any(text.endswith("late") for text in shown_frames(replace(tiny_analysis, vof=None)).values())


def test_enhancement_volume_is_one_frame_of_the_curves(tiny_analysis):
    mask = tiny_analysis.brain.values
    rows = np.random.default_rng(0).normal(0, 5, (mask.sum(), 7)).astype(np.float32)
    volume = enhancement_volume(Curves(rows, np.eye(7, dtype=np.float32), rows[:, 0], mask), 3)
    np.testing.assert_array_equal(volume[mask], rows[:, 3])
    assert not volume[~mask].any()


def test_titles_have_the_numbers_of_their_files(tiny_analysis):
    for name, draw in STAGES.items():
        assert draw(tiny_analysis).texts[1].get_text().startswith(f"{name[0]} · "), name


def test_a_scan_of_one_slice_can_be_shown(tiny_analysis):
    place = int(tiny_analysis.aif.mask.values.sum(axis=(1, 2)).argmax())
    grid = replace(tiny_analysis.series.geometry, size=(64, 64, 1))
    one = _one_slice(tiny_analysis, place, grid)
    for draw in STAGES.values():
        assert draw(one).axes


def test_contrast_picture_marks_the_shown_times(tiny_analysis):
    curve = contrast_figure(tiny_analysis).axes[-1]
    dots = next(line for line in curve.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), tiny_analysis.series.times_s[list(shown_frames(tiny_analysis))])


def _one_slice(analysis, place: int, grid: Geometry):
    def cut(image: Image) -> Image:
        return Image(image.values[place : place + 1], grid, image.unit)

    chosen = np.zeros_like(analysis.curves.mask)
    chosen[place] = True
    rows = chosen[analysis.curves.mask]
    curves = Curves(
        analysis.curves.coefficients[rows],
        analysis.curves.basis,
        analysis.curves.noise[rows],
        analysis.curves.mask[place : place + 1],
    )
    maps = replace(analysis.maps, **{name: cut(image) for name, image in analysis.maps.items()})
    series = replace(analysis.series, values=analysis.series.values[:, place : place + 1], geometry=grid)
    aif = replace(analysis.aif, mask=cut(analysis.aif.mask))
    return replace(analysis, series=series, brain=cut(analysis.brain), curves=curves, maps=maps, aif=aif, vof=None)
