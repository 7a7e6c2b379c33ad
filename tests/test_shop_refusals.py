"""What a shop card refuses, by which status word, and in which order; nothing changes, and the right command works afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement

import pytest

from cardkit import MASTERS, PROGRAMME, Answer, Computed, Customer, Shop
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, messages
from joren.apdu.state import State
from joren.apdu.tlv import build_dgi
from joren.apdu.transaction import Order, Outcome

RIGHT_ORDER = Order(200, 10_000, 0, 10, 0, 0)
PLAIN_ORDER = Order(200, 100, 0, 0, 0, 0)


@dataclass
class World:
    """A shop card with one closed entry, a proven one in slot 1 and a withheld one in slot 2, and the customer card they are of."""

    customer: Customer
    shop: Shop
    proven: Computed
    answer: Answer
    withheld: Computed


def world() -> World:
    customer, shop = Customer(), Shop(points_left=20_000, money_left=10_000)
    customer.load(50_000)
    shop.purchase(customer, 100_000)
    proven = shop.compute(customer, customer.order())
    response = customer.chip.process(commit(customer, proven))
    customer.select()
    return World(customer, shop, proven, Answer.of(response), shop.compute(customer, customer.order()))


def commit(customer: Customer, made: Computed) -> Command:
    return customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)


Builder = Callable[[World], Command]


def compute(
    at: World, *, kind: int = Kind.PAY_AND_EARN, rules_version: int = 1, mac: bytes | None = None, **fields: int | bytes
) -> Command:
    """COMPUTE with the MAC that is right for whatever it is told; `fields` are counter, state and those of the order."""
    customer, info = at.customer, at.customer.info
    told = {"counter": info.counter, "state": customer.get_state().data[:32]} | fields
    counter, state = told.pop("counter"), told.pop("state")
    assert isinstance(counter, int)
    assert isinstance(state, bytes)
    if mac is None:
        mac = customer.keys[KeyRef.SHOP].mac8(messages.state(customer.head, counter, info.nonce, rules_version, state))
    head = info.card_id + counter.to_bytes(2) + info.nonce + bytes((rules_version,))
    order = replace(RIGHT_ORDER, **told)  # type: ignore[arg-type]
    return Command(CLA_JOREN, Ins.COMPUTE, kind, 0, head + state + mac + order.encode()[:8], 47)


def authorize(at: World, kind: int = Kind.LOAD, counter: int | None = None, **fields: int) -> Command:
    """AUTHORIZE of a plain order."""
    info = at.customer.info
    head = info.card_id + (info.counter if counter is None else counter).to_bytes(2) + info.nonce
    return Command(CLA_JOREN, Ins.AUTHORIZE, kind, 0, head + replace(PLAIN_ORDER, **fields).encode()[:8], 13)


def ratify(ending: int, slot: int, data: bytes = b"") -> Command:
    return Command(CLA_JOREN, Ins.RATIFY, ending, slot, data)


def committed(at: World, slot: int = 1, **outcome: int) -> Command:
    return ratify(Ending.COMMITTED, slot, replace(at.answer.outcome, **outcome).encode() + at.answer.proof)


def absence(at: World, challenge: bytes, *, of: Computed | None = None, asked: int | None = None) -> bytes:
    """What the customer card says of an entry, without its first byte."""
    counter = at.customer.info.counter if asked is None else asked
    return at.customer.prove(counter, at.shop.shop, (of or at.withheld).order.sequence, challenge, KeyRef.SHOP).data[1:]


def challenge_of(shop: Shop) -> bytes:
    """A challenge, where the life cycle state has one to give."""
    return shop.send(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8).data or bytes(8)


def denied(at: World) -> Command:
    return ratify(Ending.NOT_COMMITTED, 2, absence(at, challenge_of(at.shop)))


def set_status(at: World) -> Command:
    """To the other one of ISSUED and BLOCKED."""
    state = LifeCycle.ISSUED if at.shop.select().life_cycle == LifeCycle.BLOCKED else LifeCycle.BLOCKED
    mac = at.shop.admin.mac8(messages.admin(at.shop.head, 0, challenge_of(at.shop), state))
    return Command(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac)


def read(number: int, p2: int) -> Command:
    return Command(CLA_ISO, Ins.READ_RECORD, number, p2, ne=32 if p2 == 0x14 else 33)


def get_data(tag: int) -> Command:
    return Command(CLA_ISO, Ins.GET_DATA, 1, tag, ne={1: 98, 2: 44, 4: 10}[tag])


def select(aid: bytes, p1: int = 4) -> Command:
    return Command(CLA_ISO, Ins.SELECT, p1, 0x0C, aid, 25)


RIGHT: dict[str, Builder] = {
    "SELECT": lambda at: select(at.shop.aid),
    "COMPUTE": compute,
    "AUTHORIZE": authorize,
    "RATIFY NOT COMMITTED": denied,
    "RATIFY COMMITTED": committed,
    "RATIFY WRITE OFF": lambda at: ratify(Ending.UNKNOWN, 2),
    "GET CHALLENGE": lambda at: Command(CLA_ISO, Ins.GET_CHALLENGE, 0, 0, ne=8),
    "READ RECORD log": lambda at: read(1, 0x0C),
    "READ RECORD pending": lambda at: read(2, 0x14),
    "GET DATA rules": lambda at: get_data(1),
    "GET DATA totals": lambda at: get_data(2),
    "GET DATA versions": lambda at: get_data(4),
    "SET STATUS": set_status,
}
EACH = pytest.mark.parametrize("name", RIGHT)
LISTED: dict[int, set[tuple[int, int]]] = {
    Ins.SELECT: {(4, 0), (4, 0x0C), (4, 0x02), (4, 0x0E)},
    Ins.COMPUTE: {(kind, version) for kind in (1, 2) for version in range(256)},
    Ins.AUTHORIZE: {(kind, version) for kind in (3, 4, 5, 0x81, 0x82, 0x83, 0x84, 0x85) for version in range(256)},
    Ins.RATIFY: {(ending, slot) for ending in (0, 1, 2) for slot in range(16)},
    Ins.GET_CHALLENGE: {(0, 0)},
    Ins.READ_RECORD: {(number, p2) for number in range(1, 256) for p2 in (0x0C, 0x14)},
    Ins.GET_DATA: {(1, 1), (1, 2), (1, 4)},
    Ins.STORE_DATA: {(p1, block) for p1 in (0x08, 0x28, 0x88, 0xA8) for block in range(256)},
    Ins.SET_STATUS: {(0x40, state) for state in (0x0F, 0x83, 0xFF)},
}
"""P1 and P2 as the table of docs/spec/shop.md has them."""
ANSWERS = {"SELECT": 25, "COMPUTE": 47, "AUTHORIZE": 13, "GET CHALLENGE": 8} | {
    "READ RECORD log": 33, "READ RECORD pending": 32, "GET DATA rules": 98, "GET DATA totals": 44,
    "GET DATA versions": 10,
}  # fmt: skip


def refuses(shop: Shop, command: Command, sw: int) -> None:
    """The status word, no data, no byte changed."""
    before = shop.chip.snapshot()
    assert shop.chip.process(command) == Response(b"", sw), command
    assert shop.chip.snapshot() == before


def poke(shop: Shop, name: str, data: bytes) -> None:
    """Writes cells past the card's program."""
    shop.chip.memory.write(shop.chip.memory.regions[f"{shop.aid.hex().upper()}/{name}"].address, data)


