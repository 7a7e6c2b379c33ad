"""The issuer's desk: dialogs that personalize a card (STORE DATA before issuance), read it back, and change its life cycle state.

How it works. All that a card needs goes in one block, which the card stores and issues itself by in one transaction; so a card that was
pulled out is either as before or issued, and the dialog can be run again. Afterwards what the card tells is compared with what was sent.
"""

from joren.apdu import CLA_ISO, CLA_JOREN, Command, Ins, Key, KeyRef, LifeCycle, messages
from joren.apdu.cards import CustomerInfo, Limits, ShopInfo
from joren.apdu.state import RankRules
from joren.apdu.tlv import build_dgi

from . import wire
from .dialog import Dialog, Slot, ask
from .errors import CardFault, HostError
from .holder import shop_card_id
from .masters import Masters
from .product import Product
from .sale import pin_block
from .selecting import select_customer, select_shop

__all__ = ["issue_customer", "issue_shop", "set_customer_status", "set_shop_status"]

LAST_BLOCK = 0x88
SET_CARD = 0x40
RULES_AND_LIMITS = RankRules.SIZE + Limits.FORMAT.size


def issue_customer(
    product: Product, masters: Masters, card_id: bytes, *, pin: str | bytes | None = None, puk: str | bytes | None = None
) -> Dialog[CustomerInfo]:
    """Issues a blank customer card. `card_id` is 8 bytes, not all zero; `pin` has 4 to 8 digits, `puk` 8, both or neither.

    Raises HostError for an argument that can not be and for a card that is not blank; CardRefused, CardFault.
    """
    if len(card_id) != 8 or not any(card_id):
        raise HostError(f"card id: 8 bytes, not all zero, expected, {card_id.hex().upper()} came")
    dgis = {0x0101: card_id + product.programme.to_bytes(2), 0x0102: product.rules.encode(), 0x0103: product.limits.encode()}
    for key_ref in KeyRef:
        dgis[0x8000 | key_ref] = _versioned(masters.card_key(key_ref, product.programme, card_id))
    dgis |= _pin_dgis(pin, puk)
    return _issue_customer(product, card_id, dgis)


def _pin_dgis(pin: str | bytes | None, puk: str | bytes | None) -> dict[int, bytes]:
    pin_value, puk_value = pin_block(pin), pin_block(puk)
    if pin_value is None and puk_value is None:
        return {}
    if pin_value is None or puk_value is None or b"\xff" in puk_value:
        raise HostError("PIN and PUK: a PIN of 4 to 8 digits together with a PUK of 8 expected; something else came")
    return {0x8110: pin_value, 0x8112: puk_value}


def _issue_customer(product: Product, card_id: bytes, dgis: dict[int, bytes]) -> Dialog[CustomerInfo]:
    info = yield from select_customer(product.programme)
    _check_blank(Slot.CUSTOMER, info.life_cycle)
    yield from _store(Slot.CUSTOMER, dgis)
    info = yield from select_customer(product.programme)
    _check_same(Slot.CUSTOMER, "SELECT", (LifeCycle.ISSUED, card_id), (info.life_cycle, info.card_id))
    yield from _check_rules(Slot.CUSTOMER, product)
    return info


