"""Attacks by way of key versions (docs/spec/attacks.md): another version named than the card has, and masters of an old version."""

from dataclasses import replace

import pytest

from cardkit import Customer, Shop, master_dgis, masters_of
from joren.apdu import CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, Response, messages
from joren.apdu.tlv import build_dgi
from joren.apdu.transaction import Outcome
from joren.host import CardRefused
from support import Counter, card_number
from test_attacks_settling import Sale, refused
from test_attacks_till import Device

OLD, NEW = masters_of(1), masters_of(2)


def card() -> Customer:
    """A card of version 2 with a purse of 5,000, freshly selected."""
    customer = Customer(card_id=card_number(1), masters=NEW, version=2)
    customer.load(5_000)
    customer.select()
    return customer


def shop_card() -> Shop:
    """A shop card with masters of both versions."""
    return Shop(leave_out=frozenset({0x8012, 0x8014}), more=master_dgis((1, 2), (1, 2)))


class TestAnotherVersionIsNamed:
    def test_to_compute(self) -> None:
        """REQ-ATK-44: no version but the card's own passes the STATE MAC; no entry is opened."""
        customer, shop = card(), shop_card()
        right = shop.compute_command(customer, customer.order())
        for version in set(range(1, 256)) - {2}:
            refused(shop.chip, replace(right, p2=version), SW.MAC_INCORRECT if version == 1 else SW.REFERENCED_DATA_NOT_FOUND)
        assert shop.chip.process(right).ok

    @pytest.mark.parametrize("kind", [Kind.PAY, Kind.LOAD], ids=lambda kind: kind.name)
    def test_to_authorize(self, kind: Kind) -> None:
        """REQ-ATK-44: the card refuses the order; its own word closes the entry, and the ceiling is whole again."""
        customer, shop = card(), shop_card()
        key_ref, before = KeyRef.LOAD if kind is Kind.LOAD else KeyRef.SHOP, shop.select()
        customer.info = replace(customer.info, key_version=1)
        answer = shop.authorize(customer, kind, customer.plain()).data
        order = replace(customer.plain(), sequence=int.from_bytes(answer[1:5])).encode()
        refused(customer.chip, Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, order + answer[5:], 32), SW.MAC_INCORRECT)
        absence = customer.prove(1, shop.shop, 0x01000000, shop.challenge(), key_ref).data
        assert shop.deny(answer[0], absence[1:]).ok
        assert shop.select() == replace(before, sequence=0x01000001)

    @pytest.mark.parametrize("name", ["computed", "authorized"])
    def test_at_select(self, name: str) -> None:
        """REQ-ATK-44: a device tells an honest till another version; what was opened is settled by the card's own word."""
        sale: Sale = (lambda till: till.purchase("S", 200, 1_000)) if name == "computed" else (lambda till: till.load("S", 200, 1_000))
        counter, customer = Counter(True, shop=shop_card()), Customer(card_id=card_number(1), masters=NEW, version=2)
        real = customer.chip

        def lies(command: Command) -> Response:
            told = real.process(command)
            return Response(told.data[:25] + b"\x01", told.sw)

        customer.chip, before = Device(real, {Ins.SELECT: lies}), real.snapshot()
        with pytest.raises(CardRefused) as refusal:
            counter.tap(customer, sale)
        assert refusal.value.sw == SW.MAC_INCORRECT
        assert real.snapshot() == before
        assert (counter.journal.unsettled(), counter.shop.select().pending) == ([], 0)
        customer.chip = real
        counter.tap(customer, sale)
        counter.audit(customer)


class TestMastersOfAnOldVersion:
    def test_on_cards_of_the_new_one(self) -> None:
        """REQ-ATK-45: orders, COMMITs and states under keys from the old SHOP and LOAD masters."""
        customer, shop = card(), shop_card()
        info, order, state = customer.info, customer.plain().encode(), customer.get_state().data[:32]
        for kind, key_ref, name in ((Kind.REDEEM, KeyRef.SHOP, "shop"), (Kind.PAY, KeyRef.SHOP, "shop"), (Kind.LOAD, KeyRef.LOAD, "load")):
            key = OLD[name].derive(name.encode(), customer.head)
            mac = key.mac8(messages.order(customer.head, info.counter, info.nonce, kind, key_ref, order))
            refused(customer.chip, Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, order + mac, 32), SW.MAC_INCORRECT)
        key = OLD["shop"].derive(b"shop", customer.head)
        asked = customer.order()
        mac = key.mac8(messages.commit(customer.head, info.counter, info.nonce, 1, 2, asked.encode(), 1, 9, state))
        refused(customer.chip, customer.commit_command(Kind.PURCHASE, asked, 9, state, mac), SW.MAC_INCORRECT)
        forged = key.mac8(messages.state(customer.head, info.counter, info.nonce, 1, state))
        refused(shop.chip, shop.compute_command(customer, asked, state=state + forged), SW.MAC_INCORRECT)

    @pytest.mark.parametrize("kind", [Kind.PAY, Kind.LOAD], ids=lambda kind: kind.name)
    def test_once_they_are_removed(self, kind: Kind) -> None:
        """REQ-ATK-45: no proof and no absence under the old master closes an entry; what the card says does."""
        customer, shop = card(), shop_card()
        key_ref, name, tag = (KeyRef.LOAD, "load", 0x8014) if kind is Kind.LOAD else (KeyRef.SHOP, "shop", 0x8012)
        answer = shop.authorize(customer, kind, customer.plain()).data
        shop.give(build_dgi(tag, b"\x01"))
        key = OLD[name].derive(name.encode(), customer.head)
        challenge = shop.challenge()
        message = messages.absence(customer.head, key_ref, 1, shop.shop, 0x01000000, challenge, Ending.NOT_COMMITTED, 1, bytes(8))
        absence = (1).to_bytes(2) + bytes(8) + key.mac8(message)
        refused(shop.chip, Command(CLA_JOREN, Ins.RATIFY, Ending.NOT_COMMITTED, answer[0], absence), SW.MAC_INCORRECT)
        outcome = Outcome(0, 1, 0, 0, 0, 0).encode()
        record = bytes((kind, key_ref, 0, 1)) + replace(customer.plain(), sequence=0x01000000).encode() + outcome
        proof = key.mac8(messages.proof(customer.head, record))
        refused(shop.chip, Command(CLA_JOREN, Ins.RATIFY, Ending.COMMITTED, answer[0], outcome + proof), SW.MAC_INCORRECT)
        truth = customer.prove(1, shop.shop, 0x01000000, shop.challenge(), key_ref).data
        assert shop.deny(answer[0], truth[1:]).ok
