"""Keys that never show themselves: not in repr, str, format, pickle, copies, exceptions or `vars`.

How it works. Making the library's CMAC object costs several times what a MAC of a few blocks does, and copying one costs little. So a key
makes it at its first MAC and keeps it; each message goes to a copy.
"""

from hmac import compare_digest
from typing import Never

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from .kdf import derive

__all__ = ["Key", "MacMismatch"]

MAC_SIZE = 8


class MacMismatch(Exception):
    """A MAC is not the one that key and message give."""


class Key:
    """An AES key: 16, 24 or 32 bytes, a name for people, a version."""

    __slots__ = ("_bytes", "_keyed", "name", "version")

    def __init__(self, key: bytes, name: str = "", version: int = 1) -> None:
        if len(key) not in (16, 24, 32):
            raise ValueError(f"key {name}: 16, 24 or 32 bytes expected, {len(key)} came")
        self._bytes = bytes(key)
        self._keyed: CMAC | None = None
        self.name = name
        self.version = version

    def __repr__(self) -> str:
        return f"<Key {self.name or 'unnamed'} AES-{len(self._bytes) * 8} version {self.version}>"

    def __eq__(self, other: object) -> bool:
        return compare_digest(self._bytes, other._bytes) if isinstance(other, Key) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, _protocol: object) -> Never:
        raise TypeError("a Key is neither pickled nor copied")

    def __len__(self) -> int:
        return len(self._bytes)

    def cmac(self, message: bytes) -> bytes:
        """AES-CMAC of message, 16 bytes (NIST SP 800-38B)."""
        if self._keyed is None:
            self._keyed = CMAC(algorithms.AES(self._bytes))
        mac = self._keyed.copy()
        mac.update(message)
        return mac.finalize()

    def mac8(self, message: bytes) -> bytes:
        """AES-CMAC of message, its 8 leftmost bytes."""
        return self.cmac(message)[:MAC_SIZE]

    def verify8(self, message: bytes, mac: bytes) -> None:
        """Raises MacMismatch unless mac is mac8(message); in constant time."""
        if not compare_digest(self.mac8(message), mac):
            raise MacMismatch(f"{self!r}: the MAC fits not the message")

    def kcv(self) -> bytes:
        """The key check value, 3 bytes: AES of sixteen 01 (GlobalPlatform 2.3.1, B.6)."""
        return Cipher(algorithms.AES(self._bytes), modes.ECB()).encryptor().update(b"\x01" * 16)[:3]  # noqa: S305 - of one block

    def derive(self, label: bytes, context: bytes, name: str = "") -> "Key":
        """The key of the same length for label and context (REQ-KEY-2)."""
        return Key(derive(self.cmac, label, context, len(self._bytes)), name or label.decode(), self.version)

    def reveal(self) -> bytes:
        """The bytes, for personalization and key wrapping alone."""
        return self._bytes
