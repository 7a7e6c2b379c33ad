"""AES-CBC of one session key, with the cipher object kept.

How it works. Making a cipher object costs more than the few blocks of an APDU do. A kept CBC encryptor goes on from its last block of
output; that block, added to the first block of the next input, cancels the chaining. So encryption is one call, for a counter put before
the data becomes their initial vector. A kept CBC decryptor goes on from its last block of input: it is given the initial vector first, and
what that decrypts to is dropped.
"""

from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .key import Key

__all__ = ["SessionCipher"]

BLOCK = 16
Update = Callable[[bytes], bytes]


class SessionCipher:
    """One AES key (16, 24 or 32 bytes) at work; counters are integers of 128 bits. Not for use by several threads at once."""

    __slots__ = ("_decrypt", "_encrypt", "_key", "_last")

    def __init__(self, key: Key) -> None:
        self._key = key
        self._encrypt: Update | None = None
        self._decrypt: Update | None = None
        self._last = 0

    def encrypt(self, counter: int, data: bytes) -> bytes:
        """AES-CBC of whole blocks, with AES of a counter as the initial vector: the counter is one more block before them."""
        return self._chained(counter, data)[BLOCK:]

    def decrypt(self, counter: int, data: bytes) -> bytes:
        """The same, taken back."""
        if self._decrypt is None:
            self._decrypt = self._cipher().decryptor().update
        return self._decrypt(self._chained(counter) + data)[BLOCK:]

    def _chained(self, counter: int, data: bytes = b"") -> bytes:
        """AES of a counter, and behind it the data in AES-CBC."""
        if self._encrypt is None:
            self._encrypt = self._cipher().encryptor().update
        encrypted = self._encrypt((counter ^ self._last).to_bytes(BLOCK) + data)
        self._last = int.from_bytes(encrypted[-BLOCK:])
        return encrypted

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key.reveal()), modes.CBC(bytes(BLOCK)))
