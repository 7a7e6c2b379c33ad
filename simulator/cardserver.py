"""A simulated card behind the card line protocol: JSON lines over TCP or a pair of streams (docs/card-protocol.md).

How it works. `CardServer` answers one line after another and knows no socket; `serve_stream` and `serve` carry the lines. A connection
begins with a card that has just been powered, and ends its session, its snapshots and a tear that has not come yet. After a tear the card
has no power until it is reset. `kept`, if there is one, is called after every command that wrote, before its answer goes.
"""

import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from joren.apdu import AID_CUSTOMER, AID_SHOP, Key, aid
from joren.apdu.cardline import APDU_MAX, LINE_MAX, VERSION, BadLine, Trouble, decode_line, encode_line, hex_field, number_field, text_field
from joren.apdu.scp03 import ScpKeys

from .card_manager_chip import make_managed_chip
from .card_manager_memory import INITIAL_VERSION, Production
from .chip import Chip, DoesNotFit, Program
from .memory import PowerCut, Snapshot
from .profile import BadProfile, Profile, load_profile, profile_names
from .roles import ROLES

__all__ = [
    "KINDS",
    "LOOPBACK",
    "TEST_PRODUCTION",
    "CardServer",
    "Maker",
    "fresh_chip",
    "known_manager_keys",
    "listen",
    "serve",
    "serve_stream",
]

LOOPBACK = "127.0.0.1"
PROGRAMME = 1
KINDS = ("customer", "shop", "managed")
ROOMY_RAM = 1 << 20
"""RAM for as many instances as a card manager's registry has places."""
SEED_MAX, SNAPSHOTS_MAX, TEAR_MAX = 64, 256, 1_000_000
TEST_KEY = bytes(range(0x40, 0x50))
TEST_PRODUCTION = Production(bytes(range(10)), bytes.fromhex("622999"), bytes.fromhex("C1C2C3C4"))
"""What the maker wrote on a managed chip made by `fresh`."""
Maker = Callable[[str, bytes, Profile], Chip]
"""From a kind, a seed and a profile to a blank card."""
log = logging.getLogger(__name__)


class Told(Exception):
    """Ends a request with a code and a message."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


def known_manager_keys() -> ScpKeys:
    """The key set of a managed chip made by `fresh`: GlobalPlatform's well-known test key three times, version FF."""
    enc, mac, dek = (Key(TEST_KEY, name, INITIAL_VERSION) for name in ("Key-ENC", "Key-MAC", "Key-DEK"))
    return ScpKeys(enc, mac, dek, INITIAL_VERSION)


