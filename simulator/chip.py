"""A chip: memory, RAM, a random generator, and the applet instances on it.

How it works. An applet instance sees the chip through a `Seat`, which gives it cells in the non-volatile memory and in a RAM of its
own. SELECT by DF name chooses the instance that answers from then on; its RAM is cleared when it is selected and when another is.
Everything an applet keeps is in these cells, so a snapshot of the memory is a snapshot of the card."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from types import TracebackType
from typing import Self

from joren.apdu import CLA_ISO, CLA_JOREN, SW, Command, Ins, Key, MalformedCommand, Response
from joren.applet.applet import Applet
from joren.applet.platform import CardKey, Cells, Platform

from .memory import Memory, Region, Secrecy, Snapshot

__all__ = ["ATR", "AppletClass", "Chip"]

ATR = bytes.fromhex("3B80800101")
"""Answer to reset: direct convention, T=0 and T=1, no historical bytes (ISO/IEC 7816-3:2006, 8.2)."""

AID_PART_MIN = 5
KEY_SIZE = 16
AppletClass = Callable[[Platform, bytes], Applet]
log = logging.getLogger(__name__)


class Persistent:
    """Cells in the non-volatile memory (joren.applet.platform.Cells)."""

    __slots__ = ("_address", "_memory", "_size")

    def __init__(self, memory: Memory, region: Region) -> None:
        self._memory = memory
        self._address = region.address
        self._size = region.size

    def __len__(self) -> int:
        return self._size

    def get(self, offset: int = 0, length: int | None = None) -> bytes:
        size = self._size - offset if length is None else length
        if offset < 0 or size < 0 or offset + size > self._size:
            raise IndexError(f"cells {offset}..{offset + size} of {self._size}")
        return self._memory.read(self._address + offset, size)

    def put(self, offset: int, data: bytes) -> None:
        if offset < 0 or offset + len(data) > self._size:
            raise IndexError(f"cells {offset}..{offset + len(data)} of {self._size}")
        self._memory.write(self._address + offset, data)


class Transient:
    """Cells in RAM (joren.applet.platform.Cells)."""

    __slots__ = ("_bytes",)

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(size)

    def __len__(self) -> int:
        return len(self._bytes)

    def get(self, offset: int = 0, length: int | None = None) -> bytes:
        return bytes(self._bytes[offset:] if length is None else self._bytes[offset : offset + length])

    def put(self, offset: int, data: bytes) -> None:
        if offset < 0 or offset + len(data) > len(self._bytes):
            raise IndexError(f"cells {offset}..{offset + len(data)} of {len(self._bytes)}")
        self._bytes[offset : offset + len(data)] = data

    def clear(self) -> None:
        self._bytes[:] = bytes(len(self._bytes))


class StoredKey:
    """A key in the non-volatile memory (joren.applet.platform.CardKey); its ready cipher is that of the bytes in the memory."""

    __slots__ = ("_cells", "_key")

    def __init__(self, cells: Persistent) -> None:
        self._cells = cells
        self._key: Key | None = None

    def store(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"key: {KEY_SIZE} bytes expected, {len(key)} came")
        self._cells.put(0, key)

    def mac8(self, message: bytes) -> bytes:
        return self._ready().mac8(message)

    def derive(self, label: bytes, context: bytes) -> Key:
        return self._ready().derive(label, context)

    def forget(self) -> None:
        self._key = None

    def _ready(self) -> Key:
        stored = self._cells.get()
        if self._key is None or self._key.reveal() != stored:
            self._key = Key(stored, "on card")
        return self._key


class Transaction(AbstractContextManager[None]):
    """A transaction on the chip's memory, committed at the end of a `with`, rolled back by an exception."""

    __slots__ = ("_memory",)

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def __enter__(self) -> None:
        self._memory.begin()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._memory.commit()
        else:
            self._memory.abort()


