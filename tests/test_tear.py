"""The tear explorer: no command of either card leaves a mixed state at any write, on any card profile; a trace; one tear alone."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.apdu import Ins, Key
from joren.applet.applet import Needs
from joren.applet.customer import CustomerCard
from joren.applet.lifecycle import ALLOWED_CUSTOMER, ALLOWED_SHOP
from joren.cli import main
from joren.commands import tear as tear_command
from joren.commands.tear_all import Everything, Torn
from joren.commands.tear_scripts import scripts
from joren.simulator.chip import IDEAL, Chip, DoesNotFit, Program
from joren.simulator.image import load_image
from joren.simulator.memory import Memory, PowerCut
from joren.simulator.mutants import Late, Mutant
from joren.simulator.profile import Profile, load_profile, profile_names
from joren.simulator.protocol import Protocol, slot_protocol
from joren.simulator.tear import AFTER, Outcome, Script, Tear, explore, look, placed

WRITING = {
    Ins.TRANSACT, Ins.COMMIT, Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER, Ins.STORE_DATA, Ins.SET_STATUS,
    Ins.COMPUTE, Ins.AUTHORIZE, Ins.RATIFY,
}  # fmt: skip
READING = {Ins.GET_STATE, Ins.PROVE, Ins.GET_RESULT, Ins.READ_RECORD, Ins.GET_DATA, Ins.GET_CHALLENGE}
T0 = [name for name in profile_names() if slot_protocol(load_profile(name)) is Protocol.T0]


@cache
def all_scripts() -> list[Script]:
    return list(scripts())


@cache
def tears_on(name: str) -> list[Tear]:
    profile = load_profile(name)
    return [tear for script in all_scripts() for tear in explore(placed(script, script.chip.on(profile.for_development())))]


@pytest.mark.parametrize("name", profile_names())
def test_every_tear_leaves_the_old_state_or_the_new(name: str, record_property: Callable[[str, object], None]) -> None:
    """REQ-APDU-8, REQ-PIN-4, REQ-TRX-7, REQ-CMP-3, REQ-RAT-5, REQ-PER-2."""
    tears = tears_on(name)
    assert [tear for tear in tears if tear.outcome is Outcome.MIXED] == []
    torn = {Ins(tear.command.ins) for tear in tears if tear.place != AFTER}
    assert torn == WRITING
    record_property(f"tears on {name}, each at one write of one command, none mixed", len(tears))


def test_the_scripts_have_every_command_that_writes() -> None:
    """A new command comes into one of the two lists, and a writing one into the scripts."""
    allowed = {ins for table in (ALLOWED_CUSTOMER, ALLOWED_SHOP) for commands in table.values() for ins in commands}
    assert allowed == WRITING | READING
    assert {Ins(command.ins) for script in all_scripts() for command in script.commands} >= WRITING


@pytest.mark.parametrize("name", T0)
def test_with_t0_a_tear_falls_between_an_answer_and_its_rest(name: str) -> None:
    """After 61XX the command is done, whether GET RESPONSE comes or not; the rest writes nothing."""
    tears, whole = tears_on(name), tears_on("ideal")
    rest = [tear for tear in tears if tear.part]
    assert {tear.place for tear in rest} == {AFTER}
    assert {tear.outcome for tear in rest} == {Outcome.NEW}
    assert [(tear.script, tear.step, tear.number, tear.place) for tear in tears if not tear.part] == [
        (tear.script, tear.step, tear.number, tear.place) for tear in whole
    ]
    answered = {Ins(tear.command.ins) for tear in rest}
    assert answered >= {Ins.SELECT, Ins.TRANSACT, Ins.COMMIT, Ins.COMPUTE, Ins.AUTHORIZE, Ins.PROVE}
    assert not answered & {Ins.RATIFY, Ins.GET_STATE}


def test_some_profile_has_t0_alone() -> None:
    assert T0


def test_a_command_that_is_more_than_the_chip_can_do_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """REQ-PER-2: STORE DATA is one transaction, and is refused whole where it does not fit; here an applet that needs more than it says."""
    monkeypatch.setattr(CustomerCard, "NEEDS", Needs(0, 0, 0, 0))
    small = replace(load_profile("ideal"), title="a small chip", commit_capacity_bytes=384, commit_overhead_bytes=40)
    script = all_scripts()[0]
    with pytest.raises(DoesNotFit, match=f"{script.name}: a small chip: STORE_DATA: commit capacity: 384 bytes"):
        placed(script, script.chip.on(small))


def test_what_a_tear_left_is_told_by_region() -> None:
    script = next(one for one in all_scripts() if one.name == "one-card load: customer card")
    tears = [tear for tear in explore(script) if tear.command.ins == Ins.TRANSACT]
    assert {tear.place for tear in tears} >= {"counter", "commit", AFTER}
    for tear in tears:
        left = {one.region: one.outcome for one in look(script, tear)}
        assert {*left} == {"counter", "log", "sheets"}
        assert set(left.values()) == {tear.outcome}


def test_a_try_that_was_counted_is_told_so() -> None:
    script = next(one for one in all_scripts() if one.name == "PIN right: customer card")
    (counted,) = [tear for tear in explore(script) if tear.outcome is Outcome.COUNTED]
    assert [(one.region, one.outcome) for one in look(script, counted)] == [("tries", Outcome.COUNTED)]


def test_a_write_that_is_not_atomic_is_torn_at_every_byte() -> None:
    memory = Memory()
    region = memory.allocate("x", 4)
    for number in range(1, 5):
        memory.restore(bytes(4))
        memory.cut_after(number)
        with pytest.raises(PowerCut):
            memory.write_non_atomic(region.address, b"\xff" * 4)
        memory.power_up()
        assert memory.snapshot() == b"\xff" * (number - 1) + bytes(5 - number)
        assert memory.cut == (number - 1, 1)
    with pytest.raises(IndexError, match="no region has it"):
        memory.region_at(4)


class Desk:
    """The command line, with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trace, self.before = str(folder / "t.jsonl"), str(folder / "before.json")

    def joren(self, *words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--home", str(self.folder / "home"), *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def tap(self, *make: str) -> "Desk":
        """A card, its image, and a trace of a purchase with it."""
        self.joren("card", "new", "alice", *make)
        self.joren("card", "image", "alice", "--out", self.before)
        self.joren("tap", "alice", "10", "--trace", self.trace)
        return self


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_command_line_tears_a_trace(desk: Desk) -> None:
    joren = desk.tap().joren
    assert "6 tears: 4 old, 2 new" in joren("tear", desk.trace, "--card", desk.before)
    told = json.loads(joren("tear", desk.trace, "--card", desk.before, "--json"))
    assert (told["scripts"], told["tears"], told["mixed"], told["where"]) == (1, 6, 0, [])
    assert "--card CARD or --shop-card SHOP" in joren("tear", desk.trace, code=2)
    assert "the state the card had before the trace expected" in joren("tear", desk.trace, "--card", "alice", code=2)
    (desk.folder / "pin").write_text("1234\n12345678\n")
    joren("card", "new", "bob", "--pin-file", str(desk.folder / "pin"))
    joren("redeem", "bob", "1", "--pin-file", str(desk.folder / "pin"), "--trace", desk.trace, code=3)
    assert "the secrets of line" in joren("tear", desk.trace, "--card", "bob", code=2)


@pytest.mark.parametrize("name", T0)
def test_a_trace_with_answers_in_parts_is_torn_as_what_it_was(desk: Desk, name: str) -> None:
    """GET RESPONSE stands in the trace; it belongs to the command before it."""
    joren = desk.tap("--profile", name).joren
    assert "GET RESPONSE" in joren("trace", "show", desk.trace)
    told = json.loads(joren("tear", desk.trace, "--card", desk.before, "--json"))
    assert (told["commands"], told["tears"], told["old"], told["mixed"]) == (2, 8, 4, 0)


def test_one_tear_alone(desk: Desk) -> None:
    joren = desk.tap().joren
    told = json.loads(joren("tear", desk.trace, "--card", desk.before, "--write", "3", "--json"))
    assert (told["step"], told["command"], told["write"], told["writes"]) == (2, "TRANSACT PURCHASE, key TILL", 3, 4)
    assert (told["place"], told["outcome"]) == ("counter", "old")
    assert {(one["region"], one["outcome"]) for one in told["regions"]} == {("counter", "old"), ("log", "old"), ("sheets", "old")}
    text = joren("tear", desk.trace, "--card", desk.before, "--write", "4")
    assert "in place of the commit, 4 of 4" in text
    assert "sheets" in text
    assert "--write 5: the trace has 4 writes and commits" in joren("tear", desk.trace, "--card", desk.before, "--write", "5", code=2)
    joren("tear", desk.trace, "--card", desk.before, "--write", "0", code=2)


def test_a_trace_of_a_card_that_tears_badly_is_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.tap()
    late = Mutant(Late, "customer card", "log")

    def bad_image(path: Path, storage: Key) -> Chip:
        return load_image(path, storage).on(IDEAL, late.make)

    monkeypatch.setattr(tear_command, "load_image", bad_image)
    told = json.loads(desk.joren("tear", desk.trace, "--card", desk.before, "--json", code=1))
    assert told["where"] == [
        {"script": "t.jsonl: customer card", "command": "TRANSACT PURCHASE, key TILL", "write": 4, "place": "log"},
    ]
    text = desk.joren("tear", desk.trace, "--card", desk.before, code=1)
    assert "oooXn" in text
    assert "1 mixed" in text
    told = json.loads(desk.joren("tear", desk.trace, "--card", desk.before, "--write", "4", "--json", code=1))
    assert told["outcome"] == "mixed"
    assert {one["region"]: one["outcome"] for one in told["regions"]} == {"counter": "new", "sheets": "new", "log": "old"}


def test_a_trace_with_a_bad_line_names_it(desk: Desk) -> None:
    desk.tap()
    lines = Path(desk.trace).read_text().splitlines()
    Path(desk.trace).write_text("\n".join([*lines[:2], lines[2].replace('"command"', '"commend"'), *lines[3:]]))
    assert "line 3" in desk.joren("tear", desk.trace, "--card", desk.before, code=6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "TRACE or --all expected"),
        (["TRACE", "--all"], "TRACE or --all expected, one of the two"),
        (["--all", "--profile", "nosuch"], "nosuch"),
        (["--all", "--write", "1"], "go with TRACE"),
        (["--all", "--shop-card", "bakery"], "go with TRACE"),
        (["--all", "--card", "alice"], "model or javacard expected, 'alice' came"),
        (["TRACE", "--profile", "ideal"], "go with --all"),
        (["TRACE", "--seed", "3"], "go with --all"),
        (["TRACE", "--random", "3"], "go with --all"),
        (["--all", "--random", "-1"], "--random"),
    ],
)
def test_what_does_not_go_together_is_refused(desk: Desk, words: list[str], said: str) -> None:
    Path(desk.trace).write_text("")
    assert said in desk.joren("tear", *(desk.trace if word == "TRACE" else word for word in words), code=2)


def test_the_commands_of_the_docs_are_right(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but --all, which has tests of its own, do what they do."""
    asked: list[list[str]] = []

    def given(profiles: list[Profile], seed: int, _number: int, program: Program) -> Everything:
        asked.append([program.name, *(profile.name for profile in profiles)])
        return Everything([], seed, [Torn(profile, (), 0) for profile in profiles])

    monkeypatch.setattr(tear_command, "tear_all", given)
    monkeypatch.chdir(desk.folder)
    page = (Path(__file__).parent.parent / "docs" / "tearing.md").read_text(encoding="utf-8")
    lines = [shlex.split(line)[2:] for line in page.splitlines() if line.startswith("./run joren ") and "applet build" not in line]
    told = [desk.joren(*words) for words in lines]
    model = ["model", *profile_names()]
    assert asked == [model, ["model", "jcop4", "feitian-h19cr"], model, ["javacard", "ideal"]]
    assert "6 tears: 4 old, 2 new" in told[-3]
    assert "oooon" in told[-3]
    assert "in place of the write to counter, 3 of 4" in told[-2]
