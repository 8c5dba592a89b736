"""Time and memory of `pypet run`, whole process, against the smoothing step of the published tool in the same session.

The unit of time is SimpleITK's curvature flow (10 iterations) on the 55 frames, as the published tool smooths.
Usage: python Testing/benchmarks/speed.py [--runs N] [--method NAME ... | --large]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import numpy as np
import SimpleITK as sitk

from PyPeTLib.geometry import Geometry
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.scan import Series
from PyPeTLib.settings import DeconvolutionMethod, Settings
from PyPeTLib.write import write_series

#: Grids and frames for the cost against slices and frames: (slices, frames).
SCALING = ((8, 55), (16, 55), (32, 55), (16, 28), (16, 110))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs after one that is not")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--large", action="store_true", help="also a scan of 40×512×512×60 (1.3 GB as int16)")
    kind.add_argument("--method", nargs="+", choices=get_args(DeconvolutionMethod), help="only the time of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base(Path(folder), options.runs, options.method or [Settings().method])
        if not options.method:
            scaling(Path(folder), options.large)


def base(folder: Path, runs: int, methods: list[str]) -> None:
    """Print a table a method: time and memory against the unit, which is measured in turn with them."""
    series = head_phantom(HeadOptions()).series
    scan = written(series, folder / "base_ctp.nii.gz")
    rounds = [
        (curvature_flow_seconds(series), *(run(scan, folder, method) for method in methods)) for _ in range(runs + 1)
    ]
    units, unit_work = (list(one) for one in zip(*(first for first, *_ in rounds[1:]), strict=True))
    for index, method in enumerate(methods, start=1):
        seconds, work, memory = (list(one) for one in zip(*(each[index] for each in rounds[1:]), strict=True))
        print(f"| 16×220×220×55, {method}, median of {runs} runs | smallest | median | largest |")
        print("|---|---|---|---|")
        row("curvature flow on all frames (the unit), s", units, ".1f")
        row("`pypet run --no-report`, whole process, s", seconds, ".2f")
        row("run / unit", [second / unit for second, unit in zip(seconds, units, strict=True)], ".3f")
        row("the same in processor time", [one / unit for one, unit in zip(work, unit_work, strict=True)], ".3f")
        row("peak memory, MB", memory, ".0f")
        print()


def scaling(folder: Path, large: bool) -> None:
    """Print the cost against slices and frames."""
    print("| slices × frames | MB as int16 | processor s | ms / MB | peak memory, MB | (memory − 200 MB) / scan |")
    print("|---|---|---|---|---|---|")
    for slices, frames in SCALING:
        options = HeadOptions(size=(220, 220, slices), spacing_mm=(0.9, 0.9, 4.0), frames=frames)
        cost(f"{slices} × {frames}", head_phantom(options).series, folder)
    if large:
        cost("40 × 60, 512×512", enlarged(), folder)


def row(name: str, values: list[float], digits: str) -> None:
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"| {name} | {low:{digits}} | {middle:{digits}} | {high:{digits}} |")


def cost(name: str, series: Series, folder: Path) -> None:
    """Print processor time (steadier than the clock on a shared machine) and memory of one scan."""
    megabytes = series.values.size * 2 / 1e6
    scan = written(series, folder / "scaling_ctp.nii.gz")
    del series
    _, seconds, memory = min(run(scan, folder) for _ in range(3))
    share = (memory - 200) / megabytes
    print(
        f"| {name} | {megabytes:.0f} | {seconds:.2f} | {1e3 * seconds / megabytes:.1f} | {memory:.0f} | {share:.2f} |"
    )


def written(series: Series, path: Path) -> Path:
    write_series(series, path)
    return path


def enlarged() -> Series:
    """Return a head of 40×512×512×60, made by repeating the pixels of a smaller one, with fresh noise."""
    small = head_phantom(HeadOptions(size=(256, 256, 40), spacing_mm=(0.9, 0.9, 4.0), frames=60)).series
    values = np.empty((60, 40, 512, 512), dtype=np.int16)
    noise = np.random.default_rng(0)
    for target, source in zip(values, small.values, strict=True):
        target[:] = source.repeat(2, axis=1).repeat(2, axis=2)
        target += noise.integers(-6, 7, target.shape, dtype=np.int16)
    return Series(values, small.times_s, Geometry((512, 512, 40), (0.45, 0.45, 4.0)), name="large_ctp")


def curvature_flow_seconds(series: Series) -> tuple[float, float]:
    """Time the smoothing of all frames, as the published tool does it: seconds and processor seconds."""
    frames = [sitk.GetImageFromArray(frame.astype(np.float32)) for frame in series.values]
    start, used = time.perf_counter(), time.process_time()
    for frame in frames:
        sitk.CurvatureFlow(frame, 0.0625, 10)
    return time.perf_counter() - start, time.process_time() - used


#: A small process in between: a child's peak memory starts at that of the process which made it.
TIMED = """
import os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:])
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


def run(scan: Path, folder: Path, method: str = Settings().method) -> tuple[float, float, float]:
    """Run `pypet run` as a process of its own; return its seconds, processor seconds and peak memory in MB."""
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(folder / "out")]
    command += ["--no-report", "--overwrite", "--quiet", "--method", method]
    said = subprocess.run([sys.executable, "-c", TIMED, *command], capture_output=True, text=True, check=True).stdout
    code, seconds, processor, memory = said.split()
    if code != "0":
        sys.exit(f"pypet run failed with {code}")
    return float(seconds), float(processor), float(memory)


if __name__ == "__main__":
    main()
