"""The bias of a linear deconvolution, known from simulated tissue of the patient's own arterial input, and inverted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from PyPeTLib.curves import area_share
from PyPeTLib.dictionary import DELAYS_S, SHAPES, Float32Array, sample_of, usual_delay_s
from PyPeTLib.geometry import FloatArray
from PyPeTLib.kinetics import BOX, tissue_curves
from PyPeTLib.records import Curves, Response

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: What is simulated: mean transit times in s (truncation makes shorter ones all alike, and noise would decide), at the
#: delays of the dictionary.
MTTS_S = np.geomspace(2.0, 30.0, 32)
#: Nodes of the inverted table: apparent transit times, apparent times of the maximum.
NODES = (64, 64)
#: Added from node to node, so that what has stopped growing still has an inverse.
LEAST_STEP = 1e-6


@dataclass(frozen=True)
class Inversion:
    """What a voxel is, from what a biased method says of it.

    Parameters
    ----------
    log_apparent : ndarray, shape (a,)
        Logarithm of the apparent transit time in s, evenly spaced.
    tmax_s : ndarray, shape (b,)
        Apparent time of the maximum in s, evenly spaced.
    truth : ndarray, shape (3, a, b)
        Logarithm of the true transit time in s, true delay less apparent Tmax in s, and measured over true volume.
    """

    log_apparent: FloatArray
    tmax_s: FloatArray
    truth: FloatArray


def corrected(
    response: Response,
    method: Callable[[Float32Array], Response],
    curves: Curves,
    aif_hu: FloatArray,
    times_s: FloatArray,
    *,
    settings: Settings,
) -> Response:
    """Return flow, volume and times without the bias that the same method has on simulated tissue.

    Tissue of all transit times and delays is made from the arterial input (`kinetics.tissue_curves`), sampled when the
    scan was, projected on the temporal components of the data, and given to the method. For each delay the apparent
    transit time, measured volume over maximum of the response, grows with the true one, and for each transit time the
    apparent Tmax grows with the delay; so the two tell transit time and delay. Flow is true volume over true transit
    time. The residue function is that of the settings. The simulation is free of noise: what noise does to the maximum
    of a response is left. Apparent transit times beyond those of 2 and 30 s become 2 and 30 s. Voxels without a
    positive volume and maximum stay as they were.

    Parameters
    ----------
    response : Response
        What the method says of ``curves``.
    method : callable
        From coefficients, shape (voxel, component), to the method's `Response`.
    curves : Curves
        Smoothed enhancement in HU.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    settings : Settings
        ``residue``, not automatic.

    Returns
    -------
    Response
        With volume, residue and ``tmax_uncorrected_s``; Tmax is the delay, or the middle of a box.
    """
    sample, free = sample_of(curves)
    delays_s = usual_delay_s(sample, aif_hu, times_s, free) + DELAYS_S
    name, shape = settings.residue, SHAPES[settings.residue]
    made = tissue_curves(aif_hu, times_s, delays_s=delays_s, mtts_s=MTTS_S, shape=shape)
    table = _inversion(made, delays_s, method, curves, aif_hu, times_s)
    volume = area_share(curves, aif_hu, times_s)
    known = (volume > 0) & (response.height > 0)
    apparent = np.where(known, volume, 1.0) / np.where(known, response.height, 1.0)
    mtt, delay, share = looked_up(table, apparent, response.tmax_s)
    tmax = delay + 0.5 * mtt if shape == BOX else delay
    return replace(
        response,
        height=np.where(known, volume / share / mtt, response.height),
        tmax_s=np.where(known, tmax, response.tmax_s),
        volume=np.where(known, volume / share, volume),
        residue=name,
        tmax_uncorrected_s=response.tmax_s,
    )


def _inversion(
    made: FloatArray,
    delays_s: FloatArray,
    method: Callable[[Float32Array], Response],
    curves: Curves,
    aif_hu: FloatArray,
    times_s: FloatArray,
) -> Inversion:
    """Return the table from what the method says of simulated tissue, shape (mtt, delay, t) and of unit volume."""
    inside = (made @ np.linalg.pinv(curves.basis.astype(float))).astype(np.float32).reshape(-1, len(curves.basis))
    found = method(inside)
    share = area_share(replace(curves, coefficients=inside), aif_hu, times_s)
    tiny = np.finfo(np.float32).tiny
    apparent = np.maximum(share, tiny) / np.maximum(found.height, tiny)
    grid = (MTTS_S.size, delays_s.size)
    return inverted(np.log(apparent).reshape(grid), found.tmax_s.reshape(grid), share.reshape(grid), delays_s)


def inverted(log_apparent: FloatArray, tmax_s: FloatArray, share: FloatArray, delays_s: FloatArray) -> Inversion:
    """Invert what is known on the grid of truth, shape (mtt, delay), first along transit times, then along delays.

    Where the apparent value does not grow with the true one, the smallest truth that reaches it is taken.
    """
    apparent, log_mtt = _growing(log_apparent, 0), np.log(MTTS_S)
    rows = np.linspace(apparent.min(), apparent.max(), NODES[0])
    mtt = np.stack([np.interp(rows, column, log_mtt) for column in apparent.T], axis=1)

    def at_mtt(values: FloatArray) -> FloatArray:
        pairs = zip(mtt.T, values.T, strict=True)
        return np.stack([np.interp(one, log_mtt, column) for one, column in pairs], axis=1)

    late = _growing(at_mtt(tmax_s), 1)
    columns = np.linspace(late.min(), late.max(), NODES[1])
    truth = (mtt, delays_s - late, at_mtt(share))
    by_tmax = [[np.interp(columns, *pair) for pair in zip(late, values, strict=True)] for values in truth]
    return Inversion(rows, columns, np.array(by_tmax))


def _growing(values: FloatArray, axis: int) -> FloatArray:
    """Return the running maximum along an axis, with a tiny slope."""
    steps = LEAST_STEP * np.expand_dims(np.arange(values.shape[axis]), 1 - axis)
    return np.asarray(np.maximum.accumulate(values, axis=axis) + steps)


def looked_up(
    table: Inversion, apparent_s: FloatArray, tmax_s: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return true transit times and delays in s and the measured share of the volume, linear between the nodes.

    Transit times end where the table ends; delays do not, for a Tmax beyond it is as much later than the delay.
    """
    from scipy.ndimage import map_coordinates

    axes = ((np.log(apparent_s), table.log_apparent), (tmax_s, table.tmax_s))
    place = [(values - nodes[0]) / (nodes[1] - nodes[0]) for values, nodes in axes]
    log_mtt, earlier, share = (map_coordinates(values, place, order=1, mode="nearest") for values in table.truth)
    return np.exp(log_mtt), tmax_s + earlier, share
