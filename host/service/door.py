"""Who may come in: calls of this machine's own programs, with the token, one JSON answer for whatever goes wrong."""

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from .problems import Problem, problem_of
from .secret import Token

__all__ = ["JSON", "Door", "Limits", "answer", "refusal"]

LOG = logging.getLogger("joren.till")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON = "application/json"
OPEN_PATHS = frozenset({"/v1/health", "/v1/openapi.json"})
HERE = frozenset({"127.0.0.1", "localhost", "::1"})
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "joren till"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client, and all together, may take: bytes, connections, calls, seconds."""

    body_max: int = 64 * 1024
    connections_max: int = 64
    calls_max: int = 16
    request_s: float = 10.0
    idle_s: float = 30.0
    send_s: float = 10.0
    hello_s: float = 10.0
    beat_s: float = 15.0
    stop_s: float = 10.0


def answer(body: Any, status: int = 200) -> web.Response:
    """One JSON object."""
    return web.Response(body=json.dumps(body, ensure_ascii=False).encode(), status=status, content_type=JSON, headers=HEADERS)


def refusal(problem: Problem) -> web.Response:
    """A problem, as an answer."""
    response = answer(problem.body, problem.status)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="joren till"'
    return response


class Door:
    """Checks every request before anything is done: Host, Origin, path, token. WebSockets may show their token in the first message."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def check_token(self, shown: object) -> None:
        """Raises Problem unless it is the token."""
        if shown is None:
            raise Problem("no_token", "the token is missing")
        if not (isinstance(shown, str) and self._token.fits(shown)):
            raise Problem("wrong_token", "this is not the token of this service")

    def shown(self, request: web.Request) -> str | None:
        """The token of the Authorization header."""
        kind, _, shown = request.headers.get("Authorization", "").partition(" ")
        return shown.strip() if kind.lower() == "bearer" else None

    def check(self, request: web.Request) -> None:
        """Raises Problem."""
        for name, url in (("Host", f"//{request.headers.get('Host', '')}"), ("Origin", request.headers.get("Origin"))):
            if url is not None and not _is_here(url):
                raise Problem("forbidden", f"{name}: this machine expected, another came")
        path = request.path
        if not path.startswith("/v1/"):
            version = path.split("/")[1]
            code = "wrong_version" if version[:1] == "v" and version[1:].isdigit() else "not_found"
            raise Problem(code, f"path {path!r:.80}: there is none")
        if path not in OPEN_PATHS and not (path == "/v1/ws" and "Authorization" not in request.headers):
            self.check_token(self.shown(request))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Checks the request, and makes every failure one JSON answer."""
        try:
            self.check(request)
            return await handler(request)
        except Problem as problem:
            return refusal(problem)
        except web.HTTPException as error:
            return refusal(_of_http(error, request))
        except Exception as error:
            LOG.exception("%s %s failed", request.method, request.match_info.route.resource)
            return refusal(problem_of(error))


def _is_here(url: str) -> bool:
    try:
        return urlsplit(url).hostname in HERE
    except ValueError:
        return False


def _of_http(error: web.HTTPException, request: web.Request) -> Problem:
    match error.status:
        case 405:
            return Problem("wrong_method", f"{request.method} is no method of {request.path!r:.80}")
        case 413:
            return Problem("too_large", "the body has more than 64 KiB")
        case 404:
            return Problem("not_found", f"path {request.path!r:.80}: there is none")
        case _:
            return Problem("bad_request", f"{error.reason}")
