"""One card and the steps that are tried on it: sends, checks, and keeps what went over the line.

How it works. A session begins with the card of a fixture, made as the way has it: in the clear on a chip for development, or through the
card manager as an issuer does. Steps then run one after the other; the first that is not answered as its vector says ends it by Failed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum

from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, CLA_JOREN, Command, Ins, MalformedCommand, MalformedResponse, Response, aid
from joren.apdu.gp import MANAGER_AID, PACKAGE_AID, GpIns, InstallData, personalization_data
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import ChannelError, HostSession, Opening, ScpKeys
from joren.apdu.tlv import Dgi, build_dgi
from joren.host.personalization import blocks

from .checking import Failed, check_answer, check_status, check_value
from .fields import BadField, Field, Scope
from .results import Line, line_of
from .suite import Call, Check, Fixture, Open, Repeat, Reset, Send, Step, Suite, Unchanged, Values
from .target import Target

__all__ = ["Session", "Way"]

ROOM = 160
"""Bytes of a block of STORE DATA that every chip can commit."""
MANAGER_KEYS = "manager"
INSTANCES = {"customer": aid(AID_CUSTOMER, 1), "shop": aid(AID_SHOP, 1)}
TRACE_MAX = 500
LAST, PLAIN = 0x80, 0x08
VECTOR = 2
"""The frame of the vector's own values: they may change what a fixture's card is, not what it has been through."""
NONE_THERE = ("9000", "6A82", "6A88")
NE = 256


class Way(StrEnum):
    """How a card gets its data groupings."""

    PLAIN = "plain"
    """In the clear: a chip for development."""
    MANAGER = "manager"
    """By INSTALL and STORE DATA through the card manager."""


class Session:
    """A card that is tried. `observed` are the answers of reads, without the bytes that are not compared; None: none are kept now."""

    def __init__(self, suite: Suite, target: Target, fixture: Fixture, values: Values, way: Way) -> None:
        self._suite = suite
        self._target = target
        self._fixture = fixture
        self._way = way
        self._channel: HostSession | None = None
        self._challenges = 0
        self._observed: list[bytes] | None = None
        self.scope = Scope(suite.keys, suite.values, fixture.values, values)
        self.trace: list[Line] = []
        self.apdus = 0

    def begin(self) -> None:
        """Makes the card of the fixture. Raises Failed, LinkLost, CardFault."""
        fixture, fresh = self._fixture, "fresh" in self._target.can
        managed = fixture.card == "managed" or self._way is Way.MANAGER
        if fresh:
            self._target.fresh("managed" if managed else fixture.card, fixture.seed)
        else:
            self._target.reset()
        try:
            if fixture.card != "managed":
                if managed:
                    self._install(INSTANCES[fixture.card], there=not fresh)
                self._personalize(INSTANCES[fixture.card], managed)
            own = self.scope.mute(VECTOR)
            self.run(fixture.steps)
            self.scope.restore(VECTOR, own)
        except Failed as failed:
            raise Failed(f"fixture {fixture.id}: {failed}") from None

    def run(self, steps: Sequence[Step]) -> None:
        """Runs steps. Raises Failed, LinkLost, PowerLost, CardFault."""
        for step in steps:
            match step:
                case Send():
                    self.send(step)
                case Call(procedure, values):
                    with self._with(values):
                        self.run(self._suite.procedures[procedure])
                case Reset():
                    self.reset()
                case Check(name, content, expected):
                    check_value(name, self._value(content), expected, self.scope)
                case Open(keys, level, version, name):
                    self._open(self.scope.key_set(keys), level, version, self._value(name))
                case Repeat(times, within):
                    for _ in range(times):
                        self.run(within)
                case Unchanged(reads, within):
                    before = self.observe(reads)
                    self.run(within)
                    if self.observe(reads) != before:
                        raise Failed("what can be read of the card expected as it was before, something has changed")

    def reset(self) -> None:
        """Power off and on; a channel ends."""
        self._target.reset()
        self._channel = None

    def observe(self, reads: Sequence[Step]) -> list[bytes]:
        """The answers of reads, as far as they are compared."""
        self._observed = []
        try:
            self.run(reads)
            return self._observed
        finally:
            self._observed = None

    def send(self, step: Send) -> None:
        """A command, and the check of its answer."""
        with self._with(step.values):
            response = self._exchange(step.name, self._value(step.header), None) if step.raw else self._command(step)
            check_status(step, response, self.scope)
            compared = check_answer(step, response, self.scope)
            if self._observed is not None:
                self._observed.append(compared)

    def _command(self, step: Send) -> Response:
        header, data = self._value(step.header), self._value(step.data)
        try:
            cla, ins, p1, p2 = header
            command = Command(cla, ins, p1, p2, data, step.ne)
        except ValueError as error:
            raise Failed(f"the vector itself: {error}") from None
        if not step.secured:
            return self._exchange(step.name, command.encode(extended=step.extended), None)
        return self._secured(step.name, command, spoiled=step.spoiled)

    def _secured(self, name: str, command: Command, *, spoiled: bool = False) -> Response:
        channel = self._channel
        if channel is None:
            raise Failed("the vector itself: no channel is open")
        try:
            wrapped = channel.wrap(command)
            if spoiled:
                wrapped = replace(wrapped, data=wrapped.data[:-1] + bytes((wrapped.data[-1] ^ 1,)))
            return channel.unwrap(self._exchange(name, wrapped.encode(), command))
        except (ChannelError, MalformedCommand) as error:
            raise Failed(f"{name}: {error}") from None

    def _open(self, keys: ScpKeys, level: int, version: int, name: bytes) -> None:
        self._challenges += 1
        opening = Opening(self._challenges.to_bytes(8), level, version, aid=name)
        try:
            told = self._exchange("INITIALIZE UPDATE", opening.initialize_update().encode(), None)
            authenticating = opening.authenticate(told, keys)
            told = self._exchange("EXTERNAL AUTHENTICATE", authenticating.command.encode(), None)
            self._channel = authenticating.open(told)
        except (ChannelError, MalformedRecord) as error:
            raise Failed(f"a channel to {name.hex().upper()} expected: {error}") from None

    def _exchange(self, name: str, apdu: bytes, plain: Command | None) -> Response:
        self.apdus += 1
        answer: bytes | None = None
        try:
            answer = self._target.exchange(apdu)
            return Response.decode(answer)
        except MalformedResponse as error:
            raise Failed(f"{name}: {error}") from None
        finally:
            if len(self.trace) == TRACE_MAX:
                del self.trace[0]
            self.trace.append(line_of(name, apdu, answer, plain))

    def _plain(self, name: str, command: Command, status: Sequence[str] = ("9000",)) -> Response:
        """A command of the kit's own, in the channel if one is open."""
        response = self._exchange(name, command.encode(), None) if self._channel is None else self._secured(name, command)
        if f"{response.sw:04X}" not in status:
            raise Failed(f"{name}: {' or '.join(status)} expected, {response.status} came")
        return response

    def _install(self, name: bytes, *, there: bool) -> None:
        """A blank instance, through the card manager; one that is there goes first."""
        self._plain("SELECT of the card manager", Command(CLA_ISO, Ins.SELECT, 4, 0, MANAGER_AID, NE))
        self._open(self.scope.key_set(MANAGER_KEYS), 0x33, 0, MANAGER_AID)
        if there:
            data = b"\x4f" + bytes((len(name),)) + name
            self._plain("DELETE", Command(CLA_JOREN, GpIns.DELETE, 0, 0, data, NE), NONE_THERE)
        data = InstallData(PACKAGE_AID, name[:-2], name).encode()
        self._plain("INSTALL", Command(CLA_JOREN, GpIns.INSTALL, 0x0C, 0, data, NE))

    def _personalize(self, name: bytes, managed: bool) -> None:
        groupings = [Dgi(tag, self._value(value)) for tag, value in self._fixture.groupings]
        if not groupings:
            self.reset()
            return
        if managed:
            data = personalization_data(name)
            self._plain("INSTALL for personalization", Command(CLA_JOREN, GpIns.INSTALL, 0x20, 0, data, NE))
            found = blocks(groupings, self.scope.key_set(MANAGER_KEYS).dek, ROOM)
        else:
            self._plain("SELECT", Command(CLA_ISO, Ins.SELECT, 4, 0x0C, name, NE))
            found = _plain_blocks(groupings)
        for block in found:
            self._plain("STORE DATA", block if self._fixture.issued else replace(block, p1=block.p1 & ~LAST))
        self.reset()

    def _value(self, field: Field) -> bytes:
        try:
            return self.scope.value(field)
        except (BadField, ValueError) as error:
            raise Failed(f"the vector itself: {error}") from None

    @contextmanager
    def _with(self, values: Values) -> Iterator[None]:
        self.scope.push(values)
        try:
            yield
        finally:
            self.scope.pop()


def _plain_blocks(groupings: Sequence[Dgi]) -> list[Command]:
    """STORE DATA in the clear: as many whole groupings to a block as there is room for."""
    parts = [b""]
    for dgi in groupings:
        raw = build_dgi(dgi.tag, dgi.value)
        if parts[-1] and len(parts[-1]) + len(raw) > ROOM:
            parts.append(b"")
        parts[-1] += raw
    last = len(parts) - 1
    return [Command(CLA_JOREN, Ins.STORE_DATA, PLAIN | (LAST if number == last else 0), number, part) for number, part in enumerate(parts)]
