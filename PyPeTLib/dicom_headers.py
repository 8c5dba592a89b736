"""What DICOM files say about the images in them, and their voxels: one image a file, or many (enhanced DICOM).

ITK (GDCM) reads headers and voxels, compressed ones too; what belongs to the single images of an enhanced file it does
not tell, pydicom does.
"""

from __future__ import annotations

import math
import mmap
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import in_parallel
from PyPeTLib.errors import InputError, installing
from PyPeTLib.files import quiet, utf8_name
from PyPeTLib.geometry import FloatArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Tags that are read, as ITK writes them.
SERIES_UID, SERIES_NUMBER, SERIES_NAME, STUDY_UID = "0020|000e", "0020|0011", "0008|103e", "0020|000d"
MODALITY, SOP_UID, IMAGES, KIND = "0008|0060", "0008|0018", "0028|0008", "0008|0008"
SAMPLES, BITS = "0028|0002", "0028|0100"
PLACE, AXES, PIXEL_MM, THICKNESS_MM = "0020|0032", "0020|0037", "0028|0030", "0018|0050"
TUBE_KV, KERNEL = "0018|0060", "0018|1210"
DATE_TIME, DATE, TIME = "0008|002a", "0008|0022", "0008|0032"
CONTENT_DATE, CONTENT_TIME, TRIGGER_MS = "0008|0023", "0008|0033", "0018|1060"
FRAME, STEP_MS, ACQUISITION, INSTANCE = "0020|0100", "0020|0110", "0020|0012", "0020|0013"
TAGS = (
    *(SERIES_UID, SERIES_NUMBER, SERIES_NAME, STUDY_UID, MODALITY, SOP_UID, IMAGES, KIND, SAMPLES, BITS),
    *(PLACE, AXES, PIXEL_MM, THICKNESS_MM, TUBE_KV, KERNEL),
    *(DATE_TIME, DATE, TIME, CONTENT_DATE, CONTENT_TIME, TRIGGER_MS, FRAME, STEP_MS, ACQUISITION, INSTANCE),
)
#: When an image of an enhanced file was acquired, on the whole and from when on, and s since the first one.
MIDDLE, BEGIN, OFFSET_S = "0018|9151", "0018|9074", "0020|930d"
#: Where an enhanced file keeps what belongs to one of its images: sequence, element, and the tag that it stands for.
GROUPS = (
    ("PlanePositionSequence", "ImagePositionPatient", PLACE),
    ("PlaneOrientationSequence", "ImageOrientationPatient", AXES),
    ("PixelMeasuresSequence", "PixelSpacing", PIXEL_MM),
    ("PixelMeasuresSequence", "SliceThickness", THICKNESS_MM),
    ("FrameContentSequence", "FrameReferenceDateTime", MIDDLE),
    ("FrameContentSequence", "FrameAcquisitionDateTime", BEGIN),
    ("FrameContentSequence", "FrameAcquisitionNumber", ACQUISITION),
    ("FrameContentSequence", "TemporalPositionIndex", FRAME),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset", OFFSET_S),
)
#: How classes of objects are written, the file's own first, those that it lists or refers to (DICOMDIR, reports) later;
#: that of CT images, enhanced ones too; and where the beginning of a file, which says its own, ends.
CLASS, CT_CLASS = re.compile(rb"1\.2\.840\.10008\.(?:1\.3|5\.1\.4)\.[0-9.]+"), "1.2.840.10008.5.1.4.1.1.2"
CLASS_WITHIN = 1024
#: How the element of voxels begins, with its length, in files that name the types of elements and in others; the length
#: of compressed voxels, which are in items, and how an item begins and the last one ends.
VOXELS = re.compile(rb"\xe0\x7f\x10\x00O[BW]\0\0(.{4})", re.DOTALL), re.compile(rb"\xe0\x7f\x10\x00(.{4})", re.DOTALL)
COMPRESSED, ITEM, LAST_ITEM = 0xFFFFFFFF, b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
#: How an item begins whose length is not told, and how it ends; and so many may lie within each other.
NESTED, DEEPEST = re.compile(rb"\xfe\xff(?:\x00\xe0\xff{4}|\x0d\xe0\x00{4})"), 100
RESCALE = "PixelValueTransformationSequence"
#: Cosines of rows and columns, often rounded to a few digits, are perpendicular unit vectors to within this.
ROUNDED_COSINES = 0.02
#: Sizes of pixels that differ by this share, and cosines that differ by this, are those of one grid.
ROUNDED_GRID = 5e-4
#: Images whose places along the normal differ by less than this, in mm, are of one place.
SAME_MM = 0.01
CURE = "Export the scan again"


class ManyImagesError(InputError):
    """A file of many images that cannot be told apart; a scan of other files can do without it."""


