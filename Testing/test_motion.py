"""Motion of the head: poses in mm on any grid, frames back in the position of the first, still scans untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY
from scipy import ndimage
from scipy.spatial.transform import Rotation

from PyPeTLib import InputError, Points, QualityError, Settings, analyze
from PyPeTLib.curves import area_weights
from PyPeTLib.geometry import Geometry
from PyPeTLib.motion import _blocks, between_slices, corrected, measure_motion, unseen_mm
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.phantom_scan import true_motion
from PyPeTLib.pipeline import finish, prepare
from PyPeTLib.progress import silent
from PyPeTLib.records import Motion
from PyPeTLib.result_files import result_names
from PyPeTLib.result_tables import motion_table
from PyPeTLib.results import write_analysis
from PyPeTLib.scan import Series
from PyPeTLib.seeds import grow_seeds
from PyPeTLib.summary import summary
from PyPeTLib.truth import compare_midplanes, compare_with_truth, true_midplane

ON, AUTO = Settings(motion="on"), Settings()
TURN, SHIFT_MM = np.deg2rad([2.0, -1.5, 2.5]), np.array([2.0, -1.5, 1.2])
GRIDS = {
    "axial": Geometry((60, 72, 24), (3.0, 3.0, 5.0), (-90.0, -105.0, -60.0)),
    "anisotropic": Geometry((100, 60, 40), (1.8, 3.6, 3.0), (-90.0, -105.0, -60.0)),
    "flipped": Geometry((60, 72, 24), (3.0, 3.0, 5.0), (90.0, 105.0, 60.0), (-1, 0, 0, 0, -1, 0, 0, 0, -1)),
    "oblique": Geometry(
        (64, 76, 28), (3.0, 3.0, 5.0), (-95.0, -95.0, -80.0),
        tuple(Rotation.from_rotvec([0.3, 0.0, 0.1]).as_matrix().ravel()),
    ),
}  # fmt: skip


def points_mm(grid: Geometry) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return np.asarray(grid.origin_mm) + (np.stack([x, y, z], axis=-1) * grid.spacing_mm) @ grid.axes.T


def skull_hu(points: np.ndarray, tissue_hu: float = 40.0) -> np.ndarray:
    """A smooth ellipsoidal shell that thickens unevenly, around soft tissue."""
    scaled = np.linalg.norm(points / [62.0, 78.0, 55.0], axis=-1)
    bumps = 1.0 + 0.25 * np.sin(points[..., 0] / 11.0) * np.cos(points[..., 1] / 13.0 + points[..., 2] / 17.0)
    shell = np.exp(-(((scaled - 0.9) / 0.07) ** 2)) * bumps
    enhanced = 40.0 + (tissue_hu - 40.0) * (points[..., 0] > 10.0)  # on one side
    return 1000.0 * shell + np.where(scaled < 0.8, enhanced, np.where(scaled < 0.9, 40.0, -300.0 * (scaled > 1.05)))


def scan(grid: Geometry, poses, tissue_hu=None, noise_hu: float = 0.0) -> Series:
    """Frames of the skull, each analytic at its pose: the head's point x lies at ``turn @ x + shift``."""
    points, noise = points_mm(grid), np.random.default_rng(0)
    tissue_hu = [40.0] * len(poses) if tissue_hu is None else tissue_hu
    frames = [
        skull_hu((points - shift) @ Rotation.from_rotvec(turn).as_matrix(), level)
        for (turn, shift), level in zip(poses, tissue_hu, strict=True)
    ]
    values = np.stack(frames) + noise_hu * noise.standard_normal((len(poses), *grid.shape))
    return Series(values.astype(np.float32), 2.0 * np.arange(len(poses)), grid)


STILL = (np.zeros(3), np.zeros(3))
MOVED = (TURN, SHIFT_MM)


def errors(motion: Motion, turns: np.ndarray, shifts_mm: np.ndarray) -> tuple[float, float]:
    """Largest error of the centre in mm and of the turn in degrees; truth turns about the origin."""
    at = motion.centre_mm
    apart = [
        np.linalg.norm(at + s - (turn @ at + true))
        for s, turn, true in zip(motion.shifts_mm, turns, shifts_mm, strict=True)
    ]
    turned = Rotation.from_matrix(motion.turns @ turns.transpose(0, 2, 1)).magnitude()
    return max(apart), float(np.degrees(turned).max())


