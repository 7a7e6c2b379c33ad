"""The conformance kit on the Java Card applet, and on a card in a reader of PC/SC."""

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from conformmutants import JAVA_SURVIVORS
from javakit import built
from joren.cli import main
from joren.commands import conform_targets
from joren.commands.tear_java import java_mutants
from joren.host import HostError
from joren.host.conform import Runner, Verdict, Way, load_suite
from joren.host.conform.suite import Send
from joren.simulator.card_manager_chip import make_managed_chip
from joren.simulator.cardserver import TEST_PRODUCTION, known_manager_keys
from joren.simulator.chip import IDEAL
from joren.simulator.java_roles import JAVACARD
from pcsckit import PcscdKit


@pytest.mark.parametrize(("profile", "way"), [("ideal", Way.PLAIN), ("jcop3", Way.MANAGER)])
def test_the_java_card_applet_keeps_every_vector(profile: str, way: Way, record_property: Callable[[str, object], None]) -> None:
    """Also those of whole sessions, byte by byte, and those that are torn at each write."""
    built()
    suite = load_suite()
    target = conform_targets.served("applet", JAVACARD, profile)
    results = list(Runner(suite, target, way).run(suite.vectors))
    target.close()
    assert [(one.vector.id, one.reason) for one in results if one.verdict is Verdict.FAILED] == []
    passed = sum(one.verdict is Verdict.PASSED for one in results)
    assert passed >= 150
    record_property(f"conformance vectors that the Java Card applet keeps, {profile}, {way.value}", passed)


def test_java_card_applets_that_write_wrongly_are_noticed(record_property: Callable[[str, object], None]) -> None:
    """By the vectors that tear; but for those of JAVA_SURVIVORS, which must survive."""
    built()
    suite = load_suite()
    torn = [one for one in suite.vectors if any(isinstance(step, Send) and step.tear for step in one.steps)]
    missed, mutants = [], java_mutants()
    for mutant in mutants:
        target = conform_targets.served(mutant.name, mutant.program, "ideal")
        concerned = [one for one in torn if mutant.card.partition(" ")[0] in one.fixture]
        if not any(result.verdict is Verdict.FAILED for result in Runner(suite, target).run(concerned)):
            missed.append(mutant.name)
        target.close()
    assert sorted(missed) == sorted(JAVA_SURVIVORS)
    record_property("mutants of the Java Card applet that the vectors alone notice", f"{len(mutants) - len(missed)} of {len(mutants)}")


def test_a_card_in_a_reader(pcscd: PcscdKit) -> None:
    pcscd.slot(make_managed_chip(b"reader", IDEAL, known_manager_keys(), TEST_PRODUCTION)).insert()
    words = ["conform", "run", "--target", f"pcsc:{pcscd.names[0]}", "--only", "REQ-VOID-1", "--only", "REQ-CMP-3", "--json"]
    result = CliRunner().invoke(main, words)
    told = json.loads(result.output)
    assert (result.exit_code, told["failed"], told["way"], told["name"]) == (0, 0, "manager", pcscd.names[0])
    assert {one["id"] for one in told["vectors"] if one["verdict"] == "passed"} >= {"void-kinds", "void-refused", "cmp-purchase"}
    assert {one["reason"] for one in told["vectors"] if one["verdict"] == "skipped"} == {
        "needs fresh, plain, raw, seeded",
        "needs fresh, tear",
    }


def test_a_reader_without_a_card_is_told(pcscd: PcscdKit) -> None:
    result = CliRunner().invoke(main, ["conform", "run", "--target", f"pcsc:{pcscd.names[1]}"])
    assert (result.exit_code, "no card" in result.output.lower()) == (6, True), result.output


def test_a_card_in_a_reader_has_its_own_profile() -> None:
    with pytest.raises(HostError, match="of fresh cards alone"):
        conform_targets.target_of("pcsc:0", "jcop4", 1.0)
