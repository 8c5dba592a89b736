"""Deconvolution: identities with explicit matrices, closed forms, convergence, delay, scale, and contracts."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from scipy.linalg import circulant, toeplitz

from PyPeTLib import QualityError, Settings
from PyPeTLib.curves import continuation, peaks
from PyPeTLib.deconvolve import (
    INVERSES,
    MODELS,
    OSCILLATION_CUTOFFS,
    STRENGTHS,
    _squares,
    cross_validated_strength,
    deconvolve,
    inverse,
    oscillation_index,
)
from PyPeTLib.errors import Cancelled
from PyPeTLib.settings import LINEAR, WITH_DELAY, DeconvolutionMethod

METHODS = tuple(INVERSES)
DELAY_INSENSITIVE = ("bSVD", "oSVD", "tikhonov")
FLOAT32 = 1e-4  # relative: 24 bits, a condition number of up to 1000 and sums over 2N samples
BSVD = Settings(method="bSVD")
UNCUT = Settings(method="bSVD", bsvd_cutoff=0.001)
DELAYS_S = np.array([-3.0, -2.3, -1.0, -0.5, 0.0, 0.4, 1.0, 2.5, 4.0, 6.0])


def sampled(made, curve, member=0):
    """The response at the samples, lags −N … N−1."""
    return made.operators[member][made.samples] @ curve


def block_circulant(aif, interval):
    """Wu's matrix: the AIF, zero-padded to 2N, as a circulant, times Δt."""
    return interval * circulant(np.append(aif, np.zeros_like(aif)))


def truncated_pinv(matrix, cutoff):
    left, singular, right = np.linalg.svd(matrix)
    kept = singular >= cutoff * singular[0]
    return (right[kept].T / singular[kept]) @ left[:, kept].T


def from_minus_n(lags):
    """Put the 2N circular lags in the order −N … N−1."""
    return np.fft.fftshift(lags, axes=0)


# --- identities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", [0.005, 0.1, 0.3])
@pytest.mark.parametrize("interval", [0.7, 2.0])
def test_bsvd_is_the_truncated_svd_of_the_block_circulant_matrix(bolus, cutoff, interval):
    times = interval * np.arange(96)  # long enough for all contrast to leave
    aif, tissue = bolus.aif(times, onset_s=5.0), bolus.tissue(times, onset_s=5.0)
    made = inverse(aif, times, settings=Settings(method="bSVD", bsvd_cutoff=cutoff))
    explicit = truncated_pinv(block_circulant(aif, interval), cutoff) @ np.append(tissue, np.zeros_like(tissue))
    np.testing.assert_allclose(sampled(made, tissue), from_minus_n(explicit), atol=FLOAT32 * np.abs(explicit).max())


def test_bsvd_of_a_curve_that_has_not_left_is_that_of_its_continuation(bolus):
    times = np.arange(40.0)
    aif, tissue = bolus.aif(times), bolus.washout(times, mtt_s=20.0)
    made = inverse(aif, times, settings=BSVD)
    explicit = truncated_pinv(circulant(continuation(40) @ aif), 0.1) @ (continuation(40) @ tissue)
    np.testing.assert_allclose(sampled(made, tissue), from_minus_n(explicit), atol=FLOAT32 * np.abs(explicit).max())


@pytest.mark.parametrize("cutoff", [0.02, 0.2, 0.5])
def test_ssvd_is_the_truncated_pseudo_inverse_of_the_toeplitz_matrix(bolus, cutoff):
    times = 1.5 * np.arange(30)
    aif = bolus.aif(times, onset_s=4.0)
    made = inverse(aif, times, settings=Settings(method="sSVD", ssvd_cutoff=cutoff))
    explicit = np.linalg.pinv(1.5 * toeplitz(aif, np.zeros(30)), rcond=cutoff)
    np.testing.assert_allclose(made.operators[0], explicit, atol=FLOAT32 * np.abs(explicit).max())
    np.testing.assert_array_equal(made.lags_s, times)


