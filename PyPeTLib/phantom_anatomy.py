"""Anatomy of the digital head as signed distances in mm, negative inside, in head coordinates.

Head coordinates are mm in LPS directions (x to the left, y to the back, z up), origin between the foramina of Monro.
"""

from __future__ import annotations

import numpy as np

from PyPeTLib.geometry import FloatArray, MaskArray
from PyPeTLib.phantom_shapes import (
    GRID_LOW_MM,
    GRID_MM,
    Space,
    ball,
    chain,
    distance_to_zero,
    head_space,
    join,
    mirrored,
    noise,
    rod,
    sample,
    smooth,
)

Fields = dict[str, FloatArray]
#: Volumes in head coordinates over those in the patient, whose head is drawn up to 5 % smaller along each axis: of what
#: is asked for a lesion then has 0.95 to 1.09 (seeds 0 to 4).
DRAWN_LARGER = 1.1


def draw_fields(rng: np.random.Generator, *, lesion_sign: int) -> Fields:
    """Draw the distance fields of one head.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of folds, asymmetry and lesion.
    lesion_sign : int
        +1 lesion on the patient's left (+x), -1 right, 0 none.

    Returns
    -------
    dict of str to ndarray, shape (z, y, x)
        Distances in mm; ``"step"`` is 0..1, from early to late arrival.
    """
    space = head_space(rng)
    fields = _envelope(space, rng)
    fields |= _face(space, fields, rng)
    fields |= _fluid(space)
    fields |= _nuclei(space)
    fields |= _cortex(space, fields, rng)
    fields["step"] = _arrival(space, rng)
    fields |= _lesion(space, fields, rng, lesion_sign)
    return fields


def _envelope(space: Space, rng: np.random.Generator) -> Fields:
    """Inside of the skull, surface of the head, and the skull."""
    x, y, z = space
    both = mirrored(space)
    tall = np.where(z > 0, z / 74, z / 33) * 70
    inner = join(
        ball((x / (1 + 0.0014 * y), y, tall), (0, 0, 0), (66, 81, 70)), ball(both, (38, -12, -18), (25, 36, 23)), 6
    )
    inner = join(inner, ball(space, (0, 40, -33), (51, 36, 29)), 6)
    inner = join(inner, rod(space, (0, 24, -40), (0, 30, -110), (13, 12)), 6)
    petrous, clivus = (rod(both, (60, 20, -37), (13, 3, -31), (8.5, 5)), rod(space, (0, -9, -34), (0, 9, -66), (6, 6)))
    base = np.minimum.reduce([petrous, clivus, rod(both, (10, -26, -24), (56, -42, -17), (3, 2.5))])
    inner = -join(-inner, base, 4)
    thickness = 6.5 + 1.0 * noise(rng, 12.0) + 1.5 * np.exp(-(((np.abs(y) - 70) / 20) ** 2))
    thickness = np.where(z < -22, np.maximum(thickness - 0.25 * (-22 - z), 2.8), thickness)
    bone = np.maximum(np.minimum(inner - thickness, base), -inner)
    return {"inner": inner, "outer": _surface(space, inner, rng), "bone": bone}


