"""Drift of the scanner: seen before the bolus, taken off, or said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings, analyze
from PyPeTLib.drift import CHANCE, find_drift
from PyPeTLib.phantom import head_phantom
from PyPeTLib.quality import judge_drift

VOXELS, VESSELS = 3000, np.arange(100)


def brain_hu(times, per_minute=0.0, seed=0, noise=1.0):
    """HU of a brain whose vessels fill from the tenth frame on, shape (t, voxel)."""
    hu = (
        35.0 + np.random.default_rng(seed).normal(0.0, noise, (times.size, VOXELS)) + per_minute / 60.0 * times[:, None]
    )
    hu[9:, VESSELS] += 200.0
    hu[10:] += 5.0
    return hu


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("per_minute", [-6.0, 3.0, 12.0])
@pytest.mark.parametrize("times", [np.arange(50.0), np.r_[np.arange(0.0, 20.0, 2.0), np.arange(20.0, 50.0)]])
def test_slope_is_that_of_the_tissue_before_the_bolus(settings, per_minute, times, dtype):
    found = find_drift(brain_hu(times, per_minute).astype(dtype), VESSELS, 10, times, settings=settings)
    assert found.certain and found.corrected and found.frames == 9
    assert abs(found.hu_per_minute - per_minute) < 4.0 * found.sd_hu_per_minute
    np.testing.assert_allclose(np.diff(found.line_hu) / np.diff(times), found.hu_per_minute / 60.0)
    assert found.line_hu[:10].mean() == pytest.approx(0.0, abs=1e-9)


def test_its_sd_is_that_of_repeated_scans_and_chance_is_no_drift(settings):
    times = np.arange(40.0)
    found = [find_drift(brain_hu(times, seed=seed), VESSELS, 10, times, settings=settings) for seed in range(300)]
    spread = np.std([one.hu_per_minute for one in found])
    assert np.sqrt(np.mean([one.sd_hu_per_minute**2 for one in found])) == pytest.approx(spread, rel=0.3)
    assert min(one.sd_hu_per_minute for one in found) > 0.3 * spread  # frames that lie on a line by chance
    certain = [one.certain for one in found]
    assert np.mean(certain) < 3.0 * CHANCE
    assert not any(one.line_hu.any() for one in found if not one.certain)


def test_too_few_frames_before_the_bolus_tell_nothing(settings):
    times = np.arange(40.0)
    assert find_drift(brain_hu(times, 9.0), VESSELS, 5, times, settings=settings) is None
    assert find_drift(brain_hu(times, 9.0), VESSELS, 6, times, settings=settings) is not None
    assert judge_drift(None).status == "not applicable"


def test_it_may_be_left_in_and_is_said_all_the_same():
    times = np.arange(50.0)
    left = find_drift(brain_hu(times, -6.0), VESSELS, 10, times, settings=Settings(drift="off"))
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


def test_noise_that_frames_share_is_no_drift_more_often_than_chance_has_it(settings):
    """Interpolated to twice as many frames neighbours hardly differ; slopes looked certain in a third of such scans."""
    times = np.arange(39.0)
    found = []
    for seed in range(300):
        hu = brain_hu(np.arange(0.0, 40.0, 2.0), seed=seed)
        twice = np.repeat(hu, 2, axis=0)[:-1]
        twice[1::2] = 0.5 * (twice[:-1:2] + twice[2::2])
        found.append(find_drift(twice, VESSELS, 12, times, settings=settings))
    assert np.mean([one.line_hu.any() for one in found]) < 0.05
