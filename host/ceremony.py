"""A key ceremony: keys made, split into components for several custodians, combined again; and the versions of a key side by side.

How it works. A component is as long as the key, and the exclusive or of all of them is the key: whoever lacks one knows nothing of it.
Each is handed over with its check value, by which a typing error is found before anything is combined. Nothing here reads or writes files.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from hmac import compare_digest
from itertools import pairwise
from secrets import token_bytes
from typing import Generic, TypeVar

from joren.apdu import Key
from joren.apdu.diversify import DesKey

from .errors import HostError

__all__ = ["Component", "KeyRing", "combine", "generate", "parse_component", "split"]

K = TypeVar("K", bound=Key | DesKey)
COMPONENTS_MAX = 16
VERSION_MAX = 0xFF
KCV_SIZE = 3
HALF = 8


def generate(kind: type[K], size: int, name: str = "", version: int = 1, *, random: Callable[[int], bytes] = token_bytes) -> K:
    """A new key of `size` bytes: 16, 24 or 32 of AES, 16 or 24 of 3DES. Raises HostError for another size, and for a random source
    that gives a key nobody may use."""
    try:
        key = kind(random(size), name, version)
    except ValueError as error:
        raise HostError(str(error)) from None
    _usable(key, "the random generator gave")
    return key


@dataclass(frozen=True, slots=True)
class Component(Generic[K]):
    """One part of a key, as a key that hides itself; `number` from 1, for people."""

    number: int
    key: K

    @property
    def check_value(self) -> bytes:
        """The check value that a key of these bytes has, 3 bytes."""
        return self.key.kcv()

    @classmethod
    def of(cls, kind: type[K], number: int, data: bytes, check_value: bytes) -> "Component[K]":
        """A component as its custodian gives it. Raises HostError where its length can not be or its check value (3 bytes) does not fit."""
        try:
            key = kind(data, f"component {number}")
        except ValueError as error:
            raise HostError(str(error)) from None
        if not compare_digest(key.kcv(), check_value):
            raise HostError(f"component {number}: the check value {check_value.hex().upper()} does not fit; read both again")
        return cls(number, key)


def parse_component(kind: type[K], number: int, text: str) -> Component[K]:
    """A component from text: in its first line the component, in its second the check value, both hexadecimal, blanks ignored.

    Raises HostError, which names no digit of it.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 2:
        raise HostError(f"component {number}: two lines expected, the component and its check value, {len(lines)} came")
    try:
        data, check_value = (bytes.fromhex(line) for line in lines)
    except ValueError:
        raise HostError(f"component {number}: hexadecimal digits expected, something else came") from None
    if len(check_value) != KCV_SIZE:
        raise HostError(f"component {number}: a check value of {KCV_SIZE} bytes expected, {len(check_value)} came")
    return Component.of(kind, number, data, check_value)


def split(key: K, count: int, *, random: Callable[[int], bytes] = token_bytes) -> tuple[Component[K], ...]:
    """`count` components of a key, 2..16. Raises HostError."""
    if not 2 <= count <= COMPONENTS_MAX:
        raise HostError(f"components: 2..{COMPONENTS_MAX} expected, {count} came")
    kind = type(key)
    drawn: list[bytes] = [random(len(key)) for _ in range(count - 1)]
    parts = [*drawn, reduce(_xor, drawn, key.reveal())]
    components = tuple(Component(i, kind(part, f"component {i}")) for i, part in enumerate(parts, 1))
    _differ(components)
    return components


def combine(components: Sequence[Component[K]], name: str = "", version: int = 1, *, check_value: bytes | None = None) -> K:
    """The key of all its components, in any order, with the check value expected of it, 3 bytes, if that is known.

    Raises HostError for fewer than two components, components of different lengths or ciphers, one that came twice, a key of zeros, a 3DES
    key that is no more than DES, another check value.
    """
    if not 2 <= len(components) <= COMPONENTS_MAX:
        raise HostError(f"components: 2..{COMPONENTS_MAX} expected, {len(components)} came")
    kind, size = type(components[0].key), len(components[0].key)
    for component in components:
        if type(component.key) is not kind or len(component.key) != size:
            raise HostError(f"components: all of one cipher and length expected; {components[0].key!r} and {component.key!r} came")
    _differ(components)
    key = kind(reduce(_xor, (component.key.reveal() for component in components)), name, version)
    _usable(key, "the components give")
    if check_value is not None and not compare_digest(key.kcv(), check_value):
        expected, came = check_value.hex().upper(), key.kcv().hex().upper()
        raise HostError(f"key {name}: check value {expected} expected, {came} came; a component is missing or another key's")
    return key


