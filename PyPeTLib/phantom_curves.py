"""Curves of the phantoms: the bolus, residue functions, and what tissue and vessels make of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import signal, special

from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import GammaVariate

Residue = Literal["exponential", "box", "linear", "gamma", "fermi", "mixed"]

#: Brain tissue density in g/mL (CAPLEX Q.PH1.011).
DENSITY_G_ML = 1.05
#: Hematocrit factor (1 − 0.45) / (1 − 0.25) (CAPLEX Q.PH1.013).
HEMATOCRIT_FACTOR = 0.55 / 0.75
#: Step of the time grid on which curves are convolved, in s.
TIME_STEP_S = 0.1
#: Exponent of the first pass, and of the gamma distribution of transit times.
BOLUS_SHAPE = 3.0
TRANSIT_SHAPE = 3.0
#: The Fermi function ``(1 + a) / (1 + a·exp(rate·s))`` begins with 1 at s = 0; its area is 1 for this rate.
FERMI_START = 0.0025
FERMI_RATE = (1.0 + FERMI_START) * np.log1p(1.0 / FERMI_START)
#: SD of the logarithm of the log-normal transit times of the mixed residue.
LOG_NORMAL_SD = 0.65
#: The second pass is that much broader than the first and begins so many widths after it.
SECOND_PASS_BROADER, SECOND_PASS_LATER = 1.25, 1.5
#: The tail starts at this share of the second pass, builds up and falls with these time constants in s.
TAIL_SHARE, TAIL_RISE_S, TAIL_FALL_S = 0.5, 8.0, 120.0
#: Veins show the arterial curve after exponential transit, delayed (both s).
VENOUS_TRANSIT_S, VENOUS_DELAY_S = 6.0, 4.0


def bolus_curve(
    times_s: FloatArray, *, arrival_s: float, width_s: float, peak_hu: float, recirculation: float
) -> FloatArray:
    """Return an arterial input: gamma-variate first pass, broader second pass, slowly falling tail.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        Times in s.
    arrival_s : float
        Onset in s; the curve is 0 before.
    width_s : float
        Full width at half maximum of the first pass in s.
    peak_hu : float
        Height of the first pass in HU.
    recirculation : float
        Height of the second pass as a share of the first.

    Returns
    -------
    ndarray, shape (t,)
        Enhancement in HU.

    References
    ----------
    Madsen 1992, doi:10.1088/0031-9155/37/7/010

    Examples
    --------
    >>> times = np.arange(0, 60, 0.01)
    >>> first = bolus_curve(times, arrival_s=10, width_s=9, peak_hu=300, recirculation=0)
    >>> float(first.max().round(1)), float((0.01 * (first > 150).sum()).round(1))
    (300.0, 9.0)
    """
    second_s = arrival_s + SECOND_PASS_LATER * width_s
    first = _pass(arrival_s, width_s, peak_hu)(times_s)
    again = _pass(second_s, SECOND_PASS_BROADER * width_s, peak_hu * recirculation)(times_s)
    since = np.maximum(np.asarray(times_s, dtype=float) - second_s, 0.0)
    tail = TAIL_SHARE * peak_hu * recirculation * (1 - np.exp(-since / TAIL_RISE_S)) * np.exp(-since / TAIL_FALL_S)
    return np.asarray(first + again + tail)


def residue_curve(times_s: FloatArray, *, mtt_s: float, residue: Residue) -> FloatArray:
    """Return the residue function R(t) (CAPLEX Q.IC1.002): R(0) = 1 and area ``mtt_s``.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        Times after the input in s, >= 0.
    mtt_s : float
        Mean transit time in s, > 0.
    residue : {"exponential", "box", "linear", "gamma", "fermi", "mixed"}
        exp(−t/MTT); 1 for t < MTT; 1 − t/(2·MTT) for t < 2·MTT; that of gamma-distributed transit times of shape 3; a
        Fermi function, a plateau that falls within a third of the MTT on either side of it; or half exponential and
        half that of log-normal transit times (SD of the logarithm 0.65). No method knows the last two: the former is
        near gamma-distributed transit times of shape 10, the latter is a plateau with a tail longer than exponential.

    Returns
    -------
    ndarray, shape (t,)
        R, no unit.

    References
    ----------
    Jerosch-Herold 1998, doi:10.1118/1.598163 (Fermi function)

    Examples
    --------
    >>> residue_curve(np.array([0.0, 4.0, 8.0]), mtt_s=4.0, residue="linear").tolist()
    [1.0, 0.5, 0.0]
    """
    return np.asarray(_RESIDUES[residue](np.asarray(times_s, dtype=float) / mtt_s), dtype=float)


def residue_area(times_s: FloatArray, *, mtt_s: float, residue: Residue) -> FloatArray:
    """Return the running integral of `residue_curve` from 0 to ``times_s`` in s, shape (t,)."""
    return np.asarray(mtt_s * _AREAS[residue](np.maximum(np.asarray(times_s, dtype=float), 0.0) / mtt_s), dtype=float)


def tissue_curves(
    times_s: FloatArray,
    arterial: Callable[[FloatArray], FloatArray],
    *,
    start_s: float,
    height_per_s: FloatArray,
    mtt_s: FloatArray,
    delay_s: FloatArray,
    residue: Residue,
) -> FloatArray:
    """Return ``height · (arterial ⊗ R)(t − delay)`` for many kinds of tissue.

    Each step of R carries its exact area, so the area of a curve is ``height · MTT`` times the area of the input.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        When to sample, in s.
    arterial : callable
        Arterial input in HU at given times in s; 0 before ``start_s``.
    start_s : float
        Start of the convolution in s.
    height_per_s : ndarray, shape (kind,)
        CBF·ρ/κ in 1/s; for a vessel 1/MTT, which keeps the area.
    mtt_s, delay_s : ndarray, shape (kind,)
        Mean transit time and delay in s.
    residue : {"exponential", "box", "linear", "gamma", "fermi", "mixed"}
        Residue function.

    Returns
    -------
    ndarray, shape (kind, t)
        Enhancement in HU.
    """
    count = max(2, int(np.ceil((np.max(times_s) - start_s) / TIME_STEP_S)) + 2)
    lags = TIME_STEP_S * np.arange(count)
    edges = np.append(0.0, lags + TIME_STEP_S / 2)
    weights = np.stack([np.diff(residue_area(edges, mtt_s=float(m), residue=residue)) for m in mtt_s])
    inflow = np.asarray(arterial(start_s + lags))
    curves = signal.fftconvolve(weights, inflow[None, :], axes=1)[:, :count] * np.asarray(height_per_s)[:, None]
    return np.stack([np.interp(times_s - d, start_s + lags, c, left=0.0) for c, d in zip(curves, delay_s, strict=True)])


def _pass(onset_s: float, width_s: float, peak_hu: float) -> GammaVariate:
    """Return a gamma-variate of given width: s·e^(1−s) = 2^(−1/shape) has its roots where Lambert's W says."""
    half = -(0.5 ** (1 / BOLUS_SHAPE)) / np.e
    width_of_unit_rise = float(special.lambertw(half, 0).real - special.lambertw(half, -1).real)
    return GammaVariate(onset_s, width_s / width_of_unit_rise, BOLUS_SHAPE, peak_hu, 0.0)


