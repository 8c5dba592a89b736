"""One self-contained HTML file about an analysis: volumes and findings first, pictures and a viewer embedded."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from PyPeTLib.analysis import Analysis
from PyPeTLib.display import LONGEST_NAME
from PyPeTLib.errors import InputError
from PyPeTLib.geometry import Image
from PyPeTLib.packages import mending, usable, why_not
from PyPeTLib.report_sections import Report

if TYPE_CHECKING:
    from markupsafe import Markup

    from PyPeTLib.beside import Reference

#: Optional packages that the report needs.
NEEDED = ("matplotlib", "jinja2")
#: What no line may end within.
WHOLE = re.compile(r"\b[A-Z]\w*-like\b|κ/ρ|[\d.]+ – [\d.]+ mL|[\d.]+ %")


def report_available() -> bool:
    """Tell whether the optional packages of the report can be used."""
    return usable(*NEEDED)


def report_html(analysis: Analysis, *, reference: Reference | None = None) -> str:
    """Return the report as one HTML page that loads nothing; its one script shows what the page holds.

    Parameters
    ----------
    analysis : Analysis
        The run.
    reference : beside.Reference, optional
        Maps of another program on the scan's grid, in the same units, shown beside the run's own; where they are from
        and what is doubtful about them stands below them.

    Raises
    ------
    InputError
        If matplotlib or jinja2 cannot be used, or a reference map is none of the run's, or has another grid or unit.
    """
    if not report_available():
        missing = [name for name in NEEDED if why_not(name)]
        needed = f"Report: {' and '.join(NEEDED)} are needed"
        raise InputError(f"{needed}; missing: {', '.join(missing)}. Run: {mending(*missing)}.")
    from concurrent.futures import ThreadPoolExecutor

    from PyPeTLib.report_pictures import report_pictures
    from PyPeTLib.report_sections import report_sections
    from PyPeTLib.report_viewer import viewer_data

    given: Mapping[str, Image] = {}
    if reference is not None:
        from PyPeTLib.beside import check_reference

        given = reference.maps
        check_reference(given, dict(analysis.maps.items()))
    with ThreadPoolExecutor(1) as pool:  # its compression leaves the interpreter to the drawing
        viewer = pool.submit(viewer_data, analysis, given)
        pictures = report_pictures(analysis, reference)
    return render(report_sections(analysis, pictures, viewer.result()))


def render(report: Report) -> str:
    """Return a report as HTML; every string is escaped, and nothing but the page's own style and script may act.

    Parameters
    ----------
    report : Report
        What it says.
    """
    import jinja2
    from markupsafe import Markup

    loader = jinja2.PackageLoader("PyPeTLib", "templates")
    pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    pages.filters["unbroken"] = _unbroken
    style, script = (loader.get_source(pages, name)[0] for name in ("report.css", "viewer.js"))
    style += _foot_of_pages(report)
    return pages.get_template("report.html").render(
        report=report,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _unbroken(text: str) -> Markup:
    """Return a text, escaped, in which no line ends within a name such as RAPID-like, κ/ρ, bounds, or a percentage.

    Signs that do the same would be in what is copied from the page, and found by no search.
    """
    from markupsafe import Markup, escape

    return Markup(WHOLE.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


def _foot_of_pages(report: Report) -> str:
    """Return the style that names the case on every printed page, and says where nothing on it is to be trusted."""
    name = report.name if len(report.name) <= LONGEST_NAME else f"{report.name[: LONGEST_NAME - 1]}…"
    text = f"{'INVALID – ' * bool(report.invalid)}{name} – PyPeT {report.version} – Research use only"
    quoted = "".join(one if one.isascii() and one.isalnum() else f"\\{ord(one):06x}" for one in text)  # nothing acts
    font = "font: 7.5pt system-ui, sans-serif; color: #59626d;"
    return f'@media print {{ @page {{ @bottom-left {{ content: "{quoted}"; {font} }} }} }}\n'


def _hash(source: str) -> str:
    """Return what allows an inline style or script, and no other, in a content security policy."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii") + "'"
