"""Pictures of an analysis, from Analysis to a matplotlib Figure: radiological orientation, fixed windows, no pyplot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from PyPeTLib.display import (
    BRAIN_HU,
    GREY,
    MAP_LABELS,
    MAP_WINDOWS,
    PURPLE,
    SD_SHARE,
    Array,
    Window,
    brain_crop,
    map_colours,
    method_label,
    peak_frame,
    printable,
    spread_slices,
    tiles,
    window_grey,
)
from PyPeTLib.orientation import displayed_shape, pixel_aspect, radiological, slice_labels
from PyPeTLib.records import Analysis, FloatArray, Image, MaskArray, Motion, Prepared

Theme = Literal["light", "dark"]
#: The enhancement around the arterial input is shown up to its peak, and at least up to this, in HU.
LEAST_RISE_HU = 40.0
#: Resolution of the pictures in dots per inch.
DPI = 150
#: Compression of PNG: 6, the usual one, takes 1.6 times as long for 1 % less.
COMPRESS_LEVEL = 4
_LABEL_IN, _BAR_IN, _STRIP_IN, _HEAD_IN, _EDGE_IN = 1.05, 0.55, 8.4, 0.95, 0.14
_WIDEST_TILE_IN, _GAP = 1.75, 3
_COLOURS: Mapping[Theme, Mapping[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1c2127",
        "quiet": "#59626d",
        "line": "#e2e5e9",
        "artery": "#7a27c4",
        "vein": "#0b7285",
        "brain": "#59626d",
    },
    "dark": {
        "paper": "#000000",
        "ink": "#eceef0",
        "quiet": "#a3abb4",
        "line": "#2b2f35",
        "artery": "#c489ff",
        "vein": "#4fc3d9",
        "brain": "#a3abb4",
    },
}


@dataclass(frozen=True)
class Strip:
    """One row of a sheet: pictures of one size that share window and colours.

    Parameters
    ----------
    label, unit : str
        What is shown; no colour bar without a unit.
    tiles : sequence of ndarray, shape (row, column)
        The pictures, radiological; NaN is black.
    window : tuple of float
        Values of the first and the last colour.
    colours : str
        Name of the colour map.
    """

    label: str
    unit: str
    tiles: Sequence[Array]
    window: Window
    colours: str = GREY


def maps_figure(analysis: Analysis) -> Figure:
    """Return the montage of all maps: one row a map, evenly spread slices from feet to head.

    Parameters
    ----------
    analysis : Analysis
        The run; its maps are shown in `MAP_WINDOWS`, black outside the brain.
    """
    strips = [(MAP_LABELS[name], image, MAP_WINDOWS[name]) for name, image in analysis.maps.items()]
    return _montage(analysis, f"Perfusion maps · deconvolution: {method_label(analysis.settings)}", strips)


def uncertainty_figure(analysis: Analysis) -> Figure:
    """Return the montage of the standard deviation of every map that has one, in half the map's window.

    Parameters
    ----------
    analysis : Analysis
        The run, by a method that states standard deviations (``analysis.maps.sd``).
    """
    strips = [
        (f"SD of {MAP_LABELS[name]}", image, (0.0, SD_SHARE * MAP_WINDOWS[name][1]))
        for name, image in analysis.maps.sd.items()
    ]
    return _montage(analysis, f"Standard deviation of a voxel · {method_label(analysis.settings)}", strips)


def _montage(analysis: Analysis, note: str, rows: list[tuple[str, Image, Window]]) -> Figure:
    """Return evenly spread slices of some images, one row an image, black outside the brain."""
    geometry = analysis.series.geometry
    brain = radiological(analysis.brain.values, geometry)
    chosen, crop = spread_slices(brain), brain_crop(brain)
    strips = [
        Strip(label, image.unit, tiles(image, chosen, crop), window, map_colours(image.unit))
        for label, image, window in rows
    ]
    labels = slice_labels(geometry)
    return sheet(analysis.series.name, note, [labels[k] for k in chosen], strips, pixel_aspect(geometry))


def curves_figure(analysis: Prepared, theme: Theme = "light") -> Figure:
    """Return the vascular curves and, below on an axis of its own, the brain's mean curve.

    Parameters
    ----------
    analysis : Analysis
        The run.
    theme : {"light", "dark"}
        Dark curves on white or light curves on black.
    """
    figure = canvas(9.0, 4.9, _COLOURS[theme]["paper"])
    vessels, brain = axes_in(figure, 0.77, 0.17, 8.09, 3.0), axes_in(figure, 0.77, 3.44, 8.09, 0.94)
    brain.sharex(vessels)
    draw_vessels(vessels, analysis, theme)
    draw_brain(brain, analysis, theme)
    vessels.tick_params(labelbottom=False)
    brain.set_xlabel("time in s", color=_COLOURS[theme]["ink"], fontsize=9)
    figure.align_ylabels([vessels, brain])
    return figure


def motion_figure(motion: Motion, theme: Theme = "light") -> Figure:
    """Return the shifts in mm and, below, the turns in degrees of the head over time.

    Parameters
    ----------
    motion : Motion
        The poses; frames that were left out are marked by a cross.
    theme : {"light", "dark"}
        Dark curves on white or light curves on black.
    """
    figure = canvas(9.0, 4.3, _COLOURS[theme]["paper"])
    shift, turn = axes_in(figure, 0.77, 0.17, 8.09, 2.0), axes_in(figure, 0.77, 2.4, 8.09, 1.4)
    turn.sharex(shift)
    draw_motion(shift, motion, motion.shifts_mm, "shift in mm", theme)
    shift.plot(motion.times_s, motion.displacement_mm, "--", color=_COLOURS[theme]["ink"], lw=1.2, label="skull, most")
    shift.legend(loc="upper left", frameon=False, fontsize=8.5, labelcolor=_COLOURS[theme]["ink"], ncols=4)
    draw_motion(turn, motion, motion.rotations_degrees, "turn in °", theme)
    shift.tick_params(labelbottom=False)
    turn.set_xlabel("time in s", color=_COLOURS[theme]["ink"], fontsize=9)
    figure.align_ylabels([shift, turn])
    return figure


def draw_motion(axes: Axes, motion: Motion, values: FloatArray, label: str, theme: Theme) -> None:
    """Draw three parameters of the head's pose, shape (t, 3), over s: x to the left, y to the back, z up."""
    colours = _COLOURS[theme]
    style_axes(axes, theme)
    for name, key, line, column in zip(
        ("x, left", "y, back", "z, up"), ("artery", "vein", "brain"), ("-", "-", "-."), values.T, strict=True
    ):
        axes.plot(motion.times_s, column, line, color=colours[key], lw=1.6, label=name)
        axes.plot(motion.times_s[motion.left_out], column[motion.left_out], "x", color=colours["ink"], ms=5)
    axes.set_ylabel(label, color=colours["ink"], fontsize=9)
    axes.set_xlim(motion.times_s[0], motion.times_s[-1])


