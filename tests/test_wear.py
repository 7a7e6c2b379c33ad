"""Wear: counted by cell and by page, and the years that a memory lasts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.simulator.memory import Memory
from joren.simulator.wear import cell_writes, life, page_writes, region_wear


def memory(*sizes: int) -> Memory:
    made = Memory()
    for number, size in enumerate(sizes):
        made.allocate(f"F0/r{number}", size)
    return made


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 8)), max_size=40), st.integers(1, 7))
def test_cells_and_pages_count_every_write(writes: list[tuple[int, int]], page_bytes: int) -> None:
    """Against counting one write at a time."""
    one, cells, pages = memory(24), [0] * 24, [0] * -(-24 // page_bytes)
    for address, size in writes:
        one.write(address, bytes(size))
        for cell in range(address, address + size):
            cells[cell] += 1
        for page in {cell // page_bytes for cell in range(address, address + size)}:
            pages[page] += 1
    assert cell_writes(one) == cells
    assert page_writes(one, page_bytes) == pages


def test_regions_tell_their_writes_and_their_hottest_cell() -> None:
    one = memory(4, 4)
    one.write(0, b"12")
    one.write(1, b"34")
    one.write(4, b"5")
    told = [(row.name, row.size, row.writes, row.hottest) for row in region_wear(one)]
    assert told == [("r0", 4, 2, 2), ("r1", 4, 1, 1)]


def test_the_life_of_the_hottest_page() -> None:
    """The making of the card is not counted, though it wrote elsewhere more often."""
    one = memory(8, 8)
    for _ in range(50):
        one.write(0, b"made")
    made = dict(one.wear or {})
    for _ in range(10):
        one.write(12, b"12")
        one.write(8, b"1")
    told = life(one, made, 10, 8, 100_000)
    assert (told.page, told.regions, told.page_writes, told.writes_per_tap) == (1, ("r1",), 20, 2)
    assert told.taps_left_in_all == 50_000
    assert told.years(10) == pytest.approx(5_000 / 365.25)
    assert life(one, made, 10, 16, 100_000).regions == ("r0", "r1")
    assert life(one, made, 10, 8, 0).years(1) == float("inf")
    assert life(memory(4), {}, 1, 4, 9).years(1) == float("inf")
    with pytest.raises(ValueError, match="at least 1 expected"):
        life(one, made, 0, 8, 100_000)
    one.wear = None
    assert cell_writes(one) == [0] * 16
