"""PyPeT: quantitative maps of brain perfusion from CT.

From a scan to maps, files and a report: ``read_series`` reads a 4D file, a folder of frames or DICOM images,
``analyze`` computes, ``write_analysis`` writes what ``pypet run`` writes. ``Settings`` holds every number and method
that can be changed, ``analyze(series, Settings(method="oSVD"))``; ``read_mask`` reads masks to be used instead of
automatic ones. What cannot be used is refused with an ``InputError``, a scan that allows no trustworthy result with a
``QualityError``. Research use only.

Examples
--------
A small digital head stands for the scan here; ``scan`` is the path of yours.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from PyPeTLib import analyze, read_series, write_analysis
>>> from PyPeTLib.phantom import HeadOptions, head_phantom
>>> from PyPeTLib.phantom_files import write_phantom
>>> head = head_phantom(HeadOptions(size=(64, 64, 4), spacing_mm=(3.2, 3.2, 10.0)))
>>> with TemporaryDirectory() as folder:
...     scan = write_phantom(head, folder)
...     analysis = analyze(read_series(scan))
...     write_analysis(analysis, folder)
...     files = sorted(path.name for path in Path(folder).iterdir())

Maps have values (z, y, x), NaN outside the brain, with unit and grid; checks say what is doubtful about them.

>>> analysis.maps.cbf.values.shape, analysis.maps.cbf.unit
((4, 64, 64), 'mL/100 g/min')
>>> [check.name for check in analysis.checks if check.status == "fail"]
[]
>>> [name for name in files if name.endswith(("_cbf.nii.gz", "_report.html", "_summary.json"))]
['phantom_cbf.nii.gz', 'phantom_report.html', 'phantom_summary.json', 'phantom_truth_cbf.nii.gz']
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 10):  # noqa: UP036 (3D Slicer before 5.10 has 3.9, and no pip that looks at its version)
    raise ImportError(
        f"PyPeT: Python 3.10 or later is needed, as in 3D Slicer 5.10; found {sys.version.split()[0]}. "
        "Install a newer 3D Slicer."
    )

if TYPE_CHECKING:
    from PyPeTLib.analysis import Analysis, Prepared
    from PyPeTLib.errors import Cancelled, InputError, PyPeTError, QualityError
    from PyPeTLib.geometry import Geometry, Image
    from PyPeTLib.pipeline import analyze, finish, prepare
    from PyPeTLib.read import read_image, read_mask, read_series
    from PyPeTLib.results import write_analysis
    from PyPeTLib.scan import Points, Series, TimeCurve
    from PyPeTLib.settings import Settings

__version__ = "0.1.0"

# BLAS kernels raise this flag now and then for finite numbers (lanes that they throw away); nobody can act on it.
warnings.filterwarnings("ignore", "invalid value encountered in matmul", RuntimeWarning, r"PyPeTLib\.")

#: Where each public name lives; imported when first used, because start-up time counts.
_HOMES = {
    "analyze": "pipeline",
    "prepare": "pipeline",
    "finish": "pipeline",
    "read_series": "read",
    "read_mask": "read",
    "read_image": "read",
    "write_analysis": "results",
    "Settings": "settings",
    "Analysis": "analysis",
    "Geometry": "geometry",
    "Image": "geometry",
    "Points": "scan",
    "Prepared": "analysis",
    "Series": "scan",
    "TimeCurve": "scan",
    "PyPeTError": "errors",
    "InputError": "errors",
    "QualityError": "errors",
    "Cancelled": "errors",
}
__all__ = [
    "Analysis",
    "Cancelled",
    "Geometry",
    "Image",
    "InputError",
    "Points",
    "Prepared",
    "PyPeTError",
    "QualityError",
    "Series",
    "Settings",
    "TimeCurve",
    "analyze",
    "finish",
    "prepare",
    "read_image",
    "read_mask",
    "read_series",
    "write_analysis",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
