"""How far two measurements of the same thing agree: limits of agreement, intraclass correlation, overlap, kappa."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from PyPeTLib.geometry import FloatArray, MaskArray

#: Limits of agreement lie so many standard deviations from the bias: 95 % of normal differences are within.
LIMIT_SDS = 1.96
#: Results that are a smaller share of what they were computed from are rounding, and 0: doubles have 16 digits, and
#: sums over a million voxels lose some of them.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Limits:
    """Bias and 95 % limits of agreement of Bland and Altman, in the unit of what was measured; NaN of too few.

    Parameters
    ----------
    bias : float
        Mean difference, the first minus the second.
    sd : float
        Standard deviation of the differences (n − 1).
    """

    bias: float
    sd: float

    @property
    def low(self) -> float:
        """Lower limit of agreement."""
        return self.bias - LIMIT_SDS * self.sd

    @property
    def high(self) -> float:
        """Upper limit of agreement."""
        return self.bias + LIMIT_SDS * self.sd


def but_for_rounding(value: float, size: float) -> float:
    """Return 0 for a value that is no more than rounding beside the size of what it was computed from.

    Examples
    --------
    >>> but_for_rounding(0.1 + 0.2 - 0.3, 0.3), but_for_rounding(1e-17, 1e-17)
    (0.0, 1e-17)
    """
    return 0.0 if abs(value) <= ROUNDING * size else value


def limits_of_agreement(one: FloatArray, other: FloatArray) -> Limits:
    """Return bias and limits of agreement of paired measurements, all finite.

    Parameters
    ----------
    one, other : ndarray, shape (pair,)
        Measurements of the same things.

    Returns
    -------
    Limits
        The bias of no pairs, and the standard deviation of fewer than two, are NaN.

    References
    ----------
    Bland 1986, doi:10.1016/S0140-6736(86)90837-8

    Examples
    --------
    >>> found = limits_of_agreement(np.array([11.0, 9.0, 13.0]), np.array([10.0, 10.0, 10.0]))
    >>> found.bias, found.sd, round(found.high, 2)
    (1.0, 2.0, 4.92)
    """
    apart = one.astype(float) - other
    if not apart.size:
        return Limits(float("nan"), float("nan"))
    size = float(max(np.abs(one).max(), np.abs(other).max()))
    sd = float(apart.std(ddof=1)) if apart.size > 1 else float("nan")
    return Limits(but_for_rounding(float(apart.mean()), size), but_for_rounding(sd, size))


def icc_agreement(ratings: FloatArray) -> float:
    """Return the intraclass correlation of single measurements, absolute agreement: ICC(A,1).

    Two-way model (things measured × who measured), as ICC(2,1) of Shrout and Fleiss: unlike Pearson's correlation it is
    lowered by a bias and by another scale.

    Parameters
    ----------
    ratings : ndarray, shape (thing, rater)
        Measurements, all finite; at least two raters.

    Returns
    -------
    float
        At most 1; NaN of fewer than two things, or where nothing varies.

    References
    ----------
    McGraw 1996, doi:10.1037/1082-989X.1.1.30; Shrout 1979, doi:10.1037/0033-2909.86.2.420

    Examples
    --------
    >>> icc_agreement(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    1.0
    >>> icc_agreement(np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])) == 2 / 3
    True
    """
    things, raters = ratings.shape
    if things < 2 or np.ptp(ratings) <= ROUNDING * np.abs(ratings).max():
        return float("nan")
    values = ratings - ratings.mean(dtype=float)
    between = raters * float(np.sum(values.mean(axis=1) ** 2))
    of_raters = things * float(np.sum(values.mean(axis=0) ** 2))
    rest = float(np.sum(values**2)) - between - of_raters
    row, column = between / (things - 1), of_raters / (raters - 1)
    error = max(rest, 0.0) / ((things - 1) * (raters - 1))
    whole = row + (raters - 1) * error + raters * (column - error) / things
    return but_for_rounding(row - error, whole) / whole if whole > 0 else float("nan")


def dice(one: MaskArray, other: MaskArray) -> float:
    """Return twice the common volume over the sum of volumes; NaN where both are empty.

    Examples
    --------
    >>> dice(np.array([True, True]), np.array([True, False])) == 2 / 3
    True
    """
    total = one.sum() + other.sum()
    return float(2.0 * (one & other).sum() / total) if total else float("nan")


def kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """Return Cohen's kappa: agreement of two judges beyond what chance gives.

    Parameters
    ----------
    one, other : sequence
        Their verdicts on the same cases, in any words.

    Returns
    -------
    float
        At most 1, 0 for chance; NaN of no cases, and where both always say the same one thing: chance alone agrees.

    References
    ----------
    Cohen 1960, doi:10.1177/001316446002000104

    Examples
    --------
    >>> round(kappa("yyyynnnn", "yyynnnny"), 3)
    0.5
    """
    if not one:
        return float("nan")
    agreed = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    chance = sum(list(one).count(word) * list(other).count(word) for word in set(one)) / len(one) ** 2
    return (agreed - chance) / (1.0 - chance) if chance < 1.0 else float("nan")
