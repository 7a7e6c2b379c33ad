"""Memories that write wrongly, to see whether the tear explorer notices.

How it works. As long as the power stays a mutant is right: what is read is what was written, and after a command the cells are as Memory
leaves them. Only the order of its writes, or what is left of them when the power goes, is wrong. Most are wrong in one region; a few in all
that a card has. `Deferred` keeps the writes of a transaction in RAM, and each of its kinds carries them out in a wrong way of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import ClassVar

from .chip import Chip
from .memory import Memory, PowerCut, Snapshot

__all__ = ["EVERYWHERE", "IN_A_REGION", "RIGHT", "Mutant", "Wrong", "mutants"]

Write = tuple[int, bytes]


class Wrong(Memory):
    """A memory that writes the region `wrong_region` wrongly, by its name without the AID; every region where that is ""."""

    __slots__ = ("wrong_region",)
    NAME: ClassVar[str]
    WRONG: ClassVar[str]

    def __init__(self, wrong_region: str, commit_capacity_bytes: int | None = None, commit_overhead_bytes: int = 0) -> None:
        super().__init__(commit_capacity_bytes, commit_overhead_bytes)
        self.wrong_region = wrong_region

    def is_wrong(self, address: int) -> bool:
        """Whether the address is in the region."""
        return not self.wrong_region or self.region_at(address).name.partition("/")[2] == self.wrong_region

    def write_outside(self, address: int, data: bytes) -> None:
        """A write that no abort takes back."""
        journal, self._journal = self._journal, None
        try:
            super().write(address, data)
        finally:
            self._journal = journal


class Escapes(Wrong):
    """The journal does not have the region's old values."""

    __slots__ = ()
    NAME = "escapes the journal"
    WRONG = "the write is not in the journal: an abort does not take it back"

    def write(self, address: int, data: bytes) -> None:
        if self.in_transaction and self.is_wrong(address):
            self.write_outside(address, data)
        else:
            super().write(address, data)


class NonAtomicCopy(Wrong):
    """Java Card: Util.arrayCopyNonAtomic where arrayCopy belongs."""

    __slots__ = ()
    NAME = "non-atomic copy"
    WRONG = "in a transaction the write is a non-atomic copy, which an abort may take back or not"

    def write(self, address: int, data: bytes) -> None:
        if self.in_transaction and self.is_wrong(address):
            self.write_non_atomic(address, data)
        else:
            super().write(address, data)


class ByteByByte(Wrong):
    """A loop over bytes."""

    __slots__ = ()
    NAME = "byte by byte"
    WRONG = "the write, in a transaction or not, is a loop of single bytes, none of them in the journal"

    def write(self, address: int, data: bytes) -> None:
        if not self.is_wrong(address):
            super().write(address, data)
            return
        for number in range(len(data)):
            self.write_outside(address + number, data[number : number + 1])


class EarlyCommit(Wrong):
    """Two transactions where one belongs."""

    __slots__ = ()
    NAME = "early commit"
    WRONG = "the transaction is committed after the write, and another takes the rest"

    def write(self, address: int, data: bytes) -> None:
        super().write(address, data)
        if self.in_transaction and self.is_wrong(address):
            self.commit()
            self.begin()


class HalfCommit(Wrong):
    """The journal is thrown away piece by piece."""

    __slots__ = ()
    NAME = "torn commit"
    WRONG = "a commit that is torn has thrown away the journal of the region already"

    def commit(self) -> None:
        try:
            super().commit()
        except PowerCut:
            self._journal = self.rest(self._journal or [])
            raise

    def rest(self, journal: list[Write]) -> list[Write]:
        """What is left of the journal when the power goes."""
        return [(address, old) for address, old in journal if not self.is_wrong(address)]


