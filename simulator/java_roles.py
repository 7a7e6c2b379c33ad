"""The two applets in Java, as a chip wants them. Their persistent arrays are the regions of the model, of the same names and sizes."""

from functools import cache

from joren.apdu import AID_CUSTOMER, AID_SHOP, aid
from joren.applet.customer import CustomerCard
from joren.applet.shop import ShopCard

from .chip import MODEL, AppletClass, Program
from .javacard import JavaClass, RegionSize
from .memory import Memory
from .seat import Seat

__all__ = ["JAVACARD", "PROGRAMS", "java_customer", "java_shop", "program_with"]


def _regions(model: AppletClass, instance: bytes) -> tuple[RegionSize, ...]:
    memory = Memory()
    model(Seat(memory, bytes, instance), instance)
    return tuple(RegionSize(name.partition("/")[2], region.size, region.secrecy) for name, region in memory.regions.items())


@cache
def java_customer(channel: str = "globalplatform") -> JavaClass:
    """The customer card's applet, in a build with this channel."""
    return JavaClass("joren.CustomerApplet", _regions(CustomerCard, aid(AID_CUSTOMER, 1)), channel=channel)


@cache
def java_shop(channel: str = "globalplatform") -> JavaClass:
    """The shop card's applet, likewise."""
    return JavaClass("joren.ShopApplet", _regions(ShopCard, aid(AID_SHOP, 1)), channel=channel)


def program_with(customer: JavaClass, shop: JavaClass, name: str = "javacard") -> Program:
    """Cards that run these."""
    return Program(name, {CustomerCard: customer, ShopCard: shop})


JAVACARD = program_with(java_customer(), java_shop())
"""Cards that run the Java Card applet; they need a Java runtime, and `joren applet build`."""
PROGRAMS = {program.name: program for program in (MODEL, JAVACARD)}
"""By the names that commands and images have for them."""
