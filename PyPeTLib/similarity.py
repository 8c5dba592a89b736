"""How alike two maps are, over the voxels that both have: in physical units, and each divided by its own mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.errors import InputError
from PyPeTLib.records import FloatArray, Geometry, Image, MaskArray

#: Correlations and SSIM of fewer voxels than this say nothing.
FEWEST_VOXELS = 10
#: A map that varies by less than this share of its largest value is constant: float32 and interpolation round so.
ROUNDING = 1e-6
#: An interpolated voxel has a value where this share of the weights lies on values; below one half, so that a voxel
#: midway between a value and none does not hang on rounding.
LEAST_WEIGHT = 0.49
#: Window of SSIM: standard deviation of its Gaussian, and its width, in pixels (Wang 2004).
SSIM_SIGMA_PIXELS, SSIM_WINDOW_PIXELS = 1.5, 11
#: Percentiles of both maps' values between which SSIM's data range lies: single vessels do not set it.
SSIM_RANGE_PERCENT = (1.0, 99.0)
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
    """

    unit: str
    mae: float = float("nan")
    mse: float = float("nan")
    rmse: float = float("nan")
    bias: float = float("nan")
    ssim: float = float("nan")


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


def similarity(image: Image, reference: Image, mask: Image | None = None) -> Similarity:
    """Compare a map with a reference map of the same quantity.

    Voxels are compared where the mask and both maps are. A map has no value where it is NaN or infinite; a map without
    NaN may have a background of zeros, which is none either: the zeros that reach the edge of their slice. Zeros that
    do not (a Tmax of 0) are values.

    Parameters
    ----------
    image : Image
        The map; the comparison takes place on its grid.
    reference : Image
        The reference; `resampled` onto that grid where it is on another one.
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
    Wang 2004, doi:10.1109/TIP.2003.819861

    Examples
    --------
    >>> grid = Geometry((4, 3, 1), (1.0, 1.0, 5.0))
    >>> cbf = Image(np.arange(1.0, 13.0).reshape(grid.shape), grid, "mL/100 g/min")
    >>> found = similarity(cbf, Image(cbf.values + 2.0, grid, "mL/100 g/min"))
    >>> found.voxels, round(found.ncc, 6), found.physical.mae, found.physical.bias
    (12, 1.0, 2.0, -2.0)
    """
    _check_sizes(image, reference)
    ours = _values(image)
    theirs = resampled(Image(_values(reference), reference.geometry), image.geometry).values
    wanted = np.isfinite(ours) if mask is None else _mask_on(mask, image.geometry)
    compared = wanted & np.isfinite(ours) & np.isfinite(theirs)
    if not compared.any():
        raise InputError(
            f"Comparison: a map and a reference that share voxels{'' if mask is None else ' of the mask'} are needed; "
            f"found none in common between {image.geometry.describe()} and {reference.geometry.describe()}. "
            "Choose a reference of the same patient, in the same place."
        )
    units = (image.unit, reference.unit)
    return _measured(ours, theirs, compared, units, float(compared.sum() / wanted.sum()))


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
        *_difference_entries(result.relative, ", relative"),
    ]


def similarity_rows(entries: Iterable[tuple[str, float, str]]) -> list[tuple[str, str, str]]:
    """Return metric, value and unit as text with sensible digits, for a table of what `similarity_entries` gives.

    Examples
    --------
    >>> grid = Geometry((2, 2, 1), (1.0, 1.0, 5.0))
    >>> tmax = Image(np.array([[[1.0, 2.0], [3.0, 4.0]]]), grid, "s")
    >>> rows = similarity_rows(similarity_entries(similarity(tmax, tmax)))
    >>> rows[0], rows[2], rows[4]
    (('Voxels', '4', ''), ('Mean', '2.5', 's'), ('NCC', 'not defined', ''))
    """
    return [(metric, _digits(metric, value), unit) for metric, value, unit in entries]


