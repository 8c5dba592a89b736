"""How alike two maps are, over the voxels that both have: in physical units, and each divided by its own mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from PyPeTLib.agreement import Limits, icc_agreement, limits_of_agreement
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.packages import usable, why_not
from PyPeTLib.pairing import Pair, pair_up
from PyPeTLib.typeset import typeset
from PyPeTLib.units import known_unit

#: Correlations and SSIM of fewer voxels than this say nothing.
FEWEST_VOXELS = 10
#: A map that varies by less than this share of its largest value is constant: float32 and interpolation round so.
ROUNDING = 1e-6
#: Window of SSIM: standard deviation of its Gaussian, and its width, in pixels (Wang 2004).
SSIM_SIGMA_PIXELS, SSIM_WINDOW_PIXELS = 1.5, 11
#: Percentiles of both maps' values between which SSIM's data range lies: single vessels do not set it.
SSIM_RANGE_PERCENT = (1.0, 99.0)
#: A slice of both maps, and the voxels compared in it.
Plane = tuple[FloatArray, FloatArray, MaskArray]
#: Unit of a map divided by its own mean.
RELATIVE_UNIT = "of the mean"


@dataclass(frozen=True)
class Differences:
    """Differences, image minus reference, on one scale; NaN where they are not defined.

    Parameters
    ----------
    unit : str
        Unit of ``mae``, ``rmse`` and ``bias``; ``mse`` has its square.
    mae, mse, rmse : float
        Mean absolute, mean squared and root mean squared difference.
    bias : float
        Mean difference.
    ssim : float
        Structural similarity, 1 for identical maps.
    sd : float
        Standard deviation of the differences.
    icc : float
        Intraclass correlation ICC(A,1) over the voxels.
    """

    unit: str
    mae: float = nan
    mse: float = nan
    rmse: float = nan
    bias: float = nan
    ssim: float = nan
    sd: float = nan
    icc: float = nan

    @property
    def limits(self) -> Limits:
        """Bias and limits of agreement of Bland and Altman."""
        return Limits(self.bias, self.sd)


@dataclass(frozen=True)
class Region:
    """A thresholded region in a map, or in the maps of one run, and the same in the reference.

    Parameters
    ----------
    name : str
        What is beyond which threshold, in words.
    ml, reference_ml : float
        Volumes in mL; NaN where the region is not known, 0 where there is none.
    dice : float
        Overlap; NaN where a region is not known or both are empty.
    """

    name: str
    ml: float
    reference_ml: float
    dice: float

    @property
    def difference_ml(self) -> float:
        """Volume minus that of the reference, in mL."""
        return self.ml - self.reference_ml


@dataclass(frozen=True)
class Similarity:
    """How alike a map and its reference are; what is not defined is NaN, and ``remarks`` says why.

    Parameters
    ----------
    voxels : int
        Voxels compared.
    coverage : float
        Their share of the mask's voxels; without a mask, of the image's voxels that have a value.
    mean, reference_mean : float
        Mean of either map over these voxels, in its own unit.
    unit, reference_unit : str
        Unit of either map, "" where it is not known.
    ncc : float
        Normalised cross-correlation of the maps minus their means: Pearson's correlation.
    spearman : float
        Spearman's rank correlation.
    physical : Differences
        In the maps' unit.
    relative : Differences
        After division of each map by its own mean. A map normalised as (x − mean) / mean has the same differences.
    remarks : tuple of str
        Why something is not defined, and what had to be assumed.
    regions : tuple of Region
        Thresholded regions, where the caller measured them.
    """

    voxels: int
    coverage: float
    mean: float
    reference_mean: float
    unit: str
    reference_unit: str
    ncc: float
    spearman: float
    physical: Differences
    relative: Differences
    remarks: tuple[str, ...] = ()
    regions: tuple[Region, ...] = ()


def similarity(image: Image, reference: Image, mask: Image | None = None) -> Similarity:
    """Compare a map with a reference map of the same quantity.

    Voxels are compared where the mask and both maps are; `pair_up` says where a map has no value.

    Parameters
    ----------
    image : Image
        The map; the comparison takes place on its grid.
    reference : Image
        The reference; brought onto that grid where it is on another one.
    mask : Image, optional
        The brain, brought onto that grid as well.

    Returns
    -------
    Similarity
        SSIM is taken slice by slice, because slices are thick, with the Gaussian window of Wang 2004 on the image's
        grid, and averaged over the voxels compared. Windows that reach beyond these see each map continued by its
        nearest value, and the data range is that of the middle 98 % of both maps' values. It needs scikit-image.

    Raises
    ------
    InputError
        If an image is a single line of voxels, the mask is empty or no voxel can be compared.

    References
    ----------
    Wang 2004, doi:10.1109/TIP.2003.819861 (SSIM); Bland 1986, doi:10.1016/S0140-6736(86)90837-8 (limits of agreement);
    McGraw 1996, doi:10.1037/1082-989X.1.1.30 (ICC)

    Examples
    --------
    >>> from PyPeTLib.geometry import Geometry
    >>> grid = Geometry((4, 3, 1), (1.0, 1.0, 5.0))
    >>> cbf = Image(np.arange(1.0, 13.0).reshape(grid.shape), grid, "mL/100 g/min")
    >>> found = similarity(cbf, Image(cbf.values + 2.0, grid, "mL/100 g/min"))
    >>> found.voxels, round(found.ncc, 6), found.physical.mae, found.physical.bias
    (12, 1.0, 2.0, -2.0)
    """
    return pair_similarity(pair_up(image, reference, mask))


def pair_similarity(pair: Pair) -> Similarity:
    """Compare two maps that `pair_up` has brought together, as `similarity` does."""
    units = (pair.image.unit, pair.reference.unit)
    found = _measured(pair.image.values, pair.reference.values, pair.compared, units, pair.coverage)
    return replace(found, remarks=(*pair.remarks, *found.remarks))


def similarity_within(pair: Pair, part: MaskArray) -> Similarity | None:
    """Compare two maps over a part of the voxels that they are compared in, without SSIM, which is of whole slices.

    Parameters
    ----------
    pair : Pair
        The maps.
    part : ndarray of bool, shape (z, y, x)
        Where to compare, such as the tissue.

    Returns
    -------
    Similarity or None
        None where no voxel is left, or none is left out.
    """
    compared = pair.compared & part
    if not compared.any() or compared.sum() == pair.compared.sum():
        return None
    units = (pair.image.unit, pair.reference.unit)
    share = pair.coverage * float(compared.sum() / pair.compared.sum())
    return _measured(pair.image.values, pair.reference.values, compared, units, share, no_ssim="Of whole slices only.")


def similarity_entries(result: Similarity) -> list[tuple[str, float, str]]:
    """Return metric, value and unit of what a comparison measured, in the order of a table.

    The relative bias is not among them: it is 0 by definition.
    """
    unit = result.unit or result.reference_unit
    return [
        ("Voxels", float(result.voxels), ""),
        ("Coverage", 100.0 * result.coverage, "%"),
        ("Mean", result.mean, result.unit),
        ("Mean of the reference", result.reference_mean, result.reference_unit or unit),
        ("NCC", result.ncc, ""),
        ("Spearman", result.spearman, ""),
        *_difference_entries(result.physical, ""),
        ("Bias", result.physical.bias, result.physical.unit),
        *_agreement_entries(result.physical, ""),
        *_difference_entries(result.relative, ", relative"),
        *_agreement_entries(result.relative, ", relative"),
        *(entry for region in result.regions for entry in _region_entries(region)),
    ]


def comparable_entries(result: Similarity) -> list[tuple[str, float, str]]:
    """Return the same for a table with one unit a map: the mean of a reference in another unit is not known in it."""
    if one_unit(result.unit, result.reference_unit):
        return similarity_entries(result)
    return [
        (metric, nan, result.unit) if metric == "Mean of the reference" else (metric, value, unit)
        for metric, value, unit in similarity_entries(result)
    ]


def one_unit(unit: str, reference_unit: str) -> bool:
    """Tell whether two maps have the same unit, in any spelling; one that does not tell its unit has the other's.

    Examples
    --------
    >>> one_unit("mL/100 g/min", "ml/100g/min"), one_unit("s", ""), one_unit("s", "min")
    (True, True, False)
    """
    return len({"".join(known_unit(text).split()).lower() for text in (unit, reference_unit) if text}) < 2


def assumed_unit(unit: str, reference_unit: str) -> str:
    """Return a remark where one of two maps does not tell its unit; "" where both do, or neither."""
    if bool(unit) == bool(reference_unit):
        return ""
    mute, known = ("reference", unit) if unit else ("image", reference_unit)
    return f"The {mute} does not tell its unit; {known} is assumed."


def similarity_rows(entries: Iterable[tuple[str, float, str]]) -> list[tuple[str, str, str]]:
    """Return metric, value and unit as text with sensible digits, for a table of what `similarity_entries` gives.

    Examples
    --------
    >>> from PyPeTLib.geometry import Geometry
    >>> grid = Geometry((2, 2, 1), (1.0, 1.0, 5.0))
    >>> tmax = Image(np.array([[[1.0, 2.0], [3.0, 4.0]]]), grid, "s")
    >>> rows = similarity_rows(similarity_entries(similarity(tmax, tmax)))
    >>> rows[0], rows[2], rows[4]
    (('Voxels', '4', ''), ('Mean', '2.50', 's'), ('NCC', 'not defined', ''))
    """
    return [(metric, metric_digits(metric, value), unit) for metric, value, unit in entries]


def ssim_available() -> bool:
    """Tell whether scikit-image, which SSIM needs, can be used."""
    return usable("scikit-image")


def _measured(
    ours: FloatArray,
    theirs: FloatArray,
    compared: MaskArray,
    units: tuple[str, str],
    coverage: float,
    *,
    no_ssim: str = "",
) -> Similarity:
    """Return all metrics over the voxels ``compared``; without SSIM where ``no_ssim`` says why."""
    one, two = ours[compared].astype(float), theirs[compared].astype(float)
    mean, reference_mean = float(one.mean()), float(two.mean())
    no_correlation, no_unit = _why_no_correlation(one, two), _why_no_common_unit(*units)
    no_ratio = _why_no_ratio(one, "image") or _why_no_ratio(two, "reference")
    no_ssim = no_ssim or _why_no_ssim(one, two, compared)
    unit = units[0] or units[1]
    ncc, spearman = (nan, nan) if no_correlation else _correlations(one, two)
    physical, relative = Differences(unit), Differences(RELATIVE_UNIT)
    planes = [] if no_ssim else _planes(ours, theirs, compared)
    if not no_unit:
        physical = _differences(one, two, planes, unit, with_icc=not no_correlation)
    if not no_ratio:
        scaled = [(a / mean, b / reference_mean, inside) for a, b, inside in planes]
        relative = _differences(one / mean, two / reference_mean, scaled, RELATIVE_UNIT, with_icc=not no_correlation)
    no_icc = "For the same reason ICC(A,1) is not defined." if no_correlation else ""
    remarks = (no_correlation, no_icc, no_unit, no_ratio, no_ssim, assumed_unit(*units))
    return Similarity(
        int(compared.sum()), coverage, mean, reference_mean, *units, ncc, spearman, physical, relative,
        tuple(remark for remark in remarks if remark),
    )  # fmt: skip


def _differences(
    one: FloatArray, two: FloatArray, planes: Sequence[Plane], unit: str, *, with_icc: bool
) -> Differences:
    """Return the differences of values, with the SSIM of the planes that they are of, if any."""
    apart, limits = one - two, limits_of_agreement(one, two)
    mse = float(np.mean(apart**2))
    return Differences(
        unit,
        mae=float(np.abs(apart).mean()),
        mse=mse,
        rmse=float(np.sqrt(mse)),
        bias=limits.bias,
        ssim=_ssim(planes, _ssim_range(one, two)) if planes else nan,
        sd=limits.sd,
        icc=icc_agreement(np.stack([one, two], axis=1)) if with_icc else nan,
    )


def _correlations(one: FloatArray, two: FloatArray) -> tuple[float, float]:
    """Return Pearson's and Spearman's correlation of values that vary."""
    return float(np.corrcoef(one, two)[0, 1]), float(np.corrcoef(_ranks(one), _ranks(two))[0, 1])


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks, the mean rank for ties: `scipy.stats.rankdata`, whose import takes longer than a comparison."""
    _, where, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - 0.5 * (count - 1))[where])


