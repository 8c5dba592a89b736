"""The phantoms are what they say: physics of the curves, truth, masks, noise, geometry, and the published tiles."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import lognorm

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry
from PyPeTLib.phantom import (
    HeadOptions,
    Phantom,
    Residue,
    TilesOptions,
    bolus_curve,
    head_phantom,
    residue_curve,
    tile_input,
    tiles_phantom,
)
from PyPeTLib.phantom_curves import residue_area, tissue_curves
from PyPeTLib.phantom_head import Label, build_head, label_head, rotation
from PyPeTLib.phantom_scan import (
    Scene,
    _move,
    _refine,
    _split,
    average,
    correlated_noise,
    describe,
    grid_geometry,
    label_curves,
    label_table,
    scene_of,
    times_taken,
    true_motion,
)
from PyPeTLib.phantom_shapes import GRID_LOW_MM, GRID_MM, ball, resample, rod, sample
from PyPeTLib.phantom_vessels import Vessel, stamp

SMALL = HeadOptions(size=(64, 64, 4), spacing_mm=(3.0, 3.0, 10.0), frames=3)
#: All contrast has left at the end, and a little noise keeps the rounding to whole HU without bias.
LONG = replace(SMALL, frames=170, noise_hu=1.0, bolus_peak_hu=1000.0, bolus_arrival_s=30.0, recirculation=0.0)
#: Hematocrit factor and tissue density in g/mL, written out here to catch a change there.
KAPPA, RHO_G_ML = (1 - 0.45) / (1 - 0.25), 1.05
RESIDUES: tuple[Residue, ...] = ("exponential", "box", "linear", "gamma", "fermi")


@cache
def head(options: HeadOptions) -> Phantom:
    return head_phantom(options)


def bolus(times_s):
    return bolus_curve(times_s, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.18)


def area(curve, times_s):
    return np.trapezoid(curve, times_s, axis=0)


def enhancement(phantom: Phantom, mask, baseline: int = 5) -> np.ndarray:
    values = phantom.series.values[:, mask].astype(float)
    return values.mean(axis=1) - values[:baseline].mean()


# --- curves ---------------------------------------------------------------------------------------------------------


def test_bolus_has_the_arrival_width_and_peak_asked_for():
    times = np.arange(0.0, 100.0, 0.01)
    first = bolus_curve(times, arrival_s=20.0, width_s=12.0, peak_hu=250.0, recirculation=0.0)
    assert np.count_nonzero(first[times <= 20.0]) == 0
    assert first.max() == pytest.approx(250.0, rel=1e-5)
    assert 0.01 * np.count_nonzero(first > 125.0) == pytest.approx(12.0, abs=0.02)


def test_bolus_recirculates_and_has_a_slow_tail():
    times = np.arange(0.0, 90.0, 0.01)
    curve = bolus(times)
    late = times > 26.0
    hump = times[late][np.argmax(curve[late])]
    assert 28.0 < hump < 40.0
    tail = curve[times > 60.0] / curve.max()
    assert 0.03 < tail.min() < tail.max() < 0.15
    assert (np.diff(tail) < 0).all()


def test_second_pass_begins_one_and_a_half_widths_after_the_first_and_its_tail_at_half_of_it():
    """What recirculates is so much broader, as high as asked for, and falls with 120 s when the second pass is over."""
    times = np.arange(0.0, 600.0, 0.01)
    asked = {"arrival_s": 20.0, "width_s": 12.0, "peak_hu": 250.0}
    more = bolus_curve(times, **asked, recirculation=0.2) - bolus_curve(times, **asked, recirculation=0.0)
    assert not more[times <= 38.0].any() and (more[times > 38.1] > 0.0).all()
    since = np.maximum(times - 38.0, 0.0)
    tail = 25.0 * np.exp(-since / 120.0)
    np.testing.assert_allclose(more[times > 200.0], tail[times > 200.0], rtol=1e-6)
    second = more - tail * (1.0 - np.exp(-since / 8.0))
    assert second.max() == pytest.approx(50.0, rel=1e-5)
    assert 0.01 * np.count_nonzero(second > 25.0) == pytest.approx(15.0, abs=0.02)


@pytest.mark.parametrize("residue", RESIDUES)
def test_residue_starts_at_one_falls_and_has_the_area_mtt(residue):
    times = np.arange(0.0, 200.0, 0.001)
    curve = residue_curve(times, mtt_s=5.0, residue=residue)
    assert curve[0] == 1.0
    assert (np.diff(curve) <= 0).all()
    assert area(curve, times) == pytest.approx(5.0, rel=1e-3)
    running = residue_area(times, mtt_s=5.0, residue=residue)
    np.testing.assert_allclose(running[::5000], (np.cumsum(curve) * 0.001)[::5000], atol=2e-3)


@pytest.mark.parametrize("residue", RESIDUES)
def test_tissue_curve_obeys_the_central_volume_theorem(residue):
    times = np.arange(0.0, 1500.0, 0.1)
    curve = tissue_curves(
        times,
        bolus,
        start_s=0.0,
        height_per_s=np.array([0.01]),
        mtt_s=np.array([4.0]),
        delay_s=np.array([7.0]),
        residue=residue,
    )[0]
    assert area(curve, times) / area(bolus(times), times) == pytest.approx(0.01 * 4.0, rel=1e-3)


def test_tissue_curve_is_the_analytic_convolution_for_a_box():
    times = np.arange(0.0, 60.0, 1.0)
    fine = np.arange(0.0, 70.0, 0.01)
    running = np.append(0.0, np.cumsum(bolus(fine))[:-1]) * 0.01
    truth = 0.01 * (np.interp(times - 2.0, fine, running) - np.interp(times - 7.0, fine, running))
    curve = tissue_curves(
        times,
        bolus,
        start_s=0.0,
        height_per_s=np.array([0.01]),
        mtt_s=np.array([5.0]),
        delay_s=np.array([2.0]),
        residue="box",
    )[0]
    np.testing.assert_allclose(curve, truth, atol=0.01 * truth.max())


def test_a_fermi_residue_is_a_plateau_that_falls_about_the_mean_transit_time():
    """A logistic function of the time with a rate of 6 per MTT, as far as it can begin with 1."""
    times = np.linspace(0.0, 30.0, 3001)
    found = residue_curve(times, mtt_s=5.0, residue="fermi")
    middle_s = float(np.interp(-0.5, -found, times))
    np.testing.assert_allclose(found, 1.0 / (1.0 + np.exp(6.0 * (times - middle_s) / 5.0)), atol=4e-3)
    assert found[0] == pytest.approx(1.0, abs=1e-12) and middle_s == pytest.approx(5.0, abs=0.03)
    area = np.append(0.0, np.cumsum(0.5 * 0.01 * (found[1:] + found[:-1])))
    np.testing.assert_allclose(residue_area(times, mtt_s=5.0, residue="fermi"), area, atol=1e-4)


def test_mixed_transit_times_are_half_exponential_and_half_log_normal():
    """Of the latter the logarithm has an SD of 0.65, and the mean is that of the former."""
    times, log_normal = np.linspace(0.0, 40.0, 4001), lognorm(0.65, scale=4.0 * np.exp(-0.5 * 0.65**2))
    expected = 0.5 * np.exp(-times / 4.0) + 0.5 * log_normal.sf(times)
    np.testing.assert_allclose(residue_curve(times, mtt_s=4.0, residue="mixed"), expected, atol=1e-12)
    area = np.append(0.0, np.cumsum(0.5 * 0.01 * (expected[1:] + expected[:-1])))
    np.testing.assert_allclose(residue_area(times, mtt_s=4.0, residue="mixed"), area, atol=1e-4)


def test_tissue_curve_is_the_analytic_convolution_for_an_exponential(bolus):
    times = np.arange(0.0, 60.0)
    one = {"height_per_s": np.array([0.01]), "mtt_s": np.array([2.0]), "delay_s": np.array([1.3])}
    found = tissue_curves(times, bolus.aif, start_s=10.0, **one, residue="exponential")[0]
    exact = bolus.washout(times, flow=0.01, mtt_s=2.0, delay_s=1.3)
    np.testing.assert_allclose(found, exact, atol=5e-4 * exact.max())


def test_delay_shifts_the_curve():
    times = np.arange(0.0, 60.0, 0.5)
    kinds = {"height_per_s": np.full(2, 0.01), "mtt_s": np.full(2, 4.0), "delay_s": np.array([0.0, 7.5])}
    early, late = tissue_curves(times, bolus, start_s=0.0, residue="exponential", **kinds)
    np.testing.assert_allclose(late[15:], early[:-15], atol=1e-9)


# --- what heads are made of -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("residue", "age"), [("exponential", 1.0), ("box", 0.5), ("linear", 2.0 / 3.0), ("gamma", 2 / 3), ("fermi", 0.5439)]
)
def test_each_label_holds_its_blood_and_is_later_by_its_delay_and_transit(residue, age):
    """Areas and centres of gravity; the mean of R/MTT is half the MTT times one plus its relative variance."""
    lesion = {"lesion_delay_s": (3.0, 11.0), "lesion_dispersion_s": 2.5}
    options = HeadOptions(recirculation=0.0, bolus_arrival_s=12.0, residue=residue, mtt_scale=1.4, **lesion)
    times, table = np.arange(0.0, 300.0), label_table(options)
    curves = label_curves(options, table, times).astype(float) - table.hu
    aif = curves[:, Label.ARTERY]
    volume, vessel = table.cbv / 100.0 * RHO_G_ML / KAPPA + table.vessel, table.vessel
    np.testing.assert_allclose(curves.sum(axis=0), volume * aif.sum(), rtol=2e-3, atol=0.02)
    holds = volume > 0.0
    mtt_s = 60.0 * table.cbv / np.where(table.cbf > 0.0, table.cbf, 1.0)
    later_s = (times @ curves)[holds] / curves[:, holds].sum(axis=0) - times @ aif / aif.sum()
    hypoperfused = np.arange(Label.COUNT) >= Label.PENUMBRA_GRAY
    assert table.delay_s[hypoperfused].min() == 3.0 and table.delay_s[hypoperfused].max() == 11.0
    expected_s = (table.delay_s + np.where(vessel, table.transit_s, age * mtt_s) + 2.5 * hypoperfused)[holds]
    np.testing.assert_allclose(later_s, expected_s, atol=0.05)


def test_a_point_is_seen_as_wide_in_mm_along_both_axes_and_in_its_slice_alone():
    """By a scanner whose point spread has an SD of 0.6 mm."""
    grid = Geometry((61, 81, 5), (0.3, 0.2, 2.0))
    labels = np.zeros((1, 5, 81, 61), np.uint8)
    labels[0, 2, 40, 30] = 1
    seen = average(labels, np.array([0.0, 100.0]), grid)
    assert seen[2].sum() == pytest.approx(100.0, rel=1e-4) and not seen[[0, 1, 3, 4]].any()
    y_mm, x_mm = 0.2 * (np.arange(81) - 40), 0.3 * (np.arange(61) - 30)
    spreads_mm = np.sqrt([seen[2].sum(axis=1) @ y_mm**2 / 100.0, seen[2].sum(axis=0) @ x_mm**2 / 100.0])
    np.testing.assert_allclose(spreads_mm, 0.6, rtol=0.03)


def places_mm(grid: Geometry) -> np.ndarray:
    """Where the voxels of a grid lie, shape (z, y, x, 3)."""
    z, y, x = np.indices(grid.shape)
    return np.stack([x, y, z], axis=-1) * np.asarray(grid.spacing_mm) @ grid.axes.T + grid.origin_mm


def oblique(size, spacing_mm) -> Geometry:
    turn = rotation(np.array([12.0, -25.0, 9.0]))
    return Geometry(size, spacing_mm, (-8.0, 5.0, -14.0), tuple(float(value) for value in turn.ravel()))


def test_parts_of_a_voxel_are_at_most_1_mm_and_lie_around_its_middle():
    grid = oblique((3, 4, 2), (0.9, 2.4, 8.0))
    fine, factors = _refine(grid)
    assert factors == (1, 3, 8) and max(fine.spacing_mm) <= 1.0
    parts = np.stack([_split(places_mm(fine)[..., axis], factors) for axis in range(3)], axis=-1)
    assert parts.shape == (24, *grid.shape, 3)
    np.testing.assert_allclose(parts.mean(axis=0), places_mm(grid), atol=1e-9)
    away_mm = (parts - places_mm(grid)) @ grid.axes
    assert (np.abs(away_mm).max(axis=(0, 1, 2, 3)) < 0.5 * np.asarray(grid.spacing_mm)).all()


@pytest.mark.parametrize("ends", [((8.0, 6.0, 4.0), (31.0, 22.0, 15.0)), ((-6.0, 12.45, 9.45), (33.0, 12.45, 9.45))])
def test_a_vessel_is_what_lies_within_half_its_width_of_its_middle_line(ends):
    """In the patient, whose head is drawn smaller and tilted; later vessels win, and what leaves the grid is cut."""
    grid = oblique((40, 30, 20), (0.7, 0.9, 1.0))
    to_head = np.diag([1.0 / 0.96, 1.0 / 0.98, 1.0]) @ rotation(np.array([5.0, 3.0, -8.0])).T
    first, last = np.asarray(ends) * grid.spacing_mm @ grid.axes.T + grid.origin_mm
    line = first + np.linspace(0.0, 1.0, 400)[:, None] * (last - first)
    tube = Vessel(line @ to_head.T, np.full(400, 5.0), np.full(400, Label.VEIN, np.uint8))
    labels = np.zeros(grid.shape, np.uint8)
    stamp(labels, grid, [replace(tube, labels=tube.labels + 9), tube], to_head)
    away_mm = rod(tuple(np.moveaxis(places_mm(grid), -1, 0)), tuple(first), tuple(last), (2.5, 2.5))
    np.testing.assert_array_equal(np.where(np.abs(away_mm) < 0.02, 0, labels), np.where(away_mm < -0.02, Label.VEIN, 0))


def test_bodies_are_told_by_their_distances():
    """Of a rod, to the nearest of the balls it is made of; of a ball along its axes, and of a sphere everywhere."""
    rng = np.random.default_rng(0)
    places = tuple(rng.uniform(-20.0, 20.0, (3, 400)))
    middles = np.linspace((-6.0, 2.0, 1.0), (8.0, -4.0, 5.0), 2000)
    balls = np.linalg.norm(np.stack(places, axis=-1)[:, None] - middles, axis=-1)
    np.testing.assert_allclose(rod(places, (-6, 2, 1), (8, -4, 5), (3, 3)), balls.min(axis=1) - 3.0, atol=1e-3)
    ends = rod(tuple(np.array([[-6, 8], [2, -4], [1, 5.0]])), (-6, 2, 1), (8, -4, 5), (3.0, 1.0))
    np.testing.assert_allclose(ends, [-3.0, -1.0], atol=1e-5)
    away = np.linalg.norm(np.stack(places) - [[1.0], [2.0], [3.0]], axis=0) - 5.0
    np.testing.assert_allclose(ball(places, (1, 2, 3), (5, 5, 5)), away, atol=1e-3)
    surface = np.add(np.diag([4.0, 5.0, 6.0]), (1.0, 2.0, 3.0))
    np.testing.assert_allclose(ball(tuple(surface.T), (1, 2, 3), (4, 5, 6)), 0.0, atol=1e-5)


def test_a_field_is_seen_where_the_head_lies():
    """Of an oblique grid in the patient: as if each of its voxels were looked up in head coordinates."""
    grid, head_at = (
        oblique((9, 8, 7), (2.0, 3.0, 4.0)),
        build_head(seed=0, lesion_sign=1, tilt_degrees=(6.0, -4.0, 9.0)),
    )
    place = (places_mm(grid) @ head_at.to_head.T - GRID_LOW_MM) / GRID_MM
    looked_up = sample(head_at.fields["inner"], np.moveaxis(place[..., ::-1], -1, 0))
    np.testing.assert_allclose(resample(head_at.fields["inner"], head_at.to_head, grid), looked_up, atol=0.01)


def test_labels_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch):
    drawn, grid = build_head(seed=0, lesion_sign=1), Geometry((40, 45, 5), (4.0, 4.0, 4.0), (-80.0, -95.0, -8.0))
    whole = label_head(drawn, grid)
    monkeypatch.setattr("PyPeTLib.phantom_head.CHUNK_VOXELS", 2 * 40 * 45)
    for one, other in zip(whole, label_head(drawn, grid), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(np.unique(whole[0])) > 30 and whole[1].any()


# --- head -----------------------------------------------------------------------------------------------------------


def test_truth_obeys_the_central_volume_theorem():
    truth = {name: image.values for name, image in head(SMALL).truth.items()}
    known = np.isfinite(truth["cbf"])
    np.testing.assert_allclose((60 * truth["cbv"] / truth["cbf"])[known], truth["mtt"][known], rtol=1e-5)
    for name in ("cbv", "mtt", "delay", "tmax"):
        assert np.array_equal(np.isfinite(truth[name]), known)


@pytest.mark.parametrize("region", ["white_matter", "hypoperfused", "pure_tissue"])
def test_area_of_the_measured_curve_gives_the_true_volume(region):
    phantom = head(LONG)
    masks = {name: image.values for name, image in phantom.masks.items()}
    mask = (
        masks[region] & masks["pure_tissue"] & (phantom.truth["arterial_share"].values < 1e-4) & ~masks["near_vessel"]
    )
    times = phantom.series.times_s
    ratio = area(enhancement(phantom, mask, baseline=30), times) / area(phantom.aif_hu, times)
    measured = 100 * KAPPA / RHO_G_ML * ratio
    assert measured == pytest.approx(phantom.truth["cbv"].values[mask].mean(dtype=float), rel=0.02)


def test_undiluted_venous_area_equals_the_arterial_area():
    phantom = head(LONG)
    times = phantom.series.times_s
    assert area(phantom.vof_hu, times) == pytest.approx(area(phantom.aif_hu, times), rel=5e-3)
    assert phantom.vof_hu.argmax() > phantom.aif_hu.argmax()
    assert phantom.vof_hu.max() < phantom.aif_hu.max()


def test_sagittal_sinus_shows_the_undiluted_venous_curve():
    phantom = head(HeadOptions(size=(220, 220, 2), frames=30, noise_hu=0.0))
    values = phantom.series.values.astype(float)
    peak = (values - values[0]).max(axis=0)[phantom.masks["veins"].values]
    assert peak.max() == pytest.approx(phantom.vof_hu.max(), rel=0.03)


def test_same_seed_same_scan_and_other_seed_other_anatomy():
    first, again = head(SMALL), head_phantom(SMALL)
    assert np.array_equal(first.series.values, again.series.values)
    other = head(replace(SMALL, seed=1))
    assert not np.array_equal(first.masks["brain"].values, other.masks["brain"].values)
    assert not np.array_equal(first.masks["core"].values, other.masks["core"].values)


def test_another_draw_is_another_scan_of_the_same_head():
    first, second = head(SMALL), head(replace(SMALL, noise_draw=1))
    still = head(replace(SMALL, noise_hu=0.0)).series.values.astype(float)
    for name, image in first.truth.items():
        np.testing.assert_array_equal(second.truth[name].values, image.values)
    one, other = ((found.series.values - still)[:, first.masks["brain"].values] for found in (first, second))
    assert one.std() == pytest.approx(other.std(), rel=0.01)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.1  # noise of neighbours is alike: chance makes some


@pytest.mark.parametrize("noise_hu", [3.0, 9.0])
def test_noise_has_the_standard_deviation_asked_for(noise_hu):
    still = head(replace(SMALL, noise_hu=0.0)).series.values.astype(float)
    brain = head(SMALL).masks["brain"].values
    noise = (head(replace(SMALL, noise_hu=noise_hu)).series.values - still)[:, brain]
    assert noise.std() == pytest.approx(noise_hu, rel=0.03)
    assert abs(noise.mean()) < 0.1 * noise_hu


def test_transit_times_of_all_tissue_may_be_longer_and_its_flow_less():
    long = replace(SMALL, frames=30)
    usual, slow = head(long), head(replace(long, mtt_scale=1.5))
    known = np.isfinite(usual.truth["cbf"].values)
    for name, factor in (("mtt", 1.5), ("cbf", 1.0 / 1.5), ("cbv", 1.0), ("delay", 1.0)):
        expected = factor * usual.truth[name].values[known]
        np.testing.assert_allclose(slow.truth[name].values[known], expected, rtol=1e-4, atol=1e-5)
    assert (slow.aif_hu == usual.aif_hu).all() and not (slow.series.values == usual.series.values).all()


def test_noise_is_stronger_in_the_middle_where_that_is_asked_for():
    still = head(replace(SMALL, noise_hu=0.0)).series.values.astype(float)
    noise = head(replace(SMALL, noise_hu=4.0, noise_middle=2.5)).series.values - still
    y, x = (
        spacing * (np.arange(count) - 0.5 * (count - 1))
        for spacing, count in zip(SMALL.spacing_mm[1::-1], SMALL.size[1::-1], strict=True)
    )
    away_mm, inside = np.hypot(y[:, None], x), head(SMALL).masks["brain"].values.all(axis=0)
    for low, high in ((0.0, 10.0), (35.0, 45.0), (60.0, 80.0)):
        where = inside & (away_mm >= low) & (away_mm < high)
        expected = 4.0 * (1.0 + 1.5 * np.exp(-0.5 * np.mean(away_mm[where] ** 2) / 40.0**2))
        assert noise[:, :, where].std() == pytest.approx(expected, rel=0.08)


def test_noise_of_backprojection_has_hardly_slow_waves_and_the_same_sd():
    """Its power rises with the frequency from 0; that of the smooth one falls."""
    rng = np.random.default_rng(0)
    y, x = (np.fft.fftfreq(128) for _ in range(2))
    frequency = np.hypot(y[:, None], x)
    power = {}
    for texture in ("smooth", "backprojection"):
        noise = correlated_noise((40, 128, 128), 5.0, rng, texture=texture)
        assert noise.std() == pytest.approx(5.0, rel=0.02) and noise.dtype == np.float32
        spectrum = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
        power[texture] = [spectrum[(frequency > low) & (frequency < low + 0.01)].mean() for low in (0.02, 0.04, 0.15)]
    slow, double, fast = power["backprojection"]
    kernel = np.exp((2 * np.pi * 0.7) ** 2 * (0.045**2 - 0.025**2))
    assert double / slow == pytest.approx(0.045 / 0.025 / kernel, rel=0.05) and fast > double
    assert power["smooth"][0] > power["smooth"][1] > power["smooth"][2]


def test_the_head_has_the_texture_asked_for():
    still = head(replace(SMALL, noise_hu=0.0)).series.values.astype(float)
    brain = head(SMALL).masks["brain"].values
    means = {}
    for texture in ("smooth", "backprojection"):
        noise = head(replace(SMALL, noise_hu=4.0, noise_texture=texture)).series.values - still
        assert noise[:, brain].std() == pytest.approx(4.0, rel=0.03)
        means[texture] = gaussian_filter(noise, (0.0, 0.0, 3.0, 3.0))[:, brain].std()
    assert means["backprojection"] < 0.6 * means["smooth"]


def test_drift_adds_as_much_to_every_voxel_a_minute():
    still, drifting = (
        head(replace(SMALL, noise_hu=0.0, drift_hu=drift)).series.values.astype(float) for drift in (0.0, -6.0)
    )
    times_s, brain = head(SMALL).series.times_s, head(SMALL).masks["brain"].values
    expected = -0.1 * (times_s - times_s[0])
    np.testing.assert_allclose((drifting - still)[:, brain], np.repeat(expected[:, None], brain.sum(), 1), atol=1.01)
    np.testing.assert_allclose((drifting - still)[:, brain].mean(axis=1), expected, atol=0.1)


def test_frames_between_those_that_were_taken_are_means_of_both():
    plain, between = (head(replace(SMALL, frames=5, **chosen)) for chosen in ({}, {"taken_every_s": 2.0}))
    np.testing.assert_array_equal(between.series.times_s, plain.series.times_s)
    np.testing.assert_allclose(between.aif_hu, plain.aif_hu)
    values = between.series.values.astype(float)
    np.testing.assert_allclose(values[1::2], 0.5 * (values[:-1:2] + values[2::2]), atol=0.51)
    assert (values[::2] == head(replace(SMALL, frames=3, interval_s=2.0)).series.values).all()


@pytest.mark.parametrize(
    ("times_s", "taken_s"), [((0.0, 1.0, 2.0, 3.0), [0.0, 2.0, 4.0]), ((5.0, 6.0, 9.0), [5.0, 7.0, 9.0])]
)
def test_frames_are_taken_from_the_first_time_on_until_the_last_lies_between_two(times_s, taken_s):
    options = replace(SMALL, times_s=times_s, taken_every_s=2.0)
    np.testing.assert_allclose(times_taken(options), taken_s)


def test_a_head_without_its_skull_is_0_outside_the_brain():
    whole, removed = (head(replace(SMALL, frames=2, skull=skull)) for skull in ("whole", "removed"))
    inside = whole.masks["brain"].values
    assert (removed.series.values[:, inside] == whole.series.values[:, inside]).all()
    assert not removed.series.values[:, ~inside].any()


def test_noise_is_correlated_in_plane_and_independent_between_slices_and_frames():
    options = replace(SMALL, noise_hu=20.0)
    noise = head(options).series.values.astype(float) - head(replace(options, noise_hu=0.0)).series.values
    noise = noise[:, :, 24:40, 24:40]
    variance = noise.var()
    assert (noise[..., 1:] * noise[..., :-1]).mean() / variance == pytest.approx(0.61, abs=0.06)
    assert abs((noise[1:] * noise[:-1]).mean() / variance) < 0.1
    assert abs((noise[:, 1:] * noise[:, :-1]).mean() / variance) < 0.1


def test_oblique_grid_is_orthonormal_and_the_head_stays_in_the_patient():
    straight, oblique = head(SMALL), head(replace(SMALL, oblique_degrees=20.0))
    axes = oblique.series.geometry.axes
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.degrees(np.arccos((np.trace(axes) - 1) / 2)) == pytest.approx(20.0)
    np.testing.assert_allclose(centre_mm(oblique, "core"), centre_mm(straight, "core"), atol=6.0)
    np.testing.assert_allclose(centre_mm(oblique, "brain"), centre_mm(straight, "brain"), atol=8.0)


def centre_mm(phantom: Phantom, name: str) -> np.ndarray:
    grid = phantom.series.geometry
    index = np.argwhere(phantom.masks[name].values)[:, ::-1].mean(axis=0)
    return np.asarray(grid.origin_mm) + grid.axes @ (index * grid.spacing_mm)


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_lesion_of_the_left_lies_at_positive_x(side, sign):
    phantom = head(replace(SMALL, lesion_side=side))
    assert sign * centre_mm(phantom, "hypoperfused")[0] > 25.0
    assert sign * centre_mm(phantom, "core")[0] > 25.0


def test_no_lesion_leaves_no_late_tissue():
    phantom = head(replace(SMALL, lesion_side="none"))
    assert not phantom.masks["hypoperfused"].values.any()
    assert np.nanmax(phantom.truth["tmax"].values) < 2.0


@pytest.mark.parametrize("seed", [1])
def test_hypoperfused_volume_and_its_delay_are_plausible(seed):
    phantom = head(replace(SMALL, size=(64, 64, 10), frames=2, seed=seed))
    masks = {name: image.values for name, image in phantom.masks.items()}
    volume = masks["hypoperfused"].sum() * phantom.series.geometry.voxel_volume_ml
    assert 30.0 <= volume <= 150.0
    assert 0.0 < masks["core"].sum() < 0.6 * masks["hypoperfused"].sum()
    late = phantom.truth["tmax"].values > 6.0
    overlap = (late & masks["hypoperfused"]).sum() / (late | masks["hypoperfused"]).sum()
    assert overlap > 0.7


def test_masks_are_nested_and_disjoint_as_their_names_say():
    masks = {name: image.values for name, image in head(SMALL).masks.items()}
    assert not (masks["arteries"] & masks["veins"]).any()
    assert not (masks["gray_matter"] & masks["white_matter"]).any()
    assert not (masks["core"] & masks["penumbra"]).any()
    assert np.array_equal(masks["core"] | masks["penumbra"], masks["hypoperfused"])
    assert ((masks["gray_matter"] | masks["white_matter"]) <= masks["pure_tissue"]).all()
    assert ((masks["arteries"] | masks["veins"]) <= masks["near_vessel"]).all()
    assert (masks["hypoperfused"] <= masks["brain"]).all()
    assert not (masks["csf"] & masks["pure_tissue"]).any()
    for name, mask in masks.items():
        assert mask.dtype == bool, name
        assert mask.any(), name


def seen_of(parts, across=None, vessel=Label.ARTERY):
    """Truth and masks of slices of eight parts each, the same all over a slice but for some columns of the last."""
    fine = Geometry((12, 12, 8 * len(parts)), (1.9, 1.9, 1.25))
    labels = np.concatenate([np.concatenate([np.full(n, label) for label, n in one]) for one in parts])
    labels = np.broadcast_to(labels.astype(np.uint8)[:, None, None], fine.shape).copy()
    if across is not None:
        labels[-8:, :, across] = vessel
    scene = Scene(labels, fine, 0, (1, 1, 8), np.ones(fine.shape, dtype=bool))
    return describe(scene, label_table(HeadOptions()), "exponential", Geometry((12, 12, len(parts)), (1.9, 1.9, 10.0)))


def test_truth_of_a_voxel_is_the_mean_of_its_parts_and_its_delay_is_weighted_by_flow():
    """Less than half of tissue has none; times are those of the flow, not of the volume."""
    late, early = Label.WHITE + 15, Label.GRAY
    truth, _ = seen_of(
        [[(early, 8)], [(early, 4), (late, 4)], [(early, 4), (Label.CSF, 4)], [(early, 3), (Label.CSF, 5)]]
    )
    cbf, cbv, mtt, delay = (truth[name].values[:, 6, 6].astype(float) for name in ("cbf", "cbv", "mtt", "delay"))
    table = label_table(HeadOptions())
    flow, volume = table.cbf[[early, late]], table.cbv[[early, late]]
    assert cbf[:3] == pytest.approx([flow[0], flow.mean(), 0.5 * flow[0]], rel=1e-5)
    assert cbv[:3] == pytest.approx([volume[0], volume.mean(), 0.5 * volume[0]], rel=1e-5)
    assert mtt[:3] == pytest.approx(
        60.0 * np.array([volume[0], volume.mean(), volume[0]]) / [flow[0], flow.mean(), flow[0]]
    )
    assert (table.delay_s[early], table.delay_s[late]) == (0.0, 1.5)
    assert delay[:3] == pytest.approx([0.0, 1.5 * flow[1] / flow.sum(), 0.0], rel=1e-5)
    assert np.isnan([cbf[3], cbv[3], mtt[3], delay[3]]).all()


def test_masks_are_of_what_is_most_of_the_tissue_or_pure():
    """Core and penumbra by the tissue of a voxel, not by the whole of it."""
    gray, core, ill, csf = Label.GRAY, Label.CORE_GRAY, Label.PENUMBRA_GRAY, Label.CSF
    parts = [[(gray, 8)], [(gray, 7), (csf, 1)], [(core, 2), (gray, 2), (csf, 4)], [(core, 1), (gray, 3), (csf, 4)]]
    parts += [[(ill, 4), (gray, 4)], [(core, 2), (ill, 2), (gray, 4)], [(Label.WHITE, 8)], [(csf, 4), (gray, 4)]]
    _, masks = seen_of(parts)
    found = {name: np.flatnonzero(mask.values[:, 6, 6]).tolist() for name, mask in masks.items()}
    assert found["pure_tissue"] == [0, 4, 5, 6] and found["gray_matter"] == [0, 4, 5] and found["white_matter"] == [6]
    assert (found["core"], found["hypoperfused"], found["penumbra"]) == ([2], [2, 4, 5], [4, 5])
    assert found["csf"] == [2, 3, 7]


def test_arteries_are_told_by_their_share_of_the_blood_and_tissue_is_near_them_within_4_mm():
    """An artery fills an eighth of the voxels of two slices; columns of 1.9 mm beside one are near up to the second."""
    parts = [[(Label.ARTERY, 1), (Label.CSF, 7)], [(Label.ARTERY, 1), (Label.GRAY, 7)], [(Label.GRAY, 8)]]
    truth, masks = seen_of([*parts, [(Label.CSF, 8)]], across=0)
    share = truth["arterial_share"].values[:, 6, 6]
    tissue = 7 / 8 * label_table(HeadOptions()).cbv[Label.GRAY] / 100.0 * RHO_G_ML / KAPPA
    assert share == pytest.approx([1.0, 0.125 / (0.125 + tissue), 0.0, 0.0], rel=1e-5)
    assert np.flatnonzero(masks["arteries"].values[:, 6, 6]).tolist() == [0, 1]
    assert np.flatnonzero(masks["arteries"].values[3, 6]).tolist() == [0]
    assert np.flatnonzero(masks["near_vessel"].values[3, 6]).tolist() == [0, 1, 2]
    assert not masks["near_vessel"].values[2].any()


def test_veins_are_told_by_their_share_of_the_blood_and_fill_more_than_a_trace():
    """Beside a vein in fluid the point spread leaves 1 %, all blood there; with as much of an artery it is none."""
    vein, csf = Label.VEIN, Label.CSF
    parts = [[(vein, 1), (csf, 7)], [(vein, 1), (Label.ARTERY, 1), (csf, 6)], [(vein, 1), (Label.GRAY, 7)]]
    _, masks = seen_of([*parts, [(Label.GRAY, 8)], [(csf, 8)]], across=0, vessel=vein)
    assert np.flatnonzero(masks["veins"].values[:, 6, 6]).tolist() == [0, 2]
    assert np.flatnonzero(masks["arteries"].values[:, 6, 6]).tolist() == [1]
    assert np.flatnonzero(masks["veins"].values[4, 6]).tolist() == [0]


def test_thin_arteries_in_thick_slices_show_less_than_the_true_peak():
    base = HeadOptions(size=(220, 220, 2), times_s=(0.0, 16.5), noise_hu=0.0)
    peaks = []
    for scale in (1.0, 0.4, 0.15):
        phantom = head(replace(base, artery_scale=scale))
        values = phantom.series.values.astype(float)
        inside = phantom.masks["arteries"].values & phantom.masks["brain"].values
        peaks.append(float((values - values[0]).max(axis=0)[inside].max() / phantom.aif_hu.max()))
    assert peaks[0] > 0.6
    assert peaks[0] > peaks[1] + 0.1
    assert peaks[2] < 0.25


def test_uneven_times_are_kept_and_sampled_at_their_own_time():
    times = (0.0, 1.0, 2.5, 14.0, 17.0, 23.0)
    phantom = head(replace(SMALL, times_s=times, noise_hu=0.0))
    assert phantom.series.times_s.tolist() == list(times)
    expected = bolus_curve(np.array(times), arrival_s=10.0, width_s=9.0, peak_hu=330.0, recirculation=0.18)
    np.testing.assert_allclose(phantom.aif_hu, expected, atol=0.01)


def test_a_bolus_that_is_later_is_the_same_scan_later():
    times = np.array([0.0, 9.0, 14.0, 20.0, 29.0])
    early, late = (
        head(replace(SMALL, noise_hu=0.0, bolus_arrival_s=5.0 + later, times_s=tuple((times + later).tolist())))
        for later in (0.0, 12.0)
    )
    np.testing.assert_allclose(late.series.values.astype(int), early.series.values, atol=1)
    np.testing.assert_allclose(late.aif_hu, early.aif_hu, atol=1e-3)


def test_bolus_of_a_head_is_the_one_that_is_asked_for():
    asked = {"peak_hu": 200.0, "width_s": 13.0, "arrival_s": 7.0}
    options = replace(SMALL, frames=40, recirculation=0.3, **{f"bolus_{name}": value for name, value in asked.items()})
    phantom = head(options)
    expected = bolus_curve(np.arange(40.0), **asked, recirculation=0.3)
    np.testing.assert_allclose(phantom.aif_hu, expected, atol=0.01)


def test_motion_moves_the_head_and_leaves_truth_and_first_frame():
    still = head(replace(SMALL, noise_hu=0.0))
    moved = head(replace(SMALL, noise_hu=0.0, motion_mm=6.0, motion_degrees=4.0))
    assert np.array_equal(still.series.values[0], moved.series.values[0])
    assert np.array_equal(still.masks["brain"].values, moved.masks["brain"].values)
    assert np.abs(still.series.values[-1].astype(float) - moved.series.values[-1]).mean() > 20.0


def test_the_head_moves_as_far_as_is_asked_in_the_last_frame():
    options = replace(SMALL, motion_mm=5.0, motion_degrees=12.0)
    turns, shifts_mm = true_motion(options, np.arange(3.0, 9.0))
    angles = np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1.0) / 2.0, -1.0, 1.0)))
    apart_mm = np.linalg.norm(shifts_mm, axis=1)
    np.testing.assert_allclose([apart_mm[[0, -1]], angles[[0, -1]]], [[0.0, 5.0], [0.0, 12.0]], atol=1e-6)
    assert (np.diff(apart_mm) > 0.0).all() and (np.diff(angles) > 0.0).all()


@pytest.mark.parametrize("degrees", [0.0, 12.0])
def test_what_moves_into_the_brain_from_below_and_above_was_drawn(degrees):
    """Not what is in the first and last slices, once more: the brain of the last frame comes from drawn slices."""
    options = replace(SMALL, frames=2, motion_mm=6.0, motion_degrees=degrees)
    scene = scene_of(options, grid_geometry(options))
    fine, drawn = scene.fine, scene.labels.shape[0]
    turns, shifts_mm = true_motion(options, np.arange(2.0))
    came_from = ((places_mm(fine)[scene.inside] - shifts_mm[1]) @ turns[1] - fine.origin_mm) @ fine.axes
    slices = came_from[:, 2] / fine.spacing_mm[2] + scene.margin
    assert drawn - 1 >= slices.max() and slices.min() >= 0.0
    assert slices.max() > drawn - 1 - scene.margin or slices.min() < scene.margin


def test_a_point_of_the_head_moves_as_it_is_said_to():
    """A ball, turned about the origin of the patient frame and shifted; at both ends are slices to move in from."""
    fine = Geometry((60, 50, 40), (1.0, 1.25, 1.5), (-20.0, -30.0, -40.0))
    z, y, x = np.indices((48, *fine.shape[1:]))
    place = np.stack([x, y, z - 4], axis=-1) * fine.spacing_mm + fine.origin_mm
    ball = np.linalg.norm(place - (18.0, 6.0, -12.0), axis=-1) < 7.0
    labels = np.where(ball, Label.VEIN, Label.AIR).astype(np.uint8)
    values = np.zeros(Label.COUNT, dtype=np.float32)
    values[Label.VEIN] = 100.0
    turn, shift_mm = rotation(np.array([8.0, -6.0, 12.0])), np.array([2.5, -1.5, 3.0])
    moved = _move(Scene(labels, fine, 4, (1, 1, 1), ball), values, turn, shift_mm)
    found = np.average(place[4:-4].reshape(-1, 3), axis=0, weights=moved.ravel())
    np.testing.assert_allclose(found, turn @ place[ball].mean(axis=0) + shift_mm, atol=0.02)


@pytest.mark.parametrize("residue", ["linear", "gamma", "fermi", "mixed"])
def test_tmax_is_the_delay_where_the_residue_starts_at_its_peak(residue):
    truth = head(replace(SMALL, residue=residue)).truth
    np.testing.assert_array_equal(truth["tmax"].values, truth["delay"].values)


def test_tmax_of_a_box_is_the_middle_of_the_plateau():
    truth = {name: image.values for name, image in head(replace(SMALL, residue="box")).truth.items()}
    np.testing.assert_allclose(truth["tmax"], truth["delay"] + truth["mtt"] / 2, rtol=1e-5)


@pytest.mark.parametrize("size", [(100, 100, 1), (100, 100, 40)])
def test_slabs_of_one_slice_and_of_thin_slices_work(size):
    phantom = head(replace(SMALL, size=size, spacing_mm=(2.0, 2.0, 0.5)))
    assert phantom.series.values.shape == (3, *size[::-1])
    assert phantom.masks["arteries"].values.any()
    assert phantom.masks["white_matter"].values.any()


@pytest.mark.parametrize(
    "change",
    [
        {"size": (64, 64, 0)},
        {"size": (20, 20, 4)},
        {"spacing_mm": (3.0, 3.0, 20.0)},
        {"frames": 1},
        {"times_s": (0.0, 2.0, 2.0)},
        {"residue": "square"},
        {"lesion_delay_s": (9.0, 7.0)},
        {"lesion_delay_s": (1.0,)},
        {"lesion_side": "middle"},
        {"bolus_arrival_s": 2.0},
        {"noise_hu": -1.0},
        {"artery_scale": float("nan")},
        {"seed": -1},
    ],
)
def test_bad_option_is_refused_with_its_name_and_value(change):
    with pytest.raises(InputError, match=r"Phantom .*needed.*found"):
        head_phantom(replace(SMALL, **change))


# --- tiles ----------------------------------------------------------------------------------------------------------


def test_tiles_have_the_published_layout():
    phantom = tiles_phantom()
    assert phantom.series.frames == 30
    assert phantom.series.interval_s == 2.0
    tile, truth = phantom.truth["tile"].values, phantom.truth
    assert tile.max() == 49
    assert (np.bincount(tile[0].ravel())[1:] == 32 * 32).all()
    assert np.nanmin(truth["cbf"].values) == pytest.approx(2.5)
    assert np.nanmax(truth["cbf"].values) == pytest.approx(87.5, abs=0.1)
    last = tile == 49
    assert set(truth["mtt"].values[last]) == {np.float32(3.43)}
    assert set(truth["delay"].values[last]) == {np.float32(3.0)}
    assert [float(np.nanmean(s)) for s in truth["cbv"].values] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_arterial_region_of_the_tiles_shows_049_of_the_published_input():
    phantom = tiles_phantom(TilesOptions(noise_hu=0.0))
    times = phantom.series.times_s
    formula = np.where(times > 12, 102.5 * np.maximum(times - 12, 0) ** 3 * np.exp(-(times - 12) / 1.5), 0)
    np.testing.assert_allclose(phantom.aif_hu, formula)
    np.testing.assert_allclose(enhancement(phantom, phantom.masks["arteries"].values), 0.49 * formula, atol=0.51)
    np.testing.assert_allclose(enhancement(phantom, phantom.masks["veins"].values), phantom.vof_hu, atol=0.51)


def test_venous_curve_of_the_tiles_is_the_input_after_transit_and_delay():
    fine = np.arange(0.0, 60.0, 0.01)
    spread = np.convolve(tile_input(fine), np.exp(-fine / 6) / 6)[: fine.size] * 0.01
    phantom = tiles_phantom(TilesOptions(noise_hu=0.0, cbv=(4.0,)))
    expected = np.interp(phantom.series.times_s - 4.0, fine, spread, left=0.0)
    np.testing.assert_allclose(phantom.vof_hu, expected, atol=0.01 * expected.max())


@pytest.mark.parametrize("residue", RESIDUES)
def test_area_of_each_tile_gives_its_volume(residue):
    options = TilesOptions(residue=residue, noise_hu=0.0, frames=400, interval_s=1.0, cbv=(5.0,), mtt_s=(24.0, 4.0))
    phantom = tiles_phantom(options)
    times, tile = phantom.series.times_s, phantom.truth["tile"].values
    for number in (1, 2, 13, 14):
        ratio = area(enhancement(phantom, tile == number), times) / area(phantom.aif_hu, times)
        assert 100 * KAPPA / RHO_G_ML * ratio == pytest.approx(5.0, rel=0.05)


def test_noise_of_the_tiles_is_independent():
    options = TilesOptions(cbv=(4.0,), frames=4)
    noise = (
        tiles_phantom(options).series.values.astype(float) - tiles_phantom(replace(options, noise_hu=0.0)).series.values
    )
    noise = noise[:, :, 30:250, 30:250]
    assert noise.std() == pytest.approx(9.0, rel=0.01)
    assert abs((noise[..., 1:] * noise[..., :-1]).mean()) < 0.01 * noise.var()


@pytest.mark.parametrize(
    "change", [{"frames": 1}, {"arterial_fraction": 1.5}, {"cbv": ()}, {"mtt_s": (0.0,)}, {"residue": "x"}]
)
def test_bad_tiles_are_refused(change):
    with pytest.raises(InputError, match=r"Phantom .*needed.*found"):
        tiles_phantom(replace(TilesOptions(), **change))
