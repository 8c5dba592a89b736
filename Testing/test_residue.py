"""Shape of the residue: pulses against the convolution, recognition, and what the noise of the input does to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.chunks import product
from PyPeTLib.dictionary import (
    DELAYS_S,
    MTTS_S,
    SHAPES,
    Dictionary,
    Grid,
    components_without_mean,
    log_weights,
    middling,
    misfit,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.geometry import Geometry
from PyPeTLib.kinetics import tissue_curves
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import _residue, analyze, prepare
from PyPeTLib.progress import silent
from PyPeTLib.quality_maps import judge_fit, judge_residue
from PyPeTLib.residue import (
    LONGER_TAIL,
    _best_fit,
    _by_arrival,
    _common_change,
    _Fit,
    _peak,
    _sample,
    _taken,
    likeliest_residue,
    pulse_responses,
)
from PyPeTLib.smoothing import averaged_voxels, averaged_width_mm

EVEN = np.arange(0.0, 56.0)
UNEVEN = np.append(np.arange(0.0, 36.0, 1.5), np.arange(36.0, 61.0, 3.0))


def brain(aif, times, as_curves, shape=1.0, noise_hu=0.5, voxels=600, mtts_s=(3.0, 8.0)):
    """Curves of all frames of tissue of every kind; of forty delays, for tissue of one delay is made together."""
    rng = np.random.default_rng(5)
    volume, mtt = rng.uniform(0.02, 0.05, voxels), rng.uniform(*mtts_s, voxels)
    rows = np.empty((voxels, len(times)))
    for k, delay in enumerate(rng.uniform(0.0, 2.0, min(40, voxels))):
        own = np.s_[k::40]
        rows[own] = tissue_curves(aif, times, delays_s=np.array([delay]), mtts_s=mtt[own], shape=shape)[0]
    curves = as_curves(volume[:, None] * rows + rng.normal(0.0, noise_hu, rows.shape))
    return replace(curves, sd=np.full(voxels, noise_hu, np.float32))


@pytest.mark.parametrize("times", [EVEN, UNEVEN])
@pytest.mark.parametrize("delay", [-1.3, 0.0, 2.7])
@pytest.mark.parametrize("shape", SHAPES.values())
def test_pulses_add_up_to_the_curve_of_tissue(bolus, times, delay, shape):
    """The curve of a smooth input is the sum of those of its frames; they are joined by lines here, by cubics there."""
    aif = bolus.aif(times)
    curve = tissue_curves(aif, times, delays_s=np.array([delay]), mtts_s=np.array([5.0]), shape=shape)[0, 0]
    inside = times <= times[-1] + min(delay, 0.0)
    (pulses,) = pulse_responses(times, np.array([delay]), np.array([5.0]), shape, np.eye(times.size)) @ aif
    np.testing.assert_allclose(pulses[inside], curve[inside], atol=0.03 * curve.max())


def test_pulses_of_tissue_that_has_long_been_empty_add_up_too(bolus):
    """After more than forty mean transit times, where the residue is no longer tabulated."""
    aif = bolus.aif(EVEN)
    curve = tissue_curves(aif, EVEN, delays_s=np.zeros(1), mtts_s=np.ones(1), shape=1.0)[0, 0]
    (pulses,) = pulse_responses(EVEN, np.zeros(1), np.ones(1), 1.0, np.eye(EVEN.size)) @ aif
    np.testing.assert_allclose(pulses, curve, atol=0.03 * curve.max())


def test_fit_of_curves_that_are_atoms_is_half_the_square_of_their_height(bolus):
    """And what is usual the geometric mean of their transit times."""
    free = np.eye(EVEN.size) - 1.0 / EVEN.size
    chosen = {"mtts_s": MTTS_S, "delays_s": DELAYS_S, "shape": 1.0, "settings": Settings()}
    single = tissue_dictionary(bolus.aif(EVEN), EVEN, free, **chosen)
    places = [DELAYS_S.size * mtt + 10 for mtt in (6, 8, 16)]
    fits, mtt_s = _best_fit((20.0 * single.directions[:, places].T).astype(np.float32), single)
    np.testing.assert_allclose(fits, 200.0, rtol=2e-3)
    assert mtt_s == pytest.approx(np.cbrt(MTTS_S[6] * MTTS_S[8] * MTTS_S[16]), rel=1e-5)


def test_change_of_the_input_is_that_of_least_squares_against_its_own_noise(bolus, as_curves):
    """Every voxel's misses and the noise of the input, stacked into one system."""
    aif, noise_hu = bolus.aif(EVEN), 3.0
    sample, free = sample_of(brain(0.9 * aif + 3.0 * np.sin(EVEN), EVEN, as_curves, voxels=20))
    chosen = {"mtts_s": MTTS_S, "delays_s": DELAYS_S, "shape": 1.0, "settings": Settings()}
    single = tissue_dictionary(aif, EVEN, free, **chosen)
    weights, _ = log_weights(sample @ single.directions, single)
    rows, wanted = [np.eye(EVEN.size) / noise_hu], [np.zeros(EVEN.size)]
    for voxel, atom in zip(sample.astype(float), weights.argmax(axis=1), strict=True):
        own = single.directions[:, atom].astype(float)
        apart = np.eye(own.size) - np.outer(own, own)
        (seen,) = pulse_responses(EVEN, single.delay_s[[atom]], single.mtt_s[[atom]], 1.0, free)
        rows.append((own @ voxel) / single.lengths[atom] * apart @ seen)
        wanted.append(apart @ voxel)
    expected = np.linalg.lstsq(np.concatenate(rows), np.concatenate(wanted), rcond=None)[0]
    found = _common_change(sample, single, EVEN, free, 1.0, noise_hu)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_noise_is_taken_as_large_as_the_shape_that_fits_best_is_missed_by(bolus, as_curves, monkeypatch):
    """Others miss the curves of a box by more."""
    seen, aif = [], bolus.aif(EVEN)
    monkeypatch.setattr("PyPeTLib.residue._best_fit", lambda rows, _: seen.append(rows) or (np.zeros(len(rows)), 4.5))
    curves = brain(aif, EVEN, as_curves, SHAPES["box"], noise_hu=0.1, voxels=100)
    likeliest_residue(curves, aif, EVEN, aif_noise_hu=0.0, settings=Settings())
    sample, free = sample_of(curves)
    delays_s = usual_delay_s(sample, aif, EVEN, free) + DELAYS_S
    chosen = {"mtts_s": MTTS_S, "delays_s": delays_s, "settings": Settings()}
    box, other = (
        misfit(sample, tissue_dictionary(aif, EVEN, free, shape=one, **chosen)) for one in (SHAPES["box"], 1.0)
    )
    assert other > 1.5 * box
    np.testing.assert_allclose(seen[0] * box, sample, rtol=1e-4)


