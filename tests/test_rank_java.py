"""The rank arithmetic in Java Card, without 32-bit numbers, beside the model: the same bytes.

JOREN_RANKS is the number of purchases, 20,000 where it is not set.
"""

import os
from collections import Counter
from collections.abc import Callable

import rankkit
from javakit import run_stream
from joren.applet.rank import DEFAULT_RULES, State

NUMBER = int(os.environ.get("JOREN_RANKS", "20000"))
AT_ONCE = 20_000
REFUSED, TIME_JUMP, DONE = range(3)
SLOT_AT, SLOT_SIZE = 40, 10


def compare(cases: list[bytes]) -> Counter[int]:
    """How often each ending came, after both agreed on all of them."""
    answers = run_stream("RankStream", b"".join(cases))
    assert len(answers) == rankkit.ANSWER_SIZE * len(cases)
    endings = Counter[int]()
    for number, case in enumerate(cases):
        answer = answers[rankkit.ANSWER_SIZE * number :][: rankkit.ANSWER_SIZE]
        assert (case.hex(), answer.hex()) == (case.hex(), rankkit.answer(case).hex())
        endings[answer[0]] += 1
    return endings


def test_any_purchase_gives_the_bytes_of_the_model(record_property: Callable[[str, object], None]) -> None:
    """REQ-RANK-06, REQ-RANK-22: state, points, score; and the state as it reads at a later hour (REQ-RANK-17)."""
    endings = Counter[int]()
    for seed, start in enumerate(range(0, NUMBER, AT_ONCE)):
        endings += compare(list(rankkit.cases(seed, min(AT_ONCE, NUMBER - start))))
    assert endings[DONE] > endings[TIME_JUMP] > endings[REFUSED] > 0
    record_property("purchases computed in Java Card as in the model", endings[DONE])


def test_every_factor_of_the_fall() -> None:
    """REQ-RANK-09: each number of 64ths of a half-life that leaves something, and some that leave nothing."""
    rules = bytearray(DEFAULT_RULES.encode())
    for slot in range(4):
        rules[SLOT_AT + SLOT_SIZE * slot : SLOT_AT + SLOT_SIZE * slot + 2] = (0xFFFF).to_bytes(2)
    rules[4:6] = b"\xff\xff"
    values = b"\xff\xff\xff\xff\x00\x00\xff\xff\x80\x00\x00\x01\x12\x34\x56\x78"
    state = State.blank().encode()[:8] + b"\x00\x01" + bytes(6) + values
    cases = [state + bytes(rules) + hour.to_bytes(2) + bytes(4) + b"\x00\x0a" for hour in range(2048 + 64)]
    assert compare(cases) == {DONE: len(cases)}


def test_every_share_and_every_factor_of_a_campaign() -> None:
    """REQ-RANK-11, REQ-RANK-16: 0..256 of 256, and 0..255 tenths, at the highest rates too."""
    cases = []
    for share in range(257):
        rules = bytearray(DEFAULT_RULES.encode())
        rules[SLOT_AT + 8 : SLOT_AT + 10] = share.to_bytes(2)
        rules[28:30] = b"\xff\xff"
        state = State.blank().encode()[:16] + (share * 0xFEDCBA % 0x100000000).to_bytes(4) + bytes(12)
        cases.append(state + bytes(rules) + b"\x00\x64" + (share * 65_537).to_bytes(4) + bytes((share % 16, share & 0xFF)))
    assert compare(cases) == {DONE: len(cases)}


def test_every_amount_shift_and_every_cap_at_the_edge() -> None:
    """REQ-RANK-12, REQ-RANK-14: amounts about each power of two, points about points_cap."""
    cases = []
    for shift in range(32):
        for amount in (0, (1 << shift) - 1, 1 << shift, 0xFFFF << shift & 0xFFFFFFFF, 0x10000 << shift & 0xFFFFFFFF, 0xFFFFFFFF):
            rules = bytearray(DEFAULT_RULES.encode())
            rules[1] = shift
            for cap in (0, 1, 9_999, 65_534, 65_535):
                rules[38:40] = cap.to_bytes(2)
                cases.append(State.blank().encode() + bytes(rules) + b"\x00\x64" + amount.to_bytes(4) + b"\x00\x0a")
    for points in (0, 1, 65_534, 65_535, 65_536):
        for more in (-1, 0, 1):
            amount = max(points * 100 + more, 0)
            cases.append(State.blank().encode() + DEFAULT_RULES.encode() + b"\x00\x64" + amount.to_bytes(4) + b"\x00\x0a")
    assert compare(cases) == {DONE: len(cases)}
