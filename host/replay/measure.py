"""How well a score foretells what cards spend, or whether they come back, in the period after it was read.

Cards with the same score have no order among themselves. Every measure is the mean over all orders they could have, computed exactly,
so that it depends neither on chance nor on the order of the input.
"""

from collections.abc import Sequence
from itertools import groupby, pairwise

__all__ = ["auc", "gain_curve", "gini"]


def gini(scores: Sequence[float], spending: Sequence[float]) -> float:
    """The area between gain curve and diagonal, divided by that of the perfect order: 1 is perfect, 0 is chance, -1 the worst.

    scores and spending (none negative) are of the same cards in the same order. Raises ValueError where their lengths differ, and where
    all cards spend the same (or nothing, or there are none), as no order is better than another then.
    """
    achieved, perfect = _area(_gains(scores, spending)), _area(_gains(spending, spending))
    if perfect == 0:
        raise ValueError("spending: cards that differ expected, all the same came")
    return achieved / perfect


def auc(scores: Sequence[float], bought_again: Sequence[bool]) -> float:
    """The chance that a card that bought again has a higher score than one that did not, ties counted half (Mann-Whitney).

    1 is perfect, 0.5 is chance. Raises ValueError where the lengths differ, and where all cards bought again or none did.
    """
    returned, stayed_away, pairs_won = 0, 0, 0.0
    for cards, bought in _groups(scores, bought_again):
        winners = int(bought)
        losers = cards - winners
        pairs_won += losers * (returned + winners / 2)
        returned, stayed_away = returned + winners, stayed_away + losers
    if returned == 0 or stayed_away == 0:
        raise ValueError(f"bought_again: some that did and some that did not expected, {returned} and {stayed_away} came")
    return pairs_won / (returned * stayed_away)


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
    """The corners of the gain curve: cards so far, worth so far. Between two of them scores are equal: on the mean, a straight line."""
    corners: list[tuple[int, float]] = [(0, 0)]
    for cards, total in _groups(scores, worth):
        corners.append((corners[-1][0] + cards, corners[-1][1] + total))
    return corners


def _area(corners: list[tuple[int, float]]) -> float:
    """Twice the area between the curve and the straight line from its first corner to its last."""
    cards, total = corners[-1]
    return sum((end - start) * (before + after) for (start, before), (end, after) in pairwise(corners)) - cards * total
