"""The shop sheet: all of a shop card that changes at every command, 62 bytes, in a ring of 16 (docs/spec/records.md, REQ-REC-7)."""

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from joren.apdu.cards import Totals
from joren.apdu.record import Record

__all__ = ["COUNT_MAX", "REFILLS_MAX", "RING_PLACES", "ShopSheet", "place_in_force"]

COUNT_MAX = 0xFFFFFF
REFILLS_MAX = 0xFFFF
RING_PLACES = 16


@dataclass(frozen=True, slots=True)
class ShopSheet(Record):
    """Count of the next sequence, entries closed so far, ceilings, totals (44 bytes, encoded), refills so far."""

    FORMAT: ClassVar[Struct] = Struct(f">IIII{Totals.FORMAT.size}sH")

    count: int
    closed: int
    points_left: int
    money_left_minor: int
    totals: bytes
    refills: int

    @property
    def place(self) -> int:
        """Where in the ring the sheet stands: its generation, count + closed + refills, modulo 16."""
        return (self.count + self.closed + self.refills) % RING_PLACES


assert ShopSheet.FORMAT.size == 62
GENERATIONS = Struct(f">II{ShopSheet.FORMAT.size - 10}xH")


def place_in_force(ring: bytes) -> int:
    """The place of the sheet with the highest generation, of those that can be there. Raises RuntimeError if none can: damaged."""
    best, found = -1, None
    for place, (count, closed, refills) in enumerate(GENERATIONS.iter_unpack(ring)):
        generation = count + closed + refills
        if generation > best and generation % RING_PLACES == place and closed <= count <= COUNT_MAX:
            best, found = generation, place
    if found is None:
        raise RuntimeError("no sheet of the ring can be in force")
    return found
