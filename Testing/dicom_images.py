"""DICOM images as a scanner writes them, of a small head."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

FRAMES, SHAPE = 12, (4, 24, 20)
#: Rows to the left and up, columns to the back: neither upright nor in the order of the files.
ROWS, COLUMNS = np.array([0.96, 0.28, 0.0]), np.array([-0.28, 0.96, 0.0])
ORIGIN_MM, PIXEL_MM, STEP_MM = np.array([-10.0, 20.0, 35.0]), (0.8, 0.9), 5.0


def head(shift=0):
    """A brain in a skull in air, with noise, shape (t, z, y, x)."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    radius = np.hypot((y - 11.5) / 11, (x - 9.5) / 9)
    frame = np.select([radius < 0.85, radius < 1.0], [35.0, 900.0], -1000.0)
    noise = np.random.default_rng(shift).normal(0, 5, (FRAMES, *SHAPE))
    return np.round(frame + noise).astype(np.int16)


def of_day(seconds):
    """A time of day as DICOM has it."""
    seconds %= 86400.0
    return f"{int(seconds // 3600):02d}{int(seconds // 60 % 60):02d}{seconds % 60:09.6f}"


def place(z, y=0.0):
    """Where a slice lies, in mm."""
    return [float(v) for v in ORIGIN_MM + np.array([0.0, y, STEP_MM * z])]


def blank(path, kind, pixels, intercept):
    """A file without patient: what all images have, and the voxels, unsigned."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset(str(path), {}, b"\0" * 128, meta, is_implicit_VR=False)
    one.SOPClassUID, one.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    one.PatientName, one.Modality, one.SeriesDescription = "Doe^Jane", "CT", "Perfusion"
    one.Rows, one.Columns = pixels.shape[-2:]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.PixelData = (pixels.astype(np.int32) - intercept).astype(np.uint16).tobytes()
    return one


def save(one, path):
    """Write a file that is DICOM in full: how pydicom is told changed with version 3."""
    before = pydicom.__version__.startswith("2.")
    one.save_as(path, **({"write_like_original": False} if before else {"enforce_file_format": True}))


def image(path, pixels, z, seconds, *, series="1.2.3", number=7, instance=1, intercept=-1024, **tags):
    """Write one slice as a scanner does: with a rescale intercept."""
    one = blank(path, CTImageStorage, pixels, intercept)
    one.SeriesInstanceUID, one.SeriesNumber, one.InstanceNumber = series, number, instance
    one.ImagePositionPatient = place(z)
    one.ImageOrientationPatient = [float(v) for v in (*ROWS, *COLUMNS)]
    one.PixelSpacing, one.SliceThickness = list(PIXEL_MM), STEP_MM
    one.RescaleIntercept, one.RescaleSlope = intercept, 1
    if seconds is not None:
        one.AcquisitionDate, one.AcquisitionTime = "20240131", of_day(36000.0 + seconds)
    for tag, value in tags.items():
        setattr(one, tag, value)
    save(one, path)
    return path


def groups(**sequences):
    """Functional groups of an enhanced file, each a sequence of one item."""
    found = Dataset()
    for name, elements in sequences.items():
        item = Dataset()
        for tag, value in elements.items():
            setattr(item, tag, value)
        setattr(found, f"{name}Sequence", [item])
    return found


def many(path, values, images, *, content=None, shared=True, slopes=None, **tags):
    """Write an enhanced file of some images (frame, slice) of a scan, in their order.

    ``content(t)`` are more groups of each image; with ``shared`` what is the same for all stands in the file once.
    """
    pixels = np.stack([values[t, z] for t, z in images])
    one = blank(path, EnhancedCTImageStorage, pixels, -1024)
    one.SeriesInstanceUID, one.SeriesNumber, one.NumberOfFrames = "1.2.3", 7, len(images)
    common = {
        "PlaneOrientation": {"ImageOrientationPatient": [float(v) for v in (*ROWS, *COLUMNS)]},
        "PixelMeasures": {"PixelSpacing": list(PIXEL_MM), "SliceThickness": STEP_MM},
        "PixelValueTransformation": {"RescaleIntercept": -1024, "RescaleSlope": 1},
    }
    each = []
    for index, (t, z) in enumerate(images):
        own = {"PlanePosition": {"ImagePositionPatient": place(z)}, **(content(t) if content else {})}
        own |= {} if shared else common
        if slopes is not None:
            own["PixelValueTransformation"] = {"RescaleIntercept": -1024, "RescaleSlope": slopes[index]}
        each.append(groups(**own))
    one.SharedFunctionalGroupsSequence = [groups(**common) if shared else groups()]
    one.PerFrameFunctionalGroupsSequence = each
    for tag, value in tags.items():
        setattr(one, tag, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(one, path)
    return path


def scan(folder, values=None, *, times_s=None, offsets_s=(0.0,) * SHAPE[0], left_out=(), **tags):
    """Write a scan with names that say nothing; ``left_out``: (frame, slice) that are not written."""
    values = head() if values is None else values
    times_s = 1.5 * np.arange(len(values)) if times_s is None else times_s
    order = np.random.default_rng(1).permutation(len(values) * SHAPE[0])
    folder.mkdir(parents=True, exist_ok=True)
    for file, index in enumerate(order):
        t, z = divmod(int(index), SHAPE[0])
        if (t, z) not in left_out:
            seconds = None if times_s is False else float(times_s[t]) + offsets_s[z]
            image(folder / f"IM{file:04d}", values[t, z], z, seconds, instance=int(index) + 1, **tags)
    return folder
