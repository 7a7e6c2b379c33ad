"""How the bytes of commands, answers and records are laid out, and how each item of them reads.

How it works. A layout is a row of parts: name, size, and how to show it. The parts of a record come from its own Struct and field names,
so no layout stands here that stands elsewhere; RULES says by the name of a number how it reads."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Any

from .cards import CustomerInfo, Limits, PendingEntry, ShopInfo, Totals
from .codes import AID_CUSTOMER, AID_SHOP, Ending, KeyRef, Kind, LifeCycle
from .record import Record
from .sheet import BalanceSheet
from .state import DEFAULT_RULES, RankRules, Slot, State
from .transaction import Order, Outcome, Transaction

__all__ = [
    "AIDS",
    "CUSTOMER_INFO",
    "KEY_VERSIONS",
    "LIMITS",
    "ORDER",
    "OUTCOME",
    "PENDING_ENTRY",
    "RANK_RULES",
    "SHEET",
    "SHOP_INFO",
    "SHOP_LOG_RECORD",
    "STATE",
    "TOTALS",
    "TRANSACTION",
    "TRIES",
    "Field",
    "Layout",
    "Part",
    "constant",
    "count",
    "cut",
    "label",
    "parts",
    "secret",
    "size",
    "template",
]

Show = Callable[[bytes], str]
NEVER = 0xFFFFFFFF
ITEM = re.compile(r"(\d*)([BHIs])")
WIDTHS = {"B": 1, "H": 2, "I": 4}
FLAGS = ("one-card", "two-card", "purse", "PIN")
ROLES = {AID_CUSTOMER: "customer card", AID_SHOP: "shop card"}
ENDINGS = {Ending.NOT_COMMITTED: "NOT COMMITTED", Ending.COMMITTED: "COMMITTED", Ending.UNKNOWN: "WRITTEN OFF", Ending.VOIDED: "VOIDED"}


@dataclass(frozen=True, slots=True)
class Field:
    """One item of a data field: where it lies, its name, and its value to read."""

    offset: int
    length: int
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Part:
    """One item of a layout."""

    name: str
    size: int
    show: Show


Layout = tuple[Part, ...]


def size(layout: Layout) -> int:
    """How many bytes a layout covers."""
    return sum(part.size for part in layout)


def cut(layout: Layout, data: bytes, kind: int) -> tuple[Field, ...]:
    """The items of data, which is as long as the layout. The kind of transaction, given or in the data, tells the unit of the amount."""
    found, offset = [], 0
    for part in layout:
        piece = data[offset : offset + part.size]
        if part.name == "kind":
            kind = piece[0]
        unit = "" if part.name != "amount" else " points" if kind & 0x7F == Kind.REDEEM else " minor units"
        found.append(Field(offset, part.size, part.name, part.show(piece) + unit))
        offset += part.size
    return tuple(found)


def parts(items: str, names: str) -> Layout:
    """A layout from a struct format and as many names."""
    return tuple(_parts(items, iter(names.split())))


def secret(name: str, length: int) -> Part:
    """An item that is never shown."""
    return constant(name, length, f"(secret, {count(length)})")


def constant(name: str, length: int, text: str) -> Part:
    """An item that reads so, whatever its bytes."""
    return Part(name, length, lambda _raw: text)


def count(length: int) -> str:
    """A number of bytes in words."""
    return "1 byte" if length == 1 else f"{length} bytes"


def label(code: IntEnum) -> str:
    """The name of a code as the specification writes it."""
    return code.name.replace("_", " ")


def template(info: Layout) -> Layout:
    """The FCI template around a SELECT record (REQ-SEL-1)."""
    record, name = size(info), AIDS[9].size
    outer = bytes((0x6F, 2 + name + 2 + record))
    return (_header("template", outer), _header("tag 84", bytes((0x84, name))), AIDS[9], _header("tag 85", bytes((0x85, record))), *info)


def _header(name: str, expected: bytes) -> Part:
    return Part(name, 2, lambda raw: _hex(raw) if raw == expected else f"{_hex(raw)} ({_hex(expected)} expected)")


def _hex(raw: bytes) -> str:
    return raw.hex().upper()


def _number(raw: bytes) -> str:
    return str(int.from_bytes(raw))


def _unit(unit: str) -> Show:
    return lambda raw: f"{_number(raw)} {unit}"


def _threshold(unit: str) -> Show:
    return lambda raw: "never" if int.from_bytes(raw) == NEVER else f"{_number(raw)} {unit}"


def _coded(codes: type[IntEnum]) -> Show:
    return _named({code: label(code) for code in codes})


def _named(names: dict[Any, str]) -> Show:
    return lambda raw: names.get(raw[0], f"{_hex(raw)} (unknown)")


def _factor(raw: bytes) -> str:
    return f"x{int.from_bytes(raw) / 10:.1f}"


def _fixed_point(raw: bytes) -> str:
    return f"{int.from_bytes(raw) / 0x10000:.2f}"


def _flags(raw: bytes) -> str:
    return f"{_hex(raw)} ({', '.join(name for bit, name in enumerate(FLAGS) if raw[0] >> bit & 1) or 'none'})"


def _aid(raw: bytes) -> str:
    role = ROLES.get(raw[:7])
    programme = f", programme {_number(raw[7:])}" if len(raw) == 9 else ""
    return f"{_hex(raw)} ({role}{programme})" if role else _hex(raw)


def _tries(raw: bytes) -> str:
    return "no PIN" if raw == b"\xff" else _number(raw)


def _key_version(raw: bytes) -> str:
    return f"{_coded(KeyRef)(raw[:1])} {f'version {raw[1]}' if raw[1] else 'not there'}"


RULES: tuple[tuple[str, Show], ...] = (
    ("kind", _coded(Kind)),
    ("key_ref", _coded(KeyRef)),
    ("life_cycle", _coded(LifeCycle)),
    ("ending", _coded(Ending)),
    ("flags|modes", _flags),
    ("categories|sequence", _hex),
    ("values", _fixed_point),
    ("pay_pin_from_minor", _threshold("minor units")),
    ("redeem_pin_from", _threshold("points")),
    (".*_minor", _unit("minor units")),
    ("(.*_)?hours?", _unit("h")),
    (".*_tenths", _factor),
    (".*_bp", _unit("bp")),
    ("points.*", _unit("points")),
    (".*", _number),
)
"""Name of a number, without index and what stands before a dot, to how it reads; the first that fits."""


def _rule(name: str) -> Show:
    stem = name.rpartition(".")[2].partition("[")[0]
    return next(show for pattern, show in RULES if re.fullmatch(pattern, stem))


def _parts(items: str, names: Iterator[str]) -> Iterator[Part]:
    for number, code in ITEM.findall(items):
        if code == "s":
            yield Part(next(names), int(number), _hex)
        else:
            for _ in range(int(number or 1)):
                name = next(names)
                yield Part(name, WIDTHS[code], _rule(name))


def _names(example: Any, before: str = "") -> Iterator[str]:
    """The names of a record's items; those of a tuple with their index, and those of a record in a record after a dot."""
    for field in fields(example):
        value = getattr(example, field.name)
        if not isinstance(value, tuple):
            yield before + field.name
            continue
        for index, item in enumerate(value):
            name = f"{before}{field.name}[{index}]"
            if is_dataclass(item):
                yield from _names(item, name + ".")
            else:
                yield name


