"""What runs behind `joren card serve`: cards in their readers, orders for them, and one thread that hears of all that happens.

How it works. Each reader has a thread, which rings a bell with the number of its card and of the news; orders come over sockets. The main
thread waits for all of these and does everything else: it tells, puts cards in and pulls them out.
"""

from collections.abc import Callable
from contextlib import ExitStack
from selectors import EVENT_READ, DefaultSelector
from socket import AF_UNIX, SOCK_DGRAM, socketpair
from time import monotonic
from typing import Self

from joren.host import HostError
from joren.simulator.image import BadImage
from joren.simulator.vpcd import INSERT_S, News, NoDriver

from .orders import Order, OrderSocket
from .served import KeptCard, Served, Slot
from .workspace import Workspace

__all__ = ["Hear", "Serving"]

START_S = 5.0
WRITES_MAX = 1_000_000
NEWS = list(News)
Hear = Callable[[News], None]
NO_DRIVER = (
    "{where}: no pcscd with the vpcd driver took the card; install both and start pcscd (apt install pcscd vsmartcard-vpcd), "
    "wait for it (--wait), or run one of your own (joren pcscd)"
)


class Serving:
    """Cards in readers. `tell` hears what happens to which, as an event of News or `waiting`; `wait`: for a pcscd that is not there yet."""

    def __init__(self, workspace: Workspace, tell: Callable[[Served, str], None], *, wait: bool) -> None:
        self._workspace = workspace
        self._tell = tell
        self._wait = wait
        self._kept = ExitStack()
        self._bell, self._rope = map(self._kept.enter_context, socketpair(AF_UNIX, SOCK_DGRAM))
        self._events = self._kept.enter_context(DefaultSelector())
        self._events.register(self._bell, EVENT_READ, self._hear)
        self._cards: list[Served] = []

    def add(self, image: str, where: str, make: Callable[[KeptCard, Hear], Slot]) -> None:
        """A card and its reader. Raises HostError, also where another program has a card of this name."""
        number = len(self._cards)

        def ring(news: News) -> None:
            self._rope.send(bytes((number, NEWS.index(news))))

        served = Served(self._workspace, image, where, lambda card: make(card, ring))
        if served.path in (other.path for other in self._cards):
            raise HostError(f"{served.name}: named twice; a card is in one reader")
        orders = OrderSocket(self._workspace.serving, served.name)
        self._kept.callback(orders.close)
        self._kept.callback(served.remove)
        self._events.register(orders, EVENT_READ, lambda: orders.serve_one(lambda order: self._obey(served, order)))
        self._cards.append(served)

    def tap_all(self) -> None:
        """Puts all cards in. Raises HostError, BadImage, OSError."""
        for served in self._cards:
            served.tap(None)
            if self._wait and served.state == "waiting":
                self._tell(served, "waiting")

    def run(self) -> None:
        """Until KeyboardInterrupt. Raises NoDriver if no driver takes the cards in time, and it shall not wait."""
        deadline = None if self._wait else monotonic() + START_S
        while True:
            waiting = [served for served in self._cards if served.state == "waiting"]
            if not waiting:
                deadline = None  # from now on pcscd may go and come back
            ready = self._events.select(None if deadline is None else max(0.0, deadline - monotonic()))
            if not ready and waiting:
                raise NoDriver(NO_DRIVER.format(where=waiting[0].where))
            for key, _ in ready:
                key.data()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """All cards are taken out."""
        self._kept.close()

    def _hear(self) -> None:
        number, news = self._bell.recv(2)
        served, event = self._cards[number], NEWS[news]
        if served.state == "out":
            served.release()
        self._tell(served, event.value)

    def _obey(self, served: Served, order: Order) -> Order:
        try:
            match order:
                case {"order": "tap"}:
                    self._tap(served)
                case {"order": "remove"}:
                    served.remove()
                case {"order": "tear", "writes": int(writes)} if 0 <= writes <= WRITES_MAX:
                    served.tear(writes)
                case {"order": "state"}:
                    pass
                case _:
                    return {"refused": "an order of joren card tap, remove, tear or readers expected"}
        except (BadImage, HostError, OSError) as error:
            return {"refused": str(error)}
        return {"name": served.name, "kind": served.kind, "reader": served.where, "state": served.state}

    def _tap(self, served: Served) -> None:
        try:
            served.tap(INSERT_S)
        except NoDriver:
            if not self._wait:
                raise
            served.tap(None)
