"""What the interactive part of the report shows: maps, curves and frames of the scan, rounded and packed small."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import invalid_why
from PyPeTLib.display import (
    BRAIN_HU,
    CORE_COLOUR,
    ENHANCEMENT_HU,
    FLOW_COLOURS,
    GREY,
    HYPOPERFUSION_COLOUR,
    INVALID,
    MAP_LABELS,
    MAP_WINDOWS,
    PURPLE,
    SD_SHARE,
    VEIN_COLOUR,
    VESSELS_HU,
    Array,
    Window,
    baseline_hu,
    brain_crop,
    map_colours,
)
from PyPeTLib.geometry import Geometry, Image, MaskArray
from PyPeTLib.orientation import pixel_aspect, radiological, slice_labels
from PyPeTLib.records import Curves
from PyPeTLib.typeset import DECIMALS

Bytes = npt.NDArray[np.uint8]
#: From an array on the scan's grid to what is shown of it.
Shown = Callable[[Array], Array]
#: Most voxels of the brain, temporal components, and samples of raw frames that a page holds: with the 16 slices of
#: 220 × 220 voxels and 55 frames of a full scan it stays below 6 MB.
MOST_VOXELS, MOST_COMPONENTS, MOST_SAMPLES = 230_000, 8, 3_200_000
#: The maximum over slices is that of about a third of them.
SLABS = 3
#: Steps of a map, of a standard deviation or reference, and of a component on either side of 0.
MAP_STEPS, COARSE_STEPS, COMPONENT_STEPS = 254, 64, 127
#: How far beyond their window, as a share of it, maps keep their values.
BELOW, ABOVE = 0.5, 1.0
#: Components are rounded evenly up to about this size in HU, and in proportion beyond.
EVEN_HU = 4.0
#: HU of the scan before contrast, and what raw frames add to it, that become these steps: most of them for brain.
SCAN_HU, SCAN_STEPS = (-20.0, 100.0, 430.0), (0.0, 200.0, 255.0)
RISE_HU, RISE_STEPS = (-400.0, -40.0, 40.0, 400.0), (0.0, 28.0, 228.0, 255.0)
#: Bits of the picture of masks.
BITS = {"brain": 1, "core": 2, "hypoperfusion": 4, "aif": 8, "vof": 16}

#: Colours of their outlines.
MARKS = {"core": CORE_COLOUR, "hypoperfusion": HYPOPERFUSION_COLOUR, "aif": PURPLE, "vof": VEIN_COLOUR}
#: Those that are dashed, so that nobody needs the colours to tell outlines apart.
DASHED = ("hypoperfusion", "vof")


def viewer_data(analysis: Analysis, reference: Mapping[str, Image]) -> dict[str, Any]:
    """Return what the script of the report reads, as JSON knows it.

    Values are those of the files, rounded: maps and their standard deviations in 254 and 64 steps of a range somewhat
    wider than their window; curves as at most eight temporal components; raw frames as the difference of some voxels of
    the brain from the scan before contrast, compressed with loss. Large grids are thinned out in the plane: every
    second voxel, or every third.

    Parameters
    ----------
    analysis : Analysis
        The run.
    reference : mapping of str to Image
        Maps on the grid of the run to be shown beside its own, by name.
    """
    geometry = analysis.series.geometry
    brain = radiological(analysis.brain.values, geometry)
    thin, crop = _thinning(brain), brain_crop(brain)

    def shown(values: Array) -> Array:
        return radiological(values, geometry)[(..., *crop)][..., thin // 2 :: thin, thin // 2 :: thin]

    inside, masks = shown(analysis.brain.values), shown(_masks(analysis))
    slab, scan = max(1, len(inside) // SLABS // 2), _scan(analysis, shown, inside)
    return {
        "note": _note(thin, scan["block"], min(2 * slab + 1, len(inside))),
        "slab": slab,
        "shape": inside.shape,
        "full": brain[(0, *crop)].shape,
        "aspect": pixel_aspect(geometry),
        "start": _start(masks),
        "thinning": thin,
        "labels": slice_labels(geometry),
        "times": [round(float(t), 3) for t in analysis.series.times_s],
        "arrival": analysis.bolus.arrival_s,
        "aif": [round(float(hu), 2) for hu in analysis.aif.curve_hu],
        "masks": _packed(masks),
        "bits": BITS,
        "marks": MARKS,
        "dashed": DASHED,
        "invalid": INVALID if invalid_why(analysis.checks) else "",
        "layers": [*_steps(), *_layers(analysis, reference, shown, inside)],
        "colours": {name: _colours(name) for name in sorted(_colour_names(analysis))},
        "curves": _curves(analysis.curves, geometry, shown, inside),
        "scan": scan,
    }


def _note(thin: int, block: int, slab: int) -> str:
    """Say how what is shown differs from the files of the run."""
    thinned = f" Of the voxels one in {thin} × {thin} of the plane is shown." if thin > 1 else ""
    picked = f"one voxel in {block} × {block}" if block > 1 else "all voxels"
    return (
        f"Values are rounded for this page; the files of the run have all digits.{thinned} Raw frames: {picked} of the "
        "brain, compressed, around it the mean before contrast. Curves are rebuilt from at most "
        f"{MOST_COMPONENTS} temporal components. The maximum is that of {slab} slice{'s' * (slab > 1)}."
    )


def _thinning(brain: MaskArray) -> int:
    """Return which voxels of a row and of a column are shown: every first, second, ..."""
    return int(np.ceil(np.sqrt(np.count_nonzero(brain) / MOST_VOXELS)))


def _steps() -> list[dict[str, Any]]:
    """Return what is shown of the scan itself: name, window and colours."""
    rows: list[tuple[str, str, Window, str]] = [
        ("raw", "Raw scan", BRAIN_HU, GREY),
        ("denoised", "Denoised scan", BRAIN_HU, GREY),
        ("contrast", "Contrast", ENHANCEMENT_HU, FLOW_COLOURS),
        ("mip", "Contrast, maximum of slices", VESSELS_HU, GREY),
    ]
    return [
        {"key": key, "label": label, "group": "Scan", "unit": "HU", "window": window, "colours": colours}
        for key, label, window, colours in rows
    ]


def _layers(
    analysis: Analysis, reference: Mapping[str, Image], shown: Shown, inside: MaskArray
) -> Iterator[dict[str, Any]]:
    """Yield maps, reference maps and standard deviations: name, unit, window, colours and rounded values."""
    units = {name: image.unit for name, image in analysis.maps.items()}
    given = {name: replace(reference[name], unit=unit) for name, unit in units.items() if name in reference}
    rows = [(name, "Maps", MAP_LABELS[name], image, MAP_STEPS) for name, image in analysis.maps.items()]
    rows += [
        (
            f"{name}_reference",
            "Reference",
            f"Reference {MAP_LABELS[name]}",
            image,
            COARSE_STEPS,
        )
        for name, image in given.items()
    ]
    rows += [
        (f"{name}_sd", "Uncertainty", f"SD of {MAP_LABELS[name]}", image, COARSE_STEPS)
        for name, image in analysis.maps.sd.items()
    ]
    for key, group, label, image, steps in rows:
        low, high = MAP_WINDOWS[key.partition("_")[0]]
        window = (0.0, SD_SHARE * high) if group == "Uncertainty" else (low, high)
        yield {
            "key": key,
            "label": label,
            "group": group,
            "unit": image.unit,
            "decimals": DECIMALS[image.unit],
            "window": window,
            "colours": map_colours(image.unit, analysis.settings.colours),
            **_rounded(shown(image.values)[inside], window, steps),
        }


def _rounded(values: Array, window: Window, steps: int) -> dict[str, Any]:
    """Return values as steps 1, 2, ... of a range around the window, 0 where there is none."""
    wide = window[1] - window[0]
    known = values[np.isfinite(values)]
    ends = (float(known.min()), float(known.max())) if known.size else window
    low = max(window[0] - BELOW * wide, min(ends[0], window[0]))
    high = min(window[1] + ABOVE * wide, max(ends[1], window[1]))
    step = (high - low) / (steps - 1)
    level = 1.0 + np.clip(np.rint((values - low) / step), 0, steps - 1)
    return {"low": low, "step": step, "top": steps, "values": _packed(np.nan_to_num(level).astype(np.uint8))}


def _curves(curves: Curves, geometry: Geometry, shown: Shown, inside: MaskArray) -> dict[str, Any]:
    """Return temporal components and their rounded weights: ``even · sinh(level · ratio)``."""
    weights, basis = _components(curves)
    volume = np.zeros((len(basis), *geometry.shape), dtype=np.float32)
    volume[:, curves.mask] = weights.T
    picked = shown(volume)[:, inside]
    ratio = float(np.arcsinh(max(np.abs(picked).max(), EVEN_HU) / EVEN_HU)) / COMPONENT_STEPS
    levels = np.rint(np.arcsinh(picked / EVEN_HU) / ratio).astype(np.int8)
    return {
        "even": EVEN_HU,
        "ratio": ratio,
        "basis": [[round(float(value), 5) for value in row] for row in basis],
        "levels": [_packed(row.view(np.uint8)) for row in levels],
    }


def _components(curves: Curves) -> tuple[Array, Array]:
    """Return weights and basis of the components, or of the largest ones where there are many."""
    if len(curves.basis) <= MOST_COMPONENTS:
        return curves.coefficients, curves.basis
    _, vectors = np.linalg.eigh(curves.coefficients.T.astype(float) @ curves.coefficients)
    rotation = vectors[:, : -MOST_COMPONENTS - 1 : -1].astype(np.float32)
    return curves.coefficients @ rotation, rotation.T @ curves.basis


def _scan(analysis: Analysis, shown: Shown, inside: MaskArray) -> dict[str, Any]:
    """Return the scan before contrast, and how much every raw frame differs from it in the brain, as pictures."""
    frames = np.searchsorted(analysis.raw.times_s, analysis.series.times_s)
    block = max(1, int(np.ceil(np.sqrt(np.count_nonzero(inside) * len(frames) / MOST_SAMPLES))))
    raw, before = shown(analysis.raw.values), shown(baseline_hu(analysis))

    def rise(frame: int) -> str:
        few = (..., slice(block // 2, None, block), slice(block // 2, None, block))
        return _picture(np.where(inside, raw[frame] - before, 0.0)[few], RISE_HU, RISE_STEPS, 50)

    with ThreadPoolExecutor() as pool:
        return {
            "block": block,
            "before": _picture(before, SCAN_HU, SCAN_STEPS, 85),
            "before_steps": [SCAN_HU, SCAN_STEPS],
            "frames": list(pool.map(rise, frames)),
            "frames_steps": [RISE_HU, RISE_STEPS],
        }


def _picture(hu: Array, known: Sequence[float], steps: Sequence[float], quality: int) -> str:
    """Return slices side by side, as many rows of them as there are columns, as a WebP picture in a data address."""
    from PIL import Image as Pillow

    levels = np.rint(np.interp(hu, known, steps)).astype(np.uint8)
    buffer = io.BytesIO()
    Pillow.fromarray(_side_by_side(levels)).save(buffer, "WEBP", quality=quality, method=2)
    return data_address(buffer.getvalue())


def _side_by_side(slices: Bytes) -> Bytes:
    """Return slices, shape (slice, row, column), as one picture, row by row of a square."""
    count, rows, columns = slices.shape
    across = int(np.ceil(np.sqrt(count)))
    padded = np.pad(slices, ((0, -count % across), (0, 0), (0, 0)))
    square = padded.reshape(-1, across, rows, columns)
    return np.ascontiguousarray(square.swapaxes(1, 2).reshape(-1, across * columns))


def data_address(picture: bytes) -> str:
    """Return a WebP picture as an address that holds it."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


