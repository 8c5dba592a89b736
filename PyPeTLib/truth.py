"""How well a run found the truth of a digital phantom: the figures of demo and benchmark."""

from __future__ import annotations

import numpy as np

from PyPeTLib.agreement import dice
from PyPeTLib.analysis import Analysis
from PyPeTLib.bound import Bound, cramer_rao
from PyPeTLib.curves import area_weights
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.kinetics import BOX, LINEAR
from PyPeTLib.phantom_curves import DENSITY_G_ML, HEMATOCRIT_FACTOR, TRANSIT_SHAPE
from PyPeTLib.phantom_head import build_head
from PyPeTLib.phantom_options import LESION_SIGNS, HeadOptions, Phantom
from PyPeTLib.phantom_shapes import GRID_LOW_MM, GRID_MM
from PyPeTLib.phantom_tiles import numbered_through
from PyPeTLib.records import Midplane
from PyPeTLib.settings import Settings

#: Tmax above this, in s, is the delayed territory.
DELAYED_S = 6.0
#: A voxel is arterial when this share of its enhancement is.
ARTERIAL = 0.9
#: Shapes of the distribution of transit times behind the phantom's residues.
SHAPES = {"exponential": 1.0, "gamma": TRANSIT_SHAPE, "linear": LINEAR, "box": BOX}
#: The bound is found for at most so many voxels of a class.
SAMPLE = 500
#: Voxels this close to an edge of the lesion, in mm, are mixtures, or are smoothed with what lies beyond.
EDGE_MM = 3.0
#: The midline's crossings of the brain: so near the middle, and above this height, in mm in head coordinates.
MIDLINE_MM, LOWEST_MIDLINE_MM = 10.0, -35.0
#: What an interval and a bound are asked of.
ESTIMATED = ("cbf", "cbv", "mtt", "delay")
#: Half the widths, in SD, of the intervals that hold 90 % and 50 % of a normal distribution.
NINETY, HALF = 1.645, 0.6745

#: What the figures of merit of a run are, and what they are at best.
FIGURES = {
    "brain_dice": ("Dice of the brain mask", 1.0),
    "outside_share": ("share of the brain mask outside the skull", 0.0),
    "aif_arterial_share": ("share of the AIF's voxels that are artery", 1.0),
    "aif_area_ratio": ("area of the AIF over that of the true one", 1.0),
    "cbv_slope": ("slope of CBV against the true one", 1.0),
    "cbf_slope": ("slope of CBF against the true one", 1.0),
    "cbv_r": ("correlation of CBV, voxel by voxel", 1.0),
    "cbf_r": ("correlation of CBF, voxel by voxel", 1.0),
    "mtt_r": ("correlation of MTT, voxel by voxel", 1.0),
    "tmax_r": ("correlation of Tmax, voxel by voxel", 1.0),
    "tmax_bias_s": ("median error of Tmax in s", 0.0),
    "tmax_dice": ("Dice of Tmax > 6 s", 1.0),
}


def compare_with_truth(analysis: Analysis, phantom: Phantom) -> dict[str, float]:
    """Return the figures of merit of a run on a head phantom.

    Tissue means pure gray and white matter away from vessels, inside both brain masks.

    Returns
    -------
    dict of str to float
        The keys of `FIGURES`, which says what they are; Tmax is compared with the true one.
    """
    truth = {name: image.values for name, image in phantom.truth.items()}
    maps = {name: image.values for name, image in analysis.maps.items()}
    brain, true_brain = analysis.brain.values, phantom.masks["brain"].values
    tissue = brain & phantom.masks["pure_tissue"].values & ~phantom.masks["near_vessel"].values
    timed = tissue & np.isfinite(truth["tmax"]) & np.isfinite(maps["tmax"])
    transit = tissue & np.isfinite(maps["mtt"]) & np.isfinite(truth["mtt"])
    weights = area_weights(analysis.series.times_s)
    arterial = truth["arterial_share"][analysis.aif.mask.values]  # none of a curve that the user gave
    return {
        "brain_dice": dice(brain, true_brain),
        "outside_share": float((brain & ~true_brain).sum() / brain.sum()),
        "aif_arterial_share": float((arterial >= ARTERIAL).mean()) if arterial.size else float("nan"),
        "aif_area_ratio": float((analysis.aif.curve_hu @ weights) / (phantom.aif_hu @ weights)),
        "cbv_slope": slope(truth["cbv"][tissue], maps["cbv"][tissue]),
        "cbf_slope": slope(truth["cbf"][tissue], maps["cbf"][tissue]),
        "cbv_r": correlation(truth["cbv"][tissue], maps["cbv"][tissue]),
        "cbf_r": correlation(truth["cbf"][tissue], maps["cbf"][tissue]),
        "mtt_r": correlation(truth["mtt"][transit], maps["mtt"][transit]),
        "tmax_r": correlation(truth["tmax"][timed], maps["tmax"][timed]),
        "tmax_bias_s": float(np.median((maps["tmax"] - truth["tmax"])[timed])),
        "tmax_dice": dice(timed & (maps["tmax"] > DELAYED_S), timed & (truth["tmax"] > DELAYED_S)),
    }


