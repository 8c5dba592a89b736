"""The filter that keeps edges: whom it averages, the noise it states, and the blood it gives back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from PyPeTLib import Settings, bilateral, likeness, likeness_pass
from PyPeTLib.bilateral import _height, _noise_sd
from PyPeTLib.curves import robust_sd
from PyPeTLib.geometry import Geometry
from PyPeTLib.likeness import neighbours
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import prepare
from PyPeTLib.progress import silent
from PyPeTLib.records import Curves
from PyPeTLib.settings import describe_settings
from PyPeTLib.smoothing import gaussian_in_mask

GRID = Geometry((80, 80, 4), (1.0, 1.0, 6.0))
EVERYWHERE = np.ones(GRID.shape, dtype=bool)
#: Two components with blood in them, and one in which it comes and goes.
BASIS = np.eye(3, 30, dtype=np.float32) + np.float32([[0.2], [0.1], [0.0]])


def smoothed(rows, noise, **chosen):
    curves = Curves(rows.astype(np.float32), BASIS, noise.astype(np.float32).ravel(), EVERYWHERE)
    return bilateral.bilateral(curves, GRID, Settings(**chosen), silent)


def lesion_rows(share, sd, seed=0):
    """A ball of 14 mm that holds a share of the blood around it, and the noise; shapes (voxel, 3) and (voxel,)."""
    z, y, x = np.indices(GRID.shape) * np.reshape(GRID.spacing_zyx_mm, (3, 1, 1, 1))
    ball = np.sqrt((z - 9.0) ** 2 + (y - 40.0) ** 2 + (x - 40.0) ** 2) < 7.0
    rows = np.where(ball.ravel(), share, 1.0)[:, None] * np.float32([20.0, 10.0, 5.0])
    noise = np.random.default_rng(seed).normal(0.0, sd, (*rows.shape[:1], 4))
    return ball.ravel(), rows + noise[:, :3], noise[:, 3]


def test_what_is_alike_is_averaged_by_a_gaussian_of_its_width_in_mm():
    """Where all guides agree, a point spreads as a Gaussian cut at 2.5 SD, of 0.93 of its SD."""
    grid = Geometry((61, 61, 1), (2.0, 2.0, 8.0))
    point = np.zeros((1, *grid.shape), dtype=np.float32)
    point[0, 0, 30, 30] = 1.0
    alike = neighbours(np.zeros_like(point), np.ones(grid.shape, dtype=bool), grid, 4.0)
    found, place = alike.both(point)[1][0, 0], 2.0 * (np.arange(61) - 30)
    assert found.sum() == pytest.approx(1.0, abs=1e-3)
    assert np.sqrt((found.sum(axis=0) * place**2).sum()) == pytest.approx(0.93 * 4.0, rel=0.03)


@pytest.mark.parametrize("noise_hu", [0.0, 6.0])
def test_a_kernel_that_does_not_reach_the_next_voxel_averages_nothing(noise_hu):
    """At the low end of the setting's range: curves, their noise and the resolution stay those of the voxels."""
    info = next(one for one in describe_settings() if one.name == "bilateral_sigma_mm")
    _, rows, noise = lesion_rows(0.5, noise_hu)
    found = smoothed(rows, noise, bilateral_sigma_mm=info.low)
    np.testing.assert_array_equal(found.coefficients, rows.astype(np.float32))
    np.testing.assert_allclose(found.sd, noise_hu, rtol=0.1)
    np.testing.assert_array_equal(found.mixing, 0.0)
    assert found.resolution_mm == GRID.spacing_mm[0]


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [((2, 20, 20), (2.0, 2.0, 5.0)), ((5, 20, 20), (2.0, 2.0, 2.5)), ((2, 20, 4), (2.0, 2.0, 6.0))],
)
def test_a_kernel_may_reach_beyond_a_thin_slab_or_a_narrow_mask(shape, spacing_mm):
    """It averages there what it would in a large grid of which no more is brain."""
    middle = tuple(slice(15, 15 + length) for length in shape)
    large = np.zeros((40, 60, 60), dtype=bool)
    large[middle] = True
    rows = np.zeros((2, *large.shape), dtype=np.float32)
    rows[:, large] = np.random.default_rng(4).normal(size=(2, large.sum()))
    found = []
    for mask, own in ((large, rows), (np.ones(shape, dtype=bool), rows[(slice(None), *middle)])):
        grid = Geometry(mask.shape[::-1], spacing_mm)
        found.append(neighbours(0.0 * own, mask, grid, 7.0).both(own)[1])
    np.testing.assert_allclose(found[1], found[0][(slice(None), *middle)], atol=1e-5)


