"""Noise removal: what is kept, what is lost, and that nothing enters from outside the mask."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from PyPeTLib import Series, Settings
from PyPeTLib.curves import noise_correlation, robust_sd
from PyPeTLib.denoise import enhancement, masked_hu, smooth, temporal_components, weights
from PyPeTLib.errors import Cancelled
from PyPeTLib.geometry import Geometry
from PyPeTLib.progress import silent
from PyPeTLib.records import Curves
from PyPeTLib.settings import DenoiseMethod
from PyPeTLib.smoothing import gaussian_in_mask

METHODS = get_args(DenoiseMethod)
TIMES = np.arange(50.0)
BASELINE = 12
GRID = Geometry((40, 36, 3), (2.0, 2.0, 8.0))


def disc():
    """A mask with a curved border that leaves room on all sides."""
    y, x = np.indices(GRID.shape[1:])
    return np.repeat((np.hypot(y - 17.0, x - 19.5) < 15.0)[None], 3, axis=0)


def brain_hu(bolus, mask, sd=6.0, seed=0, delay_s=None):
    """HU of tissue with 4 % blood volume plus noise, shape (t, voxel); delay by voxel where given."""
    delays = np.zeros(int(mask.sum())) if delay_s is None else delay_s[mask]
    kinds, kind = np.unique(delays, return_inverse=True)
    rows = 35.0 + np.stack([bolus.washout(TIMES, delay_s=d) for d in kinds])[kind]
    return (rows + np.random.default_rng(seed).normal(0.0, sd, rows.shape)).astype(np.float32).T


def enhanced(hu, mask, grid=GRID, **chosen):
    return enhancement(hu, BASELINE, mask, grid, drift_hu=np.zeros(len(hu)), settings=Settings(**chosen))


def components_of(hu, mask):
    return temporal_components(hu, mask, GRID, drift_hu=np.zeros(len(hu)), correlation=noise_correlation(hu))


def interpolated(hu):
    """Every second frame, and between them the mean of both: twice as many frames with no more in them."""
    found = np.repeat(hu[::2], 2, axis=0)[:-1]
    found[1::2] = 0.5 * (found[:-1:2] + found[2::2])
    return found


def smoothed(curves, grid=GRID, **chosen):
    return smooth(curves, grid, settings=Settings(**chosen), progress=silent)


def image(curves: Curves, column):
    """The coefficient of one component as an image, 0 outside."""
    grid = np.zeros(curves.mask.shape)
    grid[curves.mask] = curves.coefficients[:, column]
    return grid


def full(curves: Curves):
    """The curves themselves, shape (voxel, t)."""
    return curves.coefficients @ curves.basis


# --- enhancement ----------------------------------------------------------------------------------------------------


def test_enhancement_is_signed_and_above_the_mean_of_the_baseline():
    hu = np.array([[30, 50], [34, 50], [32, 20], [90, 51]], dtype=np.int16)
    grid = Geometry((2, 1, 1), (2.0, 2.0, 8.0))
    found = enhancement(
        hu, 2, np.ones(grid.shape, dtype=bool), grid, drift_hu=np.zeros(len(hu)), settings=Settings(denoise="none")
    )
    np.testing.assert_array_equal(full(found).T, [[-2, 0], [2, 0], [0, -30], [58, 1]])


@pytest.mark.parametrize("method", METHODS)
def test_enhancement_is_zero_on_average_over_the_baseline_frames(bolus, method):
    mask = disc()
    found = full(enhanced(brain_hu(bolus, mask), mask, denoise=method))
    assert np.abs(found[:, :BASELINE].mean(axis=1)).max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_enhancement_does_not_know_the_level_of_hu(bolus, method):
    """CT numbers of −1024 or +3000 HU, whole or not, enhance alike: float32 holds seven digits of them."""
    mask = disc()
    hu = np.round(brain_hu(bolus, mask)).astype(np.int16)
    levels = np.random.default_rng(1).integers(-1000, 3000, hu.shape[1]).astype(np.int16)
    base, shifted = (full(enhanced(values, mask, denoise=method)) for values in (hu, hu + levels))
    np.testing.assert_allclose(base, shifted, atol=4000 * 1e-6 * 14)


@pytest.mark.parametrize("method", METHODS)
def test_masked_hu_are_the_voxels_of_the_mask_in_order(method):
    rng, mask = np.random.default_rng(0), disc()
    values = rng.integers(-100, 100, (4, *GRID.shape), dtype=np.int16)
    if method == "curvature-flow":
        values[:] = np.arange(4, dtype=np.int16)[:, None, None, None]  # flat frames do not flow
    found = masked_hu(Series(values, np.arange(4.0), GRID), mask, settings=Settings(denoise=method), progress=silent)
    np.testing.assert_array_equal(found, values[:, mask])


def test_curvature_flow_calms_each_frame_and_its_settings_count():
    values = np.random.default_rng(0).normal(30.0, 6.0, (2, *GRID.shape)).astype(np.float32)
    series, mask = Series(values, np.arange(2.0), GRID), disc()

    def spread(**chosen):
        return masked_hu(series, mask, settings=Settings(denoise="curvature-flow", **chosen), progress=silent).std()

    assert spread(curvature_flow_iterations=20) < spread(curvature_flow_iterations=2) < 6.0
    assert spread(curvature_flow_step=0.1) < spread(curvature_flow_step=0.02)


# --- temporal components --------------------------------------------------------------------------------------------


def test_components_are_orthonormal_few_and_blind_to_the_baseline(bolus):
    mask = disc()
    signal, noise = components_of(brain_hu(bolus, mask), mask)
    both = np.vstack([signal, noise])
    np.testing.assert_allclose(both @ both.T, np.eye(len(both)), atol=1e-5)
    np.testing.assert_allclose(both.sum(axis=1), 0.0, atol=1e-5)
    assert 4 <= len(signal) <= 14


def test_every_component_that_is_clearly_above_the_noise_is_kept(bolus):
    """Eight courses in blocks of 2 x 2 voxels: each has five times the variance that noise leaves in their means."""
    rng, mask = np.random.default_rng(0), np.ones(GRID.shape, dtype=bool)
    courses = np.linalg.qr(rng.normal(size=(TIMES.size, 8)))[0]
    courses = np.linalg.qr(courses - courses.mean(axis=0))[0].T
    of_blocks = rng.normal(0.0, 6.0, (8, GRID.shape[0], 18, 20)).repeat(2, axis=2).repeat(2, axis=3)[..., :36, :40]
    hu = 35.0 + courses.T @ of_blocks.reshape(8, -1) + rng.normal(0.0, 6.0, (TIMES.size, mask.sum()))
    signal, _ = components_of(hu.astype(np.float32), mask)
    np.testing.assert_allclose(np.linalg.norm(courses @ signal.T, axis=1), 1.0, atol=0.05)
    assert len(signal) == 8 + 2


def test_components_of_few_frames_are_fewer(bolus):
    mask = disc()
    signal, _ = components_of(brain_hu(bolus, mask)[::6], mask)
    assert len(signal) <= 6  # half of the nine frames, and the two for late territories


def test_noise_of_a_scan_that_was_interpolated_is_that_of_its_slow_components(bolus):
    """It was sought in the lower half of the spectrum, in which there is none: nothing was averaged then."""
    mask = disc()
    hu = brain_hu(bolus, mask)
    found, own = enhanced(interpolated(hu), mask), enhanced(hu[::2], mask)
    assert found.frames_alike == pytest.approx(2.0 / 3.0, abs=0.1) and own.frames_alike == 0.0
    # each frame stands for two, so as much noise in the sum of all as from twice the variance
    assert robust_sd(found.noise) == pytest.approx(np.sqrt(2.0) * robust_sd(own.noise), rel=0.15)
    means = [smoothed(one, bilateral_sigma_mm=6.0) for one in (found, own)]
    assert means[0].resolution_mm == pytest.approx(means[1].resolution_mm, rel=0.15)
    assert len(found.basis) <= len(TIMES) // 4 + 3


def test_noise_of_a_moving_average_is_that_of_its_slow_components(bolus):
    mask = disc()
    hu = brain_hu(bolus, mask)
    averaged = np.stack([hu[max(0, k - 1) : k + 2].mean(axis=0) for k in range(len(hu))])
    found = enhanced(averaged, mask)
    assert 0.5 < found.frames_alike < 0.8
    assert robust_sd(found.noise) == pytest.approx(6.0, rel=0.2)  # single frames have 3.5 HU


def test_weights_are_projections_in_any_type():
    components = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    hu = np.random.default_rng(1).integers(-1000, 1000, (8, 70_000), dtype=np.int16)
    np.testing.assert_allclose(weights(components, hu), hu.T @ components.astype(float).T, atol=0.01)


@pytest.mark.parametrize("sd", [2.0, 6.0, 12.0])
@pytest.mark.parametrize("method", ["bilateral", "none"])
def test_noise_column_has_the_sd_of_one_frame(bolus, method, sd):
    mask = disc()
    curves = enhanced(brain_hu(bolus, mask, sd), mask, denoise=method)
    assert robust_sd(curves.noise) == pytest.approx(sd, rel=0.1)
    assert curves.noise.std() == pytest.approx(sd, rel=0.1)


@pytest.mark.parametrize("method", ["none", "curvature-flow"])
def test_methods_that_keep_every_frame_keep_the_curves(bolus, method):
    mask = disc()
    hu = brain_hu(bolus, mask)
    curves = smoothed(enhanced(hu, mask, denoise=method), denoise=method)
    np.testing.assert_allclose(full(curves).T, hu - hu[:BASELINE].mean(axis=0), atol=1e-4)


def test_projection_keeps_the_signal_and_drops_noise(bolus):
    mask = disc()
    delays = np.where(np.arange(40) < 20, 0.0, 5.0) * np.ones(GRID.shape)
    clean = brain_hu(bolus, mask, 0.0, delay_s=delays) - 35.0
    curves = enhanced(brain_hu(bolus, mask, 6.0, delay_s=delays), mask)
    lost = (full(curves) - clean.T).std()
    share = np.linalg.norm(curves.basis) ** 2 / TIMES.size  # of the noise variance that the components let through
    assert lost == pytest.approx(6.0 * np.sqrt(share), rel=0.1)
    assert lost < 0.7 * 6.0


def test_mean_curve_of_the_brain_is_unbiased(bolus):
    mask = disc()
    curves = enhanced(brain_hu(bolus, mask), mask)
    standard_error = 6.0 / np.sqrt(mask.sum()) * np.sqrt(1 + 1 / BASELINE)
    assert np.abs(curves.mean(mask) - bolus.washout(TIMES)).max() < 4.0 * standard_error


@pytest.mark.parametrize(("edge", "late_s"), [(8, 8.0), (4, 8.0), (3, 12.0)])
def test_small_late_lesion_survives_the_projection(bolus, edge, late_s):
    """2 mL of tissue that is 8 s late, 0.3 % of a brain whose own arrival times spread over 2 s; half of it and less.

    The smaller ones are in no principal component, but in those of the mean curve delayed.
    """
    grid = Geometry((80, 80, 3), (2.0, 2.0, 8.0))
    mask = np.ones(grid.shape, dtype=bool)
    lesion = np.zeros(grid.shape, dtype=bool)
    lesion[1, 50 : 50 + edge, 30 : 30 + edge] = True
    delays = np.where(lesion, late_s, np.arange(80) // 16 * 0.5 * np.ones(grid.shape))
    found = enhanced(brain_hu(bolus, mask, delay_s=delays), mask, grid).mean(lesion)
    truth = bolus.washout(TIMES, delay_s=late_s)
    assert found.max() == pytest.approx(truth.max(), rel=0.15)
    assert TIMES[found.argmax()] == pytest.approx(TIMES[truth.argmax()], abs=1.5)


@pytest.mark.parametrize("sd", [0.0, 1e-3])
def test_curves_without_noise_survive_the_projection(bolus, sd):
    mask = disc()
    delays = np.where(np.arange(40) < 20, 0.0, 5.0) * np.ones(GRID.shape)
    curves = enhanced(brain_hu(bolus, mask, sd, delay_s=delays), mask)
    truth = brain_hu(bolus, mask, 0.0, delay_s=delays).T - 35.0
    np.testing.assert_allclose(full(curves), truth, atol=10 * sd + 1e-3 * truth.max())


def test_mask_of_fewer_blocks_than_frames_keeps_its_curves(bolus):
    """A user's mask may be small: here 20 blocks of 5 mm, 50 frames."""
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1, 10:18, 10:20] = True
    curves = enhanced(brain_hu(bolus, mask, 1.0), mask)
    standard_error = 1.0 / np.sqrt(mask.sum()) * np.sqrt(1 + 1 / BASELINE)
    assert np.abs(curves.mean(mask) - bolus.washout(TIMES)).max() < 5.0 * standard_error


