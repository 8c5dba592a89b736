"""What a test of the Slicer module asks for. In a test file: ``from slicer_double.fixtures import scene``."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture
def scene():
    """A real, empty MRML scene as ``slicer.mrmlScene``, closed after the test. Needs slicer-core, not Qt."""
    if importlib.util.find_spec("slicer_core") is None:
        pytest.skip("slicer-core is not installed: pip install slicer-core")
    from .scene import boot_scene, clear_scene

    booted = boot_scene()
    clear_scene()
    yield booted
    clear_scene()
