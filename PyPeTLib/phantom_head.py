"""The digital head: smooth distance fields on a coarse grid, turned into labels on any fine grid.

Head coordinates are mm in LPS directions (x to the left, y to the back, z up), origin between the foramina of Monro.
Every field is a signed distance in mm, negative inside; trilinear sampling of smooth distances keeps
surfaces sub-voxel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Geometry, MaskArray, read_only
from PyPeTLib.phantom_anatomy import Fields, draw_fields
from PyPeTLib.phantom_shapes import resample
from PyPeTLib.smoothing import bounding_box

Labels = npt.NDArray[np.uint8]

#: Labels are made for so many fine voxels at a time, which bounds memory.
CHUNK_VOXELS = 3_000_000

#: So far from the inside of the skull all is bone, in mm.
LINING_MM = 2.0

#: Fields that tell what lies around the brain.
AROUND = frozenset({"inner", "outer", "bone", "air", "eye", "muscle"})

#: Delays come in so many steps within each territory.
STEPS = 16
ARTERY_STEPS = 8


class Label(IntEnum):
    """What a fine voxel consists of; ranges of labels hold one step of delay each."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    SKIN = 3
    BONE = 4
    DIPLOE = 5
    CSF = 6
    EYE = 7
    CLOT = 8
    VEIN = 9
    ARTERY = 16
    LATE_ARTERY = 24
    GRAY = 32
    WHITE = 48
    PENUMBRA_GRAY = 64
    PENUMBRA_WHITE = 80
    CORE_GRAY = 96
    CORE_WHITE = 112
    COUNT = 128


@dataclass(frozen=True)
class Head:
    """One subject.

    Parameters
    ----------
    fields : mapping of str to ndarray, shape (z, y, x)
        Distance fields in mm on the coarse grid; ``"step"`` is 0..1, from early to late arrival.
    to_head : ndarray, shape (3, 3)
        Maps patient coordinates to head coordinates (size and tilt of this head).
    lesion_sign : int
        +1 left, -1 right, 0 none.
    """

    fields: Mapping[str, FloatArray]
    to_head: FloatArray
    lesion_sign: int


@lru_cache(maxsize=2)
def build_head(*, seed: int, lesion_sign: int, tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Head:
    """Draw one head: size, tilt, folds, asymmetry, and place and size of the lesion.

    Parameters
    ----------
    seed : int
        Draws everything random.
    lesion_sign : int
        +1 lesion on the patient's left (+x), -1 right, 0 none.
    tilt_degrees : tuple of float
        Rotation vector of the head in patient space, on top of the few degrees that are drawn.

    Returns
    -------
    Head
        Fields for `label_head`; the last two heads are remembered.
    """
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.95, 1.01, 3)
    tilt = rotation(np.asarray(tilt_degrees)) @ rotation(rng.uniform(-3.0, 3.0, 3))
    fields = draw_fields(rng, lesion_sign=lesion_sign)
    still = {name: read_only(np.asarray(field, np.float32)) for name, field in fields.items()}
    return Head(still, np.diag(1.0 / scale) @ tilt.T, lesion_sign)


def label_head(head: Head, geometry: Geometry) -> tuple[Labels, MaskArray]:
    """Label a fine grid without vessels.

    Parameters
    ----------
    head : Head
        The subject.
    geometry : Geometry
        Fine grid in patient coordinates.

    Returns
    -------
    labels : ndarray of uint8, shape (z, y, x)
        `Label` of each fine voxel.
    inside : ndarray of bool, shape (z, y, x)
        Everything inside the skull.
    """
    labels = np.empty(geometry.shape, np.uint8)
    inside = np.empty(geometry.shape, bool)
    slices = max(1, CHUNK_VOXELS // (geometry.size[0] * geometry.size[1]))
    for start in range(0, geometry.size[2], slices):
        part = crop_slices(geometry, start, min(slices, geometry.size[2] - start))
        here = slice(start, start + part.size[2])
        labels[here], inside[here] = _label_chunk(head, part)
    return labels, inside


def crop_slices(geometry: Geometry, start: int, count: int) -> Geometry:
    """Return the grid of ``count`` slices from ``start``, which may be negative."""
    columns, rows, _ = geometry.size
    return crop_box(geometry, (slice(start, start + count), slice(0, rows), slice(0, columns)))


def crop_box(geometry: Geometry, box: tuple[slice, ...]) -> Geometry:
    """Return the grid of a box (z, y, x) of another; slices have both ends."""
    first, stop = (np.array([getattr(one, end) for one in reversed(box)]) for end in ("start", "stop"))
    origin = np.asarray(geometry.origin_mm) + geometry.axes @ (first * geometry.spacing_mm)
    x, y, z = (int(count) for count in stop - first)
    return replace(geometry, size=(x, y, z), origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])))


