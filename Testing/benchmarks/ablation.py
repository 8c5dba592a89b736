"""Which step causes which share of the error of MTT = CBV / max k, as tables in Markdown.

The head is deconvolved as the published tool does, by block-circulant SVD with a fixed cut-off, from the maximum of the
absolute response. Curves of its voxels are also made from the truth, so that every cause can be switched on and off: a
curve is the true one, plus what a voxel of several tissues changes, plus what smoothing does to a scan without noise,
plus what is then left to the scan with noise.
Usage: python Testing/benchmarks/ablation.py [--seeds N] [--set NAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from accuracy import FIRST_SEED, head, row, shown

from PyPeTLib.analysis import Prepared
from PyPeTLib.curves import area_weights, continuation, peaks
from PyPeTLib.deconvolve import OVERSAMPLING
from PyPeTLib.denoise import enhancement, masked_hu, smooth
from PyPeTLib.geometry import FloatArray
from PyPeTLib.phantom import HeadOptions, bolus_curve, head_phantom
from PyPeTLib.phantom_curves import DENSITY_G_ML, HEMATOCRIT_FACTOR, tissue_curves
from PyPeTLib.phantom_options import Phantom
from PyPeTLib.phantom_scan import images_hu, label_curves, label_table, scene_of, true_motion
from PyPeTLib.pipeline import finish, prepare
from PyPeTLib.progress import silent
from PyPeTLib.records import Curves
from PyPeTLib.scan import Series
from PyPeTLib.settings import Settings, parse_assignment
from PyPeTLib.truth import tissue_classes

#: What is done to the ideal, in the order in which it is added.
CAUSES = ("truncation", "window", "sampling", "AIF error", "mixed voxels", "smoothing", "noise", "magnitude of k")
ALL = frozenset(CAUSES)
CLASSES = ("gray matter", "white matter", "penumbra", "core")
#: The mildest cut-off: below it rounding and interpolation of the simulated curves are what is amplified.
MILD_CUTOFF = 1e-4
FINE_S, LONG_S = 0.25, 240.0
METHODS = ("bSVD", "bayesian")
#: An even sample of so many voxels of a class.
SAMPLE = 300


@dataclass(frozen=True)
class Head:
    """The sampled voxels of one head: truth, what ``changes`` their curves (voxel, t) in HU, and MTT of whole runs."""

    options: HeadOptions
    settings: Settings
    times_s: FloatArray
    truth: dict[str, FloatArray]
    classes: npt.NDArray[np.str_]
    aif_error: FloatArray
    changes: dict[str, FloatArray]
    found_s: dict[str, FloatArray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="heads; the median is shown")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting")
    options = parser.parse_args()
    start = time.perf_counter()
    settings = Settings().changed(dict(parse_assignment(text) for text in options.set))
    heads = [sampled(HeadOptions(seed=FIRST_SEED + index), settings) for index in range(options.seeds)]
    report(heads)
    print(f"\nHeads of 16×220×220×55 at 6 HU: {options.seeds}, {time.perf_counter() - start:.0f} s in all.")


def report(heads: list[Head]) -> None:
    """Print the tables."""
    true = [np.median([np.median(one.truth["mtt_s"][one.classes == name]) for one in heads]) for name in CLASSES]
    head("", list(CLASSES))
    row("true MTT", [shown(float(value), 2) for value in true])
    ideal, real = (errors(heads, causes) for causes in (frozenset(), ALL))
    title("added to the ideal, one alone", "ideal", ideal)
    for cause in CAUSES:
        line(cause, errors(heads, frozenset({cause})), ideal)
    title("added in turn", "ideal", ideal)
    before, causes = ideal, frozenset[str]()
    for cause in CAUSES:
        causes |= {cause}
        now = errors(heads, causes)
        line(f"+ {cause}", now, before)
        before = now
    title("removed from the real chain, one alone", "real chain", real)
    for cause in CAUSES:
        line(f"without {cause}", errors(heads, ALL - {cause}), real)
    for method in METHODS:
        line(f"`method={method}`", summary(heads, [one.found_s[method] for one in heads]), real)


def title(what: str, first: str, found: FloatArray) -> None:
    print()
    head(what, list(CLASSES))
    row(first, [f"{shown(median, 2)} / {shown(rms, 2)}" for median, rms in found])


def line(name: str, now: FloatArray, before: FloatArray) -> None:
    """Print median and RMS error in s, and by how much the median differs from that of the row it is compared with."""
    rows = zip(now, now[:, 0] - before[:, 0], strict=True)
    row(name, [f"{shown(m, 2)} / {shown(r, 2)} ({'+' if by >= 0 else ''}{shown(by, 2)})" for (m, r), by in rows])


def errors(heads: list[Head], causes: frozenset[str]) -> FloatArray:
    """Return median and RMS error of MTT in s for some causes, shape (class, 2): the median of the heads."""
    return summary(heads, [transit_times(one, causes) for one in heads])


def summary(heads: list[Head], found: list[FloatArray]) -> FloatArray:
    figures = np.empty((len(heads), len(CLASSES), 2))
    for index, (one, mtt_s) in enumerate(zip(heads, found, strict=True)):
        for place, name in enumerate(CLASSES):
            off = (mtt_s - one.truth["mtt_s"])[one.classes == name]
            figures[index, place] = np.nanmedian(off), np.sqrt(np.nanmean(off**2))
    return np.asarray(np.median(figures, axis=0))


def transit_times(one: Head, causes: frozenset[str]) -> FloatArray:
    """Return MTT in s of every voxel, as the SVD finds it where only these causes act, shape (voxel,)."""
    step, length = 1.0 if "sampling" in causes else FINE_S, one.times_s[-1] if "window" in causes else LONG_S
    times = np.arange(0.0, length + 0.5 * step, step)
    aif = arterial_curve(one.options)(times) + ("AIF error" in causes) * at(times, one.aif_error[None], one.times_s)[0]
    change = sum((one.changes[name] for name in one.changes if name in causes), np.zeros_like(one.changes["noise"]))
    curves = true_curves(one.options, one.truth, times) + at(times, change, one.times_s)
    cutoff = one.settings.bsvd_cutoff if "truncation" in causes else MILD_CUTOFF
    response = responses(curves, aif, step, cutoff)
    flow = peaks(np.abs(response) if "magnitude of k" in causes else response)[:, 0]
    weights = area_weights(times)
    volume = curves @ weights / (aif @ weights)
    return np.asarray(np.where(volume > 0, volume, np.nan) / flow)


def responses(curves: FloatArray, aif: FloatArray, step: float, cutoff: float) -> FloatArray:
    """Return what `deconvolve.inverse` gives for bSVD, in double precision and for any cut-off, shape (voxel, lag)."""
    longer = continuation(aif.size)
    spectrum = step * np.fft.rfft(longer @ aif)
    kept = np.abs(spectrum) >= cutoff * np.abs(spectrum).max()
    found = np.where(kept, np.fft.rfft(curves @ longer.T, axis=1) / np.where(kept, spectrum, 1.0), 0.0)
    found[:, -1] *= 0.5  # interpolation splits the highest frequency between its two signs
    return OVERSAMPLING * np.fft.irfft(found, OVERSAMPLING * 2 * aif.size, axis=1)


def at(wanted_s: FloatArray, curves: FloatArray, times_s: FloatArray) -> FloatArray:
    """Return curves at other times; beyond the scan they decay as deconvolution assumes."""
    longer = curves @ continuation(times_s.size).T
    even = times_s[0] + (times_s[1] - times_s[0]) * np.arange(longer.shape[1])
    return np.stack([np.interp(wanted_s, even, curve, right=0.0) for curve in longer])


def arterial_curve(options: HeadOptions) -> partial[FloatArray]:
    shape = {"width_s": options.bolus_width_s, "peak_hu": options.bolus_peak_hu, "recirculation": options.recirculation}
    return partial(bolus_curve, arrival_s=options.bolus_arrival_s, **shape)


def true_curves(options: HeadOptions, truth: dict[str, FloatArray], times_s: FloatArray) -> FloatArray:
    start = options.bolus_arrival_s - 1.0
    return tissue_curves(times_s, arterial_curve(options), start_s=start, residue=options.residue, **truth)


def sampled(options: HeadOptions, settings: Settings) -> Head:
    """Run a head, with noise and without, and sample its voxels."""
    phantom = head_phantom(options)
    prepared = prepare(phantom.series, settings)
    times, brain, classes = phantom.series.times_s, prepared.brain.values, tissue_classes(phantom)
    voxels = {name: np.flatnonzero(classes[name] & brain) for name in CLASSES}
    places = {name: each[:: -(-each.size // SAMPLE)] for name, each in voxels.items()}
    sample = np.concatenate(list(places.values()))
    rows = np.cumsum(brain.ravel())[sample] - 1
    cbf, mtt, delay = (phantom.truth[name].values.ravel()[sample].astype(float) for name in ("cbf", "mtt", "delay"))
    truth = {"height_per_s": cbf / 6000.0 * DENSITY_G_ML / HEMATOCRIT_FACTOR, "mtt_s": mtt, "delay_s": delay}
    plain, smoothed = clean_curves(phantom, prepared, rows)
    projected = [one.coefficients[rows].astype(float) @ one.basis for one in (smoothed, prepared.curves)]
    stages = itertools.pairwise([true_curves(options, truth, times), plain, *projected])
    changes = dict(
        zip(("mixed voxels", "smoothing", "noise"), [after - before for before, after in stages], strict=True)
    )
    runs = {name: finish(replace(prepared, settings=settings.changed({"method": name}))) for name in METHODS}
    found = {name: run.maps.mtt.values.ravel()[sample] for name, run in runs.items()}
    names = np.repeat(list(places), [each.size for each in places.values()])
    return Head(options, settings, times, truth, names, prepared.aif.curve_hu - phantom.aif_hu, changes, found)


def clean_curves(phantom: Phantom, prepared: Prepared, rows: npt.NDArray[np.intp]) -> tuple[FloatArray, Curves]:
    """Return curves of the same scan without noise: as they are, and smoothed as widely as those with noise."""
    options, times, settings, brain = phantom.options, phantom.series.times_s, prepared.settings, prepared.brain.values
    geometry, baseline = phantom.series.geometry, prepared.bolus.baseline_frames
    label_hu = label_curves(options, label_table(options), times)
    scan = np.stack(list(images_hu(scene_of(options, geometry), label_hu, *true_motion(options, times), geometry)))
    raw = scan[:, brain][:, rows].T.astype(float)
    hu = masked_hu(Series(scan, times, geometry), brain, settings=settings, progress=silent)
    curves = replace(
        enhancement(hu, baseline, brain, geometry, drift_hu=np.zeros(len(hu)), settings=settings),
        noise=prepared.curves.noise,
    )
    smoothed = smooth(curves, geometry, settings=settings, progress=silent)
    return raw - raw[:, :baseline].mean(axis=1, keepdims=True), smoothed


if __name__ == "__main__":
    main()
