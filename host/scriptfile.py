"""The three files between server and terminal, JSON each: joren-probe, joren-script, joren-answers. None has a key, or anything to hide.

How it works. PINs and keys stand in a script's commands encrypted for one session of one card; once the card's sequence counter has moved
on, the script is worth nothing to anybody. Of answers within the channel a script tells the terminal the length alone: it shall not be
able to make them up.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self, TypeVar

from joren.apdu import Command, LifeCycle, MalformedCommand, MalformedResponse, Response
from joren.apdu.cards import CustomerInfo, ShopInfo

from .dialog import Slot
from .errors import HostError
from .facts import Facts
from .tomlfile import check_table, expect, whole_number

__all__ = ["Answers", "Line", "Probe", "Script"]

VERSION = 1
SLOTS = {"customer": Slot.CUSTOMER, "shop": Slot.SHOP}
NAMES = {slot: name for name, slot in SLOTS.items()}
DIVERSIFICATION_SIZE, IDENTITY_SIZE, DIGEST_SIZE = 10, 8, 32
PROBE_KEYS = ("slot", "programme", "selected", "card_keys", "tries", "manager_keys", "card", "key_version", "counter")
SCRIPT_KEYS = ("purpose", "slot", "programme", "identity", "card", "key_version", "counter", "created", "steps")
LINE_KEYS = ("name", "command", "expected", "answer")
ANSWERS_KEYS = ("script", "answers", "ended")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Probe:
    """What a card said: its facts; of its card manager 10 bytes of diversification data, key version, sequence counter u24."""

    facts: Facts
    card: bytes
    key_version: int
    counter: int

    def encode(self) -> str:
        """The file."""
        facts = self.facts
        fields = {
            "slot": NAMES[facts.slot],
            "programme": facts.programme,
            "selected": _hex(facts.info.encode()),
            "card_keys": _hex(facts.card_keys),
            "tries": _hex(facts.tries),
            "manager_keys": _hex(facts.manager_keys),
            "card": _hex(self.card),
            "key_version": self.key_version,
            "counter": self.counter,
        }
        return _written("joren-probe", fields)

    @classmethod
    def decode(cls, text: str) -> Self:
        """From a file. Raises HostError naming what is wrong."""
        table = _read("joren-probe", text, PROBE_KEYS)
        slot = _slot(table["slot"])
        selected = _bytes("selected", table["selected"])
        try:
            info = (CustomerInfo if slot is Slot.CUSTOMER else ShopInfo).decode(selected)
        except ValueError as error:
            raise HostError(f"selected: {error}") from error
        expect(info.life_cycle in set(LifeCycle), "selected", "a life cycle state", info.life_cycle)
        keys, tries, manager = (_bytes(name, table[name]) for name in ("card_keys", "tries", "manager_keys"))
        return cls(Facts(slot, _programme(table), info, keys, tries, manager), *_chip(table))


@dataclass(frozen=True, slots=True)
class Line:
    """One command of a script. `expected`: data and status word in hexadecimal, `..` for each byte that is not foretold.

    `answer`: of a command within the channel the data of the answer in the clear, else None.
    """

    name: str
    command: Command
    expected: str
    answer: bytes | None = None

    def takes(self, response: Response) -> bool:
        """Whether a response is as expected."""
        told = response.encode()
        pairs = [self.expected[at : at + 2] for at in range(0, len(self.expected), 2)]
        return len(told) == len(pairs) and all(pair in ("..", f"{byte:02X}") for pair, byte in zip(pairs, told, strict=True))


@dataclass(frozen=True, slots=True)
class Script:
    """A change for one card at one value of its sequence counter, the one after `counter`."""

    purpose: str
    slot: Slot
    programme: int
    identity: bytes
    card: bytes
    key_version: int
    counter: int
    created: str
    lines: tuple[Line, ...]

    @property
    def digest(self) -> str:
        """By this answers name their script: SHA-256 of the file, in hexadecimal."""
        return sha256(self.encode().encode()).hexdigest().upper()

    def encode(self) -> str:
        """The file."""
        fields = {
            "purpose": self.purpose,
            "slot": NAMES[self.slot],
            "programme": self.programme,
            "identity": _hex(self.identity),
            "card": _hex(self.card),
            "key_version": self.key_version,
            "counter": self.counter,
            "created": self.created,
            "steps": [
                {
                    "name": line.name,
                    "command": _hex(line.command.encode()),
                    "expected": line.expected,
                    "answer": None if line.answer is None else _hex(line.answer),
                }
                for line in self.lines
            ],
        }
        return _written("joren-script", fields)

    @classmethod
    def decode(cls, text: str) -> Self:
        """From a file. Raises HostError naming what is wrong."""
        table = _read("joren-script", text, SCRIPT_KEYS)
        steps = table["steps"]
        expect(isinstance(steps, list) and steps, "steps", "a list", steps)
        lines = tuple(_line(f"steps[{number}]", step) for number, step in enumerate(steps))
        purpose, created = (_text(name, table[name]) for name in ("purpose", "created"))
        identity = _bytes("identity", table["identity"], IDENTITY_SIZE)
        return cls(purpose, _slot(table["slot"]), _programme(table), identity, *_chip(table), created, lines)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a terminal brought back. `script` is the digest of the script; `ended` says why it stopped, "" after the last step."""

    script: str
    told: tuple[Response, ...]
    ended: str

    def encode(self) -> str:
        """The file."""
        return _written("joren-answers", {"script": self.script, "answers": [_hex(one.encode()) for one in self.told], "ended": self.ended})

    @classmethod
    def decode(cls, text: str) -> Self:
        """From a file. Raises HostError naming what is wrong."""
        table = _read("joren-answers", text, ANSWERS_KEYS)
        told = table["answers"]
        expect(isinstance(told, list), "answers", "a list", told)
        answers = tuple(_decoded(f"answers[{number}]", Response.decode, one) for number, one in enumerate(told))
        return cls(_hex(_bytes("script", table["script"], DIGEST_SIZE)), answers, _text("ended", table["ended"]))


