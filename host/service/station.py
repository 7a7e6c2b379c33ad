"""A reader of the service: one thread that waits for cards, tells who came, and does what clients ask of the card.

How it works. The thread has the reader and the till to itself; clients hand it jobs, and each job is a Future. Work that waits when a card
comes is done first, and tells who came; else the card is asked, which settles what was pending on it too. A job that nobody began can be
cancelled; one that was begun goes on to its end, whoever waits for it. When a link breaks, the tap is over: whatever lies in the reader
next is a new tap. So the till's rule, one dialog at a time, holds by itself.
"""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, Generic, Protocol, TypeVar

from joren.apdu import SW, LinkLost, Transmit
from joren.host.dialog import Dialog, Slot, run
from joren.host.errors import CardLost, CardRefused, DialogError
from joren.host.results import Granted, Standing
from joren.host.till import Till

from .problems import Problem, problem_of
from .shapes import card_of_sale, card_of_standing

__all__ = ["Job", "ShopCard", "Station", "TapReader"]

T = TypeVar("T")
Tell = Callable[[str, str, dict[str, Any]], None]
POLL_S = 0.05
BREATH_S = 0.2
"""After a link broke: a card that is still in is not asked again at once."""
LOOK_AGAIN_S = 1.0
LOG = logging.getLogger("joren.till")


class TapReader(Protocol):
    """A reader at a counter. `wait_card`, `card_left` and `release` are called by one thread."""

    @property
    def name(self) -> str:
        """What it is called."""

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        """The link to the card that is in, powered anew, or to the next that comes; None once `stopped` says so.

        Looks for the reader first, and raises LinkLost where it is gone; while it is there and empty, asks `stopped` often.
        """

    def card_left(self) -> bool:
        """Whether the card that `wait_card` gave is no longer in; asked often. Raises LinkLost."""

    def release(self) -> None:
        """The tap is over."""


