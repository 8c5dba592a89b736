"""What motion costs: a head at rest and the same head moved by 3 mm and 3°, measured for the table of `inputs.py`.

On its own, what motion so small costs that it may be tolerated: left as it is, and put back.

Usage: python Testing/benchmarks/motion.py [--seeds N] [--first-seed N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK as sitk
from accuracy import COARSE, FIRST_SEED, VARIANTS
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from PyPeTLib import Analysis, Settings, analyze
from PyPeTLib.geometry import MaskArray
from PyPeTLib.motion import corrected, measure_motion
from PyPeTLib.phantom import HeadOptions, Phantom, head_phantom
from PyPeTLib.phantom_scan import true_motion
from PyPeTLib.progress import silent
from PyPeTLib.records import Motion
from PyPeTLib.scan import Series
from PyPeTLib.truth import compare_with_truth, slope

MOTION = {"motion_mm": 3.0, "motion_degrees": 3.0}
#: Of the variants of the accuracy benchmark those that differ in what motion correction sees.
MOVING: dict[str, dict[str, Any]] = {
    name: {**COARSE, **VARIANTS[name]}
    for name in ("6 HU, every 1 s", "8 HU", "every 2 s", "oblique 20°", "2.5 mm slices", "four slices of 10 mm")
}
LARGE_MOVING: dict[str, dict[str, Any]] = {"0.9 mm pixels, 16 slices": {}}
#: Small motions: largest shift in mm and turn in degrees, as the phantom takes them.
SMALL = ((0.15, 0.06), (0.25, 0.1), (0.5, 0.2))
#: So far from the axis of a turn the brain ends, in mm.
HEAD_RADIUS_MM = 80.0
#: The correction's settings that are compared.
TREATMENTS = {"left": Settings(motion="off"), "put back": Settings(motion="on"), "default": Settings()}
MAPS = ("cbv", "cbf", "mtt", "tmax")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="full-size heads")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED, help="seed of the first head")
    options = parser.parse_args()
    print("| motion in the brain | | Dice of Tmax > 6 s, median | least | CBV RMS / still | CBF RMS / still |")
    print("|---|---|---|---|---|---|")
    found: dict[tuple[float, str], list[tuple[float, float, float]]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for key, figures in small_motion(seed).items():
            found.setdefault(key, []).append(figures)
    for (moved_mm, treatment), figures in found.items():
        dices, cbv, cbf = zip(*figures, strict=True)
        numbers = f"{statistics.median(dices):.3f} | {min(dices):.3f} | "
        numbers += f"{statistics.median(cbv):.2f} | {statistics.median(cbf):.2f}"
        print(f"| {moved_mm:.2f} mm | {treatment} | {numbers} |")


def small_motion(seed: int) -> dict[tuple[float, str], tuple[float, float, float]]:
    """Return Dice of Tmax > 6 s, and errors of CBV and CBF over those at rest, of one head at rest and moved.

    The keys are the largest displacement at 80 mm from the axis, in mm, and what is done about it.
    """
    rest = head_phantom(HeadOptions(seed=seed))
    still = analyze(rest.series)
    found = {(0.0, "at rest"): (compare_with_truth(still, rest)["tmax_dice"], 1.0, 1.0)}
    for shift_mm, degrees in SMALL:
        moved = head_phantom(HeadOptions(seed=seed, motion_mm=shift_mm, motion_degrees=degrees))
        reach_mm = shift_mm + HEAD_RADIUS_MM * np.deg2rad(degrees)
        for name, settings in TREATMENTS.items():
            run = analyze(moved.series, settings, force=True)
            ratios = error_ratios(still, run, rest)
            found[reach_mm, name] = compare_with_truth(run, moved)["tmax_dice"], ratios["cbv_rms"], ratios["cbf_rms"]
    return found


def motion_figures(options: dict[str, Any], seed: int) -> dict[str, float]:
    """Return the figures of one head, at rest and moved.

    Returns
    -------
    dict of str to float
        ``moved_mm``, ``moved_degrees``: largest error over the frames, of the grid's centre and of the turn;
        ``cbv_rms`` ... ``tmax_rms`` and ``cbv_median`` ...: error of a map against the truth, root mean square and
        median of its size, over pure tissue away from vessels that both runs show, divided by that of the head at rest;
        ``cbv_rms_apart``: likewise where no vessel is near in the slices above and below either;
        ``cbv_slope_ratio``, ``cbf_slope_ratio``: regression slope on the truth there, divided likewise;
        ``refused``: 1 where a check fails, so that by default there would be no maps;
        ``kept``: share of the brain mask of the head at rest that the moved one's has too;
        ``identical``: 1 where all maps of the head at rest are the same with motion correction on "auto" and "off";
        ``still_cost``, ``moved_cost``: processor time of motion correction with "auto", measuring and correcting, over
        that of SimpleITK's curvature flow (10 iterations) on all frames, the unit of `speed.py`.
    """
    rest, moved = (head_phantom(HeadOptions(**options, **motion, seed=seed)) for motion in ({}, MOTION))
    still, found = analyze(rest.series, force=True), analyze(moved.series, force=True)
    plain = analyze(rest.series, Settings(motion="off"), force=True)
    pairs = zip(still.maps.items(), plain.maps.items(), strict=True)
    same = all(np.array_equal(one.values, other.values, equal_nan=True) for (_, one), (_, other) in pairs)
    assert found.motion is not None
    return {
        **dict(zip(("moved_mm", "moved_degrees"), pose_errors(found.motion, moved), strict=True)),
        **error_ratios(still, found, rest),
        "refused": float(any(check.status == "fail" for check in found.checks)),
        "kept": float((found.brain.values & still.brain.values).sum() / still.brain.values.sum()),
        "identical": float(same),
        **costs(rest.series, moved.series),
    }


def error_ratios(still: Analysis, found: Analysis, head: Phantom) -> dict[str, float]:
    """Return errors and slopes of the moved head's maps over those of the head at rest, where both have values."""
    maps = [{name: image.values for name, image in run.maps.items() if name in MAPS} for run in (still, found)]
    near = head.masks["near_vessel"].values
    where = head.masks["pure_tissue"].values & ~near & np.isfinite(head.truth["cbf"].values)
    where &= still.brain.values & found.brain.values
    where &= np.logical_and.reduce([np.isfinite(values) for one in maps for values in one.values()])
    apart = where & ~binary_dilation(near, np.ones((3, 1, 1), dtype=bool))
    ratios = {"cbv_rms_apart": error_ratio("cbv", head, maps, apart)[0]}
    for name in MAPS:
        ratios[f"{name}_rms"], ratios[f"{name}_median"] = error_ratio(name, head, maps, where)
    return ratios | {f"{name}_slope_ratio": slope_ratio(name, head, maps, where) for name in ("cbv", "cbf")}


