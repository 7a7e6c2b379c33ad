"""What an applet needs from the chip under it: memory, transactions, keys, random bytes.

The applets are written against these protocols alone, so every persistent write passes the chip, which may count, journal or tear it.
An applet allocates in its constructor only (as Java Card applets do at install) and keeps no state of its own outside these cells.
"""

from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

from joren.apdu import Key

__all__ = ["CardKey", "Cells", "Platform", "SecureChannel", "Until"]


class Until(Enum):
    """How long RAM keeps what is in it (Java Card: CLEAR_ON_RESET, CLEAR_ON_DESELECT)."""

    RESET = "reset"
    DESELECT = "deselect"
    """Until the instance is deselected or selected again, or reset."""


class Cells(Protocol):
    """A fixed array of bytes in the chip's memory, persistent or transient."""

    def __len__(self) -> int: ...

    def get(self, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes from offset on: `length` of them, or all that follow."""

    def put(self, offset: int, data: bytes) -> None:
        """Writes data at offset. Persistent: one atomic write, part of the open transaction if there is one."""


class CardKey(Protocol):
    """An AES-128 key in persistent memory. Nothing here gives the key back."""

    def store(self, key: bytes) -> None:
        """Writes the 16 bytes, part of the open transaction if there is one."""

    def mac8(self, message: bytes) -> bytes:
        """AES-CMAC (NIST SP 800-38B) of message, its 8 leftmost bytes."""

    def derive(self, label: bytes, context: bytes) -> Key:
        """A key of its own for label and context (REQ-KEY-2); the caller forgets it when its command ends."""


class SecureChannel(Protocol):
    """The session with the card manager that the command in hand came through (Java Card: org.globalplatform.SecureChannel)."""

    @property
    def c_mac(self) -> bool:
        """Whether commands are authenticated."""

    @property
    def r_mac(self) -> bool:
        """Whether answers are authenticated too."""

    @property
    def c_decryption(self) -> bool:
        """Whether their data came encrypted too."""

    def decrypt(self, data: bytes) -> bytes:
        """Whole blocks of 16 bytes that are encrypted under the session's Key-DEK. Raises ValueError for others."""


class Platform(Protocol):
    """The chip as one applet instance sees it. Names are unique within the instance."""

    @property
    def development(self) -> bool:
        """Whether it is a chip for development, on which cards are personalized in the clear (REQ-PER-5)."""

    @property
    def channel(self) -> SecureChannel | None:
        """The secure channel of the command in hand; None where it came in the clear."""

    def persistent(self, name: str, size: int, *, secret: bool = False) -> Cells:
        """Allocates zeroed persistent memory. `secret` cells (PINs) are kept out of readable images."""

    def transient(self, name: str, size: int, *, until: Until = Until.DESELECT) -> Cells:
        """Allocates RAM, zeroed on reset and, unless it lasts until then, on deselection."""

    def key(self, name: str) -> CardKey:
        """Allocates a key, zeroed."""

    def transaction(self) -> AbstractContextManager[None]:
        """All persistent writes inside happen together or, on an exception or power loss, not at all. Not nested."""

    def random(self, length: int) -> bytes:
        """Random bytes from the chip's generator."""