class Seat:
    """The chip as one instance sees it (joren.applet.platform.Platform)."""

    __slots__ = ("_chip", "_prefix", "_transaction", "keys", "ram")

    def __init__(self, chip: "Chip", aid: bytes) -> None:
        self._chip = chip
        self._prefix = aid.hex().upper() + "/"
        self._transaction = Transaction(chip.memory)
        self.ram: list[Transient] = []
        self.keys: list[StoredKey] = []

    def persistent(self, name: str, size: int, *, secret: bool = False) -> Cells:
        return Persistent(
            self._chip.memory, self._chip.memory.allocate(self._prefix + name, size, Secrecy.SECRET if secret else Secrecy.PLAIN)
        )

    def transient(self, name: str, size: int) -> Cells:
        cells = Transient(size)
        self.ram.append(cells)
        return cells

    def key(self, name: str) -> CardKey:
        region = self._chip.memory.allocate(self._prefix + name, KEY_SIZE, Secrecy.SECRET)
        key = StoredKey(Persistent(self._chip.memory, region))
        self.keys.append(key)
        return key

    def transaction(self) -> AbstractContextManager[None]:
        return self._transaction

    def random(self, length: int) -> bytes:
        return self._chip.random(length)

    def clear_ram(self) -> None:
        for cells in self.ram:
            cells.clear()


class Chip:
    """A simulated chip. `seed` makes its random bytes repeatable; two chips need two seeds. Not for use by several threads at once."""

    __slots__ = ("_selected", "applets", "classes", "draws", "last_error", "memory", "seats", "seed")

    def __init__(self, seed: bytes = b"") -> None:
        self.seed = seed
        self.draws = 0
        self.memory = Memory()
        self.applets: dict[bytes, Applet] = {}
        self.seats: dict[bytes, Seat] = {}
        self.classes: dict[bytes, AppletClass] = {}
        self._selected: bytes | None = None
        self.last_error: Exception | None = None

    def install(self, applet_class: AppletClass, aid: bytes) -> None:
        """Makes an instance. Raises ValueError for an AID that is taken."""
        if aid in self.applets:
            raise ValueError(f"AID {aid.hex().upper()}: installed before")
        seat = Seat(self, aid)
        self.applets[aid] = applet_class(seat, aid)
        self.seats[aid] = seat
        self.classes[aid] = applet_class

    def power_on(self) -> bytes:
        """Power and reset: RAM is clear, nothing is selected, an open transaction is rolled back. Answers the ATR."""
        self.memory.power_up()
        self._selected = None
        for seat in self.seats.values():
            seat.clear_ram()
        return ATR

    def power_off(self) -> None:
        """The power goes: RAM and ready ciphers are lost."""
        self._selected = None
        for seat in self.seats.values():
            seat.clear_ram()
            for key in seat.keys:
                key.forget()

    def process(self, command: Command) -> Response:
        """Answers one command. A fault of an applet's program is 6F00, with the exception in last_error. Raises PowerCut."""
        try:
            if command.ins == Ins.SELECT and command.cla == CLA_ISO:
                return self._select(command)
            if self._selected is None:
                return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
            response = self.applets[self._selected].process(command)
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
            return Response(b"", _status_of_malformed(raw)).encode()
        return self.process(command).encode()

    def _select(self, command: Command) -> Response:
        if command.p1 != 0x04 or command.p2 not in (0x00, 0x0C):
            return Response(b"", SW.INCORRECT_P1_P2)
        if not AID_PART_MIN <= len(command.data) <= 16:
            return Response(b"", SW.WRONG_LENGTH)
        found = next((aid for aid in self.applets if aid.startswith(command.data)), None)
        if found is None:
            return Response(b"", SW.FILE_NOT_FOUND)
        if self._selected is not None:
            self.seats[self._selected].clear_ram()
        self.seats[found].clear_ram()
        self._selected = found
        return self.applets[found].select(command)

    def random(self, length: int) -> bytes:
        """The next random bytes: SHA-256 in counter mode over the seed."""
        out = b""
        while len(out) < length:
            out += sha256(self.seed + b"/" + self.draws.to_bytes(8)).digest()
            self.draws += 1
        return out[:length]

    def snapshot(self) -> Snapshot:
        """The memory as it is."""
        return self.memory.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """The memory as it was; then power off. The random generator goes on, as a real chip's would."""
        self.memory.restore(snapshot)
        self.power_off()

    def fork(self) -> Self:
        """A chip of its own with the same applets, memory and random generator, powered off."""
        copy = type(self)(self.seed)
        for aid, applet_class in self.classes.items():
            copy.install(applet_class, aid)
        copy.restore(self.snapshot())
        copy.draws = self.draws
        return copy


def _status_of_malformed(raw: bytes) -> SW:
    if len(raw) >= 4 and raw[0] not in (CLA_ISO, CLA_JOREN):
        return SW.CLA_NOT_SUPPORTED
    if len(raw) >= 4 and raw[1] & 0xF0 in (0x60, 0x90):
        return SW.INS_NOT_SUPPORTED
    return SW.WRONG_LENGTH
