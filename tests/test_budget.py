"""The budgets: how many APDUs and bytes a sale takes, and what it writes. The figures stand here to be reviewed when they change."""

import io
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from cardkit import MASTERS, PROGRAMME, Customer, Shop
from joren.apdu import Command, Ins, Transmit
from joren.host import Dialog, Granted, Journal, ShopCardHolder, Slot, SoftwareKeys, Till, run
from joren.simulator.chip import Chip
from joren.simulator.memory import Statistics
from joren.simulator.reader import Reader
from joren.simulator.trace import Line, TraceWriter, read_trace

APDU_BYTES_MAX, WRITTEN_MAX = 350, 256
CUSTOMER, SHOP = "customer", "shop"


class Desk:
    """A till, two readers with a trace, and a card whose log has gone round once."""

    def __init__(self, by_card: bool) -> None:
        self.customer, self.shop, self.trace = Customer(), Shop(), io.StringIO()
        self.customer.load(50_000)
        for _ in range(30):
            self.customer.buy(10_000)
        readers = {Slot.CUSTOMER: Reader(CUSTOMER), Slot.SHOP: Reader(SHOP)}
        readers[Slot.CUSTOMER].insert(self.customer.chip)
        readers[Slot.SHOP].insert(self.shop.chip)
        self.links: dict[Slot, Transmit] = {slot: reader.transmit for slot, reader in readers.items()}
        keys = SoftwareKeys(PROGRAMME, 7, 1, MASTERS["till"], MASTERS["load"])
        self.till = Till(ShopCardHolder(PROGRAMME) if by_card else keys, Journal(":memory:"))
        run(self.till.open(), self.links)
        writer = TraceWriter(self.trace)
        for reader in readers.values():
            writer.attach(reader)

    def take(self, name: str, reference: str = "S", sold: str = "before") -> Dialog[Granted]:
        till, hour = self.till, 200
        return {
            "purchase": lambda: till.purchase(reference, hour, 12_345, 3),
            "pay and earn": lambda: till.purchase(reference, hour, 2_500, pay=True),
            "redeem": lambda: till.redeem(reference, hour, 150),
            "load": lambda: till.load(reference, hour, 400),
            "pay": lambda: till.pay(reference, hour, 700),
            "void": lambda: till.void(reference, hour, sold),
        }[name]()

    def cost(self, name: str) -> "Cost":
        """What one sale takes, the till being open."""
        if name == "void":
            run(self.take("purchase", "before"), self.links)
        self.trace.truncate(0)
        self.trace.seek(0)
        TraceWriter(self.trace)
        before = [replace(chip.memory.statistics) for chip in (self.customer.chip, self.shop.chip)]
        run(self.take(name), self.links)
        lines = list(read_trace(self.trace.getvalue().splitlines()))
        sent = Counter(line.reader for line in lines)
        written = [written_since(chip, old) for chip, old in zip((self.customer.chip, self.shop.chip), before, strict=True)]
        return Cost(sent[CUSTOMER], sent[SHOP], sum(size(line) for line in lines), written[0], written[1], names(lines))


@dataclass(frozen=True)
class Cost:
    """APDUs on each card, bytes of all commands and responses, (transactions, bytes) written on each card, and the commands."""

    customer_apdus: int
    shop_apdus: int
    apdu_bytes: int
    customer_written: tuple[int, int]
    shop_written: tuple[int, int]
    commands: str


def written_since(chip: Chip, before: Statistics) -> tuple[int, int]:
    now = chip.memory.statistics
    return now.transactions - before.transactions, now.bytes_written - before.bytes_written


def size(line: Line) -> int:
    return len(bytes.fromhex(line.command)) + len(bytes.fromhex(line.response))


def names(lines: list[Line]) -> str:
    """The commands of a trace, in order."""
    return ", ".join(Ins(Command.decode(bytes.fromhex(line.command)).ins).name for line in lines)


NOTHING = (0, 0)
BY_KEYS, BY_CARD = "SELECT, TRANSACT", "SELECT, AUTHORIZE, TRANSACT, RATIFY"
REVIEWED = [
    (False, "purchase", Cost(2, 0, 106, (1, 84), NOTHING, BY_KEYS)),
    (False, "pay and earn", Cost(2, 0, 106, (1, 84), NOTHING, BY_KEYS)),
    (False, "redeem", Cost(2, 0, 106, (1, 84), NOTHING, BY_KEYS)),
    (False, "load", Cost(2, 0, 106, (1, 84), NOTHING, BY_KEYS)),
    (False, "pay", Cost(2, 0, 106, (1, 84), NOTHING, BY_KEYS)),
    (False, "void", Cost(2, 0, 106, (1, 84), NOTHING, BY_KEYS)),
    (True, "purchase", Cost(3, 2, 340, (1, 84), NOTHING, "SELECT, GET_STATE, COMPUTE, COMMIT, RATIFY")),
    (True, "pay and earn", Cost(3, 2, 340, (1, 84), NOTHING, "SELECT, GET_STATE, COMPUTE, COMMIT, RATIFY")),
    (True, "redeem", Cost(2, 2, 0, (1, 84), NOTHING, BY_CARD)),
    (True, "load", Cost(2, 2, 0, (1, 84), NOTHING, BY_CARD)),
    (True, "pay", Cost(2, 2, 0, (1, 84), NOTHING, BY_CARD)),
    (True, "void", Cost(2, 2, 0, (1, 84), NOTHING, BY_CARD)),
]
EACH = pytest.mark.parametrize(("by_card", "name", "cost"), REVIEWED, ids=[f"{row[1]}, {2 if row[0] else 1} cards" for row in REVIEWED])


@EACH
def test_what_a_sale_costs(by_card: bool, name: str, cost: Cost) -> None:
    """REQ-TRX-7, REQ-CMP-3, REQ-RAT-5: exactly so many, on a card whose log is full."""
    assert Desk(by_card).cost(name) == cost


@EACH
def test_the_budget_is_kept(by_card: bool, name: str, cost: Cost) -> None:
    """REQ-FLW-1, REQ-FLW-2: of the reviewed figures themselves."""
    assert cost.customer_apdus <= (3 if by_card else 2)
    assert cost.shop_apdus <= (2 if by_card else 0)
    assert cost.apdu_bytes <= APDU_BYTES_MAX
    transactions, written = cost.customer_written
    assert transactions == 1
    assert written <= WRITTEN_MAX
