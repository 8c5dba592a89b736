"""What is said of a reference map wherever it is beside a run's own: grid, unit, and whether its scale is doubtful."""

from __future__ import annotations

from collections.abc import Iterable

from PyPeTLib.display import MAP_LABELS
from PyPeTLib.geometry import Image
from PyPeTLib.pairing import describe_resampling
from PyPeTLib.units import in_unit

#: Means further apart than this factor: a unit may be wrong.
DOUBTFUL_FACTOR = 5.0


def bringing(reference: Image, image: Image, *, density_g_ml: float) -> list[str]:
    """Return how a reference is brought onto the grid and into the unit of a map; nothing where it is on and in them.

    Parameters
    ----------
    reference, image : Image
        The reference as it was read, and the map.
    density_g_ml : float
        Density of tissue in g/mL.
    """
    moved = describe_resampling(reference.geometry, image.geometry)
    converted = in_unit(reference, image.unit, density_g_ml=density_g_ml)[1]
    return [f"Reference {moved}."] * bool(moved) + [f"Reference: {converted}."] * bool(converted)


def doubt_of_unit(mean: float, reference_mean: float, unit: str) -> str:
    """Return a remark where the means, said to be in one unit, are so far apart that one may be in another.

    Examples
    --------
    >>> doubt_of_unit(4.2, 4150.0, "s"), doubt_of_unit(4.2, 6.0, "s")
    ('The means are 4.2 and, of the reference, 4.15e+03 s: does the reference have this unit?', '')
    """
    low, high = sorted((mean, reference_mean))
    if low <= 0 or high <= DOUBTFUL_FACTOR * low:
        return ""
    means = f"{mean:.3g} and, of the reference, {reference_mean:.3g} {unit}"
    return f"The means are {means}: does the reference have this unit?"


def grouped(remarks: Iterable[tuple[str, str]]) -> list[str]:
    """Return each remark once, behind the maps that it is about, from pairs of a map's name and a remark.

    Examples
    --------
    >>> grouped([("mtt", "Doubtful."), ("cbf", ""), ("tmax", "Doubtful.")])
    ['MTT, Tmax: Doubtful.']
    """
    about: dict[str, list[str]] = {}
    for name, remark in remarks:
        if remark:
            about.setdefault(remark, []).append(MAP_LABELS[name])
    return [f"{', '.join(names)}: {remark}" for remark, names in about.items()]
