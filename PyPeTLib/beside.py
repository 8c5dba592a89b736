"""Reference maps beside those of a run in its report: read, brought onto its grid, and what has to be said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PyPeTLib.compare import EMPTY, pair_images
from PyPeTLib.display import MAP_LABELS
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.outputs import Provenance
from PyPeTLib.reference_maps import (
    but_for_own,
    doubts_of_choice,
    find_references,
    maps_of_run,
    provenance_of,
    read_reference,
    reference_of,
)
from PyPeTLib.reference_remarks import bringing, doubt_of_range, doubt_of_unit, grouped
from PyPeTLib.similarity import assumed_unit


@dataclass(frozen=True)
class Reference:
    """Maps that a report shows beside those of a run.

    Parameters
    ----------
    maps : mapping of str to Image
        By the names of `Maps`, NaN where there is no value; for a report on the grid of the run, in its units.
    source : Provenance, optional
        Where they are from.
    remarks : tuple of str
        What had to be assumed or converted, and what is doubtful.
    """

    maps: Mapping[str, Image]
    source: Provenance | None = None
    remarks: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """Return in words where the maps are from, why they are marked invalid, and the remarks."""
        if self.source is None:
            return list(self.remarks)
        method = f"by {self.source.method}" if self.source.method else "by a method that is not known"
        marked = [f"Marked INVALID: {text}" for text in self.source.invalid]
        return [f"From {self.source.place}, {method}.", *marked, *self.remarks]


def read_beside(folder: Path, case: str, output: Path | None = None) -> Reference:
    """Read the reference maps of a case, as `pypet compare` reads them, on their own grid and in their own units.

    Parameters
    ----------
    folder : Path
        Folder of reference maps.
    case : str
        What the names of the run's files begin with.
    output : Path, optional
        Folder of the run's results: what an earlier run left there is no reference, unless there is no other.

    Raises
    ------
    InputError
        If there are none, it is not clear which, or one cannot be read.
    """
    own = set() if output is None else maps_of_run(output / case, case)
    found = but_for_own(find_references([folder]), own)
    files = reference_of(case, found, alone=True)
    read = {name: read_reference(name, path, {}) for name, path in files.items()}
    told = grouped((name, remark and f"Reference {remark}.") for name, (_, remark) in read.items())
    maps = {name: image for name, (image, _) in read.items()}
    return Reference(maps, provenance_of(files), (*doubts_of_choice(case, found, files), *told))


def like_ours(reference: Reference, ours: Mapping[str, Image], *, density_g_ml: float) -> Reference:
    """Return the reference maps that a run has too, on its grid and in its units, and what is to be said of them.

    Those without a value are left out, which is said.

    Parameters
    ----------
    reference : Reference
        On any grid.
    ours : mapping of str to Image
        The maps of the run.
    density_g_ml : float
        Density of tissue in g/mL, for values per 100 mL.

    Raises
    ------
    InputError
        If the run has none of them, none has a value, or one lies elsewhere or is in a unit that does not convert.
    """
    common = [name for name in reference.maps if name in ours]
    if not common:
        raise InputError(
            f"Reference: at least one of the run's maps is needed ({', '.join(ours)}); found "
            f"{', '.join(reference.maps)}. Give a folder with such maps."
        )
    pairs = pair_images(
        {name: ours[name] for name in common},
        reference.maps,
        density_g_ml=density_g_ml,
        whose="" if reference.source is None else f"From {reference.source.place}, ",
    )
    like = {name: pair.reference for name, pair in pairs.items()}
    remarks = [(name, f"Not shown: {EMPTY}") for name in common if name not in pairs]
    for name, pair in pairs.items():
        image, given = ours[name], reference.maps[name]
        means = [float(values[pair.compared].mean(dtype=float)) for values in (image.values, like[name].values)]
        said = (
            *pair.remarks,
            *bringing(given, image, density_g_ml=density_g_ml),
            assumed_unit(image.unit, like[name].unit),
            doubt_of_unit(means[0], means[1], image.unit),
            doubt_of_range(like[name].values[pair.compared], image.unit),
        )
        remarks += [(name, remark) for remark in said]
    check_reference(like, ours)
    lonely = ", ".join(MAP_LABELS[name] for name in reference.maps if name not in ours)
    only = [f"Not shown, only in the reference: {lonely}."] * bool(lonely)
    return replace(reference, maps=like, remarks=(*reference.remarks, *only, *grouped(remarks)))


def check_reference(reference: Mapping[str, Image], ours: Mapping[str, Image]) -> None:
    """Refuse reference maps that the run, whose maps are ``ours``, has not, on another grid, or in another unit."""
    unknown = sorted(set(reference) - set(ours))
    if unknown:
        raise InputError(
            f"Reference maps: names among {', '.join(ours)} are needed; found {', '.join(unknown)}. Leave them out."
        )
    for name, image in reference.items():
        geometry, unit = ours[name].geometry, ours[name].unit
        if image.unit not in ("", unit):
            raise InputError(f"Reference {MAP_LABELS[name]}: {unit} are needed; found {image.unit}. Convert the map.")
        if not image.geometry.matches(geometry):
            need, have = geometry.told_apart(image.geometry)
            raise InputError(
                f"Reference {MAP_LABELS[name]}: the grid of the scan is needed, {need}; found {have}. Resample the map "
                "to the scan."
            )
