"""Random purchases for the rank arithmetic, with its limits often among them, and what the model makes of each."""

from collections.abc import Iterator
from random import Random

from joren.applet.rank import DEFAULT_RULES, Purchase, RankRules, State, TimeJump, aged, purchase, rank_at, score, score_at

__all__ = ["ANSWER_SIZE", "answer", "cases", "valid_rules", "valid_state"]

ANSWER_SIZE = 71
LIMITS_16 = (0, 1, 2, 9, 10, 31, 32, 255, 256, 257, 8191, 8192, 9999, 10_000, 32_767, 32_768, 65_534, 65_535)
DEFAULT = DEFAULT_RULES.encode()


def valid_state(data: bytes) -> bytes:
    """Any 32 bytes, bent into a valid state; every other one has at most two visits."""
    first, visit, last = sorted(data[at : at + 2] for at in (2, 4, 6))
    carry = (int.from_bytes(data[14:16]) % 10_000).to_bytes(2)
    visits = data[8:10] if data[8] & 1 else bytes([0, data[9] % 3])
    return bytes([1, data[1] % 5]) + first + last + visit + visits + min(data[10:12], last) + data[12:14] + carry + data[16:]


def valid_rules(data: bytes) -> bytes:
    """Any 80 bytes, bent into rules that are not refused: lines 16 bits apart in the upper byte, keep below climb."""
    lines = sorted(data[8:16])
    climb = b"".join(bytes([line // 2 + 10 * rank, 1]) for rank, line in enumerate(lines[4:], 1))
    keep = b"".join(bytes([line // 4 + 10 * rank, 0]) for rank, line in enumerate(lines[:4], 1))
    slots = b"".join(data[at : at + 8] + bytes([1, 0] if data[at + 8] & 1 else [0, data[at + 9]]) for at in range(40, 80, 10))
    hold = max(data[6:8], b"\x00\x01")
    return bytes([data[0], data[1] % 32]) + data[2:6] + hold + bytes(2) + climb + bytes(2) + keep + data[28:40] + slots


def _words(random: Random, count: int) -> bytes:
    """Words of 16 bits, a third of them at a limit."""
    return b"".join((random.choice(LIMITS_16) if random.random() < 0.33 else random.getrandbits(16)).to_bytes(2) for _ in range(count))


def cases(seed: int, count: int) -> Iterator[bytes]:
    """State 32 | rules 80 | hour u16, amount u32, category u8, factor_tenths u8.

    One in 64 may be refused; of the others half have the default rules, and half the state of the purchase before.
    """
    random = Random(seed)
    state = State.blank().encode()
    for number in range(count):
        if number % 64 == 0:
            state, rules = random.randbytes(1) * 2 + _words(random, 15), _near_valid(random)
        else:
            rules = DEFAULT if random.random() < 0.5 else valid_rules(_words(random, 40))
            if random.random() < 0.5 or not valid(state, rules):
                state = valid_state(_words(random, 16))
        last = int.from_bytes(state[4:6])
        wait = random.choice((-1, 0, 1, 3, 4, 100, 2159, 2160, 2161, 17_520, 17_521, random.getrandbits(16), random.getrandbits(9)))
        amount = random.choice((_words(random, 2), random.getrandbits(17).to_bytes(4)))
        factor = random.choice((10, 20, random.getrandbits(8)))
        case = state + rules + (last + wait & 0xFFFF).to_bytes(2) + amount + bytes((random.getrandbits(4), factor))
        yield case
        state = answer(case)[1:33]


def _near_valid(random: Random) -> bytes:
    """Rules with one word at a limit, which may or may not be one that is refused."""
    rules = bytearray(random.choice((DEFAULT, valid_rules(_words(random, 40)))))
    at = 2 * random.randrange(40)
    rules[at : at + 2] = _words(random, 1)
    return bytes(rules)


def valid(state: bytes, rules: bytes) -> bool:
    """Whether neither is refused (REQ-RANK-02, REQ-RANK-05)."""
    try:
        State.decode(state)
        RankRules.decode(rules)
    except ValueError:
        return False
    return True


def answer(case: bytes) -> bytes:
    """The model on a case, as RankStream writes it: ending u8, state 32, points u16, score u16, state as of the hour 32, score."""
    if not valid(case[:32], case[32:112]):
        return bytes(ANSWER_SIZE)
    state, rules = State.decode(case[:32]), RankRules.decode(case[32:112])
    hour = int.from_bytes(case[112:114])
    bought = Purchase(hour, int.from_bytes(case[114:118]), case[118], case[119])
    rank = rank_at(state, rules, hour)
    read = bytearray(case[:32])
    read[1] = rank
    if state.visits:
        read[4:6] = max(hour, state.last_hour).to_bytes(2)
        if rank < state.rank:
            read[10:12] = read[4:6]
    read[16:] = b"".join(value.to_bytes(4) for value in aged(state, rules, hour))
    read += score_at(state, rules, hour).to_bytes(2)
    try:
        after, points = purchase(state, rules, bought)
    except TimeJump:
        return b"\x01" + bytes(36) + read
    return b"\x02" + after.encode() + points.to_bytes(2) + score(after, rules).to_bytes(2) + read
