"""Key holders (software keys, a shop card) behind one interface: they authorize orders for a customer card and check what it says."""

from dataclasses import dataclass
from typing import Protocol

from joren.apdu import Command
from joren.apdu.cards import CustomerInfo
from joren.apdu.transaction import Order

from .dialog import Dialog
from .journal import Journal, Row
from .sale import Sale
from .wire import Absence

__all__ = ["Acceptor", "Authorization", "KeyHolder", "shop_card_id"]


def shop_card_id(shop: int, terminal: int) -> bytes:
    """The 8 bytes that stand for a shop card where a card id is wanted: 00 00 00 | terminal u8 | shop u32 (REQ-KEY-4)."""
    return bytes(3) + bytes((terminal,)) + shop.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Who authorizes: programme u16, shop u32, terminal u8 (unique within the shop), and whether by a shop card."""

    programme: int
    shop: int
    terminal: int
    by_card: bool

    def __str__(self) -> str:
        keys = "a shop card" if self.by_card else "software keys"
        return f"programme {self.programme}, shop {self.shop}, terminal {self.terminal} with {keys}"


@dataclass(frozen=True, slots=True)
class Authorization:
    """An authorized order: the command that carries it to the customer card, and the slot of its entry on the shop card."""

    key_ref: int
    order: Order
    command: Command
    slot: int | None


class KeyHolder(Protocol):
    """What a till needs of its keys. What may ask a card is a dialog; with software keys none asks one."""

    programme: int

    @property
    def ready(self) -> bool:
        """Whether it has been opened, and no answer was lost since."""

    def open(self, journal: Journal) -> Dialog[Acceptor]:
        """Makes it ready, binds the journal, and brings its rows into step with the shop card. Raises CardRefused, CardFault, HostError."""

    def close(self) -> None:
        """Makes it not ready."""

    def check(self, sale: Sale, info: CustomerInfo) -> None:
        """Raises HostError if these keys can not authorize this sale for this card."""

    def authorize(self, sale: Sale, info: CustomerInfo, journal: Journal) -> Dialog[Authorization]:
        """Authorizes a sale for the card as SELECT, or PROVE since, described it. Raises CardRefused, CardFault, HostError."""

    def challenge(self) -> Dialog[bytes]:
        """A fresh challenge for PROVE, 8 bytes."""

    def confirm(self, row: Row) -> Dialog[Row]:
        """The row, with a proof in it, as it ends: COMMITTED where the proof is right. Raises CardFault for a wrong one."""

    def dismiss(self, row: Row, challenge: bytes, absence: Absence) -> Dialog[Row]:
        """The row as it ends when its card answered PROVE without a proof: NOT_COMMITTED, UNKNOWN. Raises CardFault for a wrong MAC."""
