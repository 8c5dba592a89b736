"""DICOM images: which belong to the scan, in what order, when and where; and what is told or refused."""

from __future__ import annotations

import os
import sys

import numpy as np
import pydicom
import pytest
from dicom_images import (
    COLUMNS,
    FRAMES,
    ORIGIN_MM,
    PIXEL_MM,
    ROWS,
    SHAPE,
    STEP_MM,
    head,
    image,
    many,
    of_day,
    place,
    save,
    scan,
)
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from PyPeTLib import cli, read_series
from PyPeTLib.dicom import read_dicom
from PyPeTLib.dicom_headers import _bytes_of_voxels, images_of, is_damaged
from PyPeTLib.errors import InputError
from PyPeTLib.phantom_curves import bolus_curve
from PyPeTLib.read import inspect_series

CLOCK = "100000"


def check(series, name):
    return next(one for one in series.checks if one.name == name)


def test_values_grid_and_times_are_those_of_the_images(tmp_path):
    """Whatever the names of the files; in HU, in the patient's frame."""
    series = read_series(scan(tmp_path / "stroke"))
    np.testing.assert_array_equal(series.values, head())
    assert series.values.dtype == np.int16
    np.testing.assert_allclose(series.times_s, 1.5 * np.arange(FRAMES))
    assert (series.name, series.time_source) == ("stroke", "DICOM (AcquisitionTime)")
    assert series.geometry.size == SHAPE[::-1]
    assert series.geometry.spacing_mm == pytest.approx((PIXEL_MM[1], PIXEL_MM[0], STEP_MM))
    assert series.geometry.origin_mm == pytest.approx(ORIGIN_MM)
    np.testing.assert_allclose(series.geometry.axes, np.stack([ROWS, COLUMNS, [0, 0, 1]], axis=1), atol=1e-6)
    assert {check(series, name).status for name in ("orientation", "frames complete", "slice times")} == {"pass"}


def test_the_grid_is_that_of_itk(tmp_path):
    """Its own reader of one frame puts the same voxels at the same place."""
    import SimpleITK as sitk

    frame = scan(tmp_path, head()[:1])
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(frame)))
    expected = reader.Execute()
    found = read_dicom(scan(tmp_path / "all").iterdir(), name="all")
    np.testing.assert_array_equal(found.values[0], sitk.GetArrayFromImage(expected))
    assert found.geometry.origin_mm == pytest.approx(expected.GetOrigin())
    assert found.geometry.spacing_mm == pytest.approx(expected.GetSpacing())
    assert found.geometry.direction == pytest.approx(expected.GetDirection())


def test_files_in_folders_within_and_a_list_of_files_are_read_as_well(tmp_path):
    deep = scan(tmp_path / "study" / "DICOM" / "S1")
    for path in (tmp_path / "study", sorted(deep.iterdir())):
        np.testing.assert_array_equal(read_series(path).values, head())
    assert read_series(tmp_path / "study").name == "study"


def test_compressed_images_are_read(tmp_path):
    for path in scan(tmp_path / "a").iterdir():
        one = pydicom.dcmread(path)
        one.compress(RLELossless, generate_instance_uid=False)
        one.save_as(path)
    np.testing.assert_array_equal(read_series(tmp_path / "a").values, head())


def test_other_images_and_reports_are_passed_over(tmp_path):
    """A localiser in the series, a single volume of the same study, a picture of a report, a damaged file."""
    folder = scan(tmp_path / "a")
    image(folder / "scout", head()[0, 0], 9, 0.0, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    for z in range(SHAPE[0]):
        image(folder / f"plain{z}", head(1)[0, z], z, -60.0, series="1.2.9", number=2)
    image(folder / "report", head()[0, 0], 0, 0.0, series="1.2.8", Modality="SC")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM")
    np.testing.assert_array_equal(read_series(folder).values, head())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have such names")
def test_name_in_another_character_set_is_refused(tmp_path):
    folder = scan(tmp_path / os.fsdecode("Schädel".encode("latin-1")))
    with pytest.raises(InputError, match="a name in UTF-8 is needed; found the byte 0xe4"):
        read_series(folder)


def test_images_that_are_there_twice_count_once(tmp_path):
    folder = scan(tmp_path / "a")
    for path in list(folder.iterdir())[:7]:
        (folder / f"copy_of_{path.name}").write_bytes(path.read_bytes())
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    assert check(series, "frames complete").status == "pass"


@pytest.mark.parametrize("uid", ["", "1.2.3.4"])
def test_images_whose_names_were_taken_out_or_made_one_are_no_copies(tmp_path, uid):
    """As programs that take out the patient's data do; series without names are told apart by their numbers."""
    folder = scan(tmp_path / "a")
    scan(folder / "b", head(5), number=8)
    for path in folder.rglob("IM*"):
        one = pydicom.dcmread(path)
        one.SOPInstanceUID = one.SeriesInstanceUID = one.StudyInstanceUID = uid
        one.save_as(path)
    first = next(folder.glob("IM*"))
    if uid:
        (folder / "copy").write_bytes(first.read_bytes())
    for number, shift in ((7, 0), (8, 5)):
        np.testing.assert_array_equal(read_series(folder, series_number=number).values, head(shift))


def test_frames_that_are_series_of_their_own_are_joined(tmp_path):
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            path = tmp_path / f"{(5 * t) % FRAMES:02d}_{z}"
            image(path, pixels, z, 2.0 * t, series=f"1.2.3.{t}", number=100 + t)
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 2.0 * np.arange(FRAMES))


def test_of_several_series_over_time_one_is_asked_for(tmp_path, capsys):
    folder = scan(tmp_path / "a")
    scan(folder / "thin", head(5), series="1.2.4", number=8, SeriesDescription="Thin")
    found = r"found 2: number 7 \(Perfusion\), 48 images; number 8 \(Thin\), 48 images\. Give --series NUMBER"
    with pytest.raises(InputError, match=found):
        read_series(folder)
    np.testing.assert_array_equal(read_series(folder, series_number=8).values, head(5))
    offered = r"found number 7 \(Perfusion\), 48 images; number 8 \(Thin\), 48 images\. Give one of them"
    with pytest.raises(InputError, match=f"series with number 3 that shows the head over time is needed; {offered}"):
        read_series(folder, series_number=3)
    cli.main(["info", str(folder), "--series", "8"])
    assert "DICOM (AcquisitionTime)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("second", "cure"), [("1.8", "They are of 2 studies: give the folder of one"), ("1.7", "Give the files of one")]
)
def test_series_of_one_number_are_not_chosen_by_it(tmp_path, second, cure):
    folder = scan(tmp_path / "a", StudyInstanceUID="1.7")
    scan(folder / "b", head(5), series="1.2.4", StudyInstanceUID=second)
    for number in (None, 7):
        with pytest.raises(InputError, match="found 2: number 7") as error:
            read_series(folder, series_number=number)
        assert str(error.value).endswith(f"48 images. {cure}.")


