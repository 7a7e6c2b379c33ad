"""The customer card in bare APDUs, when all is well: selection, transactions, voids, proofs, log, points, MACs (docs/spec/customer.md)."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from struct import Struct

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given, settings
from hypothesis import strategies as st

import cardkit
from cardkit import LABELS, LIMITS, MASTERS, NEVER, PIN, Answer, Customer, Shop
from joren.apdu import AID_CUSTOMER, AID_SHOP, SW, Command, Ins, KeyRef, Kind, LifeCycle, Response, aid
from joren.apdu.state import DEFAULT_RULES, State
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.simulator.memory import PowerCut

RANK_PAGE = Path(__file__).resolve().parent.parent / "docs" / "spec" / "rank.md"
VECTOR = re.compile(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([0-9A-F]{64}) \|$", re.MULTILINE)
HOLDER = Struct(">BH4I3I")
CHALLENGE = bytes.fromhex("C0C1C2C3C4C5C6C7")
BY_KEY = [
    (Kind.PURCHASE, KeyRef.TILL),
    (Kind.PURCHASE, KeyRef.SHOP),
    (Kind.PAY_AND_EARN, KeyRef.TILL),
    (Kind.PAY_AND_EARN, KeyRef.SHOP),
    (Kind.REDEEM, KeyRef.TILL),
    (Kind.REDEEM, KeyRef.SHOP),
    (Kind.LOAD, KeyRef.LOAD),
    (Kind.PAY, KeyRef.TILL),
    (Kind.PAY, KeyRef.SHOP),
]
EVERY_KIND = pytest.mark.parametrize(("kind", "key_ref"), BY_KEY, ids=[f"{kind.name} by {key_ref.name}" for kind, key_ref in BY_KEY])


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC of a second implementation, 16 bytes."""
    engine = CMAC(AES(key))
    engine.update(message)
    return engine.finalize()


def mac(customer: Customer, key_ref: KeyRef, use: int, *parts: bytes) -> bytes:
    """A MAC as keys.md has it, derivation included, from nothing but the page."""
    label, context = LABELS[key_ref], b"\x00\x01" + customer.card_id
    key = cmac(MASTERS[label].reveal(), b"\x01" + label.encode() + b"\x00" + context + b"\x00\x80")
    return cmac(key, bytes((use,)) + context + b"".join(parts))[:8]


def session(customer: Customer) -> bytes:
    """counter u16 | nonce 8, as most messages have them."""
    return customer.info.counter.to_bytes(2) + customer.info.nonce


def select(customer: Customer, name: bytes, p2: int = 0x0C) -> Response:
    return customer.send(0x00, Ins.SELECT, 0x04, p2, name, 256)


def prepared(**options: object) -> Customer:
    """A card with 50000 in the purse and 1000 points, after two transactions at hour 100."""
    customer = Customer(**options)  # type: ignore[arg-type]
    customer.load(50_000)
    customer.buy(100_000)
    return customer


def holder(customer: Customer, hour: int = 0) -> tuple[int, ...]:
    """GET RESULT for the holder: rank, score, four values, points_before, points_now, purse."""
    return HOLDER.unpack(customer.send(0x80, Ins.GET_RESULT, 1, 0, hour.to_bytes(2), 31).data)


def state(customer: Customer) -> bytes:
    return customer.get_state().data[:32]


def record(customer: Customer, number: int = 1) -> bytes:
    """READ RECORD: record 36 | receipt 8."""
    response = customer.send(0x00, Ins.READ_RECORD, number, 0x0C, ne=44)
    assert response.ok, response.status
    return response.data


def made(customer: Customer, kind: Kind, key_ref: KeyRef, order: Order) -> Command:
    """TRANSACT, or COMMIT for what a shop card computes, rightly authorized."""
    if key_ref == KeyRef.SHOP and kind in (Kind.PURCHASE, Kind.PAY_AND_EARN):
        computed = Shop(order.shop, order.sequence >> 24).compute(customer, order, kind)
        return customer.commit_command(kind, computed.order, computed.points, computed.state, computed.mac)
    return customer.transact_command(kind, order, key_ref)


