"""The journal of batches: rows and cards that stay, numbers that come once, and a file that is refused when it is not in order."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from batchkit import CUSTOMERS, PRODUCT, SHOPS, open_journal, take_in
from joren.host import HostError, JournalError
from joren.host.batch_csv import MemberRow, ShopRow
from joren.host.batch_journal import NEXT_WAITING, BatchJournal
from joren.host.batch_schema import ENTRY_SELECT

CHIPS = [bytes([number]) * 12 for number in range(1, 20)]
PREFIX = PRODUCT.cards.id_prefix


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[BatchJournal]:
    with open_journal(tmp_path) as opened:
        yield opened


def test_a_row_gets_a_chip_and_an_identity_and_keeps_them(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        batch = take_in(journal, tmp_path, CUSTOMERS)
        assert (batch.rows, batch.kind, batch.name) == (3, "customer", "batch")
        first = journal.assign(batch, CHIPS[0], "left")
        assert first is not None
        assert (first.order, first.identity, first.state) == (MemberRow(2, "alice", "Alice Ä."), PREFIX + b"\0\0\0\1", "assigned")
    with open_journal(tmp_path) as journal:
        assert journal.known_batch(batch.csv_sha256) == batch
        assert journal.by_chip(CHIPS[0]) == first
        journal.resume(first, "right")
        journal.issue(CHIPS[0], 3, (("till", "AABBCC"), ("shop 1", "00FF00")))
        (issued,) = journal.by_member("alice")
        assert (issued.state, issued.row_state, issued.key_version, issued.resumed) == ("issued", "issued", 3, 1)
        assert issued.check_values == (("till", "AABBCC"), ("shop 1", "00FF00"))
        assert journal.by_identity(first.identity) == [issued]
        counts = journal.counts(batch)
        assert (counts.waiting, counts.assigned, counts.issued, counts.rejected, counts.resumed) == (2, 0, 1, 0, 1)


def test_a_rejected_chip_never_comes_back_and_neither_does_its_serial_number(journal: BatchJournal, tmp_path: Path) -> None:
    batch = take_in(journal, tmp_path, CUSTOMERS)
    first = journal.assign(batch, CHIPS[0], "r")
    assert first is not None
    journal.reject(CHIPS[0], "it did not answer")
    second = journal.assign(batch, CHIPS[1], "r")
    assert second is not None
    assert second.order == first.order
    assert int.from_bytes(second.identity) == int.from_bytes(first.identity) + 1
    with pytest.raises(JournalError, match=r"UNIQUE constraint failed: card\.chip"):
        journal.assign(batch, CHIPS[0], "r")
    assert [entry.state for entry in journal.by_member("alice")] == ["assigned", "rejected"]
    assert [entry.reason for entry in journal.rejected(batch)] == ["it did not answer"]
    for chip in (CHIPS[0], CHIPS[5]):
        with pytest.raises(HostError, match="one that is half-made expected"):
            journal.reject(chip, "again")
        with pytest.raises(HostError, match="one that is half-made expected"):
            journal.issue(chip, 1, ())


def test_shop_cards_are_known_by_their_shop_and_terminal(journal: BatchJournal, tmp_path: Path) -> None:
    batch = take_in(journal, tmp_path, SHOPS)
    first = journal.assign(batch, CHIPS[0], "r")
    assert first is not None
    assert (first.order, first.identity) == (ShopRow(2, 7, 1, 500, 2050, True), bytes.fromhex("0000000100000007"))
    journal.reject(CHIPS[0], "no")
    again = journal.assign(batch, CHIPS[1], "r")
    assert again is not None
    assert [entry.chip for entry in journal.by_identity(first.identity)] == [CHIPS[1], CHIPS[0]]


def test_no_row_waits(journal: BatchJournal, tmp_path: Path) -> None:
    batch = take_in(journal, tmp_path, "member\na\n")
    assert journal.assign(batch, CHIPS[0], "r") is not None
    assert journal.assign(batch, CHIPS[1], "r") is None
    assert journal.by_chip(CHIPS[1]) is None


def test_what_is_wrong_is_all_told_and_nothing_is_taken_in(journal: BatchJournal, tmp_path: Path) -> None:
    take_in(journal, tmp_path, CUSTOMERS)
    text = "member,name\nbob,B\nnew,N\nnew,N\nx y,N\n"
    with pytest.raises(HostError) as error:
        take_in(journal, tmp_path, text, name="second")
    assert str(error.value).splitlines() == [
        "CSV: nothing was issued, what is wrong:",
        "row 2, column member: 'bob' stands in row 3 of batch batch already",
        "row 4, column member: 'new' stands in row 3 already",
        "row 5, column member: 1 to 32 letters A-Z a-z, digits, '.', '_' and '-' expected, 'x y' came",
        "--skip-bad-rows leaves them out",
    ]
    assert [batch.name for batch in journal.batches()] == ["batch"]
    batch = take_in(journal, tmp_path, text, name="second", skip_bad=True)
    assert (batch.rows, batch.bad_rows) == (1, 3)
    assert [problem.row for problem in journal.bad_rows(batch)] == [2, 4, 5]


def test_many_problems_are_counted(journal: BatchJournal, tmp_path: Path) -> None:
    with pytest.raises(HostError) as error:
        take_in(journal, tmp_path, "member\n" + "a b\n" * 1_050)
    lines = str(error.value).splitlines()
    assert (len(lines), lines[-2]) == (23, "and 1,030 more")
    for text in ("member\n", "member\na b\n"):
        with pytest.raises(HostError, match="rows expected after the header, none came that can be used"):
            take_in(journal, tmp_path, text, skip_bad=True)


def test_a_shop_card_twice(journal: BatchJournal, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="row 4, column shop, terminal: shop 7, terminal 1 stands in row 2 already"):
        take_in(journal, tmp_path, SHOPS + "7,1,1,1,no\n")


def test_batches_of_one_name_get_numbers(journal: BatchJournal, tmp_path: Path) -> None:
    names = [take_in(journal, tmp_path, f"member\nm{number}\n").name for number in range(3)]
    assert names == ["batch", "batch-2", "batch-3"]
    assert journal.named_batch("batch-2").batch_id == 2
    with pytest.raises(HostError, match="batch none: none of this name; there are: batch, batch-2, batch-3"):
        journal.named_batch("none")


def test_serial_numbers_end(journal: BatchJournal, tmp_path: Path) -> None:
    batch = take_in(journal, tmp_path, CUSTOMERS)
    journal._db.execute("UPDATE meta SET next_serial = 4294967295")
    last = journal.assign(batch, CHIPS[0], "r")
    assert last is not None
    assert last.identity == PREFIX + b"\xff" * 4
    with pytest.raises(HostError, match="id prefix 4A4F0001: all serial numbers are used"):
        journal.assign(batch, CHIPS[1], "r")
    assert journal.by_chip(CHIPS[1]) is None


def test_a_journal_of_another_programme_or_prefix(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    others = [replace(PRODUCT, programme=2), replace(PRODUCT, cards=replace(PRODUCT.cards, id_prefix=b"\1\2\3\4"))]
    for other in others:
        with pytest.raises(HostError, match="is of programme 1 with id prefix 4A4F0001, not of programme"):
            open_journal(tmp_path, other)
    open_journal(tmp_path).close()


def test_one_program_writes_and_others_read(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        batch = take_in(journal, tmp_path, CUSTOMERS)
        with pytest.raises(JournalError, match=f"in use by process {os.getpid()}, since 2.*; wait for its end"):
            open_journal(tmp_path)
        journal.assign(batch, CHIPS[0], "r")
        with open_journal(tmp_path, writer=False) as other:
            assert [entry.chip for entry in other.open_rows(batch)] == [CHIPS[0]]
    open_journal(tmp_path).close()
    with pytest.raises(JournalError, match=r"no such file; joren personalize batch makes it"):
        open_journal(tmp_path / "none", writer=False)
    with pytest.raises(JournalError, match="No such file or directory"):
        open_journal(tmp_path / "none")


def test_every_write_waits_for_the_disk(journal: BatchJournal) -> None:
    assert [journal._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")] == [2, "wal"]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA user_version = 2", "schema version 1 expected, 2 came: a newer joren wrote it"),
        ("PRAGMA application_id = 7", "another program's file"),
        ("DROP TABLE meta", "no such table: meta"),
    ],
)
def test_a_newer_or_a_foreign_file_is_refused(tmp_path: Path, statement: str, words: str) -> None:
    open_journal(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "batch.sqlite")) as db:
        db.execute(statement)
        db.commit()
    with pytest.raises(JournalError, match=words):
        open_journal(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        take_in(journal, tmp_path, "member\n" + "".join(f"member-{number}\n" for number in range(500)))
    path = tmp_path / "batch.sqlite"
    raw = path.read_bytes()
    for damaged in (b"this is no journal\n" * 100, raw[: len(raw) // 2], raw[:8192] + bytes(4096) + raw[12288:]):
        path.write_bytes(damaged)
        with pytest.raises(JournalError, match=r"malformed|not a database|damaged"):
            open_journal(tmp_path)


def test_a_full_disk(journal: BatchJournal, tmp_path: Path) -> None:
    """What does not fit is refused whole; what was there stays, and it goes on once there is room."""
    batch = take_in(journal, tmp_path, "member\n" + "".join(f"member-{number}\n" for number in range(300)))
    journal._db.execute("PRAGMA max_page_count = 1")
    chips = iter(range(300))

    def fill() -> None:
        for number in chips:
            journal.assign(batch, number.to_bytes(12), "r")

    with pytest.raises(JournalError, match="disk is full; no card is made before it can be read and written"):
        fill()
    done = next(chips) - 1
    assert journal.by_chip(done.to_bytes(12)) is None
    assert journal.counts(batch).assigned == done
    journal._db.execute("PRAGMA max_page_count = 10000")
    entry = journal.assign(batch, done.to_bytes(12), "r")
    assert entry is not None
    assert int.from_bytes(entry.identity[4:]) == done + 1


LOOK_UPS = {
    "chip": ("WHERE card.chip = ?", "SEARCH card USING PRIMARY KEY (chip=?)"),
    "identity": ("WHERE card.identity = ?", "SEARCH card USING INDEX card_identity (identity=?)"),
    "member": ("WHERE row.member = ?", "SEARCH row USING INDEX row_member (member=?)"),
}


@pytest.mark.parametrize("name", LOOK_UPS)
def test_every_look_up_goes_by_an_index(journal: BatchJournal, name: str) -> None:
    """Whatever the number of rows: nothing is scanned."""
    where, wanted = LOOK_UPS[name]
    plan = [row[3] for row in journal._db.execute(f"EXPLAIN QUERY PLAN {ENTRY_SELECT} {where}", ("x",))]
    assert plan[0] == wanted
    assert [step for step in plan if "SCAN" in step] == []


OFTEN = {
    "the next row that waits": (NEXT_WAITING, "row_waiting"),
    "half-made": (f"{ENTRY_SELECT} WHERE row.batch = ? AND row.state = 'assigned' AND card.state = 'assigned'", "row_assigned"),
    "issued": (f"{ENTRY_SELECT} WHERE row.batch = ? AND row.state = 'issued' AND card.state = 'issued' ORDER BY row.number", "row_issued"),
}


@pytest.mark.parametrize("name", OFTEN)
def test_rows_of_a_state_are_found_by_an_index_of_these_alone(journal: BatchJournal, name: str) -> None:
    """However many others there are; and none has to be sorted."""
    statement, index = OFTEN[name]
    plan = [row[3] for row in journal._db.execute(f"EXPLAIN QUERY PLAN {statement}", (1,))]
    assert f"SEARCH row USING INDEX {index} (batch=?)" in plan
    assert [step for step in plan if "SCAN" in step or "B-TREE" in step] == []


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """The peak of a process that takes in 60,000 rows is about that of one that takes in 6,000."""
    program = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from batchkit import open_journal, take_in
folder, count = Path(sys.argv[2]), int(sys.argv[3])
path = folder / "batch.csv"
with path.open("w") as file:
    file.write("member\\n")
    file.writelines(f"member-{number}\\n" for number in range(count))
from batchkit import PRODUCT
from joren.host.batch_csv import csv_digest, read_csv
with open_journal(folder) as journal:
    digest = csv_digest(path)
    batch = journal.take_in("batch", digest, "customer", read_csv(path, PRODUCT))
    assert batch.rows == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for count in (6_000, 60_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        command = [sys.executable, "-c", program, str(Path(__file__).parent), str(folder), str(count)]
        peaks.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] < peaks[0] * 1.15
