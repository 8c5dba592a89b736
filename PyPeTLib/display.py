"""What is shown of a scan and how: orientation, slices, windows, colours. Free of any drawing package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.analysis import Prepared
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.orientation import radiological
from PyPeTLib.records import Curves, VascularCurve
from PyPeTLib.settings import Colours, Settings

Window = tuple[float, float]
Array = npt.NDArray[Any]

#: Display range of each map in its unit, the same in every picture, so that pictures can be compared.
MAP_WINDOWS: Mapping[str, Window] = {
    "cbf": (0.0, 60.0),
    "cbv": (0.0, 6.0),
    "mtt": (0.0, 15.0),
    "tmax": (0.0, 12.0),
    "ttp": (0.0, 25.0),
    "delay": (0.0, 12.0),
}
#: Standard deviations are shown up to this share of what their map is.
SD_SHARE = 0.5
#: Names of the maps as they are printed.
MAP_LABELS = {"cbf": "CBF", "cbv": "CBV", "mtt": "MTT", "tmax": "Tmax", "ttp": "TTP", "delay": "Delay"}
#: Perceptually even colours: one map for flow and volume, one for times, one for HU.
FLOW_COLOURS, TIME_COLOURS, GREY = "inferno", "viridis", "gray"
#: Colours after the public description of ASIST Japan's table, black over blue, green and yellow to red: evenly spread
#: anchors of our own, with straight lines between them. For flow, volume and times alike.
RAINBOW_COLOURS = "ASIST-like"
RAINBOW_ANCHORS = "000000 00007a 0028ff 00a4ff 00d9a0 22c421 b9e000 ffe600 ff9000 ff3a00 d00000"
#: Display ranges in HU: brain tissue, projections with vessels, enhancement.
BRAIN_HU, VESSELS_HU, ENHANCEMENT_HU = (0.0, 80.0), (0.0, 250.0), (0.0, 30.0)
#: Arterial input, vein and core have the same colours in 3D Slicer; hypoperfusion is white there, for its outline lies
#: on colours of late tissue, which are yellow.
PURPLE = "#b14dff"
VEIN_COLOUR, CORE_COLOUR, HYPOPERFUSION_COLOUR = "#4fc3d9", "#ff4a52", "#f2cc40"
#: Most slices that a montage shows, and that of the lesions, and the smallest area, as a share of the largest, worth a
#: column.
MOST_SLICES, LESION_SLICES, LEAST_AREA = 8, 5, 0.25
#: Stands before the title of every picture of a run that is marked invalid.
INVALID = "INVALID · "
#: Longest part of a scan's name that is printed into a picture, in characters.
LONGEST_NAME = 60

_METHODS = {
    "bayesian": "Bayesian, {s.mtt_prior} prior of MTT",
    "nlr": "Nonlinear regression, box residue",
    "stable-spline": "Stable spline",
    "bSVD": "bSVD, cut-off {s.bsvd_cutoff:.3g}",
    "sSVD": "sSVD, cut-off {s.ssvd_cutoff:.3g}",
    "oSVD": "oSVD, oscillation index {s.oscillation_index:.3g}",
    "tikhonov": "Tikhonov, {s.tikhonov_choice} strength",
    "max-slope": "Maximum slope over {s.slope_window_s:.3g} s",
}


def spread_slices(brain: MaskArray, most: int = MOST_SLICES) -> list[int]:
    """Return at most ``most`` evenly spread slices that hold enough brain; its shape is (slice, row, column)."""
    area = brain.sum(axis=(1, 2))
    worthy = np.flatnonzero(area >= max(1, LEAST_AREA * area.max()))
    places = np.linspace(0, len(worthy) - 1, min(most, len(worthy))).round().astype(int)
    return [int(k) for k in worthy[places]]


def middle_third(slices: int) -> slice:
    """Return the slices, of so many, that a projection is the maximum of: the middle third, one at least.

    Examples
    --------
    >>> middle_third(16), middle_third(1)
    (slice(5, 11, None), slice(0, 1, None))
    """
    return slice(slices // 3, max(slices // 3 + 1, slices - slices // 3))


def brain_crop(brain: MaskArray) -> tuple[slice, slice]:
    """Return rows and columns of the displayed brain, with a margin."""
    found = [np.flatnonzero(brain.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    margins = [max(2, round(0.05 * len(lines))) for lines in found]
    rows, columns = (slice(max(0, lines[0] - m), lines[-1] + m + 1) for lines, m in zip(found, margins, strict=True))
    return rows, columns


def tiles(image: Image, chosen: Sequence[int], crop: tuple[slice, slice]) -> list[Array]:
    """Return some slices of an image as they are displayed."""
    turned = radiological(image.values, image.geometry)
    return [turned[(k, *crop)] for k in chosen]


def baseline_hu(analysis: Prepared) -> npt.NDArray[np.float32]:
    """Return the mean of the frames before the bolus in HU, shape (z, y, x)."""
    frames = analysis.series.values[: analysis.bolus.baseline_frames]
    return np.asarray(frames.mean(axis=0, dtype=np.float32))


def enhancement_volume(curves: Curves, frame: int) -> npt.NDArray[np.float32]:
    """Return the denoised enhancement of one frame in HU, 0 outside the mask, shape (z, y, x)."""
    volume = np.zeros(curves.mask.shape, dtype=np.float32)
    volume[curves.mask] = curves.coefficients @ curves.basis[:, frame]
    return volume


def window_grey(values: Array, window: Window) -> FloatArray:
    """Return HU as grey RGB from 0 to 1, shape (row, column, 3)."""
    share = np.clip((values - window[0]) / (window[1] - window[0]), 0.0, 1.0)
    return np.repeat(share[..., None], 3, axis=-1)


def map_colours(unit: str, colours: Colours) -> str:
    """Return the name of the colours for a map of this unit: where they are even, times have their own."""
    if colours == "ASIST-like":
        return RAINBOW_COLOURS
    return TIME_COLOURS if unit == "s" else FLOW_COLOURS


def method_label(settings: Settings) -> str:
    """Return the deconvolution and its regularisation in a few words."""
    label = _METHODS.get(settings.method, settings.method).format(s=settings)
    return f"{label}, bias removed" if settings.bias_removed else label


def peak_frame(curve: VascularCurve) -> int:
    """Return the frame in which a vascular curve is highest."""
    return int(curve.measured_hu.argmax())


def printable(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name that the font can print, shortened to as many letters, `LONGEST_NAME` at most."""
    longest = min(longest, LONGEST_NAME)
    known = "".join(
        letter if letter.isprintable() and (ord(letter) < 0x250 or letter == "…") else "?" for letter in name
    )
    return known if len(known) <= longest else known[: longest - 1] + "…"