def error_ratio(name: str, head: Phantom, maps: list[dict[str, Any]], where: MaskArray) -> tuple[float, float]:
    """Return root mean square and median of the errors of the second map over those of the first."""
    before, after = (np.abs(one[name][where] - head.truth[name].values[where]) for one in maps)
    return float(np.sqrt((after**2).mean() / (before**2).mean())), float(np.median(after) / np.median(before))


def slope_ratio(name: str, head: Phantom, maps: list[dict[str, Any]], where: MaskArray) -> float:
    before, after = (slope(head.truth[name].values[where], one[name][where]) for one in maps)
    return after / before


def costs(rest: Series, moved: Series) -> dict[str, float]:
    """Return the processor time of motion correction in units."""
    unit = processor_seconds(lambda: curvature_flow(rest))
    return {
        f"{name}_cost": processor_seconds(lambda s=series: steadied(s)) / unit
        for name, series in (("still", rest), ("moved", moved))
    }


def steadied(series: Series) -> None:
    motion = measure_motion(series, settings=Settings(), progress=silent)
    corrected(series, motion, settings=Settings(), progress=silent)


def pose_errors(motion: Motion, head: Phantom) -> tuple[float, float]:
    """Return the largest errors of the grid's centre in mm and of the turn in degrees."""
    turns, shifts = true_motion(head.options, head.series.times_s)
    centre = motion.centre_mm
    apart = np.linalg.norm(centre + motion.shifts_mm - (turns @ centre + shifts), axis=1)
    turned = Rotation.from_matrix(motion.turns @ turns.transpose(0, 2, 1)).magnitude()
    return float(apart.max()), float(np.degrees(turned).max())


def processor_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def curvature_flow(series: Series) -> None:
    for frame in series.values:
        sitk.CurvatureFlow(sitk.GetImageFromArray(frame.astype(np.float32)), 0.0625, 10)


if __name__ == "__main__":
    main()