def test_far_neighbours_alone_average_as_wide():
    grid = Geometry((61, 61, 1), (2.0, 2.0, 8.0))
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(1, *grid.shape)), (0, 0, 4, 4)).astype(np.float32)
    alike = neighbours(np.zeros_like(smooth), np.ones(grid.shape, dtype=bool), grid, 8.0)
    both, wide = alike.both(smooth)[1], alike.wide(smooth)
    inner = (0, 0, slice(15, -15), slice(15, -15))
    assert np.corrcoef(both[inner].ravel(), wide[inner].ravel())[0, 1] > 0.95
    assert wide[inner].std() < 0.7 * smooth[inner].std()


#: Pixels so small that close neighbours are averaged in several passes.
SMALL = Geometry((140, 140, 3), (0.45, 0.45, 2.0))


def test_close_neighbours_of_small_pixels_are_averaged_in_passes():
    """As wide as large ones in one: those across slices first, then three by three, then five by five of these."""
    widths = []
    for pixels, pixel_mm, pairs in ((161, 0.43, [1, 4, 12]), (79, 0.88, [73])):
        grid = Geometry((pixels, pixels, 9), (pixel_mm, pixel_mm, 2.0))
        point, middle = np.zeros((1, *grid.shape), dtype=np.float32), pixels // 2
        point[0, 4, middle, middle] = 1.0
        alike = neighbours(np.zeros_like(point), np.ones(grid.shape, dtype=bool), grid, 7.0)
        assert [len(offsets) for offsets in alike.close] == pairs
        near, far = (image[0] for image in alike.both(point)[:2])
        assert near[near > 0.5 * near.max()].size == np.prod([1 + 2 * several for several in pairs])
        place = pixel_mm * (np.arange(pixels) - middle)
        widths.append(np.sqrt((far.sum(axis=(0, 1)) * place**2).sum() / far.sum()))
    assert widths[0] == pytest.approx(widths[1], rel=0.03)


def test_passes_are_no_stricter_than_one(monkeypatch):
    """Each compares what the one before made of the guide: its noise, in which neighbours differ, has become less."""
    noisy = gaussian_filter(np.random.default_rng(0).normal(size=(1, *SMALL.shape)), (0, 0, 1, 1))
    noisy *= 0.7 / noisy.std()
    values = np.random.default_rng(1).normal(size=(1, *SMALL.shape)).astype(np.float32)

    def averaged():
        alike = neighbours(noisy.astype(np.float32), np.ones(SMALL.shape, dtype=bool), SMALL, 7.0)
        return len(alike.close), 1.0 / np.median(alike.both(values)[2][1])

    passes, in_passes = averaged()
    monkeypatch.setattr(likeness, "MOST_PAIRS", 10**4)
    one, at_once = averaged()
    assert passes > one == 1
    assert in_passes > 0.85 * at_once


def test_passes_keep_edges():
    values = np.where(np.arange(140) < 70, 1.0, 5.0) * np.ones((1, *SMALL.shape))
    alike = neighbours(values.astype(np.float32), np.ones(SMALL.shape, dtype=bool), SMALL, 7.0)
    assert len(alike.close) > 1
    for found in alike.both(values.astype(np.float32))[:2]:
        np.testing.assert_allclose(found, values, rtol=1e-5)


def test_weights_of_far_neighbours_are_calculated_once():
    """Averages with them are the same before and after; those of close ones are not kept."""
    values = np.random.default_rng(0).normal(size=(2, *GRID.shape)).astype(np.float32)
    alike = neighbours(values[:1].copy(), EVERYWHERE, GRID, 7.0)
    assert not alike.kept
    wide = alike.wide(values)
    assert set(alike.kept) == {shift for shift, _ in alike.far}
    np.testing.assert_array_equal(alike.wide(values), wide)
    fresh = neighbours(values[:1], EVERYWHERE, GRID, 7.0)
    for found, expected in zip(alike.both(values)[:2], fresh.both(values)[:2], strict=True):
        np.testing.assert_array_equal(found, expected)
    alike.guide[:] = 0.0  # nothing is told apart any more, but far neighbours are those that were
    np.testing.assert_array_equal(alike.wide(values), wide)
    assert np.abs(alike.both(values)[0] - fresh.both(values)[0]).max() > 0.1


