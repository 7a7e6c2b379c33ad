"""The issuer's desk after issuance: a dialog that makes one change to the card in the reader, and reads it back.

How it works. The card says who it is; the change plans its sessions from that; each goes through a secure channel that the guard watches
over. Every change is absolute or numbered, so after a lost link the same dialog is run again: what was done is found done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes

from joren.apdu import KeyRef, LifeCycle
from joren.apdu.cards import CustomerInfo
from joren.apdu.scp03 import InitializeUpdateAnswer, ScpKeys

from . import wire
from .audit import check_key
from .changes import AdminKeys, CardKeys, Change, Opened, Session, Step
from .channel import Guard, KeyFinder, open_channel
from .desk import own_keys
from .dialog import Dialog, Slot
from .errors import CardFault, HostError
from .facts import Facts, read_facts, select
from .product import Product
from .selecting import select_customer

__all__ = ["Administered", "administer", "perform"]


@dataclass(frozen=True, slots=True)
class Administered:
    """What the card says of itself afterwards. `changed` is False where it was so before, by the card's own word."""

    facts: Facts
    changed: bool


def administer(
    slot: Slot,
    product: Product,
    keys: AdminKeys,
    change: Change,
    *,
    guard: Guard | None = None,
    random: Callable[[int], bytes] = token_bytes,
) -> Dialog[Administered]:
    """Makes a change to the card in a slot.

    Raises HostError where it can not be, WrongKeys for a card of another issuer (nothing was changed then), CardRefused, CardFault,
    LinkLost; after any of these it can be run again.
    """
    facts = yield from read_facts(slot, product.programme)
    if facts.state is LifeCycle.SELECTABLE:
        raise HostError(f"{slot.value}: an issued one expected, it is blank; make it first")
    sessions = change.plan(facts, product, keys)

    def found_keys(answer: InitializeUpdateAnswer) -> ScpKeys:
        return own_keys(keys, answer)

    for session in sessions:
        yield from perform(slot, product.programme, session, found_keys, guard=guard, random=random)
    if isinstance(change, CardKeys) and slot is Slot.CUSTOMER:
        yield from _prove_keys(product.programme, keys, change.version, random)
    return Administered((yield from read_facts(slot, product.programme)), bool(sessions))


def perform(
    slot: Slot,
    programme: int,
    session: Session,
    keys: KeyFinder,
    *,
    guard: Guard | None = None,
    random: Callable[[int], bytes] = token_bytes,
    foretell: Callable[[Step], None] = lambda step: None,
) -> Dialog[None]:
    """One session: SELECT, channel, steps. `foretell` is told each step before it is sent. Raises as administer."""
    yield from select(slot, session.aid, programme)
    channel = yield from open_channel(slot, keys, aid=session.aid, version=session.version, guard=guard, random=random)
    for step in session.steps(Opened(channel.keys, channel.answer.diversification_data, channel.room())):
        foretell(step)
        told = yield from channel.send(step.command)
        if told != step.answer:
            name = f"INS {step.command.ins:02X}"
            raise CardFault(slot.value, name, f"what was stored ({step.answer.hex().upper()})", told.hex().upper())


def _prove_keys(programme: int, keys: AdminKeys, version: int | None, random: Callable[[int], bytes]) -> Dialog[None]:
    """Has the customer card make a MAC under each new key with which it answers (PROVE)."""
    info: CustomerInfo = yield from select_customer(programme)
    for key_ref, there in ((KeyRef.TILL, info.one_card), (KeyRef.SHOP, info.two_card), (KeyRef.LOAD, info.has_purse)):
        if there:
            key = keys.card_key(key_ref, programme, info.card_id, version)
            info = yield from check_key(programme, info, key_ref, key, random(wire.CHALLENGE_SIZE))