def _record(record: type[Record], **inner: Layout) -> Layout:
    """The layout of a record; `inner` are those of the records it holds as bytes."""
    form = record.FORMAT
    outer = _parts(form.format, _names(record.decode(bytes(form.size))))
    return tuple(item for part in outer for item in inner.get(part.name, (part,)))


STATE = tuple(_parts(State.FORMAT.format, _names(State.blank())))
RANK_RULES = tuple(_parts(RankRules.HEAD.format + Slot.FORMAT.format * len(DEFAULT_RULES.slots), _names(DEFAULT_RULES)))
LIMITS = _record(Limits)
ORDER = _record(Order)
OUTCOME = _record(Outcome)
TRANSACTION = _record(Transaction, order=ORDER, outcome=OUTCOME)
CUSTOMER_INFO = _record(CustomerInfo)
SHOP_INFO = _record(ShopInfo)
PENDING_ENTRY = _record(PendingEntry)
SHOP_LOG_RECORD = (*PENDING_ENTRY, Part("ending", 1, _named(ENDINGS)))
TOTALS = _record(Totals)
SHEET = _record(BalanceSheet, state=STATE)
TRIES = tuple(Part(name, 1, _tries) for name in ("pin_tries", "puk_tries"))
KEY_VERSIONS = tuple(Part(f"keys[{index}]", 2, _key_version) for index in range(len(KeyRef)))
AIDS = {length: Part("aid", length, _aid) for length in range(5, 17)}
"""By length: a full AID or a leading part of one (REQ-AID-2)."""
