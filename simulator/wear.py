"""Wear: how often which cells were written, and how many years the memory lasts.

How it works. A memory counts every write by its range (Memory.wear). A chip erases and writes whole pages, so what wears out is the page
that was written most: every write that touches it counts, also two of one transaction, which a chip may well do as one. What the platform
writes for itself, its journal above all, is not counted: it is the maker's to spread, and in no figure here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .memory import Memory

__all__ = ["DAYS_A_YEAR", "Life", "RegionWear", "cell_writes", "life", "page_writes", "region_wear", "worn_since"]

DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class RegionWear:
    """A region: its size in bytes, the writes to it, and how often its most written cell was written."""

    name: str
    size: int
    writes: int
    hottest: int


@dataclass(frozen=True, slots=True)
class Life:
    """How long a memory lasts. `page` is the number of the page most written, `regions` are on it; rates are per tap."""

    taps: int
    page: int
    regions: tuple[str, ...]
    page_writes: int
    endurance_writes: int

    @property
    def writes_per_tap(self) -> float:
        """Writes of the hottest page."""
        return self.page_writes / self.taps

    @property
    def taps_left_in_all(self) -> float:
        """Taps until the hottest page has had its writes, counted from a new card; infinite where nothing wears."""
        return self.endurance_writes / self.writes_per_tap if self.page_writes and self.endurance_writes else float("inf")

    def years(self, taps_a_day: float) -> float:
        """Years of a new card's memory at so many taps a day."""
        return self.taps_left_in_all / taps_a_day / DAYS_A_YEAR


def cell_writes(memory: Memory) -> list[int]:
    """For every cell how often it was written."""
    cells = [0] * len(memory)
    for (address, size), times in (memory.wear or {}).items():
        for cell in range(address, address + size):
            cells[cell] += times
    return cells


def page_writes(memory: Memory, page_bytes: int) -> list[int]:
    """For every page of so many bytes how many writes touched it."""
    pages = [0] * -(-len(memory) // page_bytes)
    for (address, size), times in (memory.wear or {}).items():
        for page in range(address // page_bytes, -(-(address + size) // page_bytes)):
            pages[page] += times
    return pages


def region_wear(memory: Memory) -> Iterator[RegionWear]:
    """Every region, in order of address; names without the AID."""
    cells = cell_writes(memory)
    for name, region in memory.regions.items():
        end = region.address + region.size
        writes = sum(times for (address, _), times in (memory.wear or {}).items() if region.address <= address < end)
        yield RegionWear(name.partition("/")[2] or name, region.size, writes, max(cells[region.address : end], default=0))


def worn_since(memory: Memory, before: Mapping[tuple[int, int], int]) -> Memory:
    """A memory with the same regions and the wear that has come since it was `before`."""
    since = Memory()
    since.wear = {key: times - before.get(key, 0) for key, times in (memory.wear or {}).items()}
    for region in memory.regions.values():
        since.allocate(region.name, region.size)
    return since


def life(memory: Memory, before: Mapping[tuple[int, int], int], taps: int, page_bytes: int, endurance_writes: int) -> Life:
    """The life of a memory whose wear was `before` (its making) and has had `taps` since. Raises ValueError for no taps."""
    if taps < 1:
        raise ValueError("taps: at least 1 expected, none came")
    pages = page_writes(worn_since(memory, before), page_bytes)
    page = max(range(len(pages)), key=pages.__getitem__)
    first, last = page * page_bytes, (page + 1) * page_bytes
    names = tuple(
        region.name.partition("/")[2] or region.name
        for region in memory.regions.values()
        if region.address < last and region.address + region.size > first
    )
    return Life(taps, page, names, pages[page], endurance_writes)