def test_weights_of_a_large_grid_are_not_kept(monkeypatch):
    values = np.random.default_rng(0).normal(size=(2, *GRID.shape)).astype(np.float32)
    kept, not_kept = (neighbours(values[:1], EVERYWHERE, GRID, 7.0) for _ in range(2))
    needed = 4 * len(kept.far) * EVERYWHERE.size
    monkeypatch.setattr(likeness_pass, "MOST_KEPT", needed)
    expected = kept.wide(values)
    monkeypatch.setattr(likeness_pass, "MOST_KEPT", needed - 1)
    np.testing.assert_array_equal(not_kept.wide(values), expected)
    assert kept.kept and not not_kept.kept


def test_noise_that_shrinks_faster_lets_as_many_be_averaged():
    """Both guides tell curves apart by their own noise: of that of backprojection less is left, of no less voxels."""
    found = {}
    for texture in ("smooth", "backprojection"):
        scan = HeadOptions(size=(128, 128, 4), spacing_mm=(1.5, 1.5, 8.0), noise_texture=texture, seed=3)
        found[texture] = prepare(head_phantom(scan).series, Settings()).curves
    smooth, filtered = found["smooth"], found["backprojection"]
    assert np.median(filtered.sd) < 0.9 * np.median(smooth.sd)
    assert filtered.resolution_mm > 0.85 * smooth.resolution_mm


def test_neighbours_that_the_guide_tells_apart_are_not_averaged():
    values = np.where(np.arange(80) < 40, 1.0, 5.0) * np.ones((1, *GRID.shape))
    alike = neighbours(values.astype(np.float32), EVERYWHERE, GRID, 5.0)
    for found in (alike.both(values.astype(np.float32))[1], alike.wide(values.astype(np.float32))):
        np.testing.assert_allclose(found, values, rtol=1e-5)


@pytest.mark.parametrize("correlated", [False, True])
def test_noise_is_stated_for_every_degree_of_averaging(correlated):
    """Half of the voxels are means, half are left alone: what noise of neighbours has in common counts in the first."""
    noise = np.random.default_rng(0).normal(size=(200, 200))
    noise = gaussian_filter(noise, 0.8) if correlated else noise
    noise *= 6.0 / noise.std()
    mean = gaussian_filter(noise, 3.0)[:, :100]  # in each direction the squares of its weights sum to 1/(2√π·3)
    variance = np.concatenate([np.full(mean.size, (1.0 / (6.0 * np.sqrt(np.pi))) ** 2), np.ones(mean.size)])
    variance *= np.random.default_rng(1).uniform(0.99, 1.01, variance.size)  # so that classes are not regions
    image = np.concatenate([mean.ravel(), noise[:, 100:].ravel()])
    stated = _noise_sd(variance.astype(np.float32), image.astype(np.float32))
    for half in (slice(mean.size), slice(mean.size, None)):
        assert np.median(stated[half]) == pytest.approx(image[half].std(), rel=0.1)


def test_noise_of_few_voxels_is_one_class():
    noise = np.random.default_rng(0).normal(0.0, 3.0, 400).astype(np.float32)
    stated = _noise_sd(np.linspace(0.5, 1.0, 400, dtype=np.float32), noise)
    assert np.median(stated) == pytest.approx(3.0, rel=0.15)
    assert np.ptp(stated / np.sqrt(np.linspace(0.5, 1.0, 400))) < 1e-5


def test_blood_that_averaging_mixed_is_given_back(monkeypatch):
    """A ball of half the blood in much noise loses a fifth of what it had too much, and not more than all."""
    excess = {}
    for returned in (0.0, bilateral.RETURNED):
        monkeypatch.setattr(bilateral, "RETURNED", returned)
        found = []
        for seed in range(6):
            ball, rows, noise = lesion_rows(0.5, 16.0, seed)
            found.append(smoothed(rows, noise).coefficients[ball, 0])
        excess[returned] = np.mean(found) / (0.5 * 20.0) - 1.0
    assert 0.0 < excess[bilateral.RETURNED] < 0.85 * excess[0.0]


