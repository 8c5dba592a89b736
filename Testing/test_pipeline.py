"""The whole analysis: on a small head, with the user's masks, under cancelling, and on any number of processors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PyPeTLib import Cancelled, Image, InputError, Prepared, QualityError, Series, Settings, analyze, finish, prepare
from PyPeTLib.settings import describe_settings

MAPS = ("cbf", "cbv", "mtt", "tmax", "ttp")


def tissue_of(head, analysis):
    """Voxels of tissue alone, away from vessels."""
    return head.masks["pure_tissue"].values & ~head.masks["near_vessel"].values & analysis.brain.values


def fingerprint(analysis):
    digest = hashlib.sha256(analysis.brain.values.tobytes() + analysis.aif.curve_hu.tobytes())
    for name, image in [*analysis.maps.items(), *analysis.derived.items()]:
        digest.update(name.encode() + np.ascontiguousarray(image.values).tobytes())
    return digest.hexdigest()


def same_maps(one, other, rtol, atol):
    for name in MAPS:
        np.testing.assert_allclose(
            getattr(one.maps, name).values, getattr(other.maps, name).values, rtol, atol, err_msg=name
        )


# --- truth ----------------------------------------------------------------------------------------------------------


def test_cbv_has_the_slope_of_the_truth(head, analysis):
    where = tissue_of(head, analysis)
    truth, found = head.truth["cbv"].values[where], analysis.maps.cbv.values[where]
    assert (truth @ found) / (truth @ truth) == pytest.approx(1.0, abs=0.1)


def test_flow_is_ordered_as_the_truth_and_low_by_the_known_bias_of_truncation(head, analysis):
    where = tissue_of(head, analysis)
    truth, found = head.truth["cbf"].values[where], analysis.maps.cbf.values[where]
    assert 0.4 < (truth @ found) / (truth @ truth) < 0.8  # PERFUSION §3: 0.46 to 0.64 at MTT 4 s
    assert np.corrcoef(truth, found)[0, 1] > 0.5


def test_artery_is_arterial_and_vein_venous(head, analysis):
    assert (head.masks["arteries"].values & analysis.aif.mask.values).sum() == analysis.aif.mask.values.sum()
    assert (head.masks["veins"].values & analysis.vof.mask.values).sum() > 0.8 * analysis.vof.mask.values.sum()
    areas = [np.trapezoid(curve, head.series.times_s) for curve in (analysis.aif.curve_hu, head.aif_hu)]
    assert areas[0] == pytest.approx(areas[1], rel=0.1)


def test_delayed_territory_is_late_and_has_less_flow(head, analysis):
    where = tissue_of(head, analysis)
    late = where & head.masks["hypoperfused"].values
    normal = where & ~head.masks["hypoperfused"].values
    truth, found = (
        np.median(t[late]) - np.median(t[normal]) for t in (head.truth["tmax"].values, analysis.maps.tmax.values)
    )
    assert truth > 3.0 and found == pytest.approx(truth, rel=0.35)
    assert np.median(analysis.maps.cbf.values[late]) < 0.7 * np.median(analysis.maps.cbf.values[normal])
    assert np.corrcoef(head.truth["tmax"].values[where], analysis.maps.tmax.values[where])[0, 1] > 0.6


def test_a_head_without_noise_is_analysed_too(quiet_head):
    found = analyze(quiet_head.series)
    where = tissue_of(quiet_head, found)
    truth = quiet_head.truth["cbv"].values[where]
    assert (truth @ found.maps.cbv.values[where]) / (truth @ truth) == pytest.approx(1.0, abs=0.1)


def test_analysis_says_what_it_did(head, analysis):
    assert analysis.series is head.series and analysis.settings == Settings()
    assert (analysis.brain_source, analysis.aif.source) == ("automatic", "automatic")
    assert analysis.findings == head.series.findings
    assert f"{analysis.bolus.baseline_frames} frames before bolus arrival" in analysis.methods_text
    for word in ("block-circulant", "bilateral", "truncated at 10%", "0.45", "1.05 g/mL"):
        assert word in analysis.methods_text
    assert set(analysis.seconds) >= {"brain mask", "deconvolution", "maps"} and min(analysis.seconds.values()) >= 0


# --- the user's masks -----------------------------------------------------------------------------------------------


def test_masks_of_the_user_win(tiny_head):
    masks = {name: tiny_head.masks[key] for name, key in (("brain", "brain"), ("aif", "arteries"), ("vof", "veins"))}
    found = analyze(tiny_head.series, **masks)
    assert found.brain is masks["brain"] and found.brain_source == "user's mask"
    assert found.aif.mask is masks["aif"] and found.vof.mask is masks["vof"]
    assert {found.aif.source, found.vof.source} == {"user's mask"}
    np.testing.assert_array_equal(np.isfinite(found.maps.cbf.values), masks["brain"].values)
    assert "The brain mask was supplied." in found.methods_text and "was supplied" in found.methods_text
    mean = tiny_head.series.values[:, masks["aif"].values].mean(axis=1)
    expected = mean - mean[: found.bolus.baseline_frames].mean()
    np.testing.assert_allclose(found.aif.measured_hu, expected, atol=1e-3)


def test_a_small_brain_mask_gives_the_same_tissue(tiny_head, tiny_analysis):
    """Half the brain, with the same artery: volume and flow of a voxel are its own."""
    half = tiny_analysis.brain.values & (np.arange(64) < 32)
    found = analyze(
        tiny_head.series,
        Settings(denoise="none"),
        brain=Image(half, tiny_head.series.geometry),
        aif=tiny_analysis.aif.mask,
    )
    whole = analyze(tiny_head.series, Settings(denoise="none"), aif=tiny_analysis.aif.mask)
    ratio = found.maps.cbv.values[half] / whole.maps.cbv.values[half]
    assert np.median(ratio) == pytest.approx(
        whole.aif.partial_volume_factor / found.aif.partial_volume_factor, rel=0.05
    )


@pytest.mark.parametrize("name", ["brain", "aif", "vof"])
def test_masks_that_do_not_fit_are_refused(tiny_head, name):
    series = tiny_head.series
    thing = {"brain": "Brain mask", "aif": "AIF mask", "vof": "VOF mask"}[name]
    ones = np.ones(series.geometry.shape, dtype=bool)
    shifted = replace(series.geometry, origin_mm=(500.0, 0.0, 0.0))
    with pytest.raises(
        InputError, match=rf"{thing}: the grid of the scan is needed, .*64×64×4.*; found .*Resample the mask"
    ):
        analyze(series, **{name: Image(ones, shifted)})
    for wrong in (~ones, ones.astype(np.uint8)):
        with pytest.raises(InputError, match=rf"{thing}: booleans with at least one voxel inside are needed; found"):
            analyze(series, **{name: Image(wrong, series.geometry)})


# --- what is refused ------------------------------------------------------------------------------------------------


def test_contrast_from_the_first_frame_is_refused_unless_forced(tiny_head):
    series = tiny_head.series
    late = Series(series.values[16:], series.times_s[16:], series.geometry)
    with pytest.raises(QualityError, match=r"from the start of the scan.*Use --force"):
        analyze(late)
    forced = analyze(late, force=True)
    assert "invalid" in {finding.severity for finding in forced.findings}
    assert np.isfinite(forced.maps.cbf.values).any()


def test_a_scan_without_contrast_is_refused_forced_or_not(head):
    still = np.repeat(head.series.values[:1].astype(np.float32), 40, axis=0)
    still += np.random.default_rng(0).normal(0.0, 6.0, still.shape).astype(np.float32)
    for force in (False, True):
        with pytest.raises(QualityError, match="Bolus: at least 5 voxels"):
            analyze(Series(still, np.arange(40.0), head.series.geometry), force=force)


def test_a_scan_without_a_head_is_refused(tiny_head):
    air = np.full(tiny_head.series.values.shape, -1000, dtype=np.int16)
    with pytest.raises(QualityError, match="Brain mask"):
        analyze(Series(air, tiny_head.series.times_s, tiny_head.series.geometry))


# --- progress and cancelling ----------------------------------------------------------------------------------------


def test_progress_rises_from_zero_to_one_and_names_each_step(tiny_head):
    seen = []
    analyze(tiny_head.series, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == pytest.approx(1.0)
    assert all(text for _, text in seen) and len({text for _, text in seen}) >= 6


@pytest.mark.parametrize(("denoise", "stops"), [("bilateral", range(0, 30, 3)), ("curvature-flow", (3, 20))])
def test_cancelling_anywhere_stops_at_once_and_leaves_nothing(tiny_head, denoise, stops):
    threads, chosen = threading.active_count(), Settings(denoise=denoise)
    before = tiny_head.series.values.tobytes()
    for stop in stops:
        made = []

        def cancel(fraction, text, made=made, stop=stop):
            made.append(time.perf_counter())
            if len(made) > stop:
                raise Cancelled("by the test")

        with pytest.raises(Cancelled, match="by the test"):
            analyze(tiny_head.series, chosen, progress=cancel)
        assert len(made) == stop + 1 and time.perf_counter() - made[-1] < 0.5
    assert threading.active_count() == threads and tiny_head.series.values.tobytes() == before


def test_any_error_of_the_callback_reaches_the_caller(tiny_head):
    def broken(fraction, text):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        analyze(tiny_head.series, progress=broken)


# --- settings -------------------------------------------------------------------------------------------------------

#: What must be chosen for a setting to matter, and a value that differs from the default enough to be seen.
NEEDED = {
    "gaussian_": {"denoise": "gaussian"},
    "curvature_": {"denoise": "curvature-flow"},
    "bilateral_": {"denoise": "bilateral"},
    "bsvd_": {"method": "bSVD"},
    "ssvd_": {"method": "sSVD"},
    "oscillation_": {"method": "oSVD"},
    "tikhonov_": {"method": "tikhonov"},
}
OTHER = {
    "aif_minimum_volume_ml": 1.0,
    "aif_maximum_volume_ml": 0.05,
    "minimum_enhancement_hu": 50.0,
    "brain_opening_mm": 15.0,
    "tissue_low_hu": 20.0,
    "curvature_flow_iterations": 1,
}


def other_value(info):
    if info.choices:
        return next(word for word in info.choices if word != info.default)
    fallback = 0.5 * (info.low + info.default) if info.default > info.low else 0.5 * (info.low + info.high)
    return OTHER.get(info.name, type(info.default)(fallback))


def outcome(series, settings):
    try:
        return fingerprint(analyze(series, settings))
    except QualityError as error:
        return str(error)


@pytest.mark.parametrize("info", describe_settings(), ids=lambda info: info.name)
def test_every_setting_changes_something(tiny_head, info):
    series = tiny_head.series
    if info.name == "minimum_enhancement_hu":  # a weak bolus
        start = series.values[:1].astype(np.float32)
        series = replace(series, values=start + 0.1 * (series.values - start))
    base = next((chosen for prefix, chosen in NEEDED.items() if info.name.startswith(prefix)), {})
    changed = Settings(**{**base, info.name: other_value(info)})
    assert outcome(series, Settings(**base)) != outcome(series, changed)


# --- what must not matter -------------------------------------------------------------------------------------------


def test_two_runs_are_alike_to_the_last_bit(tiny_head, tiny_analysis):
    assert fingerprint(analyze(tiny_head.series)) == fingerprint(tiny_analysis)


@pytest.mark.parametrize("processors", [1, 2, 7, 64])
def test_number_of_processors_does_not_matter(monkeypatch, tiny_head, tiny_analysis, processors):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert fingerprint(analyze(tiny_head.series)) == fingerprint(tiny_analysis)


def test_threads_of_the_linear_algebra_do_not_matter(tmp_path, tiny_head):
    """One and two BLAS threads, in processes of their own, give the same bytes by every method."""
    series = tiny_head.series
    np.savez(tmp_path / "scan.npz", values=series.values, times=series.times_s)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy as np; from test_pipeline import *\n"
        "from PyPeTLib import Geometry; scan = np.load(sys.argv[2])\n"
        "series = Series(scan['values'], scan['times'], Geometry((64, 64, 4), (3.2, 3.2, 10.0)))\n"
        "for m in ('bSVD', 'oSVD'): print(fingerprint(analyze(series, Settings(method=m))))\n"
    )
    digests = set()
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }
        call = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "scan.npz")]
        found = subprocess.run(call, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[1])
        assert found.returncode == 0, found.stderr
        digests.add(found.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_type_of_the_voxels_does_not_matter(tiny_head, tiny_analysis, kind):
    found = analyze(replace(tiny_head.series, values=tiny_head.series.values.astype(kind)))
    np.testing.assert_array_equal(found.brain.values, tiny_analysis.brain.values)
    np.testing.assert_array_equal(found.aif.mask.values, tiny_analysis.aif.mask.values)
    same_maps(found, tiny_analysis, rtol=1e-2, atol=1e-2)


def test_memory_order_and_mirroring_of_the_array_do_not_matter(tiny_head, tiny_analysis):
    for values, back in (
        (np.asfortranarray(tiny_head.series.values), np.s_[:]),
        (tiny_head.series.values[..., ::-1], np.s_[..., ::-1]),
        (tiny_head.series.values[:, ::-1], np.s_[::-1]),
    ):
        found = analyze(replace(tiny_head.series, values=values))
        assert (found.brain.values[back] == tiny_analysis.brain.values).mean() > 0.999
        np.testing.assert_array_equal(found.aif.mask.values[back], tiny_analysis.aif.mask.values)
        for name in MAPS:
            one, other = getattr(found.maps, name).values[back], getattr(tiny_analysis.maps, name).values
            both = np.isfinite(one) & np.isfinite(other)
            close = np.isclose(one, other, rtol=0.02, atol=0.02)[both].mean()
            assert close > 0.98, name


def test_time_zero_does_not_matter(tiny_head, tiny_analysis):
    found = analyze(replace(tiny_head.series, times_s=tiny_head.series.times_s + 1000.0))
    assert found.bolus.arrival_s == pytest.approx(tiny_analysis.bolus.arrival_s + 1000.0)
    same_maps(found, tiny_analysis, rtol=1e-3, atol=1e-2)


def test_scan_stays_untouched(tiny_head):
    values = tiny_head.series.values.copy()
    times = tiny_head.series.times_s.copy()
    values.flags.writeable = times.flags.writeable = False
    analyze(Series(values, times, tiny_head.series.geometry))
    np.testing.assert_array_equal(values, tiny_head.series.values)


def test_a_run_is_its_two_halves_and_the_first_is_enough_for_curves(tiny_head, tiny_analysis):
    prepared = prepare(tiny_head.series)
    assert isinstance(prepared, Prepared) and not hasattr(prepared, "maps")
    whole = finish(prepared)
    for name, image in whole.maps.items():
        np.testing.assert_array_equal(image.values, getattr(tiny_analysis.maps, name).values)
    np.testing.assert_array_equal(prepared.aif.curve_hu, tiny_analysis.aif.curve_hu)
    assert list(whole.seconds) == list(tiny_analysis.seconds) and "deconvolution" not in prepared.seconds
    assert whole.methods_text == tiny_analysis.methods_text
