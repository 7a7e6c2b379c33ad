"""What stands in a batch journal (batch_journal.py): its tables, the indexes by which every look-up goes, and the records that come out."""

import json
from dataclasses import dataclass
from typing import Any

from .batch_csv import CsvRow, MemberRow, ShopRow

__all__ = ["APPLICATION_ID", "ENTRY_SELECT", "SCHEMA", "SCHEMA_VERSION", "Batch", "CheckValues", "Counts", "Entry", "entry_of"]

CheckValues = tuple[tuple[str, str], ...]

APPLICATION_ID = 0x4A4F5242  # "JORB"
SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE TABLE meta (programme INTEGER NOT NULL, id_prefix BLOB NOT NULL, next_serial INTEGER NOT NULL)",
    """CREATE TABLE batch (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, csv_sha256 BLOB NOT NULL UNIQUE, kind TEXT NOT NULL,
        rows INTEGER NOT NULL, bad_rows INTEGER NOT NULL, taken_in TEXT NOT NULL)""",
    "CREATE TABLE bad_row (batch INTEGER NOT NULL, number INTEGER NOT NULL, column_name TEXT NOT NULL, reason TEXT NOT NULL)",
    """CREATE TABLE row (
        id INTEGER PRIMARY KEY, batch INTEGER NOT NULL, number INTEGER NOT NULL, member TEXT, name TEXT,
        shop INTEGER, terminal INTEGER, points INTEGER, money_minor INTEGER, may_load INTEGER,
        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'assigned', 'issued')))""",
    """CREATE TABLE card (
        chip BLOB PRIMARY KEY, row INTEGER NOT NULL, identity BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('assigned', 'issued', 'rejected')), key_version INTEGER, check_values TEXT, reason TEXT,
        resumed INTEGER NOT NULL, assigned_at TEXT NOT NULL, ended_at TEXT) WITHOUT ROWID""",
    """CREATE TABLE session (
        id INTEGER PRIMARY KEY, chip BLOB, reader TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, outcome TEXT, reason TEXT)""",
    "CREATE UNIQUE INDEX row_member ON row (member) WHERE member IS NOT NULL",
    "CREATE UNIQUE INDEX row_shop ON row (shop, terminal) WHERE shop IS NOT NULL",
    "CREATE INDEX row_waiting ON row (batch, number) WHERE state = 'waiting'",
    "CREATE INDEX row_assigned ON row (batch, number) WHERE state = 'assigned'",
    "CREATE INDEX row_issued ON row (batch, number) WHERE state = 'issued'",
    "CREATE UNIQUE INDEX card_row ON card (row) WHERE state <> 'rejected'",
    "CREATE UNIQUE INDEX card_live_identity ON card (identity) WHERE state <> 'rejected'",
    "CREATE INDEX card_of_row ON card (row)",
    "CREATE INDEX card_identity ON card (identity)",
    "CREATE INDEX card_rejected ON card (row) WHERE state = 'rejected'",
    "CREATE INDEX session_chip ON session (chip)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
"""The statements that make it. One chip is one card for ever; a row, and an identity, has one card that is not rejected."""

ENTRY_SELECT = """
SELECT row.batch, batch.name, row.number, row.member, row.name, row.shop, row.terminal, row.points, row.money_minor, row.may_load,
    row.state,
    card.chip, card.identity, card.state, card.key_version, card.check_values, card.reason, card.resumed, card.assigned_at, card.ended_at
FROM row JOIN batch ON batch.id = row.batch LEFT JOIN card ON card.row = row.id"""
"""A row and its card, as joren.host.batch_journal.Entry has them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A CSV file that was taken in: its number and name here, SHA-256 (32 bytes), how many rows it gave, and how many were bad."""

    batch_id: int
    name: str
    csv_sha256: bytes
    kind: str
    rows: int
    bad_rows: int
    taken_in: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the rows of a batch are, and how many of its chips were rejected; `resumed` were issued after they had been half-made."""

    waiting: int
    assigned: int
    issued: int
    rejected: int
    resumed: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A row, and the card it has or had.

    `row_state` is "waiting" (for a card), "assigned" (half-made) or "issued"; `state` that of the card: "assigned", "issued" or "rejected",
    or "waiting" where there is none. `chip` is 12 bytes and `identity` 8, both b"" without a card; `check_values` are those of its keys.
    """

    batch_id: int
    batch: str
    order: CsvRow
    row_state: str
    state: str
    chip: bytes = b""
    identity: bytes = b""
    key_version: int = 0
    check_values: CheckValues = ()
    reason: str = ""
    resumed: int = 0
    assigned_at: str = ""
    ended_at: str = ""


def entry_of(columns: tuple[Any, ...]) -> Entry:
    """From the columns of ENTRY_SELECT."""
    batch_id, batch, number, member, name, shop, terminal, points, money, may_load, row_state, *card = columns
    order: CsvRow
    order = ShopRow(number, shop, terminal, points, money, bool(may_load)) if member is None else MemberRow(number, member, name)
    if card[0] is None:
        return Entry(batch_id, batch, order, row_state, row_state)
    chip, identity, state, version, told, reason, resumed, assigned_at, ended_at = card
    values = tuple((name, value) for name, value in json.loads(told or "[]"))
    known = (chip, identity, version or 0, values, reason or "", resumed, assigned_at, ended_at or "")
    return Entry(batch_id, batch, order, row_state, state, *known)
