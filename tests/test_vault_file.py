"""The development vault: keys in a file, whole or not at all, for their owner alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joren.apdu import Key
from joren.host import HostError
from joren.host.vault import MASTER_NAMES
from joren.host.vault_file import FileVault

KEY = Key(bytes(range(0x30, 0x50)), "till", 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def everything(vault: FileVault) -> list[Key | bytes]:
    keys: list[Key | bytes] = [vault.key(name, version) for name in MASTER_NAMES for version in vault.versions(name)]
    return [*keys, vault.storage, vault.public_key]


def test_keys_in_a_file(path: Path) -> None:
    vault = FileVault.create_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Never use it for real cards" in path.read_text()
    assert everything(FileVault.load_file(path)) == everything(vault)
    assert len(everything(vault)) == len(MASTER_NAMES) + 2
    with pytest.raises(HostError, match="File exists; nothing was written"):
        FileVault.create_file(path)
    assert everything(FileVault.load_file(path)) == everything(vault)


def test_every_change_is_in_the_file_at_once(path: Path) -> None:
    vault = FileVault.create_file(path)
    path.with_name("keys.json.new").write_text("left by one that was killed")
    vault.put("till", 2, KEY)
    vault.generate("load", 2, 32)
    vault.remove("shop", 1)
    read = FileVault.load_file(path)
    assert (read.versions("till"), read.key("till", 2), read.size("load", 2)) == ((1, 2), KEY, 32)
    with pytest.raises(HostError, match="master shop: not in the vault"):
        read.versions("shop")
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in path.parent.iterdir()) == ["keys.json"]


def test_a_change_that_can_not_be_written_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = FileVault.create_file(path)
    before = path.read_bytes(), everything(vault)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    changes: list[Callable[[], object]] = [
        lambda: vault.put("till", 2, KEY),
        lambda: vault.generate("load", 2),
        lambda: vault.remove("shop", 1),
    ]
    for change in changes:
        with pytest.raises(HostError, match="No space left on device; nothing was changed"):
            change()
        assert (path.read_bytes(), everything(vault)) == before
    with pytest.raises(HostError, match="No space left on device; nothing was written"):
        FileVault.create_file(path.with_name("other.json"))
    assert sorted(each.name for each in path.parent.iterdir()) == ["keys.json"]


def test_a_workspace_whose_masters_are_elsewhere_has_its_storage_key_alone(path: Path) -> None:
    storage = FileVault.create_file(path, masters=False).storage
    read = FileVault.load_file(path)
    assert read.storage == storage
    with pytest.raises(HostError, match=r"master till: .*keys.json has no master at all; name the token that has them \(--vault\)"):
        read.versions("till")
    with pytest.raises(HostError, match="signing key: there is none"):
        read.sign(b"")
    assert (read.make_signing_key(), read.make_signing_key()) == (True, False)
    assert FileVault.load_file(path).public_key == read.public_key


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        table = json.loads(text)
        change(table)
        return json.dumps(table)

    return apply


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-5], "no JSON"),
        (changed(lambda table: table.update(version=3)), "of version 2 expected"),
        (changed(lambda table: table.update(version=1)), "version 1 came, of an earlier joren.*make cards anew"),
        (lambda _text: "[]", "another kind of file"),
        (changed(lambda table: table.pop("storage")), "a key is missing or damaged"),
        (changed(lambda table: table.update(masters=[])), "a key is missing or damaged"),
        (changed(lambda table: table["masters"].update({"no name": {"1": "00" * 16}})), "a key is missing or damaged"),
        (changed(lambda table: table["masters"].update(till={"0": "00" * 16})), "a key is missing or damaged"),
        (changed(lambda table: table["masters"].update(till={"1": "00" * 15})), "a key is missing or damaged"),
        (changed(lambda table: table["masters"].update(till={"1": "00" * 24})), "a key is missing or damaged"),
        (changed(lambda table: table.update(signing=table["signing"][:-2])), "a key is missing or damaged"),
        (changed(lambda table: table.update(signing="00")), "a key is missing or damaged"),
    ],
)
def test_a_key_file_that_can_not_be_used(path: Path, change: Callable[[str], str], message: str) -> None:
    vault = FileVault.create_file(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(HostError, match=message) as caught:
        FileVault.load_file(path)
    assert vault.key("load", 1).reveal().hex().upper() not in str(caught.value)


def test_a_key_file_that_others_may_read_or_that_is_not_there(path: Path) -> None:
    with pytest.raises(HostError, match="No such file"):
        FileVault.load_file(path)
    FileVault.create_file(path)
    path.chmod(0o640)
    with pytest.raises(HostError, match=r"others may read it \(mode 640\); chmod 600 it"):
        FileVault.load_file(path)
