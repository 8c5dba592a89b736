"""The published table on heads whose reference is another method with other smoothing; and what SSIM hides.

Usage: python Testing/benchmarks/compare.py [--seeds N] [--ssim] [--speed]

Without an option: 16×220×220×55 heads at 6 HU, the default method against bSVD with Gaussian smoothing, written and
compared as files in the layout of ISLES 2024; prints what ``pypet compare`` prints. With ``--ssim``: maps whose
correlation with the map is 0, and their SSIM with and without the background. With ``--speed``: seconds of the command
on one full-size case, from start to exit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from PyPeTLib.analysis import Analysis
from PyPeTLib.cohort import compare_folders
from PyPeTLib.compare_tables import markdown, markdown_table
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.progress import silent
from PyPeTLib.results import write_analysis
from PyPeTLib.settings import Settings
from PyPeTLib.similarity import similarity
from PyPeTLib.write import write_image

FIRST_SEED = 3000
#: What stands for another product: another deconvolution, another smoothing.
OTHER = Settings(method="bSVD", denoise="gaussian")
MAPS = ("cbf", "cbv", "mtt", "tmax")
#: Smoothness of the random field that is compared with a map, in mm.
FIELD_MM = 8.0
RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="number of heads")
    parser.add_argument("--ssim", action="store_true", help="only what SSIM hides")
    parser.add_argument("--speed", action="store_true", help="only the time of the command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.ssim:
            print_ssim(analyze(head_phantom(HeadOptions(seed=FIRST_SEED)).series))
        else:
            count = 1 if options.speed else options.seeds
            write_data_set(Path(folder), range(FIRST_SEED, FIRST_SEED + count))
            print_speed(Path(folder)) if options.speed else print_tables(Path(folder))


def write_data_set(folder: Path, seeds: range) -> None:
    """Write a folder of results, and one of reference maps without sidecars, as ISLES 2024 has them."""
    for seed in seeds:
        series = head_phantom(HeadOptions(seed=seed, lesion_side="left" if seed % 2 else "right")).series
        name = f"sub-{seed}_ses-01"
        series = replace(series, name=f"{name}_ctp")
        results, reference = folder / "results" / name, folder / f"isles/sub-{seed}/ses-01/perfusion-maps"
        results.mkdir(parents=True)
        reference.mkdir(parents=True)
        write_analysis(analyze(series), results, report=False)
        other = analyze(series, OTHER)
        for key in MAPS:
            image = getattr(other.maps, key)
            inside = np.where(other.brain.values, image.values, np.float32(0.0))
            write_image(Image(inside, image.geometry), reference / f"{name}_{key}.nii.gz", missing=0.0)


def print_tables(folder: Path) -> None:
    print(markdown(compare_folders(folder / "results", [folder / "isles"], progress=silent)))


def print_speed(folder: Path) -> None:
    """Print the median of several runs, tables alone and with figures."""
    command = [sys.executable, "-m", "PyPeTLib", "compare", str(folder / "results"), str(folder / "isles"), "--quiet"]
    rows = []
    for what, options in (
        ("nothing written", []),
        ("tables", ["-o", str(folder / "tables"), "--overwrite", "--no-figures"]),
        ("tables and figures", ["-o", str(folder / "figures"), "--overwrite"]),
    ):
        seconds, processor = [], []
        for _ in range(RUNS):
            start, before = time.perf_counter(), sum(os.times()[2:4])
            subprocess.run([*command, *options], check=True)
            seconds.append(time.perf_counter() - start)
            processor.append(sum(os.times()[2:4]) - before)
        numbers = (min(seconds), float(np.median(seconds)), max(seconds), float(np.median(processor)))
        rows.append([what, *(f"{value:.2f}" for value in numbers)])
    seconds_of = ("smallest", f"median of {RUNS}", "largest", "processor, without the processes that draw")
    heads = ["16×220×220, CBF, CBV, MTT, Tmax", *(f"{what}, s" for what in seconds_of)]
    print(markdown_table(heads, rows))


def print_ssim(analysis: Analysis) -> None:
    """Print, for references that have nothing to do with a map, its correlation and SSIM in several fields of view."""
    brain, rows = analysis.brain.values, []
    generator = np.random.default_rng(0)
    for key in ("cbv", "mtt"):
        image = getattr(analysis.maps, key)
        known = brain & np.isfinite(image.values)
        for what, other in (
            ("its values, shuffled among the voxels", shuffled(image.values, known, generator)),
            ("a smooth random field of its mean and SD", random_field(image, known, generator)),
        ):
            found = similarity(image, Image(other, image.geometry, image.unit), Image(known, image.geometry))
            one, two = (np.where(known, values, 0.0).astype(float) for values in (image.values, other))
            whole, head = plain_ssim(one, two, None), plain_ssim(one, two, known)
            cells = [round(value, 2) + 0.0 for value in (found.ncc, whole, head, found.physical.ssim)]
            rows.append([key.upper(), what, *(f"{value:.2f}" for value in cells)])
    share = 100.0 * (1.0 - brain.mean())
    heads = [
        "NCC",
        f"SSIM, whole grid ({share:.0f} % background)",
        "SSIM, cropped to the brain's box",
        "SSIM, brain mask",
    ]
    print(markdown_table(["map", "compared with", *heads], rows))


def plain_ssim(one: FloatArray, two: FloatArray, box_of: MaskArray | None) -> float:
    """Return the SSIM of volumes with their background of zeros as scikit-image gives it with its defaults."""
    from scipy.ndimage import find_objects
    from skimage.metrics import structural_similarity

    if box_of is not None:
        box = find_objects(box_of.astype(np.uint8))[0]
        one, two = one[box], two[box]
    span = float(max(one.max(), two.max()) - min(one.min(), two.min()))
    return float(structural_similarity(one, two, data_range=span))


def shuffled(values: FloatArray, known: MaskArray, generator: np.random.Generator) -> FloatArray:
    other = np.full(values.shape, np.nan)
    other[known] = generator.permutation(values[known])
    return other


def random_field(image: Image, known: MaskArray, generator: np.random.Generator) -> FloatArray:
    """Return a Gaussian field of the map's mean and SD, made orthogonal to the map."""
    from scipy.ndimage import gaussian_filter

    noise = generator.standard_normal(image.values.shape)
    field = gaussian_filter(noise, FIELD_MM / np.asarray(image.geometry.spacing_zyx_mm))[known]
    map_values = image.values[known].astype(float)
    centred = map_values - map_values.mean()
    field -= field.mean()
    field -= centred * (field @ centred) / (centred @ centred)
    other = np.full(image.values.shape, np.nan)
    other[known] = map_values.mean() + field * map_values.std() / field.std()
    return other


if __name__ == "__main__":
    main()
