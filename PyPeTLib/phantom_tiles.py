"""The board of tiles: uniform patches of known flow, volume and delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from PyPeTLib.geometry import FloatArray, Geometry, MaskArray
from PyPeTLib.phantom_curves import DENSITY_G_ML, HEMATOCRIT_FACTOR, VENOUS_DELAY_S, VENOUS_TRANSIT_S, tissue_curves
from PyPeTLib.phantom_options import Phantom, TilesOptions, check_tiles
from PyPeTLib.phantom_scan import HIGHEST_HU, LOWEST_HU, Float32, with_units
from PyPeTLib.scan import Series

#: The board as published.
PUBLISHED_TILES = TilesOptions()
TILE_PIXELS = 32
#: Width in pixels of air, bone and fluid around the tiles; the fluid holds an arterial and a venous strip.
_AIR, _BONE, _FLUID = 4, 6, 22
_STRIP = 12


def tiles_phantom(options: TilesOptions = PUBLISHED_TILES) -> Phantom:
    """Make the board of tiles with which perfusion software was compared: MTT by column, delay by row, CBV by slice.

    Parameters
    ----------
    options : TilesOptions
        What it looks like.

    Returns
    -------
    Phantom
        Tiles of 32 × 32 pixels in fluid, framed by bone; 1 × 1 × 5 mm voxels. ``truth["tile"]`` numbers the tiles of a
        slice row by row from 1. ``aif_hu`` is the true input, of which ``masks["arteries"]`` shows the fraction.

    Raises
    ------
    InputError
        If an option is out of its range.

    References
    ----------
    Kudo et al. 2013, doi:10.1148/radiol.12112618

    Examples
    --------
    >>> board = tiles_phantom(TilesOptions(cbv=(4.0,), noise_hu=0.0))
    >>> int(board.truth["tile"].values.max()), float(board.aif_hu.max().round())
    (49, 456.0)
    """
    check_tiles(options)
    times_s = options.interval_s * np.arange(options.frames)
    tile, regions = _board(options)
    maps = _tile_truth(options, tile)
    aif, vof = tile_input(times_s), _tile_output(times_s)
    curves = _tile_curves(options, times_s)
    geometry = Geometry((tile.shape[2], tile.shape[1], tile.shape[0]), (1.0, 1.0, 5.0))
    base = np.where(tile > 0, 35.0, 12.0)
    base = np.where(regions["arteries"] | regions["veins"], 40.0, base)
    base = np.where(regions["bone"], 1000.0, np.where(regions["air"], -1000.0, base))
    flat = numbered_through(tile)
    rng = np.random.default_rng(options.seed)
    frames = np.empty((options.frames, *tile.shape), np.int16)
    for index in range(options.frames):
        hu = base + np.append(0.0, curves[:, index])[flat]
        hu += regions["arteries"] * (options.arterial_fraction * aif[index]) + regions["veins"] * vof[index]
        hu += options.noise_hu * rng.standard_normal(tile.shape)
        frames[index] = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU)
    series = Series(frames, times_s, geometry, name="phantom_tiles", time_source="phantom")
    masks = _tile_masks(regions, tile)
    return Phantom(series, with_units(maps, geometry), with_units(masks, geometry), aif, vof, options)


def tile_input(times_s: FloatArray) -> FloatArray:
    """Return the published arterial input 102.5·(t − 12)³·e^(−(t − 12)/1.5), in HU above the baseline of 40 HU.

    Examples
    --------
    >>> tile_input(np.array([12.0, 16.5])).round(1).tolist()
    [0.0, 465.0]
    """
    since = np.maximum(np.asarray(times_s, dtype=float) - 12.0, 0.0)
    return np.asarray(102.5 * since**3 * np.exp(-since / 1.5))


def numbered_through(tile: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return tiles that are numbered slice by slice, shape (z, y, x), with numbers that go on from slice to slice.

    Examples
    --------
    >>> numbered_through(np.array([[[0, 1, 2]], [[0, 1, 2]]], dtype=np.int32)).tolist()
    [[[0, 1, 2]], [[0, 3, 4]]]
    """
    before = tile.max() * np.arange(len(tile), dtype=np.int32)[:, None, None]
    return np.where(tile > 0, tile + before, np.int32(0))