def test_blood_given_back_leaves_the_timing_alone(monkeypatch):
    """Curves become higher or lower, by at most a half."""
    ball, rows, noise = lesion_rows(0.33, 8.0)
    after = smoothed(rows, noise)
    monkeypatch.setattr(bilateral, "RETURNED", 0.0)
    before = smoothed(rows, noise)
    change = after.coefficients / before.coefficients
    np.testing.assert_allclose(change, change[:, :1] * np.ones(3), rtol=1e-3)
    assert 0.5 - 1e-4 <= change[:, 0].min() < change[ball, 0].mean() < 1.0 < change[:, 0].max() <= 1.5 + 1e-4
    assert (after.mixing[ball] > before.mixing[ball]).all()


def test_without_noise_nothing_is_mixed_nor_given_back():
    _, rows, noise = lesion_rows(0.0, 0.0)
    found = smoothed(rows, noise)
    np.testing.assert_allclose(found.coefficients, rows, atol=1e-3)
    assert np.isfinite(found.mixing).all() and np.isfinite(found.sd).all()


def test_height_is_that_of_blood_and_of_the_own_curve():
    """Of a curve twice as high both measures say one whole more; of one at another time only blood does."""
    rows, blood = np.float32([[4.0, 3.0]]), np.float32([1.0, 2.0])
    height = _height(rows, blood, np.zeros(1, dtype=np.float32))
    assert (height * rows).sum() == pytest.approx(1.0, rel=1e-3)
    other = np.float32([3.0, -4.0])  # across the curve, with a blood of −5 for 10
    assert (height * other).sum() == pytest.approx(-0.25, rel=1e-3)


def test_a_curve_below_its_noise_counts_as_high_as_the_noise_is():
    """A length of 5 in a noise of 10, and a blood of 10 in one of 10·√5."""
    rows, blood = np.float32([[4.0, 3.0]]), np.float32([1.0, 2.0])
    height = _height(rows, blood, np.full(1, 10.0, dtype=np.float32))
    assert (height * rows).sum() == pytest.approx(0.5 * (5.0**2 / 10.0**2 + 1.0 / np.sqrt(5.0)), rel=1e-3)


def weight_of(guide):
    """What two voxels count for each other that lie beside one another."""
    pairs = likeness_pass.Pairs(np.float32(guide).reshape(-1, 1, 1, 2), np.ones((1, 1, 2), dtype=bool))
    return float(pairs.weights([((0, 0, 1), 1.0)], progress=silent)[0, 0, 1][0])


@pytest.mark.parametrize("similarity", [2.0, 5.0])
def test_mean_hu_are_alike_within_so_many_times_the_noise_of_a_mean_over_all_frames(similarity):
    """An image of the noise of one component, SD 6 HU: the mean over 30 frames has 6/√30."""
    noise = np.random.default_rng(0).normal(0.0, 6.0, EVERYWHERE.size).astype(np.float32)
    curves = Curves(np.zeros((noise.size, 3), dtype=np.float32), BASIS, noise, EVERYWHERE)
    apart = similarity * 6.0 / np.sqrt(30.0)
    for widths in (0.5, 1.0, 1.5):
        weight = weight_of(np.array([35.0, 35.0 + widths * apart]) * bilateral.scale_of_anatomy(curves, similarity))
        assert weight == pytest.approx(np.exp(-0.25 * widths**4), abs=0.01)


def test_courses_are_alike_within_a_width_and_components_count_as_far_as_they_are_signal():
    width, signal = 8.0, np.array([0.8, 0.2, 0.05])
    scale = bilateral.scale_of_courses(signal, width)
    for differing, share in (([0, 1, 2], 1.0), ([0], 0.8 / 1.05), ([1], 0.2 / 1.05), ([2], 0.05 / 1.05)):
        other = np.where(np.isin(np.arange(3), differing), 1.5 * width, 0.0)
        found = weight_of(np.stack([np.zeros(3), other * scale], axis=1))
        assert found == pytest.approx(np.exp(-0.25 * (1.5**2 * share) ** 2), rel=1e-4), differing


