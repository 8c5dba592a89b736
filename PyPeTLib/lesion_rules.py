"""What core and hypoperfusion are: the rules of trials and products, and criteria on their volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from PyPeTLib.analysis import Criterion

if TYPE_CHECKING:
    from PyPeTLib.settings import LesionRule, Settings

Quantity = Literal["rcbf", "cbv", "tmax", "delay", "rmtt"]


@dataclass(frozen=True)
class Limit:
    """A quantity and the value below or above which tissue is ill."""

    quantity: Quantity
    value: float

    @property
    def below(self) -> bool:
        """Whether less is ill: flow and volume, not times."""
        return self.quantity in ("rcbf", "cbv")

    @property
    def relative(self) -> bool:
        """Whether the value is against normal tissue."""
        return self.quantity in ("rcbf", "rmtt")

    def __str__(self) -> str:
        name, unit = NAMES[self.quantity]
        return f"{name} {'below' if self.below else 'above'} {self.value:g} {unit}"


NAMES: dict[Quantity, tuple[str, str]] = {
    "rcbf": ("CBF", "% of normal"),
    "cbv": ("CBV", "mL/100 g"),
    "tmax": ("Tmax", "s"),
    "delay": ("delay", "s"),
    "rmtt": ("MTT", "% of normal"),
}
#: Core and hypoperfusion of trials and products (Albers 2018, Cereda 2016, Bivard 2014, Wintermark 2006).
RULES: dict[LesionRule, tuple[Limit, Limit]] = {
    "RAPID-like": (Limit("rcbf", 30.0), Limit("tmax", 6.0)),
    "Cereda": (Limit("rcbf", 38.0), Limit("tmax", 6.0)),
    "MIStar-like": (Limit("rcbf", 30.0), Limit("delay", 3.0)),
    "Philips-like": (Limit("cbv", 2.0), Limit("rmtt", 145.0)),
}
#: Least mismatch ratio, least mismatch in mL, and core in mL that must not be reached; whether the least values
#: themselves are enough (Albers 2018, doi:10.1056/NEJMoa1713973; Ma 2019, doi:10.1056/NEJMoa1813046).
CRITERIA = {"DEFUSE 3": (1.8, 15.0, 70.0, True), "EXTEND": (1.2, 10.0, 70.0, False)}


def rule_of(settings: Settings) -> tuple[Limit, Limit]:
    """Return what core and hypoperfusion are."""
    if settings.lesion_rule != "own":
        return RULES[settings.lesion_rule]
    cores = {"rCBF": Limit("rcbf", settings.core_rcbf), "CBV": Limit("cbv", settings.core_cbv)}
    late = {
        "Tmax": Limit("tmax", settings.hypoperfusion_tmax_s),
        "delay": Limit("delay", settings.hypoperfusion_delay_s),
        "rMTT": Limit("rmtt", settings.hypoperfusion_rmtt),
    }
    return cores[settings.core_map], late[settings.hypoperfusion_map]


def maps_of_rule(settings: Settings) -> frozenset[str]:
    """Return which maps core and hypoperfusion rest on; relative values need all that tell what is normal.

    Examples
    --------
    >>> from PyPeTLib import Settings
    >>> sorted(maps_of_rule(Settings(lesion_rule="MIStar-like")))
    ['cbf', 'cbv', 'delay', 'tmax']
    """
    limits = rule_of(settings)
    normal = {"cbf", "cbv", "tmax"} if any(one.relative for one in limits) else set()
    return frozenset({map_of(one) for one in limits} | normal)


def sds_of_rule(settings: Settings) -> frozenset[str]:
    """Return the maps whose standard deviations say which voxels are ill, where the method gives any.

    Examples
    --------
    >>> from PyPeTLib import Settings
    >>> sorted(sds_of_rule(Settings()))
    ['cbf', 'delay']
    """
    return frozenset({"delay", sd_of(rule_of(settings)[0])})


def describe_rule(settings: Settings) -> str:
    """Return what core and hypoperfusion are, and in whose maps, in words.

    Examples
    --------
    >>> from PyPeTLib import Settings
    >>> describe_rule(Settings(lesion_rule="Philips-like", core_inside="anywhere", method="oSVD"))
    'core: CBV below 2 mL/100 g; hypoperfusion: MTT above 145 % of normal (Philips-like, maps by oSVD)'
    """
    core, late = rule_of(settings)
    inside = " inside the hypoperfusion, as is every volume of low CBF"
    inside = inside if settings.core_inside == "hypoperfusion" else ""
    return f"core: {core}{inside}; hypoperfusion: {late} ({settings.lesion_rule}, maps by {settings.method})"


def judge_criteria(hypoperfusion_ml: float, core_ml: float) -> tuple[Criterion, ...]:
    """Return which published criteria the volumes meet; NaN: not known.

    The ratio is compared as a product, so that it is known without a core, too.

    Examples
    --------
    >>> [(one.name, one.met) for one in judge_criteria(90.0, 30.0)]
    [('DEFUSE 3', True), ('EXTEND', True)]
    >>> judge_criteria(90.0, 75.0)[0].conditions
    {'mismatch ratio at least 1.8': False, 'mismatch at least 15 mL': True, 'core less than 70 mL': False}
    """
    criteria = []
    for name, (ratio, mismatch_ml, largest_ml, enough) in CRITERIA.items():
        word = "at least" if enough else "more than"

        def reaches(value: float, least: float, enough: bool = enough) -> bool | None:
            if not np.isfinite(value - least):
                return None
            return bool(value > least or (enough and value == least))

        conditions = {
            f"mismatch ratio {word} {ratio:g}": hypoperfusion_ml != 0 and reaches(hypoperfusion_ml, ratio * core_ml),
            f"mismatch {word} {mismatch_ml:g} mL": reaches(hypoperfusion_ml - core_ml, mismatch_ml),
            f"core less than {largest_ml:g} mL": bool(core_ml < largest_ml) if np.isfinite(core_ml) else None,
        }
        found = list(conditions.values())
        met = False if False in found else None if None in found else True
        criteria.append(Criterion(name, met, conditions))
    return tuple(criteria)


def map_of(limit: Limit) -> str:
    """Return the name of the map a limit is about."""
    return limit.quantity.removeprefix("r")


def sd_of(limit: Limit) -> str:
    """Return the name of the map whose standard deviation is that of a limit: of Tmax it is the delay."""
    return "delay" if limit.quantity == "tmax" else map_of(limit)
