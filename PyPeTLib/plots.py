"""Curves over time as matplotlib Figures: arterial input, venous output, brain, bolus, motion."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from PyPeTLib.analysis import Prepared
from PyPeTLib.figures import THEMES, TITLE_IN, Theme, axes_in, canvas, heading
from PyPeTLib.geometry import FloatArray
from PyPeTLib.records import Motion

#: Motion is shown up to this at least, in mm and degrees: that of a still head is no mountain range.
LEAST_MOTION = 0.5


def curves_figure(analysis: Prepared, theme: Theme = "light") -> Figure:
    """Return the vascular curves and, below on an axis of its own, the brain's mean curve.

    Parameters
    ----------
    analysis : Prepared
        The run.
    theme : {"light", "dark"}
        Dark curves on white or light curves on black.
    """
    figure = canvas(9.0, TITLE_IN + 5.1, THEMES[theme]["paper"])
    heading(figure, analysis.series.name, "Arterial input, venous output and mean of the brain", theme)
    top_in = TITLE_IN + 0.37
    vessels, brain = axes_in(figure, 0.77, top_in, 8.09, 3.0), axes_in(figure, 0.77, top_in + 3.27, 8.09, 0.94)
    brain.sharex(vessels)
    draw_vessels(vessels, analysis, theme)
    draw_brain(brain, analysis, theme)
    vessels.tick_params(labelbottom=False)
    brain.set_xlabel("time in s", color=THEMES[theme]["ink"], fontsize=9)
    figure.align_ylabels([vessels, brain])
    return figure


def bolus_figure(analysis: Prepared, theme: Theme = "light") -> Figure:
    """Return the contrast measure with its threshold and the arrival.

    Parameters
    ----------
    analysis : Prepared
        The run.
    theme : {"light", "dark"}
        Dark curves on white or light curves on black.
    """
    figure = canvas(9.0, TITLE_IN + 2.3, THEMES[theme]["paper"])
    note = "Bolus: rise of the earliest, tallest vessels; dotted: what counts as arrival"
    heading(figure, analysis.series.name, note, theme)
    draw_bolus(axes_in(figure, 0.77, TITLE_IN + 0.17, 8.09, 1.65), analysis, theme, np.empty(0))
    return figure


def motion_figure(name: str, motion: Motion, theme: Theme = "light") -> Figure:
    """Return the shifts in mm and, below, the turns in degrees of the head over time.

    Parameters
    ----------
    name : str
        Of the scan.
    motion : Motion
        The poses; frames that were left out are marked by a cross.
    theme : {"light", "dark"}
        Dark curves on white or light curves on black.
    """
    figure = canvas(9.0, TITLE_IN + 4.3, THEMES[theme]["paper"])
    heading(figure, name, "Motion of the head against the first frame", theme)
    top_in = TITLE_IN + 0.37
    shift, turn = axes_in(figure, 0.77, top_in, 8.09, 1.8), axes_in(figure, 0.77, top_in + 2.03, 8.09, 1.4)
    turn.sharex(shift)
    draw_motion(shift, motion, motion.shifts_mm, "shift in mm", theme)
    shift.plot(motion.times_s, motion.displacement_mm, "--", color=THEMES[theme]["ink"], lw=1.2, label="skull, most")
    low, high = shift.get_ylim()
    shift.set_ylim(low, max(high, 1.05 * float(motion.displacement_mm.max())))
    _name_lines(shift, theme)
    draw_motion(turn, motion, motion.rotations_degrees, "turn in °", theme)
    shift.tick_params(labelbottom=False)
    turn.set_xlabel("time in s", color=THEMES[theme]["ink"], fontsize=9)
    figure.align_ylabels([shift, turn])
    return figure


def draw_motion(axes: Axes, motion: Motion, values: FloatArray, label: str, theme: Theme) -> None:
    """Draw three parameters of the head's pose, shape (t, 3), over s: x to the left, y to the back, z up."""
    colours = THEMES[theme]
    style_axes(axes, theme)
    lines = ("-", (0, (1, 1)), "-.")  # "--" is that of the skull
    for name, key, line, column in zip(
        ("x, left", "y, back", "z, up"), ("artery", "vein", "brain"), lines, values.T, strict=True
    ):
        axes.plot(motion.times_s, column, linestyle=line, color=colours[key], lw=1.6, label=name)
        axes.plot(motion.times_s[motion.left_out], column[motion.left_out], "x", color=colours["ink"], ms=5)
    axes.set_ylabel(label, color=colours["ink"], fontsize=9)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -LEAST_MOTION), max(high, LEAST_MOTION))
    axes.set_xlim(motion.times_s[0], motion.times_s[-1])


