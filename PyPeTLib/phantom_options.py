"""Options and result of the digital phantoms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np

from PyPeTLib.errors import InputError
from PyPeTLib.geometry import FloatArray, Image
from PyPeTLib.phantom_curves import Residue
from PyPeTLib.scan import Series

#: Smallest field of view in mm that holds the head.
FIELD_MM = (170.0, 190.0)
#: A scan takes at most so long, in s: what the options ``frames`` and ``interval_s`` can ask for.
LONGEST_S = 1e5
RESIDUES: tuple[str, ...] = get_args(Residue)
NoiseTexture = Literal["smooth", "backprojection"]
NOISE_TEXTURES: tuple[str, ...] = get_args(NoiseTexture)
Skull = Literal["whole", "removed"]
SKULLS: tuple[str, ...] = get_args(Skull)
LesionSide = Literal["left", "right", "none"]
#: Where the lesion lies along x of LPS, which grows to the patient's left.
LESION_SIGNS: Mapping[LesionSide, int] = {"left": 1, "right": -1, "none": 0}


def _number(default: float, unit: str, low: float, high: float, meaning: str) -> Any:
    """Declare a numeric option with unit and closed range."""
    about = {"unit": unit, "low": low, "high": high, "allowed": f"{low:g} … {high:g}", "meaning": meaning}
    return field(default=default, metadata=about)


def _word(default: str, words: tuple[str, ...], meaning: str) -> Any:
    """Declare an option that takes one of a few words."""
    about = {"unit": "", "words": words, "allowed": " | ".join(words), "meaning": meaning}
    return field(default=default, metadata=about)


def _several(default: tuple[float, ...] | None, unit: str, allowed: str, meaning: str) -> Any:
    """Declare an option of several numbers; what is allowed is said in words."""
    return field(default=default, metadata={"unit": unit, "allowed": allowed, "meaning": meaning})


_RESIDUE = ("exponential", RESIDUES, "residue function of tissue")
_FRAMES = ("", 2, 10_000, "number of frames")
_INTERVAL = ("s", 0.1, 10.0, "time between frames")
_SEED = ("", 0, 2**63 - 1)


@dataclass(frozen=True)
class HeadOptions:
    """What the head phantom looks like; `describe_options` tells units, ranges and meanings."""

    size: tuple[int, int, int] = _several((220, 220, 16), "voxels", "three of 1 or more", "voxels along x, y, z")
    spacing_mm: tuple[float, float, float] = _several(
        (0.9, 0.9, 8.0),
        "mm",
        "three of 0.3 … 10",
        f"voxel spacing along x, y, z; {FIELD_MM[0]:g} × {FIELD_MM[1]:g} mm hold the head",
    )
    frames: int = _number(55, *_FRAMES)
    interval_s: float = _number(1.0, *_INTERVAL)
    times_s: tuple[float, ...] | None = _several(
        None,
        "",
        f"two or more, increasing, within {LONGEST_S:g} s",
        "acquisition times in s, instead of frames and interval_s",
    )
    noise_hu: float = _number(
        6.0, "HU", 0.0, 100.0, "SD of the noise; correlated in the plane, independent between frames and slices"
    )
    noise_middle: float = _number(
        1.0,
        "times",
        1.0,
        4.0,
        "noise in the middle of the field of view, over that far from it",
    )
    noise_texture: NoiseTexture = _word(
        "smooth",
        NOISE_TEXTURES,
        "smooth: white noise through a kernel; backprojection: as filtered backprojection leaves it, hardly slow waves",
    )
    drift_hu: float = _number(0.0, "HU/min", -30.0, 30.0, "by how much the scanner's HU rise, everywhere alike")
    jitter_hu: float = _number(0.0, "HU", 0.0, 30.0, "SD of what all HU of a frame differ by from those of the next")
    slice_jitter_hu: float = _number(0.0, "HU", 0.0, 30.0, "SD of what all HU of a slice of a frame differ by likewise")
    taken_every_s: float = _number(
        0.0, "s", 0.0, 10.0, "frames are interpolated between such that were taken so often; 0: each was taken"
    )
    skull: Skull = _word("whole", SKULLS, "removed: 0 HU outside the brain, as in some data sets")
    residue: Residue = _word(*_RESIDUE)
    mtt_scale: float = _number(
        1.0, "times", 0.5, 2.0, "factor on the mean transit times of all tissue; its flow is as much less"
    )
    bolus_arrival_s: float = _number(10.0, "s", 5.0, 30.0, "onset of the arterial bolus")
    bolus_width_s: float = _number(9.0, "s", 6.0, 20.0, "full width at half maximum of the first pass")
    bolus_peak_hu: float = _number(330.0, "HU", 10.0, 1000.0, "peak of the undiluted arterial enhancement")
    recirculation: float = _number(
        0.18, "of the peak", 0.0, 0.4, "height of the second pass; the slow tail begins at half of it"
    )
    artery_scale: float = _number(
        1.0, "times", 0.05, 3.0, "factor on the diameters of arteries: thin ones show less than the true peak"
    )
    motion_mm: float = _number(
        0.0, "mm", 0.0, 30.0, "largest displacement, drift and a jump; truth and masks stay with the first frame"
    )
    motion_degrees: float = _number(0.0, "degrees", 0.0, 30.0, "largest rotation, likewise")
    oblique_degrees: float = _number(
        0.0, "degrees", -45.0, 45.0, "rotation of the grid about an oblique axis; the head stays in patient space"
    )
    tilt_degrees: tuple[float, float, float] = _several(
        (0.0, 0.0, 0.0),
        "degrees",
        "three of -45 … 45",
        "rotation vector of the head in patient space: nod, towards a shoulder, turn; the grid stays",
    )
    lesion_side: LesionSide = _word("left", tuple(LESION_SIGNS), "side of the stroke; the patient's left is +x in LPS")
    lesion_delay_s: tuple[float, float] = _several(
        (7.0, 9.0),
        "s",
        "two of 0 … 20",
        "delays of the hypoperfused tissue, shortest and longest; other tissue is at most 1.5 s late",
    )
    lesion_dispersion_s: float = _number(
        0.0, "s", 0.0, 10.0, "mean of the exponential times that spread the bolus on its way to the hypoperfused tissue"
    )
    seed: int = _number(0, *_SEED, "draws anatomy, lesion, arrival times and noise")
    noise_draw: int = _number(0, *_SEED, "draws other noise for the same head: what differs between scans is noise's")


@dataclass(frozen=True)
class TilesOptions:
    """What the board of tiles looks like, the published one by default; `describe_options` tells more."""

    residue: Residue = _word(*_RESIDUE)
    cbv: tuple[float, ...] = _several((1.0, 2.0, 3.0, 4.0, 5.0), "mL/100 g", "above 0", "CBV of each slice")
    mtt_s: tuple[float, ...] = _several(
        (24.0, 12.0, 8.0, 6.0, 4.8, 4.0, 3.43), "s", "above 0", "MTT of each column of tiles"
    )
    delay_s: tuple[float, ...] = _several(
        (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0), "s", "0 or more", "delay of each row of tiles"
    )
    frames: int = _number(30, *_FRAMES)
    interval_s: float = _number(2.0, *_INTERVAL)
    noise_hu: float = _number(9.0, "HU", 0.0, 100.0, "SD of the noise of each pixel, independent everywhere")
    arterial_fraction: float = _number(0.49, "share", 0.0, 1.0, "how much of the true input the arterial region shows")
    seed: int = _number(0, *_SEED, "draws the noise")


@dataclass(frozen=True)
class OptionInfo:
    """Name, default as typed, unit, what is allowed, and meaning of one option."""

    name: str
    default: str
    unit: str
    allowed: str
    meaning: str


def describe_options(kind: type[HeadOptions] | type[TilesOptions]) -> tuple[OptionInfo, ...]:
    """Return what is known of every option of a phantom, in order.

    Examples
    --------
    >>> describe_options(TilesOptions)[2].default
    '24,12,8,6,4.8,4,3.43'
    """
    return tuple(
        OptionInfo(entry.name, _typed(entry.default), *(entry.metadata[key] for key in ("unit", "allowed", "meaning")))
        for entry in fields(kind)
    )


def _typed(default: object) -> str:
    """Return a default as it is typed on a command line, "none" where there is none."""
    if isinstance(default, tuple):
        return ",".join(f"{value:g}" for value in default)
    return "none" if default is None else str(default)


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
        MTT is 60·CBV/CBF; the delay, without dispersion, is weighted by flow; tmax is the delay, for a box residue
        delay + MTT/2.
        ``arterial_share``: share 0..1 of the area of the voxel's enhancement that arteries contribute, 0 where nothing
        enhances. Tiles have ``tile`` instead of that share: the number of the tile in its slice from 1, 0 elsewhere
        (int32).
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
    _check_each(options)
    if len(options.size) != 3 or min(options.size) < 1:
        raise InputError(f"Phantom size: three numbers of voxels >= 1 are needed; found {options.size}.")
    if len(options.spacing_mm) != 3 or not 0.3 <= min(options.spacing_mm) <= max(options.spacing_mm) <= 10:
        raise InputError(f"Phantom spacing_mm: three values of 0.3 to 10 mm are needed; found {options.spacing_mm}.")
    if len(options.tilt_degrees) != 3 or max(np.abs(options.tilt_degrees)) > 45:
        raise InputError(
            f"Phantom tilt_degrees: three angles of -45 to 45 degrees are needed; found {options.tilt_degrees}. "
            "Choose others."
        )
    delays_s = options.lesion_delay_s
    if len(delays_s) != 2 or not 0 <= delays_s[0] <= delays_s[1] <= 20:
        need = "two times of 0 to 20 s are needed, the shorter first"
        raise InputError(f"Phantom lesion_delay_s: {need}; found {delays_s}. Choose others.")
    width_mm, height_mm = (n * s for n, s in zip(options.size[:2], options.spacing_mm[:2], strict=True))
    if width_mm < FIELD_MM[0] or height_mm < FIELD_MM[1]:
        raise InputError(
            f"Phantom field of view: at least {FIELD_MM[0]:g} × {FIELD_MM[1]:g} mm is needed to hold the head; "
            f"found {width_mm:g} × {height_mm:g} mm. Take more or larger pixels."
        )
    if options.times_s is not None:
        _check_times(options.times_s)


def _check_times(times_s: tuple[float, ...]) -> None:
    if len(times_s) < 2 or min(np.diff(times_s)) <= 0 or times_s[-1] - times_s[0] > LONGEST_S:
        need = f"at least two increasing times in s, within {LONGEST_S:g} s, are needed"
        raise InputError(f"Phantom times_s: {need}; found {times_s}. Choose others.")


def check_tiles(options: TilesOptions) -> None:
    """Refuse options of the tiles that are out of range, with an `InputError`."""
    _check_each(options)
    if min(options.cbv, default=0) <= 0 or min(options.mtt_s, default=0) <= 0 or min(options.delay_s, default=-1) < 0:
        raise InputError(
            "Phantom tiles: at least one CBV > 0, MTT > 0 and delay >= 0 are needed; "
            f"found {options.cbv}, {options.mtt_s}, {options.delay_s}."
        )


def _check_each(options: HeadOptions | TilesOptions) -> None:
    """Refuse numbers outside their range or without an end, and unknown words."""
    for entry in fields(options):
        about, value = entry.metadata, getattr(options, entry.name)
        if "words" in about and value not in about["words"]:
            known = ", ".join(about["words"])
            raise InputError(f"Phantom {entry.name}: one of {known} is needed; found {value!r}. Choose one of them.")
        if "low" in about and not about["low"] <= value <= about["high"]:
            need = f"{about['low']:g} to {about['high']:g} {about['unit']}".rstrip()
            raise InputError(f"Phantom {entry.name}: {need} is needed; found {value}. Choose a value in that range.")
        if isinstance(value, tuple) and not np.isfinite(value).all():
            raise InputError(f"Phantom {entry.name}: finite numbers are needed; found {value}. Choose others.")