def _masks(analysis: Analysis) -> Bytes:
    """Return one bit a mask, shape (z, y, x)."""
    masks = {"brain": analysis.brain, "aif": analysis.aif.mask, **dict(analysis.lesions.masks())}
    if analysis.vof is not None:
        masks["vof"] = analysis.vof.mask
    bits = np.zeros(analysis.brain.values.shape, dtype=np.uint8)
    for name, bit in BITS.items():
        if name in masks:
            bits[masks[name].values] |= bit
    return bits


def _start(bits: Bytes) -> int:
    """Return the slice to begin with: the one with most hypoperfusion, or most brain where there is none."""
    late = (bits & BITS["hypoperfusion"]) > 0
    return int((late if late.any() else bits > 0).sum(axis=(1, 2)).argmax())


def _packed(values: Bytes) -> str:
    """Return differences of successive bytes, compressed, as text."""
    row = np.ascontiguousarray(values).ravel()
    packer = zlib.compressobj(6, zlib.DEFLATED, 31, 9, zlib.Z_FILTERED)
    content = packer.compress(np.diff(row, prepend=np.uint8(0)).tobytes()) + packer.flush()
    return base64.b64encode(content).decode("ascii")


def _colour_names(analysis: Analysis) -> set[str]:
    maps = {map_colours(image.unit, analysis.settings.colours) for _, image in analysis.maps.items()}
    return maps | {GREY, FLOW_COLOURS}


def _colours(name: str) -> str:
    """Return 256 colours, four bytes each: red, green, blue and opacity."""
    from PyPeTLib.figures import colour_map

    return _packed(colour_map(name)(np.arange(256), bytes=True))
