"""The noise of the arterial input: as large as the phantom shows it to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Prepared, Series, Settings, prepare
from PyPeTLib.curves import robust_sd
from PyPeTLib.drift import taken_off
from PyPeTLib.input_noise import input_noise_hu
from PyPeTLib.smoothing import noise_of_mean


def noise_of(prepared: Prepared) -> float:
    return input_noise_hu(
        prepared.aif,
        prepared.series,
        prepared.curves,
        baseline_frames=prepared.bolus.baseline_frames,
        taken_hu=taken_off(prepared.drift, prepared.jumps),
    )


@pytest.fixture(scope="module")
def tiny(tiny_head) -> Prepared:
    return prepare(tiny_head.series, Settings())


def in_voxels(prepared, mask):
    """The run with the plain mean of a mask as its arterial curve."""
    series, baseline = prepared.series, prepared.bolus.baseline_frames
    hu = np.array([frame[mask].mean(dtype=float) for frame in series.values])
    hu -= hu[:baseline].mean() + taken_off(prepared.drift, prepared.jumps)
    aif = replace(prepared.aif, mask=replace(prepared.aif.mask, values=mask), curve_hu=hu)
    return replace(prepared, aif=aif)


def test_a_plain_mean_has_the_noise_of_its_voxels_and_a_scaled_one_so_much_more(tiny):
    """Some voxels are neighbours, which share noise: it is more than of as many far apart, and less than of one."""
    noise_hu, mask = robust_sd(tiny.curves.noise), tiny.aif.mask.values
    plain = in_voxels(tiny, mask)
    assert noise_hu / np.sqrt(mask.sum()) < noise_of(plain) < noise_hu
    assert noise_of(plain) == pytest.approx(noise_of_mean(tiny.curves.noise, tiny.curves.mask, mask), rel=1e-6)
    scaled = replace(plain, aif=replace(plain.aif, curve_hu=1.7 * plain.aif.curve_hu))
    assert noise_of(scaled) == pytest.approx(1.7 * noise_of(plain), rel=1e-6)
    apart = np.zeros_like(mask)
    apart.ravel()[np.flatnonzero(tiny.brain.values)[::997]] = True
    assert noise_of(in_voxels(tiny, apart)) == pytest.approx(noise_hu / np.sqrt(apart.sum()), rel=0.05)


def test_what_the_projection_took_is_no_noise_any_more(head, quiet_head):
    """Against the same voxels of the head without noise."""
    prepared = prepare(head.series, Settings())
    mask, baseline = prepared.aif.mask.values, prepared.bolus.baseline_frames
    clean = np.array([frame[mask].mean(dtype=float) for frame in quiet_head.series.values])
    clean -= clean[:baseline].mean()
    curve = prepared.aif.curve_hu
    error = curve - clean * (curve @ clean) / (clean @ clean)
    assert 0.7 < error.std() / noise_of(prepared) < 1.3
    kept = noise_of_mean(prepared.curves.noise, prepared.curves.mask, mask) * (curve @ clean) / (clean @ clean)
    assert noise_of(prepared) < 0.9 * kept


def taken_from(plain, rms_hu):
    """The run whose curve lacks a course of this RMS in HU that is not of its own shape."""
    curve = plain.aif.curve_hu
    course = (-1.0) ** np.arange(curve.size)
    course -= curve * (course @ curve) / (curve @ curve)
    course *= rms_hu / np.sqrt(np.mean(course**2))
    return replace(plain, aif=replace(plain.aif, curve_hu=curve + course))


def test_never_is_more_believed_to_be_taken_than_the_components_left_over(tiny):
    plain, left = in_voxels(tiny, tiny.aif.mask.values), 8 / tiny.series.frames
    most_hu = np.sqrt(1.0 - left) * noise_of(plain)
    found = [noise_of(taken_from(plain, share * most_hu)) for share in (0.5, 0.9, 1.0, 1.1, 2.0)]
    assert found[2] == pytest.approx(np.sqrt(left) * noise_of(plain), rel=0.02)
    assert min(found) == found[2]


def test_contrast_that_the_projection_took_is_an_error_of_the_input(tiny):
    """Where arteries are few among noisy vessels no component is theirs; more was taken than noise, so curves are wrong
    by the rest. It counted as noise taken away, and an exponential was taken for gamma of shape 2."""
    plain, left = in_voxels(tiny, tiny.aif.mask.values), 8 / tiny.series.frames
    noise_hu2 = noise_of(plain) ** 2
    for lost_hu in (1.0, 5.0, 20.0):
        bent = taken_from(plain, np.sqrt((1.0 - left) * noise_hu2 + lost_hu**2))
        assert noise_of(bent) == pytest.approx(np.sqrt(left * noise_hu2 + lost_hu**2), rel=0.02)


def test_a_given_curve_has_the_noise_of_its_baseline(tiny):
    """A curve without noise has none; of ten frames the SD is at most 1.5 times what was seen, with 90 %."""
    assert tiny.bolus.baseline_frames == 11
    nothing = replace(tiny.aif.mask, values=np.zeros_like(tiny.aif.mask.values))
    for sd in (0.0, 4.0):
        curve = np.where(np.arange(45) < 11, sd * np.tile([1.0, -1.0], 23)[:45], 100.0)
        given = replace(tiny, aif=replace(tiny.aif, mask=nothing, curve_hu=curve))
        variance = np.var(curve[:11], ddof=1)
        assert noise_of(given) == pytest.approx(np.sqrt(variance * 10 / 4.865), rel=1e-3)


def test_drift_that_the_curve_is_without_is_no_noise(tiny):
    """A line that is taken off the curve, and lies in the scan, leaves the noise as it was."""
    plain = in_voxels(tiny, tiny.aif.mask.values)
    series, line = plain.series, np.linspace(0.0, 30.0, plain.series.frames)
    drifting = Series(series.values + line[:, None, None, None], series.times_s, series.geometry, series.name)
    line -= line[: plain.bolus.baseline_frames].mean()
    found = input_noise_hu(
        plain.aif, drifting, plain.curves, baseline_frames=plain.bolus.baseline_frames, taken_hu=line
    )
    assert found == pytest.approx(noise_of(plain), rel=1e-3)
