"""The public API and what docs/embedding.md says of it: names and signatures, examples, threads, cancellation."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import pytest

import joren.apdu
import joren.host
from api import PUBLIC, public_api
from cardkit import MASTERS, PROGRAMME, Customer
from joren.apdu import Command, Ins, Key, LinkLost, Response
from joren.host import CardLost, Fate, HostError, Journal, Slot, SoftwareKeys, Till, feed, in_thread, run, run_async, start
from joren.simulator.reader import Reader
from support import SHOP, TERMINAL, Counter

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "embedding.md").read_text(encoding="utf-8")
WAIT_S = 30


def test_a_change_of_the_public_api_is_seen() -> None:
    """Mended by `.venv/bin/python scripts/api.py > docs/api.txt`, where the change is meant."""
    assert (ROOT / "docs" / "api.txt").read_text(encoding="utf-8") == public_api()


def test_every_public_name_is_there_and_listed_once() -> None:
    listed = re.findall(r"^joren\.(\w+)\.(?:async |with )?(\w+)", public_api(), re.MULTILINE)
    assert sorted(listed) == sorted((room, name) for room in PUBLIC for name in getattr(joren, room).__all__)
    assert all(hasattr(getattr(joren, room), name) for room, name in listed)


def told(example: str) -> list[str]:
    command = [sys.executable, str(ROOT / "examples" / example)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def code_lines(source: str) -> int:
    """Lines with code: no blank ones, no comments, no docstrings."""
    without = re.sub(r'^\s*""".*?"""$', "", source, flags=re.MULTILINE | re.DOTALL)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in without.splitlines())


def test_a_till_in_30_lines() -> None:
    assert code_lines((ROOT / "examples" / "till_30_lines.py").read_text(encoding="utf-8")) <= 30
    assert told("till_30_lines.py") == [
        "receipt 1: 12 points, balance 12, rank 0",
        "receipt 2: 48 points, balance 60, rank 1",
        "receipt 3: 38 points, balance 98, rank 1",
    ]


def test_tills_in_asyncio() -> None:
    assert told("till_asyncio.py") == [
        "counter 0: 12 points, found again: False",
        "counter 1: given up, 1 sale is pending",
        "counter 1: 12 points, found again: True",
    ]


def test_the_page_quotes_its_examples_rightly() -> None:
    examples = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py"))
    quoted = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(quoted) == 3
    assert [text for text in quoted if text not in examples] == []


def elsewhere(do: Callable[[], Any]) -> Any:
    """What another thread gets of it, an exception too."""
    with ThreadPoolExecutor(1, thread_name_prefix="elsewhere") as other:
        return other.submit(do).result(WAIT_S)


@pytest.mark.parametrize(
    "use",
    [lambda one: one.find("R"), lambda one: list(one.rows()), lambda one: one.last if one.at(0) is None else None, lambda one: one.close()],
)
def test_a_journal_is_for_the_thread_that_opened_it(tmp_path: Path, use: Callable[[Journal], Any]) -> None:
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.bind("this till")
        with pytest.raises(HostError, match=rf"for the thread that opened it, {current_thread().name}, elsewhere_0 came: open it where"):
            elsewhere(lambda: use(journal))
        assert list(journal.rows()) == []
    with pytest.raises(HostError, match="that of this till, not of x"), Journal(path) as journal:
        journal.bind("x")


@pytest.mark.parametrize("by_card", [False, True])
def test_a_till_has_one_dialog_in_hand(by_card: bool) -> None:
    counter, customer = Counter(by_card), Customer()
    counter.customer = customer
    first = counter.till.purchase("first", 100, 500)
    step = start(first)
    with pytest.raises(HostError, match="another dialog is in hand"):
        run(counter.till.purchase("second", 100, 700), counter.links)
    while not isinstance(step, joren.host.Done):
        step = feed(first, counter.links[step.slot](step.command))
    assert step.value.points == 5
    assert run(counter.till.purchase("second", 100, 700), counter.links).points_balance == 12
    counter.audit(customer)


def test_a_dialog_that_was_closed_makes_room() -> None:
    counter, customer = Counter(by_card=False), Customer()
    counter.customer = customer
    first = counter.till.purchase("first", 100, 500)
    start(first)
    first.close()
    assert run(counter.till.purchase("second", 100, 700), counter.links).points_balance == 7
    dropped = counter.till.settle()
    start(dropped)
    del dropped
    assert run(counter.till.settle(), counter.links).rows == ()


def test_a_till_in_another_thread_sells_nothing() -> None:
    counter, customer = Counter(by_card=False), Customer()
    counter.customer = customer
    with pytest.raises(HostError, match="for the thread that opened it"):
        elsewhere(lambda: run(counter.till.purchase("R", 100, 500), counter.links))
    assert run(counter.till.purchase("R", 100, 500), counter.links).points == 5


def test_a_reader_with_a_command_under_way_takes_no_other() -> None:
    customer, reader = Customer(), Reader("desk")
    reader.insert(customer.chip)
    select = Command(0x00, Ins.SELECT, 0x04, 0x0C, customer.aid, 26)
    refused: list[Exception] = []

    def second(*_event: object) -> None:
        try:
            elsewhere(lambda: reader.transmit(select))
        except ValueError as error:
            refused.append(error)

    reader.observers.append(second)
    assert reader.transmit(select).ok
    assert [str(error) for error in refused] == ["desk: a command is under way in another thread; a reader is for one thread at a time"]
    reader.observers.clear()
    assert reader.transmit(select).ok


class Held:
    """A blocking link: it tells when the card has acted on an instruction, and holds the answer back until it may go."""

    def __init__(self, customer: Customer, ins: Ins) -> None:
        self.customer, self.ins = customer, ins
        self.acted, self.may_go = Event(), Event()
        self.now, self.most = 0, 0
        customer.chip.power_on()

    def transmit(self, command: Command) -> Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            response = self.customer.chip.process(command)
            if command.ins == self.ins:
                self.acted.set()
                assert self.may_go.wait(WAIT_S)
            return response
        finally:
            self.now -= 1


def till_of(journal: Journal) -> Till:
    software = Counter.software()
    assert isinstance(software, SoftwareKeys)
    return Till(software, journal)


@pytest.mark.parametrize(("ins", "fates", "recovered"), [(Ins.SELECT, [], False), (Ins.TRANSACT, [Fate.PENDING], True)])
def test_a_tap_that_is_cancelled_is_settled_at_the_next(ins: Ins, fates: list[Fate], recovered: bool) -> None:
    """REQ-STL-2: what had left is in the journal; the next tap's commands wait for the one that is still with the card."""
    customer = Customer()
    held = Held(customer, ins)

    async def counter() -> None:
        with Journal(":memory:") as journal, in_thread(held.transmit) as link:
            till, links = till_of(journal), {Slot.CUSTOMER: link}
            sale = asyncio.create_task(run_async(till.purchase("R", 100, 500), links))
            assert await asyncio.to_thread(held.acted.wait, WAIT_S)
            sale.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sale
            assert [row.fate for row in journal.unsettled()] == fates
            again = asyncio.create_task(run_async(till.purchase("R", 100, 500), links))
            await asyncio.sleep(0)
            held.may_go.set()
            granted = await again
            assert (granted.points_balance, granted.recovered) == (5, recovered)
            assert [row.fate for row in journal.rows()] == [Fate.COMMITTED]

    asyncio.run(counter())
    assert held.most == 1


