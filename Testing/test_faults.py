"""Faults seen in other tools, one test each; the names say what must never happen again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import HEAD, TINY

from PyPeTLib import QualityError, Settings, TimeCurve, analyze
from PyPeTLib.agreement import dice
from PyPeTLib.curves import area_weights
from PyPeTLib.deconvolve import deconvolve
from PyPeTLib.errors import Cancelled
from PyPeTLib.frames import in_all_frames, with_head
from PyPeTLib.gamma import fit_gamma_variate
from PyPeTLib.maps import perfusion_maps
from PyPeTLib.phantom import bolus_curve, head_phantom
from PyPeTLib.pipeline import prepare
from PyPeTLib.progress import silent

DEFAULTS = Settings(method="bSVD")
#: As far as the vessels a scan is prepared alike whatever becomes of its curves; so little is done with them.
VESSELS_ALONE = Settings(denoise="none", residue="exponential")
RHO, KAPPA = 1.05, 0.55 / 0.75
VOLUME, FLOW, MTT_S = 4.0, 60.0, 4.0  # mL/100 g, mL/100 g/min, s
HEIGHT_PER_S = FLOW / 6000 * RHO / KAPPA
UNEVEN_S = (*np.arange(0.0, 36.0, 1.5), *np.arange(36.0, 75.0, 3.0))


def mapped(rows, aif, times, as_curves, row_grid, chosen=DEFAULTS):
    """Maps of rows of enhancement as arrays, one value a row."""
    curves = as_curves(rows)
    response = deconvolve(curves, aif, times, settings=chosen)
    geometry = row_grid(len(curves.coefficients))
    maps = perfusion_maps(
        curves, response, aif, times, arrival_s=12.0, geometry=geometry, settings=chosen, progress=silent
    )
    return {name: image.values[0, 0] for name, image in maps.items()}


@pytest.fixture(scope="module")
def late_head():
    return head_phantom(replace(HEAD, bolus_arrival_s=30.0, frames=70, recirculation=0.3))


@pytest.fixture(scope="module")
def early_head():
    return head_phantom(replace(HEAD, bolus_arrival_s=5.0))


@pytest.fixture(scope="module")
def uneven_head():
    return head_phantom(replace(HEAD, times_s=UNEVEN_S))


@pytest.fixture(scope="module")
def analysed(request):
    """Return a head and its analysis by the head's name; several tests look at the same one."""
    found = {"head": request.getfixturevalue("analysis")}

    def of(name):
        made = request.getfixturevalue(name)
        if name not in found:
            found[name] = analyze(made.series)
        return made, found[name]

    return of


# --- grid and times -------------------------------------------------------------------------------------------------


def test_grid_of_every_output_is_that_of_the_input_oblique_and_flipped():
    oblique = head_phantom(replace(TINY, oblique_degrees=20.0)).series
    axes = oblique.geometry.axes * [-1.0, 1.0, -1.0]
    flipped = replace(oblique, geometry=replace(oblique.geometry, direction=tuple(axes.ravel())))
    chosen = Settings(map_smoothing_mm=3.0, normalise="brain-mean")
    for series in (oblique, flipped):
        found = analyze(series, chosen)
        images = [image for _, image in found.maps.items()] + list(found.derived.values())
        for image in (*images, found.brain, found.aif.mask, found.vof.mask):
            assert image.geometry == series.geometry
            assert image.values.shape == series.values.shape[1:]


def test_no_frame_and_no_slice_is_dropped_and_times_are_the_inputs(head, analysis):
    assert analysis.maps.cbf.values.shape == head.series.values.shape[1:]
    assert analysis.brain.values.any(axis=(1, 2)).all()
    assert analysis.aif.curve_hu.shape == analysis.bolus.signal.shape == head.series.times_s.shape
    assert analysis.curves.basis.shape[1] == head.series.frames


def test_times_come_from_the_data_not_from_an_assumed_interval(tiny_head, tiny_analysis):
    """The same frames, twice as far apart: flow halves, times double, volume stays."""
    twice = replace(tiny_head.series, times_s=2.0 * tiny_head.series.times_s)
    slower, given = (analyze(series, DEFAULTS, aif=tiny_analysis.aif.mask) for series in (twice, tiny_head.series))
    factor = slower.aif.partial_volume_factor / given.aif.partial_volume_factor
    for name, ratio in {"cbf": 0.5 / factor, "cbv": 1.0 / factor, "mtt": 2.0, "tmax": 2.0, "ttp": 2.0}.items():
        one, other = getattr(slower.maps, name).values, ratio * getattr(given.maps, name).values
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=0.05, err_msg=name)


