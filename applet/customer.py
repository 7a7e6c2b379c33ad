"""The customer card (docs/spec/customer.md): which commands it has, and those that only read or settle.

How it works. Everything persistent lies in the cells of customer_memory.py. `process` makes the checks common to all commands
(dispatch.py) and calls the handler in HANDLERS; transactions are in transact.py, PIN in pin.py, personalization in personalize.py."""

from collections.abc import Callable
from typing import ClassVar

from joren.apdu import CLA_ISO, CLA_JOREN, LOG_SIZE, SW, Command, Ending, Ins, KeyRef, Kind, LifeCycle, Response, messages
from joren.apdu.cards import CustomerInfo
from joren.apdu.state import State
from joren.apdu.tlv import build_tlv

from .applet import NEEDS, Needs, Refused
from .checks import check_mac, check_secured
from .customer_memory import CustomerMemory
from .dispatch import Form, Forms, any_of, check_form, check_le, fixed, guarded
from .lifecycle import ALLOWED_CUSTOMER, SELECT_STATUS, next_state
from .personalize import STORE_P1, CustomerData, store_data
from .pin import Pin
from .platform import Platform
from .rank import aged, rank_at, score_at
from .transact import commit, transact

__all__ = ["CustomerCard"]

TRANSACT_KEYS: dict[Kind, tuple[KeyRef, ...]] = {
    Kind.PURCHASE: (KeyRef.TILL,),
    Kind.PAY_AND_EARN: (KeyRef.TILL,),
    Kind.REDEEM: (KeyRef.TILL, KeyRef.SHOP),
    Kind.LOAD: (KeyRef.LOAD,),
    Kind.PAY: (KeyRef.TILL, KeyRef.SHOP),
    Kind.VOID_PURCHASE: (KeyRef.TILL, KeyRef.SHOP),
    Kind.VOID_PAY_AND_EARN: (KeyRef.TILL, KeyRef.SHOP),
    Kind.VOID_REDEEM: (KeyRef.TILL, KeyRef.SHOP),
    Kind.VOID_LOAD: (KeyRef.LOAD,),
    Kind.VOID_PAY: (KeyRef.TILL, KeyRef.SHOP),
}
"""Which keys authorize which kind by TRANSACT (REQ-TRX-1)."""

TRANSACT_FORM = Form(frozenset({24}), 32)
COMMIT_FORM = Form(frozenset({58}), 32)
PROVE_FORM = Form(frozenset({18}), 63)
STORE_FORM = Form(frozenset(range(1, 256)), 0)
ADMIN_FORM = Form(frozenset({8}), 0)
SECURED_ADMIN_FORM = Form(frozenset({0, 8}), 0)
STATES = (LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED)
LOG_FORM = Form(frozenset({0}), 44)

FORMS: Forms = {
    (CLA_JOREN, Ins.TRANSACT): any_of({(kind, key): TRANSACT_FORM for kind, keys in TRANSACT_KEYS.items() for key in keys}),
    (CLA_JOREN, Ins.GET_STATE): fixed(0, 0, 0, 40),
    (CLA_JOREN, Ins.COMMIT): any_of({(kind, KeyRef.SHOP): COMMIT_FORM for kind in (Kind.PURCHASE, Kind.PAY_AND_EARN)}),
    (CLA_JOREN, Ins.PROVE): any_of({(0, key): PROVE_FORM for key in (KeyRef.TILL, KeyRef.SHOP, KeyRef.LOAD)}),
    (CLA_JOREN, Ins.GET_RESULT): any_of({(0, 0): Form(frozenset({2}), 3), (1, 0): Form(frozenset({2}), 31)}),
    (CLA_ISO, Ins.READ_RECORD): lambda p1, p2: LOG_FORM if p1 and p2 == 0x0C else None,
    (CLA_ISO, Ins.GET_DATA): any_of({(1, tag): Form(frozenset({0}), length) for tag, length in ((1, 98), (3, 2), (4, 10), (5, 46))}),
    (CLA_ISO, Ins.VERIFY): any_of({(0, 0x81): Form(frozenset({0, 8}), 0)}),
    (CLA_ISO, Ins.CHANGE_REFERENCE_DATA): fixed(0, 0x81, 16, 0),
    (CLA_ISO, Ins.RESET_RETRY_COUNTER): fixed(0, 0x81, 16, 0),
    (CLA_JOREN, Ins.STORE_DATA): lambda p1, _p2: STORE_FORM if p1 in STORE_P1 else None,
    (CLA_JOREN, Ins.SET_STATUS): any_of({(0x40, state): ADMIN_FORM for state in STATES}),
}
SECURED_FORMS: Forms = {**FORMS, (CLA_JOREN, Ins.SET_STATUS): any_of({(0x40, state): SECURED_ADMIN_FORM for state in STATES})}
"""Through a secure channel SET STATUS may come without a MAC (REQ-ADM-2)."""


