"""Options and result of the digital phantoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from PyPeTLib.errors import InputError
from PyPeTLib.phantom_curves import Residue
from PyPeTLib.records import FloatArray, Image, Series

#: Smallest field of view in mm that holds the head.
FIELD_MM = (170.0, 190.0)
_RANGES: dict[str, tuple[float, float, str]] = {
    "interval_s": (0.1, 10.0, "s"),
    "noise_hu": (0.0, 100.0, "HU"),
    "bolus_arrival_s": (5.0, 30.0, "s"),
    "bolus_width_s": (6.0, 20.0, "s"),
    "bolus_peak_hu": (10.0, 1000.0, "HU"),
    "recirculation": (0.0, 0.4, "of the peak"),
    "artery_scale": (0.05, 3.0, "times"),
    "motion_mm": (0.0, 30.0, "mm"),
    "motion_degrees": (0.0, 30.0, "degrees"),
    "oblique_degrees": (-45.0, 45.0, "degrees"),
    "seed": (0, 2**63 - 1, ""),
    "frames": (2, 10_000, "frames"),
}
RESIDUES: tuple[str, ...] = get_args(Residue)


@dataclass(frozen=True)
class HeadOptions:
    """What the head phantom looks like.

    Parameters
    ----------
    size : tuple of int
        Voxels along x, y, z, each >= 1.
    spacing_mm : tuple of float
        Voxel spacing along x, y, z in mm, 0.3 to 10; the field of view must hold the head (170 × 190 mm).
    frames : int
        Number of frames, >= 2.
    interval_s : float
        Time between frames in s, 0.1 to 10.
    times_s : tuple of float or None
        Acquisition times in s, strictly increasing; override ``frames`` and ``interval_s``.
    noise_hu : float
        Standard deviation of the noise in HU, 0 to 100; correlated in-plane, independent between frames and slices.
    residue : {"exponential", "box", "linear", "gamma"}
        Residue function of tissue.
    bolus_arrival_s : float
        Onset of the arterial bolus in s, 5 to 30.
    bolus_width_s : float
        Full width at half maximum of the first pass in s, 6 to 20.
    bolus_peak_hu : float
        Peak of the undiluted arterial enhancement in HU, 10 to 1000.
    recirculation : float
        Height of the second pass as a share of the first peak, 0 to 0.4; the slow tail begins at half of it.
    artery_scale : float
        Factor on the diameters of arteries, 0.05 to 3: thin arteries show less than the true peak.
    motion_mm, motion_degrees : float
        Largest displacement in mm (0 to 30) and rotation in degrees (0 to 30): a smooth drift plus one jump. Truth and
        masks stay in the position of the first frame.
    oblique_degrees : float
        Rotation of the acquisition grid about an oblique axis, −45 to 45 degrees; the head stays in patient space.
    tilt_degrees : tuple of float
        Rotation vector of the head in patient space, x (nod), y (towards a shoulder), z (turn), each −45 to 45 degrees;
        the acquisition grid stays.
    lesion_side : {"left", "right", "none"}
        Side of the stroke; the patient's left is +x in LPS.
    seed : int
        Draws anatomy, lesion, arrival times and noise, >= 0.
    """

    size: tuple[int, int, int] = (220, 220, 16)
    spacing_mm: tuple[float, float, float] = (0.9, 0.9, 8.0)
    frames: int = 55
    interval_s: float = 1.0
    times_s: tuple[float, ...] | None = None
    noise_hu: float = 6.0
    residue: Residue = "exponential"
    bolus_arrival_s: float = 10.0
    bolus_width_s: float = 9.0
    bolus_peak_hu: float = 330.0
    recirculation: float = 0.18
    artery_scale: float = 1.0
    motion_mm: float = 0.0
    motion_degrees: float = 0.0
    oblique_degrees: float = 0.0
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lesion_side: Literal["left", "right", "none"] = "left"
    seed: int = 0


@dataclass(frozen=True)
class TilesOptions:
    """What the board of tiles looks like; the defaults are the published ones.

    Parameters
    ----------
    residue : {"exponential", "box", "linear", "gamma"}
        Residue function of the tiles.
    cbv : tuple of float
        CBV of each slice in mL/100 g, > 0.
    mtt_s : tuple of float
        MTT of each column of tiles in s, > 0.
    delay_s : tuple of float
        Delay of each row of tiles in s, >= 0.
    frames : int
        Number of frames, >= 2.
    interval_s : float
        Time between frames in s, 0.1 to 10.
    noise_hu : float
        Standard deviation of the noise of each pixel in HU, 0 to 100, independent everywhere.
    arterial_fraction : float
        Share of the true input that the arterial region shows, 0 to 1.
    seed : int
        Draws the noise, >= 0.
    """

    residue: Residue = "exponential"
    cbv: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)
    mtt_s: tuple[float, ...] = (24.0, 12.0, 8.0, 6.0, 4.8, 4.0, 3.43)
    delay_s: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    frames: int = 30
    interval_s: float = 2.0
    noise_hu: float = 9.0
    arterial_fraction: float = 0.49
    seed: int = 0


@dataclass(frozen=True)
class Phantom:
    """A scan and what is true about it.

    Parameters
    ----------
    series : Series
        int16 HU, shape (t, z, y, x).
    truth : mapping of str to Image
        ``cbf`` (mL/100 g/min), ``cbv`` (mL/100 g), ``mtt``, ``delay`` and ``tmax`` (s): float32, NaN where less than
        half of a voxel is brain tissue. CBF and CBV are those of the whole voxel: CSF and vessels in it count as zero;
        MTT is 60·CBV/CBF; the delay is weighted by flow; tmax is the delay, for a box residue delay + MTT/2.
        ``arterial_share``: share 0..1 of the area of the voxel's enhancement that arteries contribute, 0 where nothing
        enhances. Tiles have ``tile`` (int32, 1..49, 0 elsewhere) too.
    masks : mapping of str to Image
        bool images. ``brain``: all inside the skull; ``gray_matter``, ``white_matter``, ``pure_tissue`` (of either): at
        least 95 % of the voxel; ``csf``: at least 50 %; ``arteries``, ``veins``: contribute at least half of the area
        of the voxel's enhancement and fill at least 3 % of it, outside the skull too; ``core``, ``penumbra`` and
        ``hypoperfused`` = core or penumbra: at least half of the tissue of a voxel that has a truth; ``near_vessel``:
        within 4 mm of ``arteries`` or ``veins``. Tiles have ``brain``, ``arteries``, ``veins``, ``pure_tissue``
        and ``csf``.
    aif_hu, vof_hu : ndarray, shape (t,)
        True enhancement above baseline in HU of the feeding arteries and of the large veins at the frame times.
    options : HeadOptions or TilesOptions
        What was asked for.
    """

    series: Series
    truth: Mapping[str, Image]
    masks: Mapping[str, Image]
    aif_hu: FloatArray
    vof_hu: FloatArray
    options: HeadOptions | TilesOptions


def check_head(options: HeadOptions) -> None:
    """Refuse options of the head that are out of range, with an `InputError`."""
    for name in _RANGES:
        _check_range(name, getattr(options, name))
    _check_choice("residue", options.residue, RESIDUES)
    _check_choice("lesion_side", options.lesion_side, ("left", "right", "none"))
    if len(options.size) != 3 or min(options.size) < 1:
        raise InputError(f"Phantom size: three numbers of voxels >= 1 are needed; found {options.size}.")
    if len(options.spacing_mm) != 3 or not 0.3 <= min(options.spacing_mm) <= max(options.spacing_mm) <= 10:
        raise InputError(f"Phantom spacing_mm: three values of 0.3 to 10 mm are needed; found {options.spacing_mm}.")
    if len(options.tilt_degrees) != 3 or max(np.abs(options.tilt_degrees)) > 45:
        raise InputError(
            f"Phantom tilt_degrees: three angles of -45 to 45 degrees are needed; found {options.tilt_degrees}. "
            "Choose others."
        )
    field = tuple(n * s for n, s in zip(options.size[:2], options.spacing_mm[:2], strict=True))
    if field[0] < FIELD_MM[0] or field[1] < FIELD_MM[1]:
        raise InputError(
            f"Phantom field of view: at least {FIELD_MM[0]:g} × {FIELD_MM[1]:g} mm is needed to hold the head; "
            f"found {field[0]:g} × {field[1]:g} mm. Take more or larger pixels."
        )
    if options.times_s is not None and (len(options.times_s) < 2 or min(np.diff(options.times_s)) <= 0):
        raise InputError(f"Phantom times_s: at least two increasing times in s are needed; found {options.times_s}.")


def check_tiles(options: TilesOptions) -> None:
    """Refuse options of the tiles that are out of range, with an `InputError`."""
    for name in ("frames", "interval_s", "noise_hu", "seed"):
        _check_range(name, getattr(options, name))
    if not 0 <= options.arterial_fraction <= 1:
        raise InputError(f"Phantom arterial_fraction: 0 to 1 is needed; found {options.arterial_fraction}.")
    _check_choice("residue", options.residue, RESIDUES)
    if min(options.cbv, default=0) <= 0 or min(options.mtt_s, default=0) <= 0 or min(options.delay_s, default=-1) < 0:
        raise InputError(
            "Phantom tiles: at least one CBV > 0, MTT > 0 and delay >= 0 are needed; "
            f"found {options.cbv}, {options.mtt_s}, {options.delay_s}."
        )


def _check_range(name: str, value: float) -> None:
    low, high, unit = _RANGES[name]
    if not low <= value <= high:
        raise InputError(
            f"Phantom {name}: {low:g} to {high:g} {unit} is needed; found {value}. Choose a value in that range."
        )


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"Phantom {name}: one of {', '.join(known)} is needed; found {value!r}. Choose one of them.")
