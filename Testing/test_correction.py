"""The bias of linear methods is known: what was simulated comes back, wherever it lies between the nodes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import HEAD

from PyPeTLib import Settings, analyze
from PyPeTLib.correction import MTTS_S, _growing, corrected, inverted, looked_up
from PyPeTLib.deconvolve import INVERSES, deconvolve
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.maps import perfusion_maps
from PyPeTLib.phantom import head_phantom
from PyPeTLib.pipeline import finish, prepare
from PyPeTLib.progress import silent
from PyPeTLib.results import write_analysis
from PyPeTLib.truth import _errors, compare_with_truth, tissue_classes

METHODS = tuple(INVERSES)
EVEN = np.arange(0.0, 90.0)
UNEVEN = np.concatenate([np.arange(0.0, 40.0, 1.5), np.arange(40.0, 91.0, 3.0)])
SHORT = np.arange(0.0, 45.0)
#: None of them is a node; the causal matrix of sSVD knows no tissue that is earlier than the artery.
TRANSITS_S = np.array([2.3, 2.7, 4.3, 6.9, 11.7, 18.3])
DELAYS_S = np.array([-2.6, -0.4, 0.7, 2.3, 5.1])
VOLUME = 0.04
#: Longest transit time of a box whose response still has one maximum: on a longer plateau ripples compete.
LONGEST_BOX_S = 5.0


def simulated(method, **more):
    return Settings(method=method, correction="simulation", tikhonov_choice="fixed", **more)


def truth(method, longest_s=30.0):
    transits = TRANSITS_S[longest_s >= TRANSITS_S]
    delays = DELAYS_S[DELAYS_S >= 0] if method == "sSVD" else DELAYS_S
    return transits, delays, *(grid.ravel() for grid in np.meshgrid(transits, delays, indexing="ij"))


def found(bolus, as_curves, method, times, shape=1.0, longest_s=30.0, **more):
    """The response to noise-free tissue, and the true transit times and delays of its rows."""
    transits, delays, mtt, delay = truth(method, longest_s)
    rows = tissue_curves(bolus.aif(times), times, delays_s=delays, mtts_s=transits, shape=shape)
    curves = as_curves(VOLUME * rows.reshape(-1, times.size))
    return deconvolve(curves, bolus.aif(times), times, settings=simulated(method, **more)), mtt, delay


@pytest.mark.parametrize("times", [EVEN, UNEVEN, SHORT], ids=["even", "uneven", "short"])
@pytest.mark.parametrize("method", METHODS)
def test_tissue_between_the_nodes_comes_back_without_bias(bolus, as_curves, method, times):
    response, mtt, delay = found(bolus, as_curves, method, times, residue="exponential")
    few_percent = 0.04 if method == "sSVD" else 0.02  # a causal matrix answers to every share of an interval otherwise
    np.testing.assert_allclose(response.height * mtt, VOLUME, rtol=few_percent)
    np.testing.assert_allclose(response.tmax_s, delay, atol=0.1)  # a tenth of an interval
    np.testing.assert_allclose(response.volume, VOLUME, rtol=0.01)
    assert response.residue == "exponential"


@pytest.mark.parametrize("method", ["bSVD", "oSVD", "tikhonov"])
def test_a_box_has_its_maximum_in_the_middle(bolus, as_curves, method):
    response, mtt, delay = found(bolus, as_curves, method, EVEN, BOX, LONGEST_BOX_S, residue="box")
    np.testing.assert_allclose(response.height * mtt, VOLUME, rtol=0.02)
    np.testing.assert_allclose(response.tmax_s, delay + 0.5 * mtt, atol=0.1)


@pytest.mark.parametrize(("shape", "name"), [(1.0, "exponential"), (2.0, "gamma-2"), (BOX, "box")])
def test_the_shape_of_the_residue_is_found(bolus, as_curves, shape, name):
    """In 60 voxels with noise of 1 HU: in 30 gamma of shape 2 is 6,400 times as probable as an exponential."""
    transits, delays, *_ = truth("bSVD", 30.0)
    rows = tissue_curves(bolus.aif(EVEN), EVEN, delays_s=delays, mtts_s=transits, shape=shape)
    curves = as_curves(VOLUME * np.tile(rows.reshape(-1, EVEN.size), (2, 1)))
    assert deconvolve(curves, bolus.aif(EVEN), EVEN, settings=simulated("bSVD")).residue == name


def test_a_wrong_shape_leaves_bias(bolus, as_curves):
    response, mtt, _ = found(bolus, as_curves, "bSVD", EVEN, 1.0, residue="box")
    assert (response.height * mtt / VOLUME < 0.9).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_was_before_the_correction_is_kept(bolus, as_curves, method):
    response, *_ = found(bolus, as_curves, method, EVEN)
    transits, delays, *_ = truth(method)
    rows = tissue_curves(bolus.aif(EVEN), EVEN, delays_s=delays, mtts_s=transits, shape=1.0).reshape(-1, EVEN.size)
    plain = deconvolve(
        as_curves(VOLUME * rows), bolus.aif(EVEN), EVEN, settings=simulated(method).changed({"correction": "none"})
    )
    np.testing.assert_array_equal(response.tmax_uncorrected_s, plain.tmax_s)
    assert plain.tmax_uncorrected_s is None and plain.residue == ""
    assert response.height[0] > 1.3 * plain.height[0]


def test_tissue_far_earlier_than_what_is_simulated_keeps_its_place_in_time(bolus, as_curves):
    times = np.arange(80.0)
    rows = [bolus.washout(times, delay_s=delay) for delay in (-10.0, 0.0, 0.0, 0.0, 0.0)]
    early, usual = deconvolve(as_curves(rows), bolus.aif(times), times, settings=simulated("bSVD")).tmax_s[:2]
    assert early - usual == pytest.approx(-10.0, abs=0.1)


def test_a_curve_without_volume_stays_as_it_was(bolus, as_curves):
    rows = np.stack([bolus.washout(EVEN), -bolus.washout(EVEN), 0.0 * EVEN])
    both = [
        deconvolve(as_curves(rows), bolus.aif(EVEN), EVEN, settings=simulated("bSVD").changed({"correction": word}))
        for word in ("simulation", "none")
    ]
    for name in ("height", "tmax_s"):
        corrected, plain = (getattr(response, name) for response in both)
        np.testing.assert_array_equal(corrected[1:], plain[1:])
        assert corrected[0] != plain[0]


def test_a_response_without_a_maximum_stays_as_it_was(bolus, as_curves):
    curves, aif = as_curves([bolus.washout(EVEN)] * 2), bolus.aif(EVEN)

    def plain(rows):
        return deconvolve(replace(curves, coefficients=rows), aif, EVEN, settings=Settings(method="bSVD"))

    response = plain(curves.coefficients)
    response = replace(response, height=response.height * [1.0, 0.0])
    made = corrected(response, plain, curves, aif, EVEN, settings=simulated("bSVD", residue="exponential"))
    assert (made.height[1], made.tmax_s[1]) == (0.0, response.tmax_s[1])
    assert made.height[0] == pytest.approx(0.01, rel=0.03) and made.height[0] != response.height[0]


def test_transit_times_end_where_the_simulation_does(bolus, as_curves):
    transits = np.array([0.3, 4.0, 5.0, 6.0, 200.0])
    rows = tissue_curves(bolus.aif(EVEN), EVEN, delays_s=np.zeros(1), mtts_s=transits, shape=1.0)[:, 0]
    response = deconvolve(
        as_curves(VOLUME * rows), bolus.aif(EVEN), EVEN, settings=simulated("bSVD", residue="exponential")
    )
    np.testing.assert_allclose((response.volume / response.height)[[0, -1]], MTTS_S[[0, -1]], rtol=1e-6)


def test_flow_and_volume_are_proportional_to_the_curve_and_times_are_not(bolus, as_curves):
    rows = np.stack([bolus.washout(EVEN, mtt_s=mtt) for mtt in TRANSITS_S])
    one, three = (
        deconvolve(as_curves(gain * rows), bolus.aif(EVEN), EVEN, settings=simulated("bSVD", residue="gamma-2"))
        for gain in (1.0, 3.0)
    )
    np.testing.assert_allclose([three.height, three.volume], [3.0 * one.height, 3.0 * one.volume], rtol=1e-4)
    np.testing.assert_allclose(three.tmax_s, one.tmax_s, atol=1e-3)


def test_projection_on_components_is_simulated_too(bolus, as_curves):
    """The bias of few components is a part of the method's, and leaves with it."""
    transits, delays, mtt, delay = truth("bSVD")
    rows = VOLUME * tissue_curves(bolus.aif(EVEN), EVEN, delays_s=delays, mtts_s=transits, shape=1.0)
    rows = rows.reshape(-1, EVEN.size)
    basis = np.linalg.svd(rows, full_matrices=False)[2][:5].astype(np.float32)
    chosen = simulated("bSVD", residue="exponential")
    response = deconvolve(as_curves(rows @ basis.T, basis), bolus.aif(EVEN), EVEN, settings=chosen)
    plain = deconvolve(
        as_curves(rows @ basis.T, basis), bolus.aif(EVEN), EVEN, settings=chosen.changed({"correction": "none"})
    )
    biased, corrected = (np.abs(one.height * mtt / VOLUME - 1.0) for one in (plain, response))
    assert np.median(corrected) < 0.01 < 0.2 < np.median(biased)
    assert np.median(np.abs(response.tmax_s - delay)) < 0.1


