"""The maps of a run against reference maps of the same patient: similarity, thresholded regions, criteria."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from PyPeTLib.agreement import dice
from PyPeTLib.analysis import Lesions, Maps, Side
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image, MaskArray
from PyPeTLib.lesion_facts import MISMATCH_RATIO, NO_CORE, VOLUME_NAMES, why_no_ratio
from PyPeTLib.lesion_rules import judge_criteria, maps_of_rule
from PyPeTLib.lesions import find_lesions, judge_lesions
from PyPeTLib.outputs import Provenance, Run
from PyPeTLib.pairing import EmptyReferenceError, Pair, pair_up, resampled
from PyPeTLib.records import Midplane
from PyPeTLib.reference_remarks import bringing, doubt_of_range, doubt_of_unit, grouped
from PyPeTLib.settings import Settings
from PyPeTLib.similarity import Region, Similarity, one_unit, pair_similarity, similarity_within
from PyPeTLib.typeset import percent
from PyPeTLib.units import in_unit

#: What is said of a map whose reference has no value.
EMPTY = "the reference has no value where the run has, only NaN or the 0 of a background."
#: Regions that rest on Tmax alone.
TMAX_REGIONS = tuple(name for name in VOLUME_NAMES if name.startswith("tmax_over"))
#: Ratios of a lesion by the name of their field in `analysis.Lesions`, and what they are called.
RATIOS = {"mismatch_ratio": MISMATCH_RATIO, "hir": "HIR", "cbv_index": "CBV index"}

#: A number or a verdict of the run, and that of the reference.
Both = tuple[float, float]
Verdicts = tuple[bool | None, bool | None]


@dataclass(frozen=True)
class Findings:
    """What both sets of maps say about ischaemia, by the same rule, over the tissue that both have.

    Parameters
    ----------
    regions : tuple of Region
        Thresholded regions; NaN where one is not known.
    ratios : mapping of str to tuple of float
        Mismatch ratio, hypoperfusion intensity ratio and CBV index, of the run and of the reference; NaN where not
        defined.
    criteria : mapping of str to tuple of bool or None
        Whether each published criterion is met, by the run and by the reference; None where it is not known.
    sides : tuple of str, or None
        Of the hypoperfusion in the run and in the reference, as in `analysis.Lesions`; None where it was not sought.
    remarks : tuple of str
        What is withheld or not defined, and why.
    """

    regions: tuple[Region, ...] = ()
    ratios: Mapping[str, Both] = field(default_factory=dict)
    criteria: Mapping[str, Verdicts] = field(default_factory=dict)
    sides: tuple[Side, Side] | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """One case: how alike its maps are, and whether they say the same.

    Parameters
    ----------
    name : str
        The case.
    maps : mapping of str to Similarity
        By the name of the map, over all voxels of the brain mask that can be compared.
    tissue : mapping of str to Similarity
        The same over the tissue, without the run's CSF, large vessels and bone; only of maps that have both.
    findings : Findings
        Regions, ratios, criteria and sides.
    results, reference : Provenance
        Where the maps of the run and those of the reference are from.
    remarks : tuple of str
        What had to be assumed or converted, and what is not defined.
    """

    name: str
    maps: Mapping[str, Similarity]
    tissue: Mapping[str, Similarity]
    findings: Findings
    results: Provenance
    reference: Provenance
    remarks: tuple[str, ...] = ()


def common_maps(case: str, ours: Collection[str], theirs: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the maps that results and reference both have, in a fixed order, and remarks on the others.

    Raises
    ------
    InputError
        If there is none.
    """
    names = [name for name in MAP_LABELS if name in ours and name in theirs]
    if not names:
        raise InputError(
            f"Case {case}: a map that both have is needed; found {_listed(ours)} in the results and {_listed(theirs)} "
            "in the reference. Give a reference of one of the maps in the results, as MAP=FILE where its name does not "
            "tell which it is."
        )
    lonely = (("results", set(ours) - set(theirs)), ("reference", set(theirs) - set(ours)))
    return names, [f"Not compared, only in the {where}: {_listed(only)}." for where, only in lonely if only]


def pair_maps(run: Run, references: Mapping[str, Image], mask: Image | None = None) -> dict[str, Pair]:
    """Bring reference maps onto the grid of a run, in its units.

    Parameters
    ----------
    run : Run
        From `outputs.read_run`.
    references : mapping of str to Image
        Reference maps by name, on any grid.
    mask : Image, optional
        Instead of the run's brain mask, on any grid.

    Returns
    -------
    dict of str to Pair
        The maps that both have, in the order of the run's, without those of which the reference has no value.

    Raises
    ------
    InputError
        If they have no map in common, a pair has no voxel in common, or no reference has a value.
    """
    names, _ = common_maps(run.name, run.maps, references)
    return pair_images(
        {name: run.maps[name] for name in names},
        references,
        density_g_ml=run.settings.tissue_density_g_ml,
        within=run.brain if mask is None else mask,
        whose=f"Case {run.name}, ",
    )


