"""Settings in TOML files: read strictly, every key known and every needed key there, errors that name file and key."""

import tomllib
from collections.abc import Callable, Collection
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from .errors import HostError

__all__ = ["check_table", "expect", "load_toml", "parse_toml", "whole_number"]

T = TypeVar("T")


def load_toml(what: str, path: str | PathLike[str], parse: Callable[[str], T]) -> T:
    """What `parse` makes of a file's text. Raises HostError that begins with `what` and the path."""
    try:
        return parse(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise HostError(f"{what} {path}: {error.strerror}") from error
    except (UnicodeDecodeError, HostError) as error:
        raise HostError(f"{what} {path}: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a file. Raises HostError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HostError(f"no TOML: {error}") from error


def expect(right: object, where: str, expected: str, came: object) -> None:
    """Raises HostError unless right."""
    if not right:
        raise HostError(f"{where}: {expected} expected, {came!r} came")


def check_table(where: str, table: object, known: Collection[str], needed: Collection[str] | None = None) -> dict[str, Any]:
    """The table, if it has no key but `known` ones and every `needed` one (None: all). Raises HostError naming the key."""
    if not isinstance(table, dict):
        raise HostError(f"{where}: a table expected, {table!r} came")
    for key in table:
        expect(key in known, f"{where}: key", f"one of {', '.join(sorted(known))}", key)
    for key in sorted(known if needed is None else needed):
        expect(key in table, where, f"the key {key}", sorted(table))
    return table


def whole_number(where: str, value: object, most: int) -> int:
    """The value, if it is a whole number in 0..most. Raises HostError."""
    if type(value) is not int or not 0 <= value <= most:
        raise HostError(f"{where}: a whole number in 0..{most} expected, {value!r} came")
    return value
