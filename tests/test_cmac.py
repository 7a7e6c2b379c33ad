"""AES-CMAC and SP 800-108 against published vectors and against the library's own implementations (REQ-KEY-2)."""

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu import Key
from joren.apdu.kdf import derive
from vectorfile import hexa, rows

KEYS = st.sampled_from((16, 24, 32)).flatmap(lambda size: st.binary(min_size=size, max_size=size))


@pytest.mark.parametrize(("key", "message", "mac"), rows("cmac.txt"))
def test_published_vectors(key: str, message: str, mac: str) -> None:
    assert Key(hexa(key)).cmac(hexa(message)) == hexa(mac)


@given(KEYS, st.lists(st.binary(max_size=80), min_size=1, max_size=3))
def test_agrees_with_the_library(key: bytes, messages: list[bytes]) -> None:
    kept = Key(key)
    for message in messages:
        reference = CMAC(algorithms.AES(key))
        reference.update(message)
        assert kept.cmac(message) == reference.finalize()


@given(KEYS, st.binary(max_size=20).filter(lambda label: b"\x00" not in label), st.binary(max_size=20), st.integers(1, 80))
def test_derivation_agrees_with_the_library(key: bytes, label: bytes, context: bytes, length: int) -> None:
    """REQ-KEY-2: counter of one byte before the fixed data, length of two bytes after them."""
    reference = KBKDFCMAC(
        algorithm=algorithms.AES, mode=Mode.CounterMode, length=length, rlen=1, llen=2, location=CounterLocation.BeforeFixed,
        label=label, context=context, fixed=None,
    )  # fmt: skip
    assert derive(Key(key).cmac, label, context, length) == reference.derive(key)


@pytest.mark.parametrize("length", [0, -1, 255 * 16 + 1])
def test_lengths_that_can_not_be_derived(length: int) -> None:
    with pytest.raises(ValueError, match="bytes expected"):
        derive(Key(bytes(16)).cmac, b"till", b"", length)
