"""A scan of many files: their order, what does not belong to them, and the name of a scan."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dicom_images
import numpy as np
import pytest
import read_cases
from read_cases import FRAMES, GRIDS, LIST_FIRST, LIST_LAST, doubts, head, nrrd, save

from PyPeTLib.errors import InputError
from PyPeTLib.files import scan_name
from PyPeTLib.read import inspect_series, naming_path, read_series

#: NRRD fields of a 3D image.
ONE_FRAME = LIST_LAST.replace(" none", "").replace(" list", "")

scan = read_cases.scan


# Folders


def folder(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for name, frame in zip(names, head(), strict=True):
        save(path / name, frame)
    return path


def test_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    path = folder(tmp_path / "sub-01_ctp", [f"frame{i}.nii.gz" for i in range(FRAMES)])
    (path / ".DS_Store").write_bytes(b"x")
    series = read_series(path, interval_s=2.0)
    np.testing.assert_array_equal(series.values, head())
    assert (series.name, series.time_source) == ("sub-01_ctp", "given: interval 2 s")
    again = read_series(sorted(path.glob("*.nii.gz")), interval_s=2.0)
    np.testing.assert_array_equal(again.values, head())
    assert again.name == "sub-01_ctp"


@pytest.mark.parametrize("name", ["frame{}.nii.gz", "sub-01_run-2_{:03d}_1.nii.gz"])
def test_a_gap_in_the_numbers_of_frames_is_told(tmp_path: Path, name: str) -> None:
    numbers = [i + (i > 6) for i in range(FRAMES)]
    path = folder(tmp_path / "a", [name.format(i) for i in numbers])
    for scan in (path, list(path.glob("*.nii.gz"))):
        check = doubts(read_series(scan, interval_s=2.0))["frame numbers"]
        assert check.value == 1.0
        assert f"go on by 1, but further from {name.format(6)} to {name.format(8)}: is a frame missing?" in check.text


@pytest.mark.parametrize(
    ("names", "status"),
    [
        ([f"{3 * i + 2}.nii.gz" for i in range(FRAMES)], "pass"),
        ([f"{1500 * i + i % 3}ms.nii.gz" for i in range(FRAMES)], "pass"),
        ([f"{i // 6}_{i % 6}.nii.gz" for i in range(FRAMES)], "not applicable"),
        ([f"{'abcdefghijkl'[i]}.nii.gz" for i in range(FRAMES)], "not applicable"),
    ],
)
def test_numbers_that_jitter_or_do_not_count_are_no_gap(tmp_path: Path, names: list[str], status: str) -> None:
    path = folder(tmp_path / "a", names)
    series = read_series(sorted(path.glob("*.nii.gz")), interval_s=2.0)
    assert next(check for check in series.checks if check.name == "frame numbers").status == status


@pytest.mark.parametrize("start", [36000.0, 86390.0])
def test_sidecars_of_the_frames_tell_their_times(tmp_path: Path, start: float) -> None:
    """As converters of DICOM write them where every frame becomes a file; over midnight, too."""
    path = folder(tmp_path / "a", [f"frame{i}.nii.gz" for i in range(FRAMES)])
    own = np.array([2.5 * i + (i > 6) for i in range(FRAMES)])
    for i, seconds in enumerate(own):
        clock = dicom_images.of_day(start + seconds)
        told = {"AcquisitionTime": f"{clock[:2]}:{clock[2:4]}:{clock[4:]}"}
        (path / f"frame{i}.json").write_text(json.dumps(told), encoding="utf-8")
    series = read_series(path)
    np.testing.assert_allclose(series.times_s, own, atol=1e-4)
    assert series.time_source == "sidecars of the frames (AcquisitionTime)"
    (path / "frame3.json").write_text((path / "frame2.json").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match=r"found sidecars of the frames \(AcquisitionTime\) with one time for several"):
        read_series(path)
    for text in ("{}", "[", '{"AcquisitionTime": 3}'):
        (path / "frame3.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="found one file a frame, which holds no time"):
            read_series(path)


def test_frames_named_in_other_digits_are_put_in_order(tmp_path: Path) -> None:
    """Digits of other scripts are letters of a name, whose order ended in a traceback."""
    files = [save(tmp_path / f"1{letter}1.nii", head()[k]) for k, letter in enumerate("abcdefghijk١")]
    np.testing.assert_array_equal(read_series(files, interval_s=1.5).values, head())


def test_folder_has_no_times_of_its_own(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", [f"{i}.nii.gz" for i in range(FRAMES)])
    with pytest.raises(InputError, match="found one file a frame, which holds no time"):
        read_series(path)
    (tmp_path / "a.json").write_text(json.dumps({"VolumeTiming": list(range(FRAMES))}))
    assert read_series(path).time_source == "sidecar a.json (VolumeTiming)"


def test_odd_frame_is_named(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", [f"{i}.nii.gz" for i in range(FRAMES)])
    save(path / "7.nii.gz", head()[7], GRIDS["oblique"])
    with pytest.raises(InputError, match=r"Frame 7\.nii\.gz: the scan's grid is needed.*found 20×24×4 voxels"):
        read_series(path)
    save(path / "7.nii.gz", head())
    with pytest.raises(InputError, match=r"Frame 7\.nii\.gz: a 3D image is needed; found 4D"):
        read_series(path)


def test_empty_folder_and_empty_list_are_refused(tmp_path: Path) -> None:
    need = "one 3D NIfTI or NRRD file a frame, one 4D file, or DICOM images, are needed"
    with pytest.raises(InputError, match=f"{need}; found 0 other files"):
        read_series(tmp_path)
    for none in (None, 5, np.zeros((12, 2, 2, 2)), [None]):
        with pytest.raises(
            InputError, match=r"the path of a file or folder, or a list of such paths, is needed; found"
        ):
            read_series(none)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="found an empty list"):
        read_series([])


def test_folder_of_folders_says_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "perf").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("1")
    with pytest.raises(InputError, match="found 1 other file and 1 folder without DICOM images"):
        read_series(tmp_path)
    save(tmp_path / "sub-01" / "perf" / "a.nii.gz", head())
    with pytest.raises(InputError, match=r"found one in a folder within, sub-01/perf/a\.nii\.gz\. Give that file"):
        read_series(tmp_path)


@pytest.mark.parametrize("extension", ["nii.gz", "nii", "nrrd", "seq.nrrd"])
def test_a_4d_scan_beside_other_images_is_named(tmp_path: Path, extension: str) -> None:
    for name in ("brain_mask", "aif_mask"):
        save(tmp_path / f"{name}.nii.gz", head()[0])
    with pytest.raises(InputError, match=r"mask\.nii\.gz among 2\. Move it elsewhere, or list the frames one by one"):
        read_series(tmp_path)
    scan = tmp_path / f"sub-01_ctp.{extension}"
    if extension.startswith("nii"):
        save(scan, head())
    elif extension == "nrrd":
        nrrd(scan, head(), LIST_LAST)
    else:
        nrrd(scan, np.ascontiguousarray(np.moveaxis(head(), 0, -1)), LIST_FIRST)
    message = rf" among 3\. sub-01_ctp\.{extension} is a 4D scan: give that file itself\.$"
    with pytest.raises(InputError, match=message):
        read_series(tmp_path)
    save(tmp_path / "another.nii.gz", head())
    (tmp_path / "damaged.nii.gz").write_bytes(b"x")
    message = rf"2 4D scans, another\.nii\.gz, sub-01_ctp\.{extension}: give one of these files itself\.$"
    with pytest.raises(InputError, match=message):
        read_series(tmp_path)


def test_a_lone_4d_file_of_a_folder_or_list_is_the_scan(tmp_path: Path) -> None:
    """As in BIDS: with its sidecar."""
    path = save(tmp_path / "sub-01_ctp.nii.gz", head(), unit="unknown")
    (tmp_path / "sub-01_ctp.json").write_text(json.dumps({"RepetitionTime": 2.5}))
    for given in (tmp_path, [path]):
        series = read_series(given)
        np.testing.assert_array_equal(series.values, head())
        assert (series.name, series.time_source) == ("sub-01_ctp", "sidecar sub-01_ctp.json (RepetitionTime)")


def test_several_4d_files_are_several_scans(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{i}.nii.gz", head()) for i in range(2)]
    for given in (tmp_path, files):
        with pytest.raises(InputError, match=r"found 4D .* a scan of its own: give one scan a call"):
            read_series(given)


def test_a_list_of_dicom_images_and_other_files_is_refused(tmp_path: Path) -> None:
    """The others were left out without a word."""
    (tmp_path / "IM1").write_bytes(b"\0" * 128 + b"DICM")
    frames = [save(tmp_path / f"{i}.nii.gz", head()[i]) for i in range(2)]
    with pytest.raises(InputError, match=r"found 0\.nii\.gz and 1 more beside 1 DICOM images\. Leave them out"):
        read_series([tmp_path / "IM1", *frames])
    with pytest.raises(InputError, match=r"found notes\.txt beside 1 DICOM images\. Leave them out"):
        read_series([tmp_path / "notes.txt", tmp_path / "IM1"])


def test_masks_and_maps_beside_dicom_images_are_no_scan(tmp_path: Path) -> None:
    """As they are drawn or written into the folder of the scan; a 4D file there is one, and so are ten frames."""
    images = dicom_images.scan(tmp_path / "stroke" / "DICOM").parent
    for name in ("aif_mask.nii.gz", "brain.nrrd", "stroke_cbf.nii.gz"):
        (save if "nii" in name else nrrd)(images / name, head()[0], **{} if "nii" in name else {"fields": ONE_FRAME})
        np.testing.assert_array_equal(read_series(images).values, dicom_images.head())
        assert naming_path(images) == images
    save(images / "moved.nii.gz", head())
    with pytest.raises(InputError, match=r"moved\.nii\.gz is a 4D scan: give that file itself"):
        read_series(images)
    frames = folder(tmp_path / "frames", [f"{i}.nii.gz" for i in range(FRAMES)])
    dicom_images.image(frames / "a.dcm", head()[0, 0], 0, 0.0)
    np.testing.assert_array_equal(read_series(frames, interval_s=2.0).values, head())


def test_number_of_a_series_is_refused_beside_other_files_than_dicom(scan: Path) -> None:
    for given in (scan, scan.parent):
        with pytest.raises(InputError, match=r"DICOM series have numbers; found NIfTI or NRRD.*Leave --series out"):
            read_series(given, series_number=3)


@pytest.mark.parametrize(("name", "content"), [("IM0001", b"\0" * 128 + b"DICM"), ("a.dcm", b"")])
def test_dicom_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"found no CT image\. Export the scan again, or convert it to NIfTI"):
        read_series(tmp_path)
    with pytest.raises(InputError, match="can be read; found one DICOM file: give the folder of the scan"):
        read_series(tmp_path / name)


# Names


def test_the_name_of_a_scan_is_known_before_it_is_read(scan: Path, tmp_path: Path) -> None:
    """A file, a lone file of a folder or of a list, frames in a folder or one by one."""
    alone, frames = tmp_path / "alone", tmp_path / "frames"
    for folder in (alone, frames):
        folder.mkdir()
    (alone / "sub-02_ctp.nii.gz").write_bytes(scan.read_bytes())
    for number, frame in enumerate(head()):
        save(frames / f"f{number:02d}.nii.gz", frame)
    lone, listed = [alone / "sub-02_ctp.nii.gz"], sorted(frames.iterdir())
    names = []
    for path in (scan, alone, lone, frames, listed):
        names.append(scan_name(naming_path(path)))
        assert inspect_series(path, interval_s=1.5).name == names[-1]
    assert names == ["sub-01_ctp", "sub-02_ctp", "sub-02_ctp", "frames", "frames"]


@pytest.mark.parametrize("way", ["..", "../../frames", "../within/.."])
def test_a_scan_on_the_way_up_has_the_name_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """And no hidden one, such as ".."."""
    path = folder(tmp_path / "frames", [f"{i}.nii.gz" for i in range(FRAMES)])
    (path / "within").mkdir()
    monkeypatch.chdir(path / "within")
    for given in (way, [f"{way}/{i}.nii.gz" for i in range(FRAMES)]):
        assert (naming_path(given).name, inspect_series(given, interval_s=1.5).name) == ("frames", "frames")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and the way up from them is another")
def test_a_link_keeps_its_name_and_above_it_is_the_folder_above_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "deep" / "target").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "target")
    save(tmp_path / "deep" / "scan.nii.gz", head())
    (tmp_path / "deep" / "a.nii.gz").symlink_to("scan.nii.gz")
    for given in (tmp_path / "link" / ".." / "a.nii.gz", tmp_path / "deep" / "a.nii.gz"):
        assert (naming_path(given).name, inspect_series(given).name) == ("a.nii.gz", "a")