def resampled(image: Image, geometry: Geometry) -> Image:
    """Return an image on another grid, by linear interpolation where it lies in the patient.

    Voxels outside its extent are NaN. Interpolation is normalised: missing values (NaN, infinite) do not enter, and a
    voxel has a value where about half of the weights or more lie on values. A finer image is sampled, not averaged.

    Parameters
    ----------
    image : Image
        What to resample, real values.
    geometry : Geometry
        The grid wanted; an image on that grid already is returned with its values as they are.
    """
    if image.geometry.matches(geometry):
        return Image(image.values, geometry, image.unit)
    known = np.isfinite(image.values)
    weight = _interpolated(known.astype(np.float32), image.geometry, geometry)
    total = _interpolated(np.where(known, image.values, 0), image.geometry, geometry)
    enough = weight >= LEAST_WEIGHT
    values = np.full(geometry.shape, np.nan, dtype=total.dtype)
    values[enough] = total[enough] / weight[enough]
    return Image(values, geometry, image.unit)


def ssim_available() -> bool:
    """Tell whether scikit-image, which SSIM needs, is installed; nothing is imported."""
    return find_spec("skimage") is not None


def _measured(
    ours: FloatArray, theirs: FloatArray, compared: MaskArray, units: tuple[str, str], coverage: float
) -> Similarity:
    """Return all metrics over the voxels ``compared``."""
    one, two = ours[compared].astype(float), theirs[compared].astype(float)
    mean, reference_mean = float(one.mean()), float(two.mean())
    no_correlation, no_unit = _why_no_correlation(one, two), _why_no_common_unit(*units)
    no_ratio = _why_no_ratio(one, "image") or _why_no_ratio(two, "reference")
    no_ssim = _why_no_ssim(one, two, compared)
    unit, nan = units[0] or units[1], float("nan")
    ncc, spearman = (nan, nan) if no_correlation else _correlations(one, two)
    physical, relative = Differences(unit), Differences(RELATIVE_UNIT)
    if not no_unit:
        physical = _differences(ours, theirs, compared, unit, with_ssim=not no_ssim)
    if not no_ratio:
        scaled = (ours / mean, theirs / reference_mean)
        relative = _differences(*scaled, compared, RELATIVE_UNIT, with_ssim=not no_ssim)
    remarks = (no_correlation, no_unit, no_ratio, no_ssim, _assumed_unit(*units))
    return Similarity(
        int(compared.sum()), coverage, mean, reference_mean, *units, ncc, spearman, physical, relative,
        tuple(remark for remark in remarks if remark),
    )  # fmt: skip


def _differences(
    ours: FloatArray, theirs: FloatArray, compared: MaskArray, unit: str, *, with_ssim: bool
) -> Differences:
    apart = ours[compared].astype(float) - theirs[compared]
    mse = float(np.mean(apart**2))
    return Differences(
        unit,
        mae=float(np.abs(apart).mean()),
        mse=mse,
        rmse=float(np.sqrt(mse)),
        bias=float(apart.mean()),
        ssim=_ssim(ours, theirs, compared) if with_ssim else float("nan"),
    )


def _correlations(one: FloatArray, two: FloatArray) -> tuple[float, float]:
    """Return Pearson's and Spearman's correlation of values that vary."""
    from scipy.stats import rankdata

    return float(np.corrcoef(one, two)[0, 1]), float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])


def _ssim(ours: FloatArray, theirs: FloatArray, compared: MaskArray) -> float:
    """Return the mean over the voxels ``compared`` of the slices' SSIM maps."""
    from skimage.metrics import structural_similarity

    span = _ssim_range(ours[compared], theirs[compared])
    found = [
        structural_similarity(
            _continued(ours[k], inside),
            _continued(theirs[k], inside),
            data_range=span,
            gaussian_weights=True,
            sigma=SSIM_SIGMA_PIXELS,
            use_sample_covariance=False,
            full=True,
        )[1][inside]
        for k, inside in enumerate(compared)
        if inside.any()
    ]
    return float(np.concatenate(found).mean())


def _ssim_range(one: FloatArray, two: FloatArray) -> float:
    """Return the data range of SSIM: no map's alone, so that map and reference can be exchanged."""
    low, high = np.percentile(np.concatenate([one, two]), SSIM_RANGE_PERCENT)
    return float(high - low)


