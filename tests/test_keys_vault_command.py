"""joren keys and joren card with a vault in a token, and what changes masters, as an issuer types it."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from joren.apdu import Key
from joren.cli import main
from joren.host import Masters
from joren.host.ceremony import split
from joren.host.pkcs11_uri import Pkcs11Uri
from joren.host.vault import CARD_MASTERS, MASTER_NAMES
from vaultkit import opened, pin_of, root, softhsm

ENVIRONMENT = ("JOREN_VAULT", "JOREN_VAULT_PIN_FILE", "SOFTHSM2_CONF")


class Issuer:
    """joren in a folder of its own, with a token or, where `uri` is None, a file."""

    def __init__(self, folder: Path, uri: Pkcs11Uri | None) -> None:
        self.home, self.uri = folder / "home", uri

    def run(self, *words: str, code: int = 0) -> Result:
        vault = [] if self.uri is None else ["--vault", str(self.uri)]
        result = CliRunner().invoke(main, ["--home", str(self.home), *vault, *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json", code=code).stdout)
        assert isinstance(told, dict)
        return told

    def versions(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for master in self.json("keys", "check")["masters"]:
            found.setdefault(master["name"], []).append(master["version"])
        return found


@pytest.fixture(params=["file", "token"])
def issuer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    if request.param == "file":
        yield Issuer(tmp_path, None)
    else:
        with softhsm(tmp_path / "hsm") as uri:
            issuer = Issuer(tmp_path, uri)
            issuer.run("keys", "generate", "all")
            yield issuer


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with softhsm(tmp_path / "hsm") as uri:
        yield Issuer(tmp_path, uri)


def test_masters_are_rotated_and_retired(issuer: Issuer) -> None:
    first = {name: [1] for name in (*MASTER_NAMES, "storage")}
    assert issuer.versions() == first
    told = issuer.json("keys", "rotate", "--manager")
    assert told["format"] == "joren-keys-rotate"
    assert [(key["name"], key["version"]) for key in told["made"]] == [("manager", 2), *((name, 2) for name in CARD_MASTERS)]
    assert issuer.versions() == {**first, "manager": [1, 2], **{name: [1, 2] for name in CARD_MASTERS}}
    lines = issuer.run("keys", "rotate").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [[name, "AES-128", "3"] for name in CARD_MASTERS]
    said = issuer.run("keys", "retire", "1", code=2).stderr
    assert "--yes expected: what was made with version 1 of till, shop, receipt, load, admin can not be served any more" in said
    assert "version 3 is its newest" in issuer.run("keys", "retire", "3", "--yes", code=2).stderr
    told = issuer.json("keys", "retire", "1", "--yes")
    assert told["retired"] == [{"name": name, "version": 1} for name in CARD_MASTERS]
    assert issuer.run("keys", "retire", "1", "--yes", "--master", "manager").stdout == "version 1 of the manager master is destroyed\n"
    assert issuer.versions() == {**first, "manager": [2], **{name: [2, 3] for name in CARD_MASTERS}}


def test_explain_takes_a_version(issuer: Issuer) -> None:
    issuer.run("keys", "rotate")
    told = {version: issuer.json("keys", "explain", "--id", "0102030405060708", *words)["keys"] for version, words in VERSIONS.items()}
    assert told[0] == told[2] != told[1]
    assert {key["master_version"] for key in told[1]} == {1}
    assert "there are 1, 2" in issuer.run("keys", "explain", "--id", "0102030405060708", "--version", "3", code=2).stderr


VERSIONS: dict[int, list[str]] = {0: [], 1: ["--version", "1"], 2: ["--version", "2"]}


def test_what_is_missing_is_made_and_what_is_there_stays(token: Issuer) -> None:
    told = token.json("keys", "check")
    assert (told["vault"], told["missing"], told["signing_key_sha256"]) == ("token joren", list(MASTER_NAMES), None)
    assert "not there: till, shop" in token.run("keys", "check").stdout
    made = token.json("keys", "generate", "manager", "--bits", "256")
    assert ([key["cipher"] for key in made["made"]], made["signing_key_made"]) == (["AES-256"], True)
    said = token.run("keys", "generate", "manager", code=2).stderr
    assert "master manager: it is there already; joren keys rotate makes new versions" in said
    assert [key["name"] for key in token.json("keys", "generate", "all")["made"]] == [name for name in MASTER_NAMES if name != "manager"]
    assert token.run("keys", "generate", "all").stdout == "all is there; nothing was made\n"
    assert "master: one of till" in token.run("keys", "generate", "tills", code=2).stderr


def test_cards_are_issued_and_served_from_a_token(token: Issuer) -> None:
    token.run("keys", "generate", "all")
    token.run("card", "new", "alice")
    token.run("tap", "alice", "12.50")
    assert [row["verified"] for row in token.json("card", "log", "alice")["transactions"]] == [True]
    saved = json.loads((token.home / "keys.json").read_text())
    assert (saved["masters"], saved["signing"]) == ({}, None)
    without = Issuer(token.home.parent, None)
    assert "keys.json has no master at all; name the token" in without.run("card", "log", "alice", code=2).stderr
    token.run("card", "status", "alice", "blocked")


def test_components_go_into_a_token(token: Issuer, tmp_path_factory: pytest.TempPathFactory) -> None:
    """REQ-KEY-2: the key that came of them is the one that cards get theirs from."""
    safe, files = tmp_path_factory.mktemp("safe"), []
    for part in split(root("load"), 3):
        path = safe / f"{part.number}.txt"
        path.write_text(f"{part.key.reveal().hex()}\n{part.check_value.hex()}\n")
        path.chmod(0o600)
        files.append(str(path))
    for name in CARD_MASTERS:
        if name != "load":
            token.run("keys", "generate", name)
    told = token.json("keys", "combine", *files, "--into", "load", "--expect", root("load").kcv().hex())
    assert (told["written_to"], told["master_version"]) == ("load", 1)
    assert "version 1 is in the vault already" in token.run("keys", "combine", *files, "--into", "load", "--version", "1", code=2).stderr
    said = token.run("keys", "combine", *files, "--into", "load", code=2).stderr
    assert "a key of this check value is there already" in said
    assert "--version: with --into alone" in token.run("keys", "combine", *files, "--version", "2", code=2).stderr
    assert token.uri is not None
    with opened(token.uri) as vault:
        group = root("load").derive(b"load-group", (1).to_bytes(2))
        assert Masters(vault).group_master("load", 1) == Key(group.reveal())


def test_a_scheme_that_needs_the_masters_bytes_is_refused_for_a_token(token: Issuer) -> None:
    token.run("keys", "generate", "all")
    said = token.run("keys", "explain", "--scheme", "visa2", "--data", "00004181116665F5B830", code=2).stderr
    assert "it needs the bytes of the master, which never leave this vault; take joren or kdf3" in said
    assert len(token.json("keys", "explain", "--scheme", "kdf3", "--data", "00004181116665F5B830")["keys"]) == 3


def test_where_the_pin_comes_from(token: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert token.uri is not None
    pin, bare = tmp_path / "pin", str(token.uri).partition("&pin-source")[0]
    pin.write_text(f"{pin_of(token.uri)}\nmore\n")
    pin.chmod(0o600)

    def check(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["--home", str(token.home), *words, "keys", "check"])
        assert result.exit_code == code, result.output
        return result.stderr

    check("--vault", bare, "--vault-pin-file", str(pin))
    monkeypatch.setenv("JOREN_VAULT", bare)
    assert "no PIN, and no terminal to ask at" in check(code=6)
    monkeypatch.setenv("JOREN_VAULT_PIN_FILE", str(pin))
    check()
    pin.chmod(0o640)
    assert "others may read it (mode 640); chmod 600 it" in check(code=6)
    pin.chmod(0o600)
    for content, words in ((b"", "it is empty"), (b"\xff\xfe", "no UTF-8 text"), (b"999999\n", "wrong PIN")):
        pin.write_bytes(content)
        assert words in check(code=6)
    pin.unlink()
    assert "No such file" in check(code=6)
    assert "a PKCS#11 URI expected" in check("--vault", "hsm.toml", code=2)


def test_a_pin_is_asked_for_at_a_terminal(token: Issuer) -> None:
    """And not echoed."""
    assert token.uri is not None
    bare, outside = str(token.uri).partition("&pin-source")[0], Path(__file__).parent.parent
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "joren.cli", "--home", str(token.home), "--vault", bare, "keys", "check"]
    with subprocess.Popen(
        words, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True, cwd=outside, text=True
    ) as program:
        os.close(theirs)
        shown = b""
        while b"PIN of the token joren" not in shown:
            shown += os.read(ours, 1024)
        os.write(ours, pin_of(token.uri).encode() + b"\n")
        assert program.stdout is not None
        assert "not there: till" in program.stdout.read()
    assert program.returncode == 0
    os.close(ours)
    assert pin_of(token.uri).encode() not in shown


def test_a_token_of_softhsm_is_made_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "")
    said = CliRunner().invoke(main, ["keys", "softhsm", str(tmp_path / "my hsm"), "--label", "a token"]).stdout
    uri = said.strip()
    assert " " not in uri
    assert Pkcs11Uri.parse(uri).token == "a token"
    result = CliRunner().invoke(main, ["--home", str(tmp_path / "home"), "--vault", uri, "keys", "generate", "till"])
    assert (result.exit_code, result.stdout.splitlines()[1].split()[:3]) == (0, ["till", "AES-128", "1"])
    again = CliRunner().invoke(main, ["keys", "softhsm", str(tmp_path / "my hsm"), "--json"])
    assert (again.exit_code, json.loads(again.stdout)["error"]) == (6, "VaultError")


def test_the_vault_is_closed_after_a_command_that_failed(token: Issuer) -> None:
    token.run("keys", "generate", "till")
    for _ in range(2):
        token.run("keys", "generate", "till", code=2)
    assert token.uri is not None
    with opened(token.uri) as vault:
        assert vault.versions("till") == (1,)
