"""Vessels and lesions on the scan and on the maps, as matplotlib Figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from PyPeTLib.analysis import Analysis, Prepared
from PyPeTLib.display import (
    BRAIN_HU,
    CORE_COLOUR,
    GREY,
    HYPOPERFUSION_COLOUR,
    LESION_SLICES,
    MAP_LABELS,
    MAP_WINDOWS,
    PURPLE,
    VEIN_COLOUR,
    Array,
    Window,
    baseline_hu,
    brain_crop,
    map_colours,
    peak_frame,
    spread_slices,
    tiles,
    window_grey,
)
from PyPeTLib.figures import (
    THEMES,
    TITLE_IN,
    Mark,
    Strip,
    axes_in,
    canvas,
    draw_outline,
    heading,
    mark_sides,
    sheet,
)
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.orientation import displayed_shape, pixel_aspect, radiological, slice_labels
from PyPeTLib.records import VascularCurve
from PyPeTLib.typeset import typeset

#: The enhancement around a vessel is shown up to its peak, and at least up to this, in HU.
LEAST_RISE_HU = 40.0
#: Height of the title above a picture of a vessel, and of the grey scale below it, in inches.
VESSEL_TITLE_IN, SCALE_IN = 0.38, 0.3
#: Maps on which lesions are outlined.
LESION_MAPS = ("cbf", "tmax")


def lesions_figure(analysis: Analysis) -> Figure:
    """Return core in red and hypoperfusion in yellow: tinted on the scan without contrast, outlined on two maps.

    The line around the core is solid, that around hypoperfusion dashed: nobody needs the colours to tell them apart.

    Parameters
    ----------
    analysis : Analysis
        The run, with lesions that are known (``analysis.lesions.hypoperfusion``).
    """
    geometry, maps = analysis.series.geometry, dict(analysis.maps.items())
    brain = radiological(analysis.brain.values, geometry)
    late = radiological(dict(analysis.lesions.masks())["hypoperfusion"].values, geometry)
    chosen, crop = spread_slices(late if late.any() else brain, LESION_SLICES), brain_crop(brain)

    masks = dict(analysis.lesions.masks())

    def marks(*, filled: bool) -> list[Mark]:
        late = "mismatch" if filled and "mismatch" in masks else "hypoperfusion"  # tints do not cover each other
        colours = {late: HYPOPERFUSION_COLOUR, "core": CORE_COLOUR}
        found = [
            Mark(tiles(masks[name], chosen, crop), colour, filled, dashed=name != "core")
            for name, colour in colours.items()
            if name in masks
        ]
        return found if filled else found[::-1]  # dashes on top, where both have the same edge

    scan = Image(baseline_hu(analysis), geometry, "HU")
    strips = [Strip("CT", "HU", tiles(scan, chosen, crop), BRAIN_HU, marks=marks(filled=True))]
    for name in LESION_MAPS:
        image, window = maps[name], MAP_WINDOWS[name]
        colours = map_colours(image.unit, analysis.settings.colours)
        strips.append(
            Strip(MAP_LABELS[name], image.unit, tiles(image, chosen, crop), window, colours, marks=marks(filled=False))
        )
    note = f"Core red, solid line; hypoperfusion yellow, dashed ({analysis.settings.lesion_rule})"
    labels = slice_labels(geometry)
    return sheet(analysis.series.name, note, [labels[k] for k in chosen], strips, pixel_aspect(geometry))


def vessels_figure(analysis: Prepared) -> Figure:
    """Return the slice with most voxels of the arterial input and, below, of the venous output, where they have any.

    Each row has the CT without contrast with the voxels tinted, the enhancement at the peak, and a close-up.
    """
    rows = [("AIF", analysis.aif, PURPLE)]
    if analysis.vof is not None:
        rows.append(("VOF", analysis.vof, VEIN_COLOUR))
    rows = [row for row in rows if row[1].mask.values.any()]
    lines, columns = displayed_shape(analysis.series.geometry)
    height_in = 2.94 * lines * pixel_aspect(analysis.series.geometry) / columns
    step_in = VESSEL_TITLE_IN + height_in + SCALE_IN
    figure = canvas(9.0, TITLE_IN + step_in * len(rows))
    names = {"AIF": "arterial input (AIF)", "VOF": "venous output (VOF)"}
    heading(figure, analysis.series.name, f"Place of {' and '.join(names[name] for name, *_ in rows)}")
    for k, (name, curve, colour) in enumerate(rows):
        top_in = TITLE_IN + step_in * k + VESSEL_TITLE_IN
        panels = [axes_in(figure, 3.0 * j + 0.03, top_in, 2.94, height_in) for j in range(3)]
        draw_vessel(panels, analysis, curve, name, colour)
    return figure


def draw_vessel(
    panels: Sequence[Axes], analysis: Prepared, curve: VascularCurve, name: str = "AIF", colour: str = PURPLE
) -> None:
    """Draw on three axes the slice with most voxels of a vessel: CT, tinted; enhancement at its peak; close-up.

    Below the first two is the grey scale, for which there has to be room; that of the close-up is the second.
    A curve that the user gave has no voxels: the slice is the one with most brain, and there is no close-up.
    """
    geometry = analysis.series.geometry
    mask = radiological(curve.mask.values, geometry)
    shown = mask if mask.any() else radiological(analysis.brain.values, geometry)
    place = int(shown.sum(axis=(1, 2)).argmax())
    voxels, aspect = mask[place], pixel_aspect(geometry)
    before_hu, rise_hu = _vessel_hu(analysis, curve, place)
    rise_window = 0.0, max(LEAST_RISE_HU, float(curve.measured_hu.max()))
    before, rise = window_grey(before_hu, BRAIN_HU), window_grey(rise_hu, rise_window)
    title = f"{name} on CT before contrast, {slice_labels(geometry)[place]}"
    _picture(panels[0], highlighted(before, voxels, colour), aspect, title)
    _picture(panels[1], rise, aspect, f"Enhancement at {analysis.series.times_s[peak_frame(curve)]:.4g} s")
    for axes, window in zip(panels, (BRAIN_HU, rise_window), strict=False):
        _scale(axes, window)
    if not voxels.any():
        _note(panels[2], f"{name} supplied as a curve:\nno voxels to show")
        return
    box = _close_up(voxels)
    _picture(panels[2], rise[box], aspect, f"Close-up, {name} outlined")
    for axes in panels[:2]:
        _frame(axes, box, colour)
    draw_outline(panels[2], voxels[box], colour)


def highlighted(picture: FloatArray, voxels: MaskArray, colour: str = PURPLE) -> FloatArray:
    """Return an RGB picture with some pixels tinted, purple as the arterial input is."""
    tinted = picture.copy()
    tinted[voxels] = 0.15 * picture[voxels] + 0.85 * np.asarray(to_rgb(colour))
    return tinted


def _vessel_hu(analysis: Prepared, curve: VascularCurve, place: int) -> tuple[Array, Array]:
    """Return the displayed slice ``place`` before contrast and its rise at the peak of a vessel, both in HU."""
    turned = radiological(analysis.series.values, analysis.series.geometry)[:, place]
    before = turned[: analysis.bolus.baseline_frames].mean(axis=0)
    peak = peak_frame(curve)
    return before, turned[max(0, peak - 1) : peak + 2].mean(axis=0) - before


def _close_up(voxels: MaskArray) -> tuple[slice, slice]:
    """Return a square around the marked pixels, a quarter of the picture wide or as large as they are."""
    rows, columns = np.nonzero(voxels)
    half = max(int(np.ptp(rows)), int(np.ptp(columns)), min(voxels.shape) // 4) // 2 + 2
    limits = []
    for lines, size in ((rows, voxels.shape[0]), (columns, voxels.shape[1])):
        middle = int(np.clip((lines.min() + lines.max()) // 2, half, max(half, size - half - 1)))
        limits.append(slice(max(0, middle - half), middle + half + 1))
    return limits[0], limits[1]


def _picture(axes: Axes, picture: Array, aspect: float, title: str) -> None:
    """Draw one picture with its title."""
    axes.imshow(picture, aspect=aspect, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, color=THEMES["dark"]["ink"], fontsize=9, pad=6)
    mark_sides(axes, 0.0, picture.shape[1], picture.shape[0])


def _scale(axes: Axes, window: Window) -> None:
    """Draw below a picture how bright the HU of a window are."""
    bar = axes.inset_axes((0.3, -0.065, 0.4, 0.03))
    bar.imshow(np.linspace(0.0, 1.0, 256)[None], cmap=GREY, aspect="auto")
    bar.set_axis_off()
    style: dict[str, Any] = {"color": THEMES["dark"]["quiet"], "fontsize": 8, "va": "center"}
    for x, side, text in ((0.28, "right", f"{window[0]:.0f}"), (0.72, "left", f"{window[1]:.0f} HU")):
        axes.text(x, -0.052, typeset(text), ha=side, transform=axes.transAxes, **style)


def _note(axes: Axes, text: str) -> None:
    """Write a remark where there is no picture."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, color=THEMES["dark"]["quiet"], fontsize=9, ha="center", transform=axes.transAxes)


def _frame(axes: Axes, box: tuple[slice, slice], colour: str) -> None:
    """Outline a part of a picture."""
    rows, columns = box
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.0))
