"""Noise of single frames: measured whatever else changes from frame to frame, and told where it is unlike the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from PyPeTLib import Settings
from PyPeTLib.frame_noise import frame_noise_hu
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import prepare
from PyPeTLib.quality_frames import judge_frame_noise

EVEN, UNEVEN = np.arange(40.0), np.cumsum(np.resize((1.0, 1.0, 3.0, 0.5), 40))
IN_TURN = np.cumsum(np.resize((1.0, 3.0), 40))
MASK = np.ones((3, 40, 40), dtype=bool)


def noise(times, sd_hu, smooth=0.0, seed=0):
    """Frames of noise of the given SD, shape (t, z, y, x)."""
    white = np.random.default_rng(seed).normal(size=(len(times), *MASK.shape))
    white = ndimage.gaussian_filter(white, (0.0, 0.0, smooth, smooth)) if smooth else white
    return white / white.std() * np.broadcast_to(sd_hu, len(times))[:, None, None, None]


def measured(hu, times, mask=MASK):
    return frame_noise_hu(np.round(hu).astype(np.int16)[:, mask], mask, times)


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("place", [0, 3, 22, 39])
def test_noise_of_one_frame_is_found_and_none_of_it_in_its_neighbours(times, smooth, place):
    sd = np.where(np.arange(40) == place, 25.0, 5.0)
    found = measured(noise(times, sd, smooth), times)
    relative = found / np.median(found)
    assert relative[place] == pytest.approx(5.0, rel=0.15)
    assert np.delete(relative, place).max() < 1.5


def test_noise_of_the_last_half_is_found():
    found = measured(noise(EVEN, np.where(EVEN < 18.0, 4.0, 10.0)), EVEN)
    assert np.mean(found[18:]) / np.mean(found[:18]) == pytest.approx(2.5, rel=0.1)


def test_contrast_drift_and_jumps_are_no_noise(bolus):
    """A bolus of another height in every voxel, and levels that leap by several times the noise."""
    height = np.random.default_rng(1).uniform(0.0, 0.06, MASK.shape)
    course = bolus.aif(EVEN)[:, None, None, None] * ndimage.gaussian_filter(height, (0.0, 1.0, 1.0))
    level = (np.random.default_rng(2).normal(0.0, 20.0, 40) + 0.5 * EVEN)[:, None, None, None]
    found = measured(noise(EVEN, 5.0) + course + level, EVEN)
    np.testing.assert_allclose(found / np.sqrt(2.0), 5.0, rtol=0.2)


def test_vessels_hardly_change_the_noise_of_frames(bolus):
    """One voxel in fifty, whose curve bends within a frame or two by ten times the noise."""
    inside = np.random.default_rng(3).random(MASK.shape) < 0.02
    course = 60.0 * np.isin(EVEN, [11.0, 12.0])[:, None, None, None] * inside
    found = measured(noise(EVEN, 5.0) + course, EVEN)
    np.testing.assert_allclose(found / np.sqrt(2.0), 5.0, rtol=0.2)


def test_whole_numbers_do_not_make_quiet_frames_leap():
    found = measured(noise(EVEN, 1.2), EVEN)
    assert found.max() < 1.3 * found.min()


def test_variances_that_find_no_end_tell_nothing(monkeypatch):
    def endless(*_):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("scipy.optimize.nnls", endless)
    hu = np.random.default_rng(0).normal(30.0, 5.0, (20, 8000))
    assert frame_noise_hu(hu, np.ones((2, 40, 100), dtype=bool), np.arange(20.0)) is None


def test_a_mask_without_neighbours_tells_nothing():
    checkers = MASK & (np.arange(40) % 2 == 0)
    assert measured(noise(EVEN, 5.0), EVEN, checkers) is None
    check = judge_frame_noise(None, EVEN)
    assert check.status == "not applicable" and "not known" in check.text


@pytest.mark.parametrize(("factor", "status"), [(1.9, "pass"), (2.1, "warn")])
def test_frames_of_twice_the_noise_of_others_are_told_with_their_times(factor, status):
    noise_hu = np.where(np.isin(EVEN, [7.0, 8.0]), factor * 6.0, 6.0)
    check = judge_frame_noise(noise_hu, EVEN)
    assert (check.name, check.status) == ("frame noise", status) and check.value == pytest.approx(factor)
    assert ("2 of 40 frames, at 7, 8 s, have up to 2.1 times" in check.text) == (status == "warn")


def test_most_frames_may_be_the_noisy_ones():
    check = judge_frame_noise(np.where(EVEN < 12.0, 4.0, 10.0), EVEN)
    assert check.status == "warn" and "28 of 40 frames, at 12, 13, 14, 15, 16 ... s" in check.text


def test_frames_without_noise_differ_by_rounding_alone():
    assert judge_frame_noise(np.where(EVEN < 20.0, 0.0, 0.6), EVEN).status == "pass"


def test_frames_that_share_their_noise_are_not_compared():
    own = noise(EVEN, 5.0)
    between = np.repeat(own[:20], 2, axis=0)
    between[1:-1:2] = 0.5 * (between[:-2:2] + between[2::2])
    assert measured(between, EVEN) is None
    assert measured((own[:-2] + own[1:-1] + own[2:]) / 3.0, EVEN[1:-1]) is None


@pytest.mark.parametrize(
    ("times", "correlation", "shared"),
    [(EVEN, 0.25, True), (EVEN, 0.12, False), (IN_TURN, 0.23, True), (IN_TURN, 0.1, False)],
)
def test_frames_share_their_noise_where_they_miss_the_line_by_less_than_three_quarters(times, correlation, shared):
    """Noise that is partly that of the next frame: even frames miss the line by 1 − 4/3 of the correlation as much.

    Of frames 1 s and 3 s apart in turn those beside miss it by 1.625 variances, those two away by 1.5, whatever they
    share: that is allowed for.
    """
    ahead = (1.0 - np.sqrt(1.0 - 4.0 * correlation**2)) / (2.0 * correlation)
    own = noise(np.arange(41.0), 5.0)
    assert (measured(own[:-1] + ahead * own[1:], times) is None) == shared


@pytest.mark.parametrize(("voxels", "enough"), [(50, False), (51, True)])
def test_fifty_pairs_of_neighbours_are_needed(voxels, enough):
    line = np.arange(MASK.size).reshape(MASK.shape) < voxels
    assert (measured(noise(EVEN, 5.0), EVEN, line) is not None) == enough


def told(series):
    """Return the check of a scan that is prepared for a residue that is known: none is sought in denoised curves."""
    prepared = prepare(series, Settings(denoise="none", residue="exponential"))
    (check,) = (check for check in prepared.checks if check.name == "frame noise")
    return check


@pytest.mark.parametrize("place", [2, 22, 40])
def test_one_noisy_frame_of_a_scan_is_told(tiny_head, place):
    values = tiny_head.series.values.astype(np.float32)
    values[place] += np.random.default_rng(2).normal(0.0, 25.0, values[place].shape)
    check = told(replace(tiny_head.series, values=values))
    assert check.status == "warn" and f"at {tiny_head.series.times_s[place]:.4g} s, has up to" in check.text


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, "pass"),
        ({"noise_hu": 1.0}, "pass"),
        ({"noise_texture": "backprojection", "noise_middle": 2.5}, "pass"),
        ({"drift_hu": 6.0, "jitter_hu": 1.0}, "pass"),
        ({"interval_s": 3.0, "frames": 18, "bolus_width_s": 6.0, "bolus_peak_hu": 600.0}, "pass"),
        ({"times_s": (*np.arange(0.0, 36.0, 1.5), *np.arange(36.0, 61.0, 4.0))}, "pass"),
        ({"motion_mm": 4.0, "motion_degrees": 4.0}, "pass"),
        ({"skull": "removed"}, "pass"),
        ({"taken_every_s": 2.0}, "not applicable"),
    ],
)
def test_frames_that_are_equally_noisy_raise_no_doubt(options, status):
    grid = {"size": (64, 64, 4), "spacing_mm": (3.2, 3.2, 10.0), "frames": 45}
    assert told(head_phantom(HeadOptions(**{**grid, **options})).series).status == status