def test_evidence_is_the_integral_of_the_likelihood_over_the_volume():
    rng = np.random.default_rng(2)
    sample, sets = 9.0 * np.abs(rng.normal(size=(4, 3))), 3.0 * np.abs(rng.normal(size=(2, 2, 5, 3)))
    volumes = np.linspace(0.0, 40.0, 40001)[:, None]
    by_hand = []
    for candidates in sets:
        missed = sample[:, None, None] - volumes * candidates.reshape(-1, 1, 3)  # voxel, candidate, volume, component
        likelihood = np.trapezoid(np.exp(-0.5 * np.sum(missed**2, axis=-1)), volumes[:, 0], axis=-1)
        by_hand.append(np.log(likelihood.sum(axis=1)).mean())
    told = []
    for candidates in sets:
        flat = candidates.reshape(-1, 3)
        lengths = np.linalg.norm(flat, axis=1)
        directions = (flat / lengths[:, None]).T.astype(np.float32)
        times = np.ones(len(lengths))  # the evidence does not ask for them
        grid = Grid((1, *candidates.shape[:2]), 1.0, tuple(range(candidates.shape[1])))
        dictionary = Dictionary(directions, lengths, times, times, -np.log(lengths), (grid,))
        weight, top = log_weights(product(sample.astype(np.float32), dictionary.directions), dictionary)
        told.append(np.mean(np.log(np.exp(weight).sum(axis=1)) + top[:, 0]))
    assert told[0] - told[1] == pytest.approx(by_hand[0] - by_hand[1], rel=1e-3)


