"""What a chip did for a command, operation by operation: what the time model (timing.py) counts."""

from enum import Enum

__all__ = ["Op", "Work"]


class Op(Enum):
    """An operation that takes a card time; the number beside it in Work is its size in bytes."""

    MAC = "MAC"
    """AES-CMAC of so many bytes of message, key and cipher ready."""
    SET_KEY = "set key"
    """A key of so many bytes put into a transient key object, and a cipher made ready with it."""
    RANDOM = "random"
    """So many random bytes."""
    WRITE = "write"
    """One atomic write of so many bytes to non-volatile memory, in a transaction or alone."""
    COMMIT = "commit"
    """The end of a transaction that changed so many bytes."""
    BYTECODES = "bytecodes"
    """So many bytecodes, of an applet in Java whose bytecodes are counted."""


Work = list[tuple[Op, int]]
"""In the order in which they happened."""