@dataclass(frozen=True)
class DicomImage:
    """One image: its file and number in it, size, values a voxel, whether they are whole numbers, and its tags."""

    path: Path
    index: int
    size: tuple[int, int]
    components: int
    whole: bool
    about: dict[str, str]

    def numbers(self, tag: str) -> FloatArray:
        """Return the numbers of a tag; none where there is no such tag, or one of them is no number."""
        try:
            found = np.array([float(part) for part in self.about.get(tag, "").split("\\") if part])
        except ValueError:
            return np.empty(0)
        return found if np.isfinite(found).all() else np.empty(0)

    @property
    def placed(self) -> bool:
        """Whether it tells where it lies, with rows and columns that are perpendicular but for rounding."""
        if [self.numbers(tag).size for tag in (PLACE, AXES, PIXEL_MM)] != [3, 6, 2]:
            return False
        cosines = self.numbers(AXES).reshape(2, 3)
        return bool(np.allclose(cosines @ cosines.T, np.eye(2), atol=ROUNDED_COSINES))

    @property
    def axes(self) -> FloatArray:
        """Directions of rows, columns and normal, as columns: perpendicular unit vectors, as rounded ones are meant."""
        rows, columns = self.numbers(AXES).reshape(2, 3)
        rows = rows / np.linalg.norm(rows)
        columns = columns - (columns @ rows) * rows
        columns = columns / np.linalg.norm(columns)
        return np.stack([rows, columns, np.cross(rows, columns)], axis=1)

    @cached_property
    def height_mm(self) -> float:
        """Place along the normal."""
        return float(self.numbers(PLACE) @ self.axes[:, 2])

    @property
    def grid(self) -> tuple[Any, ...]:
        """What images on one grid have in common."""
        return self.size, tuple(self.numbers(PIXEL_MM).round(4)), tuple(self.numbers(AXES).round(4))

    @property
    def of_grid(self) -> dict[str, str]:
        """The tags of its grid."""
        return {tag: self.about[tag] for tag in (PIXEL_MM, AXES)}

    def on_grid_of(self, other: DicomImage) -> bool:
        """Tell whether pixels and axes are those of another image, but for rounding."""
        if self.of_grid == other.of_grid:
            return True
        return np.allclose(
            self.numbers(PIXEL_MM), other.numbers(PIXEL_MM), rtol=ROUNDED_GRID, atol=0.0
        ) and np.allclose(self.numbers(AXES), other.numbers(AXES), atol=ROUNDED_GRID)


def images_of(path: Path) -> list[DicomImage]:
    """Return the CT images with a place that a DICOM file holds; a picture in colours (of a report, a map) is none.

    Raises
    ------
    ManyImagesError
        If the file holds many, and pydicom is missing or nothing tells where they lie.
    InputError
        If their values are not on one scale, or the name of the file is not in UTF-8.
    """
    one = _as_one(path)
    if one is None or one.components > 1 or (one.about.get(MODALITY) or "CT") != "CT":
        return []
    if not _several(one):
        return [one] if one.placed else []
    images = [replace(one, index=index, about=one.about | own) for index, own in enumerate(_of_each(path))]
    placed = [image for image in images if image.placed]
    if not placed:
        raise ManyImagesError(f"File {path}: many images are in it, and nothing tells where they lie. {CURE}.")
    return placed


def holds_many(path: Path) -> bool:
    """Tell whether a DICOM file holds more images than one (enhanced DICOM)."""
    one = _as_one(path)
    return one is not None and _several(one)


def is_damaged(path: Path) -> bool:
    """Tell whether a file says that it is a CT image, and is none that can be read: truncated, most often."""
    if _as_one(path) is not None:
        return False
    with path.open("rb") as file:
        own = CLASS.search(file.read(CLASS_WITHIN))
    return own is not None and f"{own[0].decode()}.".startswith(f"{CT_CLASS}.")


def _several(one: DicomImage) -> bool:
    return bool(one.numbers(IMAGES).sum() > 1)


