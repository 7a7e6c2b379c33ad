"""Issuing on development chips, in the clear and at once, and the life cycle of issued cards by the ADMIN MAC.

How it works. All that a card needs goes in one block, which the card stores and issues itself by in one transaction; so a card that was
pulled out is either as before or issued, and the dialog can be run again. Afterwards what the card tells is compared with what was sent.
Cards for people are made through a secure channel (desk.py).
"""

from joren.apdu import CLA_ISO, CLA_JOREN, Command, Ins, KeyRef, LifeCycle, messages
from joren.apdu.cards import CustomerInfo, Limits, ShopInfo
from joren.apdu.state import RankRules

from . import wire
from .dialog import Dialog, Slot, ask
from .errors import CardFault, HostError
from .holder import shop_card_id
from .masters import Masters
from .personalization import CustomerOrder, ShopOrder, groupings, plain_block
from .product import Product
from .selecting import select_customer, select_shop

__all__ = ["issue_customer", "issue_shop", "set_customer_status", "set_shop_status"]

SET_CARD = 0x40
RULES_AND_LIMITS = RankRules.SIZE + Limits.FORMAT.size
KEY_VERSIONS = 10


def issue_customer(
    product: Product, masters: Masters, card_id: bytes, *, pin: str | bytes | None = None, puk: str | bytes | None = None
) -> Dialog[CustomerInfo]:
    """Issues a blank customer card. `card_id` is 8 bytes, not all zero; `pin` has 4 to 8 digits, `puk` 8, both or neither.

    Raises HostError for an argument that can not be and for a card that is not blank; CardRefused, CardFault.
    """
    order = CustomerOrder(card_id, pin, puk)
    return _issue_customer(product, order, plain_block(groupings(order, product, masters)))


def _issue_customer(product: Product, order: CustomerOrder, block: Command) -> Dialog[CustomerInfo]:
    info = yield from select_customer(product.programme)
    _check_blank(Slot.CUSTOMER, info.life_cycle)
    yield from ask(Slot.CUSTOMER, block, 0)
    info = yield from select_customer(product.programme)
    _check_same(Slot.CUSTOMER, "SELECT", (LifeCycle.ISSUED, order.card_id), (info.life_cycle, info.card_id))
    yield from _check_rules(Slot.CUSTOMER, product)
    return info


def issue_shop(
    product: Product, masters: Masters, shop: int, terminal: int, points: int, money_minor: int, *, may_load: bool = True
) -> Dialog[ShopInfo]:
    """Issues a blank shop card. `shop` is u32 and not 0, `terminal` u8; `points` and `money_minor` (u32) are what it may grant and load.

    Raises HostError for an argument that can not be and for a card that is not blank; CardRefused, CardFault.
    """
    order = ShopOrder(shop, terminal, points, money_minor, may_load)
    return _issue_shop(product, order, plain_block(groupings(order, product, masters)))


def _issue_shop(product: Product, order: ShopOrder, block: Command) -> Dialog[ShopInfo]:
    info = yield from select_shop(product.programme)
    _check_blank(Slot.SHOP, info.life_cycle)
    yield from ask(Slot.SHOP, block, 0)
    info = yield from select_shop(product.programme)
    told = (info.shop, info.terminal, info.points_left, info.money_left_minor)
    expected = (order.shop, order.terminal, order.points, order.money_minor)
    _check_same(Slot.SHOP, "SELECT", (LifeCycle.ISSUED, *expected), (info.life_cycle, *told))
    yield from _check_rules(Slot.SHOP, product)
    return info


def set_customer_status(programme: int, masters: Masters, state: LifeCycle) -> Dialog[CustomerInfo]:
    """SET STATUS of a customer card: BLOCKED, ISSUED or TERMINATED (REQ-ADM-1). Raises CardRefused, CardFault."""
    info = yield from select_customer(programme)
    key = masters.card_key(KeyRef.ADMIN, programme, info.card_id, info.key_version)
    message = messages.admin(messages.head(programme, info.card_id), info.counter, info.nonce, state)
    yield from ask(Slot.CUSTOMER, Command(CLA_JOREN, Ins.SET_STATUS, SET_CARD, state, key.mac8(message)), 0)
    return (yield from select_customer(programme))


def set_shop_status(programme: int, masters: Masters, state: LifeCycle) -> Dialog[ShopInfo]:
    """SET STATUS of a shop card (REQ-SAD-1). Raises CardRefused, CardFault."""
    info = yield from select_shop(programme)
    told = yield from ask(Slot.SHOP, Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x04, ne=KEY_VERSIONS), KEY_VERSIONS)
    challenge = yield from ask(Slot.SHOP, wire.get_challenge(), wire.CHALLENGE_SIZE)
    key = masters.shop_admin_key(programme, info.shop, info.terminal, told[-1])
    message = messages.admin(messages.head(programme, shop_card_id(info.shop, info.terminal)), 0, challenge, state)
    yield from ask(Slot.SHOP, Command(CLA_JOREN, Ins.SET_STATUS, SET_CARD, state, key.mac8(message)), 0)
    return (yield from select_shop(programme))


def _check_blank(slot: Slot, life_cycle: int) -> None:
    if life_cycle != LifeCycle.SELECTABLE:
        raise HostError(f"{slot.value}: a blank one expected, it is {LifeCycle(life_cycle).name} already; nothing was changed")


def _check_rules(slot: Slot, product: Product) -> Dialog[None]:
    told = yield from ask(slot, Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=RULES_AND_LIMITS), RULES_AND_LIMITS)
    _check_same(slot, "GET DATA", product.rules.encode() + product.limits.encode(), told)


def _check_same(slot: Slot, command: str, expected: object, came: object) -> None:
    if expected != came:
        raise CardFault(slot.value, command, f"what was stored ({expected!r})", repr(came))