def pair_images(
    images: Mapping[str, Image],
    references: Mapping[str, Image],
    *,
    density_g_ml: float,
    within: Image | None = None,
    whose: str = "",
) -> dict[str, Pair]:
    """Bring reference maps onto the grids of other maps, in their units, as `pair_maps` does.

    Parameters
    ----------
    images : mapping of str to Image
        Maps by name.
    references : mapping of str to Image
        A reference of each, on any grid.
    density_g_ml : float
        Density of tissue in g/mL, for values per 100 mL.
    within : Image, optional
        Mask of the voxels that count, on any grid.
    whose : str
        Before the name of the map in a message.

    Raises
    ------
    InputError
        If a pair has no voxel in common, or no reference has a value.
    """

    def pair(name: str) -> Pair | InputError:
        image = images[name]
        try:
            found = pair_up(image, references[name], within)  # before units, for 0 or NaN stands for no value
            return replace(found, reference=in_unit(found.reference, image.unit, density_g_ml=density_g_ml)[0])
        except InputError as error:
            named = InputError(f"{whose}{MAP_LABELS[name]}: {error}")
            if isinstance(error, EmptyReferenceError):
                return named
            raise named from error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(images, pool.map(pair, images), strict=True))
    pairs = {name: one for name, one in found.items() if isinstance(one, Pair)}
    if not pairs:
        raise next(one for one in found.values() if isinstance(one, InputError))
    return pairs


def compare_pairs(
    run: Run,
    references: Mapping[str, Image],
    pairs: Mapping[str, Pair],
    *,
    reference: Provenance,
    reference_sds: Mapping[str, Image] | None = None,
    mask: Path | None = None,
    remarks: Sequence[str] = (),
) -> Comparison:
    """Measure how alike paired maps are.

    Parameters
    ----------
    run, references
        What `pair_maps` was given.
    pairs : mapping of str to Pair
        What it returned.
    reference : Provenance
        Where the reference maps are from.
    reference_sds : mapping of str to Image, optional
        Standard deviations of the reference by the name of their map, in its units.
    mask : Path, optional
        Where the mask is from that took the place of the run's brain mask.
    remarks : sequence of str
        What was found out before: maps left out, how the reference was read.
    """
    sds, masked = (run.sds, reference_sds or {}), "" if mask is None else str(mask)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        similar = pool.map(pair_similarity, pairs.values())
        within_tissue = pool.map(lambda pair: similarity_within(pair, run.tissue), pairs.values())
        findings = compare_findings(
            pairs,
            run.tissue,
            run.midplane,
            sds=sds,
            settings=run.settings,
            vessels=run.vessels,
            mask=masked,
        )
        maps = dict(zip(pairs, similar, strict=True))
        tissue = {name: found for name, found in zip(pairs, within_tissue, strict=True) if found is not None}
    empty = [(name, f"Not compared: {EMPTY}") for name in references if name in run.maps and name not in pairs]
    marked = [f"The reference is marked invalid: {text}" for text in reference.invalid]
    within = [f"Compared within the mask {mask}, not within the run's brain mask."] * bool(mask)
    about = [*marked, *within, *remarks, *grouped([*empty, *_map_remarks(run, references, pairs, maps)])]
    told = (*run.remarks, *about, *_basis(findings, sds), *findings.remarks)
    return Comparison(run.name, maps, tissue, findings, run.provenance, reference, told)


