"""The commands a till sends, and the answers it gets, as values (docs/spec/customer.md, docs/spec/shop.md)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, CLA_JOREN, Command, Ending, Ins, aid
from joren.apdu.cards import CustomerInfo, PendingEntry, ShopInfo
from joren.apdu.record import Record

__all__ = [
    "ABSENCE_SIZE",
    "CHALLENGE_SIZE",
    "DETAIL_SIZE",
    "EVIDENCE_SIZE",
    "RANK_SIZE",
    "SHOP_LOG_RECORD_SIZE",
    "Absence",
    "Answer",
    "AuthorizeAnswer",
    "ComputeAnswer",
    "Detail",
    "Evidence",
    "StateAnswer",
    "authorize",
    "commit",
    "compute",
    "get_challenge",
    "get_result",
    "get_state",
    "prove",
    "ratify",
    "read_log",
    "read_pending",
    "select_customer",
    "select_shop",
    "transact",
    "verify",
]

BARE_RECORD = 0x0C
"""P2 of SELECT: the SELECT record alone."""
PIN_REFERENCE = 0x81
LOG_P2, PENDING_P2 = 0x0C, 0x14
SHOP_LOG_RECORD_SIZE = PendingEntry.FORMAT.size + 1
CHALLENGE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """What TRANSACT and COMMIT answer, 32 bytes: outcome 16, receipt 8, proof 8."""

    FORMAT: ClassVar[Struct] = Struct(">16s8s8s")

    outcome: bytes
    receipt: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class StateAnswer(Record):
    """What GET STATE answers, 40 bytes: state 32, MAC 8."""

    FORMAT: ClassVar[Struct] = Struct(">32s8s")

    state: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class ComputeAnswer(Record):
    """What COMPUTE answers, 47 bytes: slot, sequence, points, new state 32, MAC 8."""

    FORMAT: ClassVar[Struct] = Struct(">BIH32s8s")

    slot: int
    sequence: int
    points: int
    state: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class AuthorizeAnswer(Record):
    """What AUTHORIZE answers, 13 bytes: slot, sequence, MAC 8."""

    FORMAT: ClassVar[Struct] = Struct(">BI8s")

    slot: int
    sequence: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Absence(Record):
    """What PROVE answers where it proves no transaction, 19 bytes: ending, counter now, new nonce 8, MAC 8."""

    FORMAT: ClassVar[Struct] = Struct(">BH8s8s")

    ending: int
    counter: int
    nonce: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Evidence(Record):
    """What PROVE answers for a committed transaction, 63 bytes: ending, counter now, new nonce 8, log record (head 20, answer 32)."""

    FORMAT: ClassVar[Struct] = Struct(">BH8s20s32s")

    ending: int
    counter: int
    nonce: bytes
    head: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Detail(Record):
    """What GET RESULT answers to P1 = 01, 31 bytes: rank, score, four values (16.16), points of last period and of this one, purse."""

    FORMAT: ClassVar[Struct] = Struct(">BH16sIII")

    rank: int
    score: int
    values: bytes
    points_before: int
    points_now: int
    purse_minor: int


ABSENCE_SIZE = Absence.FORMAT.size
EVIDENCE_SIZE = Evidence.FORMAT.size
DETAIL_SIZE = Detail.FORMAT.size
RANK_SIZE = 3

assert (Answer.FORMAT.size, StateAnswer.FORMAT.size, ComputeAnswer.FORMAT.size, AuthorizeAnswer.FORMAT.size) == (32, 40, 47, 13)
assert (ABSENCE_SIZE, EVIDENCE_SIZE, DETAIL_SIZE) == (19, 63, 31)


def select_customer(programme: int) -> Command:
    """SELECT of the customer card's instance of a programme; answers CustomerInfo."""
    return Command(CLA_ISO, Ins.SELECT, 0x04, BARE_RECORD, aid(AID_CUSTOMER, programme), CustomerInfo.FORMAT.size)


