"""Arterial and venous curves that the user gives: a segment, points dropped into the vessel, or a table."""

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from PyPeTLib.errors import InputError
from PyPeTLib.inputs import TIME_COLUMN, read_curve
from PyPeTPanel.parameters import (
    CURVE,
    POINTS,
    VESSELS,
    PyPeTParameterNode,
    segment_of,
)
from PyPeTScene.curves import curve_from_table, put_columns
from PyPeTScene.points import points_mm

#: What the file dialog of a curve offers.
CURVE_FILES = _("Curves") + " (*.csv *.tsv *.txt)"
#: What is said where one of them is wanted and there is none.
MISSING = {
    POINTS: _(
        "{vessel}: a list of points is needed; none is chosen, or it was deleted. Press 'Place points', or select one."
    ),
    CURVE: _(
        "{vessel}: a table of its curve is needed; none is chosen, or it was deleted. Press 'Load curve', or select "
        "one."
    ),
}
#: What happens to a list of points, or to a table, that may change whether Apply can run.
CHANGES = {
    POINTS: ("PointPositionDefinedEvent", "PointPositionUndefinedEvent"),
    CURVE: ("ModifiedEvent",),
}


def vessel_of(parameters: PyPeTParameterNode, key: str) -> Any:
    """Return what was chosen for "aif" or "vof": a segment, points, a table; None where it is found automatically.

    Raises
    ------
    InputError
        If what is wanted is missing or holds nothing that can be used.
    """
    source = getattr(parameters, f"{key}_source")
    if source not in (POINTS, CURVE):
        return segment_of(parameters, key)
    node = getattr(parameters, f"{key}_{source}")
    if node is None:
        raise InputError(MISSING[source].format(vessel=VESSELS[key]))
    try:
        if source == POINTS:
            points_mm(node)
        else:
            curve_from_table(node, f"{key}_hu")
    except InputError as error:
        raise InputError(f"{VESSELS[key]}: {error}") from None
    return node


def chosen_inputs(parameters: PyPeTParameterNode) -> list[tuple[Any, str]]:
    """Return the nodes chosen as points and curves, each with the name of an event that changes it."""
    chosen = [(getattr(parameters, f"{key}_{kind}"), kind) for key in ("aif", "vof") for kind in CHANGES]
    return [(node, event) for node, kind in chosen if node is not None for event in CHANGES[kind]]


def place_points(parameters: PyPeTParameterNode, key: str) -> Any:
    """Let the user drop points into the vessel, into the chosen list or a new one, and let the next Apply use it.

    Without a main window there is nowhere to click; the list is made all the same.
    """
    points = getattr(parameters, f"{key}_points")
    if points is None:
        name = slicer.mrmlScene.GenerateUniqueName(f"{key.upper()} points")
        points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        points.CreateDefaultDisplayNodes()
    _use(parameters, key, POINTS, points)
    if slicer.util.mainWindow() is not None:
        logic = slicer.modules.markups.logic()
        logic.SetActiveList(points)
        logic.StartPlaceMode(True)
    return points


def load_curve(parameters: PyPeTParameterNode, key: str, path: str) -> Any:
    """Load a curve from a file into a table, and let the next Apply use it; errors as of the reader."""
    curve = read_curve(path, column=f"{key}_hu")
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(Path(path).stem))
    put_columns(table, {TIME_COLUMN: np.asarray(curve.times_s), f"{key}_hu": np.asarray(curve.hu)})
    _use(parameters, key, CURVE, table)
    return table


def _use(parameters: PyPeTParameterNode, key: str, source: str, node: Any) -> None:
    with slicer.util.NodeModify(parameters):
        setattr(parameters, f"{key}_{source}", node)
        setattr(parameters, f"{key}_source", source)
