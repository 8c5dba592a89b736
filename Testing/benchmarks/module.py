"""Apply in the scene of 3D Slicer: overhead over the library, gaps without progress, memory, moving through frames.

Gaps are the longest time between two calls of progress (and thus until Cancel is seen); of several runs the shortest of
these is taken, which is what the program does and not what else runs on the machine. Overhead is given in seconds of
the clock and, steadier, of the processors. Memory is resident memory at its peak, as Linux counts it.

Needs slicer-core (``pip install slicer-core``) and Linux, which tells a process the peak of its memory.
Usage: python Testing/benchmarks/module.py [--runs N] [--large]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "PyPeT"))

from PyPeTLib.errors import Cancelled
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.scan import Series
from PyPeTLib.settings import BrainMethod, DenoiseMethod, Settings
from PyPeTScene.bootstrap import boot_scene

#: Small enough to load, in no time, every package that a run uses.
TINY = HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0), frames=45)
#: Steps whose longest gap is shown.
SHOWN_STEPS = 4
#: A run is cancelled at so many places, evenly spread over the time of a run.
CANCELLED = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="a scan of 40×512×512×60 (1.3 GB as int16), defaults only")
    options = parser.parse_args()
    boot_scene()
    for chosen in every_method():
        Apply(head_phantom(TINY).series).run(chosen)
    if options.large:
        from speed import enlarged

        report(enlarged(), "40×512×512×60", options.runs, [Settings()])
    else:
        report(head_phantom(HeadOptions()).series, "16×220×220×55", options.runs, every_method())


def report(series: Series, size: str, runs: int, methods: list[Settings]) -> None:
    """Print the tables of one scan."""
    memory(series, size)  # first: what earlier runs leave in the allocator would hide it
    gaps(series, size, runs, methods)
    cancelling(series, size)
    overhead(series, size, runs)
    frames(series, size)


def every_method() -> list[Settings]:
    pairs = product(get_args(DenoiseMethod), get_args(BrainMethod))
    return [Settings(denoise=denoise, brain=brain) for denoise, brain in pairs]


class Apply:
    """A scan in an otherwise empty scene, and the calls of progress of its last run."""

    def __init__(self, series: Series) -> None:
        import slicer

        from PyPeTScene.series import sequence_from_series

        slicer.mrmlScene.Clear(False)
        self.scan = sequence_from_series(series, "scan")[0]
        self.calls: list[tuple[float, str]] = []
        self.former: Series | None = None

    def run(self, settings: Settings | None = None, stop_after_s: float = float("inf")) -> Any:
        """Apply; `Cancelled` is raised by the first call of progress after a time."""
        from PyPeTScene.study import Request, process

        start = time.perf_counter()
        self.calls = [(start, "before the first call")]

        def progress(_: float, text: str) -> None:
            self.calls.append((time.perf_counter(), text))
            if self.calls[-1][0] - start > stop_after_s:
                raise Cancelled

        request = Request(self.scan, settings or Settings(), former=self.former)  # as the panel does
        done = process(request, progress)
        self.former = done[0].raw
        self.calls.append((time.perf_counter(), "the end"))
        return done

    def gaps(self) -> dict[str, float]:
        """Return the longest time in s between two calls, by the text that stood on the screen meanwhile."""
        longest: dict[str, float] = {}
        for (start, text), (end, _) in zip(self.calls, self.calls[1:], strict=False):
            longest[text] = max(end - start, longest.get(text, 0.0))
        return longest

    def seconds(self) -> float:
        return self.calls[-1][0] - self.calls[0][0]


def gaps(series: Series, size: str, runs: int, methods: list[Settings]) -> None:
    print(f"| {size}: denoising | brain | run, s | calls | longest gaps without progress, ms, best of {runs} runs |")
    print("|---|---|---|---|---|")
    for settings in methods:
        found, seconds = [], []
        for _ in range(runs):
            applied = Apply(series)
            applied.run(settings)
            found.append(applied.gaps())
            seconds.append(applied.seconds())
        best = {text: min(one.get(text, 0.0) for one in found) for text in found[0]}
        longest = sorted(best.items(), key=lambda item: -item[1])[:SHOWN_STEPS]
        text = ", ".join(f"{step} {1e3 * gap:.0f}" for step, gap in longest)
        calls = len(applied.calls) - 2
        print(f"| {settings.denoise} | {settings.brain} | {min(seconds):.1f} | {calls} | {text} |", flush=True)
    print()


def cancelling(series: Series, size: str) -> None:
    """Print how long it takes from the cancelled call until the scene is as it was."""
    applied = Apply(series)
    applied.run()
    found = []
    for share in range(1, CANCELLED + 1):
        try:
            applied.run(stop_after_s=applied.seconds() * share / (CANCELLED + 1))
        except Cancelled:
            found.append((time.perf_counter() - applied.calls[-1][0], applied.calls[-1][1]))
            applied.run()
    print(f"| {size}: from Cancel to the scene as before, {len(found)} places | ms |")
    print("|---|---|")
    print(f"| median | {1e3 * statistics.median(seconds for seconds, _ in found):.0f} |")
    seconds, text = max(found)
    print(f"| longest ({text}) | {1e3 * seconds:.0f} |")
    print()


def overhead(series: Series, size: str, runs: int) -> None:
    """Compare the library alone with Apply, taking turns so that a busy machine slows both."""
    alone, whole, again = [], [], []
    for _ in range(runs):
        alone.append(seconds_of(lambda: analyze(series)))
        applied = Apply(series)
        whole.append(seconds_of(applied.run))
        again.append(seconds_of(applied.run))
    print(f"| {size}, median of {runs} runs | s | processor s |")
    print("|---|---|---|")
    print(f"| library alone | {middle(alone, 0):.2f} | {middle(alone, 1):.2f} |")
    for name, taken in (("first Apply", whole), ("next Apply", again)):
        more = [(one[0] - other[0], one[1] - other[1]) for one, other in zip(taken, alone, strict=True)]
        print(f"| {name} | {middle(taken, 0):.2f} | {middle(taken, 1):.2f} |")
        print(f"| {name}, overhead | {middle(more, 0):.2f} | {middle(more, 1):.2f} |")
    print()


def middle(pairs: list[tuple[float, float]], column: int) -> float:
    return statistics.median(pair[column] for pair in pairs)


def seconds_of(function: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds of the clock and of the processors."""
    start, used = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - used


