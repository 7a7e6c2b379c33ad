"""The time of an APDU, by parts: what reader and wire take, what the chip's operations take, what the applet's bytecodes take.

How it works. A chip notes its operations (work.py); each has a cost in its profile. The bytecodes are an estimate for each command
(bytecodes.py), the wire is reckoned byte by byte (wire.py). The parts are added up as they are: low with low, high with high, so a total
is as wide as it can be. docs/timing.md says what is measured in this, and what is not.
"""

from collections.abc import Mapping

from joren.apdu import Command, Response

from .bytecodes import bytecodes_of
from .profile import Band, Profile
from .wire import ASSUMPTIONS, Wire
from .work import Op, Work

__all__ = ["PARTS", "Parts", "assumptions_table", "estimate", "total"]

PARTS = ("reader", "wire", "MAC", "keys", "random", "writes", "bytecode")
Parts = Mapping[str, Band]
"""A band for each of PARTS, in that order."""

NONE = Band(0.0, 0.0, 0.0)
PART_OF = {
    Op.MAC: ("MAC", "mac"),
    Op.SET_KEY: ("keys", "set_key"),
    Op.RANDOM: ("random", "random"),
    Op.WRITE: ("writes", "write"),
    Op.COMMIT: ("writes", "commit"),
}
"""For an operation its part, and its cost among a profile's."""


def estimate(profile: Profile, wire: Wire, command: Command, response: Response, work: Work) -> Parts:
    """The time of one APDU on a card of this profile."""
    parts = dict.fromkeys(PARTS, NONE)
    for operation, size in work:
        part, cost = PART_OF[operation]
        parts[part] += profile.times[cost].of(size)
    parts["bytecode"] = _bytecode(profile, command, response)
    parts["reader"] = wire.reader.scaled(wire.exchanges(command, response))
    parts["wire"] = wire.exchange(command, response, total({**parts, "reader": NONE}).likely)
    return parts


def total(parts: Parts) -> Band:
    """All parts together."""
    return sum(parts.values(), NONE)


def _bytecode(profile: Profile, command: Command, response: Response) -> Band:
    count, one = bytecodes_of(command, response), profile.bytecode.band
    run = Band(count.low * one.low, count.likely * one.likely, count.high * one.high)
    return run + profile.times["copy"].of(COPY_BYTES).scaled(count.copies)


COPY_BYTES = 16
"""A copy of the applets, on the average: nonces of 8 bytes, orders of 16, records of 36."""


def assumptions_table() -> str:
    """What the wires assume, as a table in Markdown."""
    rows = ["| what | low | likely | high | source |", "|---|---|---|---|---|"]
    for one in ASSUMPTIONS:
        figures = " | ".join(f"{figure:.4g}" for figure in (one.band.low, one.band.likely, one.band.high))
        rows.append(f"| {one.name} | {figures} | {one.source} |")
    return "\n".join(rows)
