"""What the demo tells of its cards: the modelled time of every tap, and the wear of every memory.

How it works. Readers tell what each APDU was and what the chip did. The APDUs of a purchase begin with the customer card's SELECT and end
with the answer to TRANSACT, or to the shop card's RATIFY. A tap's time is drawn: each part of it (wire, MACs, writes ...) anew from its
band, by a triangular distribution with the likely value as mode."""

from collections.abc import Mapping
from random import Random

from joren.apdu import AID_CUSTOMER, Command, Ins, Response
from joren.host.replay.carddata import CardData, Memory, Times
from joren.simulator.chip import Chip
from joren.simulator.memory import Wear
from joren.simulator.profile import Band, Profile
from joren.simulator.protocol import Protocol, tap_protocol
from joren.simulator.reader import Reader
from joren.simulator.timing import estimate
from joren.simulator.wear import DAYS_A_YEAR, life
from joren.simulator.wire import Wire
from joren.simulator.work import Work

from .times import wire_for
from .wear import COUNTER_MAX

__all__ = ["CardMeter"]

TAPS_A_DAY = {"customer": (1.0, 2.0, 5.0), "shop": (100.0, 500.0, 2_000.0)}
OF_A_PURCHASE = frozenset({Ins.SELECT, Ins.TRANSACT, Ins.GET_STATE, Ins.COMMIT, Ins.COMPUTE, Ins.RATIFY})
Key = tuple[str, int, int, int, int, int, tuple[object, ...]]


class CardMeter:
    """Follows the readers of a play. `made` are the memories' wear when the cards were issued, by chip."""

    def __init__(self, profile: Profile, seed: int = 1) -> None:
        self.profile = profile
        self.times_ms: dict[bool, list[float]] = {False: [], True: []}
        self.made: dict[int, tuple[Chip, Wear]] = {}
        self._chance = Random(seed)
        self._asked = 0
        self._tap: list[Mapping[str, Band]] = []
        self._wires: dict[Protocol, Wire] = {}
        self._known: dict[Key, Mapping[str, Band]] = {}

    def follow(self, reader: Reader) -> None:
        """Every APDU at this reader counts."""
        reader.meter = self._meter

    def issued(self, chip: Chip) -> None:
        """From here on a card's wear is that of its use."""
        self.made[id(chip)] = (chip, dict(chip.memory.wear or {}))

    def _meter(self, _chip: Chip, protocol: Protocol, command: Command, response: Response, work: Work) -> None:
        if command.ins != Ins.GET_RESPONSE:
            self._asked = command.ins
        if command.ins == Ins.SELECT and command.data[: len(AID_CUSTOMER)] == AID_CUSTOMER:
            self._tap = []
        elif self._asked not in OF_A_PURCHASE:
            return
        self._tap.append(self._parts(protocol, command, response, work))
        if response.ok and self._asked in (Ins.TRANSACT, Ins.RATIFY):
            self.times_ms[self._asked == Ins.RATIFY].append(sum(self._drawn(band) for parts in self._tap for band in parts.values()))
            self._tap = []

    def _parts(self, protocol: Protocol, command: Command, response: Response, work: Work) -> Mapping[str, Band]:
        key = (protocol.value, command.ins, command.p1, len(command.data), len(response.data), response.sw, tuple(work))
        if key not in self._known:
            if protocol not in self._wires:
                self._wires[protocol] = wire_for(self.profile, protocol, None)
            self._known[key] = estimate(self.profile, self._wires[protocol], command, response, work)
        return self._known[key]

    def _drawn(self, band: Band) -> float:
        return self._chance.triangular(band.low, band.high, band.likely) if band.high > band.low else band.likely

    def told(self, taps: Mapping[int, int], shops: Mapping[int, int]) -> CardData:
        """All of it. `taps` are the purchases of each customer's chip, `shops` those of each shop card's, by id()."""
        everything = self.times_ms[False] + self.times_ms[True]
        edges = CardData.edges_of(everything)
        one, two = (Times.of(times, edges) if times else None for times in (self.times_ms[False], self.times_ms[True]))
        memory = [
            self._worst(what, counts, rate)
            for what, counts in (("customer", taps), ("shop", shops))
            for rate in TAPS_A_DAY[what]
            if any(counts.values())
        ]
        wire = wire_for(self.profile, tap_protocol(self.profile), None)
        return CardData(self.profile.title, wire.name, edges, one, two, tuple(memory))

    def _worst(self, what: str, counts: Mapping[int, int], taps_a_day: float) -> Memory:
        """The card that was used most."""
        chip, made = self.made[max(counts, key=lambda one: counts[one])]
        taps = counts[id(chip)]
        found = life(chip.memory, made, taps, self.profile.page_bytes, self.profile.endurance_writes)
        years = found.years(taps_a_day)
        if what == "customer":
            years = min(years, COUNTER_MAX / taps_a_day / DAYS_A_YEAR)
        return Memory(what, taps, found.writes_per_tap, taps_a_day, None if years == float("inf") else round(years, 1))
