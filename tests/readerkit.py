"""A counter whose cards are in readers of PC/SC: the customers' in one, the shop's in another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from threading import Event
from typing import Protocol, TypeVar

from cardkit import Customer
from joren.apdu import LinkLost
from joren.host import CardLost, Dialog, Granted, Slot, Till, run
from joren.host.pcsc import PcscCard
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut
from joren.simulator.vpcd import ChipInSlot, News, Plug, SlotCard, VpcdSlot
from support import Counter

__all__ = ["Box", "PulledCard", "ReaderCounter", "VpcdBox", "pulls"]

T = TypeVar("T")


class PulledCard(ChipInSlot):
    """A card that is pulled on order: `pull` is the number of a command from now, and when its power goes, as `pulls` draws it."""

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.pull: tuple[int, str] | None = None
        self.torn = False
        """Whether it was pulled since it was put in."""

    def exchange(self, apdu: bytes) -> bytes:
        if self.pull is None:
            return super().exchange(apdu)
        number, when = self.pull
        self.pull = (number - 1, when) if number > 1 else None
        if number > 1:
            return super().exchange(apdu)
        self.torn = True
        if when == "before":
            raise PowerCut
        if when.startswith("write"):
            self.chip.memory.cut_after(int(when.split()[1]))
        try:
            super().exchange(apdu)
        finally:
            self.chip.memory.cut_after(0)
        raise PowerCut


def pulls(chance: Random, most: int) -> tuple[int, str]:
    """At which command of a tap, and before it, after it, or at one of its writes."""
    when = chance.choice(["before", "after", "write"])
    return chance.randint(1, most), f"write {chance.randint(1, 6)}" if when == "write" else when


class VpcdBox:
    """A slot of vpcd. A card in place of another is swapped for the next reset; one that was pulled is truly put in again."""

    def __init__(self, plug: Plug) -> None:
        self.slot = VpcdSlot(ChipInSlot(Chip(b"none")), plug, self._hear)
        self._out = Event()

    def _hear(self, news: News) -> None:
        if news is not News.INSERTED:
            self._out.set()

    def put(self, card: SlotCard) -> None:
        """As Box."""
        now = self.slot.card
        if isinstance(now, PulledCard) and now.torn:
            assert self._out.wait(10)
            now.torn = False
        self._out.clear()
        if self.slot.wanted:
            self.slot.card = card
        else:
            self.slot.insert(card=card)


class Box(Protocol):
    """A reader into which cards are put."""

    def put(self, card: SlotCard) -> None:
        """Puts a card in place of the one that is in; the same one, if it is out, in again."""


@dataclass
class ReaderCounter:
    """A counter of support.py over readers. Its customers' cards are PulledCards."""

    counter: Counter
    boxes: Mapping[Slot, Box]
    cards: Mapping[Slot, PcscCard]

    def __post_init__(self) -> None:
        self.shop = PulledCard(self.counter.shop.chip)
        if Slot.SHOP in self.boxes:
            self.boxes[Slot.SHOP].put(self.shop)

    def tap(self, card: PulledCard, make: Callable[[Till], Dialog[T]]) -> T:
        """Puts the card on the reader and drives a dialog; both links are fit for it when it begins."""
        self.boxes[Slot.CUSTOMER].put(card)
        self.cards[Slot.CUSTOMER].reset()
        shop = self.cards.get(Slot.SHOP)
        if shop is not None and shop.lost:
            self.boxes[Slot.SHOP].put(self.shop)
            shop.reset()
            self.counter.restart()
        return run(make(self.counter.till), {slot: one.transmit for slot, one in self.cards.items()})

    def many(self, customers: list[Customer], sales: int, pulled: float, seed: int) -> tuple[int, int]:
        """So many purchases by customers in turn; so many of all taps are pulled at random. How many pulls, and sales that were left.

        Who was pulled comes again at once, or, one in three, leaves; at the end whoever left comes back for the result.
        """
        chance, most = Random(seed), 5 if self.counter.by_card else 3
        waiting = [(number, PulledCard(customers[number % len(customers)].chip)) for number in range(sales)]
        left: list[tuple[int, PulledCard]] = []
        pull_count = left_count = 0
        granted: dict[int, Granted] = {}
        while waiting or left:
            last = not waiting
            number, card = waiting.pop(0) if waiting else left.pop(0)
            if chance.random() < pulled:
                (self.shop if self.counter.by_card and chance.random() < 0.3 else card).pull = pulls(chance, most)
            try:
                granted[number] = self.tap(card, partial(Till.purchase, reference=f"S-{number}", hour=100, amount_minor=100 + number))
            except (CardLost, LinkLost):
                pull_count += 1
                leaves = not last and chance.random() < 1 / 3
                left_count += leaves
                (left if leaves or last else waiting).insert(0, (number, card))
            card.pull = self.shop.pull = None
        assert len(granted) == sales
        return pull_count, left_count
