"""The issuer's desk: one dialog that makes a card of whatever lies in the reader, blank or half-made, and reads it back.

How it works. Nobody has to know how far a card had come: the card says so itself, by its key version, its registry and the life cycle
state of the instance; every step looks first and does what is missing. A card that was pulled out in between is as before the step or as
after it, so the dialog is simply run again. In the end the card is read and asked for MACs under its new keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from secrets import token_bytes

from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ins, LifeCycle
from joren.apdu.gp import (
    MANAGER_AID,
    PACKAGE_AID,
    GpIns,
    InstallData,
    chip_id,
    parse_registry,
    personalization_data,
)
from joren.apdu.scp03 import InitializeUpdateAnswer, ScpKeys, put_keys, put_keys_answer
from joren.apdu.tlv import build_tlv

from .audit import audit
from .channel import Channel, Guard, open_channel
from .dialog import Ask, Dialog, Slot, data_of, understood
from .errors import CardFault, CardRefused, HostError, VaultError
from .personalization import IssuerKeys, Order, blocks, groupings
from .product import Product

__all__ = ["Found", "Made", "identify", "make_card", "own_keys"]

INITIAL_VERSION = 0xFF
CARD, APPLICATIONS = 0x80, 0x40
FIRST = 0x02
OP_READY, INITIALIZED, SECURED = 0x01, 0x07, 0x0F
INSTALL_SELECTABLE, INSTALL_PERSONALIZATION = 0x0C, 0x20
LOCKED = 0x80
NE = 0x100


class Found(Enum):
    """How far the card had come when it was put in."""

    BLANK = "blank"
    HALF_MADE = "half-made"
    ISSUED = "issued"


@dataclass(frozen=True, slots=True)
class Made:
    """A card that is issued and was read back. `chip_id` is 12 bytes, `identity` 8; `check_values` are those of its keys, by name."""

    chip_id: bytes
    identity: bytes
    key_version: int
    found: Found
    check_values: tuple[tuple[str, str], ...]


def identify(slot: Slot) -> Dialog[bytes]:
    """The chip in the reader, 12 bytes that no other chip has; needs no key and writes nothing. The card manager is selected afterwards."""
    command = Command(CLA_ISO, Ins.SELECT, 0x04, 0x00, MANAGER_AID, NE)
    response = yield Ask(slot, command)
    if not response.ok:
        raise CardRefused(slot.value, "SELECT of the card manager", response.sw)
    command = Command(CLA_JOREN, Ins.GET_DATA, 0x9F, 0x7F, ne=NE)
    response = yield Ask(slot, command)
    return understood(slot, "GET DATA", chip_id, data_of(slot, command, response, range(257)))


def make_card(
    product: Product,
    keys: IssuerKeys,
    order: Order,
    *,
    guard: Guard | None = None,
    unused: bool = False,
    random: Callable[[int], bytes] = token_bytes,
) -> Dialog[Made]:
    """Makes the card of an order, from whatever state it is in, and reads it back. A card of this order that is issued is only read.

    `unused`: nobody has had the card yet, so all that was stored must be there as it was, also where it is found to be issued.

    Raises WrongKeys and HostError (a card of another issuer, or issued as another card; nothing was changed), CardRefused, CardFault,
    LinkLost; then it can be run again, on this or another reader.
    """
    slot, aid = order.slot, order.aid(product.programme)
    chip = yield from identify(slot)

    def found_keys(answer: InitializeUpdateAnswer) -> ScpKeys:
        return own_keys(keys, answer, blank=True)

    channel = yield from open_channel(slot, found_keys, guard=guard, random=random)
    found = Found.HALF_MADE
    if channel.keys.version == INITIAL_VERSION:
        found = Found.BLANK
        yield from _put_keys(channel, keys.manager_keys(channel.answer.diversification_data))
        channel = yield from open_channel(slot, found_keys, guard=guard, random=random)
    state = yield from _instance(channel, aid)
    if state is None:
        yield from _install(channel, aid)
    elif state & LOCKED and state != LifeCycle.BLOCKED:
        raise HostError(f"{slot.value}: its instance {aid.hex().upper()} is locked by the card manager; unlock it first")
    if state in (None, LifeCycle.SELECTABLE):
        yield from _personalize(channel, aid, product, keys, order)
    else:
        found = Found.ISSUED
    yield from _secure(channel)
    version, check_values = yield from audit(product, keys, order, fresh=unused or found is not Found.ISSUED)
    return Made(chip, order.identity, version, found, check_values)


def own_keys(keys: IssuerKeys, answer: InitializeUpdateAnswer, *, blank: bool = False) -> ScpKeys:
    """The issuer's key set for a card, by the version that it told; of a `blank` card the one it came with. Raises HostError."""
    if answer.key_version == INITIAL_VERSION:
        if blank:
            return keys.transport_keys(answer.diversification_data)
        raise HostError("card: a card that was issued expected, a blank one came; make it first")
    try:
        return keys.manager_keys(answer.diversification_data, answer.key_version)
    except VaultError:
        raise
    except HostError as error:
        raise HostError(f"card of another issuer, or of a key version that is no longer kept: {error}; nothing was changed") from None


def _put_keys(channel: Channel, new: ScpKeys) -> Dialog[None]:
    """The first key set of the issuer's in place of the maker's; reopening with it proves that it is there."""
    told = yield from channel.send(put_keys(channel.keys.dek, new))
    if told != put_keys_answer(new):
        raise CardFault(channel.slot.value, "PUT_KEY", "the check values of the new keys", told.hex().upper())


def _instance(channel: Channel, aid: bytes) -> Dialog[int | None]:
    """The life cycle state of the instance in the registry; None where it is not there."""
    command = Command(CLA_JOREN, GpIns.GET_STATUS, APPLICATIONS, FIRST, build_tlv(0x4F, aid), NE)
    response = yield from channel.ask(command)
    if response.sw == SW.REFERENCED_DATA_NOT_FOUND:
        return None
    if not response.ok:
        raise CardRefused(channel.slot.value, "GET_STATUS", response.sw)
    entries = understood(channel.slot, "GET_STATUS", parse_registry, response.data)
    return next((entry.state for entry in entries if entry.aid == aid), None)


def _install(channel: Channel, aid: bytes) -> Dialog[None]:
    data = InstallData(PACKAGE_AID, aid[:-2], aid).encode()
    yield from channel.send(Command(CLA_JOREN, GpIns.INSTALL, INSTALL_SELECTABLE, 0x00, data, NE))


def _personalize(channel: Channel, aid: bytes, product: Product, keys: IssuerKeys, order: Order) -> Dialog[None]:
    """From block 00 on, whatever of it was stored before: blocks of another session are stored again (REQ-PER-1)."""
    yield from channel.send(Command(CLA_JOREN, GpIns.INSTALL, INSTALL_PERSONALIZATION, 0x00, personalization_data(aid), NE))
    for block in blocks(groupings(order, product, keys), channel.keys.dek, channel.room()):
        yield from channel.send(block)


def _secure(channel: Channel) -> Dialog[None]:
    """The card manager's life cycle to SECURED, step by step from where it is."""
    told = yield from channel.send(Command(CLA_JOREN, GpIns.GET_STATUS, CARD, FIRST, build_tlv(0x4F, b""), NE))
    (manager,) = understood(channel.slot, "GET_STATUS", parse_registry, told)
    for step in (INITIALIZED, SECURED):
        if manager.state < step:
            yield from channel.send(Command(CLA_JOREN, GpIns.SET_STATUS, CARD, step))
