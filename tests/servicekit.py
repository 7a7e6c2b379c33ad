"""A till service for tests: simulated readers, cards on order, and clients whose every answer is held against the OpenAPI document."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from typing import Any
from urllib.parse import quote

import aiohttp
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from cardkit import MASTERS, PROGRAMME, Customer
from joren.apdu import Command, Response
from joren.commands.counter_readers import CounterReader
from joren.host import HostError, Journal, Offers, SoftwareKeys, Till
from joren.host.service.calls import CALLS
from joren.host.service.desk import Desk
from joren.host.service.door import Limits
from joren.host.service.openapi import document
from joren.host.service.secret import Token
from joren.host.service.server import TillService
from joren.host.service.station import Station
from joren.simulator.reader import Losses, Reader

__all__ = ["HOUR", "TOKEN", "Counter", "Gate", "Kit", "WebSocket", "checked", "serving"]

HOUR = 100
TOKEN = "a token of thirty-two characters"
STRICT = {"Event", "Sale", "Reader", "Readers", "Lease", "Outcome", "Problem", "Settled", "Transaction", "Holder", "Health", "Cancelled"}


def _strict_document() -> dict[str, Any]:
    """The document, where answers may have no field that it does not name."""
    told = document()
    schemas = {name: {**schema, "additionalProperties": False} if name in STRICT else schema for name, schema in _schemas(told).items()}
    return {**told, "components": {**told["components"], "schemas": schemas}}


def _schemas(told: dict[str, Any]) -> dict[str, Any]:
    schemas = told["components"]["schemas"]
    assert isinstance(schemas, dict)
    return schemas


DOCUMENT = _strict_document()
REGISTRY: Registry[Any] = Registry().with_resource("urn:till", DRAFT202012.create_resource(DOCUMENT))


def checked(schema: dict[str, Any], value: Any) -> None:
    """Raises ValidationError unless the value fits a schema of the document."""
    absolute = {key: f"urn:till{value}" if key == "$ref" else value for key, value in schema.items()}
    Draft202012Validator(absolute, registry=REGISTRY).validate(value)


def checked_answer(method: str, path: str, status: int, body: Any) -> None:
    """The same, by the path that was asked; every status must be one that the document has there."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in operations:
            content = operations[method.lower()]["responses"][str(status)]["content"]
            checked(content["application/json"]["schema"], body)
            return
    checked({"$ref": "#/components/schemas/Problem"}, body)


class Gate:
    """Holds a card's answer to its n-th APDU from now until it is opened."""

    def __init__(self, reader: Reader, number: int) -> None:
        self.reached, self._opened, self._left = Flag(), Flag(), number
        reader.observers.append(self._pass)

    def _pass(self, _reader: str, event: str, _command: Command | None, _response: Response | None) -> None:
        self._left -= event == "apdu"
        if self._left == 0 and not self.reached.is_set():
            self.reached.set()
            assert self._opened.wait(30)

    def open(self) -> None:
        """Lets it go on."""
        self._opened.set()