class KeyRing:
    """The versions of one key side by side, old and new: while cards are renewed, each card is met with the version it has."""

    __slots__ = ("_keys", "name")

    def __init__(self, name: str, *keys: Key) -> None:
        """One key or more, of one length, each with a version of its own (u8, REQ-KEY-1) and bytes of its own. Raises HostError."""
        self.name = name
        self._keys: dict[int, Key] = {}
        if not keys:
            raise HostError(f"key ring {name}: a key expected, none came")
        for key in keys:
            self._add(key)

    def __repr__(self) -> str:
        return f"<KeyRing {self.name} versions {self._versions()}>"

    def __iter__(self) -> Iterator[Key]:
        """The keys by rising version."""
        return iter([self._keys[version] for version in sorted(self._keys)])

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def newest(self) -> Key:
        """The key of the highest version, with which new cards are made."""
        return self._keys[max(self._keys)]

    def key(self, version: int) -> Key:
        """The key of a version. Raises HostError, which lists those there are."""
        if version not in self._keys:
            raise HostError(f"key {self.name}: version {version} is not here; there are {self._versions()}")
        return self._keys[version]

    def derive(self, version: int, label: bytes, context: bytes) -> Key:
        """A card's key from the master of a version (REQ-KEY-2). Raises HostError for a version that is not here."""
        return self.key(version).derive(label, context)

    def verify8(self, version: int, message: bytes, mac: bytes) -> None:
        """Raises MacMismatch unless mac is the version's MAC of message, HostError for a version that is not here."""
        self.key(version).verify8(message, mac)

    def with_key(self, key: Key) -> "KeyRing":
        """A ring that has this key as well. Raises HostError."""
        return KeyRing(self.name, *self, key)

    def without(self, version: int) -> "KeyRing":
        """A ring without a version, when no card has it any more. Raises HostError for one that is not here, and for the last."""
        gone = self.key(version)
        return KeyRing(self.name, *(key for key in self if key is not gone))

    def _add(self, key: Key) -> None:
        if not 0 <= key.version <= VERSION_MAX:
            raise HostError(f"key {self.name}: a version 0..{VERSION_MAX} expected, {key.version} came")
        if key.version in self._keys:
            raise HostError(f"key {self.name}: version {key.version} came twice")
        for known in self._keys.values():
            if len(known) != len(key):
                raise HostError(f"key {self.name}: versions of one length expected, {known!r} and {key!r} came")
            if known == key:
                raise HostError(f"key {self.name}: versions {known.version} and {key.version} are the same key")
        self._keys[key.version] = key

    def _versions(self) -> str:
        return ", ".join(map(str, sorted(self._keys)))


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _differ(components: Sequence[Component[K]]) -> None:
    """Raises HostError where two components are the same, for they cancel each other out, or one is all zeros."""
    for i, component in enumerate(components):
        if not any(component.key.reveal()):
            raise HostError(f"component {component.number}: all zeros; it hides nothing")
        for other in components[:i]:
            if other.key == component.key:
                raise HostError(f"components {other.number} and {component.number} are the same; each custodian gives one of their own")


def _usable(key: Key | DesKey, whose: str) -> None:
    raw = key.reveal()
    if not any(raw):
        raise HostError(f"key {key.name}: {whose} all zeros; nobody may use that key")
    if isinstance(key, DesKey):
        parts = [bytes(byte & 0xFE for byte in raw[at : at + HALF]) for at in range(0, len(raw), HALF)]
        if any(one == other for one, other in pairwise(parts)):
            raise HostError(
                f"key {key.name}: {whose} 3DES with two parts that are the same, which is no more than DES; nobody may use that key"
            )
