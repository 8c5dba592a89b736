"""A skull with a gap in a slice (craniectomy, burr hole, fracture): what it would hold if it were whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.morphology import large_parts

#: Directions in which the inner surface of the skull is measured: 2° are 2.5 mm at 70 mm.
DIRECTIONS = 180
#: Smaller pieces of bone, in mm², are calcifications of falx, pineal body or choroid plexus, or a drain.
SMALLEST_PIECE_MM2 = 100.0
#: Bone in fewer directions than this share is no skull: 15 cm without bone leave two thirds, a face or neck less.
LEAST_BONE = 0.55
#: Where a skull surrounds brain its inner surface lies so near an ellipse, in mm (median): not so at the base.
LARGEST_DEVIATION_MM = 3.0
#: Least share of soft tissue in what a skull holds: the rest is bone or air of the base, or air after surgery.
LEAST_SOFT = 0.85
#: Bone that is missing on one side moves the middle of the rest: so often the middle is that of the outline found.
CENTRINGS = 5
#: The edge of a gap slants, up to so far from it in mm.
EDGE_MM = 6.0
#: Inner surface of the skull beside a gap, in directions, over which its place is averaged.
AVERAGED = 5
#: Below this is the air around a head, in HU.
AIR_HU = -400.0
#: Where the bone encloses this share of what the skull would hold, it is whole.
OPEN_SHARE = 0.5


def inside_open_skull(
    frame: npt.NDArray[Any], bone: MaskArray, enclosed: MaskArray, pixel_mm: tuple[float, ...], *, soft: MaskArray
) -> MaskArray:
    """Return what the skull of one slice would hold without its gaps, bool; nothing where it has none.

    The inner surface of the skull is followed from the middle in all directions. Across gaps it continues as the
    ellipse that fits it best, moved to where it is beside the gap. What is no further from the air around the head than
    the surface of the bone is elsewhere counts as scalp: over a gap it may have sunk in.

    Parameters
    ----------
    frame, bone : ndarray, shape (y, x)
        HU, and where there is bone.
    enclosed : ndarray of bool, shape (y, x)
        What the bone encloses already, the bone included; where this is most of it, the skull is whole.
    pixel_mm : tuple of float
        Rows and columns.
    soft : ndarray of bool, shape (y, x)
        Neither bone nor air.
    """
    nothing = np.zeros_like(bone)
    if enclosed.sum() > 2 * bone.sum():
        return nothing
    pieces = large_parts(bone, SMALLEST_PIECE_MM2, float(np.prod(pixel_mm)))  # others are no skull
    outline = _outline(pieces, pixel_mm) if pieces.any() else None
    if outline is None:
        return nothing
    inside = _within(bone.shape, *outline, pixel_mm) & ~pieces
    if (inside & enclosed).sum() >= OPEN_SHARE * inside.sum() or (inside & soft).sum() < LEAST_SOFT * inside.sum():
        return nothing
    return inside & ~_scalp(frame, pieces, outline[0], pixel_mm)


def _outline(bone: MaskArray, pixel_mm: tuple[float, ...]) -> tuple[FloatArray, FloatArray] | None:
    """Return the middle of a skull and the distance in mm to its inner surface in every direction, if it is one."""
    places: FloatArray = np.argwhere(bone) * pixel_mm
    middle: FloatArray = 0.5 * (places.min(axis=0) + places.max(axis=0))
    for _ in range(CENTRINGS):
        surface = _continued(_least(np.hypot(*(places - middle).T), places - middle) - 0.5 * max(pixel_mm))
        if surface is None:
            return None
        found, middle = (middle, surface), middle + (surface * [np.sin(_angles()), np.cos(_angles())]).mean(axis=1)
    return found


def _angles() -> FloatArray:
    return (np.arange(DIRECTIONS) + 0.5) * 2.0 * np.pi / DIRECTIONS


def _least(values: FloatArray, places: FloatArray) -> FloatArray:
    """Return the least value in every direction in which there are places; infinity in the others."""
    angles = np.arctan2(places[:, 0], places[:, 1]) % (2.0 * np.pi)
    direction = np.minimum((angles * DIRECTIONS / (2.0 * np.pi)).astype(int), DIRECTIONS - 1)
    least = np.full(DIRECTIONS, np.inf)
    np.minimum.at(least, direction, values)
    return least


def _continued(inner: FloatArray) -> FloatArray | None:
    """Return the distance to the inner surface with its gaps closed; None where it is that of no skull."""
    from scipy import ndimage

    there = np.isfinite(inner)
    if there.mean() < LEAST_BONE:
        return None
    reach = round(EDGE_MM * DIRECTIONS / (2.0 * np.pi * max(float(np.median(inner[there])), EDGE_MM)))
    beside = ~ndimage.maximum_filter1d(~there, 2 * reach + 1, mode="wrap")
    ellipse = _ellipse(inner, beside) if beside.mean() >= 0.5 * LEAST_BONE else None
    if ellipse is None:
        return None
    apart = inner[beside] - ellipse[beside]
    if np.median(np.abs(apart)) > LARGEST_DEVIATION_MM:
        return None
    near = ndimage.uniform_filter1d(apart, AVERAGED, mode="wrap")
    whole = ellipse + np.interp(_angles(), _angles()[beside], near, period=2.0 * np.pi)
    return np.asarray(np.where(beside, inner, np.minimum(inner, whole)))


def _ellipse(inner: FloatArray, known: MaskArray) -> FloatArray | None:
    """Return the distance to the ellipse that fits the known distances best; None where it is none.

    Seen from near its middle the squared inverse distance to an ellipse is a sum of the first two waves of the angle.
    """
    waves = np.stack([np.ones(DIRECTIONS), *(f(k * _angles()) for k in (1, 2) for f in (np.cos, np.sin))])
    weights = np.where(known, inner, 0.0) ** 2  # so that an error, as a share of the distance, counts alike
    found = np.linalg.lstsq((waves * weights).T, known.astype(float), rcond=None)[0] @ waves
    return None if found.min() <= 0.0 else np.asarray(found**-0.5)


def _within(shape: tuple[int, ...], middle: FloatArray, surface: FloatArray, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Return the pixels that are nearer to the middle than the surface."""
    y, x = (np.arange(n) * pixel - at for n, pixel, at in zip(shape, pixel_mm, middle, strict=True))
    distance, angle = np.hypot(y[:, None], x), np.arctan2(y[:, None], x)
    return np.asarray(distance < np.interp(angle, _angles(), surface, period=2.0 * np.pi))


def _scalp(frame: npt.NDArray[Any], bone: MaskArray, middle: FloatArray, pixel_mm: tuple[float, ...]) -> MaskArray:
    """Return what is as near to the air around the head as the outer surface of the bone is in most directions."""
    from scipy import ndimage

    labels, _ = ndimage.label(np.pad(frame < AIR_HU, 1, constant_values=True))
    depth = ndimage.distance_transform_edt(labels != labels[0, 0], sampling=pixel_mm)[1:-1, 1:-1]
    outermost = _least(depth[bone], np.argwhere(bone) * pixel_mm - middle)
    return np.asarray(depth <= np.median(outermost[np.isfinite(outermost)]))
