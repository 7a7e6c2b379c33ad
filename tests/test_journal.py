"""The till's journal: rows that stay, whatever happens to the till, and a file that is refused when it is not in order."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardkit import MASTERS, Customer
from joren.apdu import Kind
from joren.apdu.transaction import Order, Outcome, Transaction
from joren.host import Fate, HostError, Journal, JournalError, Row
from joren.host.journal import SCHEMA_VERSION
from joren.host.wire import Answer
from support import Counter, card_number, free_of_pin

OWNER = "programme 1, shop 7, terminal 1 with software keys"
OUTCOME = Outcome(rank=2, rules_version=1, score=388, points=640, points_balance=650, purse_minor=4_000_000_000)
ANSWER = Answer(OUTCOME.encode(), b"receipt.", b"proof...")
CLOSED = (Fate.COMMITTED, Fate.NOT_COMMITTED)
NOTHING_BEFORE = "; nothing can be transacted before it can be read and written"


def row(number: int, reference: str | None = None, fate: Fate = Fate.PENDING, card: int = 1, **fields_of_row: int | str | None) -> Row:
    """A row with a sequence number, of a card."""
    made = Row(reference, fate, Kind.PURCHASE, 1, card_number(card), number, Order(100, 1_000 + number, 3, 15, 7, number))
    return replace(made, **fields_of_row)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "till.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with Journal(path) as opened:
        yield opened


FULL = Row(
    "a sale コ", Fate.COMMITTED, Kind.VOID_LOAD, 4, b"\xff" * 8, 0xFFFF, Order(0xFFFF, 0xFFFFFFFF, 15, 255, 0xFFFFFFFF, 0xFFFFFFFE),
    15, "another", OUTCOME, b"\x00" * 8, b"\xff" * 8,
)  # fmt: skip
SPARE = Row(None, Fate.PENDING, Kind.PURCHASE, 1, bytes(8), 0, Order(0, 0, 0, 0, 0, 0))


def test_a_row_comes_back_as_it_was_written(path: Path) -> None:
    """Every field, the largest values and the absent ones, over a closing and reopening."""
    with Journal(path) as journal:
        journal.add(SPARE)
        journal.add(FULL)
    with Journal(path) as journal:
        assert list(journal.rows()) == [SPARE, FULL]
        assert (journal.at(0), journal.at(0xFFFFFFFE), journal.at(1)) == (SPARE, FULL, None)
        assert (journal.find("a sale コ"), journal.find("A sale コ")) == (FULL, None)


def test_a_row_is_there_before_the_journal_is_closed(path: Path, tmp_path: Path) -> None:
    """REQ-FLW-3: what `add` and `save` have written is in the files at once, as a till that dies would leave them."""
    with Journal(path) as journal:
        journal.bind(OWNER)
        journal.add(row(1, "S"))
        journal.save(row(1, "S").proven(ANSWER))
        for file in path.parent.glob("till.journal*"):
            shutil.copy(file, tmp_path / file.name.replace("till", "dead"))
    with Journal(tmp_path / "dead.journal") as journal:
        assert list(journal.rows()) == [row(1, "S").proven(ANSWER)]
        with pytest.raises(HostError):
            journal.bind("another")


def test_every_write_waits_for_the_disk(journal: Journal) -> None:
    """REQ-FLW-3: full synchronization (2), of a write-ahead log."""
    values = [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
    assert values == [2, "wal"]


def test_one_till_at_a_time(path: Path) -> None:
    """A second one is refused while the first has it open, new or not, and not after."""
    for _ in range(2):
        with Journal(path) as journal:
            with pytest.raises(JournalError, match=rf"^journal {path}: database is locked, another till has it open{NOTHING_BEFORE}$"):
                Journal(path)
            journal.bind(OWNER)
    with Journal(path) as journal:
        journal.bind(OWNER)


def test_a_journal_in_memory_is_a_journal_of_its_own() -> None:
    with Journal(":memory:") as one, Journal(":memory:") as other:
        one.add(row(1))
        assert list(other.rows()) == []


def test_a_closed_journal_is_an_error(journal: Journal) -> None:
    journal.close()
    uses: list[Callable[[], object]] = [lambda: journal.find("S"), lambda: journal.add(row(1)), lambda: list(journal.rows())]
    for use in uses:
        with pytest.raises(JournalError, match="Cannot operate on a closed database"):
            use()


def test_the_schema(path: Path) -> None:
    """What another program may read there: its kind, its version, one owner, one row for each sequence number."""
    with Journal(path) as journal:
        journal.bind(OWNER)
        journal.add(replace(FULL, reference="S"))
    with sqlite3.connect(path) as db:
        assert [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")] == [0x4A4F524E, SCHEMA_VERSION]
        assert db.execute("SELECT name FROM owner").fetchall() == [(OWNER,)]
        columns = [name for _, name, *_ in db.execute("PRAGMA table_info(sale)")]
        assert " ".join(columns) == (
            "sequence reference fate kind key_ref card_id counter hour amount category factor_tenths shop slot voids outcome receipt proof"
        )
        assert db.execute("SELECT * FROM sale").fetchall() == [
            (0xFFFFFFFE, "S", "committed", 0x84, 4, b"\xff" * 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 15, 255, 0xFFFFFFFF, 15, "another",
             OUTCOME.encode(), b"\x00" * 8, b"\xff" * 8)
        ]  # fmt: skip
    db.close()
    assert {field.name for field in fields(Row)} - {"order"} < set(columns)


def altered(path: Path, *statements: str) -> None:
    """The file as another program leaves it."""
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        pytest.param(("PRAGMA user_version = 2",), "schema version 1 expected, 2 came: a newer joren wrote it", id="newer"),
        pytest.param(("PRAGMA application_id = 7",), "another program's file", id="another application"),
        pytest.param(("PRAGMA application_id = 0",), "another program's file", id="no application"),
        pytest.param(("DROP TABLE owner",), "no such table: owner", id="no owner"),
        pytest.param(("DROP TABLE sale",), "no such table: sale", id="no sale"),
    ],
)
def test_a_newer_or_a_foreign_file_is_refused(path: Path, statements: tuple[str, ...], words: str) -> None:
    """And left as it is; once it is in order again it opens."""
    Journal(path).close()
    altered(path, *statements)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(JournalError, match=rf"^journal {path}: {words}{NOTHING_BEFORE}$"):
            Journal(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused(path: Path) -> None:
    altered(path, "CREATE TABLE notes (text)", "INSERT INTO notes VALUES ('mine')")
    with pytest.raises(JournalError, match="another program's file"):
        Journal(path)
    altered(path, "SELECT text FROM notes")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a journal of 150 rows."""
    path = tmp_path_factory.mktemp("filled") / "journal"
    with Journal(path) as journal:
        for number in range(150):
            journal.add(row(number, f"a long reference of sale {number}", Fate.COMMITTED))
    return path.read_bytes()


