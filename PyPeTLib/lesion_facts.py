"""Facts of the lesions: volumes, ratios and criteria, what they are called, and on which settings they depend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from PyPeTLib.analysis import Lesions
from PyPeTLib.settings import Settings
from PyPeTLib.typeset import rounded

#: Stands wherever numbers about lesions are shown.
RESEARCH_USE = "Research use only: not for diagnosis or treatment."
#: What the volumes of a lesion are called.
VOLUME_NAMES = {
    "core": "Core",
    "hypoperfusion": "Hypoperfusion",
    "mismatch": "Mismatch",
    **{f"tmax_over_{s}s": f"Tmax > {s} s" for s in (4, 6, 8, 10)},
    **{f"rcbf_below_{p}": f"CBF < {p} % of normal" for p in (20, 30, 38)},
}
#: What the ratio of hypoperfusion over core is called.
MISMATCH_RATIO = "Mismatch ratio"
#: What the ratios are called that are about tissue later than 6 s.
HIR, CBV_INDEX = "HIR (Tmax > 10 s over Tmax > 6 s)", "CBV index"
#: Stands where there is no core to have a ratio to; criteria take the ratio to be as large as they need.
NO_CORE = "no core"
MET = {True: "met", False: "not met", None: "not known"}


def lesion_facts(lesions: Lesions) -> dict[str, Any]:
    """Return what the summary holds of the lesions: volumes with their bounds in mL, ratios and criteria."""
    plane = lesions.midplane
    return {
        "lesions": {
            "note": RESEARCH_USE,
            "rule": lesions.rule,
            "side": lesions.side,
            "normal_tissue": dict(lesions.normal),
            "midplane": None if plane is None else {**asdict(plane), "tilt_degrees": plane.tilt_degrees},
        },
        "volumes_ml": {name: volume.ml for name, volume in lesions.volumes_ml.items()},
        "volume_bounds_ml": {
            name: [volume.low_ml, volume.high_ml]
            for name, volume in lesions.volumes_ml.items()
            if np.isfinite(volume.low_ml)
        },
        "mismatch_ratio": lesions.mismatch_ratio,
        "hir": lesions.hir,
        "cbv_index": lesions.cbv_index,
        "criteria": {one.name: {"met": one.met, "conditions": dict(one.conditions)} for one in lesions.criteria},
    }


#: Name, value, bounds and unit of a volume or ratio.
LesionRow = tuple[str, float, float, float, str]


def lesion_rows(lesions: Lesions) -> list[LesionRow]:
    """Return name, value, bounds (NaN where not known) and unit of every volume and ratio."""
    volumes = [
        (VOLUME_NAMES[name], volume.ml, volume.low_ml, volume.high_ml, "mL")
        for name, volume in lesions.volumes_ml.items()
    ]
    ratios = {
        MISMATCH_RATIO: lesions.mismatch_ratio,
        HIR: lesions.hir,
        CBV_INDEX: lesions.cbv_index,
    }
    return volumes + [(name, value, float("nan"), float("nan"), "") for name, value in ratios.items()]


def lesion_values(rows: Sequence[LesionRow], *, unknown: str) -> list[str]:
    """Return the values of `lesion_rows` as text: a ratio to nothing is not unknown, for there is none.

    Parameters
    ----------
    rows : sequence of tuple
        All rows.
    unknown : str
        What stands where a value is not known.

    Examples
    --------
    >>> nan = float("nan")
    >>> volumes = [("Core", 0.0, nan, nan, "mL"), ("Hypoperfusion", 61.24, nan, nan, "mL")]
    >>> ratios = [(name, nan, nan, nan, "") for name in (MISMATCH_RATIO, HIR, CBV_INDEX)]
    >>> lesion_values([*volumes, *ratios], unknown="–")
    ['0.0', '61.2', 'no core', '–', '–']
    >>> lesion_values([("Tmax > 6 s", 0.0, nan, nan, "mL"), *ratios], unknown="–")
    ['0.0', '–', 'no Tmax > 6 s', 'no Tmax > 6 s']
    """
    volumes = {name: value for name, value, *_ in rows}
    core_ml, late_ml = (volumes.get(VOLUME_NAMES[name], float("nan")) for name in ("core", "hypoperfusion"))
    missing = {MISMATCH_RATIO: why_no_ratio(core_ml, late_ml)}
    if volumes.get(VOLUME_NAMES["tmax_over_6s"]) == 0.0:
        missing |= dict.fromkeys((HIR, CBV_INDEX), f"no {VOLUME_NAMES['tmax_over_6s']}")
    return [
        rounded(value, unit) if np.isfinite(value) else missing.get(name) or unknown for name, value, _, _, unit in rows
    ]


def lesion_cells(rows: Sequence[LesionRow]) -> list[tuple[str, str, str, str]]:
    """Return name, value, bounds and unit of `lesion_rows` as text: a dash where a value is not known."""
    return [
        (name, text, "" if np.isnan(low) else f"{rounded(low, unit)} – {rounded(high, unit)}", unit)
        for (name, _, low, high, unit), text in zip(rows, lesion_values(rows, unknown="–"), strict=True)
    ]


def why_no_ratio(core_ml: float, hypoperfusion_ml: float) -> str:
    """Return why known volumes have no mismatch ratio; "" where they have one, or are not known.

    Examples
    --------
    >>> why_no_ratio(0.0, 61.2), why_no_ratio(0.0, 0.0), why_no_ratio(3.0, 61.2), why_no_ratio(float("nan"), 61.2)
    ('no core', 'no hypoperfusion', '', '')
    """
    if core_ml != 0.0 or not np.isfinite(hypoperfusion_ml):
        return ""
    return NO_CORE if hypoperfusion_ml > 0.0 else "no hypoperfusion"


def criterion_rows(lesions: Lesions) -> list[tuple[str, str, str]]:
    """Return each criterion, whether it is met, and its conditions; if not, what it needs, or has no value to tell."""
    volumes = lesions.volumes_ml
    no_core = why_no_ratio(volumes["core"].ml, volumes["hypoperfusion"].ml) == NO_CORE
    note = f" ({NO_CORE}: the ratio is not defined and counts as met)" if no_core else ""
    rows = []
    for one in lesions.criteria:
        failed = [text for text, met in one.conditions.items() if met is False]
        unknown = [text for text, met in one.conditions.items() if met is None]
        conditions = [text + note * text.startswith("mismatch ratio") for text in one.conditions]
        why = [f"{said}: {', '.join(few)}" for said, few in (("needed", failed), ("without a value", unknown)) if few]
        rows.append((one.name, MET[one.met], "; ".join(why) or ", ".join(conditions)))
    return rows


def lesion_conditions(settings: Settings) -> str:
    """Return on which settings volumes of lesions depend beside the thresholds of their rule."""
    late = f"late means so with a probability of at least {settings.late_probability:.3g}; "
    return (
        f"Parts of less than {settings.smallest_lesion_ml:g} mL are left out; "
        + late * (settings.method == "bayesian")
        + f"within {settings.vessel_margin_mm:g} mm of large vessels tissue counts as the nearest other; normal tissue "
        f"has a Tmax of at most {settings.normal_tmax_s:g} s; both sides are ill where the smaller hypoperfusion has "
        f"{100.0 * settings.both_sides_share:.3g} % of the larger and {settings.both_sides_ml:g} mL."
    )
