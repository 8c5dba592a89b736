"""A run with a progress dialog that can be cancelled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qt
import slicer

from PyPeTLib.errors import Cancelled
from PyPeTLib.records import Progress


@contextmanager
def cancellable(parent: Any, stopped: Callable[[], bool]) -> Iterator[Progress]:
    """Yield a progress callback that moves a dialog and raises `Cancelled` when the user cancels.

    Parameters
    ----------
    parent : QWidget
        What the dialog belongs to.
    stopped : callable
        Tells whether something else, such as the scene being closed, ends the run.
    """
    dialog = slicer.util.createProgressDialog(
        parent=parent, maximum=100, labelText="Reading the scan", windowTitle="PyPeT"
    )
    dialog.windowModality = qt.Qt.ApplicationModal
    dialog.autoReset = dialog.autoClose = False

    def progress(fraction: float, text: str) -> None:
        dialog.labelText = text
        dialog.value = round(100.0 * fraction)
        slicer.app.processEvents()
        if dialog.wasCanceled or stopped():
            raise Cancelled("Stopped by the user.")

    try:
        progress(0.0, "Reading the scan")
        yield progress
    finally:
        dialog.close()
        dialog.deleteLater()
