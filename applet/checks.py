"""Checks that customer card and shop card make alike, each raising Refused with the status word the spec names."""

from collections.abc import Iterable
from functools import lru_cache
from hmac import compare_digest

from joren.apdu import SW
from joren.apdu.cards import Limits
from joren.apdu.state import RankRules, State
from joren.apdu.transaction import Order

from .applet import Refused
from .platform import SecureChannel

__all__ = [
    "check_any_mac",
    "check_category_and_factor",
    "check_mac",
    "check_plain_order",
    "check_secured",
    "check_time",
    "decode_state",
    "limits_of",
    "rules_of",
]

rules_of = lru_cache(maxsize=64)(RankRules.decode)
"""The rules in 80 bytes of a card's memory."""
limits_of = lru_cache(maxsize=64)(Limits.decode)
"""The limits in 18 bytes of a card's memory."""


def check_mac(expected: bytes, mac: bytes) -> None:
    """Compares in constant time: 6988 (REQ-MAC-2)."""
    if not compare_digest(expected, mac):
        raise Refused(SW.MAC_INCORRECT)


def check_any_mac(expected: Iterable[bytes], mac: bytes) -> None:
    """One of the expected ones, each compared in constant time: 6988."""
    if not any(compare_digest(one, mac) for one in expected):
        raise Refused(SW.MAC_INCORRECT)


def check_secured(channel: SecureChannel | None, *, answer: bool = False) -> None:
    """What is the issuer's alone comes through a secure channel with C-MAC, and where it is an `answer` with R-MAC: 6982 (REQ-ADM-2)."""
    if channel is None or not channel.c_mac or (answer and not channel.r_mac):
        raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)


def check_category_and_factor(category: int, factor_tenths: int, limits: Limits) -> None:
    """For kinds that earn: 9406, then 9405 (REQ-TRX-2)."""
    if category > 15 or not limits.categories >> category & 1:
        raise Refused(SW.CATEGORY_UNKNOWN)
    if not 0 < factor_tenths <= limits.factor_max_tenths:
        raise Refused(SW.FACTOR_ABOVE_LIMIT)


def check_plain_order(order: Order) -> None:
    """For REDEEM, LOAD and PAY: no category, no factor, and some amount: 6A80 (REQ-TRX-2)."""
    if order.category or order.factor_tenths or not order.amount:
        raise Refused(SW.WRONG_DATA)


def check_time(state: State, rules: RankRules, hour: int) -> None:
    """9404 when hour is too far ahead of the last one (REQ-TRX-3)."""
    if state.visits and hour - state.last_hour > rules.jump_max_hours:
        raise Refused(SW.TIME_JUMP)


def decode_state(raw: bytes) -> State:
    """A state that another card sent: 6A80 if it is not a valid one."""
    try:
        return State.decode(raw)
    except ValueError:
        raise Refused(SW.WRONG_DATA) from None
