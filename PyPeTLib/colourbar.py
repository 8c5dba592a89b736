"""Colour-coded maps back into numbers: find the colour bar of a picture, and read its pixels against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray

Picture = npt.NDArray[np.uint8]
#: Left, top, width and height in pixels.
Box = tuple[int, int, int, int]

#: A bar is at least so many pixels wide and long, and shows so many different colours.
LEAST_WIDTH, LEAST_LENGTH, LEAST_COLOURS = 4, 24, 12
#: Colours across a bar differ by at most this in every channel (of 255), and along it by at most this from pixel to
#: pixel: lossy compression, and a bar of 30 pixels.
ACROSS, ALONG = 8, 48
#: At most this share of a column of the bar has another colour: ticks.
TICKS_SHARE = 0.1
#: Within so many pixels beside a bar there is a line of one colour, frame or background, along this share of it, from
#: which this share of the bar differs.
BESIDE, PLAIN_SHARE = 3, 0.75
#: What tells the ends of a bar is beside it and differs from it by more than this: not its blurred edge.
SET_OFF = 24
#: At least this share of a bar's colours is no grey: its channels differ by more than this.
COLOURED_SHARE, COLOURED = 0.5, 30
#: The bar's end is where one colour goes on for this many times its usual length: there the background begins.
BACKGROUND = 3.0
#: A pixel has a value where its colour is this near one of the bar's (distance in RGB of 255).
COLOUR_TOLERANCE = 12.0
#: Colours between neighbouring steps of the bar that are looked up.
BETWEEN = 8
#: Two places of a bar that are further apart than this share of it must not have one colour.
FAR = 0.1
#: So many colours are compared with all others at a time.
BLOCK = 256


@dataclass(frozen=True)
class ColourBar:
    """The colours of a scale.

    Parameters
    ----------
    colours : ndarray, shape (step, 3)
        RGB from 0 to 255, the lowest value first, evenly spread over the range.
    box : tuple of int or None
        Left, top, width and height in pixels of where it stands in the picture; None where it does not.
    """

    colours: FloatArray
    box: Box | None = None

    @property
    def steps(self) -> int:
        """Number of colours that differ from the one before."""
        return 1 + int(np.count_nonzero(np.abs(np.diff(self.colours, axis=0)).max(axis=1) > 0))


@dataclass(frozen=True)
class Reading:
    """What a colour-coded picture says in numbers.

    Parameters
    ----------
    values : ndarray of float32, shape (z, y, x)
        NaN where the colour is not on the bar, and where the bar itself is.
    step : float
        Difference between two neighbouring colours of the bar: values are no finer than this.
    end_share : float
        Share of the values in the bar's first or last colour: what lies beyond the range is there, too.
    """

    values: FloatArray
    step: float
    end_share: float


def find_colour_bar(picture: Picture) -> ColourBar | None:
    """Return the colour bar of a picture, None where there is none.

    A bar is a straight strip, upright or level, that stands out from what is beside it, of one colour across and of
    gradually changing colours along, none of which comes twice. An upright bar has its highest value at the top, a
    level one at the right. The bar with the most colours is taken. Bars in grey are not sought: a picture in grey is no
    colour-coded map. A part of a bar, as letters on it leave, is none.

    Parameters
    ----------
    picture : ndarray of uint8, shape (row, column, 3)
        RGB.

    Examples
    --------
    >>> picture = np.zeros((60, 40, 3), dtype=np.uint8)
    >>> picture[10:50, 30:36, 0] = np.linspace(250, 50, 40)[:, None]
    >>> find_colour_bar(picture).box
    (30, 10, 6, 40)
    """
    found = [bar for bar in (_upright(picture), _level(picture)) if bar is not None]
    return max(found, key=lambda bar: bar.steps, default=None)


def bar_in_box(picture: Picture, box: Box) -> ColourBar:
    """Return the bar that fills a box of a picture: its highest value is at the top, or, if it is level, at the right.

    Parameters
    ----------
    picture : ndarray of uint8, shape (row, column, 3)
        RGB.
    box : tuple of int
        Left, top, width and height in pixels.

    Raises
    ------
    InputError
        If the box lies outside, is too short, or its colours do not tell a value.
    """
    left, top, width, height = box
    rows, columns = picture.shape[:2]
    if min(left, top) < 0 or min(width, height) < 1 or left + width > columns or top + height > rows:
        raise InputError(
            f"Colour bar: a box inside the picture of {columns}×{rows} pixels is needed; found {box}. "
            "Give left, top, width and height in pixels, counted from the upper left corner."
        )
    part = picture[top : top + height, left : left + width].astype(float)
    colours = np.median(part, axis=1)[::-1] if height >= width else np.median(part, axis=0)
    bar = ColourBar(colours, box)
    _refuse_useless(bar)
    return bar


def read_colours(pictures: Picture, bar: ColourBar, low: float, high: float) -> Reading:
    """Return the numbers that colours stand for.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (z, y, x, 3)
        RGB slices.
    bar : ColourBar
        The scale.
    low, high : float
        Values at the ends of the bar.

    Raises
    ------
    InputError
        If the bar has too few colours, or one colour in two places.

    Examples
    --------
    >>> bar = ColourBar(np.stack([np.linspace(0, 255, 256), np.zeros(256), np.zeros(256)], axis=1))
    >>> red, grey = (128, 0, 0), (90, 90, 90)
    >>> found = read_colours(np.array([[[red, grey]]], dtype=np.uint8), bar, 0.0, 256.0)
    >>> found.values.tolist(), found.step
    ([[[128.5, nan]]], 1.0)
    """
    from scipy.spatial import KDTree

    _refuse_useless(bar)
    colours, places = _looked_up(bar)
    packed = pictures.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
    different, where = np.unique(packed, return_inverse=True)
    rgb = np.stack([different >> 16, (different >> 8) & 255, different & 255], axis=1)
    apart, nearest = KDTree(colours).query(rgb)
    share = np.where(apart <= COLOUR_TOLERANCE, places[nearest], np.nan)
    share = share[where].reshape(packed.shape)
    if bar.box is not None:
        left, top, width, height = bar.box
        share[:, top : top + height, left : left + width] = np.nan
    known, edge = share[np.isfinite(share)], 1.0 / bar.steps
    ends = (known < edge) | (known > 1.0 - edge)
    values = (low + (high - low) * share).astype(np.float32)
    return Reading(values, abs(high - low) / bar.steps, float(ends.mean()) if known.size else float("nan"))


def _looked_up(bar: ColourBar) -> tuple[FloatArray, FloatArray]:
    """Return colours, those between the bar's steps included, and their places from 0 to 1."""
    new = np.flatnonzero(np.r_[True, np.abs(np.diff(bar.colours, axis=0)).max(axis=1) > 0])
    ends = np.r_[new[1:], len(bar.colours)]
    centres = 0.5 * (new + ends) / len(bar.colours)
    index = np.linspace(0, new.size - 1, BETWEEN * (new.size - 1) + 1)
    between = [np.interp(index, np.arange(new.size), channel) for channel in bar.colours[new].T]
    return np.stack(between, axis=1), np.interp(index, np.arange(new.size), centres)


