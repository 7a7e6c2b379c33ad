"""The non-volatile memory of a chip: one flat array, and one place through which every write passes.

How it works. Regions are allocated by name, at install, one after the other. A write is numbered, journalled while a transaction is
open, and counted. Committing a transaction is numbered too: it is the moment the journal is thrown away. `cut_after(n)` takes the power
away in place of the n-th write or commit from now: nothing of it happens, PowerCut is raised, and every later write fails alike until
`power_up`, which rolls an open transaction back. So whatever the program above does on its way out, the memory is what a pulled card's
would be. A write that is not atomic is torn at every byte; and whether an abort takes it back is not known on a real card, so
`keep_non_atomic` says which of the two happens. The journal has room for `commit_capacity_bytes`: old values, and so many bytes a write.
"""

from dataclasses import dataclass
from enum import Enum

from .work import Op, Work

__all__ = ["ELSEWHERE", "JournalFull", "Memory", "PowerCut", "Region", "Secrecy", "Snapshot", "Statistics", "Wear"]

ELSEWHERE = -1
"""The address of what no region has."""
Snapshot = bytes
Wear = dict[tuple[int, int], int]
"""How often the bytes from an address on, so many, were written as one."""


class JournalFull(Exception):
    """The writes of a transaction are more than the chip's commit capacity (Java Card: TransactionException.BUFFER_FULL)."""


class PowerCut(BaseException):
    """The power went away in the middle of a command. Not an Exception, so that no card program catches it."""


class Secrecy(Enum):
    """What a region holds: what may be read in an image, or what may not."""

    PLAIN = "plain"
    SECRET = "secret"  # noqa: S105 - the word, no password


@dataclass(frozen=True, slots=True)
class Region:
    """A named range of the memory."""

    name: str
    address: int
    size: int
    secrecy: Secrecy


@dataclass(slots=True)
class Statistics:
    """What was written since the chip was made."""

    writes: int = 0
    bytes_written: int = 0
    transactions: int = 0
    last_transaction_bytes: int = 0
    last_transaction_writes: int = 0


