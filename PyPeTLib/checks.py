"""Checks: what was looked at in data or result, and whether it passed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: Results of a check, the worst first.
Status = Literal["fail", "warn", "pass", "not applicable"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at in data or result, and what was found.

    Parameters
    ----------
    name : str
        What was looked at, e.g. "baseline".
    status : str
        "pass"; "warn": a doubt, the result is to be taken with caution; "fail": the data allow no trustworthy result;
        "not applicable": it could not be looked at.
    text : str
        What was found, in words and with units.
    value : float, optional
        The number that decided.
    """

    name: str
    status: Status
    text: str
    value: float | None = None

    @property
    def doubtful(self) -> bool:
        """Whether the user has to know: it warns or fails."""
        return self.status in ("warn", "fail")


def invalid_why(checks: Iterable[Check]) -> list[str]:
    """Return why a result is marked invalid: every failed check; nothing where it is not."""
    return [check.text for check in checks if check.status == "fail"]
