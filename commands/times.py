"""Modelled times as fields and as a picture: a row and a bar for each APDU, a letter of the bar for what the time goes into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from joren.apdu.explain import explain_command
from joren.host import Slot
from joren.simulator.profile import Band, Profile
from joren.simulator.protocol import Protocol
from joren.simulator.timing import PARTS, estimate, total
from joren.simulator.wire import Wire, wire_of

from .output import table
from .tryout import Exchange

__all__ = ["Timed", "bar_of", "legend", "sum_of", "timed", "times_fields", "times_picture", "wire_for"]

COLOURS = {
    "reader": "black on bright_black",
    "wire": "black on cyan",
    "MAC": "black on green",
    "keys": "black on yellow",
    "random": "black on magenta",
    "writes": "white on red",
    "bytecode": "white on blue",
}
LETTERS = {"reader": "r", "wire": "w", "MAC": "m", "keys": "k", "random": "d", "writes": "n", "bytecode": "b"}
BAR_WIDTH = 56
NONE = Band(0.0, 0.0, 0.0)
CONTACT_WIRES = {Protocol.T0: "t0", Protocol.T1: "t1"}


@dataclass(frozen=True, slots=True)
class Timed:
    """One APDU: its name, whose card, bytes of command and response, status word, and its modelled time by parts, in ms."""

    name: str
    slot: Slot
    size: int
    sw: int
    parts: Mapping[str, Band]

    @property
    def total(self) -> Band:
        """All parts."""
        return total(self.parts)


def wire_for(profile: Profile, protocol: Protocol, wanted: str | None) -> Wire:
    """The wire to a card that is spoken to in this protocol. `wanted`: a contactless rate, for T=CL."""
    contact = CONTACT_WIRES.get(protocol)
    if contact is None:
        return wire_of(profile, wanted)
    return wire_of(profile, contact)


def timed(profile: Profile, wire: Wire, exchange: Exchange) -> Timed:
    """The modelled time of an APDU on a card of this profile."""
    command, response = exchange.command, exchange.response
    parts = estimate(profile, wire, command, response, exchange.work)
    return Timed(explain_command(command).name, exchange.slot, len(command.encode()) + len(response.encode()), response.sw, parts)


def sum_of(rows: Sequence[Timed]) -> dict[str, Band]:
    """The parts of several APDUs, added up."""
    return {part: sum((row.parts.get(part, NONE) for row in rows), NONE) for part in PARTS}


def times_fields(rows: Sequence[Timed]) -> dict[str, Any]:
    """Times for `--json`, in ms."""
    parts = sum_of(rows)
    return {
        "total_ms": _band(total(parts)),
        "parts_ms": {part: _band(band) for part, band in parts.items()},
        "apdus": [
            {
                "card": row.slot.value,
                "command": row.name,
                "bytes": row.size,
                "sw": f"{row.sw:04X}",
                "total_ms": _band(row.total),
                "parts_ms": {part: _band(band) for part, band in row.parts.items()},
            }
            for row in rows
        ],
    }


def times_picture(rows: Sequence[Timed]) -> RenderableType:
    """A table with a row for each APDU and one for all, and their bars."""
    everything = sum_of(rows)
    columns = ("APDU", "card", "SW", "bytes", *PARTS, "ms", "from", "to")
    cells = [[row.name, row.slot.value, f"{row.sw:04X}", str(row.size), *_cells(row.parts)] for row in rows]
    cells.append(["in all", "", "", str(sum(row.size for row in rows)), *_cells(everything)])
    longest = max((row.total.likely for row in rows), default=0.0)
    bars = [Text.assemble(f"{row.total.likely:7.1f} ms  ", bar_of(row.parts, longest), "  ", row.name) for row in rows]
    return Group(table(columns, cells, frozenset(columns[3:])), Text(""), *bars, legend())


def bar_of(parts: Mapping[str, Band], full_ms: float) -> Text:
    """A bar of letters, as long as the likely time; `full_ms` fills it."""
    drawn, so_far = Text(), 0.0
    for part in PARTS:
        begin = round(so_far / full_ms * BAR_WIDTH) if full_ms else 0
        so_far += parts.get(part, NONE).likely
        end = round(so_far / full_ms * BAR_WIDTH) if full_ms else 0
        drawn.append(LETTERS[part] * (end - begin), COLOURS[part])
    return drawn + Text(" " * (BAR_WIDTH - len(drawn)))


def legend() -> Text:
    """What the letters stand for."""
    return Text.assemble(*((f" {LETTERS[part]} {part} ", COLOURS[part]) for part in PARTS))


def _cells(parts: Mapping[str, Band]) -> list[str]:
    whole = total(parts)
    return [*(f"{parts.get(part, NONE).likely:.1f}" for part in PARTS), f"{whole.likely:.1f}", f"{whole.low:.1f}", f"{whole.high:.1f}"]


def _band(band: Band) -> dict[str, float]:
    return {"low": round(band.low, 3), "likely": round(band.likely, 3), "high": round(band.high, 3)}
