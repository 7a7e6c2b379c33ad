"""The shop card (docs/spec/shop.md): it computes for customer cards, authorizes orders, and counts what it granted.

How it works. COMPUTE and AUTHORIZE leave a pending entry and take what it may grant from the ceilings at once; RATIFY closes the entry
by the customer card's own word (proof, or absence for this card's challenge), or writes it off with nothing given back. Whatever a
terminal says, drops or repeats, no more than the ceilings is ever granted."""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, base_kind, is_void, messages
from joren.apdu.cards import PendingEntry, ShopInfo
from joren.apdu.tlv import build_tlv
from joren.apdu.transaction import Order, Outcome, Transaction

from .applet import NEEDS, Needs, Refused
from .checks import (
    check_any_mac,
    check_category_and_factor,
    check_mac,
    check_plain_order,
    check_secured,
    check_time,
    decode_state,
)
from .dispatch import Form, Forms, any_of, check_form, check_le, fixed, guarded
from .lifecycle import ALLOWED_SHOP, SELECT_STATUS, next_state
from .personalize import STORE_P1, ShopData, store_data
from .platform import Platform
from .rank import Purchase, purchase, score
from .shop_memory import ShopMemory

__all__ = ["ShopCard"]

COUNTER_MAX = 0xFFFF
LOG_P2, PENDING_P2 = 0x0C, 0x14
AUTHORIZED = (Kind.REDEEM, Kind.LOAD, Kind.PAY, *(kind for kind in Kind if is_void(kind)))
COMPUTE_FORM = Form(frozenset({67}), 47)
AUTHORIZE_FORM = Form(frozenset({26}), 13)
RATIFY_FORMS = {
    Ending.NOT_COMMITTED: Form(frozenset({18}), 0),
    Ending.COMMITTED: Form(frozenset({24}), 0),
    Ending.UNKNOWN: Form(frozenset({0}), 0),
}
RECORD_FORMS = {LOG_P2: Form(frozenset({0}), 33), PENDING_P2: Form(frozenset({0}), 32)}
STORE_FORM = Form(frozenset(range(1, 256)), 0)
ADMIN_FORM = Form(frozenset({8}), 0)
SECURED_ADMIN_FORM = Form(frozenset({0, 8}), 0)
STATES = (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED)

FORMS: Forms = {
    (CLA_JOREN, Ins.COMPUTE): lambda p1, _version: COMPUTE_FORM if p1 in (Kind.PURCHASE, Kind.PAY_AND_EARN) else None,
    (CLA_JOREN, Ins.AUTHORIZE): lambda p1, _version: AUTHORIZE_FORM if p1 in AUTHORIZED else None,
    (CLA_JOREN, Ins.RATIFY): any_of({(ending, slot): form for ending, form in RATIFY_FORMS.items() for slot in range(16)}),
    (CLA_ISO, Ins.GET_CHALLENGE): fixed(0, 0, 0, 8),
    (CLA_ISO, Ins.READ_RECORD): lambda p1, p2: RECORD_FORMS.get(p2) if p1 else None,
    (CLA_ISO, Ins.GET_DATA): any_of({(1, tag): Form(frozenset({0}), length) for tag, length in ((1, 98), (2, 44), (4, 10))}),
    (CLA_JOREN, Ins.STORE_DATA): lambda p1, _p2: STORE_FORM if p1 in STORE_P1 else None,
    (CLA_JOREN, Ins.SET_STATUS): any_of({(0x40, state): ADMIN_FORM for state in STATES}),
}
SECURED_FORMS: Forms = {**FORMS, (CLA_JOREN, Ins.SET_STATUS): any_of({(0x40, state): SECURED_ADMIN_FORM for state in STATES})}
"""Through a secure channel SET STATUS may come without a MAC (REQ-ADM-2)."""

COMMITTED_TOTALS: dict[Kind, tuple[tuple[str, str], ...]] = {
    Kind.PURCHASE: (("points_granted", "points"),),
    Kind.PAY_AND_EARN: (("points_granted", "points"), ("money_paid", "amount")),
    Kind.REDEEM: (("points_redeemed", "points"),),
    Kind.LOAD: (("money_loaded", "amount"),),
    Kind.PAY: (("money_paid", "amount"),),
}
"""Which totals a kind adds to, and which field of the entry; the void of a kind adds to the `_voided` ones (REQ-RAT-2)."""


