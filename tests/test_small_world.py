"""A small world, explored to its end: two customers, a till with software keys and one with a shop card, five dialogs in every order,
and at most two lost APDUs, each before or after the card acted, on either card (REQ-STL-1 to REQ-STL-6, REQ-FLW-4).

How it works. The worlds are the nodes of a tree: a node is a sequence of up to five dialogs, each with the APDUs it lost. Going down
runs one dialog on the real cards; going up puts memories and journals back from snapshots. In every world the customers then tap once
more at both tills with nothing lost, and all books are compared: cards, shop card, journals, and what the tills told their callers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from cardkit import MASTERS, PROGRAMME, Customer, Shop
from joren.apdu import Kind, Transmit
from joren.apdu.transaction import Transaction
from joren.host.dialog import Dialog, Slot, run
from joren.host.errors import CardLost
from joren.host.fate import Fate
from joren.host.journal import Journal, Row
from joren.host.results import Granted
from joren.host.shop_holder import ShopCardHolder
from joren.host.software_keys import SoftwareKeys
from joren.host.till import Till
from joren.simulator.chip import Chip
from joren.simulator.reader import Loss, Losses, Reader, When

LOSSES_MAX = 2
SOFTWARE, CARD = 0, 1
START_POINTS = 500


@dataclass(frozen=True)
class Step:
    """One dialog: which customer at which till does what."""

    name: str
    customer: int
    till: int
    kind: Kind
    amount: int


STEPS = (
    Step("earn at the software till", 0, SOFTWARE, Kind.PURCHASE, 20_000),
    Step("earn at the shop card", 0, CARD, Kind.PURCHASE, 30_000),
    Step("another earns at the shop card", 1, CARD, Kind.PURCHASE, 70_000),
    Step("redeem at the shop card", 0, CARD, Kind.REDEEM, 90),
    Step("another loads at the software till", 1, SOFTWARE, Kind.LOAD, 1_000),
)


class Counting(Losses):
    """Losses that also tell how many APDUs went by, on both readers together."""

    def __init__(self, losses: list[Loss]) -> None:
        super().__init__(losses)
        self.count = 0

    def next(self) -> When | None:
        self.count += 1
        return super().next()


@dataclass
class World:
    """Cards, tills and journals, and what the tills told their callers."""

    customers: list[Customer] = field(default_factory=list)
    told: dict[str, Granted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.customers = [Customer(card_id=bytes([number]) * 8) for number in (1, 2)]
        for customer in self.customers:
            customer.buy(START_POINTS * 100)
            customer.chip.power_off()
        self.shop = Shop(shop=8)
        self.start_counters = [1, 1]
        load = MASTERS["load"]
        self.tills = [
            Till(SoftwareKeys(PROGRAMME, 7, 2, MASTERS["till"], load, random=bytes), Journal(":memory:")),
            Till(ShopCardHolder(PROGRAMME), Journal(":memory:")),
        ]
        self.customer_reader, self.shop_reader = Reader("customer"), Reader("shop")
        for reader in (self.customer_reader, self.shop_reader):
            reader.observers.clear()  # no one listens to millions of APDUs
        self.shop_reader.insert(self.shop.chip)
        self.links: dict[Slot, Transmit] = {Slot.CUSTOMER: self.customer_reader.transmit, Slot.SHOP: self.shop_reader.transmit}

    def tap(self, customer: int, till: int, dialog: Dialog[Any], losses: Counting | None = None) -> Any:
        """Runs one dialog with a customer's card on the reader; a shop card without power is reset first."""
        if not self.shop_reader.powered:
            self.shop_reader.reset()
        self.customer_reader.losses = self.shop_reader.losses = losses
        self.customer_reader.insert(self.customers[customer].chip)
        try:
            return run(dialog, self.links)
        finally:
            self.customer_reader.losses = self.shop_reader.losses = None
            self.customer_reader.remove()

    def do(self, step: Step, losses: Counting) -> None:
        """One step of the exploration. What was lost is not tried again here."""
        till = self.tills[step.till]
        if step.kind == Kind.PURCHASE:
            dialog = till.purchase(step.name, 100, step.amount)
        elif step.kind == Kind.REDEEM:
            dialog = till.redeem(step.name, 100, step.amount)
        else:
            dialog = till.load(step.name, 100, step.amount)
        with suppress(CardLost):
            self.told[step.name] = self.tap(step.customer, step.till, dialog, losses)

    @contextmanager
    def branch(self) -> Iterator[None]:
        """What happens inside is undone at the end."""
        chips = [customer.chip for customer in self.customers] + [self.shop.chip]
        memories = [(chip, chip.snapshot(), chip.draws) for chip in chips]
        journals = [till.journal for till in self.tills]
        books = [(journal, journal._owner, journal.last, dict(journal._pending)) for journal in journals]
        holders = [dict(till.holder.__dict__) for till in self.tills]
        told, powered = dict(self.told), self.shop_reader.powered
        for journal in journals:
            journal._db.execute("SAVEPOINT branch")
        try:
            yield
        finally:
            for journal, owner, last, pending in books:
                journal._db.execute("ROLLBACK TO branch")
                journal._db.execute("RELEASE branch")
                journal._owner, journal.last, journal._pending = owner, last, pending
            for till, state in zip(self.tills, holders, strict=True):
                till.holder.__dict__.update(state)
            for chip, memory, draws in memories:
                chip.memory.restore(memory)
                chip.draws = draws
            self.told = told
            self._repower(self.shop.chip, powered)

    def _repower(self, chip: Chip, powered: bool) -> None:
        self.shop_reader.powered = powered
        if powered:
            draws = chip.draws
            chip.power_on()
            self.shop.select()
            chip.draws = draws

    def check(self, trail: str) -> None:
        """Everyone taps once more at both tills; then all books agree."""
        for index in range(2):
            for till in (SOFTWARE, CARD):
                self.tap(index, till, self.tills[till].settle())
        rows = [row for till in self.tills for row in till.journal.rows()]
        assert all(row.fate in (Fate.COMMITTED, Fate.NOT_COMMITTED) for row in rows), trail
        committed = [row for row in rows if row.fate is Fate.COMMITTED]
        references = [row.reference for row in committed if row.reference is not None]
        assert len(references) == len(set(references)), trail
        assert set(self.told) <= set(references), trail
        for number, customer in enumerate(self.customers):
            self._check_card(customer, [row for row in committed if row.card_id == customer.card_id], self.start_counters[number], trail)
        self._check_shop([row for row in committed if row.order.shop == 8], trail)

    def _check_card(self, customer: Customer, rows: list[Row], start: int, trail: str) -> None:
        customer.chip.power_on()
        info = customer.select()
        records = [
            Transaction.decode(customer.send(0, 0xB2, number, 0x0C, ne=44).data[:36]) for number in range(1, info.counter - start + 1)
        ]
        on_card = {(record.counter, record.kind, record.order) for record in records}
        assert on_card == {(row.counter, row.kind, row.order.encode()) for row in rows}, trail
        points = START_POINTS + sum(_signed_points(row) for row in rows)
        purse = sum(row.order.amount for row in rows if row.kind == Kind.LOAD)
        result = customer.send(0x80, 0x38, 1, 0, (100).to_bytes(2), 31).data
        assert (int.from_bytes(result[19:23]) + int.from_bytes(result[23:27]), int.from_bytes(result[27:31])) == (points, purse), trail
        customer.chip.power_off()

    def _check_shop(self, rows: list[Row], trail: str) -> None:
        self.shop_reader.reset()
        info, totals = self.shop.select(), self.shop.totals()
        granted = sum(_signed_points(row) for row in rows if row.kind == Kind.PURCHASE)
        assert info.pending == 0, trail
        assert (totals.points_granted, totals.transactions) == (granted, len(rows)), trail
        assert totals.points_redeemed == sum(row.order.amount for row in rows if row.kind == Kind.REDEEM), trail
        assert info.points_left == self.shop.points_left - granted, trail


