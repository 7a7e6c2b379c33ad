"""A card behind the card line protocol, from the host's side: a card server on TCP, a program on a pair of streams, or a function.

How it works. One request, one reply, in order. Whatever goes wrong on the way ends the connection, as a reply that comes later would be
taken for that of another request; then every call is LinkLost. A reply that says `power_lost` is PowerLost, and the connection goes on.
"""

import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, Self

from joren.apdu import Command, LinkLost, MalformedResponse, Response
from joren.apdu.cardline import LINE_MAX, VERSION, BadLine, Trouble, decode_line, encode_line, hex_field, number_field, text_field

from .errors import CardFault, HostError

__all__ = ["CardLine", "Hello", "PowerLost", "can_of", "connect", "in_process", "spawn"]

TIMEOUT_S = 10.0
RESPONSE_MAX = 65538
ATR_MAX = 33
CARD = "card"
Carry = Callable[[bytes], bytes]
"""From a line to the line that answers it. Raises LinkLost, OSError, BadLine for an answer without end."""


class PowerLost(LinkLost):
    """The card lost its power at a write, as was asked for; it is there again after a reset."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a card server says of itself: its name, and what it can (docs/card-protocol.md)."""

    name: str
    atr: bytes
    can: frozenset[str]


class CardLine:
    """A card behind a connection, which `hello` opens. Not for use by several threads at once. Close it, or use it in a `with`."""

    def __init__(self, carry: Carry, close: Callable[[], None] = lambda: None, where: str = "card server") -> None:
        self._carry = carry
        self._close = close
        self._where = where
        self._gone = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; a second time it does nothing."""
        if not self._gone:
            self._gone = "it was closed"
            self._close()

    def hello(self) -> Hello:
        """Greets. Raises HostError for a server of another version, LinkLost, CardFault."""
        reply = self.ask("hello", version=VERSION)
        with _understood(self, "hello"):
            version = number_field(reply, "version", 0, 1 << 31)
            if version != VERSION:
                self.close()
                raise HostError(
                    f"{self._where}: version {VERSION} of the card line protocol expected, {version} came; update the older side"
                )
            can = reply.get("can")
            if not isinstance(can, list) or not all(isinstance(one, str) for one in can):
                raise BadLine("can: a list of texts expected")
            return Hello(text_field(reply, "name"), hex_field(reply, "atr", ATR_MAX, ""), frozenset(can))

    def transmit(self, command: Command) -> Response:
        """Sends a command. Raises LinkLost, CardFault."""
        try:
            return Response.decode(self.exchange(command.encode()))
        except MalformedResponse as error:
            raise CardFault(CARD, "an APDU", "2 bytes or more", str(error)) from None

    def exchange(self, apdu: bytes) -> bytes:
        """Sends bytes as they are, and gives those that came. Raises LinkLost, CardFault."""
        reply = self.ask("apdu", command=apdu.hex().upper())
        with _understood(self, "apdu"):
            return hex_field(reply, "response", RESPONSE_MAX)

    def reset(self) -> bytes:
        """Power off and on; answers the ATR. Raises LinkLost, CardFault."""
        return self._atr("reset")

    def fresh(self, kind: str, seed: bytes, profile: str = "ideal") -> bytes:
        """A blank card in the place of this one; answers its ATR. Raises HostError where the server can not, LinkLost, CardFault."""
        return self._atr("fresh", kind=kind, seed=seed.hex().upper(), profile=profile)

    def tear(self, after: int, *, keep_non_atomic: bool = False) -> None:
        """The power shall go in place of the after-th write or commit of what follows; 0: not at all. Raises HostError, LinkLost."""
        self.ask("tear", after=after, keep_non_atomic=keep_non_atomic)

    def snapshot(self) -> str:
        """Keeps the card's memory as it is, under a name. Raises HostError, LinkLost, CardFault."""
        reply = self.ask("snapshot")
        with _understood(self, "snapshot"):
            return text_field(reply, "snapshot")

    def restore(self, snapshot: str) -> None:
        """The card's memory as it was; the card is reset. Raises HostError, LinkLost."""
        self.ask("restore", snapshot=snapshot)

    def info(self) -> dict[str, Any]:
        """What the server tells of the card. Raises HostError, LinkLost."""
        return self.ask("info")

    def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """A request and its reply, which is ok. Raises HostError for one the server does not take, PowerLost, LinkLost, CardFault."""
        if self._gone:
            raise LinkLost(f"{self._where}: no connection any more: {self._gone}")
        try:
            reply = decode_line(self._carry(encode_line({"do": do, **fields})))
            if reply.get("ok") is True:
                return reply
            trouble, message = Trouble(text_field(reply, "error")), text_field(reply, "message", "")
        except LinkLost as lost:
            self._lose(str(lost), lost)
        except OSError as error:
            self._lose(str(error) or type(error).__name__, error)
        except ValueError as error:
            self._misunderstood(do, error)
        if trouble is Trouble.POWER_LOST:
            raise PowerLost(f"{self._where}: {message or 'the power went'}")
        if trouble is Trouble.NO_CARD:
            raise LinkLost(f"{self._where}: {message or 'no card is in'}")
        if trouble is Trouble.FAILED:
            raise CardFault(CARD, do, "a reply", f"{trouble.value}: {message}")
        raise HostError(f"{self._where}: {do}: {trouble.value}: {message}")

    def _atr(self, do: str, **fields: object) -> bytes:
        reply = self.ask(do, **fields)
        with _understood(self, do):
            return hex_field(reply, "atr", ATR_MAX)

    def _lose(self, why: str, error: Exception) -> NoReturn:
        self._end(why)
        raise LinkLost(f"{self._where}: {why}") from error

    def _misunderstood(self, do: str, error: Exception) -> NoReturn:
        self._end("it spoke nonsense")
        raise CardFault(f"{CARD} ({self._where})", do, "a reply of the card line protocol", str(error)) from None

    def _end(self, why: str) -> None:
        self.close()
        self._gone = why


