"""The line of a batch: what is done with each card that is put in, and what stops the line."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from batchkit import CUSTOMERS, LETTERS, MASTERS, PRODUCT, SHOPS, MemoryReader, Workshop, blank, chip_of, identity_on, take_in
from joren.apdu import AID_CUSTOMER, Command, Ins, LinkLost, Response, aid
from joren.host import HostError, JournalError, Masters, Slot, VaultError, run
from joren.host.batch import Line, check_keys
from joren.host.desk import make_card
from joren.host.guard import FileGuard
from joren.host.personalization import CustomerOrder
from joren.host.pin import change_pin
from joren.host.vault_file import MemoryVault
from joren.simulator.card_manager_chip import ManagedChip
from joren.simulator.reader import Loss, Losses, When

OTHERS = Masters.create(lambda size: bytes(range(0x20, 0x20 + size)))


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.journal.close()


def identities(workshop: Workshop) -> dict[bytes, bytes]:
    """Chip to identity, of the issued cards in the journal."""
    return {entry.chip: entry.identity for entry in workshop.journal.issued(workshop.batch)}


@pytest.mark.parametrize("readers", [1, 2, 3])
@pytest.mark.parametrize(("text", "kind", "cards"), [(CUSTOMERS, "customer", 3), (SHOPS, "shop", 2)])
def test_every_row_gets_a_card_that_tells_its_identity(tmp_path: Path, text: str, kind: str, cards: int, readers: int) -> None:
    workshop = Workshop(tmp_path, text)
    chips = [blank(number) for number in range(1, cards + 1)]
    line = workshop.run(*(MemoryReader(f"reader {one}", chips[one::readers]) for one in range(readers)))
    assert (line.left, line.stopped, workshop.verdicts) == (0, None, ["issued"] * cards)
    told = {chip_of(chip): identity_on(chip, kind) for chip in chips}
    assert identities(workshop) == told
    assert len(set(told.values())) == cards
    workshop.journal.close()


def test_a_card_that_is_issued_is_not_touched_again(workshop: Workshop) -> None:
    chips = [blank(1), blank(2)]
    workshop.run(MemoryReader("r", chips))
    before = chips[0].snapshot()
    line = workshop.run(MemoryReader("r", [chips[0]] * 10))
    assert (line.left, line.stopped) == (1, None)
    assert chips[0].snapshot() == before
    (*_, last) = workshop.results
    assert (last.verdict.value, last.reason) == ("issued before", "issued already, as 4A4F000100000001, row 2 of batch batch")


def lost_at(number: int, when: When, chip: ManagedChip) -> MemoryReader:
    reader = MemoryReader("first", [chip])
    reader.reader.losses = Losses([Loss(number, when)])
    return reader


@pytest.mark.parametrize("when", list(When))
def test_a_card_pulled_at_any_apdu_is_finished_in_another_reader(tmp_path: Path, when: When) -> None:
    for number in range(3, 24):
        folder = tmp_path / str(number)
        folder.mkdir()
        workshop, chip = Workshop(folder, "member\nalice\n"), blank(1)
        line = workshop.run(lost_at(number, when, chip))
        assert (line.left, workshop.verdicts) == (1, ["lost"])
        assert [entry.chip for entry in workshop.journal.open_rows(workshop.batch)] == [chip_of(chip)]
        other = blank(2)
        line = workshop.run(MemoryReader("second", [other, chip]))
        assert (line.left, workshop.verdicts) == (0, ["lost", "spare", "issued"])
        assert identities(workshop) == {chip_of(chip): identity_on(chip)}
        assert workshop.journal.counts(workshop.batch).resumed == 1
        with pytest.raises(Exception, match="refused"):
            identity_on(other)
        workshop.journal.close()


def test_a_card_pulled_before_it_told_its_chip_takes_no_row(workshop: Workshop) -> None:
    workshop.run(lost_at(1, When.BEFORE, blank(1)))
    assert workshop.verdicts == ["lost"]
    assert workshop.journal.counts(workshop.batch).waiting == 3


def test_a_half_made_card_is_scrapped_and_its_row_gets_another(workshop: Workshop) -> None:
    chip = blank(1)
    workshop.run(lost_at(15, When.AFTER, chip))
    workshop.journal.reject(chip_of(chip), "bent")
    workshop.run(MemoryReader("r", [chip, blank(2), blank(3), blank(4)]))
    assert workshop.verdicts == ["lost", "scrap", "issued", "issued", "issued"]
    assert workshop.results[1].reason == "scrap: bent"
    assert [entry.identity[-1] for entry in workshop.journal.issued(workshop.batch)] == [2, 3, 4]


def issued_elsewhere(masters: Masters) -> ManagedChip:
    chip = blank(9, masters)
    chip.power_on()
    run(make_card(PRODUCT, masters, CustomerOrder(b"\x77" * 8)), {Slot.CUSTOMER: chip.process})
    return chip


BAD_CARDS: dict[str, tuple[Callable[[], ManagedChip], str, str]] = {
    "issued, not by this journal": (lambda: issued_elsewhere(MASTERS), "rejected", "issued already, as 7777777777777777"),
    "of another issuer, blank": (lambda: blank(9, OTHERS), "rejected", "its cryptogram is not made with these keys"),
    "of another issuer, issued": (lambda: issued_elsewhere(OTHERS), "rejected", "its cryptogram is not made with these keys"),
}


@pytest.mark.parametrize("name", BAD_CARDS)
def test_a_card_that_can_not_be_made_is_rejected_unchanged_and_its_row_made_with_another(workshop: Workshop, name: str) -> None:
    make, verdict, reason = BAD_CARDS[name]
    chip = make()
    line = workshop.run(MemoryReader("r", [chip, blank(1), blank(2), blank(3)]))
    assert (line.left, workshop.verdicts) == (0, [verdict, "issued", "issued", "issued"])
    assert reason in workshop.results[0].reason
    assert name == "of another issuer, blank" or identity_on(chip) == b"\x77" * 8
    (entry,) = workshop.journal.rejected(workshop.batch)
    assert (entry.chip, entry.identity[-1]) == (chip_of(chip), 1)
    assert sorted(identity[-1] for identity in identities(workshop).values()) == [2, 3, 4]


def test_keys_that_failed_on_a_card_are_not_tried_on_it_again(workshop: Workshop, tmp_path: Path) -> None:
    guard = FileGuard(tmp_path / "failed")
    Line(PRODUCT, MASTERS, workshop.journal, workshop.batch, workshop.results.append, guard=guard).run(
        [MemoryReader("r", [blank(9, OTHERS)])]
    )
    (failed,) = (tmp_path / "failed").read_text().splitlines()
    assert " FF " in failed


def refusing(times: int) -> Callable[[Command, Response], Response]:
    """6A80 to that many INSTALLs."""
    left = [times]

    def change(command: Command, response: Response) -> Response:
        if command.ins == 0xE6 and left[0]:
            left[0] -= 1
            return Response(b"", 0x6581)
        return response

    return change


class Changing(MemoryReader):
    """Answers otherwise than the card."""

    def __init__(self, name: str, chips: list[ManagedChip], change: Callable[[Command, Response], Response]) -> None:
        super().__init__(name, chips)
        self.change = change

    def transmit(self, command: Command) -> Response:
        return self.change(command, super().transmit(command))


@pytest.mark.parametrize(("times", "verdicts"), [(1, ["issued"] * 3), (2, ["rejected", "issued", "issued"])])
def test_a_card_that_fails_is_tried_once_more_after_a_reset(workshop: Workshop, times: int, verdicts: list[str]) -> None:
    workshop.run(Changing("r", [blank(number) for number in range(1, 4)], refusing(times)))
    assert workshop.verdicts == verdicts


def test_a_card_that_tells_something_else_when_it_is_read_back_is_rejected(workshop: Workshop) -> None:
    def other_limits(command: Command, response: Response) -> Response:
        if command.ins == Ins.GET_DATA and command.p2 == 0x01:
            return Response(bytes(len(response.data)), response.sw)
        return response

    line = workshop.run(Changing("r", [blank(1)], other_limits))
    assert (workshop.verdicts, line.left) == (["rejected"], 3)
    assert "GET DATA" in workshop.results[0].reason


def test_a_card_without_a_manager_is_unreadable(workshop: Workshop) -> None:
    from joren.applet.customer import CustomerCard
    from joren.simulator.chip import Chip

    bare = Chip(b"bare")
    bare.install(CustomerCard, aid(AID_CUSTOMER, 1))
    workshop.run(MemoryReader("r", [bare]))  # type: ignore[list-item]
    assert workshop.verdicts == ["unreadable"]
    assert "FILE_NOT_FOUND" in workshop.results[0].reason
    assert workshop.journal.counts(workshop.batch).waiting == 3


def test_failures_in_a_row_stop_the_line_over_all_readers(workshop: Workshop) -> None:
    bad = [blank(number, OTHERS) for number in range(10, 30)]
    line = workshop.run(MemoryReader("a", bad[::2]), MemoryReader("b", bad[1::2]), failures_max=4)
    assert 4 <= len(workshop.results) <= 5
    assert line.stopped is not None
    assert line.stopped.startswith("4 failures in a row, the last one: ")
    assert "cryptogram" in line.stopped


def test_a_card_that_is_made_ends_a_row_of_failures(workshop: Workshop) -> None:
    bad = [blank(number, OTHERS) for number in range(10, 16)]
    line = workshop.run(MemoryReader("r", [*bad[:2], blank(1), *bad[2:4], blank(2), *bad[4:], blank(3)]), failures_max=3)
    assert (line.stopped, line.left, len(workshop.results)) == (None, 0, 9)


def test_a_reader_that_is_unplugged_leaves_the_others_at_work(workshop: Workshop) -> None:
    """Its card stays half-made, and is finished when it comes back."""
    first = MemoryReader("first", [blank(1), blank(5)])
    made, gone = Event(), Event()
    seen = [0]

    def pull(when: str, _command: Command) -> None:
        seen[0] += when == "before"
        if seen[0] == 12:
            first.gone = True
            gone.set()
            made.wait(5)
            raise LinkLost("first: unplugged")

    first.fault = pull
    others = [blank(2), blank(3)]

    def after_that() -> Iterator[ManagedChip]:
        gone.wait(5)
        yield others[0]
        made.set()
        yield others[1]

    line = workshop.run(first, MemoryReader("second", after_that()))
    assert line.readers_gone == ["first: first: unplugged"]
    assert sorted(workshop.verdicts) == ["issued", "issued", "lost"]
    assert (line.left, line.stopped) == (1, None)
    line = workshop.run(MemoryReader("third", [first.reader.chip or blank(1)]))  # type: ignore[list-item]
    assert line.left == 0


def test_the_last_rows_are_waited_for_where_another_reader_may_reject_its_card(tmp_path: Path) -> None:
    """The second reader has a good card in hand while the first finds that its own is bad: no row is left behind."""
    workshop = Workshop(tmp_path, "member\nalice\n")
    taken, waiting = Event(), Event()

    def slowly(_when: str, command: Command) -> None:
        if command.ins == 0x50:
            taken.set()
            waiting.wait(0.2)

    def second() -> Iterator[ManagedChip]:
        taken.wait(5)
        yield blank(2)

    line = workshop.run(MemoryReader("first", [blank(1, OTHERS)], slowly), MemoryReader("second", second()))
    assert (workshop.verdicts, line.left) == (["rejected", "issued"], 0)
    workshop.journal.close()


def test_two_cards_that_tell_one_chip_are_not_made_at_once(workshop: Workshop) -> None:
    taken, done = Event(), Event()

    def slowly(when: str, command: Command) -> None:
        if command.ins == 0x50 and when == "before":
            taken.set()
            done.wait(0.3)

    def twin() -> Iterator[ManagedChip]:
        taken.wait(5)
        yield blank(1)

    workshop.run(MemoryReader("first", [blank(1)], slowly), MemoryReader("second", twin()))
    assert workshop.verdicts == ["unreadable", "issued"]
    assert workshop.results[0].reason == "a card that tells the same chip is in first"


class Broken(MemoryVault):
    """A vault that is gone after so many uses."""

    uses = 0

    def cmac(self, name: str, version: int, message: bytes) -> bytes:
        self.uses -= 1
        if self.uses < 0:
            raise VaultError("token gone")
        return super().cmac(name, version, message)


def test_a_vault_that_goes_away_stops_the_line_and_rejects_nothing(tmp_path: Path) -> None:
    """At any use of it; the batch then goes on where it was."""
    for uses in range(1, 42, 4):
        folder = tmp_path / str(uses)
        folder.mkdir()
        vault = Broken.create(lambda size: bytes(range(0x60, 0x60 + size)))
        workshop = Workshop(folder, masters=Masters(vault))
        chips = [blank(number) for number in range(1, 4)]
        vault.uses = uses
        with pytest.raises(VaultError, match="token gone"):
            workshop.run(MemoryReader("a", chips[:2]), MemoryReader("b", chips[2:]))
        counts = workshop.journal.counts(workshop.batch)
        assert (counts.rejected, counts.issued + counts.assigned + counts.waiting) == (0, 3)
        vault.uses = 1_000_000
        line = workshop.run(MemoryReader("c", reversed(chips)))
        assert line.left == 0
        assert len(set(identities(workshop).values())) == 3
        workshop.journal.close()


def test_without_a_journal_no_card_gets_another_command(workshop: Workshop) -> None:
    """The disk is full when a card was made: that is told, the other reader's card stops where it is, and all is finished later."""
    chips = [blank(1), blank(2), blank(3)]
    halfway, full = Event(), Event()
    sent: list[str] = []

    def first(when: str, command: Command) -> None:
        if command.ins == 0x50 and when == "before":
            halfway.wait(5)

    def second(when: str, command: Command) -> None:
        if when == "before":
            sent.append(f"{command.ins:02X}")
        if command.ins == 0x50 and when == "after":
            halfway.set()
            full.wait(5)

    issue = workshop.journal.issue

    def no_room(chip: bytes, key_version: int, check_values: tuple[tuple[str, str], ...]) -> None:
        workshop.journal._db.execute("PRAGMA max_page_count = 1")
        workshop.journal._db.execute("CREATE TEMP TABLE filler AS SELECT zeroblob(9)")
        try:
            for number in range(2_000):
                workshop.journal.note(number.to_bytes(12), "filler", "full", "x" * 100)
        finally:
            full.set()

    workshop.journal.issue = no_room  # type: ignore[method-assign]
    with pytest.raises(JournalError, match="disk is full"):
        workshop.run(MemoryReader("first", chips[:1], first), MemoryReader("second", chips[1:2], second))
    stopped = len(sent)
    workshop.journal.issue = issue  # type: ignore[method-assign]
    workshop.journal._db.execute("PRAGMA max_page_count = 100000")
    assert stopped <= sent.index("50") + 2
    assert workshop.journal.counts(workshop.batch).assigned == 2
    assert workshop.run(MemoryReader("r", reversed(chips))).left == 0
    assert identities(workshop) == {chip_of(chip): identity_on(chip) for chip in chips}


