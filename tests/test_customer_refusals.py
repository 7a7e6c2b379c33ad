"""What the customer card refuses: the exact status word, no data, no byte changed, the session still good (REQ-APDU-1 to REQ-APDU-9)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import pytest

from cardkit import LIMITS, PIN, PUK, Customer, Shop, pin_block
from joren.apdu import SW, Command, Ins, KeyRef, Kind, LifeCycle, Response, base_kind, is_void, messages
from joren.apdu.state import DEFAULT_RULES, State
from joren.apdu.transaction import Order
from joren.applet.lifecycle import ALLOWED_CUSTOMER

Build = Callable[[Customer], Command]
TILL, SHOP, RECEIPT, LOAD, ADMIN = KeyRef
RULES = replace(DEFAULT_RULES, points_cap=5_000)
JUMP = RULES.jump_max_hours
HOUR, POINTS, PURSE = 100, 1_000, 5_000
EARNING = (Kind.PURCHASE, Kind.PAY_AND_EARN)
KEYS = {Kind.PURCHASE: (TILL,), Kind.PAY_AND_EARN: (TILL,), Kind.LOAD: (LOAD,), Kind.VOID_LOAD: (LOAD,)}
PAIRS = [(kind, key_ref) for kind in Kind for key_ref in KEYS.get(kind, (TILL, SHOP))]
"""Kinds and keys of TRANSACT."""
ACTS = [*PAIRS, *[(kind, SHOP) for kind in EARNING]]
"""Those, and COMMIT."""
ORDERS = [(kind, key_ref) for kind, key_ref in ACTS if not is_void(kind)]
VOIDS = [(kind, key_ref) for kind, key_ref in ACTS if is_void(kind)]
EVERY_ACT = pytest.mark.parametrize(("kind", "key_ref"), ACTS, ids=[f"{kind.name} by {key_ref.name}" for kind, key_ref in ACTS])


def card(pin: bytes | None = None, missing: int = 0, **limits: int) -> Customer:
    """A card as issued, without the DGI of one key."""
    return Customer(limits=replace(LIMITS, **limits), rules=RULES, pin=pin, leave_out=frozenset({missing}))


def used(pin: bytes | None = None, **limits: int) -> Customer:
    """A card with 5000 in the purse and 1000 points, after three transactions until hour 100."""
    customer = card(pin, 0, **limits)
    customer.load(PURSE, hour=HOUR)
    customer.buy(0, hour=HOUR)
    customer.buy(100_000, hour=HOUR)
    return customer


def poke(customer: Customer, name: str, offset: int, data: bytes) -> None:
    """Writes cells of the card's memory, past the card."""
    memory = customer.chip.memory
    memory.write(memory.regions[f"{customer.aid.hex().upper()}/{name}"].address + offset, data)


def set_status(customer: Customer, target: int) -> Command:
    mac = customer.keys[ADMIN].mac8(messages.admin(customer.head, customer.info.counter, customer.info.nonce, target))
    return Command(0x80, Ins.SET_STATUS, 0x40, target, mac)


def commit(customer: Customer, kind: int, order: Order, points: int = 10, **state: int) -> Command:
    """COMMIT as a shop card would authorize it, of any state."""
    after = replace(State.blank(), last_hour=order.hour)
    raw, stored = order.encode(), replace(after, **state).encode()  # type: ignore[arg-type]
    info = customer.info
    message = messages.commit(customer.head, info.counter, info.nonce, kind, SHOP, raw, RULES.rules_version, points, stored)
    return customer.commit_command(kind, order, points, stored, customer.keys[SHOP].mac8(message))


def refuses(customer: Customer, command: Command, sw: int) -> None:
    """The command is refused with sw; and the card is as it was, down to its nonce: SET STATUS made for the session still goes."""
    before, state = customer.chip.snapshot(), customer.info.life_cycle
    assert customer.chip.process(command) == Response(b"", sw)
    assert customer.chip.snapshot() == before
    if state in (LifeCycle.ISSUED, LifeCycle.BLOCKED):
        target = LifeCycle.BLOCKED if state == LifeCycle.ISSUED else LifeCycle.ISSUED
        assert customer.chip.process(set_status(customer, target)) == Response(b"", SW.OK)


def verified() -> Customer:
    """A used card with a PIN, verified."""
    customer = used(PIN)
    assert customer.verify(PIN).ok
    return customer


def in_state(state: LifeCycle) -> Customer:
    """A card in a state of its life."""
    if state == LifeCycle.SELECTABLE:
        return Customer(issue=False)
    customer = verified()
    if state != LifeCycle.ISSUED:
        assert customer.chip.process(set_status(customer, state)).ok
        customer.select()
    return customer


