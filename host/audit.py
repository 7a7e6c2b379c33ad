"""Reading a card back after it was made: what it tells must be what was ordered, and its MACs must be those of the keys it was given.

How it works. Identity and state from SELECT, rules and limits and key versions from GET DATA. A customer card is asked by PROVE for a sale
that never was, under each key with which it answers: its MAC shows that it has the key. Nothing is written on the card.
"""

from collections.abc import Callable
from dataclasses import replace
from secrets import token_bytes

from joren.apdu import CLA_ISO, Command, Ending, Ins, Key, KeyRef, LifeCycle, MacMismatch, messages
from joren.apdu.cards import CustomerInfo, Limits
from joren.apdu.state import RankRules, State

from . import wire
from .dialog import Dialog, Slot, ask, understood
from .errors import CardFault, HostError
from .personalization import CustomerOrder, IssuerKeys, Order, ShopOrder
from .product import Product
from .selecting import select_customer, select_shop

__all__ = ["audit", "check_key"]

RULES_AND_LIMITS = RankRules.SIZE + Limits.FORMAT.size
KEY_VERSIONS = 10
CheckValues = tuple[tuple[str, str], ...]


def audit(
    product: Product, keys: IssuerKeys, order: Order, *, fresh: bool = True, random: Callable[[int], bytes] = token_bytes
) -> Dialog[tuple[int, CheckValues]]:
    """The key version of the card, and the check values of its keys by name. `fresh`: issued just now, nothing happened on it yet.

    Raises HostError for a card that was issued as another one, CardFault for one that tells something else than was stored, CardRefused.
    """
    if isinstance(order, CustomerOrder):
        return _customer(product, keys, order, fresh, random)
    return _shop(product, keys, order, fresh)


def _customer(
    product: Product, keys: IssuerKeys, order: CustomerOrder, fresh: bool, random: Callable[[int], bytes]
) -> Dialog[tuple[int, CheckValues]]:
    programme, slot = product.programme, Slot.CUSTOMER
    info = yield from select_customer(programme)
    if info.card_id != order.card_id:
        raise HostError(f"customer card: issued already, as {info.card_id.hex().upper()}; nothing was changed, take another card")
    if fresh:
        expected = (LifeCycle.ISSUED, 0, State.decode(order.sheet[:32]).rank if order.sheet else 0, order.pin is not None)
        _same(slot, "SELECT", expected, (info.life_cycle, info.counter, info.rank, info.has_pin))
    yield from _rules(slot, product, fresh)
    told = yield from ask(slot, Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x04, ne=KEY_VERSIONS), KEY_VERSIONS)
    versions = dict(zip(told[::2], told[1::2], strict=True))
    version = versions.get(KeyRef.ADMIN, 0)
    card_keys = {key_ref: keys.card_key(key_ref, programme, order.card_id, version) for key_ref in KeyRef}
    _same(slot, "GET DATA", dict.fromkeys(map(int, KeyRef), version), versions)
    asked = [KeyRef.TILL] * info.one_card + [KeyRef.SHOP] * info.two_card + [KeyRef.LOAD]
    for key_ref in asked:
        info = yield from check_key(programme, info, key_ref, card_keys[key_ref], random(wire.CHALLENGE_SIZE))
    return version, tuple((key_ref.name.lower(), key.kcv().hex().upper()) for key_ref, key in card_keys.items())


def check_key(programme: int, info: CustomerInfo, key_ref: KeyRef, key: Key, challenge: bytes) -> Dialog[CustomerInfo]:
    """Has a customer card prove that it holds `key` as `key_ref`; the card as it is then, with its new nonce. Raises CardFault."""
    data = yield from ask(Slot.CUSTOMER, wire.prove(key_ref, info.counter, 0, 0, challenge), wire.ABSENCE_SIZE)
    absence = understood(Slot.CUSTOMER, "PROVE", wire.Absence.decode, data)
    head = messages.head(programme, info.card_id)
    message = messages.absence(head, key_ref, info.counter, 0, 0, challenge, Ending.NOT_COMMITTED, absence.counter, absence.nonce)
    try:
        key.verify8(message, absence.mac)
    except MacMismatch:
        raise CardFault(Slot.CUSTOMER.value, "PROVE", f"a MAC under the {key_ref.name} key that it was given", "another MAC") from None
    return replace(info, nonce=absence.nonce)


def _shop(product: Product, keys: IssuerKeys, order: ShopOrder, fresh: bool) -> Dialog[tuple[int, CheckValues]]:
    programme, slot = product.programme, Slot.SHOP
    info = yield from select_shop(programme)
    if (info.shop, info.terminal) != (order.shop, order.terminal):
        raise HostError(f"shop card: issued already, as shop {info.shop}, terminal {info.terminal}; nothing was changed, take another card")
    if fresh:
        expected = (LifeCycle.ISSUED, order.terminal << 24, 0, order.points, order.money_minor)
        _same(slot, "SELECT", expected, (info.life_cycle, info.sequence, info.pending, info.points_left, info.money_left_minor))
    yield from _rules(slot, product, fresh)
    told = yield from ask(slot, Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x04, ne=KEY_VERSIONS), KEY_VERSIONS)
    versions = [(ref, version) for ref, version in zip(told[::2], told[1::2], strict=True) if version]
    given: dict[str, Key] = {}
    for ref, version in versions:
        if ref == KeyRef.ADMIN:
            given["admin"] = keys.shop_admin_key(programme, order.shop, order.terminal, version)
        elif ref in (KeyRef.SHOP, KeyRef.LOAD):
            name = KeyRef(ref).name.lower()
            given[f"{name} {version}"] = keys.group_master(name, programme, version)
    if fresh:
        expected_keys = {KeyRef.SHOP, KeyRef.ADMIN} | ({KeyRef.LOAD} if order.may_load else set())
        _same(slot, "GET DATA", sorted(expected_keys), sorted(ref for ref, _ in versions))
    return max(version for ref, version in versions if ref == KeyRef.SHOP), tuple(
        (name, key.kcv().hex().upper()) for name, key in given.items()
    )


def _rules(slot: Slot, product: Product, fresh: bool) -> Dialog[None]:
    """Rules and limits; of a card that was issued before they may be others, as the issuer changes them."""
    told = yield from ask(slot, Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=RULES_AND_LIMITS), RULES_AND_LIMITS)
    if fresh:
        _same(slot, "GET DATA", product.rules.encode() + product.limits.encode(), told)


def _same(slot: Slot, command: str, expected: object, came: object) -> None:
    if expected != came:
        raise CardFault(slot.value, command, f"what was stored ({expected!r})", repr(came))