def test_the_second_guide_tells_apart_two_thirds_of_what_the_first_does_in_units_of_their_noise(monkeypatch):
    _, rows, noise = lesion_rows(0.33, 8.0)
    widths, sds, scale, plain = [], [], bilateral.scale_of_courses, bilateral._plain_guide

    def spy(signal, width):
        widths.append(width)
        return scale(signal, width)

    def guide(*given):
        sds.append(robust_sd(plain(*given)[:, -1]))
        return plain(*given)

    monkeypatch.setattr(bilateral, "scale_of_courses", spy)
    monkeypatch.setattr(bilateral, "_plain_guide", guide)
    monkeypatch.setattr(bilateral, "NARROWEST", 0.0)
    averages = []
    both = likeness.Neighbours.both
    monkeypatch.setattr(
        likeness.Neighbours, "both", lambda *given, **how: averages.append(both(*given, **how)) or averages[-1]
    )
    smoothed(rows, noise, bilateral_similarity=4.0)
    sds.append(robust_sd(averages[0][1][-1][EVERYWHERE]))
    assert widths == pytest.approx([4.0 * sds[0], 0.65 * 4.0 * sds[1]], rel=1e-5)


def test_the_first_guide_is_smoothed_by_less_than_half_of_the_kernel():
    """Blood along a line across the slices spreads by 0.45 of 6 mm, but for the cut at 2.5 SD."""
    *_, y, x = np.indices(GRID.shape)
    rows = np.ones((EVERYWHERE.size, 3), dtype=np.float32)
    rows[((y == 40) & (x == 40)).ravel(), 0] = 1.5
    curves = Curves(rows, BASIS, np.zeros(len(rows), dtype=np.float32), EVERYWHERE)
    guide = bilateral._plain_guide(curves, GRID, Settings(bilateral_sigma_mm=6.0), silent)[:, 0]
    spread = np.average((x - 40.0).ravel() ** 2, weights=guide - 1.0)
    assert np.sqrt(spread) == pytest.approx(0.45 * 6.0, rel=0.06)


def unlike(changes, lessened, height=20.0):
    """What `_unlike` tells of changes of three components and of the noise, of curves of one height; on the grid."""
    smooth = np.zeros((EVERYWHERE.size, 4), dtype=np.float32)
    smooth[:, 0] = height
    told = bilateral._unlike(np.float32(changes), np.float32(lessened), smooth, EVERYWHERE, GRID)
    return [one.reshape(GRID.shape) for one in told]


def test_neighbours_that_differ_do_so_along_the_curve_as_a_share_of_its_height_and_across_it_in_hu():
    """Within 15 mm of a line averaging changed 30 % of the height, and one of two other components by 4 HU."""
    *_, y, x = np.indices(GRID.shape)
    away, changes = np.hypot(y - 40, x - 40), np.zeros((4, EVERYWHERE.size))
    changes[:2, (away < 15).ravel()] = [[0.3 * 20.0], [4.0]]
    across, along = unlike(changes, np.ones(EVERYWHERE.size))
    assert across[away < 5].mean() == pytest.approx(4.0**2 / 2.0, rel=0.02)
    assert along[away < 5].mean() == pytest.approx(0.3, rel=0.02)
    assert max(across[away > 35].max(), along[away > 35].max()) < 1e-3


def test_noise_alone_does_not_make_neighbours_unlike():
    """Stronger on one side, less averaged on the other: most of what is left of it over 3 mm is taken off."""
    *_, x = np.indices(GRID.shape)
    lessened = np.where(x < 30, 0.3, 0.9).ravel()
    changes = np.random.default_rng(0).normal(0.0, np.where(x > 50, 8.0, 3.0).ravel() * np.sqrt(lessened), (4, x.size))
    left = gaussian_in_mask(changes.T.astype(np.float32), EVERYWHERE, GRID.spacing_zyx_mm, 3.0)
    across, along = unlike(changes, lessened)
    assert across.mean() < 0.5 * np.mean(left**2)
    assert np.mean((20.0 * along) ** 2) < 0.5 * np.mean(left**2)


def test_components_without_signal_do_not_tell_curves_apart(monkeypatch):
    """Of thirteen components, ten of which are noise, both guides have three."""
    _, rows, noise = lesion_rows(0.33, 4.0)
    more = np.random.default_rng(5).normal(0.0, 4.0, (len(rows), 10))
    values = np.column_stack([more[:, :5], rows, more[:, 5:]]).astype(np.float32)
    curves = Curves(values, np.eye(13, 30, dtype=np.float32), noise.astype(np.float32), EVERYWHERE)
    guides = []

    def spy(guide, *others):
        guides.append(guide)
        return neighbours(guide, *others)

    monkeypatch.setattr(bilateral, "neighbours", spy)
    bilateral.bilateral(curves, GRID, Settings(), silent)
    assert [len(guide) for guide in guides] == [3, 3]
    for guide in guides:  # they are those with signal
        assert np.abs(np.corrcoef(guide.reshape(3, -1))).min() > 0.25


