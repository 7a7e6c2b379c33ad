"""A counter for tests: customer card, shop card, readers, journal and till, faults on order, and an audit of who has what in the end."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike
from typing import TypeVar

from cardkit import MASTERS, PROGRAMME, Customer, Shop
from joren.apdu import CLA_ISO, Command, Ins, Kind, LinkLost, Response, Transmit, base_kind, is_void, messages
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.host import CardLost, Dialog, Fate, Granted, Journal, KeyHolder, Offers, Row, ShopCardHolder, Slot, SoftwareKeys, Till, run
from joren.simulator.chip import Chip
from joren.simulator.memory import PowerCut
from joren.simulator.protocol import T0Card

__all__ = ["Counter", "Crash", "Fault", "Sent", "Tear", "card_number", "commands", "finish", "free_of_pin", "read_log", "scripted"]

T = TypeVar("T")
SHOP, TERMINAL = 7, 1
POINTS_LEFT, MONEY_LEFT = 1_000_000, 1_000_000


class Crash(BaseException):
    """The till's process dies."""


class Fault(Enum):
    """What happens at an APDU: the link breaks, or the till dies, before the card acts or after."""

    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"


@dataclass(frozen=True)
class Tear:
    """At an APDU the card's power goes in place of its n-th write; beyond the last one, it answers."""

    write: int


@dataclass(frozen=True)
class Sent:
    """One APDU that went over the counter."""

    slot: Slot
    command: Command
    response: Response

    @property
    def size(self) -> int:
        return len(self.command.encode()) + len(self.response.encode())


def card_number(number: int) -> bytes:
    """A card id, 8 bytes."""
    return b"\xc0" + number.to_bytes(7)


def free_of_pin(number: int = 1) -> Customer:
    """A customer card for both modes, with a purse and no PIN."""
    return Customer(card_id=card_number(number))


@dataclass
class Counter:
    """One till. `by_card`: with a shop card; else with software keys, which may load. Faults are set by number, over both cards, from 1."""

    by_card: bool
    path: str | PathLike[str] = ":memory:"
    stop_list: frozenset[bytes] = frozenset()
    offers: Offers | None = None
    t0: bool = False
    """Both cards speak T=0: what they answer comes in parts."""
    shop: Shop = field(default_factory=lambda: Shop(SHOP, TERMINAL, POINTS_LEFT, MONEY_LEFT))
    faults: dict[int, Fault | Tear] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.t0_cards: dict[int, T0Card] = {}
        self.customer: Customer | None = None
        self.asked = 0
        self.journal = Journal(self.path)
        self.restart()
        self.shop.chip.power_on()
        self.shop_powered = True

    def restart(self) -> None:
        """A new till on the same journal. A file is opened anew; a journal in memory goes on."""
        if self.path != ":memory:":
            self.journal.close()
            self.journal = Journal(self.path)
        holder: KeyHolder = ShopCardHolder(PROGRAMME) if self.by_card else self.software()
        self.till = Till(holder, self.journal, stop_list=self.stop_list, offers=self.offers)

    @staticmethod
    def software() -> SoftwareKeys:
        return SoftwareKeys(PROGRAMME, SHOP, TERMINAL, MASTERS["till"], MASTERS["load"])

    @property
    def links(self) -> Mapping[Slot, Transmit]:
        return {
            Slot.CUSTOMER: lambda command: self._transmit(Slot.CUSTOMER, command),
            Slot.SHOP: lambda command: self._transmit(Slot.SHOP, command),
        }

    def _transmit(self, slot: Slot, command: Command) -> Response:
        self.asked += 1
        fault = self.faults.pop(self.asked, None)
        chip = self.shop.chip if slot is Slot.SHOP else self.customer.chip if self.customer else None
        if chip is None or (slot is Slot.SHOP and not self.shop_powered):
            raise LinkLost("no card")
        response = None
        if isinstance(fault, Tear):
            response, fault = self._torn(chip, command, fault.write), None
        elif fault not in (Fault.LOST_BEFORE, Fault.CRASH_BEFORE):
            response = self._process(chip, command)
        if fault is not None or response is None:
            self._power_off(slot)
            raise Crash if fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER) else LinkLost("on order")
        self.sent.append(Sent(slot, command, response))
        return response

    def _process(self, chip: Chip, command: Command) -> Response:
        if not self.t0:
            return chip.process(command)
        return self.t0_cards.setdefault(id(chip), T0Card(chip)).transmit(command)

    def _torn(self, chip: Chip, command: Command, write: int) -> Response | None:
        chip.memory.cut_after(write)
        try:
            return self._process(chip, command)
        except PowerCut:
            return None
        finally:
            chip.memory.cut_after(0)

    def _power_off(self, slot: Slot) -> None:
        if slot is Slot.SHOP:
            self.shop.chip.power_off()
            self.shop_powered = False
        elif self.customer is not None:
            self.customer.chip.power_off()
            self.customer = None

    def tap(self, customer: Customer, make: Callable[[Till], Dialog[T]], faults: Mapping[int, Fault | Tear] | None = None) -> T:
        """Puts the card on the reader, powers a shop card that has lost its power, and drives a dialog; the card leaves then."""
        if not self.shop_powered:
            self.shop.chip.power_on()
            self.shop_powered = True
        self.faults = dict(faults or {})
        self.asked = 0
        self.sent.clear()
        customer.chip.power_on()
        self.customer = customer
        try:
            return run(make(self.till), self.links)
        except Crash:
            self.shop.chip.power_off()
            self.shop.chip.power_on()
            self.restart()
            raise
        finally:
            self.faults = {}
            self.customer = None
            customer.chip.power_off()

    def names(self) -> list[str]:
        """What was sent in the last tap: slot and command."""
        return commands(self.sent)

    def audit(self, *customers: Customer) -> None:
        """Checks that all is settled, and that customer cards, journal, receipts and shop card tell the same story."""
        assert self.journal.unsettled() == []
        rows = [row for row in self.journal.rows() if row.fate is Fate.COMMITTED]
        references = [row.reference for row in rows]
        assert len(set(references)) == len(references)
        assert None not in references
        logged: dict[tuple[bytes, int], Transaction] = {}
        for customer in customers:
            records = read_log(customer)
            _check_balances(records)
            logged |= {(customer.card_id, record.counter): record for record in records if Order.decode(record.order).shop == SHOP}
            for row in rows:
                if row.card_id == customer.card_id:
                    _check_receipt(customer, row)
        journaled = {(row.card_id, row.counter): Transaction.decode(row.head + row.answer().outcome) for row in rows}
        assert journaled == logged
        if self.by_card:
            self._audit_shop(rows)

    def _audit_shop(self, rows: list[Row]) -> None:
        self.shop.chip.power_on()
        info = self.shop.select()
        totals = self.shop.totals()
        granted = _sum(rows, Kind.PURCHASE, "points") + _sum(rows, Kind.PAY_AND_EARN, "points")
        regranted = _sum(rows, Kind.VOID_PURCHASE, "points") + _sum(rows, Kind.VOID_PAY_AND_EARN, "points")
        assert info.pending == 0
        assert totals.transactions == len(rows)
        assert (totals.points_granted, totals.points_granted_voided) == (granted, regranted)
        assert (totals.points_redeemed, totals.points_redeemed_voided) == (
            _sum(rows, Kind.REDEEM, "points"),
            _sum(rows, Kind.VOID_REDEEM, "points"),
        )
        assert (totals.money_loaded_minor, totals.money_loaded_voided_minor) == (_sum(rows, Kind.LOAD), _sum(rows, Kind.VOID_LOAD))
        paid = _sum(rows, Kind.PAY) + _sum(rows, Kind.PAY_AND_EARN)
        assert (totals.money_paid_minor, totals.money_paid_voided_minor) == (
            paid,
            _sum(rows, Kind.VOID_PAY) + _sum(rows, Kind.VOID_PAY_AND_EARN),
        )
        assert (totals.points_written_off, totals.money_written_off_minor) == (0, 0)
        # A void that is settled long after its sale, out of the shop card's log, gives nothing back.
        assert granted - regranted <= POINTS_LEFT - info.points_left <= granted
        loaded = _sum(rows, Kind.LOAD)
        assert loaded - _sum(rows, Kind.VOID_LOAD) <= MONEY_LEFT - info.money_left_minor <= loaded


