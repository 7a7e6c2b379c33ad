"""What hosts and a card manager tell each other: data of INSTALL, DELETE, GET STATUS, and data objects (GlobalPlatform 2.3.1, 11)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from .codes import AID_CUSTOMER, AID_SHOP
from .record import MalformedRecord
from .tlv import MalformedTlv, build_tlv, find, parse_one, parse_tlv

__all__ = [
    "MANAGER_AID",
    "MANAGER_PRIVILEGES",
    "MODULES",
    "PACKAGE_AID",
    "Application",
    "GpIns",
    "InstallData",
    "card_data",
    "chip_id",
    "cplc",
    "file_control_information",
    "key_information",
    "parse_delete",
    "parse_key_information",
    "parse_personalization",
    "parse_registry",
    "parse_search",
    "personalization_data",
    "registry_data",
    "with_key_lengths",
]

MANAGER_AID = bytes.fromhex("A000000151000000")
MANAGER_PRIVILEGES = bytes.fromhex("9C5E00")
"""Security domain, card lock, card terminate, card reset; authorized management, global delete, lock and registry, final application."""
PACKAGE_AID = bytes.fromhex("F06A6F72656E")
"""The package (executable load file) that holds both applets; it is on the chip from the start."""
MODULES = (AID_CUSTOMER, AID_SHOP)
"""Its modules; an instance's AID is a module's with the programme number behind it (REQ-AID-1)."""

AID_MIN, AID_MAX = 5, 16
GLOBAL_PLATFORM = bytes.fromhex("2A864886FC6B")
KEY_TYPE_AES, KEY_SIZE = 0x88, 0x10
CPLC_SIZE = 42
BARE_FIELD = 22


class GpIns(IntEnum):
    """Instruction bytes of the manager (GlobalPlatform 2.3.1, 11; Amendment D, 7.1)."""

    INITIALIZE_UPDATE = 0x50
    EXTERNAL_AUTHENTICATE = 0x82
    GET_DATA = 0xCA
    PUT_KEY = 0xD8
    STORE_DATA = 0xE2
    DELETE = 0xE4
    INSTALL = 0xE6
    LOAD = 0xE8
    SET_STATUS = 0xF0
    GET_STATUS = 0xF2


@dataclass(frozen=True, slots=True)
class InstallData:
    """Data of INSTALL [for install and make selectable] (11.5.2.3.2).

    Each after its length: package AID, module AID, instance AID (5..16 bytes each), privileges 1 or 3, install parameters, token.
    """

    package: bytes
    module: bytes
    aid: bytes
    privileges: bytes = b"\x00"
    parameters: bytes = b"\xc9\x00"
    token: bytes = b""

    def encode(self) -> bytes:
        """The data field."""
        short = b"".join(bytes((len(value),)) + value for value in (self.package, self.module, self.aid, self.privileges))
        return short + b"".join(_build_length(len(value)) + value for value in (self.parameters, self.token))

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From exactly one data field. Raises MalformedRecord for short or long input and for lengths that can not be."""
        values, offset = [], 0
        for _ in range(4):
            value, offset = _short_value(raw, offset)
            values.append(value)
        parameters, offset = _long_value(raw, offset)
        token, offset = _long_value(raw, offset)
        package, module, aid, privileges = values
        if offset != len(raw) or not all(AID_MIN <= len(value) <= AID_MAX for value in values[:3]) or len(privileges) not in (1, 3):
            raise MalformedRecord(
                f"INSTALL: three AIDs, privileges of 1 or 3 bytes, and nothing behind the token expected, {len(raw)} bytes came"
            )
        return cls(package, module, aid, privileges, parameters, token)

    def application_parameters(self) -> bytes:
        """The value of C9, which is mandatory; system parameters (EF) may stand beside it and are not read. Raises MalformedRecord."""
        try:
            objects = parse_tlv(self.parameters)
        except MalformedTlv as error:
            raise MalformedRecord(f"INSTALL: parameters: {error}") from None
        found = [item.value for item in objects if item.tag == 0xC9]
        if len(found) != 1 or any(item.tag not in (0xC9, 0xEF) for item in objects):
            raise MalformedRecord("INSTALL: parameters: C9 once, and EF or nothing beside it expected")
        return found[0]


