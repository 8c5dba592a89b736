"""A scan out of the scene and back, on real nodes."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk
from scene_cases import (
    OBLIQUE,
    UNEVEN_S,
    dicom_sequence,
    ids,
    multivolume,
    scene,  # noqa: F401 (a fixture)
    sequence,
    small_series,
    volumes,
)

from PyPeTLib.errors import Cancelled, InputError
from PyPeTLib.geometry import Geometry
from PyPeTLib.scan import Series
from PyPeTScene.nodes import image_values
from PyPeTScene.series import describe_time_axis, scan_of, sequence_from_series, series_from_node

pytestmark = pytest.mark.usefixtures("scene")
FRAMES_S = np.arange(12.0)


def test_uneven_times_types_and_oblique_grid_survive_to_the_last_digit():
    series = small_series()
    node, browser, proxy = sequence_from_series(series, "small")
    assert (node.GetIndexName(), node.GetIndexUnit()) == ("time", "s")
    assert browser.GetProxyNode(node) is proxy
    back = series_from_node(node)
    assert back.geometry == series.geometry
    np.testing.assert_array_equal(back.times_s, series.times_s)
    np.testing.assert_array_equal(back.values, series.values)
    assert back.values.dtype == np.int16
    assert (back.name, back.time_source) == ("small", "the sequence's index (s)")


@pytest.mark.parametrize(
    ("stored", "read"), [("uint16", "uint16"), ("int32", "int32"), ("float32", "float32"), ("float64", "float32")]
)
def test_voxel_types_are_kept_but_double(stored, read):
    node, _, _ = sequence_from_series(small_series(np.abs(np.zeros(1)).astype(stored).dtype), "typed")
    assert series_from_node(node).values.dtype == np.dtype(read)


def test_frames_lie_in_ras_where_the_series_lies_in_lps():
    series = small_series()
    node, _, _ = sequence_from_series(series, "small")
    matrix = vtk.vtkMatrix4x4()
    node.GetNthDataNode(0).GetIJKToRASMatrix(matrix)
    for corner in ((0, 0, 0), (5, 4, 3)):
        lps = series.geometry.origin_mm + series.geometry.axes @ (np.array(corner) * series.geometry.spacing_mm)
        ras = matrix.MultiplyPoint((*corner, 1))[:3]
        np.testing.assert_allclose(ras, lps * (-1, -1, 1), rtol=1e-14)


def test_the_scan_is_copied_exactly_once():
    grid = Geometry((64, 64, 8), (1.0, 1.0, 1.0))
    node, _, _ = sequence_from_series(small_series(geometry=grid), "large")
    tracemalloc.start()
    series = series_from_node(node)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert series.values.nbytes <= peak < 1.1 * series.values.nbytes


def test_times_of_a_dicom_import_come_from_the_frame_labels():
    node = dicom_sequence(small_series())
    series = series_from_node(node)
    np.testing.assert_allclose(series.times_s, UNEVEN_S - UNEVEN_S[0], atol=1e-6)
    assert describe_time_axis(node).endswith(", from the DICOM times")


def test_dicom_times_win_over_the_index_and_over_what_is_typed():
    node = dicom_sequence(small_series(times_s=2.0 * FRAMES_S))
    node.SetIndexUnit("s")
    assert series_from_node(node, interval_s=3.0).interval_s == pytest.approx(2.0)


def test_index_in_milliseconds_becomes_seconds():
    node = sequence(volumes(), index=1500.0 * FRAMES_S, unit="ms", index_name="time")
    assert describe_time_axis(node) == "12 frames, 0–16.5 s, every 1.5 s, from the sequence's index (ms)"


def test_index_without_a_unit_is_no_time():
    node = sequence(volumes(), index=FRAMES_S, index_name="frame")
    with pytest.raises(InputError, match=r"time of each frame .* an index \(frame\) in no unit.*Type the time"):
        series_from_node(node)
    assert describe_time_axis(node, 2.0).endswith("every 2 s, from the interval typed, 2 s")


@pytest.mark.parametrize(
    ("labels", "unit", "found"),
    [
        ("0,1000,2000", "ms", "3 DICOM frame labels for 12 frames"),
        (",".join("abcdefghijkl"), "ms", "the first 'a'"),
        (",".join(str(k) for k in range(12)), "", "in no unit"),
        (",".join(str(k) for k in range(12)), "degrees", "in degrees"),
    ],
)
def test_useless_frame_labels_are_named(labels, unit, found):
    node = sequence(volumes(), labels=labels, label_unit=unit)
    with pytest.raises(InputError, match=found):
        describe_time_axis(node)


def test_index_of_words_is_named():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "words")
    node.SetIndexType(slicer.vtkMRMLSequenceNode.TextIndex)
    node.SetIndexUnit("s")
    for k, frame in enumerate(volumes()):
        node.SetDataNodeAtValue(frame, f"phase {k}")
    with pytest.raises(InputError, match="no number"):
        describe_time_axis(node)


def test_proxy_volume_stands_for_its_sequence():
    series = small_series()
    node, _, proxy = sequence_from_series(series, "small")
    assert scan_of(proxy) is node
    np.testing.assert_array_equal(series_from_node(proxy).values, series.values)
    assert series_from_node(proxy).geometry == series.geometry


def test_multivolume_is_a_scan():
    series = small_series()
    back = series_from_node(multivolume(series))
    np.testing.assert_array_equal(back.values, series.values)
    np.testing.assert_allclose(back.times_s, series.times_s - series.times_s[0], atol=1e-12)
    assert back.geometry == series.geometry
    assert back.values.flags.c_contiguous


def test_a_sequence_is_refilled_with_its_browser_and_proxy():
    first = sequence_from_series(small_series(), "small")
    before = ids()
    longer = small_series(times_s=np.arange(15.0))
    assert sequence_from_series(longer, "other", first[0]) == first
    assert ids() == before
    assert series_from_node(first[0]).frames == 15


def head(dtype=np.float32):
    """A brain in a skull in air, 12 frames, as a scan."""
    y, x = np.mgrid[:24, :20]
    radius = np.hypot((y - 11.5) / 11, (x - 9.5) / 9)
    frame = np.select([radius < 0.85, radius < 1.0], [35.0, 900.0], -1000.0)
    values = frame + np.random.default_rng(0).normal(0, 5, (12, 4, 24, 20))
    return Series(np.round(values).astype(dtype), FRAMES_S, Geometry((20, 24, 4), (0.9, 0.8, 5.0)), name="head")


def as_sequence(series):
    return sequence_from_series(series, "head")[0]


@pytest.mark.parametrize("as_node", [as_sequence, multivolume])
def test_node_with_an_offset_is_read_as_a_file_is(as_node):
    stored = np.maximum(head(int).values + 1024, 0)
    series = series_from_node(as_node(replace(head(), values=stored.astype(np.int16))))
    np.testing.assert_array_equal(series.values, stored - 1024)
    scale, gaps = series.checks
    assert (scale.status, scale.value, gaps.status) == ("warn", 1024, "pass")
    assert "1024 was subtracted" in scale.text


def test_node_with_nan_in_the_head_is_refused():
    values = head().values.copy()
    values[3, 2, 12, 10] = np.nan
    with pytest.raises(InputError, match="Scan head: a number in every voxel of the head is needed; found 1 with NaN"):
        series_from_node(as_sequence(replace(head(), values=values)))


def test_node_with_nan_around_the_head_is_mended_and_it_is_told():
    values = head().values.copy()
    values[:, :, 0] = np.nan
    series = series_from_node(as_sequence(replace(head(), values=values)))
    assert (series.values[:, :, 0] == -1024).all()
    assert series.checks[1].value == 12 * 4 * 20


@pytest.mark.parametrize("as_node", [as_sequence, multivolume])
@pytest.mark.parametrize("value", [0, 40])
def test_node_with_one_value_everywhere_is_refused(as_node, value):
    with pytest.raises(InputError, match=f"CT values are needed; found {value} in every voxel"):
        series_from_node(as_node(replace(head(), values=np.full((12, 4, 24, 20), value, np.int16))))


@pytest.mark.parametrize(("as_node", "pieces"), [(as_sequence, 12), (multivolume, 4)])
def test_reading_tells_every_frame_and_can_be_cancelled_at_each(as_node, pieces):
    node, seen = as_node(head(np.int16)), []
    series_from_node(node, progress=lambda fraction, text: seen.append((fraction, text)))
    assert seen == sorted(seen, key=lambda told: told[0]) and seen[-1][0] == 1.0
    assert [text for _, text in seen].count("Reading the scan") == pieces
    before = ids()
    for stop in range(len(seen)):
        calls = []

        def cancel(fraction, text, calls=calls, stop=stop):
            calls.append(text)
            if len(calls) > stop:
                raise Cancelled

        with pytest.raises(Cancelled):
            series_from_node(node, progress=cancel)
    assert ids() == before


def test_no_scan_is_refused():
    with pytest.raises(InputError, match="found none"):
        series_from_node(None)


def test_single_volume_is_refused():
    volume = volumes(1)[0]
    volume.SetName("CT")
    slicer.mrmlScene.AddNode(volume)
    with pytest.raises(InputError, match=r"Scan CT: .* found a single 3D volume.*as a sequence"):
        series_from_node(volume)


def test_sequence_of_transforms_is_refused():
    node = sequence([slicer.vtkMRMLLinearTransformNode() for _ in range(12)], unit="s")
    with pytest.raises(InputError, match="sequence of volumes is needed; found a LinearTransform as frame 1"):
        series_from_node(node)


def test_colour_frames_are_refused():
    frames = [slicer.vtkMRMLVectorVolumeNode() for _ in range(12)]
    for frame in frames:
        image = vtk.vtkImageData()
        image.SetDimensions(4, 4, 2)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
        frame.SetAndObserveImageData(image)
    with pytest.raises(InputError, match=r"one number .* a voxel is needed; found 3 in frame 1"):
        series_from_node(sequence(frames, unit="s"))


def test_frames_of_another_size_place_or_type_are_refused():
    smaller = Geometry((6, 5, 3), OBLIQUE.spacing_mm, OBLIQUE.origin_mm, OBLIQUE.direction)
    moved = Geometry(OBLIQUE.size, OBLIQUE.spacing_mm, (0.0, 0.0, 0.0), OBLIQUE.direction)
    for odd in (volumes(1, smaller), volumes(1, moved), volumes(1, dtype=np.float32)):
        with pytest.raises(InputError, match=r"one grid are needed, .* found frame 12"):
            series_from_node(sequence(volumes(11) + odd, unit="s"))


def test_frame_without_voxels_is_refused():
    empty = slicer.vtkMRMLScalarVolumeNode()
    for k in (0, 7):
        frames = [*volumes(k), empty, *volumes(11 - k)]
        with pytest.raises(InputError, match=f"voxels are needed in every frame; found none in frame {k + 1}\\."):
            series_from_node(sequence(frames, unit="s"))


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="at least 10 frames are needed; found 4"):
        describe_time_axis(sequence(volumes(4), unit="s"))


@pytest.mark.parametrize("labels", ["0,1000,900", "0,1000,1000"])
def test_times_that_do_not_increase_are_refused(labels):
    more = ",".join(str(2000 + 1000 * k) for k in range(9))
    with pytest.raises(InputError, match=r"must increase .* found −?[0-9.]+ s from frame 2 to 3"):
        series_from_node(sequence(volumes(), labels=f"{labels},{more}"))


@pytest.mark.parametrize("interval_s", [0.0, -1.0, 1500.0, float("nan")])
def test_interval_that_no_scan_has_is_refused(interval_s):
    with pytest.raises(InputError, match="must increase by"):
        series_from_node(sequence(volumes()), interval_s=interval_s)


def test_a_scan_read_before_is_not_copied_again_while_it_is_unchanged():
    series = small_series()
    scan = sequence_from_series(series, "small")[0]
    first = series_from_node(scan)
    again = series_from_node(scan, former=first)
    assert np.shares_memory(again.values, first.values)
    slicer.util.arrayFromVolume(scan.GetNthDataNode(3))[0, 0, 0] += 1
    changed = series_from_node(scan, former=first)
    assert not np.shares_memory(changed.values, first.values)
    assert changed.values[3, 0, 0, 0] == first.values[3, 0, 0, 0] + 1
    scan.GetNthDataNode(5).SetOrigin(1.0, 2.0, 3.0)
    with pytest.raises(InputError, match="all frames on one grid"):
        series_from_node(scan, former=first)


def test_a_multivolume_read_before_is_not_copied_again():
    node = multivolume(small_series())
    first = series_from_node(node)
    assert np.shares_memory(series_from_node(node, former=first).values, first.values)
    image_values(node.GetImageData())[0, 0, 0, 4] += 1
    assert not np.shares_memory(series_from_node(node, former=first).values, first.values)
