"""STORE DATA, for both cards: before issuance, and after it by the issuer (REQ-PER-1 to REQ-PER-6, REQ-SPE-1).

How it works. A block is whole DGIs, all stored in one transaction or none. It comes through a secure channel, keys and PINs in it under
the Key-DEK too; in the clear it is taken on a chip for development alone. Of an issued card the issuer may change some DGIs, and the card
must be complete after every block, as it was when it was issued.
"""

from struct import Struct
from typing import ClassVar, Protocol

from joren.apdu import SW, Command, KeyRef, LifeCycle
from joren.apdu.cards import Limits
from joren.apdu.state import RankRules
from joren.apdu.tlv import parse_dgis

from .applet import Refused
from .checks import decode_state
from .customer_memory import CustomerMemory
from .pin import Pin, is_pin, is_puk
from .platform import CardKey, Cells, Platform, SecureChannel
from .sheet import Sheet
from .shop_masters import ShopMasters
from .shop_memory import KEY_PLACES, ShopMemory

__all__ = ["STORE_P1", "CustomerData", "Personalizable", "ShopData", "store_data"]

LAST = 0x80
PLAIN, SECURED = 0x08, 0x28
STORE_P1 = frozenset({PLAIN, PLAIN | LAST, SECURED, SECURED | LAST})
"""P1 of STORE DATA: DGIs, in the clear or with keys and PINs under the Key-DEK; the last block."""
KEY_SIZE = 17
REFILL = Struct(">HII")
"""Number, points, money in minor units (REQ-REF-1)."""
PIN_SIZE, PIN_SEALED_SIZE = 8, 16
KEY_TAGS, PIN_TAGS = range(0x8000, 0x8100), range(0x8100, 0x8200)


class Personalizable(Protocol):
    """A card's side of personalization. `FIRST` are the DGIs that it takes before it is issued, `LATER` those after."""

    FIRST: ClassVar[frozenset[int]]
    LATER: ClassVar[frozenset[int]]
    life_cycle: Cells

    def store(self, tag: int, value: bytes) -> None:
        """Stores the value of a DGI of these in the caller's transaction; Refused(6A80) for the value."""

    def complete(self) -> bool:
        """Whether all is there that the card needs."""

    def consistent(self) -> bool:
        """Whether the versions of its keys go together."""


def store_data(platform: Platform, card: Personalizable, next_block: Cells, command: Command) -> None:
    """One block; with bit 8 of P1 the last one, which issues a card that is not issued, or is refused."""
    issued = card.life_cycle.get()[0] != LifeCycle.SELECTABLE
    channel = _way(platform, command.p1, issued)
    expected = next_block.get()[0]
    next_block.put(0, b"\x00")
    if command.p2 != expected:
        raise Refused(SW.INCORRECT_P1_P2)
    try:
        dgis = parse_dgis(command.data)
    except ValueError:
        raise Refused(SW.WRONG_DATA) from None
    last = bool(command.p1 & LAST)
    with platform.transaction():
        for dgi in dgis:
            _check_tag(card, dgi.tag, issued)
            card.store(dgi.tag, dgi.value if channel is None else _opened(channel, dgi.tag, dgi.value))
        if last or issued:
            if not card.complete():
                raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
            if not card.consistent():
                raise Refused(SW.WRONG_DATA)
        if last and not issued:
            card.life_cycle.put(0, bytes((LifeCycle.ISSUED,)))
    next_block.put(0, bytes((0 if last else (command.p2 + 1) & 0xFF,)))


def _way(platform: Platform, p1: int, issued: bool) -> SecureChannel | None:
    """The secure channel that a block in the secured form came through; None for one in the clear, where that may be (REQ-PER-5)."""
    channel = platform.channel
    if p1 & ~LAST == SECURED:
        if channel is None or not channel.c_decryption:
            raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
        return channel
    if issued:
        raise Refused(SW.CONDITIONS_NOT_SATISFIED)
    if not platform.development:
        raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
    return None


def _check_tag(card: Personalizable, tag: int, issued: bool) -> None:
    if tag not in card.FIRST and tag not in card.LATER:
        raise Refused(SW.REFERENCED_DATA_NOT_FOUND)
    if tag not in (card.LATER if issued else card.FIRST):
        raise Refused(SW.CONDITIONS_NOT_SATISFIED)


def _opened(channel: SecureChannel, tag: int, value: bytes) -> bytes:
    """The value in the clear: of a key all behind its version, of PIN and PUK the first 8 of 16 bytes."""
    if tag in KEY_TAGS and len(value) > 1:
        _expect(len(value) == KEY_SIZE)
        return value[:1] + channel.decrypt(value[1:])
    if tag in PIN_TAGS:
        _expect(len(value) == PIN_SEALED_SIZE)
        return channel.decrypt(value)[:PIN_SIZE]
    return value


def _expect(right: bool) -> None:
    if not right:
        raise Refused(SW.WRONG_DATA)


def _store_rules(value: bytes, cells: Cells) -> None:
    try:
        RankRules.decode(value)
    except ValueError:
        raise Refused(SW.WRONG_DATA) from None
    cells.put(0, value)


def _store_limits(value: bytes, cells: Cells) -> None:
    try:
        Limits.decode(value).check()
    except ValueError:
        raise Refused(SW.WRONG_DATA) from None
    cells.put(0, value)


