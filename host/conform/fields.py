"""What bytes a vector means: hexadecimal, names, numbers, MACs (docs/conformance.md, "Fields").

How it works. A field is read once, when its file is loaded, into items; its bytes are made when a step needs them, as MACs stand over what
the card said a moment ago. A name is looked up from the innermost values outwards. A value that names itself means the next one out: so
`{"nonce": {"flip": "$nonce", "at": 0}}` is the nonce with one bit wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from joren.apdu import Key
from joren.apdu.scp03 import ScpKeys, encrypt_sensitive

__all__ = [
    "BYTES_MAX", "BadField", "Field", "Flip", "Keys", "Literal", "Mac", "Name", "Scope", "Sealed", "literal", "names_in", "read_field",
]  # fmt: skip

BYTES_MAX = 65535
TOKEN = re.compile(
    r"(?:(?P<hex>[0-9A-Fa-fX]+)(?:\*(?P<times>\d{1,5}))?|\$(?P<name>\w+)|@(?P<key>[\w-]+)|kcv:(?P<checked>[\w-]+)"
    r"|u(?P<bits>8|16|24|32):(?P<number>\d{1,10}))$"
)
DEPTH_MAX = 32


class BadField(ValueError):
    """A field that can not be; says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes; where `mask` has a 0 bit anything will do, which only an answer may have."""

    value: bytes
    mask: bytes


@dataclass(frozen=True, slots=True)
class Name:
    """The value of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class KeyBytes:
    """A key itself, as personalization has it, or its check value."""

    key: str
    check_value: bool


