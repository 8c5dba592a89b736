"""The noise of every frame of a scan, for curves are taken as equally certain in all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, MaskArray

#: Noise is measured in about so many pairs of neighbouring voxels; fewer than the second number tell no two frames
#: from each other.
PAIRS, FEWEST_PAIRS = 4000, 50
#: Differences count as no larger than so many SDs, which leaves this share of the variance of normal noise.
CLIPPED_SDS, CLIPPED_VARIANCE = 2.0, 0.9205
#: A frame misses the line between the frames beside it, and that between those two frames away. Frames share their
#: noise where the first variance is less than this share of the second: noise of their own is as much in both.
SHARED, TWO_AWAY = 0.75, 2


def frame_noise_hu(hu: npt.NDArray[Any], mask: MaskArray, times_s: FloatArray) -> FloatArray | None:
    """Return the SD in HU of what noise makes neighbouring voxels differ by, in every frame.

    Differences of neighbours hold little of the contrast, and nothing of the drift and the jumps that all voxels share.
    What is left of the contrast is taken for the line between the frame before and the one after. The variance of what
    misses the line, clipped so that vessels hardly change it, tells the noise of three frames together,
    ``v_k = s_k² + w²·s_before² + (1 − w)²·s_after²``, and as many equations as frames tell that of each.

    Neighbours share part of their noise, the more the smoother it is: only frames of one scan can be compared. Frames
    that were interpolated or averaged in time have no noise of their own. That is told frame by frame
    (`curves.noise_correlation`, of all frames together, takes a single noisy one for it).

    Parameters
    ----------
    hu : ndarray, shape (t, voxel)
        HU of the voxels of the mask.
    mask : ndarray of bool, shape (z, y, x)
    times_s : ndarray, shape (t,)
        Acquisition times in s, at least six.

    Returns
    -------
    ndarray, shape (t,), or None
        None where too few voxels of the mask are neighbours, or frames share their noise.

    Examples
    --------
    >>> noise = np.where(np.arange(20) == 12, 25.0, 5.0)
    >>> hu = np.random.default_rng(0).normal(30.0, noise[:, None], (20, 8000))
    >>> found = frame_noise_hu(hu, np.ones((2, 40, 100), dtype=bool), np.arange(20.0))
    >>> (found / np.sqrt(2.0)).round()[9:16].tolist()
    [5.0, 5.0, 5.0, 25.0, 5.0, 5.0, 5.0]
    """
    first = np.flatnonzero(np.diff(np.flatnonzero(mask)) == 1)
    if first.size < FEWEST_PAIRS:
        return None
    first = first[:: -(-first.size // PAIRS)]
    apart = hu[:, first + 1].astype(np.float32) - hu[:, first]
    (near, together), (far, two_away) = (_missed_variance(apart, times_s, away) for away in (1, TWO_AWAY))
    own = two_away * np.sum(near**2, axis=1) / np.sum(far**2, axis=1)
    if np.median((together < SHARED * own)[TWO_AWAY:-TWO_AWAY]) > 0.5:
        return None
    return _of_single_frames(near, together)


def _missed_variance(apart: npt.NDArray[np.float32], times_s: FloatArray, away: int) -> tuple[FloatArray, FloatArray]:
    """Return what takes curves to each frame less the line between those so many away, and the variance of that."""
    frames = np.arange(len(times_s))
    before, after = np.maximum(frames - away, 0), np.minimum(frames + away, frames[-1])
    share = (times_s - times_s[before]) / (times_s[after] - times_s[before])
    share[:away], share[-away:] = 1.0, 0.0  # at the ends less the frame on the one side there is
    lines = np.eye(frames.size)
    lines[frames, after] -= share
    lines[frames, before] -= 1.0 - share
    return lines, _clipped_variance(lines.astype(np.float32) @ apart)


def _clipped_variance(missed: npt.NDArray[np.float32]) -> FloatArray:
    """Return the variance of each row; a median alone would leap, for HU are whole numbers."""
    size = np.abs(missed)
    most = CLIPPED_SDS * np.median(size, axis=1, keepdims=True) / 0.6745
    return np.asarray(np.mean(np.minimum(size, most) ** 2, axis=1, dtype=float) / CLIPPED_VARIANCE)


def _of_single_frames(lines: FloatArray, together: FloatArray) -> FloatArray | None:
    """Return the SD of each frame from variances of frames together, each as uncertain as it is large, or None."""
    from scipy.optimize import nnls

    size = np.maximum(together, 1e-9)
    try:
        variances, _ = nnls(lines**2 / size[:, None], together / size)
    except RuntimeError:  # it finds no end: nothing is known
        return None
    return np.asarray(np.sqrt(variances))
