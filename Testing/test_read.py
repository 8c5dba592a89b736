"""Reading: every refusal, every trap of the file formats, and geometry exactly as stored."""

from __future__ import annotations

import gzip
import json
import locale
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from PyPeTLib import files, image_faults
from PyPeTLib.checks import Check
from PyPeTLib.errors import InputError
from PyPeTLib.files import scan_name
from PyPeTLib.geometry import Geometry
from PyPeTLib.read import inspect_series, naming_path, read_image, read_mask, read_oriented, read_series
from PyPeTLib.scan import Series

FRAMES, SHAPE = 12, (4, 24, 20)

UPRIGHT = np.diag([-0.9, -0.8, 5.0, 1.0])


def rotation(about_z: float, about_x: float) -> npt.NDArray[Any]:
    c, s, d, e = np.cos(about_z), np.sin(about_z), np.cos(about_x), np.sin(about_x)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, d, -e], [0, e, d]])


def affine(axes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    out = np.eye(4)
    out[:3, :3] = axes @ np.diag([0.9, 0.8, 5.0])
    out[:3, 3] = 10.0, -20.0, 30.0
    return out


GRIDS = {
    "upright": affine(np.diag([-1.0, -1.0, 1.0])),
    "oblique": affine(rotation(0.3, 0.2)),
    "flipped": affine(rotation(0.3, 0.2) @ np.diag([1.0, 1.0, -1.0])),
    "sagittal": affine(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])),
}


def head(dtype: npt.DTypeLike = np.int16) -> npt.NDArray[Any]:
    """A brain in a skull in air, with noise, shape (t, z, y, x)."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    radius = np.hypot((y - 11.5) / 11, (x - 9.5) / 9)
    frame = np.select([radius < 0.85, radius < 1.0], [35.0, 900.0], -1000.0)
    noise = np.random.default_rng(0).normal(0, 5, (FRAMES, *SHAPE))
    return np.asarray(np.round(frame + noise).astype(dtype))


def save(path: Path, values: npt.NDArray[Any], grid: npt.NDArray[Any] = UPRIGHT, **header: Any) -> Path:
    """Write (t, z, y, x) as NIfTI; ``interval`` and ``unit`` fill the time axis of the header."""
    image = nib.Nifti1Image(values.T, grid)
    if values.ndim == 4:
        image.header["pixdim"][4] = header.pop("interval", 1.5)
    image.header.set_xyzt_units("mm", header.pop("unit", "sec"))
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def nrrd(path: Path, values: npt.NDArray[Any], fields: str, encoding: str = "raw") -> Path:
    """Write bytes in the array's order with the given header fields."""
    sizes = " ".join(str(n) for n in reversed(values.shape))
    kind = {"i": "short", "f": "float"}[values.dtype.kind]
    text = f"NRRD0005\ntype: {kind}\ndimension: {values.ndim}\nsizes: {sizes}\n{fields}\nendian: little\n"
    data = gzip.compress(values.tobytes()) if encoding == "gzip" else values.tobytes()
    path.write_bytes(f"{text}encoding: {encoding}\n\n".encode() + data)
    return path


DIRECTIONS = "(0.9,0,0) (0,0.8,0) (0,0,5)"
INDEX = " ".join(f"{1.5 * i:g}" for i in range(FRAMES))
SPACE = "space: left-posterior-superior\nspace origin: (1,2,3)"
LIST_LAST = f"{SPACE}\nspace directions: {DIRECTIONS} none\nkinds: domain domain domain list"
LIST_FIRST = f"{SPACE}\nspace directions: none {DIRECTIONS}\nkinds: list domain domain domain"


def doubts(series: Series) -> dict[str, Check]:
    """Return by name what reading a scan found doubtful."""
    return {check.name: check for check in series.checks if check.doubtful}


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save(tmp_path / "sub-01_ctp.nii.gz", head())