class ShopCard(Protocol):
    """A shop card in a reader of its own, for one station."""

    @property
    def transmit(self) -> Transmit:
        """Sends a command. Raises LinkLost, from then on until `reset`."""

    def reset(self) -> object:
        """Power off and on. Raises LinkLost."""


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A dialog that a client wants, and where its result goes."""

    make: Callable[[Till], Dialog[T]]
    result: Future[T]


class Station:
    """A reader, its till on a journal that is shared, and the shop card if the till has one. `books` is a second till on the same journal,
    for what is known already: it asks no card, and may be asked while the first is at work. `hour` tells the hour it is.
    """

    def __init__(self, reader: TapReader, till: Till, hour: Callable[[], int], shop: ShopCard | None = None) -> None:
        self.name = reader.name
        self.till = till
        self.books = Till(till.holder, till.journal, offers=till.offers)
        self.card_in = False
        self.gone = False
        self._why = ""
        self._reader = reader
        self._hour = hour
        self._tell: Tell = lambda _reader, _event, _fields: None
        self._shop = shop
        self._shop_lost = False
        self._jobs: deque[Job[Any]] = deque()
        self._turn = Condition()
        self._stopping = False
        self._thread = Thread(target=self._serve, name=f"reader {self.name}", daemon=True)

    def start(self, tell: Tell) -> None:
        """Begins to wait for cards. The thread gives events to `tell`: the reader's name, the event's, its JSON fields."""
        self._tell = tell
        self._thread.start()

    def stop(self) -> None:
        """No more is begun: jobs that wait fail, the one under way ends."""
        with self._turn:
            self._stopping = True
            self._turn.notify_all()
        self._fail_all(Problem("stopping", "the service is being stopped; nothing was sold"))

    def join(self, seconds: float) -> bool:
        """Waits for the thread to end; whether it did."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many jobs nobody has begun."""
        return len(self._jobs)

    def submit(self, make: Callable[[Till], Dialog[T]]) -> Future[T]:
        """A dialog for the card that is in, or the next one. Raises Problem."""
        job = Job(make, Future())
        with self._turn:
            if self._stopping:
                raise Problem("stopping", "the service is being stopped")
            if self.gone:
                raise self._gone("nothing is sold")
            self._jobs.append(job)
            self._turn.notify_all()
        return job.result

    def _serve(self) -> None:
        while not self._stopping:
            try:
                self._find_shop()
                link = self._reader.wait_card(self._waits)
                if self.gone:
                    self._is_gone("")
                if link is not None:
                    self._tap(link)
            except LinkLost as lost:
                if not self.gone:
                    LOG.warning("reader %s: %s", self.name, lost)
                    self._is_gone(str(lost))
                self._pause(LOOK_AGAIN_S)
            except Exception:
                LOG.exception("reader %s", self.name)
                self._pause(LOOK_AGAIN_S)

    def _waits(self) -> bool:
        """Asked by a reader that is there: whether it shall wait no longer."""
        if self.gone:
            self._is_gone("")
        return self._stopping

    def _find_shop(self) -> None:
        """The shop card, powered anew where it was lost: no customer's card is asked for before it is back. Raises LinkLost."""
        if self._shop is not None and self._shop_lost:
            try:
                self._shop.reset()
            except LinkLost as lost:
                raise LinkLost(f"its shop card is gone: {lost}") from lost
            self._shop_lost = False

    def _is_gone(self, why: str) -> None:
        """The reader can not be used, and why; or nothing: it can."""
        with self._turn:
            self.gone, self._why = bool(why), why
        self._tell(self.name, "reader_gone" if why else "reader_back", {})
        if why:
            self._fail_all(self._gone("nothing was sold"))

    def _gone(self, what: str) -> Problem:
        return Problem("reader_gone", f"reader {self.name} can not be used now, {what}: {self._why}", extra={"reader": self.name})

    def _fail_all(self, problem: Problem) -> None:
        """Ends every job that nobody began."""
        with self._turn:
            jobs, self._jobs = list(self._jobs), deque()
        for job in jobs:
            if job.result.set_running_or_notify_cancel():
                job.result.set_exception(problem)

    def _pause(self, seconds: float) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._stopping, seconds)

    def _tap(self, link: Transmit) -> None:
        """All that is done with one card."""
        links = {Slot.CUSTOMER: link}
        if self._shop is not None:
            links[Slot.SHOP] = self._shop.transmit
        self.card_in = True
        told: str | None = None
        went = left = False
        try:
            while not self._stopping:
                job = self._next(0 if told is None else POLL_S)
                if job is not None:
                    went, told = self._do(job, links, told)
                elif told is None:
                    went, told = self._ask_who(links)
                else:
                    left = self._reader.card_left()
                if went or left:
                    break
        finally:
            self.card_in = False
            self._tell(self.name, "card_out", {})
            self._reader.release()
        if went:
            self._pause(BREATH_S)

    def _next(self, seconds: float) -> Job[Any] | None:
        with self._turn:
            if not self._jobs and seconds:
                self._turn.wait(seconds)
            while self._jobs:
                job = self._jobs.popleft()
                if job.result.set_running_or_notify_cancel():
                    return job
            return None

    def _do(self, job: Job[T], links: dict[Slot, Transmit], told: str | None) -> tuple[bool, str | None]:
        """Whether the card went away, and the id of the card that was told to be in."""
        try:
            result = run(job.make(self.till), links)
        except Exception as error:
            if not isinstance(error, DialogError):
                LOG.exception("reader %s: a call failed", self.name)
            job.result.set_exception(error)
            return self._went(error), told
        if isinstance(result, Granted):
            card = card_of_sale(result)
            if told and told != card["card_id"]:  # it was swapped unseen
                self._tell(self.name, "card_out", {})
            if told != card["card_id"]:
                self._tell(self.name, "card_in", card)
            told = card["card_id"]
        job.result.set_result(result)
        return False, told

    def _went(self, error: Exception) -> bool:
        """Whether an error ends the tap: a card went away, whichever it was."""
        if not isinstance(error, CardLost):
            return False
        self._shop_lost = self._shop_lost or error.card == Slot.SHOP.value
        return True

    def _ask_who(self, links: dict[Slot, Transmit]) -> tuple[bool, str]:
        """Tells who came; whether the card went away, and its id, "" where it can not be served.

        Points and purse are told of cards that tell them without a PIN.
        """
        try:
            card = card_of_standing(self._standing(links))
        except DialogError as error:
            self._tell(self.name, "card_error", {"problem": problem_of(error).body})
            return self._went(error), ""
        self._tell(self.name, "card_in", card)
        return False, str(card["card_id"])

    def _standing(self, links: dict[Slot, Transmit]) -> Standing:
        hour = self._hour()
        try:
            return run(self.till.result(hour, detailed=True), links)
        except CardRefused as refused:
            if refused.sw != SW.SECURITY_STATUS_NOT_SATISFIED:
                raise
            return run(self.till.result(hour), links)
