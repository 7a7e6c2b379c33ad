"""A counter for torn sales: two simulated cards in readers, a journal, a till, and a power that can be cut.

How it works. A `Stage` is where a sale begins: both cards with a few sales behind them, and the journal's rows of those. From it any number
of counters can be set up, each with forks of the cards and a journal of its own. A tap may have one `Cut`: at an APDU, counted over both
cards (with T=0 each part of an answer counts), the power of its card goes in place of the n-th write; or, where there are not so many,
after the last, before the answer arrives.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from joren.apdu import AID_CUSTOMER, AID_SHOP, Command, Response, Transmit, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard
from joren.host import (
    DEFAULT_PRODUCT,
    Dialog,
    Journal,
    KeyHolder,
    Masters,
    Row,
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
from joren.simulator.reader import Loss, Losses, Reader, When
from joren.simulator.tear import AFTER, place_of

__all__ = ["MONEY", "POINTS", "PROGRAMME", "SHOP", "Counter", "Cut", "Stage", "set_stage"]

T = TypeVar("T")
CARD_ID = bytes.fromhex("5E771E5E771E5E77")
NEVER = 0xFFFFFFFF
SHOP, TERMINAL = 3, 1
POINTS, MONEY = 1_000_000, 1_000_000
PRODUCT = replace(DEFAULT_PRODUCT, limits=replace(DEFAULT_PRODUCT.limits, redeem_pin_from=NEVER, pay_pin_from_minor=NEVER))
PROGRAMME = PRODUCT.programme


@dataclass(frozen=True, slots=True)
class Cut:
    """At the `apdu`-th APDU (from 1), in place of the `write`-th write of its command (from 1), or after the last."""

    apdu: int
    write: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a sale begins. The chips are powered off, and are forked, not used."""

    by_card: bool
    masters: Masters
    customer: Chip
    shop: Chip
    rows: tuple[Row, ...] = ()

    def on(self, profile: Profile) -> "Stage":
        """The same on chips of a profile. Raises DoesNotFit."""
        there = replace(self, customer=self.customer.on(profile), shop=self.shop.on(profile))
        for chip in (there.customer, there.shop):
            chip.memory.wear = None
        return there

    def holder(self) -> KeyHolder:
        """The till's keys, not opened."""
        if self.by_card:
            return ShopCardHolder(PROGRAMME)
        till, load = (self.masters.group_master(name, PROGRAMME) for name in ("till", "load"))
        return SoftwareKeys(PROGRAMME, SHOP, TERMINAL, till, load)


class Counter:
    """One till and its two cards. `torn` says where the last tap was cut: a region, "commit" or AFTER; None if the cut did not come.
    `problem` is for whoever drives it: what went wrong in a tap, and was no lost card."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.customer, self.shop = stage.customer.fork(), stage.shop.fork()
        self.readers = {slot: Reader(slot.value) for slot in Slot}
        self.readers[Slot.SHOP].insert(self.shop)
        self.journal = Journal(":memory:")
        for row in stage.rows:
            self.journal.add(row)
        self.till = Till(stage.holder(), self.journal)
        self.asked = 0
        self.cut: Cut | None = None
        self.torn: str | None = None
        self.problem: Exception | None = None
        self.links: Mapping[Slot, Transmit] = {slot: partial(self._transmit, slot) for slot in Slot}

    def restart(self) -> None:
        """The till loses its power, and the card in it too: a new till on the same journal."""
        self.readers[Slot.SHOP].reset()
        self.till = Till(self.stage.holder(), self.journal)

    def tap(self, sale: Callable[[Till], Dialog[T]], cut: Cut | None = None) -> T:
        """The customer's card is put in, a dialog is driven, the card is taken out. A shop card without power gets it before."""
        self.asked, self.cut, self.torn = 0, cut, None
        if not self.readers[Slot.SHOP].powered:
            self.readers[Slot.SHOP].reset()
        self.readers[Slot.CUSTOMER].insert(self.customer)
        try:
            return run(sale(self.till), self.links)
        finally:
            self.readers[Slot.CUSTOMER].remove()

    def close(self) -> None:
        """Frees the journal."""
        self.journal.close()

    def _transmit(self, slot: Slot, command: Command) -> Response:
        self.asked += 1
        reader, chip = self.readers[slot], self.shop if slot is Slot.SHOP else self.customer
        if self.cut is None or self.asked != self.cut.apdu:
            return reader.transmit(command)
        reader.losses = Losses((Loss(1, When.AFTER),))
        chip.memory.cut = None
        chip.memory.cut_after(self.cut.write)
        try:
            return reader.transmit(command)
        finally:
            reader.losses = None
            self.torn = AFTER if chip.memory.cut is None else place_of(chip)
            chip.memory.cut_after(0)


def set_stage(by_card: bool, before: Iterable[Callable[[Till], Dialog[object]]], program: Program = MODEL) -> Stage:
    """Issues a card of either kind, which run that program, and makes some sales."""
    masters = Masters.create(lambda size: bytes(range(size, 2 * size)))
    customer, shop = Chip(b"settled customer", program=program), Chip(b"settled shop", program=program)
    customer.install(CustomerCard, aid(AID_CUSTOMER, PROGRAMME))
    shop.install(ShopCard, aid(AID_SHOP, PROGRAMME))
    for chip in (customer, shop):
        chip.memory.wear = None
        chip.power_on()
    links = {Slot.CUSTOMER: customer.process, Slot.SHOP: shop.process}
    run(issue_customer(PRODUCT, masters, CARD_ID), links)
    run(issue_shop(PRODUCT, masters, SHOP, TERMINAL, POINTS, MONEY), links)
    counter = Counter(Stage(by_card, masters, customer, shop))
    for sale in before:
        counter.tap(sale)
    counter.readers[Slot.SHOP].remove()
    return Stage(by_card, masters, counter.customer, counter.shop, tuple(counter.journal.rows()))
