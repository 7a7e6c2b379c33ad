"""What the till refuses, what the cards refuse, and what broken cards answer: no byte changes, the message helps, the till goes on."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cardkit import LIMITS, MASTERS, NEVER, PIN, PROGRAMME, PUK, Customer, Shop
from joren.apdu import AID_CUSTOMER, CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, LifeCycle, Response, aid, describe, messages
from joren.apdu.state import DEFAULT_RULES
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import (
    CardFault,
    CardLost,
    CardRefused,
    Dialog,
    DialogError,
    Fate,
    Granted,
    HostError,
    JournalError,
    ShopCardHolder,
    Slot,
    SoftwareKeys,
    Till,
    run,
    shop_card_id,
)
from joren.simulator.chip import Chip
from support import MONEY_LEFT, POINTS_LEFT, SHOP, TERMINAL, Counter, Fault, free_of_pin, scripted

Sale = Callable[[Till], Dialog[Granted]]
AnyDialog = Callable[[Till], Dialog[object]]
E = TypeVar("E", bound=DialogError)
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])


def buys(reference: str, hour: int = 200, amount: int = 1_000, category: int = 0, factor: int = 10) -> Sale:
    """A purchase."""
    return lambda till: till.purchase(reference, hour, amount, category, factor)


def voids(sale: str, reference: str = "V") -> Sale:
    return lambda till: till.void(reference, 300, sale)


def served(by_card: bool, customer: Customer, shop: Shop | None = None) -> Counter:
    """A counter that has loaded 5,000 on a card and sold for 10,000, "bought first"."""
    counter = Counter(by_card, shop=shop or Shop(SHOP, TERMINAL, POINTS_LEFT, MONEY_LEFT))
    counter.tap(customer, lambda till: till.load("loaded first", 100, 5_000))
    counter.tap(customer, buys("bought first", 101, 10_000))
    return counter


def refused(counter: Counter, customer: Customer, dialog: AnyDialog, kind: type[E], *, shop_too: bool = True) -> E:
    """The error with which a dialog ends: no byte of either card has changed, nothing is left open, and the next sale is served."""
    before, shop_before = customer.chip.snapshot(), counter.shop.chip.snapshot()
    rows = len(counter.journal.unsettled())
    with pytest.raises(kind) as caught:
        counter.tap(customer, dialog)
    assert customer.chip.snapshot() == before
    assert not shop_too or counter.shop.chip.snapshot() == shop_before
    assert len(counter.journal.unsettled()) == rows
    assert counter.tap(free_of_pin(9), buys(f"next {counter.asked} {rows}")).points == 10
    return caught.value


# Arguments that can not be: the dialog, and what the message says.
ARGUMENTS: dict[str, tuple[Callable[[Till], object], str]] = {
    "hour below": (lambda till: till.purchase("S", -1, 100), "hour: a whole number in 0..65535 expected, -1 came"),
    "hour above": (lambda till: till.redeem("S", 65_536, 100), "hour: a whole number in 0..65535 expected, 65536 came"),
    "hour of load": (lambda till: till.load("S", -1, 100), "hour: .* -1 came"),
    "hour of pay": (lambda till: till.pay("S", 65_536, 100), "hour: .* 65536 came"),
    "hour of void": (lambda till: till.void("S", -1, "bought first"), "hour: .* -1 came"),
    "hour of result": (lambda till: till.result(65_536), "hour: .* 65536 came"),
    "hour no number": (lambda till: till.purchase("S", "9", 100), "hour: .* '9' came"),  # type: ignore[arg-type]
    "hour no whole number": (lambda till: till.result(1.5), r"hour: .* 1\.5 came"),  # type: ignore[arg-type]
    "hour a truth": (lambda till: till.result(True), "hour: .* True came"),
    "amount below": (lambda till: till.purchase("S", 1, -1), "amount: a whole number in 0..4294967295 expected, -1 came"),
    "amount above": (lambda till: till.purchase("S", 1, 1 << 32), "amount: .* 4294967296 came"),
    "pay and earn nothing": (lambda till: till.purchase("S", 1, 0, pay=True), "amount: a whole number in 1..4294967295 expected, 0 came"),
    "redeem nothing": (lambda till: till.redeem("S", 1, 0), "amount: a whole number in 1.. .*0 came".replace(".. ", ".*")),
    "redeem above": (lambda till: till.redeem("S", 1, 1 << 32), "amount: .* 4294967296 came"),
    "load nothing": (lambda till: till.load("S", 1, 0), "amount: .* 0 came"),
    "pay nothing": (lambda till: till.pay("S", 1, 0), "amount: .* 0 came"),
    "category below": (lambda till: till.purchase("S", 1, 1, -1), "category: a whole number in 0..15 expected, -1 came"),
    "category above": (lambda till: till.purchase("S", 1, 1, 16), "category: .* 16 came"),
    "factor zero": (lambda till: till.purchase("S", 1, 1, 0, 0), "factor_tenths: a whole number in 1..255 expected, 0 came"),
    "factor above": (lambda till: till.purchase("S", 1, 1, 0, 256), "factor_tenths: .* 256 came"),
    "factor of pay": (lambda till: till.purchase("S", 1, 1, 0, 256, pay=True), "factor_tenths: .* 256 came"),
    "reference empty": (lambda till: till.purchase("", 1, 1), "reference: 1 to 64 characters expected, '' came"),
    "reference long": (lambda till: till.load("R" * 65, 1, 1), "reference: 1 to 64 characters expected, 'RRR"),
    "reference no text": (lambda till: till.pay(7, 1, 1), "reference: 1 to 64 characters expected, 7 came"),  # type: ignore[arg-type]
    "reference of void": (lambda till: till.void("", 1, "bought first"), "reference: .* '' came"),
    "void of nothing": (lambda till: till.void("V", 1, "none"), "sale none: .*journal has no such sale .*; void it where it was made"),
    "pin short": (lambda till: till.redeem("S", 1, 1, pin="739"), "PIN: 4 to 8 digits expected, something else came"),
    "pin long": (lambda till: till.pay("S", 1, 1, pin="739739739"), "PIN: "),
    "pin of letters": (lambda till: till.purchase("S", 1, 1, pay=True, pin="739a"), "PIN: "),
    "pin empty": (lambda till: till.redeem("S", 1, 1, pin=b""), "PIN: "),
    "pin padded": (lambda till: till.pay("S", 1, 1, pin=b"7397\xff\xff\xff\xff"), "PIN: "),
    "pin of wide digits": (lambda till: till.result(1, detailed=True, pin="\uff17\uff13"), "PIN: "),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_out_of_range_are_refused_at_once(name: str) -> None:
    """When the dialog is asked for, and before it is driven: nothing can have been sent. The PIN is in no message."""
    counter = served(by_card=False, customer=free_of_pin())
    make, words = ARGUMENTS[name]
    with pytest.raises(HostError, match=words) as caught:
        make(counter.till)
    assert "739" not in str(caught.value)
    assert len(list(counter.journal.rows())) == 2


@pytest.mark.parametrize(
    ("name", "value"), [("programme", -1), ("programme", 0x10000), ("shop", 1 << 32), ("terminal", 256), ("terminal", -1)]
)
def test_software_keys_of_an_acceptor_that_can_not_be(name: str, value: int) -> None:
    given: dict[str, Any] = {"programme": 1, "shop": 7, "terminal": 1, name: value}
    with pytest.raises(HostError, match=rf"{name}: 0\.\.\d+ expected, {value} came"):
        SoftwareKeys(**given, till_master=MASTERS["till"])


PIN_ALWAYS = replace(LIMITS, redeem_pin_from=0, pay_pin_from_minor=0)
PAYS: dict[str, Sale] = {
    "redeem": lambda till: till.redeem("S", 200, 10),
    "pay": lambda till: till.pay("S", 200, 10),
    "pay and earn": lambda till: till.purchase("S", 200, 10, pay=True),
}


@dataclass(frozen=True)
class Case:
    """A sale that a card refuses: by which status word, and words of what to do next."""

    sale: Sale
    sw: int
    advice: str
    limits: Any = LIMITS
    pin: bytes | None = None


# Refused by whichever card computes, so the shop card has authorized nothing.
NOT_COMPUTED = {
    "category": Case(buys("S", category=8), SW.CATEGORY_UNKNOWN, "use a category of the programme"),
    "factor": Case(buys("S", factor=31), SW.FACTOR_ABOVE_LIMIT, "use a factor within the limit"),
    "time": Case(buys("S", hour=101 + 17_521), SW.TIME_JUMP, "set the till's clock"),
}
# Refused by the customer card after a shop card has authorized.
NOT_TAKEN = {
    "points": Case(lambda till: till.redeem("S", 200, 101), SW.BALANCE_TOO_SMALL, "offer a smaller amount"),
    "purse": Case(lambda till: till.pay("S", 200, 5_001), SW.BALANCE_TOO_SMALL, "offer a smaller amount"),
    "pay and earn": Case(lambda till: till.purchase("S", 200, 5_001, pay=True), SW.BALANCE_TOO_SMALL, "offer a smaller amount"),
    "purse full": Case(lambda till: till.load("S", 200, 95_001), SW.BALANCE_TOO_LARGE, "load less"),
    "time of redeem": Case(lambda till: till.redeem("S", 101 + 17_521, 1), SW.TIME_JUMP, "set the till's clock"),
    **{
        f"PIN of {name}": Case(sale, SW.SECURITY_STATUS_NOT_SATISFIED, "VERIFY the PIN", PIN_ALWAYS, PIN)
        for name, sale in PAYS.items()
    },
    **{
        f"no PIN for {name}": Case(sale, SW.SECURITY_STATUS_NOT_SATISFIED, "VERIFY the PIN", PIN_ALWAYS)
        for name, sale in PAYS.items()
    },
}


def check_message(error: CardRefused, card: str, command: str, sw: int, advice: str) -> None:
    """Which card refused, which command, the status word by number and name, what it means and what to do next."""
    status = describe(sw)
    assert (error.card, error.command, error.sw) == (card, command, sw)
    assert str(error).startswith(f"{card} refused {command}: {sw:04X} {status.name}: {status.meaning}; ")
    assert advice in str(error)


@pytest.mark.parametrize("name", [*NOT_COMPUTED, *NOT_TAKEN])
def test_what_the_customer_card_refuses_by_software_keys(name: str) -> None:
    """REQ-STL-2: PROVE says that it did not happen, and the reference is free again."""
    case = (NOT_COMPUTED | NOT_TAKEN)[name]
    customer = Customer(limits=case.limits, pin=case.pin)
    counter = served(by_card=False, customer=customer)
    error = refused(counter, customer, case.sale, CardRefused)
    check_message(error, "customer card", "TRANSACT", case.sw, case.advice)
    assert counter.journal.find("S") is None
    assert counter.tap(customer, buys("S")).recovered is False
    counter.audit(customer, *[free_of_pin(9)][:0])


@pytest.mark.parametrize("name", NOT_COMPUTED)
def test_what_the_shop_card_refuses(name: str) -> None:
    case, customer = NOT_COMPUTED[name], free_of_pin()
    counter = served(by_card=True, customer=customer)
    rows = list(counter.journal.rows())
    check_message(refused(counter, customer, case.sale, CardRefused), "shop card", "COMPUTE", case.sw, case.advice)
    assert list(counter.journal.rows())[:-1] == rows