def test_a_half_made_card_of_another_batch_is_finished_too(workshop: Workshop, tmp_path: Path) -> None:
    chip = blank(1)
    workshop.run(lost_at(10, When.AFTER, chip))
    first, workshop.batch = workshop.batch, take_in(workshop.journal, tmp_path, "member\ndave\n", name="second")
    line = workshop.run(MemoryReader("r", [chip, blank(2)]))
    assert (line.left, workshop.verdicts) == (0, ["lost", "issued", "issued"])
    assert [entry.order.number for entry in workshop.journal.issued(first)] == [2]


def test_pins_of_the_issuers_making(tmp_path: Path) -> None:
    workshop, chip = Workshop(tmp_path, "member\nalice\n", LETTERS), blank(1)
    workshop.run(MemoryReader("r", [chip]))
    identity = identity_on(chip)
    chip.power_on()
    run(change_pin(1, MASTERS.pin(1, identity), "9999"), {Slot.CUSTOMER: chip.process})
    workshop.journal.close()


def test_keys_that_are_missing_are_missed_before_any_card_is_taken() -> None:
    check_keys(LETTERS, MASTERS)
    for name in ("till", "shop", "receipt", "load", "admin", "shop_admin", "manager", "transport", "pin"):
        vault = MemoryVault.create(lambda size: bytes(range(size)))
        vault.remove(name, 1)
        with pytest.raises(HostError, match=f"master {name}"):
            check_keys(LETTERS, Masters(vault))
        if name == "pin":
            check_keys(replace(PRODUCT), Masters(vault))


def test_a_fault_of_the_program_is_not_swallowed(workshop: Workshop) -> None:
    def fault(_when: str, _command: Command) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        workshop.run(MemoryReader("r", [blank(1)], fault))


def test_an_interrupt_lets_the_card_in_hand_be_finished(workshop: Workshop) -> None:
    line = workshop.line()
    ticks = iter([None])

    def interrupt() -> None:
        if next(ticks, "later") is None:
            raise KeyboardInterrupt

    def slowly(_when: str, _command: Command) -> None:
        if not started.is_set():
            started.set()
            Event().wait(0.3)

    started = Event()
    line.run([MemoryReader("r", [blank(1), blank(2), blank(3)], slowly)], interrupt)
    assert (line.stopped, workshop.verdicts) == ("interrupted", ["spare"])
    assert workshop.run(MemoryReader("r", [blank(1), blank(2), blank(3)])).left == 0
