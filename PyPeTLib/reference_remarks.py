"""What is said of a reference map wherever it is beside a run's own: grid, unit, and whether its scale is doubtful."""

from __future__ import annotations

from collections.abc import Iterable

from PyPeTLib.display import MAP_LABELS
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.pairing import describe_resampling
from PyPeTLib.similarity import ROUNDING, metric_digits
from PyPeTLib.typeset import percent, typeset
from PyPeTLib.units import in_unit

#: Means further apart than this factor: a unit may be wrong.
DOUBTFUL_FACTOR = 5.0
#: More than this share of a map's values at its largest, and more voxels than this: larger ones were cut off.
CUT_SHARE, CUT_VOXELS = 0.01, 10


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
    ('The means are 4.20 and, of the reference, 4150 s: does the reference have this unit?', '')
    """
    low, high = sorted((mean, reference_mean))
    if low <= 0 or high <= DOUBTFUL_FACTOR * low:
        return ""
    means = f"{metric_digits('Mean', mean)} and, of the reference, {metric_digits('Mean', reference_mean)} {unit}"
    return f"The means are {means}: does the reference have this unit?"


def doubt_of_range(values: FloatArray, unit: str) -> str:
    """Return a remark where so many values of a reference are its largest that larger ones may have been cut off.

    Parameters
    ----------
    values : ndarray
        Those compared, not all the same.
    unit : str
        Their unit.

    Examples
    --------
    >>> import numpy as np
    >>> tmax = np.linspace(0.0, 12.0, 1200)
    >>> doubt_of_range(np.minimum(tmax, 6.0), "s"), doubt_of_range(tmax, "s")
    ('50 % of the values of the reference are its largest, 6 s: larger ones may have been cut off.', '')
    """
    largest = float(values.max())
    at_end = values >= largest - ROUNDING * abs(largest)
    if at_end.all() or at_end.sum() <= max(CUT_VOXELS, CUT_SHARE * values.size):
        return ""
    share = percent(float(at_end.mean()))
    end = f"its largest, {typeset(f'{largest:.3g}')} {unit}".rstrip()
    return f"{share} of the values of the reference are {end}: larger ones may have been cut off."


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
