"""The desk: does what clients ask, in the event loop's thread, whatever way they came.

How it works. A sale is a task of the desk, not of the client that asked for it: a client that goes away while the sale waits for a card
gives it up; once the card is there, the sale goes on to its end, and its outcome can be asked for by its reference. A reference is looked
for in the journals of all readers before a card is, so that one sale is not made at two readers.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from joren.host.dialog import Dialog, run
from joren.host.fate import Fate
from joren.host.journal import Row
from joren.host.results import Granted
from joren.host.till import Till

from .calls import CALLS, WAIT_SECONDS
from .events import Events, Listener
from .leases import Leases, utc
from .problems import Problem, problem_of
from .shapes import row_fields, sale_fields, settled_fields
from .station import Station

__all__ = ["Controls", "Desk", "Session"]

T = TypeVar("T")
Given = Mapping[str, Any]
FAILED_KEPT = 1_000
NOBODY = "a client without a lease"


class Controls(Protocol):
    """Simulated readers: cards are put in and taken out. Both raise HostError, and may take a while."""

    def tap(self, reader: str, card: str, lose: str | None) -> None:
        """Puts a card in."""

    def remove(self, reader: str) -> None:
        """Takes the card out."""


@dataclass(slots=True)
class Session:
    """A client for as long as it is connected, or for one call; `leases` are those it need not name."""

    client: str = NOBODY
    leases: set[str] = field(default_factory=set)


@dataclass(slots=True)
class InHand:
    """A sale under way; `job` once a reader has it, which `handed` says; `given_up`: nobody wants it any more."""

    reference: str
    station: Station
    handed: asyncio.Event = field(default_factory=asyncio.Event)
    job: Future[Granted] | None = None
    given_up: bool = False

    def give_up(self) -> bool:
        """Whether it was in time: no card has come for it."""
        self.given_up = self.job is None or self.job.cancel()
        return self.given_up


class Desk:
    """Everything that can be called, by the names in CALLS. `hour_of` tells the programme's hour of a local time."""

    def __init__(
        self,
        stations: Sequence[Station],
        hour_of: Callable[[datetime], int],
        controls: Controls | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.stations = {station.name: station for station in stations}
        self.events = Events()
        self.leases = Leases(now)
        self._hour_of = hour_of
        self._controls = controls
        self._now = now
        self._in_hand: dict[str, InHand] = {}
        self._failed: OrderedDict[str, tuple[str, Problem]] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls: dict[str, Callable[[Given, Session], Awaitable[dict[str, Any]]]] = {name: getattr(self, f"_{name}") for name in CALLS}

    async def call(self, name: str, given: Given, session: Session) -> dict[str, Any]:
        """Does a call, with the fields that its row in CALLS has. Raises Problem."""
        try:
            return await self._calls[name](given, session)
        except (Problem, asyncio.CancelledError):
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "internal":
                raise
            raise problem from error

    def tell(self, reader: str, event: str, fields: dict[str, Any]) -> None:
        """An event of a reader, to all who may know it."""
        lease = self.leases.of(reader)
        owner = None if lease is None or lease.passing else lease.id
        self.events.publish({"event": event, "reader": reader, "time": utc(self._now()), **fields}, owner)

    def listen(self, session: Session, after: str | None = None) -> Listener:
        """Events for a client: those of free readers, and of readers it has claimed."""
        return self.events.listen(lambda lease: lease in session.leases, after)

    async def gone(self, session: Session) -> None:
        """The client of a session went away: its leases end, each after the sale that is under way."""
        for name in self.stations:
            lease = self.leases.held(name, session.leases)
            if lease is not None:
                await self.leases.free(lease)

    async def settled(self) -> None:
        """Waits until no sale is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _readers(self, _given: Given, _session: Session) -> dict[str, Any]:
        return {"readers": [self._reader(station) for station in self.stations.values()]}

    def _reader(self, station: Station) -> dict[str, Any]:
        lease = self.leases.of(station.name)
        return {
            "name": station.name,
            "usable": not station.gone,
            "card_in": station.card_in,
            "simulated": self._controls is not None,
            "claimed": None if lease is None else lease.holder,
        }

    async def _claim(self, given: Given, session: Session) -> dict[str, Any]:
        reader, seconds = self._station(given["reader"]).name, given["seconds"]
        lease = self.leases.held(reader, session.leases) if given["lease"] is None else None
        if given["lease"] is not None or lease is not None:
            lease = self.leases.prolong(reader, given["lease"] or (lease.id if lease else ""), seconds)
        else:
            lease = await self.leases.claim(reader, given["client"], seconds, given["wait_seconds"])
        session.leases.add(lease.id)
        return {"reader": reader, "lease": lease.id, **lease.holder}

    async def _free(self, given: Given, session: Session) -> dict[str, Any]:
        reader = self._station(given["reader"]).name
        lease = self.leases.held(reader, session.leases if given["lease"] is None else [given["lease"]])
        if lease is None:
            raise Problem("lease_over", f"reader {reader}: this lease is over", extra={"reader": reader})
        await self.leases.free(lease)
        return {"reader": reader}

    async def _purchase(self, given: Given, session: Session) -> dict[str, Any]:
        def make(till: Till, name: str, hour: int) -> Dialog[Granted]:
            amount, category, factor = given["amount_minor"], given["category"], given["factor_tenths"]
            return till.purchase(name, hour, amount, category, factor, pay=given["pay"], pin=_pin(given))

        return await self._sell(make, given, session)

    async def _redeem(self, given: Given, session: Session) -> dict[str, Any]:
        return await self._sell(lambda till, name, hour: till.redeem(name, hour, given["points"], pin=_pin(given)), given, session)

    async def _load(self, given: Given, session: Session) -> dict[str, Any]:
        return await self._sell(lambda till, name, hour: till.load(name, hour, given["amount_minor"]), given, session)

    async def _pay(self, given: Given, session: Session) -> dict[str, Any]:
        return await self._sell(lambda till, name, hour: till.pay(name, hour, given["amount_minor"], pin=_pin(given)), given, session)

    async def _void(self, given: Given, session: Session) -> dict[str, Any]:
        station, sold = self._station(given["reader"]), given["sale"]
        found = await asyncio.to_thread(self._find, sold)
        if found is None:
            raise Problem("not_possible", f"sale {sold}: no journal here has it", "void it where it was made")
        if found[0] is not station:
            raise _elsewhere(sold, found[0])
        return await self._sell(lambda till, name, hour: till.void(name, hour, sold), given, session)

    async def _settle(self, given: Given, session: Session) -> dict[str, Any]:
        station = self._station(given["reader"])

        async with self._leased(station, given, session):
            job = station.submit(lambda till: till.settle())
            try:
                return settled_fields(await self._tapped(job, given["wait_seconds"]), station.name)
            finally:
                job.cancel()

    async def _outcome(self, given: Given, _session: Session) -> dict[str, Any]:
        reference = given["reference"]
        in_hand = self._in_hand.get(reference)
        if in_hand is not None:
            await in_hand.handed.wait()
        if in_hand is not None and reference in self._in_hand:
            job = in_hand.job
            state = "in_progress" if job is not None and (job.running() or job.done()) else "waiting_for_card"
            return {"reference": reference, "reader": in_hand.station.name, "state": state}
        found = await asyncio.to_thread(self._find, reference)
        if found is not None:
            station, row = found
            told = {"reference": reference, "reader": station.name, "state": row.fate.value}
            if row.fate is not Fate.COMMITTED:
                return {**told, "transaction": row_fields(row)}
            granted = await asyncio.to_thread(station.books.outcome, reference)
            if isinstance(granted, Granted):
                return {**told, "sale": sale_fields(granted, station.name)}
        if reference in self._failed:
            reader, problem = self._failed[reference]
            return {"reference": reference, "reader": reader, "state": "failed", "problem": _settled(problem).body}
        raise Problem("unknown_sale", f"sale {reference}: no journal here has it", extra={"reference": reference})

    async def _cancel(self, given: Given, _session: Session) -> dict[str, Any]:
        in_hand = self._in_hand.get(given["reference"])
        if in_hand is None:
            raise Problem("unknown_sale", f"sale {given['reference']}: none of this reference is under way")
        return {"reference": given["reference"], "cancelled": in_hand.give_up()}

    async def _tap(self, given: Given, _session: Session) -> dict[str, Any]:
        reader = self._station(given["reader"]).name
        await asyncio.to_thread(self._simulated().tap, reader, given["card"], given["lose"])
        return {"reader": reader}

    async def _remove(self, given: Given, _session: Session) -> dict[str, Any]:
        reader = self._station(given["reader"]).name
        await asyncio.to_thread(self._simulated().remove, reader)
        return {"reader": reader}

    def _simulated(self) -> Controls:
        if self._controls is None:
            raise Problem("not_possible", "these readers are real ones", "put a card in by hand")
        return self._controls

    def _station(self, name: str | None) -> Station:
        known = ", ".join(self.stations)
        if name is None and len(self.stations) == 1:
            return next(iter(self.stations.values()))
        if name is None:
            raise Problem("bad_request", f"reader: missing, and there is more than one: {known}", extra={"field": "reader"})
        if name not in self.stations:
            raise Problem("unknown_reader", f"reader {name!r:.80}: there is none; there are: {known}")
        return self.stations[name]

    def _find(self, reference: str) -> tuple[Station, Row] | None:
        """The live row of a reference, and the reader that has it. Not for the loop's thread: the disk may be slow."""
        for station in self.stations.values():
            row = station.till.journal.find(reference)
            if row is not None:
                return station, row
        return None

    async def _sell(self, make: Callable[[Till, str, int], Dialog[Granted]], given: Given, session: Session) -> dict[str, Any]:
        station, reference = self._station(given["reader"]), given["reference"]
        hour = self._hour_of(given["time"] or datetime.now())
        other = self._in_hand.get(reference)
        if other is not None:
            raise _elsewhere(reference, other.station) if other.station is not station else _in_hand(reference)
        in_hand = self._in_hand[reference] = InHand(reference, station)
        task = asyncio.create_task(self._sold(in_hand, lambda till: make(till, reference, hour), given, session))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            return sale_fields(await asyncio.shield(task), station.name)
        except asyncio.CancelledError:
            in_hand.give_up()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, as its client may have gone: what failed is known by its reference

    async def _sold(self, in_hand: InHand, make: Callable[[Till], Dialog[Granted]], given: Given, session: Session) -> Granted:
        reference, station = in_hand.reference, in_hand.station
        try:
            async with self._leased(station, given, session):
                found = await asyncio.to_thread(self._find, reference)
                if found is not None and found[0] is not station:
                    raise _elsewhere(reference, found[0])
                if found is not None and found[1].fate is Fate.COMMITTED:
                    return run(make(station.books), {})  # its result is in the journal: this dialog asks no card
                if in_hand.given_up:
                    raise Problem("cancelled", "the sale was given up before a card came")
                in_hand.job = station.submit(make)
                in_hand.handed.set()
                granted = await self._tapped(in_hand.job, given["wait_seconds"])
            self._failed.pop(reference, None)
        except Exception as error:
            self._failed[reference] = station.name, problem_of(error)
            if len(self._failed) > FAILED_KEPT:
                self._failed.popitem(last=False)
            raise
        else:
            return granted
        finally:
            del self._in_hand[reference]
            in_hand.handed.set()

    def _leased(self, station: Station, given: Given, session: Session) -> Any:
        seconds = given.get("wait_seconds", WAIT_SECONDS)
        return self.leases.used(station.name, given["lease"], session.leases, session.client, seconds)

    @staticmethod
    async def _tapped(job: Future[T], seconds: int) -> T:
        """The result of a job; one that no card came for in time is given up. Raises what the job raised, and Problem."""
        waiter = asyncio.wrap_future(job)
        await asyncio.wait({waiter}, timeout=seconds)
        if not waiter.done() and job.cancel():
            raise Problem("no_card", f"no card came within {seconds} s")
        try:
            return await waiter
        except asyncio.CancelledError:
            if job.cancelled():
                raise Problem("cancelled", "the sale was given up before a card came") from None
            raise


def _pin(given: Given) -> str | None:
    return None if given["pin"] is None else str(given["pin"].reveal())


def _settled(problem: Problem) -> Problem:
    """Of a sale that no journal has any more: where a card was lost, the card has said since that nothing happened."""
    if problem.code != "card_lost" or problem.extra["fate"] is None:
        return problem
    told = f"{problem.message}; the card has said since that the sale did not happen"
    return Problem(problem.code, told, "sell again if it is wanted", {**problem.extra, "fate": Fate.NOT_COMMITTED.value})


def _in_hand(reference: str) -> Problem:
    return Problem("sale_in_hand", f"sale {reference} is under way", extra={"reference": reference})


def _elsewhere(reference: str, station: Station) -> Problem:
    return Problem(
        "other_reader", f"sale {reference} is that of reader {station.name}", extra={"reference": reference, "reader": station.name}
    )
