"""A new card for an old one: killed anywhere and begun again, never two with the balance, never none; lost cards; the stop list."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deskkit import CUSTOMER, MASTERS, PRODUCT, InChannel, blank, issued
from joren.apdu import Command, LifeCycle, MacMismatch, Response
from joren.apdu.sheet import BalanceSheet
from joren.apdu.state import DEFAULT_RULES, RankRules, State
from joren.apdu.state import Slot as RuleSlot
from joren.apdu.transaction import Order as SaleOrder
from joren.apdu.transaction import Outcome, Transaction
from joren.applet.rank import score as score_of
from joren.host import CardRefused, HostError, Journal, JournalError, Receipt, Slot, SoftwareKeys, Till, run
from joren.host.proven import newest_proven, sheet_of, values_for
from joren.host.reissue import GET_SHEET, ReissueBook, ReissueState, close_lost, close_old, make_new
from joren.host.selecting import select_customer
from joren.host.stoplist import StopList
from joren.simulator.card_manager_chip import ManagedChip

PROGRAMME = PRODUCT.programme
OLD, NEW, THIRD = CUSTOMER.card_id, b"\xe1" * 8, b"\xe2" * 8
PLAIN = replace(CUSTOMER, pin=None, puk=None)


class Killed(BaseException):
    """The desk's process dies."""


def state_of(chip: ManagedChip) -> int:
    return chip.life_cycle(CUSTOMER.aid(PROGRAMME))


def buy(chip: ManagedChip, reference: str, hour: int, amount: int = 5_000) -> Receipt:
    keys = SoftwareKeys(PROGRAMME, 1, 0, MASTERS.group_master("till", PROGRAMME), MASTERS.group_master("load", PROGRAMME))
    with Journal(":memory:") as journal:
        till = Till(keys, journal)
        run(till.load(f"{reference}-L", hour, 700), {Slot.CUSTOMER: chip.process})
        return run(till.purchase(reference, hour, amount, 0, 10), {Slot.CUSTOMER: chip.process}).receipt


def used(number: int = 1) -> ManagedChip:
    """An old card with a score, points and a purse."""
    chip = issued(PLAIN, number)
    buy(chip, "S-1", 100)
    return chip


def sheet_on(chip: ManagedChip) -> bytes:
    return InChannel(chip, PLAIN).send(GET_SHEET).data


@dataclass
class Desk:
    """Both chips, the book, and when the process dies: at the n-th APDU or write of the book, before or after it is done."""

    path: Path
    old: ManagedChip
    new: ManagedChip = field(default_factory=lambda: blank(2))
    dies: int = 0
    done: bool = False
    events: int = 0

    def event(self, act: Callable[[], Response]) -> Response:
        self.events += 1
        if self.events != self.dies:
            return act()
        if self.done:
            act()
        raise Killed

    def transmit(self, chip: ManagedChip) -> Callable[[Command], Response]:
        return lambda command: self.event(lambda: chip.process(command))

    def reissue(self) -> None:
        """As the command does it, from power-on."""
        self.old.power_on()
        self.new.power_on()
        with _Book(self.path, self) as book:
            run(close_old(book, PRODUCT, MASTERS, OLD, NEW), {Slot.CUSTOMER: self.transmit(self.old)})
            run(make_new(book, PRODUCT, MASTERS, OLD), {Slot.CUSTOMER: self.transmit(self.new)})


class _Book(ReissueBook):
    """A book whose writes are events."""

    def __init__(self, path: Path, desk: Desk) -> None:
        super().__init__(path)
        self.desk = desk

    def _write(self, statement: str, values: tuple[object, ...], *, may_miss: bool = False) -> None:
        def act() -> Response:
            super(_Book, self)._write(statement, values, may_miss=may_miss)
            return Response(b"", 0x9000)

        self.desk.event(act)


