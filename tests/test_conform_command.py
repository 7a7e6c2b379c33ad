"""joren conform: run, list, explain, on every kind of target; exit codes and files."""

import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from conformkit import around
from joren.applet import personalize, pin
from joren.cli import main
from joren.commands.conform_targets import TARGETS
from joren.simulator.cardserver import CardServer, listen, serve

ONE = ("--only", "trx-purchase")


def joren(*words: object) -> Result:
    return CliRunner().invoke(main, ["conform", *map(str, words)])


def fields(result: Result) -> Any:
    return json.loads(result.output)


def test_a_run_tells_what_passed(tmp_path: Path) -> None:
    junit, html = tmp_path / "results.xml", tmp_path / "report.html"
    result = joren("run", *ONE, "--junit", junit, "--html", html)
    assert (result.exit_code, "1 passed, 0 failed, 0 skipped" in result.output) == (0, True)
    assert ElementTree.fromstring(junit.read_bytes()).get("tests") == "1"
    assert "trx-purchase" in html.read_text(encoding="utf-8")


def test_a_run_tells_what_failed_and_what_was_skipped(tmp_path: Path) -> None:
    wrong = around(pin.Pin, "forget", lambda _old, _self: None)
    html = tmp_path / "report.html"
    with wrong():
        result = joren("run", "--only", "REQ-PIN-1", "--only", "chn-none", "--html", html)
        told = fields(joren("run", "--only", "REQ-PIN-1", "--json"))
    assert result.exit_code == 1
    assert "failed  pin-verify: VERIFY counts down" in result.output
    assert "skipped 1: needs one-channel: chn-none" in result.output
    assert "00200081" in html.read_text(encoding="utf-8")
    assert (told["format"], told["total"], told["failed"]) == ("joren-conform", len(told["vectors"]), 1)
    failed = next(one for one in told["vectors"] if one["verdict"] == "failed")
    assert failed["trace"][-1]["response"] == "9000"
    assert "REQ-PIN-1" in failed["covers"]


def test_a_run_of_nothing_is_no_success() -> None:
    result = joren("run", "--only", "chn-none")
    assert (result.exit_code, "0 passed, 0 failed, 1 skipped" in result.output) == (1, True)