def test_integers_keep_their_type_and_values(scan: Path) -> None:
    series = read_series(scan)
    assert series.values.dtype == np.int16
    np.testing.assert_array_equal(series.values, head())
    assert (series.name, series.time_source) == ("sub-01_ctp", "NIfTI header (pixdim[4], s)")
    np.testing.assert_array_equal(series.times_s, np.arange(FRAMES) * 1.5)
    assert doubts(series) == {}


def test_the_view_keeps_the_memory_of_itk_alive(scan: Path) -> None:
    series = read_series(scan)
    total = int(series.values.sum(dtype=int))
    for _ in range(5):
        read_series(scan)
        np.full(series.values.shape, 7, np.int16)
    assert int(series.values.sum(dtype=int)) == total
    assert not series.values.flags.owndata


@pytest.mark.parametrize("stored", [np.float32, np.float64])
def test_floats_become_float32(tmp_path: Path, stored: npt.DTypeLike) -> None:
    series = read_series(save(tmp_path / "a.nii.gz", head(stored)))
    assert series.values.dtype == np.float32
    np.testing.assert_array_equal(series.values, head(np.float32))


@pytest.mark.parametrize("grid", GRIDS)
def test_geometry_is_that_of_the_file(tmp_path: Path, grid: str) -> None:
    path = save(tmp_path / "a.nii.gz", head(), GRIDS[grid])
    geometry = read_series(path).geometry
    index = np.array([[i, j, k] for i in (0, SHAPE[2] - 1) for j in (0, SHAPE[1] - 1) for k in (0, SHAPE[0] - 1)])
    expected = nib.affines.apply_affine(nib.load(path).affine, index) * [-1, -1, 1]
    np.testing.assert_allclose(geometry.corners_mm(), expected, atol=1e-4)
    np.testing.assert_array_equal(read_series(path).values, head())


def test_spacing_is_the_decimal_that_single_precision_stands_for(tmp_path: Path) -> None:
    geometry = read_series(save(tmp_path / "a.nii.gz", head())).geometry
    assert geometry.spacing_mm == (0.9, 0.8, 5.0)


def test_importing_does_not_import_simpleitk_or_scipy() -> None:
    code = "import sys, PyPeTLib.read, PyPeTLib.write; sys.exit(bool({'SimpleITK', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0


# Truncated and damaged files


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
    with pytest.raises(InputError, match=r"\.nii\.gz.*can be read; found \.txt"):
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


# Grid


def tilted(path: Path, qform_code: int = 1) -> Path:
    """A scan whose sform is sheared by a gantry tilt, with an upright qform."""
    shear = UPRIGHT.copy()
    shear[1, 2] = 1.5
    save(path, head())
    image = nib.load(path)
    image.set_qform(UPRIGHT, qform_code)
    image.set_sform(shear, 1)
    image.header["pixdim"][4] = 1.5
    nib.save(nib.Nifti1Image(head().T, None, image.header), path)
    return path


def test_sheared_sform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="perpendicular axes are needed; found a sheared sform"):
        read_series(tilted(tmp_path / "a.nii.gz", qform_code=0))


def test_sheared_sform_beside_a_qform_is_a_warning(tmp_path: Path) -> None:
    series = read_series(tilted(tmp_path / "a.nii.gz"))
    assert doubts(series)["orientation"].value == pytest.approx(1.5 * (SHAPE[0] - 1), rel=1e-4)
    assert "the qform was used" in doubts(series)["orientation"].text


def of_two_forms(path: Path, sform: npt.NDArray[Any], qform: npt.NDArray[Any]) -> Path:
    save(path, head())
    image = nib.load(path)
    image.set_qform(qform, 1)
    image.set_sform(sform, 1)
    image.header["pixdim"][4] = 1.5
    nib.save(nib.Nifti1Image(head().T, None, image.header), path)
    return path


def turned(degrees: float) -> npt.NDArray[Any]:
    """The upright grid, turned about the axis of the body."""
    turn = np.eye(4)
    turn[:3, :3] = rotation(np.radians(degrees), 0.0)
    return np.asarray(turn @ UPRIGHT)


