"""Vectors of the rank arithmetic: the rows of docs/spec/rank.md, and purchases drawn at random under rules drawn at random."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

from joren.apdu.state import DEFAULT_RULES, RankRules, Slot, State
from joren.applet.rank import Purchase, purchase, score
from vector_text import Json, vector

__all__ = ["ranks"]

SPEC = Path(__file__).resolve().parent.parent / "docs" / "spec"
RANK = [f"REQ-RANK-{number:02}" for number in range(6, 17)]


def spec_rows() -> list[list[str]]:
    """The table of vectors of docs/spec/rank.md."""
    text = (SPEC / "rank.md").read_text(encoding="utf-8").partition("## Vectors")[2]
    return [re.findall(r"[0-9A-F]+", line) for line in text.splitlines() if re.match(r"\| \d", line)]


def bought(hour: int, amount: int, category: int, factor: int) -> Json:
    """The values of a purchase."""
    return {"hour": f"u16:{hour}", "amount": f"u32:{amount}", "category": f"{category:02X}", "factor": f"{factor:02X}"}


def chain(rows: list[tuple[Json, int, int, int, str]]) -> tuple[list[Json], list[Json]]:
    """Purchases one upon the other, for the customer card; and each for itself, for the shop card, which is given the state of before."""
    customer: list[Json] = []
    shop: list[Json] = [{"do": "shop-begin"}]
    state = "$blank_state"
    for number, (values, points, rank, marks, after) in enumerate(rows, 1):
        customer.append({"do": "buy", "values": values})
        customer.append(
            {
                "check": "$rank_after $score $points",
                "is": f"{rank:02X} u16:{marks} u32:{points}",
                "name": f"rank, score and points, {number}",
            }
        )
        customer += [{"do": "select"}, {"do": "state"}, {"check": "$state", "is": after, "name": f"state, {number}"}]
        shop.append({"do": "compute", "values": {**values, "card_state": state}})
        shop.append({"check": "$points $new_state", "is": f"u16:{points} {after}", "name": f"points and state, {number}"})
        shop.append({"do": "write-off"})
        state = after
    return customer, shop


def ranks() -> Iterator[Json]:
    """The specification's own rows, and purchases at random under rules at random."""
    rows = [
        (bought(int(hour), int(amount), int(category), int(factor)), int(points), int(rank), int(marks), state)
        for hour, amount, category, factor, points, rank, marks, state in spec_rows()
        if factor != "0"  # the arithmetic knows it, a card refuses it: 9405
    ]
    customer, shop = chain(rows)
    why = "The rows of docs/spec/rank.md, one purchase upon the other."
    covers = [*RANK, "REQ-RANK-18"]
    yield vector("rank-spec-customer", "the rank arithmetic, row by row", why, covers, "symbolic", "customer-wide", customer)
    yield vector("rank-spec-shop", "the same by a shop card", why, [*covers, "REQ-CMP-2"], "symbolic", "shop-wide", shop)
    yield from edges()
    yield from tables()
    for seed in range(8):
        draw = Random(seed)  # noqa: S311 - not for secrets
        rules = drawn_rules(draw)
        customer, shop = chain(list(drawn_purchases(draw, rules, 25)))
        why = "Arithmetic goes wrong where nobody looks: rules and purchases are drawn, the seed is the number."
        values = {"rules": rules.encode().hex().upper()}
        yield vector(
            f"rank-drawn-customer-{seed}",
            "drawn purchases under drawn rules",
            why,
            RANK,
            "symbolic",
            "customer-wide",
            customer,
            values=values,
        )
        yield vector(f"rank-drawn-shop-{seed}", "the same by a shop card", why, RANK, "symbolic", "shop-wide", shop, values=values)


