"""Similarity of two maps: exact relations between them, grids, masks, and what is not defined."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib.agreement import icc_agreement
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.pairing import pair_up, resampled
from PyPeTLib.similarity import (
    Differences,
    Region,
    Similarity,
    similarity,
    similarity_entries,
    similarity_rows,
    similarity_within,
    ssim_available,
)

GRID = Geometry((20, 18, 4), (1.0, 1.5, 6.0), (-10.0, 4.0, 30.0))
UNIT = "mL/100 g/min"
needs_skimage = pytest.mark.skipif(not ssim_available(), reason="scikit-image is not installed")


def smooth(geometry=GRID, low=20.0, high=80.0):
    """A map of positive values without plateaus, the same in every frame of reference of one patient."""
    index = np.moveaxis(np.indices(geometry.shape), 0, -1)[..., ::-1]
    place = np.asarray(geometry.origin_mm) + (index * geometry.spacing_mm) @ geometry.axes.T
    wave = np.sin(place @ [0.31, 0.17, 0.05]) * np.cos(place @ [-0.11, 0.23, 0.09])
    return Image(low + (high - low) * (wave + 1.0) / 2.0, geometry, UNIT)


def linear(geometry, slope=(0.7, -0.4, 0.2), offset=100.0):
    """A map that is linear in the patient's coordinates, which linear interpolation reproduces."""
    index = np.moveaxis(np.indices(geometry.shape), 0, -1)[..., ::-1]
    place = np.asarray(geometry.origin_mm) + (index * geometry.spacing_mm) @ geometry.axes.T
    return Image(offset + place @ slope, geometry, UNIT)


def turned(degrees):
    angle = np.deg2rad(degrees)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return (cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0)


def box(geometry=GRID, margin=3):
    inside = np.zeros(geometry.shape, dtype=bool)
    inside[:, margin:-margin, margin:-margin] = True
    return Image(inside, geometry)


def with_values(image, values, unit=None):
    return Image(np.asarray(values), image.geometry, image.unit if unit is None else unit)


def numbers(found: Similarity):
    return np.array([value for _, value, _ in similarity_entries(found)])


# Relations with known answers


def test_identical_maps_are_alike():
    found = similarity(smooth(), smooth(), box())
    assert (found.ncc, found.spearman) == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.voxels == box().values.sum()
    assert found.coverage == 1.0
    for differences, unit in ((found.physical, UNIT), (found.relative, "of the mean")):
        assert replace(differences, ssim=1.0) == Differences(unit, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, pytest.approx(1.0))
        assert differences.ssim == pytest.approx(1.0) or not ssim_available()


def test_an_affine_relation_has_ncc_1_and_known_differences():
    image = smooth()
    values = image.values
    found = similarity(image, with_values(image, 2.0 * values + 5.0))
    assert found.ncc == pytest.approx(1.0)
    assert found.spearman == pytest.approx(1.0)
    apart = values + 5.0
    assert found.physical.mae == pytest.approx(apart.mean())
    assert found.physical.bias == pytest.approx(-apart.mean())
    assert found.physical.mse == pytest.approx((apart**2).mean())
    assert found.physical.rmse == pytest.approx(np.sqrt((apart**2).mean()))
    assert found.mean == pytest.approx(values.mean())
    assert found.reference_mean == pytest.approx(2.0 * values.mean() + 5.0)


def test_relative_differences_do_not_know_scale():
    image = smooth()
    found = similarity(image, with_values(image, 7.0 * image.values))
    assert found.physical.bias == pytest.approx(-6.0 * image.values.mean())
    relative = found.relative
    assert (relative.mae, relative.mse, relative.rmse, relative.bias) == pytest.approx((0.0,) * 4, abs=1e-12)


def test_relative_differences_are_those_of_maps_normalised_as_deviation_from_the_mean():
    image, other = smooth(), with_values(smooth(), smooth(low=5.0, high=95.0).values ** 1.3)
    deviations = [one.values / one.values.mean() - 1.0 for one in (image, other)]
    apart = deviations[0] - deviations[1]
    found = similarity(image, other).relative
    assert found.mae == pytest.approx(np.abs(apart).mean())
    assert found.mse == pytest.approx((apart**2).mean())
    assert found.bias == pytest.approx(0.0, abs=1e-12)