@pytest.mark.parametrize("mirror", [np.diag([-1, 1, 1, 1]), np.diag([1, 1, -1, 1]), np.diag([-1, -1, 1, 1])])
@pytest.mark.parametrize("swapped", [False, True])
def test_two_orientations_that_exchange_the_sides_are_refused(
    tmp_path: Path, mirror: npt.NDArray[Any], swapped: bool
) -> None:
    """Whichever of them is right, one of them puts a lesion on the wrong side, or the head on its vertex."""
    forms = [mirror @ UPRIGHT, UPRIGHT][:: -1 if swapped else 1]
    with pytest.raises(InputError, match="sform and qform that agree on the patient's left are needed; found that one"):
        read_series(of_two_forms(tmp_path / "a.nii.gz", *forms))


def test_a_file_that_does_not_say_where_it_lies_is_told(tmp_path: Path) -> None:
    """ITK takes it to lie along the patient's axes at 0 mm."""
    save(tmp_path / "a.nii.gz", head())
    image = nib.load(tmp_path / "a.nii.gz")
    image.set_qform(UPRIGHT, 0)
    image.set_sform(UPRIGHT, 0)
    image.header["pixdim"][4] = 1.5
    nib.save(nib.Nifti1Image(head().T, None, image.header), tmp_path / "a.nii.gz")
    assert "a.nii.gz does not say where it lies" in doubts(read_series(tmp_path / "a.nii.gz"))["orientation"].text
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    placed = "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,2)\n"
    for space, doubtful in (("spacings: 1 1 2\n", True), (placed, False)):
        (tmp_path / "b.nrrd").write_bytes(f"{header}{space}\n".encode() + bytes(8))
        assert read_oriented(tmp_path / "b.nrrd")[1].doubtful == doubtful


def test_two_orientations_that_differ_a_little_are_told_and_which_was_used(tmp_path: Path) -> None:
    series = read_series(of_two_forms(tmp_path / "a.nii.gz", turned(10.0), UPRIGHT))
    assert doubts(series)["orientation"].status == "warn"
    assert "the sform was used" in doubts(series)["orientation"].text
    assert abs(series.geometry.axes[0, 1]) == pytest.approx(np.sin(np.radians(10.0)), abs=1e-3)
    for degrees in (0.0, 30.0, 180.0):
        same = read_series(of_two_forms(tmp_path / f"{degrees:g}.nii.gz", turned(degrees), turned(degrees)))
        check = next(one for one in same.checks if one.name == "orientation")
        assert (check.status, check.text) == ("pass", "sform and qform of the file agree with the grid.")


@pytest.mark.parametrize(
    ("directions", "origin"),
    [
        ("(1e-30,0,0) (0,1e-30,0) (0,0,1e-30)", "(0,0,0)"),
        ("(1e9,0,0) (0,1e9,0) (0,0,1e9)", "(0,0,0)"),
        (DIRECTIONS, "(1e300,0,0)"),
    ],
)
def test_voxels_that_no_patient_has_are_refused(tmp_path: Path, directions: str, origin: str) -> None:
    fields = f"{SPACE.replace('(1,2,3)', origin)}\nspace directions: {directions} none\nkinds: {'domain ' * 3}list"
    with pytest.raises(InputError, match=r"a\.nrrd: voxels of 0\.01 to 200 mm, .* are needed; found .*1e"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields), interval_s=1.0)


def test_sheared_nrrd_is_refused(tmp_path: Path) -> None:
    fields = LIST_LAST.replace("(0,0,5)", "(0,1,5)")
    with pytest.raises(InputError, match="three perpendicular axes are needed"):
        read_series(nrrd(tmp_path / "a.nrrd", head(), fields))


# Number of dimensions and frames


def test_3d_file_is_no_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a 4D scan is needed; found 3D 20×24×4\. Is this a map or a single frame\?"):
        read_series(save(tmp_path / "a.nii.gz", head()[0]))


