"""Are these values HU? What files and nodes have in common; the files themselves are in test_read.py."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib.errors import Cancelled, InputError
from PyPeTLib.hounsfield import in_hu


def head(dtype=np.float32):
    """A brain in a skull in air, with noise, shape (t, z, y, x)."""
    y, x = np.mgrid[:24, :20]
    radius = np.hypot((y - 11.5) / 11, (x - 9.5) / 9)
    frame = np.select([radius < 0.85, radius < 1.0], [35.0, 900.0], -1000.0)
    return np.round(frame + np.random.default_rng(0).normal(0, 5, (12, 4, 24, 20))).astype(dtype)


def with_gaps():
    values = head()
    values[3, 1, 0, :] = np.nan
    values[4, 1, 0, :] = np.inf
    return values


def test_what_is_in_hu_is_returned_as_it_is():
    values = head()
    found, checks = in_hu(values, "scan")
    assert found is values
    assert [(check.name, check.status) for check in checks] == [("HU scale", "pass"), ("missing values", "pass")]


@pytest.mark.parametrize(("value", "found"), [(0.0, "0"), (np.nan, "NaN or infinity"), (np.inf, "NaN or infinity")])
def test_one_value_everywhere_is_refused(value, found):
    with pytest.raises(
        InputError, match=rf"Scan here: CT values are needed; found {found} in every voxel\. Is the scan empty"
    ):
        in_hu(np.full((12, 4, 24, 20), value, dtype=np.float32), "here")


@pytest.mark.parametrize(("value", "dtype"), [(1e30, np.float32), (-3e38, np.float32), (-(2**31), np.int32)])
def test_what_no_ct_shows_is_no_number_of_hu(value, dtype):
    """A voxel of 1e30 HU in the head went into the maps; around the head programs put such values for no value."""
    values = head(dtype)
    values[3, 1, 0, :] = value
    found, checks = in_hu(values, "scan")
    assert (found[3, 1, 0] == -1024).all()
    assert "20 values outside the head were NaN, infinite or beyond 100000 HU; they count as air" in checks[1].text
    values[3, 1, 12, 10] = value
    with pytest.raises(InputError, match=r"found 1 with NaN, infinite or beyond 100000 HU values, in frame 4\."):
        in_hu(values, "scan")
    with pytest.raises(InputError, match="found NaN, infinity or beyond 100000 HU in every voxel"):
        in_hu(np.where(np.indices(values.shape)[3] % 2, value, 0.5 * value), "scan")


@pytest.mark.parametrize("offset", [0, 1024])
@pytest.mark.parametrize("number", [1, 5])
def test_a_frame_without_values_counts_as_air_and_is_named(offset, number):
    values = np.maximum(head() + offset, 0.0 if offset else -np.inf)
    values[number - 1] = np.nan
    found, checks = in_hu(values, "scan")
    assert (found[number - 1] == -1024).all()
    others = np.arange(12) != number - 1
    np.testing.assert_array_equal(found[others], values[others] - offset)
    missing = next(check for check in checks if check.name == "missing values")
    assert (missing.status, missing.value) == ("warn", 0)
    assert missing.text == f"No value was in frame {number}: all of it counts as air (−1024 HU)."


def test_frames_that_lack_values_inside_the_head_are_named():
    values = head()
    values[4] = np.nan  # counts as air
    values[[2, 8], 1:3, 12, 10] = np.nan
    with pytest.raises(InputError, match=r"found 2 with NaN or infinite values, in frame 3, 9\. Export"):
        in_hu(values, "scan")
    values[:, 1, 12, 10] = np.nan
    values[4] = 0.0
    values[4, 1, 12, 10] = np.nan
    with pytest.raises(InputError, match=r"in all frames\."):
        in_hu(values, "scan")


def test_a_scan_with_a_negative_value_has_no_offset():
    values = np.maximum(head() + 1024.0, 0.0)
    assert in_hu(values, "scan")[0] is not values
    values[0, 0, 0, 0] = -3.0
    assert in_hu(values, "scan")[0] is values


def test_air_that_most_frames_do_not_show_is_air():
    values = head()
    values[1:, :, 0, :] = np.nan
    assert (in_hu(values, "scan")[0][1:, :, 0, :] == -1024).all()


def test_a_head_without_bone_is_a_head():
    values = np.where(head() > 500.0, -1000.0, head())
    values[3, 1, 12, 10] = np.nan
    with pytest.raises(InputError, match=r"found 1 with NaN or infinite values, in frame 4\."):
        in_hu(values, "scan")


def test_a_little_dense_bone_above_a_background_of_zeros_is_no_offset():
    """As many values as soft tissue has near 1024 are needed: a twentieth of all."""
    values = np.maximum(np.where(head() > 500.0, 0.0, head()), 0.0)
    values[:, 1, 11:13, 5:15] = 1100.0
    assert 0.0 < (values == 1100.0).mean() < 0.05
    assert in_hu(values, "scan")[0] is values


def test_a_scan_whose_air_was_cut_at_0_has_no_offset():
    """Its bone is as dense as soft tissue with an offset, but more of it is less dense."""
    bone = np.random.default_rng(1).uniform(300.0, 1500.0, (12, 4, 24, 20))
    radius = np.hypot(*np.meshgrid(np.linspace(-1.1, 1.1, 24), np.linspace(-1.1, 1.1, 20), indexing="ij"))
    values = np.select([radius < 0.6, radius < 1.0], [np.abs(head()), bone], 0.0)
    assert ((values >= 974.0) & (values <= 1174.0)).mean() > 0.05
    assert in_hu(values, "scan")[0] is values


def test_a_scan_without_air_has_no_offset():
    """A block of 1050 HU in every voxel is no head in air."""
    values = 1050.0 + 0.0 * head() + np.random.default_rng(0).normal(0.0, 5.0, head().shape)
    assert in_hu(values, "scan")[0] is values


def test_the_offset_of_a_small_head_in_much_air_is_taken_off():
    values = np.pad(head(int), [(0, 0), (0, 0), (20, 20), (20, 20)], constant_values=-1000) + 1024
    found, checks = in_hu(values, "scan")
    assert 0.05 < (np.abs(found - 35) < 40).mean() < 0.15
    assert checks[0].status == "warn" and (found == values - 1024).all()


def test_values_beyond_16_bits_keep_their_size_without_the_offset():
    values = np.maximum(head(int) + 1024, 0).astype(np.uint16)
    values[3, 1, 12, 10] = 40_000
    found, _ = in_hu(values, "scan")
    assert found[3, 1, 12, 10] == 40_000 - 1024


@pytest.mark.parametrize(("rim_hu", "head_too"), [(-250.0, False), (-150.0, True)])
def test_fat_belongs_to_the_head_and_what_is_lighter_does_not(rim_hu, head_too):
    values = head()
    values[..., 10, :1] = values[..., 11, :1] = rim_hu  # beside the skull
    values[3, 1, 10, 0] = np.nan
    if head_too:
        with pytest.raises(InputError, match=r"found 1 with NaN or infinite values, in frame 4\."):
            in_hu(values, "scan")
    else:
        assert in_hu(values, "scan")[0][3, 1, 10, 0] == -1024


def test_a_scan_may_have_no_value_anywhere_around_the_head():
    values = head()
    values[head().mean(axis=0)[None].repeat(12, axis=0) < -500.0] = np.nan
    found, checks = in_hu(values, "scan")
    assert (found[np.isnan(values)] == -1024).all() and checks[1].status == "warn"


@pytest.mark.parametrize(("number", "told"), [(1, False), (3, True), (4, False)])
def test_a_slice_without_values_between_others_of_the_head_is_told(number, told):
    values = head()
    values[:, number - 1] = np.nan
    _, checks = in_hu(values, "scan")
    assert (f"found none in 1 of 4 slices (number {number}) between others of the head" in checks[1].text) == told


@pytest.mark.parametrize("make", [lambda: np.maximum(head(int) + 1024, 0).astype(np.uint16), with_gaps])
def test_input_stays_as_it_is(make):
    values = make()
    values.flags.writeable = False
    found, checks = in_hu(values, "scan")
    np.testing.assert_array_equal(values, make())
    assert sorted(check.status for check in checks) == ["pass", "warn"]
    assert -1100 < found.min() < -900


@pytest.mark.parametrize("make", [head, lambda: np.maximum(head(int) + 1024, 0).astype(np.uint16), with_gaps])
def test_every_frame_is_told_and_can_be_the_last(make):
    seen = []
    in_hu(make(), "scan", progress=lambda fraction, _: seen.append(fraction))
    assert len(seen) > 12
    assert seen == sorted(seen) and seen[-1] == 1.0
    for stop in seen:

        def cancel(fraction, text, stop=stop):
            if fraction >= stop:
                raise Cancelled("by the test")

        with pytest.raises(Cancelled, match="by the test"):
            in_hu(make(), "scan", progress=cancel)
