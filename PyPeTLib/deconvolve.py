"""Deconvolution: from a voxel's curve and the arterial input to the height and time of its impulse response.

A new method is a function with the arguments of `MODELS` (or a matrix, with those of `INVERSES`), an entry there, and
its name in `settings.DeconvolutionMethod`, where the command line and the panel find it. If it is a matrix, its name
is in `settings.LINEAR` too; if it gives the delay, in `settings.WITH_DELAY`. That runs. Words of its own are one entry
each in `methods.DECONVOLUTION` (Methods), `display` (title of the maps), `map_facts.REGULARISATION` (sidecar)
and `settings.READ_WITH` (its own settings, which the panel then shows); without them it goes by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from PyPeTLib.bayes import bayesian
from PyPeTLib.chunks import in_chunks, product, share
from PyPeTLib.correction import corrected
from PyPeTLib.curves import continuation, peaks, uniform_grid
from PyPeTLib.errors import QualityError
from PyPeTLib.geometry import FloatArray
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves, Response
from PyPeTLib.regression import nlr
from PyPeTLib.residue import likeliest_residue
from PyPeTLib.settings import DeconvolutionMethod, Settings
from PyPeTLib.slope import max_slope
from PyPeTLib.stochastic import stable_spline

#: Lags are evaluated this many times denser than the curves (band-limited interpolation),
#: so that the maximum does not depend on where it falls between two samples.
OVERSAMPLING = 2
#: oSVD tries this many cut-offs, from mild to strong.
OSCILLATION_CUTOFFS = np.geomspace(0.01, 0.9, 24)
#: Cross-validation tries these strengths, as shares of the largest singular value.
STRENGTHS = np.geomspace(0.01, 1.0, 41)


@dataclass(frozen=True)
class Inverse:
    """A family of linear maps from enhancement curves to impulse responses.

    Parameters
    ----------
    operators : ndarray, shape (member, lag, t)
        ``operators[m] @ curve`` is the impulse response k in 1/s; one member, or several of growing
        strength of which each voxel takes the first that is smooth enough.
    lags_s : ndarray, shape (lag,)
        Time after the arterial input in s; negative lags are tissue earlier than the AIF.
    samples : ndarray of int
        Lags that lie on the sampling grid itself (the others interpolate).
    oscillation_limit : float
        Largest oscillation index of an accepted response; infinite where nothing is chosen.
    """

    operators: FloatArray
    lags_s: FloatArray
    samples: npt.NDArray[np.intp]
    oscillation_limit: float


def deconvolve(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress = silent
) -> Response:
    """Return what the method of ``settings.method`` knows of each voxel's impulse response.

    Parameters
    ----------
    curves : Curves
        Enhancement in HU; every method works on its temporal components, not on every frame.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s.
    settings : Settings
        Method and its regularisation. An automatic shape of the residue is sought with an arterial input free of noise
        here; where its noise is known, seek it before (`residue.likeliest_residue`).
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Raises
    ------
    QualityError
        If the arterial input holds no signal.
    """
    check_signal(aif_hu)
    if settings.residue_sought:
        fit = likeliest_residue(curves, aif_hu, times_s, aif_noise_hu=0.0, settings=settings)
        settings = settings.changed({"residue": fit.shape})
    method = MODELS.get(settings.method, _linear)
    return method(curves, aif_hu, times_s, settings=settings, progress=progress)


def _linear(
    curves: Curves, aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings, progress: Progress
) -> Response:
    """Apply a linear inverse, whose bias is then removed if the settings ask for it."""
    strength = None
    if settings.method == "tikhonov":
        fixed = settings.tikhonov_choice == "fixed"
        strength = settings.tikhonov_strength if fixed else cross_validated_strength(curves, aif_hu, times_s)
        settings = settings.changed({"tikhonov_strength": strength})
    found = inverse(aif_hu, times_s, settings=settings)
    # Without optimize, which leaves it to the threads of the linear algebra in what order sums are made.
    folded = np.einsum("mlt,kt->mkl", found.operators, curves.basis).astype(np.float32)
    applied = partial(_applied, found, folded, strength)
    plain = applied(curves.coefficients, progress=share(progress, 0.0, 0.9))
    removed = settings.bias_removed
    made = corrected(plain, applied, curves, aif_hu, times_s, settings=settings) if removed else plain
    progress(1.0, "")
    return made


def _applied(
    found: Inverse,
    folded: npt.NDArray[np.float32],
    strength: float | None,
    coefficients: npt.NDArray[np.float32],
    progress: Progress = silent,
) -> Response:
    """Return the maxima of the responses; one small matrix takes components to responses."""

    def block(rows: npt.NDArray[np.float32]) -> FloatArray:
        best = peaks(product(rows, folded[-1]))
        pending = np.arange(len(rows) if len(folded) > 1 else 0)
        for member in folded[:-1]:
            response = product(rows[pending], member)
            smooth = oscillation_index(response[:, found.samples]) <= found.oscillation_limit
            best[pending[smooth]] = peaks(response[smooth])
            pending = pending[~smooth]
        return best

    best = in_chunks(block, coefficients, progress=progress)
    tmax = np.interp(best[:, 1], np.arange(found.lags_s.size), found.lags_s)
    return Response(best[:, 0], tmax, strength=strength)


def inverse(aif_hu: FloatArray, times_s: FloatArray, *, settings: Settings) -> Inverse:
    """Return the linear deconvolution that ``settings.method`` names, for one arterial input.

    The model is ``C_t = k ⊗ C_a`` with ``k = CBF·(ρ/κ)·R`` (CAPLEX Q.IC1.005). Uneven times are first
    interpolated linearly onto the shortest interval.

    Parameters
    ----------
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU at ``times_s``.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s.
    settings : Settings
        Method and its regularisation.

    Raises
    ------
    QualityError
        If the arterial input holds no signal.

    References
    ----------
    Østergaard 1996, doi:10.1002/mrm.1910360510 (sSVD); Wu 2003, doi:10.1002/mrm.10522 (bSVD, oSVD).

    Examples
    --------
    >>> times = np.arange(40.0)
    >>> aif = 300 * (times / 5) ** 3 * np.exp(3 - 0.6 * times)
    >>> made = inverse(aif, times, settings=Settings(method="bSVD"))
    >>> response = made.operators[0] @ (0.01 * aif)
    >>> round(float(abs(made.lags_s[response.argmax()])), 1)
    0.0
    """
    check_signal(aif_hu)
    grid, resample = uniform_grid(times_s)
    interval = float(grid[1] - grid[0])
    made = INVERSES[settings.method](resample @ aif_hu, interval, settings)
    operators = (made.operators @ resample).astype(np.float32)
    return Inverse(operators, made.lags_s, made.samples, made.oscillation_limit)


def cross_validated_strength(curves: Curves, aif_hu: FloatArray, times_s: FloatArray) -> float:
    """Return the strength of Tikhonov regularisation that predicts left-out samples of the brain's curves best.

    With H the matrix from curves to their regularised model, generalised cross-validation minimises
    ``Σ_v |(1 − H) C_v|² / tr(1 − H)²`` over all voxels at once: one strength for the patient. Noise that left with the
    dropped temporal components is counted as if it were there, at the level of the others: without it a curve of few
    components seems to be free of noise, and the mildest strength wins.

    Parameters
    ----------
    curves : Curves
        Enhancement in HU, and the noise that is left.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; even interpolation where they are not, and back.

    Returns
    -------
    float
        Share of the largest singular value, one of `STRENGTHS`.

    References
    ----------
    Golub, Heath and Wahba 1979, doi:10.1080/00401706.1979.10489751
    """
    grid, resample = uniform_grid(times_s)
    spectrum = _spectrum(resample @ aif_hu, float(grid[1] - grid[0]))
    power = np.abs(spectrum) ** 2
    passed = power / (power + power.max() * STRENGTHS[:, None] ** 2)
    frequency = np.fft.rfft(continuation(grid.size) @ resample, axis=0)
    modelled = np.fft.irfft(passed[:, :, None] * frequency, 2 * grid.size, axis=1)[:, : grid.size]
    back = np.stack([np.interp(times_s, grid, unit) for unit in np.eye(grid.size)], axis=1)
    left = np.eye(times_s.size) - back @ modelled
    errors = np.einsum("sij,sij->s", left @ _squares(curves), left)
    freedom = np.trace(left, axis1=1, axis2=2)
    return float(STRENGTHS[np.argmin(errors / freedom**2)])


def _squares(curves: Curves) -> FloatArray:
    """Return ``Σ_v C_v C_vᵀ`` in HU², shape (t, t), with the noise of the components that were dropped."""
    basis = curves.basis.astype(float)
    weights = (curves.coefficients.T @ curves.coefficients).astype(float)
    noise = 0.0 if curves.sd is None else float(np.sum(curves.sd.astype(float) ** 2))
    dropped = np.eye(basis.shape[1]) - np.linalg.pinv(basis) @ basis
    return np.asarray(basis.T @ weights @ basis + noise * dropped)


def oscillation_index(response: FloatArray) -> FloatArray:
    """Return ``Σ|k_i − 2k_{i−1} + k_{i−2}| / (L · max k)`` around the circle of the last axis (Wu 2003).

    A block-circulant response has no ends; summed around the circle the index does not depend on the delay.

    Examples
    --------
    >>> float(oscillation_index(np.array([0.0, 1.0, 0.0, 1.0]))) == (2 + 2 + 2 + 2) / 4
    True
    """
    around = np.concatenate([response, response[..., :2]], axis=-1)
    bends = np.abs(np.diff(around, n=2, axis=-1)).sum(axis=-1)
    peak = response.max(axis=-1)
    return np.asarray(bends / (response.shape[-1] * np.maximum(peak, np.finfo(np.float32).tiny)))


def check_signal(aif_hu: FloatArray) -> None:
    """Refuse an arterial input in HU that is not finite or nowhere above its baseline.

    Raises
    ------
    QualityError
        With it no method has anything to divide by.
    """
    if not np.isfinite(aif_hu).all() or np.max(aif_hu) <= 0:
        raise QualityError(
            "Deconvolution: a positive, finite arterial input is needed; found none. Check the AIF mask."
        )


def _standard_svd(aif_hu: FloatArray, interval: float, settings: Settings) -> Inverse:
    """Invert the causal (lower-triangular Toeplitz) convolution matrix by truncated SVD; sensitive to delay."""
    from scipy.linalg import toeplitz

    left, singular, right = np.linalg.svd(interval * toeplitz(aif_hu, np.zeros_like(aif_hu)))
    kept = singular >= settings.ssvd_cutoff * singular[0]
    inverse = (right[kept].T / singular[kept]) @ left[:, kept].T
    lags = interval * np.arange(aif_hu.size)
    return Inverse(inverse[None], lags, np.arange(aif_hu.size), np.inf)


def _circulant_svd(aif_hu: FloatArray, interval: float, settings: Settings) -> Inverse:
    """Truncate the block-circulant SVD: the singular values are the magnitudes of the AIF's spectrum."""
    spectrum = _spectrum(aif_hu, interval)
    return _circulant([_truncated(spectrum, settings.bsvd_cutoff)], aif_hu.size, interval, np.inf)