def _refuse_useless(bar: ColourBar) -> None:
    if bar.steps < 2:
        raise InputError("Colour bar: colours that change are needed; found one colour. Give another box.")
    if _comes_twice(bar.colours):
        raise InputError(
            "Colour bar: a colour for one value only is needed; found the same colour in two places of the bar. "
            "Give a box without ticks, frame and background."
        )


def _comes_twice(colours: FloatArray) -> bool:
    """Tell whether places far apart have one colour, as far as pixels are told apart."""
    index = np.arange(len(colours))
    for start in range(0, len(colours), BLOCK):  # all with all of a long bar take gigabytes
        block = slice(start, start + BLOCK)
        apart = np.linalg.norm(colours[block, None] - colours[None], axis=-1)
        far = np.abs(index[block, None] - index) > max(1.0, FAR * len(colours))
        if (apart[far] < 0.5 * COLOUR_TOLERANCE).any():
            return True
    return False


def _level(picture: Picture) -> ColourBar | None:
    """Return the best bar from left to right: an upright one of the picture turned, whose right end is at the top."""
    found = _upright(picture.transpose(1, 0, 2)[::-1])
    if found is None or found.box is None:
        return None
    left, top, width, height = found.box
    return ColourBar(found.colours, (picture.shape[1] - top - height, left, height, width))


def _upright(picture: Picture) -> ColourBar | None:
    """Return the upright bar with the most colours."""
    values = picture.astype(np.int16)
    best: ColourBar | None = None
    for first, last, column in _strips(values):
        bar = _bar_of(values, first, last, column)
        if bar is not None and (best is None or bar.steps > best.steps):
            best = bar
    return best


