"""A second head to be judged by, of ellipsoids and tubes; no line is of the phantom that the methods were made with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from PyPeTLib import Geometry, Series

Volume = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Point = tuple[float, float, float]

#: Pixels and slices of the scan, and how many times finer the head is drawn along each axis.
SIZE, PIXEL_MM, SLICES, SLICE_MM, FINER = 160, 1.5, 10, 5.0, 2
#: Lowest edge of the scan, and width at half height of what the scanner blurs in plane, in mm.
LOWEST_MM, BLUR_MM = -20.0, 1.3
#: Step of the curves before they are sampled, in s.
STEP_S = 0.05
#: Density of tissue in g/mL over the hematocrit factor, for hematocrits of 0.45 and 0.25.
RHO_KAPPA = 1.05 / ((1.0 - 0.45) / (1.0 - 0.25))
#: CBF in mL/100 g/min and CBV in mL/100 g.
TISSUE = {
    "gray": (60.0, 4.0),
    "white": (25.0, 2.0),
    "late gray": (20.0, 3.6),
    "late white": (9.0, 1.8),
    "core gray": (6.0, 1.0),
    "core white": (3.5, 0.6),
}
#: Delays in s: of healthy tissue from the middle outwards, and of ill one; with both sides ill flow is hardly lower.
DELAYS_S, LATE_S, CORE_S = (0.35, 0.75, 1.25, 1.75), 7.5, 9.0
BOTH_SIDES = {"late gray": (45.0, 3.75), "late white": (20.0, 1.67)}
#: A tumour takes the place of late tissue, but is not late; what leaks is of plasma, hematocrit 0.45.
TUMOUR, TUMOUR_S, OF_PLASMA = {"late gray": (90.0, 10.0), "late white": (80.0, 9.0)}, 0.9, 1.05 / (1.0 - 0.45)
#: A class of tissue is pure where it fills more than this share of a voxel, two pixels from what vessels share.
PURE, VESSEL_SHARE = 0.93, 0.02


@dataclass(frozen=True)
class Patient:
    """One head and its scan.

    The bolus has a full width at half maximum ``width_s``, a peak and an onset. ``noise_hu`` is the SD of a voxel, with
    the spectrum of filtered backprojection or smooth. ``lesion``: "left", "both sides", "tumour" or "none".
    ``core``: factor on flow and volume of the core. ``late_half_s``: by how much later blood comes to the left half;
    ``wide_half_s``: mean time of an exponential that disperses its bolus. ``leak``: plasma that a tumour takes up, in
    mL/100 g/min. ``vessels``: factor on their diameters. ``before_hu``: contrast that is in the blood before the bolus.
    ``told_s``: the times of the frames as the scan tells them, where they are others than ``times_s``.
    """

    width_s: float = 8.0
    peak_hu: float = 380.0
    onset_s: float = 8.0
    times_s: tuple[float, ...] = tuple(float(t) for t in range(50))
    noise_hu: float = 5.0
    smooth_noise: bool = False
    residue: str = "exponential"
    lesion: str = "left"
    core: float = 1.0
    late_half_s: float = 0.0
    wide_half_s: float = 0.0
    leak: float = 0.0
    vessels: float = 1.0
    before_hu: float = 0.0
    told_s: tuple[float, ...] | None = None
    seed: int = 1


@dataclass(frozen=True)
class Truth:
    """Maps, where a class of tissue is pure, and the arterial curve, of a patient."""

    maps: dict[str, Volume]
    classes: dict[str, npt.NDArray[np.bool_]]
    tissue: npt.NDArray[np.bool_]
    artery_hu: Curve


# --- the head -------------------------------------------------------------------------------------------------------


class Space:
    """Coordinates of the fine grid in mm: x to the left, y to the back, z to the top."""

    def __init__(self) -> None:
        plane = (np.arange(SIZE * FINER) + 0.5) * PIXEL_MM / FINER - SIZE * PIXEL_MM / 2
        height = LOWEST_MM + (np.arange(SLICES * FINER) + 0.5) * SLICE_MM / FINER
        z, y, x = np.meshgrid(height, plane, plane, indexing="ij")
        self.x, self.y, self.z = (one.astype(np.float32) for one in (x, y, z))
        self.steps_mm = (SLICE_MM / FINER, PIXEL_MM / FINER, PIXEL_MM / FINER)

    def radius(self, half: Point, centre: Point = (0.0, 0.0, 0.0)) -> Volume:
        """Return the distance from a centre in half axes: below 1 inside the ellipsoid."""
        apart = ((self.x, self.y, self.z)[i] - centre[i] for i in range(3))
        return np.asarray(np.sqrt(sum((one / half[i]) ** 2 for i, one in enumerate(apart))), np.float32)

    def tube(self, points: list[Point], radius_mm: float) -> Volume:
        """Return how much of each fine voxel a bent tube fills."""
        share = np.zeros(self.x.shape, np.float32)
        at = np.stack([self.x, self.y, self.z], axis=-1)
        edge = self.steps_mm[1]
        for begin, end in pairwise(points):
            way = np.subtract(end, begin)
            low, high = np.minimum(begin, end) - radius_mm - 2, np.maximum(begin, end) + radius_mm + 2
            near = np.all((at >= low) & (at <= high), axis=-1)
            since = at[near] - begin
            along = np.clip(since @ way / (way @ way), 0.0, 1.0)
            apart = np.linalg.norm(since - along[:, None] * way, axis=1)
            share[near] = np.maximum(share[near], np.clip((radius_mm - apart) / edge + 0.5, 0.0, 1.0))
        return share


def arteries(space: Space, scale: float) -> dict[str, Volume]:
    """Return the arteries of both sides by name; the left one of ``middle`` is closed in a patient with a lesion."""
    found = {}
    for name, side in (("left", 1.0), ("right", -1.0)):
        s = side
        carotid = space.tube([(s * 8, -6, -45), (s * 8, -8, -14), (s * 10, -9, -12)], 1.9 * scale)
        front = [(s * 9, -9, -12), (s * 2, -18, -9), (s * 1.6, -40, 5), (s * 1.6, -38, 25), (s * 1.6, 15, 45)]
        stem = space.tube([(s * 9, -9, -12), (s * 20, -10, -11), (s * 30, -8, -9)], 1.5 * scale)
        upper = [(s * 30, -8, -9), (s * 36, -12, 0), (s * 39, -14, 12), (s * 46, -18, 25)]
        lower = [(s * 30, -8, -9), (s * 37, 2, 0), (s * 40, 8, 12), (s * 47, 14, 25)]
        branches = np.maximum(space.tube(upper, 1.15 * scale), space.tube(lower, 1.15 * scale))
        found |= {f"carotid {name}": carotid, f"front {name}": space.tube(front, 1.15 * scale)}
        found |= {f"middle {name}": stem, f"branches {name}": branches}
    return found


def veins(space: Space, scale: float) -> Volume:
    """Return the sinuses."""
    turn = np.radians(np.linspace(-50.0, 100.0, 60))
    upper = space.tube([(0.0, 79.5 * np.sin(a), 71.5 * np.cos(a)) for a in turn], 3.0 * scale)
    straight = space.tube([(0, 25, 6), (0, 45, 3), (0, 76, -14)], 2.0 * scale)
    sides = [space.tube([(0, 78, -15), (s * 30, 70, -17), (s * 52, 40, -20)], 3.0 * scale) for s in (-1, 1)]
    return np.asarray(np.maximum.reduce([upper, straight, *sides]))


def waves(space: Space, seed: int) -> Volume:
    """Return a smooth random field; where it is 0 there are sulci."""
    rng, field = np.random.default_rng(seed), np.zeros(space.x.shape, np.float32)
    for _ in range(24):
        way = rng.standard_normal(3)
        way *= 2.0 * np.pi / rng.uniform(38.0, 60.0) / np.linalg.norm(way)
        field += np.cos(way[0] * space.x + way[1] * space.y + way[2] * space.z + rng.uniform(0.0, 2.0 * np.pi))
    return np.asarray(field / field.std())


def gray_and_white(space: Space, seed: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], Volume]:
    """Return gray and white matter, and how far voxels lie from the middle: up to 1 in the brain."""
    out = space.radius((63.5, 80.5, 73.0))
    field = waves(space, seed)
    to_sulcus = np.abs(field) / (np.sqrt(sum(one**2 for one in np.gradient(field, *space.steps_mm))) + 0.02)
    fluid = (out >= 1.0) | ((out > 0.74) & (to_sulcus < 0.6)) | ((np.abs(space.x) < 0.7) & (out > 0.6))
    inner = [space.radius((5.5, 26.0, 13.0), (s * 11.0, 2.0, 10.0)) < 1 for s in (-1, 1)]
    fluid |= np.logical_or.reduce([*inner, space.radius((2.5, 12.0, 9.0), (0.0, 2.0, -6.0)) < 1])
    depth = ndimage.distance_transform_edt(~(fluid & (out > 0.6)), sampling=space.steps_mm)
    nuclei = [space.radius((9.0, 14.0, 11.0), (s * 24.0, -3.0, 2.0)) < 1 for s in (-1, 1)]
    nuclei += [space.radius((5.0, 16.0, 8.0), (s * 15.0, -18.0, 12.0)) < 1 for s in (-1, 1)]
    gray = ~fluid & ((depth < 3.6) | np.logical_or.reduce(nuclei))
    return gray, ~fluid & ~gray, out


def ill(space: Space, lesion: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return late tissue and, within it, the core."""
    nowhere = np.zeros(space.x.shape, dtype=bool)
    if lesion == "both sides":
        return space.y < 42.0, nowhere
    if lesion == "none":
        return nowhere, nowhere
    if lesion == "tumour":
        return space.radius((20.0, 20.0, 16.0), (-30.0, -25.0, 8.0)) < 1, nowhere
    late = (space.x > 14.0 + 0.25 * np.abs(space.y + 3.0)) & (np.abs(space.y + 3.0) < 45.0)
    core = space.radius((16.0, 22.0, 20.0), (40.0, -4.0, 8.0)) < 1
    return late | core, core