def test_a_sign_flip_has_ncc_minus_1_and_no_relative_differences():
    image = smooth()
    found = similarity(image, with_values(image, -image.values))
    assert found.ncc == pytest.approx(-1.0)
    assert found.spearman == pytest.approx(-1.0)
    assert found.physical.bias == pytest.approx(2.0 * image.values.mean())
    assert np.isnan(found.relative.mae)
    assert np.isnan(found.relative.ssim)
    assert any("positive mean; that of the reference is −" in remark for remark in found.remarks)


def test_spearman_is_1_for_any_rising_relation():
    image = smooth()
    found = similarity(image, with_values(image, np.exp(image.values / 8.0)))
    assert found.spearman == pytest.approx(1.0)
    assert found.ncc < 0.9


def test_spearman_gives_ties_their_mean_rank():
    from scipy.stats import spearmanr

    image = smooth()
    steps = np.round(image.values / 10.0)
    other = np.round(smooth(low=0.0, high=60.0).values / 7.0)[:, ::-1] + 1.0
    expected = spearmanr(steps.ravel(), other.ravel()).statistic
    assert similarity(with_values(image, steps), with_values(image, other)).spearman == pytest.approx(expected)


def test_noise_has_its_rmse():
    grid = Geometry((60, 60, 10), (1.0, 1.0, 5.0))
    image, sd = smooth(grid), 4.0
    noisy = with_values(image, image.values + np.random.default_rng(0).normal(0.0, sd, grid.shape))
    found = similarity(image, noisy)
    share = 3.0 / np.sqrt(2.0 * found.voxels)  # three standard errors of a standard deviation
    assert found.physical.rmse == pytest.approx(sd, rel=share)
    assert found.physical.mae == pytest.approx(sd * np.sqrt(2.0 / np.pi), rel=share)
    assert found.physical.bias == pytest.approx(0.0, abs=3.0 * sd / np.sqrt(found.voxels))
    spread = image.values.std()
    assert found.ncc == pytest.approx(spread / np.hypot(spread, sd), abs=0.01)


def test_map_and_reference_can_be_exchanged():
    image, other = smooth(), with_values(smooth(), 0.8 * smooth(low=10.0).values[:, ::-1] + 3.0)
    one, two = similarity(image, other), similarity(other, image)
    for name in ("ncc", "spearman", "voxels"):
        assert getattr(one, name) == pytest.approx(getattr(two, name))
    for first, second in ((one.physical, two.physical), (one.relative, two.relative)):
        for name in ("mae", "mse", "rmse", "ssim"):
            assert getattr(first, name) == pytest.approx(getattr(second, name), nan_ok=True)
        assert first.bias == pytest.approx(-second.bias, abs=1e-12)


def test_float32_gives_what_float64_gives():
    image, other = smooth(), with_values(smooth(), smooth(low=5.0).values ** 1.1)
    singles = [with_values(one, one.values.astype(np.float32)) for one in (image, other)]
    np.testing.assert_allclose(numbers(similarity(*singles)), numbers(similarity(image, other)), rtol=1e-5, atol=1e-5)


