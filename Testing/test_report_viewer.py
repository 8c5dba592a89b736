"""What the page holds for its script: values of the run, rounded no further than stated, on the right side."""

from __future__ import annotations

import base64
import io
import json
import zlib
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from PIL import Image as Pillow

from PyPeTLib import report_viewer
from PyPeTLib.display import MAP_WINDOWS, SD_SHARE, brain_crop
from PyPeTLib.geometry import Image
from PyPeTLib.orientation import radiological
from PyPeTLib.records import Curves
from PyPeTLib.report_viewer import BITS, viewer_data


@pytest.fixture(scope="module")
def data(tiny_analysis):
    return viewer_data(tiny_analysis, {})


def unpack(text):
    return np.cumsum(np.frombuffer(zlib.decompress(base64.b64decode(text), 31), np.uint8), dtype=np.uint8)


def shown(analysis, values):
    geometry = analysis.series.geometry
    return radiological(values, geometry)[(..., *brain_crop(radiological(analysis.brain.values, geometry)))]


def decoded(address, known, steps, shape):
    """Return the HU of a picture of slices, shape (slice, row, column)."""
    levels = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L"))
    across = int(np.ceil(np.sqrt(shape[0])))
    slices = levels.reshape(-1, shape[1], across, shape[2]).swapaxes(1, 2).reshape(-1, *shape[1:])[: shape[0]]
    return np.interp(slices, steps, known)


def test_page_holds_plain_numbers_and_the_same_every_time(data, tiny_analysis):
    text = json.dumps(data, allow_nan=False)
    assert json.dumps(viewer_data(tiny_analysis, {}), allow_nan=False) == text


def test_maps_are_rounded_by_half_a_step_within_their_range(data, tiny_analysis):
    layers = {layer["key"]: layer for layer in data["layers"]}
    inside = shown(tiny_analysis, tiny_analysis.brain.values)
    for name, image in (*tiny_analysis.maps.items(), *((f"{n}_sd", i) for n, i in tiny_analysis.maps.sd.items())):
        layer, truth = layers[name], shown(tiny_analysis, image.values)[inside]
        high = MAP_WINDOWS[name.partition("_")[0]][1] * (SD_SHARE if name.endswith("_sd") else 1.0)
        assert layer["window"] == (0.0, high) and layer["step"] <= 2.5 * high / 63
        level = unpack(layer["values"]).astype(float)
        found = layer["low"] + (level - 1) * layer["step"]
        np.testing.assert_array_equal(level == 0, np.isnan(truth))
        known = np.isfinite(truth) & (truth >= layer["low"]) & (level < layer["top"])
        assert known.mean() > 0.8
        np.testing.assert_allclose(found[known], truth[known], atol=0.501 * layer["step"])


def test_values_beyond_the_range_are_marked_as_such(tiny_analysis):
    values = np.where(tiny_analysis.brain.values, 1000.0, np.nan)
    cbf = replace(tiny_analysis.maps.cbf, values=values)
    run = replace(tiny_analysis, maps=replace(tiny_analysis.maps, cbf=cbf))
    layer = next(layer for layer in viewer_data(run, {})["layers"] if layer["key"] == "cbf")
    assert set(unpack(layer["values"])) == {layer["top"]}


def curves_of(data):
    levels = np.stack([unpack(row).view(np.int8) for row in data["curves"]["levels"]], axis=1)
    weights = data["curves"]["even"] * np.sinh(levels * data["curves"]["ratio"])
    return weights @ np.array(data["curves"]["basis"])


def test_curves_are_rebuilt_from_components(data, tiny_analysis):
    curves = tiny_analysis.curves
    volume = np.zeros((tiny_analysis.series.frames, *curves.mask.shape), np.float32)
    volume[:, curves.mask] = (curves.coefficients @ curves.basis).T
    truth = shown(tiny_analysis, volume)[:, shown(tiny_analysis, curves.mask)].T
    error = np.abs(curves_of(data) - truth).max(axis=1)
    assert np.median(error) < 0.3
    assert (error < 0.3 + 0.05 * np.abs(truth).max(axis=1)).mean() > 0.99


def test_many_components_are_reduced_to_the_largest(tiny_analysis):
    curves, mask = tiny_analysis.curves, tiny_analysis.curves.mask
    rows = np.asarray(curves.coefficients @ curves.basis, np.float32)
    bare = Curves(rows, np.eye(rows.shape[1], dtype=np.float32), curves.noise, mask)
    few = viewer_data(replace(tiny_analysis, curves=bare), {})
    assert len(few["curves"]["levels"]) == len(few["curves"]["basis"]) == report_viewer.MOST_COMPONENTS
    error = np.abs(curves_of(few) - curves_of(viewer_data(tiny_analysis, {}))).max(axis=1)
    assert np.median(error) < 0.4


