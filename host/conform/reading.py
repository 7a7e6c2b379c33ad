"""Objects of vector files, read strictly: every key is known, every value is of its type, and what is wrong is told with its place."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from .fields import BadField, Field, read_field

__all__ = ["FORMATS", "VERSION", "BadVectors", "Object", "read_file"]

VERSION = 1
FORMATS = ("joren-vectors", "joren-vector-fixtures", "joren-vector-keys")
FILE_MAX = 4 * 1024 * 1024
T = TypeVar("T")


class BadVectors(ValueError):
    """A vector file that can not be used; says where, what was expected, and what came."""


class Object:
    """A JSON object, of which every key is asked for; `end` tells those that were not."""

    def __init__(self, found: object, where: str) -> None:
        if not isinstance(found, dict):
            raise BadVectors(f"{where}: an object expected, {_short(found)} came")
        self._found: dict[str, object] = found
        self._left = set(found)
        self.where = where

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def wrong(self, name: str, expected: str, came: object) -> BadVectors:
        """The error for a value that can not be."""
        return BadVectors(f"{self.where}: {name}: {expected} expected, {_short(came)} came")

    def get(self, name: str) -> object:
        """The value as it is. Raises BadVectors where it is missing."""
        if name not in self._found:
            raise BadVectors(f"{self.where}: {name} is missing")
        self._left.discard(name)
        return self._found[name]

    def text(self, name: str, default: str | None = None) -> str:
        """A text that is not empty, or the default."""
        if default is not None and name not in self._found:
            return default
        value = self.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, "a text", value)
        return value

    def one_of(self, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of some texts."""
        value = self.text(name, default)
        if value not in choices:
            raise self.wrong(name, " or ".join(choices), value)
        return value

    def number(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number, least..most, or the default."""
        if default is not None and name not in self._found:
            return default
        value = self.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, f"{least}..{most}", value)
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """true or false."""
        value = self.get(name) if name in self._found else default
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false", value)
        return value

    def items(self, name: str, *, optional: bool = False) -> list[object]:
        """A list; empty where it is missing and optional."""
        value = [] if optional and name not in self._found else self.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "a list", value)
        return value

    def texts(self, name: str, *, optional: bool = False) -> tuple[str, ...]:
        """A list of texts, none of them twice."""
        found = self.items(name, optional=optional)
        if not all(isinstance(one, str) for one in found) or len(set(map(str, found))) < len(found):
            raise self.wrong(name, "a list of texts, none twice,", found)
        return tuple(map(str, found))

    def field(self, name: str, default: str | None = None, *, masks: bool = False) -> Field:
        """A field (fields.py), or the default."""
        return self.read(name, lambda found: read_field(found, masks=masks), default)

    def read(self, name: str, reader: Callable[[object], T], default: object = None) -> T:
        """What a reader makes of a value; its BadField is told with the place."""
        value = default if default is not None and name not in self._found else self.get(name)
        try:
            return reader(value)
        except BadField as error:
            raise BadVectors(f"{self.where}: {name}: {error}") from None

    def objects(self, name: str, *, optional: bool = False) -> Iterator["Object"]:
        """A list of objects."""
        for number, one in enumerate(self.items(name, optional=optional), 1):
            yield Object(one, f"{self.where}: {name}[{number}]")

    def entries(self, name: str, *, optional: bool = False) -> Iterator[tuple[str, object]]:
        """An object's keys and values."""
        value = {} if optional and name not in self._found else self.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object", value)
        yield from list(value.items())

    def end(self) -> None:
        """Raises BadVectors for keys that nobody asked for."""
        if self._left:
            raise BadVectors(f"{self.where}: unknown: {', '.join(sorted(self._left))}")


def read_file(path: Path) -> Object:
    """A vector file's object, of a format and version that are known. Raises BadVectors."""
    where = path.name
    try:
        if path.stat().st_size > FILE_MAX:
            raise BadVectors(f"{where}: at most {FILE_MAX:,} bytes expected")
        found = Object(json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once), where)
    except (OSError, RecursionError) as error:
        raise BadVectors(f"{where}: can not be read: {error}") from None
    except BadVectors:
        raise
    except ValueError as error:
        raise BadVectors(f"{where}: damaged: {error}") from None
    found.one_of("format", FORMATS)
    version = found.number("version", 1, 1 << 31)
    if version > VERSION:
        raise BadVectors(f"{where}: version {VERSION} expected, {version} came; this joren is too old for it")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key stands twice: {', '.join(name for name, _ in pairs)[:80]}")
    return found


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "..."