def test_whole_numbers_are_compared_as_such():
    image = with_values(smooth(), np.round(smooth().values).astype(np.int16))
    other = with_values(image, image.values[::-1])
    expected = similarity(*(with_values(one, one.values.astype(float)) for one in (image, other)))
    np.testing.assert_allclose(numbers(similarity(image, other)), numbers(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [(0, 2, 1), (0, 1, 2)])
@pytest.mark.parametrize("flip", [(), (0,), (1, 2)])
def test_the_order_in_which_voxels_are_stored_does_not_matter(order, flip):
    values = (smooth().values, smooth(low=10.0).values[:, ::-1] * 0.9)
    expected = similarity(*(Image(one, GRID, UNIT) for one in values), box())
    shape = tuple(GRID.shape[k] for k in order)
    grid = Geometry(shape[::-1], (1.0, 1.0, 6.0))
    stored = [np.flip(np.transpose(one, order), flip) for one in (*values, box().values)]
    found = similarity(*(Image(one, grid, UNIT) for one in stored))
    np.testing.assert_allclose(numbers(found), numbers(expected), rtol=1e-9, atol=1e-12)


def test_inputs_are_unchanged():
    image, mask = with_values(smooth(), np.where(box().values, smooth().values, 0.0)), box()
    holes = image.values.copy()
    holes[1, 5, 5], holes[1, 6, 6] = np.nan, np.inf
    reference = Image(holes, replace(GRID, origin_mm=(-9.0, 5.0, 31.0)), UNIT)
    kept = [one.values.copy() for one in (image, reference, mask)]
    similarity(image, reference, mask)
    for one, before in zip((image, reference, mask), kept, strict=True):
        np.testing.assert_array_equal(one.values, before)


# SSIM


@needs_skimage
def test_ssim_is_that_of_scikit_image_where_the_whole_slice_counts():
    from skimage.metrics import structural_similarity

    grid = Geometry((40, 40, 1), (1.0, 1.0, 5.0))
    rng = np.random.default_rng(1)
    image = smooth(grid)
    other = with_values(image, image.values + rng.normal(0.0, 6.0, grid.shape))
    low, high = np.percentile(np.concatenate([image.values.ravel(), other.values.ravel()]), (1, 99))
    full = structural_similarity(
        image.values[0], other.values[0], data_range=high - low, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )[1]  # fmt: skip
    assert similarity(image, other).physical.ssim == pytest.approx(full.mean())


@needs_skimage
def test_ssim_is_taken_slice_by_slice():
    image = smooth()
    other = with_values(image, image.values[:, ::-1])
    whole = similarity(image, other)
    swapped = [with_values(one, one.values[[2, 0, 3, 1]]) for one in (image, other)]
    assert similarity(*swapped).physical.ssim == pytest.approx(whole.physical.ssim)


@needs_skimage
def test_ssim_knows_nothing_of_what_lies_outside_the_mask():
    image, other = smooth(), with_values(smooth(), smooth(low=10.0).values[:, ::-1])
    expected = similarity(image, other, box()).physical.ssim
    outside = [np.where(box().values, one.values, filling) for one, filling in ((image, 1e4), (other, np.nan))]
    found = similarity(with_values(image, outside[0]), with_values(other, outside[1]), box()).physical.ssim
    assert found == pytest.approx(expected)


@needs_skimage
def test_a_common_background_does_not_raise_ssim():
    rng = np.random.default_rng(2)
    grid = Geometry((60, 60, 2), (1.0, 1.0, 5.0))
    full = [Image(50.0 + rng.normal(0.0, 10.0, grid.shape), grid, UNIT) for _ in range(2)]
    inside = box(grid, 20).values
    cut = [with_values(one, np.where(inside, one.values, 0.0)) for one in full]
    apart, beside = similarity(*full).physical.ssim, similarity(*cut).physical.ssim
    assert apart < 0.2
    assert beside < 0.2, "unrelated noise; over the zeros, too, it would be above 0.8"


@needs_skimage
def test_ssim_falls_with_noise_and_does_not_know_a_common_scale():
    image, noise = smooth(), np.random.default_rng(3).normal(0.0, 1.0, GRID.shape)
    found = [similarity(image, with_values(image, image.values + sd * noise)) for sd in (1.0, 5.0, 20.0)]
    assert found[0].physical.ssim > found[1].physical.ssim + 0.1 > found[2].physical.ssim + 0.2
    noisy = image.values + 5.0 * noise
    scaled = similarity(with_values(image, 60.0 * image.values), with_values(image, 60.0 * noisy))
    assert scaled.physical.ssim == pytest.approx(found[1].physical.ssim)
    assert scaled.relative.ssim == pytest.approx(found[1].relative.ssim)


def test_without_scikit_image_only_ssim_is_missing_and_the_result_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    found = similarity(smooth(), with_values(smooth(), 2.0 * smooth().values))
    assert np.isnan([found.physical.ssim, found.relative.ssim]).all()
    assert "SSIM needs scikit-image, which is not installed." in found.remarks
    assert found.ncc == pytest.approx(1.0)
    assert ("SSIM", "not defined", "") in similarity_rows(similarity_entries(found))


@needs_skimage
def test_ssim_needs_slices_as_large_as_its_window():
    grid = Geometry((10, 11, 3), (1.0, 1.0, 5.0))
    found = similarity(smooth(grid), with_values(smooth(grid), smooth(grid).values ** 2))
    assert np.isnan(found.physical.ssim)
    assert found.remarks == ("SSIM needs slices of at least 11×11 voxels; found 10×11.",)
    large = Geometry((11, 11, 3), (1.0, 1.0, 5.0))
    assert np.isfinite(similarity(smooth(large), smooth(large)).physical.ssim)


# Grids


def test_a_reference_on_a_shifted_grid_is_resampled_exactly():
    moved = replace(GRID, origin_mm=(-9.0, 5.5, 36.0))  # one voxel along each axis
    found = similarity(smooth(), smooth(moved))
    assert found.voxels == 19 * 17 * 3
    assert found.coverage == pytest.approx(19 * 17 * 3 / (20 * 18 * 4))
    assert found.physical.rmse == pytest.approx(0.0, abs=1e-9)


def test_a_shift_of_half_a_voxel_interpolates():
    image, moved = linear(GRID), replace(GRID, origin_mm=(-9.5, 4.0, 30.0))
    found = resampled(linear(moved), GRID)
    inner = (slice(None), slice(None), slice(1, None))
    np.testing.assert_allclose(found.values[inner], image.values[inner], rtol=1e-9)
    assert np.isfinite(found.values[..., 0]).all(), "half a voxel inside its extent"
    assert found.unit == UNIT


@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0])
def test_a_turned_finer_grid_gives_the_same_values_at_the_same_places(degrees):
    fine = Geometry((70, 70, 12), (0.7, 0.7, 3.0), (0.0, 0.0, 26.0), turned(degrees))
    middle = fine.corners_mm().mean(axis=0) - GRID.corners_mm().mean(axis=0)
    fine = replace(fine, origin_mm=tuple(float(v) for v in np.asarray(fine.origin_mm) - middle))
    found = similarity(linear(GRID), linear(fine))
    assert found.voxels == GRID.size[0] * GRID.size[1] * GRID.size[2]
    assert found.ncc == pytest.approx(1.0)
    assert found.physical.rmse == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_grid_is_the_same_map(axis):
    steps = np.eye(3)
    steps[axis, axis] = -1.0
    far = np.asarray(GRID.origin_mm) + np.eye(3)[axis] * (GRID.size[axis] - 1) * GRID.spacing_mm[axis]
    flipped = replace(GRID, origin_mm=tuple(map(float, far)), direction=tuple(map(float, steps.ravel())))
    reference = Image(np.flip(smooth().values, 2 - axis), flipped, UNIT)
    found = similarity(smooth(), reference)
    assert found.coverage == 1.0
    assert found.physical.mae == pytest.approx(0.0, abs=1e-9)