@pytest.mark.parametrize("strength", [0.05, 0.1, 0.5])
def test_tikhonov_is_the_damped_least_squares_solution(bolus, strength):
    times = 1.5 * np.arange(40)
    aif, tissue = bolus.aif(times), bolus.tissue(times)
    matrix = block_circulant(aif, 1.5)
    damping = strength * np.linalg.norm(matrix, 2)
    explicit = np.linalg.solve(
        matrix.T @ matrix + damping**2 * np.eye(80), matrix.T @ np.append(tissue, np.zeros_like(tissue))
    )
    made = inverse(aif, times, settings=Settings(method="tikhonov", tikhonov_strength=strength))
    np.testing.assert_allclose(sampled(made, tissue), from_minus_n(explicit), atol=FLOAT32 * np.abs(explicit).max())


def test_tikhonov_without_damping_is_bsvd_without_truncation(bolus):
    times = 2.0 * np.arange(40)
    aif = bolus.aif(times)
    undamped = inverse(aif, times, settings=Settings(method="tikhonov", tikhonov_strength=0.001))
    uncut = inverse(aif, times, settings=UNCUT)
    spectrum = np.abs(np.fft.rfft(np.append(aif, np.zeros_like(aif))))
    share = (0.001 * spectrum.max() / spectrum.min()) ** 2  # what damping takes away at most
    scale = np.abs(uncut.operators).max()
    np.testing.assert_allclose(undamped.operators, uncut.operators, atol=max(share, FLOAT32) * scale)


@pytest.mark.parametrize("method", ["bSVD", "tikhonov"])
def test_convolved_and_deconvolved_response_is_the_response(method):
    """On the samples, where nothing is cut, any response comes back: here a random one."""
    times = 2.0 * np.arange(40)
    aif = np.where(times >= 6.0, 300.0 * np.exp(-(times - 6.0) / 3.0), 0.0)  # its spectrum is nowhere below a third
    response = np.zeros(40)
    response[:8] = np.random.default_rng(0).uniform(0.0, 0.01, 8)
    tissue = 2.0 * np.convolve(aif, response)[:40]
    made = inverse(aif, times, settings=UNCUT.changed({"method": method, "tikhonov_strength": 0.001}))
    found = sampled(made, tissue)
    np.testing.assert_allclose(found, np.append(np.zeros(40), response), atol=FLOAT32 * response.max())


@pytest.mark.parametrize("method", ["bSVD", "oSVD"])
@pytest.mark.parametrize("interval", [0.5, 1.41, 3.0])
def test_area_of_the_response_is_mtt_times_flow(bolus, method, interval):
    times = np.arange(0.0, 90.0, interval)
    flow, mtt = 0.012, 5.0
    aif, tissue = bolus.aif(times), bolus.washout(times, flow=flow, mtt_s=mtt)
    made = inverse(aif, times, settings=Settings(method=method))
    for member in range(len(made.operators)):
        assert interval * sampled(made, tissue, member).sum() == pytest.approx(mtt * flow, rel=0.01)


def test_lags_between_the_samples_interpolate_the_response_without_new_frequencies(bolus):
    times = np.arange(50.0)
    made = inverse(bolus.aif(times), times, settings=BSVD)
    response = made.operators[0] @ bolus.tissue(times)
    half = response.size // 4
    spectrum = np.abs(np.fft.rfft(response))
    assert spectrum[half + 1 :].max() < 1e-5 * spectrum.max()
    np.testing.assert_allclose(np.diff(made.lags_s), 0.5)
    assert made.lags_s[made.samples][0] == -50.0


# --- closed forms and convergence -----------------------------------------------------------------------------------


def test_height_and_tmax_converge_with_the_interval(bolus):
    truth = bolus.response(2 * bolus.scale_s)
    errors = []
    for interval in (2.0, 1.0, 0.5):
        times = np.arange(0.0, 60.0, interval)
        made = inverse(bolus.aif(times), times, settings=UNCUT)
        height, place = peaks((made.operators[0] @ bolus.tissue(times))[None])[0]
        tmax = np.interp(place, np.arange(made.lags_s.size), made.lags_s)
        errors.append((abs(height / truth - 1.0), abs(tmax - 2 * bolus.scale_s)))
    coarse, middle, fine = errors
    assert middle[0] < 0.25 * coarse[0] and middle[1] < 0.5 * coarse[1]
    left_out = 0.006  # of the response lies beyond ω_c = 3.7/s: (1 + ω_c²b²)^(−3/2)
    assert fine[0] < left_out and fine[1] < 0.05


