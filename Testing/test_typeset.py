"""Numbers for readers: a minus sign, no negative zero; where letters lack, a hyphen."""

from __future__ import annotations

import pytest

from PyPeTLib.geometry import Geometry
from PyPeTLib.report_facts import number_text
from PyPeTLib.similarity import metric_digits
from PyPeTLib.typeset import FEW_LETTERS, rounded, typeset


@pytest.mark.parametrize(
    ("digits", "printed"),
    [
        *[
            ("-2.3", "−2.3"),
            ("2.3", "2.3"),
            ("-0.0", "0.0"),
            ("-0", "0"),
            ("0.00", "0.00"),
            ("-0%", "0%"),
            ("-0 %", "0 %"),
        ],
        *[("-3%", "−3%"), ("1e-05", "1e−05"), ("-1e-05", "−1e−05"), ("-inf", "−inf"), ("-0.05", "−0.05")],
    ],
)
def test_a_hyphen_becomes_a_minus_sign_and_zero_has_none(digits, printed):
    assert typeset(digits) == printed


def test_what_formats_numbers_for_readers_does_so_too():
    assert [rounded(value, "mL") for value in (-0.04, -0.06, 0.0)] == ["0.0", "−0.1", "0.0"]
    assert (number_text(-1.5), number_text(-0.0)) == ("−1.50", "0.00")
    assert metric_digits("NCC", -0.0001) == "0.000"
    assert metric_digits("Bias", -12.34) == "−12.3"
    assert "origin (−3, 0, 20) mm" in Geometry((4, 3, 2), (1.0, 1.0, 8.0), (-3.0, -0.0, 20.0)).describe()


def test_where_letters_lack_no_sign_is_lost():
    assert "−5 ± 2 κ".encode("latin-1", errors=FEW_LETTERS) == b"-5 \xb1 2 ?"
    assert "−5 ± 2 κ".encode("ascii", errors=FEW_LETTERS) == b"-5 ? 2 ?"
