"""Where a command finds a card: in a simulated reader, or as `pcsc:PATTERN` in a reader of PC/SC. To the command both are a Seat.

A simulated card is put in; for a real one the command waits, and says so. APDUs are lost on order (`--lose`) and told to traces in both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never, Protocol

import click

from joren.apdu import Command, LinkLost, Response, Transmit
from joren.apdu.trace import Observer
from joren.host import HostError
from joren.host.pcsc import PcscCard, PcscReader, find_reader
from joren.host.pcsc_errors import ReaderError
from joren.simulator.reader import Losses, When

__all__ = ["PCSC", "PcscSeat", "Seat", "check_apart", "expect_card", "pattern_of", "taken_seat"]

PCSC = "pcsc:"


class Seat(Protocol):
    """A reader with a card in it. joren.simulator.reader.Reader is one."""

    name: str
    losses: Losses | None
    observers: list[Observer]
    powered: bool

    @property
    def transmit(self) -> Transmit:
        """Sends a command. Raises LinkLost."""

    def reset(self) -> bytes:
        """Power off and on; answers the ATR. Raises LinkLost."""


class PcscSeat:
    """A card in a reader of PC/SC. `name` is what it is to the command, as `customer card`."""

    def __init__(self, name: str, card: PcscCard) -> None:
        self.name = name
        self.losses: Losses | None = None
        self.observers: list[Observer] = []
        self.powered = True
        self._card = card

    def transmit(self, command: Command) -> Response:
        """Sends a command. Raises LinkLost, also on order, and HostError for a command that the card does not carry."""
        if not self.powered:
            raise LinkLost(f"{self.name}: no card")
        when = self.losses.next() if self.losses else None
        if when is When.BEFORE:
            self._break(command)
        try:
            response = self._card.transmit(command)
        except LinkLost:
            self.powered = False
            self._tell("apdu", command)
            raise
        if when is When.AFTER:
            self._break(command)
        self._tell("apdu", command, response)
        return response

    def reset(self) -> bytes:
        """Power off and on; answers the ATR. Raises LinkLost."""
        self._card.reset()
        self.powered = True
        self._tell("reset")
        return self._card.atr

    def _break(self, command: Command) -> Never:
        self.powered = False
        self._tell("apdu", command)
        raise LinkLost(f"{self.name}: lost on order")

    def _tell(self, event: str, command: Command | None = None, response: Response | None = None) -> None:
        for observer in self.observers:
            observer(self.name, event, command, response)


def pattern_of(name: str) -> str | None:
    """The pattern of a reader, where a card is named by one."""
    return name.removeprefix(PCSC) if name.startswith(PCSC) else None


def check_apart(*cards: str) -> None:
    """Raises HostError where two of these, each with a card of its own, are one reader of PC/SC; ReaderError."""
    names = []
    for pattern in filter(None, map(pattern_of, cards)):
        with find_reader(pattern) as reader:
            names.append(reader.name)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise HostError(f"{twice}: a customer card and a shop card in readers of their own expected, one reader came for both")


def expect_card(name: str, pattern: str, wait_s: float) -> None:
    """Waits until a card is in the reader that the pattern fits, and says so. Raises ReaderError, HostError."""
    with find_reader(pattern) as reader:
        _expect(name, reader, wait_s)


def _expect(name: str, reader: PcscReader, wait_s: float) -> None:
    if not reader.state().present:
        click.echo(f"joren: put the {name} on {reader.name}", err=True)
        if reader.wait_card(wait_s) is None:
            raise ReaderError(f"{reader.name}: a {name} expected, none came within {wait_s:g} s")


@contextmanager
def taken_seat(name: str, pattern: str, wait_s: float) -> Iterator[PcscSeat]:
    """The card in the reader that the pattern fits, for this program alone; waits for one. Raises ReaderError, CardFault, HostError."""
    with find_reader(pattern) as reader:
        _expect(name, reader, wait_s)
        with reader.connect() as card:
            yield PcscSeat(name, card)
