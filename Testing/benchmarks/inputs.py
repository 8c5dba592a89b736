"""How well what goes into the maps can be trusted, on every kind of phantom: one table of all measures.

Mask, arterial input and checks are those of a run with default settings up to the curves; the median is over the
variants (and heads, with more than one seed), those with an artery of about 25 HU and those whose scan ends too early
apart. Where a check fails, a run is refused and has no figures. Motion is that of `motion.py`: heads at rest and moved
by 3 mm and 3°, with all defaults; "map errors" are root mean square errors (and medians of their size) of CBV, CBF,
MTT and Tmax against the truth, and slopes of CBV and CBF on it, over pure tissue away from vessels, each divided by
that of the same head at rest. About ten minutes of processor time a seed, five more with --full.

Usage: python Testing/benchmarks/inputs.py [--seeds N] [--first-seed N] [--full] [--only TEXT] [--variants]
                                           [--workers N]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from accuracy import COARSE, FIRST_SEED, VARIANTS
from motion import LARGE_MOVING, MOVING, motion_figures

from PyPeTLib.agreement import dice
from PyPeTLib.analysis import Prepared
from PyPeTLib.curves import area_weights
from PyPeTLib.errors import QualityError
from PyPeTLib.geometry import Image
from PyPeTLib.phantom import HeadOptions, Phantom, TilesOptions, head_phantom, tiles_phantom
from PyPeTLib.phantom_head import crop_box
from PyPeTLib.pipeline import prepare
from PyPeTLib.truth import ARTERIAL

#: Slices, rows and columns of a whole image.
WHOLE = (slice(None), slice(None), slice(None))
#: Names of refusals, and the words that their message begins with.
REFUSALS = {"no bolus": "Bolus: ", "no artery": "Arterial input:"}


@dataclass(frozen=True)
class Case:
    """Options of a phantom, the checks that must warn or fail on it, and those that may; part and HU it is cut to."""

    options: dict[str, Any]
    must: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    tiles: bool = False
    part: tuple[slice, ...] = WHOLE
    apart: str = ""
    window_hu: tuple[float, float] | None = None


def case(
    must: str = "",
    may: str = "",
    *,
    tiles: bool = False,
    part: tuple[slice, ...] = WHOLE,
    apart: str = "",
    window_hu: tuple[float, float] | None = None,
    **options: Any,
) -> Case:
    """Return a case; checks are named in one string, separated by commas."""
    names = [frozenset(name.strip() for name in text.split(",") if name.strip()) for text in (must, may)]
    return Case(options, names[0], names[1], tiles, part, apart, window_hu)


#: Variants that have their own rows of the table.
WEAK, TRUNCATED = "artery of 25 HU", "scan ends early"
#: Which checks must (and which may) warn or fail on the variants of the accuracy benchmark; nothing on the others.
EXPECTED: dict[str, tuple[str, str, str]] = {
    "1.5 s, then 3 s": ("sampling", "", ""),
    "drift of 2 HU a minute": ("drift", "", ""),
    "drift of −1.2 HU a minute": ("", "drift", ""),
    "drift of 4, arrival 5 s, every 2 s": ("drift", "baseline", ""),
    "arteries 0.3 as wide": ("", "AIF height, partial volume, AIF quality", ""),
    "scan ends at 40 s": ("VOF tail", "", TRUNCATED),
    "skull removed": ("motion", "", ""),
    "pixels of 0.43 mm, 12 HU": ("coverage", "", ""),
    "four slices of 10 mm": ("coverage", "", ""),
}
MORE: dict[str, Case] = {
    "2 HU": case(noise_hu=2.0),
    "16 HU": case("noise", "AIF quality", noise_hu=16.0),
    "drift of 6 HU a minute": case("drift", drift_hu=6.0),
    "drift of -6 HU a minute": case("drift", drift_hu=-6.0),
    "slices jump by 1 HU": case("slice level", slice_jitter_hu=1.0),
    "arrival 5 s, every 3 s": case("baseline", bolus_arrival_s=5.0, interval_s=3.0, frames=20),
    "starts 12 s late": case("bolus arrival", "motion, AIF quality", times_s=tuple(12.0 + i for i in range(45))),
    "arrival 30 s, ends at 45 s": case(
        "time after arrival, VOF tail", "AIF tail", apart=TRUNCATED, bolus_arrival_s=30.0, frames=46
    ),
    "scan ends at 20 s": case("AIF tail, VOF tail, time after arrival", "AIF quality", apart=TRUNCATED, frames=21),
    "every 5 s": case("frame interval, baseline", interval_s=5.0, frames=14),
    "peak 60 HU": case("bolus strength", "AIF height, AIF quality", bolus_peak_hu=60.0),
    "peak 10 HU": case("no bolus", bolus_peak_hu=10.0, noise_hu=8.0),
    "arteries 0.2 as wide": case("AIF height, partial volume", "AIF quality", apart=WEAK, artery_scale=0.2),
    "arteries 0.15 as wide": case("AIF height, partial volume", "AIF quality", apart=WEAK, artery_scale=0.15),
    "width 16 s, ends at 40 s": case("VOF tail, time after arrival", apart=TRUNCATED, bolus_width_s=16.0, frames=40),
    "two slices of 10 mm": case("coverage", size=(200, 200, 2), spacing_mm=(1.0, 1.0, 10.0)),
    "top 24 mm, no artery": case(
        "coverage, AIF before tissue, AIF quality, VOF found", size=(160, 160, 16), part=np.s_[13:16, :, :]
    ),
    "16 mm above the ventricles": case("coverage", size=(160, 160, 16), part=np.s_[9:11, :, :]),
    "field of view ends in the left brain": case("skull", part=np.s_[:, :, :115]),
    "field of view ends in the right brain": case("skull", part=np.s_[:, :, 45:]),
    "field of view ends in the occiput": case("skull", part=np.s_[:, :130, :]),
    "no stroke": case(lesion_side="none"),
    "0.6 mm pixels, 5 mm slices": case("coverage", size=(300, 330, 8), spacing_mm=(0.6, 0.6, 5.0)),
    "0 to 80 HU exported": case(
        "HU range",
        "motion, field of view, VOF quality, VOF tail, bolus strength, partial volume, AIF quality",
        window_hu=(0, 80),
    ),
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


@dataclass(frozen=True)
class Row:
    """A row of the table: the figures it is of, what is required, and which of two figures is the worse."""

    name: str
    required: str
    figure: str
    worse: Callable[[float], float]
    apart: str = ""
    digits: int = 3


def low(value: float) -> float:
    return -value


def high(value: float) -> float:
    return value


def off(value: float) -> float:
    return abs(value - 1.0)


def error_rows() -> Iterator[Row]:
    for key in ("cbv", "cbf", "mtt", "tmax"):
        name = key.upper() if key != "tmax" else "Tmax"
        yield Row(f"motion: {name} error / still, RMS", "≤ 1.10", f"{key}_rms", high, digits=2)
        yield Row(f"motion: {name} error / still, median", "≤ 1.10", f"{key}_median", high, digits=2)


ROWS = (
    Row("brain mask Dice", "≥ 0.97", "dice", low),
    Row("mask outside the skull, %", "< 0.1", "outside", high),
    Row("AIF voxels ≥ 90 % arterial, share", "≥ 0.95", "arterial", low),
    Row(f"the same, {WEAK}", "", "arterial", low, WEAK),
    Row(f"the same, {TRUNCATED}", "", "arterial", low, TRUNCATED),
    Row("scaled AIF area / true", "0.90 to 1.10", "area", off),
    Row(f"the same, {WEAK}", "", "area", off, WEAK),
    Row(f"the same, {TRUNCATED}", "", "area", off, TRUNCATED),
    Row("motion: residual, mm", "≤ 0.3", "moved_mm", high, digits=2),
    Row("motion: residual, °", "≤ 0.3", "moved_degrees", high, digits=2),
    *error_rows(),
    Row("motion: CBV error / still, RMS, no vessel in the next slice", "", "cbv_rms_apart", high, digits=2),
    Row("motion: CBV slope / still", "0.90 to 1.10", "cbv_slope_ratio", off, digits=2),
    Row("motion: CBF slope / still", "0.90 to 1.10", "cbf_slope_ratio", off, digits=2),
    Row("motion: moved heads refused, share", "0", "refused", high, digits=0),
    Row("motion: share of the mask kept", "", "kept", low, digits=2),
    Row("motion: cost of measuring and correcting, units", "≤ 1.0", "moved_cost", high, digits=2),
    Row("still scan: maps with `auto` identical to `off`, share", "1", "identical", low, digits=0),
    Row("still scan: cost of `auto`, units", "≤ 0.05", "still_cost", high),
)
#: Figures of one run by the name that rows call them by; their titles in the table of variants.
COLUMNS = {
    "dice": "brain Dice",
    "outside": "outside, %",
    "arterial": "AIF voxels arterial",
    "inside": "AIF voxels in brain",
    "area": "AIF area / true",
}


@dataclass(frozen=True)
class Measures:
    """Figures of one run, none where it is refused, and the names of checks missed and false."""

    variant: str
    apart: str
    figures: dict[str, float]
    missed: frozenset[str] = frozenset()
    false: frozenset[str] = frozenset()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="heads a variant")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first head")
    parser.add_argument("--full", action="store_true", help="the large grids too")
    parser.add_argument("--only", default="", help="only the variants whose name contains this")
    parser.add_argument("--variants", action="store_true", help="a table of the variants too")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    still, moving = runs_of(seeds, options.only, options.workers, full=options.full)
    print_table(still, moving)
    if options.variants:
        print_variants(still)


def runs_of(seeds: range, text: str, workers: int, *, full: bool) -> tuple[list[Measures], list[Measures]]:
    """Return the runs of heads at rest, and of pairs at rest and moved, of the variants whose name contains a text."""
    pairs = {**MOVING, **(LARGE_MOVING if full else {})}
    work: list[tuple[Callable[..., Measures], str, Any, int]] = []
    for seed in seeds:  # outside: phantoms of one head and grid share its anatomy
        work += [(measured, name, one, seed) for name, one in cases(full=full).items() if text in name]
        work += [(measured_moved, name, one, seed) for name, one in pairs.items() if text in name]
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(*one) for one in work]
        for done, (_, name, _, seed) in enumerate(work):
            waiting[done].result()
            print(f"\r{done + 1} of {len(work)}: {seed} {name:40}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found = [(one[0], run.result()) for one, run in zip(work, waiting, strict=True)]
    still, moving = ([run for how, run in found if how is kind] for kind in (measured, measured_moved))
    return still, moving


def measured_moved(name: str, options: dict[str, Any], seed: int) -> Measures:
    """Run one head at rest and moved."""
    return Measures(name, "", motion_figures(options, seed))


def cases(*, full: bool) -> dict[str, Case]:
    """Return the variants by name."""
    shared = {}
    for name, options in VARIANTS.items():
        must, may, apart = EXPECTED.get(name, ("", "", ""))
        shared[name] = case(must, may, apart=apart, **options)
    return {**shared, **MORE, **(LARGE if full else {})}


def measured(name: str, one: Case, seed: int) -> Measures:
    """Run one variant of one head up to the curves and compare with the truth."""
    if one.tiles:
        phantom = tiles_phantom(TilesOptions(**one.options, seed=seed))
    else:
        phantom = part_of(head_phantom(HeadOptions(**{**COARSE, **one.options, "seed": seed})), one.part)
    series = phantom.series
    if one.window_hu is not None:
        series = replace(series, values=series.values.clip(*one.window_hu))
    figures: dict[str, float] = {}
    try:
        prepared = prepare(series, force=True)
    except QualityError as error:
        found = refusal(str(error))
    else:
        unknown = (one.must | one.may) - {check.name for check in prepared.checks} - set(REFUSALS)
        assert not unknown, unknown
        found = frozenset(check.name for check in prepared.checks if check.doubtful)
        if not any(check.status == "fail" for check in prepared.checks):
            figures = compared(prepared, phantom)
    return Measures(name, one.apart, figures, one.must - found, found - one.must - one.may)


def part_of(phantom: Phantom, part: tuple[slice, ...]) -> Phantom:
    """Return a part of the phantom (z, y, x)."""
    series = phantom.series
    box = tuple(slice(*one.indices(count)[:2]) for one, count in zip(part, series.geometry.shape, strict=True))
    geometry = crop_box(series.geometry, box)
    parts = [
        {name: Image(image.values[box], geometry, image.unit) for name, image in images.items()}
        for images in (phantom.truth, phantom.masks)
    ]
    cut = replace(series, values=np.ascontiguousarray(series.values[(slice(None), *box)]), geometry=geometry)
    return replace(phantom, series=cut, truth=parts[0], masks=parts[1])


def refusal(text: str) -> frozenset[str]:
    """Return the name of a refusal; the text itself where it has none."""
    return frozenset({name for name, words in REFUSALS.items() if text.startswith(words)} or {text})


def compared(prepared: Prepared, phantom: Phantom) -> dict[str, float]:
    """Return the figures that `COLUMNS` names."""
    brain, true_brain = prepared.brain.values, phantom.masks["brain"].values
    aif, weights = prepared.aif.mask.values, area_weights(prepared.series.times_s)
    share = phantom.truth.get("arterial_share", phantom.masks["arteries"]).values
    return {
        "dice": dice(brain, true_brain),
        "outside": 100.0 * float((brain & ~true_brain).sum() / brain.sum()),
        "arterial": float((share[aif] >= ARTERIAL).mean()),
        "inside": float(true_brain[aif].mean()),
        "area": float((prepared.aif.curve_hu @ weights) / (phantom.aif_hu @ weights)),
    }


def print_table(still: Sequence[Measures], moving: Sequence[Measures]) -> None:
    """Print the table of all measures."""
    print("| measure | required | median | worst | of |\n" + "|---" * 5 + "|")
    for row in ROWS:
        runs = [run for run in (*still, *moving) if row.figure in run.figures and run.apart == row.apart]
        if runs:
            values = [run.figures[row.figure] for run in runs]
            worst = max(runs, key=lambda run, row=row: row.worse(run.figures[row.figure]))
            shown = (f"{value:.{row.digits}f}" for value in (np.median(values), worst.figures[row.figure]))
            print(f"| {row.name} | {row.required} | " + " | ".join((*shown, worst.variant)) + " |")
    for name, kind in (("missed", "missed"), ("false alarms", "false")):
        wrong = [(run.variant, getattr(run, kind)) for run in still if getattr(run, kind)]
        of = "; ".join(f"{', '.join(sorted(names))}: {variant}" for variant, names in wrong)
        print(f"| checks: {name}, sum of {len(still)} runs | 0 | {sum(len(names) for _, names in wrong)} | | {of} |")


def print_variants(runs: Sequence[Measures]) -> None:
    """Print medians of each variant, and every check missed or false with its count."""
    print("\n| variant | " + " | ".join(COLUMNS.values()) + " | missed | false alarms |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for name in dict.fromkeys(run.variant for run in runs):
        of_variant = [run for run in runs if run.variant == name]
        known = [run.figures for run in of_variant if run.figures]
        medians = [f"{np.median([one[key] for one in known]):.3f}" if known else "refused" for key in COLUMNS]
        wrong = (counted([run.missed for run in of_variant]), counted([run.false for run in of_variant]))
        print(f"| {name} | " + " | ".join((*medians, *wrong)) + " |")


def counted(sets: Sequence[frozenset[str]]) -> str:
    """Return how often each name occurs, in words."""
    counts = Counter(name for names in sets for name in names)
    return ", ".join(f"{name} ×{count}" for name, count in counts.items()) or "0"


if __name__ == "__main__":
    main()
