"""Who is believed, and who is not: faults of the shop card cost the customer nothing, and nobody's bare word ends a sale."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from joren.apdu import Ending, Ins, Response
from joren.host import CardFault, CardLost, CardRefused, Fate, HostError, Journal, JournalError, Offers, Till
from support import Counter, Fault, free_of_pin
from test_till_faults import CUSTOMER, SHOP, buys, close_elsewhere, longer, prepared, settles, tap_spoiled


def test_a_fault_of_the_shop_card_costs_no_proof() -> None:
    """REQ-STL-5: RATIFY was done, its answer is a byte too long; the proof stays, and the sale ends as committed."""
    counter, customer = prepared(True)
    with pytest.raises(CardFault):
        tap_spoiled(counter, customer, buys("S"), SHOP, {Ins.RATIFY: longer})
    assert [row.fate for row in counter.journal.unsettled()] == [Fate.PROVEN]
    assert counter.tap(customer, buys("S")).recovered


def test_a_fault_of_the_shop_card_while_opening_is_told() -> None:
    """The till does not go on with a holder that is not ready."""
    counter, customer = prepared(True)
    with pytest.raises(CardLost):
        counter.tap(customer, buys("S"), {5: Fault.LOST_BEFORE})
    with pytest.raises(CardFault):
        tap_spoiled(counter, free_of_pin(2), buys("T"), SHOP, {Ins.RATIFY: longer})
    assert counter.tap(customer, buys("S")).recovered


def test_a_shop_card_that_was_reset_is_selected_again() -> None:
    """Its reader lost no answer, so nothing told the till: one error, and the next tap opens anew."""
    counter, customer = prepared(True)
    counter.shop.chip.power_on()
    with pytest.raises(CardRefused):
        counter.tap(customer, buys("S"))
    assert counter.tap(customer, buys("S")).points == 10


def test_nobody_is_believed_that_a_sale_can_not_be_known() -> None:
    """REQ-STL-2: UNKNOWN with a MAC that the till can not check, for a transaction the card still has."""
    counter, customer = prepared(True, Fault.LOST_AFTER)
    with pytest.raises(CardFault, match="a counter above"):
        tap_spoiled(counter, customer, settles, CUSTOMER, {Ins.PROVE: lambda _: Response(b"\x02" + bytes(18), 0x9000)})
    assert counter.tap(customer, buys("torn", 2_000)).recovered


def test_what_another_host_ratified_is_committed_at_the_next_start_too() -> None:
    """REQ-STL-5."""
    counter, customer = prepared(True, Fault.LOST_AFTER)
    sequence = counter.journal.unsettled()[0].order.sequence
    close_elsewhere(counter, customer, Ending.COMMITTED)
    counter.till.holder.close()
    counter.tap(customer, settles)
    row = counter.journal.at(sequence)
    assert row is not None
    assert row.fate is Fate.COMMITTED


def test_nor_with_other_points_than_were_ratified() -> None:
    """REQ-STL-5: the proof itself can not be checked any more; what the shop card logged of it can."""
    counter, customer = prepared(True, Fault.LOST_AFTER)
    close_elsewhere(counter, customer, Ending.COMMITTED)
    with pytest.raises(CardFault, match="20 points, as ratified expected, 21 came"):
        tap_spoiled(
            counter, customer, settles, CUSTOMER, {Ins.PROVE: lambda told: Response(told.data[:38] + b"\x15" + told.data[39:], told.sw)}
        )
    assert counter.tap(customer, buys("torn", 2_000)).recovered


@pytest.mark.parametrize(
    "sale",
    [
        lambda till: till.purchase("\ud800", 1, 1),
        lambda till: till.pay("S", 1, 1, pin="1234\ud800"),
        lambda till: till.pay("S", 1, 1, pin="١٢٣٤"),
        lambda till: till.pay("S", 1, 1, pin=1234),
    ],
)
def test_text_that_is_no_text(sale: Callable[[Till], object]) -> None:
    with pytest.raises(HostError) as caught:
        sale(Counter(False).till)
    assert "1234" not in repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)


@pytest.mark.parametrize(
    ("column", "value"), [("fate", "'odd'"), ("kind", "99"), ("outcome", "x'00'"), ("reference", "CAST(x'ff' AS TEXT)")]
)
def test_a_damaged_value_in_the_journal(tmp_path: Path, column: str, value: str) -> None:
    counter = Counter(False, tmp_path / "journal")
    counter.tap(free_of_pin(), buys("S"))
    counter.journal.close()
    with closing(sqlite3.connect(tmp_path / "journal")) as opened:
        opened.execute(f"UPDATE sale SET {column} = {value}")
        opened.commit()
    with pytest.raises(JournalError, match="damaged"), Journal(tmp_path / "journal") as journal:
        list(journal.rows())


@pytest.mark.parametrize(
    "head",
    [
        'version = true\nlanguages = ["en"]',
        'version = 1.0\nlanguages = ["en"]',
        'version = 1\nlanguages = ["en", "en"]',
        'version = 1\nlanguages = [""]',
    ],
)
def test_offers_of_an_odd_version_or_language(head: str) -> None:
    with pytest.raises(HostError):
        Offers.parse(head)