def _build_length(size: int) -> bytes:
    return bytes((size,)) if size <= 0x7F else bytes((0x81, size)) if size <= 0xFF else b"\x82" + size.to_bytes(2)


def _short_value(raw: bytes, offset: int) -> tuple[bytes, int]:
    """A value after its length in one byte, and where the next begins."""
    if offset >= len(raw):
        raise MalformedRecord(f"offset {offset}: a length expected, the data end")
    return _value(raw, offset + 1, raw[offset])


def _long_value(raw: bytes, offset: int) -> tuple[bytes, int]:
    """A value after its length: 00..80, 81 80..FF, 82 0100..FFFF (11.5.2.3.2)."""
    first = raw[offset : offset + 1]
    extra = {b"\x81": 1, b"\x82": 2}.get(first, 0)
    size = int.from_bytes(raw[offset + 1 : offset + 1 + extra]) if extra else int.from_bytes(first)
    if not first or (extra and size < 0x80 * extra) or (not extra and size > 0x80):
        raise MalformedRecord(f"offset {offset}: a minimal length expected")
    return _value(raw, offset + 1 + extra, size)


def _value(raw: bytes, start: int, size: int) -> tuple[bytes, int]:
    if start + size > len(raw):
        raise MalformedRecord(f"offset {start}: {size} bytes expected, {len(raw) - start} came")
    return raw[start : start + size], start + size


def personalization_data(aid: bytes) -> bytes:
    """The data of INSTALL [for personalization] (11.5.2.3.6): 00 00 | length | AID | 00 00 00."""
    return b"\x00\x00" + bytes((len(aid),)) + aid + bytes(3)


def parse_personalization(raw: bytes) -> bytes:
    """The AID, 5..16 bytes, from exactly one such data field. Raises MalformedRecord."""
    aid = raw[3:-3]
    if not AID_MIN <= len(aid) <= AID_MAX or raw != personalization_data(aid):
        raise MalformedRecord(f"INSTALL [for personalization]: 00 00, an AID after its length, 00 00 00 expected, {len(raw)} bytes came")
    return aid


def parse_delete(raw: bytes) -> bytes | int:
    """What goes, of exactly one data object: 4F with an AID, 5..16 bytes (11.2.2.3.1), or D2 with a key version, 0..255 (11.2.2.3.2).

    A key identifier, D0, is not taken, as a key set goes whole; nor is a token. Raises MalformedTlv.
    """
    found = parse_one(raw)
    if found.tag == 0x4F and AID_MIN <= len(found.value) <= AID_MAX:
        return found.value
    if found.tag == 0xD2 and len(found.value) == 1:
        return found.value[0]
    raise MalformedTlv(f"DELETE: 4F with an AID, or D2 with a key version, expected, {found.tag:X} with {len(found.value)} bytes came")


def parse_search(raw: bytes) -> bytes:
    """The part of an AID, 0..16 bytes, that GET STATUS looks for: data object 4F, the first; others are not read. Raises MalformedTlv."""
    objects = parse_tlv(raw)
    if not objects or objects[0].tag != 0x4F or len(objects[0].value) > AID_MAX or [item.tag for item in objects].count(0x4F) != 1:
        raise MalformedTlv("GET STATUS: 4F with a part of an AID, first and once, expected")
    return objects[0].value


def with_key_lengths(raw: bytes) -> bytes:
    """The data of PUT KEY with the length of each key before its cryptogram (Table 11-70).

    Three AES-128 keys may come without it (Table 11-71), 67 bytes in all, each `88 10 | 16 bytes | 03 | check value 3`; other data stay.
    """
    fields = [raw[start : start + BARE_FIELD] for start in range(1, len(raw), BARE_FIELD)]
    if len(raw) != 1 + 3 * BARE_FIELD or not all(field.startswith(bytes((KEY_TYPE_AES, KEY_SIZE))) for field in fields):
        return raw
    return raw[:1] + b"".join(bytes((KEY_TYPE_AES, 1 + KEY_SIZE, KEY_SIZE)) + field[2:] for field in fields)


def _oid(*numbers: int) -> bytes:
    return build_tlv(0x06, GLOBAL_PLATFORM + bytes(numbers))


def _recognition(parameter: int) -> bytes:
    """Template 73: card management by version 2.3.1, SCP03 with parameter i (Table H-1)."""
    objects = build_tlv(0x60, _oid(2, 2, 3, 1)) + build_tlv(0x63, _oid(3)) + build_tlv(0x64, _oid(4, 3, parameter))
    return build_tlv(0x73, _oid(1) + objects)


