"""Imports what draws a comparison, where that can be imported: a broken package would end the server of processes."""

from PyPeTLib.packages import usable

if usable("matplotlib"):
    import PyPeTLib.compare_figures  # noqa: F401
