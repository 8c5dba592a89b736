"""How far a step is: a callback with a fraction and a text; raising from it cancels."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


def silent(fraction: float, text: str) -> None:
    """Ignore progress: the default of every ``progress`` parameter."""
