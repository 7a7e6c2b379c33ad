"""Java Card applets that are wrong in one place, and the conformance vectors, which notice."""

import logging
from collections.abc import Callable

import pytest

from conformmutants_java import KINDS, SAME, UNSEEN, Hunt, JavaSite, Tried, results, sample, sites
from javakit import built
from joren.host.conform import Suite, load_suite
from joren.simulator.chip import Chip
from joren.simulator.java_roles import java_customer
from joren.simulator.javacard import JavaFault

SHARE = 12
CUSTOMER = bytes.fromhex("F06A6F72656E010001")


@pytest.fixture(scope="module")
def suite() -> Suite:
    built()
    return load_suite()


@pytest.fixture(scope="module")
def places() -> list[JavaSite]:
    return sites()


def share() -> list[Tried]:
    """Some of each kind that were noticed, those that come after each other far apart."""
    noticed = {kind: [one for one in results() if one.vector and one.name.startswith(f"{kind}:")] for kind in KINDS}
    each = SHARE // len(KINDS)
    return [of_kind[number * len(of_kind) // each] for of_kind in noticed.values() for number in range(each)]


@pytest.mark.parametrize("tried", share(), ids=lambda tried: tried.name)
def test_an_applet_that_is_wrong_in_one_place_is_noticed(tried: Tried, suite: Suite, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    assert Hunt(suite, tried.vector).caught_by(tried.name) != ("", "")


def test_a_command_that_does_not_end_is_ended(places: list[JavaSite], suite: Suite, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    *_, step = [site.name for site in places if site.kind == "constant" and "tried++" in site.text]
    assert "6F00" in Hunt(suite, "cmp-full").caught_by(step)[1]


def test_a_place_that_is_not_there_is_told(suite: Suite) -> None:
    chip = Chip(b"mutant")
    with pytest.raises(JavaFault, match="places for negate, no 999"):
        chip.install(java_customer().mutated("negate:Pin.verify#999"), CUSTOMER)


def test_a_sample_has_one_place_of_each_kind_in_each_method(places: list[JavaSite]) -> None:
    chosen = sample(places)
    assert chosen == sample(places)
    assert chosen != sample(places, 1)
    groups = [(site.method, site.kind) for site in chosen]
    assert len(groups) == len(set(groups)) == len({(site.method, site.kind) for site in places})
    assert {site.kind for site in chosen} == set(KINDS)


def test_of_those_that_answer_otherwise_the_vectors_see_95_in_a_hundred(record_property: Callable[[str, object], None]) -> None:
    tried = results()
    survive = {one.name for one in tried if not one.vector}
    same = {name for names in SAME.values() for name in names}
    unseen = {name for names in UNSEEN.values() for name in names}
    assert not same & unseen
    assert survive == same | unseen, "tests/conformmutants_java.py: each that survives needs its reason, and no other has one"
    assert len(tried) - len(survive) >= 0.95 * (len(tried) - len(same)) > 150
    record_property("mutants of the Java Card applet that the vectors notice", f"{len(tried) - len(survive)} of {len(tried) - len(same)}")


def test_the_places_of_those_that_survive_are_as_they_were(places: list[JavaSite]) -> None:
    now = {site.name: site.text for site in places}
    moved = [one.name for one in results() if not one.vector and now.get(one.name) != one.text]
    assert moved == [], "the applet has changed there: run tests/conformmutants_java.py"
