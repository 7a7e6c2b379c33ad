"""A service from start to signal, in this process: its port, its end with and without a card that answers, streams that stand still."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from joren.host import HostError
from joren.host.service.desk import Desk
from joren.host.service.door import Limits
from joren.host.service.secret import Token
from joren.host.service.server import TillService
from servicekit import HOUR, TOKEN, serving
from support import free_of_pin


def empty(port: int = 0) -> TillService:
    """A service without readers."""
    return TillService(Desk([], lambda _time: HOUR), Token(TOKEN), port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number: signal.Signals) -> None:
    async def day() -> bool:
        service = empty()
        return await service.run(lambda: signal.raise_signal(number))

    assert asyncio.run(day())


def test_a_port_is_for_one(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            second = empty(kit.service.port)
            with pytest.raises(HostError, match=rf"port {kit.service.port} of 127.0.0.1 is taken"):
                await second.start()

    asyncio.run(day())


def test_a_card_that_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", limits=Limits(stop_s=0.1)) as kit:
            sale = asyncio.create_task(kit.call("purchase", reference="S-1", amount_minor=100))
            await kit.waits("left")
            gate = kit.counter.put("left", free_of_pin(), gate=1)
            assert gate is not None
            assert await asyncio.to_thread(gate.reached.wait, 10)
            assert not await kit.service.stop()
            with pytest.raises(aiohttp.ClientError):
                await sale
            gate.open()
            assert await asyncio.to_thread(kit.desk.stations["left"].join, 10)
            assert kit.desk.stations["left"].till.outcome("S-1") is not None, "the sale went on to its end"

    asyncio.run(day())


def test_a_stream_without_events_is_kept_alive(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", limits=Limits(beat_s=0.05)) as kit:
            async with kit.client.get(f"{kit.service.url}/v1/events", headers=kit.headers) as stream:
                assert [await stream.content.readline() for _ in range(5)] == [b": joren till\n", b"\n", b":\n", b"\n", b":\n"]
            while kit.desk.events.listeners:
                await asyncio.sleep(0)

    asyncio.run(day())


def test_calls_while_it_stops_are_told_so(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            kit.desk.stations["left"].stop()
            assert (await kit.call("purchase", reference="S-1", amount_minor=100))[1]["error"] == "stopping"
            assert (await kit.call("outcome", reference="S-1"))[1]["state"] == "failed"

    asyncio.run(day())