def order_for(customer: Customer, kind: Kind, amount: int = 500, sequence: int = 0x01000000, **order: int) -> Order:
    """An order with a category and a factor where the kind has them."""
    build: Callable[..., Order] = customer.order if kind in (Kind.PURCHASE, Kind.PAY_AND_EARN) else customer.plain
    return build(amount, sequence=sequence, **order)


def act(customer: Customer, kind: Kind, key_ref: KeyRef, order: Order) -> Answer:
    response = customer.chip.process(made(customer, kind, key_ref, order))
    customer.select_quietly(response)
    return Answer.of(response)


def set_status(customer: Customer, target: LifeCycle) -> Command:
    """SET STATUS with the MAC for this card, counter and nonce."""
    return Command(0x80, Ins.SET_STATUS, 0x40, target, mac(customer, KeyRef.ADMIN, 0x57, session(customer), bytes((target,))))


def changed(customer: Customer, before: bytes) -> dict[str, set[int]]:
    """The cells that are not as they were: names of regions, with offsets."""
    found: dict[str, set[int]] = {}
    after = customer.chip.snapshot()
    for name, region in customer.chip.memory.regions.items():
        offsets = {index for index in range(region.size) if before[region.address + index] != after[region.address + index]}
        if offsets:
            found[name.partition("/")[2]] = offsets
    return found


@pytest.mark.parametrize(
    ("modes", "purse", "pin", "flags"),
    [(1, 0, None, 0x01), (2, 0, PIN, 0x0A), (3, 0, None, 0x03), (1, 1, None, 0x05), (1, 1 << 24, None, 0x05), (3, NEVER, PIN, 0x0F)],
)
def test_the_select_record(modes: int, purse: int, pin: bytes | None, flags: int) -> None:
    """REQ-SEL-1, REQ-REC-1."""
    limits = replace(LIMITS, modes=modes, purse_max_minor=purse)
    customer = Customer(limits=limits, pin=pin, rules=replace(DEFAULT_RULES, rules_version=9))
    plain, fci = select(customer, customer.aid), select(customer, customer.aid, 0x00)
    start, end = bytes((0x01, 0x0F, flags, 0x09)) + bytes.fromhex("0001 A1A2A3A4A5A6A7A8 0000"), b"\x00\x01"
    assert plain == Response(start + plain.data[16:24] + end, SW.OK)
    assert fci == Response(bytes.fromhex("6F27 8409 F06A6F72656E010001 851A") + start + fci.data[31:39] + end, SW.OK)


def test_the_select_record_follows_counter_and_rank() -> None:
    """REQ-SEL-1: the rank is the one last written, whatever the time."""
    customer = Customer()
    customer.buy(64_000)
    assert (customer.select().counter, customer.info.rank) == (1, 2)


def test_the_select_record_before_personalization() -> None:
    """REQ-REC-1: nothing is known but the programme."""
    customer = Customer(issue=False)
    data = select(customer, customer.aid).data
    assert data[:16] + data[24:] == bytes.fromhex("01 07 00 00 0001") + bytes(12)


def test_every_select_draws_a_nonce() -> None:
    """REQ-SEL-2, REQ-MAC-3: what was authorized in one session is worth nothing in the next."""
    customer, nonces = Customer(), set[bytes]()
    for p2 in (0x0C, 0x00) * 10:
        stale = customer.transact_command(Kind.PURCHASE, customer.order())
        nonces.add(select(customer, customer.aid, p2).data[-9:-1])
        assert customer.chip.process(stale) == Response(b"", SW.MAC_INCORRECT)
        customer.select()
    assert len(nonces) == 20
    assert all(any(nonce) for nonce in nonces)