def pose_errors(motion: Motion, poses) -> tuple[float, float]:
    turns = np.stack([Rotation.from_rotvec(turn).as_matrix() for turn, _ in poses])
    return errors(motion, turns, np.stack([shift for _, shift in poses]))


# --- poses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("times", [1.0, 3.0])
def test_a_known_pose_is_found_in_mm_on_any_grid(name, times):
    """To a sixtieth of a voxel, also where the frame before is 11 degrees and 8 mm away."""
    poses = [STILL, (times * TURN, times * SHIFT_MM)]
    apart_mm, apart_degrees = pose_errors(measure_motion(scan(GRIDS[name], poses), settings=ON, progress=silent), poses)
    assert apart_mm < 0.05 and apart_degrees < 0.2


@pytest.mark.parametrize(("moved_mm", "unseen"), [(0.15, 0.1), (0.19, 0.1), (0.21, 0.21), (1.5, 1.5)])
def test_a_head_at_rest_may_move_by_a_tenth_of_a_mm_and_others_as_far_as_they_did(moved_mm, unseen):
    nothing, two = np.zeros(2, dtype=bool), np.arange(2.0)
    turns, shifts_mm = np.tile(np.eye(3), (2, 1, 1)), np.zeros((2, 3))
    motion = Motion(two, turns, shifts_mm, np.zeros(3), np.array([0.0, moved_mm]), nothing, nothing)
    assert unseen_mm(motion) == unseen_mm(replace(motion, displacement_mm=np.array([moved_mm, 0.0]))) == unseen
    assert unseen_mm(replace(motion, corrected=~nothing)) == 0.1


def test_the_largest_turn_is_the_angle_about_whatever_axis():
    """5° about one between two axes are 3° and 4° about these."""
    turns = Rotation.from_rotvec([[0.0, 0.0, 0.0], [3.0, 0.0, -4.0], [0.0, 4.5, 0.0]], degrees=True).as_matrix()
    nothing = np.zeros(3, dtype=bool)
    motion = Motion(np.arange(3.0), turns, np.zeros((3, 3)), np.zeros(3), np.zeros(3), nothing, nothing)
    assert motion.largest_turn_degrees == pytest.approx(5.0)
    np.testing.assert_allclose(motion.rotations_degrees[1], [3.0, 0.0, -4.0], atol=1e-9)


def test_the_same_pose_is_found_on_every_grid():
    found = [measure_motion(scan(grid, [STILL, MOVED]), settings=ON, progress=silent) for grid in GRIDS.values()]
    for one in found:
        np.testing.assert_allclose(one.rotations_degrees[1], np.rad2deg(TURN), atol=0.3)


@pytest.mark.parametrize("name", GRIDS)
def test_between_slices_lies_what_a_pose_takes_there(name):
    """Written out: each voxel's place in mm, where the head has it in the moved frame, and how far from a slice."""
    grid, centre = GRIDS[name], np.array([3.0, -8.0, 5.0])
    turn = Rotation.from_rotvec(TURN).as_matrix()
    two, moved = np.arange(2.0), np.array([False, True])
    motion = Motion(
        two, np.stack([np.eye(3), turn]), np.stack([0 * SHIFT_MM, SHIFT_MM]), centre, two, moved, ~(two < 9)
    )
    still, found = between_slices(motion, grid, np.ones(grid.shape, dtype=bool))
    there = (points_mm(grid) - centre) @ turn.T + centre + SHIFT_MM - grid.origin_mm
    place = (there @ grid.axes / grid.spacing_mm)[..., grid.slice_axis]
    share = place - np.floor(place)
    np.testing.assert_allclose(found, (share * (1.0 - share)).ravel(), atol=1e-5)
    assert not still.any() and np.ptp(found) > 0.2


def test_a_head_that_does_not_move_has_the_identity():
    motion = measure_motion(scan(GRIDS["axial"], [STILL] * 3), settings=ON, progress=silent)
    np.testing.assert_allclose(motion.turns, np.broadcast_to(np.eye(3), (3, 3, 3)), atol=1e-6)
    np.testing.assert_allclose(motion.shifts_mm, 0.0, atol=1e-4)
    assert motion.displacement_mm.max() < 1e-3


