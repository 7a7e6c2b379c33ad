"""The audit of a counter: who has what in the end, by the customer card's log, the journal, the receipts, and the shop card's totals."""

from collections.abc import Collection

from joren.apdu import CLA_ISO, LOG_SIZE, VOID, Command, Ins, Kind, base_kind, is_void
from joren.apdu.cards import CustomerInfo, ShopInfo, Totals
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.host import Fate, Receipt, Row, wire
from joren.simulator.chip import Chip

from .tear_counter import MONEY, POINTS, PROGRAMME, SHOP, Counter

__all__ = ["Disagreement", "audit"]

LOG_P2, RECORD_SIZE, RECORD_AND_RECEIPT = 0x0C, 36, 44
TOTALS = Command(CLA_ISO, Ins.GET_DATA, 0x01, 0x02, ne=Totals.FORMAT.size)
POINTS_KINDS = (Kind.PURCHASE, Kind.PAY_AND_EARN, Kind.REDEEM)
PURSE_KINDS = (Kind.PAY, Kind.PAY_AND_EARN, Kind.LOAD)


class Disagreement(Exception):
    """The books do not agree; says which, and how."""


def audit(counter: Counter, hour: int) -> list[Row]:
    """Compares all books; both cards are powered anew for it. Gives what was committed. Raises Disagreement, MacMismatch."""
    rows = [row for row in counter.journal.rows() if row.fate is Fate.COMMITTED]
    _agree("rows that are not settled", 0, len(counter.journal.unsettled()))
    references = [row.reference for row in rows]
    _agree("references of the journal, each once", len(set(references)), len(references))
    _agree("rows of the journal without a sale", 0, references.count(None))
    records = _log(counter.customer)
    _check_balances(counter.customer, records, hour)
    told = [(row.counter, Transaction.decode(row.head + row.answer().outcome)) for row in rows]
    _agree("transactions of the journal and of the card's log", [(one.counter, one) for one in records], told)
    for row in rows:
        answer = row.answer()
        counter.stage.masters.verify_receipt(Receipt(PROGRAMME, row.card_id, row.head + answer.outcome, answer.receipt))
    if counter.stage.by_card:
        _check_shop(counter.shop, rows)
    return rows


def _agree(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise Disagreement(f"{what}: {expected} expected, {came} came")


def _ask(chip: Chip, command: Command) -> bytes:
    response = chip.process(command)
    if not response.ok:
        raise Disagreement(f"{Ins(command.ins).name}: 9000 expected, {response.status} came")
    return response.data


def _log(chip: Chip) -> list[Transaction]:
    """The records of a card without a PIN and with less than a full log, oldest first."""
    chip.power_on()
    info = CustomerInfo.decode(_ask(chip, wire.select_customer(PROGRAMME)))
    numbers = range(min(info.counter, LOG_SIZE), 0, -1)
    answers = [_ask(chip, Command(CLA_ISO, Ins.READ_RECORD, number, LOG_P2, ne=RECORD_AND_RECEIPT)) for number in numbers]
    records = [Transaction.decode(answer[:RECORD_SIZE]) for answer in answers]
    _agree("counters of the log", list(range(info.counter)), [one.counter for one in records])
    return records


def _check_balances(chip: Chip, records: Collection[Transaction], hour: int) -> None:
    """From a blank card on each record's balances follow from those before, within one points period; the last are those of the card."""
    points = purse = 0
    for record in records:
        order, outcome = Order.decode(record.order), Outcome.decode(record.outcome)
        kind, sign = base_kind(record.kind), -1 if is_void(record.kind) else 1
        _agree("shop of a record", SHOP, order.shop)
        if kind in POINTS_KINDS:
            points += sign * (-1 if kind == Kind.REDEEM else 1) * outcome.points
        if kind in PURSE_KINDS:
            purse += sign * (1 if kind == Kind.LOAD else -1) * order.amount
        _agree(f"balances of record {record.counter}", (points, purse), (outcome.points_balance, outcome.purse_minor))
    detail = wire.Detail.decode(_ask(chip, wire.get_result(hour, detailed=True)))
    _agree("balances of the card", (points, purse), (detail.points_before + detail.points_now, detail.purse_minor))


def _check_shop(chip: Chip, rows: Collection[Row]) -> None:
    chip.power_on()
    info = ShopInfo.decode(_ask(chip, wire.select_shop(PROGRAMME)))
    totals = Totals.decode(_ask(chip, TOTALS))
    granted, regranted = (_points(rows, kind) + _points(rows, both) for kind, both in _pairs(Kind.PURCHASE, Kind.PAY_AND_EARN))
    paid, repaid = (_money(rows, kind) + _money(rows, both) for kind, both in _pairs(Kind.PAY, Kind.PAY_AND_EARN))
    loaded, unloaded = _money(rows, Kind.LOAD), _money(rows, Kind.VOID_LOAD)
    redeemed, unredeemed = _points(rows, Kind.REDEEM), _points(rows, Kind.VOID_REDEEM)
    _agree("pending entries", 0, info.pending)
    _agree("totals", Totals(granted, redeemed, loaded, paid, regranted, unredeemed, unloaded, repaid, 0, 0, len(rows)), totals)
    left = (POINTS - granted + regranted, MONEY - loaded + unloaded)
    _agree("what may still be granted and loaded", left, (info.points_left, info.money_left_minor))


def _pairs(kind: Kind, other: Kind) -> tuple[tuple[Kind, Kind], tuple[Kind, Kind]]:
    """Two kinds, and their voids."""
    return (kind, other), (Kind(kind | VOID), Kind(other | VOID))


def _points(rows: Collection[Row], kind: Kind) -> int:
    return sum(Outcome.decode(row.answer().outcome).points for row in rows if row.kind == kind)


def _money(rows: Collection[Row], kind: Kind) -> int:
    return sum(row.order.amount for row in rows if row.kind == kind)
