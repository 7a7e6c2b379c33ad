"""A reader in the same process: cards are put in and pulled out, and APDUs get lost on order.

It speaks the card's first protocol over contacts, or the one it is given. With T=0 it passes up what the card says, 61XX and 6CXX, as
PC/SC readers do; joren.host.dialog puts the answers together."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from typing import Never

from joren.apdu import Command, LinkLost, Response
from joren.apdu.trace import Observer

from .chip import Chip
from .memory import PowerCut
from .profile import Profile
from .protocol import Protocol, T0Card, slot_protocol
from .work import Work

__all__ = ["Loss", "Losses", "Meter", "Reader", "When"]


class When(Enum):
    """Whether the link breaks before the card has the command, or after it acted and before its answer arrives."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Loss:
    """The number-th APDU from now (from 1) is lost."""

    number: int
    when: When


class Losses:
    """Which of the next APDUs are lost. After a loss the card has no power until the next `reset` or `insert`."""

    def __init__(self, losses: Iterable[Loss]) -> None:
        self._when = {loss.number: loss.when for loss in losses}
        self._seen = 0

    def next(self) -> When | None:
        """What happens to the APDU that is about to be sent."""
        self._seen += 1
        return self._when.get(self._seen)


Meter = Callable[[Chip, Protocol, Command, Response, Work], None]
"""Called after each APDU with what the chip did for it."""


class Reader:
    """A reader with at most one card. `transmit` is the seam the host library wants. `meter`, if it is set, is told what each APDU was."""

    def __init__(self, name: str = "reader", protocol: Protocol | None = None) -> None:
        self.name = name
        self.chip: Chip | None = None
        self.powered = False
        self.protocol = Protocol.T1
        self.meter: Meter | None = None
        self._wanted = protocol
        self._in_hand = Lock()
        self._t0: T0Card | None = None
        self._profile: Profile | None = None
        self.losses: Losses | None = None
        self.observers: list[Observer] = []

    @property
    def card_present(self) -> bool:
        """Whether a card is in."""
        return self.chip is not None

    def insert(self, chip: Chip) -> bytes:
        """Puts a card in and powers it; answers its ATR. Raises ValueError if one is in, or does not have the reader's protocol."""
        if self.chip is not None:
            raise ValueError(f"{self.name}: a card is in already")
        if chip.profile is not self._profile:
            self._choose_protocol(chip.profile)
        self._t0 = T0Card(chip) if self.protocol is Protocol.T0 else None
        self.chip = chip
        self.powered = True
        self._tell("insert")
        return chip.power_on()

    def _choose_protocol(self, profile: Profile) -> None:
        protocol = self._wanted or slot_protocol(profile)
        if protocol.value not in profile.protocols:
            raise ValueError(f"{self.name}: a card with {protocol.value} expected, {profile.title} has {', '.join(profile.protocols)}")
        self.protocol, self._profile = protocol, profile

    def remove(self) -> Chip:
        """Pulls the card out. Raises ValueError if none is in."""
        if self.chip is None:
            raise ValueError(f"{self.name}: no card is in")
        chip, self.chip, self.powered = self.chip, None, False
        chip.power_off()
        self._tell("remove")
        return chip

    def reset(self) -> bytes:
        """Power off and on; answers the ATR. Raises LinkLost if no card is in."""
        if self.chip is None:
            raise LinkLost(f"{self.name}: no card")
        self.chip.power_off()
        if self._t0 is not None:
            self._t0.reset()
        self.powered = True
        self._tell("reset")
        return self.chip.power_on()

    def transmit(self, command: Command) -> Response:
        """Sends a command. Raises LinkLost if no card is there or the link breaks on the way; ValueError inside another command."""
        if not self._in_hand.acquire(blocking=False):
            raise ValueError(f"{self.name}: a command is under way in another thread; a reader is for one thread at a time")
        try:
            return self._transmit(command)
        finally:
            self._in_hand.release()

    def _transmit(self, command: Command) -> Response:
        chip = self.chip
        if chip is None or not self.powered:
            raise LinkLost(f"{self.name}: no card")
        when = self.losses.next() if self.losses else None
        if when is When.BEFORE:
            self._break(chip, command)
        try:
            response = self._exchange(chip, command)
        except PowerCut as cut:
            self._break(chip, command, str(cut))
        if when is When.AFTER:
            self._break(chip, command)
        self._tell("apdu", command, response)
        return response

    def _exchange(self, chip: Chip, command: Command) -> Response:
        transmit = chip.process if self._t0 is None else self._t0.transmit
        if self.meter is None:
            return transmit(command)
        work = chip.record_work()
        try:
            response = transmit(command)
        finally:
            chip.memory.work = None
        self.meter(chip, self.protocol, command, response, work)
        return response

    def _break(self, chip: Chip, command: Command, why: str = "") -> Never:
        chip.power_off()
        self.powered = False
        self._tell("apdu", command)
        raise LinkLost(f"{self.name}: the card went away" + (f": {why}" if why else ""))

    def _tell(self, event: str, command: Command | None = None, response: Response | None = None) -> None:
        for observer in self.observers:
            observer(self.name, event, command, response)