def test_mean_curve_of_a_mask_is_the_mean_of_its_voxels(bolus):
    mask = disc()
    curves = enhanced(brain_hu(bolus, mask), mask)
    part = mask & (np.arange(40) < 15)
    np.testing.assert_allclose(curves.mean(part), full(curves)[part[mask]].mean(axis=0), atol=1e-4)


# --- smoothing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.5, 2.5, 10.0])
def test_gaussian_keeps_a_constant(sigma):
    mask = disc() & (np.random.default_rng(0).random(GRID.shape) < 0.7)
    rows = np.full((int(mask.sum()), 2), [7.0, -3.0], dtype=np.float32)
    np.testing.assert_allclose(gaussian_in_mask(rows, mask, GRID.spacing_zyx_mm, sigma), rows, rtol=1e-5)


def test_gaussian_has_the_width_asked_for_in_mm():
    grid = Geometry((61, 81, 9), (2.0, 1.5, 4.0))
    mask, spike = np.ones(grid.shape, dtype=bool), np.zeros(grid.shape, dtype=np.float32)
    spike[4, 40, 30] = 1.0
    found = gaussian_in_mask(spike[mask][:, None], mask, grid.spacing_zyx_mm, 6.0).reshape(grid.shape)
    assert found.sum() == pytest.approx(1.0, abs=0.1)  # slices end within the kernel
    for axis, spacing in ((1, 1.5), (2, 2.0)):
        profile = found.sum(axis=tuple(a for a in range(3) if a != axis))
        place = (np.arange(profile.size) - profile.argmax()) * spacing
        width = np.sqrt((profile * place**2).sum() / profile.sum())
        assert width == pytest.approx(6.0, rel=0.06)  # cut at 2.5 SD a Gaussian is 5 % narrower


