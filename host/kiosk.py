"""What a member kiosk, a shop or a developer may look at: dialogs that read a card and change nothing on it."""

from dataclasses import dataclass, replace

from joren.apdu import CLA_ISO, LOG_SIZE, PENDING_SIZE, SHOP_LOG_SIZE, SW, Command, Ending, Ins, LifeCycle
from joren.apdu.cards import CustomerInfo, Limits, PendingEntry, ShopInfo, Totals
from joren.apdu.state import RankRules

from . import wire
from .dialog import Dialog, Slot, ask, understood
from .errors import CardRefused
from .results import Detail, Receipt, detail_of, public_of
from .sale import check_hour, pin_block
from .selecting import select_customer, select_shop

__all__ = ["CustomerView", "HolderView", "ShopView", "read_receipts", "view_customer", "view_holder", "view_shop"]

RULES_AND_LIMITS = RankRules.SIZE + Limits.FORMAT.size
LOG_RECORD_SIZE = 44
NO_PIN = 0xFF


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer card, as far as it may be seen: None where the life cycle state, or a PIN that was not given, keeps it back."""

    info: CustomerInfo
    rules: RankRules | None = None
    limits: Limits | None = None
    pin_tries: int | None = None
    rank: int | None = None
    score: int | None = None
    detail: Detail | None = None


@dataclass(frozen=True, slots=True)
class HolderView:
    """All that a customer card shows its holder: the view, and the receipts it still keeps, newest first."""

    view: CustomerView
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True, slots=True)
class ShopView:
    """A shop card. `pending` is slot and entry; `closed` entry and ending, newest first."""

    info: ShopInfo
    totals: Totals | None = None
    pending: tuple[tuple[int, PendingEntry], ...] = ()
    closed: tuple[tuple[PendingEntry, Ending], ...] = ()


def view_customer(programme: int, hour: int, *, pin: str | bytes | None = None) -> Dialog[CustomerView]:
    """All that a customer card shows at an hour; the detail with the PIN, or if it has none. Raises HostError, CardRefused, CardFault."""
    check_hour(hour)
    return _view_customer(programme, hour, pin_block(pin))


def _view_customer(programme: int, hour: int, pin: bytes | None) -> Dialog[CustomerView]:
    info = yield from select_customer(programme)
    view = CustomerView(info)
    if info.life_cycle not in (LifeCycle.ISSUED, LifeCycle.BLOCKED):
        return view
    told = yield from _get_data(Slot.CUSTOMER, 0x01, RULES_AND_LIMITS)
    (tries, _puk_tries) = yield from _get_data(Slot.CUSTOMER, 0x03, 2)
    rules = understood(Slot.CUSTOMER, "GET DATA", RankRules.decode, told[: RankRules.SIZE])
    limits = Limits.decode(told[RankRules.SIZE :])
    view = replace(view, rules=rules, limits=limits, pin_tries=None if tries == NO_PIN else tries)
    if info.life_cycle == LifeCycle.BLOCKED:
        return view
    if pin is not None:
        yield from ask(Slot.CUSTOMER, wire.verify(pin), 0)
    detailed = pin is not None or not info.has_pin
    data = yield from ask(Slot.CUSTOMER, wire.get_result(hour, detailed=detailed), wire.DETAIL_SIZE if detailed else wire.RANK_SIZE)
    rank, score = public_of(data)
    return replace(view, rank=rank, score=score, detail=detail_of(data) if detailed else None)


def read_receipts(programme: int, *, pin: str | bytes | None = None) -> Dialog[list[Receipt]]:
    """The receipts a customer card still keeps, newest first; with the PIN, if it has one. Raises HostError, CardRefused, CardFault."""
    return _read_receipts(programme, pin_block(pin))


def view_holder(programme: int, hour: int, *, pin: str | bytes | None = None) -> Dialog[HolderView]:
    """What view_customer and read_receipts give, with one VERIFY; without the PIN of a card that has one, no receipts.

    The card is selected anew in the end: its PIN is verified no longer (REQ-SEL-2). Raises HostError, CardRefused, CardFault.
    """
    check_hour(hour)
    return _view_holder(programme, hour, pin_block(pin))


def _view_holder(programme: int, hour: int, pin: bytes | None) -> Dialog[HolderView]:
    view = yield from _view_customer(programme, hour, pin)
    if view.detail is None:
        return HolderView(view)
    receipts = yield from _log_of(programme, view.info)
    if pin is not None:
        yield from select_customer(programme)
    return HolderView(view, tuple(receipts))


def _read_receipts(programme: int, pin: bytes | None) -> Dialog[list[Receipt]]:
    info = yield from select_customer(programme)
    if pin is not None:
        yield from ask(Slot.CUSTOMER, wire.verify(pin), 0)
    return (yield from _log_of(programme, info))


def _log_of(programme: int, info: CustomerInfo) -> Dialog[list[Receipt]]:
    receipts = []
    for number in range(1, min(info.counter, LOG_SIZE) + 1):
        data = yield from ask(Slot.CUSTOMER, Command(CLA_ISO, Ins.READ_RECORD, number, 0x0C, ne=LOG_RECORD_SIZE), LOG_RECORD_SIZE)
        receipts.append(Receipt(programme, info.card_id, data[:36], data[36:]))
    return receipts


def view_shop(programme: int) -> Dialog[ShopView]:
    """All that a shop card shows. Raises CardRefused, CardFault."""
    info = yield from select_shop(programme)
    if info.life_cycle == LifeCycle.SELECTABLE:
        return ShopView(info)
    totals = Totals.decode((yield from _get_data(Slot.SHOP, 0x02, Totals.FORMAT.size)))
    pending = []
    for slot in range(PENDING_SIZE if info.pending else 0):
        raw = yield from _record(wire.read_pending(slot), PendingEntry.FORMAT.size)
        if raw is not None:
            pending.append((slot, PendingEntry.decode(raw)))
    closed = []
    for number in range(1, SHOP_LOG_SIZE + 1):
        raw = yield from _record(wire.read_log(number), wire.SHOP_LOG_RECORD_SIZE)
        if raw is None:
            break
        closed.append((PendingEntry.decode(raw[:-1]), understood(Slot.SHOP, "READ RECORD", lambda byte: Ending(byte[0]), raw[-1:])))
    return ShopView(info, totals, tuple(pending), tuple(closed))


def _get_data(slot: Slot, tag: int, size: int) -> Dialog[bytes]:
    return (yield from ask(slot, Command(CLA_ISO, Ins.GET_DATA, 0x01, tag, ne=size), size))


def _record(command: Command, size: int) -> Dialog[bytes | None]:
    try:
        return (yield from ask(Slot.SHOP, command, size))
    except CardRefused as refused:
        if refused.sw != SW.RECORD_NOT_FOUND:
            raise
        return None
