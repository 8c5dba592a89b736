"""Findings: each doubt is raised where it is due, with its number, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from PyPeTLib import Settings
from PyPeTLib.phantom import bolus_curve
from PyPeTLib.quality import judge, judge_maps, judge_tissue
from PyPeTLib.records import Bolus, Candidate, Curves, GammaVariate, Geometry, Image, Maps, Series, VascularCurve

GRID = Geometry((2, 2, 10), (1.0, 1.0, 9.0))
MASK = np.ones(GRID.shape, dtype=bool)


def good(times=None):
    """Series, bolus, curves, artery and vein of a scan without any fault."""
    times = np.arange(70.0) if times is None else times
    artery = bolus_curve(times, arrival_s=10.0, width_s=9.0, peak_hu=300.0, recirculation=0.1)
    vein = bolus_curve(times, arrival_s=14.0, width_s=12.0, peak_hu=250.0, recirculation=0.1)
    tissue = 0.05 * bolus_curve(times, arrival_s=12.0, width_s=11.0, peak_hu=300.0, recirculation=0.1)
    fit = GammaVariate(10.0, 6.0, 3.0, 300.0, 0.01)
    noise = np.random.default_rng(0).normal(0.0, 6.0, 40).astype(np.float32)
    curves = Curves(np.ones((40, 1), np.float32), tissue[None].astype(np.float32), noise, MASK)
    vascular = [VascularCurve(Image(MASK, GRID), c, c, fit, 1.0, (), "automatic") for c in (artery, vein)]
    series = Series(np.zeros((times.size, *GRID.shape), np.int16), times, GRID)
    return [series, Bolus(10.5, 10, artery / artery.max(), 0.05, 300.0, 0.0), curves, *vascular]


def findings(**changes):
    """Judge the good scan after replacing some of its parts by name."""
    names = ["series", "bolus", "curves", "artery", "vein"]
    settings = changes.pop("settings", Settings())
    parts = dict(zip(names, good(changes.pop("times", None)), strict=True))
    for name, change in changes.items():
        parts[name] = change(parts[name]) if callable(change) else change
    return judge(*parts.values(), settings=settings)


def only(**changes):
    found = findings(**changes)
    assert len(found) == 1, found
    return found[0]


def test_standard_svd_is_a_warning():
    assert "sSVD depends on delay" in only(settings=Settings(method="sSVD")).text


def test_noise_instead_of_an_artery_is_invalid():
    noise = np.abs(np.random.default_rng(0).normal(0.0, 20.0, 70))
    found = findings(artery=lambda artery: replace(artery, measured_hu=noise))
    assert any(finding.severity == "invalid" and "no bolus" in finding.text for finding in found)


def test_a_vein_with_less_area_than_the_artery_is_told_and_one_without_area_is_invalid():
    assert "diluted itself" in only(vein=lambda vein: replace(vein, measured_hu=0.3 * vein.measured_hu)).text
    found = findings(vein=lambda vein: replace(vein, measured_hu=-vein.measured_hu))
    assert "invalid" in {finding.severity for finding in found}


def test_maps_without_positive_flow_and_volume_are_invalid():
    image = Image(np.full(GRID.shape, -1.0, dtype=np.float32), GRID, "mL/100 g")
    good = Image(np.ones(GRID.shape, dtype=np.float32), GRID, "mL/100 g")
    assert judge_maps(Maps(good, good, good, good, good), Image(MASK, GRID)) == ()
    (finding,) = judge_maps(Maps(good, image, good, good, good), Image(MASK, GRID))
    assert finding.severity == "invalid" and "CBV" in finding.text


def test_a_good_scan_has_no_findings():
    assert findings() == ()


def test_contrast_in_the_first_frames_is_invalid():
    finding = only(bolus=lambda bolus: replace(bolus, baseline_frames=1))
    assert (finding.severity, finding.value) == ("invalid", 1)
    assert "at least 2 frames before" in finding.text and "found 1" in finding.text


def test_vessels_that_are_brighter_at_the_start_than_at_the_end_are_invalid():
    """The "baseline" was contrast already."""
    finding = only(bolus=lambda bolus: replace(bolus, falling_share=0.2))
    assert finding.severity == "invalid" and "20% of the vessels" in finding.text


def test_a_short_baseline_is_a_warning():
    finding = only(bolus=lambda bolus: replace(bolus, baseline_frames=3))
    assert (finding.severity, finding.value) == ("warning", 3)


def test_uneven_times_are_told():
    times = np.concatenate([np.arange(0.0, 40.0, 1.5), np.arange(40.5, 90.0, 3.0)])
    finding = only(times=times)
    assert finding.severity == "info" and "1.5 to 3 s" in finding.text and finding.value == pytest.approx(3.0)


def test_long_intervals_are_a_warning():
    found = findings(times=np.arange(0.0, 100.0, 5.0))
    assert [(f.severity, f.value) for f in found] == [("warning", 5.0)]
    assert "Frames every 5 s" in found[0].text and "4 s" in found[0].text


def test_high_noise_is_a_warning():
    finding = only(curves=lambda curves: replace(curves, noise=np.full(40, 20.0, np.float32)))
    assert finding.severity == "warning" and "Noise of 29.7 HU" in finding.text


def test_a_weak_artery_is_a_warning():
    finding = only(artery=lambda artery: replace(artery, measured_hu=0.1 * artery.measured_hu))
    assert finding.severity == "warning" and finding.value == pytest.approx(30.0, rel=0.01)


def test_a_scan_that_stops_too_early_is_a_warning():
    found = findings(times=np.arange(24.0))
    assert [f.severity for f in found] == ["warning", "warning", "warning"]
    assert "The bolus comes late: 12 s of scan follow its arrival at 10 s" in found[0].text
    assert "arterial curve ends at" in found[1].text and "late tissue may look ischemic" in found[1].text
    assert "venous curve ends at" in found[2].text and "with extrapolated areas" in found[2].text


def test_a_bolus_that_comes_late_is_a_warning_and_one_with_time_to_pass_is_none():
    finding = only(bolus=lambda bolus: replace(bolus, arrival_s=45.0))
    assert finding.severity == "warning" and finding.value == 24.0 and "at least 25 s are needed" in finding.text
    assert findings(bolus=lambda bolus: replace(bolus, arrival_s=44.0)) == ()


@pytest.mark.parametrize(("slices", "severity"), [(3, "warning"), (5, "info"), (9, None)])
def test_thin_slabs_are_told_with_their_thickness(slices, severity):
    """Of 10 slices of 9 mm so many hold brain."""
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[1 : 1 + slices] = True
    found = findings(curves=lambda curves: replace(curves, mask=mask))
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all(finding.text.startswith(f"Coverage: {9 * slices} mm of brain") for finding in found)


def test_coverage_is_from_feet_to_head_however_the_scan_is_stored():
    upright = Geometry((10, 2, 2), (9.0, 1.0, 1.0), direction=(0, 1, 0, 0, 0, 1, 1, 0, 0))
    series = Series(np.zeros((70, *upright.shape), np.int16), np.arange(70.0), upright)
    mask = np.zeros(upright.shape, dtype=bool)
    mask[..., :3] = True
    (finding,) = findings(series=series, curves=lambda curves: replace(curves, mask=mask))
    assert finding.value == 27.0


def test_an_arterial_curve_that_peaks_after_the_tissue_is_a_warning():
    vein = good()[4].measured_hu
    late = np.roll(vein, 6)
    found = findings(artery=lambda artery: replace(artery, measured_hu=late, curve_hu=late))
    assert any("an artery comes first" in finding.text for finding in found)


@pytest.mark.parametrize(("confidence", "doubted"), [(0.2, True), (0.4, False)])
def test_an_artery_of_low_confidence_is_a_warning_with_the_reason(confidence, doubted):
    def with_candidate(artery):
        best = Candidate(MASK, artery.curve_hu, artery.fit, 1.0, 0.5, "left; beside bone", confidence=confidence)
        return replace(artery, candidates=(best,))

    found = findings(artery=with_candidate)
    assert bool(found) == doubted
    assert all(f.severity == "warning" and "confidence 0.20 of 1 (left; beside bone)" in f.text for f in found)


def test_a_weak_bolus_is_told_from_partial_volume():
    """Where the vein, which is wider than a voxel, is weak too, the injection was weak."""

    def weak(curve):
        return replace(curve, measured_hu=0.2 * curve.measured_hu, curve_hu=0.2 * curve.curve_hu)

    assert only(artery=weak, vein=weak).text.startswith("Weak bolus: blood enhances by 60 HU")


def test_a_vein_that_is_the_artery_and_one_that_is_another_curve_are_warnings():
    assert "it may be an artery" in only(vein=good()[3]).text
    other = np.sin(np.arange(70.0)) ** 2 * 200.0
    found = findings(vein=lambda vein: replace(vein, measured_hu=other))
    assert any("not the arterial one after its way" in finding.text for finding in found)


def test_an_artery_without_a_fit_is_a_warning():
    assert "AIF mask" in only(artery=lambda artery: replace(artery, fit=None)).text


def test_a_missing_vein_is_a_warning():
    finding = only(vein=None)
    assert finding.severity == "warning" and "partial volume of the arterial input is not corrected" in finding.text


def test_a_large_partial_volume_factor_is_a_warning():
    finding = only(artery=lambda artery: replace(artery, partial_volume_factor=8.0))
    assert finding.severity == "warning" and finding.value == 8.0


def test_units_stand_with_their_numbers():
    for finding in findings(
        bolus=lambda bolus: replace(bolus, baseline_frames=1),
        curves=lambda curves: replace(curves, noise=np.full(40, 20.0, np.float32)),
        artery=lambda artery: replace(
            artery, measured_hu=0.1 * artery.measured_hu, fit=None, partial_volume_factor=8.0
        ),
    ):
        assert finding.text.endswith(".") and finding.text[0].isupper()


@pytest.mark.parametrize(("voxels", "expected"), [(5, False), (6, True)])
def test_too_little_tissue_is_a_warning(voxels, expected):
    grid = Geometry((10, 1, 1), (10.0, 10.0, 10.0))
    brain, csf, vessels = np.ones((1, 1, 10), bool), np.zeros((1, 1, 10), bool), np.zeros((1, 1, 10), bool)
    csf[..., : voxels - 1] = True
    vessels[..., -1] = True
    masks = [Image(values, grid) for values in (brain, csf, vessels)]
    found = judge_tissue(*masks, settings=Settings())
    assert bool(found) == expected
    if found:
        assert "Only 40% of the brain mask is tissue, at least 50% is expected" in found[0].text
        assert "takes 5 mL, large vessels 1 mL" in found[0].text
