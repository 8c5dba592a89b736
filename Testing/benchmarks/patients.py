"""How well the defaults do on another head than that they were made with (`ellipsoids`), one line a patient.

Usage: python Testing/benchmarks/patients.py [NAME ...]
"""

from __future__ import annotations

import argparse

import numpy as np
from ellipsoids import PIXEL_MM, SLICE_MM, Patient, Truth, scan

from PyPeTLib import Analysis, analyze
from PyPeTLib.curves import area_weights
from PyPeTLib.errors import QualityError
from PyPeTLib.typeset import typeset

EVEN_S = tuple(float(t) for t in range(50))
#: Frames that become sparse after 40 s.
SPARSER_S = (*EVEN_S[:41], 45.0, 50.0, 55.0, 60.0, 70.0, 80.0, 90.0)
PATIENTS = {
    "as usual": Patient(),
    "another head and noise": Patient(seed=2),
    "bolus 5 s wide": Patient(width_s=5.0),
    "bolus 14 s wide": Patient(width_s=14.0),
    "peak of 150 HU": Patient(peak_hu=150.0),
    "every 2 s": Patient(times_s=EVEN_S[::2]),
    "1 s, then 4 s": Patient(times_s=(*EVEN_S[:30], *(30.0 + 4.0 * k for k in range(8)))),
    "noise of 8 HU": Patient(noise_hu=8.0),
    "smooth noise": Patient(smooth_noise=True),
    "residue gamma-2": Patient(residue="gamma-2"),
    "residue box": Patient(residue="box"),
    "core without flow": Patient(core=0.1),
    "healthy": Patient(lesion="none"),
    "half of the head 3 s late": Patient(lesion="none", late_half_s=3.0),
    "half of the head 7 s late": Patient(lesion="none", late_half_s=7.0),
    "half 1 s late, dispersed by 2 s": Patient(lesion="none", late_half_s=1.0, wide_half_s=2.0),
    "tumour of 10 mL/100 g": Patient(lesion="tumour"),
    "tumour that leaks 10 mL/100 g/min": Patient(lesion="tumour", leak=10.0),
    "front of both sides late": Patient(lesion="both sides"),
    "vessels 0.6 as wide": Patient(vessels=0.6),
    "80 HU in the blood before": Patient(before_hu=80.0),
    "1, 5 and 10 s, read as 1 s": Patient(times_s=SPARSER_S, told_s=EVEN_S[: len(SPARSER_S)]),
    "scan of 36 s, bolus 12 s wide": Patient(times_s=EVEN_S[:36], width_s=12.0),
    "scan of 26 s": Patient(times_s=EVEN_S[:27]),
    "scan of 22 s": Patient(times_s=EVEN_S[:23]),
    "no frame between 12 and 17 s": Patient(times_s=(*EVEN_S[:13], *EVEN_S[17:])),
    "no frame between 13 and 18 s": Patient(times_s=(*EVEN_S[:14], *EVEN_S[18:])),
}
CLASSES = ("gray", "white", "late", "core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(PATIENTS)}")
    names = parser.parse_args().names or list(PATIENTS)
    print(f"Medians in pure {', '.join(CLASSES)} tissue: CBF and CBV over the truth, Tmax less it.\n")
    print("| patient | input area / true | CBF | CBV | Tmax, s | Tmax > 6 s, mL | doubts |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        print(f"| {name} | {' | '.join(line_of(PATIENTS[name]))} |", flush=True)


def line_of(patient: Patient) -> list[str]:
    """Return what was found of a patient, as cells."""
    series, truth = scan(patient)
    try:
        analysis = analyze(series)
    except QualityError as error:
        return [f"refused: {error}"]
    weights = area_weights(series.times_s)
    area = float(analysis.aif.curve_hu @ weights) / float(truth.artery_hu @ weights)
    late_ml = np.count_nonzero(truth.tissue & (truth.maps["tmax"] > 6.0)) * PIXEL_MM**2 * SLICE_MM / 1000.0
    volume = f"{late_ml:.0f} → {analysis.lesions.volumes_ml['hypoperfusion'].ml:.0f}"
    doubts = ", ".join(check.name for check in analysis.checks if check.doubtful and check.name != "coverage")
    return [f"{area:.2f}", *(medians(analysis, truth, name) for name in ("cbf", "cbv", "tmax")), volume, doubts or "–"]


def medians(analysis: Analysis, truth: Truth, name: str) -> str:
    """Return the median error of a map in each class of tissue."""
    found, cells = getattr(analysis.maps, name).values, []
    for kind in CLASSES:
        where = truth.classes.get(kind, np.zeros(found.shape, dtype=bool)) & analysis.brain.values
        if where.any():
            one, true = found[where], truth.maps[name][where]
            error = np.nanmedian(one - true) if name == "tmax" else np.nanmedian(one / true)
            cells.append(f"{round(float(error), 1) + 0.0:.1f}" if name == "tmax" else f"{error:.2f}")
        else:
            cells.append("–")
    return typeset(", ".join(cells))


if __name__ == "__main__":
    main()
