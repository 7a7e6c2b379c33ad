"""joren admin, script, card reissue, as a user types them: every change both ways, re-issue, the stop list, and what not."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from joren.cli import main
from joren.host import Journal, Receipt

ALICE, NEW, THIRD = "00000000000A11CE", "00000000000A11D0", "00000000000A11D1"


class Shell:
    """joren in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json", code=code).stdout)
        assert isinstance(told, dict)
        assert told["version"] == 1
        return told

    def path(self, name: str, content: str | None = None) -> str:
        if content is not None:
            (self.folder / name).write_text(content, encoding="utf-8")
        return str(self.folder / name)

    def scripted(self, name: str, *change: str, probe: tuple[str, ...] = ()) -> dict[str, Any]:
        """Probe, script, run, check: what the server finds."""
        files = {kind: self.path(f"{name}.{kind}") for kind in ("probe", "script", "answers")}
        self.json("script", "probe", name, "--out", files["probe"], *probe)
        self.json("admin", *change, "--probe", files["probe"], "--script", files["script"])
        self.json("script", "run", files["script"], name, "--answers", files["answers"])
        return self.json("script", "check", files["script"], files["answers"])


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """alice has a card, bakery a shop card; there are new masters since."""
    shell = Shell(tmp_path)
    shell.run("card", "new", "alice", "--id", ALICE)
    shell.run("shop", "new", "bakery")
    shell.run("keys", "rotate", "--manager")
    return shell


CHANGES: list[tuple[str, tuple[str, ...], str]] = [
    ("alice", ("status", "blocked"), "BLOCKED"),
    ("alice", ("rules",), "ISSUED"),
    ("alice", ("pin",), "ISSUED"),
    ("alice", ("keys",), "ISSUED"),
    ("alice", ("keys", "--version", "1"), "ISSUED"),
    ("alice", ("manager-keys",), "ISSUED"),
    ("alice", ("manager-keys", "--beside"), "ISSUED"),
    ("alice", ("end",), "TERMINATED"),
    ("bakery", ("status", "blocked"), "BLOCKED"),
    ("bakery", ("keys",), "ISSUED"),
    ("bakery", ("refill", "1", "--points", "500", "--money", "2.50"), "ISSUED"),
    ("bakery", ("manager-keys",), "ISSUED"),
    ("bakery", ("end",), "TERMINATED"),
]
EACH = pytest.mark.parametrize(("name", "change", "state"), CHANGES, ids=[f"{row[0]} {' '.join(row[1])}" for row in CHANGES])


@EACH
def test_a_change_in_person(shell: Shell, name: str, change: tuple[str, ...], state: str) -> None:
    told = shell.json("admin", *change, name)
    assert (told["format"], told["state"], told["changed"]) == ("joren-admin", state, True)
    if change[0] in ("status", "refill", "end"):
        assert shell.json("admin", *change, name)["changed"] is False
    assert shell.run("admin", *change, name).stdout.startswith(f"{name}: ")


@EACH
def test_a_change_by_script(shell: Shell, name: str, change: tuple[str, ...], state: str) -> None:
    told = shell.scripted(name, *change)
    assert told["done"] is True
    assert told["proven"] == told["steps"] >= 1
    place = "shop" if name == "bakery" else "card"
    assert shell.json(place, "show", name)["state"] == state


def test_old_and_new_keys_are_served(shell: Shell) -> None:
    """At a software till and at a shop card, before the change, between the changes and after them."""
    for shop in ((), ("--shop-card", "bakery")):
        shell.run("tap", "alice", "5", *shop)
    assert shell.scripted("bakery", "keys")["done"]
    for shop in ((), ("--shop-card", "bakery")):
        shell.run("tap", "alice", "5", *shop)
    assert shell.scripted("alice", "keys")["done"]
    assert shell.scripted("bakery", "retire", "1")["done"]
    assert shell.json("admin", "retire", "1", "bakery")["key_versions"] == "02000202040004020501"
    for shop in ((), ("--shop-card", "bakery")):
        shell.run("tap", "alice", "5", *shop)


def test_pins(shell: Shell) -> None:
    pins = shell.path("pins", "4711\n12345678\n")
    shell.run("admin", "pin", "alice", "--pin-file", pins)
    assert shell.json("card", "show", "alice", "--pin-file", pins)["purse_minor"] == 0
    shell.run("card", "pin", "alice", "--with-puk", "--pin-file", shell.path("puk", "12345678\n0815\n"))
    shell.run("admin", "pin", "alice", "--keep-puk", "--pin-file", shell.path("one", "2468\n"))
    shell.run("card", "pin", "alice", "--with-puk", "--pin-file", shell.path("puk", "12345678\n0815\n"))
    assert "PIN: 4 to 8 digits" in shell.run("admin", "pin", "alice", "--keep-puk", "--pin-file", shell.path("no", "12\n"), code=2).stderr
    assert "4711" not in shell.run("admin", "pin", "alice", "--pin-file", pins).output


def test_what_is_asked_for_wrongly(shell: Shell) -> None:
    probe, script = shell.path("probe"), shell.path("script")
    both = ("--probe", probe, "--script", script)
    for words in (("rules",), ("rules", "alice", *both), ("rules", *both[:2]), ("refill", "0", "bakery")):
        shell.run("admin", *words, code=2)
    assert "none of this name" in shell.run("admin", "retire", "1", "alice", code=2).stderr
    assert "1 expected, as the card has had 0, 2 came" in shell.run("admin", "refill", "2", "bakery", code=2).stderr
    assert "can not be read" in shell.run("admin", "rules", "--probe", probe, "--script", script, code=2).stderr
    shell.path("probe", "{}")
    assert "the key" in shell.run("admin", "rules", "--probe", probe, "--script", script, code=2).stderr
    shell.run("script", "probe", "alice", "--out", str(shell.folder), code=2)
    assert shell.json("script", "probe", "bakery", "--shop-card", "--out", probe)["counter"] > 0
    shell.run("card", "new", "bakery")
    assert shell.json("admin", "rules", "bakery")["card_id"]
    assert shell.json("admin", "rules", "bakery", "--shop-card")["shop"] == 2


