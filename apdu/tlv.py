"""BER-TLV, strict (ISO/IEC 7816-4:2013, 5.2.2), and the DGI format of personalization (EMV CPS 1.1; GlobalPlatform 2.3.1, 11.11.2).

Strict: definite and minimal lengths, nothing truncated, nothing after the end; so bytes and values correspond one to one. A tag number
below 31 in two bytes is taken, as EMV has many (9F02, BF0C).

How it works. Nearly every object has a tag of one or two bytes and a length of one byte: parse_tlv reads these by itself. Whatever else
comes, good or bad, it leaves to _parse_tag and _parse_length, which hold the rules.
"""

from typing import NamedTuple

__all__ = ["Dgi", "MalformedTlv", "Tlv", "build_dgi", "build_tlv", "find", "parse_dgis", "parse_one", "parse_tlv"]

TAG_BYTES_MAX = 3
LENGTH_MAX = 0xFFFFFF


class MalformedTlv(ValueError):
    """Bytes that are not strict TLV, or a data object that is not there."""


class Tlv(NamedTuple):
    """One data object: tag (1 to 3 bytes as a number, 0x5F2D) and value."""

    tag: int
    value: bytes


class Dgi(NamedTuple):
    """One data grouping: tag u16 and value of up to 65535 bytes."""

    tag: int
    value: bytes


def build_tlv(tag: int, value: bytes) -> bytes:
    """A data object with minimal tag and length. Raises MalformedTlv for a tag or a value that no data object can have."""
    raw = tag.to_bytes((tag.bit_length() + 7) // 8 or 1)
    length = len(value)
    if length > LENGTH_MAX or _parse_tag(raw, 0) != (tag, len(raw)):
        raise MalformedTlv(f"tag {tag:X} with {length} bytes: not a data object")
    if length < 0x80:
        return raw + bytes((length,)) + value
    size = (length.bit_length() + 7) // 8
    return raw + bytes((0x80 | size,)) + length.to_bytes(size) + value


def parse_tlv(data: bytes) -> list[Tlv]:
    """All data objects in data, one after the other, to the very end. Raises MalformedTlv with the offset."""
    new_tuple = tuple.__new__  # makes a Tlv in half the time that Tlv() takes
    found, offset, size = [], 0, len(data)
    try:
        while offset < size:
            tag, length, start = data[offset], data[offset + 1], offset + 2
            if tag & 0x1F == 0x1F or not tag:
                if tag and length < 0x80:
                    tag, length, start = tag << 8 | length, data[start], start + 1
                else:
                    tag, start = _parse_tag(data, offset)
                    length, start = data[start], start + 1
            end = start + length
            if length >= 0x80 or end > size:
                start, end = _parse_length(data, start - 1)
            found.append(new_tuple(Tlv, (tag, data[start:end])))
            offset = end
    except IndexError:
        raise MalformedTlv(f"offset {offset}: a whole tag and length expected, {data[offset:].hex().upper()} came") from None
    return found


def parse_one(data: bytes) -> Tlv:
    """Exactly one data object. Raises MalformedTlv."""
    objects = parse_tlv(data)
    if len(objects) != 1:
        raise MalformedTlv(f"one data object expected, {len(objects)} came")
    return objects[0]


def find(data: bytes, *path: int) -> bytes:
    """The value at a path of tags, 0x6F, 0x84; each tag once at its level. Raises MalformedTlv naming the path."""
    value = data
    for depth, tag in enumerate(path):
        values = [found.value for found in parse_tlv(value) if found.tag == tag]
        if len(values) != 1:
            where = "/".join(f"{step:X}" for step in path[: depth + 1])
            raise MalformedTlv(f"{where}: one data object expected, {len(values)} came")
        value = values[0]
    return value


def _parse_tag(data: bytes, offset: int) -> tuple[int, int]:
    tag = data[offset]
    if tag == 0:
        raise MalformedTlv(f"offset {offset}: a tag expected, 00 came")
    if tag & 0x1F != 0x1F:
        return tag, offset + 1
    for size in range(2, TAG_BYTES_MAX + 1):
        if offset + size > len(data):
            raise MalformedTlv(f"offset {offset}: tag cut short")
        byte = data[offset + size - 1]
        tag = tag << 8 | byte
        if size == 2 and byte == 0x80:
            raise MalformedTlv(f"offset {offset}: tag not minimal")
        if not byte & 0x80:
            return tag, offset + size
    raise MalformedTlv(f"offset {offset}: tag of at most {TAG_BYTES_MAX} bytes expected, a longer one came")


def _parse_length(data: bytes, offset: int) -> tuple[int, int]:
    length, start = data[offset], offset + 1
    if length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 3 or start + size > len(data):
            raise MalformedTlv(f"offset {offset}: a definite length of up to 3 bytes expected, {length:02X} came")
        length, start = int.from_bytes(data[start : start + size]), start + size
        if length < 0x80 or length >> 8 * (size - 1) == 0:
            raise MalformedTlv(f"offset {offset}: length not minimal")
    if start + length > len(data):
        raise MalformedTlv(f"offset {start}: {length} bytes of value expected, {len(data) - start} came")
    return start, start + length


def build_dgi(tag: int, value: bytes) -> bytes:
    """tag u16 | length (1 byte up to FE, else FF and 2 bytes) | value."""
    length = len(value)
    if not (0 < tag <= 0xFFFF and length <= 0xFFFF):
        raise MalformedTlv(f"DGI {tag:X} with {length} bytes: not a data grouping")
    return tag.to_bytes(2) + (bytes((length,)) if length < 0xFF else b"\xff" + length.to_bytes(2)) + value


def parse_dgis(data: bytes) -> list[Dgi]:
    """All data groupings in data, to the very end; lengths minimal. Raises MalformedTlv with the offset."""
    found, offset = [], 0
    while offset < len(data):
        if offset + 3 > len(data):
            raise MalformedTlv(f"offset {offset}: DGI tag and length expected, {len(data) - offset} bytes came")
        tag, length, start = int.from_bytes(data[offset : offset + 2]), data[offset + 2], offset + 3
        if length == 0xFF:
            length, start = int.from_bytes(data[start : start + 2]), start + 2
            if start > len(data) or length < 0xFF:
                raise MalformedTlv(f"offset {offset}: length cut short or not minimal")
        if start + length > len(data):
            raise MalformedTlv(f"offset {start}: {length} bytes of value expected, {len(data) - start} came")
        found.append(Dgi(tag, data[start : start + length]))
        offset = start + length
    return found
