"""Attacks on the ceilings of a shop card (docs/spec/attacks.md): evidence from before, and voids of what it never granted."""

from dataclasses import replace

import pytest

from cardkit import Customer, Shop
from joren.apdu import CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, messages
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.simulator.memory import PowerCut


def test_not_committed_is_said_before_the_entry_is_there() -> None:
    """REQ-ATK-39: challenge, PROVE for the sequence that comes next, COMPUTE, COMMIT, RATIFY NOT COMMITTED."""
    customer, shop = Customer(), Shop(points_left=1_000)
    sequence, challenge = shop.select().sequence, shop.challenge()
    absence = customer.prove(0, shop.shop, sequence, challenge, KeyRef.SHOP).data[1:]
    made = shop.compute(customer, customer.order(100_000))
    assert customer.chip.process(customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)).ok
    before = shop.chip.snapshot()
    assert shop.deny(made.slot, absence).sw == SW.CONDITIONS_NOT_SATISFIED
    assert shop.chip.snapshot() == before
    assert shop.select().points_left == 0


def test_nor_before_an_authorized_load() -> None:
    """REQ-ATK-39: the same for money."""
    customer, shop = Customer(), Shop(money_left=1_000)
    challenge = shop.challenge()
    absence = customer.prove(0, shop.shop, shop.select().sequence, challenge, KeyRef.LOAD).data[1:]
    slot = shop.authorize(customer, Kind.LOAD, customer.plain(1_000)).data[0]
    assert shop.deny(slot, absence).sw == SW.CONDITIONS_NOT_SATISFIED
    assert shop.select().money_left_minor == 0


@pytest.mark.parametrize("kind", [Kind.VOID_PURCHASE, Kind.VOID_LOAD], ids=lambda kind: kind.name)
def test_one_customer_key_refills_no_shop_card(kind: Kind) -> None:
    """REQ-ATK-40: the proof of a void forged with the SHOP or LOAD key of one card gives nothing back."""
    customer, shop = Customer(), Shop(points_left=10, money_left=10)
    key_ref = KeyRef.LOAD if kind == Kind.VOID_LOAD else KeyRef.SHOP
    answer = shop.authorize(customer, kind, asked := Order(100, 0xFFFFFFFF, 0, 0, 7, 0)).data
    outcome = Outcome(0, 1, 0, 0xFFFFFFFF, 0, 0).encode()
    record = Transaction(kind, key_ref, 0, replace(asked, sequence=int.from_bytes(answer[1:5])).encode(), outcome).encode()
    proof = customer.keys[key_ref].mac8(messages.proof(customer.head, record))
    assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, answer[0], outcome + proof).ok
    assert (shop.select().points_left, shop.select().money_left_minor) == (10, 10)


def test_a_card_put_back_refills_no_shop_card() -> None:
    """REQ-ATK-40: one purchase, its void ratified again and again; the points come back once."""
    customer, shop = Customer(), Shop(points_left=1_000)
    shop.purchase(customer, 100_000)
    copy = customer.chip.snapshot()
    for _ in range(3):
        shop.transact(customer, Kind.VOID_PURCHASE, customer.order(100_000))
        customer.chip.restore(copy)
        customer.select()
        assert shop.select().points_left == 1_000


def torn(shop: Shop, command: Command, answers: int) -> None:
    """The command with the power cut at every write and at the commit: each time all is as it was; a reset finds the sheet of before."""
    whole, sheet = shop.chip.snapshot(), shop.sheet()
    for write in range(1, answers + 1):
        shop.chip.memory.cut_after(write)
        with pytest.raises(PowerCut):
            shop.chip.process(command)
        shop.chip.power_on()
        info = shop.select()
        assert (shop.chip.snapshot(), shop.sheet()) == (whole, sheet)
        assert (info.sequence & 0xFFFFFF, info.points_left, info.money_left_minor) == (
            sheet.count,
            sheet.points_left,
            sheet.money_left_minor,
        )
    assert shop.chip.process(command).ok


def test_the_power_is_cut_at_every_place_of_the_ring() -> None:
    """REQ-ATK-42, REQ-REC-7: entry, log and sheet are old or new together, twice round; the ceiling and the sequences are used once."""
    customer, shop = Customer(), Shop(points_left=1_000, money_left=10_000)
    places, sequences = [], []
    for turn in range(20):
        asked = customer.plain(100)
        data = customer.info.card_id + customer.info.counter.to_bytes(2) + customer.info.nonce + asked.encode()[:8]
        torn(shop, Command(CLA_JOREN, Ins.AUTHORIZE, Kind.LOAD, 0, data, 13), 3)
        places.append(shop.sheet().place)
        slot = turn % 16
        sequences.append(shop.send(0x00, Ins.READ_RECORD, slot + 1, 0x14, ne=32).data[12:16])
        torn(shop, Command(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, slot), 4)
        places.append(shop.sheet().place)
    assert places == [step % 16 for step in range(1, 41)]
    assert len(set(sequences)) == 20
    assert (shop.select().money_left_minor, shop.totals().money_written_off_minor) == (8_000, 2_000)
