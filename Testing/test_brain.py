"""Brain mask: what the skull encloses, whatever the grid."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from PyPeTLib import QualityError, Settings
from PyPeTLib.brain import SMALL_HOLE_MM2, _filled, _left_out, _metal, brain_in_skull, brain_mask
from PyPeTLib.field_of_view import cut_slices, walled
from PyPeTLib.geometry import Geometry
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.settings import BrainMethod

BRAINS = get_args(BrainMethod)


def dice(one, other):
    return 2.0 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def ball(spacing_mm=2.0, tissue=35.0, slices=8, gap_mm=0.0, field_mm=180.0):
    """A bowl of tissue in a round shell of bone and skin, with a gap in the bone on one side; and its inside."""
    count = round(field_mm / spacing_mm)
    y, x = (np.indices((count, count)) - (count - 1) / 2.0) * spacing_mm
    radius = np.hypot(y, x)
    frame = np.select([radius < 60.0, radius < 67.0, radius < 75.0], [tissue, 1000.0, 30.0], -1000.0)
    frame[(np.abs(y) < gap_mm / 2.0) & (x > 0) & (frame == 1000.0)] = tissue
    image = np.repeat(frame[None], slices, axis=0).astype(np.float32)
    return (
        image,
        Geometry((count, count, slices), (spacing_mm, spacing_mm, 8.0)),
        np.repeat((radius < 60.0)[None], slices, 0),
    )


def slanting(slices=8, thickness_mm=8.0, parts=16):
    """A bowl as `ball` whose wall slants by 45°, in thick slices; and what is at least half inside."""
    y, x = np.indices((180, 180)) - 89.5
    height = (np.arange(slices * parts) + 0.5) * thickness_mm / parts
    wall = 70.0 - 0.5 * thickness_mm * slices / 2 - np.abs(height - 0.5 * height[-1])
    beyond = np.hypot(y, x) - wall[:, None, None]
    fine = np.select([beyond < 0.0, beyond < 10.0, beyond < 16.0], [35.0, 1000.0, 30.0], -1000.0)
    shape = (slices, parts, 180, 180)
    image = fine.reshape(shape).mean(axis=1).astype(np.float32)
    truth = (beyond < 0.0).reshape(shape).mean(axis=1) >= 0.5
    return image, Geometry((180, 180, slices), (1.0, 1.0, thickness_mm)), truth


def with_metal(image, geometry, index, place):
    """The image with a clip whose streaks fade over the slice, and thin ones in the slices beside it."""
    spoiled = image.copy()
    y, x = ((np.indices(image.shape[1:]).T - place) * geometry.spacing_mm[1::-1]).T
    radius = np.hypot(y, x)
    streaks = 800.0 * np.cos(6.0 * np.arctan2(y, x)) * np.minimum(1.0, 4.0 / np.maximum(radius, 0.1))
    for k, share in ((index - 1, 0.3), (index, 1.0), (index + 1, 0.3)):
        spoiled[k] += (share * streaks * (spoiled[k] > -500.0)).astype(np.float32)
        spoiled[k][radius < 4.0] = share * 3071.0
    return np.clip(spoiled, -1024.0, 3071.0)


@pytest.fixture(scope="module")
def mean_head(head):
    return head.series.values.mean(axis=0, dtype=np.float32)


@pytest.mark.parametrize("method", BRAINS)
def test_mask_is_the_inside_of_the_skull(head, mean_head, method):
    found = brain_mask(mean_head, head.series.geometry, settings=Settings(brain=method))
    assert found.values.dtype == bool and found.geometry == head.series.geometry
    assert dice(found.values, head.masks["brain"].values) > 0.95


def test_mask_holds_tissue_fluid_and_vessels_but_no_bone(head, mean_head, settings):
    found = brain_mask(mean_head, head.series.geometry, settings=settings).values
    inside = head.masks["brain"].values
    assert found[head.masks["pure_tissue"].values].mean() > 0.99
    assert found[head.masks["csf"].values & (mean_head < 100.0)].mean() > 0.99  # the rest is half bone
    assert found[head.masks["veins"].values & inside].mean() > 0.9
    assert not found[mean_head > 600.0].any()


@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0, 3.0])
def test_volume_does_not_depend_on_the_pixel_size(settings, spacing):
    image, geometry, truth = ball(spacing)
    found = brain_mask(image, geometry, settings=settings).values
    border = 2.0 * spacing / 60.0  # one pixel of radius
    assert found.sum() / truth.sum() == pytest.approx(1.0, abs=border)
    assert dice(found, truth) > 1.0 - border


@pytest.mark.parametrize("axis", [1, 2])
def test_mirrored_head_has_the_mirrored_mask(head, mean_head, settings, axis):
    base = brain_mask(mean_head, head.series.geometry, settings=settings).values
    mirrored = brain_mask(np.flip(mean_head, axis), head.series.geometry, settings=settings).values
    assert dice(np.flip(mirrored, axis), base) > 0.99


def test_upside_down_slices_have_the_same_mask(head, mean_head, settings):
    base = brain_mask(mean_head, head.series.geometry, settings=settings).values
    flipped = brain_mask(mean_head[::-1], head.series.geometry, settings=settings).values
    assert dice(flipped[::-1], base) > 0.99


@pytest.mark.parametrize("method", BRAINS)
def test_openings_narrower_than_twice_the_setting_are_shut(method):
    image, geometry, truth = ball(1.0, gap_mm=9.0)
    wide, narrow = (Settings(brain=method, brain_opening_mm=opening) for opening in (6.0, 1.0))
    assert dice(brain_mask(image, geometry, settings=wide).values, truth) > 0.95
    with pytest.raises(QualityError):
        brain_mask(ball(1.0, gap_mm=150.0)[0], geometry, settings=narrow)


def test_slice_without_skull_holds_no_brain(settings):
    image, geometry, truth = ball()
    image[-1] = -1000.0
    found = brain_mask(image, geometry, settings=settings).values
    assert not found[-1].any() and dice(found[:-1], truth[:-1]) > 0.95


def test_what_bone_encloses_elsewhere_is_no_brain(settings):
    """Below the brain, and not under it: a ring of bone with soft tissue inside, as in face and neck."""
    image, geometry, truth = ball()
    y, x = (np.indices(image.shape[1:]) - 20.0) * 2.0
    image[0] = np.select([np.hypot(y, x) < 18.0, np.hypot(y, x) < 24.0], [35.0, 1000.0], -1000.0)
    found = brain_mask(image, geometry, settings=settings).values
    assert not found[0].any() and dice(found[1:], truth[1:]) > 0.95


def test_single_slice_is_enough(settings):
    image, geometry, truth = ball(1.0, slices=1)
    assert dice(brain_mask(image, geometry, settings=settings).values, truth) > 0.95


def test_head_at_the_border_of_the_field_is_found(settings):
    image, geometry, truth = ball(1.0, field_mm=136.0)
    assert dice(brain_mask(image, geometry, settings=settings).values, truth) > 0.95


#: Parts of an image that end in the brain of `HEAD`, which takes rows 13 to 85 and columns 17 to 78 of 96.
WITHIN = {"back": np.s_[:, :75], "front": np.s_[:, 20:], "left": np.s_[:, :, :70], "right": np.s_[:, :, 25:]}


def part_of(geometry, part):
    """The grid of a part of an image; where it lies does not matter."""
    slices, rows, columns = np.empty(geometry.shape)[part].shape
    return replace(geometry, size=(columns, rows, slices))


@pytest.mark.parametrize("method", BRAINS)
@pytest.mark.parametrize("side", WITHIN)
def test_a_field_of_view_that_ends_in_the_brain_closes_the_skull(head, mean_head, side, method):
    """Without, the base of the brain is lost in slices whose skull is open there."""
    settings, part, whole = Settings(brain=method), WITHIN[side], head.series.geometry
    uncut = brain_mask(mean_head, whole, settings=settings).values[part]
    mask, skull = brain_in_skull(mean_head[part], part_of(whole, part), settings=settings)
    assert dice(mask.values, uncut) > 0.99
    inside = head.masks["brain"].values[part]
    edge_mm = 2.1 * (inside[:, [0, -1]].sum(axis=(1, 2)) + inside[:, :, [0, -1]].sum(axis=(1, 2)))
    assert skull.cut[edge_mm > 30.0].all() and not skull.cut[edge_mm == 0.0].any() and (edge_mm > 30.0).sum() >= 2
    assert not (skull.opened & skull.cut).any()


def test_brain_at_the_edge_of_a_scan_without_its_skull_is_known(head, mean_head, settings):
    stripped = np.where(head.masks["brain"].values, mean_head, -1024.0).astype(np.float32)
    for part, cut in ((WITHIN["left"], True), (np.s_[:, :, :], False)):
        skull = brain_in_skull(stripped[part], part_of(head.series.geometry, part), settings=settings)[1]
        assert skull.stripped and skull.cut.any() == cut


def test_a_head_within_the_field_of_view_is_looked_at_as_it_is(mean_head):
    """Nor is a thin table a head, whose edges the image cuts."""
    wide = mean_head.copy()
    wide[:, 90:94] = 100.0
    for image in (mean_head, wide):
        assert walled(image, (8.0, 2.1, 2.1), (1, 1))[0] is image


@pytest.mark.parametrize("spacing_mm", [(1.0, 2.0, 8.0), (2.0, 1.0, 8.0)])
def test_pixels_need_not_be_square(settings, spacing_mm):
    image, geometry, truth = ball(1.0, gap_mm=9.0)
    step = [round(s) for s in spacing_mm]
    thinned = np.ascontiguousarray(image[:, :: step[1], :: step[0]])
    grid = replace(geometry, size=thinned.shape[::-1], spacing_mm=spacing_mm)
    found = brain_mask(thinned, grid, settings=settings).values
    assert dice(found, truth[:, :: step[1], :: step[0]]) > 0.95


def test_input_stays_unchanged_and_may_be_read_only(settings):
    image, geometry, _ = ball()
    image.flags.writeable = False
    for method in BRAINS:
        brain_mask(image, geometry, settings=Settings(brain=method))


@pytest.mark.parametrize("method", BRAINS)
@pytest.mark.parametrize("level", [-1000.0, 35.0, 1000.0])
def test_image_without_a_skull_is_refused(method, level):
    image = np.full((4, 60, 60), level, dtype=np.float32)
    lowest = f"{level:.0f}".replace("-", "−")
    message = rf"Brain mask: a skull with at least 20 mL inside is needed; found .* mL \(image from {lowest} to.*--mask"
    with pytest.raises(QualityError, match=message):
        brain_mask(image, Geometry((60, 60, 4), (2.0, 2.0, 8.0)), settings=Settings(brain=method))


@pytest.mark.parametrize("spacing_mm", [(0.001, 0.001, 0.005), (1000.0, 1000.0, 5000.0), (1.0, 1.0, 1000.0)])
def test_voxels_of_an_impossible_size_are_named(settings, spacing_mm):
    image, geometry, _ = ball()
    size = "×".join(f"{one:g}" for one in spacing_mm)
    with pytest.raises(QualityError, match=rf"voxels of 0\.1 to 30 mm are needed; found {size} mm\. Put the size"):
        brain_mask(image, replace(geometry, spacing_mm=spacing_mm), settings=settings)


def stripped(mean_hu, brain, background=0.0):
    """A mean image without skull, and what was left of it."""
    return np.where(brain, mean_hu, np.float32(background))


@pytest.mark.parametrize("background", [0.0, -1024.0])
@pytest.mark.parametrize("method", BRAINS)
def test_mask_of_a_scan_without_its_skull_is_what_it_shows(head, mean_head, method, background):
    """Its rim, half bone, was taken for a skull: what that enclosed at the base was the mask, a tenth of the brain."""
    inside = head.masks["brain"].values
    image = stripped(mean_head, inside, background)
    mask, skull = brain_in_skull(image, head.series.geometry, settings=Settings(brain=method))
    assert skull.stripped and not (skull.opened.any() or skull.left_out.any())
    assert not mask.values[~inside].any()
    assert mask.values[inside & (mean_head < 300.0)].mean() > 0.99


def test_left_over_bone_and_small_pieces_are_no_brain(head, mean_head, settings):
    inside = head.masks["brain"].values
    image = stripped(mean_head, inside)
    image[2, 10:16, 10:16], image[2, 20:24, 10:16] = 40.0, 900.0
    mask, skull = brain_in_skull(image, head.series.geometry, settings=settings)
    assert skull.stripped and not mask.values[2, :24, 10:16].any()


def test_a_scan_without_its_skull_may_be_stored_with_any_axis_first(tiny_head, settings):
    series, inside = tiny_head.series, tiny_head.masks["brain"].values
    image, grid = stripped(series.values.mean(axis=0, dtype=np.float32), inside), series.geometry
    straight, _ = brain_in_skull(image, grid, settings=settings)
    along_x = Geometry(grid.size[::-1], grid.spacing_mm[::-1], direction=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0))
    turned, skull = brain_in_skull(np.ascontiguousarray(image.transpose(2, 1, 0)), along_x, settings=settings)
    assert skull.stripped
    np.testing.assert_array_equal(turned.values.transpose(2, 1, 0), straight.values)


@pytest.mark.parametrize("lowest", [-990.0, -200.0])
def test_a_head_whose_air_was_cut_has_its_skull(head, mean_head, settings, lowest):
    mask, skull = brain_in_skull(np.maximum(mean_head, lowest), head.series.geometry, settings=settings)
    assert not skull.stripped
    assert dice(mask.values, head.masks["brain"].values) > 0.95


def test_a_head_cut_below_bone_is_refused_with_what_would_do(head, mean_head, settings):
    with pytest.raises(QualityError, match=r"cut at 100 HU, .* \(bone_hu\): export the scan uncut\. "):
        brain_mask(np.clip(mean_head, 0.0, 100.0), head.series.geometry, settings=settings)


def test_the_advice_for_a_head_cut_at_bone_finds_the_brain(head, mean_head, settings):
    image, grid = np.clip(mean_head, -100.0, 300.0), head.series.geometry
    with pytest.raises(QualityError, match=r"cut at 300 HU, .* uncut, or set bone_hu to 201\. Give a mask"):
        brain_mask(image, grid, settings=settings)
    found = brain_mask(image, grid, settings=Settings(bone_hu=201.0))
    assert dice(found.values, head.masks["brain"].values) > 0.95


def test_order_and_direction_of_the_stored_axes_do_not_matter(tiny_head):
    """The same head stored with the slices along x, and turned upside down: the same mask."""
    series = tiny_head.series
    mean, grid = series.values.mean(axis=0, dtype=np.float32), series.geometry
    straight = brain_mask(mean, grid, settings=Settings()).values
    along_x = Geometry(
        (grid.size[2], grid.size[1], grid.size[0]),
        (grid.spacing_mm[2], grid.spacing_mm[1], grid.spacing_mm[0]),
        direction=(0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
    )
    turned = brain_mask(np.ascontiguousarray(mean.transpose(2, 1, 0)), along_x, settings=Settings()).values
    np.testing.assert_array_equal(turned.transpose(2, 1, 0), straight)
    upside_down = replace(grid, direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    found = brain_mask(np.ascontiguousarray(mean[::-1]), upside_down, settings=Settings()).values
    np.testing.assert_array_equal(found[::-1], straight)


HEADS = {
    "8 mm slices": {},
    "10 mm slices": {"size": (200, 200, 13), "spacing_mm": (1.0, 1.0, 10.0)},
    "2 mm slices": {"size": (200, 220, 60), "spacing_mm": (1.0, 1.0, 2.0)},
    "0.5 mm slices": {"size": (190, 210, 16), "spacing_mm": (1.0, 1.0, 0.5)},
    "tilted forward": {"oblique_degrees": 20.0},
    "tilted back": {"oblique_degrees": -20.0},
    "slab over the base": {"size": (220, 220, 8), "spacing_mm": (0.9, 0.9, 5.0)},
}


@pytest.mark.parametrize("kind", HEADS)
def test_head_at_full_resolution_is_found_and_little_else(settings, kind):
    phantom = head_phantom(HeadOptions(frames=2, seed=31, **HEADS[kind]))
    mean = phantom.series.values.mean(axis=0, dtype=np.float32)
    mask, skull = brain_in_skull(mean, phantom.series.geometry, settings=settings)
    found, truth = mask.values, phantom.masks["brain"].values
    assert dice(found, truth) > 0.97
    assert np.count_nonzero(found & ~truth) < 0.001 * np.count_nonzero(found)
    assert not skull.opened.any() and not skull.left_out.any()


def test_fast_marching_stays_inside_the_skull_of_a_tilted_head():
    """It left through the openings of the base, with 8 % of its voxels outside."""
    head = head_phantom(HeadOptions(size=(110, 110, 14), spacing_mm=(1.8, 1.8, 8.0), frames=2, oblique_degrees=20.0))
    mean = head.series.values.mean(axis=0, dtype=np.float32)
    found = brain_mask(mean, head.series.geometry, settings=Settings(brain="fast-marching")).values
    assert np.count_nonzero(found & ~head.masks["brain"].values) < 0.02 * np.count_nonzero(found)


def test_border_lies_where_voxels_are_half_bone(settings):
    """A fixed threshold of 300 HU would leave out what is more than a quarter bone: 2 mm of radius here."""
    image, geometry, truth = slanting()
    found = brain_mask(image, geometry, settings=settings).values
    assert dice(found, truth) > 0.98  # one pixel of radius
    assert not found[image > 600.0].any()


def test_bone_that_stands_in_the_lowest_slices_is_no_brain(settings):
    image, geometry, truth = ball(1.0)
    y, x = np.indices(image.shape[1:]) - 90.0
    island = np.hypot(y - 20.0, x) < 6.0
    image[:3, island] = 1000.0
    found = brain_mask(image, geometry, settings=settings).values
    assert not found[:3, island].any()
    assert dice(found, truth & (image < 500.0)) > 0.99


def test_calcifications_inside_the_brain_belong_to_it(settings):
    """A small one in the lowest slice too; a large one where slices below and above show that it is enclosed."""
    image, geometry, truth = ball(1.0)
    y, x = np.indices(image.shape[1:]) - 90.0
    small = np.hypot(y + 20.0, x) < 0.7 * np.sqrt(SMALL_HOLE_MM2 / np.pi)
    large = np.hypot(y - 20.0, x) < 6.0
    image[0, small] = 800.0
    image[3:5, large] = 800.0
    found = brain_mask(image, geometry, settings=settings).values
    assert found[0, small].all() and found[3:5, large].all() and dice(found, truth) > 0.99


@pytest.mark.parametrize("place", [(90, 90), (60, 110), (90, 151), (90, 160)], ids=["middle", "brain", "bone", "skin"])
def test_metal_neither_hides_the_brain_nor_adds_to_it(settings, place):
    image, geometry, truth = ball(1.0)
    mask, skull = brain_in_skull(with_metal(image, geometry, 4, place), geometry, settings=settings)
    found = mask.values
    assert np.flatnonzero(skull.metal).tolist() == [4]
    assert not brain_in_skull(image, geometry, settings=settings)[1].metal.any()
    assert dice(found, truth) > 0.98 and dice(found[4], truth[4]) > 0.95
    assert np.count_nonzero(found & ~truth) < 0.001 * np.count_nonzero(found)


@pytest.mark.parametrize("slices", [slice(0, -2), slice(1, None), slice(2, 5)], ids=["no vertex", "no base", "middle"])
def test_slab_has_the_mask_of_the_whole_head(head, mean_head, settings, slices):
    whole = brain_mask(mean_head, head.series.geometry, settings=settings).values
    part = np.ascontiguousarray(mean_head[slices])
    size = (*head.series.geometry.size[:2], len(part))
    found = brain_mask(part, replace(head.series.geometry, size=size), settings=settings).values
    assert dice(found, whole[slices]) > 0.98


# --- a skull with a gap ---------------------------------------------------------------------------------------------


def with_gap(gap_mm, slices=slice(3, 6), **about):
    """A bowl as `ball` whose bone has a gap on one side, in some slices only."""
    image, geometry, truth = ball(1.0, **about)
    image[slices] = ball(1.0, gap_mm=gap_mm, **about)[0][slices]
    return image, geometry, truth


@pytest.mark.parametrize("method", BRAINS)
@pytest.mark.parametrize("gap_mm", [20.0, 60.0, 90.0])
def test_a_gap_in_the_skull_is_closed_as_the_bone_beside_it_continues(method, gap_mm):
    """A burr hole, and craniectomies: brain, missing bone and scalp look alike; 1.5 mm is a pixel of the search."""
    image, geometry, truth = with_gap(gap_mm)
    found, skull = brain_in_skull(image, geometry, settings=Settings(brain=method))
    assert np.flatnonzero(skull.opened).tolist() == [3, 4, 5] and not skull.left_out.any()
    assert dice(found.values, truth) > 0.98
    assert np.count_nonzero(found.values & ~truth) < 3 * 1.5 * gap_mm  # mm² of three slices


def test_a_skull_that_is_open_in_every_slice_is_closed(settings):
    image, geometry, truth = ball(1.0, gap_mm=60.0)
    assert dice(brain_mask(image, geometry, settings=settings).values, truth) > 0.98


@pytest.mark.parametrize("axis", [1, 2])
def test_a_gap_may_lie_on_any_side(settings, axis):
    image, geometry, truth = with_gap(60.0)
    turned = np.flip(image.transpose(0, 2, 1) if axis == 1 else image, axis)
    assert dice(brain_mask(turned, geometry, settings=settings).values, truth) > 0.98


def test_a_flap_of_scalp_that_has_sunk_in_is_no_brain(settings):
    """Its surface lies 25 mm inside that of the head, the scalp is 8 mm thick."""
    image, geometry, truth = with_gap(90.0)
    y, x = np.indices(image.shape[1:]) - 89.5
    gap = (np.abs(y) < 45.0) & (x > 0)
    image[3:6, gap & (x > 50.0)] = -1000.0
    brain = truth[4] & ~(gap & (x > 42.0))
    found = brain_mask(image, geometry, settings=settings).values
    assert dice(found[4], brain) > 0.98 and dice(found[0], truth[0]) > 0.98


@pytest.mark.parametrize("what", ["calcification", "drain"])
def test_what_else_is_dense_in_an_open_skull_does_not_draw_its_outline(settings, what):
    image, geometry, truth = with_gap(60.0)
    y, x = np.indices(image.shape[1:]) - 89.5
    dense = np.hypot(y, x - 20.0) < 4.0 if what == "calcification" else (np.abs(y) < 1.0) & (x > 10.0) & (x < 55.0)
    image[3:6, dense] = 1000.0
    assert dice(brain_mask(image, geometry, settings=settings).values[3:6], truth[3:6]) > 0.98


@pytest.mark.parametrize("method", BRAINS)
def test_slices_of_the_head_that_no_skull_surrounds_are_told(method):
    """Half of a skull is none: where it ends nobody knows."""
    image, geometry, truth = with_gap(150.0, slice(5, None))
    found, skull = brain_in_skull(image, geometry, settings=Settings(brain=method))
    assert np.flatnonzero(skull.left_out).tolist() == [5, 6, 7] and not skull.opened.any()
    assert found.values[5:].sum() < 0.01 * truth[5:].sum() and dice(found.values[:5], truth[:5]) > 0.95


def test_slices_beyond_the_brain_are_not_left_out(settings):
    """Bone of the vertex above, air below."""
    image, geometry, _ = ball(1.0)
    image[0], image[-1, image[-1] == 35.0] = -1000.0, 700.0
    _, skull = brain_in_skull(image, geometry, settings=settings)
    assert not skull.left_out.any() and not skull.opened.any()


@pytest.mark.parametrize("fill", [0.0, -1000.0])
def test_slices_that_were_only_filled_hold_no_brain_that_is_missing(settings, fill):
    """As where a scan was brought onto a larger grid: 0 HU are as soft as brain."""
    image, geometry, _ = ball(1.0)
    image[[0, -1]] = fill
    _, skull = brain_in_skull(image, geometry, settings=settings)
    assert not skull.left_out.any() and not skull.opened.any()


def test_open_slices_are_counted_from_feet_to_head_however_they_are_stored(settings):
    image, geometry, _ = with_gap(60.0, slice(2, 4))
    grid = replace(geometry, direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    _, skull = brain_in_skull(image, grid, settings=settings)
    assert np.flatnonzero(skull.opened).tolist() == [4, 5]


def test_a_face_is_no_skull_with_a_gap(settings):
    """Bone on two thirds of the way around, but air and bone inside: the base, where nothing was closed."""
    image, geometry, truth = with_gap(90.0, slice(0, 2))
    y, x = np.indices(image.shape[1:]) - 89.5
    image[:2, np.hypot(y, x - 20.0) < 25.0] = -1000.0
    found, skull = brain_in_skull(image, geometry, settings=settings)
    assert not skull.opened.any() and not found.values[:2].any() and dice(found.values[2:], truth[2:]) > 0.98


@pytest.mark.parametrize(("rows", "filled"), [(4, True), (6, False)])
def test_a_hole_that_is_open_below_is_filled_where_it_is_as_small_as_a_vessel(rows, filled):
    """Of 16 mm², and of 24 mm²: up to 20 mm² it is no bone of the base."""
    mask = np.ones((2, 12, 12), dtype=bool)
    mask[:, [0, -1]] = mask[:, :, [0, -1]] = False
    mask[1, 3 : 3 + rows, 4] = False
    mask[0] = False
    assert _filled(mask, (2.0, 2.0))[1, 3, 4] == filled


def test_metal_is_denser_than_any_bone():
    hu = np.full((3, 4, 4), 40.0)
    hu[1, 2, 2], hu[2, 2, 2] = 2400.0, 2600.0
    assert _metal(hu).tolist() == [False, False, True]


def test_the_edge_of_a_slice_is_counted_in_mm_along_rows_and_columns():
    """Fifteen pixels of 1 × 2 mm: 30 mm along a row, 15 mm along a column; twenty are enough."""
    brain = np.zeros((3, 40, 40), dtype=bool)
    brain[0, 0, 10:25] = brain[1, 10:25, -1] = True
    assert cut_slices(brain, (5.0, 1.0, 2.0)).tolist() == [True, False, False]


@pytest.mark.parametrize(("reached", "wall"), [(40, False), (38, True)])
def test_air_that_is_not_told_from_the_head_for_its_values_were_cut_gets_no_wall(reached, wall):
    """It has more than half of the edge of 40 × 40 pixels, which is two of its sides."""
    image = np.full((1, 40, 40), -1000.0, dtype=np.float32)
    image[:, [0, -1], :reached] = 30.0
    image[:, 20, 0] = 30.0
    wide, _ = walled(image, (5.0, 1.0, 1.0), (1, 1))
    assert (wide is not image) == wall


@pytest.mark.parametrize(("filled", "left_out"), [(84, False), (86, True)])
def test_a_slice_is_left_out_where_soft_tissue_fills_85_percent_of_the_brain_beside_it(settings, filled, left_out):
    """What holds bone is not soft."""
    mean_hu, mask = np.full((3, 12, 12), 35.0, dtype=np.float32), np.zeros((3, 12, 12), dtype=bool)
    mask[[0, 2], 1:11, 1:11] = True
    inside = np.full(100, 200.0)  # more than half of the HU of bone
    inside[:filled] = 35.0
    mean_hu[1, 1:11, 1:11] = inside.reshape(10, 10)
    assert _left_out(mean_hu, mask, settings).tolist() == [False, left_out, False]