class Memory:
    """Non-volatile memory. Not for use by several threads at once.

    `cut` is the write that last did not happen for want of power: address and size, both 0 for a commit. `work`, if there is one, gets
    every write and commit; `wear` counts how often each range was written, or is None.
    """

    __slots__ = (
        "_cells", "_countdown", "_journal", "_room", "commit_capacity_bytes", "commit_overhead_bytes", "cut", "keep_non_atomic", "powered",
        "regions", "statistics", "wear", "work",
    )  # fmt: skip

    def __init__(self, commit_capacity_bytes: int | None = None, commit_overhead_bytes: int = 0) -> None:
        self._cells = bytearray()
        self._journal: list[tuple[int, bytes]] | None = None
        self._room = 0
        self._countdown = 0
        self.commit_capacity_bytes = commit_capacity_bytes
        self.commit_overhead_bytes = commit_overhead_bytes
        self.work: Work | None = None
        self.wear: Wear | None = {}
        self.powered = True
        self.cut: tuple[int, int] | None = None
        self.keep_non_atomic = False
        self.regions: dict[str, Region] = {}
        self.statistics = Statistics()

    def __len__(self) -> int:
        return len(self._cells)

    def allocate(self, name: str, size: int, secrecy: Secrecy = Secrecy.PLAIN) -> Region:
        """A zeroed region. Raises ValueError for a name that is taken."""
        if name in self.regions:
            raise ValueError(f"region {name}: allocated before")
        region = Region(name, len(self._cells), size, secrecy)
        self._cells.extend(bytes(size))
        self.regions[name] = region
        return region

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at address."""
        return bytes(self._cells[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """Writes data at address, as one. Raises PowerCut if the power goes, JournalFull where the transaction has no room for it."""
        size = len(data)
        self._tick(address, size)
        end = address + size
        if self._journal is not None:
            self._take_room(size)
            self._journal.append((address, bytes(self._cells[address:end])))
        self._cells[address:end] = data
        self._count(address, size)

    def write_non_atomic(self, address: int, data: bytes) -> None:
        """Writes data at address, byte by byte; in a transaction without a word in the journal, if `keep_non_atomic`. Raises PowerCut."""
        for offset, byte in enumerate(data, address):
            self._tick(offset, 1)
            if self._journal is not None and not self.keep_non_atomic:
                self._journal.append((offset, bytes(self._cells[offset : offset + 1])))
            self._cells[offset] = byte
        self._count(address, len(data))

    def write_elsewhere(self, size: int) -> None:
        """One write of so many bytes that no region has: an applet's cache, such as a key object. Raises PowerCut, JournalFull."""
        self._tick(ELSEWHERE, size)
        if self._journal is not None:
            self._take_room(size)
        self._count(ELSEWHERE, size)

    @property
    def countdown(self) -> int:
        """Writes and commits up to the one that does not happen, 0: never (cut_after)."""
        return self._countdown

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._journal is not None

    def begin(self) -> None:
        """Opens a transaction. Raises RuntimeError if one is open: they do not nest."""
        if self._journal is not None:
            raise RuntimeError("a transaction is open already")
        self._journal = []
        self._room = self.commit_capacity_bytes or 0

    def commit(self) -> None:
        """Makes the writes of the transaction stay. Raises PowerCut, and they do not."""
        if self._journal is None:
            raise RuntimeError("no transaction is open")
        self._tick(0, 0)
        journal, self._journal = self._journal, None
        statistics = self.statistics
        statistics.transactions += 1
        statistics.last_transaction_writes = len(journal)
        statistics.last_transaction_bytes = sum([len(old) for _, old in journal])
        if self.work is not None:
            self.work.append((Op.COMMIT, statistics.last_transaction_bytes))

    def abort(self) -> None:
        """Takes the writes of the transaction back; without power that waits for power_up."""
        if self.powered:
            self._roll_back()

    def cut_after(self, count: int) -> None:
        """The count-th write or commit from now does not happen: the power goes in its place. 0: never."""
        self._countdown = count

    @property
    def writes_to_cut(self) -> int:
        """What is left of the count that `cut_after` was told; 0: the power stays."""
        return self._countdown

    def power_up(self) -> None:
        """Power comes (back): an open transaction is rolled back."""
        self.powered = True
        self._countdown = 0
        self._roll_back()

    def snapshot(self) -> Snapshot:
        """A copy of all cells. Raises RuntimeError inside a transaction."""
        if self._journal is not None:
            raise RuntimeError("a snapshot inside a transaction is half a state")
        return bytes(self._cells)

    def restore(self, snapshot: Snapshot) -> None:
        """Sets all cells as they were at the snapshot of a memory with the same regions; not counted as writes."""
        if len(snapshot) != len(self._cells):
            raise ValueError(f"snapshot: {len(self._cells)} bytes expected, {len(snapshot)} came")
        self._journal = None
        self._cells[:] = snapshot

    def region_at(self, address: int) -> Region:
        """The region that has the byte at address. Raises IndexError."""
        for region in self.regions.values():
            if region.address <= address < region.address + region.size:
                return region
        raise IndexError(f"address {address}: no region has it")

    def _take_room(self, size: int) -> None:
        """Raises JournalFull; nothing of the write has happened then."""
        if self.commit_capacity_bytes is not None:
            self._room -= size + self.commit_overhead_bytes
            if self._room < 0:
                raise JournalFull(f"commit capacity: {self.commit_capacity_bytes} bytes, the transaction needs {-self._room} more")

    def _count(self, address: int, size: int) -> None:
        self.statistics.writes += 1
        self.statistics.bytes_written += size
        if self.wear is not None and address >= 0:
            self.wear[address, size] = self.wear.get((address, size), 0) + 1
        if self.work is not None:
            self.work.append((Op.WRITE, size))

    def _tick(self, address: int, size: int) -> None:
        if not self.powered:
            raise PowerCut
        if self._countdown:
            self._countdown -= 1
            if not self._countdown:
                self.powered = False
                self.cut = (address, size)
                raise PowerCut

    def _roll_back(self) -> None:
        if self._journal is not None:
            for address, old in reversed(self._journal):
                self._cells[address : address + len(old)] = old
            self._journal = None
