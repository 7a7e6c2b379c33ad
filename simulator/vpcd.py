"""A simulated card in a reader of PC/SC: the card's side of vpcd, the virtual reader driver of vsmartcard.

How it works. pcscd loads the driver, and the driver listens: each of its slots is a TCP port, and who connects is the card in it. A message
is two bytes of length, big-endian, and as many bytes: one byte is an order (00 off, 01 on, 02 reset, 04 tell the ATR), more are a command.
Answered are commands and 04. On, off and reset all end what the card has in RAM.

Three traps. (1) The driver of 2020 sends length and bytes apart, and the kernel holds the second part back until the first is acknowledged,
which the other side puts off by 40 ms: so acknowledgements are sent at once, which Linux forgets after every answer (TCP_QUICKACK).
(2) Presence is polled each 400 ms, and a card that is swapped between two polls is not noticed: the old card's connection goes on with the
new card. So a card that left stays away for GAP_S. (3) A program may send a command of one byte, and the driver passes it on: 00, 01, 02
and 04 are taken for orders.

A thread serves each card. What waits has an end: for the rest of a message, for an answer to be taken, both PATIENCE_S.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from threading import Event, Lock, Thread
from time import monotonic
from typing import Protocol as Interface
from typing import Self

from joren.apdu import SW, Response

from .chip import Chip
from .memory import PowerCut
from .protocol import Protocol, T0Card

__all__ = ["GAP_S", "HOST", "PORT", "ChipInSlot", "News", "NoDriver", "Plug", "SlotCard", "TcpPort", "VpcdSlot"]

HOST, PORT = "127.0.0.1", 35963
"""Where the driver's first slot listens; the second one is a port further."""
GAP_S = 0.6
PATIENCE_S = 5
RETRY_S = 0.2
INSERT_S = 10.0
LOOKS = 4
"""pcscd asks for the ATR twice, powers the card, and asks again; at its next look programs surely have the card."""
SIZE_MAX = 0xFFFF
TELL_ATR = b"\x04"
RESETS = (b"\x00", b"\x01", b"\x02")
TIMEVAL = struct.pack("ll", PATIENCE_S, 0)
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
TOO_LONG = Response(b"", SW.WRONG_LENGTH).encode()
Plug = Callable[[], socket.socket]
"""Makes a connection to a slot of the driver, and as a text says to which; raises OSError where nobody listens."""


class NoDriver(ConnectionError):
    """No driver listens, or it does not look at its slot; says where, and what to do."""


@dataclass(frozen=True, slots=True)
class TcpPort:
    """The way to a slot that is a TCP port; the default is the driver's first."""

    host: str = HOST
    port: int = PORT

    def __call__(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), PATIENCE_S)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class News(Enum):
    """What became of a slot."""

    INSERTED = "inserted"
    """Programs have the card."""
    LOST = "lost"
    """The driver went away, or sent what is no message; the slot goes on trying."""
    TORN = "torn"
    """The card's power went in the middle of a command; the card is out."""
    FAILED = "failed"
    """What the card did could not be kept (`VpcdSlot.error`); the card is out."""
    REMOVED = "removed"


class SlotCard(Interface):
    """What is in a slot."""

    @property
    def atr(self) -> bytes:
        """The answer to reset."""

    def reset(self) -> None:
        """Power off and on."""

    def exchange(self, apdu: bytes) -> bytes:
        """The answer to a command; any bytes may come. Raises PowerCut; after any other exception the card is out."""


