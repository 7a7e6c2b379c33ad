"""AES-CMAC (NIST SP 800-38B, RFC 4493) with the keyed object kept.

How it works. Making the library's CMAC object costs several times what a MAC of a few blocks does, and copying one costs little. So the
object of a key is made once, takes no message itself, and each message goes to a copy.
"""

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

__all__ = ["Cmac", "cmac"]


class Cmac:
    """The MAC function of one AES key (16, 24 or 32 bytes)."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = CMAC(algorithms.AES(key))

    def mac(self, message: bytes) -> bytes:
        """The MAC of message, 16 bytes."""
        mac = self._keyed.copy()
        mac.update(message)
        return mac.finalize()


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC of message, 16 bytes, for a key that is used once."""
    return Cmac(key).mac(message)