# --- volume ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", [0.5, 1.0, 2.0, 3.0])
def test_cbv_unchanged_when_curves_are_sampled_at_half_to_three_seconds(bolus, as_curves, row_grid, interval):
    times = np.arange(0.0, 90.0, interval)
    row = bolus.washout(times, flow=HEIGHT_PER_S, mtt_s=MTT_S)
    found = mapped(row, bolus.aif(times), times, as_curves, row_grid)
    assert found["cbv"][0] == pytest.approx(VOLUME, rel=0.01)


@pytest.mark.parametrize("noise", [2.0, 4.0, 8.0])
def test_cbv_unbiased_under_noise(bolus, as_curves, row_grid, noise):
    times, voxels = np.arange(60.0), 20_000
    row = bolus.washout(times, flow=HEIGHT_PER_S, mtt_s=MTT_S)
    rows = row + np.random.default_rng(0).normal(0.0, noise, (voxels, times.size))
    found = mapped(rows, bolus.aif(times), times, as_curves, row_grid)["cbv"]
    assert abs(found.mean() - VOLUME) < 4.0 * found.std() / np.sqrt(voxels) + 0.005 * VOLUME
    assert found.min() < 0.0 or found.std() < 0.25 * VOLUME  # signed: noise is not turned into blood


# --- delay ----------------------------------------------------------------------------------------------------------

DELAYS_S = np.array([-3.0, -1.7, 0.0, 0.5, 2.0, 4.3, 6.0])


@pytest.mark.parametrize("method", ["bSVD", "tikhonov"])
def test_cbf_unchanged_for_delays_of_minus_3_to_6_s(bolus, as_curves, row_grid, method):
    times = np.arange(80.0)
    rows = [bolus.washout(times, flow=HEIGHT_PER_S, mtt_s=MTT_S, delay_s=delay) for delay in DELAYS_S]
    found = mapped(rows, bolus.aif(times), times, as_curves, row_grid, Settings(method=method))
    np.testing.assert_allclose(found["cbf"], found["cbf"][2], rtol=0.02)
    np.testing.assert_allclose(found["cbv"], VOLUME, rtol=0.01)


def test_tissue_earlier_than_the_aif_has_negative_tmax_and_full_cbf(bolus, as_curves, row_grid):
    """Ten seconds early, its whole response lies at negative lags; what is found is what one finds on time."""
    times = np.arange(80.0)
    rows = [bolus.washout(times, flow=HEIGHT_PER_S, mtt_s=MTT_S, delay_s=delay) for delay in (-10.0, 0.0)]
    found = mapped(rows, bolus.aif(times), times, as_curves, row_grid)
    assert found["tmax"][0] < -5.0
    assert found["tmax"][0] - found["tmax"][1] == pytest.approx(-10.0, abs=0.1)
    assert found["cbf"][0] == pytest.approx(found["cbf"][1], rel=0.02)


def test_tmax_is_sub_sample_on_a_1_41_s_grid(bolus, as_curves, row_grid):
    times, delays = 1.41 * np.arange(60), np.arange(0.0, 4.3, 0.3)
    rows = [bolus.washout(times, flow=HEIGHT_PER_S, mtt_s=MTT_S, delay_s=delay) for delay in delays]
    found = mapped(rows, bolus.aif(times), times, as_curves, row_grid)["tmax"]
    np.testing.assert_allclose(found - found[0], delays, atol=0.1)


# --- units ----------------------------------------------------------------------------------------------------------


def test_maps_are_in_physical_units_not_relative_to_their_mean(tiny_analysis):
    for name, unit, low, high in (
        ("cbf", "mL/100 g/min", 5.0, 80.0),
        ("cbv", "mL/100 g", 0.5, 8.0),
        ("mtt", "s", 3.0, 30.0),
        ("tmax", "s", 0.0, 10.0),
        ("ttp", "s", 3.0, 30.0),
    ):
        image = getattr(tiny_analysis.maps, name)
        assert image.unit == unit and low < np.nanmedian(image.values) < high