def _signed_points(row: Row) -> int:
    assert row.outcome is not None
    return -row.outcome.points if row.kind == Kind.REDEEM else row.outcome.points


def explore(world: World, left: tuple[Step, ...], losses_left: int, trail: str, visited: list[int]) -> None:
    """Visits a world and all that can follow it."""
    visited[0] += 1
    with world.branch():
        world.check(trail)
    for step in left:
        rest = tuple(other for other in left if other is not step)
        for losses in plans(world, step, losses_left):
            with world.branch():
                world.do(step, Counting(losses))
                name = f"{trail} > {step.name} {[(loss.number, loss.when.value) for loss in losses]}"
                explore(world, rest, losses_left - len(losses), name, visited)


def plans(world: World, step: Step, losses_left: int) -> Iterator[list[Loss]]:
    """No loss; then, if one may be lost, each APDU of the dialog before and after. A lost APDU ends the dialog, so none has two."""
    yield []
    if losses_left:
        with world.branch():
            counting = Counting([])
            world.do(step, counting)
        for number in range(1, counting.count + 1):
            for when in When:
                yield [Loss(number, when)]


@pytest.mark.no_cover
@pytest.mark.parametrize("first", STEPS, ids=lambda step: step.name)
def test_every_world_ends_with_books_that_agree(first: Step, record_property: Callable[[str, object], None]) -> None:
    """REQ-STL-1 to REQ-STL-6 and REQ-FLW-4, in every world that begins with this dialog."""
    world, visited = World(), [0]
    rest = tuple(step for step in STEPS if step is not first)
    for losses in plans(world, first, LOSSES_MAX):
        with world.branch():
            world.do(first, Counting(losses))
            explore(world, rest, LOSSES_MAX - len(losses), f"{first.name} {losses}", visited)
    record_property(f"worlds visited that begin with: {first.name}", visited[0])
    assert visited[0] > 1_000
