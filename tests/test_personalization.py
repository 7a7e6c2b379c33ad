"""STORE DATA on both cards: blocks, values one by one, what must be there, and that it is over when the card is issued."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cardkit import LIMITS, PIN, PUK, Customer, Shop, pin_block
from joren.apdu import AID_CUSTOMER, SW, Ins, Key, LifeCycle, Response, aid
from joren.apdu.state import DEFAULT_RULES
from joren.apdu.tlv import build_dgi, parse_dgis
from joren.applet.customer import CustomerCard
from joren.simulator.memory import PowerCut
from joren.simulator.tear import CACHE, place_of

Kit = Customer | Shop
Make = Callable[[], Kit]
OK, LAST, MORE = Response(b"", SW.OK), 0x88, 0x08
OTHERS = {
    label: Key(bytes([number]) * 16, label) for number, label in enumerate(("till", "shop", "receipt", "load", "admin", "shop-admin"), 1)
}
RULES, RAW_LIMITS = DEFAULT_RULES.encode(), LIMITS.encode()


def customer() -> Customer:
    """A customer card to be personalized."""
    return Customer(pin=PIN, issue=False)


def shop() -> Shop:
    """A shop card to be personalized."""
    return Shop(issue=False)


BOTH = pytest.mark.parametrize("make", [customer, shop])


def values(kit: Kit) -> dict[int, bytes]:
    """The DGIs that issue this card."""
    return {dgi.tag: dgi.value for dgi in parse_dgis(b"".join(kit.blocks()))}


def put(kit: Kit, block: bytes, number: int = 0, p1: int = MORE) -> Response:
    return kit.send(0x80, Ins.STORE_DATA, p1, number, block)


def joined(dgis: dict[int, bytes]) -> bytes:
    return b"".join(build_dgi(tag, value) for tag, value in dgis.items())


def life_cycle(kit: Kit) -> int:
    """The life cycle state, as SELECT tells it."""
    return kit.select().life_cycle


def issued(make: Make) -> bytes:
    """The memory of this card when it has been issued in one block."""
    kit = make()
    assert put(kit, b"".join(kit.blocks()), p1=LAST) == OK
    assert life_cycle(kit) == LifeCycle.ISSUED
    return kit.chip.snapshot()


def refuses(kit: Kit, block: bytes, sw: int, number: int = 0, p1: int = MORE) -> None:
    """The block is refused and nothing of it is stored; the card is still open."""
    before = kit.chip.snapshot()
    assert put(kit, block, number, p1) == Response(b"", sw)
    assert kit.chip.snapshot() == before
    assert put(kit, b"".join(kit.blocks()), p1=LAST) == OK


@BOTH
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_in_any_blocks_makes_the_same_card(make: Make, data: st.DataObject) -> None:
    """REQ-PER-1, REQ-PER-3, REQ-SPE-1."""
    kit = make()
    dgis = data.draw(st.permutations(list(values(kit).items())))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(dgis) - 1))))
    blocks = [joined(dict(dgis[start:end])) for start, end in zip([0, *cuts], [*cuts, len(dgis)], strict=True)]
    for number, block in enumerate(blocks):
        assert put(kit, block, number, LAST if number == len(blocks) - 1 else MORE) == OK
    assert life_cycle(kit) == LifeCycle.ISSUED
    assert kit.chip.snapshot() == issued(make)


@BOTH
def test_blocks_are_numbered_from_00(make: Make) -> None:
    """REQ-PER-1: another number is 6A86, and the count begins anew."""
    kit = make()
    block = build_dgi(0x0102, RULES)
    wrong = Response(b"", SW.INCORRECT_P1_P2)
    for number in (1, 2, 0x80, 0xFF):
        assert put(kit, block, number) == wrong
    assert [put(kit, block, number) for number in (0, 1, 2, 2, 3, 0, 1, 1, 0, 0, 0)] == [
        OK,
        OK,
        OK,
        wrong,
        wrong,
        OK,
        OK,
        wrong,
        OK,
        wrong,
        OK,
    ]


@BOTH
def test_the_last_block_has_its_number_too(make: Make) -> None:
    """REQ-PER-1."""
    kit = make()
    refuses(kit, b"".join(kit.blocks()), SW.INCORRECT_P1_P2, 1, LAST)


ERRORS: dict[str, Callable[[Kit], Response]] = {
    "wrong number": lambda kit: put(kit, build_dgi(0x0102, RULES), 2),
    "no DGI": lambda kit: put(kit, b"\x01", 1),
    "malformed value": lambda kit: put(kit, build_dgi(0x0102, RULES[:-1]), 1),
    "unknown DGI": lambda kit: put(kit, build_dgi(0x0104, RULES), 1),
    "incomplete": lambda kit: put(kit, build_dgi(0x0102, RULES), 1, LAST),
}


@BOTH
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_begins_anew_at_00(make: Make, error: str) -> None:
    """REQ-PER-1: what the blocks before stored stays."""
    kit = make()
    first, second = kit.blocks()
    assert put(kit, first) == OK
    before = kit.chip.snapshot()
    assert not ERRORS[error](kit).ok
    assert put(kit, second, 1, LAST) == Response(b"", SW.INCORRECT_P1_P2)
    assert kit.chip.snapshot() == before
    assert put(kit, second, 0, LAST) == OK
    assert kit.chip.snapshot() == issued(make)


@BOTH
@pytest.mark.parametrize("how", ["SELECT", "another instance", "reset"])
def test_progress_is_lost_with_the_session(make: Make, how: str) -> None:
    """REQ-PER-1, REQ-SEL-2."""
    kit = make()
    kit.chip.install(CustomerCard, aid(AID_CUSTOMER, 2))
    first, second = kit.blocks()
    assert put(kit, first) == OK
    if how == "another instance":
        assert kit.send(0x00, Ins.SELECT, 0x04, 0x0C, aid(AID_CUSTOMER, 2), 26).ok
    elif how == "reset":
        kit.chip.power_on()
    kit.select()
    assert put(kit, second, 1, LAST) == Response(b"", SW.INCORRECT_P1_P2)
    assert put(kit, second, 0, LAST) == OK


NOT_WHOLE = ["01", "0102", "010201", "01020201", "010200" + "00", "0102FF", "0102FF00", "0102FF0050", "0102FF00FF00", "8003110141"]


@BOTH
@pytest.mark.parametrize("raw", NOT_WHOLE)
def test_a_block_that_is_not_whole_dgis(make: Make, raw: str) -> None:
    """REQ-PER-2: alone, and after DGIs that are."""
    for before in (b"", build_dgi(0x0102, RULES)):
        refuses(make(), before + bytes.fromhex(raw), SW.WRONG_DATA)


@BOTH
def test_unknown_dgis(make: Make) -> None:
    """REQ-PER-2: 6A88, those of the other card among them; with good ones before, nothing of the block is stored."""
    kit = make()
    known, before = set(values(kit)), kit.chip.snapshot()
    near = {tag + step for tag in (*values(customer()), *values(shop())) for step in (-1, 0, 1)}
    for tag in sorted((near | {0x0001, 0x7FFF, 0x9001, 0xFFFF, *range(0, 0x10000, 0x101)}) - known - {0x0203}):
        for good in (b"", build_dgi(0x0103, RAW_LIMITS)):
            assert put(kit, good + tag.to_bytes(2) + b"\x01\x01") == Response(b"", SW.REFERENCED_DATA_NOT_FOUND)
    assert kit.chip.snapshot() == before


def patched(value: bytes, offset: int, new: str) -> bytes:
    """The value with other bytes (in hexadecimal) at an offset."""
    raw = bytes.fromhex(new)
    return value[:offset] + raw + value[offset + len(raw) :]


CLIMB, KEEP = 8, 18
BAD_RULES = {
    "amount_shift 32": (1, "20"),
    "amount_shift 255": (1, "FF"),
    "hold_hours 0": (6, "0000"),
    "climb[0] 1": (CLIMB, "0001"),
    "keep[0] 1": (KEEP, "0001"),
    **{f"climb[{rank}] as the one below": (CLIMB + 2 * rank, f"{DEFAULT_RULES.climb[rank - 1]:04X}") for rank in range(1, 5)},
    **{f"keep[{rank}] as the one below": (KEEP + 2 * rank, f"{DEFAULT_RULES.keep[rank - 1]:04X}") for rank in range(1, 5)},
    **{f"keep[{rank}] above climb": (KEEP + 2 * rank, f"{DEFAULT_RULES.climb[rank] + 1:04X}") for rank in range(1, 5)},
    **{f"share of slot {slot} 257": (48 + 10 * slot, "0101") for slot in range(4)},
}
GOOD_RULES = {
    "version 0": (0, "00"),
    "amount_shift 31": (1, "1F"),
    "gap and jump 0, hold 1": (2, "0000 0000 0001"),
    "gap, jump and hold at their most": (2, "FFFF FFFF FFFF"),
    "keep as climb": (KEEP, RULES[CLIMB:KEEP].hex()),
    "keep 0 1 2 3 4": (KEEP, "0000 0001 0002 0003 0004"),
    "climb up to FFFF": (CLIMB + 8, "FFFF"),
    "rates that fall, cap 0": (28, "FFFF 0003 0002 0001 0000 0000"),
    "slots at their most": (40, "FFFF FFFF FFFF FFFF 0100" * 4),
    "slots at their least": (40, "0000 0000 0000 0000 0000" * 4),
}
BAD_LIMITS = {
    "modes 0": (0, "00"),
    "modes 4": (0, "04"),
    "modes 7": (0, "07"),
    "modes FF": (0, "FF"),
    "factor_max_tenths 0": (1, "00"),
    "factor_max_tenths 9": (1, "09"),
    "categories 0": (2, "0000"),
    "period_hours 0": (4, "0000"),
}
GOOD_LIMITS = {
    "at the least": (0, "01 0A 0001 0001 00000000 00000000 00000000"),
    "at the most": (0, "03 FF FFFF FFFF FFFFFFFF FFFFFFFF FFFFFFFF"),
}
BAD_PINS = {
    "3 digits": pin_block(b"123"),
    "no digits": b"\xff" * 8,
    "a letter": pin_block(b"123A"),
    "digits after the padding": b"1234\xff\xff\xff1",
    "padded with 00": b"1234\x00\x00\x00\x00",
    "numbers for digits": b"\x01\x02\x03\x04\xff\xff\xff\xff",
    "7 bytes": b"1234\xff\xff\xff",
    "9 bytes": b"1234\xff\xff\xff\xff\xff",
    "9 digits": b"123456789",
}
BAD_PUKS = {"7 digits": b"1234567\xff", "a letter": b"1234567A", "7 bytes": b"1234567", "9 bytes": b"123456789", "blanks": b" " * 8}
BAD: list[tuple[str, Make, int, bytes]] = [
    *[(name, make, 0x0102, patched(RULES, *patch)) for make in (customer, shop) for name, patch in BAD_RULES.items()],
    *[(name, make, 0x0103, patched(RAW_LIMITS, *patch)) for make in (customer, shop) for name, patch in BAD_LIMITS.items()],
    *[(f"PIN: {name}", customer, 0x8110, value) for name, value in BAD_PINS.items()],
    *[(f"PUK: {name}", customer, 0x8112, value) for name, value in BAD_PUKS.items()],
    *[("key version 0", make, tag, bytes(1) + b"K" * 16) for make in (customer, shop) for tag in values(make()) if tag & 0xFFE0 == 0x8000],
    ("customer card of another programme", customer, 0x0101, b"A" * 8 + b"\x00\x02"),
    ("shop card of another programme", shop, 0x0201, b"\x01\x01" + b"\x00\x00\x00\x07" + b"\x01"),
    *[
        (f"{len(v) + n} bytes", make, t, (v + v[:1])[: len(v) + n])
        for make in (customer, shop)
        for t, v in values(make()).items()
        for n in (-1, 1)
    ],
    *[("no byte", make, tag, b"") for make in (customer, shop) for tag in values(make())],
]


@pytest.mark.parametrize(("make", "tag", "value"), [row[1:] for row in BAD], ids=[f"{row[2]:04X} {row[0]}" for row in BAD])
def test_a_malformed_value(make: Make, tag: int, value: bytes) -> None:
    """REQ-PER-2, REQ-REC-1, REQ-REC-2, REQ-RANK-05, REQ-KEY-1: alone, and after a good DGI, of which nothing stays."""
    refuses(make(), build_dgi(tag, value), SW.WRONG_DATA)
    refuses(make(), build_dgi(0x0102, patched(RULES, 0, "63")) + build_dgi(tag, value), SW.WRONG_DATA)


@BOTH
@pytest.mark.parametrize("name", [*GOOD_RULES, *GOOD_LIMITS])
def test_values_at_the_edge_are_taken(make: Make, name: str) -> None:
    """REQ-REC-2, REQ-RANK-05, REQ-DAT-1: and read back."""
    rules = patched(RULES, *GOOD_RULES[name]) if name in GOOD_RULES else RULES
    limits = patched(RAW_LIMITS, *GOOD_LIMITS[name]) if name in GOOD_LIMITS else RAW_LIMITS
    kit = make()
    assert put(kit, joined({**values(kit), 0x0102: rules, 0x0103: limits}), p1=LAST) == OK
    assert kit.send(0x00, Ins.GET_DATA, 1, 1, ne=98) == Response(rules + limits, SW.OK)


@pytest.mark.parametrize("digits", [b"0000", b"12345", b"123456", b"9876543", b"12345678"])
def test_pins_of_every_length(digits: bytes) -> None:
    """REQ-PER-2, REQ-PIN-4, REQ-DAT-1: with all their tries."""
    card = customer()
    assert put(card, joined({**values(card), 0x8110: pin_block(digits)}), p1=LAST) == OK
    assert card.send(0x00, Ins.GET_DATA, 1, 3, ne=2) == Response(b"\x03\x0a", SW.OK)
    assert card.verify(digits) == OK


def test_key_versions() -> None:
    """REQ-KEY-1, REQ-DAT-1, REQ-KEY-5: all keys have one version, which SELECT tells from the issuing block on."""
    for version in (1, 0x7F, 0xFF):
        card = Customer(issue=False, version=version)
        assert card.select().key_version == 0
        assert put(card, b"".join(card.blocks()), p1=LAST) == OK
        assert card.select().key_version == version
        told = b"".join(bytes((key_ref, version)) for key_ref in range(1, 6))
        assert card.send(0x00, Ins.GET_DATA, 1, 4, ne=10) == Response(told, SW.OK)


@pytest.mark.parametrize("tag", range(0x8001, 0x8006), ids="{:04X}".format)
def test_keys_of_different_versions(tag: int) -> None:
    """REQ-KEY-5: also of a key that need not be there; what is missing comes first (REQ-PER-3); a block that is not the last is stored."""
    card = Customer(issue=False, limits=replace(LIMITS, modes=2, purse_max_minor=0))
    other = {**values(card), tag: b"\x02" + values(card)[tag][1:]}
    lacking = {name: value for name, value in other.items() if name != 0x0102}
    before = card.chip.snapshot()
    for dgis, sw in ((lacking, SW.REFERENCED_DATA_NOT_FOUND), (other, SW.WRONG_DATA)):
        assert put(card, joined(dgis), p1=LAST) == Response(b"", sw)
        assert card.chip.snapshot() == before
    assert put(card, joined(other)) == OK
    before = card.chip.snapshot()
    assert put(card, build_dgi(0x0102, RULES), 1, LAST) == Response(b"", SW.WRONG_DATA)
    assert (card.chip.snapshot(), life_cycle(card)) == (before, LifeCycle.SELECTABLE)
    assert put(card, build_dgi(tag, values(card)[tag]), p1=LAST) == OK
    assert life_cycle(card) == LifeCycle.ISSUED


NEEDS: dict[str, tuple[Make, set[int]]] = {
    "one-card": (lambda: Customer(issue=False, limits=replace(LIMITS, modes=1, purse_max_minor=0)), {0x8001}),
    "two-card": (lambda: Customer(issue=False, limits=replace(LIMITS, modes=2, purse_max_minor=0)), {0x8002}),
    "both": (lambda: Customer(issue=False, limits=replace(LIMITS, modes=3, purse_max_minor=0)), {0x8001, 0x8002}),
    "one-card with a purse": (lambda: Customer(issue=False, limits=replace(LIMITS, modes=1, purse_max_minor=1)), {0x8001, 0x8004}),
    "two-card with a purse": (lambda: Customer(issue=False, limits=replace(LIMITS, modes=2, purse_max_minor=1 << 31)), {0x8002, 0x8004}),
    "both, purse and PIN": (customer, {0x8001, 0x8002, 0x8004, 0x8110, 0x8112}),
    "shop": (shop, {0x0201, 0x0202, 0x8012}),
}
MISSING = [(name, tag) for name, (make, _) in NEEDS.items() for tag in values(make())]


@pytest.mark.parametrize(("name", "tag"), MISSING, ids=[f"{name} without {tag:04X}" for name, tag in MISSING])
def test_what_must_be_there(name: str, tag: int) -> None:
    """REQ-PER-3, REQ-SPE-1: each left out in turn; what is not needed may be; the block that comes too early is not stored."""
    make, needed = NEEDS[name]
    kit = make()
    needed = needed | {0x0102, 0x0103, 0x8005} | ({0x0101, 0x8003} if isinstance(kit, Customer) else set())
    rest = values(kit)
    missing = rest.pop(tag)
    if tag not in needed:
        assert put(kit, joined(rest), p1=LAST) == OK
        assert life_cycle(kit) == LifeCycle.ISSUED
        return
    before = kit.chip.snapshot()
    assert put(kit, joined(rest), p1=LAST) == Response(b"", SW.REFERENCED_DATA_NOT_FOUND)
    assert kit.chip.snapshot() == before
    assert life_cycle(kit) == LifeCycle.SELECTABLE
    assert put(kit, joined(rest)) == OK
    assert put(kit, build_dgi(tag, missing), 1, LAST) == OK
    assert kit.chip.snapshot() == issued(make)


def test_a_puk_without_a_pin() -> None:
    """REQ-PER-3."""
    card = Customer(issue=False)
    refuses(card, b"".join(card.blocks()) + build_dgi(0x8112, PUK), SW.REFERENCED_DATA_NOT_FOUND, p1=LAST)


def test_what_an_issued_shop_card_tells() -> None:
    """REQ-SPE-1, REQ-REC-1: the sequence starts at terminal | 000000."""
    card = Shop(shop=0x01020304, terminal=0xFE, points_left=0x11223344, money_left=0x55667788)
    answer = card.send(0x00, Ins.SELECT, 0x04, 0x0C, card.aid, 25)
    assert answer == Response(bytes.fromhex("01 0F 01 00 0001 01020304 FE FE000000 11223344 55667788 0000"), SW.OK)


@BOTH
def test_it_is_closed_for_good(make: Make) -> None:
    """REQ-PER-4: no block, whatever it holds or is numbered, is taken from an issued card."""
    kit = make()
    blocks = kit.blocks()
    for number, block in enumerate(blocks):
        assert put(kit, block, number, LAST if number == len(blocks) - 1 else MORE) == OK
    before = kit.chip.snapshot()
    for _ in range(2):
        for number in range(256):
            for block in (*blocks, b"\x00", build_dgi(0x0104, b"")):
                assert put(kit, block, number) == put(kit, block, number, LAST) == Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        kit.chip.power_on()
        assert life_cycle(kit) == LifeCycle.ISSUED
    assert kit.chip.snapshot() == before


def test_a_stored_value_is_replaced() -> None:
    """REQ-PER-1: all DGIs of another card first, then its own, in blocks of their own or in one; the tries too are new."""
    other = Customer(b"another!", replace(LIMITS, modes=1), replace(DEFAULT_RULES, hold_hours=9), b"999999", masters=OTHERS, issue=False)
    for own in (customer().blocks(), [b"".join(customer().blocks())]):
        card = customer()
        assert [put(card, block, number) for number, block in enumerate(other.blocks())] == [OK, OK]
        for number, block in enumerate(own, 2):
            assert put(card, block, number, LAST if block is own[-1] else MORE) == OK
        assert card.chip.snapshot() == issued(customer)
    stranger = Shop(8, 9, 10, 11, replace(LIMITS, modes=1), replace(DEFAULT_RULES, hold_hours=9), masters=OTHERS, issue=False)
    till = shop()
    assert put(till, b"".join(stranger.blocks())) == OK
    assert put(till, b"".join(till.blocks()), 1, LAST) == OK
    assert till.chip.snapshot() == issued(shop)


@BOTH
def test_within_a_block_the_last_value_counts(make: Make) -> None:
    """REQ-PER-1."""
    kit = make()
    assert put(kit, build_dgi(0x0102, patched(RULES, 0, "63")) + build_dgi(0x0102, RULES)) == OK
    assert put(kit, joined({tag: value for tag, value in values(kit).items() if tag != 0x0102}), 1, LAST) == OK
    assert kit.chip.snapshot() == issued(make)


@BOTH
@pytest.mark.parametrize("p1", [MORE, LAST], ids=["a block", "the last block"])
def test_a_block_is_stored_whole_or_not_at_all(make: Make, p1: int) -> None:
    """REQ-PER-2, REQ-APDU-8: the power goes at every write; then the same block can be sent again, from 00 on.

    An applet that keeps key objects beside its cells loads them after the commit: power lost there leaves the block stored."""
    kit, write, done = make(), 0, False
    block, before = b"".join(kit.blocks()), kit.chip.snapshot()
    while not done:
        write += 1
        kit.chip.memory.cut_after(write)
        try:
            assert put(kit, block, p1=p1) == OK
            done = True
        except PowerCut:
            kit.chip.power_on()
            if kit.chip.snapshot() != before:
                assert place_of(kit.chip) == CACHE
                assert life_cycle(kit) == (LifeCycle.ISSUED if p1 == LAST else LifeCycle.SELECTABLE)
                kit.chip.restore(before)
                kit.chip.power_on()
            assert kit.chip.snapshot() == before
            assert life_cycle(kit) == LifeCycle.SELECTABLE
    assert write > len(values(kit)) + 1
    kit.chip.power_on()
    assert life_cycle(kit) == (LifeCycle.ISSUED if p1 == LAST else LifeCycle.SELECTABLE)
    assert p1 == MORE or kit.chip.snapshot() == issued(make)