# --- vessels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phantom", ["head", "quiet_head", "late_head", "early_head", "uneven_head"])
def test_every_aif_voxel_is_artery_and_its_area_within_10_percent(analysed, phantom):
    made, found = analysed(phantom)
    assert found.aif.mask.values.any()
    assert not (found.aif.mask.values & ~made.masks["arteries"].values).any()
    areas = [np.trapezoid(curve, made.series.times_s) for curve in (found.aif.curve_hu, made.aif_hu)]
    assert areas[0] == pytest.approx(areas[1], rel=0.1)


@pytest.mark.parametrize("left_hu", [40.0, 60.0, 80.0, 120.0])
def test_the_artery_is_the_same_where_an_earlier_injection_left_contrast_in_the_blood(
    head, quiet_head, analysis, left_hu
):
    """As after angiography: before the bolus blood is brighter by as much as there is of it, bone is not."""
    series, times = head.series, head.series.times_s
    enhancement = quiet_head.series.values - quiet_head.series.values[:5].mean(axis=0)
    area = np.tensordot(area_weights(times), enhancement, axes=1)
    share = np.clip(area / float(area_weights(times) @ head.aif_hu), 0.0, 1.0)
    before, after = analysis, prepare(replace(series, values=series.values + left_hu * share), VESSELS_ALONE)
    np.testing.assert_allclose(after.aif.curve_hu, before.aif.curve_hu, atol=0.03 * head.aif_hu.max())
    found, usual = after.aif.candidates[0], before.aif.candidates[0]
    assert found.traits.beside_bone == usual.traits.beside_bone
    assert found.confidence == pytest.approx(usual.confidence, rel=0.05)


def test_late_bolus_onset_30_s_and_recirculation_are_fitted(analysed):
    late_head, found = analysed("late_head")
    assert found.aif.fit.onset_s == pytest.approx(30.0, abs=1.5)
    assert found.aif.fit.error < 0.1
    times = late_head.series.times_s
    first = bolus_curve(times, arrival_s=30.0, width_s=9.0, peak_hu=330.0, recirculation=0.0)
    assert times[found.aif.fit(times).argmax()] == pytest.approx(times[first.argmax()], abs=1.0)
    exact = fit_gamma_variate(late_head.aif_hu, times)
    assert exact.onset_s == pytest.approx(30.0, abs=0.7)


# --- baseline -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phantom", "onset"), [("early_head", 5.0), ("head", 10.0), ("uneven_head", 10.0), ("late_head", 30.0)]
)
def test_baseline_ends_before_arrival_on_early_and_late_boluses(analysed, phantom, onset):
    made, found = analysed(phantom)
    bolus, times = found.bolus, made.series.times_s
    assert made.aif_hu[: bolus.baseline_frames].max() < 0.03 * made.aif_hu.max()
    assert bolus.baseline_frames >= np.count_nonzero(times <= onset) - 1
    assert onset - np.diff(times).max() < bolus.arrival_s < onset + 2.5


def test_baseline_ends_before_arrival_where_arteries_are_thin():
    """Arteries of half their width show little of the bolus; the baseline must still not reach into it."""
    made = head_phantom(replace(HEAD, artery_scale=0.5))
    frames = prepare(made.series, VESSELS_ALONE).bolus.baseline_frames
    assert made.aif_hu[:frames].max() < 0.1 * made.aif_hu.max()


# --- what others refuse or drop -------------------------------------------------------------------------------------


@pytest.mark.parametrize("phantom", ["early_head", "late_head", "uneven_head"])
def test_early_late_and_uneven_scans_have_the_volume_of_the_truth(analysed, phantom):
    made, found = analysed(phantom)
    where = made.masks["pure_tissue"].values & ~made.masks["near_vessel"].values & found.brain.values
    truth = made.truth["cbv"].values[where]
    assert (truth @ found.maps.cbv.values[where]) / (truth @ truth) == pytest.approx(1.0, abs=0.1)
    assert np.isfinite(found.maps.cbf.values[where]).all()


