"""The issuer's master keys, for development: made at random and kept in a file that says what it is. No key of it is for real cards.

What leaves this object is a Key (which never shows itself) or a MAC that was checked.
"""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from secrets import token_bytes
from typing import Self

from joren.apdu import Key, KeyRef, messages
from joren.apdu.transaction import Transaction

from .errors import HostError
from .holder import shop_card_id
from .results import Receipt

__all__ = ["Masters"]

FORMAT = "joren-development-keys"
VERSION = 1
WARNING = "Development keys. Whoever reads this file can issue cards and grant points. Never use it for real cards."
KEY_SIZE = 16
LABELS = {KeyRef.TILL: b"till", KeyRef.SHOP: b"shop", KeyRef.RECEIPT: b"receipt", KeyRef.LOAD: b"load", KeyRef.ADMIN: b"admin"}


@dataclass(frozen=True, slots=True)
class Masters:
    """One AES-128 master key for each use (REQ-KEY-2), and `storage`, under which card images wrap their secrets."""

    till: Key
    shop: Key
    receipt: Key
    load: Key
    admin: Key
    shop_admin: Key
    storage: Key

    @classmethod
    def create(cls, random: Callable[[int], bytes] = token_bytes) -> Self:
        """New keys."""
        return cls(*(Key(random(KEY_SIZE), f"{field.name} master") for field in fields(cls)))

    @classmethod
    def load_file(cls, path: Path) -> Self:
        """From a file that `save_file` wrote. Raises HostError for another file, and for one that others may read."""
        try:
            mode = path.stat().st_mode
            table = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise HostError(f"keys {path}: {error.strerror}") from error
        except ValueError:
            raise HostError(f"keys {path}: no JSON; take a copy of it from before") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise HostError(f"keys {path}: others may read it (mode {stat.S_IMODE(mode):o}); chmod 600 it")
        if not isinstance(table, dict) or (table.get("format"), table.get("version")) != (FORMAT, VERSION):
            raise HostError(f"keys {path}: {FORMAT} of version {VERSION} expected, another kind of file came")
        try:
            keys = [bytes.fromhex(table["keys"][field.name]) for field in fields(cls)]
            return cls(*(Key(key, f"{field.name} master") for key, field in zip(keys, fields(cls), strict=True)))
        except (KeyError, TypeError, ValueError):
            raise HostError(f"keys {path}: a key is missing or damaged; take a copy of it from before") from None

    def save_file(self, path: Path) -> None:
        """Writes a new file that only its owner may read. Raises HostError where there is one already."""
        keys = {field.name: getattr(self, field.name).reveal().hex().upper() for field in fields(self)}
        text = json.dumps({"format": FORMAT, "version": VERSION, "warning": WARNING, "keys": keys}, indent=1) + "\n"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise HostError(f"keys {path}: {error.strerror}; nothing was written") from error
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)

    def card_key(self, key_ref: KeyRef, programme: int, card_id: bytes) -> Key:
        """A customer card's key (REQ-KEY-2); `card_id` is 8 bytes."""
        master: Key = getattr(self, LABELS[key_ref].decode())
        return master.derive(LABELS[key_ref], messages.head(programme, card_id))

    def shop_admin_key(self, programme: int, shop: int, terminal: int) -> Key:
        """A shop card's ADMIN key (REQ-KEY-4)."""
        return self.shop_admin.derive(b"shop-admin", messages.head(programme, shop_card_id(shop, terminal)))

    def verify_receipt(self, receipt: Receipt) -> Transaction:
        """The transaction that a receipt proves (REQ-MAC-4). Raises MacMismatch for one that no card of these keys gave."""
        head = messages.head(receipt.programme, receipt.card_id)
        self.receipt.derive(LABELS[KeyRef.RECEIPT], head).verify8(messages.receipt(head, receipt.record), receipt.mac)
        return Transaction.decode(receipt.record)