def test_a_lost_link_in_a_thread_is_a_lost_card() -> None:
    def broken(_command: Command) -> Response:
        raise LinkLost("gone")

    async def counter() -> None:
        with Journal(":memory:") as journal, in_thread(broken) as link, pytest.raises(CardLost, match="nothing was transacted"):
            await run_async(till_of(journal).purchase("R", 100, 500), {Slot.CUSTOMER: link})

    asyncio.run(counter())


def test_a_link_whose_thread_has_ended_says_so() -> None:
    async def counter() -> None:
        with in_thread(Customer().chip.process, "desk") as link:
            pass
        with pytest.raises(HostError, match="link to desk: closed"):
            await link(Command(0x00, Ins.SELECT, 0x04, 0x0C))

    asyncio.run(counter())


def test_two_counters_in_two_threads() -> None:
    """Each with a till, keys, a journal and a card of its own."""

    def counter(number: int) -> int:
        customer, master = Customer(card_id=bytes((0xC0, *bytes(6), number))), Key(MASTERS["till"].reveal(), "till")
        with Journal(":memory:") as journal:
            till = Till(SoftwareKeys(PROGRAMME, SHOP, TERMINAL, master), journal)
            links = {Slot.CUSTOMER: customer.chip.process}
            return sum(run(till.purchase(f"{sale}", 100 + sale, 500), links).points for sale in range(40))

    alone = counter(0)
    with ThreadPoolExecutor(2) as both:
        assert list(both.map(counter, (1, 2))) == [alone, alone]
