"""Keys of SCP03: derivation against the library's, the cipher that is kept, keys encrypted for PUT KEY."""

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu import Key, MacMismatch
from joren.apdu.cmac import cmac
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import ScpKeys, decrypt_key, decrypt_sensitive, encrypt_key, encrypt_sensitive
from joren.apdu.scp03_cipher import SessionCipher
from joren.apdu.scp03_keys import kdf
from scp03kit import AID, KEYS, aes, cbc

AES_KEYS = st.sampled_from((16, 24, 32)).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@given(AES_KEYS, st.integers(0, 255), st.binary(max_size=40), st.sampled_from((8, 16, 24, 32)))
def test_derivation_agrees_with_the_library(key: bytes, constant: int, context: bytes, size: int) -> None:
    """Amendment D, 4.1.5: the counter stands between the length and the context."""
    label = bytes(11) + bytes((constant, 0)) + (size * 8).to_bytes(2)
    reference = KBKDFCMAC(
        algorithm=algorithms.AES, mode=Mode.CounterMode, length=size, rlen=1, llen=None, location=CounterLocation.MiddleFixed,
        label=None, context=None, fixed=label + context, break_location=len(label),
    )  # fmt: skip
    assert kdf(Key(key).cmac, constant, context, size) == reference.derive(key)


@given(
    AES_KEYS,
    st.lists(st.tuples(st.sampled_from("ebdm"), st.binary(min_size=16, max_size=16), st.binary(min_size=1, max_size=100)), max_size=8),
)
def test_the_kept_cipher_agrees_with_the_library_in_any_order(key: bytes, steps: list[tuple[str, bytes, bytes]]) -> None:
    cipher = SessionCipher(Key(key))
    for step, iv, message in steps:
        blocks = message.ljust(-(-len(message) // 16) * 16, b"\x5a")
        match step:
            case "e":
                assert cipher.encrypt(int.from_bytes(iv), blocks) == cbc(key, aes(key, iv), blocks)
            case "d":
                assert cipher.decrypt(int.from_bytes(iv), blocks) == cbc(key, aes(key, iv), blocks, back=True)
            case "b":
                assert cipher.block(int.from_bytes(iv)) == int.from_bytes(aes(key, iv))
            case _:
                assert cipher.mac(message) == cmac(key, message)


def test_a_set_has_keys_of_one_length_and_a_version() -> None:
    with pytest.raises(ValueError, match="16, 16, 24 bytes came"):
        ScpKeys(Key(bytes(16)), Key(bytes(16)), Key(bytes(24)))
    with pytest.raises(ValueError, match=r"0\.\.255"):
        ScpKeys(Key(bytes(16)), Key(bytes(16)), Key(bytes(16)), 256)


@pytest.mark.parametrize("size", [8, 16])
def test_a_pseudo_random_challenge_depends_on_all(size: int) -> None:
    keys = ScpKeys(Key(KEYS[16][0]), Key(KEYS[16][1]), Key(KEYS[16][2]))
    challenge = keys.card_challenge(1, AID, size)
    assert len(challenge) == size
    assert challenge != keys.card_challenge(2, AID, size)
    assert challenge != keys.card_challenge(1, AID + b"\x00", size)


@pytest.mark.parametrize(("size", "length", "inner"), [(16, 23, 0x11), (24, 39, 0x21), (32, 39, 0x21)])
@pytest.mark.parametrize("dek_size", [16, 24, 32])
def test_a_key_for_put_key(size: int, length: int, inner: int, dek_size: int) -> None:
    """Amendment D, Table 7-10."""
    dek, key = KEYS[dek_size][2], KEYS[size][0]
    block = encrypt_key(Key(dek), Key(key))
    assert len(block) == length
    assert block[:3] == bytes((0x88, inner, size))
    assert cbc(dek, bytes(16), block[3:-4], back=True)[:size] == key
    assert block[-4:] == b"\x03" + aes(key, b"\x01" * 16)[:3]
    back = decrypt_key(Key(dek), block, "new", 7)
    assert (back, back.name, back.version) == (Key(key), "new", 7)


def test_padding_is_any_bytes() -> None:
    dek, key = Key(KEYS[16][2]), Key(KEYS[24][0])
    assert encrypt_key(dek, key, b"\xa5" * 8) != encrypt_key(dek, key)
    assert decrypt_key(dek, encrypt_key(dek, key, b"\xa5" * 8)) == key
    with pytest.raises(ValueError, match="8 bytes expected, 7 came"):
        encrypt_key(dek, key, bytes(7))


def test_a_wrong_check_value_or_dek_is_found() -> None:
    block = encrypt_key(Key(KEYS[16][2]), Key(KEYS[16][0]))
    for dek, bent in (
        (KEYS[16][2], block[:-1] + bytes((block[-1] ^ 1,))),
        (KEYS[16][1], block),
        (KEYS[16][2], block[:3] + bytes(16) + block[19:]),
    ):
        with pytest.raises(MacMismatch, match="key check value"):
            decrypt_key(Key(dek), bent)


def test_other_forms_are_no_key() -> None:
    block = encrypt_key(Key(KEYS[16][2]), Key(KEYS[16][0]))
    for index in (0, 1, 2, 19):
        bent = bytearray(block)
        bent[index] ^= 0x08
        with pytest.raises(MalformedRecord):
            decrypt_key(Key(KEYS[16][2]), bytes(bent))
    for wrong in (b"", block[:2], block[:-1], block + b"\x00"):
        with pytest.raises(MalformedRecord):
            decrypt_key(Key(KEYS[16][2]), wrong)


@given(st.binary(max_size=64))
def test_sensitive_data(data: bytes) -> None:
    dek = Key(KEYS[32][2])
    encrypted = encrypt_sensitive(dek, data)
    assert len(encrypted) == -(-len(data) // 16) * 16
    assert decrypt_sensitive(dek, encrypted)[: len(data)] == data
    assert encrypted == cbc(KEYS[32][2], bytes(16), data.ljust(len(encrypted), b"\x00"))


def test_sensitive_data_come_in_whole_blocks() -> None:
    with pytest.raises(MalformedRecord, match="whole blocks"):
        decrypt_sensitive(Key(bytes(16)), bytes(15))
