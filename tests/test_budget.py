"""The budgets: how many APDUs and bytes a sale takes, and what it writes. The figures stand here to be reviewed when they change."""

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from cardkit import MASTERS, PROGRAMME, Customer, Shop
from joren.apdu import Command, Ins, Response, Transmit
from joren.apdu.trace import Line, TraceWriter, read_trace
from joren.host import Dialog, Granted, Journal, ShopCardHolder, Slot, SoftwareKeys, Till, run
from joren.simulator.reader import Reader

CUSTOMER, SHOP = "customer", "shop"
HOUR = 200
SALES: dict[str, Callable[[Till], Dialog[Granted]]] = {
    "purchase": lambda till: till.purchase("S", HOUR, 12_345, 3),
    "pay and earn": lambda till: till.purchase("S", HOUR, 2_500, pay=True),
    "redeem": lambda till: till.redeem("S", HOUR, 150),
    "load": lambda till: till.load("S", HOUR, 400),
    "pay": lambda till: till.pay("S", HOUR, 700),
    "void of purchase": lambda till: till.void("S", HOUR, "purchase"),
    "void of load": lambda till: till.void("S", HOUR, "load"),
}


@dataclass(frozen=True)
class Cost:
    """APDUs to each card, bytes of all commands and responses, and the commands, each with the bytes it wrote if it wrote any."""

    customer_apdus: int
    shop_apdus: int
    apdu_bytes: int
    commands: str


class Desk:
    """A till that has been opened, two readers, and a customer card whose log has gone round once."""

    def __init__(self, by_card: bool) -> None:
        customer, shop = Customer(), Shop()
        customer.load(50_000)
        for _ in range(30):
            customer.buy(10_000)
        self.readers = {Slot.CUSTOMER: Reader(CUSTOMER), Slot.SHOP: Reader(SHOP)}
        self.readers[Slot.CUSTOMER].insert(customer.chip)
        self.readers[Slot.SHOP].insert(shop.chip)
        self.links: dict[Slot, Transmit] = {slot: self.counting(reader) for slot, reader in self.readers.items()}
        self.written: list[int] = []
        keys = SoftwareKeys(PROGRAMME, 7, 1, MASTERS["till"], MASTERS["load"])
        self.till = Till(ShopCardHolder(PROGRAMME) if by_card else keys, Journal(":memory:"))
        run(self.till.open(), self.links)

    def counting(self, reader: Reader) -> Transmit:
        """The reader, and what each command wrote: nothing, or all of it in one transaction (REQ-APDU-8)."""

        def transmit(command: Command) -> Response:
            assert reader.chip is not None
            now = reader.chip.memory.statistics
            before = replace(now)
            response = reader.transmit(command)
            written = now.bytes_written - before.bytes_written
            assert now.transactions - before.transactions == (1 if written else 0)
            assert written in (0, now.last_transaction_bytes)
            self.written.append(written)
            return response

        return transmit

    def cost(self, name: str) -> Cost:
        """What one sale takes, after the one that it voids."""
        voided = name.removeprefix("void of ")
        if voided != name:
            run(self.till.load(voided, HOUR, 400) if voided == "load" else self.till.purchase(voided, HOUR, 12_345, 3), self.links)
        self.written, trace = [], io.StringIO()
        writer = TraceWriter(trace)
        for reader in self.readers.values():
            writer.attach(reader)
        run(SALES[name](self.till), self.links)
        lines = list(read_trace(trace.getvalue().splitlines()))
        sent = Counter(line.reader for line in lines)
        told = [f"{ins_name(line)} {written}".removesuffix(" 0") for line, written in zip(lines, self.written, strict=True)]
        return Cost(sent[CUSTOMER], sent[SHOP], sum(size(line) for line in lines), ", ".join(told))


def size(line: Line) -> int:
    return len(bytes.fromhex(line.command)) + len(bytes.fromhex(line.response))


def ins_name(line: Line) -> str:
    return Ins(Command.decode(bytes.fromhex(line.command)).ins).name


BY_KEYS = Cost(2, 0, 107, "SELECT, TRANSACT 84")
COMPUTED = Cost(3, 2, 341, "SELECT, GET_STATE, COMPUTE 94, COMMIT 84, RATIFY 96")
AUTHORIZED = Cost(2, 2, 185, "SELECT, AUTHORIZE 94, TRANSACT 84, RATIFY 96")
GIVEN_BACK = Cost(2, 2, 185, "SELECT, AUTHORIZE 94, TRANSACT 84, RATIFY 97")
REVIEWED: list[tuple[bool, str, Cost]] = [
    *[(False, name, BY_KEYS) for name in SALES],
    (True, "purchase", COMPUTED),
    (True, "pay and earn", COMPUTED),
    (True, "redeem", AUTHORIZED),
    (True, "load", AUTHORIZED),
    (True, "pay", AUTHORIZED),
    (True, "void of purchase", GIVEN_BACK),
    (True, "void of load", GIVEN_BACK),
]
EACH = pytest.mark.parametrize(("by_card", "name", "cost"), REVIEWED, ids=[f"{row[1]}, {2 if row[0] else 1} cards" for row in REVIEWED])


@EACH
def test_what_a_sale_costs(by_card: bool, name: str, cost: Cost) -> None:
    """REQ-TRX-7, REQ-CMP-3, REQ-RAT-5: exactly so much, each card's part in one transaction a command."""
    assert Desk(by_card).cost(name) == cost


@EACH
def test_the_reviewed_figures_keep_the_budget(by_card: bool, name: str, cost: Cost) -> None:
    """REQ-FLW-1, REQ-FLW-2."""
    assert cost.customer_apdus <= (3 if name in ("purchase", "pay and earn") and by_card else 2)
    assert cost.shop_apdus <= (2 if by_card else 0)
    assert cost.apdu_bytes <= 350
    assert max(int(word) for word in cost.commands.replace(",", "").split() if word.isdigit()) <= 256