def fresh_chip(kind: str, seed: bytes, profile: Profile, program: Program | None = None) -> Chip:
    """A blank card: `customer` and `shop` a plain chip for development with one instance, of programme 1; `managed` a manager alone.

    `program` says what runs on it, the model where it is None. Raises DoesNotFit, ValueError for another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: {', '.join(KINDS)} expected, {kind} came")
    if kind == "managed":
        return make_managed_chip(seed, profile, known_manager_keys(), TEST_PRODUCTION, program)
    role = AID_CUSTOMER if kind == "customer" else AID_SHOP
    chip = Chip(seed, profile.for_development(), program=program)
    chip.install(ROLES[role][1], aid(role, PROGRAMME))
    return chip


class CardServer:
    """One card, for one connection at a time. With `maker` it is a test target: `fresh` puts a blank card in the place of this one."""

    def __init__(
        self,
        chip: Chip | None = None,
        *,
        name: str = "joren model",
        maker: Maker | None = fresh_chip,
        kept: Callable[[], None] | None = None,
    ) -> None:
        self.chip = chip
        self.name = name
        self._maker = maker
        self._kept = kept
        self._snapshots: dict[str, Snapshot] = {}
        self._powered = False
        self._atr = b""

    def begin(self) -> None:
        """A connection begins: the card gets power."""
        self._snapshots = {}
        self._power_up()

    def end(self) -> None:
        """A connection ends: the session of the card ends, and so does a tear that has not come."""
        self._snapshots = {}
        self._powered = False
        if self.chip is not None:
            self.chip.memory.power_up()
            self.chip.power_off()

    def answer(self, line: bytes) -> bytes:
        """The reply to a request. Never raises for what came."""
        try:
            request = decode_line(line)
            handler = self.HANDLERS.get(text_field(request, "do"))
            if handler is None:
                raise Told(Trouble.NOT_SUPPORTED, f"do: {', '.join(self.HANDLERS)} expected, {str(request['do'])[:60]} came")
            return encode_line({"ok": True, **handler(self, request)})
        except BadLine as error:
            return _refusal(Trouble.BAD_REQUEST, str(error))
        except Told as told:
            return _refusal(told.trouble, str(told))
        except Exception as error:
            log.exception("a request failed")
            return _refusal(Trouble.FAILED, f"{type(error).__name__}: {error}")

    def _card(self) -> Chip:
        if self.chip is None:
            raise Told(Trouble.NO_CARD, "no card is in; put one in, or ask for a fresh one")
        return self.chip

    def _power_up(self) -> bytes:
        if self.chip is not None:
            self.chip.power_off()
            self._atr = self.chip.power_on()
            self._powered = True
        return self._atr

    def _hello(self, request: Mapping[str, Any]) -> dict[str, Any]:
        number_field(request, "version", 1, 1 << 31)
        can = ["apdu", "raw", "reset", "info"]
        can += ["fresh", "seeded", "tear", "snapshot", "restore"] if self._maker else []
        return {"version": VERSION, "name": self.name, "atr": _hex(self._atr) if self.chip else "", "can": can}

    def _apdu(self, request: Mapping[str, Any]) -> dict[str, Any]:
        command, chip = hex_field(request, "command", LINE_MAX), self._card()
        if len(command) > APDU_MAX:
            raise Told(Trouble.TOO_LONG, f"command: at most {APDU_MAX} bytes expected, {len(command)} came")
        if not self._powered:
            raise Told(Trouble.POWER_LOST, "the card has no power; reset it")
        before = chip.memory.statistics.writes
        try:
            response = chip.process_bytes(command)
        except PowerCut:
            self._powered = False
            chip.power_off()
            raise Told(Trouble.POWER_LOST, "the power went; reset the card") from None
        finally:
            if self._kept is not None and chip.memory.statistics.writes != before:
                self._kept()
        return {"response": _hex(response)}

    def _reset(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        self._card()
        return {"atr": _hex(self._power_up())}

    def _fresh(self, request: Mapping[str, Any]) -> dict[str, Any]:
        kind, seed = text_field(request, "kind", "customer"), hex_field(request, "seed", SEED_MAX, "")
        if kind not in KINDS:
            raise BadLine(f"kind: {', '.join(KINDS)} expected, {kind[:60]} came")
        if self._maker is None:
            raise Told(Trouble.NOT_SUPPORTED, "fresh: this card is nobody's to throw away")
        try:
            chip = self._maker(kind, seed, _profile_of(text_field(request, "profile", "ideal")))
        except (BadProfile, DoesNotFit) as error:
            raise Told(Trouble.NOT_SUPPORTED, str(error)) from None
        self.chip = chip
        self._snapshots = {}
        return {"atr": _hex(self._power_up())}

    def _tear(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._test_target()
        memory = self._card().memory
        keep = request.get("keep_non_atomic", False)
        if not isinstance(keep, bool):
            raise BadLine("keep_non_atomic: true or false expected")
        memory.cut_after(number_field(request, "after", 0, TEAR_MAX))
        memory.keep_non_atomic = keep
        return {}

    def _snapshot(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        self._test_target()
        if len(self._snapshots) == SNAPSHOTS_MAX:
            raise Told(Trouble.FAILED, f"snapshot: at most {SNAPSHOTS_MAX} of one card")
        chip, name = self._card(), str(len(self._snapshots) + 1)
        if chip.memory.in_transaction:
            raise Told(Trouble.FAILED, "snapshot: the card lost its power in a transaction; reset it first")
        self._snapshots[name] = chip.snapshot()
        return {"snapshot": name}

    def _restore(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._test_target()
        chip, name = self._card(), text_field(request, "snapshot")
        if name not in self._snapshots:
            raise BadLine(f"snapshot: one of this card and connection expected, {name[:60]} came")
        chip.restore(self._snapshots[name])
        return {"atr": _hex(self._power_up())}

    def _info(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        chip = self.chip
        if chip is None:
            return {"name": self.name, "version": VERSION, "features": []}
        statistics, profile = chip.memory.statistics, chip.profile
        having = (("channels", profile.channels > 1), ("extended", profile.extended_length), ("room", profile.ram_bytes >= ROOMY_RAM))
        features = [name for name, there in having if there]
        figures = {"writes": statistics.writes, "bytes_written": statistics.bytes_written, "transactions": statistics.transactions}
        return {"name": self.name, "version": VERSION, "profile": profile.title, "features": features, **figures}

    def _test_target(self) -> None:
        if self._maker is None:
            raise Told(Trouble.NOT_SUPPORTED, "this card is no test target")

    HANDLERS: Mapping[str, Callable[["CardServer", Mapping[str, Any]], dict[str, Any]]] = {
        "hello": _hello,
        "apdu": _apdu,
        "reset": _reset,
        "fresh": _fresh,
        "tear": _tear,
        "snapshot": _snapshot,
        "restore": _restore,
        "info": _info,
    }


def _profile_of(name: str) -> Profile:
    """A bundled one: who asks over a network does not choose files. Raises BadProfile."""
    if name not in profile_names():
        raise BadProfile(f"profile: {', '.join(profile_names())} expected, {name[:60]} came")
    return load_profile(name)


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _refusal(trouble: Trouble, message: str) -> bytes:
    return encode_line({"ok": False, "error": trouble.value, "message": message})


def serve_stream(server: CardServer, lines: BinaryIO, out: BinaryIO) -> None:
    """One connection, to its end: the other side closes, or sends a line that is too long."""
    server.begin()
    try:
        while line := lines.readline(LINE_MAX + 1):
            whole = line.endswith(b"\n")
            long = not whole and len(line) > LINE_MAX
            out.write(_refusal(Trouble.TOO_LONG, f"a line of at most {LINE_MAX} bytes expected") if long else server.answer(line))
            out.flush()
            if not whole:
                return
    except (OSError, ValueError):
        log.info("the other side went away")
    finally:
        server.end()


def listen(host: str = LOOPBACK, port: int = 0) -> socket.socket:
    """A socket that listens; port 0 is any that is free (`getsockname()[1]`). Raises OSError."""
    return socket.create_server((host, port))


def serve(server: CardServer, listening: socket.socket) -> None:
    """One connection after another, until `listening` is shut down or closed; those that come meanwhile wait."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, suppress(OSError):  # of answers that nobody waits for any more
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as lines, connection.makefile("wb") as out:
                serve_stream(server, lines, out)
