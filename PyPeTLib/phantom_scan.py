"""How the digital head is put on a grid, moved, and looked at: labels become HU, truth and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
from scipy import fft, ndimage

from PyPeTLib.geometry import FloatArray, Geometry, Image, MaskArray, itk_image, read_only
from PyPeTLib.phantom_curves import (
    DENSITY_G_ML,
    HEMATOCRIT_FACTOR,
    VENOUS_DELAY_S,
    VENOUS_TRANSIT_S,
    Residue,
    bolus_curve,
    dispersed,
    tissue_curves,
)
from PyPeTLib.phantom_head import ARTERY_STEPS, STEPS, Label, Labels, build_head, crop_slices, label_head, rotation
from PyPeTLib.phantom_options import LESION_SIGNS, HeadOptions, NoiseTexture
from PyPeTLib.phantom_vessels import build_vessels, stamp

sitk: Any = SimpleITK
Float32 = npt.NDArray[np.float32]

#: Fine voxels are at most this large.
FINE_MM = 1.0
#: In-plane point spread of the scanner: SD in mm.
POINT_SPREAD_MM = 0.6
#: Where noise is stronger in the middle it falls off like a Gaussian of this SD, in mm.
UNEVEN_MM = 40.0
#: In-plane SD of the kernel that correlates the noise, in pixels.
NOISE_KERNEL_PIXELS = 0.7
#: A voxel this close to a vessel counts as near it.
NEAR_VESSEL_MM = 4.0
#: Share of a voxel that makes it pure, and that makes it count as one thing rather than another.
PURE, MOST = 0.95, 0.5
#: Vessels that fill less of a voxel do not make it a vessel voxel.
TRACE = 0.03
LOWEST_HU, HIGHEST_HU = -1024, 3071


@dataclass(frozen=True)
class Scene:
    """A head on a fine grid.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
        `phantom_head.Label` of each fine voxel, with ``margin`` more slices at both ends than ``fine``.
    fine : Geometry
        The scan's grid, divided.
    margin : int
        Fine slices that the head may move in from, on either side.
    factors : tuple of int
        Into how many parts a voxel of the scan is divided along x, y, z.
    inside : ndarray of bool, shape (z, y, x)
        What lies inside the skull, on ``fine``.
    """

    labels: Labels
    fine: Geometry
    margin: int
    factors: tuple[int, int, int]
    inside: MaskArray


def frame_times(options: HeadOptions) -> FloatArray:
    """Return the acquisition time of each frame in s."""
    if options.times_s is not None:
        return np.asarray(options.times_s, dtype=float)
    return options.interval_s * np.arange(options.frames)


def times_taken(options: HeadOptions) -> FloatArray:
    """Return when the frames were taken that the scan's are interpolated between, in s: its own where none are."""
    times_s = frame_times(options)
    if not options.taken_every_s:
        return times_s
    steps = np.ceil((times_s[-1] - times_s[0]) / options.taken_every_s - 1e-6)
    return np.asarray(times_s[0] + options.taken_every_s * np.arange(steps + 1))


def grid_geometry(options: HeadOptions) -> Geometry:
    """Centre the grid on the head: thin slabs on the circle of Willis and the basal ganglia, thick ones on all."""
    size, spacing = np.asarray(options.size), np.asarray(options.spacing_mm)
    thickness = size[2] * spacing[2]
    centre = np.array([0.0, -3.0, -10.0 + 18.0 * min(thickness, 128.0) / 128.0])
    axis = np.array([1.0, 0.4, 0.3])
    axes = rotation(options.oblique_degrees * axis / np.linalg.norm(axis))
    origin = centre - axes @ ((size - 1) / 2 * spacing)
    return Geometry(
        options.size,
        options.spacing_mm,
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(c) for c in axes.ravel()),
    )


