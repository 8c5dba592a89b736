"""The whole analysis: on a small head, with the user's masks, under cancelling, and on any number of processors."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
import pytest

from PyPeTLib import (
    Cancelled,
    Geometry,
    Image,
    InputError,
    Points,
    Prepared,
    QualityError,
    Series,
    Settings,
    TimeCurve,
    analyze,
    finish,
    prepare,
    read_image,
)
from PyPeTLib.deconvolve import MODELS
from PyPeTLib.methods import methods_text
from PyPeTLib.records import Response
from PyPeTLib.settings import READ_WITH, DeconvolutionMethod, describe_settings, is_read, without_effect

MAPS = ("cbf", "cbv", "mtt", "tmax", "ttp")


def tissue_of(head, analysis):
    """Voxels of tissue alone, away from vessels."""
    return head.masks["pure_tissue"].values & ~head.masks["near_vessel"].values & analysis.brain.values


def fingerprint(analysis):
    digest = hashlib.sha256(analysis.brain.values.tobytes() + analysis.aif.curve_hu.tobytes())
    digest.update(b"".join(one.values.tobytes() for one in (analysis.csf, analysis.vessels, analysis.bone)))
    derived = [*analysis.derived.items(), *analysis.lesions.masks()]
    for name, image in [*analysis.maps.items(), *analysis.maps.companions(), *derived]:
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


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [("bayesian", 0.9, 1.1), ("bSVD", 0.4, 0.8)],  # bias of truncation: 0.46 to 0.64 at an MTT of 4 s
)
def test_flow_is_that_of_the_truth_or_low_by_the_known_bias_of_truncation(head, analysis, method, low, high):
    where = tissue_of(head, analysis)
    found = analysis if method == analysis.settings.method else analyze(head.series, Settings(method=method))
    truth, flow = head.truth["cbf"].values[where], found.maps.cbf.values[where]
    assert low < (truth @ flow) / (truth @ truth) < high
    assert np.corrcoef(truth, flow)[0, 1] > 0.5


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
    coverage, timing = (check for check in analysis.checks if check.status != "pass")
    assert (coverage.name, coverage.status, coverage.value) == ("coverage", "warn", 48.0)
    assert (timing.name, timing.status) == ("timing", "warn"), "of pixels of 2.1 mm few are averaged"
    assert f"{analysis.bolus.baseline_frames} frames before bolus arrival" in analysis.methods_text
    for word in (
        "Bayesian comparison",
        "bilateral",
        "residue (the shape that fits this brain",
        "0.45",
        "1.05 g/mL",
    ):
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


def test_the_curve_of_a_mask_given_instead_of_it_gives_the_same_maps(tiny_head, tiny_analysis):
    """The baseline of what is given does not matter, nor does where it was measured.

    The shape of the residue is given: when it is sought, the noise of a curve is taken from its baseline, that of a
    mask from its voxels.
    """
    times, quick = tiny_head.series.times_s, Settings(denoise="gaussian", residue="exponential")
    masks = {"aif": tiny_analysis.aif.mask, "vof": tiny_analysis.vof.mask}
    curves = {name: mask_curve(tiny_head.series, mask) for name, mask in masks.items()}
    by_mask, by_curve = analyze(tiny_head.series, quick, **masks), analyze(tiny_head.series, quick, **curves)
    same_maps(by_curve, by_mask, rtol=1e-6, atol=1e-6)
    for found, expected in ((by_curve.aif, by_mask.aif), (by_curve.vof, by_mask.vof)):
        np.testing.assert_allclose(found.curve_hu, expected.curve_hu, atol=1e-6)
        assert found.fit.peak_s == pytest.approx(expected.fit.peak_s, abs=1e-3)
        assert found.partial_volume_factor == pytest.approx(expected.partial_volume_factor)
        assert found.source == "user's curve" and not found.mask.values.any()
        assert found.mask.geometry.matches(tiny_head.series.geometry)
    assert by_curve.bolus.baseline_frames == by_mask.bolus.baseline_frames
    assert times is tiny_head.series.times_s


def mask_curve(series, mask):
    """HU of a mask, with its baseline."""
    return TimeCurve(series.times_s, np.array([frame[mask.values].mean(dtype=float) for frame in series.values]))


def test_a_users_curve_shortens_the_baseline_as_a_mask_does(tiny_head, tiny_analysis):
    """What enhances earlier than the vessels of the scan shows that its baseline holds contrast agent."""
    curve = mask_curve(tiny_head.series, tiny_analysis.aif.mask)
    times = np.append(curve.times_s - 3.0, curve.times_s[-1])
    early = prepare(
        tiny_head.series, Settings(denoise="gaussian"), aif=TimeCurve(times, np.append(curve.hu, curve.hu[-1]))
    )
    assert 1 < early.bolus.baseline_frames < tiny_analysis.bolus.baseline_frames
    before = early.aif.measured_hu[: early.bolus.baseline_frames]
    assert before.mean() == pytest.approx(0.0, abs=1e-9)


def test_a_curve_at_other_times_is_brought_onto_those_of_the_scan(tiny_head, tiny_analysis):
    given = mask_curve(tiny_head.series, tiny_analysis.aif.mask)
    fine = np.arange(given.times_s[0] - 7.25, given.times_s[-1] + 9.0, 0.25)
    dense = TimeCurve(fine, np.interp(fine, given.times_s, given.hu))
    one, other = (prepare(tiny_head.series, Settings(denoise="gaussian"), aif=curve).aif for curve in (given, dense))
    np.testing.assert_allclose(other.curve_hu, one.curve_hu, atol=1e-9)


@pytest.mark.parametrize(("start", "end"), [(1.5, 44.0), (0.0, 42.5), (5.0, 20.0)])
def test_a_curve_that_does_not_cover_the_scan_is_refused(tiny_head, start, end):
    times = np.linspace(start, end, 30)
    message = rf"Arterial curve: times that cover the scan, 0 to 44 s, .* found {start:g} to {end:g} s\. Give"
    with pytest.raises(InputError, match=message):
        analyze(tiny_head.series, aif=TimeCurve(times, np.sin(times)))
    with pytest.raises(InputError, match="Venous curve: times"):
        analyze(tiny_head.series, vof=TimeCurve(times, np.sin(times)))


def test_a_curve_may_end_one_frame_from_the_end_of_the_scan(tiny_head, tiny_analysis):
    given = mask_curve(tiny_head.series, tiny_analysis.aif.mask)
    short = TimeCurve(given.times_s[1:-1], given.hu[1:-1])
    found = prepare(tiny_head.series, Settings(denoise="gaussian"), aif=short).aif.curve_hu
    assert found[-1] == found[-2] and found[0] == found[1]


def test_a_curve_in_milliseconds_is_refused(tiny_head):
    """It covers the scan many times over, and of its points one lies within."""
    times = 1e3 * np.arange(45.0)
    match = "at least 5 points within the scan, 0 to 44 s, are needed; found 1 of 45, from 0 to 44000 s"
    with pytest.raises(InputError, match=match):
        analyze(tiny_head.series, aif=TimeCurve(times, np.sin(times)))


@pytest.mark.parametrize("values", [np.zeros(45), np.linspace(9.0, 0.0, 45)])
def test_a_curve_that_does_not_rise_is_refused(tiny_head, values):
    with pytest.raises(InputError, match="Arterial curve: HU that rise above the first value are needed; found"):
        analyze(tiny_head.series, aif=TimeCurve(np.arange(45.0), values))


def test_a_curve_without_a_bolus_is_invalid(tiny_head):
    noise = np.random.default_rng(0).normal(0.0, 5.0, 45)
    with pytest.raises(QualityError, match=r"The arterial curve is no bolus: .* Check the AIF curve"):
        analyze(tiny_head.series, aif=TimeCurve(np.arange(45.0), noise))


@pytest.mark.parametrize("own_mask", [False, True])
def test_an_export_of_what_a_window_shows_is_refused(tiny_head, own_mask):
    """Of 0 to 80 HU: once frames were put back it passed for a scan without its skull, and flow was a third off."""
    series, brain = tiny_head.series, tiny_head.masks["brain"] if own_mask else None
    window = replace(series, values=series.values.clip(0, 80))
    with pytest.raises(QualityError, match=r"Values are cut at 80 HU, .* Blood with contrast agent is brighter"):
        analyze(window, brain=brain)


def test_a_run_on_curves_is_written_and_described_without_voxels(tiny_head, tiny_analysis, tmp_path):
    from PyPeTLib.results import write_analysis
    from PyPeTLib.stages import STAGES, aif_figure
    from PyPeTLib.summary import summary
    from PyPeTLib.truth import compare_with_truth

    curves = [mask_curve(tiny_head.series, one.mask) for one in (tiny_analysis.aif, tiny_analysis.vof)]
    run = analyze(tiny_head.series, Settings(denoise="gaussian"), aif=curves[0], vof=curves[1])
    assert "The arterial input was supplied as a curve" in run.methods_text
    assert "to the blood of the supplied venous curve" in run.methods_text
    assert "0 voxels" not in run.methods_text
    facts = summary(run)["aif"]
    assert (facts["voxels"], facts["source"], facts["candidates"]) == (0, "user's curve", [])
    write_analysis(run, tmp_path)
    written = (tmp_path / "phantom_report.html").read_text(encoding="utf-8")
    assert "Place of the arterial input" not in written and "user&#39;s curve" in written
    masks = [tmp_path / f"phantom_{key}_mask.nii.gz" for key in ("aif", "vof")]
    assert not any(read_image(path).values.any() for path in masks)
    assert np.isnan(compare_with_truth(run, tiny_head)["aif_arterial_share"])
    assert "5_aif" in STAGES
    texts = [text.get_text() for axes in aif_figure(run).axes for text in axes.texts]
    assert any("AIF supplied as a curve" in text for text in texts)


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


def test_a_run_tells_of_an_open_skull_but_not_around_the_users_mask(head):
    """Bone is taken out on one side of one slice: the slices above stay, and say the same."""
    series, right = head.series, np.arange(96) < 20
    values = series.values.copy()
    values[:, 3][(values[:, 3] > 150) & right] = 40
    opened = replace(series, values=values)
    found = prepare(opened)
    told = {check.name: check for check in found.checks}["skull"]
    assert (told.status, told.value) == ("warn", 1.0) and "open in 1 of 6 slices" in told.text
    inside = head.masks["brain"].values
    assert found.brain.values[inside].mean() > 0.95
    again = prepare(opened, brain=found.brain)
    assert {check.name: check.status for check in again.checks}["skull"] == "not applicable"


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


@pytest.mark.parametrize("force", [False, True])
def test_a_brain_mask_in_which_all_might_be_vessels_is_refused(tiny_head, tiny_analysis, force):
    few = np.zeros_like(tiny_analysis.brain.values)
    few.ravel()[np.flatnonzero(tiny_analysis.brain.values)[:43]] = True
    with pytest.raises(InputError, match=r"Brain mask: at least 100 voxels are needed; found 43 voxels\. Give all of"):
        analyze(tiny_head.series, brain=Image(few, tiny_head.series.geometry), force=force)


# --- what is refused ------------------------------------------------------------------------------------------------


def test_arrays_of_few_frames_or_without_numbers_are_refused(tiny_head):
    series = tiny_head.series
    short = replace(series, values=series.values[:2], times_s=series.times_s[:2])
    with pytest.raises(InputError, match=r"at least 10 frames are needed; found 2\. Give the complete scan"):
        analyze(short)
    values = series.values.astype(np.float32)
    values[[7, 9], 2, 30, 30] = np.nan, np.inf
    with pytest.raises(InputError, match=r"a number in every voxel is needed; found 2 of 45 .*number 8 first\. Set"):
        analyze(replace(series, values=values))


@pytest.mark.parametrize("factor, step", [(1000.0, "1000 s"), (1 / 60, "0.0166667 s")])
def test_times_of_no_scan_are_refused_in_arrays_as_in_files(tiny_head, factor, step):
    series = replace(tiny_head.series, times_s=tiny_head.series.times_s * factor, time_source="by hand")
    with pytest.raises(InputError, match=f"increase by 0.1 to 30 s from frame to frame; found {step}.*by hand"):
        analyze(series)


def test_an_argument_of_another_kind_is_refused_by_its_name(tiny_head):
    series, ones = tiny_head.series, np.ones(tiny_head.series.geometry.shape, dtype=bool)
    need = r"Argument {}: {} is needed; found {}\. {}"
    for arguments, words in (
        ({"series": "scan.nii.gz"}, ("series", "Series", "str", "Read it with read_series")),
        ({"series": series, "settings": {"method": "bSVD"}}, ("settings", "Settings", "dict", "Give Settings")),
        ({"series": series, "brain": ones}, ("brain", "Image", "ndarray", "For a mask give Image")),
        ({"series": series, "vof": ones}, ("vof", "Image, Points or TimeCurve", "ndarray", "For a mask give Image")),
    ):
        with pytest.raises(InputError, match=need.format(*words)):
            analyze(**arguments)


@pytest.mark.parametrize("kind", [list, np.ma.masked_array, lambda values: values.astype(complex)])
def test_values_that_are_no_plain_array_of_real_numbers_are_refused(tiny_head, kind):
    series = tiny_head.series
    with pytest.raises(InputError, match=r"Scan phantom_ctp: a (plain )?numpy array .*; found"):
        replace(series, values=kind(series.values))
    with pytest.raises(InputError, match=r"Image: a (plain )?numpy array .*; found"):
        Image(kind(series.values[0]), series.geometry)


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="there are no wider numbers, as on Windows")
def test_values_wider_than_64_bits_are_not_analysed(tiny_head):
    wide = replace(tiny_head.series, values=tiny_head.series.values.astype(np.longdouble))
    with pytest.raises(InputError, match=r"numbers of at most 64 bits are needed; found values of type .*Convert them"):
        analyze(wide)


def test_times_in_columns_are_told_from_times_in_a_row(tiny_head):
    series = tiny_head.series
    with pytest.raises(InputError, match=r"one time a frame is needed, 45 in all; found times of shape \(45, 1\)"):
        replace(series, times_s=series.times_s[:, np.newaxis])
    with pytest.raises(InputError, match=r"one time a frame is needed, 45 in all; found 44\."):
        replace(series, times_s=series.times_s[1:])


def test_a_point_is_three_numbers():
    with pytest.raises(InputError, match=r"x, y, z in mm of each are needed; found 1\.0\. Give all three"):
        Points((1.0, 2.0, 3.0))


def test_what_was_read_holds_the_frames_that_are_left_out(tiny_head):
    values = tiny_head.series.values.copy()
    values[20] = 0
    read = replace(tiny_head.series, values=values)
    prepared = prepare(read)
    assert prepared.raw is read
    np.testing.assert_array_equal(prepared.series.times_s, np.delete(read.times_s, 20))


@pytest.mark.parametrize("left", [1, 2, 9])
def test_a_scan_of_which_few_frames_are_left_is_refused(tiny_head, left):
    values = tiny_head.series.values.copy()
    values[left:] = np.roll(values[left:], 2, axis=2)
    moved = replace(tiny_head.series, values=values)
    with pytest.raises(QualityError, match=f"at least 10 .*; found {left} of {moved.frames}"):
        prepare(moved, Settings(motion_beyond="leave-out", motion_limit_mm=2.0), force=True)


def test_a_brain_of_which_every_frame_shows_few_voxels_is_refused(tiny_head, tiny_analysis):
    whole, mask = tiny_analysis.brain.values, np.zeros_like(tiny_analysis.brain.values)
    for z, voxels in ((3, 110), (2, 10)):
        mask[(z, *np.argwhere(whole[z])[:voxels].T)] = True
    values = tiny_head.series.values.copy()
    values[20, 3] = -1024
    with pytest.raises(QualityError, match=r"at least 100 voxels .* found \d+ of 120"):
        prepare(replace(tiny_head.series, values=values), brain=Image(mask, tiny_analysis.brain.geometry), force=True)


@pytest.mark.parametrize("left", [0.8, 0.4])
def test_what_of_a_mask_was_never_scanned_is_left_out_and_told(tiny_head, tiny_analysis, left):
    """As where a mask is larger than what another program left of a head; there is no noise."""
    brain, values = tiny_analysis.brain, tiny_head.series.values.copy()
    columns = np.flatnonzero(brain.values.any(axis=(0, 1)))
    shown = np.arange(values.shape[3]) < columns[int(left * len(columns))]
    values[..., ~shown] = 0
    filled = replace(tiny_head.series, values=values)
    found = analyze(filled, Settings(motion="off"), brain=brain, force=True)
    np.testing.assert_array_equal(found.brain.values, brain.values & shown)
    (check,) = (check for check in found.checks if check.name == "field of view")
    assert check.status == "warn" and "filled with one value there: left out" in check.text
    assert np.isfinite(found.maps.cbf.values[found.brain.values]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (4, 3)},
        {"size": (4.5, 3, 2)},
        {"size": (4, 3, 0)},
        {"spacing_mm": (1.0, 1.0)},
        {"spacing_mm": None},
        {"origin_mm": (1.0, 2.0)},
        {"direction": (1.0, 0.0, 0.0)},
    ],
)
def test_a_grid_of_fewer_numbers_is_refused(wrong):
    with pytest.raises(InputError, match=r"Grid: .* needed.*; found"):
        Geometry(**{"size": (4, 3, 2), "spacing_mm": (1.0, 1.0, 1.0), **wrong})


def test_grids_of_lists_and_arrays_are_those_of_tuples():
    grid = Geometry((4, 3, 2), (1.0, 1.0, 5.0))
    lists = Geometry([4, 3, 2], [1, 1, 5], [0, 0, 0], np.eye(3))
    assert lists == grid and lists.matches(grid) and hash(lists) == hash(grid)


@pytest.mark.parametrize("without", [float("nan"), float("inf")])
@pytest.mark.parametrize("what", ["spacing_mm", "origin_mm", "direction"])
def test_a_grid_of_no_numbers_is_refused(tiny_head, what, without):
    grid = tiny_head.series.geometry
    with pytest.raises(InputError, match="found"):
        replace(grid, **{what: (*getattr(grid, what)[:-1], without)})


def test_an_arterial_curve_that_never_rises_is_refused_even_when_forced(tiny_head):
    air = np.zeros(tiny_head.series.geometry.shape, dtype=bool)
    air[:, :3, :3] = True
    still = replace(tiny_head.series, values=np.where(air, -1000, tiny_head.series.values).astype(np.float32))
    with pytest.raises(QualityError, match=r"a positive, finite arterial input is needed; found none"):
        analyze(still, aif=Image(air, still.geometry), force=True)


def test_voxels_of_no_scan_are_refused_before_anything_is_made_of_their_size(tiny_head, monkeypatch):
    monkeypatch.setattr("PyPeTLib.brain.stripped_brain", lambda *_: pytest.fail("looked at"))
    small = replace(tiny_head.series.geometry, spacing_mm=(2e-4, 2e-4, 2e-4))
    with pytest.raises(QualityError, match=r"voxels of 0.1 to 30 mm are needed; found 0.0002×0.0002×0.0002 mm"):
        analyze(replace(tiny_head.series, geometry=small), Settings(motion="off"))


def test_contrast_from_the_first_frame_is_refused_unless_forced(tiny_head):
    series = tiny_head.series
    late = Series(series.values[16:], series.times_s[16:], series.geometry)
    with pytest.raises(QualityError, match=r"from the start of the scan.*Use --force .*in 3D Slicer 'Compute maps"):
        analyze(late)
    forced = analyze(late, force=True)
    assert "fail" in {check.status for check in forced.checks}
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


@pytest.mark.parametrize("step", ["likeliest_residue", "find_midplane"])
def test_cancelling_stops_what_runs_beside_another_step(tiny_head, monkeypatch, step):
    """Residue and plane are sought at the same time, on threads that may not report themselves."""
    made, stopped = [], []

    def endless(*_, progress, **__):
        for _ in range(1000):
            time.sleep(0.01)
            try:
                progress(0.5, "")
            except CancelledError:
                stopped.append(step)
                raise

    def cancel(fraction, text):
        made.append(text)
        if len(made) > 1:  # the first one comes before both begin
            raise Cancelled("by the test")

    monkeypatch.setattr(f"PyPeTLib.pipeline.{step}", endless)
    with pytest.raises(Cancelled, match="by the test"):
        finish(prepare(tiny_head.series), progress=cancel)
    assert stopped == [step]


def test_lesions_move_progress_and_heed_cancel(tiny_head):
    prepared, seen = prepare(tiny_head.series, Settings(**KNOWN)), []
    finish(prepared, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, text in seen if text == "Lesions"]
    assert len(set(fractions)) > 15 and fractions == sorted(fractions)
    for stop in range(1, len(fractions), 4):
        left = [stop]

        def cancel(fraction, text, left=left):
            left[0] -= text == "Lesions"
            if left[0] < 0:
                raise Cancelled("by the test")

        with pytest.raises(Cancelled, match="by the test"):
            finish(prepared, progress=cancel)
        assert left == [-1], "once raised, it is not called again"


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
    "tikhonov_choice": {"method": "tikhonov"},
    "tikhonov_strength": {"method": "tikhonov", "tikhonov_choice": "fixed"},
    "slope_": {"method": "max-slope"},
    "correction": {"method": "bSVD"},
    "motion_limit": {"motion_beyond": "leave-out"},
    "motion_beyond": {"motion_limit_mm": 5.0},
}
#: A residue that is not sought saves a third of a run.
KNOWN = {"residue": "exponential"}
#: Settings of lesions change nothing before them: `test_lesions` and `test_midsagittal` see what they change.
OF_LESIONS = {
    *("lesion_rule", "core_map", "core_rcbf", "core_cbv", "core_inside", "smallest_lesion_ml", "normal_tmax_s"),
    *("hypoperfusion_map", "hypoperfusion_tmax_s", "hypoperfusion_delay_s", "hypoperfusion_rmtt"),
    *("both_sides_share", "both_sides_ml", "midplane_limit_degrees", "late_probability", "vessel_margin_mm"),
}
#: Colours change pictures only: `test_report` and `test_scene_maps` see that.
OF_PICTURES = {"colours"}
OTHER = {
    "residue": "box",
    "motion": "off",
    "motion_tolerance_mm": 0.0,  # of a small head at rest poses are off by a tenth of a pixel
    "aif_minimum_volume_ml": 1.0,
    "aif_maximum_volume_ml": 0.05,
    "minimum_enhancement_hu": 50.0,
    "brain_opening_mm": 15.0,
    "tissue_low_hu": 20.0,
    "curvature_flow_iterations": 1,
}


def other_value(info):
    if info.choices:
        return OTHER.get(info.name, next(word for word in info.choices if word != info.default))
    fallback = 0.5 * (info.low + info.default) if info.default > info.low else 0.5 * (info.low + info.high)
    return OTHER.get(info.name, type(info.default)(fallback))


def outcome(series, settings):
    try:
        return fingerprint(analyze(series, settings))
    except QualityError as error:
        return str(error)


@pytest.fixture(scope="module")
def outcome_without(tiny_head):
    """What becomes of the head before a setting changes: many settings change from the same."""
    return cache(lambda **chosen: outcome(tiny_head.series, Settings(**chosen)))


@pytest.mark.parametrize(
    "info",
    [info for info in describe_settings() if info.name not in OF_LESIONS | OF_PICTURES],
    ids=lambda info: info.name,
)
def test_every_setting_changes_something(tiny_head, outcome_without, info):
    series = tiny_head.series
    if info.name == "minimum_enhancement_hu":  # a weak bolus
        start = series.values[:1].astype(np.float32)
        series = replace(series, values=start + 0.1 * (series.values - start))
    if info.name == "drift":
        series = replace(series, values=series.values + (0.1 * series.times_s[:, None, None, None]).astype(np.float32))
    if info.name in ("motion", "motion_limit_mm", "motion_beyond"):  # one frame moves by two voxels, 6.4 mm
        shifted = np.roll(series.values[30:31], 2, axis=3)
        series = replace(series, values=np.concatenate([series.values[:30], shifted, series.values[31:]]))
    base = {**KNOWN, **next((chosen for prefix, chosen in NEEDED.items() if info.name.startswith(prefix)), {})}
    changed = outcome(series, Settings(**{**base, info.name: other_value(info)}))
    assert changed != (outcome_without(**base) if series is tiny_head.series else outcome(series, Settings(**base)))


#: Words of choices that together are all that decide which settings are read.
CHOSEN = (
    {},
    {"method": "bayesian", "lesion_rule": "own", "core_map": "CBV", "hypoperfusion_map": "delay", "residue": "gamma-2"},
    {"method": "nlr", "denoise": "gaussian", "motion": "on", "lesion_rule": "MIStar-like"},
    {"method": "stable-spline", "denoise": "curvature-flow", "motion": "off", "lesion_rule": "Philips-like"},
    {"method": "max-slope", "lesion_rule": "own", "core_map": "CBV", "hypoperfusion_map": "rMTT"},
    {"method": "bSVD", "denoise": "none", "lesion_rule": "Cereda"},
    {"method": "sSVD", "correction": "simulation", "lesion_rule": "own"},
    {"method": "oSVD", "correction": "simulation", "residue": "box"},
    {"method": "tikhonov"},
    {"method": "tikhonov", "tikhonov_choice": "fixed"},
)


class Recorded(Settings):
    """Settings that keep which of them a run reads; copying and checking them does not count."""

    names: ClassVar[set[str]] = set()

    def __getattribute__(self, name):
        caller = sys._getframe(1)
        copying = caller.f_globals["__name__"] == "dataclasses" or caller.f_code.co_name in ("items", "__post_init__")
        if not copying:
            Recorded.names.add(name)
        return super().__getattribute__(name)


@pytest.fixture(scope="module", params=CHOSEN, ids=lambda chosen: "-".join(chosen.values()) or "defaults")
def recorded(request, tiny_head):
    """Settings of some choices, what a run with them found, and the names of those that it read."""
    Recorded.names.clear()
    found = analyze(tiny_head.series, Recorded(**request.param))
    return Settings(**request.param), found, frozenset(Recorded.names)


def test_a_setting_that_is_said_to_be_unread_changes_nothing(tiny_head, recorded):
    base, found, _ = recorded
    unread = {info.name: other_value(info) for info in describe_settings() if not is_read(info.name, base)}
    changed = base.changed(unread)
    assert unread and set(without_effect(changed)) == unread.keys() and not without_effect(base)
    other = analyze(tiny_head.series, changed)
    assert fingerprint(found) == fingerprint(other)
    assert repr(found.lesions.volumes_ml) == repr(other.lesions.volumes_ml)


def test_a_setting_that_is_said_to_be_read_is_read(recorded):
    base, _, names = recorded
    said = {info.name for info in describe_settings() if is_read(info.name, base)}
    assert said - OF_PICTURES <= names


def test_the_chosen_words_are_all_that_decide(tiny_head):
    """Else the test above would leave some out."""
    seen = {(name, getattr(Settings(**chosen), name)) for chosen in CHOSEN for name in READ_WITH}
    decide = {(name, word) for name, words in READ_WITH.items() for word in words}
    assert decide <= seen


def test_a_residue_counts_for_a_linear_method_whose_bias_is_removed(tiny_head):
    one, other = (Settings(method="bSVD", correction="simulation", residue=name) for name in ("box", "linear"))
    assert is_read("residue", one) and outcome(tiny_head.series, one) != outcome(tiny_head.series, other)


@pytest.mark.parametrize("changes", [{"denoise": "gaussian"}, {"denoise": "none"}, {"bilateral_similarity": 0.5}])
def test_the_shape_of_the_residue_is_the_patients_whatever_the_denoising(tiny_head, tiny_analysis, changes):
    found = analyze(tiny_head.series, Settings(**changes))
    assert found.maps.residue == tiny_analysis.maps.residue == "exponential", "noise lets a sharper one fit better"
    assert tiny_analysis.shaped is None


@pytest.mark.parametrize(
    "changes", [{"denoise": "none"}, {"denoise": "curvature-flow", "curvature_flow_iterations": 1}]
)
def test_curves_that_tell_the_shape_are_those_of_a_run_with_the_default_denoising(tiny_head, tiny_analysis, changes):
    shaped = prepare(tiny_head.series, Settings(**changes)).shaped
    np.testing.assert_array_equal(shaped.coefficients, tiny_analysis.curves.coefficients)
    np.testing.assert_array_equal(shaped.basis, tiny_analysis.curves.basis)


def test_no_curves_are_made_for_a_shape_that_nobody_asks_for(tiny_head):
    for chosen in (Settings(denoise="none", residue="box"), Settings(denoise="none", method="bSVD")):
        assert prepare(tiny_head.series, chosen).shaped is None
    assert prepare(tiny_head.series, Settings(gaussian_sigma_mm=4.0)).shaped is None, "not read by bilateral"


def peak_over_peak(curves, aif_hu, times_s, *, settings, progress):
    """A method of a few words: flow is the height of a curve over that of the artery, in ten seconds."""
    rows = curves.coefficients @ curves.basis
    return Response(0.1 * rows.max(axis=1) / aif_hu.max(), times_s[rows.argmax(axis=1)] - times_s[aif_hu.argmax()])


@pytest.fixture
def toy_method(monkeypatch):
    """What `deconvolve` says that a new method needs."""
    words = Literal[(*get_args(DeconvolutionMethod), "toy")]
    with monkeypatch.context() as patched:
        patched.setattr("PyPeTLib.settings.DeconvolutionMethod", words)
        patched.setitem(MODELS, "toy", peak_over_peak)
        describe_settings.cache_clear()
        yield Settings(method="toy")
    describe_settings.cache_clear()


@pytest.mark.parametrize(
    ("method", "residue", "tmax"),
    [
        ("bSVD", "", "the time of the maximum of the response, TTP"),
        ("bayesian", "exponential", "the time of the maximum of the response, TTP"),
        ("bayesian", "box", "the time of the middle of the response, TTP"),
        ("nlr", "box", "the time of the middle of the response, TTP"),
        ("max-slope", "", "is the time from the arterial peak to the steepest rise."),
    ],
)
def test_methods_say_once_what_tmax_is_by_the_method(tiny_analysis, method, residue, tmax):
    run = replace(tiny_analysis, settings=Settings(method=method))
    text = methods_text(run, residue=residue, strength=None, lesions=run.lesions)
    assert re.findall(r"Tmax ((?:is )?the time[^,.]*[,.](?: TTP)?)", text) == [tmax]
    assert ("Impulse responses" in text) == (method != "max-slope")
    assert "Within 2 mm of large vessels tissue counted as the nearest other." in text


def test_a_new_method_runs_and_is_told_with_its_function_its_entry_and_its_name(tiny_head, tmp_path, toy_method):
    from PyPeTLib.display import method_label
    from PyPeTLib.results import write_analysis
    from PyPeTLib.summary import summary

    run = analyze(tiny_head.series, toy_method)
    assert np.nanmedian(run.maps.cbf.values[run.tissue.values]) > 0.0 and run.maps.delay is None
    assert "Impulse responses were computed by the method toy." in run.methods_text
    assert method_label(run.settings) == "toy" and summary(run)["settings"]["method"] == "toy"
    write_analysis(run, tmp_path)
    assert json.loads((tmp_path / "phantom_cbf.json").read_text())["DeconvolutionMethod"] == "toy"
    assert "toy" in (tmp_path / "phantom_report.html").read_text(encoding="utf-8")


# --- what must not matter -------------------------------------------------------------------------------------------


def test_two_runs_are_alike_to_the_last_bit(tiny_head, tiny_analysis):
    assert fingerprint(analyze(tiny_head.series)) == fingerprint(tiny_analysis)


@pytest.mark.parametrize("processors", [1, 2, 7, 64])
def test_number_of_processors_does_not_matter(monkeypatch, tiny_head, tiny_analysis, processors):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert fingerprint(analyze(tiny_head.series)) == fingerprint(tiny_analysis)


def test_threads_of_the_linear_algebra_do_not_matter(tmp_path, tiny_head):
    """One and two BLAS threads, in processes of their own, give the same bytes, and large products do."""
    series = tiny_head.series
    np.savez(tmp_path / "scan.npz", values=series.values, times=series.times_s)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy as np; from test_pipeline import *\n"
        "from PyPeTLib import Geometry; scan = np.load(sys.argv[2])\n"
        "series = Series(scan['values'], scan['times'], Geometry((64, 64, 4), (3.2, 3.2, 10.0)))\n"
        "for m in ('bayesian', 'bSVD', 'oSVD'): print(fingerprint(analyze(series, Settings(method=m))))\n"
        "from PyPeTLib.chunks import product; from PyPeTLib.denoise import weights\n"
        "draw = lambda *shape: np.random.default_rng(0).normal(size=shape).astype(np.float32)\n"
        "digest = lambda values: hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()\n"
        "print(digest(product(draw(256, 16), draw(16, 4374))), digest(weights(draw(12, 55), draw(55, 99000))))\n"
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