def test_an_inverted_table_gives_the_truth_at_its_own_values_and_between():
    delays = np.arange(-2.0, 6.1, 0.5)
    log_mtt = np.log(MTTS_S)[:, None] + 0.0 * delays
    apparent, late = 1.0 + 0.5 * log_mtt + 0.01 * delays, delays + 2.0 + 0.3 * log_mtt
    table = inverted(apparent, late, np.exp(-0.02 * delays) + 0.0 * log_mtt, delays)
    mtt, delay = np.array([2.5, 5.3, 11.0]), np.array([-1.3, 0.2, 3.9])
    told = looked_up(table, np.exp(1.0 + 0.5 * np.log(mtt) + 0.01 * delay), delay + 2.0 + 0.3 * np.log(mtt))
    np.testing.assert_allclose(told[0], mtt, rtol=0.01)
    np.testing.assert_allclose(told[1], delay, atol=0.02)
    np.testing.assert_allclose(told[2], np.exp(-0.02 * delay), rtol=2e-3)


def test_where_the_apparent_value_does_not_grow_the_smallest_truth_is_taken():
    delays = np.arange(0.0, 4.1, 0.5)
    flat = np.maximum(np.log(MTTS_S), np.log(8.0))[:, None] + 0.0 * delays
    table = inverted(flat, delays + 0.0 * flat, 1.0 + 0.0 * flat, delays)
    mtt = looked_up(table, np.array([3.0, 8.0, 16.0]), np.array([1.0, 1.0, 1.0]))[0]
    np.testing.assert_allclose(mtt, [2.0, 2.0, 16.0], rtol=0.02)


