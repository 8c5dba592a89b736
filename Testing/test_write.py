"""Writing: geometry and units survive, files appear whole or not at all, and folders at once."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from read_cases import GRIDS, SHAPE, head, save

from PyPeTLib.checks import Check
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.read import read_image, read_mask, read_series
from PyPeTLib.scan import Series
from PyPeTLib.write import (
    prefix_of,
    staged_output,
    without_successor,
    write_csv,
    write_image,
    write_json,
    write_series,
    write_text,
)

GRID = Geometry((20, 24, 4), (0.9, 0.8, 5.0), (1.0, 2.0, 3.0))


def image(unit: str = "s") -> Image:
    values = np.random.default_rng(0).normal(5, 2, SHAPE).astype(np.float32)
    values[head()[0] < 0] = np.nan
    return Image(values, GRID, unit)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# Images


@pytest.mark.parametrize("extension", [".nii.gz", ".nii"])
@pytest.mark.parametrize("grid", GRIDS)
def test_geometry_survives_reading_and_writing(tmp_path: Path, grid: str, extension: str) -> None:
    source = save(tmp_path / "scan.nii.gz", head(), GRIDS[grid])
    series = read_series(source)
    path = tmp_path / f"map{extension}"
    write_image(Image(series.values[0].astype(np.float32), series.geometry, "s"), path)
    written = nib.load(path)
    np.testing.assert_allclose(written.affine, nib.load(source).affine, rtol=1e-6, atol=2e-6)
    np.testing.assert_array_equal(written.get_fdata().T, series.values[0])
    assert read_image(path).geometry.matches(series.geometry)
    np.testing.assert_allclose(read_image(path).geometry.corners_mm(), series.geometry.corners_mm(), atol=1e-4)


def test_image_is_float32_with_0_for_nan_and_its_unit_beside_it(tmp_path: Path) -> None:
    original = image()
    write_image(original, tmp_path / "tmax.nii.gz", metadata={"Method": "x"})
    again = read_image(tmp_path / "tmax.nii.gz")
    assert nib.load(tmp_path / "tmax.nii.gz").get_data_dtype() == np.float32
    np.testing.assert_array_equal(again.values, np.nan_to_num(original.values))
    assert again.unit == "s"
    assert json.loads((tmp_path / "tmax.json").read_text()) == {"Unit": "s", "Method": "x"}
    assert names(tmp_path) == ["tmax.json", "tmax.nii.gz"]


def test_mask_is_uint8_without_a_sidecar(tmp_path: Path) -> None:
    mask = Image(head()[0] > 500, GRID)
    write_image(mask, tmp_path / "mask.nii.gz")
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz", GRID, what="mask").values, mask.values)
    assert names(tmp_path) == ["mask.nii.gz"]


def test_a_mask_in_the_place_of_a_map_does_not_have_its_unit(tmp_path: Path) -> None:
    write_image(image(), tmp_path / "a.nii.gz")
    write_image(Image(head()[0] > 500, GRID), tmp_path / "a.nii.gz")
    assert (read_image(tmp_path / "a.nii.gz").unit, names(tmp_path)) == ("", ["a.nii.gz"])


def test_an_even_scan_in_the_place_of_an_uneven_one_does_not_have_its_times(tmp_path: Path) -> None:
    even = 2.0 * np.arange(len(head()))
    for times_s in (even + (even > 9.0), even):
        write_series(Series(head(), times_s, GRID), tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(read_series(tmp_path / "a.nii.gz").times_s, times_s)
    assert names(tmp_path) == ["a.nii.gz"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [(">i2", "i2"), (">u4", "u4"), ("<f4", "f4"), (">f4", "f4"), (">f8", "f8"), ("f2", "f4"), ("g", "f8")],
)
def test_a_scan_of_any_real_type_is_written(tmp_path: Path, given: str, stored: str) -> None:
    values = np.abs(head()).astype(given)
    write_series(Series(values, 1.5 * np.arange(len(values)), GRID), tmp_path / "a.nii.gz")
    written = nib.load(tmp_path / "a.nii.gz")
    assert written.get_data_dtype() == np.dtype(stored)
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, values)


def test_same_image_gives_same_bytes(tmp_path: Path) -> None:
    write_image(image(), tmp_path / "a.nii.gz")
    write_image(image(), tmp_path / "b.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    assert content == (tmp_path / "b.nii.gz").read_bytes()
    assert content[4:8] == bytes(4)  # no time of writing


def test_writing_leaves_the_image_unchanged(tmp_path: Path) -> None:
    original = image()
    before = original.values.copy()
    write_image(original, tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(original.values, before)


def test_sheared_grid_is_not_straightened_but_refused(tmp_path: Path) -> None:
    sheared = Geometry(GRID.size, GRID.spacing_mm, direction=(1, 0, 0, 0, 1, 0.2, 0, 0, 1))
    with pytest.raises(InputError, match="perpendicular axes are needed"):
        write_image(Image(image().values, sheared), tmp_path / "a.nii.gz")
    series = Series(head(), np.arange(len(head())), sheared)
    with pytest.raises(InputError, match="perpendicular axes are needed"):
        write_series(series, tmp_path / "a.nii.gz")
    assert names(tmp_path) == []


def test_image_under_another_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"written as \.nii\.gz or \.nii; found '\.png'"):
        write_image(image(), tmp_path / "a.png")


def test_image_replaces_a_file_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import SimpleITK as sitk

    write_image(image(), tmp_path / "a.nii.gz")
    before = (tmp_path / "a.nii.gz").read_bytes()
    for content in (b"", before[:100], before[: len(before) // 2], before[:-8]):
        monkeypatch.setattr(sitk, "WriteImage", lambda _, path, content=content: Path(path).write_bytes(content))
        with pytest.raises(InputError, match=r"a\.nii\.gz cannot be written: it could not be written in full"):
            write_image(image(), tmp_path / "a.nii.gz")
    assert (tmp_path / "a.nii.gz").read_bytes() == before
    assert names(tmp_path) == ["a.json", "a.nii.gz"]


@pytest.mark.parametrize("extension", [".nii.gz", ".nii"])
def test_itk_that_runs_out_of_space_in_silence_is_found_out(tmp_path: Path, extension: str) -> None:
    """A limit on the size of files stands for the full disk: ITK reports success in both cases."""
    resource = pytest.importorskip("resource")
    values = np.random.default_rng(0).normal(0, 1, (16, 200, 200)).astype(np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(InputError, match="could not be written in full"):
            write_image(Image(values, Geometry((200, 200, 16), (1.0, 1.0, 1.0))), tmp_path / f"a{extension}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


# Tables and texts


@dataclass(frozen=True)
class Record:
    name: str
    values: Any
    checks: tuple[Check, ...] = ()


def test_json_is_strict_and_holds_records_arrays_and_sets(tmp_path: Path) -> None:
    record = Record("a", np.array([1.5, np.nan, np.inf], np.float32), (Check("one", "pass", "µ", np.float64(2)),))
    write_json(
        {"record": record, "set": {"b", "a"}, "count": np.int64(3), 4: Path("x"), "yes": np.True_}, tmp_path / "a"
    )
    text = (tmp_path / "a").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "record": {
            "name": "a",
            "values": [1.5, None, None],
            "checks": [{"name": "one", "status": "pass", "text": "µ", "value": 2.0}],
        },
        "set": ["a", "b"],
        "count": 3,
        "4": "x",
        "yes": True,
    }
    assert text.endswith("}\n")


def test_a_path_that_is_no_text_here_is_written(tmp_path: Path) -> None:
    """Where the locale is C, so are names with umlauts; a run ended in a traceback after its work."""
    write_json({"path": b"M\xc3\xbc".decode("ascii", "surrogateescape")}, tmp_path / "a")
    assert json.loads((tmp_path / "a").read_text(encoding="utf-8")) == {"path": "M??"}


def test_json_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json({"a": object()}, tmp_path / "a.json")
    assert names(tmp_path) == []


def test_csv_has_six_digits_and_empty_cells_for_nan(tmp_path: Path) -> None:
    columns = {"time_s": np.arange(3) * 1.5, "aif_hu": np.array([np.nan, 1 / 3, 1e-7]), "name": ["a", "b,c", "d"]}
    write_csv({**columns, "n": np.arange(3)}, tmp_path / "a.csv")
    expected = 'time_s,aif_hu,name,n\n0,,a,0\n1.5,0.333333,"b,c",1\n3,1e-07,d,2\n'
    assert (tmp_path / "a.csv").read_bytes() == expected.encode()


def test_a_text_is_no_formula_for_a_program_for_tables(tmp_path: Path) -> None:
    write_csv({"case": ["=cmd|'/c calc'!A1", "-x", "a=b"], "hu": [-1.5, 2.0, 3.0]}, tmp_path / "a.csv")
    expected = "case,hu\n'=cmd|'/c calc'!A1,-1.5\n'-x,2\na=b,3\n"
    assert (tmp_path / "a.csv").read_text() == expected


def test_texts_hold_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    write_csv({"case": ["a\x1b[2J\x9b\u202eb\tc\nä"]}, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == 'case\n"a?[2J??b\tc\nä"\n'


def test_csv_with_columns_of_two_lengths_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"columns of one length are needed; found \{'a': 2, 'b': 3\}"):
        write_csv({"a": np.zeros(2), "b": np.zeros(3)}, tmp_path / "a.csv")


def test_full_disk_is_an_input_error_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_text("old", tmp_path / "a.txt")
    for method in ("write_bytes", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, full)
            with pytest.raises(InputError, match=r"a\.txt cannot be written: No space left on device"):
                write_text("new", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    for write in (lambda p: write_text("a", p / "a.nii"), lambda p: write_image(image(), p / "a.nii")):
        with pytest.raises(InputError, match=r"a\.nii cannot be written: No such file or directory"):
            write(tmp_path / "missing")


# Folders


def test_new_folder_appears_at_once(tmp_path: Path) -> None:
    out = tmp_path / "cohort" / "sub-01"
    with staged_output(out) as folder:
        write_image(image(), folder / "cbf.nii.gz")
        (folder / "report").mkdir()
        write_text("x", folder / "report" / "a.html")
        assert not out.exists()
    assert names(out) == ["cbf.json", "cbf.nii.gz", "report"]
    assert names(out.parent) == ["sub-01"]


@pytest.mark.parametrize("error", [InputError, RuntimeError, KeyboardInterrupt])
def test_failed_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), staged_output(tmp_path / "cohort" / "sub-01") as folder:
        write_text("x", folder / "a")
        raise error
    assert names(tmp_path) == []


def test_failed_run_leaves_an_existing_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), staged_output(tmp_path, overwrite=True) as folder:
        write_text("new", folder / "a")
        raise RuntimeError
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_existing_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_text("")
    inode = tmp_path.stat().st_ino
    with staged_output(tmp_path) as folder:
        assert folder.parent == tmp_path  # the same file system
        write_text("x", folder / "a")
    assert names(tmp_path) == [".DS_Store", "a"]
    assert tmp_path.stat().st_ino == inode  # the folder of a mount, or the one we stand in, is not replaced


def test_folder_that_holds_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    message = "an empty folder is needed; found 1 file, a. Choose another or give --overwrite"
    with pytest.raises(InputError, match=message), staged_output(tmp_path):
        pytest.fail("the block must not begin")
    (tmp_path / "b").touch()
    with pytest.raises(InputError, match=r"found 2 files, such as a\. Choose another"), staged_output(tmp_path):
        pytest.fail("the block must not begin")
    assert names(tmp_path) == ["a", "b"]


def test_overwriting_replaces_the_same_names_and_keeps_others(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a", "b", "sub/c"):
        (tmp_path / name).write_text("old")
    with staged_output(tmp_path, overwrite=True) as folder:
        (folder / "sub").mkdir()
        for name in ("a", "sub/c"):
            write_text("new", folder / name)
    assert [(tmp_path / name).read_text() for name in ("a", "b", "sub/c")] == ["new", "old", "new"]
    assert names(tmp_path) == ["a", "b", "sub"]


@pytest.mark.parametrize("locked", ["old/b.csv", "new/c"])
def test_a_file_that_cannot_be_replaced_leaves_all_files_as_they_were_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    """As a table that is open in Excel: the folder would hold files of two runs."""
    for name in ("a", "b.csv", "sub/d", "other"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"old {name}")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    move = Path.replace

    def replace(source: Path, target: Path) -> Path:
        if source.name == locked[4:] and source.read_text().startswith(locked[:3]):
            raise PermissionError(errno.EACCES, "used by another process")
        return move(source, target)

    def write() -> None:
        with staged_output(tmp_path, overwrite=True) as folder:
            for name in ("a", "b.csv", "c", "made/e", "sub/d"):
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(f"new {name}")

    cure = {"old": "replaced: used by another process. Close it in other programs", "new": "written: used by another"}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(InputError, match=rf"/{locked[4:]} cannot be {cure[locked[:3]]}"):
            write()
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
    write()
    assert names(tmp_path) == ["a", "b.csv", "c", "made", "other", "sub"]


def test_a_file_whose_name_differs_in_case_only_has_a_successor(tmp_path: Path) -> None:
    """On the file systems of Windows and macOS it is that file."""
    write_text("new", tmp_path / "sub-01_cbf.png")
    assert without_successor({"Sub-01_cbf.png", "Sub-01_cbv.png"}, tmp_path) == {"Sub-01_cbv.png"}


def test_output_that_cannot_be_written_is_found_out_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a folder is needed; found a file"), staged_output(tmp_path / "file"):
        pytest.fail("the block must not begin")
    with (
        pytest.raises(InputError, match=r"cannot be written: Not a directory\. Choose a path on which no file stands"),
        staged_output(tmp_path / "file" / "out"),
    ):
        pytest.fail("the block must not begin")
    long = tmp_path / "new" / ("x" * 300)
    message = "x cannot be written: File name too long. Choose a shorter name.$"
    with pytest.raises(InputError, match=message), staged_output(long):
        pytest.fail("the block must not begin")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "Free space or choose another folder."),
        (errno.EROFS, "Choose a folder on a disk that is not read-only."),
        (errno.EACCES, "Choose a folder that you may write to."),
        (errno.EPERM, "Choose a folder that you may write to."),
        (errno.EIO, "Choose another folder."),
    ],
)
def test_the_cure_fits_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, cure: str
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    told = f"^{tmp_path}/out cannot be written: {os.strerror(number)}. {cure}$"
    with pytest.raises(InputError, match=told), staged_output(tmp_path / "out"):
        pytest.fail("the block must not begin")


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_cannot_be_written_is_named_as_the_user_will_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "out"
    if there:
        out.mkdir()
    monkeypatch.setattr(Path, "write_bytes", full)
    message = f"^{out}/a cannot be written: No space left on device. Free space or choose another folder.$"
    with pytest.raises(InputError, match=message), staged_output(out) as folder:
        write_text("x", folder / "a")


def test_full_disk_at_the_end_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)
    message = "out cannot be written: No space left on device"
    with pytest.raises(InputError, match=message), staged_output(tmp_path / "out") as folder:
        write_text("x", folder / "a")
    assert names(tmp_path) == []


def test_prefix_has_no_character_that_a_file_cannot_have_and_does_not_hide_it() -> None:
    assert [prefix_of(n) for n in ('a/b\\c:d*e?f"g<h>i|j', "a\tb\n", "..", "日本 _ctp")] == [
        "a_b_c_d_e_f_g_h_i_j",
        "a_b_",
        "_.",
        "日本 ",
    ]


def test_prefix_is_the_name_without_ctp() -> None:
    assert [prefix_of(n) for n in ("sub-01_ses-01_ctp", "scan", "_ctp", "ctp_a")] == [
        "sub-01_ses-01",
        "scan",
        "_ctp",
        "ctp_a",
    ]
