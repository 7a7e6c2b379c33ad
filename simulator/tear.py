"""The tear explorer: what a card is like when its power goes at any single write of any command.

How it works. A script is a card as it was before, and the commands of one session, the first of which is a SELECT. A chip's random bytes
follow from its seed, so a fork answers the same commands with the same bytes. For every command and every n, a fork is brought to just
before that command, loses its power in place of the n-th write or commit (of a write that is not atomic: of its n-th byte), gets it back,
and is compared byte by byte with the memory of before and with that of after. In between there must be nothing, but for the try counters,
which count before the secret is compared (REQ-APDU-8, REQ-PIN-4). Whether an abort takes back a write that is not atomic can not be known:
every tear is tried both ways, and the worse is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import count

from joren.apdu import Command

from .chip import Chip
from .memory import PowerCut, Snapshot

__all__ = ["Outcome", "Script", "Tear", "explore"]

TRIES = "/tries"
AFTER = "after"
NO_SECRET = 0xFF


class Outcome(Enum):
    """What a card is like after a tear."""

    OLD = "old"
    """As before the command."""
    NEW = "new"
    """As after it."""
    COUNTED = "counted"
    """As before it, but for the try counters of PIN and PUK."""
    MIXED = "mixed"
    """Neither: a fault of the card."""


@dataclass(frozen=True, slots=True)
class Script:
    """A card, powered off, and the commands of one session; `name` is for people."""

    name: str
    chip: Chip
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Tear:
    """One tear: of the command at `step` (from 0), in place of its n-th write, which was to region `place`, or "commit"; or "after" all."""

    script: str
    step: int
    command: Command
    number: int
    place: str
    outcome: Outcome


def explore(script: Script) -> Iterator[Tear]:
    """Every tear of every command of a script, the last of each after its last write. The chip itself is not changed."""
    for step in range(len(script.commands)):
        new = _ready(script, step + 1).snapshot()
        for number in count(1):
            tear, other = (_tear(script, step, number, new, keep_non_atomic=keep) for keep in (False, True))
            yield other if other.outcome is Outcome.MIXED else tear
            if tear.place == AFTER:
                break


def _ready(script: Script, steps: int) -> Chip:
    """A fork after the first commands."""
    chip = script.chip.fork()
    chip.power_on()
    for command in script.commands[:steps]:
        chip.process(command)
    return chip


def _tear(script: Script, step: int, number: int, new: Snapshot, *, keep_non_atomic: bool) -> Tear:
    """The tear at the n-th write, or AFTER the last one where there are not so many."""
    chip, command, place = _ready(script, step), script.commands[step], AFTER
    old = chip.snapshot()
    chip.memory.keep_non_atomic = keep_non_atomic
    chip.memory.cut_after(number)
    try:
        chip.process(command)
    except PowerCut:
        place = _place(chip)
    chip.power_off()
    chip.power_on()
    return Tear(script.name, step, command, number, place, _outcome(chip, old, new))


def _place(chip: Chip) -> str:
    address, size = chip.memory.cut or (0, 0)
    return chip.memory.region_at(address).name.partition("/")[2] if size else "commit"


def _outcome(chip: Chip, old: Snapshot, new: Snapshot) -> Outcome:
    now = chip.snapshot()
    if now == new:
        return Outcome.NEW
    if now == old:
        return Outcome.OLD
    but_for_tries = bytearray(now)
    for name, region in chip.memory.regions.items():
        if name.endswith(TRIES):
            at = slice(region.address, region.address + region.size)
            if (NO_SECRET in now[at]) == (NO_SECRET in old[at]):
                but_for_tries[at] = old[at]
    return Outcome.COUNTED if but_for_tries == old else Outcome.MIXED
