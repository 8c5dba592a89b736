"""What smoothing leaves of small lesions, and what is said of the resolution."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.deconvolve import deconvolve
from PyPeTLib.denoise import enhancement, smooth
from PyPeTLib.geometry import Geometry
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.phantom_scan import correlated_noise
from PyPeTLib.progress import silent
from PyPeTLib.smoothing import averaged_width_mm, noise_of_mean

TIMES = np.arange(55.0)
GRID = Geometry((128, 128, 6), (0.9, 0.9, 5.0))
#: Share of blood, delay in s, mean transit time in s.
HEALTHY, PENUMBRA, CORE = (0.03, 1.0, 5.0), (0.03, 6.0, 10.0), (0.012, 6.0, 10.0)
BASELINE = 10


def places(diameter_mm):
    """Four balls in a slab, shape (z, y, x)."""
    z, y, x = (spacing * np.arange(count) for spacing, count in zip(GRID.spacing_zyx_mm, GRID.shape, strict=True))
    found = np.zeros(GRID.shape, dtype=bool)
    for centre in ((28.8, 28.8), (28.8, 86.4), (86.4, 28.8), (86.4, 86.4)):
        away = np.sqrt((z[:, None, None] - 12.5) ** 2 + (y[:, None] - centre[0]) ** 2 + (x - centre[1]) ** 2)
        found |= away <= 0.5 * diameter_mm
    return found


def smoothed(bolus, kind, diameter_mm, settings, seed=0, noise_hu=6.0, texture="smooth"):
    """Smoothed curves of a slab with the balls."""
    aif, ill = bolus.aif(TIMES), places(diameter_mm)
    rng = np.random.default_rng(seed)
    courses = [
        volume * tissue_curves(aif, TIMES, delays_s=np.array([delay]), mtts_s=np.array([mtt]), shape=1.0)[0, 0]
        for volume, delay, mtt in (HEALTHY, kind)
    ]
    hu = np.stack(
        [
            30.0 + np.where(ill, lesion, healthy) + correlated_noise(GRID.shape, noise_hu, rng, texture=texture)
            for healthy, lesion in zip(*courses, strict=True)
        ]
    ).astype(np.float32)
    mask = np.ones(GRID.shape, dtype=bool)
    return smooth(
        enhancement(hu.reshape(len(TIMES), -1), BASELINE, mask, GRID, drift_hu=np.zeros(len(TIMES)), settings=settings),
        GRID,
        settings=settings,
        progress=silent,
    )


def analysed(bolus, kind, diameter_mm, seed=0, texture="smooth", **chosen):
    """Mean flow and Tmax of the balls and of tissue far from them, and what they truly are."""
    settings, ill = Settings(**chosen), places(diameter_mm)
    curves = smoothed(bolus, kind, diameter_mm, settings, seed=seed, texture=texture)
    response = deconvolve(curves, bolus.aif(TIMES), TIMES, settings=settings)
    far = ~places(diameter_mm + 30.0)
    flow, tmax = response.height.reshape(GRID.shape), response.tmax_s.reshape(GRID.shape)
    true_flow = kind[0] / kind[2] - HEALTHY[0] / HEALTHY[2]
    return SimpleNamespace(
        flow=(flow[ill].mean() - flow[far].mean()) / true_flow,
        tmax=(tmax[ill].mean() - tmax[far].mean()) / (kind[1] - HEALTHY[1]),
        curves=curves,
        residue=response.residue,
    )


@pytest.fixture(scope="module", params=["smooth", "backprojection"])
def texture(request):
    return request.param


@pytest.fixture(scope="module", params=[PENUMBRA, CORE], ids=["penumbra", "core"])
def of_10_mm(bolus, texture, request):
    """Balls of 10 mm in eight scans that differ by their noise."""
    return [analysed(bolus, request.param, 10.0, seed=seed, texture=texture) for seed in range(8)]


def test_lesion_of_10_mm_keeps_its_contrast(of_10_mm):
    assert of_10_mm[0].flow > 0.8 and of_10_mm[0].tmax > 0.8
    for contrast in ([found.flow for found in of_10_mm], [found.tmax for found in of_10_mm]):
        assert np.mean(contrast) > 0.8 and min(contrast) > 0.75


def test_noise_in_common_makes_no_other_shape_of_the_residue(of_10_mm):
    """A slab of one tissue has the noise of its mean in every voxel; 52 averages fit into it."""
    assert {found.residue for found in of_10_mm} == {"exponential"}


def test_a_gaussian_that_averages_less_does_not_keep_it(bolus):
    found, kept = (analysed(bolus, CORE, 10.0, denoise=name) for name in ("gaussian", "bilateral"))
    assert found.curves.resolution_mm < kept.curves.resolution_mm
    assert found.tmax < 0.5 < kept.tmax and found.flow < 0.8 < kept.flow


@pytest.mark.parametrize("sd_mm", [2.0, 4.0])
def test_resolution_of_a_gaussian_is_found_from_the_squares_of_its_weights(sd_mm):
    """A Gaussian of that SD in the plane, within one thick slice, and in all directions where slices are thin."""
    for thickness_mm in (100.0, 1.0):
        grid = Geometry((64, 64, 64), (1.0, 1.0, thickness_mm))
        places = (np.indices(grid.shape) - 32) * np.reshape(grid.spacing_zyx_mm, (3, 1, 1, 1))
        kernel = np.exp(-0.5 * (places**2).sum(axis=0) / sd_mm**2)
        voxels = kernel.sum() ** 2 / (kernel**2).sum()
        assert averaged_width_mm(voxels, grid) == pytest.approx(2.355 * sd_mm, rel=0.01)


@pytest.mark.parametrize("texture", ["smooth", "backprojection", "own"])
@pytest.mark.parametrize(
    "pattern",
    [[(0, 0, 0)], [(0, 0, 0), (0, 0, 1), (0, 1, 0)], [(0, 0, 0), (0, 0, 2), (1, 5, 0), (1, 5, 1), (0, 40, 3)]],
)
def test_noise_of_a_mean_is_what_the_same_voxels_have_all_over_the_image(texture, pattern):
    """Voxels side by side share their noise: of three, a mean holds up to 1.6 times what three of their own leave."""
    rng = np.random.default_rng(3)
    shape = (8, 160, 160)
    image = rng.normal(0.0, 6.0, shape) if texture == "own" else correlated_noise(shape, 6.0, rng, texture=texture)
    mask, chosen = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    mask[:, 60:70, 60:70] = False
    chosen[tuple(np.array(pattern).T)] = True
    means = np.mean([np.roll(image, [-step for step in one], axis=(0, 1, 2)) for one in pattern], axis=0)
    seen = means[:-1, :-40, :-3].std()
    assert noise_of_mean(image[mask].astype(np.float32), mask, chosen) == pytest.approx(seen, rel=0.04)
    if texture == "smooth" and len(pattern) == 3:
        assert seen > 1.4 * 6.0 / np.sqrt(3.0)


def test_noise_of_a_mean_of_a_large_mask_is_a_bound_that_takes_no_square_of_its_voxels_and_none_is_none():
    """A user's mask may be a whole slab: 80,000 voxels have 6 billion pairs."""
    mask = np.ones((5, 128, 128), dtype=bool)
    noise = np.random.default_rng(6).normal(0.0, 5.0, mask.size).astype(np.float32)
    assert 5.0 / np.sqrt(mask.size) < noise_of_mean(noise, mask, mask) < 5.0 / np.sqrt(300)
    assert noise_of_mean(np.zeros_like(noise), mask, mask) == 0.0


def test_noise_of_a_mean_is_not_that_of_outliers():
    rng = np.random.default_rng(4)
    noise = rng.normal(0.0, 5.0, 20_000).astype(np.float32)
    noise[500:503] = 4e3
    mask, chosen = np.ones((2, 100, 100), dtype=bool), np.zeros((2, 100, 100), dtype=bool)
    chosen[0, 50, 50:54] = True
    assert noise_of_mean(noise, mask, chosen) == pytest.approx(2.5, rel=0.03)


@pytest.mark.parametrize(
    ("method", "width_mm"), [("none", 0.9), ("curvature-flow", None), ("gaussian", 5.89), ("bilateral", 13.1)]
)
def test_resolution_is_stated_where_it_is_known(bolus, method, width_mm):
    found = smoothed(bolus, PENUMBRA, 10.0, Settings(denoise=method)).resolution_mm
    assert found == (width_mm if width_mm is None else pytest.approx(width_mm, rel=0.02))
