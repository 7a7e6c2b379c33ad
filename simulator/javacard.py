"""Applets of Java Card on a simulated chip: an instance in a Java virtual machine, whose memory is the chip's.

How it works. An instance's persistent arrays are regions of the chip's memory, under the names that the model has for them, and between
commands that memory is the truth: where its cells are not what the machine last had, they go with the next command. What a command writes,
begins and commits in the machine comes back as a log, and is done again on the memory, which so counts, journals, wears and loses its power
as for the model. Both sides number the writes alike, so a power cut happens in the machine itself, and again here.

RAM is in the machine. A mark for each kind of RAM says whether it is alive; where the chip has cleared it, the machine is told to. An
instance that is not in the machine (not yet, or not in this one any more) is made anew there. One whose RAM was alive when its machine
died has lost it as by a loss of power, and says so: `JvmLost`.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from struct import Struct
from weakref import ref

from joren.apdu import SW, Command, Response
from joren.applet.applet import NEEDS, Needs
from joren.applet.platform import Platform, Until

from .jvm import ASK_RANDOM, CUT, DONE, FAULT, Jvm, JvmDied, the_jvm
from .memory import JournalFull, Memory, PowerCut, Secrecy
from .seat import Seat
from .work import Op

__all__ = ["JavaApplet", "JavaClass", "JavaFault", "JvmLost", "RegionSize"]

CREATE, RUN, DUMP, DROP = 1, 2, 3, 4
DESELECT, RESET, SELECT, KEEP_NON_ATOMIC, LOAD, T0 = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
WRITE, WRITE_NON_ATOMIC, WRITE_INTERNAL, BEGIN, COMMIT, ABORT, MAC, SET_KEY = range(1, 9)
SECURE_MESSAGING = 0x04
OPEN, C_MAC, C_DECRYPTION, R_MAC = 0x80, 0x01, 0x02, 0x10
HEAD = Struct(">BIBBi")
U16 = Struct(">H")
TWO = Struct(">HH")
DATA_MAX, NE_MAX = 255, 256
CELLS_AT = 7
JAVA_NEEDS = replace(NEEDS, working_ram_bytes=0)
"""As the model's, but that the RAM to compute in is among what an instance allocates."""
LIVE_MAX = 1_000
"""So many instances are in the machine at most; those that are off are made anew there when they are needed."""


class JavaFault(Exception):
    """The applet's program failed: an exception that it did not mean to answer with."""


class JvmLost(PowerCut):
    """The machine with the instance's RAM ended. Its memory is as before the command."""


@dataclass(frozen=True, slots=True)
class RegionSize:
    """A persistent array of an applet."""

    name: str
    size: int
    secrecy: Secrecy = Secrecy.PLAIN


@dataclass(frozen=True, slots=True)
class Layout:
    """What an instance is like when it is made: RAM until deselection and until reset, persistent bytes of no region, and its cells."""

    deselect_bytes: int
    reset_bytes: int
    internal_bytes: int
    cells: bytes