class _understood:  # noqa: N801 - reads as the function that it is
    """A field of a reply that is not as the protocol has it ends the connection: CardFault."""

    def __init__(self, line: CardLine, do: str) -> None:
        self._line = line
        self._do = do

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, BadLine):
            self._line._misunderstood(self._do, error)


class _Wire:
    """Lines over a socket, each answer within a time."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._rest = b""

    def carry(self, line: bytes) -> bytes:
        deadline = monotonic() + self._timeout_s
        self._connection.settimeout(self._timeout_s)
        try:
            self._connection.sendall(line)
            while b"\n" not in self._rest:
                if len(self._rest) > LINE_MAX:
                    raise BadLine(f"a line of at most {LINE_MAX} bytes expected, a longer one came")
                self._connection.settimeout(max(deadline - monotonic(), 0.001))
                more = self._connection.recv(65536)
                if not more:
                    raise LinkLost("the card server went away")
                self._rest += more
        except TimeoutError:
            raise LinkLost(f"no answer within {self._timeout_s:g} s") from None
        except ConnectionError:
            raise LinkLost("the card server went away") from None
        answer, _, self._rest = self._rest.partition(b"\n")
        if self._rest:
            raise BadLine("one line for one request expected, more came")
        return answer


def connect(host: str, port: int, timeout_s: float = TIMEOUT_S) -> CardLine:
    """A connection to a card server. `timeout_s` is the most that an answer may take. Raises LinkLost."""
    where = f"card server {host}:{port}"
    try:
        connection = socket.create_connection((host, port), timeout_s)
    except (OSError, OverflowError) as error:
        raise LinkLost(f"{where}: can not be reached: {error}; is it running?") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return CardLine(_Wire(connection, timeout_s).carry, connection.close, where)


def spawn(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> CardLine:
    """A card server that is a program: requests go to its standard input, replies come from its standard output. Raises HostError."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno())  # noqa: S603 - what the user asked for
        except OSError as error:
            ours.close()
            raise HostError(f"card server {command[0]}: can not be run: {error}") from error

    def close() -> None:
        ours.close()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    return CardLine(_Wire(ours, timeout_s).carry, close, f"card server {command[0]}")


def in_process(answer: Carry, where: str, close: Callable[[], None] = lambda: None) -> CardLine:
    """A card server in this very process, as a function from line to line."""
    return CardLine(answer, close, where)


def can_of(told: Mapping[str, Any]) -> frozenset[str]:
    """The features that `info` tells of the card that is in. Unknown ones are harmless."""
    features = told.get("features")
    return frozenset(one for one in features if isinstance(one, str)) if isinstance(features, list) else frozenset()