def test_outside_the_reference_there_is_no_value():
    far = replace(GRID, origin_mm=(0.0, 4.0, 30.0))
    found = resampled(smooth(far), GRID)
    assert np.isnan(found.values[..., :9]).all()
    assert np.isfinite(found.values[..., 10:]).all()


def test_missing_values_do_not_bleed_when_resampled():
    moved = replace(GRID, origin_mm=(-10.3, 4.6, 31.0))
    reference = np.full(GRID.shape, 5.0)
    reference[:, 4:9, 4:9] = np.nan
    found = resampled(Image(reference, moved), GRID).values
    np.testing.assert_allclose(found[np.isfinite(found)], 5.0, rtol=1e-6)
    lost = np.isnan(found).sum() - np.isnan(resampled(Image(np.full(GRID.shape, 5.0), moved), GRID).values).sum()
    assert 0.7 * 100 < lost < 1.3 * 100, "about as many voxels as are missing, 5·5·4"


def test_a_background_of_zeros_does_not_bleed_when_resampled():
    inside = box().values
    reference = np.where(inside, 50.0 + np.arange(GRID.shape[0])[:, None, None], 0.0)
    fine = replace(GRID, origin_mm=(-9.6, 4.4, 30.0))
    found = similarity(Image(np.full(GRID.shape, 60.0), GRID), Image(reference, fine))
    assert found.physical.bias == pytest.approx(60.0 - 51.5, rel=1e-6)


def test_the_same_grid_is_not_interpolated():
    image = smooth()
    found = resampled(image, replace(GRID, origin_mm=(-10.0 + 1e-4, 4.0, 30.0)))
    assert np.shares_memory(found.values, image.values)


