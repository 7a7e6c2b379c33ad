"""What cards and hosts say to each other: commands, responses, status words, TLV, records, MACs. Bytes and values; no I/O."""

from . import messages
from .codes import (
    AID_CUSTOMER,
    AID_SHOP,
    CLA_ISO,
    CLA_JOREN,
    LOG_SIZE,
    PENDING_SIZE,
    SHOP_LOG_SIZE,
    VOID,
    Ending,
    Ins,
    KeyRef,
    Kind,
    LifeCycle,
    aid,
    base_kind,
    is_void,
)
from .command import Case, Command, MalformedCommand
from .key import Key, MacMismatch
from .link import LinkLost, Transmit
from .response import MalformedResponse, Response
from .status import SW, Status, describe

__all__ = [
    "AID_CUSTOMER",
    "AID_SHOP",
    "CLA_ISO",
    "CLA_JOREN",
    "LOG_SIZE",
    "PENDING_SIZE",
    "SHOP_LOG_SIZE",
    "SW",
    "VOID",
    "Case",
    "Command",
    "Ending",
    "Ins",
    "Key",
    "KeyRef",
    "Kind",
    "LifeCycle",
    "LinkLost",
    "MacMismatch",
    "MalformedCommand",
    "MalformedResponse",
    "Response",
    "Status",
    "Transmit",
    "aid",
    "base_kind",
    "describe",
    "is_void",
    "messages",
]
