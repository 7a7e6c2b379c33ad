"""A tap belongs to the client that claimed the reader: others are told who and until when, and see nothing of it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from servicekit import TOKEN, Kit, WebSocket, serving
from support import card_number, free_of_pin


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def test_another_client_is_told_who_has_the_reader_and_until_when(tmp_path: Path) -> None:
    async def day() -> None:
        clock = Clock()
        async with serving(tmp_path, "left", now=clock) as kit:
            status, lease = await kit.call("claim", reader="left", client="till 1", seconds=60)
            assert (status, lease["since"], lease["until"]) == (200, "2026-03-02T08:00:00.000Z", "2026-03-02T08:01:00.000Z")
            for name, fields in (("purchase", {"reference": "S-1", "amount_minor": 1}), ("settle", {}), ("claim", {"reader": "left"})):
                status, told = await kit.call(name, **fields)
                assert (status, told["error"]) == (409, "reader_claimed")
                assert told["holder"] == {"client": "till 1", "since": lease["since"], "until": lease["until"]}
            assert (await kit.call("readers"))[1]["readers"][0]["claimed"]["client"] == "till 1"
            clock.time += timedelta(seconds=30)
            status, longer = await kit.call("claim", reader="left", lease=lease["lease"], seconds=90)
            assert (longer["lease"], longer["until"]) == (lease["lease"], "2026-03-02T08:02:00.000Z")
            kit.counter.put("left", free_of_pin())
            assert (await kit.call("purchase", reference="S-1", amount_minor=100, lease=lease["lease"]))[0] == 200
            clock.time += timedelta(seconds=90)
            assert (await kit.call("readers"))[1]["readers"][0]["claimed"] is None
            for name in ("claim", "free"):
                assert (await kit.call(name, reader="left", lease=lease["lease"]))[1]["error"] == "lease_over"
            assert (await kit.call("purchase", reference="S-2", amount_minor=100, lease=lease["lease"]))[0] == 409
            assert (await kit.call("purchase", reference="S-2", amount_minor=100))[0] == 200
            again = (await kit.call("claim", reader="left"))[1]
            assert (await kit.call("free", reader="left", lease=again["lease"]))[0] == 200
            assert (await kit.call("free", reader="left"))[1]["error"] == "lease_over"

    asyncio.run(day())


def test_a_lease_lasts_as_long_as_its_sale(tmp_path: Path) -> None:
    async def day() -> None:
        clock = Clock()
        async with serving(tmp_path, "left", now=clock) as kit:
            lease = (await kit.call("claim", reader="left", seconds=1))[1]["lease"]
            sale = asyncio.create_task(kit.call("purchase", reference="S-1", amount_minor=100, lease=lease))
            await kit.waits("left")
            clock.time += timedelta(minutes=5)
            assert (await kit.call("claim", reader="left"))[1]["error"] == "reader_claimed"
            assert (await kit.call("free", reader="left", lease=lease))[0] == 200
            assert (await kit.call("claim", reader="left"))[1]["error"] == "reader_claimed"
            kit.counter.put("left", free_of_pin())
            assert (await sale)[0] == 200
            assert (await kit.call("claim", reader="left"))[0] == 200

    asyncio.run(day())


async def first_event(kit: Kit, path: str) -> str:
    """The next event of a stream, as it comes."""
    async with kit.client.get(kit.service.url + path, headers=kit.headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"event:"):
                return line.decode()
    return ""


def test_what_happens_at_a_claimed_reader_is_told_to_its_client_alone(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", "right") as kit, kit.websocket() as mine, kit.websocket() as other:
            lease = (await mine.call("claim", reader="left"))[1]["lease"]
            streams = [asyncio.create_task(first_event(kit, path)) for path in (f"/v1/events?lease={lease}", "/v1/events")]
            while kit.desk.events.listeners < 4:
                await asyncio.sleep(0)
            kit.counter.put("left", free_of_pin(1))
            await kit.happens(lambda event: event["event"] == "card_in")
            kit.counter.put("right", free_of_pin(2))
            await kit.happens(lambda event: event["event"] == "card_in" and event["reader"] == "right")
            kit.counter.remove("right")
            await kit.happens(lambda event: event["event"] == "card_out")
            await mine.call("readers")
            await other.call("readers")
            assert [(event["reader"], event["event"]) for event in other.events] == [("right", "card_in"), ("right", "card_out")]
            assert next((event["reader"], event["event"]) for event in mine.events) == ("left", "card_in")
            assert await asyncio.gather(*streams) == ["event: card_in\n", "event: card_in\n"]

    asyncio.run(day())


def test_a_stream_goes_on_where_it_was_left(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            for number in range(3):
                kit.desk.tell("left", "card_error", {"problem": {"error": f"e{number}", "message": "", "what_to_do": ""}})
            first = await kit.happens(lambda event: event["event"] == "card_error")
            for headers, path in (({"Last-Event-ID": first["id"]}, "/v1/events"), ({}, f"/v1/events?after={first['id']}")):
                async with kit.client.get(kit.service.url + path, headers={**kit.headers, **headers}) as response:
                    told = [await response.content.readline() for _ in range(5)]
                assert b'"error": "e1"' in told[4], told

    asyncio.run(day())


def test_readers_are_free_when_the_client_that_claimed_them_goes(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            async with kit.websocket(client="till 1") as gone:
                await gone.call("claim", reader="left", client="till 1", seconds=3600)
                waiting = asyncio.create_task(kit.call("claim", reader="left", client="till 2", wait_seconds=30))
                longer = (await gone.call("claim", reader="left", seconds=3600))[1]
                assert longer["client"] == "till 1"
                assert (await kit.call("claim", reader="left"))[0] == 409
            status, told = await waiting
            assert (status, told["client"]) == (200, "till 2")

    asyncio.run(day())


def test_a_claim_waits_no_longer_than_it_says(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            await kit.call("claim", reader="left", seconds=1)
            assert (await kit.call("claim", reader="left", wait_seconds=0))[0] == 409
            assert (await kit.call("claim", reader="left", client="next", wait_seconds=10))[1]["client"] == "next"
            status, told = await kit.call("claim", reader="left", wait_seconds=1)
            assert (status, told["holder"]["client"]) == (409, "next")

    asyncio.run(day())


def test_a_client_that_goes_before_a_card_came_sells_nothing(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            async with kit.websocket() as gone:
                await gone.send("purchase", reference="S-1", amount_minor=100)
                await kit.waits("left")
            async with aiohttp.ClientSession() as session:
                url, headers = f"{kit.service.url}/v1/purchase", {"Authorization": f"Bearer {TOKEN}"}
                asking = asyncio.create_task(session.post(url, json={"reference": "S-2", "amount_minor": 100}, headers=headers))
                while (await kit.call("outcome", reference="S-2"))[0] != 200:
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            for reference in ("S-1", "S-2"):
                while (told := (await kit.call("outcome", reference=reference))[1])["state"] != "failed":
                    await asyncio.sleep(0)
                assert told["problem"]["error"] == "cancelled"
            kit.counter.put("left", free_of_pin())
            assert (await kit.happens(lambda event: event["event"] == "card_in"))["points_balance"] == 0

    asyncio.run(day())


def test_a_client_that_goes_in_the_middle_of_a_tap_finds_its_sale(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            async with kit.websocket() as gone:
                await gone.call("claim", reader="left")
                await gone.send("purchase", reference="S-1", amount_minor=1250)
                await kit.waits("left")
                gate = kit.counter.put("left", free_of_pin(), gate=1)
                assert gate is not None
                assert await asyncio.to_thread(gate.reached.wait, 10)
                assert (await kit.call("outcome", reference="S-1"))[1]["state"] == "in_progress"
                assert (await kit.call("cancel", reference="S-1"))[1]["cancelled"] is False
            while not kit.desk.leases.of("left") or kit.desk.leases.of("left").until > datetime.now(UTC):  # type: ignore[union-attr]
                await asyncio.sleep(0)
            assert (await kit.call("claim", reader="left"))[1]["error"] == "reader_claimed"
            gate.open()
            while (told := (await kit.call("outcome", reference="S-1"))[1])["state"] != "committed":
                await asyncio.sleep(0)
            assert told["sale"]["points"] == 12
            assert (await kit.call("claim", reader="left"))[0] == 200

    asyncio.run(day())


async def sells(kit: Kit, number: int, client: WebSocket, customers: list[Any]) -> None:
    """One of the clients: claims a reader, taps its card there, sells, goes on."""
    balance = 0
    for count in range(5):
        reader = ("left", "right")[(number + count) % 2]
        assert (await client.call("claim", reader=reader, client=f"client {number}", wait_seconds=60))[0]
        selling = await client.send("purchase", reader=reader, reference=f"S-{number}-{count}", amount_minor=100 * (number + 1))
        kit.counter.put(reader, customers[number])
        answer = await client.receive()
        assert answer["id"] == selling
        assert answer["ok"]["card_id"] == card_number(number).hex().upper()
        balance += answer["ok"]["points"]
        assert answer["ok"]["points_balance"] == balance > 0
        kit.counter.remove(reader)
        while kit.desk.stations[reader].card_in:
            await asyncio.sleep(0)
        assert (await client.call("free", reader=reader))[0]


def test_eight_clients_on_two_readers_disturb_no_one(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", "right") as kit:
            customers = [free_of_pin(number) for number in range(8)]

            async def client(number: int) -> list[dict[str, Any]]:
                async with kit.websocket(client=f"client {number}") as socket:
                    await sells(kit, number, socket, customers)
                    return socket.events

            events = await asyncio.gather(*map(client, range(8)))
            for number, seen in enumerate(events):
                cards = {event["card_id"] for event in seen if event["event"] == "card_in"}
                assert cards == {card_number(number).hex().upper()}, "each sees its own customer's taps alone"
            rows = [row for station in kit.desk.stations.values() for row in station.till.journal.rows()]
            assert len(rows) == 40

    asyncio.run(day())