def _ssim(planes: Sequence[Plane], span: float) -> float:
    """Return the mean over the voxels compared of the slices' SSIM maps, for a data range."""
    from skimage.metrics import structural_similarity

    found = [
        structural_similarity(
            one,
            two,
            data_range=span,
            gaussian_weights=True,
            sigma=SSIM_SIGMA_PIXELS,
            use_sample_covariance=False,
            full=True,
        )[1][inside]
        for one, two, inside in planes
    ]
    return float(np.concatenate(found).mean())


def _ssim_range(one: FloatArray, two: FloatArray) -> float:
    """Return the data range of SSIM: no map's alone, so that map and reference can be exchanged."""
    low, high = np.percentile(np.concatenate([one, two]), SSIM_RANGE_PERCENT)
    return float(high - low)


def _planes(ours: FloatArray, theirs: FloatArray, compared: MaskArray) -> list[Plane]:
    """Return the slices that hold voxels compared, as far as the windows around these reach.

    Both maps are continued outside these voxels by the nearest value inside: nothing in common is put there.
    """
    from scipy.ndimage import distance_transform_edt

    planes = []
    for one, two, inside in zip(ours, theirs, compared, strict=True):
        if inside.any():
            box = _around(inside)
            nearest = tuple(distance_transform_edt(~inside[box], return_distances=False, return_indices=True))
            planes.append((one[box][nearest].astype(float), two[box][nearest].astype(float), inside[box]))
    return planes


