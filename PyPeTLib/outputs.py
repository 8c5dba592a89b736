"""The files of a run, read back: what a comparison needs of a folder that ``pypet run`` wrote."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from PyPeTLib.analysis import MAP_UNITS
from PyPeTLib.comparison_files import files_below
from PyPeTLib.display import MAP_LABELS, method_label
from PyPeTLib.errors import InputError
from PyPeTLib.file_contents import read_json
from PyPeTLib.geometry import Image, MaskArray
from PyPeTLib.lesion_rules import sds_of_rule
from PyPeTLib.pairing import limited
from PyPeTLib.read import read_image, read_mask
from PyPeTLib.records import Midplane
from PyPeTLib.result_files import SUMMARY
from PyPeTLib.settings import Settings


@dataclass(frozen=True)
class Provenance:
    """Where maps are from.

    Parameters
    ----------
    place : str
        What the paths of their files begin with, or the file.
    method : str
        Their deconvolution in a few words; "" where it is not known.
    invalid : tuple of str
        Why they are marked invalid; nothing where they are not.
    """

    place: str
    method: str = ""
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """Maps and masks that a run wrote, and what its numbers rest on.

    Parameters
    ----------
    name : str
        What the names of its files begin with.
    maps : mapping of str to Image
        Those that were wanted and are there, NaN outside the brain.
    brain : Image
        Brain mask (bool).
    tissue : ndarray of bool, shape (z, y, x)
        The brain without CSF, large vessels and bone.
    midplane : Midplane or None
        The plane between the halves of the brain, where it was found.
    settings : Settings
        Of the run.
    available : tuple of str
        Names of all maps of the run.
    provenance : Provenance
        Where they are from.
    remarks : tuple of str
        What makes the maps doubtful.
    sds : mapping of str to Image
        Standard deviations by the name of their map, those that the lesions rest on, where the method gives any.
    vessels : ndarray of bool, shape (z, y, x), or None
        Large vessels: beside them lesions are those of the tissue around.
    """

    name: str
    maps: Mapping[str, Image]
    brain: Image
    tissue: MaskArray
    midplane: Midplane | None
    settings: Settings
    available: tuple[str, ...]
    provenance: Provenance
    remarks: tuple[str, ...] = ()
    sds: Mapping[str, Image] = field(default_factory=dict)
    vessels: MaskArray | None = None


def find_runs(folder: Path) -> dict[str, Path]:
    """Return the summaries of the runs in a folder and all folders below, by the name of the run.

    Raises
    ------
    InputError
        If two runs have the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(file for file in files_below(folder) if file.name.endswith(SUMMARY)):
        name = path.name.removesuffix(SUMMARY)
        if name in found:
            raise InputError(
                f"Results {folder}: one result a scan is needed; found two of {name}: {found[name].parent} and "
                f"{path.parent}. Move one away."
            )
        found[name] = path
    return found


def read_run(summary: Path, wanted: Collection[str]) -> Run:
    """Read what a run wrote.

    Parameters
    ----------
    summary : Path
        Its ``PREFIX_summary.json``.
    wanted : collection of str
        Names of maps.

    Raises
    ------
    InputError
        If the summary is none, or a mask is missing or damaged.
    """
    about, name = _summary(summary), summary.name.removesuffix(SUMMARY)
    settings = _settings(about, summary)

    def file(of: str) -> Path:
        return summary.with_name(f"{name}_{of}.nii.gz")

    available = tuple(one for one in MAP_LABELS if file(one).is_file())
    maps = {one: read_image(file(one)) for one in available if one in wanted}
    maps, assumed = _in_own_units(maps)
    if not file("brain_mask").is_file():
        raise InputError(f"Results {summary.parent}: {file('brain_mask').name} is needed; found none. Run again.")
    brain = read_mask(file("brain_mask"), what="Brain mask")
    files = {part: file(f"{part}_mask") for part in ("csf", "vessel", "bone")}
    others = {part: read_mask(path, what="Mask") for part, path in files.items() if path.is_file()}
    spread = {one: file(f"{one}_sd") for one in sorted(sds_of_rule(settings))}
    sds = {one: read_image(path) for one, path in spread.items() if path.is_file()}
    gridded = [*maps.items(), *((f"{one}_sd", image) for one, image in sds.items())]
    for what, image in (*gridded, *(("mask", one) for one in others.values())):
        if not image.geometry.matches(brain.geometry):
            need, have = brain.geometry.told_apart(image.geometry)
            raise InputError(
                f"Results {summary.parent}: one grid, that of the brain mask, {need}, is needed; "
                f"found another in {what} of {name}, {have}. Run again."
            )
    maps = {one: limited(image, brain.values) for one, image in maps.items()}
    tissue = np.logical_and.reduce([brain.values, *(~one.values for one in others.values())])
    vessels = others["vessel"].values if "vessel" in others else None
    try:
        plane, rule = _midplane(about), (about.get("lesions") or {}).get("rule")
        invalid = _invalid(about)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            f"Summary {summary}: plane and checks of 'pypet run' are needed; found others. Run again."
        ) from error
    remarks = [f"The run has {rule}."] * bool(rule) + [f"The run is marked invalid: {text}" for text in invalid]
    remarks += assumed
    source = Provenance(place_of(summary, name), method_label(settings), invalid)
    return Run(name, maps, brain, tissue, plane, settings, available, source, tuple(remarks), sds, vessels)