def voxels(fine: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> Volume:
    """Return what voxels of the scan see of the fine grid."""
    sigma = BLUR_MM / 2.355 / (PIXEL_MM / FINER)
    blurred = ndimage.gaussian_filter(np.asarray(fine, np.float32), (0.0, sigma, sigma), mode="nearest")
    return np.asarray(blurred.reshape(SLICES, FINER, SIZE, FINER, SIZE, FINER).mean(axis=(1, 3, 5)), np.float32)


@lru_cache(maxsize=2)
def head(lesion: str, vessels: float, seed: int) -> tuple[dict[str, Volume], Volume]:
    """Return how much of each voxel is what, and HU without contrast."""
    space = Space()
    gray, white, out = gray_and_white(space, seed)
    late, core = ill(space, lesion)
    within, skull, skin = (
        space.radius(half) < 1 for half in ((64.5, 81.5, 74.0), (71.0, 88.0, 80.0), (76.0, 93.0, 85.0))
    )
    hu = np.select([gray, white, within, skull, skin], [36.0, 28.0, 5.0, 1300.0, 40.0], -1000.0).astype(np.float32)
    tubes = {**arteries(space, vessels), "vein": veins(space, vessels)}
    total = np.maximum(sum(tubes.values()), 1.0)
    tubes = {name: one / total * within for name, one in tubes.items()}
    rest = 1.0 - sum(tubes.values())
    step = np.clip((out * len(DELAYS_S)).astype(int), 0, len(DELAYS_S) - 1)
    shares = {name: voxels(one) for name, one in tubes.items()}
    for kind, where in (("gray", gray), ("white", white)):
        shares |= {f"late {kind}": voxels((where & late & ~core) * rest), f"core {kind}": voxels((where & core) * rest)}
        for side, half in (("left", space.x > 0), ("right", space.x <= 0)):
            healthy = where & half & ~late
            shares |= {f"{kind} {side} {k}": voxels((healthy & (step == k)) * rest) for k in range(len(DELAYS_S))}
    return shares, voxels(hu * rest + 40.0 * (1.0 - rest))


# --- contrast agent -------------------------------------------------------------------------------------------------


def pulse(times_s: Curve, width_s: float, power: float = 3.0) -> Curve:
    """Return a gamma variate of height 1 from time 0 on, so wide at half height."""
    rise = np.linspace(0.0, 8.0, 8001)
    high = rise[(rise * np.exp(1.0 - rise)) ** power >= 0.5]
    since = np.maximum(times_s, 0.0) * (high[-1] - high[0]) / width_s
    return np.asarray((since * np.exp(1.0 - since)) ** power)


def convolved(one: Curve, other: Curve) -> Curve:
    """Return the convolution of two curves that begin at 0 s."""
    length = 2 * one.size
    return np.asarray(np.fft.irfft(np.fft.rfft(one, length) * np.fft.rfft(other, length), length)[: one.size] * STEP_S)


def later(times_s: Curve, hu: Curve, by_s: float) -> Curve:
    return np.interp(times_s - by_s, times_s, hu, left=0.0)


def arterial(times_s: Curve, patient: Patient) -> Curve:
    """Return the first pass, a second one of a quarter, wider, and what stays in the blood."""
    first = pulse(times_s - patient.onset_s, patient.width_s)
    spread = pulse(times_s, 10.0, 1.5)
    second = later(times_s, convolved(first, spread / (spread.sum() * STEP_S)), 8.0)
    hu = first + 0.25 * second / second.max() + 0.05 * np.cumsum(first) / first.sum()
    return np.asarray(patient.peak_hu * hu / hu.max())


def residue(times_s: Curve, mtt_s: float, shape: str) -> Curve:
    """Return what is left of a pulse in tissue: exponential, box, or gamma-N."""
    if shape == "box":
        return (times_s < mtt_s).astype(float)
    power = 1.0 if shape == "exponential" else float(shape.removeprefix("gamma-"))
    return np.asarray(stats.gamma.sf(times_s, power, scale=mtt_s / power))


def timing_of(name: str, patient: Patient) -> tuple[float, float, float]:
    """Return CBF, CBV and delay of a kind of tissue."""
    if name.startswith(("late", "core")):
        values = {"both sides": BOTH_SIDES, "tumour": TUMOUR}.get(patient.lesion, TISSUE)
        late_s = TUMOUR_S if patient.lesion == "tumour" else LATE_S
        flow, volume = values.get(name, TISSUE[name])
        if name.startswith("late"):
            return flow, volume, late_s
        return patient.core * flow, patient.core * volume, CORE_S
    kind, side, step = name.split()
    return *TISSUE[kind], DELAYS_S[int(step)] + patient.late_half_s * (side == "left")


def curve_of(name: str, times_s: Curve, artery_hu: Curve, patient: Patient) -> Curve:
    """Return the enhancement of what fills a voxel."""
    if name == "vein":
        spread = pulse(times_s, 6.0, 1.2)
        return later(times_s, convolved(artery_hu, spread / (spread.sum() * STEP_S)), 3.0) + patient.before_hu
    if name.startswith(("carotid", "front", "middle", "branches")):
        of, side = name.split()
        if patient.lesion == "left" and name == "middle left":
            return np.zeros_like(times_s)
        delay_s = {"carotid": 0.0, "middle": 0.15, "branches": 0.45, "front": 0.5}[of]
        delay_s += patient.late_half_s * (side == "left")
        if patient.lesion == "left" and name == "branches left":
            delay_s = LATE_S - 1.0
        return later(times_s, of_half(name, times_s, artery_hu, patient), delay_s) + patient.before_hu
    cbf, cbv, delay_s = timing_of(name, patient)
    response = cbf / 6000.0 * RHO_KAPPA * residue(times_s, 60.0 * cbv / cbf, patient.residue)
    if patient.lesion == "tumour" and name.startswith("late"):
        response = response + patient.leak / 6000.0 * OF_PLASMA
    curve = convolved(of_half(name, times_s, artery_hu, patient), response)
    return later(times_s, curve, delay_s) + patient.before_hu * cbv / 100.0 * RHO_KAPPA


def of_half(name: str, times_s: Curve, artery_hu: Curve, patient: Patient) -> Curve:
    """Return the bolus as it comes to a vessel or tissue: dispersed in the left half, if anywhere."""
    if not patient.wide_half_s or "left" not in name.split():
        return artery_hu
    return convolved(artery_hu, np.exp(-times_s / patient.wide_half_s) / patient.wide_half_s)


# --- the scan -------------------------------------------------------------------------------------------------------


def noise_of(patient: Patient) -> Volume:
    """Return noise with the spectrum of filtered backprojection, or smooth noise."""
    rng = np.random.default_rng(patient.seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.rfftfreq(SIZE), indexing="ij"))
    kept = np.exp(-((frequency / 0.18) ** 2))
    if not patient.smooth_noise:
        kept = np.sqrt(frequency) * np.exp(-((frequency / 0.33) ** 2))
    white = rng.standard_normal((len(patient.times_s), SLICES, SIZE, SIZE), dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white, axes=(2, 3)) * kept, s=(SIZE, SIZE), axes=(2, 3))
    return np.asarray(noise * (patient.noise_hu / noise.std()), np.float32)