def artery_figure(analysis: Prepared) -> Figure:
    """Return the slice with most AIF voxels: CT with the AIF in purple, enhancement at the arterial peak, close-up."""
    geometry = analysis.series.geometry
    rows, columns = displayed_shape(geometry)
    height_in = 2.94 * rows * pixel_aspect(geometry) / columns
    figure = canvas(9.0, height_in + 0.45)
    draw_artery([axes_in(figure, 3.0 * k + 0.03, 0.38, 2.94, height_in) for k in range(3)], analysis)
    return figure


def draw_artery(panels: Sequence[Axes], analysis: Prepared) -> None:
    """Draw on three axes the slice with most AIF voxels: CT, AIF in purple; enhancement at its peak; close-up.

    A curve that the user gave has no voxels: the slice is the one with most brain, and there is no close-up.
    """
    geometry = analysis.series.geometry
    mask = radiological(analysis.aif.mask.values, geometry)
    shown = mask if mask.any() else radiological(analysis.brain.values, geometry)
    place = int(shown.sum(axis=(1, 2)).argmax())
    voxels, aspect = mask[place], pixel_aspect(geometry)
    before_hu, rise_hu = _artery_hu(analysis, place)
    before = window_grey(before_hu, BRAIN_HU)
    rise = window_grey(rise_hu, (0.0, max(LEAST_RISE_HU, float(analysis.aif.measured_hu.max()))))
    _picture(panels[0], highlighted(before, voxels), aspect, f"CT before contrast, {slice_labels(geometry)[place]}")
    _picture(panels[1], rise, aspect, f"Enhancement at {analysis.series.times_s[peak_frame(analysis.aif)]:.4g} s")
    if not voxels.any():
        _note(panels[2], "AIF supplied as a curve:\nno voxels to show")
        return
    box = _close_up(voxels)
    _picture(panels[2], rise[box], aspect, "Close-up, AIF outlined")
    for axes in panels[:2]:
        _frame(axes, box)
    _outline(panels[2], voxels[box])


