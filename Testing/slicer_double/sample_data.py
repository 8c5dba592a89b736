"""``SampleData``: remembers which samples a module offers."""
# ruff: noqa: N802, N803 - the names are those of the real module

from __future__ import annotations

import sys
import types

registered: list[dict] = []


class SampleDataLogic:
    """The part of the SampleData module that a module calls to offer a sample."""

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        if uris is None or fileNames is None:
            raise TypeError("object of type 'NoneType' has no len()")
        registered.append({name: value for name, value in locals().items() if value is not None})


def install() -> None:
    """Make ``import SampleData`` find this."""
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    sys.modules["SampleData"] = module
