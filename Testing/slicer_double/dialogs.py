"""Dialogs: none opens; what would have been shown is kept, and a question without a prepared answer raises."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field

import slicer.util
from PySide6 import QtWidgets

_create_progress_dialog = slicer.util.createProgressDialog


@dataclass(frozen=True)
class Message:
    """One message box: the level of logging ("INFO", "WARNING", "ERROR") and the text."""

    level: str
    text: str


@dataclass
class Dialogs:
    """What the user would have seen, and what the test answers."""

    messages: list[Message] = field(default_factory=list)
    shown: list[BaseException] = field(default_factory=list)  # handled while an error was displayed
    answers: list[bool] = field(default_factory=list)  # of the coming confirm…Display calls, in order
    paths: list[str] = field(default_factory=list)  # of the coming file dialogs; "" cancels
    progress: list[QtWidgets.QProgressDialog] = field(default_factory=list)
    progress_values: list[int] = field(default_factory=list)  # as the bars of all progress dialogs showed them
    on_progress: list = field(default_factory=list)  # called with each new progress dialog, e.g. to cancel it

    def errors(self) -> list[str]:
        return [message.text for message in self.messages if message.level == "ERROR"]

    def clear(self) -> None:
        for kept in vars(self).values():
            kept.clear()


dialogs = Dialogs()


def install(qt) -> None:
    """Put recorders into ``slicer.util`` and ``qt`` wherever a dialog would wait for the user."""
    slicer.util._messageDisplay = _message_display
    slicer.util.messageBox = _message_box
    slicer.util.createProgressDialog = _progress_dialog
    for function in ("getOpenFileName", "getSaveFileName", "getExistingDirectory"):
        setattr(qt.QFileDialog, function, staticmethod(lambda *_, **__: _next_path()))
    for waiting in ("exec", "exec_"):
        setattr(qt.QDialog, waiting, _refuse)
        setattr(qt.QMessageBox, waiting, _refuse)
        setattr(qt.QMenu, waiting, _refuse)


def _message_display(level, text, testing_value=None, mainWindowNeeded=False, standardButtons=None, **_):  # noqa: N803
    """Stand for the function behind infoDisplay, warningDisplay, errorDisplay and confirm…Display."""
    dialogs.messages.append(Message(logging.getLevelName(level), str(text)))
    if level >= logging.ERROR and sys.exc_info()[1]:
        dialogs.shown.append(sys.exc_info()[1])
    if testing_value is None:
        return None
    if not dialogs.answers:
        raise AssertionError(f"a dialog would wait for the user: {text!r}; put an answer into dialogs.answers")
    chosen = int(standardButtons)
    return _button(chosen, positive=dialogs.answers.pop(0))


def _button(buttons: int, *, positive: bool):
    """Return the button that says yes, or the one that says no, of a set of standard buttons."""
    kinds = QtWidgets.QMessageBox.StandardButton
    yes = (kinds.Ok, kinds.Yes, kinds.Retry)
    return next(kind for kind in kinds if kind and kind & buttons and (kind in yes) == positive)


def _message_box(text, parent=None, **_):
    dialogs.messages.append(Message("INFO", str(text)))
    return QtWidgets.QMessageBox.StandardButton.Ok


def _progress_dialog(*args, **kwargs):
    """Make the real dialog, and let the test see it."""
    dialog = _create_progress_dialog(*args, **kwargs)
    dialogs.progress.append(dialog)
    dialog.findChild(QtWidgets.QProgressBar).connect("valueChanged(int)", dialogs.progress_values.append)
    for look in dialogs.on_progress:
        look(dialog)
    return dialog


def _next_path() -> str:
    if not dialogs.paths:
        raise AssertionError("a file dialog would wait for the user: put a path into dialogs.paths")
    return dialogs.paths.pop(0)


def _refuse(self, *_):
    raise AssertionError(f"{type(self).__name__} would wait for the user")