@pytest.mark.parametrize("p2", [0x00, 0x0C])
def test_an_aid_is_matched_by_its_leading_part(p2: int) -> None:
    """REQ-AID-1, REQ-AID-2: the first instance on the chip wins; no match leaves the selection and the session."""
    customer = Customer()
    chip, names = customer.chip, [aid(AID_CUSTOMER, 1), aid(AID_CUSTOMER, 2), aid(AID_SHOP, 1)]
    assert [name.hex() for name in names] == ["f06a6f72656e010001", "f06a6f72656e010002", "f06a6f72656e020001"]
    chip.install(CustomerCard, names[1])
    chip.install(ShopCard, names[2])
    for name, length in product(names, range(5, 10)):
        first = next(other for other in names if other.startswith(name[:length]))
        answer = select(customer, name[:length], p2)
        record = answer.data if p2 else answer.data[15:]
        assert (answer.sw, len(record), record[4:6]) == (SW.OK, 25 if first == names[2] else 26, first[-2:])
        assert p2 or answer.data[4:13] == first
    customer.select()
    order = customer.transact_command(Kind.PURCHASE, customer.order())
    for name in (aid(AID_CUSTOMER, 3), names[0] + b"\x00", bytes(5), names[0][1:]):
        assert select(customer, name, p2) == Response(b"", SW.FILE_NOT_FOUND)
    assert chip.process(order).ok


def test_programmes_on_one_chip_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """REQ-AID-3: not the points, not the PIN, not the session, not the keys."""
    first = prepared(pin=PIN)
    monkeypatch.setattr(cardkit, "PROGRAMME", 2)
    second = Customer(pin=b"9999", issue=False)
    second.chip = first.chip
    second.chip.install(CustomerCard, second.aid)
    second.select()
    for number, block in enumerate(second.blocks()):
        assert second.send(0x80, Ins.STORE_DATA, (0x08, 0x88)[number], number, block).ok
    size = min(region.address for name, region in first.chip.memory.regions.items() if name.startswith(second.aid.hex().upper()))
    first.select()
    assert first.verify(PIN).ok
    before, stale = first.chip.snapshot(), first.transact_command(Kind.PURCHASE, first.order())
    second.select()
    assert second.chip.process(stale).sw == SW.MAC_INCORRECT
    assert second.verify(PIN).sw == 0x63C2
    assert second.buy(700, hour=9).outcome == Outcome(0, 1, 72, 7, 7, 0)
    assert first.chip.snapshot()[:size] == before[:size]
    before = first.chip.snapshot()
    first.select()
    assert first.chip.process(stale).sw == SW.MAC_INCORRECT
    assert first.send(0x00, Ins.VERIFY, 0, 0x81).sw == 0x63C3
    assert first.buy(100, hour=101).outcome.points_balance == 1001
    assert first.chip.snapshot()[size:] == before[size:]


@pytest.mark.parametrize("key_ref", [KeyRef.TILL, KeyRef.SHOP], ids=["TRANSACT", "COMMIT"])
def test_purchases_do_what_the_rank_page_says(key_ref: KeyRef) -> None:
    """REQ-TRX-4, REQ-TRX-5, REQ-COM-2: the page's vectors, with amount 0, the largest amount and time going back among them."""
    limits = replace(LIMITS, categories=0xFFFF, factor_max_tenths=255)
    customer, shop, total = Customer(limits=limits), Shop(limits=limits), 0
    rows = VECTOR.findall(RANK_PAGE.read_text(encoding="utf-8"))[:-1]
    assert [int(row[1]) for row in rows[-2:]] == [0, 0xFFFFFFFF]
    for row in rows:
        hour, amount, category, factor, points, rank, score = map(int, row[:7])
        if key_ref == KeyRef.TILL:
            answer = customer.buy(amount, hour=hour, category=category, factor=factor)
        else:
            answer = shop.purchase(customer, amount, hour=hour, category=category, factor=factor)
        total = sum(holder(customer, hour)[6:8])
        assert answer.outcome == Outcome(rank, 1, score, points, total, 0)
        assert state(customer).hex().upper() == row[7]
        assert record(customer)[:4] == bytes((Kind.PURCHASE, key_ref)) + (customer.info.counter - 1).to_bytes(2)
    assert len(rows) == customer.select().counter == 10


