"""Frames that show no head, or not all of what others show: what interrupted scans and other programs leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from PyPeTLib.checks import Check
from PyPeTLib.chunks import share
from PyPeTLib.errors import InputError, QualityError
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.morphology import outside
from PyPeTLib.progress import Progress, silent
from PyPeTLib.scan import Series
from PyPeTLib.times import MINIMUM_FRAMES, require_steps

Float32Array = npt.NDArray[np.float32]

#: A frame shows the head where its HU correlate so much with the mean frame; contrast and motion hardly matter.
LEAST_CORRELATION = 0.5
#: A frame is of another kind where the median HU of soft tissue (so dense in the mean frame) is further than this, in
#: HU, from that of the frames around, so many on either side: contrast agent changes it by less in so short a time.
SOFT_HU, OTHER_LEVEL_HU, AROUND = (0.0, 100.0), 10.0, 2
#: So many frames that are copies are numbered.
SHOWN = 5
#: Frames are compared in about so many voxels.
SAMPLE = 10_000
#: What is not scanned has the value of the corners; where its share of the frames varies by more, some show less.
VARYING_SHARE = 0.005
#: The four corners of so many slices have one value by chance.
FEW_SLICES = 0.005
#: Noise changes what was scanned. Of a scan without noise rounding leaves 2 % of the brain as it is; where more of a
#: mask than this share has one value in all frames, that was never scanned, or another program filled it.
FILLED_SHARE = 0.05


def check_values(series: Series) -> None:
    """Refuse a scan of too few frames, at times that no scan has or with voxels that are no numbers.

    Raises
    ------
    InputError
        Files with such voxels are read so that they have numbers (`hounsfield.in_hu`) and such times are refused
        there; arrays are taken as they are.
    """
    if series.frames < MINIMUM_FRAMES:
        need = f"Scan {series.name}: at least {MINIMUM_FRAMES} frames are needed"
        raise InputError(f"{need}; found {series.frames}. Give the complete scan.")
    require_steps(series.times_s, f"Scan {series.name}", series.time_source)
    if series.values.dtype.itemsize > 8:
        need = f"Scan {series.name}: numbers of at most 64 bits are needed"
        raise InputError(f"{need}; found values of type {series.values.dtype}. Convert them.")
    if series.values.dtype.kind != "f":
        return
    without = [k + 1 for k, frame in enumerate(series.values) if not np.isfinite(frame).all()]
    if without:
        found = f"{len(without)} of {series.frames} frames that lack some, number {without[0]} first"
        need = f"Scan {series.name}: a number in every voxel is needed"
        raise InputError(f"{need}; found {found}. Set what is not known to −1000 HU.")


def with_head(series: Series) -> tuple[Series, Check]:
    """Return the scan without frames that show no head or are of another kind, and what is to be known of them.

    Their times are left out too. A first frame is at times that of another scan, with other HU. A frame that is the one
    before bit for bit stays, and is told. Where no two frames show the same nothing is left out: what comes next
    refuses such a scan.

    Examples
    --------
    >>> from PyPeTLib.geometry import Geometry
    >>> grid = Geometry((30, 30, 4), (6.0, 6.0, 8.0))
    >>> head = np.random.default_rng(0).normal(0.0, 5.0, (9, 4, 30, 30)) + np.arange(30.0) * 50
    >>> head[2] = 0.0
    >>> head[7] += 40.0
    >>> found, check = with_head(Series(head, np.arange(9.0), grid))
    >>> found.times_s.tolist()
    [0.0, 1.0, 3.0, 4.0, 5.0, 6.0, 8.0]
    >>> check.text
    'Of 9 frames number 3 shows no head, number 8 differs from those around by more than 10 HU: left out.'
    """
    step = max(1, round((series.values[0].size / SAMPLE) ** 0.5))
    sample = series.values[:, :, ::step, ::step].reshape(series.frames, -1).astype(np.float32)
    alike = _alike(sample)
    headless = ~alike & (alike.sum() > 1)
    foreign = ~headless
    foreign[~headless] = _of_other_level(sample[~headless])
    kept = ~(headless | foreign)
    copied = _copied(series, sample, kept)
    if kept.all():
        text = f"All {series.frames} frames show the head.{_copies(copied)}"
        return series, Check("frames", "warn" if copied.any() else "pass", text, 0.0)
    far = f"from those around by more than {OTHER_LEVEL_HU:g} HU"
    told = [
        _numbers(headless, "shows no head", "show no head"),
        _numbers(foreign, f"differs {far}", f"differ {far}"),
    ]
    text = f"Of {series.frames} frames {', '.join(filter(None, told))}: left out.{_copies(copied)}"
    whole = replace(series, values=series.values[kept], times_s=series.times_s[kept])
    return whole, Check("frames", "warn", text, float((~kept).sum()))


def _alike(sample: Float32Array) -> MaskArray:
    """Tell which frames correlate with the mean of all, each counting as much as it varies alike."""
    about_mean = sample - sample.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(about_mean, axis=1), 1e-6)
    usual = (about_mean / lengths[:, None]).mean(axis=0)
    return np.asarray(about_mean @ usual >= LEAST_CORRELATION * lengths * np.linalg.norm(usual))


def _of_other_level(sample: Float32Array) -> MaskArray:
    """Tell which frames differ in level from those around."""
    if len(sample) < 2 * AROUND + 1:
        return np.zeros(len(sample), dtype=bool)
    mean = sample.mean(axis=0)
    soft = sample[:, (mean > SOFT_HU[0]) & (mean < SOFT_HU[1])]
    if soft.size == 0:
        return np.zeros(len(sample), dtype=bool)
    level = np.median(soft - soft.mean(axis=0), axis=1)
    first = np.clip(np.arange(len(level)) - AROUND, 0, len(level) - 2 * AROUND - 1)
    around = np.median(level[first[:, None] + np.arange(2 * AROUND + 1)], axis=1)
    return np.asarray(np.abs(level - around) > OTHER_LEVEL_HU)


def _copied(series: Series, sample: Float32Array, kept: MaskArray) -> MaskArray:
    """Tell which frames are the one before bit for bit; all voxels are compared only where the sample is the same."""
    copied = np.zeros(series.frames, dtype=bool)
    for k in np.flatnonzero(kept[1:] & kept[:-1]):
        same = np.array_equal(sample[k], sample[k + 1])
        copied[k + 1] = same and np.array_equal(series.values[k], series.values[k + 1])
    return copied


def _copies(copied: MaskArray) -> str:
    """Return what is to be said of frames that are copies; nothing where there are none."""
    if not copied.any():
        return ""
    numbers = np.flatnonzero(copied) + 1
    which = ", ".join(map(str, numbers[:SHOWN])) + f" ... ({numbers.size} in all)" * (numbers.size > SHOWN)
    same = "is the same as the one" if numbers.size == 1 else "are each the same as the one"
    return (
        f" Number {which} {same} before, bit for bit: copied over what was scanned at that time? Curves are wrong "
        "there; export the scan again."
    )


def _numbers(frames: MaskArray, one: str, several: str) -> str:
    """Return which frames they are, and what of them; nothing where there are none."""
    numbers = ", ".join(str(number + 1) for number in np.flatnonzero(frames))
    return f"number {numbers} {one if frames.sum() == 1 else several}" if numbers else ""


def in_all_frames(brain: Image, series: Series, *, progress: Progress = silent) -> tuple[Image, Check]:
    """Return the part of a mask that every frame shows, and what is to be known of the rest.

    Programs that move frames onto one another fill with one value what a frame did not show, and those that take the
    skull off what is outside the brain; voxels without noise would make that of the others seem too small.

    Raises
    ------
    QualityError
        If nothing is left.

    Examples
    --------
    >>> from PyPeTLib.geometry import Geometry
    >>> frames, grid = np.full((3, 2, 20, 20), -1024.0), Geometry((20, 20, 2), (5.0, 5.0, 10.0))
    >>> frames[:, :, 4:16, 4:16] = np.random.default_rng(0).normal(35.0, 5.0, (3, 2, 12, 12))
    >>> frames[1, 0] = -1024.0
    >>> mask, check = in_all_frames(Image(frames[0] > 0, grid), Series(frames, np.arange(3.0), grid))
    >>> int(mask.values.sum()), check.text
    (144, '36 mL of the brain lie outside what every frame shows, which is filled with one value there: left out.')
    """
    outside, lost = _beyond_some(series, progress), _filled(brain, series)
    if outside is not None:
        lost |= brain.values & outside
    if not lost.any():
        return brain, Check("field of view", "pass", "Every frame shows all of the brain.", 0.0)
    left = replace(brain, values=brain.values & ~lost)
    if not left.values.any():
        raise QualityError(
            "Frames: brain that every frame shows is needed; found none. Leave out frames that show less."
        )
    lost_ml = float(lost.sum()) * brain.geometry.voxel_volume_ml
    text = f"{lost_ml:.3g} mL of the brain lie outside what every frame shows, which is filled with one value there"
    return left, Check("field of view", "warn", f"{text}: left out.", lost_ml)


def _filled(brain: Image, series: Series) -> MaskArray:
    """Return what of a mask has one value in all frames, if that is more than chance."""
    places, filled = np.nonzero(brain.values), np.zeros_like(brain.values)
    few = tuple(axis[:: max(1, axis.size // SAMPLE)] for axis in places)
    if _unchanging(series, few).mean() > FILLED_SHARE:
        filled[places] = _unchanging(series, places)
    return filled


def _unchanging(series: Series, places: tuple[npt.NDArray[np.intp], ...]) -> MaskArray:
    """Tell which voxels have one value in all frames."""
    first = series.values[0][places]
    same = np.ones(first.shape, dtype=bool)
    for frame in series.values[1:]:
        same &= frame[places] == first
    return same


def _beyond_some(series: Series, progress: Progress) -> MaskArray | None:
    """Return where some frames show nothing, and a pixel more; None where all frames show the same."""
    from scipy import ndimage

    corners = series.values[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    value = np.where((corners == corners[..., :1]).all(axis=-1), corners[..., 0], np.nan)[..., None, None]
    if np.isfinite(value).mean() <= FEW_SLICES:
        return None
    shares = [float(one.mean()) for one in _without_values(series, value, share(progress, 0.0, 0.3))]
    if max(shares) - min(shares) <= VARYING_SHARE:
        return None
    some, always = np.zeros((2, *series.values.shape[1:]), dtype=bool)
    always[:] = True
    for one in _without_values(series, value, share(progress, 0.3, 1.0)):
        some |= np.stack([outside(~frame) for frame in one])  # what reaches the border of its slice
        always &= one
    return np.asarray(ndimage.binary_dilation(some & ~always, np.ones((1, 3, 3), dtype=bool)))


def _without_values(series: Series, value: FloatArray, progress: Progress) -> Iterator[MaskArray]:
    """Yield where each frame has the value that stands for nothing in each of its slices."""
    for done, (frame, nothing) in enumerate(zip(series.values, value, strict=True)):
        yield frame == nothing
        progress((done + 1) / series.frames, "")