def select_shop(programme: int) -> Command:
    """SELECT of the shop card's instance of a programme; answers ShopInfo."""
    return Command(CLA_ISO, Ins.SELECT, 0x04, BARE_RECORD, aid(AID_SHOP, programme), ShopInfo.FORMAT.size)


def verify(block: bytes) -> Command:
    """VERIFY with a PIN block of 8 bytes."""
    return Command(CLA_ISO, Ins.VERIFY, 0x00, PIN_REFERENCE, block)


def transact(kind: int, key_ref: int, order: bytes, mac: bytes) -> Command:
    """TRANSACT with an order of 16 bytes and its MAC; answers Answer."""
    return Command(CLA_JOREN, Ins.TRANSACT, kind, key_ref, order + mac, Answer.FORMAT.size)


def get_state() -> Command:
    """GET STATE; answers StateAnswer."""
    return Command(CLA_JOREN, Ins.GET_STATE, 0x00, 0x00, ne=StateAnswer.FORMAT.size)


def commit(kind: int, key_ref: int, order: bytes, computed: ComputeAnswer) -> Command:
    """COMMIT of what a shop card computed, with the order of 16 bytes it computed for; answers Answer."""
    data = order + computed.points.to_bytes(2) + computed.state + computed.mac
    return Command(CLA_JOREN, Ins.COMMIT, kind, key_ref, data, Answer.FORMAT.size)


def prove(key_ref: int, counter: int, shop: int, sequence: int, challenge: bytes) -> Command:
    """PROVE for a transaction, with a challenge of 8 bytes; answers Absence or Evidence."""
    data = counter.to_bytes(2) + shop.to_bytes(4) + sequence.to_bytes(4) + challenge
    return Command(CLA_JOREN, Ins.PROVE, 0x00, key_ref, data, EVIDENCE_SIZE)


def get_result(hour: int, *, detailed: bool) -> Command:
    """GET RESULT at an hour; answers rank u8 and score u16, or Detail."""
    return Command(CLA_JOREN, Ins.GET_RESULT, int(detailed), 0x00, hour.to_bytes(2), DETAIL_SIZE if detailed else RANK_SIZE)


def compute(kind: int, info: CustomerInfo, state: StateAnswer, request: bytes) -> Command:
    """COMPUTE for a card's state, under its key version; request is hour, amount, category, factor, 8 bytes; answers ComputeAnswer."""
    head = info.card_id + info.counter.to_bytes(2) + info.nonce + bytes((info.rules_version,))
    return Command(CLA_JOREN, Ins.COMPUTE, kind, info.key_version, head + state.state + state.mac + request, ComputeAnswer.FORMAT.size)


def authorize(kind: int, info: CustomerInfo, request: bytes) -> Command:
    """AUTHORIZE for a customer card, under its key version; request is hour, amount, category, factor, 8 bytes; answers AuthorizeAnswer."""
    head = info.card_id + info.counter.to_bytes(2) + info.nonce
    return Command(CLA_JOREN, Ins.AUTHORIZE, kind, info.key_version, head + request, AuthorizeAnswer.FORMAT.size)


def ratify(ending: Ending, slot: int, data: bytes = b"") -> Command:
    """RATIFY of the entry in a slot; UNKNOWN writes it off."""
    return Command(CLA_JOREN, Ins.RATIFY, ending, slot, data)


def get_challenge() -> Command:
    """GET CHALLENGE; answers 8 bytes."""
    return Command(CLA_ISO, Ins.GET_CHALLENGE, 0x00, 0x00, ne=CHALLENGE_SIZE)


def read_pending(slot: int) -> Command:
    """READ RECORD of the pending entry in a slot; answers PendingEntry."""
    return Command(CLA_ISO, Ins.READ_RECORD, slot + 1, PENDING_P2, ne=PendingEntry.FORMAT.size)


def read_log(number: int) -> Command:
    """READ RECORD of the number-th newest closed entry, from 1; answers PendingEntry and its ending."""
    return Command(CLA_ISO, Ins.READ_RECORD, number, LOG_P2, ne=SHOP_LOG_RECORD_SIZE)
