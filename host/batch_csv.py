"""The orders of a batch, from a CSV file: who gets a card, or which shop card may do what. Read one row at a time, checked strictly.

How it works. No field may hold a line break, so a line is a row, and its number is that of a spreadsheet: the header is row 1. Bytes that
are no UTF-8 become surrogates, which the check of their field then finds, with its row and column. What is wrong with a row comes out in
its place as a Problem, and reading goes on; a header that is wrong ends it.
"""

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from .errors import HostError
from .product import Product

__all__ = ["CsvRow", "MemberRow", "Problem", "ShopRow", "csv_digest", "csv_kind", "read_csv"]

T = TypeVar("T")
MEMBER_COLUMNS, SHOP_COLUMNS = ("member", "name"), ("shop", "terminal", "points", "money", "may_load")
MEMBER = re.compile(r"[A-Za-z0-9._-]{1,32}")
NAME_MAX = 64
LINE_MAX = 4096
SHOWN = 40
U8_MAX, U32_MAX = 0xFF, 0xFFFFFFFF
UNUSABLE = {"Cc": "a control character", "Cf": "a formatting character", "Cs": "no UTF-8", "Co": "for private use", "Cn": "not assigned"}
UNUSABLE |= {"Zl": "a line separator", "Zp": "a paragraph separator"}
JOINERS = "\u200c\u200d"
"""Formatting characters that names are written with."""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A customer card to be made: `member` 1..32 characters; `name` up to 64, "" without that column."""

    number: int
    member: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ShopRow:
    """A shop card to be made: `shop` u32, not 0, `terminal` u8; `points` and `money_minor` u32."""

    number: int
    shop: int
    terminal: int
    points: int
    money_minor: int
    may_load: bool


CsvRow = MemberRow | ShopRow


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a row; `column` is its name, or "" where it is the row itself."""

    row: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}{', column ' + self.column if self.column else ''}: {self.reason}"


class Wrong(Exception):
    """A field that can not be; the reason."""


