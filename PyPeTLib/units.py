"""Units of perfusion maps as they are written in files, and what one is in another."""

from __future__ import annotations

from dataclasses import replace

from PyPeTLib.geometry import Image

#: Spellings without blanks, in lower case, cc as ml, and what they stand for.
_SPELLINGS = {
    "mL/100 g/min": ("ml/100g/min", "ml/min/100g", "ml/100g*min", "ml/(100g*min)", "ml/(min*100g)"),
    "mL/100 mL/min": ("ml/100ml/min", "ml/min/100ml", "ml/100ml*min"),
    "mL/100 g": ("ml/100g",),
    "mL/100 mL": ("ml/100ml", "%"),
    "mL/100 g/s": ("ml/100g/s", "ml/s/100g"),
    "mL/100 mL/s": ("ml/100ml/s", "ml/s/100ml"),
    "mL/g/min": ("ml/g/min", "ml/min/g"),
    "mL/g/s": ("ml/g/s", "ml/s/g"),
    "mL/mL/min": ("ml/ml/min", "ml/min/ml", "1/min"),
    "mL/mL/s": ("ml/ml/s", "ml/s/ml", "1/s"),
    "mL/g": ("ml/g",),
    "mL/mL": ("ml/ml",),
    "s": ("s", "sec", "second", "seconds"),
    "ms": ("ms", "msec", "milliseconds"),
    "min": ("min", "mins", "minute", "minutes"),
}
_KNOWN = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
#: Units that differ by the density of tissue: per volume, and per mass.
_PER_VOLUME = {"mL/100 mL/min": "mL/100 g/min", "mL/100 mL": "mL/100 g"}
#: Units of the same quantity that differ by a factor: that of the maps, what is done to get there, and the factor.
_SCALED = {
    "ms": ("s", "divided by 1000", 0.001),
    "min": ("s", "multiplied by 60", 60.0),
    "mL/100 g/s": ("mL/100 g/min", "multiplied by 60", 60.0),
    "mL/100 mL/s": ("mL/100 mL/min", "multiplied by 60", 60.0),
    "mL/g/min": ("mL/100 g/min", "multiplied by 100", 100.0),
    "mL/g/s": ("mL/100 g/min", "multiplied by 6000", 6000.0),
    "mL/mL/min": ("mL/100 mL/min", "multiplied by 100", 100.0),
    "mL/mL/s": ("mL/100 mL/min", "multiplied by 6000", 6000.0),
    "mL/g": ("mL/100 g", "multiplied by 100", 100.0),
    "mL/mL": ("mL/100 mL", "multiplied by 100", 100.0),
}


def known_unit(text: str) -> str:
    """Return a unit in the spelling of this library; an unknown one as it is.

    Examples
    --------
    >>> known_unit("ml/min/100cc"), known_unit("counts")
    ('mL/100 mL/min', 'counts')
    """
    return _KNOWN.get("".join(text.split()).lower().replace("·", "*").replace("cc", "ml"), text)


def in_unit(image: Image, unit: str, *, density_g_ml: float) -> tuple[Image, str]:
    """Return a map in another unit, and in words what was done.

    Parameters
    ----------
    image : Image
        The map.
    unit : str
        The unit wanted, one of those of our maps or per 100 mL.
    density_g_ml : float
        Density of tissue in g/mL: a value per 100 mL is that many times the value per 100 g.

    Returns
    -------
    Image, str
        The map, and a remark, "" where its values stay. A unit that is not known, or another quantity, stays as it is:
        `similarity.similarity` then says that differences have no unit.

    Examples
    --------
    >>> import numpy as np
    >>> from PyPeTLib.geometry import Geometry
    >>> cbv = Image(np.full((1, 2, 2), 4.2), Geometry((2, 2, 1), (1.0, 1.0, 5.0)), "ml/100ml")
    >>> converted, remark = in_unit(cbv, "mL/100 g", density_g_ml=1.05)
    >>> round(float(converted.values[0, 0, 0]), 6), converted.unit
    (4.0, 'mL/100 g')
    >>> remark
    'mL/100 mL divided by a density of 1.05 g/mL'
    """
    found, wanted = known_unit(image.unit), known_unit(unit)
    if found == wanted:
        return replace(image, unit=unit), ""
    base, done, factor = _SCALED.get(found, (found, "", 1.0))
    steps = [done] * bool(done)
    if base != wanted:
        per_volume = _PER_VOLUME.get(base) == wanted
        if not per_volume and _PER_VOLUME.get(wanted) != base:
            return image, ""
        factor *= 1.0 / density_g_ml if per_volume else density_g_ml
        steps.append(f"{'divided' if per_volume else 'multiplied'} by a density of {density_g_ml:g} g/mL")
    return Image(image.values * factor, image.geometry, unit), f"{found} {', '.join(steps)}"