def frames(series: Series, size: str) -> None:
    """Print the time to scroll through the enhancement, and whether the voxels shown are those stored."""
    import slicer

    from PyPeTScene.nodes import image_values

    shown = Apply(series).run()[1]
    browser, sequence, proxy = (
        slicer.mrmlScene.GetNodeByID(identity)
        for identity in (shown.browser, shown.enhancement, shown.enhancement_volume)
    )
    logic, times, same = slicer.modules.sequences.logic(), [], 0
    count = sequence.GetNumberOfDataNodes()
    for k in range(count):
        start = time.perf_counter()
        browser.SetSelectedItemNumber(k)
        logic.UpdateProxyNodesFromSequences(browser)
        times.append(1e3 * (time.perf_counter() - start))
        stored = image_values(sequence.GetNthDataNode(k).GetImageData())
        same += np.array_equal(image_values(proxy.GetImageData()), stored, equal_nan=True)
    print(f"| {size}: moving through the {count} frames of the enhancement | |")
    print("|---|---|")
    print(f"| ms a frame, median and longest | {statistics.median(times):.1f}, {max(times):.1f} |")
    print(f"| frames whose voxels are those stored, none computed | {same} of {count} |")
    print()


def memory(series: Series, size: str) -> None:
    """Print the peak of memory less the scene's own voxels, in sizes of the scan.

    Before the first Apply only the scan is in the scene. At the next Apply the former run is kept, as the panel does,
    and the former voxels are in the scene until the new ones are complete.
    """
    scan_bytes = series.values.nbytes
    applied = Apply(series)
    del series
    base, own = resident(), scene_bytes()
    print(f"| {size}, {scan_bytes / 1e6:.0f} MB: in sizes of the scan | peak beside the scene | kept after it |")
    print("|---|---|---|")
    result = None
    for name in ("first Apply", "next Apply"):
        former = scene_bytes()
        reset_peak()
        result = applied.run()
        in_scene = scene_bytes() - own + (former - own)
        above, left = status("VmHWM") - base - in_scene, resident() - base - (scene_bytes() - own)
        print(f"| {name} | {above / scan_bytes:.2f} | {left / scan_bytes:.2f} |", flush=True)
    print(f"| voxels in the scene beside the scan | {(scene_bytes() - own) / scan_bytes:.2f} | |")
    del result


def resident() -> int:
    """Return the memory of this process in bytes, after what is free was given back."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return status("VmRSS")


def reset_peak() -> None:
    resident()
    Path("/proc/self/clear_refs").write_text("5")


def status(key: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return 1024 * int(line.split()[1])


def scene_bytes() -> int:
    """Return the bytes of the voxels of all volumes and frames, each array once: nodes may share them."""
    return sum({scalars.__this__: scalars.GetDataSize() * scalars.GetDataTypeSize() for scalars in arrays()}.values())


def arrays() -> Iterator[Any]:
    from PyPeTScene.nodes import scene_nodes

    for node in scene_nodes():
        volumes = [node] if node.IsA("vtkMRMLVolumeNode") else []
        if node.IsA("vtkMRMLSequenceNode"):
            volumes = [node.GetNthDataNode(k) for k in range(node.GetNumberOfDataNodes())]
        yield from (one.GetImageData().GetPointData().GetScalars() for one in volumes if one.GetImageData())


if __name__ == "__main__":
    main()
