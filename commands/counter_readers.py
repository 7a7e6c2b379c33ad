"""Simulated readers at a counter: cards of the workspace are put in and taken out on order, while the till service runs.

How it works. A card in a reader is an image that follows what the card does, so nothing else may work in the folder meanwhile: as long as
any card is in, this process holds the folder's lock, and other commands wait. Orders come from clients, the card's APDUs from the reader's
thread; one lock between them, so a card is taken out between two APDUs, never within one.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Condition, RLock

from joren.apdu import Command, LinkLost, Response, Transmit
from joren.host import HostError
from joren.simulator.reader import Losses

from .seats import PCSC, Seat
from .till import loss
from .workspace import CARDS, Workspace

__all__ = ["Counter", "CounterReader", "Hold"]

POLL_S = 0.05


class CounterReader:
    """A simulated reader (joren.host.service.station.TapReader)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._turn = Condition()
        self._reader: Seat | None = None
        self._tapped: Seat | None = None

    def put(self, reader: Seat) -> None:
        """A card, in a reader of its own, comes in."""
        with self._turn:
            self._reader = reader
            self._turn.notify_all()

    def take(self) -> None:
        """The card goes."""
        with self._turn:
            self._reader = None
            self._turn.notify_all()

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        """The link to the card that is in, or that comes."""
        with self._turn:
            while not stopped():
                if self._reader is not None:
                    self._tapped = self._reader
                    self._tapped.reset()
                    return partial(self._transmit, self._tapped)
                self._turn.wait(POLL_S)
            return None

    def _transmit(self, reader: Seat, command: Command) -> Response:
        with self._turn:
            if reader is not self._reader:
                raise LinkLost(f"{self.name}: the card was taken out")
            return reader.transmit(command)

    def card_left(self) -> bool:
        """Whether it was taken out."""
        return self._reader is not self._tapped

    def release(self) -> None:
        """The tap is over."""
        self._tapped = None


class Hold:
    """The folder's lock, for all that one process does with cards: taken by the first, let go of by the last."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._count = 0
        self._folder = ExitStack()
        self._lock = RLock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits until no other joren works in the folder."""
        with self._lock:
            if self._count == 0:
                self._folder.enter_context(self.workspace.alone())
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if self._count == 0:
                    self._folder.close()


class Counter:
    """All simulated readers of a service (joren.host.service.desk.Controls)."""

    def __init__(self, hold: Hold, readers: list[CounterReader]) -> None:
        self._hold = hold
        self._workspace = hold.workspace
        self._readers = {reader.name: reader for reader in readers}
        self._cards: dict[str, tuple[str, ExitStack]] = {}
        self._lock = RLock()

    def tap(self, reader: str, card: str, lose: str | None) -> None:
        """Puts a card in; the APDU that `lose` names is lost. Raises HostError, BadImage."""
        losses = None if lose is None else Losses([loss(lose)])
        with self._lock, ExitStack() as stack:
            if card.startswith(PCSC):
                raise HostError(f"card {card}: one of the folder expected; a real card goes into a reader of PC/SC")
            if reader in self._cards:
                raise HostError(f"reader {reader}: {self._cards[reader][0]} is in; take it out first")
            path = self._workspace.path(CARDS, card)
            other = next((name for name, (inside, _) in self._cards.items() if self._workspace.path(CARDS, inside) == path), None)
            if other is not None:
                raise HostError(f"card {card} is in reader {other}")
            stack.enter_context(self._hold.held())
            inserted = stack.enter_context(self._workspace.inserted(CARDS, card))
            inserted.losses = losses
            self._readers[reader].put(inserted)
            self._cards[reader] = card, stack.pop_all()

    def remove(self, reader: str) -> None:
        """Takes the card out. Raises HostError where none is in."""
        with self._lock:
            if reader not in self._cards:
                raise HostError(f"reader {reader}: no card is in")
            self._readers[reader].take()
            _, stack = self._cards.pop(reader)
            stack.close()

    def close(self) -> None:
        """Takes all cards out."""
        for reader in list(self._cards):
            self.remove(reader)
