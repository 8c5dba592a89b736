"""Draw the icon PyPeT.png: an axial brain from cold to warm inside a skull, with the curve of a passing bolus.

Run ``python Testing/make_icon.py``; the same script gives the same picture.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

#: Edge of the icon in pixels, and samples along the edge of a pixel.
SIZE, SAMPLES = 128, 6
#: Colours from little to much flow, at even distances, and those of skull and curve.
FLOW = ("#27215f", "#7b2a9a", "#e0446b", "#ff9a3c", "#ffd166")
SKULL, CURVE = "#64748b", "#ffffff"

Plane = npt.NDArray[np.float64]


def main() -> None:
    """Write the icon at the top of the repository."""
    path = Path(__file__).resolve().parents[1] / "PyPeT.png"
    sitk.WriteImage(sitk.GetImageFromArray(icon(), isVector=True), str(path))


def icon() -> npt.NDArray[np.uint8]:
    """Return the icon as RGBA, shape (row, column, 4)."""
    edge = (np.arange(SIZE * SAMPLES) + 0.5) / (SIZE * SAMPLES) * 2 - 1
    x, y = np.meshgrid(edge, -edge)
    skull = (head(x, y, 0.985) <= 0) & (head(x, y, 0.865) > 0)
    brain = (head(x, y, 0.80) <= 0) & ~fissure(x, y)
    picture = np.zeros((*x.shape, 4))
    picture[skull] = (*rgb(SKULL), 1.0)
    picture[brain, :3], picture[brain, 3] = flow_colours(x, y)[brain], 1.0
    curve = brain & (distance_to_bolus(x, y) < 0.075)
    picture[curve] = (*rgb(CURVE), 1.0)
    return reduced(picture)


def head(x: Plane, y: Plane, size: float) -> Plane:
    """Return a function that is negative inside a head seen from below: an egg, wider at the back."""
    width = 0.86 - 0.07 * y
    return np.abs(x / width) ** 2.2 + np.abs(y) ** 2.2 - size**2.2


def fissure(x: Plane, y: Plane) -> npt.NDArray[np.bool_]:
    """Return the gap between the hemispheres, at front and back."""
    return (np.abs(x) < 0.045) & ((y > 0.56) | (y < -0.6))


def flow_colours(x: Plane, y: Plane) -> Plane:
    """Return the gradient from the cold lower left to the warm upper right, shape (row, column, 3)."""
    share = np.clip(0.5 + 0.52 * x + 0.3 * y, 0, 1)
    stops = np.linspace(0, 1, len(FLOW))
    return np.stack([np.interp(share, stops, channel) for channel in np.transpose([rgb(c) for c in FLOW])], axis=-1)


def distance_to_bolus(x: Plane, y: Plane) -> Plane:
    """Return the distance to the bolus curve, a gamma-variate."""
    at = np.linspace(-0.9, 0.9, 160)
    s = np.maximum(at + 0.54, 0) / 0.34
    height = -0.34 + 0.68 * (s * np.exp(1 - s)) ** 2.6
    nearest = np.full(x.shape, np.inf)
    for px, py in zip(at, height, strict=True):
        np.minimum(nearest, (x - px) ** 2 + (y - py) ** 2, out=nearest)
    return np.sqrt(nearest)


def rgb(colour: str) -> tuple[float, ...]:
    """Return red, green and blue from 0 to 1."""
    return tuple(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))


def reduced(picture: Plane) -> npt.NDArray[np.uint8]:
    """Return the mean of each pixel's samples, colours weighted by opacity."""
    picture = picture.copy()
    picture[..., :3] *= picture[..., 3:]
    mean = picture.reshape(SIZE, SAMPLES, SIZE, SAMPLES, 4).mean(axis=(1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-9)
    return np.round(255 * mean).astype(np.uint8)


if __name__ == "__main__":
    main()