@pytest.mark.parametrize("chosen", [{"denoise": "gaussian"}, {"denoise": "bilateral"}, {"denoise": "none"}])
def test_smoothing_keeps_a_constant_brain_constant(bolus, chosen):
    mask = disc()
    curves = enhanced(brain_hu(bolus, mask, sd=0.0), mask, **chosen)
    found = smoothed(curves, **chosen)
    np.testing.assert_allclose(
        found.coefficients, curves.coefficients, rtol=1e-4, atol=1e-4 * np.abs(curves.coefficients).max()
    )


@pytest.mark.parametrize("method", ["gaussian", "bilateral", "none"])
def test_nothing_enters_from_outside_the_mask(bolus, method):
    """Whatever surrounds the mask, its curves come out bit for bit the same."""
    mask, found = disc(), []
    inside = brain_hu(bolus, mask)
    for outside in (0.0, 3000.0):
        values = np.full((TIMES.size, *GRID.shape), outside, dtype=np.float32)
        values[:, mask] = inside
        chosen = Settings(denoise=method)
        hu = masked_hu(Series(values, TIMES, GRID), mask, settings=chosen, progress=silent)
        found.append(smoothed(enhanced(hu, mask, denoise=method), denoise=method))
    np.testing.assert_array_equal(found[0].coefficients, found[1].coefficients)


