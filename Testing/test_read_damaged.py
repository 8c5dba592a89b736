"""Truncated, altered and odd files: each is refused, and in words."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import read_cases
from read_cases import FRAMES, LIST_LAST, UPRIGHT, head, nrrd, save, tilted

from PyPeTLib import image_faults
from PyPeTLib.errors import InputError
from PyPeTLib.read import read_series

scan = read_cases.scan


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_truncated_gzip_is_refused(scan: Path, keep: float) -> None:
    content = scan.read_bytes()
    scan.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_series(scan)


def test_gzip_without_its_checksum_is_refused(scan: Path) -> None:
    scan.write_bytes(scan.read_bytes()[:-8])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_series(scan)


def test_altered_gzip_is_refused(tmp_path: Path) -> None:
    """Stored blocks: a changed byte changes a voxel and nothing but the checksum tells."""
    plain = save(tmp_path / "a.nii", np.tile(head(), (1, 1, 5, 5))).read_bytes()
    content = bytearray(gzip.compress(plain, compresslevel=0))
    content[len(content) * 3 // 4] ^= 0x15
    path = tmp_path / "b.nii.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"truncated or damaged.*CRC"):
        read_series(path)


def test_whole_gzip_of_a_truncated_file_is_refused(tmp_path: Path) -> None:
    plain = save(tmp_path / "a.nii", head()).read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(plain[:-100]))
    with pytest.raises(InputError, match=f"{len(plain)} bytes are needed; found {len(plain) - 100}"):
        read_series(path)


def test_truncated_plain_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", head())
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=f"{len(content)} bytes are needed; found {len(content) - 1}"):
        read_series(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_more_than_a_file_can_hold_is_refused_before_room_is_made_for_it(tmp_path: Path, name: str) -> None:
    """A header of a few bytes may claim terabytes; ITK filled with zeros what it could get."""
    content = bytearray(save(tmp_path / "b.nii", head()).read_bytes())
    struct.pack_into("<4h", content, 42, 32767, 32767, 32767, FRAMES)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match=rf"{name}: truncated or damaged: 8\d{{14}} bytes are needed; found "):
        read_series(tmp_path / name)


@pytest.mark.parametrize("size", [0.0, float("nan"), float("inf")])
def test_sizes_of_voxels_that_are_none_are_not_taken_for_1_mm(tmp_path: Path, size: float) -> None:
    content = bytearray(save(tmp_path / "a.nii", head()).read_bytes())
    struct.pack_into("<f", content, 80, size)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(
        InputError, match=rf"a\.nii: sizes of voxels other than 0 are needed; found {size:g}, 0\.8, 5\."
    ):
        read_series(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("kind", "place", "value", "found"),
    [
        ("h", 42, -3, "1 to 7 axes of 1 or more voxels are needed; found 4 of -3, 24, 4, 12"),
        ("h", 70, 3, "a datatype of NIfTI is needed; found 3"),
        ("f", 280 + 12, np.inf, "a sform that says where the axes point is needed; found -0.9, 0, 0, inf"),
        ("f", 280, 0.0, "a sform that says where the axes point is needed; found 0, 0"),
        ("f", 268, np.nan, "a qform that says where the axes point is needed; found 0, 0, 1, nan"),
        ("i", 0, 349, "not of the format its name says"),
    ],
)
def test_odd_headers_are_refused_before_libraries_write_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, place: int, value: float, found: str
) -> None:
    """Or believe another part of them: a sform at infinity was passed over."""
    content = bytearray(save(tmp_path / "a.nii", head()).read_bytes())
    struct.pack_into("<2h", content, 252, 1, 1)
    struct.pack_into(f"<{kind}", content, place, value)
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.nii: .*{found}"):
        read_series(tmp_path / "a.nii")
    assert not capfd.readouterr().err


def test_names_in_nrrd_headers_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.seq.nrrd", head(), f"{LIST_LAST}\nkey:=value")
    path.write_bytes(path.read_bytes().replace(b"key", b"k\xe9y", 1))
    np.testing.assert_array_equal(read_series(path, interval_s=1.0).values, head())


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "raw.seq.nrrd", "gzip.seq.nrrd"])
def test_volumes_that_the_header_leaves_out_are_refused(tmp_path: Path, name: str) -> None:
    """Frames were left out, or mixed where the list comes first, and gigabytes behind the scan were unpacked."""
    path = tmp_path / name
    if name.endswith("nrrd"):
        nrrd(path, head(), LIST_LAST, name.partition(".")[0])
        path.write_bytes(path.read_bytes().replace(f" {FRAMES}\n".encode(), f" {FRAMES - 1}\n".encode(), 1))
    else:
        content = bytearray(save(tmp_path / "b.nii", head()).read_bytes())
        struct.pack_into("<h", content, 48, FRAMES - 1)
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(InputError, match=rf"{name}: \d+ bytes are needed, as its header says; found at least \d+\."):
        read_series(path, interval_s=1.5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """They were read until memory was full, or waited for without end; a header may name one, too."""
    (tmp_path / "a.nii.gz").symlink_to(os.devnull)
    with pytest.raises(InputError, match=r"a\.nii\.gz: cannot be opened: a pipe or a device, and no file\."):
        read_series(tmp_path / "a.nii.gz")
    content = nrrd(tmp_path / "a.nrrd", head(), LIST_LAST).read_bytes()
    (tmp_path / "a.raw").touch()
    (tmp_path / "b1.raw").symlink_to(os.devnull)
    for data in (os.devnull, f"LIST 3\na.raw\n{os.devnull}", "b%d.raw 1 12 1", "%s%s.raw 1 12 1"):
        (tmp_path / "b.nhdr").write_bytes(content[: content.index(b"\n\n") + 1] + f"data file: {data}\n".encode())
        with pytest.raises(InputError, match=r"b\.nhdr: the file of voxels that its .* needed; .*: a pipe or a device"):
            read_series(tmp_path / "b.nhdr", interval_s=1.0)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_truncated_nrrd_is_refused(tmp_path: Path, encoding: str) -> None:
    path = nrrd(tmp_path / "a.seq.nrrd", head(), LIST_LAST, encoding)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated"):
        read_series(path, interval_s=1.0)


@pytest.mark.parametrize("detached", [False, True])
def test_gzip_in_nrrd_is_checked_to_its_last_byte(tmp_path: Path, detached: bool) -> None:
    path = nrrd(tmp_path / "a.nrrd", head(), LIST_LAST, "gzip")
    content = path.read_bytes()[:-1]
    path.write_bytes(content)
    if detached:
        start = content.index(b"\n\n") + 2
        (tmp_path / "a.raw.gz").write_bytes(content[start:])
        path = tmp_path / "a.nhdr"
        path.write_bytes(content[: start - 1] + b"data file: a.raw.gz\n")
    with pytest.raises(InputError, match="truncated"):
        read_series(path, interval_s=1.0)


def test_detached_nrrd_is_read(tmp_path: Path) -> None:
    content = nrrd(tmp_path / "a.nrrd", head(), LIST_LAST, "gzip").read_bytes()
    start = content.index(b"\n\n") + 2
    (tmp_path / "a.raw.gz").write_bytes(content[start:])
    (tmp_path / "b.nhdr").write_bytes(content[: start - 1] + b"data file: a.raw.gz\n")
    series = read_series(tmp_path / "b.nhdr", interval_s=1.0)
    np.testing.assert_array_equal(series.values, head())
    assert series.name == "b"


def test_gzip_of_several_members_is_read(tmp_path: Path) -> None:
    plain = save(tmp_path / "a.nii", head()).read_bytes()
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(plain[:5000]) + gzip.compress(plain[5000:]))
    np.testing.assert_array_equal(read_series(path).values, head())


def test_plain_file_named_gz_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", head()).rename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_series(path).values, head())


def test_gzip_without_its_ending_is_refused_with_the_name_it_needs(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", head()).rename(tmp_path / "a.nii")
    with pytest.raises(
        InputError, match=r"a name that ends with \.nii\.gz is needed for gzip; found \.nii\. Rename it"
    ):
        read_series(path)


def test_scaled_and_swapped_voxels_are_read(tmp_path: Path) -> None:
    stored = (head().astype(int) + 1024).astype(np.uint16)
    scaled = save(tmp_path / "a.nii.gz", stored, scl_slope=1, scl_inter=-1024)
    np.testing.assert_array_equal(read_series(scaled).values, head())
    image = nib.Nifti1Image(head().astype(">i2").T, UPRIGHT, nib.Nifti1Header(endianness=">"))
    image.header["pixdim"][4] = 2
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "b.nii.gz")
    series = read_series(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(series.values, head())
    assert series.interval_s == 2


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd"])
@pytest.mark.parametrize("content", [b"", b"hello world" * 100])
def test_file_of_another_format_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match="not of the format its name says"):
        read_series(path)


def test_windows_names_that_itk_cannot_open_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_faults, "WINDOWS", True)
    path = tmp_path / "Schädel.nii"
    path.write_bytes(b"not found by ITK")
    with pytest.raises(InputError, match=r"names of file and folders in ASCII are needed .* found 'ä'\. Copy it"):
        read_series(path)
    with pytest.raises(InputError, match="not of the format its name says"):
        read_series(path.rename(tmp_path / "a.nii"))


def test_nifti_2_is_refused_by_name(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(head().T, UPRIGHT), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="found NIfTI-2"):
        read_series(tmp_path / "a.nii.gz")


def test_missing_file_and_other_extension_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_series(tmp_path / "a.nii.gz")
    (tmp_path / "a.txt").write_text("1")
    with pytest.raises(InputError, match=r"\.nii\.gz.*can be read; found \.txt\. Convert it to NIfTI\.$"):
        read_series(tmp_path / "a.txt")


LATIN_1 = os.fsdecode("Schädel".encode("latin-1"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have such names")
@pytest.mark.parametrize("name", [f"{LATIN_1}.nii.gz", f"{LATIN_1}/a.nii.gz"])
def test_name_in_another_character_set_is_refused(tmp_path: Path, name: str) -> None:
    """ITK would end the process."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    save(tmp_path / "a.nii.gz", head()).rename(tmp_path / name)
    with pytest.raises(InputError, match=r"Sch.del.*a name in UTF-8 is needed; found the byte 0xe4") as error:
        read_series(tmp_path / name)
    str(error.value).encode("utf-8")


def test_warnings_of_itk_stay_off_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_series(tilted(tmp_path / "a.nii.gz"))
    assert capfd.readouterr().err == ""
