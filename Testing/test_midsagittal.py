"""The mid-sagittal plane: within a degree and a millimetre in tilted heads, and refused where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from PyPeTLib import midsagittal
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.midsagittal import _local_middles, find_midplane
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.phantom_head import rotation
from PyPeTLib.records import Midplane
from PyPeTLib.settings import Settings
from PyPeTLib.truth import compare_midplanes, true_midplane

SETTINGS = Settings()
GRID = Geometry((72, 84, 20), (2.5, 2.5, 6.0), (-89.0, -104.0, -57.0))


def egg(geometry=GRID, tilt_degrees=(0.0, 0.0, 0.0), middle_mm=0.0, extra=None):
    """A brain of three layers with a fissure in its plane x = middle, turned about the origin; HU, mask and plane."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    place = np.stack([x, y, z], axis=-1) @ (geometry.axes * geometry.spacing_mm).T + geometry.origin_mm
    turn = rotation(np.asarray(tilt_degrees))
    own = place @ turn - [middle_mm, 0.0, 0.0]
    radius = np.sqrt((own / (66.0, 82.0, 60.0)) ** 2 @ np.ones(3))
    hu = np.where(radius < 0.85, 29.0, 36.0)
    hu[np.abs(own[..., 0]) < 2.0] = 12.0
    hu[((own / (20.0, 35.0, 15.0)) ** 2 @ np.ones(3)) < 1.0] = 12.0
    if extra is not None:
        hu = np.where(extra(own), 70.0, hu)
    normal = turn[:, 0]
    return hu, radius < 1.0, Midplane(tuple(float(v) for v in normal), middle_mm, float("nan"))


def found(hu, brain, geometry=GRID, settings=SETTINGS):
    return find_midplane(hu[brain], brain, geometry, settings=settings)


def errors(plane, true, brain, geometry=GRID):
    return compare_midplanes(plane, true, Image(brain, geometry))


@pytest.mark.parametrize(
    "tilt",
    [(0, 0, 0), (0, 15, 0), (0, -15, 0), (0, 0, 15), (8, -9, 9), (15, 0, 0)],
)
def test_a_tilted_plane_is_found(tilt):
    hu, brain, true = egg(tilt_degrees=tilt, middle_mm=4.0)
    degrees, mm = errors(found(hu, brain), true, brain)
    assert degrees < 0.5 and mm < 0.5


@pytest.mark.parametrize("tilt", [(0, 0, 44), (0, 0, -30), (0, -35, 0), (10, 20, -38)])
def test_the_plane_of_a_head_that_looks_aside_or_leans_to_a_shoulder_is_found(tilt):
    """Front and back differ, as in a head: else the plane between them would do as well."""
    hu, brain, true = egg(tilt_degrees=tilt, middle_mm=4.0, extra=lambda own: own[..., 1] > 60.0)
    degrees, mm = errors(found(hu, brain), true, brain)
    assert degrees < 1.0 and mm < 1.0


def test_a_bleeding_on_one_side_does_not_move_the_plane():
    hu, brain, true = egg(tilt_degrees=(0, 5, 3), extra=lambda own: np.linalg.norm(own - (35, 5, 5), axis=-1) < 22)
    degrees, mm = errors(found(hu, brain), true, brain)
    assert degrees < 1.0 and mm < 1.0


def test_a_missing_part_of_the_skull_does_not_move_the_plane():
    hu, brain, true = egg(tilt_degrees=(0, 5, 3))
    own = np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij")
    cut = brain & ~((own[2] > 55) & (own[1] > 30) & (own[1] < 60))
    degrees, mm = errors(found(hu, cut), true, brain)
    assert degrees < 1.0 and mm < 1.0


def test_the_plane_is_that_of_the_patient_not_of_the_grid():
    axes = rotation(np.array([3.0, 8.0, -6.0])) @ np.diag([-1.0, -1.0, 1.0])
    origin = -axes @ ((np.array(GRID.size) - 1) / 2 * GRID.spacing_mm)
    oblique = Geometry(GRID.size, GRID.spacing_mm, tuple(origin), tuple(axes.ravel()))
    hu, brain, true = egg(oblique, tilt_degrees=(0, 4, 0))
    plane = found(hu, brain, oblique)
    degrees, mm = errors(plane, true, brain, oblique)
    assert degrees < 0.5 and mm < 0.5
    assert plane.normal[0] > 0  # the patient's left is positive


@pytest.mark.parametrize("radius_mm", [45.0, 55.0, 63.0])
@pytest.mark.parametrize("centre_mm", [(0.0, 0.0, 0.0), (0.3, -0.7, 0.2), (1.25, 1.25, 3.0)])
def test_a_ball_has_no_plane(radius_mm, centre_mm):
    z, y, x = np.meshgrid(*(np.arange(n) for n in GRID.shape), indexing="ij")
    place = np.stack([x, y, z], axis=-1) * GRID.spacing_mm + GRID.origin_mm
    brain = np.linalg.norm(place - centre_mm, axis=-1) < radius_mm
    noise = np.random.default_rng(0).normal(30.0, 2.0, GRID.shape)
    assert found(noise, brain) is None