def test_what_is_shown_less_often_than_a_run_needs_is_passed_over_beside_a_scan(tmp_path):
    """A localiser taken twice at one place, and a series of two phases; alone they are refused for their length."""
    folder = scan(tmp_path / "a")
    for t in range(2):
        image(folder / f"scout{t}", head()[0, 0], 9, 1.0 * t, series="1.2.8", number=1)
    scan(folder / "phases", head(3)[:2], series="1.2.9", number=2)
    np.testing.assert_array_equal(read_series(folder).values, head())
    with pytest.raises(InputError, match="at least 10 frames are needed; found 2"):
        read_series(folder / "phases")


def test_frames_that_are_series_of_their_own_are_joined_beside_a_localiser_taken_twice(tmp_path):
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            image(tmp_path / f"{t:02d}_{z}", pixels, z, 2.0 * t, series=f"1.2.3.{t}", number=100 + t)
    for t in range(2):
        image(tmp_path / f"scout{t}", head()[0, 0], 9, 1.0 * t, series="1.2.8", number=1)
    np.testing.assert_array_equal(read_series(tmp_path).values, head())
    with pytest.raises(
        InputError, match=r"series with number 9 .* found number 100 \(Perfusion\), 48 images\. Give one"
    ):
        read_series(tmp_path, series_number=9)


def frames_as_series(folder, values, *, first=100, **tags):
    """Write a scan of which every frame is a series of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(values):
        for z, pixels in enumerate(frame):
            uid = f"1.2.{first}.{t}"
            image(folder / f"{first}_{t:02d}_{z}", pixels, z, 2.0 * t, series=uid, number=first + t, **tags)
    return folder


@pytest.mark.parametrize(
    ("slices", "step", "first", "tags"),
    [
        (60, 0.12, 0.0, {"PixelSpacing": [0.4, 0.4]}),
        (20, 1.0, -1.3, {}),
        (9, 1.0, 0.0, {}),
        (4, 1.0, 0.0, {"SliceThickness": 1.0}),
        (4, 1.0, 0.0, {"StudyInstanceUID": "1.8"}),
        (4, 1.0, 0.0, {"KVP": 120, "AcquisitionTime": of_day(35990.0)}),
        (4, 1.0, 0.0, {"ConvolutionKernel": "sharp", "AcquisitionTime": of_day(36002.0)}),
        (4, 1.0, 0.0, {"ImageType": ["DERIVED", "SECONDARY", "CBF"], "AcquisitionTime": of_day(36002.0)}),
    ],
)
def test_frames_that_are_series_of_their_own_are_joined_without_other_volumes(tmp_path, slices, step, first, tags):
    """Such as a CT angiography, with more images than the scan, a volume without contrast on its grid, or a map."""
    folder = frames_as_series(tmp_path / "a", head(), StudyInstanceUID="1.7", ImageType=["ORIGINAL", "PRIMARY"])
    for z in range(slices):
        there = {"ImagePositionPatient": place(first + step * z), "StudyInstanceUID": "1.7"}
        there |= {"ImageType": ["ORIGINAL", "PRIMARY"], **tags}
        image(folder / f"plain{z}", head(1)[0, 0], 0, -200.0, series="1.2.9", number=2, **there)
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 2.0 * np.arange(FRAMES))


def test_of_several_scans_whose_frames_are_series_one_is_taken_by_any_of_its_numbers(tmp_path):
    folder = frames_as_series(tmp_path / "a", head(), StudyInstanceUID="1.7")
    frames_as_series(folder / "b", head(5), first=300, StudyInstanceUID="1.8")
    with pytest.raises(
        InputError, match=r"found 2: number 100 .*; number 300 \(Perfusion\), 48 images\. Give --series"
    ):
        read_series(folder)
    for number, shift in ((100, 0), (105, 0), (311, 5)):
        np.testing.assert_array_equal(read_series(folder, series_number=number).values, head(shift))
    frames_as_series(folder / "c", head(6), first=106, StudyInstanceUID="1.9")
    with pytest.raises(InputError, match="They are of 3 studies: give the folder of one"):
        read_series(folder)


def test_series_that_go_on_where_another_ends_are_one_scan(tmp_path):
    """A first volume, the arterial phase, and the venous one in longer steps: each alone is too short."""
    times = np.concatenate([[0.0], 5.0 + 1.5 * np.arange(7), 20.0 + 5.0 * np.arange(4)])
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            part = int(t > 0) + int(t > 7)
            image(tmp_path / f"{t}_{z}", pixels, z, times[t], series=f"1.2.{part}", number=part)
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, times, atol=1e-4)
    np.testing.assert_array_equal(read_series(tmp_path, series_number=2).values, head())


@pytest.mark.parametrize("each", [True, False])
def test_one_slice_in_which_the_bolus_is_awaited_is_passed_over_beside_a_scan(tmp_path, each):
    """As for the CT angiography of the same study; it has as many images of its place as a scan."""
    folder = frames_as_series(tmp_path / "a", head()) if each else scan(tmp_path / "a")
    for t in range(FRAMES):
        image(folder / f"awaited{t}", head(5)[t, 0], 0, 300.0 + t, series="1.2.9", number=5)
    np.testing.assert_array_equal(read_series(folder).values, head())
    np.testing.assert_array_equal(read_series(folder, series_number=5).values, head(5)[:, :1])


def test_frames_whose_images_are_of_studies_of_their_own_are_joined(tmp_path):
    """As programs that take out the patient's data make them, with new UIDs for every file."""
    folder = scan(tmp_path / "a")
    for path in folder.iterdir():
        one = pydicom.dcmread(path)
        one.StudyInstanceUID, one.SeriesInstanceUID = f"1.7.1{path.name[2:]}", f"1.6.1{path.name[2:]}"
        one.save_as(path)
    np.testing.assert_array_equal(read_series(folder).values, head())