def truth_of(shares: dict[str, Volume], artery_hu: Curve, patient: Patient) -> Truth:
    """Return what is true of mixtures: means of what they are of, delays weighted by flow."""
    about = {name: timing_of(name, patient) for name in shares if name.split()[0] in ("gray", "white", "late", "core")}
    flows = {name: shares[name] * cbf for name, (cbf, _, _) in about.items()}
    tissue, flow = sum(shares[name] for name in about), np.maximum(sum(flows.values()), 1e-3)
    volume = sum(shares[name] * cbv for name, (_, cbv, _) in about.items())
    delay_s = sum(flows[name] * delay_s for name, (_, _, delay_s) in about.items()) / flow
    maps = {"cbf": flow / np.maximum(tissue, 1e-3), "cbv": volume / np.maximum(tissue, 1e-3)}
    maps["tmax"] = delay_s + (30.0 * volume / flow if patient.residue == "box" else 0.0)  # of a box it is the middle
    vessel = sum(one for name, one in shares.items() if name not in about)
    away = ~ndimage.binary_dilation(vessel > VESSEL_SHARE, np.ones((1, 5, 5)))
    kinds = {kind: [name for name in about if name.startswith(kind)] for kind in ("gray", "white", "late", "core")}
    if patient.late_half_s or patient.wide_half_s:  # classes are those of the other half
        kinds = {kind: [name for name in names if "left" not in name] for kind, names in kinds.items()}
    pure = {kind: (sum(shares[name] for name in names) > PURE) & away for kind, names in kinds.items()}
    return Truth(maps, {kind: where for kind, where in pure.items() if where.any()}, tissue > 0.5, artery_hu)


def scan(patient: Patient) -> tuple[Series, Truth]:
    """Return a patient's scan and what is true of it."""
    shares, hu = head(patient.lesion, patient.vessels, patient.seed)
    taken = np.asarray(patient.times_s)
    times_s = np.arange(0.0, taken[-1] + 3.0, STEP_S)
    artery_hu = arterial(times_s, patient)
    curves = {name: np.interp(taken, times_s, curve_of(name, times_s, artery_hu, patient)) for name in shares}
    values = noise_of(patient) + hu
    for name, share in shares.items():
        values += curves[name].astype(np.float32)[:, None, None, None] * share
    geometry = Geometry((SIZE, SIZE, SLICES), (PIXEL_MM, PIXEL_MM, SLICE_MM))
    told = taken if patient.told_s is None else np.asarray(patient.told_s)
    series = Series(np.rint(values).astype(np.int16), told, geometry, name="ellipsoids", time_source="phantom")
    return series, truth_of(shares, np.interp(taken, times_s, artery_hu), patient)