class CustomerCard:
    """One programme on a customer's card."""

    NEEDS: ClassVar[Needs] = NEEDS

    def __init__(self, platform: Platform, aid: bytes) -> None:
        self.aid = aid
        self.platform = platform
        self.memory = CustomerMemory(platform, programme=int.from_bytes(aid[-2:]))
        self.pin = Pin(platform)
        self.data = CustomerData(self.memory, self.pin)
        with platform.transaction():
            self.memory.life_cycle.put(0, bytes((LifeCycle.SELECTABLE,)))
            self.memory.sheets.put(0, State.blank().encode())
            self.pin.clear()

    def select(self, command: Command) -> Response:
        """SELECT (REQ-SEL-1, REQ-SEL-2); the RAM of this instance has just been cleared."""
        return guarded(self._select, command)

    def process(self, command: Command) -> Response:
        """Any other command."""
        return guarded(self._process, command)

    def _select(self, command: Command) -> Response:
        answer_length = CustomerInfo.FORMAT.size
        if command.p2 & 0x0C == 0:
            answer_length += 2 + 2 + len(self.aid) + 2
        memory = self.memory
        memory.draw_nonce()
        check_le(command, answer_length)
        state = memory.state
        info = CustomerInfo(
            version=1,
            life_cycle=memory.status,
            flags=self._flags(),
            rules_version=memory.rules_raw[0],
            programme=memory.programme,
            card_id=memory.card_id.get(),
            counter=memory.counter,
            nonce=memory.nonce.get(),
            rank=state[1],
            key_version=memory.key_version,
        ).encode()
        answer = info if command.p2 & 0x0C else build_tlv(0x6F, build_tlv(0x84, self.aid) + build_tlv(0x85, info))
        return Response(answer, SELECT_STATUS[memory.status])

    def _flags(self) -> int:
        limits = self.memory.limits_cells.get()
        modes, purse_max = limits[0], limits[6:10]
        return modes | (any(purse_max) << 2) | (self.pin.present << 3)

    def _process(self, command: Command) -> Response:
        check_form(command, FORMS if self.platform.channel is None else SECURED_FORMS, ALLOWED_CUSTOMER[self.memory.status])
        return Response(HANDLERS[command.ins](self, command), SW.OK)

    def _transact(self, command: Command) -> bytes:
        return transact(self.memory, self.pin, command)

    def _commit(self, command: Command) -> bytes:
        return commit(self.memory, self.pin, command)

    def _get_state(self, _command: Command) -> bytes:
        memory = self.memory
        key = memory.authority(KeyRef.SHOP)
        state = memory.state
        message = messages.state(memory.head, memory.counter, memory.nonce.get(), memory.rules_raw[0], state)
        return state + key.mac8(message)

    def _prove(self, command: Command) -> bytes:
        memory = self.memory
        key = memory.key(command.p2)
        data = command.data
        asked, shop, sequence = int.from_bytes(data[:2]), int.from_bytes(data[2:6]), int.from_bytes(data[6:10])
        counter = memory.counter
        if asked > counter:
            raise Refused(SW.WRONG_DATA)
        memory.draw_nonce()
        nonce = memory.nonce.get()
        ending = Ending.NOT_COMMITTED
        if asked + LOG_SIZE < counter:
            ending = Ending.UNKNOWN
        elif asked < counter:
            record = memory.log_record(asked)
            if record[1] == command.p2 and record[12:20] == data[2:10]:
                return bytes((Ending.COMMITTED,)) + counter.to_bytes(2) + nonce + record + memory.receipt(record) + memory.proof(record)
        message = messages.absence(memory.head, command.p2, asked, shop, sequence, data[10:], ending, counter, nonce)
        return bytes((ending,)) + counter.to_bytes(2) + nonce + key.mac8(message)

    def _get_result(self, command: Command) -> bytes:
        hour = int.from_bytes(command.data)
        sheet, rules = self.memory.sheet, self.memory.rules
        state = State.decode(sheet.state)
        public = bytes((rank_at(state, rules, hour),)) + score_at(state, rules, hour).to_bytes(2)
        if command.p1 == 0:
            return public
        self._check_holder()
        sheet = sheet.rolled(hour, self.memory.limits.period_hours)
        balances = (*aged(state, rules, hour), sheet.points_before, sheet.points_now, sheet.purse_minor)
        return public + b"".join(value.to_bytes(4) for value in balances)

    def _read_record(self, command: Command) -> bytes:
        self._check_holder()
        counter = self.memory.counter
        if command.p1 > min(counter, LOG_SIZE):
            raise Refused(SW.RECORD_NOT_FOUND)
        record = self.memory.log_record(counter - command.p1)
        return record + self.memory.receipt(record)

    def _check_holder(self) -> None:
        if self.pin.present and not self.pin.verified:
            raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)

    def _get_data(self, command: Command) -> bytes:
        memory = self.memory
        if command.p2 == 5:
            check_secured(self.platform.channel, answer=True)
            return memory.sheet.encode()
        if memory.status == LifeCycle.TERMINATED:
            raise Refused(SW.CONDITIONS_NOT_SATISFIED)
        if command.p2 == 1:
            return memory.rules_raw + memory.limits_cells.get()
        if command.p2 == 3:
            return self.pin.tries.get()
        return b"".join(bytes((key_ref, version)) for key_ref, version in zip(KeyRef, memory.key_versions.get(), strict=True))

    def _verify(self, command: Command) -> bytes:
        self.pin.verify(command.data)
        return b""

    def _change_reference_data(self, command: Command) -> bytes:
        self.pin.change(command.data[:8], command.data[8:])
        return b""

    def _reset_retry_counter(self, command: Command) -> bytes:
        self.pin.reset(command.data[:8], command.data[8:])
        return b""

    def _store_data(self, command: Command) -> bytes:
        store_data(self.platform, self.data, self.memory.next_block, command)
        return b""

    def _set_status(self, command: Command) -> bytes:
        memory = self.memory
        state = next_state(memory.status, command.p2)
        if command.data:
            message = messages.admin(memory.head, memory.counter, memory.nonce.get(), state)
            check_mac(memory.key(KeyRef.ADMIN).mac8(message), command.data)
        else:
            check_secured(self.platform.channel)
        memory.life_cycle.put(0, bytes((state,)))
        memory.draw_nonce()
        return b""

    HANDLERS: ClassVar[dict[int, Callable[["CustomerCard", Command], bytes]]] = {
        Ins.TRANSACT: _transact,
        Ins.GET_STATE: _get_state,
        Ins.COMMIT: _commit,
        Ins.PROVE: _prove,
        Ins.GET_RESULT: _get_result,
        Ins.READ_RECORD: _read_record,
        Ins.GET_DATA: _get_data,
        Ins.VERIFY: _verify,
        Ins.CHANGE_REFERENCE_DATA: _change_reference_data,
        Ins.RESET_RETRY_COUNTER: _reset_retry_counter,
        Ins.STORE_DATA: _store_data,
        Ins.SET_STATUS: _set_status,
    }


HANDLERS = CustomerCard.HANDLERS
