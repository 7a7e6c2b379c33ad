"""AES-CMAC (NIST SP 800-38B, RFC 4493) with the block cipher kept ready.

How it works. Making a cipher object costs several times what a MAC does, so the AES-ECB context of a key is made once; the chaining and
the two subkeys are done here on 128-bit integers."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["Cmac", "cmac"]

BLOCK = 16
MASK = (1 << 128) - 1
RB = 0x87


class Cmac:
    """The MAC function of one AES key (16, 24 or 32 bytes). Not for use by several threads at once."""

    __slots__ = ("_encrypt", "_k1", "_k2")

    def __init__(self, key: bytes) -> None:
        # One block at a time in ECB is the raw block cipher that CMAC is built on.
        self._encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update  # noqa: S305
        self._k1 = _double(int.from_bytes(self._encrypt(bytes(BLOCK))))
        self._k2 = _double(self._k1)

    def block(self, block: bytes) -> bytes:
        """AES of one block, 16 bytes."""
        return self._encrypt(block)

    def mac(self, message: bytes) -> bytes:
        """The MAC of message, 16 bytes."""
        encrypt, from_bytes = self._encrypt, int.from_bytes
        chain = 0
        last = max(0, (len(message) - 1) // BLOCK * BLOCK)
        for offset in range(0, last, BLOCK):
            chain = from_bytes(encrypt((chain ^ from_bytes(message[offset : offset + BLOCK])).to_bytes(BLOCK)))
        tail = message[last:]
        if len(tail) == BLOCK:
            chain ^= from_bytes(tail) ^ self._k1
        else:
            chain ^= from_bytes((tail + b"\x80").ljust(BLOCK, b"\x00")) ^ self._k2
        return encrypt(chain.to_bytes(BLOCK))


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC of message, 16 bytes, for a key that is used once."""
    return Cmac(key).mac(message)


def _double(value: int) -> int:
    return (value << 1 & MASK) ^ (RB if value >> 127 else 0)
