"""How well lesions, their side and the mid-sagittal plane are found in heads that were not looked at, in Markdown.

Usage: python Testing/benchmarks/lesions.py [--planes [--tilt DEGREES] [--slices N] | --draws N] [--seeds N]
       [--noise-hu HU] [--noise-texture NAME] [--peak-hu HU] [--jitter-hu HU] [--method NAME] [--set NAME=VALUE ...]

Without an option: 16×220×220×55 heads, lesions left and right, a line a head, volumes in mL: truth → found (bounds).
With ``--draws``: how errors differ between N scans of the same head, whose noise alone differs, and between heads.
With ``--planes``: only the plane, of small heads tilted by 15° (``--tilt``) about an axis of every direction, of which
the scan shows a slab of 20 mm with ``--slices``.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any, get_args

import numpy as np
from accuracy import head, row

from PyPeTLib.analysis import Analysis, Maps, Volume
from PyPeTLib.brain import brain_mask
from PyPeTLib.geometry import Image
from PyPeTLib.lesions import find_lesions
from PyPeTLib.midsagittal import find_midplane
from PyPeTLib.phantom import HeadOptions, Phantom, head_phantom
from PyPeTLib.phantom_options import NOISE_TEXTURES
from PyPeTLib.pipeline import analyze
from PyPeTLib.settings import DeconvolutionMethod, Settings, parse_assignment
from PyPeTLib.truth import compare_midplanes, true_midplane, true_volumes

#: Seeds up to 211 were looked at while the step was made, and 1000 to 1005 with an early state of it; these were not,
#: but for the bounds, whose first form was given up after it failed on 2000 to 2005.
FIRST_SEED = 2000
VOLUMES = {
    "core": "Core",
    "hypoperfusion": "Tmax > 6 s",
    "mismatch": "Mismatch",
    "tmax_over_4s": "Tmax > 4 s",
    "tmax_over_8s": "Tmax > 8 s",
    "rcbf_below_20": "rCBF < 20 %",
    "rcbf_below_38": "rCBF < 38 %",
}
#: What is asked for: within this share or this volume of truth, where truth is in this range.
SHARE, LEAST_ML, RANGE_ML = 0.05, 1.0, (5.0, 150.0)
SMALL: dict[str, Any] = {
    "size": (160, 160, 14), "spacing_mm": (1.25, 1.25, 8.0), "frames": 2, "interval_s": 4.0, "noise_hu": 1.0,
}  # fmt: skip
SLAB_MM = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6, help="number of heads")
    parser.add_argument("--noise-hu", type=float, default=6.0, help="noise of the scan")
    parser.add_argument("--noise-texture", default=HeadOptions().noise_texture, choices=NOISE_TEXTURES, help="its kind")
    parser.add_argument("--peak-hu", type=float, default=HeadOptions().bolus_peak_hu, help="height of the bolus")
    parser.add_argument("--jitter-hu", type=float, default=0.0, help="SD of the level of frames")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting")
    parser.add_argument("--method", default=Settings().method, choices=get_args(DeconvolutionMethod))
    parser.add_argument("--planes", action="store_true", help="only the mid-sagittal plane, tilted heads")
    parser.add_argument("--tilt", type=float, default=15.0, help="how far these are tilted, in degrees")
    parser.add_argument("--draws", type=int, default=0, help="scans of each head, and only how their errors differ")
    parser.add_argument(
        "--slices", type=int, default=0, help=f"slices of a slab of {SLAB_MM:.0f} mm; 0: the whole head"
    )
    options = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    if options.planes:
        print_planes(seeds, options.tilt, options.slices)
    else:
        scan = {"noise_hu": options.noise_hu, "noise_texture": options.noise_texture, "bolus_peak_hu": options.peak_hu}
        settings = Settings(method=options.method).changed(dict(parse_assignment(text) for text in options.set))
        scan["jitter_hu"] = options.jitter_hu
        print_draws(seeds, options.draws, scan, settings) if options.draws else print_volumes(seeds, scan, settings)


def print_volumes(seeds: range, scan: dict[str, Any], settings: Settings) -> None:
    """Print a line a head, then how many volumes are as near the truth as asked for, found and of the true maps."""
    head("head", [*VOLUMES.values(), "side", "plane, °", "plane, mm", "SD of the delay, s"])
    found: dict[str, list[tuple[float, Volume, float]]] = {name: [] for name in VOLUMES}
    for seed in seeds:
        side = "left" if seed % 2 else "right"
        phantom = head_phantom(HeadOptions(seed=seed, lesion_side=side, **scan))
        analysis = analyze(phantom.series, settings)
        true, of_truth = true_volumes(phantom, settings), volumes_of_truth(phantom, analysis)
        for name in VOLUMES:
            found[name].append((true[name], analysis.lesions.volumes_ml[name], of_truth[name].ml))
        cells = [f"{shown(found[name][-1][0])} → {with_interval(found[name][-1][1])}" for name in VOLUMES]
        told = f"{side}, found" if analysis.lesions.side == side else f"{side}, not {analysis.lesions.side}"
        row(f"seed {seed}", [*cells, told, *plane_cells(phantom, analysis), delay_sd(analysis)])
    for title, count in (
        ("median error", lambda one: percent(statistics.median(v.ml / t - 1 for t, v, _ in asked(one)))),
        ("as near as asked for", lambda one: share_of(near(t, v.ml) for t, v, _ in asked(one))),
        (
            "bounds hold",
            lambda one: share_of(v.low_ml <= t <= v.high_ml for t, v, _ in asked(one) if v.high_ml == v.high_ml),
        ),
        ("the same on the true maps", lambda one: share_of(near(t, own) for t, _, own in asked(one))),
    ):
        row(title, [count(one) if asked(one) else "" for one in found.values()] + [""] * 4)


def print_draws(seeds: range, draws: int, scan: dict[str, Any], settings: Settings) -> None:
    """Print the mean error of each head and the SD between its scans; then what each is over all heads, and bounds."""
    head(f"mean of {draws} scans (SD)", list(VOLUMES.values()))
    errors = np.full((len(seeds), draws, len(VOLUMES)), np.nan)
    held, widths = errors.copy(), errors.copy()
    for at, seed in enumerate(seeds):
        for draw in range(draws):
            side = "left" if seed % 2 else "right"
            phantom = head_phantom(HeadOptions(seed=seed, lesion_side=side, noise_draw=draw, **scan))
            found, true = analyze(phantom.series, settings).lesions.volumes_ml, true_volumes(phantom, settings)
            each = [(found[name], true[name]) for name in VOLUMES]
            errors[at, draw] = [volume.ml / ml - 1 if ml else np.nan for volume, ml in each]
            held[at, draw] = [volume.low_ml <= ml <= volume.high_ml for volume, ml in each]
            widths[at, draw] = [(volume.high_ml - volume.low_ml) / ml if ml else np.nan for volume, ml in each]
        mean, sd = errors[at].mean(axis=0), errors[at].std(axis=0, ddof=1)
        row(f"seed {seed}", [f"{percent(m)} ({percent(s)})" for m, s in zip(mean, sd, strict=True)])
    overall, within = errors.mean(axis=1).mean(axis=0), np.sqrt(errors.var(axis=1, ddof=1).mean(axis=0))
    row("mean of all", [percent(one) for one in overall])
    row("SD between scans of a head", [percent(one) for one in within])
    row("SD between heads", [percent(one) for one in errors.mean(axis=1).std(axis=0, ddof=1)])
    row(f"scans within {percent(SHARE)}", [percent(one) for one in (np.abs(errors) <= SHARE).mean(axis=(0, 1))])
    row("bounds hold", [percent(one) for one in held.mean(axis=(0, 1))])
    row("width of the bounds / truth, median", [f"{one:.2f}" for one in np.median(widths, axis=(0, 1))])


def print_planes(seeds: range, tilt_degrees: float, slices: int) -> None:
    """Print angle and distance between found and true plane of heads tilted about axes of all directions."""
    head("head", ["tilt about x, y, z, °", "angle, °", "distance, mm"])
    for seed in seeds:
        way = np.random.default_rng(seed).standard_normal(3)
        way = np.eye(3)[seed % 4] if seed % 4 in (1, 2) else way
        tilt = tilt_degrees * way / np.linalg.norm(way)
        scan = {**SMALL, "size": (160, 160, slices), "spacing_mm": (1.25, 1.25, SLAB_MM / slices)} if slices else SMALL
        options = HeadOptions(seed=seed, tilt_degrees=tuple(float(angle) for angle in tilt), **scan)
        series = head_phantom(options).series
        mean_hu = series.values.mean(axis=0, dtype=np.float32)
        brain = brain_mask(mean_hu, series.geometry, settings=Settings())
        plane = find_midplane(mean_hu[brain.values], brain.values, series.geometry, settings=Settings())
        cells = ["not found", ""]
        if plane is not None:
            cells = [f"{value:.2f}" for value in compare_midplanes(plane, true_midplane(options), brain)]
        row(f"seed {seed}", [", ".join(f"{angle:.0f}" for angle in tilt), *cells])


def volumes_of_truth(phantom: Phantom, analysis: Analysis) -> dict[str, Volume]:
    """Return the volumes found in the true maps: what is lost is the step's own, by masks, plane and clusters."""
    truth, geometry = phantom.truth, phantom.series.geometry
    maps = Maps(**{name: truth[name] for name in ("cbf", "cbv", "mtt", "tmax", "delay")}, ttp=truth["tmax"])
    tissue, vessels = analysis.tissue.values, analysis.vessels.values
    plane, settings = analysis.lesions.midplane, analysis.settings
    return dict(find_lesions(maps, tissue, vessels, plane, geometry, settings=settings).volumes_ml)