def test_what_falls_with_the_truth_stays_at_its_largest_value_and_can_be_inverted():
    values = np.array([[1.0, 3.0, 2.0, 4.0]])
    for axis, grown in ((1, _growing(values, 1)), (0, _growing(values.T, 0).T)):
        np.testing.assert_allclose(grown, [[1.0, 3.0, 3.0, 4.0]], atol=1e-5, err_msg=str(axis))
        assert (np.diff(grown) > 0.0).all()


@pytest.fixture(scope="module")
def held_out():
    phantom = head_phantom(replace(HEAD, seed=1004))
    prepared = prepare(phantom.series, Settings(method="bSVD", correction="simulation"))
    return phantom, prepared, finish(prepared)


def gray_matter_errors(run, phantom):
    """Return the errors of `compare_by_class`, whose bounds take ten times as long as the run."""
    where = tissue_classes(phantom)["gray matter"] & run.brain.values
    where &= np.logical_and.reduce([np.isfinite(image.values) for _, image in run.maps.items()])
    return _errors(*({name: image.values[where] for name, image in maps.items()} for maps in (phantom.truth, run.maps)))


def test_flow_and_times_of_a_head_are_near_the_truth(held_out):
    phantom, prepared, run = held_out
    uncorrected = finish(replace(prepared, settings=Settings(method="bSVD")))
    plain, figures = (compare_with_truth(one, phantom) for one in (uncorrected, run))
    assert plain["cbf_slope"] < 0.6 < 0.75 < figures["cbf_slope"] < 1.25
    assert abs(figures["tmax_bias_s"]) < 0.6 < 2.0 < plain["tmax_bias_s"]
    corrected, biased = (gray_matter_errors(one, phantom) for one in (run, uncorrected))
    assert abs(corrected["mtt_bias_s"]) < 0.4 * biased["mtt_bias_s"]
    assert corrected["cbf_error"] < 0.6 * biased["cbf_error"]


