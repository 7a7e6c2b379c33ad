"""Torn taps (REQ-STL-1 to REQ-STL-6): every APDU lost, the till killed at every APDU, twice in a row; in the end all books agree."""

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random

import pytest

from cardkit import Customer
from joren.host import CardLost, CardRefused, Dialog, Fate, Granted, HostError, Till, run
from support import Counter, Crash, Fault, Tear, finish, free_of_pin, read_log

Sale = Callable[[Till], Dialog[Granted]]
SALES: dict[str, Sale] = {
    "purchase": lambda till: till.purchase("S", 200, 12_345, 3),
    "pay and earn": lambda till: till.purchase("S", 200, 2_500, pay=True),
    "redeem": lambda till: till.redeem("S", 200, 150),
    "load": lambda till: till.load("S", 200, 4_000),
    "pay": lambda till: till.pay("S", 200, 700),
    "void of purchase": lambda till: till.void("S", 200, "bought"),
    "void of load": lambda till: till.void("S", 200, "loaded"),
}
LOST = (Fault.LOST_BEFORE, Fault.LOST_AFTER)
CRASH = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
MODES = pytest.mark.parametrize("by_card", [False, True], ids=["software keys", "shop card"])
KINDS = pytest.mark.parametrize("name", SALES)


def prepared(by_card: bool, name: str, path: Path | str = ":memory:") -> tuple[Counter, Customer]:
    """A counter that has served a customer: points, a purse, and the sale to void as the last one."""
    counter, customer = Counter(by_card, path), free_of_pin()
    counter.tap(customer, lambda till: till.load("loaded first", 100, 50_000))
    counter.tap(customer, lambda till: till.purchase("bought first", 101, 100_000))
    if name == "void of purchase":
        counter.tap(customer, lambda till: till.purchase("bought", 102, 7_777))
    if name == "void of load":
        counter.tap(customer, lambda till: till.load("loaded", 102, 300))
    return counter, customer


def apdus(by_card: bool, name: str) -> int:
    """How many APDUs the sale takes undisturbed."""
    counter, customer = prepared(by_card, name)
    counter.tap(customer, SALES[name])
    return len(counter.sent)


def disturb(counter: Counter, customer: Customer, sale: Sale, number: int, fault: Fault | Tear) -> Granted | None:
    """One tap with a fault; None if the fault came to it."""
    try:
        return counter.tap(customer, sale, {number: fault})
    except (CardLost, Crash):
        return None


def check_end(counter: Counter, customer: Customer, name: str, granted: Granted) -> None:
    again = counter.tap(customer, SALES[name])
    assert counter.sent == []
    assert (again.receipt, again.points_balance, again.purse_minor) == (granted.receipt, granted.points_balance, granted.purse_minor)
    run(counter.till.open(), counter.links)
    counter.audit(customer)
    assert sum(row.reference == "S" and row.fate is Fate.COMMITTED for row in counter.journal.rows()) == 1


@MODES
@KINDS
def test_every_apdu_lost_once(by_card: bool, name: str) -> None:
    """REQ-STL-1, REQ-STL-2, REQ-STL-3."""
    for number, fault in product(range(1, apdus(by_card, name) + 1), LOST):
        counter, customer = prepared(by_card, name)
        assert disturb(counter, customer, SALES[name], number, fault) is None
        check_end(counter, customer, name, finish(counter, customer, SALES[name]))


@MODES
@KINDS
def test_the_till_dies_at_every_apdu(by_card: bool, name: str, tmp_path: Path) -> None:
    """REQ-FLW-3, REQ-FLW-4, REQ-STL-4: the journal is a file, and a new till opens it."""
    for number, fault in product(range(1, apdus(by_card, name) + 1), CRASH):
        counter, customer = prepared(by_card, name, tmp_path / f"{number}-{fault.name}")
        assert disturb(counter, customer, SALES[name], number, fault) is None
        check_end(counter, customer, name, finish(counter, customer, SALES[name]))
        counter.journal.close()


