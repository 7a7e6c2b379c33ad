"""The OpenAPI 3.1 document of the till service, from the tables that the service itself goes by."""

from typing import Any

from .calls import API_VERSION, CALLS, Call
from .fields import schema
from .problems import CODES
from .shapes import SCHEMAS

__all__ = ["ANY_CALL", "document"]

ANY_CALL = (
    "bad_json",
    "bad_request",
    "no_token",
    "wrong_token",
    "forbidden",
    "slow_request",
    "too_large",
    "too_many",
    "internal",
    "stopping",
)
"""What any call may fail with."""
INTRODUCTION = """\
Sells through smart cards at the readers of this machine. All times are UTC but for `time`, which is local; money is in minor units.

Every sale has a `reference` of the client's own. The same reference again gives the same sale's result and never a second sale, so after
anything that went wrong the same call is made again, or GET /v1/sales/{reference} is asked.

Over WebSocket the same calls go through one connection, GET /v1/ws. The first message is {"token": "...", "version": 1, "client": "till 3"}
(or the token is in the Authorization header), the answer {"hello": "joren till", "version": 1, "readers": [...]}. A call is
{"id": 1, "call": "purchase", "with": {...}}, its answer {"id": 1, "ok": {...}} or {"id": 1, "problem": {...}}; calls are named by
operationId, and `with` has the fields of path and body. Events come in between, with the fields of the schema Event. Readers that a
connection claimed are free again when it ends.

Version 1 changes by new calls, new fields in answers, and new fields that may be left out in requests; anything else is another version.
"""


def document() -> dict[str, Any]:
    """The document."""
    paths: dict[str, Any] = {
        "/v1/health": {"get": _plain("health", "Whether the service is there; no token needed", "Health")},
        "/v1/openapi.json": {"get": _plain("openapi", "This document; no token needed", None)},
        "/v1/events": {"get": _events()},
        "/v1/ws": {"get": _socket()},
    }
    for call in CALLS.values():
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "joren till service",
            "version": f"{API_VERSION}.0.0",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:{port}", "variables": {"port": {"default": "7413"}}}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "the content of the token file"}},
        },
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _problems(codes: tuple[str, ...]) -> dict[str, Any]:
    by_status: dict[int, list[str]] = {}
    for code in CODES:
        if code in codes:
            by_status.setdefault(CODES[code].status, []).append(f"`{code}`: {CODES[code].when}")
    return {str(status): {"description": "; ".join(told), "content": _json("Problem")} for status, told in sorted(by_status.items())}


def _operation(call: Call) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": call.name, "summary": call.text, "tags": ["simulation" if call.simulation else "till"]}
    if call.in_path:
        told["parameters"] = [
            {"name": field.name, "in": "path", "required": True, "description": field.text, "schema": field.schema}
            for field in call.in_path
        ]
    if call.method == "POST":
        required = any(field.required for field in call.in_body)
        told["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema(call.in_body)}}}
    done = {"200": {"description": "done", "content": _json(call.answer)}}
    return told | {"responses": done | _problems((*ANY_CALL, *call.codes))}


def _plain(name: str, text: str, answer: str | None) -> dict[str, Any]:
    content = _json(answer) if answer else {"application/json": {"schema": {"type": "object"}}}
    responses = {"200": {"description": "done", "content": content}} | _problems(("forbidden", "internal"))
    return {"operationId": name, "summary": text, "tags": ["service"], "security": [], "responses": responses}


def _events() -> dict[str, Any]:
    lease = {
        "name": "lease",
        "in": "query",
        "description": "a lease whose events are wanted too; may be repeated",
        "schema": {"type": "string"},
    }
    after = {"name": "after", "in": "query", "description": "also what came since the event of this id", "schema": {"type": "string"}}
    text = "Server-sent events: the `data` of each is one object of the schema Event, of free readers and of those whose lease is named"
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    responses = {"200": {"description": text, "content": stream}} | _problems(("no_token", "wrong_token", "forbidden", "internal"))
    summary = "What happens at the readers, as it happens"
    return {"operationId": "events", "summary": summary, "tags": ["till"], "parameters": [lease, after], "responses": responses}


def _socket() -> dict[str, Any]:
    responses = {"101": {"description": "the WebSocket"}} | _problems(("bad_request", "wrong_token", "forbidden", "internal"))
    summary = "All calls and events over one WebSocket, as the introduction says"
    return {"operationId": "websocket", "summary": summary, "tags": ["till"], "security": [{}, {"token": []}], "responses": responses}
