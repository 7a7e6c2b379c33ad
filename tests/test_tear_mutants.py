"""Memories that write wrongly: each is right while the power stays, and each is caught by a tear."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from joren.commands.tear_mutants import Hunt, to_markdown
from joren.commands.tear_scripts import scripts
from joren.simulator.chip import IDEAL
from joren.simulator.memory import Memory, PowerCut
from joren.simulator.mutants import EVERYWHERE, IN_A_REGION, RIGHT, Deferred, Late, Mutant, Wrong
from joren.simulator.tear import Outcome, Script, explore, placed

KINDS = pytest.mark.parametrize("kind", [*IN_A_REGION, *EVERYWHERE], ids=lambda kind: kind.NAME)


@cache
def all_scripts() -> list[Script]:
    return list(scripts())


@cache
def hunt() -> Hunt:
    return Hunt(all_scripts())


def of_kind(kind: type[Wrong]) -> list[Mutant]:
    return [mutant for mutant in hunt().mutants if mutant.kind is kind]


@KINDS
def test_every_mutant_is_caught(kind: type[Wrong]) -> None:
    found = [hunt().catch(mutant) for mutant in of_kind(kind)]
    assert found
    assert [verdict.mutant.name for verdict in found if verdict.tear is None] == []


@KINDS
def test_while_the_power_stays_a_mutant_is_right(kind: type[Wrong]) -> None:
    """Every script leaves the card as Memory does, and is answered the same."""
    for mutant in of_kind(kind):
        for script in all_scripts():
            if script.name.endswith(mutant.card):
                right, wrong = script.chip.fork(), script.chip.on(IDEAL, mutant.make)
                for chip in (right, wrong):
                    chip.power_on()
                assert [wrong.process(command) for command in script.commands] == [right.process(command) for command in script.commands]
                assert wrong.snapshot() == right.snapshot(), mutant.name


def test_there_are_mutants_of_every_region_of_both_cards(record_property: Callable[[str, object], None]) -> None:
    made = {(mutant.card, mutant.region) for mutant in hunt().mutants}
    for script in all_scripts():
        card = script.name.rpartition(": ")[2]
        assert {(card, name.partition("/")[2]) for name in script.chip.memory.regions} <= made
    assert len({mutant.name for mutant in hunt().mutants}) == len(hunt().mutants) >= 70
    record_property("mutants, each caught", len(hunt().mutants))


def test_a_memory_that_is_right_is_not_caught() -> None:
    for script in all_scripts():
        there = placed(script, script.chip.on(IDEAL, Memory))
        assert not any(tear.outcome is Outcome.MIXED for tear in explore(there))


@pytest.mark.parametrize(("kind", "region"), RIGHT, ids=lambda part: part if isinstance(part, str) else part.NAME)
def test_what_is_not_wrong_is_not_caught(kind: type[Wrong], region: str) -> None:
    """Where it is caught one day, it belongs to the mutants again."""
    cards = {
        script.name.rpartition(": ")[2]
        for script in all_scripts()
        if any(name.endswith(f"/{region}") for name in script.chip.memory.regions)
    }
    assert cards
    for card in cards:
        assert hunt().catch(Mutant(kind, card, region)).tear is None


def test_a_deferred_write_is_read_before_it_happens() -> None:
    memory = Late("x")
    region = memory.allocate("aid/x", 8)
    memory.begin()
    memory.write(region.address + 2, b"\x01\x02\x03")
    assert memory.read(region.address, 8) == bytes.fromhex("0000010203000000")
    assert memory.read(region.address + 3, 1) == b"\x02"
    assert memory.read(region.address + 5, 3) == bytes(3)
    memory.abort()
    assert memory.read(region.address, 8) == bytes(8)
    memory.begin()
    memory.write(region.address, b"\xff")
    memory.cut_after(2)
    with pytest.raises(PowerCut):
        memory.commit()
    memory.power_up()
    assert memory.snapshot() == bytes(8)
    memory.begin()
    memory.write(region.address, b"\xff")
    memory.restore(bytes(8))
    assert memory.snapshot() == memory.read(0, 8) == bytes(8)
    with pytest.raises(NotImplementedError):
        Deferred("x").carry_out([])


def test_the_table_of_the_docs_is_that_of_the_code() -> None:
    page = Path(__file__).parent.parent / "docs" / "tearing.md"
    shown = page.read_text(encoding="utf-8").split("<!-- generated: mutants -->\n", 1)[1].split("\n<!-- end -->", 1)[0]
    assert shown == to_markdown([hunt().catch(mutant) for mutant in hunt().mutants]), "docs/tearing.md: put this between its marks"