def _around(inside: MaskArray) -> tuple[slice, slice]:
    """Return the part of a slice that the windows of its voxels cover, and at least one window."""
    parts = []
    for axis in (1, 0):
        lines = np.flatnonzero(inside.any(axis=axis))
        last = inside.shape[1 - axis] - SSIM_WINDOW_PIXELS
        start = min(max(0, int(lines[0]) - SSIM_WINDOW_PIXELS // 2), last)
        stop = max(int(lines[-1]) + SSIM_WINDOW_PIXELS // 2 + 1, start + SSIM_WINDOW_PIXELS)
        parts.append(slice(start, stop))
    return parts[0], parts[1]


def _why_no_correlation(one: FloatArray, two: FloatArray) -> str:
    if one.size < FEWEST_VOXELS:
        return f"NCC and Spearman need at least {FEWEST_VOXELS} voxels; found {one.size}."
    flat = [name for name, values in (("image", one), ("reference", two)) if _is_constant(values)]
    return f"NCC and Spearman need maps that vary; constant: {' and '.join(flat)}." if flat else ""


def _is_constant(values: FloatArray) -> bool:
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def _why_no_common_unit(unit: str, reference_unit: str) -> str:
    if one_unit(unit, reference_unit):
        return ""
    return f"Differences in physical units need one unit; found {unit} and, for the reference, {reference_unit}."


def _why_no_ratio(values: FloatArray, name: str) -> str:
    mean = float(values.mean())
    if mean > ROUNDING * np.abs(values).max():
        return ""
    return f"Relative differences need a positive mean; that of the {name} is {typeset(f'{mean:.3g}')}."


def _why_no_ssim(one: FloatArray, two: FloatArray, compared: MaskArray) -> str:
    if why := why_not("scikit-image"):
        return f"SSIM needs scikit-image, which {why}."
    if min(compared.shape[1:]) < SSIM_WINDOW_PIXELS:
        need = f"{SSIM_WINDOW_PIXELS}×{SSIM_WINDOW_PIXELS}"
        return f"SSIM needs slices of at least {need} voxels; found {compared.shape[2]}×{compared.shape[1]}."
    if one.size < FEWEST_VOXELS:
        return f"SSIM needs at least {FEWEST_VOXELS} voxels; found {one.size}."
    flat = _ssim_range(one, two) <= ROUNDING * max(np.abs(one).max(), np.abs(two).max())
    return "SSIM needs maps that vary; almost all values are the same." if flat else ""


def _difference_entries(differences: Differences, suffix: str) -> Iterator[tuple[str, float, str]]:
    unit = differences.unit
    yield f"SSIM{suffix}", differences.ssim, ""
    yield f"MAE{suffix}", differences.mae, unit
    yield f"MSE{suffix}", differences.mse, f"({unit})²" if set(unit) & set(" /") else f"{unit}²" if unit else ""
    yield f"RMSE{suffix}", differences.rmse, unit


def _agreement_entries(differences: Differences, suffix: str) -> Iterator[tuple[str, float, str]]:
    unit, limits = differences.unit, differences.limits
    yield f"Lower limit of agreement{suffix}", limits.low, unit
    yield f"Upper limit of agreement{suffix}", limits.high, unit
    yield f"ICC(A,1){suffix}", differences.icc, ""


def _region_entries(region: Region) -> Iterator[tuple[str, float, str]]:
    yield f"{region.name}: volume", region.ml, "mL"
    yield f"{region.name}: volume in the reference", region.reference_ml, "mL"
    yield f"{region.name}: Dice", region.dice, ""


def metric_digits(metric: str, value: float) -> str:
    """Return whole voxels, three decimals of what ends at 1, one of mL, three significant digits of the others.

    Zeros at the end are digits, and whole numbers have all of theirs, as in tables over cases.

    Examples
    --------
    >>> [metric_digits("MAE", value) for value in (0.242, 0.78, 24.0, 2134.5, 9.996)]
    ['0.242', '0.780', '24.0', '2134', '10.0']
    """
    if not np.isfinite(value):
        return "not defined"
    if metric == "Voxels":
        return f"{value:.0f}"
    if metric.startswith(("NCC", "Spearman", "SSIM", "ICC")) or metric.endswith("Dice"):
        return typeset(f"{value:.3f}")
    if ": volume" in metric:
        return typeset(f"{value:.1f}")
    exponent = int(f"{value:.2e}".partition("e")[2])  # of the number as it is rounded
    return typeset(f"{value:.{max(0, 2 - exponent)}f}")
