"""The till's journal: one row for every transaction that was authorized, durable before the command that may commit it (REQ-FLW-3).

How it works. A SQLite file, opened by one till at a time. A row is keyed by its sequence number, and rows are never removed, so the next
number follows from the file itself: once a row is there its number is used up, whatever is lost (REQ-FLW-4). A journal belongs to one
acceptor, and a till that loses its journal needs a new terminal number. No key and no PIN ever comes here.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike, fspath
from struct import Struct
from threading import current_thread
from typing import Any, Self

from joren.apdu import Kind
from joren.apdu.transaction import Order, Outcome

from .errors import HostError, JournalError
from .fate import Fate
from .sqlitefile import NotOurs, is_new
from .wire import Answer

__all__ = ["SCHEMA_VERSION", "Journal", "Row"]

APPLICATION_ID = 0x4A4F524E  # "JORN"
SCHEMA_VERSION = 1
COUNT_MAX = 0xFFFFFF
HEAD = Struct(">BBH")

SCHEMA = f"""
BEGIN;
CREATE TABLE owner (name TEXT NOT NULL);
CREATE TABLE sale (
    sequence INTEGER PRIMARY KEY, reference TEXT, fate TEXT NOT NULL, kind INTEGER NOT NULL, key_ref INTEGER NOT NULL,
    card_id BLOB NOT NULL, counter INTEGER NOT NULL, hour INTEGER NOT NULL, amount INTEGER NOT NULL, category INTEGER NOT NULL,
    factor_tenths INTEGER NOT NULL, shop INTEGER NOT NULL, slot INTEGER, voids TEXT, outcome BLOB, receipt BLOB, proof BLOB
);
CREATE UNIQUE INDEX sale_reference ON sale (reference) WHERE fate <> 'not_committed';
CREATE INDEX sale_open ON sale (card_id) WHERE fate IN ('pending', 'proven', 'unknown');
CREATE INDEX sale_proven ON sale (card_id, counter) WHERE fate = 'committed';
CREATE INDEX sale_voids ON sale (voids) WHERE voids IS NOT NULL;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
COLUMNS = (
    "reference, fate, kind, key_ref, card_id, counter, hour, amount, category, factor_tenths, shop, sequence, "
    "slot, voids, outcome, receipt, proof"
)
SELECT = f"SELECT {COLUMNS} FROM sale"  # noqa: S608 - the columns above, nothing from outside
INSERT = f"INSERT INTO sale ({COLUMNS}) VALUES (?{', ?' * COLUMNS.count(',')})"  # noqa: S608
OPEN = "fate IN ('pending', 'proven', 'unknown')"
UPDATE = f"UPDATE sale SET fate = ?, slot = ?, outcome = ?, receipt = ?, proof = ? WHERE sequence = ? AND {OPEN}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Row:
    """One authorized transaction.

    `reference` is None where the till found the entry on its shop card and knows no sale for it. `slot` is the place of its entry on the
    shop card, None with software keys and once the entry was written off. `outcome`, `receipt` and `proof` (MACs of 8 bytes) are None until
    the card gave them.
    """

    reference: str | None
    fate: Fate
    kind: Kind
    key_ref: int
    card_id: bytes
    counter: int
    order: Order
    slot: int | None = None
    voids: str | None = None
    outcome: Outcome | None = None
    receipt: bytes | None = None
    proof: bytes | None = None

    @property
    def head(self) -> bytes:
        """The first 20 bytes of the card's record of this transaction: all that the acceptor asked."""
        return HEAD.pack(self.kind, self.key_ref, self.counter) + self.order.encode()

    def ended(self, fate: Fate) -> Self:
        """The row with another fate."""
        return replace(self, fate=fate)

    def proven(self, answer: Answer) -> Self:
        """The row with the card's answer."""
        return replace(self, fate=Fate.PROVEN, outcome=Outcome.decode(answer.outcome), receipt=answer.receipt, proof=answer.proof)

    def doubted(self) -> Self:
        """The row without the card's answer, which was no proof."""
        return replace(self, fate=Fate.PENDING, outcome=None, receipt=None, proof=None)

    def answer(self) -> Answer:
        """The card's answer. Raises ValueError where there is none."""
        if self.outcome is None or self.receipt is None or self.proof is None:
            raise ValueError(f"sequence {self.order.sequence:08X}: the card has not answered")
        return Answer(self.outcome.encode(), self.receipt, self.proof)


def _answer(row: Row) -> tuple[bytes | None, bytes | None, bytes | None]:
    return (None if row.outcome is None else row.outcome.encode()), row.receipt, row.proof


def _row(columns: tuple[Any, ...]) -> Row:
    reference, fate, kind, key_ref, card_id, counter, *order, slot, voids, outcome, receipt, proof = columns
    decoded = None if outcome is None else Outcome.decode(outcome)
    return Row(reference, Fate(fate), Kind(kind), key_ref, card_id, counter, Order(*order), slot, voids, decoded, receipt, proof)