class ShopCard:
    """One shop terminal's card in a programme."""

    NEEDS: ClassVar[Needs] = NEEDS

    def __init__(self, platform: Platform, aid: bytes) -> None:
        self.aid = aid
        self.platform = platform
        self.memory = ShopMemory(platform, programme=int.from_bytes(aid[-2:]))
        self.data = ShopData(self.memory)
        self.memory.life_cycle.put(0, bytes((LifeCycle.SELECTABLE,)))

    def select(self, command: Command) -> Response:
        """SELECT; the RAM of this instance has just been cleared."""
        return guarded(self._select, command)

    def process(self, command: Command) -> Response:
        """Any other command."""
        return guarded(self._process, command)

    def _select(self, command: Command) -> Response:
        answer_length = ShopInfo.FORMAT.size
        if command.p2 & 0x0C == 0:
            answer_length += 2 + 2 + len(self.aid) + 2
        check_le(command, answer_length)
        memory, sheet = self.memory, self.memory.sheet
        info = ShopInfo(
            version=1,
            life_cycle=memory.status,
            rules_version=memory.rules_cells.get(0, 1)[0],
            pending=memory.pending_count,
            programme=memory.programme,
            shop=memory.shop,
            terminal=memory.terminal,
            sequence=memory.sequence(sheet),
            points_left=sheet.points_left,
            money_left_minor=sheet.money_left_minor,
            refills=sheet.refills,
        ).encode()
        answer = info if command.p2 & 0x0C else build_tlv(0x6F, build_tlv(0x84, self.aid) + build_tlv(0x85, info))
        return Response(answer, SELECT_STATUS[memory.status])

    def _process(self, command: Command) -> Response:
        check_form(command, FORMS if self.platform.channel is None else SECURED_FORMS, ALLOWED_SHOP[self.memory.status])
        return Response(HANDLERS[command.ins](self, command), SW.OK)

    def _compute(self, command: Command) -> bytes:
        memory, data, sheet = self.memory, command.data, self.memory.sheet
        card_id, counter, nonce, raw_state = data[:8], int.from_bytes(data[8:10]), data[10:18], data[19:51]
        order = Order.decode(data[59:67] + memory.identity.get(0, 4) + memory.sequence(sheet).to_bytes(4))
        head, rules = memory.customer_head(card_id), memory.rules
        key = memory.masters[KeyRef.SHOP].derive(command.p2, head)
        if data[18] != rules.rules_version:
            raise Refused(SW.RULES_MISMATCH)
        check_mac(key.mac8(messages.state(head, counter, nonce, rules.rules_version, raw_state)), data[51:59])
        before = decode_state(raw_state)
        self._check_counter(counter)
        check_category_and_factor(order.category, order.factor_tenths, memory.limits)
        if command.p1 == Kind.PAY_AND_EARN and not order.amount:
            raise Refused(SW.WRONG_DATA)
        check_time(before, rules, order.hour)
        slot = memory.free_slot(sheet.count)
        memory.check_count(sheet.count)
        after, points = purchase(before, rules, Purchase(order.hour, order.amount, order.category, order.factor_tenths))
        if points > sheet.points_left:
            raise Refused(SW.CEILING_REACHED)
        entry = _entry(command.p1, KeyRef.SHOP, counter, card_id, order)
        entry = replace(entry, rank=after.rank, rules_version=rules.rules_version, score=score(after, rules), points=points)
        memory.open(slot, entry, sheet, points, 0)
        state = after.encode()
        message = messages.commit(head, counter, nonce, command.p1, KeyRef.SHOP, order.encode(), rules.rules_version, points, state)
        return bytes((slot,)) + order.sequence.to_bytes(4) + points.to_bytes(2) + state + key.mac8(message)

    def _authorize(self, command: Command) -> bytes:
        memory, data, kind, sheet = self.memory, command.data, command.p1, self.memory.sheet
        card_id, counter, nonce = data[:8], int.from_bytes(data[8:10]), data[10:18]
        order = Order.decode(data[18:26] + memory.identity.get(0, 4) + memory.sequence(sheet).to_bytes(4))
        key_ref = KeyRef.LOAD if base_kind(kind) == Kind.LOAD else KeyRef.SHOP
        head = memory.customer_head(card_id)
        key = memory.masters[key_ref].derive(command.p2, head)
        if not is_void(kind):
            check_plain_order(order)
        self._check_counter(counter)
        slot = memory.free_slot(sheet.count)
        memory.check_count(sheet.count)
        money = order.amount if kind == Kind.LOAD else 0
        if money > sheet.money_left_minor:
            raise Refused(SW.CEILING_REACHED)
        memory.open(slot, _entry(kind, key_ref, counter, card_id, order), sheet, 0, money)
        message = messages.order(head, counter, nonce, kind, key_ref, order.encode())
        return bytes((slot,)) + order.sequence.to_bytes(4) + key.mac8(message)

    def _check_word(self, entry: PendingEntry, message: bytes, mac: bytes) -> None:
        """What a customer card says of an entry, under any version: its keys may have been renewed since (REQ-RAT-6)."""
        keys = self.memory.masters[KeyRef(entry.key_ref)].derive_each(self.memory.customer_head(entry.card_id))
        check_any_mac((key.mac8(message) for key in keys), mac)

    @staticmethod
    def _check_counter(counter: int) -> None:
        if counter == COUNTER_MAX:
            raise Refused(SW.COUNTER_EXHAUSTED)

    def _ratify(self, command: Command) -> bytes:
        entry = PendingEntry.decode(self.memory.entry_raw(command.p2))
        if command.p1 == Ending.COMMITTED:
            self._ratify_committed(command.p2, entry, command.data)
        elif command.p1 == Ending.NOT_COMMITTED:
            self._ratify_absent(command.p2, entry, command.data)
        else:
            changes = {"points_written_off": entry.points, "money_written_off_minor": _loaded(entry)}
            self.memory.close(command.p2, entry, Ending.UNKNOWN, changes)
        return b""

    def _ratify_committed(self, slot: int, entry: PendingEntry, data: bytes) -> None:
        memory = self.memory
        order = Order(entry.hour, entry.amount, entry.category, entry.factor_tenths, memory.shop, entry.sequence)
        record = Transaction(entry.kind, entry.key_ref, entry.counter, order.encode(), data[:16]).encode()
        proof = messages.proof(memory.customer_head(entry.card_id), record)
        self._check_word(entry, proof, data[16:])
        outcome = Outcome.decode(data[:16])
        expected = (entry.rank, entry.rules_version, entry.score, entry.points)
        computed = entry.kind in (Kind.PURCHASE, Kind.PAY_AND_EARN)
        if computed and (outcome.rank, outcome.rules_version, outcome.score, outcome.points) != expected:
            raise Refused(SW.WRONG_DATA)
        entry = replace(entry, points=outcome.points)
        kind, voided = base_kind(entry.kind), is_void(entry.kind)
        changes = {"transactions": 1}
        for total, field in COMMITTED_TOTALS[kind]:
            changes[_total_name(total, voided)] = getattr(entry, field)
        sale = memory.sale_of(entry) if voided else None
        if sale is None:
            memory.close(slot, entry, Ending.COMMITTED, changes)
        else:
            points = entry.points if kind in (Kind.PURCHASE, Kind.PAY_AND_EARN) else 0
            money = entry.amount if kind == Kind.LOAD else 0
            memory.close(slot, entry, Ending.COMMITTED, changes, points, money, sale)

    def _ratify_absent(self, slot: int, entry: PendingEntry, data: bytes) -> None:
        memory = self.memory
        flag, challenge = memory.challenge.get(0, 1), memory.challenge.get(1)
        memory.challenge.put(0, bytes(9))
        if flag != b"\x01":
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        message = messages.absence(
            memory.customer_head(entry.card_id), entry.key_ref, entry.counter, memory.shop, entry.sequence,
            challenge, Ending.NOT_COMMITTED, int.from_bytes(data[:2]), data[2:10],
        )  # fmt: skip
        self._check_word(entry, message, data[10:])
        memory.close(slot, entry, Ending.NOT_COMMITTED, {}, entry.points, _loaded(entry))

    def _get_challenge(self, _command: Command) -> bytes:
        challenge = self.platform.random(8)
        self.memory.challenge.put(0, b"\x01" + challenge)
        return challenge

    def _read_record(self, command: Command) -> bytes:
        if command.p2 == PENDING_P2:
            return self.memory.entry_raw(command.p1 - 1)
        return self.memory.log_record(command.p1)

    def _get_data(self, command: Command) -> bytes:
        memory = self.memory
        if command.p2 == 1:
            return memory.rules_cells.get() + memory.limits_cells.get()
        return memory.sheet.totals if command.p2 == 2 else memory.versions

    def _store_data(self, command: Command) -> bytes:
        store_data(self.platform, self.data, self.memory.next_block, command)
        return b""

    def _set_status(self, command: Command) -> bytes:
        memory = self.memory
        flag, challenge = memory.challenge.get(0, 1), memory.challenge.get(1)
        memory.challenge.put(0, bytes(9))
        state = next_state(memory.status, command.p2)
        if not command.data:
            check_secured(self.platform.channel)
        elif flag != b"\x01":
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        else:
            check_mac(memory.admin_key.mac8(messages.admin(memory.head, 0, challenge, state)), command.data)
        memory.life_cycle.put(0, bytes((state,)))
        return b""

    HANDLERS: ClassVar[dict[int, Callable[["ShopCard", Command], bytes]]] = {
        Ins.COMPUTE: _compute,
        Ins.AUTHORIZE: _authorize,
        Ins.RATIFY: _ratify,
        Ins.GET_CHALLENGE: _get_challenge,
        Ins.READ_RECORD: _read_record,
        Ins.GET_DATA: _get_data,
        Ins.STORE_DATA: _store_data,
        Ins.SET_STATUS: _set_status,
    }


HANDLERS = ShopCard.HANDLERS


def _entry(kind: int, key_ref: int, counter: int, card_id: bytes, order: Order) -> PendingEntry:
    return PendingEntry(
        kind, key_ref, counter, order.hour, order.amount, order.category, order.factor_tenths, order.sequence, card_id, 0, 0, 0, 0
    )


def _loaded(entry: PendingEntry) -> int:
    return entry.amount if entry.kind == Kind.LOAD else 0


def _total_name(total: str, voided: bool) -> str:
    stem = total + ("_voided" if voided else "")
    return stem + "_minor" if total.startswith("money") else stem