@pytest.mark.parametrize("cutoff", [0.3, 0.1, 0.03, 0.01])
@pytest.mark.parametrize("mtt", [3.0, 6.0, 12.0])
def test_bias_of_truncation_is_that_of_the_band_limit(bolus, mtt, cutoff):
    """The AIF's spectrum is (1 + ω²b²)⁻²: it falls to the cutoff at ω_c, and only |ω| < ω_c of the response is left."""
    times = 0.5 * np.arange(400)
    made = inverse(bolus.aif(times), times, settings=Settings(method="bSVD", bsvd_cutoff=cutoff))
    response = made.operators[0] @ bolus.washout(times, flow=1.0, mtt_s=mtt)
    limit = np.sqrt(cutoff**-0.5 - 1.0) / bolus.scale_s
    omega = np.linspace(0.0, limit, 4001)
    lags = np.linspace(0.0, 8.0, 401)
    spectrum = np.exp(1j * omega * lags[:, None]) / (1.0 / mtt + 1j * omega)
    truth = np.trapezoid(spectrum.real, omega, axis=1) / np.pi
    one_bin = 2.0 * np.pi / (2.0 * 200.0) / np.pi / limit  # of the spectrum, as a share of what is left
    assert response.max() == pytest.approx(truth.max(), rel=one_bin + 0.005)
    assert made.lags_s[response.argmax()] == pytest.approx(lags[truth.argmax()], abs=0.25)


# --- oscillation index and oSVD -------------------------------------------------------------------------------------


def test_oscillation_index_is_wus_sum_of_second_differences():
    response = np.random.default_rng(0).normal(size=(5, 30)) + 2.0
    by_hand = [sum(abs(k[i] - 2 * k[i - 1] + k[i - 2]) for i in range(30)) / max(k) / 30 for k in response]  # a circle
    np.testing.assert_allclose(oscillation_index(response), by_hand, rtol=1e-12)


def test_oscillation_index_of_a_constant_is_zero_and_has_no_unit_and_no_place():
    response = np.array([[2.0, 2.0, 2.0, 2.0], [0.0, 1.0, 0.0, 1.0]])
    np.testing.assert_allclose(oscillation_index(response), [0.0, 2.0])
    np.testing.assert_allclose(oscillation_index(np.roll(response, 1, axis=1)), oscillation_index(response))
    np.testing.assert_allclose(oscillation_index(7.0 * response), oscillation_index(response))


def test_osvd_takes_in_each_voxel_the_mildest_cutoff_that_does_not_oscillate(bolus, as_curves):
    times = np.arange(60.0)
    rng = np.random.default_rng(0)
    noise = np.array([[0.0], [0.5], [2.0], [8.0]]) * rng.normal(size=(4, 5, 60)).swapaxes(0, 1).reshape(5, 4, 60)
    rows = (bolus.washout(times, flow=0.01) + noise).reshape(20, 60)
    chosen = Settings(method="oSVD", oscillation_index=0.1)
    response = deconvolve(as_curves(rows), bolus.aif(times), times, settings=chosen)
    made = inverse(bolus.aif(times), times, settings=chosen)
    picks = []
    for row, height, tmax in zip(rows, response.height, response.tmax_s, strict=True):
        family = np.stack([operator @ row for operator in made.operators])
        smooth = oscillation_index(family[:, made.samples]) <= 0.1
        pick = int(smooth.argmax()) if smooth.any() else len(family) - 1
        expected = peaks(family[pick][None])[0]
        assert height == pytest.approx(expected[0], rel=FLOAT32)
        assert tmax == pytest.approx(np.interp(expected[1], np.arange(made.lags_s.size), made.lags_s), abs=0.01)
        picks.append(pick)
    assert len(set(picks)) > 4  # noise made a difference