def card_data(parameter: int) -> bytes:
    """Card data, 66 (H.2)."""
    return build_tlv(0x66, _recognition(parameter))


def file_control_information(parameter: int, serial: bytes) -> bytes:
    """FCI (Table 11-82): 6F [84 AID] [A5 [73] [9F6E serial number] [9F65 FF]]."""
    proprietary = _recognition(parameter) + build_tlv(0x9F6E, serial) + build_tlv(0x9F65, b"\xff")
    return build_tlv(0x6F, build_tlv(0x84, MANAGER_AID) + build_tlv(0xA5, proprietary))


def key_information(versions: list[int]) -> bytes:
    """Key information template, E0: for each key C0 with key identifier, key version, 88, 10 (Table 11-28)."""
    keys = [bytes((key_id, version, KEY_TYPE_AES, KEY_SIZE)) for version in versions for key_id in (1, 2, 3)]
    return build_tlv(0xE0, b"".join(build_tlv(0xC0, key) for key in keys))


def parse_key_information(raw: bytes) -> dict[int, dict[int, tuple[int, int]]]:
    """Key version to key identifier to type and bytes of the key, from E0. Raises MalformedTlv."""
    found: dict[int, dict[int, tuple[int, int]]] = {}
    for item in parse_tlv(find(raw, 0xE0)):
        if item.tag != 0xC0 or len(item.value) != 4:
            raise MalformedTlv(f"key information: C0 with 4 bytes expected, {item.tag:X} with {len(item.value)} came")
        key_id, version, kind, size = item.value
        found.setdefault(version, {})[key_id] = (kind, size)
    return found


def cplc(diversification_data: bytes) -> bytes:
    """Card production life cycle, 9F7F: 42 bytes, all 00 but for serial number (offset 12, 4 bytes) and batch (offset 16, 2 bytes): of the
    10 bytes of diversification data the last four, and the two before them."""
    return build_tlv(0x9F7F, (bytes(12) + diversification_data[-4:] + diversification_data[-6:-4]).ljust(CPLC_SIZE, b"\0"))


def chip_id(raw: bytes) -> bytes:
    """What no other chip has, 12 bytes of 9F7F: fabricator 2 | type 2 | day made 2 | serial number 4 | batch 2. Raises MalformedTlv."""
    value = find(raw, 0x9F7F)
    if len(value) != CPLC_SIZE:
        raise MalformedTlv(f"9F7F: {CPLC_SIZE} bytes expected, {len(value)} came")
    return value[:4] + value[10:18]


@dataclass(frozen=True, slots=True)
class Application:
    """An entry of the registry as GET STATUS tells it: AID, life cycle state (bit 8: locked), privileges, modules of a package."""

    aid: bytes
    state: int
    privileges: bytes = b""
    modules: tuple[bytes, ...] = ()


def parse_registry(raw: bytes) -> list[Application]:
    """All entries of an answer of GET STATUS, E3 each; objects in them that are not known here are passed over. Raises MalformedTlv."""
    found = []
    for item in parse_tlv(raw):
        if item.tag != 0xE3:
            raise MalformedTlv(f"GET STATUS: E3 expected, {item.tag:X} came")
        objects = parse_tlv(item.value)
        states = [one.value for one in objects if one.tag == 0x9F70]
        if len(states) != 1 or not states[0]:
            raise MalformedTlv("GET STATUS: 9F70 with a state expected once")
        privileges = b"".join(one.value for one in objects if one.tag == 0xC5)
        modules = tuple(one.value for one in objects if one.tag == 0x84)
        found.append(Application(find(item.value, 0x4F), states[0][0], privileges, modules))
    return found


def registry_data(aid: bytes, state: int, privileges: bytes | None = None, modules: tuple[bytes, ...] = ()) -> bytes:
    """One answer of GET STATUS (Tables 11-36, 11-37): E3 [4F AID] [9F70 state] [C5 privileges] [84 module]..."""
    objects = build_tlv(0x4F, aid) + build_tlv(0x9F70, bytes((state,)))
    objects += b"" if privileges is None else build_tlv(0xC5, privileges)
    return build_tlv(0xE3, objects + b"".join(build_tlv(0x84, module) for module in modules))
