"""Key ceremonies: components give the key again, a wrong one is found, and versions of a key stand side by side."""

from collections.abc import Callable
from itertools import permutations
from traceback import format_exception

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.apdu import Key, MacMismatch
from joren.apdu.diversify import DesKey
from joren.host import HostError
from joren.host.ceremony import Component, KeyRing, combine, generate, parse_component, split

SECRET = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
ONE, TWO, THREE = (bytes((n,)) + bytes(range(n * 16 + 1, n * 16 + 16)) for n in (1, 2, 3))
KINDS = [(Key, 16), (Key, 24), (Key, 32), (DesKey, 16), (DesKey, 24)]


def component(number: int, data: bytes, kind: type[Key] | type[DesKey] = Key) -> Component[Key | DesKey]:
    return Component.of(kind, number, data, kind(data).kcv())


def drawing(*drawn: bytes) -> Callable[[int], bytes]:
    """A random generator that gives these."""
    left = iter(drawn)
    return lambda _size: next(left)


@pytest.mark.parametrize(("kind", "size"), KINDS)
@pytest.mark.parametrize("count", [2, 3, 16])
def test_all_components_give_the_key_again(kind: type[Key] | type[DesKey], size: int, count: int) -> None:
    key = generate(kind, size, "load", 3)
    parts = split(key, count)
    assert len(parts) == count
    again = combine(parts[::-1], "load", 3, check_value=key.kcv())
    assert again == key
    assert (again.name, again.version, len(again)) == ("load", 3, size)


def test_order_is_free_and_none_may_lack() -> None:
    key = generate(Key, 16)
    parts = split(key, 3)
    for order in permutations(parts):
        assert combine(order) == key
    for lacking in range(3):
        some = [part for i, part in enumerate(parts) if i != lacking]
        assert combine(some) != key
        with pytest.raises(HostError, match="a component is missing or another key's"):
            combine(some, "load", check_value=key.kcv())


@given(drawn=st.binary(min_size=16, max_size=16).filter(lambda drawn: any(drawn) and drawn != SECRET))
def test_components_are_the_exclusive_or(drawn: bytes) -> None:
    first, second = split(Key(SECRET), 2, random=lambda _size: drawn)
    assert first.key.reveal() == drawn
    assert second.key.reveal() == bytes(a ^ b for a, b in zip(drawn, SECRET, strict=True))


def test_a_component_has_the_check_value_of_a_key() -> None:
    """GlobalPlatform 2.3.1, B.6."""
    usual = bytes(range(0x40, 0x50))
    assert component(1, usual).check_value.hex() == "504a77"
    assert component(1, usual, DesKey).check_value.hex() == "8baf47"


@pytest.mark.parametrize("kind", [Key, DesKey])
@given(position=st.integers(0, 15), flipped=st.sampled_from([0x02, 0x10, 0x80]))
def test_a_slip_in_a_component_is_found(kind: type[Key] | type[DesKey], position: int, flipped: int) -> None:
    """But for the low bits of 3DES, which are parity and no key."""
    wrong = bytearray(ONE)
    wrong[position] ^= flipped
    with pytest.raises(HostError, match=r"component 2: the check value .* does not fit"):
        Component.of(kind, 2, bytes(wrong), kind(ONE).kcv())


@pytest.mark.parametrize("size", [0, 8, 15, 17, 33])
def test_no_key_has_such_a_size(size: int) -> None:
    with pytest.raises(HostError, match=f"{size} came"):
        generate(Key, size)
    with pytest.raises(HostError, match=f"component 1: .*{size} came"):
        Component.of(Key, 1, bytes(size), bytes(3))


def test_a_random_generator_that_gives_zeros_is_found() -> None:
    with pytest.raises(HostError, match="the random generator gave all zeros"):
        generate(Key, 16, "load", random=bytes)
    with pytest.raises(HostError, match="component 1: all zeros"):
        split(Key(SECRET), 2, random=bytes)
    with pytest.raises(HostError, match="components 1 and 2 are the same"):
        split(Key(SECRET), 3, random=lambda _size: ONE)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], "2..16 expected, 0 came"),
        ([component(1, ONE)], "2..16 expected, 1 came"),
        ([component(i, bytes((i,)) + ONE[1:]) for i in range(17)], "2..16 expected, 17 came"),
        ([component(1, ONE), component(2, TWO + TWO[:8])], "one cipher and length expected"),
        ([component(1, ONE), component(2, TWO, DesKey)], "one cipher and length expected"),
        ([component(1, ONE), component(2, TWO), component(3, ONE)], "components 1 and 3 are the same"),
        ([component(1, ONE), component(2, bytes(16))], "component 2: all zeros"),
        ([component(1, ONE), component(2, TWO), component(3, bytes(a ^ b for a, b in zip(ONE, TWO, strict=True)))], "give all zeros"),
    ],
    ids=["none", "one", "too many", "lengths", "ciphers", "twice", "zeros", "a key of zeros"],
)
def test_components_that_make_no_key_are_refused(parts: list[Component[Key | DesKey]], expected: str) -> None:
    with pytest.raises(HostError, match=expected):
        combine(parts, "load")


