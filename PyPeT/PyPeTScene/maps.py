"""Maps into the scene: fixed window, a colour table for flow and volume and one for times or one for all, a legend."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import invalid_why
from PyPeTLib.display import (
    FLOW_COLOURS,
    MAP_LABELS,
    MAP_WINDOWS,
    RAINBOW_ANCHORS,
    RAINBOW_COLOURS,
    SD_SHARE,
    TIME_COLOURS,
    map_colours,
)
from PyPeTLib.geometry import Image
from PyPeTLib.map_facts import KINDS, LONG_NAMES, map_resolution_mm, regularisation
from PyPeTLib.progress import Progress, silent
from PyPeTLib.settings import Colours
from PyPeTScene.nodes import ROLE, Node, own_node, own_nodes, put_values

#: Node attribute that holds the unit of a map.
UNIT = "PyPeT.Unit"
#: Display range of a map divided by its brain mean.
RELATIVE_WINDOW = (0.0, 2.0)
#: Colour tables by name: evenly spread anchors of the colour maps inferno and viridis (van der Walt and Smith, CC0),
#: and those of the setting colours=ASIST-like.
FLOW_TABLE, TIME_TABLE, RAINBOW_TABLE = "PyPeT flow and volume", "PyPeT times", "PyPeT ASIST-like"
ANCHORS = {
    FLOW_TABLE: "000004 0a0722 1e0c45 380962 510e6c 69166e 801f6c 982766 b0315b c63d4d d94d3d e9612b f47918 fa9407 "
    "fcb014 f8cd37 f2ea69 fcffa4",
    TIME_TABLE: "440154 481769 472a7a 433d84 3d4e8a 355e8d 2e6d8e 297b8e 23898e 1f978b 21a585 2eb37c 46c06f 65cb5e "
    "89d548 b0dd2f d8e219 fde725",
    RAINBOW_TABLE: RAINBOW_ANCHORS,
}
#: The table of each of the colours of pictures.
TABLES = {FLOW_COLOURS: FLOW_TABLE, TIME_COLOURS: TIME_TABLE, RAINBOW_COLOURS: RAINBOW_TABLE}
COLOURS = 256
#: Display threshold so wide that it hides no value: only NaN, outside the brain, becomes transparent.
ANY_VALUE = 1.0e6
#: The legend stands in the upper right corner, beside the head: size and place as shares of the view. The letters
#: become as wide as bar and numbers leave room, so numbers of equal length give legends of one size.
LEGEND_SIZE, LEGEND_PLACE = (0.06, 0.36), (0.98, 0.82)


def show_maps(analysis: Analysis, scan: Node, *, progress: Progress = silent) -> dict[str, Node]:
    """Put all maps of a run into the scene, or update those of the last run.

    Parameters
    ----------
    analysis : Analysis
        The run.
    scan : vtkMRMLNode
        The scan it is of.
    progress : callable
        ``progress(fraction, text)`` after each map; raising from it cancels.

    Returns
    -------
    dict of str to vtkMRMLScalarVolumeNode
        By name: "cbf", ..., and derived ones, as "cbf_smooth".
    """
    images = {**dict(analysis.maps.items()), **dict(analysis.maps.companions()), **analysis.derived}
    shown = {}
    for name, image in images.items():
        shown[name] = show_map(name, image, analysis, scan)
        progress(len(shown) / len(images), "")
    return shown


def stale_maps(scan: Node, shown: dict[str, Node]) -> list[Node]:
    """Return the maps of an earlier run that are not among those shown now."""
    names = {f"map.{name}" for name in shown}
    roles = [(node, node.GetAttribute(ROLE)) for node in own_nodes(scan)]
    return [node for node, role in roles if role.startswith("map.") and role not in names]


def show_map(name: str, image: Image, analysis: Analysis, scan: Node) -> Node:
    """Return the volume of one map with its values, and, if it is new, with window, colours and legend."""
    volume = own_node("vtkMRMLScalarVolumeNode", f"{analysis.series.name} {map_label(name)}", f"map.{name}", scan)
    put_values(volume, image.values.astype(np.float32, copy=False), image.geometry)
    volume.SetDescription(map_description(name, image, analysis))
    volume.SetAttribute(UNIT, image.unit)
    table = colour_table(map_table(image.unit, analysis.settings.colours))
    display = volume.GetVolumeDisplayNode()
    if display is None:
        new_display(volume, map_window(name), table)
        title = f"{map_label(name)} [{image.unit}]" if image.unit else map_label(name)
        add_legend(volume, title, map_window(name)[1])
    else:
        shown = display.GetColorNode()
        if shown is None or shown.GetName() in ANCHORS:  # deleted, or not one that the user chose
            display.SetAndObserveColorNodeID(table.GetID())
    return volume


def map_table(unit: str, colours: Colours) -> str:
    """Return the name of the colour table for a map of this unit.

    Examples
    --------
    >>> map_table("s", "even"), map_table("s", "ASIST-like")
    ('PyPeT times', 'PyPeT ASIST-like')
    """
    return TABLES[map_colours(unit, colours)]


def map_label(name: str) -> str:
    """Return how a map is called on the screen.

    Examples
    --------
    >>> map_label("tmax"), map_label("cbf_relative")
    ('Tmax', 'CBF relative')
    """
    base, _, kind = name.partition("_")
    return f"{MAP_LABELS[base]} {'SD' if kind == 'sd' else kind}".strip()


def map_window(name: str) -> tuple[float, float]:
    """Return the display range of a map, derived or not."""
    base, _, kind = name.partition("_")
    if kind == "relative":
        return RELATIVE_WINDOW
    low, high = MAP_WINDOWS[base]
    return (0.0, SD_SHARE * high) if kind == "sd" else (low, high)


def map_description(name: str, image: Image, analysis: Analysis) -> str:
    """Return what a map is, in one line: quantity, unit, method and its regularisation, resolution, and doubts."""
    invalid = "".join(f" INVALID: {text}" for text in invalid_why(analysis.checks))
    base, _, kind = name.partition("_")
    unit = f" in {image.unit}" if image.unit else ""
    what = f"{LONG_NAMES[base]}{KINDS[kind] if kind else ''}{unit}"
    chosen = regularisation(analysis.settings).items()
    told = "".join(f", {name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in chosen)
    told += ", bias removed" * analysis.settings.bias_removed
    width_mm = map_resolution_mm(name, analysis)
    resolution = "not known" if width_mm is None else f"{width_mm:.1f} mm (FWHM)"
    made = f"deconvolution {analysis.settings.method}{told}; resolution {resolution}"
    return f"{what}; {made}. Research use only.{invalid}"


def new_display(volume: Node, window: tuple[float, float], colours: Node) -> Node:
    """Give a volume a display, with its window from the first: Slicer would look for one in all voxels."""
    display = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    style_display(display, window, colours)
    left = [volume.GetNthDisplayNode(k) for k in range(volume.GetNumberOfDisplayNodes())]
    volume.RemoveAllDisplayNodeIDs()
    volume.SetAndObserveDisplayNodeID(display.GetID())
    for legend in filter(None, left):  # of a display that was deleted, whose place it took
        legend.SetAndObservePrimaryDisplayNode(display)
        volume.AddAndObserveDisplayNodeID(legend.GetID())
    return display


def style_display(display: Node, window: tuple[float, float], colours: Node) -> None:
    """Give a volume's display a fixed window and colours; NaN becomes transparent, and nothing else."""
    display.SetAndObserveColorNodeID(colours.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(*window)
    display.SetThreshold(-ANY_VALUE, ANY_VALUE)
    display.ApplyThresholdOn()
    display.SetInterpolate(False)


def colour_table(name: str) -> Node:
    """Return one of the colour tables; it is made once and then found by its name."""
    found = slicer.mrmlScene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if found is not None:
        return found
    table = slicer.vtkMRMLColorTableNode()
    table.SetName(name)
    table.SetTypeToUser()
    table.SetNumberOfColors(COLOURS)
    table.SetHideFromEditors(False)
    table.SetAttribute("Category", "PyPeT")
    for k, (red, green, blue) in enumerate(_colours(ANCHORS[name])):
        table.SetColor(k, f"{k}", float(red), float(green), float(blue), 1.0)
    return slicer.mrmlScene.AddNode(table)


def _colours(anchors: str) -> Any:
    """Return RGB from 0 to 1 between evenly spread anchors, shape (COLOURS, 3)."""
    rgb = np.array([[int(word[k : k + 2], 16) for k in (0, 2, 4)] for word in anchors.split()]) / 255.0
    place = np.linspace(0, len(rgb) - 1, COLOURS)
    return np.stack([np.interp(place, np.arange(len(rgb)), channel) for channel in rgb.T], axis=1)


def add_legend(volume: Node, title: str, highest: float) -> None:
    """Add a colour legend from 0 to ``highest``, with numbers where they are round; once."""
    logic = slicer.modules.colors.logic()
    if logic.GetColorLegendDisplayNode(volume) is not None:
        return  # it is the user's by now
    legend = logic.AddDefaultColorLegendDisplayNode(volume)
    legend.SetTitleText(title)
    legend.SetNumberOfLabels(legend_labels(highest))
    legend.SetLabelFormat("%2.0f" if highest % (legend_labels(highest) - 1) == 0 else "%.1f")
    legend.SetSize(*LEGEND_SIZE)
    legend.SetPosition(*LEGEND_PLACE)


def legend_labels(highest: float) -> int:
    """Return how many numbers a legend shows: as many as fall on whole values.

    Examples
    --------
    >>> [legend_labels(highest) for highest in (60.0, 6.0, 15.0, 12.0, 25.0, 2.0)]
    [5, 4, 4, 5, 6, 5]
    """
    return next((count for count in (5, 4, 6) if highest % (count - 1) == 0), 5)
