"""The figures of a comparison, drawn by other processes while the maps of the next case are read and measured."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from PyPeTLib.errors import PyPeTError
from PyPeTLib.packages import why_not

if TYPE_CHECKING:
    from PyPeTLib.compare import Comparison
    from PyPeTLib.geometry import FloatArray
    from PyPeTLib.pairing import Pair

#: Processes that draw: a case has four maps or a few more.
MOST_PROCESSES = 4


class FigureWriter:
    """Processes that write the figures of a comparison into a folder; leaving the context waits for all of them.

    matplotlib draws in the interpreter, of which a process has one: threads would wait for each other. Where the system
    can, one process imports matplotlib while the maps are read, and is copied when there is something to draw; the
    process that reads is not, because it has threads at work.

    Parameters
    ----------
    folder : Path
        It exists.
    """

    def __init__(self, folder: Path) -> None:
        count = min(os.cpu_count() or 1, MOST_PROCESSES)
        self._pool = ProcessPoolExecutor(count, mp_context=_context(), initializer=_obey)
        self._folder = folder
        self._pending: list[Future[None]] = []
        self._reason: str | None = None

    def __enter__(self) -> FigureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def case(self, comparison: Comparison, pairs: Mapping[str, Pair]) -> None:
        """Have the maps of a case drawn, once those of the case before are: maps of one case at most wait in memory.

        Raises
        ------
        InputError
            If a picture of the case before cannot be written.
        PyPeTError
            If a process that draws was ended.
        """
        self._finish()
        if not self.why_not():
            self._pending = [
                self._pool.submit(_draw_pair, comparison, name, pair, self._folder) for name, pair in pairs.items()
            ]

    def volumes(self, volumes: Mapping[str, FloatArray]) -> None:
        """Have the volumes of all cases drawn."""
        if not self.why_not():
            self._pending.append(self._pool.submit(_draw_volumes, volumes, self._folder))

    def why_not(self) -> str:
        """Return why nothing is drawn, "" where it is: known to the processes that draw, once they are ready."""
        if self._reason is None:
            with _told():
                self._reason = self._pool.submit(why_not, "matplotlib").result()
        return self._reason

    def _finish(self) -> None:
        """Wait for what is being drawn."""
        with _told():
            for drawn in self._pending:
                drawn.result()
        self._pending = []


@contextmanager
def _told() -> Iterator[None]:
    """Say in words that a process was ended."""
    try:
        yield
    except BrokenProcessPool as error:
        raise PyPeTError(
            "Figures: a process that draws ended too soon, perhaps for want of memory. Give --no-figures."
        ) from error


def _context() -> BaseContext:
    """Return how processes start; where there is a server of copies, it starts now and imports what draws."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver, resource_tracker

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["PyPeTLib.compare_ready"])
    resource_tracker.ensure_running()  # by itself the server would start it, which lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the server has it from here
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _obey() -> None:
    """Leave Ctrl-C to the process that was called, and end when it is gone, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)


def _draw_pair(comparison: Comparison, name: str, pair: Pair, folder: Path) -> None:
    from PyPeTLib.compare_figures import write_figure

    write_figure(comparison, name, pair, folder)


def _draw_volumes(volumes: Mapping[str, FloatArray], folder: Path) -> None:
    from PyPeTLib.compare_figures import write_volumes_figure

    write_volumes_figure(volumes, folder)
