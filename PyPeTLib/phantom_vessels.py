"""Arteries and veins of the digital head: smooth centre lines, some drawn onto the brain's surface, stamped as tubes.

Coordinates are those of `PyPeTLib.phantom_head`: mm, x to the left, y to the back, z up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import interpolate

from PyPeTLib.geometry import FloatArray, Geometry
from PyPeTLib.phantom_head import ARTERY_STEPS, Head, Label, Labels
from PyPeTLib.phantom_shapes import GRID_LOW_MM, GRID_MM, sample

#: Distance between points on a centre line, as a share of the vessel's least width, and its limits in mm.
STEP_SHARE, STEP_MM = 0.2, (0.25, 1.0)


@dataclass(frozen=True)
class Vessel:
    """A tube.

    Parameters
    ----------
    points_mm : ndarray, shape (point, 3)
        Centre line in head coordinates.
    diameters_mm : ndarray, shape (point,)
        Width along it.
    labels : ndarray of uint8, shape (point,)
        `Label` along it.
    """

    points_mm: FloatArray
    diameters_mm: FloatArray
    labels: Labels


def build_vessels(head: Head, *, rng: np.random.Generator, artery_scale: float) -> list[Vessel]:
    """Draw the veins, then the arteries, of one head.

    Parameters
    ----------
    head : Head
        The subject; its surface carries the cortical vessels.
    rng : numpy.random.Generator
        Source of the courses.
    artery_scale : float
        Factor on the diameters of arteries.

    Returns
    -------
    list of Vessel
        In the order in which they are stamped.
    """
    vessels = _sinuses(head, rng) + _cortical_veins(head, rng)
    vessels += _external_arteries(head, artery_scale)
    for side in (1, -1):
        vessels += _arteries_of_one_side(head, rng, side, artery_scale)
    basilar = [(0.5, 12, -58), (-0.5, 4, -42), (0.5, -2, -30), (0, -4, -23)]
    return [*vessels, _tube(basilar, (3.4, 3.6, 3.5, 3.2), label=Label.ARTERY, scale=artery_scale)]


def stamp(labels: Labels, geometry: Geometry, vessels: Sequence[Vessel], to_head: FloatArray) -> None:
    """Write tubes into ``labels`` in place; later vessels win.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
        Labels of a fine grid, changed.
    geometry : Geometry
        The fine grid in patient coordinates.
    vessels : sequence of Vessel
        Tubes in head coordinates.
    to_head : ndarray, shape (3, 3)
        Maps patient to head coordinates.
    """
    to_patient = np.linalg.inv(to_head)
    for vessel in vessels:
        centre = (vessel.points_mm @ to_patient.T - geometry.origin_mm) @ geometry.axes / geometry.spacing_mm
        reach = np.ceil(vessel.diameters_mm.max() / 2 / np.asarray(geometry.spacing_mm) + 0.5).astype(int)
        close = ((centre > -reach) & (centre < geometry.size + reach)).all(axis=1)
        centre, radius_mm, own = (centre[close], vessel.diameters_mm[close] / 2, vessel.labels[close])
        near = np.rint(centre).astype(int)
        offsets = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1).reshape(-1, 3)
        voxel = near[:, None, :] + offsets
        apart = ((voxel - centre[:, None, :]) * geometry.spacing_mm) ** 2
        hit = (apart.sum(-1) <= radius_mm[:, None] ** 2) & (voxel >= 0).all(-1) & (voxel < geometry.size).all(-1)
        x, y, z = voxel[hit].T
        labels[z, y, x] = np.broadcast_to(own[:, None], hit.shape)[hit]


def _tube(
    way: npt.ArrayLike,
    diameters: Sequence[float],
    *,
    label: Label,
    scale: float = 1.0,
    delay: tuple[float, float] = (0.0, 0.0),
    head: Head | None = None,
    depth_mm: float = 0.0,
    field: str = "inner",
) -> Vessel:
    """Return a smooth tube through ``way``; with a head, its points are moved to ``depth_mm`` below the surface."""
    corners: FloatArray = np.asarray(way, dtype=float)
    path = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    step_mm = float(np.clip(STEP_SHARE * scale * min(diameters), *STEP_MM))
    along = np.linspace(0, path[-1], max(2, int(path[-1] / step_mm)))
    points: FloatArray = np.asarray(interpolate.PchipInterpolator(path, corners)(along))
    if head is not None:
        points = _to_depth(points, head, depth_mm, field)
    share = along / path[-1]
    width = np.interp(share, np.linspace(0, 1, len(diameters)), diameters) * scale
    last = ARTERY_STEPS - 1 if label in (Label.ARTERY, Label.LATE_ARTERY) else 0
    step = np.rint(np.clip(delay[0] + share * (delay[1] - delay[0]), 0, 1) * last)
    return Vessel(points, width, (label + step).astype(np.uint8))


def _to_depth(points: FloatArray, head: Head, depth_mm: float, field: str) -> FloatArray:
    """Move points along the gradient of a distance field until they lie ``depth_mm`` inside."""
    distance = head.fields[field]
    low = np.asarray(GRID_LOW_MM)
    for _ in range(4):
        index = ((points - low) / GRID_MM).T[::-1]
        value = sample(distance, index)
        steps = np.eye(3)[::-1]
        slope = np.stack(
            [sample(distance, index + s[:, None]) - sample(distance, index - s[:, None]) for s in steps], -1
        ) / (2 * GRID_MM)
        norm = np.maximum((slope**2).sum(-1), 0.2)
        points = points - slope * ((value + depth_mm) / norm)[:, None]
    return points


def _wander(rng: np.random.Generator, way: npt.ArrayLike, amount_mm: float) -> FloatArray:
    """Move the inner corners of a way a little."""
    corners = np.asarray(way, dtype=float)
    shift = rng.uniform(-amount_mm, amount_mm, corners.shape)
    shift[0] = 0
    return corners + shift


#: Way (for the left side), widths in mm, and delay as a share of the arterial range.
_TRUNKS: tuple[tuple[tuple[tuple[float, float, float], ...], tuple[float, ...], tuple[float, float]], ...] = (
    (
        ((27, 2, -95), (26, -2, -62), (24, -1, -48), (13, -6, -38), (11, -20, -34), (12, -14, -27), (12, -8, -20)),
        (4.6, 4.6, 4.2, 3.8),
        (0.0, 0.0),
    ),
    (((15, 28, -95), (17, 25, -72), (9, 18, -64), (1, 12, -58)), (2.8, 2.6), (0.0, 0.0)),
    (
        ((0, -4, -23), (9, -1, -20), (17, 10, -16), (18, 26, -9), (13, 44, -1), (8, 62, 3), (9, 74, 8)),
        (2.3, 2.0, 1.6, 1.1),
        (0.1, 1.0),
    ),
    (((12, 46, -2), (4, 58, 12), (2, 66, 24), (2, 70, 36)), (1.4, 1.0), (0.7, 1.0)),
    (((18, 22, -12), (32, 34, -12), (40, 46, -8)), (1.5, 1.0), (0.4, 0.9)),
    (((12, -8, -20), (4, -17, -18), (2, -24, -13), (1.8, -36, -4), (1.8, -43, 10)), (2.4, 2.2, 1.9), (0.05, 0.3)),
    (((1.8, -43, 10), (1.8, -34, 27), (1.8, -8, 35), (1.8, 24, 31)), (1.8, 1.6, 1.2), (0.3, 0.7)),
    (((1.8, -43, 8), (2, -58, 20), (2, -45, 44), (2, -15, 52), (2, 6, 62)), (1.5, 1.2, 1.0), (0.4, 0.9)),
    (((1.8, -38, -2), (2, -56, -4), (3, -70, 6)), (1.3, 1.0), (0.3, 0.8)),
    (((12, -8, -20), (19, -10, -18), (27, -9, -17)), (3.0, 2.8), (0.05, 0.1)),
)
_END_OF_M1 = ((27, -9, -17), (31, -8, -16), (36, -6, -13))
#: Where branches leave the insula: height and place from front to back in mm.
_INSULAR_EXITS = ((14.0, 12.0), (12.0, 1.0), (4.0, -9.0), (17.0, -4.0), (9.0, 17.0), (-5.0, 8.0), (-6.0, -8.0))


def _arteries_of_one_side(head: Head, rng: np.random.Generator, side: int, scale: float) -> list[Vessel]:
    """Carotid, circle of Willis, cerebral arteries; occluded at the end of M1 on the side of the lesion."""
    flip = np.array([side, 1, 1])
    occluded = side == head.lesion_sign
    vessels = [
        _tube(_wander(rng, way, 0.8) * flip, widths, label=Label.ARTERY, scale=scale, delay=delay)
        for way, widths, delay in _TRUNKS
    ]
    end = _wander(rng, _END_OF_M1, 0.8) * flip
    label = Label.CLOT if occluded else Label.ARTERY
    vessels.append(_tube(end, (2.8, 2.6), label=label, scale=scale, delay=(0.1, 0.15)))
    beyond = Label.LATE_ARTERY if occluded else Label.ARTERY
    for turn in _INSULAR_EXITS:
        vessels += _insular_branch(head, rng, side, scale, beyond, turn)
    return vessels


def _insular_branch(
    head: Head, rng: np.random.Generator, side: int, scale: float, label: Label, turn: tuple[float, float]
) -> list[Vessel]:
    """M2 over the insula, M3 out through the fissure, M4 and its branches on the surface."""
    z, y = turn
    flip = np.array([side, 1, 1])
    insula = np.array([(36, -6, -13), (38.5, 0.4 * y - 4, 0.3 * z - 8), (39, y, 0.6 * z - 2), (40, y + 3, z)])
    outlet = np.array([(40, y + 3, z), (48, y + 6, z - 3), (60, y + 8, z - 1)])
    target = np.array([60.0, y * 3.4 + 4, z + (z - 6) * 2.6])
    middle = 0.5 * (target + outlet[2]) + rng.uniform(-6, 6, 3)
    vessels = [
        _tube(_wander(rng, insula, 1.0) * flip, (2.3, 1.9, 1.7), label=label, scale=scale, delay=(0.15, 0.4)),
        _tube(_wander(rng, outlet, 1.5) * flip, (1.7, 1.5), label=label, scale=scale, delay=(0.4, 0.55)),
    ]
    for spread in (-16.0, -2.0, 14.0):
        end = target + np.array([-4.0, spread, 10 * np.sign(target[2] - z)])
        way = _wander(rng, np.stack([outlet[2], middle, end, end + (end - middle) * 0.6]), 3.0) * flip
        widths, delay = (1.5, 1.3, 1.0), (0.55, 1.0)
        vessels.append(_tube(way, widths, label=label, scale=scale, delay=delay, head=head, depth_mm=2.0))
    return vessels


def _external_arteries(head: Head, scale: float) -> list[Vessel]:
    """Branches of the external carotid: superficial temporal, maxillary, occipital."""
    vessels = []
    for side in (1, -1):
        flip = np.array([side, 1, 1])
        temporal = np.array([(70, 3, -60), (74, 0, -30), (73, -8, 0), (66, -25, 30), (50, -40, 52)]) * flip
        back = np.array([(69, 3, -30), (70, 22, 15), (60, 40, 45)]) * flip
        occipital = np.array([(50, 40, -80), (40, 70, -50), (28, 84, -20)]) * flip
        maxillary = np.array([(52, 0, -80), (48, -10, -58), (30, -30, -52), (22, -40, -50)]) * flip
        for way, widths, depth in (
            (temporal, (2.2, 1.8, 1.4), 4.0),
            (back, (1.6, 1.2), 4.0),
            (occipital, (1.8, 1.2), 5.0),
        ):
            vessels.append(
                _tube(
                    way,
                    widths,
                    label=Label.ARTERY,
                    scale=scale,
                    delay=(0.3, 0.9),
                    head=head,
                    depth_mm=depth,
                    field="outer",
                )
            )
        vessels.append(_tube(maxillary, (3.0, 2.4, 1.8), label=Label.ARTERY, scale=scale, delay=(0.2, 0.4)))
    return vessels


def _sinuses(head: Head, rng: np.random.Generator) -> list[Vessel]:
    """Dural sinuses and deep veins; one transverse sinus is the larger one."""
    sagittal = [
        (0, -72, 22),
        (0, -55, 52),
        (0, -25, 68),
        (0, 10, 72),
        (0, 45, 60),
        (0, 70, 32),
        (0, 79, 5),
        (0, 76, -12),
    ]
    vessels = [_tube(sagittal, (3.5, 5, 6.5, 7.5, 8, 8.5, 9), label=Label.VEIN, head=head, depth_mm=4.0)]
    wide = 1 if rng.uniform() < 0.3 else -1
    for side in (1, -1):
        flip = np.array([side, 1, 1])
        width = 8.0 if side == wide else 6.0
        transverse = (
            np.array([(0, 76, -12), (22, 70, -14), (42, 52, -17), (53, 34, -20), (51, 27, -34), (40, 20, -50)]) * flip
        )
        vessels.append(_tube(transverse, (width, width, width + 0.5), label=Label.VEIN, head=head, depth_mm=3.5))
        jugular = np.array([(38, 17, -52), (31, 10, -66), (33, 8, -95)]) * flip
        vessels.append(_tube(jugular, (width, width + 2), label=Label.VEIN))
        internal = np.array([(1.6, -8, 13), (1.8, 10, 15), (1.5, 28, 12), (0, 34, 11)]) * flip
        vessels.append(_tube(internal, (1.8, 2.6), label=Label.VEIN))
        basal = np.array([(14, -2, -18), (19, 12, -14), (14, 28, -2), (0, 34, 9)]) * flip
        vessels.append(_tube(basal, (1.5, 2.2), label=Label.VEIN))
    straight = [(0, 32, 12), (0, 41, 10), (0, 60, 0), (0, 76, -12)]
    return [*vessels, _tube(straight, (5, 4.5, 5, 6), label=Label.VEIN)]


def _cortical_veins(head: Head, rng: np.random.Generator) -> list[Vessel]:
    """Veins that climb over the convexity into the sagittal sinus, and the vein of Labbé."""
    vessels = []
    for side in (1, -1):
        for place in np.linspace(-52.0, 56.0, 8):
            y = float(place + rng.uniform(-5, 5))
            top = float(np.sqrt(max(0.0, 1 - (y / 84) ** 2)))
            climb = [
                (58 * top, y + 10, 30),
                (45 * top, y + 3, 55 * top),
                (22 * top, y - 2, 72 * top),
                (1, y - 8, 74 * top),
            ]
            way = _wander(rng, climb, 2.5) * (side, 1, 1)
            vessels.append(_tube(way, (1.2, 1.8, 2.4), label=Label.VEIN, head=head, depth_mm=2.0))
        labbe = _wander(rng, [(58, -2, 2), (62, 18, -2), (56, 32, -14)], 2.0) * (side, 1, 1)
        vessels.append(_tube(labbe, (1.6, 2.8), label=Label.VEIN, head=head, depth_mm=2.0))
    return vessels
