"""Status words: name, meaning, and what to do next (ISO/IEC 7816-4:2013, 5.6; docs/spec/common.md)."""

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["SW", "Status", "describe"]


class SW(IntEnum):
    """The status words of both cards. VERIFY_FAILED and WRONG_LE are families: the last digit or byte is a number."""

    OK = 0x9000
    RESPONSE_AVAILABLE = 0x6100
    NO_INFORMATION_GIVEN = 0x6200
    FILE_DEACTIVATED = 0x6283
    FILE_TERMINATED = 0x6285
    AUTHENTICATION_FAILED = 0x6300
    MORE_DATA_AVAILABLE = 0x6310
    VERIFY_FAILED = 0x63C0
    WRONG_LENGTH = 0x6700
    LOGICAL_CHANNEL_NOT_SUPPORTED = 0x6881
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    AUTHENTICATION_METHOD_BLOCKED = 0x6983
    CONDITIONS_NOT_SATISFIED = 0x6985
    MAC_INCORRECT = 0x6988
    WRONG_DATA = 0x6A80
    FUNCTION_NOT_SUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    RECORD_NOT_FOUND = 0x6A83
    NOT_ENOUGH_MEMORY = 0x6A84
    INCORRECT_P1_P2 = 0x6A86
    REFERENCED_DATA_NOT_FOUND = 0x6A88
    WRONG_LE = 0x6C00
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00
    NO_PRECISE_DIAGNOSIS = 0x6F00
    BALANCE_TOO_SMALL = 0x9401
    BALANCE_TOO_LARGE = 0x9402
    CEILING_REACHED = 0x9403
    TIME_JUMP = 0x9404
    FACTOR_ABOVE_LIMIT = 0x9405
    CATEGORY_UNKNOWN = 0x9406
    COUNTER_EXHAUSTED = 0x9407
    MODE_NOT_ALLOWED = 0x9408
    RULES_MISMATCH = 0x9409
    NOTHING_TO_VOID = 0x940A
    PENDING_FULL = 0x940B


@dataclass(frozen=True, slots=True)
class Status:
    """A status word explained."""

    sw: int
    name: str
    meaning: str
    advice: str

    def __str__(self) -> str:
        return f"{self.sw:04X} {self.name}: {self.meaning}"


TEXTS: dict[SW, tuple[str, str]] = {
    SW.OK: ("done", "go on"),
    SW.RESPONSE_AVAILABLE: ("{n} bytes of answer are waiting", "send GET RESPONSE with Le = {n}"),
    SW.NO_INFORMATION_GIVEN: ("nothing was there to do", "go on"),
    SW.FILE_DEACTIVATED: ("the card is blocked", "do not serve this card; its holder asks the issuer"),
    SW.FILE_TERMINATED: ("the card is at its end", "keep the card; its holder asks the issuer for another"),
    SW.AUTHENTICATION_FAILED: (
        "the card does not take the host's keys",
        "do not try again: each failure may count towards blocking the card",
    ),
    SW.MORE_DATA_AVAILABLE: ("there is more than fits one answer", "send the command again with P2 = 03 for the rest"),
    SW.VERIFY_FAILED: (
        "PIN or PUK wrong, {n} tries left",
        "ask the holder again; the PUK sets a new PIN, a card without PUK tries is replaced",
    ),
    SW.WRONG_LENGTH: ("the data field is too short or too long", "compare its length with the command's table in the specification"),
    SW.LOGICAL_CHANNEL_NOT_SUPPORTED: (
        "no such logical channel, or it is not open",
        "open one with MANAGE CHANNEL, or use the basic channel",
    ),
    SW.SECURE_MESSAGING_NOT_SUPPORTED: ("no secure messaging here", "send the command in the clear"),
    SW.SECURITY_STATUS_NOT_SATISFIED: (
        "the PIN is needed, or a secure channel",
        "VERIFY the PIN, then send the command again; the issuer opens a secure channel",
    ),
    SW.AUTHENTICATION_METHOD_BLOCKED: ("no tries left", "RESET RETRY COUNTER with the PUK; without PUK tries the issuer replaces the card"),
    SW.CONDITIONS_NOT_SATISFIED: ("not in this state of the card or session", "SELECT, and look at the life cycle state it answers"),
    SW.MAC_INCORRECT: ("the MAC fits not", "wrong key or group, or another card, counter or nonce: SELECT again and authorize anew"),
    SW.WRONG_DATA: ("a value that can not be", "compare the data field with the command's table in the specification"),
    SW.FUNCTION_NOT_SUPPORTED: ("the card does not have this, or no more of it", "do without; of a logical channel: close another"),
    SW.FILE_NOT_FOUND: ("no such application", "another card, or another programme number"),
    SW.RECORD_NOT_FOUND: ("no such record", "read fewer; a pending entry that is gone was closed before"),
    SW.NOT_ENOUGH_MEMORY: ("not enough memory", "use a larger card"),
    SW.INCORRECT_P1_P2: ("P1 or P2 wrong", "compare them with the command's table in the specification"),
    SW.REFERENCED_DATA_NOT_FOUND: ("key or data object not there", "the card was personalized without it"),
    SW.WRONG_LE: ("the answer has {n} bytes", "send the command again with Le = {n}; nothing was done"),
    SW.INS_NOT_SUPPORTED: ("unknown instruction", "another application is selected, or CLA does not fit INS"),
    SW.CLA_NOT_SUPPORTED: ("unknown class", "use CLA 00 or 80"),
    SW.NO_PRECISE_DIAGNOSIS: ("the card failed", "a fault of the card's program: report it"),
    SW.BALANCE_TOO_SMALL: ("too few points or too little money", "offer a smaller amount"),
    SW.BALANCE_TOO_LARGE: ("the purse would exceed its limit", "load less"),
    SW.CEILING_REACHED: (
        "the shop card may grant no more",
        "the issuer gives the shop a card with a new ceiling and terminal number",
    ),
    SW.TIME_JUMP: ("the hour is too far ahead", "set the till's clock"),
    SW.FACTOR_ABOVE_LIMIT: ("campaign factor 0 or above the card's limit", "use a factor within the limit"),
    SW.CATEGORY_UNKNOWN: ("no such category in this programme", "use a category of the programme"),
    SW.COUNTER_EXHAUSTED: ("no transactions left", "replace the card"),
    SW.MODE_NOT_ALLOWED: ("the card does not take orders under this key", "use a shop card, or a till key, as the card's modes say"),
    SW.RULES_MISMATCH: ("shop card and customer card have different rules", "have the issuer update the older one"),
    SW.NOTHING_TO_VOID: ("the last transaction is not the one to void, or can not be voided", "give it back as a new transaction"),
    SW.PENDING_FULL: ("all pending entries of the shop card are in use", "settle or write off some"),
}

MEMBERS: dict[int, SW] = {int(member): member for member in SW}


def describe(sw: int) -> Status:
    """Name, meaning and advice of a status word, u16, known or not; the families 61XX, 63CX and 6CXX with their number."""
    number = 0
    if sw >> 8 in (0x61, 0x6C):
        member, number = MEMBERS[sw & 0xFF00], sw & 0xFF or 256
    elif sw & 0xFFF0 == SW.VERIFY_FAILED:
        member, number = SW.VERIFY_FAILED, sw & 0x0F
    elif sw in MEMBERS:
        member = MEMBERS[sw]
    else:
        return Status(sw, "UNKNOWN", "a status word this specification does not have", "another application may be selected")
    meaning, advice = TEXTS[member]
    return Status(sw, member.name, meaning.format(n=number), advice.format(n=number))
