"""Means over neighbours that look alike are those of their definition, however many weights fit in memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from PyPeTLib import likeness_pass
from PyPeTLib.likeness_pass import Pairs, averaged, within
from PyPeTLib.progress import silent

SHAPE = (3, 5, 4)
#: Offsets that lead across the ends of rows and slices, two of them backwards.
OFFSETS = [((0, 0, 1), 0.9), ((0, 1, -2), 0.6), ((1, -3, -3), 0.5), ((2, 4, 3), 0.3)]


def images(seed, count):
    rng = np.random.default_rng(seed)
    mask = rng.random(SHAPE) > 0.2
    return rng.normal(size=(count, *SHAPE)).astype(np.float32) * mask, mask


def by_definition(values, variance, guide, mask, offsets):
    """Each pair on its own."""
    total, weight, spread = values.astype(float), mask.astype(float), variance.astype(float)
    for place in itertools.product(*map(range, SHAPE)):
        for (shift, near), sign in itertools.product(offsets, (1, -1)):
            other = tuple(np.add(place, np.multiply(sign, shift)).tolist())
            if all(0 <= at < size for at, size in zip(other, SHAPE, strict=True)) and mask[place] and mask[other]:
                distance = ((guide[(slice(None), *place)] - guide[(slice(None), *other)]) ** 2).sum()
                alike = near * np.exp(-(float(distance) ** 2))
                total[(slice(None), *place)] += alike * values[(slice(None), *other)]
                weight[place] += alike
                spread[place] += alike**2 * variance[other]
    weight = np.maximum(weight, 1.0)
    return total / weight, spread / weight**2


@pytest.mark.parametrize("span", [1, 7, 1000])
@pytest.mark.parametrize("memory", [1.0, 500.0, 1e6])
def test_means_and_variances_are_those_of_their_definition(span, memory, monkeypatch):
    monkeypatch.setattr(likeness_pass, "SPAN", span)
    monkeypatch.setattr(likeness_pass, "WEIGHED_SPAN", 2 * span)
    monkeypatch.setattr(likeness_pass, "MOST_KEPT", memory)
    values, mask = images(0, 3)
    guide = 0.5 * images(0, 5)[0][3:]
    variance = np.random.default_rng(1).random(SHAPE).astype(np.float32) * mask
    kept = {}
    found = averaged(values, variance, Pairs(guide, mask), OFFSETS, kept=kept, progress=silent)
    for one, expected in zip(found, by_definition(values, variance, guide, mask, OFFSETS), strict=True):
        np.testing.assert_allclose(one[..., mask], expected[..., mask], rtol=1e-5, atol=1e-6)
    assert set(kept) == ({shift for shift, _ in OFFSETS} if memory == 1e6 else set())
    again = averaged(values, None, Pairs(np.zeros_like(guide), mask), OFFSETS, kept=kept, progress=silent)
    assert np.array_equal(again[0], found[0]) == bool(kept), "weights that are kept are used again"
    assert not again[1].any()


def test_offsets_that_lead_nowhere_are_left_out():
    far = [((3, 0, 0), 0.5), ((0, 5, 0), 0.5), ((0, 0, 4), 0.5), ((0, 1, -4), 0.5)]
    assert within([*OFFSETS, *far], SHAPE) == OFFSETS


def test_progress_rises_to_the_end_and_cancels(monkeypatch):
    monkeypatch.setattr(likeness_pass, "MOST_KEPT", 500.0)
    values, mask = images(0, 1)
    told = []
    averaged(values, None, Pairs(values, mask), OFFSETS, progress=lambda fraction, text: told.append(fraction))
    assert told == sorted(told) and told[-1] == pytest.approx(1.0)

    def cancel(fraction, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        averaged(values, None, Pairs(values, mask), OFFSETS, progress=cancel)