def compare_by_class(analysis: Analysis, phantom: Phantom) -> dict[str, dict[str, float]]:
    """Return the figures of merit of a run on a head phantom, for every class of tissue.

    Classes are those of pure tissue away from vessels: healthy ``gray matter`` and ``white matter``, ``penumbra``,
    ``core``, where a voxel of their edges is mostly ill; all of it (``pure tissue``: mixtures of gray and white matter
    as well); the last three more than 3 mm away from any edge of penumbra or core (``... inside``, for what edges do);
    and ``all tissue``, where the edges to CSF are too, of which tissue fills at least half. All but ``voxels`` and
    ``valued`` is about voxels inside the found brain mask that have a value in every map.

    Returns
    -------
    dict of str to dict of str to float
        ``voxels`` of the class; ``valued`` (their share that has a value in every map and lies in the found mask);
        ``cbv_slope``, ``cbf_slope``; ``cbf_bias`` and ``cbf_error``, median relative error with its sign and without;
        ``mtt_bias_s``, ``tmax_bias_s``, ``delay_bias_s`` (medians); ``tmax_dice`` (of Tmax > 6 s) and ``auc`` (the
        chance that a hypoperfused voxel has a later Tmax than a healthy one), where there are both.
        ``cbf_to_bound``, ``cbv_to_bound``, ``mtt_to_bound``, ``delay_to_bound``: the error that half of the voxels
        exceed, as the SD of a normal distribution, over the median of the Cramér-Rao bound; ``cbf_bound``,
        ``cbv_bound`` (shares of the true value) and ``mtt_bound``, ``delay_bound`` (s) are these medians. The bound's
        noise is what smoothing left in each voxel at its resolution, as the run states it (``analysis.curves.sd``).
        ``cbf_held`` ...: share of the 90 % intervals, value ± 1.645 SD, that hold the truth; ``cbf_width`` ...: median
        SD over the median of the bound's. NaN where a method gives no SD or no delay, or the residue has no bound.
    """
    truth = {name: image.values for name, image in phantom.truth.items()}
    maps = {name: image.values for name, image in analysis.maps.items()}
    sds = {name: image.values for name, image in analysis.maps.sd.items()}
    found = analysis.brain.values & np.logical_and.reduce([np.isfinite(values) for values in maps.values()])
    ill = phantom.masks["hypoperfused"].values
    figures = {}
    for name, where in tissue_classes(phantom).items():
        used = where & found
        here, there, spread = ({key: values[used] for key, values in each.items()} for each in (truth, maps, sds))
        figures[name] = {
            "voxels": float(where.sum()),
            "valued": float(used.sum() / max(1, where.sum())),
            **_errors(here, there),
            "tmax_dice": dice(there["tmax"] > DELAYED_S, here["tmax"] > DELAYED_S),
            "auc": chance_above(there["tmax"][ill[used]], there["tmax"][~ill[used]]),
            **_against_bound(here, there, spread, _bound(analysis, phantom, used)),
        }
    return figures


def tissue_classes(phantom: Phantom) -> dict[str, MaskArray]:
    """Return the voxels of each class that `compare_by_class` tells apart, by name."""
    masks = {name: image.values for name, image in phantom.masks.items()}
    known = np.isfinite(phantom.truth["cbf"].values)
    inside = ~_near_edge(masks["core"], known, phantom) & ~_near_edge(masks["hypoperfused"], known, phantom)
    known &= ~masks["near_vessel"]
    pure = masks["pure_tissue"] & known
    healthy = pure & ~masks["hypoperfused"]
    mixed = {"penumbra": pure & masks["penumbra"], "core": pure & masks["core"], "pure tissue": pure}
    return {
        "gray matter": healthy & masks["gray_matter"],
        "white matter": healthy & masks["white_matter"],
        **mixed,
        **{f"{name} inside": where & inside for name, where in mixed.items()},
        "all tissue": known,
    }


