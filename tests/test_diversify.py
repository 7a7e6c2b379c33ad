"""Schemes of key diversification: published vectors, other implementations, what a card once answered, and what is refused."""

import importlib.util
import sys
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu import Key, KeyRef, messages
from joren.apdu import diversify_des as des_module
from joren.apdu.diversify import AN10922, EMV, JOREN, KDF3, SCHEMES, VISA2, DesKey, scheme
from joren.host import Masters, shop_card_id
from joren.host.vault_file import MemoryVault
from scp03kit import cmac
from vectorfile import hexa, rows

MASTER = bytes.fromhex("404142434445464748494A4B4C4D4E4F")
DATA = bytes(range(10))
AES_SIZES = (16, 24, 32)
VECTORS = rows("diversification.txt")


def made(name: str, master: Key | DesKey, data: bytes, key: str) -> Key | DesKey:
    """The key of that name, by whatever the scheme is called with."""
    found = scheme(name)
    if found is AN10922:
        return AN10922.derive(master, data)
    keys = VISA2.derive(master, data) if found is VISA2 and isinstance(master, DesKey) else None
    keys = EMV.derive(master, data) if found is EMV and isinstance(master, DesKey) else keys
    if found is KDF3 and isinstance(master, Key):
        return {"ENC": (s := KDF3.derive(master, data)).enc, "MAC": s.mac, "DEK": s.dek}[key]
    assert keys is not None
    return {"ENC": keys.enc, "MAC": keys.mac, "DEK": keys.dek}[key]


@pytest.mark.parametrize(("name", "cipher", "master", "data", "key", "expected", "check_value"), VECTORS)
def test_published_vectors(name: str, cipher: str, master: str, data: str, key: str, expected: str, check_value: str) -> None:
    derived = made(name, Key(hexa(master)) if cipher == "AES" else DesKey(hexa(master)), hexa(data), key)
    if expected != "-":
        assert derived.reveal() == hexa(expected)
    if check_value != "-":
        assert derived.kcv() == hexa(check_value)
    assert len(derived) == len(hexa(master))


def test_every_scheme_but_ours_has_a_published_vector() -> None:
    assert {row[0] for row in VECTORS} == SCHEMES.keys() - {"joren"}


def test_visa2_gives_the_key_that_a_card_once_proved() -> None:
    """An SCP01 card's answer to INITIALIZE UPDATE in kaoh/globalplatform (commit 8dd2f1b), globalplatform/src/scp01Test.c."""
    host = bytes.fromhex("5218A9EAE3863131")
    data, challenge = bytes.fromhex("00004181116665F5B830"), bytes.fromhex("A67BE0F6BB2920AA")
    enc = VISA2.derive(DesKey(MASTER), data).enc
    session = DesKey(enc.ecb(challenge[4:] + host[:4] + challenge[:4] + host[4:]))
    chain = bytes(8)
    for block in (host, challenge, b"\x80" + bytes(7)):
        chain = session.ecb(bytes(a ^ b for a, b in zip(chain, block, strict=True)))
    assert chain.hex().upper() == "D421FF3948F1304B"


@pytest.mark.parametrize("size", AES_SIZES)
@given(data=st.binary(min_size=10, max_size=10), label=st.sampled_from(["till", "shop", "receipt", "load", "admin", "shop-admin"]))
def test_ours_is_the_counter_mode_of_another_implementation(size: int, data: bytes, label: str) -> None:
    """REQ-KEY-2; no vector of this layout is published."""
    master = bytes(range(size))
    other = KBKDFCMAC(algorithms.AES, Mode.CounterMode, size, 1, 2, CounterLocation.BeforeFixed, label.encode(), data, None)
    assert JOREN.derive(Key(master), data, label.encode()).reveal() == other.derive(master)