@pytest.mark.parametrize("name", ["exponential", "gamma-3", "gamma-10", "box"])
@pytest.mark.parametrize("times", [EVEN, UNEVEN])
def test_shape_of_the_residue_is_that_of_greatest_evidence(bolus, as_curves, name, times):
    aif = bolus.aif(times)
    curves = brain(aif, times, as_curves, SHAPES[name])
    assert likeliest_residue(curves, aif, times, aif_noise_hu=0.0, settings=Settings()).shape == name


@pytest.mark.parametrize("width", [0.90, 0.93])
def test_an_input_that_is_too_narrow_is_not_taken_for_a_sharper_residue(bolus, as_curves, width):
    """Told how far off the input may be, the shape is found; taken as known, the input makes a sharper one fit."""
    aif, middle = bolus.aif(EVEN), 18.0
    curves = brain(aif, EVEN, as_curves)
    narrow = bolus.aif(middle + (EVEN - middle) / width) / width
    off_hu = float(np.sqrt(np.mean((narrow - aif) ** 2)))
    found = [
        likeliest_residue(curves, narrow, EVEN, aif_noise_hu=noise_hu, settings=Settings()).shape
        for noise_hu in (0, off_hu)
    ]
    assert found == ["gamma-1.5", "exponential"]


@pytest.mark.parametrize("name", ["exponential", "gamma-3"])
def test_what_could_be_had_by_changing_the_input_counts_against_a_shape(bolus, as_curves, name):
    """Any shape fits five voxels of one tissue with an input changed to suit; the true one needs no change."""
    aif, shape = bolus.aif(EVEN), SHAPES[name]
    row = 0.04 * tissue_curves(aif, EVEN, delays_s=np.array([1.0]), mtts_s=np.array([5.0]), shape=shape)[0, 0]
    noisy = np.tile(row, (5, 1)) + np.random.default_rng(0).normal(0.0, 0.05, (5, EVEN.size))
    curves = replace(as_curves(noisy), sd=np.full(5, 0.05, np.float32))
    assert likeliest_residue(curves, aif, EVEN, aif_noise_hu=10.0, settings=Settings()).shape == name


@pytest.mark.parametrize("mtts_s", [(1.5, 4.0), (5.0, 13.0)])
@pytest.mark.parametrize("name", ["exponential", "gamma-2", "box"])
@pytest.mark.parametrize("aif_noise_hu", [0.0, 0.3])
def test_shape_is_found_whatever_transit_times_are_usual_in_a_patient(bolus, as_curves, name, mtts_s, aif_noise_hu):
    """Not the shape whose transit times are those that are expected beforehand."""
    aif = bolus.aif(EVEN)
    curves = brain(aif, EVEN, as_curves, SHAPES[name], noise_hu=1.0, voxels=2000, mtts_s=mtts_s)
    assert likeliest_residue(curves, aif, EVEN, aif_noise_hu=aif_noise_hu, settings=Settings()).shape == name


@pytest.fixture
def second_shape(monkeypatch):
    """Let all voxels together find the second shape more probable than the others by a given logarithm."""

    def told(gain, first_mtt_s=4.5, second_mtt_s=4.5):
        of_step = {number: step for step, number in enumerate((SHAPES | LONGER_TAIL).values())}
        asked = []

        def made(*args, shape, **chosen):
            single = tissue_dictionary(*args, shape=shape, **chosen)
            asked.append((single, of_step[shape]))
            return single

        def best_fit(sample, single):
            step = next(step for one, step in asked if one is single)
            total, mtt_s = {0: (0.0, first_mtt_s), 1: (gain, second_mtt_s)}.get(step, (-1e3, 4.5))
            return np.full(len(sample), total / len(sample)), mtt_s

        monkeypatch.setattr("PyPeTLib.residue.tissue_dictionary", made)
        monkeypatch.setattr("PyPeTLib.residue._best_fit", best_fit)
        monkeypatch.setattr("PyPeTLib.residue._common_change", lambda *_: np.zeros(EVEN.size))

    return told


@pytest.mark.parametrize(("gain", "name"), [(9.1, "exponential"), (9.3, "gamma-1.5")])
@pytest.mark.parametrize("noise_hu", [0.0, 1.0])
@pytest.mark.parametrize("voxels", [600, 4000])
def test_an_exponential_stays_unless_another_is_ten_thousand_times_more_probable(
    bolus, as_curves, second_shape, gain, name, noise_hu, voxels
):
    """A logarithm of 9.21, of however many voxels."""
    aif = bolus.aif(EVEN)
    second_shape(gain)
    curves = brain(aif, EVEN, as_curves, voxels=voxels)
    assert likeliest_residue(curves, aif, EVEN, aif_noise_hu=noise_hu, settings=Settings()).shape == name