def test_from_there_to_here_is_the_inverse_of_from_here_to_there():
    there = measure_motion(scan(GRIDS["axial"], [STILL, MOVED]), settings=ON, progress=silent)
    back = measure_motion(scan(GRIDS["axial"], [MOVED, STILL]), settings=ON, progress=silent)
    np.testing.assert_allclose(there.turns[1] @ back.turns[1], np.eye(3), atol=np.deg2rad(0.3))
    np.testing.assert_allclose(there.turns[1] @ back.shifts_mm[1] + there.shifts_mm[1], 0.0, atol=0.3)


def test_the_passing_bolus_does_not_move_the_pose():
    poses, bolus_hu = [STILL, MOVED, MOVED], [40.0, 40.0, 140.0]
    motion = measure_motion(scan(GRIDS["axial"], poses, bolus_hu), settings=ON, progress=silent)
    np.testing.assert_allclose(motion.shifts_mm[2], motion.shifts_mm[1], atol=0.1)
    np.testing.assert_allclose(motion.rotations_degrees[2], motion.rotations_degrees[1], atol=0.1)


def test_what_is_no_bone_does_not_count_whatever_its_hu():
    """Tissue that enhances and air, below 50 HU, and metal, above 2000."""
    grid, bone = Geometry((12, 10, 4), (2.0, 2.0, 5.0)), np.zeros((4, 10, 12))
    bone[:, 2:8, 3], bone[:, 5, 6:9] = 700.0, 2500.0
    frames = [np.where(bone > 0.0, bone, hu) for hu in (-900.0, 30.0, 49.0)] + [np.where(bone > 2000.0, 9e3, bone)]
    found = [_blocks(frame, grid, (2, 2, 1)) for frame in frames]
    assert np.ptp(found[0]) > 100.0
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_noise_hardly_moves_the_pose():
    poses = [STILL, MOVED, STILL]
    motion = measure_motion(scan(GRIDS["axial"], poses, noise_hu=15.0), settings=ON, progress=silent)
    apart_mm, apart_degrees = pose_errors(motion, poses)
    assert apart_mm < 0.3 and apart_degrees < 0.3
    assert motion.displacement_mm[2] < 0.3 < 2.0 < motion.displacement_mm[1]


@pytest.fixture(scope="module")
def few_frames():
    """A still head of 16 slices."""
    return head_phantom(HeadOptions(size=(110, 110, 16), spacing_mm=(1.8, 1.8, 8.0), frames=12, seed=1))


@pytest.mark.parametrize("slices", [slice(0, 2), slice(8, 10), slice(14, 16), slice(12, 13)])
def test_a_still_slab_of_one_or_two_slices_stays_where_it_is(few_frames, slices):
    """All its edges lie in the first or the last slice, which a pose sees from both sides alike."""
    whole = few_frames
    values = whole.series.values[:, slices]
    grid = replace(whole.series.geometry, size=(110, 110, values.shape[1]))
    motion = measure_motion(replace(whole.series, values=values, geometry=grid), settings=ON, progress=silent)
    assert motion.displacement_mm.max() < 0.3


def test_one_thin_slice_is_no_less_than_a_block():
    grid = Geometry((60, 72, 1), (3.0, 3.0, 1.0), (-90.0, -105.0, 0.0))
    shift = (np.zeros(3), np.array([1.0, -1.0, 0.0]))
    motion = measure_motion(scan(grid, [STILL, shift]), settings=ON, progress=silent)
    np.testing.assert_allclose(motion.shifts_mm[1], shift[1], atol=0.3)


def test_displacement_is_the_largest_of_the_skull():
    poses = [STILL, (np.zeros(3), SHIFT_MM), MOVED]
    motion = measure_motion(scan(GRIDS["axial"], poses), settings=ON, progress=silent)
    assert motion.displacement_mm[1] == pytest.approx(np.linalg.norm(SHIFT_MM), abs=0.3)
    reach_mm = 78.0 * 1.05 * np.linalg.norm(TURN) + np.linalg.norm(SHIFT_MM)
    assert motion.displacement_mm[1] < motion.displacement_mm[2] < reach_mm


def test_displacement_of_a_head_that_turns_is_that_of_what_lies_furthest_from_its_middle():
    """Forehead and back of the head: the middle of their bone is 70 mm away, the outer half 78 mm."""
    turn = (np.array([0.0, 0.0, 0.06]), np.zeros(3))
    motion = measure_motion(scan(GRIDS["axial"], [STILL, turn]), settings=ON, progress=silent)
    assert 70.0 * 0.06 < motion.displacement_mm[1] < 82.0 * 0.06