# The commands of the page: CLA, INS, the P1 P2 there are, the lengths of data, and for each P1 P2 the length of the answer.


@dataclass(frozen=True)
class Line:
    """One line of the page's table, for one form of the command."""

    cla: int
    ins: Ins
    p1_p2: frozenset[tuple[int, int]]
    lengths: frozenset[int]
    answer: int
    right: Build


def line(cla: int, ins: Ins, p1_p2: set[tuple[int, int]], lengths: set[int], answer: int, data: Callable[[Customer], bytes]) -> Line:
    p1, p2 = min(p1_p2)
    return Line(cla, ins, frozenset(p1_p2), frozenset(lengths), answer, lambda c: Command(cla, ins, p1, p2, data(c), answer or None))


ISSUERS_OWN = {Ins.GET_DATA: {(1, 5)}}  # what only a secure channel is answered: test_secured.py
LINES: dict[str, Line] = {
    "TRANSACT": line(0x80, Ins.TRANSACT, {*PAIRS}, {24}, 32, lambda c: c.transact_command(Kind.PURCHASE, c.order()).data),
    "GET STATE": line(0x80, Ins.GET_STATE, {(0, 0)}, {0}, 40, lambda c: b""),
    "COMMIT": line(0x80, Ins.COMMIT, {(1, 2), (2, 2)}, {58}, 32, lambda c: commit(c, 1, c.order()).data),
    "PROVE": line(0x80, Ins.PROVE, {(0, 1), (0, 2), (0, 4)}, {18}, 63, lambda c: bytes(18)),
    "GET RESULT": line(0x80, Ins.GET_RESULT, {(0, 0)}, {2}, 3, lambda c: bytes(2)),
    "GET RESULT for the holder": line(0x80, Ins.GET_RESULT, {(1, 0)}, {2}, 31, lambda c: bytes(2)),
    "READ RECORD": line(0x00, Ins.READ_RECORD, {(p1, 0x0C) for p1 in range(1, 256)}, {0}, 44, lambda c: b""),
    **{f"GET DATA {tag}": line(0x00, Ins.GET_DATA, {(1, tag)}, {0}, size, lambda c: b"") for tag, size in ((1, 98), (3, 2), (4, 10))},
    "VERIFY": line(0x00, Ins.VERIFY, {(0, 0x81)}, {0, 8}, 0, lambda c: pin_block(PIN)),
    "CHANGE": line(0x00, Ins.CHANGE_REFERENCE_DATA, {(0, 0x81)}, {16}, 0, lambda c: pin_block(PIN) * 2),
    "RESET": line(0x00, Ins.RESET_RETRY_COUNTER, {(0, 0x81)}, {16}, 0, lambda c: PUK + pin_block(PIN)),
    "STORE DATA": line(
        0x80,
        Ins.STORE_DATA,
        {(p1, p2) for p1 in (0x08, 0x28, 0x88, 0xA8) for p2 in range(256)},
        {*range(1, 256)},
        0,
        lambda c: c.blocks()[0],
    ),
    "SET STATUS": line(0x80, Ins.SET_STATUS, {(0x40, 0x0F), (0x40, 0x83), (0x40, 0xFF)}, {8}, 0, lambda c: set_status(c, 0x83).data),
}
INSTRUCTIONS = {(entry.cla, entry.ins) for entry in LINES.values()} | {(0x00, Ins.SELECT)}
EVERY_LINE = pytest.mark.parametrize("name", LINES)


def right(customer: Customer, name: str) -> Command:
    """A command that the card carries out in the state where it is allowed."""
    command = LINES[name].right(customer)
    if name != "SET STATUS":
        return command
    return set_status(customer, LifeCycle.ISSUED if customer.info.life_cycle == LifeCycle.BLOCKED else LifeCycle.BLOCKED)


def home(name: str) -> Customer:
    """A card that carries the command out."""
    return in_state(LifeCycle.SELECTABLE if name == "STORE DATA" else LifeCycle.ISSUED)


CHANNELS = (0x01, 0x02, 0x03, 0x81, 0x82, 0x83)


def codes(top: int = 256) -> Iterator[int]:
    """The instruction bytes that there can be."""
    return (code for code in range(top) if code >> 4 not in (6, 9))


