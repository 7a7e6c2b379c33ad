"""A new card takes over score, points and purse of an old one: each step is in a book before it is done, so that any run can be finished.

How it works. Per old card there is one row: NOTED (the sheet is in the book, the old card may still live), CLOSED (the old card is
TERMINATED, or lost and on the stop list), MADE (the new card was read back). The new card is begun only after CLOSED, and only on the chip
that the book names; so whatever kills a run, and however often it is begun again, there are never two cards with the balance, and the book
has it where there is none. A sheet is no secret and no key.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from os import PathLike, fspath
from secrets import token_bytes
from typing import Any, Self

from joren.apdu import AID_CUSTOMER, CLA_ISO, CLA_JOREN, Command, Ins, LifeCycle, aid
from joren.apdu.cards import CustomerInfo
from joren.apdu.scp03 import InitializeUpdateAnswer, ScpKeys
from joren.apdu.sheet import BalanceSheet

from . import wire
from .changes import AdminKeys
from .channel import Guard, open_channel
from .desk import Made, identify, make_card, own_keys
from .dialog import Ask, Dialog, Slot, understood
from .errors import CardFault, HostError, JournalError
from .personalization import CustomerOrder
from .product import Product
from .selecting import select_customer
from .sqlitefile import NotOurs, is_new

__all__ = ["ReissueBook", "ReissueRow", "ReissueState", "close_lost", "close_old", "make_new"]

APPLICATION_ID = 0x4A4F5252  # "JORR"
SCHEMA_VERSION = 1
SCHEMA = f"""
BEGIN;
CREATE TABLE reissue (
    old BLOB PRIMARY KEY, new BLOB NOT NULL UNIQUE, sheet BLOB NOT NULL, lost INTEGER NOT NULL, state TEXT NOT NULL, chip BLOB
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
SET_CARD = 0x40
GET_SHEET = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x05, ne=BalanceSheet.FORMAT.size)


class ReissueState(Enum):
    """How far a re-issue has come."""

    NOTED = "noted"
    CLOSED = "closed"
    MADE = "made"


@dataclass(frozen=True, slots=True)
class ReissueRow:
    """One re-issue. Ids are 8 bytes, `sheet` is 46. `chip`: the 12 bytes of the new card's chip, None before it is begun."""

    old: bytes
    new: bytes
    sheet: bytes
    lost: bool
    state: ReissueState
    chip: bytes | None = None


class ReissueBook:
    """The re-issues of an issuer, in a SQLite file, or in memory for ":memory:". What it says is durable."""

    def __init__(self, path: str | PathLike[str]) -> None:
        """Opens a book, or makes it. Raises JournalError for a file that is damaged, newer, or no book."""
        self.path = fspath(path)
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        try:
            if is_new(self._db, APPLICATION_ID, SCHEMA_VERSION):
                self._db.executescript(SCHEMA)
            self._db.execute("PRAGMA synchronous = FULL")
        except (sqlite3.Error, NotOurs) as error:
            self._db.close()
            raise self._fault(error) from error

    def _fault(self, problem: object) -> JournalError:
        return JournalError(f"re-issues {self.path}: {problem}; no card can be re-issued before it can be read and written")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def of_old(self, old: bytes) -> ReissueRow | None:
        """The re-issue of a card."""
        return self._one("old", old)

    def of_new(self, new: bytes) -> ReissueRow | None:
        """The re-issue that a card was made by."""
        return self._one("new", new)

    def check(self, old: bytes, new: bytes, *, lost: bool) -> ReissueRow | None:
        """The row, if this re-issue was begun. Raises HostError where either card is in another one, or it was begun the other way."""
        if old == new:
            raise HostError("new card: an id of its own expected, that of the old card came")
        row = self.of_old(old)
        if row is not None and row.new != new:
            raise HostError(f"card {_hex(old)}: it is re-issued as {_hex(row.new)} already; go on with that one")
        taken = self.of_new(new)
        if taken is not None and taken.old != old:
            raise HostError(f"card {_hex(new)}: it replaces {_hex(taken.old)} already; choose another id")
        if row is not None and row.lost != lost and row.state is ReissueState.NOTED:
            return None
        return row

    def note(self, old: bytes, new: bytes, sheet: bytes, *, lost: bool) -> None:
        """Notes the sheet, in place of one noted before, as long as the old card is not closed."""
        self._write(
            "INSERT INTO reissue VALUES (?, ?, ?, ?, 'noted', NULL) "
            "ON CONFLICT (old) DO UPDATE SET sheet = excluded.sheet, lost = excluded.lost WHERE state = 'noted' AND new = excluded.new",
            (old, new, sheet, lost),
        )

    def closed(self, old: bytes) -> None:
        """The old card is closed."""
        self._write("UPDATE reissue SET state = 'closed' WHERE old = ? AND state = 'noted'", (old,))

    def begun(self, old: bytes, chip: bytes) -> None:
        """The new card is about to be made on a chip. Raises HostError where it was begun on another, or the old one is not closed."""
        self._write("UPDATE reissue SET chip = ? WHERE old = ? AND state = 'closed' AND chip IS NULL", (chip, old), may_miss=True)
        row = self.of_old(old)
        if row is None or row.state is ReissueState.NOTED:
            raise HostError(f"card {_hex(old)}: close it before the new one is made")
        if row.chip != chip:
            begun = _hex(row.chip or b"")
            raise HostError(
                f"card {_hex(row.new)}: begun on chip {begun}, {_hex(chip)} came; put that one in, or re-issue {_hex(row.new)} as lost"
            )

    def made(self, old: bytes) -> None:
        """The new card was made, and read back."""
        self._write("UPDATE reissue SET state = 'made' WHERE old = ? AND chip IS NOT NULL AND state <> 'noted'", (old,))

    def _write(self, statement: str, values: tuple[object, ...], *, may_miss: bool = False) -> None:
        try:
            if self._db.execute(statement, values).rowcount != 1 and not may_miss:
                raise self._fault("a row that can take this step expected")
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _one(self, column: str, value: bytes) -> ReissueRow | None:
        statement = f"SELECT old, new, sheet, lost, state, chip FROM reissue WHERE {column} = ?"  # noqa: S608 - a name from above
        try:
            found: tuple[Any, ...] | None = self._db.execute(statement, (value,)).fetchone()
            if found is None:
                return None
            old, new, sheet, lost, state, chip = found
            return ReissueRow(old, new, sheet, bool(lost), ReissueState(state), chip)
        except (sqlite3.Error, ValueError) as error:
            raise self._fault(error) from error


