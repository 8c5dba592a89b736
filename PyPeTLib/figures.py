"""Pictures of an analysis as matplotlib Figures: radiological orientation, fixed windows and colours, no pyplot."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from PyPeTLib.analysis import Analysis, Maps
from PyPeTLib.display import (
    GREY,
    INVALID,
    MAP_LABELS,
    MAP_WINDOWS,
    RAINBOW_ANCHORS,
    RAINBOW_COLOURS,
    SD_SHARE,
    Array,
    Window,
    brain_crop,
    map_colours,
    method_label,
    printable,
    spread_slices,
    tiles,
)
from PyPeTLib.geometry import Image, MaskArray
from PyPeTLib.orientation import pixel_aspect, radiological, slice_labels
from PyPeTLib.typeset import typeset

Theme = Literal["light", "dark"]
#: Resolution of the pictures in dots per inch.
DPI = 150
#: What the files of pictures say they are by, and within how many bytes of their beginning.
MAKER, HEAD_BYTES = "PyPeT", 2000
#: Compression of PNG: 6, the usual one, takes 2.4 times as long for 8 % less.
COMPRESS_LEVEL = 2
#: Outlines of masks on maps are smoothed by a Gaussian of this standard deviation in pixels.
OUTLINE_PIXELS = 1.2
#: Width of these outlines and of the rim below them, in points.
OUTLINE_WIDTH, RIM_WIDTH = 1.1, 2.2
#: How much a filled mark covers what is below.
OPACITY = 0.55
_LABEL_IN, _BAR_IN, _STRIP_IN, _HEAD_IN, _EDGE_IN = 1.05, 0.6, 8.4, 0.95, 0.14
_WIDEST_TILE_IN, _GAP = 1.75, 3
#: Least width of a sheet in inches: what is written above a single slice has to end before the slice begins.
LEAST_IN = 5.0
#: Height of title and line below it, in inches, where nothing else is above the pictures.
TITLE_IN = 0.62
#: Letters of the title, and of the line below it, that fit into an inch.
_TITLE_LETTERS, _NOTE_LETTERS = 7, 14
#: Colours of pictures on light and on dark paper.
THEMES: Mapping[Theme, Mapping[str, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1c2127",
        "quiet": "#59626d",
        "line": "#e2e5e9",
        "artery": "#7a27c4",
        "vein": "#0b7285",
        "brain": "#59626d",
        "fail": "#9b1c2e",
    },
    "dark": {
        "paper": "#000000",
        "ink": "#eceef0",
        "quiet": "#a3abb4",
        "line": "#2b2f35",
        "artery": "#c489ff",
        "vein": "#4fc3d9",
        "brain": "#a3abb4",
        "fail": "#ff9aa6",
    },
}


@dataclass(frozen=True)
class Mark:
    """What is outlined, or tinted, in every picture of a row.

    Parameters
    ----------
    tiles : sequence of ndarray of bool, shape (row, column)
        A mask for each picture.
    colour : str
        Of the outline.
    filled : bool
        Whether the inside is tinted instead.
    dashed : bool
        Whether the outline is: what crosses or encloses another has another line, not only another colour.
    """

    tiles: Sequence[MaskArray]
    colour: str
    filled: bool = False
    dashed: bool = False


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
    marks : sequence of Mark
        What is outlined on top.
    """

    label: str
    unit: str
    tiles: Sequence[Array]
    window: Window
    colours: str = GREY
    marks: Sequence[Mark] = ()


def maps_figure(analysis: Analysis, title: str = "Perfusion maps") -> Figure:
    """Return the montage of all maps: one row a map, evenly spread slices from feet to head.

    Parameters
    ----------
    analysis : Analysis
        The run; its maps are shown in `MAP_WINDOWS`, black outside the brain.
    title : str
        What it is of, before the method.
    """
    return _montage(analysis, f"{title} · {method_label(analysis.settings)}", _map_rows(analysis.maps))