def test_a_mask_on_another_grid_is_brought_onto_the_maps():
    fine = Geometry((60, 54, 8), (1 / 3, 0.5, 3.0), (-10 - 1 / 3, 3.5, 28.5))
    inside = np.zeros(fine.shape, dtype=bool)
    inside[:, 9:-9, 9:-9] = True
    assert similarity(smooth(), smooth(), Image(inside, fine)).voxels == box().values.sum()
    beside = replace(GRID, origin_mm=(-9.6, 4.0, 30.0))  # by less than half a voxel
    assert similarity(smooth(), smooth(), Image(box().values, beside)).voxels == box().values.sum()


@pytest.mark.parametrize(("factor", "added"), [(1.0, 0.0), (1.0, 15.0), (0.7, 0.0)])
def test_icc_is_that_of_both_maps_and_is_lowered_by_bias_and_scale(factor, added):
    image = smooth()
    other = factor * image.values + added
    found = similarity(image, with_values(image, other), box())
    both = np.stack([image.values[box().values], other[box().values]], axis=1)
    assert found.physical.icc == pytest.approx(icc_agreement(both))
    assert found.relative.icc == pytest.approx(icc_agreement(both / both.mean(axis=0)))
    assert (found.physical.icc > 0.999) == (factor == 1.0 and not added)


def test_within_a_part_coverage_is_of_the_whole_mask():
    values, part = smooth().values.copy(), np.zeros(GRID.shape, dtype=bool)
    values[0], part[1] = np.nan, True
    found = similarity_within(pair_up(with_values(smooth(), values), smooth(), box()), part)
    assert found.voxels == box().values[1].sum() and found.coverage == pytest.approx(0.25)


# Which voxels count


def test_only_voxels_of_the_mask_count():
    image, mask = smooth(), box()
    spoilt = np.where(mask.values, image.values + 2.0, 1e6)
    found = similarity(image, with_values(image, spoilt), mask)
    assert found.voxels == mask.values.sum()
    assert found.physical.mae == pytest.approx(2.0)


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_voxels_without_a_value_in_either_map_do_not_count(missing):
    values, other = smooth().values.copy(), smooth().values + 1.0
    values[0, :6], other[3, 10:] = missing, missing
    found = similarity(with_values(smooth(), values), with_values(smooth(), other), box())
    clear = box().values.copy()
    clear[0, :6] = clear[3, 10:] = False
    assert found.voxels == clear.sum()
    assert found.coverage == pytest.approx(clear.sum() / box().values.sum())
    assert found.physical.mae == pytest.approx(1.0)


@pytest.mark.parametrize("mask", [None, box(margin=2)])
def test_a_background_of_zeros_does_not_count(mask):
    inside = box().values
    first = np.where(inside, smooth().values, 0.0)
    second = np.where(box(margin=4).values, smooth().values + 3.0, 0.0)
    found = similarity(with_values(smooth(), first), with_values(smooth(), second), mask)
    assert found.voxels == box(margin=4).values.sum()
    assert found.physical.mae == pytest.approx(3.0)


def test_zeros_inside_are_values():
    tmax = smooth().values.copy()
    tmax[:, 6:9, 6:9] = 0.0
    tmax[0] = 0.0  # a slice without the brain joins them with the background, but not in their own slices
    found = similarity(with_values(smooth(), tmax), smooth())
    assert found.voxels == tmax[1:].size


@pytest.mark.parametrize(("count", "voxels"), [(7, 100), (8, 100 - 8 - 1)])
def test_a_number_below_zero_is_no_value_where_a_fifth_of_the_edge_has_it(count, voxels):
    """Of 36 voxels along the edge; then nowhere else either. One that is there once, or above 0, is a value."""
    grid = Geometry((10, 10, 1), (1.0, 1.0, 5.0))
    values = np.arange(1.0, 101.0).reshape(grid.shape)
    reference = Image(values, grid)
    values = values.copy()
    values[0, 0, :count] = values[0, 5, 5] = -1.0
    values[0, 9, 9] = -2.0
    assert similarity(Image(values, grid), reference).voxels == voxels
    values[values < 0.0] = 1.0
    assert similarity(Image(values, grid), reference).voxels == 100


def test_a_zero_that_touches_the_background_at_a_corner_only_is_a_value():
    tmax = smooth().values.copy()
    tmax[:, 0] = tmax[:, 1, 4] = tmax[:, 2, 5] = 0.0
    found = similarity(with_values(smooth(), tmax), smooth())
    assert found.voxels == tmax[:, 1:].size - len(tmax)