@pytest.mark.parametrize(("prior", "name"), [("weak", "gamma-1.5"), ("flat", "exponential")])
@pytest.mark.parametrize("mtt_s", [2.34, 8.65])
def test_what_is_usual_in_a_patient_is_expected_near_the_stated_median(
    bolus, as_curves, second_shape, prior, name, mtt_s
):
    """4.5 s; a factor of 1.92 is 4.36 SDs of the logarithm: 9.5 less, more than the 9.21 of an exponential."""
    aif = bolus.aif(EVEN)
    second_shape(0.0, first_mtt_s=mtt_s)
    curves = brain(aif, EVEN, as_curves)
    assert likeliest_residue(curves, aif, EVEN, aif_noise_hu=0.0, settings=Settings(mtt_prior=prior)).shape == name


@pytest.mark.parametrize("noise_hu", [0.0, 1.0])
@pytest.mark.parametrize(("width_mm", "name"), [(1.0, "gamma-1.5"), (8.0, "exponential")])
def test_smoothed_voxels_count_as_the_averages_that_fit_into_the_brain(
    bolus, as_curves, second_shape, noise_hu, width_mm, name
):
    """Of 600 voxels of 1 mm averages over 8 mm leave less than one independent: what all agree about may be noise."""
    aif = bolus.aif(EVEN)
    second_shape(30.0)
    curves = replace(brain(aif, EVEN, as_curves), resolution_mm=width_mm, spacing_zyx_mm=(1.0, 1.0, 1.0))
    assert likeliest_residue(curves, aif, EVEN, aif_noise_hu=noise_hu, settings=Settings()).shape == name


@pytest.mark.parametrize("aif_noise_hu", [0.0, 1.0])
def test_voxels_that_share_their_noise_tell_no_more_than_one_of_them(bolus, as_curves, aif_noise_hu):
    """Neither of the shape nor of the change of the input: into four copies fit as many averages as one is asked by."""
    aif, one_mm = bolus.aif(EVEN), Geometry((1, 1, 1), (1.0, 1.0, 1.0))
    curves = replace(brain(aif, EVEN, as_curves, 1.3, noise_hu=2.0), spacing_zyx_mm=one_mm.spacing_zyx_mm)
    four = replace(
        as_curves(np.repeat(curves.coefficients, 4, axis=0)),
        sd=np.repeat(curves.sd, 4),
        spacing_zyx_mm=one_mm.spacing_zyx_mm,
        resolution_mm=averaged_width_mm(4.0 * 600 / middling(curves.coefficients).size, one_mm),
    )
    alone, copied = (
        likeliest_residue(one, aif, EVEN, aif_noise_hu=aif_noise_hu, settings=Settings()).log_odds
        for one in (curves, four)
    )
    assert copied == pytest.approx(alone, rel=0.02, abs=0.1)


