"""joren card serve, as a user types it, with a driver that the test plays: orders reach it, and images follow what cards do."""

import json
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from joren.apdu import AID_CUSTOMER, Command, LinkLost, Response, aid
from joren.cli import main
from joren.commands import serving
from joren.commands.orders import OrderSocket, send_order
from joren.commands.workspace import Workspace
from joren.host import HostError, Slot, cardline, run
from joren.host.selecting import select_customer
from joren.simulator.image import load_image
from vpcdkit import SOON, Driver

INSTANCE = aid(AID_CUSTOMER, 1)
SELECT = bytes((0, 0xA4, 4, 0, len(INSTANCE))) + INSTANCE + b"\x00"
VERIFY_WRONG = bytes.fromhex("0020008108") + b"9999\xff\xff\xff\xff"


class Server:
    """`joren card serve ... --json` as a process, and what it tells."""

    def __init__(self, home: Path, *words: str) -> None:
        command = [sys.executable, "-m", "joren.cli", "--home", str(home), "card", "serve", "--json", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        told = json.loads(line)
        assert told["format"] == "joren-card-serve"
        assert isinstance(told, dict)
        return told

    def event(self) -> tuple[str, str]:
        told = self.next()
        return told["name"], told["event"]

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(by)
            self.process.communicate(timeout=30)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return self.process.returncode


class Shop:
    """A workspace with alice's card, bakery's, and a driver with two slots."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.home = folder / "home"
        self.stack = stack
        pins = folder / "pins"
        pins.write_text("4711\n12345678\n", encoding="ascii")
        self.run("card", "new", "alice", "--pin-file", str(pins))
        self.run("shop", "new", "bakery")

    def run(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["--home", str(self.home), *words])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> dict[str, Any]:
        told = json.loads(self.run(*words, "--json", code=code).stdout)
        assert isinstance(told, dict)
        return told

    def serve(self, *words: str) -> Server:
        server = Server(self.home, *words)
        self.stack.callback(server.end, signal.SIGKILL)
        return server

    def image(self, name: str = "alice") -> Path:
        return self.home / "cards" / f"{name}.json"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(tmp_path, stack)


@pytest.fixture
def driver() -> Iterator[Driver]:
    with closing(Driver()) as driver:
        yield driver


@contextmanager
def answering(driver: Driver) -> Iterator[None]:
    """Takes the next card and looks at it, while a command waits for that."""

    def look() -> None:
        driver.accept()
        driver.look()

    thread = threading.Thread(target=look)
    thread.start()
    yield
    thread.join(SOON)


def neighbours() -> tuple[Driver, Driver]:
    """Two slots at neighbouring ports."""
    while True:
        first = Driver()
        try:
            return first, Driver(first.port.port + 1)
        except OSError:
            first.close()


def wait_for_socket(folder: Path, name: str) -> None:
    """Until a server takes orders for a card."""
    while True:
        try:
            send_order(folder, name, {"order": "state"})
        except HostError:
            continue
        return


@pytest.fixture
def served(shop: Shop, driver: Driver) -> Server:
    """alice's card is in the driver's slot."""
    server = shop.serve("alice", "--port", str(driver.port.port))
    driver.accept()
    driver.look()
    assert server.event() == ("alice", "inserted")
    return server


def counter(driver: Driver) -> int:
    """How many transactions the card in the slot has had."""

    def transmit(command: Command) -> Response:
        return Response.decode(driver.ask(command.encode()))

    return run(select_customer(1), {Slot.CUSTOMER: transmit}).counter


def test_orders_from_another_command_line(shop: Shop, driver: Driver, served: Server) -> None:
    """The card leaves its reader, is used elsewhere, and comes back as it is then."""
    where = {"name": "alice", "kind": "customer card", "reader": str(driver.port)}
    order = {"format": "joren-card-order", "version": 1, **where}
    assert shop.json("card", "readers")["readers"] == [{**where, "state": "in"}]
    assert counter(driver) == 0
    assert shop.json("card", "remove", "alice") == {**order, "state": "out"}
    assert driver.card_went()
    assert served.event() == ("alice", "removed")
    assert shop.run("card", "readers").stdout.split()[-1] == "out"
    shop.run("tap", "alice", "12.50")
    assert shop.json("card", "remove", "alice")["state"] == "out"
    shop.stack.enter_context(answering(driver))
    assert shop.json("card", "tap", "alice") == {**order, "state": "in"}
    assert served.event() == ("alice", "inserted")
    assert counter(driver) == 1
    assert "in already" in shop.run("card", "tap", "alice", code=2).stderr


def test_a_card_that_is_in_a_reader_is_in_no_other(shop: Shop, served: Server) -> None:
    for words in (("card", "show", "alice"), ("tap", "alice", "12.50"), ("card", "status", "alice", "blocked")):
        assert "joren card remove alice" in shop.run(*words, code=2).stderr
    before = shop.image().read_bytes()
    shop.run("card", "new", "bob")
    shop.run("card", "new", "carol", "--id", shop.json("card", "show", "bob")["card_id"], code=2)
    shop.run("card", "image", "alice")
    assert shop.image().read_bytes() == before
    for image in ("alice", str(shop.image())):
        assert "another joren card serve" in shop.run("card", "serve", image, code=2).stderr


def test_what_a_card_does_is_in_its_image_before_its_answer_goes(shop: Shop, driver: Driver, served: Server) -> None:
    """A kill leaves nothing behind that would stop the next server, and no nonce comes twice."""
    first = driver.ask(SELECT)
    assert driver.ask(VERIFY_WRONG) == b"\x63\xc2"
    served.end(signal.SIGKILL)
    assert shop.json("card", "readers")["readers"] == []
    again = shop.serve("alice", "--port", str(driver.port.port))
    driver.accept()
    driver.look()
    assert again.event() == ("alice", "inserted")
    assert driver.ask(SELECT) != first
    assert driver.ask(VERIFY_WRONG) == b"\x63\xc1"


def test_a_tear_on_order(shop: Shop, driver: Driver, served: Server) -> None:
    """The try was not counted, as its write did not happen; the card is out then, and comes back on order."""
    told = shop.json("card", "tear", "alice", "1")
    assert (told["writes"], told["state"]) == (1, "in")
    driver.ask(SELECT)
    driver.send(VERIFY_WRONG)
    assert driver.card_went()
    assert served.event() == ("alice", "torn")
    assert shop.json("card", "readers")["readers"][0]["state"] == "out"
    assert "the card is out" in shop.run("card", "tear", "alice", "1", code=2).stderr
    shop.stack.enter_context(answering(driver))
    shop.run("card", "tap", "alice")
    driver.ask(SELECT)
    shop.run("card", "tear", "alice", "1")
    assert shop.run("card", "tear", "alice", "0").stdout == "alice: its power stays\n"
    assert driver.ask(VERIFY_WRONG) == b"\x63\xc2"


def test_a_pcscd_that_ends_and_comes_back(driver: Driver, served: Server) -> None:
    driver.card.close()
    assert served.event() == ("alice", "lost")
    driver.accept()
    driver.look()
    assert served.event() == ("alice", "inserted")


def test_without_pcscd_it_says_what_to_do(shop: Shop, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "START_S", 0.01)
    driver.close()
    told = shop.json("card", "serve", "alice", "--port", str(driver.port.port), code=6)
    assert told["error"] == "NoDriver"
    for word in (str(driver.port), "apt install pcscd vsmartcard-vpcd", "--wait", "joren pcscd"):
        assert word in told["message"]
    shop.run("card", "show", "alice")


def test_it_waits_for_pcscd_where_it_shall(shop: Shop, driver: Driver) -> None:
    driver.close()
    server = shop.serve("alice", "--wait", "--port", str(driver.port.port))
    assert server.event() == ("alice", "waiting")
    assert shop.json("card", "readers")["readers"][0]["state"] == "waiting"
    late = shop.stack.enter_context(closing(Driver(driver.port.port)))
    late.accept()
    late.look()
    assert server.event() == ("alice", "inserted")


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_peace_and_leaves_no_socket(shop: Shop, driver: Driver, served: Server, by: signal.Signals) -> None:
    assert served.end(by) == 0
    assert driver.card_went()
    assert [path.suffix for path in (shop.home / "serve").iterdir()] == [".lock"]
    shop.run("card", "show", "alice")


def test_cards_that_start_out_of_their_readers(shop: Shop, driver: Driver) -> None:
    server = shop.serve("--out", "bakery", "--port", str(driver.port.port))
    wait_for_socket(shop.home / "serve", "bakery")
    assert shop.json("card", "readers")["readers"][0]["state"] == "out"
    shop.run("shop", "show", "bakery")
    with answering(driver):
        shop.run("card", "tap", "bakery")
    assert server.event() == ("bakery", "inserted")


def test_several_cards_each_in_a_slot_of_its_own(shop: Shop) -> None:
    first, second = neighbours()
    server = shop.serve("alice", "bakery", "--port", str(first.port.port))
    for driver in (first, second):
        shop.stack.enter_context(closing(driver))
        driver.accept()
        driver.look()
    assert {server.event(), server.event()} == {("alice", "inserted"), ("bakery", "inserted")}
    assert first.ask(SELECT)[-2:] == b"\x90\x00"
    assert second.ask(SELECT)[-2:] == b"\x6a\x82"


def test_an_image_file_is_served_by_its_path(shop: Shop, driver: Driver, tmp_path: Path) -> None:
    shop.run("card", "image", "alice", "--out", str(tmp_path / "copy.json"))
    server = shop.serve(str(tmp_path / "copy.json"), "--port", str(driver.port.port))
    driver.accept()
    driver.look()
    told = server.next()
    assert (told["name"], told["kind"], told["event"]) == ("copy", "card", "inserted")
    before = load_image(tmp_path / "copy.json", Workspace(shop.home).storage).draws
    driver.ask(SELECT)
    assert load_image(tmp_path / "copy.json", Workspace(shop.home).storage).draws > before
    assert load_image(shop.image(), Workspace(shop.home).storage).draws == before


def test_a_card_that_can_not_be_kept_answers_nothing_and_is_out(shop: Shop, driver: Driver, served: Server) -> None:
    shop.image().parent.rename(shop.home / "elsewhere")
    driver.send(SELECT)
    assert driver.card_went()
    told = served.next()
    assert (told["event"], "No such file" in told["detail"]) == ("failed", True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "none of this name; there are: alice, bakery, both"),
        (("alice", "alice"), "named twice"),
        (("both",), "give the image's path"),
    ],
)
def test_cards_that_can_not_be_served(shop: Shop, words: tuple[str, ...], said: str) -> None:
    shop.run("card", "new", "both")
    shop.run("shop", "new", "both")
    assert said in shop.run("card", "serve", *words, code=2).stderr


def test_the_card_line_protocol(shop: Shop) -> None:
    """One program at a time; what the card does is in its image; the orders work, but for a tear."""
    with closing(Driver()) as free:
        port = free.port.port
    server = shop.serve("alice", "--tcp", str(port))
    assert server.event() == ("alice", "inserted")
    with cardline.connect("127.0.0.1", port) as line:
        assert line.hello().name == "alice"
        before = load_image(shop.image(), Workspace(shop.home).storage).draws
        assert line.exchange(SELECT)[-2:] == b"\x90\x00"
        assert load_image(shop.image(), Workspace(shop.home).storage).draws > before
        with pytest.raises(HostError, match="not"):
            line.fresh("customer", b"")
        assert "readers of PC/SC" in shop.run("card", "tear", "alice", "1", code=2).stderr
        shop.run("card", "remove", "alice")
        assert server.event() == ("alice", "removed")
        with pytest.raises(LinkLost):
            line.exchange(SELECT)
    shop.run("card", "show", "alice")
    shop.run("card", "tap", "alice")
    assert server.event() == ("alice", "inserted")
    shop.image().parent.rename(shop.home / "elsewhere")
    with cardline.connect("127.0.0.1", port) as line, pytest.raises(LinkLost):
        line.exchange(SELECT)
    assert server.event() == ("alice", "failed")


def test_a_tcp_port_that_is_taken(shop: Shop, driver: Driver) -> None:
    assert "in use" in shop.run("card", "serve", "alice", "--tcp", str(driver.port.port), code=6).stderr


NONSENSE = [
    b"\n",
    b"\xff\n",
    b"[]\n",
    b'"tap"\n',
    b"{}\n",
    b'{"order":"tear","writes":-1}\n',
    b'{"order":"tear","writes":"1"}\n',
    b"x" * 9_000,
]


def test_nonsense_in_place_of_an_order(shop: Shop, served: Server) -> None:
    """It is hung up on or refused, and the card stays where it is."""
    for line in (*NONSENSE, b'{"order":'):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SOON)
            client.connect(str(shop.home / "serve" / "alice.sock"))
            client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            told = b""
            with suppress(ConnectionResetError):
                while part := client.recv(4_096):
                    told += part
        assert told == b"" or "refused" in json.loads(told), line
    assert shop.json("card", "readers")["readers"][0]["state"] == "in"


def test_an_order_for_a_card_that_nobody_serves(shop: Shop) -> None:
    for words in (("tap", "alice"), ("remove", "nobody"), ("tear", "alice", "1")):
        assert "no joren card serve has this card" in shop.run("card", *words, code=2).stderr
    assert shop.json("card", "readers")["readers"] == []


def test_only_the_owner_of_the_workspace_gives_orders(shop: Shop, served: Server) -> None:
    folder = shop.home / "serve"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "alice.sock").stat().st_mode) == 0o600


def test_orders_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    """Longer than a socket's address may be."""
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    orders = OrderSocket(folder, "alice")
    with pytest.raises(HostError, match="another"):
        OrderSocket(folder, "alice")

    def serve_two() -> None:
        for _ in range(2):
            orders.serve_one(lambda order: {"got": order})

    taken = threading.Thread(target=serve_two)
    taken.start()
    assert send_order(folder, "alice", {"order": "x"}) == {"got": {"order": "x"}}
    taken.join(SOON)
    orders.close()
    with pytest.raises(HostError, match="no joren card serve"):
        send_order(folder, "alice", {})
