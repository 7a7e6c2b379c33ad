"""The Java Card applets, torn at every write of every command: nothing mixed is left, and an applet that writes wrongly is caught."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

import javakit
from joren.commands.tear_java import JavaMutant, catch_java, java_mutants, java_mutants_table
from joren.commands.tear_scripts import scripts
from joren.commands.tear_settle import Figures, cases, settle_singles
from joren.simulator.chip import DoesNotFit
from joren.simulator.java_roles import JAVACARD
from joren.simulator.javacard import JavaApplet
from joren.simulator.memory import PowerCut
from joren.simulator.profile import load_profile, profile_names
from joren.simulator.tear import AFTER, Outcome, Script, explore, placed

MUTANTS_MIN = 10


@cache
def java_scripts() -> list[Script]:
    javakit.built()
    return list(scripts(JAVACARD))


@pytest.mark.parametrize("name", profile_names())
def test_every_tear_leaves_the_old_state_or_the_new(name: str, record_property: Callable[[str, object], None]) -> None:
    """REQ-APDU-8, REQ-PIN-4, REQ-TRX-7, REQ-CMP-3, REQ-RAT-5, REQ-PER-2: as the model, on every profile with its commit capacity."""
    profile = load_profile(name).for_development()
    tears = [tear for script in java_scripts() for tear in explore(placed(script, script.chip.on(profile)))]
    assert [tear for tear in tears if tear.outcome is Outcome.MIXED] == []
    assert sum(tear.place != AFTER for tear in tears) > len(java_scripts())
    record_property(f"tears of the Java Card applets on {name}, none mixed", len(tears))


def test_the_machine_has_what_the_chip_has_after_every_tear() -> None:
    """Every script to its end, with a tear at each write, and on from there: the machine is never told anew what it should know."""
    compared = 0
    for script in java_scripts():
        for number in range(1, 40):
            chip = script.chip.fork()
            chip.power_on()
            answers = [chip.process(command) for command in script.commands[:-1]]
            assert len(answers) == len(script.commands) - 1
            (java,) = chip.applets.values()
            assert isinstance(java, JavaApplet)
            chip.memory.cut_after(number)
            with suppress(PowerCut):
                chip.process(script.commands[-1])
            powered = chip.memory.powered
            chip.power_on()
            assert java.cells_in_jvm() == java.cells
            compared += 1
            if powered:
                break
    assert compared > 150


def test_every_java_mutant_is_caught(record_property: Callable[[str, object], None]) -> None:
    verdicts = [catch_java(mutant, java_scripts()) for mutant in java_mutants()]
    assert [verdict.mutant.name for verdict in verdicts if verdict.tear is None] == []
    assert len(verdicts) >= MUTANTS_MIN
    record_property("mutants of the Java Card applets, all caught", len(verdicts))
    page = Path(__file__).parent.parent / "docs" / "tearing.md"
    shown = page.read_text(encoding="utf-8").split("<!-- generated: java mutants -->\n", 1)[1].split("\n<!-- end -->", 1)[0]
    assert shown == java_mutants_table(verdicts), "docs/tearing.md: put this between its marks"


def test_what_breaks_without_a_tear_is_no_mutant() -> None:
    with pytest.raises(DoesNotFit, match="TransactionException"):
        catch_java(JavaMutant("shop card", "late-begin:ShopMemory.close#3"), java_scripts())


def test_torn_sales_are_settled(record_property: Callable[[str, object], None]) -> None:
    javakit.built()
    figures = Figures()
    for case in cases(JAVACARD):
        settle_singles(case, figures)
    assert figures.unsettled == []
    record_property("torn sales of Java Card applets, settled", figures.settled)
