"""The tables of a run, column by column: its curves, and the motion of the head."""

from __future__ import annotations

import numpy as np

from PyPeTLib.analysis import Prepared
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Motion


def curve_table(analysis: Prepared) -> dict[str, FloatArray]:
    """Return the columns of the curve table: time in s, enhancement in HU; NaN where there is no curve.

    ``aif_measured_hu`` is the mean of the AIF mask, ``aif_hu`` the same after partial-volume scaling (the curve that is
    deconvolved), ``aif_fit_hu`` its gamma-variate, ``brain_hu`` the mean of the brain mask after denoising.
    """
    times = np.asarray(analysis.series.times_s)
    missing = np.full(times.shape, np.nan)
    fit = analysis.aif.fit
    return {
        "time_s": times,
        "aif_measured_hu": analysis.aif.measured_hu,
        "aif_hu": analysis.aif.curve_hu,
        "aif_fit_hu": missing if fit is None else fit(times),
        "vof_hu": missing if analysis.vof is None else analysis.vof.curve_hu,
        "brain_hu": analysis.curves.mean(analysis.brain.values),
    }


def motion_table(motion: Motion) -> dict[str, FloatArray]:
    """Return the columns of the motion table, a row for every frame that was acquired.

    ``shift_{x,y,z}_mm`` is the displacement of the grid's centre and ``turn_{x,y,z}_degrees`` the rotation vector,
    both LPS, against the first frame; ``displacement_mm`` the largest displacement of any point of the skull;
    ``corrected`` and ``left_out`` are 0 or 1.
    """
    shifts = {f"shift_{axis}_mm": column for axis, column in zip("xyz", motion.shifts_mm.T, strict=True)}
    turns = {f"turn_{axis}_degrees": column for axis, column in zip("xyz", motion.rotations_degrees.T, strict=True)}
    return {
        "time_s": motion.times_s,
        **shifts,
        **turns,
        "displacement_mm": motion.displacement_mm,
        "corrected": motion.corrected.astype(float),
        "left_out": motion.left_out.astype(float),
    }
