"""The analysis step by step as pictures: what each stage saw and what it made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from PyPeTLib.analysis import Analysis, Prepared
from PyPeTLib.checks import invalid_why
from PyPeTLib.display import (
    BRAIN_HU,
    ENHANCEMENT_HU,
    FLOW_COLOURS,
    VESSELS_HU,
    Array,
    baseline_hu,
    brain_crop,
    enhancement_volume,
    middle_third,
    peak_frame,
    spread_slices,
)
from PyPeTLib.figures import Strip, axes_in, canvas, heading, maps_figure, mark_invalid, png, sheet
from PyPeTLib.orientation import displayed_shape, pixel_aspect, radiological, slice_labels
from PyPeTLib.overlays import SCALE_IN, draw_vessel
from PyPeTLib.plots import draw_bolus, draw_vessels
from PyPeTLib.write import write_bytes

#: Slices of the mask that are shown.
MASK_SLICES = 6
#: Height of the curve below the pictures of the contrast signal, in inches, and space around it.
_CURVE_IN, _CURVE_SPACE_IN = 2.0, 0.95


def write_stages(analysis: Analysis, folder: Path) -> None:
    """Write one PNG a stage: 1_raw, 2_denoised, 3_mask, 4_contrast, 5_aif and 6_maps.

    Parameters
    ----------
    analysis : Analysis
        The run.
    folder : Path
        An existing folder; pictures of the same names are replaced.

    Raises
    ------
    InputError
        If a picture cannot be written.
    """
    invalid = invalid_why(analysis.checks)
    for name, draw in STAGES.items():
        figure = draw(analysis)
        write_bytes(png(mark_invalid(figure) if invalid else figure), Path(folder) / f"{name}.png")


def raw_figure(analysis: Prepared) -> Figure:
    """Return the scan as read: middle slice and projection of the middle third of the slices at several times."""
    frames = shown_frames(analysis)
    acquired = np.searchsorted(analysis.raw.times_s, analysis.series.times_s[list(frames)])
    return _over_time(analysis, "1 · Raw scan", [analysis.raw.values[k] for k in acquired], frames)


def denoised_figure(analysis: Prepared) -> Figure:
    """Return what is analysed, as `raw_figure`: the baseline's mean plus the denoised enhancement inside the mask."""
    frames, before = shown_frames(analysis), baseline_hu(analysis)
    volumes = [before + enhancement_volume(analysis.curves, k) for k in frames]
    return _over_time(analysis, "2 · Denoised", volumes, frames)


def mask_figure(analysis: Prepared) -> Figure:
    """Return mask, image and masked image of several slices."""
    geometry = analysis.series.geometry
    mask, image = (radiological(values, geometry) for values in (analysis.brain.values, baseline_hu(analysis)))
    chosen, labels = spread_slices(mask, MASK_SLICES), slice_labels(geometry)
    strips = [
        Strip("Mask", "", [mask[k] for k in chosen], (0.0, 1.0)),
        Strip("Image", "HU", [image[k] for k in chosen], BRAIN_HU),
        Strip("Masked", "HU", [np.where(mask[k], image[k], np.nan) for k in chosen], BRAIN_HU),
    ]
    note = f"3 · Brain mask, {analysis.brain_source}"
    return sheet(analysis.series.name, note, [labels[k] for k in chosen], strips, pixel_aspect(geometry))


def contrast_figure(analysis: Prepared) -> Figure:
    """Return the contrast signal at several times, above the bolus curve with its arrival."""
    geometry, frames = analysis.series.geometry, shown_frames(analysis)
    brain = radiological(analysis.brain.values, geometry)
    chosen, crop = spread_slices(brain, 5), brain_crop(brain)
    volumes = [np.where(analysis.brain.values, enhancement_volume(analysis.curves, k), np.nan) for k in frames]
    turned = [radiological(volume, geometry) for volume in volumes]
    strips = [
        Strip(slice_labels(geometry)[k], "HU", [volume[(k, *crop)] for volume in turned], ENHANCEMENT_HU, FLOW_COLOURS)
        for k in reversed(chosen[1:-1] or chosen)
    ]
    note, heads = "4 · Contrast signal: denoised enhancement above the mean before arrival", list(frames.values())
    below_in = _CURVE_IN + _CURVE_SPACE_IN
    figure = sheet(analysis.series.name, note, heads, strips, pixel_aspect(geometry), below_in)
    across, down = figure.get_size_inches()
    curve = axes_in(figure, 1.05, down - below_in + 0.35, across - 1.6, _CURVE_IN)
    draw_bolus(curve, analysis, "dark", analysis.series.times_s[list(frames)])
    return figure


def aif_figure(analysis: Prepared) -> Figure:
    """Return the slice with most AIF voxels, in purple, above the arterial curve with its fit."""
    geometry = analysis.series.geometry
    rows, columns = displayed_shape(geometry)
    height_in = 3.14 * rows * pixel_aspect(geometry) / columns
    figure = canvas(9.6, height_in + SCALE_IN + 4.6)
    heading(figure, analysis.series.name, f"5 · Arterial input, {analysis.aif.source}")
    panels = [axes_in(figure, 3.2 * k + 0.03, 0.95, 3.14, height_in) for k in range(3)]
    draw_vessel(panels, analysis, analysis.aif)
    curve = axes_in(figure, 0.75, height_in + SCALE_IN + 1.4, 8.6, 2.65)
    draw_vessels(curve, analysis, "dark")
    curve.set_xlabel("time in s", color=curve.yaxis.label.get_color(), fontsize=9)
    return figure


def shown_frames(analysis: Prepared) -> dict[int, str]:
    """Return the frames worth a picture, in order, with time and name: first, arrival, peaks, last."""
    times = analysis.series.times_s
    artery = peak_frame(analysis.aif)
    late = (artery + len(times) - 1) // 2 if analysis.vof is None else peak_frame(analysis.vof)
    names = {
        0: "first frame",
        int(np.abs(times - analysis.bolus.arrival_s).argmin()): "arrival",
        len(times) - 1: "last frame",
        late: "late" if analysis.vof is None else "venous peak",
        artery: "arterial peak",
    }
    return {frame: f"{times[frame]:.4g} s · {names[frame]}" for frame in sorted(names)}


def _over_time(analysis: Prepared, note: str, volumes: list[Array], frames: Mapping[int, str]) -> Figure:
    """Return middle slice and projection of the middle third of the slices, one column a time."""
    geometry = analysis.series.geometry
    turned = [radiological(volume, geometry) for volume in volumes]
    count = len(turned[0])
    strips = [
        Strip("Slice", "HU", [volume[count // 2] for volume in turned], BRAIN_HU),
        Strip("MIP", "HU", [volume[middle_third(count)].max(axis=0) for volume in turned], VESSELS_HU),
    ]
    note += ": middle slice, and maximum intensity projection (MIP) of the middle third of the slices"
    return sheet(analysis.series.name, note, list(frames.values()), strips, pixel_aspect(geometry))


#: What is drawn, by file name.
STAGES: Mapping[str, Callable[[Analysis], Figure]] = {
    "1_raw": raw_figure,
    "2_denoised": denoised_figure,
    "3_mask": mask_figure,
    "4_contrast": contrast_figure,
    "5_aif": aif_figure,
    "6_maps": lambda analysis: maps_figure(analysis, "6 · Perfusion maps"),
}
