"""A chip: memory, RAM, a random generator, logical channels, and the applet instances on it.

How it works. An applet instance sees the chip through a `Seat` (seat.py), which gives it cells in the non-volatile memory and in a RAM of
its own. SELECT by DF name chooses the instance that answers on a logical channel from then on; CLA names the channel. An instance is
selected on one channel at a time, so each channel has a session of its own, and its RAM is cleared when it is selected and when it is left.
What the chip can hold and do is its profile's (profile.py). Everything an applet keeps is in its cells, so a snapshot of the memory is a
snapshot of the card."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar, Self

from joren.apdu import CLA_ISO, SW, Case, Command, Ins, MalformedCommand, Response
from joren.applet.applet import Applet, Needs
from joren.applet.platform import Platform

from .memory import Memory, Snapshot
from .profile import Profile, load_profile
from .seat import Seat
from .work import Work

__all__ = ["IDEAL", "MODEL", "AppletClass", "Chip", "DoesNotFit", "Program"]

IDEAL = load_profile("ideal")
"""A chip without limits, which takes no time."""
AID_PART_MIN, AID_MAX = 5, 16
CHANNELS = 4
"""The logical channels that CLA 00..03 and 80..83 can name (ISO/IEC 7816-4:2013, 5.4.1)."""
OPEN, CLOSE = 0x00, 0x80
EXTENDED = frozenset({Case.CASE_2E, Case.CASE_3E, Case.CASE_4E})
AppletClass = Callable[[Platform, bytes], Applet]
MemoryMaker = Callable[[int | None, int], Memory]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Program:
    """Which program a chip runs in place of each applet of the model that is in `classes`; `name` is for people and images."""

    name: str
    classes: Mapping[AppletClass, AppletClass] = field(default_factory=dict, hash=False)


MODEL = Program("model")
"""The model itself."""


class DoesNotFit(ValueError):
    """An applet needs more than the chip has; says what, how much of it, and how much there is."""


class Chip:
    """A simulated chip. `seed` makes its random bytes repeatable; two chips need two seeds. Not for use by several threads at once."""

    __slots__ = (
        "_channels", "_make_memory", "applets", "classes", "draws", "last_error", "memory", "profile", "program", "seats", "seed",
    )  # fmt: skip
    default_program: ClassVar[Program] = MODEL

    def __init__(
        self, seed: bytes = b"", profile: Profile = IDEAL, make_memory: MemoryMaker = Memory, program: Program | None = None
    ) -> None:
        self.seed = seed
        self.program = program or self.default_program
        self.draws = 0
        self.profile = profile
        self._make_memory = make_memory
        self.memory = make_memory(profile.commit_capacity_bytes, profile.commit_overhead_bytes)
        self.applets: dict[bytes, Applet] = {}
        self.seats: dict[bytes, Seat] = {}
        self.classes: dict[bytes, AppletClass] = {}
        self._channels: dict[int, bytes | None] = {0: None}
        self.last_error: Exception | None = None

    def install(self, applet_class: AppletClass, aid: bytes) -> None:
        """Makes an instance. Raises ValueError for an AID that is taken, DoesNotFit where the chip is too small; nothing is kept then."""
        if aid in self.applets:
            raise ValueError(f"AID {aid.hex().upper()}: installed before")
        self.check_fit(applet_class, aid)
        self._place(applet_class, aid)

    def remake(self, applet_class: AppletClass, aid: bytes) -> None:
        """Makes an instance whose memory is to be restored. Raises DoesNotFit."""
        self.check_fit(applet_class, aid)
        self._place(applet_class, aid)

    def _place(self, applet_class: AppletClass, aid: bytes) -> None:
        seat = Seat(self.memory, self.random, aid, development=self.profile.development, cmac=self.profile.cmac)
        self.applets[aid] = self.programmed(applet_class)(seat, aid)
        self.seats[aid] = seat
        self.classes[aid] = applet_class

    def programmed(self, applet_class: AppletClass) -> AppletClass:
        """What this chip runs as that applet."""
        return self.program.classes.get(applet_class, applet_class)

    def check_fit(self, applet_class: AppletClass, aid: bytes) -> None:
        """Raises DoesNotFit unless the instance, made on trial elsewhere, has room here beside the others."""
        trial = Seat(Memory(), bytes, aid)
        self.programmed(applet_class)(trial, aid)
        seats = [(self.classes[other], seat) for other, seat in self.seats.items()] + [(applet_class, trial)]
        needs = [_needs(self.programmed(one)) for one, _ in seats]
        ram = sum(seat.ram_bytes for _, seat in seats) + max(need.working_ram_bytes for need in needs)
        nvm = sum(seat.nvm_bytes for _, seat in seats) + max(need.code_bytes for need in needs)
        profile = self.profile
        commit = needs[-1].commit_bytes + needs[-1].commit_writes * profile.commit_overhead_bytes
        for what, needed, there in (
            ("RAM", ram, profile.ram_bytes),
            ("memory", nvm, profile.nvm_bytes),
            ("commit capacity", commit, profile.commit_capacity_bytes),
        ):
            if needed > there:
                raise DoesNotFit(f"{profile.title}: {what}: {needed:,} bytes needed, {there:,} are there; use a larger card")

    def is_open(self, channel: int) -> bool:
        """Whether a logical channel is open."""
        return channel in self._channels

    def power_on(self) -> bytes:
        """Power and reset: RAM is clear, nothing is selected, an open transaction is rolled back. Answers the ATR."""
        self.memory.power_up()
        self._leave_all()
        return self.profile.atr

    def power_off(self) -> None:
        """The power goes: RAM is lost."""
        self._leave_all()

    def process(self, command: Command) -> Response:
        """Answers one command. A fault of an applet's program is 6F00, with the exception in last_error. Raises PowerCut."""
        try:
            response = self._process(command)
            if self.memory.in_transaction:
                raise RuntimeError("the applet left a transaction open")
            return response
        except Exception as error:
            if self.memory.in_transaction:
                self.memory.abort()
            self.last_error = error
            log.exception("an applet failed at INS %02X", command.ins)
            return Response(b"", SW.NO_PRECISE_DIAGNOSIS)

    def process_bytes(self, raw: bytes) -> bytes:
        """The same for bytes; what is no command APDU is 6700, or 6E00 or 6D00 for its CLA or INS (REQ-APDU-1)."""
        try:
            command = Command.decode(raw)
        except MalformedCommand:
            return Response(b"", self._status_of_malformed(raw)).encode()
        if not self.profile.extended_length and len(raw) > 5 and raw[4] == 0:
            return Response(b"", SW.WRONG_LENGTH).encode()
        return self.process(command).encode()

    def _process(self, command: Command) -> Response:
        cla, channel = command.cla, 0
        if not self.profile.extended_length and command.case in EXTENDED:
            return Response(b"", SW.WRONG_LENGTH)
        if cla & 0x03 and not cla & 0x7C:
            channel, cla = cla & 0x03, cla & 0xFC
            selects = cla == CLA_ISO and command.ins == Ins.SELECT
            if channel >= self.profile.channels or not (selects or channel in self._channels):
                return Response(b"", SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
            command = Command(cla, command.ins, command.p1, command.p2, command.data, command.ne)
        if cla == CLA_ISO:
            if command.ins == Ins.SELECT:
                return self._select(command, channel)
            if command.ins == Ins.MANAGE_CHANNEL:
                return self._manage_channel(command, channel)
        selected = self._channels.get(channel)
        if selected is None:
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        return self._deliver(selected, command, channel)

    def _deliver(self, aid: bytes, command: Command, channel: int) -> Response:
        """The answer of the instance that is selected on a channel."""
        return self.applets[aid].process(command)

    def _status_of_malformed(self, raw: bytes) -> SW:
        """6E00, 6881 or 6D00 by CLA and INS where they are there, else 6700 (REQ-APDU-1, REQ-CHN-3)."""
        if len(raw) < 4:
            return SW.WRONG_LENGTH
        if raw[0] & 0x7C:
            return SW.CLA_NOT_SUPPORTED
        if raw[0] & 0x03 not in self._channels and raw[:2] != bytes((raw[0] & 0x03, Ins.SELECT)):
            return SW.LOGICAL_CHANNEL_NOT_SUPPORTED
        return SW.INS_NOT_SUPPORTED if raw[1] & 0xF0 in (0x60, 0x90) else SW.WRONG_LENGTH

    def _select(self, command: Command, channel: int) -> Response:
        """SELECT by DF name, first or next occurrence (REQ-AID-2, REQ-CHN-3, REQ-CHN-4)."""
        if command.p1 != 0x04 or command.p2 not in (0x00, 0x0C, 0x02, 0x0E):
            return Response(b"", SW.INCORRECT_P1_P2)
        if not AID_PART_MIN <= len(command.data) <= AID_MAX:
            return Response(b"", SW.WRONG_LENGTH)
        before = self._channels.get(channel)
        names = list(self.applets)
        if command.p2 & 0x02 and before is not None:
            names = names[names.index(before) + 1 :]
        found = next((aid for aid in names if aid.startswith(command.data)), None)
        if found is None:
            return Response(b"", SW.FILE_NOT_FOUND)
        if any(aid == found and number != channel for number, aid in self._channels.items()):
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        if before is not None:
            self.seats[before].deselect()
        self.seats[found].deselect()
        self._channels[channel] = found
        self._chosen(channel)
        return self.applets[found].select(command)

    def _chosen(self, channel: int) -> None:
        """An instance was selected on a channel: what else that means."""

    def _manage_channel(self, command: Command, origin: int) -> Response:
        """MANAGE CHANNEL (REQ-CHN-2)."""
        operation, number = command.p1, command.p2
        if self.profile.channels == 1:
            return Response(b"", SW.LOGICAL_CHANNEL_NOT_SUPPORTED)
        if operation not in (OPEN, CLOSE) or number >= CHANNELS:
            return Response(b"", SW.INCORRECT_P1_P2)
        if command.data:
            return Response(b"", SW.WRONG_LENGTH)
        if operation == CLOSE:
            return self._close_channel(number)
        if number == 0 and command.ne is None:
            return Response(b"", SW.WRONG_LE | 1)
        free = [one for one in range(1, self.profile.channels) if one not in self._channels and number in (0, one)]
        if not free:
            return Response(b"", SW.FUNCTION_NOT_SUPPORTED)
        if origin and self._channels[origin] is not None:
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        self._channels[free[0]] = None
        return Response(b"" if number else bytes(free[:1]), SW.OK)

    def _close_channel(self, number: int) -> Response:
        if number == 0:
            return Response(b"", SW.FUNCTION_NOT_SUPPORTED)
        if number not in self._channels:
            return Response(b"", SW.NO_INFORMATION_GIVEN)
        left = self._channels.pop(number)
        if left is not None:
            self.seats[left].deselect()
        return Response(b"", SW.OK)

    def _leave_all(self) -> None:
        self._channels = {0: None}
        for seat in self.seats.values():
            seat.reset()

    def random(self, length: int) -> bytes:
        """The next random bytes: SHA-256 in counter mode over the seed."""
        out = b""
        while len(out) < length:
            out += sha256(self.seed + b"/" + self.draws.to_bytes(8)).digest()
            self.draws += 1
        return out[:length]

    def record_work(self) -> Work:
        """A list that gets, from now on, what the chip does; it goes on until the next call, or until memory.work is None again."""
        work: Work = []
        self.memory.work = work
        return work

    def snapshot(self) -> Snapshot:
        """The memory as it is."""
        return self.memory.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """The memory as it was; then power off. The random generator goes on, as a real chip's would."""
        self.memory.restore(snapshot)
        self.power_off()

    def fork(self) -> Self:
        """A chip of its own with the same profile, applets, memory, wear and random generator, powered off."""
        copy = type(self)(self.seed, self.profile, self._make_memory, self.program)
        for aid, applet_class in self.classes.items():
            copy._place(applet_class, aid)
        copy.restore(self.snapshot())
        copy.memory.wear = None if self.memory.wear is None else dict(self.memory.wear)
        copy.draws = self.draws
        return copy

    def on(self, profile: Profile, make_memory: MemoryMaker = Memory, program: Program | None = None) -> Self:
        """The same card on another chip: applets, memory and random generator, nothing worn. Raises DoesNotFit.

        `program`: that chip's, which has the same regions in its memory; else this one's.
        """
        copy = type(self)(self.seed, profile, make_memory, program or self.program)
        for aid, applet_class in self.classes.items():
            copy.remake(applet_class, aid)
        copy.restore(self.snapshot())
        copy.memory.wear = {}
        copy.draws = self.draws
        return copy


def _needs(applet_class: AppletClass) -> Needs:
    """What the class says (NEEDS); a class that says nothing, as in a test, needs its cells alone."""
    needs: Needs = getattr(applet_class, "NEEDS", Needs(0, 0, 0, 0))
    return needs