def test_raw_frames_keep_their_noise(data, tiny_analysis):
    scan, frame = data["scan"], 20
    assert scan["block"] == 1, "of a small scan every voxel is shown"
    inside = shown(tiny_analysis, tiny_analysis.brain.values)
    before = decoded(scan["before"], *scan["before_steps"], data["shape"])
    found = (before + decoded(scan["frames"][frame], *scan["frames_steps"], data["shape"]))[inside]
    truth = shown(tiny_analysis, tiny_analysis.raw.values[frame].astype(float))[inside]
    usual = np.abs(truth - np.median(truth)) < 30
    assert np.std(found[usual]) == pytest.approx(np.std(truth[usual]), rel=0.15)
    assert np.corrcoef(found[usual], truth[usual])[0, 1] > 0.8


def test_lesion_on_the_left_is_on_the_right(data, tiny_analysis):
    bits = unpack(data["masks"]).reshape(data["shape"])
    assert tiny_analysis.lesions.side == "left"
    columns = np.nonzero(bits & BITS["hypoperfusion"])[2]
    assert columns.min() > data["shape"][2] / 2
    assert data["start"] == (bits & BITS["hypoperfusion"] > 0).sum(axis=(1, 2)).argmax()


def test_masks_are_those_of_the_run(data, tiny_analysis):
    bits = unpack(data["masks"]).reshape(data["shape"])
    masks = {"brain": tiny_analysis.brain, "aif": tiny_analysis.aif.mask, "vof": tiny_analysis.vof.mask}
    masks |= {"core": tiny_analysis.lesions.core, "hypoperfusion": tiny_analysis.lesions.hypoperfusion}
    assert set(masks) == set(BITS)
    for name, mask in masks.items():
        np.testing.assert_array_equal((bits & BITS[name]) > 0, shown(tiny_analysis, mask.values))


def test_large_grids_are_thinned_out_in_the_plane(tiny_analysis, monkeypatch):
    monkeypatch.setattr(report_viewer, "MOST_VOXELS", int(tiny_analysis.brain.values.sum()) // 3)
    thin = viewer_data(tiny_analysis, {})
    assert thin["thinning"] == 2 and "one in 2 × 2 of the plane" in thin["note"]
    picked = shown(tiny_analysis, tiny_analysis.maps.cbf.values)[:, 1::2, 1::2]
    assert thin["shape"] == picked.shape
    inside = shown(tiny_analysis, tiny_analysis.brain.values)[:, 1::2, 1::2]
    assert unpack(thin["layers"][4]["values"]).size == inside.sum()
    assert thin["full"] == shown(tiny_analysis, tiny_analysis.brain.values).shape[1:]


@pytest.mark.parametrize(("slices", "told"), [(1, "1 slice."), (2, "2 slices."), (4, "3 slices.")])
def test_the_maximum_is_that_of_no_more_slices_than_there_are(tiny_analysis, monkeypatch, slices, told):
    """Of the scan only a few slices are shown."""
    monkeypatch.setattr(report_viewer, "radiological", lambda values, geometry: values[..., :slices, :, :])
    assert viewer_data(tiny_analysis, {})["note"].endswith(f"The maximum is that of {told}")


def test_long_scans_are_thinned_out_in_their_frames_only(tiny_analysis, monkeypatch):
    monkeypatch.setattr(report_viewer, "MOST_SAMPLES", int(tiny_analysis.brain.values.sum()) * 20)
    thin = viewer_data(tiny_analysis, {})
    assert (thin["thinning"], thin["scan"]["block"]) == (1, 2)


def test_reference_maps_are_held_in_the_unit_and_window_of_ours(tiny_analysis):
    cbf = tiny_analysis.maps.cbf
    given = viewer_data(tiny_analysis, {"cbf": Image(np.full(cbf.values.shape, 20.0), cbf.geometry)})
    layer = next(layer for layer in given["layers"] if layer["key"] == "cbf_reference")
    assert (layer["unit"], layer["window"], layer["group"]) == (cbf.unit, MAP_WINDOWS["cbf"], "Reference")
    assert layer["low"] + (unpack(layer["values"])[0] - 1) * layer["step"] == pytest.approx(20.0, abs=layer["step"])


def test_reference_maps_are_held_in_the_order_of_ours(tiny_analysis):
    maps = tiny_analysis.maps
    given = viewer_data(tiny_analysis, {name: getattr(maps, name) for name in ("tmax", "mtt", "cbf")})
    held = [layer["key"] for layer in given["layers"] if layer["group"] == "Reference"]
    assert held == ["cbf_reference", "mtt_reference", "tmax_reference"]
