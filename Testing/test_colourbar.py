"""Colour-coded maps into numbers: bars that are found, and that are not, and what their colours say."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from colour_pictures import coded, palette, with_bar, with_letters

from PyPeTLib.colourbar import ColourBar, bar_in_box, find_colour_bar, read_colours
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry
from PyPeTLib.pictures import Scale, parse_scale, picture_map, read_picture

BOX = (96, 12, 8, 90)


def values_in_a_disc(size=(112, 116), seed=0):
    """A smooth map from 0 to 12 in a disc, NaN outside."""
    y, x = np.indices(size)
    wave = 6.0 + 6.0 * np.sin(0.11 * x + seed) * np.cos(0.07 * y)
    return np.where(np.hypot(y - 56, x - 46) < 40, wave, np.nan)


@pytest.fixture(params=["jet", "hot"])
def colours(request):
    return palette(request.param)


@pytest.fixture
def picture(colours):
    return with_letters(with_bar(coded(values_in_a_disc(), 0.0, 12.0, colours), colours, BOX), (4, 4))


# Bars


def test_a_bar_is_found_where_it_stands_with_its_colours(picture, colours):
    bar = find_colour_bar(picture)
    assert bar.box == BOX
    assert bar.steps >= 80
    np.testing.assert_array_equal(bar.colours, picture[12:102, 99][::-1])


def test_a_level_bar_is_found_with_its_highest_value_at_the_right(picture, colours):
    level = picture.transpose(1, 0, 2)[:, ::-1]  # top to the right
    bar = find_colour_bar(level)
    left, top, width, height = bar.box
    assert (width, height) == (90, 8)
    np.testing.assert_array_equal(level[top : top + height, left : left + width], np.tile(bar.colours, (8, 1, 1)))
    np.testing.assert_array_equal(bar.colours, find_colour_bar(picture).colours)


def test_a_bar_without_a_frame_ends_where_the_background_begins():
    colours = palette("hot")
    drawn = np.zeros((112, 116, 3), dtype=np.uint8)
    rows = ((np.arange(90)[::-1] + 0.5) / 90 * 256).astype(int)
    drawn[12:102, 96:104] = colours[rows][:, None]
    left, top, width, height = find_colour_bar(drawn).box
    assert (left, width) == (96, 8)
    assert abs(top - 12) <= 1
    assert abs(top + height - 102) <= 2, "its end is as black as the background"


def test_ticks_and_lossy_compression_do_not_hide_a_bar(picture):
    noisy = np.clip(picture.astype(int) + np.random.default_rng(0).integers(-2, 3, picture.shape), 0, 255)
    noisy[20::20, 96:98] = 255  # ticks reach into the bar
    left, top, width, height = find_colour_bar(noisy.astype(np.uint8)).box
    assert (left, width) == (96, 8)
    assert abs(top - 12) <= 1 and top + height == 102, "a white end and a white frame may be one"


def test_a_soft_edge_does_not_cut_a_bar(picture, colours):
    """Letters and edges are smoothed: where the bar is dark its edge looks like it, over a part of its length."""
    soft = picture.copy()
    for x in (94, 95):
        soft[11:103, x] = 0
    soft[12:102, 95] = (0.96 * soft[12:102, 96].astype(float)).astype(np.uint8)
    bar = find_colour_bar(soft)
    assert max(abs(bar.box[1] - 12), abs(bar.box[3] - 90)) <= 1
    assert bar.steps >= 80


def test_a_part_of_a_bar_is_none_for_its_ends_are_not_the_values_typed(picture, colours):
    """Letters on a bar, and colours further apart than in a gradual one, cut it: its rest passed for the whole."""
    written = picture.copy()
    written[18:25, 97:103:2] = 255  # letters
    assert find_colour_bar(written) is None
    np.testing.assert_allclose(bar_in_box(written, BOX).colours[:70], find_colour_bar(picture).colours[:70])
    few = np.concatenate([np.repeat(colours[:160:10], 10, axis=0), np.repeat(colours[160::48], 48, axis=0)[:96]])
    assert find_colour_bar(with_bar(np.zeros((112, 116, 3), dtype=np.uint8), few, BOX)) is None


def test_a_framed_bar_may_stand_on_the_map(colours):
    """Its ends are known by the frame, though beyond that are colours of the bar again."""
    y, x = np.indices((112, 116))
    everywhere = 6.0 + 5.0 * np.sin(0.11 * x) * np.cos(0.07 * y)
    assert find_colour_bar(with_bar(coded(everywhere, 0.0, 12.0, colours), colours, BOX)).box == BOX


def test_there_is_no_bar_in_a_map_alone_nor_in_grey():
    colours = palette()
    assert find_colour_bar(coded(values_in_a_disc(), 0.0, 12.0, colours)) is None
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    assert find_colour_bar(with_bar(coded(values_in_a_disc(), 0.0, 12.0, grey), grey, BOX)) is None
    assert find_colour_bar(np.zeros((10, 3, 3), dtype=np.uint8)) is None


def test_colours_that_come_twice_are_no_scale(picture):
    there_and_back = np.concatenate([palette()[::2], palette()[::-2]])
    drawn = with_bar(coded(values_in_a_disc(), 0.0, 12.0, palette()), there_and_back, BOX)
    assert find_colour_bar(drawn) is None
    with pytest.raises(InputError, match="one value only is needed; found the same colour in two places"):
        bar_in_box(drawn, BOX)


@pytest.mark.parametrize("box", [(110, 0, 8, 20), (0, 100, 4, 20), (0, 0, 0, 5)])
def test_a_box_outside_the_picture_is_refused(picture, box):
    with pytest.raises(InputError, match=r"inside the picture of 116×112 pixels is needed; found \(.*Give left, top"):
        bar_in_box(picture, box)


def test_a_box_of_one_colour_is_refused(picture):
    with pytest.raises(InputError, match="colours that change are needed; found one colour"):
        bar_in_box(picture, (1, 60, 3, 40))


def test_a_given_box_is_what_is_found(picture):
    np.testing.assert_array_equal(bar_in_box(picture, BOX).colours, find_colour_bar(picture).colours)


# Numbers


def test_values_come_back_within_a_step(picture):
    bar = find_colour_bar(picture)
    found = read_colours(picture[None], bar, 0.0, 12.0)
    truth = values_in_a_disc()
    inside = np.hypot(*(np.indices(truth.shape) - np.array([56, 46])[:, None, None])) < 40
    error = found.values[0][inside] - truth[inside]
    assert np.abs(error).max() <= 1.5 * found.step
    assert np.abs(error.mean()) < 0.25 * found.step, "no bias"
    assert found.step == pytest.approx(12.0 / bar.steps)


def test_letters_the_bar_and_what_is_no_colour_of_it_are_nan():
    colours = palette()
    drawn = with_letters(with_bar(coded(values_in_a_disc(), 0.0, 12.0, colours), colours, BOX), (50, 40))
    found = read_colours(drawn[None], find_colour_bar(drawn), 0.0, 12.0).values[0]
    assert np.isnan(found[54, 40:49]).all(), "grey letters"
    assert np.isnan(found[12:102, 96:104]).all(), "the bar itself"
    assert np.isnan(found[0]).all(), "the background"
    assert np.isfinite(found[60, 30:39]).all()


def test_a_range_typed_the_other_way_round_turns_the_scale(picture):
    bar = find_colour_bar(picture)
    there, back = read_colours(picture[None], bar, 0.0, 12.0), read_colours(picture[None], bar, 12.0, 0.0)
    np.testing.assert_allclose(there.values + back.values, np.where(np.isfinite(there.values), 12.0, np.nan), atol=1e-5)
    assert back.step == there.step


def test_values_at_the_ends_are_counted():
    colours = palette()
    flat = np.full((112, 116), np.nan)
    flat[30:50, 20:40], flat[50:70, 20:40] = 99.0, 6.0
    drawn = with_bar(coded(flat, 0.0, 12.0, colours), colours, BOX)
    assert read_colours(drawn[None], find_colour_bar(drawn), 0.0, 12.0).end_share == pytest.approx(0.5)


def test_a_table_of_colours_does_without_a_bar(tmp_path):
    colours = palette()
    picture = coded(values_in_a_disc(), 0.0, 12.0, colours)
    (tmp_path / "jet.csv").write_text("\n".join(",".join(map(str, line)) for line in colours.tolist()))
    grid = Geometry((116, 112, 1), (1.0, 1.0, 5.0))
    image, remark = picture_map(tmp_path / "x.nrrd", picture[None], grid, Scale(0.0, 12.0, "s", tmp_path / "jet.csv"))
    known = np.isfinite(values_in_a_disc())
    np.testing.assert_allclose(image.values[0][known], values_in_a_disc()[known], atol=12.0 / 256 + 1e-6)
    assert image.unit == "s"
    assert "0 to 12 s as typed, in steps of 0.04" in remark
    (tmp_path / "jet.csv").write_text("1 2\n3 4\n")
    with pytest.raises(InputError, match="red, green and blue from 0 to 255 in every line are needed"):
        picture_map(tmp_path / "x.nrrd", picture[None], grid, Scale(0.0, 12.0, "s", tmp_path / "jet.csv"))


def test_a_picture_without_a_bar_is_refused_with_what_to_do(tmp_path):
    picture = coded(values_in_a_disc(), 0.0, 12.0, palette())[None]
    grid = Geometry((116, 112, 1), (1.0, 1.0, 5.0))
    with pytest.raises(
        InputError, match=r"vendor.nii: .* needs its colour bar; found none .*@LEFT,TOP,WIDTH,HEIGHT.*@FILE"
    ):
        picture_map(tmp_path / "vendor.nii", picture, grid, Scale(0.0, 12.0, "s"))


def test_colours_of_another_bar_are_refused(tmp_path, picture):
    bar = ColourBar(np.stack([np.zeros(50), np.linspace(20, 255, 50), np.linspace(20, 255, 50)], axis=1))
    reading = read_colours(np.full((1, 9, 9, 3), (200, 0, 0), dtype=np.uint8), bar, 0.0, 1.0)
    assert np.isnan(reading.values).all()
    assert np.isnan(reading.end_share)


# What is typed, and files


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "a text file is needed; found no such file or directory"),
        (b"\xff\xfe\x00", "a text file is needed; found bytes that are no text"),
        (b"0,0,0\n1,2,red\n", "three numbers a line are needed; found '1 2 red'"),
        (b"0 0 0\n1 2\n", "three numbers a line are needed; found '1 2'"),
    ],
)
def test_a_file_of_colours_that_cannot_be_read_says_why(tmp_path, content, found):
    picture, grid = coded(values_in_a_disc(), 0.0, 12.0, palette()), Geometry((116, 112, 1), (1.0, 1.0, 5.0))
    if content is not None:
        (tmp_path / "c.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"Colours .*{found}"):
        picture_map(tmp_path / "x.nrrd", picture[None], grid, Scale(0.0, 12.0, "s", tmp_path / "c.txt"))


def test_a_file_of_colours_may_begin_with_the_mark_of_its_encoding(tmp_path):
    """As spreadsheets write it, before text in UTF-8."""
    picture, grid = coded(values_in_a_disc(), 0.0, 12.0, palette()), Geometry((116, 112, 1), (1.0, 1.0, 5.0))
    lines = [" ".join(f"{one:g}" for one in colour) for colour in palette()]
    maps = []
    for mark in ("", "\ufeff"):
        (tmp_path / "c.txt").write_text(mark + "\n".join(lines), encoding="utf-8")
        found, _ = picture_map(tmp_path / "x.nrrd", picture[None], grid, Scale(0.0, 12.0, "s", tmp_path / "c.txt"))
        maps.append(found.values)
    assert np.isfinite(maps[0]).any()
    np.testing.assert_array_equal(maps[0], maps[1])


def test_pictures_and_bars_larger_than_memory_are_refused(tmp_path):
    """What a picture of a few bytes claims, and colours of which all are compared with all."""
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0")
    with pytest.raises(InputError, match=r"a\.png: a picture of at most 33554432 pixels is needed; found 65536×65536"):
        read_picture(tmp_path / "a.png")
    (tmp_path / "c.txt").write_text("1 2 3\n" * 20_000)
    picture, grid = coded(values_in_a_disc(), 0.0, 12.0, palette()), Geometry((116, 112, 1), (1.0, 1.0, 5.0))
    with pytest.raises(InputError, match=r"c\.txt: at most 16384 lines are needed; found 20000"):
        picture_map(tmp_path / "x.nrrd", picture[None], grid, Scale(0.0, 12.0, "s", tmp_path / "c.txt"))


def test_a_long_bar_is_looked_at_in_parts():
    """All of 4000 colours with all at once took 400 MB."""
    bar = ColourBar(np.stack([np.linspace(0, 255, 4000), np.zeros(4000), np.linspace(255, 0, 4000)], axis=1))
    tracemalloc.start()
    reading = read_colours(np.full((1, 9, 9, 3), (127, 0, 127), dtype=np.uint8), bar, 0.0, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reading.values[0, 0, 0] == pytest.approx(0.5, abs=0.01) and peak < 1e8


def test_a_scale_is_read_as_typed():
    assert parse_scale("CBF=0:60:mL/100 g/min") == ("cbf", Scale(0.0, 60.0, "mL/100 g/min"))
    assert parse_scale("tmax=12:0:s@colours.csv")[1].where.name == "colours.csv"


@pytest.mark.parametrize(
    "text",
    ["tmax", "tmax=0:12", "tmax=0:0:s", "tmax=a:b:s", "tmax=0:12:s:x", "tmax=0:nan:s", "flow=0:1:s", "tmax=0:12:"],
)
def test_a_scale_of_another_form_is_refused(text):
    with pytest.raises(InputError, match=r"MAP=LOW:HIGH:UNIT is needed.*found '"):
        parse_scale(text)


def test_a_scale_with_a_decimal_comma_says_what_to_write():
    with pytest.raises(InputError, match=r"found 'tmax=0:12,5:s'\. A decimal point is needed: write 12\.5\.$"):
        parse_scale("tmax=0:12,5:s")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.nrrd"])
def test_colours_of_a_file_keep_their_grid(tmp_path, picture, name):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.stack([picture, picture]), isVector=True)
    image.SetSpacing((0.5, 0.6, 5.0))
    image.SetOrigin((1.0, 2.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / name))
    values, geometry = read_picture(tmp_path / name)
    np.testing.assert_array_equal(values, np.stack([picture, picture]))
    assert geometry == Geometry((116, 112, 2), (0.5, 0.6, 5.0), (1.0, 2.0, 3.0))


def test_rgb_of_nibabel_is_read_too(tmp_path, picture):
    import nibabel

    rgb = np.ascontiguousarray(picture[None].transpose(2, 1, 0, 3)).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[
        ..., 0
    ]
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(rgb, np.diag((-1.0, -1.0, 5.0, 1.0))), tmp_path / name)
        values, _ = read_picture(tmp_path / name)
        np.testing.assert_array_equal(values[0], picture)


def test_a_truncated_rgb_file_is_refused(tmp_path, picture):
    import SimpleITK as sitk

    path = tmp_path / "a.nii"
    sitk.WriteImage(sitk.GetImageFromArray(picture[None], isVector=True), str(path))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_picture(path)


def test_a_png_needs_to_be_told_where_it_lies(tmp_path, picture):
    import SimpleITK as sitk

    path = tmp_path / "a_tmax.png"
    sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(path))
    with pytest.raises(InputError, match=r"SpacingMm and OriginMm, .* are needed in a_tmax.json beside it; found none"):
        read_picture(path)
    (tmp_path / "a_tmax.json").write_text(json.dumps({"SpacingMm": [0.5, 0.6, 5.0], "OriginMm": [1.0, 2.0, 3.0]}))
    values, geometry = read_picture(path)
    np.testing.assert_array_equal(values[0], picture)
    assert geometry == Geometry((116, 112, 1), (0.5, 0.6, 5.0), (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ({"SpacingMm": [0, 0, 0]}, r"SpacingMm \[0, 0, 0\], OriginMm \[1, 2, 3\]\."),
        ({"SpacingMm": [1, -1, 1]}, r"SpacingMm \[1, -1, 1\]"),
        ({"OriginMm": [float("nan"), 0, 0]}, r"OriginMm \[nan, 0, 0\]"),
        ({"Direction": [1, 0, 0, 0, 1, 0, 0, 0]}, r"Direction \[1, 0, 0, 0, 1, 0, 0, 0\]\."),
        ({"Direction": [1, 0, 0, 1, 0, 0, 0, 0, 1]}, r"Direction \["),
        ({"Direction": None}, "Direction None"),
    ],
)
def test_a_place_that_is_none_is_refused_by_the_name_of_its_file(tmp_path, picture, about, found):
    import SimpleITK as sitk

    path = tmp_path / "a_tmax.png"
    sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(path))
    (tmp_path / "a_tmax.json").write_text(json.dumps({"SpacingMm": [1, 1, 5], "OriginMm": [1, 2, 3], **about}))
    with pytest.raises(
        InputError, match=rf"^Reference a_tmax.png: .* in a_tmax.json beside it; found .*{found}.*Write"
    ):
        read_picture(path)


def test_files_that_hold_no_colours(tmp_path, picture):
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(picture[..., 0]), str(tmp_path / "grey.png"))
    with pytest.raises(InputError, match=r"a PNG in colour of 8 bits is needed; found uint8 of shape.*Save it in red"):
        read_picture(tmp_path / "grey.png")
    with pytest.raises(InputError, match="cannot be read: missing, damaged or no PNG"):
        read_picture(tmp_path / "gone.png")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 8, 8, 2), np.uint8), isVector=True), str(tmp_path / "two.nrrd"))
    with pytest.raises(InputError, match=r"red, green and blue of 8 bits each; found 3D 8×8×2 with 2 values a voxel"):
        read_picture(tmp_path / "two.nrrd")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 8, 8), np.float32)), str(tmp_path / "map.nii"))
    assert read_picture(tmp_path / "map.nii") is None
