"""How well brain, arterial input and findings hold on every kind of phantom, one line a variant.

Usage: python Testing/benchmarks/inputs.py [--seeds N] [--first-seed N] [--full] [--only TEXT]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from accuracy import COARSE, FIRST_SEED, VARIANTS

from PyPeTLib.curves import area_weights
from PyPeTLib.errors import QualityError
from PyPeTLib.phantom import HeadOptions, Phantom, TilesOptions, head_phantom, tiles_phantom
from PyPeTLib.phantom_head import crop_slices
from PyPeTLib.pipeline import prepare
from PyPeTLib.records import Image, Prepared
from PyPeTLib.truth import ARTERIAL, dice

#: Name of a finding here, and the words that its text (or the message of a refusal) contains.
FINDINGS = {
    "contrast at the start": "Contrast agent is there from the start",
    "short baseline": "Short baseline",
    "late bolus": "The bolus comes late",
    "uneven": "Uneven sampling",
    "long interval": "do not resolve the first pass",
    "noise": "maps of single voxels are doubtful",
    "no bolus": "Bolus: ",
    "arterial tail": "The arterial curve ends at",
    "venous tail": "The venous curve ends at",
    "weak bolus": "Weak bolus",
    "weak artery": "Weak arterial input",
    "large factor": "Partial-volume factor",
    "doubtful artery": "Doubtful arterial input",
    "refused artery": "a cluster that was refused",
    "no artery": "Arterial input:",
    "order": "an artery comes first",
    "no vein": "No vein found",
    "strange vein": "not the arterial one after its way",
    "early vein": "it may be an artery",
    "diluted vein": "it is diluted itself",
    "coverage": "Coverage",
    "motion": "moved",
}


@dataclass(frozen=True)
class Case:
    """Options of a phantom, the findings that must appear on it, and those that may."""

    options: dict[str, Any]
    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    tiles: bool = False
    slices: tuple[int, int | None] = (0, None)


def case(
    must: str = "",
    may: str = "",
    *,
    tiles: bool = False,
    slices: tuple[int, int | None] = (0, None),
    **options: Any,
) -> Case:
    """Return a case; findings are named in one string, separated by commas."""
    names = [frozenset(name.strip() for name in text.split(",") if name.strip()) for text in (must, may)]
    assert names[0] | names[1] <= set(FINDINGS), names
    return Case(options, names[0], names[1], tiles, slices)


#: What must (and what may) be found on the variants of the accuracy benchmark; nothing on the others.
EXPECTED: dict[str, tuple[str, str]] = {
    "1.5 s, then 3 s": ("uneven", ""),
    "arteries 0.3 as wide": ("", "weak artery, large factor, doubtful artery"),
    "scan ends at 40 s": ("venous tail", ""),
    "four slices of 10 mm": ("coverage", ""),
}
MORE: dict[str, Case] = {
    "2 HU": case(noise_hu=2.0),
    "16 HU": case("noise", "doubtful artery", noise_hu=16.0),
    "arrival 5 s, every 3 s": case("short baseline", bolus_arrival_s=5.0, interval_s=3.0, frames=20),
    "starts 12 s late": case(
        "contrast at the start", "motion, doubtful artery", times_s=tuple(12.0 + i for i in range(45))
    ),
    "arrival 30 s, ends at 45 s": case("late bolus, venous tail", "arterial tail", bolus_arrival_s=30.0, frames=46),
    "scan ends at 20 s": case("arterial tail, venous tail, late bolus", "refused artery", frames=21),
    "every 5 s": case("long interval, short baseline", interval_s=5.0, frames=14),
    "peak 60 HU": case("weak bolus", "weak artery, doubtful artery", bolus_peak_hu=60.0),
    "peak 10 HU": case("no bolus", bolus_peak_hu=10.0, noise_hu=8.0),
    "arteries 0.2 as wide": case("weak artery, large factor", "doubtful artery", artery_scale=0.2),
    "width 16 s, ends at 40 s": case("venous tail", bolus_width_s=16.0, frames=40),
    "two slices of 10 mm": case("coverage", size=(200, 200, 2), spacing_mm=(1.0, 1.0, 10.0)),
    "top 24 mm, no artery": case("coverage, order, doubtful artery, no vein", size=(160, 160, 16), slices=(13, 16)),
    "16 mm above the ventricles": case("coverage", size=(160, 160, 16), slices=(9, 11)),
    "no stroke": case(lesion_side="none"),
    "0.6 mm pixels, 5 mm slices": case("coverage", size=(300, 330, 8), spacing_mm=(0.6, 0.6, 5.0)),
    "tiles": case("coverage", tiles=True),
    "tiles, box": case("coverage", tiles=True, residue="box"),
    "tiles, linear": case("coverage", tiles=True, residue="linear"),
    "tiles, a tenth of the artery": case("large factor, coverage", "weak artery", tiles=True, arterial_fraction=0.1),
}
#: Too large for a quick look.
LARGE: dict[str, Case] = {
    "0.9 mm pixels, 16 slices": case(size=(220, 220, 16), spacing_mm=(0.9, 0.9, 8.0), frames=55),
    "0.4 mm pixels, 8 mm slices": case(size=(440, 480, 12), spacing_mm=(0.4, 0.4, 8.0)),
    "0.5 mm slices": case("coverage", size=(240, 260, 40), spacing_mm=(0.75, 0.75, 0.5), interval_s=2.0, frames=30),
}
COLUMNS = ("brain Dice", "outside, %", "AIF voxels arterial", "AIF voxels in brain", "AIF area / true")


@dataclass(frozen=True)
class Measures:
    """Figures of one run, in the order of `COLUMNS`, and the names of findings missed and false."""

    figures: tuple[float, ...]
    missed: frozenset[str]
    false: frozenset[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="heads a variant; the median is shown")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first head")
    parser.add_argument("--full", action="store_true", help="the large grids too")
    parser.add_argument("--only", default="", help="only the variants whose name contains this")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    chosen = {name: one for name, one in cases(full=options.full).items() if options.only in name}
    runs: dict[str, list[Measures]] = {name: [] for name in chosen}
    for seed in seeds:  # outside: phantoms of one head and grid share its anatomy
        for name, one in chosen.items():
            runs[name].append(measured(one, seed))
            print(f"\r{seed} {name:40}", end="", file=sys.stderr)
    print("| variant | " + " | ".join(COLUMNS) + " | missed | false alarms |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for name, of_variant in runs.items():
        line(name, of_variant)
    line("all (median, sum)", [run for of_variant in runs.values() for run in of_variant])


def cases(*, full: bool) -> dict[str, Case]:
    """Return the variants by name."""
    shared = {name: case(*EXPECTED.get(name, ("", "")), **options) for name, options in VARIANTS.items()}
    return {**shared, **MORE, **(LARGE if full else {})}


def measured(one: Case, seed: int) -> Measures:
    """Run one variant of one head up to the curves and compare with the truth."""
    if one.tiles:
        phantom = tiles_phantom(TilesOptions(**one.options, seed=seed))
    else:
        phantom = part_of(head_phantom(HeadOptions(**{**COARSE, **one.options, "seed": seed})), one.slices)
    try:
        prepared = prepare(phantom.series, force=True)
    except QualityError as error:
        found, figures = names_in([str(error)]), (float("nan"),) * len(COLUMNS)
    else:
        found, figures = names_in([finding.text for finding in prepared.findings]), compared(prepared, phantom)
    return Measures(figures, one.must - found, found - one.must - one.may)


def part_of(phantom: Phantom, ends: tuple[int, int | None]) -> Phantom:
    """Return the phantom from the first to before the last slice named, None for all."""
    series, slices = phantom.series, slice(*ends)
    first, last, _ = slices.indices(series.geometry.size[2])
    geometry = crop_slices(series.geometry, first, last - first)
    parts = [
        {name: Image(image.values[slices], geometry, image.unit) for name, image in images.items()}
        for images in (phantom.truth, phantom.masks)
    ]
    thin = replace(series, values=series.values[:, slices], geometry=geometry)
    return replace(phantom, series=thin, truth=parts[0], masks=parts[1])


def names_in(texts: Sequence[str]) -> frozenset[str]:
    """Return the names of the findings; the text itself where it has none."""
    found = set()
    for text in texts:
        found |= {name for name, words in FINDINGS.items() if words in text} or {text}
    return frozenset(found)


def compared(prepared: Prepared, phantom: Phantom) -> tuple[float, ...]:
    """Return the figures in the order of `COLUMNS`."""
    brain, true_brain = prepared.brain.values, phantom.masks["brain"].values
    aif, weights = prepared.aif.mask.values, area_weights(prepared.series.times_s)
    share = phantom.truth.get("arterial_share", phantom.masks["arteries"]).values
    return (
        dice(brain, true_brain),
        100.0 * float((brain & ~true_brain).sum() / brain.sum()),
        float((share[aif] >= ARTERIAL).mean()),
        float(true_brain[aif].mean()),
        float((prepared.aif.curve_hu @ weights) / (phantom.aif_hu @ weights)),
    )


def line(name: str, runs: Sequence[Measures]) -> None:
    """Print the medians of the runs that gave a result, and every finding missed or false with its count."""
    figures = np.array([run.figures for run in runs])
    known = figures[np.isfinite(figures).all(axis=1)]
    medians = [f"{value:.3f}" for value in np.median(known, axis=0)] if len(known) else ["none"] * len(COLUMNS)
    wrong = (counted([run.missed for run in runs]), counted([run.false for run in runs]))
    print(f"| {name} | " + " | ".join((*medians, *wrong)) + " |", flush=True)


def counted(sets: Sequence[frozenset[str]]) -> str:
    """Return how often each name occurs, in words."""
    counts = Counter(name for names in sets for name in names)
    return ", ".join(f"{name} ×{count}" for name, count in counts.items()) or "0"


if __name__ == "__main__":
    main()
