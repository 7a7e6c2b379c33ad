"""Command APDUs: cases 1 to 4, short and extended (ISO/IEC 7816-4:2013, 5.1)."""

from dataclasses import dataclass
from enum import Enum
from typing import Self

from .codes import SECRET_INS

__all__ = ["Case", "Command", "MalformedCommand"]

NC_MAX = 65535
NE_MAX = 65536


class MalformedCommand(ValueError):
    """Bytes that are no command APDU, or a value that no command APDU can carry."""


class Case(Enum):
    """What a command carries: nothing, an expected length, data, both; short or extended."""

    CASE_1 = "1"
    CASE_2S = "2S"
    CASE_3S = "3S"
    CASE_4S = "4S"
    CASE_2E = "2E"
    CASE_3E = "3E"
    CASE_4E = "4E"


@dataclass(frozen=True, slots=True, repr=False)
class Command:
    """A command. `data` is 0..65535 bytes; `ne` is the most bytes of answer wanted, 1..65536, or None. Its repr shows no secret."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    ne: int | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.cla <= 0xFE and 0 <= self.ins <= 0xFF and 0 <= self.p1 <= 0xFF and 0 <= self.p2 <= 0xFF):
            raise MalformedCommand(f"header: CLA 00..FE, INS P1 P2 00..FF expected, {self.cla:X} {self.ins:X} {self.p1:X} {self.p2:X} came")
        if self.ins & 0xF0 in (0x60, 0x90):
            raise MalformedCommand(f"INS: not 6X or 9X expected, {self.ins:02X} came")
        if len(self.data) > NC_MAX:
            raise MalformedCommand(f"data: at most {NC_MAX} bytes expected, {len(self.data)} came")
        if self.ne is not None and not 1 <= self.ne <= NE_MAX:
            raise MalformedCommand(f"Ne: 1..{NE_MAX} expected, {self.ne} came")

    @property
    def channel(self) -> int:
        """The logical channel that CLA 00..03 or 80..83 names; 0 for every other CLA (REQ-CHN-1)."""
        return 0 if self.cla & 0x7C else self.cla & 0x03

    @property
    def case(self) -> Case:
        """The case in which encode() writes it."""
        extended = len(self.data) > 255 or (self.ne or 0) > 256
        if not self.data:
            if self.ne is None:
                return Case.CASE_1
            return Case.CASE_2E if extended else Case.CASE_2S
        if self.ne is None:
            return Case.CASE_3E if extended else Case.CASE_3S
        return Case.CASE_4E if extended else Case.CASE_4S

    def encode(self, *, extended: bool = False) -> bytes:
        """The APDU: short lengths where they do, extended ones where needed or asked for."""
        nc, ne = len(self.data), self.ne
        if not extended and nc <= 255 and (ne is None or ne <= 256):
            short = bytes((self.cla, self.ins, self.p1, self.p2, nc)) + self.data if nc else bytes((self.cla, self.ins, self.p1, self.p2))
            return short if ne is None else short + bytes((ne & 0xFF,))
        header = bytes((self.cla, self.ins, self.p1, self.p2))
        if not nc:
            return header if ne is None else header + b"\x00" + (ne & 0xFFFF).to_bytes(2)
        lc = b"\x00" + nc.to_bytes(2) + self.data
        return header + lc + (b"" if ne is None else (ne & 0xFFFF).to_bytes(2))

    def masked(self) -> str:
        """The APDU in hexadecimal, with `**` for every byte of data that is a secret (SECRET_INS)."""
        raw = self.encode().hex().upper()
        if self.ins not in SECRET_INS or not self.data:
            return raw
        start = 14 if self.case in (Case.CASE_3E, Case.CASE_4E) else 10
        return raw[:start] + "**" * len(self.data) + raw[start + 2 * len(self.data) :]

    def __repr__(self) -> str:
        return f"<Command {self.masked()}>"

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From exactly one APDU. Raises MalformedCommand for bytes too few or too many."""
        if len(raw) < 4:
            raise MalformedCommand(f"command: at least 4 bytes expected, {len(raw)} came")
        header, body = (raw[0], raw[1], raw[2], raw[3]), raw[4:]
        if not body:
            return cls(*header)
        if len(body) == 1:
            return cls(*header, b"", body[0] or 256)
        if body[0]:
            return cls._with_data(header, body[0], body[1:], 1)
        if len(body) < 3:
            raise MalformedCommand("extended length: 2 bytes after 00 expected, 1 came")
        length = int.from_bytes(body[1:3])
        if len(body) == 3:
            return cls(*header, b"", length or NE_MAX)
        if not length:
            raise MalformedCommand("extended Lc: 0001..FFFF expected, 0000 came")
        return cls._with_data(header, length, body[3:], 2)

    @classmethod
    def _with_data(cls, header: tuple[int, int, int, int], nc: int, rest: bytes, le_size: int) -> Self:
        if len(rest) == nc:
            return cls(*header, rest)
        if len(rest) == nc + le_size:
            return cls(*header, rest[:nc], int.from_bytes(rest[nc:]) or 1 << 8 * le_size)
        raise MalformedCommand(f"data: Lc = {nc} bytes, and {le_size} of Le or none, expected, {len(rest)} came")
