"""Attacks on the ceilings of a shop card (docs/spec/attacks.md): evidence from before, and voids of what it never granted."""

from dataclasses import replace

import pytest

from cardkit import Customer, Shop
from joren.apdu import CLA_JOREN, SW, Ending, Ins, KeyRef, Kind, messages
from joren.apdu.transaction import Order, Outcome, Transaction


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