def test_numbers_of_series_are_listed_where_none_is_a_scan(tmp_path):
    for number in range(7):
        image(tmp_path / f"{number}", head()[0, 0], number, 0.0, series=f"1.2.{number}", number=number)
    with pytest.raises(InputError, match=r"found number 0, 1, 2, 3, 4 \.\.\. \(7 in all\)\. Give one of them"):
        read_series(tmp_path, series_number=9)


def test_damaged_images_are_named(tmp_path):
    """What cannot be read and says that it is something else, such as a report, is not."""
    folder = scan(tmp_path / "a")
    report = image(folder / "report", head()[0, 0], 0, 0.0, series="1.2.8")
    report.write_bytes(report.read_bytes()[:900].replace(b"5.1.4.1.1.2\0", b"5.1.4.1.1.7\0"))
    other = image(folder / "other", head()[0, 0], 0, 0.0, series="1.2.9")
    other.write_bytes(other.read_bytes()[:900])
    told = check(read_series(folder), "frames complete")
    assert told.status == "warn"
    assert told.text == "Each of 12 frames has its 4 slices. Truncated or damaged: other."
    one = next(folder.glob("IM*"))
    one.write_bytes(one.read_bytes()[:-400])
    told = check(read_series(folder), "frames complete")
    assert told.value == 3.0
    assert "1 of 12 frames lack slices; 3 images" in told.text
    assert told.text.endswith(f"Truncated or damaged: {one.name}, other.")
    for path in folder.glob("IM*"):
        path.unlink()
    with pytest.raises(InputError, match=r"found no CT image.*Truncated or damaged: other\."):
        read_series(folder)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_a_file_that_ends_before_its_voxels_is_known_without_itk(tmp_path, syntax):
    """Before SimpleITK 2.5.5, ITK makes zeros of what is missing, or ends the process; an icon comes first."""
    one = pydicom.dcmread(image(tmp_path / "a.dcm", head()[0, 0], 0, 0.0))
    one.IconImageSequence = [Dataset()]
    one.IconImageSequence[0].add_new("PixelData", "OB", bytes(64))
    if syntax == RLELossless:
        one.compress(syntax, generate_instance_uid=False)
    one.file_meta.TransferSyntaxUID, implicit = syntax, syntax == ImplicitVRLittleEndian
    path = tmp_path / "b.dcm"
    save(FileDataset("", one, b"\0" * 128, one.file_meta, is_implicit_VR=implicit), path)
    assert _bytes_of_voxels(path) == (np.inf if syntax == RLELossless else head()[0, 0].nbytes)
    content = path.read_bytes()
    begin = content.rindex(b"\xe0\x7f\x10\0") + 12
    for length in range(begin, len(content) - 4 * (syntax == RLELossless), 7):  # 4: the length of nothing, at the end
        path.write_bytes(content[:length])
        assert _bytes_of_voxels(path) == 0
        assert images_of(path) == [] and is_damaged(path)


