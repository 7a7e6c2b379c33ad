"""A vault in a token: what goes wrong with hardware, provoked with SoftHSM2; what that can not do (lock a PIN) with our own."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass, TokenFlag
from pkcs11 import exceptions as failed

from canary import leaks
from joren.host import HostError, VaultError, vault_pkcs11
from joren.host.pkcs11_uri import Pkcs11Uri
from joren.host.softhsm import find_module, make_token
from joren.host.vault import MASTER_NAMES
from joren.host.vault_keeping import rotate
from joren.host.vault_pkcs11 import Pkcs11Vault
from vaultkit import fill, opened, pin_of, root, softhsm


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[Pkcs11Uri]:
    with softhsm(tmp_path / "hsm") as made:
        yield made


def tokens_of(uri: Pkcs11Uri) -> Path:
    assert uri.softhsm_conf is not None
    (folder,) = (uri.softhsm_conf.parent / "tokens").iterdir()
    return folder


def create(vault: Pkcs11Vault, **changes: Any) -> None:
    """A key object that joren would not make so."""
    template = {
        **vault_pkcs11.MASTER_TEMPLATE, Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES,
        Attribute.LABEL: "joren-till", Attribute.ID: b"\x01", Attribute.VALUE: root("till").reveal(),
    }  # fmt: skip
    vault._write.create_object(template | {Attribute[name]: value for name, value in changes.items()})


def test_no_key_can_be_read_from_the_token_nor_from_its_files(uri: Pkcs11Uri) -> None:
    keys = {root(name).reveal() for name in MASTER_NAMES}
    with opened(uri) as vault:
        fill(vault, 1)
        vault.generate("till", 2)
        vault.make_signing_key()
        for version in (1, 2):
            key = vault._keys.get("till", vault._look_up("till"))[version]
            assert (key[Attribute.SENSITIVE], key[Attribute.EXTRACTABLE]) == (True, False)
            with pytest.raises(failed.AttributeSensitive):
                key[Attribute.VALUE]
        with pytest.raises(failed.AttributeSensitive):
            vault._signing_key()[Attribute.VALUE]
        shown = repr(vault) + str(vault.uri) + repr(vars(vault))
    assert leaks(shown.encode(), keys) == set()
    files = [path for path in tokens_of(uri).iterdir() if path.suffix == ".object" and path.stem != "token"]
    assert len(files) == len(MASTER_NAMES) + 1 + 2
    assert leaks(b"".join(path.read_bytes() for path in files), keys) == set()
    assert pin_of(uri) not in shown


def test_a_token_is_opened_again_with_what_it_had(uri: Pkcs11Uri) -> None:
    with opened(uri) as vault:
        fill(vault, 1)
    with opened(uri) as vault:
        assert vault.check_value("till", 1) == root("till").kcv()
    with pytest.raises(VaultError, match="token joren: it was closed"):
        vault.check_value("till", 1)
    vault.close()


@pytest.mark.parametrize("pin", ["0", "sesame4711", "é" * 200])
def test_a_wrong_pin_is_tried_once_and_never_shown(uri: Pkcs11Uri, pin: str) -> None:
    with pytest.raises(VaultError, match=r"token joren: wrong PIN .*it was tried once.*Every wrong PIN since the last right one") as caught:
        Pkcs11Vault(uri, pin)
    assert len(pin) == 1 or pin not in str(caught.value)
    assert caught.value.__cause__ is None
    with opened(uri) as vault:
        vault.generate("till", 1)


class Slots:
    """A module with one token, which answers a login as told."""

    def __init__(self, answer: Exception, flags: TokenFlag) -> None:
        self.answer, self.flags, self.logins, self.finalized = answer, flags, 0, 0
        self.label = "joren"

    def get_tokens(self) -> list["Slots"]:
        return [self]

    def open(self, *, user_pin: str) -> None:
        self.logins += 1
        raise self.answer

    def finalize(self) -> None:
        self.finalized += 1


@pytest.mark.parametrize(
    ("answer", "flags", "words"),
    [
        (failed.PinLocked(), TokenFlag(0), "the PIN is locked after too many wrong ones; its security officer sets it anew"),
        (failed.PinIncorrect(), TokenFlag.USER_PIN_FINAL_TRY, "one try is left before it locks the PIN"),
        (failed.PinIncorrect(), TokenFlag.USER_PIN_LOCKED, "the PIN is locked now"),
        (failed.UserPinNotInitialized(), TokenFlag(0), "it has no PIN yet"),
        (failed.SessionCount(), TokenFlag(0), r"it can not be opened \(SessionCount\)"),
    ],
)
def test_a_login_that_fails(uri: Pkcs11Uri, monkeypatch: pytest.MonkeyPatch, answer: Exception, flags: TokenFlag, words: str) -> None:
    module = Slots(answer, flags)
    monkeypatch.setattr(pkcs11, "lib", lambda _path: module)
    with pytest.raises(VaultError, match=words):
        Pkcs11Vault(uri, "123456")
    assert (module.logins, module.finalized) == (1, 1)


def test_a_token_that_is_not_there(uri: Pkcs11Uri) -> None:
    with pytest.raises(VaultError, match=r"token other: no such token in the slots of .*libsofthsm2.so; there are: joren"):
        Pkcs11Vault(replace(uri, token="other"), "123456")
    shutil.rmtree(tokens_of(uri))
    with pytest.raises(VaultError, match=r"no such token .*there are: none"):
        Pkcs11Vault(uri, "123456")


def test_two_tokens_of_one_name(uri: Pkcs11Uri, tmp_path: Path) -> None:
    other = make_token(tmp_path / "other")
    shutil.move(tokens_of(other), tokens_of(uri).parent)
    with pytest.raises(VaultError, match="token joren: 2 tokens of this name"):
        Pkcs11Vault(uri, "123456")


def test_a_module_that_can_not_be_used(uri: Pkcs11Uri, tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    for module, words in ((tmp_path / "none.so", "no such file"), (tmp_path / "text.so", "can not be loaded as a PKCS#11 module")):
        with pytest.raises(VaultError, match=words):
            Pkcs11Vault(replace(uri, module=module), "123456")
    with pytest.raises(VaultError, match=r"x-softhsm-conf .*no such file"):
        Pkcs11Vault(replace(uri, softhsm_conf=tmp_path / "none.conf"), "123456")
    with opened(uri):
        pass


def test_a_process_opens_a_module_once(uri: Pkcs11Uri) -> None:
    with opened(uri) as vault:
        vault.put("till", 1, root("till"))
        with pytest.raises(VaultError, match="in use in this process already"):
            Pkcs11Vault(uri, pin_of(uri))
        assert vault.cmac("till", 1, b"x") == root("till").cmac(b"x")


def test_a_token_that_is_taken_away_in_the_middle(uri: Pkcs11Uri, tmp_path: Path) -> None:
    """And back again: nothing is lost."""
    with opened(uri) as vault:
        fill(vault, 1)
        vault.make_signing_key()
        vault.sign(b"")
        vault.cmac("till", 1, b"")
        home = tokens_of(uri)
        shutil.move(home, tmp_path / "away")
        uses: list[Callable[[], object]] = [
            lambda: vault.cmac("till", 1, b""),
            lambda: vault.check_value("till", 1),
            lambda: vault.size("till", 1),
            lambda: vault.sign(b""),
            lambda: vault.public_key,
            lambda: vault.cmac("shop", 1, b""),
            lambda: vault.versions("pin"),
            lambda: vault.generate("till", 2),
            lambda: vault.put("till", 2, root("till", 2)),
            lambda: list(rotate(vault)),
        ]
        for use in uses:
            with pytest.raises(VaultError, match=r"gone or out of order \((ObjectHandleInvalid|GeneralError) at .*batch goes on"):
                use()
    shutil.move(tmp_path / "away", home)
    with opened(uri) as vault:
        assert [vault.check_value(name, 1) for name in MASTER_NAMES] == [root(name).kcv() for name in MASTER_NAMES]


LOST = ("DeviceRemoved", "DeviceError", "SessionHandleInvalid", "SessionClosed", "TokenNotPresent", "UserNotLoggedIn")


@pytest.mark.parametrize("code", [getattr(failed, name) for name in LOST])
def test_every_code_of_a_token_that_went_away(uri: Pkcs11Uri, code: type[Exception]) -> None:
    def gone(*_args: object, **_named: object) -> bytes:
        raise code("sesame4711")

    with opened(uri) as vault:
        vault._keys["till"] = {1: SimpleNamespace(sign=gone, encrypt=gone)}
        vault._signing = SimpleNamespace(sign=gone)
        uses: list[Callable[[], bytes]] = [
            lambda: vault.cmac("till", 1, b""), lambda: vault.check_value("till", 1), lambda: vault.sign(b""),
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(VaultError, match=f"gone or out of order .{code.__name__} at .*bring it back") as caught:
                use()
            assert "sesame4711" not in str(caught.value)


def test_a_key_that_the_token_refuses_to_use_so(uri: Pkcs11Uri) -> None:
    with opened(uri) as vault:
        create(vault, ENCRYPT=False)
        create(vault, SIGN=False, ID=b"\x02")
        with pytest.raises(VaultError, match=r"the token joren refuses a check value \(AES-ECB\): its key was made without that use"):
            vault.check_value("till", 1)
        assert vault.cmac("till", 1, b"") == root("till").cmac(b"")
        with pytest.raises(VaultError, match="the token joren refuses AES-CMAC"):
            vault.cmac("till", 2, b"")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([{}, {}], "two keys of version 1; remove one"),
        ([{"ID": b""}], "an id of one byte, the version 01..FF, expected, 0 came"),
        ([{"ID": b"\x00\x01"}], "an id of one byte, the version 01..FF, expected, 2 came"),
        ([{"ID": b"\x00"}], "an id of one byte, the version 01..FF, expected, 00 came"),
    ],
)
def test_objects_that_are_no_versions_of_a_master(uri: Pkcs11Uri, changes: list[dict[str, Any]], words: str) -> None:
    with opened(uri) as vault:
        for change in changes:
            create(vault, **change)
        with pytest.raises(VaultError, match=f"joren-till: {words}"):
            vault.versions("till")


def test_a_signing_key_of_another_curve(uri: Pkcs11Uri) -> None:
    with opened(uri) as vault:
        p384 = {Attribute.EC_PARAMS: bytes.fromhex("06052B81040022")}
        curve = vault._write.create_domain_parameters(KeyType.EC, p384, local=True)
        curve.generate_keypair(label="joren-signing", store=True)
        with pytest.raises(VaultError, match="joren-signing: a key on P-256 expected"):
            assert vault.public_key


OTHER_PROCESS = """
import sys
from joren.host.pkcs11_uri import Pkcs11Uri
from joren.host.vault_keeping import rotate
from joren.host.vault_pkcs11 import Pkcs11Vault
uri = Pkcs11Uri.parse(sys.argv[1])
vault = Pkcs11Vault(uri, uri.pin_file.read_text().strip())
print(vault.cmac("till", 1, b"x").hex())
print(list(rotate(vault)))
vault.close()
"""


def test_two_processes_use_a_token_at_once(uri: Pkcs11Uri) -> None:
    with opened(uri) as vault:
        fill(vault, 1)
        assert vault.versions("till") == (1,)
        outcome = subprocess.run([sys.executable, "-c", OTHER_PROCESS, str(uri)], capture_output=True, text=True, check=True)
        assert outcome.stdout.splitlines()[0] == vault.cmac("till", 1, b"x").hex()
        assert "('till', 2)" in outcome.stdout
        assert vault.versions("till") == (1,)
        with pytest.raises(HostError, match="version 2 is in the vault already; nothing was changed"):
            vault.generate("till", 2)
    with opened(uri) as vault:
        assert [vault.versions(name) for name in ("till", "admin", "pin")] == [(1, 2), (1, 2), (1,)]


def test_pkcs11_is_not_loaded_until_a_token_is_asked_for() -> None:
    code = "import joren.cli, joren.host.softhsm, sys; print('pkcs11' in sys.modules, 'joren.host.vault_pkcs11' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False False\n"


def test_a_softhsm_token_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "")
    (tmp_path / "there").mkdir()
    with pytest.raises(VaultError, match="File exists; nothing was made"):
        make_token(tmp_path / "there")
    with pytest.raises(VaultError, match=r"a token label of 1..32 bytes expected, 33 came"):
        make_token(tmp_path / "new", 33 * "a")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(VaultError, match="can not be loaded as a PKCS#11 module"):
        make_token(tmp_path / "new", module=tmp_path / "text.so")
    monkeypatch.setattr("os.fdopen", lambda *_args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(VaultError, match="No space left on device; nothing was made"):
        make_token(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr("joren.host.softhsm.MODULES", ("/nowhere/libsofthsm2.so",))
    with pytest.raises(VaultError, match=r"SoftHSM2 is not installed \(.* in /nowhere\); Debian, Ubuntu: apt-get install"):
        find_module()


def test_the_files_of_a_softhsm_token_are_for_their_owner_alone(uri: Pkcs11Uri) -> None:
    assert uri.pin_file is not None
    folder = uri.pin_file.parent
    assert {path.stat().st_mode & 0o777 for path in (uri.pin_file, folder / "so-pin")} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "tokens")} == {0o700}
    pins = [path.read_text().strip() for path in (uri.pin_file, folder / "so-pin")]
    assert all(len(pin) == 12 and pin.isdigit() for pin in pins)
    assert len(set(pins)) == 2
