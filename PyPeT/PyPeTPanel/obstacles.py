"""Why a button cannot be pressed and what would change that, "" where it can: the tooltip of a disabled button."""

from typing import Any

import slicer
from slicer.i18n import tr as _

from PyPeTLib.errors import InputError
from PyPeTPanel import inputs, views
from PyPeTPanel.actions import map_volume
from PyPeTPanel.parameters import VESSELS, PyPeTParameterNode, interval_of, segment_of, settings_of
from PyPeTScene.series import describe_time_axis


def no_times(parameters: PyPeTParameterNode) -> str:
    """The chosen scan is none, or its times are not known."""
    try:
        describe_time_axis(parameters.scan, interval_of(parameters))
    except InputError as error:
        return str(error)
    return ""


def no_run_possible(parameters: PyPeTParameterNode) -> str:
    """Scan, segments, points and curves cannot be used, or the settings do not go together."""
    try:
        describe_time_axis(parameters.scan, interval_of(parameters))
        segment_of(parameters, "brain")
        for key in VESSELS:
            inputs.vessel_of(parameters, key)
        settings_of(parameters)
    except InputError as error:
        return str(error)
    return ""


def no_maps(scan: Any, no_run: str) -> str:
    """There are no maps of the scan, because Apply was not pressed, or cannot be for the reason given."""
    if scan is not None and views.maps_of(scan):
        return ""
    return no_run or _("Press Apply first: there are no maps of this scan.")


def no_map(scan: Any, name: str, none_at_all: str) -> str:
    """One map of the scan is not there, or none is for the reason given."""
    if scan is not None and map_volume(scan, name) is not None:
        return ""
    return none_at_all or _("Apply again: this map is not in the scene.")


def no_reference(parameters: PyPeTParameterNode) -> str:
    """There is nothing to compare with."""
    return "" if parameters.reference_map is not None else _("Select a map to compare with, as Reference below.")


def no_results(analysis: Any) -> str:
    """There is nothing to export, which a scene from a file does not hold."""
    return "" if analysis is not None else _("Apply first: a run of this session is needed.")


def no_frames(browser: Any) -> str:
    """Nothing is shown that could be scrolled in time."""
    if browser is not None and slicer.mrmlScene.IsNodePresent(browser):
        return ""
    return _("Show a step or press Apply first: nothing of this scan is there to be scrolled.")