def _tile_output(times_s: FloatArray) -> FloatArray:
    """Return the venous curve: the input after exponential transit of 6 s, 4 s later."""
    one = np.ones(1)
    curves = tissue_curves(
        times_s,
        tile_input,
        start_s=0.0,
        height_per_s=one / VENOUS_TRANSIT_S,
        mtt_s=one * VENOUS_TRANSIT_S,
        delay_s=one * VENOUS_DELAY_S,
        residue="exponential",
    )
    return np.asarray(curves[0])


def _tile_values(options: TilesOptions) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return CBV, delay and MTT of every tile, in the order of slices, rows and columns, each of shape (tile,)."""
    cbv, delay, mtt = np.meshgrid(options.cbv, options.delay_s, options.mtt_s, indexing="ij")
    return cbv.ravel(), delay.ravel(), mtt.ravel()


def _tile_curves(options: TilesOptions, times_s: FloatArray) -> FloatArray:
    """Return the enhancement of every tile in HU, shape (tile, t)."""
    cbv, delay, mtt = _tile_values(options)
    height = cbv / mtt / 100 * DENSITY_G_ML / HEMATOCRIT_FACTOR
    return tissue_curves(
        times_s, tile_input, start_s=0.0, height_per_s=height, mtt_s=mtt, delay_s=delay, residue=options.residue
    )


def _board(options: TilesOptions) -> tuple[npt.NDArray[np.int32], dict[str, MaskArray]]:
    """Return the number of the tile of each voxel, 0 outside, and the regions around them."""
    rows, columns = len(options.delay_s), len(options.mtt_s)
    numbers = 1 + np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    board = np.kron(numbers, np.ones((TILE_PIXELS, TILE_PIXELS), np.int32))
    border = _AIR + _BONE + _FLUID
    tile = np.repeat(np.pad(board, border)[None], len(options.cbv), axis=0)
    y, x = np.indices(tile.shape[1:])
    edge = np.minimum(np.minimum(y, x), np.minimum(tile.shape[1] - 1 - y, tile.shape[2] - 1 - x))
    along = (x >= border) & (x < tile.shape[2] - border)
    first = _AIR + _BONE + (_FLUID - _STRIP) // 2
    plane = {
        "air": edge < _AIR,
        "bone": (edge >= _AIR) & (edge < _AIR + _BONE),
        "arteries": along & (y >= first) & (y < first + _STRIP),
        "veins": along & (y >= tile.shape[1] - first - _STRIP) & (y < tile.shape[1] - first),
    }
    return tile, {name: np.broadcast_to(mask, tile.shape) for name, mask in plane.items()}


def _tile_truth(options: TilesOptions, tile: npt.NDArray[np.int32]) -> dict[str, npt.NDArray[Any]]:
    cbv, delay, mtt = (v.reshape(len(options.cbv), -1) for v in _tile_values(options))
    known = tile > 0
    number = np.maximum(tile - 1, 0)
    level = np.arange(len(tile))[:, None, None]

    def spread(values: FloatArray) -> Float32:
        return np.where(known, values[level, number], np.nan).astype(np.float32)

    tmax = delay + (mtt / 2 if options.residue == "box" else 0)
    values = {"cbf": 60 * cbv / mtt, "cbv": cbv, "mtt": mtt, "delay": delay, "tmax": tmax}
    return {name: spread(v) for name, v in values.items()} | {"tile": tile}


def _tile_masks(regions: Mapping[str, MaskArray], tile: npt.NDArray[np.int32]) -> dict[str, MaskArray]:
    """Return the masks a head has too, where they make sense."""
    tissue = tile > 0
    brain = ~(regions["air"] | regions["bone"])
    vessels = regions["arteries"] | regions["veins"]
    return {
        "brain": brain,
        "arteries": regions["arteries"],
        "veins": regions["veins"],
        "pure_tissue": tissue,
        "csf": brain & ~tissue & ~vessels,
    }