class TestForms:
    """The right command is built first and sent last: what was refused in between used up no challenge and no sequence (REQ-APDU-7)."""

    @EACH
    def test_class_and_instruction(self, name: str) -> None:
        """REQ-APDU-1."""
        at = world()
        right = RIGHT[name](at)
        for cla in (0x10, 0x40, 0x7F, 0x84, 0xC0, 0xFE):
            refuses(at.shop, replace(right, cla=cla), SW.CLA_NOT_SUPPORTED)
        if name != "SELECT":
            refuses(at.shop, replace(right, cla=right.cla | 0x01), SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
        refuses(at.shop, replace(right, cla=right.cla ^ 0x80), SW.INS_NOT_SUPPORTED)
        assert at.shop.chip.process(right).ok

    @EACH
    def test_p1_p2(self, name: str) -> None:
        """REQ-APDU-2, REQ-SRD-1."""
        at = world()
        right = RIGHT[name](at)
        tried = {(p1, right.p2) for p1 in range(256)} | {(right.p1, p2) for p2 in range(256)}
        for p1, p2 in tried - LISTED[right.ins]:
            refuses(at.shop, replace(right, p1=p1, p2=p2), SW.INCORRECT_P1_P2)
        assert at.shop.chip.process(right).ok

    @EACH
    def test_length(self, name: str) -> None:
        """REQ-APDU-3."""
        at = world()
        right = RIGHT[name](at)
        wrong = {b"", right.data[:-1], right.data + b"\0", right.data[:1], bytes(255), bytes(256)} - {right.data}
        if name == "SELECT":
            wrong = {b"", right.data[:4], right.data.ljust(17, b"\0")}
        for data in wrong:
            refuses(at.shop, replace(right, data=data), SW.WRONG_LENGTH)
        assert at.shop.chip.process(right).ok

    @pytest.mark.parametrize("name", [name for name in RIGHT if name in ANSWERS and name != "SELECT"])
    def test_expected_length(self, name: str) -> None:
        """REQ-APDU-4: too small is told; larger is accepted."""
        at, answer = world(), ANSWERS[name]
        right = RIGHT[name](at)
        for ne in (None, 1, answer - 1):
            refuses(at.shop, replace(right, ne=ne), SW.WRONG_LE | answer)
        for ne in (answer, answer + 1, 256, 65536):
            fresh = world()
            assert len(fresh.shop.chip.process(replace(RIGHT[name](fresh), ne=ne)).data) == answer
        assert at.shop.chip.process(right).ok

    @pytest.mark.parametrize("name", [name for name in RIGHT if name not in ANSWERS])
    def test_expected_length_where_nothing_is_answered(self, name: str) -> None:
        """REQ-APDU-4."""
        for ne in (1, 256):
            at = world()
            assert at.shop.chip.process(replace(RIGHT[name](at), ne=ne)) == Response(b"", SW.OK)

    @pytest.mark.parametrize("cla", [CLA_ISO, CLA_JOREN])
    def test_instructions_that_it_does_not_have(self, cla: int) -> None:
        """REQ-APDU-1: those of the customer card among them."""
        at = world()
        own = {(right.cla, right.ins) for right in (build(at) for build in RIGHT.values())} | {(CLA_JOREN, Ins.STORE_DATA)}
        for ins in range(256):
            if ins & 0xF0 not in (0x60, 0x90) and (cla, ins) not in (*own, (CLA_ISO, Ins.MANAGE_CHANNEL)):
                refuses(at.shop, Command(cla, ins, 0, 0), SW.INS_NOT_SUPPORTED)
        assert at.shop.chip.process(compute(at)).ok

    def test_nothing_selected(self) -> None:
        """REQ-APDU-9: after reset every command but SELECT is refused, whatever its form."""
        at = world()
        built = [build(at) for name, build in RIGHT.items() if name != "SELECT"]
        at.shop.chip.power_on()
        for command in (*built, Command(0xC0, 0x01, 0, 0)):
            refuses(at.shop, command, SW.CONDITIONS_NOT_SATISFIED)
        assert at.shop.chip.process(select(at.shop.aid)).ok
        assert at.shop.chip.process(compute(at)).ok


def of_state(at: World, **fields: int) -> bytes:
    """The customer card's state with other fields."""
    return replace(State.decode(at.customer.get_state().data[:32]), **fields).encode()  # type: ignore[arg-type]


def unknown(at: World) -> Command:
    """The card says of the proven entry, after 24 more transactions, that it can not tell."""
    asked = at.customer.info.counter - 1
    for _ in range(25):
        at.customer.buy(1)
    return ratify(Ending.NOT_COMMITTED, 1, absence(at, at.shop.challenge(), of=at.proven, asked=asked))


def outcome_mac(at: World, outcome: Outcome) -> bytes:
    """A right PROOF MAC of the proven entry with another outcome."""
    record = bytes((1, 2)) + (at.customer.info.counter - 1).to_bytes(2) + at.proven.order.encode() + outcome.encode()
    return at.customer.keys[KeyRef.SHOP].mac8(messages.proof(at.customer.head, record))


def forged(at: World) -> Command:
    outcome = replace(at.answer.outcome, points=at.answer.outcome.points + 1)
    return ratify(Ending.COMMITTED, 1, outcome.encode() + outcome_mac(at, outcome))


def absent(at: World, change: Callable[[bytes], bytes]) -> Command:
    """NOT COMMITTED with something in it changed."""
    return ratify(Ending.NOT_COMMITTED, 2, change(absence(at, at.shop.challenge())))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def spoiled(command: Command, at: int) -> Command:
    """A command with one bit of its data changed."""
    return replace(command, data=flipped(command.data, at))


COMPUTE_BYTES, PROOF_BYTES, ABSENCE_BYTES = (0, 7, 9, 17, 19, 50, 51, 58), (0, 7, 15, 16, 23), (0, 1, 2, 9, 10, 17)
"""The first and last bytes of what the MACs cover, and of the MACs."""
REFUSALS: list[tuple[str, str, Builder, int]] = [
    ("SELECT", "another role", lambda at: select(at.customer.aid), 0x6A82),
    ("SELECT", "another programme", lambda at: select(at.shop.aid[:-1] + b"\x02"), 0x6A82),
    ("SELECT", "longer than the AID", lambda at: select(at.shop.aid + b"\x00"), 0x6A82),
    ("COMPUTE", "other rules", lambda at: compute(at, rules_version=2), 0x9409),
    ("COMPUTE", "a state without a right MAC", lambda at: compute(at, mac=bytes(8)), 0x6988),
    *[("COMPUTE", f"byte {byte} changed", lambda at, byte=byte: spoiled(compute(at), byte), 0x6988) for byte in COMPUTE_BYTES],
    ("COMPUTE", "state of another version", lambda at: compute(at, state=of_state(at, version=2)), 0x6A80),
    ("COMPUTE", "rank 5", lambda at: compute(at, state=of_state(at, rank=5)), 0x6A80),
    ("COMPUTE", "carry 10000", lambda at: compute(at, state=of_state(at, carry=10_000)), 0x6A80),
    ("COMPUTE", "a visit after the last hour", lambda at: compute(at, state=of_state(at, visit_hour=101)), 0x6A80),
    ("COMPUTE", "first hour after the visit", lambda at: compute(at, state=of_state(at, first_hour=101)), 0x6A80),
    ("COMPUTE", "a rank after the last hour", lambda at: compute(at, state=of_state(at, rank_hour=101)), 0x6A80),
    ("COMPUTE", "counter at its end", lambda at: compute(at, counter=0xFFFF), 0x9407),
    ("COMPUTE", "category not in the mask", lambda at: compute(at, category=8), 0x9406),
    ("COMPUTE", "category 16", lambda at: compute(at, category=16), 0x9406),
    ("COMPUTE", "category 255", lambda at: compute(at, category=255), 0x9406),
    ("COMPUTE", "factor 0", lambda at: compute(at, factor_tenths=0), 0x9405),
    ("COMPUTE", "factor above the limit", lambda at: compute(at, factor_tenths=31), 0x9405),
    ("COMPUTE", "PAY AND EARN of nothing", lambda at: compute(at, amount=0), 0x6A80),
    ("COMPUTE", "an hour too far ahead", lambda at: compute(at, hour=100 + 17_521), 0x9404),
    ("COMPUTE", "points above the ceiling", lambda at: compute(at, amount=0xFFFFFFFF), 0x9403),
    *[("AUTHORIZE", f"{kind} with a category", lambda at, kind=kind: authorize(at, kind, category=1), 0x6A80) for kind in (3, 4, 5)],
    *[("AUTHORIZE", f"{kind} with a factor", lambda at, kind=kind: authorize(at, kind, factor_tenths=10), 0x6A80) for kind in (3, 4, 5)],
    *[("AUTHORIZE", f"{kind} of nothing", lambda at, kind=kind: authorize(at, kind, amount=0), 0x6A80) for kind in (3, 4, 5)],
    *[
        ("AUTHORIZE", f"{kind:02X}, counter at its end", lambda at, kind=kind: authorize(at, kind, 0xFFFF), 0x9407)
        for kind in (3, 4, 5, 0x81, 0x82, 0x83, 0x84, 0x85)
    ],
    ("AUTHORIZE", "money above the ceiling", lambda at: authorize(at, amount=10_001), 0x9403),
    *[("RATIFY COMMITTED", f"free slot {slot}", lambda at, slot=slot: committed(at, slot), 0x6A83) for slot in (0, 3, 15)],
    ("RATIFY COMMITTED", "another entry", lambda at: committed(at, 2), 0x6988),
    *[("RATIFY COMMITTED", f"byte {byte} changed", lambda at, byte=byte: spoiled(committed(at), byte), 0x6988) for byte in PROOF_BYTES],
    ("RATIFY COMMITTED", "the receipt for the proof", lambda at: ratify(1, 1, at.answer.raw_outcome + at.answer.receipt), 0x6988),
    ("RATIFY COMMITTED", "other points, rightly proven", forged, 0x6A80),
    ("RATIFY NOT COMMITTED", "free slot", lambda at: ratify(0, 3, absence(at, at.shop.challenge())), 0x6A83),
    ("RATIFY NOT COMMITTED", "no challenge", lambda at: ratify(0, 2, absence(at, bytes(8))), 0x6985),
    ("RATIFY NOT COMMITTED", "another challenge", lambda at: ratify(0, 2, absence(at, flipped(at.shop.challenge(), 0))), 0x6988),
    ("RATIFY NOT COMMITTED", "another entry", lambda at: ratify(0, 1, absence(at, at.shop.challenge())), 0x6988),
    ("RATIFY NOT COMMITTED", "another counter", lambda at: ratify(0, 2, absence(at, at.shop.challenge(), asked=0)), 0x6988),
    *[
        ("RATIFY NOT COMMITTED", f"byte {byte} changed", lambda at, byte=byte: absent(at, lambda data: flipped(data, byte)), 0x6988)
        for byte in ABSENCE_BYTES
    ],
    ("RATIFY WRITE OFF", "NOT COMMITTED of what the card can not tell", unknown, 0x6988),
    ("RATIFY WRITE OFF", "free slot", lambda at: ratify(2, 15), 0x6A83),
    ("READ RECORD log", "older than the oldest", lambda at: read(2, 0x0C), 0x6A83),
    ("READ RECORD pending", "free slot", lambda at: read(4, 0x14), 0x6A83),
    ("READ RECORD pending", "slot 16", lambda at: read(17, 0x14), 0x6A83),
    ("READ RECORD pending", "slot 254", lambda at: read(255, 0x14), 0x6A83),
    ("SET STATUS", "to where it is", lambda at: replace(set_status(at), p2=0x0F), 0x6985),
    ("SET STATUS", "no challenge", lambda at: Command(CLA_JOREN, Ins.SET_STATUS, 0x40, 0x83, bytes(8)), 0x6985),
    ("SET STATUS", "wrong MAC", lambda at: spoiled(set_status(at), 7), 0x6988),
    ("SET STATUS", "another state's MAC", lambda at: replace(set_status(at), p2=0xFF), 0x6988),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "sw"), [row[:1] + row[2:] for row in REFUSALS], ids=[f"{row[0]}: {row[1]}" for row in REFUSALS])
