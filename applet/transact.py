"""TRANSACT and COMMIT on the customer card (REQ-TRX-1 to REQ-COM-2): check, compute the next balance sheet, write all at once, answer.

How it works. Both commands end in `_finish`, which logs and answers. Before it nothing is written, so any refusal on the way leaves the
card as it was."""

from dataclasses import replace

from joren.apdu import SW, VOID, Command, KeyRef, Kind, is_void, messages
from joren.apdu.state import State
from joren.apdu.transaction import Order, Outcome, Transaction

from .applet import Refused
from .checks import check_category_and_factor, check_mac, check_plain_order, check_time, decode_state
from .customer_memory import COUNTER_MAX, CustomerMemory
from .pin import Pin
from .rank import Purchase, purchase, score
from .sheet import Sheet

__all__ = ["commit", "transact"]

NEVER = 0xFFFFFFFF


def transact(memory: CustomerMemory, pin: Pin, command: Command) -> bytes:
    """TRANSACT: order 16 | MAC 8; answers outcome 16 | receipt 8 | proof 8."""
    kind, key_ref, raw = command.p1, command.p2, command.data[:16]
    message = messages.order(memory.head, memory.counter, memory.nonce.get(), kind, key_ref, raw)
    check_mac(memory.authority(key_ref).mac8(message), command.data[16:])
    _check_counter(memory)
    order = Order.decode(raw)
    if is_void(kind):
        return _void(memory, kind, key_ref, order)
    if kind in (Kind.PURCHASE, Kind.PAY_AND_EARN):
        return _purchase(memory, pin, kind, order)
    return _move(memory, pin, kind, key_ref, order)


def commit(memory: CustomerMemory, pin: Pin, command: Command) -> bytes:
    """COMMIT: order 16 | points u16 | state 32 | MAC 8; answers as TRANSACT."""
    kind, data = command.p1, command.data
    raw, points, raw_state = data[:16], int.from_bytes(data[16:18]), data[18:50]
    rules = memory.rules
    message = messages.commit(
        memory.head, memory.counter, memory.nonce.get(), kind, KeyRef.SHOP, raw, rules.rules_version, points, raw_state
    )
    check_mac(memory.authority(KeyRef.SHOP).mac8(message), data[50:])
    _check_counter(memory)
    order = Order.decode(raw)
    sheet = memory.sheet
    before = _check_earning(memory, kind, order, sheet)
    after = decode_state(raw_state)
    last_hour = max(before.last_hour, order.hour) if before.visits else order.hour
    if points > rules.points_cap or after.last_hour != last_hour:
        raise Refused(SW.WRONG_DATA)
    return _earn(memory, pin, kind, KeyRef.SHOP, order, sheet, after, points)


def _check_counter(memory: CustomerMemory) -> None:
    if memory.counter == COUNTER_MAX:
        raise Refused(SW.COUNTER_EXHAUSTED)


def _purchase(memory: CustomerMemory, pin: Pin, kind: int, order: Order) -> bytes:
    sheet = memory.sheet
    before = _check_earning(memory, kind, order, sheet)
    after, points = purchase(before, memory.rules, Purchase(order.hour, order.amount, order.category, order.factor_tenths))
    return _earn(memory, pin, kind, KeyRef.TILL, order, sheet, after, points)


def _check_earning(memory: CustomerMemory, kind: int, order: Order, sheet: Sheet) -> State:
    check_category_and_factor(order.category, order.factor_tenths, memory.limits)
    if kind == Kind.PAY_AND_EARN and not order.amount:
        raise Refused(SW.WRONG_DATA)
    state = State.decode(sheet.state)
    check_time(state, memory.rules, order.hour)
    return state


def _earn(memory: CustomerMemory, pin: Pin, kind: int, key_ref: int, order: Order, sheet: Sheet, after: State, points: int) -> bytes:
    limits = memory.limits
    sheet = sheet.rolled(order.hour, limits.period_hours)
    needed = False
    if kind == Kind.PAY_AND_EARN:
        needed = _check_pin(pin, order.amount, limits.pay_pin_from_minor)
        sheet = sheet.paid(order.amount)
    sheet = replace(sheet, state=after.encode()).earned(points)
    return _finish(memory, kind, key_ref, order, sheet, points, pin if needed else None)


def _move(memory: CustomerMemory, pin: Pin, kind: int, key_ref: int, order: Order) -> bytes:
    check_plain_order(order)
    limits = memory.limits
    sheet = memory.sheet
    check_time(State.decode(sheet.state), memory.rules, order.hour)
    sheet = sheet.rolled(order.hour, limits.period_hours)
    needed, points = False, 0
    if kind == Kind.LOAD:
        sheet = sheet.loaded(order.amount, limits.purse_max_minor)
    elif kind == Kind.PAY:
        needed = _check_pin(pin, order.amount, limits.pay_pin_from_minor)
        sheet = sheet.paid(order.amount)
    else:
        needed = _check_pin(pin, order.amount, limits.redeem_pin_from)
        sheet, points = sheet.redeemed(order.amount), order.amount
    return _finish(memory, kind, key_ref, order, sheet, points, pin if needed else None)


def _check_pin(pin: Pin, amount: int, threshold: int) -> bool:
    if threshold == NEVER or amount < threshold:
        return False
    if not pin.verified:
        raise Refused(SW.SECURITY_STATUS_NOT_SATISFIED)
    return True


def _void(memory: CustomerMemory, kind: int, key_ref: int, order: Order) -> bytes:
    counter = memory.counter
    if not counter:
        raise Refused(SW.NOTHING_TO_VOID)
    last = Transaction.decode(memory.log_record(counter - 1))
    done = Order.decode(last.order)
    named = (kind, key_ref, order.shop, order.amount, order.category, order.factor_tenths)
    if named != (last.kind | VOID, last.key_ref, done.shop, done.amount, done.category, done.factor_tenths) or is_void(last.kind):
        raise Refused(SW.NOTHING_TO_VOID)
    return _finish(memory, kind, key_ref, order, memory.sheet_before, Outcome.decode(last.outcome).points, None)


def _finish(memory: CustomerMemory, kind: int, key_ref: int, order: Order, sheet: Sheet, points: int, pin: Pin | None) -> bytes:
    rules = memory.rules
    state = State.decode(sheet.state)
    outcome = Outcome(
        rank=state.rank,
        rules_version=rules.rules_version,
        score=score(state, rules),
        points=points,
        points_balance=sheet.points_balance,
        purse_minor=sheet.purse_minor,
    ).encode()
    record = Transaction(kind, key_ref, memory.counter, order.encode(), outcome).encode()
    memory.add(sheet, record)
    if pin is not None:
        pin.forget()
    return outcome + memory.receipt(record) + memory.proof(record)
