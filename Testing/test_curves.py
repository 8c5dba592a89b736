"""Mathematics of sampled curves, and work in blocks: against closed forms and numpy."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from PyPeTLib import chunks
from PyPeTLib.chunks import BLOCK_ROWS, execute, in_chunks, in_parallel, mean_frame, share
from PyPeTLib.curves import (
    area_share,
    area_weights,
    between_frames,
    continuation,
    end_share,
    mean_enhancement,
    noise_correlation,
    noise_level,
    own_noise,
    peaks,
    robust_sd,
    uniform_grid,
)
from PyPeTLib.errors import Cancelled
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.records import Curves
from PyPeTLib.scan import Series

UNEVEN = np.array([0.0, 1.0, 2.0, 3.5, 5.0, 8.0, 11.0])


# --- peaks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", [3.0, 3.2, 3.5, 4.49])
def test_peak_of_a_parabola_is_exact_between_samples(top):
    samples = np.arange(8.0)
    found = peaks((7.0 - 0.3 * (samples - top) ** 2)[None])
    np.testing.assert_allclose(found, [[7.0, top]], rtol=1e-12)


def test_peak_at_either_end_is_the_sample_itself():
    np.testing.assert_array_equal(peaks(np.array([[5.0, 4.0, 1.0], [1.0, 4.0, 5.0]])), [[5.0, 0.0], [5.0, 2.0]])


def test_peak_of_a_flat_or_negative_curve_is_its_largest_sample():
    np.testing.assert_array_equal(peaks(np.array([[2.0, 2.0, 2.0], [-3.0, -3.0, -3.0]])), [[2.0, 0.0], [-3.0, 0.0]])
    np.testing.assert_array_equal(peaks(np.array([[-9.0, -8.0, 0.0, 2.0, 0.0, -7.0]])), [[2.0, 3.0]])
    np.testing.assert_array_equal(peaks(np.array([[1.0 - 2.0**-53, 1.0, 1.0]])), [[1.0, 1.0]])  # bends by rounding


def test_peaks_of_rows_do_not_depend_on_each_other():
    rows = np.random.default_rng(0).normal(size=(50, 20))
    order = np.random.default_rng(1).permutation(50)
    np.testing.assert_array_equal(peaks(rows)[order], peaks(rows[order]))


def test_peaks_converge_with_the_interval():
    errors = []
    for step in (1.0, 0.5, 0.25):
        times = np.arange(0.0, 40.0, step)
        height, place = peaks(100.0 * np.exp(-0.5 * ((times - 17.3) / 4.0) ** 2)[None])[0]
        errors.append((abs(height - 100.0), abs(step * place - 17.3)))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert (ratios > 3.0).all()  # at least second order


# --- areas ----------------------------------------------------------------------------------------------------------


def test_area_between_uneven_frames_is_the_trapezoidal_rule():
    """On times that are multiples of the shortest interval, where nothing is lost between the frames."""
    times = np.array([0.0, 1.0, 2.0, 4.0, 5.0, 8.0, 11.0, 12.0])
    curve = np.array([0.0, 3.0, -1.0, 7.0, 2.0, 5.0, 0.0, 0.0])
    assert area_weights(times) @ curve == pytest.approx(np.trapezoid(curve, times), rel=1e-12)


def test_area_is_that_of_the_continued_curve():
    times, curve = 2.0 * np.arange(60), np.linspace(0.0, 40.0, 60)
    assert area_weights(times) @ curve == pytest.approx(2.0 * (continuation(60) @ curve).sum(), rel=1e-12)


def test_area_of_a_washed_out_curve_is_its_integral(bolus):
    times = np.arange(80.0)
    error = 1.0 / (720 * bolus.scale_s**4)  # of the trapezoidal rule at a cubic onset: Δt⁴·f‴/720
    assert area_weights(times) @ bolus.aif(times) == pytest.approx(bolus.area_hu_s, rel=2 * error)


@pytest.mark.parametrize("interval", [0.5, 1.0, 2.0])
def test_area_includes_the_tail_beyond_the_scan(bolus, interval):
    """A curve that falls to 1/e in a quarter of the scan, as assumed, has its whole area; cut off, 6 % are missing."""
    times = np.arange(0.0, 80.0, interval)
    curve = bolus.washout(times, flow=1.0 / 20.0, mtt_s=20.0)
    assert np.trapezoid(curve, times) < 0.97 * bolus.area_hu_s
    assert area_weights(times) @ curve == pytest.approx(bolus.area_hu_s, rel=0.005)


def test_area_of_uneven_times_equals_that_of_even_ones(bolus):
    even, uneven = np.arange(0.0, 81.0, 1.0), np.concatenate([np.arange(0.0, 40.0, 1.0), np.arange(40.0, 81.0, 4.0)])
    areas = [area_weights(times) @ bolus.washout(times, flow=0.1, mtt_s=10.0) for times in (even, uneven)]
    assert areas[1] == pytest.approx(areas[0], rel=0.01)


@pytest.mark.parametrize("times", [np.arange(0.0, 80.0, 2.0), np.append(np.arange(40.0), np.arange(40.0, 80.0, 4.0))])
def test_share_of_blood_is_the_ratio_of_areas_tails_included(bolus, as_curves, times):
    """Blood that stays longer has a longer tail, and the scan ends in it."""
    aif, tissue = bolus.aif(times), bolus.washout(times, flow=0.04 / 20.0, mtt_s=20.0)
    assert np.trapezoid(tissue, times) < 0.97 * 0.04 * np.trapezoid(aif, times)
    np.testing.assert_allclose(area_share(as_curves([0.03 * aif, tissue]), aif, times), [0.03, 0.04], rtol=0.01)


def test_continuation_keeps_the_curve_and_lets_it_decay_from_its_last_level():
    curve = np.linspace(0.0, 40.0, 60)
    longer = continuation(60) @ curve
    np.testing.assert_array_equal(longer[:60], curve)
    assert (np.diff(longer[60:]) < 0).all() and longer[60:].min() > 0
    assert longer[60] == pytest.approx(curve[-3:].mean() * np.exp(-1 / 15))
    assert longer[119] < 0.02 * curve[-1]


def test_continuation_of_a_washed_out_curve_is_zero():
    curve = np.append(np.arange(50.0), np.zeros(10))
    np.testing.assert_array_equal(continuation(60)[60:] @ curve, np.zeros(60))


def test_end_share_is_the_mean_of_the_last_tenth_over_the_peak():
    curve = np.concatenate([[0.0, 50.0], np.zeros(16), [10.0, 20.0]])
    assert end_share(curve) == pytest.approx(15.0 / 50.0)


@pytest.mark.parametrize("sd", [0.5, 6.0])
def test_robust_sd_is_that_of_normal_noise_and_ignores_outliers(sd):
    values = np.random.default_rng(0).normal(0.0, sd, 40_000)
    values[:400] = 1e6
    assert robust_sd(values) == pytest.approx(sd, rel=0.03)  # 3 standard errors and the 1 % of outliers


@pytest.mark.parametrize("jumps_hu", [0.0, 5.0])
def test_noise_of_averaged_frames_is_that_which_as_many_independent_ones_leave_in_a_slow_curve(jumps_hu):
    """The mean of three frames has a third of the variance, and two and one of three frames in common."""
    rng = np.random.default_rng(0)
    own = rng.normal(30.0, 6.0, (60, 4000))
    averaged = (own[:-2] + own[1:-1] + own[2:]) / 3.0 + rng.normal(0.0, jumps_hu, (58, 1))
    assert noise_level(averaged) == pytest.approx(6.0, rel=0.05)
    np.testing.assert_allclose(noise_correlation(averaged)[0, :4], [1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0], atol=0.03)
    np.testing.assert_array_equal(noise_correlation(averaged[:4]), np.eye(4))  # too few to tell


@pytest.mark.parametrize(("part", "shared"), [(0.18, False), (0.4, True)])
def test_noise_is_shared_from_a_correlation_of_a_quarter_on(part, shared):
    """A frame with a part of the one before has a correlation of part / (1 + part²): 0.17, and 0.34."""
    own = np.random.default_rng(0).normal(30.0, 6.0, (61, 4000))
    found = noise_correlation(own[1:] + part * own[:-1])[0, 1]
    assert found == pytest.approx(part / (1.0 + part**2) if shared else 0.0, abs=0.03)


def test_noise_of_three_frames_is_known_and_of_two_is_not():
    noise = np.random.default_rng(0).normal(0.0, 2.0, (3, 40_000))
    assert own_noise(noise) == pytest.approx(2.0, rel=0.02)
    assert own_noise(noise[:2]) == 0.0


def test_contrast_is_no_noise_that_frames_share(bolus):
    """Of other height in every voxel it changes slowly, and more the further frames are apart."""
    rng, times = np.random.default_rng(1), np.arange(60.0)
    hu = rng.normal(30.0, 3.0, (60, 4000)) + bolus.aif(times)[:, None] * rng.uniform(0.0, 0.08, 4000)
    np.testing.assert_array_equal(noise_correlation(hu), np.eye(60))


def test_mean_enhancement_is_above_the_baseline_and_without_the_drift():
    mean_hu, drift_hu = np.array([11.0, 15.0, 34.0, 21.0]), np.array([1.0, 2.0, 3.0, 4.0])
    values = np.stack([mean_hu - 1.0, mean_hu + 1.0, np.full(4, 999.0)], axis=1).reshape(4, 1, 1, 3)
    grid = Geometry((3, 1, 1), (1.0, 1.0, 1.0))
    mask = Image(np.array([[[True, True, False]]]), grid)
    series = Series(values.astype(np.float32), np.arange(4.0), grid)
    found = mean_enhancement(series, mask, baseline_frames=2, drift_hu=drift_hu)
    np.testing.assert_allclose(found, [-1.5, 1.5, 19.5, 5.5])  # less 10 and 13, without drift


# --- even grid ------------------------------------------------------------------------------------------------------


def test_even_times_are_left_alone():
    times = 1.41 * np.arange(20)
    grid, resample = uniform_grid(times)
    np.testing.assert_array_equal(grid, times)
    np.testing.assert_array_equal(resample, np.eye(20))


@pytest.mark.parametrize(("off_s", "left_alone"), [(0.004, True), (0.006, False), (0.1, False)])
def test_times_that_differ_by_more_than_a_hundredth_are_uneven(off_s, left_alone):
    times = np.arange(20.0)
    times[7] += off_s
    grid, _ = uniform_grid(times)
    assert np.array_equal(grid, times) == left_alone
    assert left_alone or np.ptp(np.diff(grid)) < 1e-9


def test_uneven_times_are_interpolated_linearly_on_an_even_grid():
    grid, resample = uniform_grid(UNEVEN)
    curve = np.random.default_rng(0).normal(size=UNEVEN.size)
    assert np.ptp(np.diff(grid)) < 1e-9
    assert (grid[0], grid[-1]) == (UNEVEN[0], UNEVEN[-1])
    assert grid[1] - grid[0] <= np.diff(UNEVEN).min() + 1e-9
    np.testing.assert_allclose(resample @ curve, np.interp(grid, UNEVEN, curve), atol=1e-12)


def test_a_curve_between_uneven_frames_is_no_steeper_at_them_than_three_times_its_flatter_side():
    rng = np.random.default_rng(0)
    times, curve = np.cumsum(rng.uniform(0.2, 6.0, 40)), rng.normal(0.0, 20.0, 40)
    sides = np.abs(np.diff(curve) / np.diff(times))
    steepness = np.abs(between_frames(curve, times)(times[1:-1], 1)) / np.minimum(sides[:-1], sides[1:])
    assert steepness.max() == pytest.approx(3.0)
    smooth = np.exp(times / 40.0)  # no steeper anyway: that of the cubic spline
    np.testing.assert_array_equal(
        between_frames(smooth, times)(times, 1)[5:-5], CubicSpline(times, smooth)(times, 1)[5:-5]
    )


# --- blocks ---------------------------------------------------------------------------------------------------------


def test_blocks_keep_the_order_and_the_input():
    rows = np.arange(3.0 * BLOCK_ROWS + 7)
    rows.flags.writeable = False

    def slow_at_first(block):
        time.sleep(0.02 if block[0] == 0 else 0.0)
        return 2.0 * block

    np.testing.assert_array_equal(in_chunks(slow_at_first, rows), 2.0 * rows)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_result_does_not_depend_on_the_size_of_a_block(monkeypatch, size):
    rows = np.random.default_rng(0).normal(size=(1001, 20))
    whole = in_chunks(peaks, rows)
    monkeypatch.setattr(chunks, "BLOCK_ROWS", size)
    np.testing.assert_array_equal(in_chunks(peaks, rows), whole)


@pytest.mark.parametrize("processors", [1, 2, 64, None])
def test_result_does_not_depend_on_the_number_of_processors(monkeypatch, processors):
    rows = np.random.default_rng(0).normal(size=(4 * BLOCK_ROWS + 1, 8)).astype(np.float32)
    matrix = np.random.default_rng(1).normal(size=(8, 30)).astype(np.float32)
    expected = in_chunks(lambda block: block @ matrix, rows).tobytes()
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert in_chunks(lambda block: block @ matrix, rows).tobytes() == expected


def test_progress_of_blocks_rises_to_one():
    seen = []
    in_chunks(lambda block: block, np.zeros(4 * BLOCK_ROWS), progress=lambda fraction, _: seen.append(fraction))
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_cancelled_blocks_stop_at_once_and_leave_no_thread(monkeypatch):
    monkeypatch.setattr(chunks, "BLOCK_ROWS", 1)
    started = []

    def slow(block):
        started.append(1)
        time.sleep(0.01)
        return block

    def cancel(fraction, text):
        raise Cancelled("stopped by the test")

    threads = threading.active_count()
    with pytest.raises(Cancelled, match="stopped by the test"):
        in_chunks(slow, np.zeros(1000), progress=cancel)
    assert len(started) < 20 * (os.cpu_count() or 1)
    assert threading.active_count() == threads


def test_an_error_in_a_block_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        in_chunks(lambda block: block / (1 // 0), np.zeros(10))


def test_a_long_piece_of_work_is_waited_for_with_progress(monkeypatch):
    """Without calls meanwhile this test would wait for ever: the third call lets the piece end."""
    monkeypatch.setattr(chunks, "PATIENCE_S", 0.001)
    enough, seen = threading.Event(), []

    def progress(fraction, text):
        seen.append(fraction)
        if len(seen) == 3:
            enough.set()

    assert list(in_parallel(lambda _: enough.wait(60.0), [None, None], progress=progress)) == [True, True]
    assert seen[:3] == [0.0, 0.0, 0.0] and seen == sorted(seen) and seen[-1] == 1.0


def test_a_long_piece_of_work_is_cancelled_while_it_runs(monkeypatch):
    monkeypatch.setattr(chunks, "PATIENCE_S", 0.001)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    cancelled, begun = threading.Event(), []

    def work(number):
        begun.append(number)
        return cancelled.wait(60.0)

    def cancel(fraction, text):
        cancelled.set()
        raise Cancelled("stopped by the test")

    with pytest.raises(Cancelled, match="stopped by the test"):
        list(in_parallel(work, range(100), progress=cancel))
    assert len(begun) < 100, "what has not begun is dropped"


def test_mean_frame_is_that_of_numpy_to_the_last_bit():
    frames = np.random.default_rng(0).integers(-1024, 3000, (55, 3, 40, 30)).astype(np.int16)
    seen = []
    found = mean_frame(frames, progress=lambda fraction, _: seen.append(fraction))
    np.testing.assert_array_equal(found, frames.mean(axis=0, dtype=np.float32))
    assert len(seen) == 55 and seen[-1] == 1.0


def curvature_flow():
    import SimpleITK as sitk

    made = sitk.CurvatureFlowImageFilter()
    made.SetNumberOfIterations(20)
    return made, sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(4, 32, 32)).astype(np.float32))


def test_itk_reports_progress_and_gives_the_same_image():
    import SimpleITK as sitk

    made, image = curvature_flow()
    seen = []
    found = execute(made, image, progress=lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen) and len(seen) >= 20
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(curvature_flow()[0].Execute(image))
    )


@pytest.mark.parametrize("error", [Cancelled("by the test"), KeyError("mine"), KeyboardInterrupt()])
def test_itk_stops_at_once_with_the_callbacks_own_error(error, capfd):
    import SimpleITK as sitk

    made, image = curvature_flow()
    seen, iterations = [], []
    made.AddCommand(sitk.sitkIterationEvent, lambda: iterations.append(1))

    def progress(fraction, text):
        seen.append(threading.current_thread())
        if len(seen) == 5:
            raise error

    with pytest.raises(type(error)) as raised:
        execute(made, image, progress=progress)
    assert raised.value is error
    assert seen == 5 * [threading.main_thread()]
    assert len(iterations) < 10, "of 20"
    assert capfd.readouterr() == ("", "")


def test_an_error_of_itk_itself_is_kept():
    import SimpleITK as sitk

    made, _ = curvature_flow()
    with pytest.raises(RuntimeError, match="sitk::ERROR"):
        execute(made, sitk.Image([4, 4], sitk.sitkComplexFloat32), progress=lambda fraction, text: None)


def test_share_maps_a_step_into_the_whole_under_one_text():
    seen = []
    inner = share(lambda fraction, text: seen.append((fraction, text)), 0.2, 0.6, "Denoising")
    inner(0.0, "a")
    inner(0.5, "b")
    inner(1.0, "")
    assert seen == [(0.2, "Denoising"), (pytest.approx(0.4), "Denoising"), (pytest.approx(0.6), "Denoising")]


# --- curves as a sum of temporal components -------------------------------------------------------------------------


def test_mean_curve_and_hu_without_contrast_are_those_of_the_curves_written_out():
    """Three voxels of a grid of six, whose mean over time holds what contrast agent adds on average."""
    random = np.random.default_rng(0)
    mask = np.array([True, False, True, False, False, True]).reshape(1, 2, 3)
    basis, coefficients = (random.normal(size=shape).astype(np.float32) for shape in ((2, 5), (3, 2)))
    enhancement, native = coefficients.astype(float) @ basis, np.array([20.0, 35.0, 50.0])
    anatomy = (native + enhancement.mean(axis=1)).astype(np.float32)
    curves = Curves(coefficients, basis, np.zeros(3, dtype=np.float32), mask, anatomy)
    np.testing.assert_allclose(curves.native_hu, native, atol=1e-4)
    part = np.array([True, True, False, True, True, True]).reshape(1, 2, 3)
    np.testing.assert_allclose(curves.mean(part), enhancement[[0, 2]].mean(axis=0), atol=1e-5)
