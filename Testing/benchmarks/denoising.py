"""Which denoising is best: every method and strength on the same heads at 4, 6 and 8 HU noise.

Usage: python Testing/benchmarks/denoising.py
"""

from __future__ import annotations

import statistics
from typing import Any

from PyPeTLib.phantom import HeadOptions, head_phantom
from PyPeTLib.pipeline import analyze
from PyPeTLib.settings import Settings
from PyPeTLib.truth import compare_with_truth

CANDIDATES: tuple[dict[str, Any], ...] = (
    {"denoise": "none"},
    {"denoise": "curvature-flow"},
    {"denoise": "gaussian", "gaussian_sigma_mm": 2.0},
    {"denoise": "gaussian", "gaussian_sigma_mm": 2.5},
    {"denoise": "gaussian", "gaussian_sigma_mm": 4.0},
    {"denoise": "bilateral", "bilateral_sigma_mm": 5.0},
    {"denoise": "bilateral", "bilateral_sigma_mm": Settings().bilateral_sigma_mm},
    {"denoise": "bilateral", "bilateral_sigma_mm": 9.0},
    {"denoise": "bilateral", "bilateral_sigma_mm": Settings().bilateral_sigma_mm, "bilateral_similarity": 3.5},
)
COLUMNS = ("cbv_r", "cbf_r", "mtt_r", "tmax_r", "tmax_dice")
NOISE_HU = (4.0, 6.0, 8.0)
SEEDS = (1000, 1001)


def main() -> None:
    heads = {
        noise: [
            head_phantom(HeadOptions(noise_hu=noise, seed=seed, size=(180, 180, 12), spacing_mm=(1.1, 1.1, 8.0)))
            for seed in SEEDS
        ]
        for noise in NOISE_HU
    }
    print("| denoising | noise, HU | CBV r | CBF r | MTT r | Tmax r | Dice of Tmax > 6 s | s |")
    print("|---|---|---|---|---|---|---|---|")
    for changes in CANDIDATES:
        words = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in changes.values())
        for noise, phantoms in heads.items():
            analyses = [analyze(phantom.series, Settings(**changes), force=True) for phantom in phantoms]
            figures = [compare_with_truth(one, phantom) for one, phantom in zip(analyses, phantoms, strict=True)]
            cells = [statistics.mean(figure[column] for figure in figures) for column in COLUMNS]
            seconds = statistics.mean(one.seconds["denoising"] + one.seconds["reading curves"] for one in analyses)
            print(
                f"| {words} | {noise:g} | " + " | ".join(f"{cell:.2f}" for cell in cells) + f" | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