@pytest.mark.parametrize(("moved_mm", "left_out"), [(9.9, False), (10.1, True)])
def test_what_moved_further_than_the_limit_is_left_out(moved_mm, left_out):
    series = scan(Geometry((12, 10, 4), (2.0, 2.0, 5.0)), [STILL, STILL])
    motion = replace(known([STILL, STILL], series), displacement_mm=np.array([0.0, moved_mm]))
    chosen = Settings(motion_limit_mm=10.0, motion_beyond="leave-out")
    _, found, _ = corrected(series, motion, settings=chosen, progress=silent)
    assert found.left_out.tolist() == [False, left_out] and found.corrected.tolist() == [False, not left_out]


def test_too_little_bone_is_refused_with_both_numbers_and_a_cure():
    water = Series(np.zeros((3, 6, 40, 40), np.int16), np.arange(3.0), Geometry((40, 40, 6), (3.0, 3.0, 5.0)))
    with pytest.raises(QualityError, match=r"at least 500 edges of bone.*found \d+.*motion=off"):
        measure_motion(water, settings=ON, progress=silent)


def test_measuring_and_correcting_can_be_cancelled():
    series = scan(GRIDS["axial"], [STILL, MOVED, MOVED])
    motion = measure_motion(series, settings=ON, progress=silent)

    def stop(fraction, text):
        assert 0.0 <= fraction <= 1.0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_motion(series, settings=ON, progress=stop)
    with pytest.raises(KeyboardInterrupt):
        corrected(series, motion, settings=ON, progress=stop)


# --- correction -----------------------------------------------------------------------------------------------------


def known(poses, series: Series) -> Motion:
    """The true poses, as measured ones would be."""
    turns = np.stack([Rotation.from_rotvec(turn).as_matrix() for turn, _ in poses])
    shifts = np.stack([shift for _, shift in poses])
    nothing = np.zeros(len(poses), dtype=bool)
    moved = 3.0 * np.array([bool(turn.any() or shift.any()) for turn, shift in poses])
    return Motion(series.times_s, turns, shifts, np.zeros(3), moved, nothing, nothing)


@pytest.mark.parametrize("name", GRIDS)
def test_frames_come_back_to_the_position_of_the_first(name):
    """Coordinates themselves, in HU: linear interpolation is exact on them, whatever the grid."""
    grid = GRIDS[name]
    points = points_mm(grid)
    here = points @ [0.3, -0.2, 0.4]
    there = ((points - SHIFT_MM) @ Rotation.from_rotvec(TURN).as_matrix()) @ [0.3, -0.2, 0.4]
    series = Series(np.stack([here, there]).astype(np.float32), np.arange(2.0), grid)
    still, motion, restored = corrected(series, known([STILL, MOVED], series), settings=ON, progress=silent)
    inner = (slice(None), *(slice(6, -6) for _ in range(3)))
    assert restored[inner[1:]].mean() > 0.9
    np.testing.assert_allclose(still.values[inner][0], here[inner[1:]], atol=1e-3)
    np.testing.assert_allclose(still.values[inner][1], here[inner[1:]], atol=1e-3)
    assert motion.corrected.tolist() == [False, True]
    assert series.values.flags.writeable is False


def test_bone_does_not_spill_into_the_slices_beside_it():
    grid = Geometry((20, 20, 6), (2.0, 2.0, 8.0))
    hu = np.full(grid.shape, 40.0)
    hu[4:] = 1000.0
    up = (np.zeros(3), np.array([0.0, 0.0, 3.0]))
    moved = hu.copy()  # by 3 of 8 mm upwards: the lowest bone slice is bone no longer in full
    moved[4] = 1000.0 - 3.0 / 8.0 * 960.0
    series = Series(np.stack([hu, moved]).astype(np.float32), np.arange(2.0), grid)
    still, _, restored = corrected(series, known([STILL, up], series), settings=ON, progress=silent)
    assert restored[1:4].all() and not restored[4:].any()
    np.testing.assert_allclose(still.values[:, 1:4], 40.0, atol=1e-3)