def draw_vessels(axes: Axes, analysis: Prepared, theme: Theme) -> None:
    """Draw arterial input (measured, scaled, fitted) and venous output in HU over s."""
    colours = THEMES[theme]
    artery, times = analysis.aif, analysis.series.times_s
    style_axes(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=True)
    scaled = artery.partial_volume_factor != 1.0
    style: dict[str, Any] = {"color": colours["artery"], "marker": "o", "ms": 2.6}
    axes.plot(times, artery.measured_hu, lw=1.0, alpha=0.75 if scaled else 1.0, label="AIF, measured", **style)
    if scaled:
        label = f"AIF × {artery.partial_volume_factor:.2f}, deconvolved"
        axes.plot(times, artery.curve_hu, "-", color=colours["artery"], lw=2.0, label=label)
    if artery.fit is not None:
        fine = np.linspace(times[0], times[-1], 400)
        axes.plot(fine, artery.fit(fine), "--", color=colours["ink"], lw=1.2, label="gamma-variate fit, first pass")
    if analysis.vof is not None:
        axes.plot(times, analysis.vof.measured_hu, "-.", color=colours["vein"], lw=1.6, label="VOF, measured")
    axes.set_ylabel("enhancement in HU", color=colours["ink"], fontsize=9)
    axes.set_xlim(times[0], times[-1])
    _name_lines(axes, theme)


def draw_brain(axes: Axes, analysis: Prepared, theme: Theme) -> None:
    """Draw the mean curve of the brain in HU over s, on a scale of its own."""
    colours = THEMES[theme]
    style_axes(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=False)
    curve = analysis.curves.mean(analysis.brain.values)
    axes.plot(analysis.series.times_s, curve, "-", color=colours["brain"], lw=1.8)
    axes.set_ylabel("brain mean\nin HU", color=colours["ink"], fontsize=9)


def draw_bolus(axes: Axes, analysis: Prepared, theme: Theme, shown_s: FloatArray) -> None:
    """Draw the contrast measure over s with its threshold, the arrival and dots at the times ``shown_s``."""
    colours, bolus, times = THEMES[theme], analysis.bolus, analysis.series.times_s
    style_axes(axes, theme)
    _mark_arrival(axes, analysis, theme, labelled=True)
    axes.axhline(bolus.threshold, color=colours["quiet"], lw=0.9, ls=":")
    axes.plot(times, bolus.signal, "-", color=colours["vein"], lw=1.8)
    dots: dict[str, Any] = {"color": colours["ink"], "ms": 4.5, "clip_on": False, "zorder": 3}
    axes.plot(shown_s, np.interp(shown_s, times, bolus.signal), "o", **dots)
    axes.set_xlim(times[0], times[-1])
    axes.set_xlabel("time in s", color=colours["ink"], fontsize=9)
    axes.set_ylabel(f"contrast measure\n1 = {bolus.rise_hu:.0f} HU", color=colours["ink"], fontsize=9)


def style_axes(axes: Axes, theme: Theme) -> None:
    """Give axes quiet lines and the colours of the theme."""
    colours = THEMES[theme]
    axes.set_facecolor(colours["paper"])
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(colours["quiet"])
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=colours["ink"], labelsize=8.5, length=3, width=0.8)
    axes.grid(axis="y", color=colours["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ymargin(0.13)


def _name_lines(axes: Axes, theme: Theme) -> None:
    """Name the lines above the axes: inside, some scan's curves pass through any corner."""
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 0.98), "ncols": 4}
    axes.legend(frameon=False, fontsize=8.5, labelcolor=THEMES[theme]["ink"], handlelength=2.2, **place)


def _mark_arrival(axes: Axes, analysis: Prepared, theme: Theme, *, labelled: bool) -> None:
    """Draw a line at the bolus arrival."""
    arrival, quiet = analysis.bolus.arrival_s, THEMES[theme]["quiet"]
    axes.axvline(arrival, color=quiet, lw=1.0, ls=(0, (4, 3)))
    if labelled:
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        early = arrival < 0.18 * float(analysis.series.times_s[-1])
        place |= {"ha": "left" if early else "right", "va": "top", "fontsize": 8.5, "color": quiet}
        axes.annotate(f"bolus arrival {arrival:.1f} s", (arrival, 1.0), (5 if early else -5, -2), **place)
