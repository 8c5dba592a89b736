"""What each figure of the report shows, in words and numbers, for readers who listen to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from PyPeTLib.analysis import Analysis, Lesions
from PyPeTLib.display import LESION_SLICES, MAP_LABELS, MOST_SLICES, spread_slices
from PyPeTLib.geometry import FloatArray, Image, MaskArray
from PyPeTLib.map_facts import median_known
from PyPeTLib.orientation import radiological, slice_labels
from PyPeTLib.records import Motion, VascularCurve
from PyPeTLib.report_facts import SIDES, KeyNumber
from PyPeTLib.typeset import rounded, typeset


def maps_shown(analysis: Analysis, numbers: Sequence[KeyNumber]) -> str:
    """Return median and quartiles of every map, the slices, and the lesion."""
    rows = [f"{row.short} {row.median} ({row.quartiles}) {row.unit}" for row in numbers]
    return f"{_slices(analysis)}. Median (quartiles) of tissue: {'; '.join(rows)}. {_lesion(analysis.lesions)}."


def reference_shown(analysis: Analysis, reference: Mapping[str, Image]) -> str:
    """Return the median of every reference map over the tissue of the run, and the slices."""
    tissue, ours = analysis.tissue.values, dict(analysis.maps.items())
    rows = [
        f"{MAP_LABELS[name]} {rounded(median_known(image.values[tissue]), ours[name].unit)} {ours[name].unit}"
        for name, image in reference.items()
    ]
    return f"{_slices(analysis)}. Medians over the tissue of the run: {'; '.join(rows)}."


def lesions_shown(analysis: Analysis) -> str:
    """Return volumes and side of the lesion, and the slices."""
    late = analysis.lesions.hypoperfusion
    shown = analysis.brain.values if late is None or not late.values.any() else late.values
    return f"{_lesion(analysis.lesions)}. {_slices(analysis, shown, LESION_SLICES)}."


def uncertainty_shown(analysis: Analysis, numbers: Sequence[KeyNumber]) -> str:
    """Return the median standard deviation of a voxel of every map that has one."""
    rows = [f"{row.short} {row.voxel_sd} {row.unit}" for row in numbers if row.voxel_sd]
    return f"{_slices(analysis)}. Medians over tissue: {'; '.join(rows)}."


def vessels_shown(analysis: Analysis) -> str:
    """Return in which slice most voxels of artery and vein are, and how many there are."""
    labels = slice_labels(analysis.series.geometry)
    parts = []
    for name, curve in _vessels(analysis):
        count = radiological(curve.mask.values, analysis.series.geometry).sum(axis=(1, 2))
        if count.any():
            parts.append(f"{name} in {count.max()} of {count.sum()} voxels in slice {labels[int(count.argmax())]}")
    return f"{'; '.join(parts)}."


def curves_shown(analysis: Analysis) -> str:
    """Return peak and time to it of the arterial, the venous and the brain's curve, and the bolus arrival."""
    times_s, factor = analysis.series.times_s, analysis.aif.partial_volume_factor
    curves = [(f"{name}, measured,", curve.measured_hu) for name, curve in _vessels(analysis)]
    if factor != 1.0:
        curves.insert(1, (f"AIF × {factor:.2f}, deconvolved,", analysis.aif.curve_hu))
    curves.append(("Mean of the brain", analysis.curves.mean(analysis.brain.values)))
    peaks = [f"{name} rises to {_peak(values, times_s)}" for name, values in curves]
    return f"{'; '.join(peaks)}. Bolus arrival at {analysis.bolus.arrival_s:.1f} s."


def bolus_shown(analysis: Analysis) -> str:
    """Return when the contrast measure rises and how far."""
    bolus, times_s = analysis.bolus, analysis.series.times_s
    top_s = times_s[bolus.signal.argmax()]
    start = f"It passes {bolus.threshold:.2f} at {bolus.arrival_s:.1f} s"
    return f"{start} and is largest, {bolus.rise_hu:.0f} HU, at {top_s:.1f} s."


def motion_shown(motion: Motion) -> str:
    """Return the largest displacement, shifts and turns, and how many frames were left out."""
    most = int(motion.displacement_mm.argmax())
    shifts, turns = (
        ", ".join(f"{axis} {value:.1f}" for axis, value in zip("xyz", np.abs(values).max(axis=0), strict=True))
        for values in (motion.shifts_mm, motion.rotations_degrees)
    )
    return (
        f"The skull moved by {motion.displacement_mm[most]:.1f} mm at most, at {motion.times_s[most]:.1f} s. Largest "
        f"shifts in mm: {shifts}; turns in °: {turns}. Frames left out: {int(motion.left_out.sum())} of "
        f"{motion.times_s.size}."
    )


def _slices(analysis: Analysis, shown: MaskArray | None = None, most: int = MOST_SLICES) -> str:
    """Return how many slices a montage shows, and from where to where."""
    geometry = analysis.series.geometry
    chosen = spread_slices(radiological(analysis.brain.values if shown is None else shown, geometry), most)
    labels = slice_labels(geometry)
    if len(chosen) == 1:
        return f"Slice {labels[chosen[0]]}"
    return f"{len(chosen)} slices from {labels[chosen[0]]} to {labels[chosen[-1]]}"


def _lesion(lesions: Lesions) -> str:
    """Return the volumes of core and hypoperfusion, and the side."""
    if lesions.hypoperfusion is None:
        return "Core and hypoperfusion are not known"
    core, late = (f"{rounded(lesions.volumes_ml[name].ml, 'mL')} mL" for name in ("core", "hypoperfusion"))
    return f"Core {core}, hypoperfusion {late}, {SIDES[lesions.side]}"


def _vessels(analysis: Analysis) -> list[tuple[str, VascularCurve]]:
    return [("AIF", analysis.aif), *([("VOF", analysis.vof)] if analysis.vof else [])]


def _peak(values: FloatArray, times_s: FloatArray) -> str:
    return f"{typeset(f'{values.max():.3g}')} HU at {times_s[values.argmax()]:.1f} s"
