"""The measures of foresight, by hand and against all orders of the cards."""

from fractions import Fraction
from itertools import pairwise, permutations
from statistics import mean

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from joren.host.replay.measure import auc, gain_curve, gini

cards = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=6)


def area(spending: tuple[int, ...]) -> Fraction:
    """Area under the gain curve of cards in this order, less that under the diagonal: trapezium after trapezium."""
    n, total = len(spending), sum(spending)
    sums = [sum(spending[:count]) for count in range(n + 1)]
    return sum((Fraction(a + b, 2 * n * total) for a, b in pairwise(sums)), -Fraction(1, 2))


def orders(pairs: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The spending of the cards in every order that has no higher score after a lower one."""
    return [
        tuple(spent for _, spent in order)
        for order in permutations(pairs)
        if all(one[0] >= next_one[0] for one, next_one in pairwise(order))
    ]


class TestGini:
    @pytest.mark.parametrize(
        ("scores", "spending", "expected"),
        [
            ([3, 2, 1], [9, 5, 1], 1.0),
            ([1, 2, 3], [9, 5, 1], -1.0),
            ([7, 7, 7], [9, 5, 1], 0.0),
            ([2, 1], [0, 8], -1.0),
            ([2, 1, 0], [0, 8, 0], 0.0),  # the buyer in the middle
            ([2, 2, 0], [0, 8, 0], 0.5),  # the buyer first or in the middle
            ([4, 3, 2, 1], [5, 10, 0, 5], 1 / 3),  # sums 5 15 15 20 against 10 15 20 20 at best, both less 5 10 15 20
        ],
    )
    def test_by_hand(self, scores: list[float], spending: list[float], expected: float) -> None:
        assert gini(scores, spending) == pytest.approx(expected)

    @given(pairs=cards)
    def test_is_the_mean_over_all_orders(self, pairs: list[tuple[int, int]]) -> None:
        scores, spending = zip(*pairs, strict=True)
        assume(len(set(spending)) > 1)
        perfect = area(tuple(sorted(spending, reverse=True)))
        assert gini(scores, spending) == pytest.approx(float(mean(area(order) for order in orders(pairs)) / perfect))

    @given(pairs=cards, factor=st.integers(1, 1000))
    def test_only_the_order_of_scores_counts(self, pairs: list[tuple[int, int]], factor: int) -> None:
        scores, spending = zip(*pairs, strict=True)
        assume(len(set(spending)) > 1)
        stretched = [score**3 * factor - 5 for score in scores]
        assert gini(stretched[::-1], [spent * factor for spent in spending[::-1]]) == pytest.approx(gini(scores, spending))

    @pytest.mark.parametrize("spending", [[], [0, 0], [4, 4, 4], [0.1, 0.1, 0.1]])
    def test_all_alike(self, spending: list[float]) -> None:
        with pytest.raises(ValueError, match=r"^spending: cards that differ expected"):
            gini(list(range(len(spending))), spending)


class TestAuc:
    @pytest.mark.parametrize(
        ("scores", "bought_again", "expected"),
        [
            ([2, 1], [True, False], 1.0),
            ([2, 1], [False, True], 0.0),
            ([2, 2], [False, True], 0.5),
            ([5, 4, 4, 1], [True, False, True, False], 0.875),  # of 4 pairs 3 won, 1 tied
        ],
    )
    def test_by_hand(self, scores: list[float], bought_again: list[bool], expected: float) -> None:
        assert auc(scores, bought_again) == expected

    @given(pairs=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40))
    def test_is_the_share_of_pairs_won(self, pairs: list[tuple[int, bool]]) -> None:
        buyers = [score for score, bought in pairs if bought]
        others = [score for score, bought in pairs if not bought]
        assume(buyers and others)
        won = [1.0 if buyer > other else 0.5 if buyer == other else 0.0 for buyer in buyers for other in others]
        assert auc([score for score, _ in pairs], [bought for _, bought in pairs]) == pytest.approx(mean(won))

    @pytest.mark.parametrize("bought_again", [[], [True, True], [False]])
    def test_all_alike(self, bought_again: list[bool]) -> None:
        with pytest.raises(ValueError, match=r"^bought_again: some that did and some that did not expected"):
            auc([1.0] * len(bought_again), bought_again)


class TestGainCurve:
    def test_by_hand(self) -> None:
        assert gain_curve([3, 2, 1, 0], [6, 0, 3, 1], points=4) == pytest.approx((0, 0.6, 0.6, 0.9, 1))
        assert gain_curve([3, 1, 1, 0], [6, 0, 3, 1], points=4) == pytest.approx((0, 0.6, 0.75, 0.9, 1))
        assert gain_curve([3, 2, 1, 0], [6, 0, 3, 1], points=8) == pytest.approx((0, 0.3, 0.6, 0.6, 0.6, 0.75, 0.9, 0.95, 1))
        assert gain_curve([1, 2, 3], [1, 1, 1], points=2) == pytest.approx((0, 0.5, 1))

    @given(pairs=cards, points=st.integers(1, 30))
    def test_rises_from_nothing_to_all(self, pairs: list[tuple[int, int]], points: int) -> None:
        scores, spending = zip(*pairs, strict=True)
        assume(sum(spending) > 0)
        curve = gain_curve(scores, spending, points)
        assert len(curve) == points + 1
        assert curve == tuple(sorted(curve))
        assert curve[0] == 0
        assert curve[-1] == pytest.approx(1)

    @given(pairs=cards)
    def test_is_the_mean_over_all_orders(self, pairs: list[tuple[int, int]]) -> None:
        scores, spending = zip(*pairs, strict=True)
        assume(sum(spending) > 0)
        means = [mean(sum(order[:count]) for order in orders(pairs)) / sum(spending) for count in range(len(pairs) + 1)]
        assert gain_curve(scores, spending, points=len(pairs)) == pytest.approx(means)

    def test_nothing_spent(self) -> None:
        with pytest.raises(ValueError, match=r"^spending: more than nothing expected"):
            gain_curve([1, 2], [0, 0])


@pytest.mark.parametrize("measure", [gini, auc, gain_curve])
def test_lengths_that_differ(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="shorter"):
        measure([1, 2], [1])
