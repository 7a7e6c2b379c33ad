"""Puts a package on a card, and an instance of one of its modules (GlobalPlatform 2.3.1, 11.5 and 11.6), through a secure channel.

How it works. The load file data block is the package's components behind tag C4. INSTALL [for load] names it with its SHA-256, LOAD brings
it in blocks as large as the channel takes. A load that was cut off leaves nothing behind, as the card adds a package to its registry with
the last block; so whoever asks first what is there runs a dialog that was cut off again.
"""

from hashlib import sha256

from joren.apdu import CLA_JOREN, SW, Command
from joren.apdu.gp import GpIns, InstallData, parse_registry
from joren.apdu.tlv import build_tlv

from .channel import Channel
from .dialog import Dialog, understood
from .errors import CardRefused, HostError

__all__ = ["has_instance", "has_package", "install_instance", "load_package"]

FOR_LOAD, FOR_INSTALL = 0x02, 0x0C
APPLICATIONS, PACKAGES = 0x40, 0x20
FIRST = 0x02
LAST = 0x80
BLOCKS_MAX = 256
DATA_BLOCK = 0xC4
NE = 0x100


def has_package(channel: Channel, aid: bytes) -> Dialog[bool]:
    """Whether the card has the package. Raises CardRefused, CardFault, LinkLost."""
    return (yield from _listed(channel, PACKAGES, aid))


def has_instance(channel: Channel, aid: bytes) -> Dialog[bool]:
    """Whether the card has the instance. Raises CardRefused, CardFault, LinkLost."""
    return (yield from _listed(channel, APPLICATIONS, aid))


def _listed(channel: Channel, what: int, aid: bytes) -> Dialog[bool]:
    response = yield from channel.ask(Command(CLA_JOREN, GpIns.GET_STATUS, what, FIRST, build_tlv(0x4F, aid), NE))
    if response.sw == SW.REFERENCED_DATA_NOT_FOUND:
        return False
    if not response.ok:
        raise CardRefused(channel.slot.value, "GET_STATUS", response.sw)
    return any(entry.aid == aid for entry in understood(channel.slot, "GET_STATUS", parse_registry, response.data))


def load_package(channel: Channel, aid: bytes, components: bytes) -> Dialog[int]:
    """Loads a package (host.cap: Cap.aid, Cap.loaded): the number of blocks. The channel is that of the card's issuer security domain.

    Raises HostError for a package that is too large, CardRefused, CardFault, LinkLost.
    """
    block = build_tlv(DATA_BLOCK, components)
    room = channel.room()
    blocks = [block[at : at + room] for at in range(0, len(block), room)]
    if len(blocks) > BLOCKS_MAX:
        raise HostError(f"package: at most {BLOCKS_MAX} blocks of {room} bytes expected, {len(components):,} bytes came")
    named = b"".join(bytes((len(value),)) + value for value in (aid, b"", sha256(components).digest(), b"", b""))
    yield from channel.send(Command(CLA_JOREN, GpIns.INSTALL, FOR_LOAD, 0x00, named, NE))
    for number, data in enumerate(blocks):
        last = LAST if number == len(blocks) - 1 else 0
        yield from channel.send(Command(CLA_JOREN, GpIns.LOAD, last, number, data, NE))
    return len(blocks)


def install_instance(channel: Channel, package: bytes, module: bytes, aid: bytes, parameters: bytes = b"") -> Dialog[None]:
    """Makes an instance, selectable; `parameters` are the applet's own (C9). Raises CardRefused, CardFault, LinkLost."""
    data = InstallData(package, module, aid, parameters=build_tlv(0xC9, parameters)).encode()
    yield from channel.send(Command(CLA_JOREN, GpIns.INSTALL, FOR_INSTALL, 0x00, data, NE))
