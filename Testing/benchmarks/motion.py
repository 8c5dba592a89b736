"""Motion correction on the digital head: error of the poses, maps against those of the same head at rest, and cost.

Cost is processor time over that of SimpleITK's curvature flow (10 iterations) on all frames, the unit of `speed.py`,
in the same run.
Usage: python Testing/benchmarks/motion.py [--seeds N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from PyPeTLib import PyPeTError, Settings, analyze
from PyPeTLib.motion import corrected, measure_motion
from PyPeTLib.phantom import HeadOptions, Phantom, head_phantom
from PyPeTLib.phantom_scan import true_motion
from PyPeTLib.records import Motion, Series, silent
from PyPeTLib.truth import compare_with_truth

FIGURES = ("aif_area_ratio", "cbv_slope", "cbf_slope", "cbv_r", "cbf_r", "mtt_r", "tmax_r", "tmax_bias_s", "tmax_dice")
SETTINGS = Settings()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="heads: anatomy, lesion, direction of motion and noise")
    options = parser.parse_args()
    print("| seed | head | " + " | ".join(FIGURES) + " |")
    print("|---" * (len(FIGURES) + 2) + "|")
    costs = [one_head(seed) for seed in range(options.seeds)]
    print("\n| seed | moved mm | error mm | error ° | measured, still / unit | measured / unit | corrected / unit |")
    print("|---" * 7 + "|")
    for seed, cost in enumerate(costs):
        print(f"| {seed} | " + " | ".join(f"{value:.3f}" for value in cost) + " |")


def one_head(seed: int) -> tuple[float, ...]:
    """Print the figures of a head at rest and moved by 3 mm and 3°; return displacement, errors and costs."""
    rest = head_phantom(HeadOptions(seed=seed))
    moved = head_phantom(HeadOptions(seed=seed, motion_mm=3.0, motion_degrees=3.0))
    row(seed, "at rest", rest, SETTINGS)
    row(seed, "moved, corrected", moved, SETTINGS)
    row(seed, "moved, not corrected", moved, replace(SETTINGS, motion="off"))
    unit, _ = processor_seconds(lambda: curvature_flow(moved.series))
    still, _ = processor_seconds(lambda: measure_motion(rest.series, settings=SETTINGS, progress=silent))
    measured, motion = processor_seconds(lambda: measure_motion(moved.series, settings=SETTINGS, progress=silent))
    resampled, _ = processor_seconds(lambda: corrected(moved.series, motion, settings=SETTINGS, progress=silent))
    largest = float(motion.displacement_mm.max())
    return largest, *pose_errors(motion, moved), still / unit, measured / unit, resampled / unit


def row(seed: int, name: str, head: Phantom, settings: Settings) -> None:
    try:
        found = compare_with_truth(analyze(head.series, settings), head)
        print(f"| {seed} | {name} | " + " | ".join(f"{found[figure]:.3f}" for figure in FIGURES) + " |", flush=True)
    except PyPeTError:
        print(f"| {seed} | {name} | refused" + " |" * len(FIGURES), flush=True)


def pose_errors(motion: Motion, head: Phantom) -> tuple[float, float]:
    """Return the largest errors of the grid's centre in mm and of the turn in degrees."""
    turns, shifts = true_motion(head.options, head.series.times_s)
    centre = motion.centre_mm
    apart = np.linalg.norm(centre + motion.shifts_mm - (turns @ centre + shifts), axis=1)
    turned = Rotation.from_matrix(motion.turns @ turns.transpose(0, 2, 1)).magnitude()
    return float(apart.max()), float(np.degrees(turned).max())


def processor_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def curvature_flow(series: Series) -> None:
    for frame in series.values:
        sitk.CurvatureFlow(sitk.GetImageFromArray(frame.astype(np.float32)), 0.0625, 10)


if __name__ == "__main__":
    main()
