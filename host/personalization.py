"""What goes on a card before it is issued and afterwards, as data groupings (docs/spec/customer.md, docs/spec/shop.md, STORE DATA).

How it works. An order says which card is to be made. Order, product and the issuer's keys give its data groupings; `blocks` cuts them into
commands, keys and PINs under the Key-DEK of the secure channel that carries them. The plain form is for development chips alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_JOREN, Command, Ins, Key, KeyRef, aid
from joren.apdu.scp03 import ScpKeys, encrypt_sensitive
from joren.apdu.tlv import Dgi, build_dgi

from .dialog import Slot
from .errors import HostError
from .holder import shop_card_id
from .product import Product
from .sale import pin_block

__all__ = ["CustomerOrder", "IssuerKeys", "Order", "ShopOrder", "blocks", "groupings", "pin_groupings", "plain_block"]

LAST, PLAIN, SECURED = 0x80, 0x08, 0x28
BLOCK_MAX = 0x100
KEYS, PINS = range(0x8000, 0x8100), range(0x8100, 0x8200)
SHEET_SIZE = 46


class IssuerKeys(Protocol):
    """The issuer's keys as the desk needs them (joren.host.masters.Masters). `version` None is the newest."""

    def card_key(self, key_ref: KeyRef, programme: int, card_id: bytes, version: int | None = None) -> Key:
        """A customer card's key (REQ-KEY-2)."""

    def group_master(self, name: str, programme: int, version: int | None = None) -> Key:
        """The master of "till", "shop" or "load" in a programme."""

    def shop_admin_key(self, programme: int, shop: int, terminal: int, version: int | None = None) -> Key:
        """A shop card's ADMIN key (REQ-KEY-4)."""

    def manager_keys(self, diversification_data: bytes, version: int | None = None) -> ScpKeys:
        """A card manager's key set, of 10 bytes of diversification data."""

    def transport_keys(self, diversification_data: bytes) -> ScpKeys:
        """The key set that a blank card comes with, of version FF."""


@dataclass(frozen=True, slots=True)
class CustomerOrder:
    """A customer card to be made: `card_id` 8 bytes, not all zero; `pin` 4 to 8 digits and `puk` 8, both or neither.

    `sheet` is b"", or the balance sheet (46 bytes) of the card that it replaces.
    """

    card_id: bytes
    pin: str | bytes | None = None
    puk: str | bytes | None = None
    sheet: bytes = b""

    slot = Slot.CUSTOMER

    def __post_init__(self) -> None:
        """Raises HostError."""
        if len(self.card_id) != 8 or not any(self.card_id):
            raise HostError(f"card id: 8 bytes, not all zero, expected, {self.card_id.hex().upper()} came")
        if len(self.sheet) not in (0, SHEET_SIZE):
            raise HostError(f"balance sheet: {SHEET_SIZE} bytes expected, {len(self.sheet)} came")
        pin_groupings(self.pin, self.puk)

    def __repr__(self) -> str:
        return f"<CustomerOrder {self.card_id.hex().upper()}>"

    @property
    def identity(self) -> bytes:
        """The 8 bytes by which the card is known."""
        return self.card_id

    def aid(self, programme: int) -> bytes:
        """The AID of its instance."""
        return aid(AID_CUSTOMER, programme)


@dataclass(frozen=True, slots=True)
class ShopOrder:
    """A shop card to be made: `shop` u32, not 0, `terminal` u8; `points` and `money_minor` (u32) are what it may grant and load."""

    shop: int
    terminal: int
    points: int
    money_minor: int
    may_load: bool = True

    slot = Slot.SHOP

    def __post_init__(self) -> None:
        """Raises HostError."""
        for name, value, least, most in (
            ("shop", self.shop, 1, 0xFFFFFFFF),
            ("terminal", self.terminal, 0, 0xFF),
            ("points", self.points, 0, 0xFFFFFFFF),
            ("money in minor units", self.money_minor, 0, 0xFFFFFFFF),
        ):
            if not least <= value <= most:
                raise HostError(f"{name}: {least}..{most} expected, {value} came")

    @property
    def identity(self) -> bytes:
        """The 8 bytes by which the card is known (REQ-KEY-4)."""
        return shop_card_id(self.shop, self.terminal)

    def aid(self, programme: int) -> bytes:
        """The AID of its instance."""
        return aid(AID_SHOP, programme)