def _oscillation_svd(aif_hu: FloatArray, interval: float, settings: Settings) -> Inverse:
    """Block-circulant SVD with, in each voxel, the mildest cut-off whose response does not oscillate."""
    spectrum = _spectrum(aif_hu, interval)
    filters = [_truncated(spectrum, float(cutoff)) for cutoff in OSCILLATION_CUTOFFS]
    return _circulant(filters, aif_hu.size, interval, settings.oscillation_index)


def _tikhonov(aif_hu: FloatArray, interval: float, settings: Settings) -> Inverse:
    """Damp small singular values of the block-circulant matrix instead of cutting them."""
    spectrum = _spectrum(aif_hu, interval)
    damping = (settings.tikhonov_strength * np.abs(spectrum).max()) ** 2
    return _circulant([np.conj(spectrum) / (np.abs(spectrum) ** 2 + damping)], aif_hu.size, interval, np.inf)


#: Methods that are a matrix made from the arterial input ...
INVERSES: dict[DeconvolutionMethod, Callable[[FloatArray, float, Settings], Inverse]] = {
    "bSVD": _circulant_svd,
    "sSVD": _standard_svd,
    "oSVD": _oscillation_svd,
    "tikhonov": _tikhonov,
}
#: ... and those that rest on a model of tissue.
MODELS: dict[DeconvolutionMethod, Callable[..., Response]] = {
    "bayesian": bayesian,
    "nlr": nlr,
    "stable-spline": stable_spline,
    "max-slope": max_slope,
}


