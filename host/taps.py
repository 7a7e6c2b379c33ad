"""The taps in a trace, and the dialog that each was: read off the commands, so that a till can do the same once more.

How it works. A tap begins with SELECT of the customer card, or with that of the shop card before it. Its orders tell all that a till was
asked: kind, amount, category, factor, hour, shop and sequence. References are not on cards, so the till is given new ones, and a void
finds its sale in the journal as the last of that card. A journal that is empty begins with the sequence that the trace has.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from joren.apdu import Command, Ins, Kind, is_void
from joren.apdu.trace import BadTrace, Line
from joren.apdu.transaction import Order

from .ceremony import KeyRing
from .dialog import Dialog, Slot
from .errors import HostError
from .fate import Fate
from .holder import KeyHolder
from .journal import Journal
from .kiosk import read_receipts, view_customer, view_holder
from .pin import change_pin, unblock_pin
from .shop_holder import ShopCardHolder
from .software_keys import SoftwareKeys
from .till import Till

__all__ = ["Tap", "dialog_of", "holder_of", "programme_of", "start_journal", "taps_of"]

REQUEST_SIZE, ORDER_SIZE, CHALLENGE_SIZE = 8, 16, 8
ORDERS = (Ins.TRANSACT, Ins.COMPUTE, Ins.AUTHORIZE)
AID_SIZE = 9
NO_PIN, NO_PUK = "0000", "00000000"
"""In place of what was masked: equal to any."""


@dataclass(frozen=True, slots=True)
class Tap:
    """The APDUs of one tap."""

    lines: tuple[Line, ...]

    def first(self, *instructions: Ins) -> Line | None:
        """The first line with one of the instructions."""
        return next((line for line in self.lines if line.asked().ins in instructions), None)


def taps_of(lines: Iterable[Line]) -> list[Tap]:
    """The taps of a trace. Raises BadTrace for a trace that begins within one."""
    apdus = [line for line in lines if line.event == "apdu"]
    starts: list[int] = []
    for index, line in enumerate(apdus):
        if line.reader == Slot.CUSTOMER.value and line.asked().ins == Ins.SELECT:
            start = index
            while start and apdus[start - 1].reader == Slot.SHOP.value:
                start -= 1
            opened = (at for at in range(start, index) if apdus[at].asked().ins == Ins.SELECT)
            starts.append(next(opened, index))
    if not starts or starts[0]:
        raise BadTrace("a trace that begins with SELECT of a card named customer card, or of shop card and then customer card, expected")
    return [Tap(tuple(apdus[start:end])) for start, end in zip(starts, [*starts[1:], len(apdus)], strict=True)]


def programme_of(tap: Tap) -> int:
    """The programme that the tap selected. Raises BadTrace."""
    selected = tap.first(Ins.SELECT)
    if selected is None or len(selected.asked().data) != AID_SIZE:
        raise BadTrace(f"line {tap.lines[0].number}: SELECT of a joren card, by its whole AID, expected")
    return int.from_bytes(selected.asked().data[-2:])


def holder_of(taps: Sequence[Tap], ring: Callable[[str, int], KeyRing]) -> KeyHolder:
    """The key holder that the till had: a shop card if there is one in the trace, else software keys.

    `ring` gives the masters "till" and "load" of a programme; it is not asked where there is a shop card. Challenges are the recorded ones.
    """
    programme = programme_of(taps[0])
    lines = [line for tap in taps for line in tap.lines]
    if any(line.reader == Slot.SHOP.value for line in lines):
        return ShopCardHolder(programme)
    order = next((order for tap in taps if (order := _order(tap)) is not None), None)
    shop, terminal = (1, 0) if order is None else (order.shop, order.sequence >> 24)
    challenges = iter([line.asked().data[-CHALLENGE_SIZE:] for line in lines if line.asked().ins == Ins.PROVE])
    masters = ring("till", programme), ring("load", programme)
    return SoftwareKeys(programme, shop, terminal, *masters, random=lambda size: next(challenges, bytes(size)))


def start_journal(journal: Journal, taps: Sequence[Tap]) -> None:
    """Lets an empty journal begin with the first sequence that a till with software keys used."""
    order = next((order for tap in taps if (order := _order(tap)) is not None), None)
    if journal.last is None and order is not None and order.sequence & 0xFFFFFF:
        journal.last = order.sequence - 1


def dialog_of(tap: Tap, till: Till, reference: str) -> Dialog[Any]:
    """The dialog that a tap was. Raises HostError for a void whose sale the journal does not have, BadTrace for a kind there is not."""
    programme, pin = programme_of(tap), _secret(tap.first(Ins.VERIFY), NO_PIN)
    ordered, result = tap.first(*ORDERS), tap.first(Ins.GET_RESULT)
    if ordered is not None:
        return _sale(tap, ordered.asked(), till, reference, pin)
    hour = None if result is None else int.from_bytes(result.asked().data)
    if tap.first(Ins.GET_DATA) is not None and tap.first(Ins.PROVE) is None:
        view = view_customer if tap.first(Ins.READ_RECORD) is None else view_holder
        return view(programme, hour or 0, pin=pin)
    if result is not None and hour is not None:
        return till.result(hour, detailed=result.asked().p1 == 1, pin=pin)
    if tap.first(Ins.READ_RECORD) is not None and tap.lines[0].reader == Slot.CUSTOMER.value:
        return read_receipts(programme, pin=pin)
    changed, unblocked = tap.first(Ins.CHANGE_REFERENCE_DATA), tap.first(Ins.RESET_RETRY_COUNTER)
    if changed is not None:
        return change_pin(programme, _secret(changed, NO_PIN) or NO_PIN, _secret(changed, NO_PIN, 8) or NO_PIN)
    if unblocked is not None:
        return unblock_pin(programme, _secret(unblocked, NO_PUK) or NO_PUK, _secret(unblocked, NO_PIN, 8) or NO_PIN)
    return till.settle()


def _sale(tap: Tap, command: Command, till: Till, reference: str, pin: str | None) -> Dialog[Any]:
    kind, request = command.p1, _request(command)
    hour, amount = int.from_bytes(request[:2]), int.from_bytes(request[2:6])
    if is_void(kind):
        return till.void(reference, hour, _voided(tap, till.journal))
    match kind:
        case Kind.PURCHASE | Kind.PAY_AND_EARN:
            return till.purchase(reference, hour, amount, request[6], request[7], pay=kind == Kind.PAY_AND_EARN, pin=pin)
        case Kind.REDEEM:
            return till.redeem(reference, hour, amount, pin=pin)
        case Kind.LOAD:
            return till.load(reference, hour, amount)
        case Kind.PAY:
            return till.pay(reference, hour, amount, pin=pin)
    raise BadTrace(f"a kind of transaction expected, {kind:02X} came")


def _voided(tap: Tap, journal: Journal) -> str:
    """The last sale of the tap's card that happened."""
    told = next((line.answer() for line in tap.lines if line.reader == Slot.CUSTOMER.value), None)
    card_id = b"" if told is None else told.data[6:14]
    committed = [row for row in journal.rows() if row.card_id == card_id and row.fate is Fate.COMMITTED and not is_void(row.kind)]
    if not committed or committed[-1].reference is None:
        raise HostError("the trace has a void, and the journal no sale for it: give the journal that the till had before")
    return committed[-1].reference


def _request(command: Command) -> bytes:
    """hour u16 | amount u32 | category | factor."""
    return command.data[:REQUEST_SIZE] if command.ins == Ins.TRANSACT else command.data[-REQUEST_SIZE:]


def _order(tap: Tap) -> Order | None:
    line = tap.first(Ins.TRANSACT)
    data = b"" if line is None else line.asked().data
    return Order.decode(data[:ORDER_SIZE]) if len(data) >= ORDER_SIZE else None


def _secret(line: Line | None, masked: str, start: int = 0) -> str | None:
    """The digits in a block of 8 bytes, where the trace has them."""
    if line is None or line.masked:
        return None if line is None else masked
    return line.asked().data[start : start + 8].rstrip(b"\xff").decode("ascii", "replace")
