"""Purchase logs: CSV files with the columns card, time, amount and, if there are any, category.

The first line names the columns, in any order; others are ignored. UTF-8, with or without a byte order mark; one row a line; blank lines do
not count. Rows are in order of time. Whatever is wrong is named by line and column, and every row that is wrong is named.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

__all__ = ["BadLog", "BadRow", "Log", "Row", "parse_log", "read_log"]

AMOUNT_MAX_MINOR = 0xFFFFFFFF
CATEGORY_MAX = 15
NEEDED = ("card", "time", "amount")
SHOWN_ROWS = 10
SHOWN_LENGTH = 40
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")
CATEGORY = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Row:
    """One purchase."""

    line_no: int
    """Line of the file, from 1."""
    card: str
    time: datetime
    """As written, without a time zone; midnight where the log has dates alone."""
    amount_minor: int
    """0..2^32 - 1."""
    category: int
    """0..15; 0 where the log has none."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with a line, at the first of its columns that is wrong."""

    line: int
    """From 1."""
    column: str
    """Empty where it is the line as a whole."""
    expected: str
    came: str

    def __str__(self) -> str:
        place = f"line {self.line}, {self.column}" if self.column else f"line {self.line}"
        return f"{place}: {self.expected} expected, {self.came} came"


class BadLog(ValueError):
    """A log with rows that can not be used; `bad` has all of them, the message the first ten and their number."""

    def __init__(self, bad: tuple[BadRow, ...]) -> None:
        self.bad = bad
        more = [f"and {len(bad) - SHOWN_ROWS} more"] if len(bad) > SHOWN_ROWS else []
        heading = f"{len(bad)} bad line{'s' if len(bad) > 1 else ''} in the purchase log"
        super().__init__("\n  ".join([heading, *map(str, bad[:SHOWN_ROWS]), *more]))


@dataclass(frozen=True, slots=True)
class Log:
    """The rows of a log in order of time, and the lines that were skipped."""

    rows: tuple[Row, ...]
    bad: tuple[BadRow, ...]


class _Wrong(Exception):
    """A field (or, without a column, a line) is wrong."""

    def __init__(self, column: str, expected: str, came: str) -> None:
        super().__init__(column, expected, came)
        self.column, self.expected, self.came = column, expected, came


def read_log(path: Path | str, skip_bad: bool = False, minor_digits: int = 2) -> Log:
    """The log in a file. As parse_log; raises OSError where the file can not be read."""
    return parse_log(Path(path).read_bytes(), skip_bad, minor_digits)


def parse_log(data: bytes, skip_bad: bool = False, minor_digits: int = 2) -> Log:
    """The log in a file's bytes.

    An amount has at most minor_digits (0..9) decimals, and is returned in the minor unit: 12.5 with 2 digits is 1250. A row that is
    earlier than the last good one before it is bad. Raises BadLog if a row is bad, unless skip_bad; and always if there is no row at
    all, if a column is missing, or if the file is UTF-16.
    """
    if minor_digits not in range(10):
        raise ValueError(f"minor_digits: 0..9 expected, {minor_digits} came")
    lines = _lines(data)
    columns, width = _columns(lines)
    amounts = re.compile(r"([0-9]{1,18})" + (rf"(?:\.([0-9]{{1,{minor_digits}}}))?" if minor_digits else "()"))
    rows: list[Row] = []
    bad: list[BadRow] = []
    for number, line in lines:
        try:
            row = _row(number, _fields(line, width), columns, amounts, minor_digits)
            if rows and row.time < rows[-1].time:
                raise _Wrong("time", f"{rows[-1].time} or later", str(row.time))
        except _Wrong as wrong:
            bad.append(BadRow(number, wrong.column, wrong.expected, wrong.came))
        else:
            rows.append(row)
    if not rows and not bad:
        raise BadLog((BadRow(1, "", "purchases after the column names", "the end of the file"),))
    if bad and not skip_bad:
        raise BadLog(tuple(bad))
    return Log(tuple(rows), tuple(bad))


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1. Bytes that are not UTF-8 stay, as lone surrogates, for _row to refuse."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadLog((BadRow(1, "", "UTF-8 text", "the byte order mark of UTF-16"),))
    text = data.decode("utf-8-sig", "surrogateescape").replace("\r\n", "\n").replace("\r", "\n")
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line and not line.isspace())


def _columns(lines: Iterator[tuple[int, str]]) -> tuple[dict[str, int], int]:
    """Where each column is, and how many there are."""
    number, header = next(lines, (1, ""))
    if not header:
        raise BadLog((BadRow(1, "", "a line with the column names card, time, amount", "an empty file"),))
    try:
        names = [name.lower() for name in _fields(header)]
    except _Wrong as wrong:
        raise BadLog((BadRow(number, wrong.column, wrong.expected, wrong.came),)) from None
    bad = [BadRow(number, name, "a column of this name", _shown(header)) for name in NEEDED if name not in names]
    bad += [
        BadRow(number, name, "one column of this name", str(names.count(name))) for name in (*NEEDED, "category") if names.count(name) > 1
    ]
    if bad:
        raise BadLog(tuple(bad))
    return {name: names.index(name) for name in (*NEEDED, "category") if name in names}, len(names)


def _fields(line: str, width: int | None = None) -> list[str]:
    try:
        fields = [field.strip() for field in next(csv.reader([line], strict=True))]
    except csv.Error:
        raise _Wrong("", "comma-separated values with quotes that close", _shown(line)) from None
    if width is not None and len(fields) != width:
        raise _Wrong("", f"{width} fields", str(len(fields)))
    return fields


def _row(number: int, fields: list[str], columns: dict[str, int], amounts: re.Pattern[str], minor_digits: int) -> Row:
    card, time, amount = (fields[columns[name]] for name in NEEDED)
    category = fields[columns["category"]] if "category" in columns else ""
    if not card or not card.isprintable():
        raise _Wrong("card", "printable UTF-8 text", _shown(card))
    return Row(number, card, _time(time), _amount(amount, amounts, minor_digits), _category(category))


def _time(text: str) -> datetime:
    try:
        if TIME.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass  # the shape of a time, and no time: February 30
    raise _Wrong("time", "YYYY-MM-DD, or YYYY-MM-DD HH:MM[:SS],", _shown(text))


def _amount(text: str, amounts: re.Pattern[str], minor_digits: int) -> int:
    match = amounts.fullmatch(text)
    if match is None:
        raise _Wrong("amount", f"a number from 0 with at most {minor_digits} decimals", _shown(text))
    amount_minor = int(match[1] + (match[2] or "").ljust(minor_digits, "0"))
    if amount_minor > AMOUNT_MAX_MINOR:
        raise _Wrong("amount", f"at most {AMOUNT_MAX_MINOR} minor units", _shown(text))
    return amount_minor


def _category(text: str) -> int:
    """An empty field is category 0, as a missing column is."""
    if not text:
        return 0
    if CATEGORY.fullmatch(text) is None or int(text) > CATEGORY_MAX:
        raise _Wrong("category", f"0..{CATEGORY_MAX}", _shown(text))
    return int(text)


def _shown(text: str) -> str:
    """What came, short, and printable on any terminal."""
    return ascii(text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "...")