@pytest.mark.parametrize("method", ["gaussian", "bilateral"])
def test_position_of_the_mask_in_the_grid_does_not_matter(bolus, method):
    curves = enhanced(brain_hu(bolus, disc()), disc())
    moved = replace(curves, mask=np.roll(disc(), 3, axis=2))
    found = [smoothed(one, denoise=method).coefficients for one in (curves, moved)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["gaussian", "bilateral"])
def test_smoothing_mirrors_with_its_input(bolus, method):
    mask = disc() & (np.arange(40) < 30)
    curves = enhanced(brain_hu(bolus, mask), mask)
    order = np.full(GRID.shape, -1)
    order[mask] = np.arange(mask.sum())
    turned = order[::-1, ::-1, ::-1]
    back = turned[turned >= 0]
    mirrored = replace(
        curves,
        coefficients=curves.coefficients[back],
        noise=curves.noise[back],
        anatomy_hu=curves.anatomy_hu[back],
        mask=mask[::-1, ::-1, ::-1],
    )
    base, found = (smoothed(one, denoise=method).coefficients for one in (curves, mirrored))
    np.testing.assert_allclose(found, base[back], rtol=1e-4, atol=1e-3)


def test_gaussian_lowers_noise_as_its_kernel_says():
    grid = Geometry((90, 90, 1), (2.0, 2.0, 8.0))
    mask = np.ones(grid.shape, dtype=bool)
    rows = np.random.default_rng(0).normal(size=(mask.sum(), 1)).astype(np.float32)
    found = gaussian_in_mask(rows, mask, grid.spacing_zyx_mm, 4.0).reshape(90, 90)[10:-10, 10:-10]
    assert found.std() == pytest.approx(1.0 / (2.0 * np.sqrt(np.pi) * 2.0), rel=0.1)  # 1/(2√π·σ), σ = 2 pixels


