"""Keys of SCP03: derivation against the library's, the cipher that is kept, keys encrypted for PUT KEY."""

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu import SW, Key, MacMismatch, Response
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import (
    ChannelRefused,
    ScpKeys,
    check_put_keys,
    decode_put_keys,
    decrypt_key,
    decrypt_sensitive,
    delete_keys,
    encrypt_key,
    encrypt_sensitive,
    put_keys,
    put_keys_answer,
)
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
    st.lists(st.tuples(st.booleans(), st.binary(min_size=16, max_size=16), st.binary(min_size=1, max_size=100)), max_size=8),
)
def test_the_kept_cipher_agrees_with_the_library_in_any_order(key: bytes, steps: list[tuple[bool, bytes, bytes]]) -> None:
    cipher = SessionCipher(Key(key))
    for back, iv, message in steps:
        blocks = message.ljust(-(-len(message) // 16) * 16, b"\x5a")
        work = cipher.decrypt if back else cipher.encrypt
        assert work(int.from_bytes(iv), blocks) == cbc(key, aes(key, iv), blocks, back=back)


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


class TestPutKey:
    def new(self, size: int = 16, version: int = 0x31) -> ScpKeys:
        enc, mac, dek = (Key(key) for key in KEYS[size])
        return ScpKeys(enc, mac, dek, version)

    @pytest.mark.parametrize("size", [16, 24, 32])
    def test_a_key_set_arrives(self, size: int) -> None:
        dek = Key(KEYS[32][1])
        command = put_keys(dek, self.new(size), 0x30, 4)
        assert (command.cla, command.ins, command.p1, command.p2, command.ne) == (0xC0, 0xD8, 0x30, 0x81, 256)
        assert len(command.data) == 1 + 3 * (23 if size == 16 else 39)
        keys = decode_put_keys(dek, command.data)
        assert keys == self.new(size)
        assert [key.name for key in (keys.enc, keys.mac, keys.dek)] == ["Key-ENC", "Key-MAC", "Key-DEK"]
        check_put_keys(Response(put_keys_answer(keys), SW.OK), self.new(size))

    def test_the_answer_is_version_and_check_values(self) -> None:
        answer = put_keys_answer(self.new())
        assert answer == b"\x31" + b"".join(aes(key, b"\x01" * 16)[:3] for key in KEYS[16])
        for wrong in (b"", answer[:-1], answer[:-1] + bytes((answer[-1] ^ 1,)), b"\x30" + answer[1:]):
            with pytest.raises(MacMismatch, match="version 31"):
                check_put_keys(Response(wrong, SW.OK), self.new())
        with pytest.raises(ChannelRefused, match="PUT KEY: the card answered 6A80 WRONG_DATA"):
            check_put_keys(Response(b"", SW.WRONG_DATA), self.new())

    @pytest.mark.parametrize(("version", "replaces"), [(0, 0), (0x80, 0), (1, 0x80), (1, -1)])
    def test_versions_that_are_none(self, version: int, replaces: int) -> None:
        with pytest.raises(ValueError, match="key version"):
            put_keys(Key(bytes(16)), self.new(version=version), replaces)

    def test_delete_names_a_version(self) -> None:
        command = delete_keys(0x31, 4)
        assert command.encode().hex().upper() == "C0E4000003D2013100"
        assert delete_keys(0xFF).data == b"\xd2\x01\xff"
        for version in (0, 0x80, 0xFE, 0x100):
            with pytest.raises(ValueError, match="key version"):
                delete_keys(version)

    def test_data_that_are_no_key_set(self) -> None:
        dek = Key(KEYS[16][2])
        data = put_keys(dek, self.new()).data
        mixed = b"\x31" + encrypt_key(dek, Key(bytes(24))) + encrypt_key(dek, Key(bytes(32))) + encrypt_key(dek, Key(bytes(24)))
        for wrong in (b"", b"\x31", data[:-1], data[:-23], data + bytes(3), b"\x00" + data[1:], b"\x80" + data[1:], mixed):
            with pytest.raises(MalformedRecord):
                decode_put_keys(dek, wrong)
        with pytest.raises(MacMismatch):
            decode_put_keys(Key(KEYS[16][1]), data)
