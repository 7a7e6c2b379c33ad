"""The rank of a card, computed at each purchase from the state before and that purchase (docs/spec/rank.md).

How it works. Four slots each hold a running value: a purchase deposits units into it, and time halves it. The score is the weighted sum of
the values; the rank climbs when the score reaches a line and falls, after a hold, when the score is below another. Points are earned at the
rank in force.

Every operation is one that a card without 32-bit arithmetic does on unsigned 16-bit words:

    operation                      operands       result   on the card
    G(t) = t * rate >> 16          u16 x u16      u16      the upper word of one 16 x 16 product
    value * T >> 16                u32 x u16      u32      two 16 x 16 products; only the upper word of the second counts
    value >> halvings (0..31)      u32            u32      whole words first, then bits
    (value >> 16) * share >> 8     u16 x 256      u16      a 24-bit product
    sums of values and scores      u32, u16       same     add, and hold at the largest value where the carry is set
    rate_bp * factor // 10         u16 x u8       u16      24 bits; 655,360 or more is 65535, else the upper word is below 10
    amount * rate + carry          u32 x u16      u48      at most (2^32 - 1)(2^16 - 1) + 9999 < 2^48
    n // 10000, n % 10000          u48            u16      n is first compared with 10000 * (points_cap + 1) < 2^32: from there on it is
                                                           the cap; below, the upper word is under 10000, and sixteen steps of binary
                                                           long division give quotient and remainder, no step above 2 * 10000
    gap // hold                    u16 / u16      0..4     at most four subtractions, as no rank falls more than four times

Differences of hours are taken after the larger is known, so none is negative. State.decode refuses what would break that.
"""

from dataclasses import dataclass

from joren.apdu.state import CARRY_DIVISOR, DEFAULT_RULES, RANK_MAX, RankRules, Slot, Slots, State, Values

__all__ = ["DEFAULT_RULES", "Purchase", "RankRules", "Slot", "State", "TimeJump", "aged", "purchase", "rank_at", "score", "score_at"]

FALL_FACTORS = tuple(round(65536 * 2 ** (-j / 64)) for j in range(64))
"""T[j]: what is left of 2^16 after j 64ths of a half-life; T[0] = 2^16 is never multiplied by (REQ-RANK-09)."""


class TimeJump(ValueError):
    """The hour of a purchase is more than jump_max_hours after the newest hour the state has seen (REQ-RANK-07)."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One purchase. The caller sees to it that category and factor are allowed."""

    hour: int
    """u16, since the programme's epoch."""
    amount_minor: int
    """u32."""
    category: int
    """0..15."""
    factor_tenths: int = 10
    """u8, campaign factor on the points: 10 = x1, 20 = double points."""


def purchase(state: State, rules: RankRules, bought: Purchase) -> tuple[State, int]:
    """The state after a purchase, and the points granted, 0..65535 (REQ-RANK-06). Raises TimeJump."""
    slots = rules.slots
    visits = state.visits
    hour = max(bought.hour, state.last_hour) if visits else bought.hour
    if visits and hour - state.last_hour > rules.jump_max_hours:
        raise TimeJump(f"hour: at most {rules.jump_max_hours} after {state.last_hour} expected, {hour} came")

    values = aged(state, rules, hour)
    rank, rank_hour = _settle(state, rules, values, hour) if visits else (state.rank, hour)

    rate = min(rules.rate_bp[rank] * bought.factor_tenths // 10, 0xFFFF)
    points, carry = divmod(bought.amount_minor * rate + state.carry, CARRY_DIVISOR)
    if points > rules.points_cap:
        points, carry = rules.points_cap, 0

    first_hour, visit_hour, gap8 = (state.first_hour, state.visit_hour, state.gap8) if visits else (hour, hour, 0)
    counted = visits == 0 or hour - visit_hour >= rules.visit_gap_hours
    if counted:
        gap = min(hour - visit_hour, 8191)
        gap8 = gap << 3 if visits <= 1 else gap8 + gap - (gap8 >> 3)
        visit_hour, visits = hour, min(visits + 1, 0xFFFF)

    values = _deposit(values, slots, bought.category, counted, bought.amount_minor >> rules.amount_shift)
    level = _level(_score(values, slots), rules.climb)
    if level >= rank:
        rank, rank_hour = level, hour
    return State(1, rank, first_hour, hour, visit_hour, visits, rank_hour, gap8, carry, values), points


def score(state: State, rules: RankRules) -> int:
    """The score as of last_hour, 0..65535 (REQ-RANK-16)."""
    return _score(state.values, rules.slots)


def aged(state: State, rules: RankRules, hour: int) -> Values:
    """The values at an hour, nothing written; at last_hour and before, and before the first purchase, as they are (REQ-RANK-17)."""
    if state.visits == 0 or hour <= state.last_hour:
        return state.values
    first, second, third, fourth = [
        _halved(value, (hour * slot.rate >> 16) - (state.last_hour * slot.rate >> 16))
        for value, slot in zip(state.values, rules.slots, strict=True)
    ]
    return first, second, third, fourth


def score_at(state: State, rules: RankRules, hour: int) -> int:
    """The score of aged(), 0..65535 (REQ-RANK-17)."""
    return _score(aged(state, rules, hour), rules.slots)


def rank_at(state: State, rules: RankRules, hour: int) -> int:
    """The rank a purchase at this hour would earn at, 0..4, nothing written; no hour is too far ahead to be read (REQ-RANK-17)."""
    if state.visits == 0:
        return state.rank
    hour = max(hour, state.last_hour)
    return _settle(state, rules, aged(state, rules, hour), hour)[0]


def _halved(value: int, steps: int) -> int:
    if steps & 63:
        value = value * FALL_FACTORS[steps & 63] >> 16
    return value >> (steps >> 6)


def _settle(state: State, rules: RankRules, values: Values, hour: int) -> tuple[int, int]:
    rank, rank_hour = state.rank, state.rank_hour
    if rank == 0 or hour - rank_hour < rules.hold_hours:
        return rank, rank_hour
    falls = max(1, (hour - state.last_hour) // rules.hold_hours)
    now = _score(values, rules.slots)
    while rank > 0 and falls > 0 and now < rules.keep[rank]:
        rank, rank_hour, falls = rank - 1, hour, falls - 1
    return rank, rank_hour


def _deposit(values: Values, slots: Slots, category: int, counted: bool, units: int) -> Values:
    first, second, third, fourth = [
        min(value + (_units(slot, counted, units) << 16), 0xFFFFFFFF) if slot.categories >> category & 1 else value
        for value, slot in zip(values, slots, strict=True)
    ]
    return first, second, third, fourth


def _units(slot: Slot, counted: bool, units: int) -> int:
    return min((slot.visit if counted else 0) + min(units, slot.cap), 0xFFFF)


def _score(values: Values, slots: Slots) -> int:
    return min(sum([(value >> 16) * slot.share >> 8 for value, slot in zip(values, slots, strict=True)]), 0xFFFF)


def _level(score: int, climb: tuple[int, ...]) -> int:
    level = RANK_MAX
    while score < climb[level]:
        level -= 1
    return level
