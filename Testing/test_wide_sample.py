"""A sample of the brain averaged widely: what it keeps apart, what it leaves of the noise, and what that is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from PyPeTLib import Settings
from PyPeTLib.dictionary import SHAPES
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.records import Curves
from PyPeTLib.residue import likeliest_residue
from PyPeTLib.wide_sample import wide_sample

SHAPE, SPACING_MM = (4, 40, 40), (6.0, 2.0, 2.0)
EVERYWHERE = np.ones(SHAPE, dtype=bool)
EVERY_FIFTH = np.arange(0, EVERYWHERE.size, 5)
TIMES_S = np.arange(0.0, 50.0)


def noise_of(components: int, sd: float) -> np.ndarray:
    """Smooth noise, shape (voxel, component)."""
    rng = np.random.default_rng(3)
    noise = gaussian_filter(rng.normal(size=(components, *SHAPE)), (0.0, 0.0, 1.0, 1.0))
    return np.asarray(sd * noise / noise.std(), np.float32).reshape(components, -1).T


def curves_of(rows, sd=0.5, **more) -> Curves:
    """Smoothed curves of three components, on one grid."""
    *noise, left = noise_of(rows.shape[1] + 1, sd).T
    basis = np.eye(rows.shape[1], dtype=np.float32)
    known = {"spacing_zyx_mm": SPACING_MM, "left": left, "sd": np.full(len(rows), sd, np.float32)}
    curves = Curves((rows + np.stack(noise, axis=1)).astype(np.float32), basis, 4.0 * left, EVERYWHERE)
    return replace(curves, **{**known, **more})


def halves(left, right) -> np.ndarray:
    """Curves of two halves of the grid, side by side."""
    side = np.broadcast_to(np.arange(SHAPE[2]) < SHAPE[2] // 2, SHAPE).ravel()
    return np.where(side[:, None], np.asarray(left, float), np.asarray(right, float))


def test_noise_averages_out_and_the_share_that_is_left_is_told():
    rows = np.tile([6.0, 2.0, 1.0], (EVERYWHERE.size, 1))
    wide, left = wide_sample(curves_of(rows), EVERY_FIFTH)
    errors = wide - rows[EVERY_FIFTH]
    assert left < 0.4
    np.testing.assert_allclose(errors.std(), 0.5 * left, rtol=0.2)


def test_tissue_of_another_curve_is_not_mixed_in():
    rows = halves([6.0, 2.0, 1.0], [12.0, -4.0, 1.0])
    wide, _ = wide_sample(curves_of(rows, sd=0.4), EVERY_FIFTH)
    assert np.abs(np.median(wide - rows[EVERY_FIFTH], axis=0)).max() < 0.1
    beside = np.abs(EVERY_FIFTH % SHAPE[2] - (SHAPE[2] - 1) / 2) < 2.0
    assert np.abs(wide - rows[EVERY_FIFTH])[beside].max() < 1.0, "six and more apart"


def test_tissue_of_other_hu_is_not_mixed_in():
    rows = halves([6.0, 2.0, 1.0], [7.0, 2.0, 1.0])
    native = halves([36.0], [28.0]).astype(np.float32)[:, 0]
    apart, _ = wide_sample(curves_of(rows, anatomy_hu=native), EVERY_FIFTH)
    mixed, _ = wide_sample(curves_of(rows), EVERY_FIFTH)
    step = [float(np.ptp([wide[half, 0].mean() for half in (rows[EVERY_FIFTH, 0] < 6.5, rows[EVERY_FIFTH, 0] > 6.5)]))
            for wide in (apart, mixed)]  # fmt: skip
    assert step[0] > 0.95 > 0.9 > step[1]


def test_without_neighbours_or_noise_curves_are_as_they_were():
    curves = curves_of(np.tile([6.0, 2.0, 1.0], (EVERYWHERE.size, 1)))
    for unknown in ({"spacing_zyx_mm": None}, {"left": None}):
        wide, left = wide_sample(replace(curves, **unknown), EVERY_FIFTH)
        assert left == 1.0
        np.testing.assert_array_equal(wide, curves.coefficients[EVERY_FIFTH])


def test_progress_is_told_and_heeded():
    told = []
    curves = curves_of(np.tile([6.0, 2.0, 1.0], (EVERYWHERE.size, 1)))
    wide_sample(curves, EVERY_FIFTH, progress=lambda fraction, _text: told.append(fraction))
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 50

    def stop(_fraction, _text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wide_sample(curves, EVERY_FIFTH, progress=stop)


def test_noise_no_longer_makes_the_residue_sharper():
    """Single voxels of an exponential fit their noise best with a linear residue."""
    aif_hu = 300.0 * (TIMES_S / 8.0) ** 3 * np.exp(3.0 - 0.375 * TIMES_S)
    mtts_s = np.linspace(3.5, 5.5, 8)
    kinds = tissue_curves(aif_hu, TIMES_S, delays_s=np.array([1.0]), mtts_s=mtts_s, shape=SHAPES["exponential"])[:, 0]
    kind = np.broadcast_to(np.arange(SHAPE[2]) // 5, SHAPE).ravel()
    curves = curves_of(0.02 * kinds[kind], sd=4.0)
    shape = {
        known: likeliest_residue(one, aif_hu, TIMES_S, aif_noise_hu=0.0, settings=Settings()).shape
        for known, one in (("neighbours", curves), ("single voxels", replace(curves, left=None)))
    }
    assert shape["neighbours"] == "exponential"
    assert shape["single voxels"] != "exponential", "else this test tells nothing"
