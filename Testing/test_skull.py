"""A skull with a gap in one slice: long and turned as heads are, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib.brain import _closed
from PyPeTLib.settings import Settings
from PyPeTLib.skull import inside_open_skull

#: Half the length and half the width of what a skull holds, and how thick its bone and the scalp are, in mm.
LONG_MM, WIDE_MM, BONE_MM, SCALP_MM = 85.0, 68.0, 7.0, 6.0
MIDDLE_MM = (8.0, -5.0)


def places(pixel_mm, turned=25.0):
    """Return y and x of the pixels of a field of 240 mm along the axes of a head that is turned, from its middle."""
    y, x = (
        (np.arange(round(240.0 / mm)) - 0.5 * (round(240.0 / mm) - 1)) * mm - at
        for mm, at in zip(pixel_mm, MIDDLE_MM, strict=True)
    )
    cosine, sine = np.cos(np.radians(turned)), np.sin(np.radians(turned))
    return cosine * y[:, None] + sine * x, cosine * x - sine * y[:, None]


def skull(pixel_mm=(1.5, 1.5), gap_at=0.0, gap_mm=70.0, uneven=0.0):
    """Return HU of an elliptic head with a gap in its bone (degrees from the long axis), and what the skull holds.

    ``uneven`` of its radius it lies outside the ellipse in three directions, and inside between them.
    """
    y, x = places(pixel_mm)
    outline = 1.0 + uneven * np.cos(3.0 * np.arctan2(x, y))

    def within(more_mm):
        return np.hypot(y / (LONG_MM + more_mm), x / (WIDE_MM + more_mm)) < outline

    layers = [within(0.0), within(BONE_MM), within(BONE_MM + SCALP_MM)]
    frame = np.select(layers, [35.0, 1000.0, 30.0], -1000.0)
    frame[(frame == 1000.0) & (from_gap_mm(pixel_mm, gap_at) < 0.5 * gap_mm)] = 35.0
    return frame, layers[0]


def from_gap_mm(pixel_mm, gap_at):
    y, x = places(pixel_mm)
    return np.hypot(y - LONG_MM * np.cos(np.radians(gap_at)), x - WIDE_MM * np.sin(np.radians(gap_at)))


def held(frame, pixel_mm=(1.5, 1.5), enclosed=None):
    settings = Settings()
    enclosed = _closed(frame, pixel_mm, settings) if enclosed is None else enclosed
    soft = (frame > -50.0) & (frame < 150.0)
    return inside_open_skull(frame, frame > settings.bone_hu, enclosed, pixel_mm, soft=soft)


def dice(one, other):
    return 2.0 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("pixel_mm", [(1.5, 1.5), (1.0, 2.0), (2.0, 1.0)])
@pytest.mark.parametrize("gap_at", [0.0, 60.0, 90.0, 200.0, 300.0])
def test_a_gap_is_closed_as_the_ellipse_of_a_head_goes_on_there(gap_at, pixel_mm):
    """The outline is known to half a pixel, along 480 mm."""
    frame, truth = skull(pixel_mm, gap_at)
    found = held(frame, pixel_mm)
    assert np.count_nonzero(found ^ truth) * np.prod(pixel_mm) < 0.5 * max(pixel_mm) * 480.0
    beside_bone = places(pixel_mm)[0] * np.cos(np.radians(gap_at)) + places(pixel_mm)[1] * np.sin(np.radians(gap_at))
    assert not (found & ~truth & (beside_bone < 0.0)).any(), "bone holds the other side"


@pytest.mark.parametrize(("gap_at", "uneven"), [(0.0, 0.03), (120.0, 0.03), (180.0, 0.03), (0.0, -0.03), (60.0, -0.03)])
def test_across_a_gap_the_outline_goes_on_from_where_it_is_beside_it(gap_at, uneven):
    """Which is 2 to 2.5 mm outside the ellipse that fits it best, or inside; 0.8 mm less from 6 mm beside the gap."""
    frame, truth = skull(gap_at=gap_at, gap_mm=36.0, uneven=uneven)
    found = held(frame, enclosed=frame == 1000.0)
    apart_mm = np.count_nonzero((found ^ truth)[from_gap_mm((1.5, 1.5), gap_at) < 16.0]) * 1.5**2 / 32.0
    assert apart_mm < 0.5 * 1.5 + 0.8


@pytest.mark.parametrize("gap_at", [0.0, 120.0])
def test_the_edge_of_a_gap_that_slants_does_not_lead_the_outline_outwards(gap_at):
    """For 4 mm only the outer half of the bone is left."""
    frame, truth = skull(gap_at=gap_at)
    (y, x), away_mm = places((1.5, 1.5)), from_gap_mm((1.5, 1.5), gap_at)
    inner_half = np.hypot(y / (LONG_MM + 0.5 * BONE_MM), x / (WIDE_MM + 0.5 * BONE_MM)) < 1.0
    frame[(frame == 1000.0) & inner_half & (away_mm < 39.0)] = 35.0
    beyond = held(frame) & ~truth & (away_mm < 40.0)
    assert np.count_nonzero(beyond) * 1.5**2 / 80.0 < 0.5 * 1.5


@pytest.mark.parametrize("gap_at", [0.0, 60.0, 90.0])
def test_a_gap_of_a_third_of_the_skull_is_closed_to_half_a_pixel(gap_at):
    """What is left of the bone lies around another middle than the whole: it is sought again with what was found."""
    frame, truth = skull(gap_at=gap_at, gap_mm=140.0)
    wrong = (held(frame) ^ truth)[from_gap_mm((1.5, 1.5), gap_at) < 70.0]
    assert np.count_nonzero(wrong) * 1.5**2 / 140.0 < 0.5 * 1.5


def test_a_whole_skull_is_left_as_it_is():
    frame, _ = skull(gap_mm=0.0)
    assert not held(frame).any()


@pytest.mark.parametrize(("bone", "closed"), [(0.65, True), (0.5, False)])
def test_bone_in_half_of_the_directions_is_no_skull(bone, closed):
    frame, truth = skull(gap_mm=0.0)
    y, x = places((1.5, 1.5))
    frame[(frame == 1000.0) & (np.abs(np.arctan2(x, -y)) > np.pi * bone)] = 35.0
    found = held(frame)
    assert found.any() == closed
    assert not closed or dice(found, truth) > 0.95


@pytest.mark.parametrize(("air", "closed"), [(0.1, True), (0.2, False)])
def test_what_a_skull_holds_is_soft_but_for_an_eighth(air, closed):
    """Air after surgery; at the base there is more of it."""
    frame, _ = skull()
    y, x = places((1.5, 1.5))
    frame[np.hypot(y, x) < np.sqrt(air * LONG_MM * WIDE_MM)] = -1000.0
    assert held(frame).any() == closed


@pytest.mark.parametrize(("share", "closed"), [(0.45, True), (0.55, False)])
def test_a_skull_of_which_bone_encloses_half_is_whole(share, closed):
    """A thick one: it is more than half as large as what is enclosed, which alone would tell."""
    frame, truth = skull()
    frame[frame == 30.0] = 1000.0
    side = places((1.5, 1.5))[1]
    enclosed = truth & (side < np.quantile(side[truth], share))
    assert 2 * (frame == 1000.0).sum() > enclosed.sum() and held(frame, enclosed=enclosed).any() == closed


@pytest.mark.parametrize(("size_mm", "closed"), [((9.0, 9.0), True), ((12.0, 12.0), False)])
def test_bone_of_less_than_a_square_centimetre_is_no_piece_of_the_skull(size_mm, closed):
    """In the brain, in front of the gap."""
    frame, truth = skull(gap_at=90.0)
    y, x = places((1.5, 1.5))
    piece = (np.abs(y) < 0.5 * size_mm[0]) & (np.abs(x - 40.0) < 0.5 * size_mm[1])
    frame[piece] = 1000.0
    behind = truth & (np.abs(y) < 4.0) & (x > 50.0)
    assert held(frame)[behind].all() == closed
