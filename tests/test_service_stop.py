"""A service that is stopped or killed in the middle of a sale: it ends cleanly, and the sale is settled next time."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from joren.cli import main
from servicerun import CLIENT, ROOT, SALE, ended, goes_on, joren, made_home, reached, selling, service, waits_for_card


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return made_home(tmp_path)


def settled(home: Path) -> dict[str, Any]:
    """The next service, and the same sale again: its result."""
    with service(home) as process:
        joren(home, "till", "tap", "left", "alice")
        sale = CLIENT.TillClient.find(home).call("POST", "/v1/purchase", SALE)
        joren(home, "till", "remove", "left")
        process.send_signal(signal.SIGTERM)
        assert ended(process) == (0, "")
    log = joren(home, "card", "log", "alice")
    assert [entry["points"] for entry in log["transactions"]] == [12], "granted once"
    assert isinstance(sale, dict)
    return sale


def test_sigterm_lets_the_sale_under_way_end(home: Path) -> None:
    with service(home, slow_at=2) as process, ThreadPoolExecutor() as pool:
        sale = selling(home, pool)
        reached(process)
        process.send_signal(signal.SIGTERM)
        goes_on(process)
        told = sale.result(20)
        assert told["points"] == 12
        assert ended(process) == (0, "")
    assert not (home / "till" / "address").exists()
    assert [entry["points"] for entry in joren(home, "card", "log", "alice")["transactions"]] == [12]


def test_sigterm_does_not_wait_for_ever_for_a_card(home: Path) -> None:
    with service(home, slow_at=2) as process, ThreadPoolExecutor() as pool:
        sale = selling(home, pool)
        reached(process)
        process.send_signal(signal.SIGTERM)
        with pytest.raises((OSError, CLIENT.Refused)):
            sale.result(20)
        code, said = ended(process)
        assert code == 0
        assert "a reader did not answer" in said
    sale_again = settled(home)
    assert (sale_again["points"], sale_again["recovered"]) == (12, True)


def test_a_service_that_is_killed_in_the_middle_settles_next_time(home: Path) -> None:
    for number in (1, 2):
        with service(home, slow_at=number) as process, ThreadPoolExecutor() as pool:
            sale = selling(home, pool)
            reached(process)
            process.kill()
            with pytest.raises(OSError, match=r"."):
                sale.result(20)
    assert settled(home)["points"] == 12


def test_sigterm_ends_what_waits_for_a_card(home: Path) -> None:
    with service(home) as process, ThreadPoolExecutor() as pool:
        client = CLIENT.TillClient.find(home)
        sale = pool.submit(client.call, "POST", "/v1/purchase", SALE)
        events = pool.submit(list, client.events())
        waits_for_card(client)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(CLIENT.Refused, match="stopping"):
            sale.result(20)
        assert events.result(20) == []
        assert ended(process) == (0, "")


def test_a_client_that_is_killed_in_the_middle_of_a_tap(home: Path) -> None:
    with service(home, slow_at=2) as process:
        words = ["post", "/v1/purchase", "reference=S-1", "amount_minor:=1250", "time=2026-03-02T08:10"]
        command = [sys.executable, str(ROOT / "examples" / "till_client.py"), *words]
        found = CLIENT.TillClient.find(home)
        with subprocess.Popen(command, env={"JOREN_HOME": str(home)}) as client:
            waits_for_card(found)
            joren(home, "till", "tap", "left", "alice")
            reached(process)
            client.kill()
        goes_on(process)
        while (told := found.call("GET", "/v1/sales/S-1"))["state"] == "in_progress":
            pass
        assert (told["state"], told["sale"]["points"]) == ("committed", 12)


def test_a_port_that_is_taken_is_told(home: Path) -> None:
    with service(home):
        port = (home / "till" / "address").read_text().rpartition(":")[2].strip()
        result = CliRunner().invoke(main, ["--home", str(home), "till", "serve", "--port", port, "--terminal", "9"])
        assert result.exit_code == 2
        assert f"port {port} of 127.0.0.1 is taken" in result.stderr
        result = CliRunner().invoke(main, ["--home", str(home), "till", "serve", "--port", "0"])
        assert result.exit_code == 6, "its journal is in use"
        assert "journal" in result.stderr