@EVERY_KIND
def test_what_a_transaction_changes(kind: Kind, key_ref: KeyRef) -> None:
    """REQ-TRX-5, REQ-COM-2, REQ-REC-1: balances, outcome and log record, to the byte."""
    customer = prepared()
    before, order = state(customer), order_for(customer, kind, hour=101)
    answer = act(customer, kind, key_ref, order)
    points, balance, purse = {
        Kind.PURCHASE: (7, 1007, 50_000),
        Kind.PAY_AND_EARN: (7, 1007, 49_500),
        Kind.REDEEM: (500, 500, 50_000),
        Kind.LOAD: (0, 1000, 50_500),
        Kind.PAY: (0, 1000, 49_500),
    }[kind]
    rank, score = holder(customer)[:2]
    assert answer.outcome == Outcome(rank, 1, score, points, balance, purse)
    assert holder(customer)[6:] == (0, balance, purse)
    assert (state(customer) == before) == (kind in (Kind.REDEEM, Kind.LOAD, Kind.PAY))
    assert record(customer)[:36] == bytes((kind, key_ref, 0, 2)) + order.encode() + answer.raw_outcome
    assert customer.select().counter == 3


@EVERY_KIND
def test_one_transaction_of_three_writes(kind: Kind, key_ref: KeyRef) -> None:
    """REQ-TRX-7, REQ-REC-3, REQ-REC-4, REQ-FLW-2: the other sheet, the log record, the counter; nothing else."""
    customer = prepared()
    for counter in (2, 3):
        command = made(customer, kind, key_ref, order_for(customer, kind, 7, hour=100 + counter))
        before, statistics = customer.chip.snapshot(), replace(customer.chip.memory.statistics)
        response = customer.chip.process(command)
        customer.select_quietly(response)
        assert response.ok
        cells = changed(customer, before)
        assert set(cells) == {"sheets", "log", "counter"}
        assert cells["sheets"] <= set(range((counter + 1) % 2 * 46, (counter + 1) % 2 * 46 + 46))
        assert cells["log"] <= set(range(counter * 36, counter * 36 + 36))
        assert customer.chip.memory.statistics.transactions == statistics.transactions + 1
        assert customer.chip.memory.statistics.last_transaction_bytes == 46 + 36 + 2


@EVERY_KIND
@pytest.mark.parametrize("voiding", [False, True], ids=["", "void"])
def test_a_transaction_happens_whole_or_not_at_all(kind: Kind, key_ref: KeyRef, voiding: bool) -> None:
    """REQ-APDU-8, REQ-TRX-7: the power goes at every write."""
    writes = 0
    while True:
        customer, writes = prepared(), writes + 1
        command = made(customer, kind, key_ref, order := order_for(customer, kind))
        if voiding:
            customer.select_quietly(customer.chip.process(command))
            command = customer.transact_command(0x80 + kind, order, key_ref)
        before = customer.chip.snapshot()
        customer.chip.memory.cut_after(writes)
        try:
            assert customer.chip.process(command).ok
            break
        except PowerCut:
            customer.chip.power_on()
            assert customer.chip.snapshot() == before
    assert writes == 5
    customer.chip.power_on()
    assert customer.select().counter == 3 + voiding