class Live(OrderedDict[int, "ref[JavaApplet]"]):
    """The instances in a machine, the one last used at the end."""

    def __init__(self, jvm: Jvm) -> None:
        super().__init__()
        self.jvm = jvm
        self.machine = 0
        self.numbers = count(1)

    def add(self, applet: "JavaApplet") -> int:
        """A number for an instance that is to be made; drops some of those that are off, where there are too many."""
        number = next(self.numbers)
        if len(self) >= LIVE_MAX:
            found = [(old, one()) for old, one in self.items()]
            off = [old for old, one in found if one is None or not one.has_ram][: LIVE_MAX // 2]
            for old in off:
                del self[old]
            self.jvm.exchange(bytes((DROP,)) + b"".join(old.to_bytes(4) for old in off), refuse)
        self[number] = ref(applet)
        return number


LIVES: dict[int, Live] = {}


def live_in(jvm: Jvm) -> Live:
    """The instances in a machine; none, where it has been started anew. Raises NoJava."""
    live = LIVES.setdefault(id(jvm), Live(jvm))
    machine = jvm.ensure()
    if live.machine != machine:
        live.clear()
        live.machine = machine
    return live


def refuse(_what: int, _data: bytes) -> bytes:
    """To what asks while nothing may be asked."""
    raise RuntimeError("the machine asked for what only a command can have")


@dataclass(frozen=True)
class JavaClass:
    """An applet's class in Java, as a Chip wants it (AppletClass): called with (platform, aid) it makes an instance.

    `parameters` are what GlobalPlatform's INSTALL has in tag C9; `mutant`: one that writes wrongly (applet/javacard, class Mutate);
    `counting`: executed bytecodes are counted; `t0`: the instance is told that the protocol is T=0, and sees P3 in place of lengths;
    `install`: all that install gets, where it shall get what no platform gives.
    """

    name: str
    regions: tuple[RegionSize, ...]
    parameters: bytes = b""
    mutant: str = ""
    counting: bool = False
    channel: str = "globalplatform"
    t0: bool = False
    install: bytes = b""
    NEEDS: Needs = JAVA_NEEDS

    def __call__(self, platform: Platform, aid: bytes) -> "JavaApplet":
        assert isinstance(platform, Seat)
        return JavaApplet(self, platform, aid)

    def mutated(self, mutant: str) -> "JavaClass":
        """The same, writing wrongly."""
        return replace(self, mutant=mutant)

    def order(self, aid: bytes, seat: Seat, capacity: int | None, overhead: int) -> bytes:
        """What the harness makes an instance from."""
        own = self.parameters or (b"\x01" if seat.development else b"")
        install = self.install or bytes((len(aid),)) + aid + b"\x00" + bytes((len(own),)) + own
        frame = [_text(self.name), _text(self.mutant), bytes((self.counting, seat.cmac, len(aid))), aid]
        frame += [bytes((len(install),)), install, (-1 if capacity is None else capacity).to_bytes(4, signed=True), U16.pack(overhead)]
        frame.append(bytes((len(self.regions),)))
        return b"".join(frame) + b"".join(_text(region.name) + U16.pack(region.size) for region in self.regions)


def _text(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


@cache
def layout_of(java_class: JavaClass, aid: bytes, development: bool) -> Layout:
    """Makes an instance in the machine on trial. Raises NoJava, JavaFault."""
    jvm = the_jvm(java_class.channel)
    live_in(jvm)
    trial = Seat(Memory(), bytes, aid, development=development)
    answer = jvm.exchange(bytes((CREATE,)) + bytes(4) + java_class.order(aid, trial, None, 0), refuse)
    if answer[0] != DONE:
        raise JavaFault(f"install: {answer[3:].decode()}")
    deselect, reset, internal = (int.from_bytes(answer[at : at + 2]) for at in (1, 3, 5))
    return Layout(deselect, reset, internal, answer[CELLS_AT:])


class JavaApplet:
    """One instance (joren.applet.applet.Applet). `bytecodes` are those of its last command, where they are counted."""

    def __init__(self, java_class: JavaClass, seat: Seat, aid: bytes) -> None:
        self.aid = aid
        self.java_class = java_class
        self.bytecodes = 0
        self.loads = 0
        self.seat = seat
        self._memory: Memory = seat.memory
        layout = layout_of(java_class, aid, seat.development)
        start = len(self._memory)
        for number, region in enumerate(java_class.regions):
            address = seat.region(region.name, region.size, region.secrecy).address
            start = address if number == 0 else start
        self._start, self._size = start, len(layout.cells)
        seat.transient("ram", layout.deselect_bytes)
        seat.transient("lasting", layout.reset_bytes, until=Until.RESET)
        self._ram, self._lasting = seat.mark(Until.DESELECT), seat.mark(Until.RESET)
        seat.nvm_bytes += layout.internal_bytes
        self.jvm = the_jvm(java_class.channel)
        self._number = 0
        self._machine = 0
        self._known: bytes | None = None
        self._install(layout.cells)

    def _install(self, cells: bytes) -> None:
        """What the constructor wrote, in one transaction: a platform makes an instance as a whole."""
        at = self._start
        with self.seat.transaction():
            for region in self.java_class.regions:
                value = cells[at - self._start : at - self._start + region.size]
                if any(value):
                    self._memory.write(at, value.rstrip(b"\x00"))
                at += region.size

    @property
    def has_ram(self) -> bool:
        """Whether the machine holds RAM of it that is alive."""
        return self._lasting.alive

    def select(self, command: Command) -> Response:
        """Answers the SELECT that chose it."""
        return self._run(command, SELECT)

    def process(self, command: Command) -> Response:
        """Answers any other command. Raises JavaFault, JournalFull, PowerCut, JvmLost."""
        if len(command.data) > DATA_MAX:
            return Response(b"", SW.WRONG_LENGTH)
        return self._run(command, 0)

    def cells_in_jvm(self) -> bytes:
        """The regions as the machine has them, for tests. Raises LookupError where the instance is not there."""
        if not self._number or self._number not in live_in(self.jvm):
            raise LookupError("the instance is not in the machine")
        return self.jvm.exchange(bytes((DUMP,)) + self._number.to_bytes(4), refuse)[1:]

    @property
    def cells(self) -> bytes:
        """The regions as the chip's memory has them."""
        return self._memory.read(self._start, self._size)

    def _run(self, command: Command, flags: int) -> Response:
        with self.jvm.lock:
            flags |= self._take_place()
            frame = self._frame(command, flags)
            self._known = None
            try:
                answer = self.jvm.exchange(frame, self._ask)
            except JvmDied as error:
                raise JvmLost(f"{error}; the card is as before the command") from error
        self._ram.set()
        self._lasting.set()
        return self._take(answer)

    def _frame(self, command: Command, flags: int) -> bytes:
        memory, cells, loaded = self._memory, self.cells, b""
        if not self._ram.alive:
            flags |= DESELECT
        if memory.keep_non_atomic:
            flags |= KEEP_NON_ATOMIC
        if self.java_class.t0:
            flags |= T0
        if self._known != cells:
            flags |= LOAD
            self.loads += 1
            loaded = U16.pack(self._size) + cells
        level = self._level()
        if level & C_MAC:
            command = replace(command, cla=command.cla | SECURE_MESSAGING)
        return HEAD.pack(RUN, self._number, flags, level, memory.countdown) + loaded + self._encoded(command)

    def _take_place(self) -> int:
        """Sees to it that the instance is in the machine; RESET where its RAM is not, or is to be cleared."""
        live = live_in(self.jvm)
        there = self._machine == live.machine and self._number in live
        if there:
            live.move_to_end(self._number)
            return 0 if self.has_ram else RESET
        if self.has_ram:
            self.seat.reset()
            raise JvmLost("the Java virtual machine with the card's RAM ended; the card is as before the command")
        self._machine, self._number = live.machine, live.add(self)
        memory = self._memory
        order = self.java_class.order(self.aid, self.seat, memory.commit_capacity_bytes, memory.commit_overhead_bytes)
        answer = self.jvm.exchange(bytes((CREATE,)) + self._number.to_bytes(4) + order, refuse)
        if answer[0] != DONE:
            raise JavaFault(f"install: {answer[3:].decode()}")
        self._known = answer[CELLS_AT:]
        return RESET

    def _encoded(self, command: Command) -> bytes:
        """The command in short form: no answer of an applet is longer than 256 bytes, so whoever wants more gets as much. With T=0 header,
        P3 and data (ISO/IEC 7816-3:2006, 12.2)."""
        if command.ne is not None and command.ne > NE_MAX:
            command = replace(command, ne=NE_MAX)
        if not self.java_class.t0:
            return command.encode()
        return bytes((command.cla, command.ins, command.p1, command.p2, len(command.data) or (command.ne or 0) & 0xFF)) + command.data

    def _level(self) -> int:
        channel = self.seat.channel
        if channel is None:
            return 0
        return OPEN | C_MAC * channel.c_mac | C_DECRYPTION * channel.c_decryption | R_MAC * channel.r_mac

    def _ask(self, what: int, data: bytes) -> bytes:
        if what == ASK_RANDOM:
            return self.seat.random(int.from_bytes(data))
        channel = self.seat.channel
        try:
            return b"" if channel is None else channel.decrypt(data[2:])
        except ValueError:
            return b""

    def _take(self, answer: bytes) -> Response:
        size = int.from_bytes(answer[1:3])
        told, log = answer[3 : 3 + size], answer[3 + size :]
        self.bytecodes = int.from_bytes(log[:2])
        if self.java_class.counting and self._memory.work is not None:
            self._memory.work.append((Op.BYTECODES, self.bytecodes))
        if answer[0] == CUT:
            self._known = told
        full = self._replay(log[2:])
        if answer[0] == CUT:
            raise RuntimeError("the machine lost its power, the memory did not")
        if answer[0] == FAULT:
            if self._memory.in_transaction:
                self._memory.abort()
            self._known = self.cells
            raise full or JavaFault(told.decode())
        self._known = self.cells
        return Response.decode(told)

    def _replay(self, log: bytes) -> JournalFull | None:
        """Does again on the memory what the machine did to its own. Gives the last refusal of the journal, if there was one."""
        memory, at, full = self._memory, 0, None
        while at < len(log):
            kind = log[at]
            at += 1
            if kind in (WRITE, WRITE_NON_ATOMIC):
                offset, size = TWO.unpack_from(log, at)
                data = log[at + 4 : at + 4 + size]
                at += 4 + size
                try:
                    (memory.write if kind == WRITE else memory.write_non_atomic)(self._start + offset, data)
                except JournalFull as error:
                    full = error
            elif kind == BEGIN:
                memory.begin()
            elif kind == COMMIT:
                memory.commit()
            elif kind == ABORT:
                memory.abort()
            else:
                size = int.from_bytes(log[at : at + 2])
                at += 2
                if kind == WRITE_INTERNAL:
                    try:
                        memory.write_elsewhere(size)
                    except JournalFull as error:
                        full = error
                elif memory.work is not None:
                    memory.work.append((Op.MAC if kind == MAC else Op.SET_KEY, size))
        return full