def test_early_tissue_is_kept_in_the_whole_analysis(tiny_head, tiny_analysis):
    """With a vein as input most tissue is early: Tmax turns negative, and no voxel is lost."""
    usual = analyze(tiny_head.series, DEFAULTS)
    late = analyze(tiny_head.series, replace(DEFAULTS, partial_volume="none"), aif=tiny_head.masks["veins"])
    where = tiny_head.masks["pure_tissue"].values & tiny_analysis.brain.values
    assert np.median(late.maps.tmax.values[where]) < np.median(usual.maps.tmax.values[where]) - 3.0
    assert (late.maps.tmax.values[where] < 0).mean() > 0.3
    weights = area_weights(tiny_head.series.times_s)
    dilution = (usual.aif.curve_hu @ weights) / (late.aif.curve_hu @ weights)
    ratio = np.median(late.maps.cbv.values[where]) / np.median(usual.maps.cbv.values[where])
    assert ratio == pytest.approx(dilution, rel=0.02)
    assert (late.maps.cbf.values[where] > 0).all()


@pytest.fixture(scope="module")
def with_later_artery(tiny_head, tiny_analysis):
    """Return an analysis whose arterial input comes so much later than it does."""
    times, curve = tiny_head.series.times_s, tiny_analysis.aif.curve_hu

    @cache
    def of(by_s):
        later = TimeCurve(times, np.interp(times - by_s, times, curve))
        return analyze(tiny_head.series, Settings(partial_volume="none"), aif=later)

    return of


@pytest.mark.parametrize("later_s", [2.0, 5.0])
def test_maps_of_the_default_method_do_not_depend_on_when_the_artery_is_reached(
    tiny_head, tiny_analysis, with_later_artery, later_s
):
    """An arterial input that comes later makes all tissue earlier by as much, and nothing else."""
    given, later = with_later_artery(0.0), with_later_artery(later_s)
    where = tiny_head.masks["pure_tissue"].values & tiny_analysis.brain.values
    moved = (later.maps.tmax.values - given.maps.tmax.values)[where]
    assert np.median(moved) == pytest.approx(-later_s, abs=0.25)
    for name in ("cbf", "cbv", "mtt"):
        one, other = (np.nanmedian(getattr(found.maps, name).values[where]) for found in (given, later))
        assert other == pytest.approx(one, rel=0.05), name


def test_a_scan_that_was_interpolated_in_time_has_the_maps_of_its_own_frames(head):
    """Data sets come at 1 s whatever they were scanned at: noise seemed 0.3 HU, CBF was not smoothed, r 0.7."""
    series = head.series
    own = replace(series, values=series.values[::2], times_s=series.times_s[::2])
    values = np.repeat(own.values.astype(np.float32), 2, axis=0)[:-1]
    values[1::2] = 0.5 * (values[:-1:2] + values[2::2])
    times_s = series.times_s[: len(values)]
    found, wanted = analyze(replace(series, values=np.rint(values).astype(np.int16), times_s=times_s)), analyze(own)
    tissue = found.tissue.values & wanted.tissue.values
    for name in ("cbf", "cbv", "tmax"):
        one, other = (getattr(run.maps, name).values[tissue] for run in (found, wanted))
        assert np.corrcoef(one, other)[0, 1] > 0.95, name
        assert np.median(one) == pytest.approx(np.median(other), rel=0.05, abs=0.2), name
    (noise,) = (check for check in found.checks if check.name == "noise")
    assert "interpolation" in noise.text


@pytest.mark.parametrize("value", [0, -1024])
@pytest.mark.parametrize("lost", [(20,), (0, 43, 44)])
def test_frames_without_a_head_are_left_out_and_told(tiny_head, tiny_analysis, value, lost):
    """One such frame took a quarter to all of the late tissue, and only the motion of its head was doubted."""
    series = tiny_head.series
    values = series.values.copy()
    values[list(lost)] = value
    found = analyze(replace(series, values=values))
    np.testing.assert_array_equal(found.series.times_s, np.delete(series.times_s, lost))
    (told,) = (check for check in found.checks if check.name == "frames")
    assert told.status == "warn" and f"number {', '.join(str(one + 1) for one in lost)} show" in told.text
    tissue = found.tissue.values & tiny_analysis.tissue.values
    for name in ("cbf", "cbv", "tmax"):
        one, other = (getattr(run.maps, name).values[tissue] for run in (found, tiny_analysis))
        assert np.corrcoef(one, other)[0, 1] > 0.95, name