def _store_key(value: bytes, key: CardKey, versions: Cells, index: int) -> None:
    _expect(len(value) == KEY_SIZE and value[0] != 0)
    versions.put(index, value[:1])
    key.store(value[1:])


def _store_master(value: bytes, masters: ShopMasters, *, may_all_go: bool) -> None:
    """A version of a master, or the version alone of one that goes (REQ-SPE-2)."""
    _expect(len(value) in (1, KEY_SIZE) and value[0] != 0)
    if len(value) == KEY_SIZE:
        masters.put(value[0], value[1:])
    else:
        _expect(value[0] in masters.versions and (may_all_go or len(masters.versions) > 1))
        masters.remove(value[0])


class CustomerData:
    """The DGIs of a customer card."""

    FIRST: ClassVar[frozenset[int]] = frozenset({0x0101, 0x0102, 0x0103, 0x0105, *range(0x8001, 0x8006), 0x8110, 0x8112})
    LATER: ClassVar[frozenset[int]] = FIRST - {0x0101, 0x0105}

    def __init__(self, memory: CustomerMemory, pin: Pin) -> None:
        self.memory = memory
        self.pin = pin
        self.life_cycle = memory.life_cycle

    def store(self, tag: int, value: bytes) -> None:
        """One DGI of docs/spec/customer.md, STORE DATA."""
        memory = self.memory
        if tag == 0x0101:
            _expect(len(value) == 10 and value[8:] == memory.programme.to_bytes(2) and any(value[:8]))
            memory.card_id.put(0, value[:8])
        elif tag == 0x0102:
            _store_rules(value, memory.rules_cells)
        elif tag == 0x0103:
            _store_limits(value, memory.limits_cells)
        elif tag == 0x0105:
            _expect(len(value) == Sheet.FORMAT.size)
            decode_state(value[:32])
            memory.sheets.put(0, value)
        elif 0x8001 <= tag <= 0x8005:
            _store_key(value, memory.keys[tag & 0x0F], memory.key_versions, (tag & 0x0F) - 1)
        elif tag == 0x8110:
            _expect(is_pin(value))
            self.pin.store_pin(value)
            self.pin.forget()
        else:
            _expect(is_puk(value))
            self.pin.store_puk(value)

    def complete(self) -> bool:
        """REQ-PER-3."""
        memory = self.memory
        if not (any(memory.card_id.get()) and any(memory.rules_raw) and any(memory.limits_cells.get())):
            return False
        limits = memory.limits
        needed = {KeyRef.RECEIPT, KeyRef.ADMIN}
        if limits.modes & KeyRef.TILL:
            needed.add(KeyRef.TILL)
        if limits.modes & KeyRef.SHOP:
            needed.add(KeyRef.SHOP)
        if limits.purse_max_minor:
            needed.add(KeyRef.LOAD)
        versions = memory.key_versions.get()
        return all(versions[key_ref - 1] for key_ref in needed) and self.pin.present == self.pin.puk_present

    def consistent(self) -> bool:
        """REQ-KEY-5: all keys that are there have the same version."""
        return len(set(filter(None, self.memory.key_versions.get()))) == 1


class ShopData:
    """The DGIs of a shop card."""

    FIRST: ClassVar[frozenset[int]] = frozenset({0x0201, 0x0102, 0x0103, 0x0202, 0x8012, 0x8014, 0x8005})
    LATER: ClassVar[frozenset[int]] = FIRST - {0x0201, 0x0202} | {0x0203}

    def __init__(self, memory: ShopMemory) -> None:
        self.memory = memory
        self.life_cycle = memory.life_cycle

    def store(self, tag: int, value: bytes) -> None:
        """One DGI of docs/spec/shop.md, STORE DATA."""
        memory = self.memory
        if tag == 0x0201:
            _expect(len(value) == 7 and value[:2] == memory.programme.to_bytes(2) and any(value[2:6]))
            memory.identity.put(0, value[2:])
        elif tag == 0x0102:
            _store_rules(value, memory.rules_cells)
        elif tag == 0x0103:
            _store_limits(value, memory.limits_cells)
        elif tag == 0x0202:
            _expect(len(value) == 8)
            memory.give_ceilings(value)
        elif tag == 0x8012:
            _store_master(value, memory.masters[KeyRef.SHOP], may_all_go=False)
        elif tag == 0x8014:
            _store_master(value, memory.masters[KeyRef.LOAD], may_all_go=True)
        elif tag == 0x0203:
            _expect(len(value) == 10)
            memory.refill(*REFILL.unpack(value))
        else:
            _store_key(value, memory.admin_key, memory.key_versions, KEY_PLACES.index(KeyRef.ADMIN))

    def complete(self) -> bool:
        """REQ-SPE-1."""
        memory = self.memory
        given = (memory.identity, memory.rules_cells, memory.limits_cells, memory.ceilings_given)
        has_admin = memory.key_versions.get()[KEY_PLACES.index(KeyRef.ADMIN)] != 0
        return all(any(cells.get()) for cells in given) and bool(memory.masters[KeyRef.SHOP].versions) and has_admin

    def consistent(self) -> bool:
        """Always: the versions of a shop card's masters differ, and stand side by side on purpose (REQ-SPE-2)."""
        return True