def _gamma_area(s: FloatArray) -> FloatArray:
    """Integral of the survival of gamma transit times with mean 1."""
    scaled = s * TRANSIT_SHAPE
    return np.asarray(s * special.gammaincc(TRANSIT_SHAPE, scaled) + special.gammainc(TRANSIT_SHAPE + 1, scaled))


def _fermi(s: FloatArray) -> FloatArray:
    """Fermi function of unit area that begins with 1."""
    return np.asarray((1.0 + FERMI_START) * special.expit(-np.log(FERMI_START) - FERMI_RATE * s))


def _fermi_area(s: FloatArray) -> FloatArray:
    """Integral of the Fermi function of unit area."""
    passed = np.logaddexp(0.0, np.log(FERMI_START) + FERMI_RATE * s) - np.log1p(FERMI_START)
    return np.asarray((1.0 + FERMI_START) * (s - passed / FERMI_RATE))


def _log_normal(s: FloatArray) -> FloatArray:
    """Survival of log-normal transit times with mean 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(special.ndtr(-(np.log(s) / LOG_NORMAL_SD + 0.5 * LOG_NORMAL_SD)))


def _log_normal_area(s: FloatArray) -> FloatArray:
    """Integral of the survival of log-normal transit times with mean 1."""
    with np.errstate(divide="ignore"):
        passed = special.ndtr(np.log(s) / LOG_NORMAL_SD - 0.5 * LOG_NORMAL_SD)
    return np.asarray(s * _log_normal(s) + passed)


_RESIDUES: dict[Residue, Callable[[FloatArray], FloatArray]] = {
    "exponential": lambda s: np.exp(-s),
    "box": lambda s: (s < 1).astype(float),
    "linear": lambda s: np.maximum(1 - s / 2, 0.0),
    "gamma": lambda s: np.asarray(special.gammaincc(TRANSIT_SHAPE, TRANSIT_SHAPE * s)),
    "fermi": _fermi,
    "mixed": lambda s: 0.5 * np.exp(-s) + 0.5 * _log_normal(s),
}
_AREAS: dict[Residue, Callable[[FloatArray], FloatArray]] = {
    "exponential": lambda s: -np.expm1(-s),
    "box": lambda s: np.minimum(s, 1.0),
    "linear": lambda s: np.minimum(s, 2.0) - np.minimum(s, 2.0) ** 2 / 4,
    "gamma": _gamma_area,
    "fermi": _fermi_area,
    "mixed": lambda s: 0.5 * -np.expm1(-s) + 0.5 * _log_normal_area(s),
}


def dispersed(
    arterial: Callable[[FloatArray], FloatArray], mean_s: float, *, last_s: float
) -> Callable[[FloatArray], FloatArray]:
    """Return an arterial input after a dispersion whose times are exponential with a mean of ``mean_s``, to ``last_s``.

    The input is 0 before 0 s; its area stays.

    Examples
    --------
    >>> times = np.arange(0.0, 60.0)
    >>> wide = dispersed(lambda s: np.where((s >= 5.0) & (s < 8.0), 1.0, 0.0), 4.0, last_s=60.0)(times)
    >>> round(float(wide.sum()), 2), round(float(times @ wide / wide.sum() - 6.5), 1)
    (3.0, 4.0)
    """
    if mean_s == 0.0:
        return arterial
    fine_s = TIME_STEP_S * np.arange(round(last_s / TIME_STEP_S) + 2)
    once = {"height_per_s": np.array([1.0 / mean_s]), "mtt_s": np.array([mean_s]), "delay_s": np.zeros(1)}
    (fine_hu,) = tissue_curves(fine_s, arterial, start_s=0.0, **once, residue="exponential")
    return lambda times_s: np.interp(times_s, fine_s, fine_hu, left=0.0)
