"""Pictures of an analysis, from Analysis to a matplotlib Figure: radiological orientation, fixed windows, no pyplot."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from PyPeTLib.records import Analysis, FloatArray, Geometry, Image, MaskArray, VascularCurve
from PyPeTLib.settings import Settings

Theme = Literal["light", "dark"]
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
#: Names of the maps as they are printed.
MAP_LABELS = {"cbf": "CBF", "cbv": "CBV", "mtt": "MTT", "tmax": "Tmax", "ttp": "TTP", "delay": "Delay"}
#: Perceptually even colours: one map for flow and volume, one for times, one for HU.
FLOW_COLOURS, TIME_COLOURS, GREY = "inferno", "viridis", "gray"
#: Display ranges in HU: brain tissue, projections with vessels, enhancement.
BRAIN_HU, VESSELS_HU, ENHANCEMENT_HU = (0.0, 80.0), (0.0, 250.0), (0.0, 30.0)
#: The enhancement around the arterial input is shown up to its peak, and at least up to this, in HU.
LEAST_RISE_HU = 40.0
#: The arterial input is purple wherever it is shown.
PURPLE = "#b14dff"
#: Most slices that a montage shows, and the smallest brain area, as a share of the largest, worth a column.
MOST_SLICES, LEAST_AREA = 8, 0.25
#: Resolution of the pictures in dots per inch.
DPI = 150
#: Longest part of a scan's name that is printed into a picture, in characters.
LONGEST_NAME = 60

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
_METHODS = {
    "bSVD": "bSVD, cut-off {s.bsvd_cutoff:.3g}",
    "sSVD": "sSVD, cut-off {s.ssvd_cutoff:.3g}",
    "oSVD": "oSVD, oscillation index {s.oscillation_index:.3g}",
    "tikhonov": "Tikhonov, strength {s.tikhonov_strength:.3g}",
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
    geometry = analysis.series.geometry
    brain = radiological(analysis.brain.values, geometry)
    chosen, crop = spread_slices(brain), brain_crop(brain)
    strips = [
        Strip(MAP_LABELS[name], image.unit, tiles(image, chosen, crop), MAP_WINDOWS[name], map_colours(image.unit))
        for name, image in analysis.maps.items()
    ]
    labels = slice_labels(geometry)
    note = f"Perfusion maps · deconvolution: {method_label(analysis.settings)}"
    return sheet(analysis.series.name, note, [labels[k] for k in chosen], strips, pixel_aspect(geometry))


def curves_figure(analysis: Analysis, theme: Theme = "light") -> Figure:
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


def artery_figure(analysis: Analysis) -> Figure:
    """Return the slice with most AIF voxels: CT with the AIF in purple, enhancement at the arterial peak, close-up."""
    geometry = analysis.series.geometry
    rows, columns = displayed_shape(geometry)
    height_in = 2.94 * rows * pixel_aspect(geometry) / columns
    figure = canvas(9.0, height_in + 0.45)
    draw_artery([axes_in(figure, 3.0 * k + 0.03, 0.38, 2.94, height_in) for k in range(3)], analysis)
    return figure


def draw_artery(panels: Sequence[Axes], analysis: Analysis) -> None:
    """Draw on three axes the slice with most AIF voxels: CT, AIF in purple; enhancement at its peak; close-up."""
    geometry = analysis.series.geometry
    mask = radiological(analysis.aif.mask.values, geometry)
    place = int(mask.sum(axis=(1, 2)).argmax())
    voxels, aspect = mask[place], pixel_aspect(geometry)
    before_hu, rise_hu = _artery_hu(analysis, place)
    before = window_grey(before_hu, BRAIN_HU)
    rise = window_grey(rise_hu, (0.0, max(LEAST_RISE_HU, float(analysis.aif.measured_hu.max()))))
    box = _close_up(voxels)
    _picture(panels[0], highlighted(before, voxels), aspect, f"CT before contrast, {slice_labels(geometry)[place]}")
    _picture(panels[1], rise, aspect, f"Enhancement at {analysis.series.times_s[peak_frame(analysis.aif)]:.4g} s")
    _picture(panels[2], rise[box], aspect, "Close-up, AIF outlined")
    for axes in panels[:2]:
        _frame(axes, box)
    _outline(panels[2], voxels[box])


def draw_vessels(axes: Axes, analysis: Analysis, theme: Theme) -> None:
    """Draw arterial input (measured, scaled, fitted) and venous output in HU over s."""
    colours = _COLOURS[theme]
    artery, times = analysis.aif, analysis.series.times_s
    _style(axes, theme)
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


def draw_brain(axes: Axes, analysis: Analysis, theme: Theme) -> None:
    """Draw the mean curve of the brain in HU over s, on a scale of its own."""
    colours = _COLOURS[theme]
    _style(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=False)
    curve = analysis.curves.mean(analysis.brain.values)
    axes.plot(analysis.series.times_s, curve, "-", color=colours["brain"], lw=1.8, label="brain mean")
    axes.set_ylabel("HU", color=colours["ink"], fontsize=9)
    axes.legend(loc="upper right", frameon=False, fontsize=8.5, labelcolor=colours["ink"], handlelength=2.2)


def draw_bolus(axes: Axes, analysis: Analysis, theme: Theme, shown_s: FloatArray) -> None:
    """Draw the contrast measure over s with its threshold, the arrival and dots at the times ``shown_s``."""
    colours, bolus, times = _COLOURS[theme], analysis.bolus, analysis.series.times_s
    _style(axes, theme)
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


def png(figure: Figure) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi, facecolor=figure.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def radiological(values: Array, geometry: Geometry) -> Array:
    """Return a view with axes (..., slice, row, column): from feet to head, to posterior, to the patient's left.

    So the patient's left is on the right of the picture and the nose is on top. Each grid axis is taken for the patient
    axis it runs along most; nothing is resampled.

    Parameters
    ----------
    values : ndarray, shape (..., z, y, x)
        Voxels on the grid of ``geometry``.
    geometry : Geometry
        Grid in LPS.

    Examples
    --------
    >>> flipped = Geometry((2, 1, 1), (1.0, 1.0, 1.0), direction=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    >>> radiological(np.array([[["left", "right"]]]), flipped).tolist()
    [[['right', 'left']]]
    """
    lead = values.ndim - 3
    along = _patient_axes(geometry)
    turned = np.transpose(values, (*range(lead), *(lead + 2 - along[k] for k in (2, 1, 0))))
    backwards = [geometry.axes[k, along[k]] < 0 for k in (2, 1, 0)]
    flipped: Array = np.flip(turned, tuple(lead + k for k in range(3) if backwards[k]))
    return flipped


def displayed_shape(geometry: Geometry) -> tuple[int, int]:
    """Return rows and columns of a displayed slice."""
    along = _patient_axes(geometry)
    return geometry.size[along[1]], geometry.size[along[0]]


def pixel_aspect(geometry: Geometry) -> float:
    """Return height over width of a displayed pixel in mm."""
    along = _patient_axes(geometry)
    return geometry.spacing_mm[along[1]] / geometry.spacing_mm[along[0]]


def slice_labels(geometry: Geometry) -> list[str]:
    """Return where each displayed slice lies: mm superior (S) or inferior (I) of the scan's origin.

    Examples
    --------
    >>> slice_labels(Geometry((4, 4, 3), (1.0, 1.0, 5.0), (0.0, 0.0, -5.0)))
    ['I 5 mm', 'S 0 mm', 'S 5 mm']
    """
    return [f"{'I' if round(height) < 0 else 'S'} {abs(round(height))} mm" for height in _heights_mm(geometry)]


def spread_slices(brain: MaskArray, most: int = MOST_SLICES) -> list[int]:
    """Return at most ``most`` evenly spread slices that hold enough brain; its shape is (slice, row, column)."""
    area = brain.sum(axis=(1, 2))
    worthy = np.flatnonzero(area >= max(1, LEAST_AREA * area.max()))
    places = np.linspace(0, len(worthy) - 1, min(most, len(worthy))).round().astype(int)
    return [int(k) for k in worthy[places]]


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


def baseline_hu(analysis: Analysis) -> npt.NDArray[np.float32]:
    """Return the mean of the frames before the bolus in HU, shape (z, y, x)."""
    frames = analysis.series.values[: analysis.bolus.baseline_frames]
    return np.asarray(frames.mean(axis=0, dtype=np.float32))


def window_grey(values: Array, window: Window) -> FloatArray:
    """Return HU as grey RGB from 0 to 1, shape (row, column, 3)."""
    share = np.clip((values - window[0]) / (window[1] - window[0]), 0.0, 1.0)
    return np.repeat(share[..., None], 3, axis=-1)


def highlighted(picture: FloatArray, voxels: MaskArray) -> FloatArray:
    """Return an RGB picture with some pixels tinted purple."""
    tinted = picture.copy()
    tinted[voxels] = 0.15 * picture[voxels] + 0.85 * np.asarray(to_rgb(PURPLE))
    return tinted


def map_colours(unit: str) -> str:
    """Return the colours for a map of this unit: times have their own."""
    return TIME_COLOURS if unit == "s" else FLOW_COLOURS


def method_label(settings: Settings) -> str:
    """Return the deconvolution and its regularisation in a few words."""
    return _METHODS.get(settings.method, settings.method).format(s=settings)


def peak_frame(curve: VascularCurve) -> int:
    """Return the frame in which a vascular curve is highest."""
    return int(curve.measured_hu.argmax())


def printable(name: str) -> str:
    """Return a name that the font can print, shortened."""
    known = "".join(letter if letter.isprintable() and ord(letter) < 0x250 else "?" for letter in name)
    return known if len(known) <= LONGEST_NAME else known[: LONGEST_NAME - 1] + "…"


def _patient_axes(geometry: Geometry) -> tuple[int, ...]:
    """Return the grid axis (0 is x) that runs along each patient axis L, P, S: the most parallel assignment."""
    parallel = np.abs(geometry.axes)
    return max(itertools.permutations(range(3)), key=lambda order: sum(parallel[k, order[k]] for k in range(3)))


def _heights_mm(geometry: Geometry) -> FloatArray:
    """Return the height of the middle of each displayed slice in mm, rising."""
    axis = _patient_axes(geometry)[2]
    middle = geometry.corners_mm()[:, 2].mean()
    steps = np.arange(geometry.size[axis]) - (geometry.size[axis] - 1) / 2
    return np.asarray(middle + steps * geometry.spacing_mm[axis] * abs(geometry.axes[2, axis]))


def _artery_hu(analysis: Analysis, place: int) -> tuple[Array, Array]:
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


def _style(axes: Axes, theme: Theme) -> None:
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


def _mark_arrival(axes: Axes, analysis: Analysis, theme: Theme, *, labelled: bool) -> None:
    """Draw a line at the bolus arrival."""
    arrival, quiet = analysis.bolus.arrival_s, _COLOURS[theme]["quiet"]
    axes.axvline(arrival, color=quiet, lw=1.0, ls=(0, (4, 3)))
    if labelled:
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        early = arrival < 0.18 * float(analysis.series.times_s[-1])
        place |= {"ha": "left" if early else "right", "va": "top", "fontsize": 8.5, "color": quiet}
        axes.annotate(f"bolus arrival {arrival:.1f} s", (arrival, 1.0), (5 if early else -5, -2), **place)
