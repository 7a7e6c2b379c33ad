"""The numbers of docs/spec: AIDs, instructions, kinds of transaction, key references, life cycle states, endings."""

from enum import IntEnum

__all__ = [
    "AID_CUSTOMER",
    "AID_SHOP",
    "CLA_ISO",
    "CLA_JOREN",
    "LOG_SIZE",
    "PENDING_SIZE",
    "SECRET_INS",
    "SHOP_LOG_SIZE",
    "VOID",
    "Ending",
    "Ins",
    "KeyRef",
    "Kind",
    "LifeCycle",
    "aid",
    "base_kind",
    "is_void",
]

AID_CUSTOMER = bytes.fromhex("F06A6F72656E01")
"""AID of the customer card without its programme number (REQ-AID-1)."""
AID_SHOP = bytes.fromhex("F06A6F72656E02")
"""AID of the shop card without its programme number (REQ-AID-1)."""

CLA_ISO = 0x00
CLA_JOREN = 0x80

LOG_SIZE = 24
"""Transaction records a customer card keeps (REQ-REC-3)."""
PENDING_SIZE = 16
"""Pending entries of a shop card (REQ-REC-6)."""
SHOP_LOG_SIZE = 32
"""Closed entries a shop card keeps (REQ-REC-6)."""

VOID = 0x80
"""Added to a kind: the void of a transaction of that kind."""


def aid(role: bytes, programme: int) -> bytes:
    """The 9-byte AID of a role (AID_CUSTOMER or AID_SHOP) in a programme, u16 (REQ-AID-1)."""
    return role + programme.to_bytes(2)


class Ins(IntEnum):
    """Instruction bytes of both cards, and of the chip under them (MANAGE CHANNEL; GET RESPONSE with T=0)."""

    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    RESET_RETRY_COUNTER = 0x2C
    TRANSACT = 0x30
    GET_STATE = 0x32
    COMMIT = 0x34
    PROVE = 0x36
    GET_RESULT = 0x38
    COMPUTE = 0x40
    AUTHORIZE = 0x42
    RATIFY = 0x44
    MANAGE_CHANNEL = 0x70
    GET_CHALLENGE = 0x84
    SELECT = 0xA4
    READ_RECORD = 0xB2
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCA
    STORE_DATA = 0xE2
    SET_STATUS = 0xF0


SECRET_INS = frozenset({Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER, Ins.STORE_DATA})
"""Instructions whose data are secrets: PINs, PUKs, keys."""


class Kind(IntEnum):
    """Kinds of transaction; the void of one is VOID + kind."""

    PURCHASE = 0x01
    PAY_AND_EARN = 0x02
    REDEEM = 0x03
    LOAD = 0x04
    PAY = 0x05
    VOID_PURCHASE = 0x81
    VOID_PAY_AND_EARN = 0x82
    VOID_REDEEM = 0x83
    VOID_LOAD = 0x84
    VOID_PAY = 0x85


def is_void(kind: int) -> bool:
    """Whether a kind is the void of another."""
    return kind >= VOID


def base_kind(kind: int) -> Kind:
    """The kind itself, or the one that a void takes back."""
    return Kind(kind & 0x7F)


class KeyRef(IntEnum):
    """Key references of a customer card (REQ-KEY-1)."""

    TILL = 1
    SHOP = 2
    RECEIPT = 3
    LOAD = 4
    ADMIN = 5


class LifeCycle(IntEnum):
    """Life cycle states (REQ-LIFE-1)."""

    SELECTABLE = 0x07
    ISSUED = 0x0F
    BLOCKED = 0x83
    TERMINATED = 0xFF


class Ending(IntEnum):
    """What PROVE says of a transaction, and how RATIFY closes an entry."""

    NOT_COMMITTED = 0
    COMMITTED = 1
    UNKNOWN = 2
    VOIDED = 3
    """In a shop card's log alone: was committed, and taken back since (REQ-RAT-2)."""
