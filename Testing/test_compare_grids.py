"""Reference maps on another grid: averaged, interpolated, or refused."""

from __future__ import annotations

import re
from dataclasses import replace

import compare_cases
import numpy as np
import pytest
from compare_cases import MAPS, compared, maps_in, moved, refused

from PyPeTLib.beside import read_beside
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.pairing import describe_resampling, mask_on, pair_up, resampled
from PyPeTLib.read import read_image
from PyPeTLib.write import write_image

comparison = compare_cases.comparison


def test_a_reference_on_a_finer_grid_is_averaged_and_that_is_said(runs, tmp_path, comparison):
    def finer(image):
        grid = image.geometry
        spacing = np.asarray(grid.spacing_mm) / (2, 2, 1)
        origin = np.asarray(grid.origin_mm) - grid.axes @ (spacing * (0.5, 0.5, 0))
        size = (2 * grid.size[0], 2 * grid.size[1], grid.size[2])
        fine = Geometry(size, tuple(spacing.tolist()), tuple(origin.tolist()), grid.direction)
        return Image(image.values.repeat(2, axis=1).repeat(2, axis=2), fine, image.unit)

    found = compared(runs / "ours", maps_in(tmp_path / "fine", source=runs / "other", **dict.fromkeys(MAPS, finer)))
    for name in MAPS:
        assert found.cases[0].maps[name].ncc == pytest.approx(comparison.maps[name].ncc, abs=0.002)
    assert any("128×128×4 voxels of 1.6×1.6×10 mm: averaged over voxels" in remark for remark in found.cases[0].remarks)


