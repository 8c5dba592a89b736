"""What interpolation between slices leaves in curves: its posterior mean is taken off, and nothing else is."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib.geometry import Geometry
from PyPeTLib.mixtures import _modes, _posterior, without_mixtures
from PyPeTLib.motion import between_slices
from PyPeTLib.phantom import bolus_curve
from PyPeTLib.records import Curves, Motion

TIMES = np.arange(50.0)
SHAPE = (5, 30, 30)
#: Half a slice away from the first frame from here on.
MOVED = TIMES >= 25.0
BLUR = 0.25 * MOVED
#: A vessel runs through the middle slice.
VESSEL = np.s_[2, 12:15, 5:25]
BESIDE = np.s_[1::2, 12:15, 5:25]


def bolus(arrival_s, width_s, peak_hu):
    return bolus_curve(TIMES, arrival_s=arrival_s, width_s=width_s, peak_hu=peak_hu, recirculation=0.2)


def scene(*, static_hu=0.0, noise_hu=1.0, seed=0):
    """Curves of tissue, half early, half late, with a vessel: as they are, and as a head that moved shows them."""
    rng = np.random.default_rng(seed)
    curves = np.empty((*SHAPE, TIMES.size))
    curves[:, :15], curves[:, 15:] = bolus(11.0, 12.0, 8.0), bolus(13.0, 14.0, 5.0)
    curves *= rng.uniform(0.7, 1.3, (*SHAPE, 1))
    curves[VESSEL] = bolus(10.0, 9.0, 200.0)
    native = np.full(SHAPE, 30.0)
    native[2] += static_hu * (np.indices(SHAPE[1:]).sum(axis=0) % 6 < 3)
    whole = native[..., None] + curves
    mixed = np.pad(whole, [(1, 1), (0, 0), (0, 0), (0, 0)], mode="edge")
    mixed = np.where(MOVED, 0.25 * (mixed[:-2] + mixed[2:]) + 0.5 * whole, whole)
    noise = rng.normal(0.0, noise_hu, mixed.shape)
    return in_components(whole, 0.0 * noise, noise_hu), in_components(mixed, noise, noise_hu)


def in_components(whole, noise, noise_hu):
    """The curves in six components that hold all courses and their beginnings and ends."""
    parts = [bolus(11.0, 12.0, 1.0), bolus(13.0, 14.0, 1.0), bolus(10.0, 9.0, 1.0)]
    parts = np.stack([*parts, *(part * MOVED for part in parts[1:]), MOVED.astype(float)])
    signal = np.linalg.svd(parts - parts.mean(axis=1, keepdims=True), full_matrices=False)[2].astype(np.float32)
    rows = (whole + noise).reshape(-1, TIMES.size).astype(np.float32)
    basis = signal - signal[:, :8].mean(axis=1, keepdims=True)
    silent = np.full(len(rows), 0.6745 * noise_hu, np.float32)
    sd = np.full(len(rows), noise_hu, np.float32)
    mask = np.ones(SHAPE, dtype=bool)
    return Curves(rows @ signal.T, basis, silent, mask, rows.mean(axis=1), sd=sd)


def blurs(values=BLUR):
    return [np.full(np.prod(SHAPE), value, dtype=np.float32) for value in values]


def errors(found, true, where):
    """Root mean square error of the curves there, in HU."""
    wrong = ((found.coefficients - true.coefficients) @ found.basis).reshape(*SHAPE, -1)
    return float(np.sqrt(np.mean(wrong[where] ** 2)))


def test_a_vessel_in_the_next_slice_is_told_from_contrast():
    true, seen = scene()
    found = without_mixtures(seen, blurs(), slice_axis=0)
    assert errors(found, true, BESIDE) < 0.5 * errors(seen, true, BESIDE)


def test_a_step_where_the_head_moves_is_told_from_contrast():
    true, seen = scene(static_hu=12.0, noise_hu=0.5)
    found = without_mixtures(seen, blurs(), slice_axis=0)
    away = np.s_[1:4, :10]
    assert errors(found, true, away) < 0.6 * errors(seen, true, away)


def test_where_neighbours_are_alike_hardly_anything_changes():
    true, seen = scene()
    found = without_mixtures(seen, blurs(), slice_axis=0)
    away = np.s_[:, 20:]
    assert errors(found, seen, away) < 0.5 * errors(seen, true, away)  # what changes is less than the noise
    assert errors(found, true, away) < 1.05 * errors(seen, true, away)


def test_frames_that_show_whole_slices_change_nothing():
    _, seen = scene()
    same = without_mixtures(seen, blurs(0.0 * BLUR), slice_axis=0)
    np.testing.assert_array_equal(same.coefficients, seen.coefficients)
    np.testing.assert_array_equal(same.sd, seen.sd)


def test_uncertainty_grows_beside_the_vessel_and_hardly_elsewhere():
    _, seen = scene()
    sd = without_mixtures(seen, blurs(), slice_axis=0).sd.reshape(SHAPE)
    assert sd[BESIDE].min() > 1.2 and np.median(sd[:, 20:]) < 1.1 and sd.min() >= 1.0


def test_curves_of_all_frames_are_left_as_they_are():
    _, seen = scene()
    plain = replace(seen, basis=np.eye(TIMES.size, dtype=np.float32), coefficients=seen.coefficients @ seen.basis)
    assert without_mixtures(plain, blurs(), slice_axis=0) is plain


def test_slices_may_lie_along_any_axis():
    _, seen = scene(static_hu=12.0)
    places = np.arange(np.prod(SHAPE)).reshape(SHAPE).transpose(2, 1, 0)
    order = places.ravel()
    turned = replace(
        seen,
        coefficients=seen.coefficients[order],
        noise=seen.noise[order],
        anatomy_hu=seen.anatomy_hu[order],
        sd=seen.sd[order],
        mask=np.ones(places.shape, dtype=bool),
    )
    found, other = without_mixtures(seen, blurs(), slice_axis=0), without_mixtures(turned, blurs(), slice_axis=2)
    np.testing.assert_allclose(other.coefficients, found.coefficients[order], atol=1e-3)
    np.testing.assert_allclose(other.sd, found.sd[order], rtol=1e-4)


def test_memory_is_that_of_the_voxels_and_not_of_the_grid_around_them():
    _, seen = scene(static_hu=12.0)
    wide = np.zeros((8, 120, 120), dtype=bool)
    wide[1:6, 40:70, 50:80] = True
    tracemalloc.start()
    try:
        found = without_mixtures(replace(seen, mask=wide), blurs(), slice_axis=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found.coefficients, without_mixtures(seen, blurs(), slice_axis=0).coefficients)
    assert peak < 8 * wide.size * len(seen.basis)  # one grid of components in double precision


def test_posterior_is_that_of_normal_distributions():
    """Mean ``S·(S + D)⁻¹·x`` and total variance ``tr(S − S·(S + D)⁻¹·S)``, S of two modes, D diagonal."""
    rng = np.random.default_rng(3)
    modes, rows, diagonal = rng.normal(size=(2, 7, 5)), rng.normal(size=(7, 5)), rng.uniform(0.5, 4.0, (7, 5))
    error, variance = _posterior(modes.transpose(1, 0, 2), rows, 1.0 / diagonal)
    for k in range(7):
        own = modes[:, k].T @ modes[:, k]
        gain = own @ np.linalg.inv(own + np.diag(diagonal[k]))
        np.testing.assert_allclose(error[k], gain @ rows[k])
        assert variance[k] == pytest.approx(np.trace(own - gain @ own))


@pytest.mark.parametrize("sd_hu", [0.0, 6.0])
def test_size_and_course_of_the_error_are_those_of_the_differences_beyond_noise(sd_hu):
    """Three voxels upon each other and one apart; a frame a fifth between two slices: √(f·(1 − f)) is 0.4."""
    native, bolus, frames = np.array([10.0, 14.0, 20.0, 90.0]), np.array([[3.0], [-5.0], [40.0], [99.0]]), 36
    course = np.random.default_rng(1).normal(size=(1, frames))
    course -= course.mean()
    basis, sd, noise = course + 0.3, np.full(4, sd_hu / 6.0), sd_hu * np.resize([0.6745, -0.6745], 4)
    mask = (np.arange(5) != 3).reshape(5, 1, 1)
    curves = Curves(bolus, basis, noise, mask, native + 0.3 * bolus[:, 0], sd=sd)
    static, below, above = _modes(curves, [np.full(4, 0.16 * (frame == 7)) for frame in range(frames)], 0)
    left = 2.0 * sd[0] ** 2  # of the squared difference of two voxels, in HU without contrast and in the component
    steps, boluses = np.maximum([16.0 - left, 36.0 - left], 0.0), np.array([64.0 - left, 45.0**2 - left])
    seen = (0.4 * course[0, 7]) ** 2
    np.testing.assert_allclose(static[:, 0] ** 2, seen * np.array([steps[0], steps.mean(), steps[1], 0.0]))
    seen *= basis[0, 7] ** 2
    np.testing.assert_allclose(below[:, 0] ** 2, seen * np.array([0.0, 0.5 * boluses[0], boluses[1], 0.0]))
    np.testing.assert_allclose(above[:, 0] ** 2, seen * np.array([boluses[0], 0.5 * boluses[1], 0.0, 0.0]))


def test_what_all_curves_have_in_common_is_no_error():
    _, seen = scene(static_hu=12.0)
    more = 50.0 * seen.basis.mean(axis=1).sum()
    raised = replace(seen, coefficients=seen.coefficients + np.float32(50.0), anatomy_hu=seen.anatomy_hu + more)
    found, other = (without_mixtures(one, blurs(), slice_axis=0) for one in (seen, raised))
    np.testing.assert_allclose(other.coefficients - 50.0, found.coefficients, atol=1e-3)


def test_place_between_slices_follows_the_pose_and_skips_what_was_left_out():
    grid = Geometry((4, 3, 5), (2.0, 2.0, 8.0))
    rises_mm = np.array([0.0, 2.0, 4.0, 8.0, 3.0, 0.3])
    shifts = np.column_stack([np.ones((6, 2)), rises_mm])  # in plane too, which does not matter
    yes = np.array([False, True, True, True, True, False])
    turns = np.repeat(np.eye(3)[None], 6, axis=0)
    motion = Motion(np.arange(6.0), turns, shifts, np.zeros(3), rises_mm, yes, np.arange(6) == 4)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1:3, 1] = True
    found = list(between_slices(motion, grid, mask))
    assert [one.shape for one in found] == [(8,)] * 5
    np.testing.assert_allclose([one[0] for one in found], [0.0, 0.1875, 0.25, 0.0, 0.0], atol=1e-6)
