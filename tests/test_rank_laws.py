"""What follows from the rules of docs/spec/rank.md, for any state, any rules and any log."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from joren.applet.rank import (
    DEFAULT_RULES,
    FALL_FACTORS,
    Purchase,
    RankRules,
    Slot,
    State,
    TimeJump,
    aged,
    purchase,
    rank_at,
    score,
    score_at,
)

ONE = 1 << 16

u8, u16, u32 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32))
slots = st.builds(Slot, rate=u16, visit=u16, cap=u16, categories=u16, share=st.integers(0, 256))


@st.composite
def rules(draw: st.DrawFn) -> RankRules:
    """Any rules that are not refused."""
    lines = st.lists(st.integers(1, 0xFFFF), min_size=4, max_size=4, unique=True).map(sorted)
    pairs = list(zip(draw(lines), draw(lines), strict=True))
    climb1, climb2, climb3, climb4 = (max(pair) for pair in pairs)
    keep1, keep2, keep3, keep4 = (min(pair) for pair in pairs)
    return RankRules(
        rules_version=draw(u8),
        amount_shift=draw(st.integers(0, 31)),
        visit_gap_hours=draw(st.integers(0, 48) | u16),
        jump_max_hours=draw(st.just(0xFFFF) | u16),
        hold_hours=draw(st.integers(1, 3000) | st.integers(1, 0xFFFF)),
        climb=(0, climb1, climb2, climb3, climb4),
        keep=(0, keep1, keep2, keep3, keep4),
        rate_bp=draw(st.tuples(u16, u16, u16, u16, u16)),
        points_cap=draw(st.just(0xFFFF) | u16),
        slots=draw(st.tuples(slots, slots, slots, slots)),
    )


@st.composite
def states(draw: st.DrawFn) -> State:
    """Any valid state."""
    first, visit, last = sorted(draw(st.tuples(u16, u16, u16)))
    return State(
        version=1,
        rank=draw(st.integers(0, 4)),
        first_hour=first,
        last_hour=last,
        visit_hour=visit,
        visits=draw(st.integers(0, 2) | u16),
        rank_hour=draw(st.integers(0, last)),
        gap8=draw(u16),
        carry=draw(st.integers(0, 9999)),
        values=draw(st.tuples(u32, u32, u32, u32)),
    )


purchases = st.builds(Purchase, hour=u16, amount_minor=u32 | st.integers(0, 100_000), category=st.integers(0, 15), factor_tenths=u8)
waits = st.integers(0, 200) | st.integers(0, 3000)
logs = st.lists(st.tuples(waits, st.integers(0, 50_000), st.integers(0, 15)), max_size=12)
any_rules = st.just(DEFAULT_RULES) | rules()


def used(**fields: object) -> State:
    """A state with one visit at hour 0 and the given fields."""
    return replace(State.blank(), visits=1, **fields)  # type: ignore[arg-type]


def one_slot(slot: Slot, **fields: object) -> RankRules:
    return replace(DEFAULT_RULES, slots=(slot, *DEFAULT_RULES.slots[1:]), **fields)  # type: ignore[arg-type]


def buy(state: State, hour: int, amount_minor: int = 0, rules: RankRules = DEFAULT_RULES, **fields: int) -> tuple[State, int]:
    return purchase(state, rules, Purchase(hour, amount_minor, **({"category": 0} | fields)))


class TestReading:
    @given(made=rules())
    def test_rules_come_back(self, made: RankRules) -> None:
        """REQ-RANK-04: rates may fall from rank to rank."""
        assert RankRules.decode(made.encode()) == made

    @given(state=states(), made=any_rules, hour=u16)
    def test_a_purchase_starts_from_what_was_read(self, state: State, made: RankRules, hour: int) -> None:
        """REQ-RANK-17: a purchase that deposits nothing leaves the values that were read, and earns at the rank that was read."""
        first, second, third, fourth = (replace(slot, categories=0) for slot in made.slots)
        quiet = replace(made, jump_max_hours=0xFFFF, rate_bp=(1, 2, 3, 4, 5), points_cap=5, slots=(first, second, third, fourth))
        after, points = buy(replace(state, carry=0), hour, 10_000, quiet)
        assert after.values == aged(state, quiet, hour)
        assert score(after, quiet) == score_at(state, quiet, hour)
        assert points == rank_at(state, quiet, hour) + 1

    @given(state=states(), made=any_rules, hours=st.tuples(u16, u16))
    def test_a_longer_wait_never_more(self, state: State, made: RankRules, hours: tuple[int, int]) -> None:
        """REQ-RANK-20."""
        sooner, later = sorted(hours)
        assert all(less <= more for less, more in zip(aged(state, made, later), aged(state, made, sooner), strict=True))
        assert score_at(state, made, later) <= score_at(state, made, sooner)
        assert rank_at(state, made, later) <= rank_at(state, made, sooner)

    @given(value=u32, rate=u16, hours=st.lists(u16, min_size=1, max_size=30).map(sorted))
    def test_reading_agrees_with_writing(self, value: int, rate: int, hours: list[int]) -> None:
        """REQ-RANK-24."""
        quiet = one_slot(Slot(rate, 0, 0, 0, 256), jump_max_hours=0xFFFF)
        start = used(values=(value, 0, 0, 0))
        read = aged(start, quiet, hours[-1])[0]
        state = start
        for hour in hours[:-1]:
            state, _ = buy(state, hour, rules=quiet)
        n = len(hours) - 1
        assert abs(aged(state, quiet, hours[-1])[0] - read) <= value * (n + 1) * 1.6e-5 + n + 2


class TestWhatFollows:
    @given(start=states() | st.just(State.blank()), made=any_rules, log=logs, data=st.data())
    def test_more_money_never_less(self, start: State, made: RankRules, log: list[tuple[int, int, int]], data: st.DataObject) -> None:
        """REQ-RANK-19, after every purchase of two logs that differ in amounts alone."""
        made = replace(made, jump_max_hours=0xFFFF)
        poor = rich = start
        hour = start.last_hour
        for wait, amount, category in log:
            hour = min(hour + wait, 0xFFFF)
            more = amount + data.draw(st.sampled_from([0, 1, 700, 20_000]))
            poor, _ = buy(poor, hour, amount, made, category=category)
            rich, _ = buy(rich, hour, more, made, category=category)
            assert all(less <= more for less, more in zip(poor.values, rich.values, strict=True))
            assert score(poor, made) <= score(rich, made)
            assert (poor.rank, poor.rank_hour) <= (rich.rank, rich.rank_hour)

    @given(state=states(), made=any_rules, amount=u32, waited=st.tuples(waits, waits))
    def test_buying_later_never_more(self, state: State, made: RankRules, amount: int, waited: tuple[int, int]) -> None:
        """REQ-RANK-20, where the visit counts in both cases or in neither."""
        made = replace(made, jump_max_hours=0xFFFF)
        first, second = (min(state.last_hour + wait, 0xFFFF) for wait in sorted(waited))
        counted = [state.visits == 0 or hour - state.visit_hour >= made.visit_gap_hours for hour in (first, second)]
        assume(counted[0] == counted[1])
        sooner, later = buy(state, first, amount, made)[0], buy(state, second, amount, made)[0]
        assert all(less <= more for less, more in zip(later.values, sooner.values, strict=True))
        assert score(later, made) <= score(sooner, made)
        assert later.rank <= sooner.rank

    @given(
        carry=st.integers(0, 9999),
        rank=st.integers(0, 4),
        factor=st.integers(0, 30),
        amounts=st.lists(st.integers(0, 700_000), max_size=20),
    )
    def test_conservation(self, carry: int, rank: int, factor: int, amounts: list[int]) -> None:
        """REQ-RANK-21: at one rate, one purchase or many earn the same."""
        still = replace(DEFAULT_RULES, slots=(Slot(0, 0, 0, 0, 0),) * 4)
        state, total = used(rank=rank, carry=carry), 0
        for amount in amounts:
            state, points = buy(state, 0, amount, still, factor_tenths=factor)
            total += points
        rate = still.rate_bp[rank] * factor // 10
        assert total * 10_000 + state.carry == sum(amounts) * rate + carry

    @given(state=states(), made=any_rules, bought=st.lists(purchases, min_size=1, max_size=8))
    def test_widths(self, state: State, made: RankRules, bought: list[Purchase]) -> None:
        """REQ-RANK-02, REQ-RANK-06, REQ-RANK-22: whatever is bought in whatever order, the state stays valid."""
        for one in bought:
            before = state.encode()
            try:
                state, points = purchase(state, made, one)
            except TimeJump:
                assert one.hour - state.last_hour > made.jump_max_hours
                assert state.visits > 0
                assert state.encode() == before
            else:
                assert 0 <= points <= made.points_cap
                assert State.decode(state.encode()) == state

    @given(
        rate=u16,
        start=st.integers(0, 5_000),
        log=st.lists(st.tuples(st.integers(0, 3) | st.integers(0, 400), st.just(0) | st.integers(0, 80)), min_size=1, max_size=150),
        repeats=st.integers(1, 5),
    )
    def test_error_against_real_numbers(self, rate: int, start: int, log: list[tuple[int, int]], repeats: int) -> None:
        """REQ-RANK-23: the same steps in real numbers, at every purchase."""
        made = one_slot(Slot(rate, 0, 65_535, 0xFFFF, 0), amount_shift=0)
        state, hour, ideal, peak = used(values=(start * ONE, 0, 0, 0)), 0, float(start), float(start)
        for wait, units in log * repeats:
            steps = (min(hour + wait, 0xFFFF) * rate >> 16) - (hour * rate >> 16)
            hour = min(hour + wait, 0xFFFF)
            ideal = ideal * 2 ** (-steps / 64) + units
            peak = max(peak, ideal)
            state, _ = buy(state, hour, units, made)
            assert abs(state.values[0] / ONE - ideal) <= 2.15e-4 * peak + 93 / ONE

    @pytest.mark.parametrize("step", range(1, 64))
    def test_error_in_endless_use(self, step: int) -> None:
        """REQ-RANK-23: the same deposit every so many steps, until the value no longer grows; 2 steps are the worst."""
        value, ideal, fall = 0, 0.0, 2 ** (-step / 64)
        for _ in range(4000):
            value = (value * FALL_FACTORS[step] >> 16) + (600 << 16)
            ideal = ideal * fall + 600
        assert abs(value / ONE - ideal) <= 2.15e-4 * ideal + 93 / ONE

    @given(rate=u16, hours=st.tuples(u16, u16).map(sorted))
    def test_steps_stand_for_the_half_life(self, rate: int, hours: list[int]) -> None:
        """REQ-RANK-23."""
        start, end = hours
        steps = (end * rate >> 16) - (start * rate >> 16)
        assert 2 ** ((end - start) * rate / (64 * 65536) - steps / 64) == pytest.approx(1, rel=0.0109)
