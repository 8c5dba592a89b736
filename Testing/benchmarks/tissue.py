"""How well CSF and large vessels are told from tissue, one line a variant.

CSF and vessels are true where they fill at least half, and a blood share of `VESSEL`, of a voxel; tissue is pure where
it fills 95 %. Usage: python Testing/benchmarks/tissue.py [--seeds N] [--first-seed N] [--only TEXT]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from accuracy import COARSE, FIRST_SEED

from PyPeTLib.agreement import dice
from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.phantom_head import Label
from PyPeTLib.phantom_scan import average, grid_geometry, label_table, scene_of, still_parts
from PyPeTLib.pipeline import analyze

#: Share of blood of a CBV of 8 mL/100 g.
VESSEL = 0.115
VARIANTS: dict[str, dict[str, Any]] = {
    "16×220×220×55, 6 HU": {},
    "16×220×220×55, 2 HU": {"noise_hu": 2.0},
    "16×220×220×55, 8 HU": {"noise_hu": 8.0},
    "moved by 6 mm and 4°": {"motion_mm": 6.0, "motion_degrees": 4.0},
    "oblique 20°": {"oblique_degrees": 20.0},
    "16 HU": {**COARSE, "noise_hu": 16.0},
    "every 3 s": {**COARSE, "interval_s": 3.0, "frames": 20},
    "arrival 5 s": {**COARSE, "bolus_arrival_s": 5.0},
    "width 16 s": {**COARSE, "bolus_width_s": 16.0, "frames": 70},
    "peak 150 HU": {**COARSE, "bolus_peak_hu": 150.0},
    "arteries 0.3 as wide": {**COARSE, "artery_scale": 0.3},
    "2.5 mm slices": {"size": (180, 180, 40), "spacing_mm": (1.1, 1.1, 2.5)},
    "four slices of 10 mm": {"size": (200, 200, 4), "spacing_mm": (1.0, 1.0, 10.0)},
}
COLUMNS = (
    *(f"{what} {figure}" for what in ("CSF", "vessel") for figure in ("Dice", "sensitivity", "precision")),
    *(f"{what} left out, %" for what in ("pure tissue", "pure core")),
    *(f"median {name} of {what}" for name in ("CBV", "CBF") for what in ("brain mask", "tissue", "pure tissue")),
    "s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="heads a variant; the median is shown")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first head")
    parser.add_argument("--only", default="", help="only the variants whose name contains this")
    options = parser.parse_args()
    print("| variant | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name, variant in VARIANTS.items():
        if options.only in name:
            seeds = range(options.first_seed, options.first_seed + options.seeds)
            figures = np.median([measured(HeadOptions(**variant, seed=seed)) for seed in seeds], axis=0)
            print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in figures) + " |", flush=True)


def measured(options: HeadOptions) -> list[float]:
    """Return the figures of one head in the order of `COLUMNS`."""
    phantom = head_phantom(options)
    analysis, part = analyze(phantom.series, force=True), shares(options)
    brain, tissue = analysis.brain.values, analysis.tissue.values
    pure = brain & (part["tissue"] >= 0.95)
    core = pure & (part["core"] >= 0.5)
    medians = [
        float(np.median(image.values[inside]))
        for image in (analysis.maps.cbv, analysis.maps.cbf)
        for inside in (brain, tissue, pure)
    ]
    return [
        *overlap(analysis.csf.values, brain & (part["csf"] >= 0.5)),
        *overlap(analysis.vessels.values, brain & (part["vessel"] >= VESSEL)),
        *(100.0 * float((where & ~tissue).sum() / where.sum()) for where in (pure, core)),
        *medians,
        analysis.seconds["CSF and large vessels"],
    ]


def overlap(found: MaskArray, truth: MaskArray) -> tuple[float, float, float]:
    """Return Dice, sensitivity and precision."""
    both = float((found & truth).sum())
    return dice(found, truth), both / float(truth.sum()), both / float(found.sum())


def shares(options: HeadOptions) -> dict[str, FloatArray]:
    """Return how much of each voxel is CSF, vessel, tissue and ischaemic core."""
    geometry, table, index = grid_geometry(options), label_table(options), np.arange(Label.COUNT)
    parts = still_parts(scene_of(options, geometry))
    weights = {"csf": index == Label.CSF, "vessel": table.vessel, "tissue": table.tissue}
    weights["core"] = index >= Label.CORE_GRAY
    return {name: average(parts, weight.astype(float), geometry) for name, weight in weights.items()}


if __name__ == "__main__":
    main()