@EVERY_KIND
def test_a_void_puts_back_what_was(kind: Kind, key_ref: KeyRef) -> None:
    """REQ-VOID-1, REQ-VOID-2: state, points of both periods and purse; the next transaction is as if the voided one had not been."""
    customer, twin = prepared(), prepared()
    before, seen = state(customer), holder(customer)
    hour = 100 + LIMITS.period_hours
    done = act(customer, kind, key_ref, order := order_for(customer, kind, hour=hour))
    assert holder(customer) != seen
    order = replace(order, hour=65_535, sequence=77)
    answer = Answer.of(customer.transact(0x80 + kind, order, key_ref))
    assert (state(customer), holder(customer)) == (before, seen)
    assert answer.outcome == Outcome(seen[0], 1, seen[1], done.outcome.points, seen[6] + seen[7], seen[8])
    assert record(customer)[:36] == bytes((0x80 + kind, key_ref, 0, 3)) + order.encode() + answer.raw_outcome
    assert customer.buy(4_321, hour=102).outcome == twin.buy(4_321, hour=102).outcome
    assert (state(customer), holder(customer)) == (state(twin), holder(twin))


def test_get_state() -> None:
    """REQ-GST-1: nothing is written."""
    customer = prepared()
    before, first = customer.chip.snapshot(), customer.get_state()
    assert State.decode(first.data[:32]).visits == 1
    assert first == customer.get_state() == Response(first.data, SW.OK)
    assert customer.chip.snapshot() == before


