"""A run with a progress dialog that can be cancelled, and what is done once the present events are over."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from PyPeTLib.errors import Cancelled
from PyPeTLib.progress import Progress

#: The dialog moves, and takes clicks, at most so often, in s: hundreds of calls then cost nothing.
INTERVAL_S = 0.05


@contextmanager
def cancellable(parent: Any, stopped: Callable[[], bool]) -> Iterator[Progress]:
    """Yield a progress callback that moves a dialog and raises `Cancelled` when the user cancels.

    Parameters
    ----------
    parent : QWidget
        What the dialog belongs to.
    stopped : callable
        Tells whether the scene was closed meanwhile, which ends the run, too.
    """
    dialog = slicer.util.createProgressDialog(
        parent=parent, maximum=100, labelText=_("Reading the scan"), windowTitle="PyPeT"
    )
    dialog.windowModality = qt.Qt.ApplicationModal
    dialog.autoReset = dialog.autoClose = False
    due = 0.0

    def show(fraction: float, text: str) -> None:
        nonlocal due
        if time.monotonic() >= due:
            dialog.labelText = text
            dialog.value = round(100.0 * fraction)
            slicer.app.processEvents()
            due = time.monotonic() + INTERVAL_S

    def progress(fraction: float, text: str) -> None:
        show(fraction, text)
        if stopped():
            raise Cancelled(_("The scene was closed; PyPeT was stopped."))
        if dialog.wasCanceled:
            raise Cancelled(_("PyPeT was stopped; the scene is as it was."))

    try:
        show(0.0, _("Reading the scan"))  # what is stopped here already ends at the first call
        yield progress
    finally:
        dialog.close()
        dialog.deleteLater()


def soon(parent: Any, function: Callable[[], None]) -> Any:
    """Return a timer whose ``start(0)`` calls a function after the present events, once however often it is started.

    Parameters
    ----------
    parent : QObject
        The timer goes with it.
    function : callable
        What to call.
    """
    timer = qt.QTimer(parent)
    timer.setSingleShot(True)
    timer.connect("timeout()", function)
    return timer


def settle() -> None:
    """Let new views get their size, before slices are fitted into them."""
    slicer.app.processEvents()
