"""The chip as one applet instance sees it: its cells in non-volatile memory and RAM, its keys, transactions, random bytes."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from joren.apdu import Key
from joren.applet.platform import CardKey, Cells, SecureChannel, Until

from .memory import Memory, Region, Secrecy
from .work import Op, Work

__all__ = ["Mark", "Seat", "StoredKey"]

KEY_SIZE = 16
DERIVATION_OVERHEAD = 4
"""Bytes of the derivation message beside label and context (REQ-KEY-2)."""


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

    __slots__ = ("_bytes", "until")

    def __init__(self, size: int, until: Until) -> None:
        self._bytes = bytearray(size)
        self.until = until

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


class MeteredKey(Key):
    """A derived key, in a transient key object, whose MACs are work of the chip."""

    __slots__ = ("_work",)

    def __init__(self, key: Key, work: Work) -> None:
        super().__init__(key.reveal(), key.name, key.version)
        self._work = work

    def mac8(self, message: bytes) -> bytes:
        self._work.append((Op.MAC, len(message)))
        return super().mac8(message)


class Mark(Transient):
    """One byte that the simulator itself keeps as long as RAM of its kind is alive; it takes none of the card's."""

    __slots__ = ()

    def __init__(self, until: Until) -> None:
        super().__init__(1, until)

    def __len__(self) -> int:
        return 0

    @property
    def alive(self) -> bool:
        """Whether that RAM has not been cleared since `set`."""
        return self._bytes[0] != 0

    def set(self) -> None:
        """From here on it is alive."""
        self._bytes[0] = 1

    def clear(self) -> None:
        self._bytes[0] = 0


READY: deque["StoredKey"] = deque()
READY_MAX = 256
"""So many stored keys, of all chips together, keep their cipher ready, the newest: a process may have many thousands of cards."""


class StoredKey:
    """A key in the non-volatile memory (joren.applet.platform.CardKey); its ready cipher is that of the bytes in the memory."""

    __slots__ = ("_cells", "_key", "_memory")

    def __init__(self, memory: Memory, cells: Persistent) -> None:
        self._memory = memory
        self._cells = cells
        self._key: Key | None = None

    def store(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"key: {KEY_SIZE} bytes expected, {len(key)} came")
        self._cells.put(0, key)

    def mac8(self, message: bytes) -> bytes:
        if self._memory.work is not None:
            self._memory.work.append((Op.MAC, len(message)))
        return self._ready().mac8(message)

    def derive(self, label: bytes, context: bytes) -> Key:
        key, work = self._ready().derive(label, context), self._memory.work
        if work is None:
            return key
        work += [(Op.MAC, len(label) + len(context) + DERIVATION_OVERHEAD), (Op.SET_KEY, KEY_SIZE)]
        return MeteredKey(key, work)

    def forget(self) -> None:
        self._key = None

    def _ready(self) -> Key:
        stored, key = self._cells.get(), self._key
        if key is None or key.reveal() != stored:
            self._key = key = Key(stored, "on card")
            READY.append(self)
            if len(READY) > READY_MAX:
                READY.popleft().forget()
        return key


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

    __slots__ = ("_memory", "_prefix", "_random", "_transaction", "channel", "cmac", "development", "nvm_bytes", "ram")

    def __init__(self, memory: Memory, random: Callable[[int], bytes], aid: bytes, *, development: bool = False, cmac: bool = True) -> None:
        self._memory = memory
        self._random = random
        self._prefix = aid.hex().upper() + "/"
        self._transaction = Transaction(memory)
        self.development = development
        self.cmac = cmac
        self.channel: SecureChannel | None = None
        self.ram: list[Transient] = []
        self.nvm_bytes = 0

    @property
    def ram_bytes(self) -> int:
        """RAM this instance has allocated."""
        return sum(map(len, self.ram))

    @property
    def memory(self) -> Memory:
        """The chip's memory, of which this instance has some regions."""
        return self._memory

    def region(self, name: str, size: int, secrecy: Secrecy) -> Region:
        """Allocates zeroed cells, for what does not go through `persistent`."""
        return self._region(name, size, secrecy)

    def persistent(self, name: str, size: int, *, secret: bool = False) -> Cells:
        return Persistent(self._memory, self._region(name, size, Secrecy.SECRET if secret else Secrecy.PLAIN))

    def transient(self, name: str, size: int, *, until: Until = Until.DESELECT) -> Cells:
        cells = Transient(size, until)
        self.ram.append(cells)
        return cells

    def mark(self, until: Until) -> Mark:
        """Tells whether RAM that lasts until then was cleared."""
        mark = Mark(until)
        self.ram.append(mark)
        return mark

    def key(self, name: str) -> CardKey:
        return StoredKey(self._memory, Persistent(self._memory, self._region(name, KEY_SIZE, Secrecy.SECRET)))

    def transaction(self) -> AbstractContextManager[None]:
        return self._transaction

    def random(self, length: int) -> bytes:
        if self._memory.work is not None:
            self._memory.work.append((Op.RANDOM, length))
        return self._random(length)

    def deselect(self) -> None:
        """Clears the RAM that lasts until deselection."""
        for cells in self.ram:
            if cells.until is Until.DESELECT:
                cells.clear()

    def reset(self) -> None:
        """Clears all RAM."""
        for cells in self.ram:
            cells.clear()

    def _region(self, name: str, size: int, secrecy: Secrecy) -> Region:
        self.nvm_bytes += size
        return self._memory.allocate(self._prefix + name, size, secrecy)
