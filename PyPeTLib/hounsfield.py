"""Are these values HU? What can be mended is, and said; what cannot is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.chunks import share
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.morphology import largest_part, outside
from PyPeTLib.progress import Progress, silent
from PyPeTLib.scan import LARGEST_HU
from PyPeTLib.typeset import typeset

#: What a voxel without a value counts as outside the head, in HU: the least that scanners store.
AIR_HU = -1024

#: HU above which a voxel belongs to the head: between air and fat.
HEAD_HU = -200

#: Offset of CT values that are stored without sign, in HU.
OFFSET_HU = 1024

#: Ranges of stored values where, in a scan with that offset, air, soft tissue, and little in between lie.
OFFSET_AIR = (0, 200)
OFFSET_BETWEEN = (300, 974)
OFFSET_TISSUE = (974, 1174)

#: So many frames that lack values are numbered.
SHOWN = 5

#: Share of the voxels that must be air, and soft tissue, before values count as offset.
OFFSET_SHARE = 0.05


def in_hu(
    values: npt.NDArray[Any], name: str, *, progress: Progress = silent
) -> tuple[npt.NDArray[Any], tuple[Check, ...]]:
    """Return a scan in HU with a number in every voxel, and what was done to it.

    Parameters
    ----------
    values : ndarray, shape (t, z, y, x)
        The scan as stored; not modified.
    name : str
        Its name, for messages.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Returns
    -------
    values : ndarray, shape (t, z, y, x)
        The input itself where nothing had to be done. An offset of 1024 is subtracted; NaN, infinity and what no CT
        shows (more than 100,000 HU) outside the head, and in frames that hold nothing else, become air.
    checks : tuple of Check
        Whether anything had to be done.

    Raises
    ------
    InputError
        If all values are the same, or one inside the head of a frame with values is NaN or infinite.

    Examples
    --------
    >>> scan = np.arange(8.0).reshape(2, 1, 2, 2)
    >>> in_hu(scan, "scan")[0] is scan
    True
    """
    low, high = _extremes(values, share(progress, 0.0, 0.5))
    whole, no_hu = bool(-LARGEST_HU <= low <= high <= LARGEST_HU), "NaN or infinite"
    if not whole:
        low, high = finite_extremes(values)
        if max(-low, high) > LARGEST_HU:
            possible = (values >= -LARGEST_HU) & (values <= LARGEST_HU)
            values = np.where(possible, values, np.nan).astype(np.float32, copy=False)
            low, high = finite_extremes(values)
            no_hu = f"NaN, infinite or beyond {LARGEST_HU:.0f} HU"
    if low == high or np.isnan(low):
        found = no_hu.replace("infinite", "infinity") if np.isnan(low) else f"{low:g}"
        raise InputError(f"Scan {name}: CT values are needed; found {found} in every voxel. Is the scan empty?")
    scale = Check("HU scale", "pass", "Values are stored as HU.")
    gaps = Check("missing values", "pass", "Every voxel has a value.")
    if low >= 0 and _has_offset(next(frame for frame in values if np.isfinite(frame).any())):
        values = _without_offset(values, high, share(progress, 0.5, 0.75))
        text = f"Values are stored as HU + {OFFSET_HU}; {OFFSET_HU} was subtracted."
        scale = Check("HU scale", "warn", text, OFFSET_HU)
    if not whole:
        values, gaps = _without_gaps(values, name, no_hu, share(progress, 0.75, 1.0))
    progress(1.0, "")
    return values, (scale, gaps)


def finite_extremes(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest number among values, frame by frame; NaN where there is none."""
    low, high = np.inf, -np.inf
    for frame in values:
        finite = np.isfinite(frame)
        numbers = frame if finite.all() else frame[finite]
        if numbers.size:
            low, high = min(low, float(numbers.min())), max(high, float(numbers.max()))
    return (low, high) if low <= high else (float("nan"), float("nan"))


def _extremes(values: npt.NDArray[Any], progress: Progress) -> tuple[float, float]:
    """Return the smallest and the largest value; NaN where there is one."""
    found = np.empty((len(values), 2))
    for done, frame in enumerate(values):
        found[done] = frame.min(), frame.max()
        progress((done + 1) / len(values), "")
    return float(found[:, 0].min()), float(found[:, 1].max())


