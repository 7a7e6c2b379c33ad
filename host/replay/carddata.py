"""What a play tells of the cards themselves, where it was played on cards of a profile: how long taps take, how long the memory lasts.

Plain figures: whoever has the cards computes them (host never meets a chip)."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CardData", "Memory", "Times"]

BINS_MAX = 20
WIDTHS_MS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


@dataclass(frozen=True, slots=True)
class Times:
    """The modelled times of taps of one kind, in ms. `shares` are those of the taps in each bin of CardData.edges_ms."""

    taps: int
    median_ms: float
    p95_ms: float
    shares: tuple[float, ...]

    @classmethod
    def of(cls, times_ms: Sequence[float], edges_ms: Sequence[float]) -> "Times":
        """Median, 95th percentile and histogram. The last bin has what is above its edge as well."""
        ordered = sorted(times_ms)
        counts = [0] * (len(edges_ms) - 1)
        for value in ordered:
            at = next((number for number, edge in enumerate(edges_ms[1:-1]) if value < edge), len(counts) - 1)
            counts[at] += 1
        taps = len(ordered)
        return cls(taps, ordered[taps // 2], ordered[min(taps - 1, taps * 95 // 100)], tuple(count / taps for count in counts))


@dataclass(frozen=True, slots=True)
class Memory:
    """The most used card of a kind, `customer` or `shop`: its taps, the writes of its hottest page for each, and years at so many a day
    until that page, or a customer card's counter, is at its end; None: no end."""

    what: str
    taps: int
    writes_per_tap: float
    taps_a_day: float
    years: float | None


@dataclass(frozen=True, slots=True)
class CardData:
    """One-card and two-card times (None where there were no such taps), and the memory of the most worn cards."""

    profile: str
    wire: str
    edges_ms: tuple[float, ...]
    one_card: Times | None
    two_card: Times | None
    memory: tuple[Memory, ...]

    @classmethod
    def edges_of(cls, times_ms: Sequence[float]) -> tuple[float, ...]:
        """The edges of at most BINS_MAX bins, of a round width, from below the shortest time to above the longest."""
        low, high = min(times_ms), max(times_ms)
        width = next((step for step in WIDTHS_MS if (high - low) / step <= BINS_MAX - 1), WIDTHS_MS[-1])
        first, last = int(low // width), min(int(high // width), int(low // width) + BINS_MAX - 1) + 1
        return tuple(round(number * width, 3) for number in range(first, last + 1))