@pytest.mark.parametrize(("rise_mm", "enough"), [(3.5, True), (4.5, False)])
def test_soft_tissue_needs_half_of_the_weights(rise_mm, enough):
    """Between slices of 8 mm, of which the upper one is bone."""
    hu = np.full((2, 6, 20, 20), 40.0, dtype=np.float32)
    hu[:, 4:] = 1000.0
    hu[1, 4] -= rise_mm / 8.0 * 960.0
    series = Series(hu, np.arange(2.0), Geometry((20, 20, 6), (2.0, 2.0, 8.0)))
    rise = (np.zeros(3), np.array([0.0, 0.0, rise_mm]))
    _, _, restored = corrected(series, known([STILL, rise], series), settings=ON, progress=silent)
    assert restored[1:3].all() and (restored[3] == enough).all()


def test_what_the_first_frame_did_not_show_gets_no_weight():
    grid = Geometry((20, 20, 6), (2.0, 2.0, 8.0))
    hu = np.full((2, *grid.shape), 40.0, dtype=np.float32)
    hu[1, 0] = 400.0  # bone that comes into view from below as the head rises
    series = Series(hu, np.arange(2.0), grid)
    rise = (np.zeros(3), np.array([0.0, 0.0, 3.0]))
    still, _, restored = corrected(series, known([STILL, rise], series), settings=ON, progress=silent)
    np.testing.assert_allclose(still.values[1][restored], 40.0, atol=1e-3)


def test_every_frame_is_blurred_alike_across_slices():
    """A parabola across slices: the second moment of the interpolation is added, the same in all frames."""
    grid = Geometry((16, 16, 12), (2.0, 2.0, 8.0))
    depth = np.arange(12.0)[:, None, None] - 5.5 + np.zeros((1, 16, 16))
    shares = (0.0, 0.25, 0.5)
    frames = np.stack([(depth - share) ** 2 for share in shares]).astype(np.float32)
    series = Series(frames, np.arange(3.0), grid)
    poses = [(np.zeros(3), np.array([0.0, 0.0, 8.0 * share])) for share in shares]
    still, _, restored = corrected(series, known(poses, series), settings=ON, progress=silent)
    assert restored[3:9].all()
    np.testing.assert_allclose(still.values[:, 3:9], np.broadcast_to(depth**2 + 0.25, frames.shape)[:, 3:9], atol=1e-3)


@pytest.mark.parametrize("rise_mm", [0.0, 4.0])
def test_no_frame_is_blurred_in_plane(rise_mm):
    """A parabola in plane comes back as it was, wherever between two pixels, and slices alike, a frame shows it."""
    grid = Geometry((24, 20, 4), (2.0, 1.5, 8.0))
    y, x = np.meshgrid(np.arange(20.0) - 9.5, np.arange(24.0) - 11.5, indexing="ij")
    places = [(0.0, 0.0), (0.5, 0.0), (0.25, 0.5)]
    planes = [0.2 * (x - right) ** 2 + 0.1 * (y - down) ** 2 for right, down in places]
    series = Series(np.stack([np.tile(one, (4, 1, 1)) for one in planes]).astype(np.float32), np.arange(3.0), grid)
    poses = [(np.zeros(3), np.array([2.0 * right, 1.5 * down, rise_mm * (right > 0.0)])) for right, down in places]
    still, _, restored = corrected(series, known(poses, series), settings=ON, progress=silent)
    inner = np.s_[:, 1:-1, 4:-4, 4:-4] if rise_mm else np.s_[:, :, 4:-4, 4:-4]
    assert restored[inner[1:]].all()
    np.testing.assert_allclose(
        still.values[inner], np.broadcast_to(series.values[:1], series.values.shape)[inner], atol=1e-3
    )


def test_frames_within_the_tolerance_stay_and_a_still_scan_is_the_very_same():
    series = scan(GRIDS["axial"], [STILL] * 3, noise_hu=6.0)
    motion = measure_motion(series, settings=AUTO, progress=silent)
    still, motion, restored = corrected(series, motion, settings=AUTO, progress=silent)
    assert still is series and restored is None and not (motion.corrected | motion.left_out).any()


def test_on_corrects_frames_within_the_tolerance_too():
    series = scan(GRIDS["axial"], [STILL, (np.zeros(3), np.array([0.0, 0.3, 0.0]))])
    for settings, done in ((AUTO, False), (ON, True)):
        motion = measure_motion(series, settings=settings, progress=silent)
        assert corrected(series, motion, settings=settings, progress=silent)[1].corrected.tolist() == [False, done]


