"""The errors PyPeT raises, all with one parent."""


class PyPeTError(Exception):
    """Parent of every error that PyPeT raises on purpose."""


class InputError(PyPeTError, ValueError):
    """What the user gave cannot be used: thing, need, what was found, what to do."""


class QualityError(PyPeTError, RuntimeError):
    """The data allow no trustworthy result (no bolus, no artery, no brain)."""


class Cancelled(PyPeTError):  # noqa: N818 (it is no error)
    """Raised by a progress callback to stop a run; nothing is left half-done."""
