"""Fields of a call: checked as they come in, and described as JSON Schema (2020-12) from the same values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .problems import Problem

__all__ = ["Field", "Pin", "check", "schema"]


class Pin:
    """A PIN on its way to a card. Shows nothing of itself."""

    __slots__ = ("_digits",)

    def __init__(self, digits: str) -> None:
        self._digits = digits

    def reveal(self) -> str:
        """The digits, for the till alone."""
        return self._digits

    def __repr__(self) -> str:
        return "Pin(...)"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `least` and `most` bound an integer's value, or a string's length. `form`: "pin", "time" or nothing.

    A field that may be left out is then `default`.
    """

    name: str
    type: str
    text: str
    least: int = 0
    most: int = 0
    required: bool = False
    default: Any = None
    form: str = ""

    def check(self, value: Any) -> Any:
        """The value as the desk wants it. Raises Problem, which never shows a PIN."""
        if self.form == "pin":
            if not (isinstance(value, str) and value.isascii() and value.isdigit() and self.least <= len(value) <= self.most):
                raise self._wrong("something else")
            return Pin(value)
        match value:
            case bool() if self.type == "boolean":
                return value
            case int() if self.type == "integer" and not isinstance(value, bool) and self.least <= value <= self.most:
                return value
            case str() if self.type == "string" and self.least <= len(value) <= self.most and value.isprintable():
                return self._time(value) if self.form == "time" else value
            case _:
                raise self._wrong(_short(value))

    def _time(self, value: str) -> datetime:
        try:
            return datetime.fromisoformat(value).replace(tzinfo=None)
        except ValueError:
            raise self._wrong(_short(value)) from None

    def _wrong(self, came: str) -> Problem:
        return Problem("bad_request", f"{self.name}: {self._expected()} expected, {came} came", extra={"field": self.name})

    def _expected(self) -> str:
        if self.form == "time":
            return "a local time such as 2026-01-31T18:30"
        if self.form == "pin":
            return f"a string of {self.least} to {self.most} digits"
        if self.type == "integer":
            return f"a whole number in {self.least}..{self.most}"
        return "true or false" if self.type == "boolean" else f"a string of {self.least} to {self.most} printable characters"

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON Schema."""
        bounds: dict[str, Any] = {}
        if self.type == "integer":
            bounds = {"minimum": self.least, "maximum": self.most}
        elif self.form == "pin":
            bounds = {"pattern": f"^[0-9]{{{self.least},{self.most}}}$", "format": "password"}
        elif self.type == "string":
            bounds = {"minLength": self.least, "maxLength": self.most}
        default = {} if self.default is None else {"default": self.default}
        return {"type": self.type, "description": self.text, **bounds, **default}


def check(fields: Iterable[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a call, by name. Raises Problem: a field that is missing, unknown or wrong."""
    known = {field.name: field for field in fields}
    for name in given:
        if name not in known:
            expected = ", ".join(known) or "none"
            raise Problem("bad_request", f"field {name!r:.70}: unknown; there are: {expected}", extra={"field": name[:64]})
    for name, field in known.items():
        if field.required and name not in given:
            raise Problem("bad_request", f"{name}: missing; {field.text}", extra={"field": name})
    return {name: field.check(given[name]) if name in given else field.default for name, field in known.items()}


def schema(fields: Iterable[Field]) -> dict[str, Any]:
    """An object of these fields, as JSON Schema."""
    listed = list(fields)
    required = [field.name for field in listed if field.required]
    told: dict[str, Any] = {"type": "object", "properties": {field.name: field.schema for field in listed}, "additionalProperties": False}
    return told | ({"required": required} if required else {})


def _short(value: Any) -> str:
    return f"{value!r:.80}" if not isinstance(value, dict | list) else f"a {type(value).__name__}"