def draw_vessels(axes: Axes, analysis: Prepared, theme: Theme) -> None:
    """Draw arterial input (measured, scaled, fitted) and venous output in HU over s."""
    colours = _COLOURS[theme]
    artery, times = analysis.aif, analysis.series.times_s
    style_axes(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=True)
    scaled = artery.partial_volume_factor != 1.0
    style: dict[str, Any] = {"color": colours["artery"], "marker": "o", "ms": 2.6}
    axes.plot(times, artery.measured_hu, lw=1.0, alpha=0.75 if scaled else 1.0, label="AIF, measured", **style)
    if scaled:
        label = f"AIF × {artery.partial_volume_factor:.2f}, deconvolved"
        axes.plot(times, artery.curve_hu, "-", color=colours["artery"], lw=2.0, label=label)
    if artery.fit is not None:
        fine = np.linspace(times[0], times[-1], 400)
        axes.plot(fine, artery.fit(fine), "--", color=colours["ink"], lw=1.2, label="gamma-variate fit, first pass")
    if analysis.vof is not None:
        axes.plot(times, analysis.vof.measured_hu, "-", color=colours["vein"], lw=1.6, label="VOF, measured")
    axes.set_ylabel("enhancement in HU", color=colours["ink"], fontsize=9)
    axes.set_xlim(times[0], times[-1])
    axes.legend(loc="upper right", frameon=False, fontsize=8.5, labelcolor=colours["ink"], handlelength=2.2)


def draw_brain(axes: Axes, analysis: Prepared, theme: Theme) -> None:
    """Draw the mean curve of the brain in HU over s, on a scale of its own."""
    colours = _COLOURS[theme]
    style_axes(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=False)
    curve = analysis.curves.mean(analysis.brain.values)
    axes.plot(analysis.series.times_s, curve, "-", color=colours["brain"], lw=1.8, label="brain mean")
    axes.set_ylabel("HU", color=colours["ink"], fontsize=9)
    axes.legend(loc="upper right", frameon=False, fontsize=8.5, labelcolor=colours["ink"], handlelength=2.2)


def draw_bolus(axes: Axes, analysis: Prepared, theme: Theme, shown_s: FloatArray) -> None:
    """Draw the contrast measure over s with its threshold, the arrival and dots at the times ``shown_s``."""
    colours, bolus, times = _COLOURS[theme], analysis.bolus, analysis.series.times_s
    style_axes(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=True)
    axes.axhline(bolus.threshold, color=colours["quiet"], lw=0.9, ls=":")
    axes.plot(times, bolus.signal, "-", color=colours["vein"], lw=1.8)
    dots: dict[str, Any] = {"color": colours["ink"], "ms": 4.5, "clip_on": False, "zorder": 3}
    axes.plot(shown_s, np.interp(shown_s, times, bolus.signal), "o", **dots)
    axes.set_xlim(times[0], times[-1])
    axes.set_xlabel("time in s", color=colours["ink"], fontsize=9)
    axes.set_ylabel(f"contrast measure\n1 = {bolus.rise_hu:.0f} HU", color=colours["ink"], fontsize=9)