def test_images_of_which_the_file_has_a_part_are_named(tmp_path):
    """Of the rest ITK would make zeros, whatever its version; also where an enhanced file lacks an image."""
    folder = scan(tmp_path / "a")
    one = next(folder.glob("IM*"))
    half = pydicom.dcmread(one)
    half.PixelData = half.PixelData[: len(half.PixelData) // 2]
    half.save_as(one)
    told = check(read_series(folder), "frames complete")
    assert told.status == "warn" and told.text.endswith(f"Truncated or damaged: {one.name}.")
    frames = [(t, z) for t in range(FRAMES) for z in range(SHAPE[0])]
    path = many(tmp_path / "b.dcm", head(), frames, content=acquired, NumberOfFrames=len(frames) + 1)
    with pytest.raises(InputError, match=r"found no CT image.*Truncated or damaged: b\.dcm"):
        read_series([path, path])


@pytest.mark.parametrize("own", ["1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.1.88.11"])
def test_what_refers_to_ct_images_is_no_damaged_one(tmp_path, own):
    """A DICOMDIR, which media and archives write beside the images, or a report: their own class comes first."""
    folder = scan(tmp_path / "a")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = own, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    entry = Dataset()
    entry.DirectoryRecordType, entry.ReferencedSOPClassUIDInFile = "IMAGE", CTImageStorage
    listing = FileDataset("DICOMDIR", {}, b"\0" * 128, meta, is_implicit_VR=False)
    listing.DirectoryRecordSequence = [entry]
    save(listing, folder / "DICOMDIR")
    assert f"{CTImageStorage}\0".encode() in (folder / "DICOMDIR").read_bytes()[:1024]
    told = check(read_series(folder), "frames complete")
    assert (told.status, told.text) == ("pass", "Each of 12 frames has its 4 slices.")


@pytest.mark.parametrize("colours", ["RGB", "PALETTE COLOR"])
def test_a_picture_in_colours_on_the_grid_of_the_scan_is_passed_over(tmp_path, colours):
    """Such as a map of the scanner's own program, in the series of the scan."""
    folder = scan(tmp_path / "a")
    samples = 3 if colours == "RGB" else 1
    tags = {"SamplesPerPixel": samples, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    if samples == 1:
        for one in ("Red", "Green", "Blue"):
            tags[f"{one}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
            tags[f"{one}PaletteColorLookupTableData"] = bytes(512)
    else:
        tags["PlanarConfiguration"] = 0
    pixels = bytes(SHAPE[1] * SHAPE[2] * samples)
    for z in range(SHAPE[0]):
        image(folder / f"map{z}", head()[0, z], z, 99.0, PhotometricInterpretation=colours, PixelData=pixels, **tags)
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    assert check(series, "frames complete").status == "pass"


def test_a_frame_is_found_among_slices_of_other_times(tmp_path):
    """Slices of a frame begin 0.5 s after each other; an image is missing, and the others are still put together."""
    offsets = 0.5 * np.arange(SHAPE[0])
    series = read_series(scan(tmp_path / "a", times_s=2.5 * np.arange(FRAMES), offsets_s=offsets, left_out={(5, 0)}))
    kept = [t for t in range(FRAMES) if t != 5]
    np.testing.assert_allclose(np.diff(series.times_s), 2.5 * np.diff(kept), atol=1e-4)
    assert check(series, "frames complete").value == 3.0


@pytest.mark.parametrize("missing", [(), (3, 1), (3, 0)])
@pytest.mark.parametrize("way_s", [0.45, 1.2])
def test_frames_of_a_table_that_moves_to_and_fro_are_complete(tmp_path, way_s, missing):
    """Every second frame begins at the other end of the head: the outer slices come in pairs, soon after each other."""
    values = np.concatenate([head(), head(1)[:1]])
    along = np.linspace(0.0, way_s, SHAPE[0])
    own = np.stack([1.5 * t + (along if t % 2 else along[::-1]) for t in range(len(values))])
    for t, frame in enumerate(values):
        for z, pixels in enumerate(frame):
            if (t, z) != missing:
                image(tmp_path / f"{t}_{z}", pixels, z, own[t, z])
    found = read_dicom(tmp_path.iterdir(), name="a")
    kept = [t for t in range(len(values)) if t not in missing[:1]]
    np.testing.assert_array_equal(found.values, values[kept])
    np.testing.assert_allclose(found.slices_s, own[kept] - own[0].mean(), atol=1e-4)
    assert [(one.status, one.value) for one in found.checks if one.name == "frames complete"] == [
        ("warn", 3.0) if missing else ("pass", 0.0)
    ]


def to_and_fro(turns):
    """When slices are scanned by a table whose every second turn begins at the other end of the head."""
    along = np.linspace(0.0, 1.2, SHAPE[0])
    return np.stack([1.5 * t + (along if t % 2 else along[::-1]) for t in range(turns)])


def jumping(turns):
    """When slices are scanned by a table that jumps between two slabs, each half-way between frames of the other."""
    return 3.0 * np.arange(turns)[:, None] + np.repeat([0.0, 1.5], SHAPE[0] // 2)


LOWER, UPPER = range(SHAPE[0] // 2), range(SHAPE[0] // 2, SHAPE[0])


@pytest.mark.parametrize(
    ("when", "lost"),
    [
        (to_and_fro, {(t, z) for t in (4, 7) for z in range(SHAPE[0])}),
        (to_and_fro, {(4, z) for z in range(SHAPE[0])}),
        (to_and_fro, {(3, z) for z in LOWER} | {(8, z) for z in UPPER}),
        (to_and_fro, {(6, 3), (9, 0)}),
        (jumping, {(4, z) for z in range(SHAPE[0])}),
        (jumping, {(4, 0), (9, 3)}),
        (jumping, {(6, z) for z in UPPER}),
    ],
)
def test_frames_that_a_moving_table_has_lost_leave_the_others_together(tmp_path, when, lost):
    """Whichever way it moved after the gap."""
    own = when(14)
    for t, z in np.ndindex(own.shape):
        if (t, z) not in lost:
            image(tmp_path / f"{t}_{z}", np.full(SHAPE[1:], 50 * t + z), z, own[t, z])
    found = read_dicom(tmp_path.iterdir(), name="a")
    shown, place = np.divmod(found.values[:, :, 0, 0], 50)
    np.testing.assert_array_equal(place, np.broadcast_to(range(SHAPE[0]), place.shape))
    np.testing.assert_allclose(
        found.slices_s - found.slices_s[0, 0], own[shown, place] - own[shown[0, 0], 0], atol=1e-4
    )
    complete = [t for t in range(len(own)) if not any((t, z) in lost for z in range(SHAPE[0]))]
    assert len(shown) >= len(complete)
    assert np.ptp(found.slices_s, axis=1).max() <= 1.5 + 1e-4
    assert (np.diff(shown, axis=0) > 0).all()


def test_a_complete_scan_is_one_however_long_the_table_takes(tmp_path):
    """More than half of the time between frames: images of the frame before are nearer."""
    own = 2.0 * np.arange(FRAMES)[:, None] + 1.2 * np.arange(2)
    for t, z in np.ndindex(own.shape):
        image(tmp_path / f"{t}_{z}", head()[t, z], z, own[t, z])
    found = read_dicom(tmp_path.iterdir(), name="a")
    np.testing.assert_array_equal(found.values, head()[:, :2])
    told = next(one for one in found.checks if one.name == "frames complete")
    assert (told.status, told.text) == ("pass", "Each of 12 frames has its 2 slices.")


@pytest.mark.parametrize("lost", [(), (4, 3)])
def test_slabs_of_a_table_that_jumps_may_overlap(tmp_path, lost):
    """A slice that both show is there twice as often as the others: that nearest in time to its neighbours is taken."""
    values, own = head(), jumping(FRAMES)
    for t, z in np.ndindex(own.shape):
        if (t, z) != lost:
            image(tmp_path / f"{t}_{z}", values[t, z], z, own[t, z])
        if z == 2:
            image(tmp_path / f"{t}_again", values[t, z], z, own[t, 0] + 0.01)
    found = read_dicom(tmp_path.iterdir(), name="a")
    kept = [t for t in range(FRAMES) if t not in lost[:1]]
    np.testing.assert_array_equal(found.values, values[kept])
    told = next(one for one in found.checks if one.name == "frames complete")
    assert told.status == "warn"
    assert "images, theirs, of no frame or where slabs overlap, were left out" in told.text


@pytest.mark.parametrize(("start", "changes_date"), [(86391.0, True), (86391.0, False)])
def test_midnight_between_frames(tmp_path, start, changes_date):
    """The date changes with it, or is that of the start of the scan."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            seconds = start + 1.5 * t
            date = "20240201" if changes_date and seconds >= 86400.0 else "20240131"
            image(tmp_path / f"{t}_{z}", pixels, z, None, AcquisitionDate=date, AcquisitionTime=of_day(seconds))
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 1.5 * np.arange(FRAMES), atol=1e-4)


@pytest.mark.parametrize(
    ("tags", "source"),
    [
        (lambda t: {"AcquisitionDateTime": f"20240131{of_day(3600 + 2.0 * t)}+0100"}, "AcquisitionDateTime"),
        (lambda t: {"AcquisitionTime": CLOCK, "TriggerTime": 2000.0 * t}, "TriggerTime"),
        (lambda t: {"AcquisitionTime": CLOCK, "ContentTime": of_day(50.0 + 2.0 * t)}, "ContentTime"),
    ],
)
def test_times_come_from_the_first_tag_that_tells_images_of_a_place_apart(tmp_path, tags, source):
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            image(tmp_path / f"{(5 * t) % FRAMES}_{z}", pixels, z, None, **tags(t))
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 2.0 * np.arange(FRAMES), atol=1e-4)
    assert series.time_source == f"DICOM ({source})"
    assert check(series, "DICOM times").status == ("warn" if source == "ContentTime" else "pass")


@pytest.mark.parametrize("step_ms", [1500, 75])
def test_temporal_positions_with_a_step_are_times_that_are_doubted(tmp_path, step_ms):
    """Before those at which images were made; a step that no frames have is that of the tube's turn."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            tags = {"TemporalPositionIdentifier": t + 1, "TemporalResolution": step_ms, "AcquisitionTime": CLOCK}
            image(tmp_path / f"{t}_{z}", pixels, z, None, ContentTime=of_day(50.0 + 0.3 * t + 0.01 * z), **tags)
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.values, head())
    regular = step_ms == 1500
    np.testing.assert_allclose(series.times_s, (1.5 if regular else 0.3) * np.arange(FRAMES), atol=1e-4)
    told = check(series, "DICOM times")
    assert told.status == "warn"
    assert ("equally far apart, 1.5 s (TemporalResolution)" in told.text) is regular


def test_temporal_positions_with_several_steps_are_no_times(tmp_path):
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            tags = {"TemporalPositionIdentifier": t + 1, "TemporalResolution": 1500 if t < 6 else 3000}
            image(tmp_path / f"{t}_{z}", pixels, z, None, AcquisitionTime=CLOCK, **tags)
    with pytest.raises(InputError, match="which tell no times"):
        read_series(tmp_path)
    np.testing.assert_array_equal(read_series(tmp_path, interval_s=2.0).values, head())


def test_frames_are_in_order_however_long_after_each_other_images_of_their_slices_were_made(tmp_path):
    """All images of a slice before those of the next."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            made = of_day(50.0 + 0.2 * t + 10.0 * z)
            image(tmp_path / f"{t}_{z}", pixels, z, None, AcquisitionTime=CLOCK, ContentTime=made)
    np.testing.assert_array_equal(read_series(tmp_path).values, head())


def test_images_made_long_after_each_other_are_not_said_to_be_scanned_so(tmp_path):
    """An image is missing, and no time of acquisition tells which."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            if (t, z) != (4, 2):
                tags = {"AcquisitionTime": CLOCK, "ContentTime": of_day(50.0 + 0.2 * t + 10.0 * z)}
                image(tmp_path / f"{t}_{z}", pixels, z, None, **tags)
    with pytest.raises(InputError, match=r"complete frames are needed; found 0 of 12 frames"):
        read_series(tmp_path)


@pytest.mark.parametrize("later_s", [18.0, 300.0])
def test_slabs_that_were_scanned_one_after_the_other_are_refused(tmp_path, later_s):
    """Each sees a bolus of its own; spread over one time they were no scan."""
    folder = scan(tmp_path / "a", offsets_s=(0.0, 0.0, later_s, later_s))
    found = rf"some within 16\.5 s, and others from {later_s:.3g} s after these began, as of an injection a slab"
    with pytest.raises(InputError, match=f"slices that were scanned together are needed; found {found}"):
        read_series(folder)


@pytest.mark.parametrize("tag", ["AcquisitionNumber", "InstanceNumber"])
def test_times_at_which_images_were_made_in_another_order_are_not_taken(tmp_path, tag):
    """By several processes at once: the order of the frames would be theirs, with a typed interval too."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            tags = {"AcquisitionTime": CLOCK, "ContentTime": of_day(50.0 + 2.0 * (5 * t % FRAMES)), tag: t + 1}
            image(tmp_path / f"{t}_{z}", pixels, z, None, **tags)
    with pytest.raises(InputError, match=r"tell no times \(ContentTime has the images in another order than their num"):
        read_series(tmp_path)
    np.testing.assert_array_equal(read_series(tmp_path, interval_s=2.0).values, head())


@pytest.mark.parametrize("interval_s", [None, 2.0])
def test_slices_are_not_moved_by_when_their_images_were_made(tmp_path, interval_s):
    """One after the other, though all were acquired at once."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            made = of_day(50.0 + 2.0 * t + 0.45 * z)
            image(tmp_path / f"{t}_{z}", pixels, z, None, AcquisitionTime=CLOCK, ContentTime=made)
    series = read_series(tmp_path, interval_s=interval_s)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 2.0 * np.arange(FRAMES), atol=1e-4)
    assert "All slices of a frame count as acquired at once." in check(series, "DICOM times").text


def test_why_times_are_none_is_told(tmp_path):
    """One image lacks its time, or one frame is there again as another series, at the time of its own."""
    folder = frames_as_series(tmp_path / "a", head(), StudyInstanceUID="1.7")
    for z in range(SHAPE[0]):
        again = {"series": "1.2.9", "number": 300, "StudyInstanceUID": "1.7"}
        image(folder / f"again{z}", head()[5, z], z, 10.0, **again)
    with pytest.raises(
        InputError, match=r"\(AcquisitionTime is that of another image of the place in 4 of 52 images\)"
    ):
        read_series(folder)
    folder = scan(tmp_path / "b")
    one = pydicom.dcmread(folder / "IM0000")
    del one.AcquisitionTime
    one.save_as(folder / "IM0000")
    with pytest.raises(InputError, match=r"\(AcquisitionTime is there in 47 of 48 images\)"):
        read_series(folder)


def test_times_whose_fractions_were_cut_off_are_told(tmp_path):
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            image(tmp_path / f"{t}_{z}", pixels, z, None, AcquisitionTime=of_day(1000.0 + int(1.4 * t))[:6])
    told = check(read_series(tmp_path), "DICOM times")
    assert told.status == "warn" and "Times are whole seconds (AcquisitionTime), up to 1 s early" in told.text


def test_images_without_times_are_in_the_order_of_their_numbers_and_times_are_asked_for(tmp_path):
    folder = scan(tmp_path / "a", times_s=False)
    info = inspect_series(folder)
    np.testing.assert_array_equal(info.values, head())
    assert "the time of each frame is needed; found DICOM images, which tell no times" in info.problems[0]
    series = read_series(folder, interval_s=2.0)
    np.testing.assert_allclose(series.times_s, 2.0 * np.arange(FRAMES))


def test_without_times_frames_are_in_the_order_of_their_series_or_of_the_names_of_files(tmp_path):
    """Frame 2 before frame 10."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            uid = f"1.2.3.{t}"
            image(tmp_path / f"{(5 * t) % FRAMES}_{z}", pixels, z, None, series=uid, number=95 + t, instance=z + 1)
            (tmp_path / "b" / f"S{t}").mkdir(parents=True, exist_ok=True)
            image(tmp_path / "b" / f"S{t}" / f"{z}", pixels, z, None, series="1.2.4", number=8)
    for number in (95, 8):
        series = read_series(tmp_path, interval_s=2.0, series_number=number)
        np.testing.assert_array_equal(series.values, head())


@pytest.mark.parametrize("date", ["00000000", "removed"])
def test_dates_that_were_taken_out_leave_times(tmp_path, date):
    folder = scan(tmp_path / "a", times_s=86391.0 - 36000.0 + 1.5 * np.arange(FRAMES))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"20240131", date.ljust(8).encode()))
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 1.5 * np.arange(FRAMES), atol=1e-4)


def test_a_time_that_is_typed_wins_and_is_compared(tmp_path):
    series = read_series(scan(tmp_path / "a"), interval_s=2.0)
    told = check(series, "frame times")
    assert told.status == "warn"
    assert "given: interval 2 s: 2 s between frames was used; DICOM (AcquisitionTime) says 1.5 s" in told.text


def test_a_frame_that_lacks_an_image_is_left_out_and_told(tmp_path):
    """The others keep their places and times."""
    series = read_series(scan(tmp_path / "a", left_out={(4, 2), (11, 0), (11, 1)}))
    kept = [t for t in range(FRAMES) if t not in (4, 11)]
    np.testing.assert_array_equal(series.values, head()[kept])
    np.testing.assert_allclose(series.times_s, 1.5 * np.array(kept))
    told = check(series, "frames complete")
    assert (told.status, told.value) == ("warn", 5.0)
    assert "2 of 12 frames lack slices; 5 images" in told.text


def test_slices_that_lack_one_frame_each_are_not_put_together_by_their_order(tmp_path):
    """All have as many images, but not of the same frames."""
    series = read_series(scan(tmp_path / "a", left_out={(4, 0), (4, 1), (8, 2), (8, 3)}))
    kept = [t for t in range(FRAMES) if t not in (4, 8)]
    np.testing.assert_array_equal(series.values, head()[kept])
    np.testing.assert_allclose(series.times_s, 1.5 * np.array(kept))
    assert check(series, "frames complete").status == "warn"


def test_two_reconstructions_in_one_series_are_refused(tmp_path):
    folder = scan(tmp_path / "a")
    scan(folder / "sharp", head(5))
    with pytest.raises(InputError, match="one image of every slice at every time is needed; found 2, as of several"):
        read_series(folder)


@pytest.mark.parametrize(
    ("tags", "source"),
    [
        (lambda t: {"TriggerTime": 500.0 * t}, "TriggerTime"),
        (lambda t: {"AcquisitionNumber": t + 1, "ContentTime": of_day(50.0 + 0.5 * t)}, "ContentTime"),
        (lambda t: {"AcquisitionNumber": t + 1}, None),
    ],
)
def test_frames_of_half_a_second_with_times_of_whole_ones_are_no_reconstructions(tmp_path, tags, source):
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            image(tmp_path / f"{t}_{z}", pixels, z, None, AcquisitionTime=of_day(t // 2)[:6], **tags(t))
    series = read_series(tmp_path, interval_s=None if source else 0.5)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 0.5 * np.arange(FRAMES))
    assert source is None or series.time_source == f"DICOM ({source})"


def test_frames_before_or_after_a_pause_are_left_out_and_told(tmp_path):
    """A scan that was broken off and begun again, and a volume of the same grid without contrast."""
    folder = scan(tmp_path / "a")
    scan(folder / "broken off", head(5)[:3], times_s=-200.0 + 1.5 * np.arange(3))
    scan(folder / "late", head(6)[:1], times_s=np.array([300.0]))
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 1.5 * np.arange(FRAMES), atol=1e-4)
    told = check(series, "frames complete")
    assert told.status == "warn"
    assert "Each of 16 frames has its 4 slices. 4 frames, more than 30 s before or after the others, were" in told.text
    scan(folder / "again", head(7), times_s=500.0 + 1.5 * np.arange(FRAMES))
    with pytest.raises(InputError, match=r"found 197 s from frame 3 to 4 .*\. Give the frames before or after that"):
        read_series(folder)


def test_an_image_too_many_belongs_to_no_frame(tmp_path):
    folder = scan(tmp_path / "a")
    image(folder / "more", head()[0, 1], 1, -40.0)
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    assert check(series, "frames complete").value == 1.0


def test_many_missing_images_are_refused(tmp_path):
    missing = {(t, t % SHAPE[0]) for t in range(0, FRAMES, 2)}
    with pytest.raises(InputError, match=r"complete frames are needed; found 6 of 12 frames with all 4 slices"):
        read_series(scan(tmp_path / "a", left_out=missing))
    folder = scan(tmp_path / "b", times_s=False, left_out={(3, 1)})
    with pytest.raises(InputError, match="found 11 to 12, and no times that tell which are missing"):
        read_series(folder)


def test_a_slice_that_is_missing_in_all_frames_is_refused(tmp_path):
    folder = scan(tmp_path / "a", left_out={(t, 2) for t in range(FRAMES)})
    with pytest.raises(InputError, match=r"slices at even steps are needed; found steps of 7\.5 mm, but 5 mm between"):
        read_series(folder)


def test_a_tilted_gantry_is_told(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            image(folder / f"{t}_{z}", pixels, z, 1.5 * t, ImagePositionPatient=place(z, 1.0 * z))
    told = check(read_series(folder), "orientation")
    assert told.status == "warn"
    assert told.value == pytest.approx(3.0, abs=0.01)


def test_images_of_a_slice_that_lie_beside_each_other_are_refused(tmp_path):
    """A field of view of another centre in the later frames: they were put above the others as if they lay there."""
    aside = [ORIGIN_MM + np.array([mm, 0.0, 0.0]) for mm in (0.3, 5.0)]
    for name, there in zip("ab", aside, strict=True):
        (tmp_path / name).mkdir()
        for t, frame in enumerate(head()):
            for z, pixels in enumerate(frame):
                origin = (there if t > 6 else ORIGIN_MM) + [0.0, 0.0, STEP_MM * z]
                image(tmp_path / name / f"{t}_{z}", pixels, z, 1.5 * t, ImagePositionPatient=origin.tolist())
    np.testing.assert_array_equal(read_series(tmp_path / "a").values, head())
    with pytest.raises(InputError, match=r"lie above each other are needed; found some 4\.8 mm beside the first"):
        read_series(tmp_path / "b")


@pytest.mark.parametrize(("each", "after_s"), [(True, -5.0), (False, 300.0)])
def test_a_volume_of_another_centre_beside_a_scan_is_passed_over(tmp_path, each, after_s):
    """Of a series of its own beside those of frames, or of the scan's series, long after it."""
    folder = frames_as_series(tmp_path / "a", head()) if each else scan(tmp_path / "a")
    for z, pixels in enumerate(head(1)[0]):
        aside = {"ImagePositionPatient": [one + mm for one, mm in zip(place(z), (5.0, 0.0, 0.0), strict=True)]}
        own = {"series": "1.2.9", "number": 2} if each else {}
        image(folder / f"plain{z}", pixels, z, after_s, **own, **aside)
    np.testing.assert_array_equal(read_series(folder).values, head())


def test_images_on_another_grid_in_the_series_are_told(tmp_path):
    """A later phase with smaller pixels was left out without a word; a view from the side is a localiser."""
    folder = scan(tmp_path / "a")
    scan(folder / "late", head(5)[:4], times_s=30.0 + 1.5 * np.arange(4), PixelSpacing=[0.4, 0.4])
    image(folder / "scout", head()[0, 0], 9, 0.0, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    told = check(series, "frames complete")
    assert told.status == "warn"
    assert "16 images of the series on another grid (20×24 pixels of 0.4×0.4 mm) left out" in told.text


def test_grids_that_differ_in_the_last_digits_of_headers_are_one(tmp_path):
    """On two sides of where they are rounded."""
    for t, frame in enumerate(head()):
        for z, pixels in enumerate(frame):
            off = 1e-6 if t % 2 else -1e-6
            axes = {
                "ImageOrientationPatient": [
                    "0.96005",
                    f"{0.27985 + off:.8f}",
                    "0",
                    f"{-0.27985 + off:.8f}",
                    "0.96005",
                    "0",
                ]
            }
            image(tmp_path / f"{t}_{z}", pixels, z, 1.5 * t, PixelSpacing=[f"{0.85005 + off:.8f}", "0.9"], **axes)
    np.testing.assert_array_equal(read_series(tmp_path).values, head())


def test_an_empty_modality_is_none_and_images_without_a_place_are_none(tmp_path):
    np.testing.assert_array_equal(read_series(scan(tmp_path / "a", Modality="")).values, head())
    folder = scan(tmp_path / "b", PixelSpacing=None)
    with pytest.raises(InputError, match=r"found no CT image\..* images need place, orientation and size of pixels"):
        read_series(folder)


def test_volumes_once_and_images_that_nothing_tells_apart_are_refused(tmp_path):
    with pytest.raises(InputError, match="found 1 that show every place once"):
        read_series(scan(tmp_path / "a", head()[:1]))
    folder = scan(tmp_path / "b")
    image(folder / "many", head()[0, :2], 0, 0.0, NumberOfFrames=2)
    np.testing.assert_array_equal(read_series(folder).values, head())
    for path in folder.glob("IM*"):
        path.unlink()
    with pytest.raises(InputError, match=r"File .*many: many images are in it, and nothing tells where they lie"):
        read_series(folder)
    with pytest.raises(InputError, match="found one DICOM file: give the folder of the scan"):
        read_series(image(tmp_path / "one.dcm", head()[0, 0], 0, 0.0))


def test_a_rescale_slope_that_is_no_whole_number_keeps_its_digits(tmp_path):
    series = read_series(scan(tmp_path / "a", RescaleSlope=0.5, RescaleIntercept=-1000))
    assert series.values.dtype == np.float32
    np.testing.assert_allclose(series.values, 0.5 * (head() + 1024.0) - 1000.0)


def test_slices_of_other_times_are_taken_to_that_of_the_frame(tmp_path):
    """A table that moves to and fro: half of the slices 0.75 s before, half 0.75 s after their frame's time."""
    offsets = np.repeat([0.0, 1.5], SHAPE[0] // 2)
    times = 3.0 * np.arange(FRAMES)
    own = times[:, None] + offsets
    bolus = bolus_curve(own, arrival_s=7.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    still = np.round(head().mean(axis=0)).astype(np.int16)
    moving = scan(
        tmp_path / "a", np.round(still + bolus[..., None, None]).astype(np.int16), times_s=times, offsets_s=offsets
    )
    series = read_series(moving)
    told = check(series, "slice times")
    assert (told.status, told.value) == ("warn", pytest.approx(0.75, abs=1e-4))
    mean = bolus_curve(times + 0.75, arrival_s=7.0, width_s=9.0, peak_hu=300.0, recirculation=0.2)
    found = (series.values - still)[:, :, 12, 10]
    assert np.abs(found - mean[:, None]).max() < 0.06 * 300.0
    assert np.abs(np.round(bolus) - mean[:, None]).max() > 0.15 * 300.0


def test_a_sidecar_wins_over_the_times_of_the_slices_and_they_are_used_once(tmp_path):
    """With both, slices would be moved twice."""
    folder = scan(tmp_path / "a", offsets_s=(0.0, 0.0, 0.7, 0.7))
    (tmp_path / "a.json").write_text('{"SliceTiming": [0, 0, 0, 0]}')
    series = read_series(folder)
    np.testing.assert_array_equal(series.values, head())
    told = [one for one in series.checks if one.name == "slice times"]
    assert [(one.status, one.value) for one in told] == [("pass", 0.0)]


def test_items_within_each_other_without_end_are_damage(tmp_path):
    """GDCM ended the process."""
    path = image(tmp_path / "a", head()[0, 0], 0, 0.0)
    content = path.read_bytes()
    item = b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    start = content.index(b"\xe0\x7f\x10\0")
    path.write_bytes(content[:start] + item * 50_000 + content[start:])
    assert _bytes_of_voxels(path) == 0 and images_of(path) == [] and is_damaged(path)


def test_axes_that_were_rounded_are_perpendicular_unit_vectors(tmp_path):
    """Results could not be written on others, after all the work."""
    axes = read_series(scan(tmp_path, ImageOrientationPatient=[0.961, 0.28, 0.01, -0.279, 0.96, 0.0])).geometry.axes
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x00200032, b"nan\\0\\0 "),
        (0x00280030, b"inf\\1 "),
        (0x00200037, b"1\\0\\0\\1\\0\\0 "),
        (0x00200011, b"1e400 "),
    ],
)
def test_numbers_that_are_none_are_not_taken(tmp_path, tag, value):
    """A place, a size, axes or the number of a series: the image lies nowhere, the series has no number."""
    folder = scan(tmp_path / "a")
    for path in folder.iterdir():
        one = pydicom.dcmread(path)
        one._dict[pydicom.tag.Tag(tag)] = RawDataElement(pydicom.tag.Tag(tag), "DS", len(value), value, 0, False, True)
        one.save_as(path)
    found = "number 1e400" if tag == 0x00200011 else "no CT image"
    with pytest.raises(InputError, match=f"Scan a: .* found {found}"):
        read_series(folder, series_number=7)


def test_names_of_series_in_any_character_set_are_printed(tmp_path, capsys):
    folder = scan(tmp_path / "a", SpecificCharacterSet="ISO_IR 100", SeriesDescription="Schädel")
    scan(folder / "b", head(5), series="1.2.4", number=8)
    assert cli.main(["info", str(folder)]) == 2
    assert "number 7 (Sch" in capsys.readouterr().err


def acquired(t):
    """When an image of an enhanced file was acquired."""
    return {"FrameContent": {"FrameAcquisitionDateTime": f"20240131{of_day(36000.0 + 1.5 * t)}"}}


@pytest.mark.parametrize("shared", [True, False])
def test_a_file_a_frame_is_read_as_a_file_a_slice_is(tmp_path, shared):
    """Enhanced DICOM, slices from the top down; what is common to all images once, or with each."""
    for t in range(FRAMES):
        slices = [(t, z) for z in reversed(range(SHAPE[0]))]
        many(tmp_path / "many" / f"IM{t * 7 % FRAMES}", head(), slices, content=acquired, shared=shared)
    series, expected = read_series(tmp_path / "many"), read_series(scan(tmp_path / "single"))
    np.testing.assert_array_equal(series.values, expected.values)
    assert series.values.dtype == np.int16
    np.testing.assert_allclose(series.times_s, expected.times_s)
    assert series.geometry.matches(expected.geometry)
    assert series.time_source == "DICOM (FrameAcquisitionDateTime)"
    assert {check(series, name).status for name in ("orientation", "frames complete", "DICOM times")} == {"pass"}


def test_one_file_holds_a_scan(tmp_path, capsys):
    """Given by its path; compressed, its images in no order."""
    order = [divmod(int(index), SHAPE[0]) for index in np.random.default_rng(2).permutation(FRAMES * SHAPE[0])]
    path = many(tmp_path / "study" / "stroke.dcm", head(), order, content=acquired)
    one = pydicom.dcmread(path)
    one.compress(RLELossless)
    one.save_as(path)
    for where, name in ((path, "stroke"), (path.parent, "study")):
        series = read_series(where)
        np.testing.assert_array_equal(series.values, head())
        np.testing.assert_allclose(series.times_s, 1.5 * np.arange(FRAMES))
        assert series.name == name
    cli.main(["info", str(path)])
    assert "DICOM (FrameAcquisitionDateTime)" in capsys.readouterr().out


def test_an_enhanced_file_without_the_magic_word_is_read(tmp_path):
    """By its name, as GDCM does."""
    frames = [(t, z) for t in range(FRAMES) for z in range(SHAPE[0])]
    path = many(tmp_path / "a.dcm", head(), frames, content=acquired)
    path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read_series(path).values, head())


def test_an_enhanced_file_with_fewer_images_than_it_describes_is_refused(tmp_path):
    frames = [(t, z) for t in range(FRAMES) for z in range(SHAPE[0])]
    path = many(tmp_path / "a.dcm", head(), frames, content=acquired, NumberOfFrames=40)
    with pytest.raises(InputError, match=r"a\.dcm: voxels as its header says, 20×24×48, .* found 20×24×40\. Exp"):
        read_series(path)


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (lambda t: {"FrameContent": {"FrameReferenceDateTime": f"20240131{of_day(3.0 * t)}", **at_once}}, "Reference"),
        (lambda t: {"TemporalPosition": {"TemporalPositionTimeOffset": 3.0 * t}, "FrameContent": at_once}, "Offset"),
        (lambda t: {"FrameContent": {"TemporalPositionIndex": t + 1}}, "no times"),
    ],
)
def test_what_an_enhanced_file_tells_of_time(tmp_path, content, source):
    """The time that is most typical of an image before that of its beginning; an order without times needs them."""
    path = many(tmp_path / "a", head(), [(t, z) for z in range(SHAPE[0]) for t in range(FRAMES)][::-1], content=content)
    series = read_series(path, interval_s=3.0 if source == "no times" else None)
    np.testing.assert_array_equal(series.values, head())
    np.testing.assert_allclose(series.times_s, 3.0 * np.arange(FRAMES))
    if source == "no times":
        with pytest.raises(InputError, match="which tell no times"):
            read_series(path)
    else:
        assert source in series.time_source


