"""Units of perfusion maps as they are written in files, and what one is in another."""

from __future__ import annotations

from dataclasses import replace

from PyPeTLib.records import Image

#: Spellings without blanks, in lower case, and what they stand for.
_SPELLINGS = {
    "mL/100 g/min": ("ml/100g/min", "ml/min/100g", "ml/100g*min", "ml/(100g*min)", "ml/(min*100g)"),
    "mL/100 mL/min": ("ml/100ml/min", "ml/min/100ml", "ml/100cc/min", "ml/min/100cc", "ml/100ml*min"),
    "mL/100 g": ("ml/100g",),
    "mL/100 mL": ("ml/100ml", "ml/100cc", "%"),
    "s": ("s", "sec", "second", "seconds"),
    "ms": ("ms", "msec", "milliseconds"),
}
_KNOWN = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
#: Units that differ by the density of tissue: per volume, and per mass.
_PER_VOLUME = {"mL/100 mL/min": "mL/100 g/min", "mL/100 mL": "mL/100 g"}


def known_unit(text: str) -> str:
    """Return a unit in the spelling of this library; an unknown one as it is.

    Examples
    --------
    >>> known_unit("ml/min/100cc"), known_unit("counts")
    ('mL/100 mL/min', 'counts')
    """
    return _KNOWN.get("".join(text.split()).lower().replace("·", "*"), text)


def in_unit(image: Image, unit: str, *, density_g_ml: float) -> tuple[Image, str]:
    """Return a map in another unit, and in words what was done.

    Parameters
    ----------
    image : Image
        The map.
    unit : str
        The unit wanted.
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
    >>> from PyPeTLib.records import Geometry
    >>> cbv = Image(np.full((1, 2, 2), 4.2), Geometry((2, 2, 1), (1.0, 1.0, 5.0)), "ml/100ml")
    >>> converted, remark = in_unit(cbv, "mL/100 g", density_g_ml=1.05)
    >>> round(float(converted.values[0, 0, 0]), 6), converted.unit
    (4.0, 'mL/100 g')
    >>> remark
    'mL/100 mL divided by a density of 1.05 g/mL'
    """
    found, wanted = known_unit(image.unit), known_unit(unit)
    if found == wanted or not image.unit or not unit:
        return replace(image, unit=unit if found == wanted else image.unit), ""
    if _PER_VOLUME.get(found) == wanted:
        return Image(image.values / density_g_ml, image.geometry, unit), _by("divided", found, density_g_ml)
    if _PER_VOLUME.get(wanted) == found:
        return Image(image.values * density_g_ml, image.geometry, unit), _by("multiplied", found, density_g_ml)
    if (found, wanted) == ("ms", "s"):
        return Image(image.values / 1000.0, image.geometry, unit), "ms divided by 1000"
    return image, ""


def _by(what: str, unit: str, density_g_ml: float) -> str:
    return f"{unit} {what} by a density of {density_g_ml:g} g/mL"