@pytest.mark.parametrize(("limit", "cutoff"), [(2.0, OSCILLATION_CUTOFFS[0]), (0.001, OSCILLATION_CUTOFFS[-1])])
def test_osvd_with_a_loose_or_strict_limit_is_bsvd_at_its_first_or_last_cutoff(bolus, as_curves, limit, cutoff):
    times = np.arange(60.0)
    curves, aif = as_curves(bolus.washout(times)), bolus.aif(times)
    chosen = deconvolve(curves, aif, times, settings=Settings(method="oSVD", oscillation_index=limit))
    fixed = deconvolve(curves, aif, times, settings=Settings(method="bSVD", bsvd_cutoff=float(cutoff)))
    np.testing.assert_allclose(chosen.height, fixed.height, rtol=FLOAT32)
    np.testing.assert_allclose(chosen.tmax_s, fixed.tmax_s, atol=1e-3)


def test_osvd_cuts_more_where_there_is_more_noise(bolus, as_curves):
    times = np.arange(60.0)
    noise = np.random.default_rng(0).normal(size=(100, 60))
    heights = []
    for sd in (0.1, 6.0):
        curves = as_curves(bolus.washout(times) + sd * noise)
        heights.append(deconvolve(curves, bolus.aif(times), times, settings=Settings(method="oSVD")).height)
    mild = deconvolve(curves, bolus.aif(times), times, settings=Settings(method="bSVD", bsvd_cutoff=0.01))
    assert heights[1].std() < 0.5 * mild.height.std()


# --- delay ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", DELAY_INSENSITIVE)
@pytest.mark.parametrize("interval", [1.0, 2.0])
def test_block_circulant_methods_are_delay_insensitive(bolus, as_curves, method, interval):
    times = np.arange(0.0, 90.0, interval)
    rows = [bolus.washout(times, delay_s=delay) for delay in DELAYS_S]
    chosen = Settings(method=method, tikhonov_choice="fixed")  # without noise the other one is nearly none
    found = deconvolve(as_curves(rows), bolus.aif(times), times, settings=chosen)
    one_step = 0.05 if method == "oSVD" else 0.02  # between two of its cut-offs a voxel may hop
    np.testing.assert_allclose(found.height, found.height[4], rtol=one_step)
    np.testing.assert_allclose(found.tmax_s - found.tmax_s[4], DELAYS_S, atol=0.1 * interval)


def test_ssvd_is_sensitive_to_delay(bolus, as_curves):
    times = np.arange(80.0)
    rows = [bolus.washout(times, delay_s=delay) for delay in (-3.0, 0.0, 6.0)]
    height = deconvolve(as_curves(rows), bolus.aif(times), times, settings=Settings(method="sSVD")).height
    assert np.ptp(height) > 0.05 * height[1]


def test_lags_are_seconds_from_minus_the_scan_to_the_scan(bolus):
    times = 1.41 * np.arange(30)
    lags = inverse(bolus.aif(times), times, settings=BSVD).lags_s
    np.testing.assert_allclose([lags[0], lags[-1]], [-30 * 1.41, 29.5 * 1.41])
    np.testing.assert_allclose(np.diff(lags), 1.41 / 2)