def test_5d_file_is_no_scan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a 4D scan is needed; found 5D 20×24×4×1×12"):
        read_series(save(tmp_path / "a.nii.gz", head()[:, None]))


def test_vector_image_is_no_scan(tmp_path: Path) -> None:
    fields = LIST_FIRST.replace("list", "vector")
    with pytest.raises(InputError, match="found 3D 20×24×4 with 12 values a voxel"):
        read_series(nrrd(tmp_path / "a.nrrd", np.ascontiguousarray(np.moveaxis(head(), 0, -1)), fields))


def test_complex_voxels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="real numbers are needed; found complex"):
        read_series(save(tmp_path / "a.nii.gz", head(np.complex64)))


@pytest.mark.parametrize("frames", [2, 9])
def test_few_frames_are_refused(tmp_path: Path, frames: int) -> None:
    with pytest.raises(InputError, match=f"at least 10 frames are needed; found {frames}"):
        read_series(save(tmp_path / "a.nii.gz", head()[:frames]))


@pytest.mark.parametrize("value", [0, 40])
def test_constant_scan_is_refused(tmp_path: Path, value: int) -> None:
    with pytest.raises(InputError, match=f"found {value} in every voxel"):
        read_series(save(tmp_path / "a.nii.gz", np.full_like(head(), value)))


# Values


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_offset_of_1024_is_subtracted_and_told(tmp_path: Path, dtype: npt.DTypeLike) -> None:
    stored = np.maximum(head(int) + 1024, 0).astype(dtype)
    series = read_series(save(tmp_path / "a.nii.gz", stored))
    np.testing.assert_array_equal(series.values, np.maximum(head(int), -1024))
    (scale,) = doubts(series).values()
    assert (scale.name, scale.status) == ("HU scale", "warn") and "1024 was subtracted" in scale.text


def test_offset_with_values_beyond_int16_is_subtracted(tmp_path: Path) -> None:
    stored = np.maximum(head(int) + 1024, 0).astype(np.uint16)
    stored[3, 2, 12, 10] = 65535
    series = read_series(save(tmp_path / "a.nii.gz", stored))
    assert series.values.max() == 65535 - 1024


def test_skull_stripped_scan_has_no_offset(tmp_path: Path) -> None:
    stripped = np.where((head() > -200) & (head() < 500), np.maximum(head(), 0), 0).astype(np.int16)
    series = read_series(save(tmp_path / "a.nii.gz", stripped))
    np.testing.assert_array_equal(series.values, stripped)
    assert doubts(series) == {}


def test_scan_cut_at_0_hu_has_no_offset(tmp_path: Path) -> None:
    values = np.maximum(head(), 0)
    bone = values > 500
    bone[:, :2] = head()[:, :2] > 0  # the skull base
    values[bone] = np.random.default_rng(1).integers(300, 1200, bone.sum())
    series = read_series(save(tmp_path / "a.nii.gz", values))
    np.testing.assert_array_equal(series.values, values)


@pytest.mark.parametrize(("extension", "dtype"), [(".nii.gz", np.float32), (".nii", ">f4"), (".nii.gz", np.float64)])
def test_missing_values_outside_the_head_are_air(tmp_path: Path, extension: str, dtype: npt.DTypeLike) -> None:
    """ITK reads NaN and infinity in a NIfTI file as 0."""
    values = head(dtype)
    values[:, :, 0, :] = np.nan
    values[2, 0, 1, 0] = np.inf
    image = nib.Nifti1Image(values.T, UPRIGHT, nib.Nifti1Header(endianness=values.dtype.str[0]))
    nib.save(image, tmp_path / f"a{extension}")
    series = read_series(tmp_path / f"a{extension}", interval_s=1.0)
    assert series.values.dtype == np.dtype("=f4")
    assert (series.values[:, :, 0] == -1024).all()
    assert doubts(series)["missing values"].value == FRAMES * SHAPE[0] * SHAPE[2] + 1
    np.testing.assert_array_equal(series.values[:, :, 2:], values[:, :, 2:])