def check_one_balance(desk: Desk, sheet: bytes, path: Path) -> None:
    """At most one of both cards can be used, and where none can the book has the balance."""
    old_lives = state_of(desk.old) == LifeCycle.ISSUED
    new_lives = state_of(desk.new) == LifeCycle.ISSUED
    assert not (old_lives and new_lives)
    if not old_lives and not new_lives:
        with ReissueBook(path) as book:
            row = book.of_old(OLD)
        assert row is not None
        assert row.sheet == sheet


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_anywhere_and_begun_again(tmp_path: Path, done: bool) -> None:
    """REQ-PER-7: at every APDU and every write of the book, and again at the second attempt."""
    old = used()
    sheet = sheet_on(old)
    whole = Desk(tmp_path / "whole.sqlite", old.fork())
    whole.reissue()
    assert state_of(whole.old) == LifeCycle.TERMINATED
    assert sheet_on_new(whole.new) == sheet
    for number in range(1, whole.events + 1):
        path = tmp_path / f"{number}.sqlite"
        desk = Desk(path, old.fork(), blank(2), number, done)
        with pytest.raises(Killed):
            desk.reissue()
        check_one_balance(desk, sheet, path)
        for second in (1, 5, 9):
            again = Desk(tmp_path / f"{number}-{second}.sqlite", desk.old.fork(), desk.new.fork(), second, done)
            again.path.write_bytes(path.read_bytes())
            with suppress(Killed):
                again.reissue()
            check_one_balance(again, sheet, again.path)
        desk.dies = 0
        desk.reissue()
        assert state_of(desk.old) == LifeCycle.TERMINATED
        assert sheet_on_new(desk.new) == sheet
        with ReissueBook(path) as book:
            row = book.of_old(OLD)
        assert row is not None
        assert row.state is ReissueState.MADE


def sheet_on_new(chip: ManagedChip) -> bytes:
    return sheet_on(chip)


def test_what_is_bought_between_two_attempts_is_taken_over(tmp_path: Path) -> None:
    """As long as the old card lives the book is not the last word."""
    desk = Desk(tmp_path / "book.sqlite", used())
    with ReissueBook(desk.path) as book:
        book.note(OLD, NEW, sheet_on(desk.old), lost=False)
    buy(desk.old, "S-2", 500)
    sheet = sheet_on(desk.old)
    desk.reissue()
    assert sheet_on_new(desk.new) == sheet


@pytest.mark.parametrize("state", [LifeCycle.BLOCKED, LifeCycle.TERMINATED])
def test_a_card_out_of_use_is_taken_over_too(tmp_path: Path, state: LifeCycle) -> None:
    """REQ-DAT-2."""
    desk = Desk(tmp_path / "book.sqlite", used())
    sheet = sheet_on(desk.old)
    assert InChannel(desk.old, PLAIN).status(state) == 0x9000
    desk.reissue()
    assert state_of(desk.old) == LifeCycle.TERMINATED
    assert sheet_on_new(desk.new) == sheet


def test_there_is_one_new_card_for_an_old_one(tmp_path: Path) -> None:
    """Not under two ids, not on two chips, not for two old cards, not for itself."""
    desk = Desk(tmp_path / "book.sqlite", used())
    desk.reissue()
    with ReissueBook(desk.path) as book:
        links = {Slot.CUSTOMER: desk.old.process}
        assert run(close_old(book, PRODUCT, MASTERS, OLD, NEW), links).state is ReissueState.MADE
        with pytest.raises(HostError, match=f"it is re-issued as {NEW.hex().upper()} already"):
            run(close_old(book, PRODUCT, MASTERS, OLD, THIRD), links)
        with pytest.raises(HostError, match=f"it replaces {OLD.hex().upper()} already"):
            run(close_old(book, PRODUCT, MASTERS, THIRD, NEW), links)
        with pytest.raises(HostError, match="an id of its own expected"):
            run(close_old(book, PRODUCT, MASTERS, OLD, OLD), links)
        with pytest.raises(HostError, match="put that one in, or re-issue"):
            run(make_new(book, PRODUCT, MASTERS, OLD), {Slot.CUSTOMER: blank(3).process})
        with pytest.raises(HostError, match="no re-issue of it is in the book"):
            run(make_new(book, PRODUCT, MASTERS, THIRD), {Slot.CUSTOMER: blank(3).process})
        book.note(THIRD, b"\xe3" * 8, bytes(46), lost=False)
        with pytest.raises(HostError, match="close it before the new one is made"):
            run(make_new(book, PRODUCT, MASTERS, THIRD), {Slot.CUSTOMER: blank(3).process})
        book.closed(THIRD)
        with pytest.raises(HostError, match=f"a blank one expected, {NEW.hex().upper()} came; nothing was changed"):
            run(make_new(book, PRODUCT, MASTERS, THIRD), {Slot.CUSTOMER: desk.new.process})
        assert book.of_new(b"\xe3" * 8) is not None
        assert run(make_new(book, PRODUCT, MASTERS, OLD), {Slot.CUSTOMER: desk.new.process}).identity == NEW