def test_zeros_of_a_map_that_marks_missing_with_nan_are_values():
    tmax = smooth().values.copy()
    tmax[:, :3] = 0.0
    tmax[:, -1] = np.nan
    found = similarity(with_values(smooth(), tmax), smooth())
    assert found.voxels == tmax.size - np.isnan(tmax).sum()


def test_zeros_up_to_the_edge_are_the_background_where_little_of_the_edge_is_missing():
    """NaN in a corner is a gap, not the background."""
    tmax = smooth().values.copy()
    tmax[:, :3] = 0.0
    tmax[:, -1, -1] = np.nan
    found = similarity(with_values(smooth(), tmax), smooth())
    assert found.voxels == tmax[:, 3:].size - len(tmax)


# What is not defined


@pytest.mark.parametrize(
    ("flat", "named"), [((True, False), "image"), ((False, True), "reference"), ((True, True), "image and reference")]
)
def test_a_constant_map_has_no_correlation(flat, named):
    image, other = smooth(), with_values(smooth(), smooth().values + 4.0)
    values = [
        np.full(GRID.shape, 0.1) if constant else one.values for one, constant in zip((image, other), flat, strict=True)
    ]
    found = similarity(*(with_values(image, one) for one in values))
    assert np.isnan([found.ncc, found.spearman]).all()
    assert f"NCC and Spearman need maps that vary; constant: {named}." in found.remarks
    assert found.physical.mae == pytest.approx(np.abs(values[0] - values[1]).mean())


def test_a_map_that_varies_by_rounding_only_is_constant():
    flat = np.full(GRID.shape, 0.1) + 1e-8 * np.random.default_rng(4).normal(size=GRID.shape)
    assert np.isnan(similarity(smooth(), with_values(smooth(), flat)).ncc)
    varied = similarity(smooth(), with_values(smooth(), 100.0 + 1e-4 * smooth().values))
    assert varied.ncc == pytest.approx(1.0)


def test_a_few_voxels_have_differences_but_no_correlation():
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[0, 5, 5:14] = True
    found = similarity(smooth(), with_values(smooth(), smooth().values + 1.0), Image(mask, GRID))
    assert np.isnan([found.ncc, found.spearman, found.physical.ssim]).all()
    assert found.physical.mae == pytest.approx(1.0)
    assert "NCC and Spearman need at least 10 voxels; found 9." in found.remarks
    mask[0, 5, 14] = True
    assert np.isfinite(similarity(smooth(), smooth(), Image(mask, GRID)).ncc)


def test_relative_differences_need_a_positive_mean():
    image = smooth()
    centred = with_values(image, image.values - image.values.mean())
    found = similarity(centred, image)
    assert np.isnan([found.relative.mae, found.relative.rmse, found.relative.bias]).all()
    assert np.isfinite(found.physical.mae)
    assert any(
        text.startswith("Relative differences need a positive mean; that of the image") for text in found.remarks
    )


def test_differences_in_physical_units_need_one_unit():
    found = similarity(smooth(), with_values(smooth(), smooth().values * 2.0, "s"))
    assert np.isnan([found.physical.mae, found.physical.mse, found.physical.rmse, found.physical.bias]).all()
    assert found.relative.mae == pytest.approx(0.0, abs=1e-12)
    assert found.ncc == pytest.approx(1.0)
    need = "Differences in physical units need one unit; found mL/100 g/min and, for the reference, s."
    assert need in found.remarks


def test_the_spelling_of_a_unit_does_not_matter():
    found = similarity(smooth(), with_values(smooth(), smooth().values, "ml/100g/min"))
    assert found.physical.mae == 0.0
    assert not [remark for remark in found.remarks if "unit" in remark]


@pytest.mark.parametrize(("units", "mute"), [((UNIT, ""), "reference"), (("", UNIT), "image")])
def test_a_map_without_a_unit_is_taken_for_the_others(units, mute):
    found = similarity(
        with_values(smooth(), smooth().values, units[0]), with_values(smooth(), smooth().values, units[1])
    )
    assert found.physical.unit == UNIT
    assert f"The {mute} does not tell its unit; {UNIT} is assumed." in found.remarks


# Refusals


