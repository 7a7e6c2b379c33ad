"""Which applet an AID stands for, so that a chip can be made again from its image."""

from joren.apdu import AID_CUSTOMER, AID_SHOP
from joren.apdu.gp import MANAGER_AID
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard

from .card_manager import CardManager
from .chip import AppletClass

__all__ = ["ROLES", "role_of"]

ROLES: dict[bytes, tuple[str, AppletClass]] = {
    AID_CUSTOMER: ("customer", CustomerCard),
    AID_SHOP: ("shop", ShopCard),
    MANAGER_AID[:-2]: ("manager", CardManager),
}
"""AID without its last two bytes, a programme number in ours: the role's name and its applet."""


def role_of(aid: bytes) -> tuple[str, AppletClass]:
    """Raises KeyError for an AID that is none of ours."""
    return ROLES[aid[:-2]]