def test_the_wrong_card_is_told_and_left_alone(tmp_path: Path) -> None:
    other = issued(replace(PLAIN, card_id=THIRD), 5)
    with ReissueBook(tmp_path / "book.sqlite") as book:
        with pytest.raises(HostError, match=f"{OLD.hex().upper()} expected, {THIRD.hex().upper()} came; nothing was changed"):
            run(close_old(book, PRODUCT, MASTERS, OLD, NEW), {Slot.CUSTOMER: other.process})
        with pytest.raises(CardRefused):
            run(close_old(book, PRODUCT, MASTERS, OLD, NEW), {Slot.CUSTOMER: blank(6).process})
        assert book.of_old(OLD) is None
    assert state_of(other) == LifeCycle.ISSUED


def test_a_new_card_gets_a_pin(tmp_path: Path) -> None:
    old, new = used(), blank(2)
    with ReissueBook(tmp_path / "book.sqlite") as book:
        run(close_old(book, PRODUCT, MASTERS, OLD, NEW), {Slot.CUSTOMER: old.process})
        run(make_new(book, PRODUCT, MASTERS, OLD, pin="1234", puk="87654321"), {Slot.CUSTOMER: new.process})
    assert run(select_customer(PROGRAMME), {Slot.CUSTOMER: new.process}).has_pin


def test_a_lost_card_is_made_anew_from_its_newest_receipt(tmp_path: Path) -> None:
    """Rank, score, points and purse are those that it proved last; the old id is on the stop list before the new card is begun."""
    old, new = issued(PLAIN), blank(2)
    receipts = [buy(old, f"S-{number}", 100 * number, 20_000) for number in (1, 2, 3)]
    forged = replace(receipts[2], mac=bytes(8))
    later = replace(receipts[2], record=receipts[2].record[:2] + b"\xff\xff" + receipts[2].record[4:])
    stranger = replace(receipts[2], card_id=THIRD)
    proven = newest_proven(MASTERS, [receipts[1], forged, receipts[2], later, stranger, receipts[0]], PROGRAMME, OLD)
    assert proven == MASTERS.verify_receipt(receipts[2])
    stop = StopList(tmp_path / "stop.txt")
    with ReissueBook(tmp_path / "book.sqlite") as book:
        row = close_lost(book, OLD, NEW, lambda: sheet_of(PRODUCT, proven), stop.add)
        assert row.state is ReissueState.CLOSED
        assert stop.read() == {OLD}
        run(make_new(book, PRODUCT, MASTERS, OLD), {Slot.CUSTOMER: new.process})
        assert (
            close_lost(book, OLD, NEW, lambda: pytest.fail("asked again"), lambda _: pytest.fail("asked again")).state is ReissueState.MADE
        )
    assert run(select_customer(PROGRAMME), {Slot.CUSTOMER: new.process}).rank == Outcome.decode(proven.outcome).rank
    sheet = BalanceSheet.decode(sheet_on_new(new))
    outcome = Outcome.decode(proven.outcome)
    assert (sheet.points_now, sheet.points_before, sheet.purse_minor) == (outcome.points_balance, 0, outcome.purse_minor)
    assert score_of(State.decode(sheet.state), PRODUCT.rules) == outcome.score
    bought = MASTERS.verify_receipt(buy(new, "S-4", 300))
    assert Outcome.decode(bought.outcome).points_balance > outcome.points_balance


def test_a_new_card_that_was_lost_before_it_was_made_is_not_made_any_more(tmp_path: Path) -> None:
    """Its chip broke, say: the balance goes on to a third card, and the second one is never finished."""
    old, new, third = used(), blank(2), blank(3)
    sheet = sheet_on(old)
    with ReissueBook(tmp_path / "book.sqlite") as book:
        row = run(close_old(book, PRODUCT, MASTERS, OLD, NEW), {Slot.CUSTOMER: old.process})
        close_lost(book, NEW, THIRD, lambda: row.sheet, lambda _: None)
        run(make_new(book, PRODUCT, MASTERS, NEW), {Slot.CUSTOMER: third.process})
        with pytest.raises(HostError, match=f"it was replaced itself, by {THIRD.hex().upper()}"):
            run(make_new(book, PRODUCT, MASTERS, OLD), {Slot.CUSTOMER: new.process})
    assert sheet_on_new(third) == sheet


def test_a_card_that_was_begun_in_person_and_then_lost_goes_on_as_lost(tmp_path: Path) -> None:
    with ReissueBook(tmp_path / "book.sqlite") as book:
        book.note(OLD, NEW, bytes(46), lost=False)
        row = close_lost(book, OLD, NEW, lambda: b"\x01" * 46, lambda _: None)
    assert (row.lost, row.state, row.sheet) == (True, ReissueState.CLOSED, b"\x01" * 46)