def test_gaussian_commutes_with_the_temporal_projection(bolus):
    mask = disc()
    hu = brain_hu(bolus, mask)
    basis, _ = components_of(hu, mask)
    first = gaussian_in_mask(weights(basis, hu), mask, GRID.spacing_zyx_mm, 2.5)
    last = gaussian_in_mask(np.ascontiguousarray(hu.T), mask, GRID.spacing_zyx_mm, 2.5) @ basis.T
    np.testing.assert_allclose(first, last, atol=1e-4 * np.abs(last).max())


def test_bilateral_keeps_the_edge_of_a_vessel_and_calms_tissue(bolus):
    mask = np.ones(GRID.shape, dtype=bool)
    vessel = np.zeros(GRID.shape, dtype=bool)
    vessel[:, 16:19, 18:21] = True
    curve, artery = bolus.washout(TIMES), 0.8 * bolus.aif(TIMES)
    noise = np.random.default_rng(0).normal(0.0, 6.0, (TIMES.size, vessel.size))
    hu = (35.0 + np.where(vessel.ravel(), artery[:, None], curve[:, None]) + noise).astype(np.float32)
    curves = enhanced(hu, mask)
    peak = artery.argmax()

    def profile(found):
        return image(replace(found, coefficients=full(found)), peak)[1, 17]

    sharp, blurred = profile(smoothed(curves)), profile(smoothed(curves, denoise="gaussian", gaussian_sigma_mm=4.0))
    assert sharp[19] > 0.97 * artery[peak] > 2.0 * blurred[19]
    beside = np.r_[13:16, 23:26]  # 4 to 8 mm from the edge
    assert np.abs(sharp[beside] - curve[peak]).max() < 6.0 < (blurred[beside] - curve[peak]).mean()
    far = (~vessel & (np.abs(np.arange(40) - 19) > 8))[mask]
    assert full(smoothed(curves))[far].std(axis=0).mean() < 0.4 * full(curves)[far].std(axis=0).mean()


def test_bilateral_is_unbiased_in_noise(bolus):
    """The mean over a flat region stays what it was: likeness is symmetric."""
    mask = np.ones(GRID.shape, dtype=bool)
    curves = enhanced(brain_hu(bolus, mask), mask)
    found = smoothed(curves)
    standard_error = 6.0 * np.sqrt(len(curves.basis)) / np.sqrt(mask.sum())
    assert np.linalg.norm(found.coefficients.mean(axis=0) - curves.coefficients.mean(axis=0)) < 4.0 * standard_error


