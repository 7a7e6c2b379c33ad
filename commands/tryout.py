"""A customer card, a shop card and two tills, made for a question: what a sale does on cards of this profile, APDU by APDU."""

from collections.abc import Callable
from dataclasses import dataclass

from joren.apdu import AID_CUSTOMER, AID_SHOP, Command, Response, Transmit, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import (
    DEFAULT_PRODUCT,
    Dialog,
    Granted,
    Journal,
    Masters,
    ShopCardHolder,
    Slot,
    SoftwareKeys,
    Till,
    issue_customer,
    issue_shop,
    run,
)
from joren.simulator.chip import MODEL, Chip, Program
from joren.simulator.profile import Profile
from joren.simulator.protocol import Protocol, slot_protocol, tap_protocol
from joren.simulator.reader import Reader
from joren.simulator.work import Work

__all__ = ["SALES", "Exchange", "Tryout"]

CARD_ID = bytes.fromhex("7EA27EA27EA27EA2")
HOUR = 200
PRODUCT = DEFAULT_PRODUCT
ALL = 0xFFFFFFFF

SALES: dict[str, Callable[[Till, str], Dialog[Granted]]] = {
    "purchase": lambda till, name: till.purchase(name, HOUR, 12_345),
    "pay-and-earn": lambda till, name: till.purchase(name, HOUR, 2_500, pay=True),
    "redeem": lambda till, name: till.redeem(name, HOUR, 50),
    "load": lambda till, name: till.load(name, HOUR, 400),
    "pay": lambda till, name: till.pay(name, HOUR, 300),
    "void": lambda till, name: till.void(name, HOUR, BEFORE),
}
"""The sales that can be tried: till and reference to their dialog."""
BEFORE = "before"
"""The purchase that a void takes back."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One APDU to the card in a slot, the answer, and what the chip did for it."""

    slot: Slot
    protocol: Protocol
    command: Command
    response: Response
    work: Work


class Tryout:
    """Cards that have bought, loaded and earned before. `by_card`: the till has the shop card; else software keys."""

    def __init__(self, profile: Profile, *, by_card: bool, protocol: Protocol | None = None, program: Program = MODEL) -> None:
        masters = Masters.create(lambda size: bytes(range(1, size + 1)))
        self.profile = profile
        there = profile.for_development()
        self.chips = {slot: Chip(f"{slot.name.lower()} on trial".encode(), there, program=program) for slot in Slot}
        self.chips[Slot.CUSTOMER].install(CustomerCard, aid(AID_CUSTOMER, PRODUCT.programme))
        self.chips[Slot.SHOP].install(ShopCard, aid(AID_SHOP, PRODUCT.programme))
        self.exchanges: list[Exchange] = []
        self._readers = {
            Slot.CUSTOMER: Reader("customer card", protocol or tap_protocol(profile)),
            Slot.SHOP: Reader("shop card", slot_protocol(profile)),
        }
        for slot, reader in self._readers.items():
            reader.insert(self.chips[slot])
            reader.meter = self._meter(slot)
        run(issue_customer(PRODUCT, masters, CARD_ID), self.links)
        run(issue_shop(PRODUCT, masters, 2, 1, ALL, ALL), self.links)
        self.issuing, self.exchanges = self.exchanges, []
        till, load = (masters.group_master(name, PRODUCT.programme) for name in ("till", "load"))
        software = SoftwareKeys(PRODUCT.programme, 1, 0, till, load)
        self.till = Till(ShopCardHolder(PRODUCT.programme) if by_card else software, Journal(":memory:"))
        self.reset()
        self.sell("load first", till_load)
        self.sell("first", SALES["purchase"])

    @property
    def links(self) -> dict[Slot, Transmit]:
        """The readers, as dialogs want them."""
        return {slot: reader.transmit for slot, reader in self._readers.items()}

    def reset(self) -> None:
        """Both cards as after an insertion; the till begins anew."""
        for reader in self._readers.values():
            reader.reset()
        self.till.holder.close()
        run(self.till.open(), self.links)

    def sell(self, name: str, sale: Callable[[Till, str], Dialog[Granted]]) -> list[Exchange]:
        """The APDUs of one sale, from the insertion of the customer card on."""
        self._readers[Slot.CUSTOMER].reset()
        self.exchanges = []
        run(sale(self.till, name), self.links)
        return self.exchanges

    def try_sale(self, name: str) -> list[Exchange]:
        """The APDUs of the sale of SALES with this name."""
        if name == "void":
            self.sell(BEFORE, SALES["purchase"])
        return self.sell(name, SALES[name])

    def _meter(self, slot: Slot) -> Callable[[Chip, Protocol, Command, Response, Work], None]:
        def meter(_chip: Chip, protocol: Protocol, command: Command, response: Response, work: Work) -> None:
            self.exchanges.append(Exchange(slot, protocol, command, response, work))

        return meter


def till_load(till: Till, name: str) -> Dialog[Granted]:
    """The purse that later sales pay from."""
    return till.load(name, HOUR - 100, 20_000)