def test_refused(name: str, wrong: Builder, sw: int) -> None:
    """REQ-APDU-6, REQ-APDU-7, REQ-CMP-1, REQ-AUT-1, REQ-RAT-1, REQ-SRD-1, REQ-SAD-1, REQ-MAC-2: the right command works afterwards."""
    at = world()
    refuses(at.shop, wrong(at), sw)
    assert at.shop.chip.process(RIGHT[name](at)).ok


Fault = tuple[str, dict[str, int | bytes], dict[str, int | bytes], int]
"""Name, what the command is told, what the card's cells (bytes) and its sheet (numbers) hold, status word."""
FULL = b"\x01".ljust(32, b"\0") * 16
NO_SHOP, NO_LOAD = bytes.fromhex("0000010001"), bytes.fromhex("0100000001")
"""Versions of a card without SHOP masters, and without LOAD masters."""
COMPUTE_FAULTS: list[Fault] = [
    ("key", {}, {"key_versions": NO_SHOP}, 0x6A88),
    ("rules", {"rules_version": 2}, {}, 0x9409),
    ("MAC", {"mac": bytes(8)}, {}, 0x6988),
    ("state", {"state": b"\x01\x05" + State(1, 0, 100, 100, 100, 1, 100, 0, 0, (0, 0, 0, 0)).encode()[2:]}, {}, 0x6A80),
    ("counter", {"counter": 0xFFFF}, {}, 0x9407),
    ("category", {"category": 16}, {}, 0x9406),
    ("factor", {"factor_tenths": 255}, {}, 0x9405),
    ("amount", {"amount": 0}, {}, 0x6A80),
    ("time", {"hour": 60_000}, {}, 0x9404),
    ("full", {}, {"pending": FULL}, 0x940B),
    ("sequence", {}, {"count": 0xFFFFFF}, 0x9407),
    ("ceiling", {}, {"points_left": 0}, 0x9403),
]
"""In the order of REQ-CMP-1."""
LOAD_FAULTS: list[Fault] = [
    ("key", {}, {"key_versions": NO_LOAD}, 0x6A88),
    ("order", {"factor_tenths": 10}, {}, 0x6A80),
    ("counter", {"counter": 0xFFFF}, {}, 0x9407),
    ("full", {}, {"pending": FULL}, 0x940B),
    ("sequence", {}, {"count": 0xFFFFFF}, 0x9407),
    ("ceiling", {}, {"money_left_minor": 0}, 0x9403),
]
"""In the order of REQ-AUT-1, for kind 04."""
FormFault = tuple[str, Callable[[Command], Command], dict[str, bytes], int]
FORM_FAULTS: list[FormFault] = [
    ("CLA", lambda command: replace(command, cla=0x40), {}, 0x6E00),
    ("INS", lambda command: replace(command, ins=0x02), {}, 0x6D00),
    ("P1", lambda command: replace(command, p1=0x77, p2=0x77), {}, 0x6A86),
    ("length", lambda command: replace(command, data=command.data + bytes(3)), {}, 0x6700),
    ("Le", lambda command: replace(command, ne=None), {}, 0x6C00),
    ("state", lambda command: command, {"life_cycle": b"\x07"}, 0x6985),
    ("MAC", lambda command: replace(command, data=bytes(len(command.data))), {}, 0x6000),
]
"""In the order of REQ-APDU-1 to REQ-APDU-6; the last stands for the checks of a command itself."""