class ChipInSlot:
    """A chip as a reader over contacts has it: APDUs whole, or as TPDUs where it has T=0 alone (ISO/IEC 7816-3:2006, 12)."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        names = chip.profile.protocols
        self._t0 = T0Card(chip) if Protocol.T0.value in names and Protocol.T1.value not in names else None

    @property
    def atr(self) -> bytes:
        """The answer to reset."""
        return self.chip.profile.atr

    def reset(self) -> None:
        """Power off and on. A tear on order stays so."""
        left = self.chip.memory.writes_to_cut
        self.chip.power_off()
        if self._t0 is not None:
            self._t0.reset()
        self.chip.power_on()
        self.chip.memory.cut_after(left)

    def exchange(self, apdu: bytes) -> bytes:
        """The answer. With T=0 as drivers make TPDUs of APDUs: P3 is 0 where there is none, and no Le follows data. Raises PowerCut."""
        if self._t0 is None:
            return self.chip.process_bytes(apdu)
        if len(apdu) == 4:
            apdu += b"\x00"
        elif len(apdu) > 5 and len(apdu) == apdu[4] + 6:
            apdu = apdu[:-1]
        return self._t0.exchange(apdu)


class Out(Exception):
    """The card leaves by itself."""

    def __init__(self, news: News) -> None:
        super().__init__(news.value)
        self.news = news


class VpcdSlot:
    """A slot of the driver and the card that belongs in it. `told`, called in the slot's thread, hears what happens."""

    def __init__(self, card: SlotCard, plug: Plug | None = None, told: Callable[[News], None] = lambda _: None) -> None:
        self.card = card
        self.plug: Plug = plug or TcpPort()
        self.busy = Lock()
        """Held while the card does anything."""
        self.error: Exception | None = None
        self._told = told
        self._buffer = memoryview(bytearray(SIZE_MAX))
        self._socket: socket.socket | None = None
        self._thread: Thread | None = None
        self._leaving = Event()
        self._seen = Event()
        self._wanted = False
        self._looks = 0
        self._left_at = 0.0

    @property
    def inserted(self) -> bool:
        """Whether programs have the card."""
        return self._seen.is_set()

    @property
    def wanted(self) -> bool:
        """Whether the card is in, or goes in when there is a driver."""
        return self._wanted

    def insert(self, timeout_s: float | None = INSERT_S, card: SlotCard | None = None) -> None:
        """Puts the card in, or another `card`; returns when programs have it. Raises NoDriver after `timeout_s`, ValueError if one is in.

        With `timeout_s` None it returns at once, and the card goes in when there is a driver.
        """
        if self.wanted:
            raise ValueError("a card is in already")
        self.remove()
        self.card, self._wanted = card or self.card, True
        self._thread = Thread(target=self._run, name=f"card in {self.plug}", daemon=True)
        self._thread.start()
        if timeout_s is not None and not self._seen.wait(timeout_s):
            self.remove()
            raise NoDriver(f"{self.plug}: a driver that takes the card expected, none came within {timeout_s:g} s; start pcscd with vpcd")

    def remove(self) -> None:
        """Pulls the card out, if it is in; a command under way is done to its end. pcscd sees it at its next look, within 0.4 s."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._leaving.set()
        with self.busy:
            if self._socket is not None:
                with suppress(OSError):  # the driver may be quicker
                    self._socket.shutdown(socket.SHUT_RDWR)
        thread.join()
        self._wanted = False
        self._leaving.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _run(self) -> None:
        """Connects and serves, again and again, until the card leaves or is out."""
        pause = self._left_at + GAP_S - monotonic()
        while not self._leaving.wait(pause):
            pause = RETRY_S
            try:
                with self.plug() as connection:
                    self._serve(connection)
            except Out as out:
                news = out.news
            except OSError:
                news = News.LOST
            if self._seen.is_set():
                self._seen.clear()
                self._left_at, pause = monotonic(), GAP_S
            elif news is News.LOST:
                continue
            self._wanted = news is News.LOST
            self._told(news)
            if not self._wanted:
                break

    def _serve(self, connection: socket.socket) -> None:
        """One connection, until it ends. Raises OSError where it breaks, Out."""
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEVAL)
        self._looks = 0
        with self.busy:
            self._socket = connection
        try:
            self._act(None)
            while not self._leaving.is_set():
                self._answer(connection, self._receive(connection))
        except OSError:
            if not self._leaving.is_set():
                raise
        finally:
            with self.busy:
                self._socket = None
        raise Out(News.REMOVED)

    def _answer(self, connection: socket.socket, message: bytes) -> None:
        if message == TELL_ATR:
            _send(connection, self.card.atr)
            self._looks += 1
            if self._looks == LOOKS:
                self._seen.set()
                self._told(News.INSERTED)
        elif message in RESETS:
            self._act(None)
        else:
            _send(connection, self._act(message))

    def _act(self, apdu: bytes | None) -> bytes:
        """What the card answers to a command; None: it is reset. Raises Out."""
        try:
            with self.busy:
                if apdu is not None:
                    return self.card.exchange(apdu)
                self.card.reset()
                return b""
        except PowerCut:
            with self.busy:
                self.card.reset()
            raise Out(News.TORN) from None
        except Exception as error:
            self.error = error
            raise Out(News.FAILED) from error

    def _receive(self, connection: socket.socket) -> bytes:
        """The next message. Raises OSError: ConnectionError at the end, where there is half a message, and an empty one, which is none."""
        while True:
            with suppress(BlockingIOError):  # for so long nothing came, and that is all right
                head = self._take(connection, 2)
                break
        size = int.from_bytes(head)
        body = self._take(connection, size) if len(head) == 2 and size else b""
        if not size or len(body) < size:
            raise ConnectionError(f"{self.plug}: a message expected, {len(body)} bytes of {size} came")
        return bytes(body)

    def _take(self, connection: socket.socket, size: int) -> memoryview:
        """So many bytes; fewer where the other side went away or takes its time. Raises BlockingIOError if none come at all."""
        if QUICK_ACK is not None:
            connection.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
        return self._buffer[: connection.recv_into(self._buffer, size, socket.MSG_WAITALL)]


def _send(connection: socket.socket, answer: bytes) -> None:
    """In one go, so that it is one packet."""
    if len(answer) > SIZE_MAX:
        answer = TOO_LONG
    connection.sendall(len(answer).to_bytes(2) + answer)