def _in_own_units(maps: Mapping[str, Image]) -> tuple[dict[str, Image], list[str]]:
    """Return maps with the units in which a run writes them where their sidecars are lost, and a remark on these."""
    lost = [name for name, image in maps.items() if not image.unit]
    units = ", ".join(f"{MAP_LABELS[name]} in {MAP_UNITS[name]}" for name in lost)
    told = [f"Results: no JSON file beside the map tells its unit; that of 'pypet run' is assumed: {units}."]
    images = {name: replace(image, unit=image.unit or MAP_UNITS[name]) for name, image in maps.items()}
    return images, told * bool(lost)


def read_provenance(summary: Path) -> Provenance:
    """Return where the maps of a run are from, as its summary says; the place alone of what is no such summary."""
    place = place_of(summary, summary.name.removesuffix(SUMMARY))
    try:
        about = _summary(summary)
        return Provenance(place, method_label(_settings(about, summary)), _invalid(about))
    except (InputError, AttributeError, KeyError, TypeError, ValueError):
        return Provenance(place)


def known_settings(written: Mapping[str, Any]) -> Settings:
    """Return the settings that a run wrote, those that this version knows.

    Raises
    ------
    InputError
        If one has a value that it cannot have.
    """
    known = {entry.name for entry in fields(Settings)}
    return Settings().changed({name: value for name, value in written.items() if name in known})


def place_of(file: Path, prefix: str) -> str:
    """Return what the paths of a run's files begin with.

    Examples
    --------
    >>> Path(place_of(Path("ours/phantom_cbf.nii.gz"), "phantom")).as_posix()
    'ours/phantom_*'
    """
    return str(file.with_name(f"{prefix}_*"))


def _summary(path: Path) -> dict[str, Any]:
    about = read_json(path, "Summary", "Run again")
    if not isinstance(about, dict) or not isinstance(about.get("settings"), dict):
        raise InputError(f"Summary {path}: what 'pypet run' writes is needed; found no settings in it. Run again.")
    return about


def _settings(about: Mapping[str, Any], path: Path) -> Settings:
    try:
        return known_settings(about["settings"])
    except InputError as error:
        raise InputError(f"Summary {path}: {error}") from error


def _midplane(about: Mapping[str, Any]) -> Midplane | None:
    plane = (about.get("lesions") or {}).get("midplane")
    if not plane:
        return None
    x, y, z = np.asarray(plane["normal"], dtype=float).tolist()
    offset_mm, asymmetry_hu = float(plane["offset_mm"]), float(plane["asymmetry_hu"])
    if not abs(np.linalg.norm([x, y, z]) - 1.0) < 1e-3 or not np.isfinite([offset_mm, asymmetry_hu]).all():
        raise ValueError("a plane has a unit vector as its normal, and finite numbers")
    return Midplane((x, y, z), offset_mm, asymmetry_hu)


def _invalid(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why a run is marked invalid."""
    failed = [check["text"] for check in about.get("checks", ()) if check.get("status") == "fail"]
    return tuple(dict.fromkeys(map(str, [*(about.get("invalid") or ()), *failed])))