at_once = {"FrameAcquisitionDateTime": "20240131100000"}


def test_enhanced_files_need_pydicom_and_others_do_not(tmp_path, monkeypatch):
    frames = [(t, z) for t in range(FRAMES) for z in range(SHAPE[0])]
    path = many(tmp_path / "a" / "all", head(), frames, content=acquired)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match="pydicom is needed to read many images in one file"):
        read_series(path.parent)
    single = scan(tmp_path / "b")
    path.rename(single / "all")
    np.testing.assert_array_equal(read_series(single).values, head())


def test_an_enhanced_file_that_pydicom_cannot_read_is_named(tmp_path, monkeypatch):
    frames = [(t, z) for t in range(FRAMES) for z in range(SHAPE[0])]
    path = many(tmp_path / "a.dcm", head(), frames, content=acquired)
    monkeypatch.setattr(pydicom, "dcmread", lambda *words, **more: pydicom.Dataset()["PixelData"])
    with pytest.raises(InputError, match=r"a\.dcm: headers of all its images are needed; found damaged ones\. Export"):
        read_series(path)


def test_images_of_several_scales_in_one_file_are_refused(tmp_path):
    frames = [(t, z) for t in range(FRAMES) for z in range(SHAPE[0])]
    path = many(tmp_path / "a", head(), frames, content=acquired, slopes=[1, 2] * (len(frames) // 2))
    with pytest.raises(InputError, match="one scale of HU for all its images is needed; found 2 rescale slopes"):
        read_series(path)