def close_old(
    book: ReissueBook,
    product: Product,
    keys: AdminKeys,
    old: bytes,
    new: bytes,
    *,
    guard: Guard | None = None,
    random: Callable[[int], bytes] = token_bytes,
) -> Dialog[ReissueRow]:
    """Takes the sheet from the old card, which is in the customer slot, into the book, and ends the card's life, in one channel.

    Raises HostError (another card, or one that is in another re-issue; nothing was changed), CardRefused, CardFault, JournalError,
    LinkLost; after any of these it can be run again.
    """
    row = book.check(old, new, lost=False)
    if row is not None and row.state is not ReissueState.NOTED:
        return row
    slot, programme = Slot.CUSTOMER, product.programme
    info = yield from select_customer(programme)
    if info.card_id != old:
        raise HostError(f"{slot.value}: {_hex(old)} expected, {_hex(info.card_id)} came; nothing was changed")
    if info.life_cycle == LifeCycle.SELECTABLE:
        raise HostError(f"{slot.value}: an issued one expected, it is blank")

    def found_keys(answer: InitializeUpdateAnswer) -> ScpKeys:
        return own_keys(keys, answer)

    channel = yield from open_channel(slot, found_keys, aid=aid(AID_CUSTOMER, programme), guard=guard, random=random)
    sheet = yield from channel.send(GET_SHEET)
    understood(slot, "GET DATA", BalanceSheet.decode, sheet)
    book.note(old, new, sheet, lost=False)
    if info.life_cycle != LifeCycle.TERMINATED:
        yield from channel.send(Command(CLA_JOREN, Ins.SET_STATUS, SET_CARD, LifeCycle.TERMINATED))
    info = yield from select_customer(programme)
    if info.life_cycle != LifeCycle.TERMINATED:
        raise CardFault(slot.value, "SELECT", "the state TERMINATED", LifeCycle(info.life_cycle).name)
    book.closed(old)
    return _row(book, old)


def close_lost(book: ReissueBook, old: bytes, new: bytes, sheet: Callable[[], bytes], stop: Callable[[bytes], object]) -> ReissueRow:
    """Notes the last proven sheet of a card that is lost, and puts the card on the stop list. Raises HostError, JournalError."""
    row = book.check(old, new, lost=True)
    if row is None or row.state is ReissueState.NOTED:
        book.note(old, new, sheet(), lost=True)
        stop(old)
        book.closed(old)
    return _row(book, old)


def make_new(
    book: ReissueBook,
    product: Product,
    keys: AdminKeys,
    old: bytes,
    *,
    pin: str | None = None,
    puk: str | None = None,
    guard: Guard | None = None,
    random: Callable[[int], bytes] = token_bytes,
) -> Dialog[Made]:
    """Makes the new card in the customer slot, with the sheet in the book, once the old card is closed. Raises as close_old."""
    row = _row(book, old)
    further = book.of_old(row.new)
    if further is not None:
        raise HostError(f"card {_hex(row.new)}: it was replaced itself, by {_hex(further.new)}; nothing was changed")
    chip = yield from identify(Slot.CUSTOMER)
    response = yield Ask(Slot.CUSTOMER, wire.select_customer(product.programme))
    if len(response.data) == CustomerInfo.FORMAT.size:
        there = CustomerInfo.decode(response.data)
        if there.life_cycle != LifeCycle.SELECTABLE and there.card_id != row.new:
            raise HostError(f"new card: a blank one expected, {_hex(there.card_id)} came; nothing was changed")
    book.begun(old, chip)
    made = yield from make_card(product, keys, CustomerOrder(row.new, pin, puk, row.sheet), guard=guard, random=random)
    book.made(old)
    return made


def _row(book: ReissueBook, old: bytes) -> ReissueRow:
    row = book.of_old(old)
    if row is None:
        raise HostError(f"card {_hex(old)}: no re-issue of it is in the book")
    return row


def _hex(raw: bytes) -> str:
    return raw.hex().upper()
