"""Recording over any link: what goes by is in the trace, secrets are not, and nothing that befalls the file befalls the sale."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cardkit import PIN, Customer
from joren.apdu import Command, Ins, LinkLost, Response
from joren.apdu.trace import Line
from joren.host import CardLost, Journal, Recorder, Slot, Till, run, run_async, view_customer
from joren.host.replaying import load_trace
from support import Counter, Fault

HOUR = 100


def names(lines: list[Line]) -> list[str]:
    return [f"{line.reader}: {Ins(line.asked().ins).name}" if line.event == "apdu" else line.event for line in lines]


def test_a_tap_of_two_cards_is_recorded_as_a_reader_would(tmp_path: Path) -> None:
    counter, customer = Counter(by_card=True), Customer()
    counter.customer = customer
    with Recorder(tmp_path / "t.jsonl", clock=None) as recorder:
        run(counter.till.purchase("R", HOUR, 500), recorder.links(counter.links))
        recorder.event("customer card", "remove")
    lines = load_trace(tmp_path / "t.jsonl")
    assert names(lines) == [
        "shop card: SELECT",
        "customer card: SELECT",
        "customer card: GET_STATE",
        "shop card: COMPUTE",
        "customer card: COMMIT",
        "shop card: RATIFY",
        "remove",
    ]
    assert [(line.asked(), line.answer()) for line in lines[:-1]] == [(one.command, one.response) for one in counter.sent]
    assert [line.time_s for line in lines] == [None] * 7
    assert lines[4].decoded["command"]["name"] == "COMMIT PURCHASE, key SHOP"


def test_a_pin_is_not_in_the_file(tmp_path: Path) -> None:
    customer = Customer(pin=PIN)
    customer.chip.power_on()
    with Recorder(tmp_path / "t.jsonl") as recorder:
        run(view_customer(1, HOUR, pin=PIN), recorder.links({Slot.CUSTOMER: customer.chip.process}))
    text = (tmp_path / "t.jsonl").read_text(encoding="utf-8")
    assert PIN.hex() not in text.lower()
    assert "0020008108****************" in text
    assert [line.time_s is not None for line in load_trace(tmp_path / "t.jsonl")] == [True] * 5


def test_an_answer_that_never_came_is_an_empty_one(tmp_path: Path) -> None:
    counter, customer = Counter(by_card=False), Customer()
    counter.customer, counter.faults = customer, {2: Fault.LOST_AFTER}
    with Recorder(tmp_path / "t.jsonl") as recorder, pytest.raises(CardLost):
        run(counter.till.purchase("R", HOUR, 500), recorder.links(counter.links))
    assert [line.response == "" for line in load_trace(tmp_path / "t.jsonl")] == [False, True]


def test_links_that_are_awaited_are_recorded_too(tmp_path: Path) -> None:
    customer = Customer()
    customer.chip.power_on()
    hold = asyncio.Event()

    async def transmit(command: Command) -> Response:
        if command.ins == Ins.TRANSACT:
            await hold.wait()
        return customer.chip.process(command)

    async def tap() -> None:
        with Recorder(tmp_path / "t.jsonl") as recorder, Journal(":memory:") as journal:
            till = Till(Counter.software(), journal)
            links = recorder.async_links({Slot.CUSTOMER: transmit})
            await run_async(till.result(HOUR), links)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run_async(till.purchase("R", HOUR, 500), links), 0.01)

    asyncio.run(tap())
    lines = load_trace(tmp_path / "t.jsonl")
    assert names(lines) == [f"customer card: {name}" for name in ("SELECT", "GET_RESULT", "SELECT", "TRANSACT")]
    assert lines[-1].response == ""


def test_a_full_disk_ends_the_trace_and_no_sale() -> None:
    counter, customer = Counter(by_card=False), Customer()
    counter.customer = customer
    told: list[OSError] = []
    with Recorder("/dev/full", told=told.append) as recorder:
        assert recorder.error is not None
        assert run(counter.till.purchase("R", HOUR, 500), recorder.links(counter.links)).points == 5
    assert [error.strerror for error in told] == ["No space left on device"]
    assert recorder.error is told[0]


def test_a_file_that_can_not_be_made_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Recorder(tmp_path / "nowhere" / "t.jsonl")


def test_a_closed_recorder_lets_links_go_on(tmp_path: Path) -> None:
    customer = Customer()
    customer.chip.power_on()
    with Recorder(tmp_path / "t.jsonl") as recorder:
        link = recorder.link(customer.chip.process, "desk")
    assert link(Command(0x00, Ins.SELECT, 0x04, 0x0C, customer.aid, 26)).ok
    assert load_trace(tmp_path / "t.jsonl") == []


def test_two_threads_share_a_recorder_and_no_line_is_torn(tmp_path: Path) -> None:
    def read(number: int) -> None:
        customer = Customer(card_id=bytes((0xC0, *bytes(6), number)))
        customer.chip.power_on()
        link = recorder.link(customer.chip.process, f"reader {number}")
        for _ in range(100):
            assert link(Command(0x00, Ins.SELECT, 0x04, 0x0C, customer.aid, 26)).ok

    with Recorder(tmp_path / "t.jsonl") as recorder, ThreadPoolExecutor(2) as both:
        list(both.map(read, (1, 2)))
    lines = load_trace(tmp_path / "t.jsonl")
    assert sorted(line.reader for line in lines) == ["reader 1"] * 100 + ["reader 2"] * 100


def test_the_page_records_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "traces.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Recorder" in block)
    counter, customer = Counter(by_card=False), Customer()
    counter.customer = customer
    monkeypatch.chdir(tmp_path)
    exec(block, {"till": counter.till, "links": counter.links, "hour": HOUR, "run": run})
    assert names(load_trace("counter-7.jsonl")) == ["customer card: SELECT", "customer card: TRANSACT"]


def test_whatever_a_link_raises_goes_on_and_is_recorded(tmp_path: Path) -> None:
    def broken(_command: Command) -> Response:
        raise LinkLost("gone")

    with Recorder(tmp_path / "t.jsonl") as recorder, pytest.raises(LinkLost, match="gone"):
        recorder.link(broken, "desk")(Command(0x00, Ins.SELECT, 0x04, 0x0C))
    assert names(load_trace(tmp_path / "t.jsonl")) == ["desk: SELECT"]
