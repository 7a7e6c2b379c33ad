"""The runner: what a card does wrong is told, what it can not be asked is skipped, and one that goes away does not go unnoticed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from conformkit import model_target
from joren.apdu import Command, LinkLost, Response
from joren.host import CardFault, HostError
from joren.host.cardline import PowerLost, in_process
from joren.host.conform import LineTarget, LinkTarget, Result, Runner, Suite, Verdict, Way, load_suite
from joren.host.conform.junit import junit_xml
from joren.host.conform.page import html_page
from joren.host.conform.results import line_of, trace_text
from joren.simulator.card_manager_chip import make_managed_chip
from joren.simulator.cardserver import TEST_PRODUCTION, CardServer, fresh_chip, known_manager_keys
from joren.simulator.chip import IDEAL, Chip
from joren.simulator.mutants import Reversed
from joren.simulator.profile import Profile
from joren.simulator.protocol import Protocol
from joren.simulator.reader import Reader

Json = dict[str, Any]
GET_DATA: Json = {"name": "tries", "send": "00 CA 01 03", "ne": 2, "answer": "FFFF"}
LOOK: Json = {"do": "look"}


def suite_of(folder: Path, *steps: Json, **changes: Any) -> Suite:
    """A suite with one vector of the steps, and what it needs."""
    vector = {"id": "own", "title": "<own>", "why": "a reason", "covers": ["REQ-SEL-1"], "class": "symbolic", "fixture": "customer"}
    found = {"format": "joren-vectors", "version": 1, "vectors": [{**vector, "steps": list(steps), **changes}]}
    (folder / "own.json").write_text(json.dumps(found), encoding="utf-8")
    return load_suite(folder)


def tried(suite: Suite, target: Any = None, way: Way | None = None) -> Result:
    (result,) = Runner(suite, target or model_target(), way).run(suite.vectors)
    return result


FAILING: list[tuple[str, list[Json], str]] = [
    ("status", [{"do": "select"}, {**GET_DATA, "sw": "6985"}], "tries: status word 6985 expected, 9000 OK"),
    ("several", [{"send": "00 CA 01 03", "ne": 2, "sw": ["9000", "63CX"]}], "status word 9000 or 63CX expected, 6985"),
    ("answer", [{"do": "select"}, {**GET_DATA, "answer": "FF XE"}], "tries: offset 0: FFXE expected, FFFF came"),
    ("named", [{"do": "select"}, {**GET_DATA, "answer": {"as": "PIN", "is": "03"}}], "PIN at offset 0: 03 expected, FF came"),
    ("short", [{"do": "select"}, {**GET_DATA, "answer": "FFFFFF"}], "offset 0: FFFFFF expected, FFFF came"),
    ("long", [{"do": "select"}, {**GET_DATA, "answer": "FF"}], "answer of 1 bytes expected, 2 came"),
    ("bound", [{"do": "select"}, {**GET_DATA, "answer": {"bind": "x", "bytes": 3}}], "x at offset 0: 3 bytes expected, 2 came"),
    ("any", [{"do": "select"}, {**GET_DATA, "answer": {"any": 3}}], "offset 0: 3 bytes expected, 2 came"),
    ("none", [{"do": "select"}, {**GET_DATA, "answer": []}], "answer of 0 bytes expected, 2 came"),
    ("check", [{"do": "select"}, {"check": "$counter", "is": "00XX 00", "name": "counter"}], "counter: 00XX00 expected, 0000 came"),
    ("unchanged", [{"unchanged": [{"do": "everything"}], "steps": [{"do": "buy"}]}], "expected as it was before, something has changed"),
    ("long value", [{"do": "select"}, {**GET_DATA, "answer": "00*60"}], "... (60 bytes) expected"),
    ("fixture", [GET_DATA], "fixture customer: STORE DATA: 9000 expected, 6A80"),
    ("no channel", [{**GET_DATA, "secured": True}], "the vector itself: no channel is open"),
    ("no value", [{"send": "00 CA 01 03", "data": {"flip": "00", "at": 5}}], "the vector itself: flip"),
    ("no value in an answer", [{"do": "select"}, {**GET_DATA, "answer": {"flip": "00", "at": 5}}], "the vector itself: flip"),
    ("no header", [{"send": "00 CA"}], "the vector itself: not enough values"),
    ("no command", [{"send": "FF CA 00 00"}], "the vector itself: header"),
    ("no status", [{"send": "00 CA 01 03", "sw": "$sw", "values": {"sw": "$sw2", "sw2": "$sw2"}}], "the vector itself: $sw2"),
    ("no manager", [{"open": "manager", "level": "33", "aid": "$customer_aid"}], "a channel to F06A6F72656E010001 expected"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "reason"), [row[1:] for row in FAILING], ids=[row[0] for row in FAILING])
def test_what_is_not_as_expected_is_told(steps: list[Json], reason: str, tmp_path: Path) -> None:
    values = {"limits": "00"} if reason.startswith("fixture") else {}
    result = tried(suite_of(tmp_path, *steps, values=values))
    assert (result.verdict, reason in result.reason) == (Verdict.FAILED, True), result.reason
    assert result.trace


def test_a_vector_that_passes_has_no_trace(tmp_path: Path) -> None:
    result = tried(suite_of(tmp_path, {"do": "select"}, GET_DATA, {"repeat": 600, "steps": [GET_DATA]}))
    assert (result.verdict, result.reason, result.trace) == (Verdict.PASSED, "", ())
    assert result.apdus == 605


def test_a_long_trace_keeps_its_end(tmp_path: Path) -> None:
    result = tried(suite_of(tmp_path, {"do": "select"}, {"repeat": 600, "steps": [GET_DATA]}, {**GET_DATA, "name": "last", "sw": "6985"}))
    assert (len(result.trace), result.trace[-1].step) == (500, "last")


def torn(at: object, *allowed: str) -> Json:
    mac = {"mac": "$order_message", "key": "till"}
    tear = {"at": at, "reads": [{"do": "everything"}], "allowed": list(allowed)}
    return {"name": "TRANSACT", "send": "80 30 01 01", "data": ["$order", mac], "ne": 32, "answer": "*", "tear": tear}


def mixed_maker(kind: str, seed: bytes, profile: Profile) -> Chip:
    """A card whose writes stand at once, the counter first."""
    return fresh_chip(kind, seed, profile).on(profile.for_development(), lambda capacity, overhead: Reversed("", capacity, overhead))


def served(maker: Callable[[str, bytes, Profile], Chip]) -> LineTarget:
    server = CardServer(maker=maker)
    server.begin()
    return LineTarget(in_process(server.answer, "own")).open()


def test_a_tear_that_leaves_something_between_is_told(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, {"do": "buy"}, {"do": "select"}, torn("each", "old", "new"), {"do": "buy"})
    assert tried(suite).verdict is Verdict.PASSED
    result = tried(suite, served(mixed_maker))
    assert result.verdict is Verdict.FAILED
    assert "torn at write 2: new or old expected, between is left" in result.reason


@pytest.mark.parametrize(
    ("at", "allowed", "reason"),
    [(1, "new", "torn at write 1: new expected, old is left"), (9, "old", "at least 9 writes expected, there are fewer"), (1, "old", "")],
)
def test_a_tear_at_one_write(at: int, allowed: str, reason: str, tmp_path: Path) -> None:
    result = tried(suite_of(tmp_path, {"do": "select"}, torn(at, allowed)))
    assert reason in result.reason
    assert (result.verdict is Verdict.PASSED) is (reason == "")


class Wrong(LineTarget):
    """A target that goes wrong at its n-th APDU, for good or once."""

    def __init__(self, at: int, error: Exception, *, dead: bool) -> None:
        server = CardServer()
        server.begin()
        super().__init__(in_process(server.answer, "own"))
        self.left, self.error, self.dead = at, error, dead
        self.open()

    def exchange(self, apdu: bytes) -> bytes:
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.dead):
            raise self.error
        return super().exchange(apdu)

    def reset(self) -> None:
        if self.left <= 0 and self.dead:
            raise LinkLost("nobody there")
        super().reset()


@pytest.mark.parametrize(
    "error", [LinkLost("no answer within 10 s"), CardFault("card", "apdu", "a reply", "nonsense")], ids=["hangs", "nonsense"]
)
def test_a_target_that_goes_away_fails_its_vector_and_skips_the_rest(error: Exception) -> None:
    suite = load_suite()
    chosen = suite.vectors[:3]
    results = list(Runner(suite, Wrong(6, error, dead=True)).run(chosen))
    assert [one.verdict for one in results] == [Verdict.FAILED, Verdict.SKIPPED, Verdict.SKIPPED]
    assert results[0].reason == str(error)
    assert results[1].reason == f"the target went away in {chosen[0].id}: nobody there"
    results = list(Runner(suite, Wrong(6, error, dead=False)).run(chosen))
    assert [one.verdict for one in results] == [Verdict.FAILED, Verdict.PASSED, Verdict.PASSED]


def test_power_that_goes_unasked_and_answers_that_are_none_are_told(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, {"do": "select"})
    assert "lost its power where nothing was to be torn" in tried(suite, Wrong(4, PowerLost("gone"), dead=False)).reason

    class Short(Wrong):
        def exchange(self, apdu: bytes) -> bytes:
            return super().exchange(apdu)[-2:] if apdu[1] != 0xA4 else b"\x90"

    assert "2..65538 bytes expected, 1 came" in tried(suite, Short(999, LinkLost(), dead=False)).reason


def card_in_a_reader(protocol: Protocol = Protocol.T1) -> tuple[Reader, LinkTarget]:
    """A managed card in a reader that can neither make it anew nor tear it."""
    reader = Reader("own reader", protocol)
    reader.insert(make_managed_chip(b"own", IDEAL, known_manager_keys(), TEST_PRODUCTION))
    return reader, LinkTarget("own reader", reader.transmit, reader.reset, lambda: None, t0=protocol is Protocol.T0)


@pytest.mark.parametrize("protocol", [Protocol.T1, Protocol.T0])
def test_a_card_in_a_reader_is_made_anew_through_its_manager(protocol: Protocol) -> None:
    suite = load_suite()
    reader, target = card_in_a_reader(protocol)
    runner = Runner(suite, target)
    wanted = frozenset({"REQ-VOID-1", "REQ-PIN-2", "REQ-CMP-3", "REQ-PRV-3", "REQ-MAN-11", "REQ-FIT-3", "trx-torn"})
    results = {one.vector.id: one for one in runner.run(suite.only(wanted))}
    assert [(name, one.reason) for name, one in results.items() if one.verdict is Verdict.FAILED] == []
    assert runner.way is Way.MANAGER
    assert results["void-kinds"].verdict is results["cmp-purchase"].verdict is Verdict.PASSED
    assert results["trx-torn"].reason == "needs fresh, tear"
    assert results["man-card-life"].reason == "needs fresh"
    assert results["chip-no-extended"].reason == "needs no-extended, raw"
    assert (results["prove-committed"].verdict is Verdict.PASSED) is (protocol is Protocol.T1)
    with pytest.raises(HostError, match="whole APDUs"):
        target.exchange(b"\0\0")
    with pytest.raises(HostError, match="not made anew"):
        target.fresh("customer", b"")
    with pytest.raises(HostError, match="not torn"):
        target.tear(1, keep_non_atomic=False)
    target.close()
    assert reader.card_present


def test_what_a_vector_left_is_cleaned_and_a_card_left_half_way_is_named(tmp_path: Path) -> None:
    clean = [{"do": "select"}, {"name": "SET STATUS", "send": "80 F0 40 83", "data": "$admin_mac"}]
    suite = suite_of(tmp_path, {"do": "select"}, cleanup=clean)
    reader, target = card_in_a_reader()
    assert tried(suite, target).verdict is Verdict.PASSED
    assert reader.transmit(Command(0, 0xA4, 4, 0x0C, bytes.fromhex("F06A6F72656E010001"), 26)).sw == 0x6283
    suite = suite_of(tmp_path, {"do": "select"}, cleanup=[{"do": "select", "values": {"select_sw": "6283"}}])
    vector = suite.vectors[0]
    runner = Runner(suite, target)
    assert runner.try_one(vector).verdict is Verdict.PASSED
    left = runner.try_one(vector)
    assert left.verdict is Verdict.SKIPPED
    assert left.reason.startswith("the card is left half-way by own: SELECT: status word 6283 expected, 9000")
    assert tried(suite).verdict is Verdict.PASSED


def test_the_ways_to_a_card_that_can_both(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, {"do": "select"}, GET_DATA, requires=["plain"])
    assert tried(suite).verdict is Verdict.PASSED
    assert tried(suite, way=Way.MANAGER).reason == "needs plain"


def test_lines_of_a_trace_say_what_they_can() -> None:
    assert line_of("", b"\0", None).says[0].startswith("no command")
    assert line_of("", bytes.fromhex("00CA010302"), b"\x90").says[0].startswith("no response")
    assert line_of("", bytes.fromhex("00CA010302"), None).says[-1] == "no answer"
    store = line_of("", Command(0x80, 0xE2, 8, 0, b"\x80\x01\x11" + bytes(range(17))).encode(), b"\x90\0")
    assert store.command.endswith("**" * 20)
    told = line_of("x", bytes.fromhex("84F2"), b"\x90\0", Command(0x80, 0xE2, 8, 0, bytes(range(17))))
    assert told.says[1].endswith("**" * 17)


def test_reports_hold_what_failed_and_what_was_skipped(tmp_path: Path) -> None:
    """Names that come from the other side can not break out of a page."""
    failed = tried(suite_of(tmp_path, {"do": "select"}, {**GET_DATA, "name": "<b>", "answer": "0000"}))
    skipped = tried(suite_of(tmp_path, {"do": "select"}, requires=["one-channel"]))
    passed = tried(suite_of(tmp_path, {"do": "select"}))
    tree = ElementTree.fromstring(junit_xml("<card>\x00\ud800", [failed, skipped, passed]).encode("utf-8"))
    assert {name: tree.get(name) for name in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
    }
    assert tree.get("name") == "joren conform: <card>??"
    failure, skip = tree.find("testcase/failure"), tree.find("testcase/skipped")
    assert failure is not None
    assert skip is not None
    assert failure.get("message") == failed.reason
    assert "GET DATA" in (failure.text or "")
    assert trace_text(failed) in (failure.text or "")
    assert skip.get("message") == "needs one-channel"
    page = html_page("<card>", {"way": "<plain>"}, [failed, skipped, passed])
    assert [text in page for text in ("<b>", "<card>", "http", "&lt;own&gt;")] == [False, False, False, True]
    assert all(text in page for text in ("GET DATA, tries left (case 2S)", 'class="last"', "needs one-channel"))
    assert "Failed" not in html_page("card", {}, [passed])


def test_seconds_and_apdus_are_counted(tmp_path: Path) -> None:
    ticks = iter([1.0, 3.5])
    suite = suite_of(tmp_path, {"do": "select"})
    result = Runner(suite, model_target(), clock=lambda: next(ticks)).try_one(suite.vectors[0])
    assert (result.seconds, result.apdus > 0) == (2.5, True)
    assert Response(b"", 0x9000).ok
