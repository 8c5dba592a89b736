"""The shape of the residue function that suits a patient best, whatever the noise of the arterial input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from PyPeTLib.chunks import PRODUCT_SIZE, in_parallel, product, share
from PyPeTLib.dictionary import (
    DELAYS_S,
    MTTS_S,
    SHAPES,
    Dictionary,
    Float32Array,
    by_rows,
    components_without_mean,
    log_weights,
    middling,
    misfit,
    missed_share,
    sample_of,
    tissue_dictionary,
    usual_delay_s,
)
from PyPeTLib.geometry import FloatArray, read_only
from PyPeTLib.kinetics import residue_area
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Curves, ResidueFit
from PyPeTLib.smoothing import averaged_voxels
from PyPeTLib.wide_sample import wide_sample

if TYPE_CHECKING:
    from PyPeTLib.settings import ResidueShape, Settings

#: Times over mean transit time at which the running integral of the residue is integrated again; after the last one
#: every residue has gone, and its integral is 1.
FINE = np.arange(0.0, 40.0, 0.005)
#: An exponential residue stays unless another is so much more probable, in the logarithm: ten thousand times. Curves
#: miss their best fits not by noise alone, and an input found automatically differs from the true one by more.
CERTAIN = float(np.log(1e4))
#: The exponential has the longest tail of the shapes that maps are made with. Where it is taken, one with a longer tail
#: is tried beside it, for the check alone: a gamma distribution of this shape. Curves that do not exclude this sharper
#: residue tell tails even less.
LONGER_TAIL, SHARPER = {"gamma-0.7": 0.7}, "gamma-1.5"
KNOWN = SHAPES | LONGER_TAIL
#: A plateau that falls slowly is taken instead of the box, which ends at once, if it is so much more probable, in the
#: logarithm: twenty times. Flow is some 40 % too large where a box is missed, and 6 % too small the other way round.
PLATEAU, CLEARLY_SLOWER = "gamma-10", float(np.log(20.0))
#: The mean transit time that is usual in one patient lies about this median in s with this SD of the logarithm: normal
#: are 4 s in gray matter and 5 s in white matter.
PATIENT_MTT_S, PATIENT_LOG_SD = 4.5, 0.15
#: No shape is taken that does not suit most of the brain: of so many parts of it, each of so many sampled voxels at
#: least, the median gain counts; that of the half which contrast agent reaches first, where the other half gains more
#: by so many standard errors.
PARTS, FEWEST_IN_PART, CLEARLY = 16, 40, 3.0
#: How well a shape fits is told on a finer grid than that of the maps: between its nodes shapes fit unequally badly.
FIT_MTTS_S = np.geomspace(0.8, 38.0, 54)
FIT_DELAYS_S = np.arange(DELAYS_S[0], DELAYS_S[-1] + 0.01, 0.25)

#: Parts of the brain: places in a sample of its voxels.
Parts = list[npt.NDArray[np.intp]]


def likeliest_residue(
    curves: Curves,
    aif_hu: FloatArray,
    times_s: FloatArray,
    *,
    aif_noise_hu: float,
    settings: Settings,
    progress: Progress = silent,
) -> ResidueFit:
    """Return the shape of the residue function that fits the curves of the brain best, and how well others fit.

    Single voxels cannot tell it; a sample of the brain can: its curves are compared with tissue of every delay and
    transit time, made from the arterial input (`dictionary.tissue_dictionary`). How well a shape fits is the likelihood
    of the best tissue of each voxel, between the nodes of the grid too. Were it integrated over transit times with
    their stated prior, as in the maps, the shape would be chosen whose transit times are those that the prior expects:
    each of a thousand voxels would repeat what is supposed once, and a patient whose transit times are a third shorter
    would be given a sharper residue. What is usual in one patient is known beforehand to some 15 %, and counts once.

    The input is the mean of some voxels, and its noise is in all curves alike: an input that is 2 % too narrow by
    chance lets a sharper residue fit better, whose flow is 15 % less. So each shape is judged with the input that is
    most probable under it: every voxel is explained by its most probable tissue, what the voxels then miss in common is
    a change of the input, found by linear least squares against the input's own noise (one Gauss-Newton step), and the
    change counts against the shape as far as such noise is improbable. The residue of a well-mixed compartment, the
    exponential, stays unless another is ten thousand times more probable, for arteries are chosen for narrow curves.
    It also has to be so by the median over parts of the brain: as if every part gained as much as the median one does.
    Behind a narrow artery the bolus is dispersed, which looks like a later peak of the residue, and a tumour or an old
    infarct may differ so much that a hundredth of the brain would decide. Dispersion grows on the way, so where the
    later half of the parts gains clearly more, the median is that of the half that contrast agent reaches first.
    Smoothing gives neighbours the same noise, so a sample counts as no more voxels than averages fit into the brain.
    The maps are made with the input as it was measured.

    Where the exponential is taken with certainty, how well a residue with a longer tail would fit is told too
    (`LONGER_TAIL`). Maps are not made with it. Nor are they made with two shapes; how well one holds for gray and white
    matter is told by the sums over voxels that are bright and dark without contrast.

    Parameters
    ----------
    curves : Curves
        Smoothed enhancement in HU with the noise that is left.
    aif_hu : ndarray, shape (t,)
        Arterial enhancement in HU.
    times_s : ndarray, shape (t,)
        Strictly increasing times in s; need not be even.
    aif_noise_hu : float
        SD of the noise of ``aif_hu`` in every frame in HU; 0 for an input that is known.
    settings : Settings
        ``mtt_prior``: if flat, nothing is supposed of what is usual in a patient.
    progress : callable
        ``progress(fraction, text)``; raising from it cancels.

    Examples
    --------
    >>> from PyPeTLib import Settings
    >>> from PyPeTLib.kinetics import tissue_curves
    >>> times = np.arange(0.0, 50.0)
    >>> aif = 300 * (times / 8) ** 3 * np.exp(3 - 0.375 * times)
    >>> mtts = np.linspace(3.0, 6.0, 20)
    >>> rows = 0.04 * tissue_curves(aif, times, delays_s=np.array([1.0]), mtts_s=mtts, shape=SHAPES["box"])[:, 0]
    >>> grid = np.ones((1, 1, 20), dtype=bool)
    >>> curves = Curves(rows.astype(np.float32), np.eye(50, dtype=np.float32), np.zeros(20, np.float32), grid)
    >>> likeliest_residue(curves, aif, times, aif_noise_hu=0.0, settings=Settings()).shape
    'box'
    """
    chosen = middling(curves.coefficients)
    sample, free, counted = _sample(curves, chosen, share(progress, 0.0, 0.1))
    usual_s = usual_delay_s(sample, aif_hu, times_s, free)

    def of(name: str, input_hu: FloatArray, mtts_s: FloatArray, delays_s: FloatArray) -> Dictionary:
        chosen: dict[str, Any] = {"mtts_s": mtts_s, "delays_s": usual_s + delays_s, "shape": KNOWN[name]}
        return tissue_dictionary(input_hu, times_s, free, **chosen, settings=settings)

    def as_measured(name: str) -> Dictionary:
        return of(name, aif_hu, MTTS_S, DELAYS_S)

    def with_change(name: str) -> _Fit:
        change_hu: FloatArray = np.zeros(times_s.size)
        cost = 0.0
        if aif_noise_hu > 0.0:
            loose_hu = aif_noise_hu * np.sqrt(counted)
            change_hu = _common_change(scaled, tried[name], times_s, free, KNOWN[name], loose_hu)
            cost = 0.5 * float(np.sum(change_hu**2)) / aif_noise_hu**2
        fits, mtt_s = _best_fit(scaled, of(name, aif_hu + change_hu, FIT_MTTS_S, FIT_DELAYS_S))
        if settings.mtt_prior != "flat":
            cost += 0.5 * (np.log(mtt_s / PATIENT_MTT_S) / PATIENT_LOG_SD) ** 2
        return _Fit(float(cost), mtt_s, counted * fits)

    def each(function: Callable[[str], Any], part: Progress) -> dict[str, Any]:
        return dict(zip(KNOWN, in_parallel(function, list(KNOWN), progress=part), strict=True))

    tried = each(as_measured, share(progress, 0.1, 0.3))
    closest = min((tried[name] for name in SHAPES), key=lambda single: misfit(sample, single))
    scaled = sample / np.float32(misfit(sample, closest))
    found = each(with_change, share(progress, 0.3, 1.0))
    parts, usual = _parts(_places_mm(curves, chosen)), found["exponential"]
    of_maps = {name: found[name] for name in SHAPES}
    best = _taken(of_maps, parts, *_by_arrival(parts, scaled, tried["exponential"]))
    told = found if best == "exponential" and found[SHARPER].over(usual) < -CERTAIN else of_maps
    odds = {name: one.over(found[best]) for name, one in told.items()}
    thirds = _thirds(curves, chosen, {name: one.fits - found[best].fits for name, one in of_maps.items()})
    mtts_s, missed = {name: one.mtt_s for name, one in told.items()}, missed_share(sample_of(curves)[0], closest)
    return ResidueFit(cast("ResidueShape", best), odds, mtts_s, *thirds, missed=missed)


def _sample(curves: Curves, chosen: npt.NDArray[np.intp], progress: Progress) -> tuple[Float32Array, FloatArray, float]:
    """Return the curves of some voxels in units of their noise, their components, and as how much each counts.

    They are averaged further than those of the maps (`wide_sample`): the best tissue of a noisy voxel fits its noise,
    too, and the better the sharper the residue is.
    """
    rotation, free = components_without_mean(curves.basis)
    wide, left = wide_sample(curves, chosen, progress=progress)
    noise_hu = np.ones(chosen.size, dtype=np.float32) if curves.sd is None else curves.sd[chosen]
    sample = product(wide, rotation) / (np.float32(left) * noise_hu)[:, None]
    return sample, free, left**2 * _independent(curves, chosen.size) / chosen.size


def _taken(found: Mapping[str, _Fit], parts: Parts, early: Parts, late: Parts) -> str:
    """Return which shape is taken: the exponential, or the most probable of those that are so for all and for most.

    A box stays one unless a slower fall is clearly more probable.
    """
    usual = found["exponential"]

    def of_most(one: _Fit) -> float:
        return one.of_most(usual, early if one.gains_late(usual, early, late) else parts)

    suited = [name for name, one in found.items() if min(one.over(usual), of_most(one)) > CERTAIN]
    best = max(suited, key=lambda name: found[name].over(usual), default="exponential")
    box = best == PLATEAU and "box" in suited and found[PLATEAU].over(found["box"]) < CLEARLY_SLOWER
    return "box" if box else best


@dataclass(frozen=True)
class _Fit:
    """How well a shape fits the voxels of a sample, and what it costs.

    Parameters
    ----------
    cost : float
        How improbable beforehand are its transit time and the change of the input, in the logarithm.
    mtt_s : float
        The transit time that is usual with it.
    fits : ndarray, shape (voxel,)
        Log-likelihood of the best tissue but for a constant, counted as far as noise is a voxel's own.
    """

    cost: float
    mtt_s: float
    fits: FloatArray

    def over(self, other: _Fit) -> float:
        """Return by how much it is more probable than another, in the logarithm."""
        return float(np.sum(self.fits - other.fits)) + other.cost - self.cost

    def of_most(self, other: _Fit, parts: Parts) -> float:
        """Return the same, as most of some parts say."""
        return _of_most(self.fits - other.fits, parts) + other.cost - self.cost

    def gains_late(self, other: _Fit, early: Parts, late: Parts) -> bool:
        """Tell whether it gains clearly more on another in the parts that contrast agent reaches late."""
        if len(late) < 2:
            return False
        gains = self.fits - other.fits
        soon, later = (np.array([gains[part].mean() for part in half]) for half in (early, late))
        uncertain = np.sqrt(soon.var(ddof=1) / soon.size + later.var(ddof=1) / later.size)
        return bool(later.mean() - soon.mean() > CLEARLY * uncertain)


def _places_mm(curves: Curves, chosen: npt.NDArray[np.intp]) -> FloatArray:
    """Return where the voxels of a sample lie, shape (voxel, 3)."""
    spacing_mm = (1.0, 1.0, 1.0) if curves.spacing_zyx_mm is None else curves.spacing_zyx_mm
    return np.asarray(np.argwhere(curves.mask)[chosen] * np.array(spacing_mm))


def _parts(places_mm: FloatArray) -> Parts:
    """Return equal parts of some voxels by their places: each is halved across its longest side, again and again.

    Examples
    --------
    >>> [part.size for part in _parts(np.random.default_rng(0).normal(size=(100, 3)))]
    [50, 50]
    """
    parts = [np.arange(len(places_mm))]
    while len(parts) < PARTS and len(places_mm) >= 2 * len(parts) * FEWEST_IN_PART:
        halves = []
        for part in parts:
            axis = int(np.ptp(places_mm[part], axis=0).argmax())
            order = part[np.argsort(places_mm[part, axis], kind="stable")]
            halves += [order[: order.size // 2], order[order.size // 2 :]]
        parts = halves
    return parts


def _of_most(gains: FloatArray, parts: Parts) -> float:
    """Return the sum of gains, if all parts of the brain gained as much as the median one does.

    Behind a narrow artery, in a tumour or in an old infarct curves have other shapes, and where they differ much a
    hundredth of the brain would decide for all of it.

    Examples
    --------
    >>> _of_most(np.array([1.0, 1.0, 2.0, 2.0, 1.0, 900.0]), [np.arange(2), np.arange(2, 4), np.arange(4, 6)])
    12.0
    """
    return gains.size * float(np.median([gains[part].mean() for part in parts]))


def _by_arrival(parts: Parts, sample: Float32Array, single: Dictionary) -> tuple[Parts, Parts]:
    """Return the half of some parts whose best tissue has the shorter delays, at least one, and the others."""
    atom = by_rows(lambda rows: product(rows, single.directions).argmax(axis=1), sample)
    delay_s = single.delay_s[atom]
    ordered, middle = sorted(parts, key=lambda part: float(delay_s[part].mean())), -(-len(parts) // 2)
    return ordered[:middle], ordered[middle:]


def _thirds(
    curves: Curves, chosen: npt.NDArray[np.intp], gains: dict[str, FloatArray]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the sums of a sample's gains over voxels that are bright without contrast, and over dark ones.

    A division by the curves themselves would put voxels together whose noise looks like one shape.
    """
    if curves.anatomy_hu is None:
        return {}, {}
    native_hu = curves.native_hu[chosen]
    low, high = np.percentile(native_hu, (100.0 / 3.0, 200.0 / 3.0))
    bright, dark = (
        {name: float(gain[part].sum()) for name, gain in gains.items()}
        for part in (native_hu >= high, native_hu <= low)
    )
    return bright, dark