@MODES
@KINDS
def test_two_faults_in_a_row_anywhere(by_card: bool, name: str) -> None:
    """REQ-STL-6: the second fault may fall into the settling, the opening, or the sale done anew."""
    first = list(product(range(1, apdus(by_card, name) + 1), (Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.CRASH_AFTER)))
    for (one, fault), second in product(first, (Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.CRASH_BEFORE)):
        two, granted = 0, None
        while granted is None:
            two += 1
            counter, customer = prepared(by_card, name)
            disturb(counter, customer, SALES[name], one, fault)
            granted = disturb(counter, customer, SALES[name], two, second)
            check_end(counter, customer, name, granted or finish(counter, customer, SALES[name]))


@MODES
@KINDS
def test_the_power_goes_at_every_write(by_card: bool, name: str, record_property: Callable[[str, object], None]) -> None:
    """REQ-APDU-8, REQ-STL-2: of either card, at every write of every APDU of the sale; the next taps settle it."""
    tears = 0
    for number in range(1, apdus(by_card, name) + 1):
        write, torn = 0, True
        while torn:
            write += 1
            counter, customer = prepared(by_card, name)
            granted = disturb(counter, customer, SALES[name], number, Tear(write))
            torn = granted is None
            tears += torn
            check_end(counter, customer, name, granted or finish(counter, customer, SALES[name]))
    record_property(f"tears settled, {name} with {'a shop card' if by_card else 'software keys'}", tears)
    assert tears >= 4


@MODES
def test_another_customer_and_another_sale_come_between(by_card: bool) -> None:
    """The torn sale is given up; its customer's next tap settles it all the same, and tells."""
    for number, fault in product(range(1, apdus(by_card, "purchase") + 1), LOST):
        counter, customer = prepared(by_card, "purchase")
        other = free_of_pin(2)
        disturb(counter, customer, SALES["purchase"], number, fault)
        assert counter.tap(other, lambda till: till.purchase("T", 201, 5_000)).settled == ()
        settled = counter.tap(customer, lambda till: till.purchase("U", 202, 1_000)).settled
        assert all(row.fate in (Fate.COMMITTED, Fate.NOT_COMMITTED) for row in settled)
        counter.audit(customer, other)


def any_sale(chance: Random, reference: str, hour: int) -> Sale:
    """A sale of any kind but a void."""
    sales: list[Sale] = [
        lambda till: till.purchase(reference, hour, 40_000),
        lambda till: till.purchase(reference, hour, 300, 2, pay=True),
        lambda till: till.redeem(reference, hour, 20),
        lambda till: till.load(reference, hour, 500),
        lambda till: till.pay(reference, hour, 200),
    ]
    return chance.choice(sales)


def some_faults(chance: Random) -> dict[int, Fault]:
    """None, one or two, at any of the first APDUs."""
    return {chance.randrange(1, 9): chance.choice(list(Fault)) for _ in range(chance.randrange(0, 3))}


def void_of(reference: str, hour: int) -> Sale:
    return lambda till: till.void(f"void of {reference}", hour, reference)


@MODES
@pytest.mark.parametrize("seed", range(6))
def test_a_bad_day(by_card: bool, seed: int) -> None:
    """Many customers, many sales, faults of every kind at any place, sales repeated, given up or voided: the books agree at night."""
    chance = Random(seed)
    counter, customers = Counter(by_card), [free_of_pin(number) for number in range(1, 13)]
    for number in range(100):
        customer, sale = chance.choice(customers), any_sale(chance, str(number), number)
        for _ in range(chance.randrange(1, 4)):
            with suppress(CardLost, CardRefused, Crash):
                counter.tap(customer, sale, some_faults(chance))
                break
        if chance.random() < 0.2:
            with suppress(CardLost, CardRefused, Crash, HostError):
                counter.tap(customer, void_of(str(number), number), some_faults(chance))
    for customer in customers:
        counter.tap(customer, lambda till: till.settle())
        assert len(read_log(customer)) < 24
    counter.audit(*customers)
