"""Maps that are stored as pictures in colour: read, and turned into numbers by their colour bar."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.colourbar import Box, ColourBar, Picture, bar_in_box, find_colour_bar, read_colours
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError, decimal_comma
from PyPeTLib.file_contents import open_file, read_text
from PyPeTLib.files import Stored, extension, load, utf8_name
from PyPeTLib.geometry import Geometry, Image
from PyPeTLib.times import read_sidecar
from PyPeTLib.typeset import percent, typeset

#: How the names of pictures end that are not read: the colours of most are changed to save space.
OTHER_PICTURES = (".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
#: Largest picture in pixels, and longest bar in colours, that is read: a file of a few kilobytes may claim more than
#: fits into memory.
LARGEST_PICTURE, LONGEST_BAR = 2**25, 2**14
#: How a PNG file begins, before its width and height.
PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
#: Where a PNG lies in the patient stands in the JSON file beside it, under these names.
PLACE = ("SpacingMm", "OriginMm", "Direction")


@dataclass(frozen=True)
class Scale:
    """What a user says of a colour bar: a picture's numbers cannot be read, and its colours may not be found.

    Parameters
    ----------
    low, high : float
        Values at its ends; at the lower and the upper one, or at the left and the right one.
    unit : str
        Unit of these.
    where : tuple of int, Path or None
        Left, top, width and height in pixels; or a text file with the colours, red, green and blue from 0 to 255 in a
        line, the lowest value first; None to look for it.
    """

    low: float
    high: float
    unit: str
    where: Box | Path | None = None


def parse_scale(text: str) -> tuple[str, Scale]:
    """Read ``MAP=LOW:HIGH:UNIT`` with an optional ``@LEFT,TOP,WIDTH,HEIGHT`` or ``@FILE`` as typed.

    Raises
    ------
    InputError
        If the text has another form, or both ends are the same.

    Examples
    --------
    >>> parse_scale("tmax=0:12:s@200,10,8,180")
    ('tmax', Scale(low=0.0, high=12.0, unit='s', where=(200, 10, 8, 180)))
    """
    name, _, rest = text.partition("=")
    numbers, _, place = rest.partition("@")
    low, high, unit, *more = [*numbers.split(":"), "", "", ""][: max(3, numbers.count(":") + 1)]
    try:
        scale = Scale(float(low), float(high), unit.strip(), _where(place.strip()))
    except ValueError:
        scale = None
    if (
        scale is None
        or more
        or not scale.unit
        or name.strip().lower() not in MAP_LABELS
        or not np.isfinite(scale.high - scale.low)
        or scale.low == scale.high
    ):
        raise InputError(
            f"Colour bar: MAP=LOW:HIGH:UNIT is needed, MAP one of {', '.join(MAP_LABELS)}, with two different numbers, "
            "and @LEFT,TOP,WIDTH,HEIGHT in pixels or @FILE behind it where the bar is not found, e.g. "
            f"'tmax=0:12:s@200,10,8,180'; found '{text}'.{decimal_comma(low) or decimal_comma(high)}"
        )
    return name.strip().lower(), scale


def is_picture(path: Path) -> bool:
    """Tell by its name whether a file is a picture without a place in the patient."""
    return path.suffix.lower() == ".png"


def tells_place(path: Path) -> bool:
    """Tell whether there is a JSON file beside a PNG that says where it lies, well or badly."""
    try:
        return bool(set(PLACE) & set(read_sidecar(path.with_suffix(""))))
    except InputError:  # it is told when the picture is read
        return True


def read_picture(path: Path) -> tuple[Picture, Geometry] | None:
    """Return the colours of an image file, shape (z, y, x, 3), and its grid; None where it has one number a voxel.

    Parameters
    ----------
    path : Path
        NIfTI or NRRD with three or four values of 8 bits a voxel; or a PNG, whose place in the patient is
        ``SpacingMm``, ``OriginMm`` (three numbers each; the centre of the upper left pixel, LPS) and, where it is not
        that of an axial slice, ``Direction`` (nine cosines) in a JSON file of the same name.

    Raises
    ------
    InputError
        If the file cannot be read, has other values, or tells no place.
    """
    if is_picture(path):
        picture = _png(path)
        return picture, _place(path, (picture.shape[2], picture.shape[1], 1))
    stored = load(path)
    if not stored.components:
        _refuse_colours_apart(path, stored)
        return None
    if stored.values.shape[-1] not in (3, 4) or stored.values.dtype != np.uint8 or stored.values.ndim != 4:
        raise InputError(
            f"Reference {path.name}: one number a voxel is needed, or red, green and blue of 8 bits each; "
            f"found {stored.describe()} of type {stored.values.dtype}. Convert it."
        )
    return stored.values[..., :3], stored.geometry


def picture_map(path: Path, picture: Picture, geometry: Geometry, scale: Scale) -> tuple[Image, str]:
    """Return the map that a picture shows, NaN where its colour is not on the bar, and in words how it was read.

    Raises
    ------
    InputError
        If there is no colour bar, or none of the picture's colours is on it.
    """
    bar = _bar(path, picture, scale.where)
    found = read_colours(picture, bar, scale.low, scale.high)
    if not np.isfinite(found.values).any():
        raise InputError(
            f"Reference {path.name}: colours of its bar are needed in the picture; found none. Give another bar."
        )
    low, high = (typeset(f"{end:g}") for end in (scale.low, scale.high))
    where = "" if bar.box is None else f" of {bar.box[2]}×{bar.box[3]} pixels at ({bar.box[0]}, {bar.box[1]})"
    remark = (
        f"read from colours by a bar{where}, {low} to {high} {scale.unit} as typed, "
        f"in steps of {found.step:.3g} {scale.unit}; {percent(found.end_share)} of its values are at the ends of "
        "the bar and may lie beyond"
    )
    return Image(found.values, geometry, scale.unit), remark


def _refuse_colours_apart(path: Path, stored: Stored) -> None:
    """Refuse red, green and blue that are three volumes, or a fifth axis that is not said to be of colours."""
    values = stored.values
    if values.ndim > 3 and len(values) in (3, 4) and values.dtype == np.uint8:
        raise InputError(
            f"Reference {path.name}: one number a voxel is needed, or red, green and blue of 8 bits in each; found "
            f"{stored.describe()} of type {values.dtype}, perhaps its colours one by one. Save them as NIfTI of type "
            "RGB24, as NRRD of vectors, or as PNG, or give the map itself."
        )


def _where(text: str) -> Box | Path | None:
    """Return a box, or a file; a text of four numbers is a box."""
    if not text:
        return None
    parts = text.split(",")
    if len(parts) == 4 and all(part.strip().isdecimal() for part in parts):
        left, top, width, height = (int(part) for part in parts)
        return left, top, width, height
    return Path(text)


def _bar(path: Path, picture: Picture, where: Box | Path | None) -> ColourBar:
    """Return the bar that the user gave, or that of the first slice that shows one."""
    if isinstance(where, Path):
        return ColourBar(_colours_from(where))
    if where is not None:
        return bar_in_box(picture[0], where)
    for plane in picture:
        bar = find_colour_bar(plane)
        if bar is not None:
            return bar
    raise InputError(
        f"Reference {path.name}: a picture in colour needs its colour bar; found none in it. Say where it stands, in "
        "pixels (MAP=LOW:HIGH:UNIT@LEFT,TOP,WIDTH,HEIGHT), or give a file of its colours (MAP=LOW:HIGH:UNIT@FILE)."
    )


def _colours_from(path: Path) -> npt.NDArray[np.float64]:
    """Read a table of colours, the lowest value first."""
    lines = [line for line in read_text(path, "Colours").replace(",", " ").splitlines() if line.strip()]
    if len(lines) > LONGEST_BAR:
        raise InputError(f"Colours {path}: at most {LONGEST_BAR} lines are needed; found {len(lines)}. Leave some out.")
    try:
        colours = np.array([line.split() for line in lines], dtype=float)
    except ValueError as error:
        odd = next((line for line in lines if not _three_numbers(line)), "")
        raise InputError(f"Colours {path}: three numbers a line are needed; found '{odd.strip()}'. Mend it.") from error
    if colours.ndim != 2 or colours.shape[1] != 3 or not ((colours >= 0) & (colours <= 255)).all():
        raise InputError(
            f"Colours {path}: red, green and blue from 0 to 255 in every line are needed; found an array of shape "
            f"{colours.shape}. Mend it."
        )
    return colours


def _three_numbers(line: str) -> bool:
    try:
        return len([float(cell) for cell in line.split()]) == 3
    except ValueError:
        return False


def _png(path: Path) -> Picture:
    """Read a PNG in colour as one slice."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("PNGImageIO")
    reader.SetFileName(utf8_name(path))
    try:
        _refuse_large_picture(path)
        values: npt.NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    except (OSError, RuntimeError) as error:
        raise InputError(f"File {path}: cannot be read: missing, damaged or no PNG. Copy it again.") from error
    if values.ndim != 3 or values.shape[-1] not in (3, 4) or values.dtype != np.uint8:
        raise InputError(
            f"Reference {path.name}: a PNG in colour of 8 bits is needed; found {values.dtype} of shape "
            f"{values.shape}. Save it in red, green and blue of 8 bits each."
        )
    return values[None, ..., :3]


