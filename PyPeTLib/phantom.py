"""Digital CT perfusion phantoms with known flow, volume and delay in every voxel.

`head_phantom` is an anatomical head with branching vessels and a stroke; `tiles_phantom` a board of uniform tiles.
Curves follow indicator dilution, ``C(t) = CBF·(ρ/κ)·(C_a ⊗ R)(t − delay)``, and are linear in what a voxel is made of,
so a thick slice is the mean of its fine parts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Geometry
from PyPeTLib.phantom_curves import Residue, bolus_curve, residue_curve
from PyPeTLib.phantom_head import Label
from PyPeTLib.phantom_options import HeadOptions, Phantom, TilesOptions, check_head
from PyPeTLib.phantom_scan import (
    Float32,
    Scene,
    at_times,
    correlated_noise,
    describe,
    digitise,
    frame_times,
    grid_geometry,
    images_hu,
    label_curves,
    label_table,
    scene_of,
    times_taken,
    true_motion,
    uneven_noise,
)
from PyPeTLib.phantom_tiles import tile_input, tiles_phantom
from PyPeTLib.scan import Series

#: The default head.
TYPICAL_HEAD = HeadOptions()

__all__ = [
    "TYPICAL_HEAD",
    "HeadOptions",
    "Phantom",
    "Residue",
    "TilesOptions",
    "bolus_curve",
    "head_phantom",
    "residue_curve",
    "tile_input",
    "tiles_phantom",
]


def head_phantom(options: HeadOptions = TYPICAL_HEAD) -> Phantom:
    """Make a CT perfusion scan of a digital head.

    Parameters
    ----------
    options : HeadOptions
        What it looks like.

    Returns
    -------
    Phantom
        Scan, truth and masks on one grid, in LPS.

    Raises
    ------
    InputError
        If an option is out of its range or the head does not fit the field of view.

    Examples
    --------
    >>> small = head_phantom(HeadOptions(size=(64, 64, 2), spacing_mm=(3.0, 3.0, 10.0), frames=3))
    >>> small.series.values.shape, small.truth["cbf"].unit
    ((3, 2, 64, 64), 'mL/100 g/min')
    """
    check_head(options)
    geometry, times_s, taken_s = grid_geometry(options), frame_times(options), times_taken(options)
    scene = scene_of(options, geometry)
    table = label_table(options)
    frames = _frames(options, scene, label_curves(options, table, taken_s), taken_s, geometry)
    if options.taken_every_s:
        frames = at_times(frames, taken_s, times_s)
    truth, masks = describe(scene, table, options.residue, geometry)
    if options.skull == "removed":
        frames[:, ~masks["brain"].values] = 0
    series = Series(frames, times_s, geometry, name="phantom_ctp", time_source="phantom")
    curves = label_curves(options, table, times_s)
    aif, vof = (curves[:, k].astype(float) - table.hu[k] for k in (Label.ARTERY, Label.VEIN))
    return Phantom(series, truth, masks, aif, vof, options)


def _frames(
    options: HeadOptions, scene: Scene, curves: Float32, times_s: FloatArray, geometry: Geometry
) -> npt.NDArray[np.int16]:
    """Return the frames that the scanner takes."""
    rng = np.random.default_rng([options.seed, 3, options.noise_draw])
    frames = np.empty((len(times_s), *geometry.shape), np.int16)
    uneven = uneven_noise(geometry, options.noise_middle)
    rng_of_levels = np.random.default_rng([options.seed, 4])
    jitter_hu = rng_of_levels.normal(0.0, options.jitter_hu, len(times_s))
    of_slices_hu = rng_of_levels.normal(0.0, options.slice_jitter_hu, (len(times_s), geometry.shape[0], 1, 1))
    turns, shifts_mm = true_motion(options, times_s)
    for index, hu in enumerate(images_hu(scene, curves, turns, shifts_mm, geometry)):
        level = options.drift_hu / 60.0 * (times_s[index] - times_s[0]) + jitter_hu[index]
        noise = correlated_noise(geometry.shape, options.noise_hu, rng, texture=options.noise_texture)
        of_slices = of_slices_hu[index].astype(np.float32)
        frames[index] = digitise(hu + np.float32(level) + of_slices, uneven * noise)
    return frames