def pairs(faults: list[Fault]) -> list[tuple[Fault, Fault]]:
    """Each with itself and with all that come later; an amount of 0 grants no points that could pass a ceiling."""
    found = combinations_with_replacement(faults, 2)
    return [(first, second) for first, second in found if (first[0], second[0]) != ("amount", "ceiling")]


def both(pair: tuple[Fault, Fault]) -> str:
    return " before ".join(dict.fromkeys(fault[0] for fault in pair))


def check_precedence(at: World, pair: tuple[Fault, Fault], build: Callable[..., Command]) -> None:
    """The first fault's status word; with the cells as they were and nothing wrong in it, the command works."""
    (_, told, cells, sw), (_, more_told, more_cells, _) = pair
    whole = at.shop.chip.snapshot()
    for name, value in (cells | more_cells).items():
        if isinstance(value, bytes):
            poke(at.shop, name, value)
        else:
            at.shop.force(**{name: value})
    refuses(at.shop, build(at, **told | more_told), sw)
    at.shop.chip.memory.restore(whole)
    assert at.shop.chip.process(build(at)).ok


class TestPrecedence:
    @pytest.mark.parametrize("pair", pairs(COMPUTE_FAULTS), ids=both)
    def test_compute(self, pair: tuple[Fault, Fault]) -> None:
        """REQ-CMP-1, REQ-APDU-6."""
        check_precedence(world(), pair, compute)

    @pytest.mark.parametrize("pair", pairs(LOAD_FAULTS), ids=both)
    def test_authorize_a_load(self, pair: tuple[Fault, Fault]) -> None:
        """REQ-AUT-1, REQ-APDU-6."""
        check_precedence(world(), pair, authorize)

    @pytest.mark.parametrize("pair", pairs([("key", {}, {"key_versions": NO_SHOP}, 0x6A88), *LOAD_FAULTS[1:5]]), ids=both)
    @pytest.mark.parametrize("kind", [Kind.REDEEM, Kind.PAY])
    def test_authorize_another_kind(self, kind: Kind, pair: tuple[Fault, Fault]) -> None:
        """REQ-AUT-1: no ceiling and no LOAD master is asked for."""
        at = world()
        at.shop.force(points_left=0, money_left_minor=0)
        poke(at.shop, "key_versions", NO_LOAD)
        check_precedence(at, pair, lambda at, **fields: authorize(at, kind, **fields))

    @pytest.mark.parametrize("pair", pairs(LOAD_FAULTS[2:5]), ids=both)
    @pytest.mark.parametrize("kind", [kind for kind in Kind if kind >= 0x81])
    def test_authorize_a_void(self, kind: Kind, pair: tuple[Fault, Fault]) -> None:
        """REQ-AUT-1: nothing of the order is checked, and no ceiling."""
        at = world()
        at.shop.force(points_left=0, money_left_minor=0)
        check_precedence(at, pair, lambda at, **fields: authorize(at, kind, **({"category": 99, "amount": 0} | fields)))

    def test_ratify(self) -> None:
        """REQ-RAT-1: slot before key before proof before values; slot before challenge before key before MAC."""
        at = world()
        wrong = replace(forged(at), data=forged(at).data[:16] + bytes(8))
        poke(at.shop, "key_versions", NO_SHOP)
        refuses(at.shop, replace(wrong, p2=3), SW.RECORD_NOT_FOUND)
        refuses(at.shop, wrong, SW.REFERENCED_DATA_NOT_FOUND)
        refuses(at.shop, ratify(Ending.NOT_COMMITTED, 2, bytes(18)), SW.CONDITIONS_NOT_SATISFIED)
        at.shop.challenge()
        refuses(at.shop, ratify(Ending.NOT_COMMITTED, 2, bytes(18)), SW.REFERENCED_DATA_NOT_FOUND)
        poke(at.shop, "key_versions", bytes.fromhex("0100010001"))
        refuses(at.shop, wrong, SW.MAC_INCORRECT)
        refuses(at.shop, forged(at), SW.WRONG_DATA)
        refuses(at.shop, ratify(Ending.NOT_COMMITTED, 3, bytes(18)), SW.RECORD_NOT_FOUND)
        refuses(at.shop, ratify(Ending.NOT_COMMITTED, 2, bytes(18)), SW.CONDITIONS_NOT_SATISFIED)
        at.shop.challenge()
        refuses(at.shop, ratify(Ending.NOT_COMMITTED, 2, bytes(18)), SW.MAC_INCORRECT)
        assert at.shop.chip.process(denied(at)).ok
        assert at.shop.chip.process(committed(at)).ok

    @pytest.mark.parametrize("pair", list(combinations(FORM_FAULTS, 2)), ids=lambda pair: f"{pair[0][0]} before {pair[1][0]}")
    @pytest.mark.parametrize("name", ["COMPUTE", "AUTHORIZE", "GET CHALLENGE", "READ RECORD log", "GET DATA totals"])
    def test_the_form_of_a_command(self, name: str, pair: tuple[FormFault, FormFault]) -> None:
        """REQ-APDU-1, REQ-APDU-2, REQ-APDU-3, REQ-APDU-4, REQ-APDU-5, REQ-APDU-6."""
        at = world()
        command = RIGHT[name](at)
        whole = at.shop.chip.snapshot()
        for _, change, cells, _ in reversed(pair):
            command = change(command)
            for cell, data in cells.items():
                poke(at.shop, cell, data)
        sw = pair[0][3]
        refuses(at.shop, command, sw | ANSWERS[name] if sw == SW.WRONG_LE else sw)
        at.shop.chip.memory.restore(whole)
        assert at.shop.chip.process(RIGHT[name](at)).ok


