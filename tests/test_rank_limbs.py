"""The rank arithmetic a second time, from docs/spec/rank.md alone, on 16-bit words as a card without 32-bit arithmetic has them.

It works on the encoded records, shares no line with joren.applet.rank, and gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.applet.rank import DEFAULT_RULES, Purchase, RankRules, State, TimeJump, purchase
from rankkit import valid_rules, valid_state


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """An unsigned 16-bit word. No operation takes or makes anything wider; a product is one of bytes."""

    u: int

    def __post_init__(self) -> None:
        assert 0 <= self.u <= 0xFFFF

    def __add__(self, other: Word) -> Word:
        room = 0xFFFF - other.u
        return Word(self.u + other.u if self.u <= room else self.u - room - 1)

    def __sub__(self, other: Word) -> Word:
        return Word(self.u - other.u if self.u >= other.u else 0xFFFF - (other.u - self.u - 1))

    def __mul__(self, other: Word) -> Word:
        assert self.u <= 0xFF
        assert other.u <= 0xFF
        return Word(self.u * other.u)

    def __lshift__(self, bits: int) -> Word:
        assert 0 <= bits < 16
        return Word((self.u & (0xFFFF >> bits)) << bits)

    def __rshift__(self, bits: int) -> Word:
        assert 0 <= bits < 16
        return Word(self.u >> bits)

    def __and__(self, mask: int) -> Word:
        return Word(self.u & mask)

    def __or__(self, other: Word) -> Word:
        return Word(self.u | other.u)


Long = tuple[Word, Word]
"""Upper and lower word of 32 bits."""

ZERO, ONE, TEN, MOST, TEN_THOUSAND = Word(0), Word(1), Word(10), Word(0xFFFF), Word(10_000)
FALLS = [ZERO, *(Word(round(65536 * 2 ** (-j / 64))) for j in range(1, 64))]


def add(a: Word, b: Word) -> tuple[Word, Word]:
    """Carry and sum."""
    total = a + b
    return (ONE if total < a else ZERO), total


def add_saturating(a: Word, b: Word) -> Word:
    carry, total = add(a, b)
    return MOST if carry == ONE else total


def multiply(a: Word, b: Word) -> Long:
    """16 x 16 bits from four products of bytes."""
    low, high = (a & 0xFF) * (b & 0xFF), (a >> 8) * (b >> 8)
    for middle in ((a >> 8) * (b & 0xFF), (a & 0xFF) * (b >> 8)):
        carry, low = add(low, middle << 8)
        high = high + (middle >> 8) + carry
    return high, low


def shift_right(value: Long, bits: int) -> Long:
    high, low = value
    if bits >= 16:
        high, low, bits = ZERO, high, bits - 16
    if bits:
        high, low = high >> bits, (low >> bits) | (high << (16 - bits))
    return high, low


def divide(high: Word, low: Word, divisor: Word) -> Long:
    """Quotient and remainder of 32 bits; the upper word is below the divisor, the divisor below 2^15: sixteen steps of long division."""
    assert high < divisor <= Word(0x7FFF)
    quotient, rest = ZERO, high
    for _ in range(16):
        rest, low, quotient = (rest << 1) | (low >> 15), low << 1, quotient << 1
        if rest >= divisor:
            rest, quotient = rest - divisor, quotient | ONE
    return quotient, rest


def words(data: bytes) -> list[Word]:
    return [(Word(high) << 8) | Word(low) for high, low in zip(data[::2], data[1::2], strict=True)]


def age(value: Long, rate: Word, last_hour: Word, hour: Word) -> Long:
    steps = multiply(hour, rate)[0] - multiply(last_hour, rate)[0]
    high, low = value
    fall = FALLS[(steps & 63).u]
    if fall != ZERO:
        carry, lower = add(multiply(high, fall)[1], multiply(low, fall)[0])
        high, low = multiply(high, fall)[0] + carry, lower
    halvings = (steps >> 6).u
    return (ZERO, ZERO) if halvings >= 32 else shift_right((high, low), halvings)


def total_score(values: list[Long], shares: list[Word]) -> Word:
    total = ZERO
    for value, share in zip(values, shares, strict=True):
        high, low = multiply(value[0], share)
        total = add_saturating(total, (high << 8) | (low >> 8))
    return total


def earn(amount: Long, rate: Word, carry: Word, cap: Word) -> Long:
    """Points and carry."""
    high, low = multiply(amount[0], rate), multiply(amount[1], rate)
    up, middle = add(high[1], low[0])
    top = high[0] + up
    up, bottom = add(low[1], carry)
    up, middle = add(middle, up)
    top = top + up
    limit = multiply(cap, TEN_THOUSAND)
    up, limit_low = add(limit[1], TEN_THOUSAND)
    if top != ZERO or (middle, bottom) >= (limit[0] + up, limit_low):
        return cap, ZERO
    return divide(middle, bottom, TEN_THOUSAND)


def settle(rank: int, now: Word, keep: list[Word], gap: Word, hold: Word) -> int:
    """One rank, and one more for each whole hold that the gap has beyond the first."""
    left = gap - hold if gap >= hold else ZERO
    while rank > 0 and now < keep[rank]:
        rank -= 1
        if left < hold:
            break
        left = left - hold
    return rank


def buy(state: bytes, rules: bytes, bought: bytes) -> bytes | None:
    """New state (32 bytes) and points (2), from state, rules and purchase: hour u16, amount u32, category u8, factor u8; None: jump."""
    first_hour, last_hour, visit_hour, visits, rank_hour, gap8, carry, *halves = words(state[2:])
    rank, values = state[1], list(zip(halves[::2], halves[1::2], strict=True))
    amount_shift = rules[1]
    visit_gap, jump_max, hold, *rest = words(rules[2:])
    climb, keep, rates, cap, slots = rest[:5], rest[5:10], rest[10:15], rest[15], rest[16:]
    shares = slots[4::5]
    hour, *amount_words = words(bought[:6])
    amount = (amount_words[0], amount_words[1])
    category, factor = bought[6], Word(bought[7])

    new = visits == ZERO
    if new:
        first_hour = last_hour = visit_hour = rank_hour = hour
    elif hour <= last_hour:
        hour = last_hour
    elif hour - last_hour > jump_max:
        return None
    gap = hour - last_hour

    values = [age(value, rate, last_hour, hour) for value, rate in zip(values, slots[0::5], strict=True)]

    if hour - rank_hour >= hold:
        settled = settle(rank, total_score(values, shares), keep, gap, hold)
        rank, rank_hour = settled, (hour if settled < rank else rank_hour)

    high, low = multiply(rates[rank], factor)
    rate = divide(high, low, TEN)[0] if high < TEN else MOST
    points, carry = earn(amount, rate, carry, cap)

    counted = new or hour - visit_hour >= visit_gap
    if counted:
        visit_wait = min(hour - visit_hour, Word(8191))
        if new:
            gap8 = ZERO
        elif visits == ONE:
            gap8 = visit_wait << 3
        else:
            gap8 = gap8 - (gap8 >> 3) + visit_wait
        visit_hour, visits = hour, add_saturating(visits, ONE)

    units_high, units_low = shift_right(amount, amount_shift)
    for number in range(4):
        visit, most, categories = slots[5 * number + 1 : 5 * number + 4]
        if (categories >> category) & 1 == ZERO:
            continue
        units = most if units_high != ZERO or units_low > most else units_low
        if counted:
            units = add_saturating(units, visit)
        over, high = add(values[number][0], units)
        values[number] = (MOST, MOST) if over == ONE else (high, values[number][1])

    now = total_score(values, shares)
    level = max(r for r in range(5) if now >= climb[r])
    if level >= rank:
        rank, rank_hour = level, hour
    fields = [first_hour, hour, visit_hour, visits, rank_hour, gap8, carry, *(half for value in values for half in value), points]
    return bytes([1, rank]) + b"".join(bytes([(word >> 8).u, (word & 0xFF).u]) for word in fields)


def long_word(value: int) -> Long:
    return Word(value >> 16), Word(value & 0xFFFF)


u16 = st.integers(0, 0xFFFF)
some_states = st.binary(min_size=32, max_size=32).map(valid_state)
some_rules = st.just(DEFAULT_RULES.encode()) | st.binary(min_size=80, max_size=80).map(valid_rules)
some_purchases = st.builds(
    Purchase,
    hour=u16,
    amount_minor=st.integers(0, 100_000) | st.integers(0, 0xFFFFFFFF),
    category=st.integers(0, 15),
    factor_tenths=st.sampled_from([0, 10, 20, 255]) | st.integers(0, 255),
)


def both(state: bytes, rules: bytes, bought: Purchase) -> bytes | None:
    """The new state, after the two agreed on it and on the points; None for a time jump that the two agreed on."""
    order = bought.hour.to_bytes(2) + bought.amount_minor.to_bytes(4) + bytes([bought.category, bought.factor_tenths])
    in_words = buy(state, rules, order)
    try:
        new, points = purchase(State.decode(state), RankRules.decode(rules), bought)
    except TimeJump:
        assert in_words is None
        return None
    assert in_words is not None
    assert in_words.hex() == (new.encode() + points.to_bytes(2)).hex()
    return new.encode()


class TestWords:
    @given(a=u16, b=u16)
    def test_products_and_sums(self, a: int, b: int) -> None:
        assert multiply(Word(a), Word(b)) == long_word(a * b)
        assert add(Word(a), Word(b)) == (Word((a + b) >> 16), Word((a + b) & 0xFFFF))
        assert (Word(a) - Word(b)).u == (a - b) & 0xFFFF

    @given(n=st.integers(0, 0xFFFFFFFF), bits=st.integers(0, 31))
    def test_shifts(self, n: int, bits: int) -> None:
        assert shift_right(long_word(n), bits) == long_word(n >> bits)

    @pytest.mark.parametrize("divisor", [10, 10_000])
    @given(quotient=u16, rest=st.integers(0, 9999))
    def test_quotients(self, divisor: int, quotient: int, rest: int) -> None:
        """REQ-RANK-12: what the card divides by, up to the largest quotient."""
        n = quotient * divisor + rest % divisor
        assert divide(*long_word(n), Word(divisor)) == (Word(quotient), Word(rest % divisor))


class TestSameBytes:
    @given(state=some_states, rules=some_rules, bought=some_purchases)
    def test_one_purchase(self, state: bytes, rules: bytes, bought: Purchase) -> None:
        """REQ-RANK-06, REQ-RANK-22: any state, any rules, any purchase."""
        both(state, rules, bought)

    @given(rules=some_rules, log=st.lists(st.tuples(st.integers(-5, 300) | st.integers(0, 20_000), some_purchases), max_size=15))
    def test_a_card_in_use(self, rules: bytes, log: list[tuple[int, Purchase]]) -> None:
        """REQ-RANK-06: from a new card on, purchase after purchase, with waits as customers have them and now and then back in time."""
        state, hour = State.blank().encode(), 0
        for wait, bought in log:
            hour = min(max(hour + wait, 0), 0xFFFF)
            state = both(state, rules, Purchase(hour, bought.amount_minor, bought.category, bought.factor_tenths)) or state