def scene_of(options: HeadOptions, geometry: Geometry) -> Scene:
    """Draw the head and put it on a fine grid."""
    fine, factors = _refine(geometry)
    reach_mm = options.motion_mm + 100.0 * np.sin(np.deg2rad(options.motion_degrees))
    margin = int(np.ceil(reach_mm / fine.spacing_mm[2]))
    padded = crop_slices(fine, -margin, fine.size[2] + 2 * margin)
    labels, inside = _draw(
        padded, options.seed, LESION_SIGNS[options.lesion_side], options.artery_scale, options.tilt_degrees
    )
    return Scene(labels, fine, margin, factors, inside[margin : margin + fine.size[2]])


@lru_cache(maxsize=2)
def _draw(
    grid: Geometry, seed: int, lesion_sign: int, artery_scale: float, tilt_degrees: tuple[float, float, float]
) -> tuple[Labels, MaskArray]:
    """Return labels with vessels, and what lies inside the skull; remembered: many scans differ in contrast alone."""
    head = build_head(seed=seed, lesion_sign=lesion_sign, tilt_degrees=tilt_degrees)
    labels, inside = label_head(head, grid)
    vessels = build_vessels(head, rng=np.random.default_rng([seed, 1]), artery_scale=artery_scale)
    stamp(labels, grid, vessels, head.to_head)
    return read_only(labels), read_only(inside)


def _refine(geometry: Geometry) -> tuple[Geometry, tuple[int, int, int]]:
    """Divide voxels until none is larger than `FINE_MM`."""
    x, y, z = (max(1, int(np.ceil(s / FINE_MM - 1e-6))) for s in geometry.spacing_mm)
    factors = np.array([x, y, z])
    spacing = np.asarray(geometry.spacing_mm) / factors
    origin = np.asarray(geometry.origin_mm) - geometry.axes @ ((factors - 1) / 2 * spacing)
    size = np.asarray(geometry.size) * factors
    fine = Geometry(
        (int(size[0]), int(size[1]), int(size[2])),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        geometry.direction,
    )
    return fine, (x, y, z)


def still_parts(scene: Scene) -> Labels:
    """Return the labels of the parts of each voxel, the head as in the first frame, shape (part, z, y, x)."""
    return _split(scene.labels[scene.margin : scene.margin + scene.fine.size[2]], scene.factors)