def _spectrum(aif_hu: FloatArray, interval: float) -> np.ndarray:
    """Return the eigenvalues of the block-circulant matrix: the DFT of the AIF continued to 2N, in HU·s."""
    return np.asarray(interval * np.fft.rfft(continuation(aif_hu.size) @ aif_hu))


def _truncated(spectrum: np.ndarray, cutoff: float) -> np.ndarray:
    """Return the inverse spectrum where it is at least ``cutoff`` of its maximum, 0 elsewhere."""
    kept = np.abs(spectrum) >= cutoff * np.abs(spectrum).max()
    return np.where(kept, 1.0 / np.where(kept, spectrum, 1.0), 0.0)


def _circulant(filters: list[np.ndarray], count: int, interval: float, oscillation_limit: float) -> Inverse:
    """Turn inverse spectra into matrices from N samples to all 2N lags, −N … N−1, densely interpolated."""
    length = 2 * count
    frequency = np.fft.rfft(continuation(count), axis=0)
    frequency[-1] *= 0.5  # interpolation splits the highest frequency between its two signs
    dense = [OVERSAMPLING * np.fft.irfft(one[:, None] * frequency, OVERSAMPLING * length, axis=0) for one in filters]
    order = np.fft.fftshift(np.arange(OVERSAMPLING * length))
    lags = (np.arange(OVERSAMPLING * length) - OVERSAMPLING * count) * (interval / OVERSAMPLING)
    samples = np.arange(0, lags.size, OVERSAMPLING)
    return Inverse(np.stack(dense)[:, order], lags, samples, oscillation_limit)
