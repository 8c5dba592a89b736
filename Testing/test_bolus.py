"""Bolus arrival and baseline, from voxels of known curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import QualityError, Settings
from PyPeTLib.bolus import before_artery, find_bolus
from PyPeTLib.curves import noise_correlation, noise_level
from PyPeTLib.phantom import bolus_curve
from PyPeTLib.records import GammaVariate
from PyPeTLib.vessels import likely_vessels

TISSUE, ARTERIES, VEINS = 4000, 80, 120  # vessels are 3 to 5 % of a brain


def brain_hu(times, arrival, noise=6.0, peak=300.0, width=9.0, seed=0, arteries=ARTERIES, veins=VEINS, share=1.0):
    """HU of tissue, arteries and veins with a bolus that recirculates, shape (t, voxel)."""

    def enhancing(delay, share):
        return share * bolus_curve(
            times, arrival_s=arrival + delay, width_s=width + 0.5 * delay, peak_hu=peak, recirculation=0.15
        )

    curves = [(TISSUE, 35.0, 3.0, 0.04), (arteries, 40.0, 0.0, share), (veins, 40.0, 5.0, 0.9)]
    rows = np.concatenate([np.tile(base + enhancing(delay, share), (n, 1)) for n, base, delay, share in curves])
    return (rows + np.random.default_rng(seed).normal(0.0, noise, rows.shape)).T


def bolus_of(hu, times, *, settings):
    """The bolus of the voxels that a scan's own search takes for vessels."""
    likely = likely_vessels(hu)
    return find_bolus(likely.hu, likely.noise_hu, times, settings=settings)


def rise_time(times, arrival, share, peak=300.0):
    """When the arterial curve, drawn straight between the frames, has risen by a share of its largest sample."""
    curve = bolus_curve(times, arrival_s=arrival, width_s=9.0, peak_hu=peak, recirculation=0.15)
    first = int((curve >= share * curve.max()).argmax())
    low, high = curve[first - 1], curve[first]
    return times[first - 1] + (times[first] - times[first - 1]) * (share * curve.max() - low) / (high - low)