ALLOWED: dict[str, tuple[LifeCycle, ...]] = {
    "COMPUTE": (LifeCycle.ISSUED,),
    "AUTHORIZE": (LifeCycle.ISSUED,),
    "RATIFY NOT COMMITTED": (LifeCycle.ISSUED, LifeCycle.BLOCKED),
    "RATIFY COMMITTED": (LifeCycle.ISSUED, LifeCycle.BLOCKED),
    "RATIFY WRITE OFF": (LifeCycle.ISSUED, LifeCycle.BLOCKED),
    "GET CHALLENGE": (LifeCycle.ISSUED, LifeCycle.BLOCKED),
    "READ RECORD log": (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED),
    "READ RECORD pending": (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED),
    "GET DATA rules": (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED),
    "GET DATA totals": (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED),
    "GET DATA versions": (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED),
    "SET STATUS": (LifeCycle.ISSUED, LifeCycle.BLOCKED),
}
SELECT_SW = {LifeCycle.SELECTABLE: 0x9000, LifeCycle.ISSUED: 0x9000, LifeCycle.BLOCKED: 0x6283, LifeCycle.TERMINATED: 0x6285}
EACH_STATE = pytest.mark.parametrize("state", list(LifeCycle), ids=lambda state: state.name)


def in_state(state: LifeCycle) -> World:
    """The world, its shop card brought to a state by commands."""
    at = world()
    if state is LifeCycle.SELECTABLE:
        at.shop = Shop(issue=False)
    elif state is not LifeCycle.ISSUED:
        mac = at.shop.admin.mac8(messages.admin(at.shop.head, 0, at.shop.challenge(), state))
        assert at.shop.send(CLA_JOREN, Ins.SET_STATUS, 0x40, state, mac).ok
    return at


