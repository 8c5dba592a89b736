"""The report of a full scan: seconds beyond the run, size of the file, and time of a scroll step in Chromium.

Seconds are the difference of whole processes, ``pypet run`` with and without ``--no-report``, in turn: those of the
clock, which what else runs on the machine makes longer, and those of the processors, which tell more then. A step is
from the movement of a slider to the picture that is painted, both pictures and the curve of a voxel included.
Needs playwright and Chromium for the steps. Usage: python Testing/benchmarks/report.py [--runs N]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import browser

from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.phantom_files import write_phantom

#: What is scrolled: pictures on the left and on the right.
PAIRS = (("cbf", "tmax"), ("raw", "denoised"), ("contrast", "mip"))
#: Moves a slider through all its places and returns the milliseconds of every step.
SCROLL = """async ([name, pair]) => {
  const slider = document.querySelector(`#${name}`), pictures = [...document.querySelectorAll("#viewer .picture")];
  const lists = [...document.querySelectorAll(".pane select")], taken = [];
  pair.forEach((key, k) => { lists[k].value = key; });
  lists[0].dispatchEvent(new Event("change"));
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const place = name === "slice" ? 1 : 2, at = (picture) => picture.dataset.shown.split(" ");
  for (let k = 0; k <= Number(slider.max); k += 1) {
    const start = performance.now();
    slider.value = k;
    slider.dispatchEvent(new Event("input"));
    while (!pictures.every((one, i) => at(one)[0] === pair[i] && Number(at(one)[place]) === k)) await painted();
    await painted();
    taken.push(performance.now() - start);
  }
  return taken;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted pairs of runs after one that is not")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = write_phantom(head_phantom(HeadOptions()), folder)
        print(f"| 16×220×220×55, median of {options.runs} runs | smallest | median | largest |\n|---|---|---|---|")
        pairs = [(run(scan, folder / "a", "--no-report"), run(scan, folder / "b")) for _ in range(options.runs + 1)][1:]
        row("`pypet run --no-report`, s", [bare[0] for bare, _ in pairs])
        row("report, seconds beyond the run", [full[0] - bare[0] for bare, full in pairs])
        row("report, processor seconds beyond the run", [full[1] - bare[1] for bare, full in pairs])
        page = folder / "b" / "phantom_report.html"
        print(f"\nFile: {page.stat().st_size / 1e6:.2f} MB", end="")
        run(scan, folder / "c", "--reference", str(folder / "b"))
        print(f", with reference maps {(folder / 'c' / page.name).stat().st_size / 1e6:.2f} MB\n")
        print(browser.missing() or steps(page))


def run(scan: Path, out: Path, *words: str) -> tuple[float, float]:
    """Return the seconds and processor seconds of one whole process."""
    command = [sys.executable, "-m", "PyPeTLib", "run", str(scan), "-o", str(out), "--quiet", "--overwrite", *words]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, values: list[float]) -> None:
    print(f"| {name} | {min(values):.2f} | {statistics.median(values):.2f} | {max(values):.2f} |")


def steps(page: Path) -> str:
    """Return a table of the milliseconds of a step; the first time through frames is that of decoding them, too."""
    lines = ["| step in Chromium, ms | median | largest |", "|---|---|---|"]
    with browser.browser() as started:
        view = started.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
        start = time.perf_counter()
        view.goto(page.as_uri())
        view.wait_for_selector("html[data-viewer=ready]", state="attached")
        opening = 1000 * (time.perf_counter() - start)
        view.locator("#viewer .picture").first.click()
        for pair in PAIRS:
            for name, what in (("slice", "slices"), ("frame", "time")):
                taken = view.evaluate(SCROLL, [name, list(pair)])
                lines.append(f"| {what}: {' beside '.join(pair)} | {statistics.median(taken):.0f} | {max(taken):.0f} |")
    return "\n".join([*lines, f"\nOpening: {opening:.0f} ms"])


if __name__ == "__main__":
    main()