@pytest.mark.parametrize("interval", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("arrival", [6.5, 10.0, 17.3, 30.0])
def test_arrival_is_found_early_and_late_at_any_interval(settings, arrival, interval):
    times = np.arange(0.0, arrival + 40.0, interval)
    found = bolus_of(brain_hu(times, arrival), times, settings=settings)
    assert found.arrival_s == pytest.approx(rise_time(times, arrival, settings.arrival_rise), abs=0.2 + 0.1 * interval)
    assert arrival - interval < found.arrival_s < arrival + 2.0 + interval
    assert times[found.baseline_frames - 1] < found.arrival_s


@pytest.mark.parametrize("interval", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("arrival", [6.5, 12.0, 30.0])
def test_baseline_holds_all_frames_before_contrast_and_none_with_it(settings, arrival, interval):
    times = np.arange(0.0, arrival + 40.0, interval)
    frames = bolus_of(brain_hu(times, arrival), times, settings=settings).baseline_frames
    artery = bolus_curve(times, arrival_s=arrival, width_s=9.0, peak_hu=300.0, recirculation=0.15)
    assert artery[:frames].max() < 0.03 * artery.max()
    assert frames >= np.count_nonzero(times <= arrival) - 1


def test_uneven_times_give_the_arrival_in_seconds(settings):
    times = np.concatenate([np.arange(0.0, 12.0, 3.0), np.arange(12.0, 40.0, 1.0), np.arange(40.0, 70.0, 3.0)])
    found = bolus_of(brain_hu(times, 14.0), times, settings=settings)
    assert found.arrival_s == pytest.approx(rise_time(times, 14.0, settings.arrival_rise), abs=0.3)


def test_arrival_moves_with_time_zero_and_with_the_interval(settings):
    times = np.arange(60.0)
    hu = brain_hu(times, 12.0)
    base = bolus_of(hu, times, settings=settings)
    assert bolus_of(hu, times + 100.0, settings=settings).arrival_s == pytest.approx(base.arrival_s + 100.0)
    assert bolus_of(hu, 2.0 * times, settings=settings).arrival_s == pytest.approx(2.0 * base.arrival_s)


def test_arrival_is_that_of_arteries_not_of_veins_or_tissue(settings):
    times = np.arange(60.0)
    hu = brain_hu(times, 12.0)
    later = bolus_of(np.delete(hu, slice(TISSUE, TISSUE + ARTERIES), axis=1), times, settings=settings)
    assert bolus_of(hu, times, settings=settings).arrival_s < later.arrival_s - 2.0


def test_arrival_is_that_of_arteries_even_where_veins_are_taller(settings):
    """Thin arteries show a third of their blood; waiting for the veins would cost five seconds."""
    times = np.arange(60.0)
    found = bolus_of(brain_hu(times, 12.0, share=0.35), times, settings=settings)
    assert found.arrival_s == pytest.approx(rise_time(times, 12.0, found.threshold), abs=1.0)
    assert times[found.baseline_frames - 1] <= 14.0


def test_arrival_is_found_where_vessels_are_few(settings):
    """A slab above the large arteries, or a user's mask: 1 % arteries, 1.5 % veins."""
    times = np.arange(60.0)
    found = bolus_of(brain_hu(times, 12.0, arteries=40, veins=60), times, settings=settings)
    assert found.arrival_s == pytest.approx(rise_time(times, 12.0, settings.arrival_rise), abs=1.0)


def test_low_vessels_that_noise_lifts_before_the_bolus_are_not_the_earliest(settings):
    """Of a head that is late by half, most likely vessels are small, late ones, whose rise hardly exceeds the noise."""
    times, sd = np.arange(50.0), 3.0
    late = bolus_curve(times, arrival_s=16.0, width_s=11.0, peak_hu=12.0 * sd, recirculation=0.0)
    early = bolus_curve(times, arrival_s=9.0, width_s=9.0, peak_hu=250.0, recirculation=0.15)
    curves = np.concatenate([np.tile(late, (1500, 1)), np.tile(early, (60, 1))])
    hu = curves + np.random.default_rng(3).normal(40.0, sd, curves.shape)
    found = find_bolus(hu.T, np.full(1560, sd), times, settings=settings)
    assert found.arrival_s == pytest.approx(rise_time(times, 9.0, settings.arrival_rise, peak=250.0), abs=0.2)
    assert found.rise_hu > 200.0


def test_order_of_voxels_and_level_of_hu_do_not_matter(settings):
    times = np.arange(60.0)
    hu = brain_hu(times, 12.0)
    base = bolus_of(hu, times, settings=settings)
    shuffled = hu[:, np.random.default_rng(1).permutation(hu.shape[1])]
    for other in (shuffled, hu + 1024.0):
        found = bolus_of(other, times, settings=settings)
        assert found.arrival_s == pytest.approx(base.arrival_s, abs=0.1)
        assert found.baseline_frames == base.baseline_frames


def test_whole_numbers_are_as_good_as_floats(settings):
    times = np.arange(60.0)
    hu = brain_hu(times, 12.0)
    whole = bolus_of(np.round(hu).astype(np.int16), times, settings=settings)
    assert whole.arrival_s == pytest.approx(bolus_of(hu, times, settings=settings).arrival_s, abs=0.1)


@pytest.mark.parametrize(("noise", "peak"), [(0.0, 60.0), (3.0, 60.0), (6.0, 100.0), (12.0, 400.0)])
def test_noise_and_weak_boluses_do_not_move_arrival_by_more_than_they_hide(settings, noise, peak):
    times = np.arange(60.0)
    found = bolus_of(brain_hu(times, 12.0, noise, peak), times, settings=settings)
    hidden = 4.0 * noise / np.sqrt(0.15 * (ARTERIES + VEINS)) / peak  # what cannot be told from noise
    latest = rise_time(times, 12.0, min(0.8, max(settings.arrival_rise, hidden) + hidden), peak)
    assert 11.0 < found.arrival_s < latest + 1.0


def test_signal_is_a_share_of_its_maximum_above_the_baseline(settings):
    times = np.arange(60.0)
    found = bolus_of(brain_hu(times, 12.0), times, settings=settings)
    assert found.signal.max() == 1.0
    assert found.signal[: found.baseline_frames].mean() == pytest.approx(0.0, abs=1e-9)
    assert found.rise_hu == pytest.approx(300.0, rel=0.1)
    assert found.threshold == pytest.approx(0.05, abs=0.03)


def test_arrival_rise_is_the_share_of_the_rise_that_counts(settings):
    times = np.arange(60.0)
    hu = brain_hu(times, 12.0, noise=0.5)
    for share in (0.05, 0.2, 0.5):
        found = bolus_of(hu, times, settings=Settings(arrival_rise=share))
        assert found.arrival_s == pytest.approx(rise_time(times, 12.0, share), abs=0.2)


def test_scan_without_bolus_is_refused_with_both_numbers():
    noise = np.random.default_rng(0).normal(35.0, 2.0, (40, 4000))
    with pytest.raises(QualityError, match=r"at least 5 voxels that change by \d+ HU .* are needed; found 0\. Check"):
        bolus_of(noise, np.arange(40.0), settings=Settings())


def test_bolus_below_the_wanted_enhancement_is_refused_with_both_numbers():
    times = np.arange(60.0)
    with pytest.raises(QualityError, match=r"at least 50 HU are needed; .* rise by \d+\.\d HU\. Check"):
        bolus_of(brain_hu(times, 12.0) / 10.0, times, settings=Settings(minimum_enhancement_hu=50.0))


def test_arrival_counts_from_four_sds_of_the_noise_of_the_vessels_mean(settings):
    """Of five vessels of 300 HU with noise of 20 HU each 35.8 HU, 12 % of the rise; the baseline lies below 26.8 HU."""
    times = np.arange(0.0, 60.0, 0.5)
    curve = bolus_curve(times, arrival_s=12.0, width_s=9.0, peak_hu=300.0, recirculation=0.15)
    found = find_bolus(40.0 + np.repeat(curve[:, None], 5, axis=1), np.full(5, 20.0), times, settings=settings)
    noise_hu = 4.0 * 20.0 / np.sqrt(5.0)
    assert found.threshold == pytest.approx(noise_hu / curve.max(), rel=0.01)
    assert found.arrival_s == pytest.approx(rise_time(times, 12.0, noise_hu / curve.max()), abs=0.05)
    assert curve[found.baseline_frames - 1] < 0.75 * noise_hu < curve[found.baseline_frames]


@pytest.mark.parametrize(("sds", "share"), [(5.0, 0.0), (8.0, 0.2)])
def test_vessels_fall_where_the_first_frame_is_six_sds_above_the_last_tenth(settings, sds, share):
    """Of a scan that ends soon after the peak: in its second half contrast is still there, in its last tenth hardly."""
    times, noise_hu = np.arange(41.0), 5.0
    curve = bolus_curve(times, arrival_s=12.0, width_s=9.0, peak_hu=300.0, recirculation=0.0)
    hu = 40.0 + np.repeat(curve[:, None], 50, axis=1)
    hu[0, :10] += sds * noise_hu
    assert curve[-4:].mean() < noise_hu and curve[20:].mean() > 8.0 * noise_hu
    assert find_bolus(hu, np.full(50, noise_hu), times, settings=settings).falling_share == pytest.approx(share)


def test_artery_that_begins_within_the_baseline_shortens_it(settings):
    times = np.arange(60.0)
    found = bolus_of(brain_hu(times, 12.0), times, settings=settings)
    late = replace(found, baseline_frames=18, arrival_s=17.0)
    artery = GammaVariate(onset_s=12.0, rise_s=6.0, shape=3.0, peak_hu=300.0, error=0.0)
    mended = before_artery(late, artery, times, settings=settings)
    assert mended.baseline_frames == 13  # at 12 s the curve is 0, at 13 s 5.6 % of its peak
    assert mended.arrival_s == pytest.approx(12.95, abs=0.05)  # 5 %
    early = before_artery(replace(late, arrival_s=12.2), artery, times, settings=settings)
    assert (early.baseline_frames, early.arrival_s) == (13, 12.2)  # never later than it was
    assert before_artery(found, artery, times, settings=settings) is found
    assert before_artery(late, None, times, settings=settings) is late


def test_bolus_there_from_the_first_frame_leaves_one_baseline_frame(settings):
    times = np.arange(12.0, 60.0)
    assert bolus_of(brain_hu(times, 5.0), times, settings=settings).baseline_frames == 1


@pytest.mark.parametrize("factor", [1.6, 2.2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_that_is_stronger_in_places_is_not_contrast_from_the_start(settings, factor, seed):
    """In the middle of a head and between thick bones: chance there rises as far as thin vessels elsewhere."""
    times = np.arange(60.0)
    hu = brain_hu(times, 10.0, noise=5.0, arteries=40, veins=60, seed=seed)
    extra = np.random.default_rng(seed + 10).normal(0.0, 5.0 * np.sqrt(factor**2 - 1.0), (60, TISSUE // 4))
    hu[:, : TISSUE // 4] += extra
    found = bolus_of(hu, times, settings=settings)
    plain = bolus_of(brain_hu(times, 10.0, noise=5.0, arteries=40, veins=60, seed=seed), times, settings=settings)
    assert found.baseline_frames == plain.baseline_frames
    assert found.arrival_s == pytest.approx(plain.arrival_s, abs=0.1)


def test_input_stays_unchanged_and_may_be_read_only(settings):
    times = np.arange(60.0)
    hu = brain_hu(times, 12.0)
    hu.flags.writeable = times.flags.writeable = False
    bolus_of(hu, times, settings=settings)


@pytest.mark.parametrize("sd", [2.0, 9.0])
def test_noise_level_is_the_sd_of_one_voxel_in_spite_of_the_bolus(sd):
    times = np.arange(60.0)
    assert noise_level(brain_hu(times, 12.0, noise=sd)) == pytest.approx(sd, rel=0.03)


@pytest.mark.parametrize("sd", [2.0, 9.0])
@pytest.mark.parametrize("step_s", [1.0, 2.0, 3.0])
def test_frames_with_noise_of_their_own_share_none_in_spite_of_the_bolus(sd, step_s):
    times = np.arange(0.0, 60.0, step_s)
    assert (noise_correlation(brain_hu(times, 12.0, noise=sd)) == np.eye(times.size)).all()


@pytest.mark.parametrize("sd", [2.0, 9.0])
def test_noise_of_a_scan_that_was_interpolated_counts_as_in_slow_curves(sd):
    """Second differences of a line between two frames are 0: noise of 9 HU passed for less than 1."""
    own = brain_hu(np.arange(0.0, 60.0, 2.0), 12.0, noise=sd)
    twice = np.repeat(own, 2, axis=0)[:-1]
    twice[1::2] = 0.5 * (twice[:-1:2] + twice[2::2])
    assert noise_level(twice) == pytest.approx(np.sqrt(2.0) * sd, rel=0.15)
