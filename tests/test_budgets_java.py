"""What every command costs the Java Card applets is reviewed in docs/budgets.md; a purchase has a limit; the demo is the model's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import javakit
from joren.apdu import Command, Ins, Response
from joren.cli import main
from joren.commands import demo as demo_command
from joren.commands.budgets_java import counting_program, instances_table, java_budgets_table
from joren.simulator.javacard import JavaApplet
from test_budgets import END, PAGE, differences

BYTECODES_MAX = 2_800
CUSTOMERS = 60


@pytest.fixture(autouse=True)
def _built() -> None:
    javakit.built()


def reviewed(what: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"<!-- generated: {what} -->\n")[1].split(END)[0]


def demo(folder: Path, *words: str) -> dict[str, Any]:
    """What joren demo tells, without what is another in every run."""
    out = folder / "page.html"
    result = CliRunner().invoke(main, ["demo", "--limit", str(CUSTOMERS), "--out", str(out), "--json", *words])
    assert result.exit_code == 0, result.output
    fields: dict[str, Any] = json.loads(result.stdout)
    return {name: value for name, value in fields.items() if name not in ("seconds", "page", "program")}


def test_every_figure_is_the_reviewed_one() -> None:
    """Where this fails on purpose: `python -m joren.commands.budgets_java` prints the tables."""
    assert differences(reviewed("java budgets"), java_budgets_table()) == []
    assert reviewed("java instances") == instances_table()


def test_the_demo_on_java_card_applets_is_that_on_the_model(tmp_path: Path) -> None:
    """The same ranks, points and receipts, and the same times and wear of a profile but for the key objects."""
    assert demo(tmp_path, "--card", "javacard") == demo(tmp_path, "--card", "model") == demo(tmp_path)
    assert demo(tmp_path, "--card", "javacard", "--card", "jcop4")["card_data"]["profile"]


def test_cards_that_can_not_be_are_refused(tmp_path: Path) -> None:
    for words in (["--card", "javacard", "--card", "model"], ["--card", "jcop3", "--card", "jcop4"]):
        result = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "x.html"), *words])
        assert result.exit_code == 2
        assert "--card: one card profile" in result.output


def test_a_purchase_takes_few_bytecodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    counted: list[int] = []
    process = JavaApplet.process

    def counting(self: JavaApplet, command: Command) -> Response:
        response = process(self, command)
        if command.ins == Ins.TRANSACT and response.ok:
            counted.append(self.bytecodes)
        return response

    monkeypatch.setattr(JavaApplet, "process", counting)
    monkeypatch.setattr(demo_command, "PROGRAMS", {"javacard": counting_program()})
    demo(tmp_path, "--card", "javacard")
    assert len(counted) > CUSTOMERS
    average = sum(counted) / len(counted)
    assert 1_000 < average <= BYTECODES_MAX
    record_property("bytecodes of a purchase with software keys in Java Card, on average", round(average))
    record_property("bytecodes of a purchase with software keys in Java Card, the most", max(counted))