@pytest.fixture(scope="module")
def coarse_head():
    """Frames every 3 s for a minute."""
    return head_phantom(replace(HEAD, frames=20, interval_s=3.0))


@pytest.mark.parametrize(("method", "slope"), [("bSVD", 1.16), ("sSVD", 0.85), ("oSVD", 1.25), ("tikhonov", 1.16)])
def test_the_bias_is_not_removed_rightly_from_frames_three_seconds_apart_and_that_is_said(coarse_head, method, slope):
    """Figures of docs/methods.md: should they become better, the check and the page are to be changed."""
    run = analyze(coarse_head.series, Settings(method=method, correction="simulation"))
    figures = compare_with_truth(run, coarse_head)
    assert figures["cbf_slope"] == pytest.approx(slope, abs=0.03)
    assert figures["tmax_bias_s"] == pytest.approx(-0.7 if method == "sSVD" else 0.0, abs=0.2)
    (told,) = (check for check in run.checks if check.name == "method")
    assert told.status == "warn" and "not removed rightly from frames every 3 s" in told.text


def test_tmax_before_the_correction_is_written_and_described(held_out, tmp_path):
    *_, run = held_out
    write_analysis(run, tmp_path, report=False)
    prefix = tmp_path / run.series.name.removesuffix("_ctp")
    told = json.loads(prefix.with_name(f"{prefix.name}_tmax_uncorrected.json").read_text())
    assert told["LongName"] == "time of the maximum of the impulse response, before its bias was removed"
    assert (told["Unit"], told["Correction"], told["Residue"]) == ("s", "simulation", run.maps.residue)
    assert prefix.with_name(f"{prefix.name}_tmax_uncorrected.nii.gz").exists()
    assert "removed from CBF, CBV, MTT and Tmax" in run.methods_text and "tmax_uncorrected" in run.methods_text
    assert f"{run.maps.residue} residue (the shape that fits this brain best" in run.methods_text


def test_maps_without_correction_have_no_other_tmax(bolus, as_curves, row_grid):
    for method in ("bSVD", "nlr", "stable-spline", "max-slope"):
        chosen = Settings(method=method, correction="none" if method == "bSVD" else "simulation")
        curves = as_curves(np.stack([bolus.washout(EVEN)] * 3))
        response = deconvolve(curves, bolus.aif(EVEN), EVEN, settings=chosen)
        maps = perfusion_maps(
            curves,
            response,
            bolus.aif(EVEN),
            EVEN,
            arrival_s=12.0,
            geometry=row_grid(3),
            settings=chosen,
            progress=silent,
        )
        assert dict(maps.uncorrected) == {} and not chosen.bias_removed
