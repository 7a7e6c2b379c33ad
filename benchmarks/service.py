"""What the till service costs: a purchase over WebSocket and HTTP beside the same purchase in process, and eight clients on two readers.

How it works. The service runs in a process of its own, with a simulated card in each of its readers; this process is the clients, and makes
the purchases in process too, by the same till on a journal of the same kind. Both take turns, round by round. Journals are files, so every
figure has the writes to the disk in it: PENDING before the command leaves, and the result. `--json` prints one JSON object; a number says
how many purchases of each kind are made.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import Any

import aiohttp

from joren.apdu import AID_CUSTOMER, aid
from joren.applet.customer import CustomerCard
from joren.commands.counter_readers import CounterReader
from joren.host import DEFAULT_PRODUCT, Journal, Masters, Slot, SoftwareKeys, Till, issue_customer, run
from joren.host.service.desk import Desk
from joren.host.service.secret import Token
from joren.host.service.server import TillService
from joren.host.service.station import Station
from joren.simulator.chip import Chip
from joren.simulator.reader import Reader

__all__ = ["main"]

HOUR = 100
PURCHASES, CLIENTS = 500, 8
READERS = ("left", "right")


def reader_with_card(masters: Masters, number: int) -> Reader:
    """A simulated reader, and an issued card in it."""
    reader, chip = Reader(f"reader {number}"), Chip(f"card {number}".encode())
    chip.install(CustomerCard, aid(AID_CUSTOMER, DEFAULT_PRODUCT.programme))
    reader.insert(chip)
    run(issue_customer(DEFAULT_PRODUCT, masters, number.to_bytes(8)), {Slot.CUSTOMER: reader.transmit})
    return reader


def till_of(masters: Masters, journal: Journal, terminal: int) -> Till:
    """A till with software keys."""
    return Till(SoftwareKeys(1, 1, terminal, masters.group_master("till", programme=1)), journal)


async def serve(folder: Path, token: str) -> None:
    """The service, until its standard input ends."""
    masters, stations = Masters.create(), []
    for terminal, name in enumerate(READERS, 1):
        reader = CounterReader(name)
        reader.put(reader_with_card(masters, terminal))
        stations.append(Station(reader, till_of(masters, Journal(folder / f"{name}.sqlite", shared=True), terminal), lambda: HOUR))
    service = TillService(Desk(stations, lambda _time: HOUR), Token(token))
    await service.start()
    print(service.url, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await service.stop()
    for station in stations:
        station.till.journal.close()


class Client:
    """One WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def call(self, call: str, **fields: Any) -> Any:
        """A call, done."""
        await self._socket.send_json({"id": 1, "call": call, "with": fields})
        while True:
            told = await self._socket.receive_json()
            if "event" not in told:
                return told["ok"]


def share(times: list[float], part: float) -> float:
    """A quantile, in milliseconds."""
    return 1_000 * sorted(times)[min(len(times) - 1, int(len(times) * part))]


def row(times: list[float]) -> dict[str, float]:
    return {"p50_ms": share(times, 0.5), "p99_ms": share(times, 0.99)}


async def one_client(url: str, headers: dict[str, str], folder: Path, purchases: int) -> dict[str, Any]:
    """Purchases in process, over WebSocket and over HTTP, by turns."""
    masters, times = Masters.create(), {name: list[float]() for name in ("in process", "WebSocket", "HTTP")}
    reader = reader_with_card(masters, 9)
    with Journal(folder / "here.sqlite") as journal:
        till, links = till_of(masters, journal, 9), {Slot.CUSTOMER: reader.transmit}
        async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(f"{url}/v1/ws") as socket:
            client = Client(socket)
            await socket.receive_json()
            for number in range(purchases):
                begun = perf_counter()
                run(till.purchase(f"P-{number}", HOUR, 1250), links)
                times["in process"].append(perf_counter() - begun)
                begun = perf_counter()
                await client.call("purchase", reader="left", reference=f"W-{number}", amount_minor=1250)
                times["WebSocket"].append(perf_counter() - begun)
                begun = perf_counter()
                body = {"reader": "left", "reference": f"H-{number}", "amount_minor": 1250}
                async with session.post(f"{url}/v1/purchase", json=body) as response:
                    await response.read()
                times["HTTP"].append(perf_counter() - begun)
    return {name: row(measured) for name, measured in times.items()}


async def many_clients(url: str, headers: dict[str, str], sales: int) -> dict[str, Any]:
    """Eight clients on two readers: each claims one, sells, frees it, and goes to the other."""
    waited: list[float] = []
    sold: list[float] = []

    async def client(number: int) -> None:
        async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(f"{url}/v1/ws") as socket:
            caller = Client(socket)
            await socket.receive_json()
            for count in range(sales):
                reader, begun = READERS[(number + count) % 2], perf_counter()
                await caller.call("claim", reader=reader, wait_seconds=60)
                claimed = perf_counter()
                await caller.call("purchase", reader=reader, reference=f"C-{number}-{count}", amount_minor=1250)
                sold.append(perf_counter() - claimed)
                await caller.call("free", reader=reader)
                waited.append(claimed - begun)

    begun = perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    seconds = perf_counter() - begun
    return {
        "clients": CLIENTS,
        "sales": len(sold),
        "per_second": len(sold) / seconds,
        "purchase": row(sold),
        "wait for a reader": row(waited),
    }


async def measure(purchases: int) -> dict[str, Any]:
    """All of it."""
    token = token_hex(32)
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, __file__, "serve", name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:  # noqa: S603
            assert service.stdin is not None
            assert service.stdout is not None
            service.stdin.write(f"{token}\n")
            service.stdin.flush()
            url, headers = service.stdout.readline().strip(), {"Authorization": f"Bearer {token}"}
            one = await one_client(url, headers, Path(name), purchases)
            many = await many_clients(url, headers, -(-purchases // 20))
            service.stdin.close()
    return {"format": "joren-bench-service", "version": 1, "purchases": purchases, "rows": one, "many": many}


def main() -> None:
    """The benchmark, or with `serve FOLDER` the service that it measures."""
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2]), sys.stdin.readline().strip()))
        return
    number = next((int(word) for word in sys.argv[1:] if word.isdigit()), PURCHASES)
    told = asyncio.run(measure(number))
    if "--json" in sys.argv:
        print(json.dumps(told))
        return
    print(f"{told['purchases']} purchases each, by turns       p50 ms  p99 ms")
    for name, times in told["rows"].items():
        print(f"  {name:36}{times['p50_ms']:8.2f}{times['p99_ms']:8.2f}")
    many = told["many"]
    print(f"{many['clients']} clients on two readers, {many['sales']} purchases, {many['per_second']:.0f} a second")
    for name in ("purchase", "wait for a reader"):
        print(f"  {name:36}{many[name]['p50_ms']:8.2f}{many[name]['p99_ms']:8.2f}")


if __name__ == "__main__":
    main()
