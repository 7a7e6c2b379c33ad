"""The Java Card applets beside the model, in one run: `./run bench javacard`.

Purchases at both kinds of till, all in this process but for the Java virtual machine: APDUs a second with everything that a till does, and
of the cards alone, where the same GET DATA is asked again and again. A figure is the best of several rounds, of which each runs both
programs once.
"""

import json
import sys
from collections.abc import Callable
from time import perf_counter

from rich.console import Console
from rich.table import Table

from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, Command, Ins, Response, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.commands.applet_build import build_classes
from joren.host import DEFAULT_PRODUCT, Journal, Masters, ShopCardHolder, Slot, SoftwareKeys, Till, issue_customer, issue_shop, run
from joren.simulator.chip import Chip, Program
from joren.simulator.java_roles import PROGRAMS

__all__ = ["main"]

ROUNDS, PURCHASES, READS = 5, 300, 4_000
CARD_ID = bytes(range(1, 9))
PROGRAMME = DEFAULT_PRODUCT.programme


class Counter:
    """A till and its cards; counts the APDUs of both."""

    def __init__(self, program: Program, *, by_card: bool) -> None:
        masters = Masters.create()
        self.apdus = self.sold = 0
        self.customer, self.shop = Chip(b"customer", program=program), Chip(b"shop", program=program)
        self.customer.install(CustomerCard, aid(AID_CUSTOMER, PROGRAMME))
        self.shop.install(ShopCard, aid(AID_SHOP, PROGRAMME))
        self.links = {Slot.CUSTOMER: self._counted(self.customer), Slot.SHOP: self._counted(self.shop)}
        for chip in (self.customer, self.shop):
            chip.power_on()
        run(issue_customer(DEFAULT_PRODUCT, masters, CARD_ID), self.links)
        run(issue_shop(DEFAULT_PRODUCT, masters, 2, 1, 0xFFFFFFFF, 0), self.links)
        software = SoftwareKeys(PROGRAMME, 1, 0, masters.group_master("till", PROGRAMME))
        self.till = Till(ShopCardHolder(PROGRAMME) if by_card else software, Journal(":memory:"))
        run(self.till.open(), self.links)

    def _counted(self, chip: Chip) -> Callable[[Command], Response]:
        def transmit(command: Command) -> Response:
            self.apdus += 1
            return chip.process(command)

        return transmit

    def purchases(self) -> float:
        """APDUs a second over some taps, each with the card powered anew."""
        self.apdus, begun = 0, perf_counter()
        for _ in range(PURCHASES):
            self.customer.power_off()
            self.customer.power_on()
            self.sold += 1
            run(self.till.purchase(str(self.sold), self.sold, 1_250), self.links)
        return self.apdus / (perf_counter() - begun)

    def reads(self) -> float:
        """APDUs a second of one that only reads."""
        command, begun = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=256), perf_counter()
        for _ in range(READS):
            self.customer.process(command)
        return READS / (perf_counter() - begun)


def main() -> int:
    """Prints a table, or with `--json` one object."""
    build_classes()
    kinds = {"one-card purchase": False, "two-card purchase": True}
    counters = {(kind, name): Counter(program, by_card=by_card) for kind, by_card in kinds.items() for name, program in PROGRAMS.items()}
    best: dict[tuple[str, str], float] = {}
    for _ in range(ROUNDS):
        for (kind, name), counter in counters.items():
            best[kind, name] = max(best.get((kind, name), 0), counter.purchases())
        for name in PROGRAMS:
            best["GET DATA", name] = max(best.get(("GET DATA", name), 0), counters["one-card purchase", name].reads())
    if "--json" in sys.argv[1:]:
        print(json.dumps({f"{kind}, {name}": round(rate) for (kind, name), rate in best.items()}))
        return 0
    table = Table("APDUs a second", *PROGRAMS, "javacard / model")
    for kind in (*kinds, "GET DATA"):
        rates = [best[kind, name] for name in PROGRAMS]
        table.add_row(kind, *(f"{rate:,.0f}" for rate in rates), f"{rates[1] / rates[0]:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
