"""APDUs explained: every command and answer of both cards, what is wrong or unknown, and no secret in any of it."""

import io
import json
from collections.abc import Callable
from itertools import product
from unittest.mock import ANY

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cardkit import PIN, PUK, Customer, Shop, pin_block
from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, messages
from joren.apdu.explain import COMMANDS, Explained, Field, decoded, explain_command, explain_response, to_json
from joren.apdu.tlv import MalformedTlv, build_dgi, parse_dgis
from joren.applet import customer as customer_card
from joren.applet import shop as shop_card
from joren.simulator.reader import Reader
from joren.simulator.trace import TraceWriter

Said = tuple[Command, Response]
Values = dict[str, object]
SECRET = (Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER)
CHALLENGE = bytes.fromhex("C0C1C2C3C4C5C6C7")
CARD_ID, NONCE, MAC = "A1A2A3A4A5A6A7A8", ANY, ANY


def say(card: Customer | Shop, cla: int, ins: int, p1: int, p2: int, data: bytes = b"", ne: int | None = None) -> Said:
    """A command, and what a card answers to it."""
    command = Command(cla, ins, p1, p2, data, ne)
    return command, card.chip.process(command)


def select(card: Customer | Shop, p2: int) -> Said:
    return say(card, CLA_ISO, Ins.SELECT, 4, p2, card.aid, 256)


def used() -> Customer:
    """A card with a PIN, verified, 50000 in the purse, 1000 points, rank 2, and transactions 0 and 1 in the log."""
    customer = Customer(pin=PIN)
    customer.load(50_000)
    customer.buy(100_000, sequence=0x01000002)
    assert customer.verify(PIN).ok
    return customer


def transact(kind: Kind, key_ref: KeyRef = KeyRef.TILL) -> Said:
    customer = used()
    command = customer.transact_command(kind, customer.plain(40) if kind == Kind.REDEEM else customer.order(1000, 150, 3, 20), key_ref)
    return command, customer.chip.process(command)


def commit() -> Said:
    shop, customer = Shop(), used()
    made = shop.compute(customer, customer.order(1000, 150))
    command = customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)
    return command, customer.chip.process(command)


def prove(counter: int) -> Said:
    asked = bytes.fromhex(f"{counter:04X} 00000007 01000002")
    return say(used(), CLA_JOREN, Ins.PROVE, 0, KeyRef.TILL, asked + CHALLENGE, 63)


def read_pending() -> tuple[Shop, Customer]:
    """A shop card with a purchase computed in slot 0."""
    shop, customer = Shop(), used()
    shop.compute(customer, customer.order(1000, 150))
    return shop, customer


def compute() -> Said:
    shop, customer = Shop(), used()
    command = shop.compute_command(customer, customer.order(1000, 150, 3, 20), Kind.PAY_AND_EARN)
    return command, shop.chip.process(command)


def authorize() -> Said:
    shop, customer = Shop(), used()
    info = customer.info
    data = info.card_id + info.counter.to_bytes(2) + info.nonce + customer.plain(40).encode()[:8]
    return say(shop, CLA_JOREN, Ins.AUTHORIZE, Kind.REDEEM, 0, data, 13)


def ratify(ending: Ending) -> Said:
    """The entry in slot 0, closed by the customer card's word or without it."""
    shop, customer = read_pending()
    entry = shop.send(CLA_ISO, Ins.READ_RECORD, 1, 0x14, ne=32).data
    asked = entry[2:4] + (7).to_bytes(4) + entry[12:16]
    word = b""
    if ending == Ending.NOT_COMMITTED:
        word = customer.send(CLA_JOREN, Ins.PROVE, 0, KeyRef.SHOP, asked + shop.challenge(), 63).data[1:]
    if ending == Ending.COMMITTED:
        shop, customer = Shop(), used()
        made = shop.compute(customer, customer.order(1000, 150))
        answer = customer.chip.process(customer.commit_command(Kind.PURCHASE, made.order, made.points, made.state, made.mac)).data
        word = answer[:16] + answer[24:]
    return say(shop, CLA_JOREN, Ins.RATIFY, ending, 0, word)


def read_closed() -> Said:
    shop, _ = read_pending()
    assert shop.send(CLA_JOREN, Ins.RATIFY, Ending.UNKNOWN, 0).ok
    return say(shop, CLA_ISO, Ins.READ_RECORD, 1, 0x0C, ne=33)


def totals() -> Said:
    shop = Shop()
    shop.purchase(used())
    return say(shop, CLA_ISO, Ins.GET_DATA, 1, 2, ne=44)


def set_status() -> Said:
    customer = Customer()
    info = customer.info
    mac = customer.keys[KeyRef.ADMIN].mac8(messages.admin(customer.head, info.counter, info.nonce, LifeCycle.BLOCKED))
    return say(customer, CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED, mac)


def blocked() -> Said:
    customer = Customer()
    info = customer.info
    mac = customer.keys[KeyRef.ADMIN].mac8(messages.admin(customer.head, info.counter, info.nonce, LifeCycle.BLOCKED))
    assert customer.send(CLA_JOREN, Ins.SET_STATUS, 0x40, LifeCycle.BLOCKED, mac).ok
    return select(customer, 0x0C)


if __name__ == "__main__":
    for name, make in list(globals().items()):
        pass
    MAKE: list[Callable[[], Said]] = [
        lambda: select(used(), 0x0C), lambda: select(Customer(), 0), lambda: select(Shop(), 0x0C), lambda: select(Shop(), 0), blocked,
        lambda: transact(Kind.PURCHASE), lambda: transact(Kind.REDEEM), commit, lambda: prove(1), lambda: prove(2),
        lambda: say(used(), 0x80, Ins.GET_STATE, 0, 0, ne=40),
        lambda: say(used(), 0x80, Ins.GET_RESULT, 0, 0, b"\x00\x96", 3),
        lambda: say(used(), 0x80, Ins.GET_RESULT, 1, 0, b"\x00\x96", 31),
        lambda: say(used(), 0, Ins.READ_RECORD, 1, 0xc, ne=44),
        *[lambda p2=p2, n=n: say(used(), 0, Ins.GET_DATA, 1, p2, ne=n) for p2, n in ((1, 98), (3, 2), (4, 10))],
        lambda: say(used(), 0, Ins.VERIFY, 0, 0x81),
        lambda: say(used(), 0, Ins.VERIFY, 0, 0x81, pin_block(b"0000")),
        lambda: say(used(), 0, Ins.CHANGE_REFERENCE_DATA, 0, 0x81, pin_block(PIN) * 2),
        lambda: say(used(), 0, Ins.RESET_RETRY_COUNTER, 0, 0x81, PUK + pin_block(PIN)),
        lambda: say(Customer(issue=False), 0x80, Ins.STORE_DATA, 8, 0, Customer().blocks()[0]),
        lambda: say(Customer(issue=False), 0x80, Ins.STORE_DATA, 8, 0, Customer(pin=PIN).blocks()[1]),
        set_status, compute, authorize, *[lambda e=e: ratify(e) for e in Ending],
        lambda: say(Shop(), 0, 0x84, 0, 0, ne=8), lambda: say(read_pending()[0], 0, 0xb2, 1, 0x14, ne=32), read_closed, totals,
    ]
    for m in MAKE:
        c, r = m()
        print(json.dumps(decoded(c, r), indent=1))