def _has_offset(frame: npt.NDArray[Any]) -> bool:
    """Tell whether values without sign are HU + 1024: much near air and near soft tissue at 1024, little in between.

    In a skull-stripped scan with a background of 0 there is no soft tissue at 1024; in one whose air was cut at 0 HU,
    bone gives more values below that range than inside it.
    """
    air, between, tissue = (
        np.count_nonzero((frame >= low) & (frame <= high)) for low, high in (OFFSET_AIR, OFFSET_BETWEEN, OFFSET_TISSUE)
    )
    return bool(min(air, tissue) >= OFFSET_SHARE * frame.size and tissue > 2 * between)


def _without_offset(values: npt.NDArray[Any], high: float, progress: Progress) -> npt.NDArray[Any]:
    whole = np.int16 if high - OFFSET_HU < 2**15 else np.int32
    shifted = np.empty(values.shape, dtype=np.float32 if values.dtype.kind == "f" else whole)
    for done, frame in enumerate(values):
        np.subtract(frame, OFFSET_HU, out=shifted[done], dtype=shifted.dtype, casting="unsafe")
        progress((done + 1) / len(values), "")
    return shifted


def _without_gaps(
    values: npt.NDArray[Any], name: str, no_hu: str, progress: Progress
) -> tuple[npt.NDArray[Any], Check]:
    """Put air where values are NaN or infinite; refuse where that is inside the head of a frame with values.

    ``no_hu`` says in words what they are.

    A frame without any shows no head: what comes next leaves it out, as a frame of zeros.
    """
    count = np.zeros(values.shape[1:], dtype=np.int32)
    total = np.zeros(values.shape[1:])
    filled = np.empty(values.shape, dtype=np.float32)
    empty = np.zeros(len(values), dtype=bool)
    for done, frame in enumerate(values):
        finite = np.isfinite(frame)
        empty[done] = not finite.any()
        count += finite
        np.add(total, frame, out=total, where=finite)
        filled[done] = np.where(finite, frame, np.float32(AIR_HU))
        progress((done + 1) / len(values), "")
    mean = np.where(count > 0, total / np.maximum(count, 1), AIR_HU)
    lacking = _head(mean > HEAD_HU) & (count < np.count_nonzero(~empty))
    if lacking.any():
        need = "a number in every voxel of the head is needed"
        found = f"{np.count_nonzero(lacking)} with {no_hu} values, in {_which(values, lacking, empty)}"
        raise InputError(f"Scan {name}: {need}; found {found}. Export the scan again.")
    return filled, _told(mean, count, empty, no_hu)


def _which(values: npt.NDArray[Any], lacking: MaskArray, empty: MaskArray) -> str:
    """Return in words which frames lack values there, of those that hold any."""
    frames = [k + 1 for k in np.flatnonzero(~empty) if not np.isfinite(values[k][lacking]).all()]
    if len(frames) == len(values):
        return "all frames"
    return f"frame {', '.join(map(str, frames[:SHOWN]))}{' ...' * (len(frames) > SHOWN)}"


def _told(mean: FloatArray, count: npt.NDArray[np.int32], empty: MaskArray, no_hu: str) -> Check:
    """Return what was missing: values outside the head, whole frames, and whole slices between others."""
    missing = count.size * int(np.count_nonzero(~empty)) - int(count.sum(dtype=np.int64))
    texts = []
    if missing:
        texts.append(f"{missing} values outside the head were {no_hu}; they count as air ({typeset(str(AIR_HU))} HU).")
    if empty.any():
        numbers = ", ".join(map(str, np.flatnonzero(empty) + 1))
        texts.append(f"No value was in frame {numbers}: all of it counts as air ({typeset(str(AIR_HU))} HU).")
    between = _without_values_between(mean > HEAD_HU, count)
    if between.size:
        which = ", ".join(str(number + 1) for number in between)
        texts.append(
            f"A value in every slice of the head is needed; found none in {between.size} of {len(count)} slices "
            f"(number {which}) between others of the head: they count as not scanned, and brain beyond them may be "
            "lost. Export the scan again if they were scanned."
        )
    return Check("missing values", "warn", " ".join(texts), missing)


def _without_values_between(tissue: MaskArray, count: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """Return the slices without any value that have slices with tissue below and above."""
    with_tissue = np.flatnonzero(tissue.any(axis=(1, 2)))
    empty = np.flatnonzero(~count.any(axis=(1, 2)))
    return np.asarray(empty[(empty > with_tissue.min(initial=len(count))) & (empty < with_tissue.max(initial=-1))])


def _head(tissue: MaskArray) -> MaskArray:
    """Return the largest connected part with its holes filled in every slice."""
    return np.stack([~outside(one) for one in largest_part(tissue)])
