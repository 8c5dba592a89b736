"""Limits of agreement, intraclass correlation, overlap and kappa, against published and analytic cases."""

from __future__ import annotations

import numpy as np
import pytest

from PyPeTLib.agreement import Limits, dice, icc_agreement, kappa, limits_of_agreement

#: Six subjects, four judges: table 2 of Shrout and Fleiss 1979.
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)


def test_icc_is_that_of_the_published_example():
    assert icc_agreement(SHROUT) == pytest.approx(0.29, abs=0.005)


def test_icc_is_the_share_of_variance_between_things():
    """Analytic: things of variance 4, a bias of raters of variance 1 (1 and −1: n − 1), errors of variance 0.5."""
    generator = np.random.default_rng(0)
    things = generator.normal(0.0, 2.0, 200_000)
    ratings = (
        things[:, None] + np.array([0.5, -0.5]) * np.sqrt(2.0) + generator.normal(0.0, np.sqrt(0.5), (things.size, 2))
    )
    assert icc_agreement(ratings) == pytest.approx(4.0 / (4.0 + 1.0 + 0.5), abs=0.005)


def test_icc_is_lowered_by_a_bias_and_by_a_scale_where_pearsons_is_not():
    one = np.linspace(0.0, 10.0, 50)
    for other in (one + 4.0, 2.0 * one):
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(1.0)
        assert icc_agreement(np.stack([one, other], axis=1)) < 0.8


def test_icc_does_not_depend_on_order_unit_or_zero():
    again = 3.0 * SHROUT[::-1, ::-1] + 1e4
    assert icc_agreement(again) == pytest.approx(icc_agreement(SHROUT))
    assert icc_agreement(1e-9 * SHROUT) == pytest.approx(icc_agreement(SHROUT)), "small numbers vary, too"


@pytest.mark.parametrize("ratings", [np.full((5, 2), 3.0), np.full((3, 2), 12.3), np.zeros((1, 2)), np.zeros((0, 2))])
def test_icc_of_what_does_not_vary_is_not_defined(ratings):
    assert np.isnan(icc_agreement(ratings))


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_rounding_is_no_number(count):
    """Numbers that binary fractions only approach: their mean is not quite one of them."""
    ratings = np.tile([1.1, 0.1], (count, 1))
    assert icc_agreement(ratings) == 0.0, "things do not vary, raters do"
    found = limits_of_agreement(ratings[:, 0], ratings[:, 1])
    assert (found.bias, found.sd) == (pytest.approx(1.0), 0.0)
    assert limits_of_agreement(np.array([0.1 + 0.2, 0.3]), np.array([0.3, 0.3])).bias == 0.0
    small = limits_of_agreement(np.array([1e-17, 3e-17]), np.zeros(2))
    assert small.bias == pytest.approx(2e-17), "what is small itself is a number"
    part = limits_of_agreement(np.full(2, 1.0 + 1e-9), np.ones(2))
    assert part.bias == pytest.approx(1e-9, rel=1e-6), "so is a billionth: doubles hold a ten-thousandth of it"


def test_limits_hold_95_percent_of_normal_differences():
    generator = np.random.default_rng(1)
    truth = generator.uniform(0.0, 100.0, 100_000)
    found = limits_of_agreement(truth + generator.normal(3.0, 2.0, truth.size), truth)
    assert (found.bias, found.sd) == (pytest.approx(3.0, abs=0.03), pytest.approx(2.0, abs=0.03))
    apart = generator.normal(3.0, 2.0, truth.size)
    assert ((apart > found.low) & (apart < found.high)).mean() == pytest.approx(0.95, abs=0.003)


def test_limits_change_sign_with_the_order():
    one, other = np.array([1.0, 2.0, 4.0]), np.array([0.0, 2.0, 5.0])
    found, back = limits_of_agreement(one, other), limits_of_agreement(other, one)
    assert (back.bias, back.low, back.high) == (-found.bias, -found.high, -found.low)


def test_limits_of_too_few_are_not_defined():
    assert np.isnan(limits_of_agreement(np.zeros(0), np.zeros(0)).bias)
    one = limits_of_agreement(np.array([3.0]), np.array([1.0]))
    assert one.bias == 2.0
    assert np.isnan(one.low)
    assert np.isnan(Limits(0.0, float("nan")).high)
    assert limits_of_agreement(np.array([3.0, 5.0]), np.ones(2)).sd == pytest.approx(np.sqrt(2.0)), "two are enough"


def test_dice_of_known_overlaps():
    one, other = np.zeros(10, dtype=bool), np.zeros(10, dtype=bool)
    assert np.isnan(dice(one, other)), "both empty"
    one[:6] = True
    assert dice(one, other) == 0.0
    other[4:8] = True
    assert dice(one, other) == dice(other, one) == pytest.approx(2 * 2 / 10)


def test_kappa_of_the_classic_table():
    """50 grant applications, two readers: 20 both yes, 15 both no, 5 and 10 apart; agreement 0.7, by chance 0.5."""
    one = ["yes"] * 25 + ["no"] * 25
    other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert kappa(one, other) == pytest.approx(0.4)


def test_kappa_of_perfect_opposite_and_one_sided_verdicts():
    assert kappa([True, False, True], [True, False, True]) == 1.0
    assert kappa([True, False], [False, True]) == -1.0
    assert np.isnan(kappa([True, True], [True, True])), "chance alone would agree as well"
    assert np.isnan(kappa([], []))