class TestLifeCycle:
    @EACH_STATE
    @pytest.mark.parametrize("name", ALLOWED)
    def test_what_a_state_allows(self, name: str, state: LifeCycle) -> None:
        """REQ-LIFE-2, REQ-APDU-5."""
        at = in_state(state)
        command = RIGHT[name](at)
        if state in ALLOWED[name]:
            assert at.shop.chip.process(command).ok
        else:
            refuses(at.shop, command, SW.CONDITIONS_NOT_SATISFIED)

    @EACH_STATE
    def test_select_answers_in_each(self, state: LifeCycle) -> None:
        """REQ-LIFE-3."""
        at = in_state(state)
        response = at.shop.chip.process(select(at.shop.aid))
        assert (response.sw, len(response.data), response.data[1]) == (SELECT_SW[state], 25, state)

    @EACH_STATE
    def test_personalization_is_for_the_first_alone(self, state: LifeCycle) -> None:
        """REQ-PER-4, REQ-LIFE-1."""
        at = in_state(state)
        command = Command(CLA_JOREN, Ins.STORE_DATA, 0x88, 0, build_dgi(0x0202, bytes(8)))
        refuses(at.shop, command, SW.REFERENCED_DATA_NOT_FOUND if state is LifeCycle.SELECTABLE else SW.CONDITIONS_NOT_SATISFIED)

    @pytest.mark.parametrize("wanted", [LifeCycle.ISSUED, LifeCycle.BLOCKED])
    def test_no_way_back_from_the_end(self, wanted: LifeCycle) -> None:
        """REQ-LIFE-1."""
        shop = in_state(LifeCycle.TERMINATED).shop
        mac = shop.admin.mac8(messages.admin(shop.head, 0, bytes(8), wanted))
        refuses(shop, Command(CLA_JOREN, Ins.SET_STATUS, 0x40, wanted, mac), SW.CONDITIONS_NOT_SATISFIED)


