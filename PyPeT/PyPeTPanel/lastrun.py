"""The last run: what stages, candidates and export are made of while the scene and the parameters stay the same."""

from dataclasses import replace
from typing import Any

import slicer

from PyPeTLib.analysis import Analysis, Prepared
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Candidate
from PyPeTLib.scan import Series
from PyPeTPanel import actions
from PyPeTPanel.parameters import PyPeTParameterNode, interval_of
from PyPeTScene import study
from PyPeTScene.nodes import find_node
from PyPeTScene.series import series_from_node

#: Roles of what `LastRun.show_curves_of` shows.
CURVES = ("stage.enhancement", "segmentation", "curves.table", "curves.chart", "bolus.table", "bolus.chart")
CURVES += ("tissue.table", "tissue.chart")


class LastRun:
    """Runs what it is asked for, and keeps the result.

    Attributes
    ----------
    analysis : Analysis or None
        The last whole run.
    shown : SceneNodes or None
        Its nodes.
    prepared : Prepared or None
        The last run, whole or up to the curves.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop everything."""
        self.analysis: Analysis | None = None
        self.shown: study.SceneNodes | None = None
        self.prepared: Prepared | None = None
        self._series: Series | None = None
        self._curves_shown: Prepared | None = None
        self._candidates: tuple[Candidate, ...] = ()
        self._given: frozenset[str] = frozenset()
        self._state = self._candidates_of = self._series_of = None

    def run(self, request: study.Request, progress: Progress = silent) -> dict[str, Any]:
        """Analyse and show; return the nodes by name."""
        self.analysis, self.shown = study.process(self._with_former(request), progress)
        self._curves_shown = self.analysis
        self._keep(self.analysis, self.shown.scan)
        return actions.nodes_of(self.shown)

    def process_parameters(self, parameters: PyPeTParameterNode, progress: Progress = silent) -> dict[str, Any]:
        """Do what the parameter node says; returns as `run`."""
        nodes = self.run(actions.request_of(parameters), progress)
        self._state = actions.state_of(parameters)
        return nodes

    def series_of(self, parameters: PyPeTParameterNode, progress: Progress = silent) -> Series:
        """Return the scan, for steps that need no curves; one that was read before and is unchanged is kept."""
        series = series_from_node(parameters.scan, interval_of(parameters), former=self._series, progress=progress)
        self._series, self._series_of = series, actions.scan_or_none(parameters.scan).GetID()
        return series

    def prepared_for(self, parameters: PyPeTParameterNode, progress: Progress = silent) -> Prepared:
        """Return what the steps before the maps show: kept from the last run where the parameters are the same."""
        if not self.is_prepared_for(parameters):
            request = replace(actions.request_of(parameters), force=True)  # one may look at what gives no maps
            prepared = study.prepare_scan(self._with_former(request), progress)
            self._keep(prepared, actions.scan_or_none(parameters.scan).GetID())
            self._state, self._given = actions.state_of(parameters), study.own_segments(request)
        return self.prepared

    def is_prepared_for(self, parameters: PyPeTParameterNode) -> bool:
        """Tell whether `prepared_for` has nothing to compute."""
        return None not in (self.prepared, self._state) and self._state == actions.state_of(parameters)

    def show_curves_of(self, parameters: PyPeTParameterNode, progress: Progress = silent) -> None:
        """Show masks, enhancement and curves of what `prepared_for` returned, once as long as nobody deletes them."""
        scan = actions.scan_or_none(parameters.scan)
        if self._curves_shown is not self.prepared or any(find_node(role, scan) is None for role in CURVES):
            study.show_prepared(self.prepared, parameters.scan, kept=self._given, progress=progress)
            self._curves_shown = self.prepared
            self._state = actions.state_of(parameters)  # what was written may share a labelmap with what was given

    def candidates_of(self, scan: Any) -> tuple[Candidate, ...]:
        """Return the arterial candidates of the last search in this scan."""
        return self._candidates if scan is not None and self._candidates_of == scan.GetID() else ()

    def analysis_of(self, scan: Any) -> Analysis | None:
        """Return the last whole run if it is of this scan."""
        return self.analysis if scan is not None and self.shown and self.shown.scan == scan.GetID() else None

    def keep_only_present(self) -> None:
        """Drop everything when the scan has left the scene, and the last whole run when the one it was of has."""
        if self._candidates_of and slicer.mrmlScene.GetNodeByID(self._candidates_of) is None:
            self.forget()
        if self.shown and slicer.mrmlScene.GetNodeByID(self.shown.scan) is None:
            self.analysis = self.shown = None  # its ID may become that of another scan
        if self._series_of and slicer.mrmlScene.GetNodeByID(self._series_of) is None:
            self._series = self._series_of = None

    def _with_former(self, request: study.Request) -> study.Request:
        """Let a scan that was read before, and is unchanged, not be copied again."""
        return replace(request, former=self._series)

    def _keep(self, prepared: Prepared, scan_id: str) -> None:
        """Keep a run, or its first half; the candidates stay where the user's own input was taken."""
        self.prepared, self._state = prepared, None
        self._series, self._series_of = prepared.raw, scan_id
        if prepared.aif.candidates or self._candidates_of != scan_id:
            self._candidates, self._candidates_of = prepared.aif.candidates, scan_id