def vessel_rows(bright):
    """Tissue of a third of the blood left of the middle, and in the middle of that a vessel; shape (voxel, 3)."""
    *_, y, x = np.indices(GRID.shape)
    rows = np.where(x < 40, 1 / 3, 1.0)[..., None] * np.float32([20.0, 10.0, 5.0])
    rows[(np.abs(y - 40) < 1) & (np.abs(x - 20) < 1)] *= bright
    return rows.reshape(-1, 3), ((y - 40) ** 2 + (x - 20) ** 2).ravel()


def test_a_vessel_does_not_outshine_what_is_around_in_the_first_guide():
    """Three mm beside it tissue is told from what has a third more blood, however bright the vessel is."""
    noise = np.random.default_rng(1).normal(0.0, 6.0, (EVERYWHERE.size, 4))
    found = {}
    for bright in (1.0, 30.0, 300.0):
        rows, square = vessel_rows(bright)
        curves = Curves((rows + noise[:, :3]).astype(np.float32), BASIS, noise[:, 3].astype(np.float32), EVERYWHERE)
        guide = bilateral._plain_guide(curves, GRID, Settings(), silent)
        found[bright] = guide[(square > 4) & (square < 16), 0].mean()
    assert found[1.0] == pytest.approx(20.0 / 3, rel=0.1)
    assert found[30.0] == pytest.approx(found[300.0], rel=0.01)
    assert found[300.0] < 20.0 * 0.5


def test_no_curve_counts_as_higher_than_twice_the_median_one_in_the_first_guide(monkeypatch):
    """Nor as lower than it is; before the guide is smoothed."""
    monkeypatch.setattr(bilateral, "gaussian_in_mask", lambda rows, *_, **__: rows)
    share = np.ones(EVERYWHERE.size)
    share[:4] = 0.1, 1.9, 2.1, 300.0
    rows = (share[:, None] * np.float32([20.0, 10.0, 5.0])).astype(np.float32)
    curves = Curves(rows, BASIS, np.zeros(len(rows), dtype=np.float32), EVERYWHERE)
    guide = bilateral._plain_guide(curves, GRID, Settings(), silent)
    np.testing.assert_allclose(guide[:5, :3], np.array([0.1, 1.9, 2.0, 2.0, 1.0])[:, None] * rows[-1], rtol=1e-5)


