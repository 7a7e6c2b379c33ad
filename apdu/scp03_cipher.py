"""AES-CBC and AES-CMAC of one session key, with the cipher object kept.

How it works. Making a cipher object costs more than the few blocks of an APDU do. A kept CBC encryptor goes on from its last block of
output; that block, added to the first block of the next input, cancels the chaining. So a MAC is one call, of whose output the last block
counts; and so is encryption, for a counter put before the data becomes their initial vector. CBC decryption is ECB decryption of all blocks
at once, and one addition.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .cmac import BLOCK, MASK, RB
from .key import Key

__all__ = ["SessionCipher"]


class SessionCipher:
    """One AES key (16, 24 or 32 bytes) at work; counters and blocks are integers of 128 bits. Not for use by several threads at once."""

    __slots__ = ("_decrypt", "_encrypt", "_k1", "_k2", "_key", "_last")

    def __init__(self, key: Key) -> None:
        self._key = key
        self._encrypt = Cipher(algorithms.AES(key.reveal()), modes.CBC(bytes(BLOCK))).encryptor().update
        self._decrypt: Callable[[bytes], bytes] | None = None
        self._last = 0
        self._k1 = self._k2 = 0

    def block(self, value: int) -> int:
        """AES of one block."""
        self._last = int.from_bytes(self._encrypt((value ^ self._last).to_bytes(BLOCK)))
        return self._last

    def encrypt(self, counter: int, data: bytes) -> bytes:
        """AES-CBC of one or more whole blocks, with AES of a counter as the initial vector: the counter is one more block before them."""
        encrypted = self._encrypt((counter ^ self._last).to_bytes(BLOCK) + data)
        self._last = int.from_bytes(encrypted[-BLOCK:])
        return encrypted[BLOCK:]

    def decrypt(self, counter: int, data: bytes) -> bytes:
        """The same, taken back."""
        if self._decrypt is None:
            # ECB of all blocks, which CBC is made of below.
            self._decrypt = Cipher(algorithms.AES(self._key.reveal()), modes.ECB()).decryptor().update  # noqa: S305
        chained = int.from_bytes(self.block(counter).to_bytes(BLOCK) + data[:-BLOCK])
        return (int.from_bytes(self._decrypt(data)) ^ chained).to_bytes(len(data))

    def mac(self, message: bytes) -> bytes:
        """AES-CMAC of at least one byte, 16 bytes (NIST SP 800-38B)."""
        if not self._k1:
            self._k1 = _double(self.block(0))
            self._k2 = _double(self._k1)
        missing = -len(message) % BLOCK
        size = len(message) + missing
        whole = int.from_bytes(message)
        whole = (whole << 8 | 0x80) << 8 * (missing - 1) ^ self._k2 if missing else whole ^ self._k1
        mac = self._encrypt((whole ^ self._last << 8 * (size - BLOCK)).to_bytes(size))[-BLOCK:]
        self._last = int.from_bytes(mac)
        return mac


def _double(value: int) -> int:
    return (value << 1 & MASK) ^ (RB if value >> 127 else 0)
