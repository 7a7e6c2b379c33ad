"""The journal of batches: which card is to be made for whom, which chip became which card, and when; durable before a card is changed.

How it works. A SQLite file of one issuer and programme. A row is an order of a CSV file; a card is a chip that was given to a row, with the
identity it gets. Both stay for ever: a chip that was rejected stays, and its row gets another chip and, of customer cards, another serial
number. The numbers come from a counter in the file, in the very transaction that gives the chip to the row, so none comes twice, whatever
happens to this program. A lock file beside it lets one program write; others may read meanwhile. No key and no PIN ever comes here.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from .batch_csv import CsvRow, MemberRow, Problem
from .batch_schema import APPLICATION_ID, ENTRY_SELECT, SCHEMA, SCHEMA_VERSION, Batch, CheckValues, Counts, Entry, entry_of
from .errors import HostError, JournalError
from .holder import shop_card_id
from .sqlitefile import NotOurs, is_new

__all__ = ["Batch", "BatchJournal", "Counts", "Entry", "utc_now"]

SERIAL_MAX = 0xFFFFFFFF
PROBLEMS_SHOWN = 20
NEXT_WAITING = "SELECT id, shop, terminal FROM row INDEXED BY row_waiting WHERE batch = ? AND state = 'waiting' ORDER BY number LIMIT 1"


def utc_now() -> str:
    """The time as the journal has it: 2026-01-31T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class BatchJournal:
    """The journal in a file. A `writer` holds it alone; others read what is there."""

    def __init__(self, path: Path, programme: int, id_prefix: bytes, *, writer: bool = True, now: Callable[[], str] = utc_now) -> None:
        """Opens a journal, or makes it (a writer). Raises JournalError, and HostError for that of another programme or id prefix."""
        self.path = path
        self._now = now
        self._lock = self._take_lock() if writer else None
        try:
            self._db = self._connect(writer)
            self._open(programme, id_prefix, writer)
        except BaseException:
            self._free_lock()
            raise

    def _fault(self, problem: object) -> JournalError:
        return JournalError(f"journal {self.path}: {problem}; no card is made before it can be read and written")

    def _take_lock(self) -> IO[str]:
        path = self.path.with_name(self.path.name + ".lock")
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise self._fault(f"{path.name}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another program"
            file.close()
            raise self._fault(f"in use by {holder}; wait for its end, or stop it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()}, since {self._now()}\n")
        file.flush()
        return file

    def _free_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _connect(self, writer: bool) -> sqlite3.Connection:
        if not writer and not self.path.exists():
            raise self._fault("no such file; joren personalize batch makes it")
        try:
            return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _open(self, programme: int, id_prefix: bytes, writer: bool) -> None:
        try:
            new = is_new(self._db, APPLICATION_ID, SCHEMA_VERSION)
            if writer:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                if new:
                    self._make(programme, id_prefix)
                (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
                if verdict != "ok":
                    raise self._fault(f"damaged ({verdict})")
            bound = self._db.execute("SELECT programme, id_prefix FROM meta").fetchone()
        except (sqlite3.Error, NotOurs) as error:
            self._db.close()
            raise self._fault(error) from error
        except JournalError:
            self._db.close()
            raise
        if bound != (programme, id_prefix):
            self._db.close()
            came = "of none" if bound is None else f"of programme {bound[0]} with id prefix {bound[1].hex().upper()}"
            raise HostError(
                f"journal {self.path} is {came}, not of programme {programme} with {id_prefix.hex().upper()}: "
                "give each programme its own, and keep the prefix"
            )

    def _make(self, programme: int, id_prefix: bytes) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            self._db.execute(statement)
        self._db.execute("INSERT INTO meta VALUES (?, ?, 1)", (programme, id_prefix))
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Closes the file; what was written is there."""
        self._db.close()
        self._free_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it is durable when this ends, or nothing of it is. Raises JournalError."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._fault(error) from error
            raise

    def _query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from error

    # Batches and their rows

    def known_batch(self, csv_sha256: bytes) -> Batch | None:
        """The batch of a CSV file that was taken in before."""
        return next(self._batches("WHERE csv_sha256 = ?", csv_sha256), None)

    def named_batch(self, name: str) -> Batch:
        """The batch of a name. Raises HostError, which lists those there are."""
        found = next(self._batches("WHERE name = ?", name), None)
        if found is None:
            known = ", ".join(batch.name for batch in self.batches()) or "none yet"
            raise HostError(f"batch {name}: none of this name; there are: {known}")
        return found

    def batches(self) -> Iterator[Batch]:
        """All, oldest first."""
        return self._batches("ORDER BY id")

    def _batches(self, where: str, *values: object) -> Iterator[Batch]:
        rows = self._query(f"SELECT id, name, csv_sha256, kind, rows, bad_rows, taken_in FROM batch {where}", *values)  # noqa: S608
        return (Batch(*row) for row in rows)

    def take_in(self, name: str, csv_sha256: bytes, kind: str, rows: Iterable[CsvRow | Problem], *, skip_bad: bool = False) -> Batch:
        """A new batch. Raises HostError that lists what is wrong with its rows, and takes nothing in, unless bad ones are to be skipped."""
        shown: list[str] = []
        good = bad = 0
        with self._transaction():
            batch = self._db.execute(
                "INSERT INTO batch (name, csv_sha256, kind, rows, bad_rows, taken_in) VALUES (?, ?, ?, 0, 0, ?)",
                (self._free_name(name), csv_sha256, kind, self._now()),
            ).lastrowid
            for row in rows:
                problem = row if isinstance(row, Problem) else self._add_row(batch, row)
                if problem is None:
                    good += 1
                    continue
                bad += 1
                shown += [str(problem)] if bad <= PROBLEMS_SHOWN else []
                self._db.execute("INSERT INTO bad_row VALUES (?, ?, ?, ?)", (batch, problem.row, problem.column, problem.reason))
            if bad and not skip_bad:
                more = f"\nand {bad - len(shown):,} more" if bad > len(shown) else ""
                raise HostError(f"CSV: nothing was issued, what is wrong:\n{chr(10).join(shown)}{more}\n--skip-bad-rows leaves them out")
            if not good:
                raise HostError("CSV: rows expected after the header, none came that can be used; nothing was issued")
            self._db.execute("UPDATE batch SET rows = ?, bad_rows = ? WHERE id = ?", (good, bad, batch))
        found = self.known_batch(csv_sha256)
        assert found is not None
        return found

    def _free_name(self, name: str) -> str:
        taken = {row[0] for row in self._db.execute("SELECT name FROM batch WHERE name = ? OR name GLOB ?", (name, f"{name}-*"))}
        return next(one for one in (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))) if one not in taken)

    def _add_row(self, batch: int | None, row: CsvRow) -> Problem | None:
        """Adds it; what is wrong where the member, or the shop's terminal, has a row already."""
        if isinstance(row, MemberRow):
            values: list[object] = [row.member, row.name]
            columns = "member, name"
        else:
            columns = "shop, terminal, points, money_minor, may_load"
            values = [row.shop, row.terminal, row.points, row.money_minor, row.may_load]
        marks = ", ?" * len(values)
        try:
            self._db.execute(f"INSERT INTO row (batch, number, {columns}) VALUES (?, ?{marks})", (batch, row.number, *values))  # noqa: S608
        except sqlite3.IntegrityError:
            if isinstance(row, MemberRow):
                column, what, found = "member", repr(row.member), self._row_of("member = ?", row.member)
            else:
                column, what = "shop, terminal", f"shop {row.shop}, terminal {row.terminal}"
                found = self._row_of("shop = ? AND terminal = ?", row.shop, row.terminal)
            where = f"row {found[1]}" + ("" if found[0] == batch else f" of batch {found[2]}")
            return Problem(row.number, column, f"{what} stands in {where} already")
        return None

    def _row_of(self, where: str, *values: object) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._db.execute(
            f"SELECT batch, number, (SELECT name FROM batch WHERE id = row.batch) FROM row WHERE {where}",  # noqa: S608
            values,
        ).fetchone()
        return found

    def counts(self, batch: Batch) -> Counts:
        """Where its rows are."""
        rows = "SELECT count(*) FROM row INDEXED BY row_{0} WHERE batch = ? AND state = '{0}'"
        states = ("waiting", "assigned", "issued")
        waiting, assigned, issued = (self._query(rows.format(state), batch.batch_id)[0][0] for state in states)
        cards = "SELECT count(*) FROM card JOIN row ON row.id = card.row WHERE row.batch = ? AND"
        ((rejected,),) = self._query(f"{cards} card.state = 'rejected'", batch.batch_id)
        ((resumed,),) = self._query(f"{cards} card.state = 'issued' AND card.resumed > 0", batch.batch_id)
        return Counts(waiting, assigned, issued, rejected, resumed)

    # Cards

    def by_chip(self, chip: bytes) -> Entry | None:
        """The card that a chip (12 bytes) is, or was before it was rejected."""
        return next(self._entries("WHERE card.chip = ?", chip), None)

    def by_identity(self, identity: bytes) -> list[Entry]:
        """The cards of an identity (8 bytes): one, and before it those of a shop card that were rejected."""
        return list(self._entries("WHERE card.identity = ? ORDER BY card.state = 'rejected', card.ended_at", identity))

    def by_member(self, member: str) -> list[Entry]:
        """A member's row: with the card it has, then with those that were rejected."""
        return list(self._entries("WHERE row.member = ? ORDER BY card.state = 'rejected', card.ended_at", member))

    def open_rows(self, batch: Batch) -> Iterator[Entry]:
        """Rows whose card is half-made somewhere, in the order of the CSV file."""
        return self._entries(
            "WHERE row.batch = ? AND row.state = 'assigned' AND card.state = 'assigned' ORDER BY row.number", batch.batch_id
        )

    def issued(self, batch: Batch) -> Iterator[Entry]:
        """Rows that have their card, in the order of the CSV file; one at a time."""
        return self._entries("WHERE row.batch = ? AND row.state = 'issued' AND card.state = 'issued' ORDER BY row.number", batch.batch_id)

    def rejected(self, batch: Batch) -> Iterator[Entry]:
        """Cards that were rejected."""
        return self._entries("WHERE row.batch = ? AND card.state = 'rejected' ORDER BY row.number, card.ended_at", batch.batch_id)

    def bad_rows(self, batch: Batch) -> Iterator[Problem]:
        """What was wrong in the CSV file, where bad rows were skipped."""
        statement = "SELECT number, column_name, reason FROM bad_row WHERE batch = ? ORDER BY rowid"
        return (Problem(*row) for row in self._db.execute(statement, (batch.batch_id,)))

    def _entries(self, where: str, *values: object) -> Iterator[Entry]:
        try:
            for columns in self._db.execute(f"{ENTRY_SELECT} {where}", values):
                yield entry_of(columns)
        except (sqlite3.Error, ValueError) as error:
            raise self._fault(error) from error

    def assign(self, batch: Batch, chip: bytes, reader: str) -> Entry | None:
        """Gives a chip that is not known here to the next row that waits, with its identity; None where no row waits. Durable then."""
        with self._transaction():
            found = self._db.execute(NEXT_WAITING, (batch.batch_id,)).fetchone()
            if found is None:
                return None
            row, shop, terminal = found
            identity = self._next_identity() if shop is None else shop_card_id(shop, terminal)
            self._db.execute(
                "INSERT INTO card (chip, row, identity, state, resumed, assigned_at) VALUES (?, ?, ?, 'assigned', 0, ?)",
                (chip, row, identity, self._now()),
            )
            self._db.execute("UPDATE row SET state = 'assigned' WHERE id = ?", (row,))
            self._begin(chip, reader)
        return self.by_chip(chip)

    def _next_identity(self) -> bytes:
        prefix, serial = self._db.execute("SELECT id_prefix, next_serial FROM meta").fetchone()
        if serial > SERIAL_MAX:
            raise HostError(f"id prefix {prefix.hex().upper()}: all serial numbers are used; take another prefix and a new journal")
        self._db.execute("UPDATE meta SET next_serial = ?", (serial + 1,))
        return bytes(prefix) + int(serial).to_bytes(4)

    def resume(self, entry: Entry, reader: str) -> None:
        """Notes that a half-made card came back."""
        with self._transaction():
            self._db.execute("UPDATE card SET resumed = resumed + 1 WHERE chip = ?", (entry.chip,))
            self._begin(entry.chip, reader)

    def _begin(self, chip: bytes, reader: str) -> None:
        self._db.execute("INSERT INTO session (chip, reader, started_at) VALUES (?, ?, ?)", (chip, reader, self._now()))

    def _end(self, chip: bytes, outcome: str, reason: str = "") -> None:
        last = "SELECT max(id) FROM session WHERE chip = ?"
        statement = f"UPDATE session SET ended_at = ?, outcome = ?, reason = ? WHERE id = ({last}) AND ended_at IS NULL"  # noqa: S608
        self._db.execute(statement, (self._now(), outcome, reason, chip))

    def issue(self, chip: bytes, key_version: int, check_values: CheckValues) -> None:
        """The card was made and read back."""
        told = json.dumps(check_values)
        with self._transaction():
            self._finish(chip, "issued", "issued", key_version=key_version, check_values=told)

    def reject(self, chip: bytes, reason: str) -> None:
        """The card is scrap; its row waits for another one. Raises HostError unless it was half-made."""
        with self._transaction():
            self._finish(chip, "rejected", "waiting", reason=reason)

    def _finish(self, chip: bytes, state: str, row_state: str, **columns: int | str) -> None:
        sets = "".join(f", {name} = ?" for name in columns)
        statement = f"UPDATE card SET state = ?, ended_at = ?{sets} WHERE chip = ? AND state = 'assigned'"  # noqa: S608
        if self._db.execute(statement, (state, self._now(), *columns.values(), chip)).rowcount != 1:
            raise HostError(f"chip {chip.hex().upper()}: one that is half-made expected; it is not, or not known here")
        self._db.execute("UPDATE row SET state = ? WHERE id = (SELECT row FROM card WHERE chip = ?)", (row_state, chip))
        self._end(chip, state, str(columns.get("reason", "")))

    def lost(self, chip: bytes, reason: str) -> None:
        """The link to the card broke: it is as before a step or after it, and its row waits for this very card."""
        with self._transaction():
            self._end(chip, "lost", reason)

    def note(self, chip: bytes | None, reader: str, outcome: str, reason: str) -> None:
        """A card that was not touched: `chip` None where it told none."""
        with self._transaction():
            values = (chip, reader, self._now(), self._now(), outcome, reason)
            self._db.execute("INSERT INTO session (chip, reader, started_at, ended_at, outcome, reason) VALUES (?, ?, ?, ?, ?, ?)", values)