BLOCKS: list[tuple[str, int, int, bytes, int]] = [
    ("block 1 first", 0x08, 1, build_dgi(0x0202, bytes(8)), 0x6A86),
    ("neither more nor last", 0x00, 0, build_dgi(0x0202, bytes(8)), 0x6A86),
    ("nothing", 0x08, 0, b"", 0x6700),
    ("256 bytes", 0x08, 0, bytes(256), 0x6700),
    ("255 bytes of nothing", 0x08, 0, bytes(255), 0x6A88),
    ("one byte", 0x08, 0, b"\x02", 0x6A80),
    ("no whole DGI", 0x08, 0, b"\x02\x02\x08\x00", 0x6A80),
    ("an unknown DGI", 0x08, 0, build_dgi(0x0204, bytes(8)), 0x6A88),
    ("a refill, too early", 0x08, 0, build_dgi(0x0203, bytes(10)), 0x6985),
    ("a customer card's DGI", 0x08, 0, build_dgi(0x8001, b"\x01" + bytes(16)), 0x6A88),
    ("another programme", 0x08, 0, build_dgi(0x0201, (PROGRAMME + 1).to_bytes(2) + b"\0\0\0\x07\x01"), 0x6A80),
    ("identity too long", 0x08, 0, build_dgi(0x0201, PROGRAMME.to_bytes(2) + bytes(6)), 0x6A80),
    ("rules of zeros", 0x08, 0, build_dgi(0x0102, bytes(80)), 0x6A80),
    ("limits of zeros", 0x08, 0, build_dgi(0x0103, bytes(18)), 0x6A80),
    ("ceilings too short", 0x08, 0, build_dgi(0x0202, bytes(7)), 0x6A80),
    ("key version 0", 0x08, 0, build_dgi(0x8012, bytes(17)), 0x6A80),
    ("key version 0 alone", 0x08, 0, build_dgi(0x8012, b"\x00"), 0x6A80),
    ("LOAD version 0 alone", 0x08, 0, build_dgi(0x8014, b"\x00"), 0x6A80),
    ("a version to go that is not there", 0x08, 0, build_dgi(0x8014, b"\x01"), 0x6A80),
    ("no version", 0x08, 0, build_dgi(0x8014, b""), 0x6A80),
    ("an ADMIN version alone", 0x08, 0, build_dgi(0x8005, b"\x01"), 0x6A80),
    ("key too short", 0x08, 0, build_dgi(0x8014, b"\x01" + bytes(15)), 0x6A80),
    ("good, then bad", 0x08, 0, build_dgi(0x0202, bytes(8)) + build_dgi(0x0103, bytes(18)), 0x6A80),
]