@dataclass(frozen=True, slots=True)
class Mac:
    """The 8 bytes of a MAC (docs/spec/keys.md)."""

    message: "Field"
    key: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """Whole blocks under the Key-DEK of a key set (REQ-PER-5)."""

    content: "Field"
    keys: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A value with the lowest bit of one byte the other way round."""

    content: "Field"
    at: int


Item = Literal | Name | KeyBytes | Mac | Sealed | Flip
Field = tuple[Item, ...]


def literal(value: bytes) -> Field:
    """A field of just these bytes."""
    return (Literal(value, b"\xff" * len(value)),)


def read_field(found: object, *, masks: bool = False) -> Field:
    """From what a file has: a text, a list, or an object. Raises BadField."""
    if isinstance(found, str):
        return tuple(_items(found, masks))
    if isinstance(found, list):
        return tuple(item for one in found for item in read_field(one, masks=masks))
    if isinstance(found, dict):
        return (_object(found),)
    raise BadField(f"a text, a list or an object expected, {type(found).__name__} came")


def _items(text: str, masks: bool) -> Iterator[Item]:
    for token in text.split():
        match = TOKEN.match(token)
        if match is None:
            raise BadField(f"bytes in hexadecimal, $name, u16:number, @key or kcv:key expected, {token} came")
        if match["name"]:
            yield Name(match["name"])
        elif match["key"] or match["checked"]:
            yield KeyBytes(match["key"] or match["checked"], bool(match["checked"]))
        elif match["bits"]:
            size, number = int(match["bits"]) // 8, int(match["number"])
            if number >= 1 << 8 * size:
                raise BadField(f"{token}: at most {(1 << 8 * size) - 1} fits")
            yield from literal(number.to_bytes(size))
        else:
            yield _hex(match["hex"], int(match["times"] or 1), masks)


def _hex(digits: str, times: int, masks: bool) -> Literal:
    if len(digits) % 2:
        raise BadField(f"whole bytes expected, {digits} came")
    if "X" in digits and not masks:
        raise BadField(f"{digits}: X stands in answers alone")
    if len(digits) // 2 * times > BYTES_MAX:
        raise BadField(f"at most {BYTES_MAX} bytes expected")
    mask = "".join("0" if digit == "X" else "F" for digit in digits)
    return Literal(bytes.fromhex(digits.replace("X", "0")) * times, bytes.fromhex(mask) * times)


def _object(found: Mapping[str, object]) -> Item:
    keys = set(found)
    if keys == {"mac", "key"}:
        return Mac(read_field(found["mac"]), _text(found["key"]))
    if keys == {"sealed", "under"}:
        return Sealed(read_field(found["sealed"]), _text(found["under"]))
    at = found.get("at")
    if keys == {"flip", "at"} and isinstance(at, int) and not isinstance(at, bool):
        return Flip(read_field(found["flip"]), at)
    raise BadField(f"mac and key, sealed and under, or flip and at (a number) expected, {', '.join(sorted(keys)) or 'nothing'} came")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadField(f"a text expected, {type(value).__name__} came")
    return value


def names_in(field: Field) -> Iterator[tuple[str, str]]:
    """What a field asks for: ("name", ...), ("key", ...), ("keys", ...)."""
    for item in field:
        match item:
            case Name(name):
                yield "name", name
            case KeyBytes(key, _):
                yield "key", key
            case Mac(message, key):
                yield "key", key
                yield from names_in(message)
            case Sealed(content, keys):
                yield "keys", keys
                yield from names_in(content)
            case Flip(content, _):
                yield from names_in(content)
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Keys:
    """The test keys by name, and key sets of card managers. Their reprs show nothing."""

    keys: Mapping[str, Key]
    sets: Mapping[str, ScpKeys]


class Scope:
    """Values by name, the innermost last, and what the card has said so far, between the vector's own and those of procedures and steps."""

    __slots__ = ("_bound", "_depth", "_frames", "_keys")

    def __init__(self, keys: Keys, *outer: Mapping[str, Field]) -> None:
        self._keys = keys
        self._bound: dict[str, Field] = {}
        self._frames: list[Mapping[str, Field]] = [*outer, self._bound]
        self._depth = 0

    def mute(self, level: int) -> Mapping[str, Field]:
        """Leaves one of the outer frames out; answers it, for `restore`."""
        frame, self._frames[level] = self._frames[level], {}
        return frame

    def restore(self, level: int, frame: Mapping[str, Field]) -> None:
        """Puts it back."""
        self._frames[level] = frame

    def bind(self, name: str, value: bytes) -> None:
        """The card said so."""
        self._bound[name] = literal(value)

    def push(self, values: Mapping[str, Field]) -> None:
        """Values for a procedure or a step."""
        self._frames.append(values)

    def pop(self) -> None:
        """They are over."""
        self._frames.pop()

    def value(self, field: Field, most: int = BYTES_MAX) -> bytes:
        """The bytes now. Raises BadField for a name that has no value yet, and for a value that ends nowhere."""
        found = b"".join([self._item(item, {}) for item in field])
        if len(found) > most:
            raise BadField(f"at most {most} bytes expected, {len(found)} came")
        return found

    def named(self, name: str) -> bytes:
        """The value of a name now. Raises BadField."""
        return self._named(name, {})

    def key_set(self, name: str) -> ScpKeys:
        """A card manager's key set."""
        return self._keys.sets[name]

    def _item(self, item: Item, below: Mapping[str, int]) -> bytes:
        match item:
            case Literal(value, _):
                return value
            case Name(name):
                return self._named(name, below)
            case KeyBytes(key, check_value):
                return self._keys.keys[key].kcv() if check_value else self._keys.keys[key].reveal()
            case Mac(message, key):
                return self._keys.keys[key].mac8(self._all(message, below))
            case Sealed(content, keys):
                return encrypt_sensitive(self._keys.sets[keys].dek, self._all(content, below))
            case Flip(content, at):
                flipped = bytearray(self._all(content, below))
                if not -len(flipped) <= at < len(flipped):
                    raise BadField(f"flip: {len(flipped)} bytes are there, not one at {at}")
                flipped[at] ^= 1
                return bytes(flipped)

    def _all(self, field: Sequence[Item], below: Mapping[str, int]) -> bytes:
        return b"".join([self._item(item, below) for item in field])

    def _named(self, name: str, below: Mapping[str, int]) -> bytes:
        for level in range(below.get(name, len(self._frames)) - 1, -1, -1):
            field = self._frames[level].get(name)
            if field is not None:
                if self._depth == DEPTH_MAX:
                    raise BadField(f"${name}: values within values within values, more than {DEPTH_MAX} deep")
                self._depth += 1
                try:
                    return self._all(field, {**below, name: level})
                finally:
                    self._depth -= 1
        raise BadField(f"${name}: it has no value here")