def sheet(
    name: str, note: str, heads: Sequence[str], strips: Sequence[Strip], aspect: float, below_in: float = 0.0
) -> Figure:
    """Return rows of pictures on black, with title, column heads, R and L, and a colour bar a row.

    Parameters
    ----------
    name, note : str
        Title and the line below it.
    heads : sequence of str
        One text over each column.
    strips : sequence of Strip
        The rows, each with as many tiles as there are heads.
    aspect : float
        Height of a pixel over its width in mm.
    below_in : float
        Free height at the bottom in inches, for what the caller adds.
    """
    rows, columns = strips[0].tiles[0].shape
    tile_in = min(_WIDEST_TILE_IN, _STRIP_IN / len(heads))
    width_in = tile_in * len(heads)
    height_in = tile_in * rows * aspect / columns
    step_in = height_in + _EDGE_IN / 2
    total = (_LABEL_IN + width_in + _BAR_IN, _HEAD_IN + step_in * len(strips) + _EDGE_IN + below_in)
    figure = canvas(*total)
    heading(figure, name, note)
    for k, head in enumerate(heads):
        x = (_LABEL_IN + (k + 0.5) * tile_in) / total[0]
        style: dict[str, Any] = {"color": _COLOURS["dark"]["quiet"], "fontsize": 8, "ha": "center", "va": "bottom"}
        figure.text(x, 1 - (_HEAD_IN - 0.06) / total[1], head, **style)
    for k, strip in enumerate(strips):
        top_in = _HEAD_IN + k * step_in
        _draw_strip(axes_in(figure, _LABEL_IN, top_in, width_in, height_in), strip, aspect)
        if strip.unit:
            shrink_in = 0.08 * height_in
            bar = axes_in(figure, _LABEL_IN + width_in + 0.1, top_in + shrink_in, 0.1, height_in - 2 * shrink_in)
            _draw_bar(bar, strip)
    return figure


def canvas(width_in: float, height_in: float, paper: str = "black") -> Figure:
    """Return an empty figure that draws without a window."""
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor=paper)
    FigureCanvasAgg(figure)
    return figure


def heading(figure: Figure, name: str, note: str) -> None:
    """Write title and the line below it into the upper left corner of a black figure."""
    colours = _COLOURS["dark"]
    across, down = figure.get_size_inches()
    left, place = _EDGE_IN / across, {"ha": "left", "va": "top", "parse_math": False}
    title: dict[str, Any] = {"color": colours["ink"], "fontsize": 12, "weight": "bold", **place}
    below: dict[str, Any] = {"color": colours["quiet"], "fontsize": 8.5, **place}
    figure.text(left, 1 - 0.13 / down, printable(name), **title)
    figure.text(left, 1 - 0.38 / down, f"{note} · research use only", **below)


def axes_in(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1.0 - (top + height) / down, width / across, height / down))


def theme_colours(theme: Theme) -> Mapping[str, str]:
    """Return the colours of a theme by their use: paper, ink, quiet, line, artery, vein, brain."""
    return _COLOURS[theme]


