"""Every vault does the same: in memory, in a file, in a token of PKCS#11 (SoftHSM2). And what is done with its masters."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joren.apdu import Key, KeyRef
from joren.host import HostError, Masters
from joren.host.masters import GROUPS
from joren.host.vault import CARD_MASTERS, MASTER_NAMES, VaultStore
from joren.host.vault_file import MemoryVault
from joren.host.vault_keeping import generate, retire, rotate, versions_of
from vaultkit import KINDS, fill, root, vault_of

CARD_ID = bytes(range(1, 9))


@pytest.fixture(params=KINDS)
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VaultStore]:
    with vault_of(request.param, tmp_path) as made:
        yield made


def made_keys(masters: Masters, version: int | None) -> list[bytes]:
    keys = [masters.card_key(ref, 7, CARD_ID, version) for ref in KeyRef]
    keys += [masters.group_master(name, 7, version) for name in GROUPS]
    keys += [masters.shop_admin_key(7, 9, 3, version)]
    sets = [masters.manager_keys(bytes(10), version), masters.transport_keys(bytes(10))]
    return [key.reveal() for key in (*keys, *(key for each in sets for key in (each.enc, each.mac, each.dek)))]


def test_the_same_roots_give_the_same_keys_and_check_values(vault: VaultStore) -> None:
    """REQ-KEY-2, REQ-KEY-4, REQ-KEY-6: wherever the masters are."""
    fill(vault, 1, 2)
    plain = MemoryVault(root(name, version) for name in MASTER_NAMES for version in (1, 2))
    masters, same = Masters(vault), Masters(plain)
    for version in (None, 1, 2):
        assert made_keys(masters, version) == made_keys(same, version)
    assert (masters.pin(7, CARD_ID), masters.puk(7, CARD_ID)) == (same.pin(7, CARD_ID), same.puk(7, CARD_ID))
    for name in MASTER_NAMES:
        assert vault.versions(name) == (1, 2)
        assert [vault.check_value(name, version) for version in (1, 2)] == [root(name, version).kcv() for version in (1, 2)]
        assert vault.size(name, 2) == 16


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.binary(max_size=200))
def test_a_cmac_is_the_keys_cmac(vault: VaultStore, message: bytes) -> None:
    for size in (16, 32):
        if size not in versions_of(vault, "till"):
            vault.put("till", size, root("till", size, size))
        assert vault.cmac("till", size, message) == root("till", size, size).cmac(message)


def test_signatures_are_those_of_the_public_key(vault: VaultStore) -> None:
    uses: list[Callable[[], bytes]] = [lambda: vault.sign(b"x"), lambda: vault.public_key]
    for use in uses:
        with pytest.raises(HostError, match=r"signing key: .*joren keys generate all makes it"):
            use()
    assert vault.make_signing_key()
    public, message = vault.public_key, b"the catalogue of this week"
    assert not vault.make_signing_key()
    assert vault.public_key == public
    key = load_der_public_key(public)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    key.verify(vault.sign(message), message, ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(vault.sign(message), message + b".", ec.ECDSA(SHA256()))


def test_what_is_not_there_is_told(vault: VaultStore) -> None:
    with pytest.raises(HostError, match=r"master till: .*joren keys generate till makes it"):
        vault.versions("till")
    vault.put("till", 3, root("till", 3))
    vault.put("till", 1, root("till", 1))
    for use in (lambda: vault.cmac("till", 2, b""), lambda: vault.check_value("till", 2), lambda: vault.size("till", 2)):
        with pytest.raises(HostError, match="master till: version 2 is not in the vault; there are 1, 3"):
            use()
    with pytest.raises(HostError, match="master till: version 2 is not in the vault; there are 1, 3"):
        vault.remove("till", 2)


def test_what_a_vault_refuses_to_take(vault: VaultStore) -> None:
    vault.put("till", 1, root("till", 1))
    refused: list[tuple[str, int, Key, str]] = [
        ("the till", 1, root("till", 2), "master: a name of up to 32 letters"),
        ("till", 0, root("till", 2), "a version 1..255 expected, 0 came"),
        ("till", 256, root("till", 2), "a version 1..255 expected, 256 came"),
        ("till", 1, root("till", 2), "version 1 is in the vault already; nothing was changed"),
        ("till", 2, Key(root("till", 2, 32).reveal()[:24]), "an AES key of 16 or 32 bytes expected, one of 24 came"),
        ("till", 2, root("till", 1), "is there already, as another version; nothing was changed"),
    ]
    for name, version, key, words in refused:
        with pytest.raises(HostError, match=words):
            vault.put(name, version, key)
    with pytest.raises(HostError, match="version 1 is in the vault already"):
        vault.generate("till", 1)
    assert (vault.versions("till"), vault.check_value("till", 1)) == ((1,), root("till", 1).kcv())


def test_masters_are_made_inside_once(vault: VaultStore) -> None:
    assert list(generate(vault, "load", size=32)) == [("load", 1)]
    check_value = vault.check_value("load", 1)
    assert dict(generate(vault, *MASTER_NAMES)) == {name: 1 for name in MASTER_NAMES if name != "load"}
    assert list(generate(vault, *MASTER_NAMES)) == []
    assert (vault.check_value("load", 1), vault.size("load", 1), vault.size("till", 1)) == (check_value, 32, 16)
    assert len({sha256(vault.cmac(name, 1, b"")).digest() for name in MASTER_NAMES}) == len(MASTER_NAMES)


def test_rotation_makes_a_version_beside_the_old_and_retiring_destroys_the_old(vault: VaultStore) -> None:
    list(generate(vault, *MASTER_NAMES))
    before = {name: vault.check_value(name, 1) for name in MASTER_NAMES}
    assert list(rotate(vault)) == [(name, 2) for name in CARD_MASTERS]
    assert list(rotate(vault, manager=True)) == [("manager", 2), *((name, 3) for name in CARD_MASTERS)]
    assert {name: vault.check_value(name, 1) for name in MASTER_NAMES} == before
    assert Masters(vault).version == 3
    with pytest.raises(HostError, match="master till: version 4 is not in the vault; there are 1, 2, 3"):
        list(retire(vault, 4, *CARD_MASTERS))
    with pytest.raises(HostError, match=r"version 3 is its newest \(there are 1, 2, 3\), for new cards; rotate first"):
        list(retire(vault, 3, *CARD_MASTERS))
    assert list(retire(vault, 1, *CARD_MASTERS)) == [(name, 1) for name in CARD_MASTERS]
    assert {name: vault.versions(name) for name in CARD_MASTERS} == dict.fromkeys(CARD_MASTERS, (2, 3))
    assert (vault.versions("manager"), vault.versions("pin")) == ((1, 2), (1,))


def test_an_interrupted_rotation_is_finished_by_the_next(vault: VaultStore) -> None:
    fill(vault, 1)
    steps = rotate(vault)
    assert [next(steps), next(steps)] == [("till", 2), ("shop", 2)]
    steps.close()  # type: ignore[attr-defined]
    with pytest.raises(HostError, match="till 2, shop 2, receipt 1, load 1, admin 1 came"):
        assert Masters(vault).version
    with pytest.raises(HostError, match="master receipt: version 1 is its newest"):
        list(retire(vault, 1, *CARD_MASTERS))
    assert list(rotate(vault)) == [(name, 2) for name in ("receipt", "load", "admin")]
    assert Masters(vault).version == 2


def test_a_master_that_was_lost_is_not_made_anew() -> None:
    vault = MemoryVault(root(name, 2) for name in CARD_MASTERS if name != "load")
    with pytest.raises(HostError, match="master load: missing, while others have version 2"):
        list(generate(vault, *MASTER_NAMES))
    assert [versions_of(vault, name) for name in ("load", "pin")] == [(), ()]
    with pytest.raises(HostError, match="master load: not in the vault"):
        list(rotate(vault))
    assert versions_of(vault, "till") == (2,)
    with pytest.raises(HostError, match="master: one of till, shop"):
        list(generate(vault, "tills"))


def test_versions_end_at_255() -> None:
    vault = MemoryVault(root(name, 255) for name in CARD_MASTERS)
    with pytest.raises(HostError, match=r"versions: 1..255 are all there are, 256 would come; nothing was made"):
        list(rotate(vault))


def test_a_rotation_that_fails_says_what_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = MemoryVault([root(name) for name in (*CARD_MASTERS, "manager")])
    generate_one = vault.generate

    def fails(name: str, version: int, size: int = 16) -> None:
        if name == "shop":
            raise HostError("the token is full")
        generate_one(name, version, size)

    with monkeypatch.context() as patch:
        patch.setattr(vault, "generate", fails)
        with pytest.raises(HostError, match=r"full. Made before: manager 2, till 2; joren keys rotate, without --manager, makes the rest"):
            list(rotate(vault, manager=True))
    assert list(rotate(vault)) == [(name, 2) for name in CARD_MASTERS if name != "till"]