def test_unknown_classes_and_instructions() -> None:
    """REQ-APDU-1: every one there is."""
    customer = verified()
    before = customer.chip.snapshot()
    for cla in range(0xFF):
        for ins in codes() if cla in (0x00, 0x80) else (0xA4, 0x20, 0x30, 0xFF):
            if (cla, ins) not in (*INSTRUCTIONS, (0x00, Ins.MANAGE_CHANNEL)) and not (cla in CHANNELS and ins == Ins.SELECT):
                expected = SW.INS_NOT_SUPPORTED if cla in (0x00, 0x80) else SW.CLA_NOT_SUPPORTED
                expected = SW.LOGICAL_CHANNEL_NOT_SUPPORTED if cla in CHANNELS else expected
                assert customer.send(cla, ins, 4, 0, customer.aid, 256) == Response(b"", expected), (cla, ins)
    assert customer.chip.snapshot() == before
    refuses(customer, Command(0x81, Ins.TRANSACT, 1, 1), SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
    refuses(verified(), Command(0x84, Ins.TRANSACT, 1, 1), SW.CLA_NOT_SUPPORTED)


@EVERY_LINE
def test_p1_and_p2_are_those_of_the_page(name: str) -> None:
    """REQ-APDU-2, REQ-TRX-1, REQ-LOG-1: P1 and P2 changed, one at a time, to every other value; both to the other's."""
    entry, customer = LINES[name], home(name)
    listed = {pair for other in LINES.values() if other.ins == entry.ins for pair in other.p1_p2} | ISSUERS_OWN.get(entry.ins, set())
    pairs = {(p1, value) for p1, _ in entry.p1_p2 for value in range(256)} | {(value, p2) for _, p2 in entry.p1_p2 for value in range(256)}
    before, command = customer.chip.snapshot(), right(customer, name)
    for p1, p2 in sorted(pairs - listed):
        assert customer.chip.process(replace(command, p1=p1, p2=p2)) == Response(b"", SW.INCORRECT_P1_P2), (p1, p2)
    assert customer.chip.snapshot() == before
    assert customer.chip.process(command).ok


@EVERY_LINE
def test_a_data_field_of_another_length(name: str) -> None:
    """REQ-APDU-3, REQ-APDU-7: none, one byte short, one long, the longest, extended."""
    entry = LINES[name]
    beside = {length + step for length in entry.lengths for step in (-1, 1)}
    for length in {0, 255, 256, 65_535, *beside} - entry.lengths - {-1}:
        customer = home(name)
        command = right(customer, name)
        refuses(customer, replace(command, data=(command.data + bytes(length))[:length]), SW.WRONG_LENGTH)
        assert customer.info.life_cycle != LifeCycle.SELECTABLE or customer.chip.process(command).ok


@EVERY_LINE
def test_the_expected_length(name: str) -> None:
    """REQ-APDU-4, REQ-PRV-3: none or too small is told the exact number; more is accepted, also where there is no answer."""
    answer = LINES[name].answer
    for ne in (None, 1, answer - 1):
        if answer and (ne is None or ne < answer):
            customer = home(name)
            refuses(customer, replace(right(customer, name), ne=ne), 0x6C00 | answer)
    for ne in (answer, answer + 1, 256, 65_536):
        response = (customer := home(name)).chip.process(replace(right(customer, name), ne=ne or None))
        assert response.ok
        assert len(response.data) in {answer, 19 if name == "PROVE" else answer}


@pytest.mark.parametrize(("p2", "answer"), [(0x0C, 26), (0x00, 41)])
def test_the_expected_length_of_select(p2: int, answer: int) -> None:
    """REQ-APDU-4."""
    customer = used()
    before = customer.chip.snapshot()
    assert {customer.send(0, Ins.SELECT, 4, p2, customer.aid, ne).sw for ne in (None, 1, answer - 1)} == {0x6C00 | answer}
    assert customer.chip.snapshot() == before
    assert len(customer.send(0x00, Ins.SELECT, 0x04, p2, customer.aid, answer).data) == answer


def test_no_session_has_a_nonce_that_is_known_beforehand() -> None:
    """REQ-SEL-2, REQ-MAC-3: not even one whose SELECT was refused; what was authorized for such a nonce is worth nothing."""
    customer = used()
    customer.info = replace(customer.info, nonce=bytes(8))
    withheld = customer.transact_command(Kind.LOAD, customer.plain(5000), KeyRef.LOAD)
    before = customer.chip.snapshot()
    assert customer.send(0x00, Ins.SELECT, 0x04, 0x0C, customer.aid, 1).sw == 0x6C1A
    assert customer.chip.process(withheld).sw == SW.MAC_INCORRECT
    assert customer.chip.snapshot() == before


@pytest.mark.parametrize(
    ("p1", "p2", "data", "sw"),
    [
        (0x00, 0x0C, "F06A6F72656E010001", SW.INCORRECT_P1_P2),
        (0x04, 0x04, "F06A6F72656E010001", SW.INCORRECT_P1_P2),
        (0x04, 0x04, "F06A6F72", SW.INCORRECT_P1_P2),
        (0x04, 0x0C, "", SW.WRONG_LENGTH),
        (0x04, 0x0C, "F06A6F72", SW.WRONG_LENGTH),
        (0x04, 0x00, "F06A6F72656E010001" + 8 * "00", SW.WRONG_LENGTH),
        (0x04, 0x00, "F06A6F72656E010001" + 7 * "00", SW.FILE_NOT_FOUND),
        (0x04, 0x00, "F06A6F72656F", SW.FILE_NOT_FOUND),
    ],
)
def test_a_select_that_is_refused_leaves_the_session(p1: int, p2: int, data: str, sw: SW) -> None:
    """REQ-AID-2, REQ-APDU-2, REQ-APDU-3, REQ-APDU-7."""
    customer = verified()
    refuses(customer, Command(0x00, Ins.SELECT, p1, p2, bytes.fromhex(data), 256), sw)
    assert customer.chip.process(set_status(customer, LifeCycle.ISSUED)).sw == SW.MAC_INCORRECT
    customer = verified()
    assert customer.send(0x00, Ins.SELECT, p1, p2, bytes.fromhex(data), 256).sw == sw
    assert customer.send(0x00, Ins.VERIFY, 0, 0x81).ok


@EVERY_LINE
@pytest.mark.parametrize("state", LifeCycle, ids=lambda state: state.name)
def test_each_state_allows_its_commands_alone(name: str, state: LifeCycle) -> None:
    """REQ-LIFE-2, REQ-APDU-5, REQ-PER-4."""
    customer = in_state(state)
    command = right(customer, name)
    if command.ins in ALLOWED_CUSTOMER[state] and (name != "STORE DATA" or state == LifeCycle.SELECTABLE) and state != LifeCycle.TERMINATED:
        assert customer.chip.process(command).ok
    else:
        refuses(customer, command, SW.CONDITIONS_NOT_SATISFIED)


@pytest.mark.parametrize("state", LifeCycle, ids=lambda state: state.name)
@pytest.mark.parametrize("target", [LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED], ids=lambda state: state.name)
def test_there_is_no_other_transition(state: LifeCycle, target: LifeCycle) -> None:
    """REQ-LIFE-1, REQ-ADM-1: not even for the issuer."""
    customer = in_state(state)
    if (state, target) in {(0x0F, 0x83), (0x83, 0x0F), (0x0F, 0xFF), (0x83, 0xFF)}:
        assert customer.chip.process(set_status(customer, target)).ok
        assert customer.select().life_cycle == target
    else:
        refuses(customer, set_status(customer, target), SW.CONDITIONS_NOT_SATISFIED)
        refuses(in_state(state), Command(0x80, Ins.SET_STATUS, 0x40, target, bytes(8)), SW.CONDITIONS_NOT_SATISFIED)


@EVERY_LINE
def test_nothing_goes_before_an_application_is_selected(name: str) -> None:
    """REQ-APDU-9: neither right commands nor wrong ones."""
    customer = home(name)
    command = right(customer, name)
    customer.chip.power_on()
    before = customer.chip.snapshot()
    for tried in (command, replace(command, cla=0x90), replace(command, ins=0x10), replace(command, p1=0x55), replace(command, ne=1)):
        assert customer.chip.process(tried) == Response(b"", SW.CONDITIONS_NOT_SATISFIED)
    assert customer.chip.snapshot() == before


# Refusals of the commands themselves.


@dataclass(frozen=True)
class Row:
    """A bad command, the card it goes to, and what the card says."""

    name: str
    sw: int
    build: Build
    make: Callable[[], Customer] = used


def of(kind: Kind, key_ref: KeyRef, /, **fields: int) -> Build:
    """An order of 10 at the last hour, rightly authorized, but for fields of the order: TRANSACT; or COMMIT, its state and points too."""
    in_order = {name: fields.pop(name) for name in Order.__slots__ if name in fields}

    def build(c: Customer) -> Command:
        plain = c.order if base_kind(kind) in EARNING else c.plain
        order = replace(plain(10, HOUR), **in_order)
        return commit(c, kind, order, **fields) if (kind, key_ref) not in PAIRS else c.transact_command(kind, order, key_ref)

    return build


def rows(why: str, sw: int, acts: Sequence[tuple[Kind, KeyRef]], make: Callable[[], Customer] = used, **fields: int) -> list[Row]:
    """One row for each kind and key."""
    return [Row(f"{kind.name} by {key_ref.name}: {why}", sw, of(kind, key_ref, **fields), make) for kind, key_ref in acts]


def flipped(build: Build) -> Build:
    """The command with the last bit of its MAC turned."""

    def build_and_turn(c: Customer) -> Command:
        command = build(c)
        return replace(command, data=command.data[:-1] + bytes((command.data[-1] ^ 1,)))

    return build_and_turn


def twice(build: Build) -> Build:
    """What the card has just carried out, sent again."""

    def again(c: Customer) -> Command:
        command = build(c)
        c.select_quietly(c.chip.process(command))
        assert c.info.counter == 4
        return command

    return again


def order_mac_of(key_ref: KeyRef = TILL, /, **other: object) -> Build:
    """PURCHASE with a MAC over another card, counter, nonce, kind, key or order."""

    def build(c: Customer) -> Command:
        raw, info = c.order().encode(), c.info
        true = {"head": c.head, "counter": info.counter, "nonce": info.nonce, "kind": 1, "key_ref": 1, "order": raw}
        message = messages.order(**{**true, **other})  # type: ignore[arg-type]
        return Command(0x80, Ins.TRANSACT, 1, 1, raw + c.keys[key_ref].mac8(message), 32)

    return build


def commit_mac_of(key_ref: KeyRef = SHOP, /, **other: object) -> Build:
    """COMMIT whose MAC a shop card made for another kind, points, state or rules."""

    def build(c: Customer) -> Command:
        order, state, info = c.order(10, HOUR), replace(State.blank(), last_hour=HOUR).encode(), c.info
        true = {"head": c.head, "counter": info.counter, "nonce": info.nonce, "kind": 1, "key_ref": 2, "order": order.encode()}
        message = messages.commit(**{**true, "rules_version": 1, "points": 10, "state": state, **other})  # type: ignore[arg-type]
        return c.commit_command(1, order, 10, state, c.keys[key_ref].mac8(message))

    return build


def of_last_session(c: Customer) -> Command:
    """An order for the right counter, of before the last SELECT."""
    stale = c.transact_command(Kind.PURCHASE, c.order())
    c.select()
    return stale


def computed_for_another_purchase(c: Customer) -> Command:
    """A shop card's COMMIT, sent with another amount."""
    computed = Shop(rules=RULES).compute(c, c.order(1_000, HOUR))
    return c.commit_command(Kind.PURCHASE, replace(computed.order, amount=9_999), computed.points, computed.state, computed.mac)


def exhausted() -> Customer:
    """A card whose transaction counter is at its end."""
    customer = used()
    poke(customer, "counter", 0, b"\xff\xff")
    customer.select()
    return customer


def done(kind: Kind, key_ref: KeyRef, *more: Kind) -> Customer:
    """A used card that has just carried out an order of 10, and orders of other kinds."""
    customer = used()
    for act in ((kind, key_ref), *[(another, KEYS.get(another, (key_ref,))[0]) for another in more]):
        response = customer.chip.process(of(*act)(customer))
        assert response.ok
        customer.select_quietly(response)
    return customer


def read(number: int) -> Build:
    return lambda c: Command(0x00, Ins.READ_RECORD, number, 0x0C, ne=44)


def asked(key_ref: int, counter: int) -> Build:
    return lambda c: Command(0x80, Ins.PROVE, 0, key_ref, counter.to_bytes(2) + bytes(16), 63)


def get_state(c: Customer) -> Command:
    return Command(0x80, Ins.GET_STATE, 0, 0, ne=40)


EARNERS = [(kind, key_ref) for kind, key_ref in ORDERS if kind in EARNING]
MOVERS = [(kind, key_ref) for kind, key_ref in ORDERS if kind not in EARNING]
PAYERS = [(kind, key_ref) for kind, key_ref in ORDERS if kind in (Kind.PAY_AND_EARN, Kind.PAY)]
REDEEMERS = [(Kind.REDEEM, TILL), (Kind.REDEEM, SHOP)]
COMMITS = [(kind, SHOP) for kind in EARNING]
PURCHASE, BLOCK = of(Kind.PURCHASE, TILL), partial(set_status, target=LifeCycle.BLOCKED)
PAID, BOUGHT = partial(done, Kind.PAY, TILL), partial(done, Kind.PURCHASE, TILL)
NEW, ONE_CARD, TWO_CARD, WITH_PIN = card, partial(used, modes=1), partial(card, modes=2), partial(used, PIN)
LACKING = {TILL: partial(card, None, 0x8001, modes=2), SHOP: partial(card, None, 0x8002, modes=1)}
LACKING[LOAD] = partial(card, None, 0x8004, purse_max_minor=0)
ANOTHER = {kind: Kind.PURCHASE if kind == Kind.LOAD else Kind.LOAD for kind in Kind}
CAREFUL, PINLESS = [partial(used, pin, redeem_pin_from=10, pay_pin_from_minor=10) for pin in (PIN, None)]
BAD_STATES = [("version", 0), ("version", 2), ("rank", 5), ("rank", 255), ("carry", 10_000), ("first_hour", 1)]
BAD_STATES += [("visit_hour", HOUR + 1), ("rank_hour", HOUR + 1), ("last_hour", HOUR - 1), ("last_hour", HOUR + 1)]
ROWS = [
    *[replace(row, build=twice(row.build)) for row in rows("replayed", 0x6988, ORDERS)],
    *[replace(row, build=flipped(row.build)) for row in rows("MAC wrong", 0x6988, ACTS)],
    Row("MAC cut short", 0x6700, lambda c: replace(PURCHASE(c), data=PURCHASE(c).data[:-1])),
    Row("MAC of zeros", 0x6988, lambda c: replace(PURCHASE(c), data=PURCHASE(c).data[:-8] + bytes(8))),
    Row("MAC of another card", 0x6988, lambda c: Customer(card_id=bytes(7) + b"\x01").transact_command(1, c.order())),
    Row("MAC over another card", 0x6988, order_mac_of(head=messages.head(1, bytes(8)))),
    Row("MAC over another programme", 0x6988, lambda c: order_mac_of(head=messages.head(2, c.card_id))(c)),
    *[Row(f"MAC over counter {n}", 0x6988, order_mac_of(counter=n)) for n in (0, 2, 4)],
    Row("MAC over another nonce", 0x6988, order_mac_of(nonce=bytes(8))),
    Row("MAC over another kind", 0x6988, order_mac_of(kind=2)),
    Row("MAC over another key reference", 0x6988, order_mac_of(key_ref=2)),
    Row("MAC over another order", 0x6988, order_mac_of(order=bytes(16))),
    *[Row(f"MAC under {key.name}", 0x6988, order_mac_of(key)) for key in (SHOP, RECEIPT, LOAD, ADMIN)],
    Row("MAC of the last session", 0x6988, of_last_session),
    Row("COMMIT of another purchase", 0x6988, computed_for_another_purchase),
    Row("COMMIT of another kind", 0x6988, commit_mac_of(kind=2)),
    Row("COMMIT of another key reference", 0x6988, commit_mac_of(key_ref=1)),
    Row("COMMIT of other points", 0x6988, commit_mac_of(points=9)),
    Row("COMMIT of another state", 0x6988, commit_mac_of(state=State.blank().encode())),
    Row("COMMIT of other rules", 0x6988, commit_mac_of(rules_version=2)),
    *[Row(f"COMMIT under {key.name}", 0x6988, commit_mac_of(key)) for key in (TILL, RECEIPT, LOAD, ADMIN)],
    *rows("too far ahead", 0x9404, ORDERS, hour=HOUR + JUMP + 1),
    *[row for n in (8, 15, 16, 255) for row in rows(f"category {n}", 0x9406, EARNERS, category=n)],
    *[row for n in (0, 31, 255) for row in rows(f"factor {n}", 0x9405, EARNERS, factor_tenths=n)],
    *rows("nothing", 0x6A80, [pair for pair in ORDERS if pair[0] != Kind.PURCHASE], amount=0),
    *rows("a category", 0x6A80, MOVERS, category=1),
    *rows("a factor", 0x6A80, MOVERS, factor_tenths=10),
    *[row for n in (1_001, 0xFFFFFFFF) for row in rows(f"{n} points", 0x9401, REDEEMERS, amount=n)],
    *[row for n in (5_001, 0xFFFFFFFF) for row in rows(f"{n} of money", 0x9401, PAYERS, amount=n)],
    *[row for n in (95_001, 0xFFFFFFFF) for row in rows(f"{n} more", 0x9402, [(Kind.LOAD, LOAD)], amount=n)],
    *rows("no purse", 0x9402, [(Kind.LOAD, LOAD)], partial(card, purse_max_minor=0), amount=1),
    *rows("PIN not verified", 0x6982, [*PAYERS, *REDEEMERS], CAREFUL),
    *rows("no PIN on the card", 0x6982, [*PAYERS, *REDEEMERS], PINLESS),
    *rows("nothing to void", 0x940A, VOIDS, NEW),
    *[row for k, r in ORDERS for row in rows("twice", 0x940A, [(Kind(0x80 + k), r)], partial(done, k, r, Kind(0x80 + k)))],
    *[row for k, r in ORDERS for row in rows("another since", 0x940A, [(Kind(0x80 + k), r)], partial(done, k, r, ANOTHER[k]))],
    *rows("not what was done", 0x940A, [pair for pair in VOIDS if pair != (Kind.VOID_PAY, TILL)], PAID),
    *rows("done by a shop card", 0x940A, [(Kind.VOID_REDEEM, TILL)], partial(done, Kind.REDEEM, SHOP)),
    *[row for n in (9, 11) for row in rows(f"amount {n}", 0x940A, [(Kind.VOID_PAY, TILL)], PAID, amount=n)],
    *rows("another shop", 0x940A, [(Kind.VOID_PAY, TILL)], PAID, shop=8),
    *rows("another category", 0x940A, [(Kind.VOID_PURCHASE, TILL)], BOUGHT, category=1),
    *rows("another factor", 0x940A, [(Kind.VOID_PURCHASE, TILL)], BOUGHT, factor_tenths=11),
    *rows("counter at its end", 0x9407, ACTS, exhausted),
    *rows("points above the cap", 0x6A80, COMMITS, points=5_001),
    *[row for name, value in BAD_STATES for row in rows(f"{name} {value}", 0x6A80, COMMITS, **{name: value})],  # type: ignore[arg-type]
    *rows("the hour taken back", 0x6A80, COMMITS, hour=HOUR - 1),
    *rows("not the hour of a first purchase", 0x6A80, COMMITS, partial(card, purse_max_minor=0), last_hour=HOUR + 1),
    *rows("two-card only", 0x9408, [pair for pair in ACTS if pair[1] == TILL], TWO_CARD),
    *rows("one-card only", 0x9408, [pair for pair in ACTS if pair[1] == SHOP], ONE_CARD),
    Row("GET STATE, one-card only", 0x9408, get_state, ONE_CARD),
    *[row for k, r in ACTS for row in rows("no such key", 0x6A88, [(k, r)], LACKING[r])],
    Row("GET STATE, no such key", 0x6A88, get_state, LACKING[SHOP]),
    *[Row(f"PROVE by {key.name}, no such key", 0x6A88, asked(key, 9), LACKING[key]) for key in LACKING],
    *[Row(f"PROVE of {counter}", 0x6A80, asked(TILL, counter)) for counter in (4, 0xFFFF)],
    *[Row(f"READ RECORD {number}", 0x6A83, read(number)) for number in (4, 24, 25, 255)],
    Row("READ RECORD of a new card", 0x6A83, read(1), NEW),
    *[Row(f"READ RECORD {number} without the PIN", 0x6982, read(number), WITH_PIN) for number in (1, 4, 255)],
    Row("GET RESULT without the PIN", 0x6982, lambda c: Command(0x80, Ins.GET_RESULT, 1, 0, bytes(2), 31), WITH_PIN),
    Row("SET STATUS, MAC wrong", 0x6988, flipped(BLOCK)),
    Row("SET STATUS, MAC of another state", 0x6988, lambda c: replace(BLOCK(c), p2=LifeCycle.TERMINATED)),
]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_it_is_refused(row: Row) -> None:
    """REQ-MAC-1, REQ-MAC-2, REQ-MAC-3, REQ-KEY-1; REQ-TRX-2, REQ-TRX-3, REQ-TRX-6, REQ-VOID-1, REQ-COM-1, REQ-GST-1, REQ-PRV-1, REQ-RES-2,
    REQ-LOG-1, REQ-ADM-1; REQ-APDU-7 all along."""
    customer = row.make()
    refuses(customer, row.build(customer), row.sw)


@EVERY_ACT
def test_the_farthest_hour(kind: Kind, key_ref: KeyRef) -> None:
    """REQ-TRX-3: jump_max_hours are not too far, nor is any time going back; a void takes every hour."""
    for hour in (0, HOUR, HOUR + JUMP, *([HOUR + JUMP + 1, 65_535] if is_void(kind) else [])):
        customer = done(base_kind(kind), key_ref) if is_void(kind) else used(period_hours=65_535)
        last_hour = {"last_hour": max(hour, HOUR)} if (kind, key_ref) in COMMITS else {}
        assert customer.chip.process(of(kind, key_ref, hour=hour, **last_hour)(customer)).ok


ALLOWED = [
    *[row for n in (1, 30) for row in rows(f"factor {n}", 0x9000, EARNERS, factor_tenths=n)],
    *[row for n in (0, 7) for row in rows(f"category {n}", 0x9000, EARNERS, category=n)],
    *rows("of 0", 0x9000, [(Kind.PURCHASE, TILL), (Kind.PURCHASE, SHOP)], amount=0),
    *[row for n in (1, 1_000) for row in rows(f"{n} points", 0x9000, REDEEMERS, amount=n)],
    *[row for n in (1, 5_000) for row in rows(f"{n} of money", 0x9000, PAYERS, amount=n)],
    *[row for n in (1, 95_000) for row in rows(f"{n} more", 0x9000, [(Kind.LOAD, LOAD)], amount=n)],
    *[row for n in (0, 5_000) for row in rows(f"{n} points granted", 0x9000, COMMITS, points=n)],
    *[row for n in (1, 4) for row in rows(f"rank {n}", 0x9000, COMMITS, rank=n)],
    *rows("carry 9999", 0x9000, COMMITS, carry=9_999),
    *rows("hours up to the last", 0x9000, COMMITS, first_hour=HOUR, visit_hour=HOUR, rank_hour=HOUR),
]


@pytest.mark.parametrize("row", ALLOWED, ids=[row.name for row in ALLOWED])
def test_what_is_just_allowed(row: Row) -> None:
    """REQ-TRX-2, REQ-TRX-4, REQ-COM-1: so the refusals above begin where they should."""
    customer = row.make()
    assert customer.chip.process(row.build(customer)).sw == row.sw


def test_a_new_card_takes_any_hour() -> None:
    """REQ-TRX-3: no hour is far from the first purchase, whatever was loaded before."""
    for kind, key_ref in ((Kind.PURCHASE, TILL), (Kind.PURCHASE, SHOP), (Kind.LOAD, LOAD)):
        for hour in (0, 65_535):
            customer = card()
            customer.load(10, hour=30_000)
            assert customer.chip.process(of(kind, key_ref, hour=hour)(customer)).ok


# Precedence: a command that is wrong in two ways.

CELLS = {
    "life_cycle": ("life_cycle", 0),
    "key": ("key_versions", -1),
    "modes": ("limits", 0),
    "pin": ("limits", 10),
    "counter": ("counter", 0),
}
Fault = dict[str, int | bytes]


def faults_of(kind: Kind, key_ref: KeyRef) -> list[tuple[int, Fault]]:
    """What can be wrong with a TRANSACT or COMMIT, in the order of the pages, with the status word. Bytes: what is written to CELLS."""
    faults: list[tuple[int, Fault]] = [(0x6E00, {"cla": 0x90}), (0x6D00, {"ins": 0x10}), (0x6A86, {"p2": 0x03}), (0x6700, {"cut": 1})]
    faults += [(0x6C20, {"ne": 31}), (0x6985, {"life_cycle": b"\x83"}), (0x6A88, {"key": b"\x00"})]
    faults += [(0x9408, {"modes": b"\x00"})] * (key_ref != LOAD)
    faults += [(0x6988, {"turned": 1}), (0x9407, {"counter": b"\xff\xff"})]
    if is_void(kind):
        return [*faults, (0x940A, {"amount": 11})]
    if kind in EARNING:
        faults += [(0x9406, {"category": 8}), (0x9405, {"factor_tenths": 0})]
    else:
        faults += [(0x6A80, {"category": 8}), (0x6A80, {"factor_tenths": 10})]
    faults += [(0x6A80, {"amount": 0})] * (kind != Kind.PURCHASE)
    faults += [(0x9404, {"hour": HOUR + JUMP + 1})]
    if (kind, key_ref) in COMMITS:
        faults += [(0x6A80, {"points": 5_001}), (0x6A80, {"rank": 5}), (0x6A80, {"last_hour": HOUR - 1})]
    faults += [(0x6982, {"pin": bytes(8)})] * ((kind, key_ref) in PAYERS + REDEEMERS)
    faults += [(0x9402 if kind == Kind.LOAD else 0x9401, {"amount": 100_001})] * (kind != Kind.PURCHASE)
    return faults


def attempt(kind: Kind, key_ref: KeyRef, faults: Fault) -> tuple[Customer, Command]:
    """A card and a command, right but for the faults."""
    customer = done(base_kind(kind), key_ref) if is_void(kind) else used()
    for name, value in faults.items():
        if isinstance(value, bytes):
            region, offset = CELLS[name]
            poke(customer, region, key_ref - 1 if name == "key" else offset, value)
    customer.select()
    fields = {name: value for name, value in faults.items() if isinstance(value, int)}
    header = {name: fields.pop(name) for name in ("cla", "ins", "p2", "ne") if name in fields}
    turned, cut = fields.pop("turned", 0), fields.pop("cut", 0)
    build = of(kind, key_ref, **fields)
    command = flipped(build)(customer) if turned else build(customer)
    return customer, replace(command, data=command.data[: len(command.data) - cut], **header)


@EVERY_ACT
def test_the_first_check_that_fails_gives_the_status_word(kind: Kind, key_ref: KeyRef) -> None:
    """REQ-APDU-6, REQ-APDU-7, REQ-TRX-2, REQ-VOID-1, REQ-COM-1: every fault alone, and every two of them."""
    customer, command = attempt(kind, key_ref, {})
    assert customer.chip.process(command).ok
    faults = faults_of(kind, key_ref)
    for sw, fault in faults:
        refuses(*attempt(kind, key_ref, fault), sw)
    for (sw, fault), (_, other) in combinations(faults, 2):
        if not fault.keys() & other.keys():
            refuses(*attempt(kind, key_ref, fault | other), sw)