def test_many_skipped_vectors_are_counted() -> None:
    result = joren("run", "--only", "REQ-PER-1", "--only", "REQ-PER-2", "--only", "REQ-PER-3", "--way", "manager")
    assert result.exit_code == 0
    assert "more" in result.output


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("run", "--only", "REQ-NONE"), 2, "no vector has REQ-NONE"),
        (("run", "--target", "abacus"), 2, "--target: model"),
        (("run", "--target", "model:x"), 2, "model expected, model:x came"),
        (("run", "--target", "tcp:localhost"), 2, "tcp:HOST:PORT expected"),
        (("run", "--target", "tcp:localhost:0"), 2, "tcp:HOST:PORT expected"),
        (("run", "--target", "tcp:localhost:99999"), 2, "tcp:HOST:PORT expected"),
        (("run", "--target", "exec:"), 2, "no program came"),
        (("run", "--target", 'exec:"'), 2, "exec:PROGRAM ARGUMENTS expected"),
        (("run", "--target", "exec:/no/such/program"), 2, "can not be run"),
        (("run", "--profile", "abacus"), 2, "card profile"),
        (("explain", "REQ-NONE"), 2, "no vector has REQ-NONE"),
        (("run", "--vectors", "."), 6, "no vectors are there"),
        (("run", *ONE, "--junit", "no/such/folder/x.xml"), 6, "No such file"),
    ],
)
def test_what_can_not_be_run_is_told(
    words: tuple[str, ...], exit_code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = joren(*words)
    assert (result.exit_code, message in result.output) == (exit_code, True), result.output


def test_a_card_behind_tcp() -> None:
    listening = listen()
    port = listening.getsockname()[1]
    thread = threading.Thread(target=serve, args=(CardServer(), listening))
    thread.start()
    try:
        told = fields(joren("run", "--target", f"tcp:127.0.0.1:{port}", "--only", "REQ-PIN-4", "--json"))
        assert (told["failed"], told["skipped"], told["name"]) == (0, 0, "joren model")
        result = joren("run", "--target", f"tcp:127.0.0.1:{port}", "--profile", "abacus", *ONE)
        assert (result.exit_code, "not_supported" in result.output) == (2, True)
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
    assert joren("run", "--target", f"tcp:127.0.0.1:{port}", *ONE).exit_code == 5


def test_a_card_that_is_a_program(tmp_path: Path) -> None:
    program = tmp_path / "card.py"
    program.write_text(
        "import sys\nfrom joren.simulator.cardserver import CardServer, serve_stream\n"
        "serve_stream(CardServer(name='own card'), sys.stdin.buffer, sys.stdout.buffer)\n",
        encoding="utf-8",
    )
    result = joren("run", "--target", f"exec:{sys.executable} {program}", *ONE)
    assert (result.exit_code, "own card: 1 passed" in result.output) == (0, True)
    program.write_text("print('hello')\n", encoding="utf-8")
    assert joren("run", "--target", f"exec:{sys.executable} {program}", *ONE).exit_code == 4
    program.write_text("import time, sys\nsys.stdin.readline()\ntime.sleep(60)\n", encoding="utf-8")
    result = joren("run", "--target", f"exec:{sys.executable} {program}", "--timeout", "0.2", *ONE)
    assert (result.exit_code, "no answer within 0.2 s" in result.output) == (5, True)


def test_vectors_of_ones_own(tmp_path: Path) -> None:
    vector: dict[str, Any] = {
        "id": "own",
        "title": "mine",
        "why": "because",
        "covers": ["REQ-SEL-1"],
        "class": "symbolic",
        "fixture": "shop",
    }
    vector |= {"class": "symbolic", "fixture": "shop", "steps": [{"do": "shop-begin"}]}
    (tmp_path / "own.json").write_text(json.dumps({"format": "joren-vectors", "version": 1, "vectors": [vector]}), encoding="utf-8")
    assert [one["id"] for one in fields(joren("list", "--vectors", tmp_path, "--json"))["vectors"]] == ["own"]
    assert "1 passed" in joren("run", "--vectors", tmp_path).output
    (tmp_path / "own.json").write_text("{", encoding="utf-8")
    result = joren("run", "--vectors", tmp_path)
    assert (result.exit_code, "own.json: damaged" in result.output) == (6, True)


def test_vectors_are_listed_and_explained() -> None:
    listed = joren("list", "--only", "REQ-PIN-2")
    assert listed.exit_code == 0
    assert "pin-change" in listed.output
    assert {one["class"] for one in fields(joren("list", "--json"))["vectors"]} == {"static", "bytes", "symbolic"}
    told = fields(joren("explain", "REQ-PIN-4", "--json"))
    assert told["format"] == "joren-conform-explain"
    assert "pin-torn-wrong" in [one["id"] for one in told["vectors"]]
    for name, words in (
        ("pin-torn-wrong", "torn at each write in turn: new or old"),
        ("pin-torn-right", "torn at write 2: between"),
        ("mac-order", "MAC(till; one bit wrong at 38 of ($order_message))"),
        ("man-session", "a channel at level 01 with the key set manager"),
        ("man-keys", "sealed(manager; @manager-enc)"),
        ("prove-unknown", "23 times:"),
        ("void-refused", "afterwards all reads as before:"),
        ("pin-verified-ends", "power off and on"),
        ("com-order-of-checks", "(32 bytes)"),
        ("chip-malformed", "00CA01"),
    ):
        assert words in joren("explain", name).output, name


def test_kinds_of_targets_are_told_in_the_help() -> None:
    assert all(kind in joren("run", "--help").output for kind in TARGETS)


def test_no_key_is_in_a_report(tmp_path: Path) -> None:
    """Where personalization is what failed, its commands are in the trace, and their data are starred out."""
    with around(personalize, "is_pin", lambda _old, _block: True)():
        result = joren("run", "--only", "REQ-PER-2", "--html", tmp_path / "page.html", "--json")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (result.exit_code, "80E2" in page, "**" in page) == (1, True, True)
