"""Records of a transaction (docs/spec/records.md): what is asked, what the card did, and the log record that holds both."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from .record import Record

__all__ = ["Order", "Outcome", "Transaction"]


@dataclass(frozen=True, slots=True)
class Order(Record):
    """What the acceptor asks, 16 bytes. `amount` is minor units, or points for REDEEM; `sequence` is terminal u8 and a count of 24 bits."""

    FORMAT: ClassVar[Struct] = Struct(">HIBBII")

    hour: int
    amount: int
    category: int
    factor_tenths: int
    shop: int
    sequence: int


assert Order.FORMAT.size == 16


@dataclass(frozen=True, slots=True)
class Outcome(Record):
    """What the card did, 16 bytes: rank, score and balances after the transaction, and the points it moved."""

    FORMAT: ClassVar[Struct] = Struct(">BBHIII")

    rank: int
    rules_version: int
    score: int
    points: int
    points_balance: int
    purse_minor: int


assert Outcome.FORMAT.size == 16


@dataclass(frozen=True, slots=True)
class Transaction(Record):
    """A transaction record of the customer card's log, 36 bytes; receipt and proof are MACs over it. `order` and `outcome` are encoded."""

    FORMAT: ClassVar[Struct] = Struct(">BBH16s16s")

    kind: int
    key_ref: int
    counter: int
    order: bytes
    outcome: bytes


assert Transaction.FORMAT.size == 36