def _near_edge(lesion: MaskArray, known: MaskArray, phantom: Phantom) -> MaskArray:
    """Return what lies within `EDGE_MM` of tissue on the other side of a lesion's edge."""
    from scipy.ndimage import distance_transform_edt

    near = np.zeros_like(lesion)
    for side in (lesion & known, ~lesion & known):
        if side.any():
            far_mm = distance_transform_edt(~side, sampling=phantom.series.geometry.spacing_zyx_mm)
            near |= ~side & (far_mm <= EDGE_MM)
    return near


def _errors(truth: dict[str, FloatArray], found: dict[str, FloatArray]) -> dict[str, float]:
    """Return slopes and median errors."""
    relative = found["cbf"] / truth["cbf"] - 1.0
    errors = {
        "cbv_slope": slope(truth["cbv"], found["cbv"]),
        "cbf_slope": slope(truth["cbf"], found["cbf"]),
        "cbf_bias": _median(relative),
        "cbf_error": _median(np.abs(relative)),
    }
    for name in ("mtt", "tmax", "delay"):
        errors[f"{name}_bias_s"] = _median(found[name] - truth[name]) if name in found else float("nan")
    return errors


def _against_bound(
    truth: dict[str, FloatArray], found: dict[str, FloatArray], sds: dict[str, FloatArray], bound: Bound | None
) -> dict[str, float]:
    """Return errors over the bound, and what the stated standard deviations hold and how wide they are."""
    figures = {}
    for name in ESTIMATED:
        scale = truth[name] if name in ("cbf", "cbv") else 1.0
        least = float("nan") if bound is None else _median(getattr(bound, name))
        error = (found[name] - truth[name]) / scale if name in found else np.empty(0)
        stated = sds[name] / scale if name in sds else np.empty(0)
        figures[f"{name}_bound"] = least
        figures[f"{name}_to_bound"] = _median(np.abs(error)) / HALF / least
        figures[f"{name}_held"] = (
            float((np.abs(error) <= NINETY * stated).mean()) if stated.size and error.size else float("nan")
        )
        figures[f"{name}_width"] = _median(stated) / least
    return figures


