"""joren till: the token file, what can not be started, cards in simulated readers, a till with a shop card."""

import asyncio
import fcntl
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakescard import FakeScard
from joren.cli import main
from joren.commands.counter_readers import Counter, CounterReader, Hold
from joren.commands.till_service import address_path, reader_names, till_stations, token_path
from joren.commands.workspace import SHOPS, Workspace
from joren.host import HostError
from joren.host.service.calls import CALLS
from joren.host.service.desk import Desk, Session
from joren.host.service.fields import check
from joren.host.service.secret import Token
from joren.host.service.server import TillService
from joren.host.service.station import Station
from joren.simulator.image import load_image


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "home")
    for words in (["card", "new", "alice"], ["card", "new", "bob"], ["shop", "new", "bakery"]):
        assert joren(made, *words).exit_code == 0
    return made


def joren(workspace: Workspace, *words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(workspace.home), *words])


def test_the_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    first, second = (json.loads(joren(workspace, "till", "token", "--json").stdout) for _ in range(2))
    assert (first["format"], first["made"], second["made"]) == ("joren-till-token", True, False)
    path = token_path(workspace)
    text = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(text) == 64
    token = Token.load(path)
    assert token.fits(text)
    assert not token.fits(text[:-1])
    assert not token.fits("ü")
    assert text not in repr(token)
    assert text not in joren(workspace, "till", "token").output


def test_a_token_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(HostError, match="make it with: joren till token"):
        Token.load(path)
    for text in ("", "short", "x" * 300, "two words " * 4, "\u00fc" * 40):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        with pytest.raises(HostError, match="32 to 256 characters"):
            Token.load(path)
    path.write_text("x" * 64)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(HostError, match="chmod 600"):
            Token.load(path)
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    for other, reason in ((link, "a file of your own"), (tmp_path, "others can"), (pipe, "others can")):
        with pytest.raises(HostError, match=reason):
            Token.load(other)
    assert not Token.create(link)


BAD_STARTS = [
    (["--readers", "sim:left"], "make it with: joren till token"),
    (["--readers", "left"], "sim:NAME"),
    (["--readers", "sim:"], "sim:NAME"),
    (["--readers", "sim:a,a"], "sim:NAME"),
    (["--readers", "sim: a"], "sim:NAME"),
    (["--readers", "sim:a,b", "--shop-card", "bakery"], "serves one reader"),
    (["--readers", "sim:a,b", "--terminal", "255"], "go beyond 255"),
]


def test_what_can_not_be_started_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "home")
    for words, reason in BAD_STARTS:
        result = joren(workspace, "till", "serve", "--port", "0", *words)
        assert (result.exit_code, reason in result.stderr) == (2, True), (words, result.output)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    result = joren(workspace, "till", "serve")
    assert (result.exit_code, "pip install 'joren[service]'" in result.stderr) == (2, True)


def test_readers_of_pcsc_have_to_be_there(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joren.host.pcsc_api.load_scard", lambda: FakeScard("Desk 00 00"))
    joren(workspace, "till", "token")
    result = joren(workspace, "till", "serve", "--readers", "pcsc:none", "--port", "0")
    assert (result.exit_code, "Desk 00 00" in result.stderr) == (6, True), result.output
    both = joren(workspace, "till", "serve", "--readers", "pcsc:0", "--shop-card", "pcsc:desk*", "--port", "0")
    assert (both.exit_code, "one reader came for both" in both.stderr) == (2, True), both.output


def test_readers_of_pcsc_may_be_listed_with_and_without_the_prefix() -> None:
    assert reader_names("pcsc:ACS*,2") == reader_names("pcsc:ACS*,pcsc:2") == ("pcsc", ["ACS*", "2"])


def test_with_a_shop_card_in_a_reader_of_pcsc_others_may_work_in_the_folder(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    scard = FakeScard("Desk 00 00")
    scard["Desk 00 00"].insert(load_image(workspace.path(SHOPS, "bakery"), workspace.storage))
    monkeypatch.setattr("joren.host.pcsc_api.load_scard", lambda: scard)
    with till_stations(Hold(workspace), [CounterReader("left")], "pcsc:0", 1), (workspace.home / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_card_in_a_reader_of_pcsc_goes_into_no_simulated_one(workspace: Workspace) -> None:
    with pytest.raises(HostError, match="one of the folder expected"):
        Counter(Hold(workspace), [CounterReader("left")]).tap("left", "pcsc:0", None)


def test_orders_to_a_service_that_does_not_run_say_so(workspace: Workspace) -> None:
    result = joren(workspace, "till", "readers")
    assert (result.exit_code, "start one with: joren till serve" in result.stderr) == (2, True)
    joren(workspace, "till", "token")
    address_path(workspace).write_text("http://127.0.0.1:9\n")
    result = joren(workspace, "till", "tap", "left", "alice")
    assert (result.exit_code, "does not answer" in result.stderr) == (2, True)


def test_cards_in_simulated_readers(workspace: Workspace) -> None:
    left, right = CounterReader("left"), CounterReader("right")
    counter = Counter(Hold(workspace), [left, right])
    with pytest.raises(HostError, match="no card is in"):
        counter.remove("left")
    with pytest.raises(HostError, match="none of this name"):
        counter.tap("left", "carol", None)
    with pytest.raises(HostError, match="as 2:after"):
        counter.tap("left", "alice", "twice")
    counter.tap("left", "alice", None)
    for reader, card, reason in (("left", "bob", "alice is in"), ("right", "alice", "is in reader left")):
        with pytest.raises(HostError, match=reason):
            counter.tap(reader, card, None)
    assert left.wait_card(lambda: True) is None
    link = left.wait_card(lambda: False)
    assert link is not None
    assert not left.card_left()
    counter.tap("right", "bob", "1:after")
    counter.close()
    assert left.card_left()
    left.release()
    with pytest.raises(HostError, match="no card is in"):
        counter.remove("left")
    assert joren(workspace, "card", "show", "alice").exit_code == 0, "nobody holds the folder any more"


def test_a_till_with_a_shop_card(workspace: Workspace) -> None:
    reader = CounterReader("left")
    hold = Hold(workspace)
    counter = Counter(hold, [reader])

    async def day(stations: list[Station]) -> Any:
        service = TillService(Desk(stations, workspace.product.hour_of, counter), Token("x" * 64))
        await service.start()
        try:
            given = {"reference": "S-1", "amount_minor": 1250, "time": "2026-03-02T08:10"}
            selling = asyncio.create_task(service.desk.call("purchase", check(CALLS["purchase"].fields, given), Session()))
            await asyncio.to_thread(counter.tap, "left", "alice", None)
            return await selling
        finally:
            assert await service.stop()

    with till_stations(hold, [reader], "bakery", 1) as stations:
        assert (workspace.home / "tills" / "1-2-1.sqlite").exists()
        assert asyncio.run(day(stations))["points"] == 12
        counter.close()
    shown = json.loads(joren(workspace, "shop", "show", "bakery", "--json").stdout)
    assert (shown["totals"]["points_granted"], shown["pending"]) == (12, [])