def test_missing_values_outside_a_head_with_offset_are_air(tmp_path: Path) -> None:
    values = head(np.float32) + 1024
    values[:, :, 0, :] = np.nan
    series = read_series(save(tmp_path / "a.nii.gz", np.where(values < 0, 0, values)))
    assert (series.values[:, :, 0] == -1024).all()
    assert set(doubts(series)) == {"HU scale", "missing values"}


def test_a_slice_without_values_between_others_of_the_head_is_told(tmp_path: Path) -> None:
    values = head(np.float32)
    values[:, [0, 2]] = np.nan
    check = doubts(read_series(save(tmp_path / "a.nii.gz", values)))["missing values"]
    assert "found none in 1 of 4 slices (number 3) between others of the head" in check.text
    values[:, 1] = np.nan  # what is left is at one end
    assert "between" not in doubts(read_series(save(tmp_path / "a.nii.gz", values)))["missing values"].text


@pytest.mark.parametrize("frames", [slice(3, 4), slice(None)])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_missing_values_inside_the_head_are_refused(tmp_path: Path, frames: slice, value: float) -> None:
    values = head(np.float32)
    values[frames, :2, 10:12, 8:11] = value  # the lowest slice is no way out of the head
    with pytest.raises(InputError, match="every voxel of the head is needed; found 12 with NaN or infinite"):
        read_series(save(tmp_path / "a.nii.gz", values))


def test_missing_values_in_nrrd_are_refused(tmp_path: Path) -> None:
    values = head(np.float32)
    values[3, 2, 12, 10] = np.nan
    with pytest.raises(InputError, match="every voxel of the head is needed; found 1 with NaN"):
        read_series(nrrd(tmp_path / "a.nrrd", values, LIST_LAST), interval_s=1.0)


def test_scan_of_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in every voxel"):
        read_series(save(tmp_path / "a.nii.gz", np.full_like(head(np.float32), np.nan)))


# NRRD


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_slicer_sequence_with_the_list_axis_last_is_read(tmp_path: Path, encoding: str) -> None:
    fields = f'{LIST_LAST}\nunits: "" "" "" "s"\naxis 3 index type:=numeric\naxis 3 index values:={INDEX}'
    series = read_series(nrrd(tmp_path / "scan_ctp.seq.nrrd", head(), fields, encoding))
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)
    assert series.geometry == Geometry((20, 24, 4), (0.9, 0.8, 5.0), (1.0, 2.0, 3.0))
    assert (series.name, series.time_source) == ("scan_ctp", "NRRD header (index values, s)")


def test_slicer_sequence_with_the_list_axis_first_is_read(tmp_path: Path) -> None:
    values = np.ascontiguousarray(np.moveaxis(head(), 0, -1))
    fields = f"{LIST_FIRST}\naxis 0 index unit:=s\naxis 0 index values:={INDEX}"
    series = read_series(nrrd(tmp_path / "a.seq.nrrd", values, fields))
    np.testing.assert_array_equal(series.values, head())
    assert series.values.flags.c_contiguous
    np.testing.assert_allclose(series.times_s, np.arange(FRAMES) * 1.5)


@pytest.mark.parametrize("fields", [LIST_LAST, LIST_FIRST])
def test_a_sequence_is_known_by_its_own_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str) -> None:
    """SimpleITK before 2.5.6, which 3D Slicer has, does not tell the kinds of axes."""
    execute = files._execute

    def untold(path: Path) -> Any:
        image = execute(path)
        for key in image.GetMetaDataKeys():
            if key.startswith("NRRD_kinds"):
                image.EraseMetaData(key)
        return image

    values = head() if fields == LIST_LAST else np.ascontiguousarray(np.moveaxis(head(), 0, -1))
    path = nrrd(tmp_path / "a.seq.nrrd", values, fields)
    monkeypatch.setattr(files, "_execute", untold)
    np.testing.assert_array_equal(read_series(path, interval_s=1.0).values, head())
    path = nrrd(path, values, fields.replace("list", "vector"))
    with pytest.raises(InputError, match="found 3D 20×24×4 with 12 values a voxel"):
        read_series(path, interval_s=1.0)


