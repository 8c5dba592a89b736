"""Pictures as a vendor's workstation makes them: a map in colour on black, with colour bar, letters and outlines."""

from __future__ import annotations

import numpy as np


def palette(name: str = "jet", steps: int = 256) -> np.ndarray:
    """Return RGB from 0 to 255 of a colour map, shape (step, 3): jet, or black, red, yellow, white."""
    x = np.linspace(0.0, 1.0, steps)
    if name == "jet":
        channels = [np.clip(1.5 - np.abs(4.0 * x - middle), 0.0, 1.0) for middle in (3.0, 2.0, 1.0)]
    else:
        channels = [np.clip(3.0 * x - k, 0.0, 1.0) for k in range(3)]
    return np.round(255.0 * np.stack(channels, axis=1)).astype(np.uint8)


def coded(values: np.ndarray, low: float, high: float, colours: np.ndarray) -> np.ndarray:
    """Return values as colours, black where they are NaN, shape (..., 3)."""
    place = (np.nan_to_num(values) - low) / (high - low) * len(colours)
    picture = colours[np.clip(place, 0, len(colours) - 1).astype(int)]
    picture[~np.isfinite(values)] = 0
    return picture


def with_bar(picture: np.ndarray, colours: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Draw an upright bar, the highest value at the top, into a box (left, top, width, height), framed in white."""
    left, top, width, height = box
    drawn = picture.copy()
    drawn[..., top - 1 : top + height + 1, left - 1 : left + width + 1, :] = 255
    rows = (np.arange(height)[::-1] + 0.5) / height * len(colours)
    drawn[..., top : top + height, left : left + width, :] = colours[rows.astype(int)][:, None]
    return drawn


def with_letters(picture: np.ndarray, at: tuple[int, int]) -> np.ndarray:
    """Draw a grey cross, as letters and outlines are."""
    y, x = at
    drawn = picture.copy()
    drawn[..., y : y + 9, x + 4, :] = 170
    drawn[..., y + 4, x : x + 9, :] = 170
    return drawn
