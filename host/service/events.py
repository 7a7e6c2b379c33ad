"""Tap events for clients: each with an id, the last ones kept for whoever comes late, a bounded queue for each who listens."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

__all__ = ["Event", "Events", "Listener"]

KEPT, WAITING_MAX = 256, 256


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `lease`: the lease of the reader then; None: everybody may know."""

    id: str
    lease: str | None
    fields: dict[str, Any]


class Listener:
    """One who listens. `sees` says which leases are its own. Where it is too slow, `too_slow` is set and nothing more comes."""

    def __init__(self, sees: Callable[[str], bool]) -> None:
        self._sees = sees
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.too_slow = False

    def offer(self, event: Event) -> None:
        """Puts an event into the queue, if this one may know it."""
        if self.too_slow or not (event.lease is None or self._sees(event.lease)):
            return
        if self._queue.qsize() >= WAITING_MAX:
            self.too_slow = True
            self._queue.put_nowait(None)
        else:
            self._queue.put_nowait(event)

    def end(self) -> None:
        """No more events."""
        self._queue.put_nowait(None)

    async def next(self) -> Event | None:
        """The next event; None when no more come."""
        event = await self._queue.get()
        return None if self.too_slow else event


class Events:
    """The events of a service, for one event loop."""

    def __init__(self) -> None:
        self._run = token_hex(4)
        self._count = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[Listener] = set()
        self._ended = False

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, fields: dict[str, Any], lease: str | None) -> None:
        """Tells an event to all who may know it."""
        self._count += 1
        event = Event(f"{self._run}-{self._count}", lease, fields)
        self._kept.append(event)
        for listener in self._listeners:
            listener.offer(event)

    def listen(self, sees: Callable[[str], bool], after: str | None = None) -> Listener:
        """Begins to listen. `after`: also what came since the event of this id, as far as it is kept."""
        listener = Listener(sees)
        if after is not None:
            ids = [event.id for event in self._kept]
            for event in list(self._kept)[ids.index(after) + 1 if after in ids else 0 :]:
                listener.offer(event)
        self._listeners.add(listener)
        if self._ended:
            listener.end()
        return listener

    def leave(self, listener: Listener) -> None:
        """Listens no more."""
        self._listeners.discard(listener)

    def end(self) -> None:
        """The service stops: all who listen come to their end."""
        self._ended = True
        for listener in self._listeners:
            listener.end()