def _bound(analysis: Analysis, phantom: Phantom, where: MaskArray) -> Bound | None:
    """Return the bound of an even sample of voxels of the brain mask; None where the residue or the noise has none."""
    curves, residue = analysis.curves, phantom.options.residue
    if curves.sd is None or residue not in SHAPES or not where.any():
        return None
    places = np.flatnonzero(where)
    sample = places[:: -(-places.size // SAMPLE)]
    rows = np.cumsum(curves.mask.ravel())[sample] - 1
    cbv, mtt, delay = (phantom.truth[name].values.ravel()[sample].astype(float) for name in ("cbv", "mtt", "delay"))
    return cramer_rao(
        phantom.aif_hu,
        phantom.series.times_s,
        curves.basis.astype(float),
        volumes=cbv / 100.0 * DENSITY_G_ML / HEMATOCRIT_FACTOR,
        mtts_s=mtt,
        delays_s=delay,
        noise_hu=curves.sd[rows].astype(float),
        shape=SHAPES[residue],
    )


def true_midplane(options: HeadOptions) -> Midplane:
    """Return the plane through the middle of a head phantom's brain, least squares over its bent midline.

    The midline counts above the tentorium's lower edge, where brain is on both sides of it.
    """
    head = build_head(
        seed=options.seed, lesion_sign=LESION_SIGNS[options.lesion_side], tilt_degrees=options.tilt_degrees
    )
    midline, inside = head.fields["midline"].astype(float), head.fields["inner"] < 0
    z, y, x = np.nonzero((midline[..., :-1] < 0) & (midline[..., 1:] >= 0) & inside[..., :-1])
    before, after = midline[z, y, x], midline[z, y, x + 1]
    places = GRID_MM * np.stack([x - before / (after - before), y, z], axis=1) + np.asarray(GRID_LOW_MM)
    middle = places[(np.abs(places[:, 0]) < MIDLINE_MM) & (places[:, 2] > LOWEST_MIDLINE_MM)]
    middle = middle @ np.linalg.inv(head.to_head).T
    normal = np.linalg.svd(middle - middle.mean(axis=0), full_matrices=False)[2][2]
    normal *= np.sign(normal[0])
    nx, ny, nz = (float(value) for value in normal)
    return Midplane((nx, ny, nz), float(middle.mean(axis=0) @ normal), float("nan"))


def compare_midplanes(found: Midplane, true: Midplane, brain: Image) -> tuple[float, float]:
    """Return the angle between two planes in degrees, and how far apart they are at the brain's centre in mm."""
    angle = np.degrees(np.arccos(min(1.0, float(np.dot(found.normal, true.normal)))))
    apart = found.distance_mm(brain.geometry) - true.distance_mm(brain.geometry)
    return float(angle), abs(float(apart[brain.values].mean()))


def true_volumes(phantom: Phantom, settings: Settings) -> dict[str, float]:
    """Return the volumes in mL that the thresholds of the RAPID-like rule give on the true maps of a head phantom.

    Every voxel counts that has a truth: at least half of it is tissue. Normal tissue is that of the other side of the
    true plane, of both where there is no lesion, with a Tmax of at most ``normal_tmax_s``.
    """
    assert isinstance(phantom.options, HeadOptions), "tiles have no sides"
    geometry = phantom.series.geometry
    cbf, tmax = phantom.truth["cbf"].values, phantom.truth["tmax"].values
    sign = LESION_SIGNS[phantom.options.lesion_side]
    known = np.isfinite(cbf)
    with np.errstate(invalid="ignore"):
        other = known & (sign * true_midplane(phantom.options).distance_mm(geometry) <= 0.0)
        normal = float(cbf[other & (tmax <= settings.normal_tmax_s)].mean(dtype=float))
        late = {f"tmax_over_{s}s": known & (tmax > s) for s in (4, 6, 8, 10)}
        low = {f"rcbf_below_{p}": late["tmax_over_6s"] & (cbf < 0.01 * p * normal) for p in (20, 30, 38)}
    volumes = {name: float(mask.sum()) * geometry.voxel_volume_ml for name, mask in {**late, **low}.items()}
    core, hypoperfusion = volumes["rcbf_below_30"], volumes["tmax_over_6s"]
    return {"core": core, "hypoperfusion": hypoperfusion, "mismatch": hypoperfusion - core, **volumes}


def compare_tiles(analysis: Analysis, phantom: Phantom) -> dict[str, float]:
    """Return correlations and slopes of the tiles' means against the truth, over all tiles.

    Returns
    -------
    dict of str to float
        ``cbv_r``, ``cbf_r``, ``mtt_r``, ``cbv_slope``, ``cbf_slope``, ``mtt_slope``.
    """
    both = phantom.truth, dict(analysis.maps.items())
    means = {name: [_tile_means(phantom, images[name].values) for images in both] for name in ("cbv", "cbf", "mtt")}
    figures = {f"{name}_r": correlation(*one) for name, one in means.items()}
    return figures | {f"{name}_slope": slope(*one) for name, one in means.items()}


def _tile_means(phantom: Phantom, values: FloatArray) -> FloatArray:
    """Return the mean of every tile of every slice, over the voxels that have a value."""
    numbers, valid = numbered_through(phantom.truth["tile"].values), np.isfinite(values)
    sums = np.bincount(numbers[valid], weights=values[valid], minlength=numbers.max() + 1)[1:]
    return np.asarray(sums / np.bincount(numbers[valid], minlength=numbers.max() + 1)[1:])


def chance_above(ill: FloatArray, healthy: FloatArray) -> float:
    """Return the chance that a value of the first kind exceeds one of the second, ties half; NaN without either.

    Examples
    --------
    >>> chance_above(np.array([3.0, 2.0]), np.array([1.0, 2.0]))
    0.875
    """
    from scipy.stats import rankdata

    if not ill.size or not healthy.size:
        return float("nan")
    ranks = rankdata(np.concatenate([ill, healthy]))[: ill.size]
    return float((ranks.mean() - 0.5 * (ill.size + 1)) / healthy.size)


def _median(values: FloatArray) -> float:
    """Return the median; NaN of nothing."""
    return float(np.median(values)) if values.size else float("nan")


def slope(truth: FloatArray, found: FloatArray) -> float:
    """Return the slope of the regression through the origin, found = slope · truth; NaN of nothing.

    Examples
    --------
    >>> slope(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    2.0
    """
    square = np.sum(truth * truth, dtype=float)
    return float(np.sum(truth * found, dtype=float) / square) if square > 0 else float("nan")


def correlation(truth: FloatArray, found: FloatArray) -> float:
    """Return Pearson's correlation; NaN where either does not vary."""
    if truth.size < 2 or np.ptp(truth) == 0 or np.ptp(found) == 0:
        return float("nan")
    return float(np.corrcoef(truth, found)[0, 1])
