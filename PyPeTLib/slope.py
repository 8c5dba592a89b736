"""Maximum slope: flow from the steepest rise of tissue, before blood leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib.chunks import in_chunks
from PyPeTLib.curves import peaks
from PyPeTLib.geometry import FloatArray
from PyPeTLib.progress import Progress
from PyPeTLib.records import Curves, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: Slopes are evaluated so often, in s: short against a bolus.
STEP_S = 0.2


def max_slope(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress
) -> Response:
    """Return flow from the steepest rise of each curve over the height of the arterial input.

    As long as no contrast agent has left the tissue, ``dC_t/dt = CBF·(ρ/κ)·C_a(t − delay)``, steepest at the arterial
    peak. Both sides are means over ``slope_window_s``, of curves interpolated by cubic splines. Tmax is the time from
    the arterial peak to the steepest rise: the delay, if tissue begins to fill when its blood arrives. Blood that
    leaves before makes flow too small and Tmax too early, the more the shorter the transit time is against the bolus
    (to about half, and 2 s); noise makes the steepest rise of little flow too steep.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    settings : Settings
        ``slope_window_s``.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Klotz and König 1999, Eur J Radiol 30:170–184
    """
    from scipy.interpolate import CubicSpline

    window = min(settings.slope_window_s, 0.5 * float(times_s[-1] - times_s[0]))
    middle = np.arange(times_s[0] + 0.5 * window, times_s[-1] - 0.5 * window + 1e-6, STEP_S)
    ends = (middle - 0.5 * window, np.minimum(middle + 0.5 * window, times_s[-1]))
    tissue, area = CubicSpline(times_s, curves.basis, axis=1), CubicSpline(times_s, aif_hu).antiderivative()
    slopes = ((tissue(ends[1]) - tissue(ends[0])) / window).astype(np.float32)
    artery = peaks((area(ends[1]) - area(ends[0]))[None] / window)[0]
    steepest = in_chunks(lambda rows: peaks(rows @ slopes), curves.coefficients, progress=progress)
    return Response(steepest[:, 0] / artery[0], STEP_S * (steepest[:, 1] - artery[1]))