@pytest.mark.parametrize("size", [16, 24])
def test_3des_with_the_same_part_twice_is_refused(size: int) -> None:
    """Also where the parts differ in parity bits alone."""
    weak = ONE[:8] + bytes(byte ^ 1 for byte in ONE[:8]) + TWO[:8]
    with pytest.raises(HostError, match="no more than DES"):
        generate(DesKey, size, random=drawing(weak[:size]))
    assert generate(DesKey, 24, random=drawing(ONE[:8] + TWO[:8] + ONE[:8])).reveal()[16:] == ONE[:8]


@pytest.mark.parametrize("count", [-1, 0, 1, 17])
def test_a_key_is_split_for_two_custodians_or_more(count: int) -> None:
    with pytest.raises(HostError, match=rf"2\.\.16 expected, {count} came"):
        split(Key(SECRET), count)


def test_a_component_is_read_from_two_lines() -> None:
    check = Key(ONE).kcv().hex()
    read = parse_component(Key, 1, f"\n {ONE.hex(' ', 4).upper()} \r\n\n{check}\n")
    assert read == component(1, ONE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "two lines expected, .*0 came"),
        (ONE.hex(), "two lines expected, .*1 came"),
        (f"{ONE.hex()}\nabcdef\n00", "two lines expected, .*3 came"),
        (f"{ONE.hex()}x\nabcdef", "hexadecimal digits expected"),
        (f"{ONE.hex()}\nabcd", "a check value of 3 bytes expected, 2 came"),
        (f"{ONE.hex()}\n000000", "the check value 000000 does not fit"),
        (f"{ONE.hex()[2:]}\nabcdef", "16, 24 or 32 bytes expected, 15 came"),
    ],
)
def test_other_text_is_refused_and_not_shown(text: str, expected: str) -> None:
    with pytest.raises(HostError, match=f"component 2: {expected}") as error:
        parse_component(Key, 2, text)
    assert ONE.hex()[8:16] not in "".join(format_exception(error.value, chain=True)).lower().replace(" ", "")


def test_nothing_shows_a_component() -> None:
    parts = split(Key(SECRET), 2, random=lambda _size: ONE)
    assert repr(parts[0]) == "Component(number=1, key=<Key component 1 AES-128 version 1>)"
    ring = KeyRing("load", Key(ONE, "load", 1), Key(TWO, "load", 2))
    assert repr(ring) == "<KeyRing load versions 1, 2>"


def test_a_ring_names_the_version_it_uses() -> None:
    """REQ-KEY-1, REQ-KEY-2: a card made with the old master is met with the old one, though a new one is there."""
    old, new = Key(ONE, "load", 1), Key(TWO, "load", 2)
    ring = KeyRing("load", old, new)
    assert ring.derive(1, b"load", b"context") == old.derive(b"load", b"context")
    assert ring.derive(2, b"load", b"context") == new.derive(b"load", b"context")
    assert ring.derive(2, b"load", b"context").version == 2
    ring.verify8(1, b"message", old.mac8(b"message"))
    with pytest.raises(MacMismatch):
        ring.verify8(2, b"message", old.mac8(b"message"))
    assert ring.newest is new


def test_a_version_that_is_not_here_is_told_with_those_that_are() -> None:
    ring = KeyRing("load", Key(TWO, "load", 7), Key(ONE, "load", 2))
    for failing in (
        lambda: ring.key(3),
        lambda: ring.derive(3, b"load", b""),
        lambda: ring.verify8(3, b"", bytes(8)),
        lambda: ring.without(3),
    ):
        with pytest.raises(HostError, match="key load: version 3 is not here; there are 2, 7"):
            failing()


def test_a_version_comes_and_another_goes() -> None:
    first = KeyRing("load", Key(ONE, "load", 1))
    both = first.with_key(Key(TWO, "load", 2))
    assert [key.version for key in both] == [1, 2]
    assert (len(first), len(both)) == (1, 2)
    assert [key.version for key in both.without(1)] == [2]
    with pytest.raises(HostError, match="a key expected, none came"):
        first.without(1)


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (Key(TWO, "load", 1), "version 1 came twice"),
        (Key(ONE, "load", 2), "versions 1 and 2 are the same key"),
        (Key(TWO + TWO[:8], "load", 2), "versions of one length expected"),
        (Key(TWO, "load", 256), r"0\.\.255 expected, 256 came"),
        (Key(TWO, "load", -1), r"0\.\.255 expected, -1 came"),
    ],
)
def test_versions_that_can_not_stand_side_by_side(second: Key, expected: str) -> None:
    with pytest.raises(HostError, match=expected):
        KeyRing("load", Key(ONE, "load", 1)).with_key(second)
