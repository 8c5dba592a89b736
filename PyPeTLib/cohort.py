"""A data set: every run with the reference of its case, and statistics over all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from PyPeTLib.agreement import Limits, but_for_rounding, icc_agreement, kappa, limits_of_agreement
from PyPeTLib.compare import Comparison, common_maps, compare_pairs, pair_maps
from PyPeTLib.comparison_files import files_below
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.lesion_facts import MET
from PyPeTLib.lesion_rules import sds_of_rule
from PyPeTLib.outputs import find_runs, read_run
from PyPeTLib.pairing import Pair
from PyPeTLib.pictures import Scale
from PyPeTLib.progress import Progress
from PyPeTLib.read import read_mask
from PyPeTLib.reference_maps import (
    Files,
    but_for_own,
    case_of,
    doubts_of_choice,
    find_references,
    maps_of_run,
    provenance_of,
    read_reference,
    read_sds,
    reference_of,
)
from PyPeTLib.reference_remarks import grouped
from PyPeTLib.similarity import comparable_entries
from PyPeTLib.typeset import counted_names

#: What is done with a case beside its numbers, e.g. drawn.
Show = Callable[[Comparison, Mapping[str, Pair]], None]


@dataclass(frozen=True)
class Cohort:
    """All cases of a data set.

    Parameters
    ----------
    cases : tuple of Comparison
        Those that could be compared, in order of their names.
    failed : mapping of str to str
        Why the others could not, by name.
    unused : tuple of str
        Cases of the reference of which there is no run.
    """

    cases: tuple[Comparison, ...]
    failed: Mapping[str, str]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spread:
    """How a number is spread over cases; NaN where none is known (SD: fewer than two)."""

    count: int
    mean: float
    median: float
    sd: float


def compare_folders(
    results: Path,
    references: Sequence[Path],
    *,
    mask: Path | None = None,
    scales: Mapping[str, Scale] | None = None,
    show: Show = lambda comparison, pairs: None,
    progress: Progress,
) -> Cohort:
    """Compare the runs in a folder with reference maps: one run, or a data set.

    Parameters
    ----------
    results : Path
        Folder of one run or of many, also in all folders below.
    references : sequence of Path
        A folder or files, see `reference_maps.find_references`. A case is known by what the names of its files begin
        with, or, where that holds subject and session of ISLES 2024 (``sub-X_ses-01``), by these.
    mask : Path, optional
        Mask to compare in, for one run, on any grid.
    scales : mapping of str to Scale, optional
        Colour bars of pictures, by map.
    show : callable
        ``show(comparison, pairs)``, called for each case.
    progress : callable
        ``progress(fraction, text)``.

    Raises
    ------
    InputError
        If there is no run or no reference, a mask is given for many, or no case can be compared.
    """
    runs = _runs(results, references)
    ours = {path for name, summary in runs.items() for path in maps_of_run(summary, name)}
    found, alone = but_for_own(find_references(references), ours), len(runs) == 1
    if mask is not None and not alone:
        raise InputError(f"Mask {mask}: a mask is of one case; found {len(runs)} runs in {results}. Leave it out.")
    files, failed = _assigned(runs, found, alone=alone)
    cases, used = [], {path for own in files.values() for path in own.values()}
    for k, (name, own) in enumerate(files.items()):
        progress(k / len(files), name)
        told = [*doubts_of_choice(name, found, own), *_shared(name, files)]
        try:
            comparison, pairs = _compared(runs[name], own, mask, scales or {}, told)
        except (InputError, OSError) as error:
            if alone:
                raise
            failed[name] = str(error).removeprefix(f"Case {name}: ")
            continue
        show(comparison, pairs)
        cases.append(comparison)
    if not cases:
        name, why = next((name, failed[name]) for name in runs if name in failed)
        raise InputError(f"Data set {results}: none of {len(failed)} cases can be compared; {name}: {why}")
    return Cohort(tuple(cases), {name: failed[name] for name in runs if name in failed}, _unused(found, runs, used))


def metrics_of(cases: Iterable[Comparison]) -> dict[tuple[str, str, str], list[float]]:
    """Return every metric's values over the cases, by map, metric and unit."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for case in cases:
        for name, similarity in case.maps.items():
            for metric, value, unit in comparable_entries(similarity):
                found.setdefault((name, metric, unit), []).append(value)
    return found


