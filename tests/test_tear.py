"""The tear explorer: no command of either card leaves a mixed state at any write; and every mutant that writes otherwise is caught."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.apdu import Ins
from joren.applet.lifecycle import ALLOWED_CUSTOMER, ALLOWED_SHOP
from joren.cli import main
from joren.commands.tear_scripts import scripts
from joren.simulator.memory import Memory, PowerCut
from joren.simulator.tear import Outcome, Script, explore

WRITING = {
    Ins.TRANSACT, Ins.COMMIT, Ins.VERIFY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER, Ins.STORE_DATA, Ins.SET_STATUS,
    Ins.COMPUTE, Ins.AUTHORIZE, Ins.RATIFY,
}  # fmt: skip
READING = {Ins.GET_STATE, Ins.PROVE, Ins.GET_RESULT, Ins.READ_RECORD, Ins.GET_DATA, Ins.GET_CHALLENGE}
CUSTOMER_REGIONS = (
    "card_id", "rules", "limits", "counter", "sheets", "log", "key_versions", "key_till", "key_shop", "key_receipt", "key_load",
    "key_admin", "pin", "puk", "tries", "life_cycle",
)  # fmt: skip
SHOP_REGIONS = (
    "identity", "ceilings", "ceilings_given", "count", "totals", "pending", "log_count", "key_shop_master", "key_load_master",
)  # fmt: skip
Write = Callable[[Memory, int, bytes], None]


def journalled(memory: Memory, address: int) -> str | None:
    """The region's name without the AID if a transaction is open."""
    return memory.region_at(address).name.partition("/")[2] if memory.in_transaction else None


class Mutants:
    """Ways to write wrongly. `late` writes wait for the commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.write, self.begin, self.commit = Memory.write, Memory.begin, Memory.commit

    def escapes(self, region: str) -> None:
        """Writes to a region are not in the journal: an abort does not take them back."""

        def write(memory: Memory, address: int, data: bytes) -> None:
            if journalled(memory, address) != region:
                return self.write(memory, address, data)
            journal, memory._journal = memory._journal, None
            try:
                return self.write(memory, address, data)
            finally:
                memory._journal = journal

        self.patch.setattr(Memory, "write", write)

    def is_late(self, region: str) -> None:
        """Writes to a region come after the commit."""
        waiting: list[tuple[int, bytes]] = []

        def write(memory: Memory, address: int, data: bytes) -> None:
            if journalled(memory, address) == region:
                waiting.append((address, data))
            else:
                self.write(memory, address, data)

        def begin(memory: Memory) -> None:
            waiting.clear()
            self.begin(memory)

        def commit(memory: Memory) -> None:
            self.commit(memory)
            for address, data in waiting:
                self.write(memory, address, data)

        for name, method in (("write", write), ("begin", begin), ("commit", commit)):
            self.patch.setattr(Memory, name, method)

    def is_not_atomic(self, region: str) -> None:
        """Writes to a region are copied byte by byte."""

        def write(memory: Memory, address: int, data: bytes) -> None:
            if journalled(memory, address) == region:
                memory.write_non_atomic(address, data)
            else:
                self.write(memory, address, data)

        self.patch.setattr(Memory, "write", write)

    def has_no_transactions(self, _region: str) -> None:
        """Every write stands at once."""
        self.patch.setattr(Memory, "begin", lambda _memory: None)
        self.patch.setattr(Memory, "commit", lambda _memory: None)
        self.patch.setattr(Memory, "abort", lambda _memory: None)

    def commits_after(self, region: str) -> None:
        """The transaction ends with a write to a region, and another begins."""

        def write(memory: Memory, address: int, data: bytes) -> None:
            name = journalled(memory, address)
            self.write(memory, address, data)
            if name == region:
                self.commit(memory)
                self.begin(memory)

        self.patch.setattr(Memory, "write", write)


READ_AT_ONCE = {"card_id", "rules", "limits", "key_versions", "identity", "ceilings_given"}
"""The card looks at these before the commit that issues it: written late, it is never issued, so there is nothing to tear."""
TABLE = [
    *((name, region) for name in ("escapes", "is_late", "is_not_atomic") for region in (*CUSTOMER_REGIONS, *SHOP_REGIONS)),
    *(("commits_after", region) for region in ("sheets", "log", "pending", "rules", "card_id", "pin", "log_count")),
    ("has_no_transactions", ""),
]
MUTANTS = [(name, region) for name, region in TABLE if not (name == "is_late" and region in READ_AT_ONCE)]


def mixed(all_scripts: Iterator[Script]) -> bool:
    return any(tear.outcome is Outcome.MIXED for script in all_scripts for tear in explore(script))


def test_every_tear_leaves_the_old_state_or_the_new(record_property: Callable[[str, object], None]) -> None:
    """REQ-APDU-8, REQ-PIN-4, REQ-TRX-7, REQ-CMP-3, REQ-RAT-5, REQ-PER-2."""
    tears = [tear for script in scripts() for tear in explore(script)]
    assert [tear for tear in tears if tear.outcome is Outcome.MIXED] == []
    torn = {Ins(tear.command.ins) for tear in tears if tear.place != "after"}
    assert torn == WRITING
    record_property("tears, each at one write of one command, none mixed", len(tears))
    record_property("mutants, each caught", len(MUTANTS))


def test_the_scripts_have_every_command_that_writes() -> None:
    """A new command comes into one of the two lists, and a writing one into the scripts."""
    allowed = {ins for table in (ALLOWED_CUSTOMER, ALLOWED_SHOP) for commands in table.values() for ins in commands}
    assert allowed == WRITING | READING
    assert {Ins(command.ins) for script in scripts() for command in script.commands} >= WRITING


@pytest.mark.parametrize(("name", "region"), MUTANTS, ids=[f"{region or 'memory'} {name}" for name, region in MUTANTS])
def test_a_mutant_is_caught(name: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    getattr(Mutants(monkeypatch), name)(region)
    assert mixed(scripts())


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


def test_the_command_line_tears_all_and_a_trace(tmp_path: Path) -> None:
    def joren(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--home", str(tmp_path / "home"), *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    told = json.loads(joren("tear", "--all", "--json"))
    assert told["mixed"] == 0
    assert told["tears"] == told["old"] + told["new"] + told["counted"]
    assert "0 mixed" in joren("tear", "--all")
    before, trace = str(tmp_path / "before.json"), str(tmp_path / "t.jsonl")
    joren("card", "new", "alice")
    joren("card", "image", "alice", "--out", before)
    joren("tap", "alice", "10", "--trace", trace)
    assert "6 tears: 4 old, 2 new" in joren("tear", trace, "--card", before)
    assert "TRACE or --all expected" in joren("tear", code=2)
    assert "--card CARD or --shop-card SHOP" in joren("tear", trace, code=2)
    assert "the state the card had before the trace expected" in joren("tear", trace, "--card", "alice", code=2)
    (tmp_path / "pin").write_text("1234\n12345678\n")
    joren("card", "new", "bob", "--pin-file", str(tmp_path / "pin"))
    joren("redeem", "bob", "1", "--pin-file", str(tmp_path / "pin"), "--trace", trace, code=3)
    assert "the secrets of line" in joren("tear", trace, "--card", "bob", code=2)


def test_the_command_line_shows_where_something_mixed_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Mutants(monkeypatch).is_late("counter")
    result = CliRunner().invoke(main, ["--home", str(tmp_path), "tear", "--all"])
    assert result.exit_code == 1
    assert "counter" in result.output
    assert "TRANSACT PURCHASE" in result.output
