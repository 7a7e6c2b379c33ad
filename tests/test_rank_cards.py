"""What must hold of the rank, on cards and through APDUs: one-card, two-card and the arithmetic alone say the same, whatever the rules."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import Answer, Customer, Shop
from joren.apdu import CLA_JOREN, SW, Ins, Kind
from joren.apdu.state import DEFAULT_RULES, RankRules, Slot, State
from joren.apdu.transaction import Order
from joren.applet.rank import Purchase, TimeJump, aged, purchase, rank_at, score, score_at
from test_rank import any_rules, logs, u16, u32

LIMITS = replace(Customer().limits, categories=0xFFFF, factor_max_tenths=0xFF)
ENOUGH = 0xFFFFFFFF
orders = st.builds(
    Order, hour=u16, amount=u32 | st.integers(0, 100_000), category=st.integers(0, 15), factor_tenths=st.integers(1, 0xFF),
    shop=st.just(7), sequence=st.just(1),
)  # fmt: skip


def card(rules: RankRules) -> Customer:
    return Customer(rules=rules, limits=LIMITS)


def state_of(customer: Customer) -> State:
    return State.decode(customer.get_state().data[:32])


def told(customer: Customer, hour: int) -> tuple[int, int, tuple[int, ...]]:
    """GET RESULT for the holder: rank, score, the four values."""
    data = customer.send(CLA_JOREN, Ins.GET_RESULT, 1, 0, hour.to_bytes(2), 31).data
    return data[0], int.from_bytes(data[1:3]), tuple(int.from_bytes(data[at : at + 4]) for at in range(3, 19, 4))


def without_jumps(rules: RankRules) -> RankRules:
    return replace(rules, jump_max_hours=0xFFFF)


@given(rules=any_rules, bought=st.lists(orders, min_size=1, max_size=6))
@settings(deadline=None)
def test_both_ways_and_the_arithmetic_agree(rules: RankRules, bought: list[Order]) -> None:
    """REQ-TRX-5, REQ-CMP-2, REQ-COM-2, REQ-RANK-22: state, points, rank, score at every purchase in any order; or 9404, and nothing."""
    alone, served, shop = card(rules), card(rules), Shop(rules=rules, limits=LIMITS, points_left=ENOUGH)
    state = State.blank()
    for order in bought:
        kept = alone.chip.snapshot(), served.chip.snapshot(), shop.chip.snapshot()
        response = alone.transact(Kind.PURCHASE, order)
        try:
            state, points = purchase(state, rules, Purchase(order.hour, order.amount, order.category, order.factor_tenths))
        except TimeJump:
            refused = shop.chip.process(shop.compute_command(served, order))
            assert (response.sw, refused.sw) == (SW.TIME_JUMP, SW.TIME_JUMP)
            assert (alone.chip.snapshot(), served.chip.snapshot(), shop.chip.snapshot()) == kept
            continue
        one = Answer.of(response).outcome
        two = shop.purchase(served, order.amount, hour=order.hour, category=order.category, factor=order.factor_tenths, shop=7).outcome
        assert one == two
        assert (one.points, one.rank, one.score) == (points, state.rank, score(state, rules))
        assert state_of(alone) == state_of(served) == state


@given(rules=any_rules, log=logs, more=st.lists(st.sampled_from([0, 1, 700, 20_000]), min_size=12, max_size=12), later=u16)
@settings(deadline=None)
def test_more_money_never_less(rules: RankRules, log: list[tuple[int, int, int]], more: list[int], later: int) -> None:
    """REQ-RANK-19: two cards, the same taps, one with larger amounts; at every tap, and at any hour afterwards."""
    rules = without_jumps(rules)
    poor, rich, hour = card(rules), card(rules), 0
    for (wait, amount, category), extra in zip(log, more, strict=False):
        hour = min(hour + wait, 0xFFFF)
        less = poor.buy(amount, hour=hour, category=category).outcome
        most = rich.buy(amount + extra, hour=hour, category=category).outcome
        assert less.rank <= most.rank
        assert less.score <= most.score
    less_told, most_told = told(poor, later), told(rich, later)
    assert less_told[0] <= most_told[0]
    assert less_told[1] <= most_told[1]
    assert all(one <= other for one, other in zip(less_told[2], most_told[2], strict=True))


@given(rules=any_rules, log=logs, hours=st.tuples(u16, u16))
@settings(deadline=None)
def test_a_longer_wait_never_more_and_reading_changes_nothing(
    rules: RankRules, log: list[tuple[int, int, int]], hours: tuple[int, int]
) -> None:
    """REQ-RANK-17, REQ-RANK-20, REQ-RES-1: what a card tells for an hour is what the arithmetic reads from its state."""
    rules = without_jumps(rules)
    customer, hour = card(rules), 0
    for wait, amount, category in log:
        hour = min(hour + wait, 0xFFFF)
        customer.buy(amount, hour=hour, category=category)
    before, state = customer.chip.snapshot(), state_of(customer)
    sooner, later = (told(customer, one) for one in sorted(hours))
    assert later[0] <= sooner[0]
    assert later[1] <= sooner[1]
    assert all(less <= more for less, more in zip(later[2], sooner[2], strict=True))
    at = max(hours)
    assert later == (rank_at(state, rules, at), score_at(state, rules, at), aged(state, rules, at))
    assert customer.chip.snapshot() == before


@given(amounts=st.lists(st.integers(0, 700_000), max_size=20), factor=st.integers(1, 30), by_card=st.booleans())
@settings(deadline=None)
def test_one_purchase_or_many_earn_the_same(amounts: list[int], factor: int, by_card: bool) -> None:
    """REQ-RANK-21: at one rate nothing is lost or won by splitting; the carry on the card holds what was not yet a point."""
    still = replace(DEFAULT_RULES, slots=(Slot(0, 0, 0, 0, 0),) * 4)
    customer, shop, total = card(still), Shop(rules=still, limits=LIMITS, points_left=ENOUGH), 0
    for amount in amounts:
        answer = shop.purchase(customer, amount, factor=factor) if by_card else customer.buy(amount, factor=factor)
        total += answer.outcome.points
    assert total * 10_000 + state_of(customer).carry == sum(amounts) * (still.rate_bp[0] * factor // 10)