def test_maps_without_a_common_place_are_refused():
    far = replace(GRID, origin_mm=(500.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"Comparison: .* found none in common .*\(500, 0, 0\) mm.*same patient"):
        similarity(smooth(), smooth(far))


def test_a_mask_beside_the_values_is_refused():
    values = np.where(box().values, smooth().values, np.nan)
    outside = Image(~box().values, GRID)
    with pytest.raises(InputError, match="values in voxels of the mask are needed; found none"):
        similarity(with_values(smooth(), values), smooth(), outside)


def test_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="a mask with voxels is needed; found none"):
        similarity(smooth(), smooth(), Image(np.zeros(GRID.shape, dtype=bool), GRID))


def test_a_map_of_zeros_is_refused():
    """Not for its place: it lies on the map's grid."""
    with pytest.raises(InputError, match=r"^Reference: values in voxels are needed; found none.*or leave it out\.$"):
        similarity(smooth(), with_values(smooth(), np.zeros(GRID.shape)))


@pytest.mark.parametrize("size", [(30, 1, 1), (1, 1, 30), (1, 1, 1)])
def test_a_line_of_voxels_is_refused(size):
    line = Geometry(size, (1.0, 1.0, 1.0))
    image = Image(np.arange(1.0, 1.0 + max(size)).reshape(line.shape), line)
    with pytest.raises(InputError, match=r"Map: a slice or a volume is needed .* found a single line"):
        similarity(image, smooth())
    with pytest.raises(InputError, match="Reference: a slice or a volume"):
        similarity(smooth(), image)


# Tables


def test_rows_have_sensible_digits_and_units():
    found = Similarity(
        12345, 0.8123, 48.26, 51.2, UNIT, UNIT, 0.64449, float("nan"),
        Differences(UNIT, 1.23456, 2134.5, 46.2, -0.00012345, 0.8, 10.0, 0.61),
        Differences("of the mean", 0.5, 0.25, 0.5, 0.0, 0.7),
        regions=(Region("Tmax > 6 s", 81.26, 90.0, 0.87654), Region("Tmax > 10 s", 0.0, 0.0, float("nan"))),
    )  # fmt: skip
    assert similarity_rows(similarity_entries(found)) == [
        ("Voxels", "12345", ""),
        ("Coverage", "81.2", "%"),
        ("Mean", "48.3", UNIT),
        ("Mean of the reference", "51.2", UNIT),
        ("NCC", "0.644", ""),
        ("Spearman", "not defined", ""),
        ("SSIM", "0.800", ""),
        ("MAE", "1.23", UNIT),
        ("MSE", "2134", f"({UNIT})²"),
        ("RMSE", "46.2", UNIT),
        ("Bias", "−0.000123", UNIT),
        ("Lower limit of agreement", "−19.6", UNIT),
        ("Upper limit of agreement", "19.6", UNIT),
        ("ICC(A,1)", "0.610", ""),
        ("SSIM, relative", "0.700", ""),
        ("MAE, relative", "0.500", "of the mean"),
        ("MSE, relative", "0.250", "(of the mean)²"),
        ("RMSE, relative", "0.500", "of the mean"),
        ("Lower limit of agreement, relative", "not defined", "of the mean"),
        ("Upper limit of agreement, relative", "not defined", "of the mean"),
        ("ICC(A,1), relative", "not defined", ""),
        ("Tmax > 6 s: volume", "81.3", "mL"),
        ("Tmax > 6 s: volume in the reference", "90.0", "mL"),
        ("Tmax > 6 s: Dice", "0.877", ""),
        ("Tmax > 10 s: volume", "0.0", "mL"),
        ("Tmax > 10 s: volume in the reference", "0.0", "mL"),
        ("Tmax > 10 s: Dice", "not defined", ""),
    ]


def test_a_reference_of_another_unit_keeps_its_own_in_the_table():
    found = similarity(smooth(), with_values(smooth(), smooth().values, "s"))
    units = {metric: unit for metric, _, unit in similarity_entries(found)}
    assert (units["Mean"], units["Mean of the reference"]) == (UNIT, "s")


@pytest.mark.parametrize(("unit", "square"), [("s", "s²"), (UNIT, f"({UNIT})²"), ("", "")])
def test_the_unit_of_the_mean_squared_difference_is_the_square(unit, square):
    tmax = with_values(smooth(), smooth().values, unit)
    assert {metric: unit for metric, _, unit in similarity_entries(similarity(tmax, tmax))}["MSE"] == square
