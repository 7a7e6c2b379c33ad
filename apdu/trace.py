"""Traces: every APDU as a line of JSON, to look at and to replay (docs/traces.md).

The first line names format and version. MACs are shown; PINs, PUKs and what STORE DATA carries are not: their bytes stand as `**`,
unless secrets were asked for when the trace was made."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .command import Command, MalformedCommand
from .response import MalformedResponse, Response

__all__ = ["FORMAT", "VERSION", "BadTrace", "Line", "Observer", "TraceWriter", "read_trace"]

FORMAT = "joren-trace"
VERSION = 1
EVENTS = ("apdu", "insert", "remove", "reset")


class Out(Protocol):
    """Where a trace is written: a text file, or what has its `write`."""

    def write(self, text: str, /) -> object: ...


Observer = Callable[[str, str, Command | None, Response | None], None]
"""Called with the reader's name, an event (`apdu`, `insert`, `remove`, `reset`), the command, and the response if one arrived."""


class Observed(Protocol):
    """A reader that tells what happens at it."""

    @property
    def observers(self) -> list[Observer]:
        """Whom it tells."""


Decoder = Callable[[Command, Response | None], Mapping[str, Any]]


class BadTrace(Exception):
    """A file that is no trace this program can read; names the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: an event at a reader; for an APDU command and response in hexadecimal, response "" if none arrived."""

    number: int
    time_s: float | None
    reader: str
    event: str
    command: str
    response: str
    decoded: Mapping[str, Any]

    @property
    def masked(self) -> bool:
        """Whether its secrets were left out."""
        return "*" in self.command

    def asked(self) -> Command:
        """The command; in place of secrets that were left out it has zeros."""
        return Command.decode(bytes.fromhex(self.command.replace("*", "0")))

    def answer(self) -> Response | None:
        """The response, None where none arrived."""
        return Response.decode(bytes.fromhex(self.response)) if self.response else None


class TraceWriter:
    """Writes what happens at readers. `clock` gives seconds, or is None for a trace that is the same each time."""

    def __init__(
        self, out: Out, clock: Callable[[], float] | None = None, decoder: Decoder | None = None, *, with_secrets: bool = False
    ) -> None:
        self._out = out
        self._clock = clock
        self._start = clock() if clock else 0.0
        self._decoder = decoder
        self._with_secrets = with_secrets
        self._write({"format": FORMAT, "version": VERSION, "secrets": with_secrets})

    def attach(self, reader: Observed) -> None:
        """From now on all that happens at this reader is written."""
        reader.observers.append(self.observe)

    def observe(self, reader: str, event: str, command: Command | None, response: Response | None) -> None:
        """One event, as a Reader tells it."""
        line: dict[str, Any] = {"t": round(self._clock() - self._start, 6) if self._clock else None, "reader": reader, "event": event}
        if command is not None:
            line["command"] = command.encode().hex().upper() if self._with_secrets else command.masked()
            line["response"] = "" if response is None else response.encode().hex().upper()
            if self._decoder is not None:
                line["decoded"] = self._decoder(command, response)
        self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_trace(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of a trace. Raises BadTrace naming the line."""
    header_seen = False
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadTrace(f"line {number}: JSON expected, {error} came") from None
        if not isinstance(fields, dict):
            raise BadTrace(f"line {number}: an object expected")
        if not header_seen:
            _check_header(fields)
            header_seen = True
        else:
            yield _line(number, fields)
    if not header_seen:
        raise BadTrace(f"line 1: the header of a {FORMAT} expected, an empty file came")


def _check_header(fields: Mapping[str, Any]) -> None:
    if fields.get("format") != FORMAT:
        raise BadTrace(f'line 1: "format": "{FORMAT}" expected; this is another kind of file')
    if fields.get("version") != VERSION:
        raise BadTrace(f"line 1: version {VERSION} expected, {fields.get('version')} came; use the release of joren that wrote it")


def _line(number: int, fields: Mapping[str, Any]) -> Line:
    event, reader, time_s = fields.get("event"), fields.get("reader"), fields.get("t")
    if event not in EVENTS or not isinstance(reader, str) or not isinstance(time_s, int | float | None):
        raise BadTrace(f"line {number}: t, reader and event ({', '.join(EVENTS)}) expected")
    command, response, decoded = fields.get("command", ""), fields.get("response", ""), fields.get("decoded", {})
    if not (isinstance(command, str) and isinstance(response, str) and isinstance(decoded, dict)):
        raise BadTrace(f"line {number}: command and response as text, decoded as an object expected")
    try:
        if event == "apdu" and "*" in command:
            command = "".join(command.split()).upper()
            Command.decode(bytes.fromhex(command.replace("*", "0")))
        elif event == "apdu":
            command = bytes.fromhex(command).hex().upper()
            Command.decode(bytes.fromhex(command))
        if response:
            response = Response.decode(bytes.fromhex(response)).encode().hex().upper()
    except (ValueError, MalformedCommand, MalformedResponse) as error:
        raise BadTrace(f"line {number}: command and response in hexadecimal expected, {error}") from None
    return Line(number, time_s, reader, event, command, response, decoded)
