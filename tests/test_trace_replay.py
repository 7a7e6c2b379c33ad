"""joren trace replay: taps of every kind are read off a trace and done again by the till, or sent to cards; what differs is told."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cardkit import PIN, PROGRAMME, PUK, Customer
from joren.apdu import Command, Ins
from joren.apdu.trace import BadTrace, Line
from joren.cli import main
from joren.host import Dialog, Journal, Recorder, Slot, Till, change_pin, read_receipts, run, unblock_pin, view_customer, view_holder
from joren.host.replaying import load_trace
from joren.host.taps import dialog_of, programme_of, taps_of
from support import Counter
from test_pages import pattern

TRACE, BEFORE, JOURNAL = "t.jsonl", "before.json", "journal.sqlite"
TIME = ("--time", "2026-03-02 08:10")


class Desk:
    """joren in a folder, with a card and a shop card."""

    def run(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, words)
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json", code=code))
        assert isinstance(told, dict)
        return told

    def keep_journal(self, by_card: bool) -> None:
        shutil.copy(f".joren/tills/{'1-2-1' if by_card else '1-1-0'}.sqlite", JOURNAL)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    for name in ("JOREN_HOME", "JOREN_PRODUCT", "JOREN_VAULT"):
        monkeypatch.delenv(name, raising=False)
    Path("pin").write_text("4711\n12345678\n", encoding="ascii")
    desk = Desk()
    desk.run("card", "new", "alice", "--id", "00000000000A11CE", "--pin-file", "pin")
    desk.run("shop", "new", "bakery")
    return desk


SALES = (
    ("tap", "alice", "48", "--category", "3", "--factor", "2", *TIME),
    ("load", "alice", "50", *TIME),
    ("tap", "alice", "12.50", "--pay", *TIME, "--pin-file", "pin"),
    ("redeem", "alice", "10", *TIME),
    ("pay", "alice", "3", "--reference", "paid", *TIME),
    ("void", "alice", "paid", *TIME),
    ("settle", "alice"),
)


@pytest.mark.parametrize("with_shop", [(), ("--shop-card", "bakery")], ids=["software keys", "shop card"])
def test_a_tap_of_every_kind_is_done_again_by_the_till(desk: Desk, with_shop: tuple[str, ...]) -> None:
    """With an empty journal, which begins with the sequence of the trace; for a void with the journal of before."""
    for sale in SALES:
        if sale[0] == "void":
            desk.keep_journal(bool(with_shop))
        desk.run(*sale, *with_shop, "--trace", TRACE)
        journal = ("--journal", JOURNAL) if sale[0] == "void" else ()
        told = desk.json("trace", "replay", TRACE, *journal, "--strict")
        assert (told["side"], told["differences"], told["ended"], told["more"]) == ("host", [], [], ""), sale
        assert told["verdicts"]["same"] == told["apdus"] > 0
    desk.run("tap", "alice", "20", "--reference", "sold", *with_shop)
    desk.run("void", "alice", "sold", *with_shop, "--trace", TRACE)
    assert "the journal no sale for it: give the journal" in desk.run("trace", "replay", TRACE, code=2)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_torn_tap_and_its_settlement_are_done_again_with_the_journal_of_before(desk: Desk, when: str) -> None:
    sale = ("tap", "alice", "30", "--reference", "R", *TIME, "--trace", TRACE)
    desk.run(*sale, "--lose", f"2:{when}", code=5)
    told = desk.run("trace", "replay", TRACE)
    assert "tap 1 ended: link to the customer card lost; sale replayed 1" in told
    assert "2 APDUs of 1 tap, 0 different\n" in told
    desk.keep_journal(by_card=False)
    desk.run(*sale)
    assert desk.json("trace", "replay", TRACE, "--journal", JOURNAL)["differences"] == []
    told = desk.run("trace", "replay", TRACE, code=1)
    assert "PROVE, key TILL: " in told
    assert " not asked\n" in told or " 1 different" in told


def test_keys_that_are_not_those_of_then_are_seen(desk: Desk) -> None:
    desk.run("tap", "alice", "30", *TIME, "--trace", TRACE)
    assert "TRANSACT PURCHASE, key TILL: different\n    mac: " in desk.run("--home", "other", "trace", "replay", TRACE, code=1)
    told = desk.json("--home", "other", "trace", "replay", TRACE, code=1)
    (difference,) = told["differences"]
    assert (difference["line"], difference["name"], difference["verdict"]) == (3, "TRANSACT PURCHASE, key TILL", "different")
    assert [change["field"] for change in difference["changes"]] == ["mac"]
    desk.run("tap", "alice", "30", *TIME, "--shop-card", "bakery", "--trace", TRACE)
    assert "0 different" in desk.run("--home", "third", "trace", "replay", TRACE)
    assert not Path("third/keys.json").exists()


def test_the_card_of_now_differs_as_the_page_shows(desk: Desk) -> None:
    page = (Path(__file__).parent.parent / "docs" / "traces.md").read_text(encoding="utf-8")
    shown = page.split("```text\n", 1)[1].split("```", 1)[0].splitlines()
    desk.run("card", "image", "alice", "--out", BEFORE)
    desk.run("tap", "alice", "12.50", *TIME, "--trace", TRACE)
    assert desk.run("trace", "replay", TRACE, "--on", BEFORE) == "2 APDUs, 0 different\n"
    told = desk.run("trace", "replay", TRACE, "--on", "alice", code=1)
    assert pattern(shown).fullmatch(told), told


def test_what_is_drawn_may_differ_unless_strict(desk: Desk) -> None:
    desk.run("settle", "alice", "--trace", TRACE)
    told = desk.run("trace", "replay", TRACE, "--on", "alice")
    assert "nonce: " in told
    assert told.endswith("1 APDUs, 0 different, 1 differs as it may\n")
    assert len(desk.json("trace", "replay", TRACE, "--on", "alice")["may_differ"]) == 1
    told = desk.run("trace", "replay", TRACE, "--on", "alice", "--strict", code=1)
    assert told.endswith("1 APDUs, 0 different, 1 differs as it may\n")
    assert len(desk.json("trace", "replay", TRACE, "--on", "alice", "--strict", code=1)["differences"]) == 1


def test_a_masked_pin_is_given_by_its_file(desk: Desk) -> None:
    desk.run("load", "alice", "50")
    desk.run("card", "image", "alice", "--out", BEFORE)
    desk.run("tap", "alice", "1", "--pay", "--pin-file", "pin", "--trace", TRACE)
    assert desk.run("trace", "replay", TRACE, "--on", BEFORE, "--pin-file", "pin") == "3 APDUs, 0 different\n"
    told = desk.run("trace", "replay", TRACE, "--on", BEFORE, code=1)
    assert "VERIFY, PIN: not sent" in told
    assert told.endswith(", 1 not sent\n")


def test_what_does_not_go_together_is_refused(desk: Desk) -> None:
    desk.run("settle", "alice", "--trace", TRACE)
    assert "--pin-file goes with --on CARD" in desk.run("trace", "replay", TRACE, "--pin-file", "pin", code=2)
    Path(JOURNAL).touch()
    assert "--journal goes without --on" in desk.run("trace", "replay", TRACE, "--on", "alice", "--journal", JOURNAL, code=2)


class Kiosk:
    """Dialogs with one card, recorded as the taps of a kiosk."""

    def __init__(self, path: Path, *dialogs: Dialog[object], pin: bytes | None) -> None:
        customer = Customer(pin=pin)
        customer.buy(100_000)
        customer.chip.power_on()
        with Recorder(path) as recorder:
            for dialog in dialogs:
                run(dialog, recorder.links({Slot.CUSTOMER: customer.chip.process}))


def test_dialogs_of_a_kiosk_are_done_again(desk: Desk, tmp_path: Path) -> None:
    digits = PIN.decode()
    Kiosk(
        tmp_path / TRACE,
        view_customer(PROGRAMME, 100),
        view_customer(PROGRAMME, 100, pin=digits),
        view_holder(PROGRAMME, 100, pin=digits),
        read_receipts(PROGRAMME, pin=digits),
        change_pin(PROGRAMME, digits, "2580"),
        unblock_pin(PROGRAMME, PUK.decode(), digits),
        pin=PIN,
    )
    told = desk.run("trace", "replay", TRACE)
    assert told == f"{len(load_trace(TRACE))} APDUs of 6 taps, 0 different\n"
    Kiosk(tmp_path / TRACE, view_holder(PROGRAMME, 100), read_receipts(PROGRAMME), pin=None)
    assert desk.run("trace", "replay", TRACE) == f"{len(load_trace(TRACE))} APDUs of 2 taps, 0 different\n"


def test_results_at_a_till_are_done_again(desk: Desk, tmp_path: Path) -> None:
    customer, counter = Customer(pin=PIN), Counter(by_card=False)
    customer.chip.power_on()
    with Recorder(tmp_path / TRACE) as recorder:
        links = recorder.links({Slot.CUSTOMER: customer.chip.process})
        run(counter.till.result(100), links)
        run(counter.till.result(101, detailed=True, pin=PIN), links)
        recorder.event(Slot.CUSTOMER.value, "remove")
    assert desk.run("trace", "replay", TRACE) == "5 APDUs of 2 taps, 0 different\n"


def line(number: int, command: Command, response: str = "9000", reader: str = Slot.CUSTOMER.value) -> Line:
    return Line(number, None, reader, "apdu", command.encode().hex().upper(), response, {})


SELECT = Command(0x00, Ins.SELECT, 0x04, 0x0C, Customer().aid, 26)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line(2, Command(0x80, Ins.GET_STATE, 0, 0, ne=40)), line(3, SELECT)],
        [line(2, SELECT, reader="desk")],
        [line(2, SELECT, reader=Slot.SHOP.value)],
    ],
)
def test_a_trace_that_begins_within_a_tap_is_refused(lines: list[Line]) -> None:
    with pytest.raises(BadTrace, match="a trace that begins with SELECT"):
        taps_of(lines)


def test_a_tap_of_no_programme_and_a_kind_there_is_not() -> None:
    (tap,) = taps_of([line(2, Command(0x00, Ins.SELECT, 0x04, 0x0C, bytes(5), 26))])
    with pytest.raises(BadTrace, match="line 2: SELECT of a joren card, by its whole AID"):
        programme_of(tap)
    (tap,) = taps_of([line(2, SELECT), line(3, Command(0x80, Ins.TRANSACT, 0x55, 1, bytes(24), 32))])
    with Journal(":memory:") as journal, pytest.raises(BadTrace, match="a kind of transaction expected, 55 came"):
        dialog_of(tap, Till(Counter.software(), journal), "R")


def test_a_shop_card_that_is_opened_in_the_middle_belongs_to_the_tap() -> None:
    """A SELECT of the shop card begins a tap only where the customer card's follows."""
    shop = Command(0x00, Ins.SELECT, 0x04, 0x0C, bytes(9), 25)
    state = Command(0x80, Ins.GET_STATE, 0, 0, ne=40)
    lines = [
        line(2, shop, reader=Slot.SHOP.value),
        line(3, SELECT),
        line(4, state),
        line(5, shop, reader=Slot.SHOP.value),
        line(6, state),
        line(7, Command(0x80, Ins.RATIFY, 1, 0, bytes(24)), reader=Slot.SHOP.value),
        line(8, shop, reader=Slot.SHOP.value),
        line(9, SELECT),
    ]
    assert [[one.number for one in tap.lines] for tap in taps_of(lines)] == [[2, 3, 4, 5, 6, 7], [8, 9]]


def test_what_a_till_asks_beyond_the_trace_is_told(desk: Desk, tmp_path: Path) -> None:
    desk.run("tap", "alice", "30", *TIME, "--trace", TRACE)
    desk.run("tap", "alice", "30", *TIME, "--shop-card", "bakery", "--trace", TRACE)
    lines = (tmp_path / TRACE).read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / TRACE).write_text("".join(one for one in lines if "RATIFY" not in one), encoding="utf-8")
    told = desk.run("trace", "replay", TRACE, code=1)
    assert "the trace ends after 5 APDUs; shop card, RATIFY COMMITTED, slot " in told