def test_whole_numbers_stay_whole():
    series = scan(GRIDS["axial"], [STILL, MOVED])
    whole = replace(series, values=np.rint(series.values).astype(np.int16))
    still, *_ = corrected(whole, known([STILL, MOVED], whole), settings=ON, progress=silent)
    exact, *_ = corrected(series, known([STILL, MOVED], series), settings=ON, progress=silent)
    assert still.values.dtype == np.int16
    assert abs((still.values - exact.values)[exact.values > 1.0].mean()) < 0.05


def test_what_is_taken_off_in_plane_does_not_wrap_in_numbers_without_sign():
    """Sharpening undershoots beside an edge: below 0 in a scan whose type has no sign, where it would be 65,000 HU."""
    series = scan(GRIDS["axial"], [STILL, MOVED])
    still = {}
    for kind in (np.int16, np.uint16):
        whole = replace(series, values=np.rint(np.maximum(series.values, 0.0)).astype(kind))
        still[kind] = corrected(whole, known([STILL, MOVED], whole), settings=ON, progress=silent)[0].values
    assert still[np.int16].min() < 0
    np.testing.assert_array_equal(still[np.uint16], np.maximum(still[np.int16], 0))


@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2)])
def test_slices_may_be_stored_along_any_axis(order):
    """The same head at the same places, its array's axes in another order."""
    grid = GRIDS["axial"]
    series = scan(grid, [STILL, MOVED], tissue_hu=[40.0, 60.0])
    turned = stored(series, order)
    motion = known([STILL, MOVED], series)
    found, other = (corrected(one, motion, settings=ON, progress=silent) for one in (series, turned))
    np.testing.assert_allclose(other[0].values, found[0].values.transpose(0, *(1 + axis for axis in order)), atol=1e-2)
    assert (other[2] == found[2].transpose(order)).mean() > 0.9999
    here, there = (
        list(between_slices(found[1], one.geometry, np.ones(one.geometry.shape, dtype=bool)))[1]
        for one in (series, turned)
    )
    wanted = here.reshape(grid.shape).transpose(order)
    np.testing.assert_allclose(there.reshape(turned.geometry.shape), wanted, atol=1e-4)


def stored(series: Series, order) -> Series:
    """A scan with its array's axes (z, y, x) in another order; every voxel stays where it is."""
    grid, axes = series.geometry, [2 - axis for axis in reversed(order)]
    size, spacing = (tuple(one[axis] for axis in axes) for one in (grid.size, grid.spacing_mm))
    turned = Geometry(size, spacing, grid.origin_mm, tuple(grid.axes[:, axes].ravel()))
    return replace(series, values=series.values.transpose(0, *(1 + axis for axis in order)), geometry=turned)


def test_frames_beyond_the_limit_are_left_out_and_the_time_axis_keeps_their_gap():
    series = scan(GRIDS["axial"], [STILL, MOVED, STILL, STILL])
    chosen = Settings(motion_limit_mm=1.0, motion_beyond="leave-out")
    motion = measure_motion(series, settings=chosen, progress=silent)
    still, motion, restored = corrected(series, motion, settings=chosen, progress=silent)
    assert motion.left_out.tolist() == [False, True, False, False]
    assert still.times_s.tolist() == [0.0, 4.0, 6.0]
    np.testing.assert_array_equal(still.values, series.values[[0, 2, 3]])
    assert restored is None and motion.times_s.size == 4


# --- end to end -----------------------------------------------------------------------------------------------------

MOVING = HeadOptions(
    size=(110, 110, 14), spacing_mm=(1.8, 1.8, 8.0), frames=36, seed=1, motion_mm=3.0, motion_degrees=3.0
)
#: Coarser pixels than real ones dilute arteries and veins when they are resampled: area of the AIF 0.93, CBV 1.09.
FINER = HeadOptions(size=(170, 195, 6), spacing_mm=(1.0, 1.0, 8.0), frames=30, interval_s=1.5)
#: As far as the arterial input a scan is prepared alike whatever becomes of its curves; so little is done with them.
VESSELS_ALONE = Settings(denoise="none", residue="exponential")


@pytest.fixture(scope="module")
def moving_head():
    return head_phantom(MOVING)


@pytest.fixture(scope="module")
def moved_run(moving_head):
    return analyze(moving_head.series)


def test_the_pose_of_the_phantom_is_found(moving_head):
    motion = measure_motion(moving_head.series, settings=AUTO, progress=silent)
    apart_mm, apart_degrees = errors(motion, *true_motion(MOVING, moving_head.series.times_s))
    assert apart_mm < 0.3 and apart_degrees < 0.3


