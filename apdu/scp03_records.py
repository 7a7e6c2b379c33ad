"""What both sides of SCP03 tell each other: parameter i, security level, answer to INITIALIZE UPDATE (Amendment D, 5.1, 7.1)."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Self

from .record import MalformedRecord

__all__ = ["LEVELS", "R_ENCRYPTION", "R_MAC", "InitializeUpdateAnswer", "Level", "Parameter"]

SCP03 = 0x03
C_MAC, C_DECRYPTION, R_MAC, R_ENCRYPTION = 0x01, 0x02, 0x10, 0x20
PSEUDO_RANDOM, R_MAC_SUPPORT, R_ENCRYPTION_SUPPORT, S16 = 0x10, 0x20, 0x40, 0x01


class Level(IntEnum):
    """Security levels: P1 of EXTERNAL AUTHENTICATE (Amendment D, Table 7-3). No other value is one."""

    AUTHENTICATED = 0x00
    C_MAC = 0x01
    C_DECRYPTION = 0x03
    C_MAC_R_MAC = 0x11
    C_DECRYPTION_R_MAC = 0x13
    FULL = 0x33

    c_mac: bool
    """Whether commands carry a C-MAC."""
    c_decryption: bool
    """Whether the data of commands are encrypted."""
    r_mac: bool
    """Whether responses carry an R-MAC."""
    r_encryption: bool
    """Whether the data of responses are encrypted."""

    def __init__(self, value: int) -> None:
        self.c_mac, self.c_decryption = bool(value & C_MAC), bool(value & C_DECRYPTION)
        self.r_mac, self.r_encryption = bool(value & R_MAC), bool(value & R_ENCRYPTION)


LEVELS = frozenset(map(int, Level))
"""All levels, as integers."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The parameter i, one byte (Amendment D, Table 5-1; S16 since version 1.2): 00 10 20 30 60 70, and each with 01 for S16."""

    pseudo_random: bool = False
    r_mac: bool = True
    r_encryption: bool = True
    s16: bool = False

    def __post_init__(self) -> None:
        if self.r_encryption and not self.r_mac:
            raise MalformedRecord("parameter i: no R-ENCRYPTION without R-MAC")

    @property
    def size(self) -> int:
        """Bytes of a challenge, of a cryptogram and of a MAC: 8 or 16."""
        return 16 if self.s16 else 8

    def allows(self, level: int) -> bool:
        """Whether a level's R-MAC and R-ENCRYPTION are there."""
        return (self.r_mac or not level & R_MAC) and (self.r_encryption or not level & R_ENCRYPTION)

    def encode(self) -> int:
        """The byte."""
        support = (R_MAC_SUPPORT if self.r_mac else 0) | (R_ENCRYPTION_SUPPORT if self.r_encryption else 0)
        return support | (PSEUDO_RANDOM if self.pseudo_random else 0) | (S16 if self.s16 else 0)

    @classmethod
    @cache
    def decode(cls, value: int) -> Self:
        """From the byte. Raises MalformedRecord for reserved bits, and for R-ENCRYPTION without R-MAC."""
        if value & ~(PSEUDO_RANDOM | R_MAC_SUPPORT | R_ENCRYPTION_SUPPORT | S16):
            raise MalformedRecord(f"parameter i: reserved bits 0 expected, {value:02X} came")
        return cls(bool(value & PSEUDO_RANDOM), bool(value & R_MAC_SUPPORT), bool(value & R_ENCRYPTION_SUPPORT), bool(value & S16))


@dataclass(frozen=True, slots=True)
class InitializeUpdateAnswer:
    """Data of the answer to INITIALIZE UPDATE, 29, 32, 45 or 48 bytes (Amendment D, Table 7-2).

    Diversification data 10 | key version 1 | 03 | i | card challenge | card cryptogram (8 each, or 16 with S16) | sequence counter 3, which
    is there when the challenge is pseudo-random.
    """

    diversification_data: bytes
    key_version: int
    parameter: Parameter
    challenge: bytes
    cryptogram: bytes
    sequence_counter: int | None = None

    def encode(self) -> bytes:
        """The record's bytes."""
        head = self.diversification_data + bytes((self.key_version, SCP03, self.parameter.encode()))
        tail = b"" if self.sequence_counter is None else self.sequence_counter.to_bytes(3)
        return head + self.challenge + self.cryptogram + tail

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From exactly as many bytes as its parameter i says. Raises MalformedRecord, also for another protocol than 03."""
        if len(raw) < 13:
            raise MalformedRecord(f"InitializeUpdateAnswer: at least 13 bytes expected, {len(raw)} came")
        if raw[11] != SCP03:
            raise MalformedRecord(f"InitializeUpdateAnswer: secure channel protocol 03 expected, {raw[11]:02X} came")
        parameter = Parameter.decode(raw[12])
        size = parameter.size
        end = 13 + 2 * size
        length = end + (3 if parameter.pseudo_random else 0)
        if len(raw) != length:
            raise MalformedRecord(f"InitializeUpdateAnswer: {length} bytes expected with i = {raw[12]:02X}, {len(raw)} came")
        counter = int.from_bytes(raw[end:]) if parameter.pseudo_random else None
        return cls(raw[:10], raw[10], parameter, raw[13 : 13 + size], raw[13 + size : end], counter)