def spread(values: Sequence[float]) -> Spread:
    """Return count, mean, median and standard deviation (n − 1) of the values that are known.

    Examples
    --------
    >>> spread([1.0, 2.0, 6.0, float("nan")])
    Spread(count=3, mean=3.0, median=2.0, sd=2.6457513110645907)
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    nan = float("nan")
    if not known.size:
        return Spread(0, nan, nan, nan)
    sd = float(known.std(ddof=1)) if known.size > 1 else nan
    mean, sd = (but_for_rounding(value, float(np.abs(known).max())) for value in (float(known.mean()), sd))
    return Spread(known.size, mean, float(np.median(known)), sd)


def volumes_of(cases: Iterable[Comparison]) -> dict[str, FloatArray]:
    """Return volumes in mL of the runs and of the references, shape (case, 2), by region; cases that know both."""
    found: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        for region in case.findings.regions:
            if np.isfinite(region.difference_ml):
                found.setdefault(region.name, []).append((region.ml, region.reference_ml))
    return {name: np.asarray(both, dtype=float) for name, both in found.items()}


def volume_agreement(volumes: FloatArray) -> tuple[Limits, float]:
    """Return limits of agreement in mL and ICC(A,1) of volumes, shape (case, 2)."""
    return limits_of_agreement(volumes[:, 0], volumes[:, 1]), icc_agreement(volumes)


def criterion_agreement(cases: Iterable[Comparison]) -> dict[str, tuple[int, int, float]]:
    """Return, by criterion, how many cases know both verdicts, in how many these agree, and Cohen's kappa."""
    found: dict[str, list[tuple[str, str]]] = {}
    for case in cases:
        for name, (ours, theirs) in case.findings.criteria.items():
            if ours is not None and theirs is not None:
                found.setdefault(name, []).append((MET[ours], MET[theirs]))
    return {name: _agreed(both) for name, both in found.items()}


def side_agreement(cases: Iterable[Comparison]) -> tuple[int, int, float]:
    """Return how many cases know both sides of the hypoperfusion, in how many these agree, and Cohen's kappa."""
    sides = [case.findings.sides for case in cases if case.findings.sides is not None]
    return _agreed([both for both in sides if "unknown" not in both])


def _agreed(both: Sequence[tuple[str, str]]) -> tuple[int, int, float]:
    return len(both), sum(a == b for a, b in both), kappa([a for a, _ in both], [b for _, b in both])


def _assigned(
    runs: Iterable[str], references: Mapping[str, Files], *, alone: bool
) -> tuple[dict[str, dict[str, Path]], dict[str, str]]:
    """Return the reference maps of each run, and why others have none."""
    files, failed = {}, {}
    for name in runs:
        try:
            files[name] = reference_of(name, references, alone=alone)
        except InputError as error:
            if alone:
                raise
            failed[name] = str(error).removeprefix(f"Case {name}: ")
    return files, failed


def _shared(name: str, files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """Return a remark where the reference maps of a run are those of other runs, too, as of one session."""
    own = set(files[name].values())
    others = [other for other, paths in files.items() if other != name and own & set(paths.values())]
    which = f"{', '.join(others)}: were they made of this scan?"
    return [f"The same reference maps are compared with other runs, {which}"] * bool(others)


def _unused(references: Mapping[str, Files], runs: Iterable[str], used: Collection[Path]) -> tuple[str, ...]:
    """Return the cases of the reference that are of no run, neither by their name nor because a run was given them."""
    known = {case_of(name) for name in runs}
    unused = [
        case_of(prefix)
        for prefix, files in references.items()
        if case_of(prefix) not in known and not any(set(paths) & set(used) for paths in files.values())
    ]
    return tuple(sorted(set(unused)))


def _runs(results: Path, references: Sequence[Path]) -> dict[str, Path]:
    """Return the runs in a folder, or refuse with what may be wrong."""
    if not results.is_dir():
        found = "a file" if results.exists() else "nothing"
        raise InputError(
            f"Results {results}: a folder that 'pypet run' wrote is needed; found {found}. "
            "Give the folder of 'pypet run -o'."
        )
    runs = find_runs(results)
    if not runs:
        names = [file.name for file in files_below(results)]
        swapped = any(path.is_dir() and find_runs(path) for path in references)
        raise InputError(
            f"Results {results}: a folder that 'pypet run' wrote, with PREFIX_summary.json, is needed; found "
            f"{counted_names(names, 'other file') if names else 'an empty folder'}. "
            + ("The reference is such a folder: exchange the two." if swapped else "Give the folder of 'pypet run -o'.")
        )
    return runs


def _compared(
    summary: Path, files: Mapping[str, Path], mask: Path | None, scales: Mapping[str, Scale], found: Sequence[str]
) -> tuple[Comparison, dict[str, Pair]]:
    """Read a case and compare it; what was found out about its files before is among its remarks."""
    run = read_run(summary, files)
    if maps_of_run(summary, run.name) & {os.path.realpath(file) for file in files.values()}:
        raise InputError(
            f"Case {run.name}: maps of another run or program are needed as reference; found its own. "
            "Give another folder as reference."
        )
    names, remarks = common_maps(run.name, run.available, files)
    unused = [MAP_LABELS[name] for name in scales if name not in names]
    if unused:
        raise InputError(
            f"Colour bar: a reference map it belongs to is needed; found none of {', '.join(unused)}. "
            "Leave this bar out, or give the map that it is of."
        )
    read = {name: read_reference(name, files[name], scales) for name in names}
    images: dict[str, Image] = {name: image for name, (image, _) in read.items()}
    pairs = pair_maps(run, images, None if mask is None else read_mask(mask, what="Mask"))
    told = grouped((name, remark and f"Reference {remark}.") for name, (_, remark) in read.items())
    comparison = compare_pairs(
        run,
        images,
        pairs,
        reference=provenance_of(files),
        reference_sds=read_sds(files, sds_of_rule(run.settings)),
        mask=mask,
        remarks=[*found, *remarks, *told],
    )
    return comparison, pairs