def _independent(curves: Curves, sampled: int) -> float:
    """Return how many voxels of a sample have noise of their own: as many as averages fit into the brain, or all.

    Counted one by one, voxels with noise in common would be sure of what is chance.
    """
    if curves.resolution_mm is None or curves.spacing_zyx_mm is None:
        return float(sampled)
    averaged = averaged_voxels(curves.resolution_mm, curves.spacing_zyx_mm)
    return min(float(sampled), float(np.count_nonzero(curves.mask)) / averaged)


def _best_fit(sample: Float32Array, single: Dictionary) -> tuple[FloatArray, float]:
    """Return how well the best tissue of each voxel fits, and the transit time that is usual then.

    Returns
    -------
    log_likelihood : ndarray, shape (voxel,)
        But for a constant.
    mtt_s : float
        Geometric mean of the best mean transit times in s.
    """
    mtts, delays = single.grids[0].shape[1:]

    def best(rows: Float32Array) -> FloatArray:
        height = product(rows, single.directions)
        atom = height.argmax(axis=1)
        mtt, delay = np.clip(atom // delays, 1, mtts - 2), np.clip(atom % delays, 1, delays - 2)
        around = np.stack([delays * (mtt + m) + delay + d for m in (-1, 0, 1) for d in (-1, 0, 1)])
        nine = np.maximum(height[np.arange(len(rows)), around].astype(float), 0.0)
        return np.stack([_peak(0.5 * nine**2), np.log(single.mtt_s[atom])], axis=1)

    top, log_mtt = by_rows(best, sample).T
    return top, float(np.exp(np.mean(log_mtt)))


def _peak(nine: FloatArray) -> FloatArray:
    """Return the maximum near the middle of surfaces through three by three values: a paraboloid's, or the largest.

    Noise makes ridges whose paraboloids peak far away; such a peak is no further than the neighbours, or none.

    Parameters
    ----------
    nine : ndarray, shape (9, surface)
        Row by row.

    Examples
    --------
    >>> x, y = np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0])
    >>> one = 5.0 - (x - 0.3) ** 2 - (y + 0.2) ** 2 - 0.5 * (x - 0.3) * (y + 0.2)
    >>> float(_peak(one.reshape(9, 1))[0].round(6))
    5.0
    """
    right, down = 0.5 * (nine[5] - nine[3]), 0.5 * (nine[7] - nine[1])
    across, along = nine[3] + nine[5] - 2.0 * nine[4], nine[1] + nine[7] - 2.0 * nine[4]
    mixed = 0.25 * (nine[0] + nine[8] - nine[2] - nine[6])
    bent = across * along - mixed**2
    peaked = (across < 0.0) & (bent > 0.0)
    bent = np.where(peaked, bent, 1.0)
    x, y = (mixed * down - along * right) / bent, (mixed * right - across * down) / bent
    near = peaked & (np.maximum(np.abs(x), np.abs(y)) <= 1.0)
    peak = nine[4] + 0.5 * (right * x + down * y)
    return np.asarray(np.maximum(nine.max(axis=0), np.where(near, peak, -np.inf)))


def _common_change(
    sample: Float32Array, single: Dictionary, times_s: FloatArray, free: FloatArray, shape: float, noise_hu: float
) -> FloatArray:
    """Return the change of the input, in HU, that all voxels together ask for, each with its best atom."""
    atom = by_rows(lambda rows: log_weights(product(rows, single.directions), single)[0].argmax(axis=1), sample)
    height = np.einsum("vk,kv->v", sample, single.directions[:, atom]).astype(float)
    rest = sample - height[:, None] * single.directions[:, atom].T
    volume = height / single.lengths[atom]
    number, place = np.unique(atom, return_inverse=True)
    power = np.bincount(place, weights=volume**2)
    asked = np.stack([np.bincount(place, weights=volume * column) for column in rest.T], axis=1)
    normal = np.eye(times_s.size) / noise_hu**2
    wanted = np.zeros(times_s.size)
    at_once = max(1, PRODUCT_SIZE // (len(free) * times_s.size**2))
    for start in range(0, number.size, at_once):
        part = slice(start, start + at_once)
        atoms = number[part]
        own = single.directions[:, atoms].T.astype(float)
        seen = pulse_responses(times_s, single.delay_s[atoms], single.mtt_s[atoms], shape, free)
        seen -= own[:, :, None] * np.einsum("ak,akt->at", own, seen)[:, None]  # the voxel's own volume adapts
        rows = (seen * np.sqrt(power[part])[:, None, None]).reshape(-1, times_s.size)
        normal += rows.T @ rows
        wanted += np.einsum("akt,ak->t", seen, asked[part])
    return np.asarray(np.linalg.solve(normal, wanted))


def pulse_responses(
    times_s: FloatArray, delays_s: FloatArray, mtts_s: FloatArray, shape: float, free: FloatArray
) -> FloatArray:
    """Return the curves of tissues of unit volume after an input that is 1 in one frame and 0 in the others.

    The input is linear between frames; the tissue is that of `kinetics.tissue_curves`.

    Parameters
    ----------
    times_s : ndarray, shape (t,)
        Strictly increasing times in s.
    delays_s, mtts_s : ndarray, shape (tissue,)
        Delay and mean transit time of each tissue in s.
    shape : float
        Of the residue.
    free : ndarray, shape (component, t)
        Components that curves are told in.

    Returns
    -------
    ndarray, shape (tissue, component, t)
        In the last axis is the frame of the input.

    Examples
    --------
    >>> times = np.arange(30.0)
    >>> (curves,) = pulse_responses(times, np.array([0.0]), np.array([4.0]), 1.0, np.eye(30))
    >>> float(np.round(curves[:, 3].sum(), 2)), float(np.abs(curves[:3, 4]).max())
    (1.0, 0.0)
    """
    ends = np.concatenate([[2 * times_s[0] - times_s[1]], times_s, [2 * times_s[-1] - times_s[-2]]])
    gaps, place = np.unique(times_s[:, None] - ends, return_inverse=True)  # of even frames few differ
    since = (gaps - delays_s[:, None]) / mtts_s[:, None]
    ramps = np.interp(since, FINE, _twice_integrated(shape)) + np.maximum(since - FINE[-1], 0.0)
    ramps = free @ (mtts_s[:, None] * ramps)[:, place.reshape(times_s.size, ends.size)]
    slopes = (ramps[..., :-1] - ramps[..., 1:]) / np.diff(ends)
    return np.asarray(slopes[..., :-1] - slopes[..., 1:])


@lru_cache
def _twice_integrated(shape: float) -> FloatArray:
    """Return the integral of the running integral of the residue of unit mean transit time, at `FINE`."""
    area = residue_area(FINE, shape)
    return read_only(np.concatenate([[0.0], np.cumsum(0.5 * FINE[1] * (area[1:] + area[:-1]))]))