def test_bilateral_settings_widen_what_is_averaged(bolus):
    mask = disc()
    curves = enhanced(brain_hu(bolus, mask), mask)

    def spread(**chosen):
        return smoothed(curves, **chosen).coefficients[:, -1].std()

    assert spread(bilateral_sigma_mm=2.0) > spread(bilateral_sigma_mm=4.0) > spread(bilateral_sigma_mm=8.0)
    assert spread(bilateral_similarity=0.5) > spread(bilateral_similarity=1.75) > spread(bilateral_similarity=20.0)


def test_bilateral_averages_as_much_whatever_the_number_of_components():
    """Distances between time courses grow with the root of their number; so does what counts as alike."""
    mask, spreads = disc(), []
    for count in (2, 12):
        noise = np.random.default_rng(0).normal(size=(int(mask.sum()), count + 1)).astype(np.float32)
        curves = Curves(noise[:, 1:], np.eye(count, dtype=np.float32), noise[:, 0], mask)
        spreads.append(smoothed(curves, bilateral_similarity=1.75).coefficients.std())
    assert spreads[1] == pytest.approx(spreads[0], rel=0.15)


def test_bilateral_of_what_is_alike_does_not_fade_towards_the_border_of_the_mask():
    """Zeros beyond the mask are no neighbours, however alike they look."""
    mask = disc()
    ones = np.ones((int(mask.sum()), 1), dtype=np.float32)
    curves = Curves(ones, np.ones((1, 1), dtype=np.float32), ones[:, 0], mask)
    np.testing.assert_allclose(smoothed(curves, bilateral_similarity=50.0).coefficients, ones, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_stay_unchanged_and_may_be_read_only(bolus, method):
    mask = disc()
    hu = brain_hu(bolus, mask)
    hu.flags.writeable = mask.flags.writeable = False
    curves = enhanced(hu, mask, denoise=method)
    before = curves.coefficients.copy()
    curves.coefficients.flags.writeable = curves.noise.flags.writeable = curves.basis.flags.writeable = False
    smoothed(curves, denoise=method)
    np.testing.assert_array_equal(curves.coefficients, before)


def test_bilateral_reports_progress_and_can_be_cancelled(bolus):
    mask, seen = disc(), []
    curves = enhanced(brain_hu(bolus, mask), mask)
    smooth(curves, GRID, settings=Settings(), progress=lambda fraction, _: seen.append(fraction))
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 10

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        smooth(curves, GRID, settings=Settings(), progress=cancel)


def test_curvature_flow_is_that_of_simpleitk_in_every_frame():
    """Textured frames of real size: what is returned must not look into memory that is gone."""
    import SimpleITK as sitk

    grid = Geometry((160, 160, 8), (1.0, 1.0, 5.0))
    values = np.random.default_rng(0).normal(40.0, 20.0, (3, *grid.shape)).astype(np.int16)
    mask = np.ones(grid.shape, dtype=bool)
    series = Series(values, np.arange(3.0), grid)
    found = masked_hu(series, mask, settings=Settings(denoise="curvature-flow"), progress=silent)
    for frame, flowed in zip(values, found, strict=True):
        image = sitk.GetImageFromArray(frame.astype(np.float32))
        image.SetSpacing(grid.spacing_mm)
        expected = sitk.GetArrayFromImage(sitk.CurvatureFlow(image, 0.0625, 10))
        np.testing.assert_array_equal(flowed.reshape(grid.shape), expected.astype(np.float32))


def cortex_hu(bolus, gray_hu, sd=6.0):
    """White matter with a ribbon of cortex, two pixels wide, that holds twice its blood; shape (t, voxel)."""
    gray = np.zeros(GRID.shape, dtype=bool)
    gray[:, :, 18:20] = True
    rows = np.where(gray.ravel(), gray_hu, 29.0) + bolus.washout(TIMES)[:, None] * np.where(gray.ravel(), 1.2, 0.6)
    return gray, (rows + np.random.default_rng(0).normal(0.0, sd, rows.shape)).astype(np.float32)


@pytest.mark.parametrize(("returned", "most"), [(0.0, 0.9), (None, 0.93)], ids=["averaged", "given back"])
def test_thin_cortex_keeps_its_blood_where_the_mean_hu_tell_it_from_white_matter(bolus, monkeypatch, returned, most):
    """Whom the filter averages tells them apart; blood given back makes up for a part of it where it does not."""
    if returned is not None:
        monkeypatch.setattr("PyPeTLib.bilateral.RETURNED", returned)
    mask, heights = np.ones(GRID.shape, dtype=bool), {}
    for name, gray_hu in (("alike", 29.0), ("told apart", 36.0)):
        gray, hu = cortex_hu(bolus, gray_hu, sd=16.0)  # with less noise the time courses alone tell
        found = full(smoothed(enhanced(hu, mask)))[gray.ravel()].mean(axis=0)
        heights[name] = found.max() / (1.2 * bolus.washout(TIMES).max())
    assert heights["told apart"] > 0.97 > most > heights["alike"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("correlated", [False, True])
def test_noise_that_is_left_is_known(bolus, method, correlated):
    """The scatter of the curves of one tissue over the stated SD is that of 1.

    The bilateral filter states up to a quarter more: how much neighbours differ is not known without noise. Where it
    gives blood back, noise comes with it, along the curves: that is in ``mixing``.
    """
    from scipy.ndimage import gaussian_filter

    grid = Geometry((90, 90, 4), (2.0, 2.0, 8.0))
    mask = np.ones(grid.shape, dtype=bool)
    noise = gaussian_filter(
        np.random.default_rng(1).normal(size=(TIMES.size, *grid.shape)), (0, 0, *[0.8 * correlated] * 2)
    )
    curve = bolus.washout(TIMES)[:, None] * np.linspace(0.5, 1.5, mask.sum()).round(0)
    hu = 35.0 + curve + 6.0 / noise.std() * noise.reshape(TIMES.size, -1)
    found = smoothed(enhanced(hu.astype(np.float32), mask, grid, denoise=method), grid, denoise=method)
    free = found.basis - found.basis.mean(axis=1, keepdims=True)
    components = found.coefficients @ free if len(free) == TIMES.size else found.coefficients
    z = (components - weights(free, curve + 0 * hu))[1000:-1000] / found.sd[1000:-1000, None]
    assert (0.75 if method == "bilateral" else 0.9) < robust_sd(z) < 1.2
    if found.mixing is not None:
        clean = weights(free, curve + 0 * hu)[1000:-1000]
        size = np.linalg.norm(clean, axis=1)
        along = np.einsum("vk,vk->v", (found.coefficients[1000:-1000] - clean), clean) / size
        sd, mixing = found.sd[1000:-1000], found.mixing[1000:-1000]
        assert robust_sd(along / sd) > 0.8
        assert 0.6 < robust_sd(along / np.hypot(sd, mixing * size)) < 1.0


def test_thin_cortex_is_left_noisier_than_white_matter(bolus):
    mask = np.ones(GRID.shape, dtype=bool)
    gray, hu = cortex_hu(bolus, 36.0)
    sd = smoothed(enhanced(hu, mask)).sd
    assert np.median(sd[gray.ravel()]) > 1.5 * np.median(sd[~gray.ravel()])


@pytest.mark.parametrize("denoise", ["none", "bilateral"])
def test_a_drift_is_taken_off_curves_noise_and_mean_hu(bolus, denoise):
    mask, line = disc(), 3.0 + 0.1 * TIMES
    hu = brain_hu(bolus, mask, sd=2.0)
    still, drifting = (
        enhancement(scan, BASELINE, mask, GRID, drift_hu=drift, settings=Settings(denoise=denoise))
        for scan, drift in ((hu, 0.0 * line), (hu + line[:, None].astype(np.float32), line))
    )
    for name in ("coefficients", "basis", "anatomy_hu", "noise"):
        np.testing.assert_allclose(getattr(drifting, name), getattr(still, name), atol=2e-2)