def compare_findings(
    pairs: Mapping[str, Pair],
    tissue: MaskArray,
    midplane: Midplane | None,
    *,
    sds: tuple[Mapping[str, Image], Mapping[str, Image]],
    settings: Settings,
    vessels: MaskArray | None = None,
    mask: str = "",
) -> Findings:
    """Find the lesions in both sets of maps by the same rule, and compare them.

    Both are found by `lesions.find_lesions` over the same voxels: tissue in which both have a value. Relative values
    are each against the normal tissue of their own maps. Volumes may be smaller than those of the run alone.

    Parameters
    ----------
    pairs : mapping of str to Pair
        Maps by name. Without Tmax there are no regions; without CBF or CBV only those of Tmax. A map whose reference is
        in another unit is left out: thresholds are in the unit of the run.
    tissue : ndarray of bool, shape (z, y, x)
        The brain without CSF, large vessels and bone.
    midplane : Midplane or None
        The plane between the halves of this brain; where the reference has none of its own it is the same head's.
    sds : pair of mapping of str to Image
        Standard deviations of run and reference by the name of their map, where they have any: lesions rest on them.
    settings : Settings
        The rule and what belongs to it.
    vessels : ndarray of bool, shape (z, y, x), optional
        Large vessels.
    mask : str
        Name of the mask that the pairs are compared in; "" where that is the brain.

    Returns
    -------
    Findings
        Without any tissue in common nothing in it is known.
    """
    other_unit = _other_unit(pairs)
    pairs = {name: pair for name, pair in pairs.items() if _same_unit(pair)}
    if "tmax" not in pairs:
        return Findings(remarks=(*other_unit, "Thresholded regions and criteria need Tmax in both."))
    needed = [name for name in ("tmax", *sorted(maps_of_rule(settings) - {"tmax"})) if name in pairs]
    common = np.logical_and.reduce([tissue, *(pairs[name].compared for name in needed)])
    absent = sorted(maps_of_rule(settings) - set(pairs))
    known = TMAX_REGIONS if absent else tuple(VOLUME_NAMES)
    if not common.any():
        return _nothing_known(known, [*other_unit, _no_tissue(mask)], criteria=not absent)
    both = [
        find_lesions(maps, common, vessels, midplane, pairs["tmax"].image.geometry, settings=settings)
        for maps in (
            _maps_of({name: pair.image for name, pair in pairs.items()}, sds[0], settings),
            _maps_of(_references(pairs), sds[1], settings),
        )
    ]
    regions = tuple(_region(name, *both) for name in known)
    remarks = [*other_unit, *_coverage(tissue, common, mask), *_withheld(both, absent), *_empty(regions)]
    if absent:
        return Findings(regions, remarks=tuple(remarks))
    ratios = {text: (getattr(both[0], name), getattr(both[1], name)) for name, text in RATIOS.items()}
    remarks += [*_undefined(ratios), *_without_core(regions)]
    criteria = {one.name: (one.met, other.met) for one, other in zip(both[0].criteria, both[1].criteria, strict=True)}
    return Findings(regions, ratios, criteria, (both[0].side, both[1].side), tuple(remarks))


def _same_unit(pair: Pair) -> bool:
    return one_unit(pair.image.unit, pair.reference.unit)


def _other_unit(pairs: Mapping[str, Pair]) -> list[str]:
    """Return which maps regions and criteria do without because the numbers of their reference mean something else."""
    return [
        f"{MAP_LABELS[name]}: In no region, ratio or criterion: the unit of the reference, '{pair.reference.unit}', "
        f"does not convert into '{pair.image.unit}'."
        for name, pair in pairs.items()
        if not _same_unit(pair)
    ]


def _references(pairs: Mapping[str, Pair]) -> dict[str, Image]:
    return {name: pair.reference for name, pair in pairs.items()}


def _maps_of(images: Mapping[str, Image], sds: Mapping[str, Image], settings: Settings) -> Maps:
    """Return maps for the lesions' step: those that are not there are NaN, and nothing that is used rests on them.

    A standard deviation of a map that is not compared, or in a unit that does not convert into its map's, is left out.
    """
    tmax = images["tmax"]
    nothing = Image(np.full(tmax.geometry.shape, np.nan, dtype=np.float32), tmax.geometry)
    cbf, cbv, mtt, ttp, delay = (images.get(name, nothing) for name in ("cbf", "cbv", "mtt", "ttp", "delay"))
    sd = {}
    for name, spread in sds.items():
        image = images.get("tmax" if name == "delay" else name)
        if image is None:
            continue
        converted, _ = in_unit(spread, image.unit, density_g_ml=settings.tissue_density_g_ml)
        if one_unit(converted.unit, image.unit):
            sd[name] = resampled(converted, tmax.geometry)
    return Maps(cbf, cbv, mtt, tmax, ttp, delay, sd=sd)


def _region(name: str, ours: Lesions, theirs: Lesions) -> Region:
    masks = [one.regions.get(name) for one in (ours, theirs)]
    volumes = [one.volumes_ml[name].ml for one in (ours, theirs)]
    overlap = float("nan") if masks[0] is None or masks[1] is None else dice(masks[0], masks[1])
    return Region(VOLUME_NAMES[name], volumes[0], volumes[1], overlap)


