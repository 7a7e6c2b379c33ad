"""A till service in a process of its own, for tests that stop it, kill it, and talk to it by the example clients."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from joren.cli import main

__all__ = ["CLIENT", "ROOT", "SALE", "ended", "goes_on", "joren", "made_home", "reached", "selling", "service", "waits_for_card"]

ROOT = Path(__file__).parent.parent
NEVER = 1_000_000


def example() -> Any:
    """examples/till_client.py, as a module."""
    spec = spec_from_file_location("till_client", ROOT / "examples" / "till_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIENT = example()
SALE = {"reference": "S-1", "amount_minor": 1250, "time": "2026-03-02T08:10"}


def joren(home: Path, *words: str) -> dict[str, Any]:
    """What a command answers with --json."""
    result = CliRunner().invoke(main, ["--home", str(home), *words, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert isinstance(told, dict)
    return told


def made_home(tmp_path: Path) -> Path:
    """A folder with a card and a token."""
    folder = tmp_path / "home"
    joren(folder, "card", "new", "alice", "--id", "00000000000A11CE")
    joren(folder, "till", "token")
    return folder


@contextmanager
def service(home: Path, slow_at: int = NEVER) -> Iterator[subprocess.Popen[str]]:
    """A service in a process of its own, which is gone in the end."""
    command = [sys.executable, str(ROOT / "tests" / "servicekill.py"), str(home), str(slow_at)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("till service on http://127.0.0.1:"), (line, process.stderr)
            yield process
        finally:
            process.kill()


def waits_for_card(client: Any) -> None:
    """Until the sale waits for its card."""
    while True:
        try:
            assert client.call("GET", "/v1/sales/S-1")["state"] == "waiting_for_card"
            return
        except CLIENT.Refused:  # it is not known yet
            continue


def selling(home: Path, pool: ThreadPoolExecutor) -> Any:
    """The sale, under way, with the card in the reader; what will come of it."""
    client = CLIENT.TillClient.find(home)
    sale = pool.submit(client.call, "POST", "/v1/purchase", SALE)
    waits_for_card(client)
    joren(home, "till", "tap", "left", "alice")
    return sale


def reached(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "reached\n"


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what stands on its standard error."""
    assert process.stderr is not None
    return process.wait(20), process.stderr.read()


def goes_on(process: subprocess.Popen[str]) -> None:
    """The card answers."""
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()
