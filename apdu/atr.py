"""The answer to reset: what its interface bytes say of the wire (ISO/IEC 7816-3:2006, 8), and its historical bytes of the card."""

from dataclasses import dataclass

__all__ = ["Atr", "BadAtr", "read_atr", "takes_extended_length"]

CONVENTIONS = (0x3B, 0x3F)
ATR_MAX = 33
GROUP_BYTES = ((0x10, "TA"), (0x20, "TB"), (0x40, "TC"), (0x80, "TD"))
TA1_DEFAULT = 0x11
T1 = 1
COMPACT_TLV = {0x00: 3, 0x80: 0}
"""Category indicators of historical bytes in COMPACT-TLV, and the size of the status indicator behind the objects."""
CARD_CAPABILITIES, CAPABILITIES_SIZE, EXTENDED_LENGTH = 7, 3, 0x40


class BadAtr(ValueError):
    """Bytes that are no ATR; says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Atr:
    """TA1 (11 where absent), the extra guard time N of TC1 in etu, the protocols T offered, and the historical bytes."""

    ta1: int
    extra_guard: int
    protocols: tuple[int, ...]
    historical: bytes


def read_atr(raw: bytes) -> Atr:
    """From a whole ATR. Raises BadAtr."""
    if len(raw) < 2 or len(raw) > ATR_MAX or raw[0] not in CONVENTIONS:
        raise BadAtr(f"3B or 3F, and 2..{ATR_MAX} bytes in all, expected, {raw.hex().upper()} came")
    offset, indicator, group = 2, raw[1], 1
    found: dict[str, int] = {}
    offered: list[int] = []
    while indicator & 0xF0:
        here = [name for bit, name in GROUP_BYTES if indicator & bit]
        if offset + len(here) > len(raw):
            raise BadAtr(f"interface bytes as T0 and TD say expected, {raw.hex().upper()} came")
        for name in here:
            found[f"{name}{group}"] = raw[offset]
            offset += 1
        if "TD" not in here:
            break
        indicator = found[f"TD{group}"]
        offered.append(indicator & 0x0F)
        group += 1
    protocols = tuple(dict.fromkeys(offered)) or (0,)
    length = raw[1] & 0x0F
    size = offset + length + (protocols != (0,))
    if len(raw) != size:
        raise BadAtr(f"{size} bytes, as T0 and TD say, expected, {len(raw)} came: {raw.hex().upper()}")
    check = 0
    for byte in raw[1:] if protocols != (0,) else b"":
        check ^= byte
    if check:
        raise BadAtr(f"TCK, the exclusive or of all bytes after the first, expected, {raw[-1]:02X} came: {raw.hex().upper()}")
    return Atr(found.get("TA1", TA1_DEFAULT), found.get("TC1", 0), protocols, raw[offset : offset + length])


def takes_extended_length(historical: bytes) -> bool:
    """Whether historical bytes have a card capabilities object that says so: tag 73, third byte, bit 7 (ISO/IEC 7816-4:2013, 12.1.1.9).

    False where they say nothing of it, or are of another format.
    """
    if not historical or historical[0] not in COMPACT_TLV:
        return False
    body = historical[1 : len(historical) - COMPACT_TLV[historical[0]]]
    while body:
        tag, length = body[0] >> 4, body[0] & 0x0F
        value, body = body[1 : 1 + length], body[1 + length :]
        if tag == CARD_CAPABILITIES and len(value) == CAPABILITIES_SIZE:
            return bool(value[2] & EXTENDED_LENGTH)
    return False
