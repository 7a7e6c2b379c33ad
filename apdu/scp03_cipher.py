"""AES-CBC of one session key, with the cipher object kept.

How it works. Making a cipher object costs more than the few blocks of an APDU do. A kept CBC encryptor goes on from its last block of
output; that block, added to the first block of the next input, cancels the chaining. So encryption is one call, for a counter put before
the data becomes their initial vector. CBC decryption is ECB decryption of all blocks at once, and one addition.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .key import Key

__all__ = ["SessionCipher"]

BLOCK = 16


class SessionCipher:
    """One AES key (16, 24 or 32 bytes) at work; counters are integers of 128 bits. Not for use by several threads at once."""

    __slots__ = ("_decrypt", "_encrypt", "_key", "_last")

    def __init__(self, key: Key) -> None:
        self._key = key
        self._encrypt = Cipher(algorithms.AES(key.reveal()), modes.CBC(bytes(BLOCK))).encryptor().update
        self._decrypt: Callable[[bytes], bytes] | None = None
        self._last = 0

    def encrypt(self, counter: int, data: bytes) -> bytes:
        """AES-CBC of whole blocks, with AES of a counter as the initial vector: the counter is one more block before them."""
        return self._chained(counter, data)[BLOCK:]

    def decrypt(self, counter: int, data: bytes) -> bytes:
        """The same, taken back."""
        if self._decrypt is None:
            # ECB of all blocks, which CBC is made of below.
            self._decrypt = Cipher(algorithms.AES(self._key.reveal()), modes.ECB()).decryptor().update  # noqa: S305
        chained = int.from_bytes(self._chained(counter, b"") + data[:-BLOCK])
        return (int.from_bytes(self._decrypt(data)) ^ chained).to_bytes(len(data))

    def _chained(self, counter: int, data: bytes) -> bytes:
        """AES of a counter, and behind it the data in AES-CBC."""
        encrypted = self._encrypt((counter ^ self._last).to_bytes(BLOCK) + data)
        self._last = int.from_bytes(encrypted[-BLOCK:])
        return encrypted