def _sum(rows: Iterable[Row], kind: Kind, field_name: str = "amount") -> int:
    found = [row for row in rows if row.kind == kind]
    return sum(row.order.amount if field_name == "amount" else Outcome.decode(row.answer().outcome).points for row in found)


def _check_receipt(customer: Customer, row: Row) -> None:
    message = messages.receipt(customer.head, row.head + row.answer().outcome)
    assert row.answer().receipt in [key.mac8(message) for key in customer.receipt_keys]


def read_log(customer: Customer) -> list[Transaction]:
    """The records of a card without a PIN, oldest first."""
    customer.chip.power_on()
    info = customer.select()
    answers = [customer.send(CLA_ISO, Ins.READ_RECORD, number, 0x0C, ne=44) for number in range(min(info.counter, 24), 0, -1)]
    return [Transaction.decode(answer.data[:36]) for answer in answers]


def _check_balances(records: list[Transaction]) -> None:
    """From a blank card on, each record's balances follow from the one before (one points period)."""
    points = purse = 0
    for number, record in enumerate(records):
        order, outcome = Order.decode(record.order), Outcome.decode(record.outcome)
        assert record.counter == number
        kind, sign = base_kind(record.kind), -1 if is_void(record.kind) else 1
        if kind in (Kind.PURCHASE, Kind.PAY_AND_EARN, Kind.REDEEM):
            points += sign * (-1 if kind == Kind.REDEEM else 1) * outcome.points
        if kind in (Kind.PAY, Kind.PAY_AND_EARN, Kind.LOAD):
            purse += sign * (1 if kind == Kind.LOAD else -1) * order.amount
        assert (outcome.points_balance, outcome.purse_minor) == (points, purse)


def commands(sent: Iterable[Sent]) -> list[str]:
    """Slot and name of every command, as "SHOP COMPUTE"."""
    return [f"{one.slot.name} {Ins(one.command.ins).name}" for one in sent]


def finish(counter: Counter, customer: Customer, make: Callable[[Till], Dialog[Granted]]) -> Granted:
    """Taps again and again, as a cashier does, until the sale has its result; without faults two taps must do."""
    for _ in range(2):
        try:
            return counter.tap(customer, make)
        except CardLost:
            continue
    raise AssertionError("the sale does not end")


def scripted(answers: Mapping[int, Callable[[Command], Response]], chip: Transmit) -> Transmit:
    """A card that answers some instructions as told, and the rest as `chip`."""

    def transmit(command: Command) -> Response:
        return answers.get(command.ins, chip)(command)

    return transmit
