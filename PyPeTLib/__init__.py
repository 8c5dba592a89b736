"""PyPeT: quantitative maps of brain perfusion from CT.

>>> from PyPeTLib import read_series, analyze
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

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