def rotation(degrees: FloatArray) -> FloatArray:
    """Return the 3×3 rotation about the axis ``degrees`` by its length in degrees."""
    x, y, z = np.deg2rad(np.asarray(degrees, dtype=float))
    angle = float(np.sqrt(x * x + y * y + z * z))
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(
        np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / 2 / np.pi) ** 2 * cross @ cross
    )


# --- labels ---------------------------------------------------------------------------------------------------------


def _label_chunk(head: Head, geometry: Geometry) -> tuple[Labels, MaskArray]:
    def on_grid(names: Iterable[str], grid: Geometry) -> Fields:
        return {name: resample(head.fields[name], head.to_head, grid) for name in names}

    around = on_grid(AROUND, geometry)
    inside = (around["inner"] < 0) & (around["bone"] > 0)
    labels = _outside_labels(around)
    if inside.any():  # what the other fields are elsewhere nobody asks
        box = bounding_box(inside)
        there = inside[box]
        brain = on_grid(head.fields.keys() - AROUND, crop_box(geometry, box))
        brain["inner"] = around["inner"][box]
        labels[box][there] = _brain_labels({name: field[there] for name, field in brain.items()})
    return labels, inside


def _outside_labels(on_grid: Fields) -> Labels:
    """Label head and air as if there were no brain."""
    labels = np.where(on_grid["outer"] < 0, Label.FAT, Label.AIR).astype(np.uint8)
    labels[(on_grid["outer"] < 0) & (on_grid["muscle"] < 0)] = Label.MUSCLE
    labels[(on_grid["outer"] < 0) & (on_grid["outer"] > -2.2)] = Label.SKIN
    lining = np.abs(on_grid["inner"] - LINING_MM / 2) <= LINING_MM / 2  # sampled fields leave gaps otherwise
    bone = ((on_grid["bone"] < 0) | lining) & (on_grid["outer"] < -2.2)
    labels[bone] = Label.BONE
    labels[bone & (on_grid["bone"] < -2.0)] = Label.DIPLOE
    labels[on_grid["eye"] < 0] = Label.EYE
    labels[(on_grid["air"] < 0) & (on_grid["inner"] > 0)] = Label.AIR
    return labels


def _brain_labels(at: Fields) -> Labels:
    """Label what lies inside the skull, shape (voxel,)."""
    depth, cerebellum = at["depth"], at["tentorium"] < 0
    limit = np.where(cerebellum, 9.0, 15.0)
    sheet = np.abs(at["folds"]) + np.maximum(depth - limit, 0)
    wide = np.where(cerebellum, 0.25, np.maximum(1.2 - 0.05 * depth, 0.4))
    ribbon = np.where(cerebellum, 1.6, 2.7)
    white = (np.minimum(depth - 1.6, at["cisterns"]) > ribbon) & (sheet > wide + ribbon) & (at["gray"] > 0)
    group = np.where(at["core"] < 0, Label.CORE_GRAY, np.where(at["hypoperfused"] < 0, Label.PENUMBRA_GRAY, Label.GRAY))
    step = np.minimum((at["step"] * STEPS).astype(np.uint8), STEPS - 1)
    labels: Labels = (group + STEPS * white + step).astype(np.uint8)
    fluid = (at["inner"] > -1.7) | (at["ventricles"] < 0) | (at["cisterns"] < 0) | (sheet < wide)
    fluid |= (np.abs(at["midline"]) < 0.9) & (depth < 3.0) | ((np.abs(at["tentorium"]) < 0.8) & (at["stem"] > 2.5))
    labels[fluid & ~((at["stem"] < 0) & (at["ventricles"] > 0) & (at["inner"] < -1.7))] = Label.CSF
    return labels
