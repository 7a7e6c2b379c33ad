"""Plays a purchase log through cards: every row is a tap at a till, and all that is told afterwards was read from cards, tills, receipts.

How it works. Whoever calls has the cards: a `Box` puts the card of a customer into the reader of a counter. A customer belongs to a counter
for good: to the till with software keys, or to one with a shop card. At the cut the cards are read; before a card's log would forget a
transaction, and at the end, the log is read too. So points granted are counted three times, by three witnesses: the cards' logs, the tills'
journals and shop cards' totals, and the receipts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from joren.apdu import LOG_SIZE, Transmit
from joren.apdu.transaction import Outcome, Transaction
from joren.host.dialog import Slot, run
from joren.host.kiosk import CustomerView, read_receipts, view_customer, view_shop
from joren.host.product import Product
from joren.host.results import Receipt
from joren.host.till import Till

from .log import Row

__all__ = ["Box", "Counter", "Customer", "Play", "Sample"]

WEEK_HOURS = 168


class Box(Protocol):
    """The cards: all customers' cards, and one reader for each counter."""

    def tap(self, customer: "Customer") -> Mapping[Slot, Transmit]:
        """Puts the customer's card into the reader of the customer's counter; the one that was there goes."""


@dataclass(slots=True)
class Counter:
    """A till, and the receipts it was given."""

    name: str
    till: Till
    by_card: bool
    receipts: list[Receipt] = field(default_factory=list)

    def points_granted(self, links: Mapping[Slot, Transmit], programme: int) -> int:
        """By the totals of its shop card, or with software keys by its journal."""
        if not self.by_card:
            return sum(row.outcome.points for row in self.till.journal.rows() if row.outcome is not None)
        totals = run(view_shop(programme), links).totals
        return 0 if totals is None else totals.points_granted


@dataclass(slots=True)
class Customer:
    """A customer of the log. `kept` are the receipts read from the card itself, `taps` the purchases so far."""

    name: str
    counter: Counter
    taps: int = 0
    kept: list[Receipt] = field(default_factory=list)
    at_cut: CustomerView | None = None
    at_end: CustomerView | None = None
    spent_after_minor: int = 0
    bought_again: bool = False

    @property
    def points_granted(self) -> int:
        """By the card's own log."""
        return sum(Outcome.decode(Transaction.decode(receipt.record).outcome).points for receipt in self.kept)


@dataclass(frozen=True, slots=True)
class Sample:
    """The score of the customer that is watched, as the card told it; `bought` at a purchase."""

    hour: int
    score: int
    rank: int
    bought: bool


class Play:
    """One play of a log. `samples` is the score of the customer `watched`, over time."""

    def __init__(self, product: Product, box: Box, customers: Mapping[str, Customer], watched: str) -> None:
        self.product = product
        self.box = box
        self.customers = customers
        self.watched = watched
        self.samples: list[Sample] = []

    def tap(self, row: Row, *, after_cut: bool) -> None:
        """One row as a purchase. Raises what the till raises."""
        customer = self.customers[row.card]
        hour = self.product.hour_of(row.time)
        links = self.box.tap(customer)
        if row.card == self.watched:
            self._watch(links, hour)
        dialog = customer.counter.till.purchase(f"line {row.line_no}", hour, row.amount_minor, row.category)
        granted = run(dialog, links)
        customer.counter.receipts.append(granted.receipt)
        customer.taps += 1
        if row.card == self.watched:
            self.samples.append(Sample(hour, granted.score, granted.rank, bought=True))
        if after_cut:
            customer.spent_after_minor += row.amount_minor
            customer.bought_again = True
        if customer.taps % LOG_SIZE == 0:
            customer.kept += run(read_receipts(self.product.programme), links)

    def read_at_cut(self, customer: Customer, hour: int) -> None:
        """Reads the card of a customer at an hour."""
        customer.at_cut = run(view_customer(self.product.programme, hour), self.box.tap(customer))

    def read_at_end(self, customer: Customer, hour: int) -> None:
        """Reads the card at an hour, and of its log what was not read before."""
        links = self.box.tap(customer)
        if customer.name == self.watched:
            self._watch(links, hour)
        customer.at_end = run(view_customer(self.product.programme, hour), links)
        if customer.taps % LOG_SIZE:
            customer.kept += run(read_receipts(self.product.programme), links)[: customer.taps % LOG_SIZE]

    def used(self) -> Iterator[Customer]:
        """The customers that have bought something so far."""
        return (customer for customer in self.customers.values() if customer.taps)

    def _watch(self, links: Mapping[Slot, Transmit], now: int) -> None:
        """The score week by week since the last purchase, which the card can tell for any hour since."""
        if not self.samples:
            return
        hours = [*range(self.samples[-1].hour + WEEK_HOURS, now, WEEK_HOURS), now]
        for hour in hours:
            view = run(view_customer(self.product.programme, hour), links)
            if view.score is not None and view.rank is not None:
                self.samples.append(Sample(hour, view.score, view.rank, bought=False))