def reference_figure(analysis: Analysis, reference: Mapping[str, Image]) -> Figure:
    """Return the montage of reference maps in the slices, windows and colours of `maps_figure`.

    Parameters
    ----------
    analysis : Analysis
        The run.
    reference : mapping of str to Image
        Maps on the grid of the run, by name; shown inside its brain mask.
    """
    ours, brain = dict(analysis.maps.items()), analysis.brain.values
    masked = {
        name: replace(image, values=np.where(brain, image.values, np.nan), unit=ours[name].unit)
        for name, image in reference.items()
    }
    return _montage(analysis, "Reference maps", _map_rows(masked))


def uncertainty_figure(analysis: Analysis) -> Figure:
    """Return the montage of the standard deviation of every map that has one, in half the map's window.

    Parameters
    ----------
    analysis : Analysis
        The run, by a method that states standard deviations (``analysis.maps.sd``).
    """
    strips = [
        (f"SD {MAP_LABELS[name]}", image, (0.0, SD_SHARE * MAP_WINDOWS[name][1]))
        for name, image in analysis.maps.sd.items()
    ]
    return _montage(analysis, f"Standard deviation of a voxel · {method_label(analysis.settings)}", strips)


def _map_rows(maps: Maps | Mapping[str, Image]) -> list[tuple[str, Image, Window]]:
    return [(MAP_LABELS[name], image, MAP_WINDOWS[name]) for name, image in maps.items()]


def _montage(analysis: Analysis, note: str, rows: list[tuple[str, Image, Window]]) -> Figure:
    """Return evenly spread slices of some images, one row an image, black outside the brain."""
    geometry = analysis.series.geometry
    brain = radiological(analysis.brain.values, geometry)
    chosen, crop = spread_slices(brain), brain_crop(brain)
    colours = analysis.settings.colours
    strips = [
        Strip(label, image.unit, tiles(image, chosen, crop), window, map_colours(image.unit, colours))
        for label, image, window in rows
    ]
    labels = slice_labels(geometry)
    return sheet(analysis.series.name, note, [labels[k] for k in chosen], strips, pixel_aspect(geometry))


