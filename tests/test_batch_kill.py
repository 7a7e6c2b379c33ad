"""A batch that is killed at any moment, by kill -9, and started again: nothing is lost, nothing comes twice (tests/killkit.py)."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = Path(__file__).parent / "killkit.py"


def killed(folder: Path, **plan: Any) -> dict[str, Any]:
    """What the driver found: every moment of a kind in turn, or some at random."""
    given = json.dumps({"folder": str(folder), **plan})
    done = subprocess.run([sys.executable, str(DRIVER)], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("kind", "cards", "apdus"), [("customer", 3, 69), ("shop", 2, 40)])
def test_killed_at_every_apdu(tmp_path: Path, kind: str, cards: int, apdus: int, when: str) -> None:
    told = killed(tmp_path, kind=kind, cards=cards, every=when)
    assert told["problems"] == []
    assert told["kills"] == told["cases"] - 1 >= apdus


@pytest.mark.parametrize(("kind", "cards"), [("customer", 3), ("shop", 2)])
def test_killed_at_every_statement_of_the_journal(tmp_path: Path, kind: str, cards: int) -> None:
    """Between any two of them, those that make the journal and take the rows in among them."""
    told = killed(tmp_path, kind=kind, cards=cards, every="sql")
    assert told["problems"] == []
    assert told["kills"] == told["cases"] - 1 >= 60


def test_killed_several_times_in_one_batch(tmp_path: Path) -> None:
    """At random moments, by a seed, with several readers from the second run on."""
    told = killed(tmp_path, kind="customer", cards=12, cases=6, kills=4, span=90, seed=1)
    assert told["problems"] == []
    assert told["kills"] >= 12