def test_a_single_slice_has_its_plane():
    """Its edge hardly tells by how much a head leans to a shoulder, and the fissure of one slice tells the rest."""
    options = HeadOptions((160, 160, 12), (1.25, 1.25, 8.0), frames=2, interval_s=4.0, noise_hu=2.0, seed=101)
    head = head_phantom(options)
    brain = np.zeros_like(head.masks["brain"].values)
    brain[6] = head.masks["brain"].values[6]
    mean_hu = head.series.values.mean(axis=0, dtype=np.float32)
    plane = find_midplane(mean_hu[brain], brain, head.series.geometry, settings=SETTINGS)
    degrees, mm = compare_midplanes(plane, true_midplane(options), Image(brain, head.series.geometry))
    assert degrees < 3.0 and mm < 1.0


@pytest.mark.parametrize(("slices", "mm"), [(4, 5.0), (2, 10.0)])
@pytest.mark.parametrize("seed", [101, 103])
def test_a_slab_has_its_plane(slices, mm, seed):
    """A plane that leans mirrors little of a slab, and that well, for it lies beside itself: such a one was taken."""
    options = HeadOptions((160, 160, slices), (1.25, 1.25, mm), frames=2, interval_s=4.0, seed=seed)
    head = head_phantom(options)
    brain, mean_hu = head.masks["brain"].values, head.series.values.mean(axis=0, dtype=np.float32)
    plane = find_midplane(mean_hu[brain], brain, head.series.geometry, settings=SETTINGS)
    degrees, apart_mm = compare_midplanes(plane, true_midplane(options), head.masks["brain"])
    assert degrees < 2.0 and apart_mm < 1.0


@pytest.mark.parametrize("apart_voxels", [5.0, 12.0])
def test_a_plane_that_no_local_middle_supports_is_not_found(apart_voxels):
    """Two small parts that mirror each other, as a user may paint, and nothing of the mask between them."""
    hu, brain, _ = egg()
    z, y, x = np.indices(brain.shape)
    parts = (np.abs(np.abs(x - 35.6) - apart_voxels) < 2.5) & (np.abs(y - 42) < 4) & (np.abs(z - 10) < 2.5) & brain
    assert parts.sum() == 350
    assert found(hu, parts) is None


@pytest.mark.parametrize(("middle_mm", "known"), [(2.3, True), (-1.2, True), (6.0, False)])
def test_a_local_middle_is_that_of_the_parabola_through_limited_differences(middle_mm, known):
    """Of the same profile everywhere, written out: ten mm on both sides, shifts up to 6 mm; not that of the largest."""
    across = np.arange(-16, 17)
    profile, shifts = 3.0 * np.abs(across - middle_mm), np.arange(-6, 7)
    away = np.arange(1, 11)
    worse = np.array([np.minimum(np.abs(profile[16 + s + away] - profile[16 + s - away]), 40.0).mean() for s in shifts])
    values = np.broadcast_to(profile[:, None, None], (33, 9, 9)).astype(np.float32)
    middle, weight = _local_middles(values, np.ones((9, 9), dtype=bool))
    assert (weight > 0.0).all() == known
    if known:
        k = worse.argmin()
        before, least, after = worse[k - 1 : k + 2]
        np.testing.assert_allclose(
            middle, shifts[k] + 0.5 * (before - after) / (before - 2.0 * least + after), rtol=1e-5
        )
        np.testing.assert_allclose(weight, worse.mean() / least - 1.0, rtol=1e-5)
    else:
        np.testing.assert_array_equal(weight, 0.0)


def test_local_middles_turn_and_shift_a_plane_that_is_off():
    """By 5 degrees and 3 mm: in three rounds, from a plane along the grid."""
    hu, brain, true = egg(tilt_degrees=(0, 3, 4), middle_mm=3.0)
    volume = np.where(brain, hu, midsagittal.OUTSIDE_HU).astype(np.float32)
    centre = GRID.places_mm(np.argwhere(brain).mean(axis=0))
    normal, shift_mm = np.array([1.0, 0.0, 0.0]), 0.0
    for _ in range(3):
        normal, shift_mm = midsagittal._fitted_to_middles(volume, brain, GRID, centre, normal, shift_mm)
    plane = Midplane(tuple(normal), float(shift_mm + normal @ centre), float("nan"))
    assert true.tilt_degrees == pytest.approx(5.0, abs=0.1)
    degrees, mm = errors(plane, true, brain)
    assert degrees < 0.3 and mm < 0.3


