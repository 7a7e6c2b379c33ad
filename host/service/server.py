"""The till service on the loopback: HTTP routes from CALLS, events as a stream, the WebSocket, start and stop.

How it works. Stopping goes from the outside in: no new connections, jobs that wait are cancelled, the sales under way end and are answered,
then the stations' threads end. A reader that hangs is not waited for longer than `stop_s`: its sale stays pending in the journal, and is
settled at the card's next tap.
"""

import asyncio
import errno
import json
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from joren.host.errors import HostError

from .calls import API_VERSION, CALLS, Call
from .desk import Desk, Session
from .door import Door, Limits, answer
from .fields import check
from .openapi import document
from .problems import Problem
from .secret import Token
from .websocket import WebSockets, parsed

__all__ = ["TillService"]

HOST = "127.0.0.1"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"


def _without_bytes(record: logging.LogRecord) -> bool:
    """Of bytes that are no HTTP request the log gets who sent them alone: what they say may be a PIN or the token."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True


LOG = logging.getLogger("joren.till.http")
LOG.addFilter(_without_bytes)


class Full(asyncio.Protocol):
    """What a connection too many gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        body = json.dumps(Problem("too_many", "the service has as many connections as it takes", "close some").body).encode()
        if isinstance(transport, asyncio.Transport):
            transport.write(FULL % (len(body), body))
            transport.close()


class TillService:
    """The service over a desk. `port` is 0 for any free one, and the real one once it is started."""

    def __init__(self, desk: Desk, token: Token, port: int = 0, limits: Limits | None = None) -> None:
        self.desk = desk
        self.port = port
        self.stopping = False
        self._limits = limits or Limits()
        self._door = Door(token)
        self._sockets = WebSockets(desk, self._door, self._limits)
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        app = web.Application(middlewares=[self._door.middleware], client_max_size=self._limits.body_max)
        app.router.add_get("/v1/health", self._health)
        app.router.add_get("/v1/openapi.json", self._openapi)
        app.router.add_get("/v1/events", self._events)
        app.router.add_get("/v1/ws", self._sockets.handle)
        for call in CALLS.values():
            app.router.add_route(call.method, call.path, self._handler(call))
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=LOG,
            handler_cancellation=True,
            keepalive_timeout=self._limits.idle_s,
            lingering_time=1.0,
            shutdown_timeout=2.0,
        )

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many there are."""
        server = self._runner.server
        return 0 if server is None else len(server.connections)

    async def start(self) -> None:
        """Listens, and begins to wait for cards. Raises HostError for a port that is taken."""
        loop = self._loop = asyncio.get_running_loop()
        await self._runner.setup()
        server = self._runner.server
        assert server is not None

        def connection() -> asyncio.Protocol:
            return Full() if self.connections >= self._limits.connections_max else server()

        try:
            self._server = await loop.create_server(connection, HOST, self.port, backlog=128)
        except OSError as error:
            await self._runner.cleanup()
            if error.errno != errno.EADDRINUSE:
                raise
            raise HostError(f"port {self.port} of {HOST} is taken: another till service runs, or choose another with --port") from error
        listening: socket.socket = self._server.sockets[0]
        self.port = listening.getsockname()[1]
        for station in self.desk.stations.values():
            station.start(self._tell)

    def _tell(self, reader: str, event: str, fields: dict[str, Any]) -> None:
        """Called by the stations' threads."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended: nobody listens any more
            self._loop.call_soon_threadsafe(self.desk.tell, reader, event, fields)

    async def stop(self) -> bool:
        """Ends what is under way, and then all. Whether every reader came to its end in time."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        stations = list(self.desk.stations.values())
        for station in stations:
            station.stop()
        try:
            async with asyncio.timeout(self._limits.stop_s):
                await self.desk.settled()
        except TimeoutError:
            pass
        self.desk.events.end()
        await self._sockets.close()
        await self._runner.cleanup()
        ended = [await asyncio.to_thread(station.join, 0.5) for station in stations]
        return all(ended)

    async def run(self, ready: Callable[[], None]) -> bool:
        """From start to SIGTERM or SIGINT; `ready` is called once it listens. Whether every reader came to its end."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        await self.start()
        ready()
        await ended.wait()
        return await self.stop()

    async def _health(self, _request: web.Request) -> web.Response:
        status = "stopping" if self.stopping else "ok"
        told = {"status": status, "api_version": API_VERSION, "program": f"joren {version('joren')}", "readers": len(self.desk.stations)}
        return answer(told)

    async def _openapi(self, _request: web.Request) -> web.Response:
        return answer(document())

    def _handler(self, call: Call) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            given: dict[str, Any] = dict(request.match_info)
            if call.method == "POST":
                body = await self._body(request)
                twice = given.keys() & body.keys()
                if twice:
                    raise Problem("bad_request", f"{min(twice)}: it stands in the path", extra={"field": min(twice)})
                given |= body
            return answer(await self.desk.call(call.name, check(call.fields, given), Session()))

        return handle

    async def _body(self, request: web.Request) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._limits.request_s):
                data = await request.read()
        except TimeoutError:
            request.protocol.close()
            raise Problem("slow_request", f"the body did not arrive within {self._limits.request_s:g} s") from None
        return parsed(data) if data else {}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events (text/event-stream), until either side ends."""
        session = Session(leases={lease for lease in request.query.getall("lease", []) if lease})
        listener = self.desk.listen(session, request.headers.get("Last-Event-ID") or request.query.get("after"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        try:
            await response.prepare(request)
            await response.write(b": joren till\n\n")
            while True:
                try:
                    async with asyncio.timeout(self._limits.beat_s):
                        event = await listener.next()
                except TimeoutError:
                    await self._write(response, b":\n\n")
                    continue
                if event is None:
                    return response
                data = json.dumps({"id": event.id, **event.fields}, ensure_ascii=False)
                await self._write(response, f"id: {event.id}\nevent: {event.fields['event']}\ndata: {data}\n\n".encode())
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
            return response
        finally:
            self.desk.events.leave(listener)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._limits.send_s):
            await response.write(data)