def test_a_voxel_averaged_until_half_of_its_noise_is_left_counts_a_quarter(bolus, as_curves, monkeypatch):
    curves = brain(bolus.aif(EVEN), EVEN, as_curves)
    plain, _, whole = _sample(curves, middling(curves.coefficients), silent)
    monkeypatch.setattr("PyPeTLib.residue.wide_sample", lambda curves, chosen, **_: (curves.coefficients[chosen], 0.5))
    averaged, _, counted = _sample(curves, middling(curves.coefficients), silent)
    assert (whole, counted) == (1.0, 0.25)
    np.testing.assert_allclose(averaged, 2.0 * plain, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_averages_that_fit_into_the_brain_are_as_many_however_the_scan_is_stored(axis):
    spacing = np.roll([8.0, 1.0, 1.0], axis)
    assert averaged_voxels(3.0, spacing) == averaged_voxels(3.0, (8.0, 1.0, 1.0))


def test_noise_that_was_stated_too_small_is_taken_as_large_as_curves_miss_their_best_fits(
    bolus, as_curves, monkeypatch
):
    seen = []
    monkeypatch.setattr("PyPeTLib.residue._best_fit", lambda *both: seen.append(both[0]) or _best_fit(*both))
    aif = bolus.aif(EVEN)
    curves = brain(aif, EVEN, as_curves)
    for sd in (0.5, 0.1):
        stated = replace(curves, sd=np.full_like(curves.sd, sd))
        likeliest_residue(stated, aif, EVEN, aif_noise_hu=0.0, settings=Settings())
    np.testing.assert_allclose(seen[-1], seen[0], rtol=0.03)


@pytest.mark.parametrize("away", [3.0, 9.0])
def test_a_peak_further_away_than_the_neighbours_is_none(away):
    """A ridge of small bend: its paraboloid would rise far beyond the nine values."""
    x, y = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
    ridge = 4.0 - 10.0 * (x - y) ** 2 - 0.01 * (x + y - away) ** 2
    assert _peak(ridge.reshape(9, 1))[0] == ridge.max()


def test_tissue_changes_the_course_of_an_input_and_not_its_size(bolus, as_curves):
    """Every voxel's volume adapts to the input's size, so tissue cannot tell it."""
    aif, width = bolus.aif(EVEN), 0.9
    sample, free = sample_of(brain(aif, EVEN, as_curves))
    narrow = bolus.aif(18.0 + (EVEN - 18.0) / width) / width
    single = tissue_dictionary(narrow, EVEN, free, mtts_s=MTTS_S, delays_s=DELAYS_S, shape=1.0, settings=Settings())
    change = _common_change(sample, single, EVEN, free, 1.0, 20.0)
    assert np.linalg.norm(narrow + change - aif) < np.linalg.norm(narrow - aif)
    assert abs(change.sum()) < 0.015 * aif.sum()


def test_shape_in_heads_does_not_hang_on_the_noise_of_a_few_voxels():
    """In these heads the input is narrower than the truth by chance: flow would be 15 to 20 % too small."""
    grid = {"size": (128, 128, 6), "spacing_mm": (1.5, 1.5, 8.0)}
    heads = [prepare(head_phantom(HeadOptions(seed=seed, **grid)).series) for seed in (24, 26, 27)]
    assert [_residue(head, silent).shape for head in heads] == ["exponential"] * 3


@pytest.mark.parametrize(
    ("shape", "name", "status"),
    [
        (0.7, "exponential", "warn"),
        (0.6, "exponential", "warn"),
        (1.0, "exponential", "pass"),
        (1.5, "gamma-1.5", "pass"),
    ],
)
@pytest.mark.parametrize("times", [EVEN, UNEVEN])
@pytest.mark.parametrize("aif_noise_hu", [0.0, 0.3])
def test_a_tail_longer_than_the_exponential_is_told_and_never_taken(
    bolus, as_curves, shape, name, status, times, aif_noise_hu
):
    """It is the end of the list: no other shape that maps are made with would fit better, and flow is too low."""
    aif = bolus.aif(times)
    curves = brain(aif, times, as_curves, shape, noise_hu=0.4)
    fit = likeliest_residue(curves, aif, times, aif_noise_hu=aif_noise_hu, settings=Settings())
    (check,) = judge_residue(fit)
    assert (fit.shape, check.status) == (name, status)
    assert ("gamma-0.7 is more than 10,000 times as probable" in check.text) == (status == "warn")


@pytest.mark.parametrize(("gain", "tried"), [(-9.1, False), (-9.3, True)])
def test_tails_are_told_where_a_sharper_residue_is_excluded(bolus, as_curves, second_shape, gain, tried):
    aif = bolus.aif(EVEN)
    second_shape(gain)
    fit = likeliest_residue(brain(aif, EVEN, as_curves), aif, EVEN, aif_noise_hu=0.0, settings=Settings())
    assert fit.shape == "exponential" and (set(LONGER_TAIL) <= set(fit.log_odds)) == tried


@pytest.mark.parametrize(
    ("gray", "white", "status"),
    [(1.0, 3.0, "warn"), (3.0, 1.0, "warn"), (1.0, 1.0, "pass"), (2.0, 2.0, "pass"), (3.0, 3.0, "pass")],
)
@pytest.mark.parametrize("aif_noise_hu", [0.0, 1.0])
def test_gray_and_white_matter_of_two_shapes_are_told(bolus, as_curves, gray, white, status, aif_noise_hu):
    """What is bright without contrast is gray matter."""
    aif = bolus.aif(EVEN)
    halves = [brain(aif, EVEN, as_curves, shape, voxels=1200) for shape in (gray, white)]
    whole = as_curves(np.concatenate([half.coefficients for half in halves]))
    anatomy_hu = np.repeat([36.0, 28.0], 1200) + whole.coefficients.mean(axis=1)
    curves = replace(whole, sd=np.full(2400, 0.5, np.float32), anatomy_hu=anatomy_hu.astype(np.float32))
    fit = likeliest_residue(curves, aif, EVEN, aif_noise_hu=aif_noise_hu, settings=Settings())
    (check,) = judge_residue(fit)
    assert check.status == status and ("one shape does not suit it" in check.text) == (status == "warn")
    if status == "warn":
        names = {number: name for name, number in SHAPES.items()}
        assert f"(gray matter) asks for {names[gray]}," in check.text
        assert f"(white matter) for {names[white]}," in check.text


def joined(as_curves, *parts):
    """One brain of parts that lie beside each other."""
    whole = as_curves(np.concatenate([part.coefficients for part in parts]))
    return replace(whole, sd=np.full(len(whole.coefficients), 0.5, np.float32))


def test_a_third_of_the_brain_does_not_decide_for_all_of_it(bolus, as_curves):
    """As a tumour or an old infarct, whose curves are farther from those of the rest than these from the average."""
    aif = bolus.aif(EVEN)
    parts = [brain(aif, EVEN, as_curves, shape, voxels=voxels) for shape, voxels in ((1.0, 800), (3.0, 400))]
    fit = likeliest_residue(joined(as_curves, *parts), aif, EVEN, aif_noise_hu=0.0, settings=Settings())
    assert fit.shape == "exponential"


@pytest.mark.parametrize("voxels", [(900, 700), (700, 900)])
def test_a_dispersed_bolus_on_one_side_is_no_shape_of_the_residue(bolus, as_curves, voxels):
    """Behind a narrow artery it comes later and wider, as if the residue had its maximum later."""
    fine = np.arange(0.0, 56.0, 0.05)
    kernel = np.exp(-fine / 2.5)
    wide = np.interp(EVEN - 1.0, fine, np.convolve(bolus.aif(fine), kernel / kernel.sum())[: fine.size], left=0.0)
    aif = bolus.aif(EVEN)
    sides = [brain(one, EVEN, as_curves, voxels=n) for one, n in zip((aif, wide), voxels, strict=True)]
    fit = likeliest_residue(joined(as_curves, *sides), aif, EVEN, aif_noise_hu=0.0, settings=Settings())
    assert fit.shape == "exponential"


def test_a_shape_that_the_user_chose_stays(tiny_head):
    assert analyze(tiny_head.series, Settings(residue="gamma-2")).maps.residue == "gamma-2"


def test_where_the_late_parts_of_a_brain_gain_clearly_more_the_early_ones_decide():
    """As behind a narrow artery, whose bolus is dispersed; chance differences of parts decide nothing."""
    parts = [np.arange(40 * part, 40 * part + 40) for part in range(16)]
    early, late = parts[:8], parts[8:]
    chance = np.random.default_rng(2).normal(0.0, 0.5, 640)
    usual, dispersed = _Fit(0.0, 4.0, np.zeros(640)), np.where(np.arange(640) < 320, -0.1, 1.0) + chance
    assert _Fit(0.0, 4.0, dispersed).gains_late(usual, early, late)
    assert not _Fit(0.0, 4.0, dispersed).gains_late(usual, late, early)
    for halves in ((early, late), (late, early)):  # one of which is better by chance
        assert not _Fit(0.0, 4.0, 0.5 + chance).gains_late(usual, *halves)
    assert not _Fit(0.0, 4.0, dispersed).gains_late(usual, parts[:1], parts[-1:])
    assert _Fit(0.0, 4.0, dispersed).of_most(usual, early) < 0.0 < _Fit(0.0, 4.0, dispersed).of_most(usual, parts)


@pytest.mark.parametrize(("errors", "clearly"), [(2.9, False), (3.1, True)])
def test_late_parts_gain_clearly_more_from_three_standard_errors_of_both_halves_on(errors, clearly):
    """Means of four parts scatter by an SD of 1 in either half, so their difference by the root of a half."""
    scatter = np.array([-1.0, -0.5, 0.5, 1.0])
    scatter /= scatter.std(ddof=1)
    means = np.concatenate([scatter, scatter + errors * np.sqrt(0.5)])
    parts = [np.arange(40 * part, 40 * part + 40) for part in range(8)]
    usual, one = _Fit(0.0, 4.0, np.zeros(320)), _Fit(0.0, 4.0, np.repeat(means, 40))
    assert one.gains_late(usual, parts[:4], parts[4:]) == clearly


def test_parts_are_ordered_by_the_arrival_of_contrast():
    aif = 300 * (np.arange(50.0) / 8) ** 3 * np.exp(3 - 0.375 * np.arange(50.0))
    free = components_without_mean(np.eye(50, dtype=np.float32))[1]
    delays, mtts = np.arange(0.0, 6.1, 0.5), np.geomspace(2.0, 8.0, 6)
    tissue = tissue_dictionary(aif, np.arange(50.0), free, mtts_s=mtts, delays_s=delays, shape=1.0, settings=Settings())
    parts = [np.flatnonzero(tissue.delay_s == delay_s) for delay_s in (4.0, 1.0, 6.0, 2.0)]
    early, late = _by_arrival(parts, tissue.directions.T, tissue)
    assert [float(tissue.delay_s[part[0]]) for part in (*early, *late)] == [1.0, 2.0, 4.0, 6.0]
    assert (len(early), len(late)) == (2, 2)


@pytest.mark.parametrize(
    ("early_gain", "late_gain", "taken"),
    [
        (0.05, 0.05, "gamma-2"),  # 32 in all
        (0.05, -0.046, "exponential"),  # of most it is more probable, of all it is not
        (-0.02, 0.2, "exponential"),  # of all it is, of those reached early it is not
        (0.01, 0.01, "exponential"),  # 6.4 are less than ten thousand times
    ],
)
def test_another_shape_is_taken_where_all_voxels_and_most_parts_ask_for_it(early_gain, late_gain, taken):
    parts = [np.arange(40 * part, 40 * part + 40) for part in range(16)]
    gains = np.where(np.arange(640) < 360, early_gain, late_gain)
    found = {"exponential": _Fit(0.0, 4.0, np.zeros(640)), "gamma-2": _Fit(0.0, 4.0, gains)}
    assert _taken(found, parts, parts[:8], parts[8:]) == taken


@pytest.mark.parametrize(
    ("box", "slower", "taken"),
    [
        (20.0, 22.9, "box"),  # not twenty times
        (20.0, 23.1, "gamma-10"),
        (23.1, 20.0, "box"),
        (5.0, 20.0, "gamma-10"),
        (9.0, 9.3, "gamma-10"),  # a box is not ten thousand times more probable than an exponential
        (0.0, 8.0, "exponential"),
    ],
)
def test_a_box_stays_one_unless_a_slower_fall_is_twenty_times_more_probable(box, slower, taken):
    parts = [np.arange(40 * part, 40 * part + 40) for part in range(16)]
    gains = {"exponential": 0.0, "gamma-5": 4.0, "gamma-10": slower, "box": box}
    found = {name: _Fit(0.0, 4.0, np.full(640, gain / 640)) for name, gain in gains.items()}
    assert _taken(found, parts, parts[:8], parts[8:]) == taken


def seen(aif, taken_s, told_s, as_curves):
    """Curves of a brain whose frames were taken at some times, as read at others."""
    curves = brain(aif, taken_s, as_curves)
    return likeliest_residue(curves, aif, told_s, aif_noise_hu=0.0, settings=Settings())


def test_curves_that_no_tissue_has_are_told(bolus, as_curves):
    """As of frames that became sparse, and are read as if they had come every second; noise alone is no doubt."""
    taken = np.append(np.arange(0.0, 30.0), np.arange(30.0, 70.0, 4.0))
    aif = bolus.aif(taken) + 0.3 * bolus.aif(taken, onset_s=22.0)
    for told, status in ((taken, "pass"), (np.arange(40.0), "warn")):
        (check,) = judge_fit(seen(aif, taken, told, as_curves))
        assert (check.name, check.status) == ("curve fit", status)
    assert "Check the times and the AIF" in check.text and judge_fit(None) == ()
