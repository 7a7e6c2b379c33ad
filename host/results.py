"""What dialogs give back."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from joren.apdu import Kind
from joren.apdu.record import Record
from joren.apdu.state import RANK_MAX

from . import wire
from .dialog import Slot
from .errors import CardFault
from .journal import Row
from .offers import Offer

__all__ = ["Detail", "Granted", "Receipt", "Settled", "Standing", "detail_of", "public_of"]


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """A receipt as the issuer verifies it, 54 bytes: programme u16, card id 8, transaction record 36, RECEIPT MAC 8 (REQ-MAC-4)."""

    FORMAT: ClassVar[Struct] = Struct(">H8s36s8s")

    programme: int
    card_id: bytes
    record: bytes
    mac: bytes


assert Receipt.FORMAT.size == 54


@dataclass(frozen=True, slots=True)
class Granted:
    """A transaction that the card committed. `points`: granted, redeemed or reversed; balances are those after it.

    `recovered`: the result came from the journal, or from the card by PROVE, and not from this tap's own answer. `voided`: the sale was
    taken back since. `settled`: earlier transactions of this card that this tap settled. `offers`: the services for rank, score, category.
    """

    reference: str
    kind: Kind
    card_id: bytes
    rank: int
    score: int
    points: int
    points_balance: int
    purse_minor: int
    receipt: Receipt
    recovered: bool
    voided: bool
    settled: tuple[Row, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """What only the holder of the card may see. `values`: the four running values, 16.16 units each."""

    values: tuple[int, int, int, int]
    points_before: int
    points_now: int
    purse_minor: int


def detail_of(data: bytes) -> Detail:
    """The detail in what GET RESULT answers to P1 = 01, 31 bytes."""
    detail = wire.Detail.decode(data)
    first, second, third, fourth = (int.from_bytes(detail.values[at : at + 4]) for at in range(0, 16, 4))
    return Detail((first, second, third, fourth), detail.points_before, detail.points_now, detail.purse_minor)


def public_of(data: bytes) -> tuple[int, int]:
    """Rank and score in what GET RESULT answers. Raises CardFault for a rank there is not."""
    if data[0] > RANK_MAX:
        raise CardFault(Slot.CUSTOMER.value, "GET RESULT", f"a rank up to {RANK_MAX}", str(data[0]))
    return data[0], int.from_bytes(data[1:3])


@dataclass(frozen=True, slots=True)
class Standing:
    """Rank and score of a card at an hour, the services for them, and the detail if it was asked for."""

    card_id: bytes
    rank: int
    score: int
    detail: Detail | None
    settled: tuple[Row, ...]
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """What a tap for settling alone found: the rows of this card as they ended."""

    card_id: bytes
    rows: tuple[Row, ...]