def _refuse_large_picture(path: Path) -> None:
    """Refuse a PNG that says that it has more pixels than are read."""
    with open_file(path) as file:
        head, sizes = file.read(len(PNG_HEAD)), file.read(8)
    width, height = struct.unpack(">II", sizes) if head == PNG_HEAD and len(sizes) == 8 else (0, 0)
    if width * height > LARGEST_PICTURE:
        raise InputError(
            f"Reference {path.name}: a picture of at most {LARGEST_PICTURE} pixels is needed; found {width}×{height}. "
            "Save it smaller, or as NIfTI."
        )


def _place(path: Path, size: tuple[int, int, int]) -> Geometry:
    """Return where a PNG lies, from the JSON file beside it."""
    about = read_sidecar(path.with_suffix(""))
    try:
        x, y, z = (float(one) for one in about[PLACE[0]])
        left, back, up = (float(one) for one in about[PLACE[1]])
        direction = tuple(float(one) for one in about.get(PLACE[2], (1, 0, 0, 0, 1, 0, 0, 0, 1)))
        if np.isfinite([x, y, z, left, back, up, *direction]).all():
            return Geometry(size, (x, y, z), (left, back, up), direction)
    except (KeyError, TypeError, ValueError):  # told below, as what is not finite
        pass
    found = ", ".join(f"{name} {about[name]}" for name in PLACE if name in about) or sorted(about) or "none"
    raise InputError(
        f"Reference {path.name}: a PNG does not tell where it lies; SpacingMm and OriginMm, three numbers each (LPS), "
        "spacing above 0, and, unless it is axial, Direction, nine cosines of three independent axes, are needed in "
        f"{path.stem}.json beside it; found {found}. Write them, or convert the picture to NIfTI or NRRD."
    )


def is_image(path: Path) -> bool:
    """Tell by its name whether a file may hold a map."""
    return bool(extension(path)) or is_picture(path)
