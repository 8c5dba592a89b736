"""From maps to ischaemia: core, hypoperfusion and mismatch, their volumes and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from PyPeTLib.analysis import Lesions, Maps, Side, Volume
from PyPeTLib.checks import Check
from PyPeTLib.chunks import in_parallel, share
from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray
from PyPeTLib.lesion_rules import Limit, describe_rule, judge_criteria, map_of, rule_of, sd_of
from PyPeTLib.morphology import large_parts
from PyPeTLib.progress import Progress, silent
from PyPeTLib.records import Midplane
from PyPeTLib.settings import Settings
from PyPeTLib.smoothing import bounding_box

Box = tuple[slice, slice, slice]

#: Volumes that are always measured: Tmax in s, and CBF in % of normal.
TMAX_S, RCBF_PERCENT = (4.0, 6.0, 8.0, 10.0), (20.0, 30.0, 38.0)
#: Tmax in s of the hypoperfusion intensity ratio (Olivot 2014) and of the CBV index (Arenillas 2017).
LATE_S, VERY_LATE_S = 6.0, 10.0
#: Smallest volume of normal tissue, in mL, whose mean others are compared with.
LEAST_NORMAL_ML = 20.0
#: A voxel lies beyond a threshold with a probability of 95 % where it does so by so many SDs, and with one of 5 % where
#: it falls short of it by as many.
BOUND_SDS = 1.645
#: A lesion as a whole is off by a share of that, the share of its voxels that lie beyond the threshold by less than so
#: many SDs; but by so many at least.
UNCERTAIN_SDS = 1.0
#: Tissue without a known delay belongs to a hypoperfusion where its flow is below the core's threshold by so many SDs.
UNREACHED_SDS = 3.0
#: The upper bound grows a lesion by at most so many mm: where its edge is is uncertain; others are not looked for.
REACH_MM = 6.0


@dataclass(frozen=True)
class _Region:
    """A mask and the limits that its voxels lie beyond: what its bounds are made of.

    Parameters
    ----------
    mask : ndarray of bool, shape (z, y, x), or None
        None where it is not known.
    beyond : tuple of Limit
        Its voxels lie beyond all of these.
    but : tuple of Limit
        They do not lie beyond all of these; empty: nothing is left out.
    within : ndarray of bool, shape (z, y, x), or None
        What it is part of, where that was found.
    """

    mask: MaskArray | None
    beyond: tuple[Limit, ...]
    but: tuple[Limit, ...] = ()
    within: MaskArray | None = None


def find_lesions(
    maps: Maps,
    tissue: MaskArray,
    vessels: MaskArray | None,
    midplane: Midplane | None,
    geometry: Geometry,
    *,
    settings: Settings,
    progress: Progress = silent,
) -> Lesions:
    """Return core, hypoperfusion, mismatch, and what their volumes mean.

    Relative values are against the means of normal tissue: that of the side without the lesion, without CSF and large
    vessels, whose Tmax is at most ``normal_tmax_s``; of both sides where there is no lesion (MTT: 60 times mean CBV
    over mean CBF). The side is the one with more hypoperfusion; both are ill where the smaller is at least
    ``both_sides_share`` of the larger and ``both_sides_ml``; where a relative one lacks normal tissue of the other side
    to be found against, and none is found, the side is unknown. Then, without a plane, and where normal tissue is less
    than 20 mL, relative values are withheld, and all that rests on them.

    Connected parts (touching at corners) smaller than ``smallest_lesion_ml`` are left out.

    Where the delay has a standard deviation, a voxel counts as late if it is later than the median of the tissue, or
    than ``normal_tmax_s`` where most of the tissue is later than that, with a probability of ``late_probability`` at
    least: of what hardly enhances no lesion is made. But tissue that is joined to the hypoperfusion belongs to it where
    flow is below the core's threshold by three standard deviations and the delay may be as late: what blood does not
    reach has none.

    Within ``vessel_margin_mm`` of a large vessel the values of the nearest tissue farther away are taken: the vessel's
    blood outshines the tissue, and an artery in an ischaemic territory made its surroundings seem early and full of
    flow. To normal tissue what is so near a vessel does not count: its flow seems too high, and cores would be too
    large.

    Where the method gives standard deviations, volumes have bounds: the part of the lesion that stays beyond the
    threshold, and what within 6 mm of it comes to lie there, if all voxels are off by the same number of SDs one way or
    the other. Did their errors all go together, 1.645 would make a 90 % interval; but noise is correlated over some mm
    only, and over a lesion most of it averages out. What does not, the priors' pull and the choice of what noise
    happens to lift over the threshold, is the larger the fewer voxels lie clear of it: the number is 1.645 times the
    share of the lesion that lies within one SD of the threshold, and 1 at least. (That is found, not derived:
    docs/measured.md says how often such bounds hold.) Where no lesion is found, the upper bound is what lies
    beyond the threshold with a probability of 5 % anywhere, in parts large enough. That of Tmax is taken as the error
    of the delay. What is in no standard deviation is not in the bounds: the arterial input, vessels and CSF that share
    a voxel, or a wrong residue function.

    Mismatch is what of the hypoperfusion is no core. Where core is sought anywhere some of it may lie outside the
    hypoperfusion; criteria take the difference of the volumes, as they were published.

    Parameters
    ----------
    maps : Maps
    tissue : ndarray of bool, shape (z, y, x)
        The brain without CSF, large vessels and bone.
    vessels : ndarray of bool, shape (z, y, x), or None
        Large vessels; None: not known.
    midplane : Midplane or None
        The plane between the halves of the brain.
    geometry : Geometry
        The grid.
    settings : Settings
        The rule and what belongs to it.
    progress : callable
        ``progress(fraction, text)`` after every map and region; raising from it cancels.
    """
    core_limit, late_limit = rule_of(settings)
    clear = tissue if vessels is None else tissue & ~_beside(vessels, geometry, settings.vessel_margin_mm)
    around = _as_around(maps, tissue, clear, geometry, share(progress, 0.1, 0.5))
    scene = _Scene(around, tissue, clear, geometry, settings, {})
    progress(0.5, "")
    left = None if midplane is None else midplane.distance_mm(geometry) > 0.0
    side = _side(scene, late_limit, left)
    progress(0.55, "")
    scene = scene.against(_normal(scene, side, left))
    regions = _regions(scene, core_limit, late_limit, share(progress, 0.6, 0.8))
    volumes = _volumes(scene, regions, share(progress, 0.8, 1.0))
    masks = {name: region.mask for name, region in regions.items() if region.mask is not None}
    very_late, of_late = volumes[f"tmax_over_{VERY_LATE_S:g}s"].ml, volumes[f"tmax_over_{LATE_S:g}s"].ml
    return Lesions(
        rule=describe_rule(settings),
        midplane=midplane,
        side=side,
        core=_image(masks.get("core"), geometry),
        hypoperfusion=_image(masks.get("hypoperfusion"), geometry),
        mismatch=_image(masks.get("mismatch"), geometry),
        volumes_ml=volumes,
        mismatch_ratio=_ratio(volumes["hypoperfusion"].ml, volumes["core"].ml),
        hir=_ratio(very_late, of_late),
        cbv_index=_cbv_index(scene, masks[f"tmax_over_{LATE_S:g}s"]),
        normal=scene.normal,
        criteria=judge_criteria(volumes["hypoperfusion"].ml, volumes["core"].ml),
        regions=masks,
    )


def judge_lesions(lesions: Lesions) -> tuple[Check, ...]:
    """Return what the user has to know: whether the plane was found, and whether there is a side to compare with."""
    plane = lesions.midplane
    if plane is None:
        need = "Mid-sagittal plane: none mirrors the brain clearly better than its neighbours."
        withheld = "The side of a lesion is unknown and relative values are withheld."
        text = "No hypoperfusion was found, so relative values are against both sides." if lesions.normal else withheld
        return (Check("midplane", "warn", f"{need} {text}"),)
    text = f"The mid-sagittal plane is tilted by {plane.tilt_degrees:.1f}° against the scan's left-right axis."
    checks = [Check("midplane", "pass", text, plane.tilt_degrees)]
    if lesions.side == "both":
        text = (
            "Both hemispheres are hypoperfused: no side is normal. Relative values and what rests on them are withheld."
        )
        checks.append(Check("healthy side", "warn", text))
    elif lesions.side == "unknown":
        text = (
            f"A side has less than {LEAST_NORMAL_ML:g} mL of normal tissue to find hypoperfusion of the other against, "
            "and none was found: its side is unknown, and relative values are withheld."
        )
        checks.append(Check("healthy side", "warn", text))
    elif not lesions.normal:
        text = f"Less than {LEAST_NORMAL_ML:g} mL of normal tissue were found: relative values are withheld."
        checks.append(Check("healthy side", "warn", text))
    else:
        text = {"none": "No hypoperfusion was found."}.get(
            lesions.side, f"The hypoperfusion is on the patient's {lesions.side} side; the other one is compared with."
        )
        checks.append(Check("healthy side", "pass", text, lesions.normal["cbf"]))
    return tuple(checks)


@dataclass(frozen=True)
class _Scene:
    """Where lesions are sought, and against what.

    Parameters
    ----------
    maps : Maps
        Beside large vessels with the values of the nearest tissue farther away.
    tissue, clear : ndarray of bool, shape (z, y, x)
        Where lesions may be, and what of it is not beside large vessels.
    geometry : Geometry
    settings : Settings
    normal : mapping of str to float
        Means of normal tissue as in `Lesions.normal`; empty where they are not known (yet).
    """

    maps: Maps
    tissue: MaskArray
    clear: MaskArray
    geometry: Geometry
    settings: Settings
    normal: Mapping[str, float]

    def against(self, normal: Mapping[str, float]) -> _Scene:
        """Return the same with other values of normal tissue."""
        return replace(self, normal=normal)

    def beyond(self, limit: Limit, within: MaskArray | None = None) -> MaskArray | None:
        """Return what lies beyond a limit, in parts large enough; None where what is normal is not known."""
        value = self.value(limit)
        if value is None:
            return None
        image = getattr(self.maps, map_of(limit)).values
        with np.errstate(invalid="ignore"):
            ill = self.tissue & ((image < value) if limit.below else (image > value))
            if limit.quantity in ("tmax", "delay") and "delay" in self.maps.sd and ill.any():
                usual_s = min(float(np.nanmedian(image[self.tissue])), self.settings.normal_tmax_s)
                later = image - usual_s
                ill &= later >= _sds(self.settings.late_probability) * self.maps.sd["delay"].values
        return _large(ill if within is None else ill & within, self.geometry, self.settings.smallest_lesion_ml)

    def value(self, limit: Limit) -> float | None:
        """Return a limit in the unit of its map."""
        if not limit.relative:
            return limit.value
        normal = self.normal.get(map_of(limit))
        return None if normal is None else 0.01 * limit.value * normal

    def volume(self, region: _Region) -> Volume:
        """Return the volume of a region, with its bounds where its limits have standard deviations."""
        mask = region.mask
        plain = _plain_volume(mask, self.geometry)
        if mask is None or any(self.maps.sd.get(sd_of(one)) is None for one in (*region.beyond, *region.but)):
            return plain
        if not mask.any():
            return self._none_found(region)
        box = _box(mask, self.geometry)
        far, inside, ml = self.sds_inside(box, region), mask[box], self.geometry.voxel_volume_ml
        off = _sds_off(far[inside])
        sure = inside & (far >= off)
        possible = inside | (_near(inside, self.geometry) & self.tissue[box] & (far >= -off))
        return Volume(plain.ml, float(np.count_nonzero(sure)) * ml, float(np.count_nonzero(possible)) * ml)

    def _none_found(self, region: _Region) -> Volume:
        """Return no volume, and as the upper bound what may lie beyond the limits all the same.

        That is anywhere, or in and near what it is part of.
        """
        if any(self.value(one) is None for one in (*region.beyond, *region.but)) or not self.tissue.any():
            return Volume(0.0)
        part_of = region.within
        box = _box(self.tissue if part_of is None else part_of, self.geometry)
        where = self.tissue[box] if part_of is None else self.tissue[box] & _near(part_of[box], self.geometry)
        possible = np.zeros_like(self.tissue)
        possible[box] = where & (self.sds_inside(box, region) >= -BOUND_SDS)
        large = _large(possible, self.geometry, self.settings.smallest_lesion_ml)
        return Volume(0.0, 0.0, float(np.count_nonzero(large)) * self.geometry.voxel_volume_ml)

    def sds_inside(self, box: Box, region: _Region) -> FloatArray:
        """Return by how many SDs each voxel of a box is what a region is made of."""
        far = self.sds_beyond(box, region.beyond)
        return np.minimum(far, -self.sds_beyond(box, region.but)) if region.but else far

    def sds_beyond(self, box: Box, limits: tuple[Limit, ...]) -> FloatArray:
        """Return by how many SDs each voxel of a box lies beyond all limits, where errors go together.

        A voxel without a value lies short of them by any number.
        """
        found = []
        for limit in limits:
            name, value = map_of(limit), self.value(limit)
            assert value is not None, "there is a mask, so there is a limit"
            far = getattr(self.maps, name).values[box] - np.float32(value)
            sd = np.maximum(self.maps.sd[sd_of(limit)].values[box], np.float32(1e-6))
            found.append((-far if limit.below else far) / sd)
        return np.asarray(np.nan_to_num(np.minimum.reduce(found), nan=-np.inf, posinf=np.inf, neginf=-np.inf))


def _sds_off(far: FloatArray) -> float:
    """Return by how many SDs a lesion as a whole may be off, whose voxels lie so many SDs beyond the threshold.

    Examples
    --------
    >>> [round(_sds_off(np.array(far)), 2) for far in ([0.5, 0.2, 0.9], [0.5, 3.0, 0.9, 2.0], [3.0, 3.0])]
    [1.65, 1.0, 1.0]
    """
    return max(UNCERTAIN_SDS, BOUND_SDS * float(np.mean(far < UNCERTAIN_SDS)))


def _sds(probability: float) -> float:
    """Return by how many SDs a normal value has to be larger for it to be so with a probability."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def _as_around(maps: Maps, tissue: MaskArray, clear: MaskArray, geometry: Geometry, progress: Progress) -> Maps:
    """Return the maps with the values of the nearest clear tissue in the rest of it."""
    from scipy.ndimage import distance_transform_edt

    progress(0.0, "")
    near = tissue & ~clear
    if not near.any() or not clear.any():
        return maps
    box, spacing = _box(tissue, geometry), geometry.spacing_zyx_mm
    index = distance_transform_edt(~clear[box], sampling=spacing, return_distances=False, return_indices=True)
    nearest = tuple(axis[near[box]] + along.start for axis, along in zip(index, box, strict=True))

    def moved(image: Image) -> Image:
        progress(0.8, "")  # each takes little: most of it is the search above
        values = image.values.copy()
        values[near] = values[nearest]
        return replace(image, values=values)

    return replace(
        maps,
        cbf=moved(maps.cbf),
        cbv=moved(maps.cbv),
        mtt=moved(maps.mtt),
        tmax=moved(maps.tmax),
        delay=None if maps.delay is None else moved(maps.delay),
        sd={name: moved(image) for name, image in maps.sd.items()},
    )


