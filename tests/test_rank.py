"""The rank arithmetic against docs/spec/rank.md: the records, its vectors, each step by hand, and what follows from the rules."""

import re
from dataclasses import replace
from decimal import Decimal, localcontext
from pathlib import Path

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

SPEC = (Path(__file__).resolve().parent.parent / "docs" / "spec" / "rank.md").read_text(encoding="utf-8")
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


class TestRecords:
    def test_state_layout(self) -> None:
        """REQ-RANK-01."""
        state = State(1, 2, 0x0304, 0x0708, 0x0506, 0x090A, 0x0607, 0x0B0C, 0x0D0E, (0x10111213, 0x14151617, 0x18191A1B, 0x1C1D1E1F))
        assert state.encode().hex() == "01020304070805060" + "90a06070b0c0d0e" + "101112131415161718191a1b1c1d1e1f"
        assert State.decode(state.encode()) == state

    @pytest.mark.parametrize(
        ("field", "value"),
        [("version", 0), ("version", 2), ("rank", 5), ("carry", 10_000), ("rank_hour", 21), ("visit_hour", 21), ("first_hour", 11)],
    )
    def test_state_that_can_not_be(self, field: str, value: int) -> None:
        """REQ-RANK-02."""
        good = used(last_hour=20, visit_hour=10, first_hour=10, rank_hour=20)
        assert State.decode(good.encode()) == good
        with pytest.raises(ValueError, match=f"^{field}: "):
            State.decode(replace(good, **{field: value}).encode())  # type: ignore[arg-type]

    @pytest.mark.parametrize("record", [State.blank(), DEFAULT_RULES, DEFAULT_RULES.slots[0]])
    def test_other_lengths_are_refused(self, record: State | RankRules | Slot) -> None:
        """REQ-RANK-02, REQ-RANK-05."""
        data = record.encode()
        for other in (b"", data[:-1], data + b"\0"):
            with pytest.raises(ValueError, match=f"{len(data)} bytes expected, {len(other)} came"):
                type(record).decode(other)

    def test_blank(self) -> None:
        """REQ-RANK-03."""
        assert State.blank().encode() == b"\x01" + bytes(31)

    def test_rules_layout(self) -> None:
        """REQ-RANK-04."""
        made = RankRules(
            1,
            2,
            0x0304,
            0x0506,
            0x0708,
            (0, 1, 2, 3, 4),
            (0, 1, 2, 3, 4),
            (9, 8, 7, 6, 5),
            0x090A,
            (*DEFAULT_RULES.slots[:3], Slot(1, 2, 3, 4, 5)),
        )
        lines = "00000001000200030004"
        slots = "0796003e0138ffff0100" + "16c100400000ffff0000" + "01df0000ffffffff0000" + "00010002000300040005"
        assert made.encode().hex() == "0102030405060708" + lines * 2 + "00090008000700060005" + "090a" + slots
        assert RankRules.decode(made.encode()) == made

    @pytest.mark.parametrize(
        ("field", "value", "named"),
        [
            ("rules_version", 256, "rules_version"),
            ("amount_shift", 32, "amount_shift"),
            ("hold_hours", 0, "hold_hours"),
            ("points_cap", 65_536, "points_cap"),
            ("visit_gap_hours", -1, "visit_gap_hours"),
            ("climb", (1, 100, 250, 600, 1500), r"climb\[0\]"),
            ("keep", (1, 75, 190, 450, 1100), r"keep\[0\]"),
            ("climb", (0, 100, 250, 250, 1500), r"climb\[3\]"),
            ("keep", (0, 75, 75, 450, 1100), r"keep\[2\]"),
            ("keep", (0, 75, 251, 450, 1100), r"keep\[2\]"),
            ("rate_bp", (0, 0, 0, 0, 65_536), r"rate_bp\[4\]"),
            ("slots", (*DEFAULT_RULES.slots[:3], Slot(0, 0, 0, 0, 257)), r"slots\[3\]\.share"),
            ("slots", (*DEFAULT_RULES.slots[:3], Slot(65_536, 0, 0, 0, 0)), r"slots\[3\]\.rate"),
        ],
    )
    def test_rules_no_card_takes(self, field: str, value: object, named: str) -> None:
        """REQ-RANK-05."""
        with pytest.raises(ValueError, match=f"^{named}: .* expected, .* came$"):
            replace(DEFAULT_RULES, **{field: value}).encode()  # type: ignore[arg-type]

    def test_rules_no_card_takes_from_bytes(self) -> None:
        """REQ-RANK-05: hold 0, and a share of 257 in the last slot."""
        data = DEFAULT_RULES.encode()
        with pytest.raises(ValueError, match=r"^hold_hours: "):
            RankRules.decode(data[:6] + b"\0\0" + data[8:])
        with pytest.raises(ValueError, match="share"):
            RankRules.decode(data[:-2] + b"\x01\x01")

    @given(made=rules())
    def test_rules_come_back(self, made: RankRules) -> None:
        """REQ-RANK-04: rates may fall from rank to rank."""
        assert RankRules.decode(made.encode()) == made

    def test_default_rules(self) -> None:
        """REQ-RANK-18."""
        rows = re.findall(r"^\| ([0-3]) \| [^|]+ \| (\d+) \| (\d+) \| (\d+) \| (\w{4}) \| (\d+) \|$", SPEC, re.MULTILINE)
        assert [Slot(int(a), int(b), int(c), int(d, 16), int(e)) for _, a, b, c, d, e in rows] == list(DEFAULT_RULES.slots)
        assert [slot.rate for slot in DEFAULT_RULES.slots[:3]] == [round(64 * 65536 / (24 * days)) for days in (90, 30, 365)]
        assert DEFAULT_RULES.encode()[:40].hex() == (
            "0106000444700870" + "0000006400fa025805dc" + "0000004b00be01c2044c" + "0064007d009600c8012c" + "ffff"
        )