def test_curves_of_which_most_are_nothing_are_smoothed_to_numbers():
    """The median curve is 0 then, and by it a height of 0 was divided."""
    rows = np.zeros((EVERYWHERE.size, 3))
    rows[: len(rows) // 3] = 20.0, 10.0, 5.0
    found = smoothed(rows, np.zeros(len(rows)))
    assert np.isfinite(found.coefficients).all() and np.isfinite(found.sd).all()


def test_a_bright_vessel_does_not_make_the_faint_tissue_beside_it_look_like_other_tissue():
    """To the first guide, 1 to 2 mm beside a vessel 6 mm wide, it is still more like itself than like the rest."""
    *_, y, x = np.indices(GRID.shape)
    away = np.hypot(y - 40, x - 20).ravel() - 3.0
    rows = np.where(x < 40, 1 / 3, 1.0).reshape(-1, 1) * np.float32([20.0, 10.0, 5.0])
    rows[away <= 0] *= 30.0
    noise = np.random.default_rng(1).normal(0.0, 6.0, (EVERYWHERE.size, 4))
    curves = Curves((rows + noise[:, :3]).astype(np.float32), BASIS, noise[:, 3].astype(np.float32), EVERYWHERE)
    guide = bilateral._plain_guide(curves, GRID, Settings(), silent)
    assert guide[(away > 1) & (away < 2), 0].mean() < 0.5 * (20.0 / 3 + 20.0)


def test_mixing_is_that_of_unlike_neighbours_and_of_what_was_given_back(monkeypatch):
    """Two errors of the height that do not know of each other; what changes the timing adds to the noise."""
    _, rows, noise = lesion_rows(0.33, 8.0)
    given = np.linspace(0.0, 0.2, len(rows), dtype=np.float32)
    mixed, stated, told = [], [], bilateral._unlike

    def spy(*parts):
        mixed.append(told(*parts))
        return mixed[-1]

    monkeypatch.setattr(bilateral, "_unlike", spy)
    monkeypatch.setattr(bilateral, "_given_back", lambda *parts: stated.append(parts[3]) or (0.0 * given, given))
    found = smoothed(rows, noise)
    ((across, along),) = mixed
    assert along.max() > 0.05 and across.max() > 0.0
    np.testing.assert_allclose(found.mixing, np.sqrt(along**2 + given**2), rtol=1e-6)
    np.testing.assert_allclose(found.sd, np.sqrt(stated[0] ** 2 + across), rtol=1e-6)


def test_noise_in_more_components_hides_no_edge():
    """With ten components of noise more, what is averaged stays the same."""
    ball, rows, noise = lesion_rows(0.33, 4.0)
    more = np.random.default_rng(5).normal(0.0, 4.0, (len(rows), 10))
    basis = np.eye(13, 30, dtype=np.float32) + np.float32([0.2, 0.1, *[0.0] * 11])[:, None]
    curves = Curves(np.column_stack([rows, more]).astype(np.float32), basis, noise.astype(np.float32), EVERYWHERE)
    few, many = smoothed(rows, noise), bilateral.bilateral(curves, GRID, Settings(), silent)
    assert robust_sd(many.coefficients[:, 0] - few.coefficients[:, 0]) < 0.1 * robust_sd(few.coefficients[~ball, 0])


class Averager:
    """Stands for neighbours whose average is a multiple of what is averaged."""

    def __init__(self, kept):
        self.mask, self.kept, self.columns = EVERYWHERE, kept, []

    def wide(self, values, *, progress):
        self.columns.append(len(values))
        return self.kept * values


def given_back(kept):
    """What is given back to one curve with noise beside it, and all that goes into it."""
    noise = np.random.default_rng(0).normal(0.0, 2.0, EVERYWHERE.size).astype(np.float32)
    rows = np.ones((EVERYWHERE.size, 1), dtype=np.float32) * np.float32([1.0, 20.0, 10.0, 5.0, 1.5])
    basis = np.eye(5, 30, dtype=np.float32) + np.float32(0.1)
    curves = Curves(rows, basis, noise, EVERYWHERE)
    alike, variance = Averager(kept), np.full(EVERYWHERE.size, 0.25, dtype=np.float32)
    smooth = np.column_stack([rows, noise])
    change, uncertain = bilateral._given_back(curves, smooth, variance, _noise_sd(variance, noise), alike, silent)
    return alike, change, uncertain


@pytest.mark.parametrize("kept", [0.9, 0.7])
def test_given_back_is_a_multiple_of_what_averaging_again_would_take_averaged_twice_itself(kept):
    alike, change, _ = given_back(kept)
    np.testing.assert_allclose(change, 3.25 * kept**2 * (1.0 - kept), rtol=1e-3)
    assert alike.columns == [4, 4, 4]  # the three strongest components and the noise


@pytest.mark.parametrize(("kept", "most"), [(-1.0, 0.5), (-0.5, 0.5), (2.0, -0.5)])
def test_given_back_is_at_most_a_half(kept, most):
    np.testing.assert_allclose(given_back(kept)[1], most, rtol=1e-3)


def test_given_back_is_uncertain_by_six_tenths_and_by_the_noise_that_comes_with_it():
    uncertain = given_back(0.7)[2]
    strong, blood = np.float32([[20.0, 10.0, 5.0]]), np.float32([4.0, 4.0, 4.0]) / 30.0  # a mean of 1 + 3 in 30 frames
    signal = 1.0 - 4.0 / np.square(strong[0])  # of the power, what is not noise of 2 HU
    height = _height(strong, (signal * blood).astype(np.float32), np.float32([2.0]))
    change = 3.25 * 0.7**2 * 0.3
    came = (1.0 + change) ** 2 - 1.0  # of the noise's variance, 4 HU²
    expected = np.sqrt((0.6 * change) ** 2 + 4.0 * came * (height**2).sum())
    assert uncertain[0] == pytest.approx(expected, rel=0.05)