PAGE = 4096
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda _: b"this is no journal\n" * 100,
    "cut in the middle": lambda raw: raw[: len(raw) // 2],
    "cut in a page": lambda raw: raw[: PAGE + 100],
    "no header": lambda raw: bytes(PAGE) + raw[PAGE:],
    "an index of another table": lambda raw: raw[: -3 * PAGE] + raw[2 * PAGE : 3 * PAGE] + raw[-2 * PAGE :],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused(path: Path, filled: bytes, name: str) -> None:
    """With the path and what is wrong; the file is not touched."""
    damaged = DAMAGES[name](filled)
    path.write_bytes(damaged)
    for _ in range(2):
        with pytest.raises(JournalError, match=rf"^journal {path}: (damaged \(|database disk image is malformed|file is not a database)"):
            Journal(path)
    assert path.read_bytes() == damaged


def test_a_page_that_is_gone_is_found_wherever_it_is(path: Path, filled: bytes) -> None:
    """When the journal is opened, not when a sale needs the page."""
    for start in range(PAGE, len(filled), PAGE):
        path.write_bytes(filled[:start] + bytes(PAGE) + filled[start + PAGE :])
        with pytest.raises(JournalError, match=rf"^journal {path}: damaged \("):
            Journal(path)


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    with Journal(path) as journal:
        journal.add(row(1))
    with Journal(path) as journal:
        assert list(journal.rows()) == [row(1)]


@pytest.mark.parametrize("name", [".", "none/till.journal"], ids=["a folder", "in a folder that is not there"])
def test_a_path_that_can_be_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError, match=rf"^journal {tmp_path / name}: unable to open database file{NOTHING_BEFORE}$"):
        Journal(tmp_path / name)


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_may_not_be_written(path: Path, which: str) -> None:
    """A journal that could be read but not written is of no use to a till."""
    Journal(path).close()
    target, mode = (path, 0o400) if which == "file" else (path.parent, 0o500)
    target.chmod(mode)
    if os.access(target, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        with pytest.raises(JournalError, match=rf"^journal {path}: .*{NOTHING_BEFORE}$"):
            Journal(path)
    finally:
        target.chmod(0o700)


def add_many(journal: Journal, count: int) -> None:
    for _ in range(count):
        number = journal.next_sequence(0)
        journal.add(row(number, f"{number:060}"))


def test_a_full_disk(path: Path) -> None:
    """The row that does not fit is refused; what was there before stays, and once there is room it goes on."""
    with Journal(path) as journal:
        add_many(journal, 2)
        journal._db.execute("PRAGMA max_page_count = 1")  # no page more than there are
        with pytest.raises(JournalError, match=f"database or disk is full{NOTHING_BEFORE}"):
            add_many(journal, 100)
        number = journal.next_sequence(0)
        assert [one.order.sequence for one in journal.rows()] == list(range(number))
        journal._db.execute("PRAGMA max_page_count = 1000")
        add_many(journal, 1)
    with Journal(path) as journal:
        assert journal.next_sequence(0) == number + 1


def test_a_journal_belongs_to_one_acceptor(path: Path) -> None:
    """REQ-FLW-4: two acceptors in one journal would use a sequence twice."""
    with Journal(path) as journal:
        journal.bind(OWNER)
        journal.bind(OWNER)
    with Journal(path) as journal:
        journal.bind(OWNER)
        with pytest.raises(HostError, match=f"^journal {path} is that of {OWNER}, not of another one: give each acceptor its own$"):
            journal.bind("another one")


def test_a_till_refuses_the_journal_of_another(path: Path) -> None:
    """Before any card is asked for more than its name."""
    counter = Counter(by_card=False, path=path)
    counter.tap(free_of_pin(), lambda till: till.purchase("S", 100, 1_000))
    counter.journal.close()
    other = Counter(by_card=True, path=path)
    with pytest.raises(HostError, match="terminal 1 with software keys, not of programme 1, shop 7, terminal 1 with a shop card"):
        other.tap(free_of_pin(), lambda till: till.purchase("T", 100, 1_000))
    assert other.names() == ["SHOP SELECT"]
    other.journal.close()


def test_sequence_numbers_go_up_whatever_becomes_of_the_rows(path: Path) -> None:
    """REQ-FLW-4: from 0 within the terminal, after the last one in the file."""
    with Journal(path) as journal:
        assert journal.next_sequence(0) == 0
        assert journal.next_sequence(0xFF) == 0xFF000000
        assert journal.next_sequence(0xFF) == 0xFF000000
        journal.add(row(0xFF000000))
        journal.add(row(0xFF000007, "lost", Fate.NOT_COMMITTED))
        journal.add(row(0xFF000003))
        assert journal.next_sequence(0xFF) == 0xFF000008
    with Journal(path) as journal:
        assert journal.next_sequence(0xFF) == 0xFF000008


def test_the_end_of_the_sequence_numbers(journal: Journal) -> None:
    """FFFFFE is the last one, as on a shop card; then the till needs another terminal number."""
    journal.add(row(0x01FFFFFD))
    assert journal.next_sequence(1) == 0x01FFFFFE
    journal.add(row(0x01FFFFFE))
    with pytest.raises(HostError, match="terminal 1: all sequence numbers are used; give the till a new terminal number and a new journal"):
        journal.next_sequence(1)


def test_a_till_at_the_end_of_its_numbers_sells_nothing() -> None:
    counter, customer = Counter(by_card=False), free_of_pin()
    counter.tap(customer, lambda till: till.settle())
    counter.journal.add(row(0x01FFFFFE, "last", Fate.COMMITTED, card=2))
    before = customer.chip.snapshot()
    with pytest.raises(HostError, match="all sequence numbers are used"):
        counter.tap(customer, lambda till: till.purchase("S", 100, 1_000))
    assert (counter.names(), customer.chip.snapshot()) == (["CUSTOMER SELECT"], before)


def test_a_sequence_number_is_used_once(journal: Journal) -> None:
    for number, fate in enumerate(Fate):
        journal.add(row(number, None, fate))
    rows = list(journal.rows())
    for used in rows:
        with pytest.raises(JournalError, match=r"UNIQUE constraint failed: sale\.sequence"):
            journal.add(replace(used, reference="another"))
    assert list(journal.rows()) == rows


@pytest.mark.parametrize("fate", Fate)
def test_a_reference_is_live_once(journal: Journal, fate: Fate) -> None:
    """REQ-STL-3: it is free again when its sale did not happen; rows without a reference are no sales."""
    journal.add(row(1, "S", fate))
    journal.add(row(2))
    journal.add(row(3))
    if fate is Fate.NOT_COMMITTED:
        journal.add(row(4, "S"))
        assert journal.find("S") == row(4, "S")
    else:
        with pytest.raises(JournalError, match=r"UNIQUE constraint failed: sale\.reference"):
            journal.add(row(4, "S"))
        assert (journal.find("S"), journal.at(4)) == (row(1, "S", fate), None)


@pytest.mark.parametrize("fate", Fate)
def test_only_an_open_row_can_change(journal: Journal, fate: Fate) -> None:
    """Fate, slot and answer; what is committed, or is known never to have been, stays."""
    first = row(1, "S", fate, slot=3)
    journal.add(first)
    changed = replace(first.proven(ANSWER), slot=None)
    if fate in CLOSED:
        with pytest.raises(JournalError, match=f"sequence 00000001 is closed, or not there{NOTHING_BEFORE}"):
            journal.save(changed)
        assert journal.at(1) == first
    else:
        journal.save(changed)
        assert journal.at(1) == changed
        journal.save(changed.ended(Fate.COMMITTED))
        assert list(journal.rows()) == [changed.ended(Fate.COMMITTED)]


def test_what_was_asked_can_not_change(journal: Journal) -> None:
    """`save` writes nothing else, whatever the row says; and no row that was never added."""
    journal.add(row(1, "S"))
    journal.save(replace(row(1, "T", card=2), kind=Kind.PAY, key_ref=2, counter=9, voids="V", slot=5))
    assert list(journal.rows()) == [row(1, "S", slot=5)]
    with pytest.raises(JournalError, match="sequence 00000002 is closed, or not there"):
        journal.save(row(2, "S"))


def test_the_queries(path: Path) -> None:
    """Each on rows of every fate, of two cards, with and without an entry; the same after reopening."""
    rows = [
        row(
            number, f"{fate.value} {card} {slot}", fate, card, slot=slot, voids=f"sale {fate.value}" if slot is None and card == 1 else None
        )
        for number, (fate, card, slot) in enumerate((fate, card, slot) for slot in (None, 5) for fate in Fate for card in (1, 2))
    ]
    unsettled = [one for one in rows if one.fate not in CLOSED]
    with Journal(path) as journal:
        for one in reversed(rows):
            journal.add(one)
    with Journal(path) as journal:
        assert list(journal.rows()) == rows
        assert journal.unsettled() == unsettled
        assert journal.entries() == [one for one in unsettled if one.slot is not None]
        for card in (1, 2, 3):
            assert journal.pending_of(card_number(card)) == [
                one for one in rows if one.fate is Fate.PENDING and one.card_id == card_number(card)
            ]
        for one in rows:
            assert one.reference is not None
            live = one.fate is not Fate.NOT_COMMITTED
            assert journal.find(one.reference) == (one if live else None)
            assert journal.at(one.order.sequence) == one
            if one.voids is not None:
                assert journal.void_of(one.voids) == (one if live else None)
        assert (journal.void_of("none"), journal.find("none"), journal.at(99)) == (None, None, None)


FATES = st.sampled_from(Fate)


@given(st.lists(st.tuples(st.integers(0, 7), FATES, st.integers(1, 2)), max_size=20))
def test_pending_rows_are_known_after_any_history(steps: list[tuple[int, Fate, int]]) -> None:
    """What is kept in memory of them agrees with the file: rows added, ended, ended again, and refused."""
    with Journal(":memory:") as journal:
        model: dict[int, Row] = {}
        for number, fate, card in steps:
            known = model.get(number)
            if known is None:
                model[number] = row(number, None, fate, card)
                journal.add(model[number])
            elif known.fate in CLOSED:
                with pytest.raises(JournalError):
                    journal.save(known.ended(fate))
            else:
                model[number] = known.ended(fate)
                journal.save(model[number])
        assert list(journal.rows()) == [model[number] for number in sorted(model)]
        for card in (1, 2):
            pending = [one for _, one in sorted(model.items()) if one.fate is Fate.PENDING and one.card_id == card_number(card)]
            assert journal.pending_of(card_number(card)) == pending


def test_a_row_helps() -> None:
    """The card's record begins with its head; its answer goes in, comes out, and can be taken back."""
    one = row(5, "S", slot=2)
    assert one.head == Transaction(Kind.PURCHASE, 1, 5, one.order.encode(), bytes(16)).encode()[:20]
    proven = one.proven(ANSWER)
    assert (proven.fate, proven.outcome, proven.receipt, proven.proof) == (Fate.PROVEN, OUTCOME, b"receipt.", b"proof...")
    assert (proven.answer(), proven.doubted()) == (ANSWER, one)
    assert proven.ended(Fate.COMMITTED) == replace(proven, fate=Fate.COMMITTED)


@pytest.mark.parametrize("missing", ["outcome", "receipt", "proof"])
def test_a_row_without_an_answer_says_so(missing: str) -> None:
    with pytest.raises(ValueError, match="sequence 00000005: the card has not answered"):
        replace(row(5).proven(ANSWER), **{missing: None}).answer()  # type: ignore[arg-type]


def test_no_key_and_no_pin_is_in_the_file(path: Path) -> None:
    """After sales with software keys, one with a PIN: neither the masters, nor the card's keys, nor the PIN."""
    counter, customer = Counter(by_card=False, path=path), Customer(pin=b"80917263")
    counter.tap(customer, lambda till: till.purchase("S", 100, 1_000))
    counter.tap(customer, lambda till: till.load("L", 100, 1_000))
    counter.tap(customer, lambda till: till.pay("P", 100, 1_000, pin=b"80917263"))
    files = b"".join(file.read_bytes() for file in path.parent.glob("till.journal*"))
    counter.journal.close()
    files += path.read_bytes()
    assert customer.card_id in files
    secrets = [key.reveal() for key in (*MASTERS.values(), *customer.keys.values())]
    assert not any(secret in files for secret in (*secrets, b"80917263"))


def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "theirs.sqlite"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE t (x)")
        theirs.commit()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program's file"):
        Journal(path)
    assert path.read_bytes() == before
