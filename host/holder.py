"""Key holders: who authorizes an order for a customer card and checks what the card says of it. Software keys or a shop card, behind one interface."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from joren.apdu import Command
from joren.apdu.cards import CustomerInfo, PendingEntry
from joren.apdu.transaction import Order

from .dialog import Dialog
from .errors import DialogError
from .journal import Row
from .sale import Sale
from .wire import Absence

__all__ = ["Acceptor", "Authorization", "EntryGone", "KeyHolder", "shop_card_id"]


def shop_card_id(shop: int, terminal: int) -> bytes:
    """The 8 bytes that stand for a shop card where a card id is wanted: 00 00 00 | terminal u8 | shop u32 (REQ-KEY-4)."""
    return bytes(3) + bytes((terminal,)) + shop.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Acceptor:
    """Who authorizes: programme u16, shop u32, terminal u8, and whether by a shop card."""

    programme: int
    shop: int
    terminal: int
    by_card: bool

    def __str__(self) -> str:
        return f"programme {self.programme} shop {self.shop} terminal {self.terminal} with {'a shop card' if self.by_card else 'software keys'}"


@dataclass(frozen=True, slots=True)
class Authorization:
    """An order that is authorized: the command for the customer card, and the slot of its entry on the shop card."""

    key_ref: int
    order: Order
    command: Command
    slot: int | None


class EntryGone(DialogError):
    """The shop card's entry of a transaction is not there any more: it was closed before."""


class KeyHolder(Protocol):
    """What a till needs of its keys. Every method that may ask a card is a dialog; with software keys none asks one."""

    by_card: bool
    """Whether proofs are checked by a shop card, which keeps an entry until it has ratified the ending."""
    programme: int

    @property
    def ready(self) -> bool:
        """Whether it may be used: opened, and no answer lost since."""

    def open(self) -> Dialog[Acceptor]:
        """Makes it ready, and tells who it is. Raises CardRefused, CardFault."""

    def close(self) -> None:
        """Makes it not ready; the till opens it again, and reconciles, before the next use."""

    def check(self, sale: Sale, info: CustomerInfo) -> None:
        """Raises HostError if these keys can not authorize this sale for this card."""

    def authorize(self, sale: Sale, info: CustomerInfo, next_sequence: Callable[[int], int]) -> Dialog[Authorization]:
        """Authorizes a sale for the card as SELECT, or PROVE since, described it. `next_sequence` gives software keys the number for a terminal."""

    def challenge(self) -> Dialog[bytes]:
        """A fresh challenge for PROVE, 8 bytes."""

    def confirm(self, row: Row) -> Dialog[None]:
        """Checks the proof in a row (and ratifies it). Raises CardFault for a wrong one, EntryGone."""

    def dismiss(self, row: Row, challenge: bytes, absence: Absence) -> Dialog[None]:
        """Checks that the card has not committed a row, or can not tell (and ratifies it). Raises CardFault for a wrong MAC, EntryGone."""

    def entries(self) -> Dialog[dict[int, tuple[int, PendingEntry]]]:
        """The pending entries of the shop card: sequence to slot and entry."""

    def ending(self, sequence: int) -> Dialog[int | None]:
        """How the shop card closed an entry, by its log; None where the log has it no more."""

    def write_off(self, row: Row) -> Dialog[None]:
        """Closes the entry of a row whose customer never came back."""