def _as_one(path: Path) -> DicomImage | None:
    """Return what is common to all images of a file, as if they were one; None where it holds none, or not in full."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(utf8_name(path))
    stored = _bytes_of_voxels(path)
    if not stored:
        return None
    with quiet():
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return None
    about = {tag: _readable(reader.GetMetaData(tag)) for tag in TAGS if reader.HasMetaDataKey(tag)}
    whole = reader.GetPixelIDValue() not in (sitk.sitkFloat32, sitk.sitkFloat64)
    width, height = reader.GetSize()[:2]
    one = DicomImage(path, 0, (int(width), int(height)), int(reader.GetNumberOfComponents()), whole, about)
    bits = width * height * math.prod(one.numbers(tag)[:1].sum() or 1.0 for tag in (SAMPLES, BITS, IMAGES))
    return one if 8.0 * stored >= bits else None  # of the rest ITK makes zeros


def _bytes_of_voxels(path: Path) -> float:
    """Return how many bytes of voxels a file says it has; 0 where it ends before them, infinite where that is not told.

    ITK says nothing of a file that ends too early before SimpleITK 2.5.5: it makes zeros, or ends the process.
    """
    if not path.stat().st_size:
        return 0.0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        form = VOXELS[0] if VOXELS[0].search(content) else VOXELS[1]
        first = form.search(content)
        if _depth(content, first.start() if first else len(content)) > DEEPEST:
            return 0.0
        end, stored = 0, math.inf
        while begin := form.search(content, end):  # a small picture of the image may come first
            stored = int.from_bytes(begin[1], "little")
            end = begin.end() + stored
            if stored == COMPRESSED:
                end, stored = _end_of_items(content, begin.end()), math.inf
            if end > len(content):
                return 0.0
        return stored


def _depth(content: mmap.mmap, end: int) -> int:
    """Return how deep items of a length that is not told lie within each other: deep ones end the process in ITK."""
    depth = deepest = 0
    for mark in NESTED.finditer(content, 0, end):
        depth += 1 if mark[0].endswith(b"\xff") else -1
        deepest = max(deepest, depth)
    return deepest


def _end_of_items(content: mmap.mmap, start: int) -> int:
    """Return where compressed voxels end; beyond the end of a file that lacks some."""
    while content[start : start + 4] == ITEM:
        start += 8 + int.from_bytes(content[start + 4 : start + 8], "little")
    return start if content[start : start + 4] == LAST_ITEM else len(content) + 1


def voxels(frames: Sequence[Sequence[DicomImage]], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Return the HU of all images of all frames, shape (t, z, y, x); each file is read once, several side by side."""
    whole = all(image.whole for row in frames for image in row)
    values = np.empty((len(frames), *shape), dtype=np.int16 if whole else np.float32)
    limits = np.iinfo(np.int16)
    targets: dict[Path, list[tuple[int, npt.NDArray[Any]]]] = {}
    for frame, row in zip(values, frames, strict=True):
        for target, image in zip(frame, row, strict=True):
            targets.setdefault(image.path, []).append((image.index, target))

    def read(path: Path) -> None:
        stack = _stack(path)
        _refuse_other_size(path, stack, (1 + max(index for index, _ in targets[path]), *shape[1:]))
        for index, target in targets[path]:
            np.clip(stack[index], limits.min, limits.max, out=target, casting="unsafe")

    with quiet():
        for _ in in_parallel(read, list(targets)):
            pass
    return values


def _stack(path: Path) -> npt.NDArray[Any]:
    """Return the HU of the images of a file, in its order."""
    import SimpleITK as sitk

    try:
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(utf8_name(path), imageIO="GDCMImageIO")))
    except RuntimeError as error:
        what = "damaged, or compressed in a way that ITK cannot read"
        raise InputError(f"File {path}: cannot be read: {what}. {CURE}.") from error


def _refuse_other_size(path: Path, stack: npt.NDArray[Any], needed: tuple[int, ...]) -> None:
    """Refuse a file with fewer images, or others, than its header says."""
    if stack.shape[1:] != needed[1:] or len(stack) < needed[0]:
        need, found = ("×".join(map(str, reversed(shape))) for shape in (needed, stack.shape))
        raise InputError(f"File {path}: voxels as its header says, {need}, are needed; found {found}. {CURE}.")


def _of_each(path: Path) -> list[dict[str, str]]:
    """Return the tags of each image of an enhanced file; of a file without functional groups nothing."""
    try:
        import pydicom
    except ModuleNotFoundError as error:
        raise ManyImagesError(
            f"File {path}: pydicom is needed to read many images in one file (enhanced DICOM), and is not installed. "
            f"Run: {installing('pydicom')}; or convert the scan to NIfTI."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydicom finds odd, and reads all the same
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True)  # also without the magic word, as GDCM
            scales, images = _groups(header, pydicom.Dataset())
    except Exception as error:  # pydicom has one for every kind of damage
        found = "damaged ones"
        raise ManyImagesError(f"File {path}: headers of all its images are needed; found {found}. {CURE}.") from error
    if len(scales) > 1:
        found = f"{len(scales)} rescale slopes or intercepts in it"
        raise InputError(f"File {path}: one scale of HU for all its images is needed; found {found}. {CURE}.")
    return images


def _groups(header: Dataset, nothing: Dataset) -> tuple[set[tuple[str, str]], list[dict[str, str]]]:
    """Return the scales of HU in the header of an enhanced file, and the tags of each image."""
    shared = next(iter(header.get("SharedFunctionalGroupsSequence", [])), nothing)
    each = list(header.get("PerFrameFunctionalGroupsSequence", []))
    scales = {
        (str(item.get("RescaleSlope", 1)), str(item.get("RescaleIntercept", 0)))
        for groups in (shared, *each)
        for item in groups.get(RESCALE, [])
    }
    return scales, [
        {tag: text for group, name, tag in GROUPS if (text := _text(groups, shared, group, name))} for groups in each
    ]


def _text(own: Dataset, shared: Dataset, group: str, name: str) -> str:
    """Return an element of an image's own groups, or else of those shared by all, as ITK writes it; "" without it."""
    for groups in (own, shared):
        for item in groups.get(group, []):
            value = item.get(name)
            if value is not None:
                several = isinstance(value, Sequence) and not isinstance(value, str)
                return _readable("\\".join(map(str, value)) if several else str(value))
    return ""


def _readable(text: str) -> str:
    """Return a text that can be printed, whatever its character set."""
    return text.encode("utf-8", "replace").decode("utf-8").strip()