@pytest.mark.parametrize("hour", [0, 99, 100, 101, 2_000, 9_000, 60_000])
def test_get_result_is_what_a_transaction_starts_from(hour: int) -> None:
    """REQ-RES-1: a purchase of nothing, in a category that deposits nowhere, writes what was read at its hour."""
    slots = tuple(replace(slot, categories=0x7FFF) for slot in DEFAULT_RULES.slots)
    rules = replace(DEFAULT_RULES, slots=(slots[0], slots[1], slots[2], slots[3]), jump_max_hours=65_535)
    customer = prepared(rules=rules, limits=replace(LIMITS, categories=0xFFFF))
    before = customer.chip.snapshot()
    public = customer.send(0x80, Ins.GET_RESULT, 0, 0, hour.to_bytes(2), 3)
    read = holder(customer, hour)
    assert public == Response(HOLDER.pack(*read)[:3], SW.OK)
    assert customer.chip.snapshot() == before
    outcome = customer.buy(0, hour=hour, category=15).outcome
    assert read == (outcome.rank, outcome.score, *State.decode(state(customer)).values, *holder(customer)[6:])
    assert (read[2] < 62 << 16) == (hour > 9_000 - 1)
    assert read[6:] == {0: (0, 1000, 50_000), 1: (1000, 0, 50_000)}.get(hour // LIMITS.period_hours, (0, 0, 50_000))


def test_the_log_keeps_the_last_24() -> None:
    """REQ-LOG-1, REQ-REC-3, REQ-MAC-4: after more than 24 transactions; every receipt is the same again."""
    customer = Customer()
    given_out: list[bytes] = []
    for counter in range(60):
        kind = Kind.LOAD if counter % 3 else Kind.PURCHASE
        order = order_for(customer, kind, 100 + counter, sequence=counter, hour=counter)
        key_ref = KeyRef.LOAD if counter % 3 else KeyRef.TILL
        answer = act(customer, kind, key_ref, order)
        given_out.insert(0, bytes((kind, key_ref, 0, counter)) + order.encode() + answer.raw_outcome + answer.receipt)
        kept = min(counter + 1, 24)
        assert [record(customer, number) for number in range(1, kept + 1)] == given_out[:24]
        assert customer.send(0x00, Ins.READ_RECORD, kept + 1, 0x0C, ne=44) == Response(b"", SW.RECORD_NOT_FOUND)
    region = customer.chip.memory.regions[customer.aid.hex().upper() + "/log"]
    cells = customer.chip.memory.read(region.address, region.size)
    for counter in range(36, 60):
        assert cells[counter % 24 * 36 :][:36] == given_out[59 - counter][:36]


@EVERY_KIND
@pytest.mark.parametrize("voiding", [False, True], ids=["", "void"])
def test_proof_and_receipt_again(kind: Kind, key_ref: KeyRef, voiding: bool) -> None:
    """REQ-PRV-1 (COMMITTED), REQ-PRV-2, REQ-MAC-4: from the first until 23 others have followed."""
    customer = prepared()
    answer = act(customer, kind, key_ref, order := order_for(customer, kind))
    if voiding:
        answer = Answer.of(customer.transact(kind := Kind(0x80 + kind), order, key_ref))
    asked = customer.info.counter - 1
    sequence = Transaction.decode(record(customer)[:36]).order[12:]
    for _ in range(24):
        nonce, now = customer.info.nonce, customer.info.counter.to_bytes(2)
        response = customer.prove(asked, 7, int.from_bytes(sequence), CHALLENGE, key_ref)
        logged = bytes((kind, key_ref)) + asked.to_bytes(2) + order.encode()[:12] + sequence + answer.raw_outcome
        assert response == Response(b"\x01" + now + customer.info.nonce + logged + answer.receipt + answer.proof, SW.OK)
        assert customer.info.nonce != nonce
        assert record(customer, customer.info.counter - asked) == logged + answer.receipt
        customer.load(1)
    assert customer.prove(asked, 7, int.from_bytes(sequence), CHALLENGE, key_ref).data[0] == 2


SHOP = 0xA1000007
PROOFS = [
    # what is asked, its counter, shop, sequence (without the terminal number) and key, the ending
    ("the next one", 30, SHOP, 31, KeyRef.TILL, 0),
    ("the next one, named as the record it will overwrite", 30, SHOP, 7, KeyRef.LOAD, 0),
    ("the newest, of another shop", 29, SHOP + 1, 30, KeyRef.LOAD, 0),
    ("the newest, of another sequence", 29, SHOP, 29, KeyRef.LOAD, 0),
    ("the newest, under another key", 29, SHOP, 30, KeyRef.SHOP, 0),
    ("the oldest kept, of another sequence", 6, SHOP, 8, KeyRef.LOAD, 0),
    ("the newest overwritten", 5, SHOP, 6, KeyRef.LOAD, 2),
    ("the first", 0, SHOP, 1, KeyRef.TILL, 2),
]


@pytest.mark.parametrize(("asked", "shop", "sequence", "key_ref", "ending"), [row[1:] for row in PROOFS], ids=[row[0] for row in PROOFS])
def test_absence_is_proven(asked: int, shop: int, sequence: int, key_ref: KeyRef, ending: int) -> None:
    """REQ-PRV-1 (NOT COMMITTED, UNKNOWN), REQ-PRV-2, REQ-MAC-1: and what was authorized before can no more be used."""
    customer, sequence = Customer(), sequence + 0x5A000000
    for number in range(1, 31):
        customer.load(1, shop=SHOP, sequence=0x5A000000 + number)
    stale, nonce, before = (
        customer.transact_command(Kind.LOAD, customer.plain(), KeyRef.LOAD),
        customer.info.nonce,
        customer.chip.snapshot(),
    )
    response = customer.prove(asked, shop, sequence, CHALLENGE, key_ref)
    fresh = customer.info.nonce
    parts = bytes((key_ref,)) + asked.to_bytes(2) + shop.to_bytes(4) + sequence.to_bytes(4) + CHALLENGE + bytes((ending, 0, 30)) + fresh
    assert response == Response(bytes((ending, 0, 30)) + fresh + mac(customer, key_ref, 0x55, parts), SW.OK)
    assert fresh != nonce
    assert customer.chip.process(stale) == Response(b"", SW.MAC_INCORRECT)
    assert customer.chip.snapshot() == before
    assert customer.prove(29, SHOP, 0x5A00001E, CHALLENGE, KeyRef.LOAD).data[0] == 1
    assert customer.load(1).outcome.purse_minor == 31


def test_get_data() -> None:
    """REQ-DAT-1, REQ-KEY-1."""
    limits = replace(LIMITS, modes=1, purse_max_minor=0)
    without, owned = Customer(leave_out=frozenset({0x8002, 0x8004}), limits=limits), Customer(pin=PIN)
    get = [[card.send(0x00, Ins.GET_DATA, 1, tag, ne=256).data for tag in (1, 3, 4)] for card in (without, owned)]
    assert get[0] == [DEFAULT_RULES.encode() + limits.encode(), b"\xff\xff", bytes.fromhex("0101 0200 0301 0400 0501")]
    assert get[1] == [DEFAULT_RULES.encode() + LIMITS.encode(), b"\x03\x0a", bytes.fromhex("0101 0201 0301 0401 0501")]


def test_the_life_of_a_card() -> None:
    """REQ-ADM-1, REQ-LIFE-1, REQ-LIFE-3, REQ-MAC-3: every transition there is; each draws a nonce; SELECT answers in every state."""
    customer = prepared()
    for target, sw in ((0x83, 0x6283), (0x0F, 0x9000), (0x83, 0x6283), (0xFF, 0x6285)):
        before, again = customer.chip.snapshot(), set_status(customer, LifeCycle(0x0F if target == 0x83 else 0x83))
        assert customer.chip.process(set_status(customer, LifeCycle(target))) == Response(b"", SW.OK)
        assert changed(customer, before) == {"life_cycle": {0}}
        assert customer.chip.process(again).sw == (SW.CONDITIONS_NOT_SATISFIED if target == 0xFF else SW.MAC_INCORRECT)
        for p2, length in ((0x0C, 26), (0x00, 41)):
            answer = select(customer, customer.aid, p2)
            assert (answer.sw, len(answer.data), answer.data[length - 25]) == (sw, length, target)
        assert customer.select().counter == 2
    issued = prepared()
    assert issued.chip.process(set_status(issued, LifeCycle.TERMINATED)).ok
    assert select(issued, issued.aid).sw == SW.FILE_TERMINATED


class Buckets:
    """Points in two periods, as the page tells it."""

    def __init__(self) -> None:
        self.before = self.now = self.period = 0

    def roll(self, hour: int) -> None:
        while self.period < hour // 10:
            self.before, self.now, self.period = self.now, 0, self.period + 1

    def redeem(self, points: int) -> bool:
        if points > self.before + self.now:
            return False
        used = min(points, self.before)
        self.before, self.now = self.before - used, self.now - (points - used)
        return True


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["buy", "redeem", "load"]), st.integers(1, 300)), max_size=12))
def test_points_grow_old(steps: list[tuple[int, str, int]]) -> None:
    """REQ-PTS-1, REQ-PTS-2, REQ-PTS-3: any times, also backwards; the oldest points go first; a refusal rolls nothing."""
    customer, model = Customer(limits=replace(LIMITS, period_hours=10)), Buckets()
    for hour, what, amount in steps:
        was = dict(vars(model))
        model.roll(hour)
        if what == "buy":
            outcome = customer.buy(amount * 100, hour=hour).outcome
            model.now += outcome.points
        elif what == "load":
            outcome = customer.load(amount, hour=hour).outcome
        else:
            response = customer.transact(Kind.REDEEM, customer.plain(amount, hour))
            if not model.redeem(amount):
                assert response == Response(b"", SW.BALANCE_TOO_SMALL)
                vars(model).update(was)
                assert holder(customer)[6:8] == (model.before, model.now)
                continue
            outcome = Answer.of(response).outcome
        assert outcome.points_balance == model.before + model.now
        assert holder(customer)[6:8] == (model.before, model.now)