def _beside(vessels: MaskArray, geometry: Geometry, margin_mm: float) -> MaskArray:
    """Return large vessels and what lies so near them that their blood is in its curves."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(vessels, _ball(margin_mm, geometry)))


def _ball(radius_mm: float, geometry: Geometry) -> MaskArray:
    """Return the voxels within a distance of the middle one."""
    reach = [int(radius_mm / mm) for mm in geometry.spacing_zyx_mm]
    places = np.ogrid[tuple(slice(-one, one + 1) for one in reach)]
    square = sum((place * mm) ** 2 for place, mm in zip(places, geometry.spacing_zyx_mm, strict=True))
    return np.asarray(square <= radius_mm**2)


def _regions(scene: _Scene, core: Limit, late: Limit, progress: Progress) -> dict[str, _Region]:
    """Return every region that is measured."""
    progress(0.0, "")
    late_mask = _with_unreached(scene, scene.beyond(late), core, late)
    within = (late,) if scene.settings.core_inside == "hypoperfusion" else ()
    found_late = None if late_mask is None or not late_mask.any() else late_mask

    def low(limit: Limit) -> _Region:
        if within and found_late is None:
            return _Region(late_mask, (limit, *within))  # inside what is not known nothing is, inside nothing is none
        part_of = found_late if within else None
        return _Region(scene.beyond(limit, part_of), (limit, *within), within=part_of)

    cores = low(core)
    mismatch = None if late_mask is None or cores.mask is None else late_mask & ~cores.mask
    regions = {
        "core": cores,
        "hypoperfusion": _Region(late_mask, (late,)),
        "mismatch": _Region(mismatch, (late,), (core,), found_late),
    }
    others = {f"tmax_over_{s:g}s": Limit("tmax", s) for s in TMAX_S}
    others |= {f"rcbf_below_{p:g}": Limit("rcbf", p) for p in RCBF_PERCENT}

    def beyond(limit: Limit) -> _Region:
        if limit.below:
            return low(limit)
        return _Region(late_mask if limit == late else scene.beyond(limit), (limit,))

    found = in_parallel(beyond, list(others.values()), progress=share(progress, 0.3, 1.0))
    return regions | dict(zip(others, found, strict=True))


def _with_unreached(scene: _Scene, found: MaskArray | None, core: Limit, late: Limit) -> MaskArray | None:
    """Return a hypoperfusion with the tissue joined to it that hardly any blood reaches: no curve tells its delay.

    Flow (or volume) there is below the core's threshold for certain, and the delay is not early for certain.
    """
    from scipy.ndimage import label

    timed = late.quantity in ("tmax", "delay") and core.below and scene.value(core) is not None
    if found is None or not found.any() or not timed or any(sd_of(one) not in scene.maps.sd for one in (core, late)):
        return found
    box, sds = _box(scene.tissue, scene.geometry), _sds(scene.settings.late_probability)
    low = scene.sds_beyond(box, (core,)) >= UNREACHED_SDS
    unreached = scene.tissue[box] & low & (scene.sds_beyond(box, (late,)) >= -sds)
    labels, count = label(found[box] | unreached, np.ones((3, 3, 3)))
    joined = np.zeros(count + 1, dtype=bool)
    joined[labels[found[box]]] = True
    whole = found.copy()
    whole[box] = joined[labels]
    return whole


def _volumes(scene: _Scene, regions: Mapping[str, _Region], progress: Progress) -> dict[str, Volume]:
    """Return the volume of every region."""
    return dict(zip(regions, in_parallel(scene.volume, list(regions.values()), progress=progress), strict=True))


def _box(mask: MaskArray, geometry: Geometry) -> Box:
    """Return the part of the grid that holds a mask and what is near it."""
    margins = [int(np.ceil(REACH_MM / mm)) for mm in geometry.spacing_zyx_mm]
    z, y, x = (
        slice(max(0, along.start - margin), along.stop + margin)
        for along, margin in zip(bounding_box(mask), margins, strict=True)
    )
    return z, y, x


def _near(mask: MaskArray, geometry: Geometry) -> MaskArray:
    """Return what lies within `REACH_MM` of a mask."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~mask, sampling=geometry.spacing_zyx_mm) <= REACH_MM)


