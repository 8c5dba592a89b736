"""From impulse response and enhancement to CBF, CBV, MTT, Tmax and TTP in physical units."""

from __future__ import annotations

import numpy as np

from PyPeTLib.analysis import MAP_UNITS, Maps
from PyPeTLib.chunks import in_chunks, share
from PyPeTLib.curves import area_share, peaks
from PyPeTLib.geometry import FloatArray, Geometry, Image
from PyPeTLib.progress import Progress
from PyPeTLib.records import Curves, Response
from PyPeTLib.settings import Settings


def perfusion_maps(
    curves: Curves,
    response: Response,
    aif_hu: FloatArray,
    times_s: FloatArray,
    *,
    arrival_s: float,
    geometry: Geometry,
    settings: Settings,
    progress: Progress,
) -> Maps:
    """Return the perfusion maps of the voxels of ``curves``; NaN elsewhere.

    CBF = 6000·(κ/ρ)·max k, CBV = 100·(κ/ρ)·∫C_t/∫C_a, MTT = 60·CBV/CBF, Tmax = time of max k,
    TTP = time of max C_t − bolus arrival (CAPLEX Q.PH1.003, Q.PH1.001, Q.PH1.006, Q.CD1.010).
    The volume is that of the method's model or correction where it has one.

    Parameters
    ----------
    curves : Curves
        Denoised enhancement in HU.
    response : Response
        Its impulse responses.
    aif_hu : ndarray, shape (t,)
        Arterial input in HU, partial volume corrected.
    times_s : ndarray, shape (t,)
        Acquisition times in s.
    arrival_s : float
        Bolus arrival in s on the same axis.
    geometry : Geometry
        Grid of ``curves.mask``.
    settings : Settings
        Physiological constants.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    References
    ----------
    Østergaard 1996, doi:10.1002/mrm.1910360510; Fieselmann 2011, doi:10.1155/2011/467563
    """
    scale = settings.hematocrit_factor / settings.tissue_density_g_ml
    searched = share(progress, 0.0, 0.6)
    tissue = in_chunks(lambda rows: peaks(rows @ curves.basis), curves.coefficients, progress=searched)
    flow = 6000.0 * scale * response.height
    volume = 100.0 * scale * (area_share(curves, aif_hu, times_s) if response.volume is None else response.volume)
    values = {
        "cbf": flow,
        "cbv": volume,
        "mtt": mean_transit_time(flow, volume),
        "tmax": response.tmax_s,
        "ttp": np.interp(tissue[:, 1], np.arange(times_s.size), times_s) - arrival_s,
        "delay": response.delay_s,
    }
    maps = {}
    for done, (name, value) in enumerate(values.items()):
        progress(0.7 + 0.3 * done / len(values), "")
        if value is not None:
            maps[name] = _image(value, curves, geometry, MAP_UNITS[name])
    factors = {"cbf": 6000.0 * scale, "cbv": 100.0 * scale}
    sd = {
        name: _image(factors.get(name, 1.0) * value, curves, geometry, MAP_UNITS[name])
        for name, value in response.sd.items()
    }
    before = response.tmax_uncorrected_s
    uncorrected = {} if before is None else {"tmax": _image(before, curves, geometry, MAP_UNITS["tmax"])}
    return Maps(**maps, sd=sd, residue=response.residue, strength=response.strength, uncorrected=uncorrected)


def mean_transit_time(flow: FloatArray, volume: FloatArray) -> FloatArray:
    """Return MTT = 60·CBV/CBF in s (central volume theorem), NaN where either is not positive.

    Parameters
    ----------
    flow, volume : ndarray
        CBF in mL/100 g/min and CBV in mL/100 g (or both per 100 mL).

    Examples
    --------
    >>> mean_transit_time(np.array([60.0, 0.0]), np.array([4.0, 4.0]))
    array([ 4., nan])
    """
    valid = (flow > 0) & (volume > 0)
    return np.asarray(60.0 * np.where(valid, volume, np.nan) / np.where(valid, flow, 1.0))


def _image(values: FloatArray, curves: Curves, geometry: Geometry, unit: str) -> Image:
    """Put voxel values back on the grid as float32, NaN outside the mask."""
    grid = np.full(curves.mask.shape, np.nan, dtype=np.float32)
    grid[curves.mask] = values
    return Image(grid, geometry, unit)