def _nothing_known(names: Iterable[str], remarks: Sequence[str], *, criteria: bool) -> Findings:
    """Return what is found where no tissue was looked at: a volume of 0 mL would say that there is no lesion."""
    nan = float("nan")
    regions = tuple(Region(VOLUME_NAMES[name], nan, nan, nan) for name in names)
    if not criteria:
        return Findings(regions, remarks=tuple(remarks))
    verdicts: dict[str, Verdicts] = {one.name: (one.met, one.met) for one in judge_criteria(nan, nan)}
    ratios = dict.fromkeys(RATIOS.values(), (nan, nan))
    return Findings(regions, ratios, verdicts, ("unknown", "unknown"), tuple(remarks))


def _no_tissue(mask: str) -> str:
    within = f" within the mask {mask}" * bool(mask)
    return f"Regions, ratios and criteria are not known: no tissue{within} has values in the maps of both."


def _coverage(tissue: MaskArray, common: MaskArray, mask: str) -> list[str]:
    share = float(common.sum()) / max(1.0, float(tissue.sum()))
    if share > 0.99:
        return []
    where = f"it is within the mask {mask}, and there" if mask else "there"
    return [f"Regions are over {percent(share)} of the tissue: {where} the maps of both have values."]


def _basis(findings: Findings, sds: tuple[Mapping[str, Image], Mapping[str, Image]]) -> list[str]:
    """Return whose regions rest on standard deviations where only one has any: those of the same maps would differ."""
    if not findings.regions or bool(sds[0]) == bool(sds[1]):
        return []
    one, other = ("results", "reference") if sds[0] else ("reference", "results")
    return [
        f"Regions of the {one} rest on standard deviations, too; those of the {other} are by the values alone, for "
        "there are none: of the same maps they would differ."
    ]


def _withheld(both: Iterable[Lesions], absent: Collection[str]) -> list[str]:
    """Return why regions are not known."""
    if absent:
        listed = ", ".join(MAP_LABELS[name] for name in absent)
        return [f"Core, hypoperfusion, relative CBF and criteria need {listed} in both; only Tmax is compared."]
    return [
        f"{whose}: {check.text}"
        for whose, lesions in zip(("Results", "Reference"), both, strict=True)
        for check in judge_lesions(lesions)
        if check.doubtful
    ]


def _empty(regions: Iterable[Region]) -> list[str]:
    names = [region.name for region in regions if region.ml == 0.0 and region.reference_ml == 0.0]
    return [f"Dice is not defined where neither has a voxel: {', '.join(names)}."] if names else []


def no_ratio(regions: Iterable[Region]) -> tuple[str, str]:
    """Return why run and reference have no mismatch ratio; "" where one has, or its volumes are not known."""
    volumes = {region.name: (region.ml, region.reference_ml) for region in regions}
    unknown = float("nan"), float("nan")
    core, late = (volumes.get(VOLUME_NAMES[name], unknown) for name in ("core", "hypoperfusion"))
    return why_no_ratio(core[0], late[0]), why_no_ratio(core[1], late[1])


def _without_core(regions: Iterable[Region]) -> list[str]:
    """Return in which maps the criteria have a mismatch ratio to go without."""
    names = [name for name, why in zip(("results", "reference"), no_ratio(regions), strict=True) if why == NO_CORE]
    said = f"{MISMATCH_RATIO}: {NO_CORE} in the {' nor in the '.join(names)}: it is not defined and counts as met."
    return [said] if names else []


def _undefined(ratios: Mapping[str, Both]) -> list[str]:
    names = [name for name, values in ratios.items() if not np.isfinite(values).all()]
    return [f"Not defined in one or both, for want of a lesion or of normal tissue: {', '.join(names)}."] * bool(names)


def _listed(names: Collection[str]) -> str:
    return ", ".join(label for name, label in MAP_LABELS.items() if name in names) or "no map"


def _map_remarks(
    run: Run, references: Mapping[str, Image], pairs: Mapping[str, Pair], maps: Mapping[str, Similarity]
) -> list[tuple[str, str]]:
    """Return remarks with the map that each is about."""
    remarks = []
    for name, found in maps.items():
        brought = bringing(references[name], run.maps[name], density_g_ml=run.settings.tissue_density_g_ml)
        same = one_unit(found.unit, found.reference_unit)
        doubt = doubt_of_unit(found.mean, found.reference_mean, found.unit) if same else ""
        end = doubt_of_range(pairs[name].reference.values[pairs[name].compared], found.reference_unit or found.unit)
        remarks += [(name, remark) for remark in (*brought, doubt, end, *found.remarks)]
    return remarks
