"""Dialogs are generators: they yield what to send to which card, and are sent the answer.

How it works. A dialog knows no reader. Whoever drives it carries each Ask to the card in that slot and feeds back the Response; `run` and
`run_async` do so until the dialog ends, `start` and `feed` one step at a time (a relay over HTTP, say), `resume` from a transcript. Where
the link breaks, LinkLost is fed in place of a response and raised inside the dialog, at its yield, so it can note what is known before it
ends. Readers with T=0 pass up answers in parts, 61XX and 6CXX; `chained` puts them together (ISO/IEC 7816-3:2006, 12.2), for `run` and
`run_async` by themselves, and for whoever moves a dialog step by step.
"""

from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

from joren.apdu import SW, Command, Ins, LinkLost, Response, Transmit

from .errors import CardFault, CardRefused, HostError

__all__ = [
    "Ask",
    "AsyncTransmit",
    "Dialog",
    "Done",
    "Slot",
    "answered",
    "ask",
    "chained",
    "data_of",
    "feed",
    "resume",
    "run",
    "run_async",
    "start",
    "understood",
]

T = TypeVar("T")
ENDED = (0x90, 0x62, 0x63)
"""SW1 of a command that was done, maybe with a warning."""
IN_PARTS = (SW.RESPONSE_AVAILABLE >> 8, SW.WRONG_LE >> 8)
PARTS_MAX = 256
"""More parts of one answer than a card can have reason for."""
AsyncTransmit = Callable[[Command], Awaitable[Response]]


class Slot(Enum):
    """Where a card is; the value is how errors call it."""

    CUSTOMER = "customer card"
    SHOP = "shop card"


@dataclass(frozen=True, slots=True)
class Ask:
    """A command for the card in a slot."""

    slot: Slot
    command: Command


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The end of a dialog, and its result."""

    value: T


Dialog: TypeAlias = Generator[Ask, Response, T]


def start(dialog: Dialog[T]) -> Ask | Done[T]:
    """Moves a fresh dialog to its first Ask, or its end."""
    try:
        return next(dialog)
    except StopIteration as end:
        return Done(end.value)


def feed(dialog: Dialog[T], answer: Response | LinkLost) -> Ask | Done[T]:
    """Gives the dialog the answer to its last Ask; moves it to the next one, or its end."""
    try:
        return dialog.send(answer) if isinstance(answer, Response) else dialog.throw(answer)
    except StopIteration as end:
        return Done(end.value)


def run(dialog: Dialog[T], links: Mapping[Slot, Transmit]) -> T:
    """Drives a dialog to its end. Raises what the dialog raises, and HostError for a slot without a link."""
    return _run(dialog, links, in_parts=True)


def _run(dialog: Dialog[T], links: Mapping[Slot, Transmit], *, in_parts: bool) -> T:
    """As over `chained` where answers may come `in_parts`, without a generator more for every answer that comes whole."""
    try:
        step = start(dialog)
        while not isinstance(step, Done):
            transmit = _link(links, step)
            answer: Response | LinkLost
            try:
                answer = transmit(step.command)
                if in_parts and answer.sw >> 8 in IN_PARTS:
                    answer = _run(_whole(step, answer), links, in_parts=False)
            except LinkLost as lost:
                answer = lost
            step = feed(dialog, answer)
        return step.value
    finally:
        dialog.close()


async def run_async(dialog: Dialog[T], links: Mapping[Slot, AsyncTransmit]) -> T:
    """As `run`, over links that are awaited."""
    dialog = chained(dialog)
    try:
        step = start(dialog)
        while not isinstance(step, Done):
            transmit = _link(links, step)
            answer: Response | LinkLost
            try:
                answer = await transmit(step.command)
            except LinkLost as lost:
                answer = lost
            step = feed(dialog, answer)
        return step.value
    finally:
        dialog.close()


def chained(dialog: Dialog[T]) -> Dialog[T]:
    """The same dialog over links that may answer 61XX (more is waiting: GET RESPONSE) or 6CXX (wrong Le: the command again, once)."""
    try:
        step = start(dialog)
        while not isinstance(step, Done):
            answer: Response | LinkLost
            try:
                answer = yield step
                if answer.sw >> 8 in IN_PARTS:
                    answer = yield from _whole(step, answer)
            except LinkLost as lost:
                answer = lost
            step = feed(dialog, answer)
        return step.value
    finally:
        dialog.close()


def _whole(step: Ask, answer: Response) -> Dialog[Response]:
    """The whole answer to a command, of which the first part came. LinkLost where the rest does not: the card has acted all the same."""
    command, data, acted, corrected = step.command, b"", False, False
    for _ in range(PARTS_MAX):
        number = answer.sw & 0xFF or 256
        if answer.sw >> 8 == SW.RESPONSE_AVAILABLE >> 8:
            data += answer.data
            command, acted, corrected = Command(command.channel, Ins.GET_RESPONSE, 0, 0, ne=number), True, False
        elif answer.sw >> 8 == SW.WRONG_LE >> 8 and command.ne is not None and not corrected:
            command, corrected = Command(command.cla, command.ins, command.p1, command.p2, command.data, number), True
        elif acted and answer.sw >> 8 not in ENDED:
            raise LinkLost(f"{step.slot.value}: the rest of its answer expected, {answer.status} came")
        else:
            return Response(data + answer.data, answer.sw)
        answer = yield Ask(step.slot, command)
    raise LinkLost(f"{step.slot.value}: an answer that ends expected, {PARTS_MAX} parts came")


def resume(dialog: Dialog[T], transcript: Iterable[Response | LinkLost]) -> Ask | Done[T]:
    """Brings a fresh dialog to where recorded answers lead. Raises HostError if they go on after its end."""
    step = start(dialog)
    for number, answer in enumerate(transcript, 1):
        if isinstance(step, Done):
            raise HostError(f"transcript: the dialog ended after {number - 1} answers, more came")
        step = feed(dialog, answer)
    return step


Link = TypeVar("Link")


def _link(links: Mapping[Slot, Link], step: Ask) -> Link:
    link = links.get(step.slot)
    if link is None:
        raise HostError(f"no link to the {step.slot.value}: give one for {step.slot}")
    return link


def data_of(slot: Slot, command: Command, response: Response, lengths: Collection[int]) -> bytes:
    """The data of an answer that is 9000 with one of the lengths. Raises CardRefused, CardFault."""
    if not response.ok:
        raise CardRefused(slot.value, Ins(command.ins).name, response.sw)
    if len(response.data) not in lengths:
        expected = " or ".join(str(length) for length in lengths)
        raise CardFault(slot.value, Ins(command.ins).name, f"{expected} bytes", str(len(response.data)))
    return response.data


def understood(slot: Slot, command: str, decode: Callable[[bytes], T], data: bytes) -> T:
    """What `decode` makes of a card's data. Raises CardFault where it raises ValueError: the card told what can not be."""
    try:
        return decode(data)
    except ValueError as error:
        raise CardFault(slot.value, command, "values the specification has", str(error)) from error


def ask(slot: Slot, command: Command, *lengths: int) -> Dialog[bytes]:
    """One command and the data of its answer, as data_of."""
    return data_of(slot, command, (yield Ask(slot, command)), lengths)


def answered(value: T) -> Dialog[T]:
    """A dialog that asks no card."""
    yield from ()
    return value
