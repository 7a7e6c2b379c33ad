"""What stands in a batch journal (batch_journal.py): its tables, and the indexes by which every look-up goes."""

__all__ = ["BATCH_APPLICATION_ID", "ENTRY_SELECT", "SCHEMA", "SCHEMA_VERSION"]

BATCH_APPLICATION_ID = 0x4A4F5242  # "JORB"
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
    "CREATE INDEX row_batch ON row (batch, number)",
    "CREATE UNIQUE INDEX card_row ON card (row) WHERE state <> 'rejected'",
    "CREATE UNIQUE INDEX card_live_identity ON card (identity) WHERE state <> 'rejected'",
    "CREATE INDEX card_of_row ON card (row)",
    "CREATE INDEX card_identity ON card (identity)",
    "CREATE INDEX card_rejected ON card (row) WHERE state = 'rejected'",
    "CREATE INDEX session_chip ON session (chip)",
    f"PRAGMA application_id = {BATCH_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
"""The statements that make it. One chip is one card for ever; a row, and an identity, has one card that is not rejected."""

ENTRY_SELECT = """
SELECT row.batch, batch.name, row.number, row.member, row.name, row.shop, row.terminal, row.points, row.money_minor, row.may_load, row.state,
    card.chip, card.identity, card.state, card.key_version, card.check_values, card.reason, card.resumed, card.assigned_at, card.ended_at
FROM row JOIN batch ON batch.id = row.batch LEFT JOIN card ON card.row = row.id"""
"""A row and its card, as joren.host.batch_journal.Entry has them."""
