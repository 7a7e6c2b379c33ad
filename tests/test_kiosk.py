"""The kiosk on a pseudo-terminal, screen by screen, as docs/kiosk.md shows it; and every way in which a visit ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.cli import main
from terminalkit import session
from test_pages import BLOCK, commands, ran

PAGE = (Path(__file__).parent.parent / "docs" / "kiosk.md").read_text(encoding="utf-8")
SCREENS_OF_A_VISIT = 5
FULL_WIDTH = 0xFEE0
NOW = ("--time", "2026-03-12")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With alice's card as the page makes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOREN_HOME", raising=False)
    blocks = BLOCK.findall(PAGE)
    for _, file, content in blocks:
        if file:
            (tmp_path / file).write_text(content, encoding="utf-8")
    first = next(content for language, file, content in blocks if language == "console")
    for command, _ in commands(first):
        ran(command, monkeypatch, [])
    return tmp_path


def screens() -> Iterator[str]:
    """Those of the page, in order."""
    return (content.rstrip("\n") for language, file, content in BLOCK.findall(PAGE) if language == "text" and not file)


def test_a_visit_as_the_page_shows_it(folder: Path) -> None:
    shown = screens()
    with session(folder, "kiosk", "alice", *NOW) as visit:
        assert visit.wait("Your PIN:") == next(shown)
        assert visit.hides()
        visit.enter("4712")
        visit.wait("That was another PIN. Tries left: 2", "Your PIN:")
        visit.enter("47")
        visit.wait("A PIN has 4 to 8 digits.")
        visit.enter("4711".translate({digit: digit + FULL_WIDTH for digit in range(0x30, 0x3A)}))
        assert visit.wait("Last used", ">") == next(shown)
        assert not visit.hides()
        visit.enter("1")
        assert visit.wait("1 to 5 of 5", ">") == next(shown)
        visit.enter("9")
        assert visit.wait("全 5 件", ">") == next(shown)
        visit.enter("1")
        assert visit.wait("最終ご利用", ">") == next(shown)
        visit.enter("7")
        visit.wait("下の番号から選んでください。")
        visit.enter("0")
        visit.wait("カードをお取りください")
        visit.enter("")
        assert visit.ended() == 0
        assert visit.screen.text == ""
        assert visit.screen.scrolled == []


def test_a_blocked_pin_as_the_page_shows_it(folder: Path) -> None:
    shown = list(screens())[SCREENS_OF_A_VISIT:]
    with session(folder, "kiosk", "alice", *NOW) as visit:
        for left in (2, 1):
            visit.wait("Your PIN:")
            visit.enter("1111")
            visit.wait(f"Tries left: {left}")
        visit.enter("1111")
        assert visit.wait("PIN blocked", ">") == shown[0]
        visit.enter("1")
        assert visit.wait("PUK:") == shown[1]
        assert len(shown) == 2
        visit.enter("12345679")
        visit.wait("New PIN:")
        visit.enter("2580")
        visit.wait("once more:")
        visit.enter("2580")
        visit.wait("That was another PUK. Tries left: 9", "PUK:")
        visit.enter("12345678")
        visit.wait("New PIN:")
        visit.enter("2580")
        visit.wait("once more:")
        visit.enter("2580")
        visit.wait("The PIN is changed.")
        visit.enter("")
        visit.wait("Your PIN:")
        visit.enter("2580")
        visit.wait("Last used")
        visit.process.send_signal(signal.SIGINT)
        assert visit.ended() == 0
        assert visit.screen.text == ""


def test_a_dumb_terminal_and_no_card_named(folder: Path) -> None:
    """No escape sequence; the last screen is pushed out of sight. One card after the other, until the end of input."""
    with session(folder, "kiosk", *NOW, kind="dumb") as visit:
        visit.wait("Which card is put in?", "1  alice", ">")
        visit.enter("bob")
        visit.wait("Please enter one of the digits below.")
        for _ in range(2):
            visit.enter("1")
            visit.wait("Your PIN:")
            assert "Which card" not in visit.screen.text
            visit.enter("4711")
            visit.wait("Last used", ">")
            visit.enter("0")
            visit.wait("Please take your card.")
            visit.enter("")
            assert "Last used" not in visit.wait("Which card is put in?")
        visit.enter("\x04")
        assert visit.ended() == 0
        assert visit.screen.text == ""


def test_whoever_goes_away_is_logged_out(folder: Path) -> None:
    with session(folder, "kiosk", "alice", *NOW, "--timeout", "1") as visit:
        visit.wait("Nothing was entered for a while. You are logged out.")
        visit.enter("")
        assert visit.ended() == 0
    with session(folder, "kiosk", "alice", *NOW, "--timeout", "600") as visit:
        visit.wait("Your PIN:")
        visit.enter("4711")
        visit.wait("Last used", ">")
        (folder / ".joren" / "cards" / "alice.json").rename(folder / "pulled.json")
        assert "Last used" not in visit.wait("The card was taken out. You are logged out.")
        visit.enter("")
        assert visit.ended() == 0
        assert visit.screen.text == ""


def test_sigterm_leaves_nothing_behind(folder: Path) -> None:
    with session(folder, "kiosk", "alice", *NOW) as visit:
        visit.wait("Your PIN:")
        assert visit.hides()
        visit.process.send_signal(signal.SIGTERM)
        assert visit.ended() == 128 + signal.SIGTERM
        assert not visit.hides()
        assert visit.screen.text == ""


def test_a_terminal_without_japanese_is_told_so(folder: Path) -> None:
    with session(folder, "kiosk", "alice", "--language", "ja", environment={"PYTHONIOENCODING": "latin-1"}) as visit:
        visit.wait("--language ja: a terminal with UTF-8 expected, iso8859-1 came")
        assert visit.ended() == 2
    with session(folder, "kiosk", "alice", environment={"PYTHONIOENCODING": "latin-1"}) as visit:
        assert "9 " not in visit.wait("0 End", "Your PIN:")
        visit.enter("9")
        visit.wait("A PIN has 4 to 8 digits.")


def test_lines_from_a_pipe_are_taken_as_they_come(folder: Path) -> None:
    """For scripts: one card after the other, to the end of the pipe; there is no terminal that could hide or clear anything."""
    command = [sys.executable, "-m", "joren.cli", "kiosk", *NOW]
    lines = "1\n4711\n1\n0\n\nalice\n4711\n0\n\n"
    told = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, cwd=folder).stdout
    assert "\x1b" not in told
    assert [told.count(text) for text in ("Which card", "Last used", "1 to 5 of 5", "Please take your card.")] == [3, 2, 1, 2]


def joren(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_one_screen_for_scripts(folder: Path) -> None:
    told = json.loads(joren("kiosk", "alice", "--once", "log", "--pin-file", "pin.txt", *NOW, "--json"))
    assert (told["format"], told["screen"], told["language"]) == ("joren-kiosk", "log", "en")
    assert [(one["kind"], one["points"], one["purse_minor"]) for one in told["transactions"]] == [
        ("redeem", -20, 3_750),
        ("pay and earn", 15, 3_750),
        ("load", 0, 5_000),
        ("purchase", 48, 0),
        ("purchase", 30, 0),
    ]
    assert "the PIN of the card expected, in --pin-file" in joren("kiosk", "alice", "--once", "log", *NOW, code=2)
    (folder / "wrong.txt").write_text("1111\n")
    assert json.loads(joren("kiosk", "alice", "--once", "log", "--pin-file", "wrong.txt", "--json", code=3))["sw"] == "63C2"
    assert "a CARD expected" in joren("kiosk", "--once", "card", code=2)
    assert "go with --once" in joren("kiosk", "alice", "--pin-file", "pin.txt", code=2)
    assert "a terminal, or lines from a pipe, expected" in joren("kiosk", "alice", code=2)
    assert "none of this name" in joren("kiosk", "bob", "--once", "card", code=2)
    assert "2026-01-31" in joren("kiosk", "alice", "--once", "card", "--time", "soon", code=2)
