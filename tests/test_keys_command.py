"""joren keys, as an issuer types it: check values and derivations are told, and never a key."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from joren.apdu import Key, KeyRef
from joren.apdu.diversify import AN10922, EMV, KDF3, VISA2, DesKey
from joren.cli import main
from joren.host import Masters
from joren.host.ceremony import KeyRing, split
from joren.host.masters import GROUPS
from joren.host.vault import CARD_MASTERS
from joren.host.vault_file import FileVault, MemoryVault
from vaultkit import fill, opened, pin_of, root, softhsm

ID = "0102030405060708"
MASTERS = ["till", "shop", "receipt", "load", "admin", "shop_admin", "pin", "manager", "transport"]


class Issuer:
    """joren in a folder of its own. Component files, which hold keys, stand apart from what is searched for keys."""

    def __init__(self, folder: Path, safe: Path) -> None:
        self.home, self.safe = folder / "home", safe

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), "keys", *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words: str) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json").stdout)
        assert told["version"] == 1
        assert isinstance(told, dict)
        return told

    def refused(self, *words: str) -> str:
        return self.run(*words, code=2).stderr

    @property
    def vault(self) -> FileVault:
        return FileVault.load_file(self.home / "keys.json")

    @property
    def masters(self) -> Masters:
        return Masters(self.vault)

    def file(self, name: str, text: str, mode: int = 0o600) -> str:
        path = self.safe / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)

    def components(self, key: Key | DesKey, count: int = 3) -> list[str]:
        parts = split(key, count)
        return [self.file(f"{part.number}.txt", f"{part.key.reveal().hex()}\n{part.check_value.hex()}\n") for part in parts]


@pytest.fixture
def issuer(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    issuer = Issuer(tmp_path, tmp_path_factory.mktemp("safe"))
    issuer.run("check")
    return issuer


def test_check_lists_every_master_with_its_check_value(issuer: Issuer) -> None:
    told = issuer.json("check")
    assert told["format"] == "joren-keys"
    assert (told["vault"], told["missing"]) == (str(issuer.home / "keys.json"), [])
    assert [master["name"] for master in told["masters"]] == [*MASTERS, "storage"]
    vault = issuer.vault
    for master in told["masters"]:
        key = vault.storage if master["name"] == "storage" else vault.key(master["name"], 1)
        assert master == {"name": master["name"], "cipher": "AES-128", "version": 1, "check_value": key.kcv().hex().upper()}
    lines = issuer.run("check").stdout.splitlines()
    assert lines[0].split() == ["master", "cipher", "version", "check", "value"]
    assert lines[1].split() == ["till", "AES-128", "1", vault.key("till", 1).kcv().hex().upper()]
    assert told["signing_key_sha256"] == sha256(vault.public_key).hexdigest().upper()
    assert lines[-1] == f"signing key: P-256, SHA-256 of the public key begins {told['signing_key_sha256'][:16]}"
    assert len(lines) == 12


def test_explain_tells_of_the_keys_that_cards_get(issuer: Issuer) -> None:
    """REQ-KEY-2."""
    told = issuer.json("explain", "--id", ID)
    assert (told["format"], told["scheme"], told["function"], told["data"]) == ("joren-keys-explain", "joren", "AES-CMAC", "0001" + ID)
    keys = {key["label"]: key for key in told["keys"]}
    assert list(keys) == ["till-group", "till", "shop-group", "shop", "receipt", "load-group", "load", "admin"]
    masters, vault = issuer.masters, issuer.vault
    for ref in KeyRef:
        key = keys[label := ref.name.lower()]
        assert key["check_value"] == masters.card_key(ref, 1, bytes.fromhex(ID)).kcv().hex().upper()
        assert key["blocks"] == ["01" + label.encode().hex().upper() + "00" + "0001" + ID + "0080"]
        root = key
        if label in GROUPS:
            root = keys[f"{label}-group"]
            assert root["blocks"] == ["01" + f"{label}-group".encode().hex().upper() + "00" + "0001" + "0080"]
            assert root["check_value"] == key["master_check_value"] == masters.group_master(label, 1).kcv().hex().upper()
        assert (root["master"], root["master_version"]) == (label, 1)
        assert root["master_check_value"] == vault.check_value(label, 1).hex().upper()
    assert issuer.json("explain", "--data", "0001" + ID) == told


def test_explain_in_words(issuer: Issuer) -> None:
    lines = issuer.run("explain", "--id", ID).stdout.splitlines()
    assert lines[1] == f"context 0001{ID}: programme 0001, card {ID}"
    group = issuer.masters.group_master("till", 1).kcv().hex().upper()
    assert lines[2] == f"till-group: AES-128, check value {group}"
    assert lines[3] == f"  master till, AES-128, version 1, check value {issuer.vault.check_value('till', 1).hex().upper()}"
    assert lines[4] == "  AES-CMAC of 01 | 74696C6C2D67726F7570 'till-group' | 00 | 0001 | 0080"
    assert lines[5] == f"till: AES-128, check value {issuer.masters.card_key(KeyRef.TILL, 1, bytes.fromhex(ID)).kcv().hex().upper()}"
    assert lines[6] == f"  master till-group, AES-128, version 1, check value {group}"
    assert lines[7] == f"  AES-CMAC of 01 | 74696C6C 'till' | 00 | 0001{ID} | 0080"


def test_explain_tells_of_a_shop_cards_key(issuer: Issuer) -> None:
    """REQ-KEY-4."""
    (key,) = issuer.json("explain", "--id", "0000000300000009", "--shop-card")["keys"]
    assert (key["label"], key["master"]) == ("shop-admin", "shop_admin")
    assert key["blocks"] == ["01" + b"shop-admin".hex().upper() + "00" + "0001" + "0000000300000009" + "0080"]
    assert key["check_value"] == issuer.masters.shop_admin_key(1, 9, 3).kcv().hex().upper()
    assert "00 00 00 | terminal | shop" in issuer.refused("explain", "--id", ID, "--shop-card")


@pytest.mark.parametrize(("name", "of"), [("visa2", VISA2), ("emv", EMV)])
def test_explain_of_a_3des_scheme(issuer: Issuer, name: str, of: Any) -> None:
    data = bytes.fromhex("00004181116665F5B830")
    told = issuer.json("explain", "--scheme", name, "--data", data.hex())
    master = DesKey(issuer.vault.key("manager", 1).reveal())
    derived = of.derive(master, data)
    assert [key["name"] for key in told["keys"]] == ["ENC", "MAC", "DEK"]
    assert [key["check_value"] for key in told["keys"]] == [key.kcv().hex().upper() for key in (derived.enc, derived.mac, derived.dek)]
    assert {key["master_check_value"] for key in told["keys"]} == {master.kcv().hex().upper()}
    assert {(key["cipher"], key["label"]) for key in told["keys"]} == {("2TDEA", None)}
    assert "3DES-ECB of " + told["keys"][0]["blocks"][0] in issuer.run("explain", "--scheme", name, "--data", data.hex()).stdout


def test_explain_of_the_aes_schemes(issuer: Issuer) -> None:
    master, data = issuer.vault.key("load", 1), bytes.fromhex("0001" + ID)
    told = issuer.json("explain", "--scheme", "kdf3", "--master", "load", "--id", ID)
    assert told["keys"][2]["check_value"] == KDF3.derive(master, data).dek.kcv().hex().upper()
    (key,) = issuer.json("explain", "--scheme", "an10922", "--master", "load", "--data", "04DEADBEEFFEED")["keys"]
    assert key["check_value"] == AN10922.derive(master, bytes.fromhex("04DEADBEEFFEED")).kcv().hex().upper()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--id or --data: one of them expected"),
        (["--id", ID, "--data", ID], "--id or --data: one of them expected"),
        (["--id", "01"], "8 bytes in hexadecimal expected, 1 bytes came"),
        (["--id", "xx"], "8 bytes in hexadecimal expected, 'xx' came"),
        (["--data", "xx"], "--data: bytes in hexadecimal expected, 'xx' came"),
        (["--data", "01"], "joren: 10 bytes of diversification data expected, 1 came"),
        (["--scheme", "visa2", "--data", "01"], "visa2: 10 bytes of diversification data expected, 1 came"),
        (["--scheme", "visa3", "--id", ID], "one of joren, visa2, emv, kdf3, an10922 expected, 'visa3' came"),
        (
            ["--scheme", "emv", "--id", ID, "--master", "x"],
            "--master: one of till, shop, receipt, load, admin, shop_admin, pin, manager, transport expected",
        ),
        (["--id", ID, "--master", "load"], "has its own master; leave it out"),
        (["--scheme", "emv", "--id", ID, "--shop-card"], "--shop-card: with the scheme joren alone"),
    ],
)
def test_explain_refuses(issuer: Issuer, words: list[str], expected: str) -> None:
    assert expected in issuer.refused("explain", *words)


@pytest.mark.parametrize(("cipher", "kind", "size"), [("aes", Key, 16), ("aes", Key, 32), ("3des", DesKey, 16), ("3des", DesKey, 24)])
def test_components_are_combined(issuer: Issuer, cipher: str, kind: type[Key] | type[DesKey], size: int) -> None:
    key = kind(bytes(range(1, size + 1)))
    check_value = key.kcv().hex().upper()
    files = issuer.components(key)
    before = (issuer.home / "keys.json").read_bytes()
    told = issuer.json("combine", *files, "--cipher", cipher, "--expect", check_value)
    assert told["format"] == "joren-keys-combine"
    assert (told["check_value"], told["written_to"]) == (check_value, None)
    assert [part["file"] for part in told["components"]] == files
    assert issuer.run("combine", *files, "--cipher", cipher).stdout.splitlines()[-1].split()[-1] == check_value
    assert (issuer.home / "keys.json").read_bytes() == before


def test_a_combined_key_becomes_a_master_and_the_others_stay(issuer: Issuer) -> None:
    before, key = issuer.vault, Key(bytes(range(16)))
    said = issuer.run("combine", *issuer.components(key), "--into", "load").stdout
    assert "now version 2 of the load master in" in said
    after = issuer.vault
    assert after.key("load", 2) == key
    assert after.versions("load") == (1, 2)
    assert all(after.key(name, 1) == before.key(name, 1) for name in MASTERS)
    assert (issuer.home / "keys.json").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in issuer.home.glob("keys*")) == ["keys.json"]


def test_what_was_left_of_a_write_that_failed_is_no_hindrance(issuer: Issuer) -> None:
    (issuer.home / "keys.json.new").write_text("half")
    issuer.run("combine", *issuer.components(Key(bytes(range(16)))), "--into", "till")
    assert issuer.vault.key("till", 2) == Key(bytes(range(16)))


@pytest.mark.parametrize(("cipher", "key"), [("aes", Key(bytes(range(24)))), ("3des", DesKey(bytes(range(1, 17))))])
def test_a_master_of_another_kind_is_refused(issuer: Issuer, cipher: str, key: Key | DesKey) -> None:
    before = (issuer.home / "keys.json").read_bytes()
    assert "an AES key" in issuer.refused("combine", *issuer.components(key), "--cipher", cipher, "--into", "load")
    assert (issuer.home / "keys.json").read_bytes() == before


COMPONENT = "404142434445464748494A4B4C4D4E4F\n504A77\n"


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (lambda issuer: issuer.file("2", COMPONENT), "components 1 and 2 are the same"),
        (lambda issuer: issuer.file("2", COMPONENT, 0o644), "others may read it (mode 644); chmod 600 it"),
        (lambda issuer: issuer.file("2", COMPONENT.replace("40", "44", 1)), "the check value 504A77 does not fit"),
        (lambda issuer: issuer.file("2", COMPONENT + "00"), "two lines expected"),
        (lambda issuer: issuer.file("2", "é"), "no ASCII text"),
        (lambda issuer: str(issuer.safe / "none"), "No such file"),
    ],
    ids=["twice", "open to others", "a slip", "lines", "letters", "missing"],
)
def test_a_component_that_can_not_be_used_is_named(issuer: Issuer, second: Callable[[Issuer], str], expected: str) -> None:
    said = issuer.refused("combine", issuer.file("1", COMPONENT), second(issuer))
    assert expected in said
    assert "4344454647" not in said


def test_combine_refuses(issuer: Issuer) -> None:
    files = issuer.components(Key(bytes(range(16))))
    assert "2..16 expected, 1 came" in issuer.refused("combine", files[0])
    assert "a component is missing or another key's" in issuer.refused("combine", *files[:2], "--expect", Key(bytes(range(16))).kcv().hex())
    assert "--expect: 3 bytes in hexadecimal expected" in issuer.refused("combine", *files, "--expect", "00")
    assert "--into: one of till, shop" in issuer.refused("combine", *files, "--into", "none")


def test_a_component_may_come_through_a_pipe(issuer: Issuer) -> None:
    """As from a program that decrypts it: never a file at all."""
    first, second = issuer.components(Key(bytes(range(16))), 2)
    reading, writing = os.pipe()
    os.write(writing, Path(second).read_bytes())
    os.close(writing)
    try:
        told = issuer.json("combine", first, f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert told["check_value"] == Key(bytes(range(16))).kcv().hex().upper()


PAGE = (Path(__file__).parent.parent / "docs" / "keys.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(issuer.safe)
    for name, part in zip(("alice", "bob", "carol"), split(Key(bytes(range(0x40, 0x50))), 3), strict=True):
        issuer.file(f"{name}.txt", f"{part.key.reveal().hex(' ')}\n{part.check_value.hex()}\n")
    commands = [shlex.split(line)[2:] for line in re.findall(r"^ *\$ (joren keys .*)$", PAGE, re.MULTILINE)]
    assert len(commands) >= 11
    for words in commands:
        issuer.run(*words)
    assert {words[0] for words in commands} == {"check", "explain", "combine", "generate", "rotate", "retire"}
    assert issuer.vault.check_value("load", 3).hex() == "504a77"


def test_the_console_block_of_a_token_runs_as_it_stands(tmp_path: Path) -> None:
    """In a shell, with a token that it makes; what it shows begins as the page says."""
    (block,) = re.findall(r"```console\n(\$ export JOREN_VAULT.*?)```", PAGE, re.DOTALL)
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    outcome = subprocess.run(
        ["sh", "-euc", "\n".join(lines)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert outcome.returncode == 0, outcome.stderr
    said = outcome.stdout.splitlines()
    assert said[0].split() == ["made", "cipher", "version", "check", "value"]
    assert said[1].split()[:3] == ["till", "AES-128", "1"]
    assert said[10] == "made the signing key, P-256"
    assert said[-1] == "version 1 of the admin master is destroyed"
    assert (tmp_path / ".joren" / "cards" / "alice.json").is_file()


def test_the_python_of_the_page_runs(tmp_path: Path) -> None:
    known: dict[str, Any] = {
        "master": Key(bytes(range(16))), "context": bytes(10), "data": bytes(10), "des_master_bytes": bytes(range(1, 17)), "message": b"",
        "old": Key(bytes(range(16)), "load", 1), "new": Key(bytes(range(1, 17)), "load", 2),
    }  # fmt: skip
    known["mac"] = known["new"].mac8(b"")
    known["KeyRing"] = KeyRing
    blocks = re.findall(r"^( *)```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    with softhsm(tmp_path / "hsm") as uri:
        known |= {"uri": str(uri), "pin": pin_of(uri)}
        with opened(uri) as vault:
            vault.make_signing_key()
            fill(vault, 1)
        for indent, block in blocks:
            exec("\n".join(line.removeprefix(indent) for line in block.splitlines()), known)
    assert known["till_master"] == Masters(MemoryVault([root(name) for name in CARD_MASTERS])).group_master("till", 1)
    assert (known["check_value"], len(known["sheets"]), len(known["ring"])) == (known["key"].kcv(), 3, 1)
