"""Key derivation: NIST SP 800-108r1, 4.1, counter mode with AES-CMAC as the pseudo-random function (REQ-KEY-2)."""

from collections.abc import Callable

__all__ = ["derive"]

BLOCK = 16


def derive(prf: Callable[[bytes], bytes], label: bytes, context: bytes, length: int) -> bytes:
    """`length` bytes (at most 255 blocks) of PRF(i | label | 00 | context | L): i from 01 in one byte, L the length in bits in two.

    `prf` is AES-CMAC under the deriving key, 16 bytes.
    """
    if not 0 < length <= 255 * BLOCK:
        raise ValueError(f"length: 1..{255 * BLOCK} bytes expected, {length} came")
    fixed = label + b"\x00" + context + (length * 8).to_bytes(2)
    blocks = -(-length // BLOCK)
    return b"".join(prf(bytes((i,)) + fixed) for i in range(1, blocks + 1))[:length]
