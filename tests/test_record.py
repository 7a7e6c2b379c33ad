"""Fixed records: sizes, both directions, refusals, and a second description of each in construct that must agree (REQ-REC-1)."""

from dataclasses import fields
from typing import Any

import construct as cs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu.cards import CustomerInfo, Limits, PendingEntry, ShopInfo, Totals
from joren.apdu.record import MalformedRecord, Record
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.applet.sheet import Sheet
from joren.applet.shop_sheet import ShopSheet

U8, U16, U32 = cs.Int8ub, cs.Int16ub, cs.Int32ub


def described(*items: tuple[str, Any]) -> Any:
    return cs.Struct(*(name / kind for name, kind in items), cs.Terminated)


ORDER = described(("hour", U16), ("amount", U32), ("category", U8), ("factor_tenths", U8), ("shop", U32), ("sequence", U32))
OUTCOME = described(("rank", U8), ("rules_version", U8), ("score", U16), ("points", U32), ("points_balance", U32), ("purse_minor", U32))
RECORDS: dict[type[Record], Any] = {
    Order: ORDER,
    Outcome: OUTCOME,
    Transaction: described(("kind", U8), ("key_ref", U8), ("counter", U16), ("order", cs.Bytes(16)), ("outcome", cs.Bytes(16))),
    Limits: described(
        ("modes", U8), ("factor_max_tenths", U8), ("categories", U16), ("period_hours", U16), ("purse_max_minor", U32),
        ("redeem_pin_from", U32), ("pay_pin_from_minor", U32),
    ),
    Sheet: described(("state", cs.Bytes(32)), ("points_now", U32), ("points_before", U32), ("period", U16), ("purse_minor", U32)),
    CustomerInfo: described(
        ("version", U8), ("life_cycle", U8), ("flags", U8), ("rules_version", U8), ("programme", U16), ("card_id", cs.Bytes(8)),
        ("counter", U16), ("nonce", cs.Bytes(8)), ("rank", U8), ("key_version", U8),
    ),
    ShopInfo: described(
        ("version", U8), ("life_cycle", U8), ("rules_version", U8), ("pending", U8), ("programme", U16), ("shop", U32), ("terminal", U8),
        ("sequence", U32), ("points_left", U32), ("money_left_minor", U32), ("refills", U16),
    ),
    PendingEntry: described(
        ("kind", U8), ("key_ref", U8), ("counter", U16), ("hour", U16), ("amount", U32), ("category", U8), ("factor_tenths", U8),
        ("sequence", U32), ("card_id", cs.Bytes(8)), ("rank", U8), ("rules_version", U8), ("score", U16), ("points", U32),
    ),
    ShopSheet: described(
        ("count", U32), ("closed", U32), ("points_left", U32), ("money_left_minor", U32), ("totals", cs.Bytes(44)), ("refills", U16),
    ),
    Totals: described(*((field.name, U32) for field in fields(Totals))),
}  # fmt: skip
SIZES = {
    Order: 16, Outcome: 16, Transaction: 36, Limits: 18, Sheet: 46, CustomerInfo: 26, ShopInfo: 25, PendingEntry: 32, ShopSheet: 62,
    Totals: 44,
}  # fmt: skip


@pytest.mark.parametrize("record", list(RECORDS), ids=lambda record: record.__name__)
@given(data=st.data())
def test_records_agree_with_their_second_description(record: type[Record], data: st.DataObject) -> None:
    """REQ-REC-1."""
    raw = data.draw(st.binary(min_size=SIZES[record], max_size=SIZES[record]))
    decoded = record.decode(raw)
    second = RECORDS[record].parse(raw)
    assert {field.name: getattr(decoded, field.name) for field in fields(decoded)} == {  # type: ignore[arg-type]
        name: value for name, value in second.items() if name is not None and not name.startswith("_")
    }
    assert decoded.encode() == raw


@pytest.mark.parametrize("record", list(RECORDS), ids=lambda record: record.__name__)
def test_short_and_long_are_refused(record: type[Record]) -> None:
    """REQ-REC-1."""
    for size in (0, SIZES[record] - 1, SIZES[record] + 1):
        with pytest.raises(MalformedRecord, match=f"{SIZES[record]} bytes expected, {size} came"):
            record.decode(bytes(size))


@pytest.mark.parametrize(("field", "value"), [("hour", 65536), ("amount", 2**32), ("category", -1), ("sequence", 2**32)])
def test_a_value_too_large_for_its_field_is_named(field: str, value: int) -> None:
    order: dict[str, int] = dict.fromkeys(("hour", "amount", "category", "factor_tenths", "shop", "sequence"), 0)
    with pytest.raises(MalformedRecord, match=f"Order: {field}"):
        Order(**{**order, field: value}).encode()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modes": 0}, "modes"),
        ({"modes": 4}, "modes"),
        ({"factor_max_tenths": 9}, "factor_max_tenths"),
        ({"categories": 0}, "categories"),
        ({"period_hours": 0}, "period_hours"),
    ],
)
def test_limits_that_can_not_be(change: dict[str, int], field: str) -> None:
    """REQ-REC-2."""
    good = {"modes": 1, "factor_max_tenths": 10, "categories": 1, "period_hours": 1, "purse_max_minor": 0, "redeem_pin_from": 0}
    Limits(**good, pay_pin_from_minor=0).check()
    with pytest.raises(ValueError, match=field):
        Limits(**{**good, **change}, pay_pin_from_minor=0).check()
