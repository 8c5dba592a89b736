"""Pictures of a comparison: both maps and their difference side by side, scatter, limits of agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from PyPeTLib.agreement import LIMIT_SDS, Limits, limits_of_agreement
from PyPeTLib.compare import Comparison
from PyPeTLib.comparison_files import VOLUMES, figure_name
from PyPeTLib.display import MAP_LABELS, MAP_WINDOWS, brain_crop, map_colours, spread_slices, tiles
from PyPeTLib.figures import THEMES, Strip, axes_in, canvas, colour_map, heading, png, sheet
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.orientation import pixel_aspect, radiological, slice_labels
from PyPeTLib.pairing import Pair
from PyPeTLib.plots import style_axes
from PyPeTLib.similarity import RELATIVE_UNIT, Differences, Similarity, metric_digits
from PyPeTLib.typeset import percent, typeset
from PyPeTLib.write import write_bytes

#: Differences are shown up to this share of the map's window, on both sides of 0.
DIFFERENCE_SHARE = 0.5
#: Resolution in dots per inch: there is a picture a case and map.
COMPARE_DPI = 120
#: From blue (less than the reference) over white to red (more).
DIFFERENCE_COLOURS = "RdBu_r"
#: Squares of a density plot along each axis, and the part of the colours for how full they are: darker ones cannot be
#: told from black.
SQUARES, DENSITY_COLOURS, DENSITY_FROM = 120, "viridis", 0.3
#: Percentiles of the values between which the axes lie, and how many windows of the map they reach at most: large
#: vessels do not set them.
AXES_PERCENT, AXES_WINDOWS = (0.5, 99.5), 2.0
#: Height of the plots below the pictures, and space around them, in inches.
_PLOT_IN, _SPACE_IN = 2.7, 0.85
#: Least width in inches, for the plots of maps of a few slices.
_ACROSS_IN = 9.0
#: Around letters that lie on colours.
_RIM = [withStroke(linewidth=2.0, foreground="black")]
_LEFT_IN, _GAP_IN = 1.05, 0.95


def write_figure(comparison: Comparison, name: str, pair: Pair, folder: Path) -> None:
    """Write the PNG of a map into a folder: ``CASE_{cbf,cbv,...}.png``; the arguments are those of `pair_figure`.

    Raises
    ------
    InputError
        If the picture cannot be written.
    """
    write_bytes(png(pair_figure(comparison, name, pair)), folder / figure_name(comparison.name, name))


def write_volumes_figure(volumes: Mapping[str, FloatArray], folder: Path) -> None:
    """Write ``volumes.png``: core and hypoperfusion of all cases, results against reference.

    Nothing is written where fewer than two cases know both volumes.

    Parameters
    ----------
    volumes : mapping of str to ndarray, shape (case, 2)
        From `cohort.volumes_of`.
    folder : Path
        Where to.
    """
    shown = {name: both for name, both in volumes.items() if name in _SHOWN_VOLUMES and len(both) > 1}
    if shown:
        write_bytes(png(volumes_figure(shown)), folder / VOLUMES)


_SHOWN_VOLUMES = ("Core", "Hypoperfusion")


def pair_figure(comparison: Comparison, name: str, pair: Pair) -> Figure:
    """Return a map, its reference and their difference in the same slices, above scatter and limits of agreement.

    Parameters
    ----------
    comparison : Comparison
        The case. Where the map has no differences in physical units, all is drawn relative to the means.
    name : str
        Which map it is.
    pair : Pair
        Both maps.
    """
    found = comparison.maps[name]
    physical = np.isfinite(found.physical.bias)
    differences = found.physical if physical else found.relative
    scales = (1.0, 1.0) if physical else (found.mean, found.reference_mean)
    both = [
        np.where(pair.compared, image.values / scale, np.nan)
        for image, scale in zip(_images(pair), scales, strict=True)
    ]
    window = MAP_WINDOWS[name] if physical else (0.0, 2.0)
    figure = _side_by_side(comparison, name, pair, both, differences.unit, window)
    figure.set_dpi(COMPARE_DPI)
    across, down = figure.get_size_inches()
    width = (across - _LEFT_IN - _GAP_IN - 0.3) / 2
    top = down - _PLOT_IN - _SPACE_IN + 0.25
    scatter, limits = (axes_in(figure, left, top, width, _PLOT_IN) for left in (_LEFT_IN, _LEFT_IN + width + _GAP_IN))
    one, other = (values[pair.compared] for values in both)
    most = AXES_WINDOWS * window[1]
    draw_scatter(scatter, one, other, most, f"{MAP_LABELS[name]} of the {{}}, {differences.unit}")
    _corner(scatter, _scores(found, differences))
    draw_limits(limits, one, other, most, differences)
    return figure


def draw_scatter(axes: Axes, one: FloatArray, other: FloatArray, most: float, label: str) -> None:
    """Draw how often pairs of values occur, with the line of identity.

    Parameters
    ----------
    axes : Axes
    one, other : ndarray, shape (voxel,)
        Values of the results (upwards) and of the reference (to the right).
    most : float
        Largest size of a value on the axes.
    label : str
        Of the axes, with ``{}`` for whose values they are.
    """
    low, high = _range(np.concatenate([one, other]), most)
    _density(axes, other, one, (low, high), (low, high))
    ink = THEMES["dark"]["ink"]
    axes.plot((low, high), (low, high), color=ink, lw=0.9, ls=(0, (4, 3)))
    axes.set_xlabel(label.format("reference"), color=ink, fontsize=9)
    axes.set_ylabel(label.format("results"), color=ink, fontsize=9)


def draw_limits(axes: Axes, one: FloatArray, other: FloatArray, most: float, differences: Differences) -> None:
    """Draw differences against means, with bias and limits of agreement (Bland and Altman).

    Parameters
    ----------
    axes, one, other, most
        As of `draw_scatter`.
    differences : Differences
        What was measured over all voxels, also those beyond the axes.
    """
    middle, apart, limits = 0.5 * (one + other), one - other, differences.limits
    reach = [abs(value) for value in (*_range(apart, most), 1.2 * limits.low, 1.2 * limits.high)]
    edge = max(value for value in reach if np.isfinite(value))
    _density(axes, middle, apart, _range(middle, most), (-edge, edge))
    _limit_lines(axes, limits, differences.unit)
    ink = THEMES["dark"]["ink"]
    axes.set_xlabel(f"mean of both, {differences.unit}", color=ink, fontsize=9)
    axes.set_ylabel(f"results − reference, {differences.unit}", color=ink, fontsize=9)


def volumes_figure(volumes: Mapping[str, FloatArray]) -> Figure:
    """Return scatter and limits of agreement of volumes over the cases, a row a region.

    Parameters
    ----------
    volumes : mapping of str to ndarray, shape (case, 2)
        Volumes in mL of results and reference.
    """
    figure = canvas(9.0, 0.9 + 3.2 * len(volumes))
    note = "Each dot is a case: results against reference (left), and their difference (right)"
    heading(figure, f"Volumes of {' and '.join(volumes).lower()}", note)
    for k, (name, both) in enumerate(volumes.items()):
        scatter, limits = (axes_in(figure, left, 0.9 + 3.2 * k, 3.5, 2.5) for left in (0.8, 5.2))
        _draw_volumes(scatter, limits, name, both)
    return figure


def _draw_volumes(scatter: Axes, limits: Axes, name: str, both: FloatArray) -> None:
    ours, theirs = both.T
    colours, most = THEMES["dark"], 1.05 * max(1.0, float(both.max()))
    dots: dict[str, Any] = {"color": colours["vein"], "ms": 5, "mec": "none", "clip_on": False, "zorder": 3}
    for axes in (scatter, limits):
        style_axes(axes, "dark")
    scatter.plot((0, most), (0, most), color=colours["ink"], lw=0.9, ls=(0, (4, 3)))
    scatter.plot(theirs, ours, "o", **dots)
    scatter.set_xlim(0, most)
    scatter.set_ylim(0, most)
    limits.plot(0.5 * (ours + theirs), ours - theirs, "o", **dots)
    limits.set_xlim(0, most)
    agreement = limits_of_agreement(ours, theirs)
    edge = 1.25 * max(1.0, abs(agreement.low), abs(agreement.high), float(np.abs(ours - theirs).max()))
    limits.set_ylim(-edge, edge)
    _limit_lines(limits, agreement, "mL")
    labels = (
        (f"{name}, reference, mL", f"{name}, results, mL"),
        (f"{name}, mean of both, mL", "results − reference, mL"),
    )
    legends = f"{len(both)} cases; dashed: identity", "line: bias; dashed: limits of agreement"
    for axes, (across, up), legend in zip((scatter, limits), labels, legends, strict=True):
        axes.set_title(legend, color=colours["quiet"], fontsize=8, loc="left", pad=4)
        axes.set_xlabel(across, color=colours["ink"], fontsize=9)
        axes.set_ylabel(up, color=colours["ink"], fontsize=9)


def _side_by_side(
    comparison: Comparison, name: str, pair: Pair, both: Sequence[FloatArray], unit: str, window: tuple[float, float]
) -> Figure:
    """Return the slices of results, reference and difference, with room for plots below."""
    geometry = pair.image.geometry
    inside = radiological(pair.compared, geometry)
    chosen, crop = spread_slices(inside), brain_crop(inside)
    far = DIFFERENCE_SHARE * (window[1] - window[0])
    rows = [
        ("Results", both[0], window, map_colours(unit if unit == "s" else pair.image.unit, "even")),
        ("Reference", both[1], window, map_colours(unit if unit == "s" else pair.image.unit, "even")),
        ("Difference", both[0] - both[1], (-far, far), DIFFERENCE_COLOURS),
    ]
    strips = [
        Strip(label, unit, tiles(Image(values, geometry), chosen, crop), shown, colours)
        for label, values, shown, colours in rows
    ]
    labels = slice_labels(geometry)
    heads, aspect = [labels[k] for k in chosen], pixel_aspect(geometry)
    return sheet(comparison.name, _note(comparison, name), heads, strips, aspect, _PLOT_IN + _SPACE_IN, _ACROSS_IN)


def _note(comparison: Comparison, name: str) -> str:
    """Return which map is compared, by which methods it is, and whether one of them is marked invalid."""
    sources = {"results": comparison.results, "reference": comparison.reference}
    methods = [f"{whose}: {source.method or 'method not known'}" for whose, source in sources.items()]
    invalid = [whose for whose, source in sources.items() if source.invalid]
    marked = [f"{' and '.join(invalid)} marked INVALID"] * bool(invalid)
    return " · ".join([f"{MAP_LABELS[name]} over the voxels that both have", *methods, *marked])


def _images(pair: Pair) -> tuple[Image, Image]:
    return pair.image, pair.reference


def _scores(found: Similarity, differences: Differences) -> str:
    parts = [("NCC", found.ncc), ("ICC(A,1)", differences.icc), ("SSIM", differences.ssim)]
    known = [(name, typeset(f"{value:.2f}") if np.isfinite(value) else "not defined") for name, value in parts]
    lines = [f"{name} {text}" for name, text in known]
    return "\n".join([*lines, f"{found.voxels} voxels"])


def _density(
    axes: Axes, across: FloatArray, up: FloatArray, wide: tuple[float, float], high: tuple[float, float]
) -> None:
    """Draw on a logarithmic scale how many points lie in each square."""
    style_axes(axes, "dark")
    counts, _, _ = np.histogram2d(across, up, bins=SQUARES, range=(wide, high))
    shown = np.ma.masked_equal(counts.T, 0.0)
    norm = LogNorm(1.0, max(2.0, float(counts.max())))
    cmap = ListedColormap(colour_map(DENSITY_COLOURS)(np.linspace(DENSITY_FROM, 1.0, 256)))
    axes.imshow(shown, origin="lower", extent=(*wide, *high), aspect="auto", cmap=cmap, norm=norm)
    axes.grid(visible=False)
    legend = f"blue to yellow: 1 to {norm.vmax:.0f} voxels a square"
    axes.set_title(legend, color=THEMES["dark"]["quiet"], fontsize=7.5, loc="left", pad=4)
    axes.set_xlim(wide)
    axes.set_ylim(high)
    inside = float(counts.sum()) / max(1, across.size)
    if inside < 0.995:
        _corner(axes, f"{percent(1.0 - inside)} of the voxels are beyond the axes", low=True)


def _limit_lines(axes: Axes, limits: Limits, unit: str) -> None:
    """Draw bias and limits of agreement with their values; no relative bias, which is 0 by definition.

    The bias is written on the left, limits on the right, above and below them: however near they are, all can be read.
    """
    ink = THEMES["dark"]["ink"]
    bias = float("nan") if unit == RELATIVE_UNIT else limits.bias
    for value, line, name, x, side, up in (
        (bias, "-", "bias", 0.0, "left", "bottom"),
        (limits.low, "--", f"−{LIMIT_SDS:g} SD", 1.0, "right", "top"),
        (limits.high, "--", f"+{LIMIT_SDS:g} SD", 1.0, "right", "bottom"),
    ):
        if np.isfinite(value):
            axes.axhline(value, color=ink, lw=0.9, ls=line)
            place: dict[str, Any] = {
                "xycoords": ("axes fraction", "data"),
                "textcoords": "offset points",
                "path_effects": _RIM,
                "ha": side,
                "va": up,
            }
            text = f"{name}: {metric_digits('Bias', value)} {unit}"
            axes.annotate(text, (x, value), (3 - 6 * x, 3 if up == "bottom" else -3), color=ink, fontsize=7.5, **place)


def _corner(axes: Axes, text: str, *, low: bool = False) -> None:
    """Write into the left upper, or into the right lower, corner."""
    x, y, across, up = (0.97, 0.04, "right", "bottom") if low else (0.03, 0.97, "left", "top")
    style: dict[str, Any] = {"color": THEMES["dark"]["quiet" if low else "ink"], "fontsize": 7.5 if low else 8}
    axes.text(x, y, text, ha=across, va=up, transform=axes.transAxes, path_effects=_RIM, **style)


def _range(values: FloatArray, most: float) -> tuple[float, float]:
    """Return the range of an axis; never empty."""
    low, high = (float(np.clip(value, -most, most)) for value in np.percentile(values, AXES_PERCENT))
    margin = 0.05 * (high - low) or max(1.0, abs(high))
    return low - margin, high + margin
