"""A SQLite file of ours: whether it is new, ours, and of this version."""

import sqlite3

__all__ = ["NotOurs", "is_new"]


class NotOurs(Exception):
    """Another program's file, or one of another schema version; says which."""


def is_new(db: sqlite3.Connection, application_id: int, schema_version: int) -> bool:
    """Whether there is nothing in it yet. Raises NotOurs for what another program or another version wrote, sqlite3.Error."""
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not (application or version or tables):
        return True
    if application != application_id:
        raise NotOurs("another program's file")
    if version != schema_version:
        raise NotOurs(f"schema version {schema_version} expected, {version} came: a newer joren wrote it")
    return False
