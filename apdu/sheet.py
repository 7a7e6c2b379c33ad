"""The balance sheet of a customer card, 46 bytes: all that a transaction changes (docs/spec/records.md)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from .record import Record

__all__ = ["BalanceSheet"]


@dataclass(frozen=True, slots=True)
class BalanceSheet(Record):
    """State (32 bytes, encoded), points in two periods, number of the current period, purse."""

    FORMAT: ClassVar[Struct] = Struct(">32sIIHI")

    state: bytes
    points_now: int
    points_before: int
    period: int
    purse_minor: int


assert BalanceSheet.FORMAT.size == 46