def _strips(values: npt.NDArray[np.int16]) -> list[tuple[int, int, int]]:
    """Return first row, row after the last, and column of strips that are even across, gradual along, and colourful."""
    if values.shape[0] < LEAST_LENGTH or values.shape[1] < LEAST_WIDTH:
        return []
    even = _largest(np.diff(values, axis=1)) <= ACROSS
    windows = np.lib.stride_tricks.sliding_window_view(even, LEAST_WIDTH - 1, axis=1)
    wide = np.asarray(windows.all(axis=-1))
    change = _largest(np.diff(values, axis=0))[:, : wide.shape[1]]
    linked = wide[1:] & wide[:-1] & (change <= ALONG)
    steps = np.pad(np.cumsum(linked & (change > 0), axis=0), ((1, 0), (0, 0)))
    turns = np.diff(np.pad(linked, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    columns, starts = np.nonzero(turns.T > 0)  # column by column, so that starts and ends belong together
    ends = np.nonzero(turns.T < 0)[1]
    long = (ends - starts >= LEAST_LENGTH - 1) & (steps[ends, columns] - steps[starts, columns] >= LEAST_COLOURS - 1)
    return [(int(a), int(b) + 1, int(c)) for a, b, c in zip(starts[long], ends[long], columns[long], strict=True)]


def _largest(differences: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Return the largest difference of the three channels."""
    return np.asarray(np.abs(differences).max(axis=-1))


def _bar_of(values: npt.NDArray[np.int16], first: int, last: int, column: int) -> ColourBar | None:
    """Return a strip as a bar, without the background at its ends; None where its colours are no scale."""
    first, last = _without_background(values[first:last, column], first)
    strip = values[first:last, column]
    coloured = np.asarray(np.ptp(strip, axis=1) > COLOURED)
    if len(strip) < LEAST_LENGTH or coloured.mean() < COLOURED_SHARE:
        return None
    apart = _largest(values[first:last] - strip[:, None])
    other = np.flatnonzero((apart > ACROSS).mean(axis=0) > TICKS_SHARE)
    left = int(other[other < column].max(initial=-1)) + 1
    right = int(other[other > column].min(initial=values.shape[1]))
    sides = [range(max(0, left - BESIDE), left), range(right, min(right + BESIDE, values.shape[1]))]
    if not all(_is_set_off(strip, values[first:last, side.start : side.stop]) for side in sides):
        return None  # a part of a map
    beside = apart[:, [x for x in (left - 1, right) if 0 <= x < values.shape[1]]]
    rows = np.flatnonzero(beside.max(axis=1, initial=-1) != 0)
    first, last = first + int(rows[0]), first + int(rows[-1]) + 1  # without a frame of the colour of an end
    if not _is_whole(values, (left, first, right - left, last - first)):
        return None  # between letters on a bar, or colours that are far apart: the ends are not those that were typed
    colours = np.median(values[first:last, left:right], axis=1)[::-1]
    bar = ColourBar(colours, (left, first, right - left, last - first))
    return None if bar.steps < LEAST_COLOURS or _comes_twice(colours) else bar


def _is_set_off(strip: npt.NDArray[np.int16], beside: npt.NDArray[np.int16]) -> bool:
    """Tell whether one of the columns beside a strip is plain and of another colour; at the picture's edge, yes."""
    plain = _largest(beside - np.median(beside, axis=0).astype(np.int16)) <= ACROSS
    other = _largest(beside - strip[:, None]) > ACROSS
    return not beside.size or bool((plain & other).mean(axis=0).max() >= PLAIN_SHARE)


def _is_whole(values: npt.NDArray[np.int16], box: Box) -> bool:
    """Tell whether an upright bar ends at both ends of a box: what comes next is what is beside, or the picture's edge.

    Between them may be a blurred line or two. What is beside, frame or background, is of other colours than the bar.
    """
    left, top, width, height = box
    strip = np.median(values[top : top + height, left : left + width], axis=1).astype(np.int16)
    near = [*range(max(0, left - BESIDE), left), *range(left + width, min(left + width + BESIDE, values.shape[1]))]
    other = np.median(_largest(values[top : top + height, near] - strip[:, None]), axis=0) > SET_OFF
    beside = np.asarray(near, dtype=int)[other]
    for rows in (slice(max(0, top - BESIDE), top), slice(top + height, top + height + BESIDE)):
        beyond = np.median(values[rows, left : left + width], axis=1).astype(np.int16)
        apart = _largest(values[rows, beside] - beyond[:, None])
        if apart.size and apart.min() > ACROSS:
            return False
    return True


def _without_background(strip: npt.NDArray[np.int16], first: int) -> tuple[int, int]:
    """Return first row and row after the last of a strip without the long stretches of one colour at its ends."""
    new = np.flatnonzero(np.r_[True, _largest(np.diff(strip, axis=0)) > 0, True])
    lengths = np.diff(new)
    usual = BACKGROUND * max(1.0, float(np.median(lengths)))
    start, end = (1 if lengths[0] > usual else 0), (len(lengths) - 1 if lengths[-1] > usual else len(lengths))
    return first + int(new[start]), first + int(new[end])