def delay_sd(analysis: Analysis) -> str:
    """Return the value of the check that doubts timing; a dash where the method gives no SD."""
    values = [check.value for check in analysis.checks if check.name == "timing" and check.value is not None]
    return f"{values[0]:.2f}" if values else "–"


def plane_cells(phantom: Phantom, analysis: Analysis) -> list[str]:
    if analysis.lesions.midplane is None:
        return ["not found", ""]
    brain: Image = phantom.masks["brain"]
    return [f"{v:.2f}" for v in compare_midplanes(analysis.lesions.midplane, true_midplane(phantom.options), brain)]


def asked(volumes: list[tuple[float, Volume, float]]) -> list[tuple[float, Volume, float]]:
    """Return those whose truth is of a size that is asked for."""
    return [one for one in volumes if RANGE_ML[0] <= one[0] <= RANGE_ML[1]]


def percent(share: float) -> str:
    return f"{round(100 * share)} %".replace("-", "−")


def near(true_ml: float, found_ml: float) -> bool:
    return abs(found_ml - true_ml) <= max(SHARE * true_ml, LEAST_ML)


def share_of(what: Any) -> str:
    held = list(what)
    return f"{sum(held)} of {len(held)}"


def with_interval(volume: Volume) -> str:
    known = np.isfinite(volume.low_ml)
    return shown(volume.ml) + (f" ({shown(volume.low_ml)} to {shown(volume.high_ml)})" if known else "")


def shown(value: float) -> str:
    return f"{value:.1f}"


if __name__ == "__main__":
    main()
