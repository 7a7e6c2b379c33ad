"""Whose a reader is: one lease at a time, which ends by itself, so that no client disturbs another's tap.

How it works. A claim gives a lease, named by a number nobody can guess; who knows it, has the reader. A lease that is over gives way to the
next claim, but never while a sale under it is under way. A sale without a lease takes one for as long as it lasts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from .problems import Problem

__all__ = ["Lease", "Leases", "utc"]


def utc(time: datetime) -> str:
    """A time as JSON has it: 2026-01-31T17:30:00.000Z."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


@dataclass(slots=True)
class Lease:
    """A reader in the hands of a client. `busy`: how many of its calls are under way. `passing`: taken by one call, for itself."""

    id: str
    reader: str
    client: str
    since: datetime
    until: datetime
    busy: int = 0
    passing: bool = False

    @property
    def holder(self) -> dict[str, Any]:
        """What others are told."""
        return {"client": self.client, "since": utc(self.since), "until": utc(self.until)}


class Leases:
    """The leases of all readers, for one event loop. `now` gives times with a zone."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._by_reader: dict[str, Lease] = {}
        self._changed = asyncio.Condition()

    def of(self, reader: str) -> Lease | None:
        """The lease of a reader, None where it is free."""
        lease = self._by_reader.get(reader)
        return lease if lease is not None and (lease.busy or lease.until > self._now()) else None

    def take(self, reader: str, client: str, seconds: int, *, passing: bool = False) -> Lease:
        """A new lease. Raises Problem where another client has the reader."""
        found, now = self.of(reader), self._now()
        if found is not None:
            when = f"since {utc(found.since)}, until {utc(found.until)}"
            message = f"reader {reader} is claimed by {found.client!r}, {when}"
            raise Problem("reader_claimed", message, extra={"reader": reader, "holder": found.holder})
        lease = Lease(token_hex(16), reader, client, now, now + timedelta(seconds=seconds), passing=passing)
        self._by_reader[reader] = lease
        return lease

    async def claim(self, reader: str, client: str, seconds: int, wait_seconds: int) -> Lease:
        """As `take`, waiting until the reader is free. Raises Problem once the wait is over."""
        end = self._now() + timedelta(seconds=wait_seconds)
        async with self._changed:
            while True:
                try:
                    return self.take(reader, client, seconds)
                except Problem:
                    found, now = self.of(reader), self._now()
                    if now >= end or found is None:
                        raise
                    rest = (end if found.busy else min(end, found.until)) - now
                try:
                    async with asyncio.timeout(rest.total_seconds()):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    def prolong(self, reader: str, lease_id: str, seconds: int) -> Lease:
        """The same lease, from now on. Raises Problem where it is over."""
        lease = self.held(reader, [lease_id])
        if lease is None:
            raise Problem("lease_over", f"reader {reader}: this lease is over", extra={"reader": reader})
        lease.until = self._now() + timedelta(seconds=seconds)
        return lease

    def held(self, reader: str, ids: Iterable[str]) -> Lease | None:
        """The lease of a reader, if it is one of these."""
        lease = self.of(reader)
        return lease if lease is not None and lease.id in ids else None

    async def free(self, lease: Lease) -> None:
        """Ends a lease; one with a call under way ends after it."""
        lease.until = self._now()
        await self._tell()

    @asynccontextmanager
    async def used(self, reader: str, lease_id: str | None, own: Iterable[str], client: str, seconds: int) -> AsyncIterator[Lease]:
        """The lease under which a call is done: the one named, one of the client's own, or one for this call alone. Raises Problem."""
        lease = self.held(reader, own if lease_id is None else [lease_id])
        if lease is None and lease_id is not None:
            raise Problem("lease_over", f"reader {reader}: this lease is over", extra={"reader": reader})
        if lease is None:
            lease = self.take(reader, client, seconds, passing=True)
        lease.busy += 1
        try:
            yield lease
        finally:
            lease.busy -= 1
            if lease.passing:
                lease.until = self._now()
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