def test_maps_of_a_moving_head_are_those_of_a_still_one():
    """The median of three heads: one draw of noise moves a figure by several percent."""
    names = ("aif_area_ratio", "cbv_slope", "cbf_slope", "cbf_r", "tmax_r", "tmax_bias_s", "tmax_dice")
    ratios = [figures_over_those_at_rest(replace(FINER, seed=seed)) for seed in (1, 2, 3)]
    for name in names:
        assert np.median([ratio[name] for ratio in ratios]) == pytest.approx(1.0, rel=0.1), name


def figures_over_those_at_rest(options):
    """Each figure of merit of the head in motion over that of the same head at rest."""
    at_rest, moved = (head_phantom(one) for one in (options, replace(options, motion_mm=3.0, motion_degrees=3.0)))
    chosen = Settings(method="bSVD")
    still, found = (compare_with_truth(analyze(head.series, chosen), head) for head in (at_rest, moved))
    return {name: found[name] / value for name, value in still.items() if value}


@pytest.mark.parametrize("seed", [0, 2])
def test_what_moved_frames_do_not_show_does_not_hide_the_plane_between_the_halves(seed):
    """It is missing on one side more than on the other: in a mask without it no plane mirrors clearly better."""
    options = replace(TINY, motion_mm=6.0, motion_degrees=6.0, frames=30, interval_s=1.5, seed=seed)
    prepared = prepare(head_phantom(options).series, Settings(residue="exponential"), force=True)
    cut = replace(prepared, inside=prepared.brain)
    assert prepared.brain.values.sum() < 0.7 * prepared.inside.values.sum()
    assert finish(cut, force=True).lesions.midplane is None
    plane = finish(prepared, force=True).lesions.midplane
    degrees, mm = compare_midplanes(plane, true_midplane(options), prepared.brain)
    assert degrees < 3.0 and mm < 1.0  # slices of 10 mm


def test_volume_beside_vessels_of_a_moving_head_is_nearer_to_the_truth(moving_head, monkeypatch):
    """Without what interpolation between slices mixed into its curves."""
    where = moving_head.masks["pure_tissue"].values & ~moving_head.masks["near_vessel"].values

    def error():
        found = analyze(moving_head.series, Settings(method="bSVD")).maps.cbv.values
        return np.sqrt(np.nanmean((found - moving_head.truth["cbv"].values)[where] ** 2))

    found = error()
    monkeypatch.setattr("PyPeTLib.pipeline.without_mixtures", lambda curves, blurs, slice_axis: curves)
    assert found < 0.9 * error()


def test_without_correction_the_moving_head_is_refused(moving_head):
    with pytest.raises(QualityError):
        analyze(moving_head.series, Settings(motion="off"))


