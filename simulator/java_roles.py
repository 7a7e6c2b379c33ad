"""The two applets in Java, as a chip wants them. Their persistent arrays are the regions of the model, of the same names and sizes."""

from functools import cache

from joren.apdu import AID_CUSTOMER, AID_SHOP, aid
from joren.applet.customer import CustomerCard
from joren.applet.own_channel import OwnChannel
from joren.applet.shop import ShopCard

from .chip import MODEL, AppletClass, Program
from .javacard import JavaClass, RegionSize
from .memory import Memory
from .seat import Seat

__all__ = ["JAVACARD", "PROGRAMS", "java_customer", "java_shop", "program_with"]

OWN = "own"
"""The build whose applets have SCP03 inside."""


def _regions(model: AppletClass, instance: bytes) -> tuple[RegionSize, ...]:
    memory = Memory()
    model(Seat(memory, bytes, instance), instance)
    return tuple(RegionSize(name.partition("/")[2], region.size, region.secrecy) for name, region in memory.regions.items())


@cache
def java_customer(channel: str = "globalplatform", parameters: bytes = b"") -> JavaClass:
    """The customer card's applet, in a build with this channel, made with these install parameters (value of C9)."""
    return _java("joren.CustomerApplet", CustomerCard, aid(AID_CUSTOMER, 1), channel, parameters)


@cache
def java_shop(channel: str = "globalplatform", parameters: bytes = b"") -> JavaClass:
    """The shop card's applet, likewise."""
    return _java("joren.ShopApplet", ShopCard, aid(AID_SHOP, 1), channel, parameters)


def _java(name: str, model: AppletClass, instance: bytes, channel: str, parameters: bytes) -> JavaClass:
    """In a build with a channel of its own an instance keeps what that needs beside what the model keeps."""
    kept = OwnChannel(model) if channel == OWN else model
    return JavaClass(name, _regions(kept, instance), parameters, channel=channel)


def program_with(customer: JavaClass, shop: JavaClass, name: str = "javacard") -> Program:
    """Cards that run these."""
    return Program(name, {CustomerCard: customer, ShopCard: shop})


JAVACARD = program_with(java_customer(), java_shop())
"""Cards that run the Java Card applet; they need a Java runtime, and `joren applet build`."""
PROGRAMS = {program.name: program for program in (MODEL, JAVACARD)}
"""By the names that commands and images have for them."""
