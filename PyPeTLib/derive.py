"""Optional post-processing of the maps, as outputs of their own."""

from __future__ import annotations

import numpy as np

from PyPeTLib.analysis import Maps
from PyPeTLib.geometry import Image
from PyPeTLib.settings import Settings
from PyPeTLib.smoothing import gaussian_in_mask

#: Maps that have a meaningful ratio to their mean; times of arrival do not.
RELATIVE = ("cbf", "cbv", "mtt")


def derived_maps(maps: Maps, brain: Image, *, settings: Settings) -> dict[str, Image]:
    """Return smoothed maps (``cbf_smooth`` ...) and maps divided by their brain mean (``cbf_relative`` ...).

    Parameters
    ----------
    maps : Maps
        The maps; not changed.
    brain : Image
        Smoothing and mean stay inside this mask.
    settings : Settings
        ``map_smoothing_mm`` (0: none) and ``normalise``.
    """
    derived: dict[str, Image] = {}
    for name, image in maps.items():
        if settings.map_smoothing_mm > 0:
            derived[f"{name}_smooth"] = _smoothed(image, settings.map_smoothing_mm)
        if settings.normalise == "brain-mean" and name in RELATIVE:
            mean = float(np.nanmean(image.values[brain.values]))
            derived[f"{name}_relative"] = Image(image.values / np.float32(mean), image.geometry, "of the brain mean")
    return derived


def _smoothed(image: Image, sigma_mm: float) -> Image:
    """Smooth where the map has values; nothing leaks in from outside."""
    valid = np.isfinite(image.values)
    values = np.full(image.values.shape, np.nan, dtype=np.float32)
    values[valid] = gaussian_in_mask(image.values[valid][:, None], valid, image.geometry.spacing_zyx_mm, sigma_mm)[:, 0]
    return Image(values, image.geometry, image.unit)
