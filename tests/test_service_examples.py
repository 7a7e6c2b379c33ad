"""The example clients, in Python and in JavaScript, as programs against a service that runs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicerun import joren, made_home, service

EXAMPLES = Path(__file__).parent.parent / "examples"
NODE = shutil.which("node") or "node is not installed; on Debian: apt install nodejs"
CLIENTS = {"python": [sys.executable, str(EXAMPLES / "till_client.py")], "javascript": [NODE, str(EXAMPLES / "till_client.mjs")]}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    home = made_home(tmp_path)
    with service(home):
        yield home


def told(home: Path, command: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "JOREN_HOME": str(home), "NODE_NO_WARNINGS": "1"}
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, env=environment, check=False)


def done(home: Path, command: list[str], *words: str) -> Any:
    result = told(home, command, *words)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def websocket() -> list[str]:
    """Options by which node has WebSocket, before version 22 behind an option; none where it has not."""
    for options in ([], ["--experimental-websocket"]):
        asked = subprocess.run([NODE, *options, "-e", "WebSocket"], capture_output=True, check=False)
        if asked.returncode == 0:
            return [NODE, *options, str(EXAMPLES / "till_client.mjs")]
    return []


def test_the_examples_sell_and_are_told_who_came(running: Path) -> None:
    joren(running, "till", "tap", "left", "alice")
    for number, (name, command) in enumerate(CLIENTS.items(), 1):
        sale = done(running, command, "post", "/v1/purchase", f"reference=S-{name}", "amount_minor:=1000", "time=2026-03-02T08:10")
        assert (sale["reference"], sale["points_balance"]) == (f"S-{name}", 10 * number)
        assert done(running, command, "get", f"/v1/sales/S-{name}")["state"] == "committed"
        assert done(running, command, "events", "1")["card_id"] == "00000000000A11CE"
        refused = told(running, command, "post", "/v1/purchase", "reference=S-9")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("bad_request: amount_minor: missing; money in minor units")
    if websocket():
        sale = done(running, websocket(), "websocket", "purchase", "reference=S-3", "amount_minor:=1000", "time=2026-03-02T08:10")
        assert sale["points_balance"] == 30
        refused = told(running, websocket(), "websocket", "purchase", "reference=S-4")
        assert (refused.returncode, refused.stderr[:13]) == (1, "bad_request: ")
    joren(running, "till", "remove", "left")
    assert done(running, CLIENTS["python"], "get", "/v1/readers")["readers"][0]["card_in"] in (True, False)


def test_the_example_in_python_says_how_it_is_called(running: Path) -> None:
    result = told(running, CLIENTS["python"], "dance")
    assert result.returncode == 1
    assert "till_client.py get /v1/readers" in result.stderr


@pytest.mark.parametrize("name", CLIENTS)
def test_an_example_says_what_to_do_where_nobody_answers(tmp_path: Path, name: str) -> None:
    for address in (None, "http://127.0.0.1:9"):
        if address is not None:
            (tmp_path / "till").mkdir()
            for file, text in (("address", address), ("token", "x" * 64)):
                (tmp_path / "till" / file).write_text(text)
        result = told(tmp_path, CLIENTS[name], "get", "/v1/readers")
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("no answer from the till service (")
        assert result.stderr.endswith("ask the same again, with the same reference\n")
