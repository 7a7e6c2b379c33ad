"""Keys work, and never show themselves."""

import copy
import pickle
from traceback import format_exception

import pytest

from joren.apdu import Key, MacMismatch
from scp03kit import cmac

SECRET = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


def test_what_a_key_does() -> None:
    key = Key(SECRET, "till", 3)
    assert key.cmac(b"message") == cmac(SECRET, b"message")
    assert key.mac8(b"message") == cmac(SECRET, b"message")[:8]
    key.verify8(b"message", key.mac8(b"message"))
    assert key.reveal() == SECRET
    assert len(key) == 16
    assert key.version == 3


def test_check_value_is_that_of_the_standard() -> None:
    """GlobalPlatform 2.3.1, B.6: the usual AES-128 test key 40..4F."""
    assert Key(bytes(range(0x40, 0x50))).kcv().hex() == "504a77"


def test_derived_keys_differ_by_label_and_context() -> None:
    """REQ-KEY-2: the formula, and that label and context both count."""
    key = Key(SECRET)
    derived = key.derive(b"till", b"context")
    assert derived.reveal() == cmac(SECRET, b"\x01till\x00context\x00\x80")
    assert derived != key.derive(b"shop", b"context")
    assert derived != key.derive(b"till", b"contexu")
    assert derived == key.derive(b"till", b"context")
    assert derived.name == "till"


def test_a_wrong_mac_raises() -> None:
    key = Key(SECRET, "till")
    for mac in (b"", key.mac8(b"message")[:7], bytes(8), key.mac8(b"message") + b"\x00", key.mac8(b"messagf")):
        with pytest.raises(MacMismatch):
            key.verify8(b"message", mac)


def test_nothing_shows_the_bytes() -> None:
    key = Key(SECRET, "till")
    key.mac8(b"")
    shown = [repr(key), str(key), f"{key}", repr([key]), repr({"key": key})]
    for failing in (lambda: pickle.dumps(key), lambda: copy.copy(key), lambda: copy.deepcopy(key), lambda: vars(key), lambda: hash(key)):
        with pytest.raises(TypeError) as error:
            failing()
        shown += format_exception(error.value)
    with pytest.raises(MacMismatch) as mismatch:
        key.verify8(b"", bytes(8))
    shown += format_exception(mismatch.value)
    with pytest.raises(ValueError, match="15 came") as short:
        Key(SECRET[:15], "short")
    shown += format_exception(short.value)
    everything = "".join(shown).lower()
    assert SECRET[:4].hex() not in everything
    assert repr(SECRET[:4])[2:-1] not in everything


def test_keys_are_equal_by_their_bytes_only_to_keys() -> None:
    assert Key(SECRET, "a") == Key(SECRET, "b")
    assert Key(SECRET) != Key(bytes(16))
    assert Key(SECRET) != SECRET