EDGE = State(1, 3, 0, 10_000, 10_000, 9, 10_000, 80, 9_999, (700 << 16, 1 << 16, 0xFFFFFFFF, 0xFFFF0000))
"""A card of rank 3 whose score is 700; rank 3 is from 600, kept from 450."""
EDGES: list[tuple[str, State, Purchase]] = [
    ("the line of a rank, reached", replace(EDGE, rank=2, values=(600 << 16, 0, 0, 0)), Purchase(10_001, 63, 0)),
    ("the line of a rank, missed", replace(EDGE, rank=2, values=((600 << 16) - 1, 0, 0, 0)), Purchase(10_001, 63, 0)),
    ("the hold, not over", replace(EDGE, values=(449 << 16, 0, 0, 0), last_hour=12_159), Purchase(12_159, 0, 0)),
    ("the hold, over", replace(EDGE, values=(449 << 16, 0, 0, 0), last_hour=12_160), Purchase(12_160, 0, 0)),
    ("the line that keeps a rank", replace(EDGE, values=(450 << 16, 0, 0, 0), last_hour=12_160), Purchase(12_160, 0, 0)),
    ("one rank at a time", replace(EDGE, rank=4, values=(0, 0, 0, 0), last_hour=12_500), Purchase(12_500, 0, 0)),
    ("one hold gone by since the last purchase", replace(EDGE, rank=4, values=(0, 0, 0, 0)), Purchase(12_160, 0, 0)),
    ("two holds gone by", replace(EDGE, rank=4, values=(0, 0, 0, 0)), Purchase(14_320, 0, 0)),
    ("one hour less than two holds", replace(EDGE, rank=4, values=(0, 0, 0, 0)), Purchase(14_319, 0, 0)),
    ("eight holds gone by", replace(EDGE, rank=4, values=(0, 0, 0, 0)), Purchase(27_280, 0, 0)),
    ("a fall that ends where the score holds", replace(EDGE, rank=4, values=(1_300 << 16, 0, 0, 0)), Purchase(14_320, 0, 0)),
    ("a visit, just counted", EDGE, Purchase(10_004, 1, 0)),
    ("a visit, just not counted", EDGE, Purchase(10_003, 1, 0)),
    ("visits stop at 65535", replace(EDGE, visits=65_535, gap8=65_528), Purchase(20_000, 1, 0)),
    ("a gap of more than 8191 hours", replace(EDGE, visits=1), Purchase(20_000, 1, 0)),
    ("the carry makes a point", EDGE, Purchase(10_000, 1, 0)),
    ("values at their end", EDGE, Purchase(10_000, 0xFFFFFFFF, 0, 255)),
    ("a half-life and a step", EDGE, Purchase(12_194, 0, 0)),
    ("the first purchase", replace(EDGE, visits=0, rank=0), Purchase(5, 500, 0)),
    ("time back", EDGE, Purchase(5, 500, 0)),
    ("256 visits, and a rank from the first hours", replace(EDGE, rank=0, visits=256, rank_hour=9), Purchase(12_000, 500, 0)),
]


def edges() -> Iterator[Json]:
    """States at the edges of the rules: each is given to a shop card, and taken over by a customer card."""
    shop: list[Json] = [{"do": "shop-begin"}]
    why = "One step to either side of every line."
    for number, (what, before, made) in enumerate(EDGES, 1):
        after, points = purchase(before, DEFAULT_RULES, made)
        given, left = before.encode().hex().upper(), after.encode().hex().upper()
        values = bought(made.hour, made.amount_minor, made.category, made.factor_tenths)
        shop.append({"do": "compute", "values": {**values, "card_state": given}})
        shop.append({"check": "$points $new_state", "is": f"u16:{points} {left}", "name": what})
        shop.append({"do": "write-off"})
        steps: list[Json] = [
            {"do": "buy", "values": values},
            {"do": "select"},
            {"do": "state"},
            {"check": "$state", "is": left, "name": "state"},
        ]
        yield vector(f"rank-edge-{number:02}", what, why, RANK, "symbolic", "customer-state", steps, values={"blank_state": given})
    yield vector("rank-edges-shop", "states at the edges of the rules", why, RANK, "symbolic", "shop-wide", shop)


