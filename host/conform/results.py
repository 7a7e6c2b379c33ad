"""What became of a vector, and the APDUs on the way. Secrets are starred out before they come here."""

from dataclasses import dataclass
from enum import StrEnum

from joren.apdu import Command, MalformedCommand, MalformedResponse, Response
from joren.apdu.explain import explain_command, explain_response

from .suite import Vector

__all__ = ["Line", "Result", "Verdict", "line_of", "trace_text"]


class Verdict(StrEnum):
    """What became of a vector."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """An APDU and its answer, as hexadecimal (** for secrets, "" where no answer came), and what they say."""

    step: str
    command: str
    response: str
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """`reason`: what was expected and what came, or what is missing; "" of one that passed. The trace's last line is where it failed."""

    vector: Vector
    verdict: Verdict
    reason: str
    apdus: int
    seconds: float
    trace: tuple[Line, ...] = ()


def trace_text(result: Result) -> str:
    """The trace for people, an APDU and its answer a line, and what they say."""
    lines: list[str] = []
    for line in result.trace:
        lines += [f"{line.step or 'command'}", f"  > {line.command}", f"  < {line.response or 'no answer'}"]
        lines += [f"    {said}" for said in line.says]
    return "\n".join(lines)


def line_of(step: str, apdu: bytes, response: bytes | None, plain: Command | None = None) -> Line:
    """What went over the line, explained. `plain` is the command that a secure channel carried in this one; its answer is not opened."""
    answered = _hex(response or b"")
    if plain is not None:
        return Line(step, _hex(apdu), answered, (f"secured: {explain_command(plain).name}", f"carried: {plain.masked()}"))
    try:
        command = Command.decode(apdu)
    except MalformedCommand as error:
        return Line(step, _hex(apdu), answered, (f"no command: {error}",))
    try:
        answer = None if response is None else Response.decode(response)
    except MalformedResponse as error:
        return Line(step, command.masked(), answered, (f"no response: {error}",))
    return Line(step, command.masked(), answered, tuple(_says(command, answer)))


def _says(command: Command, answer: Response | None) -> list[str]:
    told = explain_command(command)
    said = [f"{told.name} (case {told.case})" + (f": {told.note}" if told.note else "")]
    said += [f"  {field.name}: {field.value}" for field in told.fields]
    if answer is None:
        return [*said, "no answer"]
    told = explain_response(command, answer)
    said.append(told.name + (f": {told.note}" if told.note else ""))
    return said + [f"  {field.name}: {field.value}" for field in told.fields]


def _hex(data: bytes) -> str:
    return data.hex().upper()