def sheet(
    name: str,
    note: str,
    heads: Sequence[str],
    strips: Sequence[Strip],
    aspect: float,
    below_in: float = 0.0,
    least_in: float = LEAST_IN,
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
    least_in : float
        Least width in inches, where that is wider than the pictures.
    """
    rows, columns = strips[0].tiles[0].shape
    tile_in = min(_WIDEST_TILE_IN, _STRIP_IN / len(heads))
    width_in = tile_in * len(heads)
    height_in = tile_in * rows * aspect / columns
    step_in = height_in + _EDGE_IN / 2
    across = max(least_in, _LABEL_IN + width_in + _BAR_IN)
    total = (across, _HEAD_IN + step_in * len(strips) + _EDGE_IN + below_in)
    figure = canvas(*total)
    heading(figure, name, note)
    for k, head in enumerate(heads):
        x = (_LABEL_IN + (k + 0.5) * tile_in) / total[0]
        style: dict[str, Any] = {"color": THEMES["dark"]["quiet"], "fontsize": 8, "ha": "center", "va": "bottom"}
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


def heading(figure: Figure, name: str, note: str, theme: Theme = "dark") -> None:
    """Write title, shortened, and the line below it, wrapped where long, into the upper left corner of a figure."""
    colours = THEMES[theme]
    across, down = figure.get_size_inches()
    left, place = _EDGE_IN / across, {"ha": "left", "va": "top", "parse_math": False}
    title: dict[str, Any] = {"color": colours["ink"], "fontsize": 12, "weight": "bold", **place}
    below: dict[str, Any] = {"color": colours["quiet"], "fontsize": 8.5, **place}
    figure.text(left, 1 - 0.13 / down, printable(name, _title_letters(figure)), **title)
    lines = textwrap.wrap(f"{note} · research use only", int(_NOTE_LETTERS * (across - 2 * _EDGE_IN)))
    figure.text(left, 1 - 0.38 / down, "\n".join(lines), **below)
    label = f"{printable(name)}: {' '.join(lines)}"  # a title of files, where some characters are none
    figure.set_label("".join(letter if letter.isprintable() else "?" for letter in label))


def mark_invalid(figure: Figure) -> Figure:
    """Return a figure whose title says that it is of a run that is marked invalid: it is passed on without its page."""
    title = figure.texts[0]
    title.set_text(INVALID + printable(title.get_text(), _title_letters(figure) - len(INVALID)))
    on_black = to_hex(figure.get_facecolor()) == THEMES["dark"]["paper"]  # as maps are on every page
    title.set_color(THEMES["dark" if on_black else "light"]["fail"])
    figure.set_label(f"{INVALID}{figure.get_label()}")
    return figure


def _title_letters(figure: Figure) -> int:
    """Return how many letters of a title fit into a figure."""
    return int(_TITLE_LETTERS * (figure.get_figwidth() - 2 * _EDGE_IN))


def axes_in(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place given in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1.0 - (top + height) / down, width / across, height / down))


def colour_map(name: str) -> Colormap:
    """Return the colours of this name, black where there is no value."""
    if name != RAINBOW_COLOURS:
        return matplotlib.colormaps[name].with_extremes(bad="black")
    anchors = [f"#{word}" for word in RAINBOW_ANCHORS.split()]
    return LinearSegmentedColormap.from_list(name, anchors).with_extremes(bad="black")


def draw_outline(axes: Axes, voxels: MaskArray, colour: str) -> None:
    """Outline the marked pixels along their edges."""
    inside = np.pad(voxels, 1)
    rows, columns = np.nonzero(inside[1:] != inside[:-1])
    across = np.stack([columns - 1.5, rows - 0.5, columns - 0.5, rows - 0.5], axis=1)
    rows, columns = np.nonzero(inside[:, 1:] != inside[:, :-1])
    down = np.stack([columns - 0.5, rows - 1.5, columns - 0.5, rows - 0.5], axis=1)
    edges = np.concatenate([across, down]).reshape(-1, 2, 2)
    axes.add_collection(LineCollection(list(edges), colors=colour, linewidths=1.6, capstyle="projecting"))


def png(figure: Figure) -> bytes:
    """Return the figure as PNG; the same figure gives the same bytes."""
    from PIL import Image as Pillow
    from PIL.PngImagePlugin import PngInfo

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # the paper is opaque: without matplotlib's fourth channel packing takes three quarters of the time
    picture = Pillow.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    buffer, origin = io.BytesIO(), PngInfo()
    origin.add_text("Software", MAKER)
    origin.add_itxt("Title", str(figure.get_label()))
    dpi = (figure.dpi, figure.dpi)
    picture.save(buffer, format="png", dpi=dpi, pnginfo=origin, compress_level=COMPRESS_LEVEL)
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Return the figure as SVG, letters as outlines; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    origin: dict[str, Any] = {"Date": None, "Creator": MAKER, "Title": str(figure.get_label())}
    with matplotlib.rc_context({"svg.hashsalt": "PyPeT", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", facecolor=figure.get_facecolor(), metadata=origin)
    return buffer.getvalue()


def is_ours(path: Path) -> bool:
    """Tell whether a PNG or SVG file says near its beginning that `png` or `svg` made it."""
    with path.open("rb") as file:
        return MAKER.encode() in file.read(HEAD_BYTES)


def webp(figure: Figure, *, lossless: bool) -> bytes:
    """Return the figure as WebP, a quarter of the size of PNG; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
    lossless : bool
        Best for lines and letters; otherwise at a quality of 85, which is best for maps.
    """
    buffer = io.BytesIO()
    packing = {"lossless": lossless, "quality": 20 if lossless else 85, "method": 1}
    figure.savefig(buffer, format="webp", dpi=figure.dpi, facecolor=figure.get_facecolor(), pil_kwargs=packing)
    return buffer.getvalue()


def mark_sides(axes: Axes, left: float, columns: int, rows: int) -> None:
    """Mark right and left of the patient in the upper corners of a picture that begins at column ``left``."""
    rim = [withStroke(linewidth=2.0, foreground="black")]  # below a letter there may be bone
    style: dict[str, Any] = {"color": "#d0d4d8", "fontsize": 8.5, "va": "top", "path_effects": rim}
    axes.text(left + 0.02 * columns, 0.02 * rows, "R", ha="left", **style)
    axes.text(left + 0.97 * columns, 0.02 * rows, "L", ha="right", **style)


def _draw_strip(axes: Axes, strip: Strip, aspect: float) -> None:
    """Draw pictures side by side as one image: much faster than axes for each."""
    rows, columns = strip.tiles[0].shape
    cmap, norm = colour_map(strip.colours), Normalize(*strip.window)
    joined = _joined(strip.tiles, np.nan)
    axes.imshow(joined, cmap=cmap, norm=norm, aspect="auto", interpolation="antialiased")
    for mark in strip.marks:
        _draw_mark(axes, _joined(mark.tiles, 0.0), mark)
    axes.set_axis_off()
    for k in range(len(strip.tiles)):
        mark_sides(axes, k * (columns + _GAP), columns, rows)
    style: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right"}
    colours, lift = THEMES["dark"], 1 if strip.unit else -5
    axes.annotate(
        strip.label, (0, 0.5), (-8, lift), color=colours["ink"], fontsize=11, weight="bold", va="bottom", **style
    )
    axes.annotate(strip.unit, (0, 0.5), (-8, -2), color=colours["quiet"], fontsize=8, va="top", **style)


def _draw_bar(axes: Axes, strip: Strip) -> None:
    """Draw a row's colour bar: what `Figure.colorbar` draws, in a quarter of the time."""
    ink, (low, high) = THEMES["dark"]["ink"], strip.window
    cmap = colour_map(strip.colours)
    edges = np.linspace(low, high, cmap.N + 1)
    middles = 0.5 * (edges[:-1] + edges[1:])
    axes.pcolormesh([0.0, 1.0], edges, middles[:, None], cmap=cmap, norm=Normalize(low, high))
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    ticks = np.linspace(low, high, 3)
    axes.set_yticks(ticks, labels=[typeset(f"{tick:g}") for tick in ticks])
    axes.tick_params(colors=ink, labelsize=8, length=2, width=0.6, pad=2)


def _draw_mark(axes: Axes, joined: Array, mark: Mark) -> None:
    """Tint the marked pixels, or draw a smooth line around them, with a black rim that any colours leave visible."""
    if mark.filled:
        tint = np.where(joined[..., None] > 0, to_rgba(mark.colour, OPACITY), 0.0)
        axes.imshow(tint, aspect="auto", interpolation="nearest")
    elif joined.any():
        from scipy.ndimage import gaussian_filter

        smooth = gaussian_filter(joined, OUTLINE_PIXELS)
        line = "dashed" if mark.dashed else "solid"
        drawn = axes.contour(smooth, levels=[0.5], colors=[mark.colour], linewidths=OUTLINE_WIDTH, linestyles=line)
        rim: dict[str, Any] = {"edgecolors": "black", "linewidths": RIM_WIDTH, "zorder": 1.9}  # below all lines
        axes.add_collection(PathCollection(drawn.get_paths(), facecolors="none", transform=axes.transData, **rim))


def _joined(pictures: Sequence[Array], gap: float) -> Array:
    """Return pictures side by side with a gap of this value between them."""
    rows, columns = pictures[0].shape
    joined = np.full((rows, len(pictures) * (columns + _GAP) - _GAP), gap, dtype=np.float32)
    for k, picture in enumerate(pictures):
        joined[:, k * (columns + _GAP) : k * (columns + _GAP) + columns] = picture
    return joined
