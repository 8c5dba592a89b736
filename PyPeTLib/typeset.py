"""Numbers as they are printed for readers; files for programs have plain digits."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Sequence

#: The minus sign, and what stands for it where letters are few.
MINUS, HYPHEN = "−", "-"
#: Decimals of a number by its unit: what is beyond is noise.
DECIMALS = {"mL/100 g/min": 1, "mL/100 g": 2, "s": 1, "mL": 1, "": 2}
#: Name of the error handler for streams that lack letters.
FEW_LETTERS = "pypet-few-letters"
#: What a name may have, and a terminal would obey: control characters but tab and line feed, and marks that turn the
#: direction of a text.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

#: Letters of a message.
LONGEST_MESSAGE = 2000


def typeset(digits: str) -> str:
    """Return a formatted number with a minus sign in place of a hyphen, and none where only zeros are left.

    Examples
    --------
    >>> typeset(f"{-2.34:.1f}"), typeset(f"{-0.04:.1f}"), typeset(f"{2e-5:.1g}")
    ('−2.3', '0.0', '2e−05')
    """
    zero = set(digits) <= set("-0. %")
    return digits.removeprefix(HYPHEN) if zero else digits.replace(HYPHEN, MINUS)


def begins(text: str) -> str:
    """Return a text as the beginning of a sentence.

    Examples
    --------
    >>> begins("gamma of shape 2"), begins("CBF"), begins("")
    ('Gamma of shape 2', 'CBF', '')
    """
    return f"{text[:1].upper()}{text[1:]}"


def rounded(value: float, unit: str) -> str:
    """Return a number with as many decimals as its unit deserves, a dash for none.

    Examples
    --------
    >>> rounded(30.277, "mL/100 g/min"), rounded(2.153, "mL/100 g"), rounded(1.5, ""), rounded(-0.62, "s")
    ('30.3', '2.15', '1.50', '−0.6')
    """
    return typeset(f"{value:.{DECIMALS.get(unit, 2)}f}") if math.isfinite(value) else "–"


def percent(share: float, decimals: int = 0) -> str:
    """Return a share in percent.

    Examples
    --------
    >>> percent(0.3), percent(-0.001), percent(0.0255, 1)
    ('30 %', '0 %', '2.5 %')
    """
    return typeset(f"{100.0 * share:.{decimals}f} %")


def counted(number: int, one: str) -> str:
    """Return how many there are of what takes an s in the plural.

    Examples
    --------
    >>> counted(1, "file"), counted(2, "other file")
    ('1 file', '2 other files')
    """
    return f"{number} {one}{'s' * (number != 1)}"


def counted_names(names: Sequence[str], one: str) -> str:
    """Return how many files there are, and the name of the first.

    Examples
    --------
    >>> counted_names(["a.txt"], "file"), counted_names(["a.txt", "b.txt"], "file")
    ('1 file, a.txt', '2 files, such as a.txt')
    """
    return f"{counted(len(names), one)}, {'such as ' * (len(names) > 1)}{names[0]}"


def harmless(text: str) -> str:
    r"""Return a text with "?" for what a terminal would obey: names of files may hold such commands.

    Examples
    --------
    >>> harmless("scan\x1b[2J_ctp")
    'scan?[2J_ctp'
    """
    return COMMANDS.sub("?", text)


def one_line(text: str) -> str:
    r"""Return a message as one harmless line, without its middle where it quotes more than anybody reads.

    Examples
    --------
    >>> one_line("scan\nOK"), len(one_line("x" * 10**6))
    ('scan?OK', 2003)
    """
    line = "?".join(harmless(text).splitlines())
    half = LONGEST_MESSAGE // 2
    return line if len(line) <= LONGEST_MESSAGE else f"{line[:half]} … {line[-half:]}"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Replace what a stream cannot encode: a minus by a hyphen, so that no sign is lost, and the rest by "?"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(HYPHEN if letter == MINUS else "?" for letter in lacking), error.end


codecs.register_error(FEW_LETTERS, _plain)