def test_nrrd_is_refused_where_numbers_have_a_comma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process in German, such as one of Qt, ITK reads voxels of 1.8 mm as 1 mm; NIfTI has no numbers in text."""
    path, nifti = nrrd(tmp_path / "a.seq.nrrd", head(), LIST_LAST), save(tmp_path / "a.nii.gz", head())
    monkeypatch.setattr(locale, "localeconv", lambda: {"decimal_point": ","})
    with pytest.raises(InputError, match=r"decimal points is needed to read NRRD; found ','.*LC_NUMERIC, 'C'"):
        read_series(path, interval_s=1.0)
    assert read_series(nifti).geometry.spacing_mm == (0.9, 0.8, 5.0)


def test_right_anterior_superior_nrrd_is_turned_into_lps(tmp_path: Path) -> None:
    fields = LIST_LAST.replace("left-posterior", "right-anterior")
    geometry = read_series(nrrd(tmp_path / "a.nrrd", head(), fields), interval_s=1.0).geometry
    assert geometry.origin_mm == (-1.0, -2.0, 3.0)
    np.testing.assert_array_equal(geometry.axes, np.diag([-1.0, -1.0, 1.0]))


def test_nrrd_with_a_time_axis_in_3d_space_is_refused(tmp_path: Path) -> None:
    path = nrrd(tmp_path / "a.nrrd", head(), LIST_LAST.replace("list", "time"))
    with pytest.raises(InputError, match='must be of kind "list"'):
        read_series(path)
    before = "nrrd's #independent axes (4) doesn't match dimension of space in which orientation is defined (3)"
    assert 'must be of kind "list"' in image_faults.itk_reason(path, before), "as SimpleITK before 2.5.6 says it"


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
    with pytest.raises(InputError, match="found an empty list"):
        read_series([])


def test_folder_of_folders_says_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "sub-01" / "perf").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("1")
    with pytest.raises(InputError, match="found 1 other files and 1 folders without DICOM images"):
        read_series(tmp_path)
    save(tmp_path / "sub-01" / "perf" / "a.nii.gz", head())
    with pytest.raises(InputError, match=r"found one in a folder within, sub-01/perf/a\.nii\.gz\. Give that file"):
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


# What info is told


def test_inspect_describes_a_scan_that_would_be_refused(tmp_path: Path) -> None:
    info = inspect_series(save(tmp_path / "a.nii.gz", head()[:5], interval=0))
    assert (info.frames, info.stored_type, info.times_s, info.time_source) == (5, "int16", None, "")
    assert info.geometry.size == (20, 24, 4)
    assert len(info.problems) == 2
    with pytest.raises(InputError) as error:
        read_series(tmp_path / "a.nii.gz")
    assert str(error.value) == info.problems[0]


def test_inspect_finds_no_problem_in_a_good_scan(scan: Path) -> None:
    info = inspect_series(scan)
    assert info.problems == ()
    assert info.times_s is not None


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


# Masks and images


def test_mask_is_read_as_bool(scan: Path, tmp_path: Path) -> None:
    inside = (head()[0] > 500).astype(np.float32) * 3
    mask = read_mask(save(tmp_path / "m.nii.gz", inside), read_series(scan).geometry, what="AIF mask")
    assert mask.values.dtype == bool
    np.testing.assert_array_equal(mask.values, inside > 0)


def test_mask_on_another_grid_is_refused_with_both_grids(scan: Path, tmp_path: Path) -> None:
    geometry = read_series(scan).geometry
    path = save(tmp_path / "m.nii.gz", head()[0, :, :, 1:])
    with pytest.raises(InputError, match=r"AIF mask .*needed, 20×24×4 voxels.*found 19×24×4 voxels.*Resample"):
        read_mask(path, geometry, what="AIF mask")


def test_mask_with_other_axes_is_refused_with_both_axes(scan: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii.gz", head()[0], UPRIGHT @ np.diag([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match=r"axes \(1\.0.*axes \(-1\.0"):
        read_mask(path, read_series(scan).geometry, what="AIF mask")


def test_empty_mask_is_refused(scan: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii.gz", np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match=r"VOF mask .*at least one voxel is needed; found 0"):
        read_mask(path, read_series(scan).geometry, what="VOF mask")


def test_mask_with_nan_is_refused(scan: Path, tmp_path: Path) -> None:
    values = np.ones(SHAPE, np.float32)
    values[0, 0, :2] = np.nan
    with pytest.raises(InputError, match="a number in every voxel is needed; found 2 without"):
        read_mask(save(tmp_path / "m.nii.gz", values), read_series(scan).geometry, what="AIF mask")


@pytest.mark.parametrize("low", [0.2, -1.0])
def test_values_that_are_no_labels_are_refused(scan: Path, tmp_path: Path, low: float) -> None:
    """Of probabilities every one above 0 would be inside."""
    values = np.zeros(SHAPE, np.float32)
    values[0, 0, :2] = low, 1.0
    match = rf"0 outside and a label inside are needed; found values from {low:g} to 1\. Set a threshold first"
    with pytest.raises(InputError, match=match):
        read_mask(save(tmp_path / "m.nii.gz", values), read_series(scan).geometry, what="AIF mask")


@pytest.mark.parametrize("rest", [5e-4, -5e-4])
def test_rounding_around_a_mask_is_not_inside(scan: Path, tmp_path: Path, rest: float) -> None:
    """As resampling leaves it: it made the whole grid the mask."""
    inside = head()[0] > 500
    geometry = read_series(scan).geometry
    mask = read_mask(save(tmp_path / "m.nii.gz", np.where(inside, 1.0 - rest, rest)), geometry, what="AIF mask")
    np.testing.assert_array_equal(mask.values, inside)
    with pytest.raises(InputError, match="at least one voxel is needed; found 0"):
        read_mask(save(tmp_path / "m.nii.gz", np.full(SHAPE, rest)), geometry, what="AIF mask")


@pytest.mark.parametrize(("text", "outside"), [("1" + "0" * 400, None), ("true", None), ("0", 0.0)])
def test_what_is_outside_the_mask_is_a_number_or_not_known(tmp_path: Path, text: str, outside: float | None) -> None:
    save(tmp_path / "a.nii", head()[0])
    (tmp_path / "a.json").write_text(f'{{"OutsideMask": {text}}}')
    assert read_image(tmp_path / "a.nii").outside == outside


def test_what_float32_does_not_hold_is_infinite_without_a_warning(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full(SHAPE[::-1], 1e300), UPRIGHT), tmp_path / "a.nii")
    assert np.isinf(read_image(tmp_path / "a.nii").values).all()


def test_probabilities_below_a_half_are_no_empty_mask(scan: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "m.nii.gz", np.where(head()[0] > 500, 0.4, 0.0))
    with pytest.raises(InputError, match=r"found values from 0\.4 to 0\.4\. Set a threshold first"):
        read_mask(path, read_series(scan).geometry, what="AIF mask")


def test_4d_mask_is_refused(scan: Path) -> None:
    with pytest.raises(InputError, match=r"AIF mask sub-01_ctp\.nii\.gz: a 3D image is needed; found 4D"):
        read_mask(scan, read_series(scan).geometry, what="AIF mask")


def test_image_is_float32_with_the_unit_beside_it(tmp_path: Path) -> None:
    path = save(tmp_path / "cbf.nii.gz", head()[0])
    assert read_image(path).unit == ""
    (tmp_path / "cbf.json").write_text('{"Unit": "mL/100 g/min"}')
    image = read_image(str(path))
    assert (image.values.dtype, image.unit) == (np.dtype(np.float32), "mL/100 g/min")
    np.testing.assert_array_equal(image.values, head()[0])