def issue_shop(
    product: Product, masters: Masters, shop: int, terminal: int, points: int, money_minor: int, *, may_load: bool = True
) -> Dialog[ShopInfo]:
    """Issues a blank shop card. `shop` is u32 and not 0, `terminal` u8; `points` and `money_minor` (u32) are what it may grant and load.

    Raises HostError for an argument that can not be and for a card that is not blank; CardRefused, CardFault.
    """
    for name, value, least, most in (("shop", shop, 1, 0xFFFFFFFF), ("terminal", terminal, 0, 0xFF), ("points", points, 0, 0xFFFFFFFF)):
        if not least <= value <= most:
            raise HostError(f"{name}: {least}..{most} expected, {value} came")
    if not 0 <= money_minor <= 0xFFFFFFFF:
        raise HostError(f"money: 0..{0xFFFFFFFF} minor units expected, {money_minor} came")
    dgis = {
        0x0201: product.programme.to_bytes(2) + shop.to_bytes(4) + bytes((terminal,)),
        0x0102: product.rules.encode(),
        0x0103: product.limits.encode(),
        0x0202: points.to_bytes(4) + money_minor.to_bytes(4),
        0x8012: _versioned(masters.group_master("shop", product.programme)),
        0x8005: _versioned(masters.shop_admin_key(product.programme, shop, terminal)),
    }
    if may_load:
        dgis[0x8014] = _versioned(masters.group_master("load", product.programme))
    return _issue_shop(product, (shop, terminal, points, money_minor), dgis)


def _issue_shop(product: Product, given: tuple[int, int, int, int], dgis: dict[int, bytes]) -> Dialog[ShopInfo]:
    info = yield from select_shop(product.programme)
    _check_blank(Slot.SHOP, info.life_cycle)
    yield from _store(Slot.SHOP, dgis)
    info = yield from select_shop(product.programme)
    told = (info.shop, info.terminal, info.points_left, info.money_left_minor)
    _check_same(Slot.SHOP, "SELECT", (LifeCycle.ISSUED, *given), (info.life_cycle, *told))
    yield from _check_rules(Slot.SHOP, product)
    return info


def set_customer_status(programme: int, masters: Masters, state: LifeCycle) -> Dialog[CustomerInfo]:
    """SET STATUS of a customer card: BLOCKED, ISSUED or TERMINATED (REQ-ADM-1). Raises CardRefused, CardFault."""
    info = yield from select_customer(programme)
    key = masters.card_key(KeyRef.ADMIN, programme, info.card_id)
    message = messages.admin(messages.head(programme, info.card_id), info.counter, info.nonce, state)
    yield from ask(Slot.CUSTOMER, Command(CLA_JOREN, Ins.SET_STATUS, SET_CARD, state, key.mac8(message)), 0)
    return (yield from select_customer(programme))


def set_shop_status(programme: int, masters: Masters, state: LifeCycle) -> Dialog[ShopInfo]:
    """SET STATUS of a shop card (REQ-SAD-1). Raises CardRefused, CardFault."""
    info = yield from select_shop(programme)
    challenge = yield from ask(Slot.SHOP, wire.get_challenge(), wire.CHALLENGE_SIZE)
    key = masters.shop_admin_key(programme, info.shop, info.terminal)
    message = messages.admin(messages.head(programme, shop_card_id(info.shop, info.terminal)), 0, challenge, state)
    yield from ask(Slot.SHOP, Command(CLA_JOREN, Ins.SET_STATUS, SET_CARD, state, key.mac8(message)), 0)
    return (yield from select_shop(programme))


def _check_blank(slot: Slot, life_cycle: int) -> None:
    if life_cycle != LifeCycle.SELECTABLE:
        raise HostError(f"{slot.value}: a blank one expected, it is {LifeCycle(life_cycle).name} already; nothing was changed")


def _versioned(key: Key) -> bytes:
    return bytes((key.version,)) + key.reveal()


def _store(slot: Slot, dgis: dict[int, bytes]) -> Dialog[None]:
    block = b"".join(build_dgi(tag, value) for tag, value in dgis.items())
    yield from ask(slot, Command(CLA_JOREN, Ins.STORE_DATA, LAST_BLOCK, 0x00, block), 0)


def _check_rules(slot: Slot, product: Product) -> Dialog[None]:
    told = yield from ask(slot, Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x01, ne=RULES_AND_LIMITS), RULES_AND_LIMITS)
    _check_same(slot, "GET DATA", product.rules.encode() + product.limits.encode(), told)


def _check_same(slot: Slot, command: str, expected: object, came: object) -> None:
    if expected != came:
        raise CardFault(slot.value, command, f"what was stored ({expected!r})", repr(came))
