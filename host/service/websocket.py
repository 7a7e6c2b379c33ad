"""The WebSocket: one connection, one session; calls and answers by number, events as they come.

How it works. The client says hello with the token, or shows it in the header, and is told the version. Then each message is a call,
answered when it is done, in whatever order; what it claimed is freed when the connection ends. A call is
{"id": 1, "call": "purchase", "with": {...}}, its answer {"id": 1, "ok": {...}} or {"id": 1, "problem": {...}}; an event has "event".
"""

import asyncio
import json
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from .calls import API_VERSION, CALLS
from .desk import Desk, Session
from .door import LOG, Door, Limits
from .fields import check
from .problems import Problem, problem_of

__all__ = ["WebSockets", "parsed"]

REFUSED_CLOSE, SLOW_CLOSE = WSCloseCode.POLICY_VIOLATION, WSCloseCode.TRY_AGAIN_LATER


def parsed(text: str | bytes) -> dict[str, Any]:
    """A JSON object. Raises Problem."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Problem("bad_json", "a JSON object expected, something else came") from None
    if not isinstance(value, dict):
        raise Problem("bad_json", f"a JSON object expected, a {type(value).__name__} came")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


class WebSockets:
    """All WebSocket connections of a service."""

    def __init__(self, desk: Desk, door: Door, limits: Limits) -> None:
        self._desk = desk
        self._door = door
        self._limits = limits
        self._open: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, from its hello to its end."""
        limits = self._limits
        socket = web.WebSocketResponse(max_msg_size=limits.body_max, heartbeat=limits.beat_s, timeout=2.0, compress=False)
        await socket.prepare(request)
        self._open.add(socket)
        session = Session()
        connection = _Connection(socket, request, self._desk, session, limits)
        try:
            if await self._hello(socket, request, session, connection):
                await connection.serve()
        finally:
            self._open.discard(socket)
            await asyncio.shield(self._desk.gone(session))
        return socket

    async def _hello(self, socket: web.WebSocketResponse, request: web.Request, session: Session, connection: "_Connection") -> bool:
        try:
            if "Authorization" not in request.headers:
                async with asyncio.timeout(self._limits.hello_s):
                    first = await socket.receive()
                if first.type is not WSMsgType.TEXT:
                    return False
                given = parsed(first.data)
                self._door.check_token(given.get("token"))
                version, client = given.get("version", API_VERSION), given.get("client", session.client)
                if version != API_VERSION:
                    raise Problem("wrong_version", f"version {version!r:.20} is asked for")
                if isinstance(client, str) and 0 < len(client) <= 64 and client.isprintable():
                    session.client = client
            await connection.send({"hello": "joren till", "version": API_VERSION, "readers": list(self._desk.stations)})
        except TimeoutError:
            await socket.close(code=REFUSED_CLOSE, message=b"no hello came in time")
            return False
        except Problem as problem:
            await connection.send({"id": None, "problem": problem.body})
            await socket.close(code=REFUSED_CLOSE, message=problem.code.encode())
            return False
        return True

    async def close(self) -> None:
        """The service stops."""
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the service is being stopped")


class _Connection:
    def __init__(self, socket: web.WebSocketResponse, request: web.Request, desk: Desk, session: Session, limits: Limits) -> None:
        self._socket = socket
        self._request = request
        self._desk = desk
        self._session = session
        self._limits = limits
        self._calls: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Calls and events, until the connection ends. Calls under way are given up then, as far as they can be."""
        listener = self._desk.listen(self._session)
        pump = asyncio.create_task(self._events(listener))
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data)
                elif message.type is WSMsgType.BINARY:
                    await self.send({"id": None, "problem": Problem("bad_json", "a text message expected, a binary one came").body})
        finally:
            self._desk.events.leave(listener)
            for task in (pump, *self._calls):
                task.cancel()
            await asyncio.gather(pump, *self._calls, return_exceptions=True)

    async def _take(self, text: str) -> None:
        number: Any = None
        try:
            message = parsed(text)
            number = message.get("id")
            if not (number is None or (isinstance(number, int | str) and len(str(number)) <= 64)):
                number = None
                raise Problem("bad_request", "id: a number or a short string expected", extra={"field": "id"})
            if len(self._calls) >= self._limits.calls_max:
                raise Problem("too_many", f"{self._limits.calls_max} calls of this client are under way")
            call, given = CALLS.get(str(message.get("call"))), message.get("with", {})
            if call is None:
                raise Problem("not_found", f"call {message.get('call')!r:.80}: there is none; there are: {', '.join(CALLS)}")
            if not isinstance(given, dict):
                raise Problem("bad_request", "with: an object of the call's fields expected", extra={"field": "with"})
            checked = check(call.fields, given)
        except Problem as problem:
            await self.send({"id": number, "problem": problem.body})
            return
        task = asyncio.create_task(self._do(call.name, checked, number))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _do(self, name: str, given: dict[str, Any], number: Any) -> None:
        try:
            told = {"id": number, "ok": await self._desk.call(name, given, self._session)}
        except Exception as error:
            if not isinstance(error, Problem):
                LOG.exception("call %s failed", name)
            told = {"id": number, "problem": problem_of(error).body}
        await self.send(told)

    async def _events(self, listener: Any) -> None:
        while (event := await listener.next()) is not None:
            await self.send({"id": event.id, **event.fields})
        if listener.too_slow:
            await self._socket.close(code=SLOW_CLOSE, message=b"too slow for the events")

    async def send(self, told: dict[str, Any]) -> None:
        """One message; a client that does not take it in time is cut off."""
        try:
            async with asyncio.timeout(self._limits.send_s):
                await self._socket.send_str(json.dumps(told, ensure_ascii=False))
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
        except ConnectionError:
            with suppress(ConnectionError):
                await self._socket.close()