@pytest.mark.parametrize(("frame", "hu"), [(0, 25), (0, -40), (30, 60)])
def test_a_frame_of_another_kind_is_left_out_and_told(tiny_head, tiny_analysis, frame, hu):
    """The first one may be of another scan: contrast seemed to be there from the start."""
    series = tiny_head.series
    values = series.values.copy()
    values[frame] += hu
    found = analyze(replace(series, values=values))
    np.testing.assert_array_equal(found.series.times_s, np.delete(series.times_s, frame))
    (told,) = (check for check in found.checks if check.name == "frames")
    assert told.status == "warn" and f"number {frame + 1} differs from those around" in told.text
    tissue = found.tissue.values & tiny_analysis.tissue.values
    one, other = (run.maps.cbf.values[tissue] for run in (found, tiny_analysis))
    assert np.corrcoef(one, other)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("copies", "which"),
    [
        ((20,), "Number 21 is the same as the one before"),
        ((20, 21), "Number 21, 22 are each the same"),
        (range(10, 40), r"Number 11, 12, 13, 14, 15 ... (30 in all) are"),
    ],
)
@pytest.mark.parametrize("lost", [(), (3, 4)])
def test_a_frame_copied_over_its_neighbour_is_told(tiny_head, copies, which, lost):
    """It shows what was scanned at another time; numbers are those of the scan, as of frames that are left out."""
    series = tiny_head.series
    values = series.values.copy()
    for one in copies:
        values[one] = values[one - 1]
    values[list(lost)] = -1024  # the same too, but left out
    found, told = with_head(replace(series, values=values))
    assert (found.frames, told.status, told.value) == (series.frames - len(lost), "warn", len(lost))
    assert f". {which}" in told.text and "export the scan again" in told.text
    values[[*copies], -1, -1, -1] += 1  # one voxel of air
    text = with_head(replace(series, values=values))[1].text
    assert "bit for bit" not in text or len(copies) > 1


@pytest.mark.parametrize("value", [0, -1024])
def test_what_some_frames_do_not_show_is_left_out_and_told(tiny_head, tiny_analysis, value):
    """Frames moved onto one another elsewhere are filled at their ends: contrast seemed to be there from the start."""
    series = tiny_head.series
    values = series.values.copy()
    values[20:, -1] = value
    found = analyze(replace(series, values=values))
    assert not found.brain.values[-1].any()
    assert dice(found.brain.values[:-1], tiny_analysis.brain.values[:-1]) > 0.99
    told = {check.name: check for check in found.checks}["field of view"]
    if value == 0:  # air is no tissue, even in the mean of all frames
        assert told.status == "warn" and "mL of the brain lie outside what every frame shows" in told.text
    tissue = found.tissue.values & tiny_analysis.tissue.values
    one, other = (run.maps.cbf.values[tissue] for run in (found, tiny_analysis))
    assert np.corrcoef(one, other)[0, 1] > 0.9


def test_looking_for_what_frames_do_not_show_tells_progress_and_can_be_cancelled(tiny_head):
    series, told = tiny_head.series, []
    values = series.values.copy()
    values[20:, -1] = 0
    filled = replace(series, values=values)
    in_all_frames(tiny_head.masks["brain"], filled, progress=lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and len(told) == 2 * series.frames and told[-1] == 1.0

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        in_all_frames(tiny_head.masks["brain"], filled, progress=cancel)


def test_frames_of_noise_are_left_to_the_mask_which_refuses_them(tiny_head):
    noise = np.random.default_rng(0).normal(0.0, 500.0, tiny_head.series.values.shape)
    with pytest.raises(QualityError, match="Brain mask: a skull"):
        analyze(replace(tiny_head.series, values=noise.astype(np.int16)))


def test_uneven_times_are_told_not_hidden(analysed):
    assert any("Uneven sampling, 1.5 to 3 s" in check.text for check in analysed("uneven_head")[1].checks)


# --- outside --------------------------------------------------------------------------------------------------------


def test_outside_the_mask_is_nan(tiny_head):
    found = analyze(tiny_head.series, Settings(map_smoothing_mm=3.0, normalise="brain-mean"))
    outside = ~found.brain.values
    for name, image in [*found.maps.items(), *found.derived.items()]:
        assert np.isnan(image.values[outside]).all(), name
        assert np.isfinite(image.values[~outside]).mean() > 0.9, name


def test_missing_values_are_nan_never_a_sentinel(analysis):
    for name, image in analysis.maps.items():
        values = image.values[np.isfinite(image.values)]
        assert np.count_nonzero(values == -1.0) == 0, name
        assert np.isfinite(image.values[analysis.brain.values]).all() or name == "mtt", name
