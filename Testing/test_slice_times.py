"""Slices of a frame that were acquired at different times."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import gamma

from PyPeTLib import Settings, analyze, read_series
from PyPeTLib.errors import InputError
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.slice_times import at_times, take_together
from PyPeTLib.truth import compare_with_truth
from PyPeTLib.write import write_series


@pytest.fixture(scope="module")
def to_and_fro(tmp_path_factory):
    """A head whose upper half is scanned 1.2 s after the lower one: its file, when, and the phantom."""
    options = HeadOptions(size=(112, 112, 8), spacing_mm=(1.8, 1.8, 8.0), frames=28, interval_s=2.0, seed=5)
    phantom = head_phantom(options)
    late = head_phantom(replace(options, times_s=tuple((2.0 * np.arange(28) + 1.2).tolist())))
    values = phantom.series.values.copy()
    values[:, 4:] = late.series.values[:, 4:]
    path = tmp_path_factory.mktemp("slices") / "a_ctp.nii.gz"
    write_series(replace(phantom.series, values=values), path)
    return path, [0.0] * 4 + [1.2] * 4, phantom


def listed(path, offsets_s, **more):
    path.with_name("a_ctp.json").write_text(json.dumps({"SliceTiming": offsets_s, **more}))
    return read_series(path)


def not_listed(path):
    path.with_name("a_ctp.json").unlink(missing_ok=True)
    return read_series(path)


def delay_between_halves(series, phantom):
    """By how much the upper half is later than the truth, against the lower one, in s."""
    analysis = analyze(series, Settings())
    wrong = analysis.maps.delay.values - phantom.truth["delay"].values
    tissue = phantom.masks["pure_tissue"].values & ~phantom.masks["near_vessel"].values & np.isfinite(wrong)
    lower, upper = (np.median(wrong[half][tissue[half]]) for half in (slice(0, 4), slice(4, 8)))
    return upper - lower, analysis


def test_slice_times_of_a_sidecar_take_the_error_off_all_delays(to_and_fro):
    """The upper half seems 1.2 s too early, until the file beside the scan says when it was acquired."""
    path, offsets_s, phantom = to_and_fro
    ignored, _ = delay_between_halves(not_listed(path), phantom)
    known = listed(path, offsets_s)
    apart, analysis = delay_between_halves(known, phantom)
    assert ignored < -0.7
    assert abs(apart) < 0.25
    assert 0.9 < compare_with_truth(analysis, phantom)["cbf_slope"] < 1.12
    assert "acquired up to 0.6 s from the time of their frame, were taken to it by cubic" in analysis.methods_text
    told = next(check for check in known.checks if check.name == "slice times")
    assert (told.status, told.value) == ("warn", pytest.approx(0.6))


def test_slices_that_are_nearly_together_stay_as_they_are(to_and_fro):
    path, _, _ = to_and_fro
    plain = not_listed(path)
    series = listed(path, [0.0] * 4 + [0.3] * 4)
    np.testing.assert_array_equal(series.values, plain.values)
    assert next(check for check in series.checks if check.name == "slice times").status == "pass"


@pytest.mark.parametrize("offsets_s", [[0.0] * 7, ["a"] * 8, 1.0, [0.0] * 7 + [float("nan")]])
def test_a_list_that_does_not_fit_is_refused(to_and_fro, offsets_s):
    path, _, _ = to_and_fro
    with pytest.raises(InputError, match=r"Sidecar a_ctp\.json: SliceTiming needs"):
        listed(path, offsets_s)


def test_slices_may_be_counted_from_the_last_one(to_and_fro):
    path, offsets_s, _ = to_and_fro
    expected = listed(path, offsets_s)
    for direction, seconds in (("k", offsets_s), ("k-", offsets_s[::-1])):
        found = listed(path, seconds, SliceEncodingDirection=direction)
        np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize("direction", ["i", "j-", "", 3, ["k"]])
def test_slices_along_another_axis_than_the_third_are_refused(to_and_fro, direction):
    path, offsets_s, _ = to_and_fro
    match = re.escape(f"SliceEncodingDirection k or k-; found {direction!r}. Mend or remove it.")
    with pytest.raises(InputError, match=rf"SliceTiming needs slices along the third axis, {match}"):
        listed(path, offsets_s, SliceEncodingDirection=direction)


def test_slices_may_take_all_of_a_frame(to_and_fro):
    """Times in files are rounded: a step of the frames of 1.9999 s is as long as offsets to 2 s."""
    path, _, _ = to_and_fro
    step_s = np.diff(not_listed(path).times_s).max()
    assert listed(path, [0.0] * 7 + [float(step_s) + 5e-4]).values.shape[1] == 8


@pytest.mark.parametrize("offsets_s", [[0.0, 200.0] * 4, [0.0] * 7 + [100.0]])
def test_times_that_belong_to_no_one_frame_are_refused(to_and_fro, offsets_s):
    """In ms, or of another slice."""
    path, _, _ = to_and_fro
    match = r"SliceTiming needs times in s that belong to one frame, no further apart than frames, .* found 0 to [12]00"
    with pytest.raises(InputError, match=match):
        listed(path, offsets_s)


def test_read_only_values_are_copied_and_others_changed_in_place():
    values = np.arange(24, dtype=np.int16).reshape(6, 2, 2, 1)
    own_s = np.arange(6.0)[:, None] + [0.0, 1.0]
    fixed = values.copy()
    fixed.flags.writeable = False
    changed, _ = take_together(fixed, own_s, own_s.mean(axis=1))
    np.testing.assert_array_equal(fixed, values)
    same, _ = take_together(values, own_s, own_s.mean(axis=1))
    assert same is values
    np.testing.assert_array_equal(same, changed)
    np.testing.assert_array_equal(same[:-1, 0, 0, 0], fixed[:-1, 0, 0, 0] + 2)
    np.testing.assert_array_equal(same[1:, 1, 0, 0], fixed[1:, 1, 0, 0] - 2)


def test_values_stay_within_their_type():
    """A spline overshoots beside a step."""
    step = np.repeat([0, 255], 4)[:, None].astype(np.uint8)
    found = at_times(step, np.arange(8.0), np.arange(8.0) + 0.5)[:, 0]
    assert found[:3].max() < 20
    assert found[4:].min() > 235


def test_splines_between_frames():
    """Exact for cubics between the frames, and what the ends show beyond them."""
    own = np.array([0.0, 1.0, 2.5, 3.5, 5.0, 6.0])
    cubic = (own - 2.0) ** 3
    there = np.array([-1.0, 0.5, 2.0, 4.0, 5.5, 9.0])
    expected = (np.clip(there, 0.0, 6.0) - 2.0) ** 3
    np.testing.assert_allclose(at_times(cubic[:, None], own, there)[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("early_s", [0.0, 0.1, 0.2])
def test_noise_does_not_grow_at_the_ends_of_a_tables_way(early_s):
    """There frames come in pairs: a table that moves to and fro in 1.5 s comes back after 0.3 s, and leaves for 2.7 s.

    Splines through all frames have up to 2.8 times the noise. The bolus keeps its course, to 6 % of its peak.
    """
    mean_s = 1.5 * np.arange(32.0)
    own_s = mean_s + np.where(np.arange(32) % 2, 0.6 - early_s, early_s - 0.6)
    noise = np.random.default_rng(0).normal(0.0, 5.0, (32, 20000))
    assert at_times(noise, own_s, mean_s)[2:-2].std() <= 5.1
    bolus = 400.0 * gamma.pdf(own_s - 8.0, 4.0, scale=2.0), 400.0 * gamma.pdf(mean_s - 8.0, 4.0, scale=2.0)
    np.testing.assert_allclose(at_times(bolus[0][:, None], own_s, mean_s)[:, 0], bolus[1], atol=0.06 * bolus[1].max())


@pytest.mark.parametrize("frames", range(8, 40))
@pytest.mark.parametrize("interval_s", [0.7, 1.0, 1.7, 2.1])
def test_slices_taken_at_the_times_of_the_frames_stay_as_they_are(frames, interval_s):
    """As the middle one of an odd number: the noise of their spline is 1 but for rounding, above or below."""
    times_s = interval_s * np.arange(frames)
    values = np.random.default_rng(1).normal(0.0, 5.0, (frames, 7))
    np.testing.assert_allclose(at_times(values, times_s, times_s), values, atol=1e-4)


def test_slices_that_are_not_seen_for_long_are_told():
    """A sweep of 2.5 s every 3 s comes back to its ends after 0.5 s, then after 5.5 s."""
    mean_s = 3.0 * np.arange(8.0)
    back = np.where(np.arange(8) % 2, 1.25, -1.25)[:, None] * [1.0, -1.0]
    own_s = mean_s[:, None] + np.insert(back, 1, 0.0, axis=1)
    _, check = take_together(np.zeros((8, 3, 1, 1)), own_s, mean_s)
    assert "Some slices were not seen for up to 5.5 s, which does not resolve the first pass" in check.text
    _, check = take_together(np.zeros((8, 3, 1, 1)), 0.5 * own_s, 0.5 * mean_s)
    assert check.doubtful and "not seen" not in check.text