def _written(name: str, fields: Mapping[str, object]) -> str:
    return json.dumps({"format": name, "version": VERSION, **fields}, indent=1) + "\n"


def _read(name: str, text: str, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HostError(f"{name}: no JSON: {error}") from None
    told = check_table(name, table, ("format", "version", *keys))
    expect(told["format"] == name, "format", name, told["format"])
    expect(type(told["version"]) is int and told["version"] == VERSION, "version", str(VERSION), told["version"])
    return told


def _line(where: str, value: object) -> Line:
    table = check_table(where, value, LINE_KEYS)
    expected = _text(f"{where}.expected", table["expected"])
    pairs = [expected[at : at + 2] for at in range(0, len(expected), 2)]
    right = len(pairs) >= 2 and all(pair == ".." or (len(pair) == 2 and set(pair) <= set("0123456789ABCDEF")) for pair in pairs)
    expect(right, f"{where}.expected", "bytes in hexadecimal, or ..", expected)
    answer = None if table["answer"] is None else _bytes(f"{where}.answer", table["answer"])
    return Line(_text(f"{where}.name", table["name"]), _decoded(f"{where}.command", Command.decode, table["command"]), expected, answer)


def _decoded(where: str, decode: Callable[[bytes], T], value: object) -> T:
    try:
        return decode(_bytes(where, value))
    except (MalformedCommand, MalformedResponse) as error:
        raise HostError(f"{where}: {error}") from None


def _chip(table: Mapping[str, Any]) -> tuple[bytes, int, int]:
    card = _bytes("card", table["card"], DIVERSIFICATION_SIZE)
    return card, whole_number("key_version", table["key_version"], 0xFF), whole_number("counter", table["counter"], 0xFFFFFF)


def _programme(table: Mapping[str, Any]) -> int:
    return whole_number("programme", table["programme"], 0xFFFF)


def _slot(value: object) -> Slot:
    expect(isinstance(value, str) and value in SLOTS, "slot", " or ".join(SLOTS), value)
    return SLOTS[str(value)]


def _text(where: str, value: object) -> str:
    expect(isinstance(value, str) and value.isprintable(), where, "a text on one line", value)
    return str(value)


def _bytes(where: str, value: object, size: int | None = None) -> bytes:
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        raw = None
    if raw is None or (size is not None and len(raw) != size):
        raise HostError(f"{where}: {'' if size is None else f'{size} '}bytes in hexadecimal expected, {value!r:.80} came")
    return raw


def _hex(raw: bytes) -> str:
    return raw.hex().upper()