class Counter:
    """Readers into which tests put cards (joren.host.service.desk.Controls)."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.readers = {name: CounterReader(name) for name in names}
        self.cards: dict[str, Customer] = {}

    def put(self, name: str, customer: Customer, losses: Losses | None = None, gate: int | None = None) -> Gate | None:
        """Puts a card in. `gate`: the answer to that APDU is held."""
        customer.chip.power_off()
        reader = Reader(name)
        reader.insert(customer.chip)
        reader.losses = losses
        held = None if gate is None else Gate(reader, gate)
        self.readers[name].put(reader)
        return held

    def tap(self, reader: str, card: str, lose: str | None) -> None:
        if card not in self.cards:
            raise HostError(f"card {card}: there is none")
        self.put(reader, self.cards[card])

    def remove(self, reader: str) -> None:
        self.readers[reader].take()


class WebSocket:
    """A client over WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self._number = 0

    async def receive(self) -> dict[str, Any]:
        """The next message that is no event."""
        while True:
            told = await self.socket.receive_json(timeout=10)
            assert isinstance(told, dict)
            if "event" not in told:
                return told
            checked({"$ref": "#/components/schemas/Event"}, told)
            self.events.append(told)

    async def send(self, call: str, **fields: Any) -> int:
        """A call, whose answer is not waited for."""
        self._number += 1
        await self.socket.send_json({"id": self._number, "call": call, "with": fields})
        return self._number

    async def call(self, call: str, **fields: Any) -> tuple[bool, dict[str, Any]]:
        """Whether it was done, and what came."""
        number = await self.send(call, **fields)
        told = await self.receive()
        assert told["id"] == number
        name = CALLS[call].answer if "ok" in told else "Problem"
        body = told.get("ok", told.get("problem"))
        checked({"$ref": f"#/components/schemas/{name}"}, body)
        assert isinstance(body, dict)
        return "ok" in told, body


class Kit:
    """A service that runs, and clients of it."""

    def __init__(self, service: TillService, counter: Counter, client: aiohttp.ClientSession) -> None:
        self.service = service
        self.counter = counter
        self.client = client
        self.desk = service.desk

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and body of a request."""
        shown = self.headers if headers is None else headers
        async with self.client.request(method, self.service.url + path, json=body, headers=shown, data=data) as response:
            told = await response.json()
            checked_answer(method, path.partition("?")[0], response.status, told)
            assert isinstance(told, dict)
            return response.status, told

    async def call(self, name: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        """A call over HTTP."""
        call = CALLS[name]
        path = call.path
        for field in call.in_path:
            path = path.replace(f"{{{field.name}}}", quote(fields.pop(field.name), safe=""))
        return await self.ask(call.method, path, fields if call.method == "POST" else None)

    @asynccontextmanager
    async def websocket(self, **hello: Any) -> AsyncIterator[WebSocket]:
        """A client that has said hello."""
        async with self.client.ws_connect(f"{self.service.url}/v1/ws") as socket:
            client = WebSocket(socket)
            await socket.send_json({"token": TOKEN, "version": 1, **hello})
            told = await client.receive()
            assert told["hello"] == "joren till"
            yield client

    async def waits(self, reader: str) -> None:
        """Until a call waits for a card there."""
        while not self.desk.stations[reader].waiting:
            await asyncio.sleep(0)

    async def happens(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event, of those to come and those that came, that is wanted."""
        listener = self.desk.events.listen(lambda _lease: True, after="")
        try:
            async with asyncio.timeout(10):
                while (event := await listener.next()) is not None:
                    told = {"id": event.id, **event.fields}
                    checked({"$ref": "#/components/schemas/Event"}, told)
                    if wanted(told):
                        return told
        finally:
            self.desk.events.leave(listener)
        raise AssertionError("the events ended")


@asynccontextmanager
async def serving(
    folder: Path, *names: str, limits: Limits | None = None, offers: Offers | None = None, now: Callable[[], datetime] | None = None
) -> AsyncIterator[Kit]:
    """A service with a reader for each name; its terminals are numbered from 1."""
    counter = Counter(names)
    journals = [Journal(folder / f"{name}.sqlite", shared=True) for name in names]
    tills = [
        Till(SoftwareKeys(PROGRAMME, 7, number, MASTERS["till"], MASTERS["load"]), journal, offers=offers)
        for number, journal in enumerate(journals, 1)
    ]
    stations = [Station(reader, till, lambda: HOUR) for reader, till in zip(counter.readers.values(), tills, strict=True)]
    desk = Desk(stations, lambda _time: HOUR, counter, now or (lambda: datetime.now(UTC)))
    service = TillService(desk, Token(TOKEN), limits=limits)
    await service.start()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
            yield Kit(service, counter, client)
    finally:
        await service.stop()
        for journal in journals:
            journal.close()