class TestSteps:
    def test_vectors_of_the_specification(self) -> None:
        """REQ-RANK-06."""
        rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d) \| (\d+) \| ([0-9A-F]{64}) \|$", SPEC, re.MULTILINE)
        assert len(rows) == 11
        state = State.blank()
        for hour, amount, category, factor, points, rank, total, encoded in rows:
            state, granted = buy(state, int(hour), int(amount), category=int(category), factor_tenths=int(factor))
            assert (granted, state.rank, score(state, DEFAULT_RULES)) == (int(points), int(rank), int(total))
            assert state.encode().hex().upper() == encoded
        buy(state, 47_140)
        with pytest.raises(TimeJump):
            buy(state, 47_141)

    def test_first_purchase(self) -> None:
        """REQ-RANK-07: what an issuer put in does not age before the first purchase; its hours do not matter."""
        given_rank = replace(State.blank(), rank=3, last_hour=65_000, carry=5, values=(10 * ONE, 0, 0, 0))
        state, points = buy(given_rank, 60_000, 1000)
        assert points == 20
        assert state == State(1, 3, 60_000, 60_000, 60_000, 1, 60_000, 0, 5, (87 * ONE, 64 * ONE, 15 * ONE, 15 * ONE))

    def test_time_going_back(self) -> None:
        """REQ-RANK-07: an earlier hour counts as last_hour, whatever jump_max_hours says."""
        state, _ = buy(State.blank(), 30_000, 5000)
        assert buy(state, 10, 5000) == buy(state, 30_000, 5000)

    def test_time_jump(self) -> None:
        """REQ-RANK-07."""
        buy(State.blank(), 65_535)
        buy(used(last_hour=100), 17_620)
        with pytest.raises(TimeJump, match=r"^hour: at most 17520 after 100 expected, 17621 came$"):
            buy(used(last_hour=100), 17_621)

    def test_short_waits_add_up(self) -> None:
        """REQ-RANK-08: 2160 purchases, one an hour and each less than half a step, halve the value as one wait of 2160 hours does."""
        quiet = one_slot(Slot(1942, 0, 0, 0xFFFF, 256))
        state = used(values=(1000 * ONE, 0, 0, 0))
        for hour in range(1, 2161):
            state, _ = buy(state, hour, rules=quiet)
        assert state.values[0] == pytest.approx(500 * ONE, rel=64 * 1.6e-5)
        assert aged(used(values=(1000 * ONE, 0, 0, 0)), quiet, 2160)[0] == 500 * ONE

    def test_fall_factors(self) -> None:
        """REQ-RANK-09: the table is that of the specification, and that of the formula."""
        table = re.search(r"^```\n(T\[ 1.*?)^```", SPEC, re.MULTILINE | re.DOTALL)
        assert table is not None
        printed = [int(number) for number in re.sub(r"T\[.*?\]", "", table[1]).split()]
        with localcontext(prec=50):
            exact = [Decimal(65536) * Decimal(2) ** (Decimal(-j) / 64) for j in range(64)]
            assert printed == list(FALL_FACTORS[1:]) == [round(factor) for factor in exact[1:]]

    @pytest.mark.parametrize(
        ("hour", "left"),
        [
            (0, 0xFFFFFFFF),
            (1, 0xFFFFFFFF * 64830 >> 16),
            (63, 0xFFFFFFFF * 33125 >> 16),
            (64, 0x7FFFFFFF),
            (65, (0xFFFFFFFF * 64830 >> 16) >> 1),
            (2047, 1),
            (2048, 0),
            (17_520, 0),
        ],
    )
    def test_ageing(self, hour: int, left: int) -> None:
        """REQ-RANK-09: rate 65535 from hour 1 on is one step an hour."""
        state = used(last_hour=1, values=(0xFFFFFFFF,) * 4)
        assert aged(state, one_slot(Slot(65_535, 0, 0, 0, 0)), hour + 1)[0] == left

    @pytest.mark.parametrize(
        ("hour", "rank", "units", "settled", "rank_hour"),
        [
            (3159, 4, 0, 4, 1000),  # the hold is not over
            (3160, 4, 0, 3, 3160),  # over: one rank
            (5319, 4, 0, 3, 5319),  # a wait of 4319 hours: still one
            (5320, 4, 0, 2, 5320),  # a wait of 2 holds: two ranks
            (5320, 4, 500, 3, 5320),  # rank 3 is kept by 450
            (9640, 4, 0, 0, 9640),  # 4 holds: four ranks
            (9640, 1, 0, 0, 9640),  # none below 0
            (9640, 0, 0, 0, 1000),
            (3160, 3, 450, 3, 1000),  # on the line is kept
            (3160, 3, 449, 2, 3160),
        ],
    )
    def test_settling(self, hour: int, rank: int, units: int, settled: int, rank_hour: int) -> None:
        """REQ-RANK-10, with values that do not fall and lines out of reach for the climb."""
        still = one_slot(Slot(0, 0, 0, 0, 256), climb=(0, 65_000, 65_001, 65_002, 65_003))
        state = used(last_hour=1000, rank=rank, rank_hour=1000, values=(units * ONE, 0, 0, 0))
        assert rank_at(state, still, hour) == settled
        after, _ = buy(state, hour, rules=still)
        assert (after.rank, after.rank_hour) == (settled, rank_hour if settled else hour)  # rank 0 is always reached again

    @pytest.mark.parametrize(
        ("rank", "amount", "factor", "carry", "expected"),
        [
            (0, 1999, 10, 0, (19, 9900)),
            (0, 1999, 10, 100, (20, 0)),
            (1, 100, 15, 0, (1, 8700)),  # 125 x 1.5 is 187
            (4, 1000, 255, 0, (765, 0)),
            (4, 1000, 0, 77, (0, 77)),
            (3, 3_276_799, 10, 199, (65_535, 9999)),
            (3, 3_276_799, 10, 200, (65_535, 0)),  # 65536 points: the cap, and the carry is gone
            (4, 0xFFFFFFFF, 255, 9999, (65_535, 0)),
        ],
    )
    def test_points(self, rank: int, amount: int, factor: int, carry: int, expected: tuple[int, int]) -> None:
        """REQ-RANK-11, REQ-RANK-12."""
        state, granted = buy(used(rank=rank, carry=carry), 0, amount, factor_tenths=factor)
        assert (granted, state.carry) == expected

    def test_rate_saturates(self) -> None:
        """REQ-RANK-11."""
        generous = replace(DEFAULT_RULES, rate_bp=(60_000,) * 5)
        most = replace(DEFAULT_RULES, rate_bp=(65_535,) * 5)
        assert buy(State.blank(), 0, 1000, generous, factor_tenths=20) == buy(State.blank(), 0, 1000, most)

    def test_points_cap(self) -> None:
        """REQ-RANK-12: the cap itself is granted with its carry."""
        capped = replace(DEFAULT_RULES, points_cap=10)
        for amount, carry in ((1000, 0), (1099, 9900), (1100, 0)):
            state, points = buy(State.blank(), 0, amount, capped)
            assert (points, state.carry) == (10, carry)

    def test_visits(self) -> None:
        """REQ-RANK-13: the second visit gives 8 x gap, the third the running mean; within 4 hours is the same visit."""
        state = State.blank()
        seen = []
        for hour in (100, 103, 104, 107, 120):
            state, _ = buy(state, hour)
            seen.append((state.first_hour, state.visit_hour, state.visits, state.gap8))
        assert seen == [(100, 100, 1, 0), (100, 100, 1, 0), (100, 104, 2, 32), (100, 104, 2, 32), (100, 120, 3, 32 + 16 - 4)]

    def test_visits_saturate(self) -> None:
        """REQ-RANK-13."""
        state, _ = buy(replace(used(gap8=65_535), visits=65_535), 8200)
        assert (state.visits, state.gap8, state.visit_hour) == (65_535, 65_535, 8200)
        assert buy(used(), 9000)[0].gap8 == 8 * 8191

    @pytest.mark.parametrize(
        ("slot", "bought", "before", "after"),
        [
            (Slot(0, 62, 312, 1, 0), Purchase(4, 6400, 0), 0, 162 * ONE),
            (Slot(0, 62, 312, 1, 0), Purchase(3, 6400, 0), 0, 100 * ONE),  # the same visit
            (Slot(0, 62, 312, 1, 0), Purchase(3, 6463, 0), 5, 100 * ONE + 5),  # whole units only
            (Slot(0, 62, 312, 1, 0), Purchase(4, 0xFFFFFFFF, 0), 0, 374 * ONE),  # the cap
            (Slot(0, 62, 312, 1, 0), Purchase(4, 6400, 1), 7, 7),  # another category
            (Slot(0, 62, 312, 0x8000, 0), Purchase(4, 6400, 15), 0, 162 * ONE),
            (Slot(0, 65_535, 65_535, 1, 0), Purchase(4, 6400, 0), 0, 65_535 * ONE),  # units saturate
            (Slot(0, 0, 65_535, 1, 0), Purchase(4, 6400, 0), 65_435 * ONE + 9, 65_535 * ONE + 9),
            (Slot(0, 0, 65_535, 1, 0), Purchase(4, 6400, 0), 65_436 * ONE + 9, 0xFFFFFFFF),  # so does the value
        ],
    )
    def test_deposit(self, slot: Slot, bought: Purchase, before: int, after: int) -> None:
        """REQ-RANK-14."""
        state, _ = purchase(used(values=(before, 0, 0, 0)), one_slot(slot), bought)
        assert state.values[0] == after

    @pytest.mark.parametrize(
        ("rank", "units", "climbed", "rank_hour"),
        [(0, 99, 0, 9), (0, 100, 1, 9), (0, 1500, 4, 9), (1, 99, 1, 0), (1, 100, 1, 9), (2, 600, 3, 9), (4, 65_535, 4, 9), (4, 1499, 4, 0)],
    )
    def test_climbing(self, rank: int, units: int, climbed: int, rank_hour: int) -> None:
        """REQ-RANK-15: reaching one's own line again renews the hold. The points of this purchase are those of the rank before."""
        still = one_slot(Slot(0, 0, 0, 0, 256))
        state, points = buy(used(rank=rank, values=(units * ONE, 0, 0, 0)), 9, 10_000, still)
        assert (state.rank, state.rank_hour, points) == (climbed, rank_hour, DEFAULT_RULES.rate_bp[rank])

    def test_score(self) -> None:
        """REQ-RANK-16: whole units, each part rounded down, the sum saturating."""
        shares = replace(DEFAULT_RULES, slots=(Slot(0, 0, 0, 0, 256), Slot(0, 0, 0, 0, 128), Slot(0, 0, 0, 0, 85), Slot(0, 0, 0, 0, 0)))
        assert score(replace(State.blank(), values=(2 * ONE - 1, 3 * ONE, 4 * ONE, 0xFFFFFFFF)), shares) == 1 + 1 + 1
        assert score(replace(State.blank(), values=(0xFFFFFFFF,) * 4), shares) == 65_535


class TestReading:
    def test_unused_card(self) -> None:
        """REQ-RANK-17."""
        card = replace(State.blank(), rank=2, values=(9 * ONE, 0, 0, 0))
        assert aged(card, DEFAULT_RULES, 60_000) == card.values
        assert (score_at(card, DEFAULT_RULES, 60_000), rank_at(card, DEFAULT_RULES, 60_000)) == (9, 2)

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