def test_a_script_run_twice_stops_and_says_why(shell: Shell) -> None:
    assert shell.scripted("alice", "rules")["done"]
    script, answers = shell.path("alice.script"), shell.path("alice.answers")
    told = shell.json("script", "run", script, "alice", "--answers", answers, code=2)
    assert "step 2, INITIALIZE UPDATE: another card, or its sequence counter has moved on" in told["message"]
    checked = shell.json("script", "check", script, answers, code=1)
    assert (checked["done"], checked["proven"]) == (False, 0)
    shell.run("card", "new", "bob")
    assert "step 1, SELECT: another card" in shell.run("script", "run", script, "bob", "--answers", answers, code=2).stderr
    other = Shell(shell.folder / "other")
    other.folder.mkdir()
    other.run("card", "new", "alice", "--id", ALICE)
    assert shell.scripted("alice", "rules")["done"]
    assert "other keys than those at hand" in other.run("script", "check", script, answers, code=2).stderr


def test_a_card_at_hand_is_replaced(shell: Shell) -> None:
    """REQ-ATK-48: score, points and purse go over; the old card is refused."""
    shell.run("tap", "alice", "48", "--time", "2026-03-02 08:10")
    before = shell.json("card", "show", "alice", "--time", "2026-03-02 09:00")
    told = shell.json("card", "reissue", "alice", "alice-2", "--id", NEW)
    assert (told["card_id"], told["replaces"], told["lost"]) == (NEW, ALICE, False)
    after = shell.json("card", "show", "alice-2", "--time", "2026-03-02 09:00")
    for key in ("rank", "score", "values", "points_now", "points_before", "purse_minor"):
        assert after[key] == before[key]
    shell.run("tap", "alice", "5", code=3)
    shell.run("tap", "alice-2", "5", "--time", "2026-03-03 08:10")
    again = shell.json("card", "reissue", "alice", "alice-2")
    assert again["card_id"] == NEW
    for words in (("alice", "alice-3"), ("alice", "alice-2", "--id", THIRD), ("alice-2", "alice")):
        shell.run("card", "reissue", *words, code=2)
    assert not (shell.home / "cards" / "alice-3.json").exists()
    assert shell.json("card", "show", "alice-2")["counter"] == 1


def test_a_lost_card_is_replaced_and_stopped(shell: Shell) -> None:
    """REQ-ATK-48: by its newest receipt; it is refused when it turns up, at both kinds of till."""
    shell.run("tap", "alice", "48", "--time", "2026-03-02 08:10")
    shell.run("load", "alice", "7.50", "--time", "2026-03-02 08:20")
    before = shell.json("card", "show", "alice", "--time", "2026-03-02 08:20")
    shell.json("card", "reissue", ALICE, "alice-2", "--lost", "--id", NEW)
    after = shell.json("card", "show", "alice-2", "--time", "2026-03-02 08:20")
    assert (after["rank"], after["score"]) == (before["rank"], before["score"])
    assert after["purse_minor"] == before["purse_minor"] == 750
    assert after["points_now"] == before["points_now"] > 0
    assert ALICE in (shell.home / "stop.txt").read_text(encoding="utf-8")
    for shop in ((), ("--shop-card", "bakery")):
        assert "is on the stop list" in shell.run("tap", "alice", "5", *shop, code=2).stderr
    shell.run("card", "new", "bob", "--id", THIRD)
    assert "no receipt of it verifies" in shell.run("card", "reissue", "bob", "bob-2", "--lost", code=2).stderr
    assert "8 bytes in hexadecimal" in shell.run("card", "reissue", "nobody", "nobody-2", "--lost", code=2).stderr


def test_receipts_from_elsewhere(shell: Shell) -> None:
    """From a shop whose journal is not here: programme, card id, record and MAC in hexadecimal."""
    wrong = shell.path("receipts", "00\n")
    assert "line 1" in shell.run("card", "reissue", ALICE, "x", "--lost", "--receipt", wrong, code=2).stderr
    shell.run("tap", "alice", "48", "--time", "2026-03-02 08:10")
    for path in (shell.home / "tills").glob("*"):
        path.rename(shell.folder / path.name)
    with Journal(shell.folder / "1-1-0.sqlite") as journal:
        (row,) = journal.rows()
        assert row.outcome is not None
        assert row.receipt is not None
        receipt = Receipt(1, row.card_id, row.head + row.outcome.encode(), row.receipt)
    right = shell.path("receipts", f"{receipt.encode().hex()}\n")
    assert shell.json("card", "reissue", ALICE, "alice-2", "--lost", "--receipt", right)["replaces"] == ALICE


def test_the_stop_list(shell: Shell) -> None:
    assert shell.json("admin", "stop", ALICE, "--why", "stolen")["added"] is True
    assert shell.json("admin", "stop", ALICE.lower())["added"] is False
    assert "is on the stop list" in shell.run("tap", "alice", "5", code=2).stderr
    for words in (("XY",), ("00",), (NEW, "--why", "two\nlines")):
        shell.run("admin", "stop", *words, code=2)
    (shell.home / "stop.txt").write_text("nonsense\n", encoding="utf-8")
    assert "line 1: a card id" in shell.run("tap", "alice", "5", code=2).stderr