def style_axes(axes: Axes, theme: Theme) -> None:
    """Give axes quiet lines and the colours of the theme."""
    colours = _COLOURS[theme]
    axes.set_facecolor(colours["paper"])
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(colours["quiet"])
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=colours["ink"], labelsize=8.5, length=3, width=0.8)
    axes.grid(axis="y", color=colours["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ymargin(0.13)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    buffer, colour = io.BytesIO(), figure.get_facecolor()
    pil: dict[str, Any] = {"compress_level": COMPRESS_LEVEL}
    figure.savefig(buffer, format="png", dpi=figure.dpi, facecolor=colour, metadata={"Software": None}, pil_kwargs=pil)
    return buffer.getvalue()


def highlighted(picture: FloatArray, voxels: MaskArray) -> FloatArray:
    """Return an RGB picture with some pixels tinted purple."""
    tinted = picture.copy()
    tinted[voxels] = 0.15 * picture[voxels] + 0.85 * np.asarray(to_rgb(PURPLE))
    return tinted


def _artery_hu(analysis: Prepared, place: int) -> tuple[Array, Array]:
    """Return the displayed slice ``place`` before contrast and its rise at the arterial peak, both in HU."""
    turned = radiological(analysis.series.values, analysis.series.geometry)[:, place]
    before = turned[: analysis.bolus.baseline_frames].mean(axis=0)
    peak = peak_frame(analysis.aif)
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
    axes.set_title(title, color=_COLOURS["dark"]["ink"], fontsize=9, pad=6)
    _sides(axes, 0.0, picture.shape[1], picture.shape[0])


def _note(axes: Axes, text: str) -> None:
    """Write a remark where there is no picture."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, color=_COLOURS["dark"]["quiet"], fontsize=9, ha="center", transform=axes.transAxes)


def _frame(axes: Axes, box: tuple[slice, slice]) -> None:
    """Outline a part of a picture."""
    rows, columns = box
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=PURPLE, linewidth=1.0))


def _outline(axes: Axes, voxels: MaskArray) -> None:
    """Draw the edges between marked and other pixels."""
    inside = np.pad(voxels, 1)
    rows, columns = np.nonzero(inside[1:] != inside[:-1])
    across = [((x - 1.5, y - 0.5), (x - 0.5, y - 0.5)) for y, x in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(inside[:, 1:] != inside[:, :-1])
    down = [((x - 0.5, y - 1.5), (x - 0.5, y - 0.5)) for y, x in zip(rows, columns, strict=True)]
    axes.add_collection(LineCollection(across + down, colors=PURPLE, linewidths=1.6, capstyle="projecting"))


def _sides(axes: Axes, left: float, columns: int, rows: int) -> None:
    """Mark right and left of the patient in the upper corners of a picture that begins at column ``left``."""
    style: dict[str, Any] = {"color": "#d0d4d8", "fontsize": 7, "va": "top"}
    axes.text(left + 0.02 * columns, 0.02 * rows, "R", ha="left", **style)
    axes.text(left + 0.97 * columns, 0.02 * rows, "L", ha="right", **style)


def _draw_strip(axes: Axes, strip: Strip, aspect: float) -> None:
    """Draw pictures side by side as one image: much faster than axes for each."""
    rows, columns = strip.tiles[0].shape
    joined = np.full((rows, len(strip.tiles) * (columns + _GAP) - _GAP), np.nan, dtype=np.float32)
    for k, tile in enumerate(strip.tiles):
        joined[:, k * (columns + _GAP) : k * (columns + _GAP) + columns] = tile
    axes.imshow(
        joined, cmap=_colour_map(strip), norm=Normalize(*strip.window), aspect="auto", interpolation="antialiased"
    )
    axes.set_axis_off()
    for k in range(len(strip.tiles)):
        _sides(axes, k * (columns + _GAP), columns, rows)
    style: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right"}
    colours, lift = _COLOURS["dark"], 1 if strip.unit else -5
    axes.annotate(
        strip.label, (0, 0.5), (-8, lift), color=colours["ink"], fontsize=11, weight="bold", va="bottom", **style
    )
    axes.annotate(strip.unit, (0, 0.5), (-8, -2), color=colours["quiet"], fontsize=8, va="top", **style)


def _draw_bar(axes: Axes, strip: Strip) -> None:
    """Draw a row's colour bar."""
    ink = _COLOURS["dark"]["ink"]
    bar = axes.figure.colorbar(ScalarMappable(Normalize(*strip.window), _colour_map(strip)), cax=axes)
    ticks = np.linspace(*strip.window, 3)
    bar.set_ticks(list(ticks), labels=[f"{tick:g}" for tick in ticks])
    bar.ax.tick_params(colors=ink, labelsize=7.5, length=2, width=0.6, pad=2)
    bar.outline.set_visible(False)


def _colour_map(strip: Strip) -> Colormap:
    return matplotlib.colormaps[strip.colours].with_extremes(bad="black")


def _mark_arrival(axes: Axes, analysis: Prepared, theme: Theme, *, labelled: bool) -> None:
    """Draw a line at the bolus arrival."""
    arrival, quiet = analysis.bolus.arrival_s, _COLOURS[theme]["quiet"]
    axes.axvline(arrival, color=quiet, lw=1.0, ls=(0, (4, 3)))
    if labelled:
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        early = arrival < 0.18 * float(analysis.series.times_s[-1])
        place |= {"ha": "left" if early else "right", "va": "top", "fontsize": 8.5, "color": quiet}
        axes.annotate(f"bolus arrival {arrival:.1f} s", (arrival, 1.0), (5 if early else -5, -2), **place)
