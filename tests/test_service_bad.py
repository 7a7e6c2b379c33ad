"""What clients do wrong hurts nobody else: half a message, too much, no token, another origin, a connection too many, a slow reader."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from joren.host.service.calls import CALLS
from joren.host.service.door import Limits
from joren.host.service.problems import CODES
from servicekit import TOKEN, Kit, checked, serving
from support import free_of_pin

QUICK = Limits(request_s=0.2, idle_s=0.2, hello_s=0.2, beat_s=0.1, send_s=0.2)
HEAD = f"POST /v1/purchase HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
PURCHASE = {"reference": "S-1", "amount_minor": 100, "wait_seconds": 0}


def with_service(tmp_path: Path, test: Callable[[Kit], Awaitable[None]], limits: Limits | None = None) -> None:
    """Runs a test on a service with one reader, and then sees that it still serves."""

    async def both() -> None:
        async with serving(tmp_path, "left", limits=limits) as kit:
            await test(kit)
            while kit.desk.leases.of("left"):
                await asyncio.sleep(0)
            kit.counter.put("left", free_of_pin())
            assert (await kit.call("purchase", reference="last", amount_minor=100))[0] == 200

    asyncio.run(both())


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"{", "bad_json"),
    (b"[]", "bad_json"),
    (b"\xff\xfe", "bad_json"),
    (b'{"reference": NaN}', "bad_json"),
    (b"[" * 60_000, "bad_json"),
    (b'{"amount_minor": ' + b"9" * 60_000 + b"}", "bad_json"),
    (b"", "bad_request"),
    (b'{"reference": "S-1"}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": 1, "tip": 1}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": "1"}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": true}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": 1.5}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": -1}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": 4294967296}', "bad_request"),
    (b'{"reference": "", "amount_minor": 1}', "bad_request"),
    (b'{"reference": "\\ud800", "amount_minor": 1}', "bad_request"),
    (b'{"reference": "a\\nb", "amount_minor": 1}', "bad_request"),
    (b'{"reference": ["S-1"], "amount_minor": 1}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": 1, "pay": 1}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": 1, "time": "half past nine"}', "bad_request"),
    (b'{"reference": "S-1", "amount_minor": 1, "reader": "right"}', "unknown_reader"),
    (b'{"reference": "S-1", "amount_minor": 1, "lease": "none"}', "lease_over"),
    (b"{" + b" " * 70_000 + b"}", "too_large"),
]


def test_a_body_that_can_not_be_is_named(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        for body, code in BAD_BODIES:
            status, told = await kit.ask("POST", "/v1/purchase", data=body)
            assert (status, told["error"]) == (CODES[code].status, code), body[:60]

    with_service(tmp_path, bad)


def test_who_has_no_token_or_another_one_or_comes_from_elsewhere_gets_nothing(tmp_path: Path) -> None:
    rows: list[tuple[dict[str, str], str]] = [
        ({}, "no_token"),
        ({"Authorization": "Bearer"}, "wrong_token"),
        ({"Authorization": "Basic Og=="}, "no_token"),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, "wrong_token"),
        ({"Authorization": "Bearer \u00fc"}, "wrong_token"),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "shop.example:7413"}, "forbidden"),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1.example"}, "forbidden"),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://shop.example"}, "forbidden"),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "null"}, "forbidden"),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://[::1"}, "forbidden"),
    ]

    async def bad(kit: Kit) -> None:
        for headers, code in rows:
            for method, path in (("GET", "/v1/readers"), ("POST", "/v1/purchase"), ("GET", "/v1/sales/S-1")):
                status, told = await kit.ask(method, path, {} if method == "POST" else None, headers)
                assert (status, told["error"]) == (CODES[code].status, code), headers
        for host in ("localhost", "[::1]:80", "127.0.0.1"):
            headers = {"Authorization": f"bearer {TOKEN}", "Host": host, "Origin": "http://localhost:3000"}
            assert (await kit.ask("GET", "/v1/readers", None, headers))[0] == 200
        assert (await kit.ask("GET", "/v1/health", None, {}))[1]["status"] == "ok"
        assert (await kit.ask("GET", "/v1/openapi.json", None, {}))[1]["openapi"] == "3.1.0"

    with_service(tmp_path, bad)


def test_other_paths_methods_and_versions_are_told(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        for method, path, code in (
            ("GET", "/", "not_found"),
            ("GET", "/v1/", "not_found"),
            ("GET", "/v1/nothing", "not_found"),
            ("GET", "/v2/readers", "wrong_version"),
            ("GET", "/version/readers", "not_found"),
            ("GET", "/v1/purchase", "wrong_method"),
            ("POST", "/v1/readers", "wrong_method"),
        ):
            status, told = await kit.ask(method, path)
            assert (status, told["error"]) == (CODES[code].status, code), path
        status, told = await kit.ask("POST", "/v1/readers/left/claim", {"reader": "left"})
        assert (status, told["field"]) == (400, "reader")
        status, told = await kit.ask("GET", "/v1/ws")
        assert (status, told["error"]) == (400, "bad_request")

    with_service(tmp_path, bad)


async def raw(kit: Kit, data: bytes) -> bytes:
    """All that comes back for bytes on a connection that stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", kit.service.port)
    try:
        writer.write(data)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def test_half_a_request_is_not_waited_for(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        assert await raw(kit, b"") == b""
        assert await raw(kit, HEAD) == b""
        answer = await raw(kit, HEAD + b'Content-Length: 100\r\n\r\n{"reference": "S-1", ')
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "slow_request"
        assert (await raw(kit, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.0 400 ")
        assert b"Traceback" not in await raw(kit, b"GET /v1/health HTTP/1.1\r\nHost: " + b"x" * 9_000 + b"\r\n\r\n")

    with_service(tmp_path, bad, QUICK)


def test_a_connection_too_many_is_told_so(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        async with kit.websocket(), kit.websocket():
            answer = await raw(kit, b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 503 ")
            told = json.loads(answer.partition(b"\r\n\r\n")[2])
            checked({"$ref": "#/components/schemas/Problem"}, told)
            assert told["error"] == "too_many"

    with_service(tmp_path, bad, Limits(connections_max=2))


BAD_MESSAGES: list[tuple[str, str]] = [
    ("{", "bad_json"),
    ("[1]", "bad_json"),
    ('{"id": {}, "call": "readers"}', "bad_request"),
    ('{"id": 1, "call": "nothing"}', "not_found"),
    ('{"id": 1, "call": ["readers"]}', "not_found"),
    ('{"id": 1}', "not_found"),
    ('{"id": 1, "call": "readers", "with": []}', "bad_request"),
    ('{"id": 1, "call": "readers", "with": {"a": 1}}', "bad_request"),
    ('{"id": 1, "call": "outcome", "with": {}}', "bad_request"),
]


def test_messages_that_can_not_be_are_answered_and_the_connection_lives(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        async with kit.websocket() as client:
            for text, code in BAD_MESSAGES:
                await client.socket.send_str(text)
                told = await client.receive()
                checked({"$ref": "#/components/schemas/Problem"}, told["problem"])
                assert told["problem"]["error"] == code, text
            await client.socket.send_bytes(b"{}")
            assert (await client.receive())["problem"]["error"] == "bad_json"
            assert (await client.call("readers"))[0]
            await client.socket.send_str("x" * 70_000)
            told_end = await client.socket.receive(timeout=10)
            assert (told_end.type, told_end.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.MESSAGE_TOO_BIG)

    with_service(tmp_path, bad)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        ({"token": "wrong"}, "wrong_token"),
        ({"token": None}, "no_token"),
        ({"token": 7}, "wrong_token"),
        ({}, "no_token"),
        ([], "bad_json"),
        ({"token": TOKEN, "version": 2}, "wrong_version"),
    ],
)
def test_a_hello_that_is_not_good_ends_the_connection(tmp_path: Path, hello: Any, code: str) -> None:
    async def bad(kit: Kit) -> None:
        async with kit.client.ws_connect(f"{kit.service.url}/v1/ws") as socket:
            await socket.send_json(hello)
            told = await socket.receive_json(timeout=10)
            checked({"$ref": "#/components/schemas/Problem"}, told["problem"])
            assert told["problem"]["error"] == code
            assert (await socket.receive(timeout=10)).data == aiohttp.WSCloseCode.POLICY_VIOLATION

    with_service(tmp_path, bad)


def test_a_hello_in_the_header_or_none_or_none_in_time(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        url = f"{kit.service.url}/v1/ws"
        async with kit.client.ws_connect(url, headers=kit.headers) as socket:
            assert (await socket.receive_json(timeout=10))["readers"] == ["left"]
        async with kit.client.ws_connect(url) as socket:
            assert (await socket.receive(timeout=10)).data == aiohttp.WSCloseCode.POLICY_VIOLATION
        async with kit.client.ws_connect(url) as socket:
            await socket.send_bytes(b"{}")
            assert (await socket.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE
        for headers in ({"Authorization": "Bearer no"}, {**kit.headers, "Origin": "https://shop.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await kit.client.ws_connect(url, headers=headers)
            assert refused.value.status in (401, 403)

    with_service(tmp_path, bad, QUICK)


def test_a_client_with_too_many_calls_at_once_is_told(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        async with kit.websocket() as client:
            await client.call("claim", reader="left")
            for number in range(3):
                await client.send("purchase", reference=f"S-{number}", amount_minor=1)
            told = await client.receive()
            assert told["problem"]["error"] == "too_many"

    with_service(tmp_path, bad, Limits(calls_max=2))


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    """Its socket is full: what can not be sent in time ends the connection, and the others get their events."""

    async def bad(kit: Kit) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", kit.service.port, limit=1024)
        writer.write(f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        server = kit.service.connections
        assert server == 1
        async with asyncio.timeout(20):
            while kit.service.connections:
                kit.desk.tell("left", "card_out", {"problem": {"message": "x" * 100_000}})
                await asyncio.sleep(0)
        writer.close()

    with_service(tmp_path, bad, QUICK)


def test_whoever_is_too_slow_for_the_events_is_told_at_the_websocket(tmp_path: Path) -> None:
    async def bad(kit: Kit) -> None:
        async with kit.websocket() as client:
            for _ in range(300):
                kit.desk.tell("left", "card_out", {})
            while (message := await client.socket.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert message.data == aiohttp.WSCloseCode.TRY_AGAIN_LATER

    with_service(tmp_path, bad)


def test_bytes_that_are_no_request_are_not_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A body that is longer than its Content-Length is half of it a second request, which is none."""

    async def longer(kit: Kit) -> None:
        told = await raw(kit, HEAD + b'Content-Length: 22\r\n\r\n{"reference": "S-1", {"pin": "48213975"}\r\n\r\n')
        assert b"HTTP/1.0 400 " in told

    with_service(tmp_path, longer)
    (record,) = [record for record in caplog.records if record.name == "joren.till.http"]
    assert record.getMessage().startswith("Error handling request from 127.0.0.1")
    assert "48213975" not in caplog.text


def test_a_fault_of_the_program_is_logged_and_told_without_its_traces(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def bad(kit: Kit) -> None:
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(kit.desk, "_find", None)
            for status, told in (await kit.call("purchase", **PURCHASE), await kit.call("outcome", reference="S-9")):
                assert (status, told["error"], told["message"]) == (500, "internal", "the service failed in this call")
            async with kit.websocket() as client:
                assert (await client.call("outcome", reference="S-9"))[1]["error"] == "internal"

    with_service(tmp_path, bad)
    assert "TypeError" in caplog.text


def test_every_call_may_fail_as_its_row_says() -> None:
    assert {code for call in CALLS.values() for code in call.codes} <= CODES.keys()
