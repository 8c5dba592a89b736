"""Apply in the scene of 3D Slicer: overhead over the library, gaps without progress, memory, moving through frames.

Needs slicer-core (``pip install 'PyPeTLib[slicer]'``) and Linux, which tells a process the peak of its memory.
Usage: python Testing/benchmarks/module.py [--runs N] [--large]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "PyPeT"))

from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.records import Series
from PyPeTLib.settings import BrainMethod, DenoiseMethod, Settings
from PyPeTScene.bootstrap import boot_scene

SCENE = boot_scene()

from PyPeTScene.nodes import Node, image_values, scene_nodes  # noqa: E402
from PyPeTScene.series import sequence_from_series  # noqa: E402
from PyPeTScene.study import process  # noqa: E402

#: Small enough to load, in no time, every package that a run uses.
TINY = HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45)
#: Steps whose longest gap is shown.
SHOWN_STEPS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs after one that is not")
    parser.add_argument("--large", action="store_true", help="a scan of 40×512×512×60 (1.3 GB as int16), defaults only")
    options = parser.parse_args()
    for chosen in every_method():
        Apply(head_phantom(TINY).series).run(chosen)
    if options.large:
        from speed import enlarged

        report(enlarged(), "40×512×512×60", 1, [Settings()])
    else:
        report(head_phantom(HeadOptions()).series, "16×220×220×55", options.runs, every_method())


def report(series: Series, size: str, runs: int, methods: list[Settings]) -> None:
    """Print the tables of one scan."""
    gaps(series, methods)
    overhead(series, size, runs)
    memory(series, size)
    frames(series, size)


def every_method() -> list[Settings]:
    pairs = product(get_args(DenoiseMethod), get_args(BrainMethod))
    return [Settings(denoise=denoise, brain=brain) for denoise, brain in pairs]


class Apply:
    """A scan in an otherwise empty scene, and the calls of its progress."""

    def __init__(self, series: Series) -> None:
        SCENE.Clear(False)
        self.scan = sequence_from_series(series, "scan")[0]
        self.calls: list[tuple[float, str]] = []

    def run(self, settings: Settings | None = None) -> tuple[Any, Any]:
        self.calls = [(time.perf_counter(), "before the first call")]
        done = process(self.scan, settings, progress=lambda _, text: self.calls.append((time.perf_counter(), text)))
        self.calls.append((time.perf_counter(), "the end"))
        return done

    def gaps(self) -> dict[str, float]:
        """Return the longest time in s between two calls, by the text that stood on the screen meanwhile."""
        longest: dict[str, float] = {}
        for (start, text), (end, _) in zip(self.calls, self.calls[1:], strict=False):
            longest[text] = max(end - start, longest.get(text, 0.0))
        return longest


def gaps(series: Series, methods: list[Settings]) -> None:
    print("| denoising | brain | run, s | calls | longest gaps between calls of progress, ms |")
    print("|---|---|---|---|---|")
    for settings in methods:
        applied = Apply(series)
        applied.run(settings)
        longest = sorted(applied.gaps().items(), key=lambda item: -item[1])[:SHOWN_STEPS]
        text = ", ".join(f"{step} {1e3 * gap:.0f}" for step, gap in longest)
        seconds = applied.calls[-1][0] - applied.calls[0][0]
        print(
            f"| {settings.denoise} | {settings.brain} | {seconds:.1f} | {len(applied.calls) - 2} | {text} |", flush=True
        )
    print()


def overhead(series: Series, size: str, runs: int) -> None:
    """Compare the library alone with Apply, taking turns so that a busy machine slows both."""
    alone, whole, again = [], [], []
    for _ in range(runs):
        alone.append(seconds_of(lambda: analyze(series)))
        applied = Apply(series)
        whole.append(seconds_of(applied.run))
        again.append(seconds_of(applied.run))
    print(f"| {size}, median of {runs} runs | s |")
    print("|---|---|")
    print(f"| library alone | {statistics.median(alone):.2f} |")
    for name, times in (("first Apply", whole), ("next Apply", again)):
        print(f"| {name} | {statistics.median(times):.2f} |")
        more = [one - other for one, other in zip(times, alone, strict=True)]
        print(f"| {name}, overhead | {statistics.median(more):.2f} |")
    print()


def seconds_of(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def memory(series: Series, size: str) -> None:
    """Print the peak of resident memory during Apply, less what was there before and the voxels it adds to the scene.

    The scan is only in the scene. At the next Apply the former result is in the scene, too, until the end.
    """
    bytes_of_scan = series.values.nbytes
    applied = Apply(series)
    del series
    print(f"| {size}, {bytes_of_scan / 1e6:.0f} MB | peak beside the scene, in scans | voxels in the scene, in scans |")
    print("|---|---|---|")
    result = None
    for name in ("first Apply", "next Apply"):
        former = scene_bytes(applied.scan)
        start = reset_peak()
        result = applied.run()
        added = scene_bytes(applied.scan) - (former if name == "first Apply" else 0)
        added -= 0 if name == "first Apply" else bytes_of_scan
        share = (peak() - start - added) / bytes_of_scan
        print(f"| {name} | {share:.2f} | {scene_bytes(applied.scan) / bytes_of_scan:.2f} |", flush=True)
    del result
    print()


def reset_peak() -> int:
    """Forget the peak of this process and return its resident memory in bytes."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def peak() -> int:
    return status("VmHWM")


def status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


def scene_bytes(scan: Node) -> int:
    """Return the voxels of all volumes and frames, each image once: proxy volumes may share them."""
    images = {scalars.__this__: scalars.GetDataSize() * scalars.GetDataTypeSize() for scalars in scene_images()}
    return sum(images.values())


def scene_images() -> Iterator[Any]:
    for node in scene_nodes():
        if node.IsA("vtkMRMLVolumeNode") and node.GetImageData():
            yield node.GetImageData().GetPointData().GetScalars()
        elif node.IsA("vtkMRMLSequenceNode"):
            for k in range(node.GetNumberOfDataNodes()):
                yield node.GetNthDataNode(k).GetImageData().GetPointData().GetScalars()


def frames(series: Series, size: str) -> None:
    """Print the time to scroll through the enhancement, and whether the voxels shown are those stored."""
    import numpy as np
    import slicer

    _, shown = (applied := Apply(series)).run()
    browser, sequence, proxy = (
        SCENE.GetNodeByID(identity) for identity in (shown.browser, shown.enhancement, shown.enhancement_volume)
    )
    times, same = [], 0
    for k in range(sequence.GetNumberOfDataNodes()):
        start = time.perf_counter()
        browser.SetSelectedItemNumber(k)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        times.append(1e3 * (time.perf_counter() - start))
        same += np.shares_memory(
            image_values(proxy.GetImageData()), image_values(sequence.GetNthDataNode(k).GetImageData())
        )
    print(f"| moving through the {len(times)} frames, {size} | |")
    print("|---|---|")
    print(f"| ms a frame, median and longest | {statistics.median(times):.1f}, {max(times):.1f} |")
    print(f"| frames shown without copying or computing a voxel | {same} of {len(times)} |")
    del applied


if __name__ == "__main__":
    main()
