"""The figures of the report: what each shows, how it is drawn, and when there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from PyPeTLib.analysis import Analysis
from PyPeTLib.checks import invalid_why
from PyPeTLib.report_alternatives import (
    bolus_shown,
    curves_shown,
    lesions_shown,
    maps_shown,
    motion_shown,
    reference_shown,
    uncertainty_shown,
    vessels_shown,
)
from PyPeTLib.report_facts import KeyNumber, key_numbers
from PyPeTLib.report_sections import Picture
from PyPeTLib.report_viewer import data_address
from PyPeTLib.write import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from PyPeTLib.beside import Reference
    from PyPeTLib.figures import Theme

#: Medians and quartiles of the maps, found when they are first asked for.
Numbers = Callable[[], list[KeyNumber]]
#: Names of all figures that there may be.
FIGURES = ("maps", "reference", "lesions", "uncertainty", "vessels", "curves", "bolus", "motion")


@dataclass(frozen=True)
class Drawing:
    """One figure: title, caption, what it shows, how it is drawn on light and dark paper; montages are dark on both."""

    title: str
    caption: str
    shows: Callable[[], str]
    draw: Callable[[Theme], Figure]
    themed: bool = False


def drawings(analysis: Analysis, reference: Reference | None) -> dict[str, Drawing]:
    """Return the figures that there are of a run, by the name of their file.

    Parameters
    ----------
    analysis : Analysis
        The run.
    reference : beside.Reference or None
        Maps to compare with.
    """
    numbers = cache(lambda: key_numbers(analysis.maps, analysis.tissue))
    found = {
        **_maps(analysis, reference, numbers),
        **_lesions(analysis),
        **_uncertainty(analysis, numbers),
        **_vessels(analysis),
        **_motion(analysis),
    }
    if invalid_why(analysis.checks):
        return {name: replace(one, draw=_marked(one.draw)) for name, one in found.items()}
    return found


def report_pictures(analysis: Analysis, reference: Reference | None) -> dict[str, Picture]:
    """Draw and encode the figures of a run for its page; parameters are those of `drawings`."""
    from PyPeTLib.figures import webp

    def encoded(one: Drawing) -> Picture:
        light, *dark = [
            data_address(webp(one.draw(theme), lossless=one.themed))
            for theme in (("light", "dark") if one.themed else ("light",))
        ]
        return Picture(one.title, one.caption, one.shows(), light, "".join(dark))

    return {name: encoded(one) for name, one in drawings(analysis, reference).items()}


def write_figures(analysis: Analysis, folder: Path, *, reference: Reference | None) -> None:
    """Write every figure of the report, on light paper, as PNG and as SVG.

    Parameters
    ----------
    analysis : Analysis
        The run.
    folder : Path
        An existing folder; pictures of the same names are replaced.
    reference : beside.Reference or None
        Maps to compare with.

    Raises
    ------
    InputError
        If a picture cannot be written.
    """
    from PyPeTLib.figures import png, svg

    for name, one in drawings(analysis, reference).items():
        figure = one.draw("light")
        write_bytes(png(figure), folder / f"{name}.png")
        write_bytes(svg(figure), folder / f"{name}.svg")


def former_figures(folder: Path) -> set[str]:
    """Return the names of the figures in a folder that `write_figures` made: they say so, others may have their names.

    Parameters
    ----------
    folder : Path
        May be missing.
    """
    from PyPeTLib.figures import is_ours

    files = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    return {name for name in files if (folder / name).is_file() and is_ours(folder / name)}


def _marked(draw: Callable[[Theme], Figure]) -> Callable[[Theme], Figure]:
    """Return how the figure of an invalid run is drawn."""
    from PyPeTLib.figures import mark_invalid

    return lambda theme: mark_invalid(draw(theme))


def _maps(analysis: Analysis, reference: Reference | None, numbers: Numbers) -> dict[str, Drawing]:
    from PyPeTLib.figures import maps_figure, reference_figure

    caption = "Colours have the same range in every report. The patient's left (L) is on the right."
    found = {
        "maps": Drawing(
            "Perfusion maps", caption, lambda: maps_shown(analysis, numbers()), lambda _: maps_figure(analysis)
        )
    }
    if reference is not None:
        maps = {name: reference.maps[name] for name, _ in analysis.maps.items() if name in reference.maps}
        text = "The maps that were given, in the same slices, windows and colours."
        caption = " ".join([text, *reference.sentences()])
        shows = partial(reference_shown, analysis, maps)
        found["reference"] = Drawing("Reference maps", caption, shows, lambda _: reference_figure(analysis, maps))
    return found


def _lesions(analysis: Analysis) -> dict[str, Drawing]:
    from PyPeTLib.overlays import lesions_figure

    if analysis.lesions.hypoperfusion is None:
        return {}
    caption = (
        "Core in red, hypoperfusion in yellow: tinted voxel by voxel on the scan before contrast, outlined on the maps "
        "by lines smoothed by a pixel, solid around the core, dashed around hypoperfusion. Large vessels and CSF "
        "belong to neither."
    )
    shows = partial(lesions_shown, analysis)
    return {"lesions": Drawing("Core and hypoperfusion", caption, shows, lambda _: lesions_figure(analysis))}


def _uncertainty(analysis: Analysis, numbers: Numbers) -> dict[str, Drawing]:
    from PyPeTLib.figures import uncertainty_figure

    if not analysis.maps.sd:
        return {}
    caption = (
        "Standard deviation of the value of a single voxel, in half the range of its map; the mean of a region is "
        "known better. 1.645 times as much on both sides is the 90 % interval."
    )
    return {
        "uncertainty": Drawing(
            "Uncertainty",
            caption,
            lambda: uncertainty_shown(analysis, numbers()),
            lambda _: uncertainty_figure(analysis),
        )
    }


def _vessels(analysis: Analysis) -> dict[str, Drawing]:
    """Return the places of artery and vein, if any has voxels, their curves and the bolus."""
    from PyPeTLib.overlays import vessels_figure
    from PyPeTLib.plots import bolus_figure, curves_figure

    place = "The slice with most voxels of each: AIF in purple, VOF in blue. The square is the close-up."
    curves = "Arterial input (AIF), venous output (VOF) and mean of the brain, as enhancement above the baseline."
    bolus = "Rise of the earliest, tallest vessels as a share of its maximum; what counts as arrival is dotted."
    shown = {name: partial(words, analysis) for name, words in _WORDS.items()}
    found = {
        "vessels": Drawing("Place of the vessels", place, shown["vessels"], lambda _: vessels_figure(analysis)),
        "curves": Drawing("Curves", curves, shown["curves"], lambda theme: curves_figure(analysis, theme), themed=True),
        "bolus": Drawing("Bolus", bolus, shown["bolus"], lambda theme: bolus_figure(analysis, theme), themed=True),
    }
    vein = analysis.vof is not None and analysis.vof.mask.values.any()
    if not (vein or analysis.aif.mask.values.any()):
        del found["vessels"]
    return found


_WORDS = {"vessels": vessels_shown, "curves": curves_shown, "bolus": bolus_shown}


def _motion(analysis: Analysis) -> dict[str, Drawing]:
    from PyPeTLib.plots import motion_figure

    motion = analysis.motion
    if motion is None:
        return {}
    caption = "Shift of the scan's centre and turn against the first frame, and the largest displacement of the skull."
    name, shows = analysis.series.name, partial(motion_shown, motion)
    return {"motion": Drawing("Motion", caption, shows, lambda theme: motion_figure(name, motion, theme), themed=True)}