FULL = State(1, 0, 0, 0, 0, 1, 0, 0, 0, (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
"""A card whose values are full and were so at hour 0, a visit ago."""
SHIFTS = (1, 15, 16, 17)
CARRIES = ((1, 0, 1), (1, 1, 2), (1, 65_534, 1), (3, 21_845, 1), (32_768, 1, 1), (32_768, 1, 2), (65_535, 1, 1), (65_535, 65_534, 1))
"""A rate, the last hour, and a gap: the sum of the lower words carries, or just does not."""


def tables() -> Iterator[Json]:
    """Every factor of REQ-RANK-09, whole half-lives, and numbers at the ends of their words; on shop cards, which take any state."""
    slow = replace(DEFAULT_RULES, visit_gap_hours=65_535, jump_max_hours=65_535)
    falling = replace(slow, slots=(Slot(65_535, 0, 0, 0, 256), Slot(0, 0, 0, 0, 0), Slot(1, 0, 0, 0, 0), Slot(2, 0, 0, 0, 0)))
    halvings = [64 * number + 1 for number in (2, 3, 15, 16, 17, 18, 31, 32, 33, 1_000)]
    steps = [(FULL, Purchase(hour, 0, 0)) for hour in [*range(1, 66), *halvings, 64 * 5 + 33]]
    why = "A table of 64 numbers has 64 places to be wrong in."
    yield given("rank-steps-shop", "each step of a half-life, and whole half-lives", why, falling, steps)
    for shift in SHIFTS:
        rules = replace(slow, amount_shift=shift, slots=(Slot(0, 0, 65_535, 0xFFFF, 256), *DEFAULT_RULES.slots[1:]))
        amounts = ((1 << shift) - 1, 1 << shift, 0x00012345, 0x89ABCDEF, 0xFFFFFFFF)
        steps = [(State.blank(), Purchase(1, amount, 0)) for amount in amounts]
        yield given(f"rank-shift-{shift}", f"amounts that are shifted by {shift}", "A shift crosses words.", rules, steps)
    short = replace(DEFAULT_RULES, hold_hours=1)
    fallen = State(1, 4, 0, 10, 10, 9, 5, 80, 0, (0, 0, 0, 0))
    steps = [(fallen, Purchase(hour, 0, 0)) for hour in (9, 10, 11, 12, 13)]
    yield given("rank-hold-shop", "a hold of one hour, and purchases in the very hour", "No gap is no hold gone by.", short, steps)
    for number, (rate, last, gap) in enumerate(CARRIES, 1):
        rules = replace(slow, slots=(Slot(rate, 0, 0, 0, 256), *DEFAULT_RULES.slots[1:]))
        before = replace(FULL, first_hour=last, last_hour=last, visit_hour=last, rank_hour=last)
        made = [(before, Purchase(last + gap, 0, 0))]
        yield given(f"rank-carry-{number}", f"rate {rate}, from hour {last} to {last + gap}", "The lower words carry a step.", rules, made)


def given(name: str, title: str, why: str, rules: RankRules, made: list[tuple[State, Purchase]]) -> Json:
    """Purchases, each of a state that a shop card is given."""
    steps: list[Json] = [{"do": "shop-begin"}]
    for number, (before, one) in enumerate(made, 1):
        after, points = purchase(before, rules, one)
        values = bought(one.hour, one.amount_minor, one.category, one.factor_tenths)
        steps.append({"do": "compute", "values": {**values, "card_state": before.encode().hex().upper()}})
        steps.append(
            {"check": "$points $new_state", "is": f"u16:{points} {after.encode().hex().upper()}", "name": f"points and state, {number}"}
        )
        steps.append({"do": "write-off"})
    return vector(name, title, why, RANK, "symbolic", "shop-wide", steps, values={"rules": rules.encode().hex().upper()})


def drawn_rules(draw: Random) -> RankRules:
    """Rules that a card takes, with lines low enough to be reached and holds short enough to end."""
    climb = (0, *sorted(draw.sample(range(1, draw.choice((60, 900, 65_535))), 4)))
    keep = (0, *sorted(draw.sample(range(1, climb[1] + 4), 4))) if climb[1] > 4 else climb
    keep = tuple(min(low, high) for low, high in zip(keep, climb, strict=True))
    keep = keep if all(a < b for a, b in pairwise(keep)) else climb
    slots = [
        Slot(draw.choice((0, 1942, 65_535, draw.randrange(65_536))), draw.choice((0, 62, 65_535)), draw.choice((0, 312, 65_535)),
             draw.choice((0xFFFF, draw.randrange(65_536))), draw.choice((0, 1, 128, 256)))
        for _ in range(4)
    ]  # fmt: skip
    rates = [draw.choice((0, 100, draw.randrange(65_536), 65_535)) for _ in range(5)]
    return RankRules(
        1, draw.choice((0, 6, 31)), draw.choice((0, 4, 65_535)), draw.choice((17_520, 65_535)), draw.choice((1, 100, 2_160)),
        (climb[0], climb[1], climb[2], climb[3], climb[4]), (keep[0], keep[1], keep[2], keep[3], keep[4]),
        (rates[0], rates[1], rates[2], rates[3], rates[4]), draw.choice((0, 1_000, 65_535)), (slots[0], slots[1], slots[2], slots[3]),
    )  # fmt: skip


def drawn_purchases(draw: Random, rules: RankRules, count: int) -> Iterator[tuple[Json, int, int, int, str]]:
    """Purchases and what comes of them."""
    state, hour = State.blank(), draw.randrange(2_000)
    for _ in range(count):
        made = Purchase(
            hour, draw.choice((0, 1, draw.randrange(20_000), draw.randrange(1 << 32))), draw.randrange(16), draw.choice((1, 10, 20, 255))
        )
        state, points = purchase(state, rules, made)
        yield (
            bought(made.hour, made.amount_minor, made.category, made.factor_tenths),
            points,
            state.rank,
            score(state, rules),
            state.encode().hex().upper(),
        )
        hour = max(0, min(65_535, hour + draw.choice((-50, 0, 1, 3, 4, 24, 700, 2_500, 9_000))))