# --- properties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_doubling_the_aif_halves_the_response_and_doubling_the_tissue_doubles_it(bolus, as_curves, method):
    times, chosen = np.arange(60.0), Settings(method=method)
    aif, rows = bolus.aif(times), [bolus.washout(times, mtt_s=mtt) for mtt in (3.0, 5.0, 9.0)]
    base = deconvolve(as_curves(rows), aif, times, settings=chosen)
    richer = deconvolve(as_curves(rows), 2.0 * aif, times, settings=chosen)
    brighter = deconvolve(as_curves(2.0 * np.array(rows)), aif, times, settings=chosen)
    np.testing.assert_allclose(richer.height, 0.5 * base.height, rtol=1e-5)
    np.testing.assert_allclose(brighter.height, 2.0 * base.height, rtol=1e-5)
    np.testing.assert_allclose([richer.tmax_s, brighter.tmax_s], [base.tmax_s] * 2, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_time_zero_does_not_matter_but_its_unit_does(bolus, as_curves, method):
    times, chosen = np.arange(60.0), Settings(method=method)
    curves, aif = as_curves(bolus.washout(times)), bolus.aif(times)
    base = deconvolve(curves, aif, times, settings=chosen)
    later = deconvolve(curves, aif, times + 1000.0, settings=chosen)
    slower = deconvolve(curves, aif, 2.0 * times, settings=chosen)
    np.testing.assert_allclose([later.height, later.tmax_s], [base.height, base.tmax_s], rtol=1e-6)
    np.testing.assert_allclose(slower.height, 0.5 * base.height, rtol=1e-6)
    np.testing.assert_allclose(slower.tmax_s, 2.0 * base.tmax_s, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_voxels_do_not_know_each_other(bolus, as_curves, method):
    times, chosen = np.arange(60.0), Settings(method=method)
    rng = np.random.default_rng(0)
    rows = bolus.washout(times) + rng.normal(0.0, 3.0, (40, 60))
    aif, order = bolus.aif(times), rng.permutation(40)
    whole = deconvolve(as_curves(rows), aif, times, settings=chosen)
    shuffled = deconvolve(as_curves(rows[order]), aif, times, settings=chosen)
    part = deconvolve(as_curves(rows[:17]), aif, times, settings=chosen)
    np.testing.assert_allclose(shuffled.height, whole.height[order], rtol=1e-5)
    np.testing.assert_allclose(shuffled.tmax_s, whole.tmax_s[order], atol=1e-3)
    np.testing.assert_allclose(part.height, whole.height[:17], rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_response_of_components_is_that_of_the_curves_they_make(bolus, as_curves, method):
    times, chosen = np.arange(60.0), Settings(method=method)
    basis = np.stack([bolus.washout(times, mtt_s=mtt, delay_s=mtt / 4) for mtt in (2.0, 5.0, 12.0)]).astype(np.float32)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, (30, 3)).astype(np.float32)
    folded = deconvolve(as_curves(weights, basis), bolus.aif(times), times, settings=chosen)
    plain = deconvolve(as_curves(weights @ basis), bolus.aif(times), times, settings=chosen)
    np.testing.assert_allclose(folded.height, plain.height, rtol=FLOAT32)
    np.testing.assert_allclose(folded.tmax_s, plain.tmax_s, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_float32_and_float64_inputs_agree(bolus, as_curves, method):
    times, chosen = np.arange(60.0), Settings(method=method)
    curves, aif = as_curves(bolus.washout(times)), bolus.aif(times)
    double = deconvolve(curves, aif, times, settings=chosen)
    single = deconvolve(curves, aif.astype(np.float32), times.astype(np.float32), settings=chosen)
    np.testing.assert_allclose(single.height, double.height, rtol=FLOAT32)


def test_inputs_stay_unchanged_and_may_be_read_only(bolus, as_curves):
    times, curves = np.arange(60.0), as_curves(bolus.washout(np.arange(60.0)))
    arrays = [curves.coefficients, curves.basis, bolus.aif(times), times]
    for array in arrays:
        array.flags.writeable = False
    deconvolve(curves, arrays[2], times, settings=Settings(method="oSVD"))


@pytest.mark.parametrize("method", METHODS)
def test_uneven_times_give_the_flow_of_even_ones(bolus, as_curves, method):
    """1.5 s then 3 s, as arterial and venous phases are sampled."""
    chosen = Settings(method=method)
    even = np.arange(0.0, 90.0, 1.5)
    uneven = np.concatenate([np.arange(0.0, 36.0, 1.5), np.arange(36.0, 90.0, 3.0)])
    delays = (0.0, 2.0)
    found = [
        deconvolve(as_curves([bolus.washout(t, delay_s=d) for d in delays]), bolus.aif(t), t, settings=chosen)
        for t in (even, uneven)
    ]
    np.testing.assert_allclose(found[1].height, found[0].height, rtol=0.03)
    np.testing.assert_allclose(found[1].tmax_s, found[0].tmax_s, atol=0.3)


@pytest.mark.parametrize("method", METHODS)
def test_uneven_curves_are_interpolated_linearly_before_they_are_deconvolved(bolus, method):
    chosen = Settings(method=method)
    uneven = np.concatenate([np.arange(0.0, 36.0, 1.5), np.arange(36.0, 90.0, 3.0)])
    even = np.arange(0.0, 87.1, 1.5)
    aif, tissue = bolus.aif(uneven), bolus.washout(uneven)
    made = inverse(aif, uneven, settings=chosen)
    plain = inverse(np.interp(even, uneven, aif), even, settings=chosen)
    expected = plain.operators[0] @ np.interp(even, uneven, tissue)
    np.testing.assert_allclose(made.operators[0] @ tissue, expected, atol=FLOAT32 * expected.max())
    np.testing.assert_allclose(made.lags_s, plain.lags_s)


@pytest.mark.parametrize("method", METHODS)
def test_response_is_signed(bolus, as_curves, method):
    """Curves that fall below the baseline have no flow: their trough is not turned into a peak."""
    times = np.arange(60.0)
    rows = [bolus.washout(times), -bolus.washout(times)]
    found = deconvolve(as_curves(rows), bolus.aif(times), times, settings=Settings(method=method))
    assert found.height[1] < 0.5 * found.height[0]


# --- contracts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aif", [np.zeros(20), -np.ones(20), np.full(20, np.nan), np.append(np.ones(19), np.inf)])
@pytest.mark.parametrize("method", METHODS)
def test_an_aif_without_signal_is_refused(aif, method):
    with pytest.raises(QualityError, match=r"Deconvolution: a positive, finite arterial input is needed.*AIF mask"):
        inverse(aif, np.arange(20.0), settings=Settings(method=method))


@pytest.mark.parametrize("method", ["bayesian", "nlr"])
def test_tissue_that_contrast_cannot_reach_before_the_scan_ends_is_not_found(bolus, as_curves, method):
    """An input of exactly 0 until 30 s: of tissue 14 s later a scan of 44 s shows nothing but the rounding of sums."""
    times = np.arange(45.0)
    rows = bolus.tissue(times, np.linspace(0.02, 0.06, 300)[:, None], onset_s=30.0)
    noise = np.random.default_rng(2).normal(0.0, 0.5, (600, 45))
    noise[:300] += rows
    curves = replace(as_curves(noise), sd=np.full(600, 0.5, dtype=np.float32))
    found = deconvolve(curves, bolus.aif(times, 30.0), times, settings=Settings(method=method, residue="exponential"))
    assert np.abs(found.volume).max() < 1.0
    assert np.corrcoef(found.volume[:300], np.linspace(0.02, 0.06, 300))[0, 1] > 0.8
    for sd in (found.sd or {}).values():
        assert np.median(sd[:300]) < 10.0


def test_deconvolution_reports_progress_and_can_be_cancelled(bolus, as_curves):
    times, seen = np.arange(60.0), []
    curves = as_curves(bolus.washout(times))
    deconvolve(curves, bolus.aif(times), times, settings=BSVD, progress=lambda f, _: seen.append(f))
    assert seen[-1] == 1.0

    def cancel(fraction, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        deconvolve(curves, bolus.aif(times), times, settings=BSVD, progress=cancel)


def test_settings_know_which_methods_there_are_which_are_a_matrix_and_which_give_the_delay(bolus, as_curves):
    times = np.arange(60.0)
    curves = as_curves([bolus.washout(times, delay_s=delay) for delay in (0.0, 2.0)])
    curves = replace(curves, sd=np.full(2, 0.1, dtype=np.float32))
    chosen = {method: Settings(method=method, residue="exponential") for method in get_args(DeconvolutionMethod)}
    found = {method: deconvolve(curves, bolus.aif(times), times, settings=one) for method, one in chosen.items()}
    assert set(chosen) == set(INVERSES) | set(MODELS) and set(LINEAR) == set(INVERSES)
    assert {method for method, response in found.items() if response.delay_s is not None} == set(WITH_DELAY)


# --- strength by cross-validation -----------------------------------------------------------------------------------


def noisy(bolus, times, noise_hu, voxels=300):
    rows = np.array([bolus.washout(times, mtt_s=mtt) for mtt in np.linspace(3.0, 9.0, voxels)])
    return rows + np.random.default_rng(5).normal(0.0, noise_hu, rows.shape)


def test_cross_validation_is_leaving_out_samples_generalised(bolus, as_curves):
    times = np.arange(40.0)
    aif, rows = bolus.aif(times), noisy(bolus, times, 2.0, voxels=20)
    scores = []
    for strength in STRENGTHS:
        circle = block_circulant(aif, 1.0) if aif[-2:].sum() == 0 else circulant(continuation(40) @ aif)
        left, singular, right = np.linalg.svd(circle)
        damped = right.T @ np.diag(singular / (singular**2 + (strength * singular[0]) ** 2)) @ left.T
        missed = np.eye(40) - (circle @ damped @ continuation(40))[:40]
        scores.append(np.sum((rows @ missed.T) ** 2) / np.trace(missed) ** 2)
    found = cross_validated_strength(as_curves(rows), aif, times)
    assert found == STRENGTHS[int(np.argmin(scores))]


def test_cross_validation_regularises_more_the_more_noise_there_is(bolus, as_curves):
    times = np.arange(50.0)
    aif = bolus.aif(times)
    found = [cross_validated_strength(as_curves(noisy(bolus, times, hu)), aif, times) for hu in (0.02, 0.5, 4.0)]
    assert STRENGTHS[0] <= found[0] < found[1] < found[2] < STRENGTHS[-1]


def test_cross_validation_of_components_counts_the_noise_that_was_dropped(bolus, as_curves):
    times = np.arange(50.0)
    aif, rows = bolus.aif(times), noisy(bolus, times, 2.0)
    whole = cross_validated_strength(as_curves(rows), aif, times)
    basis = np.linalg.svd(rows, full_matrices=False)[2][:5].astype(np.float32)
    few = as_curves(rows @ basis.T, basis)
    told = replace(few, sd=np.full(len(rows), 2.0, dtype=np.float32))
    assert cross_validated_strength(few, aif, times) < 0.7 * whole
    assert abs(np.log(cross_validated_strength(told, aif, times) / whole)) < 0.25


def test_noise_of_dropped_components_is_that_of_all_voxels_in_every_direction_that_no_component_has(as_curves):
    rng = np.random.default_rng(6)
    basis, rows, sd = rng.normal(size=(3, 12)), rng.normal(size=(20, 3)), rng.uniform(0.5, 3.0, 20)
    axes, _ = np.linalg.qr(basis.T, mode="complete")
    expected = (rows @ basis).T @ (rows @ basis) + np.sum(sd**2) * axes[:, 3:] @ axes[:, 3:].T
    curves = replace(as_curves(rows, basis), sd=sd)
    np.testing.assert_allclose(_squares(curves), expected, atol=1e-4 * np.abs(expected).max())


def test_cross_validation_does_not_depend_on_scale_or_order_and_takes_uneven_times(bolus, as_curves):
    times = np.concatenate([np.arange(0.0, 30.0), np.arange(30.0, 61.0, 3.0)])
    aif, rows = bolus.aif(times), noisy(bolus, times, 1.0)
    found = cross_validated_strength(as_curves(rows), aif, times)
    assert STRENGTHS[0] < found < STRENGTHS[-1]
    assert cross_validated_strength(as_curves(3.0 * rows[::-1]), 7.0 * aif, times) == found


def test_the_strength_that_was_used_is_told(bolus, as_curves):
    times = np.arange(50.0)
    aif, curves = bolus.aif(times), as_curves(noisy(bolus, times, 1.0))
    chosen = Settings(method="tikhonov")
    free = deconvolve(curves, aif, times, settings=chosen)
    fixed = chosen.changed({"tikhonov_choice": "fixed", "tikhonov_strength": free.strength})
    assert free.strength == cross_validated_strength(curves, aif, times)
    same = deconvolve(curves, aif, times, settings=fixed)
    np.testing.assert_array_equal(same.height, free.height)
    assert same.strength == free.strength and deconvolve(curves, aif, times, settings=BSVD).strength is None
