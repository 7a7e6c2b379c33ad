"""How well a score foretells what cards spend, or whether they come back, in the period after it was read.

Cards with the same score have no order among themselves: every measure is the mean over all their orders, computed exactly, so that it does not
depend on chance or on the order of the input.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise

__all__ = ["auc", "gain_curve", "gini"]


def gini(scores: Sequence[float], spending: Sequence[float]) -> float:
    """The area between gain curve and diagonal, by that of the perfect order: 1 perfect, 0 no better than chance, -1 the reverse of perfect.

    scores and spending (none negative) are of the same cards in the same order. Raises ValueError where their lengths differ, and where all
    cards spend the same (or nothing, or there are none), as no order is better than another then.
    """
    perfect = _area(_gains(spending, spending))
    if perfect == 0:
        raise ValueError("spending: cards that differ expected, all the same came")
    return _area(_gains(scores, spending)) / perfect


def auc(scores: Sequence[float], bought_again: Sequence[bool]) -> float:
    """The chance that a card that bought again has a higher score than one that did not, ties counted half (Mann-Whitney): 1 perfect, 0.5 chance.

    Raises ValueError where the lengths differ, and where all cards bought again or none did.
    """
    buyers, others, pairs_won = 0, 0, 0.0
    for group_others, group_buyers in _groups(scores, bought_again):
        stayed = int(group_buyers)
        left = group_others - stayed
        pairs_won += left * (buyers + stayed / 2)
        buyers, others = buyers + stayed, others + left
    if buyers == 0 or others == 0:
        raise ValueError(f"bought_again: cards that did and cards that did not expected, {buyers} and {others} came")
    return pairs_won / (buyers * others)


def gain_curve(scores: Sequence[float], spending: Sequence[float], points: int = 100) -> tuple[float, ...]:
    """Share of all spending, 0..1, that the i/points of the cards with the highest scores have, for i = 0..points (points + 1 values).

    Raises ValueError where the lengths differ or nothing was spent.
    """
    corners = _gains(scores, spending)
    cards, total = corners[-1]
    if not total:
        raise ValueError("spending: more than nothing expected, nothing came")
    curve: list[float] = []
    for (start, before), (end, after) in pairwise(corners):
        while len(curve) <= points and len(curve) * cards <= end * points:
            at = len(curve) * cards / points
            curve.append((before + (after - before) * (at - start) / (end - start)) / total)
    return tuple(curve)


def _groups(scores: Sequence[float], worth: Sequence[float]) -> list[tuple[int, float]]:
    """How many cards share a score, and their worth together, from the highest score down."""
    ranked = sorted(zip(scores, worth, strict=True), reverse=True)
    groups = ([one for _, one in group] for _, group in groupby(ranked, key=lambda pair: pair[0]))
    return [(len(group), sum(group)) for group in groups]


def _gains(scores: Sequence[float], worth: Sequence[float]) -> list[tuple[int, float]]:
    """The corners of the gain curve: cards so far, worth so far. Between two, where scores are equal, the mean over all orders is a straight line."""
    corners: list[tuple[int, float]] = [(0, 0)]
    for cards, total in _groups(scores, worth):
        corners.append((corners[-1][0] + cards, corners[-1][1] + total))
    return corners


def _area(corners: list[tuple[int, float]]) -> float:
    """Twice the area between the curve and the straight line from its first corner to its last."""
    cards, total = corners[-1]
    return sum((end - start) * (before + after) for (start, before), (end, after) in pairwise(corners)) - cards * total