class TestPersonalization:
    @pytest.mark.parametrize("missing", [0x0201, 0x0102, 0x0103, 0x0202, 0x8012, 0x8005], ids="{:04X}".format)
    def test_all_must_be_there(self, missing: int) -> None:
        """REQ-SPE-1; with the LOAD master key (8014) or without."""
        shop = Shop(issue=False, leave_out=frozenset({missing}))
        first, last = shop.blocks()
        assert shop.send(CLA_JOREN, Ins.STORE_DATA, 0x08, 0, first).ok
        refuses(shop, Command(CLA_JOREN, Ins.STORE_DATA, 0x88, 1, last), SW.REFERENCED_DATA_NOT_FOUND)
        assert shop.select().life_cycle == LifeCycle.SELECTABLE
        assert Shop(leave_out=frozenset({0x8014})).select().life_cycle == LifeCycle.ISSUED

    @pytest.mark.parametrize(("p1", "p2", "block", "sw"), [row[1:] for row in BLOCKS], ids=[row[0] for row in BLOCKS])
    def test_blocks_that_are_refused(self, p1: int, p2: int, block: bytes, sw: int) -> None:
        """REQ-PER-1, REQ-PER-2, REQ-APDU-2, REQ-APDU-3: the right blocks are taken afterwards."""
        shop = Shop(issue=False)
        refuses(shop, Command(CLA_JOREN, Ins.STORE_DATA, p1, p2, block), sw)
        for number, right in enumerate(shop.blocks()):
            assert shop.send(CLA_JOREN, Ins.STORE_DATA, 0x08 | number << 7, number, right).ok
        assert MASTERS["load"].reveal() in shop.chip.snapshot()
        assert shop.select().life_cycle == LifeCycle.ISSUED