def test_ours_is_what_cards_are_issued_with() -> None:
    """REQ-KEY-2, REQ-KEY-4."""
    vault, card_id = MemoryVault.create(), bytes(range(8))
    masters = Masters(vault)
    context = messages.head(7, card_id)
    for ref, name in ((KeyRef.TILL, "till"), (KeyRef.SHOP, "shop"), (KeyRef.LOAD, "load")):
        assert JOREN.derive(masters.group_master(name, 7), context, name.encode()) == masters.card_key(ref, 7, card_id)
    for ref, name in ((KeyRef.RECEIPT, "receipt"), (KeyRef.ADMIN, "admin")):
        assert JOREN.derive(vault.key(name, 1), context, name.encode()) == masters.card_key(ref, 7, card_id)
    shop = messages.head(7, shop_card_id(9, 3))
    assert JOREN.derive(vault.key("shop_admin", 1), shop, b"shop-admin") == masters.shop_admin_key(7, 9, 3)


@given(data=st.binary(min_size=16, max_size=31))
def test_an10922_of_more_than_a_block_is_plain_cmac(data: bytes) -> None:
    assert AN10922.derive(Key(MASTER), data).reveal() == cmac(MASTER, b"\x01" + data)


@given(data=st.binary(min_size=8, max_size=15))
def test_an10922_with_3des_is_the_cmac_of_another_implementation(data: bytes) -> None:
    """But for the low bits of the first eight bytes, which are the master's."""
    halves = []
    for constant in (0x21, 0x22):
        mac = CMAC(des_module.TripleDES(MASTER + MASTER[:8]))
        mac.update(bytes((constant,)) + data)
        halves.append(mac.finalize())
    derived = AN10922.derive(DesKey(MASTER), data).reveal()
    assert derived[8:] == halves[1]
    assert [byte & 0xFE for byte in derived[:8]] == [byte & 0xFE for byte in halves[0]]
    assert [byte & 0x01 for byte in derived[:8]] == [byte & 0x01 for byte in MASTER[:8]]


def test_steps_are_what_the_keys_are_made_of() -> None:
    master = Key(bytes(range(24)))
    (ours,) = JOREN.steps(master, DATA, b"till")
    assert JOREN.derive(master, DATA, b"till").reveal() == b"".join(master.cmac(block) for block in ours.blocks)[:24]
    assert ours.blocks[1].hex() == "02" + b"till".hex() + "00" + DATA.hex() + "00c0"
    enc, mac, dek = KDF3.steps(master, DATA)
    assert [step.name for step in (enc, mac, dek)] == ["ENC", "MAC", "DEK"]
    assert KDF3.derive(master, DATA).dek.reveal() == b"".join(master.cmac(block) for block in dek.blocks)[:24]
    assert dek.blocks[1].hex() == "020000000300" + DATA.hex()
    assert VISA2.steps(DesKey(MASTER), DATA)[1].blocks[0].hex() == "000104050607f002" + "0001040506070f02"
    assert EMV.steps(DesKey(MASTER), DATA)[2].blocks[0].hex() == "040506070809f003" + "0405060708090f03"
    assert [block.hex() for block in AN10922.steps(DesKey(MASTER), DATA)[0].blocks] == [f"{c}{DATA.hex()}8000000000" for c in (21, 22)]


def test_derived_keys_have_the_version_of_their_master() -> None:
    assert VISA2.derive(DesKey(MASTER, "m", 5), DATA).mac.version == 5
    assert KDF3.derive(Key(MASTER, "m", 5), DATA).mac.version == 5
    assert AN10922.derive(Key(MASTER, "m", 5), DATA).version == 5
    assert JOREN.derive(Key(MASTER, "m", 5), DATA, b"till").version == 5


@pytest.mark.parametrize("name", ["joren", "visa2", "emv", "kdf3"])
@pytest.mark.parametrize("size", [0, 9, 11])
def test_ten_bytes_of_data_are_expected(name: str, size: int) -> None:
    master = DesKey(MASTER) if name in ("visa2", "emv") else Key(MASTER)
    with pytest.raises(ValueError, match=f"{name}: 10 bytes of diversification data expected, {size} came"):
        scheme(name).check(master, bytes(size))


