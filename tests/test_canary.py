"""The canary itself: it sings when a key gets out, wherever that is; and no object shows a key by its repr."""

import gc
import logging
from pathlib import Path

import pytest

from canary import Canary, Handler, leaks
from cardkit import MASTERS, Customer, Shop
from joren.apdu import CLA_JOREN, Command, Ins, Key
from joren.host import Masters
from joren.host.vault_file import MemoryVault
from joren.simulator.image import image_of, save_image
from support import Counter, free_of_pin

KEY = bytes(range(0xA0, 0xB0))


@pytest.fixture
def bird() -> Canary:
    canary = Canary()
    canary.key(KEY)
    return canary


@pytest.mark.parametrize(
    "data",
    [KEY, b"x" + KEY + b"y", KEY.hex().encode(), b'{"key": "0' + KEY.hex().upper().encode() + b'1"}', KEY + bytes(8)],
    ids=["bytes", "bytes in bytes", "lower case", "within other digits", "beginning of a longer key"],
)
def test_a_key_is_found(data: bytes) -> None:
    assert leaks(data, {KEY}) == {KEY}


def test_half_a_key_and_other_bytes_are_none() -> None:
    assert leaks(KEY[:15] + b"\x00" + KEY[1:].hex().encode() + bytes(40), {KEY}) == set()


def test_it_sings_for_output_logs_and_files(bird: Canary, tmp_path: Path) -> None:
    assert bird.look(tmp_path) == []
    bird.left.append(f"key={KEY.hex()}")
    assert bird.look(tmp_path) == ["output, log, exception or trace"]
    Handler(bird).emit(logging.makeLogRecord({"msg": "key %s", "args": (KEY.hex(),)}))
    assert bird.look(None) == ["output, log, exception or trace"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "till.sqlite").write_bytes(b"..." + KEY)
    assert bird.look(tmp_path) == ["deep/till.sqlite"]
    (tmp_path / "deep" / "till.sqlite").unlink()


def test_it_knows_every_key_of_a_run(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What this very suite makes: masters, derived keys, keys on chips."""
    plugin = request.config.pluginmanager.get_plugin("joren-canary")
    assert plugin is not None
    keys: set[bytes] = plugin.canary.keys
    vault, customer = MemoryVault.create(), Customer(card_id=bytes(range(8)))
    storage, group = Key(bytes(range(16, 32))), Masters(vault).group_master("till", 1)
    assert {vault.key("till", 1).reveal(), group.reveal(), storage.reveal(), *(key.reveal() for key in customer.keys.values())} <= keys
    bird = Canary()
    bird.keys = keys
    save_image(customer.chip, tmp_path / "sealed.json", storage)
    assert bird.look(tmp_path) == []
    clear = str(image_of(customer.chip, with_secrets=True))
    assert len(leaks(clear.encode(), keys)) == 5


def test_no_object_shows_a_key_by_its_repr(request: pytest.FixtureRequest) -> None:
    """All objects of joren that are alive while cards and tills work."""
    plugin = request.config.pluginmanager.get_plugin("joren-canary")
    assert plugin is not None
    counters = [Counter(by_card=False), Counter(by_card=True)]
    customer, masters = free_of_pin(), Masters.create()
    for counter in counters:
        counter.tap(customer, lambda till: till.purchase("S", 100, 1_000))
    stored = Command(CLA_JOREN, Ins.STORE_DATA, 0x88, 0, Shop().blocks()[1])
    alive = [one for one in gc.get_objects() if str(type(one).__module__).startswith("joren.")]
    assert any(isinstance(one, Key) for one in (*MASTERS.values(), masters.group_master("load", 1)))
    shown = "\n".join(map(repr, (*alive, *counters, customer, masters, stored)))
    assert leaks(shown.encode(), plugin.canary.keys) == set()
    assert len(alive) > 100
