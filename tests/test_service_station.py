"""A station's thread: readers that go and come back, faults that do not end it, jobs that end whatever happens."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, Queue
from threading import Event
from typing import Any

import pytest

from cardkit import MASTERS, PROGRAMME
from joren.apdu import Command, LinkLost, Response, Transmit
from joren.host import Journal, JournalError, SoftwareKeys, Till
from joren.host.dialog import Dialog, answered
from joren.host.service.events import Events, Listener
from joren.host.service.problems import Problem, problem_of
from joren.host.service.station import Station
from servicekit import HOUR
from support import free_of_pin


class Script:
    """A reader (TapReader) that does what it is told next: a link, an error, or nothing more until the end."""

    name = "left"

    def __init__(self) -> None:
        self.next: Queue[Transmit | Exception] = Queue()
        self.left = Event()
        self.released = 0

    def wait_card(self, stopped: Callable[[], bool]) -> Transmit | None:
        while True:
            try:
                found = self.next.get(timeout=0.05)
            except Empty:
                if stopped():
                    return None
                continue
            if isinstance(found, Exception):
                raise found
            return found

    def card_left(self) -> bool:
        return self.left.is_set()

    def release(self) -> None:
        self.left.clear()
        self.released += 1


class Bench:
    """A station on its own, and what it tells."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "journal.sqlite", shared=True)
        self.reader = Script()
        self.till = Till(SoftwareKeys(PROGRAMME, 7, 1, MASTERS["till"]), self.journal)
        self.station = Station(self.reader, self.till, lambda: HOUR)
        self.told: Queue[tuple[str, dict[str, Any]]] = Queue()
        self.station.start(lambda _reader, event, fields: self.told.put((event, fields)))

    def tells(self) -> str:
        return self.told.get(timeout=10)[0]

    def problem(self, future: Future[Any]) -> str:
        return problem_of(future.exception(timeout=10) or AssertionError("it was done")).code


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.station.stop()
    assert made.station.join(10)
    made.journal.close()


def unplugged(_command: Command) -> Response:
    raise LinkLost("the reader is gone")


def sale(till: Till) -> Dialog[Any]:
    return till.purchase("S-1", HOUR, 100)


def test_a_reader_that_goes_fails_what_waits_and_is_found_again(bench: Bench) -> None:
    waiting = bench.station.submit(sale)
    given_up = bench.station.submit(sale)
    assert given_up.cancel()
    bench.reader.next.put(LinkLost("unplugged"))
    assert bench.tells() == "reader_gone"
    assert bench.problem(waiting) == "reader_gone"
    with pytest.raises(Problem, match="can not be used now"):
        bench.station.submit(sale)
    bench.reader.next.put(LinkLost("still unplugged"))
    assert bench.tells() == "reader_back", "before any card comes"
    bench.reader.next.put(free_of_pin().chip.process)
    assert bench.tells() == "card_in"


def test_a_reader_that_goes_while_a_card_is_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> bool:
        raise LinkLost("unplugged")

    monkeypatch.setattr(bench.reader, "card_left", gone)
    bench.reader.next.put(free_of_pin().chip.process)
    assert [bench.tells() for _ in range(3)] == ["card_in", "card_out", "reader_gone"]
    assert bench.reader.released == 1


def test_a_card_that_goes_at_once_is_a_tap_with_an_error(bench: Bench) -> None:
    bench.reader.next.put(unplugged)
    assert [bench.tells() for _ in range(2)] == ["card_error", "card_out"]
    bench.reader.next.put(free_of_pin().chip.process)
    assert bench.tells() == "card_in"
    bench.reader.left.set()
    assert bench.tells() == "card_out"


def test_a_fault_of_a_reader_or_of_a_job_does_not_end_the_thread(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.reader.next.put(ZeroDivisionError("a fault of the reader"))
    bench.reader.next.put(free_of_pin().chip.process)
    assert bench.tells() == "card_in"

    def broken(_till: Till) -> Dialog[None]:
        raise ZeroDivisionError("a fault of the job")

    assert bench.problem(bench.station.submit(broken)) == "internal"
    assert bench.station.submit(lambda _till: answered("done")).result(10) == "done"
    assert bench.station.submit(sale).result(10).points == 1
    assert "a fault of the reader" in caplog.text
    assert "a fault of the job" in caplog.text


def test_a_station_that_stops_begins_nothing_more(bench: Bench) -> None:
    waiting = bench.station.submit(sale)
    bench.station.stop()
    assert bench.problem(waiting) == "stopping"
    with pytest.raises(Problem, match="being stopped"):
        bench.station.submit(sale)
    assert bench.station.join(10)


def test_every_error_has_its_problem() -> None:
    rows = [(JournalError("the disk is full"), "journal"), (ValueError("secret"), "internal"), (Problem("no_card", "none came"), "no_card")]
    for error, code in rows:
        assert problem_of(error).code == code
    assert "secret" not in str(problem_of(ValueError("secret")).body)


def test_listeners_that_come_late_or_stay_behind() -> None:
    async def listen() -> None:
        events = Events()
        events.publish({"event": "card_in"}, "lease")
        events.publish({"event": "card_out"}, None)
        stranger, owner = events.listen(lambda _lease: False, after=""), events.listen(lambda lease: lease == "lease", after="x-1")
        first = await owner.next()
        assert first is not None
        assert first.fields["event"] == "card_in"
        told = await stranger.next()
        assert told is not None
        assert told.fields["event"] == "card_out"
        for _ in range(300):
            events.publish({"event": "card_out"}, None)
        assert (stranger.too_slow, await stranger.next()) == (True, None)
        events.end()
        late: Listener = events.listen(lambda _lease: True)
        assert await late.next() is None
        events.leave(late)

    asyncio.run(listen())
