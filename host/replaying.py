"""Replaying a trace: it stands in for reader and cards, or its commands are sent to a card once more (docs/traces.md).

How it works. `Replay` is the host's side: its links take what a dialog sends, compare it with what was recorded next, and answer as the
card did; where no answer was recorded the link breaks. What a card would say to another command can not be known, so the first that is
truly another ends the replay: `Diverged`. `play_back` is the card's side: every command goes to a card, and its answer is compared. Secrets
that were masked are equal to any of their length on the host's side; on the card's side they are asked for, and without them the command is
not sent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from os import PathLike
from pathlib import Path
from typing import Protocol

from joren.apdu import Command, Ins, LinkLost, Response, Transmit
from joren.apdu.compare import Change, Why, compare_commands, compare_responses
from joren.apdu.explain import explain_command
from joren.apdu.trace import BadTrace, Line, read_trace

from .dialog import AsyncTransmit, Slot

__all__ = ["CardLink", "Diverged", "Replay", "Step", "Verdict", "load_trace", "play_back", "replaying"]

Secrets = Callable[[Command], bytes | None]
"""From a command with zeros in place of its secrets to the data it had, or None where they are not known."""
NO_ANSWER = "no answer"


class Verdict(Enum):
    """What became of a recorded APDU."""

    SAME = "same"
    MAY_DIFFER = "differs as it may"
    """Nothing differs but what is drawn anew each time, and MACs over it."""
    DIFFERENT = "different"
    NOT_SENT = "not sent"
    """Its secrets were left out of the trace."""
    NOT_ASKED = "not asked"
    """The dialog ended before it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A recorded APDU in a replay. `came`: what came in its place, in hexadecimal, secrets masked; "" where nothing did."""

    line: Line
    verdict: Verdict
    came: str
    changes: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        """What was asked, in words."""
        return explain_command(self.line.asked()).name

    def __str__(self) -> str:
        told = [f"line {self.line.number}: {self.line.reader}, {self.name}: {self.verdict.value}"]
        for change in self.changes:
            mark = f" ({change.why.value})" if change.may_differ else ""
            told.append(f"    {change.field}: {change.expected} expected, {change.came} came{mark}")
        return "\n".join(told)


class Diverged(AssertionError):
    """A replay went another way than the recording; says where, field by field. `step` is None where more was asked than recorded."""

    def __init__(self, text: str, step: Step | None = None) -> None:
        self.step = step
        super().__init__(text)


class CardLink(Protocol):
    """A reader with a card in it."""

    def transmit(self, command: Command) -> Response:
        """As Transmit."""

    def reset(self) -> object:
        """Power off and on. Raises LinkLost."""


class Replay:
    """A trace in place of readers and cards. `strict`: what may differ from tap to tap shall not differ either.

    A reader is known by its name in the trace; `links` are those named for the slots, as Recorder and `joren tap --trace` name them.
    """

    def __init__(self, lines: Iterable[Line], *, strict: bool = True) -> None:
        self._lines = [line for line in lines if line.event == "apdu"]
        self._strict = strict
        self._drawn: set[str] = set()
        self._diverged: Diverged | None = None
        self.steps: list[Step] = []

    @property
    def links(self) -> dict[Slot, Transmit]:
        """For `run`."""
        return {slot: self.link(slot.value) for slot in Slot}

    @property
    def async_links(self) -> dict[Slot, AsyncTransmit]:
        """For `run_async`."""
        return {slot: self.async_link(slot.value) for slot in Slot}

    def link(self, reader: str) -> Transmit:
        """The link to the card in a reader. It raises Diverged."""
        return lambda command: self._answer(reader, command)

    def async_link(self, reader: str) -> AsyncTransmit:
        """The same, awaited."""

        async def transmit(command: Command) -> Response:
            return self._answer(reader, command)

        return transmit

    @property
    def left(self) -> list[Line]:
        """What was recorded and has not been asked."""
        return self._lines[len(self.steps) :]

    def finish(self) -> None:
        """Raises Diverged if the replay went another way, or the trace goes on."""
        if self._diverged is not None:
            raise self._diverged
        if self.left:
            step = Step(self.left[0], Verdict.NOT_ASKED, "")
            more = f", and {len(self.left) - 1} after it" if len(self.left) > 1 else ""
            raise Diverged(f"the dialog ended, the trace goes on: {step}{more}", step)

    def _answer(self, reader: str, command: Command) -> Response:
        if self._diverged is not None:
            raise self._diverged
        if not self.left:
            name = explain_command(command).name
            raise self._diverge(f"the trace ends after {len(self.steps)} APDUs; {reader}, {name} came: {command.masked()}")
        line = self.left[0]
        step = self._step(line, reader, command)
        self.steps.append(step)
        if step.verdict is Verdict.DIFFERENT or (self._strict and step.verdict is not Verdict.SAME):
            raise self._diverge(str(step), step)
        answer = line.answer()
        if answer is None:
            raise LinkLost(f"{reader}: line {line.number} of the trace has no answer")
        return answer

    def _step(self, line: Line, reader: str, command: Command) -> Step:
        if line.reader != reader:
            came = f"{reader}, {explain_command(command).name}"
            return Step(line, Verdict.DIFFERENT, command.masked(), (Change("reader", line.reader, came, Why.DIFFERENT),))
        changes = compare_commands(line.asked(), command, masked=line.masked, drawn=reader in self._drawn)
        _note_drawn(self._drawn, reader, changes)
        return Step(line, _verdict(changes), command.masked(), changes)

    def _diverge(self, text: str, step: Step | None = None) -> Diverged:
        self._diverged = Diverged(text, step)
        return self._diverged


@contextmanager
def replaying(trace: str | PathLike[str], *, strict: bool = True) -> Iterator[Replay]:
    """The replay of a trace file, for tests: what is sent inside is what was recorded, and all of it. Raises Diverged, BadTrace."""
    replay = Replay(load_trace(trace), strict=strict)
    yield replay
    replay.finish()


def load_trace(path: str | PathLike[str]) -> list[Line]:
    """The lines of a trace file. Raises BadTrace naming file and line, OSError."""
    try:
        with Path(path).open(encoding="utf-8") as text:
            return list(read_trace(text))
    except (BadTrace, UnicodeDecodeError) as error:
        raise BadTrace(f"{path}: {error}") from error


def play_back(lines: Iterable[Line], readers: Mapping[str, CardLink], secrets: Secrets | None = None) -> Iterator[Step]:
    """Sends the recorded commands to the cards in the readers, by name; gives what became of each. Cards are put in before.

    `insert` and `reset` reset the card. A line without an answer has none to compare with. Raises BadTrace for a reader that is not there.
    """
    drawn: set[str] = set()
    whole: dict[str, Command] = {}
    for line in lines:
        reader = readers.get(line.reader)
        if reader is None:
            raise BadTrace(f"line {line.number}: a reader named {line.reader} expected; give a card for it")
        if line.event in ("insert", "reset"):
            drawn.discard(line.reader)
            reader.reset()
        elif line.event == "apdu":
            step = _played(line, reader, whole.get(line.reader), line.reader in drawn, secrets)
            _note_drawn(drawn, line.reader, step.changes)
            if line.asked().ins != Ins.GET_RESPONSE:
                whole[line.reader] = line.asked()
            yield step


def _played(line: Line, reader: CardLink, before: Command | None, drawn: bool, secrets: Secrets | None) -> Step:
    command = line.asked()
    if line.masked:
        data = None if secrets is None else secrets(command)
        if data is None:
            return Step(line, Verdict.NOT_SENT, "")
        command = Command(command.cla, command.ins, command.p1, command.p2, data, command.ne)
    try:
        answer = reader.transmit(command)
    except LinkLost:
        lost = Change("answer", line.response or NO_ANSWER, NO_ANSWER, Why.DIFFERENT)
        return Step(line, Verdict.DIFFERENT if line.response else Verdict.SAME, "", (lost,) if line.response else ())
    expected = line.answer()
    asked = before if command.ins == Ins.GET_RESPONSE and before is not None else command
    changes = () if expected is None else compare_responses(asked, expected, answer, drawn=drawn)
    return Step(line, _verdict(changes), answer.encode().hex().upper(), changes)


def _verdict(changes: Sequence[Change]) -> Verdict:
    if not changes:
        return Verdict.SAME
    return Verdict.MAY_DIFFER if all(change.may_differ for change in changes) else Verdict.DIFFERENT


def _note_drawn(drawn: set[str], reader: str, changes: Iterable[Change]) -> None:
    """From here on MACs of this card may differ."""
    if any(change.may_differ for change in changes):
        drawn.add(reader)
