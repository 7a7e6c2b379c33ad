"""Response APDUs: data and a status word (ISO/IEC 7816-4:2013, 5.1)."""

from dataclasses import dataclass
from typing import Self

from .status import SW, Status, describe

__all__ = ["MalformedResponse", "Response"]

NR_MAX = 65536


class MalformedResponse(ValueError):
    """Bytes that are no response APDU."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `data` is 0..65536 bytes, `sw` the status word, u16."""

    data: bytes
    sw: int

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000."""
        return self.sw == SW.OK

    @property
    def status(self) -> Status:
        """Name, meaning and advice of the status word."""
        return describe(self.sw)

    def encode(self) -> bytes:
        """data | SW1 SW2."""
        return self.data + self.sw.to_bytes(2)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From 2 to 65538 bytes. Raises MalformedResponse."""
        if not 2 <= len(raw) <= NR_MAX + 2:
            raise MalformedResponse(f"response: 2..{NR_MAX + 2} bytes expected, {len(raw)} came")
        return cls(raw[:-2], int.from_bytes(raw[-2:]))
