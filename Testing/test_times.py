"""The time axis: every source, their order, and every refusal."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from read_cases import DIRECTIONS, FRAMES, INDEX, LIST_LAST, head, nrrd, save

from PyPeTLib import file_contents
from PyPeTLib.checks import Check
from PyPeTLib.errors import InputError
from PyPeTLib.read import read_series, read_times
from PyPeTLib.scan import Series
from PyPeTLib.typeset import typeset

#: A whole number that no float holds.
HUGE = f"1{'0' * 400}"


def sidecar(scan: Path, **content: Any) -> None:
    (scan.parent / "a.json").write_text(json.dumps(content))


def told(series: Series) -> Check:
    """Return the check of the times."""
    return next(check for check in series.checks if check.name == "frame times")


@pytest.fixture
def timeless(tmp_path: Path) -> Path:
    return save(tmp_path / "a.nii.gz", head(), interval=0)


# What the user gives


def test_given_times_and_interval_win(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head())
    times = np.cumsum(np.linspace(1, 3, FRAMES))
    series = read_series(path, times_s=times)
    np.testing.assert_array_equal(series.times_s, times)
    assert series.time_source == "given: 12 times"
    series = read_series(path, interval_s=2.5)
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 2.5)
    assert series.time_source == "given: interval 2.5 s"


def test_given_times_that_contradict_the_file_are_told(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head(), interval=1.5)
    check = told(read_series(path, interval_s=3.0))
    said = "given: interval 3 s: 3 s between frames was used; NIfTI header (pixdim[4], s) says 1.5 s."
    assert (check.status, check.text) == ("warn", said)
    assert told(read_series(path, times_s=3.0 * np.arange(FRAMES))).status == "warn"
    for agreeing in ({"interval_s": 1.505}, {"times_s": 1.5 * np.arange(FRAMES)}):
        assert told(read_series(path, **agreeing)).status == "not applicable"
    (tmp_path / "a.json").write_text("no JSON")
    assert told(read_series(path, interval_s=1.5)).status == "not applicable"  # what is not needed need not be read


def test_an_interval_for_frames_that_became_sparse_is_told(tmp_path: Path) -> None:
    """Its median is that of the file: flow would be three quarters of the truth without a word."""
    path = save(tmp_path / "a.nii.gz", head(), interval=1.0)
    times = [*range(8), 11, 15, 19, 23]
    sidecar(path, VolumeTiming=times)
    assert told(read_series(path)).status == "pass"
    check = told(read_series(path, interval_s=1.0))
    said = "given: interval 1 s: 1 s between frames was used; sidecar a.json (VolumeTiming) says 1 to 4 s."
    assert (check.status, check.text) == ("warn", said)
    times[5] += 0.3  # less than half an interval: as rounded
    assert told(read_series(path, times_s=times)).status == "not applicable"


def test_uneven_times_that_were_used_are_told_with_their_range(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head(), interval=1.0)
    sidecar(path, VolumeTiming=[0, 1, 2, 3, 8, 10, 12, 14, 16, 18, 20, 22])
    said = "sidecar a.json (VolumeTiming): 1 to 5 s between frames was used; NIfTI header (pixdim[4], s) says 1 s."
    assert told(read_series(path)).text == said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"times_s": "abc"}, "a list of times in s is needed; found 'abc'"),
        ({"times_s": [1, "x"]}, "a list of times in s is needed; found"),
        ({"times_s": 3.0}, "a list of times in s is needed; found '3.0'"),
        ({"interval_s": "fast"}, "one number in s is needed; found 'fast'"),
        ({"interval_s": [1.0, 2.0]}, "one number in s is needed; found"),
    ],
)
def test_what_is_no_time_is_refused_in_words(timeless: Path, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_series(timeless, **given)


def test_both_times_and_interval_are_refused(timeless: Path) -> None:
    with pytest.raises(InputError, match="either an interval or a list of times"):
        read_series(timeless, times_s=np.arange(FRAMES), interval_s=1.0)


def test_wrong_number_of_times_is_refused_with_both_numbers(timeless: Path) -> None:
    with pytest.raises(InputError, match="12 in all; found 11"):
        read_series(timeless, times_s=np.arange(11))


@pytest.mark.parametrize("interval", [0.0, 0.001, 100.0, -1.0, np.nan, np.inf])
def test_impossible_interval_is_refused_with_both_numbers(timeless: Path, interval: float) -> None:
    found = rf"increase by 0\.1 to 30 s.*found {typeset(f'{interval:g}')} s"
    with pytest.raises(InputError, match=found if np.isfinite(interval) else "increase by"):
        read_series(timeless, interval_s=interval)


def test_no_interval_is_not_told_to_be_an_order_of_frames(timeless: Path) -> None:
    with pytest.raises(InputError, match=r"given: interval 0 s\)\. Give --interval SECONDS or --times FILE, in sec"):
        read_series(timeless, interval_s=0.0)


@pytest.mark.parametrize("interval", [0.1, 30.0])
def test_limits_of_the_interval_are_allowed(timeless: Path, interval: float) -> None:
    assert read_series(timeless, interval_s=interval).interval_s == pytest.approx(interval)


def test_times_that_do_not_increase_are_refused(timeless: Path) -> None:
    times = np.arange(FRAMES, dtype=float)
    times[6] = 4.0
    with pytest.raises(
        InputError, match=r"found −1 s from frame 6 to 7 .*\. Put the frames in the order of their times"
    ):
        read_series(timeless, times_s=times)


# NIfTI header


@pytest.mark.parametrize(("interval", "unit"), [(1.5, "sec"), (1500, "msec"), (1.5e6, "usec")])
def test_units_of_pixdim_become_seconds(tmp_path: Path, interval: float, unit: str) -> None:
    series = read_series(save(tmp_path / "a.nii.gz", head(), interval=interval, unit=unit))
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)


def test_float32_of_pixdim_means_the_decimal_number(tmp_path: Path) -> None:
    assert read_series(save(tmp_path / "a.nii.gz", head(), interval=1.41)).times_s[1] == 1.41


def test_pixdim_of_zero_is_refused(timeless: Path) -> None:
    cure = r"--interval SECONDS or --times FILE, or write a\.json with VolumeTiming"
    with pytest.raises(
        InputError, match=rf"found NIfTI header with pixdim\[4\] = 0, s; no sidecar a\.json\. Give {cure}"
    ):
        read_series(timeless)


@pytest.mark.parametrize("unit", ["unknown", "hz"])
def test_pixdim_without_a_time_unit_is_refused(tmp_path: Path, unit: str) -> None:
    path = save(tmp_path / "a.nii.gz", head(), interval=1, unit=unit)
    with pytest.raises(InputError, match=r"pixdim\[4\] = 1, no time unit"):
        read_series(path)


@pytest.mark.parametrize("interval", [-2.0, np.nan])
def test_negative_pixdim_is_refused(tmp_path: Path, interval: float) -> None:
    path = save(tmp_path / "a.nii.gz", head(), interval=interval)
    with pytest.raises(InputError, match=r"pixdim\[4\] = "):
        read_series(path)


def test_infinite_pixdim_is_refused_without_a_warning(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="times must increase by"):
        read_series(save(tmp_path / "a.nii", head(), interval=np.inf))


def test_milliseconds_stored_as_seconds_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head(), interval=1500)
    with pytest.raises(InputError, match=r"found 1500 s .*in seconds and not milliseconds"):
        read_series(path)


def test_offset_of_the_time_axis_is_left_out(tmp_path: Path) -> None:
    assert read_series(save(tmp_path / "a.nii.gz", head(), toffset=7)).times_s[0] == 0


# Sidecar


@pytest.mark.parametrize("key", ["VolumeTiming", "FrameTimesStart", "FrameTimes"])
def test_listed_times_of_the_sidecar_are_used(timeless: Path, key: str) -> None:
    times = [*range(8), 9, 12, 15, 18]
    sidecar(timeless, **{key: times})
    series = read_series(timeless)
    np.testing.assert_array_equal(series.times_s, times)
    assert series.time_source == f"sidecar a.json ({key})"


def test_repetition_time_is_the_last_resort(timeless: Path) -> None:
    sidecar(timeless, RepetitionTime=2.0)
    series = read_series(timeless)
    assert (series.interval_s, series.time_source) == (2.0, "sidecar a.json (RepetitionTime)")
    save(timeless, head(), interval=1.5)
    series = read_series(timeless)
    assert series.interval_s == 1.5
    assert "1.5 s between frames was used; sidecar a.json (RepetitionTime) says 2 s" in told(series).text


def test_listed_times_beat_the_header_and_a_disagreement_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head(), interval=1.5)
    sidecar(path, VolumeTiming=list(range(0, 3 * FRAMES, 3)))
    series = read_series(path)
    assert series.interval_s == 3
    assert told(series).status == "warn"
    sidecar(path, VolumeTiming=[1.5 * i for i in range(FRAMES)])
    assert told(read_series(path)).status == "pass"
    assert told(read_series(path, interval_s=1.5)).status == "not applicable"


def test_sidecar_with_another_number_of_frames_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head())
    sidecar(path, VolumeTiming=list(range(13)))
    with pytest.raises(InputError, match=r"12 in all; found 13 \(sidecar a\.json \(VolumeTiming\)\)"):
        read_series(path)


def test_sidecar_without_times_is_said_to_be_so(timeless: Path) -> None:
    sidecar(timeless, Manufacturer="x")
    with pytest.raises(InputError, match=r"; sidecar a\.json without times"):
        read_series(timeless)
    sidecar(timeless)  # {}, which is there
    with pytest.raises(InputError, match=r"; sidecar a\.json without times"):
        read_series(timeless)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "a JSON file is needed"),
        ("[1]", "a JSON object is needed; found a list"),
        ('{"VolumeTiming": 3}', "VolumeTiming needs a list of times in s; found 3"),
        ('{"VolumeTiming": ["a"]}', "VolumeTiming needs a list of times in s"),
        ('{"RepetitionTime": "2"}', "RepetitionTime needs one number in s"),
        (f'{{"VolumeTiming": [0, {HUGE}]}}', r"VolumeTiming needs a list of times in s; found \[0, 10{50,60}\. Mend"),
        (f'{{"RepetitionTime": {HUGE}}}', "RepetitionTime needs one number in s for the interval; found"),
        pytest.param("[" * 200_000, r"found too many brackets within each other\. Mend or remove", id="nested"),
    ],
)
def test_faulty_sidecar_is_refused(timeless: Path, text: str, message: str) -> None:
    (timeless.parent / "a.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_series(timeless)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"RepetitionTime": true}', "RepetitionTime needs one number in s for the interval; found "),
        ('{"RepetitionTime": 1, "RepetitionTime": 2}', "found 'RepetitionTime' twice, with two values. Mend"),
        (f'{{"RepetitionTime": {HUGE * 20}}}', "found a whole number of thousands of digits. Mend"),
    ],
)
def test_a_sidecar_that_leaves_the_interval_open_is_refused(timeless: Path, text: str, message: str) -> None:
    """Of two values the last was taken, and yes was an interval of 1 s."""
    (timeless.parent / "a.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_series(timeless)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_sidecars_are_read_as_shells_save_them(timeless: Path, encoding: str) -> None:
    (timeless.parent / "a.json").write_text('{"RepetitionTime": 1.5, "RepetitionTime": 1.5}', encoding=encoding)
    assert read_series(timeless).interval_s == 1.5


@pytest.mark.parametrize(
    "content",
    [{"VolumeTiming": [-1e308, 1e308, *range(FRAMES - 2)]}, {"SliceTiming": [-1e308, 1e308, 0, 0]}],
    ids=["VolumeTiming", "SliceTiming"],
)
def test_times_beyond_all_numbers_are_refused_without_a_warning(tmp_path: Path, content: dict[str, Any]) -> None:
    sidecar(save(tmp_path / "a.nii", head()), **content)
    with pytest.raises(InputError, match=r"times must increase by|SliceTiming needs times in s that belong to one"):
        read_series(tmp_path / "a.nii")


# NRRD header

SPACE_4D = "space directions: (0.9,0,0,0) (0,0.8,0,0) (0,0,5,0) (0,0,0,1500)\nkinds: domain domain domain time"
SPACE_4D = f"space: left-posterior-superior-time\n{SPACE_4D}\nspace origin: (0,0,0,0)"


@pytest.mark.parametrize(
    "fields",
    [
        'kinds: domain domain domain time\nspacings: 0.9 0.8 5 1.5\nunits: "mm" "mm" "mm" "s"',
        'kinds: domain domain domain domain\nspacings: 0.9 0.8 5 1500\nunits: "mm" "mm" "mm" "ms"',
        f'{SPACE_4D}\nspace units: "mm" "mm" "mm" "ms"',
    ],
)
def test_spacing_of_a_4d_nrrd_with_a_unit_is_used(tmp_path: Path, fields: str) -> None:
    series = read_series(nrrd(tmp_path / "a.nrrd", head(), fields))
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)
    assert series.geometry.spacing_mm == (0.9, 0.8, 5.0)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (f"{LIST_LAST}\naxis 3 index values:={INDEX}", "index values of axis 3 in no unit"),
        (f'{LIST_LAST}\nunits: "" "" "" "%"\naxis 3 index values:={INDEX}', "index values of axis 3 in %"),
        (f'{LIST_LAST}\nunits: "" "" "" "s"\naxis 3 index values:={"a " * FRAMES}', "that are no numbers, such as 'a'"),
        (LIST_LAST, "without index values or spacing of axis 3"),
        (SPACE_4D, "spacing of axis 3 in no unit"),
    ],
)
def test_nrrd_without_times_is_refused(tmp_path: Path, fields: str, found: str) -> None:
    with pytest.raises(InputError, match=f"found NRRD header .*{found}.*--interval"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields))


def test_index_values_in_milliseconds_become_seconds(tmp_path: Path) -> None:
    values = " ".join(str(1500 * i) for i in range(FRAMES))
    fields = f'{LIST_LAST}\nunits: "" "" "" "ms"\naxis 3 index values:={values}'
    np.testing.assert_allclose(read_series(nrrd(tmp_path / "a.nrrd", head(), fields)).times_s, np.arange(FRAMES) * 1.5)


@pytest.mark.parametrize(
    ("labels", "unit", "found"),
    [
        (",".join(str(1500 * i) for i in range(FRAMES)), "ms", ""),
        ("0,1500", "ms", "12 in all; found 2"),
        ("0,1500", "na", r"frame labels of axis 3 in na"),
        ("a,b", "ms", "frame labels that are no numbers, such as 'a'"),
    ],
)
def test_labels_of_the_frames_of_a_multi_volume_are_times(tmp_path: Path, labels: str, unit: str, found: str) -> None:
    """As 3D Slicer wrote perfusion scans before it had sequences."""
    keys = f"MultiVolume.FrameIdentifyingDICOMTagUnits:={unit}\nMultiVolume.FrameLabels:={labels}"
    path = nrrd(tmp_path / "a.nrrd", head(), f"{LIST_LAST}\n{keys}")
    if found:
        with pytest.raises(InputError, match=found):
            read_series(path)
        return
    series = read_series(path)
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)
    assert series.time_source == "NRRD header (frame labels, ms)"


def test_wrong_number_of_index_values_is_refused(tmp_path: Path) -> None:
    fields = f'{LIST_LAST}\nunits: "" "" "" "s"\naxis 3 index values:=0 1 2'
    assert DIRECTIONS in fields
    with pytest.raises(InputError, match="12 in all; found 3"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields))


# Text file


def test_text_file_of_times_is_read(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("# s\n0\n\n1.5  # second frame\n3e0\r\n")
    np.testing.assert_array_equal(read_times(path), [0, 1.5, 3])
    path.write_bytes(b"\xef\xbb\xbf0\r\n2\r\n")
    np.testing.assert_array_equal(read_times(path), [0, 2])


@pytest.mark.parametrize(
    ("text", "message"), [("0\n1\n1,5\n", r"line 3.*found '1,5'.*write 1\.5\."), ("# nothing\n", "found no number")]
)
def test_faulty_text_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_times(tmp_path / "t.txt")


def test_missing_or_binary_text_file_is_refused(tmp_path: Path) -> None:
    need = "a text file with one time in s a line is needed"
    with pytest.raises(InputError, match=f"{need}; found no such file or directory\\."):
        read_times(tmp_path / "t.txt")
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=f"{need}; found bytes that are no text in UTF-8\\."):
        read_times(tmp_path / "t.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_text_from_a_device_or_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.txt").symlink_to(os.devnull)
    with pytest.raises(InputError, match="a line is needed; found a pipe or a device, and no file"):
        read_times(tmp_path / "t.txt")
    monkeypatch.setattr(file_contents, "LARGEST_TEXT", 10)
    (tmp_path / "b.txt").write_text("0\n1\n" * 3)
    with pytest.raises(InputError, match="a line is needed; found more than 10 bytes"):
        read_times(tmp_path / "b.txt")
