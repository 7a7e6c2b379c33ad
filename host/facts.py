"""What a card tells without any key: who it is, its state, its key versions. A change is planned from these, at the desk or on a server."""

from dataclasses import dataclass

from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, SW, Command, Ins, LifeCycle, Response, aid
from joren.apdu.cards import CustomerInfo, ShopInfo
from joren.apdu.gp import MANAGER_AID, parse_key_information

from . import wire
from .dialog import Ask, Dialog, Slot, understood
from .errors import CardRefused
from .holder import shop_card_id
from .selecting import select_customer, select_shop

__all__ = ["GET_CARD_KEYS", "GET_MANAGER_KEYS", "GET_TRIES", "Facts", "read_facts", "select", "selection"]

NE = 0x100
SELECTED = (SW.OK, SW.FILE_DEACTIVATED, SW.FILE_TERMINATED)
BARE = 0x0C
GET_CARD_KEYS = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x04, ne=10)
"""Answers `key_ref | version` five times, on either card."""
GET_TRIES = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x03, ne=2)
GET_MANAGER_KEYS = Command(CLA_ISO, Ins.GET_DATA, 0x00, 0xE0, ne=NE)


@dataclass(frozen=True, slots=True)
class Facts:
    """A card's own word, which nothing proves. `info` is its SELECT record.

    The rest are answers of GET DATA, b"" where the card keeps them back: `card_keys` 0104, `tries` 0103, `manager_keys` 00E0.
    """

    slot: Slot
    programme: int
    info: CustomerInfo | ShopInfo
    card_keys: bytes
    tries: bytes
    manager_keys: bytes

    @property
    def aid(self) -> bytes:
        """The AID of the instance."""
        return aid(AID_CUSTOMER if self.slot is Slot.CUSTOMER else AID_SHOP, self.programme)

    @property
    def identity(self) -> bytes:
        """The 8 bytes by which the card is known."""
        info = self.info
        return info.card_id if isinstance(info, CustomerInfo) else shop_card_id(info.shop, info.terminal)

    @property
    def state(self) -> LifeCycle:
        """The life cycle state."""
        return LifeCycle(self.info.life_cycle)

    @property
    def manager_versions(self) -> list[int]:
        """The versions of the card manager's key sets. Raises CardFault."""
        return list(understood(self.slot, "GET DATA", parse_key_information, self.manager_keys))


def read_facts(slot: Slot, programme: int) -> Dialog[Facts]:
    """Asks a card; its instance is selected afterwards. Writes nothing. Raises CardRefused, CardFault, LinkLost."""
    yield from select(slot, MANAGER_AID, programme)
    manager_keys = yield from _kept(slot, GET_MANAGER_KEYS)
    info: CustomerInfo | ShopInfo = yield from (select_customer(programme) if slot is Slot.CUSTOMER else select_shop(programme))
    card_keys = yield from _kept(slot, GET_CARD_KEYS)
    tries = b""
    if slot is Slot.CUSTOMER:
        tries = yield from _kept(slot, GET_TRIES)
    return Facts(slot, programme, info, card_keys, tries, manager_keys)


def selection(slot: Slot, aid: bytes, programme: int) -> Command:
    """SELECT of the card manager, which answers nothing, or of the instance, which answers its record."""
    if aid == MANAGER_AID:
        return Command(CLA_ISO, Ins.SELECT, 0x04, BARE, MANAGER_AID)
    return (wire.select_customer if slot is Slot.CUSTOMER else wire.select_shop)(programme)


def select(slot: Slot, aid: bytes, programme: int) -> Dialog[None]:
    """Selects the card manager or the instance, in any life cycle state. Raises CardRefused, LinkLost."""
    response: Response = yield Ask(slot, selection(slot, aid, programme))
    if response.sw not in SELECTED:
        raise CardRefused(slot.value, "SELECT of the card manager" if aid == MANAGER_AID else "SELECT", response.sw)


def _kept(slot: Slot, command: Command) -> Dialog[bytes]:
    response = yield Ask(slot, command)
    return response.data if response.ok else b""
