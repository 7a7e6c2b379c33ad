"""The memory: whatever is written and whenever the power goes, it is the old or the new one as a whole."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from joren.simulator.memory import JournalFull, Memory, PowerCut, Secrecy
from joren.simulator.work import Op, Work

SIZE = 24


class MemoryMachine(RuleBasedStateMachine):
    """Writes, transactions and power cuts on the memory, and on a plain copy of what must be there."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory()
        self.memory.allocate("all", SIZE)
        self.kept = bytearray(SIZE)
        self.open: bytearray | None = None

    @property
    def expected(self) -> bytearray:
        return self.kept if self.open is None else self.open

    @rule(address=st.integers(0, SIZE - 4), data=st.binary(min_size=1, max_size=4))
    def write(self, address: int, data: bytes) -> None:
        self.memory.write(address, data)
        self.expected[address : address + len(data)] = data

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self) -> None:
        self.memory.begin()
        self.open = bytearray(self.kept)

    @precondition(lambda self: self.open is not None)
    @rule()
    def commit(self) -> None:
        self.memory.commit()
        assert self.open is not None
        self.kept, self.open = self.open, None

    @precondition(lambda self: self.open is not None)
    @rule()
    def abort(self) -> None:
        self.memory.abort()
        self.open = None

    @rule(count=st.integers(1, 4), data=st.binary(min_size=1, max_size=4), inside=st.booleans())
    def cut(self, count: int, data: bytes, inside: bool) -> None:
        """The power goes at one of the next writes, or at the commit after them; the program tries to tidy up and can not."""
        if self.open is None and inside:
            self.begin()
        self.memory.cut_after(count)
        try:
            for address in range(3):
                self.memory.write(address, data)
                self.expected[address : address + len(data)] = data
            if self.open is not None:
                self.memory.commit()
                self.kept, self.open = self.open, None
            else:
                self.memory.write(0, data)
                self.kept[: len(data)] = data
        except PowerCut:
            self.memory.abort()
            with pytest.raises(PowerCut):
                self.memory.write(0, b"x")
        self.memory.power_up()
        self.open = None

    @rule()
    def power_up(self) -> None:
        self.memory.power_up()
        self.open = None

    @invariant()
    def cells_are_as_expected(self) -> None:
        assert self.memory.read(0, SIZE) == bytes(self.expected)
        assert self.memory.in_transaction == (self.open is not None)


MemoryMachine.TestCase.settings = settings(max_examples=60, derandomize=True, deadline=None)
TestMemory = MemoryMachine.TestCase


def test_regions_are_named_once_and_zeroed() -> None:
    memory = Memory()
    first = memory.allocate("a", 3)
    second = memory.allocate("b", 2, Secrecy.SECRET)
    assert (first.address, second.address, len(memory)) == (0, 3, 5)
    assert memory.read(0, 5) == bytes(5)
    with pytest.raises(ValueError, match="a: allocated before"):
        memory.allocate("a", 1)


def test_writes_are_counted() -> None:
    memory = Memory()
    memory.allocate("a", 8)
    memory.write(0, b"12")
    memory.begin()
    memory.write(2, b"345")
    memory.write(5, b"6")
    memory.commit()
    statistics = memory.statistics
    assert (statistics.writes, statistics.bytes_written, statistics.transactions) == (3, 6, 1)
    assert (statistics.last_transaction_writes, statistics.last_transaction_bytes) == (2, 4)


def test_transactions_do_not_nest_and_snapshots_are_whole() -> None:
    memory = Memory()
    memory.allocate("a", 2)
    with pytest.raises(RuntimeError, match="no transaction"):
        memory.commit()
    memory.begin()
    with pytest.raises(RuntimeError, match="open already"):
        memory.begin()
    with pytest.raises(RuntimeError, match="half a state"):
        memory.snapshot()
    memory.abort()
    snapshot = memory.snapshot()
    memory.write(0, b"xy")
    memory.restore(snapshot)
    assert memory.read(0, 2) == bytes(2)
    with pytest.raises(ValueError, match="2 bytes expected, 3 came"):
        memory.restore(bytes(3))


def test_the_journal_has_room_for_so_much() -> None:
    """The write that is too much does not happen, and the abort takes back those before it."""
    memory = Memory(commit_capacity_bytes=20, commit_overhead_bytes=4)
    memory.allocate("a", 30)
    memory.write(0, b"x" * 30)
    memory.begin()
    memory.write(0, b"1" * 8)
    memory.write(8, b"2" * 4)
    with pytest.raises(JournalFull, match="commit capacity: 20 bytes, the transaction needs 5 more"):
        memory.write(12, b"3")  # 12 and 8 beside them were taken: 12 + 8 + 1 + 4 are 5 too many
    memory.abort()
    assert memory.read(0, 30) == b"x" * 30
    memory.begin()
    memory.write(0, b"y" * 16)
    memory.commit()
    assert memory.read(0, 17) == b"y" * 16 + b"x"


def test_wear_counts_every_range_and_can_be_left_out() -> None:
    memory = Memory()
    memory.allocate("a", 8)
    memory.write(0, b"12")
    memory.write(0, b"34")
    memory.write_non_atomic(1, b"56")
    assert memory.wear == {(0, 2): 2, (1, 2): 1}
    memory.restore(bytes(8))
    assert memory.wear == {(0, 2): 2, (1, 2): 1}
    memory.wear = None
    memory.write(0, b"12")
    assert memory.statistics.writes == 4


def test_work_is_told_where_it_is_asked_for() -> None:
    memory = Memory()
    memory.allocate("a", 8)
    memory.write(0, b"1")
    work: Work = []
    memory.work = work
    memory.begin()
    memory.write(0, b"12")
    memory.write(4, b"345")
    memory.commit()
    assert work == [(Op.WRITE, 2), (Op.WRITE, 3), (Op.COMMIT, 5)]
