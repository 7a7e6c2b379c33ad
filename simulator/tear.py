"""The tear explorer: what a card is like when its power goes at any single write of any command.

How it works. A script is a card as it was before, and the commands of one session, the first of which is a SELECT. A chip's random bytes
follow from its seed, so a fork answers the same commands with the same bytes. What goes over the line is found once: with T=0 the answer
to a command may be 61XX or 6CXX, and then GET RESPONSE, or the same with another Le, is a part of its own. For every part and every n, a
fork is brought to just before that part, loses its power in place of the n-th write or commit (of a write that is not atomic: of its n-th
byte), gets it back, and is compared byte by byte with the memory of before and with that of after. In between there must be nothing, but
for the try counters, which count before the secret is compared (REQ-APDU-8, REQ-PIN-4). Whether an abort takes back a write that is not
atomic can not be known: every tear is tried both ways, and the worse is told.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count

from joren.apdu import SW, Command, Ins, Response

from .chip import Chip, DoesNotFit
from .memory import ELSEWHERE, PowerCut, Snapshot
from .protocol import Protocol, T0Card, slot_protocol

__all__ = ["AFTER", "CACHE", "Outcome", "Remains", "Script", "Tear", "explore", "look", "place_of", "placed"]

TRIES = "/tries"
AFTER = "after"
CACHE = "cache"
"""The place of a write that no region has."""
NO_SECRET = 0xFF
PARTS_MAX = 256
Link = Callable[[Command], Response]


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
    """A card, powered off, and the commands of one session; `name` is for people. `protocol` None: that of a card in a slot."""

    name: str
    chip: Chip
    commands: tuple[Command, ...]
    protocol: Protocol | None = None


@dataclass(frozen=True, slots=True)
class Tear:
    """One tear: of the command at `step` (from 0), in place of its n-th write, which was to region `place`, or "commit"; or "after" all.

    `part` is 0 for the command itself, then it counts what had to be sent for the rest of the answer (T=0), `sent` the parts of the whole
    script before this one.
    """

    script: str
    step: int
    part: int
    sent: int
    command: Command
    number: int
    place: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Remains:
    """What a tear left of one region that the command was to change."""

    region: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Part:
    step: int
    part: int
    command: Command


def placed(script: Script, chip: Chip) -> Script:
    """The same script for the same card on another chip. Raises DoesNotFit, with the names of script and command, where a command is more
    than the chip can do, such as a transaction above its commit capacity."""
    there = replace(script, chip=chip)
    trial, link = _powered(there)
    for command in script.commands:
        for _ in _exchange(link, command):
            if trial.last_error is not None:
                raise DoesNotFit(f"{script.name}: {chip.profile.title}: {Ins(command.ins).name}: {trial.last_error}")
    return there


def explore(script: Script) -> Iterator[Tear]:
    """Every tear of every command of a script, the last of each part after its last write. The chip itself is not changed."""
    parts = _parts(script)
    for sent in range(len(parts)):
        new = _after(script, parts[: sent + 1])[0].snapshot()
        for number in count(1):
            tear = _tear(script, parts, sent, number, new, keep_non_atomic=False)
            if tear.place == AFTER:
                yield tear
                break
            other = _tear(script, parts, sent, number, new, keep_non_atomic=True)
            yield other if other.outcome is Outcome.MIXED else tear


def look(script: Script, tear: Tear) -> list[Remains]:
    """What a tear that `explore` found left of each region that differs before the command, after it, or after the tear."""
    parts = _parts(script)
    new = _after(script, parts[: tear.sent + 1])[0].snapshot()
    torn, old, _ = _cut(script, parts, tear.sent, tear.number, keep_non_atomic=False)
    now, found = torn.snapshot(), []
    for name, region in torn.memory.regions.items():
        at = slice(region.address, region.address + region.size)
        if now[at] != old[at] or new[at] != old[at]:
            outcome = Outcome.NEW if now[at] == new[at] else Outcome.OLD if now[at] == old[at] else Outcome.MIXED
            if outcome is Outcome.MIXED and name.endswith(TRIES) and tear.outcome is Outcome.COUNTED:
                outcome = Outcome.COUNTED
            found.append(Remains(name.partition("/")[2], outcome))
    return found


def place_of(chip: Chip) -> str:
    """Where the memory's last cut was: the region's name without the AID, or "commit"."""
    address, size = chip.memory.cut or (0, 0)
    if address == ELSEWHERE:
        return CACHE
    return chip.memory.region_at(address).name.partition("/")[2] if size else "commit"


def _powered(script: Script) -> tuple[Chip, Link]:
    """A fork that has power, and the way to it."""
    chip = script.chip.fork()
    chip.power_on()
    protocol = script.protocol or slot_protocol(chip.profile)
    return chip, T0Card(chip).transmit if protocol is Protocol.T0 else chip.process


def _exchange(link: Link, command: Command) -> Iterator[Command]:
    """Sends a command, and what else it takes to have the whole answer; gives what was sent."""
    step: Command | None = command
    for _ in range(PARTS_MAX):
        if step is None:
            return
        answer = link(step)
        yield step
        step = _next_part(step, answer)


def _next_part(command: Command, answer: Response) -> Command | None:
    number = answer.sw & 0xFF or 256
    if answer.sw >> 8 == SW.RESPONSE_AVAILABLE >> 8:
        return Command(command.channel, Ins.GET_RESPONSE, 0, 0, ne=number)
    if answer.sw >> 8 == SW.WRONG_LE >> 8 and command.ne not in (None, number):
        return replace(command, ne=number)
    return None


def _parts(script: Script) -> list[_Part]:
    """All that goes over the line when nothing disturbs."""
    _, link = _powered(script)
    return [_Part(step, part, sent) for step, command in enumerate(script.commands) for part, sent in enumerate(_exchange(link, command))]


def _after(script: Script, parts: Sequence[_Part]) -> tuple[Chip, Link]:
    """A fork after some parts."""
    chip, link = _powered(script)
    for part in parts:
        link(part.command)
    return chip, link


def _cut(script: Script, parts: Sequence[_Part], sent: int, number: int, *, keep_non_atomic: bool) -> tuple[Chip, Snapshot, str]:
    """A fork that lost its power in the part `sent`, at the n-th write, and has it again; its memory of before; where it was torn."""
    torn, link = _after(script, parts[:sent])
    old, place = torn.snapshot(), AFTER
    torn.memory.keep_non_atomic = keep_non_atomic
    torn.memory.cut_after(number)
    try:
        link(parts[sent].command)
    except PowerCut:
        place = place_of(torn)
    torn.power_off()
    torn.power_on()
    return torn, old, place


def _tear(script: Script, parts: Sequence[_Part], sent: int, number: int, new: Snapshot, *, keep_non_atomic: bool) -> Tear:
    """The tear at the n-th write, or AFTER the last one where there are not so many."""
    torn, old, place = _cut(script, parts, sent, number, keep_non_atomic=keep_non_atomic)
    part = parts[sent]
    return Tear(script.name, part.step, part.part, sent, script.commands[part.step], number, place, _outcome(torn, old, new))


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
