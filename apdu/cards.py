"""Records of the two cards (docs/spec/records.md): what SELECT tells, limits, pending entries, the shop's log and totals."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from .record import Record

__all__ = ["CustomerInfo", "Limits", "PendingEntry", "ShopInfo", "Totals"]


@dataclass(frozen=True, slots=True)
class Limits(Record):
    """What a card of this programme may do, 18 bytes (REQ-REC-2). `modes`: bit 0 one-card, bit 1 two-card."""

    FORMAT: ClassVar[Struct] = Struct(">BBHHIII")

    modes: int
    factor_max_tenths: int
    categories: int
    period_hours: int
    purse_max_minor: int
    redeem_pin_from: int
    pay_pin_from_minor: int

    def check(self) -> None:
        """Raises ValueError naming the field that can not be (REQ-REC-2)."""
        if self.modes not in (1, 2, 3):
            raise ValueError(f"modes: expected 1, 2 or 3, got {self.modes}")
        if self.factor_max_tenths < 10:
            raise ValueError(f"factor_max_tenths: expected at least 10 (x1), got {self.factor_max_tenths}")
        if self.categories == 0:
            raise ValueError("categories: expected at least one known category, got none")
        if self.period_hours == 0:
            raise ValueError("period_hours: expected at least 1, got 0")


assert Limits.FORMAT.size == 18


@dataclass(frozen=True, slots=True)
class CustomerInfo(Record):
    """The customer card's SELECT record, 26 bytes. `card_id` and `nonce` are 8 bytes each, `key_version` is that of all keys."""

    FORMAT: ClassVar[Struct] = Struct(">BBBBH8sH8sBB")

    version: int
    life_cycle: int
    flags: int
    rules_version: int
    programme: int
    card_id: bytes
    counter: int
    nonce: bytes
    rank: int
    key_version: int

    @property
    def one_card(self) -> bool:
        """Whether the card takes orders under the TILL key."""
        return bool(self.flags & 1)

    @property
    def two_card(self) -> bool:
        """Whether the card takes orders under the SHOP key."""
        return bool(self.flags & 2)

    @property
    def has_purse(self) -> bool:
        """Whether the card can be loaded."""
        return bool(self.flags & 4)

    @property
    def has_pin(self) -> bool:
        """Whether the card has a PIN."""
        return bool(self.flags & 8)


assert CustomerInfo.FORMAT.size == 26


@dataclass(frozen=True, slots=True)
class ShopInfo(Record):
    """The shop card's SELECT record, 25 bytes."""

    FORMAT: ClassVar[Struct] = Struct(">BBBBHIBIIIH")

    version: int
    life_cycle: int
    rules_version: int
    pending: int
    programme: int
    shop: int
    terminal: int
    sequence: int
    points_left: int
    money_left_minor: int
    refills: int


assert ShopInfo.FORMAT.size == 25


@dataclass(frozen=True, slots=True)
class PendingEntry(Record):
    """What a shop card authorized and has not seen closed, 32 bytes; `rank`, `rules_version`, `score` are 0 where it did not compute."""

    FORMAT: ClassVar[Struct] = Struct(">BBHHIBBI8sBBHI")

    kind: int
    key_ref: int
    counter: int
    hour: int
    amount: int
    category: int
    factor_tenths: int
    sequence: int
    card_id: bytes
    rank: int
    rules_version: int
    score: int
    points: int


assert PendingEntry.FORMAT.size == 32


@dataclass(frozen=True, slots=True)
class Totals(Record):
    """A shop card's totals, 44 bytes, saturating u32 each."""

    FORMAT: ClassVar[Struct] = Struct(">11I")

    points_granted: int
    points_redeemed: int
    money_loaded_minor: int
    money_paid_minor: int
    points_granted_voided: int
    points_redeemed_voided: int
    money_loaded_voided_minor: int
    money_paid_voided_minor: int
    points_written_off: int
    money_written_off_minor: int
    transactions: int


assert Totals.FORMAT.size == 44
