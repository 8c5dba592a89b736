"""Maps in physical units: formulas, sampling, noise, delay, and what lies outside the mask."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.analysis import MAP_UNITS, Maps
from PyPeTLib.deconvolve import deconvolve
from PyPeTLib.derive import derived_maps
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.maps import mean_transit_time, perfusion_maps
from PyPeTLib.progress import silent
from PyPeTLib.records import Curves, Response

BSVD = Settings(method="bSVD")
RHO, KAPPA = 1.05, 0.55 / 0.75
GRID = Geometry((4, 3, 2), (1.0, 1.0, 5.0))


@pytest.fixture
def settings():
    return BSVD


@pytest.fixture
def mapped(as_curves, row_grid):
    """Return the map values of rows of enhancement, with a given or a computed response."""

    def make(rows, aif, times, response=None, arrival_s=0.0, chosen=BSVD):
        curves = as_curves(rows)
        response = response or deconvolve(curves, aif, times, settings=chosen)
        geometry = row_grid(len(curves.coefficients))
        maps = perfusion_maps(
            curves, response, aif, times, arrival_s=arrival_s, geometry=geometry, settings=chosen, progress=silent
        )
        return {name: image.values[0, 0] for name, image in maps.items()}

    return make


# --- formulas -------------------------------------------------------------------------------------------------------


def test_cbf_is_6000_kappa_over_rho_times_the_height(bolus, mapped):
    times = np.arange(60.0)
    response = Response(np.array([0.01, 0.02]), np.array([1.0, -2.0]))
    found = mapped([bolus.tissue(times)] * 2, bolus.aif(times), times, response)
    np.testing.assert_allclose(found["cbf"], [6000 * KAPPA / RHO * 0.01, 6000 * KAPPA / RHO * 0.02], rtol=1e-6)
    np.testing.assert_array_equal(found["tmax"], [1.0, -2.0])


@pytest.mark.parametrize("cbv", [0.42, 1.9, 4.0])
def test_cbv_is_100_kappa_over_rho_times_the_ratio_of_areas(bolus, mapped, cbv):
    times = np.arange(60.0)
    volume = cbv / 100 * RHO / KAPPA
    found = mapped(bolus.tissue(times, volume), bolus.aif(times), times)
    assert found["cbv"] == pytest.approx(cbv, rel=1e-3)


def test_mtt_is_60_cbv_over_cbf(bolus, mapped):
    times = np.arange(80.0)
    rows = [bolus.washout(times, mtt_s=mtt) for mtt in (3.0, 6.0, 12.0)]
    found = mapped(rows, bolus.aif(times), times)
    np.testing.assert_allclose(found["mtt"], 60 * found["cbv"] / found["cbf"], rtol=1e-6)


def test_gray_matter_has_the_flow_volume_and_transit_time_it_was_made_of(bolus, mapped):
    """CBF 53, CBV 3.3, MTT 3.7: with little truncation and a smooth response that stays below its band limit."""
    times = np.arange(0.0, 80.0, 0.5)
    volume = 3.3 / 100 * RHO / KAPPA
    height = bolus.response(2 * bolus.scale_s, volume)
    found = mapped(
        bolus.tissue(times, volume), bolus.aif(times), times, chosen=Settings(method="bSVD", bsvd_cutoff=0.001)
    )
    cbf = 6000 * KAPPA / RHO * height
    assert found["cbf"] == pytest.approx(cbf, rel=0.01)
    assert found["mtt"] == pytest.approx(60 * 3.3 / cbf, rel=0.01)


def test_volume_and_standard_deviations_of_a_method_are_in_the_units_of_its_maps(bolus, as_curves, row_grid):
    """Shares of blood and 1/s become mL; the volume of the model is not the ratio of areas, here 0.04."""
    times, sd = np.arange(60.0), {"cbf": 0.002, "cbv": 0.01, "mtt": 0.7, "delay": 0.3}
    one = {name: np.array([value]) for name, value in sd.items()}
    response = Response(np.array([0.01]), np.array([1.0]), np.array([0.5]), np.array([0.05]), one)
    chosen = {"arrival_s": 0.0, "geometry": row_grid(1), "settings": BSVD, "progress": silent}
    maps = perfusion_maps(as_curves(bolus.tissue(times)), response, bolus.aif(times), times, **chosen)
    assert maps.cbv.values.item() == pytest.approx(100 * KAPPA / RHO * 0.05)
    factors = {"cbf": 6000 * KAPPA / RHO, "cbv": 100 * KAPPA / RHO, "mtt": 1.0, "delay": 1.0}
    for name, image in maps.sd.items():
        assert image.values.item() == pytest.approx(factors[name] * sd[name]) and image.unit == MAP_UNITS[name]
    assert set(maps.sd) == set(sd)


@pytest.mark.parametrize("arrival", [0.0, 12.0, 13.5])
def test_ttp_counts_from_bolus_arrival_and_is_sub_sample(bolus, mapped, arrival):
    times = 1.41 * np.arange(50)
    delays = np.array([0.0, 0.5, 1.1, 3.0])
    found = mapped([bolus.tissue(times, delay_s=d) for d in delays], bolus.aif(times), times, arrival_s=arrival)
    np.testing.assert_allclose(found["ttp"], 12.0 + 6 * bolus.scale_s + delays - arrival, atol=0.1)


def test_ttp_of_uneven_times_is_in_seconds(bolus, mapped):
    times = np.concatenate([np.arange(0.0, 30.0, 1.5), np.arange(30.0, 80.0, 3.0)])
    found = mapped(bolus.tissue(times, delay_s=15.0), bolus.aif(times), times)
    assert found["ttp"] == pytest.approx(12.0 + 15.0 + 6 * bolus.scale_s, abs=0.3)


@pytest.mark.parametrize(("flow", "volume"), [(0.0, 4.0), (-1.0, 4.0), (50.0, 0.0), (50.0, -1.0), (np.nan, 4.0)])
def test_mtt_is_missing_where_flow_or_volume_is_not_positive(flow, volume):
    assert np.isnan(mean_transit_time(np.array([flow]), np.array([volume]))[0])


def test_constants_are_those_of_the_settings(bolus, mapped):
    times = np.arange(60.0)
    rows, aif = bolus.tissue(times), bolus.aif(times)
    base = mapped(rows, aif, times)
    other = mapped(
        rows,
        aif,
        times,
        chosen=Settings(method="bSVD", tissue_density_g_ml=1.0, hematocrit_large=0.4, hematocrit_small=0.4),
    )
    for name in ("cbf", "cbv"):
        assert other[name] / base[name] == pytest.approx(RHO / KAPPA, rel=1e-5)
    assert other["mtt"] == pytest.approx(base["mtt"], rel=1e-5)


# --- sampling and noise ---------------------------------------------------------------------------------------------


def test_cbv_of_the_whole_bolus_equals_that_of_a_scan_that_ends_early(bolus, mapped):
    """Tails near equilibrium fall together, so the ratio of areas with continued tails hardly depends on the end."""
    recirculating = [lambda t: bolus.aif(t) + 25.0 * np.clip((t - 20.0) / 20.0, 0.0, 1.0) * np.exp(-t / 120.0)]
    ratios = []
    for end in (60.0, 75.0, 90.0):
        fine = np.arange(0.0, end, 0.1)
        aif = recirculating[0](fine)
        tissue = 0.1 * np.convolve(aif, 0.01 * np.exp(-fine / 4.0))[: fine.size]
        found = mapped(tissue[::10], aif[::10], fine[::10])
        ratios.append(float(found["cbv"][0] / (100 * KAPPA / RHO * 0.04)))
    np.testing.assert_allclose(ratios, 1.0, atol=0.03)


def test_area_of_the_response_and_cbv_agree(bolus, mapped, as_curves):
    """CBV from the ratio of areas is that from the area of the impulse response, washed out or not."""
    from PyPeTLib.deconvolve import inverse

    for times in (np.arange(40.0), np.arange(80.0)):
        aif, tissue = bolus.aif(times), bolus.washout(times, mtt_s=15.0)
        made = inverse(aif, times, settings=BSVD)
        area = (made.operators[0][made.samples] @ tissue).sum()
        found = mapped(tissue, aif, times)
        assert found["cbv"] == pytest.approx(100 * KAPPA / RHO * area, rel=1e-3)


@pytest.mark.parametrize("interval", [0.5, 1.0, 2.0, 3.0])
def test_cbf_converges_with_the_interval(bolus, mapped, interval):
    """The band limit of the truncation, not the interval, sets the flow that is found."""
    times = np.arange(0.0, 90.0, interval)
    fine = np.arange(0.0, 90.0, 0.25)
    found = mapped(bolus.washout(times), bolus.aif(times), times)
    truth = mapped(bolus.washout(fine), bolus.aif(fine), fine)
    assert found["cbf"] == pytest.approx(truth["cbf"], rel=0.03)


def test_cbv_of_uneven_times_weighs_each_frame_by_its_time(bolus, mapped):
    """Dense while the artery fills, sparse while late tissue does: counting frames would lose late blood."""
    times = np.concatenate([np.arange(0.0, 24.0, 1.0), np.arange(24.0, 90.0, 3.0)])
    volume = 4.0 / 100 * RHO / KAPPA
    found = mapped([bolus.tissue(times, volume, delay_s=delay) for delay in (0.0, 15.0)], bolus.aif(times), times)
    np.testing.assert_allclose(found["cbv"], 4.0, rtol=0.03)


# --- scale, order, precision ----------------------------------------------------------------------------------------


def test_doubling_the_aif_halves_flow_and_volume_and_keeps_times(bolus, mapped):
    times = np.arange(60.0)
    rows = [bolus.washout(times, mtt_s=mtt) for mtt in (3.0, 6.0)]
    base, richer = (mapped(rows, factor * bolus.aif(times), times) for factor in (1.0, 2.0))
    for name, factor in {"cbf": 0.5, "cbv": 0.5, "mtt": 1.0, "tmax": 1.0, "ttp": 1.0}.items():
        np.testing.assert_allclose(richer[name], factor * base[name], rtol=1e-5, atol=1e-4, err_msg=name)


def test_permuted_voxels_have_permuted_maps(bolus, mapped):
    times, rng = np.arange(60.0), np.random.default_rng(0)
    rows = bolus.washout(times) + rng.normal(0.0, 2.0, (30, 60))
    order = rng.permutation(30)
    base, shuffled = mapped(rows, bolus.aif(times), times), mapped(rows[order], bolus.aif(times), times)
    for name, values in base.items():
        np.testing.assert_allclose(shuffled[name], values[order], rtol=1e-4, atol=1e-3, err_msg=name)


def test_components_and_full_curves_give_the_same_maps(bolus, as_curves, settings):
    times, rng = np.arange(60.0), np.random.default_rng(0)
    basis = np.stack([bolus.washout(times, mtt_s=mtt, delay_s=mtt / 4) for mtt in (2.0, 5.0, 12.0)]).astype(np.float32)
    weights = rng.uniform(0.5, 2.0, (24, 3)).astype(np.float32)
    mask = np.ones(GRID.shape, dtype=bool)
    maps = []
    for rows, used in ((weights, basis), (weights @ basis, np.eye(60, dtype=np.float32))):
        curves = Curves(rows, used, np.zeros(24, dtype=np.float32), mask)
        response = deconvolve(curves, bolus.aif(times), times, settings=settings)
        aif = bolus.aif(times)
        maps.append(
            perfusion_maps(
                curves, response, aif, times, arrival_s=0.0, geometry=GRID, settings=settings, progress=silent
            )
        )
    for (name, folded), (_, plain) in zip(maps[0].items(), maps[1].items(), strict=True):
        np.testing.assert_allclose(folded.values, plain.values, rtol=1e-3, atol=1e-2, err_msg=name)


def test_read_only_inputs_are_accepted(bolus, mapped):
    times = np.arange(60.0)
    aif = bolus.aif(times)
    for array in (times, aif):
        array.flags.writeable = False
    mapped(bolus.washout(times), aif, times)


# --- the grid -------------------------------------------------------------------------------------------------------


def maps_in(mask, settings, bolus, delay=None):
    times, voxels = np.arange(60.0), int(mask.sum())
    rows = bolus.tissue(times) * np.arange(1.0, voxels + 1)[:, None]
    curves = Curves(rows.astype(np.float32), np.eye(60, dtype=np.float32), np.zeros(voxels, np.float32), mask)
    response = Response(np.arange(1.0, voxels + 1), np.full(voxels, -1.5), delay)
    aif = bolus.aif(times)
    return perfusion_maps(
        curves, response, aif, times, arrival_s=5.0, geometry=GRID, settings=settings, progress=silent
    )


def test_maps_have_units_and_the_scans_grid(bolus, settings):
    maps = maps_in(np.ones(GRID.shape, dtype=bool), settings, bolus)
    units = {"cbf": "mL/100 g/min", "cbv": "mL/100 g", "mtt": "s", "tmax": "s", "ttp": "s"}
    assert {name: image.unit for name, image in maps.items()} == units
    assert all(image.geometry == GRID and image.values.dtype == np.float32 for _, image in maps.items())
    assert set(units) | {"delay"} == set(MAP_UNITS)


def test_values_lie_where_their_voxels_are(bolus, settings):
    mask = np.random.default_rng(0).random(GRID.shape) < 0.5
    maps = maps_in(mask, settings, bolus)
    order = maps.cbf.values[mask] / (6000 * KAPPA / RHO)
    np.testing.assert_allclose(order, np.arange(1, mask.sum() + 1), rtol=1e-6)
    for name, image in maps.items():
        np.testing.assert_array_equal(np.isfinite(image.values), mask, err_msg=name)


def test_delay_is_there_only_where_the_method_knows_it(bolus, settings):
    mask = np.ones(GRID.shape, dtype=bool)
    assert maps_in(mask, settings, bolus).delay is None
    known = maps_in(mask, settings, bolus, delay=np.arange(24.0)).delay
    np.testing.assert_array_equal(known.values.ravel(), np.arange(24.0))
    assert known.unit == "s"


# --- derived maps ---------------------------------------------------------------------------------------------------


@pytest.fixture
def flow_and_brain():
    values = np.full(GRID.shape, np.nan, dtype=np.float32)
    values[:, 1:, :2] = np.arange(1.0, 9.0).reshape(2, 2, 2)
    image = Image(values, GRID, "mL/100 g/min")
    return Maps(image, image, image, image, image), Image(np.isfinite(values), GRID)


def test_nothing_is_derived_unless_asked_for(flow_and_brain, settings):
    assert derived_maps(*flow_and_brain, settings=settings) == {}


def test_relative_maps_have_a_brain_mean_of_one_and_no_unit_of_flow(flow_and_brain):
    relative = derived_maps(*flow_and_brain, settings=Settings(normalise="brain-mean"))["cbf_relative"]
    assert np.nanmean(relative.values) == pytest.approx(1.0)
    assert relative.unit == "of the brain mean"
    np.testing.assert_array_equal(np.isnan(relative.values), np.isnan(flow_and_brain[0].cbf.values))


def test_smoothed_maps_are_beside_the_others_and_do_not_leak(flow_and_brain):
    maps, brain = flow_and_brain
    smooth = derived_maps(maps, brain, settings=Settings(map_smoothing_mm=20.0))["cbf_smooth"]
    np.testing.assert_array_equal(np.isnan(smooth.values), np.isnan(maps.cbf.values))
    np.testing.assert_allclose(smooth.values[brain.values], 4.5, atol=0.5)  # all but averaged over the mask
    assert smooth.unit == "mL/100 g/min"
