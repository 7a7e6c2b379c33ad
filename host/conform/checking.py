"""Whether an answer is the one that a vector says."""

from joren.apdu import Response

from .fields import BadField, Field, Literal, Scope
from .suite import Any, Bind, Is, Send

__all__ = ["Failed", "check_answer", "check_status", "check_value"]

WITH_DATA = (0x90, 0x62)
MORE_DATA = 0x6310
SHOWN_MAX = 48


class Failed(Exception):
    """The card did not do as a vector says: what was expected and what came."""


def check_status(step: Send, response: Response, scope: Scope) -> None:
    """Raises Failed unless the status word fits one of the masks."""
    masks = [_status(mask, scope) for mask in step.status]
    came = f"{response.sw:04X}"
    if not any(all(wanted in ("X", digit) for wanted, digit in zip(mask, came, strict=True)) for mask in masks):
        raise Failed(f"{_called(step)}status word {' or '.join(masks)} expected, {response.status} came")


def check_answer(step: Send, response: Response, scope: Scope) -> bytes:
    """Raises Failed unless the data are as expected, binds their parts, and answers what is compared with other times: data, then status.

    An error comes without data (REQ-APDU-7).
    """
    data = response.data
    status = response.sw.to_bytes(2)
    if response.sw >> 8 not in WITH_DATA and response.sw != MORE_DATA:
        if data:
            raise Failed(f"{_called(step)}no data expected beside {response.sw:04X}, {_shown(data)} came")
        return status
    if step.answer is None:
        return data + status
    compared, offset = b"", 0
    for part in step.answer:
        rest = data[offset:]
        match part:
            case Is(content, name):
                expected, mask = _expected(content, scope)
                found = rest[: len(expected)]
                compared += bytes(byte & bits for byte, bits in zip(found, mask[: len(found)], strict=True))
                if len(found) < len(expected) or any((byte ^ want) & bits for byte, want, bits in zip(found, expected, mask, strict=True)):
                    what = f"{name} at offset {offset}" if name else f"offset {offset}"
                    raise Failed(f"{_called(step)}{what}: {_shown(expected, mask)} expected, {_shown(found) or 'nothing'} came")
                offset += len(expected)
            case Bind(name, size):
                if len(rest) < size:
                    raise Failed(f"{_called(step)}{name} at offset {offset}: {size} bytes expected, {len(rest)} came")
                scope.bind(name, rest[:size])
                compared += rest[:size]
                offset += size
            case Any(size, kept):
                if len(rest) < size:
                    raise Failed(f"{_called(step)}offset {offset}: {size} bytes expected, {len(rest)} came")
                compared += rest[:size] if kept else b""
                offset += size
    if offset != len(data):
        raise Failed(f"{_called(step)}answer of {offset} bytes expected, {len(data)} came")
    return compared + status


def check_value(name: str, found: bytes, expected: Field, scope: Scope) -> None:
    """Raises Failed unless a value is as expected."""
    value, mask = _expected(expected, scope)
    if len(found) != len(value) or any((byte ^ want) & bits for byte, want, bits in zip(found, value, mask, strict=True)):
        raise Failed(f"{name}: {_shown(value, mask)} expected, {_shown(found) or 'nothing'} came")


def _status(mask: str, scope: Scope) -> str:
    if not mask.startswith("$"):
        return mask
    try:
        return scope.named(mask[1:]).hex().upper()
    except BadField as error:
        raise Failed(f"the vector itself: {error}") from None


def _expected(content: Field, scope: Scope) -> tuple[bytes, bytes]:
    """The bytes of a field and the mask of those that count."""
    value, mask = b"", b""
    for item in content:
        try:
            part = scope.value((item,))
        except (BadField, ValueError) as error:
            raise Failed(f"the vector itself: {error}") from None
        value += part
        mask += item.mask if isinstance(item, Literal) else b"\xff" * len(part)
    return value, mask


def _called(step: Send) -> str:
    return f"{step.name}: " if step.name else ""


def _shown(data: bytes, mask: bytes | None = None) -> str:
    digits = data.hex().upper()
    if mask is not None:
        digits = "".join(digit if bits != "0" else "X" for digit, bits in zip(digits, mask.hex(), strict=True))
    return digits if len(data) <= SHOWN_MAX else f"{digits[: 2 * SHOWN_MAX]}... ({len(data)} bytes)"