def _continued(plane: FloatArray, inside: MaskArray) -> FloatArray:
    """Fill a slice outside a mask with the nearest value inside: nothing in common is put there."""
    from scipy.ndimage import distance_transform_edt

    row, column = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(plane[row, column], dtype=float)


def _values(image: Image) -> FloatArray:
    """Return a map's values, with NaN where it has none."""
    from scipy.ndimage import generate_binary_structure, label

    values = image.values.astype(np.result_type(image.values.dtype, np.float32))
    if not np.isfinite(values).all():  # it says itself where it has no value
        values[~np.isfinite(values)] = np.nan
        return values
    zero, in_slice = values == 0, generate_binary_structure(3, 1)
    in_slice[[0, 2]] = False
    regions, _ = label(zero, structure=in_slice)
    edges = [regions[:, [0, -1], :].ravel(), regions[:, :, [0, -1]].ravel()]
    values[zero & np.isin(regions, np.unique(np.concatenate(edges)))] = np.nan
    return values


def _mask_on(mask: Image, geometry: Geometry) -> MaskArray:
    """Return a mask on a grid; refuse an empty one."""
    if not mask.values.any():
        raise InputError("Comparison: a mask with voxels is needed; found none in it. Choose another mask.")
    return np.asarray(resampled(Image((mask.values != 0).astype(np.float32), mask.geometry), geometry).values >= 0.5)


def _interpolated(values: npt.NDArray[Any], source: Geometry, target: Geometry) -> FloatArray:
    """Interpolate finite values linearly; 0 outside the extent of the voxels."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(values)
    image.SetSpacing(source.spacing_mm)
    image.SetOrigin(source.origin_mm)
    image.SetDirection(source.direction)
    grid = (target.size, sitk.Transform(), sitk.sitkLinear, target.origin_mm, target.spacing_mm)
    moved = sitk.Resample(image, *grid, target.direction, 0.0, image.GetPixelID())
    return np.asarray(sitk.GetArrayFromImage(moved))


def _check_sizes(image: Image, reference: Image) -> None:
    for name, one in (("Map", image), ("Reference", reference)):
        if sorted(one.geometry.size)[1] < 2:
            raise InputError(
                f"{name}: a slice or a volume is needed for a comparison; found a single line of voxels, "
                f"{one.geometry.describe()}. Choose a whole map."
            )


def _why_no_correlation(one: FloatArray, two: FloatArray) -> str:
    if one.size < FEWEST_VOXELS:
        return f"NCC and Spearman need at least {FEWEST_VOXELS} voxels; found {one.size}."
    flat = [name for name, values in (("image", one), ("reference", two)) if _is_constant(values)]
    return f"NCC and Spearman need maps that vary; constant: {' and '.join(flat)}." if flat else ""


def _is_constant(values: FloatArray) -> bool:
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def _why_no_common_unit(unit: str, reference_unit: str) -> str:
    spelt = {"".join(text.split()).lower() for text in (unit, reference_unit) if text}
    if len(spelt) < 2:
        return ""
    return f"Differences in physical units need one unit; found {unit} and, for the reference, {reference_unit}."


def _assumed_unit(unit: str, reference_unit: str) -> str:
    if bool(unit) == bool(reference_unit):
        return ""
    mute, known = ("reference", unit) if unit else ("image", reference_unit)
    return f"The {mute} does not tell its unit; {known} is assumed."


def _why_no_ratio(values: FloatArray, name: str) -> str:
    mean = float(values.mean())
    if mean > ROUNDING * np.abs(values).max():
        return ""
    return f"Relative differences need a positive mean; that of the {name} is {mean:.3g}."


def _why_no_ssim(one: FloatArray, two: FloatArray, compared: MaskArray) -> str:
    if not ssim_available():
        return "SSIM needs scikit-image, which is not installed."
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


def _digits(metric: str, value: float) -> str:
    """Return whole voxels, three decimals of what ends at 1, three significant digits of the others."""
    if not np.isfinite(value):
        return "not defined"
    if metric == "Voxels":
        return f"{value:.0f}"
    if metric.startswith(("NCC", "Spearman", "SSIM")):
        return f"{value:.3f}"
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