def _split(fine: npt.NDArray[Any], factors: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Return the parts of each voxel in front, shape (part, z, y, x)."""
    x, y, z = factors
    shape = fine.shape[0] // z, fine.shape[1] // y, fine.shape[2] // x
    parts = fine.reshape(shape[0], z, shape[1], y, shape[2], x).transpose(1, 3, 5, 0, 2, 4)
    return np.ascontiguousarray(parts).reshape(-1, *shape)


# --- motion ---------------------------------------------------------------------------------------------------------


def true_motion(options: HeadOptions, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where the head is in each frame: a point x of the first frame lies at ``turn @ x + shift``.

    Returns
    -------
    turns : ndarray, shape (t, 3, 3)
        Rotations about the origin of the patient frame; the identity in the first frame.
    shifts_mm : ndarray, shape (t, 3)
        Displacements in mm, LPS.
    """
    rng = np.random.default_rng([options.seed, 2])
    way, axis = (d / np.linalg.norm(d) for d in rng.standard_normal((2, 3)))
    shares = _motion_share(times_s, rng)
    turns = np.stack([rotation(share * options.motion_degrees * axis) for share in shares])
    return turns, shares[:, None] * options.motion_mm * way


def images_hu(
    scene: Scene, curves: Float32, turns: FloatArray, shifts_mm: FloatArray, geometry: Geometry
) -> Iterator[Float32]:
    """Yield the HU of each frame before noise, with the head where it is then.

    Parameters
    ----------
    scene : Scene
    curves : ndarray, shape (t, label)
        HU of every label.
    turns, shifts_mm : ndarray
        As `true_motion` returns them.
    geometry : Geometry
        The scan's grid.
    """
    still = still_parts(scene)
    for values, turn, shift in zip(curves, turns, shifts_mm, strict=True):
        if np.array_equal(turn, np.eye(3)) and not shift.any():
            yield average(still, values, geometry)
        else:
            parts = _split(_move(scene, values, turn, shift), scene.factors)
            yield _seen(np.asarray(parts.mean(axis=0), dtype=np.float32), geometry)


def _motion_share(times_s: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Share 0..1 of the largest motion at each time: 0 in the first frame, half drift, half one jump."""
    phase = (times_s - times_s[0]) / (times_s[-1] - times_s[0])
    return np.asarray(0.5 * phase**2 * (3 - 2 * phase) + 0.5 * (phase > rng.uniform(0.4, 0.7)))


def _move(scene: Scene, values: Float32, turn: FloatArray, shift_mm: FloatArray) -> Float32:
    """Return HU on the fine grid after the head turned about the origin of the patient frame and shifted.

    HU, not labels, are interpolated: a shift by a tenth of a voxel must show.
    """
    image = itk_image(values[scene.labels], crop_slices(scene.fine, -scene.margin, scene.labels.shape[0]))
    back = sitk.AffineTransform(3)
    back.SetMatrix(turn.T.ravel().tolist())
    back.SetTranslation((-turn.T @ shift_mm).tolist())
    grid = (scene.fine.size, back, sitk.sitkLinear, scene.fine.origin_mm, scene.fine.spacing_mm, scene.fine.direction)
    moved = sitk.Resample(image, *grid, float(values[Label.AIR]), sitk.sitkFloat32, True)
    return np.asarray(sitk.GetArrayFromImage(moved), dtype=np.float32)


# --- what each label is ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """Properties of every label, each of shape (label,)."""

    hu: FloatArray
    cbf: FloatArray
    cbv: FloatArray
    delay_s: FloatArray
    transit_s: FloatArray
    tissue: MaskArray
    vessel: MaskArray


def label_table(options: HeadOptions) -> Table:
    """Return baseline, perfusion and arrival of every label, the flow of brain tissue divided by ``mtt_scale``."""
    hu, cbf, cbv, delay, transit = np.zeros((5, Label.COUNT))
    for label, value in _BASELINE_HU.items():
        hu[label] = value
    cbf[Label.MUSCLE], cbv[Label.MUSCLE], delay[Label.MUSCLE] = 6.0, 2.0, 2.0
    step = np.linspace(0, 1, STEPS)
    flow, volume = 1 + 0.12 * np.sin(14.0 * step), 1 + 0.08 * np.sin(14.0 * step + 0.7)
    for label, (base, mean_cbf, mean_cbv) in _TISSUE.items():
        here = slice(label, label + STEPS)
        first_s, last_s = options.lesion_delay_s if label >= Label.PENUMBRA_GRAY else HEALTHY_DELAY_S
        hu[here], cbf[here], cbv[here] = base, mean_cbf / options.mtt_scale * flow, mean_cbv * volume
        delay[here] = first_s + step * (last_s - first_s)
    for label, (first_s, last_s, spread) in _ARTERIES.items():
        here = slice(label, label + ARTERY_STEPS)
        hu[here] = _BASELINE_HU[Label.VEIN]
        delay[here] = np.linspace(first_s, last_s, ARTERY_STEPS)
        transit[here] = spread * delay[here]
    delay[Label.VEIN], transit[Label.VEIN] = VENOUS_DELAY_S, VENOUS_TRANSIT_S
    index = np.arange(Label.COUNT)
    vessel = (index == Label.VEIN) | ((index >= Label.ARTERY) & (index < Label.GRAY))
    return Table(hu, cbf, cbv, delay, transit, index >= Label.GRAY, vessel)


_BASELINE_HU: dict[Label, float] = {
    Label.AIR: -1000.0,
    Label.FAT: -80.0,
    Label.MUSCLE: 55.0,
    Label.SKIN: 35.0,
    Label.BONE: 1250.0,
    Label.DIPLOE: 750.0,
    Label.CSF: 12.0,
    Label.EYE: 9.0,
    Label.CLOT: 62.0,
    Label.VEIN: 40.0,
}
#: First and last delay in s of tissue that is not hypoperfused.
HEALTHY_DELAY_S = (0.0, 1.5)
#: Baseline in HU, CBF in mL/100 g/min, CBV in mL/100 g.
_TISSUE: dict[Label, tuple[float, float, float]] = {
    Label.GRAY: (35.0, 53.0, 3.3),
    Label.WHITE: (29.0, 25.0, 1.9),
    Label.PENUMBRA_GRAY: (35.0, 16.0, 3.0),
    Label.PENUMBRA_WHITE: (29.0, 7.5, 1.7),
    Label.CORE_GRAY: (33.0, 5.3, 0.71),
    Label.CORE_WHITE: (28.0, 2.5, 0.42),
}
#: First and last delay in s, and mean of the exponential dispersion as a share of the delay.
_ARTERIES: dict[Label, tuple[float, float, float]] = {
    Label.ARTERY: (0.0, 1.05, 0.3),
    Label.LATE_ARTERY: (5.0, 7.0, 0.2),
}


def label_curves(options: HeadOptions, table: Table, times_s: FloatArray) -> Float32:
    """Return HU of every label at every time, shape (t, label)."""
    arterial = partial(
        bolus_curve,
        arrival_s=options.bolus_arrival_s,
        width_s=options.bolus_width_s,
        peak_hu=options.bolus_peak_hu,
        recirculation=options.recirculation,
    )
    enhance = partial(tissue_curves, times_s, start_s=options.bolus_arrival_s - 1.0)
    hu = np.repeat(table.hu[None], len(times_s), axis=0)
    hypoperfused = np.arange(Label.COUNT) >= Label.PENUMBRA_GRAY
    late = dispersed(arterial, options.lesion_dispersion_s, last_s=float(np.max(times_s)))
    for input_hu, here in ((arterial, ~hypoperfused), (late, hypoperfused)):
        perfused = here & (table.cbf > 0)
        cbf, delay = table.cbf[perfused], table.delay_s[perfused]
        height, mtt = cbf / 6000 * DENSITY_G_ML / HEMATOCRIT_FACTOR, 60 * table.cbv[perfused] / cbf
        hu[:, perfused] += enhance(input_hu, height_per_s=height, mtt_s=mtt, delay_s=delay, residue=options.residue).T
    vessel = table.transit_s > 0
    transit, delay = table.transit_s[vessel], table.delay_s[vessel]
    hu[:, vessel] += enhance(arterial, height_per_s=1 / transit, mtt_s=transit, delay_s=delay, residue="exponential").T
    hu[:, Label.ARTERY] += arterial(times_s)
    return hu.astype(np.float32)


# --- acquisition ----------------------------------------------------------------------------------------------------


def average(parts: Labels, values: FloatArray, geometry: Geometry) -> Float32:
    """Return the mean of ``values[label]`` over the parts of each voxel, seen through the scanner's point spread."""
    lookup = np.asarray(values, np.float32)
    total, part = np.zeros((2, *geometry.shape), np.float32)
    for labels in parts:
        total += np.take(lookup, labels, out=part, mode="clip")  # into place: a third of the time
    return _seen(np.asarray(total / len(parts), dtype=np.float32), geometry)


def _seen(hu: Float32, geometry: Geometry) -> Float32:
    """Return an image through the scanner's point spread."""
    spread = (0.0, POINT_SPREAD_MM / geometry.spacing_mm[1], POINT_SPREAD_MM / geometry.spacing_mm[0])
    return np.asarray(ndimage.gaussian_filter(hu, spread, mode="nearest", truncate=3.0), dtype=np.float32)


def at_times(frames: npt.NDArray[np.int16], taken_s: FloatArray, times_s: FloatArray) -> npt.NDArray[np.int16]:
    """Return frames at other times, linear between those that were taken.

    Examples
    --------
    >>> at_times(np.array([[0], [4]], dtype=np.int16), np.array([0.0, 2.0]), np.array([0.0, 0.5, 2.0])).ravel().tolist()
    [0, 1, 4]
    """
    after = np.clip(np.searchsorted(taken_s, times_s), 1, len(taken_s) - 1)
    share = (times_s - taken_s[after - 1]) / (taken_s[after] - taken_s[after - 1])
    between = zip(frames[after - 1], frames[after], share.astype(np.float32), strict=True)
    return np.stack([np.rint((1 - part) * one + part * other).astype(np.int16) for one, other, part in between])


def digitise(hu: Float32, noise_hu: Float32) -> npt.NDArray[np.int16]:
    """Add noise and round to what a scanner stores.

    Examples
    --------
    >>> digitise(np.float32([[20.3, -7.8, 4000.0]]), np.float32([[0.5, 0.1, 0.0]])).tolist()
    [[21, -8, 3071]]
    """
    return np.asarray(np.clip(np.rint(hu + noise_hu), LOWEST_HU, HIGHEST_HU), dtype=np.int16)


def uneven_noise(geometry: Geometry, middle: float) -> Float32:
    """Return how many times stronger noise is in each pixel: ``middle`` in mid-field, 1 far from it, shape (y, x)."""
    y, x = (
        spacing * (np.arange(count) - 0.5 * (count - 1))
        for spacing, count in zip(geometry.spacing_zyx_mm[1:], geometry.shape[1:], strict=True)
    )
    away_mm2 = y[:, None] ** 2 + x**2
    return np.asarray(1.0 + (middle - 1.0) * np.exp(-0.5 * away_mm2 / UNEVEN_MM**2), dtype=np.float32)


def correlated_noise(
    shape: tuple[int, ...], noise_hu: float, rng: np.random.Generator, *, texture: NoiseTexture
) -> Float32:
    """Return Gaussian noise, correlated in-plane, independent between slices, shape (z, y, x).

    Both textures come from a Gaussian kernel, on white noise or on noise whose power rises with frequency: filtered
    backprojection leaves hardly any slow waves, so its noise shrinks faster where neighbours are averaged.

    Parameters
    ----------
    shape : tuple of int
    noise_hu : float
        Its SD in HU.
    rng : numpy.random.Generator
    texture : {"smooth", "backprojection"}

    References
    ----------
    Kijewski 1987, doi:10.1088/0031-9155/32/5/003 (noise power of filtered backprojection; what aliasing leaves at
    frequency 0 is not simulated)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> for texture in ("smooth", "backprojection"):
    ...     noise = correlated_noise((9, 256, 256), 6.0, rng, texture=texture)
    ...     means = noise.reshape(9, 16, 16, 16, 16).mean(axis=(2, 4))
    ...     print(texture, round(float(noise.std())), round(float(means.std()), 1))
    smooth 6 0.8
    backprojection 6 0.4
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    make = {"smooth": _through_kernel, "backprojection": _backprojected}[texture]
    return np.asarray(make(white) * np.float32(noise_hu), dtype=np.float32)


def _through_kernel(white: Float32) -> Float32:
    """Return white noise through a Gaussian in the plane, SD 1."""
    sigma = (0.0, NOISE_KERNEL_PIXELS, NOISE_KERNEL_PIXELS)
    impulse = np.zeros(9)
    impulse[4] = 1.0
    gain = np.sum(ndimage.gaussian_filter1d(impulse, NOISE_KERNEL_PIXELS, truncate=3.0) ** 2)
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3.0)
    return np.asarray(smooth / np.float32(gain), dtype=np.float32)


def _backprojected(white: Float32) -> Float32:
    """Return white noise whose power is made that of a ramp and of a Gaussian kernel in the plane, SD 1."""
    rows, columns = (np.fft.fftfreq(count) for count in white.shape[1:])
    frequency = np.hypot(rows[:, None], columns)
    power = frequency * np.exp(-((2.0 * np.pi * NOISE_KERNEL_PIXELS * frequency) ** 2))
    gain = np.sqrt(power / power.mean()).astype(np.float32)
    return np.asarray(fft.ifft2(fft.fft2(white) * gain).real, dtype=np.float32)


# --- truth ----------------------------------------------------------------------------------------------------------


def describe(
    scene: Scene, table: Table, residue: Residue, geometry: Geometry
) -> tuple[dict[str, Image], dict[str, Image]]:
    """Return truth and masks in the position of the first frame."""
    parts = still_parts(scene)

    def mean(values: npt.NDArray[Any]) -> Float32:
        return average(parts, values, geometry)

    index = np.arange(Label.COUNT)
    enhancing = np.maximum(mean(table.vessel + table.cbv / 100 * DENSITY_G_ML / HEMATOCRIT_FACTOR), 1e-3)
    artery, vein = mean(table.vessel & (index >= Label.ARTERY)), mean(index == Label.VEIN)
    truth = _perfusion_truth(mean, table, residue)
    truth["arterial_share"] = np.clip(artery / enhancing, 0, 1)
    masks = _tissue_masks(mean, table, np.isfinite(truth["cbf"]))
    masks["brain"] = _split(scene.inside, scene.factors).mean(axis=0, dtype=np.float32) >= MOST
    masks["arteries"] = (truth["arterial_share"] >= MOST) & (artery >= TRACE)
    masks["veins"] = (vein / enhancing > MOST) & (vein >= TRACE)
    far = ndimage.distance_transform_edt(~(masks["arteries"] | masks["veins"]), sampling=geometry.spacing_zyx_mm)
    masks["near_vessel"] = far <= NEAR_VESSEL_MM
    return with_units(truth, geometry), with_units(masks, geometry)


def _tissue_masks(mean: Callable[[npt.NDArray[Any]], Float32], table: Table, known: MaskArray) -> dict[str, MaskArray]:
    """Return what each voxel mostly or purely consists of."""
    index = np.arange(Label.COUNT)
    white = (index // STEPS) % 2 == 1
    tissue = mean(table.tissue)
    core = known & (mean(index >= Label.CORE_GRAY) >= MOST * tissue)
    hypoperfused = known & (mean(index >= Label.PENUMBRA_GRAY) >= MOST * tissue)
    return {
        "gray_matter": mean(table.tissue & ~white) >= PURE,
        "white_matter": mean(table.tissue & white) >= PURE,
        "pure_tissue": tissue >= PURE,
        "csf": mean(index == Label.CSF) >= MOST,
        "core": core,
        "hypoperfused": hypoperfused,
        "penumbra": hypoperfused & ~core,
    }


def _perfusion_truth(mean: Callable[[npt.NDArray[Any]], Float32], table: Table, residue: Residue) -> dict[str, Float32]:
    """Return the maps of whole voxels, NaN where less than half is tissue."""
    tissue = table.tissue
    known = mean(tissue) >= MOST
    cbf, cbv = mean(tissue * table.cbf), mean(tissue * table.cbv)
    flow = np.maximum(cbf, np.float32(1e-6))
    mtt, delay = 60 * cbv / flow, mean(tissue * table.cbf * table.delay_s) / flow
    tmax = delay + (mtt / 2 if residue == "box" else np.float32(0))
    maps: dict[str, npt.NDArray[Any]] = {"cbf": cbf, "cbv": cbv, "mtt": mtt, "delay": delay, "tmax": tmax}
    for values in maps.values():
        values[~known] = np.nan
    return {name: np.asarray(values, np.float32) for name, values in maps.items()}


_UNITS = {"cbf": "mL/100 g/min", "cbv": "mL/100 g", "mtt": "s", "delay": "s", "tmax": "s"}


def with_units(values: Mapping[str, npt.NDArray[Any]], geometry: Geometry) -> dict[str, Image]:
    """Return the arrays as images on ``geometry``; masks and shares have no unit."""
    return {name: Image(array, geometry, _UNITS.get(name, "")) for name, array in values.items()}
