"""The card line protocol, both sides: a served card answers as the card itself, and a bad peer of either side is told, never trusted."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO

import pytest

from joren.apdu import AID_CUSTOMER, AID_SHOP, CLA_ISO, Command, Ins, LinkLost, Response, aid
from joren.apdu.cardline import APDU_MAX, LINE_MAX, BadLine, decode_line, encode_line, hex_field, number_field
from joren.applet.customer import CustomerCard
from joren.applet.platform import Platform
from joren.host import CardFault, HostError
from joren.host.cardline import CardLine, PowerLost, can_of, connect, in_process, spawn
from joren.simulator.cardserver import CardServer, fresh_chip, listen, serve, serve_stream
from joren.simulator.chip import IDEAL, Program

SELECT = Command(CLA_ISO, Ins.SELECT, 4, 0x0C, aid(AID_CUSTOMER, 1), 26)
STORE = Command(0x80, Ins.STORE_DATA, 0x08, 0, bytes.fromhex("0101 0A 00000000000A11CE 0001"))
AN_APDU = '{"do":"apdu","command":"00A4"}'


@contextmanager
def served(server: CardServer) -> Iterator[int]:
    """The port of a card server that runs in a thread."""
    listening = listen()
    thread = threading.Thread(target=serve, args=(server, listening))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def local(server: CardServer) -> CardLine:
    server.begin()
    return in_process(server.answer, "here", server.end)


def test_a_served_card_answers_as_the_card_itself() -> None:
    chip = fresh_chip("customer", b"seed", IDEAL)
    chip.power_on()
    expected = [chip.process(SELECT), chip.process(STORE), chip.process(SELECT)]
    with served(CardServer()) as port, connect("127.0.0.1", port) as line:
        hello = line.hello()
        assert (hello.name, hello.atr) == ("joren model", b"")
        assert hello.can >= {"apdu", "reset", "fresh", "tear", "snapshot", "restore", "info", "raw", "seeded"}
        assert line.fresh("customer", b"seed") == IDEAL.atr
        assert [line.transmit(SELECT), line.transmit(STORE), line.transmit(SELECT)] == expected
        assert line.reset() == IDEAL.atr
        assert line.transmit(Command(0x80, Ins.GET_STATE, 0, 0, ne=40)).sw == 0x6985
        assert line.exchange(b"\x00\xa4") == b"\x67\x00"


def test_connections_come_one_after_the_other_and_end_the_session() -> None:
    server = CardServer(fresh_chip("customer", b"", IDEAL))
    with served(server) as port:
        with connect("127.0.0.1", port) as line:
            assert line.hello().atr == IDEAL.atr
            assert line.transmit(SELECT).ok
            name = line.snapshot()
            line.tear(1)
        with connect("127.0.0.1", port) as line:
            assert line.transmit(STORE).sw == 0x6985
            assert line.transmit(SELECT).ok
            assert line.transmit(STORE).ok
            with pytest.raises(HostError, match="bad_request"):
                line.restore(name)


def test_power_that_goes_comes_back_at_a_reset() -> None:
    with local(CardServer()) as line:
        line.fresh("customer", b"")
        assert line.transmit(SELECT).ok
        before = line.info()["writes"]
        line.tear(2)
        for _ in range(2):
            with pytest.raises(PowerLost):
                line.transmit(STORE)
        with pytest.raises(CardFault, match="reset it first"):
            line.snapshot()
        line.reset()
        assert line.info()["writes"] == before + 1
        assert line.transmit(SELECT).data[6:14] == bytes(8)
        line.tear(1)
        line.tear(0, keep_non_atomic=True)
        assert line.transmit(STORE).ok


def test_a_snapshot_is_put_back() -> None:
    with local(CardServer()) as line:
        line.fresh("customer", b"")
        name = line.snapshot()
        line.transmit(SELECT)
        assert line.transmit(STORE).ok
        line.restore(name)
        assert line.transmit(STORE).sw == 0x6985
        assert line.transmit(SELECT).data[6:14] == bytes(8)
        line.fresh("customer", b"")
        with pytest.raises(HostError, match="snapshot"):
            line.restore(name)


@pytest.mark.parametrize(
    ("kind", "instance", "sw"),
    [
        ("customer", aid(AID_CUSTOMER, 1), 0x9000),
        ("shop", aid(AID_SHOP, 1), 0x9000),
        ("managed", b"", 0x9000),
        ("managed", aid(AID_SHOP, 1), 0x6A82),
    ],
)
def test_kinds_of_fresh_cards(kind: str, instance: bytes, sw: int) -> None:
    with local(CardServer()) as line:
        line.fresh(kind, b"\1\2")
        assert line.transmit(Command(CLA_ISO, Ins.SELECT, 4, 0x0C, instance, 256)).sw == sw


def test_other_applets_than_the_models_can_be_served() -> None:
    made: list[bytes] = []

    class Own(CustomerCard):
        def __init__(self, platform: Platform, name: bytes) -> None:
            made.append(name)
            super().__init__(platform, name)

    fresh_chip("customer", b"", IDEAL, Program("own", {CustomerCard: Own}))
    assert set(made) == {aid(AID_CUSTOMER, 1)}
    with pytest.raises(ValueError, match="kind"):
        fresh_chip("other", b"", IDEAL)


def test_what_a_command_wrote_is_kept_before_its_answer_goes() -> None:
    kept: list[str] = []
    server = CardServer(fresh_chip("customer", b"", IDEAL), kept=lambda: kept.append("kept"))
    with local(server) as line:
        line.transmit(SELECT)
        assert kept == []
        line.transmit(STORE)
        line.tear(2)
        line.transmit(SELECT)
        with pytest.raises(PowerLost):
            line.transmit(STORE)
        assert kept == ["kept", "kept"]


def test_a_card_that_is_somebodys_is_no_test_target() -> None:
    with local(CardServer(fresh_chip("customer", b"", IDEAL), maker=None)) as line:
        assert line.hello().can == {"apdu", "raw", "reset", "info"}
        for ask in (lambda: line.fresh("customer", b""), lambda: line.tear(1), line.snapshot, lambda: line.restore("1")):
            with pytest.raises(HostError, match="not_supported"):
                ask()
        assert line.transmit(SELECT).ok


def test_no_card_is_in() -> None:
    with local(CardServer(maker=None)) as line:
        assert line.info()["features"] == []
        with pytest.raises(LinkLost, match="no card is in"):
            line.reset()


def test_a_profile_that_can_not_be_is_told() -> None:
    with local(CardServer()) as line:
        with pytest.raises(HostError, match="not_supported"):
            line.fresh("customer", b"", "no-such-profile")
        line.fresh("customer", b"", "feitian-a40")
        assert "extended" not in can_of(line.info())
        line.fresh("customer", b"")
        assert can_of(line.info()) >= {"channels", "extended"}
    assert can_of({"features": "channels"}) == frozenset()


BAD_REQUESTS = [
    ("not JSON", b"apdu\n", "bad_request"),
    ("not UTF-8", b'{"do":"\xff"}\n', "bad_request"),
    ("deep", b"[" * 100_000 + b"\n", "bad_request"),
    ("a list", b"[1]\n", "bad_request"),
    ("no do", b"{}\n", "bad_request"),
    ("do is a number", b'{"do":1}\n', "bad_request"),
    ("unknown", b'{"do":"fly"}\n', "not_supported"),
    ("no command", b'{"do":"apdu"}\n', "bad_request"),
    ("no hexadecimal", b'{"do":"apdu","command":"0G"}\n', "bad_request"),
    ("odd", b'{"do":"apdu","command":"000"}\n', "bad_request"),
    ("long", json.dumps({"do": "apdu", "command": "00" * (APDU_MAX + 1)}).encode() + b"\n", "too_long"),
    ("version", b'{"do":"hello","version":"1"}\n', "bad_request"),
    ("kind", b'{"do":"fresh","kind":"bank"}\n', "bad_request"),
    ("seed", b'{"do":"fresh","seed":"' + b"00" * 65 + b'"}\n', "bad_request"),
    ("tear below", b'{"do":"tear","after":-1}\n', "bad_request"),
    ("tear true", b'{"do":"tear","after":true}\n', "bad_request"),
    ("tear keep", b'{"do":"tear","after":1,"keep_non_atomic":1}\n', "bad_request"),
    ("restore", b'{"do":"restore","snapshot":"9"}\n', "bad_request"),
]


@pytest.mark.parametrize(("line", "error"), [row[1:] for row in BAD_REQUESTS], ids=[row[0] for row in BAD_REQUESTS])
def test_a_bad_request_is_told_and_changes_nothing(line: bytes, error: str) -> None:
    chip = fresh_chip("customer", b"", IDEAL)
    server = CardServer(chip)
    server.begin()
    before = chip.snapshot()
    reply = decode_line(server.answer(line))
    assert (reply["ok"], reply["error"]) == (False, error)
    assert chip.snapshot() == before
    assert decode_line(server.answer(encode_line({"do": "apdu", "command": SELECT.encode().hex()})))["ok"]


def test_snapshots_are_bounded_and_a_fault_of_the_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with local(CardServer()) as line:
        line.fresh("customer", b"")
        for _ in range(256):
            line.snapshot()
        with pytest.raises(CardFault, match="at most 256"):
            line.snapshot()

    def broken(*_arguments: object) -> None:
        raise RuntimeError("broken")

    chip = fresh_chip("customer", b"", IDEAL)
    server = CardServer(chip)
    server.begin()
    monkeypatch.setattr(type(chip), "process_bytes", broken)
    assert decode_line(server.answer(AN_APDU.encode()))["error"] == "failed"


def test_streams_end_at_the_end_of_input_and_at_a_line_that_is_too_long() -> None:
    chip = fresh_chip("customer", b"", IDEAL)
    for sent, replies in (
        (b'{"do":"info"}\n' * 2, 2),
        (b'{"do":"info"}\n{"do":"info"}', 2),
        (b'{"do":"info"}\n' + b"x" * (LINE_MAX + 1) + b'\n{"do":"info"}\n', 2),
        (b"", 0),
    ):
        out = BytesIO()
        serve_stream(CardServer(chip), BytesIO(sent), out)
        assert out.getvalue().count(b"\n") == replies
    assert b"too_long" not in out.getvalue()


def test_a_host_that_goes_away_does_not_stop_the_server() -> None:
    with served(CardServer(fresh_chip("customer", b"", IDEAL))) as port:
        for sent in (b"", b'{"do":', b'{"do":"info"}\n' * 50):
            with socket.create_connection(("127.0.0.1", port)) as rude:
                rude.sendall(sent)
        with connect("127.0.0.1", port) as line:
            assert line.transmit(SELECT).ok


@contextmanager
def peer(act: Callable[[socket.socket], None]) -> Iterator[CardLine]:
    """A connection to a card server that does as it likes."""
    listening = listen()

    def run() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(4096)
            act(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with connect("127.0.0.1", listening.getsockname()[1], timeout_s=0.3) as line:
            yield line
    finally:
        thread.join()
        listening.close()


def wait_for_the_end(connection: socket.socket) -> None:
    connection.recv(1)


def drip(connection: socket.socket) -> None:
    """A byte now and then, for ever."""
    connection.settimeout(0.05)
    while True:
        connection.sendall(b" ")
        with suppress(TimeoutError):
            if not connection.recv(1):
                return


def says(text: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        connection.sendall(text)
        connection.recv(1)

    return act


BAD_SERVERS: list[tuple[str, Callable[[socket.socket], None], type[Exception], str]] = [
    ("hangs", wait_for_the_end, LinkLost, "no answer within 0.3 s"),
    ("drips", drip, LinkLost, "no answer within 0.3 s"),
    ("goes away", lambda _connection: None, LinkLost, "went away"),
    ("no end", says(b"x" * (LINE_MAX + 100_000)), CardFault, "a longer one came"),
    ("nonsense", says(b"9000\n"), CardFault, "a JSON object expected"),
    ("no JSON", says(b"\xff\xfe\n"), CardFault, "JSON"),
    ("two replies", says(b'{"ok":true,"response":"9000"}\n{}\n'), CardFault, "more came"),
    ("no response", says(b'{"ok":true}\n'), CardFault, "response"),
    ("no hexadecimal", says(b'{"ok":true,"response":"90OO"}\n'), CardFault, "hexadecimal"),
    ("an answer too long", says(b'{"ok":true,"response":"' + b"00" * 65539 + b'"}\n'), CardFault, "at most 65538"),
    ("an answer too short", says(b'{"ok":true,"response":"90"}\n'), CardFault, "2..65538 bytes"),
    ("no code", says(b'{"ok":false}\n'), CardFault, "error"),
    ("an unknown code", says(b'{"ok":false,"error":"tired"}\n'), CardFault, "tired"),
    ("its own fault", says(b'{"ok":false,"error":"failed","message":"out of paper"}\n'), CardFault, "out of paper"),
    ("no card", says(b'{"ok":false,"error":"no_card"}\n'), LinkLost, "no card is in"),
    ("not ok", says(b'{"ok":1,"error":"not_supported"}\n'), HostError, "not_supported"),
]


@pytest.mark.parametrize(("act", "error", "match"), [row[1:] for row in BAD_SERVERS], ids=[row[0] for row in BAD_SERVERS])
def test_a_bad_server_is_told_by_its_fault(act: Callable[[socket.socket], None], error: type[Exception], match: str) -> None:
    with peer(act) as line, pytest.raises(error, match=match):
        line.transmit(SELECT)


def test_after_a_reply_that_is_lost_there_is_no_connection() -> None:
    with peer(wait_for_the_end) as line:
        for _ in range(2):
            with pytest.raises(LinkLost):
                line.reset()


@pytest.mark.parametrize(
    ("reply", "error", "match"),
    [
        ({"ok": True, "version": 2, "name": "n", "can": []}, HostError, "update the older side"),
        ({"ok": True, "version": 1, "name": "n", "can": "apdu"}, CardFault, "a list of texts"),
        ({"ok": True, "version": 1, "name": 7, "can": []}, CardFault, "name"),
        ({"ok": True, "name": "n", "can": []}, CardFault, "version"),
    ],
)
def test_a_greeting_that_can_not_be_is_told(reply: dict[str, object], error: type[Exception], match: str) -> None:
    line = in_process(lambda _request: encode_line(reply), "here")
    with pytest.raises(error, match=match):
        line.hello()
    with pytest.raises(LinkLost):
        line.hello()


def test_no_server_is_there() -> None:
    with listen() as listening:
        port = listening.getsockname()[1]
    with pytest.raises(LinkLost, match="is it running"):
        connect("127.0.0.1", port)
    with pytest.raises(LinkLost, match="can not be reached"):
        connect("127.0.0.1", 1 << 20)


PROGRAM = """
import sys
from joren.simulator.cardserver import CardServer, serve_stream
serve_stream(CardServer(), sys.stdin.buffer, sys.stdout.buffer)
"""


def test_a_program_serves_a_card_over_its_streams() -> None:
    with spawn([sys.executable, "-c", PROGRAM]) as line:
        line.hello()
        line.fresh("customer", b"")
        assert line.transmit(SELECT).ok
    with pytest.raises(HostError, match="can not be run"):
        spawn(["/no/such/program"])
    with spawn([sys.executable, "-c", "raise SystemExit(3)"]) as line, pytest.raises(LinkLost, match="went away"):
        line.hello()
    stubborn = "import time, os\nos.write(1, b'{}')\nwhile True: time.sleep(9)"
    with spawn([sys.executable, "-c", stubborn], timeout_s=0.2) as line, pytest.raises(LinkLost, match="no answer"):
        line.hello()


def test_fields_are_read_strictly() -> None:
    assert number_field({}, "n", 0, 9, 3) == 3
    with pytest.raises(BadLine, match="at most 1 bytes"):
        hex_field({"x": "0000"}, "x", 1)
    with pytest.raises(BadLine, match=r"\.\.\. came"):
        number_field({"n": "x" * 99}, "n", 0, 9)
    assert Response.decode(b"\x90\x00").ok
