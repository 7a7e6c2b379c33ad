"""The conformance vectors: the model keeps them all, every requirement of the card has one, and they see what is wrong with a card."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

import conformance_pages
import make_vectors
from conformkit import Mutant, both, model_target, noticed
from conformmutants import MUTANTS, SURVIVORS
from joren.commands.conform_targets import served
from joren.host.conform import Runner, Suite, Verdict, Way, load_suite
from joren.host.conform.load import OWN
from joren.simulator.chip import MODEL

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "docs" / "vectors.schema.json").read_text(encoding="utf-8"))
SKIPPED = {
    ("ideal", Way.PLAIN): {"one-channel", "no-extended"},
    ("ideal", Way.MANAGER): {"one-channel", "no-extended", "plain"},
    ("feitian-a40", Way.PLAIN): {"channels", "extended", "room"},
}


@pytest.fixture(scope="module")
def suite() -> Suite:
    return load_suite()


@pytest.mark.parametrize(("profile", "way"), SKIPPED, ids=str)
def test_the_model_keeps_every_vector(profile: str, way: Way, suite: Suite) -> None:
    target = served("joren model", MODEL, profile)
    results = list(Runner(suite, target, way).run(suite.vectors))
    target.close()
    assert [(one.vector.id, one.reason) for one in results if one.verdict is Verdict.FAILED] == []
    reasons = {one.reason.removeprefix("needs ") for one in results if one.verdict is Verdict.SKIPPED}
    assert reasons == SKIPPED[profile, way]
    assert sum(one.verdict is Verdict.PASSED for one in results) >= 150


def test_every_requirement_of_the_card_has_a_vector(suite: Suite) -> None:
    assert conformance_pages.uncovered(suite) == []
    covered = {name for vector in suite.vectors for name in vector.covers}
    assert covered <= conformance_pages.defined().keys()
    assert not covered & conformance_pages.BEYOND.keys()


def test_a_requirement_without_a_vector_is_found(suite: Suite) -> None:
    less = Suite(
        suite.keys, suite.values, suite.procedures, suite.fixtures, tuple(one for one in suite.vectors if "REQ-PRV-3" not in one.covers)
    )
    assert conformance_pages.uncovered(less) == ["REQ-PRV-3"]


def test_what_is_generated_is_up_to_date() -> None:
    found = make_vectors.build()
    assert set(found) == {path.name for path in OWN.glob("generated-*.json")}
    for name, text in found.items():
        assert (OWN / name).read_text(encoding="utf-8") == text, f"{name}: run scripts/make_vectors.py"


def test_the_page_is_up_to_date() -> None:
    page = conformance_pages.PAGE.read_text(encoding="utf-8")
    for name, section in conformance_pages.sections().items():
        shown = page.partition(f"<!-- generated: {name} -->\n")[2].partition("\n<!-- end -->")[0]
        assert shown == section, f"docs/conformance.md, {name}: run scripts/conformance_pages.py"


@pytest.mark.parametrize("path", sorted(OWN.glob("*.json")), ids=lambda path: path.name)
def test_the_files_keep_the_schema(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    if path.name.startswith("generated"):
        found["vectors"] = [{**one, "steps": one["steps"][:5]} for one in found["vectors"][:20]]
    jsonschema.Draft202012Validator(SCHEMA).validate(found)


def test_the_tables_of_forms_are_those_of_the_specification() -> None:
    for page, table in (("customer.md", make_vectors.CUSTOMER_FORMS), ("shop.md", make_vectors.SHOP_FORMS)):
        rows = [
            line
            for line in (ROOT / "docs" / "spec" / page).read_text(encoding="utf-8").splitlines()
            if re.match(r"\| [08]0 [0-9A-F]{2} \|", line)
        ]
        for name, header, _, lengths, answer, _ in table:
            (row,) = (row for row in rows if row.startswith(f"| {header} |"))
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert name.startswith(cells[1])
            for length in lengths:
                assert str(length) in cells[4] or (length == 0 and cells[4] == "-")
            if answer:
                assert str(answer) in cells[5]
        assert {row[2:7] for row in rows} - {row[1] for row in table} == {"00 A4"}


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.name not in SURVIVORS], ids=lambda mutant: mutant.name)
def test_a_card_that_is_wrong_in_one_place_is_noticed(mutant: Mutant, suite: Suite) -> None:
    assert noticed(mutant, suite) is not None


def test_those_that_survive_do(suite: Suite) -> None:
    """All of them together pass everything."""
    together = both(*(one.patch for one in MUTANTS if one.name in SURVIVORS))
    assert noticed(Mutant("survivors", "REQ-MAC-2", together), suite) is None


def test_the_mutants_are_many_and_few_survive() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names)) >= 40
    assert SURVIVORS.keys() <= set(names)
    assert len(SURVIVORS) <= 0.05 * len(names)


def test_a_mutant_is_the_model_again_afterwards(suite: Suite) -> None:
    noticed(MUTANTS[0], suite)
    assert all(one.verdict is Verdict.PASSED for one in Runner(suite, model_target()).run(suite.only(frozenset({MUTANTS[0].first}))))