Order = CustomerOrder | ShopOrder


def groupings(order: Order, product: Product, keys: IssuerKeys, version: int | None = None) -> list[Dgi]:
    """All that the card needs to be issued, in two parts that each fit a block: what it is and may do, then its secrets."""
    programme = product.programme
    rules = [Dgi(0x0102, product.rules.encode()), Dgi(0x0103, product.limits.encode())]
    if isinstance(order, CustomerOrder):
        known = [Dgi(0x0101, order.card_id + programme.to_bytes(2)), *rules]
        known += [Dgi(0x0105, order.sheet)] if order.sheet else []
        secret = [_key(0x8000 | key_ref, keys.card_key(key_ref, programme, order.card_id, version)) for key_ref in KeyRef]
        return known + secret + pin_groupings(order.pin, order.puk)
    known = [Dgi(0x0201, programme.to_bytes(2) + order.shop.to_bytes(4) + bytes((order.terminal,))), *rules]
    known.append(Dgi(0x0202, order.points.to_bytes(4) + order.money_minor.to_bytes(4)))
    secret = [_key(0x8012, keys.group_master("shop", programme, version))]
    secret += [_key(0x8014, keys.group_master("load", programme, version))] if order.may_load else []
    return [*known, *secret, _key(0x8005, keys.shop_admin_key(programme, order.shop, order.terminal, version))]


def _key(tag: int, key: Key) -> Dgi:
    return Dgi(tag, bytes((key.version,)) + key.reveal())


def pin_groupings(pin: str | bytes | None, puk: str | bytes | None) -> list[Dgi]:
    """PIN and PUK, or none of them. Raises HostError for one without the other, and for what can not be."""
    pin_value, puk_value = pin_block(pin), pin_block(puk)
    if pin_value is None and puk_value is None:
        return []
    if pin_value is None or puk_value is None or b"\xff" in puk_value:
        raise HostError("PIN and PUK: a PIN of 4 to 8 digits together with a PUK of 8 expected; something else came")
    return [Dgi(0x8110, pin_value), Dgi(0x8112, puk_value)]


def blocks(found: Iterable[Dgi], dek: Key, room: int) -> list[Command]:
    """STORE DATA in the secured form: so many whole groupings to a block as `room` bytes hold, keys and PINs under `dek`."""
    parts, part = [], b""
    for dgi in found:
        raw = build_dgi(dgi.tag, _sealed(dgi, dek))
        if part and (len(part) + len(raw) > room or (dgi.tag >= KEYS.start) != (part[0] >= KEYS.start >> 8)):
            parts.append(part)
            part = b""
        part += raw
    parts.append(part)
    return [
        Command(CLA_JOREN, Ins.STORE_DATA, SECURED | (LAST if number == len(parts) - 1 else 0), number, part)
        for number, part in enumerate(parts)
    ]


def _sealed(dgi: Dgi, dek: Key) -> bytes:
    """Keys and PINs under the Key-DEK, a key's version before it in the clear; other values as they are (REQ-PER-5)."""
    if dgi.tag in KEYS and len(dgi.value) > 1:
        return dgi.value[:1] + encrypt_sensitive(dek, dgi.value[1:])
    return encrypt_sensitive(dek, dgi.value) if dgi.tag in PINS else dgi.value


def plain_block(found: Iterable[Dgi]) -> Command:
    """STORE DATA in the plain form, all in one block, for a development chip."""
    return Command(CLA_JOREN, Ins.STORE_DATA, LAST | PLAIN, 0x00, b"".join(build_dgi(dgi.tag, dgi.value) for dgi in found))
