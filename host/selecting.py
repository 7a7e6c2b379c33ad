"""SELECT, as every dialog begins: in any life cycle state, and what the card tells of itself is what such a card can tell."""

from typing import TypeVar

from joren.apdu import SW, Command, LifeCycle, Response
from joren.apdu.cards import CustomerInfo, ShopInfo

from . import wire
from .dialog import Ask, Dialog, Slot, data_of
from .errors import CardFault

__all__ = ["select_customer", "select_shop"]

SELECTED = (SW.OK, SW.FILE_DEACTIVATED, SW.FILE_TERMINATED)
VERSION = 1
Info = TypeVar("Info", CustomerInfo, ShopInfo)


def select_customer(programme: int) -> Dialog[CustomerInfo]:
    """The customer card's SELECT record, 26 bytes, whatever its state. Raises CardRefused, CardFault, and the LinkLost of its link."""
    data = yield from _select(Slot.CUSTOMER, wire.select_customer(programme), CustomerInfo.FORMAT.size)
    return _checked(Slot.CUSTOMER, programme, CustomerInfo.decode(data))


def select_shop(programme: int) -> Dialog[ShopInfo]:
    """The shop card's SELECT record, 25 bytes, likewise."""
    data = yield from _select(Slot.SHOP, wire.select_shop(programme), ShopInfo.FORMAT.size)
    return _checked(Slot.SHOP, programme, ShopInfo.decode(data))


def _select(slot: Slot, command: Command, size: int) -> Dialog[bytes]:
    response = yield Ask(slot, command)
    if response.sw in SELECTED:
        response = Response(response.data, SW.OK)
    return data_of(slot, command, response, (size,))


def _checked(slot: Slot, programme: int, info: Info) -> Info:
    if (info.version, info.programme) != (VERSION, programme):
        came = f"version {info.version}, programme {info.programme}"
        raise CardFault(slot.value, "SELECT", f"version {VERSION}, programme {programme}", came)
    if info.life_cycle not in set(LifeCycle):
        raise CardFault(slot.value, "SELECT", "a life cycle state", f"{info.life_cycle:02X}")
    return info