def test_points_can_not_overflow() -> None:
    """REQ-REC-5, REQ-TRX-2: the last of 65535 transactions of 65535 points each; there is no other after it."""
    customer = Customer()
    regions, prefix = customer.chip.memory.regions, customer.aid.hex().upper()
    customer.chip.memory.write(regions[prefix + "/counter"].address, b"\xff\xfe")
    customer.chip.memory.write(regions[prefix + "/sheets"].address + 32, (65_534 * 65_535).to_bytes(4))
    customer.select()
    assert customer.buy(NEVER, factor=30).outcome.points_balance == 65_535 * 65_535 < 2**32
    assert customer.transact(Kind.PURCHASE, customer.order()) == Response(b"", SW.COUNTER_EXHAUSTED)


def messages_of(customer: Customer) -> Iterator[tuple[bytes, bytes]]:
    """Every MAC that the card makes, as it came and as the page has it."""
    got = customer.get_state().data
    yield got[32:], mac(customer, KeyRef.SHOP, 0x51, session(customer), b"\x01", got[:32])
    for kind, key_ref in BY_KEY:
        answer = act(customer, kind, key_ref, order_for(customer, kind, 9))
        logged = record(customer)
        yield answer.proof, mac(customer, key_ref, 0x54, logged[:36])
        yield answer.receipt, mac(customer, KeyRef.RECEIPT, 0x56, logged[:36])