class FirstHalfCommit(HalfCommit):
    """From the oldest entry on."""

    __slots__ = ()
    NAME = "first half stays"
    WRONG = "of a transaction whose commit is torn the first half of the writes stays"

    def rest(self, journal: list[Write]) -> list[Write]:
        return journal[(len(journal) + 1) // 2 :]


class LastHalfCommit(HalfCommit):
    """From the newest entry on."""

    __slots__ = ()
    NAME = "second half stays"
    WRONG = "of a transaction whose commit is torn the second half of the writes stays"

    def rest(self, journal: list[Write]) -> list[Write]:
        return journal[: len(journal) // 2]


class NoTransactions(Wrong):
    """No journal at all."""

    __slots__ = ()
    NAME = "no transactions"
    WRONG = "every write stands at once, whatever the transaction"

    def write(self, address: int, data: bytes) -> None:
        self.write_outside(address, data)


class ForgetsAtPowerUp(Wrong):
    """The journal is in RAM."""

    __slots__ = ()
    NAME = "journal in RAM"
    WRONG = "an abort takes the writes back, but not a loss of power"

    def power_up(self) -> None:
        self._journal = None
        super().power_up()


class UndoesOneWrite(Wrong):
    """The roll-back ends too early."""

    __slots__ = ()
    NAME = "undoes the last write alone"
    WRONG = "at power up only the newest write of the open transaction is taken back"

    def power_up(self) -> None:
        if self._journal is not None:
            self._journal = self._journal[-1:]
        super().power_up()


class Deferred(Wrong):
    """Keeps the writes of a transaction in RAM until its commit; what is read has them."""

    __slots__ = ("_waiting",)

    def __init__(self, wrong_region: str, commit_capacity_bytes: int | None = None, commit_overhead_bytes: int = 0) -> None:
        super().__init__(wrong_region, commit_capacity_bytes, commit_overhead_bytes)
        self._waiting: list[Write] = []

    def store(self, writes: Iterable[Write]) -> None:
        """Writes that do not wait any more."""
        for address, data in writes:
            super().write(address, data)

    def carry_out(self, writes: Sequence[Write]) -> None:
        """The writes of the transaction, none of which has happened; the transaction is open."""
        raise NotImplementedError

    def read(self, address: int, size: int) -> bytes:
        cells = super().read(address, size)
        for at, data in self._waiting:
            start, end = max(at, address), min(at + len(data), address + size)
            if start < end:
                cells = cells[: start - address] + data[start - at : end - at] + cells[end - address :]
        return cells

    def write(self, address: int, data: bytes) -> None:
        if self.in_transaction:
            self._waiting.append((address, data))
        else:
            super().write(address, data)

    def commit(self) -> None:
        writes, self._waiting = self._waiting, []
        self.carry_out(writes)

    def abort(self) -> None:
        self._waiting = []
        super().abort()

    def power_up(self) -> None:
        self._waiting = []
        super().power_up()

    def restore(self, snapshot: Snapshot) -> None:
        self._waiting = []
        super().restore(snapshot)


class Late(Deferred):
    """The write was forgotten, and added behind the transaction."""

    __slots__ = ()
    NAME = "late"
    WRONG = "the write comes after the commit"

    def carry_out(self, writes: Sequence[Write]) -> None:
        late = [self.is_wrong(address) for address, _ in writes]
        self.store(compress(writes, map(not_, late)))
        super(Deferred, self).commit()
        self.store(compress(writes, late))


class Before(Deferred):
    """The write was taken out of the transaction, and stands in front of it."""

    __slots__ = ()
    NAME = "before"
    WRONG = "the write stands before the transaction begins"

    def carry_out(self, writes: Sequence[Write]) -> None:
        early = [self.is_wrong(address) for address, _ in writes]
        self._journal = None
        self.store(compress(writes, early))
        self._journal = []
        self.store(compress(writes, map(not_, early)))
        super(Deferred, self).commit()


class First(Deferred):
    """Such as the counter first, or the log before the balance."""

    __slots__ = ()
    NAME = "first, no transaction"
    WRONG = "there is no transaction, and the write comes first: the counter before the log, the log before the balance"

    def carry_out(self, writes: Sequence[Write]) -> None:
        self._journal = None
        self.store(sorted(writes, key=lambda write: not self.is_wrong(write[0])))


class Reversed(Deferred):
    """The last write first."""

    __slots__ = ()
    NAME = "reversed, no transaction"
    WRONG = "there is no transaction, and the last write comes first"

    def carry_out(self, writes: Sequence[Write]) -> None:
        self._journal = None
        self.store(reversed(writes))


IN_A_REGION: tuple[type[Wrong], ...] = (Escapes, NonAtomicCopy, ByteByByte, Late, Before, First, EarlyCommit, HalfCommit)
EVERYWHERE: tuple[type[Wrong], ...] = (NoTransactions, Reversed, FirstHalfCommit, LastHalfCommit, ForgetsAtPowerUp, UndoesOneWrite)
LAST = "the last write of every transaction it is in: a commit after it is the commit"
RIGHT: dict[tuple[type[Wrong], str], str] = {(EarlyCommit, region): LAST for region in ("counter", "life_cycle")}
"""What is not wrong: by kind and region, and why no tear can show it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One memory that writes wrongly: which card has it, and in which region ("": in all)."""

    kind: type[Wrong]
    card: str
    region: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.card}, {self.region or 'all regions'}: {self.kind.NAME}"

    @property
    def wrong(self) -> str:
        """What is wrong with it, in a line."""
        return self.kind.WRONG

    def make(self, commit_capacity_bytes: int | None = None, commit_overhead_bytes: int = 0) -> Memory:
        """Such a memory, for a Chip."""
        return self.kind(self.region, commit_capacity_bytes, commit_overhead_bytes)


def mutants(cards: Mapping[str, Chip]) -> list[Mutant]:
    """Every kind of mutant of every region of the cards, which go by names; without those of RIGHT."""
    found = []
    for card, chip in cards.items():
        regions = [name.partition("/")[2] for name in chip.memory.regions]
        found += [Mutant(kind, card, region) for kind in IN_A_REGION for region in regions if (kind, region) not in RIGHT]
        found += [Mutant(kind, card, "") for kind in EVERYWHERE]
    return found