def _side(scene: _Scene, late: Limit, left: MaskArray | None) -> Side:
    """Return on which side hypoperfusion is; where it is relative, each side is compared with the other."""
    if left is None:
        known = None if late.relative else scene.beyond(late)
        return "none" if known is not None and not known.any() else "unknown"
    both = [scene.against(_means(scene, other)).beyond(late, own) for own, other in ((left, ~left), (~left, left))]
    volumes = [0.0 if found is None else _plain_volume(found, scene.geometry).ml for found in both]
    smaller, larger = sorted(volumes)
    if larger == 0.0:
        return "unknown" if any(found is None for found in both) else "none"
    if smaller >= max(scene.settings.both_sides_ml, scene.settings.both_sides_share * larger):
        return "both"
    return "left" if volumes[0] > volumes[1] else "right"


def _normal(scene: _Scene, side: Side, left: MaskArray | None) -> Mapping[str, float]:
    """Return the means of normal tissue; nothing where no side is normal, or it is not known which."""
    if side in ("both", "unknown"):
        return {}
    if side == "none" or left is None:
        return _means(scene, np.ones_like(scene.tissue))
    return _means(scene, ~left if side == "left" else left)


def _means(scene: _Scene, where: MaskArray) -> Mapping[str, float]:
    """Return mean CBF and CBV, and the MTT that belongs to them, of the normal tissue of a region."""
    cbf, cbv, tmax = (image.values for image in (scene.maps.cbf, scene.maps.cbv, scene.maps.tmax))
    with np.errstate(invalid="ignore"):
        normal = scene.clear & where & (tmax <= scene.settings.normal_tmax_s) & np.isfinite(cbf) & np.isfinite(cbv)
    if np.count_nonzero(normal) * scene.geometry.voxel_volume_ml < LEAST_NORMAL_ML:
        return {}
    flow, volume = (float(values[normal].mean(dtype=float)) for values in (cbf, cbv))
    return {"cbf": flow, "cbv": volume, "mtt": 60.0 * volume / flow} if flow > 0 else {}


def _large(mask: MaskArray, geometry: Geometry, smallest_ml: float) -> MaskArray:
    """Leave out connected parts, touching at corners, that are too small."""
    kept = np.zeros_like(mask)
    if mask.any():
        box = bounding_box(mask)  # most of the grid holds no lesion
        kept[box] = large_parts(mask[box], smallest_ml, geometry.voxel_volume_ml)
    return kept


def _cbv_index(scene: _Scene, late: MaskArray) -> float:
    """Return the mean CBV of late tissue over that of normal tissue."""
    if not late.any() or not scene.normal:
        return float("nan")
    return float(np.nanmean(scene.maps.cbv.values[late], dtype=float)) / scene.normal["cbv"]


def _plain_volume(mask: MaskArray | None, geometry: Geometry) -> Volume:
    """Return the volume of a mask; NaN of none."""
    return Volume(float("nan") if mask is None else float(np.count_nonzero(mask) * geometry.voxel_volume_ml))


def _image(mask: MaskArray | None, geometry: Geometry) -> Image | None:
    return None if mask is None else Image(mask, geometry)


def _ratio(above: float, below: float) -> float:
    """Return a ratio, NaN where there is nothing to compare with."""
    return above / below if below > 0 else float("nan")