def test_without_a_proof_there_is_no_sheet() -> None:
    assert newest_proven(MASTERS, [], PROGRAMME, OLD) is None
    receipt = Receipt(PROGRAMME, OLD, bytes(36), bytes(8))
    with pytest.raises(MacMismatch):
        MASTERS.verify_receipt(receipt)
    assert newest_proven(MASTERS, [receipt], PROGRAMME, OLD) is None


shares = st.tuples(*[st.integers(0, 256)] * 4)


def rules_with(found: tuple[int, ...]) -> RankRules:
    first, second, third, fourth = (RuleSlot(0, 0, 0, 0xFFFF, share) for share in found)
    return replace(DEFAULT_RULES, slots=(first, second, third, fourth))


@given(found=shares, score=st.integers(0, 0xFFFF), rank=st.integers(0, 4), hour=st.integers(0, 0xFFFF), points=st.integers(0, 0xFFFFFFFF))
def test_a_sheet_has_exactly_the_proven_score(found: tuple[int, ...], score: int, rank: int, hour: int, points: int) -> None:
    """REQ-RANK-02, REQ-RANK-16: or the rules can not give it, by any values."""
    rules = rules_with(found)
    product = replace(PRODUCT, rules=rules)
    order, outcome = SaleOrder(hour, 1, 0, 10, 1, 1), Outcome(rank, 1, score, 0, points, 7)
    proven = Transaction(1, 1, 3, order.encode(), outcome.encode())
    if score > sum(0xFFFF * share >> 8 for share in found):
        with pytest.raises(HostError, match="that the product's rules can give expected"):
            sheet_of(product, proven)
        return
    sheet = BalanceSheet.decode(sheet_of(product, proven))
    state = State.decode(sheet.state)
    assert score_of(state, rules) == score
    assert (state.rank, state.last_hour, state.visits) == (rank, hour, 1)
    assert (sheet.points_now, sheet.purse_minor) == (points, 7)


def test_units_go_into_the_slot_that_counts_most() -> None:
    assert values_for(DEFAULT_RULES, 300) == (300 << 16, 0, 0, 0)
    assert values_for(rules_with((10, 100, 100, 0)), 300) == (0, 768 << 16, 0, 0)
    with pytest.raises(HostError, match="a rank up to 4 expected, 5 came"):
        sheet_of(PRODUCT, Transaction(1, 1, 0, bytes(16), b"\x05" + bytes(15)))


def test_a_book_that_can_not_be_used_stops_everything(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as db:
        db.execute("PRAGMA application_id = 5")
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"no database" * 100)
    for path in (other, broken, tmp_path):
        with pytest.raises(JournalError, match="no card can be re-issued before it can be read and written"):
            ReissueBook(path)
    with ReissueBook(tmp_path / "book.sqlite") as book:
        with pytest.raises(JournalError, match="a row that can take this step expected"):
            book.closed(OLD)
        with pytest.raises(JournalError, match="a row that can take this step expected"):
            book.made(OLD)
        book.note(OLD, NEW, bytes(46), lost=False)
        book.closed(OLD)
        with pytest.raises(JournalError, match="a row that can take this step expected"):
            book.note(OLD, NEW, bytes(46), lost=False)
    with pytest.raises(JournalError):
        book.of_old(OLD)


def test_the_stop_list(tmp_path: Path) -> None:
    stop = StopList(tmp_path / "stop.txt")
    assert stop.read() == frozenset()
    assert stop.add(OLD, "lost, replaced")
    assert not stop.add(OLD)
    stop.path.write_text(stop.path.read_text() + "\n# a comment\n  e1e1 e1e1e1e1e1e1 # by hand", encoding="utf-8")
    assert stop.read() == {OLD, NEW}
    assert stop.add(THIRD)
    assert stop.read() == {OLD, NEW, THIRD}
    for wrong in ("XY", "00", "00" * 9):
        stop.path.write_text(f"{OLD.hex()}\n{wrong}\n", encoding="utf-8")
        with pytest.raises(HostError, match="line 2: a card id, 8 bytes in hexadecimal, expected"):
            stop.read()
    stop.path.write_bytes(b"\xff")
    with pytest.raises(HostError, match="without it no card is served"):
        stop.read()
    stop.path.unlink()
    stop.path.mkdir()
    with pytest.raises(HostError, match="without it no card is served"):
        stop.add(OLD)


def test_another_programs_file_is_no_book(tmp_path: Path) -> None:
    """Nothing is written into it."""
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (one)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program's file"):
        ReissueBook(path)
    assert path.read_bytes() == before
