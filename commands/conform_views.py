"""The steps of a vector, in words."""

from collections.abc import Sequence

from joren.host.conform.fields import Field, Flip, KeyBytes, Literal, Mac, Name, Sealed
from joren.host.conform.suite import Call, Check, Open, Repeat, Reset, Send, Step, Unchanged, Values

__all__ = ["told_field", "told_steps", "told_values"]

LITERAL_MAX = 20


def told_steps(steps: Sequence[Step]) -> list[str]:
    """A line for each step; steps within steps are set in."""
    return [line for step in steps for line in _told(step)]


def told_field(field: Field) -> str:
    """A field as its file has it, long bytes cut short."""
    return " ".join(map(_item, field))


def _item(item: object) -> str:
    match item:
        case Literal(value, mask):
            digits = "".join(digit if bits != "0" else "X" for digit, bits in zip(value.hex().upper(), mask.hex(), strict=True))
            return digits if len(value) <= LITERAL_MAX else f"{digits[: 2 * LITERAL_MAX]}... ({len(value)} bytes)"
        case Name(name):
            return f"${name}"
        case KeyBytes(key, check_value):
            return f"{'kcv:' if check_value else '@'}{key}"
        case Mac(message, key):
            return f"MAC({key}; {told_field(message)})"
        case Sealed(content, keys):
            return f"sealed({keys}; {told_field(content)})"
        case Flip(content, at):
            return f"one bit wrong at {at} of ({told_field(content)})"
    return ""


def _told(step: Step) -> list[str]:
    match step:
        case Send():
            return _send(step)
        case Call(procedure, values):
            return [f"{procedure}{told_values(values)}"]
        case Reset():
            return ["power off and on"]
        case Check(name, _, expected):
            return [f"{name}: {told_field(expected)} expected"]
        case Open(keys, level, _, _):
            return [f"a channel at level {level:02X} with the key set {keys}"]
        case Repeat(times, within):
            return [f"{times} times:", *(f"  {line}" for line in told_steps(within))]
        case Unchanged(_, within):
            return ["afterwards all reads as before:", *(f"  {line}" for line in told_steps(within))]


def _send(step: Send) -> list[str]:
    how = ", secured" if step.secured else ""
    sent = told_field(step.header) + (f" | {told_field(step.data)}" if step.data else "")
    ne = "" if step.ne is None else f", Ne {step.ne}"
    lines = [f"{step.name or 'command'}{how}: {sent}{ne} -> {' or '.join(step.status)}{told_values(step.values)}"]
    if step.tear is not None:
        where = f"at write {step.tear.at}" if step.tear.at else "at each write in turn"
        lines.append(f"  torn {where}: {' or '.join(sorted(step.tear.allowed))}")
    return lines


def told_values(values: Values) -> str:
    """Values by name, behind what has them; nothing where there are none."""
    return f" with {', '.join(f'{name} {told_field(value)}' for name, value in values.items())}" if values else ""
