"""Long work in pieces that report progress and can be cancelled, with the same result on any number of processors."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from threading import Event
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from PyPeTLib.progress import Progress, silent

#: Rows of a block: small enough for the cache and for prompt cancelling, and fixed,
#: so that rounding does not depend on the machine.
BLOCK_ROWS = 8192
#: Rows of one matrix product, and its multiplications at most: so few that libraries leave it to one thread. More
#: threads round otherwise, and blocks of voxels are computed in parallel already.
PRODUCT_ROWS, PRODUCT_SIZE = 16, 2**18
#: Progress is called at least so often, in s, while a block is computed.
PATIENCE_S = 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_chunks(
    function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], rows: npt.NDArray[Any], *, progress: Progress = silent
) -> npt.NDArray[Any]:
    """Apply ``function`` to blocks of rows in parallel and join the results.

    Parameters
    ----------
    function : callable
        Takes an array of shape (block, …) and returns one with the same number of rows; no side effects.
    rows : ndarray, shape (n, …)
        The rows, n >= 1; not modified.
    progress : callable
        ``progress(fraction, text)`` after every block; raising from it cancels what is left.

    Returns
    -------
    ndarray, shape (n, …)

    Examples
    --------
    >>> in_chunks(lambda block: block.sum(axis=1), np.ones((3, 2)))
    array([2., 2., 2.])
    """
    blocks = [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]
    return np.concatenate(list(in_parallel(function, blocks, progress=progress)))


def product(rows: npt.NDArray[Any], matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``rows @ matrix`` as many small products, each on one thread: of the same bytes however many there are.

    Examples
    --------
    >>> product(np.ones((17, 2)), np.ones((2, 3))).shape
    (17, 3)
    """
    whole = len(rows) - len(rows) % PRODUCT_ROWS
    found = np.empty((len(rows), matrix.shape[1]), dtype=np.result_type(rows, matrix))
    stack = rows[:whole].reshape(-1, PRODUCT_ROWS, rows.shape[1])
    of_stack = found[:whole].reshape(-1, PRODUCT_ROWS, matrix.shape[1])
    width = max(1, PRODUCT_SIZE // (PRODUCT_ROWS * max(1, rows.shape[1])))
    for start in range(0, matrix.shape[1], width):
        columns = np.s_[..., start : start + width]
        np.matmul(stack, matrix[columns], out=of_stack[columns])
        np.matmul(rows[whole:], matrix[columns], out=found[whole:][columns])
    return found


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], *, progress: Progress = silent
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of the items, computed on all processors.

    Progress is called after every result and, with the fraction reached, while one takes its time, on the caller's
    thread; when it raises, what has not begun is dropped.

    Examples
    --------
    >>> list(in_parallel(abs, [-1, 2]))
    [1, 2]
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            futures = deque(pool.submit(function, item) for item in items)
            while futures:
                fraction = 1.0 - len(futures) / len(items)
                while not wait([futures[0]], PATIENCE_S).done:
                    progress(fraction, "")
                yield futures.popleft().result()
                progress(1.0 - len(futures) / len(items), "")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def stopping(progress: Progress) -> tuple[Progress, Progress]:
    """Return progress for the caller's thread, and for workers one that raises once that of the caller has raised.

    So long tasks side by side, none of which may report from its own thread, stop when the user cancels.

    Examples
    --------
    >>> def cancel(fraction, text):
    ...     raise KeyboardInterrupt
    >>> told, still = stopping(cancel)
    >>> still(0.5, "")  # nobody has cancelled yet
    >>> try:
    ...     told(0.5, "")
    ... except KeyboardInterrupt:
    ...     try:
    ...         still(0.6, "")
    ...     except CancelledError:
    ...         print("stopped")
    stopped
    """
    stopped = Event()

    def told(fraction: float, text: str) -> None:
        try:
            progress(fraction, text)
        except BaseException:
            stopped.set()
            raise

    def still(fraction: float, text: str) -> None:
        if stopped.is_set():
            raise CancelledError

    return told, still


def mean_frame(frames: npt.NDArray[Any], *, progress: Progress = silent) -> npt.NDArray[np.float32]:
    """Return the mean over time, float32.

    Parameters
    ----------
    frames : ndarray, shape (t, …)
        The frames, t >= 1; not modified.
    progress : callable
        ``progress(fraction, text)`` after every frame; raising from it cancels.

    Examples
    --------
    >>> mean_frame(np.array([[1, 2], [3, 6]], dtype=np.int16))
    array([2., 4.], dtype=float32)
    """
    total = np.zeros(frames.shape[1:], dtype=np.float32)
    for done, frame in enumerate(frames):
        total += frame
        progress((done + 1) / len(frames), "")
    total /= np.float32(len(frames))
    return total


def execute(sitk_filter: Any, image: Any, *, progress: Progress) -> Any:
    """Execute a SimpleITK filter on an image, with progress; where that raises, the filter stops and the error is its.

    An exception must not cross ITK, which prints it and makes another of it.
    """
    import SimpleITK as sitk

    raised: list[BaseException] = []

    def tell() -> None:
        try:
            if not raised:
                progress(sitk_filter.GetProgress(), "")
        except BaseException as error:
            raised.append(error)
            sitk_filter.Abort()

    sitk_filter.AddCommand(sitk.sitkProgressEvent, tell)
    try:
        made = sitk_filter.Execute(image)
    except RuntimeError:
        if not raised:
            raise
    finally:
        sitk_filter.RemoveAllCommands()  # the command holds the filter, which holds the command
    if raised:
        raise raised[0]
    return made


def share(progress: Progress, low: float, high: float, text: str = "") -> Progress:
    """Return a callback that maps 0 … 1 of one step to ``low`` … ``high`` of the whole, under one text or its own."""
    return lambda fraction, inner: progress(low + (high - low) * fraction, text or inner)