def test_a_reference_on_a_coarser_grid_is_interpolated_and_that_is_said(runs, tmp_path, comparison):
    def coarser(image):
        grid = image.geometry
        size, spacing = (grid.size[0] // 2, grid.size[1] // 2, grid.size[2]), np.asarray(grid.spacing_mm) * (2, 2, 1)
        origin = np.asarray(grid.origin_mm) + grid.axes @ (np.asarray(grid.spacing_mm) * (0.5, 0.5, 0))
        coarse = Geometry(size, tuple(spacing.tolist()), tuple(origin.tolist()), grid.direction)
        z, y, x = image.values.shape
        means = np.nan_to_num(image.values).reshape(z, y // 2, 2, x // 2, 2).mean(axis=(2, 4))
        return Image(means.astype(np.float32), coarse, image.unit)

    found = compared(runs / "ours", maps_in(tmp_path / "coarse", source=runs / "other", **dict.fromkeys(MAPS, coarser)))
    case = found.cases[0]
    assert case.maps["tmax"].coverage > 0.95
    assert case.maps["tmax"].ncc == pytest.approx(comparison.maps["tmax"].ncc, abs=0.1)
    said = "Reference on another grid, 32×32×4 voxels of 6.4×6.4×10 mm: interpolated linearly."
    assert any(remark.endswith(said) for remark in case.remarks)


def test_averaging_keeps_the_mean_of_noise_and_lowers_its_spread():
    coarse = Geometry((10, 10, 4), (2.0, 2.0, 8.0), (1.0, 1.0, 4.0))
    fine = Geometry((40, 40, 16), (0.5, 0.5, 2.0), (0.25, 0.25, 1.0))
    noise = np.random.default_rng(0).normal(5.0, 1.0, fine.shape)
    found = resampled(Image(noise, fine), coarse).values
    blocks = noise.reshape(4, 4, 10, 4, 10, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(found, blocks, rtol=1e-6)


def test_averaging_is_along_the_axes_of_the_patient_however_the_finer_image_is_stored():
    """Its x runs along y, in steps of 0.5 mm; the other way it has those of the map."""
    grid = Geometry((5, 6, 2), (2.0, 2.0, 5.0), (1.0, 1.0, 0.0))
    fine = Geometry((24, 5, 2), (0.5, 2.0, 5.0), (1.0, 0.25, 0.0), (0, 1, 0, 1, 0, 0, 0, 0, 1))
    noise = np.random.default_rng(0).normal(5.0, 1.0, fine.shape)
    blocks = noise.reshape(2, 5, 6, 4).mean(axis=3).transpose(0, 2, 1)
    np.testing.assert_allclose(resampled(Image(noise, fine), grid).values, blocks, rtol=1e-6)


@pytest.mark.parametrize(("shift", "known"), [(0.5, 5), (0.55, 4), (0.6, 4)])
def test_a_voxel_has_a_value_from_halfway_to_one_on(shift, known):
    values = np.where(np.arange(10) < 5, 3.0, np.nan) * np.ones((2, 4, 1))
    grid = Geometry((10, 4, 2), (1.0, 1.0, 5.0))
    found = resampled(Image(values, grid), replace(grid, origin_mm=(shift, 0.0, 0.0))).values
    assert resampled(Image(values, grid, "s"), grid).unit == "s"
    assert np.isfinite(found).sum(axis=2).tolist() == [[known] * 4] * 2
    np.testing.assert_allclose(found[np.isfinite(found)], 3.0)


def test_a_map_with_few_values_does_not_make_its_reference_doubtful():
    """Coverage is of the mask, doubts are about what the map has."""
    grid = Geometry((10, 8, 2), (1.0, 1.0, 5.0))
    few = Image(np.where(np.arange(10) < 3, 3.0, np.nan) * np.ones(grid.shape), grid)
    everywhere, ones = Image(np.full(grid.shape, 2.0), grid), Image(np.ones(grid.shape, dtype=bool), grid)
    pair = pair_up(few, everywhere, ones)
    assert pair.coverage == pytest.approx(0.3) and pair.remarks == ()
    (doubt,) = pair_up(everywhere, few, ones).remarks
    assert doubt.startswith("The reference has values in 30 % of the voxels")


def test_maps_in_one_place_with_values_in_different_voxels_are_not_said_to_be_empty():
    grid = Geometry((10, 8, 2), (1.0, 1.0, 5.0))
    left, right = (
        Image(np.where((np.arange(10) < 5) == one, 3.0, np.nan) * np.ones(grid.shape), grid) for one in (True, False)
    )
    with pytest.raises(InputError, match="that share voxels are needed; found none in common") as error:
        pair_up(left, right)
    assert type(error.value) is InputError


@pytest.mark.parametrize(("pixel_mm", "points"), [(0.7, 1), (1.4, 1), (1.5, 2), (2.4, 2), (2.6, 3)])
def test_a_voxel_is_averaged_from_one_and_a_half_of_those_of_the_image_on(pixel_mm, points):
    """Along x, over points that lie evenly in it: of a curved row the mean of those interpolated there."""
    row, coarse = Geometry((30, 2, 1), (1.0, 1.0, 5.0)), Geometry((5, 2, 1), (pixel_mm, 1.0, 5.0), (10.0, 0.0, 0.0))
    squares = np.arange(30.0) ** 2
    within = 10.0 + pixel_mm * (np.arange(5)[:, None] + (np.arange(points) + 0.5) / points - 0.5)
    found = resampled(Image(np.broadcast_to(squares, row.shape).copy(), row), coarse).values[0, 0]
    np.testing.assert_allclose(found, np.interp(within, np.arange(30.0), squares).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("turn", [np.eye(3), np.diag((-1.0, 1.0, 1.0)), np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])])
def test_averaging_does_not_shift(turn):
    coarse = Geometry((12, 9, 3), (3.0, 3.0, 6.0), (-17.0, -12.0, -6.0))
    size, spacing = (60, 60, 20), (0.75, 0.75, 1.5)
    origin = -turn @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    fine = Geometry(size, spacing, tuple(origin.tolist()), tuple(turn.ravel().tolist()))

    def linear(grid):
        index = np.moveaxis(np.indices(grid.shape), 0, -1)[..., ::-1]
        return 100.0 + (np.asarray(grid.origin_mm) + (index * grid.spacing_mm) @ grid.axes.T) @ (0.7, -0.4, 0.2)

    found = resampled(Image(linear(fine), fine), coarse).values
    inside = np.isfinite(found)
    assert inside.mean() > 0.6
    np.testing.assert_allclose(found[inside], linear(coarse)[inside], atol=0.5)
    inner = found[1, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, linear(coarse)[1, 2:-2, 2:-2], atol=1e-6)


def turned(degrees):
    """Axes turned about z, then tilted about x."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


@pytest.mark.parametrize("flipped", [False, True])
def test_averaging_is_over_the_voxels_of_a_tilted_slab(flipped):
    """The finer image lies along its axes, or along them with x reversed."""
    axes, spacing = turned(20.0), np.array([0.5, 0.5, 2.0])
    coarse = Geometry((7, 6, 3), (2.0, 2.0, 8.0), (-5.0, 3.0, 2.0), tuple(axes.ravel().tolist()))
    corner = np.asarray(coarse.origin_mm) - axes @ (1.5 * spacing)
    turn = np.diag((-1.0, 1.0, 1.0)) if flipped else np.eye(3)
    first = corner + axes[:, 0] * (27 * 0.5 * flipped)
    fine = Geometry((28, 24, 12), tuple(spacing.tolist()), tuple(first.tolist()), tuple((axes @ turn).ravel().tolist()))
    noise = np.random.default_rng(0).normal(5.0, 1.0, fine.shape)
    blocks = noise[..., :: -1 if flipped else 1].reshape(3, 4, 6, 4, 7, 4).mean(axis=(1, 3, 5))
    found = resampled(Image(noise, fine, "s"), coarse)
    np.testing.assert_allclose(found.values, blocks, rtol=1e-6)
    assert found.unit == "s"


@pytest.mark.parametrize(
    ("pixel_mm", "said"), [(1.4, "interpolated linearly"), (2.2, "averaged over voxels of 2.2×2.2×5")]
)
def test_a_voxel_is_measured_along_the_axes_of_a_turned_image(pixel_mm, said):
    """By 45° its sides are 0.7 of their length along either axis, not 1.4 together."""
    c = np.sqrt(0.5)
    target = Geometry((4, 4, 2), (pixel_mm, pixel_mm, 5.0), direction=(c, -c, 0, c, c, 0, 0, 0, 1))
    assert said in describe_resampling(Geometry((8, 8, 2), (1.0, 1.0, 5.0)), target)


@pytest.mark.parametrize(("shift", "inside"), [(0.4, 5), (0.6, 4)])
def test_a_mask_on_another_grid_has_the_voxels_that_lie_in_it_by_half(shift, inside):
    grid = Geometry((10, 4, 2), (1.0, 1.0, 5.0))
    mask = Image(np.broadcast_to(np.arange(10) < 5, grid.shape).copy(), grid)
    found = mask_on(mask, replace(grid, origin_mm=(shift, 0.0, 0.0)))
    assert found.sum(axis=2).tolist() == [[inside] * 4] * 2


def test_infinite_voxels_of_another_grid_are_told_of_wherever_they_enter():
    grid = Geometry((10, 8, 2), (1.0, 1.0, 5.0))
    values = np.full(grid.shape, 5.0)
    values[0, 4, 4] = -np.inf
    moved_a_little = replace(grid, origin_mm=(0.3, 0.0, 0.0))
    remarks = pair_up(Image(np.ones(grid.shape), grid), Image(values, moved_a_little)).remarks
    assert remarks[0].startswith("The reference is infinite in 2 voxels of those to compare")


def test_a_map_and_a_reference_in_different_places_are_named_in_this_order():
    here = Geometry((10, 8, 2), (1.0, 1.0, 5.0))
    there = Geometry((6, 5, 2), (1.0, 1.0, 5.0), (500.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"none in common between 10×8×2 .* and 6×5×2 "):
        pair_up(*(Image(np.ones(grid.shape), grid) for grid in (here, there)))


def test_a_reference_somewhere_else_is_refused(runs, tmp_path, capsys):
    far = maps_in(
        tmp_path / "far", source=runs / "other", **dict.fromkeys(MAPS, lambda im: moved(im, origin_mm=(9e3, 0, 0)))
    )
    message = refused([runs / "ours", far, "-o", tmp_path / "out"], capsys)
    assert (
        "Case sub-01_ses-01, CBF: Comparison: a map and a reference that share voxels of the mask are needed" in message
    )
    assert not (tmp_path / "out").exists()


def test_a_reference_that_does_not_say_where_it_lies_is_doubted(runs, tmp_path):
    """Neither sform nor qform: ITK puts its first voxel at 0 mm, in the middle of this brain."""
    import nibabel

    everywhere = dict.fromkeys(MAPS, lambda im: replace(im, values=np.nan_to_num(im.values) + 1))
    away = maps_in(tmp_path / "x", source=runs / "other", **everywhere)
    for file in away.glob("*.nii.gz"):
        image = nibabel.load(file)
        image.header.set_sform(None, 0)
        image.header.set_qform(None, 0)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), None, image.header), file)
    case = compared(runs / "ours", away).cases[0]
    assert case.maps["cbf"].coverage < 0.5
    assert any(
        one.startswith("CBF, CBV, MTT, Tmax: Reference does not say where it lies: its axes") for one in case.remarks
    )
    covered = re.compile(
        r"CBF.*: The reference has values in \d\d? % of the voxels to compare: does it lie where the map does\?"
    )
    assert any(map(covered.fullmatch, case.remarks))
    assert any("does not say where it lies" in one for one in read_beside(away, "x").remarks)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_references_without_values_are_refused_by_name_not_for_their_place(runs, tmp_path, capsys, value):
    """They lie on the same grid, so to speak of places would mislead."""
    nothing = maps_in(
        tmp_path / "x", source=runs / "other", **dict.fromkeys(MAPS, lambda im: replace(im, values=0 * im.values))
    )
    for file in nothing.glob("*.nii.gz"):
        image = read_image(file)
        write_image(replace(image, values=np.full_like(image.values, value)), file, missing=float("nan"))
    message = refused([runs / "ours", nothing, "-o", tmp_path / "out"], capsys)
    assert "Case sub-01_ses-01, CBF: Reference: values in voxels of the mask are needed; found none" in message
    assert "Export this map again, or leave it out." in message
    assert "in common" not in message
    assert not (tmp_path / "out").exists()


def test_one_reference_without_values_does_not_refuse_the_others(runs, tmp_path, comparison):
    empty = maps_in(
        tmp_path / "x", source=runs / "other", cbv=lambda im: replace(im, values=np.full_like(im.values, np.nan))
    )
    case = compared(runs / "ours", empty).cases[0]
    assert list(case.maps) == ["cbf", "mtt", "tmax"]
    assert "CBV: Not compared: the reference has no value where the run has" in "".join(case.remarks)
    assert case.maps["cbf"].ncc == pytest.approx(comparison.maps["cbf"].ncc, rel=0.01)
    assert any("need CBV in both; only Tmax is compared" in one for one in case.findings.remarks)


def test_infinite_values_of_a_reference_are_left_out_and_counted(runs, tmp_path):
    """Where another program found no time, it is just the late tissue that has none."""

    def endless(image):
        return replace(image, values=np.where(image.values > 6.0, np.inf, image.values).astype(np.float32))

    cut = maps_in(tmp_path / "x", source=runs / "other", tmax=endless, cbf=None, cbv=None, mtt=None)
    case = compared(runs / "ours", cut).cases[0]
    lost = np.isinf(read_image(cut / "x_tmax.nii.gz").values) & (
        read_image(runs / "ours" / "sub-01_ses-01_brain_mask.nii.gz").values > 0
    )
    assert lost.sum() > 100
    assert any(one.startswith(f"Tmax: The reference is infinite in {lost.sum()} voxels") for one in case.remarks)


def test_a_map_without_values_is_refused_as_such():
    grid = Geometry((8, 8, 2), (1.0, 1.0, 5.0))
    some, none = Image(np.ones(grid.shape), grid), Image(np.full(grid.shape, np.nan), grid)
    with pytest.raises(InputError, match=r"^Map: values in voxels are needed; found none.*Choose another map\."):
        pair_up(none, some)