class Journal:
    """The rows of one acceptor, in a file, or in memory for ":memory:". `last` is the highest sequence in it, None of an empty one.

    For the thread that opened it: in another one its methods raise HostError. A journal that is `shared` is for several: one of them
    writes, any may look a row up meanwhile (`find`, `at`, `void_of`).
    """

    def __init__(self, path: str | PathLike[str], *, shared: bool = False) -> None:
        """Opens a journal, or makes it. Raises JournalError for a file that is damaged, newer, in use, or no journal."""
        self.path = fspath(path)
        self._thread = current_thread()
        self._shared = shared
        try:
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._fault(error) from error
        try:
            self._open()
        except (sqlite3.Error, NotOurs) as error:
            self._db.close()
            raise self._fault(error) from error
        except JournalError:
            self._db.close()
            raise

    def _fault(self, problem: object) -> JournalError:
        if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            problem = f"{problem}, another till has it open"
        return JournalError(f"journal {self.path}: {problem}; nothing can be transacted before it can be read and written")

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        new = is_new(self._db, APPLICATION_ID, SCHEMA_VERSION)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if new:
            self._db.executescript(SCHEMA)
        (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._fault(f"damaged ({verdict})")
        self._owner: str | None = next((name for (name,) in self._db.execute("SELECT name FROM owner")), None)
        self.last: int | None = self._db.execute("SELECT max(sequence) FROM sale").fetchone()[0]
        self._pending: dict[int, bytes] = dict(self._db.execute("SELECT sequence, card_id FROM sale WHERE fate = 'pending'"))

    def close(self) -> None:
        """Closes the file; what was written is there."""
        self._check_thread()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def bind(self, owner: str) -> None:
        """Makes an empty journal that of one acceptor. Raises HostError for a journal of another one."""
        if self._owner is None:
            self._execute("INSERT INTO owner VALUES (?)", (owner,))
            self._owner = owner
        if self._owner != owner:
            raise HostError(f"journal {self.path} is that of {self._owner}, not of {owner}: give each acceptor its own")

    def next_sequence(self, terminal: int) -> int:
        """The sequence number after the last one: terminal u8, count from 0. Raises HostError when the count is at its end (FFFFFF)."""
        sequence = terminal << 24 if self.last is None else self.last + 1
        if sequence & COUNT_MAX == COUNT_MAX:
            raise HostError(f"terminal {terminal}: all sequence numbers are used; give the till a new terminal number and a new journal")
        return sequence

    def add(self, row: Row) -> None:
        """Writes a new row; durable when this returns. Raises JournalError for a sequence or a live reference that is there already."""
        order = row.order
        head = (row.reference, row.fate.value, row.kind, row.key_ref, row.card_id, row.counter)
        asked = (order.hour, order.amount, order.category, order.factor_tenths, order.shop, order.sequence)
        self._execute(INSERT, (*head, *asked, row.slot, row.voids, *_answer(row)))
        self.last = order.sequence if self.last is None else max(self.last, order.sequence)
        self._note(row)

    def save(self, row: Row) -> None:
        """Writes fate, slot and answer of a row; durable when this returns. Raises JournalError for a row that is closed."""
        if self._execute(UPDATE, (row.fate.value, row.slot, *_answer(row), row.order.sequence)).rowcount != 1:
            raise self._fault(f"sequence {row.order.sequence:08X} is closed, or not there")
        self._note(row)

    def find(self, reference: str) -> Row | None:
        """The live row of a sale: the one that is not NOT_COMMITTED, if there is one."""
        return self._first("reference = ? AND fate <> 'not_committed'", reference)

    def at(self, sequence: int) -> Row | None:
        """The row of a sequence number."""
        return self._first("sequence = ?", sequence)

    def pending_of(self, card_id: bytes) -> list[Row]:
        """The rows that a card has to settle, oldest first (REQ-STL-2)."""
        if card_id not in self._pending.values():
            return []
        return list(self._rows(f"{OPEN} AND card_id = ? AND fate = 'pending' ORDER BY sequence", card_id))

    def counter_of(self, card_id: bytes) -> int:
        """The least value that a card's transaction counter can have, by what it was proven to have committed here."""
        found = self._execute("SELECT max(counter) FROM sale WHERE card_id = ? AND fate = 'committed'", (card_id,)).fetchone()[0]
        return 0 if found is None else int(found) + 1

    def entries(self) -> list[Row]:
        """The rows that still have an entry on the shop card, oldest first."""
        return list(self._rows(f"{OPEN} AND slot IS NOT NULL ORDER BY sequence"))

    def unsettled(self) -> list[Row]:
        """The rows that are not closed, oldest first: what cards have to settle, and what is left to the issuer."""
        return list(self._rows(f"{OPEN} ORDER BY sequence"))

    def void_of(self, reference: str) -> Row | None:
        """The live row that takes a sale back."""
        return self._first("voids = ? AND fate <> 'not_committed'", reference)

    def rows(self) -> Iterator[Row]:
        """All rows, oldest first."""
        return self._rows("TRUE ORDER BY sequence")

    def _note(self, row: Row) -> None:
        if row.fate is Fate.PENDING:
            self._pending[row.order.sequence] = row.card_id
        else:
            self._pending.pop(row.order.sequence, None)

    def _first(self, where: str, *values: object) -> Row | None:
        return next(self._rows(where, *values), None)

    def _rows(self, where: str, *values: object) -> Iterator[Row]:
        try:
            for columns in self._execute(f"{SELECT} WHERE {where}", values):
                yield _row(columns)
        except (sqlite3.Error, ValueError) as error:
            raise self._fault(f"damaged ({error})") from error

    def _check_thread(self) -> None:
        if not self._shared and current_thread() is not self._thread:
            here = f"{current_thread().name} came"
            raise HostError(f"journal {self.path} is for the thread that opened it, {self._thread.name}, {here}: open it where it is used")

    def _execute(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        self._check_thread()
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._fault(error) from error