def test_the_macs_of_the_card() -> None:
    """REQ-MAC-1, REQ-KEY-2: made anew by a second CMAC, from the masters and the page (ABSENCE: test_absence_is_proven)."""
    found = list(messages_of(prepared()))
    assert [came for came, _ in found] == [expected for _, expected in found]
    assert len({came for came, _ in found}) == len(found) == 19


@EVERY_KIND
def test_the_macs_that_the_card_takes(kind: Kind, key_ref: KeyRef) -> None:
    """REQ-MAC-1, REQ-KEY-2: ORDER and COMMIT from the page alone (ADMIN: test_the_life_of_a_card)."""
    customer = prepared()
    raw = order_for(customer, kind, hour=100).encode()
    use, p1_p2, rest, ins = 0x52, bytes((kind, key_ref)), b"", Ins.TRANSACT
    if key_ref == KeyRef.SHOP and kind in (Kind.PURCHASE, Kind.PAY_AND_EARN):
        use, rest, ins = 0x53, b"\x00\x05" + state(customer), Ins.COMMIT
    version = b"\x01" if rest else b""
    right = mac(customer, key_ref, use, session(customer), p1_p2, raw, version, rest)
    assert customer.send(0x80, ins, kind, key_ref, raw + rest + right, 32).ok


def test_no_answer_holds_a_key() -> None:
    """REQ-KEY-1: nor half of one."""
    customer = prepared(pin=PIN)
    assert customer.verify(PIN).ok
    answers = [select(customer, customer.aid, 0x00), customer.verify(PIN), customer.get_state(), customer.prove(1, 7, 1, CHALLENGE)]
    answers += [customer.send(0x00, Ins.GET_DATA, 1, tag, ne=256) for tag in (1, 3, 4)]
    answers += [customer.send(0x00, Ins.READ_RECORD, number, 0x0C, ne=256) for number in (1, 2)]
    answers.append(customer.send(0x80, Ins.GET_RESULT, 1, 0, bytes(2), 256))
    answers.append(customer.chip.process(made(customer, Kind.PURCHASE, KeyRef.SHOP, customer.order(sequence=0x01000000))))
    assert all(answer.ok for answer in answers)
    told = b"|".join(answer.data for answer in answers)
    for key in customer.keys.values():
        assert key.reveal()[:8] not in told
        assert key.reveal()[8:] not in told


def test_a_till_is_worth_nothing_where_shop_cards_are_asked_for() -> None:
    """REQ-KEY-3: with both of the till's master keys out, the card of a two-card programme takes no order."""
    customer = Customer(limits=replace(LIMITS, modes=2))
    assert len({key.reveal() for key in (*customer.keys.values(), *MASTERS.values())}) == 11
    for kind in (Kind.PURCHASE, Kind.PAY_AND_EARN, Kind.REDEEM, Kind.PAY):
        assert customer.transact(kind, order_for(customer, kind)).sw == SW.MODE_NOT_ALLOWED
    customer.keys[KeyRef.SHOP] = customer.keys[KeyRef.TILL]
    assert customer.transact(Kind.REDEEM, customer.plain(), KeyRef.SHOP).sw == SW.MAC_INCORRECT