def test_a_local_middle_weighs_as_the_root_of_how_much_better_it_mirrors(monkeypatch):
    """Every other one lies 1 mm to the left and mirrors 16 times as well as the others, 1 mm to the right."""
    _, brain, _ = egg()

    def middles(values, inside):
        left = np.indices(inside.shape)[1] % 2 == 0
        return np.where(left, 1.0, -1.0), np.where(inside, np.where(left, 16.0, 1.0), 0.0)

    monkeypatch.setattr(midsagittal, "_local_middles", middles)
    monkeypatch.setattr(midsagittal, "REWEIGHTINGS", 1)
    centre = GRID.places_mm(np.argwhere(brain).mean(axis=0))
    volume, normal = np.zeros(GRID.shape, dtype=np.float32), np.array([1.0, 0.0, 0.0])
    _, shift_mm = midsagittal._fitted_to_middles(volume, brain, GRID, centre, normal, 0.0)
    assert shift_mm == pytest.approx((4.0 - 1.0) / (4.0 + 1.0), abs=0.05)


@pytest.mark.parametrize(
    ("best_hu", "worse_hu", "flat"),
    [(2.0, 2.55, True), (2.0, 2.65, False), (0.2, 0.44, True), (0.2, 0.46, False)],
)
def test_a_plane_is_known_where_its_neighbours_mirror_worse_by_30_percent_and_a_quarter_hu(
    monkeypatch, best_hu, worse_hu, flat
):
    volume = np.zeros(GRID.shape, dtype=np.float32)
    points = midsagittal._points(volume, np.ones(GRID.shape, dtype=bool), GRID, 20.0)
    plane = np.array([3.0, -2.0, 1.0])
    around = {tuple(plane + sign * step) for sign in (-1, 1) for step in 6.0 * np.eye(3)}
    told = {one: best_hu + 9.0 for one in around}
    told[min(around)], told[tuple(plane)] = worse_hu, best_hu
    monkeypatch.setattr(midsagittal, "_asymmetry", lambda one, _: (told[tuple(one)], 1.0))
    assert midsagittal._flat(plane, points) == flat


@pytest.mark.parametrize(("mirrored", "cost"), [(1.0, 3.0), (0.5, 12.0), (0.4, 18.75), (0.1, 18.75)])
def test_planes_are_dearer_the_fewer_points_have_their_image_in_the_scan(monkeypatch, mirrored, cost):
    monkeypatch.setattr(midsagittal, "_asymmetry", lambda plane, points: (3.0, mirrored))
    assert midsagittal._cost(np.zeros(3), None) == pytest.approx(cost)


def test_the_plane_is_that_of_the_fissure_not_of_the_outline():
    """A fissure of three columns whose middle lies 3.5 mm to the left of that of the mask."""
    _, brain, _ = egg()
    x_mm = GRID.origin_mm[0] + GRID.spacing_mm[0] * np.arange(GRID.size[0])
    hu = np.where(np.abs(x_mm - 3.5) < 3.0, 12.0, np.full(GRID.shape, 33.0))
    degrees, mm = errors(found(hu, brain), Midplane((1.0, 0.0, 0.0), 3.5, 0.0), brain)
    assert degrees < 0.5 and mm < 0.5


def test_few_local_middles_support_a_plane():
    hu, brain, true = egg()
    z, y, x = np.indices(brain.shape)
    part = (np.abs(x - 35.6) < 4) & (np.abs(y - 42) < 3) & (np.abs(z - 10) < 2.5) & brain
    assert part.sum() == 200
    degrees, mm = errors(found(hu, part), true, part)
    assert degrees < 1.0 and mm < 1.0


def test_a_plane_beyond_the_limit_is_not_found():
    hu, brain, _ = egg(tilt_degrees=(0, 0, 15))
    assert found(hu, brain) is not None
    assert found(hu, brain, settings=Settings(midplane_limit_degrees=10.0)) is None


def test_distances_are_in_mm_and_positive_on_the_left():
    plane = Midplane((1.0, 0.0, 0.0), 2.0, 0.0)
    distance = plane.distance_mm(GRID)
    assert distance.shape == GRID.shape
    assert distance[0, 0, 0] == pytest.approx(-91.0) and distance[3, 5, 40] == pytest.approx(9.0)


def test_the_plane_of_a_phantom_is_within_a_degree_and_a_millimetre():
    options = HeadOptions(
        (160, 160, 14), (1.25, 1.25, 8.0), frames=2, interval_s=4.0, noise_hu=1.0, seed=3, tilt_degrees=(0.0, 12.0, 0.0)
    )
    head = head_phantom(options)
    brain = head.masks["brain"]
    mean_hu = ndimage.gaussian_filter(head.series.values.mean(axis=0, dtype=np.float32), (0, 0.5, 0.5))
    plane = find_midplane(mean_hu[brain.values], brain.values, brain.geometry, settings=SETTINGS)
    degrees, mm = compare_midplanes(plane, true_midplane(options), brain)
    assert degrees < 1.0 and mm < 1.0