def csv_digest(path: Path) -> bytes:
    """The SHA-256 of the file, 32 bytes, by which a batch is known again. Raises HostError."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 16):
                digest.update(part)
    except OSError as error:
        raise _unreadable(path, error) from error
    return digest.digest()


def csv_kind(path: Path) -> str:
    """What the header says the file orders: "customer" or "shop". Raises HostError."""
    return "customer" if "member" in _header(path, next(_lines(path), (1, 0, ""))[2]) else "shop"


def read_csv(path: Path, product: Product) -> Iterator[CsvRow | Problem]:
    """Every row after the header, as an order or as what is wrong with it. Raises HostError for the file or its header."""
    lines = _lines(path)
    columns = _header(path, next(lines, (1, 0, ""))[2])
    read = _member_row if "member" in columns else _shop_row
    for number, offset, line in lines:
        fields = _fields(line)
        if isinstance(fields, str):
            yield Problem(number, "", fields)
        elif len(fields) != len(columns):
            yield Problem(number, "", f"{len(columns)} fields expected ({', '.join(columns)}), {len(fields)} came")
        else:
            yield from read(number, _Fields(number, offset, dict(zip(columns, fields, strict=True))), product)


def _unreadable(path: Path, error: OSError) -> HostError:
    return HostError(f"CSV {path}: {error.strerror}")


def _lines(path: Path) -> Iterator[tuple[int, int, str]]:
    """Number from 1, offset in bytes, and text of each line, without its end. Raises HostError."""
    offset = 0
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_MAX + 2):
                number += 1
                line = raw.removesuffix(b"\n").removesuffix(b"\r")
                if len(line) > LINE_MAX:
                    raise HostError(f"CSV {path}: row {number}: a line of at most {LINE_MAX} bytes expected, a longer one came; is it CSV?")
                text = line.decode("utf-8", "surrogateescape")
                yield number, offset, text.removeprefix("\ufeff") if number == 1 else text
                offset += len(raw)
    except OSError as error:
        raise _unreadable(path, error) from error


def _fields(line: str) -> list[str] | str:
    """The fields of a line, or what is wrong with it."""
    if not line:
        return "fields expected, an empty line came"
    try:
        return next(csv.reader((line,), strict=True))
    except csv.Error as error:
        return f"fields with commas between them, in double quotes or none, expected: {error}"


def _header(path: Path, line: str) -> list[str]:
    """The columns. Raises HostError for those of neither kind, and for others beside them."""
    found = _fields(line)
    where = f"CSV {path}: row 1"
    if isinstance(found, str):
        raise HostError(f"{where}: the names of the columns expected ({', '.join(MEMBER_COLUMNS)} or {', '.join(SHOP_COLUMNS)}); {found}")
    needed, known = (SHOP_COLUMNS, SHOP_COLUMNS) if "shop" in found else (MEMBER_COLUMNS[:1], MEMBER_COLUMNS)
    for name in found:
        if name not in known:
            raise HostError(f"{where}: columns {', '.join(MEMBER_COLUMNS)}, or {', '.join(SHOP_COLUMNS)}, expected, {name[:SHOWN]!r} came")
        if found.count(name) > 1:
            raise HostError(f"{where}: column {name}: once expected, it is there {found.count(name)} times")
    for name in needed:
        if name not in found:
            raise HostError(f"{where}: column {name} expected, {', '.join(found)} came")
    return found


class _Fields:
    """The fields of a row; what is wrong with them is noted."""

    def __init__(self, number: int, offset: int, fields: dict[str, str]) -> None:
        self.problems: list[Problem] = []
        self._number = number
        self._offset = offset
        self._fields = fields

    def take(self, column: str, parse: Callable[[str], T], default: T) -> T:
        """The field as `parse` understands it; the default where it is wrong, or no such column is there."""
        text = self._fields.get(column)
        if text is None:
            return default
        try:
            if not text.strip():
                raise Wrong("something expected, an empty field came")
            self._check(text)
            return parse(text)
        except (Wrong, HostError) as error:
            self.problems.append(Problem(self._number, column, str(error)))
            return default

    def _check(self, text: str) -> None:
        for place, character in enumerate(text, 1):
            category = unicodedata.category(character)
            if category == "Cs":
                byte = ord(character) & 0xFF
                raise Wrong(
                    f"UTF-8 expected, the byte {byte:02X} came, character {place} of the field; the row begins at byte {self._offset}"
                )
            if category in UNUSABLE and character not in JOINERS:
                raise Wrong(f"character {place}, U+{ord(character):04X}, can not be used: it is {UNUSABLE[category]}")


def _member_row(number: int, fields: "_Fields", _product: Product) -> Iterator[CsvRow | Problem]:
    row = MemberRow(number, fields.take("member", _member, ""), fields.take("name", _name, ""))
    yield from fields.problems
    if not fields.problems:
        yield row


def _shop_row(number: int, fields: "_Fields", product: Product) -> Iterator[CsvRow | Problem]:
    row = ShopRow(
        number,
        fields.take("shop", lambda text: _number(text, 1, U32_MAX), 0),
        fields.take("terminal", lambda text: _number(text, 0, U8_MAX), 0),
        fields.take("points", lambda text: _number(text, 0, U32_MAX), 0),
        fields.take("money", lambda text: _money(text, product), 0),
        fields.take("may_load", _yes, default=False),
    )
    yield from fields.problems
    if not fields.problems:
        yield row


def _member(text: str) -> str:
    if not MEMBER.fullmatch(text):
        raise Wrong(f"1 to 32 letters A-Z a-z, digits, '.', '_' and '-' expected, {text[:SHOWN]!r} came")
    return text


def _name(text: str) -> str:
    if len(text) > NAME_MAX:
        raise Wrong(f"at most {NAME_MAX} characters expected, {len(text)} came")
    return text


def _number(text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise Wrong(f"a whole number in {least}..{most} expected, {text[:SHOWN]!r} came")
    return int(text)


def _money(text: str, product: Product) -> int:
    amount = product.minor(text)
    if amount > U32_MAX:
        raise Wrong(f"at most {product.money(U32_MAX)} expected, {text[:SHOWN]!r} came")
    return amount


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise Wrong(f"yes or no expected, {text[:SHOWN]!r} came")
    return text == "yes"
