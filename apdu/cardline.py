"""The card line protocol, as both sides write it: requests and replies as JSON objects, one a line (docs/card-protocol.md).

How it works. Bytes and values only; who carries the lines is the caller's. `decode_line` takes what a stranger sent and says what is wrong
with it; field readers do the same for one field, so neither side ever trusts the other's types.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

__all__ = ["APDU_MAX", "LINE_MAX", "VERSION", "BadLine", "Trouble", "decode_line", "encode_line", "hex_field", "number_field", "text_field"]

VERSION = 1
LINE_MAX = 256 * 1024
"""Bytes of a line with its end; a longer one ends the connection."""
APDU_MAX = 4 + 3 + 65535 + 2
"""Bytes of the longest command APDU, and more than the longest response has."""


class Trouble(StrEnum):
    """The codes of replies that are not ok."""

    POWER_LOST = "power_lost"
    NO_CARD = "no_card"
    NOT_SUPPORTED = "not_supported"
    BAD_REQUEST = "bad_request"
    TOO_LONG = "too_long"
    FAILED = "failed"


class BadLine(ValueError):
    """A line that is not what the protocol has there; says what was expected and what came."""


def encode_line(message: Mapping[str, Any]) -> bytes:
    """One object on one line, with its end."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode_line(line: bytes) -> dict[str, Any]:
    """The object on a line. Raises BadLine."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLine(f"a JSON object on one line expected, {line[:60]!r} came") from None
    if not isinstance(found, dict):
        raise BadLine(f"a JSON object expected, {line[:60]!r} came")
    return found


def text_field(message: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A field that is text. Raises BadLine, also where it is missing and has no default."""
    value = message.get(name, default)
    if not isinstance(value, str):
        raise BadLine(f"{name}: a text expected, {_short(value)} came")
    return value


def hex_field(message: Mapping[str, Any], name: str, size_max: int, default: str | None = None) -> bytes:
    """A field that is bytes in hexadecimal, at most size_max of them. Raises BadLine."""
    text = text_field(message, name, default)
    try:
        value = bytes.fromhex(text)
    except ValueError:
        raise BadLine(f"{name}: bytes in hexadecimal expected, {_short(text)} came") from None
    if len(value) > size_max:
        raise BadLine(f"{name}: at most {size_max} bytes expected, {len(value)} came")
    return value


def number_field(message: Mapping[str, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    """A field that is a whole number, least..most. Raises BadLine."""
    value = message.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadLine(f"{name}: {least}..{most} expected, {_short(value)} came")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
