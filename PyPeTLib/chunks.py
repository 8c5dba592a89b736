"""Work on many voxels in blocks of a fixed size, on all processors, with the same result on any number of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.records import Progress, silent

#: Rows of a block: small enough for the cache and for prompt cancelling, and fixed,
#: so that rounding does not depend on the machine.
BLOCK_ROWS = 8192


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
    done = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for result in pool.map(function, blocks):
                done.append(result)
                progress(len(done) / len(blocks), "")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return np.concatenate(done)


def share(progress: Progress, low: float, high: float, text: str = "") -> Progress:
    """Return a callback that maps 0 … 1 of one step to ``low`` … ``high`` of the whole, under one text or its own."""
    return lambda fraction, inner: progress(low + (high - low) * fraction, text or inner)