@pytest.mark.parametrize(("master", "size", "most"), [(Key(MASTER), 0, 31), (Key(MASTER), 32, 31), (DesKey(MASTER), 16, 15)])
def test_an10922_takes_no_more_than_two_blocks_less_a_byte(master: Key | DesKey, size: int, most: int) -> None:
    with pytest.raises(ValueError, match=rf"1\.\.{most} bytes of diversification data expected.*{size} came"):
        AN10922.derive(master, bytes(size))


@pytest.mark.parametrize(
    ("name", "master", "expected"),
    [
        ("visa2", Key(MASTER), "3DES of 16 bytes expected, <Key unnamed AES-128"),
        ("visa2", DesKey(bytes(24)), "3DES of 16 bytes expected, <DesKey unnamed 3TDEA"),
        ("emv", DesKey(bytes(24)), "3DES of 16 bytes expected, <DesKey unnamed 3TDEA"),
        ("kdf3", DesKey(MASTER), "AES of 16 or 24 or 32 bytes expected, <DesKey unnamed 2TDEA"),
        ("joren", DesKey(MASTER), "AES of 16 or 24 or 32 bytes expected, <DesKey unnamed 2TDEA"),
    ],
)
def test_a_master_of_another_cipher_or_size_is_refused(name: str, master: Key | DesKey, expected: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: a master key for {expected}"):
        scheme(name).check(master, DATA)


def test_derive_checks_its_master_and_data() -> None:
    for failing in (
        lambda: VISA2.derive(DesKey(bytes(24)), DATA),
        lambda: EMV.derive(DesKey(MASTER), DATA[:9]),
        lambda: KDF3.derive(Key(MASTER), DATA + b"\x00"),
        lambda: JOREN.derive(Key(MASTER), DATA[:9], b"till"),
        lambda: AN10922.derive(Key(MASTER), b""),
    ):
        with pytest.raises(ValueError, match=r"expected, .* came"):
            failing()


def test_an_unknown_scheme_is_told_the_names() -> None:
    with pytest.raises(ValueError, match="one of joren, visa2, emv, kdf3, an10922 expected, 'visa3' came"):
        scheme("visa3")
    assert [scheme(name).name for name in SCHEMES] == list(SCHEMES)


def test_check_value_of_3des_is_that_of_the_standard() -> None:
    """GlobalPlatform 2.3.1, B.6: the usual 3DES test key 40..4F."""
    assert DesKey(MASTER).kcv().hex().upper() == "8BAF47"


def test_a_3des_key_hides_itself() -> None:
    key = DesKey(MASTER, "kmc", 2)
    assert repr(key) == str(key) == "<DesKey kmc 2TDEA version 2>"
    assert (key.name, key.version, len(key)) == ("kmc", 2, 16)
    assert key == DesKey(MASTER) != DesKey(bytes(16))
    assert key != Key(MASTER)
    with pytest.raises(TypeError):
        hash(key)
    for size in (8, 32):
        with pytest.raises(ValueError, match=f"16 or 24 bytes expected, {size} came"):
            DesKey(bytes(size))


def test_two_key_3des_is_three_key_3des_with_the_first_key_again() -> None:
    other = Cipher(des_module.TripleDES(MASTER + MASTER[:8]), modes.ECB()).encryptor().update(DATA[:8])
    assert DesKey(MASTER).ecb(DATA[:8]) == other == DesKey(MASTER + MASTER[:8]).ecb(DATA[:8])


def test_3des_is_found_where_older_libraries_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """cryptography before 43 has no `decrepit`."""
    old = ModuleType("algorithms")
    monkeypatch.setattr(old, "TripleDES", des_module.TripleDES, raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.decrepit.ciphers.algorithms", None)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.algorithms", old)
    spec = importlib.util.spec_from_file_location("joren.apdu.diversify_old", des_module.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.DesKey(MASTER).kcv() == DesKey(MASTER).kcv()