def _surface(space: Space, inner: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Skin: over the skull, the face, the neck and the ears."""
    _, y, z = space
    occipital = 3.0 * np.exp(-(((y - 70) / 30) ** 2) - ((z + 20) / 30) ** 2)
    face = join(ball(space, (0, -50, -58), (62, 50, 56)), ball(space, (0, -99, -62), (11, 9, 18)), 8)
    outer = join(inner - 11.5 - 1.0 * noise(rng, 14.0) - occipital, face, 12)
    outer = join(outer, ball(space, (0, 28, -85), (64, 58, 62)), 14)
    return join(outer, ball(mirrored(space), (74, 15, -34), (5, 13, 22)), 4)


def _face(space: Space, fields: Fields, rng: np.random.Generator) -> Fields:
    """Air-filled spaces, orbits, muscle and fat, and the bone around them."""
    both = mirrored(space)
    sinuses, open_air = _air(space, rng)
    orbit = rod(both, (33, -76, -37), (14, -36, -30), (19, 5))
    walls = np.minimum.reduce([np.maximum(sinuses - 2.0, -sinuses), np.abs(orbit - 1.3) - 1.5, open_air - 1.0])
    jaw = np.minimum(rod(both, (46, 2, -46), (44, -8, -90), (6, 6)), rod(both, (58, -45, -46), (66, 5, -44), (3, 3)))
    spine = np.maximum(np.abs(rod(space, (0, 28, -66), (0, 31, -110), (17, 17))) - 3.0, space[2] + 67.0)
    bone = np.minimum.reduce([fields["bone"], np.maximum(walls, fields["outer"] + 7.0), jaw, spine])
    canals = np.minimum(rod(both, (48, 14, -38), (90, 14, -38), (3, 3)), ball(space, (0, -12, -90), (12, 9, 25)))
    eye = np.maximum(ball(both, (33, -76, -37), (12, 12, 12)), fields["outer"] + 1.0)
    muscle = np.where(orbit < 1.0, _eye_muscles(both), _muscles(space, fields, rng))
    return {"bone": bone, "air": np.minimum.reduce([sinuses, open_air, canals]), "eye": eye, "muscle": muscle}


def _air(space: Space, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Sinuses and mastoid cells, and the nasal cavity."""
    both = mirrored(space)
    septa = 1.6 - 4.0 * np.abs(noise(rng, 3.5))
    sinuses = [
        np.maximum(ball(both, (55, 27, -45), (10, 13, 16)), septa),
        np.maximum(ball(space, (0, -62, -40), (11, 20, 13)), septa - 0.6),
        np.maximum(ball(space, (0, -28, -38), (12, 10, 8)), 1.0 - np.abs(space[0] - 2.0)),
        ball(both, (29, -62, -66), (13, 15, 15)),
        ball(both, (9, -88, -18), (8, 4, 9)),
    ]
    nose = np.maximum(ball(space, (0, -66, -66), (12, 30, 16)), 2.2 - np.abs(both[0] - 5))
    return np.asarray(np.minimum.reduce(sinuses)), nose


def _eye_muscles(both: Space) -> FloatArray:
    """Optic nerve, medial and lateral muscle."""
    nerve = rod(both, (33, -70, -37), (14, -34, -30), (2, 2))
    medial, lateral = (
        rod(both, (22, -78, -37), (15, -40, -30), (2.2, 1)),
        rod(both, (44, -78, -37), (18, -40, -30), (2.2, 1)),
    )
    return np.asarray(np.minimum.reduce([nerve, medial, lateral]))


def _muscles(space: Space, fields: Fields, rng: np.random.Generator) -> FloatArray:
    """Temporal muscles on the skull, and those of face and neck with planes of fat between them."""
    temporal = np.maximum(ball(mirrored(space), (62, -22, -5), (22, 36, 46)), 6.0 - fields["inner"])
    bellies = np.maximum(2.0 - 5.0 * np.abs(noise(rng, 6.0)), space[2] + 38.0)
    outer = fields["outer"]
    return np.asarray(np.minimum(np.maximum(temporal, outer + 4.0), np.maximum(bellies, outer + 7.0)))


def _fluid(space: Space) -> Fields:
    """Ventricles and cisterns."""
    both = mirrored(space)
    body = ((8, -34, 6), (9, -22, 12), (10, -4, 20), (15, 18, 20), (24, 34, 11), (25, 50, 6), (22, 60, 4))
    lateral = np.maximum(chain(both, body, (1.5, 4.0, 4.6, 4.8, 5.8, 3.6, 1.2)), 1.2 - both[0])
    horn = chain(both, ((25, 35, 6), (31, 22, -10), (31, -2, -19)), (3.5, 2.2, 1.6))
    third, fourth = (ball(space, (0, 6, -2), (2.6, 14, 11)), ball(space, (0, 37, -36), (6.5, 5, 11)))
    ventricles = np.minimum.reduce([lateral, horn, third, fourth, rod(space, (0, 18, -8), (0, 30, -28), (1.3, 1.3))])
    return {"ventricles": ventricles, "cisterns": np.minimum(_cisterns(space), _sylvian(both))}


def _cisterns(space: Space) -> FloatArray:
    """Fluid around brain stem and base of the brain."""
    both = mirrored(space)
    over_carotids = rod(both, (0, -8, -21), (30, -9, -18), (3.5, 2.2))
    ring = np.abs(ball(space, (0, 10, -15), (17, 18, 60))) - 1.5
    ambient = np.maximum(np.maximum(ring, np.abs(space[2] + 15) - 9), 6 - space[1])
    cord = np.maximum(np.abs(rod(space, (0, 27, -58), (0, 30, -110), (11, 10))) - 2.2, space[2] + 56)
    parts = [
        ball(space, (0, -6, -22), (11, 9, 6)),
        over_carotids,
        ambient,
        ball(space, (0, 32, -5), (9, 5, 6)),
        chain(space, ((0, -1, -24), (0, 6, -42), (0, 16, -66)), (5, 5, 6)),
        ball(space, (0, 60, -60), (14, 10, 9)),
        rod(both, (14, 8, -38), (22, 10, -37), (5, 3)),
        cord,
    ]
    return np.asarray(np.minimum.reduce(parts))


def _sylvian(both: Space) -> FloatArray:
    """The Sylvian fissure: over the insula, then out to the surface, rising to the back."""
    x, y, z = both
    level = 1.0 + 0.6 * y
    over = np.maximum(
        np.abs(x - 38.5 + 0.006 * (y - 2) ** 2) - 1.5, np.maximum(np.abs(z - 3.0) - 14.0, np.abs(y - 2) - 26.0)
    )
    outward = np.maximum(np.maximum(np.abs(z - level) * 0.86 - 1.3, np.abs(y - 2) - 26.0), 36.0 - x)
    return np.asarray(np.minimum(over, outward), np.float32)


def _nuclei(space: Space) -> Fields:
    """Deep gray matter, and the brain stem, which has no cortex."""
    both = mirrored(space)
    x, y, z = both
    thalamus = ball((x - 0.28 * (y - 8), y, z), (11, 9, 5), (7, 15, 10))
    caudate = chain(both, ((13.5, -24, 6), (15, -12, 14), (18, 8, 22), (24, 24, 19)), (5.5, 4.5, 3.0, 2.0))
    lentiform = ball((x - 0.35 * (y + 2), y, z), (24, -3, 1), (7, 20, 12))
    dentate = np.abs(ball(both, (15, 44, -36), (7, 9, 6))) - 1.0
    gray = np.minimum.reduce([thalamus, caudate, lentiform, dentate, ball(both, (24, 4, -20), (8, 14, 7))])
    stem = chain(space, ((0, 10, -8), (0, 12, -18), (0, 21, -38), (0, 25, -58), (0, 30, -115)), (11, 13, 14, 9, 7))
    return {"gray": np.asarray(gray, np.float32), "stem": stem}


def _cortex(space: Space, fields: Fields, rng: np.random.Generator) -> Fields:
    """Depth below the cortical surface, the midline, and the sheets around which cortex folds."""
    midline = space[0] - 0.8 * noise(rng, 22.0)
    joined = np.minimum(ball(space, (0, 6, 6), (40, 44, 23)), ball(space, (0, 42, -40), (60, 42, 28)))
    depth = np.minimum(-fields["inner"], np.maximum(np.abs(midline), -0.8 * joined))
    tentorium = _tentorium(space)
    depth = np.minimum(depth, np.abs(tentorium))
    depth = np.maximum(depth, 24.0 - 4.0 * fields["stem"])
    folds = np.where(tentorium < 0, _folia(space, rng), _sulci(space, rng))
    return {"midline": midline, "depth": depth, "tentorium": tentorium, "folds": folds}


def _tentorium(space: Space) -> FloatArray:
    """Distance to the roof of the posterior fossa, negative in the cerebellum."""
    roof = ball(space, (0, 44, -40), (54, 44, 31))
    return np.asarray(np.maximum(roof, -rod(space, (0, 10, -10), (0, 21, -38), (16, 14))), np.float32)


def _sulci(space: Space, rng: np.random.Generator) -> FloatArray:
    """Distance to sheets that run into each hemisphere: zeros of a field that hardly changes with depth."""
    from_centre = [np.abs(space[0]) - 22.0, space[1], (space[2] - 8.0) * 1.05]
    radius = np.sqrt(from_centre[0] ** 2 + from_centre[1] ** 2 + from_centre[2] ** 2) + 1.0
    stretch = (46.0 + 0.22 * radius) / radius
    place = np.stack(
        [from_centre[2] * stretch, from_centre[1] * stretch, from_centre[0] * stretch + 90.0 * (space[0] > 0) - 45.0]
    )
    low = np.asarray(GRID_LOW_MM[::-1], np.float32)[:, None, None, None]
    pattern = noise(rng, 3.4)
    value = sample(pattern, (place - low) / GRID_MM)
    return distance_to_zero(value)


def _folia(space: Space, rng: np.random.Generator) -> FloatArray:
    """Distance to the fissures between the leaves of the cerebellum."""
    place = space[2] + 0.45 * (space[1] - 40) - 0.1 * np.abs(space[0]) + 1.5 * noise(rng, 9.0)
    return np.asarray(np.sin(place * (np.pi / 8)) * (8 / np.pi))


def _arrival(space: Space, rng: np.random.Generator) -> FloatArray:
    """Share 0..1 of the healthy range of delays: grows with the way from the circle of Willis, differs by territory."""
    x, y, z = space
    way = np.sqrt(x * x + (y + 8) ** 2 + (z + 20) ** 2) / 130.0
    posterior = 0.22 / (1 + np.exp(-(y - 38) / 6)) + rng.uniform(-0.1, 0.1) / (1 + np.exp(-x / 10))
    return np.asarray(np.clip(0.05 + way * 0.75 + posterior + 0.10 * noise(rng, 16.0), 0, 1), np.float32)


def _lesion(space: Space, fields: Fields, rng: np.random.Generator, sign: int) -> Fields:
    """Hypoperfused part of the territory of the middle cerebral artery, 35 to 140 mL, and the core inside it."""
    size_ml, share = rng.uniform(35.0, 140.0), rng.uniform(0.15, 0.4)
    centre = np.array([48.0, 2.0, 14.0]) + rng.uniform(-1, 1, 3) * (4, 12, 5)
    ragged = 5.0 * noise(rng, 9.0)
    ragged_core = 3.0 * noise(rng, 7.0)
    offset = rng.uniform(-1, 1, 3) * (5, 8, 5) - (8, 0, 2)
    if sign == 0:
        outside = np.full_like(ragged, 50.0)
        return {"hypoperfused": outside, "core": outside}
    side = (sign * space[0], space[1], space[2])
    shape = ball(side, centre, (34, 46, 42)) + ragged
    shape = np.maximum.reduce([shape, 16 - side[0] + ragged / 2, side[1] - 48 + ragged, -15 - side[2]])
    tissue = (fields["inner"] < -2.5) & (fields["cisterns"] > 0) & (fields["ventricles"] > 0)
    hypoperfused = shape - _level(shape, tissue, size_ml)
    middle = centre + offset
    core = np.maximum(ball(side, middle, (16, 22, 16)) + ragged_core, 4 * (hypoperfused + 3))
    return {
        "hypoperfused": smooth(hypoperfused, 1.5),
        "core": smooth(core - _level(core, tissue, share * size_ml), 1.5),
    }


def _level(values: FloatArray, tissue: MaskArray, size_ml: float) -> float:
    """Return the level below which ``tissue`` has about the volume asked for in the patient."""
    count = round(DRAWN_LARGER * size_ml * 1000 / GRID_MM**3)
    return float(np.partition(values[tissue], count)[count])
