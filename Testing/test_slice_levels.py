"""Levels of single slices that jump from frame to frame: found, taken off, or said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings, analyze
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.phantom import bolus_curve
from PyPeTLib.quality_frames import judge_slice_jumps
from PyPeTLib.records import Jumps
from PyPeTLib.slice_levels import _bends, find_slice_jumps, without_slice_jumps

TIMES = np.arange(50.0)
ARTERY = bolus_curve(TIMES, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
SHAPE = (6, 40, 40)


def mask_of(axis=0, left_out=()):
    """A brain of six thick slices along an axis (z, y, x) of the array, some of them left out."""
    shape, spacing = np.roll(SHAPE, axis), np.roll((8.0, 2.0, 2.0), axis)
    axes = np.roll(np.eye(3), -axis, axis=1)  # from feet to head is that axis of the array
    size, spacing_mm = (tuple(one[::-1].tolist()) for one in (shape, spacing))
    grid = Geometry(size, spacing_mm, direction=tuple(axes.ravel().tolist()))
    inside = np.ones(shape, dtype=bool)
    inside[(*[slice(None)] * axis, list(left_out))] = False
    return Image(inside, grid)


def brain_hu(mask, axis=0, jumps_hu=0.0, noise=6.0, seed=0, times=TIMES, artery=ARTERY):
    """HU of slices whose tissue differs, shape (t, voxel); with jumps of shape (t, slice)."""
    delays, mtts = np.linspace(0.0, 5.0, SHAPE[0]), np.array([3.0, 9.0])
    curves = 0.04 * tissue_curves(artery, times, delays_s=delays, mtts_s=mtts, shape=1.0).mean(axis=0)
    levels = 35.0 + curves.T + np.broadcast_to(jumps_hu, (times.size, SHAPE[0]))
    slices = np.nonzero(mask.values)[axis]
    return levels[:, slices] + np.random.default_rng(seed).normal(0.0, noise, (times.size, slices.size))


def jumps_of(hu, mask, times=TIMES, artery=ARTERY, **chosen):
    taken = np.zeros(times.size)
    return find_slice_jumps(hu, np.arange(5), mask, artery, taken, times, settings=Settings(**chosen))


def drawn(sd, seed=3):
    return np.random.default_rng(seed).normal(0.0, sd, (TIMES.size, SHAPE[0]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_jumps_of_slices_are_found_and_taken_off_whatever_axis_slices_are_along(axis):
    mask, jumps_hu = mask_of(axis), drawn(1.0)
    hu = brain_hu(mask, axis, jumps_hu)
    found = jumps_of(hu, mask)
    assert found.certain and found.corrected and found.hu.shape == jumps_hu.shape
    missed = (jumps_hu - jumps_hu.mean(axis=0)) - (found.hu - found.hu.mean(axis=0))
    assert missed.std() < 0.5
    steady = without_slice_jumps(hu, mask, found)
    assert steady.dtype == np.float32
    np.testing.assert_allclose(steady, hu - found.hu[:, np.nonzero(mask.values)[axis]], atol=1e-4)


def test_one_slice_of_one_frame_that_is_brighter_is_found_whole_and_changes_no_other():
    jumps_hu = np.zeros((TIMES.size, SHAPE[0]))
    jumps_hu[25, 2] = 15.0
    mask = mask_of()
    found = jumps_of(brain_hu(mask, jumps_hu=jumps_hu), mask)
    assert found.corrected and found.largest == 25
    rest = found.hu - np.median(found.hu, axis=0)
    assert rest[25, 2] == pytest.approx(15.0, abs=0.7)
    rest[25, 2] = 0.0
    assert np.abs(rest).max() < 0.9  # noise of a mean over 1600 voxels


@pytest.mark.parametrize("times", [TIMES, np.arange(0.0, 60.0, 3.0), np.r_[np.arange(0.0, 30.0), 30.0:60.0:3.0]])
@pytest.mark.parametrize("noise", [1.0, 6.0, 12.0])
def test_a_steady_scan_has_none_whatever_its_noise_and_times(times, noise):
    artery = bolus_curve(times, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    mask = mask_of()
    hu = brain_hu(mask, noise=noise, times=times, artery=artery)
    found = jumps_of(hu, mask, times, artery)
    assert not found.certain and not found.corrected
    assert without_slice_jumps(hu, mask, found) is hu


@pytest.mark.parametrize("slices", [2, 3, 20])
def test_noise_of_slices_bends_them_as_much_as_it_is_whatever_all_slices_do(slices):
    """A mean over few slices holds part of the noise of each."""
    course = 40.0 * np.sin(np.arange(3000.0) / 5.0)
    noise = np.random.default_rng(0).normal(0.0, 0.7, (slices, course.size))
    assert _bends(course + noise) == pytest.approx(0.7, rel=0.05)


@pytest.mark.parametrize("noise", [1.0, 12.0])
def test_slices_that_bend_as_all_do_but_for_their_noise_have_none(noise):
    """Six slices of one tissue."""
    mask = mask_of()
    curve = 0.04 * tissue_curves(ARTERY, TIMES, delays_s=np.array([1.0]), mtts_s=np.array([5.0]), shape=1.0)[0, 0]
    hu = 35.0 + curve[:, None] + np.random.default_rng(0).normal(0.0, noise, (TIMES.size, mask.values.size))
    assert not jumps_of(hu, mask).hu.any()


def test_what_a_wrong_artery_leaves_is_smooth_and_no_jumps():
    late = bolus_curve(TIMES, arrival_s=16.0, width_s=16.0, peak_hu=300.0, recirculation=0.2)
    mask = mask_of()
    assert not jumps_of(brain_hu(mask, noise=1.0), mask, artery=late).certain


def test_slices_without_brain_and_single_ones_have_none_and_they_may_be_left_in():
    mask, jumps_hu = mask_of(left_out=(0, 3)), drawn(1.0)
    found = jumps_of(brain_hu(mask, jumps_hu=jumps_hu), mask)
    assert found.corrected and not found.hu[:, [0, 3]].any() and found.hu[:, 1].any()
    left = jumps_of(brain_hu(mask, jumps_hu=jumps_hu), mask, drift="off")
    assert left.certain and not left.corrected
    alone = mask_of(left_out=(0, 1, 2, 3, 4))
    assert not jumps_of(brain_hu(alone, jumps_hu=jumps_hu), alone).certain
    few = np.arange(4.0)
    assert not jumps_of(np.full((4, mask.values.sum()), 35.0), mask, few, few).certain


def test_what_is_taken_off_all_slices_anyway_is_no_jump_of_slices():
    mask, jumps_hu, common_hu = mask_of(), drawn(1.0), np.random.default_rng(1).normal(0.0, 5.0, TIMES.size)
    hu = brain_hu(mask, jumps_hu=jumps_hu)
    plain = jumps_of(hu, mask)
    nothing = np.arange(5)
    both = find_slice_jumps(hu + common_hu[:, None], nothing, mask, ARTERY, common_hu, TIMES, settings=Settings())
    assert both.corrected
    np.testing.assert_allclose(both.hu, plain.hu, atol=1e-6)


def test_vessels_that_flicker_make_no_slice_jump():
    mask, vessels = mask_of(), 1600 + 40 * np.arange(40)
    hu = brain_hu(mask, noise=2.0)
    hu[20, vessels] += 300.0
    for known, certain in ((vessels, False), (np.arange(5), True)):
        found = find_slice_jumps(hu, known, mask, ARTERY, np.zeros(TIMES.size), TIMES, settings=Settings())
        assert found.certain == certain


@pytest.mark.parametrize(("sd", "certain"), [(0.15, False), (0.27, True)])
def test_jumps_below_a_fifth_of_a_hu_do_no_harm(sd, certain):
    mask = mask_of()
    assert jumps_of(brain_hu(mask, jumps_hu=drawn(sd), noise=0.5), mask).certain == certain


@pytest.mark.parametrize(("rows", "known"), [(9, False), (11, True)])
def test_slices_of_fewer_than_four_hundred_voxels_tell_nothing(rows, known):
    """Rows of 40 voxels; each of four parts needs a hundred."""
    whole, jumps_hu = mask_of(), drawn(2.0)
    inside = whole.values.copy()
    inside[2, rows:] = False
    mask = Image(inside, whole.geometry)
    found = jumps_of(brain_hu(mask, jumps_hu=jumps_hu), mask)
    assert found.corrected and found.hu[:, 2].any() == known and found.hu[:, 3].any()


@pytest.mark.parametrize(
    ("hu", "certain", "corrected", "status", "words"),
    [
        (0.1, False, False, "pass", "no more than contrast agent explains"),
        (0.3, True, True, "pass", "taken off every slice"),
        (0.5, True, True, "warn", "flow and lesions are doubtful"),
        (9.0, True, True, "warn", "Look at that slice"),
        (0.4, True, False, "warn", "drift=off"),
    ],
)
def test_jumps_are_told_with_size_slice_frame_and_what_was_done(hu, certain, corrected, status, words):
    jumps_hu = np.tile([[hu, -hu], [-hu, hu]], (50, 1))
    jumps_hu[69, 1] = hu + 0.001
    told = judge_slice_jumps(Jumps(jumps_hu, certain, corrected))
    assert (told.name, told.status) == ("slice level", status) and words in told.text
    assert not certain or (f"{hu:.2f} HU (SD)" in told.text and "slice 2 of 2 in frame 70 of 100" in told.text)


def test_a_scan_with_a_brighter_slice_has_the_maps_of_one_without(tiny_head, tiny_analysis):
    series = tiny_head.series
    values = series.values.copy()
    values[20, 1] += 15
    values[12, 2] -= 15
    flickering = replace(series, values=values)
    found, left = analyze(flickering), analyze(flickering, Settings(drift="off"))
    assert found.slice_jumps.corrected and "slice to slice" in found.methods_text
    tissue = tiny_analysis.tissue.values & found.tissue.values & left.tissue.values
    for name in ("cbf", "tmax"):
        wanted, one, other = (getattr(run.maps, name).values[tissue] for run in (tiny_analysis, found, left))
        assert np.abs(one - wanted).mean() < 0.7 * np.abs(other - wanted).mean()
