"""Which applet an AID stands for, so that a chip can be made again from its image."""

from joren.apdu import AID_CUSTOMER, AID_SHOP
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard

from .chip import AppletClass

__all__ = ["ROLES", "role_of"]

ROLES: dict[bytes, tuple[str, AppletClass]] = {AID_CUSTOMER: ("customer", CustomerCard), AID_SHOP: ("shop", ShopCard)}
"""AID without its programme number: the role's name and its applet."""


def role_of(aid: bytes) -> tuple[str, AppletClass]:
    """Raises KeyError for an AID that is none of ours."""
    return ROLES[aid[:-2]]
