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
from enum import Enum
from threading import Event, Lock, Thread
from time import monotonic
from typing import Protocol as Interface

from .chip import Chip
from .memory import PowerCut
from .protocol import Protocol, T0Card

__all__ = ["GAP_S", "HOST", "PORT", "ChipInSlot", "News", "NoDriver", "SlotCard", "VpcdSlot"]

HOST, PORT = "127.0.0.1", 35963
"""Where the driver's first slot listens; the second one is a port further."""
GAP_S = 0.6
PATIENCE_S = 5
RETRY_S = 0.2
INSERT_S = 10.0
SIZE_MAX = 0xFFFF
OFF, ON, RESET, TELL_ATR = 0, 1, 2, 4
TIMEVAL = struct.pack("ll", PATIENCE_S, 0)
QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class NoDriver(ConnectionError):
    """No driver listens, or it does not look at its slot; says where, and what to do."""


class News(Enum):
    """What became of a slot."""

    INSERTED = "inserted"
    """The driver has the card's ATR."""
    LOST = "lost"
    """The driver went away; the slot goes on trying."""
    TORN = "torn"
    """The card's power went in the middle of a command; the card is out."""
    REMOVED = "removed"


class SlotCard(Interface):
    """What is in a slot."""

    @property
    def atr(self) -> bytes:
        """The answer to reset."""

    def reset(self) -> None:
        """Power off and on."""

    def exchange(self, apdu: bytes) -> bytes:
        """The answer to a command; any bytes may come. Raises PowerCut."""


class ChipInSlot:
    """A chip as a reader over contacts has it: APDUs whole, or as TPDUs where it has T=0 alone (ISO/IEC 7816-3:2006, 12)."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._t0 = T0Card(chip) if Protocol.T1.value not in chip.profile.protocols and Protocol.T0.value in chip.profile.protocols else None

    @property
    def atr(self) -> bytes:
        return self.chip.profile.atr

    def reset(self) -> None:
        """Power off and on."""
        self.chip.power_off()
        if self._t0 is not None:
            self._t0.reset()
        self.chip.power_on()

    def exchange(self, apdu: bytes) -> bytes:
        """The answer. With T=0 as drivers make TPDUs of APDUs: P3 is 0 where there is none, and no Le follows data. Raises PowerCut."""
        if self._t0 is None:
            return self.chip.process_bytes(apdu)
        if len(apdu) == 4:
            apdu += b"\x00"
        elif len(apdu) > 5 and len(apdu) == apdu[4] + 6:
            apdu = apdu[:-1]
        return self._t0.exchange(apdu)


class VpcdSlot:
    """A slot of the driver and the card that belongs in it. `told`, called in the slot's thread, hears what happens."""

    def __init__(self, card: SlotCard, port: int = PORT, host: str = HOST, told: Callable[[News], None] = lambda _: None) -> None:
        self.card = card
        self.address = (host, port)
        self.busy = Lock()
        """Held while the card does anything."""
        self._told = told
        self._buffer = memoryview(bytearray(SIZE_MAX))
        self._socket: socket.socket | None = None
        self._thread: Thread | None = None
        self._leaving = Event()
        self._seen = Event()
        self._left_at = 0.0

    @property
    def inserted(self) -> bool:
        """Whether the driver has the card."""
        return self._seen.is_set()

    def insert(self, timeout_s: float | None = INSERT_S) -> None:
        """Puts the card in; returns when the driver has its ATR. Raises NoDriver if it has not after `timeout_s`, ValueError if it is in.

        None: returns at once, and the card goes in when there is a driver.
        """
        if self._thread is not None and self._thread.is_alive():
            raise ValueError("the card is in already")
        self.remove()
        self._thread = Thread(target=self._run, name=f"vpcd {self.address[1]}", daemon=True)
        self._thread.start()
        if timeout_s is not None and not self._seen.wait(timeout_s):
            self.remove()
            where = f"{self.address[0]}:{self.address[1]}"
            raise NoDriver(f"{where}: a driver that takes the card expected, none came within {timeout_s:g} s; start pcscd with vpcd")

    def remove(self) -> None:
        """Pulls the card out, if it is in; whatever it does it does to the end."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._leaving.set()
        with self.busy:
            if self._socket is not None:
                _shut(self._socket)
        thread.join()
        self._leaving.clear()

    def __enter__(self) -> "VpcdSlot":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _run(self) -> None:
        news = News.REMOVED
        self._leaving.wait(self._left_at + GAP_S - monotonic())
        while not self._leaving.is_set():
            try:
                with socket.create_connection(self.address, PATIENCE_S) as connection:
                    news = self._serve(connection)
            except OSError:
                news = News.LOST
            if self._seen.is_set():
                self._seen.clear()
                self._left_at = monotonic()
                self._told(News.REMOVED if self._leaving.is_set() else news)
            if news is News.TORN:
                break
            self._leaving.wait(RETRY_S)

    def _serve(self, connection: socket.socket) -> News:
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, TIMEVAL)
        with self.busy:
            self._socket = connection
            self.card.reset()
        try:
            while not self._leaving.is_set() and (message := self._receive(connection)) is not None:
                with self.busy:
                    self._answer(connection, message)
        except PowerCut:
            return News.TORN
        finally:
            with self.busy:
                self._socket = None
                self.card.reset()
        return News.LOST

    def _answer(self, connection: socket.socket, message: bytes) -> None:
        if len(message) > 1 or message[0] not in (OFF, ON, RESET, TELL_ATR):
            _send(connection, self.card.exchange(message))
        elif message[0] == TELL_ATR:
            _send(connection, self.card.atr)
            if not self._seen.is_set():
                self._seen.set()
                self._told(News.INSERTED)
        else:
            self.card.reset()

    def _receive(self, connection: socket.socket) -> bytes | None:
        """The next message; None at the end of the connection, of half a message, and of an empty one, which is none."""
        while True:
            try:
                head = self._take(connection, 2)
            except BlockingIOError:  # nothing to do is nothing bad
                continue
            break
        size = int.from_bytes(head)
        if len(head) < 2 or not size:
            return None
        body = self._take(connection, size)
        return bytes(body) if len(body) == size else None

    def _take(self, connection: socket.socket, size: int) -> memoryview:
        """So many bytes; fewer where the other side went away or takes its time. Raises BlockingIOError if none come at all."""
        if QUICK_ACK is not None:
            connection.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
        return self._buffer[: connection.recv_into(self._buffer, size, socket.MSG_WAITALL)]


def _send(connection: socket.socket, answer: bytes) -> None:
    """In one go, so that it is one packet."""
    connection.sendall(len(answer).to_bytes(2) + answer)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the driver may be quicker
        connection.shutdown(socket.SHUT_RDWR)