@pytest.mark.parametrize("names", [("tiny_head", "tiny_analysis"), ("head", "analysis")])
def test_maps_of_a_still_scan_are_identical_with_and_without(request, names):
    still, found = map(request.getfixturevalue, names)
    off = analyze(still.series, Settings(motion="off"))
    assert off.motion is None and found.motion is not None
    assert not (found.motion.corrected | found.motion.left_out).any()
    assert found.series is still.series
    for (_, one), (_, other) in zip(off.maps.items(), found.maps.items(), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    status = [{check.name: check.status for check in run.checks} for run in (off, found)]
    assert [one.pop("motion") for one in status] == ["not applicable", "pass"]
    assert [one.pop("motion limit") for one in status] == ["not applicable", "pass"]
    assert status[0] == status[1]


def test_a_moving_head_leaves_check_table_summary_and_sentence(moved_run, tmp_path):
    motion, texts = moved_run.motion, [check.text for check in moved_run.checks if check.status == "warn"]
    assert any("The head moved by up to" in text and "resampled" in text for text in texts)
    table = motion_table(motion)
    assert [name for name in table][:2] == ["time_s", "shift_x_mm"] and len(table["time_s"]) == MOVING.frames
    assert table["corrected"].sum() == summary(moved_run)["motion"]["frames_corrected"] == motion.corrected.sum() > 10
    assert "were resampled once" in moved_run.methods_text
    write_analysis(moved_run, tmp_path, report=False)
    written = (tmp_path / "phantom_motion.csv").read_text().splitlines()
    assert len(written) == MOVING.frames + 1 and "phantom_motion.csv" in result_names(moved_run)


def test_points_are_grown_in_the_corrected_scan(moving_head, moved_run):
    inside = np.argwhere(moved_run.aif.mask.values)[0]
    geometry = moved_run.series.geometry
    place = np.asarray(geometry.origin_mm) + geometry.axes @ (inside[::-1] * geometry.spacing_mm)
    found = prepare(moving_head.series, VESSELS_ALONE, aif=Points((tuple(place),)), force=True)
    expected = grow_seeds(found.series, [place], settings=Settings()).values
    np.testing.assert_array_equal(found.aif.mask.values, expected)
    try:
        as_read = grow_seeds(moving_head.series, [place], settings=Settings()).values
    except InputError:
        return
    assert (as_read != expected).any(), "the phantom does not tell one scan from the other"


def test_the_scan_as_read_is_kept_beside_the_corrected_one(moving_head, moved_run, tiny_analysis):
    assert moved_run.raw is moving_head.series and moved_run.series is not moved_run.raw
    assert tiny_analysis.raw is tiny_analysis.series


def test_left_out_frames_leave_a_run_on_the_axis_that_has_their_gap(head):
    values = np.array(head.series.values)
    values[30] = np.roll(values[30], 7, axis=1)  # by 15 mm
    series = replace(head.series, values=values)
    prepared = prepare(series, Settings(motion_beyond="leave-out"))
    assert np.flatnonzero(prepared.motion.left_out).tolist() == [30]
    assert 30.0 not in prepared.series.times_s and prepared.series.frames == 49
    assert prepared.aif.curve_hu.size == 49
    warned = [check for check in prepared.checks if check.doubtful and "left out" in check.text]
    assert len(warned) == 1 and "more than 10 mm" in warned[0].text


def test_too_little_bone_is_a_warning_in_auto_and_an_error_on_request(tiny_head):
    boneless = replace(tiny_head.series, values=np.minimum(tiny_head.series.values, 50))
    from PyPeTLib.pipeline import _steadied

    still = _steadied(boneless, AUTO, silent)
    assert still.motion is None and still.series is boneless
    assert [check.status for check in still.checks] == ["warn", "not applicable"]
    with pytest.raises(QualityError, match="edges of bone"):
        _steadied(boneless, ON, silent)


def test_motion_of_a_scan_without_its_skull_is_unknown_and_its_maps_are_those_with_it(tiny_head, tiny_analysis):
    """Vessels that fill would pass for edges that move."""
    series, inside = tiny_head.series, tiny_head.masks["brain"].values
    bare = replace(series, values=np.where(inside, series.values, 0).astype(series.values.dtype))
    found = analyze(bare)
    assert found.motion is None
    told = {check.name: check for check in found.checks}
    assert (told["motion"].status, told["skull"].status) == ("warn", "not applicable")
    assert "without its skull" in told["motion"].text and "motion=off" in told["motion"].text
    assert found.brain_source == "scan without its skull" and "came without its skull" in found.methods_text
    both = found.tissue.values & tiny_analysis.tissue.values
    for name in ("cbv", "cbf"):
        with_skull, without = (getattr(one.maps, name).values[both] for one in (tiny_analysis, found))
        assert np.corrcoef(with_skull, without)[0, 1] > 0.95
        assert np.median(without / with_skull) == pytest.approx(1.0, abs=0.03)
    with pytest.raises(QualityError, match="without its skull"):
        analyze(bare, ON)


@pytest.mark.parametrize("shift_mm", [0.1, 0.25])
def test_a_head_that_moves_less_than_the_tolerance_keeps_its_arteries(head, analysis, shift_mm):
    """Where it is not resampled bone changes what lies beside it, which passed for vessels with contrast before."""
    values = head.series.values.astype(np.float32)
    pixels = shift_mm / head.series.geometry.spacing_mm[0]
    for frame in values[len(values) // 3 :]:
        frame[:] = ndimage.shift(frame, (0.0, 0.0, pixels), mode="nearest")
    found = prepare(replace(head.series, values=np.rint(values).astype(np.int16)), VESSELS_ALONE)
    assert found.motion is not None and not (found.motion.corrected | found.motion.left_out).any()
    assert shift_mm <= found.motion.uncorrected_mm <= AUTO.motion_tolerance_mm
    assert abs(found.bolus.baseline_frames - analysis.bolus.baseline_frames) <= 1
    weights = area_weights(head.series.times_s)
    assert found.aif.curve_hu @ weights == pytest.approx(analysis.aif.curve_hu @ weights, rel=0.1)
