"""The errors PyPeT raises, all with one parent."""

import errno
import re
from json import JSONDecodeError

FREE = "Free space or choose another folder"
#: What to do where the system says why a file or folder cannot be made or found.
CURES = {
    errno.ENOSPC: FREE,
    errno.EDQUOT: FREE,
    errno.EROFS: "Choose a folder on a disk that is not read-only",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.ENOTDIR: "Choose a path on which no file stands where a folder should be",
    errno.EISDIR: "Choose a name that no folder has",
}


class PyPeTError(Exception):
    """Parent of every error that PyPeT raises on purpose."""


class InputError(PyPeTError, ValueError):
    """What the user gave cannot be used: thing, need, what was found, what to do."""


class QualityError(PyPeTError, RuntimeError):
    """The data allow no trustworthy result (no bolus, no artery, no brain)."""


class Cancelled(PyPeTError):  # noqa: N818 (it is no error)
    """Raised by a progress callback to stop a run; nothing is left half-done."""


def reason_of(error: Exception) -> str:
    """Return in words why a file could not be read, without the names that Python has for it.

    Examples
    --------
    >>> reason_of(FileNotFoundError(2, "No such file or directory", "times.txt"))
    'no such file or directory'
    >>> reason_of(IsADirectoryError(21, "Is a directory", "times"))
    'a folder'
    """
    if isinstance(error, IsADirectoryError):
        return "a folder"
    if isinstance(error, OSError):
        text = error.strerror or str(error)
        return text[:1].lower() + text[1:]
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are no text in UTF-8"
    if isinstance(error, JSONDecodeError):
        return f"a mistake in line {error.lineno}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "too many brackets within each other"
    if isinstance(error, ValueError) and "set_int_max_str_digits" in str(error):
        return "a whole number of thousands of digits"
    return str(error)


def cure_of(error: OSError, otherwise: str) -> str:
    """Return what to do about an error of the operating system, without a full stop.

    Examples
    --------
    >>> cure_of(OSError(errno.ENOSPC, "No space left on device"), "Check the path")
    'Free space or choose another folder'
    """
    return CURES.get(error.errno or 0, otherwise)


def decimal_comma(word: object) -> str:
    """Return what to do about a number with a decimal comma, to stand after what was found; "" for any other word.

    Examples
    --------
    >>> decimal_comma("1,5"), decimal_comma("fast")
    (' A decimal point is needed: write 1.5.', '')
    """
    text = str(word).strip()
    with_comma = re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", text, re.IGNORECASE)
    return f" A decimal point is needed: write {text.replace(',', '.')}." if with_comma else ""


def installing(*packages: str) -> str:
    """Return the command that installs packages; PyPeT, and with it its extras, is on no index of packages.

    Examples
    --------
    >>> installing("matplotlib", "jinja2")
    'python -m pip install matplotlib jinja2'
    """
    return f"python -m pip install {' '.join(packages)}"
