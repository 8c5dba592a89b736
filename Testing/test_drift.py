"""Drift of the scanner: seen before the bolus, taken off, or said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings, analyze
from PyPeTLib.drift import CHANCE, FEWEST_FRAMES, LEAST_JUMPS_HU, _noise_of_mean, find_drift, find_jumps, taken_off
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.levels import MODEL_HU_PER_S, line_beside
from PyPeTLib.phantom import bolus_curve, head_phantom
from PyPeTLib.quality_frames import judge_drift, judge_jumps
from PyPeTLib.records import Drift, Jumps

VOXELS, VESSELS = 3000, np.arange(100)


def brain_hu(times, per_minute=0.0, seed=0, noise=1.0):
    """HU of a brain whose vessels fill from the tenth frame on, shape (t, voxel)."""
    hu = (
        35.0 + np.random.default_rng(seed).normal(0.0, noise, (times.size, VOXELS)) + per_minute / 60.0 * times[:, None]
    )
    hu[9:, VESSELS] += 200.0
    hu[10:] += 5.0
    return hu


def artery(times):
    return bolus_curve(times, arrival_s=9.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("per_minute", [-6.0, 3.0, 12.0])
@pytest.mark.parametrize("times", [np.arange(50.0), np.r_[np.arange(0.0, 20.0, 2.0), np.arange(20.0, 50.0)]])
def test_slope_is_that_of_the_tissue_before_the_bolus(settings, per_minute, times, dtype):
    found = find_drift(brain_hu(times, per_minute).astype(dtype), VESSELS, 10, artery(times), times, settings=settings)
    assert found.certain and found.corrected and found.frames == 9
    assert abs(found.hu_per_minute - per_minute) < 4.0 * found.sd_hu_per_minute
    assert found.visible_hu_per_minute == pytest.approx(
        3.4995 * found.sd_hu_per_minute, rel=1e-4
    )  # t of 7 degrees, 1 %
    np.testing.assert_allclose(np.diff(found.line_hu) / np.diff(times), found.hu_per_minute / 60.0)
    assert found.line_hu[:10].mean() == pytest.approx(0.0, abs=1e-9)


def test_its_sd_is_that_of_repeated_scans_and_chance_is_no_drift(settings):
    times = np.arange(40.0)
    found = [
        find_drift(brain_hu(times, seed=seed), VESSELS, 10, artery(times), times, settings=settings)
        for seed in range(300)
    ]
    spread = np.std([one.hu_per_minute for one in found])
    assert np.sqrt(np.mean([one.sd_hu_per_minute**2 for one in found])) == pytest.approx(spread, rel=0.3)
    assert min(one.sd_hu_per_minute for one in found) > 0.3 * spread  # frames that lie on a line by chance
    certain = [one.certain for one in found]
    assert np.mean(certain) < 3.0 * CHANCE
    assert not any(one.line_hu.any() for one in found if not one.certain)


def test_too_few_frames_before_the_bolus_tell_nothing(settings):
    times = np.arange(40.0)
    few = find_drift(brain_hu(times, 9.0), VESSELS, FEWEST_FRAMES, artery(times), times, settings=settings)
    assert not few.before_bolus and few.frames == times.size
    enough = find_drift(brain_hu(times, 9.0), VESSELS, FEWEST_FRAMES + 1, artery(times), times, settings=settings)
    assert enough.before_bolus and enough.frames == FEWEST_FRAMES
    assert judge_drift(None).status == "not applicable"


@pytest.mark.parametrize("shape", [0.0, 1.0])
@pytest.mark.parametrize("interval_s", [1.0, 2.8])
def test_the_whole_scan_tells_a_drift_where_few_frames_are_before_the_bolus(settings, interval_s, shape):
    times = np.arange(0.0, 60.0, interval_s)
    feeding = bolus_curve(times, arrival_s=4.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    for per_minute in (-5.0, 0.0, 2.5):
        hu = mixed_brain(per_minute / 60.0 * times, times, feeding, shape, noise=3.0)
        found = find_drift(hu, np.arange(0), 2, feeding, times, settings=settings)
        assert not found.before_bolus and found.frames == times.size
        assert found.certain == (per_minute != 0.0) == found.corrected, per_minute
        assert abs(found.hu_per_minute - per_minute) < 2.0 * found.sd_hu_per_minute < 1.5
        assert found.line_hu[:2].mean() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("arrival_s", "before"), [(10.0, False), (40.0, True)])
def test_that_is_asked_which_hides_less_frames_before_the_bolus_or_the_whole_scan(settings, arrival_s, before):
    """The mean has noise of its own: of it ten frames hide 2 HU a minute, forty 0.2, the whole scan 1.4 and 0.8."""
    times = np.arange(arrival_s + 40.0)
    feeding = bolus_curve(times, arrival_s=arrival_s, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    noise_hu = np.random.default_rng(5).normal(0.0, 0.05, times.size)
    hu = mixed_brain(2.0 / 60.0 * times + noise_hu, times, feeding)
    found = find_drift(hu, np.arange(0), int(arrival_s), feeding, times, settings=settings)
    assert found.before_bolus == before and found.frames == (int(arrival_s) - 1 if before else times.size)
    assert found.corrected and found.visible_hu_per_minute < 2.0
    assert abs(found.hu_per_minute - 2.0) < 2.0 * found.sd_hu_per_minute


def line_of(left_hu, per_minute):
    """Slope and SD in HU a minute of a brain that drifts, of which a fit leaves something."""
    still_hu, line = mixed_brain(noise=0.0).mean(axis=1), (TIMES - TIMES.mean()) / 60.0
    return 60.0 * np.array(line_beside(still_hu + per_minute * line + left_hu, ARTERY, TIMES))


@pytest.mark.parametrize("per_minute", [-4.0, 4.0])
def test_sd_of_the_whole_scan_is_that_of_repeated_scans(per_minute):
    """Tissue curves imitate lines that rise better than such that fall, and waves better than noise."""
    noise = [np.random.default_rng(seed).normal(0.0, 0.3, TIMES.size) for seed in range(25)]
    slopes, sds = np.array([line_of(one, per_minute) for one in noise]).T
    assert 0.6 < np.median(sds) / slopes.std(ddof=1) < 2.2
    assert line_of(1e-6 * noise[0], per_minute)[1] == pytest.approx(60.0 * MODEL_HU_PER_S, rel=0.01)
    slope, sd = line_of(0.3 * np.sqrt(2.0) * np.sin(TIMES / 2.0), per_minute)
    assert abs(slope - per_minute) < 2.0 * sd and sd > 2.0 * np.median(sds)


def test_tissue_curves_hide_a_rising_line_better_than_a_falling_one():
    noise = [np.random.default_rng(seed).normal(0.0, 0.3, TIMES.size) for seed in range(9)]
    falling, rising = (np.median([line_of(one, per_minute)[1] for one in noise]) for per_minute in (-4.0, 4.0))
    assert rising > 1.4 * falling


def test_nothing_tells_a_drift_where_contrast_agent_is_in_the_first_frame(settings):
    late = slice(12, None)
    hu, times, feeding = mixed_brain()[late], TIMES[late], ARTERY[late] - ARTERY[12]
    assert find_drift(hu, np.arange(0), 1, feeding, times, settings=settings) is None


def test_few_frames_that_a_fit_can_follow_are_no_drift(settings):
    """Of twenty frames a fit by half a dozen curves leaves little, drift or not."""
    times = np.arange(0.0, 60.0, 3.0)
    feeding = bolus_curve(times, arrival_s=8.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    found = []
    for seed in range(60):
        noise = np.random.default_rng(seed).normal(0.0, 0.05, (times.size, 1))  # all voxels have it, as in real means
        hu = mixed_brain(noise=0.0, times=times, artery=feeding)[:, ::500] + noise
        found.append(find_drift(hu, np.arange(0), 3, feeding, times, settings=settings))
    assert np.mean([one.certain for one in found]) < 0.05
    spread = np.std([one.hu_per_minute for one in found])
    assert 0.7 * spread < np.median([one.sd_hu_per_minute for one in found]) < 4.0 * spread


def test_vessels_do_not_count_for_a_drift_of_the_whole_scan(settings):
    hu = mixed_brain(noise=1.0)
    hu[:, :500] += 2.0 * TIMES[:, None]
    found = [find_drift(hu, some, 2, ARTERY, TIMES, settings=settings) for some in (np.arange(500), np.arange(0))]
    assert [one.certain for one in found] == [False, True]


def test_drift_is_unknown_where_no_fit_is_found(settings, monkeypatch):
    def endless(*_, **__):
        raise RuntimeError("Maximum number of iterations reached")

    monkeypatch.setattr("scipy.optimize.nnls", endless)
    assert find_drift(mixed_brain(), np.arange(0), 2, ARTERY, TIMES, settings=settings) is None


def test_what_the_whole_scan_tells_is_said(settings):
    times = np.arange(0.0, 60.0, 2.0)
    feeding = bolus_curve(times, arrival_s=4.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    hu = mixed_brain(0.1 * times, times, feeding)
    said = judge_drift(find_drift(hu, np.arange(0), 3, feeding, times, settings=settings))
    assert said.status == "warn" and "all 30 frames" in said.text and "Beside contrast agent" in said.text
    steady = judge_drift(
        find_drift(mixed_brain(0.0, times, feeding), np.arange(0), 3, feeding, times, settings=settings)
    )
    assert steady.status == "pass" and "hides drifts below" in steady.text


def test_scan_with_few_frames_before_the_bolus_has_the_maps_of_one_that_does_not_drift(tiny_head):
    """Frames of two seconds: a third of the volume was drift, and no core was found."""
    options = replace(tiny_head.options, noise_hu=1.0, interval_s=2.0, frames=30, bolus_arrival_s=7.0)
    series = head_phantom(options).series
    line = (4.0 / 60.0) * series.times_s.astype(np.float32)
    drifting = replace(series, values=series.values.astype(np.float32) + line[:, None, None, None])
    still, taken = (analyze(scan, Settings(residue="exponential")) for scan in (series, drifting))
    assert not still.drift.before_bolus and not still.drift.corrected and taken.drift.corrected
    tissue = still.tissue.values & taken.tissue.values
    for name in ("cbv", "cbf", "mtt"):
        one, other = (float(np.nanmedian(dict(run.maps.items())[name].values[tissue])) for run in (still, taken))
        assert other == pytest.approx(one, rel=0.06), name
    assert "told beside" in taken.methods_text and "told beside" not in still.methods_text


def test_it_may_be_left_in_and_is_said_all_the_same():
    times = np.arange(50.0)
    left = find_drift(brain_hu(times, -6.0), VESSELS, 10, artery(times), times, settings=Settings(drift="off"))
    assert left.certain and not left.corrected and not left.line_hu.any()
    said = judge_drift(left)
    assert said.status == "warn" and "−6" in said.text and "too small" in said.text
    assert "too large" in judge_drift(replace(left, hu_per_minute=6.0)).text
    hidden = judge_drift(replace(left, visible_hu_per_minute=7.0))
    assert hidden.status == "pass" and "below 7.0" in hidden.text


@pytest.mark.parametrize("denoise", ["bilateral", "none"])
def test_a_scan_that_drifts_has_the_maps_of_one_that_does_not(tiny_head, denoise):
    """Three HU a minute are half of the enhancement of white matter by the end of a scan."""
    tiny_head = head_phantom(replace(tiny_head.options, noise_hu=0.5))  # so few and large voxels tell little else
    series = tiny_head.series
    line = (3.0 / 60.0) * series.times_s
    drifting = replace(series, values=series.values.astype(np.float32) + line[:, None, None, None].astype(np.float32))
    off, auto = (Settings(denoise=denoise, residue="exponential", drift=word) for word in ("off", "auto"))
    still, taken, left = (analyze(scan, chosen) for scan, chosen in ((series, auto), (drifting, auto), (drifting, off)))
    assert not still.drift.corrected and taken.drift.corrected and not left.drift.corrected
    tissue = tiny_head.masks["pure_tissue"].values & still.tissue.values

    def median(analysis, name):
        return float(np.nanmedian(dict(analysis.maps.items())[name].values[tissue]))

    for name in ("cbv", "cbf", "mtt"):
        assert median(taken, name) == pytest.approx(median(still, name), rel=0.06)
    assert median(left, "cbv") > 1.3 * median(still, "cbv")
    drifts = {check.name: check.status for check in taken.checks}["drift"]
    assert drifts == "warn" and "drift of +3" in taken.methods_text and "drift of" not in still.methods_text


def test_sd_of_a_slope_is_that_which_independent_frames_would_leave(settings):
    """The mean of three frames: a slow curve has the noise of independent ones, though frames differ far less."""
    found = []
    for seed in range(20):
        hu = brain_hu(np.arange(40.0), seed=seed)
        averaged = (hu[:-2] + hu[1:-1] + hu[2:]) / 3.0
        found.append(
            find_drift(
                averaged, VESSELS, 8, artery(np.arange(38.0)), np.arange(38.0), settings=settings
            ).sd_hu_per_minute
        )
    of_mean, away = 1.0 / np.sqrt(VOXELS - VESSELS.size), np.arange(7.0) - 3.0
    assert np.median(found) == pytest.approx(60.0 * of_mean / np.linalg.norm(away), rel=0.25)


@pytest.mark.parametrize("apart", [1, 2])
def test_noise_of_a_mean_is_what_misses_the_line_between_frames_whatever_their_times(apart):
    times = np.cumsum(np.resize((1.0, 1.0, 3.0, 0.5), 4000))
    noise = np.random.default_rng(7).normal(0.0, 2.0, times.size)
    assert _noise_of_mean(7.0 - 0.3 * times, times, apart) < 1e-9
    assert _noise_of_mean(7.0 - 0.3 * times + noise, times, apart) == pytest.approx(2.0, rel=0.05)
    few = 2 * apart
    assert _noise_of_mean(noise[:few], times[:few], apart) == 0.0, "no frame lies between two others"


def test_noise_that_frames_share_is_no_drift_more_often_than_chance_has_it(settings):
    """Interpolated to twice as many frames neighbours hardly differ; slopes looked certain in a third of such scans."""
    times = np.arange(39.0)
    found = []
    for seed in range(300):
        hu = brain_hu(np.arange(0.0, 40.0, 2.0), seed=seed)
        twice = np.repeat(hu, 2, axis=0)[:-1]
        twice[1::2] = 0.5 * (twice[:-1:2] + twice[2::2])
        found.append(find_drift(twice, VESSELS, 12, artery(times), times, settings=settings))
    assert np.mean([one.line_hu.any() for one in found]) < 0.05


# --- jumps ----------------------------------------------------------------------------------------------------------

TIMES = np.arange(50.0)
ARTERY = bolus_curve(TIMES, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)


def mixed_brain(jumps_hu=0.0, times=TIMES, artery=ARTERY, shape=1.0, noise=6.0, seed=0):
    """HU of tissue of many delays and transit times whose frames differ in level, shape (t, voxel)."""
    delays, mtts = np.array([0.0, 1.0, 2.5, 6.0]), np.array([3.0, 5.0, 9.0])
    curves = 0.04 * tissue_curves(artery, times, delays_s=delays, mtts_s=mtts, shape=shape).reshape(-1, times.size)
    hu = 35.0 + np.repeat(curves, 2000, axis=0).T
    hu += np.random.default_rng(seed).normal(0.0, noise, hu.shape)
    return hu + np.broadcast_to(jumps_hu, times.shape)[:, None]


def jumps_of(hu, times=TIMES, artery=ARTERY, known=None, **chosen):
    return find_jumps(hu, np.arange(0), artery, known, times, settings=Settings(**chosen))


@pytest.mark.parametrize("sd", [0.3, 1.0])
def test_jumps_of_all_hu_are_found_but_for_what_looks_like_tissue(sd):
    jumps_hu = np.random.default_rng(3).normal(0.0, sd, TIMES.size)
    found = jumps_of(mixed_brain(jumps_hu))
    assert found.certain and found.corrected
    assert found.sd_hu == pytest.approx(sd, rel=0.25)
    missed = (jumps_hu - jumps_hu.mean()) - (found.hu - found.hu.mean())
    assert missed.std() < 0.45 * sd  # a few of fifty directions


@pytest.mark.parametrize("size", [8.0, -60.0])
@pytest.mark.parametrize("frame", [0, 20, 49])
def test_one_frame_of_another_level_is_found_whole_and_changes_no_other(frame, size):
    jumps_hu = np.where(np.arange(TIMES.size) == frame, size, 0.0)
    found = jumps_of(mixed_brain(jumps_hu))
    assert found.corrected and found.largest == frame
    assert found.hu[frame] - np.median(found.hu) == pytest.approx(size, abs=0.3)
    assert np.abs(np.delete(found.hu - np.median(found.hu), frame)).max() < 0.3


@pytest.mark.parametrize("shape", [1.0, 3.0, float("inf")])
@pytest.mark.parametrize(
    "times", [TIMES, np.arange(0.0, 60.0, 2.0), np.r_[np.arange(0.0, 30.0), np.arange(30.0, 60.0, 3.0)]]
)
def test_a_steady_scan_has_none_whatever_its_residue_and_times(shape, times):
    artery = bolus_curve(times, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    found = jumps_of(mixed_brain(times=times, artery=artery, shape=shape), times, artery)
    assert not found.certain and not found.corrected and found.sd_hu < 0.6 * LEAST_JUMPS_HU


def test_noise_of_a_small_brain_is_no_jumps():
    hu = mixed_brain(noise=6.0)[:, ::40]
    found = jumps_of(hu)
    assert found.sd_hu > LEAST_JUMPS_HU and not found.certain
    assert jumps_of(hu + np.random.default_rng(3).normal(0.0, 2.0, (TIMES.size, 1))).certain


def test_what_a_wrong_artery_leaves_is_smooth_and_no_jumps():
    late = bolus_curve(TIMES, arrival_s=16.0, width_s=16.0, peak_hu=300.0, recirculation=0.2)
    found = jumps_of(mixed_brain(noise=2.0), artery=late)
    assert found.sd_hu > LEAST_JUMPS_HU and not found.certain and not found.corrected


def test_hardly_any_frames_tell_no_jumps(settings):
    few = np.arange(4.0)
    found = find_jumps(np.full((4, 100), 35.0), np.arange(0), few, None, few, settings=settings)
    assert not found.certain and not found.hu.any()


def test_jumps_may_be_left_in_and_drift_comes_off_beside_them():
    jumps_hu = np.random.default_rng(3).normal(0.0, 0.5, TIMES.size)
    left = jumps_of(mixed_brain(jumps_hu), drift="off")
    assert left.certain and not left.corrected
    assert not taken_off(None, left).any()
    drift = Drift(3.0, 0.1, 0.3, 9, True, 0.05 * (TIMES - 5.0))
    both = jumps_of(mixed_brain(jumps_hu + drift.line_hu), known=drift)
    np.testing.assert_allclose(both.hu, left.hu, atol=1e-6)
    np.testing.assert_allclose(taken_off(drift, both), drift.line_hu + both.hu)


@pytest.mark.parametrize(("largest_hu", "status"), [(4.9, "pass"), (5.1, "warn"), (-5.1, "warn")])
def test_a_single_frame_that_is_off_by_more_than_five_hu_is_to_be_looked_at(largest_hu, status):
    jumps_hu = np.zeros(400)
    jumps_hu[30] = largest_hu
    told = judge_jumps(Jumps(jumps_hu, True, True))
    assert told.status == status and ("Look at that frame (step 1)" in told.text) == (status == "warn")
    assert "most in frame 31 of 400" in told.text


@pytest.mark.parametrize(("sd_hu", "status"), [(0.39, "pass"), (0.41, "warn")])
def test_jumps_of_more_than_four_tenths_of_a_hu_leave_doubt(sd_hu, status):
    told = judge_jumps(Jumps(np.resize([sd_hu, -sd_hu], 100), True, True))
    assert told.status == status and told.value == pytest.approx(sd_hu)


@pytest.mark.parametrize(
    ("hu", "certain", "corrected", "status", "words"),
    [
        (0.1, False, False, "pass", "no more than contrast agent explains"),
        (0.3, True, True, "pass", "taken off every frame"),
        (0.5, True, True, "warn", "flow and lesions are doubtful"),
        (9.0, True, True, "warn", "Look at that frame"),
        (0.4, True, False, "warn", "drift=off"),
    ],
)
def test_jumps_are_told_with_size_frame_and_what_was_done(hu, certain, corrected, status, words):
    told = judge_jumps(Jumps(np.r_[np.tile([hu, -hu], 50), hu + 0.001], certain, corrected))
    assert (told.name, told.status) == ("frame level", status) and words in told.text
    assert not certain or (f"{hu:.2f} HU (SD)" in told.text and "frame 101 of 101" in told.text)


def test_a_scan_whose_frames_jump_has_the_maps_of_one_whose_do_not(tiny_head, tiny_analysis):
    """Jumps of half a HU, a twelfth of the noise of a voxel, took a quarter of the late tissue."""
    series = tiny_head.series
    level = np.random.default_rng(1).normal(0.0, 0.5, series.frames)
    level[0] = 8.0
    jumping = replace(series, values=np.rint(series.values + level[:, None, None, None]).astype(np.int16))
    found, left = analyze(jumping), analyze(jumping, Settings(drift="off"))
    assert found.jumps.corrected and found.jumps.largest == 0 and "Jumps of all HU" in found.methods_text
    tissue = tiny_analysis.tissue.values & found.tissue.values & left.tissue.values
    for name in ("cbf", "cbv", "tmax"):
        wanted, one, other = (getattr(run.maps, name).values[tissue] for run in (tiny_analysis, found, left))
        assert np.abs(one - wanted).mean() < 0.5 * np.abs(other - wanted).mean()
