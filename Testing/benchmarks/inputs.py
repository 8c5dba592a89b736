"""How well brain, arterial input and quality checks hold on every kind of phantom, one line a variant.

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

#: Names of refusals, and the words that their message begins with.
REFUSALS = {"no bolus": "Bolus: ", "no artery": "Arterial input:"}


@dataclass(frozen=True)
class Case:
    """Options of a phantom, the checks that must warn or fail on it, and those that may."""

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
    """Return a case; checks are named in one string, separated by commas."""
    names = [frozenset(name.strip() for name in text.split(",") if name.strip()) for text in (must, may)]
    return Case(options, names[0], names[1], tiles, slices)


#: Which checks must (and which may) warn or fail on the variants of the accuracy benchmark; nothing on the others.
EXPECTED: dict[str, tuple[str, str]] = {
    "1.5 s, then 3 s": ("sampling", ""),
    "arteries 0.3 as wide": ("", "AIF height, partial volume, AIF quality"),
    "scan ends at 40 s": ("VOF tail", ""),
    "four slices of 10 mm": ("coverage", ""),
}
MORE: dict[str, Case] = {
    "2 HU": case(noise_hu=2.0),
    "16 HU": case("noise", "AIF quality", noise_hu=16.0),
    "arrival 5 s, every 3 s": case("baseline", bolus_arrival_s=5.0, interval_s=3.0, frames=20),
    "starts 12 s late": case("bolus arrival", "motion, AIF quality", times_s=tuple(12.0 + i for i in range(45))),
    "arrival 30 s, ends at 45 s": case("time after arrival, VOF tail", "AIF tail", bolus_arrival_s=30.0, frames=46),
    "scan ends at 20 s": case("AIF tail, VOF tail, time after arrival", "AIF quality", frames=21),
    "every 5 s": case("frame interval, baseline", interval_s=5.0, frames=14),
    "peak 60 HU": case("bolus strength", "AIF height, AIF quality", bolus_peak_hu=60.0),
    "peak 10 HU": case("no bolus", bolus_peak_hu=10.0, noise_hu=8.0),
    "arteries 0.2 as wide": case("AIF height, partial volume", "AIF quality", artery_scale=0.2),
    "width 16 s, ends at 40 s": case("VOF tail", bolus_width_s=16.0, frames=40),
    "two slices of 10 mm": case("coverage", size=(200, 200, 2), spacing_mm=(1.0, 1.0, 10.0)),
    "top 24 mm, no artery": case(
        "coverage, AIF before tissue, AIF quality, VOF found", size=(160, 160, 16), slices=(13, 16)
    ),
    "16 mm above the ventricles": case("coverage", size=(160, 160, 16), slices=(9, 11)),
    "no stroke": case(lesion_side="none"),
    "0.6 mm pixels, 5 mm slices": case("coverage", size=(300, 330, 8), spacing_mm=(0.6, 0.6, 5.0)),
    "tiles": case("coverage", tiles=True),
    "tiles, box": case("coverage", tiles=True, residue="box"),
    "tiles, linear": case("coverage", tiles=True, residue="linear"),
    "tiles, a tenth of the artery": case("partial volume, coverage", "AIF height", tiles=True, arterial_fraction=0.1),
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
    """Figures of one run, in the order of `COLUMNS`, and the names of checks missed and false."""

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
        found, figures = refusal(str(error)), (float("nan"),) * len(COLUMNS)
    else:
        unknown = (one.must | one.may) - {check.name for check in prepared.checks} - set(REFUSALS)
        assert not unknown, unknown
        found = frozenset(check.name for check in prepared.checks if check.doubtful)
        figures = compared(prepared, phantom)
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


def refusal(text: str) -> frozenset[str]:
    """Return the name of a refusal; the text itself where it has none."""
    return frozenset({name for name, words in REFUSALS.items() if text.startswith(words)} or {text})


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
    """Print the medians of the runs that gave a result, and every check missed or false with its count."""
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
